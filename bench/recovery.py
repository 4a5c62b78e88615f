"""`python -m bench.recovery`: how soon does it quote again, and what does reconciling cost?

Real processes and sockets: the local exchange of each venue, and `tickmaker run` on it, from the
examples in deploy/. README.md has the method.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import machine
from bench.result import figures_us, write
from engine import venues
from engine.cli_output import print_figures
from engine.config_file import LoadedConfig, load_config
from engine.errors import TickmakerError
from engine.gateway.budget import Hosts
from engine.gateway.rest import RestClient
from engine.venues.base import Instrument, OrderRow
from fastcore.core_config import VENUES as CORES
from fastcore.types import OrderState, Side

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "results" / "recovery.json"


class Venue(NamedTuple):
    exchange: str  # --venue
    example: str  # of deploy/examples
    number: int  # of its instruments
    # As many as it takes that no limit of open orders stands in the way of 500: Binance lets a
    # symbol have 200.
    symbols: tuple[str, ...]
    prefix: str = ""  # of the exchange's keys


THREE = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
VENUES = {
    "binance_usdm": Venue("binance_usdm", "local_binance_usdm.toml", 0, THREE),
    "binance_spot": Venue("binance_spot", "local_binance_spot.toml", 0, THREE),
    "bybit_linear": Venue("bybit", "local_bybit.toml", 0, THREE[:1], "linear/"),
    "bybit_spot": Venue("bybit", "local_bybit.toml", 1, THREE[:1], "spot/"),
}
# Share of the open orders that is ours.
MIXTURES = {"own": Fraction(1), "among_strangers": Fraction(1, 2)}
AT_ONCE = 3  # venues that reconcile at the same time: they wait most of it
# Of the reconnect: else Bybit's ten messages a second are used up by quotes when the streams end,
# and the wait for the next one is in the figure.
REQUOTE_MS = "1000"
# Of the same: what quoting may send in a second is what the instrument may, as the cancels that
# the loss asks for are counted with it.
QUOTING = re.compile(r"(\[instrument\.quoting\][^\[]*messages_per_s_max = )\d+(.*?\n"
                     r"messages_per_s_max = )(\d+)", re.DOTALL)
ACCOUNTS = 2  # of one exchange, each with an engine: a cut is as many samples
TARGETS = {
    "reconnect.p50_us": "< 1000000", "reconcile.own.max_us": "< 2000000",
    "reconcile.binance.among_strangers.max_us": "< 2000000",
}  # fmt: skip
METHOD = (
    "Local exchange with agents, an engine that shares its processor (poll = sleep), the examples "
    "of deploy/, the halt for a wide spread off: the market's, not the link's. reconnect: quotes "
    "are replaced once a second, so that the venue's order rate is not used up, and quoting may "
    "send what the instrument may; every "
    "stream of the exchange ends at once (its fault drop_all), `cuts` times, `pause_s` apart, "
    "so that each connection counts as a stable one; from that moment to the first order that "
    "the exchange takes of each of its two accounts again, by its own clock and log. reconcile: "
    "`orders` open orders with client ids of an earlier run, or half of them a stranger's, which "
    "stay, on as many symbols as the venue's limit of open orders asks for, placed by the "
    "exchange's operator; the steps of the start-up that cancel ours over REST, prove that none "
    "is left, read orders, trades and positions and compare, added up. The venue's limits are in "
    "force; bound_s is what they leave: of Bybit, orders among a stranger's beyond the first "
    "second's, by what is cancelled by id in a second; 0 elsewhere. "
    "requests: from start to end of the run, as the exchange counts."
)
PATIENCE_S = 60.0
STEPS = ("leftover orders cancelled", "account agreed with the venue")
OFF = Decimal("0.03")  # of the price, that the open orders stand off


class Exchange:
    """A process."""

    def __init__(self, venue: Venue, symbols: Sequence[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.exchange", "--venue", venue.exchange, "--symbols",
             ",".join(venue.prefix + name for name in symbols), "--seed", "7", "--json"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TickmakerError(
                f"the exchange {venue.exchange} did not start", "see tickmaker exchange"
            )
        self.ready: dict[str, Any] = json.loads(line)
        (folder / "exchange.json").write_text(line)

    def ask(self, target: str, body: dict[str, Any] | None = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                self.ready["admin_url"] + target, data, PATIENCE_S
            ) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise TickmakerError(f"the exchange refused: {error.read().decode()}", "") from None

    def truth(self, after: int) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ask(f"/truth?after={after}").splitlines()]

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("/state"))
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


class Engine:
    """`tickmaker run CONFIG --json`, a process; `lines`: what it said."""

    def __init__(self, config: Path) -> None:
        self.lines: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "run", str(config), "--json"], cwd=config.parent,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def wait(self, event: str) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for line in list(self.lines):
                if line.get("event") == event:
                    return line
            time.sleep(0.02)
        raise TickmakerError(f"the engine never said {event}", f"it said {self.lines[-3:]}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(PATIENCE_S)


def run(
    names: Sequence[str], cuts: int, pause_s: float, orders: int, rounds: int, out: Path | None
) -> dict[str, Any]:
    """Measure; the result is JSON and is written to `out` too. Raises TickmakerError."""
    if unknown := sorted(set(names) - set(VENUES)):
        raise TickmakerError(f"no venue {', '.join(unknown)}", f"there are {', '.join(VENUES)}")
    result: dict[str, Any] = {
        "reconnect": {"cuts": cuts, "pause_s": pause_s}
        | _at_once(_reconnect, names, len(names), cuts, pause_s),
        "reconcile": {"orders": orders, "rounds": rounds}
        | _at_once(_reconcile, names, AT_ONCE, orders, rounds),
        "targets": TARGETS,
        "method": METHOD,
        "machine": machine.describe([]),
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def _at_once(measure: Any, names: Sequence[str], count: int, *how: Any) -> dict[str, Any]:
    """`count` venues at the same time: they wait most of it."""

    def one(name: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            found: dict[str, Any] = measure(VENUES[name], Path(folder), *how)
            return found

    with ThreadPoolExecutor(count) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


# -- RECONNECT ---


def _reconnect(venue: Venue, folder: Path, cuts: int, pause_s: float) -> dict[str, Any]:
    samples_ns: list[int] = []
    with _running(venue, venue.symbols[:1], folder) as exchange:
        engines = [
            Engine(_config(
                venue, venue.symbols[:1], exchange, folder, account, requote_ms=REQUOTE_MS
            ))
            for account in range(ACCOUNTS)
        ]
        try:
            for engine in engines:
                engine.wait("quoting")
            for _ in range(cuts):
                time.sleep(pause_s)
                samples_ns += _cut(exchange)
        finally:
            for engine in engines:
                engine.stop()
    return figures_us(np.array(samples_ns, np.int64))


def _cut(exchange: Exchange) -> list[int]:
    """ns from the end of all streams to the next order of each account, by the exchange's log."""
    after = int(exchange.facts()["truth_length"]) - 1
    exchange.ask("/fault", {"kind": "drop_all"})
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        began_ns: int | None = None
        first: dict[int, int] = {}  # order after the cut, by account
        for row in exchange.truth(after):
            if row["kind"] == "fault" and row["phase"] == "begin":
                began_ns = row["t_ns"]
            elif began_ns is not None and row["kind"] == "order" and row["exec_type"] == "NEW":
                first.setdefault(row["account"], row["t_ns"] - began_ns)
        if len(first) == ACCOUNTS:
            return list(first.values())
        time.sleep(0.05)
    raise TickmakerError("no order came after a cut", "run the drills: make drills")


# -- RECONCILE ---


def _reconcile(venue: Venue, folder: Path, orders: int, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mixture, share in MIXTURES.items():
        # A new exchange each: the weight of five starts in a minute is more than Binance gives.
        (folder / mixture).mkdir()
        with _running(venue, venue.symbols, folder / mixture) as exchange:
            found[mixture] = _reconciled(venue, exchange, folder / mixture, orders, share, rounds)
    return found


def _reconciled(
    venue: Venue, exchange: Exchange, folder: Path, orders: int, share: Fraction, rounds: int
) -> dict[str, Any]:
    path = _config(venue, venue.symbols, exchange, folder, strangers='"leave"')
    traded, per_s = asyncio.run(_facts(load_config(path, run_tag="0123abcd", mask_seed=1)))
    ours, rows = int(orders * share), []
    for number in range(rounds):
        _fill(exchange, venue, traded, orders, ours, f"{number:07x}")
        rows.append(_started(exchange, path))
    is_by_id = per_s and ours < orders  # else one call ends them all
    samples_ns = np.array([round(sum(row["ms"]) * 1e6) for row in rows], np.int64)
    return figures_us(samples_ns) | {
        "ours": ours, "strangers": orders - ours,
        "bound_s": max(ours - per_s, 0) / per_s if is_by_id else 0.0,
        "steps_ms": [row["ms"] for row in rows], "requests": [row["requests"] for row in rows],
    }  # fmt: skip


def _started(exchange: Exchange, path: Path) -> dict[str, Any]:
    """What one start took, and that none of an earlier run's is left behind it."""
    before = exchange.facts()["counters"]["requests"]
    engine = Engine(path)
    try:
        engine.wait("started")
    finally:
        engine.stop()
    steps = {line["name"]: line["ms"] for line in engine.lines if line.get("event") == "step"}
    after = exchange.facts()
    left = [row for row in after["accounts"][0]["open_orders"]
            if row["client_order_id"].startswith("tm")]  # fmt: skip
    if left:
        raise TickmakerError(f"{len(left)} orders of ours are left", "report it")
    requests = after["counters"]["requests"] - before
    return {"ms": [steps[step] for step in STEPS], "requests": requests}


def _fill(
    exchange: Exchange, venue: Venue, traded: Sequence[Instrument], orders: int, ours: int,
    tag: str,
) -> None:  # fmt: skip
    """Open orders until there are `orders`, `ours` of which are an earlier run's."""
    facts = exchange.facts()
    for index in range(len(facts["accounts"][0]["open_orders"]), orders):
        instrument = traded[index % len(traded)]
        key = venue.prefix + instrument.symbol
        px_ticks = int(facts["markets"][key]["touch"]["bid"] * (1 - OFF))
        least = instrument.notional_min * 2 / (px_ticks * Decimal(instrument.tick))
        is_ours = index >= orders - ours
        exchange.ask("/command", {
            "command": "Place", "symbol": key, "side": "BUY", "px_ticks": px_ticks,
            "qty_lots": int(max(least, instrument.qty_min) / Decimal(instrument.lot)) + 1,
            "client_id": f"tm0{tag}-00-{index:012x}" if is_ours else f"hand-{index}",
        })  # fmt: skip


async def _facts(loaded: LoadedConfig) -> tuple[list[Instrument], int]:
    """What is traded, and how many orders the venue lets an account cancel by id in a second."""
    account = loaded.config.accounts[0]
    credential = loaded.credentials[account.name]
    adapter = venues.adapter(account, credential.api_key, credential.secret)
    budget = Hosts().budget(account.rest_url, adapter)
    rest = RestClient(adapter, account.rest_url, budget, rng=random.Random(1))
    await rest.open()
    try:
        traded = []
        for one in loaded.config.instruments:
            category = CORES[one.core.venue].category
            told = await rest.call(adapter.instruments([one.core.symbol], category))
            traded.append(told[one.core.symbol])
    finally:
        await rest.close()
    limit = adapter.cancel(traded[0], _ROW).limit
    return traded, 0 if limit is None else limit.per_s * (1 + adapter.has_cancels_apart)


_ROW = OrderRow("", "", 1, Side.BUY, OrderState.NEW, 1, 1, 0, "1")


# -- PROCESSES ---


@contextmanager
def _running(venue: Venue, symbols: Sequence[str], folder: Path) -> Iterator[Exchange]:
    exchange = Exchange(venue, symbols, folder)
    try:
        yield exchange
    finally:
        exchange.stop()


def _config(
    venue: Venue, symbols: Sequence[str], exchange: Exchange, folder: Path, account: int = 0,
    **changes: str,
) -> Path:  # fmt: skip
    """The venue's example at this exchange, one of its instruments once for each symbol."""
    text = (ROOT / "deploy" / "examples" / venue.example).read_text()
    head, *instruments = text.split("[[instrument]]")
    one = instruments[venue.number]
    for key in ("orders_per_10s_max", "orders_per_min_max", "messages_per_s_max",
                "messages_per_min_max", "cancel_reserve", "exit_reserve",
                "open_orders_max"):  # fmt: skip
        one = re.sub(rf"(?m)^({key} = )(\d+)",
                     lambda found: f"{found[1]}{max(1, int(found[2]) // len(symbols))}", one)
    text = head + "".join(
        "[[instrument]]" + one.replace('"BTCUSDT"', f'"{symbol}"') for symbol in symbols
    )
    ws = "/".join(next(iter(exchange.ready["ws_url"].values())).split("/")[:3])
    text = re.sub(r"http://127\.0\.0\.1:\d+", exchange.ready["rest_url"], text)
    text = re.sub(r"ws://127\.0\.0\.1:\d+", ws, text)
    text = re.sub(r'exchange_json = "[^"]+", account = 0',
                  f'exchange_json = "exchange.json", account = {account}', text)
    own = {"spread_factor": "0.0", "state_dir": f'"state-{account}"'}
    if "requote_ms" in changes:
        text = QUOTING.sub(r"\g<1>\g<3>\g<2>\g<3>", text)
    for key, value in (own | changes).items():
        text = re.sub(rf"(?m)^({key} = )[^#\n]*", rf"\g<1>{value}  ", text)
    path = folder / f"recovery-{account}.toml"
    path.write_text(text)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venues", default=",".join(VENUES))
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--pause", type=float, default=31.0, metavar="S")
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the whole result on stdout")
    args = parser.parse_args()
    try:
        found = run(
            args.venues.split(","), args.cuts, args.pause, args.orders, args.rounds, args.out
        )
    except TickmakerError as error:
        sys.exit(f"error: {error.what}\n  {error.remedy}")
    print_figures(found, args.json)


if __name__ == "__main__":
    main()
