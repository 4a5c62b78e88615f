"""Keepers against the local exchange over real sockets, with a plain transport in the place of the
compiled one: what a role and a hot loop say, they say from `websockets` connections."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from exchange_client import Client, serving
from support_exchange import QuietMarket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from engine import clock
from engine.errors import TickmakerError
from engine.exchange.face import Tick
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import fault
from engine.exchange.instruments import CATALOGUE
from engine.exchange.server import ExchangeServer
from engine.gateway.budget import Attempts, Budget
from engine.gateway.handshake import refusal
from engine.gateway.hotrole import Role
from engine.gateway.hotsocket import HotLoop
from engine.gateway.keeper import Keeper
from engine.gateway.link import Link, Patience
from engine.gateway.rest import RestClient
from engine.gateway.transport import Transport
from engine.venues.base import Best, ConnPlan, Said
from engine.venues.binance_usdm import BinanceUsdm
from fastcore.types import Conn

QUICK = Patience(
    silent_s=0.15, doubt_s=0.1, answer_s=0.4, age_share=0.9, drain_s=0.15, turn_s=0.02
)
PATIENCE_S = 8.0


class PlainRole:
    """What Role tells; the sockets are `websockets`' own."""

    def __init__(self, slots: int, kind: Conn = Conn.MARKET) -> None:
        self.slots = slots
        self.kind = kind
        self.live: dict[int, ClientConnection] = {}
        self.heard: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        self.queued: dict[int, int] = {}
        self.numbers = [0]
        self.closes: dict[int, str] = {}
        self.open_min = slots  # fewest open at once since it was set

    @property
    def is_open(self) -> bool:
        return bool(self.live)

    def is_slot_open(self, slot: int) -> bool:
        return slot in self.live

    def close_text(self, slot: int) -> str:
        return self.closes.get(slot, "")

    def last_heard_ns(self, slot: int) -> int:
        return self.heard.get(slot, 0)

    def socket(self, slot: int) -> Any:
        return SimpleNamespace(
            messages=self.counts.get(slot, 0), queued_bytes=self.queued.get(slot, 0)
        )


class PlainTransport:
    """Transport and HotLoop in one."""

    def __init__(self) -> None:
        self.on_closed: Callable[[PlainRole, int], None] = lambda role, slot: None
        self.on_message: Callable[[dict[str, Any]], None] = lambda message: None
        self.tasks: set[asyncio.Task[None]] = set()
        self.connections: list[ClientConnection] = []
        self.dials = 0
        self.said: list[str] = []
        self.pings = 0
        self.wanted: set[int] = set()
        self.snapshots: list[tuple[int, bytes]] = []
        self.is_resubscribe_wanted = False
        self.own: list[dict[str, Any]] = []  # the core's orders

    # -- TRANSPORT

    async def connect(
        self, role: PlainRole, slot: int, plan: ConnPlan, what: str, timeout_s: float
    ) -> None:
        self.dials += 1
        try:
            connection = await connect(
                plan.url, ping_interval=None, open_timeout=timeout_s, close_timeout=0.1, proxy=None
            )
        except InvalidStatus as error:
            raise refusal(what, error.response.status_code) from None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise TickmakerError(f"{what}: {type(error).__name__}") from None
        self.connections.append(connection)
        answers = 0
        for text in plan.texts:
            await connection.send(text)
            said, problem = plan.read(cast(bytes, await connection.recv(decode=False)))
            if said is Said.BAD:
                raise TickmakerError(f"{what}: {problem}")
            answers += said is Said.GOOD
        assert answers == plan.answers
        if slot in role.live:
            self.disconnect(role, slot)
        role.live[slot] = connection
        role.heard[slot] = role.counts[slot] = 0
        self._spawn(self._read(role, slot, connection))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _read(self, role: PlainRole, slot: int, connection: ClientConnection) -> None:
        why = "closed by the venue"
        try:
            async for message in connection:
                role.heard[slot] = clock.monotonic_ns()
                role.counts[slot] += 1
                self.on_message(json.loads(message))
        except ConnectionClosed:
            why = "lost"
        if role.live.get(slot) is connection:
            del role.live[slot]
            role.closes[slot] = why
            role.open_min = min(role.open_min, len(role.live))
            self.on_closed(role, slot)

    def disconnect(self, role: PlainRole, slot: int) -> None:
        connection = role.live.pop(slot, None)
        if connection is not None:
            role.open_min = min(role.open_min, len(role.live))
            connection.transport.abort()

    # -- HOT LOOP

    def ping(self, role: PlainRole, slot: int, payload: bytes = b"") -> bool:
        self.pings += 1
        connection = role.live[slot]

        async def ask() -> None:
            try:
                await (await connection.ping())
            except ConnectionClosed:
                return
            role.heard[slot] = clock.monotonic_ns()

        self._spawn(ask())
        return True

    def say(self, role: PlainRole, slot: int, text: str) -> bool:
        self.said.append(text)
        self._spawn(role.live[slot].send(text))
        return True

    def is_snapshot_wanted(self, number: int) -> bool:
        return number in self.wanted

    def snapshot(self, number: int, body: bytes) -> int:
        self.snapshots.append((number, body))
        return 0

    def core(self, number: int) -> Any:
        return SimpleNamespace(
            resubscribe_wanted=self.is_resubscribe_wanted, numbers=lambda: {"own": self.own}
        )

    async def close(self) -> None:
        for connection in self.connections:
            connection.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Rig:
    """One account of one exchange, its link, and whatever keepers a test makes."""

    def __init__(self, server: ExchangeServer, mine: Client, other: Client) -> None:
        self.server = server
        self.mine = mine
        self.other = other
        self.plain = PlainTransport()
        self.plain.on_closed = self._on_closed
        self.adapter = BinanceUsdm(
            mine.key.api_key, mine.key.secret, rest_url=server.rest_url,
            ws_url=dict.fromkeys(("public", "private", "ws_api"), server.ws_root),
            recv_window_ms=5_000,
        )  # fmt: skip
        self.budget = Budget(self.adapter.weight_per_min)
        self.rest = RestClient(self.adapter, server.rest_url, self.budget, rng=Random(1))
        self.lines: list[dict[str, Any]] = []
        self.faults: list[BaseException] = []
        self.doubts: list[bool] = []
        self.changes = 0
        self.pulls = 0  # asked for by a doubt about TRADE
        self.keepers: list[Keeper] = []
        self.link = Link(
            "main", self.adapter, self.rest, cast(HotLoop, self.plain),
            cast(Transport, self.plain), Attempts(300, 300.0), Random(1), self.emit,
            self.faults.append, QUICK,
        )  # fmt: skip

    def emit(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    def of(self, state: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("state") == state]

    def _on_closed(self, role: PlainRole, slot: int) -> None:
        for keeper in self.keepers:
            if cast(Any, keeper.role) is role:
                keeper.on_closed(slot)

    def _kwargs(self) -> dict[str, Any]:
        def change() -> None:
            self.changes += 1

        return {"on_change": change, "doubt": self.doubts.append}

    def market(self, copies: int = 1, slots: int = 2, **changes: Any) -> Keeper:
        link = self.link._replace(patience=replace(QUICK, **changes))
        keeper = Keeper.market(
            link, cast(Role, PlainRole(slots)), [self.btc], copies=copies, **self._kwargs()
        )
        self.keepers.append(keeper)
        return keeper

    def user(self) -> Keeper:
        keeper = Keeper.user(self.link, cast(Role, PlainRole(2)), **self._kwargs())
        self.keepers.append(keeper)
        return keeper

    def trade(self, **changes: Any) -> Keeper:
        def pull() -> None:
            self.pulls += 1

        link = self.link._replace(patience=replace(QUICK, **changes))
        keeper = Keeper.trade(
            link, cast(Role, PlainRole(2, Conn.TRADE)), **self._kwargs(), on_doubt=pull
        )
        self.keepers.append(keeper)
        return keeper

    def role(self, keeper: Keeper) -> PlainRole:
        return cast(PlainRole, keeper.role)

    async def open(self) -> None:
        await self.rest.open()
        told = await self.rest.call(self.adapter.instruments(["BTCUSDT"], "binance_usdm"))
        self.btc = told["BTCUSDT"]

    def fault(self, kind: str, **fields: Any) -> None:
        """Begin one now."""
        faulty, now_ns = cast(Faulty, self.server.face), self.server.now_ns()
        faulty.start(fault(kind, **fields), now_ns)
        self.server.act(faulty.step(Tick(), now_ns))

    async def until(self, is_done: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_done():
                assert not self.faults, self.faults
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        for keeper in self.keepers:
            await keeper.close()
        await self.plain.close()
        await self.rest.close()

    # -- THE MARKET

    async def place(self, client_id: str) -> None:
        status, answer = await self.mine.signed(
            "POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="LIMIT",
            timeInForce="GTC", quantity="0.010", price="50000.0", newClientOrderId=client_id,
        )  # fmt: skip
        assert status == 200, answer

    async def move(self) -> None:
        """Somebody bids more than anybody: the best bid is another."""
        best = await self.rest.call(self.adapter.best(self.btc))
        px = (best.bid_px_ticks + 1) / 10
        status, _ = await self.other.signed(
            "POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="LIMIT",
            timeInForce="GTC", quantity="0.5", price=f"{px:.1f}",
        )  # fmt: skip
        assert status == 200


class BestBook:
    """What a core would believe of the market, from bookTicker alone."""

    def __init__(self, rig: Rig, is_synced: bool = True) -> None:
        self.rig = rig
        self.is_synced = is_synced  # from the first event on; False: it waits for a snapshot
        self.heard = 0
        self.moved_ns = 0
        self.best = Best(0, 0, 0, 0)
        rig.plain.on_message = self.on_message

    def on_message(self, message: dict[str, Any]) -> None:
        data = message.get("data", message)
        if data.get("e") != "bookTicker":
            return
        btc = self.rig.btc
        self.best = Best(btc.ticks(data["b"]), btc.lots(data["B"]),
                         btc.ticks(data["a"]), btc.lots(data["A"]))  # fmt: skip
        self.heard += 1
        self.moved_ns = clock.monotonic_ns() if self.is_synced else 0


@asynccontextmanager
async def rigged() -> AsyncIterator[Rig]:
    markets = [QuietMarket(CATALOGUE["BTCUSDT"], 1, clock.wall_ns())]
    async with serving(markets) as (server, mine, other):
        rig = Rig(server, mine, other)
        await rig.open()
        try:
            yield rig
        finally:
            await rig.close()
