"""What is fuzzed: each target takes any bytes, and raises AssertionError where the core is wrong.

Whatever else escapes (another exception, an abort, a sanitizer's report) is a finding too.
Decoders keep state between calls here, as in an engine: what one message left behind must not
change how the next one is read.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastcore import fixed, ws
from fastcore.codec.binance_decode import Decoder
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.journal import (
    END_OF_SEGMENT,
    FIELDS,
    HEADER_SIZE,
    JournalError,
    JournalWriter,
    read_segment,
    segment_header,
    unpack,
)
from tests.fuzz.guard import Dice, exact
from tests.fuzz.target_book import book
from tests.fuzz.target_core import core
from tests.reference import fixed as plain_fixed
from tests.reference import ws as plain_ws

# -- FRAMES ---

OPCODES = (0, 1, 2, 8, 9, 10)


def frames(data: bytes) -> None:
    """A stream of server frames, and one frame of ours: as the twin in plain Python has it."""
    rest = data
    for _ in range(64):
        told = ws.parse(exact(rest))
        assert told == plain_ws.parse(rest), (told, plain_ws.parse(rest))
        code, fields = told
        if code != 1:
            break
        rest = rest[fields["header_size"] + fields["payload_size"] :]
    if len(data) < 5:
        return
    opcode, key, payload = OPCODES[data[0] % 6], int.from_bytes(data[1:5], "big"), data[5:]
    if opcode >= 8:
        payload = payload[:125]
    framed = ws.frame(opcode, exact(payload), key)
    assert framed == plain_ws.frame(opcode, payload, key)
    room = bytearray(ws.header_size(len(payload))) + payload
    assert ws.frame_in_place(opcode, room, key) == len(room)
    assert room == framed


# -- DECODERS ---

PREFIX = "tm0123abcd-01-"
INSTRUMENTS = (
    ("BTCUSDT", "0.10", "0.001", PREFIX, "BTC", "USDT"),  # USD-M
    ("BTCUSDT", "0.01000000", "0.00001000", PREFIX, "BTC", "USDT"),  # spot
    ("BTCUSDT", "0.25", "1", PREFIX, "", ""),
    ("BTCUSDT", "0.00000001", "0.00000100", PREFIX, "BTC", "USDT"),
)
BINANCE = [(Decoder(*told), Decoder(*told, portable=True)) for told in INSTRUMENTS]


def binance(data: bytes) -> None:
    """First byte: instrument. Every way to read a message must read it alike."""
    if not data:
        return
    usual, portable = BINANCE[data[0] % len(BINANCE)]
    text = exact(data[1:])
    decoded = usual.decode_bytes(text)
    extras = usual.retry_after_ms, usual.canceled_intent_id
    for told in (
        usual.decode_generally(text),
        portable.decode_bytes(text),
        portable.decode_generally(text),
    ):
        assert told == decoded, (told, decoded)
    assert (usual.retry_after_ms, usual.canceled_intent_id) == extras
    _check_event(*decoded)


BYBIT_SPOT = ("BTCUSDT", "0.01", "0.000001", PREFIX, "spot", "BTC", "USDT")
BYBIT_LINEAR = ("BTCUSDT", "0.10", "0.001", PREFIX, "linear", "BTC", "USDT")
BYBIT = [(BybitDecoder(*told), BybitDecoder(*told)) for told in (BYBIT_LINEAR, BYBIT_SPOT)]
PONG = b'{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"a"}'


def bybit(data: bytes) -> None:
    """First byte: category. A decoder that read something else before must say the same."""
    if not data:
        return
    used, other = BYBIT[data[0] % len(BYBIT)]
    text = exact(data[1:])
    other.decode_bytes(PONG)
    kind, event = used.decode_bytes(text)
    events = [(kind, event)] if kind > 0 else []
    while kind > 0 and (following := used.next_event_bytes())[0]:
        events.append(following)
        assert len(events) <= len(text), "more events than bytes"
    assert used.next_event_bytes()[0] == 0
    told, all_events = other.decode_all_bytes(text)
    assert told == kind, (told, kind)
    assert all_events == [fields for _, fields in events]
    for found in events:
        _check_event(*found)


def _check_event(kind: int, event: dict[str, Any]) -> None:
    """What every event promises, whatever the message."""
    for side in ("bids", "asks"):
        for px_ticks, qty_lots in event.get(side, ()):
            assert px_ticks >= 0, event
            assert qty_lots >= 0, event
    if "first_update_id" in event:
        assert event["first_update_id"] <= event["final_update_id"], event
    for name in ("px_ticks", "qty_lots", "last_qty_lots", "exch_ts_ns"):
        assert event.get(name, 0) >= 0, event
    assert kind != 0
    assert kind > 0 or not event


# -- NUMBERS ---

TICKS = (
    "1", "0.1", "0.01", "0.001", "0.00001", "0.25", "0.5", "0.00000001", "10", "0.000000000001",
    "25", "0.05",
)  # fmt: skip


def _outcome(parse: Callable[..., int], *args: Any) -> int | None:
    try:
        return parse(*args)
    except ValueError:
        return None


def number(data: bytes) -> None:
    """First byte: tick. Text to units as the twin does it by Decimal, and back again."""
    if not data:
        return
    tick, text = TICKS[data[0] % len(TICKS)], data[1:]
    units = _outcome(fixed.parse, exact(text), tick)
    assert units == _outcome(plain_fixed.parse, text, tick), (units, text, tick)
    assert units == _outcome(fixed.parse, text, tick, b'","1234567890123'), (text, tick)
    if units is not None:
        assert fixed.parse(fixed.format(units, tick), tick) == units
    value = int.from_bytes(text[:8], "little", signed=True)
    for shown in (value, value >> (data[0] % 56)):
        try:
            spelt = fixed.format(shown, tick)
        except ValueError:
            spelt = None
        assert spelt == _plain_format(shown, tick)
        if spelt is not None:
            assert fixed.parse(spelt, tick) == shown


def _plain_format(units: int, tick: str) -> bytes | None:
    try:
        return plain_fixed.format(units, tick)
    except ValueError:
        return None


# -- JOURNAL ---


def journal(data: bytes) -> None:
    """Even first byte: a segment as it is. Odd: records written, read, then damaged."""
    if not data:
        return
    if data[0] % 2 == 0:
        _read(exact(data[1:]))
        return
    dice = Dice(data[1:])
    segment = bytearray(8192)
    writer = JournalWriter(segment, dice.long())
    written = []
    while dice and len(written) < 64:
        kind, arg = 1 + dice.byte() % 30, dice.byte()
        payload = dice.take(8 * len(FIELDS[kind])) if kind in FIELDS else dice.take(dice.byte())
        now_ns, recv_ts_ns = dice.long(), dice.long()
        if not writer.append(kind, arg, payload, now_ns, recv_ts_ns):
            break
        written.append((kind, arg, len(written), now_ns, recv_ts_ns, payload))
    assert _read(bytes(segment)) == written
    if data[0] % 4 == 1 or not written:
        return
    at, flip = (dice.word() or sum(data)) % (writer.used - HEADER_SIZE), 1 << data[0] % 8
    segment[HEADER_SIZE + at] ^= flip
    damaged = _read(bytes(segment))
    # The first word of an empty record of kind 2^n may become "not written yet": what stands
    # before it is then whole, and a reader of the file finds the rest behind its end.
    assert damaged is None or (len(damaged) < len(written) and damaged == written[: len(damaged)])


def _read(segment: bytes) -> list[tuple[Any, ...]] | None:
    """Its records, or None when it says that it is damaged."""
    records = []
    with suppress(JournalError):
        segment_header(segment)
    try:
        for record in read_segment(segment):
            if record[1] == END_OF_SEGMENT:
                break
            if record[1] in FIELDS and len(record[6]) == 8 * len(FIELDS[record[1]]):
                assert len(unpack(record[1], record[6])) == len(FIELDS[record[1]])
            records.append((*record[1:6], bytes(record[6])))
    except JournalError:
        return None
    return records


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "binance": binance,
    "bybit": bybit,
    "number": number,
    "book": book,
    "journal": journal,
    "core": core,
}
