"""How a simulated run may end: engines that never ran, faults that do nothing, signals."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support_sources import ROOT

from engine.errors import EXIT_USAGE, TickmakerError
from engine.sim import command
from engine.sim.command import SimOptions, simulate, story
from engine.sim.outcome import Outcome, Scenario
from engine.sim.run import run_seed
from engine.sim.schedule import VENUE_KINDS, Plan, WireFault, read_plan, swarm

HOUR = {"kind": "refuse", "at": "0s", "for": "1h"}


@pytest.mark.parametrize("what", ["http", "market"])
def test_an_engine_that_never_started_fails_its_seed(what: str) -> None:
    refused = WireFault.model_validate(HOUR | {"what": what})
    outcome = run_seed(1, Plan((), (refused,)), Scenario("binance_usdm", 10.0))
    breach, *more = outcome.breaches
    assert "ended by itself" in breach
    # Who never reached the venue proves nothing there, and does not say so.
    assert bool(more) is (what == "http"), more
    assert all("could not prove its shutdown" in one for one in more)
    assert "exit code 1" in breach
    assert f"meanwhile fault 0 (0.000 s: refuse {what}" in breach


def test_an_engine_that_is_still_starting_at_the_end_fails_its_seed() -> None:
    stalled = WireFault.model_validate({"kind": "stall", "at": "0s", "for": "4s", "what": "http"})
    outcome = run_seed(1, Plan((), (stalled,)), Scenario("binance_usdm", 3.0))
    assert any("had not started" in breach for breach in outcome.breaches), outcome.breaches


def test_a_swarm_of_bybit_holds_no_ban_of_ten_minutes() -> None:
    kinds = {f.kind for seed in range(80) for f in swarm(seed, 60.0, "bybit").venue}
    assert kinds == set(VENUE_KINDS) - {"banned"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('kind = "cut"\nwhat = "http"', "cut is of connections"),
        ('kind = "cut"\nfor = "1s"', "cut has no for"),
        ('kind = "lose_answer"\nwhat = "user"', "lose_answer has no what"),
        ('kind = "stall"\nshare = 0.5', "stall has no share"),
    ],
)
def test_a_field_that_would_do_nothing_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f"[[wire]]\n{text}\n")
    with pytest.raises(TickmakerError) as caught:
        read_plan(path)
    assert f"{path}:1: wire" in caught.value.what
    assert says in caught.value.what


@pytest.mark.parametrize(
    ("venue", "text", "says"),
    [
        ("bybit", '[[fault]]\nkind = "tick_change"\nat = "3s"', "sums are in ticks"),
        ("bybit", '[[fault]]\nkind = "delist"\nsymbol = "BTCUSDT"', "there is linear/BTCUSDT"),
        ("binance_usdm", '[[fault]]\nkind = "delist"\nsymbol = "NOPE"', "no symbol NOPE"),
        ("binance_usdm", '[[wire]]\nkind = "cut"\nat = "5m"', "begins after the 60 s"),
    ],
)
def test_a_fault_that_would_do_nothing_is_refused(
    venue: str, text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text + "\n")
    with pytest.raises(TickmakerError) as caught:
        simulate(SimOptions("1", Scenario(venue), str(path)))
    assert says in caught.value.what
    assert "fault 0" in caught.value.what
    assert caught.value.exit_code == EXIT_USAGE


def test_the_command_that_repeats_a_failure_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(seed: int, plan: Plan, scenario: Scenario) -> Outcome:
        return Outcome(seed, plan.texts(), ["planted"], digest="0")

    monkeypatch.setattr(command, "run_one", failing)
    path = tmp_path / "a storm.toml"
    path.write_text('[[wire]]\nkind = "cut"\n')
    result = simulate(SimOptions("2", Scenario("binance_usdm", pace=0.123456789), str(path)))
    digest = result["digest"]
    lines = list(story(result))
    (line,) = [line for line in lines if line.startswith("tickmaker sim ")]
    words = shlex.split(line)
    assert words[words.index("--schedule") + 1] == str(path)
    assert words[words.index("--pace") + 1] == "0.123456789"
    assert words[-2:] == ["--only", "none"]
    assert lines[-1] == f"digest {digest}"
    assert len(digest) == 64


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_its_workers(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The line comes from the first seed's folder: then workers run."""
    program = (
        "import signal, sys, pathlib, engine.sim.run as run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"run.MEMORY = pathlib.Path({str(tmp_path)!r})\n"
        "from engine.cli import main\n"
        "if __name__ == '__main__':\n"
        "    sys.argv = ['tickmaker', 'sim', '--seeds', '1..90000', '--jobs', '2']\n"
        "    main()\n"
    )
    path = tmp_path / "main.py"
    path.write_text(program)
    running = subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    while running.poll() is None and len(list(tmp_path.glob("tickmaker-sim-*/*"))) < 2:
        time.sleep(0.02)
    running.send_signal(number)
    # The workers hold both pipes: these end with the last of them.
    told = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "exception" not in told[1], told[1]
    assert "Traceback" not in told[1], told[1]
    assert list(tmp_path.glob("tickmaker-sim-*")) == []
