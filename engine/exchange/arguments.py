"""The arguments of `tickmaker exchange`, and why some can't be used."""

import argparse
import math
from pathlib import Path

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.instruments import SYNTHETIC_MAX
from engine.exchange.stack import VENUES

ABOUT = """The local exchange as a process of its own.

When ready it says on stdout where it is and with which keys: for people, or as one JSON line with
--json. Progress goes to stderr, without keys. SIGTERM or SIGINT: exit 0, or 1 after a bug of ours;
at the end of standard input too, with --until-stdin-closes. Exit 2: an unusable argument."""
PORTS = ("rest", "ws", "admin")
PORT_MAX = 65_535
FEE_BP_MAX = 1_000.0  # a tenth of what is traded; a rebate of more is nonsense, too


def parser() -> argparse.ArgumentParser:
    args = argparse.ArgumentParser(
        prog="tickmaker exchange", description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    args.add_argument("--venue", choices=VENUES, default=VENUES[0],
                      help="whose protocol and rules (default: %(default)s)")
    args.add_argument("--symbols", help="comma-separated; BTCUSDT, or all that the tapes hold")
    args.add_argument("--synthetic", type=int, default=0, metavar="N",
                      help="also SYM000USDT, SYM001USDT, ...: N slow markets, all alike")
    kind = args.add_mutually_exclusive_group()
    kind.add_argument("--tape", type=Path, nargs="+", metavar="FILE",
                      help="serve these recordings, not agents")
    kind.add_argument("--agents", action="store_true", help="simulated traders (the default)")
    args.add_argument("--speed", type=float, help="times the tapes' own pace (default: 1)")
    args.add_argument("--seed", type=int, default=1, help="fixes keys and the agents' flow")
    args.add_argument("--maker-fee-bp", type=float, metavar="BP",
                      help="basis points for all, below 0: a rebate; else the venue's own")
    args.add_argument("--taker-fee-bp", type=float, metavar="BP", help="the same, for takers")
    for name in PORTS:
        args.add_argument(f"--{name}-port", type=int, default=0, metavar="PORT",
                          help="0 picks a free one (the default)")
    args.add_argument("--limit-factor", type=int, default=1, metavar="N",
                      help="rate limits are N times the venue's: room for load tests")
    args.add_argument("--busy", action="store_true",
                      help="never sleep: faster answers, and a whole processor gone")
    args.add_argument("--tls", action="store_true",
                      help="https and wss, with a throw-away authority; its file is told")
    args.add_argument("--faults", type=Path, metavar="FILE", help="what goes wrong (TOML)")
    args.add_argument("--truth", type=Path, metavar="FILE",
                      help="append what really happened here, one JSON object a line")
    args.add_argument("--until-stdin-closes", action="store_true",
                      help="stop at the end of standard input too, after the last client left")
    args.add_argument("--json", action="store_true", help="the ready line is JSON")
    return args


def checked(args: argparse.Namespace) -> argparse.Namespace:
    """`args`; TickmakerError for one that no exchange could have."""
    for name in PORTS:
        port = getattr(args, f"{name}_port")
        if not 0 <= port <= PORT_MAX:
            _refuse(f"--{name}-port is {port}", f"Pass 0 to {PORT_MAX}; 0 picks a free one.")
    for side in ("maker", "taker"):
        fee = getattr(args, f"{side}_fee_bp")
        if fee is not None and not (math.isfinite(fee) and abs(fee) <= FEE_BP_MAX):
            limits = f"-{FEE_BP_MAX:g} to {FEE_BP_MAX:g}"
            _refuse(f"--{side}-fee-bp is {fee:g}", f"Pass basis points, {limits}.")
    if not 0 <= args.synthetic <= SYNTHETIC_MAX:
        _refuse(f"--synthetic is {args.synthetic}", f"Pass 0 to {SYNTHETIC_MAX}.")
    if args.synthetic and args.tape is not None:
        _refuse("--synthetic is the agents'", "Pass it without --tape.")
    if args.limit_factor < 1:
        _refuse(f"--limit-factor is {args.limit_factor}", "Pass 1 (the venue's limits) or more.")
    if args.speed is not None and args.tape is None:
        _refuse("--speed is a tape's", "Pass --tape FILE too, or leave it out.")
    return args


def _refuse(what: str, remedy: str) -> None:
    raise TickmakerError(what, remedy, EXIT_USAGE)
