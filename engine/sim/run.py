"""One simulated run: exchange, faults, network and an engine, over all its lives, from a seed.

Everything that the run depends on comes from the seed and the plan; the digest is over the bytes
of the journals and the exchange's truth, so that two runs are the same if, and only if, it is.
"""

import asyncio
import gc
import mmap
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from engine import clock
from engine.errors import EXIT_OK
from engine.exchange.agents.settings import settings_of
from engine.exchange.core import Core
from engine.exchange.face import ConnKind, Face
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import Schedule
from engine.exchange.market import AgentMarket
from engine.exchange.stack import make_core, make_face
from engine.live.local import ACCOUNT as NAME
from engine.sim.books import Books
from engine.sim.checker import OURS, LastWords
from engine.sim.engines import config_of, listings_of, urls_of
from engine.sim.fates import Fates
from engine.sim.hand import Hand
from engine.sim.life import LINES_KEPT, Life
from engine.sim.link import Weather
from engine.sim.loop import (
    START_NS,
    StandstillError,
    VirtualLoop,
    virtual_time,
)
from engine.sim.named import Named
from engine.sim.network import Network
from engine.sim.outcome import Outcome, Scenario, paced
from engine.sim.peace import Peace
from engine.sim.schedule import EngineFault, Plan, WireFault

ACCOUNT = 0
SHUTDOWN_S = 60.0  # of virtual time: the engine's own deadlines are shorter
CLOSED_KEPT = 500  # orders of an account and symbol: more than a minute has, and a day's is flat
TIDY_EVERY_S = 300.0  # of virtual time: what is checked is let go
TIDIES_AN_HOUR = 12
RESTART_S = 1.0  # whoever starts the engine again tries so often
GARBAGE_MIN = 10_000  # objects made and kept, until somebody looks which are garbage
MEMORY = Path("/dev/shm")
FOLDER = "tickmaker-sim-"
FaceOf = Callable[[str, Core], Face]


def memory() -> Path | None:
    """Where runs' folders go; None: where the system puts such."""
    return MEMORY if MEMORY.is_dir() else None


def run_seed(
    seed: int, plan: Plan, scenario: Scenario, face_of: FaceOf = make_face
) -> Outcome:
    """One run, in this process; its folder is gone afterwards."""
    gc.freeze()  # what is loaded stays: each run's own garbage is found quickly
    thresholds = gc.get_threshold()
    gc.set_threshold(GARBAGE_MIN, *thresholds[1:])
    folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=memory()))
    started_ns = clock.real_monotonic_ns()
    try:
        outcome = _run(seed, plan, scenario, folder, face_of)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcome.real_s = (clock.real_monotonic_ns() - started_ns) / 1e9
    gc.collect()  # the journal's maps hold memory until their session is gone
    gc.unfreeze()
    gc.set_threshold(*thresholds)
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
        self.listings = listings_of(seed, scenario)
        self.core = make_core(scenario.venue, [
            AgentMarket(listing, seed, loop.wall_ns(),
                        settings=paced(settings_of(listing), scenario.pace))
            for listing in self.listings
        ], seed, closed_kept=CLOSED_KEPT)  # fmt: skip
        schedule = Schedule(seed=seed, fault=plan.venue)  # type: ignore[arg-type]
        self.face = Faulty(Named(face_of(scenario.venue, self.core)), schedule)
        dice = Random(f"sim network/{seed}")
        self.network = Network(loop, self.face, dice, _weather(dice))
        instruments = [listing.instrument for listing in self.listings]
        self.books = Books(scenario.venue, self.core, ACCOUNT, instruments)
        self.lines: deque[dict[str, Any]] = deque(maxlen=LINES_KEPT)
        self.lives: list[Life] = []
        self.fates = Fates(self.network, self.lives, Random(f"sim engine/{seed}"))
        self.trouble: list[str] = []
        self.rss_mib: list[int] = []  # each virtual hour
        self._stopped_ns = 0  # when its ordered shutdown began
        self.peace = Peace(self.core, ACCOUNT, self.listings, self.lives)
        self._own_tasks: set[asyncio.Task[Any]] = set()
        self._reconnects = self._hand_orders = 0
        loop.set_exception_handler(self._on_loop_exception)

    def _on_loop_exception(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        error = context.get("exception")
        self.trouble.append(f"exception in the simulator: {error!r} ({context['message']})")
        if error is not None:
            loop.default_exception_handler(context)

    def _own(self, work: Any) -> "asyncio.Task[Any]":
        """A task that is none of the engine's."""
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._own_tasks.add(task)
        return task

    # -- THE RUN ---

    async def whole(self) -> None:
        self._own_tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        self._plan_faults()
        living = self._own(self._live())
        beside = [self._own(self._tidy()), self._own(self.peace.look(self.scenario.seconds))]
        await asyncio.wait({living}, timeout=self.scenario.seconds)
        self._stopped_ns = self.loop.monotonic_ns() - START_NS
        self.fates.end()
        self.peace.end()
        life = self.lives[-1]
        life.has_started = life.session.stage.is_active
        life.session.stop()
        done, _ = await asyncio.wait({living}, timeout=SHUTDOWN_S)
        others = [task for task in self._own_tasks if task is not asyncio.current_task()]
        for task in (*beside, *others):
            task.cancel()
        await asyncio.gather(*beside, *others, return_exceptions=True)
        if not done:
            self.trouble.append(f"the shutdown was not over after {SHUTDOWN_S:g} s")
            life.exit_code = -1
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        self.network.shut()

    async def _live(self) -> None:
        """Life after life, as long as each is killed or stopped, or can't start after that."""
        while True:
            life = self._new_life()
            running = life.start()
            self.fates.on_life(life)
            struck = self._own(self.fates.struck.wait())
            await asyncio.wait({running, struck}, return_when=asyncio.FIRST_COMPLETED)
            struck.cancel()
            self._own_tasks.discard(struck)
            if life.is_struck:
                await life.bury(self._own_tasks)
                self.fates.struck.clear()
                self._count(life)
                await asyncio.sleep(self.fates.down_ns / 1e9)
                continue
            life.exit_code = running.result()
            self._count(life)
            if life.is_told:
                await asyncio.sleep(self.fates.down_ns / 1e9)
                self._check_left(life)
                continue
            is_start = not life.session.stage.is_active and not life.heard.last("started")
            if life.exit_code == EXIT_OK or not is_start or not life.number or self._stopped_ns:
                return
            await asyncio.sleep(RESTART_S)

    def _new_life(self) -> Life:
        number = len(self.lives)
        keys = self.core.keys[ACCOUNT].keys[0]
        config = config_of(
            self.seed, number, self.scenario, self.listings, urls_of(self.network.face),
            self.folder / f"run-{number}", self.folder / "state",
        )
        credentials = {NAME: (keys.api_key, keys.secret)}
        life = Life(number, config, credentials, self.network, self.lines)
        self.lives.append(life)
        return life

    def _count(self, life: Life) -> None:
        self._reconnects += sum(account.reconnects for account in life.session.accounts)

    # -- FAULTS ---

    def _plan_faults(self) -> None:
        for wire in self.plan.wire:
            self.loop.at_ns(START_NS + wire.at_ns, self._begin, wire)
        for fault in self.plan.engine:
            self.loop.at_ns(START_NS + fault.at_ns, self._befall, fault)

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

    def _befall(self, fault: EngineFault) -> None:
        if fault.kind == "hand":
            self._own(self._trade_by_hand(fault))
        else:
            self.fates.begin(fault)

    def _check_left(self, life: Life) -> None:
        """One has proved that nothing of ours is open: nothing comes to be open later."""
        if life.heard.last("stopped").get("open_orders_at_venue") != 0:
            return
        left = [
            order.client_order_id for key in self.core.markets
            for order in self.core.open_orders(ACCOUNT, key)
            if OURS.fullmatch(order.client_order_id)
        ]
        if left:
            self.trouble.append(f"life {life.number} proved that nothing is open, and left {left}")

    async def _trade_by_hand(self, fault: EngineFault) -> None:
        hand = Hand(
            f"{self.plan.engine.index(fault)}h", self.network, self.core, self.face,
            self.scenario.venue, self.core.keys[ACCOUNT].keys[1],
            [listing.instrument for listing in self.listings],
            Random(f"sim hand/{self.seed}/{fault.at_ns}"),
        )  # fmt: skip
        await hand.trade(fault.for_ns / 1e9, fault.per_s)
        self._hand_orders += hand.orders

    # -- LOGS, AS THEY GROW ---

    async def _tidy(self) -> None:
        """A day's logs need not stay: read what is whole, then let it go."""
        count = 0
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            self.books.tidy(self.lives)
            count += 1
            if count % TIDIES_AN_HOUR == 0:
                self.rss_mib.append(resident_mib())

    @property
    def _can_start(self) -> bool:
        """No engine starts on an instrument that is gone."""
        return all(map(self.peace.is_trading, self.listings))

    # -- THE END ---

    def _end_of_engine(self) -> list[str]:
        """It has to run its whole time and to stop in order, whatever it had to bear."""
        life = self.lives[-1]
        code, at_ns = life.exit_code, self._stopped_ns
        if code is None or code < 0:
            return []  # `trouble` says why
        if at_ns < round(self.scenario.seconds * 1e9):
            breach = f"the engine ended by itself after {at_ns / 1e9:.3f} s (exit code {code})"
        elif not life.has_started and life.number and not self._can_start:
            return []
        elif not life.has_started:
            breach = f"the engine had not started after {at_ns / 1e9:g} s"
        elif code != EXIT_OK:
            breach = f"the engine did not stop in order (exit code {code})"
        else:
            is_calm = not self.plan.in_force(at_ns)
            return self.peace.breaches(at_ns / 1e9, self.lines) if is_calm else []
        if said := life.heard.last("error").get("what"):
            breach += f"; it said: {said}"
        if faults := self.plan.in_force(self._stopped_ns):
            breach += f"; meanwhile {', '.join(faults)}"
        return [breach]

    def outcome(self) -> Outcome:
        """Whatever happened: what can be said of it."""
        virtual_s = (self.loop.monotonic_ns() - START_NS) / 1e9
        outcome = Outcome(self.seed, self.plan.texts(), virtual_s=virtual_s)
        outcome.lines = list(self.lines)
        outcome.rss_mib = self.rss_mib
        outcome.breaches += self.trouble
        outcome.breaches += self._end_of_engine()
        is_over = not self.lives[-1].has_started and not self._can_start
        outcome.breaches += self.books.close(self.lives, self._last_words(), is_over)
        outcome.digest = self.books.digest
        outcome.figures = {
            **self.books.figures,
            "lives": len(self.lives),
            "kills": self.fates.kills,
            "stops": self.fates.stops,
            "hand_orders": self._hand_orders,
            "messages_down": self.network.messages_down,
            "messages_up": self.network.messages_up,
            "face_steps": self.network.steps,
            "throttled": self.network.throttled,
            "reconnects": self._reconnects,
        }
        return outcome

    def _last_words(self) -> LastWords | None:
        life = self.lives[-1]
        if life.exit_code is None:
            return None
        numbers = {
            listing.instrument.key: instrument.core.numbers()
            for instrument, listing in zip(life.session.instruments, self.listings, strict=True)
            if instrument.is_built
        }
        left = life.heard.last("stopped").get("open_orders_at_venue")
        return LastWords(numbers, life.exit_code, left)


def resident_mib() -> int:
    """Of this process's memory, engine and exchange together."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE >> 20


def _weather(dice: Random) -> Weather:
    """Near the venue, or a continent away; some networks cut messages up all the time."""
    return Weather(
        base_ns=dice.choice((50_000, 400_000, 2_000_000, 15_000_000)),
        jitter_ns=dice.choice((10_000, 100_000, 1_000_000)),
        split_share=dice.choice((0.0, 0.0, 0.05)),
    )
