"""TLS on the hot path: records cut anywhere, stamps, full ways out, ends; and who is trusted."""

import asyncio
import contextlib
import random
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_core import Desk
from support_gateway import Venue, Wire, best, kernel_stamps
from support_tls import TlsVenue, Trust
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import CloseCode, Opcode

from engine import clock
from engine.errors import EXIT_UNSAFE, TickmakerError
from engine.gateway.handshake import upgrade
from engine.gateway.hotsocket import Cold, HotLoop
from engine.gateway.tls import TlsEnds, TlsStream, begin, client_context
from engine.gateway.transport import ColdItem, HotTransport
from engine.venues.base import ConnPlan
from fastcore.types import Command, Conn, SendOutcome

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class TlsWire(Wire):
    def __init__(self, trust: Trust, **overrides: Any) -> None:
        self.trust = trust
        super().__init__(**overrides)

    def ends(self, server: socket.socket) -> tuple[Venue, TlsEnds | None]:
        venue = TlsVenue(server, self.trust)
        return venue, venue.shake_hands(self.trust)

    def tls(self, conn: Conn) -> TlsVenue:
        venue = self.venues[conn]
        assert isinstance(venue, TlsVenue)
        return venue


@pytest.fixture(scope="module", params=VERSIONS, ids=["1.2", "1.3"])
def trust(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("tls"), request.param)


@pytest.fixture
def wire(trust: Trust) -> Iterator[TlsWire]:
    wire = TlsWire(trust)
    yield wire
    wire.close()


def poll_messages(wire: Wire, count: int, conn: Conn = Conn.MARKET) -> None:
    wire.poll_until(lambda: wire.socket(conn).messages >= count)


# -- WHAT ARRIVES ---


def test_records_split_anywhere_give_whole_messages(wire: TlsWire) -> None:
    wire.open(Conn.MARKET)
    assert wire.market.is_encrypted
    venue = wire.tls(Conn.MARKET)
    rng = random.Random(9)
    words = [rng.choice(["{}", "x" * 125, "y" * 126, "z" * 17_000]) + str(n) for n in range(80)]
    records = b""
    for word in words:  # some messages share a record, long ones have several
        records += venue.sealed(venue.text(word))
    sent = 0
    while sent < len(records):
        size = rng.choice((1, 2, 4, 5, 6, 100, 5_000, 70_000))
        venue.sock.sendall(records[sent : sent + size])
        sent += size
        wire.hot.poll(rng.choice((0, 1, 3)))
    poll_messages(wire, len(words))
    assert wire.payloads() == [word.encode() for word in words]


def test_more_than_the_buffer_holds_is_read_in_turns(wire: TlsWire) -> None:
    number = wire.hot.add_core(Desk(number=1).core)
    wire.roles[Conn.MARKET] = wire.hot.add_role(Conn.MARKET, [number], 1, 4096)
    wire.open(Conn.MARKET)
    venue = wire.tls(Conn.MARKET)
    words = [f"{index}" * 300 for index in range(10, 90)]
    venue.send(venue.text(*words))
    poll_messages(wire, len(words))
    assert wire.market.is_open
    venue.send(venue.text("w" * 4096))
    wire.poll_until(lambda: not wire.market.is_open)
    assert wire.market.close_text == "message longer than the receive buffer"


def test_bytes_decrypted_before_the_hand_over_come_first(trust: Trust) -> None:
    wire = TlsWire(trust)
    try:
        wire.open(Conn.MARKET, leftover=b"\x81\x03one\x81\x03tw")
        venue = wire.tls(Conn.MARKET)
        venue.send(b"o")
        poll_messages(wire, 2)
        assert wire.payloads() == [b"one", b"two"]
    finally:
        wire.close()


def test_a_message_whose_record_ends_the_read_has_the_kernels_stamp(wire: TlsWire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.tls(Conn.MARKET)
    venue.send(venue.text("tickets come first"))
    poll_messages(wire, 1)
    with kernel_stamps():
        bounded = wire.market.bounded
        wire.hot.poll(3)
        before_ns = clock.monotonic_ns()
        venue.send(venue.text("whole"))
        poll_messages(wire, 2)
        assert wire.market.bounded == bounded
        assert wire.frames()[-1][1] >= before_ns - 50_000
    count = wire.market.messages
    two = venue.sealed(venue.text("whole")), venue.sealed(venue.text("cut"))
    venue.sock.sendall(two[0] + two[1][:10])  # the stamp is of a segment with more in it
    poll_messages(wire, count + 1)
    assert wire.market.bounded == bounded + 1
    venue.sock.sendall(two[1][10:])
    poll_messages(wire, count + 2)


def test_the_ends_of_a_session_are_told(trust: Trust) -> None:
    wire = TlsWire(trust)
    try:
        wire.open(*Conn)
        market, user, trade = map(wire.tls, (Conn.MARKET, Conn.USER, Conn.TRADE))
        data = market.sealed(market.text("last"))
        with contextlib.suppress(ssl.SSLWantReadError):
            market.session.unwrap()
        market.sock.sendall(data + market.outgoing.read())  # close_notify behind a message
        cold = wire.poll_until(lambda: not wire.market.is_open)
        assert wire.market.close_text == "the peer closed the TCP connection"
        assert wire.payloads() == [b"last"]
        mangled = bytearray(user.sealed(user.text("mangled on its way")))
        mangled[-1] ^= 1
        user.sock.sendall(mangled)
        cold |= wire.poll_until(lambda: not wire.user.is_open)
        assert wire.user.close_text.startswith("TLS error: ")
        assert wire.payloads(Conn.USER) == []
        trade.sock.sendall(b"\x81\x08{\"a\": 1}")  # no TLS at all
        wire.poll_until(lambda: not wire.trade.is_open)
        assert wire.trade.close_text.startswith("TLS error: ")
        assert Cold.CLOSED in cold
    finally:
        wire.close()


def test_pings_are_answered_and_a_close_is(wire: TlsWire) -> None:
    wire.open(Conn.USER)
    venue = wire.tls(Conn.USER)
    venue.send(venue.bytes_of(lambda p: p.send_ping(b"hm?")))
    wire.poll_until(lambda: wire.user.pings == 1)
    (pong,) = venue.read()
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"hm?")
    assert wire.hot.ping(wire.roles[Conn.USER], 0, b"well")
    (ping,) = venue.read()
    assert (ping.opcode, bytes(ping.data)) == (Opcode.PING, b"well")
    venue.send(venue.bytes_of(lambda p: p.send_close(CloseCode.NORMAL_CLOSURE)))
    wire.poll_until(lambda: not wire.user.is_open)
    assert [frame.opcode for frame in venue.read()] == [Opcode.CLOSE]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl(1) can ask for new keys")
def test_new_keys_in_mid_session_change_nothing(tmp_path: Path) -> None:
    """RFC 8446 section 4.6.3, which Python's ssl can't ask for: s_server's commands k and K do."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=venue",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", str(port), "-cert", "ca.pem", "-key", "key.pem",
               "-naccept", "1"]  # fmt: skip
    wire = Wire()
    with subprocess.Popen(
        [*command, "-tls1_3"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as server:  # fmt: skip
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            for line in server.stdout:
                if b"ACCEPT" in line:
                    break
            sock, ends = asyncio.run(shaken(port, client_context(tmp_path / "ca.pem")))
            wire.hot.attach(wire.roles[Conn.MARKET], 0, sock, tls=ends)
            for count, command_of in enumerate((b"", b"k\n", b"K\n", b""), start=1):
                reads = wire.market.reads
                if command_of:
                    server.stdin.write(command_of)
                    server.stdin.flush()
                    wire.poll_until(lambda reads=reads: wire.market.reads > reads)
                server.stdin.write(b"\x81\x03{}\n")
                server.stdin.flush()
                poll_messages(wire, count)
                assert wire.hot.say(wire.roles[Conn.MARKET], 0, "heard")
            wire.close()  # our close_notify ends it
            assert server.wait(10) is not None
        finally:
            server.kill()


async def shaken(port: int, context: ssl.SSLContext) -> tuple[socket.socket, TlsEnds]:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    stream = TlsStream(sock, begin(context, "127.0.0.1"))
    await stream.shake_hands()
    return sock, stream.ends


# -- WHAT LEAVES ---


def test_orders_leave_encrypted_and_whole(wire: TlsWire) -> None:
    wire.start()
    assert requote(wire) == [SendOutcome.SENT] * 4
    assert [m["method"] for m in wire.read_orders(4)] == ["order.cancel"] * 2 + ["order.place"] * 2
    wire.hot.command(0, Command.HALT)
    assert wire.sends()[-1][0] == SendOutcome.SENT


def requote(wire: TlsWire) -> list[SendOutcome]:
    venue = wire.tls(Conn.MARKET)
    venue.send(venue.text(best(200, "60000.10", "60000.20")))
    wire.poll_until(lambda: len(wire.sends()) >= 6)
    return [SendOutcome(outcome) for outcome, _ in wire.sends()[2:6]]


def test_a_full_way_out_makes_orders_late_and_keeps_cancels_for_later(wire: TlsWire) -> None:
    wire.start(server_receive_bytes=4096, client_send_bytes=30_000)
    stuff(wire)
    assert wire.trade.queued_bytes > 0
    assert requote(wire) == [SendOutcome.PARTIAL] * 2 + [SendOutcome.LATE] * 2
    venue = wire.tls(Conn.TRADE)
    venue.sock.setblocking(False)
    frames = []

    def has_all() -> bool:
        with contextlib.suppress(BlockingIOError):
            frames.extend(venue.read())
        return sum(b"order.cancel" in bytes(frame.data) for frame in frames) == 2

    wire.poll_until(has_all)  # every record in order: nothing that was encrypted is lost
    assert wire.trade.is_open
    assert not any(b"order.place" in bytes(frame.data) for frame in frames)


def stuff(wire: TlsWire) -> None:
    """Say things until the kernel takes no more and some stay with us."""
    while not wire.trade.queued_bytes:
        assert wire.hot.say(wire.roles[Conn.TRADE], 0, "s" * 5_000)


# -- WHO IS TRUSTED ---


def with_server(trust: Trust, client: Any, host: str = "127.0.0.1") -> Any:
    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            if message == "bye":
                break
            await connection.send(f"you said {message!r}")

    async def body() -> Any:
        async with serve(handler, host, 0, ssl=trust.server) as server:
            return await client(next(iter(server.sockets)).getsockname()[1])

    return asyncio.run(body())


def test_a_connection_with_the_exchanges_authority_carries_words_both_ways(trust: Trust) -> None:
    wire = Wire()

    async def client(port: int) -> None:
        transport = HotTransport(wire.hot, is_busy=False)
        closed = asyncio.Event()

        def on_cold(items: list[ColdItem]) -> None:
            if Cold.CLOSED in {what for what, _, _ in items}:
                closed.set()

        transport.start(on_cold, lambda error: pytest.fail(repr(error)))
        role = wire.roles[Conn.MARKET]
        plan = ConnPlan(f"wss://127.0.0.1:{port}/x?listenKey=secret", texts=("a", "b"))
        with pytest.raises(TickmakerError, match="certificate refused"):
            await transport.connect(role, 0, plan, "MARKET connection", 10.0)
        transport.trust(role, trust.ca_file)
        await transport.connect(role, 0, plan, "MARKET connection", 10.0)
        assert role.socket(0).is_encrypted
        assert wire.hot.say(role, 0, "c")
        assert wire.hot.say(role, 0, "bye")
        async with asyncio.timeout(10):
            await closed.wait()
        transport.disconnect(role, 0)
        transport.stop()

    with_server(trust, client)
    assert wire.payloads() == [b"you said 'a'", b"you said 'b'", b"you said 'c'"]


@pytest.mark.parametrize(("host", "is_known"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_who_can_not_be_trusted_is_refused(trust: Trust, host: str, is_known: bool) -> None:
    """An authority that nobody named; a host that its certificate does not name."""
    context = trust.client if is_known else client_context()

    async def client(port: int) -> TickmakerError:
        url = f"wss://{host}:{port}/x?listenKey=secret"
        with pytest.raises(TickmakerError) as caught:
            await upgrade(url, "USER connection", 10, context)
        return caught.value

    error = with_server(trust, client, host)
    assert "TLS certificate refused" in error.what
    assert error.exit_code == EXIT_UNSAFE
    assert "secret" not in f"{error}{error!r}{error.__cause__!r}"


def test_a_plain_server_is_no_tls_server() -> None:
    async def body() -> TickmakerError:
        async def handler(_: ServerConnection) -> None: ...

        async with serve(handler, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises(TickmakerError) as caught:
                await upgrade(f"wss://127.0.0.1:{port}/", "USER connection", 10)
            return caught.value

    error = asyncio.run(body())
    assert "TLS handshake failed" in error.what or "connection closed" in error.what


def test_a_file_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(TickmakerError, match="ca_file"):
        client_context(path)
    with pytest.raises(TickmakerError, match="ca_file"):
        client_context(tmp_path / "none.pem")


def test_a_loop_without_sockets_polls_nothing() -> None:
    assert HotLoop().poll(10) is False
