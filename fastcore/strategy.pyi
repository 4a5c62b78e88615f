BUILTINS: dict[str, tuple[tuple[tuple[str, float], ...], int, int]]

def builtin_params(name: str, params: dict[str, float]) -> list[float]: ...
def spread_quotes(
    microprice_ticks: float,
    ofi_norm: float,
    position_lots: int,
    params: list[float],
    best_bid_px_ticks: int,
    best_ask_px_ticks: int,
) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]: ...
