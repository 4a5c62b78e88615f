"""The picture of docs/exchange_agents.md: stylised facts of the agents' market and of a tape.

    python -m bench.agent_facts DATA     DATA: the folder of recorded data (TICKMAKER_DATA)

Both are read as a listener would: touches, trades and depth. Writes docs/exchange_agents.svg, and
the figures to bench/results/agent_facts.json.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import book_stream
from bench.grid import Axis, Line, Panels
from bench.halt_plots import read
from bench.result import write
from engine.exchange.agents.settings import YEAR_S
from engine.exchange.book import Side
from engine.exchange.events import BestChange, Trade
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket

ROOT = Path(__file__).resolve().parents[1]
TAPE = "binance_usdm/btcusdt_20240808.gz"
SEED, AGENTS_S = 1, 3_600
S = 1_000_000_000
BLUE, RED, GREY = "#1f5fa8", "#c0392b", "#999"
REACHES_BPS = (0.5, 1, 2, 3, 5, 8, 12, 16, 20)  # of the depth panel
DEPTH_STEP = 50  # messages of the tape between two looks at its depth
LOT = 0.001
Floats = npt.NDArray[np.float64]


@dataclass
class Seen:
    """Times in seconds; prices in ticks of 0.10."""

    touches: Floats  # rows of time, bid, ask
    trades: Floats  # rows of time, sign
    depth: Floats  # BTC within REACHES_BPS of the mid, the mean of both sides and all looks

    def seconds(self) -> float:
        return float(self.touches[-1, 0] - self.touches[0, 0])

    def mids(self, step_s: float) -> Floats:
        """The last mid at or before each point of a grid."""
        at = np.arange(self.touches[0, 0], self.touches[-1, 0], step_s)
        rows = self.touches[np.searchsorted(self.touches[:, 0], at, side="right") - 1]
        return np.asarray((rows[:, 1] + rows[:, 2]) / 2)

    def takers(self) -> Floats:
        """Rows of time and sign; the trades of one side and millisecond are one taker's."""
        milliseconds = np.floor(self.trades[:, 0] * 1e3)
        _, first = np.unique(4 * milliseconds + self.trades[:, 1], return_index=True)
        return self.trades[np.sort(first)]

    def returns(self) -> Floats:
        return np.diff(np.log(self.mids(1.0)))


# -- WHAT A LISTENER SEES ------------------------------------------------------------------------


def agents(seconds: int, seed: int) -> Seen:
    market = AgentMarket(CATALOGUE["BTCUSDT"], seed, 0)
    touches, trades, depths = [], [], []
    for second in range(1, seconds + 1):
        market.advance(second * S)
        for event in market.drain():
            if isinstance(event, Trade):
                trades.append((event.t_ns / S, event.aggressor.sign))
            elif isinstance(event, BestChange) and event.touch[0] and event.touch[2]:
                touches.append((event.t_ns / S, event.touch[0], event.touch[2]))
        if second % 5 == 0:
            sides = [dict(market.book.levels(side, 10_000)) for side in Side]
            depths.append(_depth(sides))
    return Seen(np.array(touches, float), np.array(trades, float), np.mean(depths, axis=0))


def recorded(path: Path) -> Seen:
    touches, trades, _ = read(path, math.inf)
    return Seen(
        np.array([(t.at, t.bid, t.ask) for t in touches], float),
        np.array([(t.at, 1 - 2 * t.aggressor) for t in trades], float),
        _recorded_depth(path),
    )


def _recorded_depth(path: Path) -> Floats:
    sides: list[dict[int, int]] = [{}, {}]
    depths, last = [], 0
    for message, side, px_ticks, lots in book_stream.load(path).tolist():
        if message != last:
            last = message
            if message % DEPTH_STEP == 0:
                depths.append(_depth(sides))
        if lots:
            sides[side][px_ticks] = lots
        else:
            sides[side].pop(px_ticks, None)
    return np.asarray(np.mean(depths, axis=0))


def _depth(sides: list[dict[int, int]]) -> Floats:
    mid = (max(sides[0]) + min(sides[1])) / 2
    totals = np.zeros(len(REACHES_BPS))
    for levels in sides:
        away = np.abs(np.array(list(levels)) / mid - 1.0) * 1e4
        lots = np.array(list(levels.values())) * LOT
        totals += [lots[away <= reach].sum() / 2 for reach in REACHES_BPS]
    return totals


# -- FACTS ---------------------------------------------------------------------------------------


def correlation(values: Floats, lag: int) -> float:
    centred = values - values.mean()
    return float((centred[lag:] * centred[:-lag]).mean() / centred.var())


def spread_shares(seen: Seen) -> list[tuple[int, float]]:
    """(ticks, share of the time in which the spread is at most that)."""
    spread = (seen.touches[:, 2] - seen.touches[:, 1])[:-1]
    spans = np.diff(seen.touches[:, 0])
    return [
        (ticks, float(spans[spread <= ticks].sum() / spans.sum()))
        for ticks in (1, 2, 3, 5, 8, 12, 20, 40, 80, 100)
    ]


def facts(seen: Seen) -> dict[str, Any]:
    """Figures to compare; floats rounded."""
    returns, takers = seen.returns(), seen.takers()
    signs = takers[:, 1]
    counts, _ = np.histogram(takers[:, 0], np.arange(0.0, takers[-1, 0], 1.0))
    scaled = np.abs(returns - returns.mean()) / returns.std()
    figures = {
        "seconds": seen.seconds(),
        "trades_per_s": len(seen.trades) / seen.seconds(),
        "takers_per_s": len(takers) / seen.seconds(),
        "touches_per_s": len(seen.touches) / seen.seconds(),
        "spread_one_tick_share": spread_shares(seen)[0][1],
        "volatility_annual": float(returns.std() * math.sqrt(YEAR_S)),
        "kurtosis_1s": float((scaled**4).mean()),
        "return_correlation_lag_1s": correlation(returns, 1),
        "size_correlation_lags_1_to_20s": float(
            np.mean([correlation(np.abs(returns), lag) for lag in range(1, 21)])
        ),
        "sign_correlation_lag_1": correlation(signs, 1),
        "sign_correlation_lag_30": correlation(signs, 30),
        "takers_a_second_variance_to_mean": float(counts.var() / counts.mean()),
        "depth_btc_within_5_bps": float(seen.depth[REACHES_BPS.index(5)]),
    }
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


# -- THE PICTURE ---------------------------------------------------------------------------------


def picture(ours: Seen, tape: Seen) -> str:
    both = (("agents", BLUE, ours), ("tape", RED, tape))
    figure = Panels(
        "Agents' market and a recorded tape, BTCUSDT perpetual",
        [(f"agents, seed {SEED}, {ours.seconds():.0f} s", BLUE),
         (f"recorded 2024-08-08, {tape.seconds():.0f} s", RED), ("normal, Poisson", GREY)],
    )  # fmt: skip
    span_s = int(tape.seconds())
    paths = [(name, colour, _path(seen, span_s)) for name, colour, seen in both]
    widest = max(abs(y) for _, _, path in paths for _, y in path)
    figure.panel("mid, change in bps", Axis(0, span_s), Axis(-widest, widest), paths, "s")
    spreads = [(name, colour, spread_shares(seen)) for name, colour, seen in both]
    figure.panel("spread at most x, share of time", Axis(1, 100, is_log=True), Axis(0.9, 1),
                 spreads, "ticks")  # fmt: skip
    for title, size, low, high in (
        ("correlation of 1 s returns", False, -0.3, 0.3),
        ("correlation of their sizes", True, -0.2, 0.4),
    ):
        lines: list[Line] = []
        for name, colour, seen in both:
            values = np.abs(seen.returns()) if size else seen.returns()
            lags = [(float(lag), correlation(values, lag)) for lag in range(1, 41)]
            lines.append((name, colour, lags))
        figure.panel(title, Axis(0, 40), Axis(low, high), lines, "lag, s")
    tails = [(name, colour, _tail(seen.returns())) for name, colour, seen in both]
    normal = [(x / 10, math.erfc(x / 10 / math.sqrt(2))) for x in range(1, 60)]
    figure.panel("1 s returns: share beyond x", Axis(0, 8), Axis(1e-4, 1, is_log=True),
                 [*tails, ("normal", GREY, normal)], "standard deviations")  # fmt: skip
    flows = [
        (name, colour, [(k, max(correlation(seen.takers()[:, 1], k), 1e-3)) for k in _lags()])
        for name, colour, seen in both
    ]
    figure.panel("correlation of takers' sides", Axis(1, 130, is_log=True),
                 Axis(1e-3, 1, is_log=True), flows, "lag, takers")  # fmt: skip
    gaps = [(name, colour, _gaps(seen)) for name, colour, seen in both]
    poisson = [(10 ** (x / 10), math.exp(-(10 ** (x / 10)))) for x in range(-20, 10)]
    figure.panel("gaps between takers: share longer than x", Axis(0.01, 100, is_log=True),
                 Axis(1e-4, 1, is_log=True), [*gaps, ("Poisson", GREY, poisson)],
                 "mean gaps")  # fmt: skip
    depths = [
        (name, colour, list(zip(REACHES_BPS, seen.depth.tolist(), strict=True)))
        for name, colour, seen in both
    ]
    figure.panel("depth within x of the mid, BTC a side", Axis(0, 20),
                 Axis(0.1, 1_000, is_log=True), depths, "bps")  # fmt: skip
    return figure.render()


def _path(seen: Seen, span_s: int) -> list[tuple[float, float]]:
    mids = seen.mids(1.0)[:span_s]
    return [(float(at), float(1e4 * (mid / mids[0] - 1))) for at, mid in enumerate(mids)]


def _lags() -> list[int]:
    return sorted({round(10 ** (x / 10)) for x in range(22)})


def _tail(returns: Floats) -> list[tuple[float, float]]:
    scaled = np.abs(returns - returns.mean()) / returns.std()
    shares = [(x / 10, float((scaled > x / 10).mean())) for x in range(1, 80)]
    return [point for point in shares if point[1] > 0]


def _gaps(seen: Seen) -> list[tuple[float, float]]:
    gaps = np.diff(np.unique(seen.takers()[:, 0]))
    scaled = gaps / gaps.mean()
    points = [10 ** (x / 10) for x in range(-20, 21)]
    shares = [(x, float((scaled > x).mean())) for x in points]
    return [point for point in shares if point[1] > 0]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.agent_facts DATA")
    ours, tape = agents(AGENTS_S, SEED), recorded(Path(sys.argv[1], TAPE))
    (ROOT / "docs/exchange_agents.svg").write_text(picture(ours, tape))
    result = {"agents": facts(ours), "tape": facts(tape), "seed": SEED, "recording": TAPE}
    write(result, ROOT / "bench/results/agent_facts.json")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
