"""Orders on the Binance Spot face: types, filters, refusals in the venue's own words, money."""

import json
from typing import Any

import pytest
from support_spot import ORDER, START_NS, Venue, market_order, wanted

from engine.exchange.commands import SetState
from engine.exchange.terms import MarketState

CANCEL_REPLACE = "/api/v3/order/cancelReplace"
AMEND = "/api/v3/order/amend/keepPriority"
NAMED = {"symbol": "BTCUSDT"}


@pytest.fixture
def venue() -> Venue:
    return Venue()


def balance(venue: Venue, asset: str, account: int = 0) -> tuple[str, str]:
    """Free and locked."""
    body = venue.signed("GET", "/api/v3/account", venue.key(account))[1]
    found = {row["asset"]: row for row in body["balances"]}[asset]
    return found["free"], found["locked"]


def refused(answer: tuple[int, Any], code: int, text: str | None = None) -> None:
    status, body = answer
    assert status == 400, body
    assert body["code"] == code, body
    assert text is None or body["msg"] == text


# -- MONEY ---


def test_resting_order_locks_what_it_may_cost_until_it_is_cancelled(venue: Venue) -> None:
    order = venue.order()[1]
    assert balance(venue, "USDT") == ("99410.00000000", "590.00000000")
    venue.signed("DELETE", ORDER, **NAMED, orderId=order["orderId"])
    assert balance(venue, "USDT") == ("100000.00000000", "0.00000000")


def test_fee_is_taken_from_what_is_received(venue: Venue) -> None:
    maker, taker = venue.key(0), venue.key(1)
    venue.order(maker, side="SELL", price="60000", quantity="0.5")
    bought = venue.order(taker, **market_order(quantity="0.5"))[1]
    assert [fill["commission"] for fill in bought["fills"]] == ["0.00050000"]
    assert balance(venue, "BTC", 1) == ("10.49950000", "0.00000000")
    assert balance(venue, "BTC", 0) == ("9.50000000", "0.00000000")
    assert balance(venue, "USDT", 0) == ("129970.00000000", "0.00000000")
    trades = venue.signed("GET", "/api/v3/myTrades", maker, **NAMED)[1]
    assert [(t["commissionAsset"], t["commission"]) for t in trades] == [("USDT", "30.00000000")]


def test_balances_of_nothing_are_left_out_when_asked(venue: Venue) -> None:
    venue.core.accounts[0].balances["BTC"] = 0
    body = venue.signed("GET", "/api/v3/account", omitZeroBalances="true")[1]
    assert "BTC" not in {row["asset"] for row in body["balances"]}


def test_own_trades_and_orders_by_id_time_and_count(venue: Venue) -> None:
    ids = []
    for _ in range(3):
        ids.append(venue.order(**market_order(quantity="0.001"))[1]["orderId"])
        venue.after(1)
    path, start_ms = "/api/v3/myTrades", START_NS // 1_000_000

    def orders(where: str, **params: Any) -> list[int]:
        status, rows = venue.signed("GET", where, **NAMED, **params)
        assert status == 200, rows
        return [row["orderId"] for row in rows]

    assert orders(path) == ids
    assert orders(path, limit=1) == ids[-1:]
    assert orders(path, orderId=ids[1]) == [ids[1]]
    assert orders(path, startTime=start_ms + 1_000) == ids[1:]
    assert orders(path, startTime=start_ms, limit=1) == ids[:1]
    assert orders(path, endTime=start_ms) == ids[:1]
    trade_id = venue.signed("GET", path, **NAMED)[1][1]["id"]
    assert orders(path, fromId=trade_id) == ids[1:]
    assert orders("/api/v3/allOrders", orderId=ids[1]) == ids[1:]
    assert orders("/api/v3/allOrders", limit=2) == ids[1:]
    assert orders("/api/v3/allOrders", startTime=start_ms, limit=2) == ids[:2]
    day = {"startTime": start_ms, "endTime": start_ms + 86_400_000}
    assert orders(path, **day) == ids
    day["endTime"] += 1
    refused(
        venue.signed("GET", path, **NAMED, **day),
        -1127,
        "More than 24 hours between startTime and endTime.",
    )
    refused(venue.signed("GET", path, **NAMED, startTime=start_ms, orderId=ids[0]), -1128)


# -- TYPES ---


def test_market_order_for_quote_money_spends_no_more_than_that(venue: Venue) -> None:
    fields = market_order(quantity=None, quoteOrderQty="1000.5")
    order = venue.order(**fields)[1]
    assert order["status"] == "FILLED"
    assert order["origQuoteOrderQty"] == "1000.50000000"
    assert 1000 < float(order["cummulativeQuoteQty"]) <= 1000.5


def test_ioc_order_expires_with_what_it_did_not_get(venue: Venue) -> None:
    conn = venue.user_stream()
    order = venue.order(timeInForce="IOC", price="60000.01", quantity="1")[1]
    assert order["status"] == "EXPIRED"
    assert order["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert 0 < float(order["executedQty"]) < 1
    reports = [e for e in venue.events(conn) if e["e"] == "executionReport"]
    assert (reports[-1]["x"], reports[-1]["X"]) == ("EXPIRED", "EXPIRED")
    assert reports[-1]["eR"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert balance(venue, "USDT")[1] == "0.00000000"


def test_fok_order_that_can_not_fill_is_accepted_and_expires(venue: Venue) -> None:
    status, order = venue.order(timeInForce="FOK", price="60000.01", quantity="1")
    assert (status, order["status"], order["executedQty"]) == (200, "EXPIRED", "0.00000000")
    assert order["expiryReason"] == "UNFILLED_FOK_ORDER_EXPIRED"


def test_limit_maker_rests_or_is_refused(venue: Venue) -> None:
    maker = {"type": "LIMIT_MAKER", "timeInForce": None}
    refused(
        venue.order(**maker, price="60000.01"), -2010, "Order would immediately match and take."
    )
    resting = venue.order(**maker, newOrderRespType="RESULT")[1]
    assert (resting["type"], resting["timeInForce"], resting["status"]) == (
        "LIMIT_MAKER", "GTC", "NEW",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "statuses"),
    [
        ("EXPIRE_TAKER", ("NEW", "EXPIRED_IN_MATCH")),
        ("EXPIRE_MAKER", ("EXPIRED_IN_MATCH", "NEW")),
        ("EXPIRE_BOTH", ("EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH")),
        (None, ("EXPIRED_IN_MATCH", "NEW")),
    ],
)
def test_own_orders_never_trade_with_each_other(
    venue: Venue, mode: str | None, statuses: tuple[str, str]
) -> None:
    conn = venue.user_stream()
    maker = venue.order(price="60000", newClientOrderId="maker")[1]
    venue.order(side="SELL", price="60000", newClientOrderId="taker", selfTradePreventionMode=mode)
    found = [
        venue.signed("GET", ORDER, **NAMED, origClientOrderId=name)[1]
        for name in ("maker", "taker")
    ]
    assert tuple(order["status"] for order in found) == statuses
    assert all(order["executedQty"] == "0.00000000" for order in found)
    prevented = [e for e in venue.events(conn) if e.get("x") == "TRADE_PREVENTION"]
    assert len(prevented) == statuses.count("EXPIRED_IN_MATCH")
    assert all(event["A"] == "0.01000000" for event in prevented)
    assert maker["orderId"] == found[0]["orderId"]


def test_test_order_is_checked_but_does_not_exist(venue: Venue) -> None:
    assert venue.signed("POST", "/api/v3/order/test", **wanted({})) == (200, {})
    rates = venue.signed(
        "POST", "/api/v3/order/test", **wanted({"computeCommissionRates": "true"})
    )[1]
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    refused(
        venue.signed("POST", "/api/v3/order/test", **wanted({"price": "1.234"})),
        -1013,
        "Filter failure: PRICE_FILTER",
    )
    assert venue.signed("GET", "/api/v3/openOrders")[1] == []


# -- REFUSALS ---

REFUSALS: list[tuple[dict[str, Any], int, str | None]] = [
    ({"symbol": None}, -1102, None),
    ({"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
    ({"side": "LONG"}, -1117, "Invalid side."),
    ({"type": "ICEBERG"}, -1116, "Invalid orderType."),
    ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
    (
        {"timeInForce": None},
        -1102,
        "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed.",
    ),
    ({"quantity": "-1"}, -1100, None),
    ({"quantity": "0"}, -1013, "Invalid quantity."),
    ({"price": "0"}, -1013, "Invalid price."),
    ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "9001"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "0.0000000001"}, -1111, "Parameter 'quantity' has too much precision."),
    ({"price": "59000.001"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "59000.000000001"}, -1111, "Parameter 'price' has too much precision."),
    ({"price": "1000001"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "80000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"price": "11000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"side": "SELL", "price": "40000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"side": "SELL", "price": "310000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"quantity": "0.00001"}, -1013, "Filter failure: NOTIONAL"),
    ({"quantity": "200"}, -1013, "Filter failure: NOTIONAL"),
    ({"quantity": "2"}, -2010, "Account has insufficient balance for requested action."),
    ({"side": "SELL", "quantity": "11"}, -2010, None),
    ({"stopPrice": "58000"}, -1106, "Parameter 'stopPrice' sent when not required."),
    ({"icebergQty": "0.005"}, -1013, "Iceberg orders are not supported for this symbol."),
    ({"newClientOrderId": "a b"}, -1100, None),
    ({"newOrderRespType": "ALL"}, -1130, None),
    ({"strategyType": "999"}, -1134, None),
    ({"selfTradePreventionMode": "DECREMENT"}, -1130, None),
    ({"nonsense": "1"}, -1104, None),
    ({"quantity": "0.01", **market_order(timeInForce="GTC")}, -1106, None),
    (market_order(quoteOrderQty="100"), -1106, "Parameter 'quantity' sent when not required."),
    (market_order(quantity=None, quoteOrderQty="4"), -1013, "Filter failure: NOTIONAL"),
    (market_order(quantity=None, quoteOrderQty="1.123456789"), -1111, None),
    (market_order(quantity=None), -1102, None),
]


@pytest.mark.parametrize(("fields", "code", "text"), REFUSALS, ids=lambda value: str(value)[:40])
def test_order_is_refused_in_the_venues_words(
    venue: Venue, fields: dict[str, Any], code: int, text: str | None
) -> None:
    refused(venue.order(**fields), code, text)
    assert venue.signed("GET", "/api/v3/openOrders")[1] == []


def test_client_id_is_taken_while_its_order_is_open(venue: Venue) -> None:
    order = venue.order(newClientOrderId="mine")[1]
    refused(venue.order(newClientOrderId="mine"), -2010, "Duplicate order sent.")
    venue.signed("DELETE", ORDER, **NAMED, orderId=order["orderId"])
    assert venue.order(newClientOrderId="mine")[0] == 200


def test_halted_symbol_takes_no_orders_but_cancels(venue: Venue) -> None:
    order = venue.order()[1]
    venue.core.step(SetState("BTCUSDT", MarketState.HALTED), START_NS)
    assert venue.get("exchangeInfo")["symbols"][0]["status"] == "HALT"
    refused(venue.order(), -2010, "Market is closed.")
    status, cancelled = venue.signed("DELETE", ORDER, **NAMED, orderId=order["orderId"])
    assert (status, cancelled["status"]) == (200, "CANCELED")


def test_two_hundred_open_orders_are_the_most(venue: Venue) -> None:
    for _ in range(200):
        assert venue.order(quantity="0.001")[0] == 200
        venue.after(0.3)
    refused(venue.order(quantity="0.001"), -1013, "Filter failure: MAX_NUM_ORDERS")


# -- CANCEL ---


def test_cancel_of_what_is_not_open_is_an_unknown_order(venue: Venue) -> None:
    text = "Unknown order sent."
    refused(venue.signed("DELETE", ORDER, **NAMED, orderId=1), -2011, text)
    refused(venue.signed("DELETE", ORDER, **NAMED, origClientOrderId="x"), -2011, text)
    refused(venue.signed("DELETE", "/api/v3/openOrders", **NAMED), -2011, text)
    refused(venue.signed("GET", ORDER, **NAMED, orderId=1), -2013, "Order does not exist.")
    refused(venue.signed("DELETE", ORDER, **NAMED), -1102)


def test_cancel_obeys_its_restrictions(venue: Venue) -> None:
    order_id = venue.order(price="60000", quantity="0.5")[1]["orderId"]
    named = {**NAMED, "orderId": order_id}
    refused(
        venue.signed("DELETE", ORDER, **named, cancelRestrictions="ONLY_PARTIALLY_FILLED"),
        -2011,
        "Order was not canceled due to cancel restrictions.",
    )
    refused(venue.signed("DELETE", ORDER, **named, cancelRestrictions="OLD"), -1145)
    venue.order(venue.key(1), **market_order(side="SELL"))
    refused(venue.signed("DELETE", ORDER, **named, cancelRestrictions="ONLY_NEW"), -2011)
    assert venue.signed(
        "DELETE", ORDER, **named, cancelRestrictions="ONLY_PARTIALLY_FILLED"
    )[0] == 200  # fmt: skip


def test_ids_that_do_not_belong_together_are_refused(venue: Venue) -> None:
    order_id = venue.order(newClientOrderId="a")[1]["orderId"]
    wrong = venue.signed("DELETE", ORDER, **NAMED, orderId=order_id, origClientOrderId="b")
    refused(wrong, -2039, "Client order ID is not correct for this order ID.")
    right = venue.signed("DELETE", ORDER, **NAMED, orderId=order_id, origClientOrderId="a")
    assert right[0] == 200


def test_an_order_belongs_to_its_account(venue: Venue) -> None:
    order_id = venue.order()[1]["orderId"]
    other = venue.key(1)
    refused(venue.signed("DELETE", ORDER, other, **NAMED, orderId=order_id), -2011)
    refused(venue.signed("GET", ORDER, other, **NAMED, orderId=order_id), -2013)


# -- CANCEL AND REPLACE ---

GOOD, BAD_NEW = {"price": "58000"}, {"type": "LIMIT_MAKER", "timeInForce": None, "price": "61000"}
UNKNOWN = {"code": -2011, "msg": "Unknown order sent."}
TAKES = {"code": -2010, "msg": "Order would immediately match and take."}


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "gone"])
@pytest.mark.parametrize("new", [GOOD, BAD_NEW], ids=["good", "bad"])
def test_cancel_replace_tells_what_became_of_each_half(
    venue: Venue, mode: str, is_there: bool, new: dict[str, Any]
) -> None:
    order_id = venue.order()[1]["orderId"] if is_there else 77
    fields = {"cancelReplaceMode": mode, "cancelOrderId": order_id, **new}
    status, body = venue.signed("POST", CANCEL_REPLACE, **wanted(fields))
    cancels, stops = is_there, mode == "STOP_ON_FAILURE"
    is_attempted = cancels or not stops
    places = is_attempted and new is GOOD
    if cancels and places:
        assert status == 200
        data = body
    else:
        is_half = cancels or places
        assert status == (409 if is_half else 400)
        assert body["code"] == (-2021 if is_half else -2022)
        data = body["data"]
    assert data["cancelResult"] == ("SUCCESS" if cancels else "FAILURE")
    result = "SUCCESS" if places else "FAILURE" if is_attempted else "NOT_ATTEMPTED"
    assert data["newOrderResult"] == result
    assert data["cancelResponse"].get("status") == "CANCELED" if cancels else (
        data["cancelResponse"] == UNKNOWN
    )  # fmt: skip
    assert data["newOrderResponse"] == {"FAILURE": TAKES, "NOT_ATTEMPTED": None}.get(
        result, data["newOrderResponse"]
    )
    open_count = len(venue.signed("GET", "/api/v3/openOrders")[1])
    assert open_count == (1 if places else 0)


def test_new_order_that_is_refused_after_its_cancel_is_told_on_the_stream(venue: Venue) -> None:
    conn = venue.user_stream()
    order_id = venue.order()[1]["orderId"]
    venue.read(conn)
    fields = {"cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": order_id, **BAD_NEW}
    venue.signed("POST", CANCEL_REPLACE, **wanted({**fields, "newClientOrderId": "new"}))
    cancelled, refused_new, money = venue.events(conn)
    assert (cancelled["x"], cancelled["i"]) == ("CANCELED", order_id)
    assert (refused_new["x"], refused_new["X"]) == ("REJECTED", "REJECTED")
    assert refused_new["r"] == "WOULD_MATCH_IMMEDIATELY"
    assert (refused_new["c"], refused_new["w"], "W" in refused_new) == ("new", False, False)
    assert money["e"] == "outboundAccountPosition"
    venue.order()
    assert [event.get("x") for event in venue.events(conn)] == ["NEW", None]  # told once


def test_cancel_replace_with_a_filter_failure_cancels_nothing(venue: Venue) -> None:
    order_id = venue.order()[1]["orderId"]
    fields = {"cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": order_id, "price": "1.001"}
    refused(
        venue.signed("POST", CANCEL_REPLACE, **wanted(fields)),
        -1013,
        "Filter failure: PRICE_FILTER",
    )
    assert len(venue.signed("GET", "/api/v3/openOrders")[1]) == 1


@pytest.mark.parametrize(
    ("exceeded", "status", "code", "left"),
    [("DO_NOTHING", 429, -1015, 50), ("CANCEL_ONLY", 409, -2021, 49)],
)
def test_cancel_replace_beyond_the_order_count(
    venue: Venue, exceeded: str, status: int, code: int, left: int
) -> None:
    for _ in range(50):
        order_id = venue.order(quantity="0.001")[1]["orderId"]
    fields = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id,
              "orderRateLimitExceededMode": exceeded}  # fmt: skip
    said, body = venue.signed("POST", CANCEL_REPLACE, **wanted(fields))
    assert (said, body["code"]) == (status, code)
    if exceeded == "CANCEL_ONLY":
        assert body["data"]["cancelResult"] == "SUCCESS"
        assert body["data"]["newOrderResponse"]["code"] == -1015
    assert len(venue.signed("GET", "/api/v3/openOrders")[1]) == left


# -- AMEND ---


def test_amend_only_shrinks_and_keeps_the_place_in_the_queue(venue: Venue) -> None:
    conn = venue.user_stream()
    order_id = venue.order(price="60000", quantity="0.5", newClientOrderId="a")[1]["orderId"]
    venue.order(venue.key(1), price="60000", quantity="0.5")
    named = {**NAMED, "orderId": order_id}
    refused(
        venue.signed("PUT", AMEND, **named, newQty="0.6"),
        -2038,
        "Order amend (quantity increase) is not supported.",
    )
    refused(
        venue.signed("PUT", AMEND, **named, newQty="0.5"),
        -2038,
        "The requested action would change no state; rejecting",
    )
    refused(venue.signed("PUT", AMEND, **NAMED, orderId=5, newQty="0.1"), -2038)
    venue.read(conn)
    amended = venue.signed("PUT", AMEND, **named, newQty="0.2")[1]["amendedOrder"]
    assert (amended["qty"], amended["orderId"]) == ("0.20000000", order_id)
    assert amended["origClientOrderId"] == "a" != amended["clientOrderId"]
    report = venue.events(conn)[0]
    assert (report["x"], report["c"], report["C"]) == ("REPLACED", amended["clientOrderId"], "a")
    venue.order(venue.key(1), **market_order(side="SELL", quantity="0.2"))
    assert venue.signed("GET", ORDER, **named)[1]["status"] == "FILLED"
    assert balance(venue, "USDT")[1] == "0.00000000"


def test_an_order_is_amended_ten_times_at_most(venue: Venue) -> None:
    order_id = venue.order(quantity="0.1")[1]["orderId"]
    for number in range(10):
        new_qty = f"{0.09 - number / 1000:.3f}"
        assert venue.signed("PUT", AMEND, **NAMED, orderId=order_id, newQty=new_qty)[0] == 200
    refused(
        venue.signed("PUT", AMEND, **NAMED, orderId=order_id, newQty="0.01"),
        -2038,
        "Filter failure: MAX_NUM_ORDER_AMENDS",
    )


# -- ORDERS THAT WAIT FOR A PRICE ---


def test_stop_order_waits_triggers_and_keeps_its_id(venue: Venue) -> None:
    conn = venue.user_stream()
    stop = {"type": "STOP_LOSS_LIMIT", "side": "SELL", "stopPrice": "59999.99", "price": "59990"}
    venue.order(venue.key(1), **market_order())  # a trade above the stop price
    born = venue.t_ns // 1_000_000
    order_id = venue.order(**stop, newClientOrderId="stop")[1]["orderId"]
    waiting = venue.signed("GET", ORDER, **NAMED, orderId=order_id)[1]
    assert (waiting["status"], waiting["isWorking"], waiting["workingTime"]) == ("NEW", False, -1)
    assert [o["orderId"] for o in venue.signed("GET", "/api/v3/openOrders")[1]] == [order_id]
    venue.after(2)
    venue.order(venue.key(1), **market_order(side="SELL"))
    done = venue.signed("GET", ORDER, **NAMED, origClientOrderId="stop")[1]
    assert (done["orderId"], done["status"]) == (order_id, "FILLED")
    assert (done["time"], done["workingTime"]) == (born, born + 2_000)
    assert (done["type"], done["stopPrice"]) == ("STOP_LOSS_LIMIT", "59999.99000000")
    reports = [e for e in venue.events(conn) if e["e"] == "executionReport"]
    assert {report["i"] for report in reports} == {order_id}
    assert [report["w"] for report in reports[:2]] == [False, True]
    assert {report["O"] for report in reports} == {born}
    assert reports[-1]["X"] == "FILLED"
    trades = venue.signed("GET", "/api/v3/myTrades", **NAMED, orderId=order_id)[1]
    assert sum(float(trade["qty"]) for trade in trades) == pytest.approx(0.01)


def test_waiting_orders_are_cancelled_and_refused_like_others(venue: Venue) -> None:
    venue.order(venue.key(1), **market_order())
    stop = {"type": "STOP_LOSS", "side": "SELL", "price": None, "timeInForce": None}
    order = venue.order(**stop, stopPrice="59000", newOrderRespType="RESULT")[1]
    assert (order["type"], order["status"], order["workingTime"]) == ("STOP_LOSS", "NEW", -1)
    status, body = venue.signed("DELETE", ORDER, **NAMED, orderId=order["orderId"])
    assert (status, body["status"]) == (200, "CANCELED")
    refused(venue.order(**stop, stopPrice="61000"), -2010, "Order would trigger immediately.")
    refused(venue.order(**stop, stopPrice="59000", quantity="11"), -2010)
    refused(venue.order(**stop), -1102)
    for _ in range(5):
        assert venue.order(**stop, stopPrice="59000")[0] == 200
    refused(venue.order(**stop, stopPrice="59000"), -1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    assert len(venue.signed("DELETE", "/api/v3/openOrders", **NAMED)[1]) == 5


def test_delisting_expires_what_rests_and_what_waits(venue: Venue) -> None:
    conn = venue.user_stream()
    venue.order(venue.key(1), **market_order())
    stop = {"type": "STOP_LOSS", "side": "SELL", "price": None, "timeInForce": None}
    ids = [venue.order()[1]["orderId"], venue.order(**stop, stopPrice="59000")[1]["orderId"]]
    venue.read(conn)
    _, *caused = venue.core.step(SetState("BTCUSDT", MarketState.DELISTED), venue.t_ns)
    actions: list[Any] = []
    venue.face.publish(caused, venue.t_ns, actions)
    told = [json.loads(action.text)["event"] for action in actions if conn in action.conns]
    ended = {event["i"]: event for event in told if event["e"] == "executionReport"}
    assert list(ended) == ids
    for order_id, event in ended.items():
        assert (event["X"], event["eR"]) == ("EXPIRED", "EXCHANGE_CANCELED")
        order = venue.signed("GET", ORDER, **NAMED, orderId=order_id)[1]
        assert (order["status"], order["expiryReason"]) == ("EXPIRED", "EXCHANGE_CANCELED")
    refused(venue.order(), -2010, "Market is closed.")


def test_order_lists_are_refused(venue: Venue) -> None:
    answer = venue.signed("POST", "/api/v3/order/oco", **NAMED)
    refused(answer, -1013, "OCO orders are not supported for this symbol")
    assert venue.signed("GET", "/api/v3/openOrderList")[1] == []


# -- THE WEBSOCKET API ---


def test_websocket_api_does_the_same(venue: Venue) -> None:
    conn = venue.open("/ws-api/v3")
    placed = venue.api_signed(conn, "order.place", **wanted({"newClientOrderId": "a"}))
    assert (placed["id"], placed["status"]) == ("x1", 200)
    assert [row["rateLimitType"] for row in placed["rateLimits"]] == [
        "ORDERS", "ORDERS", "REQUEST_WEIGHT",
    ]  # fmt: skip
    order_id = placed["result"]["orderId"]
    for method, params in (
        ("order.status", {"orderId": str(order_id)}),
        ("openOrders.status", {}),
        ("allOrders", {}),
        ("myTrades", {}),
        ("account.status", None),
        ("account.commission", {}),
        ("account.rateLimits.orders", None),
    ):
        named = {} if params is None else {**NAMED, **params}
        assert venue.api_signed(conn, method, **named)["status"] == 200, method
    amended = venue.api_signed(
        conn, "order.amend.keepPriority", **NAMED, orderId=order_id, newQty="0.005"
    )
    assert amended["result"]["amendedOrder"]["qty"] == "0.00500000"
    replaced = venue.api_signed(
        conn, "order.cancelReplace",
        **wanted({"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": 5}),
    )  # fmt: skip
    assert (replaced["status"], replaced["error"]["code"]) == (400, -2022)
    assert replaced["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    cancelled = venue.api_signed(conn, "openOrders.cancelAll", **NAMED)
    assert [order["status"] for order in cancelled["result"]] == ["CANCELED"]
    again = venue.api_signed(conn, "order.cancel", **NAMED, orderId=order_id)
    assert json.dumps(again["error"]) == json.dumps(UNKNOWN)
    strange = venue.api_signed(conn, "order.place", **wanted({"nonsense": "1"}))
    assert strange["error"] == {
        "code": -1104,
        "msg": "Not all sent parameters were read; read '9' parameter(s) but was sent '10'.",
    }
    listed = venue.api_signed(conn, "orderList.place", **NAMED)
    assert listed["error"]["code"] == -1013
    assert venue.api_signed(conn, "order.test", **wanted({}))["result"] == {}
