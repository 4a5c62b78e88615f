"""Samples of the venue's documents against what the face says: fields, their order, their types.

Samples: rest-api.md, web-socket-api.md, web-socket-streams.md, user-data-stream.md of the venue's
documentation, with the changes since (no `b` and `a` in trades, `origQuoteOrderQty` and
`transactTime` in answers to orders).
"""

import json
from typing import Any

import pytest
from support_spot import Venue, market_order, wanted

ACK = """{"symbol":"BTCUSDT","orderId":28,"orderListId":-1,
"clientOrderId":"6gCrw2kRUAF9CvJDGP16IP","transactTime":1507725176595}"""
RESULT = (
    ACK[:-1]
    + ""","price":"0.00000000","origQty":"10.00000000","executedQty":"10.00000000",
"origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"10.00000000","status":"FILLED",
"timeInForce":"GTC","type":"MARKET","side":"SELL","workingTime":1507725176595,
"selfTradePreventionMode":"NONE"}"""
)
FILL = """{"price":"4000.00000000","qty":"1.00000000","commission":"4.00000000",
"commissionAsset":"USDT","tradeId":56}"""
FULL = RESULT[:-1] + f',"fills":[{FILL}]}}'
CANCEL = """{"symbol":"LTCBTC","origClientOrderId":"myOrder1","orderId":4,"orderListId":-1,
"clientOrderId":"cancelMyOrder1","transactTime":1684804350068,"price":"2.00000000",
"origQty":"1.00000000","executedQty":"0.00000000","origQuoteOrderQty":"0.000000",
"cummulativeQuoteQty":"0.00000000","status":"CANCELED","timeInForce":"GTC","type":"LIMIT",
"side":"BUY","selfTradePreventionMode":"NONE"}"""
QUERY = """{"symbol":"LTCBTC","orderId":1,"orderListId":-1,"clientOrderId":"myOrder1",
"price":"0.1","origQty":"1.0","executedQty":"0.0","cummulativeQuoteQty":"0.0","status":"NEW",
"timeInForce":"GTC","type":"LIMIT","side":"BUY","stopPrice":"0.0","icebergQty":"0.0",
"time":1499827319559,"updateTime":1499827319559,"isWorking":true,"workingTime":1499827319559,
"origQuoteOrderQty":"0.000000","selfTradePreventionMode":"NONE"}"""
AMEND = """{"transactTime":1741669661670,"executionId":22,"amendedOrder":{"symbol":"BTCUSDT",
"orderId":9,"orderListId":-1,"origClientOrderId":"W0fJ9fiLKHOJutovPK3oJp",
"clientOrderId":"UQ1Np3bmQ71jJzsSDW9Vpi","price":"0.00000000","qty":"4.00000000",
"executedQty":"1.00000000","preventedQty":"0.00000000","quoteOrderQty":"0.00000000",
"cumulativeQuoteQty":"0.00000000","status":"PARTIALLY_FILLED","timeInForce":"GTC",
"type":"LIMIT","side":"BUY","workingTime":1741669661670,"selfTradePreventionMode":"NONE"}}"""
MY_TRADE = """[{"symbol":"BNBBTC","id":28457,"orderId":100234,"orderListId":-1,
"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","commission":"10.10000000",
"commissionAsset":"BNB","time":1499865549590,"isBuyer":true,"isMaker":false,
"isBestMatch":true}]"""
ACCOUNT = """{"makerCommission":15,"takerCommission":15,"buyerCommission":0,"sellerCommission":0,
"commissionRates":{"maker":"0.00150000","taker":"0.00150000","buyer":"0.00000000",
"seller":"0.00000000"},"canTrade":true,"canWithdraw":true,"canDeposit":true,"brokered":false,
"requireSelfTradePrevention":false,"preventSor":false,"updateTime":123456789,
"accountType":"SPOT","balances":[{"asset":"BTC","free":"4723846.89208129",
"locked":"0.00000000"}],"permissions":["SPOT"],"uid":354937868}"""
COMMISSION = """{"symbol":"BTCUSDT","standardCommission":{"maker":"0.00000010",
"taker":"0.00000020","buyer":"0.00000030","seller":"0.00000040"},
"specialCommission":{"maker":"0.01000000","taker":"0.02000000","buyer":"0.03000000",
"seller":"0.04000000"},"taxCommission":{"maker":"0.00000112","taker":"0.00000114",
"buyer":"0.00000118","seller":"0.00000116"},"discount":{"enabledForAccount":true,
"enabledForSymbol":true,"discountAsset":"BNB","discount":"0.75000000"}}"""
ORDER_COUNT = """[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50,
"count":0},{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000,
"count":0}]"""
DEPTH = """{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],
"asks":[["4.00000200","12.00000000"]]}"""
TRADES = """[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
"time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]"""
AGG_TRADES = """[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,
"T":1498793709153,"m":true,"M":true}]"""
KLINES = """[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100",
"148976.11427815",1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","0"]]"""
AVG_PRICE = '{"mins":5,"price":"9.35751834","closeTime":1694061154503}'
WINDOW_TAIL = """"volume":"8913.30000000","quoteVolume":"15.30000000","openTime":1499783499040,
"closeTime":1499869899040,"firstId":28385,"lastId":28460,"count":76}"""
DAY = (
    """{"symbol":"BNBBTC","priceChange":"-94.99999800","priceChangePercent":"-95.960",
"weightedAvgPrice":"0.29628482","prevClosePrice":"0.10002000","lastPrice":"4.00000200",
"lastQty":"200.00000000","bidPrice":"4.00000000","bidQty":"100.00000000",
"askPrice":"4.00000200","askQty":"100.00000000","openPrice":"99.00000000",
"highPrice":"100.00000000","lowPrice":"0.10000000","""
    + WINDOW_TAIL
)
DAY_MINI = (
    """{"symbol":"BNBBTC","openPrice":"99.00000000","highPrice":"100.00000000",
"lowPrice":"0.10000000","lastPrice":"4.00000200","""
    + WINDOW_TAIL
)
WINDOW = (
    """{"symbol":"BNBBTC","priceChange":"-8.00000000","priceChangePercent":"-88.889",
"weightedAvgPrice":"2.60427807","openPrice":"9.00000000","highPrice":"9.00000000",
"lowPrice":"1.00000000","lastPrice":"1.00000000","""
    + WINDOW_TAIL
)
BOOK_TICKER = """{"symbol":"LTCBTC","bidPrice":"4.00000000","bidQty":"431.00000000",
"askPrice":"4.00000200","askQty":"9.00000000"}"""
EVENT_TRADE = """{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100",
"T":1672515782136,"m":true,"M":true}"""
EVENT_AGG = """{"e":"aggTrade","E":1633998523963,"s":"NKNUSDT","a":15683430,"p":"0.35280000",
"q":"58.00000000","f":19862790,"l":19862790,"T":1633998523963,"m":false,"M":true}"""
EVENT_BEST = """{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000",
"a":"0.35260000","A":"3199.00000000"}"""
EVENT_DEPTH = """{"e":"depthUpdate","E":1633998512068,"s":"NKNUSDT","U":499869750,"u":499869752,
"b":[["0.35130000","6195.00000000"]],"a":[["0.35130000","6195.00000000"]]}"""
EVENT_KLINE = """{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,
"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025",
"l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}"""
EVENT_TICKER = """{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00",
"w":"0.0018","x":"0.0009","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100",
"o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":86400000,"F":0,"L":18150,
"n":18151}"""
EVENT_MINI = """{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010",
"h":"0.0025","l":"0.0010","v":"10000","q":"18"}"""
EVENT_WINDOW = """{"e":"1hTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00",
"o":"0.0010","h":"0.0025","l":"0.0010","c":"0.0025","w":"0.0018","v":"10000","q":"18","O":0,
"C":1675216573749,"F":0,"L":18150,"n":18151}"""
EVENT_AVG = """{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000",
"T":1693907032213}"""
EVENT_NEW = """{"e":"executionReport","E":1499405658658,"s":"ETHBTC",
"c":"mUvoqJxFIILMdfAW5iGSOW","S":"BUY","o":"LIMIT","f":"GTC","q":"1.00000000",
"p":"0.10264410","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW","r":"NONE",
"i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,
"T":1499405658657,"t":-1,"I":8641984,"w":true,"m":false,"M":false,"O":1499405658657,
"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":1499405658657,"V":"NONE"}"""
EVENT_FILL = EVENT_NEW.replace('"n":"0","N":null', '"n":"0.00100000","N":"ETH"')
EVENT_POSITION = """{"e":"outboundAccountPosition","E":1564034571105,"u":1564034571073,
"B":[{"a":"ETH","f":"10000.000000","l":"0.000000"}]}"""

STREAMS = {
    "trade": EVENT_TRADE, "aggTrade": EVENT_AGG, "bookTicker": EVENT_BEST, "depth": EVENT_DEPTH,
    "depth@100ms": EVENT_DEPTH, "depth5": DEPTH, "depth20@100ms": DEPTH, "kline_1m": EVENT_KLINE,
    "kline_1s": EVENT_KLINE, "kline_1M": EVENT_KLINE, "ticker": EVENT_TICKER,
    "miniTicker": EVENT_MINI, "ticker_1h": EVENT_WINDOW, "avgPrice": EVENT_AVG,
}  # fmt: skip
ANSWERS = {
    "depth": DEPTH, "trades": TRADES, "historicalTrades": TRADES, "aggTrades": AGG_TRADES,
    "avgPrice": AVG_PRICE, "ticker/24hr": DAY, "ticker": WINDOW, "ticker/bookTicker": BOOK_TICKER,
    "ticker/price": '{"symbol":"LTCBTC","price":"4.00000200"}',
}  # fmt: skip


def shape(value: Any) -> Any:
    """Names in their order and kinds of values; of a list, its first item."""
    if isinstance(value, dict):
        return [(name, shape(item)) for name, item in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        return "decimal" if value.lstrip("-").replace(".", "", 1).isdigit() else "text"
    return type(value).__name__


def check(said: Any, sample: str) -> None:
    assert shape(said) == shape(json.loads(sample))


@pytest.fixture(scope="module")
def traded() -> Venue:
    """A buy of several levels has just happened."""
    venue = Venue()
    assert venue.order(**market_order(quantity="0.05"))[0] == 200
    return venue


@pytest.mark.parametrize(("path", "sample"), ANSWERS.items())
def test_market_data_is_written_as_in_the_sample(traded: Venue, path: str, sample: str) -> None:
    check(traded.get(path, symbol="BTCUSDT"), sample)


def test_klines_and_mini_tickers_are_written_as_in_the_samples(traded: Venue) -> None:
    rows = traded.get("klines", symbol="BTCUSDT", interval="1m")
    assert [shape(item) for item in rows[0]] == [shape(item) for item in json.loads(KLINES)[0]]
    check(traded.get("ticker/24hr", symbol="BTCUSDT", type="MINI"), DAY_MINI)
    check(traded.get("ticker", symbol="BTCUSDT", type="MINI"), DAY_MINI)


@pytest.mark.parametrize(("kind", "sample"), STREAMS.items())
def test_stream_is_written_as_in_the_sample(kind: str, sample: str) -> None:
    venue = Venue()
    conn = venue.open(f"/ws/btcusdt@{kind}")
    venue.order(side="SELL", price="60000")
    venue.order(**market_order(quantity="0.05"))
    venue.order(side="SELL", price="61000")
    venue.order(price="59000")
    venue.after(2.5)
    frames = venue.read(conn)
    full = [frame for frame in frames if frame.get("b") != [] and frame.get("a") != []]
    check(full[-1], sample)


def test_orders_are_answered_as_in_the_samples() -> None:
    venue = Venue()
    check(venue.order(newOrderRespType="ACK")[1], ACK)
    check(venue.order(newOrderRespType="RESULT")[1], RESULT)
    check(venue.order(**market_order())[1], FULL)
    check(venue.order(type="LIMIT_MAKER", timeInForce=None, price="58000")[1], ACK)


def test_queries_and_cancels_are_answered_as_in_the_samples() -> None:
    venue = Venue()
    venue.order(newClientOrderId="a")
    named = {"symbol": "BTCUSDT", "origClientOrderId": "a"}
    check(venue.signed("GET", "/api/v3/order", **named)[1], QUERY)
    check(venue.signed("GET", "/api/v3/openOrders")[1], f"[{QUERY}]")
    check(venue.signed("DELETE", "/api/v3/order", **named)[1], CANCEL)
    check(venue.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT")[1], f"[{QUERY}]")
    venue.order()
    check(venue.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1], f"[{CANCEL}]")


def test_cancel_replace_and_amend_are_answered_as_in_the_samples() -> None:
    venue = Venue()
    order_id = venue.order()[1]["orderId"]
    body = wanted({"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id})
    replaced = venue.signed("POST", "/api/v3/order/cancelReplace", **body)[1]
    assert list(replaced) == [
        "cancelResult", "newOrderResult", "cancelResponse", "newOrderResponse"
    ]  # fmt: skip
    check(replaced["cancelResponse"], CANCEL)
    check({**replaced["newOrderResponse"], "fills": []}, RESULT[:-1] + ',"fills":[]}')
    amended = venue.signed(
        "PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", newQty="0.005",
        orderId=replaced["newOrderResponse"]["orderId"],
    )[1]  # fmt: skip
    check(amended, AMEND)


def test_account_is_answered_as_in_the_samples(traded: Venue) -> None:
    check(traded.signed("GET", "/api/v3/account")[1], ACCOUNT)
    check(traded.signed("GET", "/api/v3/account/commission", symbol="BTCUSDT")[1], COMMISSION)
    check(traded.signed("GET", "/api/v3/rateLimit/order")[1], ORDER_COUNT)
    check(traded.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT")[1], MY_TRADE)


def test_user_events_are_written_as_in_the_samples() -> None:
    venue = Venue()
    conn = venue.user_stream()
    venue.order(side="SELL", price="60000")
    new, locked = venue.events(conn)
    check(new, EVENT_NEW)
    check(locked, EVENT_POSITION)
    venue.order(**market_order(side="SELL", quantity="0.001"))
    events = venue.events(conn)
    check(events[1], EVENT_FILL)
    assert events[1]["x"] == "TRADE"
