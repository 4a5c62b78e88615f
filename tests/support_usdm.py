"""Drives the Binance USD-M face as its clients do, in memory: signs, sends, sorts the answers.

The signing is by hmac and by the key's own private half, nothing of the face's.
"""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from support_exchange import quiet_core

from engine.exchange.binance.usdm import BinanceUsdm
from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    WsClose,
    WsClosed,
    WsDrop,
    WsOpen,
    WsPingOut,
    WsPong,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.keys import Key, KeyKind

SECOND = 1_000_000_000
START_NS = 1_700_000_040 * SECOND  # a whole minute, and no funding time
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "59990.00",
}


class Usdm:
    """A face with its clock; texts of each connection pile up until they are read."""

    def __init__(self, core: Core | None = None, **options: Any) -> None:
        self.core = core or quiet_core()
        self.face = BinanceUsdm(self.core, **options)
        self.t_ns = START_NS
        self.texts: dict[int, list[str]] = {}
        self.actions: list[Action] = []  # of the last step
        self.logs: list[str] = []
        self.pongs = True  # clients answer pings
        self.pings: list[tuple[int, int]] = []  # (connection, time)
        self.ended: list[WsClose | WsDrop] = []
        self.headers: dict[str, str] = {}  # of the last REST answer
        self._number = 0

    def step(self, event: Any) -> list[Action]:
        self.actions = self.face.step(event, self.t_ns)
        for action in self.actions:
            if isinstance(action, WsPingOut):
                self.pings.append((action.conn, self.t_ns))
                if self.pongs:
                    self.face.step(WsPong(action.conn), self.t_ns)
            elif isinstance(action, WsClose | WsDrop):
                self.ended.append(action)
            if isinstance(action, WsSend):
                for conn in action.conns:
                    self.texts.setdefault(conn, []).append(action.text)
            elif isinstance(action, Log) and action.is_error:
                self.logs.append(action.text)
        return self.actions

    def after(self, seconds: float) -> None:
        """Let time pass, with a Tick whenever the face wants one and at the end."""
        end_ns = self.t_ns + int(seconds * SECOND)
        while (due_ns := self.face.next_due_ns()) < end_ns:
            self.t_ns = max(self.t_ns + 1, due_ns)
            self.step(Tick())
        self.t_ns = end_ns
        self.step(Tick())

    @property
    def now_ms(self) -> int:
        return self.t_ns // 1_000_000

    def key(self, account: int = 0, number: int = 0) -> Key:
        return self.core.keys[account].keys[number]

    # -- REST ---

    def rest(
        self,
        method: str,
        path: str,
        query: str = "",
        body: str = "",
        key: Key | str | None = None,
        ip: str = "127.0.0.1",
    ) -> tuple[int, Any]:
        self._number += 1
        name = key.api_key if isinstance(key, Key) else key
        headers = {} if name is None else {"x-mbx-apikey": name}
        event = HttpRequest(self._number, method, path, query, body, headers, ip)
        answers = [action for action in self.step(event) if isinstance(action, HttpAnswer)]
        assert [answer.request for answer in answers] == [self._number], self.actions
        self.headers = dict(answers[0].headers)
        return answers[0].status, json.loads(answers[0].body)

    def get(self, path: str, **params: Any) -> Any:
        """A public answer."""
        status, body = self.rest("GET", f"/fapi/v1/{path}", urlencode(params))
        assert status == 200, body
        return body

    def query(self, key: Key | None = None, **params: Any) -> str:
        """Signed query text."""
        text = urlencode({**params, "timestamp": params.get("timestamp", self.now_ms)})
        return f"{text}&signature={urlencode({'': signature_of(key or self.key(), text)})[1:]}"

    def signed(
        self, method: str, path: str, key: Key | None = None, ip: str = "127.0.0.1", **params: Any
    ) -> tuple[int, Any]:
        key = key or self.key()
        path = path if path.startswith("/") else f"/fapi/v1/{path}"
        return self.rest(method, path, self.query(key, **params), "", key, ip)

    def good(self, method: str, path: str, key: Key | None = None, **params: Any) -> Any:
        status, body = self.signed(method, path, key, **params)
        assert status == 200, body
        return body

    def order(self, key: Key | None = None, **fields: Any) -> tuple[int, Any]:
        """POST order: ORDER but for `fields`; None takes a field out."""
        params = {name: value for name, value in {**ORDER, **fields}.items() if value is not None}
        return self.signed("POST", "order", key, **params)

    # -- WEBSOCKETS ---

    def open(self, target: str, ip: str = "127.0.0.1") -> int:
        """The connection's number; 0: refused, and `actions` tell why."""
        self._number += 1
        actions = self.step(WsOpen(self._number, target, {}, ip))
        self.texts.setdefault(self._number, [])
        return 0 if isinstance(actions[-1], WsRefuse) else self._number

    def close(self, conn: int) -> None:
        self.step(WsClosed(conn))

    def say(self, conn: int, message: Any) -> Any:
        """Send; the answer, which comes first of what is sent there."""
        before = self.texts.get(conn, [])
        self.texts[conn] = []
        self.step(WsText(conn, message if isinstance(message, str) else json.dumps(message)))
        answer, *others = self.texts[conn] or ["null"]
        self.texts[conn] = [*before, *others]
        return json.loads(answer)

    def read(self, conn: int) -> list[Any]:
        texts, self.texts[conn] = self.texts[conn], []
        return [json.loads(text) for text in texts]

    def api(self, conn: int, method: str, key: Key | None = None, **params: Any) -> Any:
        """One signed request of the WebSocket API."""
        key = key or self.key()
        params = {"apiKey": key.api_key, "timestamp": self.now_ms, **params}
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = signature_of(key, text)
        return self.say(conn, {"id": "x1", "method": method, "params": params})

    def user_stream(self, key: Key | None = None, query: str = "") -> int:
        _, body = self.rest("POST", "/fapi/v1/listenKey", key=key or self.key())
        conn = self.open(f"/private/ws?listenKey={body['listenKey']}{query}")
        assert conn, self.actions
        return conn


def signature_of(key: Key, text: str) -> str:
    if key.kind is KeyKind.HMAC:
        return hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    # Heavy to load; most tests sign by HMAC.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.secret))
    return base64.b64encode(private.sign(text.encode())).decode()
