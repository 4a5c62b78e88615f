"""The upgrade against the real library's server, and against answers that must be refused."""

import asyncio
import contextlib
import errno
import http
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.utils import accept_key

from engine.errors import TickmakerError
from engine.gateway.handshake import Upgraded, upgrade

SECRET_PATH = "/private/ws?listenKey=verysecretkey"


@asynccontextmanager
async def raw_server(answer: Callable[[str], bytes], *, closes: bool) -> AsyncIterator[str]:
    """Answers any request with `answer(request head)`; closes at once, or when told to stop."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def serve_one() -> None:
            sock, _ = await loop.sock_accept(listener)
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await loop.sock_recv(sock, 4096)
                with contextlib.suppress(ConnectionError):
                    await loop.sock_sendall(sock, answer(head.decode()))
                if not closes:
                    await asyncio.Event().wait()

        task = asyncio.create_task(serve_one())
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}{SECRET_PATH}"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def refused(answer: bytes, *, closes: bool = True, timeout_s: float = 5.0) -> TickmakerError:
    async def go() -> TickmakerError:
        async with raw_server(lambda _: answer, closes=closes) as url:
            with pytest.raises(TickmakerError) as caught:
                await upgrade(url, "USER connection", timeout_s)
            return caught.value

    error = asyncio.run(go())
    assert "verysecretkey" not in str(error)
    assert "verysecretkey" not in repr(error.__cause__)
    assert error.what.startswith("USER connection at 127.0.0.1:")
    return error


def with_server(
    handler: Callable[[ServerConnection], Awaitable[None]],
    client: Callable[[str], Awaitable[Any]],
    **options: Any,
) -> Any:
    async def go() -> Any:
        async with serve(handler, "127.0.0.1", 0, **options) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await client(f"ws://127.0.0.1:{port}{SECRET_PATH}")

    return asyncio.run(go())


def test_upgrade_hands_over_the_socket_and_what_came_behind_the_answer() -> None:
    paths = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        await connection.send("hello")
        await connection.wait_closed()

    async def client(url: str) -> bytes:
        upgraded: Upgraded = await upgrade(url, "USER connection", 5.0)
        loop = asyncio.get_running_loop()
        data = upgraded.leftover
        while len(data) < 7:
            data += await loop.sock_recv(upgraded.sock, 100)
        assert upgraded.sock.getblocking() is False
        upgraded.sock.close()
        return data

    assert with_server(handler, client, close_timeout=0.1) == b"\x81\x05hello"
    assert paths == [SECRET_PATH]


def test_frames_in_the_answers_segment_are_kept() -> None:
    """A server that pushes at once: answer and first frames in one write."""

    def accept(head: str) -> bytes:
        key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept_key(key).encode() + b"\r\n\r\n\x81\x02{}\x81\x01x"
        )  # fmt: skip

    async def go() -> bytes:
        async with raw_server(accept, closes=False) as url:
            upgraded = await upgrade(url, "MARKET connection", 5.0)
            upgraded.sock.close()
            return upgraded.leftover

    assert asyncio.run(go()) == b"\x81\x02{}\x81\x01x"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_refusal_by_the_real_server_names_the_status(status: int) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(http.HTTPStatus(status), "no\n")

    async def handler(connection: ServerConnection) -> None: ...

    async def client(url: str) -> TickmakerError:
        with pytest.raises(TickmakerError) as caught:
            await upgrade(url, "USER connection", 5.0)
        return caught.value

    error = with_server(handler, client, process_request=refuse)
    assert f"HTTP status {status}" in error.what
    assert error.remedy
    assert "verysecretkey" not in str(error)


def test_wrong_accept_key_is_refused() -> None:
    error = refused(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        closes=False,
    )
    assert "no valid WebSocket handshake" in error.what
    assert "Sec-WebSocket-Accept" in error.what


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 101 Switching",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 10,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"x" * 200_000,
    ],
)
def test_no_handshake_at_all_is_refused(answer: bytes) -> None:
    error = refused(answer)
    assert "handshake" in error.what
    assert error.remedy


def test_silence_ends_at_the_deadline() -> None:
    error = refused(b"HTTP/1.1 101", closes=False, timeout_s=0.05)
    assert "no WebSocket handshake within 0.05 s" in error.what


def test_nobody_listening_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def go() -> TickmakerError:
        with pytest.raises(TickmakerError) as caught:
            await upgrade(f"ws://127.0.0.1:{port}/", "TRADE connection", 5.0)
        return caught.value

    error = asyncio.run(go())
    assert "TRADE connection" in error.what
    assert "cannot connect: Connection refused" in error.what


def test_no_descriptors_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper tries again after what it is told; anything else ends the session."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def work() -> None:
        monkeypatch.setattr(socket, "socket", refuse)
        with pytest.raises(TickmakerError, match="cannot make a socket: Too many open files"):
            await upgrade("ws://127.0.0.1:1/", "TRADE", 5.0)
        monkeypatch.undo()

    asyncio.run(work())


def test_a_host_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TickmakerError, match="the host name has no IPv4"):
        asyncio.run(upgrade("wss://venue.test/x", "USER connection", 5.0))


def test_listen_key_is_not_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def client(url: str) -> None:
        (await upgrade(url, "USER connection", 5.0)).sock.close()

    quiet = logging.getLogger("test.server")
    quiet.propagate = False
    with caplog.at_level(logging.DEBUG):
        with_server(handler, client, logger=quiet, close_timeout=0.1)
    assert "verysecretkey" not in caplog.text
