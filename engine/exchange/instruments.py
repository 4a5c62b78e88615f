"""Instruments: decimal text at the edge, integer ticks and lots inside.

The catalogue holds what the agent market can trade; a tape brings its own instrument.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

DECIMAL_TEXT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
E8 = 100_000_000


class OffGridError(ValueError):
    """The number has more decimals than the instrument shows."""


class OffStepError(ValueError):
    """The number is not a multiple of the tick or the lot."""


@dataclass(frozen=True)
class Grid:
    """Decimal text of one quantity kind: value = units x step, shown with fixed decimals."""

    step: Decimal
    decimals: int

    @cached_property
    def _step_units(self) -> int:
        return int(self.step.scaleb(self.decimals))

    @cached_property
    def _unit_scale(self) -> int:
        return int(10**self.decimals)

    def text(self, units: int) -> str:
        """`units` steps as the venue writes them; negative values keep their sign."""
        if units < 0:
            return "-" + self.text(-units)
        whole, part = divmod(units * self._step_units, self._unit_scale)
        return f"{whole}.{part:0{self.decimals}d}" if self.decimals else str(whole)

    def mean_text(self, cost: int, count: int) -> str:
        """cost / count units with five decimals, cut off; zero when count is zero."""
        if not count:
            return "0.0"
        mean_e5 = abs(cost) * self._step_units * 100_000 // (abs(count) * self._unit_scale)
        return f"{mean_e5 // 100_000}.{mean_e5 % 100_000:05d}"

    def recorded_units(self, text: str) -> int:
        """`units` for text that a venue wrote: fast when it has exactly our decimals."""
        whole, _, part = text.partition(".")
        if len(part) == self.decimals and text.isascii() and (whole + part).isdigit():
            units, rest = divmod(int(whole + part), self._step_units)
            if not rest:
                return units
        return self.units(text)

    def units(self, text: str) -> int:
        """Steps in `text`. ValueError: not a decimal; OffGridError, OffStepError: not ours."""
        if not DECIMAL_TEXT.fullmatch(text):
            raise ValueError("not a plain decimal")
        scaled = Decimal(text).scaleb(self.decimals)
        if scaled != int(scaled):
            raise OffGridError("too many decimals")
        units, rest = divmod(int(scaled), self._step_units)
        if rest:
            raise OffStepError("not a multiple of the step")
        return units


@dataclass(frozen=True)
class Instrument:
    """One linear perpetual. Money is exact in 1e-8 of the quote asset."""

    symbol: str
    base: str
    quote: str
    px: Grid
    qty: Grid
    min_notional: int = 5  # quote units
    qty_lots_max: int = 1_000_000
    px_ticks_max: int = 45_294_840

    @cached_property
    def notional_e8(self) -> int:
        """1e-8 quote units in one tick x one lot."""
        exact = self.px.step * self.qty.step * E8
        if exact != int(exact) or exact < 1:
            raise ValueError(f"{self.symbol}: tick x lot is finer than 1e-8 {self.quote}")
        return int(exact)


@dataclass(frozen=True)
class Listing:
    """An instrument of the agent market and where its price starts."""

    instrument: Instrument
    start_px_ticks: int


def _listing(base: str, tick: str, px_decimals: int, lot: str, start_px: int) -> Listing:
    lot_step = Decimal(lot)
    qty_decimals = max(0, -int(lot_step.normalize().as_tuple().exponent))
    px, qty = Grid(Decimal(tick), px_decimals), Grid(lot_step, qty_decimals)
    instrument = Instrument(f"{base}USDT", base, "USDT", px, qty)
    return Listing(instrument, int(Decimal(start_px) / Decimal(tick)))


CATALOGUE = {
    listing.instrument.symbol: listing
    for listing in (
        _listing("BTC", "0.10", 2, "0.001", 60_000),
        _listing("ETH", "0.01", 2, "0.001", 3_000),
        _listing("SOL", "0.0100", 4, "1", 150),
    )
}


def e8_text(amount_e8: int) -> str:
    """1e-8 units as decimal text with eight decimals."""
    if amount_e8 < 0:
        return "-" + e8_text(-amount_e8)
    return f"{amount_e8 // E8}.{amount_e8 % E8:08d}"
