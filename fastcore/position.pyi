class Position:
    def book_fill(
        self,
        side: int,
        px_ticks: int,
        qty_lots: int,
        *,
        fee_e8: int = 0,
        fee_asset: int = 0,
        bid_px_ticks: int = 0,
        ask_px_ticks: int = 0,
        now_ns: int = 0,
    ) -> None: ...
    def adopt_position(
        self, position_lots: int, bid_px_ticks: int, ask_px_ticks: int, now_ns: int
    ) -> None: ...
    def unrealised_half(self, mark_half_ticks: int) -> int: ...
    def money(self) -> dict[str, int | float]: ...
