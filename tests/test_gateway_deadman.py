"""The dead-man switch: armed, renewed, told when it is late, and disarmed for good."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from support_keeper import rigged
from support_rest import Asked, adapter

from engine import clock
from engine.gateway.account_calls import AccountCalls
from engine.gateway.budget import Budget
from engine.gateway.deadman import DeadMan
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.venues.base import Call, Failure, Instrument

BTC = Instrument(
    "binance_usdm", "BTCUSDT", "0.10", "0.001", Decimal(1), Decimal(9), Decimal(5),
    "BTC", "USDT",
)  # fmt: skip


def nothing(*_: Any, **__: Any) -> None:
    pass


async def until(is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not is_done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def dead_man(rest: Any, told: list[bool], timeout_s: Any, made: Any = None) -> DeadMan:
    return DeadMan(rest, made or adapter(), [BTC], timeout_s, told.append, rng=Random(1),
                   emit=nothing)  # fmt: skip


class Switches:
    """An adapter with a dead-man call for each of its symbols."""

    name = "switches"
    has_dead_man = True
    dead_man_delay_s = 0.0

    def __init__(self, *symbols: str) -> None:
        self.symbols = symbols or ("A",)

    def dead_man(self, instruments: Any, timeout_ms: int) -> Any:
        return tuple(
            Call("POST", "/c", lambda _: None, {"symbol": symbol, "ms": str(timeout_ms)})
            for symbol in self.symbols
        )

    def dead_man_is_set(self, instruments: Any, timeout_ms: int) -> None:
        return None


class Wire(RestClient):
    """Each call is on its way until it is let go."""

    def __init__(self) -> None:
        self.budget = Budget(2_400)
        self.sent: list[tuple[str, bool]] = []  # symbol, whether it arms
        self.arrived: list[tuple[str, bool]] = []
        self.held: dict[str, asyncio.Event] = {}  # by symbol: does not arrive before

    async def call(self, call: Call[Any], **_: Any) -> Any:
        what = call.params["symbol"], call.params["ms"] != "0"
        self.sent.append(what)
        if what[1] and what[0] in self.held:
            await self.held[what[0]].wait()
        else:
            await asyncio.sleep(0)
        self.arrived.append(what)


def test_dead_man_is_not_armed_again_once_it_was_disarmed() -> None:
    async def go() -> None:
        wire: Any = Wire()
        one = dead_man(wire, [], 0.06, Switches("A", "B", "C"))
        await one.arm()
        wire.held["B"] = asyncio.Event()
        keeping = asyncio.ensure_future(one.keep())
        await until(lambda: ("B", True) in wire.sent[3:])
        ending = asyncio.ensure_future(one.disarm())
        await asyncio.sleep(0.02)
        assert ("A", False) not in wire.sent  # a renewal is on its way still
        wire.held["B"].set()
        await ending
        await keeping
        await asyncio.sleep(0.1)
        first = wire.arrived.index(("A", False))
        assert {what for what in wire.arrived[first:] if what[1]} == set()
        assert sorted(wire.arrived[-3:]) == [("A", False), ("B", False), ("C", False)]

    asyncio.run(go())


def test_dead_man_cuts_off_a_renewal_that_hangs_when_it_ends() -> None:
    async def go() -> None:
        wire: Any = Wire()
        one = dead_man(wire, [], 0.06, Switches("A", "B"))
        await one.arm()
        wire.held["B"] = asyncio.Event()
        keeping = asyncio.ensure_future(one.keep())
        await until(lambda: ("B", True) in wire.sent[2:])
        await one.disarm()
        wire.held["B"].set()
        await keeping
        assert wire.arrived[-2:] == [("A", False), ("B", False)]

    asyncio.run(go())


def test_dead_man_renewal_that_hangs_holds_up_no_other() -> None:
    async def go() -> None:
        told: list[bool] = []
        wire: Any = Wire()
        one = dead_man(wire, told, 0.3, Switches("A", "B", "C"))
        await one.arm()
        wire.held["B"] = asyncio.Event()
        keeping = asyncio.ensure_future(one.keep())
        await until(lambda: told[-1])  # B is late, and that is told
        assert wire.sent.count(("B", True)) == 2
        assert min(wire.arrived.count((symbol, True)) for symbol in "AC") >= 2
        wire.held.pop("B").set()
        await until(lambda: not told[-1])
        keeping.cancel()

    asyncio.run(go())


def test_dead_man_renewals_are_spread_and_the_oldest_goes_first() -> None:
    async def go() -> None:
        wire: Any = Wire()
        symbols = [f"S{number:02}" for number in range(50)]
        one = dead_man(wire, [], 30, Switches(*symbols))
        await one.arm()
        one._spread()
        since_ns = [switch.due_ns - switch.confirmed_ns for switch in one._switches]
        assert since_ns == pytest.approx([2e8 * (index + 1) for index in range(50)])
        one._switches[31].confirmed_ns -= 1_000_000_000
        one._switches[7].confirmed_ns -= 2_000_000_000
        wire.sent.clear()
        one._launch(clock.monotonic_ns() + 60_000_000_000)
        await until(lambda: len(wire.arrived) == 56)
        assert [symbol for symbol, _ in wire.sent][:2] == ["S07", "S31"]

    asyncio.run(go())


def test_dead_man_keeps_free_what_its_renewals_cost() -> None:
    async def go() -> None:
        wire: Any = Wire()
        one = dead_man(wire, [], 30, Switches(*"ABCDEFGHIJ"))
        assert wire.budget._upkeep_per_min == 10 * 60 / (30 / 3)  # of weight 1 here
        await one.disarm()
        assert wire.budget._upkeep_per_min == 0

    asyncio.run(go())


def test_dead_man_is_armed_though_our_budget_holds_it_back() -> None:
    async def go() -> None:
        failure = Failure(0, 0, "", is_throttled=True, retry_after_s=0.01)
        held = VenueError("held back", "", failure)
        rest, told = Asked(), list[bool]()
        one = dead_man(rest, told, 30, Switches("A", "B"))
        rest.answers = [held, held]
        await one.arm()
        assert len(rest.calls) == 4
        assert told == [True, False]

    asyncio.run(go())


def test_dead_man_is_armed_renewed_and_disarmed() -> None:
    async def go() -> None:
        async with rigged() as rig:
            told: list[bool] = []
            one = DeadMan(rig.rest, rig.adapter, [rig.btc], 1, told.append, rng=Random(1),
                          emit=rig.emit)  # fmt: skip
            assert told == [True]
            await rig.place("tm-1")
            await one.arm()
            assert told == [True, False]
            keeping = asyncio.ensure_future(one.keep())
            await rig.until(lambda: one.renewals >= 4)
            assert told == [True, False]
            calls = AccountCalls(rig.rest, rig.adapter, [rig.btc], rng=Random(1))
            assert len(await calls.open_orders(rig.btc)) == 1  # it did not fire
            keeping.cancel()
            await one.disarm()
            await asyncio.sleep(1.1)
            assert len(await calls.open_orders(rig.btc)) == 1  # nor does it now
            assert told == [True, False]

    asyncio.run(go())


def test_dead_man_that_is_not_confirmed_in_time_is_told() -> None:
    async def go() -> None:
        told: list[bool] = []
        rest = Asked()
        one = dead_man(rest, told, 1.2, Switches())  # late after 0.8: more than a test's stalls
        await one.arm()
        keeping = asyncio.ensure_future(one.keep())
        await until(lambda: one.renewals >= 3)
        assert told == [True, False]
        rest.answers = [UnreachableError("no answer")] * 1_000
        await until(lambda: told[-1])
        assert one.is_armed is False
        rest.answers = []
        await until(lambda: not told[-1])
        keeping.cancel()

    asyncio.run(go())


class OfStream:
    name = "bybit"
    has_dead_man = True
    dead_man_delay_s = 0.3

    def __init__(self, is_set: bool = True) -> None:
        self.is_set = is_set

    def dead_man(self, instruments: Any, timeout_ms: int) -> Any:
        return (Call("POST", "/dcp", lambda _: None),) if timeout_ms > 0 else ()

    def dead_man_is_set(self, instruments: Any, timeout_ms: int) -> Call[bool]:
        return Call("GET", "/dcp", lambda _: self.is_set)


@pytest.mark.parametrize("is_set", [True, False])
def test_dead_man_that_is_set_anew_is_armed_when_it_works(is_set: bool) -> None:
    async def go() -> None:
        told: list[bool] = []
        one = dead_man(Asked(), told, 1, OfStream(is_set))
        one.on_user(True)
        begun_ns = clock.monotonic_ns()
        await one.arm()
        assert one.is_armed is is_set
        keeping = asyncio.ensure_future(one.keep())
        await until(lambda: one.is_armed)
        waited_ns = clock.monotonic_ns() - begun_ns
        keeping.cancel()
        assert told == [True, False]
        assert is_set or waited_ns >= 0.3e9

    asyncio.run(go())


def test_dead_man_of_the_user_stream_hangs_on_it() -> None:
    async def go() -> None:
        told: list[bool] = []
        rest = Asked()
        one = dead_man(rest, told, 0.05, OfStream())
        await one.arm()
        assert told == [True]  # set, but nothing to hang on
        one.on_user(True)
        one.on_user(False)
        one.on_user(True)
        assert told == [True, False, True, False]
        keeping = asyncio.ensure_future(one.keep())
        await asyncio.sleep(0.2)
        keeping.cancel()
        assert told == [True, False, True, False]  # it stays armed without a word
        await one.disarm()
        assert [call.method for call in rest.calls] == ["GET", "POST"]  # it can't be disarmed

    asyncio.run(go())


@pytest.mark.parametrize(("timeout_s", "has"), [(0, True), (10, False)])
def test_dead_man_that_is_not_wanted_or_not_there_says_nothing(timeout_s: int, has: bool) -> None:
    class Venue:
        name = "x"
        has_dead_man = has

    async def go() -> None:
        told: list[bool] = []
        rest = Asked()
        one = dead_man(rest, told, timeout_s, Venue())
        await one.arm()
        await one.keep()
        one.on_user(False)
        await one.disarm()
        assert told == []
        assert rest.calls == []
        assert one.is_armed

    asyncio.run(go())
