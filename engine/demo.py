"""`tickmaker demo`: exchange, engine and recorder as processes, the terminal as their window.

How it starts and ends them: engine/children.py. When one of them dies, the engine still gets its
ordered shutdown, and the report is written all the same.
"""

import asyncio
import contextlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from engine import clock
from engine.children import STOP_DEADLINE_S, Child, Family, own_cpu
from engine.config import demo_core
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.live.local import ACCOUNT, local_engine
from engine.runs import has_journal, make_run_dir
from engine.status import StatusReader
from engine.strategies import Named, named

READY_DEADLINE_S = 15.0
TAPE_READY_DEADLINE_S = 120.0   # a big capture is read and indexed first
QUOTING_DEADLINE_S = 30.0
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


def run_demo(options: DemoOptions) -> tuple[dict[str, Any], int]:
    """Run the demo; (report, exit code). TickmakerError for what a person can mend."""
    strategy = _check_options(options)
    return _Demo(options, strategy, make_run_dir(options.runs_dir, "demo")).whole()


def _check_options(options: DemoOptions) -> Named:
    strategy = named(options.strategy)
    if options.tape is not None and not options.tape.is_file():
        raise TickmakerError(
            f"No tape at {options.tape}",
            "Give a raw capture or a .tape.arrow file with --tape FILE.",
            EXIT_USAGE,
        )
    return strategy


class _Demo(Family):
    def __init__(self, options: DemoOptions, strategy: Named, run_dir: Path) -> None:
        console = Console(stderr=options.as_json)
        super().__init__(run_dir, console, stop_deadline_s=STOP_DEADLINE_S)
        self.options = options
        self.strategy = strategy
        self.engine_cpu = own_cpu()

    async def _trade(self) -> int:
        self.say(f"run folder  {self.run_dir}")
        exchange = await self._start_exchange()
        deadline_s = TAPE_READY_DEADLINE_S if self.options.tape else READY_DEADLINE_S
        ready = await self.expect(exchange, deadline_s, "to be ready")
        if ready is None:
            return EXIT_OK
        symbol = ready.get("symbols", ["BTCUSDT"])[0]
        self.say(f"exchange    {ready['rest_url']} ({symbol}, Binance USD-M protocol)")
        account = ready["accounts"][0]
        engine, recorder = await self.start_engine(
            self._config(ready, symbol), {ACCOUNT: (account["api_key"], account["secret"])}
        )
        try:
            if await self._wait_for_quoting(engine):
                await self._watch(exchange, engine, recorder)
        finally:
            code = await self.stop_engine(engine)
            code = max(code, await self.stop_recorder(recorder))
        return code

    async def _start_exchange(self) -> Child:
        arguments = [
            "--venue", "binance_usdm", "--seed", str(self.options.seed),
            "--rest-port", "0", "--ws-port", "0", "--json", "--until-stdin-closes",
        ]  # fmt: skip
        if self.options.tape is not None:
            arguments += ["--tape", str(self.options.tape.resolve())]
        else:
            arguments += ["--symbols", "BTCUSDT"]
        return await self.start("exchange", "engine.exchange", arguments)

    def _config(self, ready: dict[str, Any], symbol: str) -> dict[str, Any]:
        core = demo_core(symbol, self.strategy.name, secrets.token_hex(4), self.options.seed)
        file = self.strategy.file
        if file is not None:
            core["params"] = {}  # the strategy's own defaults
        return local_engine(
            self.run_dir, [core], ready["rest_url"], ready["ws_url"],
            poll="busy", cpu=self.engine_cpu, seed=self.options.seed,
            strategy_file=file,
        )  # fmt: skip

    async def _wait_for_quoting(self, engine: Child) -> bool:
        while True:
            line = await self.expect(engine, QUOTING_DEADLINE_S, "to start quoting")
            if line is None:
                return False
            if line.get("event") == "step":
                self.say(f"  {line['name']:<34}{line['ms']:>9.1f} ms")
            elif line.get("event") == "warning":
                self.say(f"{line['what']}\n    {line['remedy']}")
            elif "STRATEGY" in line.get("state", ()):
                raise TickmakerError(
                    "The strategy failed until it was halted, and never quoted",
                    "The first failure is told above; correct it and start again.",
                )
            elif line.get("event") == "quoting":
                if line.get("aside"):
                    self.say(f"free to quote; {line['aside']}")
                return True

    async def _watch(self, exchange: Child, engine: Child, recorder: Child) -> None:
        """The live view, until the time is over, the user stops it, or a process fails."""
        from engine.view import LiveView, of_instrument

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
                        raise await engine.failure(line)
                    view.note(line)
                if not exchange.is_alive:
                    raise await exchange.failure(None)
                if is_recording and not recorder.is_alive:
                    is_recording = False
                    self.say(f"the recorder died ({await recorder.died()}); its log: "
                             f"{recorder.log}; the report will be built from the journal")
                status = status_page.read()
                if status is not None:
                    view.update(of_instrument(status), elapsed_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), REFRESH_S)

    # -- REPORT ---

    def _report_what_is_there(self) -> None:
        """After a failure: the journal up to it. What else fails must not hide it."""
        if not (self.run_dir / "journal").is_dir():
            return
        try:
            self._report(EXIT_FAILED)
        except TickmakerError as error:
            self.say(f"no report: {error.what}")

    def _report(self, code: int) -> tuple[dict[str, Any], int]:
        from engine.report.build import build_report
        from engine.view import print_summary

        if not has_journal(self.run_dir):
            self.say("stopped before the engine's first record: nothing was sent")
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
