"""What really happened: an append-only log of orders and fills, for checkers to compare with.

Only the core writes it. Nothing here passes through the venue's protocol.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.exchange.book import Side
from engine.exchange.events import Exec, Expiry, Status


class OrderRecord(NamedTuple):
    """One change of one user's order, fills included."""

    t_ns: int
    account: int
    symbol: str
    order_id: int
    client_order_id: str
    side: Side
    px_ticks: int
    qty_lots: int
    exec_type: Exec
    status: Status
    cum_lots: int
    expiry: Expiry


class FillRecord(NamedTuple):
    """One fill of one user's order; fee is a cost in 1e-8 quote units."""

    t_ns: int
    account: int
    symbol: str
    trade_id: int
    order_id: int
    side: Side
    px_ticks: int
    qty_lots: int
    is_maker: bool
    fee_e8: int
    realized_e8: int


@dataclass
class Truth:
    orders: list[OrderRecord] = field(default_factory=list)
    fills: list[FillRecord] = field(default_factory=list)

    def fills_of(self, account: int, symbol: str) -> list[FillRecord]:
        return [f for f in self.fills if f.account == account and f.symbol == symbol]
