"""engine.exchange.bybit: pages of what is over, orders that wait, orders that only reduce."""

from collections.abc import Iterator
from typing import Any

import pytest
from bybit_client import BTC, SPOT_BTC, Client, quiet_core

from engine.exchange.book import Side
from engine.exchange.bybit.errors import LINEAR, SPOT
from engine.exchange.terms import Reason

CLOSED = "/v5/order/history"
EXECUTIONS = "/v5/execution/list"


@pytest.fixture
def client() -> Client:
    return Client()


def pages(client: Client, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Rows of all pages."""
    cursor = ""
    for _ in range(100):
        more: dict[str, Any] = {**query, "cursor": cursor} if cursor else query
        found = client.get(path, **more)["result"]
        yield from found["list"]
        cursor = found["nextPageCursor"]
        if not cursor:
            return
    raise AssertionError("the pages have no end")


# -- PAGES ---


def test_history_is_newest_first_over_orders_triggers_and_instruments() -> None:
    client = Client(core=quiet_core(keys=(BTC, "linear/ETHUSDT", SPOT_BTC)))
    links = []
    for index in range(24):
        symbol, price = (("BTCUSDT", "59000"), ("ETHUSDT", "2900"))[index % 2]
        fields: dict[str, Any] = {"symbol": symbol, "price": price, "orderLinkId": f"n{index}"}
        if index % 3 == 2:
            above = str(int(price) * 11 // 10)
            fields |= {"triggerPrice": above, "triggerDirection": 1, "price": above}
        assert client.order(**fields)["retCode"] == 0
        links.append(f"n{index}")
        client.wait(0.001 * (index % 4))
    kept = links.pop(9)  # open orders are no history
    for link in links:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            order: dict[str, Any] = {"symbol": symbol, "orderLinkId": link}
            client.post("/v5/order/cancel", category="linear", **order)
    rows = list(pages(client, CLOSED, category="linear", limit=5))
    numbers = [row["orderLinkId"] for row in rows]
    assert sorted(numbers) == sorted(links)
    assert kept not in numbers
    stamps = [int(row["createdTime"]) for row in rows]
    assert stamps == sorted(stamps, reverse=True)
    assert rows == client.get(CLOSED, category="linear", limit=50)["result"]["list"]
    first, last = stamps[15], stamps[4]
    within = pages(client, CLOSED, category="linear", limit=3, startTime=first, endTime=last)
    assert [row["orderLinkId"] for row in within] == [
        row["orderLinkId"] for row in rows if first <= int(row["createdTime"]) <= last
    ]
    stops = pages(client, CLOSED, category="linear", orderFilter="StopOrder")
    assert {row["stopOrderType"] for row in stops} == {"Stop"}


def test_both_sides_of_an_own_trade_are_listed_on_any_page_size(client: Client) -> None:
    client.order(price="60000.00", qty="0.010", orderLinkId="maker")
    client.order(side="Sell", price="60000.00", qty="0.010", orderLinkId="taker")
    whole = client.get(EXECUTIONS, category="linear")["result"]["list"]
    assert {row["orderLinkId"] for row in whole} == {"maker", "taker"}
    assert len({(row["execTime"], row["execId"]) for row in whole}) == 1
    assert list(pages(client, EXECUTIONS, category="linear", limit=1)) == whole


def test_executions_of_two_instruments_at_one_time_are_listed_on_any_page_size() -> None:
    client = Client(core=quiet_core(keys=(BTC, "linear/ETHUSDT")))
    for symbol in ("BTCUSDT", "ETHUSDT"):
        client.order(symbol=symbol, orderType="Market", price=None, qty="0.01")
    client.wait(8 * 3_600)
    whole = client.get(EXECUTIONS, category="linear")["result"]["list"]
    funding = [row for row in whole if row["execType"] == "Funding"]
    assert len({row["execTime"] for row in funding}) < len(funding)
    assert list(pages(client, EXECUTIONS, category="linear", limit=1)) == whole


# -- CONDITIONAL ORDERS ---

REACHED = [
    ({"triggerPrice": "59000", "triggerDirection": 1},
     110092, "expect Rising, but trigger_price[590000000] <= current[600000000]??LastPrice"),
    ({"triggerPrice": "61000", "triggerDirection": 2, "triggerBy": "MarkPrice"},
     110093, "expect Falling, but trigger_price[610000000] >= current["),
    ({"category": "spot", "orderFilter": "StopOrder", "triggerPrice": "60000"},
     110093, "expect Falling, but trigger_price[600000000] >= current[600000000]??LastPrice"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code", "text"), REACHED)
def test_trigger_that_is_reached_is_refused_with_both_prices(
    client: Client, fields: dict[str, Any], code: int, text: str
) -> None:
    for key, lots in ((BTC, 10), (SPOT_BTC, 10_000)):
        client.order(category=key.partition("/")[0], price="60000.0", qty="0.010")
        client.cross(key, Side.SELL, lots, 600_000)
        assert client.core.markets[key].last_px_ticks() == 600_000
    answer = client.order(**fields)
    assert answer["retCode"] == code
    assert answer["retMsg"].startswith(text)


@pytest.mark.parametrize(
    ("direction", "price", "reached", "code", "word"),
    [(1, "61000", "59000", 110092, "Rising"), (2, "59000", "61000", 110093, "Falling")],
)
def test_amended_trigger_is_refused_in_the_same_words(
    client: Client, direction: int, price: str, reached: str, code: int, word: str
) -> None:
    stop = {"triggerPrice": price, "triggerDirection": direction, "orderLinkId": "stop"}
    assert client.order(**stop, price=price)["retCode"] == 0
    where: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "stop"}
    answer = client.post("/v5/order/amend", **where, triggerPrice=reached)
    assert answer["retCode"] == code
    assert answer["retMsg"].startswith(f"expect {word}, but trigger_price[{reached}0000] ")
    (row,) = client.get("/v5/order/realtime", **where)["result"]["list"]
    assert float(row["triggerPrice"]) == float(price)


def test_spot_take_profit_order_is_refused_as_it_would_occupy_assets(client: Client) -> None:
    stop = {"category": "spot", "side": "Sell", "price": "50000", "triggerPrice": "55000"}
    refused = client.order(**stop, qty="9", orderFilter="tpslOrder")
    assert (refused["retCode"], refused["retMsg"]) == (170201, "Invalid orderFilter parameter")
    for _ in range(2):  # more than is there: it is paid for when it triggers
        assert client.order(**stop, qty="9", orderFilter="StopOrder")["retCode"] == 0
    assert client.core.accounts[0].locked.get("BTC", 0) == 0


def test_spot_conditional_order_for_money_spends_it_when_it_triggers(client: Client) -> None:
    stop = {"category": "spot", "orderFilter": "StopOrder", "triggerPrice": "60000.1"}
    money = {**stop, "orderType": "Market", "price": None, "qty": "600", "orderLinkId": "money"}
    assert client.order(**money)["retCode"] == 0
    where: dict[str, Any] = {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": "money"}
    (row,) = client.get("/v5/order/realtime", **where)["result"]["list"]
    assert (row["orderStatus"], row["qty"], row["leavesQty"]) == ("Untriggered", "600", "0.009999")
    assert client.post("/v5/order/amend", **where, qty="0.02")["retCode"] == 170130
    client.cross(SPOT_BTC, Side.BUY, 10_000, 600_001)
    (row,) = client.get("/v5/order/realtime", **where)["result"]["list"]
    assert row["orderStatus"] in ("Filled", "PartiallyFilledCanceled")
    assert 599 < float(row["cumExecValue"]) <= 600


# -- ORDERS THAT ONLY REDUCE ---

CLOSE = {"side": "Sell", "reduceOnly": True, "price": "61000"}


def sizes(client: Client) -> tuple[str, str]:
    where: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT"}
    (row,) = client.get("/v5/position/list", **where)["result"]["list"]
    return row["side"], row["size"]


def state_of(client: Client, link: str) -> tuple[str, str, str]:
    found = client.get("/v5/order/realtime", category="linear", orderLinkId=link)
    (row,) = found["result"]["list"]
    return row["orderStatus"], row["qty"], row["cumExecQty"]


def test_reduce_only_orders_side_by_side_are_each_cut_to_the_whole_position(
    client: Client,
) -> None:
    client.order(orderType="Market", price=None, qty="0.100")
    for link in ("first", "second"):
        assert client.order(**CLOSE, qty="0.500", orderLinkId=link)["retCode"] == 0
        assert state_of(client, link) == ("New", "0.100", "0")
    market = {**CLOSE, "orderType": "Market", "price": None}
    assert client.order(**market, qty="0.040")["retCode"] == 0
    assert sizes(client) == ("Buy", "0.060")
    assert client.order(**market, qty="0.500")["retCode"] == 0
    assert sizes(client) == ("", "0")
    assert state_of(client, "first")[0] == state_of(client, "second")[0] == "Cancelled"
    refused = client.order(**CLOSE, qty="0.500")
    assert refused["retMsg"] == "current position is zero, cannot fix reduce-only order qty"


@pytest.mark.parametrize("fields", [{"qty": "0.500"}, {"qty": "0", "closeOnTrigger": True}])
def test_conditional_order_larger_than_the_position_closes_it(
    client: Client, fields: dict[str, Any]
) -> None:
    client.order(orderType="Market", price=None, qty="0.100")
    stop = {**CLOSE, **fields, "triggerPrice": "59999.50", "triggerDirection": 2}
    market = {**stop, "orderType": "Market", "price": None}
    assert client.order(**market, orderLinkId="stop")["retCode"] == 0
    client.cross(BTC, Side.SELL, 5_000, 599_900)
    assert state_of(client, "stop") == ("Filled", "0.100", "0.100")
    assert sizes(client) == ("", "0")


def test_reduce_only_that_opens_is_refused(client: Client) -> None:
    client.order(orderType="Market", price=None, qty="0.100")
    assert client.order(reduceOnly=True)["retCode"] == 110017
    assert client.order(**CLOSE, qty="0")["retMsg"] == "Qty invalid"


# -- LEVERAGE ---


def test_leverage_that_the_money_does_not_cover_is_refused(client: Client) -> None:
    path = "/v5/position/set-leverage"
    where: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT"}
    assert client.order(price="59000", qty="20")["retCode"] == 0
    refused = client.post(path, **where, buyLeverage="1", sellLeverage="1")
    assert (refused["retCode"], refused["retMsg"]) == (110012, "Insufficient available balance.")
    assert client.post(path, **where, buyLeverage="50", sellLeverage="50")["retCode"] == 0


def test_every_reason_of_the_core_has_a_code_and_words_on_both_lines() -> None:
    for reason in Reason:
        for table in (LINEAR, SPOT):
            code, text = table[reason]
            assert (code >= 10_000, bool(text)) == (True, True)
