"""The local exchange as a process of its own: what `__main__` runs, once it can be interrupted."""

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TextIO

import uvloop

from engine import clock
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, TickmakerError
from engine.exchange.accounts import FeeRates
from engine.exchange.admin import Admin
from engine.exchange.arguments import checked, parser
from engine.exchange.core import Core
from engine.exchange.events import Market
from engine.exchange.faults import Faulty
from engine.exchange.faults_file import read_schedule
from engine.exchange.faults_schedule import Schedule
from engine.exchange.greeting import ready_document, ready_json, ready_text
from engine.exchange.rules import rules_of
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import (
    DEFAULT_SYMBOL,
    agent_markets,
    make_core,
    make_face,
    tape_markets,
)
from engine.exchange.truth import record_fields

CLIENTS_LEAVE_S = 20.0  # an engine that lost the same parent cancels its orders first
LOOK_S = 0.05  # how often it looks whether they have
TRUTH_S = 0.2  # the file is behind by this at most
TRUTH_KEPT = 100_000  # records that stay readable through the admin port beside a file
TRUTH_KEPT_ALONE = 1_000_000  # and without one; some hundred bytes each
PROGRESS_S = 10.0
GC_THRESHOLD = (20_000, 20, 50)  # an order leaves hardly a cycle; the default looks all the time
log = logging.getLogger("tickmaker.exchange")


def build_markets(args: argparse.Namespace, start_ns: int) -> list[Market]:
    """TickmakerError for a symbol or a tape that can't be served."""
    names = args.symbols if args.symbols is not None else "" if args.tape else DEFAULT_SYMBOL
    symbols = [symbol for symbol in names.split(",") if symbol]
    if args.synthetic and args.tape is None:
        named = symbols if args.symbols is not None else []
        symbols = [*named, *(f"SYM{number:03}USDT" for number in range(args.synthetic))]
    if args.tape is not None:
        upper = [symbol if "/" in symbol else symbol.upper() for symbol in symbols]
        speed = 1.0 if args.speed is None else args.speed
        return tape_markets(args.tape, args.venue, upper, speed)
    return agent_markets(args.venue, symbols, args.seed, start_ns)


def build_fees(args: argparse.Namespace) -> FeeRates | None:
    """None: the venue's own."""
    if args.maker_fee_bp is None and args.taker_fee_bp is None:
        return None
    own = next(iter(rules_of(args.venue).fees.values()))
    maker, taker = args.maker_fee_bp, args.taker_fee_bp
    return FeeRates(
        own.maker_ppm if maker is None else round(maker * 100),
        own.taker_ppm if taker is None else round(taker * 100),
    )


async def serve(args: argparse.Namespace, emit: Callable[[str], object]) -> int:
    """Run until SIGTERM or SIGINT; how often we failed."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    orphaned = asyncio.Event()
    if args.until_stdin_closes:
        watch_stdin(orphaned.set)
    core = make_core(args.venue, build_markets(args, clock.wall_ns()), args.seed, build_fees(args))
    schedule = read_schedule(args.faults, core.markets) if args.faults else Schedule()
    faulty = Faulty(make_face(args.venue, core, args.limit_factor), schedule)
    with ExitStack() as stack:
        tls, ca_file = _tls(stack) if args.tls else (None, None)
        truth = None
        if args.truth:
            truth = TruthFile(core, stack.enter_context(_open_truth(args.truth)))
            truth.write_head(args.venue, args.seed, clock.wall_ns())
        else:
            core.truth.kept_max = TRUTH_KEPT_ALONE
        server = ExchangeServer(faulty, tls, args.busy)
        await server.start_admin(Admin(faulty, server.facts), args.admin_port)
        await server.start(args.rest_port, args.ws_port)
        gc.collect()
        gc.freeze()  # what starting made stays: no collection shall look at it again
        gc.set_threshold(*GC_THRESHOLD)
        log.info("%s serves %s at %s", args.venue, ",".join(core.markets), server.rest_url)
        document = ready_document(server, ca_file)
        emit(ready_json(document) if args.json else ready_text(document))
        tasks = [
            asyncio.create_task(clients_left(server, orphaned)),
            asyncio.create_task(stopping.wait()),
            asyncio.create_task(tell_progress(server)),
        ]
        if truth is not None:
            tasks.append(asyncio.create_task(truth.stream()))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.stop()
        if truth is not None:
            truth.write()
    log.info("stopped; %s", _summary(server))
    return server.counters.bugs


def _tls(stack: ExitStack) -> tuple[ssl.SSLContext, Path]:
    from engine.exchange.tls import own_folder, server_context  # heavy, and seldom wanted

    return server_context(stack.enter_context(own_folder()))


# -- WHILE IT RUNS ---


def watch_stdin(on_end: Callable[[], object]) -> None:
    """Call `on_end` once standard input is at its end; what it holds is thrown away."""
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        try:
            is_open = bool(os.read(0, 4096))
        except OSError:  # the other end was reset
            is_open = False
        if not is_open:
            loop.remove_reader(0)
            on_end()

    try:
        loop.add_reader(0, on_readable)
    except (OSError, ValueError):  # closed, a file or /dev/null: nothing that could stay open
        on_end()


async def clients_left(server: ExchangeServer, orphaned: asyncio.Event) -> None:
    """Until nobody needs this exchange: its parent is gone, and then its clients."""
    await orphaned.wait()
    for _ in range(int(CLIENTS_LEAVE_S / LOOK_S)):
        if not server.ends:
            return
        await asyncio.sleep(LOOK_S)


async def tell_progress(server: ExchangeServer) -> None:
    """A line now and then, when something happened."""
    told = _summary(server)
    while True:
        await asyncio.sleep(PROGRESS_S)
        if (now := _summary(server)) != told:
            told = now
            log.info("%s", now)


def _summary(server: ExchangeServer) -> str:
    facts = server.facts()
    counters, bugs = facts["counters"], facts["counters"]["bugs"]
    text = (
        f"{sum(facts['connections'].values())} connections, {counters['requests']} requests, "
        f"{counters['messages_in']} messages in, {counters['messages_out']} out, "
        f"{len(server.face.core.truth)} records of what happened (truth log)"
    )
    return f"{text}, {bugs} BUGS" if bugs else text


def _open_truth(path: Path) -> TextIO:
    try:
        return path.open("a")
    except OSError as error:
        raise TickmakerError(
            f"--truth {path}: can't be written: {error.strerror}", "Give another file.", EXIT_USAGE
        ) from None


class TruthFile:
    """Keeps a file up to date, and the memory flat."""

    def __init__(self, core: Core, file: TextIO) -> None:
        self._core = core
        self._truth = core.truth
        self._file = file
        self._done = 0

    def write_head(self, venue: str, seed: int, t_ns: int) -> None:
        """A run starts here: numbers count from 0 again in a file that older runs are in."""
        symbols = [*self._core.markets]
        head = {"kind": "run", "t_ns": t_ns, "venue": venue, "seed": seed, "symbols": symbols}
        self._file.write(json.dumps({**head, "first_number": self._done}) + "\n")

    def write(self) -> None:
        for number, record in self._truth.since(self._done):
            self._file.write(json.dumps(record_fields(number, record)) + "\n")
        self._file.flush()
        self._done = len(self._truth)

    async def stream(self) -> None:
        while True:
            await asyncio.sleep(TRUTH_S)
            self.write()
            self._truth.let_go(self._done - TRUTH_KEPT)


def main(argv: list[str] | None = None) -> int:
    """The exit code. A signal before the loop listens for it is the caller's to handle."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    bugs = 0
    try:
        args = checked(parser().parse_args(argv))
        with suppress(KeyboardInterrupt):
            bugs = uvloop.run(serve(args, lambda text: print(text, flush=True)))
    except TickmakerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_FAILED if bugs else EXIT_OK
