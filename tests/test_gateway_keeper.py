"""Keepers against the local exchange and its faults: the right reaction, and no more than that."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest
from support_keeper import QUICK, BestBook, Rig, rigged

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.greeting import GreetingRefusedError
from engine.gateway.handshake import RefusedError
from engine.gateway.keeper import Keeper
from engine.gateway.liveness import Book, Conditions, MarketWatch, Quiet
from engine.gateway.market import Snapshots
from engine.gateway.reconnect import PATIENT_ATTEMPT, backoff_s
from engine.gateway.refused import attempt_after, wait_after_s
from engine.gateway.rest import UnreachableError, VenueError
from engine.venues.base import Failure
from fastcore.types import OrderState

QUIET = Quiet(silent_s=0.2, confirm_s=0.1, first_s=0.4, turn_s=0.02, weight_share=10.0)
Work = Callable[[Rig], Awaitable[None]]


def run(work: Work) -> None:
    async def go() -> None:
        async with rigged() as rig:
            await work(rig)

    asyncio.run(go())


async def started(rig: Rig, keeper: Keeper) -> Keeper:
    await keeper.connect()
    keeper.start()
    return keeper


def watch(
    rig: Rig, keeper: Keeper, doubts: list[tuple[int, bool]], is_synced: bool = True
) -> MarketWatch:
    book = BestBook(rig, is_synced)
    return MarketWatch(
        rig.link, keeper, {0: rig.btc}, lambda number, is_on: doubts.append((number, is_on)),
        quiet=QUIET,
        book=lambda hot, number: Book(
            book.moved_ns, book.heard, book.moved_ns > 0, book.best, False
        ),
    )  # fmt: skip


# -- UP AND DOWN


@pytest.mark.parametrize("kind", ["market", "user", "trade"])
def test_a_lost_connection_comes_back(kind: str) -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, getattr(rig, kind)())
        assert keeper.role.is_open
        assert keeper.lost_ns is None
        before_ns = clock.monotonic_ns()
        rig.fault("drop_all")
        await rig.until(lambda: keeper.reconnects)
        assert keeper.role.is_open
        assert keeper.lost_ns is not None
        assert keeper.lost_ns >= before_ns
        (down,) = rig.of("down")
        assert (down["name"], down["account"], down["slot"]) == (keeper.kind.name, "main", 0)
        assert rig.of("up")
        assert rig.changes == 3  # up, down, up

    run(work)


def test_start_up_tells_what_is_wrong_at_once() -> None:
    async def work(rig: Rig) -> None:
        keeper = rig.market()
        rig.fault("banned", retry_after="60s")
        with pytest.raises(RefusedError):
            await keeper.connect()
        assert rig.plain.dials == 1

    run(work)


def test_all_connections_at_once_come_back_within_the_budget() -> None:
    async def work(rig: Rig) -> None:
        keepers = [await started(rig, make()) for make in (rig.market, rig.user, rig.trade)]
        rig.fault("drop_all")
        await rig.until(lambda: all(keeper.reconnects for keeper in keepers))
        assert rig.plain.dials == 6

    run(work)


def test_no_handshake_while_the_address_is_banned() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        rig.fault("banned", for_="1s", retry_after="1s")
        with pytest.raises(VenueError) as caught:
            await rig.rest.call(rig.adapter.time(), tries=1)
        assert caught.value.failure.is_throttled
        until_ns = rig.budget.banned_until_ns
        keeper.drop("for the test")
        await rig.until(lambda: keeper.reconnects)
        assert clock.monotonic_ns() >= until_ns
        assert rig.plain.dials == 2
        assert len(rig.of("down")) == 1  # and no try that was refused

    run(work)


def test_refused_handshake_makes_the_keeper_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def waits(attempt: int, rng: Random) -> float:
        attempts.append(attempt)
        return 0.01

    monkeypatch.setattr("engine.gateway.keeper.backoff_s", waits)
    monkeypatch.setattr("engine.gateway.refused.WAIT_S", 0.5)

    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        rig.fault("banned", for_="600ms")
        keeper.drop("for the test")
        await rig.until(lambda: keeper.reconnects)
        assert attempts[0] < PATIENT_ATTEMPT <= attempts[1]
        assert rig.plain.dials <= 4  # start-up, and every 0.4 s or later

    run(work)


def test_ban_told_to_a_greeting_is_the_whole_addresss() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.trade())
        connect = rig.plain.connect

        async def refuse(*_: object) -> None:
            rig.plain.connect = connect  # type: ignore[method-assign]
            until_ms = rig.rest.utc_ns() // 1_000_000 + 500
            raise GreetingRefusedError("TRADE connection: refused", "", until_ms, False)

        rig.plain.connect = refuse  # type: ignore[assignment, method-assign]
        keeper.drop("for the test")
        await rig.until(lambda: rig.budget.banned_until_ns)
        await rig.until(lambda: keeper.reconnects)
        assert clock.monotonic_ns() >= rig.budget.banned_until_ns

    run(work)


def test_logon_refused_for_its_time_stamp_has_the_clock_measured() -> None:
    """With USER down no order leaves, so nothing else would show that the clock is off."""
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.user())
        connect = rig.plain.connect
        is_measured = False

        async def refuse(*args: object) -> None:
            if not is_measured:
                raise GreetingRefusedError("USER connection: refused", "", 0, True)
            await connect(*args)  # type: ignore[arg-type]

        async def measure() -> None:
            nonlocal is_measured
            is_measured = True

        rig.plain.connect = refuse  # type: ignore[assignment, method-assign]
        rig.rest.on_clock_refused = measure
        keeper.drop("for the test")
        await rig.until(lambda: keeper.reconnects)
        assert keeper._slots[0].attempt == 1  # of the loss: it was no failure

    run(work)


def test_throttled_token_makes_the_keeper_wait_as_told() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.user())
        rig.fault("throttled", for_="1s", retry_after="1s", match="listenKey")
        before = rig.server.counters.requests
        keeper.drop("for the test")
        await rig.until(lambda: keeper.reconnects)
        assert rig.server.counters.requests - before == 2  # refused, told when; then granted

    run(work)


@pytest.mark.parametrize(("error", "attempt", "waits"), [
    (UnreachableError("x"), 0, False),
    (RefusedError("x", "", status=404), 0, False),
    (RefusedError("x", "", status=418), PATIENT_ATTEMPT, True),
    (RefusedError("x", "", status=429), PATIENT_ATTEMPT, True),
    (RefusedError("x", "", status=403), PATIENT_ATTEMPT, True),
    (VenueError("x", "", Failure(429, 0, "", is_throttled=True, retry_after_s=7.0)),
     PATIENT_ATTEMPT, True),
    (VenueError("x", "", Failure(401, -2015, "", is_credential=True)), PATIENT_ATTEMPT, False),
    (VenueError("x", "", Failure(400, -1, "")), 0, False),
])  # fmt: skip
def test_who_is_told_to_slow_down_does(
    error: TickmakerError, attempt: int, waits: bool
) -> None:
    assert attempt_after(error) == attempt
    assert (wait_after_s(error, Random(1)) >= 7.0) is waits
    assert backoff_s(attempt, Random(1)) >= (5.0 if attempt else 0.0)


# -- LIVENESS


def test_half_open_connection_is_doubted_then_dropped() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.user())
        rig.fault("half_open", conn="user", for_="600ms")
        await rig.until(lambda: rig.doubts)
        assert rig.doubts == [True]
        assert keeper.role.is_open  # doubted before it is given up
        await rig.until(lambda: keeper.reconnects)
        assert "no answer to a ping" in rig.of("down")[0]["why"]
        await rig.until(lambda: rig.doubts == [True, False])

    run(work)


def test_half_open_order_entry_asks_for_a_pull_before_it_is_given_up() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.trade())
        rig.fault("half_open", conn="trade", for_="600ms")
        await rig.until(lambda: rig.pulls)
        assert keeper.role.is_open
        assert not rig.of("down")
        await rig.until(lambda: rig.doubts == [True, False])
        assert rig.pulls == 1

    run(work)


def test_who_is_suspected_is_asked_at_once() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.trade(silent_s=60.0))
        await asyncio.sleep(3 * QUICK.turn_s)
        assert rig.plain.pings == 0
        keeper.suspect()
        keeper.suspect()  # one question is enough
        assert rig.plain.pings == 1
        await rig.until(lambda: not keeper._slots[0].asked_ns)
        rig.fault("half_open", conn="trade", for_="600ms")
        keeper.suspect()
        await rig.until(lambda: rig.pulls)

    run(work)


def test_replaced_connection_that_answers_hides_no_doubt_about_the_new_one() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.trade(silent_s=60.0))
        await keeper._open(1)
        keeper._slots[0].is_leaving = True
        keeper._slots[1].asked_ns = 1  # long ago
        keeper._look_at_doubt()
        assert rig.doubts == [True]

    run(work)


@pytest.mark.parametrize("kind", ["market", "user", "trade"])
def test_quiet_connection_is_asked_and_stays(kind: str) -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, getattr(rig, kind)())
        await rig.until(lambda: rig.plain.pings >= 3)
        assert not rig.of("down")
        assert not rig.doubts
        assert keeper.reconnects == 0

    run(work)


def test_venue_that_wants_pings_of_ours_gets_them() -> None:
    async def work(rig: Rig) -> None:
        keeper = rig.market(silent_s=60.0)
        plan = await keeper._make_plan()

        async def with_ping() -> object:
            return replace(plan, ping_text='{"method":"LIST_SUBSCRIPTIONS","id":7}',
                           ping_every_s=0.05)

        keeper._make_plan = with_ping  # type: ignore[assignment]
        await started(rig, keeper)
        await rig.until(lambda: len(rig.plain.said) >= 3)
        assert rig.plain.pings == 0
        assert not rig.of("down")

    run(work)


@pytest.mark.parametrize("fault", ["silent_subscribe", "heartbeat_only"])
def test_subscription_that_says_nothing_is_dropped(fault: str) -> None:
    async def work(rig: Rig) -> None:
        doubts: list[tuple[int, bool]] = []
        rig.fault(fault, conn="market", for_="1s")
        keeper = await started(rig, rig.market())
        watching = asyncio.ensure_future(watch(rig, keeper, doubts).keep())
        while not rig.of("down"):
            await rig.move()
            await asyncio.sleep(0.05)
        assert "silent while the market moves" in rig.of("down")[0]["why"]
        assert doubts == [(0, True)]
        await rig.until(lambda: keeper.reconnects)

        async def moved() -> None:
            while doubts[-1][1]:
                await rig.move()
                await asyncio.sleep(0.05)

        async with asyncio.timeout(8):
            await moved()
        watching.cancel()

    run(work)


def test_quiet_market_is_no_silent_subscription() -> None:
    async def work(rig: Rig) -> None:
        doubts: list[tuple[int, bool]] = []
        keeper = await started(rig, rig.market())
        one = watch(rig, keeper, doubts)
        watching = asyncio.ensure_future(one.keep())
        await rig.move()
        requests = rig.server.counters.requests
        await rig.until(lambda: rig.server.counters.requests >= requests + 3)  # REST was asked
        assert not rig.of("down")
        assert not doubts
        assert one.stale == 0
        watching.cancel()

    run(work)


def test_book_that_waits_for_its_snapshot_is_no_silent_subscription() -> None:
    async def work(rig: Rig) -> None:
        doubts: list[tuple[int, bool]] = []
        keeper = await started(rig, rig.market())
        one = watch(rig, keeper, doubts, is_synced=False)
        watching = asyncio.ensure_future(one.keep())
        for _ in range(12):
            await rig.move()
            await asyncio.sleep(0.05)
        assert not rig.of("down")
        assert not doubts
        watching.cancel()

    run(work)


def test_feed_without_its_first_snapshot_is_dropped() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        one = watch(rig, keeper, [])
        rig.adapter.snapshot = lambda instrument, among=1: None  # type: ignore[method-assign]
        watching = asyncio.ensure_future(one.keep())
        up_ns = keeper.up_ns
        await rig.until(lambda: rig.of("down"))
        assert "new subscription" in rig.of("down")[0]["why"]
        assert clock.monotonic_ns() - up_ns > QUIET.first_s * 1e9  # it had its time
        watching.cancel()

    run(work)


def test_silent_copy_of_a_feed_is_dropped_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market(copies=2))
        one = watch(rig, keeper, [])
        role = rig.role(keeper)
        watching = asyncio.ensure_future(one.keep())
        while not rig.of("down"):
            role.counts[0] += 20
            role.counts[1] = 5
            await asyncio.sleep(0.01)
        assert rig.of("down")[0]["slot"] == 1
        assert role.open_min == 1  # the other went on
        await rig.until(lambda: keeper.reconnects)
        watching.cancel()

    run(work)


def test_user_stream_that_is_not_believed_is_connected_anew() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.user())
        keeper.on_user_halt()
        assert not keeper.role.is_open
        keeper.on_user_halt()  # it is down already: nothing
        await rig.until(lambda: keeper.reconnects)
        assert len(rig.of("down")) == 1

    run(work)


def test_expired_listen_key_is_noticed_when_it_is_renewed() -> None:
    async def work(rig: Rig) -> None:
        rig.adapter.keep_alive_every_s = 0.1
        keeper = await started(rig, rig.user())
        await asyncio.sleep(0.3)
        assert not rig.of("down")  # renewed, and known
        token = keeper._token
        rig.fault("listen_key_expiry")
        await rig.until(lambda: keeper.reconnects)
        assert keeper._token != token
        assert keeper.role.is_open

    run(work)


# -- AGE, COPIES


def test_aged_connection_is_replaced_before_it_is_closed() -> None:
    async def work(rig: Rig) -> None:
        rig.adapter.connection_age_s_max = 0.5
        keeper = await started(rig, rig.trade())
        role = rig.role(keeper)
        first = role.live[0]
        await rig.until(lambda: 1 in role.live)
        both_ns = clock.monotonic_ns()
        assert role.live.get(0) is first  # both, until its answers are in
        await rig.until(lambda: 0 not in role.live)
        assert clock.monotonic_ns() - both_ns > 0.8 * QUICK.drain_s * 1e9
        assert role.open_min == 1
        assert "age limit" in rig.of("down")[0]["why"]

    run(work)


@pytest.mark.parametrize("what", ["queued", "unanswered"])
def test_aged_order_entry_stays_while_something_on_it_is_awaited(what: str) -> None:
    """A cancel that waits in the socket would be lost with it."""

    async def work(rig: Rig) -> None:
        rig.adapter.connection_age_s_max = 0.5
        keeper = await started(rig, rig.trade())
        role = rig.role(keeper)
        if what == "queued":
            role.queued[0] = 180
        else:
            state = OrderState.PENDING_CANCEL
            rig.plain.own = [{"state": state, "sent_ns": clock.monotonic_ns()}]
        await rig.until(lambda: 1 in role.live)
        rig.adapter.connection_age_s_max = keeper._slots[1].age_limit_s = 60.0
        await asyncio.sleep(4 * QUICK.drain_s)
        assert 0 in role.live
        role.queued[0] = 0
        # What leaves now goes out on the new one.
        rig.plain.own = [{"state": OrderState.PENDING_NEW, "sent_ns": clock.monotonic_ns()}]
        await rig.until(lambda: 0 not in role.live)

    run(work)


def test_aged_order_entry_goes_at_last_whatever_is_awaited() -> None:
    async def work(rig: Rig) -> None:
        rig.adapter.connection_age_s_max = 0.5
        keeper = await started(rig, rig.trade(drain_s_max=0.3))
        rig.role(keeper).queued[0] = 180
        await rig.until(lambda: 1 in rig.role(keeper).live)
        await rig.until(lambda: 0 not in rig.role(keeper).live)

    run(work)


def test_aged_copy_goes_when_another_speaks() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market(copies=2))
        role = rig.role(keeper)
        assert len(role.live) == 2
        keeper._slots[0].age_limit_s = 0.01
        await rig.until(lambda: keeper.reconnects)
        assert role.open_min == 1
        assert len(role.live) == 2

    run(work)


def test_what_closes_while_it_is_replaced_is_not_missed() -> None:
    async def work(rig: Rig) -> None:
        rig.adapter.connection_age_s_max = 0.3
        keeper = await started(rig, rig.trade())
        await asyncio.sleep(0.25)
        rig.fault("drop_all")
        await rig.until(lambda: keeper.reconnects >= 2)
        await rig.until(lambda: keeper.role.is_open)

    run(work)


# -- SNAPSHOTS, CONDITIONS


def test_snapshots_come_until_the_core_is_content_and_not_faster_than_backoff() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        rig.fault("stale_snapshot", for_="60s")
        snapshots = Snapshots(rig.link)
        snapshots.add(3, rig.btc, keeper)
        rig.plain.wanted.add(3)
        snapshots.want(3)
        first = snapshots._tasks[3]
        snapshots.want(3)
        assert snapshots._tasks[3] is first  # one at a time
        await rig.until(lambda: len(rig.plain.snapshots) >= 4)
        assert {number for number, _ in rig.plain.snapshots} == {3}
        assert b"lastUpdateId" in rig.plain.snapshots[0][1]
        rig.plain.wanted.clear()
        task = snapshots._tasks[3]
        await rig.until(task.done)
        assert snapshots.fetched == len(rig.plain.snapshots)
        await snapshots.close()

    run(work)


def test_snapshot_that_is_throttled_waits_as_told() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        rig.fault("throttled", for_="1s", retry_after="1s", match="depth")
        snapshots = Snapshots(rig.link)
        snapshots.add(0, rig.btc, keeper)
        rig.plain.wanted.add(0)
        before = rig.server.counters.requests
        snapshots.want(0)
        await rig.until(lambda: rig.plain.snapshots)
        assert rig.server.counters.requests - before == 2
        await snapshots.close()

    run(work)


def test_weight_of_an_engine_before_this_one_is_asked_for_again() -> None:
    """Spot 101: a restarted engine held its first snapshots back for a minute, and its start-up
    failed, though the venue's own minute was over within a second."""

    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        snapshots = Snapshots(rig.link)
        snapshots.add(0, rig.btc, keeper)
        rig.plain.wanted.add(0)
        rig.budget.learn(rig.budget.weight_max * 4 // 5, clock.monotonic_ns())
        snapshots.want(0)
        await rig.until(lambda: rig.plain.snapshots)
        rig.plain.wanted.clear()
        await snapshots.close()

    run(work)


def test_book_without_rest_snapshots_wants_a_new_subscription() -> None:
    async def work(rig: Rig) -> None:
        keeper = await started(rig, rig.market())
        rig.adapter.snapshot = lambda instrument, among=1: None  # type: ignore[method-assign]
        snapshots = Snapshots(rig.link)
        snapshots.add(0, rig.btc, keeper)
        snapshots.want(0)
        assert keeper.role.is_open
        rig.plain.is_resubscribe_wanted = True
        snapshots.want(0)
        await rig.until(lambda: keeper.reconnects)
        assert "new snapshot" in rig.of("down")[0]["why"]

    run(work)


def test_condition_stands_while_any_source_says_so() -> None:
    told: list[tuple[int, int, bool]] = []
    conditions = Conditions(lambda number, bit, is_on: told.append((number, bit, is_on)))
    trade, user = (conditions.of((0, 1), 4, source) for source in ("trade", "user"))
    trade(True)
    user(True)
    trade(False)
    assert told == [(0, 4, True), (1, 4, True)]
    conditions.set(0, 4, "watch", True)
    user(False)
    assert told[2:] == [(1, 4, False)]
    conditions.set(0, 4, "watch", False)
    assert told[3:] == [(0, 4, False)]

