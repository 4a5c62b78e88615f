"""One simulated run: exchange, faults, network and a whole engine session, from a seed.

Everything that the run depends on comes from the seed and the plan; the digest is over the bytes
of the journal and the exchange's truth, so that two runs are the same if, and only if, it is.
"""

import asyncio
import gc
import hashlib
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from engine import clock
from engine.config import demo_core, load
from engine.errors import EXIT_OK
from engine.exchange.agents.settings import settings_of
from engine.exchange.core import Core
from engine.exchange.face import ConnKind, Face
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import Schedule
from engine.exchange.instruments import catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.stack import make_core, make_face
from engine.gateway.edge import Edge
from engine.gateway.parent import Output
from engine.live.local import ACCOUNT as NAME
from engine.live.local import local_engine
from engine.session import Session
from engine.sim.audit import Audit
from engine.sim.checker import Belief, Checker
from engine.sim.link import Weather
from engine.sim.loop import (
    START_NS,
    UTC_START_NS,
    StandstillError,
    VirtualLoop,
    virtual_time,
)
from engine.sim.network import Network
from engine.sim.outcome import ENGINE_VENUE, STRATEGY, SYMBOLS, Outcome, Scenario, paced
from engine.sim.schedule import Plan, WireFault

(SYMBOL,) = SYMBOLS[ENGINE_VENUE]
ACCOUNT = 0
SEGMENT_BYTES = 4 << 20
HOUSEKEEPING_S = 0.25  # of the session's housekeeping, which touches no order
SHUTDOWN_S = 60.0  # of virtual time: the engine's own deadlines are shorter
LINES_KEPT = 2_000  # of what the engine tells its parent
TIDY_EVERY_S = 300.0  # of virtual time: what is checked is let go
MEMORY = Path("/dev/shm")
FOLDER = "tickmaker-sim-"
FaceOf = Callable[[str, Core], Face]


class Heard(Output):
    """What the engine tells its parent, kept."""

    def __init__(self) -> None:
        self.is_broken = False
        self.dropped = 0
        self.lines: deque[dict[str, Any]] = deque(maxlen=LINES_KEPT)
        self.has_lost_user = False

    def emit(self, event: str, **fields: Any) -> None:
        self.has_lost_user |= event == "connection" and fields["name"] == "USER"
        self.lines.append({"event": event, "at_s": (clock.monotonic_ns() - START_NS) / 1e9,
                           **fields})

    def last(self, event: str) -> dict[str, Any]:
        return next((line for line in reversed(self.lines) if line["event"] == event), {})


def memory() -> Path | None:
    """Where runs' folders go; None: where the system puts such."""
    return MEMORY if MEMORY.is_dir() else None


def run_seed(
    seed: int, plan: Plan, scenario: Scenario, face_of: FaceOf = make_face
) -> Outcome:
    """One run, in this process; its folder is gone afterwards."""
    gc.collect()
    gc.freeze()  # what is loaded stays: each run's own garbage is found quickly
    folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=memory()))
    started_ns = clock.real_monotonic_ns()
    try:
        outcome = _run(seed, plan, scenario, folder, face_of)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcome.real_s = (clock.real_monotonic_ns() - started_ns) / 1e9
    gc.collect()  # the journal's maps hold memory until their session is gone
    gc.unfreeze()
    return outcome


def _run(seed: int, plan: Plan, scenario: Scenario, folder: Path, face_of: FaceOf) -> Outcome:
    loop = VirtualLoop()
    try:
        with virtual_time(loop):
            run = _Run(seed, plan, scenario, folder, loop, face_of)
            try:
                loop.run_until_complete(run.whole())
            except StandstillError as error:
                run.trouble.append(f"virtual time stands still: {error}")
            except (KeyboardInterrupt, SystemExit):
                loop.set_exception_handler(lambda *_: None)  # what it broke off is no news
                raise
            return run.outcome()
    finally:
        loop.close()


class _Run:
    """The parts of one run, put together and watched."""

    def __init__(
        self, seed: int, plan: Plan, scenario: Scenario, folder: Path, loop: VirtualLoop,
        face_of: FaceOf,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.plan = plan
        self.scenario = scenario
        self.folder = folder
        self.loop = loop
        self.heard = Heard()
        listing = catalogue(scenario.venue)[SYMBOL]
        market = AgentMarket(
            listing, seed, loop.wall_ns(), settings=paced(settings_of(listing), scenario.pace)
        )
        self.core = make_core(scenario.venue, [market], seed)
        schedule = Schedule(seed=seed, fault=plan.venue)  # type: ignore[arg-type]
        face = Faulty(face_of(scenario.venue, self.core), schedule)
        dice = Random(f"sim network/{seed}")
        self.network = Network(loop, face, dice, _weather(dice))
        self.checker = Checker(listing.instrument, ACCOUNT)
        self.audit = Audit({SYMBOL: listing.instrument})
        self.trouble: list[str] = []
        self.exit_code: int | None = None  # of the engine
        self._is_started = False
        self._stopped_ns = 0  # when its ordered shutdown began
        self._digest = hashlib.sha256()
        self._truth_read = 0
        self._segments_read = 0
        loop.set_exception_handler(self._on_loop_exception)

    def _on_loop_exception(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        error = context.get("exception")
        self.trouble.append(f"exception in the simulator: {error!r} ({context['message']})")
        if error is not None:
            loop.default_exception_handler(context)

    # -- THE RUN ---

    async def whole(self) -> None:
        keys = self.core.keys[ACCOUNT].keys[0]
        network = self.network
        edge = Edge(network.dial, lambda _: network, SEGMENT_BYTES, HOUSEKEEPING_S, False)
        credentials = {NAME: (keys.api_key, keys.secret)}
        self.session = Session(self._config(), credentials, self.heard, edge)
        self._plan_faults()
        running = asyncio.create_task(self.session.run())
        tidying = asyncio.create_task(self._tidy())
        await asyncio.wait({running}, timeout=self.scenario.seconds)
        self._is_started = self.session.stage.is_active
        self._stopped_ns = self.loop.monotonic_ns() - START_NS
        self.session.stop()
        done, _ = await asyncio.wait({running}, timeout=SHUTDOWN_S)
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)
        if not done:
            self.trouble.append(f"the shutdown was not over after {SHUTDOWN_S:g} s")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self.exit_code = -1
        else:
            self.exit_code = running.result()
        self.network.shut()

    def _config(self) -> Any:
        urls = self.network.face.urls("http://127.0.0.1:1", "ws://127.0.0.1:2")
        core = demo_core(SYMBOL, self.scenario.strategy or STRATEGY,
                         f"{self.seed & 0xFFFFFFFF:08x}", self.seed)
        return load(local_engine(
            self.folder, [core], urls["rest_url"], urls["ws_url"], seed=self.seed
        ))

    def _plan_faults(self) -> None:
        for fault in self.plan.wire:
            self.loop.at_ns(START_NS + fault.at_ns, self._begin, fault)

    def _begin(self, fault: WireFault) -> None:
        network = self.network
        if fault.kind == "cut":
            network.cut(ConnKind(fault.what), fault.is_up_lost)
        elif fault.kind == "wire_half_open":
            network.half_open(ConnKind(fault.what), fault.for_ns)
        elif fault.kind == "stall":
            network.stall(fault.what, fault.for_ns)
        elif fault.kind == "refuse":
            network.refuse(fault.what, fault.for_ns)
        elif fault.kind in ("lose_request", "lose_answer"):
            network.lose_http(fault.kind.removeprefix("lose_"), fault.for_ns)
        elif fault.kind == "split":
            network.split(fault.share, fault.for_ns)

    # -- LOGS, AS THEY GROW ---

    async def _tidy(self) -> None:
        """A day's logs need not stay: read what is whole, then let it go."""
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            self._read_segments(keep=2)
            # The truth never runs ahead of the journal: an intent is read before its order.
            self._read_truth(self.checker.read_ns - START_NS + UTC_START_NS)
            self.checker.tidy()

    def _read_segments(self, keep: int) -> None:
        paths = sorted((self.folder / "journal").glob("*/*.jnl"))
        for path in paths[: len(paths) - keep]:
            data = path.read_bytes()
            self._digest.update(data.rstrip(b"\0"))
            if data[:1] != b"\0":
                self.checker.on_segment(data)
            self._segments_read += 1
            path.unlink()

    def _read_truth(self, until_ns: int) -> None:
        truth = self.core.truth
        for number, record in truth.since(self._truth_read):
            if record.t_ns > until_ns:
                break
            self._truth_read = number + 1
            self._digest.update(repr(record).encode())
            self.checker.on_truth(record)
            self.audit.on_truth(record)
        truth.let_go(self._truth_read)

    # -- THE END ---

    def _may_miss(self) -> bool:
        """Reports of fills may be lost: the engine has told of a lost user stream, or messages
        of it vanish. What happened meanwhile it can't know."""
        may_lose = self.heard.has_lost_user or self.plan.may_lose_reports
        return may_lose and not self.scenario.is_strict

    def _end_of_engine(self) -> list[str]:
        """It has to run its whole time and to stop in order, whatever it had to bear."""
        code, at_ns = self.exit_code, self._stopped_ns
        if code is None or code < 0:
            return []  # `trouble` says why
        if at_ns < round(self.scenario.seconds * 1e9):
            breach = f"the engine ended by itself after {at_ns / 1e9:.3f} s (exit code {code})"
        elif not self._is_started:
            breach = f"the engine had not started after {at_ns / 1e9:g} s"
        elif code != EXIT_OK:
            breach = f"the engine did not stop in order (exit code {code})"
        else:
            return []
        if said := self.heard.last("error").get("what"):
            breach += f"; it said: {said}"
        if faults := self.plan.in_force(self._stopped_ns):
            breach += f"; meanwhile {', '.join(faults)}"
        return [breach]

    def outcome(self) -> Outcome:
        """Whatever happened: what can be said of it."""
        virtual_s = (self.loop.monotonic_ns() - START_NS) / 1e9
        self._read_segments(keep=0)
        self._read_truth(1 << 62)
        outcome = Outcome(self.seed, self.plan.texts(), virtual_s=virtual_s)
        outcome.lines = list(self.heard.lines)
        outcome.breaches += self.trouble
        core = next((i.core for i in self.session.instruments if i.is_built), None)
        outcome.breaches += self._end_of_engine()
        if core is not None and self.exit_code is not None:
            stopped = self.heard.last("stopped")
            outcome.breaches += self.checker.finish(Belief(
                core.numbers(), core.has_diverged, self.exit_code,
                stopped.get("open_orders_at_venue"), self._may_miss(),
            ))  # fmt: skip
        outcome.breaches += self.audit.breaches
        outcome.digest = self._digest.hexdigest()
        outcome.figures = {
            "orders": self.checker.orders,
            "fills": self.checker.fills,
            "missed_fills": self.checker.missed,
            "messages_down": self.network.messages_down,
            "messages_up": self.network.messages_up,
            "face_steps": self.network.steps,
            "throttled": self.network.throttled,
            "reconnects": sum(account.reconnects for account in self.session.accounts),
        }
        return outcome


def _weather(dice: Random) -> Weather:
    """Near the venue, or a continent away; some networks cut messages up all the time."""
    return Weather(
        base_ns=dice.choice((50_000, 400_000, 2_000_000, 15_000_000)),
        jitter_ns=dice.choice((10_000, 100_000, 1_000_000)),
        split_share=dice.choice((0.0, 0.0, 0.05)),
    )
