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
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.result import figures_us, write
from engine import venues
from engine.config import EngineConfig
from engine.config_file import LoadedConfig, load_config
from engine.errors import TickmakerError
from engine.gateway.account_calls import AccountCalls
from engine.gateway.budget import Hosts
from engine.gateway.rest import RestClient, VenueError
from engine.venues.base import Adapter, Instrument
from fastcore.core_config import VENUES
from fastcore.types import Side

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "results" / "recovery.json"
EXAMPLES = {
    "binance_usdm": "local_binance_usdm.toml", "binance_spot": "local_binance_spot.toml",
    "bybit": "local_bybit.toml",
}  # fmt: skip
# Enough of them that no symbol's limit of open orders stands in the way of 500 (200 at Binance).
SYMBOLS = {
    "binance_usdm": ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    "binance_spot": ("BTCUSDT", "ETHUSDT", "SOLUSDT"), "bybit": ("BTCUSDT",),
}  # fmt: skip
TARGETS = {"reconnect.*.p50_us": "< 1000000", "reconcile.*.max_us": "< 2000000"}
METHOD = (
    "Local exchange with agents, an engine that shares its processor (poll = sleep), the examples "
    "of deploy/, the halt for a wide spread off: the market's, not the link's. reconnect: every "
    "stream of the exchange ends at once (its fault drop_all), `cuts` times, `pause_s` apart, "
    "so that each connection counts as a stable one; from that moment to the first order that "
    "the exchange takes again, by its own clock and log. reconcile: `orders` open orders, half "
    "of them with client ids of an earlier run, half a stranger's, on as many symbols as the "
    "venue's limit of open orders asks for; the steps of the start-up that cancel ours over "
    "REST, prove that none is left, read orders, trades and positions and compare, added up; "
    "strangers' stay. The venue's limits are in force for the engine; "
    "requests_of_the_whole_run: start to end, as the exchange counts."
)
PATIENCE_S = 60.0
STEPS = ("leftover orders cancelled", "account agreed with the venue")
OFF = Decimal("0.03")  # of the price, that the open orders stand off


class Exchange:
    """A process."""

    def __init__(self, venue: str, symbols: Sequence[str], folder: Path) -> None:
        names = [f"linear/{name}" if venue == "bybit" else name for name in symbols]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.exchange", "--venue", venue, "--symbols",
             ",".join(names), "--seed", "7", "--json"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TickmakerError(f"the exchange {venue} did not start", "see tickmaker exchange")
        self.ready: dict[str, Any] = json.loads(line)
        (folder / "exchange.json").write_text(line)

    def ask(self, target: str, body: dict[str, Any] | None = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.ready["admin_url"] + target, data, PATIENCE_S) as answer:
            return str(answer.read().decode())

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
    reconnect = _at_once(_reconnect, names, cuts, pause_s)
    reconcile = _at_once(_reconcile, names, orders, rounds)
    result: dict[str, Any] = {
        "reconnect": {"cuts": cuts, "pause_s": pause_s} | reconnect,
        "reconcile": {"orders": orders, "rounds": rounds} | reconcile,
        "targets": TARGETS,
        "method": METHOD,
        "machine": machine.describe([]),
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def _at_once(measure: Any, names: Sequence[str], *how: Any) -> dict[str, Any]:
    """All venues at the same time: they wait most of it."""
    found: dict[str, Any] = {}

    def one(name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure(name, Path(folder), *how)

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing = sorted(set(names) - set(found))
    if missing:
        raise TickmakerError(f"no figures of {', '.join(missing)}", "see the lines above")
    return {name: found[name] for name in names}


# -- RECONNECT ---


def _reconnect(name: str, folder: Path, cuts: int, pause_s: float) -> dict[str, Any]:
    samples_ns = []
    with _running(name, SYMBOLS[name][:1], folder) as exchange:
        engine = Engine(_config(name, SYMBOLS[name][:1], exchange, folder))
        try:
            engine.wait("quoting")
            for _ in range(cuts):
                time.sleep(pause_s)
                samples_ns.append(_cut(exchange))
        finally:
            engine.stop()
    return figures_us(np.array(samples_ns, np.int64))


def _cut(exchange: Exchange) -> int:
    """ns from the end of all streams to the next order, by the exchange's log."""
    after = int(exchange.facts()["truth_length"]) - 1
    exchange.ask("/fault", {"kind": "drop_all"})
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        rows = exchange.truth(after)
        began_ns = next(
            (row["t_ns"] for row in rows
             if row["kind"] == "fault" and row["phase"] == "begin"), None,
        )  # fmt: skip
        for row in rows:
            is_new = row["kind"] == "order" and row["exec_type"] == "NEW" and row["account"] == 0
            if is_new and began_ns is not None and row["t_ns"] > began_ns:
                return int(row["t_ns"] - began_ns)
        time.sleep(0.05)
    raise TickmakerError("no order came after a cut", "run the drills: make drills")


# -- RECONCILE ---


def _reconcile(name: str, folder: Path, orders: int, rounds: int) -> dict[str, Any]:
    samples_ns, requests, ours = [], [], 0
    with _running(name, SYMBOLS[name], folder) as exchange:
        path = _config(name, SYMBOLS[name], exchange, folder, strangers='"leave"')
        for index in range(rounds):
            loaded = load_config(path, run_tag="0123abcd", mask_seed=1)
            ours = asyncio.run(_fill(loaded, orders, index))
            before = exchange.facts()["counters"]["requests"]
            engine = Engine(path)
            try:
                engine.wait("started")
            finally:
                engine.stop()
            steps = {
                line["name"]: line["ms"] for line in engine.lines if line.get("event") == "step"
            }
            samples_ns.append(round(sum(steps[step] for step in STEPS) * 1e6))
            requests.append(exchange.facts()["counters"]["requests"] - before)
    return figures_us(np.array(samples_ns, np.int64)) | {
        "ours": ours, "requests_of_the_whole_run": max(requests),
    }


async def _fill(loaded: LoadedConfig, orders: int, index: int) -> int:
    """Open orders until there are so many, alternately an earlier run's and a stranger's; how
    many are ours."""
    account = loaded.config.accounts[0]
    credential = loaded.credentials[account.name]
    adapter = venues.adapter(account, credential.api_key, credential.secret)
    rng = random.Random(index)
    budget = Hosts().budget(account.rest_url, adapter)
    rest = RestClient(adapter, account.rest_url, budget, rng=rng)
    await rest.open()
    try:
        traded = await _instruments(rest, adapter, loaded.config)
        calls = AccountCalls(rest, adapter, traded, rng=rng)
        open_ = [row for each in traded for row in await calls.open_orders(each)]
        mine = sum(row.client_id.startswith("tm") for row in open_)
        for number in range(len(open_), orders):
            instrument = traded[number % len(traded)]
            is_ours = mine < orders // 2
            mine += is_ours
            name = f"tm0{index:07x}-00-{number:012x}" if is_ours else f"hand-{index}-{number}"
            await _place(rest, adapter, instrument, name)
        return mine
    finally:
        await rest.close()


async def _instruments(
    rest: RestClient, adapter: Adapter, config: EngineConfig
) -> list[Instrument]:
    found = []
    for one in config.instruments:
        category = VENUES[one.core.venue].category
        told = await rest.call(adapter.instruments([one.core.symbol], category))
        found.append(told[one.core.symbol])
    return found


async def _place(
    rest: RestClient, adapter: Adapter, instrument: Instrument, client_id: str
) -> None:
    best = await rest.call(adapter.best(instrument))
    px_ticks = int(best.bid_px_ticks * (1 - OFF))
    least = instrument.notional_min * 2 / (px_ticks * Decimal(instrument.tick))
    qty_lots = int(max(least, instrument.qty_min) / Decimal(instrument.lot)) + 1
    while True:
        try:
            await rest.call(adapter.place(
                instrument, client_id, Side.BUY, px_ticks, qty_lots, is_ioc=False,
                is_reduce_only=False,
            ))  # fmt: skip
            return
        except VenueError as error:
            if not error.failure.is_throttled:
                raise
            await asyncio.sleep(max(error.retry_after_s, 0.2))


# -- PROCESSES ---


@contextmanager
def _running(name: str, symbols: Sequence[str], folder: Path) -> Iterator[Exchange]:
    exchange = Exchange(name, symbols, folder)
    try:
        yield exchange
    finally:
        exchange.stop()


def _config(
    name: str, symbols: Sequence[str], exchange: Exchange, folder: Path, **changes: str
) -> Path:
    """The venue's example at this exchange, its first instrument once for each symbol."""
    text = (ROOT / "deploy" / "examples" / EXAMPLES[name]).read_text()
    head, _, rest = text.partition("[[instrument]]")
    one = rest.partition("[[instrument]]")[0]
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
    text = re.sub(r'exchange_json = "[^"]+"', 'exchange_json = "exchange.json"', text)
    for key, value in ({"spread_factor": "0.0"} | changes).items():
        text = re.sub(rf"(?m)^({key} = )[^#\n]*", rf"\g<1>{value}  ", text)
    path = folder / "recovery.toml"
    path.write_text(text)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venues", default=",".join(EXAMPLES))
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--pause", type=float, default=31.0, metavar="S")
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--json", action="store_true", help="the result on stdout, too")
    args = parser.parse_args()
    found = run(args.venues.split(","), args.cuts, args.pause, args.orders, args.rounds, args.out)
    if args.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
