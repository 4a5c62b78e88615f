"""Binance decoder: accounts, spot orders, answers and sessions, as the venue documents them."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore.codec import binance_decode as fast
from fastcore.types import Code, EventKind, ExecType, FeeAsset, OrderState, Side, Verb
from tests.reference import codec_binance as twin

PREFIX = "tm0123abcd-01-"
USDM = ("BTCUSDT", "0.10", "0.001", PREFIX, "BTC", "USDT")
SPOT = ("ETHBTC", "0.00000010", "0.0001", PREFIX, "ETH", "BTC")

# binance-spot-api-docs, user-data-stream.md; client id ours.
REPORT = (
    b'{"subscriptionId":0,"event":{"e":"executionReport","E":1499405658658,"s":"ETHBTC",'
    b'"c":"tm0123abcd-01-00000000002a","S":"BUY","o":"LIMIT","f":"GTC","q":"1.00000000",'
    b'"p":"0.10264410","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW",'
    b'"r":"NONE","i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0",'
    b'"N":null,"T":1499405658657,"t":-1,"I":8641984,"w":true,"m":false,"M":false,'
    b'"O":1499405658657,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":1499405658657,'
    b'"V":"NONE"}}'
)
FILL = (
    REPORT.replace(b'"x":"NEW","X":"NEW"', b'"x":"TRADE","X":"FILLED"')
    .replace(b'"l":"0.00000000","z":"0.00000000"', b'"l":"1.00000000","z":"1.00000000"')
    .replace(b'"L":"0.00000000","n":"0","N":null', b'"L":"0.10264410","n":"0.001","N":"ETH"')
    .replace(b'"t":-1', b'"t":98765432')
    .replace(b'"m":false', b'"m":true')
)
ACCOUNT = (
    b'{"e":"ACCOUNT_UPDATE","T":1564745798938,"E":1564745798939,"a":{"m":"ORDER","B":[{"a":"USDT",'
    b'"wb":"122624.12345678","cw":"100.12345678","bc":"50.12345678"},{"a":"BNB","wb":"1"}],'
    b'"P":[{"s":"BTCUSDT","pa":"-20","ep":"6563.6","bep":"6563.559","cr":"0","up":"2850.21200",'
    b'"mt":"cross","iw":"0","ps":"BOTH"},{"s":"ETHUSDT","pa":"0.00001","ps":"LONG"}]}}'
)
POSITION = (
    b'{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1564034571105,'
    b'"u":1564034571073,"B":[{"a":"ETH","f":"10000.00019999","l":"0.5"},'
    b'{"a":"BTC","f":"1.00000000","l":"0.25000000"},{"a":"BNB","f":"x"}]}}'
)
CHANGE = (
    b'{"subscriptionId":0,"event":{"e":"balanceUpdate","E":1573200697110,"a":"BTC",'
    b'"d":"-100.00000000","T":1573200697068}}'
)
AGG = (
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1626992741575,"a":16599292,'
    b'"s":"BTCUSDT","p":"24670.90","q":"10","f":23961322,"l":23961322,"T":1626992741421,'
    b'"m":false}}'
)
PARTIAL = (
    b'{"stream":"ethbtc@depth5@100ms","data":{"lastUpdateId":160,"bids":[["0.00240000","10.0000"]],'
    b'"asks":[["0.00260000","100.0000"],["0.0027","0.5"]]}}'
)
PARTIAL_USDM = (
    b'{"stream":"btcusdt@depth20@100ms","data":{"e":"depthUpdate","E":1571889248277,'
    b'"T":1571889248276,"s":"BTCUSDT","U":390497796,"u":390497878,"pu":390497794,'
    b'"b":[["7403.80","0.002"]],"a":[["7405.90","3.340"]]}}'
)
REPLACED = (
    b'{"id":"600000000002a","status":200,"result":{"cancelResult":"SUCCESS",'
    b'"newOrderResult":"SUCCESS","cancelResponse":{"symbol":"ETHBTC",'
    b'"origClientOrderId":"tm0123abcd-01-000000000029","orderId":125690984230,'
    b'"executedQty":"0.3000","status":"CANCELED"},"newOrderResponse":{"symbol":"ETHBTC",'
    b'"orderId":12569138901,"clientOrderId":"tm0123abcd-01-00000000002a","executedQty":"0.1000",'
    b'"status":"PARTIALLY_FILLED","fills":[]}},"rateLimits":[]}'
)
HALF_REPLACED = (
    b'{"id":"600000000002a","status":409,"error":{"code":-2021,"msg":"Order cancel-replace '
    b'partially failed.","data":{"cancelResult":"SUCCESS","newOrderResult":"FAILURE",'
    b'"cancelResponse":{"symbol":"ETHBTC","origClientOrderId":"tm0123abcd-01-000000000029",'
    b'"orderId":125690984230,"status":"CANCELED"},"newOrderResponse":{"code":-2010,'
    b'"msg":"Account has insufficient balance for requested action."}}}}'
)
NOT_REPLACED = (
    b'{"id":"600000000002a","status":400,"error":{"code":-2022,"msg":"Order cancel-replace '
    b'failed.","data":{"cancelResult":"FAILURE","newOrderResult":"NOT_ATTEMPTED",'
    b'"cancelResponse":{"code":-2011,"msg":"Unknown order sent."},"newOrderResponse":null}}}'
)
AMENDED = (
    b'{"id":"500000000002a","status":200,"result":{"transactTime":1741924229819,'
    b'"executionId":16,"amendedOrder":{"symbol":"ETHBTC","orderId":12,"orderListId":-1,'
    b'"origClientOrderId":"tm0123abcd-01-00000000002a","qty":"5.00000000",'
    b'"executedQty":"1.00000000","preventedQty":"0.00000000","status":"PARTIALLY_FILLED"}}}'
)
MODIFIED = (
    b'{"id":"500000000002a","status":200,"result":{"orderId":328971409,"symbol":"BTCUSDT",'
    b'"status":"NEW","price":"43769.1","executedQty":"0.000","origQty":"0.11"}}'
)
CANCELED_ALL = (
    b'{"id":"4000000000007","status":200,"result":[{"symbol":"ETHBTC","orderId":4,'
    b'"origClientOrderId":"x","status":"CANCELED","executedQty":"0.001000"}],"rateLimits":[]}'
)
BANNED = (
    b'{"id":"100000000002a","status":418,"error":{"code":-1003,"msg":"Way too much request weight '
    b'used; IP banned until 1659146400000.","data":{"serverTime":1659142907531,'
    b'"retryAfter":1659146400000}}}'
)
LOGON = (
    b'{"id":"c174a2b1","status":200,"result":{"apiKey":"vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv",'
    b'"authorizedSince":1649729878532,"connectedSince":1649729873021,"returnRateLimits":false,'
    b'"serverTime":1649729878630,"userDataStream":false}}'
)
SAMPLES = {
    "report": (SPOT, REPORT), "fill": (SPOT, FILL), "account": (USDM, ACCOUNT),
    "position": (SPOT, POSITION), "change": (SPOT, CHANGE), "agg": (USDM, AGG),
    "partial": (SPOT, PARTIAL), "partial_usdm": (USDM, PARTIAL_USDM),
    "replaced": (SPOT, REPLACED), "half": (SPOT, HALF_REPLACED), "not": (SPOT, NOT_REPLACED),
    "amended": (SPOT, AMENDED), "modified": (USDM, MODIFIED), "all": (SPOT, CANCELED_ALL),
    "banned": (SPOT, BANNED), "logon": (SPOT, LOGON),
}  # fmt: skip


@pytest.fixture(params=[fast.Decoder, twin.Decoder], ids=["fast", "reference"])
def make(request):
    return request.param


# -- Orders ---


def test_execution_report_of_a_new_order(make):
    assert make(*SPOT).decode_bytes(REPORT) == (
        EventKind.ORDER,
        {
            "intent_id": 42, "venue_order_id": 4293153, "trade_id": -1,
            "exch_ts_ns": 1499405658657000000, "exec_type": ExecType.NEW,
            "status": OrderState.NEW, "side": Side.BUY, "is_maker": 0, "px_ticks": 1026441,
            "qty_lots": 10000, "cum_qty_lots": 0, "last_px_ticks": 0, "last_qty_lots": 0,
            "fee_e8": 0, "fee_asset": FeeAsset.QUOTE,
        },
    )  # fmt: skip


def test_execution_report_plain_and_wrapped_are_the_same(make):
    plain = json.dumps(json.loads(FILL)["event"]).encode()
    decoder = make(*SPOT)
    kind, fill = decoder.decode_bytes(FILL)
    assert decoder.decode_bytes(plain) == (kind, fill)
    assert (kind, fill["exec_type"]) == (EventKind.ORDER, ExecType.TRADE)
    assert (fill["trade_id"], fill["is_maker"], fill["last_qty_lots"]) == (98765432, 1, 10000)
    assert (fill["fee_e8"], fill["fee_asset"]) == (100000, FeeAsset.BASE)


OLD_ID = b'"C":"tm0123abcd-01-000000000029"'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({b'"C":""': OLD_ID, b'"x":"NEW","X":"NEW"': b'"x":"CANCELED","X":"CANCELED"'},
         {"intent_id": 41, "exec_type": ExecType.CANCELED, "status": OrderState.CANCELED}),
        ({b'"C":""': OLD_ID, b'"c":"tm0123abcd-01-00000000002a"': b'"c":"random"'},
         {"intent_id": 41}),
        ({b'"C":""': b'"C":"a person\'s"'}, {"intent_id": -1}),
        ({b'"C":"",': b""}, {"intent_id": 42}),
        ({b'"x":"NEW"': b'"x":"REPLACED"'}, {"exec_type": ExecType.AMENDMENT}),
        ({b'"X":"NEW"': b'"X":"PENDING_NEW"'}, {"status": OrderState.NEW}),
        ({b'"x":"NEW","X":"NEW"': b'"x":"REJECTED","X":"REJECTED"'},
         {"exec_type": ExecType.REJECTED, "status": OrderState.REJECTED}),
        ({b'"x":"NEW","X":"NEW"': b'"x":"EXPIRED","X":"EXPIRED"'},
         {"exec_type": ExecType.EXPIRED, "status": OrderState.EXPIRED}),
        ({b'"x":"NEW","X":"NEW"': b'"x":"TRADE_PREVENTION","X":"EXPIRED_IN_MATCH","A":"0.4"'},
         {"exec_type": ExecType.EXPIRED, "status": OrderState.EXPIRED, "qty_lots": 6000}),
        ({b'"x":"NEW"': b'"A":"0.4","x":"TRADE_PREVENTION"'},
         {"exec_type": ExecType.AMENDMENT, "status": OrderState.NEW, "qty_lots": 6000}),
        ({b'"n":"0","N":null': b'"n":"0.5","N":"BTC"'},
         {"fee_e8": 50000000, "fee_asset": FeeAsset.QUOTE}),
        ({b'"n":"0","N":null': b'"n":"0.5","N":"BNB"'}, {"fee_asset": FeeAsset.OTHER}),
        ({b'"n":"0","N":null': b'"n":"0.5","N":null'}, {"fee_asset": FeeAsset.OTHER}),
        ({b'"n":"0","N":null': b'"n":"0.5"'}, {"fee_asset": FeeAsset.OTHER}),
        ({b'"n":"0","N":null': b'"n":"0.000","N":"BNB"'}, {"fee_asset": FeeAsset.QUOTE}),
    ],
)  # fmt: skip
def test_execution_report_variants(make, changes, expected):
    buf = REPORT
    for old, new in changes.items():
        assert buf.count(old) == 1
        buf = buf.replace(old, new)
    kind, order = make(*SPOT).decode_bytes(buf)
    assert kind == EventKind.ORDER
    assert {name: order[name] for name in expected} == expected


def test_fee_without_known_assets_is_other(make):
    for asset in (b'"ETH"', b'""'):
        buf = FILL.replace(b'"N":"ETH"', b'"N":' + asset)
        _, fill = make(*SPOT[:4]).decode_bytes(buf)
        assert (fill["fee_e8"], fill["fee_asset"]) == (100000, FeeAsset.OTHER)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b'"s":"ETHBTC"', b'"s":"LTCBTC"', Code.OTHER_SYMBOL),
        (b'"C":""', b'"C":null', Code.MALFORMED),
        (b'"c":"tm0123abcd-01-00000000002a"', b'"c":7', Code.MALFORMED),
        (b'"N":"ETH"', b'"N":1', Code.MALFORMED),
        (b'"x":"TRADE"', b'"x":"RECALCULATED"', Code.UNKNOWN),
        (b'"q":"1.00000000"', b'"q":"1.00000001"', Code.RANGE),
        (b'"t":98765432', b'"t":-1', Code.MALFORMED),
        (b'"t":98765432', b'"t":98765432,"A":"1.0001"', Code.RANGE),
        (b'"t":98765432', b'"t":98765432,"A":"-0.0001"', Code.RANGE),
        (b'"t":98765432', b'"t":98765432,"A":1', Code.MALFORMED),
        (b'"L":"0.10264410"', b'"L":"10000000000000.0"', Code.RANGE),
        (b'"E":1499405658658', b'"E":9223372036855', Code.RANGE),
        (b'"z":"1.00000000",', b"", Code.MALFORMED),
        (b'"e":"executionReport"', b'"e":"executionReports"', Code.UNKNOWN),
    ],
)
def test_bad_execution_report_is_refused_with_its_code(make, old, new, code):
    assert FILL.count(old) == 1
    assert make(*SPOT).decode_bytes(FILL.replace(old, new)) == (code, {})


def test_amendment_of_usdm_tells_the_new_terms(make):
    order = json.loads(FILL)["event"] | {
        "s": "BTCUSDT", "x": "AMENDMENT", "X": "NEW", "p": "43769.1", "q": "0.110", "L": "0",
    }  # fmt: skip
    buf = json.dumps({"e": "ORDER_TRADE_UPDATE", "E": 2, "T": 1, "o": order}).encode()
    kind, event = make(*USDM).decode_bytes(buf)
    assert (kind, event["exec_type"]) == (EventKind.ORDER, ExecType.AMENDMENT)
    assert (event["px_ticks"], event["qty_lots"], event["intent_id"]) == (437691, 110, 42)


# -- Accounts ---


def account(exch_ms, position_lots=None, balance_e8=None):
    return EventKind.ACCOUNT, {
        "exch_ts_ns": exch_ms * 1_000_000,
        "has_position": int(position_lots is not None),
        "has_balance": int(balance_e8 is not None),
        "position_lots": position_lots or 0,
        "balance_e8": balance_e8 or 0,
    }


def test_futures_account_gives_position_and_wallet(make):
    expected = account(1564745798938, -20000, 12262412345678)
    assert make(*USDM).decode_bytes(ACCOUNT) == expected
    alone = ACCOUNT.replace(b"BTCUSDT", b"LTCUSDT").replace(b'"USDT"', b'"USDC"')
    assert make(*USDM).decode_bytes(alone) == account(1564745798938)
    assert make(*USDM[:4]).decode_bytes(ACCOUNT) == account(1564745798938, -20000)
    nothing = b'{"e":"ACCOUNT_UPDATE","E":5,"a":{"m":"WITHDRAW"}}'
    assert make(*USDM).decode_bytes(nothing) == account(5)


def test_spot_account_gives_whole_lots_and_balance(make):
    expected = account(1564034571105, 100005001, 125000000)
    assert make(*SPOT).decode_bytes(POSITION) == expected
    assert make(*SPOT[:4]).decode_bytes(POSITION) == account(1564034571105)


def test_balance_change_says_only_that_something_changed(make):
    assert make(*SPOT).decode_bytes(CHANGE) == account(1573200697068)


BOTH = b'"ps":"BOTH"'


@pytest.mark.parametrize(
    ("sample", "old", "new", "code"),
    [
        (ACCOUNT, BOTH, b'"ps":"LONG"', Code.RANGE),
        (ACCOUNT, BOTH, b'"PS":"BOTH"', Code.MALFORMED),
        (ACCOUNT, BOTH, b'"ps":"BOTH"},{"s":"BTCUSDT","pa":"1","ps":"BOTH"', Code.MALFORMED),
        (ACCOUNT, BOTH, b'"ps":"BOTH"},{"s":"BTCUSDT","pa":"1","ps":"SHORT"', Code.RANGE),
        (ACCOUNT, BOTH, b'"ps":"BOTH"},{"s":"BTCUSDT","pa":"0.0","ps":"SHORT"', EventKind.ACCOUNT),
        (ACCOUNT, BOTH, b'"ps":"BOTH"},{"s":7', Code.MALFORMED),
        (ACCOUNT, BOTH, b'"ps":"BOTH"},7,{"s":"X"', Code.MALFORMED),
        (ACCOUNT, b'"pa":"-20"', b'"pa":"-20.0001"', Code.RANGE),
        (ACCOUNT, b'"pa":"-20"', b'"pa":-20', Code.MALFORMED),
        (ACCOUNT, b'"wb":"122624.12345678"', b'"wb":"-0.00000001"', EventKind.ACCOUNT),
        (ACCOUNT, b'"wb":"122624.12345678"', b'"wb":"0.000000001"', Code.RANGE),
        (ACCOUNT, b'"wb":"122624.12345678"', b'"wb":"10000000000.0"', Code.RANGE),
        (ACCOUNT, b'"wb":"122624.12345678",', b"", Code.MALFORMED),
        (ACCOUNT, b'"a":"BNB"', b'"a":"USDT"', Code.MALFORMED),
        (ACCOUNT, b'"P":[', b'"P":{"x":[', Code.MALFORMED),
        (ACCOUNT, b'"a":{"m"', b'"A":{"m"', Code.MALFORMED),
        (ACCOUNT, b'"E":1564745798939', b'"E":"1"', Code.MALFORMED),
        (POSITION, b'"l":"0.5"', b'"l":"-0.5"', Code.RANGE),
        (POSITION, b'"l":"0.5"', b'"l":0.5', Code.MALFORMED),
        (POSITION, b'"l":"0.5"', b'"L":"0.5"', Code.MALFORMED),
        (POSITION, b'"a":"BTC"', b'"a":"ETH"', Code.MALFORMED),
        (POSITION, b'"B":[', b'"b":[', Code.MALFORMED),
        (CHANGE, b'"a":"BTC"', b'"a":null', Code.MALFORMED),
        (CHANGE, b'"d":"-100.00000000"', b'"d":"1e8"', Code.MALFORMED),
        (CHANGE, b'"d":"-100.00000000",', b"", Code.MALFORMED),
    ],
)
def test_account_variants_and_refusals(make, sample, old, new, code):
    assert sample.count(old) == 1
    buf = sample.replace(old, new)
    if b'"P":{' in buf:
        buf = buf.replace(b'"LONG"}]', b'"LONG"}]}')
    settings_of = USDM if sample is ACCOUNT else SPOT
    assert make(*settings_of).decode_bytes(buf)[0] == code


# -- Market messages that are not in test_codec_binance ---


def test_agg_trade_is_a_trade_of_one_taker(make):
    kind, trade = make(*USDM).decode_bytes(AGG)
    assert kind == EventKind.AGG_TRADE
    assert trade == {
        "trade_id": 16599292, "exch_ts_ns": 1626992741421000000, "px_ticks": 246709,
        "qty_lots": 10000, "aggressor": Side.BUY, "is_market": 1,
    }  # fmt: skip
    for old, new, code in (
        (b'"a":16599292', b'"a":"1"', Code.MALFORMED),
        (b'"a":16599292,', b"", Code.MALFORMED),
        (b'"a":16599292', b'"a":' + b"9" * 19, Code.RANGE),
        (b'"q":"10"', b'"q":1', Code.MALFORMED),
        (b'"s":"BTCUSDT"', b'"s":"ETHUSDT"', Code.OTHER_SYMBOL),
    ):  # fmt: skip
        assert make(*USDM).decode_bytes(AGG.replace(old, new)) == (code, {})


def test_partial_depth_is_a_whole_small_book(make):
    book = {
        "first_update_id": 160, "final_update_id": 160, "prev_final_update_id": -1,
        "cross_seq": 0, "exch_ts_ns": 0, "bids": [(24000, 100000)],
        "asks": [(26000, 1000000), (27000, 5000)],
    }  # fmt: skip
    decoder = make(*SPOT)
    assert decoder.decode_bytes(PARTIAL) == (EventKind.SNAPSHOT, book)
    message = json.loads(PARTIAL)
    swapped = json.dumps({"data": message["data"], "stream": message["stream"]}).encode()
    assert decoder.decode_bytes(swapped) == (EventKind.SNAPSHOT, book)
    assert decoder.decode_bytes(json.dumps(message["data"]).encode()) == (EventKind.SNAPSHOT, book)
    for stream in (b"ltcbtc@depth5", b"ethbtc", b"ethbt@depth5", b"ETHBTC@depth5", b"ethbtcx@d"):
        other = PARTIAL.replace(b"ethbtc@depth5@100ms", stream)
        assert decoder.decode_bytes(other) == (Code.OTHER_SYMBOL, {})


def test_partial_depth_of_futures_is_told_by_its_stream(make):
    kind, book = make(*USDM).decode_bytes(PARTIAL_USDM)
    assert (kind, book["first_update_id"], book["prev_final_update_id"]) == (
        EventKind.SNAPSHOT, 390497878, -1,
    )  # fmt: skip
    assert (book["bids"], book["asks"]) == ([(74038, 2)], [(74059, 3340)])
    for stream in (b"btcusdt@depth@100ms", b"btcusdt@depth", b"depth20"):
        diff = PARTIAL_USDM.replace(b"btcusdt@depth20@100ms", stream)
        kind, depth = make(*USDM).decode_bytes(diff)
        assert (kind, depth["prev_final_update_id"]) == (EventKind.DEPTH, 390497794)


@pytest.mark.parametrize(
    ("buf", "kind"),
    [
        (b'{"e":"serverShutdown","E":1770123456789}', EventKind.VENUE_SHUTDOWN),
        (b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
         EventKind.VENUE_SHUTDOWN),
        (b'{"event":{"e":"eventStreamTerminated","E":1728973001334}}',
         EventKind.LISTEN_KEY_EXPIRED),
        (b'{"e":"listenKeyExpired","E":1736996475556,"listenKey":"Ws"}',
         EventKind.LISTEN_KEY_EXPIRED),
        *[(b'{"stream":"x","data":{"e":"%b","E":1}}' % name.encode(), EventKind.IGNORED)
          for name in sorted(twin.IGNORED)],
        (b'{"data":{"e":"kline"},"event":{"e":"kline"}}', Code.MALFORMED),
        (b'{"stream":"a","stream":"a","data":{"e":"kline"}}', Code.MALFORMED),
        (b'{"e":"somethingNew","E":1}', Code.UNKNOWN),
    ],
)  # fmt: skip
def test_messages_that_carry_no_numbers(make, buf, kind):
    assert make(*SPOT).decode_bytes(buf) == (kind, {})


# -- Answers ---

NOBODY = {
    "intent_id": -1, "verb": 0, "status": 200, "error_code": 0, "order_status": OrderState.FREE,
    "venue_order_id": -1, "cum_qty_lots": -1, "cancel_status": 0, "new_status": 0,
    "px_ticks": 0, "qty_lots": 0,
}  # fmt: skip
OURS = {**NOBODY, "intent_id": 42, "verb": Verb.REPLACE}


@pytest.mark.parametrize(
    ("instrument", "buf", "said", "canceled"),
    [
        (SPOT, REPLACED,
         {"cancel_status": 200, "new_status": 200, "venue_order_id": 12569138901,
          "cum_qty_lots": 1000, "order_status": OrderState.PARTIALLY_FILLED}, 41),
        (SPOT, HALF_REPLACED,
         {"status": 409, "error_code": -2021, "cancel_status": 200, "new_status": 400}, 41),
        (SPOT, NOT_REPLACED, {"status": 400, "error_code": -2022, "cancel_status": 400}, -1),
        (SPOT, AMENDED,
         {"verb": Verb.MODIFY, "venue_order_id": 12, "cum_qty_lots": 10000,
          "order_status": OrderState.PARTIALLY_FILLED, "qty_lots": 50000}, -1),
        (USDM, MODIFIED,
         {"verb": Verb.MODIFY, "venue_order_id": 328971409, "cum_qty_lots": 0,
          "order_status": OrderState.NEW, "px_ticks": 437691, "qty_lots": 110}, -1),
        (SPOT, CANCELED_ALL, {"verb": Verb.CANCEL_ALL, "intent_id": 7}, -1),
        (SPOT, BANNED, {"verb": Verb.PLACE, "status": 418, "error_code": -1003}, -1),
    ],
)  # fmt: skip
def test_answers_to_our_requests(make, instrument, buf, said, canceled):
    decoder = make(*instrument)
    assert decoder.decode_bytes(buf) == (EventKind.REPLY, OURS | said)
    assert decoder.canceled_intent_id == canceled
    assert decoder.retry_after_ms == (1659146400000 if buf is BANNED else 0)


@pytest.mark.parametrize(
    "buf",
    [
        LOGON, b'{"result":null,"id":1}', b'{"code":3,"msg":"Invalid JSON"}',
        b'{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key"}}',
        b'{"id":"x","status":999,"error":{"code":-999999}}',
        b'{"e":"listenKeyExpired","E":1736996475556,"listenKey":"Ws"}',
    ],
)  # fmt: skip
def test_what_a_journal_may_hold_decodes_to_the_same_event(buf):
    decoder = fast.Decoder(*SPOT)
    said = decoder.decode_bytes(buf)
    safe = decoder.safe_bytes()
    assert b"vmPUZE6m" not in safe
    assert b"msg" not in safe
    assert decoder.decode_bytes(safe) == said
    assert decoder.safe_bytes() == safe


@pytest.mark.parametrize(
    ("buf", "said"),
    [
        (LOGON, {}),
        (b'{"id":"x","status":200,"result":{"subscriptionId":0}}', {}),
        (b'{"id":"x","status":200,"result":{}}', {}),
        (b'{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or '
         b'permissions for action."}}', {"status": 401, "error_code": -2015}),
        (b'{"id":"x","status":400,"error":{"code":-2035,"msg":"active"}}',
         {"status": 400, "error_code": -2035}),
        (b'{"result":null,"id":1}', {}),
        (b'{"result":["btcusdt@aggTrade"],"id":3}', {}),
        (b'{"result":true,"id":2}', {}),
        (b'{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}',
         {"status": 400, "error_code": 2}),
        (b'{"code":0,"msg":"Unknown property","id":9}', {"status": 400}),
        (b'{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}',
         {"status": 400, "error_code": 3}),
    ],
)  # fmt: skip
def test_answers_of_sessions_and_streams(make, buf, said):
    assert make(*SPOT).decode_bytes(buf) == (EventKind.SESSION, NOBODY | said)


@pytest.mark.parametrize(
    ("sample", "old", "new", "code"),
    [
        (REPLACED, b'"newOrderResult":"SUCCESS"', b'"newOrderResult":"PERHAPS"', Code.UNKNOWN),
        (REPLACED, b'"newOrderResult":"SUCCESS"', b'"newOrderResult":1', Code.MALFORMED),
        (REPLACED, b'"newOrderResult":"SUCCESS"', b'"orderId":1', Code.MALFORMED),
        (REPLACED, b'newOrderResponse":{"symbol":"ETHBTC"', b'newOrderResponse":{"symbol":"X"',
         Code.OTHER_SYMBOL),
        (REPLACED, b'newOrderResponse":{"symbol":"ETHBTC"', b'newOrderResponse":{"symbol":7',
         Code.MALFORMED),
        (REPLACED, b'"executedQty":"0.1000"', b'"executedQty":"0.10001"', Code.RANGE),
        (BANNED, b'"retryAfter":1659146400000', b'"retryAfter":"soon"', Code.MALFORMED),
        (BANNED, b'"retryAfter":1659146400000', b'"retryAfter":' + b"9" * 19, Code.RANGE),
        (BANNED, b'"status":418,', b'"status":418,"code":1,', Code.MALFORMED),
        (AMENDED, b'"amendedOrder":{', b'"status":"NEW","amendedOrder":{', Code.MALFORMED),
    ],
)  # fmt: skip
def test_bad_answer_is_refused_with_its_code(make, sample, old, new, code):
    assert sample.count(old) == 1
    assert make(*SPOT).decode_bytes(sample.replace(old, new)) == (code, {})


# -- Any spelling, any damage ---


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_any_order_of_names_says_the_same(make, sample):
    instrument, buf = SAMPLES[sample]

    def reordered(value):
        if isinstance(value, list):
            return [reordered(entry) for entry in value]
        if isinstance(value, dict):
            return {name: reordered(value[name]) for name in reversed(value)} | {"zz": [{"a": 1}]}
        return value

    other = json.dumps(reordered(json.loads(buf, parse_float=Decimal)), indent=2).encode()
    decoder = make(*instrument)
    assert decoder.decode_bytes(other) == decoder.decode_bytes(buf)


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_truncated_anywhere_is_malformed(sample):
    instrument, buf = SAMPLES[sample]
    decoder = fast.Decoder(*instrument)
    assert decoder.decode_bytes(buf)[0] > 0
    for size in range(len(buf)):
        assert decoder.decode_bytes(buf[:size]) == (Code.MALFORMED, {}), size


@settings(max_examples=500)
@given(st.data())
def test_damage_is_judged_as_the_twin_does(data):
    instrument, original = SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))]
    buf = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(buf) - 1))
        byte = data.draw(st.sampled_from(b'0189.-"{}[],: eEtTsSbBaAcCnNpqxX'))
        action = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        buf[at : at + (action != "insert")] = bytes([byte] * (action != "delete"))
    decoded = fast.Decoder(*instrument).decode_bytes(bytes(buf))
    expected = twin.Decoder(*instrument).decode_bytes(bytes(buf))
    if expected[0] > 0 or decoded[0] < 0:
        assert (decoded[0] > 0) == (expected[0] > 0), (bytes(buf), decoded, expected)
    if decoded[0] > 0 and expected[0] > 0:
        assert decoded == expected, bytes(buf)
