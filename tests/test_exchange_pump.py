"""The load pump and its counter: every message once, in order, whole."""

import socket
import threading

import pytest

from engine.exchange.pump import Counter, Pump
from engine.exchange.ws_end import text_frame

TEXTS = ["", "a", "b" * 125, "c" * 126, "d" * 65_535, "e" * 65_536, "ü" * 300]
FRAMES = [text_frame(text) for text in TEXTS]
COUNT = 1_000


def pumped(count: int, is_blocking: bool) -> tuple[bytes, Pump]:
    """What arrives of `count` messages through a narrow socket."""
    ours, theirs = socket.socketpair()
    pump, arrived = Pump(FRAMES), bytearray()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        ours.setblocking(is_blocking)

        def read() -> None:
            while data := theirs.recv(10_007):
                arrived.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
        sent = 0
        while sent < count:
            sent += pump.send(ours.fileno(), count - sent)
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    return bytes(arrived), pump


@pytest.mark.parametrize("is_blocking", [True, False])
def test_pump_sends_its_frames_round_and_round(is_blocking: bool) -> None:
    arrived, pump = pumped(COUNT, is_blocking)
    frames = FRAMES * (COUNT // len(FRAMES) + 1)
    assert arrived == b"".join(frames[:COUNT])
    assert pump.bytes_sent == len(arrived)


def test_pump_never_blocks_on_a_full_socket_that_does_not_and_tells_of_a_lost_one() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    pump = Pump(FRAMES)
    with ours:
        with theirs:
            assert pump.send(ours.fileno(), 1_000_000) < 1_000_000
            assert pump.send(ours.fileno(), 1) == 0
        with pytest.raises(BrokenPipeError):
            pump.send(ours.fileno(), 1_000)


def test_pump_wants_frames() -> None:
    for frames in ([], [b""], [b"\x81\x00", b""]):
        with pytest.raises(ValueError, match="frames"):
            Pump(frames)
    with pytest.raises(ValueError, match="negative"):
        Pump(FRAMES).send(0, -1)


@pytest.mark.parametrize("piece", [1, 3, 4_096, 1 << 20])
def test_counter_counts_messages_however_they_are_cut(piece: int) -> None:
    data = b"".join([FRAMES[1], b"\x89\x01p", *FRAMES])  # a ping among them
    ours, theirs = socket.socketpair()
    counter = Counter()
    with ours, theirs:
        head = 1 if piece > 1 else 0
        counter.feed(data[:head])

        def write() -> None:
            for place in range(head, len(data) if piece > 3 else 2_000, piece):
                ours.sendall(data[place : place + piece])
            ours.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        while counter.receive(theirs.fileno()):
            pass
        writer.join()
    if piece > 3:
        assert counter.messages == 1 + len(FRAMES)
        assert counter.payload_bytes == 1 + sum(len(text.encode()) for text in TEXTS)
    else:
        assert counter.messages == 5  # up to the long ones
    assert counter.others == 1


@pytest.mark.parametrize(
    "data", [b"\x81\x81aaaaa", b"\x81\x7f" + b"\xff" * 8, b"\x81\x7f" + b"\x7f" * 8]
)
def test_counter_refuses_frames_that_can_not_be(data: bytes) -> None:
    with pytest.raises(ValueError, match="a frame that is masked, or larger"):
        Counter().feed(data)
    with pytest.raises(ValueError, match="more than"):
        Counter().feed(bytes(2 << 20))
