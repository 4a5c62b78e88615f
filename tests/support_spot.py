"""Drives the Binance Spot face as its clients do, in memory: signs, sends, sorts what comes back.

The signing is by hmac and by the key's own private half, nothing of the face's.
"""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support_exchange import quiet_core

from engine.exchange.binance.spot import BinanceSpot
from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    HttpAnswer,
    HttpRequest,
    Tick,
    WsClosed,
    WsOpen,
    WsSend,
    WsText,
)
from engine.exchange.keys import Key, KeyKind

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
ORDER = "/api/v3/order"


class Venue:
    """A face with its clock; frames of each connection pile up until they are read."""

    def __init__(self, core: Core | None = None, **options: Any) -> None:
        self.core = core or quiet_core(venue="binance_spot")
        self.face = BinanceSpot(self.core, **options)
        self.t_ns = START_NS
        self.frames: dict[int, list[str]] = {}
        self.actions: list[Action] = []  # of the last step
        self._number = 0

    def step(self, event: Any) -> list[Action]:
        self.actions = self.face.step(event, self.t_ns)
        for action in self.actions:
            if isinstance(action, WsSend):
                for conn in action.conns:
                    self.frames.setdefault(conn, []).append(action.text)
        return self.actions

    def after(self, seconds: float) -> list[Action]:
        """Let time pass."""
        self.t_ns += int(seconds * SECOND)
        return self.step(Tick())

    # -- REST ---

    def rest(
        self, method: str, path: str, query: str = "", body: str = "", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        self._number += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        event = HttpRequest(self._number, method, path, query, body, named)
        answers = [a for a in self.step(event) if isinstance(a, HttpAnswer)]
        assert len(answers) == 1, self.actions
        assert answers[0].request == self._number
        return answers[0].status, json.loads(answers[0].body), dict(answers[0].headers)

    def get(self, path: str, **params: Any) -> Any:
        """A public answer."""
        status, body, _ = self.rest("GET", "/api/v3/" + path, urlencode(params))
        assert status == 200, body
        return body

    def key(self, account: int = 0, number: int = 0) -> Key:
        return self.core.keys[account].keys[number]

    def signed(
        self, method: str, path: str, key: Key | None = None, **params: Any
    ) -> tuple[int, Any]:
        key = key or self.key()
        query = urlencode({**params, "timestamp": self.t_ns // 1_000_000})
        query += "&signature=" + signature_of(key, query).replace("+", "%2B")
        status, body, _ = self.rest(method, path, query, x_mbx_apikey=key.api_key)
        return status, body

    def order(self, key: Key | None = None, **fields: Any) -> tuple[int, Any]:
        """POST order: a resting bid of 0.01 BTC unless `fields` say otherwise."""
        return self.signed("POST", ORDER, key, **wanted(fields))

    # -- WEBSOCKETS ---

    def open(self, target: str) -> int:
        self._number += 1
        self.step(WsOpen(self._number, target, {}))
        self.frames.setdefault(self._number, [])
        return self._number

    def close(self, conn: int) -> None:
        self.step(WsClosed(conn))

    def say(self, conn: int, message: Any) -> None:
        self.step(WsText(conn, message if isinstance(message, str) else json.dumps(message)))

    def read(self, conn: int) -> list[Any]:
        texts, self.frames[conn] = self.frames[conn], []
        return [json.loads(text) for text in texts]

    def texts(self, conn: int) -> list[str]:
        texts, self.frames[conn] = self.frames[conn], []
        return texts

    def api(self, conn: int, method: str, **params: Any) -> Any:
        """One request of the WebSocket API, its answer; other frames stay."""
        request = {"id": "x1", "method": method, "params": params}
        before = self.frames.get(conn, [])
        self.frames[conn] = []
        self.say(conn, request)
        answer, *others = self.frames[conn]
        self.frames[conn] = [*before, *others]
        return json.loads(answer)

    def api_signed(self, conn: int, method: str, key: Key | None = None, **params: Any) -> Any:
        key = key or self.key()
        params |= {"apiKey": key.api_key, "timestamp": self.t_ns // 1_000_000}
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return self.api(conn, method, **params, signature=signature_of(key, text))

    def user_stream(self, key: Key | None = None) -> int:
        conn = self.open("/ws-api/v3")
        answer = self.api_signed(conn, "userDataStream.subscribe.signature", key)
        assert answer["status"] == 200, answer
        return conn

    def events(self, conn: int) -> list[Any]:
        return [frame["event"] for frame in self.read(conn)]


def signature_of(key: Key, text: str) -> str:
    if key.kind is KeyKind.HMAC:
        return hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.secret))
    return base64.b64encode(private.sign(text.encode())).decode()


def wanted(fields: dict[str, Any]) -> dict[str, Any]:
    """A GTC bid at 59,000; None takes a field out."""
    order = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "quantity": "0.01", "price": "59000", **fields,
    }  # fmt: skip
    return {name: value for name, value in order.items() if value is not None}


def market_order(**fields: Any) -> dict[str, Any]:
    return {"type": "MARKET", "timeInForce": None, "price": None, **fields}
