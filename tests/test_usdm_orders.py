"""Binance USD-M, order entry: the venue's errors, shapes and effects by REST and WebSocket API."""

import json
import random
from typing import Any

import pytest
from support_usdm import ORDER, SECOND, Usdm, signature_of

from engine.exchange.commands import SetState
from engine.exchange.terms import MarketState

BY_ID = {"symbol": "BTCUSDT"}


@pytest.fixture
def venue() -> Usdm:
    return Usdm()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "BTCUSD"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "BEST"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"timeInForce": None}, -1102),
        ({"timeInForce": "DAY"}, -1115),
        ({"timeInForce": "GTD"}, -1102),
        ({"timeInForce": "GTD", "goodTillDate": "1700000050000"}, -1102),
        ({"timeInForce": "GTD", "goodTillDate": "253402300799001"}, -1102),
        ({"quantity": None}, -1102),
        ({"quantity": ""}, -1102),
        ({"quantity": "abc"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "1e3"}, -1100),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "1001"}, -4005),
        ({"price": "59990.05"}, -4014),
        ({"price": "59990.001"}, -1111),
        ({"price": "0"}, -4013),
        ({"price": "70000"}, -4016),
        ({"price": "1000", "quantity": "0.001"}, -4164),
        ({"side": "SELL", "price": "50000"}, -4024),
        ({"quantity": "100"}, -2019),
        ({"timeInForce": "GTX", "price": "60000.10"}, -5022),
        ({"timeInForce": "FOK"}, -5021),
        ({"reduceOnly": "true"}, -2022),
        ({"reduceOnly": "perhaps"}, -1130),
        ({"positionSide": "LONG"}, -4061),
        ({"positionSide": "UP"}, -4060),
        ({"newClientOrderId": "no spaces"}, -4015),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newOrderRespType": "FULL"}, -1136),
        ({"selfTradePreventionMode": "SOMETIMES"}, -1130),
        ({"type": "MARKET", "timeInForce": "GTC"}, -1106),
    ],
)
def test_bad_order_gets_the_venues_code_on_both_faces(
    venue: Usdm, change: dict[str, Any], code: int
) -> None:
    status, body = venue.order(**change)
    assert (status, body["code"]) == (400, code)
    assert body["msg"]
    params = {k: v for k, v in {**ORDER, **change}.items() if v is not None}
    reply = venue.api(venue.open("/ws-fapi/v1"), "order.place", **params)
    assert (reply["id"], reply["status"], reply["error"]) == ("x1", 400, body)
    assert not venue.core.orders_of(0, "BTCUSDT")


def test_duplicate_unknown_and_missing_orders(venue: Usdm) -> None:
    conn = venue.open("/ws-fapi/v1")
    named = {**ORDER, "newClientOrderId": "mine"}
    assert "result" in venue.api(conn, "order.place", **named)
    assert venue.api(conn, "order.place", **named)["error"]["code"] == -4116
    mine = {**BY_ID, "origClientOrderId": "mine"}
    assert venue.api(conn, "order.status", **mine)["result"]["status"] == "NEW"
    assert venue.api(conn, "order.cancel", **mine)["result"]["status"] == "CANCELED"
    assert venue.api(conn, "order.cancel", **mine)["error"]["code"] == -2011
    other = {**BY_ID, "origClientOrderId": "b"}
    assert venue.api(conn, "order.status", **other)["error"]["code"] == -2013
    assert venue.api(conn, "order.cancel", **BY_ID)["error"]["code"] == -1102
    assert venue.signed("GET", "openOrder", **mine)[1]["code"] == -2013
    assert venue.good("GET", "order", **mine)["status"] == "CANCELED"


def test_answer_shows_what_was_filled_only_when_asked(venue: Usdm) -> None:
    take = {"price": "60000.10", "timeInForce": "IOC"}
    assert venue.order(**take)[1]["executedQty"] == "0.000"
    _, result = venue.order(**take, newOrderRespType="RESULT")
    assert (result["status"], result["executedQty"], result["cumQty"]) == (
        "FILLED", "0.010", "0.010",
    )  # fmt: skip
    _, market = venue.order(
        type="MARKET", price=None, timeInForce=None, side="SELL", newOrderRespType="RESULT"
    )
    assert (market["status"], market["type"], market["price"]) == ("FILLED", "MARKET", "0.00")


def test_modified_order_keeps_its_id_and_says_so(venue: Usdm) -> None:
    user = venue.user_stream()
    _, placed = venue.order()
    change = {**BY_ID, "orderId": placed["orderId"], "side": "BUY"}
    after = venue.good("PUT", "order", **change, quantity="0.020", price="59980.00")
    assert (after["orderId"], after["origQty"], after["price"]) == (
        placed["orderId"], "0.020", "59980.00",
    )  # fmt: skip
    amended = venue.read(user)[-1]["o"]
    assert (amended["x"], amended["X"], amended["M"]) == ("AMENDMENT", "NEW", 1)
    same = venue.signed("PUT", "order", **change, quantity="0.020", price="59980.00")
    assert same[1]["code"] == -5027
    wrong_side = {**change, "side": "SELL"}
    assert venue.signed("PUT", "order", **wrong_side, quantity="0.020", price="59970")[0] == 400
    assert venue.signed("PUT", "order", **change, quantity="0.020")[1]["code"] == -1102


def test_modified_order_prevents_no_self_trade_any_more(venue: Usdm) -> None:
    user = venue.user_stream()
    _, placed = venue.order(selfTradePreventionMode="EXPIRE_BOTH")
    assert placed["selfTradePreventionMode"] == venue.read(user)[-1]["o"]["V"] == "EXPIRE_BOTH"
    change = {**BY_ID, "orderId": placed["orderId"], "side": "BUY", "price": "59980.00"}
    after = venue.good("PUT", "order", **change, quantity="0.020")
    assert after["selfTradePreventionMode"] == venue.read(user)[-1]["o"]["V"] == "NONE"


def test_test_order_goes_nowhere(venue: Usdm) -> None:
    assert venue.good("POST", "order/test", **ORDER) == {}
    assert venue.signed("POST", "order/test", **{**ORDER, "side": "UP"})[1]["code"] == -1117
    assert venue.good("GET", "openOrders") == []


def test_batches_answer_item_by_item(venue: Usdm) -> None:
    orders = [
        {**ORDER, "newClientOrderId": "a"},
        {**ORDER, "quantity": 0.01, "newClientOrderId": "b"},
        {**ORDER, "reduceOnly": "true"},
        7,
    ]
    rows = venue.good("POST", "batchOrders", batchOrders=json.dumps(orders))
    assert [row.get("clientOrderId", row.get("code")) for row in rows] == ["a", "b", -2022, -1130]
    assert venue.headers["X-MBX-ORDER-COUNT-10S"] == "5"
    assert venue.headers["X-MBX-ORDER-COUNT-1M"] == "1"
    change = {**BY_ID, "side": "BUY", "quantity": "0.030", "price": "59970.00"}
    changes = json.dumps([{**change, "origClientOrderId": name} for name in ("a", "z")])
    rows = venue.good("PUT", "batchOrders", batchOrders=changes)
    assert [row.get("origQty", row.get("code")) for row in rows] == ["0.030", -2013]
    names = json.dumps(["a", "b", "z"])
    rows = venue.good("DELETE", "batchOrders", **BY_ID, origClientOrderIdList=names)
    assert [row.get("status", row.get("code")) for row in rows] == ["CANCELED", "CANCELED", -2011]
    for bad in ("{", "7", "[" * 9_000):
        assert venue.signed("POST", "batchOrders", batchOrders=bad)[1]["code"] == -1130
    for bad in ("[]", json.dumps([ORDER] * 6)):
        assert venue.signed("POST", "batchOrders", batchOrders=bad)[1]["code"] == -4082


def test_cancel_all_and_history(venue: Usdm) -> None:
    for _ in range(3):
        assert venue.order()[0] == 200
        venue.after(1)
    opened = venue.good("GET", "openOrders", **BY_ID)
    assert len(opened) == 3
    assert venue.good("DELETE", "allOpenOrders", **BY_ID)["code"] == 200
    assert venue.good("GET", "openOrders") == []
    rows = venue.good("GET", "allOrders", **BY_ID)
    assert [row["orderId"] for row in rows] == [row["orderId"] for row in opened]
    since = venue.good("GET", "allOrders", **BY_ID, orderId=opened[1]["orderId"])
    assert len(since) == 2
    late = venue.good("GET", "allOrders", **BY_ID, startTime=opened[1]["time"] + 1)
    assert [row["orderId"] for row in late] == [opened[2]["orderId"]]
    assert len(venue.good("GET", "allOrders", **BY_ID, limit=1)) == 1


def test_dead_mans_switch(venue: Usdm) -> None:
    user = venue.user_stream()
    venue.order()
    armed = venue.good("POST", "countdownCancelAll", **BY_ID, countdownTime=5_000)
    assert armed == {"symbol": "BTCUSDT", "countdownTime": "5000"}
    venue.after(4)
    venue.good("POST", "countdownCancelAll", **BY_ID, countdownTime=5_000)
    venue.after(4.9)
    assert len(venue.good("GET", "openOrders")) == 1
    assert venue.face.next_due_ns() <= venue.t_ns + SECOND // 10
    venue.after(0.2)
    assert venue.good("GET", "openOrders") == []
    assert venue.read(user)[-1]["o"]["X"] == "CANCELED"
    venue.order()
    venue.good("POST", "countdownCancelAll", **BY_ID, countdownTime=5_000)
    venue.good("POST", "countdownCancelAll", **BY_ID, countdownTime=0)
    venue.after(10)
    assert len(venue.good("GET", "openOrders")) == 1


def test_good_till_date(venue: Usdm) -> None:
    user = venue.user_stream()
    date_ms = venue.now_ms + 601_000
    _, placed = venue.order(timeInForce="GTD", goodTillDate=date_ms)
    assert (placed["timeInForce"], placed["goodTillDate"]) == ("GTD", date_ms)
    told = venue.read(user)[-1]["o"]
    assert (told["f"], told["gtd"]) == ("GTD", date_ms)
    venue.after(600)
    assert len(venue.good("GET", "openOrders")) == 1
    venue.after(1.001)
    assert venue.read(user)[-1]["o"]["X"] == "EXPIRED"


@pytest.mark.parametrize(
    ("mode", "ended"),
    [("EXPIRE_TAKER", "taker"), ("EXPIRE_MAKER", "maker"), (None, "maker")],
)
def test_self_trade_prevention(venue: Usdm, mode: str | None, ended: str) -> None:
    """For everybody since 2024-12-10, EXPIRE_MAKER unless the order says another."""
    assert venue.order(selfTradePreventionMode="NONE")[1]["code"] == -4402
    venue.order(newClientOrderId="maker", price="60000.00")
    _, answer = venue.order(
        newClientOrderId="taker", side="SELL", price="60000.00", quantity="0.005",
        selfTradePreventionMode=mode, newOrderRespType="RESULT",
    )  # fmt: skip
    assert answer["selfTradePreventionMode"] == (mode or "EXPIRE_MAKER")
    rows = {name: venue.good("GET", "order", **BY_ID, origClientOrderId=name)
            for name in ("maker", "taker")}  # fmt: skip
    assert rows[ended]["status"] == "EXPIRED_IN_MATCH"
    other = rows["maker" if ended == "taker" else "taker"]
    assert other["status"] == "NEW"
    assert rows["maker"]["executedQty"] == "0.000"


def test_halted_and_delisted_symbols(venue: Usdm) -> None:
    venue.order()
    venue.core.operate(SetState("BTCUSDT", MarketState.HALTED), venue.t_ns)
    assert venue.order()[1]["code"] == -4140
    assert venue.get("exchangeInfo")["symbols"][0]["status"] != "TRADING"
    assert len(venue.good("GET", "openOrders")) == 1
    venue.core.operate(SetState("BTCUSDT", MarketState.DELISTED), venue.t_ns)
    assert venue.order()[1]["code"] == -4141
    assert venue.good("GET", "openOrders") == []


# -- CONDITIONAL ORDERS ---

STOP = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "quantity": "0.010",
    "triggerPrice": "59990.00",
}


def test_stop_waits_triggers_and_becomes_an_order(venue: Usdm) -> None:
    venue.order(type="MARKET", price=None, timeInForce=None)
    user = venue.user_stream()
    placed = venue.good("POST", "algoOrder", **STOP, clientAlgoId="stop", reduceOnly="true")
    assert (placed["algoStatus"], placed["clientAlgoId"]) == ("NEW", "stop")
    told = venue.read(user)
    assert [frame["e"] for frame in told] == ["ALGO_UPDATE"]
    assert (told[0]["o"]["X"], told[0]["o"]["aid"]) == ("NEW", placed["algoId"])
    assert [row["algoId"] for row in venue.good("GET", "openAlgoOrders")] == [placed["algoId"]]
    sell = {"side": "SELL", "price": "59980.00", "timeInForce": "IOC", "quantity": "30"}
    venue.order(venue.key(1), **sell)
    frames = venue.read(user)
    assert [frame["e"] for frame in frames][:2] == ["ALGO_UPDATE", "ORDER_TRADE_UPDATE"]
    algo, order = frames[0]["o"], frames[-1]["o"]
    assert (algo["X"], algo["ai"]) == ("TRIGGERED", str(order["i"]))
    assert (order["X"], order["o"], order["ot"], order["sp"], order["R"]) == (
        "FILLED", "MARKET", "STOP_MARKET", "59990.00", True,
    )  # fmt: skip
    row = venue.good("GET", "algoOrder", algoId=placed["algoId"])
    assert (row["algoStatus"], row["actualOrderId"]) == ("TRIGGERED", str(order["i"]))
    assert row["actualPrice"] == order["ap"]
    assert venue.good("GET", "openAlgoOrders") == []
    assert len(venue.good("GET", "allAlgoOrders", **BY_ID)) == 1


def test_conditional_orders_are_cancelled_apart_from_others(venue: Usdm) -> None:
    venue.order()
    first = venue.good("POST", "algoOrder", **STOP)
    second = venue.good("POST", "algoOrder", **{**STOP, "side": "BUY", "triggerPrice": "60100"})
    assert first["clientAlgoId"] != second["clientAlgoId"]
    done = venue.good("DELETE", "algoOrder", algoId=first["algoId"])
    assert (done["algoId"], done["code"]) == (first["algoId"], "200")
    assert venue.signed("DELETE", "algoOrder", algoId=first["algoId"])[1]["code"] == -2011
    assert venue.good("DELETE", "allOpenOrders", **BY_ID)["code"] == 200
    assert len(venue.good("GET", "openAlgoOrders")) == 1
    assert venue.good("DELETE", "algoOpenOrders", **BY_ID)["code"] == 200
    assert venue.good("GET", "openAlgoOrders") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"algoType": "VP"}, -1130),
        ({"algoType": None}, -1102),
        ({"type": "LIMIT"}, -1116),
        ({"triggerPrice": "60100.00"}, -2021),
        ({"type": "TAKE_PROFIT_MARKET"}, -2021),
        ({"triggerPrice": "59990.05"}, -4014),
        ({"triggerPrice": None}, -1102),
        ({"type": "STOP"}, -1102),
        ({"workingType": "MOON"}, -4031),
        ({"closePosition": "true"}, -4137),
        ({"closePosition": "true", "quantity": None}, -4509),
        ({"closePosition": "true", "quantity": None, "reduceOnly": "true"}, -1106),
        ({"closePosition": "true", "quantity": None, "type": "STOP", "price": "59980"}, -4136),
        ({"quantity": "0"}, -4003),
        ({"quantity": "99999"}, -4005),
        ({"quantity": None}, -1102),
        ({"triggerPrice": "0"}, -4006),
        ({"triggerPrice": "99999999"}, -4007),
        ({"type": "STOP", "price": "0"}, -4013),
        ({"type": "STOP", "price": "99999999"}, -4002),
        ({"type": "STOP", "price": "59980", "timeInForce": "GTD"}, -1102),
    ],
)
def test_bad_conditional_orders(venue: Usdm, change: dict[str, Any], code: int) -> None:
    params = {k: v for k, v in {**STOP, **change}.items() if v is not None}
    status, body = venue.signed("POST", "algoOrder", **params)
    assert (status, body["code"]) == (400, code)


def test_conditional_order_keeps_its_good_till_date(venue: Usdm) -> None:
    user, date_ms = venue.user_stream(), venue.now_ms + 601_000
    stop = {**STOP, "type": "STOP", "price": "59900.00", "timeInForce": "GTD"}
    placed = venue.good("POST", "algoOrder", **stop, goodTillDate=date_ms)
    told = venue.read(user)[-1]["o"]
    assert placed["goodTillDate"] == told["gtd"] == date_ms
    assert venue.good("GET", "openAlgoOrders")[0]["goodTillDate"] == date_ms
    bid = {"side": "SELL", "price": "59980.00", "timeInForce": "IOC", "quantity": "30"}
    venue.order(**{**ORDER, "price": "59900.00", "quantity": "20"}, key=venue.key(1))
    venue.order(venue.key(1), **bid, selfTradePreventionMode="EXPIRE_TAKER")
    order = venue.read(user)[-1]["o"]
    assert (order["x"], order["f"], order["gtd"]) in (("TRADE", "GTD", date_ms),)


def test_close_position_is_as_large_as_the_position_when_it_triggers(venue: Usdm) -> None:
    buy = {"type": "MARKET", "price": None, "timeInForce": None}
    venue.order(**buy, quantity="0.010")
    user = venue.user_stream()
    stop = {name: value for name, value in STOP.items() if name != "quantity"}
    placed = venue.good("POST", "algoOrder", **stop, closePosition="true")
    assert (placed["closePosition"], float(placed["quantity"])) == (True, 0)
    told = venue.read(user)[-1]["o"]
    assert (told["cp"], told["R"], float(told["q"])) == (True, True, 0)
    venue.order(**buy, quantity="0.020")
    sell = {"side": "SELL", "price": "59980.00", "timeInForce": "IOC", "quantity": "30"}
    venue.order(venue.key(1), **sell)
    order = venue.read(user)[-1]["o"]
    assert (order["X"], order["q"], order["cp"], order["R"]) == ("FILLED", "0.030", True, True)
    assert venue.good("GET", "/fapi/v3/positionRisk") == []


def test_close_position_of_a_position_that_is_gone_is_rejected(venue: Usdm) -> None:
    venue.order(type="MARKET", price=None, timeInForce=None)
    user = venue.user_stream()
    stop = {name: value for name, value in STOP.items() if name != "quantity"}
    placed = venue.good("POST", "algoOrder", **stop, closePosition="true")
    venue.order(type="MARKET", price=None, timeInForce=None, side="SELL")
    sell = {"side": "SELL", "price": "59980.00", "timeInForce": "IOC", "quantity": "30"}
    venue.read(user)
    venue.order(venue.key(1), **sell)
    algo = venue.read(user)[-1]["o"]
    assert (algo["aid"], algo["X"], algo["rm"]) == (
        placed["algoId"], "REJECTED", "Reduce Only reject",
    )  # fmt: skip


def test_leverage_that_the_margin_does_not_cover_is_refused(venue: Usdm) -> None:
    assert venue.order(type="MARKET", price=None, timeInForce=None, quantity="5")[0] == 200
    status, body = venue.signed("POST", "leverage", **BY_ID, leverage=1)
    assert (status, body["code"]) == (400, -2028)
    assert venue.good("POST", "leverage", **BY_ID, leverage=50)["leverage"] == 50


# -- WHATEVER IS ASKED ---


def test_random_requests_get_the_venues_answers() -> None:
    """Every answer is JSON with a result or a code of the venue's, never a bug of ours."""
    rng = random.Random(1)
    venue = Usdm(limit_factor=1_000)
    conn = venue.open("/ws-fapi/v1")
    routes, methods = list(venue.face._routes), list(venue.face._ws_api._methods)
    words = [
        "", "BTCUSDT", "0", "-1", "1e9", "NaN", "\x00", "\ud800", "%ff", "9" * 400, "BUY", "[",
        '[{"symbol":[]}]', "[1,null]", "1m", "true", "ISOLATED", "LIMIT", "60000.00", "0.010",
    ]  # fmt: skip
    names = [
        *ORDER, "limit", "orderId", "origClientOrderId", "recvWindow", "batchOrders", "interval",
        "orderIdList", "algoId", "countdownTime", "startTime", "endTime", "leverage", "fromId",
        "dualSidePosition", "marginType", "algoType", "triggerPrice", "email",
    ]  # fmt: skip
    key = venue.key()
    for _ in range(3_000):
        params = {rng.choice(names): rng.choice(words) for _ in range(rng.randint(0, 8))}
        if rng.random() < 0.5:
            params |= {"symbol": "BTCUSDT"}
        text = "&".join(f"{name}={value}" for name, value in params.items())
        if rng.random() < 0.8:
            text = f"{text}&timestamp={venue.now_ms}"
            text += "&signature=" + signature_of(key, text.encode(errors="replace").decode())
        method, path = rng.choice(routes)
        as_body = rng.random() < 0.3
        status, body = venue.rest(
            method, path, "" if as_body else text, text if as_body else "", key=key
        )
        assert status == 200 or body["code"] < 0
        reply = venue.say(conn, {"id": 1, "method": rng.choice(methods), "params": params})
        assert "result" in reply or reply["error"]["code"] < 0
        venue.after(0.01)
    assert venue.logs == []
