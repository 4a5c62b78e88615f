"""The virtual-time loop: time is the loop's alone, jumps, and is the same for every clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from support_core import API_KEY, SECRET, core_config

from engine import clock
from engine.gateway.hotsocket import HotLoop, ns_per_tick
from engine.sim import loop as virtual
from engine.sim.loop import START_NS, UTC_START_NS, StandstillError, VirtualLoop, virtual_time
from fastcore.core import Core
from fastcore.journal import JournalWriter

T = TypeVar("T")
DAY_S = 86_400


def run(work: Callable[[], Awaitable[T]]) -> T:
    loop = VirtualLoop()
    try:
        with virtual_time(loop):
            return loop.run_until_complete(work())  # type: ignore[arg-type]
    finally:
        loop.close()


def elapsed_s() -> float:
    return (clock.monotonic_ns() - START_NS) / 1e9


def test_a_day_of_sleep_passes_at_once_and_exactly() -> None:
    async def work() -> tuple[int, int, float]:
        before_ns = clock.real_monotonic_ns()
        await asyncio.sleep(DAY_S)
        assert clock.real_monotonic_ns() - before_ns < DAY_S * 1_000_000_000
        return clock.monotonic_ns(), clock.wall_ns(), asyncio.get_running_loop().time()

    monotonic_ns, wall_ns, seconds = run(work)
    assert monotonic_ns == START_NS + DAY_S * 1_000_000_000
    assert wall_ns == UTC_START_NS + DAY_S * 1_000_000_000
    assert seconds == monotonic_ns / 1e9


def test_time_stands_still_while_anything_is_ready() -> None:
    async def work() -> None:
        asyncio.get_running_loop().call_later(1e-9, lambda: None)
        for _ in range(1_000):
            await asyncio.sleep(0)
            assert clock.monotonic_ns() == START_NS

    run(work)


def test_timers_run_in_order_of_time_then_of_setting_and_not_when_cancelled() -> None:
    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        said: list[str] = []
        loop.call_later(0.2, said.append, "c")
        loop.call_later(0.1, said.append, "a")
        loop.at_ns(START_NS + 100_000_000, said.append, "b")
        loop.call_later(0.15, said.append, "never").cancel()
        loop.at_ns(START_NS - 5, said.append, "at once")
        await asyncio.sleep(0.3)
        return said

    assert run(work) == ["at once", "a", "b", "c"]


def test_timeouts_and_events_work_as_anywhere() -> None:
    async def work() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return elapsed_s()

    assert run(work) == 2.5


def test_a_loop_that_waits_for_nothing_says_so() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StandstillError, match="no timer is set"):
        run(work)


def test_a_circle_without_time_passing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "TURNS_MAX", 500)

    async def work() -> None:
        for _ in range(1_000):
            await asyncio.sleep(0)

    with pytest.raises(StandstillError, match="500 turns"):
        run(work)


def test_an_exception_in_a_bare_call_goes_to_the_handler() -> None:
    async def work() -> list[object]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        heard: list[object] = []
        loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
        loop.at_ns(START_NS + 1, lambda arg: 1 // arg, 0)
        await asyncio.sleep(1)
        return heard

    (error,) = run(work)
    assert isinstance(error, ZeroDivisionError)


def test_the_compiled_edge_lives_in_the_same_time() -> None:
    """Its journal is stamped by its own clock reads."""

    async def work() -> tuple[int, float]:
        segment = bytearray(1 << 20)
        hot = HotLoop()
        hot.add_core(Core(core_config(), API_KEY, SECRET, JournalWriter(segment)))
        await asyncio.sleep(7)
        hot.clock(0, 0)
        stamps = [record[4] for record in read(segment)]
        return stamps[-1], ns_per_tick()

    from fastcore.journal import read_segment as read

    assert run(work) == (START_NS + 7_000_000_000, 1.0)


def test_real_clocks_come_back_after_a_failure() -> None:
    loop = VirtualLoop()
    with pytest.raises(ZeroDivisionError), virtual_time(loop):
        raise ZeroDivisionError
    loop.close()
    now_ns = clock.monotonic_ns()
    assert abs(now_ns - clock.real_monotonic_ns()) < 60_000_000_000
    hot = HotLoop()
    hot.add_core(Core(core_config(), API_KEY, SECRET, JournalWriter(bytearray(1 << 20))))
    hot.clock(0, 0)
    assert hot.core(0).numbers()["book_ns"] == 0
    assert clock.wall_ns() > UTC_START_NS
