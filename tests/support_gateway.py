"""Real sockets for tests: a venue's end of a TCP connection, and what reached the core."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support_core import UTC_OFFSET_NS, Desk, unmask
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from engine import clock
from engine.gateway.hotconn import HotConn
from engine.gateway.hotsocket import Cold, HotLoop
from engine.gateway.tls import TlsEnds
from fastcore.journal import KIND, OUT_FIELDS, OUT_HEADER, read_segment, unpack
from fastcore.types import Command, Conn

SO_TIMESTAMPNS = 35  # asm-generic/socket.h
PATIENCE_NS = 10_000_000_000  # of a poll that waits for something: a failure, never a hang


def tcp_pair(server_receive_bytes: int = 0, client_send_bytes: int = 0) -> list[socket.socket]:
    """[client, server]: two ends of one loopback connection; 0: the kernel's buffer sizes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if server_receive_bytes:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, server_receive_bytes)
        client = socket.socket()
        if client_send_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, client_send_bytes)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.settimeout(10.0)
    return [client, server]


@contextmanager
def kernel_stamps() -> Iterator[None]:
    """The kernel switches stamping on some time after the first socket asks for it, and off with
    the last: one asks for as long as this is open, which begins when it works."""
    client, server = tcp_pair()
    with client, server:
        client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        control: list[object] = []
        deadline_ns = clock.monotonic_ns() + PATIENCE_NS
        while not control and clock.monotonic_ns() < deadline_ns:
            server.send(b"x")
            control = client.recvmsg(1, 128)[1]
        assert control, "no kernel stamps on this machine"
        yield


class Venue:
    """The venue's end of one connection: `websockets`' sans-IO protocol over a plain socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.protocol = ServerProtocol(state=OPEN, max_size=None)
        self.received: list[Frame] = []

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def recv(self) -> bytes:
        return self.sock.recv(65536)

    def bytes_of(self, *calls: Callable[[ServerProtocol], None]) -> bytes:
        """The bytes that the library makes of protocol calls."""
        for call in calls:
            call(self.protocol)
        return b"".join(self.protocol.data_to_send())

    def text(self, *texts: str) -> bytes:
        return self.bytes_of(*(lambda p, t=t: p.send_text(t.encode()) for t in texts))

    def read(self, count: int = 1) -> list[Frame]:
        """At least `count` frames that the engine sent and that were not read before."""
        while len(self.received) < count:
            self.protocol.receive_data(self.recv())
            for event in self.protocol.events_received():
                assert isinstance(event, Frame)
                self.received.append(event)
        frames, self.received = self.received, []
        return frames

    def read_json(self, count: int = 1) -> list[dict[str, Any]]:
        """The messages among what read() gives."""
        return [json.loads(frame.data) for frame in self.read(count)
                if frame.opcode is Opcode.TEXT]  # fmt: skip


class Wire:
    """A core behind a HotLoop, with the venue's end of each connection that was opened."""

    def __init__(self, **overrides: Any) -> None:
        # A test machine may stall for longer than any budget that is worth having.
        patient = {"budgets__tick_to_order_us_max": 30e6, "budgets__ack_ms_max": 30e3}
        self.desk = Desk(**(patient | overrides))
        self.hot = HotLoop(others_every=1)
        self.hot.add_core(self.desk.core)
        self.roles = {conn: self.hot.add_role(conn, [0]) for conn in Conn}
        self.venues: dict[Conn, Venue] = {}

    def open(self, *conns: Conn, leftover: bytes = b"", **sizes: int) -> None:
        for conn in conns:
            client, server = tcp_pair(**sizes)
            self.venues[conn], tls = self.ends(server)
            self.hot.attach(self.roles[conn], 0, client, leftover, tls)

    def ends(self, server: socket.socket) -> tuple[Venue, TlsEnds | None]:
        """The venue's end, and what TLS there is of ours."""
        return Venue(server), None

    def socket(self, conn: Conn) -> HotConn:
        return self.roles[conn].socket(0)

    @property
    def market(self) -> HotConn:
        return self.socket(Conn.MARKET)

    @property
    def trade(self) -> HotConn:
        return self.socket(Conn.TRADE)

    @property
    def user(self) -> HotConn:
        return self.socket(Conn.USER)

    def close(self) -> None:
        for role in self.roles.values():
            self.hot.detach(role, 0)
        for venue in self.venues.values():
            venue.sock.close()

    def poll_until(self, is_done: Callable[[], bool]) -> set[Cold]:
        """Poll until `is_done`; what take_cold() said on the way."""
        cold: set[Cold] = set()
        deadline_ns = clock.monotonic_ns() + PATIENCE_NS
        while clock.monotonic_ns() < deadline_ns:
            if self.hot.poll(1):
                cold |= {what for what, _, _ in self.hot.take_cold()}
            if is_done():
                return cold
        raise AssertionError("nothing came of it")

    def start(self, **sizes: int) -> list[dict[str, Any]]:
        """Three connections, a synced book, started: the venue has two orders, acknowledged."""
        self.open(Conn.MARKET, Conn.USER)
        self.open(Conn.TRADE, **sizes)
        self.hot.clock(0, UTC_OFFSET_NS)
        self.desk.now_ns = clock.monotonic_ns()
        self.hot.snapshot(0, json.dumps({
            "lastUpdateId": 100, "E": 1, "T": 1,
            "bids": [["60000.00", "1.000"]], "asks": [["60000.10", "1.000"]],
        }).encode())  # fmt: skip
        self.venues[Conn.MARKET].send(self.venues[Conn.MARKET].text(depth(100, 101)))
        self.poll_until(lambda: self.desk.core.numbers()["sync_state"] == 2)
        self.hot.account(0, 0, 0)
        self.hot.command(0, Command.START)
        placed = [message["params"] | {"id": message["id"]} for message in self.read_orders(2)]
        for params in placed:
            self.send_trade({"id": params["id"], "status": 200,
                             "result": {"orderId": 900, "status": "NEW"}})  # fmt: skip
        self.poll_until(lambda: all(own["state"] == 2 for own in self.numbers["own"]))
        return placed

    def read_orders(self, count: int) -> list[dict[str, Any]]:
        return self.venues[Conn.TRADE].read_json(count)

    def send_trade(self, message: dict[str, Any]) -> None:
        venue = self.venues[Conn.TRADE]
        venue.send(venue.text(json.dumps(message)))

    @property
    def numbers(self) -> dict[str, Any]:
        return self.desk.core.numbers()

    def frames(self, conn: Conn = Conn.MARKET) -> list[tuple[bytes, int, int]]:
        """(payload, recv_ts_ns, now_ns) of each text message that reached the core."""
        return [
            (bytes(payload), recv_ts_ns, now_ns)
            for _, kind, arg, _, now_ns, recv_ts_ns, payload in read_segment(self.desk.segment)
            if kind == KIND["FRAME"] and arg == conn
        ]

    def payloads(self, conn: Conn = Conn.MARKET) -> list[bytes]:
        return [payload for payload, _, _ in self.frames(conn)]

    def sends(self) -> list[tuple[int, dict[str, int]]]:
        """(outcome, fields) of each message that the core put out."""
        return [
            (arg, unpack(kind, payload))
            for _, kind, arg, _, _, _, payload in read_segment(self.desk.segment)
            if kind == KIND["SEND"]
        ]

    def outs(self) -> list[dict[str, int]]:
        return [
            dict(zip(OUT_FIELDS, OUT_HEADER.unpack_from(payload), strict=True)) | {"verb": arg}
            for _, kind, arg, _, _, _, payload in read_segment(self.desk.segment)
            if kind == KIND["OUT"]
        ]


def depth(first: int, final: int, bid: str = "60000.00", qty: str = "1.000") -> str:
    """A depthUpdate that covers update ids first..final."""
    return json.dumps({
        "e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": first, "u": final, "pu": first,
        "b": [[bid, qty]], "a": [],
    })  # fmt: skip


def best(update_id: int, bid: str, ask: str) -> str:
    return json.dumps({
        "e": "bookTicker", "u": update_id, "s": "BTCUSDT", "b": bid, "B": "1.000",
        "a": ask, "A": "1.000", "T": 1, "E": 1,
    })  # fmt: skip


__all__ = ["Venue", "Wire", "best", "depth", "kernel_stamps", "tcp_pair", "unmask"]
