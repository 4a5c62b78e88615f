"""O(1) signals on the touch; see signals.pyx. `mask` is the sum of the values in SIGNALS."""

SIGNALS: dict[str, int]

class Signals:
    def __init__(self, mask: int, ofi_tau_ns: float, z_tau_ns: float) -> None: ...
    @property
    def mask(self) -> int: ...
    @property
    def is_valid(self) -> bool: ...
    def on_touch(
        self,
        bid_px_ticks: int,
        bid_qty_lots: int,
        ask_px_ticks: int,
        ask_qty_lots: int,
        now_ns: int,
    ) -> None: ...
    def reset(self) -> None: ...
    def to_dict(self) -> dict[str, float]: ...
