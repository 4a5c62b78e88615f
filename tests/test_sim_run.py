"""Whole runs in virtual time: the engine survives faults; a run is a function of its seed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support_sources import ROOT

from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.exchange.core import Core
from engine.exchange.face import Action, Event, Face, WsSend
from engine.exchange.stack import make_face
from engine.sim import command
from engine.sim.command import SimOptions, simulate
from engine.sim.outcome import Outcome, Scenario
from engine.sim.run import run_seed
from engine.sim.schedule import (
    ENGINE_KINDS,
    MOMENTS,
    WIRE_KINDS,
    EngineFault,
    Plan,
    WireFault,
    read_plan,
    swarm,
)
from engine.sim.usage import seeds_of

USDM = Scenario("binance_usdm", seconds=40.0)
NOTHING = Plan()
VENUES = ("binance_usdm", "binance_spot", "bybit")


def wire(kind: str, at: str, **fields: Any) -> WireFault:
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return WireFault.model_validate({"kind": kind, "at": at, **named})


def engine_fault(kind: str, at: str, **fields: Any) -> EngineFault:
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return EngineFault.model_validate({"kind": kind, "at": at, **named})


@pytest.mark.parametrize(("venue", "seed"), [
    ("binance_usdm", 27), ("binance_usdm", 204), ("binance_spot", 2), ("binance_spot", 37),
    ("bybit", 2), ("bybit", 8),
])  # fmt: skip
def test_the_engine_survives_a_swarm(venue: str, seed: int) -> None:
    """27 (USD-M): starts that fail, and book what they find; 204: a USER stream that breaks with
    every frame must not cost the weight that renews the dead-man switch; 37 (spot): parts of a
    lot over
    restarts; 8 (Bybit): orders on their way to a half-open connection."""
    scenario = Scenario(venue, seconds=60.0)
    outcome = run_seed(seed, swarm(seed, scenario.seconds, venue), scenario)
    assert outcome.breaches == []
    assert outcome.figures["orders"] > 0


@pytest.mark.parametrize("venue", VENUES)
def test_a_calm_run_trades_and_agrees_to_the_last_unit(venue: str) -> None:
    scenario = Scenario(venue, seconds=40.0)
    outcome = run_seed(4, NOTHING, scenario)
    assert outcome.breaches == []
    assert outcome.figures["fills"] > 2
    assert outcome.figures["reconnects"] == outcome.figures["divergences"] == 0
    assert outcome.virtual_s >= scenario.seconds


@pytest.mark.parametrize(("venue", "moment"), [
    *zip(VENUES, MOMENTS, strict=False), ("binance_usdm", "send"), ("bybit", "message"),
])  # fmt: skip
def test_a_killed_engine_starts_again_and_owns_what_it_did(venue: str, moment: str) -> None:
    kills = [
        engine_fault("kill", f"{at}s", for_="1500ms", moment=moment, torn=at > 10)
        for at in (6, 14)
    ]
    outcome = run_seed(3, Plan(engine=tuple(kills)), Scenario(venue, 30.0))
    assert outcome.breaches == []
    assert outcome.figures["lives"] == 3
    # One whose moment did not come in time falls at any.
    assert moment in [line["moment"] for line in outcome.lines if line["event"] == "killed"]
    assert [line.get("life", 0) for line in outcome.lines if line["event"] == "quoting"][-1] == 2


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("again", ["3ms", "400ms"])
def test_a_killed_engine_is_killed_again_while_it_starts(venue: str, again: str) -> None:
    """Somebody trades all the time; once more it is killed in the first start of all."""
    faults = (
        engine_fault("kill", "2ms", for_="500ms"),
        engine_fault("hand", "5s", for_="6s", per_s=3.0),
        engine_fault("kill", "6s", for_="800ms", again=again),
    )
    outcome = run_seed(2, Plan(engine=faults), Scenario(venue, 30.0))
    assert outcome.breaches == []
    assert (outcome.figures["kills"], outcome.figures["lives"]) == (3, 4)
    started = [line.get("life", 0) for line in outcome.lines if line["event"] == "started"]
    assert started[-1] == 3


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("killed", ["0s", "1ms"])
def test_a_stopped_engine_goes_on_even_if_it_was_killed_meanwhile(
    venue: str, killed: str
) -> None:
    stop = engine_fault("stop", "6s", for_="500ms", killed=killed)
    outcome = run_seed(3, Plan(engine=(stop,)), Scenario(venue, 30.0))
    assert outcome.breaches == []
    assert (outcome.figures["stops"], outcome.figures["lives"]) == (1, 2)
    stopped = [line for line in outcome.lines if line["event"] == "stopped"]
    # Killed in time, the first of them told nothing any more.
    assert [line["open_orders_at_venue"] for line in stopped] == [0] * (1 + (killed == "0s"))
    assert outcome.figures["kills"] == (killed != "0s")


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_somebody_trades_by_hand_on_the_same_account(seed: int) -> None:
    """Under both policies, and at all venues in turn."""
    venue = VENUES[seed % 3]
    hand = engine_fault("hand", "4s", for_="12s", per_s=3.0)
    outcome = run_seed(seed, Plan(engine=(hand,)), Scenario(venue, 40.0))
    assert outcome.breaches == []
    assert outcome.figures["hand_orders"] > 5
    assert outcome.figures["strangers"] > 0


def test_every_connection_comes_back_after_a_cut() -> None:
    faults = tuple(
        wire("cut", f"{3 + i}s", what=what, up_lost=i % 2 == 0)
        for i, what in enumerate(("market", "user", "trade", "user", "trade"))
    )
    outcome = run_seed(5, Plan((), faults), USDM)
    assert outcome.breaches == []
    assert outcome.figures["reconnects"] == len(faults)


def test_reconnection_waits_as_long_as_the_venue_asks() -> None:
    """The fault is over after 2 s, the venue asked for 9: a try before that could be a ban."""
    from engine.exchange.faults_schedule import fault

    throttled = fault("throttled", at="4900ms", for_="2s", via="rest", match="listenKey",
                      retry_after="9s")  # fmt: skip
    plan = Plan((throttled,), (wire("cut", "5s", what="user"),))
    outcome = run_seed(5, plan, USDM)
    assert outcome.breaches == []
    told = [line for line in outcome.lines if line.get("name") == "USER"]
    refused, up = told[-2], told[-1]
    assert (refused["state"], up["state"]) == ("down", "up")
    assert "429" in refused["why"]
    assert up["at_s"] - refused["at_s"] >= 9.0
    assert outcome.figures["throttled"] == 1


# -- ENGINE FAULTS THAT THE SIMULATOR FOUND, EACH WITH WHAT SHOWS IT ---


def test_shutdown_does_not_take_its_own_position_for_the_venues() -> None:
    """A quote is filled while the user stream is half-open: at the end the core was told its own
    position as if the venue had said it, and the missed fill was no difference any more."""
    outcome = run_seed(26, Plan((), (wire("wire_half_open", "8s", for_="6s", what="user"),)), USDM)
    assert outcome.breaches == []


def test_a_feed_that_breaks_for_ever_does_not_get_the_address_banned() -> None:
    """Snapshots were fetched as fast as frames broke: throttled, banned, and no cancel at the
    end."""
    from engine.exchange.faults_schedule import fault

    garbled = fault("garble", at="3s", for_="40s", conn="market", probability=0.05)
    outcome = run_seed(6, Plan((garbled,), ()), Scenario("binance_usdm", 45.0, pace=1.0))
    assert outcome.breaches == []
    assert outcome.figures["throttled"] == 0


# -- SAME SEED, SAME RUN ---


def in_a_process(hash_seed: str, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "sim", "--json", *args],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == EXIT_OK, done.stderr + done.stdout
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_the_same_seeds_give_the_same_run_in_other_processes() -> None:
    """Three processes with three hash seeds: here, and two workers of a third."""
    other = in_a_process("2", "--seeds", "7..9", "--seconds", "20", "--jobs", "2")
    own = simulate(SimOptions("7..9", Scenario("binance_usdm", 20.0), "swarm"))
    told = ("digest", "orders", "fills", "messages_down", "face_steps", "seconds_virtual")
    assert [own[name] for name in told] == [other[name] for name in told]
    one = simulate(SimOptions("10", Scenario("binance_usdm", 20.0), "swarm"))
    two = simulate(SimOptions("11", Scenario("binance_usdm", 20.0), "swarm"))
    assert one["digest"] != two["digest"]


def test_a_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.sim import run

    monkeypatch.setattr(run, "MEMORY", tmp_path)
    descriptors = len(os.listdir("/proc/self/fd"))
    run_seed(8, swarm(8, 20.0, "binance_usdm"), Scenario("binance_usdm", 20.0))
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_the_journal_of_a_run_replays_to_identical_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Virtual time is in the journal like any other: `tickmaker verify` needs nothing else."""
    from engine.replay.verify import verify_run
    from engine.sim import run

    honest = run._Run.outcome

    def kept(self: run._Run) -> Outcome:
        shutil.copytree(self.folder / "run-0", tmp_path / "run")
        return honest(self)

    monkeypatch.setattr(run._Run, "outcome", kept)
    stormy = swarm(3, 20.0, "binance_usdm")
    plan = Plan(stormy.venue, stormy.wire)
    outcome = run_seed(3, plan, Scenario("binance_usdm", 20.0))
    result = verify_run(tmp_path / "run")
    assert result["identical"], result["first_difference"]
    assert result["orders"] >= outcome.figures["orders"] > 0


# -- A LIE OF THE VENUE IS FOUND, SHRUNK, AND CAN BE REPEATED ---


class Liar:
    """Says a fee that is one too high in every report of a fill."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def __getattr__(self, name: str) -> Any:
        return getattr(self._face, name)

    def step(self, event: Event, t_ns: int) -> list[Action]:
        return [
            action._replace(text=action.text.replace('"n":"0.', '"n":"1.'))
            if isinstance(action, WsSend) and '"ORDER_TRADE_UPDATE"' in action.text else action
            for action in self._face.step(event, t_ns)
        ]  # fmt: skip


class Painter(Liar):
    """Every size of the market is another."""

    def step(self, event: Event, t_ns: int) -> list[Action]:
        return [
            action._replace(text=SIZE.sub('\\1"0.777"', action.text))
            if isinstance(action, WsSend) and '"stream"' in action.text else action
            for action in self._face.step(event, t_ns)
        ]  # fmt: skip


SIZE = re.compile(r'("[BA]":|\["[0-9.]+",)"(?!0\.0*"|0")[0-9.]+"')


def test_an_engine_that_believes_in_another_market_is_named() -> None:
    def lying(venue: str, core: Core) -> Face:
        return Painter(make_face(venue, core))

    outcome = run_seed(4, NOTHING, USDM, lying)
    assert any("never saw the market as it is" in one for one in outcome.breaches)


def test_an_engine_that_quotes_nothing_in_peace_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.sim import peace

    monkeypatch.setattr(peace, "OURS", re.compile("nobody"))
    outcome = run_seed(4, NOTHING, USDM)
    assert any("had no order at the venue" in one for one in outcome.breaches)


def test_a_lie_about_fees_is_named() -> None:
    def lying(venue: str, core: Core) -> Face:
        return Liar(make_face(venue, core))

    outcome = run_seed(4, NOTHING, USDM, lying)
    assert any("fee_e8 was" in breach for breach in outcome.breaches), outcome.breaches


def planted(seed: int, plan: Plan, scenario: Scenario) -> Outcome:
    """A run that fails when seed 2 has both a cut and a split."""
    kinds = {fault.kind for fault in plan.wire}
    outcome = Outcome(seed, plan.texts(), digest=f"{seed}", virtual_s=10.0)
    if seed == 2 and {"cut", "split"} <= kinds:
        outcome.breaches.append("planted")
    return outcome


def test_a_failing_seed_is_shrunk_to_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "run_one", planted)
    path = tmp_path / "storm.toml"
    tables = [f'[[wire]]\nkind = "{kind}"\nat = "3s"\n' for kind in (*WIRE_KINDS, "cut")]
    path.write_text("\n".join(tables))
    options = SimOptions("1..3", Scenario("binance_usdm", 30.0), str(path))
    result = simulate(options)
    assert (result["seeds"], result["failed"]) == (3, 1)
    (failure,) = result["failures"]
    assert failure["seed"] == 2
    assert {text.split(": ")[1].split()[0] for text in failure["faults"].values()} == {
        "cut", "split",
    }  # fmt: skip
    only = ",".join(map(str, failure["faults"]))
    assert failure["repeat"] == (
        f"tickmaker sim --seeds 2 --venue binance_usdm --schedule {path} --seconds 30 "
        f"--only {only}"
    )
    again = simulate(SimOptions("2", options.scenario, str(path), only=only))
    assert again["failed"] == 1
    fewer = simulate(SimOptions("2", options.scenario, str(path), only=only.split(",")[0]))
    assert fewer["failed"] == 0


# -- SCHEDULES AND USAGE ---


def test_swarms_differ_by_seed_and_end_before_the_calm() -> None:
    plans = [swarm(seed, 60.0, "binance_usdm") for seed in range(60)]
    assert len({str(plan.texts()) for plan in plans}) == 60
    kinds = {fault.kind for plan in plans for fault in plan.faults}
    assert kinds > {*WIRE_KINDS, *ENGINE_KINDS}
    for plan in plans:
        early = [fault for fault in plan.faults if fault.at_ns < 3e9]
        assert len(early) <= 1  # a kill while the first engine starts
        assert all(fault.kind == "kill" for fault in early)
        assert all(fault.at_ns + fault.window_ns <= 40e9 for fault in plan.engine)
        assert all(fault.at_ns <= 40e9 for fault in plan.faults)
    lives = [fault for plan in plans for fault in plan.engine]
    assert any(fault.again_ns for fault in lives if fault.kind == "kill")
    assert {bool(fault.killed_ns) for fault in lives if fault.kind == "stop"} == {True, False}
    assert any(
        hand.at_ns <= kill.at_ns <= hand.at_ns + hand.window_ns
        for plan in plans for hand in plan.engine for kill in plan.engine
        if (hand.kind, kill.kind) == ("hand", "kill")
    )  # fmt: skip
    assert str(swarm(5, 60.0, "bybit")) == str(swarm(5, 60.0, "bybit"))


def test_a_schedule_file_holds_both_kinds_of_faults(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        '[[fault]]\nkind = "drop"\nat = "4s"\n\n[[wire]]\nkind = "cut"\nat = "5s"\n'
        'what = "user"\n\n[[fault]]\nkind = "garble"\nat = "6s"\n'
    )
    plan = read_plan(path)
    assert [fault.kind for fault in plan.venue] == ["drop", "garble"]
    assert [(fault.kind, fault.what, fault.at_ns) for fault in plan.wire] == [
        ("cut", "user", 5_000_000_000)
    ]
    assert [fault.kind for fault in plan.only([0, 2]).venue] == ["drop"]
    assert len(plan.only([0, 2])) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[wire]]\nkind = "cut"\n\n[[wire]]\nkind = "tear"\n', ":4: wire: kind"),
        ('\n[[wire]]\nkind = "cut"\nat = "5"\n', ":2: wire: at"),
        ('[[wire]]\nkind = "cut"\n[[fault]]\nkind = "drp"\n', ":4: no kind of fault"),
        ("[[wire]]\nkind = cut\n", ":1: no TOML"),
    ],
)
def test_a_faulty_schedule_is_refused_with_its_line(
    text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(TickmakerError) as caught:
        read_plan(path)
    assert f"{path}{says}" in caught.value.what
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("text", ["", "x", "5..1", "-1..3", "1..9999999999", "1.."])
def test_seeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(TickmakerError, match=r"Expected A\.\.B"):
        seeds_of(text)


@pytest.mark.parametrize(
    "args",
    [["--jobs", "0"], ["--seconds", "1"], ["--only", "x"], ["--schedule", "missing.toml"],
     ["--venue", "nowhere"], ["--strategy", "nope"], ["--strategy", "stat_arb"],
     ["--instruments", "-1"], ["--instruments", "999"], ["--pace", "0"], ["--pace", "-1"],
     ["--pace", "nan"], ["--seconds", "nan"], ["--seconds", "inf"], ["--jobs", "9999"],
     ["--only", "999"], ["--only", "-1"], ["--schedule", "none", "--only", "0"],
     ["--seeds", "1..2", "--only", "0"], ["--only", "0,,1"]],
)  # fmt: skip
def test_usage_is_refused_with_code_2(args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from engine import cli

    monkeypatch.setattr(sys, "argv", ["tickmaker", "sim", "--seeds", "1", *args])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == EXIT_USAGE


def test_a_failure_exits_with_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from engine import cli

    path = tmp_path / "s.toml"
    path.write_text('[[wire]]\nkind = "cut"\n[[wire]]\nkind = "split"\n')
    monkeypatch.setattr(command, "run_one", planted)
    monkeypatch.setattr(sys, "argv", ["tickmaker", "sim", "--seeds", "2", "--json",
                                      "--schedule", str(path)])  # fmt: skip
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == EXIT_FAILED
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["failures"][0]["breaches"] == ["planted"]


def test_the_docs_name_every_kind_of_the_wire_and_what_is_left_out() -> None:
    from engine.exchange.faults_schedule import KINDS
    from engine.sim.schedule import VENUE_KINDS

    text = (ROOT / "docs" / "sim.md").read_text()
    rest, _, left_out = text.partition("## Left out")
    assert [kind for kind in WIRE_KINDS if f"`{kind}`" not in rest] == []
    assert [kind for kind in ENGINE_KINDS if f"`{kind}`" not in rest] == []
    assert [kind for kind in KINDS if (f"`{kind}`" in left_out) == (kind in VENUE_KINDS)] == []
