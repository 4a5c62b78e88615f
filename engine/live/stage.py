"""What all parts of a session share: the hot loop, what is told to whom, how work is started."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from engine import clock
from engine.config import EngineConfig
from engine.errors import TickmakerError
from engine.gateway.budget import Hosts
from engine.gateway.edge import Edge
from engine.gateway.hotsocket import HotLoop
from engine.gateway.parent import Output
from engine.gateway.rest import VenueError
from engine.gateway.transport import HotTransport
from engine.recorder.events_log import EventsLog

STEP_DEADLINE_S = 10.0
PARALLEL = 8  # REST questions at once, of one account
UNLOGGED = {"state", "quoting"}  # the journals tell
T = TypeVar("T")


class Stage:
    """One a session. Lines on standard output that a ledger should know go to events.jsonl too."""

    def __init__(
        self, config: EngineConfig, output: Output, edge: Edge,
        on_fault: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self.config = config
        self.output = output
        self.edge = edge
        self.on_fault = on_fault
        self.rng = Random(config.instruments[0].core.mask_seed)
        self.hosts = Hosts()
        self.hot = HotLoop(timer_space_ns=round(edge.timer_space_s * 1e9))
        self.transport = HotTransport(self.hot, is_busy=config.poll == "busy", dial=edge.dial)
        self.stopping = asyncio.Event()
        self.is_active = False  # started, and not stopping: what is lost is brought back
        self.log: EventsLog | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- TELLING ---

    def emit(self, event: str, **fields: Any) -> None:
        self.output.emit(event, **fields)
        if self.log is not None and event not in UNLOGGED:
            told = dict(fields)
            account, core = told.pop("account", None), told.pop("core", None)
            text = str(told.pop("what", "") or told.pop("why", ""))
            self.log.say(
                event, clock.monotonic_ns(), account=account, core=core, text=text, **told
            )

    def warn(self, error: TickmakerError, **where: Any) -> None:
        self.emit("warning", what=error.what, remedy=error.remedy, **where)

    async def step(
        self, name: str, work: Awaitable[T], deadline_s: float = STEP_DEADLINE_S, **where: Any
    ) -> T:
        """One visible step of the start-up; TickmakerError when it is not done in time."""
        started_ns = clock.monotonic_ns()
        try:
            async with asyncio.timeout(deadline_s):
                result = await work
        except TimeoutError:
            of = f" of {where['account']}" if "account" in where else ""
            raise TickmakerError(
                f"start-up{of}: {name}: not done within {deadline_s:g} s",
                "check that the exchange runs and answers",
            ) from None
        except TickmakerError as error:
            if "account" in where:
                error.name_account(where["account"])
            raise
        self.say_step(name, started_ns, **where)
        return result

    def say_step(self, name: str, started_ns: int, **where: Any) -> None:
        ms = (clock.monotonic_ns() - started_ns) / 1e6
        self.emit("step", name=name, ms=round(ms, 3), **where)

    # -- WORK BESIDE THE LOOP ---

    def spawn(self, work: Coroutine[Any, Any, None], name: str = "") -> asyncio.Task[None]:
        """Until it is done or the session closes; what it raises stops the session in order."""
        task = asyncio.get_running_loop().create_task(work, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_fault(error)

    async def close(self) -> None:
        await cancelled(*self._tasks)


async def patient(work: Callable[[], Awaitable[T]]) -> T:
    """What may be asked again, when our own budget holds it back: the caller has a deadline."""
    while True:
        try:
            return await work()
        except VenueError as error:
            if not error.is_held_back:
                raise
            wait_s = error.retry_after_s
        await asyncio.sleep(wait_s)


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and wait for the end of each."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def each(work: list[Coroutine[Any, Any, T]], at_once: int = PARALLEL) -> list[T]:
    """Results in order, `at_once` of them at a time; the first error ends all of it."""
    gate = asyncio.Semaphore(at_once)

    async def one(part: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await part

    tasks = [asyncio.ensure_future(one(part)) for part in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        await cancelled(*tasks)
        for part in work:
            part.close()  # never begun
        raise
