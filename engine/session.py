"""One engine process: `python -m engine.session RUN_DIR`. Its parts are in engine/live.

What it is told and what it says: engine/gateway/parent.py. The end of standard input, a line
`stop`, SIGTERM and SIGINT all mean ordered shutdown, and a second one changes nothing: orders are
cancelled, each venue says that none is open, the journals are closed, and only then the process
ends. Nothing here ever prints or stores a key or a secret.
"""

import asyncio
import gc
import signal
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from engine import clock
from engine.config import EngineConfig, load
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.gateway.edge import REAL, Edge
from engine.gateway.hotsocket import Cold
from engine.gateway.parent import Input, Output
from engine.live.account import LiveAccount
from engine.live.control import Control
from engine.live.hedging import Hedging
from engine.live.instrument import LiveInstrument
from engine.live.operator import Operator
from engine.live.page import Page, page_bytes
from engine.live.shutdown import ShutDown
from engine.live.stage import Stage, cancelled
from engine.live.startup import StartUp
from engine.recorder.events_log import EventsLog
from engine.status import STATUS_SIZE, StatusWriter

COLLECT_EVERY_S = 30.0
PREPARE_BYTES = 128 << 10  # of the next journal segments, per 10 ms: 60 us; 12 MB/s keeps ahead
PREPARE_EVERY_S = 0.01
LOOKS_PER_TURN = 4  # instruments: asking two hundred each turn is a stall of 0.2 ms


class Session:
    """The engine of one process, from REST to shutdown. `credentials`: (key, secret) by account;
    they are the adapters' from here on."""

    def __init__(
        self, config: EngineConfig, credentials: Mapping[str, tuple[str, str]], output: Output,
        edge: Edge = REAL,
    ) -> None:  # fmt: skip
        self.config = config
        self._output = output
        self._error: TickmakerError | None = None
        self.stage = Stage(config, output, edge, self.fault)
        self.instruments = [
            LiveInstrument(self.stage, instrument, number)
            for number, instrument in enumerate(config.instruments)
        ]
        self.accounts = [
            self._account(name, credentials) for name in (a.name for a in config.accounts)
        ]
        self._start_up = StartUp(self.stage, self.accounts, self.instruments)
        self._hedging = Hedging(self.stage, self.accounts, self.instruments)
        self._page = Page(self.stage, self.accounts, self.instruments, self._hedging.told)
        self._writer: StatusWriter | None = None
        self._control: Control | None = None

    def __repr__(self) -> str:
        return f"Session({self.config.name!r})"

    def _account(self, name: str, credentials: Mapping[str, tuple[str, str]]) -> LiveAccount:
        config = next(account for account in self.config.accounts if account.name == name)
        if name not in credentials:
            raise TickmakerError(
                f"no credential of account {name} was given", "give one", EXIT_USAGE
            )
        instruments = [i for i in self.instruments if i.config.account == name]
        if not instruments:
            raise TickmakerError(
                f"Configuration: account {name} has no instrument", "drop it, or add one",
                EXIT_USAGE,
            )  # fmt: skip
        return LiveAccount(self.stage, config, credentials[name], instruments)

    async def run(self) -> int:
        """Start, trade until told to stop, stop in order. Exit code."""
        starting = asyncio.ensure_future(self._start())
        told = asyncio.ensure_future(self.stage.stopping.wait())
        try:
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await told
        except TickmakerError as error:
            self.fail(error)
        except Exception as error:
            self.fault(error)
        await cancelled(starting, told)
        return await self._shut_down()

    def stop(self) -> None:
        """Ask for the ordered shutdown; asking twice changes nothing."""
        self.stage.stopping.set()

    def orphaned(self) -> None:
        """Whoever started the engine is gone: nobody could stop it any more."""
        if not self.stage.stopping.is_set():
            self.stage.emit(
                "warning", what="the engine's parent is gone: an ordered shutdown begins",
                remedy="see what killed `tickmaker run`; the next run takes over what is held",
            )  # fmt: skip
        self.stop()

    def fail(self, error: TickmakerError) -> None:
        """Report an error, then shut down in order; the first one decides the exit code."""
        if self._error is None:
            self._error = error
            self.stage.emit("error", what=error.what, remedy=error.remedy,
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

    async def _start(self) -> None:
        run_dir = self.config.run_dir
        self.stage.log = EventsLog(run_dir)
        self._start_up.on_built = self._on_built
        await self._start_up.run()
        if self.config.hedges:
            self.stage.spawn(self._hedging.keep(), "hedging")
        if self.stage.edge.has_control:
            operator = Operator(self.stage, self.instruments, self.stop, self._page.content)
            self._control = Control(run_dir, operator.handle)
            await self._control.open()
        self._warm_up()

    def _on_built(self) -> None:
        """Cores and roles exist: bytes may move."""
        hedged = len(self.config.hedges)
        size_bytes = page_bytes(len(self.instruments), STATUS_SIZE, hedged)
        self._writer = StatusWriter(self.config.run_dir / "status.page", size_bytes)
        self.stage.transport.start(self._on_cold, self.fault)
        self.stage.spawn(self._housekeep(self._writer), "housekeep")
        self.stage.spawn(self._collect(), "collect")

    def _warm_up(self) -> None:
        """Busy mode: what exists now stays, and no collection ever scans it again."""
        if self.config.poll == "busy":
            gc.collect()
            gc.freeze()
            gc.disable()

    # -- RUN ---

    def _on_cold(self, items: list[tuple[Cold, int, int]]) -> None:
        """From the transport: what Python must look at. Returns at once."""
        self._start_up.changed.set()
        for what, number, slot in items:
            if what is Cold.CLOSED:
                self._on_closed(number, slot)
                continue
            instrument = self.instruments[number]
            account = self._account_of(instrument)
            if what is Cold.SNAPSHOT:
                account.snapshots.want(number)
            elif what is Cold.STATE:
                instrument.tell_state()
                if self.stage.is_active:
                    account.on_state(instrument)

    def _on_closed(self, role_index: int, slot: int) -> None:
        account = next(a for a in self.accounts if a.has_role(role_index))
        account.on_closed(role_index, slot)

    def _account_of(self, instrument: LiveInstrument) -> LiveAccount:
        return next(a for a in self.accounts if a.name == instrument.config.account)

    async def _housekeep(self, writer: StatusWriter) -> None:
        """Journal segments ahead of need, the status page, the first quotes' announcements; a
        little of it a turn, however many instruments there are."""
        next_status_ns = 0
        unannounced = deque(self.instruments)
        own = [instrument for instrument in self.instruments if instrument.own is not None]
        waiting = deque(self.instruments)
        prepare_bytes = round(PREPARE_BYTES * max(1.0, self.stage.edge.turn_s / PREPARE_EVERY_S))
        while True:
            self._prepare_segments(waiting, prepare_bytes)
            for _ in range(min(len(unannounced), LOOKS_PER_TURN)):
                instrument = unannounced.popleft()
                if not instrument.announce():
                    unannounced.append(instrument)
            self._page.renew()
            now_ns = clock.monotonic_ns()
            if now_ns >= next_status_ns:
                next_status_ns = now_ns + int(self.stage.edge.status_s * 1e9)
                writer.write_text(self._page.text())
                for instrument in own:
                    instrument.tell_of_failure()
            if self._output.is_broken:
                self.orphaned()
            await asyncio.sleep(self.stage.edge.turn_s)

    def _prepare_segments(self, waiting: deque[LiveInstrument], budget_bytes: int) -> None:
        """One small step: a journal gets ready, and then the others have their turn."""
        for _ in range(min(len(waiting), LOOKS_PER_TURN)):
            if waiting[0].prepare_segment(budget_bytes):
                return
            waiting.rotate(-1)

    async def _collect(self) -> None:
        """Busy mode collects at moments of our choice."""
        while True:
            await asyncio.sleep(COLLECT_EVERY_S)
            gc.collect(1)

    # -- STOP ---

    async def _shut_down(self) -> int:
        """Quotes pulled, cancels proved by the venues, journals closed, in that order."""
        self.stage.stopping.set()
        down = ShutDown(self.stage, self.accounts, self.instruments, self._hedging)
        try:
            await down.run()
        except Exception as error:
            down.left = None
            self.fault(error)
        if down.error is not None:
            self.fail(down.error)
        await self._close()
        self._output.emit(
            "stopped", orders_cancelled=down.cancelled, open_orders_at_venue=down.left
        )
        if self.stage.log is not None:
            in_order = down.left == 0 and self._error is None
            self.stage.log.stopped(clock.monotonic_ns(), in_order=in_order)
            self.stage.log.close()
        return self._error.exit_code if self._error is not None else EXIT_OK

    async def _close(self) -> None:
        if self._control is not None:
            await self._control.close()
        await self.stage.close()
        for account in self.accounts:
            await account.close()
        self.stage.transport.stop()
        if self._writer is not None:
            self._writer.write_text(self._page.last())
            self._writer.close()
        for instrument in self.instruments:
            instrument.close()
        for account in self.accounts:
            account.lock.release()


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
    session = Session(config, _pairs(document["credentials"]), output)
    document.clear()
    loop.set_exception_handler(lambda _, context: session.fault(
        context.get("exception") or RuntimeError()))
    if stopped.is_set():
        session.stop()
    stdin.watch(session.stop, session.orphaned)
    return await session.run()


def _pairs(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {account: (pair[0], pair[1]) for account, pair in told.items()}


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
