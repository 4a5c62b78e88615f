"""Words of an order book. The agents' market's own is compiled: fastcore/limit_book.pyx."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Side(IntEnum):
    """BUY is also the bid side, SELL the ask side."""

    BUY = 0
    SELL = 1

    @property
    def sign(self) -> int:
        return 1 - 2 * self.value

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


BACKGROUND = -1  # account index of the market's own agents


@dataclass(slots=True, eq=False)
class BookOrder:
    """What the matching engine knows of an order. px_ticks 0: at any price."""

    order_id: int
    side: Side
    px_ticks: int
    leaves_lots: int
    account: int = BACKGROUND


class Change(NamedTuple):
    """A level's new total; 0: the level is gone."""

    side: Side
    px_ticks: int
    qty_lots: int


Quote = tuple[int, int]  # px_ticks, qty_lots
Touch = tuple[int, int, int, int]  # bid px, bid qty, ask px, ask qty; px 0: side empty
