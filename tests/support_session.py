"""An engine and an exchange in one process, with a proxy between them that cuts connections."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from exchange_client import Client, serving
from support_exchange import QuietMarket

from engine import clock
from engine.config import demo_core, load
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket
from engine.exchange.server import ExchangeServer
from engine.gateway.parent import Output
from engine.live.account import LiveAccount
from engine.live.instrument import LiveInstrument
from engine.live.local import ACCOUNT, local_engine
from engine.session import Session
from fastcore.journal import KIND, read_segment
from fastcore.types import Conn, Halt

PATIENCE_S = 15.0
TEST_S = 90.0
# Quotes that agents hardly ever reach: what fills while a connection is down is another test's.
WIDE = {"params": demo_core("BTCUSDT", "spread", "", 1)["params"] | {"half_spread_ticks": 20.0}}
KIND_OF_PATH = {"/public": Conn.MARKET, "/private": Conn.USER, "/ws-fapi": Conn.TRADE}


class Heard(Output):
    """Output that a test reads."""

    def __init__(self) -> None:
        super().__init__(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
        self.lines: list[dict[str, Any]] = []
        self.written = ""

    def emit(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})
        self.written += json.dumps(fields)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def close(self) -> None:
        os.close(self._fd)


class Proxy:
    """Between the engine and the exchange's WebSocket port: cuts connections when told to."""

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("ws://").split(":")
        self._target = (host, int(port))
        self._live: dict[asyncio.Task[None], tuple[Conn, list[asyncio.StreamWriter]]] = {}
        self.refused: set[Conn] = set()
        self.held: set[Conn] = set()  # what the engine sends is kept back until `release`
        self.has_held = False
        self._released = asyncio.Event()
        self.accepted: list[Conn] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        self.release()
        for conn in Conn:
            self.cut(conn)
        await asyncio.gather(*self._live, return_exceptions=True)

    def cut(self, conn: Conn, *, engine_side_only: bool = False) -> None:
        for kind, writers in self._live.values():
            if kind is conn:
                for writer in writers[:1] if engine_side_only else writers:
                    writer.transport.abort()

    def release(self) -> None:
        """What was held goes on to the exchange, even of a connection that is cut by now."""
        self.held.clear()
        self._released.set()

    async def delivered(self, conn: Conn) -> None:
        """Until the exchange has read all of the connections that are cut, and closed them."""
        await asyncio.gather(*(task for task, (kind, _) in self._live.items() if kind is conn))

    async def _pass(self, conn: Conn) -> None:
        if conn in self.held:
            self.has_held = True
            await self._released.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n")
        path = head.split(b" ")[1].decode()
        conn = next(c for root, c in KIND_OF_PATH.items() if path.startswith(root))
        if conn in self.refused:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        up_writer.write(head)
        task = asyncio.current_task()
        assert task is not None
        self._live[task] = (conn, [writer, up_writer])
        self.accepted.append(conn)
        await asyncio.gather(
            _pipe(reader, up_writer, lambda: self._pass(conn)), _pipe(up_reader, writer)
        )
        del self._live[task]


async def _nothing() -> None: ...


async def _pipe(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    held: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            await held()
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class Rig:
    """One engine in this process, one exchange, a proxy between them."""

    def __init__(self, run_dir: Path, server: ExchangeServer, mine: Client, other: Client) -> None:
        self.run_dir = run_dir
        self.server = server
        self.mine = mine  # somebody with the engine's key
        self.other = other
        self.heard: Heard
        self.proxy = Proxy(server.ws_root)

    async def configure(self, **changes: Any) -> None:
        root = await self.proxy.start()
        core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
        # A test machine may stall for longer than any budget that is worth having.
        core["budgets"] = {"tick_to_order_us_max": 30e6, "ack_ms_max": 2_000.0}
        core |= changes.pop("core", {})
        changes.setdefault("ws_url", {"public": root, "private": root, "ws_api": root})
        rest_url = changes.pop("rest_url", self.server.rest_url)
        document = local_engine(
            self.run_dir, [core], rest_url, changes.pop("ws_url"), seed=1, **changes
        )
        self.heard = Heard()
        credentials = {ACCOUNT: (self.key, self.secret)}
        self.session = Session(load(document), credentials, self.heard)

    @property
    def key(self) -> str:
        return self.mine.key.api_key

    @property
    def secret(self) -> str:
        return self.mine.key.secret

    @property
    def listen_key(self) -> str:
        face = self.server.face.face  # under the faults
        return face._user._keys[0].text if face._user._keys else ""

    def expire_listen_keys(self) -> None:
        self.server.act(self.server.face.expire_user_streams(self.server.now_ns()))

    def start(self) -> None:
        self.task = asyncio.create_task(self.session.run())

    async def until(self, is_done: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_done():
                if self.task.done():
                    raise AssertionError(f"the session ended: {self.heard.lines}")
                await asyncio.sleep(0.002)

    async def quoting(self) -> None:
        self.start()
        await self.until(lambda: self.heard.of("quoting"))

    async def quoting_again(self) -> None:
        await self.until(lambda: not self.bits and self.working)

    async def stop(self) -> int:
        self.session.stop()
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.task

    @property
    def instrument(self) -> LiveInstrument:
        return self.session.instruments[0]

    @property
    def numbers(self) -> dict[str, Any]:
        return self.instrument.core.numbers()

    @property
    def bits(self) -> Halt:
        return Halt(self.numbers["halt_bits"])

    @property
    def working(self) -> int:
        return len(self.numbers["own"])

    async def open_orders(self) -> list[dict[str, Any]]:
        status, orders = await self.mine.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
        assert status == 200
        return orders

    async def take(self) -> None:
        """Somebody buys what we offer."""
        fills = self.numbers["fills"]
        while self.numbers["fills"] == fills:
            ask_px = max([own["px_ticks"] for own in self.numbers["own"] if own["side"] == 1],
                         default=0)  # fmt: skip
            if ask_px:
                await self.other.api(
                    "order.place", symbol="BTCUSDT", type="LIMIT", timeInForce="IOC", side="BUY",
                    price=f"{ask_px / 10:.2f}", quantity="30.000",
                )  # fmt: skip
            await self.until(lambda: True)
            await asyncio.sleep(0.01)

    @property
    def account(self) -> LiveAccount:
        return self.session.accounts[0]

    def check_books(self, earlier: int = 0, strangers: int = 0) -> None:
        """The engine believes exactly what happened at the exchange; of it, `earlier` fills are
        of before it was there."""
        every = self.server.face.core.fills_of(0, "BTCUSDT")
        fills = every[earlier:]
        numbers = self.numbers
        assert numbers["fills"] == len(fills)
        assert numbers["position_lots"] == sum(
            fill.qty_lots if fill.side == 0 else -fill.qty_lots for fill in every
        )
        assert numbers["fees_e8"] == sum(fill.fee_e8 for fill in fills)
        assert numbers["strangers"] == strangers
        assert numbers["malformed"] == 0

    def records(self, kind: str) -> list[tuple[int, bytes]]:
        """(arg, payload) of each journal record of a kind."""
        found = []
        for path in sorted((self.run_dir / "journal").glob("*/*.jnl")):
            for record in read_segment(path.read_bytes()):
                if record[1] == KIND[kind]:
                    found.append((record[2], bytes(record[6])))
        return found


@asynccontextmanager
async def rigged(tmp_path: Path, quiet: bool = False, **changes: Any) -> AsyncIterator[Rig]:
    kind = QuietMarket if quiet else AgentMarket
    async with serving([kind(CATALOGUE["BTCUSDT"], 1, clock.wall_ns())]) as (server, mine, other):
        rig = Rig(tmp_path, server, mine, other)
        await rig.configure(**changes)
        try:
            yield rig
        finally:
            if hasattr(rig, "task") and not rig.task.done():
                await rig.stop()
            await rig.proxy.stop()
            rig.heard.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(TEST_S):  # its traceback says what it waited for
            await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())
