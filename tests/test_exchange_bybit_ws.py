"""engine.exchange.bybit over WebSockets: control, books, trades, tickers, candles, order entry,
logons, silence, disconnection protection, faults."""

import json
from typing import Any

import pytest
from bybit_client import (
    BTC,
    MS,
    SECOND_NS,
    START_NS,
    UNLIMITED,
    Client,
    digest,
    order_of,
    quiet_core,
)

from engine.exchange.book import Side
from engine.exchange.bybit.limits import LimitRules
from engine.exchange.core import Core
from engine.exchange.events import DepthSnapshot, Place, ResetSequence, SetTick, TapeFrame
from engine.exchange.face import (
    ConnKind,
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    Trouble,
    WsClose,
    WsOpen,
    WsPing,
    WsRefuse,
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


# -- PRIVATE TOPICS ---


def test_life_of_an_order_on_the_topics(client: Client) -> None:
    conn = client.private("order", "execution", "position", "wallet")
    client.order(price="60000.00", qty="0.010", orderLinkId="life")
    client.cross(BTC, Side.SELL, 4, 600_000)
    client.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId="life")
    told = client.take(conn)
    orders = [m["data"][0] for m in told if m["topic"] == "order"]
    assert [(o["orderStatus"], o["leavesQty"], o["cumExecQty"]) for o in orders] == [
        ("New", "0.010", "0"),
        ("PartiallyFilled", "0.006", "0.004"),
        ("Cancelled", "0", "0.004"),
    ]
    assert [o["rejectReason"] for o in orders][-1] == "EC_PerCancelRequest"
    assert len({o["orderId"] for o in orders}) == 1
    (execution,) = [m["data"][0] for m in told if m["topic"] == "execution"]
    assert (execution["isMaker"], execution["feeRate"], execution["leavesQty"]) == (
        True, "0.0002", "0.006",
    )  # fmt: skip
    assert orders[1]["cumExecFee"] == execution["execFee"]
    (position,) = [m["data"][0] for m in told if m["topic"] == "position"]
    assert (position["side"], position["size"], position["entryPrice"]) == (
        "Buy",
        "0.004",
        "60000",
    )
    (wallet,) = [m["data"][0] for m in told if m["topic"] == "wallet"]
    assert (wallet["accountType"], [c["coin"] for c in wallet["coin"]]) == ("UNIFIED", ["USDT"])
    shown = client.get("/v5/account/wallet-balance", accountType="UNIFIED", coin="USDT")
    balances = [own["coin"][0]["walletBalance"] for own in (shown["result"]["list"][0], wallet)]
    assert balances == ["99999.952", "99999.952"]


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"timeInForce": "PostOnly", "price": "60010"}, "Cancelled",
         "EC_PostOnlyWillTakeLiquidity"),
        ({"timeInForce": "IOC", "price": "59999"}, "Cancelled", "EC_NoImmediateQtyToFill"),
        ({"timeInForce": "FOK", "price": "60000.1", "qty": "5"}, "Cancelled",
         "EC_CancelForNoFullFill"),
        ({"timeInForce": "IOC", "price": "60000.1", "qty": "5"}, "Cancelled",
         "EC_NoImmediateQtyToFill"),
        ({"category": "spot", "timeInForce": "IOC", "price": "60000.1", "qty": "1.5"},
         "PartiallyFilledCanceled", "EC_NoImmediateQtyToFill"),
    ],
)  # fmt: skip
def test_orders_that_are_taken_in_and_end_at_once(
    client: Client, fields: dict[str, Any], status: str, reason: str
) -> None:
    conn = client.private("order")
    assert client.order(**fields)["retCode"] == 0
    last = client.take(conn)[-1]["data"][0]
    assert (last["orderStatus"], last["rejectReason"], last["leavesQty"]) == (status, reason, "0")


def test_fees_and_sizes_of_a_sweep_are_those_of_each_moment(client: Client) -> None:
    conn = client.private("order", "execution", "position")
    client.order(orderType="Market", price=None, qty="2.000")
    told = client.take(conn)
    fills = [m["data"][0] for m in told if m["topic"] == "execution"]
    orders = [m["data"][0] for m in told if m["topic"] == "order"][1:]
    assert len(fills) == len(orders) > 2
    paid = 0.0
    for fill, order in zip(fills, orders, strict=True):
        paid += float(fill["execFee"])
        assert float(order["cumExecFee"]) == pytest.approx(paid)
        assert fill["leavesQty"] == order["leavesQty"]
    assert [m["data"][0]["size"] for m in told if m["topic"] == "position"] == ["2.000"]
    client.order(orderType="Market", price=None, side="Sell", qty="2.500")
    fills = [m["data"][0] for m in client.take(conn) if m["topic"] == "execution"]
    closed = sum(float(fill["closedSize"]) for fill in fills)
    assert closed == pytest.approx(2.0)


def test_self_trade_prevention(client: Client) -> None:
    conn = client.private("order")
    client.order(side="Sell", price="60000.00", qty="0.010", orderLinkId="maker")
    client.order(price="60000.00", qty="0.010", orderLinkId="taker", smpType="CancelMaker")
    last = {}
    for message in client.take(conn):
        row = message["data"][0]
        last[row["orderLinkId"]] = (row["orderStatus"], row["cancelType"], row["smpType"])
    assert last["taker"] == ("New", "UNKNOWN", "CancelMaker")
    assert last["maker"] == ("Cancelled", "CancelBySmp", "None")


def test_topics_by_product_line(client: Client) -> None:
    conn = client.private("order.linear", "execution.spot")
    client.order()
    client.order(category="spot", qty="0.001", price="59000")
    assert [m["topic"] for m in client.take(conn)] == ["order.linear"]
    client.order(category="spot", orderType="Market", price=None, qty="100")
    assert {m["topic"] for m in client.take(conn)} == {"execution.spot"}
    other = client.private("wallet")
    mixed = client.say(other, op="subscribe", args=["order", "order.linear"])[0]
    assert mixed["success"] is False
    assert client.say(other, op="subscribe", args=["orders"])[0]["success"] is False
    assert client.say(other, op="subscribe", args=["greeks"])[0]["success"] is True


def test_only_the_owner_is_told(client: Client) -> None:
    mine = client.private("order", "execution", "wallet")
    theirs = client.private("order", "execution", "wallet", key=client.core.keys[1].keys[0])
    client.order()
    assert client.take(theirs) == []
    assert [m["topic"] for m in client.take(mine)] == ["order"]


def test_logon(client: Client) -> None:
    conn = client.open(PRIVATE)
    assert client.logon(conn, expires_ms=0)["success"] is False
    stranger = client.core.keys[0].ed25519
    assert client.logon(conn, stranger)["success"] is False
    for args in ([], ["a"], [1, 2, 3], ["a", None, "b"], ["a", "x", "b"]):
        assert client.say(conn, op="auth", args=args)[0]["success"] is False
    good = client.logon(conn)
    assert list(good) == ["success", "ret_msg", "op", "conn_id"]
    assert (good["success"], good["op"]) == (True, "auth")
    expires = str(client.now_ns // MS + 1_000)
    args = [client.key.api_key, expires, digest(client.key.secret, f"GET/realtime{expires}")]
    assert client.say(client.open(PRIVATE), op="auth", args=args)[0]["success"] is True


def test_deleted_key_ends_its_sessions_and_no_others(client: Client) -> None:
    mine, trade = client.private("order"), client.open(TRADE)
    other = client.private("order", key=client.core.keys[0].keys[1])
    client.logon(trade)
    management = client.core.keyring.management
    client.post("/v5/user/delete-sub-api", management, apikey=client.key.api_key)
    assert list(client.closed) == [mine]
    reply = client.trade(trade, "order.create", order_of())
    assert (reply["retCode"], reply["data"]) == (10003, {})
    assert client.logon(client.open(PRIVATE))["success"] is False
    assert client.logon(client.open(TRADE))["retCode"] == 10003
    client.key = client.core.keys[0].keys[1]
    client.order()
    assert len(client.take(other)) == 1


# -- ORDER ENTRY ---


def test_trade_connection(client: Client) -> None:
    conn, private = client.open(TRADE), client.private("order")
    before = client.trade(conn, "order.create", order_of(), reqId="0")
    assert (before["reqId"], before["retCode"]) == ("0", 10003)
    good = client.logon(conn)
    assert list(good) == ["retCode", "retMsg", "op", "connId"]
    assert client.logon(conn)["retCode"] == 20001
    reply = client.trade(conn, "order.create", order_of(orderLinkId="ws"), reqId="test-005")
    assert list(reply) == [
        "reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId",
    ]  # fmt: skip
    assert (reply["reqId"], reply["retCode"], reply["op"]) == ("test-005", 0, "order.create")
    assert list(reply["header"]) == [
        "X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp", "Traceid",
        "Timenow",
    ]  # fmt: skip
    (told,) = client.take(private)
    assert told["data"][0]["orderId"] == reply["data"]["orderId"]
    where = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "ws"}
    assert client.trade(conn, "order.amend", {**where, "price": "58000"})["retCode"] == 0
    canceled = client.trade(conn, "order.cancel", where)
    assert "reqId" not in canceled
    assert canceled["data"] == reply["data"]
    assert client.trade(conn, "order.cancel", where)["retCode"] == 110001


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"op": "order.cancel-all", "args": [{}]}, 10404),
        ({"args": [order_of(category="inverse")]}, 10404),
        ({"args": [order_of(), order_of()]}, 10001),
        ({"args": []}, 10001),
        ({"args": [7]}, 10001),
        ({"header": {}}, 10001),
        ({"header": None}, 10001),
        ({"header": {"X-BAPI-TIMESTAMP": "1"}}, 10002),
        ({"header": {"X-BAPI-TIMESTAMP": "1700000001000"}}, 10002),
        ({"reqId": "x" * 37}, 10001),
        ({"args": [order_of(qty="900")]}, 110007),
        ({"args": [order_of(category="spot", qty="10")]}, 170131),
    ],
)
def test_refusals_on_the_trade_connection(
    client: Client, message: dict[str, Any], expected: int
) -> None:
    conn = client.open(TRADE)
    client.logon(conn)
    header = {"X-BAPI-TIMESTAMP": str(client.now_ns // MS)}
    request = {"op": "order.create", "reqId": "a", "header": header, "args": [order_of()]}
    reply = client.say(conn, **{**request, **message})[0]
    assert (reply["retCode"], reply["data"]) == (expected, {}), reply


def test_request_ids_are_used_once(client: Client) -> None:
    conn = client.open(TRADE)
    client.logon(conn)
    assert client.trade(conn, "order.create", order_of(), reqId="a")["retCode"] == 0
    assert client.trade(conn, "order.create", order_of(), reqId="a")["retCode"] == 20006
    other = client.open(TRADE)
    client.logon(other)
    assert client.trade(other, "order.create", order_of(), reqId="a")["retCode"] == 0


def test_batch_on_the_trade_connection() -> None:
    client = Client(LimitRules())
    conn = client.open(TRADE)
    client.logon(conn)
    orders = [order_of(qty="0.001")] * 12
    reply = client.trade(conn, "order.create-batch", {"category": "linear", "request": orders})
    codes = [row["code"] for row in reply["retExtInfo"]["list"]]
    assert (reply["retCode"], codes) == (0, [0] * 10 + [10006] * 2)
    assert reply["header"]["X-Bapi-Limit-Status"] == "0"
    single = [client.trade(conn, "order.create", order_of(qty="0.001")) for _ in range(11)]
    assert [own["retCode"] for own in single] == [0] * 10 + [10006]
    body = json.dumps(order_of(qty="0.001"))
    shared = client.signed("POST", "/v5/order/create", body)
    assert json.loads(shared.body)["retCode"] == 10006


# -- SILENCE ---


@pytest.mark.parametrize(
    ("target", "seconds"),
    [
        (PRIVATE, 600), (f"{PRIVATE}?max_active_time=30s", 30),
        (f"{TRADE}?max_active_time=1m", 60), (f"{PRIVATE}?max_active_time=5s", 30),
        (f"{PRIVATE}?max_active_time=never", 600),
    ],
)  # fmt: skip
def test_silent_connection_is_cut_off(client: Client, target: str, seconds: int) -> None:
    conn, talker = client.open(target), client.open(target)
    for _ in range(seconds // 10 - 1):
        client.wait(10)
        client.say(talker, op="ping")
        assert not client.closed
    client.wait(41)  # the venue looks every 30 s
    assert conn in client.closed


def test_data_and_frames_keep_a_connection(client: Client) -> None:
    told = client.private("order")
    pinged = client.open(PRIVATE)
    for _ in range(80):
        client.wait(10)
        client.order(price="58000", qty="0.001")
        client.step(WsPing(pinged))
    assert not client.closed
    client.lose(told)
    client.lose(pinged)
    assert client.face.next_due_ns() >= client.now_ns


# -- DISCONNECTION PROTECTION ---


def protected(client: Client, product: str = "DERIVATIVES", window: int = 10) -> None:
    answer = client.post("/v5/order/disconnected-cancel-all", product=product, timeWindow=window)
    assert answer == {"retCode": 0, "retMsg": "success"}
    client.wait(10)


def open_count(client: Client, category: str = "linear") -> int:
    found = client.get("/v5/order/realtime", category=category, symbol="BTCUSDT")
    return len(found["result"]["list"])


def test_protection_fires_when_every_subscriber_is_dead(client: Client) -> None:
    protected(client)
    watcher = client.private("order")
    first, second = client.private("dcp.future"), client.private("dcp.future", "order")
    client.order()
    client.order(category="spot", qty="0.001", price="59000")
    client.take(watcher)
    client.lose(first)
    client.wait(30)
    assert open_count(client) == 1
    client.lose(second)
    client.wait(9.9)
    assert open_count(client) == 1
    client.wait(0.2)
    assert (open_count(client), open_count(client, "spot")) == (0, 1)
    (told,) = client.take(watcher)
    row = told["data"][0]
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByDCP")


def test_protection_stops_when_a_subscriber_is_back_and_pings(client: Client) -> None:
    protected(client)
    client.order()
    client.lose(client.private("dcp.future"))
    client.wait(5)
    back = client.private("dcp.future")
    client.say(back, op="ping")
    client.wait(30)
    assert open_count(client) == 1
    client.lose(back)
    client.wait(5)
    silent = client.private("dcp.future")
    client.wait(6)
    assert (open_count(client), silent in client.closed) == (0, False)


def test_protection_needs_a_setting_a_subscriber_and_time(client: Client) -> None:
    client.order()
    client.lose(client.private("dcp.future"))
    client.wait(20)
    client.post("/v5/order/disconnected-cancel-all", product="DERIVATIVES", timeWindow=10)
    client.lose(client.private("dcp.future"))  # not in effect yet
    client.wait(20)
    client.lose(client.private("order"))  # nobody asked for protection
    client.lose(client.private("dcp.spot"))
    client.wait(20)
    assert open_count(client) == 1
    client.lose(client.private("dcp.future"))
    client.wait(10.1)
    assert open_count(client) == 0


def test_protection_settings(client: Client) -> None:
    path = "/v5/order/disconnected-cancel-all"
    assert client.get("/v5/account/query-dcp-info")["result"] == {"dcpInfos": []}
    for bad in ({"timeWindow": 2}, {"timeWindow": 301}, {"timeWindow": None},
                {"timeWindow": 10, "product": "ALL"}):  # fmt: skip
        assert client.post(path, **{"product": "SPOT", **bad})["retCode"] == 10001
    client.post(path, product="SPOT", timeWindow=40)
    client.post(path, timeWindow=30)
    assert client.get("/v5/account/query-dcp-info")["result"] == {
        "dcpInfos": [
            {"product": "SPOT", "dcpStatus": "ON", "timeWindow": "40"},
            {"product": "OPTIONS", "dcpStatus": "ON", "timeWindow": "30"},
        ]
    }


# -- WHERE, AND FAULTS ---


def test_where_to_connect(client: Client) -> None:
    assert client.face.urls("http://h:1", "ws://h:2") == {
        "rest_url": "http://h:1",
        "ws_url": {
            "public_linear": "ws://h:2/v5/public/linear",
            "public_spot": "ws://h:2/v5/public/spot",
            "private": "ws://h:2/v5/private",
            "trade": "ws://h:2/v5/trade",
        },
    }
    kinds = [client.face.kind_of(target) for target in (LINEAR, SPOT, PRIVATE + "?a=1", TRADE)]
    assert kinds == [ConnKind.MARKET, ConnKind.MARKET, ConnKind.USER, ConnKind.TRADE]
    assert client.step(WsOpen(900, "/v5/public/none", {})) == [WsRefuse(900, 404, "")]


def test_too_many_connections_of_an_address() -> None:
    client = Client(LimitRules())
    for _ in range(500):
        client.open(LINEAR)
    assert client.step(WsOpen(9_000, LINEAR, {})) == [WsRefuse(9_000, 403, "")]
    client.now_ns += 300 * SECOND_NS
    client.open(LINEAR)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (Trouble.UNKNOWN, 200, 10000), (Trouble.UNAVAILABLE, 503, None),
        (Trouble.INTERNAL, 502, None), (Trouble.THROTTLED, 200, 10006),
        (Trouble.BANNED, 403, None),
    ],
)  # fmt: skip
def test_trouble_over_rest(client: Client, kind: Trouble, status: int, code: int | None) -> None:
    client.step(Tick())
    request = HttpRequest(70, "POST", "/v5/order/create", "", "{}", {})
    (answer,) = client.face.trouble(request, kind, 3)
    assert isinstance(answer, HttpAnswer)
    assert (answer.request, answer.status) == (70, status)
    if code is not None:
        assert json.loads(answer.body)["retCode"] == code
    if kind is Trouble.THROTTLED:
        reset = int(dict(answer.headers)["X-Bapi-Limit-Reset-Timestamp"])
        assert reset == client.now_ns // MS + 3_000


def test_trouble_over_websockets(client: Client) -> None:
    conn, public = client.open(TRADE), client.open(LINEAR)
    asked = WsText(conn, json.dumps({"reqId": "a", "op": "order.create"}))
    (action,) = client.face.trouble(asked, Trouble.UNKNOWN, 0)
    assert isinstance(action, WsSend)
    reply = json.loads(action.text)
    assert (reply["reqId"], reply["op"], reply["retCode"]) == ("a", "order.create", 10000)
    (action,) = client.face.trouble(WsText(public, "{}"), Trouble.INTERNAL, 0)
    assert isinstance(action, WsSend)
    assert json.loads(action.text)["success"] is False
    assert client.face.trouble(WsText(12_345, "{}"), Trouble.UNKNOWN, 0) == []


def test_user_streams_expire_and_everything_ends_of_age(client: Client) -> None:
    protected(client)
    client.order()
    private, trade, public = client.private("dcp.future"), client.open(TRADE), client.open(LINEAR)
    closed = client.face.expire_user_streams(client.now_ns)
    assert [type(a) for a in closed] == [WsClose, WsClose]
    assert [a.conn for a in closed if isinstance(a, WsClose)] == [private, trade]
    assert client.step(WsText(private, '{"op":"ping"}')) == []
    client.wait(10.1)
    assert open_count(client) == 0  # their death is a disconnection as any other
    (last,) = client.face.end_of_age(client.now_ns)
    assert isinstance(last, WsClose)
    assert (last.conn, last.code) == (public, 1001)
    client.lose(public)


def test_fault_of_ours_is_the_venues_server_error(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = client.open(TRADE)
    client.logon(conn)
    broken = {"side_effect": "secret"}

    def fail(*args: object) -> None:
        raise KeyError(broken["side_effect"])

    step = client.core.step
    monkeypatch.setattr(
        client.core, "step", lambda c, t: fail() if isinstance(c, Place) else step(c, t)
    )
    answer = client.order()
    assert answer["retCode"] == 10016
    (log,) = [action for action in client.actions if isinstance(action, Log)]
    assert log.is_error
    assert "KeyError" in log.text
    assert "secret" not in log.text
    assert client.trade(conn, "order.create", order_of())["retCode"] == 10016


def test_unused_limits_are_off_only_when_asked() -> None:
    assert (LimitRules().is_on, UNLIMITED.is_on) == (True, False)
    fast = Client(LimitRules(orders_per_s=50), quiet_core())
    codes = [fast.order(qty="0.001", price="58000")["retCode"] for _ in range(51)]
    assert codes == [0] * 50 + [10006]
