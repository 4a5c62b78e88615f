"""Binance REST requests: signed as the venue documents, refused beyond its limits."""

import json
import pickle
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore.codec.binance_rest import RestEncoder, RestOrder, percent_encode, sign_query
from fastcore.sha256 import Hmac
from fastcore.types import OrderFlag, Side
from tests.reference import codec_binance as twin

PREFIX = "tm0123abcd-01-"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
UTC_MS = 1723161256313


def make(**changes):
    given = {
        "symbol": "BTCUSDT", "tick": "0.10", "lot": "0.001", "client_prefix": PREFIX,
        "secret": SECRET, "recv_window_ms": 5000,
    }  # fmt: skip
    return RestEncoder(**{**given, **changes})


def params_of(request):
    """Parameters as the venue reads them, the signature checked over the query as it was sent."""
    query, signature = request.query.rsplit("&signature=", 1)
    assert twin.sign_text(SECRET, query) == signature
    params = parse_qs(query, strict_parsing=True)
    assert all(len(values) == 1 for values in params.values())
    assert list(params)[-2:] == ["recvWindow", "timestamp"]
    assert (params.pop("recvWindow"), params.pop("timestamp")) == (["5000"], [str(UTC_MS)])
    return {name: values[0] for name, values in params.items()}


def test_documented_query_has_the_documented_signature():
    query = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559"
    )
    expected = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert sign_query(Hmac(SECRET), query) == f"{query}&signature={expected}"


def test_batch_place_lists_the_orders():
    orders = [
        RestOrder(42, Side.BUY, 618002, 10, OrderFlag.POST_ONLY | OrderFlag.IOC),
        RestOrder(2**48 - 1, Side.SELL, 618010, 2500, OrderFlag.IOC | OrderFlag.REDUCE_ONLY),
        RestOrder(0, Side.SELL, 618010, 1),
    ]
    request = make().batch_place(orders, UTC_MS)
    assert request[:2] == ("POST", "/fapi/v1/batchOrders")
    params = params_of(request)
    same = {"symbol": "BTCUSDT", "type": "LIMIT"}
    assert json.loads(params.pop("batchOrders")) == [
        {**same, "side": "BUY", "timeInForce": "GTX", "quantity": "0.010", "price": "61800.2",
         "newClientOrderId": PREFIX + "00000000002a"},
        {**same, "side": "SELL", "timeInForce": "IOC", "quantity": "2.500", "price": "61801.0",
         "newClientOrderId": PREFIX + "ffffffffffff", "reduceOnly": "true"},
        {**same, "side": "SELL", "timeInForce": "GTC", "quantity": "0.001", "price": "61801.0",
         "newClientOrderId": PREFIX + "000000000000"},
    ]  # fmt: skip
    assert params == {}


def test_batch_cancel_lists_the_client_ids():
    request = make().batch_cancel([42, 7], UTC_MS)
    assert request[:2] == ("DELETE", "/fapi/v1/batchOrders")
    assert params_of(request) == {
        "symbol": "BTCUSDT",
        "origClientOrderIdList": f'["{PREFIX}00000000002a","{PREFIX}000000000007"]',
    }


@pytest.mark.parametrize(
    ("venue", "path"),
    [("binance_usdm", "/fapi/v1/allOpenOrders"), ("binance_spot", "/api/v3/openOrders")],
)
def test_cancel_all_names_the_symbol_alone(venue, path):
    request = make(venue=venue).cancel_all(UTC_MS)
    assert request[:2] == ("DELETE", path)
    assert params_of(request) == {"symbol": "BTCUSDT"}


@given(st.text())
def test_percent_encoding_is_the_standard_one(text):
    assert percent_encode(text) == quote(text, safe="-_.~")


ORDER = RestOrder(1, Side.BUY, 1, 1)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda e: e.batch_place([ORDER] * 6, UTC_MS), "1 to 5, not 6"),
        (lambda e: e.batch_place([], UTC_MS), "1 to 5, not 0"),
        (lambda e: e.batch_cancel([1] * 11, UTC_MS), "1 to 10, not 11"),
        (lambda e: e.batch_cancel([2**48], UTC_MS), "intent_id"),
        (lambda e: e.batch_cancel([-1], UTC_MS), "intent_id"),
        (lambda e: e.batch_place([ORDER._replace(px_ticks=0)], UTC_MS), "px_ticks"),
        (lambda e: e.batch_place([ORDER._replace(qty_lots=-1)], UTC_MS), "qty_lots"),
        (lambda e: e.batch_place([ORDER._replace(side=2)], UTC_MS), "2 is not"),
        (lambda e: e.cancel_all(-1), "utc_ms"),
        (lambda e: make(venue="binance_spot").batch_place([ORDER], UTC_MS), "USD-M"),
        (lambda e: make(venue="binance_spot").batch_cancel([1], UTC_MS), "USD-M"),
        (lambda e: make(venue="binance"), "venue"),
        (lambda e: make(secret=b""), "secret"),
        (lambda e: make(recv_window_ms=60001), "recv_window_ms"),
        (lambda e: make(tick="0"), "zero"),
        (lambda e: make(lot="x"), "plain decimal"),
    ],
)
def test_what_no_request_may_have_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call(make())


def test_five_orders_and_ten_cancels_are_one_request():
    assert len(json.loads(params_of(make().batch_place([ORDER] * 5, UTC_MS))["batchOrders"])) == 5
    names = params_of(make().batch_cancel(range(10), UTC_MS))["origClientOrderIdList"]
    assert len(json.loads(names)) == 10


def test_secret_is_not_readable():
    encoder = make()
    seen = [repr(encoder), *map(repr, vars(encoder).values())]
    assert all(SECRET.decode() not in text for text in seen)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(encoder)
