"""Several runs of an account as one: every execution once, whichever run booked it.

A fill that an earlier run had not seen is booked by a later one (`owner` says so), and a run that
was killed between booking and its next start may be asked again: the venue's trade id decides.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path

from engine.errors import TickmakerError
from engine.recorder.follow import LEDGER_FILE
from fastcore.types import FeeAsset, Side

_EXACT = Context(prec=60)
_FILLS = """SELECT exch_ts_ns, account, venue, symbol, trade_id, venue_order_id, client_id,
    fills.side AS side, v_fills.px AS px, v_fills.qty AS qty, fee_e8,
    fills.fee_asset AS fee_asset, fee_asset_name,
    fills.is_maker AS is_maker, owner_word, via_word
FROM fills JOIN (
    SELECT seq, account, venue, symbol, client_id, px, qty, fee_asset_name, owner AS owner_word,
        via AS via_word FROM v_fills
) AS v_fills USING (seq)"""
_ENDS = """SELECT account, venue, symbol, lot,
    (SELECT position_lots FROM openings WHERE openings.core = instruments.core
     ORDER BY seq DESC LIMIT 1) AS opening_lots
FROM instruments"""


@dataclass(frozen=True, slots=True)
class HistoryFill:
    """One execution, in decimals: runs may have had different ticks and lots."""

    run_dir: Path  # that booked it first
    exch_ts_ns: int
    account: str
    venue: str
    symbol: str
    trade_id: int
    venue_order_id: int
    client_id: str  # "" unless of the run that booked it
    side: int
    px: Decimal
    qty: Decimal
    fee: Decimal
    fee_asset: str
    is_base_fee: bool
    is_maker: bool
    owner: str
    via: str


@dataclass(frozen=True, slots=True)
class History:
    """What an account did over its runs. `openings`: (venue, symbol) → what it held before the
    first of them that traded it."""

    fills: list[HistoryFill]
    openings: dict[tuple[str, str], Decimal]

    def positions(self) -> dict[tuple[str, str], Decimal]:
        """Opening and every fill, added up: what the venue should say."""
        total = dict(self.openings)
        for fill in self.fills:
            key = (fill.venue, fill.symbol)
            change = fill.qty if fill.side == Side.BUY else -fill.qty
            total[key] = _EXACT.add(total.get(key, Decimal(0)), change)
        return total

    def held(self) -> dict[tuple[str, str], Decimal]:
        """`positions` less the fees paid in the base asset: what spot balances hold."""
        total = self.positions()
        for fill in self.fills:
            if fill.is_base_fee:
                key = (fill.venue, fill.symbol)
                total[key] = _EXACT.subtract(total[key], fill.fee)
        return total

    def fees(self) -> dict[str, Decimal]:
        """What was paid, by asset."""
        total: dict[str, Decimal] = {}
        for fill in self.fills:
            total[fill.fee_asset] = _EXACT.add(total.get(fill.fee_asset, Decimal(0)), fill.fee)
        return total


def account_history(run_dirs: Iterable[Path], account: str | None = None) -> History:
    """The runs' ledgers, given oldest first, as one; by trade id, each execution once.

    Give runs whose ledgers are up to date (`tickmaker report`, `opening_of` see to it).
    """
    fills: dict[tuple[str, str, str, int, int], HistoryFill] = {}
    openings: dict[tuple[str, str, str], Decimal] = {}
    for run_dir in run_dirs:
        with _ledger(run_dir) as database:
            for row in database.execute(_ENDS):
                if account in (None, row["account"]) and row["opening_lots"] is not None:
                    held = _EXACT.multiply(Decimal(row["opening_lots"]), Decimal(row["lot"]))
                    key = (row["account"], row["venue"], row["symbol"])
                    openings.setdefault(key, held)
            for fill in _fills(run_dir, database):
                if account in (None, fill.account):
                    # The first to book it knows its client id; a later one repeats the trade.
                    # Both sides of one trade may be ours.
                    trade = (fill.account, fill.venue, fill.symbol, fill.trade_id, fill.side)
                    fills.setdefault(trade, fill)
    ordered = sorted(fills.values(), key=lambda one: (one.exch_ts_ns, one.symbol, one.trade_id))
    return History(ordered, {key[1:]: held for key, held in openings.items()})


def _fills(run_dir: Path, database: sqlite3.Connection) -> Iterator[HistoryFill]:
    for row in database.execute(_FILLS):
        yield HistoryFill(
            run_dir, row["exch_ts_ns"], row["account"], row["venue"], row["symbol"],
            row["trade_id"], row["venue_order_id"], row["client_id"], row["side"],
            Decimal(row["px"]), Decimal(row["qty"]), Decimal(row["fee_e8"]).scaleb(-8, _EXACT),
            row["fee_asset_name"], row["fee_asset"] == FeeAsset.BASE, bool(row["is_maker"]),
            row["owner_word"], row["via_word"],
        )  # fmt: skip


@contextmanager
def _ledger(run_dir: Path) -> Iterator[sqlite3.Connection]:
    """A run's ledger, read-only."""
    path = run_dir / LEDGER_FILE
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            database.row_factory = sqlite3.Row
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise TickmakerError(
            f"cannot read the ledger {path}: {error}",
            "`tickmaker report RUN` makes it from the run's journals",
        ) from error
