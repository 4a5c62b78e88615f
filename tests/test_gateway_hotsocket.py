"""The compiled edge on real sockets: framing, stamps, sends, failures."""

import contextlib
import json
import os
import random
import socket

import pytest
from support_gateway import Wire, best, depth, kernel_stamps
from websockets.frames import CloseCode, Opcode

from engine import clock
from engine.gateway import hotsocket
from engine.gateway.hotsocket import Cold
from fastcore.types import Command, Conn, Halt, SendOutcome

WORDS = ["{}", '{"a":1}', "x" * 125, "y" * 126, "z" * 65535, "w" * 65536, "", '{"last":true}']


@pytest.fixture(scope="module", autouse=True)
def _kernel_stamps_are_on():
    with kernel_stamps():
        yield


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.close()


def poll_messages(wire: Wire, count: int, conn: Conn = Conn.MARKET) -> None:
    wire.poll_until(lambda: wire.socket(conn).messages >= count)


# -- FRAMING -------------------------------------------------------------------------------


@pytest.mark.parametrize("conn", list(Conn))
def test_messages_coalesced_in_one_write_all_arrive_in_order(wire: Wire, conn: Conn) -> None:
    wire.open(conn)
    venue = wire.venues[conn]
    venue.send(venue.text(*WORDS))
    poll_messages(wire, len(WORDS), conn)
    assert wire.payloads(conn) == [word.encode() for word in WORDS]


def test_messages_byte_by_byte_arrive_whole(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    words = ["{}", "", "a" * 126, "b" * 200]
    data = venue.text(*words)
    for index in range(len(data)):
        venue.send(data[index : index + 1])
        wire.poll_until(lambda want=index + 1: wire.market.bytes_received == want)
    assert wire.payloads() == [word.encode() for word in words]


def test_messages_split_anywhere_arrive_whole(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    rng = random.Random(7)
    words = [rng.choice(WORDS) + str(index) for index in range(100)]
    data = venue.text(*words)
    sent = 0
    while sent < len(data):
        size = rng.choice((1, 2, 3, 7, 100, 5_000, 70_000))
        venue.send(data[sent : sent + size])
        sent += len(data[sent : sent + size])
        wire.hot.poll(rng.choice((0, 1, 3)))
    poll_messages(wire, len(words))
    assert wire.payloads() == [word.encode() for word in words]


def test_fragmented_message_with_a_ping_inside_arrives_as_one(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    venue.send(venue.bytes_of(
        lambda p: p.send_text(b'{"first"', fin=False),
        lambda p: p.send_ping(b"are you there"),
        lambda p: p.send_continuation(b":1,", fin=False),
        lambda p: p.send_continuation(b'"x":2}', fin=True),
        lambda p: p.send_text(b"next"),
    ))  # fmt: skip
    poll_messages(wire, 2)
    assert wire.payloads() == [b'{"first":1,"x":2}', b"next"]
    assert wire.market.fragmented == 1
    (pong,) = venue.read()
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"are you there")


@pytest.mark.parametrize("payload", [b"", b"p" * 125])
def test_ping_is_answered_on_its_own_connection(wire: Wire, payload: bytes) -> None:
    wire.open(*Conn)
    for conn, venue in wire.venues.items():
        venue.send(venue.bytes_of(lambda p: p.send_ping(payload)))
        wire.poll_until(lambda conn=conn: wire.socket(conn).pings == 1)
        (pong,) = venue.read()
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, payload)
    assert wire.payloads() == []


def test_message_of_64_bit_length_fills_most_of_the_buffer(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    big = "b" * 3_000_000
    data = venue.text("{}", big, "after")
    sent = 0
    venue.sock.setblocking(False)
    while wire.market.messages < 3:
        if sent < len(data):
            with contextlib.suppress(BlockingIOError):
                sent += venue.sock.send(data[sent : sent + 100_000])
        wire.hot.poll(1)
    # The journal of a test is smaller than such a run of messages; the last one says enough.
    assert wire.market.bytes_received == len(data)
    assert wire.market.is_open


def test_bytes_behind_the_handshake_come_first(wire: Wire) -> None:
    data = b"\x81\x02{}\x81\x03one\x81\x03tw"
    wire.open(Conn.MARKET, leftover=data)
    assert wire.payloads() == [b"{}", b"one"]
    wire.venues[Conn.MARKET].send(b"o")
    poll_messages(wire, 3)
    assert wire.payloads() == [b"{}", b"one", b"two"]


def test_close_is_answered_told_to_the_core_and_reported(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    venue.send(venue.text("{}"))
    venue.send(venue.bytes_of(lambda p: p.send_close(CloseCode.GOING_AWAY, "bye")))
    cold = wire.poll_until(lambda: not wire.market.is_open)
    assert Cold.CLOSED in cold
    assert wire.payloads() == [b"{}"]
    assert wire.market.close_text == "the peer closed the WebSocket with code 1001"
    assert [frame.opcode for frame in venue.read()] == [Opcode.CLOSE]
    assert conn_records(wire) == [(Conn.MARKET, 1), (Conn.MARKET, 0)]


def test_eof_without_close_is_reported(wire: Wire) -> None:
    wire.open(Conn.USER)
    wire.venues[Conn.USER].sock.close()
    wire.poll_until(lambda: not wire.user.is_open)
    assert wire.user.close_text == "the peer closed the TCP connection"
    assert Halt(wire.hot.bits(0)) & Halt.USER_STREAM


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x81\x82abcd{}", "malformed WebSocket frame"),  # masked by the server
        (b"\xc1\x02{}", "malformed WebSocket frame"),  # RSV1: compression was never offered
        (b"\x83\x00", "malformed WebSocket frame"),  # reserved opcode
        (b"\x09\x01p", "malformed WebSocket frame"),  # fragmented ping
        (b"\x80\x01c", "malformed WebSocket frame"),  # continuation of nothing
        (b"\x01\x01a\x81\x01b", "malformed WebSocket frame"),  # a new message inside another
        (b"\x82\x01b", "unexpected binary frame"),
        (b"\x81\x7f\x00\x00\x00\x00\x00\xff\xff\xff", "message longer than the receive buffer"),
    ],
)
def test_what_was_never_negotiated_ends_the_connection(
    wire: Wire, data: bytes, text: str
) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    venue.send(b"\x81\x02ok" + data)
    if "longer" in text:
        feed(wire, b"x" * (1 << 20))
    wire.poll_until(lambda: not wire.market.is_open)
    assert wire.market.close_text == text
    assert wire.payloads()[0] == b"ok"


def feed(wire: Wire, chunk: bytes) -> None:
    """More than the receive buffer holds, for as long as the engine takes it."""
    sock = wire.venues[Conn.MARKET].sock
    sock.setblocking(False)
    while wire.market.is_open:
        with contextlib.suppress(BlockingIOError):
            sock.send(chunk)
        wire.hot.poll(1)


def conn_records(wire: Wire) -> list[tuple[int, int]]:
    from fastcore.journal import KIND, read_segment, unpack

    return [
        (arg, unpack(kind, payload)["up"])
        for _, kind, arg, _, _, _, payload in read_segment(wire.desk.segment)
        if kind == KIND["CONN"]
    ]


# -- STAMPS --------------------------------------------------------------------------------


def test_single_message_has_the_kernels_stamp(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    wire.hot.poll(3)
    before_ns = clock.monotonic_ns()
    venue.send(venue.text("{}"))
    after_ns = clock.monotonic_ns()
    poll_messages(wire, 1)
    ((_, recv_ts_ns, now_ns),) = wire.frames()
    assert wire.market.bounded == 0
    assert before_ns - 50_000 <= recv_ts_ns <= after_ns + 50_000
    assert recv_ts_ns <= now_ns


def test_earlier_messages_of_a_read_are_charged_from_the_last_empty_poll(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    before_poll_ns = clock.monotonic_ns()
    wire.hot.poll(1)
    after_poll_ns = clock.monotonic_ns()
    venue.send(venue.text("one", "two"))
    venue.send(venue.text("three"))
    last_sent_ns = clock.monotonic_ns()
    poll_messages(wire, 3)
    (_, one_ns, _), (_, two_ns, _), (_, three_ns, _) = wire.frames()
    assert wire.market.reads == 1
    assert before_poll_ns <= one_ns == two_ns <= after_poll_ns
    assert after_poll_ns - 50_000 <= three_ns <= last_sent_ns + 50_000
    assert wire.market.bounded == 2


def test_message_before_an_unfinished_one_does_not_take_its_stamp(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    wire.hot.poll(1)
    seen_empty_ns = clock.monotonic_ns()
    wire.venues[Conn.MARKET].send(b"\x81\x03one\x81\x03tw")
    poll_messages(wire, 1)
    between_ns = clock.monotonic_ns()
    wire.venues[Conn.MARKET].send(b"o")
    poll_messages(wire, 2)
    (_, one_ns, _), (_, two_ns, _) = wire.frames()
    assert one_ns <= seen_empty_ns
    assert between_ns - 50_000 <= two_ns
    assert wire.market.bounded == 1


def test_a_read_that_left_the_socket_empty_bounds_the_next(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    venue.send(venue.text("one"))
    before_first_read_ns = clock.monotonic_ns()
    wire.hot.poll(1)
    after_first_read_ns = clock.monotonic_ns()
    venue.send(venue.text("two", "three"))
    wire.hot.poll(1)
    _, (_, two_ns, _), _ = wire.frames()
    assert before_first_read_ns <= two_ns <= after_first_read_ns


def test_tick_source_counts_up_in_nanoseconds() -> None:
    assert "tickmaker.tick" in repr(hotsocket.tick_capsule())
    assert 0.05 < hotsocket.ns_per_tick() <= 1.0
    assert hotsocket.ns_per_tick() == hotsocket.ns_per_tick()


# -- SENDS ---------------------------------------------------------------------------------


def test_a_market_frame_is_answered_with_orders_on_the_trade_connection(wire: Wire) -> None:
    wire.start()
    assert requote(wire) == [SendOutcome.SENT] * 4
    messages = wire.read_orders(4)
    assert [m["method"] for m in messages] == ["order.cancel"] * 2 + ["order.place"] * 2
    begins = {send["begin_ns"] for _, send in wire.sends()[2:]}
    assert len(begins) == 1  # four messages, one send()
    assert wire.desk.core.histogram.count >= 4


def test_an_order_past_its_deadline_is_not_sent_and_reported_late() -> None:
    wire = Wire(budgets__tick_to_order_us_max=0.001)
    try:
        wire.open(*Conn)
        bring_up(wire)
        assert [outcome for outcome, _ in wire.sends()] == [SendOutcome.LATE] * 2
        wire.venues[Conn.TRADE].sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            wire.venues[Conn.TRADE].sock.recv(1)
        assert wire.numbers["late"] == 2
        assert wire.numbers["own"] == []
    finally:
        wire.close()


def bring_up(wire: Wire) -> None:
    wire.hot.clock(0, 0)
    wire.hot.snapshot(0, json.dumps({
        "lastUpdateId": 100, "E": 1, "T": 1,
        "bids": [["60000.00", "1.000"]], "asks": [["60000.10", "1.000"]],
    }).encode())  # fmt: skip
    venue = wire.venues[Conn.MARKET]
    venue.send(venue.text(depth(100, 101)))
    wire.poll_until(lambda: wire.numbers["sync_state"] == 2)
    wire.hot.account(0, 0, 0)
    wire.hot.command(0, Command.START)


def test_cancels_have_no_deadline(wire: Wire) -> None:
    wire.start()
    wire.hot.command(0, Command.HALT)
    assert [m["method"] for m in wire.read_orders(2)] == ["order.cancel"] * 2
    assert wire.sends()[-1][0] == SendOutcome.SENT


def fill_up(fd: int, size: int = 1 << 40) -> int:
    """Write until there is no room, or `size` bytes: the peer does not read. Bytes written."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while total < size:
            total += os.write(fd, b"\0" * min(1_000, size - total))
    return total


def read_all(wire: Wire, filler: int) -> None:
    """The peer reads again: first `filler` bytes that stood in the way."""
    while filler:
        filler -= len(wire.venues[Conn.TRADE].sock.recv(min(filler, 65536)))
        wire.hot.poll(1)
    wire.poll_until(lambda: wire.trade.queued_bytes == 0)


def requote(wire: Wire) -> list[SendOutcome]:
    """Move the market by a tick: two cancels, two places. What became of each."""
    venue = wire.venues[Conn.MARKET]
    venue.send(venue.text(best(200, "60000.10", "60000.20")))
    wire.poll_until(lambda: len(wire.sends()) >= 6)
    return [SendOutcome(outcome) for outcome, _ in wire.sends()[2:6]]


def test_a_full_way_out_makes_orders_late_and_keeps_cancels_for_later(wire: Wire) -> None:
    wire.start()
    filler = fill_up(wire.trade.fileno)
    assert requote(wire) == [SendOutcome.PARTIAL] * 2 + [SendOutcome.LATE] * 2
    assert wire.trade.queued_bytes > 0
    assert wire.trade.is_open
    read_all(wire, filler)
    assert [m["method"] for m in wire.read_orders(2)[:2]] == ["order.cancel"] * 2


SMALL = {"server_receive_bytes": 4096, "client_send_bytes": 30_000}


def test_every_split_of_a_send_leaves_whole_frames_on_the_wire() -> None:
    """However much of a run of messages the kernel takes, the peer sees whole frames: those that
    were reported SENT or PARTIAL, and no others."""
    rng = random.Random(3)
    room = 1 << 40
    seen = set()
    for _ in range(30):
        wire = Wire()
        try:
            wire.start(**SMALL)
            filler = fill_up(wire.trade.fileno, room - rng.randrange(2_000))
            if room == 1 << 40:
                room = filler  # the first round measures it
            outcomes = requote(wire)
            seen.add(tuple(outcomes))
            read_all(wire, filler)
            left = [o for o in outcomes if o in (SendOutcome.SENT, SendOutcome.PARTIAL)]
            messages = wire.read_orders(len(left))
            # Queries of what is in doubt, and a new try at what was late, may follow.
            assert [m["method"] for m in messages if m["method"] != "order.status"][
                : len(left)
            ] == (["order.cancel"] * 2 + ["order.place"] * 2)[: len(left)]
        finally:
            wire.close()
    sent, partial, late = SendOutcome.SENT, SendOutcome.PARTIAL, SendOutcome.LATE
    assert (sent, sent, partial, late) in seen  # a place cut in two; the next never began
    assert (partial, partial, late, late) in seen  # a cancel cut in two; the next waits whole


def test_queued_bytes_leave_in_order_as_the_peer_reads(wire: Wire) -> None:
    """Pongs behind a full way out, more than the kernel takes at once."""
    wire.open(Conn.MARKET, server_receive_bytes=4096, client_send_bytes=30_000)
    venue = wire.venues[Conn.MARKET]
    filler = fill_up(wire.market.fileno)
    names = [f"{index:0120d}".encode() for index in range(1_000)]
    for name in names:
        venue.send(venue.bytes_of(lambda p, name=name: p.send_ping(name)))
        wire.hot.poll(1)
    wire.poll_until(lambda: wire.market.pings == len(names))
    assert wire.market.queued_bytes > 100_000
    while filler:
        filler -= len(venue.sock.recv(min(filler, 4096)))
    pongs = []
    venue.sock.setblocking(False)

    def has_all() -> bool:
        with contextlib.suppress(BlockingIOError):
            pongs.extend(venue.read())
        return len(pongs) == len(names)

    wire.poll_until(has_all)
    assert [bytes(pong.data) for pong in pongs] == names


def test_peer_that_never_reads_is_given_up(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    fill_up(wire.market.fileno)
    venue = wire.venues[Conn.MARKET]
    pings = venue.bytes_of(*[lambda p: p.send_ping(b"p" * 125)] * 100)
    for _ in range(100):
        if not wire.market.is_open:
            break
        venue.send(pings)
        wire.hot.poll(2)
    assert wire.market.close_text == "send queue full: the peer does not read"


def test_a_lost_trade_connection_fails_its_sends_and_halts(wire: Wire) -> None:
    wire.start()
    sock = wire.venues[Conn.TRADE].sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()  # a reset
    cold = wire.poll_until(lambda: not wire.trade.is_open)
    assert Cold.CLOSED in cold
    assert wire.trade.close_text == "socket error: Connection reset by peer"
    assert Halt(wire.hot.bits(0)) & Halt.TRADE_STREAM
    assert Halt(wire.hot.bits(0)) & Halt.RECONCILING


def test_losing_the_market_connection_pulls_the_quotes(wire: Wire) -> None:
    wire.start()
    wire.venues[Conn.MARKET].sock.close()
    wire.poll_until(lambda: not wire.market.is_open)
    assert [m["method"] for m in wire.read_orders(2)] == ["order.cancel"] * 2


def test_detach_says_goodbye_and_a_new_socket_may_follow(wire: Wire) -> None:
    wire.open(Conn.MARKET)
    wire.hot.detach(wire.roles[Conn.MARKET], 0)
    assert [frame.opcode for frame in wire.venues[Conn.MARKET].read()] == [Opcode.CLOSE]
    assert conn_records(wire) == [(Conn.MARKET, 1), (Conn.MARKET, 0)]
    wire.venues[Conn.MARKET].sock.close()
    wire.open(Conn.MARKET)
    venue = wire.venues[Conn.MARKET]
    venue.send(venue.text("again"))
    poll_messages(wire, 1)
    assert wire.payloads() == [b"again"]


def test_the_timer_is_due_every_ten_milliseconds(wire: Wire) -> None:
    from fastcore.journal import KIND, read_segment

    def timers() -> list[int]:
        return [r[4] for r in read_segment(wire.desk.segment) if r[1] == KIND["TIMER"]]

    wire.poll_until(lambda: len(timers()) >= 4)
    gaps = [b - a for a, b in zip(timers(), timers()[1:], strict=False)]
    assert min(gaps) >= 10_000_000 - 100_000


def test_a_steady_stream_makes_no_python_objects(wire: Wire) -> None:
    import gc
    import sys

    wire.start()
    venue = wire.venues[Conn.MARKET]
    frames = [venue.text(best(300 + n, "60000.00", "60000.10")) for n in range(2_000)]
    gc.collect()
    gc.disable()
    try:
        done = wire.market.messages
        before = sys.getallocatedblocks()
        for data in frames:
            venue.send(data)
            wire.hot.poll(2)
        after = sys.getallocatedblocks()
    finally:
        gc.enable()
    assert wire.market.messages == done + len(frames)
    assert after - before < 50
