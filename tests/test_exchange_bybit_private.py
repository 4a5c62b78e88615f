"""engine.exchange.bybit's private and trade WebSockets: topics, logons, order entry, silence,
disconnection protection, faults."""

import json
from typing import Any

import pytest
from bybit_client import (
    BTC,
    MS,
    SECOND_NS,
    Client,
    digest,
    order_of,
    quiet_core,
)

from engine.exchange.book import Side
from engine.exchange.commands import Place
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

LINEAR, SPOT = "/v5/public/linear", "/v5/public/spot"
PRIVATE, TRADE = "/v5/private", "/v5/trade"


@pytest.fixture
def client() -> Client:
    return Client()


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
         "EC_CancelForNoFullFill"),
        ({"category": "spot", "timeInForce": "IOC", "price": "60000.1", "qty": "1.5"},
         "PartiallyFilledCanceled", "EC_CancelForNoFullFill"),
        ({"category": "spot", "orderType": "Market", "price": None, "qty": "10.00001"},
         "PartiallyFilledCanceled", "EC_CancelForNoFullFill"),
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
        assert float(fill["leavesQty"]) == float(order["leavesQty"])
    assert [m["data"][0]["size"] for m in told if m["topic"] == "position"] == ["2.000"]
    client.order(orderType="Market", price=None, side="Sell", qty="2.500")
    fills = [m["data"][0] for m in client.take(conn) if m["topic"] == "execution"]
    closed = sum(float(fill["closedSize"]) for fill in fills)
    assert closed == pytest.approx(2.0)


def test_funding_is_an_execution_and_moves_the_wallet(client: Client) -> None:
    client.order(orderType="Market", price=None, qty="1.000")
    where = {"category": "linear", "symbol": "BTCUSDT"}
    (ticker,) = client.public("/v5/market/tickers", **where)["result"]["list"]
    due_ms = int(ticker["nextFundingTime"])
    client.now_ns = due_ms * MS - SECOND_NS
    conn = client.private("execution", "position", "wallet")
    client.wait(2)
    told = {message["topic"]: message["data"][0] for message in client.take(conn)}
    paid = told["execution"]
    assert (paid["execType"], paid["execQty"], paid["feeRate"]) == ("Funding", "1", "0.0001")
    assert float(paid["execFee"]) == pytest.approx(6.0, rel=0.01)
    assert (told["position"]["size"], list(told)) == ("1.000", ["execution", "position", "wallet"])
    rows = client.get("/v5/execution/list", **where, execType="Funding")["result"]["list"]
    assert [row["execFee"] for row in rows] == [paid["execFee"]]
    rates = client.public("/v5/market/funding/history", **where)["result"]["list"]
    assert rates == [
        {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(due_ms)}
    ]


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
    client = Client(1)
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
    client = Client(1)
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


def test_limits_can_be_so_many_times_the_venues() -> None:
    fast = Client(5, quiet_core())
    codes = [fast.order(qty="0.001", price="58000")["retCode"] for _ in range(51)]
    assert codes == [0] * 50 + [10006]
