"""engine.exchange.agents: what the crowd trades looks like a market. Loose bounds, fixed seeds."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from engine.exchange.agents.settings import YEAR_S, AgentSettings, settings_of
from engine.exchange.book import Side
from engine.exchange.events import BestChange, Trade
from engine.exchange.instruments import CATALOGUES, Listing
from engine.exchange.market import AgentMarket

S = 1_000_000_000
LISTINGS = [
    pytest.param(listing, id=f"{venue}/{key}")
    for venue, listings in CATALOGUES.items()
    for key, listing in listings.items()
]
Floats = npt.NDArray[np.float64]


@dataclass
class Session:
    """What a listener saw."""

    touches: list[tuple[int, int, int]] = field(default_factory=list)  # time, bid, ask
    trades: list[tuple[int, int]] = field(default_factory=list)  # time, sign
    levels: list[int] = field(default_factory=list)
    returns: Floats = field(default_factory=lambda: np.zeros(0))  # of a second

    def spread_share(self, ticks_max: int) -> float:
        """Of the time."""
        at, bid, ask = np.array(self.touches).T
        spans = np.diff(at)
        return float(spans[(ask - bid)[:-1] <= ticks_max].sum() / spans.sum())


def session(
    listing: Listing, seed: int, seconds: int, settings: AgentSettings | None = None
) -> Session:
    market, seen = AgentMarket(listing, seed, 0, settings=settings), Session()
    mids = []
    for second in range(1, seconds + 1):
        market.advance(second * S)
        for event in market.drain():
            if isinstance(event, Trade):
                seen.trades.append((event.t_ns, event.aggressor.sign))
            elif isinstance(event, BestChange) and event.touch[0] and event.touch[2]:
                seen.touches.append((event.t_ns, event.touch[0], event.touch[2]))
        seen.levels += [market.book.level_count(side) for side in Side]
        bid, _, ask, _ = market.touch()
        mids.append((bid + ask) / 2)
    market.book.check()
    seen.returns = np.diff(np.log(mids))
    return seen


@pytest.fixture(scope="module")
def hour() -> Session:
    return session(CATALOGUES["binance_usdm"]["BTCUSDT"], 11, 3600)


def correlation(values: Floats, lag: int) -> float:
    centred = values - values.mean()
    return float((centred[lag:] * centred[:-lag]).mean() / centred.var())


def test_volatility_is_that_of_the_asset(hour: Session) -> None:
    assert 0.3 < hour.returns.std() * math.sqrt(YEAR_S) < 0.9


def test_spread_is_mostly_one_tick(hour: Session) -> None:
    assert hour.spread_share(1) > 0.85
    assert hour.spread_share(50) > 0.97


def test_returns_are_uncorrelated_and_their_size_is_not(hour: Session) -> None:
    for lag in (1, 2, 5, 10):
        assert abs(correlation(hour.returns, lag)) < 0.06  # 3.6 standard errors of white noise
    sizes = np.abs(hour.returns)
    assert np.mean([correlation(sizes, lag) for lag in range(1, 21)]) > 0.04
    assert np.mean([correlation(sizes, lag) for lag in range(1, 6)]) > 0.06


def test_returns_have_fat_tails(hour: Session) -> None:
    scaled = np.abs(hour.returns - hour.returns.mean()) / hour.returns.std()
    assert (scaled**4).mean() > 5  # 3 of a normal distribution
    assert (scaled > 4).mean() > 10 * math.erfc(4 / math.sqrt(2))


def test_order_flow_remembers_its_side(hour: Session) -> None:
    signs = np.array([sign for _, sign in hour.trades], np.float64)
    near, far = correlation(signs, 1), correlation(signs, 30)
    assert near > 0.5
    assert 0.02 < far < near
    assert abs(signs.mean()) < 0.15


def test_arrivals_cluster(hour: Session) -> None:
    """A Poisson process has a variance of 1 mean, and seconds that know nothing of each other."""
    at = np.array([t_ns for t_ns, _ in hour.trades])
    counts, _ = np.histogram(at // S, bins=np.arange(3601))
    assert 10 < counts.mean() < 150
    assert counts.var() > 5 * counts.mean()
    assert correlation(counts.astype(np.float64), 1) > 0.1


@pytest.mark.parametrize("listing", LISTINGS)
def test_every_listing_gets_an_orderly_market(listing: Listing) -> None:
    """Whatever its tick and lot: near one tick, deep, quick, of the right volatility."""
    seen = session(listing, 3, 300)
    assert seen.spread_share(1) > 0.7
    assert min(seen.levels[20:]) >= 100
    assert max(seen.levels) <= 1_500
    assert 1_000 < len(seen.trades) < 60_000
    assert 0.15 < seen.returns.std() * math.sqrt(YEAR_S) < 2.0
    assert len({bid for _, bid, _ in seen.touches}) > 5


@pytest.mark.parametrize(
    "wrong",
    [{"volatility": 0.0}, {"taker_notional": -1.0}, {"maker_notional": 0.0}, {"pace": 0.0}],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        settings_of(CATALOGUES["binance_usdm"]["BTCUSDT"], **wrong)


def test_slower_pace_has_fewer_events_and_the_same_volatility() -> None:
    listing = CATALOGUES["binance_usdm"]["BTCUSDT"]
    steady = session(listing, 5, 900)
    slow = session(listing, 5, 900, settings_of(listing, pace=0.25))
    assert len(slow.touches) < 0.5 * len(steady.touches)
    assert 0.3 < slow.returns.std() * math.sqrt(YEAR_S) < 0.9
    assert slow.spread_share(1) > 0.8


def test_sizes_are_the_same_money_whatever_the_lot() -> None:
    """A median taker takes about 1,500 of quote money, where a lot is not more than that."""
    for listings in CATALOGUES.values():
        for listing in listings.values():
            instrument = listing.instrument
            lot = float(instrument.px.step * instrument.qty.step) * listing.start_px_ticks
            assert settings_of(listing).taker_lots * lot == pytest.approx(1_500)

