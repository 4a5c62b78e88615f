"""engine.exchange.bybit against the venue: the documents' sample payloads, and what was recorded.

Compared are the names, their order and the kinds of the values, all the way down; the key order of
a private row differs a little between the documents' versions, so the sheet's samples are used.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from bybit_client import MS, START_NS, Client, order_of
from support_data import recorded

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.core import Core
from engine.exchange.face import WsText
from engine.exchange.instruments import Kind, catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.rules import rules_of
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.types import EventKind

# websocket/private/* and websocket/public/* of the v5 documents.
SAMPLES = {
    "order": (
        '{"id":"5923240c6880ab-c59f-420b-9adb-3639adc9dd90","topic":"order","creationTime":'
        '1672364262474,"data":[{"category":"linear","symbol":"BTCUSDT","orderId":'
        '"5cf98598-39a7-459e-97bf-76ca765ee020","orderLinkId":"","side":"Buy","orderType":"Limit",'
        '"timeInForce":"GTC","price":"30000","qty":"0.010","orderStatus":"New","cancelType":'
        '"UNKNOWN","rejectReason":"EC_NoError","avgPrice":"","leavesQty":"0.010","leavesValue":'
        '"300","cumExecQty":"0","cumExecValue":"0","cumExecFee":"0","cumFeeDetail":{},"closedPnl":'
        '"0","feeCurrency":"","positionIdx":0,"isLeverage":"","blockTradeId":"","orderIv":"",'
        '"stopOrderType":"","triggerPrice":"","triggerDirection":0,"triggerBy":"","takeProfit":"",'
        '"stopLoss":"","tpslMode":"","tpTriggerBy":"","slTriggerBy":"","tpLimitPrice":"",'
        '"slLimitPrice":"","lastPriceOnCreated":"","reduceOnly":false,"closeOnTrigger":false,'
        '"placeType":"","smpType":"None","smpGroup":0,"smpOrderId":"","createType":"CreateByUser",'
        '"createdTime":"1672364262444","updatedTime":"1672364262457","rpiTakerAccess":false,'
        '"rpiMatchedQty":"0"}]}'
    ),
    "execution": (
        '{"topic":"execution","id":"386825804_BTCUSDT_140612148849382","creationTime":'
        '1746270400355,"data":[{"category":"linear","symbol":"BTCUSDT","closedSize":"0.5",'
        '"execFee":"26.3725275","execId":"0ab1bdf7-4219-438b-b30a-32ec863018f7","execPrice":'
        '"95900.1","execQty":"0.5","execType":"Trade","execValue":"47950.05","feeRate":"0.00055",'
        '"markPrice":"95901.48","indexPrice":"","underlyingPrice":"","tradeIv":"","markIv":"",'
        '"blockTradeId":"","leavesQty":"0","orderId":"9aac161b-8ed6-450d-9cab-c5cc67c21784",'
        '"orderLinkId":"","orderPrice":"94942.5","orderQty":"0.5","orderType":"Market",'
        '"stopOrderType":"UNKNOWN","side":"Sell","execTime":"1746270400353","isLeverage":"0",'
        '"isMaker":false,"seq":140612148849382,"marketUnit":"","execPnl":"0.05","createType":'
        '"CreateByUser","feeCurrency":"USDT"}]}'
    ),
    "execution.fast": (
        '{"topic":"execution.fast","creationTime":1716800399338,"data":[{"category":"linear",'
        '"symbol":"ICPUSDT","execId":"3510f361-","execPrice":"12.015","execQty":"3000","orderId":'
        '"443d63fa-","isMaker":false,"orderLinkId":"","side":"Sell","execTime":"1716800399334",'
        '"seq":34771365464}]}'
    ),
    "position": (
        '{"id":"1003076014fb7eedb-","topic":"position","creationTime":1762199126022,"data":[{'
        '"positionIdx":0,"tradeMode":0,"riskId":11,"riskLimitValue":"900000","symbol":"ETHUSDT",'
        '"side":"Sell","size":"0.01","entryPrice":"3641.075","sessionAvgPrice":"","leverage":"30",'
        '"positionValue":"36.42075","positionBalance":"0","markPrice":"3641.33","positionIM":'
        '"1.23480936","positionMM":"0.20281586","positionIMByMp":"1.23480936","positionMMByMp":'
        '"0.20281586","takeProfit":"0","stopLoss":"0","trailingStop":"0","unrealisedPnl":'
        '"-0.00255","cumRealisedPnl":"-25.06579337","curRealisedPnl":"0.0094814","createdTime":'
        '"1730805600084","updatedTime":"1762199125472","tpslMode":"Full","liqPrice":"51764.83",'
        '"bustPrice":"","category":"linear","positionStatus":"Normal","adlRankIndicator":2,'
        '"autoAddMargin":0,"leverageSysUpdatedTime":"","mmrSysUpdatedTime":"","seq":325852190774,'
        '"isReduceOnly":false}]}'
    ),
    "wallet": (
        '{"id":"592324d2bce751-","topic":"wallet","creationTime":1700034722104,"data":[{'
        '"accountType":"UNIFIED","accountIMRate":"0","accountMMRate":"0","totalEquity":'
        '"10262.91335023","totalWalletBalance":"9684.46297164","totalMarginBalance":'
        '"9684.46297164","totalAvailableBalance":"9556.6056555","totalPerpUPL":"0",'
        '"totalInitialMargin":"0","totalMaintenanceMargin":"0","accountLTV":"0","coin":[{"coin":'
        '"USDT","equity":"10226.2","usdValue":"10226.2","walletBalance":"9647.7",'
        '"availableToWithdraw":"9519.8","availableToBorrow":"","borrowAmount":"0",'
        '"accruedInterest":"0","totalOrderIM":"0","totalPositionIM":"127.8","totalPositionMM":'
        '"12.7","unrealisedPnl":"0","cumRealisedPnl":"0","bonus":"0","collateralSwitch":true,'
        '"marginCollateral":true,"locked":"0","spotHedgingQty":"0","spotBorrow":"0"}]}]}'
    ),
    "orderbook.50.BTCUSDT": (
        '{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":'
        '"BTCUSDT","b":[["16493.50","0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"],'
        '["16612.00","0.213"]],"u":18521288,"seq":7961638724},"cts":1672304484976}'
    ),
    "publicTrade.BTCUSDT": (
        '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":'
        '1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":'
        '"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617}]}'
    ),
}


def shape(value: Any) -> Any:
    """Names in their order and kinds of values; of a list, its first element."""
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def linear_messages() -> dict[str, Any]:
    """One of each topic, by topic."""
    client = Client()
    public = client.open("/v5/public/linear")
    topics = ("order", "execution", "execution.fast", "position", "wallet")
    private = client.private(*topics)
    names = ["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT"]
    told = client.say(public, op="subscribe", args=names)[1:]
    client.order()
    client.order(orderType="Market", price=None)
    told += client.take(private) + client.take(public)
    found: dict[str, Any] = {}
    for message in told:
        found.setdefault(message["topic"], message)
    return found


@pytest.mark.parametrize("topic", SAMPLES)
def test_messages_have_the_documents_shape(topic: str) -> None:
    assert shape(linear_messages()[topic]) == shape(json.loads(SAMPLES[topic]))


def test_private_messages_show_prices_without_trailing_zeros() -> None:
    """The samples' "30000" and "95900.1" of an instrument whose tick is 0.10."""
    told = linear_messages()
    assert (told["order"]["data"][0]["price"], told["order"]["data"][0]["qty"]) == (
        "59000", "0.010",
    )  # fmt: skip
    row = told["execution"]["data"][0]
    assert (row["execPrice"], row["execQty"], row["orderQty"]) == ("60000.1", "0.01", "0.01")


# -- RECORDED ---


def recorded_messages() -> Iterator[tuple[str, str, str]]:
    """(connection or "http", category, message) of the Bybit capture."""
    path = recorded("raw_multivenue/BYBIT.jsonl.zst")
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        for line in stream.read().splitlines():
            record = json.loads(line)
            if record["t"] == "http":
                category = "spot" if "category=spot" in record["url"] else "linear"
                yield "http", category, record["data"]
            elif record["t"] == "recv":
                yield "ws", "spot" if record["conn"].endswith("3") else "linear", record["data"]


def class_of(message: Any) -> str:
    if "topic" not in message:
        return str(message["op"])
    name, _, _ = message["topic"].partition(".")
    return f"{name} {message['type']}"


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_public_messages_have_the_recorded_shape(category: str) -> None:
    """A delta's fields vary with what changed, so of those only the frame is compared."""
    listings = catalogue("bybit")
    market = AgentMarket(listings[f"{category}/BTCUSDT"], 1, START_NS)
    client = Client(core=Core([market], 1, rules=rules_of("bybit")))
    conn = client.open(f"/v5/public/{category}")
    topics = ["orderbook.200", "publicTrade", "tickers", "kline.1"]
    told = client.say(conn, op="subscribe", args=[f"{name}.BTCUSDT" for name in topics])
    client.wait(10)
    ours: dict[str, Any] = {}
    for message in told + client.take(conn):
        ours.setdefault(class_of(message), message)
    compared: set[str] = set()
    for source, own, text in recorded_messages():
        message = json.loads(text)
        if source != "ws" or own != category:
            continue
        name = class_of(message)
        if name in compared or (name == "kline snapshot" and len(message["data"]) != 1):
            continue
        compared.add(name)
        if name == "tickers delta":
            assert list(ours[name]) == list(message)
        elif name.endswith("delta"):
            assert list(ours[name]) == list(message)
            assert list(ours[name]["data"]) == list(message["data"])
        else:
            assert shape(ours[name]) == shape(message), name
    expected = {"subscribe", "orderbook snapshot", "orderbook delta", "publicTrade snapshot",
                "tickers snapshot", "kline snapshot"}  # fmt: skip
    assert compared == expected | ({"tickers delta"} if category == "linear" else set())


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_instruments_have_the_recorded_shape(category: str) -> None:
    client = Client()
    where = {"category": category, "limit": 1_000}
    ours = client.public("/v5/market/instruments-info", **where)["result"]["list"][0]
    theirs = None
    for source, own, text in recorded_messages():
        if source == "http" and own == category and "instruments-info" not in text:
            rows = json.loads(text)["result"]["list"]
            theirs = next((row for row in rows if row["symbol"] == "BTCUSDT"), theirs)
    assert theirs is not None
    assert shape(ours) == shape(theirs)
    for name in ("priceFilter", "priceScale", "symbolId", "baseCoin", "contractType"):
        if name != "priceFilter" and name in theirs:
            assert ours[name] == theirs[name], name
    assert ours["priceFilter"]["tickSize"] == theirs["priceFilter"]["tickSize"]


# -- OUR OWN DECODER ---


@pytest.mark.parametrize(
    ("category", "tick", "lot"), [("linear", "0.10", "0.001"), ("spot", "0.1", "0.000001")]
)
def test_our_decoder_reads_everything(category: str, tick: str, lot: str) -> None:
    """Whatever the face says is an event or known to be none: never malformed."""
    client = Client()
    decoder = BybitDecoder("BTCUSDT", tick, lot, "tm0123abcd-01-", category, "BTC", "USDT")
    conn, trade = client.open(f"/v5/public/{category}"), client.open("/v5/trade")
    private = client.private("order", "execution", "position", "wallet")
    names = ["orderbook.1", "orderbook.50", "publicTrade", "tickers", "kline.1"]
    client.say(conn, op="subscribe", args=[f"{name}.BTCUSDT" for name in names])
    client.logon(trade)
    client.inbox[trade] = []
    link = "tm0123abcd-01-00000000002a"
    qty = "0.010" if category == "linear" else "0.01"
    fields = order_of(category=category, orderLinkId=link, qty=qty, price="60000")
    header = {"X-BAPI-TIMESTAMP": str(START_NS // MS)}
    for op in ("order.create", "order.create", "order.cancel"):
        request = {"reqId": f"{op}1", "op": op, "header": header, "args": [fields]}
        if op == "order.cancel":
            client.cross(f"{category}/BTCUSDT", Side.SELL, 500, 599_000)
        client.step(WsText(trade, json.dumps(request)))
        client.wait(0.1)
    kinds: dict[EventKind, int] = {}
    for text in client.inbox[conn] + client.inbox[private] + client.inbox[trade]:
        kind, _ = decoder.decode_all_bytes(text.encode())
        assert kind > 0, (kind, text)
        kinds[EventKind(kind)] = kinds.get(EventKind(kind), 0) + 1
    assert kinds[EventKind.ORDER] >= 3, kinds
    wanted = {EventKind.BEST, EventKind.DEPTH, EventKind.TRADE, EventKind.ACCOUNT}
    assert wanted <= kinds.keys(), kinds


# -- IDS ---


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("is_trigger", [False, True])
def test_ids_lead_back(kind: Kind, is_trigger: bool) -> None:
    seen = set()
    for number in (1, 2, 4_000_000_001, 2_000_000_001, (1 << 48) - 1):
        text = texts.order_id(kind, number, is_trigger)
        assert texts.core_id(kind, text) == (number, is_trigger)
        seen.add(text)
    assert len(seen) == 5


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "1523347540000000000", "9999999999999999999", "x" * 36,
        "b25e00fe-7343-48d7-8986-0725f48d1c03", "B25E00FE-7343-48D7-8986-0725F48D1C02",
        "b25e00fe734348d789860725f48d1c02",
    ],
)  # fmt: skip
def test_ids_that_are_none(text: str) -> None:
    assert [texts.core_id(kind, text)[0] for kind in Kind] == [0, 0]
