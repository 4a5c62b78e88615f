"""How a scripted client words its wishes at a venue: signed requests, logons, subscriptions.

For venues that the engine does not trade yet. Only what a client may know goes in here; what it
wants is drawn in client.py.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, NamedTuple, Protocol
from urllib.parse import urlencode

from engine.exchange.instruments import Instrument, Kind
from engine.exchange.keys import Key

MS = 1_000_000
WINDOW_MS = 5_000


class Wish(NamedTuple):
    """`verb`: place, cancel, amend, cancel_all, open_orders or balances. `terms` may be nonsense;
    `stale_ms` makes the time stamp old."""

    verb: str
    instrument: Instrument
    terms: dict[str, str]
    stale_ms: int = 0


class Http(NamedTuple):
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Place:
    """Where a connection goes, and what is said there first."""

    target: str
    greetings: tuple[str, ...]


class Dialect(Protocol):
    def http(self, wish: Wish, key: Key, t_ns: int) -> Http: ...
    def text(self, wish: Wish, key: Key, t_ns: int) -> str:
        """The same on the order-entry connection (place, cancel and amend only)."""

    def market(self, instruments: Iterable[Instrument]) -> Place: ...
    def user(self, key: Key, t_ns: int) -> Place: ...
    def trade(self, key: Key, t_ns: int) -> Place: ...
    def fills_in(self, text: str) -> int:
        """How many fills a message of the user's connection reports."""

    def balances_in(self, body: str) -> dict[str, str]:
        """Totals by asset, of the answer to a `balances` wish."""

    def orders_in(self, body: str) -> int:
        """How many orders the answer to an `open_orders` wish lists."""


def _sign(key: Key, text: str) -> str:
    return hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class BinanceSpot:
    """Parameters in the query, signed as they stand; WebSocket API with sorted parameters."""

    paths: ClassVar = {
        "place": ("POST", "/api/v3/order"),
        "cancel": ("DELETE", "/api/v3/order"),
        "amend": ("PUT", "/api/v3/order/amend/keepPriority"),
        "cancel_all": ("DELETE", "/api/v3/openOrders"),
        "open_orders": ("GET", "/api/v3/openOrders"),
        "balances": ("GET", "/api/v3/account"),
    }
    methods: ClassVar = {
        "place": "order.place", "cancel": "order.cancel", "amend": "order.amend.keepPriority",
    }  # fmt: skip

    def _params(self, wish: Wish, t_ns: int) -> dict[str, str]:
        terms, params = wish.terms, {"symbol": wish.instrument.symbol}
        if wish.verb == "place":
            params |= {"newClientOrderId": terms["id"], "side": terms["side"].upper(),
                       "quantity": terms["qty"]}  # fmt: skip
            kind = terms["kind"]
            params["type"] = {"post": "LIMIT_MAKER", "market": "MARKET"}.get(kind, "LIMIT")
            if kind != "market":
                params["price"] = terms["px"]
            if params["type"] == "LIMIT":
                params["timeInForce"] = terms["tif"]
        elif wish.verb in ("cancel", "amend"):
            params["origClientOrderId"] = terms["id"]
            if wish.verb == "amend":
                params["newQty"] = terms["qty"]
        elif wish.verb == "balances":
            params = {}
        stamp_ms = t_ns // MS - wish.stale_ms
        return {**params, "recvWindow": str(WINDOW_MS), "timestamp": str(stamp_ms)}

    def http(self, wish: Wish, key: Key, t_ns: int) -> Http:
        query = urlencode(self._params(wish, t_ns))
        method, path = self.paths[wish.verb]
        query += f"&signature={_sign(key, query)}"
        return Http(method, path, query, "", {"x-mbx-apikey": key.api_key})

    def text(self, wish: Wish, key: Key, t_ns: int) -> str:
        params = {**self._params(wish, t_ns), "apiKey": key.api_key}
        return self._message(wish.terms["id"], self.methods[wish.verb], params, key)

    def _message(self, name: str, method: str, params: dict[str, str], key: Key) -> str:
        text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        signed = {**params, "signature": _sign(key, text)}
        return json.dumps({"id": name[:36], "method": method, "params": signed})

    def market(self, instruments: Iterable[Instrument]) -> Place:
        names = [instrument.symbol.lower() for instrument in instruments]
        streams = "/".join(f"{name}@depth@100ms/{name}@trade" for name in names)
        return Place(f"/stream?streams={streams}", ())

    def user(self, key: Key, t_ns: int) -> Place:
        params = {"apiKey": key.api_key, "timestamp": str(t_ns // MS)}
        method = "userDataStream.subscribe.signature"
        return Place("/ws-api/v3", (self._message("user", method, params, key),))

    def trade(self, key: Key, t_ns: int) -> Place:
        return Place("/ws-api/v3", ())

    def fills_in(self, text: str) -> int:
        event = json.loads(text).get("event", {})
        return int(event.get("e") == "executionReport" and event.get("x") == "TRADE")

    def balances_in(self, body: str) -> dict[str, str]:
        rows = json.loads(body)["balances"]
        return {row["asset"]: str(Decimal(row["free"]) + Decimal(row["locked"])) for row in rows}

    def orders_in(self, body: str) -> int:
        return len(json.loads(body))


class Bybit:
    """JSON bodies, signature in the headers; order entry and private topics after `auth`."""

    paths: ClassVar = {
        "place": ("POST", "/v5/order/create"),
        "cancel": ("POST", "/v5/order/cancel"),
        "amend": ("POST", "/v5/order/amend"),
        "cancel_all": ("POST", "/v5/order/cancel-all"),
        "open_orders": ("GET", "/v5/order/realtime"),
        "balances": ("GET", "/v5/account/wallet-balance"),
    }
    ops: ClassVar = {"place": "order.create", "cancel": "order.cancel", "amend": "order.amend"}

    def _fields(self, wish: Wish) -> dict[str, str]:
        terms, instrument = wish.terms, wish.instrument
        category = "spot" if instrument.kind is Kind.SPOT else "linear"
        fields = {"category": category, "symbol": instrument.symbol}
        if wish.verb == "place":
            fields |= {"orderLinkId": terms["id"], "side": terms["side"].capitalize(),
                       "qty": terms["qty"]}  # fmt: skip
            kind = terms["kind"]
            fields["orderType"] = "Market" if kind == "market" else "Limit"
            if kind == "market":
                fields["marketUnit"] = "baseCoin"
            else:
                fields |= {"price": terms["px"],
                           "timeInForce": "PostOnly" if kind == "post" else terms["tif"]}
        elif wish.verb in ("cancel", "amend"):
            fields["orderLinkId"] = terms["id"]
            if wish.verb == "amend":
                fields |= {"qty": terms["qty"], "price": terms["px"]}
        elif wish.verb == "balances":
            fields = {"accountType": "UNIFIED"}
        elif wish.verb == "open_orders":
            fields["limit"] = "50"
        return fields

    def http(self, wish: Wish, key: Key, t_ns: int) -> Http:
        method, path = self.paths[wish.verb]
        fields = self._fields(wish)
        payload = urlencode(fields) if method == "GET" else json.dumps(fields)
        stamp = str(t_ns // MS - wish.stale_ms)
        headers = {
            "x-bapi-api-key": key.api_key,
            "x-bapi-timestamp": stamp,
            "x-bapi-recv-window": str(WINDOW_MS),
            "x-bapi-sign": _sign(key, f"{stamp}{key.api_key}{WINDOW_MS}{payload}"),
        }
        query, body = (payload, "") if method == "GET" else ("", payload)
        return Http(method, path, query, body, headers)

    def text(self, wish: Wish, key: Key, t_ns: int) -> str:
        stamp = str(t_ns // MS - wish.stale_ms)
        return json.dumps({
            "reqId": wish.terms["id"][:36], "op": self.ops[wish.verb],
            "header": {"X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": str(WINDOW_MS)},
            "args": [self._fields(wish)],
        })  # fmt: skip

    def market(self, instruments: Iterable[Instrument]) -> Place:
        names = [one.symbol for one in instruments if one.kind is Kind.LINEAR]
        topics = [f"{topic}.{name}" for name in names for topic in ("orderbook.50", "publicTrade")]
        return Place("/v5/public/linear", (json.dumps({"op": "subscribe", "args": topics}),))

    def _auth(self, key: Key, t_ns: int) -> str:
        expires = t_ns // MS + 10_000
        arguments = [key.api_key, expires, _sign(key, f"GET/realtime{expires}")]
        return json.dumps({"op": "auth", "args": arguments})

    def user(self, key: Key, t_ns: int) -> Place:
        topics = ["order", "execution", "position", "wallet"]
        subscribe = json.dumps({"op": "subscribe", "args": topics})
        return Place("/v5/private", (self._auth(key, t_ns), subscribe))

    def trade(self, key: Key, t_ns: int) -> Place:
        return Place("/v5/trade", (self._auth(key, t_ns),))

    def fills_in(self, text: str) -> int:
        message = json.loads(text)
        if message.get("topic") != "execution":
            return 0
        return sum(row.get("execType", "Trade") == "Trade" for row in message["data"])

    def balances_in(self, body: str) -> dict[str, str]:
        coins = json.loads(body)["result"]["list"][0]["coin"]
        return {coin["coin"]: coin["walletBalance"] for coin in coins}

    def orders_in(self, body: str) -> int:
        return len(json.loads(body)["result"]["list"])


def dialect_of(venue: str) -> Dialect:
    return Bybit() if venue == "bybit" else BinanceSpot()
