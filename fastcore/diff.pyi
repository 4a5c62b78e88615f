from fastcore.orders import Orders

SETTINGS: tuple[str, ...]

class Diff:
    def __init__(self, quoting: dict[str, int | bool], orders: Orders) -> None: ...
    def wanted(
        self,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        is_halted: bool,
        bid_px_ticks: int,
        ask_px_ticks: int,
        now_ns: int,
    ) -> list[dict[str, int]]: ...
    def take(
        self, side: int, px_ticks: int, qty_lots: int, flags: int, reason: int, now_ns: int
    ) -> bool: ...
    def queries(self, now_ns: int) -> list[int]: ...
    def sent(self, now_ns: int) -> None: ...
    def let_modify(self, can_modify: bool) -> None: ...
