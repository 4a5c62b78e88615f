"""Sockets of the local exchange: a mover of a Face's events and actions, and nothing else.

aiohttp serves REST, ws_end.py the WebSocket connections, both on loopback with TCP_NODELAY
(asyncio and uvloop set it). Every event goes through `on_event`, which takes the time, asks the
face and does what it says, in order. No word of any venue stands here.
"""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from engine import clock
from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.admin import Admin
from engine.exchange.face import (
    Action,
    ConnKind,
    Event,
    Face,
    HttpAnswer,
    HttpDrop,
    HttpRequest,
    Log,
    Tick,
    Trouble,
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsHalfOpen,
    WsOpen,
    WsPingOut,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.http_end import Handler, HttpServer, Refuse
from engine.exchange.ws_end import CLOSE_TIMEOUT_S, WsEnd, text_frame

log = logging.getLogger("tickmaker.exchange")

HOST = "127.0.0.1"
IDLE_S_MAX = 1.0
TIMER_S_MIN = 0.001  # uvloop's timers count milliseconds; less than one is a busy loop
POLICY_VIOLATION = 1011  # close code of a server that failed, RFC 6455 7.4.1
TROUBLE = '{"error":"the exchange has a bug; its log has the traceback"}'


@dataclass
class Counters:
    """What went through the sockets; `bugs` is ours and must stay 0."""

    requests: int = 0
    connections: int = 0  # ever accepted
    messages_in: int = 0
    messages_out: int = 0
    slow_cut: int = 0
    bugs: int = 0
    log_errors: int = 0


class _Requests:
    """REST requests between event and answer: the one that is asked now, and those that wait."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: HttpAnswer | HttpDrop | None = None
        self.waiting: dict[int, asyncio.Future[HttpAnswer | HttpDrop]] = {}

    def give(self, answer: HttpAnswer | HttpDrop) -> None:
        """Nobody may be there any more to take it."""
        future = self.waiting.get(answer.request)
        if future is not None:
            if not future.done():
                future.set_result(answer)
        elif answer.request == self.asked:
            self.answer = answer


class ExchangeServer:
    """One face on two loopback ports, and the operator's on a third; port 0 picks a free one.
    `is_busy`: the loop never sleeps, so that no answer waits for a processor to wake up."""

    def __init__(
        self, face: Face, tls: ssl.SSLContext | None = None, is_busy: bool = False
    ) -> None:
        self.face = face
        self.counters = Counters()
        self.rest_url = ""
        self.ws_root = ""
        self.admin_url = ""
        self._tls = tls
        self._is_busy = is_busy
        self._offset_ns = clock.wall_minus_monotonic_ns()
        self._start_ns = self.now_ns()
        self._ends: dict[int, WsEnd] = {}
        self._conn_numbers = itertools.count(1)
        self._request_numbers = itertools.count(1)
        self._requests = _Requests()
        self._runners: list[web.ServerRunner] = []
        self._ws_server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns = 0
        self._is_looking = False
        self._is_running = False
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._do: dict[type, Callable[[Any], None]] = {
            HttpAnswer: self._requests.give,
            HttpDrop: self._requests.give,
            WsSend: self._on_send,
            WsAccept: lambda action: self._with(action.conn, WsEnd.accept),
            WsRefuse: lambda a: self._with(a.conn, WsEnd.refuse, a.status, a.body),
            WsPingOut: lambda action: self._with(action.conn, WsEnd.ping, action.payload),
            WsClose: lambda a: self._with(a.conn, WsEnd.close, a.code, a.reason),
            WsDrop: lambda action: self._with(action.conn, WsEnd.drop),
            WsHalfOpen: lambda action: self._with(action.conn, WsEnd.half_open),
            Log: self._on_log,
        }

    def now_ns(self) -> int:
        """UTC that never steps: the wall clock read once, carried on by the monotonic one."""
        return clock.monotonic_ns() + self._offset_ns

    @property
    def urls(self) -> dict[str, Any]:
        """`rest_url` and `ws_url` as clients of this venue want them."""
        return self.face.urls(self.rest_url, self.ws_root)

    @property
    def ws_url(self) -> dict[str, Any]:
        """By kind of stream."""
        urls: dict[str, Any] = self.urls["ws_url"]
        return urls

    @property
    def ends(self) -> list[WsEnd]:
        """Connections that live now."""
        return list(self._ends.values())

    # -- LIFE ---

    async def start(self, rest_port: int = 0, ws_port: int = 0) -> None:
        """Listen and let time run. TickmakerError when a port is taken."""
        scheme = "s" if self._tls is not None else ""
        port = await self.listen_http(
            self._on_rest, self._refuse, "--rest-port", rest_port, self._tls
        )
        self.rest_url = f"http{scheme}://{HOST}:{port}"
        loop = asyncio.get_running_loop()
        try:
            self._ws_server = await loop.create_server(
                lambda: WsEnd(self), HOST, ws_port, ssl=self._tls
            )
        except OSError as error:
            await self.stop()
            raise _port_error("--ws-port", ws_port, error) from None
        self.ws_root = f"ws{scheme}://{HOST}:{self._ws_server.sockets[0].getsockname()[1]}"
        self._is_running = True
        self._arm(0)
        if self._is_busy:
            self._spin()

    async def listen_http(
        self,
        handler: Handler,
        refuse: Refuse,
        option: str,
        port: int,
        tls: ssl.SSLContext | None = None,
    ) -> int:
        """The port that `handler` is served on."""
        runner = web.ServerRunner(HttpServer(handler, refuse), shutdown_timeout=CLOSE_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port, ssl_context=tls).start()
        except OSError as error:
            await runner.cleanup()
            await self.stop()
            raise _port_error(option, port, error) from None
        self._runners.append(runner)
        return int(runner.addresses[0][1])

    async def start_admin(self, admin: Admin, port: int = 0) -> None:
        """The operator's port; never TLS, and never the venue's own."""

        async def on_request(http: web.BaseRequest, raw: bytes) -> web.StreamResponse:
            body = raw.decode(errors="replace")
            answer = admin.answer(http.method, http.raw_path, body, self.now_ns())
            self.act(list(answer.actions))
            self._rearm()
            text = [answer.body]
            for piece in answer.more or ():
                await asyncio.sleep(0)  # whoever trades goes first
                text.append(piece)
            kind, headers = answer.content_type, dict(answer.headers)
            return web.Response(
                status=answer.status, text="".join(text), content_type=kind, headers=headers
            )

        def refuse(http: web.BaseRequest, kind: Trouble) -> web.Response:
            self.counters.bugs += kind is Trouble.INTERNAL
            status = {Trouble.TOO_LARGE: 413, Trouble.MALFORMED: 400}.get(kind, 500)
            return web.json_response({"error": kind.value}, status=status)

        number = await self.listen_http(on_request, refuse, "--admin-port", port)
        self.admin_url = f"http://{HOST}:{number}"

    def facts(self) -> dict[str, Any]:
        """For how long it is up, connections by kind, and what went through."""
        kinds = {kind.value: 0 for kind in ConnKind}
        for end in self._ends.values():
            if end.target:
                kinds[self.face.kind_of(end.target).value] += 1
        up_s = round((self.now_ns() - self._start_ns) / 1e9, 3)
        return {"up_s": up_s, "connections": kinds, "counters": asdict(self.counters)}

    async def stop(self) -> None:
        """Close every connection; what the face still had to say is not sent. Time stands still
        from here."""
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
        for future in self._requests.waiting.values():
            future.cancel()
        if self._ws_server is not None:
            self._ws_server.close()
            for end in self.ends:
                self._all_gone.clear()
                end.close(1001, "")
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._all_gone.wait()
            for end in self.ends:
                end.drop()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    # -- EVENTS ---

    def on_event(self, event: Event) -> None:
        """Ask the face, do what it says. A bug of ours is counted, logged and answered."""
        if type(event) is WsText:
            self.counters.messages_in += 1
        now_ns = self.now_ns()
        try:
            actions = self.face.step(event, now_ns)
        except Exception:
            self.counters.bugs += 1
            log.exception("bug: the face failed at a %s", type(event).__name__)
            actions = _apology(event)
        self.act(actions)
        self._rearm()

    def act(self, actions: list[Action]) -> None:
        """Do what a face, or a fault, says; what can't be done hinders nothing else."""
        do = self._do
        for action in actions:
            try:
                do[type(action)](action)
            except Exception:
                self.counters.bugs += 1
                log.exception("bug: a %s can't be done", type(action).__name__)

    def _rearm(self) -> None:
        """Look once, at the end of this turn, whether the face is due earlier than thought."""
        if self._is_running and not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _spin(self) -> None:
        if self._is_running:
            asyncio.get_running_loop().call_soon(self._spin)

    def _look(self) -> None:
        self._is_looking = False
        due_ns = self.face.next_due_ns()
        if self._is_running and due_ns < self._armed_ns:
            self._arm(due_ns)

    def _arm(self, due_ns: int) -> None:
        """A Tick at `due_ns`; a look in between costs nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._armed_ns = due_ns
        delay_s = (due_ns - self.now_ns()) / 1e9
        delay_s = 0.0 if delay_s <= 0 else min(max(TIMER_S_MIN, delay_s), IDLE_S_MAX)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._is_looking = True  # done below
        self.on_event(Tick())
        self._is_looking = False
        self._arm(self.face.next_due_ns())

    # -- REST ---

    async def _on_rest(self, http: web.BaseRequest, raw: bytes) -> web.StreamResponse:
        path, _, query = http.raw_path.partition("?")
        number = next(self._request_numbers)
        self.counters.requests += 1
        headers = {name.lower(): value for name, value in http.headers.items()}
        body = raw.decode(errors="replace")
        ip = http.remote or HOST
        requests = self._requests
        requests.asked, requests.answer = number, None
        self.on_event(HttpRequest(number, http.method, path, query, body, headers, ip))
        requests.asked, answer = 0, requests.answer
        if answer is None:
            future = asyncio.get_running_loop().create_future()
            requests.waiting[number] = future
            try:
                answer = await future
            finally:
                del requests.waiting[number]
        return _response(answer, http)

    def _refuse(self, http: web.BaseRequest, kind: Trouble) -> web.StreamResponse:
        self.counters.requests += 1
        self.counters.bugs += kind is Trouble.INTERNAL
        return _response(self.refusal(kind), http)

    def refusal(self, kind: Trouble) -> HttpAnswer:
        """The answer to what never became an event, in the venue's words."""
        event = HttpRequest(next(self._request_numbers), "GET", "/", "", "", {})
        (answer,) = self.face.trouble(event, kind, 0)
        assert isinstance(answer, HttpAnswer)
        return answer

    # -- WEBSOCKETS ---

    def add(self, end: WsEnd) -> int:
        conn = next(self._conn_numbers)
        self._ends[conn] = end
        self.counters.connections += 1
        return conn

    def remove(self, end: WsEnd) -> None:
        self._ends.pop(end.conn, None)
        if not self._ends:
            self._all_gone.set()

    def on_slow(self, end: WsEnd) -> None:
        self.counters.slow_cut += 1
        kind = self.face.kind_of(end.target).value  # a target may hold a listen key
        log.warning("connection %d (%s) does not read; cut off", end.conn, kind)

    def _with(self, conn: int, do: Callable[..., None], *arguments: Any) -> None:
        end = self._ends.get(conn)
        if end is not None:
            do(end, *arguments)

    def _on_send(self, send: WsSend) -> None:
        frame = text_frame(send.text)
        self.counters.messages_out += len(send.conns)
        ends = self._ends
        for conn in send.conns:
            end = ends.get(conn)
            if end is not None:
                end.send(frame)

    def _on_log(self, line: Log) -> None:
        self.counters.log_errors += line.is_error
        self.counters.bugs += line.is_bug
        log.log(logging.ERROR if line.is_error else logging.INFO, "%s", line.text)


def _apology(event: Event) -> list[Action]:
    """The answer where the face had none: nobody shall wait for our bug."""
    if isinstance(event, HttpRequest):
        return [HttpAnswer(event.request, 500, TROUBLE)]
    if isinstance(event, WsOpen):
        return [WsRefuse(event.conn, 500, TROUBLE)]
    if isinstance(event, Tick | WsClosed):
        return []
    return [WsClose(event.conn, POLICY_VIOLATION, "bug")]


def _response(answer: HttpAnswer | HttpDrop, http: web.BaseRequest) -> web.StreamResponse:
    if isinstance(answer, HttpDrop):
        if http.transport is not None:
            http.transport.abort()
        return web.Response()  # to nobody
    response = web.Response(status=answer.status, body=answer.body.encode(errors="replace"))
    response.headers["Content-Type"] = "application/json"
    response.headers["Server"] = "tickmaker"
    for name, value in answer.headers:
        response.headers[name] = value
    return response


def _port_error(option: str, port: int, error: OSError) -> TickmakerError:
    return TickmakerError(
        f"exchange can't listen on {HOST}:{port}: {error.strerror or error}",
        f"Stop the process that has the port, or pass another {option} (0 picks a free one).",
        EXIT_USAGE,
    )
