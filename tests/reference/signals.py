"""Slow, obvious twin of fastcore.signals: the formulas one by one, in the same order of operations
so that the doubles are identical."""

from __future__ import annotations

import math

OFI, QUEUE_IMBALANCE, MICROPRICE, EWMA_Z = 1, 2, 4, 8
NAMES = ("mid_ticks", "microprice_ticks", "queue_imbalance", "ofi", "ofi_norm",
         "ewma_mean_ticks", "ewma_z", "spread_ticks")  # fmt: skip


class Signals:
    def __init__(self, mask: int, ofi_tau_ns: float, z_tau_ns: float) -> None:
        self.mask = mask
        self.ofi_tau_ns = ofi_tau_ns
        self.z_tau_ns = z_tau_ns
        self.reset()

    def reset(self) -> None:
        self.touch: tuple[int, int, int, int] | None = None
        self.values = dict.fromkeys(NAMES, 0.0)
        self.variance = 0.0

    @property
    def is_valid(self) -> bool:
        return self.touch is not None

    def to_dict(self) -> dict[str, float]:
        return dict(self.values)

    def on_touch(self, bid: int, bid_qty: int, ask: int, ask_qty: int, now_ns: int) -> None:
        if min(bid, bid_qty, ask_qty) <= 0 or bid >= ask:
            self.reset()
            return
        if self.touch is None:
            self.first_ns = self.last_ns = now_ns
        dt_ns = float(max(now_ns - self.last_ns, 0))
        new = self.values
        new["mid_ticks"] = 0.5 * (bid + ask)
        new["spread_ticks"] = float(ask - bid)
        if self.mask & QUEUE_IMBALANCE:
            new["queue_imbalance"] = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        if self.mask & MICROPRICE:
            new["microprice_ticks"] = bid + (ask - bid) * (bid_qty / (bid_qty + ask_qty))
        if self.mask & OFI:
            self._ofi((bid, bid_qty, ask, ask_qty), dt_ns)
        if self.mask & EWMA_Z:
            x = new["microprice_ticks"] if self.mask & MICROPRICE else new["mid_ticks"]
            self._z(x, dt_ns, now_ns)
        self.touch = (bid, bid_qty, ask, ask_qty)
        self.last_ns = max(now_ns, self.last_ns)

    def _ofi(self, touch: tuple[int, int, int, int], dt_ns: float) -> None:
        bid, bid_qty, ask, ask_qty = touch
        if self.touch is None:
            self.depth = 0.5 * (bid_qty + ask_qty)
            return
        old_bid, old_bid_qty, old_ask, old_ask_qty = self.touch
        flow = (
            bid_qty * (bid >= old_bid)
            - old_bid_qty * (bid <= old_bid)
            - ask_qty * (ask <= old_ask)
            + old_ask_qty * (ask >= old_ask)
        )
        alpha = -math.expm1(-dt_ns / self.ofi_tau_ns)
        self.depth += alpha * (0.5 * (old_bid_qty + old_ask_qty) - self.depth)
        ofi = self.values["ofi"] * math.exp(-dt_ns / self.ofi_tau_ns) + flow
        self.values["ofi"] = ofi
        self.values["ofi_norm"] = max(-3.0, min(3.0, ofi / self.depth))

    def _z(self, x: float, dt_ns: float, now_ns: int) -> None:
        if self.touch is None:
            self.values["ewma_mean_ticks"] = x
            return
        mean = self.values["ewma_mean_ticks"]
        is_warm = now_ns - self.first_ns >= 3 * self.z_tau_ns and self.variance > 1e-12
        self.values["ewma_z"] = (x - mean) / math.sqrt(self.variance) if is_warm else 0.0
        alpha = -math.expm1(-dt_ns / self.z_tau_ns)
        self.values["ewma_mean_ticks"] = mean + alpha * (x - mean)
        self.variance = (1.0 - alpha) * (self.variance + alpha * (x - mean) * (x - mean))
