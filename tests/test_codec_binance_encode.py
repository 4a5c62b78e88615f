"""Binance encoder: what goes out is what the venue would read, and signed as it would check."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore import sha256
from fastcore.codec.binance_encode import Encoder
from fastcore.types import OrderFlag, Side, Verb
from tests.reference import codec_binance as twin
from tests.reference import fixed

PREFIX = "tm0123abcd-01-"
# Key and secret of Binance's own documentation examples.
KEY = b"vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
UTC_MS = 1723161256313


def make(**changes):
    given = {
        "symbol": "BTCUSDT", "tick": "0.10", "lot": "0.001", "client_prefix": PREFIX,
        "api_key": KEY, "secret": SECRET, "recv_window_ms": 5000, "mask_seed": 7,
        "venue": "binance_usdm",
    }  # fmt: skip
    return Encoder(*{**given, **changes}.values())


def unmask(frame):
    """Payload of one whole masked text frame (RFC 6455 section 5.2)."""
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    size, header = frame[1] & 0x7F, 2
    if size == 126:
        size, header = int.from_bytes(frame[2:4], "big"), 4
        assert size > 125
    key = frame[header : header + 4]
    assert len(frame) == header + 4 + size
    return bytes(byte ^ key[i & 3] for i, byte in enumerate(frame[header + 4 :]))


def request_of(frame):
    """The request, its signature checked and taken out."""
    request = json.loads(unmask(frame))
    params = request["params"]
    assert list(params)[:-1] == sorted(set(params) - {"signature"})
    assert params.pop("signature") == twin.sign(SECRET, params)
    return request


def test_sign_of_documented_request_gives_documented_signature():
    params = {
        "apiKey": KEY.decode(), "price": "52000.00", "quantity": "0.01000000", "recvWindow": 100,
        "side": "SELL", "symbol": "BTCUSDT", "timeInForce": "GTC", "timestamp": 1645423376532,
        "type": "LIMIT",
    }  # fmt: skip
    expected = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    text = "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
    assert twin.sign(SECRET, params) == expected
    assert sha256.Hmac(SECRET, text[:70]).hexdigest(text).decode() == expected


@pytest.mark.parametrize(
    ("tif_flag", "tif"), [(OrderFlag.POST_ONLY, "GTX"), (OrderFlag.IOC, "IOC"), (0, "GTC")]
)
@pytest.mark.parametrize("reduce_only", [True, False])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_place_says_what_was_asked(tif_flag, tif, reduce_only, side):
    flags = tif_flag | (OrderFlag.REDUCE_ONLY if reduce_only else 0)
    frame = make().place_bytes(42, side, 618002, 10, flags, UTC_MS)
    assert request_of(frame) == {
        "id": "100000000002a",
        "method": "order.place",
        "params": {
            "apiKey": KEY.decode(),
            "newClientOrderId": PREFIX + "00000000002a",
            "price": "61800.2",
            "quantity": "0.010",
            "recvWindow": 5000,
            **({"reduceOnly": "true"} if reduce_only else {}),
            "side": side.name,
            "symbol": "BTCUSDT",
            "timeInForce": tif,
            "timestamp": UTC_MS,
            "type": "LIMIT",
        },
    }


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.STATUS])
def test_cancel_and_status_name_the_order_by_its_client_id(verb):
    encoder = make()
    encode = encoder.cancel_bytes if verb == Verb.CANCEL else encoder.status_bytes
    assert request_of(encode(2**48 - 1, UTC_MS)) == {
        "id": f"{verb}ffffffffffff",
        "method": f"order.{verb.name.lower()}",
        "params": {
            "apiKey": KEY.decode(),
            "origClientOrderId": PREFIX + "ffffffffffff",
            "recvWindow": 5000,
            "symbol": "BTCUSDT",
            "timestamp": UTC_MS,
        },
    }


def test_modify_says_side_price_and_quantity_of_the_same_order():
    encoder = make()
    assert request_of(encoder.modify_bytes(42, Side.SELL, 618002, 10, UTC_MS)) == {
        "id": "500000000002a",
        "method": "order.modify",
        "params": {
            "apiKey": KEY.decode(),
            "origClientOrderId": PREFIX + "00000000002a",
            "price": "61800.2",
            "quantity": "0.010",
            "recvWindow": 5000,
            "side": "SELL",
            "symbol": "BTCUSDT",
            "timestamp": UTC_MS,
        },
    }


# -- Spot ---

SPOT = {"tick": "0.01", "lot": "0.00001", "venue": "binance_spot"}


@pytest.mark.parametrize(
    ("flags", "terms"),
    [
        (OrderFlag.POST_ONLY, {"type": "LIMIT_MAKER"}),
        (OrderFlag.POST_ONLY | OrderFlag.IOC, {"type": "LIMIT_MAKER"}),
        (OrderFlag.IOC, {"type": "LIMIT", "timeInForce": "IOC"}),
        (0, {"type": "LIMIT", "timeInForce": "GTC"}),
    ],
)
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_spot_orders_say_their_terms(flags, terms, side):
    encoder = make(**SPOT)
    order = {
        "apiKey": KEY.decode(), "newClientOrderId": PREFIX + "00000000002a", "price": "61800.20",
        "quantity": "0.00010", "recvWindow": 5000, "side": side.name, "symbol": "BTCUSDT",
        "timestamp": UTC_MS, **terms,
    }  # fmt: skip
    assert request_of(encoder.place_bytes(42, side, 6180020, 10, flags, UTC_MS)) == {
        "id": "100000000002a", "method": "order.place", "params": order,
    }  # fmt: skip
    replaced = {
        "cancelOrigClientOrderId": PREFIX + "000000000029",
        "cancelReplaceMode": "STOP_ON_FAILURE",
    }
    assert request_of(encoder.replace_bytes(41, 42, side, 6180020, 10, flags, UTC_MS)) == {
        "id": "600000000002a", "method": "order.cancelReplace", "params": order | replaced,
    }  # fmt: skip


def test_spot_amend_keeps_the_client_id_and_says_the_new_quantity():
    assert request_of(make(**SPOT).amend_bytes(2**48 - 1, 123456, UTC_MS)) == {
        "id": "5ffffffffffff",
        "method": "order.amend.keepPriority",
        "params": {
            "apiKey": KEY.decode(), "newClientOrderId": PREFIX + "ffffffffffff",
            "newQty": "1.23456", "origClientOrderId": PREFIX + "ffffffffffff",
            "recvWindow": 5000, "symbol": "BTCUSDT", "timestamp": UTC_MS,
        },
    }  # fmt: skip


def test_spot_cancel_all_names_the_symbol_alone():
    encoder = make(**SPOT)
    for intent in (42, 0):
        assert request_of(encoder.cancel_all_bytes(intent, UTC_MS)) == {
            "id": f"4{intent:012x}",
            "method": "openOrders.cancelAll",
            "params": {
                "apiKey": KEY.decode(), "recvWindow": 5000, "symbol": "BTCUSDT",
                "timestamp": UTC_MS,
            },
        }  # fmt: skip


def test_what_a_venue_lacks_is_refused():
    usdm, spot = make(), make(**SPOT)
    for call in (
        lambda: usdm.cancel_all_bytes(1, UTC_MS),
        lambda: usdm.amend_bytes(1, 1, UTC_MS),
        lambda: usdm.replace_bytes(1, 2, 0, 1, 1, 0, UTC_MS),
        lambda: spot.modify_bytes(1, 0, 1, 1, UTC_MS),
        lambda: spot.place_bytes(1, 0, 1, 1, OrderFlag.REDUCE_ONLY, UTC_MS),
        lambda: spot.replace_bytes(1, 2, 0, 1, 1, OrderFlag.REDUCE_ONLY, UTC_MS),
    ):
        with pytest.raises(ValueError, match="no such request"):
            call()
    assert usdm.payload_bytes() == spot.payload_bytes() == b""


# -- A session that is logged on ---


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_spot"])
def test_logged_on_session_sends_neither_key_nor_signature(venue):
    signed, plain = (make(venue=venue, **more) for more in ({}, {"api_key": b"", "secret": b""}))
    calls = [
        lambda e: e.place_bytes(42, 1, 618002, 10, 1, UTC_MS),
        lambda e: e.cancel_bytes(42, UTC_MS),
        lambda e: e.status_bytes(42, UTC_MS),
    ]
    if venue == "binance_usdm":
        calls += [lambda e: e.modify_bytes(42, 1, 618002, 10, UTC_MS)]
    else:
        calls += [
            lambda e: e.cancel_all_bytes(42, UTC_MS),
            lambda e: e.amend_bytes(42, 10, UTC_MS),
            lambda e: e.replace_bytes(41, 42, 0, 618002, 10, 0, UTC_MS),
        ]
    for call in calls:
        request = request_of(call(signed))
        del request["params"]["apiKey"]
        payload = unmask(call(plain))
        assert json.loads(payload) == request
        assert plain.payload_bytes() == payload


SMALL, LARGE = st.integers(1, 999), st.integers(1, 10**17)


@given(
    st.integers(0, 2**48 - 1), SMALL | LARGE, SMALL | LARGE, st.integers(0, 2**63 - 1),
    st.sampled_from(["0.10", "0.00001", "5", "0.25"]),
    st.sampled_from([1, 2, 17, 63, 64, 128]), st.sampled_from(["A", "BTCUSD_PERP", "X" * 32]),
)  # fmt: skip
def test_place_any_order_reads_back(intent, px, qty, utc_ms, tick, key_size, symbol):
    key = (KEY * 2)[:key_size]
    encoder = make(symbol=symbol, tick=tick, lot="0.1", api_key=key)
    for previous in (None, (0, 1)):  # a longer request before must leave nothing behind
        if previous:
            encoder.place_bytes(2**48 - 1, 1, 10**15, 10**15, 4 | 2, 2**63 - 1)
        params = request_of(encoder.place_bytes(intent, 0, px, qty, 1, utc_ms))["params"]
        assert params["newClientOrderId"] == f"{PREFIX}{intent:012x}"
        assert fixed.parse(params["price"].encode(), tick) == px
        assert fixed.parse(params["quantity"].encode(), "0.1") == qty
        assert (params["timestamp"], params["symbol"]) == (utc_ms, symbol)
        assert params["apiKey"] == key.decode()


def test_requests_in_turn_do_not_disturb_each_other():
    encoder = make()
    for intent in (1, 0xABCDEF, 2**48 - 1, 0):
        place = request_of(encoder.place_bytes(intent, 1, 1, 1, 1, UTC_MS))
        cancel = request_of(encoder.cancel_bytes(intent, UTC_MS + 10**12))
        status = request_of(encoder.status_bytes(intent, 7))
        for verb, request in zip(Verb, (place, cancel, status), strict=False):
            assert request["id"] == f"{verb}{intent:012x}"
            assert request["method"] == f"order.{verb.name.lower()}"
        assert status["params"]["timestamp"] == 7


# -- Masking ---


def test_masking_keys_are_the_seeds():
    frames = [[e.cancel_bytes(i, UTC_MS) for i in range(4)] for e in (make(), make())]
    assert frames[0] == frames[1]
    keys = {frame[4:8] for frame in frames[0]}
    assert len(keys) == 4
    assert make(mask_seed=8).cancel_bytes(0, UTC_MS)[4:8] != frames[0][0][4:8]
    assert unmask(make(mask_seed=8).cancel_bytes(0, UTC_MS)) == unmask(frames[0][0])


@pytest.mark.parametrize("seed", [0, 1, -1, 2**64, 2**64 + 7])
def test_any_mask_seed_masks(seed):
    frame = make(mask_seed=seed).cancel_bytes(0, UTC_MS)
    assert frame[4:8] != bytes(4)
    request_of(frame)


# -- Refusals ---


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, 0, 1, 1, 1, UTC_MS),
        (2**48, 0, 1, 1, 1, UTC_MS),
        (0, -1, 1, 1, 1, UTC_MS),
        (0, 2, 1, 1, 1, UTC_MS),
        (0, 0, 0, 1, 1, UTC_MS),
        (0, 0, -5, 1, 1, UTC_MS),
        (0, 0, 1, 0, 1, UTC_MS),
        (0, 0, 1, -5, 1, UTC_MS),
        (0, 0, 10**18, 1, 1, UTC_MS),
        (0, 0, 1, 10**18, 1, UTC_MS),
        (0, 0, 1, 1, 1, -1),
    ],
)
def test_place_out_of_range_is_refused(arguments):
    encoder = make()
    encoder.cancel_bytes(0, UTC_MS)
    with pytest.raises(ValueError, match="out of range"):
        encoder.place_bytes(*arguments)
    assert encoder.payload_bytes() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, 1, 0, 1, 1, 0, UTC_MS), (2**48, 1, 0, 1, 1, 0, UTC_MS),
        (1, 2**48, 0, 1, 1, 0, UTC_MS),
        (1, 2, 2, 1, 1, 0, UTC_MS), (1, 2, 0, 0, 1, 0, UTC_MS), (1, 2, 0, 1, 10**18, 0, UTC_MS),
        (1, 2, 0, 1, 1, 8, UTC_MS), (1, 2, 0, 1, 1, 0, -1),
    ],
)  # fmt: skip
def test_replace_modify_and_amend_out_of_range_are_refused(arguments):
    spot = make(**SPOT)
    with pytest.raises(ValueError, match="out of range"):
        spot.replace_bytes(*arguments)
    assert spot.payload_bytes() == b""
    for intent, qty, utc_ms in ((-1, 1, 0), (2**48, 1, 0), (0, 0, 0), (0, 10**18, 0), (0, 1, -1)):
        with pytest.raises(ValueError, match="out of range"):
            spot.amend_bytes(intent, qty, utc_ms)
        with pytest.raises(ValueError, match="out of range"):
            make().modify_bytes(intent, 0, 1, qty, utc_ms)


@pytest.mark.parametrize("arguments", [(-1, UTC_MS), (2**48, UTC_MS), (0, -1)])
def test_cancel_and_status_out_of_range_are_refused(arguments):
    for encode in (make().cancel_bytes, make().status_bytes, make(**SPOT).cancel_all_bytes):
        with pytest.raises(ValueError, match="out of range"):
            encode(*arguments)


def test_frame_needs_exactly_its_room():
    size = len(make().place_bytes(1, 0, 5, 5, 1, UTC_MS))
    assert len(make().place_bytes(1, 0, 5, 5, 1, UTC_MS, size)) == size
    encoder = make()
    for room in (size - 1, 0, -1):
        with pytest.raises(ValueError, match="room"):
            encoder.place_bytes(1, 0, 5, 5, 1, UTC_MS, room)
    assert encoder.payload_bytes() == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": ""}, {"symbol": 'BTC"USDT'}, {"symbol": "btcusdt"}, {"symbol": "A" * 33},
        {"tick": "0"}, {"tick": "ten"}, {"lot": "-1"}, {"client_prefix": ""},
        {"client_prefix": 'tm0123abcd-01"'}, {"client_prefix": PREFIX + "0"}, {"api_key": b""},
        {"api_key": KEY * 2 + b"A"}, {"api_key": KEY + b'"'}, {"api_key": KEY + b"\0"},
        {"secret": b""}, {"secret": SECRET * 5}, {"recv_window_ms": 0}, {"recv_window_ms": 60001},
        {"venue": "binance"},
    ],
    ids=str,
)  # fmt: skip
def test_bad_construction_raises_without_the_credential(changes):
    with pytest.raises(ValueError, match="must be") as raised:
        make(**changes)
    text = "".join(map(str, (raised.value, raised.value.__context__, raised.value.__cause__)))
    assert KEY.decode() not in text
    assert SECRET.decode() not in text


# -- Secrecy ---


def test_payload_is_blanked_for_python():
    encoder = make()
    for encode in (
        lambda: encoder.place_bytes(42, 0, 618002, 10, 1, UTC_MS),
        lambda: encoder.cancel_bytes(42, UTC_MS),
        lambda: encoder.status_bytes(42, UTC_MS),
    ):
        whole = json.loads(unmask(encode()))
        blanked = json.loads(encoder.payload_bytes())
        assert blanked["params"].pop("apiKey") == "x" * len(KEY)
        assert blanked["params"].pop("signature") == "x" * 64
        assert whole["params"].pop("apiKey") == KEY.decode()
        del whole["params"]["signature"]
        assert blanked == whole


def test_key_and_secret_are_not_readable_from_python():
    encoder = make()
    encoder.place_bytes(42, 0, 618002, 10, 1, UTC_MS)
    seen = [repr(encoder), str(encoder), *dir(encoder)]
    for name in dir(encoder):
        value = getattr(encoder, name)
        seen.append(repr(value() if name == "payload_bytes" else value))
    for text in seen:
        assert KEY.decode() not in text
        assert SECRET.decode() not in text
    assert not hasattr(encoder, "__dict__")
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            duplicate(encoder)
