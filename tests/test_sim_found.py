"""Faults of the engine that seeds of the simulator found, each with the few faults of it."""

from typing import Any

import pytest

from engine.exchange.faults_schedule import fault
from engine.sim.outcome import Outcome, Scenario
from engine.sim.run import run_seed
from engine.sim.schedule import EngineFault, Plan, WireFault


def wire(kind: str, at: str, **fields: Any) -> WireFault:
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return WireFault.model_validate({"kind": kind, "at": at, **named})


def engine_fault(kind: str, at: str, **fields: Any) -> EngineFault:
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return EngineFault.model_validate({"kind": kind, "at": at, **named})


def run(venue: str, seed: int, *faults: Any, seconds: float = 60.0) -> Outcome:
    """With the faults of the venue, of the wire and of the engine, in any order."""
    wires = tuple(one for one in faults if isinstance(one, WireFault))
    engines = tuple(one for one in faults if isinstance(one, EngineFault))
    rest = tuple(one for one in faults if not isinstance(one, WireFault | EngineFault))
    return run_seed(seed, Plan(rest, wires, engines), Scenario(venue, seconds))


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_spot"])
@pytest.mark.parametrize(("refused", "reset"), [("1s", "10500ms"), ("50ms", "10300ms")])
def test_update_ids_that_start_anew_before_the_book_stands(
    venue: str, refused: str, reset: str
) -> None:
    """Spot 378: with diffs of the old ids waiting for their snapshot, or with a snapshot of the
    old ids waiting for its diff, nothing that came could link: no book for the rest of the run."""
    outcome = run(
        venue, 1,
        wire("cut", "10s", what="market"),
        wire("refuse", "9900ms", what="http", for_=refused),
        fault("sequence_reset", at=reset, symbol="BTCUSDT"),
        seconds=40.0,
    )
    assert outcome.breaches == []
    # The feed itself was sound: no new subscription was needed.
    assert outcome.figures["reconnects"] == 1


def test_user_stream_comes_back_after_a_clock_that_jumped() -> None:
    """Spot 72: measured while the venue's clock was off, and then only every 30 s: each logon of
    USER was refused for its time stamp, and nothing else was sent that would have shown it."""
    outcome = run(
        "binance_spot", 72,
        fault("clock_skew", at="28560ms", for_="3042ms", by="-2287ms"),
        wire("stall", "28294ms", what="user", for_="7450ms"),
    )
    assert outcome.breaches == []


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_spot", "bybit"])
def test_events_of_the_account_that_come_late_halt_and_heal(venue: str) -> None:
    """Beyond ack_ms an acknowledged order, or the end of one, that USER does not tell of halts."""
    outcome = run(
        venue, 2, fault("delay", at="5s", for_="8s", conn="user", probability=1.0, by="1500ms"),
        seconds=40.0,
    )  # fmt: skip
    assert outcome.breaches == []
    halted = [
        line["at_s"] for line in outcome.lines
        if line["event"] == "state" and "USER_STREAM" in str(line["state"])
    ]  # fmt: skip
    assert any(at_s > 5.0 for at_s in halted)
