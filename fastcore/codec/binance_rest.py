"""Signed REST requests that Binance's WebSocket APIs do not have: batches, USD-M's cancel-all.

    POST   /fapi/v1/batchOrders     five orders at most; each is taken or refused by itself
    DELETE /fapi/v1/batchOrders     ten client order ids at most
    DELETE /fapi/v1/allOpenOrders   of the symbol; spot: /api/v3/openOrders

Cold: a request is (method, path, signed query), for a caller who holds the API key and sends it as
`X-MBX-APIKEY`. What is signed is the query as it goes out, percent-encoded; the signature comes
last. A query may be sent again by whoever reads it while recvWindow lasts: it is a secret.

Sources: developers.binance.com, usds-margined-futures, REST API (Place Multiple Orders, Cancel
Multiple Orders, Cancel All Open Orders, general info: SIGNED); binance-spot-api-docs, rest-api.md.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from fastcore import fixed
from fastcore.sha256 import Hmac
from fastcore.types import OrderFlag, Side

ORDERS_PER_BATCH_MAX = 5
CANCELS_PER_BATCH_MAX = 10
INTENT_MAX = 2**48 - 1
RECV_WINDOW_MS_MAX = 60_000
PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


class RestOrder(NamedTuple):
    """One order of a batch: as Encoder.place takes it."""

    intent_id: int
    side: Side
    px_ticks: int
    qty_lots: int
    flags: int = 0


class RestRequest(NamedTuple):
    """What to send; `query` goes behind the path, or in a form body."""

    method: str
    path: str
    query: str


def percent_encode(text: str) -> str:
    """RFC 3986: all but its unreserved characters."""
    return "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in text.encode())


def sign_query(hmac: Hmac, query: str) -> str:
    """The query with its signature, which goes last."""
    return f"{query}&signature={hmac.hexdigest(query.encode()).decode()}"


class RestEncoder:
    """REST requests of one instrument, for one key. ValueError: an argument that none may have."""

    def __init__(
        self,
        symbol: str,
        tick: str,
        lot: str,
        client_prefix: str,
        secret: bytes,
        recv_window_ms: int,
        venue: str = "binance_usdm",
    ) -> None:
        if venue not in ("binance_usdm", "binance_spot"):
            raise ValueError(f"venue must be 'binance_usdm' or 'binance_spot', not {venue!r}")
        if not secret:
            raise ValueError("secret must be at least 1 byte: REST requests are always signed")
        if not 0 < recv_window_ms <= RECV_WINDOW_MS_MAX:
            raise ValueError(
                f"recv_window_ms must be 1 to {RECV_WINDOW_MS_MAX}, not {recv_window_ms}"
            )
        fixed.scale(tick)
        fixed.scale(lot)
        self._symbol, self._tick, self._lot = symbol, tick, lot
        self._prefix, self._recv_window_ms, self._venue = client_prefix, recv_window_ms, venue
        self._hmac = Hmac(secret)

    def batch_place(self, orders: Sequence[RestOrder], utc_ms: int) -> RestRequest:
        """Up to five limit orders in one request (USD-M). Each has its own answer."""
        self._check_usdm("batchOrders")
        _check_count("orders", len(orders), ORDERS_PER_BATCH_MAX)
        batch = json.dumps([self._order(order) for order in orders], separators=(",", ":"))
        return self._request("POST", "/fapi/v1/batchOrders", {"batchOrders": batch}, utc_ms)

    def batch_cancel(self, intent_ids: Sequence[int], utc_ms: int) -> RestRequest:
        """Up to ten orders by their intents (USD-M)."""
        self._check_usdm("batchOrders")
        _check_count("intent_ids", len(intent_ids), CANCELS_PER_BATCH_MAX)
        names = json.dumps([self._client_id(i) for i in intent_ids], separators=(",", ":"))
        params = {"symbol": self._symbol, "origClientOrderIdList": names}
        return self._request("DELETE", "/fapi/v1/batchOrders", params, utc_ms)

    def cancel_all(self, utc_ms: int) -> RestRequest:
        """Every open order of the symbol, ours or not. Conditional orders of USD-M stay."""
        is_spot = self._venue == "binance_spot"
        path = "/api/v3/openOrders" if is_spot else "/fapi/v1/allOpenOrders"
        return self._request("DELETE", path, {"symbol": self._symbol}, utc_ms)

    def __repr__(self) -> str:
        return f"<RestEncoder {self._symbol}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RestEncoder holds a secret: it cannot be pickled or copied")

    def _check_usdm(self, what: str) -> None:
        if self._venue != "binance_usdm":
            raise ValueError(f"{what} is USD-M's: {self._venue} has no such request")

    def _client_id(self, intent_id: int) -> str:
        if not 0 <= intent_id <= INTENT_MAX:
            raise ValueError(f"intent_id must be 0 to {INTENT_MAX}, not {intent_id}")
        return f"{self._prefix}{intent_id:012x}"

    def _order(self, order: RestOrder) -> dict[str, str]:
        if order.px_ticks <= 0 or order.qty_lots <= 0:
            raise ValueError(f"px_ticks and qty_lots must be above 0, not {order}")
        tif = "GTX" if order.flags & OrderFlag.POST_ONLY else "GTC"
        if tif == "GTC" and order.flags & OrderFlag.IOC:
            tif = "IOC"
        wanted = {
            "symbol": self._symbol,
            "side": Side(order.side).name,
            "type": "LIMIT",
            "timeInForce": tif,
            "quantity": fixed.format(order.qty_lots, self._lot).decode(),
            "price": fixed.format(order.px_ticks, self._tick).decode(),
            "newClientOrderId": self._client_id(order.intent_id),
        }
        if order.flags & OrderFlag.REDUCE_ONLY:
            wanted["reduceOnly"] = "true"
        return wanted

    def _request(self, method: str, path: str, params: dict[str, str], utc_ms: int) -> RestRequest:
        if utc_ms < 0:
            raise ValueError(f"utc_ms must be 0 or more, not {utc_ms}")
        timed = {**params, "recvWindow": self._recv_window_ms, "timestamp": utc_ms}
        query = "&".join(f"{name}={percent_encode(str(value))}" for name, value in timed.items())
        return RestRequest(method, path, sign_query(self._hmac, query))


def _check_count(what: str, count: int, most: int) -> None:
    if not 0 < count <= most:
        raise ValueError(f"{what} must be 1 to {most}, not {count}")
