"""Sockets of the local exchange: aiohttp for REST, `websockets` for the three kinds of stream.

Thin: bytes in, the venue's translator, bytes out. One task lets the core's time run; every
request runs it first, so that what users see never goes back in time. Both libraries' sockets
have TCP_NODELAY (asyncio and uvloop set it), and each message is one write.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine import clock
from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.binance_errors import VenueError
from engine.exchange.binance_usdm import Answer, BinanceUsdm, RestRequest
from engine.exchange.core import Core
from engine.exchange.events import Advance, Notice, Output
from engine.exchange.streams import REALTIME_DEPTH_MS, PublicStreams

log = logging.getLogger("tickmaker.exchange")

HOST = "127.0.0.1"
TURN_S_MAX = 0.010  # the core's time runs at least this often
REQUEST_BYTES_MAX = 65_536
BACKLOG_BYTES_MAX = 16 << 20  # unsent bytes at which a slow client is cut off
STREAMS_MAX = 200
PING_INTERVAL_S = 180
PONG_TIMEOUT_S = 600
CLOSE_TIMEOUT_S = 1.0

PUBLIC_PATHS = ("/public", "/market")
WS_API_PATH = "/ws-fapi/v1"
PRIVATE_PATH = "/private/ws"


class ExchangeServer:
    """One venue on two loopback ports; port 0 picks a free one."""

    def __init__(self, core: Core, realtime_depth_ms: int = REALTIME_DEPTH_MS) -> None:
        self.core = core
        self.venue = BinanceUsdm(core)
        self.streams: PublicStreams[ServerConnection] = PublicStreams(
            core.markets, realtime_depth_ms
        )
        self.rest_url = ""
        self.ws_root = ""
        self._private: dict[ServerConnection, tuple[int, frozenset[str]]] = {}
        self._offset_ns = clock.wall_minus_monotonic_ns()
        self._runner: web.AppRunner | None = None
        self._ws_server: Server | None = None
        self._clock_task: asyncio.Task[None] | None = None

    def now_ns(self) -> int:
        """UTC that never steps: the wall clock read once, carried on by the monotonic one."""
        return clock.monotonic_ns() + self._offset_ns

    @property
    def ws_url(self) -> dict[str, str]:
        """Roots, as the venue has them: add `/stream?streams=…`, `/ws?listenKey=…`, nothing."""
        return {
            "public": f"{self.ws_root}/public",
            "private": f"{self.ws_root}/private",
            "ws_api": f"{self.ws_root}{WS_API_PATH}",
        }

    # -- LIFE ---

    async def start(self, rest_port: int = 0, ws_port: int = 0) -> None:
        """Listen and let time run. TickmakerError when a port is taken."""
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._on_rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, rest_port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _port_error("--rest-port", rest_port, error) from None
        try:
            self._ws_server = await serve(
                self._on_ws,
                HOST,
                ws_port,
                process_request=self._on_handshake,
                compression=None,
                max_size=REQUEST_BYTES_MAX,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PONG_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                logger=logging.getLogger("tickmaker.exchange.ws"),
            )
        except OSError as error:
            await self._runner.cleanup()
            raise _port_error("--ws-port", ws_port, error) from None
        rest_port = self._runner.addresses[0][1]
        ws_port = next(iter(self._ws_server.sockets)).getsockname()[1]
        self.rest_url = f"http://{HOST}:{rest_port}"
        self.ws_root = f"ws://{HOST}:{ws_port}"
        self._clock_task = asyncio.create_task(self._run_clock())

    async def stop(self) -> None:
        """Close every connection; the last frames of the core are not sent."""
        if self._clock_task is not None:
            self._clock_task.cancel()
            await asyncio.gather(self._clock_task, return_exceptions=True)
        if self._ws_server is not None:
            self._ws_server.close()
            await self._ws_server.wait_closed()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _run_clock(self) -> None:
        while True:
            now_ns = self.now_ns()
            try:
                self._advance(now_ns)
            except Exception:
                log.exception("background market failed; it stands still from here")
                return
            due_ns = min(self.core.next_due_ns(), self.streams.next_due_ns())
            await asyncio.sleep(min(TURN_S_MAX, max(0.0, (due_ns - self.now_ns()) / 1e9)))

    # -- OUT ---

    def _advance(self, now_ns: int) -> None:
        self._publish(self.core.step(Advance(), now_ns), now_ns)

    def _publish(self, outputs: list[Output], now_ns: int) -> None:
        for output in outputs:
            if isinstance(output, Notice):
                log.log(logging.ERROR if output.is_error else logging.INFO, "%s", output.text)
        for connections, text in self.streams.frames(outputs, now_ns):
            _send(connections, text)
        if not self._private or not outputs:
            return
        for account, event, text in self.venue.private_frames(outputs, now_ns):
            wanting = [
                connection
                for connection, (owner, events) in self._private.items()
                if owner == account and (not events or event in events)
            ]
            _send(wanting, text)

    # -- REST ---

    async def _on_rest(self, http: web.Request) -> web.Response:
        path, _, query = http.raw_path.partition("?")
        try:
            body = await http.text()
            request = RestRequest(
                http.method, path, query, body, http.headers.get("X-MBX-APIKEY", "")
            )
        except (UnicodeDecodeError, LookupError, web.HTTPException):
            return _json_response(400, VenueError(-1130, "body").json())
        now_ns = self.now_ns()
        answer = self._answer(partial(self.venue.rest, request, now_ns), now_ns)
        self._publish(answer.outputs, now_ns)
        return _json_response(answer.status, answer.body)

    def _answer(self, call: Callable[[], Answer], now_ns: int) -> Answer:
        """The venue's answer; a bug of ours becomes the venue's unknown error, and is logged."""
        try:
            self._advance(now_ns)
            return call()
        except Exception:
            log.exception("request failed")
            error = VenueError(-1000)
            return Answer(error.status, error.json())

    # -- WEBSOCKETS ---

    def _on_handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        """None to go on; an HTTP answer for paths that the venue doesn't have."""
        url = urlsplit(request.path)
        root, _, tail = url.path.rpartition("/")
        is_public = any(
            url.path in (f"{p}/stream", f"{p}/ws") or url.path.startswith(f"{p}/ws/")
            for p in PUBLIC_PATHS
        )
        if is_public or url.path == WS_API_PATH:
            return None
        if url.path == PRIVATE_PATH or (root == PRIVATE_PATH and tail):
            if self.venue.account_of_listen_key(_listen_key(request.path)) is not None:
                return None
            return _http_error(HTTPStatus.BAD_REQUEST, VenueError(-1125).json())
        return _http_error(HTTPStatus.NOT_FOUND, VenueError(-5000, url.path, "GET").json())

    async def _on_ws(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        try:
            if path.startswith(WS_API_PATH):
                await self._serve_ws_api(connection)
            elif path.startswith(PRIVATE_PATH):
                await self._serve_private(connection, path)
            else:
                await self._serve_public(connection, path)
        except ConnectionClosed:
            pass
        finally:
            self._private.pop(connection, None)
            self.streams.drop(connection)

    async def _serve_ws_api(self, connection: ServerConnection) -> None:
        async for message in connection:
            text = message if isinstance(message, str) else message.decode(errors="replace")
            now_ns = self.now_ns()
            answer = self._answer(partial(self.venue.ws_api, text, now_ns), now_ns)
            _send((connection,), answer.body)
            self._publish(answer.outputs, now_ns)

    async def _serve_private(self, connection: ServerConnection, path: str) -> None:
        account = self.venue.account_of_listen_key(_listen_key(path))
        if account is None:
            return
        names = parse_qs(urlsplit(path).query).get("events", [""])[0]
        self._private[connection] = (account.index, frozenset(filter(None, names.split("/"))))
        async for _ in connection:
            pass  # the venue ignores what clients say here

    async def _serve_public(self, connection: ServerConnection, path: str) -> None:
        url = urlsplit(path)
        is_combined = url.path.endswith("/stream")
        if is_combined:
            names = parse_qs(url.query).get("streams", [""])[0].split("/")
        else:
            names = url.path.split("/")[3:]
            if len(names) == 1 and "@" not in names[0]:
                names = []  # ccxt numbers its connections: /public/ws/0
        names = [name for name in names if name][:STREAMS_MAX]
        self.streams.subscribe(connection, is_combined, names, self.now_ns())
        async for message in connection:
            text = message if isinstance(message, str) else message.decode(errors="replace")
            _send((connection,), self._public_reply(connection, is_combined, text))

    def _public_reply(self, connection: ServerConnection, is_combined: bool, text: str) -> str:
        """SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, as the venue answers them."""
        try:
            request = json.loads(text)
            method, names = request["method"], request.get("params", [])
            request_id = request.get("id")
            is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
            if not isinstance(request_id, int | str | None) or not is_list:
                raise TypeError
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return '{"error":{"code":3,"msg":"Invalid JSON: expected a request"}}'
        known = self.streams.names_of(connection)
        result = "null"
        if method == "SUBSCRIBE":
            if len(known) + len(names) > STREAMS_MAX:
                return _stream_error(request_id, f"Too many streams, at most {STREAMS_MAX}")
            self.streams.subscribe(connection, is_combined, names, self.now_ns())
        elif method == "UNSUBSCRIBE":
            self.streams.unsubscribe(connection, names)
        elif method == "LIST_SUBSCRIPTIONS":
            result = json.dumps(known)
        else:
            return _stream_error(request_id, "Invalid request: unknown method")
        return f'{{"result":{result},"id":{json.dumps(request_id)}}}'


def _send(connections: Iterable[ServerConnection], text: str) -> None:
    """One frame to each, now; a client that doesn't read is cut off."""
    connections = list(connections)
    broadcast(connections, text)
    for connection in connections:
        if connection.transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
            log.warning("client does not read; cut off: %s", connection.remote_address)
            connection.transport.abort()


def _listen_key(path: str) -> str:
    url = urlsplit(path)
    if url.path.startswith(PRIVATE_PATH + "/"):
        return url.path[len(PRIVATE_PATH) + 1 :]
    return parse_qs(url.query).get("listenKey", [""])[0]


def _json_response(status: int, body: str) -> web.Response:
    return web.Response(status=status, text=body, content_type="application/json")


def _http_error(status: HTTPStatus, body: str) -> Response:
    data = body.encode()
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, data)


def _stream_error(request_id: object, text: str) -> str:
    return f'{{"error":{{"code":2,"msg":"{text}"}},"id":{json.dumps(request_id)}}}'


def _port_error(option: str, port: int, error: OSError) -> TickmakerError:
    return TickmakerError(
        f"exchange can't listen on {HOST}:{port}: {error.strerror or error}",
        f"Stop the process that has the port, or pass another {option} (0 picks a free one).",
        EXIT_USAGE,
    )
