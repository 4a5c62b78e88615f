"""The loops of the benches do the work that they are said to time."""

import numpy as np
import pytest

from engine.gateway import hotsocket
from fastcore.book import Book
from fastcore.latency import Histogram
from fastcore.measure import BookStream, repeat_depth, repeat_levels
from fastcore.types import Side
from tests.reference import book as twin

BIDS = [(1000, 5), (999, 6), (990, 7)]
ASKS = [(1001, 8), (1003, 9), (1010, 10)]
ROWS = np.array(
    [*((0, 0, *row) for row in BIDS), *((0, 1, *row) for row in ASKS),
     (1, 1, 1001, 0), (1, 1, 1003, 4), (2, 0, 1000, 0), (2, 0, 998, 2), (2, 1, 1002, 1)],
    np.int64,
)  # fmt: skip


def touches(rows: list[tuple[int, int, int, int]]) -> int:
    """What a twin shows after each of the messages, added up."""
    book, seen = twin.Book(), 0
    for number in sorted({row[0] for row in rows}):
        sides = ([], [])
        for message, side, px, qty in rows:
            if message == number:
                sides[side].append((px, qty))
        book.apply_depth_lists(0, number, 0, *sides)
        seen += book.bid_px_ticks + book.ask_px_ticks
    return seen


def test_stream_applies_whole_messages():
    book, stream = Book(256), BookStream(ROWS)
    assert (stream.message_count, stream.level_count) == (3, 11)
    assert stream.run(book, 0, 3) == touches(ROWS.tolist())
    assert book.level_list(Side.BUY) == [(999, 6), (998, 2), (990, 7)]
    assert book.level_list(Side.SELL) == [(1002, 1), (1003, 4), (1010, 10)]


def test_stream_applies_each_level_for_itself():
    book, stream = Book(256), BookStream(ROWS)
    single = [(number, *row[1:]) for number, row in enumerate(ROWS.tolist())]
    assert stream.run(book, 0, 3, each_level=True) == touches(single)
    assert book.level_list(Side.SELL) == [(1002, 1), (1003, 4), (1010, 10)]


def test_timed_run_counts_each_message_once():
    book, stream = Book(256), BookStream(ROWS)
    message_ns, level_ns = Histogram(), Histogram()
    with pytest.raises(ValueError, match="set_ticks"):
        stream.run_timed(book, 0, 3, message_ns, level_ns)
    stream.set_ticks(hotsocket.tick_capsule(), 1.0)
    assert stream.run_timed(book, 1, 3, message_ns, level_ns) == touches(ROWS.tolist()[6:])
    assert (message_ns.count, level_ns.count) == (2, 2)
    assert message_ns.max_ns >= level_ns.max_ns


@pytest.mark.parametrize(
    "rows",
    [[(1, 0, 5, 5)], [(0, 0, 5, 5), (2, 0, 5, 5)], [(0, 1, 5, 5), (0, 0, 5, 5)], [(0, 2, 5, 5)],
     [(0, 0, 5)], []],
)  # fmt: skip
def test_rows_out_of_order_are_refused(rows):
    with pytest.raises(ValueError, match="row"):
        BookStream(np.array(rows, np.int64).reshape(len(rows), -1 if rows else 4))


def test_messages_out_of_range_are_refused():
    with pytest.raises(ValueError, match="messages"):
        BookStream(ROWS).run(Book(256), 0, 4)


def test_repeated_messages_and_reads():
    book = Book(256)
    assert repeat_depth(book, [(BIDS, ASKS), ([(1000, 0)], [])], 3) == 21
    assert book.level_list(Side.BUY) == BIDS[1:]
    assert repeat_levels(book, Side.SELL, 2, 4) == 4 * 17
