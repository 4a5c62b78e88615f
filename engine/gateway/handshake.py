"""The WebSocket upgrade, on a non-blocking socket, plain or with TLS.

`websockets`' sans-IO ClientProtocol writes the request and checks the answer; the socket then
goes to the hot loop as it is, so no library stands between the kernel and the core. Bytes that
came behind the answer are handed over with it.
"""

import asyncio
import logging
import os
import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.gateway.tls import Stream, TlsEnds, TlsStream, begin, client_context

HEAD_BYTES_MAX = 65536  # of an answer, before we stop reading it
# Request lines hold listen keys: the library must not log them, whatever the level of the root.
_quiet = logging.getLogger("engine.gateway.handshake")
_quiet.setLevel(logging.ERROR)


class RefusedError(TickmakerError):
    """The handshake was answered with HTTP `status` instead."""

    def __init__(self, what: str, remedy: str, *, status: int) -> None:
        super().__init__(what, remedy)
        self.status = status


class Upgraded(NamedTuple):
    """A connected socket past its handshake, and the frames' bytes that came with the answer,
    decrypted."""

    sock: socket.socket
    leftover: bytes
    tls: TlsEnds | None = None


def strerror(error: OSError) -> str:
    """What the system says, without the address that asyncio puts into its own text."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


async def upgrade(
    url: str, what: str, timeout_s: float, tls: ssl.SSLContext | None = None
) -> Upgraded:
    """Connect, and upgrade. `what` names the connection in errors; `url` may hold a listen key
    and is never shown, nor is anything of its path. `tls`: for wss; None: the system's trust."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise TickmakerError(
            f"{what}: Expected a ws:// or wss:// URL with a host, was scheme {parts.scheme!r}",
            "correct the WebSocket URL in the config",
            EXIT_USAGE,
        )
    is_secure = parts.scheme == "wss"
    where = f"{what} at {parts.hostname}:{parts.port or (443 if is_secure else 80)}"
    try:
        async with asyncio.timeout(timeout_s):
            return await _upgrade(url, where, (tls or client_context()) if is_secure else None)
    except TimeoutError:
        raise TickmakerError(
            f"{where}: no WebSocket handshake within {timeout_s:g} s",
            "check that the exchange runs and answers at this address",
        ) from None


async def _upgrade(url: str, where: str, tls: ssl.SSLContext | None) -> Upgraded:
    uri = parse_uri(url)
    protocol = ClientProtocol(uri, logger=_quiet)
    sock = await _connect(asyncio.get_running_loop(), uri.host, uri.port, where)
    try:
        stream = Stream(sock)
        if tls is not None:
            stream = await _shake_hands(sock, tls, uri.host, where)
        protocol.send_request(protocol.connect())
        await stream.send(b"".join(protocol.data_to_send()))
        leftover = await _read_answer(stream, protocol)
    except ssl.SSLError as error:
        sock.close()
        raise _untrusted(where, error) from None
    except OSError as error:
        sock.close()
        raise TickmakerError(
            f"{where}: connection lost during the handshake: {strerror(error)}",
            "check the exchange's log",
        ) from None
    except BaseException:
        sock.close()
        raise
    if protocol.state is OPEN:
        return Upgraded(sock, leftover, stream.ends)
    sock.close()
    raise _refused(where, protocol.handshake_exc)


async def _shake_hands(
    sock: socket.socket, tls: ssl.SSLContext, host: str, where: str
) -> TlsStream:
    stream = TlsStream(sock, begin(tls, host))
    try:
        await stream.shake_hands()
    except EOFError:
        raise TickmakerError(
            f"{where}: connection closed during the TLS handshake",
            "check that this is the exchange's wss:// port",
        ) from None
    return stream


def _untrusted(where: str, error: ssl.SSLError) -> TickmakerError:
    """Who is at the other end can't be trusted to be the venue, or speaks no TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TickmakerError(
            f"{where}: TLS certificate refused: {error.verify_message}",
            "check the host name; for a certificate of one's own, name its authority in ca_file",
            EXIT_UNSAFE,
        )
    return TickmakerError(
        f"{where}: TLS handshake failed: {error.reason or type(error).__name__}",
        "check that this is the exchange's wss:// port",
    )


async def _connect(
    loop: asyncio.AbstractEventLoop, host: str, port: int, where: str
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # no descriptors left: what is open must go on all the same
        raise TickmakerError(
            f"{where}: cannot make a socket: {strerror(error)}",
            "see what holds this process's or host's file descriptors",
        ) from None
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, ("127.0.0.1" if host == "localhost" else host, port))
    except socket.gaierror:
        sock.close()
        raise TickmakerError(
            f"{where}: the host name has no IPv4 address",
            "check the URL in the config, and this machine's name service",
        ) from None
    except OSError as error:
        sock.close()
        raise TickmakerError(
            f"{where}: cannot connect: {strerror(error)}",
            "check that the exchange runs and listens there",
        ) from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _read_answer(stream: Stream, protocol: ClientProtocol) -> bytes:
    """Feed the head of the answer to `protocol`, and only that while it may be a success."""
    answer = b""
    while (head_end := answer.find(b"\r\n\r\n")) < 0 and len(answer) <= HEAD_BYTES_MAX:
        data = await stream.recv()
        if not data:
            break
        answer += data
    head_size = head_end + 4 if head_end >= 0 else len(answer)
    protocol.receive_data(answer[:head_size])
    if protocol.state is OPEN:
        return answer[head_size:]
    # A refusal: its body may still be on the way.
    if len(answer) > head_size:
        protocol.receive_data(answer[head_size:])
    size = len(answer)
    while protocol.handshake_exc is None:
        data = await stream.recv() if size <= HEAD_BYTES_MAX else b""
        size += len(data)
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
    return b""


def _refused(where: str, cause: Exception | None) -> TickmakerError:
    if isinstance(cause, InvalidStatus):
        return refusal(where, cause.response.status_code)
    kind = str(cause) if isinstance(cause, InvalidHandshake) else type(cause).__name__
    return TickmakerError(
        f"{where}: the answer is no valid WebSocket handshake ({kind})",
        "check that this address is the exchange's WebSocket port",
    )


def refusal(where: str, status: int) -> RefusedError:
    """What can be done about it, in words."""
    remedy = {
        401: "check the listen key and the credential",
        403: "the venue refuses this client: check the key's permissions and address list",
        404: "check the WebSocket path in the config",
        429: "too many connections: wait before the next start",
    }.get(status, "check the exchange's log")
    return RefusedError(
        f"{where}: handshake refused with HTTP status {status}", remedy, status=status
    )
