"""A connection until the hot loop has it: bytes over a socket, with TLS or without.

TLS is the interpreter's ssl over memory buffers: the handshake runs here; then the hot loop feeds
what recv gives to `incoming`, reads plaintext from `session`, and sends what gathers in
`outgoing`. Which host is spoken to is always verified, by name and certificate.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from engine.errors import EXIT_USAGE, TickmakerError

READ_BYTES = 65536
T = TypeVar("T")


class TlsEnds(NamedTuple):
    """A TLS session past its handshake, and the two buffers of ciphertext around it."""

    session: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only the one in `ca_file`; at least TLS 1.2."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError):
        raise TickmakerError(
            "Configuration: ca_file holds no certificate that can be read",
            "name a PEM file, or leave it out",
            EXIT_USAGE,
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake in mid-session has no place in a poll
    return context


def begin(context: ssl.SSLContext, host: str) -> TlsEnds:
    """A session that has yet to shake hands."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_side=False, server_hostname=host)
    return TlsEnds(session, incoming, outgoing)


class Stream:
    """Bytes over a connected non-blocking socket.

    Waits by the loop's readers and writers, which every loop has, the simulator's too.
    """

    ends: TlsEnds | None = None

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        """All of `data`; OSError."""
        view = memoryview(data)
        while view:
            sent = await _attempt(self.sock.fileno(), True, partial(self.sock.send, view))
            view = view[sent:]

    async def recv(self) -> bytes:
        """Some bytes; b"": the end. OSError."""
        return await _attempt(self.sock.fileno(), False, lambda: self.sock.recv(READ_BYTES))


class TlsStream(Stream):
    """The same through TLS. What recv() leaves in the session is nothing that could be read."""

    ends: TlsEnds

    def __init__(self, sock: socket.socket, ends: TlsEnds) -> None:
        super().__init__(sock)
        self.ends = ends

    async def shake_hands(self) -> None:
        """Until both sides trust each other. ssl.SSLError, OSError, EOFError."""
        while True:
            try:
                self.ends.session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                await self._flush()  # the alert that says why
                raise
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.ends.session.write(view) :]
        await self._flush()

    async def recv(self) -> bytes:
        """All that can be read now, at least a byte; b"": the end. ssl.SSLError, OSError."""
        while True:
            data = self._read()
            await self._flush()
            if data is not None:
                return data
            try:
                await self._fill()
            except EOFError:
                return b""

    def _read(self) -> bytes | None:
        """None: no whole record has come."""
        parts = []
        try:
            while part := self.ends.session.read(READ_BYTES):
                parts.append(part)
        except ssl.SSLWantReadError:
            if not parts:
                return None
        return b"".join(parts)

    async def _fill(self) -> None:
        data = await super().recv()
        if not data:
            raise EOFError
        self.ends.incoming.write(data)

    async def _flush(self) -> None:
        if self.ends.outgoing.pending:
            await super().send(self.ends.outgoing.read())


async def _attempt(fd: int, is_write: bool, attempt: Callable[[], T]) -> T:
    """What `attempt` gives as soon as it does not raise BlockingIOError.

    The socket is watched all the while: a loop may wake who begins to watch at once.
    """
    with contextlib.suppress(BlockingIOError):
        return attempt()
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    if is_write:
        loop.add_writer(fd, woken.set)
    else:
        loop.add_reader(fd, woken.set)
    try:
        while True:
            await woken.wait()
            woken.clear()
            with contextlib.suppress(BlockingIOError):
                return attempt()
    finally:
        if is_write:
            loop.remove_writer(fd)
        else:
            loop.remove_reader(fd)
