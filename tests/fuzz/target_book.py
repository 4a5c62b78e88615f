"""Book and sync under any sequence of diffs, snapshots and best prices, against their twins.

Two ways to say it, by the first byte. Compact: a byte a verb, few bytes a number, so that a
mutation makes another sensible sequence. In the venue's words: messages, one a line, through the
decoder first, so that nothing that the decoder lets pass can break the book.
"""

from typing import Any

from fastcore.book import Book
from fastcore.codec.binance_decode import Decoder
from fastcore.sync import Sync
from fastcore.types import EventKind, Side, SyncRule
from tests.fuzz.guard import Dice, exact
from tests.reference import book as plain_book
from tests.reference import sync as plain_sync

BOOK_LIMITS = (256, 64)  # ticks in the window, levels a side: both are soon passed
RULES = tuple(SyncRule)
STEPS_MAX = 200
FIELDS = (
    "state", "snapshot_wanted", "resubscribe_wanted", "last_update_id", "gaps", "crossed",
    "rejected", "stale_drops", "early_drops", "stale_snapshots", "overflows", "waiting_count",
)  # fmt: skip
DECODER = Decoder("BTCUSDT", "0.10", "0.001")

Call = tuple[str, tuple[Any, ...]]


def book(data: bytes) -> None:
    dice = Dice(data)
    head = dice.byte()
    rule = RULES[head % len(RULES)]
    limits = (4, 32) if head & 64 else (16, 256)
    pair = (
        Sync(Book(*BOOK_LIMITS), rule, *limits),
        plain_sync.Sync(plain_book.Book(*BOOK_LIMITS), rule, *limits),
    )
    calls = _in_words(data[1:]) if head & 128 else _compact(dice)
    for step, (name, args) in enumerate(calls):
        fast, slow = (getattr(sync, name)(*args) for sync in pair)
        assert fast == slow, (step, name, args, fast, slow)
        pair[0].check()
        pair[0].book.check()
        if step % 4 == 0:
            _compare(*pair)
    _compare(*pair)


def _compare(fast: Any, slow: Any) -> None:
    for name in FIELDS:
        assert getattr(fast, name) == getattr(slow, name), name
    assert fast.book.update_id == slow.book.update_id
    assert fast.is_past_snapshot() == slow.is_past_snapshot()
    for side in Side:
        assert fast.book.level_list(side) == slow.book.level_list(side), side
        assert fast.book.level_list(side, 3) == slow.book.level_list(side, 3), side
    assert fast.book.depth_touch_values() == slow.book.depth_touch_values()


def _compact(dice: Dice) -> list[Call]:
    """Ids walk on from the last one unless the dice say otherwise; so does the middle."""
    calls: list[Call] = []
    last, mid = 100, 1_000
    while dice and len(calls) < STEPS_MAX:
        verb = dice.byte()
        if verb & 8:
            mid = max(10, mid + (dice.byte() - 128) * (1 if verb & 16 else 7))
        first = last + (1, 0, 3, -5)[verb >> 6] if verb & 32 == 0 else last + dice.byte() - 128
        final = first + (verb >> 4 & 3)
        kind = verb & 7
        if kind <= 3:
            prev = last if kind < 3 else -1
            calls.append(("on_depth_lists", (first, final, prev, *_rows(dice, mid), dice.byte())))
            last = final
        elif kind == 4:
            calls.append(("on_snapshot_lists", (final, *_rows(dice, mid), dice.byte())))
        elif kind == 5:
            bid = max(1, mid - dice.byte() % 8)
            ask = bid + dice.byte() % 8
            calls.append(("on_best_values", (final, bid, 1 + dice.byte(), ask, 1 + dice.byte())))
        elif kind == 6:
            calls.append(("on_partial_lists", (final, *_rows(dice, mid))))
        else:
            calls.append(("reset", ()))
    return calls


def _rows(dice: Dice, mid: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    counts = dice.byte()
    reach = 1 if counts & 128 == 0 else 97
    sides: list[list[tuple[int, int]]] = []
    for sign, count in ((-1, counts & 7), (1, counts >> 3 & 7)):
        rows = [(mid + sign * (dice.byte() - 8) * reach, dice.byte() % 16) for _ in range(count)]
        sides.append([(px, qty) for px, qty in rows if px > 0])
    return sides[0], sides[1]


def _in_words(text: bytes) -> list[Call]:
    calls: list[Call] = []
    for line in text.split(b"\n")[:STEPS_MAX]:
        kind, event = DECODER.decode_bytes(exact(line))
        if kind == EventKind.DEPTH:
            ids = (event["first_update_id"], event["final_update_id"])
            prev = event["prev_final_update_id"]
            calls.append(("on_depth_lists", (*ids, prev, event["bids"], event["asks"])))
        elif kind == EventKind.SNAPSHOT:
            args = (event["final_update_id"], event["bids"], event["asks"])
            calls.append(("on_snapshot_lists", args))
        elif kind == EventKind.BEST:
            names = ("update_id", "bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots")
            calls.append(("on_best_values", tuple(event[name] for name in names)))
    return calls
