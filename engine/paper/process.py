"""One account's paper exchange as a process: `python -m engine.paper`.

It reads one line of JSON on standard input and ends, once its clients have left, when that input
does. It says `ready` with addresses and throw-away keys, `feed` whenever the live feed comes or
goes, or `error`.
"""

import asyncio
import gc
import logging
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, TextIO

import uvloop

from engine import clock
from engine.errors import EXIT_FAILED, EXIT_OK, TickmakerError
from engine.exchange.core import Core
from engine.exchange.face import Tick
from engine.exchange.greeting import ready_document
from engine.exchange.process import TRUTH_KEPT_ALONE, TruthFile, clients_left, tell_progress
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_face
from engine.exchange.tape.live import LiveMarket
from engine.gateway.parent import Input, Output
from engine.paper.feed import Feed, Lane
from engine.paper.gate import Gate
from engine.paper.venue import Place, PublicVenue, Wanted, market_of, paper_rules
from engine.venues import base

UP_S = 45.0  # until the live feed is up for the first time


class PaperExchange:
    """The local exchange of one account over the live venue. `start`, then `server`."""

    def __init__(self, document: dict[str, Any], emit: Any) -> None:
        self.place = Place.of(document)
        self.seed = int(document["seed"])
        self.wanted = [Wanted(**row) for row in document["instruments"]]
        self.venue = PublicVenue(self.place, Random(self.seed))
        self.server: ExchangeServer
        self.gate: Gate
        self.feeds: list[Feed] = []
        self._emit = emit
        self._tasks: list[asyncio.Task[None]] = []
        self._up = asyncio.Event()

    async def start(self) -> None:
        """Until the live feed is up and clients may come; TickmakerError where it can't be."""
        await self.venue.open()
        traded = await self.venue.instruments(self.wanted)
        markets = self._build(traded)
        fees = {one.key: one.fees for one in self.wanted}
        rules = paper_rules(self.place, self.wanted, traded)
        core = Core(markets, self.seed, fees, rules)
        self.gate = Gate(make_face(self.place.venue, core))
        self.gate.skew_ns = self.venue.skew_ns
        self.server = ExchangeServer(self.gate)
        self._tasks = [asyncio.create_task(feed.keep()) for feed in self.feeds]
        self._tasks.append(asyncio.create_task(self._keep_clock()))
        try:
            async with asyncio.timeout(UP_S):
                await self._up.wait()
        except TimeoutError:
            whys = "; ".join(feed.why for feed in self.feeds if not feed.is_up)
            raise TickmakerError(
                f"no live feed of {self.place.venue} within {UP_S:g} s: {whys}",
                "Check the account's addresses and the network.",
            ) from None
        await self.server.start()

    def _build(self, traded: list[base.Instrument]) -> list[LiveMarket]:
        """Markets, and the connections that bring their frames: one for as many instruments of
        a product as it takes."""
        adapter = self.venue.adapter
        markets: list[LiveMarket] = []
        for product in dict.fromkeys(one.venue for one in self.wanted):
            rows = [
                pair for pair in zip(self.wanted, traded, strict=True) if pair[0].venue == product
            ]
            size = adapter.market_instruments_max
            for at in range(0, len(rows), size):
                group = rows[at : at + size]
                plan = adapter.market_plan([row for _, row in group])
                lanes = [Lane.of(one, row, market_of(one, row, plan)) for one, row in group]
                markets += [lane.market for lane in lanes]
                self.feeds.append(
                    Feed(self.venue, plan, lanes, self._on_frames, self._on_change)
                )
        return markets

    async def _keep_clock(self) -> None:
        """The paper exchange's clock is the live venue's, as its frames are."""
        keeping = asyncio.create_task(self.venue.clock.keep())
        try:
            while True:
                await asyncio.sleep(1.0)
                self.gate.skew_ns = self.venue.skew_ns
        finally:
            keeping.cancel()

    # -- THE FEED ---

    def _on_frames(self) -> None:
        """Frames wait in the markets: they go out now."""
        if self.gate.is_up:
            self._tick()

    def _tick(self) -> None:
        self.server.on_event(Tick())

    def _on_change(self) -> None:
        """All feeds, or none: an account that sees half of its markets trades none."""
        now_ns = self.server.now_ns()
        down = [feed.why for feed in self.feeds if not feed.is_up]
        if down:
            self.server.act(self.gate.close(down[0], now_ns))
            self._emit("feed", state="down", why=down[0])
        else:
            self.server.act(self.gate.open(now_ns))
            self._emit("feed", state="up")
            self._up.set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.venue.close()
        if hasattr(self, "server"):
            await self.server.stop()


async def serve(output: Output) -> int:
    """Until nobody needs it; how often we failed."""
    stopping, orphaned = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    stdin = Input()
    document = (await stdin.document())["config"]
    stdin.watch(orphaned.set)
    exchange = PaperExchange(document, output.emit)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(exchange.stop)
        starting = asyncio.create_task(exchange.start())
        told = asyncio.create_task(_any(stopping, orphaned))
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        starting.result()
        await _serve(exchange, document, output, stopping, orphaned)
        told.cancel()
    return exchange.server.counters.bugs


async def _any(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _serve(
    exchange: PaperExchange, document: dict[str, Any], output: Output,
    stopping: asyncio.Event, orphaned: asyncio.Event,
) -> None:  # fmt: skip
    server, core = exchange.server, exchange.gate.core
    core.truth.kept_max = TRUTH_KEPT_ALONE
    with _opened(Path(document["truth"])) as file:
        truth = TruthFile(core, file)
        truth.write_head(exchange.place.venue, exchange.seed, clock.wall_ns())
        gc.collect()
        gc.freeze()
        ready = ready_document(server, None)
        output.emit("ready", **{name: ready[name] for name in ("venue", "rest_url", "ws_url")},
                    credential=[ready["accounts"][0]["api_key"], ready["accounts"][0]["secret"]])
        tasks = [
            asyncio.create_task(work) for work in (
                clients_left(server, orphaned), stopping.wait(), tell_progress(server),
                truth.stream(),
            )
        ]  # fmt: skip
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        truth.write()


def _opened(path: Path) -> TextIO:
    return path.open("a")


def main() -> int:
    """The exit code; errors are told on standard output."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    output = Output()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return EXIT_FAILED if runner.run(serve(output)) else EXIT_OK
    except TickmakerError as error:
        output.emit("error", what=error.what, remedy=error.remedy, exit_code=error.exit_code)
        return error.exit_code
