"""Market data of the Binance Spot face: streams, their chains, the control plane, requests."""

import json
from itertools import pairwise
from typing import Any

import pytest
from support_exchange import quiet_core
from support_spot import SECOND, START_NS, Venue, market_order, wanted

from engine.exchange.binance.spot_history import SpotHistory, interval_end_ns
from engine.exchange.book import Side
from engine.exchange.commands import SetTick
from engine.exchange.core import Core
from engine.exchange.events import Accepted, Trade
from engine.exchange.face import (
    Action,
    ConnKind,
    HttpRequest,
    Trouble,
    WsClose,
    WsDrop,
    WsPing,
    WsPingOut,
    WsSend,
    WsText,
)
from engine.exchange.instruments import catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.rules import rules_of

MINUTE = 60 * SECOND


@pytest.fixture
def venue() -> Venue:
    return Venue(quiet_core(venue="binance_spot", keys=("BTCUSDT", "ETHUSDT")))


class Book:
    """The venue's rule for a local book, over decimal text."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id: int = snapshot["lastUpdateId"]
        self.sides = (dict(snapshot["bids"]), dict(snapshot["asks"]))

    def apply(self, diff: dict[str, Any]) -> None:
        if diff["u"] <= self.last_id:
            return
        assert diff["U"] <= self.last_id + 1, "a hole in the chain"
        self.last_id = diff["u"]
        for side, levels in zip(self.sides, (diff["b"], diff["a"]), strict=True):
            for px, qty in levels:
                if float(qty):
                    side[px] = qty
                else:
                    side.pop(px, None)


# -- DEPTH ---


@pytest.mark.parametrize(("kind", "interval_s"), [("depth", 1.0), ("depth@100ms", 0.1)])
def test_depth_chain_has_no_holes_and_keeps_its_speed(kind: str, interval_s: float) -> None:
    venue = Venue(limit_factor=100)
    conn = venue.open(f"/ws/btcusdt@{kind}")
    book = Book(venue.get("depth", symbol="BTCUSDT", limit=5000))
    previous: dict[str, Any] | None = None
    for number in range(60):
        if number % 3:
            venue.order(side="SELL", price=str(60001 + number))
        else:
            venue.order(**market_order())
        for diff in venue.read(conn):
            assert "pu" not in diff
            if previous is not None:
                assert diff["U"] == previous["u"] + 1
                assert diff["E"] - previous["E"] >= interval_s * 1000
            previous = diff
            book.apply(diff)
        venue.after(0.03)
    venue.after(interval_s)
    for diff in venue.read(conn):
        book.apply(diff)
    now = venue.get("depth", symbol="BTCUSDT", limit=5000)
    assert book.last_id == now["lastUpdateId"]
    assert book.sides == (dict(now["bids"]), dict(now["asks"]))


def test_each_speed_has_its_own_chain(venue: Venue) -> None:
    slow, fast = venue.open("/ws/btcusdt@depth"), venue.open("/ws/btcusdt@depth@100ms")
    venue.order()
    venue.read(slow), venue.read(fast)
    for _ in range(3):
        venue.order()
        venue.after(0.1)
    assert len(venue.read(fast)) == 3
    assert venue.read(slow) == []
    venue.after(1)
    (diff,) = venue.read(slow)
    assert diff["u"] - diff["U"] == 2


def test_partial_depth_tells_the_top_when_it_changed(venue: Venue) -> None:
    conn = venue.open("/ws/btcusdt@depth5@100ms")
    venue.order()
    venue.after(0.2)
    (frame,) = venue.read(conn)
    assert list(frame) == ["lastUpdateId", "bids", "asks"]
    assert (len(frame["bids"]), len(frame["asks"])) == (5, 5)
    venue.after(1)
    assert venue.read(conn) == []


def test_candle_is_told_once_more_when_it_is_closed(venue: Venue) -> None:
    conn = venue.open("/ws/btcusdt@kline_1s")
    for _ in range(4):
        venue.order(**market_order(quantity="0.001"))
        venue.after(1)
    candles = [frame["k"] for frame in venue.read(conn)]
    told: dict[int, list[bool]] = {}
    for candle in candles:
        told.setdefault(candle["t"] - START_NS // 1_000_000, []).append(candle["x"])
    assert told == {
        1_000: [False, True],
        2_000: [False, True],
        3_000: [False, True],
        4_000: [False],
    }
    closed = [candle for candle in candles if candle["x"]]
    assert [(candle["v"], candle["n"]) for candle in closed] == [("0.00100000", 1)] * 3
    assert all(candle["T"] == candle["t"] + 999 for candle in candles)


# -- CONTROL ---


def test_raw_connection_of_any_name_subscribes(venue: Venue) -> None:
    for target in ("/ws/0", "/stream/ws/17", "/ws"):
        conn = venue.open(target)
        venue.say(conn, {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 5})
        venue.order(price="59999.99")
        ack, frame = venue.read(conn)
        assert ack == {"result": None, "id": 5}
        assert set(frame) == {"u", "s", "b", "B", "a", "A"}
        venue.close(conn)


def test_control_messages_are_answered_as_documented(venue: Venue) -> None:
    conn = venue.open("/stream")
    conversation = [
        ({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}, {"result": None, "id": 1}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": "a"}, {"result": ["btcusdt@trade"], "id": "a"}),
        ({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}, {"result": True, "id": 2}),
        (
            {"method": "SET_PROPERTY", "params": ["combined", False], "id": 5},
            {"result": None, "id": 5},
        ),
    ]
    for said, answered in conversation:
        venue.say(conn, said)
        assert venue.read(conn) == [answered]
    venue.after(1)
    venue.order(**market_order(quantity="0.001"))
    assert "stream" not in venue.read(conn)[0]
    venue.say(conn, {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 312})
    assert venue.read(conn) == [{"result": None, "id": 312}]
    venue.order(**market_order(quantity="0.001"))
    assert venue.read(conn) == []
    venue.after(1)
    venue.say(conn, "nonsense")
    (error,) = venue.read(conn)
    assert error["error"]["code"] == 3


def test_combined_frames_name_their_stream(venue: Venue) -> None:
    conn = venue.open("/stream?streams=btcusdt@trade/ethusdt@bookTicker")
    venue.order(**market_order(quantity="0.001"))
    (frame,) = venue.read(conn)
    assert frame["stream"] == "btcusdt@trade"
    assert frame["data"]["e"] == "trade"


def test_talkative_connection_is_closed(venue: Venue) -> None:
    conn = venue.open("/ws")
    for _ in range(5):
        venue.step(WsPing(conn))
        assert not venue.actions
    venue.step(WsPing(conn))
    assert [type(action) for action in venue.actions] == [WsClose]


def test_server_pings_and_drops_the_silent(venue: Venue) -> None:
    conn = venue.open("/ws")
    venue.after(20)
    assert [a.conn for a in venue.actions if isinstance(a, WsPingOut)] == [conn]
    venue.after(41)
    assert [a.conn for a in venue.actions if isinstance(a, WsDrop)] == [conn]


def test_targets_tell_what_they_are_for(venue: Venue) -> None:
    face = venue.face
    assert face.kind_of("/ws-api/v3?returnRateLimits=false") is ConnKind.TRADE
    assert face.kind_of("/ws/btcusdt@depth") is ConnKind.MARKET
    assert venue.open("/nowhere") not in {conn.number for conn in face.conns}


# -- TIME UNITS ---


def test_microseconds_on_one_stream_and_milliseconds_on_another(venue: Venue) -> None:
    micro = venue.open("/ws/btcusdt@trade?timeUnit=MICROSECOND")
    milli = venue.open("/ws/btcusdt@trade")
    venue.order(**market_order(quantity="0.001"))
    assert venue.read(micro)[0]["T"] == START_NS // 1_000
    assert venue.read(milli)[0]["T"] == START_NS // 1_000_000
    venue.close(micro)
    assert not venue.face.spot_streams._micro_conns
    venue.order(**market_order(quantity="0.001"))
    assert len(venue.read(milli)) == 1


def test_microseconds_in_answers(venue: Venue) -> None:
    unit = {"x_mbx_time_unit": "MICROSECOND"}
    assert venue.rest("GET", "/api/v3/time", **unit)[1] == {"serverTime": START_NS // 1_000}
    status, body, _ = venue.rest("GET", "/api/v3/time", x_mbx_time_unit="NANOSECOND")
    assert (status, body["code"]) == (400, -1194)
    conn = venue.open("/ws-api/v3?timeUnit=MICROSECOND")
    assert venue.api(conn, "time")["result"] == {"serverTime": START_NS // 1_000}
    venue.api_signed(conn, "userDataStream.subscribe.signature")
    venue.order()
    assert venue.events(conn)[0]["E"] == START_NS // 1_000


def test_skewed_clock_shows_in_every_time(venue: Venue) -> None:
    conn = venue.open("/ws/btcusdt@trade")
    venue.face.skew_ns = 7 * SECOND
    assert venue.get("time")["serverTime"] == START_NS // 1_000_000 + 7_000
    stamp = {"timestamp": START_NS // 1_000_000}
    assert venue.signed("GET", "/api/v3/account", **stamp)[1]["code"] == -1021
    venue.face.skew_ns = 3 * SECOND
    venue.order(**market_order(quantity="0.001"))
    assert venue.read(conn)[0]["E"] == START_NS // 1_000_000 + 3_000


# -- REQUESTS ---


def test_exchange_info_by_symbol_list_and_permission(venue: Venue) -> None:
    def names(**params: str) -> list[str]:
        return [row["symbol"] for row in venue.get("exchangeInfo", **params)["symbols"]]

    assert names() == ["BTCUSDT", "ETHUSDT"]
    assert names(symbol="ETHUSDT") == ["ETHUSDT"]
    assert names(symbols='["ETHUSDT","BTCUSDT"]') == ["ETHUSDT", "BTCUSDT"]
    assert names(permissions="SPOT") == ["BTCUSDT", "ETHUSDT"]
    assert names(permissions='["LEVERAGED"]') == []
    assert names(symbolStatus="HALT") == []
    conn = venue.open("/ws-api/v3")
    listed = venue.api(conn, "exchangeInfo", symbols=["BTCUSDT"])
    assert [row["symbol"] for row in listed["result"]["symbols"]] == ["BTCUSDT"]


def test_order_filters_are_those_that_exchange_info_tells(venue: Venue) -> None:
    rows = venue.get("exchangeInfo", symbol="BTCUSDT")["symbols"][0]["filters"]
    named = {row["filterType"]: row for row in rows}
    near = named["PERCENT_PRICE_BY_SIDE"]
    bid_px, ask_px = 59_999.99, 60_000.01
    for side, px, is_taken in (
        ("BUY", round(ask_px * float(near["bidMultiplierUp"]) - 1, 2), True),
        ("BUY", round(ask_px * float(near["bidMultiplierUp"]) + 1, 2), False),
        ("BUY", round(bid_px * float(near["bidMultiplierDown"]) + 1, 2), True),
        ("BUY", round(bid_px * float(near["bidMultiplierDown"]) - 1, 2), False),
        ("SELL", round(bid_px * float(near["askMultiplierDown"]) + 1, 2), True),
        ("SELL", round(bid_px * float(near["askMultiplierDown"]) - 1, 2), False),
        ("SELL", round(ask_px * float(near["askMultiplierUp"]) - 1, 2), True),
        ("SELL", round(ask_px * float(near["askMultiplierUp"]) + 1, 2), False),
    ):
        status, _ = venue.order(side=side, price=str(px), quantity="0.001")
        assert (status == 200) is is_taken, (side, px)
    least = float(named["NOTIONAL"]["minNotional"])
    assert venue.order(price="50000", quantity=f"{least / 50000:.5f}")[0] == 200
    assert venue.order(price="50000", quantity=f"{least / 50000 - 0.00001:.5f}")[0] == 400


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("exchangeInfo", "symbol=NOPE", -1121),
        ("exchangeInfo", 'symbols=["BTCUSDT","BTCUSDT"]', -1151),
        ("exchangeInfo", "symbols=[BTCUSDT]", -1100),
        ("exchangeInfo", 'symbol=BTCUSDT&symbols=["BTCUSDT"]', -1128),
        ("exchangeInfo", "symbolStatus=OPEN", -1122),
        ("depth", "limit=5", -1102),
        ("depth", "symbol=BTCUSDT&symbolStatus=HALT", -1220),
        ("klines", "symbol=BTCUSDT&interval=2m", -1120),
        ("ticker", "windowSize=1h", -1102),
        ("ticker", "symbol=BTCUSDT&windowSize=8d", -1130),
        ("ticker/24hr", "type=TINY", -1139),
        ("trades", "symbol=btcusdt", -1121),
    ],
)
def test_bad_requests_get_the_venues_codes(venue: Venue, path: str, query: str, code: int) -> None:
    status, body, _ = venue.rest("GET", f"/api/v3/{path}", query)
    assert (status, body["code"]) == (400, code)


def test_unknown_path_is_not_found(venue: Venue) -> None:
    assert venue.rest("GET", "/api/v3/nothing")[0] == 404
    assert venue.rest("POST", "/api/v3/depth")[0] == 404


def test_tickers_of_several_symbols_are_lists(venue: Venue) -> None:
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
        assert len(venue.get(path)) == 2
        assert len(venue.get(path, symbols='["ETHUSDT"]')) == 1
        assert venue.get(path, symbol="ETHUSDT")["symbol"] == "ETHUSDT"


def test_trades_and_candles_add_up(venue: Venue) -> None:
    for _ in range(3):
        venue.order(**market_order(quantity="0.002"))
        venue.after(61)
    trades = venue.get("trades", symbol="BTCUSDT")
    total = sum(float(trade["qty"]) for trade in trades)
    assert total == pytest.approx(0.006)
    assert len(venue.get("trades", symbol="BTCUSDT", limit=2)) == 2
    first = trades[0]["id"]
    from_first = venue.get("historicalTrades", symbol="BTCUSDT", fromId=first, limit=1)
    assert [trade["id"] for trade in from_first] == [first]
    rows = venue.get("klines", symbol="BTCUSDT", interval="1m")
    assert sum(float(row[5]) for row in rows) == pytest.approx(total)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert all(row[6] == row[0] + 59_999 for row in rows)
    since = venue.get("klines", symbol="BTCUSDT", interval="1m", startTime=rows[1][0], limit=1)
    assert since == [rows[1]]
    until = venue.get("klines", symbol="BTCUSDT", interval="1m", endTime=rows[1][0])
    assert until == rows[:2]
    for interval in ("1s", "3m", "1h", "1d", "1w", "1M"):
        wide = venue.get("klines", symbol="BTCUSDT", interval=interval, limit=1000)
        assert sum(float(row[5]) for row in wide) == pytest.approx(total), interval
    day = venue.get("ticker/24hr", symbol="BTCUSDT")
    assert float(day["volume"]) == pytest.approx(total)
    assert day["count"] == len(trades)
    window = venue.get("ticker", symbol="BTCUSDT", windowSize="1m")
    assert float(window["volume"]) < total


def test_aggregate_trades_join_fills_of_one_taker_at_one_price(venue: Venue) -> None:
    for _ in range(2):
        venue.order(side="SELL", price="60000", quantity="0.001")
    venue.order(venue.key(1), price="60000", quantity="0.002")
    aggs = venue.get("aggTrades", symbol="BTCUSDT")
    assert [agg["q"] for agg in aggs] == ["0.00200000"]
    assert aggs[0]["l"] == aggs[0]["f"] + 1
    assert len(venue.get("trades", symbol="BTCUSDT")) == 2


# -- LIMITS ---


def test_weight_is_told_and_runs_out(venue: Venue) -> None:
    headers = venue.rest("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=5000")[2]
    assert headers["X-MBX-USED-WEIGHT-1M"] == "250"
    for _ in range(23):
        venue.rest("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=5000")
    status, body, headers = venue.rest("GET", "/api/v3/ping")
    assert (status, body["code"]) == (429, -1003)
    assert int(headers["Retry-After"]) > 0
    venue.after(60)
    assert venue.rest("GET", "/api/v3/ping")[0] == 200


def test_successful_orders_cost_no_weight_and_failed_ones_do(venue: Venue) -> None:
    venue.order()
    used = venue.rest("GET", "/api/v3/ping")[2]["X-MBX-USED-WEIGHT-1M"]
    venue.order()
    assert venue.rest("GET", "/api/v3/ping")[2]["X-MBX-USED-WEIGHT-1M"] == str(int(used) + 1)
    venue.order(price="0")
    assert venue.rest("GET", "/api/v3/ping")[2]["X-MBX-USED-WEIGHT-1M"] == str(int(used) + 3)


def count(venue: Venue, account: int = 0) -> int:
    rows = venue.signed("GET", "/api/v3/rateLimit/order", venue.key(account))[1]
    return int(rows[0]["count"])


def test_unfilled_orders_are_counted_and_fills_give_places_back(venue: Venue) -> None:
    for _ in range(6):
        venue.order(price="60000")
    venue.order(price="0")  # refused: not counted
    assert (count(venue), count(venue, 1)) == (6, 0)
    venue.order(venue.key(1), **market_order(side="SELL", quantity="0.005"))
    assert count(venue, 1) == 0  # filled as a taker: one back
    assert count(venue) == 1  # filled as a maker: five back
    venue.order(venue.key(1), **market_order(side="SELL", quantity="0.001"))
    assert count(venue) == 1  # only the first fill counts
    venue.after(10)
    assert count(venue) == 0


def test_cancel_replace_counts_what_was_placed_or_not_attempted(venue: Venue) -> None:
    path = "/api/v3/order/cancelReplace"
    gone = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": 77}
    venue.signed("POST", path, **wanted(gone))
    assert count(venue) == 1  # not attempted
    order_id = venue.order()[1]["orderId"]
    there = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id}
    maker = {"type": "LIMIT_MAKER", "timeInForce": None, "price": "61000"}
    venue.signed("POST", path, **wanted({**there, **maker}))
    assert count(venue) == 2  # refused
    venue.signed("POST", path, **wanted({**there, "price": "1.001"}))
    assert count(venue) == 2  # a filter failure
    venue.signed("POST", path, **wanted({**there, "nonsense": "1"}))
    venue.order(nonsense="1")
    assert count(venue) == 2  # not read


def test_too_many_new_orders_are_refused_until_the_window_ends(venue: Venue) -> None:
    for _ in range(50):
        assert venue.order(quantity="0.001")[0] == 200
    status, body = venue.order(quantity="0.001")
    assert (status, body["code"]) == (429, -1015)
    assert body["msg"] == "Too many new orders; current limit is 50 orders per 10 SECOND."
    venue.after(10)
    assert venue.order(quantity="0.001")[0] == 200


def test_limits_may_be_wider_for_load_tests() -> None:
    venue = Venue(limit_factor=7)
    rows = venue.get("exchangeInfo")["rateLimits"]
    assert [row["limit"] for row in rows] == [42_000, 350, 1_120_000, 2_100_000]


# -- CHANGES OF THE INSTRUMENT ---


def test_finer_tick_ends_orders_and_shows_everywhere(venue: Venue) -> None:
    venue.order(**market_order(quantity="0.001"))
    before = venue.get("klines", symbol="BTCUSDT", interval="1s")
    venue.user_stream()
    venue.order()
    accepted, *caused = venue.core.step(SetTick("BTCUSDT", 10), venue.t_ns)
    assert isinstance(accepted, Accepted)
    actions: list[Action] = []
    venue.face.publish(caused, venue.t_ns, actions)
    texts = [action.text for action in actions if isinstance(action, WsSend)]
    assert ['"X":"EXPIRED"' in text for text in texts] == [True, False]  # and its money is free
    rows = venue.get("exchangeInfo", symbol="BTCUSDT")["symbols"][0]["filters"]
    assert rows[0]["tickSize"] == "0.00100000"
    assert venue.signed("GET", "/api/v3/openOrders")[1] == []
    assert venue.get("klines", symbol="BTCUSDT", interval="1s") == before
    assert venue.order(price="59000.001")[1]["price"] == "59000.00100000"


@pytest.mark.parametrize("kind", ["depth", "depth@100ms"])
@pytest.mark.parametrize("query", ["", "?timeUnit=MICROSECOND"])
def test_finer_tick_leaves_no_hole_in_a_depth_chain(kind: str, query: str) -> None:
    listing = catalogue("binance_spot")["BTCUSDT"]
    core = Core([AgentMarket(listing, 3, START_NS)], 3, rules=rules_of("binance_spot"))
    venue = Venue(core)
    conn = venue.open(f"/ws/btcusdt@{kind}{query}")
    for step in range(80):
        venue.after(0.05)
        if step == 33:
            assert isinstance(core.operate(SetTick("BTCUSDT", 10), venue.t_ns), Accepted)
    diffs = venue.read(conn)
    assert len(diffs) >= 4
    for one, other in pairwise(diffs):
        assert other["U"] == one["u"] + 1
    told = {float(px) for diff in diffs for px, _ in (*diff["b"], *diff["a"])}
    assert 50_000 < min(told) <= max(told) < 70_000


# -- THE AGENTS' MARKET ---


def test_book_of_a_lively_market_is_the_exchanges_at_the_same_id() -> None:
    listing = catalogue("binance_spot")["BTCUSDT"]
    core = Core([AgentMarket(listing, 3, START_NS)], 3, rules=rules_of("binance_spot"))
    venue = Venue(core, limit_factor=100)
    conn = venue.open("/ws/btcusdt@depth@100ms")
    venue.after(1)
    book = Book(venue.get("depth", symbol="BTCUSDT", limit=5000))
    applied = 0
    for _ in range(200):
        venue.after(0.05)
        for diff in venue.read(conn):
            book.apply(diff)
            applied += 1
    venue.after(0.1)
    for diff in venue.read(conn):
        book.apply(diff)
    assert applied > 50
    now = venue.get("depth", symbol="BTCUSDT", limit=5000)
    assert book.last_id == now["lastUpdateId"]
    assert book.sides == (dict(now["bids"]), dict(now["asks"]))


# -- TROUBLE ---


def test_venue_in_trouble_answers_in_its_own_form(venue: Venue) -> None:
    request = HttpRequest(9, "POST", "/api/v3/order", "", "", {})
    (answer,) = venue.face.trouble(request, Trouble.UNKNOWN, 0)
    assert json.loads(answer.body)["code"] == -1007
    assert answer.status == 503
    (answer,) = venue.face.trouble(request, Trouble.INTERNAL, 0)
    assert (answer.status, answer.body[:6]) == (502, "<html>")
    (answer,) = venue.face.trouble(request, Trouble.THROTTLED, 30)
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (429, "30")
    assert "current limit is 6000 request weight per 1 MINUTE" in answer.body
    conn = venue.open("/ws-api/v3")
    said = WsText(conn, '{"id":7,"method":"ping"}')
    (send,) = venue.face.trouble(said, Trouble.BANNED, 120)
    told = json.loads(send.text)
    assert (told["id"], told["status"], told["error"]["code"]) == (7, 418, -1003)


# -- HISTORY ---


def trade(t_ns: int, px_ticks: int) -> Trade:
    return Trade(t_ns, "BTCUSDT", t_ns // SECOND, px_ticks, 2, Side.BUY, None, None)


def test_second_candles_fill_the_gaps() -> None:
    history = SpotHistory()
    for second, px_ticks in ((10, 100), (13, 130)):
        history.add(trade(second * SECOND, px_ticks))
    rows = list(history.candles("1s", 15 * SECOND))
    assert [row.open_ns // SECOND for row in rows] == [10, 11, 12, 13, 14, 15]
    assert [row.close_px for row in rows] == [100, 100, 100, 130, 130, 130]
    assert [row.lots for row in rows] == [2, 0, 0, 2, 0, 0]


def test_months_end_with_the_calendar() -> None:
    february = 1_706_745_600 * SECOND  # 2024-02-01
    assert (interval_end_ns("1M", february) - february) // (86_400 * SECOND) == 29
    history = SpotHistory()
    history.add(trade(february - SECOND, 100))
    history.add(trade(february + SECOND, 110))
    rows = list(history.candles("1M", february + 2 * SECOND))
    assert [row.close_px for row in rows] == [100, 110]
    assert rows[1].open_ns == february


def test_window_forgets_what_is_older() -> None:
    history = SpotHistory()
    history.add(trade(1 * MINUTE, 100))
    history.add(trade(10 * MINUTE, 150))
    window = history.window(11 * MINUTE, 5 * MINUTE)
    assert (window.open_px, window.lots, window.count) == (150, 2, 1)
    empty = history.window(60 * MINUTE, 5 * MINUTE)
    assert (empty.close_px, empty.lots) == (150, 0)
