"""A small client for the local exchange's own tests, and the venue's sync rule in dicts.

It signs with hmac and speaks through aiohttp and websockets: nothing of the engine's.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from support_exchange import QuietMarket
from websockets.asyncio.client import ClientConnection, connect

from engine import clock
from engine.exchange.binance.usdm import BinanceUsdm
from engine.exchange.core import Core
from engine.exchange.events import Market
from engine.exchange.faults import Faulty
from engine.exchange.instruments import CATALOGUE
from engine.exchange.keys import Key
from engine.exchange.server import ExchangeServer

BTC = CATALOGUE["BTCUSDT"].instrument
ALL_STREAMS = "btcusdt@depth@0ms/btcusdt@bookTicker/btcusdt@trade"


def digest(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def utc_ms() -> int:
    return clock.wall_ns() // 1_000_000


class Client:
    """One key on one server."""

    def __init__(self, server: ExchangeServer, key: Key, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.key = key
        self.http = http
        self._api: ClientConnection | None = None

    async def rest(self, method: str, path: str, **params: Any) -> tuple[int, Any]:
        return await self.raw(method, path + ("?" + urlencode(params) if params else ""))

    async def signed(self, method: str, path: str, **params: Any) -> tuple[int, Any]:
        query = urlencode({**params, "timestamp": params.get("timestamp", utc_ms())})
        return await self.raw(method, f"{path}?{query}&signature={digest(self.key.secret, query)}")

    async def raw(self, method: str, target: str, data: str | None = None) -> tuple[int, Any]:
        headers = {"X-MBX-APIKEY": self.key.api_key}
        if data is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = self.server.rest_url + target
        async with self.http.request(method, url, headers=headers, data=data) as response:
            return response.status, await response.json()

    async def api(self, method: str, **params: Any) -> dict[str, Any]:
        """One signed WebSocket API call."""
        params = {"apiKey": self.key.api_key, "timestamp": utc_ms(), **params}
        text = "&".join(f"{key}={params[key]}" for key in sorted(params))
        params["signature"] = digest(self.key.secret, text)
        return await self.api_raw(json.dumps({"id": "r1", "method": method, "params": params}))

    async def api_raw(self, text: str) -> dict[str, Any]:
        if self._api is None:
            self._api = await connect(self.server.ws_url["ws_api"])
        await self._api.send(text)
        reply: dict[str, Any] = json.loads(await self._api.recv())
        return reply

    async def private(self) -> ClientConnection:
        _, body = await self.rest("POST", "/fapi/v1/listenKey")
        return await connect(f"{self.server.ws_url['private']}/ws?listenKey={body['listenKey']}")

    async def public(self, streams: str = ALL_STREAMS) -> ClientConnection:
        return await connect(f"{self.server.ws_url['public']}/stream?streams={streams}")

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()


@asynccontextmanager
async def serving(
    markets: Iterable[Market] | None = None, seed: int = 1, realtime_depth_ms: int = 0
) -> AsyncIterator[tuple[ExchangeServer, Client, Client]]:
    """A server on free ports and a client of each account."""
    if markets is None:
        markets = [QuietMarket(CATALOGUE["BTCUSDT"], seed, clock.wall_ns())]
    core = Core(markets, seed)
    server = ExchangeServer(Faulty(BinanceUsdm(core, realtime_depth_ms=realtime_depth_ms)))
    await server.start()
    async with aiohttp.ClientSession() as http:
        clients = [Client(server, keys.keys[0], http) for keys in core.keys]
        try:
            yield server, clients[0], clients[1]
        finally:
            for client in clients:
                await client.close()
            await server.stop()


async def events_until(
    connection: ClientConnection, kind: str, count: int = 1
) -> list[dict[str, Any]]:
    """Frames up to the `count`-th of `kind`; a hang fails after 5 s."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while sum(event.get("e") == kind for event in events) < count:
            document = json.loads(await connection.recv())
            events.append(document.get("data", document))
    return events


class PlainBook:
    """The venue's USD-M sync rule over dicts of decimal text."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id: int = snapshot["lastUpdateId"]
        self.bids = dict(snapshot["bids"])
        self.asks = dict(snapshot["asks"])
        self._is_anchored = False

    def apply(self, diff: dict[str, Any]) -> bool:
        """False: older than the snapshot. AssertionError: the chain is broken."""
        if diff["u"] < self.last_id:
            return False
        joins = diff["pu"] == self.last_id
        if not self._is_anchored:
            joins = joins or diff["U"] <= self.last_id <= diff["u"]
        assert joins, f"gap: {diff['U']}..{diff['u']} pu {diff['pu']} after {self.last_id}"
        self._is_anchored = True
        self.last_id = diff["u"]
        for side, levels in ((self.bids, diff["b"]), (self.asks, diff["a"])):
            for px, qty in levels:
                if float(qty):
                    side[px] = qty
                else:
                    side.pop(px, None)
        return True

    def sorted_levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = sorted(self.bids.items(), key=lambda level: -float(level[0]))
        return bids, sorted(self.asks.items(), key=lambda level: float(level[0]))

    def touch(self) -> tuple[str, str, str, str]:
        bids, asks = self.sorted_levels()
        return (*bids[0], *asks[0])
