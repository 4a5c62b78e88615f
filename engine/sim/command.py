"""Many seeds: run them, shrink what fails, say how to repeat it. `tickmaker sim` calls `simulate`.

Shrinking drops the faults of a failing seed one by one, as long as it still fails: what is left
are the faults that the failure needs, each alone indispensable.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from engine import clock
from engine.sim.outcome import Outcome, Scenario
from engine.sim.run import run_seed
from engine.sim.schedule import Plan, swarm
from engine.sim.usage import check_jobs, check_scenario, numbers_of, plan_of, seeds_of
from engine.sim.workers import outcomes as outcomes_of

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
    """In this process."""
    return run_seed(seed, plan, scenario)


def simulate(options: SimOptions, progress: Progress | None = None) -> dict[str, Any]:
    """Run all seeds; TickmakerError for what can't be run at all."""
    seeds, task = _checked(options)
    started_ns = clock.real_monotonic_ns()
    outcomes: list[Outcome] = []
    with closing(outcomes_of(task.run, seeds, options.jobs)) as stream:
        for outcome in stream:
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
        if outcomes[0].rss_mib:
            result["rss_mib"] = outcomes[0].rss_mib
    return result


def _checked(options: SimOptions) -> tuple[range, _Task]:
    scenario, seeds = options.scenario, seeds_of(options.seeds)
    check_scenario(scenario)
    check_jobs(options.jobs)
    plan = plan_of(options.schedule, scenario)
    return seeds, _Task(scenario, plan, numbers_of(options.only, seeds, plan, scenario))


def _failure(
    task: _Task, outcome: Outcome, options: SimOptions, is_shrunk: bool
) -> dict[str, Any]:
    """A failing seed, with the fewest faults that were found to fail it."""
    plan = task.plan_of(outcome.seed)
    numbers = list(task.only if task.only is not None else range(len(plan)))
    texts = dict(zip(numbers, plan.texts(), strict=True))
    if is_shrunk:
        numbers, outcome = shrink(task, outcome, numbers)
    only = ["--only", ",".join(map(str, numbers)) or "none"]
    return {
        "seed": outcome.seed,
        "breaches": outcome.breaches,
        "faults": {number: texts[number] for number in numbers},
        "repeat": shlex.join([*_command(options, outcome.seed), *only]),
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


def _command(options: SimOptions, seed: int) -> list[str]:
    scenario, default = options.scenario, Scenario(options.scenario.venue)
    words = [
        "tickmaker", "sim", "--seeds", str(seed), "--venue", scenario.venue,
        "--schedule", options.schedule,
    ]  # fmt: skip
    for name in ("seconds", "strategy", "pace", "instruments"):
        value = getattr(scenario, name)
        if value != getattr(default, name):
            words += [f"--{name}", _exact(value) if isinstance(value, float) else str(value)]
    return words


def _exact(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def story(result: dict[str, Any]) -> Iterator[str]:
    """What a person wants to read of a result, which is taken out of it: what a single seed did,
    and how others failed. Lines are as long as they are: commands are there to be copied."""
    for line in result.pop("engine", ()):
        told = ", ".join(
            f"{name} {_words(value)}" for name, value in line.items()
            if name not in ("event", "at_s")
        )  # fmt: skip
        yield f"{line['at_s']:10.3f} s  {line['event']}  {told}".rstrip()
    for number, text in enumerate(result.pop("faults", ())):
        yield f"fault {number}: {text}"
    for failure in result.pop("failures"):
        yield f"seed {failure['seed']} failed:"
        yield from (f"  {breach}" for breach in failure["breaches"])
        yield from (f"  with fault {n}: {text}" for n, text in failure["faults"].items())
        yield from ("  to repeat it:", failure["repeat"], "")
    yield f"digest {result.pop('digest')}"


def _words(value: Any) -> str:
    """Without the punctuation of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_words, value)) or "none"
    return str(value)
