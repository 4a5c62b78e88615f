"""Instruments: decimal text at the edge, integer ticks and lots inside.

The catalogue holds what the agent market can trade, and `synthetic` as many more as a load wants;
a tape brings its own instrument.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
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

    @cached_property
    def _shape(self) -> str:
        return f"%d.%0{self.decimals}d"

    def text(self, units: int) -> str:
        """`units` steps as the venue writes them; negative values keep their sign."""
        if units < 0:
            return "-" + self.text(-units)
        whole, part = divmod(units * self._step_units, self._unit_scale)
        return self._shape % (whole, part) if self.decimals else str(whole)

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


class Kind(Enum):
    LINEAR = "linear"  # perpetual, settled in its quote asset
    SPOT = "spot"


@dataclass(frozen=True)
class Instrument:
    """What is traded. Money is exact in 1e-8 of an asset. `key` is its name inside the core:
    the symbol, unless a venue uses one symbol for several products."""

    symbol: str
    base: str
    quote: str
    px: Grid
    qty: Grid
    min_notional: int = 5  # quote units
    qty_lots_max: int = 1_000_000
    px_ticks_max: int = 45_294_840
    qty_lots_min: int = 1
    kind: Kind = Kind.LINEAR
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.symbol)

    @cached_property
    def notional_e8(self) -> int:
        """1e-8 quote units in one tick x one lot."""
        return self._exact_e8(self.px.step * self.qty.step, f"tick x lot in {self.quote}")

    @cached_property
    def lot_e8(self) -> int:
        """1e-8 base units in one lot."""
        return self._exact_e8(self.qty.step, f"lot in {self.base}")

    def _exact_e8(self, value: Decimal, what: str) -> int:
        exact = value * E8
        if exact != int(exact) or exact < 1:
            raise ValueError(f"{self.symbol}: {what} is finer than 1e-8")
        return int(exact)

    def with_finer_tick(self, factor: int) -> "Instrument":
        step = self.px.step / factor
        decimals = max(self.px.decimals, -int(step.normalize().as_tuple().exponent))
        ticks_max = self.px_ticks_max * factor
        return replace(self, px=Grid(step, decimals), px_ticks_max=ticks_max)


@dataclass(frozen=True)
class Listing:
    """An instrument of the agent market and where its price starts."""

    instrument: Instrument
    start_px_ticks: int


def _decimals(step: str) -> int:
    return max(0, -int(Decimal(step).normalize().as_tuple().exponent))


def _linear(base: str, tick: str, px_decimals: int, lot: str, start_px: int) -> Listing:
    px, qty = Grid(Decimal(tick), px_decimals), Grid(Decimal(lot), _decimals(lot))
    instrument = Instrument(f"{base}USDT", base, "USDT", px, qty)
    return Listing(instrument, int(Decimal(start_px) / Decimal(tick)))


def _spot(
    base: str, tick: str, lot: str, start_px: int, shown: tuple[int, int], key: str = ""
) -> Listing:
    """`shown`: decimals of prices and quantities; Binance shows eight of each."""
    px, qty = Grid(Decimal(tick), shown[0]), Grid(Decimal(lot), shown[1])
    lots_max = int(Decimal(9_000) / Decimal(lot))
    ticks_max = int(Decimal(1_000_000) / Decimal(tick))
    instrument = Instrument(
        f"{base}USDT", base, "USDT", px, qty,
        qty_lots_max=lots_max, px_ticks_max=ticks_max, kind=Kind.SPOT, key=key,
    )  # fmt: skip
    return Listing(instrument, int(Decimal(start_px) / Decimal(tick)))


def _bybit_linear(base: str, tick: str, lot: str, start_px: int) -> Listing:
    """Prices are shown with the decimals that the tick is written with."""
    listing = _linear(base, tick, len(tick.partition(".")[2]), lot, start_px)
    instrument = replace(listing.instrument, key=f"linear/{base}USDT")
    return replace(listing, instrument=instrument)


def _by_key(*listings: Listing) -> dict[str, Listing]:
    return {listing.instrument.key: listing for listing in listings}


# Ticks and lots: each venue's own, as recorded in its instrument information.
CATALOGUES = {
    "binance_usdm": _by_key(
        _linear("BTC", "0.10", 2, "0.001", 60_000),
        _linear("ETH", "0.01", 2, "0.001", 3_000),
        _linear("SOL", "0.0100", 4, "1", 150),
    ),
    "binance_spot": _by_key(
        _spot("BTC", "0.01", "0.00001", 60_000, (8, 8)),
        _spot("ETH", "0.01", "0.0001", 3_000, (8, 8)),
        _spot("SOL", "0.01", "0.001", 150, (8, 8)),
    ),
    "bybit": _by_key(
        _bybit_linear("BTC", "0.10", "0.001", 60_000),
        _bybit_linear("ETH", "0.01", "0.01", 3_000),
        _bybit_linear("SOL", "0.010", "0.1", 150),
        _spot("BTC", "0.1", "0.000001", 60_000, (1, 6), "spot/BTCUSDT"),
        _spot("ETH", "0.01", "0.00001", 3_000, (2, 5), "spot/ETHUSDT"),
        _spot("SOL", "0.01", "0.0001", 150, (2, 4), "spot/SOLUSDT"),
    ),
}
CATALOGUE = CATALOGUES["binance_usdm"]


def catalogue(venue: str) -> dict[str, Listing]:
    """What the agents of a venue can trade, by key."""
    return CATALOGUES[venue]


SYNTHETIC_MAX = 1_000
SYNTHETIC_SYMBOL = re.compile(r"SYM[0-9]{3}USDT", re.ASCII)


def synthetic(venue: str, count: int) -> dict[str, Listing]:
    """SYM000USDT, SYM001USDT, ... by key: grids and price of the venue's (linear) ETHUSDT."""
    if not 0 <= count <= SYNTHETIC_MAX:
        raise ValueError(f"Expected 0..{SYNTHETIC_MAX} synthetic instruments, was {count}")
    return _by_key(*(synthetic_one(venue, f"SYM{number:03}USDT") for number in range(count)))


def synthetic_one(venue: str, symbol: str) -> Listing:
    """The one of that symbol, which SYNTHETIC_SYMBOL matches."""
    model = next(x for x in CATALOGUES[venue].values() if x.instrument.symbol == "ETHUSDT")
    key = model.instrument.key.replace("ETHUSDT", symbol)
    base = symbol.removesuffix("USDT")
    return replace(model, instrument=replace(model.instrument, symbol=symbol, base=base, key=key))


def e8_text(amount_e8: int) -> str:
    """1e-8 units as decimal text with eight decimals."""
    if amount_e8 < 0:
        return "-" + e8_text(-amount_e8)
    return f"{amount_e8 // E8}.{amount_e8 % E8:08d}"
