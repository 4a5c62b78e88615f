"""Keeps three connections up and the core in agreement with the venue.

The core halts by itself the moment a connection is lost; what is left to do here is slow: connect
again with backoff, cancel everything over REST, compare, and let the core start again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.handshake import RefusedError
from engine.gateway.hotsocket import HotLoop
from engine.gateway.reconnect import backoff_s, next_attempt
from engine.gateway.rest import VenueError
from engine.gateway.trading import Account
from engine.gateway.transport import Transport
from engine.venues import binance_usdm as venue
from fastcore.types import Command, Conn, Halt, OrderState

CONNECT_TIMEOUT_S = 5.0
CANCEL_TIMEOUT_S = 10.0
TURN_MS = 5
PATIENT_ATTEMPT = 8  # backoff_s() is at its cap from here
SETTLE_S = 0.1  # for fills that were on their way when the venue was asked
PRIVATE = (Conn.TRADE, Conn.USER)

Emit = Callable[..., None]


class Supervisor:
    """`on_lost` and `on_state` are called from the event loop, and return at once."""

    def __init__(
        self,
        hot: HotLoop,
        transport: Transport,
        account: Account,
        urls: dict[Conn, str],
        traded: venue.Instrument,
        *,
        recv_window_ms: int,
        rng: Random,
        emit: Emit,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._hot = hot
        self._transport = transport
        self._account = account
        self._urls = urls  # of USER: its root, the listen key is added at each connection
        self._traded = traded
        self._recv_window_ms = recv_window_ms
        self._rng = rng
        self._emit = emit
        self._on_fault = on_fault
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._up_ns: dict[Conn, int] = {}
        self._attempts: dict[Conn, int] = dict.fromkeys(Conn, 0)
        self._flat = asyncio.Event()
        self._is_trade_up = False
        self._trade_lost_ns: int | None = None  # no place of the lost connection is younger
        self.is_active = False  # start-up connects by itself; shutdown wants no reconnection
        self.reconnects = 0

    async def connect(self, conn: Conn) -> None:
        """One try; TickmakerError when it fails."""
        url = self._urls[conn]
        if conn is Conn.USER:
            url = venue.user_url(url, await self._account.renew_listen_key())
        await self._transport.connect(conn, url, f"{conn.name} connection", CONNECT_TIMEOUT_S)
        self._up_ns[conn] = clock.monotonic_ns()
        if conn is Conn.TRADE:
            self._is_trade_up = True

    def on_lost(self) -> None:
        """Some connection is lost: bring each that is back up."""
        if not self._transport.is_open(Conn.TRADE):
            self._note_trade_lost()
        for conn in Conn:
            if self.is_active and not self._transport.is_open(conn):
                self._spawn(f"restore {conn.name}", self._restore(conn))

    def on_state(self) -> None:
        """The state word changed: see whether anything of it is ours to clear."""
        if not self.is_active:
            return
        bits = self._hot.bits
        if bits & Halt.USER_STREAM and self._transport.is_open(Conn.USER):
            # The venue says that the listen key has expired: the stream is dead, not the socket.
            self.drop(Conn.USER)
        elif bits & Halt.RECONCILING and all(map(self._transport.is_open, PRIVATE)):
            self._spawn("reconcile", self._reconcile())

    def on_flat(self) -> None:
        """Halted, and no order works any more."""
        self._flat.set()

    def drop(self, conn: Conn) -> None:
        """Close a connection that is of no use, and bring it back."""
        self._transport.disconnect(conn)
        self.on_lost()

    async def wait_flat(self, timeout_s: float) -> bool:
        """Wait until no order works; False when the time is over. The core must be halted."""
        self._flat.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._hot.core.working_count:
                    await self._flat.wait()
                    self._flat.clear()
        return not self._hot.core.working_count

    async def settle(self, timeout_s: float) -> bool:
        """At shutdown, the core halted: until no order works and none is on its way.

        False when orders still worked after `timeout_s`. What may not leave over TRADE any more
        is pulled over REST meanwhile, without a word on the outcome: the proof comes later.
        """
        can_hear = any(map(self._transport.is_open, PRIVATE))
        if not self._transport.is_open(Conn.TRADE):
            self._note_trade_lost()
            self._spawn("cancel all", self._cancel_all())
        is_flat = await self.wait_flat(timeout_s if can_hear else 0.0)
        await self.nothing_on_its_way()
        await self.close()
        return is_flat

    async def tell_position(self, timeout_s: float) -> None:
        """At shutdown, when the venue has said that nothing is open: what the core still believes
        to work is gone. The position is the venue's word, never our own given back to us: fills
        that we did not hear of must stay a difference."""
        try:
            async with asyncio.timeout(timeout_s):
                lots = await self._account.position_lots(self._traded)
        except (TickmakerError, TimeoutError) as error:
            what = error.what if isinstance(error, TickmakerError) else "no answer in time"
            self._emit("warning", what=f"the position at the end is not known: {what}",
                       remedy="look at it at the venue before the next start")
            return
        self._hot.account(lots, 0)

    async def close(self) -> None:
        self.is_active = False
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """At most one task of a name."""
        running = self._tasks.get(name)
        if running is not None and not running.done():
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._on_done)
        self._tasks[name] = task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fault(error)

    async def _restore(self, conn: Conn) -> None:
        lived_s = (clock.monotonic_ns() - self._up_ns.get(conn, 0)) / 1e9
        attempt = next_attempt(self._attempts[conn], lived_s)
        self._emit("connection", name=conn.name, state="down",
                   why=self._transport.close_text(conn))
        if conn is Conn.TRADE:
            # What rests at the venue can be pulled over REST only; that does not wait.
            self._spawn("cancel all", self._cancel_all())
        while True:
            await asyncio.sleep(backoff_s(attempt, self._rng))
            self._attempts[conn] = attempt
            attempt += 1
            try:
                await self.connect(conn)
                break
            except TickmakerError as error:
                self._emit("connection", name=conn.name, state="down", why=error.what)
                attempt = max(attempt, _attempt_after(error))
                await asyncio.sleep(error.retry_after_s if isinstance(error, VenueError) else 0)
        self.reconnects += 1
        self._emit("connection", name=conn.name, state="up", why="")
        self.on_state()

    async def _cancel_all(self) -> None:
        try:
            await self._account.cancel_all(CANCEL_TIMEOUT_S)
        except TickmakerError as error:
            self._emit("warning", what=error.what, remedy=error.remedy)

    async def _reconcile(self) -> None:
        """Until the core no longer asks for it, or a private connection is lost."""
        attempt = 0
        while all(map(self._transport.is_open, PRIVATE)):
            try:
                await self.agree()
                if not self._hot.bits & Halt.RECONCILING:
                    self._emit("reconciled", attempt=attempt)
                    return
                if attempt == 2 and self._hot.core.has_diverged:
                    self._emit(
                        "warning",
                        what="the venue's position differs from the one that our fills add up to",
                        remedy="quotes stay pulled; compare the fills, then restart the engine",
                    )
            except TickmakerError as error:
                self._emit("warning", what=error.what, remedy=error.remedy)
            await asyncio.sleep(backoff_s(attempt, self._rng))
            attempt += 1

    async def agree(self) -> int:
        """Nothing on its way, nothing open at the venue, then the position; let the core start.

        The order matters: an order still on its way could reach the venue after it was asked
        whether any is open. Returns the position, lots.
        """
        await self.nothing_on_its_way()
        await self._account.cancel_all(CANCEL_TIMEOUT_S)
        await asyncio.sleep(SETTLE_S)
        lots = await self._account.position_lots(self._traded)
        self._hot.account(lots, 0)
        self._hot.command(Command.START)
        return lots

    def _note_trade_lost(self) -> None:
        """The first look at a lost TRADE connection; connecting again does not forget it."""
        if self._is_trade_up:
            self._is_trade_up = False
            self._trade_lost_ns = clock.monotonic_ns()

    async def nothing_on_its_way(self) -> None:
        """Until no place of the halted core can reach the venue any more; at most recvWindow.

        The venue refuses what arrives later than recvWindow after its timestamp, so a place of a
        lost TRADE connection is waited out, whatever the core believes of it; on a connection
        that is up, each order is acknowledged sooner.
        """
        window_ns = self._recv_window_ms * 1_000_000
        pending_ns = clock.monotonic_ns() + window_ns
        lost_ns = 0 if self._trade_lost_ns is None else self._trade_lost_ns + window_ns
        if not self._is_trade_up:
            pending_ns = min(pending_ns, lost_ns)
        while True:
            now_ns = clock.monotonic_ns()
            if now_ns > lost_ns and (now_ns > pending_ns or not self._is_any_pending()):
                return
            await asyncio.sleep(TURN_MS / 1e3)

    def _is_any_pending(self) -> bool:
        on_its_way = (OrderState.PENDING_NEW, OrderState.UNKNOWN)
        return any(own["state"] in on_its_way for own in self._hot.core.numbers()["own"])


def _attempt_after(error: TickmakerError) -> int:
    """The least attempt number to go on with: one of long waits where the venue asks for it.

    Who knocks on while throttled is banned, and can't even cancel then.
    """
    is_throttled = (
        isinstance(error, RefusedError | VenueError) and error.status in venue.STATUS_THROTTLED
    )
    return PATIENT_ATTEMPT if is_throttled else 0
