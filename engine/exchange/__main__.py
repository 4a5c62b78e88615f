"""`python -m engine.exchange`: the local exchange as a process of its own.

One JSON line on stdout when ready, with addresses and keys; log lines on stderr, without keys.
SIGTERM or SIGINT: exit 0.
"""

import argparse
import asyncio
import json
import logging
import math
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
log = logging.getLogger("tickmaker.exchange")


def parser() -> argparse.ArgumentParser:
    args = argparse.ArgumentParser(prog="python -m engine.exchange", description=__doc__)
    args.add_argument("--venue", choices=VENUES, default=VENUES[0])
    args.add_argument("--symbols", help="comma-separated; BTCUSDT, or what the tape holds")
    args.add_argument("--seed", type=int, default=1, help="fixes keys and the agents' flow")
    args.add_argument("--tape", type=Path, help="serve this recording instead of agents")
    args.add_argument("--speed", type=float, default=1.0, help="times the tape's own pace")
    args.add_argument("--maker-fee-bp", type=float, default=2.0)
    args.add_argument("--taker-fee-bp", type=float, default=4.0)
    args.add_argument("--rest-port", type=int, default=0, help="0 picks a free one")
    args.add_argument("--ws-port", type=int, default=0, help="0 picks a free one")
    args.add_argument("--json", action="store_true", help="the ready line is JSON (always is)")
    return args


def build_markets(args: argparse.Namespace, start_ns: int) -> list[Market]:
    """TickmakerError for a symbol or a tape that can't be served."""
    names = args.symbols if args.symbols is not None else "" if args.tape else "BTCUSDT"
    symbols = [symbol for symbol in names.upper().split(",") if symbol]
    if args.tape is not None:
        return [tape_market(args.tape, symbols, args.speed)]
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


def tape_market(path: Path, symbols: list[str], speed: float) -> Market:
    """TickmakerError for a file that can't be served, several symbols or no speed."""
    # Arrow is heavy to load, and agents don't need it.
    from engine.exchange.tape_frames import open_recording
    from engine.exchange.tape_market import TapeMarket

    if not 0 < speed < math.inf:
        raise TickmakerError(f"--speed is {speed}", "Pass a number above 0.", EXIT_USAGE)
    if len(symbols) > 1:
        raise TickmakerError(
            f"--tape serves one symbol, --symbols names {len(symbols)}", "Pass one.", EXIT_USAGE
        )
    return TapeMarket(open_recording(path, symbols[0] if symbols else None), speed)


async def serve(args: argparse.Namespace, emit: Callable[[str], object]) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    fees = FeeRates(round(args.maker_fee_bp * 100), round(args.taker_fee_bp * 100))
    core = Core(build_markets(args, clock.wall_ns()), args.seed, fees)
    server = ExchangeServer(core)
    await server.start(args.rest_port, args.ws_port)
    log.info("%s serves %s at %s", args.venue, ",".join(core.markets), server.rest_url)
    emit(ready_line(args.venue, server))
    await stopping.wait()
    await server.stop()
    log.info("stopped; %d fills", len(core.truth.fills))


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
