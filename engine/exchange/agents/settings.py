"""What the crowd is like, scaled to a listing: money and relative prices in, ticks and lots
out."""

from dataclasses import dataclass, replace
from math import sqrt

from engine.exchange.instruments import Listing

YEAR_S = 31_536_000


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """Rates per second, prices in ticks, quantities in lots, times in seconds.

    Three kernels excite the takers (Hawkes): of `kernel_tau`, each with its part of the branching
    ratio in `kernel_branching`; in sum 0.85, as near to criticality as liquid markets are.
    """

    start_px_ticks: int
    sigma_ticks: float  # of the fair value, in a second
    reach_ticks: float  # how far from the touch orders rest
    taker_lots: float  # medians
    maker_lots: float
    lots_max: int
    patience_ticks: float  # how far the touch may stand from fair value
    take_rate: float = 2.1  # of takers whom nobody excited
    quote_rate: float = 85.0  # limit orders of noise traders and their cancels
    make_rate: float = 12.0  # requotes of market makers
    react_rate: float = 450.0  # while a quote is stale or the spread is wide
    kernel_tau: tuple[float, float, float] = (0.02, 0.5, 20.0)
    kernel_branching: tuple[float, float, float] = (0.30, 0.27, 0.28)
    news_rate: float = 1 / 200
    news_sigmas: float = 5.0  # of a second
    vol_tau: tuple[float, float] = (60.0, 1_800.0)
    vol_sigma: tuple[float, float] = (0.30, 0.25)  # of the logarithm of volatility
    reversion_tau: float = 172_800.0
    levels_min: int = 160
    orders_count: int = 1_500  # about so many rest
    maker_count: int = 6

    def with_finer_tick(self, factor: int) -> "AgentSettings":
        return replace(
            self,
            start_px_ticks=self.start_px_ticks * factor,
            sigma_ticks=self.sigma_ticks * factor,
            reach_ticks=self.reach_ticks * factor,
            patience_ticks=self.patience_ticks * factor,
        )


def settings_of(
    listing: Listing,
    *,
    volatility: float = 0.55,
    taker_notional: float = 1_500.0,
    maker_notional: float = 8_000.0,
    notional_max: float = 400_000.0,
    pace: float = 1.0,
) -> AgentSettings:
    """Of a liquid instrument: `volatility` a year, sizes in quote money. `pace` multiplies what
    happens in a second and leaves the volatility. ValueError: not > 0."""
    for name, value in (
        ("volatility", volatility),
        ("taker_notional", taker_notional),
        ("maker_notional", maker_notional),
        ("notional_max", notional_max),
        ("pace", pace),
    ):
        if not value > 0:
            raise ValueError(f"{name} is {value}: it must be positive")
    instrument, px_ticks = listing.instrument, listing.start_px_ticks
    lot_notional = float(instrument.px.step) * px_ticks * float(instrument.qty.step)
    sigma_ticks = volatility / sqrt(YEAR_S) * px_ticks
    return AgentSettings(
        start_px_ticks=px_ticks,
        sigma_ticks=sigma_ticks,
        reach_ticks=max(60.0, 8e-4 * px_ticks),
        taker_lots=max(1.0, taker_notional / lot_notional),
        maker_lots=max(2.0, maker_notional / lot_notional),
        lots_max=max(1, min(int(notional_max / lot_notional), instrument.qty_lots_max)),
        patience_ticks=max(0.5, 0.2 * sigma_ticks / sqrt(pace)),
        take_rate=pace * AgentSettings.take_rate,
        quote_rate=pace * AgentSettings.quote_rate,
        make_rate=pace * AgentSettings.make_rate,
    )
