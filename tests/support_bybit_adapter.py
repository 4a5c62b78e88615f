"""Our adapter of Bybit against our local exchange, in one process, without sockets."""

import json
from typing import Any

from bybit_client import MS, Client

from engine.exchange.face import HttpAnswer, WsText
from engine.venues.base import Call, Failure, Instrument
from engine.venues.bybit import Bybit

URLS = {
    "linear": "ws://127.0.0.1:1/v5/public/linear",
    "spot": "ws://127.0.0.1:1/v5/public/spot",
    "private": "ws://127.0.0.1:1/v5/private",
    "trade": "ws://127.0.0.1:1/v5/trade",
}
PREFIX = "tm0123abcd-01-"


class RefusedError(Exception):
    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.text)


class Desk:
    """An adapter, and the face that answers it."""

    def __init__(self, client: Client | None = None, **options: Any) -> None:
        self.client = client or Client()
        key = self.client.key
        self.adapter = Bybit(key.api_key, key.secret, ws_url=URLS, recv_window_ms=5_000, **options)
        self.calls = 0

    def answer(self, call: Call[Any], shift_ms: int = 0) -> HttpAnswer:
        """What the venue says to a call, as the adapter signed it."""
        self.calls += 1
        signed = self.adapter.sign(call, self.client.now_ns // MS + shift_ms)
        path, _, query = signed.target.partition("?")
        headers = {name.lower().replace("-", "_"): value for name, value in signed.headers.items()}
        return self.client.send(signed.method, path, query, signed.body.decode(), **headers)

    def ask(self, call: Call[Any] | None, shift_ms: int = 0) -> Any:
        assert call is not None
        answer = self.answer(call, shift_ms)
        body = answer.body.encode()
        if failure := self.adapter.failure(answer.status, dict(answer.headers), body):
            raise RefusedError(failure)
        return call.read(json.loads(body))

    def instrument(self, category: str = "linear", symbol: str = "BTCUSDT") -> Instrument:
        found: Instrument = self.ask(self.adapter.instruments([symbol], category))[symbol]
        return found

    def greet(self, plan: Any) -> tuple[int, list[str]]:
        """(connection, what was said to it) after every text of a plan was answered well."""
        conn = self.client.open(plan.url.split(":1", 1)[1])
        frames: list[str] = []
        good = 0
        for text in plan.texts:
            self.client.inbox[conn] = []
            self.client.step(WsText(conn, text))
            frames += self.client.inbox[conn]
        for frame in frames:
            said, error = plan.read(frame.encode())
            assert said.name != "BAD", error
            good += said.name == "GOOD"
        assert good == plan.answers
        return conn, frames
