"""Slow, obvious twin of fastcore.stops."""

from __future__ import annotations

NONE, LOSS, TARGET, TIME = 0, 1, 2, 3
BUY, SELL, REDUCE_ONLY_IOC = 0, 1, 2 | 4


class Stops:
    def __init__(self, settings: dict[str, int]) -> None:
        self.settings = settings
        self.trade: tuple[int, bool] | None = None  # entry_ns and side that `reason` is of
        self.reason = NONE
        self.is_exit_open = False
        self.counts = {"loss": 0, "target": 0, "time": 0}

    def due(
        self, position: int, entry_px: float, entry_ns: int, bid: int, ask: int, now_ns: int
    ) -> tuple[int, tuple[int, int, int, int] | None]:
        trade = (entry_ns, position > 0)
        if position == 0:
            self.reason = NONE
            return NONE, None
        if self.trade != trade:
            self.reason = NONE
        px = bid if position > 0 else ask
        if px <= 0:
            return self.reason, None
        if self.reason == NONE:
            gain = px - entry_px if position > 0 else entry_px - px
            self.reason = self._breach(gain, now_ns - entry_ns)
            self.trade = trade
        if self.reason == NONE or self.is_exit_open:
            return self.reason, None
        slippage = self.settings["slippage_ticks"]
        if position > 0:
            return self.reason, (SELL, max(bid - slippage, 1), position, REDUCE_ONLY_IOC)
        return self.reason, (BUY, ask + slippage, -position, REDUCE_ONLY_IOC)

    def _breach(self, gain: float, held_ns: int) -> int:
        stop, target = self.settings["stop_ticks"], self.settings["target_ticks"]
        hold_ms = self.settings["hold_ms_max"]
        if stop and not gain > -stop + 1e-6:
            return LOSS
        if target and gain >= target - 1e-6:
            return TARGET
        if hold_ms and held_ns >= hold_ms * 1_000_000:
            return TIME
        return NONE

    def exit_sent(self) -> None:
        if self.is_exit_open or self.reason == NONE:
            raise ValueError("No exit is due, or one is in flight")
        self.is_exit_open = True
        self.counts[{LOSS: "loss", TARGET: "target", TIME: "time"}[self.reason]] += 1

    def exit_done(self) -> None:
        self.is_exit_open = False

    def to_dict(self) -> dict[str, int]:
        return self.counts
