"""Binance USD-M, market streams: routing, names, chains of ids, what they carry and when."""

import json
from itertools import pairwise
from typing import Any

import pytest
from support_exchange import place, quiet_core
from support_usdm import ORDER, SECOND, START_NS, Usdm

from engine.exchange.book import Side
from engine.exchange.commands import ResetSequence, SetTick
from engine.exchange.core import Core
from engine.exchange.events import Accepted, TapeFrame
from engine.exchange.face import Tick
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket

MOVE = {"type": "MARKET", "price": None, "timeInForce": None, "quantity": "0.001"}


@pytest.fixture
def venue() -> Usdm:
    return Usdm()


def agents() -> Usdm:
    return Usdm(Core([AgentMarket(CATALOGUE["BTCUSDT"], 3, START_NS)], 3))


def subscribed(venue: Usdm, *names: str, root: str = "/public") -> int:
    return venue.open(f"{root}/ws/{'/'.join(names)}")


class PlainBook:
    """The venue's sync rule over dicts of decimal text."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id: int = snapshot["lastUpdateId"]
        self.sides = [dict(snapshot["bids"]), dict(snapshot["asks"])]
        self._is_anchored = False

    def apply(self, diff: dict[str, Any]) -> bool:
        """False: older than the snapshot."""
        if diff["u"] < self.last_id:
            return False
        joins = diff["pu"] == self.last_id
        if not self._is_anchored:
            joins = joins or diff["U"] <= self.last_id <= diff["u"]
        assert joins, (diff["U"], diff["u"], diff["pu"], self.last_id)
        self._is_anchored, self.last_id = True, diff["u"]
        for side, levels in zip(self.sides, (diff["b"], diff["a"]), strict=True):
            side.update(levels)
            for px, qty in levels:
                if not float(qty):
                    del side[px]
        return True

    def levels(self) -> list[list[list[str]]]:
        bids = sorted(self.sides[0].items(), key=lambda level: -float(level[0]))
        asks = sorted(self.sides[1].items(), key=lambda level: float(level[0]))
        return [[list(level) for level in side] for side in (bids, asks)]


# -- DEPTH ---


@pytest.mark.parametrize("speed", ["", "@500ms", "@100ms", "@0ms"])
def test_diffs_on_a_snapshot_rebuild_the_book(speed: str) -> None:
    venue = agents()
    conn = subscribed(venue, f"btcusdt@depth{speed}")
    venue.after(1.3)
    book = PlainBook(venue.get("depth", symbol="BTCUSDT", limit=1000))
    diffs = venue.read(conn)
    for diff in diffs:
        book.apply(diff)
    compared = 0
    for _ in range(2_000):
        venue.after(0.001)
        if not (news := venue.read(conn)):
            continue
        diffs += news
        for diff in news:
            assert book.apply(diff)
        snapshot = venue.get("depth", symbol="BTCUSDT", limit=1000)
        assert book.last_id == snapshot["lastUpdateId"]
        assert len(snapshot["bids"]) < 1000  # else the snapshot is cut off
        assert book.levels() == [snapshot["bids"], snapshot["asks"]]
        compared += 1
        if compared == 4:
            break
    assert compared >= 3
    for last, diff in pairwise(diffs):
        assert diff["pu"] == last["u"]
        assert diff["U"] <= diff["u"]


def test_speeds(venue: Usdm) -> None:
    names = ("btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@depth@500ms")
    conns = [subscribed(venue, name) for name in names]
    for _ in range(100):
        venue.order(price="59000.00")
        venue.good("DELETE", "allOpenOrders", symbol="BTCUSDT")
        venue.after(0.01)
    counts = [len(venue.read(conn)) for conn in conns]
    assert counts == [5, 11, 3]  # the first at once


def test_partial_books(venue: Usdm) -> None:
    conn = subscribed(venue, "btcusdt@depth5@100ms")
    venue.order(price="60000.00", timeInForce="GTX")
    venue.after(0.2)
    frames = venue.read(conn)
    assert [(len(frame["b"]), len(frame["a"])) for frame in frames] == [(5, 5)]
    assert frames[0]["e"] == "depthUpdate"
    top = venue.get("depth", symbol="BTCUSDT", limit=5)
    assert (frames[0]["u"], frames[0]["b"]) == (top["lastUpdateId"], top["bids"])
    venue.after(1)
    assert venue.read(conn) == []  # nothing changed


def test_new_sequence_breaks_the_chain(venue: Usdm) -> None:
    conn = subscribed(venue, "btcusdt@depth@100ms")
    venue.order(price="59000.00")
    venue.after(0.2)
    last = venue.read(conn)[-1]
    venue.core.step(ResetSequence("BTCUSDT"), venue.t_ns)
    venue.order(price="59010.00")
    venue.after(0.2)
    broken = venue.read(conn)[0]
    assert broken["pu"] != last["u"]
    book = PlainBook(venue.get("depth", symbol="BTCUSDT", limit=1000))
    venue.order(price="59020.00")
    venue.after(0.2)
    assert book.apply(venue.read(conn)[-1])


def test_finer_tick_shows_in_prices_and_filters(venue: Usdm) -> None:
    conn = subscribed(venue, "btcusdt@depth@100ms", "btcusdt@trade")
    venue.order(**MOVE)
    effects = venue.core.step(SetTick("BTCUSDT", 10), venue.t_ns)
    venue.face.publish(effects[1:], venue.t_ns, [])
    venue.after(0.2)
    venue.read(conn)
    filters = {f["filterType"]: f for f in venue.get("exchangeInfo")["symbols"][0]["filters"]}
    assert float(filters["PRICE_FILTER"]["tickSize"]) == 0.01
    assert venue.order(price="59990.05")[0] == 200
    venue.after(0.2)
    diff = next(frame for frame in venue.read(conn) if frame["e"] == "depthUpdate")
    assert ["59990.05", "0.010"] in diff["b"]
    rows = venue.get("trades", symbol="BTCUSDT")
    assert rows[-1]["price"] == "60000.10"
    candle = venue.get("klines", symbol="BTCUSDT", interval="1m")[0]
    assert candle[1:6] == ["60000.10"] * 4 + ["0.001"]
    assert candle[7] == "60.00010000"


@pytest.mark.parametrize("kind", ["depth", "depth@500ms", "depth@100ms", "depth@0ms"])
def test_finer_tick_leaves_no_hole_in_a_depth_chain(kind: str) -> None:
    venue = agents()
    conn = subscribed(venue, f"btcusdt@{kind}")
    venue.after(1.33)
    book = PlainBook(venue.get("depth", symbol="BTCUSDT", limit=1000))
    venue.read(conn)
    venue.after(0.17)
    assert isinstance(venue.core.operate(SetTick("BTCUSDT", 10), venue.t_ns), Accepted)
    venue.after(2)
    diffs = venue.read(conn)
    assert len(diffs) >= 4
    for one, other in pairwise(diffs):
        assert other["pu"] == one["u"]
    told = {float(px) for diff in diffs for px, _ in (*diff["b"], *diff["a"])}
    assert 50_000 < min(told) <= max(told) < 70_000
    assert diffs[0]["pu"] <= book.last_id < diffs[-1]["u"]


# -- TRADES AND THE REST ---


def test_trades_and_aggregates(venue: Usdm) -> None:
    both = [subscribed(venue, "btcusdt@trade"),
            subscribed(venue, "btcusdt@aggTrade", root="/market")]  # fmt: skip
    for _ in range(3):
        venue.order(**MOVE)
        venue.after(0.01)
    venue.order(**MOVE, side="SELL")
    trades, aggs = venue.read(both[0]), venue.read(both[1])
    assert [(t["q"], t["m"]) for t in trades] == [("0.001", False)] * 3 + [("0.001", True)]
    assert aggs == []  # told every 100 ms
    venue.after(0.1)
    aggs = venue.read(both[1])
    assert [(a["q"], a["p"], a["m"]) for a in aggs] == [
        ("0.003", "60000.10", False), ("0.001", "59999.90", True),
    ]  # fmt: skip
    assert (aggs[0]["f"], aggs[0]["l"]) == (trades[0]["t"], trades[2]["t"])
    rows = venue.get("aggTrades", symbol="BTCUSDT")
    assert [(row["a"], row["q"]) for row in rows] == [(a["a"], a["q"]) for a in aggs]
    assert len(venue.get("aggTrades", symbol="BTCUSDT", fromId=rows[1]["a"])) == 1
    recent = venue.get("trades", symbol="BTCUSDT", limit=2)
    assert [row["id"] for row in recent] == [trade["t"] for trade in trades[2:]]


def test_best_of_one_and_of_all(venue: Usdm) -> None:
    one, every = subscribed(venue, "btcusdt@bookTicker"), subscribed(venue, "!bookTicker")
    venue.order(price="60000.00", timeInForce="GTX")
    best = venue.read(one)[-1]
    assert (best["b"], best["B"]) == ("60000.00", "0.010")
    venue.after(5.1)
    assert venue.read(every)[-1]["b"] == "60000.00"
    row = venue.get("ticker/bookTicker", symbol="BTCUSDT")
    assert (row["bidPrice"], row["bidQty"]) == ("60000.00", "0.010")
    assert venue.get("ticker/bookTicker") == [row]


def test_marks_every_second_and_every_third(venue: Usdm) -> None:
    conns = [subscribed(venue, f"btcusdt@markPrice{kind}", root="/market")
             for kind in ("@1s", "")]  # fmt: skip
    venue.after(9)
    fast, slow = venue.read(conns[0]), venue.read(conns[1])
    assert (len(fast), len(slow)) == (9, 3)
    index = venue.get("premiumIndex", symbol="BTCUSDT")
    assert (fast[-1]["p"], fast[-1]["r"], fast[-1]["T"]) == (
        index["markPrice"], index["lastFundingRate"], index["nextFundingTime"],
    )  # fmt: skip
    assert index["nextFundingTime"] % (8 * 3_600_000) == 0


def test_marks_of_all_in_one_frame() -> None:
    venue = Usdm(quiet_core(keys=("BTCUSDT", "ETHUSDT")))
    conn = subscribed(venue, "!markPrice@arr@1s", "ethusdt@markPrice@1s", root="/market")
    venue.after(2)
    frames = venue.read(conn)
    assert [len(frame) if isinstance(frame, list) else frame["s"] for frame in frames] == [
        "ETHUSDT", 2, "ETHUSDT", 2,
    ]  # fmt: skip
    assert [row["s"] for row in frames[1]] == ["BTCUSDT", "ETHUSDT"]
    assert frames[1][1] == frames[0]


def test_candles_by_stream_and_by_rest_agree(venue: Usdm) -> None:
    conn = subscribed(venue, "btcusdt@kline_1m", root="/market")
    sides = ["BUY", "SELL", "BUY"]
    for side in sides:
        venue.order(**MOVE, side=side)
        venue.after(0.3)
    running = venue.read(conn)[-1]["k"]
    assert (running["n"], running["v"], running["x"]) == (3, "0.003", False)
    assert (running["o"], running["l"], running["V"]) == ("60000.10", "59999.90", "0.002")
    venue.after(60)
    frames = [frame["k"] for frame in venue.read(conn)]
    assert [k["x"] for k in frames] == [True, False]
    rows = venue.get("klines", symbol="BTCUSDT", interval="1m")
    closed = frames[0]
    assert rows[0][:7] == [closed[name] for name in ("t", "o", "h", "l", "c", "v", "T")]
    assert rows[1][1:6] == [closed["c"]] * 4 + ["0.000"]  # nobody traded
    hour = venue.get("klines", symbol="BTCUSDT", interval="1h")
    assert [row[8] for row in hour] == [3]
    assert venue.rest("GET", "/fapi/v1/klines", "symbol=BTCUSDT&interval=7m")[1]["code"] == -1120


def test_statistics_of_a_day(venue: Usdm) -> None:
    conn = subscribed(venue, "btcusdt@ticker", "btcusdt@miniTicker", "!miniTicker@arr",
                      root="/market")  # fmt: skip
    venue.order(**MOVE)
    venue.order(**MOVE, side="SELL")
    venue.after(1.1)
    ticker, mini, array = venue.read(conn)
    assert (ticker["e"], ticker["p"], ticker["P"]) == ("24hrTicker", "-0.20", "0.000")
    assert (mini["e"], mini["v"], mini["c"]) == ("24hrMiniTicker", "0.002", "59999.90")
    assert array == [{**mini, "E": array[0]["E"]}]
    row = venue.get("ticker/24hr", symbol="BTCUSDT")
    assert (row["volume"], row["lastPrice"], row["count"]) == ("0.002", "59999.90", 2)
    assert venue.get("ticker/price", symbol="BTCUSDT")["price"] == "59999.90"
    venue.t_ns += 25 * 3_600 * SECOND
    assert venue.get("ticker/24hr", symbol="BTCUSDT")["count"] == 0


# -- ROUTING AND CONTROL ---


def test_roots_serve_their_own_streams(venue: Usdm) -> None:
    names = "btcusdt@trade/btcusdt@aggTrade"
    conns = {root: venue.open(f"{root}/stream?streams={names}")
             for root in ("/public", "/market", "")}  # fmt: skip
    venue.order(**MOVE)
    venue.after(0.2)
    told = {root: [frame["stream"] for frame in venue.read(conn)] for root, conn in conns.items()}
    public, market = ["btcusdt@trade"], ["btcusdt@aggTrade"]
    assert told == {"/public": public, "/market": market, "": public}


@pytest.mark.parametrize(
    "target", ["/nowhere", "/public/fly", "/public", "/private/ws?listenKey=x", "/private/ws",
               "/ws-fapi/v2", "/private/stream?listenKey="],
)  # fmt: skip
def test_other_paths_are_refused(venue: Usdm, target: str) -> None:
    assert venue.open(target) == 0
    status = 400 if target.startswith("/private") else 404
    refusal = venue.actions[-1]
    assert refusal.status == status  # type: ignore[union-attr]
    assert json.loads(refusal.body)["code"] in (-1125, -5000)  # type: ignore[union-attr]


def test_control_messages(venue: Usdm) -> None:
    conn = venue.open("/public/ws/0")
    name = "btcusdt@trade"
    assert venue.say(conn, {"method": "SUBSCRIBE", "params": [name], "id": 7}) == {
        "result": None, "id": 7,
    }  # fmt: skip
    assert venue.say(conn, {"method": "LIST_SUBSCRIPTIONS", "id": "a"}) == {
        "result": [name], "id": "a",
    }  # fmt: skip
    assert venue.say(conn, {"method": "GET_PROPERTY", "params": ["combined"], "id": 1}) == {
        "result": False, "id": 1,
    }  # fmt: skip
    venue.order(**MOVE)
    assert venue.read(conn)[0]["e"] == "trade"
    combined = {"method": "SET_PROPERTY", "params": ["combined", True], "id": 2}
    assert venue.say(conn, combined) == {"result": None, "id": 2}
    venue.order(**MOVE)
    assert [frame["stream"] for frame in venue.read(conn)] == [name]
    assert venue.say(conn, {"method": "UNSUBSCRIBE", "params": [name], "id": 3})["id"] == 3
    venue.order(**MOVE)
    assert venue.read(conn) == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 3),
        ("[]", 3),
        ("7", 3),
        ('{"id":1}', 2),
        ('{"method":"FLY","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":{},"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":{}}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":99999999999999999999}', 2),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1),
        ('{"method":"SET_PROPERTY","params":["colour",true],"id":1}', 0),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":1}', 2),
        ("[" * 60_000, 3),
    ],
)
def test_control_errors(venue: Usdm, message: str, code: int) -> None:
    assert venue.say(venue.open("/public/ws"), message)["error"]["code"] == code


def test_too_many_streams(venue: Usdm) -> None:
    conn = venue.open("/public/ws")
    names = [f"s{number}@trade" for number in range(201)]
    assert venue.say(conn, {"method": "SUBSCRIBE", "params": names, "id": 1})["error"]["code"] == 2
    assert venue.say(conn, {"method": "SUBSCRIBE", "params": names[:200], "id": 1})["id"] == 1


def test_closed_connections_get_nothing(venue: Usdm) -> None:
    conn, other = subscribed(venue, "btcusdt@trade"), subscribed(venue, "btcusdt@trade")
    venue.close(conn)
    venue.order(**MOVE)
    assert venue.read(conn) == []
    assert len(venue.read(other)) == 1
    venue.close(other)
    assert not venue.face.streams._subscribers


# -- RECORDINGS ---


def test_recorded_frames_leave_byte_for_byte(venue: Usdm) -> None:
    """To those who asked for that stream; another speed gets its data under its own name."""
    name, data = "btcusdt@depth@100ms", '{"e": "depthUpdate",  "u":1}'
    text = f'{{"stream":"{name}", "data":{data}}}'
    raw, combined = subscribed(venue, name), venue.open(f"/public/stream?streams={name}")
    other = venue.open("/public/stream?streams=btcusdt@depth@0ms")
    partial = subscribed(venue, "btcusdt@depth5")
    venue.face.publish(
        [TapeFrame(name, text, data), TapeFrame("btcusdt@depth5", "x", '{"u":2}')],
        venue.t_ns, actions := [],
    )  # fmt: skip
    sent = [(action.conns, action.text) for action in actions]
    assert sent == [
        ((combined,), text),
        ((raw,), data),
        ((other,), f'{{"stream":"btcusdt@depth@0ms","data":{data}}}'),
        ((partial,), '{"u":2}'),
    ]
    venue.order(price="60000.00", timeInForce="GTX")
    venue.after(1)
    assert venue.read(partial) == []  # the recording tells it, nobody else


# -- CONNECTIONS ---


def test_pings_and_who_does_not_answer(venue: Usdm) -> None:
    conn = subscribed(venue, "btcusdt@trade")
    venue.after(181)
    assert [number for number, _ in venue.pings] == [conn]
    venue.after(2_000)
    assert venue.ended == []
    venue.pongs = False
    venue.after(800)
    assert [type(end).__name__ for end in venue.ended] == ["WsDrop"]


def test_connections_end_with_their_age(venue: Usdm) -> None:
    conn = venue.open("/ws-fapi/v1")
    venue.t_ns += 24 * 3_600 * SECOND - 1
    venue.face.conns.get(conn).pong_ns = venue.t_ns  # type: ignore[union-attr]
    venue.step(Tick())
    assert venue.ended == []
    venue.after(0.001)
    assert [type(end).__name__ for end in venue.ended] == ["WsClose"]
    other = subscribed(venue, "btcusdt@trade")
    ended = venue.face.end_of_age(venue.t_ns)
    assert [action.conn for action in ended] == [other]  # type: ignore[union-attr]


def test_talking_too_fast_ends_a_market_connection(venue: Usdm) -> None:
    conn = venue.open("/public/ws")
    for number in range(10):
        assert venue.say(conn, {"method": "LIST_SUBSCRIPTIONS", "id": number})["id"] == number
    venue.after(1)
    for number in range(11):
        venue.say(conn, {"method": "LIST_SUBSCRIPTIONS", "id": number})
    assert [type(end).__name__ for end in venue.ended] == ["WsClose"]
    api = venue.open("/ws-fapi/v1")
    for _ in range(50):
        assert venue.say(api, {"id": 1, "method": "ping"})["status"] == 200


def test_skewed_clock_shows_in_every_time(venue: Usdm) -> None:
    conn, user = subscribed(venue, "btcusdt@trade"), venue.user_stream()
    venue.face.skew_ns = 7_000 * 1_000_000
    assert venue.get("time")["serverTime"] == venue.now_ms + 7_000
    assert venue.order()[1]["code"] == -1021  # the client's clock is late now
    _, body = venue.signed("POST", "order", timestamp=venue.now_ms + 7_000,
                           **{**ORDER, "price": "60000.10"})  # fmt: skip
    assert body["updateTime"] == venue.now_ms + 7_000
    frames = venue.read(conn) + venue.read(user)
    assert {frame["E"] for frame in frames} == {venue.now_ms + 7_000}
    assert {frame["T"] for frame in frames} == {venue.now_ms + 7_000}


def test_quiet_market_and_core_place() -> None:
    """Users' orders show in the streams whoever placed them."""
    venue = Usdm(quiet_core())
    conn = subscribed(venue, "btcusdt@bookTicker")
    effects = venue.core.step(place(1, Side.BUY, 3, 600_000), venue.t_ns)
    actions: list[Any] = []
    venue.face.publish(effects[1:], venue.t_ns, actions)
    assert [action.conns for action in actions] == [(conn,)]
