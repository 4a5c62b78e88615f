"""`tickmaker bench sim`: how fast the simulator is, how many seeds an hour, and a day of trading.

A calm run and a swarm of seeds, each in this process, by the wall clock, start-up, checking and
shrinking included. README.md has the method. With `--hours`: so long with many instruments in one
account, and how much memory each hour of it needs.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.result import write
from engine import clock
from engine.sim.command import SimOptions, simulate
from engine.sim.outcome import PACE, Scenario
from engine.sim.run import run_seed
from engine.sim.schedule import Plan

DAY_PACE = 0.002  # of fifty instruments: a day in half an hour
DAY_SETTLED_H = 2  # until then books, histories and the ledger's caches still fill
DAY_TARGETS = {
    "breaches": "none",
    "divergences": "0",
    "growth_mib_per_hour": f"<= 2 after hour {DAY_SETTLED_H}",
}
DAY_METHOD = (
    "one seed of `tickmaker sim --schedule none --hours --instruments --pace`: the whole engine "
    "session, journals, ledger and checks, and the exchange with its agents, all in this process "
    "and in virtual time; start-up (snapshots at the venue's weight limit) and the ordered "
    "shutdown included. `rss_mib`: of this process at the end of each virtual hour, the exchange, "
    "which keeps its history, and the journals' mapped segments included; "
    "`growth_mib_per_hour`: the slope of the line of least squares through them from hour "
    f"{DAY_SETTLED_H} on. `breaches`: of every fill, order, position and balance against the "
    "exchange's truth (docs/sim.md)."
)
TARGETS = {"calm.times_real_time": ">= 200", "swarm.seeds_per_hour": ">= 1000"}
METHOD = (
    "calm: one seed of `tickmaker sim --schedule none`, one instrument, the whole engine session "
    "(compiled core and edge, journal on a memory disk), the exchange's Binance USD-M face and "
    "agents at `pace` of a liquid market's rates; the best of `rounds`. swarm: seeds of "
    "`tickmaker sim`, 60 s of virtual time each, a random subset of faults each, in `jobs` "
    "processes. Wall time of all of it, start-up of the engine and checks of the logs included; "
    "`by_cpu`: by this process's processor time, which a busy machine does not stretch."
)
WARM_UP = Scenario("binance_usdm", 5.0)
Progress = Any


def run(
    seconds: float = 600.0,
    seeds: int = 200,
    rounds: int = 3,
    jobs: int = 1,
    out: Path | None = None,
    progress: Progress = None,
) -> dict[str, Any]:
    run_seed(1, Plan((), ()), WARM_UP)
    steps = rounds + 2
    calm = []
    for index in range(rounds):
        calm.append(_calm(Scenario("binance_usdm", seconds)))
        if progress is not None:
            progress((index + 1) / steps)
    liquid = _calm(Scenario("binance_usdm", seconds / 4, pace=1.0))
    swarm = simulate(SimOptions(f"1..{seeds}", Scenario("binance_usdm"), "swarm", jobs=jobs))
    if progress is not None:
        progress(1.0)
    kept = ("seeds", "failed", "jobs", "seconds_virtual", "seconds_real", "times_real_time",
            "seeds_per_hour", "orders", "fills", "reconnects", "digest")  # fmt: skip
    result = {
        "calm": max(calm, key=lambda row: float(row["times_real_time"])),
        "calm_all": [row["times_real_time"] for row in calm],
        "liquid": liquid,
        "swarm": {name: swarm[name] for name in kept},
        "targets": TARGETS,
        "method": METHOD,
        "machine": machine.describe([]),
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def run_day(
    hours: float, instruments: int, venue: str, pace: float, out: Path | None = None
) -> dict[str, Any]:
    """Hours of many instruments: what happened, how fast, and whether memory grew."""
    load = machine.describe([])
    started_ns, cpu_ns = clock.real_monotonic_ns(), time.process_time_ns()
    outcome = run_seed(1, Plan((), ()), Scenario(venue, hours * 3_600, "", pace, instruments))
    cpu_s = (time.process_time_ns() - cpu_ns) / 1e9
    real_s = (clock.real_monotonic_ns() - started_ns) / 1e9
    result = {
        "venue": venue,
        "instruments": instruments,
        "pace": pace,
        "hours_virtual": round(outcome.virtual_s / 3_600, 4),
        "minutes_real": round(real_s / 60, 2),
        "times_real_time": round(outcome.virtual_s / real_s, 1),
        "times_real_time_by_cpu": round(outcome.virtual_s / cpu_s, 1),
        "breaches": outcome.breaches,
        **outcome.figures,
        "rss_mib": outcome.rss_mib,
        "growth_mib_per_hour": growth(outcome.rss_mib[DAY_SETTLED_H - 1 :]),
        "digest": outcome.digest,
        "targets": DAY_TARGETS,
        "method": DAY_METHOD,
        "machine": load,
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def growth(values: Sequence[int]) -> float | None:
    """Of one step, by the line of least squares; None: too few to tell."""
    if len(values) < 3:
        return None
    line = statistics.linear_regression(range(len(values)), values)
    return round(line.slope, 3)


def _calm(scenario: Scenario) -> dict[str, Any]:
    started_ns, cpu_ns = clock.real_monotonic_ns(), time.process_time_ns()
    outcome = run_seed(1, Plan((), ()), scenario)
    cpu_s = (time.process_time_ns() - cpu_ns) / 1e9
    real_s = (clock.real_monotonic_ns() - started_ns) / 1e9
    assert not outcome.breaches, outcome.breaches
    per_s = {name: round(value / outcome.virtual_s, 1) for name, value in outcome.figures.items()}
    return {
        "pace": scenario.pace,
        "pace_default": PACE,
        "seconds_virtual": round(outcome.virtual_s, 3),
        "seconds_real": round(real_s, 3),
        "times_real_time_by_cpu": round(outcome.virtual_s / cpu_s, 1),
        "times_real_time": round(outcome.virtual_s / real_s, 1),
        "messages_per_virtual_s": round(per_s["messages_down"] + per_s["messages_up"], 1),
        "orders_per_virtual_s": per_s["orders"],
        "fills_per_virtual_s": per_s["fills"],
    }
