"""Processes die, stop and start: what the next one believes is what happened."""

import signal
import time
from collections.abc import Callable

import pytest
from field import Field

Judge = Callable[..., None]


@pytest.mark.short("binance_usdm")
def test_a_killed_engine_starts_again_and_knows_what_happened(field: Field, judged: Judge) -> None:
    first = field.run()
    first.send(signal.SIGKILL)
    assert first.ended() == 4
    field.sweep()  # what it left resting is filled meanwhile
    second = field.run()
    field.fills(3, field.exchange.length - 1)
    second.stop()
    judged()


def test_killed_twice_in_a_row(field: Field, judged: Judge) -> None:
    first = field.run()
    first.send(signal.SIGKILL)
    first.ended()
    second = field.start()
    second.wait("step", name="leftover orders cancelled")
    second.send(signal.SIGKILL)
    second.ended()
    third = field.run()
    third.send(signal.SIGKILL)
    third.ended()
    fourth = field.run()
    fourth.stop()
    judged()


def test_a_killed_recorder_is_no_reason_to_stop(field: Field, judged: Judge) -> None:
    engine = field.run()
    engine.send(signal.SIGKILL, "recorder")
    field.again(engine)
    field.fills(2, field.exchange.length - 1)
    engine.stop(code=1)
    assert "recorder" in engine.said
    judged()


def test_a_stopped_engine_wakes_up_to_what_happened_meanwhile(field: Field, judged: Judge) -> None:
    engine = field.run()
    engine.send(signal.SIGSTOP)
    field.sweep()
    time.sleep(5.0)
    engine.send(signal.SIGCONT)
    field.again(engine)
    engine.stop()
    judged()
