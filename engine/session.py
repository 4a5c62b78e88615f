"""One engine process: wiring, start-up, running, ordered shutdown. `python -m engine.session DIR`.

What it is told and what it says: engine/gateway/parent.py. The end of standard input, a line
`stop`, SIGTERM and SIGINT all mean ordered shutdown, and a second one changes nothing: orders are
cancelled, the venue says that none is open, the journal is closed, and only then the process ends.
Nothing here ever prints or stores a key or a secret."""

import asyncio
import gc
import signal
import sys
import traceback
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import uvloop

from engine import clock
from engine.config import EngineConfig, load
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.gateway import hotsocket
from engine.gateway.edge import REAL, Edge, pin
from engine.gateway.handshake import require_loopback
from engine.gateway.hotsocket import HotLoop
from engine.gateway.market import Snapshots
from engine.gateway.parent import Input, Output
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient
from engine.gateway.supervisor import Supervisor
from engine.gateway.trading import Account
from engine.gateway.transport import HotTransport
from engine.recorder.segments import Segments
from engine.runs import write_config
from engine.status import StatusWriter
from engine.strategies import OwnStrategy, aside, configured
from engine.venues import binance_usdm as venue
from fastcore.core import Core
from fastcore.core_stats import halt_names
from fastcore.journal import JournalWriter
from fastcore.types import Command, Conn, Halt

STEP_DEADLINE_S = 10.0
BOOK_DEADLINE_S = 15.0
FLAT_DEADLINE_S = 3.0  # at shutdown, for cancels over the TRADE connection
PROOF_DEADLINE_S = 10.0  # at shutdown, for the venue to say that nothing is open
POSITION_DEADLINE_S = 3.0  # ... and what we hold, when that is not sure
CLOCK_EVERY_S = 30.0
STATUS_EVERY_S = 0.2
FREE_TURNS = 300  # 3 s free to quote: a strategy that waits for its moment is announced, too
PREPARE_BYTES = 128 << 10  # of the next journal segment, per turn: 60 us; 12 MB/s keeps ahead
T = TypeVar("T")


class Session:
    """The engine of one instrument, from REST to shutdown."""

    def __init__(
        self, config: EngineConfig, api_key: str, secret: str, output: Output,
        edge: Edge = REAL,
    ) -> None:  # fmt: skip
        self.config = config
        self._edge = edge
        self._keys = (api_key.encode(), secret.encode())
        self._output = output
        self._rng = Random(config.core.mask_seed)
        self._rest = RestClient(
            config.rest_url, api_key, secret,
            recv_window_ms=config.core.recv_window_ms, rng=self._rng,
            connect=edge.connect_http,
        )  # fmt: skip
        self._account = Account(self._rest, config.core.symbol, self._rng)
        self._account.on_clock_refused = self._sync_clock
        self._resync: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._error: TickmakerError | None = None
        self._is_rest_up = False
        self._is_announced = False
        self._offset_ns = 0
        self._segments: Segments | None = None
        self._page: StatusWriter | None = None
        self._own: OwnStrategy | None = None
        self._hot: HotLoop | None = None

    def __repr__(self) -> str:
        return f"Session({self.config.core.symbol!r})"

    async def run(self) -> int:
        """Start, trade until told to stop, stop in order. Exit code."""
        starting = asyncio.ensure_future(self._start())
        told = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await told
        except TickmakerError as error:
            self.fail(error)
        except Exception as error:
            self.fault(error)
        starting.cancel()
        told.cancel()
        await asyncio.gather(starting, told, return_exceptions=True)
        return await self._shut_down()

    def stop(self) -> None:
        """Ask for the ordered shutdown; asking twice changes nothing."""
        self._stopping.set()

    def fail(self, error: TickmakerError) -> None:
        """Report an error, then shut down in order; the first one decides the exit code."""
        if self._error is None:
            self._error = error
            self._output.emit("error", what=error.what, remedy=error.remedy,
                              exit_code=error.exit_code)
        self.stop()

    def fault(self, error: BaseException) -> None:
        """Our bug: its place to the log (never its text, which may hold a URL), then stop."""
        if isinstance(error, TickmakerError):
            self.fail(error)
            return
        print(type(error).__name__, file=sys.stderr)
        traceback.print_tb(error.__traceback__)
        self.fail(TickmakerError(
            f"internal error: {type(error).__name__}",
            "the engine's log says where; please report it",
        ))

    # -- START ---

    async def _step(self, name: str, work: Awaitable[T], deadline_s: float = STEP_DEADLINE_S) -> T:
        started_ns = clock.monotonic_ns()
        try:
            async with asyncio.timeout(deadline_s):
                result = await work
        except TimeoutError:
            raise TickmakerError(
                f"start-up: {name}: not done within {deadline_s:g} s",
                "check that the exchange runs and answers",
            ) from None
        self._say_step(name, started_ns)
        return result

    def _say_step(self, name: str, started_ns: int) -> None:
        ms = (clock.monotonic_ns() - started_ns) / 1e6
        self._output.emit("step", name=name, ms=round(ms, 3))

    async def _start(self) -> None:
        config = self.config
        self._check_hosts()
        if config.cpu is not None:
            pin(config.cpu)
        self._compile()
        await self._rest.open()
        await self._step("clock in step with the venue", self._sync_clock())
        traded = await self._step("instrument filters read", self._account.instrument())
        limits = config.core.limits
        venue.check_limits(
            traded, limits.qty_lots_max, limits.orders_per_10s_max, limits.orders_per_min_max
        )
        started_ns = clock.monotonic_ns()
        core = self._build(traded)
        self._say_step("core and journal ready", started_ns)
        self._is_rest_up = True
        await self._step("leftover orders cancelled", self._account.cancel_all(STEP_DEADLINE_S))
        assert self._hot is not None
        self._hot.clock(self._offset_ns)
        self.transport.start(self._on_cold, self.fault)
        for conn in (Conn.USER, Conn.TRADE, Conn.MARKET):
            await self._step(f"{conn.name} connection up", self.supervisor.connect(conn))
        await self._step("book synced", self._book_synced(core), BOOK_DEADLINE_S)
        venue.check_size(
            traded, config.core.params.get("qty_lots"), core.numbers()["bid_px_ticks"]
        )
        await self._step("position agreed with the venue", self.supervisor.agree())
        self.supervisor.is_active = True
        self._warm_up()
        self._tasks += [
            asyncio.create_task(self._keep_clock()),
            asyncio.create_task(self._keep_listen_key()),
        ]
        for task in self._tasks:
            task.add_done_callback(self._on_task_done)
        self.supervisor.on_lost()
        self.supervisor.on_state()

    def _check_hosts(self) -> None:
        urls = self.config.ws_url
        require_loopback(self.config.rest_url, "rest_url")
        for name in ("public", "private", "ws_api"):
            require_loopback(getattr(urls, name), f"ws_url.{name}")

    def _compile(self) -> None:
        """A strategy of the user's own, before anything is connected."""
        config, started_ns = self.config, clock.monotonic_ns()
        if config.strategy_file is None:
            return
        self._own = OwnStrategy(config.core.strategy, config.strategy_file, config.run_dir)
        self._say_step(f"{self._own.user.name} compiled", started_ns)

    def _build(self, traded: venue.Instrument) -> Core:
        """Journal, core, hot loop, transport: everything between REST and the first socket."""
        config = self.config
        core_config = config.core.model_dump(exclude_none=True)
        core_config |= {"tick": traded.tick, "lot": traded.lot, "assets": traded.assets}
        user = None if self._own is None else self._own.user
        if user is not None:
            core_config = configured(core_config, user)
        wall_minus_monotonic_ns = clock.wall_minus_monotonic_ns()
        write_config(config.run_dir, config.model_dump(mode="json") | {
            "core": core_config, "wall_minus_monotonic_ns": wall_minus_monotonic_ns,
        })  # fmt: skip
        self._segments = Segments(config.run_dir / "journal", self._edge.segment_bytes)
        self.journal = JournalWriter(self._segments.next(), wall_minus_monotonic_ns)
        self.journal.add_segment(self._segments.next())
        try:
            core = Core(core_config, *self._keys, self.journal, user)
        except ValueError as error:
            raise TickmakerError(f"Configuration: {error}", "correct it", EXIT_USAGE) from None
        core.set_ticks(hotsocket.tick_capsule(), hotsocket.ns_per_tick())
        self._page = StatusWriter(config.run_dir / "status.page")
        hot = self._hot = HotLoop(core)
        self.transport = HotTransport(
            hot, is_busy=config.poll == "busy", dial=self._edge.dial
        )
        self.snapshots = Snapshots(hot, self._rest, config.core.symbol, self._rng, self.fault)
        self.supervisor = Supervisor(
            hot, self.transport, self._account,
            {
                Conn.MARKET: venue.market_url(config.ws_url.public, config.core.symbol),
                Conn.TRADE: venue.trade_url(config.ws_url.ws_api),
                Conn.USER: config.ws_url.private,
            },
            traded, recv_window_ms=config.core.recv_window_ms, rng=self._rng,
            emit=self._output.emit, on_fault=self.fault,
        )  # fmt: skip
        self._tasks.append(asyncio.create_task(self._housekeep(hot, self._page, self._segments)))
        return core

    async def _book_synced(self, core: Core) -> None:
        while core.halt_bits & Halt.BOOK:
            self._changed.clear()
            await self._changed.wait()

    def _warm_up(self) -> None:
        """Busy mode: what exists now stays, and no collection ever scans it again."""
        if self.config.poll == "busy":
            gc.collect()
            gc.freeze()
            gc.disable()

    # -- RUN ---

    def _on_cold(self, cold: int) -> None:
        """From the transport: bits that Python must look at. Returns at once."""
        self._changed.set()
        if cold & hotsocket.SNAPSHOT:
            self.snapshots.want()
        if cold & hotsocket.FLAT:
            self.supervisor.on_flat()
        if cold & hotsocket.CLOSED:
            if not self.supervisor.is_active and not self._stopping.is_set():
                raise TickmakerError("a connection was lost during start-up", "start again")
            self.supervisor.on_lost()
        if cold & hotsocket.STATE:
            assert self._hot is not None
            self._tell_of_failure(self._hot)
            self._output.emit("state", state=halt_names(self._hot.bits))
            if self._hot.bits & Halt.CLOCK and (self._resync is None or self._resync.done()):
                self._resync = asyncio.create_task(self._clear_clock(self._hot))
                self._resync.add_done_callback(self._on_task_done)
            self.supervisor.on_state()

    async def _housekeep(self, hot: HotLoop, page: StatusWriter, segments: Segments) -> None:
        """Journal segments ahead of need, the status page, the first quote's announcement."""
        next_status_ns = free_turns = 0
        while True:
            if self.journal.needs_segment and segments.prepare(PREPARE_BYTES):
                self.journal.add_segment(segments.next())
            free_turns = 0 if hot.bits else free_turns + 1
            is_quoting = free_turns and (hot.core.working_count or free_turns > FREE_TURNS)
            if is_quoting and not self._is_announced:
                self._is_announced = True
                self._output.emit("quoting", **aside(hot.core))
            now_ns = clock.monotonic_ns()
            if now_ns >= next_status_ns:
                next_status_ns = now_ns + int(STATUS_EVERY_S * 1e9)
                page.write(self._status(hot, now_ns))
                self._tell_of_failure(hot)
            if self._output.is_broken:
                self.stop()
            await asyncio.sleep(self._edge.turn_s)

    def _tell_of_failure(self, hot: HotLoop) -> None:
        if self._own is not None and (told := self._own.first_failure(hot.core)):
            self._output.emit("warning", **told)

    def _status(self, hot: HotLoop, now_ns: int) -> dict[str, Any]:
        return {
            **hot.core.stats(now_ns),
            "edge": hot.stats(),
            "reconnects": self.supervisor.reconnects,
            "snapshots": self.snapshots.fetched,
            "is_stopping": self._stopping.is_set(),
        }

    async def _sync_clock(self) -> None:
        sample = await self._account.clock_sample()
        self._offset_ns = sample.offset_ns
        self._rest.utc_ns = lambda: clock.monotonic_ns() + self._offset_ns
        if self._hot is not None:
            self._hot.clock(sample.offset_ns)

    async def _clear_clock(self, hot: HotLoop) -> None:
        """The venue refused an order for its timestamp: measure the clock until that stands."""
        attempt = 0
        while hot.bits & Halt.CLOCK:
            await asyncio.sleep(backoff_s(attempt, self._rng))
            attempt += 1
            try:
                await self._sync_clock()
            except TickmakerError as error:
                self._output.emit("warning", what=error.what, remedy=error.remedy)

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            gc.collect(1)
            try:
                await self._sync_clock()
            except TickmakerError as error:
                self._output.emit("warning", what=error.what, remedy=error.remedy)

    async def _keep_listen_key(self) -> None:
        while True:
            await asyncio.sleep(venue.LISTEN_KEY_RENEW_S)
            try:
                if not await self._account.keep_listen_key():
                    self.supervisor.drop(Conn.USER)
            except TickmakerError as error:
                self._output.emit("warning", what=error.what, remedy=error.remedy)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fault(error)

    # -- STOP ---

    async def _shut_down(self) -> int:
        """Quotes pulled, cancels proved by the venue, journal closed, in that order."""
        self._stopping.set()
        cancelled = 0
        is_flat = True
        if self._hot is not None:
            self.supervisor.is_active = False
            await self.supervisor.close()
            cancelled = self._hot.core.working_count
            self._hot.command(Command.SHUTDOWN)
            is_flat = await self.supervisor.settle(FLAT_DEADLINE_S)
        left: int | None = 0
        if self._is_rest_up:
            try:
                found = await self._account.cancel_all(PROOF_DEADLINE_S)
                cancelled = max(cancelled, found)
                if self._hot is not None and not is_flat:
                    await self.supervisor.tell_position(POSITION_DEADLINE_S)
            except TickmakerError as error:
                left = None
                self.fail(error)
        await self._close()
        self._output.emit("stopped", orders_cancelled=cancelled, open_orders_at_venue=left)
        return self._error.exit_code if self._error is not None else EXIT_OK

    async def _close(self) -> None:
        if self._resync is not None:
            self._tasks.append(self._resync)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._hot is not None:
            await self.snapshots.close()
            for conn in Conn:
                self.transport.disconnect(conn)
            self.transport.stop()
            if self._page is not None:
                self._page.write(self._status(self._hot, clock.monotonic_ns()))
        if self._page is not None:
            self._page.close()
        if self._segments is not None:
            self._segments.close()
        await self._rest.close()


async def _main(run_dir: Path, output: Output) -> int:
    loop = asyncio.get_running_loop()
    stdin = Input()
    stopped = asyncio.Event()
    session: Session | None = None

    def on_signal() -> None:
        stopped.set()
        if session is not None:
            session.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    document = await stdin.document()
    config = load(document["config"] | {"run_dir": str(run_dir)})
    session = Session(config, str(document["api_key"]), str(document["secret"]), output)
    document.clear()
    loop.set_exception_handler(lambda _, context: session.fault(
        context.get("exception") or RuntimeError()))
    if stopped.is_set():
        session.stop()
    stdin.watch(session.stop)
    return await session.run()


def main() -> int:
    """Entry point of the process; errors go to standard output as JSON, never a traceback."""
    output = Output()
    if len(sys.argv) != 2:
        output.emit("error", what="Expected one argument, the run folder",
                    remedy="python -m engine.session RUN_DIR", exit_code=EXIT_USAGE)
        return EXIT_USAGE
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_main(Path(sys.argv[1]), output))
    except TickmakerError as error:
        output.emit("error", what=error.what, remedy=error.remedy, exit_code=error.exit_code)
        return error.exit_code
    except Exception as error:
        output.emit("error", what=f"internal error: {type(error).__name__}",
                    remedy="please report it", exit_code=EXIT_FAILED)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
