"""Somebody else with a key of the same account: a few signed requests, nothing of the engine's."""

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from field import Exchange

ORDER = {"binance_usdm": "/fapi/v1/order", "binance_spot": "/api/v3/order"}
PERCENT = 100


class Stranger:
    """Trades BTCUSDT with the account's second key, 0.01 at a time."""

    def __init__(self, exchange: Exchange, account: int = 0) -> None:
        self._exchange = exchange
        self._keys = exchange.ready["accounts"][account]["keys"][1]
        self._count = 0

    def rest(self, side: str = "BUY", name: str = "") -> str:
        """An order far from the market; its client id."""
        off = -3 if side == "BUY" else 3
        return self._place(side, self._px(off), "GTC", name)

    def take(self, side: str = "BUY") -> str:
        """One that trades at once."""
        return self._place(side, self._px(1 if side == "BUY" else -1), "IOC", "")

    def _px(self, percent: int) -> str:
        touch = self._exchange.admin(f"/book?symbol={self._exchange.place.book}&limit=1")
        px = float(touch["bids"][0][0]) * (PERCENT + percent) / PERCENT
        return f"{px:.1f}"

    def _place(self, side: str, px: str, tif: str, name: str) -> str:
        self._count += 1
        name = name or f"by-hand-{self._count}"
        if self._exchange.place.is_bybit:
            self._bybit({
                "category": "linear", "symbol": "BTCUSDT", "side": side.capitalize(),
                "orderType": "Limit", "qty": "0.01", "price": px, "timeInForce": tif,
                "orderLinkId": name,
            })  # fmt: skip
        else:
            self._binance({
                "symbol": "BTCUSDT", "side": side, "type": "LIMIT", "quantity": "0.01",
                "price": px, "timeInForce": tif, "newClientOrderId": name,
            })  # fmt: skip
        return name

    def _binance(self, params: dict[str, str]) -> None:
        query = urlencode({**params, "timestamp": str(time.time_ns() // 1_000_000)})
        target = f"{ORDER[self._exchange.place.venue]}?{query}&signature={self._sign(query)}"
        self._send(target, None, {"X-MBX-APIKEY": self._keys["api_key"]})

    def _bybit(self, params: dict[str, str]) -> None:
        body, stamp = json.dumps(params), str(time.time_ns() // 1_000_000)
        headers = {
            "X-BAPI-API-KEY": self._keys["api_key"], "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000", "Content-Type": "application/json",
            "X-BAPI-SIGN": self._sign(f"{stamp}{self._keys['api_key']}5000{body}"),
        }  # fmt: skip
        answer = self._send("/v5/order/create", body.encode(), headers)
        assert answer["retCode"] == 0, answer

    def _sign(self, text: str) -> str:
        return hmac.digest(self._keys["secret"].encode(), text.encode(), hashlib.sha256).hex()

    def _send(self, target: str, body: bytes | None, headers: dict[str, str]) -> Any:
        url = self._exchange.ready["rest_url"] + target
        request = urllib.request.Request(url, body or b"", headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10.0) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from None
