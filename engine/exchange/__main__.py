"""`python -m engine.exchange`: the local exchange as a process of its own.

One JSON line on stdout when ready, with addresses and keys; log lines on stderr, without keys.
SIGTERM or SIGINT: exit 0; with --until-stdin-closes also at the end of standard input.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from engine import clock
from engine.errors import EXIT_OK, EXIT_USAGE, TickmakerError
from engine.exchange.accounts import FeeRates
from engine.exchange.core import Core
from engine.exchange.events import Market
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket
from engine.exchange.server import ExchangeServer

VENUES = ("binance_usdm",)
CLIENTS_LEAVE_S = 20.0  # an engine that lost the same parent cancels its orders first
TURN_S = 0.05
log = logging.getLogger("tickmaker.exchange")


def parser() -> argparse.ArgumentParser:
    args = argparse.ArgumentParser(prog="tickmaker exchange", description=__doc__)
    args.add_argument("--venue", choices=VENUES, default=VENUES[0])
    args.add_argument("--symbols", help="comma-separated; BTCUSDT, or what the tape holds")
    args.add_argument("--seed", type=int, default=1, help="fixes keys and the agents' flow")
    args.add_argument("--tape", type=Path, nargs="+", help="serve these recordings, not agents")
    args.add_argument("--speed", type=float, default=1.0, help="times the tape's own pace")
    args.add_argument("--maker-fee-bp", type=float, default=2.0)
    args.add_argument("--taker-fee-bp", type=float, default=4.0)
    args.add_argument("--rest-port", type=int, default=0, help="0 picks a free one")
    args.add_argument("--ws-port", type=int, default=0, help="0 picks a free one")
    args.add_argument("--until-stdin-closes", action="store_true",
                      help="stop at the end of standard input too, after the last client left")
    args.add_argument("--json", action="store_true", help="the ready line is JSON (always is)")
    return args


def build_markets(args: argparse.Namespace, start_ns: int) -> list[Market]:
    """TickmakerError for a symbol or a tape that can't be served."""
    names = args.symbols if args.symbols is not None else "" if args.tape else "BTCUSDT"
    symbols = [symbol for symbol in names.upper().split(",") if symbol]
    if args.tape is not None:
        return tape_markets(args.tape, args.venue, symbols, args.speed)
    if not symbols:
        raise TickmakerError("--symbols names no symbol", "Pass one, as BTCUSDT.", EXIT_USAGE)
    for symbol in symbols:
        if symbol not in CATALOGUE:
            raise TickmakerError(
                f"--symbols: the agent market has no {symbol!r}",
                f"Pass some of {', '.join(CATALOGUE)}, or a tape of it.",
                EXIT_USAGE,
            )
    return [
        AgentMarket(CATALOGUE[symbol], args.seed, start_ns) for symbol in dict.fromkeys(symbols)
    ]


def tape_markets(paths: list[Path], venue: str, symbols: list[str], speed: float) -> list[Market]:
    """TickmakerError for a file that can't be served, or no speed."""
    # Arrow is heavy to load, and agents don't need it.
    from engine.exchange.tape.recording import open_markets

    if not 0 < speed < math.inf:
        raise TickmakerError(f"--speed is {speed}", "Pass a number above 0.", EXIT_USAGE)
    return [*open_markets(paths, venue, symbols, speed)]


async def serve(args: argparse.Namespace, emit: Callable[[str], object]) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    orphaned = asyncio.Event()
    if args.until_stdin_closes:
        watch_stdin(orphaned.set)
    fees = FeeRates(round(args.maker_fee_bp * 100), round(args.taker_fee_bp * 100))
    core = Core(build_markets(args, clock.wall_ns()), args.seed, fees)
    server = ExchangeServer(core)
    await server.start(args.rest_port, args.ws_port)
    log.info("%s serves %s at %s", args.venue, ",".join(core.markets), server.rest_url)
    emit(ready_line(args.venue, server))
    left = asyncio.create_task(clients_left(server, orphaned))
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({left, told}, return_when=asyncio.FIRST_COMPLETED)
    left.cancel()
    told.cancel()
    await server.stop()
    log.info("stopped; %d fills", len(core.truth.fills))


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
    for _ in range(int(CLIENTS_LEAVE_S / TURN_S)):
        if server._ws_server is None or not server._ws_server.connections:
            return
        await asyncio.sleep(TURN_S)


def ready_line(venue: str, server: ExchangeServer) -> str:
    accounts = [
        {
            "name": account.name,
            "api_key": account.keys[0].api_key,
            "secret": account.keys[0].secret,
            "keys": [{"api_key": pair.api_key, "secret": pair.secret} for pair in account.keys],
        }
        for account in server.core.keys
    ]
    document = {
        "venue": venue,
        "rest_url": server.rest_url,
        "ws_url": server.ws_url,
        "accounts": accounts,
    }
    return json.dumps(document)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("tickmaker.exchange.ws").setLevel(logging.ERROR)
    try:
        uvloop.run(serve(args, lambda line: print(line, flush=True)))
    except TickmakerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
