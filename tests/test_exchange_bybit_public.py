"""engine.exchange.bybit's public WebSockets: control, books, trades, tickers, candles, tapes."""

import json
from typing import Any, cast

import pytest
from bybit_client import (
    BTC,
    MS,
    START_NS,
    Client,
)

from engine.exchange.commands import ResetSequence, SetTick
from engine.exchange.core import Core
from engine.exchange.events import DepthSnapshot, Market, TapeFrame
from engine.exchange.face import (
    Log,
    WsSend,
    WsText,
)
from engine.exchange.instruments import catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.rules import rules_of

LINEAR, SPOT = "/v5/public/linear", "/v5/public/spot"
PRIVATE, TRADE = "/v5/private", "/v5/trade"


@pytest.fixture
def client() -> Client:
    return Client()


def busy_core(*keys: str) -> Core:
    listings = catalogue("bybit")
    markets = [AgentMarket(listings[key], 1, START_NS) for key in keys]
    return Core(markets, 1, rules=rules_of("bybit"))


# -- CONTROL ---


@pytest.mark.parametrize(
    ("target", "request_fields", "reply"),
    [
        (LINEAR, {}, '{"success":true,"ret_msg":"","conn_id":"ID","req_id":"","op":"subscribe"}'),
        (
            LINEAR,
            {"req_id": 7},
            '{"success":true,"ret_msg":"","conn_id":"ID","req_id":"7","op":"subscribe"}',
        ),
        (SPOT, {}, '{"success":true,"ret_msg":"subscribe","conn_id":"ID","op":"subscribe"}'),
        (
            SPOT,
            {"req_id": "10001"},
            '{"success":true,"ret_msg":"subscribe","conn_id":"ID","req_id":"10001",'
            '"op":"subscribe"}',
        ),
    ],
)
def test_subscribe_acks_as_recorded(
    client: Client, target: str, request_fields: dict[str, Any], reply: str
) -> None:
    conn = client.open(target)
    message = {"op": "subscribe", "args": ["publicTrade.BTCUSDT"], **request_fields}
    for _ in range(2):  # a topic that is subscribed already is fine
        client.inbox[conn] = []
        client.step(WsText(conn, json.dumps(message)))
        assert len(client.inbox[conn]) == 1
        text = client.inbox[conn][0]
        assert text.replace(json.loads(text)["conn_id"], "ID") == reply


def test_pings_as_documented(client: Client) -> None:
    def pong(target: str, **fields: Any) -> tuple[list[str], Any]:
        conn = client.open(target)
        reply = client.say(conn, op="ping", **fields)[0]
        return list(reply), reply

    names, reply = pong(SPOT)
    assert names == ["success", "ret_msg", "conn_id", "op"]
    assert (reply["ret_msg"], reply["op"]) == ("pong", "ping")
    names, reply = pong(LINEAR, req_id="9")
    assert names == ["success", "ret_msg", "conn_id", "req_id", "op"]
    assert reply["req_id"] == "9"
    names, reply = pong(PRIVATE, req_id="test")
    assert names == ["req_id", "op", "args", "conn_id"]
    assert (reply["op"], reply["args"]) == ("pong", ["1700000000000"])
    names, reply = pong(TRADE)
    assert names == ["retCode", "retMsg", "op", "data", "connId"]
    assert reply["data"] == ["1700000000000"]


@pytest.mark.parametrize(
    ("target", "args", "text"),
    [
        (LINEAR, ["orderbook.500.BTCUSDT"], "error:handler not found,topic:orderbook.500.BTCUSDT"),
        (LINEAR, ["tickers.NOPE"], "error:handler not found,topic:tickers.NOPE"),
        (LINEAR, ["no"], "error:handler not found,topic:no"),
        (SPOT, ["tickers.NOPE"], "Invalid symbol :[tickers.NOPE]"),
        (SPOT, [f"kline.{n}.BTCUSDT" for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720, "D")],
         "args size >10"),
        (LINEAR, [], "Params Error"),
        (LINEAR, [1], "Params Error"),
        (PRIVATE, ["order"], "Request not authorized"),
    ],
)  # fmt: skip
def test_one_bad_topic_fails_the_whole_request(
    client: Client, target: str, args: list[Any], text: str
) -> None:
    conn = client.open(target)
    good = [] if len(args) > 10 or not args else ["publicTrade.BTCUSDT"]
    replies = client.say(conn, op="subscribe", args=[*good, *args])
    assert [(r["success"], r["ret_msg"]) for r in replies] == [(False, text)]
    client.order(orderType="Market", price=None)
    client.wait(1)
    assert client.take(conn) == []


def test_linear_takes_more_than_ten_topics_and_only_so_many_characters(client: Client) -> None:
    conn = client.open(LINEAR)
    topics = [f"kline.{n}.BTCUSDT" for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720, "D", "W")]
    assert client.say(conn, op="subscribe", args=topics)[0]["success"] is True
    many = ["publicTrade.BTCUSDT"] * 1_200
    assert client.say(conn, op="subscribe", args=many)[0]["success"] is False


def test_unsubscribe_stops_a_topic(client: Client) -> None:
    conn = client.open(LINEAR)
    client.say(conn, op="subscribe", args=["publicTrade.BTCUSDT", "tickers.BTCUSDT"])
    reply = client.say(conn, op="unsubscribe", args=["publicTrade.BTCUSDT", "none"], req_id="x")
    assert (reply[0]["success"], reply[0]["req_id"], reply[0]["op"]) == (True, "x", "unsubscribe")
    client.order(orderType="Market", price=None)
    client.wait(1)
    assert {message["topic"] for message in client.take(conn)} == {"tickers.BTCUSDT"}


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"op":7}', '{"op":"sub"}', '{"args":1}'])
@pytest.mark.parametrize("target", [LINEAR, SPOT, PRIVATE, TRADE])
def test_nonsense_gets_an_answer(client: Client, target: str, text: str) -> None:
    conn = client.open(target)
    replies = client.say_raw(conn, text)
    assert len(replies) == 1
    is_refused = replies[0].get("success") is False or replies[0].get("retCode", 0) != 0
    assert is_refused, replies
    assert not [action for action in client.actions if isinstance(action, Log)]


# -- BOOKS ---


class Rebuilt:
    """The documents' rule, in dicts of text."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.u = 0
        self.seq = 0
        self.counts = {"snapshot": 0, "delta": 0}

    def apply(self, message: Any) -> None:
        data = message["data"]
        self.counts[message["type"]] += 1
        if message["type"] == "snapshot":
            self.sides = {"b": dict(data["b"]), "a": dict(data["a"])}
        else:
            assert data["u"] == self.u + 1
            for side, levels in self.sides.items():
                for px, qty in data[side]:
                    if qty == "0":
                        del levels[px]  # KeyError: a level that nobody had been told of
                    else:
                        levels[px] = qty
        self.u, self.seq = data["u"], data["seq"]

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = sorted(self.sides["b"].items(), key=lambda own: -float(own[0]))
        return bids, sorted(self.sides["a"].items(), key=lambda own: float(own[0]))


def as_text(core: Core, key: str, depth: DepthSnapshot) -> Any:
    instrument = core.markets[key].instrument

    def shown(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        texts = [(instrument.px.text(px), instrument.qty.text(qty)) for px, qty in levels]
        if key.startswith("spot"):
            texts = [tuple(t.rstrip("0").rstrip(".") if "." in t else t for t in pair)
                     for pair in texts]  # type: ignore[misc]  # fmt: skip
        return texts

    return shown(depth.bids), shown(depth.asks)


@pytest.mark.parametrize(("target", "key"), [(LINEAR, "linear/ETHUSDT"), (SPOT, "spot/ETHUSDT")])
def test_books_rebuilt_from_deltas_equal_the_market(target: str, key: str) -> None:
    client = Client(core=busy_core(key))
    market = client.core.markets[key]
    conn = client.open(target)
    depths = (1, 50, 200, 1000)
    books = {f"orderbook.{depth}.ETHUSDT": Rebuilt() for depth in depths}
    for message in client.say(conn, op="subscribe", args=list(books))[1:]:
        books[message["topic"]].apply(message)
    client.wait(3)
    late = client.open(target)
    late_books = {topic: Rebuilt() for topic in books}
    for message in client.say(late, op="subscribe", args=list(books))[1:]:
        late_books[message["topic"]].apply(message)
    client.wait(3.0001)
    for own, told in ((conn, books), (late, late_books)):
        for message in client.take(own):
            if "topic" in message:
                told[message["topic"]].apply(message)
    for depth in depths:
        topic = f"orderbook.{depth}.ETHUSDT"
        assert books[topic].levels() == late_books[topic].levels()
        assert books[topic].u == late_books[topic].u
        assert books[topic].counts["delta"] == 0 or depth > 1
    for topic, book in books.items():
        if book.seq == market.snapshot(0).update_id:
            depth = int(topic.split(".")[1])
            assert book.levels() == as_text(client.core, key, market.snapshot(depth))
    assert books["orderbook.50.ETHUSDT"].counts["delta"] > 20
    assert any(book.seq == market.snapshot(0).update_id for book in books.values())


def test_push_grid(client: Client) -> None:
    conn = client.open(LINEAR)
    depths = {1: 10, 50: 20, 200: 100, 1000: 200}
    client.say(conn, op="subscribe", args=[f"orderbook.{d}.BTCUSDT" for d in depths])
    client.now_ns += 3 * MS
    client.order(price="59999.90")
    client.wait(0.5)
    stamps = {m["topic"]: m["ts"] - START_NS // MS for m in client.take(conn)}
    assert stamps == {f"orderbook.{d}.BTCUSDT": grid for d, grid in depths.items()}


def test_depth_1_is_sent_again_with_the_same_u_after_three_seconds(client: Client) -> None:
    conn = client.open(LINEAR)
    first = client.say(conn, op="subscribe", args=["orderbook.1.BTCUSDT"])[1]
    client.wait(2.9)
    assert client.take(conn) == []
    client.wait(3.2)
    again = client.take(conn)
    assert [m["ts"] - first["ts"] for m in again] == [3_000, 6_000]
    assert [(m["type"], m["data"]) for m in again] == [("snapshot", first["data"])] * 2


def test_level_pushed_out_of_the_depth_is_deleted(client: Client) -> None:
    conn = client.open(LINEAR)
    book = Rebuilt()
    book.apply(client.say(conn, op="subscribe", args=["orderbook.50.BTCUSDT"])[1])
    worst = book.levels()[0][-1][0]
    client.order(price="60000.00", qty="0.001")
    client.wait(0.1)
    (delta,) = client.take(conn)
    assert delta["data"]["b"] == [["60000.00", "0.001"], [worst, "0"]]
    book.apply(delta)
    assert len(book.sides["b"]) == 50


def test_restart_is_a_snapshot_with_u_1(client: Client) -> None:
    conn = client.open(LINEAR)
    client.say(conn, op="subscribe", args=["orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT"])
    client.order(price="59999.90")
    client.wait(1)
    assert all(m["data"]["u"] > 1_000 for m in client.take(conn))
    client.core.step(ResetSequence(BTC), client.now_ns)
    client.order(price="59999.90")
    client.wait(0.1)
    first = {m["topic"]: m for m in client.take(conn)}
    assert {(m["type"], m["data"]["u"]) for m in first.values()} == {("snapshot", 1)}
    assert len(first["orderbook.50.BTCUSDT"]["data"]["b"]) == 50
    client.order(price="59999.90")
    client.wait(0.1)
    assert {m["data"]["u"] for m in client.take(conn)} == {2}


def test_rest_book_is_the_deepest_topics_book(client: Client) -> None:
    conn = client.open(LINEAR)
    told = client.say(conn, op="subscribe", args=["orderbook.1000.BTCUSDT"])[1]["data"]
    where = {"category": "linear", "symbol": "BTCUSDT"}
    book = client.public("/v5/market/orderbook", **where, limit=3)["result"]
    assert list(book) == ["s", "b", "a", "ts", "u", "seq", "cts"]
    assert (book["u"], book["seq"], book["b"]) == (told["u"], told["seq"], told["b"][:3])
    assert len(client.public("/v5/market/orderbook", **where)["result"]["b"]) == 25
    spot = client.public("/v5/market/orderbook", category="spot", symbol="BTCUSDT")["result"]
    assert len(spot["a"]) == 1
    for limit in (0, 1_001, "x"):
        assert client.public("/v5/market/orderbook", **where, limit=limit)["retCode"] == 10001


class StandIn:
    """A market whose snapshots are old, as a fault puts it in the core for a while."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._old = market.snapshot(1_000)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)

    def snapshot(self, count: int) -> DepthSnapshot:
        return DepthSnapshot(self._old[0], self._old[1][:count], self._old[2][:count])


def test_topic_opened_on_a_stand_in_follows_the_market_afterwards(client: Client) -> None:
    market = client.core.markets[BTC]
    client.core.markets[BTC] = cast(Market, StandIn(market))
    conn, book = client.open(LINEAR), Rebuilt()
    book.apply(client.say(conn, op="subscribe", args=["orderbook.50.BTCUSDT"])[1])
    client.core.markets[BTC] = market
    client.order(price="60000.00", qty="0.001")
    client.wait(0.1)
    (delta,) = client.take(conn)
    book.apply(delta)
    assert book.levels()[0][0] == ("60000.00", "0.001")
    assert book.levels() == as_text(client.core, BTC, market.snapshot(50))


# -- TRADES, TICKERS, CANDLES ---


def test_trades_carry_the_executions_ids(client: Client) -> None:
    public, private = client.open(LINEAR), client.private("execution", "execution.fast")
    client.say(public, op="subscribe", args=["publicTrade.BTCUSDT"])
    client.order(orderType="Market", price=None, qty="1.000")
    (trades,) = client.take(public)
    told = client.take(private)
    ids = [row["i"] for row in trades["data"]]
    assert len(ids) > 1
    for topic in ("execution", "execution.fast"):
        assert [m["data"][0]["execId"] for m in told if m["topic"] == topic] == ids
    assert {row["S"] for row in trades["data"]} == {"Buy"}
    assert trades["data"][0]["L"] == "PlusTick"
    recent = client.public("/v5/market/recent-trade", category="linear", symbol="BTCUSDT", limit=2)
    assert [row["execId"] for row in recent["result"]["list"]] == ids[:-3:-1]


def test_linear_ticker_deltas_add_up_and_spot_sends_it_whole(client: Client) -> None:
    linear, spot = client.open(LINEAR), client.open(SPOT)
    view = client.say(linear, op="subscribe", args=["tickers.BTCUSDT"])[1]["data"]
    first = client.say(spot, op="subscribe", args=["tickers.BTCUSDT"])[1]
    client.order(orderType="Market", price=None, qty="0.400")
    client.order(category="spot", orderType="Market", price=None, qty="900")
    client.wait(0.3)
    deltas = client.take(linear)
    assert {m["type"] for m in deltas} == {"delta"}
    for message in deltas:
        assert message["data"]["symbol"] == "BTCUSDT"
        assert len(message["data"]) < len(view)
        view.update(message["data"])
    row = client.public("/v5/market/tickers", category="linear", symbol="BTCUSDT")["result"][
        "list"
    ]
    for name in ("lastPrice", "bid1Price", "ask1Size", "volume24h", "turnover24h", "markPrice"):
        assert view[name] == row[0][name], name
    wholes = client.take(spot)
    assert [m["type"] for m in wholes] == ["snapshot"]
    assert list(wholes[0]["data"]) == list(first["data"])
    assert wholes[0]["data"] != first["data"]


def test_candles_close_and_add_up(client: Client) -> None:
    conn = client.open(LINEAR)
    client.say(conn, op="subscribe", args=["kline.1.BTCUSDT"])
    client.wait(5)
    client.order(orderType="Market", price=None, qty="0.400")
    client.wait(1.5)
    (running,) = client.take(conn)
    row = running["data"][0]
    assert (row["confirm"], row["volume"], row["open"]) == (False, "0.4", "60000.1")
    client.wait(60)
    closing = next(m for m in client.take(conn) if len(m["data"]) == 2)
    closed, opened = closing["data"]
    assert (closed["confirm"], opened["confirm"]) == (True, False)
    assert closed["end"] + 1 == opened["start"]
    assert opened["open"] == closed["close"]
    where = {"category": "linear", "symbol": "BTCUSDT"}
    rows = client.public("/v5/market/kline", **where, interval="1")["result"]["list"]
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)
    assert sum(float(row[5]) for row in rows) == pytest.approx(0.4)
    hours = client.public("/v5/market/kline", **where, interval="60")["result"]["list"]
    assert [row[5] for row in hours] == ["0.4"]
    assert client.public("/v5/market/kline", **where, interval="2")["retCode"] == 10001


def test_finer_tick_tells_books_whole(client: Client) -> None:
    conn = client.open(LINEAR)
    book, told = Rebuilt(), []
    book.apply(client.say(conn, op="subscribe", args=["orderbook.50.BTCUSDT"])[1])
    client.order(orderType="Market", price=None)
    client.face.publish(client.core.step(SetTick(BTC, 10), client.now_ns), client.now_ns)
    client.wait(0.1)
    for message in client.take(conn):
        told.append((message["type"], message["data"]["b"][0]))
    assert told == [("snapshot", ["59999.90", book.sides["b"]["59999.90"]])]
    listed = client.public("/v5/market/instruments-info", category="linear", symbol="BTCUSDT")
    assert listed["result"]["list"][0]["priceFilter"]["tickSize"] == "0.01"
    assert client.order(price="59000.01")["retCode"] == 0
    day = client.public("/v5/market/tickers", category="linear", symbol="BTCUSDT")
    assert float(day["result"]["list"][0]["highPrice24h"]) == pytest.approx(60_000, rel=0.01)


# -- RECORDINGS ---


def test_recorded_messages_go_out_as_they_were(client: Client) -> None:
    conn, spot = client.open(LINEAR), client.open(SPOT)
    topics = ["orderbook.200.BTCUSDT", "publicTrade.BTCUSDT"]
    for own in (conn, spot):
        client.say(own, op="subscribe", args=topics)
    linear_text = (
        '{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":[],'
        '"a":[["65114.30","10.488"]],"u":7,"seq":9},"cts":1}'
    )
    spot_text = (
        '{"topic":"publicTrade.BTCUSDT","ts":2,"type":"snapshot","data":[{"i":"2290","T":1,'
        '"p":"65140.5","v":"0.002705","S":"Buy","seq":1,"s":"BTCUSDT","BT":false,"RPI":false}]}'
    )
    frames = [
        TapeFrame("orderbook.200.BTCUSDT", linear_text, linear_text),
        TapeFrame("spot/publicTrade.BTCUSDT", spot_text, spot_text),
        TapeFrame("publicTrade.BTCUSDT", spot_text, spot_text),
    ]
    sends = [a for a in client.face.publish(frames, client.now_ns) if isinstance(a, WsSend)]
    assert [(a.conns, a.text) for a in sends] == [
        ((conn,), linear_text),
        ((spot,), spot_text),
        ((spot,), spot_text),
    ]
    client.order(price="59999.90")
    client.wait(1)
    assert client.take(conn) == []  # the recorded topic is the recording's alone
    recent = client.public("/v5/market/recent-trade", category="spot", symbol="BTCUSDT")
    assert [row["execId"] for row in recent["result"]["list"]] == ["2290", "2290"]
