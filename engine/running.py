"""`tickmaker run CONFIG`: the engine and its recorder as processes, this one as their window.

It shows the start-up's steps, then a line an instrument, or with --json every line that the engine
says; it asks for the ordered shutdown when the time is over or a person says so, and builds the
report. It holds the keys only to hand them to the engine.
"""

import asyncio
import contextlib
import json
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from engine import clock
from engine.children import Child, Family
from engine.config import EngineConfig
from engine.config_file import LoadedConfig, load_config
from engine.errors import EXIT_KILLED, EXIT_OK, EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.execution import advice
from engine.gateway.parent import STEP_LOOKED_BACK
from engine.live.check import check_offline
from engine.live.lock import is_held
from engine.live.shutdown import longest_s
from engine.paper import parent as paper
from engine.report.before import ending_text, how_it_ended, last_run
from engine.report.text import LATCHED
from engine.run_view import Denials, Repeats, plain, plain_value, table, told
from engine.runs import has_journal, make_run_dir
from engine.status import StatusReader
from fastcore.core_stats import halt_names

# Between two lines of a start-up, and more for every instrument; a step may wait for a minute's
# weight.
LINE_DEADLINE_S = 150.0
LINE_S_EACH = 3.0
PAPER_DEADLINE_S = 60.0  # more than a paper exchange itself waits for its feed
MARGIN_S = 5.0  # over the engine's own longest shutdown
REFRESH_S = 0.25
PARAMS_MAX = 10  # instruments whose parameters are shown
PLAIN_EVERY_S = 10.0  # without a terminal
FIRST_PLAIN_S = 2.0  # when it has begun to quote
UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True)
class RunOptions:
    """What the command line says."""

    config: Path
    seconds: float | None  # None: until it is stopped
    as_json: bool
    is_paper: bool = False


def seconds_of(text: str) -> float:
    """`90`, `30s`, `15m`, `1h`, `2d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if found is None or float(found[1]) <= 0:
        raise TickmakerError(
            f"Expected a time such as 90s, 15m or 1h, was {text!r}", "correct --for", EXIT_USAGE
        )
    return float(found[1]) * UNITS_S[found[2]]


def run_engine(options: RunOptions) -> tuple[dict[str, Any], int]:
    """Run it; (report, exit code). TickmakerError for what a person can mend."""
    loaded = load_config(
        options.config, run_tag=secrets.token_hex(4), mask_seed=secrets.randbits(62) + 1,
        with_credentials=not options.is_paper, is_paper=options.is_paper,
    )  # fmt: skip
    refuse_what_can_not_be_kept(loaded)
    if not options.is_paper:  # which has accounts of its own
        refuse_held(loaded.config)
    run_dir = make_run_dir(loaded.runs_dir, loaded.config.name)
    return _Run(options, loaded, run_dir).whole()


def refuse_what_can_not_be_kept(loaded: LoadedConfig) -> None:
    """By documented limits, as `tickmaker check --offline` says it; nobody has been asked."""
    problems = check_offline(loaded)["problems"]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TickmakerError(
            f"Configuration: {problems[0]}{more}",
            "`tickmaker check --offline` lists all that can't be kept.", EXIT_USAGE,
        )  # fmt: skip


def refuse_held(config: EngineConfig) -> None:
    """Before a run folder is made: it would hold nothing. The engine itself takes the locks."""
    for account in config.accounts:
        if is_held(config.state_dir, account.name):
            raise TickmakerError(
                f"account {account.name} is traded by another engine",
                "stop that one first: two engines would undo each other's orders", EXIT_UNSAFE,
            )  # fmt: skip


class _Run(Family):
    def __init__(self, options: RunOptions, loaded: LoadedConfig, run_dir: Path) -> None:
        console = Console(stderr=options.as_json)
        deadline_s = longest_s(loaded.config) + MARGIN_S
        super().__init__(run_dir, console, stop_deadline_s=deadline_s)
        self.options = options
        self.loaded = loaded
        self._count = len(loaded.config.instruments)
        self._repeats = Repeats()
        self._denials = Denials()
        self._recovered = 0  # fills, while it starts
        self._exchanges: dict[str, Child] = {}  # of a paper run, by account

    async def _trade(self) -> int:
        self.say(f"run folder  {self.run_dir}")
        config = self.loaded.config.model_copy(update={"run_dir": self.run_dir})
        keys = {
            name: (credential.api_key, credential.secret)
            for name, credential in self.loaded.credentials.items()
        }
        if self.options.is_paper:
            on_paper = await self._start_exchanges(config)
            if on_paper is None:
                return EXIT_OK
            config, keys = on_paper
        for warning in advice.warnings(config):
            self._tell({"event": "warning", "what": warning, "remedy": ""})
        if not self.options.as_json:
            for one in config.instruments[:PARAMS_MAX]:
                told_params = ", ".join(f"{name} {plain_value(value)}" for name, value in
                                        one.core.params.items())  # fmt: skip
                more = " and its own defaults" if one.strategy_file else ""
                self.say(f"params      {one.key} {one.core.strategy}: "
                         f"{told_params or 'none'}{more}")
        engine, recorder = await self.start_engine(config.model_dump(mode="json"), keys)
        try:
            if await self._wait_for_start(engine):
                await self._watch(engine, recorder)
        finally:
            code = await self.stop_engine(engine)
            recorded = await self.stop_recorder(recorder)
        return code or recorded or self._latched()

    async def _start_exchanges(
        self, config: EngineConfig
    ) -> tuple[EngineConfig, dict[str, tuple[str, str]]] | None:
        """Paper: an exchange of our own for each account, over the venue's live feed; what the
        engine is told instead. None: a person stopped it."""
        seeds = {account.name: secrets.randbits(31) for account in config.accounts}
        for account in config.accounts:
            child = await self.start(f"paper-{account.name}", "engine.paper", [])
            document = {"config": paper.document_of(config, account, seeds[account.name])}
            assert child.process.stdin is not None
            child.process.stdin.write(json.dumps(document | {"credentials": {}}).encode() + b"\n")
            self._exchanges[account.name] = child
        ready = {}
        for name, child in self._exchanges.items():
            while True:
                line = await self.expect(child, PAPER_DEADLINE_S, "to have the live feed")
                if line is None:
                    return None
                if line.get("event") == "ready":
                    break
            ready[name] = line
            account = next(one for one in config.accounts if one.name == name)
            self.say(f"  {name:<12}paper exchange ready, over the venue's live feed; it begins "
                     f"with {paper.purse(config, account):,} of each quote asset")
        keys = {name: tuple(line["credential"]) for name, line in ready.items()}
        return paper.on_paper(config, ready, seeds, self.run_dir), keys

    def _hear_exchanges(self) -> None:
        """What paper exchanges say; a TickmakerError where one is gone."""
        for name, child in self._exchanges.items():
            while not child.lines.empty():
                line = child.lines.get_nowait()
                if line is None:
                    raise TickmakerError(
                        f"The paper exchange of {name} ended", f"Its log: {child.log}"
                    )
                self._tell({**line, "account": name})

    async def _wait_for_start(self, engine: Child) -> bool:
        deadline_s = LINE_DEADLINE_S + LINE_S_EACH * self._count
        while True:
            line = await self.expect(engine, deadline_s, "for one step of its start")
            if line is None:
                return False
            self._tell(line)
            if line.get("event") == "started":
                return True

    def hear(self, line: dict[str, Any]) -> None:
        self._tell(line)

    def _tell(self, line: dict[str, Any]) -> None:
        event = line.get("event")
        if self.options.as_json:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        elif text := told(line):
            # Only what may come without end is told seldom; an error and a step come once.
            if event in ("warning", "connection") or "hedge" in line:
                text = self._repeats.passed(text, clock.monotonic_ns() / 1e9)
            if text:
                self.say(text)

        if event == "step" and str(line["name"]).startswith(STEP_LOOKED_BACK):
            self._tell_of_the_run_before(str(line.get("account", "")))
        self._recovered += event == "fill_recovered"
        if event == "started" and self._recovered:
            self.say(f"taken over: {self._recovered} fills that happened since the run before")

    def _tell_of_the_run_before(self, account: str) -> None:
        """A person should know that it was killed, and what this one takes over."""
        run_dir = last_run(self.loaded.config.state_dir, account)
        ended = None if run_dir is None else how_it_ended(run_dir, account)
        if ended is None:
            return
        if self.options.as_json:
            self._tell({"event": "run_before", "account": account, **ended})
        elif text := ending_text(ended):
            self.say(f"  {account:<12}{text}")

    async def _watch(self, engine: Child, recorder: Child) -> None:
        """Until the time is over, a person stops it, or a process fails."""
        page = StatusReader(self.run_dir / "status.page")
        started_ns = clock.monotonic_ns()
        is_recording, next_plain_s = True, FIRST_PLAIN_S
        with self._live() as live:
            while not self.stop.is_set():
                elapsed_s = (clock.monotonic_ns() - started_ns) / 1e9
                if self.options.seconds is not None and elapsed_s >= self.options.seconds:
                    return
                while not engine.lines.empty():
                    line = await engine.next_line()
                    if line is None or line.get("event") == "error":
                        raise await engine.failure(line)
                    self._tell(line)
                self._hear_exchanges()
                if is_recording and not recorder.is_alive:
                    is_recording = False
                    self.say(f"the recorder died ({await recorder.died()}); its log: "
                             f"{recorder.log}; the report will be built from the journal")
                status = page.read()
                if status is not None:
                    for warning in self._denials.look(status, elapsed_s):
                        self._tell(warning)
                if status is not None and live is not None:
                    live.update(table(status, elapsed_s, self._denials), refresh=True)
                elif status is not None and elapsed_s >= next_plain_s:
                    next_plain_s = elapsed_s + PLAIN_EVERY_S
                    self.say(plain(status, elapsed_s, self._denials))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), REFRESH_S)

    @contextlib.contextmanager
    def _live(self) -> Any:
        if not self.console.is_terminal or self.options.as_json:
            yield None
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            yield live

    def _latched(self) -> int:
        status = StatusReader(self.run_dir / "status.page").read() or {}
        names = set(halt_names(LATCHED))
        latched = {
            key: sorted(names & set(row["state"]))
            for key, row in status.get("instruments", {}).items()
            if names & set(row["state"])
        }  # fmt: skip
        for key, reasons in latched.items():
            self.say(f"{key} was latched at the end: {', '.join(reasons)}")
        return EXIT_KILLED if latched else EXIT_OK

    def _report_what_is_there(self) -> None:
        """After a failure: the journals up to it. What else fails must not hide it."""
        if has_journal(self.run_dir):
            try:
                self._report(0)
            except TickmakerError as error:
                self.say(f"no report: {error.what}")

    def _report(self, code: int) -> tuple[dict[str, Any], int]:
        from engine.report.build import build_report
        from engine.view import print_summary

        if not has_journal(self.run_dir):
            self.say("stopped before the engine's first record: nothing was sent")
            return {"run_dir": str(self.run_dir), "state": "STOPPED", "orders": 0}, code
        report = build_report(self.run_dir)
        if not self.options.as_json:
            print_summary(self.console, report)
        return report, code

