"""What a simulated run is told, and what comes of it."""

from dataclasses import dataclass, field, replace
from typing import Any

from engine.exchange.agents.settings import AgentSettings

SYMBOLS = {  # traded in every run, by the core's keys; others join them
    "binance_usdm": ("BTCUSDT",),
    "binance_spot": ("BTCUSDT",),
    "bybit": ("linear/BTCUSDT", "spot/BTCUSDT"),
}
PACE = 0.05  # a moderate market: faults meet quotes and fills, and not only requotes


@dataclass(frozen=True)
class Scenario:
    """What all seeds of a command have in common."""

    venue: str
    seconds: float = 60.0
    strategy: str = ""  # of the engine; empty: engines.STRATEGY
    pace: float = PACE  # of the agents, as a share of a liquid market's
    instruments: int = 0  # 0: as the seed has it


@dataclass
class Outcome:
    """What came of one run. `breaches` empty: it passed."""

    seed: int
    faults: list[str]
    breaches: list[str] = field(default_factory=list)
    digest: str = ""
    virtual_s: float = 0.0
    real_s: float = 0.0
    figures: dict[str, int] = field(default_factory=dict)
    rss_mib: list[int] = field(default_factory=list)  # of the process, each virtual hour
    lines: list[dict[str, Any]] = field(default_factory=list)  # what the engine told its parent


def paced(settings: AgentSettings, pace: float) -> AgentSettings:
    """The same market in slow motion: rates by `pace`, volatility by its root. News, which wake
    everybody for a minute, come as ever down to PACE, so that faults meet a market that moves;
    below it they are as much rarer, or a day of the slowest market would be nothing but news."""
    return replace(
        settings,
        news_rate=settings.news_rate * min(1.0, pace / PACE),
        sigma_ticks=settings.sigma_ticks * pace**0.5,
        take_rate=settings.take_rate * pace,
        quote_rate=settings.quote_rate * pace,
        make_rate=settings.make_rate * pace,
        react_rate=settings.react_rate * pace,
    )
