"""WebSocket framing: RFC 6455's rules and examples, its twin, and the `websockets` library."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets import frames, streams

from fastcore import ws as fast
from tests.reference import ws as twin

# Same examples in every run, and no verdict from a busy machine's clock.
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=200)
MALFORMED = -1
PAYLOAD_MAX = 16 * 1024 * 1024
OPCODES = [0, 1, 2, 8, 9, 10]
# Round every place where something changes: lengths' forms, masking strides, 4-byte key turns.
EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 39, 40, 63, 64, 65, 124, 125, 126, 127, 128, 300]
LONG_EDGES = [65533, 65534, 65535, 65536, 65537, 70000]


@pytest.fixture(params=[fast, twin], ids=["fast", "reference"], scope="module")
def ws(request):
    return request.param


def octets(size: int) -> bytes:
    """`size` octets that do not repeat with any power of two."""
    return (bytes(index * 151 % 251 for index in range(251)) * (size // 251 + 1))[:size]


def server_frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A frame as the `websockets` library's server writes it."""
    return frames.Frame(frames.Opcode(opcode), payload, fin=fin).serialize(mask=False)


def websockets_parse(data: bytes) -> tuple[Any, bytes]:
    """What the `websockets` library's server reads from our bytes, and what is left of them."""
    reader = streams.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = frames.Frame.parse(reader.read_exact, mask=True, max_size=None)
    try:
        while True:
            next(parser)
    except StopIteration as stop:
        return stop.value, bytes(reader.buffer)


# -- FROM THE SERVER ---


def test_parse_rfc_examples(ws):
    """Section 5.7, the unmasked ones."""
    code, hello = ws.parse(bytes.fromhex("810548656c6c6f"))
    assert (code, hello["opcode"], hello["fin"], hello["payload"]) == (1, 1, 1, b"Hello")
    code, first = ws.parse(bytes.fromhex("010348656c"))
    assert (code, first["opcode"], first["fin"], first["payload"]) == (1, 1, 0, b"Hel")
    code, last = ws.parse(bytes.fromhex("80026c6f"))
    assert (code, last["opcode"], last["fin"], last["payload"]) == (1, 0, 1, b"lo")
    code, ping = ws.parse(bytes.fromhex("890548656c6c6f"))
    assert (code, ping["opcode"], ping["payload"]) == (1, 9, b"Hello")
    code, long = ws.parse(bytes.fromhex("827e0100") + bytes(256))
    assert (code, long["opcode"], long["header_size"], long["payload_size"]) == (1, 2, 4, 256)
    code, longer = ws.parse(bytes.fromhex("827f0000000000010000") + bytes(65536))
    assert (code, longer["header_size"], longer["payload_size"]) == (1, 10, 65536)


@pytest.mark.parametrize("size", EDGES + LONG_EDGES)
@pytest.mark.parametrize("opcode", [0, 1, 2])
@pytest.mark.parametrize("fin", [False, True])
def test_parse_reads_what_websockets_writes(ws, opcode, size, fin):
    payload = octets(size)
    wire = server_frame(opcode, payload, fin)
    code, fields = ws.parse(wire + b"\x81\x00next")
    assert code == 1
    assert fields == {
        "opcode": opcode,
        "fin": int(fin),
        "rsv": 0,
        "masked": 0,
        "header_size": len(wire) - size,
        "payload_size": size,
        "payload": payload,
    }


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_parse_control_frames_up_to_125(ws, opcode):
    for size in range(126):
        if opcode == 8 and size == 1:
            continue  # a close body starts with two octets of code: websockets writes no other
        code, fields = ws.parse(server_frame(opcode, (b"\x03\xe8" + b"x" * size)[:size]))
        assert (code, fields["opcode"], fields["payload_size"]) == (1, opcode, size)


@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 300, 65535, 65536])
def test_parse_truncated_anywhere_wants_more(ws, size):
    wire = server_frame(2, octets(size))
    header_size = len(wire) - size
    cuts = range(len(wire)) if size <= 300 else [*range(20), size // 2, len(wire) - 1]
    for cut in cuts:
        code, fields = ws.parse(wire[:cut])
        assert code == 0
        assert fields["payload"] is None
        if cut >= header_size:  # now the caller can know how much more
            assert fields["header_size"] + fields["payload_size"] == len(wire)
        else:
            assert fields["header_size"] == 0
    assert ws.parse(wire)[0] == 1


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("rsv1", "c10548656c6c6f"),
        ("rsv2", "a10548656c6c6f"),
        ("rsv3", "910548656c6c6f"),
        *((f"reserved opcode {opcode}", f"8{opcode:x}00") for opcode in (3, 4, 5, 6, 7)),
        *((f"reserved opcode {opcode}", f"8{opcode:x}00") for opcode in range(11, 16)),
        ("masked", "818537fa213d7f9f4d5158"),
        ("masked, empty", "818000000000"),
        ("close fragmented", "0800"),
        ("ping fragmented", "0900"),
        ("pong fragmented", "0a00"),
        ("close of 126", "887e007e" + "00" * 126),
        ("ping of 126", "897e007e" + "00" * 126),
        ("pong with 64-bit length", "8a7f0000000000010000"),
        ("125 in 16 bits", "817e007d" + "00" * 125),
        ("0 in 16 bits", "817e0000"),
        ("0 in 64 bits", "817f0000000000000000"),
        ("125 in 64 bits", "817f000000000000007d" + "00" * 125),
        ("65535 in 64 bits", "817f000000000000ffff"),
        ("16 MiB and 1", "817f0000000001000001"),
        ("2^32 and a short frame's low half", "817f0000000100000005"),
        ("2^63 - 1", "817f7fffffffffffffff"),
        ("2^63", "817f8000000000000000"),
        ("2^64 - 1", "817fffffffffffffffff"),
    ],
)
def test_parse_malformed_is_told_and_stays_told(ws, name, wire):
    data = bytes.fromhex(wire)
    code, fields = ws.parse(data)
    assert code == MALFORMED, name
    assert fields["payload"] is None
    told = False
    for cut in range(len(data) + 1):
        code = ws.parse(data[:cut])[0]
        assert code in (0, MALFORMED)
        assert code == MALFORMED or not told
        told = code == MALFORMED
        assert told or cut < 10  # by the header at the latest


def test_parse_largest_payload_wants_more_and_is_read(ws):
    header = bytes.fromhex("827f0000000001000000")
    assert ws.parse(header)[0] == 0
    assert ws.parse(header)[1]["payload_size"] == PAYLOAD_MAX
    code, fields = ws.parse(header + bytes(PAYLOAD_MAX))
    assert code == 1
    assert len(fields["payload"]) == PAYLOAD_MAX


def test_parse_every_pair_of_first_octets_equals_twin():
    for first in range(256):
        for second in range(256):
            for rest in (b"", b"\x00", b"\x01\x00" + bytes(254), bytes(7) + b"\x01", b"\x80"):
                wire = bytes([first, second]) + rest
                assert fast.parse(wire) == twin.parse(wire)


@STEADY
@given(st.binary(max_size=200))
@example(b"\x81\x7f" + b"\xff" * 8)
def test_parse_any_octets_equals_twin(wire):
    assert fast.parse(wire) == twin.parse(wire)


@STEADY
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 9, 10]), st.integers(0, 70000), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_parse_stream_split_anywhere_gives_the_frames_sent(messages, draw):
    """A receive buffer as the hot socket keeps it: bytes come in pieces, frames go out."""
    sent = []
    for opcode, size, fin in messages:
        if opcode >= 8:
            size, fin = min(size, 125), True
        sent.append((opcode, int(fin), octets(size)))
    stream = b"".join(server_frame(opcode, payload, bool(fin)) for opcode, fin, payload in sent)
    cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    received, buffer, start = [], b"", 0
    for cut in [*sorted(cuts), len(stream)]:
        buffer += stream[start:cut]
        start = cut
        while True:
            code, fields = fast.parse(buffer)
            if code == 0:
                break
            assert code == 1
            received.append((fields["opcode"], fields["fin"], fields["payload"]))
            buffer = buffer[fields["header_size"] + fields["payload_size"] :]
    assert received == sent
    assert buffer == b""


# -- TO THE SERVER ---


def test_frame_rfc_example(ws):
    """Section 5.7: a single-frame masked text message."""
    assert ws.frame(1, b"Hello", 0x37FA213D).hex() == "818537fa213d7f9f4d5158"


@pytest.mark.parametrize("size", EDGES + LONG_EDGES)
def test_frame_is_what_websockets_reads(ws, size):
    payload = octets(size)
    wire = ws.frame(1, payload, 0xDEADBEEF)
    parsed, left = websockets_parse(wire + b"next")
    assert (parsed.opcode, parsed.fin, bytes(parsed.data), left) == (1, True, payload, b"next")
    assert (parsed.rsv1, parsed.rsv2, parsed.rsv3) == (False, False, False)
    assert len(wire) == fast.header_size(size) + size


@pytest.mark.parametrize("opcode", OPCODES)
def test_frame_each_opcode_is_what_websockets_reads(ws, opcode):
    parsed, left = websockets_parse(ws.frame(opcode, b"\x03\xe8bye", 0x01020304))
    assert (parsed.opcode, bytes(parsed.data), left) == (opcode, b"\x03\xe8bye", b"")


def test_frame_every_size_to_700_equals_twin():
    for size in range(701):
        payload = octets(size)
        assert fast.frame(2, payload, 0xA1B2C3D4) == twin.frame(2, payload, 0xA1B2C3D4)


@STEADY
@given(st.binary(max_size=500), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2]))
def test_frame_equals_twin_and_websockets(payload, mask_key, opcode):
    wire = fast.frame(opcode, payload, mask_key)
    assert wire == twin.frame(opcode, payload, mask_key)
    assert bytes(websockets_parse(wire)[0].data) == payload


@STEADY
@given(st.integers(0, 70000), st.integers(0, 2**32 - 1))
@example(65535, 0)
@example(65536, 0xFFFFFFFF)
def test_frame_of_any_size_is_what_websockets_reads(size, mask_key):
    payload = octets(size)
    parsed, left = websockets_parse(fast.frame(2, payload, mask_key))
    assert (bytes(parsed.data), left) == (payload, b"")


def test_frame_unaligned_payload_gives_the_same_frame():
    payload = octets(100)
    expected = fast.frame(1, payload, 0x11223344)
    for offset in range(33):
        view = memoryview(bytes(offset) + payload)[offset:]
        assert fast.frame(1, view, 0x11223344) == expected


@pytest.mark.parametrize("size", EDGES + LONG_EDGES)
def test_frame_in_place_equals_frame(size):
    payload = octets(size)
    buf = bytearray(fast.header_size(size)) + payload
    assert fast.frame_in_place(1, buf, 0x55667788) == len(buf)
    assert bytes(buf) == fast.frame(1, payload, 0x55667788)


def test_frame_in_place_size_of_no_frame_is_refused():
    for size in (0, 5, 132, 133, 65544, 65549):
        with pytest.raises(ValueError, match="no client frame"):
            fast.frame_in_place(1, bytearray(size), 0)


def test_header_size_at_each_length_form():
    sizes = {0: 6, 125: 6, 126: 8, 65535: 8, 65536: 14, PAYLOAD_MAX: 14}
    assert {size: fast.header_size(size) for size in sizes} == sizes
    for size in (-1, PAYLOAD_MAX + 1):
        with pytest.raises(ValueError, match="payload size"):
            fast.header_size(size)


def test_frame_what_no_client_may_send_is_refused():
    for opcode in (-1, 3, 7, 11, 15, 16, 33, 129):
        with pytest.raises(ValueError, match="opcode"):
            fast.frame(opcode, b"", 0)
    for opcode in (8, 9, 10):
        assert fast.frame(opcode, bytes(125), 0)
        with pytest.raises(ValueError, match="control"):
            fast.frame(opcode, bytes(126), 0)
        with pytest.raises(ValueError, match="control"):
            fast.frame_in_place(opcode, bytearray(8 + 126), 0)
    with pytest.raises(ValueError, match="payload size"):
        fast.frame(2, bytes(PAYLOAD_MAX + 1), 0)
    for mask_key in (-1, 2**32):
        with pytest.raises(OverflowError):
            fast.frame(1, b"", mask_key)
    with pytest.raises(TypeError):
        fast.frame(1, "text", 0)
    with pytest.raises(TypeError):
        fast.parse(None)


def test_repeat_ends_with_the_last_key():
    assert fast.repeat(b"payload", 3) == fast.frame(1, b"payload", 2)
    with pytest.raises(ValueError, match="empty"):
        fast.repeat(b"", 1)
