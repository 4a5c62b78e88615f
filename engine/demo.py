"""`tickmaker demo`: exchange, engine and recorder as processes, the terminal as their window.

Ctrl-C reaches only this process (the others have sessions of their own): it asks the engine for
its ordered shutdown, waits for it, and writes the report all the same. It also does so when one
of the others dies. When this process dies, the others notice that their standard input ends.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from engine import clock
from engine.config import demo_core
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.runs import make_run_dir
from engine.status import StatusReader
from engine.strategies import Named, named

# `python -m` looks in the working directory first: ours, never a stranger's engine.py.
SOURCES = Path(__file__).resolve().parent.parent
READY_DEADLINE_S = 15.0
TAPE_READY_DEADLINE_S = 120.0   # a big capture is read and indexed first
QUOTING_DEADLINE_S = 30.0
STOP_DEADLINE_S = 20.0
# The engine's own ordered shutdown may take so long (session.py); only then it hangs.
ENGINE_PATIENCE_S = 20.0
PATIENCE_S = 5.0
REFRESH_S = 0.2


@dataclass(frozen=True)
class DemoOptions:
    """What the command line says."""

    seconds: float
    tape: Path | None
    strategy: str
    seed: int
    runs_dir: Path
    as_json: bool


@dataclass
class _Child:
    """A process of the demo, with its log file and the JSON lines it prints."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    lines: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue)
    reader: asyncio.Task[None] | None = None
    patience_s: float = PATIENCE_S

    async def next_line(self) -> dict[str, Any] | None:
        """None at the end, however often it is asked for."""
        line = await self.lines.get()
        if line is None:
            self.lines.put_nowait(None)
        return line

    async def died(self) -> str:
        """How the process ended, in words: `exit code 1`, `SIGKILL`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.process.wait()
        code = self.process.returncode
        if code is None:
            return "closed its output"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def run_demo(options: DemoOptions) -> tuple[dict[str, Any], int]:
    """Run the demo; (report, exit code). TickmakerError for what a person can mend."""
    strategy = _check_options(options)
    demo = _Demo(options, strategy, make_run_dir(options.runs_dir, "demo"))
    try:
        asyncio.run(demo.run())
    except KeyboardInterrupt:
        if demo.result is None:
            raise
    # All is written: one more Ctrl-C must not turn success into failure.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert demo.result is not None
    return demo.result


def _check_options(options: DemoOptions) -> Named:
    strategy = named(options.strategy)
    if options.tape is not None and not options.tape.is_file():
        raise TickmakerError(
            f"No tape at {options.tape}",
            "Give a raw capture or a .tape.arrow file with --tape FILE.",
            EXIT_USAGE,
        )
    return strategy


class _Demo:
    def __init__(self, options: DemoOptions, strategy: Named, run_dir: Path) -> None:
        self.options = options
        self.strategy = strategy
        self.run_dir = run_dir
        self.console = Console(stderr=options.as_json)
        self.stop = asyncio.Event()
        self.children: list[_Child] = []
        self.result: tuple[dict[str, Any], int] | None = None
        cpus = sorted(os.sched_getaffinity(0))
        # The engine polls: it gets a core of its own, everybody else shares the rest.
        self.engine_cpu = cpus[-1] if len(cpus) > 1 else None
        if self.engine_cpu is not None:
            os.sched_setaffinity(0, set(cpus[:-1]))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        try:
            code = await self._trade()
        except TickmakerError:
            await self._end_children()
            self._report_what_is_there()
            raise
        finally:
            await self._end_children()
        self.result = self._report(code)

    async def _end_children(self) -> None:
        """The engine first: it needs the exchange to cancel its orders."""
        for child in sorted(self.children, key=lambda child: child.name != "engine"):
            await _end(child)

    def _on_signal(self) -> None:
        if self.stop.is_set():
            self._say("still cancelling orders and closing; a moment")
        self.stop.set()

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    async def _trade(self) -> int:
        self._say(f"run folder  {self.run_dir}")
        exchange = await self._start_exchange()
        deadline_s = TAPE_READY_DEADLINE_S if self.options.tape else READY_DEADLINE_S
        ready = await self._expect(exchange, deadline_s, "to be ready")
        if ready is None:
            return EXIT_OK
        symbol = ready.get("symbols", ["BTCUSDT"])[0]
        self._say(f"exchange    {ready['rest_url']} ({symbol}, Binance USD-M protocol)")
        engine = await self._start("engine", "engine.session", [str(self.run_dir)])
        recorder = await self._start("recorder", "engine.recorder", [str(self.run_dir)])
        self._configure(engine, ready, symbol)
        try:
            if await self._wait_for_quoting(engine):
                await self._watch(exchange, engine, recorder)
        finally:
            code = await self._stop_engine(engine)
            code = max(code, await self._stop_recorder(recorder))
        return code

    # -- CHILDREN ---

    async def _start_exchange(self) -> _Child:
        arguments = [
            "--venue", "binance_usdm", "--seed", str(self.options.seed),
            "--rest-port", "0", "--ws-port", "0", "--json", "--until-stdin-closes",
        ]  # fmt: skip
        if self.options.tape is not None:
            arguments += ["--tape", str(self.options.tape.resolve())]
        else:
            arguments += ["--symbols", "BTCUSDT"]
        return await self._start("exchange", "engine.exchange", arguments)

    async def _start(self, name: str, module: str, arguments: list[str]) -> _Child:
        log = self.run_dir / f"{name}.log"
        with log.open("wb") as log_file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file,
                start_new_session=True, limit=1 << 20, cwd=SOURCES,
            )  # fmt: skip
        child = _Child(name, process, log)
        if name == "engine":
            child.patience_s = ENGINE_PATIENCE_S
        child.reader = asyncio.create_task(_read_lines(child))
        self.children.append(child)
        return child

    def _configure(self, engine: _Child, ready: dict[str, Any], symbol: str) -> None:
        account = ready["accounts"][0]
        run_tag = secrets.token_hex(4)
        core = demo_core(symbol, self.strategy.name, run_tag, self.options.seed)
        file = self.strategy.file
        if file is not None:
            core["params"] = {}  # the strategy's own defaults
        config = {
            "run_dir": str(self.run_dir),
            "rest_url": ready["rest_url"],
            "ws_url": {kind: ready["ws_url"][kind] for kind in ("public", "private", "ws_api")},
            "poll": "busy",
            "cpu": self.engine_cpu,
            "strategy_file": None if file is None else str(file.resolve()),
            "core": core,
            "credential": {
                "kind": "local_exchange", "seed": self.options.seed, "account": 0,
            },
        }  # fmt: skip
        document = {
            "config": config,
            "api_key": account["api_key"],
            "secret": account["secret"],
        }
        assert engine.process.stdin is not None
        # The key travels through the pipe: never an argument, never a file.
        engine.process.stdin.write(json.dumps(document).encode() + b"\n")

    async def _expect(self, child: _Child, deadline_s: float, what: str) -> dict[str, Any] | None:
        """The child's next JSON line; None when the user stopped. Raises when it failed."""
        line = asyncio.create_task(child.next_line())
        stopped = asyncio.create_task(self.stop.wait())
        done, pending = await asyncio.wait(
            {line, stopped}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in pending:
            task.cancel()
        if line in done:
            result = line.result()
            if result is not None and result.get("event") != "error":
                return result
            raise await _child_failed(child, result)
        if stopped in done:
            return None
        raise TickmakerError(
            f"The {child.name} took more than {deadline_s:.0f} s {what}",
            f"Its log: {child.log}",
        )

    async def _wait_for_quoting(self, engine: _Child) -> bool:
        while True:
            line = await self._expect(engine, QUOTING_DEADLINE_S, "to start quoting")
            if line is None:
                return False
            if line.get("event") == "step":
                self._say(f"  {line['name']:<34}{line['ms']:>9.1f} ms")
            elif line.get("event") == "warning":
                self._say(f"{line['what']}\n    {line['remedy']}")
            elif "STRATEGY" in line.get("state", ()):
                raise TickmakerError(
                    "The strategy failed until it was halted, and never quoted",
                    "The first failure is told above; correct it and start again.",
                )
            elif line.get("event") == "quoting":
                if line.get("aside"):
                    self._say(f"free to quote; {line['aside']}")
                return True

    async def _watch(self, exchange: _Child, engine: _Child, recorder: _Child) -> None:
        """The live view, until the time is over, the user stops it, or a process fails."""
        from engine.view import LiveView

        status_page = StatusReader(self.run_dir / "status.page")
        started_ns = clock.monotonic_ns()
        is_recording = True
        with LiveView(self.console, total_s=self.options.seconds) as view:
            while not self.stop.is_set():
                elapsed_s = (clock.monotonic_ns() - started_ns) / 1e9
                if elapsed_s >= self.options.seconds:
                    return
                while not engine.lines.empty():
                    line = await engine.next_line()
                    if line is None or line.get("event") == "error":
                        raise await _child_failed(engine, line)
                    view.note(line)
                if exchange.process.returncode is not None:
                    raise await _child_failed(exchange, None)
                if is_recording and recorder.process.returncode is not None:
                    is_recording = False
                    self._say(f"the recorder died ({await recorder.died()}); its log: "
                              f"{recorder.log}; the report will be built from the journal")
                status = status_page.read()
                if status is not None:
                    view.update(status, elapsed_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), REFRESH_S)

    async def _stop_engine(self, engine: _Child) -> int:
        """Ordered shutdown; 1 if the engine could not prove that nothing is left at the venue."""
        if engine.process.returncode is None and engine.process.stdin is not None:
            engine.process.stdin.close()
        async with _deadline(STOP_DEADLINE_S):
            while (line := await engine.next_line()) is not None:
                if line.get("event") == "stopped":
                    left = line["open_orders_at_venue"]
                    self._say(
                        f"stopped: {line['orders_cancelled']} orders cancelled, "
                        + ("it is not known how many are left at the venue" if left is None
                           else f"{left} left at the venue")
                    )
                    await engine.process.wait()
                    return EXIT_OK if left == 0 else EXIT_FAILED
        how = await engine.died()
        if engine.process.returncode is None:
            self._say(f"the engine did not close in order; its log: {engine.log}")
        else:
            # Its key went with it: nobody here cancels in its name.
            self._say(f"the engine died ({how}) without its ordered shutdown; "
                      "orders may be left at the local exchange, which ends now too")
        return EXIT_FAILED

    async def _stop_recorder(self, recorder: _Child) -> int:
        if recorder.process.returncode is None and recorder.process.stdin is not None:
            recorder.process.stdin.close()
        async with _deadline(STOP_DEADLINE_S):
            if await recorder.process.wait() == 0:
                return EXIT_OK
        self._say(f"the recorder failed; its log: {recorder.log}")
        return EXIT_FAILED

    # -- REPORT ---

    def _report_what_is_there(self) -> None:
        """After a failure: the journal up to it. What else fails must not hide it."""
        if not (self.run_dir / "journal").is_dir():
            return
        try:
            self._report(EXIT_FAILED)
        except TickmakerError as error:
            self._say(f"no report: {error.what}")

    def _report(self, code: int) -> tuple[dict[str, Any], int]:
        from engine.report.build import build_report
        from engine.view import print_summary

        if not (self.run_dir / "journal" / "000000.jnl").exists():
            self._say("stopped before the engine's first record: nothing was sent")
            return _empty_report(self.run_dir), code
        report = build_report(self.run_dir)
        print_summary(self.console, report)
        return report, code


def _empty_report(run_dir: Path) -> dict[str, Any]:
    """Of a run that was stopped before its engine began; written as any other."""
    latency = {"p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0}
    report = {
        "orders": 0,
        "fills": 0,
        "position_lots": 0,
        "pnl": {"total": 0.0, "spread": 0.0, "fees": 0.0, "inventory": 0.0},
        "tick_to_order": latency,
        "state": "STOPPED",
        "run_dir": str(run_dir),
        "events": 0,
        "events_per_s": 0.0,
    }
    (run_dir / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    text = "<!doctype html><title>tickmaker</title><p>Stopped before the engine's first record."
    (run_dir / "report.html").write_text(text + "\n")
    return report


@contextlib.asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Leave the block quietly when it takes too long; the caller goes on after it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            yield


async def _read_lines(child: _Child) -> None:
    assert child.process.stdout is not None
    async for raw in child.process.stdout:
        try:
            line = json.loads(raw)
        except ValueError:
            continue  # a library's chatter is not part of the protocol
        if isinstance(line, dict):
            child.lines.put_nowait(line)
    child.lines.put_nowait(None)


async def _end(child: _Child) -> None:
    """SIGTERM, then SIGKILL: nothing of the demo outlives it."""
    if child.process.returncode is None:
        for number, patience_s in ((signal.SIGTERM, child.patience_s), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.process.wait(), patience_s)
                break
    if child.reader is not None:
        child.reader.cancel()


async def _child_failed(child: _Child, line: dict[str, Any] | None) -> TickmakerError:
    if line is not None:
        return TickmakerError(
            str(line.get("what", f"The {child.name} failed")),
            str(line.get("remedy", f"Its log: {child.log}")),
            int(line.get("exit_code", EXIT_FAILED)),
        )
    tail = child.log.read_text(errors="replace").strip().splitlines()[-3:]
    detail = "\n  ".join(tail) if tail else "it said nothing"
    return TickmakerError(
        f"The {child.name} died ({await child.died()}): {detail}", f"Its log: {child.log}"
    )
