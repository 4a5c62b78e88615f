"""Bybit decoder: what it refuses, and with which code; and messages spelt in other ways."""

import json
from decimal import Decimal

import pytest
from support_bybit import LINEAR, SAMPLES, rest_of

from fastcore.codec import bybit_decode as fast
from fastcore.types import Code, EventKind
from tests.reference import codec_bybit as twin

S = SAMPLES
MALFORMED, RANGE, UNKNOWN, OTHER = Code.MALFORMED, Code.RANGE, Code.UNKNOWN, Code.OTHER_SYMBOL


@pytest.fixture(params=[fast.BybitDecoder, twin.BybitDecoder], ids=["fast", "reference"])
def make(request):
    return request.param


# -- Order of names, space, names we don't know ---


def reordered(value, reverse):
    if isinstance(value, dict):
        names = sorted(value, reverse=reverse)
        return {name: reordered(value[name], reverse) for name in names}
    if isinstance(value, list):
        return [reordered(item, reverse) for item in value]
    return value


@pytest.mark.parametrize("sample", sorted(S))
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("indent", [None, 3])
def test_decode_any_order_and_space_gives_the_same(make, sample, reverse, indent):
    message = json.loads(S[sample], parse_float=Decimal)
    buf = json.dumps(reordered(message, reverse), indent=indent).encode()
    decoder = make(*LINEAR)
    expected = decoder.decode_all_bytes(S[sample])
    assert decoder.decode_all_bytes(b" \t\r\n" + buf + b"\n ") == expected


JUNK = {
    "zz": [{"a": [1, -2.5e-3, True, None, {"b": "\\ \" \u00e9 {[", "topic": "order"}]}, [], {}],
    "1": "x", "": 0, "_": {"s": "OTHER", "data": {"u": "x"}}, "orderLinkIds": -1,
}  # fmt: skip


def with_junk(value):
    if isinstance(value, dict):
        return {**JUNK, **{name: with_junk(value[name]) for name in value}, "zzz": JUNK}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [with_junk(item) for item in value]
    return value


@pytest.mark.parametrize("sample", sorted(S))
def test_decode_unknown_names_are_skipped_everywhere(make, sample):
    decoder = make(*LINEAR)
    buf = json.dumps(with_junk(json.loads(S[sample], parse_float=Decimal))).encode()
    assert decoder.decode_all_bytes(buf) == decoder.decode_all_bytes(S[sample])


# -- Refusals ---


@pytest.mark.parametrize(
    ("sample", "old", "new", "code"),
    [
        ("delta", b'"s":"BTCUSDT"', b'"s":"ETHUSDT"', OTHER),
        ("delta", b'"s":"BTCUSDT","b":[["30247.20"', b'"s":"E","b":[["30247.21"', OTHER),
        ("delta", b'"s":"BTCUSDT",', b"", MALFORMED),
        ("delta", b'"type":"delta",', b"", MALFORMED),
        ("delta", b'"type":"delta"', b'"type":"deltas"', MALFORMED),
        ("delta", b'"topic":"orderbook.50', b'"topic":"orderbook.rpi', UNKNOWN),
        ("delta", b'"topic":"orderbook.50', b'"topic":"orderbook.', UNKNOWN),
        ("delta", b'"topic":"orderbook.50.BTCUSDT"', b'"topic":7', MALFORMED),
        ("delta", b'"topic":"orderbook', b'"topic":"orderbooks', UNKNOWN),
        ("delta", b'"topic"', b'"tropic"', UNKNOWN),
        ("delta", b'"u":177400507', b'"u":177400507,"u":177400507', MALFORMED),
        ("delta", b'"u":177400507', b'"u":"177400507"', MALFORMED),
        ("delta", b'"u":177400507', b'"u":-1', MALFORMED),
        ("delta", b'"u":177400507', b'"u":9223372036854775808', RANGE),
        ("delta", b"1687940967464", b"9223372036855", RANGE),
        ("delta", b'"cts":1687940967464', b'"cts":"1687940967464"', MALFORMED),
        ("delta", b'"b":[["30247.20","30.028"]', b'"b":[["30247.20"]', MALFORMED),
        ("delta", b'"30.028"]', b'"30.028","1"]', MALFORMED),
        ("delta", b'"30.028"', b"30.028", MALFORMED),
        ("delta", b'"30.028"', b'"30.0281"', RANGE),
        ("delta", b'"30247.20"', b'"30247.21"', RANGE),
        ("delta", b'"30.028"', b'"-30.028"', RANGE),
        ("delta", b'"30.028"],', b'"30.028"],,', MALFORMED),
        ("delta", b'],["30240.00","0"]]', b"],]", MALFORMED),
        ("delta", b'"b":[["30247.20","30.028"],["30240.00","0"]],', b"", MALFORMED),
        ("delta", b'"b":[["30247.20","30.028"],["30240.00","0"]]', b'"b":{}', MALFORMED),
        ("delta", b'"data":{', b'"data":7,"x":{', MALFORMED),
        ("best", b'"snapshot"', b'"delta"', MALFORMED),
        ("best", b'[["16493.50","0.006"]]', b'[["16493.50","0.006"],["1","1"]]', MALFORMED),
        ("trades", b'"s":"BTCUSDT","S":"Buy"', b'"s":7,"S":"Buy"', MALFORMED),
        ("trades", b'"S":"Sell"', b'"S":"sell"', MALFORMED),
        ("trades", b'"T":1672304486866', b'"T":"1672304486866"', MALFORMED),
        ("trades", b'"T":1672304486866', b'"T":9223372036855', RANGE),
        ("trades", b'"p":"16578.0"', b'"p":"16578.05"', RANGE),
        ("trades", b'"v":"0.020"', b'"v":""', MALFORMED),
        ("trades", b'"i":"f1"', b'"i":""', MALFORMED),
        ("trades", b'"i":"f1"', b'"i":1', MALFORMED),
        ("trades", b'"BT":true', b'"BT":1', MALFORMED),
        ("trades", b'"BT":true', b'"BT":true,"BT":true', MALFORMED),
        ("trades", b',{"i":"f1"', b',7,{"i":"f1"', MALFORMED),
        ("trades", b'"data":[', b'"data":{"x":[', MALFORMED),
        ("order", b'"category":"linear",', b"", MALFORMED),
        ("order", b'"category":"linear"', b'"category":"spot"', OTHER),
        ("order", b'"symbol":"BTCUSDT"', b'"symbol":"BTCUSDT1"', OTHER),
        ("order", b'"orderStatus":"New"', b'"orderStatus":"Created"', UNKNOWN),
        ("order", b'"orderStatus":"New",', b"", MALFORMED),
        ("order", b'"rejectReason":"EC_NoError",', b"", MALFORMED),
        ("order", b'"orderLinkId":"tm0123abcd-01-00000000002a",', b"", MALFORMED),
        ("order", b'"orderId":"5cf98598-39a7-459e-97bf-76ca765ee020"', b'"orderId":""', MALFORMED),
        ("order", b'"cumExecQty":"0"', b'"cumExecQty":""', MALFORMED),
        ("order", b'"qty":"0.010"', b'"qty":"0.0101"', RANGE),
        ("order", b'"updatedTime":"1672364262457"', b'"updatedTime":1672364262457', MALFORMED),
        ("order", b'"updatedTime":"1672364262457"', b'"updatedTime":""', MALFORMED),
        ("order", b'"updatedTime":"1672364262457"', b'"updatedTime":"9223372036855"', RANGE),
        ("execution", b'"execType":"Trade"', b'"execType":"Traded"', UNKNOWN),
        ("execution", b'"execType":"Trade"', b'"execType":null', MALFORMED),
        ("execution", b'"leavesQty":"0.1"', b'"leavesQty":"0.6"', MALFORMED),
        ("execution", b'"leavesQty":"0.1",', b"", MALFORMED),
        ("execution", b'"isMaker":true', b'"isMaker":"true"', MALFORMED),
        ("execution", b'"execFee":"26.3725275"', b'"execFee":""', MALFORMED),
        ("execution", b'"execFee":"26.3725275"', b'"execFee":"1.123456789e"', MALFORMED),
        ("execution", b'"execFee":"26.3725275"', b'"execFee":"10000000000"', RANGE),
        ("execution", b'"feeCurrency":"USDT"', b'"feeCurrency":7', MALFORMED),
        ("execution", b'"execQty":"0.3"', b'"execQty":"-0.3"', RANGE),
        ("execution", b'"execId":"0ab1bdf7-4219-438b-b30a-32ec863018f7",', b"", MALFORMED),
        ("position", b'"positionIdx":0', b'"positionIdx":1', Code.UNSUPPORTED),
        ("position", b'"positionIdx":0', b'"positionIdx":"0"', MALFORMED),
        ("position", b'"side":"Sell"', b'"side":""', MALFORMED),
        ("position", b'"side":"Sell"', b'"side":"Short"', MALFORMED),
        ("position", b'"size":"0.01"', b'"size":"-0.01"', RANGE),
        ("wallet", b'"walletBalance":"9647.7",', b"", MALFORMED),
        ("wallet", b'"creationTime":1700034722104,', b"", MALFORMED),
        ("wallet", b'"coin":[', b'"coins":[', MALFORMED),
        ("reply", b'"retCode":0,', b"", MALFORMED),
        ("reply", b'"retCode":0', b'"retCode":"0"', MALFORMED),
        ("reply", b'"retCode":0', b'"retCode":1000000', RANGE),
        ("reply", b"order.create", b"order.creates", UNKNOWN),
        ("reply", b'"orderId":"a4c1718e', b'"orderId":7,"x":"a4c1718e', MALFORMED),
        ("batch", b'{"code":0,"msg":"OK"},', b"", MALFORMED),
        ("batch", b'{"code":0,', b'{"code":0},{"code":0,', MALFORMED),
        ("batch", b'{"code":0,', b'{"code":"0",', MALFORMED),
        ("batch", b'"retExtInfo":{"list"', b'"retExtInfo":{"lists"', MALFORMED),
        ("batch", b'"data":{"list"', b'"data":{"lists"', MALFORMED),
        ("batch", b'"orderLinkId":"batch-002",', b"", MALFORMED),
        ("subscribed", b'"success":true,', b"", MALFORMED),
        ("subscribed", b'"success":true', b'"success":1', MALFORMED),
        ("subscribed", b'"op":"subscribe"', b'"op":"subscript"', UNKNOWN),
        ("subscribed", b'"op":"subscribe"', b'"op":7', MALFORMED),
    ],
)
def test_decode_bad_message_is_refused_with_its_code(make, sample, old, new, code):
    assert old in S[sample]
    assert make(*LINEAR).decode_all_bytes(S[sample].replace(old, new, 1)) == (code, [])


@pytest.mark.parametrize(
    ("buf", "code"),
    [
        (b"", MALFORMED), (b" ", MALFORMED), (b"{", MALFORMED), (b"[]", MALFORMED),
        (b"null", MALFORMED), (b"{}{}", MALFORMED), (b'{""":1}', MALFORMED), (b"{,}", MALFORMED),
        (b'{"a"}', MALFORMED), (b'{"a":}', MALFORMED), (b'{"a":01}', MALFORMED), (b"{}", UNKNOWN),
        (b'{"data":[]}', UNKNOWN), (b'{"retCode":10001,"retMsg":"x"}', UNKNOWN),
        (b'{"topic":"","data":[]}', UNKNOWN), (b'{"topic":"order"}', MALFORMED),
        (b'{"topic":"system.status","data":[]}', UNKNOWN),
    ],
)  # fmt: skip
def test_decode_what_is_no_message_is_refused(make, buf, code):
    assert make(*LINEAR).decode_all_bytes(buf) == (code, [])


def test_decode_batch_beyond_the_venues_limit_is_full(make):
    message = json.loads(S["batch"])
    order, code = message["data"]["list"][0], message["retExtInfo"]["list"][0]
    for count, expected in ((20, EventKind.REPLY), (21, Code.FULL)):
        message["data"]["list"], message["retExtInfo"]["list"] = [order] * count, [code] * count
        kind, replies = make(*LINEAR).decode_all_bytes(json.dumps(message).encode())
        assert (kind, len(replies)) == (expected, 20 if kind > 0 else 0)


@pytest.mark.parametrize(("count", "expected"), [(16, EventKind.ACCOUNT), (17, Code.FULL)])
@pytest.mark.parametrize("sample", ["position", "wallet"])
def test_decode_account_items_beyond_the_limit_are_full(make, sample, count, expected):
    message = json.loads(S[sample])
    message["data"] *= count
    if sample == "wallet":
        message["data"] = [{"coin": [a["coin"][1]]} for a in message["data"]]
    kind, events = make(*LINEAR).decode_all_bytes(json.dumps(message).encode())
    assert (kind, len(events)) == (expected, 16 if kind > 0 else 0)


@pytest.mark.parametrize("sample", sorted(S))
def test_decode_truncated_anywhere_is_malformed_with_nothing_pending(sample):
    decoder = fast.BybitDecoder(*LINEAR)
    for size in range(len(S[sample])):
        assert decoder.decode_all_bytes(S[sample][:size]) == (Code.MALFORMED, []), size
        assert rest_of(decoder) == []


@pytest.mark.parametrize(
    ("symbol", "tick", "lot", "prefix", "category", "base", "quote"),
    [
        ("btcusdt", "1", "1", "", "linear", "", ""), ("", "1", "1", "", "linear", "", ""),
        ("BTCUSDT", "0", "1", "", "linear", "", ""), ("BTCUSDT", "1", "x", "", "linear", "", ""),
        ("BTCUSDT", "1", "1", "tm", "linear", "", ""), ("BTCUSDT", "1", "1", "", "option", "", ""),
        ("BTCUSDT", "1", "1", "", "linear", "btc", ""),
        ("BTCUSDT", "1", "1", "", "linear", "", "U" * 21),
    ],
)  # fmt: skip
def test_decoder_of_bad_instrument_raises(symbol, tick, lot, prefix, category, base, quote):
    with pytest.raises(ValueError, match=r"symbol|tick|lot|client_prefix|category|asset"):
        fast.BybitDecoder(symbol, tick, lot, prefix, category, base, quote)


def test_bench_counts_every_event():
    assert fast.BybitDecoder(*LINEAR).bench_decode(S["trades"], 5) == 10
    assert fast.BybitDecoder(*LINEAR).bench_decode(b"{", 5) == 0
