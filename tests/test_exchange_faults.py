"""Faults around the smallest face, in virtual time: what leaves, when, and what the truth says."""

import json
from typing import Any

import pytest
from support_exchange import accepted, place
from support_face import TinyFace, run_until

from engine.exchange.book import Side
from engine.exchange.commands import CancelAll, DeleteKey
from engine.exchange.events import Refused, stale_snapshot, told_snapshot
from engine.exchange.face import (
    Action,
    Event,
    HttpAnswer,
    HttpDrop,
    HttpRequest,
    Tick,
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsHalfOpen,
    WsOpen,
    WsPing,
    WsPingOut,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import KINDS, Fault, Schedule, fault
from engine.exchange.terms import MarketState
from engine.exchange.truth import FaultRecord

MS, S = 1_000_000, 1_000_000_000
MARKET, USER, TRADE = 1, 2, 3


class World:
    """A tiny venue with faults and three connections, one of each kind."""

    def __init__(self, *faults: Fault, seed: int = 1) -> None:
        self.face = TinyFace()
        self.faulty = Faulty(self.face, Schedule(seed=seed, fault=faults))
        self.request = 0
        for conn, kind in ((MARKET, "market"), (USER, "user"), (TRADE, "trade")):
            self.step(WsOpen(conn, f"/{kind}", {}), 0)

    def step(self, event: Event, t_ns: int) -> list[Action]:
        return self.faulty.step(event, t_ns)

    def rest(self, path: str = "/order", t_ns: int = 0, body: str = "") -> list[Action]:
        self.request += 1
        return self.step(HttpRequest(self.request, "POST", path, "", body, {}), t_ns)

    def heard(self, text: str, t_ns: int) -> list[tuple[int, str]]:
        """Who hears what when `text` is published to all."""
        return sent(self.rest("/all", t_ns, text))

    def phases(self, kind: str) -> list[str]:
        return [r.phase for r in self.faulty.core.truth.of(FaultRecord) if r.fault == kind]


def sent(actions: list[Action]) -> list[tuple[int, str]]:
    return [(conn, a.text) for a in actions if isinstance(a, WsSend) for conn in a.conns]


def of(actions: list[Action], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


ALL = [(MARKET, "x"), (USER, "x"), (TRADE, "x")]


# -- FRAMES ---


def test_without_faults_actions_are_the_faces_own() -> None:
    plain, world = TinyFace(), World()
    for event in (WsOpen(1, "/market", {}), WsText(1, "order"), WsText(1, "ping"), Tick()):
        own = plain.step(event, 5)
        if not isinstance(event, WsOpen):
            assert world.step(event, 5) == own


def test_drop_takes_messages_of_its_kind_and_text_within_its_window_only() -> None:
    world = World(fault("drop", at="1s", for_="1s", conn="market", stream="dep"))
    assert world.heard("depth", 1 * S - 1)[0] == (MARKET, "depth")
    assert world.heard("depth", 1 * S) == [(USER, "depth"), (TRADE, "depth")]
    assert world.heard("trade", 1 * S)[0] == (MARKET, "trade")
    assert world.heard("depth", 2 * S)[0] == (MARKET, "depth")
    assert world.phases("drop") == ["begin", "hit", "end"]


def test_duplicate_and_garble_and_truncate() -> None:
    document = '{"u":[1,2,3],"p":"7.00"}'
    world = World(fault("duplicate", conn="user"))
    assert world.heard("x", 0) == [(MARKET, "x"), (USER, "x"), (USER, "x"), (TRADE, "x")]
    for kind in ("garble", "truncate"):
        for seed in range(50):
            (_, text), *_ = World(fault(kind), seed=seed).heard(document, 0)
            assert text != document
            with pytest.raises(ValueError, match="char"):
                json.loads(text)
        assert World(fault(kind)).heard("", 0) == [(conn, "") for conn in (1, 2, 3)]


def test_reorder_lets_the_next_message_pass_and_waits_for_none_for_ever() -> None:
    world = World(fault("reorder", conn="market"))
    world.rest("/all", 0, "first")
    texts = [text for conn, text in world.heard("second", MS) if conn == MARKET]
    assert texts == ["second", "first"]
    world.rest("/all", 2 * MS, "third")
    assert world.faulty.next_due_ns() == 2 * S  # the fault's end, and then the message
    world.step(Tick(), 2 * S)
    assert world.faulty.next_due_ns() == 2_002 * MS
    assert sent(world.step(Tick(), 2_002 * MS)) == [(MARKET, "third")]
    assert world.phases("reorder") == ["begin", "hit", "end"]  # the third was never overtaken


def test_reorder_waits_for_a_slow_streams_own_follower() -> None:
    world = World(fault("reorder", for_="5s", conn="market", stream="depth"))
    texts = []
    for t_ms, text in ((0, "depth1"), (100, "trade"), (400, "depth2"), (800, "depth3")):
        texts += [t for conn, t in world.heard(text, t_ms * MS) if conn == MARKET]
    assert texts == ["trade", "depth2", "depth1"]
    assert world.faulty.hits["reorder"] == 1


def test_reorder_keeps_nothing_from_a_connection_that_ends() -> None:
    world = World(fault("reorder", conn="trade"))
    done = world.step(WsText(TRADE, "order"), 0) + world.step(WsText(TRADE, "close"), MS)
    own = [a for a in done if isinstance(a, WsSend | WsClose)]
    assert [type(action) for action in own] == [WsSend, WsSend, WsClose]
    world = World(fault("reorder", conn="trade"))
    world.step(WsText(TRADE, "hello"), 0)
    done = world.step(WsText(TRADE, "drop"), MS)
    assert done == [WsSend((TRADE,), "got hello"), WsDrop(TRADE)]


def test_muted_connections_are_chosen_once_and_every_lost_message_is_told() -> None:
    world = World(fault("heartbeat_only", for_="5s", probability=0.5), seed=5)
    heard = [world.heard("x", t_s * S) for t_s in range(5)]
    assert 0 < len(heard[0]) < 3
    assert heard == heard[:1] * 5
    lost = 3 - len(heard[0])
    assert world.phases("heartbeat_only").count("hit") == 5 * lost
    assert len(world.heard("x", 5 * S)) == 3
    late = World(fault("heartbeat_only", for_="5s", conn="user"))
    late.step(WsOpen(9, "/user", {}), 1)
    assert {conn for conn, _ in late.heard("x", 2)} == {MARKET, TRADE}


def test_delay_keeps_the_order_of_each_connection() -> None:
    """Pings and closes too, and what is sent after the fault has ended."""
    world = World(fault("delay", for_="50ms", conn="trade", by="30ms", jitter="40ms"))
    for number in range(20):
        world.step(WsText(TRADE, str(number)), number * 2 * MS)
    world.step(WsText(TRADE, "ping"), 50 * MS)
    world.step(WsText(TRADE, "close"), 51 * MS)
    done: list[tuple[int, Action]] = []
    for t_ns in range(52 * MS, 200 * MS, MS):
        done += [(t_ns, a) for a in world.step(Tick(), t_ns)]
    own = [a for _, a in done if not isinstance(a, WsSend) or a.conns == (TRADE,)]
    waited = [a.text for a in own if isinstance(a, WsSend)]
    assert [int(text.removeprefix("got ")) for text in waited] == sorted(
        int(text.removeprefix("got ")) for text in waited
    )
    assert waited[-1] == "got 19"
    kinds = [type(a) for a in own if isinstance(a, WsPingOut | WsClose)]
    assert kinds == [WsPingOut, WsClose]
    assert world.step(WsClosed(TRADE), 200 * MS) == []


def test_probability_strikes_about_so_often_and_the_same_for_a_seed() -> None:
    def run(seed: int) -> list[str]:
        world = World(fault("drop", for_="1h", conn="user", probability=0.3), seed=seed)
        texts = [world.heard(str(n), n) for n in range(500)]
        return [text for heard in texts for conn, text in heard if conn == USER]

    assert run(5) == run(5) != run(6)
    assert 300 < len(run(5)) < 400


# -- CONNECTIONS ---


def test_half_open_is_silence_both_ways_then_a_reset() -> None:
    world = World(fault("half_open", at="1s", for_="5s", conn="user"))
    assert of(world.step(Tick(), S), WsHalfOpen) == [WsHalfOpen(USER)]
    assert world.heard("x", 2 * S) == [(MARKET, "x"), (TRADE, "x")]
    before = len(world.face.events)
    world.step(WsText(USER, "order"), 3 * S)
    world.step(WsPing(USER), 3 * S)
    assert all(isinstance(event, Tick) for event in world.face.events[before:])
    world.step(WsOpen(9, "/user", {}), 4 * S)  # a new one is well
    assert (9, "x") in world.heard("x", 4 * S)
    world.faulty.start(fault("drop_all"), 5 * S)  # nor does it hear of its own end
    assert {close.conn for close in of(world.step(Tick(), 5 * S), WsClose)} == {MARKET, TRADE, 9}
    assert of(world.step(Tick(), 6 * S), WsDrop) == [WsDrop(USER)]
    world.step(WsClosed(USER), 6 * S)
    assert USER not in world.face.conns


def test_silent_subscribe_answers_and_says_no_more_to_that_connection_for_ever() -> None:
    world = World(fault("silent_subscribe", at="1s", for_="1s", conn="market"))
    assert sent(world.step(WsText(MARKET, "sub"), S)) == [(MARKET, "got sub")]
    world.step(WsOpen(7, "/market", {}), S)
    world.step(WsOpen(8, "/market", {}), 3 * S)
    assert world.heard("x", 4 * S) == [(USER, "x"), (TRADE, "x"), (8, "x")]
    assert sent(world.step(WsText(7, "sub"), 5 * S)) == [(7, "got sub")]


def test_heartbeat_only_lets_pings_and_replies_through() -> None:
    world = World(fault("heartbeat_only", for_="1s", conn="trade"))
    assert world.heard("x", 0) == [(MARKET, "x"), (USER, "x")]
    assert of(world.step(WsText(TRADE, "ping"), 1), WsPingOut) == [WsPingOut(TRADE, "hello")]
    assert sent(world.step(WsText(TRADE, "order"), 2)) == [(TRADE, "ack 1")]  # "filled" is data
    world.face.due_ns = 5
    assert sent(world.step(WsText(TRADE, "z"), 5)) == [
        (MARKET, "data 1"), (USER, "data 1"), (TRADE, "got z"),
    ]  # fmt: skip
    world.face.due_ns = 1 << 62
    assert world.heard("x", S) == ALL


# -- REQUESTS ---


def test_ack_lost_happens_and_is_not_told() -> None:
    world = World(fault("ack_lost", match="order"))
    assert of(world.rest(), HttpDrop) == [HttpDrop(1)]
    assert sent(world.step(WsText(TRADE, "order"), 1)) == [(TRADE, "filled")]
    assert world.face.orders == 2
    assert of(world.rest("/time"), HttpAnswer)
    assert world.phases("ack_lost") == ["begin", "hit", "hit"]


def test_error_after_effect_and_unknown_and_unavailable() -> None:
    for kind, fields, status, orders in (
        ("error_after_effect", {}, 502, 1),
        ("unknown", {"effect": True}, 503, 1),
        ("unknown", {"effect": False}, 503, 0),
        ("unavailable", {}, 503, 0),
    ):
        world = World(fault(kind, **fields))
        (answer,) = of(world.rest(), HttpAnswer)
        assert (answer.status, world.face.orders) == (status, orders), kind
        texts = [text for _, text in sent(world.step(WsText(TRADE, "order"), 1))]
        assert texts[0].endswith(" 0")
        assert ("filled" in texts) is bool(orders)
        # Not an order entry: nobody's business.
        assert sent(world.step(WsText(MARKET, "sub"), 1)) == [(MARKET, "got sub")]


@pytest.mark.parametrize("effect", [True, False])
def test_timeout_answers_late_or_never(effect: bool) -> None:
    world = World(fault("timeout", effect=effect, via="rest"))
    assert world.rest(t_ns=1)[1:] == []
    assert world.face.orders == effect
    assert sent(world.step(WsText(TRADE, "order"), 2))
    late = World(fault("timeout", effect=True, late="3s"))
    assert of(late.rest(t_ns=0), HttpAnswer) == []
    assert late.faulty.next_due_ns() <= 3 * S
    done = run_until(late.faulty, 10 * S)
    assert [(t_ns, a.status) for t_ns, a in done if isinstance(a, HttpAnswer)] == [(3 * S, 200)]


def test_limits_answer_for_the_venue_with_retry_after() -> None:
    world = World(
        fault("throttled", for_="2500ms"), fault("banned", at="5s", for_="1s", retry_after="90s")
    )
    (answer,) = of(world.rest(t_ns=100 * MS), HttpAnswer)
    assert (answer.status, answer.headers) == (429, (("Retry-After", "3"),))
    (answer,) = of(world.rest(t_ns=5 * S), HttpAnswer)
    assert (answer.status, answer.headers) == (418, (("Retry-After", "90"),))
    assert world.face.orders == 0


def test_told_time_is_kept_for_the_address_that_heard_it_after_the_fault() -> None:
    world = World(fault("throttled", for_="1s", match="/order", retry_after="10s"))
    other = HttpRequest(99, "POST", "/order", "", "", {}, "10.0.0.2")

    def statuses(t_ms: int) -> list[int]:
        done = world.rest("/order", t_ms * MS) + world.rest("/x", t_ms * MS)
        return [answer.status for answer in of(done, HttpAnswer)]

    assert statuses(0) == [429, 203]
    assert [a.headers for a in of(world.rest("/order", 9_500 * MS), HttpAnswer)] == [
        (("Retry-After", "1"),)
    ]
    assert [a.status for a in of(world.step(other, 9_600 * MS), HttpAnswer)] == [200]
    assert statuses(9_999) == [429, 203]
    assert statuses(10_000) == [200, 203]


def test_ban_concerns_all_of_its_address_and_refuses_handshakes() -> None:
    world = World(fault("banned", for_="1s", match="/order", retry_after="10s"))

    def refused(conn: int, t_ms: int, ip: str = "127.0.0.1") -> list[int]:
        done = world.step(WsOpen(conn, "/market", {}, ip), t_ms * MS)
        assert not of(done, WsRefuse) or not of(done, WsAccept)
        return [action.status for action in of(done, WsRefuse)]

    assert refused(11, 0) == []  # nobody of this address has been told
    world.rest("/order", 100 * MS)
    assert [a.status for a in of(world.rest("/x", 200 * MS), HttpAnswer)] == [418]
    assert sent(world.step(WsText(TRADE, "order"), 300 * MS)) == [(TRADE, "banned 10")]
    assert refused(12, 10_099) == [418]
    assert refused(13, 10_099, "10.0.0.2") == []
    assert refused(14, 10_100) == []
    assert world.face.orders == 0
    assert world.phases("banned") == ["begin", "hit", "hit", "hit", "end", "hit"]
    world = World(fault("banned", at="100ms", for_="1s"))
    assert refused(15, 500) == [418]
    assert refused(16, 1_400) == [418]
    assert refused(17, 1_500) == []
    assert world.face.conns.keys() == {1, 2, 3, 17}


# -- THE VENUE ---


def test_clock_skew_step_and_drift() -> None:
    world = World(
        fault("clock_skew", at="1s", for_="1s", by="-2s"),
        fault("clock_step", at="3s", by="500ms"),
        fault("clock_drift", at="4s", for_="10s", ppm=1000.0),
    )
    skews = []
    for t_s in (0, 1, 2, 3, 4, 9, 14):
        world.step(Tick(), t_s * S)
        skews.append(world.face.skew_ns // MS)
    assert skews == [0, -2000, 0, 500, 500, 505, 500]


def test_instrument_halts_and_trades_again_and_clients_hear_of_it() -> None:
    world = World(fault("halt_instrument", at="1s", for_="1s", symbol="BTCUSDT"))
    assert (MARKET, "BTCUSDT HALTED") in sent(world.step(Tick(), S))
    assert world.faulty.core.state("BTCUSDT") is MarketState.HALTED
    assert (MARKET, "BTCUSDT TRADING") in sent(world.step(Tick(), 2 * S))


def test_delisting_is_for_good_and_needs_no_window() -> None:
    world = World(fault("delist", at="1s"))
    assert (USER, "BTCUSDT DELISTED") in sent(world.step(Tick(), S))
    assert world.phases("delist") == ["begin"]


def test_snapshots_stand_still_while_the_book_moves() -> None:
    world = World(fault("stale_snapshot", at="1s", for_="1s"))
    core = world.faulty.core
    world.step(Tick(), S)
    old = core.markets["BTCUSDT"].snapshot(5)
    order = place(0, Side.BUY, 10, core.markets["BTCUSDT"].touch()[0])
    accepted(core.step(order, S))
    market = core.markets["BTCUSDT"]
    assert told_snapshot(market, 5) == old
    assert market.snapshot(5).update_id > old.update_id  # what orders and streams read
    assert len(core.open_orders(0, "BTCUSDT")) == 1
    world.step(Tick(), 2 * S)
    assert told_snapshot(market, 5) == market.snapshot(5)


def test_stale_snapshots_overlap_and_none_outlives_a_tick_change() -> None:
    world = World(
        fault("stale_snapshot", for_="2s"),
        fault("stale_snapshot", at="1s", for_="2s"),
        fault("stale_snapshot", at="5s", for_="9s"),
        fault("tick_change", at="6s"),
    )
    core = world.faulty.core
    stale = []
    for t_s in (0, 1, 2, 3, 5, 6):
        world.step(Tick(), t_s * S)
        stale.append(stale_snapshot(core.markets["BTCUSDT"], 5) is not None)
    assert stale == [True, True, True, False, True, False]


def test_refusals_of_the_venue_add_up_and_end() -> None:
    world = World(
        fault("cancel_all_partial", for_="2s", max=2),
        fault("cancel_all_partial", at="1s", for_="2s", max=1),
        fault("revocation_refused", at="2500ms", for_="1s"),
    )
    core = world.faulty.core
    bid = core.markets["BTCUSDT"].touch()[0]
    left = []
    for t_s in (0, 1, 2, 3):
        world.step(Tick(), t_s * S)
        for _ in range(4 - len(core.open_orders(0, "BTCUSDT"))):
            accepted(core.step(place(0, Side.BUY, 10, bid), t_s * S))
        core.step(CancelAll(0, ("BTCUSDT",)), t_s * S)
        left.append(len(core.open_orders(0, "BTCUSDT")))
    assert left == [2, 3, 3, 0]
    key = core.keys[0].keys[0].api_key
    assert isinstance(core.step(DeleteKey(key), 3 * S)[0], Refused)
    world.step(Tick(), 3500 * MS)
    assert not isinstance(core.step(DeleteKey(key), 4 * S)[0], Refused)


def test_faults_that_a_face_must_do_itself() -> None:
    world = World(fault("drop_all", at="1s"), fault("listen_key_expiry", at="2s"))
    assert of(world.step(Tick(), S), WsClose) == [WsClose(c, 1001, "age") for c in (1, 2, 3)]
    assert (USER, "expired") in sent(world.step(Tick(), 2 * S))
    assert world.face.told == ["end_of_age", "expire_user_streams"]


# -- TIME AND TRUTH ---


def test_faults_repeat_as_often_as_they_say() -> None:
    world = World(fault("drop_all", at="1s", every="2s", count=3), fault("drop_all", at="100s"))
    begins = {t for t, a in run_until(world.faulty, 60 * S) if isinstance(a, WsClose)}
    assert sorted(begins) == [1 * S, 3 * S, 5 * S]


def test_a_fault_may_begin_by_hand() -> None:
    world = World()
    world.faulty.start(fault("drop", at="1h", for_="1s"), 7 * S)
    assert world.faulty.next_due_ns() == 7 * S
    assert world.heard("x", 7 * S) == []
    assert world.heard("x", 8 * S) == ALL


def test_swarm_is_its_seeds_own_and_covers_every_kind() -> None:
    assert Schedule.swarm(3, 20.0) == Schedule.swarm(3, 20.0) != Schedule.swarm(4, 20.0)
    seen: set[str] = set()
    for seed in range(30):
        schedule = Schedule.swarm(seed, 20.0)
        kinds = {each.kind for each in schedule.fault}
        assert kinds < set(KINDS)  # a subset: each run leaves some out
        seen |= kinds
        assert all(0 <= each.at_ns < 20 * S for each in schedule.fault)
    assert seen == set(KINDS)
    only = Schedule.swarm(1, 20.0, ["drop", "delay"])
    assert {each.kind for each in only.fault} <= {"drop", "delay"}


@pytest.mark.parametrize("seed", range(12))
def test_swarm_runs_the_same_twice_and_breaks_nothing(seed: int) -> None:
    def run() -> list[Any]:
        world = World(*Schedule.swarm(seed, 10.0).fault, seed=seed)
        world.face.due_ns = 0
        done: list[Any] = []
        for t_ns in range(0, 11 * S, 50 * MS):
            done += world.step(WsText(1 + t_ns // MS % 3, "order"), t_ns)
            done += world.rest(t_ns=t_ns)
        done.append(world.face.skew_ns)
        done.append([r for _, r in world.faulty.core.truth.since(0)])
        return done

    assert run() == run()
