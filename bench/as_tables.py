"""`python -m bench.as_tables`: Avellaneda and Stoikov's simulation, by the compiled formulas.

Their set-up (2008, section 3.3): mid 100, T = 1, sigma = 2, dt = 0.005, k = 1.5, A = 140, no
inventory, 1000 paths. Each step quotes at tau = T - t, fills a side with probability
A exp(-k distance) dt (that product itself, at most 1, not 1 - exp of it: the exact Poisson chance
gives other numbers than theirs), then moves the mid by +-sigma sqrt(dt). `symmetric` quotes the
time average of the inventory strategy's spread round the mid.

Two verdicts a number: against `long`, our own means of 100 runs of 1000 paths, within 4
standard errors of both; against `published` within 3 standard errors of the difference of two runs
plus half a printed digit. The October 2006 working paper prints other tables: no exam.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.result import write
from fastcore.strategy import avellaneda_stoikov_quotes

MID, HORIZON_S, SIGMA, STEP_S, KAPPA, INTENSITY = 100.0, 1.0, 2.0, 0.005, 1.5, 140.0
STEPS = 200
PATHS = 1000  # of a published table
LONG_TABLES = 100
OUT = Path("bench/results/as_tables.json")
COLUMNS = ("profit", "profit_sd", "position", "position_sd")
Array = npt.NDArray[np.float64]


class Row(NamedTuple):
    """One row of a table: as printed, as our long run has it, and the error of 1000 paths."""

    gamma: float
    strategy: str
    spread: float
    published: tuple[float, float, float, float]
    digits: tuple[float, float, float, float]  # half of the last one printed
    long: tuple[float, float, float, float]
    error: tuple[float, float, float, float]


_DIGITS = (0.05, 0.05, 0.005, 0.05)
ROWS = [
    Row(0.1, "inventory", 1.49, (65.0, 6.6, 0.08, 2.9), _DIGITS,
        (64.88, 6.54, 0.01, 2.91), (0.21, 0.14, 0.10, 0.07)),
    Row(0.1, "symmetric", 1.49, (68.4, 12.7, 0.26, 8.4), _DIGITS,
        (68.22, 13.49, 0.00, 8.38), (0.46, 0.45, 0.25, 0.17)),
    Row(0.01, "inventory", 1.35, (68.6, 8.7, 0.12, 5.1), _DIGITS,
        (68.39, 8.93, -0.01, 5.23), (0.32, 0.22, 0.15, 0.13)),
    Row(0.01, "symmetric", 1.35, (68.8, 12.8, 0.09, 8.7), _DIGITS,
        (68.58, 13.61, -0.05, 8.71), (0.43, 0.55, 0.26, 0.18)),
    Row(1.0, "inventory", 3.02, (31.4, 5.0, 0.02, 1.7), _DIGITS,
        (31.44, 4.84, 0.01, 1.65), (0.13, 0.11, 0.05, 0.03)),
    Row(1.0, "symmetric", 3.02, (44.0, 11.0, 0.00, 5.1), _DIGITS,
        (43.67, 10.72, -0.01, 5.18), (0.34, 0.30, 0.17, 0.12)),
]  # fmt: skip


def run(paths: int = PATHS, seed: int = 1) -> dict[str, Any]:
    """Simulate every row; JSON with numbers, bounds and verdicts. Rows share no random number."""
    if paths < 2:
        raise ValueError(f"Expected paths >= 2, was {paths}")
    rows = [_row(row, paths, np.random.default_rng([seed, i])) for i, row in enumerate(ROWS)]
    return {
        "bench": "as_tables",
        "paths": paths,
        "seed": seed,
        "setup": {"mid": MID, "horizon_s": HORIZON_S, "sigma": SIGMA, "step_s": STEP_S,
                  "kappa": KAPPA, "intensity_per_s": INTENSITY},
        "rows": rows,
        "passed": all(cell["passed"] for row in rows for cell in row["cells"].values()),
    }  # fmt: skip


def average_spread(gamma: float) -> float:
    """Time average of the inventory strategy's spread over the steps, by the compiled formula."""
    quotes = [_offsets(gamma, 0.0, step) for step in range(STEPS)]
    return math.fsum(ask - bid for bid, ask in quotes) / STEPS


def simulate(
    gamma: float, strategy: str, paths: int, dice: np.random.Generator
) -> tuple[Array, Array]:
    """(profit, final position) of each path."""
    half = 0.5 * average_spread(gamma)
    mid = np.full(paths, MID)
    cash = np.zeros(paths)
    held = np.zeros(paths, dtype=np.int64)
    move = SIGMA * math.sqrt(STEP_S)
    for step in range(STEPS):
        if strategy == "inventory":
            bid, ask = _by_position(gamma, held, step)
        else:
            bid, ask = np.full(paths, -half), np.full(paths, half)
        # Distances below 0 are quotes through the mid: then the product is above A dt, at most 1.
        bought = dice.random(paths) < INTENSITY * np.exp(KAPPA * bid) * STEP_S
        sold = dice.random(paths) < INTENSITY * np.exp(-KAPPA * ask) * STEP_S
        cash += np.where(sold, mid + ask, 0.0) - np.where(bought, mid + bid, 0.0)
        held += bought.astype(np.int64) - sold.astype(np.int64)
        mid += np.where(dice.random(paths) < 0.5, move, -move)
    return cash + held * mid, held.astype(np.float64)


def _by_position(gamma: float, held: npt.NDArray[np.int64], step: int) -> tuple[Array, Array]:
    """Offsets from the mid: one compiled call for each position that a path holds."""
    values, index = np.unique(held, return_inverse=True)
    table = np.array([_offsets(gamma, float(value), step) for value in values])
    return table[index, 0], table[index, 1]


def _offsets(gamma: float, held: float, step: int) -> tuple[float, float]:
    left_s = HORIZON_S - step * STEP_S
    _, bid, ask = avellaneda_stoikov_quotes(0.0, held, gamma, SIGMA, KAPPA, left_s)
    return bid, ask


def _row(row: Row, paths: int, dice: np.random.Generator) -> dict[str, Any]:
    profit, held = simulate(row.gamma, row.strategy, paths, dice)
    found = (profit.mean(), profit.std(ddof=1), held.mean(), held.std(ddof=1))
    spread = average_spread(row.gamma)
    risk = row.gamma * SIGMA * SIGMA
    # eq. (30) averaged over tau = T - t; the paper's figure is of the continuous average, so
    # half a step of tau lies between the two.
    exact = 0.5 * risk * (HORIZON_S + STEP_S) + 2.0 / row.gamma * math.log1p(row.gamma / KAPPA)
    spread_bound = 0.005 + 0.5 * risk * STEP_S
    cells = {
        "spread": {
            "value": spread, "published": row.spread, "published_bound": spread_bound,
            "long": exact, "long_bound": 1e-9,
            "passed": abs(spread - exact) <= 1e-9 and abs(spread - row.spread) <= spread_bound,
        }
    }  # fmt: skip
    runs = PATHS / paths
    for i, name in enumerate(COLUMNS):
        long_bound = 4.0 * row.error[i] * math.sqrt(runs + 1.0 / LONG_TABLES) + 0.005
        bound = 3.0 * row.error[i] * math.sqrt(runs + 1.0) + row.digits[i]
        value = float(found[i])
        cells[name] = {
            "value": value, "published": row.published[i], "published_bound": bound,
            "long": row.long[i], "long_bound": long_bound,
            "passed": abs(value - row.long[i]) <= long_bound
            and abs(value - row.published[i]) <= bound,
        }  # fmt: skip
    return {"gamma": row.gamma, "strategy": row.strategy, "cells": cells}


def text(result: dict[str, Any]) -> str:
    """The tables, each number beside the published one; `!` marks what is outside."""
    lines = [f"Avellaneda-Stoikov 2008, tables 1-3: {result['paths']} paths, seed {result['seed']}"
             " (in brackets: published)",
             f"{'gamma':>5} {'strategy':<10}" + "".join(
                 f"{name:>18}" for name in ("spread", *COLUMNS))]  # fmt: skip
    for row in result["rows"]:
        line = f"{row['gamma']:>5g} {row['strategy']:<10}"
        for cell in row["cells"].values():
            mark = " " if cell["passed"] else "!"
            line += f"{cell['value']:>9.3f} ({cell['published']:>5g}){mark}"
        lines.append(line)
    outside = "some numbers are outside their bounds (!)"
    lines.append("all within sampling error" if result["passed"] else outside)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Avellaneda-Stoikov's tables, reproduced")
    parser.add_argument("--paths", type=int, default=PATHS, help="paths of each row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON is written")
    options = parser.parse_args(arguments)
    if options.paths < 2:
        parser.error(f"--paths is {options.paths}: give a number above 1")
    result = run(options.paths, options.seed)
    write(result, options.out)
    print(json.dumps(result, indent=1) if options.json else text(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
