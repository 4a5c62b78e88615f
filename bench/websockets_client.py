"""The client that a user would write: `websockets` on asyncio, orjson, hmac.

    python -m bench.websockets_client PORT CPU

Receives each market message, parses it, and when the touch moved computes a quote and sends it as
a signed order.place. No book, no checks, no journal, answers neither asked for nor read. It is
written plainly, but not clumsily: orjson, a pre-keyed HMAC, no logging.

Standard output: "ready" when both connections are up, one line of JSON at the end.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

API_KEY = "bench0000000000000000000000000000000000000000000000000000000key0"
KEYED = hmac.new(b"bench-has-no-secret", digestmod=hashlib.sha256)
TICK = 0.1


class Quoter:
    """One side of a market, quoted at a fair value plus half a spread."""

    def __init__(self, trade: ClientConnection) -> None:
        self._trade = trade
        self._bid = self._ask = 0.0
        self.orders = 0

    async def on_message(self, text: str | bytes) -> None:
        data = orjson.loads(text)["data"]
        if data["e"] != "bookTicker":
            return
        bid, ask = float(data["b"]), float(data["a"])
        if bid == self._bid and ask == self._ask:
            return
        self._bid, self._ask = bid, ask
        bid_qty, ask_qty = float(data["B"]), float(data["A"])
        fair = (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)
        price = max(round((fair + 0.5 * TICK) / TICK) * TICK, bid + TICK)
        await self._trade.send(self._order(price), text=True)

    def _order(self, price: float) -> bytes:
        self.orders += 1
        params: dict[str, Any] = {
            "apiKey": API_KEY,
            "newClientOrderId": f"user-{self.orders:012d}",
            "price": f"{price:.2f}",
            "quantity": "0.010",
            "recvWindow": 1000,
            "side": "SELL",
            "symbol": "BTCUSDT",
            "timeInForce": "GTX",
            "timestamp": int(time.time() * 1000),
            "type": "LIMIT",
        }
        signer = KEYED.copy()
        signer.update("&".join(f"{key}={params[key]}" for key in sorted(params)).encode())
        params["signature"] = signer.hexdigest()
        return orjson.dumps({"id": str(self.orders), "method": "order.place", "params": params})


async def main(port: int) -> None:
    base = f"ws://127.0.0.1:{port}"
    async with (
        connect(f"{base}/public/stream?streams=btcusdt@bookTicker") as market,
        connect(f"{base}/ws-fapi/v1") as trade,
    ):
        quoter = Quoter(trade)
        print("ready", flush=True)
        try:
            async for text in market:
                await quoter.on_message(text)
        except ConnectionClosed:  # the exchange's end hangs up when it has what it wants
            pass
    print(json.dumps({"orders": quoter.orders}), flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    asyncio.run(main(int(sys.argv[1])))
