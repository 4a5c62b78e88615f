"""Bybit v5 REST requests, signed: what the trade connection can't do, and a fallback for it.

    POST /v5/order/cancel-all
    X-BAPI-API-KEY: <key>
    X-BAPI-TIMESTAMP: 1723161256313
    X-BAPI-RECV-WINDOW: 5000
    X-BAPI-SIGN: <64 hexadecimal digits>

    {"category":"linear","symbol":"BTCUSDT"}

What is signed is timestamp + key + receive window + (GET: the query as sent; POST: the body as
sent), by HMAC-SHA-256. Cold: plain Python, nothing is sent from here. Business errors come with
status 200 and a retCode, as on the trade connection.
Source: bybit-exchange.github.io/docs/v5, integration guidance (authentication); order: create,
cancel-all, realtime.
"""

import json
from dataclasses import dataclass, field

from fastcore import fixed
from fastcore.sha256 import Hmac
from fastcore.types import OrderFlag, Side

RECV_WINDOW_MS_MAX = 60_000
PAGE_MAX = 50  # orders a page of a query
INTENT_LIMIT = 1 << 48


@dataclass(frozen=True)
class RestRequest:
    """What to send: `path` is with its query. The headers hold the key: not to be logged."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes


class BybitRest:
    """Requests of one instrument, for one key; arguments as BybitEncoder's."""

    def __init__(
        self,
        symbol: str,
        tick: str,
        lot: str,
        client_prefix: str,
        api_key: bytes,
        secret: bytes,
        recv_window_ms: int,
        category: str = "linear",
    ) -> None:
        if category not in ("linear", "spot"):
            raise ValueError(f"category must be 'linear' or 'spot', not {category!r}")
        if not 0 < recv_window_ms <= RECV_WINDOW_MS_MAX:
            raise ValueError(
                f"recv_window_ms must be 1 to {RECV_WINDOW_MS_MAX}, not {recv_window_ms}"
            )
        if not api_key or not secret:
            raise ValueError("api_key and secret must not be empty")
        fixed.scale(tick)
        fixed.scale(lot)
        self._symbol, self._tick, self._lot, self._category = symbol, tick, lot, category
        self._prefix, self._window = client_prefix, str(recv_window_ms)
        self._api_key = api_key.decode("ascii")
        self._hmac = Hmac(secret)

    def cancel_all(self, utc_ms: int) -> RestRequest:
        """Cancel every open order of the symbol (linear: at most 500 a call)."""
        return self._post("/v5/order/cancel-all", {}, utc_ms)

    def open_orders(self, utc_ms: int, cursor: str = "") -> RestRequest:
        """A page of the open orders; `cursor` as the last page gave it, already escaped."""
        query = f"category={self._category}&symbol={self._symbol}&openOnly=0&limit={PAGE_MAX}"
        return self._get(
            "/v5/order/realtime", query + (f"&cursor={cursor}" if cursor else ""), utc_ms
        )

    def status(self, utc_ms: int, intent_id: int) -> RestRequest:
        """One order, open or recently closed, by the intent that it was placed with."""
        client_id = self._client_id(intent_id)
        query = f"category={self._category}&symbol={self._symbol}&orderLinkId={client_id}"
        return self._get("/v5/order/realtime", query, utc_ms)

    def place(
        self, utc_ms: int, intent_id: int, side: int, px_ticks: int, qty_lots: int, flags: int
    ) -> RestRequest:
        """A limit order: PostOnly, IOC or, without either flag, GTC."""
        if px_ticks <= 0 or qty_lots <= 0 or side not in (Side.BUY, Side.SELL):
            raise ValueError("side, px_ticks or qty_lots is out of range")
        tif = "PostOnly" if flags & OrderFlag.POST_ONLY else "GTC"
        if tif == "GTC" and flags & OrderFlag.IOC:
            tif = "IOC"
        order: dict[str, object] = {
            "orderLinkId": self._client_id(intent_id),
            "side": "Buy" if side == Side.BUY else "Sell",
            "orderType": "Limit",
            "qty": fixed.format(qty_lots, self._lot).decode(),
            "price": fixed.format(px_ticks, self._tick).decode(),
            "timeInForce": tif,
        }
        if flags & OrderFlag.REDUCE_ONLY:
            if self._category != "linear":
                raise ValueError("spot knows no reduce-only order")
            order["reduceOnly"] = True
        return self._post("/v5/order/create", order, utc_ms)

    def cancel(self, utc_ms: int, intent_id: int) -> RestRequest:
        """One order, by the intent that it was placed with."""
        return self._post("/v5/order/cancel", {"orderLinkId": self._client_id(intent_id)}, utc_ms)

    def _client_id(self, intent_id: int) -> str:
        if not 0 <= intent_id < INTENT_LIMIT:
            raise ValueError(f"intent_id must be 0 to {INTENT_LIMIT - 1}, not {intent_id}")
        return f"{self._prefix}{intent_id:012x}"

    def _post(self, path: str, fields: dict[str, object], utc_ms: int) -> RestRequest:
        named = {"category": self._category, "symbol": self._symbol, **fields}
        body = json.dumps(named, separators=(",", ":")).encode()
        headers = self._headers(utc_ms, body)
        return RestRequest("POST", path, {**headers, "Content-Type": "application/json"}, body)

    def _get(self, path: str, query: str, utc_ms: int) -> RestRequest:
        return RestRequest("GET", f"{path}?{query}", self._headers(utc_ms, query.encode()), b"")

    def _headers(self, utc_ms: int, payload: bytes) -> dict[str, str]:
        text = f"{utc_ms}{self._api_key}{self._window}".encode() + payload
        return {
            "X-BAPI-API-KEY": self._api_key,
            "X-BAPI-TIMESTAMP": str(utc_ms),
            "X-BAPI-RECV-WINDOW": self._window,
            "X-BAPI-SIGN": self._hmac.hexdigest(text).decode(),
        }

    def __repr__(self) -> str:
        return f"<BybitRest {self._symbol}>"

    def __reduce__(self) -> str:
        raise TypeError("a BybitRest holds a key: it cannot be pickled or copied")
