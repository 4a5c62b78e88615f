"""The network between a session and a Face, in virtual time: bytes are late, cut up and lost.

WebSockets end in a socket pair: the compiled edge reads and writes its half as it would a TCP
socket, ours is read and written here, so that no byte leaves the machine's memory. Each way of a
connection is a FIFO with arrival times (TCP never reorders), and what arrives at the engine is
polled there and then. HTTP requests are single messages with a delay each way.

Faults of the wire live here (cut, half-open, stalled, refused, split); faults of the venue are a
Face around the Face (exchange/faults.py).
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from math import log
from operator import attrgetter
from random import Random
from urllib.parse import urlsplit

from multidict import CIMultiDict

from engine.errors import TickmakerError
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
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsHalfOpen,
    WsOpen,
    WsPing,
    WsPingOut,
    WsPong,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.terms import NEVER_NS
from engine.gateway.handshake import Upgraded, refusal
from engine.gateway.http import TIMEOUT_S, HttpReply, NoAnswerError
from engine.sim import frames
from engine.sim.link import Link, Weather
from engine.sim.loop import VirtualLoop
from engine.sim.named import USER_MARK
from engine.sim.trouble import Trouble

MS, S = 1_000_000, 1_000_000_000
READ_BYTES = 1 << 16
BUFFER_BYTES = 1 << 20  # of a socket pair: a TCP window's worth
UNACKED_NS_MAX = 5 * S  # TCP_USER_TIMEOUT of the compiled edge


class Network(Trouble):
    """All connections between one engine and one face; also lets the face's time run."""

    def __init__(self, loop: VirtualLoop, face: Face, rng: Random, weather: Weather) -> None:
        super().__init__(loop)
        self.face = face
        self.weather = weather
        self.links: dict[int, Link] = {}  # live ones, oldest first
        self._poll = select.epoll()
        self._link_of_fd: dict[int, Link] = {}
        self.logs: list[Log] = []
        self.steps = 0
        self.messages_down = 0
        self.messages_up = 0
        self.throttled = 0  # HTTP answers that said so
        self._rng = rng
        self._random = rng.random
        self._next_number = 0
        self._waiting_dial: dict[int, asyncio.Future[WsAccept | WsRefuse]] = {}
        self._waiting_http: dict[int, asyncio.Future[HttpAnswer | HttpDrop]] = {}
        self._due_ns = NEVER_NS  # of the tick that is planned
        self.just_sent: list[Link] = []  # TRADE: what came last is at the end of their `up`
        self.on_collected: Callable[[], object] = lambda: None  # something left; time moves next
        loop.before_jump = self.collect

    # -- FACE ---

    def utc_ns(self) -> int:
        return self.loop.wall_ns()

    def step(self, event: Event) -> None:
        """One event into the face; what it says goes on its way."""
        self.steps += 1
        self.perform(self.face.step(event, self.utc_ns()))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, WsSend):
                data = frames.frame(frames.TEXT, action.text.encode())
                for conn in action.conns:
                    self._send_down(conn, data)
            elif isinstance(action, HttpAnswer | HttpDrop):
                self._answer_http(action)
            elif isinstance(action, WsAccept | WsRefuse):
                waiting = self._waiting_dial.pop(action.conn, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(action)
            elif isinstance(action, WsPingOut):
                self._send_down(
                    action.conn, frames.frame(frames.PING, action.payload.encode())
                )
            elif isinstance(action, WsClose):
                payload = action.code.to_bytes(2, "big") + action.reason.encode()[:123]
                self._send_down(action.conn, frames.frame(frames.CLOSE, payload))
                self._end(action.conn)
            elif isinstance(action, WsDrop):
                self._end(action.conn)
            elif isinstance(action, WsHalfOpen):
                if link := self.links.get(action.conn):
                    self._deaden(link)
            else:
                self.logs.append(action)
        self._plan_tick()

    def _plan_tick(self) -> None:
        """A timer at the face's next time, unless an earlier one stands already."""
        due_ns = self.face.next_due_ns()
        if due_ns < self._due_ns:
            self._due_ns = due_ns
            self.loop.at_ns(due_ns - self.utc_ns() + self.loop.monotonic_ns(), self._tick, due_ns)

    def _tick(self, due_ns: int) -> None:
        if due_ns == self._due_ns:  # else a sooner one has come in between
            self._due_ns = NEVER_NS
            self.step(Tick())

    # -- DELAYS ---

    def _delay_ns(self, what: str) -> int:
        weather = self.weather
        draw = -log(1.0 - self._random())  # exponential, of mean 1
        delay_ns = weather.base_ns + int(draw * weather.jitter_ns)
        if until_ns := self._stalled_ns.get(what):
            delay_ns += max(until_ns - self.loop.monotonic_ns(), 0)
        return delay_ns

    # -- WEBSOCKETS ---

    async def dial(
        self, url: str, what: str, timeout_s: float, tls: ssl.SSLContext | None = None
    ) -> Upgraded:
        """What handshake.upgrade does over TCP; nothing here needs encryption."""
        parts = urlsplit(url)
        where = f"{what} at {parts.netloc}"
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if what.startswith("USER"):
            target += USER_MARK
        kind = self.face.kind_of(target)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._dial(target, kind, where)
        except TimeoutError:
            raise TickmakerError(
                f"{where}: no WebSocket handshake within {timeout_s:g} s",
                "check that the exchange runs and answers at this address",
            ) from None

    async def _dial(self, target: str, kind: ConnKind, where: str) -> Upgraded:
        await asyncio.sleep(self._delay_ns(kind.value) / 1e9)
        if self._refused_ns.get(kind.value, 0) > self.loop.monotonic_ns():
            raise TickmakerError(
                f"{where}: cannot connect: Connection refused",
                "check that the exchange runs and listens there",
            )
        self._next_number += 1
        conn = self._next_number
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (theirs, ours):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        link = self.links[conn] = Link(conn, kind, ours, theirs.fileno())
        self._link_of_fd[ours.fileno()] = link
        self._poll.register(ours.fileno(), select.EPOLLIN)
        answered = self._waiting_dial[conn] = self.loop.create_future()
        is_up = False
        try:
            self.step(WsOpen(conn, target, {}))
            answer = await answered
            # What the face sends from now on arrives behind its answer.
            await asyncio.sleep(self._delay_ns(kind.value) / 1e9)
            if isinstance(answer, WsRefuse):
                raise refusal(where, answer.status)
            is_up = True
            return Upgraded(theirs, b"")
        finally:
            self._waiting_dial.pop(conn, None)
            if not is_up:
                theirs.close()
                self._forget(link)

    def _send_down(self, conn: int, data: bytes) -> None:
        link = self.links.get(conn)
        if link is None or link.is_dead:
            return
        self.messages_down += 1
        now_ns, queue = self.loop.monotonic_ns(), link.down
        arrival_ns = now_ns + self._delay_ns(link.kind.value)
        arrival_ns = max(arrival_ns, link.last_ns(queue))
        share = self._split_share if self._split_ns > now_ns else self.weather.split_share
        if share and self._rng.random() < share and len(data) > 1:
            cut = self._rng.randrange(1, len(data))
            queue.append((arrival_ns, data[:cut]))
            arrival_ns += self._rng.randrange(self.weather.split_ns)
            data = data[cut:]
        queue.append((arrival_ns, data))
        if not link.is_down_waiting:
            self._plan_down(link)

    def _plan_down(self, link: Link) -> None:
        link.is_down_waiting = True
        self.loop.at_ns(link.down[0][0], self._deliver, link)

    def _deliver(self, link: Link) -> None:
        """What has arrived goes into the engine's socket, and the engine looks."""
        link.is_down_waiting = False
        now_ns, queue, pieces, is_end = self.loop.monotonic_ns(), link.down, [], False
        while queue and queue[0][0] <= now_ns:
            piece = queue.popleft()[1]
            pieces.append(piece)
            is_end = is_end or not piece
        if link.is_over:
            return
        data = b"".join(pieces)
        try:
            sent = link.ours.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the engine has closed its half; collect() sees that
        if sent < len(data):  # the engine does not read: the window is closed
            queue.appendleft((now_ns + MS, data[sent:]))
        elif is_end:
            link.is_over = True
            link.ours.shutdown(socket.SHUT_RDWR)
        if queue:
            self._plan_down(link)
        self.loop.readable(link.fd)

    def _end(self, conn: int) -> None:
        """The venue ends the connection: the engine sees that behind all that was sent."""
        link = self.links.get(conn)
        if link is None:
            return
        if link.is_dead:
            self._drop_engine_end(link)
        else:
            arrival_ns = self.loop.monotonic_ns() + self._delay_ns(link.kind.value)
            link.down.append((max(arrival_ns, link.last_ns(link.down)), b""))
            if not link.is_down_waiting:
                self._plan_down(link)
        self._tell(link)

    def _tell(self, link: Link) -> None:
        """The face hears, once, that a connection is gone."""
        if not link.is_told:
            link.is_told = True
            self.loop.call_soon(self.step, WsClosed(link.conn))

    def collect(self) -> None:
        """Take what the engine wrote since time last moved."""
        self.just_sent.clear()
        if links := [self._link_of_fd[fd] for fd, _ in self._poll.poll(0)]:
            for link in sorted(links, key=attrgetter("conn")):  # the kernel's order is its own
                self._collect(link)
            self.on_collected()

    def _collect(self, link: Link) -> None:
        while True:
            try:
                data = link.ours.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._forget(link)
            if link.is_dead:
                link.unacked_ns = link.unacked_ns or self.loop.monotonic_ns()
                if data:
                    self.loop.at_ns(
                        link.unacked_ns + UNACKED_NS_MAX, self._engine_gives_up, link
                    )
            elif not link.is_told:
                arrival_ns = self.loop.monotonic_ns() + self._delay_ns(link.kind.value)
                link.up.append((max(arrival_ns, link.last_ns(link.up)), data))
                if link.kind is ConnKind.TRADE and data:
                    self.just_sent.append(link)
                if not link.is_up_waiting:
                    self._plan_up(link)
            if not data:
                return

    def _forget(self, link: Link) -> None:
        """The engine's half is closed."""
        link.is_over = True
        if self.links.pop(link.conn, None) is not None:
            self._poll.unregister(link.ours.fileno())
            del self._link_of_fd[link.ours.fileno()]
            link.ours.close()

    def _plan_up(self, link: Link) -> None:
        link.is_up_waiting = True
        self.loop.at_ns(link.up[0][0], self._arrive, link)

    def _arrive(self, link: Link) -> None:
        """What the engine sent has come to the venue."""
        link.is_up_waiting = False
        now_ns, queue = self.loop.monotonic_ns(), link.up
        while queue and queue[0][0] <= now_ns and not link.is_told:
            data = queue.popleft()[1]
            if not data:
                self._tell(link)
                return
            for opcode, payload in link.reader.feed(data):
                self.messages_up += 1
                self._hear(link, opcode, payload)
        if queue and not link.is_told:
            self._plan_up(link)

    def _hear(self, link: Link, opcode: int, payload: bytes) -> None:
        if opcode == frames.PING:
            self._send_down(link.conn, frames.frame(frames.PONG, payload))
            self.step(WsPing(link.conn))
        elif opcode == frames.PONG:
            self.step(WsPong(link.conn))
        elif opcode == frames.CLOSE:
            self._tell(link)
        elif not link.is_told:
            self.step(WsText(link.conn, payload.decode(errors="replace")))

    # -- HTTP ---

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"",
                      timeout_s: float = TIMEOUT_S, ip: str = "127.0.0.1") -> HttpReply:
        """What http.AiohttpClient does over TCP."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._request(method, url, headers, body, ip)
        except TimeoutError:
            raise NoAnswerError(f"no answer within {timeout_s:g} s") from None

    async def _request(self, method: str, url: str, headers: Mapping[str, str],
                       body: bytes, ip: str) -> HttpReply:
        if self._is_in_force(self._refused_ns, "http"):
            raise NoAnswerError("cannot connect (Connection refused)")
        is_lost = self._is_in_force(self._lost_ns, "request")
        parts = urlsplit(url)
        self._next_number += 1
        number = self._next_number
        answered = self._waiting_http[number] = self.loop.create_future()
        lowered = {name.lower(): value for name, value in headers.items()}
        event = HttpRequest(number, method, parts.path, parts.query, body.decode(), lowered, ip)
        if not is_lost:  # it arrives, whether or not anybody still waits for the answer
            arrival_ns = self.loop.monotonic_ns() + self._delay_ns("http")
            self.loop.at_ns(arrival_ns, self.step, event)
        try:
            answer = await answered
        finally:
            self._waiting_http.pop(number, None)
        is_lost = self._is_in_force(self._lost_ns, "answer")
        await asyncio.sleep(TIMEOUT_S if is_lost else self._delay_ns("http") / 1e9)
        if isinstance(answer, HttpDrop):
            raise NoAnswerError("ServerDisconnectedError")
        self.throttled += answer.status in (418, 429)
        return HttpReply(answer.status, answer.body.encode(), CIMultiDict(answer.headers))

    def shut(self) -> None:
        """Nothing more will be sent: give the file descriptors back."""
        for link in list(self.links.values()):
            self._forget(link)
        self._poll.close()

    def _answer_http(self, answer: HttpAnswer | HttpDrop) -> None:
        waiting = self._waiting_http.get(answer.request)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    # -- FAULTS OF THE WIRE ---

    def cut(self, kind: ConnKind, is_up_lost: bool) -> None:
        """Reset: what is on its way to the engine is lost, what is on its way up if told so."""
        self.collect()
        for link in self._of(kind):
            link.down.clear()
            link.is_dead = True
            if is_up_lost:
                link.up.clear()
                self._tell(link)
            else:
                link.up.append((link.last_ns(link.up), b""))
                if not link.is_up_waiting:
                    self._plan_up(link)
            self._drop_engine_end(link)

    def kill(self, is_up_lost: bool) -> None:
        """The engine's process is gone: what it wrote is on its way, or reset with the rest; of
        what comes it hears nothing. Our halves are closed: nothing that is still done over there
        reaches anybody."""
        for link in list(self.links.values()):
            link.down.clear()
            if is_up_lost:
                link.up.clear()
                self._tell(link)
            elif not link.is_dead and not link.is_told:
                link.up.append((link.last_ns(link.up), b""))
                if not link.is_up_waiting:
                    self._plan_up(link)
            self._forget(link)

    def half_open(self, kind: ConnKind, for_ns: int) -> None:
        """Both ends believe in a connection that carries nothing; then it is reset."""
        self.collect()
        for link in self._of(kind):
            self._deaden(link)
            self.loop.at_ns(self.loop.monotonic_ns() + for_ns, self._reset, link)

    def _deaden(self, link: Link) -> None:
        link.down.clear()
        link.up.clear()
        link.is_dead = True

    def _reset(self, link: Link) -> None:
        self._tell(link)
        self._drop_engine_end(link)

    def _engine_gives_up(self, link: Link) -> None:
        """TCP_USER_TIMEOUT of the compiled edge: nobody acknowledges what it sent."""
        self._drop_engine_end(link)

    def _drop_engine_end(self, link: Link) -> None:
        if not link.is_over:
            link.is_over = True
            link.ours.shutdown(socket.SHUT_RDWR)
            self.loop.readable(link.fd)

    def _of(self, kind: ConnKind) -> list[Link]:
        return [link for link in self.links.values() if link.kind is kind and not link.is_over]

