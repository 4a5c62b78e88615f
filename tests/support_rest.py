"""A venue's REST end from a script, behind a real socket; and clients of it."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from aiohttp import web

from engine.errors import TickmakerError
from engine.gateway.budget import Budget
from engine.gateway.rest import RestClient
from engine.venues.base import Adapter, Call
from engine.venues.binance_usdm import BinanceUsdm

KEY, SECRET = "publickey" * 7, "verysecret" * 6
UTC_NS = 1_700_000_000_123_456_789
Use = Callable[[RestClient], Awaitable[Any]]


def adapter(rest_url: str = "http://127.0.0.1:1") -> BinanceUsdm:
    return BinanceUsdm(KEY, SECRET, rest_url=rest_url, ws_url={}, recv_window_ms=1_000)


def client(rest_url: str, made: Adapter | None = None, budget: Budget | None = None) -> RestClient:
    return RestClient(
        made or adapter(rest_url), rest_url, budget or Budget(2_400), rng=Random(1),
        utc_ns=lambda: UTC_NS,
    )


class Server:
    """Answers from a script, one entry a request; remembers what was asked."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, str, str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((
            request.method, request.path, request.query_string,
            request.headers.get("X-MBX-APIKEY", ""),
        ))  # fmt: skip
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if step == "hang up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(step, tuple):
            status, body, *headers = step
            return web.json_response(body, status=status, headers=headers[0] if headers else None)
        if isinstance(step, bytes):
            return web.Response(body=step)
        return web.json_response(step)

    def run(self, use: Use, budget: Budget | None = None) -> Any:
        async def go() -> Any:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.handle)
            runner = web.AppRunner(app, handler_cancellation=True)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            rest = client(f"http://127.0.0.1:{runner.addresses[0][1]}", budget=budget)
            await rest.open()
            try:
                return await use(rest)
            finally:
                await rest.close()
                await runner.cleanup()

        return asyncio.run(go())

    def fails(self, use: Use) -> TickmakerError:
        with pytest.raises(TickmakerError) as caught:
            self.run(use)
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in text
        assert KEY not in text
        assert "signature" not in text
        return caught.value

    @property
    def methods(self) -> list[str]:
        return [request[0] for request in self.requests]


class Exchange(Server):
    """Answers each method from a list (then 500) or always the same, and METHOD_end-of-path always
    the same."""

    def __init__(self, **answers: Any) -> None:
        super().__init__({})
        self.answers = answers

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = f"{request.method}_{request.path.rpartition('/')[2]}"
        answer = self.answers.get(name, self.answers.get(request.method, []))
        if isinstance(answer, list) and name not in self.answers:
            answer = answer.pop(0) if answer else (500, {})
        self.script = [answer]
        if self.script == ["silence"]:
            self.script = [{}]
            await asyncio.Event().wait()  # until the client gives up
        return await super().handle(request)


class Asked(RestClient):
    """Answers are what `read` makes of nothing."""

    def __init__(self) -> None:
        self.budget = Budget(2_400)
        self.calls: list[Call[Any]] = []
        self.answers: list[Any] = []

    async def call(self, call: Call[Any], **_: Any) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return call.read(answer)
