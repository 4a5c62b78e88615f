"""Record layout, segment swap, and damage of every byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore.journal import (
    END_OF_SEGMENT,
    KIND,
    JournalError,
    JournalWriter,
    read_segment,
    segment_header,
    unpack,
)

SIZE = 4_160


def written(*payloads: bytes) -> bytearray:
    segment = bytearray(SIZE)
    writer = JournalWriter(segment, 55)
    for index, payload in enumerate(payloads):
        assert writer.append(KIND["FRAME"], index % 3, payload, 10 + index, 5 + index)
    return segment


def test_header_tells_index_first_seq_and_clock() -> None:
    assert segment_header(written()) == (0, 0, 55)


@given(st.lists(st.binary(max_size=120), max_size=12))
def test_what_is_written_is_read(payloads: list[bytes]) -> None:
    records = list(read_segment(written(*payloads)))
    assert [bytes(record[6]) for record in records] == payloads
    assert [record[3] for record in records] == list(range(len(payloads)))
    assert all(record[4] == 10 + record[3] and record[5] == 5 + record[3] for record in records)


def test_layout_is_the_documented_one() -> None:
    segment = written(b"abc")
    size, kind, arg, seq, now_ns, recv_ts_ns = struct.unpack_from("<IHHQqq", segment, 64)
    assert (size, kind, arg, seq, now_ns, recv_ts_ns) == (3, 2, 0, 0, 10, 5)
    assert segment[104:112] == b"abc\0\0\0\0\0"
    assert segment[:8] == b"TMJRNL01"


def read_whole(segment: bytearray) -> None:
    segment_header(segment)
    list(read_segment(segment))


def test_any_flipped_byte_is_found() -> None:
    clean = written(b"first record", b"second")
    end = 64 + 40 + 16 + 40 + 8
    for offset in range(end):
        segment = bytearray(clean)
        segment[offset] ^= 0x10
        with pytest.raises(JournalError):
            read_whole(segment)


def test_a_full_segment_goes_on_in_the_next() -> None:
    first, second = bytearray(SIZE), bytearray(SIZE)
    writer = JournalWriter(first)
    writer.add_segment(second)
    assert not writer.needs_segment
    count = 0
    while not writer.needs_segment:
        assert writer.append(KIND["TIMER"], 0, b"x" * 100, count)
        count += 1
    records = list(read_segment(first)) + list(read_segment(second))
    ends = [record for record in records if record[1] == END_OF_SEGMENT]
    assert len(ends) == 1
    assert [record[3] for record in records if record[1] != END_OF_SEGMENT] == list(range(count))
    assert segment_header(second) == (1, count - 1, 0)


def test_no_next_segment_means_no_room() -> None:
    writer = JournalWriter(bytearray(SIZE))
    count = 0
    while writer.append(KIND["TIMER"], 0, b"", count):
        count += 1
    assert count == (SIZE - 64 - 8) // 40
    assert not writer.append(KIND["TIMER"], 0, b"", 0)


def test_third_segment_follows_the_second() -> None:
    segments = [bytearray(SIZE) for _ in range(4)]
    writer = JournalWriter(segments[0])
    for segment in segments[1:]:
        writer.add_segment(segment)
        while not writer.needs_segment:
            assert writer.append(KIND["TIMER"], 0, b"", 1)
    assert [segment_header(segment)[0] for segment in segments] == [0, 1, 2, 3]
    with_room = sum(len(list(read_segment(segment))) for segment in segments)
    assert with_room == writer.next_seq + 3  # and three end marks


def test_a_second_next_segment_is_refused() -> None:
    writer = JournalWriter(bytearray(SIZE))
    writer.add_segment(bytearray(SIZE))
    with pytest.raises(ValueError, match="already"):
        writer.add_segment(bytearray(SIZE))


def test_rewind_forgets_records_and_keeps_counting() -> None:
    writer = JournalWriter(bytearray(SIZE))
    writer.append(KIND["TIMER"], 0, b"a", 1)
    writer.rewind()
    writer.append(KIND["TIMER"], 0, b"b", 2)
    records = list(read_segment(writer.current()))
    assert [(record[3], bytes(record[6])) for record in records] == [(1, b"b")]


@pytest.mark.parametrize(
    ("segment", "text"),
    [(b"", "at least 64"), (b"not a journal" + bytes(64), "starts with"),
     (b"TMJRNL01" + (9).to_bytes(4, "little") + bytes(60), "version 1, was 9")],
)  # fmt: skip
def test_a_file_that_is_no_journal_is_named_so(segment: bytes, text: str) -> None:
    with pytest.raises(JournalError, match=text):
        segment_header(segment)


def test_a_readonly_or_small_segment_is_refused() -> None:
    for segment in (bytes(SIZE), bytearray(100)):
        with pytest.raises(ValueError, match="writable segment"):
            JournalWriter(segment)


def test_unpack_names_the_fields() -> None:
    payload = struct.pack("<3q", 7, 100, 250)
    assert unpack(KIND["SEND"], payload) == {"out_seq": 7, "begin_ns": 100, "end_ns": 250}
    with pytest.raises(JournalError, match="24 bytes in a SEND"):
        unpack(KIND["SEND"], payload[:16])
