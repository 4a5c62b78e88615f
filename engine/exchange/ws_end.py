"""One WebSocket connection of the local exchange: `websockets` without its coroutines.

The library's sans-IO protocol does the handshake and the frames; this file is what stands between
it and a transport. A message is handled in the call that received it: no task, no queue, no future
a message, so that an answer leaves in the same turn of the loop.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Protocol, cast

from websockets.datastructures import Headers
from websockets.exceptions import InvalidState, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from engine.exchange.face import (
    Event,
    HttpAnswer,
    Trouble,
    WsClosed,
    WsOpen,
    WsPing,
    WsPong,
    WsText,
)

MESSAGE_BYTES_MAX = 1 << 20  # of a client's; venues close with 1009 far earlier
BACKLOG_BYTES_MAX = 16 << 20  # unsent bytes at which a slow client is cut off
CLOSE_TIMEOUT_S = 1.0  # for the client's half of the closing handshake
HANDSHAKE_TIMEOUT_S = 10.0
REASON_BYTES_MAX = 123  # of a close frame, RFC 6455 5.5
_quiet = logging.getLogger("tickmaker.exchange.ws")  # its level is set where logging is
_quiet.setLevel(logging.ERROR)


class Owner(Protocol):
    """What a connection needs of its server."""

    def on_event(self, event: Event) -> None: ...

    def add(self, end: "WsEnd") -> int:
        """The number of a new connection."""

    def remove(self, end: "WsEnd") -> None: ...

    def on_slow(self, end: "WsEnd") -> None: ...

    def refusal(self, kind: Trouble) -> HttpAnswer:
        """For what is no WebSocket handshake."""


def text_frame(text: str) -> bytes:
    """A whole unmasked text message, as a server sends it (RFC 6455 5.2)."""
    payload = text.encode(errors="replace")  # half a surrogate pair is no UTF-8
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class _Protocol(ServerProtocol):
    """Refuses what is no handshake in the venue's words, not in the library's."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(max_size=MESSAGE_BYTES_MAX, logger=_quiet)
        self._owner = owner

    def reject(self, status: int, text: str) -> Response:
        is_long = status == HTTPStatus.REQUEST_URI_TOO_LONG
        answer = self._owner.refusal(Trouble.TOO_LARGE if is_long else Trouble.MALFORMED)
        response = super().reject(status, answer.body)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response


class WsEnd(asyncio.Protocol):
    """The server's end of one connection."""

    def __init__(self, owner: Owner) -> None:
        self.conn = 0
        self.target = ""
        self.is_half_open = False
        self._owner = owner
        self._protocol = _Protocol(owner)
        self._transport: asyncio.Transport | None = None
        self._handshake: Response | None = None
        self._is_told = False  # the face knows of this connection
        self._parts: list[bytes | bytearray | memoryview] = []
        self._timer: asyncio.TimerHandle | None = None

    # -- FROM THE TRANSPORT ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.conn = self._owner.add(self)
        self._end_after(HANDSHAKE_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        if self.is_half_open:
            return
        protocol = self._protocol
        protocol.receive_data(data)
        self._flush()  # pongs first: the face is told of a ping that is answered
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Request):
                self._on_handshake(event)

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._owner.remove(self)
        if self._is_told:
            self._owner.on_event(WsClosed(self.conn))

    def _on_handshake(self, request: Request) -> None:
        response = self._protocol.accept(request)
        self._handshake = response
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._protocol.send_response(response)  # no WebSocket request: 426 or 400
            self._flush()
            return
        self.target = request.path
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self._is_told = True
        self._owner.on_event(WsOpen(self.conn, request.path, headers, self.peer_ip))

    def _on_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if not frame.fin:
                self._parts.append(frame.data)
                return
            data = bytes(frame.data)
            if self._parts:
                data = b"".join([*self._parts, data])
                self._parts.clear()
            self._owner.on_event(WsText(self.conn, data.decode(errors="replace")))
        elif opcode is Opcode.PING:
            self._owner.on_event(WsPing(self.conn))
        elif opcode is Opcode.PONG:
            self._owner.on_event(WsPong(self.conn))

    # -- FROM THE SERVER ---

    @property
    def peer_ip(self) -> str:
        peer: Any = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else "127.0.0.1"

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._transport

    def accept(self) -> None:
        if self._handshake is None or self._protocol.state is not State.CONNECTING:
            return
        self._protocol.send_response(self._handshake)
        if self._timer is not None:
            self._timer.cancel()
        self._flush()

    def refuse(self, status: int, body: str) -> None:
        if self._protocol.state is not State.CONNECTING:
            return
        data = body.encode(errors="replace")
        headers = Headers(
            {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                "Connection": "close",
            }
        )
        self._protocol.send_response(Response(status, _phrase(status), headers, data))
        self._flush()

    def send(self, frame: bytes) -> None:
        """A frame as it goes over the wire; nothing once the connection is closing."""
        transport = self._transport
        if transport is None or self._protocol.state is not State.OPEN or self.is_half_open:
            return
        transport.write(frame)
        if transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
            self._owner.on_slow(self)
            transport.abort()

    def ping(self, payload: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(payload.encode()[:125])
            self._flush()

    def close(self, code: int, reason: str) -> None:
        if self.is_half_open:
            return
        try:
            self._protocol.send_close(code, _short(reason))
        except (InvalidState, ProtocolError):
            self.drop()  # not open yet, closing already, or no code that may be sent
            return
        self._flush()
        self._end_after(CLOSE_TIMEOUT_S)

    def half_open(self) -> None:
        self.is_half_open = True
        if self._transport is not None:
            self._transport.pause_reading()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end_after(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.drop)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or self.is_half_open:
            return
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
            else:  # the end of the stream: what was written leaves first
                transport.close()
                self._end_after(CLOSE_TIMEOUT_S)


def _short(reason: str) -> str:
    return reason.encode(errors="replace")[:REASON_BYTES_MAX].decode(errors="ignore")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
