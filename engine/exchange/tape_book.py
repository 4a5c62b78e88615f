"""The book that a recording shows (L2): depth diffs by the venue's rule, fused with bookTicker.

bookTicker runs ahead of depth, so the touch is the ticker's while its id is the newer one; what
depth still shows beyond that touch is already gone and is not offered to anybody.
"""

from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedDict

from engine.exchange.book import Change, Quote, Side, Touch
from engine.exchange.tape_frames import BestMessage, DepthMessage


class TapeBook:
    """Levels are keyed by px x side sign, best first."""

    def __init__(self) -> None:
        self._sides: tuple[SortedDict, SortedDict] = (SortedDict(), SortedDict())
        self.update_id = 0
        self.is_anchored = False  # a diff has joined the snapshot
        self.gaps = 0
        self._best_id = 0
        self._best: Touch = (0, 0, 0, 0)

    # -- COMMANDS ---

    def apply_snapshot(self, snapshot: DepthMessage) -> None:
        for side, quotes in zip(Side, (snapshot.bids, snapshot.asks), strict=True):
            self._sides[side].clear()
            self._sides[side].update((-side.sign * px, qty) for px, qty in quotes if qty)
        self.update_id = snapshot.final_id
        self.is_anchored = False

    def apply_depth(self, diff: DepthMessage) -> list[Change]:
        """The level changes; none when the diff is older than the snapshot.

        A broken chain is counted and applied: the recording is what it is, and its clients see
        the same gap.
        """
        if diff.final_id < self.update_id:
            return []
        joins = diff.prev_final_id == self.update_id
        if not self.is_anchored:
            joins = joins or diff.first_id <= self.update_id <= diff.final_id
        self.gaps += not joins
        self.is_anchored = True
        self.update_id = diff.final_id
        changes: list[Change] = []
        for side, quotes in zip(Side, (diff.bids, diff.asks), strict=True):
            levels = self._sides[side]
            for px_ticks, qty_lots in quotes:
                if qty_lots:
                    levels[-side.sign * px_ticks] = qty_lots
                else:
                    levels.pop(-side.sign * px_ticks, None)
                changes.append(Change(side, px_ticks, qty_lots))
        return changes

    def apply_best(self, best: BestMessage) -> None:
        if best.update_id > self._best_id:
            self._best_id, self._best = best.update_id, best.touch

    # -- QUERIES ---

    def visible(self, side: Side) -> Iterator[Quote]:
        """Levels best first, the ticker's touch in place of what it has overtaken."""
        limit_key = None
        if self._best_id > self.update_id:
            px_ticks, qty_lots = self._best[2 * side : 2 * side + 2]
            if px_ticks:
                limit_key = -side.sign * px_ticks
                yield px_ticks, qty_lots
        for key in self._sides[side].irange(minimum=limit_key, inclusive=(False, False)):
            yield abs(key), self._sides[side][key]

    def qty_at(self, side: Side, px_ticks: int) -> int:
        """Visible lots at one price."""
        if self._best_id > self.update_id:
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
