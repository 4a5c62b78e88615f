"""An adapter at work against a face of the local exchange, in memory: what it asks for is signed,
sent, answered and read; its plans of connections are followed to the end of their greetings."""

import json
from typing import Any

from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    Face,
    HttpAnswer,
    HttpRequest,
    Tick,
    WsOpen,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.keys import Key, KeyKind
from engine.venues.base import Adapter, Call, ConnPlan, Failure, Said

SECOND = 1_000_000_000
START_NS = 1_700_000_040 * SECOND


class RefusedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def secret_of(key: Key) -> str:
    return key.secret if key.kind is KeyKind.HMAC else key.private_key_pem


class Wire:
    """One face, its clock, and whoever speaks to it."""

    def __init__(self, core: Core, face: Face) -> None:
        self.core = core
        self.face = face
        self.t_ns = START_NS
        self.headers: dict[str, str] = {}  # of the last answer
        self.frames: dict[int, list[bytes]] = {}
        self._minute: int | None = None  # of the last answer; None: its weight is not the last
        self._number = 0

    @property
    def utc_ms(self) -> int:
        return self.t_ns // 1_000_000

    def step(self, event: Any) -> list[Action]:
        actions = list(self.face.step(event, self.t_ns))
        for action in actions:
            if isinstance(action, WsSend):
                for conn in action.conns:
                    self.frames.setdefault(conn, []).append(action.text.encode())
        return actions

    def after(self, seconds: float) -> None:
        end_ns = self.t_ns + int(seconds * SECOND)
        while (due_ns := self.face.next_due_ns()) < end_ns:
            self.t_ns = max(self.t_ns + 1, due_ns)
            self.step(Tick())
        self.t_ns = end_ns
        self.step(Tick())

    # -- REST ---

    def answer(self, adapter: Adapter, call: Call[Any]) -> tuple[int, bytes]:
        """Signed and sent; the answer as it comes."""
        self._number += 1
        signed = adapter.sign(call, self.utc_ms)
        path, _, query = signed.target.partition("?")
        headers = {name.lower(): value for name, value in signed.headers.items()}
        body = signed.body.decode()
        event = HttpRequest(self._number, signed.method, path, query, body, headers)
        answers = [a for a in self.step(event) if isinstance(a, HttpAnswer)]
        assert [a.request for a in answers] == [self._number]
        self.headers = dict(answers[0].headers)
        return answers[0].status, answers[0].body.encode()

    def ask(self, adapter: Adapter, call: Call[Any] | None, is_bytes: bool = False) -> Any:
        """As a client does it: RefusedError for an answer that the adapter calls a failure. What
        the call says that it weighs must be what the venue counts."""
        assert call is not None
        before = adapter.used_weight(self.headers) if self._is_same_minute() else None
        status, body = self.answer(adapter, call)
        if (failure := adapter.failure(status, self.headers, body)) is not None:
            raise RefusedError(failure)
        after = adapter.used_weight(self.headers)
        if before is not None and after is not None:
            free = {0} if adapter.name == "binance_spot" and call.method != "GET" else set()
            assert after - before in {call.weight} | free, (call.method, call.path)
        return call.read(body if is_bytes else json.loads(body))

    def _is_same_minute(self) -> bool:
        minute = self.t_ns // (60 * SECOND)
        is_same, self._minute = minute == self._minute, minute
        return is_same

    def refused(self, adapter: Adapter, call: Call[Any] | None) -> Failure:
        try:
            self.ask(adapter, call)
        except RefusedError as error:
            return error.failure
        raise AssertionError("it was not refused")

    # -- WEBSOCKETS ---

    def connect(self, plan: ConnPlan) -> int:
        """The connection's number, its greeting done; frames that are none of it stay."""
        self._number += 1
        self._minute = None  # connecting weighs something too
        conn = self._number
        target = "/" + plan.url.split("://", 1)[1].partition("/")[2]
        actions = self.step(WsOpen(conn, target, {}))
        assert not [a for a in actions if isinstance(a, WsRefuse)], actions
        for text in plan.texts:
            self.step(WsText(conn, text))
        kept: list[bytes] = []
        good = 0
        for frame in self.frames.get(conn, []):
            said, error = plan.read(frame)
            assert said is not Said.BAD, error
            good += said is Said.GOOD
            if said is Said.NOTHING:
                kept.append(frame)
        assert good == plan.answers
        self.frames[conn] = kept
        return conn

    def say(self, conn: int, text: str) -> None:
        self.step(WsText(conn, text))

    def take(self, conn: int) -> list[bytes]:
        frames, self.frames[conn] = self.frames.get(conn, []), []
        return frames
