"""Slow, obvious twin of fastcore.book: two sorted dictionaries and the last bookTicker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from sortedcontainers import SortedDict

from fastcore.types import Code, Side

Row = tuple[int, int]
LEVELS_PER_MESSAGE_MAX = 16384
PX_TICKS_MAX = 1 << 53


class Book:
    def __init__(self, window_ticks: int = 32768, levels_max: int = 65536) -> None:
        self.levels_max = levels_max
        self.clear()

    def clear(self) -> None:
        self.sides = {Side.BUY: SortedDict(lambda px: -px), Side.SELL: SortedDict()}
        self.ticker: dict[Side, Row] = {}
        self.depth_update_id = self.best_update_id = -1

    # -- EVENTS --------------------------------------------------------------------------------

    def apply_snapshot_lists(
        self, final_update_id: int, bids: Sequence[Row], asks: Sequence[Row]
    ) -> int:
        code = self._verdict(final_update_id, bids, asks, is_snapshot=True)
        if code != Code.OK:
            return code
        for side, rows in ((Side.BUY, bids), (Side.SELL, asks)):
            self.sides[side].clear()
            self._apply(side, list(reversed(rows)))
        self.depth_update_id = final_update_id
        return self._crossed_or_ok()

    def apply_depth_lists(
        self, first: int, final: int, prev: int, bids: Sequence[Row], asks: Sequence[Row]
    ) -> int:
        code = self._verdict(final, bids, asks, is_snapshot=False)
        if code != Code.OK:
            return code
        self._apply(Side.BUY, bids)
        self._apply(Side.SELL, asks)
        self.depth_update_id = final
        return self._crossed_or_ok()

    def apply_best_values(
        self, update_id: int, bid_px: int, bid_qty: int, ask_px: int, ask_qty: int
    ) -> int:
        if update_id <= max(self.depth_update_id, self.best_update_id):
            return Code.STALE
        if min(bid_px, bid_qty, ask_px, ask_qty) < 1 or max(bid_px, ask_px) > PX_TICKS_MAX:
            return Code.RANGE
        self.ticker = {Side.BUY: (bid_px, bid_qty), Side.SELL: (ask_px, ask_qty)}
        self.best_update_id = update_id
        return self._crossed_or_ok()

    def _apply(self, side: Side, rows: Sequence[Row]) -> None:
        for px, qty in rows:
            if qty:
                self.sides[side][px] = qty
            else:
                self.sides[side].pop(px, None)

    def _verdict(
        self, update_id: int, bids: Sequence[Row], asks: Sequence[Row], *, is_snapshot: bool
    ) -> int:
        if update_id < 0:
            return Code.RANGE
        if max(len(bids), len(asks)) > LEVELS_PER_MESSAGE_MAX:
            return Code.FULL
        if any(not 1 <= px <= PX_TICKS_MAX or qty < 0 for px, qty in [*bids, *asks]):
            return Code.RANGE
        for side, rows in ((Side.BUY, bids), (Side.SELL, asks)):
            held = self.sides[side]
            added = [px for px, qty in rows if qty and px not in held]
            if (len(rows) if is_snapshot else len(held) + len(added)) > self.levels_max:
                return Code.FULL
        return Code.OK

    # -- QUERIES -------------------------------------------------------------------------------

    @property
    def is_overlaid(self) -> bool:
        return self.best_update_id > self.depth_update_id

    @property
    def update_id(self) -> int:
        return max(self.depth_update_id, self.best_update_id)

    def level_list(self, side: int, count: int = 1 << 30) -> list[Row]:
        return list(islice(self._fused(Side(side)), max(count, 0)))

    def _fused(self, side: Side) -> Iterator[Row]:
        if not self.is_overlaid:
            yield from self.sides[side].items()
            return
        touch = self.ticker[side]
        yield touch
        for px, qty in self.sides[side].items():
            if self._is_worse(side, px, touch[0]):
                yield px, qty

    def level_list_net(self, side: int, count: int, own: Sequence[Row]) -> list[Row]:
        if any(qty < 0 for _, qty in own):
            raise ValueError(f"own quantities must be 0 or more, were {own}")
        rest = (
            (px, qty - sum(mine for at, mine in own if at == px))
            for px, qty in self._fused(Side(side))
        )
        return list(islice(((px, qty) for px, qty in rest if qty > 0), max(count, 0)))

    def qty_at(self, side: int, px_ticks: int) -> int:
        return next((qty for px, qty in self._fused(Side(side)) if px == px_ticks), 0)

    def level_count(self, side: int) -> int:
        return len(self.sides[Side(side)])

    def depth_touch_values(self) -> tuple[int, int, int, int, int]:
        bid = next(iter(self.sides[Side.BUY].items()), (0, 0))
        ask = next(iter(self.sides[Side.SELL].items()), (0, 0))
        code = Code.OK
        if not bid[0] or not ask[0]:
            code = Code.STATE
        elif bid[0] >= ask[0]:
            code = Code.CROSSED
        return (code, *bid, *ask)

    @property
    def bid_px_ticks(self) -> int:
        return self._touch(Side.BUY)[0]

    @property
    def bid_qty_lots(self) -> int:
        return self._touch(Side.BUY)[1]

    @property
    def ask_px_ticks(self) -> int:
        return self._touch(Side.SELL)[0]

    @property
    def ask_qty_lots(self) -> int:
        return self._touch(Side.SELL)[1]

    @property
    def is_crossed(self) -> bool:
        is_touch_crossed = bool(self.bid_px_ticks and 0 < self.ask_px_ticks <= self.bid_px_ticks)
        return is_touch_crossed or self.depth_touch_values()[0] == Code.CROSSED

    @property
    def is_two_sided(self) -> bool:
        return bool(self.bid_px_ticks and self.ask_px_ticks and not self.is_crossed)

    def check(self) -> None:
        for held in self.sides.values():
            held._check()

    def _touch(self, side: Side) -> Row:
        return next(iter(self.level_list(side, 1)), (0, 0))

    def _crossed_or_ok(self) -> int:
        return Code.CROSSED if self.is_crossed else Code.OK

    @staticmethod
    def _is_worse(side: int, px: int, than: int) -> bool:
        return px < than if side == Side.BUY else px > than
