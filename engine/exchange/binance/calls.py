"""One request on its way through a face: who asks, what for, what it costs, who handles it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.exchange.binance.auth import Security
from engine.exchange.binance.conns import Conn
from engine.exchange.binance.params import Params
from engine.exchange.events import Output
from engine.exchange.keys import Key

MS = 1_000_000


@dataclass(slots=True)
class Call:
    """`t_ns`: the core's time; `now_ns`: the venue's, which may be skewed. `out` takes what the
    core did, for the streams. `conn` is None for REST; `key` is None for public calls."""

    params: Params
    key: Key | None
    ip: str
    t_ns: int
    now_ns: int
    conn: Conn | None = None
    out: list[Output] = field(default_factory=list)
    unit_ns: int = MS  # of times in the answer; spot clients may ask for microseconds

    @property
    def account(self) -> int:
        """Index of the account; -1 of the management key, which owns nothing."""
        assert self.key is not None
        return self.key.account


Handler = Callable[[Call], str]  # JSON of the result; raises VenueError
Cost = int | Callable[[Params], int]


class Route(NamedTuple):
    """`weight` on the address, `orders` on the account. `is_free_if_done`: only a request that
    fails costs weight (spot orders, since 2026-04)."""

    handler: Handler
    security: Security = Security.NONE
    weight: Cost = 1
    orders: int | tuple[int, ...] | Callable[[Params], int] = 0  # a tuple: one a window
    is_free_if_done: bool = False


def cost_of(cost: Cost, params: Params) -> int:
    return cost if isinstance(cost, int) else cost(params)


def orders_of(route: Route, params: Params) -> int | tuple[int, ...]:
    return route.orders(params) if callable(route.orders) else route.orders
