"""Several cores on shared connections, several connections of a role: who hears what, and when."""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support_core import UTC_OFFSET_NS, Desk
from support_gateway import PATIENCE_NS, Venue, best, depth, tcp_pair
from websockets.frames import Opcode

from engine import clock
from engine.gateway.hotrole import Role
from engine.gateway.hotsocket import Cold, HotLoop
from fastcore.journal import KIND, read_segment, unpack
from fastcore.types import Command, Conn, Halt, SendOutcome

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Many:
    """Cores that share an account's TRADE and USER, and one MARKET connection of two slots."""

    def __init__(self, count: int = 2, buffer_bytes: int = 0) -> None:
        patient = {"budgets__tick_to_order_us_max": 30e6, "budgets__ack_ms_max": 30e3}
        self.desks = [Desk(number=n, symbol=SYMBOLS[n], **patient) for n in range(count)]
        self.hot = HotLoop(others_every=1)
        for desk in self.desks:
            self.hot.add_core(desk.core)
        everyone = list(range(count))
        self.roles = {
            conn: self.hot.add_role(conn, everyone, 2, buffer_bytes) for conn in Conn
        }
        self.venues: dict[tuple[Conn, int], Venue] = {}
        self.cold: list[tuple[Cold, int, int]] = []

    def open(self, conn: Conn, slot: int = 0, **sizes: int) -> Venue:
        client, server = tcp_pair(**sizes)
        venue = self.venues[conn, slot] = Venue(server)
        self.hot.attach(self.roles[conn], slot, client)
        return venue

    def close(self) -> None:
        for role in self.hot.roles:
            for slot in range(role.slots):
                self.hot.detach(role, slot)
        for venue in self.venues.values():
            venue.sock.close()

    def poll_until(self, is_done: Callable[[], bool]) -> None:
        deadline_ns = clock.monotonic_ns() + PATIENCE_NS
        while clock.monotonic_ns() < deadline_ns:
            if self.hot.poll(1):
                self.cold += self.hot.take_cold()
            if is_done():
                return
        raise AssertionError("nothing came of it")

    def say(self, conn: Conn, slot: int, *texts: str) -> None:
        """Let the venue say things, and every core that is to hear them hear them."""
        hot = self.roles[conn].socket(slot)
        count = hot.messages + len(texts)
        venue = self.venues[conn, slot]
        venue.send(venue.text(*texts))
        self.poll_until(lambda: hot.messages == count)

    def start(self, market_slot: int = 0) -> None:
        """All up, every book synced, every core quoting with acknowledged orders."""
        for conn in Conn:
            self.open(conn, market_slot if conn is Conn.MARKET else 0)
        for number, desk in enumerate(self.desks):
            self.hot.clock(number, UTC_OFFSET_NS)
            desk.now_ns = clock.monotonic_ns()
            self.hot.snapshot(number, json.dumps({
                "lastUpdateId": 100, "E": 1, "T": 1,
                "bids": [["60000.00", "1.000"]], "asks": [["60000.10", "1.000"]],
            }).encode())  # fmt: skip
            self.say(Conn.MARKET, market_slot, of(number, depth(100, 101)))
            self.hot.account(number, 0, 0)
            self.hot.command(number, Command.START)
            for order in self.venues[Conn.TRADE, 0].read_json(2):
                self.say(Conn.TRADE, 0, json.dumps({
                    "id": order["id"], "status": 200, "result": {"orderId": 9, "status": "NEW"},
                }))  # fmt: skip
        assert [own["state"] for n in range(len(self.desks)) for own in self.own(n)] == (
            [2, 2] * len(self.desks)
        )

    def own(self, number: int) -> list[dict[str, Any]]:
        own: list[dict[str, Any]] = self.desks[number].core.numbers()["own"]
        return own

    def records(self, number: int, kind: str) -> list[tuple[int, Any]]:
        """(argument, payload) of the records of a kind in a core's journal."""
        return [(record[2], record[6]) for record in read_segment(self.desks[number].segment)
                if record[1] == KIND[kind]]  # fmt: skip

    def frames(self, number: int, conn: Conn) -> list[bytes]:
        return [bytes(payload) for arg, payload in self.records(number, "FRAME") if arg == conn]

    def conns(self, number: int, conn: Conn) -> list[int]:
        return [unpack(KIND["CONN"], payload)["up"]
                for arg, payload in self.records(number, "CONN") if arg == conn]  # fmt: skip


def of(number: int, text: str) -> str:
    return text.replace("BTCUSDT", SYMBOLS[number])


@pytest.fixture
def many() -> Iterator[Many]:
    many = Many()
    yield many
    many.close()


# -- WHO HEARS WHAT ---


def test_market_data_goes_to_the_core_that_it_names(many: Many) -> None:
    many.open(Conn.MARKET)
    btc, eth = best(1, "1.0", "1.1"), of(1, best(2, "1.0", "1.1"))
    neither, ack = of(2, best(3, "1.0", "1.1")), '{"stream":"!contractInfo","data":{}}'
    combined = '{"stream":"ethusdt@bookTicker","data":' + eth + "}"
    many.say(Conn.MARKET, 0, btc, eth, neither, ack, combined)
    assert many.frames(0, Conn.MARKET) == [btc.encode(), ack.encode()]
    assert many.frames(1, Conn.MARKET) == [eth.encode(), ack.encode(), combined.encode()]
    role = many.roles[Conn.MARKET]
    assert (role.strays, role.broadcasts) == (1, 1)
    assert many.hot.stats()["strays"] == 1


def test_each_core_quotes_and_is_answered_by_its_own_replies(many: Many) -> None:
    many.start()
    assert all(len(many.frames(number, Conn.TRADE)) == 2 for number in (0, 1))
    ids = [own["client_id"] for number in (0, 1) for own in many.own(number)]
    assert len(set(ids)) == 4
    assert (many.hot.bits(0), many.hot.bits(1)) == (0, 0)
    many.say(Conn.MARKET, 0, of(1, best(200, "60000.10", "60000.20")))
    assert [m["params"]["symbol"] for m in many.venues[Conn.TRADE, 0].read_json(4)] == (
        ["ETHUSDT"] * 4
    )


def test_a_reply_of_no_core_and_an_account_event_go_to_all(many: Many) -> None:
    many.open(Conn.TRADE)
    many.open(Conn.USER)
    balances = json.dumps({"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {"B": [], "P": []}})
    many.say(Conn.TRADE, 0, '{"id":"greeting","status":200,"result":{}}')
    many.say(Conn.USER, 0, balances)
    for number in (0, 1):
        assert len(many.frames(number, Conn.TRADE)) == 1
        assert many.frames(number, Conn.USER) == [balances.encode()]


def test_one_connection_lost_is_told_to_all_its_cores(many: Many) -> None:
    many.start()
    many.venues[Conn.TRADE, 0].sock.close()
    many.poll_until(lambda: not many.roles[Conn.TRADE].is_open)
    for number in (0, 1):
        assert Halt(many.hot.bits(number)) & Halt.TRADE_STREAM
        assert many.conns(number, Conn.TRADE) == [1, 0]
    many.cold += many.hot.take_cold()
    assert (Cold.CLOSED, many.roles[Conn.TRADE].index, 0) in many.cold
    assert {n for what, n, _ in many.cold if what is Cold.STATE} == {0, 1}
    assert many.hot.take_cold() == []


def test_a_core_is_sent_for_alone(many: Many) -> None:
    """A command to one core leaves the other's orders alone; a halted one that is flat says so."""
    many.start()
    many.hot.take_cold()
    many.hot.command(1, Command.HALT)
    cancels = many.venues[Conn.TRADE, 0].read_json(2)
    assert [m["params"]["symbol"] for m in cancels] == ["ETHUSDT"] * 2
    for cancel in cancels:
        many.say(Conn.TRADE, 0, json.dumps({
            "id": cancel["id"], "status": 200, "result": {"orderId": 9, "status": "CANCELED"},
        }))  # fmt: skip
    assert [number for what, number, _ in many.cold if what is Cold.FLAT] == [1]
    assert len(many.own(0)) == 2


# -- SLOTS ---


def test_a_role_is_up_while_one_slot_lives(many: Many) -> None:
    role = many.roles[Conn.USER]
    many.open(Conn.USER, 0)
    many.open(Conn.USER, 1)
    assert many.conns(0, Conn.USER) == [1]
    many.venues[Conn.USER, 0].sock.close()
    many.poll_until(lambda: not role.is_slot_open(0))
    assert role.is_open
    assert role.close_text(0) == "the peer closed the TCP connection"
    assert role.close_text(1) == ""
    assert many.conns(0, Conn.USER) == [1]
    assert (Cold.CLOSED, role.index, 0) in many.cold + many.hot.take_cold()
    many.hot.detach(role, 0)
    many.open(Conn.USER, 0)
    many.hot.detach(role, 1)
    assert many.conns(0, Conn.USER) == [1]
    many.hot.detach(role, 0)
    assert many.conns(0, Conn.USER) == [1, 0]
    assert not role.is_open


def test_orders_leave_on_the_youngest_slot_and_replies_are_read_on_all(many: Many) -> None:
    many.start()
    role = many.roles[Conn.TRADE]
    young = many.open(Conn.TRADE, 1)
    assert role.youngest == 1
    many.say(Conn.MARKET, 0, best(200, "60000.10", "60000.20"))
    orders = young.read_json(4)
    assert len(orders) == 4
    place = next(order for order in orders if order["method"] == "order.place")
    many.say(Conn.TRADE, 0, json.dumps({  # the venue answers on the old one
        "id": place["id"], "status": 200, "result": {"orderId": 77, "status": "NEW"},
    }))  # fmt: skip
    assert 77 in {own["venue_order_id"] for own in many.own(0)}
    young.sock.close()
    many.poll_until(lambda: role.youngest == 0)
    assert not Halt(many.hot.bits(0)) & Halt.TRADE_STREAM
    many.hot.command(1, Command.HALT)
    assert len(many.venues[Conn.TRADE, 0].read_json(2)) == 2


def test_a_send_that_finds_the_youngest_broken_is_failed_and_the_next_takes_another(
    many: Many,
) -> None:
    many.start()
    young = many.open(Conn.TRADE, 1)
    young.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    young.sock.close()
    many.hot.command(0, Command.HALT)  # nobody has looked at the socket since the reset
    outcomes = [SendOutcome(outcome) for outcome, _ in many.records(0, "SEND")]
    assert outcomes[-2:] == [SendOutcome.FAILED] * 2
    many.hot.command(1, Command.HALT)
    assert len(many.venues[Conn.TRADE, 0].read_json(2)) == 2


def test_a_second_market_slot_neither_resets_the_book_nor_wants_a_snapshot(many: Many) -> None:
    many.start()
    many.hot.take_cold()
    many.open(Conn.MARKET, 1)
    assert not many.hot.is_snapshot_wanted(0)
    twice = best(300, "60000.00", "60000.10")
    many.say(Conn.MARKET, 0, twice)
    many.say(Conn.MARKET, 1, twice)
    assert many.frames(0, Conn.MARKET)[-2:] == [twice.encode()] * 2
    many.venues[Conn.MARKET, 0].sock.close()
    many.poll_until(lambda: not many.roles[Conn.MARKET].is_slot_open(0))
    assert not many.hot.bits(0)
    many.venues[Conn.MARKET, 1].sock.close()
    many.poll_until(lambda: not many.roles[Conn.MARKET].is_open)
    assert Halt(many.hot.bits(0)) & Halt.BOOK


def test_a_snapshot_is_wanted_only_while_market_is_up(many: Many) -> None:
    """The core's wish outlives its feed; nobody could fetch what belongs to no feed."""
    many.open(Conn.MARKET)
    many.cold += many.hot.take_cold()
    many.say(Conn.MARKET, 0, depth(100, 101))
    assert (Cold.SNAPSHOT, 0, -1) in many.cold + many.hot.take_cold()
    assert many.hot.is_snapshot_wanted(0)
    many.venues[Conn.MARKET, 0].sock.close()
    many.poll_until(lambda: not many.roles[Conn.MARKET].is_open)
    assert not many.hot.is_snapshot_wanted(0)
    many.hot.take_cold()
    many.hot.detach(many.roles[Conn.MARKET], 0)
    many.open(Conn.MARKET)
    many.say(Conn.MARKET, 0, depth(200, 201))
    told = many.cold + many.hot.take_cold()
    assert told.count((Cold.SNAPSHOT, 0, -1)) >= 1
    assert many.hot.is_snapshot_wanted(0)


def test_a_closing_of_our_own_is_not_told(many: Many) -> None:
    many.open(Conn.USER)
    many.hot.take_cold()
    many.hot.detach(many.roles[Conn.USER], 0)
    assert [what for what, _, _ in many.hot.take_cold() if what is Cold.CLOSED] == []


# -- LIFE ---


def test_pings_of_ours_and_what_was_heard(many: Many) -> None:
    venue = many.open(Conn.USER)
    role = many.roles[Conn.USER]
    assert role.last_heard_ns(0) == 0
    before_ns = clock.monotonic_ns()
    assert many.hot.ping(role, 0, b"alive?")
    (ping,) = venue.read()
    assert (ping.opcode, bytes(ping.data)) == (Opcode.PING, b"alive?")
    venue.send(venue.bytes_of())  # the library answers by itself
    many.poll_until(lambda: role.socket(0).pongs == 1)
    assert before_ns <= role.last_heard_ns(0) <= clock.monotonic_ns()
    assert many.hot.say(role, 0, '{"op":"ping"}')
    assert venue.read_json() == [{"op": "ping"}]
    assert many.hot.say(role, 0, "long" * 50_000)
    assert not many.hot.ping(role, 1)
    assert not many.hot.say(role, 1, "nobody")
    assert role.socket(0).pings_sent == 1
    with pytest.raises(ValueError, match="125"):
        many.hot.ping(role, 0, b"p" * 126)


def test_roles_and_numbers_that_are_none_are_refused(many: Many) -> None:
    with pytest.raises(ValueError, match="has a role of kind"):
        many.hot.add_role(Conn.TRADE, [0])
    with pytest.raises(ValueError, match="core's number"):
        many.hot.add_role(Conn.TRADE, [2])
    with pytest.raises(ValueError, match="core's number"):
        many.hot.command(2, Command.HALT)
    with pytest.raises(ValueError, match="core's number"):
        many.hot.bits(-1)
    with pytest.raises(ValueError, match="slot"):
        many.hot.detach(many.roles[Conn.USER], 2)
    with pytest.raises(ValueError, match="of this loop"):
        many.hot.detach(Role(Conn.USER, 0, [0], ["BTCUSDT"], 1, 0), 0)
    with pytest.raises(ValueError, match="number 2"):
        many.hot.add_core(Desk(number=5).core)
    with pytest.raises(ValueError, match="slots"):
        Role(Conn.USER, 0, [0], ["BTCUSDT"], 9, 0)


# -- MANY SOCKETS ---


@pytest.fixture
def crowd() -> Iterator[tuple[HotLoop, list[Desk], list[Role], list[Venue]]]:
    """Twelve cores with a MARKET connection each: more than are read one by one."""
    hot = HotLoop(others_every=1)
    desks = [Desk(number=n, segment_size=1 << 20) for n in range(12)]
    roles, venues = [], []
    for number, desk in enumerate(desks):
        hot.add_core(desk.core)
        role = hot.add_role(Conn.MARKET, [number], 1, 65_536)
        client, server = tcp_pair()
        hot.attach(role, 0, client)
        roles.append(role)
        venues.append(Venue(server))
    yield hot, desks, roles, venues
    for role, venue in zip(roles, venues, strict=True):
        hot.detach(role, 0)
        venue.sock.close()


def spin(hot: HotLoop, is_done: Callable[[], bool]) -> None:
    deadline_ns = clock.monotonic_ns() + PATIENCE_NS
    while not is_done():
        assert clock.monotonic_ns() < deadline_ns, "nothing came of it"
        hot.poll(1)
        hot.take_cold()


def test_readable_sockets_among_many_are_read_and_only_they(crowd: Any) -> None:
    hot, desks, roles, venues = crowd
    for number in (3, 11):
        venues[number].send(venues[number].text(f'"{number}"', "{}"))
    spin(hot, lambda: all(roles[n].socket(0).messages == 2 for n in (3, 11)))
    for number, role in enumerate(roles):
        assert role.socket(0).reads == (1 if number in (3, 11) else 0)
    frames = [bytes(r[6]) for r in read_segment(desks[11].segment) if r[1] == KIND["FRAME"]]
    assert frames == [b'"11"', b"{}"]


def test_a_socket_among_many_was_empty_at_the_last_look_that_did_not_name_it(crowd: Any) -> None:
    hot, desks, roles, venues = crowd
    hot.poll(1)
    before_ns = clock.monotonic_ns()
    hot.poll(1)
    venues[5].send(venues[5].text("one", "two"))
    spin(hot, lambda: roles[5].socket(0).messages == 2)
    first, _ = [r for r in read_segment(desks[5].segment) if r[1] == KIND["FRAME"]]
    assert before_ns <= first[5] <= clock.monotonic_ns()


def test_a_dead_socket_among_many_is_told_once_and_polled_no_more(crowd: Any) -> None:
    hot, _, roles, venues = crowd
    venues[4].sock.close()
    spin(hot, lambda: not roles[4].is_open)
    reads = roles[4].socket(0).reads
    for _ in range(5):
        assert not hot.poll(3)
    assert roles[4].socket(0).reads == reads
    client, server = tcp_pair()
    hot.detach(roles[4], 0)
    hot.attach(roles[4], 0, client)
    venues[4] = Venue(server)
    venues[4].send(venues[4].text("back"))
    spin(hot, lambda: roles[4].socket(0).messages == 1)


def test_what_waits_to_be_sent_on_a_silent_socket_among_many_leaves(crowd: Any) -> None:
    hot, _, roles, venues = crowd
    filler = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filler += os.write(roles[7].fileno(0), b"\0" * 1_000)
    assert hot.say(roles[7], 0, "late but whole")
    hot.poll(3)
    assert roles[7].socket(0).queued_bytes > 0
    while filler:
        filler -= len(venues[7].sock.recv(min(filler, 65_536)))
    spin(hot, lambda: roles[7].socket(0).queued_bytes == 0)
    (frame,) = venues[7].read()
    assert bytes(frame.data) == b"late but whole"


def test_every_core_of_many_has_its_timer(crowd: Any) -> None:
    hot, desks, _, _ = crowd

    def timers() -> list[int]:
        return [sum(r[1] == KIND["TIMER"] for r in read_segment(desk.segment)) for desk in desks]

    begun_ns, before = clock.monotonic_ns(), timers()
    spin(hot, lambda: min(timers()) >= max(before) + 3)
    # A stalled poll may bring two stamps close together: how many there are is what is bounded.
    most = (clock.monotonic_ns() - begun_ns) // 10_000_000 + 1
    assert max(after - was for was, after in zip(before, timers(), strict=True)) <= most


def test_a_second_slot_that_is_never_used_has_no_memory() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    hot = HotLoop()
    hot.add_core(Desk(number=0).core)
    before = resident()
    role = hot.add_role(Conn.MARKET, [0], 4, 64 << 20)
    assert resident() - before < 32 << 20
    client, server = tcp_pair()
    with server:
        hot.attach(role, 1, client)
        assert 64 << 20 <= resident() - before < 96 << 20
        hot.detach(role, 1)
