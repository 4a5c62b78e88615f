"""engine.exchange.bybit over REST: signatures, the venue's errors, orders, pages, keys."""

import json
from typing import Any

import pytest
from bybit_client import (
    BTC,
    MS,
    SPOT_BTC,
    Client,
    digest,
    order_of,
    quiet_core,
)

from engine.exchange.book import Side
from engine.exchange.commands import SetRefusals, SetState
from engine.exchange.face import HttpAnswer
from engine.exchange.keys import Key
from engine.exchange.terms import MarketState
from engine.exchange.truth import KeyRecord


@pytest.fixture
def client() -> Client:
    return Client()


def code(answer: HttpAnswer) -> int:
    found: int = json.loads(answer.body)["retCode"]
    return found


def open_ids(client: Client, category: str = "linear") -> list[str]:
    found = client.get("/v5/order/realtime", category=category, symbol="BTCUSDT", limit=50)
    return [row["orderId"] for row in found["result"]["list"]]


# -- ENVELOPE AND SIGNATURES ---


def test_envelope_is_the_documented_one(client: Client) -> None:
    answer = client.send("GET", "/v5/market/time")
    assert answer.status == 200
    assert answer.body == (
        '{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1700000000",'
        '"timeNano":"1700000000000000000"},"retExtInfo":{},"time":1700000000000}'
    )


def test_signature_is_over_the_bytes_as_they_came(client: Client) -> None:
    body = json.dumps(order_of(), indent=3).replace('"qty"', ' "qty"')
    assert code(client.signed("POST", "/v5/order/create", body)) == 0
    query = "symbol=BTCUSDT&category=linear&cursor=&limit=1"
    assert code(client.signed("GET", "/v5/order/realtime", query)) == 0
    assert code(client.signed("GET", "/v5/order/realtime", query, sign_extra=" ")) == 10004


@pytest.mark.parametrize(
    ("shift_ms", "window", "expected"),
    [
        (0, "5000", 0),
        (999, "5000", 0),
        (1_000, "5000", 10002),
        (-5_000, "5000", 0),
        (-5_001, "5000", 10002),
        (-5_001, "6000", 0),
        (0, "abc", 10001),
    ],
)
def test_timestamp_window(client: Client, shift_ms: int, window: str, expected: int) -> None:
    answer = client.signed("GET", "/v5/account/info", "", shift_ms=shift_ms, window=window)
    assert code(answer) == expected


def test_skew_moves_the_clock_that_clients_see_and_are_judged_by(client: Client) -> None:
    client.face.skew_ns = 7_000 * MS
    assert code(client.signed("GET", "/v5/account/info", "")) == 10002
    assert client.public("/v5/market/time")["time"] == client.now_ns // MS + 7_000
    assert code(client.signed("GET", "/v5/account/info", "", shift_ms=7_000)) == 0


def test_who_may_not(client: Client) -> None:
    stranger = Key("ab" * 32, "cd" * 32, client.key.kind, 0, client.key.permissions)
    assert code(client.signed("GET", "/v5/account/info", "", stranger)) == 10003
    assert client.send("GET", "/v5/account/info").status == 401
    assert code(client.signed("GET", "/v5/account/info", "", client.core.keys[0].ed25519)) == 10004
    management = client.core.keyring.management
    assert client.post("/v5/order/create", management, **order_of())["retCode"] == 10005
    assert client.get("/v5/order/realtime", management, category="linear",
                      symbol="BTCUSDT")["retCode"] == 10005  # fmt: skip


def test_key_may_be_bound_to_addresses_and_to_reading(client: Client) -> None:
    management, name = client.core.keyring.management, client.key.api_key
    fields = {"apikey": name, "readOnly": 1, "ips": ["10.0.0.1,10.0.0.2"]}
    told = client.post("/v5/user/update-sub-api", management, **fields)["result"]
    assert (told["readOnly"], told["ips"]) == (1, ["10.0.0.1", "10.0.0.2"])
    assert code(client.signed("GET", "/v5/account/info", "")) == 10010
    assert code(client.signed("GET", "/v5/account/info", "", ip="10.0.0.2")) == 0
    body = json.dumps(order_of())
    assert code(client.signed("POST", "/v5/order/create", body, ip="10.0.0.2")) == 10005
    fields = {"apikey": name, "readOnly": 0, "ips": ["*"]}
    client.post("/v5/user/update-sub-api", management, **fields)
    assert client.order()["retCode"] == 0
    records = client.core.truth.of(KeyRecord)
    assert [(r.is_deleted, r.permissions, r.ips) for r in records] == [
        (False, ("read",), ("10.0.0.1", "10.0.0.2")), (False, ("read", "trade"), ()),
    ]  # fmt: skip


def test_unknown_path_and_broken_body(client: Client) -> None:
    assert client.send("GET", "/v5/no/such").status == 404
    assert client.send("GET", "/v5/order/create").status == 404
    assert code(client.signed("POST", "/v5/order/create", "{")) == 10001
    assert code(client.signed("POST", "/v5/order/create", "[]")) == 10001
    assert code(client.signed("POST", "/v5/order/create", "")) == 10001


# -- ORDERS ---

LINEAR_ERRORS = [
    ({"category": "inverse"}, 10001),
    ({"category": None}, 10001),
    ({"symbol": "BTCUSD"}, 10001),
    ({"symbol": None}, 10001),
    ({"side": "buy"}, 10001),
    ({"orderType": "Stop"}, 10001),
    ({"timeInForce": "GTX"}, 10001),
    ({"qty": None}, 10001),
    ({"qty": "0"}, 10001),
    ({"qty": "0.0105"}, 10001),
    ({"qty": "-1"}, 10001),
    ({"qty": "2000"}, 10001),
    ({"price": None}, 10001),
    ({"price": "59000.05"}, 10001),
    ({"price": "0"}, 110003),
    ({"price": "70000"}, 110003),
    ({"side": "Sell", "price": "50000"}, 110003),
    ({"price": "59000", "qty": "0.001", "positionIdx": 1}, 10001),
    ({"price": "1000", "qty": "0.001"}, 110094),
    ({"qty": "900"}, 110007),
    ({"orderLinkId": "no spaces"}, 10001),
    ({"orderLinkId": "x" * 37}, 10001),
    ({"reduceOnly": True}, 110017),
    ({"reduceOnly": "maybe"}, 10001),
    ({"takeProfit": "70000"}, 110057),
    ({"smpType": "CancelAll"}, 10001),
    ({"triggerPrice": "61000"}, 10001),
    ({"triggerPrice": "59000", "triggerDirection": 1}, 110092),
    ({"triggerPrice": "61000", "triggerDirection": 2}, 110093),
    ({"qty": ["1"]}, 10001),
    ({"qty": {"a": 1}}, 10001),
]
SPOT_ERRORS = [
    ({"symbol": "BTCUSD"}, 170121),
    ({"symbol": None}, 170105),
    ({"side": "buy"}, 170117),
    ({"orderType": "Stop"}, 170116),
    ({"timeInForce": "GTX"}, 170115),
    ({"qty": "x"}, 170130),
    ({"qty": "0"}, 170136),
    ({"qty": "0.0000015"}, 170137),
    ({"qty": "10000"}, 170135),
    ({"price": "59000.05"}, 170134),
    ({"price": "70000"}, 170193),
    ({"side": "Sell", "price": "50000"}, 170194),
    ({"qty": "0.000001"}, 170140),
    ({"qty": "100"}, 170131),
    ({"side": "Sell", "price": "61000", "qty": "11"}, 170131),
    ({"isLeverage": 1}, 170036),
    ({"orderType": "Market", "qty": "0.000000001"}, 170148),
    ({"orderType": "Market", "marketUnit": "lots"}, 170130),
    ({"orderFilter": "StopOrder"}, 170202),
    ({"triggerPrice": "61000"}, 170201),
]


@pytest.mark.parametrize(("change", "expected"), LINEAR_ERRORS)
def test_refusals_on_derivatives(client: Client, change: dict[str, Any], expected: int) -> None:
    answer = client.order(**change)
    assert (answer["retCode"], answer["result"]) == (expected, {}), answer
    assert open_ids(client) == []


@pytest.mark.parametrize(("change", "expected"), SPOT_ERRORS)
def test_refusals_on_spot(client: Client, change: dict[str, Any], expected: int) -> None:
    base = {"category": "spot", "qty": "0.001", "price": "59000"}
    answer = client.order(**{**base, **change})
    assert (answer["retCode"], answer["result"]) == (expected, {}), answer
    assert open_ids(client, "spot") == []


def test_texts_that_name_numbers(client: Client) -> None:
    def text(**fields: Any) -> str:
        found: str = client.order(**fields)["retMsg"]
        return found

    assert text(price="1000", qty="0.001") == "Order does not meet minimum order value 5USDT"
    assert text(triggerPrice="59000", triggerDirection=1) == (
        "expect Rising, but trigger_price[590000000] <= current[600000000]??LastPrice"
    )
    assert text(category="spot", qty="0.001", price="70000") == (
        "Buy order price cannot be higher than 63000.1."
    )


def test_link_ids_are_unique_for_ever(client: Client) -> None:
    assert client.order(orderLinkId="once")["retCode"] == 0
    assert client.order(orderLinkId="once")["retCode"] == 110072
    client.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId="once")
    assert client.order(orderLinkId="once")["retCode"] == 110072
    spot = {"category": "spot", "qty": "0.001", "price": "59000", "orderLinkId": "once"}
    assert client.order(**spot)["retCode"] == 0
    assert client.order(**spot)["retCode"] == 170141


def test_order_by_id_and_by_link_until_its_end(client: Client) -> None:
    placed = client.order(orderLinkId="mine")["result"]
    assert placed["orderLinkId"] == "mine"
    where = {"category": "linear", "symbol": "BTCUSDT"}
    amended = client.post("/v5/order/amend", **where, orderId=placed["orderId"], price="58000",
                          qty="0.02")  # fmt: skip
    assert amended["result"] == placed
    row = client.get("/v5/order/realtime", **where, orderLinkId="mine")["result"]["list"][0]
    assert (row["price"], row["qty"], row["orderStatus"]) == ("58000.00", "0.020", "New")
    same = client.post("/v5/order/amend", **where, orderId=placed["orderId"], price="58000")
    assert same["retCode"] == 10001
    canceled = client.post("/v5/order/cancel", **where, orderLinkId="mine")
    assert canceled["result"] == placed
    again = client.post("/v5/order/cancel", **where, orderId=placed["orderId"])
    assert (again["retCode"], again["retMsg"]) == (
        110001,
        "order not exists or too late to cancel",
    )
    late = client.post("/v5/order/amend", **where, orderId=placed["orderId"], price="58001")
    assert late["retMsg"] == "order not exists or too late to replace"
    assert open_ids(client) == []
    closed = client.get("/v5/order/history", **where)["result"]["list"]
    assert [(row["orderId"], row["orderStatus"], row["cancelType"]) for row in closed] == [
        (placed["orderId"], "Cancelled", "CancelByUser")
    ]
    assert client.get("/v5/order/realtime", **where, openOnly=1)["result"]["list"] == closed


def test_unknown_ids(client: Client) -> None:
    where = {"category": "spot", "symbol": "BTCUSDT"}
    for ids in ({"orderId": "1"}, {"orderId": "1523347548000000006"}, {"orderLinkId": "none"}):
        assert client.post("/v5/order/cancel", **where, **ids)["retCode"] == 170213
    assert client.post("/v5/order/cancel", **where)["retCode"] == 10001
    uuid = "b25e00fe-7343-48d7-8986-0725f48d1c02"
    linear = {"category": "linear", "symbol": "BTCUSDT", "orderId": uuid}
    assert client.post("/v5/order/cancel", **linear)["retCode"] == 110001


def test_amend_below_what_is_filled(client: Client) -> None:
    client.order(price="60000.00", qty="0.010", orderLinkId="part")
    client.cross(BTC, Side.SELL, 4, 600_000)
    where = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "part"}
    assert client.post("/v5/order/amend", **where, qty="0.004")["retCode"] == 110064
    assert client.post("/v5/order/amend", **where, qty="0.005")["retCode"] == 0


def test_reduce_only_is_cut_to_the_position(client: Client) -> None:
    client.order(orderType="Market", price=None, qty="0.010")
    close = {"side": "Sell", "reduceOnly": True, "price": "61000"}
    assert client.order(**close, qty="0.500", orderLinkId="cut")["retCode"] == 0
    row = client.get("/v5/order/realtime", category="linear", orderLinkId="cut")
    assert row["result"]["list"][0]["qty"] == "0.010"
    client.post("/v5/order/cancel-all", category="linear", symbol="BTCUSDT")
    flat = {"orderType": "Market", "price": None, "qty": "0", "closeOnTrigger": True}
    assert client.order(**{**close, **flat})["retCode"] == 0
    position = client.get("/v5/position/list", category="linear", symbol="BTCUSDT")
    assert position["result"]["list"][0]["size"] == "0"
    assert (
        client.get("/v5/position/list", category="linear", settleCoin="USDT")["result"]["list"]
        == []
    )


def test_spot_market_orders_count_in_money_or_coins(client: Client) -> None:
    base = {"category": "spot", "orderType": "Market", "price": None}

    def placed(link: str, **fields: Any) -> Any:
        assert client.order(**base, orderLinkId=link, **fields)["retCode"] == 0
        found = client.get("/v5/order/realtime", category="spot", orderLinkId=link)
        return found["result"]["list"][0]

    row = placed("money", qty="600")
    assert (row["qty"], row["marketUnit"]) == ("600", "quoteCoin")
    assert 599 < float(row["cumExecValue"]) < 600
    # As recorded from the venue: what a lot would cost more than is "not filled".
    assert (row["orderStatus"], row["leavesQty"]) == ("PartiallyFilledCanceled", "0")
    assert float(row["leavesValue"]) == pytest.approx(600 - float(row["cumExecValue"]))
    row = placed("coins", qty="0.01", marketUnit="baseCoin")
    assert (row["qty"], row["cumExecQty"], list(row["cumFeeDetail"])) == ("0.01", "0.01", ["BTC"])
    assert float(row["cumExecFee"]) == pytest.approx(0.00001, rel=0.05)
    row = placed("sold", qty="0.01", side="Sell")
    assert (row["marketUnit"], row["qty"], list(row["cumFeeDetail"])) == (
        "baseCoin", "0.01", ["USDT"],
    )  # fmt: skip


def test_halted_and_delisted(client: Client) -> None:
    client.core.step(SetState(BTC, MarketState.HALTED), client.now_ns)
    assert client.order()["retCode"] == 110074
    client.core.step(SetState(SPOT_BTC, MarketState.DELISTED), client.now_ns)
    assert client.order(category="spot", qty="0.001", price="59000")["retCode"] == 170151
    listed = client.public("/v5/market/instruments-info", category="spot")["result"]["list"]
    assert listed == []


# -- MANY ORDERS ---


def test_cancel_all_takes_500_a_call(client: Client) -> None:
    for index in range(500):
        assert client.order(price=f"{58_000 + index / 10:.1f}", qty="0.001")["retCode"] == 0
    assert client.order()["retCode"] == 110020
    client.core.step(SetRefusals(cancel_all_max=3), client.now_ns)
    everything = {"category": "linear", "settleCoin": "USDT"}
    assert len(client.post("/v5/order/cancel-all", **everything)["result"]["list"]) == 3
    client.core.step(SetRefusals(), client.now_ns)
    canceled = client.post("/v5/order/cancel-all", **everything)["result"]
    assert (len(canceled["list"]), canceled["success"]) == (497, "1")
    assert open_ids(client) == []


def test_cancel_all_wants_a_scope_on_derivatives(client: Client) -> None:
    assert client.post("/v5/order/cancel-all", category="linear")["retCode"] == 10001
    client.order(category="spot", qty="0.001", price="59000")
    client.order()
    assert len(client.post("/v5/order/cancel-all", category="spot")["result"]["list"]) == 1
    assert len(open_ids(client)) == 1
    other = client.post("/v5/order/cancel-all", category="linear", baseCoin="ETH")
    assert other["result"]["list"] == []


def test_batch_answers_order_by_order(client: Client) -> None:
    orders = [order_of(orderLinkId="b1"), order_of(qty="0"), order_of(orderLinkId="b1")]
    for order in orders:
        del order["category"]
    answer = client.post("/v5/order/create-batch", category="linear", request=orders)
    assert answer["retCode"] == 0
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 10001, 110072]
    first, second, _ = answer["result"]["list"]
    assert list(first) == ["category", "symbol", "orderId", "orderLinkId", "createAt"]
    assert (second["orderId"], second["createAt"]) == ("", "")
    change = [{"symbol": "BTCUSDT", "orderLinkId": "b1", "price": "58000"}]
    amended = client.post("/v5/order/amend-batch", category="linear", request=change)
    assert amended["retExtInfo"]["list"] == [{"code": 0, "msg": "OK"}]
    both = [{"symbol": "BTCUSDT", "orderId": first["orderId"]}, {"symbol": "BTCUSDT"}]
    canceled = client.post("/v5/order/cancel-batch", category="linear", request=both)
    assert [row["code"] for row in canceled["retExtInfo"]["list"]] == [0, 10001]
    for size, expected in ((0, 10001), (20, 0), (21, 10001)):
        many = client.post("/v5/order/cancel-batch", category="linear", request=both[:1] * size)
        assert many["retCode"] == expected, size
    assert (
        client.post("/v5/order/create-batch", category="spot", request=[{}] * 11)["retCode"]
        == 10001
    )
    odd = client.post("/v5/order/create-batch", category="linear", request=[7, None])
    assert [row["code"] for row in odd["retExtInfo"]["list"]] == [10001, 10001]


def test_pages_give_every_order_once(client: Client) -> None:
    for index in range(45):
        client.order(price=f"{58_000 + index}.0", qty="0.001")
        client.now_ns += MS * (index % 3)  # several at the same time too
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        query = "category=linear&symbol=BTCUSDT&limit=7" + (f"&cursor={cursor}" if cursor else "")
        result = json.loads(client.signed("GET", "/v5/order/realtime", query).body)["result"]
        seen += [row["price"] for row in result["list"]]
        cursor = result["nextPageCursor"]
        if not cursor:
            break
    assert seen == [f"{58_000 + index}.00" for index in reversed(range(45))]
    again = client.get("/v5/order/realtime", category="linear", symbol="BTCUSDT", limit=7)
    escaped_anew = client.get("/v5/order/realtime", category="linear", symbol="BTCUSDT",
                              limit=7, cursor=again["result"]["nextPageCursor"])  # fmt: skip
    assert [row["price"] for row in escaped_anew["result"]["list"]] == seen[7:14]
    bad = client.get("/v5/order/realtime", category="linear", symbol="BTCUSDT", cursor="x")
    assert bad["retCode"] == 10001


def test_executions_add_up(client: Client) -> None:
    client.order(price="60000.00", qty="0.010", orderLinkId="sum")
    for lots in (3, 5, 2):
        client.cross(BTC, Side.SELL, lots, 600_000)
    where = {"category": "linear", "symbol": "BTCUSDT", "execType": "Trade"}
    rows = client.get("/v5/execution/list", **where)["result"]["list"]
    assert [(row["execQty"], row["leavesQty"]) for row in rows] == [
        ("0.002", "0"), ("0.005", "0.002"), ("0.003", "0.007"),
    ]  # fmt: skip
    assert {row["isMaker"] for row in rows} == {True}
    first = client.get("/v5/execution/list", **where, limit=2)["result"]
    rest = client.get("/v5/execution/list", **where, limit=2, cursor=first["nextPageCursor"])
    assert first["list"] + rest["result"]["list"] == rows
    assert rest["result"]["nextPageCursor"] == ""
    one = client.get("/v5/execution/list", category="linear", orderLinkId="sum")["result"]["list"]
    assert one == rows
    order = client.get("/v5/order/realtime", category="linear", orderLinkId="sum")
    fee = order["result"]["list"][0]["cumExecFee"]
    assert sum(float(row["execFee"]) for row in rows) == pytest.approx(float(fee))


# -- CONDITIONAL ORDERS ---


def test_conditional_order_keeps_its_id_when_it_triggers(client: Client) -> None:
    fields = {"side": "Buy", "price": "60010", "triggerPrice": "60001", "triggerDirection": 1}
    placed = client.order(**fields, orderLinkId="stop")["result"]
    where = {"category": "linear", "symbol": "BTCUSDT"}
    row = client.get("/v5/order/realtime", **where)["result"]["list"][0]
    assert (row["orderId"], row["orderStatus"]) == (placed["orderId"], "Untriggered")
    assert (row["triggerPrice"], row["stopOrderType"]) == ("60001.00", "Stop")
    client.cross(BTC, Side.BUY, 900, 600_010)
    client.cross(BTC, Side.BUY, 900, 600_020)
    row = client.get("/v5/order/realtime", **where, orderId=placed["orderId"])["result"]["list"][0]
    assert (row["orderId"], row["orderLinkId"]) == (placed["orderId"], "stop")
    assert row["orderStatus"] in ("New", "PartiallyFilled", "Filled")
    assert row["createType"] == "CreateByStopOrder"


def test_conditional_order_is_amended_under_its_id(client: Client) -> None:
    conn = client.private("order")
    where = {"category": "linear", "symbol": "BTCUSDT"}
    stop = {"triggerPrice": "61000", "triggerDirection": 1, "orderLinkId": "stop"}
    placed = client.order(**stop, price="61500")["result"]
    client.take(conn)

    def amend(**fields: Any) -> int:
        found: int = client.post("/v5/order/amend", **where, orderLinkId="stop", **fields)[
            "retCode"
        ]
        return found

    assert amend(triggerPrice="60500", qty="0.020", price="60600") == 0
    (told,) = client.take(conn)
    row = told["data"][0]
    assert (row["orderId"], row["orderStatus"]) == (placed["orderId"], "Untriggered")
    assert (row["triggerPrice"], row["qty"], row["price"]) == ("60500", "0.020", "60600")
    assert amend(triggerPrice="60500") == 10001  # nothing changes
    assert amend(triggerPrice="59000") == 110092  # there already
    listed = client.get("/v5/order/realtime", **where)["result"]["list"]
    assert [(own["triggerPrice"], own["qty"]) for own in listed] == [("60500.00", "0.020")]
    client.post("/v5/order/cancel", **where, orderLinkId="stop")
    assert amend(qty="0.030") == 110001


def test_conditional_order_can_be_canceled_only_while_it_waits(client: Client) -> None:
    where = {"category": "spot", "symbol": "BTCUSDT"}
    placed = client.order(
        **{**where, "qty": "0.001", "price": "61000", "triggerPrice": "61000"},
        orderFilter="StopOrder",
    )["result"]
    assert client.post("/v5/order/cancel-all", **where)["result"]["list"] == []
    assert client.post("/v5/order/cancel", **where, orderId=placed["orderId"])["retCode"] == 0
    assert client.post("/v5/order/cancel", **where, orderId=placed["orderId"])["retCode"] == 170213
    row = client.get("/v5/order/history", **where)["result"]["list"][0]
    assert (row["orderId"], row["orderStatus"]) == (placed["orderId"], "Deactivated")


def test_cancel_all_of_a_contract_takes_conditional_orders_too(client: Client) -> None:
    stop = {"triggerPrice": "61000", "triggerDirection": 1}
    client.order(**stop)
    client.order()
    where = {"category": "linear", "symbol": "BTCUSDT"}
    first = client.post("/v5/order/cancel-all", **where, orderFilter="StopOrder")
    assert len(first["result"]["list"]) == 1
    client.order(**stop)
    assert len(client.post("/v5/order/cancel-all", **where)["result"]["list"]) == 2
    for _ in range(10):
        assert client.order(**stop)["retCode"] == 0
    assert client.order(**stop)["retCode"] == 110009


# -- SETTINGS AND KEYS ---


def test_leverage_and_mode(client: Client) -> None:
    where = {"category": "linear", "symbol": "BTCUSDT"}
    path = "/v5/position/set-leverage"
    assert client.post(path, **where, buyLeverage="5", sellLeverage="5")["retCode"] == 0
    assert client.post(path, **where, buyLeverage="5", sellLeverage="5")["retCode"] == 110043
    for leverage in ("0", "101", "x", "5.5", None):
        bad = client.post(path, **where, buyLeverage=leverage, sellLeverage=leverage)
        assert bad["retCode"] == 10001, leverage
    assert client.post(path, **where, buyLeverage="5", sellLeverage="6")["retCode"] == 10001
    row = client.get("/v5/position/list", **where)["result"]["list"][0]
    assert (row["leverage"], row["side"], row["size"]) == ("5", "", "0")
    mode = "/v5/position/switch-mode"
    assert client.post(mode, **where, mode=0)["retCode"] == 110025
    assert client.post(mode, **where, mode=3)["retCode"] == 110029
    assert client.post(mode, **where, mode=1)["retCode"] == 10001


def test_trading_key_can_not_delete_itself_and_the_management_key_can(client: Client) -> None:
    management, name = client.core.keyring.management, client.key.api_key
    assert client.post("/v5/user/delete-api")["retCode"] == 10005
    assert client.post("/v5/user/delete-sub-api")["retCode"] == 10005
    told = client.get("/v5/user/query-api", management)["result"]
    assert (told["isMaster"], told["permissions"]["Wallet"][0]) == (True, "AccountTransfer")
    assert client.post("/v5/user/delete-sub-api", management)["retCode"] == 10001
    client.core.step(SetRefusals(is_revocation_refused=True), client.now_ns)
    assert client.post("/v5/user/delete-sub-api", management, apikey=name)["retCode"] == 10016
    client.core.step(SetRefusals(), client.now_ns)
    gone = client.post("/v5/user/delete-sub-api", management, apikey=name)
    assert (gone["retCode"], gone["retMsg"], gone["result"]) == (0, "", {})
    assert client.order()["retCode"] == 10003
    assert client.get("/v5/user/query-api")["retCode"] == 10003
    assert client.post("/v5/user/delete-sub-api", management, apikey=name)["retCode"] == 10003
    other = client.core.keys[0].keys[1]
    assert client.post("/v5/order/create", other, **order_of())["retCode"] == 0


# -- LIMITS ---


def test_rate_limit_of_an_account_and_its_headers() -> None:
    client = Client(1)
    body = json.dumps(order_of(qty="0.001"))
    answers = [client.signed("POST", "/v5/order/create", body) for _ in range(11)]
    assert [code(answer) for answer in answers] == [0] * 10 + [10006]
    left = [dict(answer.headers)["X-Bapi-Limit-Status"] for answer in answers]
    assert left == ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0", "0"]
    reset_ms = int(dict(answers[-1].headers)["X-Bapi-Limit-Reset-Timestamp"])
    assert reset_ms == client.now_ns // MS + 1_000
    other = client.core.keys[1].keys[0]
    assert code(client.signed("POST", "/v5/order/create", body, other)) == 0
    client.now_ns += 999 * MS
    assert code(client.signed("POST", "/v5/order/create", body)) == 10006
    client.now_ns += 1 * MS
    assert code(client.signed("POST", "/v5/order/create", body)) == 0


def test_batch_orders_count_one_by_one() -> None:
    client = Client(1)
    orders = [order_of(qty="0.001")] * 12
    answer = client.post("/v5/order/create-batch", category="linear", request=orders)
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0] * 10 + [10006] * 2


def test_address_that_asks_too_much_is_banned_for_ten_minutes() -> None:
    client = Client(1)
    answers = [client.send("GET", "/v5/market/time") for _ in range(601)]
    assert [answer.status for answer in answers] == [200] * 600 + [403]
    assert "access too frequent" in answers[-1].body
    assert client.send("GET", "/v5/market/time", ip="10.0.0.9").status == 200
    client.now_ns += 599 * 1_000 * MS
    assert client.send("GET", "/v5/market/time").status == 403
    client.now_ns += 1_000 * MS
    assert client.send("GET", "/v5/market/time").status == 200


def test_same_requests_get_the_same_bytes() -> None:
    def run() -> list[str]:
        client = Client(core=quiet_core(3))
        client.private("order", "execution", "wallet")
        texts = [json.dumps(client.order(orderType="Market", price=None, orderLinkId="a"))]
        return texts + [text for inbox in client.inbox.values() for text in inbox]

    assert run() == run()


def test_signature_helper_is_not_the_one_under_test(client: Client) -> None:
    """The documents' rule, spelled out once with constants."""
    origin = f"{client.now_ns // MS}{client.key.api_key}5000"
    answer = client.send(
        "GET", "/v5/account/info", x_bapi_api_key=client.key.api_key,
        x_bapi_timestamp=str(client.now_ns // MS), x_bapi_recv_window="5000",
        x_bapi_sign=digest(client.key.secret, origin).upper(),
    )  # fmt: skip
    assert code(answer) == 0
