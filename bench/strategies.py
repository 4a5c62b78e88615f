"""`python -m bench.strategies`: what one call of each built-in strategy costs, in ns.

Calls in a row without the GIL through the function's address, as the core makes them; price,
position and time move each call, and check_target runs on every answer. Warm caches: in the
core a call also pays for what the frame before has displaced. Best and median of the rounds,
which are so short that most of them lie between two of the scheduler's ticks.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.result import write
from fastcore.strategy import BUILTINS, repeat_calls

OUT = Path("bench/results/strategies.json")
BUDGET_NS = 30.0
QUOTING: dict[str, Any] = {
    "bids": [(99_990, 5)],
    "asks": [(99_992, 7)],
    "now_ns": 1_000_000_000,
    "position_lots": 3,
    "entry_px_ticks": 99_991.0,
    "entry_ns": 1_000_000_000,
    "ref_bid": (99_900, 5),
    "ref_ask": (99_901, 5),
    "ref_position_lots": -3,
    "ref_lots_per_lot": 1.0,
    "signals": {
        "microprice_ticks": 99_990.8,
        "ofi_norm": 0.3,
        "volatility_ticks": 2.0,
        "ewma_z": -1.5,
        "ewma_mean_ticks": 99_995.0,
        "pair_spread_ticks": 0.7,
        "pair_z": 1.0,
    },
}
# Each case: strategy, parameters, what differs from QUOTING.
CASES: dict[str, tuple[str, dict[str, float], dict[str, Any]]] = {
    **{name: (name, {}, {}) for name in BUILTINS},
    "avellaneda_stoikov_session": (
        "avellaneda_stoikov",
        {"rolling": 0, "horizon_s": 3_600},
        {},
    ),
    "mean_reversion_passive": ("mean_reversion", {"passive": 1}, {}),
    "stat_arb_hedging": ("stat_arb", {"retry_ms": 0}, {"ref_position_lots": 0}),
}


def run(rounds: int, calls: int) -> dict[str, Any]:
    """Time every case; JSON."""
    cpus = machine.choose_cpus(1)
    described = machine.describe(cpus)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, set(cpus))
        cases = {name: _case(name, rounds, calls) for name in CASES}
    finally:
        os.sched_setaffinity(0, allowed)
    return {
        "bench": "strategies",
        "rounds": rounds,
        "calls": calls,
        "budget_ns": BUDGET_NS,
        "cases": cases,
        "machine": described,
        "commit": machine.commit(),
    }


def _case(name: str, rounds: int, calls: int) -> dict[str, float]:
    strategy, params, changes = CASES[name]
    view = {**QUOTING, **changes}
    times = []
    for _ in range(rounds):
        begin_ns = time.perf_counter_ns()
        answered = repeat_calls(strategy, view, params, calls)
        times.append((time.perf_counter_ns() - begin_ns) / calls)
        if answered != calls:
            raise RuntimeError(f"{name}: {calls - answered} of {calls} calls did not quote")
    return {"best_ns": round(min(times), 2), "median_ns": round(statistics.median(times), 2)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Cost of one call of each built-in strategy")
    parser.add_argument("--rounds", type=int, default=3_000)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON is written")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.calls < 1:
        parser.error("--rounds and --calls must be above 0")
    result = run(options.rounds, options.calls)
    write(result, options.out)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{'':<28}{'best':>9}{'median':>9}   ns a call, budget {BUDGET_NS:g}")
        for name, case in result["cases"].items():
            print(f"{name:<28}{case['best_ns']:>9.1f}{case['median_ns']:>9.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
