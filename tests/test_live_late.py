"""engine/live/late.py: orders that were too late, and the halt that they raise."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support_core import Desk
from support_session import rigged, run

from engine.live import late
from engine.live.late import LateWatch
from fastcore.journal import KIND
from fastcore.types import Halt

S_NS = 1_000_000_000


class Rig:
    def __init__(self, late_max: int = 2) -> None:
        self.late, self.told = 0, list[tuple[int, bool]]()
        core = SimpleNamespace(brief=lambda: (0, 0, 0, 0, 0, 0, self.late, 0, 0, 0))
        self.instrument: Any = SimpleNamespace(number=3, core=core)
        self.watch = LateWatch([self.instrument], late_max, lambda *told: self.told.append(told))

    def look(self, at_s: float, late: int) -> None:
        self.late += late
        self.watch.look(self.instrument, int(at_s * S_NS))


def test_more_late_orders_than_may_be_within_a_minute_pull_the_quotes() -> None:
    rig = Rig()
    rig.look(0, 0)
    rig.look(30, 2)
    assert not rig.told
    rig.look(59, 1)
    assert rig.told == [(3, True)]


def test_late_orders_that_are_far_apart_do_not() -> None:
    rig = Rig()
    for at_s in range(0, 600, 30):
        rig.look(at_s, 1)
    assert not rig.told


def test_what_was_late_before_the_first_look_does_not_count() -> None:
    rig = Rig()
    rig.look(0, 50)
    rig.look(1, 2)
    assert not rig.told


def test_only_a_minute_without_a_late_order_clears_it() -> None:
    rig = Rig()
    rig.look(0, 0)
    rig.look(1, 3)
    for at_s in range(2, 50):
        rig.look(at_s, 0)
    rig.look(50, 1)  # an exit's
    rig.look(100, 0)
    rig.look(109, 0)
    assert rig.told == [(3, True)]
    rig.look(110, 0)
    assert rig.told == [(3, True), (3, False)]
    rig.look(111, 3)
    assert rig.told[2:] == [(3, True)]


def test_core_takes_the_halt_as_an_input_of_its_journal() -> None:
    desk = Desk()
    desk.start()
    before = len(desk.records(KIND["CONDITION"]))
    desk.core.condition(Halt.LATENCY, True, desk.now_ns)
    assert Halt(desk.numbers["halt_bits"]) & Halt.LATENCY
    desk.core.condition(Halt.LATENCY, False, desk.now_ns)
    assert not Halt(desk.numbers["halt_bits"]) & Halt.LATENCY
    assert len(desk.records(KIND["CONDITION"])) == before + 2


def test_engine_whose_orders_are_too_late_stands_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No order leaves, each is counted, and then none is tried."""
    monkeypatch.setattr(late, "TURN_S", 0.02)

    async def work() -> None:
        core = {"budgets": {"tick_to_order_us_max": 1e-3, "ack_ms_max": 2_000.0}}
        async with rigged(tmp_path, core=core, late_per_min_max=3) as rig:
            rig.start()
            await rig.until(lambda: rig.heard.of("started"))
            await rig.until(lambda: rig.bits & Halt.LATENCY)
            assert rig.numbers["late"] > 3
            assert rig.numbers["orders_sent"] == 0
            word = int(Halt.LATENCY).to_bytes(8, "little")
            assert (1, word) in rig.records("CONDITION")
            await rig.stop()

    run(work)
