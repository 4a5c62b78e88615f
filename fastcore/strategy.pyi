from typing import Any, NamedTuple

from fastcore.strategy_table import BUILTINS as BUILTINS
from fastcore.strategy_table import Builtin as Builtin
from fastcore.strategy_table import Param as Param

class Quotes(NamedTuple):
    code: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    take: tuple[int, int, int, int] | None
    hedge: tuple[int, int, int, int] | None
    check: int

def builtin_params(name: str, params: dict[str, float]) -> list[float]: ...
def avellaneda_stoikov_quotes(
    mid: float, inventory: float, gamma: float, sigma: float, kappa: float, time_left: float
) -> tuple[float, float, float]: ...
def glft_quotes(
    mid: float,
    inventory: float,
    gamma: float,
    sigma: float,
    kappa: float,
    intensity: float,
    order_qty: float,
) -> tuple[float, float, float]: ...
def quotes_of(
    name: str, view: dict[str, Any], params: dict[str, float], state: list[float] | None = None
) -> Quotes: ...
def repeat_calls(name: str, view: dict[str, Any], params: dict[str, float], count: int) -> int: ...
def target_code(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    take: tuple[int, ...] = (0, 0, 0),
    hedge: tuple[int, ...] = (0, 0, 0),
) -> int: ...
