"""Request faults over real sockets, on every venue: was it done, and what did the client see?"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import uvloop
from support_exchange import LINEAR, quiet_core
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from yarl import URL

from engine import clock
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import fault
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import VENUES, make_face

SILENCE_S = 0.1  # how long nothing is listened to
PATIENCE_S = 10.0
RESET = "reset"
SILENT = "silent"
PRICE = "59000.00"
# Fields, was it done; what a client of Binance and of Bybit sees: by REST, on a trade connection.
CASES: dict[str, tuple[dict[str, Any], bool, object, object, object, object]] = {
    "ack_lost": ({}, True, RESET, RESET, SILENT, SILENT),
    "error_after_effect": ({}, True, (502, None), (502, None), (503, -1001), 10016),
    "unknown": ({"effect": True}, True, (503, -1007), (200, 10000), (503, -1007), 10000),
    "timeout": ({"effect": True}, True, SILENT, SILENT, SILENT, SILENT),
    "late": ({"effect": True, "late": "50ms"}, True, (200, None), (200, 0), (200, None), 0),
    "lost": ({}, False, SILENT, SILENT, SILENT, SILENT),
    "unavailable": ({}, False, (503, -1001), (503, None), (503, -1001), 10019),
    "throttled": ({"for_": "60s"}, False, (429, -1003), (200, 10006), (429, -1003), 10429),
    "banned": ({"for_": "60s"}, False, (418, -1003), (403, None), (418, -1003), 10403),
}
KIND = {"late": "timeout", "lost": "timeout"}


class Trader:
    """Sends one order, by REST or over a trade connection."""

    def __init__(self, venue: str, server: ExchangeServer, http: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.server = server
        self.http = http
        face = server.face
        assert isinstance(face, Faulty)
        self.faulty = face
        self.key = face.core.keys[0].keys[0]
        self.ws: ClientConnection | None = None

    @property
    def orders(self) -> int:
        symbol = LINEAR if self.venue == "bybit" else "BTCUSDT"
        return len(self.faulty.core.orders_of(0, symbol))

    def signature(self, text: str) -> str:
        return hmac.new(self.key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def order(self) -> dict[str, Any]:
        if self.venue == "bybit":
            return {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.010",
                    "orderType": "Limit", "price": PRICE}  # fmt: skip
        return {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
                "quantity": "0.010", "price": PRICE, "timestamp": _now_ms()}  # fmt: skip

    async def rest(self, patience_s: float) -> object:
        """(status, code) or how it failed."""
        if self.venue == "bybit":
            body, stamp = json.dumps(self.order()), str(_now_ms())
            headers = {
                "X-BAPI-API-KEY": self.key.api_key,
                "X-BAPI-TIMESTAMP": stamp,
                "X-BAPI-RECV-WINDOW": "5000",
                "X-BAPI-SIGN": self.signature(f"{stamp}{self.key.api_key}5000{body}"),
            }
            return await self._ask("/v5/order/create", body, headers, patience_s)
        query = urlencode(self.order())
        query += f"&signature={self.signature(query)}"
        path = "/fapi/v1/order" if self.venue == "binance_usdm" else "/api/v3/order"
        headers = {"X-MBX-APIKEY": self.key.api_key}
        return await self._ask(f"{path}?{query}", "", headers, patience_s)

    async def _ask(
        self, target: str, body: str, headers: dict[str, str], patience_s: float
    ) -> object:
        url = URL(self.server.rest_url + target, encoded=True)
        try:
            async with asyncio.timeout(patience_s), self.http.post(
                url, data=body, headers=headers
            ) as answer:
                text = await answer.text()
        except aiohttp.ClientConnectionError:
            return RESET
        except TimeoutError:
            return SILENT
        document = json.loads(text) if text.startswith("{") else {}
        return answer.status, document.get("retCode", document.get("code"))

    async def log_on(self) -> None:
        urls = self.server.ws_url
        self.ws = await connect(urls["trade" if self.venue == "bybit" else "ws_api"])
        if self.venue == "bybit":
            expires = _now_ms() + 10_000
            args = [self.key.api_key, expires, self.signature(f"GET/realtime{expires}")]
            await self.ws.send(json.dumps({"op": "auth", "args": args}))
            assert json.loads(await self.ws.recv())["retCode"] == 0

    async def api(self, patience_s: float) -> object:
        """Bybit's retCode, Binance's (status, code), or silence."""
        assert self.ws is not None
        order = self.order()
        if self.venue == "bybit":
            header = {"X-BAPI-TIMESTAMP": str(_now_ms())}
            message = {"op": "order.create", "reqId": "7", "header": header, "args": [order]}
        else:
            order["apiKey"] = self.key.api_key
            text = "&".join(f"{name}={order[name]}" for name in sorted(order))
            order["signature"] = self.signature(text)
            message = {"id": "7", "method": "order.place", "params": order}
        await self.ws.send(json.dumps(message))
        try:
            async with asyncio.timeout(patience_s):
                reply = json.loads(await self.ws.recv())
        except TimeoutError:
            return SILENT
        if self.venue == "bybit":
            return reply["retCode"]
        return reply["status"], reply.get("error", {}).get("code")


def _patience_s(expected: object) -> float:
    return SILENCE_S if expected == SILENT else PATIENCE_S


def _now_ms() -> int:
    return clock.wall_ns() // 1_000_000


@asynccontextmanager
async def trading(venue: str) -> AsyncIterator[Trader]:
    keys = ("linear/BTCUSDT", "spot/BTCUSDT") if venue == "bybit" else ("BTCUSDT",)
    server = ExchangeServer(Faulty(make_face(venue, quiet_core(venue=venue, keys=keys))))
    await server.start()
    async with aiohttp.ClientSession() as http:
        trader = Trader(venue, server, http)
        try:
            await trader.log_on()
            yield trader
        finally:
            if trader.ws is not None:
                await trader.ws.close()
            await server.stop()


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("case", CASES)
def test_the_effect_is_as_told_and_the_client_sees_what_the_venue_would_say(
    venue: str, case: str
) -> None:
    fields, is_done, rest, bybit_rest, api, bybit_api = CASES[case]
    if venue == "bybit":
        rest, api = bybit_rest, bybit_api

    async def body() -> None:
        async with trading(venue) as trader:
            faulty = trader.faulty
            faulty.start(fault(KIND.get(case, case), **fields), trader.server.now_ns())
            assert await trader.rest(_patience_s(rest)) == rest
            assert trader.orders == is_done
            assert await trader.api(_patience_s(api)) == api
            assert trader.orders == 2 * is_done
            assert faulty.hits.total() == 2
            if case == "banned":
                with pytest.raises(InvalidStatus) as refused:
                    await trader.log_on()
                assert refused.value.response.status_code == (403 if venue == "bybit" else 418)
            assert trader.server.counters.bugs == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())
