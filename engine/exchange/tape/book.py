"""The book that a recording shows (L2): depth by the venue's rule, fused with its best prices.

The best-price stream runs ahead of depth, so the touch is the ticker's while its id is the newer
one; what depth still shows beyond that touch is already gone and is not offered to anybody.
"""

from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedDict

from engine.exchange.book import Quote, Side, Touch
from engine.exchange.tape.messages import BestMessage, DepthMessage
from fastcore.types import SyncRule


class TapeBook:
    """Levels are keyed by px x side sign, best first."""

    def __init__(self, rule: SyncRule) -> None:
        self._rule = rule
        self._sides: tuple[SortedDict, SortedDict] = (SortedDict(), SortedDict())
        self.update_id = 0
        self.is_anchored = False  # a diff has joined the snapshot
        self.is_broken = False  # a diff did not follow the one before; until the next snapshot
        self.gaps = 0
        self._fuse_id = 0
        self._best_id = 0
        self._best: Touch = (0, 0, 0, 0)

    # -- COMMANDS ---

    def apply_snapshot(self, snapshot: DepthMessage) -> None:
        for side, quotes in zip(Side, (snapshot.bids, snapshot.asks), strict=True):
            self._sides[side].clear()
            self._sides[side].update((-side.sign * px, qty) for px, qty in quotes if qty)
        self.update_id, self._fuse_id = snapshot.final_id, snapshot.fuse_id
        self.is_anchored = self.is_broken = False

    def apply_depth(self, diff: DepthMessage) -> bool:
        """False: the diff is older than the book, nothing was done.

        A broken chain is counted and applied: the recording is what it is, and its clients see
        the same gap.
        """
        if self._is_stale(diff):
            return False
        if not self._follows(diff):
            self.gaps += 1
            self.is_broken = True
        self.is_anchored = True
        self.update_id, self._fuse_id = diff.final_id, diff.fuse_id
        for quotes, levels, sign in (
            (diff.bids, self._sides[Side.BUY], -1),
            (diff.asks, self._sides[Side.SELL], 1),
        ):
            for px_ticks, qty_lots in quotes:
                key = sign * px_ticks
                if not qty_lots:
                    levels.pop(key, None)
                elif key in levels:  # a plain dict's assignment: the order stays
                    dict.__setitem__(levels, key, qty_lots)
                else:
                    levels[key] = qty_lots
        return True

    def _is_stale(self, diff: DepthMessage) -> bool:
        if self._rule is SyncRule.FUTURES:
            return diff.final_id < self.update_id
        return diff.final_id <= self.update_id

    def _follows(self, diff: DepthMessage) -> bool:
        """By the venue's rule: see fastcore/sync.pyx, where its sources are."""
        if self._rule is SyncRule.BYBIT:
            return diff.final_id == self.update_id + 1
        if self._rule is SyncRule.SPOT:
            return diff.first_id <= self.update_id + 1
        if diff.prev_final_id == self.update_id:
            return True
        return not self.is_anchored and diff.first_id <= self.update_id <= diff.final_id

    def takes(self, message: DepthMessage) -> bool:
        """Whether it can be applied without a gap: a snapshot, what follows, or what is old."""
        return message.is_snapshot or self._is_stale(message) or self._follows(message)

    def forget_best(self) -> None:
        """The best price of another time: whatever comes next is newer."""
        self._best_id = 0

    def apply_best(self, best: BestMessage) -> None:
        if best.update_id > self._best_id:
            self._best_id, self._best = best.update_id, best.touch

    # -- QUERIES ---

    @property
    def _is_best_ahead(self) -> bool:
        return self._best_id > self._fuse_id > 0

    def visible(self, side: Side) -> Iterator[Quote]:
        """Levels best first, the ticker's touch in place of what it has overtaken."""
        limit_key = None
        if self._is_best_ahead:
            px_ticks, qty_lots = self._best[2 * side : 2 * side + 2]
            if px_ticks:
                limit_key = -side.sign * px_ticks
                yield px_ticks, qty_lots
        for key in self._sides[side].irange(minimum=limit_key, inclusive=(False, False)):
            yield abs(key), self._sides[side][key]

    def qty_at(self, side: Side, px_ticks: int) -> int:
        """Visible lots at one price."""
        if self._is_best_ahead:
            best_px, best_qty = self._best[2 * side : 2 * side + 2]
            if best_px == px_ticks:
                return best_qty
            if best_px and (px_ticks - best_px) * side.sign > 0:
                return 0
        qty_lots: int = self._sides[side].get(-side.sign * px_ticks, 0)
        return qty_lots

    def best(self, side: Side) -> Quote:
        return next(self.visible(side), (0, 0))

    def touch(self) -> Touch:
        return (*self.best(Side.BUY), *self.best(Side.SELL))

    def depth(self, side: Side, count: int) -> list[Quote]:
        """What a REST snapshot at `update_id` shows: depth alone, no ticker."""
        return [(abs(key), qty) for key, qty in islice(self._sides[side].items(), count)]
