"""A client of the Bybit face for its tests: signs with hmac, speaks through `Face.step` only."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from engine.exchange.book import Side
from engine.exchange.bybit.face import Bybit
from engine.exchange.bybit.limits import LimitRules
from engine.exchange.commands import Place
from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    Event,
    HttpAnswer,
    HttpRequest,
    Tick,
    WsAccept,
    WsClose,
    WsClosed,
    WsOpen,
    WsSend,
    WsText,
)
from engine.exchange.instruments import catalogue
from engine.exchange.keys import Key
from engine.exchange.market import AgentMarket
from engine.exchange.rules import rules_of
from engine.exchange.terms import OrderType, Tif

MS = 1_000_000
SECOND_NS = 1_000 * MS
START_NS = 1_700_000_000_000 * MS
BTC, SPOT_BTC = "linear/BTCUSDT", "spot/BTCUSDT"
UNLIMITED = LimitRules(is_on=False)


def quiet_core(seed: int = 1, keys: tuple[str, ...] = (BTC, SPOT_BTC)) -> Core:
    """The opening books: only users move them."""
    listings = catalogue("bybit")
    markets = [AgentMarket(listings[key], seed, START_NS, is_quiet=True) for key in keys]
    return Core(markets, seed, rules=rules_of("bybit"))


def digest(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Client:
    """One face, its clock, and what it sent to each connection."""

    def __init__(self, limits: LimitRules | int = UNLIMITED, core: Core | None = None) -> None:
        self.core = core or quiet_core()
        self.face = Bybit(self.core, limits)
        self.now_ns = START_NS
        self.key: Key = self.core.keys[0].keys[0]
        self.inbox: dict[int, list[str]] = {}
        self.closed: dict[int, WsClose] = {}
        self.actions: list[Action] = []
        self._number = 0

    # -- TIME AND EVENTS ---

    def step(self, event: Event) -> list[Action]:
        self.actions = self.face.step(event, self.now_ns)
        for action in self.actions:
            if isinstance(action, WsSend):
                for conn in action.conns:
                    self.inbox.setdefault(conn, []).append(action.text)
            elif isinstance(action, WsClose):
                self.closed[action.conn] = action
        return self.actions

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping wherever the face wants to."""
        end_ns = self.now_ns + int(seconds * SECOND_NS)
        while (due_ns := self.face.next_due_ns()) <= end_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.step(Tick())
        self.now_ns = end_ns
        self.step(Tick())

    # -- REST ---

    def send(
        self, method: str, path: str, query: str = "", body: str = "", ip: str = "127.0.0.1",
        **headers: str,
    ) -> HttpAnswer:  # fmt: skip
        self._number += 1
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = HttpRequest(self._number, method, path, query, body, names, ip)
        answers = [a for a in self.step(request) if isinstance(a, HttpAnswer)]
        assert [a.request for a in answers] == [self._number]
        return answers[0]

    def signed(
        self, method: str, path: str, payload: str, key: Key | None = None, shift_ms: int = 0,
        window: str = "5000", ip: str = "127.0.0.1", sign_extra: str = "",
    ) -> HttpAnswer:  # fmt: skip
        key = key or self.key
        stamp = str(self.now_ns // MS + shift_ms)
        text = f"{stamp}{key.api_key}{window}{payload}{sign_extra}"
        query, body = (payload, "") if method == "GET" else ("", payload)
        return self.send(
            method, path, query, body, ip,
            x_bapi_api_key=key.api_key,
            x_bapi_timestamp=stamp,
            x_bapi_recv_window=window,
            x_bapi_sign=digest(key.secret, text),
        )  # fmt: skip

    def get(self, path: str, key: Key | None = None, **params: Any) -> Any:
        return json.loads(self.signed("GET", path, urlencode(params), key).body)

    def post(self, path: str, key: Key | None = None, **fields: Any) -> Any:
        return json.loads(self.signed("POST", path, json.dumps(fields), key).body)

    def public(self, path: str, **params: Any) -> Any:
        return json.loads(self.send("GET", path, urlencode(params)).body)

    def order(self, **fields: Any) -> Any:
        return self.post("/v5/order/create", **order_of(**fields))

    # -- WEBSOCKET ---

    def open(self, target: str, ip: str = "127.0.0.1") -> int:
        self._number += 1
        actions = self.step(WsOpen(self._number, target, {}, ip))
        assert WsAccept(self._number) in actions
        return self._number

    def say(self, conn: int, **message: Any) -> list[Any]:
        """Answers and whatever else came to `conn` meanwhile."""
        return self.say_raw(conn, json.dumps(message))

    def say_raw(self, conn: int, text: str) -> list[Any]:
        self.inbox[conn] = []
        self.step(WsText(conn, text))
        return self.take(conn)

    def take(self, conn: int) -> list[Any]:
        texts, self.inbox[conn] = self.inbox.get(conn, []), []
        return [json.loads(text) for text in texts]

    def lose(self, conn: int) -> None:
        self.step(WsClosed(conn))

    def logon(self, conn: int, key: Key | None = None, expires_ms: int = 10_000) -> Any:
        key = key or self.key
        expires = self.now_ns // MS + expires_ms
        args = [key.api_key, expires, digest(key.secret, f"GET/realtime{expires}")]
        return self.say(conn, op="auth", args=args)[0]

    def private(self, *topics: str, key: Key | None = None) -> int:
        conn = self.open("/v5/private")
        assert self.logon(conn, key)["success"] is True
        assert self.say(conn, op="subscribe", args=list(topics))[0]["success"] is True
        return conn

    def trade(self, conn: int, op: str, *args: Any, **fields: Any) -> Any:
        header = {"X-BAPI-TIMESTAMP": str(self.now_ns // MS)}
        return self.say(conn, op=op, header=header, args=list(args), **fields)[0]

    # -- THE OTHER SIDE ---

    def cross(self, symbol: str, side: Side, qty_lots: int, px_ticks: int) -> None:
        """The other account's order, told to everybody."""
        place = Place(1, symbol, side, OrderType.LIMIT, Tif.IOC, qty_lots, px_ticks)
        for action in self.face.publish(self.core.step(place, self.now_ns), self.now_ns):
            if isinstance(action, WsSend):
                for conn in action.conns:
                    self.inbox.setdefault(conn, []).append(action.text)


def order_of(**fields: Any) -> dict[str, Any]:
    order = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.010",
        "price": "59000.00",
        **fields,
    }
    return {name: value for name, value in order.items() if value is not None}
