"""How a trader by hand words his wishes at a venue: signed REST requests, as ccxt sends them.

Only what any client may know goes in here; what he wants is drawn in hand.py.
"""

import hashlib
import hmac
import json
from typing import ClassVar, NamedTuple, Protocol
from urllib.parse import urlencode

from engine.exchange.instruments import Instrument, Kind
from engine.exchange.keys import Key

MS = 1_000_000
WINDOW_MS = 5_000


class Wish(NamedTuple):
    """`verb`: place, cancel or cancel_all. `terms` of a place: id, side, qty, px, kind (limit,
    post or market); of a cancel: id."""

    verb: str
    instrument: Instrument
    terms: dict[str, str]


class Http(NamedTuple):
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]


class Dialect(Protocol):
    def http(self, wish: Wish, key: Key, t_ns: int) -> Http: ...


def _sign(key: Key, text: str) -> str:
    return hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Binance:
    """Parameters in the query, signed as they stand."""

    spot: ClassVar = {
        "place": ("POST", "/api/v3/order"),
        "cancel": ("DELETE", "/api/v3/order"),
        "cancel_all": ("DELETE", "/api/v3/openOrders"),
    }
    usdm: ClassVar = {
        "place": ("POST", "/fapi/v1/order"),
        "cancel": ("DELETE", "/fapi/v1/order"),
        "cancel_all": ("DELETE", "/fapi/v1/allOpenOrders"),
    }

    def _params(self, wish: Wish) -> dict[str, str]:
        terms, params = wish.terms, {"symbol": wish.instrument.symbol}
        is_spot = wish.instrument.kind is Kind.SPOT
        if wish.verb == "cancel":
            return params | {"origClientOrderId": terms["id"]}
        if wish.verb == "cancel_all":
            return params
        params |= {
            "newClientOrderId": terms["id"], "side": terms["side"], "quantity": terms["qty"],
        }
        if terms["kind"] == "market":
            return params | {"type": "MARKET"}
        params["price"] = terms["px"]
        if terms["kind"] == "post" and is_spot:
            return params | {"type": "LIMIT_MAKER"}
        tif = "GTX" if terms["kind"] == "post" else "GTC"
        return params | {"type": "LIMIT", "timeInForce": tif}

    def http(self, wish: Wish, key: Key, t_ns: int) -> Http:
        params = self._params(wish)
        query = urlencode(params | {"recvWindow": str(WINDOW_MS), "timestamp": str(t_ns // MS)})
        paths = self.spot if wish.instrument.kind is Kind.SPOT else self.usdm
        method, path = paths[wish.verb]
        query += f"&signature={_sign(key, query)}"
        return Http(method, path, query, "", {"x-mbx-apikey": key.api_key})


class Bybit:
    """JSON bodies, signature in the headers."""

    paths: ClassVar = {
        "place": "/v5/order/create", "cancel": "/v5/order/cancel",
        "cancel_all": "/v5/order/cancel-all",
    }  # fmt: skip

    def _fields(self, wish: Wish) -> dict[str, str]:
        terms, instrument = wish.terms, wish.instrument
        category = "spot" if instrument.kind is Kind.SPOT else "linear"
        fields = {"category": category, "symbol": instrument.symbol}
        if wish.verb == "cancel_all":
            return fields
        fields["orderLinkId"] = terms["id"]
        if wish.verb == "cancel":
            return fields
        fields |= {"side": terms["side"].capitalize(), "qty": terms["qty"]}
        if terms["kind"] == "market":
            return fields | {"orderType": "Market", "marketUnit": "baseCoin"}
        tif = "PostOnly" if terms["kind"] == "post" else "GTC"
        return fields | {"orderType": "Limit", "price": terms["px"], "timeInForce": tif}

    def http(self, wish: Wish, key: Key, t_ns: int) -> Http:
        body, stamp = json.dumps(self._fields(wish)), str(t_ns // MS)
        headers = {
            "x-bapi-api-key": key.api_key,
            "x-bapi-timestamp": stamp,
            "x-bapi-recv-window": str(WINDOW_MS),
            "x-bapi-sign": _sign(key, f"{stamp}{key.api_key}{WINDOW_MS}{body}"),
        }
        return Http("POST", self.paths[wish.verb], "", body, headers)


def dialect_of(venue: str) -> Dialect:
    return Bybit() if venue == "bybit" else Binance()
