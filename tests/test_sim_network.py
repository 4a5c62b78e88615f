"""The network in virtual time, with the smallest face there is at its other end."""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest
from support_face import TinyFace

from engine import clock
from engine.errors import TickmakerError
from engine.exchange.face import ConnKind, WsClosed, WsOpen, WsPing, WsPong, WsText
from engine.gateway.http import NoAnswerError
from engine.sim import frames
from engine.sim.link import Weather
from engine.sim.loop import START_NS, VirtualLoop, virtual_time
from engine.sim.network import Network
from fastcore.ws import frame as masked

T = TypeVar("T")
MS = 1_000_000
URL = "ws://127.0.0.1:1/trade"
ROOT = "http://127.0.0.1:1"


class End:
    """The engine's half of a connection, read whenever the loop says that it is readable."""

    def __init__(self, net: Network, sock: socket.socket) -> None:
        self.net = net
        self.sock = sock
        self.data = b""
        self.arrivals: list[tuple[int, int]] = []  # (ms, bytes so far)
        self.is_ended = False
        net.loop.add_reader(sock.fileno(), self._read)

    def _read(self) -> None:
        while not self.is_ended:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self.data += data
            self.is_ended = not data
            self.arrivals.append((now_ms(), len(self.data)))

    def say(self, text: str, opcode: int = frames.TEXT) -> None:
        self.sock.send(masked(opcode, text.encode(), 0x1234ABCD))

    def texts(self) -> list[str]:
        """Payloads of short unmasked text frames."""
        texts, at = [], 0
        while at < len(self.data):
            size = self.data[at + 1]
            texts.append(self.data[at + 2 : at + 2 + size].decode(errors="replace"))
            at += 2 + size
        return texts


def now_ms() -> int:
    return (clock.monotonic_ns() - START_NS) // MS


def run(
    work: Callable[[Network, TinyFace], Awaitable[T]], weather: Weather | None = None
) -> T:
    loop = VirtualLoop()
    face = TinyFace()
    calm = Weather(base_ns=10 * MS, jitter_ns=0)
    try:
        with virtual_time(loop):
            network = Network(loop, face, Random(1), weather or calm)
            try:
                return loop.run_until_complete(work(network, face))  # type: ignore[arg-type]
            finally:
                network.shut()
    finally:
        loop.close()


async def dialled(net: Network, url: str = URL) -> End:
    return End(net, (await net.dial(url, "TRADE connection", 5.0)).sock)


def test_a_message_and_its_answers_take_a_delay_each_way() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        assert now_ms() == 20
        end.say("order")
        await asyncio.sleep(0.015)
        assert end.texts() == []
        assert face.orders == 1
        await asyncio.sleep(0.005)
        assert end.texts() == ["ack 1", "filled"]
        end.sock.close()

    run(work)


def test_a_refused_handshake_names_the_status() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        with pytest.raises(TickmakerError, match="refused with HTTP status 404"):
            await net.dial("ws://127.0.0.1:1/nowhere", "TRADE connection", 5.0)
        assert not net.links

    run(work)


def test_jitter_never_reorders_a_connection() -> None:
    async def work(net: Network, face: TinyFace) -> list[str]:
        end = await dialled(net)
        for number in range(50):
            end.say(str(number))
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        end.sock.close()
        return end.texts()

    stormy = Weather(base_ns=MS, jitter_ns=20 * MS, split_share=0.5, split_ns=5 * MS)
    assert run(work, stormy) == [f"got {number}" for number in range(50)]


def test_split_messages_arrive_in_two_pieces() -> None:
    async def work(net: Network, face: TinyFace) -> list[tuple[int, int]]:
        end = await dialled(net)
        net.split(1.0, 1_000 * MS)
        end.say("a long enough text")
        await asyncio.sleep(0.1)
        end.sock.close()
        assert end.texts() == ["got a long enough text"]
        return end.arrivals

    assert len(run(work)) == 2


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_masked_frames_are_read_however_they_are_cut(step: int) -> None:
    payloads = [b"", b"x", b"y" * 125, b"z" * 126, b"w" * 70_000, "µ".encode()]
    data = b"".join(masked(1, payload, 7 + i) for i, payload in enumerate(payloads))
    reader = frames.Reader()
    got = [
        payload for at in range(0, len(data), step)
        for opcode, payload in reader.feed(data[at : at + step])
    ]  # fmt: skip
    assert got == payloads


def test_an_unmasked_frame_is_refused() -> None:
    with pytest.raises(frames.MalformedError):
        list(frames.Reader().feed(frames.frame(1, b"hello, venue")))


def test_pings_are_answered_and_reach_the_face() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        end.say("p1", frames.PING)
        end.say("p2", frames.PONG)
        await asyncio.sleep(0.1)
        end.sock.close()
        kinds = [type(event) for event in face.events]
        assert kinds == [WsOpen, WsPing, WsPong]
        assert end.data == frames.frame(frames.PONG, b"p1")

    run(work)


def test_a_close_by_the_venue_comes_behind_what_it_said() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        end.say("order")
        end.say("close")
        await asyncio.sleep(0.1)
        assert end.is_ended
        assert end.data.endswith(frames.frame(frames.CLOSE, (4001).to_bytes(2, "big") + b"bye"))
        assert isinstance(face.events[-1], WsClosed)
        end.sock.close()

    run(work)


def test_a_close_by_the_engine_is_told_once() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        end.say("order")
        net.loop.remove_reader(end.sock.fileno())
        end.sock.close()
        await asyncio.sleep(0.1)
        assert [type(event) for event in face.events] == [WsOpen, WsText, WsClosed]
        assert not net.links

    run(work)


@pytest.mark.parametrize("is_up_lost", [True, False])
def test_a_cut_loses_what_was_on_its_way(is_up_lost: bool) -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        end.say("order")
        await asyncio.sleep(0.001)
        net.cut(ConnKind.TRADE, is_up_lost)
        await asyncio.sleep(0.1)
        assert end.is_ended
        assert end.data == b""
        assert face.orders == (0 if is_up_lost else 1)
        assert isinstance(face.events[-1], WsClosed)
        end.sock.close()

    run(work)


def test_a_half_open_connection_carries_nothing_until_it_is_reset() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        net.half_open(ConnKind.TRADE, 2_000 * MS)
        end.say("order")
        await asyncio.sleep(1.9)
        assert (face.orders, end.data, end.is_ended) == (0, b"", False)
        await asyncio.sleep(0.2)
        assert end.is_ended
        assert isinstance(face.events[-1], WsClosed)
        end.sock.close()

    run(work)


def test_the_kernel_gives_up_on_a_dead_peer() -> None:
    """TCP_USER_TIMEOUT of the compiled edge: five seconds without an acknowledgement."""

    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        net.half_open(ConnKind.TRADE, 60_000 * MS)
        await asyncio.sleep(3)
        end.say("order")
        await asyncio.sleep(4.9)
        assert not end.is_ended
        await asyncio.sleep(0.2)
        assert end.is_ended
        end.sock.close()

    run(work)


def test_a_stall_holds_back_both_ways_and_keeps_order() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        end = await dialled(net)
        net.stall("trade", 500 * MS)
        end.say("1")
        await asyncio.sleep(0.5)
        end.say("2")
        await asyncio.sleep(0.009)
        assert len(face.events) == 1
        await asyncio.sleep(0.1)
        assert end.texts() == ["got 1", "got 2"]
        end.sock.close()

    run(work)


def test_http_has_a_delay_each_way_and_may_be_refused_or_lost() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        reply = await net.request("POST", f"{ROOT}/order", {"X-KEY": "k"})
        assert (reply.status, reply.body, now_ms()) == (200, b'{"order":1}', 20)
        net.refuse("http", 1_000 * MS)
        with pytest.raises(NoAnswerError, match="refused"):
            await net.request("POST", f"{ROOT}/order", {})
        await asyncio.sleep(1)
        net.lose_http("request", 100 * MS)
        with pytest.raises(NoAnswerError, match="no answer within"):
            await net.request("POST", f"{ROOT}/order", {})
        assert face.orders == 1
        net.lose_http("answer", 100 * MS)
        with pytest.raises(NoAnswerError, match="no answer within"):
            await net.request("POST", f"{ROOT}/order", {})
        assert face.orders == 2
        with pytest.raises(NoAnswerError, match="no answer within"):
            await net.request("GET", f"{ROOT}/silent", {})

    run(work)


def test_new_connections_may_be_refused_by_kind() -> None:
    async def work(net: Network, face: TinyFace) -> None:
        net.refuse("trade", 1_000 * MS)
        with pytest.raises(TickmakerError, match="Connection refused"):
            await net.dial(URL, "TRADE connection", 5.0)
        (await dialled(net, "ws://127.0.0.1:1/user")).sock.close()
        await asyncio.sleep(1)
        (await dialled(net)).sock.close()

    run(work)


def test_the_face_ticks_at_its_own_times() -> None:
    async def work(net: Network, face: TinyFace) -> list[tuple[int, int]]:
        end = await dialled(net)
        face.due_ns, face.every_ns = net.utc_ns() + 5 * MS, 30 * MS
        await net.request("GET", f"{ROOT}/order", {})
        await asyncio.sleep(0.1)
        end.sock.close()
        return [(ms, face.ticks) for ms, _ in end.arrivals]

    arrivals = run(work)
    assert [ms for ms, _ in arrivals] == [40, 65, 95, 125]


def test_no_descriptor_is_left() -> None:
    async def work(net: Network, face: TinyFace) -> int:
        end = await dialled(net)
        fd = end.sock.fileno()
        end.sock.close()
        return fd

    fd = run(work)
    with pytest.raises(OSError, match=r"[Bb]ad file|not permitted"):
        select.epoll().register(fd)
