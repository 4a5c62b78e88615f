"""Keeps the slots of one role up: MARKET, TRADE or USER of an account.

The cores halt by themselves the moment a role is lost. What is left to do here is slow: connect
again, with backoff and within what the venue allows an address; ask a silent connection whether it
lives; replace one before the venue's age limit ends it, the new one first. A connection that does
not answer is doubted before it is given up, and the session is told: who can't prove that he hears
the venue should not quote.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.greeting import GreetingRefusedError
from engine.gateway.hotrole import Role
from engine.gateway.link import Link, is_awaited
from engine.gateway.reconnect import Spaced, backoff_s, next_attempt
from engine.gateway.refused import attempt_after, wait_after_s
from engine.gateway.rest import VenueError
from engine.venues.base import ConnPlan, Instrument
from fastcore.types import Conn

CONNECT_TIMEOUT_S = 5.0
KEEP_ALIVE_AGAIN_S = 60.0  # after a renewal that failed: a listen key lives twice its interval


class _Slot:
    """What a keeper knows of one slot; whether it is open, the role says."""

    def __init__(self) -> None:
        self.up_ns = 0  # of the connection in it; 0: none
        self.plan = ConnPlan("")
        self.attempt = 0
        self.age_limit_s = 0.0
        self.asked_ns = 0  # of the ping that awaits its answer; 0: none
        self.said_ns = 0  # of the last application ping
        self.is_leaving = False  # replaced: only brings what was on its way
        self.is_connecting = False


class Keeper:
    """One role's slots. `on_*` are called from the event loop, and return at once."""

    def __init__(
        self,
        link: Link,
        role: Role,
        kind: Conn,
        make_plan: Callable[[], Awaitable[ConnPlan]],
        *,
        copies: int = 1,
        on_change: Callable[[], None] = lambda: None,
        doubt: Callable[[bool], None] = lambda _: None,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self.link = link
        self.role = role
        self.kind = kind
        self._make_plan = make_plan
        self._copies = copies
        self._on_change = on_change
        self._doubt = doubt
        self._on_doubt = on_doubt
        self._slots = [_Slot() for _ in range(role.slots)]
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._resubscribed: dict[int, Spaced] = {}
        self._is_doubted = False
        self._is_kept = False
        self._token = ""
        self.reconnects = 0
        self.lost_ns: int | None = None  # when a connection of it was last found lost

    def __repr__(self) -> str:
        return f"Keeper({self.link.account!r}, {self.kind.name})"

    @classmethod
    def market(
        cls, link: Link, role: Role, instruments: Sequence[Instrument], *, copies: int = 1,
        on_change: Callable[[], None] = lambda: None,
        doubt: Callable[[bool], None] = lambda _: None,
    ) -> "Keeper":
        async def plan() -> ConnPlan:
            return link.adapter.market_plan(instruments)

        return cls(link, role, Conn.MARKET, plan, copies=copies, on_change=on_change, doubt=doubt)

    @classmethod
    def trade(
        cls, link: Link, role: Role, *, on_change: Callable[[], None] = lambda: None,
        doubt: Callable[[bool], None] = lambda _: None,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> "Keeper":
        """`on_doubt()`: at the begin of each doubt. What rests can't be pulled on it, so it has
        to be pulled over REST, and before the connection is given up."""
        async def plan() -> ConnPlan:
            return link.adapter.trade_plan(link.utc_ms)

        return cls(link, role, Conn.TRADE, plan, on_change=on_change, doubt=doubt,
                   on_doubt=on_doubt)  # fmt: skip

    @classmethod
    def user(
        cls, link: Link, role: Role, *, on_change: Callable[[], None] = lambda: None,
        doubt: Callable[[bool], None] = lambda _: None,
    ) -> "Keeper":
        async def plan() -> ConnPlan:
            asking = link.adapter.user_token()
            if asking is not None:
                keeper._token = await link.rest.call(asking)
            return link.adapter.user_plan(keeper._token, link.utc_ms)

        keeper = cls(link, role, Conn.USER, plan, on_change=on_change, doubt=doubt)
        return keeper

    # -- COMMANDS ---

    async def connect(self) -> None:
        """At start-up: each copy once; TickmakerError when one fails."""
        for slot in range(self._copies):
            await self._open(slot)

    def start(self) -> None:
        """From now on it is kept up, whatever happens."""
        self._is_kept = True
        self._spawn("keep", self._keep())
        if self.link.adapter.keep_alive_every_s is not None and self.kind is Conn.USER:
            self._spawn("keep alive", self._keep_alive(self.link.adapter.keep_alive_every_s))
        for slot in range(len(self._slots)):
            self._note_if_lost(slot)
        self._ensure()

    def on_closed(self, slot: int) -> None:
        """The hot loop found a slot's connection closed."""
        self._note_if_lost(slot)
        self._ensure()

    def on_user_halt(self) -> None:
        """The core no longer believes in the user stream: the stream is dead, not the socket."""
        if self._is_kept and self.role.is_open:
            self.drop("the user stream is not provably live")

    def suspect(self) -> None:
        """What went out on it has no answer, though it is time: ask now, not when it has been
        silent for long. A doubt follows soon, or it lives."""
        now_ns = clock.monotonic_ns()
        for slot in self.open_slots:
            if not self._slots[slot].asked_ns:
                self._ask(slot, now_ns)

    def drop(self, why: str) -> None:
        """Every connection of it is of no use: close them, and connect anew."""
        for slot in range(len(self._slots)):
            self.drop_slot(slot, why)

    def drop_slot(self, slot: int, why: str) -> None:
        if self.role.is_slot_open(slot):
            self._close_slot(slot, why)
            self._ensure()

    def resubscribe(self, number: int, why: str) -> bool:
        """One core's data is wrong or missing, and only a new subscription can help; False: not
        yet again. Others' data is on the same connection, so it is tried ever more rarely."""
        spaced = self._resubscribed.setdefault(number, Spaced())
        if not self.role.is_open or not spaced.may(clock.monotonic_ns()):
            return False
        self.drop(why)
        return True

    async def close(self) -> None:
        """Keep nothing any more; what is open stays open."""
        self._is_kept = False
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- QUERIES ---

    @property
    def up_ns(self) -> int:
        """Since when it is up: the oldest connection's begin; 0: it is down."""
        return min((slot.up_ns for slot in self._slots if slot.up_ns), default=0)

    @property
    def open_slots(self) -> list[int]:
        return [slot for slot in range(len(self._slots)) if self.role.is_slot_open(slot)]

    # -- UP AND DOWN ---

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """At most one task of a name."""
        running = self._tasks.get(name)
        if running is not None and not running.done():
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=f"{self!r} {name}")
        task.add_done_callback(self._on_done)
        self._tasks[name] = task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.link.on_fault(error)

    def _say(self, slot: int, state: str, why: str) -> None:
        self.link.emit("connection", name=self.kind.name, account=self.link.account, slot=slot,
                       state=state, why=why)

    def _note_if_lost(self, slot: int) -> None:
        if self._slots[slot].up_ns and not self.role.is_slot_open(slot):
            self._note_lost(slot, self.role.close_text(slot))

    def _close_slot(self, slot: int, why: str) -> None:
        self.link.transport.disconnect(self.role, slot)
        if self._slots[slot].up_ns:
            self._note_lost(slot, why)

    def _note_lost(self, slot: int, why: str) -> None:
        """What was in the slot is gone."""
        known = self._slots[slot]
        now_ns = clock.monotonic_ns()
        known.attempt = next_attempt(known.attempt, (now_ns - known.up_ns) / 1e9)
        known.up_ns = known.asked_ns = 0
        self.lost_ns = now_ns
        if known.is_leaving:
            known.is_leaving = False
            known.attempt = 0
        self._say(slot, "down", why)
        self._on_change()

    def _ensure(self) -> None:
        """As many connections as there should be are up, or on their way."""
        if not self._is_kept:
            return
        is_counted = [
            slot.is_connecting or (slot.up_ns > 0 and not slot.is_leaving) for slot in self._slots
        ]
        missing = self._copies - sum(is_counted)
        for slot, known in enumerate(self._slots):
            if missing > 0 and not is_counted[slot] and not known.is_leaving:
                missing -= 1
                known.is_connecting = True
                self._spawn(f"restore {slot}", self._restore(slot))

    async def _restore(self, slot: int) -> None:
        """Connect a slot, however long it takes."""
        known, rng = self._slots[slot], self.link.rng
        known.is_connecting = True
        attempt = known.attempt
        try:
            while True:
                await asyncio.sleep(backoff_s(attempt, rng))
                known.attempt = attempt
                attempt += 1
                try:
                    await self._open(slot)
                    break
                except TickmakerError as error:
                    self._say(slot, "down", error.what)
                    attempt = max(attempt, attempt_after(error))
                    await asyncio.sleep(wait_after_s(error, rng))
        finally:
            known.is_connecting = False
        self.reconnects += 1
        self._say(slot, "up", "")
        self._ensure()  # another may have gone meanwhile

    async def _open(self, slot: int) -> None:
        """One try; of a logon that is refused for its time stamp one more, by a clock measured
        anew: no order leaves meanwhile, so nothing else would show that it is off."""
        try:
            await self._try(slot)
        except GreetingRefusedError as error:
            if not error.is_clock or not await self.link.rest.measure_clock():
                raise
            await self._try(slot)

    async def _try(self, slot: int) -> None:
        await self._may_connect()
        plan = await self._make_plan()
        try:
            await self.link.transport.connect(
                self.role, slot, plan, f"{self.kind.name} connection", CONNECT_TIMEOUT_S
            )
        except GreetingRefusedError as error:
            self.link.rest.keep_away_until(error.retry_utc_ms)
            raise
        known, age_s = self._slots[slot], self.link.adapter.connection_age_s_max
        known.plan = plan
        known.up_ns = known.said_ns = clock.monotonic_ns()
        known.asked_ns = 0
        known.is_leaving = False
        # Never all of them at one moment.
        share = self.link.patience.age_share
        known.age_limit_s = age_s * (share - 0.1 * self.link.rng.random())
        self._look_at_doubt()
        self._on_change()

    async def _may_connect(self) -> None:
        """Until this address may knock: a ban holds for handshakes, too."""
        while True:
            now_ns = clock.monotonic_ns()
            wait_ns = max(
                self.link.attempts.wait_ns(self.kind, now_ns),
                self.link.rest.budget.banned_until_ns - now_ns,
            )
            if wait_ns <= 0:
                self.link.attempts.spend(now_ns)
                return
            await asyncio.sleep(wait_ns / 1e9)

    # -- LIVENESS, AGE ---

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.link.patience.turn_s)
            now_ns = clock.monotonic_ns()
            for slot in self.open_slots:
                self._look(slot, now_ns)
            self._look_at_doubt()

    def _look(self, slot: int, now_ns: int) -> None:
        known, patience = self._slots[slot], self.link.patience
        heard_ns = max(self.role.last_heard_ns(slot), known.up_ns)
        if known.asked_ns and heard_ns > known.asked_ns:
            known.asked_ns = 0
        if known.asked_ns and now_ns - known.asked_ns > patience.answer_s * 1e9:
            self.drop_slot(slot, f"silent: no answer to a ping within {patience.answer_s:g} s")
            return
        is_silent = not known.asked_ns and now_ns - heard_ns > patience.silent_s * 1e9
        if is_silent or self._is_ping_due(known, now_ns):
            self._ask(slot, now_ns)
        if not known.is_leaving and now_ns - known.up_ns > known.age_limit_s * 1e9:
            self._renew(slot)

    def _is_ping_due(self, known: _Slot, now_ns: int) -> bool:
        """A venue that wants pings of ours gets them however much it sends."""
        every_ns = known.plan.ping_every_s * 1e9
        return bool(known.plan.ping_text) and now_ns - known.said_ns > every_ns

    def _ask(self, slot: int, now_ns: int) -> None:
        known, hot = self._slots[slot], self.link.hot
        if known.plan.ping_text:
            known.said_ns = now_ns
            hot.say(self.role, slot, known.plan.ping_text)
        else:
            hot.ping(self.role, slot, b"tickmaker")
        if not known.asked_ns:
            known.asked_ns = now_ns

    def _renew(self, slot: int) -> None:
        """Make before break: another connection first, then this one goes."""
        others = [
            other for other in self.open_slots
            if other != slot and not self._slots[other].is_leaving
        ]
        if others:
            self.drop_slot(slot, "replaced before the venue's age limit")
            return
        if (running := self._tasks.get("renew")) is not None and not running.done():
            return
        for fresh, known in enumerate(self._slots):
            if fresh != slot and not known.is_connecting and not self.role.is_slot_open(fresh):
                known.is_connecting, known.attempt = True, 0
                self._spawn("renew", self._replace(slot, fresh))
                return

    async def _replace(self, old: int, fresh: int) -> None:
        aged_ns = self._slots[old].up_ns
        await self._restore(fresh)
        known = self._slots[old]
        if known.up_ns != aged_ns:
            return  # it went by itself meanwhile
        known.is_leaving = True
        # Answers to what went out on it still come on it.
        patience, fresh_ns = self.link.patience, self._slots[fresh].up_ns
        await asyncio.sleep(patience.drain_s)
        while (
            known.is_leaving and known.up_ns == aged_ns
            and is_awaited(self.link.hot, self.role, old, fresh_ns)
        ):  # fmt: skip
            if clock.monotonic_ns() - fresh_ns > patience.drain_s_max * 1e9:
                break
            await asyncio.sleep(patience.turn_s)
        if known.is_leaving and known.up_ns == aged_ns:
            self._close_slot(old, "replaced before the venue's age limit")

    def _look_at_doubt(self) -> None:
        """Doubted: up, as far as TCP knows, and none of it answers. Cleared by one that does; one
        that is replaced carries nothing new, so it says nothing."""
        now_ns, doubt_ns = clock.monotonic_ns(), self.link.patience.doubt_s * 1e9
        live = [self._slots[slot] for slot in self.open_slots]
        live = [known for known in live if not known.is_leaving] or live
        asked = [known.asked_ns for known in live]
        is_doubted = all(ns and now_ns - ns > doubt_ns for ns in asked) if live else (
            self._is_doubted  # until something is up again; the cores know that nothing is
        )
        if is_doubted != self._is_doubted:
            self._is_doubted = is_doubted
            self._doubt(is_doubted)
            if is_doubted:
                self._on_doubt()

    # -- TOKEN OF THE USER STREAM ---

    async def _keep_alive(self, every_s: float) -> None:
        wait_s = every_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = every_s
            call = self.link.adapter.keep_alive(self._token)
            if call is None:
                return
            try:
                is_known = await self.link.rest.call(call)
            except TickmakerError as error:
                is_known = not (isinstance(error, VenueError) and error.failure.is_absent)
                if is_known:
                    wait_s = min(KEEP_ALIVE_AGAIN_S, every_s)
                    self.link.emit("warning", what=error.what, remedy=error.remedy)
            if not is_known:
                self.drop("the venue no longer knows the user stream's token")
