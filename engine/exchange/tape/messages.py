"""What a recording holds, message by message, in the core's units."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.exchange.book import Quote, Side, Touch
from engine.exchange.events import TapeFrame
from engine.exchange.instruments import Instrument
from fastcore.types import SyncRule


@dataclass(slots=True)
class DepthMessage:
    """A diff, or a whole book: from REST (`frame` None), or of the stream itself (Bybit).

    `fuse_id` compares with the best-price stream's; 0: nothing does.
    """

    recv_ts_ns: int
    frame: TapeFrame | None
    is_snapshot: bool
    first_id: int
    final_id: int
    prev_final_id: int  # -1: the venue names none
    fuse_id: int
    bids: list[Quote]
    asks: list[Quote]


@dataclass(slots=True)
class BestMessage:
    recv_ts_ns: int
    frame: TapeFrame
    update_id: int
    touch: Touch


class Print(NamedTuple):
    """One recorded trade; `is_market`: it was made on the book."""

    px_ticks: int
    qty_lots: int
    aggressor: Side
    is_market: bool
    trade_id: int


@dataclass(slots=True)
class TradeMessage:
    recv_ts_ns: int
    frame: TapeFrame
    prints: list[Print]


@dataclass(slots=True)
class OtherMessage:
    """Passed on, not understood."""

    recv_ts_ns: int
    frame: TapeFrame


Message = DepthMessage | BestMessage | TradeMessage | OtherMessage


@dataclass
class Recording:
    """Messages of one symbol; `messages` can be walked once."""

    instrument: Instrument
    rule: SyncRule
    messages: Iterator[Message]
    streams: tuple[str, ...]  # as its frames name them
    notices: list[str] = field(default_factory=list)
