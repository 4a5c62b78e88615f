"""First words: what is said, what is awaited, what stays for the core, and what is never shown."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from support_gateway import Venue, Wire
from websockets.frames import Opcode

from engine.errors import TickmakerError
from engine.gateway.greeting import GreetingRefusedError, greet
from engine.gateway.handshake import Upgraded
from engine.gateway.transport import HotTransport
from engine.sim.loop import VirtualLoop, virtual_time
from engine.venues.base import ConnPlan, Said
from fastcore.types import Conn

SECRET = "sign-me-9f8e"


def read(payload: bytes) -> tuple[Said, str]:
    """Bybit's way: subscriptions and logons are answered with "success"."""
    message = json.loads(payload)
    if "success" not in message:
        return Said.NOTHING, ""
    return (Said.GOOD, "") if message["success"] else (Said.BAD, str(message["ret_msg"]))


def plan(answers: int = 1, texts: tuple[str, ...] = (SECRET,)) -> ConnPlan:
    return ConnPlan(f"ws://127.0.0.1:1/?{SECRET}", texts, answers, read)


OK = '{"success":true,"ret_msg":""}'


def met(
    work: Callable[[Venue, Upgraded], Awaitable[Any]], leftover: bytes = b""
) -> tuple[Any, Venue]:
    """What `work` gives of a connection past its upgrade; the venue's end stays open."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    venue = Venue(theirs)
    theirs.settimeout(10)
    return asyncio.run(asyncio.wait_for(work(venue, Upgraded(ours, leftover)), 10)), venue


def greeted(data: bytes, the_plan: ConnPlan, leftover: bytes = b"") -> tuple[bytes, Venue]:
    """The leftover of a greeting to which `data` is what the venue says."""

    async def work(venue: Venue, upgraded: Upgraded) -> bytes:
        venue.send(data)
        done = await greet(upgraded, the_plan, "MARKET connection", 5.0)
        done.sock.close()
        return done.leftover

    return met(work, leftover)


def refused(data: bytes, the_plan: ConnPlan, timeout_s: float = 5.0, ends: bool = False) -> str:
    async def work(venue: Venue, upgraded: Upgraded) -> TickmakerError:
        venue.send(data)
        if ends:
            venue.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(TickmakerError) as caught:
            await greet(upgraded, the_plan, "MARKET connection", timeout_s)
        assert upgraded.sock.fileno() == -1
        return caught.value

    error, venue = met(work)
    venue.sock.close()
    told = f"{error}{error!r}{error.__cause__!r}{error.remedy}"
    assert SECRET not in told
    assert SECRET not in repr(the_plan)
    assert error.what.startswith("MARKET connection: ")
    return str(error.what)


def frames(*texts: str) -> bytes:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return Venue(theirs).text(*texts)


def test_texts_are_said_in_order_and_the_answers_awaited() -> None:
    leftover, venue = greeted(frames(OK, OK), plan(2, ("first", "second")))
    assert leftover == b""
    said = venue.read(2)
    assert [bytes(frame.data) for frame in said] == [b"first", b"second"]
    venue.sock.close()


def test_a_text_waits_for_the_answer_to_the_one_before() -> None:
    async def work(venue: Venue, upgraded: Upgraded) -> None:
        greeting = asyncio.create_task(
            greet(upgraded, plan(2, ("logon", "subscribe")), "USER connection", 5.0)
        )
        await asyncio.sleep(0.01)
        (first,) = venue.read()
        venue.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            venue.read()
        venue.send(frames('{"data":1}'))
        await asyncio.sleep(0.01)
        with pytest.raises(BlockingIOError):
            venue.read()
        venue.send(frames(OK))
        await asyncio.sleep(0.01)
        (second,) = venue.read()
        assert [bytes(first.data), bytes(second.data)] == [b"logon", b"subscribe"]
        assert not greeting.done()
        venue.send(frames(OK))
        (await greeting).sock.close()

    met(work)[1].sock.close()


def test_texts_of_which_not_each_is_answered_are_said_at_once() -> None:
    _, venue = greeted(frames(OK), plan(1, ("first", "second")))
    assert [bytes(frame.data) for frame in venue.read(2)] == [b"first", b"second"]
    venue.sock.close()


def test_data_between_the_answers_stays_for_the_core_in_order() -> None:
    one, two, three = (f'{{"data":{n}}}' for n in (1, 2, 3))
    data = frames(one, OK, two, OK, three)
    leftover, venue = greeted(data + b"\x81\x20{unfinished", plan(2))
    assert leftover == frames(one, two, three) + b"\x81\x20{unfinished"
    venue.sock.close()


def test_answers_may_come_with_the_upgrade_byte_by_byte_and_long() -> None:
    long = json.dumps({"success": True, "ret_msg": "x" * 70_000})

    async def work(venue: Venue, upgraded: Upgraded) -> bytes:
        data = frames('{"data":"' + "y" * 300 + '"}', OK)

        async def drip() -> None:
            for index in range(len(data)):
                venue.send(data[index : index + 1])
                await asyncio.sleep(0)

        task = asyncio.create_task(drip())
        done = await greet(upgraded, plan(2), "MARKET connection", 5.0)
        await task
        done.sock.close()
        return done.leftover

    leftover, venue = met(work, frames(long))
    assert leftover == frames('{"data":"' + "y" * 300 + '"}')
    venue.sock.close()


def test_pings_are_answered_and_fragments_left_to_the_core() -> None:
    ours, theirs = socket.socketpair()
    fragments = Venue(theirs).bytes_of(
        lambda p: p.send_text(b'{"success"', fin=False),
        lambda p: p.send_ping(b"there?"),
        lambda p: p.send_continuation(b":true}", fin=True),
    )
    ours.close()
    theirs.close()
    leftover, venue = greeted(fragments + frames(OK), plan())
    assert leftover == b'\x01\x0a{"success"\x80\x06:true}'
    said = venue.read(2)
    assert [(frame.opcode, bytes(frame.data)) for frame in said] == [
        (Opcode.TEXT, SECRET.encode()), (Opcode.PONG, b"there?"),
    ]  # fmt: skip
    venue.sock.close()


def test_a_refusal_says_until_when_the_address_keeps_away_and_whether_our_clock_is_off() -> None:
    the_plan = replace(
        plan(), retry_utc_ms=lambda payload: len(payload),
        is_clock=lambda payload: b"no" in payload,
    )  # fmt: skip

    async def work(venue: Venue, upgraded: Upgraded) -> int:
        venue.send(frames('{"success":false,"ret_msg":"no"}'))
        with pytest.raises(GreetingRefusedError) as caught:
            await greet(upgraded, the_plan, "TRADE connection", 5.0)
        assert caught.value.is_clock
        return caught.value.retry_utc_ms

    until_ms, venue = met(work)
    venue.sock.close()
    assert until_ms == 32


def test_a_bad_answer_ends_it_with_the_venues_word() -> None:
    bad = json.dumps({"success": False, "ret_msg": "Invalid topic: orderbook.77.X"})
    assert refused(frames(bad), plan()) == (
        "MARKET connection: refused: Invalid topic: orderbook.77.X"
    )


@pytest.mark.parametrize(
    ("data", "ends", "text"),
    [
        (frames('{"data":1}'), False, "no answer to the first messages within 0.05 s"),
        (b"", True, "connection lost during the first messages: closed"),
        (b"\x88\x02\x03\xf3", False, "closed the WebSocket with code 1011 instead"),
        (b"\x81\x82abcd{}", False, "malformed WebSocket frame"),
        (b"\xc1\x02{}", False, "malformed WebSocket frame"),
        (b"\x81\x7f\x00\x00\x00\xff\xff\xff\xff\xff", False, "malformed WebSocket frame"),
    ],
)
def test_what_is_no_answer_ends_it(data: bytes, ends: bool, text: str) -> None:
    assert text in refused(data, plan(), 0.05 if "within" in text else 5.0, ends)


def test_transport_attaches_only_what_was_greeted() -> None:
    wire = Wire()

    async def work(venue: Venue, upgraded: Upgraded) -> None:
        async def dial(*_: Any) -> Upgraded:
            return upgraded

        transport = HotTransport(wire.hot, is_busy=False, dial=dial)
        role = wire.roles[Conn.MARKET]
        connecting = asyncio.create_task(
            transport.connect(role, 0, plan(), "MARKET connection", 5.0)
        )
        await asyncio.sleep(0.01)
        assert not role.is_open
        venue.send(frames('{"early":1}', OK, '{"late":2}'))
        await connecting
        assert role.is_open
        transport.disconnect(role, 0)

    with contextlib.closing(met(work)[1].sock):
        assert wire.payloads() == [b'{"early":1}', b'{"late":2}']


def test_leftover_longer_than_the_buffer_is_delivered_whole() -> None:
    wire = Wire()
    role = wire.hot.add_role(Conn.MARKET, [wire.hot.add_core(other_core())], 1, 4096)
    ours, theirs = socket.socketpair()
    words = [f"{n}" * 100 for n in range(10, 99)]
    wire.hot.attach(role, 0, ours, frames(*words))
    assert role.socket(0).messages == len(words)
    wire.hot.detach(role, 0)
    theirs.close()


def other_core() -> Any:
    from support_core import Desk

    return Desk(number=1).core


def test_a_greeting_in_the_simulators_time_waits_without_spinning() -> None:
    """VirtualLoop wakes who begins to watch a socket; nothing may run in a circle on that."""
    loop = VirtualLoop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def answer(_: object) -> None:
        theirs.send(frames(OK))
        loop.readable(ours.fileno())

    async def work() -> bytes:
        loop.at_ns(loop.monotonic_ns() + 2_000_000_000, answer)
        return (await greet(Upgraded(ours, b""), plan(), "MARKET connection", 5.0)).leftover

    try:
        began_ns = loop.monotonic_ns()
        with virtual_time(loop):
            assert loop.run_until_complete(work()) == b""
        assert loop.monotonic_ns() - began_ns == 2_000_000_000
    finally:
        loop.close()
        ours.close()
        theirs.close()
