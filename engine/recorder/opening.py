"""What the next run starts from: how the last one ended, by its own ledger.

`opening_of` brings the ledger up to date first, so it may be asked of a run that was killed. What
a run did not open (it died too early, or did not trade the instrument) is looked for in the run
before it, which the run's `previous_run` event names.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from engine.errors import TickmakerError

OVERLAP_NS = 3_600_000_000_000  # trades this long before the last booked one are named


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order of the run that its journal did not see end."""

    intent_id: int
    client_id: str
    venue_order_id: int  # -1: never told
    side: int
    px_ticks: int
    qty_lots: int
    cum_qty_lots: int


@dataclass(frozen=True, slots=True)
class InstrumentOpening:
    """One instrument. Lots and ticks are those of the run, `lot` and `tick`."""

    key: str
    account: str
    venue: str
    symbol: str
    tick: str
    lot: str
    run_tag: str
    run_dir: Path  # whose end this is
    position_lots: int  # what that run's opening and fills add up to
    last_trade_ts_ns: int  # venue's UTC of the last booked trade of any run; 0: none
    last_trade_id: int  # -1: none
    trade_ids: frozenset[int]  # booked since OVERLAP_NS before that trade, in any run
    open_orders: tuple[OpenOrder, ...]

    def position_in(self, lot: str) -> int:
        """The position in lots of another size: the venue may have changed its filters."""
        lots = self.position_lots * Decimal(self.lot) / Decimal(lot)
        if lots != int(lots):
            raise TickmakerError(
                f"{self.key} ended with {self.position_lots} lots of {self.lot}, which is no "
                f"whole number of the venue's lots of {lot}",
                "bring the position to a whole lot by hand, then remove the account's file in "
                "the state folder: the next run starts from what the venue says",
            )
        return int(lots)


@dataclass(frozen=True, slots=True)
class Opening:
    """The end of a run, by InstrumentConfig.key. A key that no run has traded is absent."""

    run_dir: Path
    run_tag: str  # "": it died before its first record
    ended_in_order: bool
    instruments: Mapping[str, InstrumentOpening] = field(default_factory=dict)


def opening_of(run_dir: Path, keys: Collection[str] = ()) -> Opening:
    """How `run_dir` ended. `keys`: instruments wanted beside those of that run itself.

    TickmakerError says what to do when the journal is damaged, is still being written, or was
    tidied away while the ledger is gone.
    """
    raise NotImplementedError
