"""Exact profit and loss of a run, from its fills and one mid price.

Everything is integers until the last step: cash in ticks x lots, spread capture in half ticks x
lots (a mid lies between two ticks), fees in 1e-8 of their asset. Then one exact multiplication by
tick size and lot size gives quote currency as Decimal.

    spread     sum over fills of side * (mid at the fill - price) * quantity
    inventory  sum over fills of side * (mid at the end - mid at the fill) * quantity
    fees       what was paid in the quote asset, as a negative number; what was paid in another
               asset has no price here, and is told beside the P&L, never in it
    total      cash + position * mid at the end - what was paid = spread + inventory + fees
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal

from fastcore.types import FeeAsset, FillOwner, Side

_EXACT = Context(prec=60)  # digits; a run's ticks x lots x 1e-8 need about 40


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill of the ledger; mid_half_ticks is bid + ask of that moment, in ticks."""

    seq: int
    ts_ns: int
    side: int
    px_ticks: int
    qty_lots: int
    fee_e8: int
    twice_mid_ticks: int
    position_after_lots: int
    fee_asset: int = FeeAsset.QUOTE
    owner: int = FillOwner.RUN

    @property
    def sign(self) -> int:
        return 1 if self.side == Side.BUY else -1


@dataclass(frozen=True, slots=True)
class Books:
    """Running sums, named as in the core's SAMPLE record."""

    position_lots: int = 0
    cash_ticks_lots: int = 0
    fees_e8: int = 0
    spread_half_ticks_lots: int = 0
    fills: int = 0


@dataclass(frozen=True, slots=True)
class Pnl:
    """Quote currency, exact: total = spread + fees + inventory."""

    total: Decimal
    spread: Decimal
    fees: Decimal
    inventory: Decimal


def sum_fills(fills: Iterable[Fill], opening: Books) -> Books:
    """`opening` plus the fills."""
    position, cash = opening.position_lots, opening.cash_ticks_lots
    fees_e8, spread_half, count = opening.fees_e8, opening.spread_half_ticks_lots, opening.fills
    for fill in fills:
        position += fill.sign * fill.qty_lots
        cash -= fill.sign * fill.px_ticks * fill.qty_lots
        fees_e8 += fill.fee_e8 if fill.fee_asset == FeeAsset.QUOTE else 0
        spread_half += fill.sign * (fill.twice_mid_ticks - 2 * fill.px_ticks) * fill.qty_lots
        count += 1
    return Books(position, cash, fees_e8, spread_half, count)


def fees_by_asset(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """What was paid in each asset, "quote", "base" or "other"; none where nothing was."""
    paid: dict[str, Decimal] = {}
    for fill in fills:
        if fill.fee_e8:
            name = FeeAsset(fill.fee_asset).name.lower()
            paid[name] = paid.get(name, Decimal(0)) + Decimal(fill.fee_e8).scaleb(-8, _EXACT)
    return paid


def value(books: Books, twice_mid_ticks: int | None, unit: Decimal) -> Pnl | None:
    """P&L of `books` at a mid; None where a position stands and there is no mid to value it at.

    `unit` is tick size x lot size, in quote currency.
    """
    if twice_mid_ticks is None:
        if books.position_lots:
            return None
        twice_mid_ticks = 0
    gross_half = 2 * books.cash_ticks_lots + books.position_lots * twice_mid_ticks
    inventory_half = gross_half - books.spread_half_ticks_lots
    half_unit = _EXACT.divide(unit, Decimal(2))
    spread = _EXACT.multiply(Decimal(books.spread_half_ticks_lots), half_unit)
    inventory = _EXACT.multiply(Decimal(inventory_half), half_unit)
    fees = Decimal(-books.fees_e8).scaleb(-8, _EXACT)
    total = _EXACT.add(_EXACT.multiply(Decimal(gross_half), half_unit), fees)
    assert total == _EXACT.add(_EXACT.add(spread, inventory), fees)
    return Pnl(total, spread, fees, inventory)
