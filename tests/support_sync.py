"""What the tests of Sync share: both twins, what can be seen of them, a venue, recorded tapes."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import settings

from fastcore import book as fast_book
from fastcore import sync as fast_sync
from fastcore.types import Code, Side, SyncRule, SyncState
from tests.reference import book as twin_book
from tests.reference import sync as twin_sync

FIELDS = (
    "state", "snapshot_wanted", "resubscribe_wanted", "last_update_id", "gaps", "crossed",
    "rejected", "stale_drops", "early_drops", "stale_snapshots", "overflows", "waiting_count",
)  # fmt: skip
STEADY = settings(
    derandomize=True, deadline=None, database=None, max_examples=150, stateful_step_count=40
)
FUTURES, SPOT, BYBIT, PARTIAL = SyncRule
REST_RULES = (FUTURES, SPOT)
BIDS, ASKS = [(1000, 5), (999, 6)], [(1001, 8), (1003, 9)]

Row = tuple[int, int]
Sync = Any  # either twin
NewSync = Callable[..., Sync]


def fast(rule: int, *limits: int, window: int = 256) -> Sync:
    return fast_sync.Sync(fast_book.Book(window), rule, *limits)


def twin(rule: int, *limits: int, window: int = 256) -> Sync:
    return twin_sync.Sync(twin_book.Book(window), rule, *limits)


def levels(book: Any) -> tuple[list[Row], list[Row]]:
    return (book.level_list(Side.BUY), book.level_list(Side.SELL))


def picture(sync: Sync) -> Any:
    """All that can be seen of a Sync and its book."""
    fields = {name: getattr(sync, name) for name in FIELDS}
    return fields, levels(sync.book), sync.book.update_id, sync.is_past_snapshot()


def diff(
    sync: Sync,
    first: int,
    final: int,
    prev: int = -1,
    bid: Row = (990, 1),
    ask: Row = (1010, 1),
) -> int:
    return int(sync.on_depth_lists(first, final, prev, [bid], [ask]))


def synced(new_sync: NewSync, rule: int) -> Sync:
    """Snapshot 100, then one diff that covers it and ends at 105."""
    sync = new_sync(rule)
    assert sync.on_snapshot_lists(100, BIDS, ASKS) == 1
    assert sync.state == SyncState.ANCHORING
    assert diff(sync, 98, 105, 97) == 1
    assert sync.state == SyncState.SYNCED
    return sync


def next_diff(sync: Sync, rule: int, **rows: Row) -> int:
    """A diff that continues the chain, of five ids."""
    last = sync.last_update_id
    first = last + 1 if rule == SPOT else last + 3  # futures ids have holes between diffs
    return diff(sync, first, last + 5, -1 if rule == SPOT else last, **rows)


class Venue:
    """A book that diffs come from; it remembers what it looked like at each id."""

    def __init__(self, rule: int, dice: random.Random) -> None:
        self.rule, self.dice = rule, dice
        self.book = twin_book.Book()
        self.final = 100
        self.book.apply_snapshot_lists(self.final, BIDS, ASKS)
        self.history = {self.final: levels(self.book)}

    def next(self) -> tuple[Any, ...]:
        """A diff that moves the touch at random, as on_depth_lists takes it."""
        dice, last = self.dice, self.final
        mid = self.book.bid_px_ticks + dice.randint(-4, 5)
        bids = [(px, 0) for px, _ in self.book.level_list(Side.BUY) if px >= mid]
        asks = [(px, 0) for px, _ in self.book.level_list(Side.SELL) if px <= mid]
        bids += [(mid - 1 - dice.randrange(30), dice.randint(0, 5)) for _ in range(3)]
        asks += [(mid + 1 + dice.randrange(30), dice.randint(0, 5)) for _ in range(3)]
        bids, asks = [*bids, (mid - 40, 9)], [*asks, (mid + 40, 9)]
        first = last + 1 + (dice.randrange(3) if self.rule == FUTURES else 0)
        self.final = first + (0 if self.rule == BYBIT else dice.randrange(4))
        assert self.book.apply_depth_lists(first, self.final, last, bids, asks) == Code.OK
        self.history[self.final] = levels(self.book)
        if self.rule == PARTIAL:
            bids, asks = (list(rows) for rows in self.history[self.final])
        prev = last if self.rule == FUTURES else -1
        is_told = self.rule == BYBIT and dice.random() < 0.9
        return (first, self.final, prev, bids, asks, self.seq(self.final) if is_told else 0)

    def seq(self, final: int) -> int:
        """What the venue's best-price stream counts by."""
        return final + 7000 if self.rule == BYBIT else final


# -- REAL TAPES ------------------------------------------------------------------------------


class Message(NamedTuple):
    verb: str  # name of the Sync method
    args: tuple[Any, ...]


def units(text: str, decimals: int) -> int:
    """Decimal text as integer units of 10^-decimals, exactly."""
    whole, _, fraction = text.partition(".")
    assert not fraction[decimals:].strip("0"), text
    return int(whole + fraction[:decimals].ljust(decimals, "0"))


def unit_rows(pairs: list[list[str]], px_decimals: int, qty_decimals: int) -> list[Row]:
    return [(units(px, px_decimals), units(qty, qty_decimals)) for px, qty in pairs]


def read_tape(path: Path, px_decimals: int, qty_decimals: int, lines: int) -> list[Message]:
    def rows(pairs: list[list[str]]) -> list[Row]:
        return unit_rows(pairs, px_decimals, qty_decimals)

    messages = []
    with gzip.open(path, "rt") as tape:
        for _, line in zip(range(lines), tape, strict=False):
            data = json.loads(line.split(" ", 1)[1])
            stream = data.get("stream", "")
            data = data.get("data", data)
            if "lastUpdateId" in data:
                args = (data["lastUpdateId"], rows(data["bids"]), rows(data["asks"]))
                messages.append(Message("on_snapshot_lists", args))
            elif "@depth" in stream:
                ids = (data["U"], data["u"], data.get("pu", -1))
                messages.append(
                    Message("on_depth_lists", (*ids, rows(data["b"]), rows(data["a"])))
                )
            elif "@bookTicker" in stream:
                (bid,), (ask,) = rows([(data["b"], data["B"])]), rows([(data["a"], data["A"])])
                messages.append(Message("on_best_values", (data["u"], *bid, *ask)))
    return messages
