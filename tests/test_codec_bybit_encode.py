"""Bybit encoder: what goes out is what the venue would read; auth and REST signed as it checks."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_bybit import PREFIX

from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.codec.bybit_encode import BybitEncoder
from fastcore.codec.bybit_rest import BybitRest
from fastcore.types import EventKind, OrderFlag, Side, Verb
from tests.reference import fixed
from tests.reference.codec_bybit import sign

KEY, SECRET = b"XXXXXXXXXXabc-_09", b"a-secret-of-many-bytes"
UTC_MS = 1723161256313
HEADER = {"X-BAPI-TIMESTAMP": str(UTC_MS), "X-BAPI-RECV-WINDOW": "5000"}
GIVEN = {
    "symbol": "BTCUSDT", "tick": "0.10", "lot": "0.001", "client_prefix": PREFIX,
    "api_key": KEY, "secret": SECRET, "recv_window_ms": 5000, "mask_seed": 7,
    "category": "linear",
}  # fmt: skip


def make(**changes):
    return BybitEncoder(*{**GIVEN, **changes}.values())


def make_rest(**changes):
    arguments = {**GIVEN, **changes}
    del arguments["mask_seed"]
    return BybitRest(*arguments.values())


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


def order_of(intent, **more):
    return {"symbol": "BTCUSDT", "orderLinkId": f"{PREFIX}{intent:012x}", **more}


@pytest.mark.parametrize(
    ("flags", "tif"),
    [
        (0, "GTC"), (OrderFlag.POST_ONLY, "PostOnly"), (OrderFlag.IOC, "IOC"),
        (OrderFlag.POST_ONLY | OrderFlag.IOC, "PostOnly"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reduce_only", [True, False])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_place_says_what_was_asked(flags, tif, reduce_only, side):
    flags |= OrderFlag.REDUCE_ONLY if reduce_only else 0
    encoder = make()
    frame = encoder.place_bytes(42, side, 618002, 10, flags, UTC_MS)
    assert encoder.payload_bytes() == unmask(frame)
    assert json.loads(unmask(frame)) == {
        "reqId": "100000000002a-0191346a2179", "header": HEADER, "op": "order.create",
        "args": [{
            "category": "linear",
            **order_of(
                42, side=side.name.title(), orderType="Limit", qty="0.010", price="61800.2",
                timeInForce=tif,
            ),
            **({"reduceOnly": True} if reduce_only else {}),
        }],
    }  # fmt: skip


def test_modify_names_the_order_and_its_new_price_and_quantity():
    frame = make(category="spot").modify_bytes(2**48 - 1, Side.BUY, 618002, 10, UTC_MS)
    assert json.loads(unmask(frame)) == {
        "reqId": "5ffffffffffff-0191346a2179", "header": HEADER, "op": "order.amend",
        "args": [{"category": "spot", **order_of(2**48 - 1, qty="0.010", price="61800.2")}],
    }  # fmt: skip
    assert make().can_modify_orders()


def test_cancel_names_the_order():
    assert json.loads(unmask(make().cancel_bytes(42, UTC_MS))) == {
        "reqId": "200000000002a-0191346a2179", "header": HEADER, "op": "order.cancel",
        "args": [{"category": "linear", **order_of(42)}],
    }  # fmt: skip


def test_status_is_unsupported():
    with pytest.raises(ValueError, match="no such request"):
        make().status_bytes(42, UTC_MS)


@pytest.mark.parametrize(
    ("verb", "op", "first"),
    [
        (Verb.PLACE, "order.create-batch", {
            "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": "1.0",
            "timeInForce": "PostOnly"}),
        (Verb.MODIFY, "order.amend-batch", {"qty": "0.010", "price": "1.0"}),
        (Verb.CANCEL, "order.cancel-batch", {}),
    ],
)  # fmt: skip
def test_batch_holds_every_order(verb, op, first):
    orders = [(i, Side.BUY, 10 * i, 10, OrderFlag.POST_ONLY) for i in range(1, 21)]
    request = json.loads(unmask(make().batch_bytes(verb, orders, UTC_MS)))
    (args,) = request["args"]
    assert (request["op"], request["reqId"], request["header"]) == (
        op, "7000000000001-0191346a2179", HEADER,
    )  # fmt: skip
    assert args["category"] == "linear"
    assert [order["orderLinkId"][14:] for order in args["request"]] == [
        f"{i:012x}" for i in range(1, 21)
    ]
    assert args["request"][0] == order_of(1, **first)


@pytest.mark.parametrize(("category", "most"), [("linear", 20), ("spot", 10)])
def test_batch_beyond_the_venues_limit_is_refused(category, most):
    encoder = make(category=category)
    orders = [(i, 0, 1, 1, 0) for i in range(most + 1)]
    assert encoder.batch_bytes(Verb.CANCEL, orders[:most], UTC_MS)
    for bad in (orders, []):
        with pytest.raises(ValueError, match="out of range"):
            encoder.batch_bytes(Verb.CANCEL, bad, UTC_MS)
    with pytest.raises(ValueError, match="verb"):
        encoder.batch_bytes(Verb.STATUS, orders[:1], UTC_MS)


def test_batch_with_one_bad_order_is_refused_whole():
    encoder = make()
    with pytest.raises(ValueError, match="out of range"):
        encoder.batch_bytes(Verb.PLACE, [(1, 0, 1, 1, 0), (2, 0, 0, 1, 0)], UTC_MS)
    assert encoder.payload_bytes() == b""


def test_auth_is_signed_and_blanked_in_the_payload():
    encoder = make()
    frame = encoder.auth_bytes(1662350400000)
    signature = sign(SECRET, b"GET/realtime1662350400000")
    assert json.loads(unmask(frame)) == {
        "op": "auth", "args": [KEY.decode(), 1662350400000, signature],
    }  # fmt: skip
    blanked = encoder.payload_bytes()
    assert json.loads(blanked) == {"op": "auth", "args": ["x" * 17, 1662350400000, "x" * 64]}
    assert len(blanked) == len(unmask(frame))
    encoder.ping_bytes()
    assert encoder.payload_bytes() == b'{"op":"ping"}'


SMALL, LARGE = st.integers(1, 999), st.integers(1, 10**17)


@given(
    st.integers(0, 2**48 - 1), SMALL | LARGE, SMALL | LARGE, st.integers(0, 2**48 - 1),
    st.sampled_from(["0.10", "0.00001", "5", "0.25"]), st.sampled_from(["A", "X" * 32]),
)  # fmt: skip
def test_place_any_order_reads_back(intent, px, qty, utc_ms, tick, symbol):
    encoder = make(symbol=symbol, tick=tick, lot="0.1")
    try:
        px_text, qty_text = fixed.format(px, tick), fixed.format(qty, "0.1")
    except fixed.OffGrid:
        with pytest.raises(ValueError, match="out of range"):
            encoder.place_bytes(intent, Side.SELL, px, qty, 0, utc_ms)
        return
    request = json.loads(unmask(encoder.place_bytes(intent, Side.SELL, px, qty, 2, utc_ms)))
    (order,) = request["args"]
    assert (order["price"], order["qty"]) == (px_text.decode(), qty_text.decode())
    assert order["orderLinkId"] == f"{PREFIX}{intent:012x}"
    assert order["symbol"] == symbol
    assert request["header"]["X-BAPI-TIMESTAMP"] == str(utc_ms)
    assert len(request["reqId"]) <= 36


def test_request_ids_read_back_as_replies_to_us():
    decoder = BybitDecoder("BTCUSDT", "0.10", "0.001", PREFIX)
    encoder = make()
    for verb, frame in (
        (Verb.PLACE, encoder.place_bytes(42, 0, 1, 1, 0, UTC_MS)),
        (Verb.MODIFY, encoder.modify_bytes(42, 0, 1, 1, UTC_MS)),
        (Verb.CANCEL, encoder.cancel_bytes(42, UTC_MS)),
        (Verb.BATCH, encoder.batch_bytes(Verb.CANCEL, [(42, 0, 0, 0, 0)], UTC_MS)),
    ):
        request = json.loads(unmask(frame))
        echo = {"reqId": request["reqId"], "retCode": 10001, "op": request["op"], "data": {}}
        kind, reply = decoder.decode_bytes(json.dumps(echo).encode())
        assert (kind, reply["verb"], reply["intent_id"]) == (EventKind.REPLY, verb, 42)


def test_same_order_amended_twice_has_two_request_ids():
    encoder = make()
    ids = [
        json.loads(unmask(encoder.modify_bytes(1, 0, 1, 1, UTC_MS + i)))["reqId"] for i in (0, 1)
    ]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "bad",
    [
        (-1, 0, 1, 1, 0, 1), (2**48, 0, 1, 1, 0, 1), (1, 2, 1, 1, 0, 1), (1, -1, 1, 1, 0, 1),
        (1, 0, 0, 1, 0, 1), (1, 0, 1, 0, 0, 1), (1, 0, 1, 1, 0, -1), (1, 0, 1, 1, 0, 2**48),
        (1, 0, 10**18, 1, 0, 1), (1, 0, 1, 10**18, 0, 1),
    ],
)  # fmt: skip
def test_place_out_of_range_raises_and_leaves_no_payload(bad):
    encoder = make()
    encoder.cancel_bytes(1, UTC_MS)
    with pytest.raises(ValueError, match="out of range"):
        encoder.place_bytes(*bad)
    assert encoder.payload_bytes() == b""


def test_spot_knows_no_reduce_only():
    with pytest.raises(ValueError, match="out of range"):
        make(category="spot").place_bytes(1, 0, 1, 1, OrderFlag.REDUCE_ONLY, UTC_MS)
    with pytest.raises(ValueError, match="reduce-only"):
        make_rest(category="spot").place(UTC_MS, 1, 0, 1, 1, OrderFlag.REDUCE_ONLY)


def test_room_is_respected():
    encoder = make()
    size = len(encoder.place_bytes(42, 0, 618002, 10, 1, UTC_MS))
    assert len(encoder.place_bytes(42, 0, 618002, 10, 1, UTC_MS, room=size)) == size
    with pytest.raises(ValueError, match="room"):
        encoder.place_bytes(42, 0, 618002, 10, 1, UTC_MS, room=size - 1)
    assert encoder.payload_bytes() == b""


def test_masking_follows_the_seed():
    frames = [make(mask_seed=seed).cancel_bytes(1, UTC_MS) for seed in (1, 1, 2)]
    assert frames[0] == frames[1]
    assert frames[0] != frames[2]


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "btc"}, {"tick": "0"}, {"lot": "x"}, {"client_prefix": "tm"}, {"api_key": b""},
        {"api_key": b'a"b'}, {"api_key": b"k" * 129}, {"secret": b""}, {"recv_window_ms": 0},
        {"recv_window_ms": 60001}, {"category": "inverse"},
    ],
)  # fmt: skip
def test_encoder_of_bad_arguments_raises_without_the_key(change):
    with pytest.raises(
        ValueError, match=r"symbol|tick|lot|prefix|key|secret|window|category"
    ) as e:
        make(**change)
    assert KEY.decode() not in str(e.value)
    assert SECRET.decode() not in str(e.value)


@pytest.mark.parametrize("holder", [make, make_rest])
def test_secrets_do_not_leave(holder):
    with pytest.raises(TypeError, match="key"):
        pickle.dumps(holder())
    with pytest.raises(TypeError, match="key"):
        copy.copy(holder())
    assert KEY.decode() not in repr(holder())


# -- REST ---


def check_signature(request):
    headers = request.headers
    payload = request.body if request.method == "POST" else request.path.split("?")[1].encode()
    signed = f"{UTC_MS}{KEY.decode()}5000".encode() + payload
    assert headers["X-BAPI-SIGN"] == sign(SECRET, signed)
    assert headers["X-BAPI-API-KEY"] == KEY.decode()
    assert {name: headers[name] for name in HEADER} == HEADER
    assert KEY.decode() not in repr(request)


def test_rest_cancel_all_is_signed_over_its_body():
    request = make_rest().cancel_all(UTC_MS)
    check_signature(request)
    assert (request.method, request.path) == ("POST", "/v5/order/cancel-all")
    assert request.body == b'{"category":"linear","symbol":"BTCUSDT"}'


def test_rest_queries_are_signed_over_their_query():
    start = "/v5/order/realtime?category=linear&symbol=BTCUSDT"
    for request, path in (
        (make_rest().open_orders(UTC_MS), f"{start}&openOnly=0&limit=50"),
        (make_rest().open_orders(UTC_MS, "a%3D"), f"{start}&openOnly=0&limit=50&cursor=a%3D"),
        (make_rest().status(UTC_MS, 42), f"{start}&orderLinkId={PREFIX}00000000002a"),
    ):
        check_signature(request)
        assert (request.method, request.path, request.body) == ("GET", path, b"")


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_rest_place_is_the_trade_connections_order(flags, side):
    request = make_rest().place(UTC_MS, 42, side, 618002, 10, flags)
    check_signature(request)
    (order,) = json.loads(unmask(make().place_bytes(42, side, 618002, 10, flags, UTC_MS)))["args"]
    assert (request.method, request.path) == ("POST", "/v5/order/create")
    assert json.loads(request.body) == order


def test_rest_cancel_is_the_trade_connections_order():
    request = make_rest().cancel(UTC_MS, 42)
    check_signature(request)
    assert request.path == "/v5/order/cancel"
    (order,) = json.loads(unmask(make().cancel_bytes(42, UTC_MS)))["args"]
    assert json.loads(request.body) == order


@pytest.mark.parametrize(
    "change",
    [{"tick": "0"}, {"lot": "x"}, {"secret": b""}, {"recv_window_ms": 0}, {"category": ""}],
)
def test_rest_of_bad_arguments_raises(change):
    with pytest.raises(ValueError, match=r"x|zero|secret|window|category"):
        make_rest(**change)


def test_rest_order_out_of_range_raises():
    for bad in ((1, 2, 1, 1), (1, 0, 0, 1), (1, 0, 1, 0), (2**48, 0, 1, 1), (-1, 0, 1, 1)):
        with pytest.raises(ValueError, match=r"range|intent_id"):
            make_rest().place(UTC_MS, *bad, 0)
