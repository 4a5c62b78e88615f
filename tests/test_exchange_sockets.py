"""The mover: a face's events and actions over real sockets; nothing of any venue."""

import asyncio
import io
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from support_face import TinyFace
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from yarl import URL

from engine.exchange import ws_end
from engine.exchange.admin import Admin
from engine.exchange.face import HttpRequest, WsClosed, WsOpen, WsPing, WsPong
from engine.exchange.faults import Faulty
from engine.exchange.server import ExchangeServer
from engine.exchange.tls import server_context

PATIENCE_S = 10.0


class Rig:
    def __init__(
        self, face: TinyFace, server: ExchangeServer, http: aiohttp.ClientSession
    ) -> None:
        self.face = face
        self.server = server
        self.http = http
        self.trust: dict[str, Any] = {}

    async def rest(
        self, method: str, target: str, body: str | io.BytesIO | None = None
    ) -> tuple[int, str, dict[str, str]]:
        url = URL(self.server.rest_url + target, encoded=True)
        async with self.http.request(method, url, data=body, **self.trust) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    async def admin(self, method: str, target: str, body: str | None = None) -> tuple[int, Any]:
        url = self.server.admin_url + target
        async with self.http.request(method, url, data=body) as answer:
            text = await answer.text()
            return answer.status, text if target.startswith("/truth") else json.loads(text)

    def ws(self, target: str = "/market", **options: Any) -> Any:
        return connect(self.server.ws_root + target, **options)

    async def until(self, is_done: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if is_done():
                    return
                await asyncio.sleep(0.001)


@asynccontextmanager
async def rigged(
    tls: ssl.SSLContext | None = None, is_busy: bool = False
) -> AsyncIterator[Rig]:
    face = TinyFace()
    faulty = Faulty(face)
    server = ExchangeServer(faulty, tls, is_busy)
    await server.start()
    await server.start_admin(Admin(faulty, server.facts))
    async with aiohttp.ClientSession() as http:
        try:
            yield Rig(face, server, http)
        finally:
            await server.stop()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(3 * PATIENCE_S):
            await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


# -- REST ---


def test_request_and_answer_pass_as_they_are() -> None:
    async def body() -> None:
        async with rigged() as rig:
            status, text, headers = await rig.rest("POST", "/a%20b?x=%2F&y", "p=1&q=é")
            assert (status, text) == (203, "POST /a%20b x=%2F&y p=1&q=é 127.0.0.1")
            assert headers["X-Used"] == "3"
            assert headers["Content-Type"] == "text/plain;charset=UTF-8"
            event = next(e for e in rig.face.events if isinstance(e, HttpRequest))
            assert event.headers["host"] == rig.server.rest_url.removeprefix("http://")

    run(body)


def test_bug_of_a_face_is_answered_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with rigged() as rig:
            with caplog.at_level(logging.ERROR, "tickmaker.exchange"):
                assert (await rig.rest("GET", "/boom"))[0] == 500
                async with rig.ws() as ws:
                    await ws.send("boom")
                    with pytest.raises(ConnectionClosedError) as closed:
                        await ws.recv()
                    assert closed.value.rcvd is not None
                    assert closed.value.rcvd.code == 1011
            assert [record.message for record in caplog.records] == [
                "bug: the face failed at a HttpRequest",
                "bug: the face failed at a WsText",
            ]
            status, health = await rig.admin("GET", "/health")
            assert (status, health["ok"], health["counters"]["bugs"]) == (200, False, 2)

    run(body)


def test_client_that_gives_up_on_a_silent_request_leaves_nothing_behind() -> None:
    async def body() -> None:
        async with rigged() as rig:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await rig.rest("GET", "/silent")
            await rig.until(lambda: not rig.server._requests.waiting)

    run(body)


def test_bug_that_a_face_tells_of_is_counted_and_it_goes_on() -> None:
    async def body() -> None:
        async with rigged() as rig:
            assert (await rig.rest("GET", "/bug"))[0] == 200
            assert (await rig.rest("GET", "/x"))[0] == 203
            for path in ("/health", "/state"):
                _, facts = await rig.admin("GET", path)
                assert facts["counters"]["bugs"] == facts["counters"]["log_errors"] == 1

    run(body)


def test_body_that_is_far_too_large_is_refused_in_the_faces_words() -> None:
    async def body() -> None:
        async with rigged() as rig:
            status, text, _ = await rig.rest("POST", "/order", io.BytesIO(bytes(2 << 20)))
            assert (status, text) == (413, "too large 0")
            assert rig.face.orders == rig.server.counters.bugs == 0
            assert (await rig.rest("POST", "/order", "x"))[0] == 200
            url = rig.server.admin_url + "/fault"
            async with rig.http.post(url, data=io.BytesIO(bytes(2 << 20))) as answer:
                assert (answer.status, await answer.json()) == (413, {"error": "too large"})

    run(body)


SECRET = "listenKeyThatIsNobodysBusiness"


async def answer_to(request_: str, url: str) -> str:
    """Status and body of what comes back for raw text, until the exchange closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    writer.write(request_.encode())
    head, _, text = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return f"{head.split()[1]} {text}"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (f"GET /{SECRET}?{'x' * 9_000} HTTP/1.1\r\nHost: x\r\n\r\n", "413 too large 0"),
        (f"GET /x HTTP/1.1\r\nX-{SECRET}: {'x' * 9_000}\r\n\r\n", "413 too large 0"),
        (f"{SECRET} /{SECRET}\r\n\r\n", "400 malformed 0"),
        (f"GET /{SECRET} HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n", "400 malformed 0"),
        (
            f"POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {len(SECRET)}"
            f"\r\n\r\n{SECRET}",
            "400 malformed 0",
        ),
    ],
)
def test_what_is_no_http_is_refused_in_the_faces_words_and_never_quoted(
    request_: str, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with rigged() as rig:
            assert await answer_to(request_, rig.server.rest_url) == answer
            assert rig.server.counters.bugs == 0
            assert (await rig.rest("GET", "/x"))[0] == 203

    with caplog.at_level(logging.DEBUG):
        run(body)
    logged = caplog.text + "".join(str(record.exc_info) for record in caplog.records)
    assert SECRET[:8] not in logged
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("is_busy", [False, True])
def test_stopped_server_is_silent(is_busy: bool) -> None:
    async def body() -> None:
        async with rigged(is_busy=is_busy) as rig, rig.ws() as ws:
            await ws.send("hi")
            assert await ws.recv() == "got hi"
            await rig.server.stop()
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            count = len(rig.face.events)
            rig.face.due_ns = 0
            await asyncio.sleep(0.02)
            assert len(rig.face.events) == count

    run(body)


def test_action_that_can_not_be_done_is_counted_and_hinders_nothing() -> None:
    async def body() -> None:
        async with rigged() as rig, rig.ws() as ws:
            await ws.send("odd")
            assert await ws.recv() == "?"  # half a surrogate pair is no UTF-8
            assert rig.server.counters.bugs == 1

    run(body)


# -- WEBSOCKETS ---


def test_messages_pings_and_closes_pass_both_ways() -> None:
    async def body() -> None:
        async with rigged() as rig:
            async with rig.ws("/trade") as ws:
                await ws.send("hi")
                assert await ws.recv() == "got hi"
                await ws.send(["in ", "pieces"])  # a fragmented message is one message
                assert await ws.recv() == "got in pieces"
                await ws.send(b"binary \xff")
                assert await ws.recv() == "got binary �"
                await (await ws.ping("x"))
                await ws.send("ping")
                await rig.until(lambda: any(isinstance(e, WsPong) for e in rig.face.events))
                await ws.send("close")
                with pytest.raises(ConnectionClosed) as closed:
                    await ws.recv()
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "bye")
            kinds = [type(event) for event in rig.face.events]
            assert kinds.count(WsOpen) == kinds.count(WsPing) == 1
            await rig.until(lambda: any(isinstance(e, WsClosed) for e in rig.face.events))
            assert rig.server.ends == []

    run(body)


def test_one_message_goes_to_each_of_many_whatever_its_size() -> None:
    async def body() -> None:
        async with rigged() as rig, rig.ws() as one, rig.ws("/user") as other:
            for size in (0, 125, 126, 65_535, 65_536, 200_000):
                await rig.rest("POST", "/all", "x" * size)
                assert len(await one.recv()) == len(await other.recv()) == size

    run(body)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (f"GET /{SECRET} HTTP/1.1\r\nHost: x\r\n\r\n", "426 malformed 0"),
        (f"GET /{SECRET}{'x' * 9_000} HTTP/1.1\r\nHost: x\r\n\r\n", "414 too large 0"),
        (
            "GET /market HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {SECRET}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            "400 malformed 0",
        ),
    ],
)
def test_what_is_no_handshake_is_refused_in_the_faces_words_and_never_quoted(
    request_: str, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with rigged() as rig:
            assert await answer_to(request_, rig.server.ws_root) == answer
            assert not [event for event in rig.face.events if isinstance(event, WsOpen)]

    with caplog.at_level(logging.INFO):
        run(body)
    assert SECRET[:8] not in caplog.text


def test_handshake_may_be_refused() -> None:
    async def body() -> None:
        async with rigged() as rig:
            with pytest.raises(InvalidStatus) as refused:
                await rig.ws("/nowhere")
            assert refused.value.response.status_code == 404
            assert refused.value.response.body == b'{"code":-5000}'
            url = rig.server.ws_root.replace("ws://", "http://")
            async with rig.http.get(url + "/market") as answer:  # no WebSocket at all
                assert answer.status == 426

    run(body)


def test_drop_is_a_reset_without_a_close_frame() -> None:
    async def body() -> None:
        async with rigged() as rig, rig.ws() as ws:
            await ws.send("drop")
            with pytest.raises(ConnectionClosedError) as closed:
                await ws.recv()
            assert closed.value.rcvd is None
            await rig.until(lambda: not rig.face.conns)

    run(body)


@pytest.mark.parametrize(
    "junk",
    [b"\x00\xff\r\n" * 50, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500],
    ids=["bytes", "headers"],
)
def test_junk_ends_its_connection_and_nothing_else(junk: bytes) -> None:
    async def body() -> None:
        async with rigged() as rig:
            host, port = rig.server.ws_root.removeprefix("ws://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(junk)
            await reader.read()  # up to its end
            writer.close()
            async with rig.ws() as ws:
                ws.transport.write(b"\xff" * 20)  # no frame of any kind
                with pytest.raises(ConnectionClosedError):
                    await ws.recv()
            assert rig.server.counters.bugs == 0

    run(body)


def test_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_end, "BACKLOG_BYTES_MAX", 1 << 16)

    async def body() -> None:
        async with rigged() as rig, rig.ws(max_queue=1, close_timeout=0.01) as ws:
            ws.transport.pause_reading()
            for _ in range(400):
                await rig.rest("POST", "/all", "x" * 100_000)
                if rig.server.counters.slow_cut:
                    break
            assert rig.server.counters.slow_cut == 1
            await rig.until(lambda: not rig.face.conns)

    run(body)


def test_ticks_come_when_the_face_is_due() -> None:
    async def body() -> None:
        async with rigged() as rig, rig.ws() as ws:
            rig.face.due_ns = rig.server.now_ns()
            await ws.send("wake")  # any event makes the server look again
            texts = [await ws.recv() for _ in range(4)]
            assert [text for text in texts if text.startswith("data")][:3] == [
                "data 1", "data 2", "data 3",
            ]  # fmt: skip

    run(body)


def test_sockets_do_not_wait_for_acknowledgements() -> None:
    async def body() -> None:
        async with rigged() as rig, rig.ws(), rig.ws():
            for end in rig.server.ends:
                assert end.transport is not None
                sock = end.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert len(rig.server.ends) == 2

    run(body)


@pytest.mark.parametrize("is_tls", [False, True])
def test_faults_only_a_mover_can_do(is_tls: bool, tmp_path: Path) -> None:
    """Half-open: silence both ways on a connection that stays; then a reset. A lost answer."""
    context, ca_file = server_context(tmp_path) if is_tls else (None, None)
    trust: dict[str, Any] = {}
    if ca_file is not None:
        trust["ssl"] = ssl.create_default_context(cafile=ca_file)

    async def body() -> None:
        async with (
            rigged(context) as rig,
            rig.ws(**trust) as ws,
            rig.ws("/user", **trust) as other,
        ):
            rig.trust = trust
            fault = '{"kind":"half_open","conn":"market","for":"100ms"}'
            assert (await rig.admin("POST", "/fault", fault))[0] == 200
            await ws.send("hi")
            pong = await ws.ping()
            await rig.rest("POST", "/all", "news")
            assert await other.recv() == "news"
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
            assert not pong.done() or pong.exception() is not None
            await rig.until(lambda: len(rig.face.conns) == 1)
            await rig.admin("POST", "/fault", '{"kind":"ack_lost","match":"/order"}')
            with pytest.raises(aiohttp.ClientConnectionError):
                await rig.rest("POST", "/order")
            assert rig.face.orders == 1

    run(body)


def test_tls_on_both_ports_with_the_authority_that_was_made(tmp_path: Path) -> None:
    context, ca_file = server_context(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [ca_file.name]  # no private key

    async def body() -> None:
        async with rigged(context) as rig:
            assert rig.server.rest_url.startswith("https://")
            trusting = ssl.create_default_context(cafile=str(ca_file))
            if hasattr(ssl, "VERIFY_X509_STRICT"):
                trusting.verify_flags |= ssl.VERIFY_X509_STRICT
            for host in ("127.0.0.1", "localhost"):
                url = rig.server.rest_url.replace("127.0.0.1", host)
                async with rig.http.get(url + "/order", ssl=trusting) as answer:
                    assert answer.status == 200
                async with connect(
                    rig.server.ws_root.replace("127.0.0.1", host) + "/trade", ssl=trusting
                ) as ws:
                    await ws.send("hi")
                    assert await ws.recv() == "got hi"
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await rig.http.get(rig.server.rest_url + "/order")

    run(body)
