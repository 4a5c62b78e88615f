"""Engines of several accounts against several exchanges, all in one process, over real sockets.

The configuration is one of deploy/examples, pointed at the exchanges that a test has started.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support_session import PATIENCE_S, Heard

from engine import clock
from engine.config import EngineConfig
from engine.config_file import load_config
from engine.exchange.faults import Faulty
from engine.exchange.greeting import ready_document, ready_json
from engine.exchange.instruments import catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_core, make_face
from engine.exchange.tls import server_context
from engine.live.account import LiveAccount
from engine.live.instrument import LiveInstrument
from engine.session import Session
from fastcore.journal import KIND, read_segment
from fastcore.types import Halt, Side

EXAMPLES = Path(__file__).parents[1] / "deploy" / "examples"
# A test machine may stall for longer than any budget that is worth having.
PATIENT = {"tick_to_order_us_max": "30e6", "ack_ms_max": "2000.0", "duplicate_ms": "1"}


class Exchange:
    """One venue's local exchange in this process."""

    def __init__(
        self, venue: str, keys: Sequence[str], seed: int = 1, quiet: bool = False,
        tls_folder: Path | None = None,
    ) -> None:
        listings = catalogue(venue)
        markets = [
            AgentMarket(listings[key], seed, clock.wall_ns(), is_quiet=quiet) for key in keys
        ]
        self.venue = venue
        self.core = make_core(venue, markets, seed)
        self.tls, self.ca_file = (None, None) if tls_folder is None else server_context(tls_folder)
        self.server = ExchangeServer(Faulty(make_face(venue, self.core)), self.tls)

    async def start(self, folder: Path) -> None:
        await self.server.start()
        name = self.venue.removeprefix("binance_") + ".json"
        (folder / name).write_text(ready_json(ready_document(self.server, self.ca_file)) + "\n")

    def position_lots(self, key: str) -> int:
        """What fills of the engine's account add up to."""
        fills = self.core.fills_of(0, key)
        return sum(fill.qty_lots if fill.side == 0 else -fill.qty_lots for fill in fills)


def written(folder: Path, example: str, **changes: str) -> Path:
    """A copy of an example without its addresses: the ready lines hold them. `changes`: other
    values of keys, wherever they stand. Without Bybit's dead-man switch: set anew it keeps quotes
    back for ten seconds."""
    text = (EXAMPLES / example).read_text()
    text = re.sub(r'(?ms)(^venue = "bybit"\n.*?^dead_man_s = )\d+', r"\g<1>0", text)
    text = re.sub(r"(?m)^rest_url = .*\n", "", text)
    text = re.sub(r"(?ms)^\[account\.ws_url\]\n.*?\n\n", "", text)
    for key, value in (PATIENT | changes).items():
        text = re.sub(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
    path = folder / "engine.toml"
    path.write_text(text)
    return path


def loaded(path: Path, run_dir: Path, run_tag: str = "0a1b2c3d") -> tuple[EngineConfig, Any]:
    told = load_config(path, run_tag=run_tag, mask_seed=7)
    run_dir.mkdir(parents=True, exist_ok=True)
    credentials = {name: (c.api_key, c.secret) for name, c in told.credentials.items()}
    return told.config.model_copy(update={"run_dir": run_dir}), credentials


class Desk:
    """One engine of a test, and what it says."""

    def __init__(self, path: Path, run_dir: Path, run_tag: str = "0a1b2c3d") -> None:
        config, credentials = loaded(path, run_dir, run_tag)
        self.heard = Heard()
        self.session = Session(config, credentials, self.heard)
        self.task = asyncio.create_task(self.session.run())

    @property
    def instruments(self) -> list[LiveInstrument]:
        return self.session.instruments

    @property
    def account(self) -> LiveAccount:
        return self.session.accounts[0]

    def numbers(self, at: int = 0) -> dict[str, Any]:
        return self.instruments[at].core.numbers()

    async def until(self, is_done: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(patience_s):
            while not is_done():
                if self.task.done():
                    raise AssertionError(f"the session ended: {self.heard.lines}")
                await asyncio.sleep(0.002)

    async def quoting(self) -> None:
        """Every instrument, at one moment."""
        await self.until(lambda: self.heard.of("started"))
        await self.until(lambda: all(
            not self.bits(i) and self.numbers(i)["own"] for i in range(len(self.instruments))
        ))

    def bits(self, at: int = 0) -> Halt:
        return self.instruments[at].bits

    def records(self, kind: str) -> list[tuple[int, bytes]]:
        """(arg, payload) of each journal record of a kind."""
        found = []
        folder = self.session.config.run_dir / "journal"
        for path in sorted(folder.glob("*/*.jnl")):
            for record in read_segment(path.read_bytes()):
                if record[1] == KIND[kind]:
                    found.append((record[2], bytes(record[6])))
        return found

    async def stop(self) -> int:
        self.session.stop()
        async with asyncio.timeout(PATIENCE_S * 2):
            return await self.task

    async def crash(self) -> None:
        """As SIGKILL leaves it: nothing is cancelled, nothing is said."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        session = self.session
        if session._control is not None:
            await session._control.close()
        for account in session.accounts:
            await account.stop_keeping()
            await account.close()
        await session.stage.close()
        session.stage.transport.stop()
        for instrument in session.instruments:
            instrument.close()
        for account in session.accounts:
            account.lock.release()


def check_books(made: Desk, at: int, exchange: Exchange, key: str) -> None:
    """Fills of the core are those of the exchange, and what it began with comes on top."""
    numbers = made.numbers(at)
    assert numbers["fills"] == len(exchange.core.fills_of(0, key))
    assert numbers["position_lots"] - numbers["opening_lots"] == exchange.position_lots(key)
    assert numbers["strangers"] == numbers["malformed"] == 0


async def by_hand(
    made: Desk, side: Side, lots: int, *, px_ticks: int | None = None, off_ticks: int = 0,
    client_id: str = "hand-1", is_ioc: bool = True, at: int = 0,
) -> None:  # fmt: skip
    """Somebody else trades with the account's own key, at `px_ticks`, or `off_ticks` from what
    stands on the other side."""
    if px_ticks is None:
        touch = "ask_px_ticks" if side is Side.BUY else "bid_px_ticks"
        px_ticks = made.numbers(at)[touch] + off_ticks
    account = made.account
    await account.rest.call(account.adapter.place(
        made.instruments[at].traded, client_id, side, px_ticks, lots, is_ioc=is_ioc,
        is_reduce_only=False,
    ))  # fmt: skip


@asynccontextmanager
async def exchanges(folder: Path, *wanted: Exchange) -> AsyncIterator[None]:
    try:
        for exchange in wanted:
            await exchange.start(folder)
        yield
    finally:
        for exchange in wanted:
            await exchange.server.stop()


@asynccontextmanager
async def desk(path: Path, run_dir: Path, run_tag: str = "0a1b2c3d") -> AsyncIterator[Desk]:
    made = Desk(path, run_dir, run_tag)
    try:
        yield made
    finally:
        if not made.task.done():
            with contextlib.suppress(TimeoutError):
                await made.stop()
        made.heard.close()
