"""Slow, obvious twin of fastcore.sync: the venue's rules as written, on a list of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastcore.types import Code, SyncRule, SyncState

Row = tuple[int, int]


class Diff(NamedTuple):
    first: int
    final: int
    prev: int
    bids: Sequence[Row]
    asks: Sequence[Row]


class Sync:
    def __init__(
        self, book: Any, rule: int, events_max: int = 4096, levels_max: int = 262144
    ) -> None:
        self.book = book
        self.rule = SyncRule(rule)
        self.events_max = events_max
        self.levels_max = levels_max
        self.has_rest = rule in (SyncRule.FUTURES, SyncRule.SPOT)
        self.gaps = self.crossed = self.rejected = 0
        self.stale_drops = self.early_drops = self.stale_snapshots = self.overflows = 0
        self.waiting: list[Diff] = []
        self.reset()

    def reset(self) -> None:
        self.book.clear()
        self.waiting = []
        self.state = SyncState.EMPTY
        self.resubscribe_wanted = False
        self._forget_ids()

    def _forget_ids(self) -> None:
        self.last_update_id = -1
        self.edges: tuple[int, int] = (0, 0)
        self.restart_seq = -1
        self.is_fusable = self.rule != SyncRule.BYBIT

    @property
    def is_live(self) -> bool:
        return self.state in (SyncState.ANCHORING, SyncState.SYNCED)

    @property
    def snapshot_wanted(self) -> bool:
        return self.has_rest and not self.is_live

    def is_past_snapshot(self) -> bool:
        bid_edge, ask_edge = self.edges
        bid, ask = self.book.bid_px_ticks, self.book.ask_px_ticks
        return bool((bid and bid < bid_edge) or (ask_edge and ask > ask_edge))

    @property
    def waiting_count(self) -> int:
        return len(self.waiting)

    # -- EVENTS --------------------------------------------------------------------------------

    def on_depth_lists(
        self,
        first: int,
        final: int,
        prev: int,
        bids: Sequence[Row],
        asks: Sequence[Row],
        cross_seq: int = 0,
    ) -> int:
        if self.rule == SyncRule.PARTIAL:
            return self.on_partial_lists(final, bids, asks)
        if self.rule == SyncRule.BYBIT:
            return self._on_delta(final, bids, asks, cross_seq)
        diff = Diff(first, final, prev, list(bids), list(asks))
        if self.snapshot_wanted:
            return self._wait(diff)
        is_chained = self.state == SyncState.SYNCED and self._is_next(diff)
        if not is_chained and self.state == SyncState.SYNCED and (
            first <= final <= self.last_update_id and prev <= final
        ):
            self.stale_drops += 1
            return 0
        if self.state == SyncState.ANCHORING:
            if self._is_stale(diff, self.last_update_id):
                self.stale_drops += 1
                return 0
            is_linked = self._is_anchor(diff, self.last_update_id)
        else:
            is_linked = self._is_next(diff)
        code = self._apply(diff) if is_linked else Code.GAP
        if code == Code.OK:
            return 1
        self._lose(code)
        self._wait(diff)
        return code

    def _on_delta(
        self, final: int, bids: Sequence[Row], asks: Sequence[Row], cross_seq: int
    ) -> int:
        if not self.is_live:
            self.early_drops += 1
            self.resubscribe_wanted = True
            return 0
        if final != self.last_update_id + 1:
            if self._is_repeated(final, cross_seq):
                self.stale_drops += 1
                return 0
            return self._lose(Code.GAP)
        self.is_fusable = cross_seq > 0
        code: int = self.book.apply_depth_lists(final, cross_seq or final, -1, bids, asks)
        if code != Code.OK:
            return self._lose(code)
        self.last_update_id = final
        return 1

    def _is_repeated(self, final: int, cross_seq: int) -> bool:
        """By seq where both messages tell it, else by u."""
        if self.is_fusable and cross_seq > 0:
            return bool(cross_seq <= self.book.depth_update_id)
        return final <= self.last_update_id

    def on_partial_lists(self, final: int, bids: Sequence[Row], asks: Sequence[Row]) -> int:
        if self.rule != SyncRule.PARTIAL:
            return Code.STATE
        if final <= self.last_update_id:
            self.stale_drops += 1
            return 0
        code: int = self.book.apply_snapshot_lists(final, bids, asks)
        if code != Code.OK:
            return self._lose(code)
        self.last_update_id = final
        self.state = SyncState.SYNCED
        return 1

    def _on_stream_snapshot(
        self, final: int, bids: Sequence[Row], asks: Sequence[Row], cross_seq: int
    ) -> int:
        if self.is_live and self.is_fusable and cross_seq > 0:
            is_copy = self._is_repeated(final, cross_seq)
            if cross_seq == self.restart_seq if final == 1 else is_copy:
                self.stale_drops += 1
                return 0
        self.book.clear()
        self.restart_seq = cross_seq if final == 1 else -1
        self.is_fusable = cross_seq > 0
        code: int = self.book.apply_snapshot_lists(cross_seq or final, bids, asks)
        if code != Code.OK:
            return self._lose(code)
        self.resubscribe_wanted = False
        self.last_update_id = final
        self.state = SyncState.SYNCED
        return 1

    def on_snapshot_lists(
        self, final: int, bids: Sequence[Row], asks: Sequence[Row], cross_seq: int = 0
    ) -> int:
        if self.rule == SyncRule.PARTIAL:
            return self.on_partial_lists(final, bids, asks)
        if self.rule == SyncRule.BYBIT:
            return self._on_stream_snapshot(final, bids, asks, cross_seq)
        if not self.snapshot_wanted:
            return Code.STATE
        while self.waiting and self._is_stale(self.waiting[0], final):
            self.waiting.pop(0)
            self.stale_drops += 1
        if self.waiting and not self._is_anchor(self.waiting[0], final):
            self.stale_snapshots += 1
            return Code.STALE
        code = self.book.apply_snapshot_lists(final, bids, asks)
        if code != Code.OK:
            return self._lose(code)
        self.last_update_id = final
        self.state = SyncState.ANCHORING
        self.edges = (
            min((px for px, qty in bids if qty), default=0),
            max((px for px, qty in asks if qty), default=0),
        )
        while self.waiting:
            is_first = self.state == SyncState.ANCHORING
            is_linked = is_first or self._is_next(self.waiting[0])
            code = self._apply(self.waiting[0]) if is_linked else Code.GAP
            if code != Code.OK:
                return self._lose(code)
            self.waiting.pop(0)
        return 1

    def on_best_values(self, update_id: int, *touch: int) -> int:
        if self.state != SyncState.SYNCED or not self.is_fusable:
            return 0
        code = self.book.apply_best_values(update_id, *touch)
        if code == Code.CROSSED:
            return self._lose(code)
        return 1 if code == Code.OK else code

    def check(self) -> None:
        self.book.check()

    # -- RULES ---------------------------------------------------------------------------------

    def _is_stale(self, diff: Diff, last: int) -> bool:
        return diff.final < last if self.rule == SyncRule.FUTURES else diff.final <= last

    def _is_anchor(self, diff: Diff, last: int) -> bool:
        if self.rule == SyncRule.FUTURES:
            return diff.first <= last <= diff.final or diff.prev == last
        return diff.first <= last + 1 <= diff.final

    def _is_next(self, diff: Diff) -> bool:
        if diff.final < self.last_update_id:
            return False
        if self.rule == SyncRule.FUTURES:
            return diff.prev == self.last_update_id
        return self._is_anchor(diff, self.last_update_id)

    def _apply(self, diff: Diff) -> int:
        code: int = self.book.apply_depth_lists(*diff)
        if code == Code.OK:
            self.last_update_id = diff.final
            self.state = SyncState.SYNCED
        return code

    def _lose(self, code: int) -> int:
        if code == Code.GAP:
            self.gaps += 1
        elif code == Code.CROSSED:
            self.crossed += 1
        else:
            self.rejected += 1
        self.book.clear()
        self.state = SyncState.GAP
        self.resubscribe_wanted = self.rule == SyncRule.BYBIT
        self._forget_ids()
        return code

    def _wait(self, diff: Diff) -> int:
        if self.waiting and diff.first <= diff.final <= self.waiting[-1].final:
            self.stale_drops += 1
            return 0
        levels = sum(len(kept.bids) + len(kept.asks) for kept in [*self.waiting, diff])
        is_full = len(self.waiting) == self.events_max or levels > self.levels_max
        if is_full:
            self.overflows += 1
            self.waiting = []
        if len(diff.bids) + len(diff.asks) <= self.levels_max:
            self.waiting.append(diff)
        return Code.FULL if is_full else 0
