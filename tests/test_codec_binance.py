"""Binance decoder: recorded data and samples as the twin has them; damage is refused."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_data import capture_messages, tape_messages

from fastcore.codec import binance_decode as fast
from fastcore.types import Code, EventKind, ExecType, FeeAsset, OrderState, Side, Verb
from tests.reference import codec_binance as twin

PREFIX = "tm0123abcd-01-"
USDM = ("BTCUSDT", "0.10", "0.001", PREFIX, "BTC", "USDT")

BEST = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT",'
    b'"b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256314}}'
)
DEPTH = (
    b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1660228023977,'
    b'"T":1660228023966,"s":"BTCUSDT","U":1801732832805,"u":1801732834115,"pu":1801732832589,'
    b'"b":[["2467.10","0.008"],["2467.00","12.000"]],"a":[["24653.60","0.000"]]}}'
)
TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1660228023980,"T":1660228023973,'
    b'"s":"BTCUSDT","t":2691833663,"p":"24670.90","q":"0.022","X":"MARKET","m":true}}'
)
ORDER = (
    b'{"e":"ORDER_TRADE_UPDATE","T":1568879465651,"E":1568879465652,"o":{"s":"BTCUSDT",'
    b'"c":"tm0123abcd-01-00000000002a","S":"SELL","o":"LIMIT","f":"GTC","q":"0.003",'
    b'"p":"7100.50","ap":"7100.50","sp":"0","x":"TRADE","X":"PARTIALLY_FILLED","i":8886774,'
    b'"l":"0.001","z":"0.002","L":"7100.40","N":"USDT","n":"0.01000000","T":1568879465651,'
    b'"t":12345678,"b":"0","a":"0","m":true,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT",'
    b'"ps":"BOTH","cp":false,"AP":"0","cr":"0","pP":false,"si":0,"ss":0,"rp":"12.34",'
    b'"V":"EXPIRE_TAKER"}}'
)
ACCOUNT = (
    b'{"e":"ACCOUNT_UPDATE","T":1564745798939,"E":1564745798939,"a":{"m":"ORDER","B":[{"a":"USDT",'
    b'"wb":"122624.12345678","cw":"100.12345678","bc":"50.12345678"}],"P":[{"s":"BTCUSDT",'
    b'"pa":"20","ep":"6563.6","bep":"6563.559","cr":"0","up":"2850.21200","mt":"cross","iw":"0",'
    b'"ps":"BOTH"}]}}'
)
LITE = (
    b'{"e":"TRADE_LITE","E":1721895408092,"T":1721895408214,"s":"BTCUSDT","q":"0.001","p":"0",'
    b'"m":false,"c":"z8hcUoOsqEdKMeKPSABslD","S":"BUY","L":"64089.20","l":"0.040","t":109100866,'
    b'"i":8886774}'
)
PLACED = (
    b'{"id":"100000000002a","status":200,"result":{"clientOrderId":"testOrder","cumQty":"0",'
    b'"executedQty":"0.002","orderId":8389766084576502976,"origQty":"10","price":"20000",'
    b'"reduceOnly":false,"side":"BUY","positionSide":"BOTH","status":"NEW","stopPrice":"0",'
    b'"symbol":"BTCUSDT","timeInForce":"GTC","updateTime":1566818724722,"goodTillDate":0},'
    b'"rateLimits":[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,'
    b'"count":1},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","count":1}]}'
)
REFUSED = (
    b'{"id":"2ffffffffffff","status":400,"error":{"code":-2011,"msg":"Unknown order \\"sent\\"."},'
    b'"rateLimits":[]}'
)
SNAPSHOT = (
    b'{"lastUpdateId": 1801732814321, "E": 1660228023456, "T": 1660228023444,\n'
    b' "bids": [["24670.90", "6.742"], ["24670.80", "0.001"]],\t"asks": [["24671.00", "1.5"]]}\r\n'
)
SAMPLES = {
    "best": BEST, "depth": DEPTH, "trade": TRADE, "order": ORDER, "account": ACCOUNT, "lite": LITE,
    "placed": PLACED, "refused": REFUSED, "snapshot": SNAPSHOT,
}  # fmt: skip


@pytest.fixture(params=[fast.Decoder, twin.Decoder], ids=["fast", "reference"])
def make(request):
    return request.param


# -- Documented samples ---


def test_decode_book_ticker_gives_touch(make):
    assert make(*USDM).decode_bytes(BEST) == (
        EventKind.BEST,
        {
            "update_id": 5123107839020, "exch_ts_ns": 1723161256313000000, "bid_px_ticks": 618002,
            "bid_qty_lots": 2507, "ask_px_ticks": 618003, "ask_qty_lots": 2510,
        },
    )  # fmt: skip


def test_decode_depth_gives_levels_in_order(make):
    kind, depth = make(*USDM).decode_bytes(DEPTH)
    assert kind == EventKind.DEPTH
    assert depth == {
        "first_update_id": 1801732832805, "final_update_id": 1801732834115,
        "prev_final_update_id": 1801732832589, "cross_seq": 0, "exch_ts_ns": 1660228023966000000,
        "bids": [(24671, 8), (24670, 12000)], "asks": [(246536, 0)],
    }  # fmt: skip


def test_decode_trade_of_maker_buyer_is_aggressive_sell(make):
    assert make(*USDM).decode_bytes(TRADE) == (
        EventKind.TRADE,
        {
            "trade_id": 2691833663, "exch_ts_ns": 1660228023973000000, "px_ticks": 246709,
            "qty_lots": 22, "aggressor": Side.SELL, "is_market": 1,
        },
    )  # fmt: skip


@pytest.mark.parametrize("origin", ["INSURANCE_FUND", "NA"])
def test_decode_trade_off_the_book_is_not_market(make, origin):
    buf = TRADE.replace(b"MARKET", origin.encode()).replace(b"true", b"false")
    kind, trade = make(*USDM).decode_bytes(buf)
    assert (kind, trade["is_market"], trade["aggressor"]) == (EventKind.TRADE, 0, Side.BUY)


def test_decode_order_update_gives_fill(make):
    assert make(*USDM).decode_bytes(ORDER) == (
        EventKind.ORDER,
        {
            "intent_id": 42, "venue_order_id": 8886774, "trade_id": 12345678,
            "exch_ts_ns": 1568879465651000000, "exec_type": ExecType.TRADE,
            "status": OrderState.PARTIALLY_FILLED, "side": Side.SELL, "is_maker": 1,
            "px_ticks": 71005, "qty_lots": 3, "cum_qty_lots": 2, "last_px_ticks": 71004,
            "last_qty_lots": 1, "fee_e8": 1000000,
            "fee_asset": FeeAsset.QUOTE,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        (b'"c":"tm0123abcd-01-', b'"c":"tm0123abcd-02-', "intent_id", -2),
        (b"00000000002a", b"00000000002A", "intent_id", -1),
        (b"00000000002a", b"00000000002", "intent_id", -1),
        (b"tm0123abcd-01-00000000002a", b"autoclose-1568879465651", "intent_id", -1),
        (b"00000000002a", b"ffffffffffff", "intent_id", 2**48 - 1),
        (b'"x":"TRADE"', b'"x":"NEW"', "trade_id", -1),
        (b'"x":"TRADE"', b'"x":"CALCULATED"', "exec_type", ExecType.CALCULATED),
        (b"PARTIALLY_FILLED", b"EXPIRED_IN_MATCH", "status", OrderState.EXPIRED),
        (b'"n":"0.01000000"', b'"n":"-0.00000001"', "fee_e8", -1),
        (b'"N":"USDT","n":"0.01000000",', b"", "fee_e8", 0),
        (b'"m":true', b'"m":false', "is_maker", 0),
        (b'"T":1568879465651,"E"', b'"E"', "exch_ts_ns", 1568879465652000000),
    ],
)
def test_decode_order_update_variants(make, old, new, field, value):
    assert old in ORDER
    kind, order = make(*USDM).decode_bytes(ORDER.replace(old, new, 1))
    assert kind == EventKind.ORDER
    assert order[field] == value


def test_decode_reply_to_place_gives_intent_and_state(make):
    assert make(*USDM).decode_bytes(PLACED) == (
        EventKind.REPLY,
        {
            "intent_id": 42, "verb": Verb.PLACE, "status": 200, "error_code": 0,
            "order_status": OrderState.NEW, "venue_order_id": 8389766084576502976,
            "cum_qty_lots": 2, "cancel_status": 0, "new_status": 0, "px_ticks": 200000,
            "qty_lots": 10000,
        },
    )  # fmt: skip


def test_decode_error_reply_gives_code(make):
    assert make(*USDM).decode_bytes(REFUSED) == (
        EventKind.REPLY,
        {
            "intent_id": 2**48 - 1, "verb": Verb.CANCEL, "status": 400, "error_code": -2011,
            "order_status": OrderState.FREE, "venue_order_id": -1, "cum_qty_lots": -1,
            "cancel_status": 0, "new_status": 0, "px_ticks": 0, "qty_lots": 0,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    "request_id",
    [b"null", b"7", b'""', b'"3f7d"', b'"800000000002a"', b'"100000000002A"', b'"0"',
     b'"000000000002a"', b'"100000000002a0"', b"1000000000020"],
)  # fmt: skip
def test_decode_reply_to_another_request_is_not_ours(make, request_id):
    buf = PLACED.replace(b'"100000000002a"', request_id)
    kind, reply = make(*USDM).decode_bytes(buf)
    assert (kind, reply["intent_id"], reply["verb"]) == (EventKind.REPLY, -1, 0)


def test_decode_reply_with_unknown_order_state_is_ambiguous(make):
    _, reply = make(*USDM).decode_bytes(PLACED.replace(b'"NEW"', b'"PENDING_NEW"'))
    assert reply["order_status"] == OrderState.UNKNOWN


def test_decode_snapshot_with_space_gives_levels(make):
    kind, book = make(*USDM).decode_bytes(SNAPSHOT)
    assert kind == EventKind.SNAPSHOT
    assert book == {
        "first_update_id": 1801732814321, "final_update_id": 1801732814321,
        "prev_final_update_id": -1, "cross_seq": 0, "exch_ts_ns": 1660228023444000000,
        "bids": [(246709, 6742), (246708, 1)], "asks": [(246710, 1500)],
    }  # fmt: skip


def test_decode_spot_shapes(make):
    decoder = make("BTCUSDT", "0.01", "0.00001")
    kind, best = decoder.decode_bytes(
        b'{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
        b'"a":"61837.64000000","A":"1.54698000"}'
    )
    assert kind == EventKind.BEST
    assert (best["bid_px_ticks"], best["ask_qty_lots"]) == (6183763, 154698)
    assert best["exch_ts_ns"] == 0
    kind, depth = decoder.decode_bytes(
        b'{"e":"depthUpdate","E":1633998512068,"s":"BTCUSDT","U":499869750,"u":499869752,'
        b'"b":[["61837.63000000","0.00000000",[]]],"a":[]}'
    )
    assert kind == EventKind.DEPTH
    assert depth["prev_final_update_id"] == -1
    assert (depth["bids"], depth["asks"]) == ([(6183763, 0)], [])


def test_decode_coinm_shape_with_late_event_name(make):
    kind, best = make("BTCUSD_PERP", "0.1", "1").decode_bytes(
        b'{"stream":"btcusd_perp@bookTicker","data":{"u":1007198632021,"e":"bookTicker",'
        b'"s":"BTCUSD_PERP","ps":"BTCUSD","b":"61804.7","B":"35","a":"61804.8","A":"1645",'
        b'"T":1723161257465,"E":1723161257476}}'
    )
    assert (kind, best["bid_qty_lots"], best["ask_px_ticks"]) == (EventKind.BEST, 35, 618048)


@pytest.mark.parametrize(
    "buf",
    [
        LITE,
        b'{"e":"24hrTicker","s":"X","p":"-0.0015","o":"0.0010","b":"0.0024","a":"0.0026","m":1}',
        b'{"e":"ALGO_UPDATE","T":1750515742297,"E":1,"o":{"caid":"x","aid":2148719,"o":"STOP"}}',
        b'{"e":"kline","s":"BTCUSDT","k":{"t":123400000,"o":"0.0010","x":false},"b":[1,{"a":[]}]}',
    ],
)  # fmt: skip
def test_decode_known_but_useless_is_ignored(make, buf):
    assert make(*USDM).decode_bytes(buf) == (EventKind.IGNORED, {})


def test_decode_listen_key_expired(make):
    buf = b'{"e":"listenKeyExpired","E":1736996475556,"listenKey":"WsCMN0a4KHUPTQuX6IUnqEZfB1"}'
    assert make(*USDM).decode_bytes(buf) == (EventKind.LISTEN_KEY_EXPIRED, {})


# -- Order of names, space, names we don't know ---


def reordered(value, reverse):
    if isinstance(value, dict):
        names = sorted(value, reverse=reverse)
        return {name: reordered(value[name], reverse) for name in names}
    return value


@pytest.mark.parametrize("sample", sorted(SAMPLES))
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("indent", [None, 3])
def test_decode_any_order_and_space_gives_the_same(make, sample, reverse, indent):
    message = json.loads(SAMPLES[sample], parse_float=Decimal)
    buf = json.dumps(reordered(message, reverse), indent=indent).encode()
    decoder = make(*USDM)
    assert decoder.decode_bytes(b" \t\r\n" + buf + b"\n ") == decoder.decode_bytes(SAMPLES[sample])


JUNK = {
    "zz": [{"a": [1, -2.5e-3, True, None, {"b": "\\ \" \u00e9 {[", "e": "trade"}]}, [], {}],
    "1": "x", "": 0, "_": {"s": "OTHER", "data": {"e": "trade"}}, "ee": -1, "nested": [[[[0]]]],
}  # fmt: skip


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_decode_unknown_names_are_skipped(make, sample):
    message = json.loads(SAMPLES[sample], parse_float=Decimal)
    decoder = make(*USDM)
    expected = decoder.decode_bytes(SAMPLES[sample])
    for spot in ("data", "o", "result", "error"):
        if isinstance(message.get(spot), dict):
            message[spot] = {**JUNK, **message[spot], "zzz": JUNK}
    for buf in (json.dumps({**JUNK, **message}), json.dumps({**message, **JUNK})):
        assert decoder.decode_bytes(buf.encode()) == expected


def test_decode_nesting_beyond_the_limit_is_malformed():
    decoder = fast.Decoder(*USDM)
    for depth, expected in ((32, EventKind.BEST), (33, Code.MALFORMED), (100_000, Code.MALFORMED)):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            junk = opening * depth + "0" * (opening != "[") + closing * depth
            buf = BEST.replace(b'"data":{', b'"data":{"z":' + junk.encode() + b",")
            assert decoder.decode_bytes(buf)[0] == expected


# -- Refusals ---


@pytest.mark.parametrize(
    ("sample", "old", "new", "code"),
    [
        (BEST, b'"s":"BTCUSDT"', b'"s":"ETHUSDT"', Code.OTHER_SYMBOL),
        (BEST, b'"s":"BTCUSDT"', b'"s":"BTCUSDT1"', Code.OTHER_SYMBOL),
        (BEST, b'"s":"BTCUSDT","b":"61800.20"', b'"s":"E","b":"0.00001"', Code.OTHER_SYMBOL),
        (BEST, b'"s":"BTCUSDT",', b"", Code.MALFORMED),
        (BEST, b"61800.20", b"61800.25", Code.RANGE),
        (BEST, b"61800.20", b"-61800.20", Code.RANGE),
        (BEST, b"61800.20", b"61800,20", Code.MALFORMED),
        (BEST, b"61800.20", b"", Code.MALFORMED),
        (BEST, b'"61800.20"', b"61800.20", Code.MALFORMED),
        (BEST, b"2.507", b"2.5071", Code.RANGE),
        (BEST, b"2.507", b"9" * 16 + b".0", Code.RANGE),
        (BEST, b"5123107839020", b"9223372036854775808", Code.RANGE),
        (BEST, b"5123107839020", b"9" * 300, Code.RANGE),
        (BEST, b"5123107839020", b"05", Code.MALFORMED),
        (BEST, b"5123107839020", b"-5", Code.MALFORMED),
        (BEST, b"5123107839020", b"5.0", Code.MALFORMED),
        (BEST, b"5123107839020", b"5e3", Code.MALFORMED),
        (BEST, b"5123107839020", b'"5"', Code.MALFORMED),
        (BEST, b"1723161256313", b"9223372036855", Code.RANGE),
        (BEST, b"1723161256314", b"9223372036855", Code.RANGE),
        (BEST, b'"T":1723161256313', b'"T":"1723161256313"', Code.MALFORMED),
        (BEST, b'"u":5123107839020', b'"u":1,"u":2', Code.MALFORMED),
        (BEST, b'"e":"bookTicker"', b'"e":"bookTickets"', Code.UNKNOWN),
        (BEST, b'"e":"bookTicker"', b'"e":7', Code.MALFORMED),
        (BEST, b'"e":"bookTicker"', b'"e":"executionReport"', Code.MALFORMED),
        (BEST, b"}}", b"}", Code.MALFORMED),
        (BEST, b"}}", b"}}}", Code.MALFORMED),
        (BEST, b"}}", b"}]", Code.MALFORMED),
        (BEST, b"}}", b",}}", Code.MALFORMED),
        (BEST, b'"B"', b'\x01"B"', Code.MALFORMED),
        (BEST, b"@bookTicker", b"\x01bookTicker", Code.MALFORMED),
        (BEST, b"@bookTicker", b"\\xbookTicker", Code.MALFORMED),
        (BEST, b"@bookTicker", b"\\u12G4bookTicker", Code.MALFORMED),
        (DEPTH, b'"0.008"]', b'"0.008"', Code.MALFORMED),
        (DEPTH, b'["2467.10","0.008"]', b'["2467.10"]', Code.MALFORMED),
        (DEPTH, b'["2467.10","0.008"]', b'["2467.10",0.008]', Code.MALFORMED),
        (DEPTH, b'["2467.10","0.008"]', b"7", Code.MALFORMED),
        (DEPTH, b'["2467.10","0.008"]', b'["2467.11","0.008"]', Code.RANGE),
        (DEPTH, b'["2467.10","0.008"]', b'["2467.10","-0.008"]', Code.RANGE),
        (DEPTH, b'["24653.60","0.000"]', b'["24653.60","0.0001"]', Code.RANGE),
        (DEPTH, b'"0.008"],[', b'"0.008"][', Code.MALFORMED),
        (DEPTH, b'"0.008"],[', b'"0.008"],,[', Code.MALFORMED),
        (DEPTH, b'"0.008"],["2467.00","12.000"]]', b'"0.008"],]', Code.MALFORMED),
        (DEPTH, b'"U":1801732832805', b'"U":1801732834116', Code.MALFORMED),
        (DEPTH, b'"pu":1801732832589', b'"pu":"x"', Code.MALFORMED),
        (DEPTH, b'"a":[["24653.60","0.000"]]', b'"a":"1.0"', Code.MALFORMED),
        (DEPTH, b'"s":"BTCUSDT"', b'"s":"ETHUSDT"', Code.OTHER_SYMBOL),
        (TRADE, b'"m":true', b'"m":"true"', Code.MALFORMED),
        (TRADE, b'"m":true', b'"m":truth', Code.MALFORMED),
        (TRADE, b',"m":true', b"", Code.MALFORMED),
        (TRADE, b'"X":"MARKET"', b'"X":1', Code.MALFORMED),
        (ORDER, b'"s":"BTCUSDT"', b'"s":"ETHUSDT"', Code.OTHER_SYMBOL),
        (ORDER, b'"x":"TRADE"', b'"x":"TRADED"', Code.UNKNOWN),
        (ORDER, b"PARTIALLY_FILLED", b"NEW_ADL", Code.UNKNOWN),
        (ORDER, b'"S":"SELL"', b'"S":"SOLD"', Code.MALFORMED),
        (ORDER, b'"z":"0.002",', b"", Code.MALFORMED),
        (ORDER, b'"z":"0.002"', b'"z":"0.0021"', Code.RANGE),
        (ORDER, b'"l":"0.001"', b'"l":"-0.001"', Code.RANGE),
        (ORDER, b'"n":"0.01000000"', b'"n":"0.010000001"', Code.RANGE),
        (ORDER, b'"t":12345678,', b"", Code.MALFORMED),
        (ORDER, b'"i":8886774', b'"i":8886774,"i":8886775', Code.MALFORMED),
        (ORDER, b'"o":{', b'"O":{', Code.MALFORMED),
        (PLACED, b'"status":200', b'"status":"200"', Code.MALFORMED),
        (PLACED, b'"status":200', b'"status":2000', Code.RANGE),
        (PLACED, b'"executedQty":"0.002"', b'"executedQty":"0.0002"', Code.RANGE),
        (PLACED, b'"symbol":"BTCUSDT"', b'"symbol":"ETHUSDT"', Code.OTHER_SYMBOL),
        (REFUSED, b"-2011", b"-2011.5", Code.MALFORMED),
        (REFUSED, b"-2011", b"-99999999", Code.RANGE),
        (REFUSED, b"-2011", b"-", Code.MALFORMED),
        (REFUSED, b"-2011", b'-"x"', Code.MALFORMED),
        (SNAPSHOT, b'"asks"', b'"ask"', Code.MALFORMED),
        (SNAPSHOT, b"1801732814321", b'"7"', Code.MALFORMED),
    ],
)
def test_decode_bad_message_is_refused_with_its_code(make, sample, old, new, code):
    assert old in sample
    assert make(*USDM).decode_bytes(sample.replace(old, new, 1)) == (code, {})


@pytest.mark.parametrize(
    ("buf", "code"),
    [
        (b"", Code.MALFORMED), (b" ", Code.MALFORMED), (b"{", Code.MALFORMED),
        (b"[]", Code.MALFORMED), (b"null", Code.MALFORMED), (b"{}{}", Code.MALFORMED),
        (b'{""":1}', Code.MALFORMED), (b"{,}", Code.MALFORMED), (b'{"a"}', Code.MALFORMED),
        (b'{"a":}', Code.MALFORMED), (b'{"a":-}', Code.MALFORMED), (b'{"a":1.}', Code.MALFORMED),
        (b'{"a":01}', Code.MALFORMED), (b'{"a":1e}', Code.MALFORMED),
        (b'{"a":nul}', Code.MALFORMED),
        (b'{"id":1,"error":7}', Code.MALFORMED), (b"{}", Code.UNKNOWN),
        (b'{"id":1}', Code.UNKNOWN),
        (b'{"code":-1121}', Code.UNKNOWN), (b'{"code":1.5,"msg":""}', Code.MALFORMED),
        (b'{"listenKey":"WsCMN0a4KHUPTQuX6IUnqEZfB1"}', Code.UNKNOWN),
    ],
)  # fmt: skip
def test_decode_what_is_no_message_is_refused(make, buf, code):
    assert make(*USDM).decode_bytes(buf) == (code, {})


@pytest.mark.parametrize(("count", "kind"), [(16384, EventKind.DEPTH), (16385, Code.FULL)])
def test_decode_levels_up_to_the_limit(make, count, kind):
    levels = b",".join(b'["%d.1","1"]' % i for i in range(count))
    buf = DEPTH.replace(b'[["24653.60","0.000"]]', b"[" + levels + b"]")
    code, depth = make(*USDM).decode_bytes(buf)
    assert code == kind
    if kind == EventKind.DEPTH:
        assert depth["asks"][-1] == ((count - 1) * 10 + 1, 1000)


@pytest.mark.parametrize(
    ("symbol", "tick", "lot", "prefix"),
    [
        ("", "1", "1", ""), ("btcusdt", "1", "1", ""), ("A" * 33, "1", "1", ""),
        ("BTC\0USDT", "1", "1", ""), ("BTC\u00dfUSDT", "1", "1", ""), ("BTCUSDT", "0", "1", ""),
        ("BTCUSDT", "1", "1e-3", ""), ("BTCUSDT", "-1", "1", ""), ("BTCUSDT", "1", "", ""),
        ("BTCUSDT", "1", "1", "tm"), ("BTCUSDT", "1", "1", "TM0123abcd-01-"),
    ],
)  # fmt: skip
def test_decoder_of_bad_instrument_raises(symbol, tick, lot, prefix):
    with pytest.raises(ValueError, match=r"symbol|tick|lot|client_prefix"):
        fast.Decoder(symbol, tick, lot, prefix)


# -- Damage ---


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_decode_truncated_anywhere_is_malformed(sample):
    decoder = fast.Decoder(*USDM)
    whole = SAMPLES[sample].rstrip()
    for size in range(len(whole)):
        assert decoder.decode_bytes(whole[:size]) == (Code.MALFORMED, {}), size


def agree(buf):
    """Refused by both, or decoded alike, or refused by the stricter twin alone."""
    kind, event = fast.Decoder(*USDM).decode_bytes(buf)
    twin_kind, twin_event = twin.Decoder(*USDM).decode_bytes(buf)
    if twin_kind > 0 or kind < 0:
        assert (kind > 0) == (twin_kind > 0), (buf, kind, twin_kind)
    if kind > 0 and twin_kind > 0:
        assert (kind, event) == (twin_kind, twin_event), buf


def plain(buf):
    """Escapes stay unresolved in the fast decoder, so a damaged one may spell another name."""
    return b"\\" not in buf.replace(b'\\"', b"")


@settings(max_examples=700)
@given(st.data())
def test_decode_mutated_message_agrees_with_twin(data):
    buf = bytearray(SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(buf) - 1))
        byte = data.draw(st.sampled_from(b'0189.-"{}[],: eEtTsSbBaAu\\\n') | st.integers(0, 255))
        action = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        buf[at : at + (action != "insert")] = bytes([byte] * (action != "delete"))
    if plain(buf):
        agree(bytes(buf))
    else:
        fast.Decoder(*USDM).decode_bytes(bytes(buf))


@pytest.mark.parametrize("sample", ["best", "depth", "order", "refused"])
def test_decode_every_single_byte_change_agrees_with_twin(sample):
    original = SAMPLES[sample]
    for at in range(len(original)):
        for byte in b'09."}]x,\x00':
            buf = original[:at] + bytes([byte]) + original[at + 1 :]
            if plain(buf):
                agree(buf)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_decode_any_bytes_never_crashes(buf):
    assert fast.Decoder(*USDM).decode_bytes(buf)[0] < 0
    fast.Decoder(*USDM).decode_bytes(b'{"e":"trade","s":' + buf)


# -- Recorded data ---


@pytest.mark.parametrize(
    ("tape", "instrument", "every"),
    [
        ("binance_usdm/btcusdt_20220811_7s.gz", ("BTCUSDT", "0.10", "0.001"), 1),
        ("binance_usdm/btcusdt_20240808.gz", ("BTCUSDT", "0.10", "0.001"), 41),
        ("binance_usdm/ethusdt_20240808.gz", ("ETHUSDT", "0.01", "0.001"), 43),
        ("binance_spot/btcusdt_20240808.gz", ("BTCUSDT", "0.01", "0.00001"), 23),
        ("binance_spot/ethusdt_20240808.gz", ("ETHUSDT", "0.01", "0.0001"), 23),
        ("binance_coinm/btcusd_perp_20240808.gz", ("BTCUSD_PERP", "0.1", "1"), 29),
    ],
)
def test_decode_recorded_tape_as_the_twin(tape, instrument, every):
    decoder, reference = fast.Decoder(*instrument), twin.Decoder(*instrument)
    kinds = set()
    for buf in tape_messages(tape, every):
        decoded = decoder.decode_bytes(buf)
        assert decoded == reference.decode_bytes(buf), buf[:300]
        kinds.add(decoded[0])
    expected = {EventKind.BEST, EventKind.DEPTH, EventKind.TRADE, EventKind.SNAPSHOT}
    assert kinds == (expected - {EventKind.BEST} if "7s" in tape else expected)


@pytest.mark.parametrize(
    ("capture", "instrument"),
    [
        ("BINANCE.jsonl.zst", ("NKNUSDT", "0.0001", "1")),
        ("BINANCE_FUTURES.jsonl.zst", ("SUSHIUSDT", "0.0010", "1")),
        ("BINANCE_DELIVERY.jsonl.zst", ("BCHUSD_PERP", "0.01", "1")),
    ],
)
def test_decode_recorded_capture_as_the_twin(capture, instrument):
    decoder, reference = fast.Decoder(*instrument), twin.Decoder(*instrument)
    kinds = set()
    for buf in capture_messages(capture):
        decoded = decoder.decode_bytes(buf)
        assert decoded == reference.decode_bytes(buf), buf[:300]
        if decoded[0] == Code.RANGE:  # a snapshot does not say whose it is
            assert buf.startswith(b'{"lastUpdateId"')
        kinds.add(decoded[0])
    assert {EventKind.BEST, EventKind.DEPTH, EventKind.IGNORED, Code.OTHER_SYMBOL} <= kinds
    assert kinds.isdisjoint({Code.MALFORMED, Code.UNKNOWN, Code.FULL})
