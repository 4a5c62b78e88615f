"""What `tickmaker sim` is asked for, checked before anything runs: each refusal names its reason.

A fault that can't do anything is refused, too: a report that lists it would say that the run had
met it.
"""

import re
from math import isfinite
from pathlib import Path

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.stack import VENUES
from engine.sim.engines import listings_of
from engine.sim.outcome import Scenario
from engine.sim.schedule import Plan, read_plan, swarm
from fastcore.strategy_table import BUILTINS

SEEDS_MAX = 1_000_000
SECONDS_MIN, SECONDS_MAX = 5.0, 30 * 86_400.0
PACE_MIN, PACE_MAX = 0.001, 10.0
JOBS_MAX = 256
INSTRUMENTS_MAX = 200
SEEDS = re.compile(r"([0-9]{1,18})(?:\.\.([0-9]{1,18}))?", re.ASCII)
NUMBERS = re.compile(r"[0-9]{1,6}(?:,[0-9]{1,6})*", re.ASCII)


def refusal(what: str, remedy: str) -> TickmakerError:
    return TickmakerError(what, remedy, EXIT_USAGE)


def check_scenario(scenario: Scenario) -> None:
    if scenario.venue not in VENUES:
        raise refusal(
            f"--venue {scenario.venue!r} is unknown", f"Pass one of {', '.join(VENUES)}."
        )
    if not (isfinite(scenario.seconds) and SECONDS_MIN <= scenario.seconds <= SECONDS_MAX):
        raise refusal(
            f"--seconds is {scenario.seconds:g}",
            f"Pass {SECONDS_MIN:g} (the engine starts first) to {SECONDS_MAX:.0f}.",
        )
    if not (isfinite(scenario.pace) and PACE_MIN <= scenario.pace <= PACE_MAX):
        raise refusal(
            f"--pace is {scenario.pace:g}",
            f"Pass {PACE_MIN:g} to {PACE_MAX:g}; 1: a liquid market's.",
        )
    if scenario.strategy:
        _check_strategy(scenario.strategy)
    if not 0 <= scenario.instruments <= INSTRUMENTS_MAX:
        raise refusal(
            f"--instruments is {scenario.instruments}",
            f"Pass 1 to {INSTRUMENTS_MAX}; 0: by the seed.",
        )


def _check_strategy(name: str) -> None:
    usable = sorted(one for one, row in BUILTINS.items() if not row.needs_reference)
    if name not in usable:
        is_known = name in BUILTINS
        reason = "hedges on a second instrument; there is one here" if is_known else "is unknown"
        raise refusal(f"--strategy {name!r} {reason}", f"Pass one of {', '.join(usable)}.")


def check_jobs(jobs: int) -> None:
    if not 1 <= jobs <= JOBS_MAX:
        raise refusal(f"--jobs is {jobs}", f"Pass 1 to {JOBS_MAX}.")


def seeds_of(text: str) -> range:
    """`7` or `1..20`, both ends included."""
    match = SEEDS.fullmatch(text)
    seeds = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not seeds or len(seeds) > SEEDS_MAX:
        raise refusal(
            f"--seeds {text!r}: Expected A..B with 0 <= A <= B, at most {SEEDS_MAX:,} of them",
            "Pass for example 1..20, or one number.",
        )
    return seeds


def plan_of(schedule: str, scenario: Scenario) -> Plan | None:
    """None: each seed has a swarm of its own."""
    if schedule == "swarm":
        return None
    if schedule == "none":
        return Plan()
    plan = read_plan(Path(schedule))
    for number, reason in enumerate(_idle(plan, scenario)):
        if reason:
            raise refusal(
                f"--schedule {schedule}: fault {number} ({plan.texts()[number]}): {reason}",
                "docs/sim.md says what each venue can meet.",
            )
    return plan


def _idle(plan: Plan, scenario: Scenario) -> list[str]:
    """Why each fault would do nothing, or nothing that could be judged; empty: it is fit."""
    symbols = [listing.instrument.key for listing in listings_of(0, scenario)]
    reasons = []
    for fault in plan.faults:
        symbol, reason = getattr(fault, "symbol", ""), ""
        if fault.at_ns >= scenario.seconds * 1e9:
            reason = f"it begins after the {scenario.seconds:g} s of the run"
        elif symbol and symbol not in symbols:
            reason = f"no symbol {symbol} here; there is {', '.join(symbols)}"
        elif fault.kind == "tick_change":
            reason = "the audit's sums are in ticks: a new one is left out"
        reasons.append(reason)
    return reasons


def numbers_of(text: str, seeds: range, plan: Plan | None, scenario: Scenario) -> (
    tuple[int, ...] | None
):  # fmt: skip
    """--only: None for all faults of the schedule."""
    if not text:
        return None
    if text == "none":
        return ()
    if not NUMBERS.fullmatch(text):
        raise refusal(
            f"--only {text!r}: Expected numbers of faults with commas between, or `none`",
            "A failing seed's report says which.",
        )
    numbers = tuple(int(part) for part in text.split(","))
    if plan is None and len(seeds) > 1:
        raise refusal(
            f"--only {text}: each of {len(seeds)} seeds has a swarm of its own",
            "Pass one seed, or a schedule file.",
        )
    if plan is None:
        plan = swarm(seeds[0], scenario.seconds, scenario.venue)
    if beyond := [number for number in numbers if number >= len(plan)]:
        has = f"0 to {len(plan) - 1}" if len(plan) else "none"
        raise refusal(
            f"--only {text}: there is no fault {beyond[0]}",
            f"Faults of this schedule: {has}. Without --only a single seed lists them.",
        )
    return numbers
