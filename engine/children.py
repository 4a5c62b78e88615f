"""A parent's processes: the engine, its recorder, and what else it needs.

Ctrl-C reaches only the parent (the others have sessions of their own): it asks the engine for its
ordered shutdown, waits for it, and writes the report all the same. When the parent dies, the
others notice that their standard input ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.errors import EXIT_FAILED, EXIT_KILLED, EXIT_OK, TickmakerError
from engine.gateway.parent import STEP_BUILT

# `python -m` looks in the working directory first: ours, never a stranger's engine.py.
SOURCES = Path(__file__).resolve().parent.parent
STOP_DEADLINE_S = 25.0  # longer than an ordered shutdown (live/shutdown.py): only then it hangs
PATIENCE_S = 5.0  # with any other child, after SIGTERM


@dataclass
class Child:
    """A process, with its log file and the JSON lines it prints."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    lines: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue)
    reader: asyncio.Task[None] | None = None
    patience_s: float = PATIENCE_S
    is_built: bool = False  # an engine that may have sent something

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

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

    async def failure(self, line: dict[str, Any] | None) -> TickmakerError:
        """What to tell of a child whose last word was `line`; None: it said nothing."""
        if line is not None:
            return TickmakerError(
                str(line.get("what", f"The {self.name} failed")),
                str(line.get("remedy", f"Its log: {self.log}")),
                int(line.get("exit_code", EXIT_FAILED)),
            )
        tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        detail = "\n  ".join(tail) if tail else "it said nothing"
        how = await self.died()
        is_killed = (self.process.returncode or 0) < 0
        return TickmakerError(
            f"The {self.name} died ({how}): {detail}", f"Its log: {self.log}",
            EXIT_KILLED if is_killed and self.name == "engine" else EXIT_FAILED,
        )  # fmt: skip


class Family:
    """The parent of a run's processes: starts them, listens to them, ends them. What they are for
    is a subclass's: `_trade` (its exit code), `_report` and `_report_what_is_there`."""

    def __init__(self, run_dir: Path, console: Console, *, stop_deadline_s: float) -> None:
        self.run_dir = run_dir
        self.console = console
        self.stop = asyncio.Event()
        self.children: list[Child] = []
        self._stop_deadline_s = stop_deadline_s
        self._result: tuple[dict[str, Any], int] | None = None

    def whole(self) -> tuple[dict[str, Any], int]:
        """From the first process to the report; (report, exit code). TickmakerError for what a
        person can mend, after the report of what there is."""
        try:
            asyncio.run(self._run())
        except KeyboardInterrupt:
            if self._result is None:
                raise
        # All is written: one more Ctrl-C must not turn success into failure.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert self._result is not None
        return self._result

    async def _run(self) -> None:
        self.heed_signals()
        try:
            code = await self._trade()
        except TickmakerError:
            await self.end()
            self._report_what_is_there()
            raise
        finally:
            await self.end()
        self._result = self._report(code)

    async def _trade(self) -> int:
        raise NotImplementedError

    def _report(self, code: int) -> tuple[dict[str, Any], int]:
        raise NotImplementedError

    def _report_what_is_there(self) -> None:
        """After a failure: what else fails must not hide it."""
        raise NotImplementedError

    def heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self.stop.is_set():
            self.say(
                "still cancelling orders and closing: done when the venue says that none is open, "
                f"after {self._stop_deadline_s:.0f} s at the latest. To kill it now would leave "
                "orders at the venue"
            )
        self.stop.set()

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def hear(self, line: dict[str, Any]) -> None:
        """What the engine says on its way to the end."""
        if line.get("event") in ("warning", "error"):
            self.say(f"{line['event']}: {line['what']}\n    {line.get('remedy', '')}".rstrip())

    # -- STARTING AND HEARING ---

    async def start(self, name: str, module: str, arguments: list[str]) -> Child:
        log = self.run_dir / f"{name}.log"
        with log.open("wb") as log_file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file,
                start_new_session=True, limit=1 << 20, cwd=SOURCES,
            )  # fmt: skip
        child = Child(name, process, log)
        if name == "engine":
            child.patience_s = self._stop_deadline_s
        child.reader = asyncio.create_task(_read_lines(child))
        self.children.append(child)
        return child

    async def start_engine(
        self, config: dict[str, Any], credentials: dict[str, tuple[str, str]]
    ) -> tuple[Child, Child]:
        """Engine and recorder; the keys travel through the pipe: never an argument or a file."""
        engine = await self.start("engine", "engine.session", [str(self.run_dir)])
        recorder = await self.start("recorder", "engine.recorder", [str(self.run_dir)])
        document = {"config": config, "credentials": credentials}
        assert engine.process.stdin is not None
        engine.process.stdin.write(json.dumps(document).encode() + b"\n")
        return engine, recorder

    async def expect(self, child: Child, deadline_s: float, what: str) -> dict[str, Any] | None:
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
            raise await child.failure(result)
        if stopped in done:
            return None
        raise TickmakerError(
            f"The {child.name} took more than {deadline_s:.0f} s {what}",
            f"Its log: {child.log}",
        )

    # -- ENDING ---

    async def stop_engine(self, engine: Child) -> int:
        """Ordered shutdown; its exit code, and not 0 if the engine could not prove that nothing
        is left at the venue."""
        if engine.is_alive and engine.process.stdin is not None:
            with contextlib.suppress(OSError):  # it died meanwhile
                engine.process.stdin.write(b"stop\n")
            engine.process.stdin.close()
        async with _deadline(self._stop_deadline_s):
            while (line := await engine.next_line()) is not None:
                self.hear(line)
                if line.get("event") == "stopped":
                    self.say(_stopped_text(line, engine.is_built))
                    code = await engine.process.wait()
                    is_proven = line["open_orders_at_venue"] == 0 or not engine.is_built
                    return code if code or is_proven else EXIT_FAILED
        how = await engine.died()
        if engine.is_alive:
            self.say(f"the engine did not close in order; its log: {engine.log}")
        else:
            # Its key went with it: nobody here cancels in its name.
            self.say(f"the engine died ({how}) without its ordered shutdown; "
                     "orders may be left at the venue")
            return EXIT_KILLED if (engine.process.returncode or 0) < 0 else EXIT_FAILED
        return EXIT_FAILED

    async def stop_recorder(self, recorder: Child) -> int:
        if recorder.is_alive and recorder.process.stdin is not None:
            recorder.process.stdin.close()
        async with _deadline(STOP_DEADLINE_S):
            if await recorder.process.wait() == 0:
                return EXIT_OK
        self.say(f"the recorder failed; its log: {recorder.log}")
        return EXIT_FAILED

    async def end(self) -> None:
        """Nothing outlives its parent. The engine first: it needs the others to stop in order."""
        for child in sorted(self.children, key=lambda child: child.name != "engine"):
            await _end(child)


def own_cpu() -> int | None:
    """A core for the engine, which polls; the parent and its other children share the rest."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return None
    os.sched_setaffinity(0, set(cpus[:-1]))
    return cpus[-1]


def _stopped_text(line: dict[str, Any], is_built: bool) -> str:
    if not is_built:
        return "stopped before anything was sent; no venue was asked what is open"
    left = line["open_orders_at_venue"]
    count = line["orders_cancelled"]
    # What strangers have there may rest on: `strangers = "leave"`.
    proof = "it is not known how many of ours are" if left is None else f"{left} of ours"
    return f"stopped: {count} order{'s' * (count != 1)} cancelled, {proof} left at the venue"


@contextlib.asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Leave the block quietly when it takes too long; the caller goes on after it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            yield


async def _read_lines(child: Child) -> None:
    assert child.process.stdout is not None
    async for raw in child.process.stdout:
        try:
            line = json.loads(raw)
        except ValueError:
            continue  # a library's chatter is not part of the protocol
        if isinstance(line, dict):
            child.is_built |= line.get("event") == "step" and line.get("name") == STEP_BUILT
            child.lines.put_nowait(line)
    child.lines.put_nowait(None)


async def _end(child: Child) -> None:
    """SIGTERM, then SIGKILL."""
    if child.is_alive:
        for number, patience_s in ((signal.SIGTERM, child.patience_s), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.process.wait(), patience_s)
                break
    if child.reader is not None:
        child.reader.cancel()
