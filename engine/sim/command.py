"""Many seeds: run them, shrink what fails, say how to repeat it. `tickmaker sim` calls `simulate`.

Shrinking drops the faults of a failing seed one by one, as long as it still fails: what is left
are the faults that the failure needs, each alone indispensable.
"""

import hashlib
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from engine import clock
from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.stack import VENUES
from engine.sim.client import run_client
from engine.sim.outcome import Outcome, Scenario
from engine.sim.run import run_seed
from engine.sim.schedule import Plan, read_plan, swarm

SEEDS_MAX = 1_000_000
SECONDS_MIN = 5.0
SHRUNK_MAX = 10  # failing seeds; further ones are told as they failed
Progress = Callable[[float], None]


@dataclass(frozen=True)
class SimOptions:
    """What the command line says."""

    seeds: str
    scenario: Scenario
    schedule: str  # "swarm", "none", or a file
    only: str = ""
    jobs: int = 1


@dataclass(frozen=True)
class _Task:
    """What a worker process is told."""

    scenario: Scenario
    plan: Plan | None  # None: the seed's swarm
    only: tuple[int, ...] | None

    def plan_of(self, seed: int) -> Plan:
        plan = self.plan
        if plan is None:
            plan = swarm(seed, self.scenario.seconds, self.scenario.venue)
        return plan if self.only is None else plan.only(self.only)

    def run(self, seed: int) -> Outcome:
        return run_one(seed, self.plan_of(seed), self.scenario)


def run_one(seed: int, plan: Plan, scenario: Scenario) -> Outcome:
    """The engine where it speaks the venue's protocol; a scripted client elsewhere."""
    if scenario.venue == "binance_usdm":
        return run_seed(seed, plan, scenario)
    return run_client(seed, plan, scenario)


def simulate(options: SimOptions, progress: Progress | None = None) -> dict[str, Any]:
    """Run all seeds; TickmakerError for what can't be run at all."""
    seeds = seeds_of(options.seeds)
    task = _task(options)
    started_ns = clock.real_monotonic_ns()
    outcomes: list[Outcome] = []
    for outcome in _outcomes(task, seeds, options.jobs):
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes) / len(seeds))
    real_s = (clock.real_monotonic_ns() - started_ns) / 1e9
    failed = [outcome for outcome in outcomes if outcome.breaches]
    virtual_s = sum(outcome.virtual_s for outcome in outcomes)
    figures: dict[str, int] = {}
    for outcome in outcomes:
        for name, value in outcome.figures.items():
            figures[name] = figures.get(name, 0) + value
    digest = hashlib.sha256("".join(outcome.digest for outcome in outcomes).encode())
    result = {
        "venue": options.scenario.venue,
        "schedule": options.schedule,
        "seeds": len(outcomes),
        "failed": len(failed),
        "seconds_virtual": round(virtual_s, 3),
        "seconds_real": round(real_s, 3),
        "times_real_time": round(virtual_s / real_s, 1),
        "seeds_per_hour": round(len(outcomes) / real_s * 3_600),
        "jobs": options.jobs,
        **figures,
        "digest": digest.hexdigest(),
        "failures": [
            _failure(task, outcome, options, index < SHRUNK_MAX)
            for index, outcome in enumerate(failed)
        ],
    }
    if len(outcomes) == 1:
        result["faults"] = outcomes[0].faults
        result["engine"] = outcomes[0].lines
    return result


def _outcomes(task: _Task, seeds: range, jobs: int) -> Iterator[Outcome]:
    """In the order of the seeds, whoever is done first."""
    if jobs == 1 or len(seeds) == 1:
        yield from map(task.run, seeds)
        return
    pool = ProcessPoolExecutor(
        min(jobs, len(seeds)), get_context("spawn"), initializer=_leave_interrupts_to_the_parent
    )
    try:
        yield from pool.map(task.run, seeds, chunksize=max(1, min(8, len(seeds) // jobs)))
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _failure(
    task: _Task, outcome: Outcome, options: SimOptions, is_shrunk: bool
) -> dict[str, Any]:
    """A failing seed, with the fewest faults that were found to fail it."""
    plan = task.plan_of(outcome.seed)
    numbers = list(task.only if task.only is not None else range(len(plan)))
    texts = dict(zip(numbers, plan.texts(), strict=True))
    if is_shrunk:
        numbers, outcome = shrink(task, outcome, numbers)
    only = f" --only {','.join(map(str, numbers)) or 'none'}"
    return {
        "seed": outcome.seed,
        "breaches": outcome.breaches,
        "faults": {number: texts[number] for number in numbers},
        "repeat": _command(options, outcome.seed) + only,
    }


def shrink(
    task: _Task, outcome: Outcome, numbers: list[int]
) -> tuple[list[int], Outcome]:
    """(fault numbers, outcome) of the smallest failing subset that dropping one by one finds."""
    base = _Task(task.scenario, task.plan, None).plan_of(outcome.seed)
    again = True
    while again:
        again = False
        for number in list(numbers):
            fewer = [other for other in numbers if other != number]
            trial = run_one(outcome.seed, base.only(fewer), task.scenario)
            if trial.breaches:
                numbers, outcome, again = fewer, trial, True
    return numbers, outcome


def _command(options: SimOptions, seed: int) -> str:
    scenario, default = options.scenario, Scenario(options.scenario.venue)
    words = [
        "tickmaker sim", f"--seeds {seed}", f"--venue {scenario.venue}",
        f"--schedule {options.schedule}",
    ]  # fmt: skip
    for name in ("seconds", "strategy", "pace"):
        if getattr(scenario, name) != getattr(default, name):
            value = getattr(scenario, name)
            words.append(f"--{name} {value:g}" if name != "strategy" else f"--{name} {value}")
    return " ".join([*words, "--strict"] if scenario.is_strict else words)


def story(result: dict[str, Any]) -> Iterator[str]:
    """What a person wants to read of a result, which is taken out of it: what a single seed did,
    and how others failed."""
    for line in result.pop("engine", ()):
        told = ", ".join(
            f"{name} {value}" for name, value in line.items() if name not in ("event", "at_s")
        )
        yield f"{line['at_s']:10.3f} s  {line['event']}  {told}"
    for number, text in enumerate(result.pop("faults", ())):
        yield f"fault {number}: {text}"
    for failure in result.pop("failures"):
        yield f"seed {failure['seed']} failed:"
        yield from (f"  {breach}" for breach in failure["breaches"])
        yield from (f"  with fault {n}: {text}" for n, text in failure["faults"].items())
        yield f"  repeat: {failure['repeat']}"


# -- USAGE ---


def _task(options: SimOptions) -> _Task:
    if options.scenario.venue not in VENUES:
        raise TickmakerError(
            f"--venue {options.scenario.venue!r} is unknown", f"Pass one of {', '.join(VENUES)}.",
            EXIT_USAGE,
        )  # fmt: skip
    if options.jobs < 1:
        raise TickmakerError(f"--jobs is {options.jobs}", "Pass 1 or more.", EXIT_USAGE)
    if options.scenario.seconds < SECONDS_MIN:
        raise TickmakerError(
            f"--seconds is {options.scenario.seconds:g}",
            f"Pass {SECONDS_MIN:g} or more: the engine starts first.", EXIT_USAGE,
        )  # fmt: skip
    plan = None
    if options.schedule == "none":
        plan = Plan((), ())
    elif options.schedule != "swarm":
        plan = read_plan(Path(options.schedule))
    return _Task(options.scenario, plan, _numbers(options.only))


def seeds_of(text: str) -> range:
    """`7` or `1..20`, both ends included."""
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds or seeds[0] < 0 or len(seeds) > SEEDS_MAX:
        raise TickmakerError(
            f"--seeds {text!r}: Expected A..B with 0 <= A <= B, at most {SEEDS_MAX:,} of them",
            "Pass for example 1..20, or one number.", EXIT_USAGE,
        )
    return seeds


def _numbers(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise TickmakerError(
            f"--only {text!r}: Expected numbers of faults with commas between, or `none`",
            "A failing seed's report says which.", EXIT_USAGE,
        ) from None
