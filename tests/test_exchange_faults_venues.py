"""Every kind of fault on every venue's own face, in virtual time: its words, no bug of ours."""

import json
from typing import Any

import pytest

from engine.exchange.commands import Advance, Command, SetState
from engine.exchange.events import Output, Refused
from engine.exchange.face import (
    Action,
    Event,
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    Trouble,
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsOpen,
    WsSend,
    WsText,
)
from engine.exchange.faults import Faulty
from engine.exchange.faults_schedule import KINDS, Schedule, fault
from engine.exchange.stack import VENUES, agent_markets, make_core, make_face
from engine.exchange.terms import MarketState
from engine.exchange.truth import FaultRecord

S, START_NS = 1_000_000_000, 1_700_000_000_000_000_000
TIME_PATH = {
    "binance_usdm": "/fapi/v1/time",
    "binance_spot": "/api/v3/time",
    "bybit": "/v5/market/time",
}
DEPTH_PATH = {
    "binance_usdm": ("/fapi/v1/depth", "symbol=BTCUSDT&limit=100"),
    "binance_spot": ("/api/v3/depth", "symbol=BTCUSDT&limit=100"),
    "bybit": ("/v5/market/orderbook", "category=linear&symbol=BTCUSDT&limit=50"),
}
MARKET_TARGET = {
    "binance_usdm": "/public/stream?streams=btcusdt@depth@100ms",
    "binance_spot": "/stream?streams=btcusdt@depth@100ms",
    "bybit": "/v5/public/linear",
}
PARTIAL_TARGET = {
    "binance_usdm": "/public/ws/btcusdt@depth5@100ms",
    "binance_spot": "/ws/btcusdt@depth5@100ms",
    "bybit": "/v5/public/linear",
}
TRADE_TARGET = {
    "binance_usdm": "/ws-fapi/v1",
    "binance_spot": "/ws-api/v3",
    "bybit": "/v5/trade",
}
SUBSCRIBE = '{"op":"subscribe","args":["orderbook.50.BTCUSDT"],"req_id":"1"}'
ASK_TIME = {
    "binance_usdm": '{"id":7,"method":"ticker.price","params":{"symbol":"BTCUSDT"}}',
    "binance_spot": '{"id":7,"method":"time"}',
    "bybit": '{"op":"order.cancel","reqId":"7","header":{},"args":[{}]}',
}
MARKET, TRADE = 1, 2


class Venue:
    """One venue with its agents at work, a subscriber and an order-entry connection."""

    def __init__(self, name: str, seed: int = 1) -> None:
        core = make_core(name, agent_markets(name, ["BTCUSDT"], 1, START_NS), 1)
        self.name = name
        self.faulty = Faulty(make_face(name, core), Schedule(seed=seed))
        self.t_ns = START_NS
        self.requests = 0
        assert WsAccept(MARKET) in self.step(WsOpen(MARKET, MARKET_TARGET[name], {}))
        assert WsAccept(TRADE) in self.step(WsOpen(TRADE, TRADE_TARGET[name], {}))
        if name == "bybit":
            self.step(WsText(MARKET, SUBSCRIBE))

    def step(self, event: Event) -> list[Action]:
        actions = self.faulty.step(event, self.t_ns)
        bugs = [action for action in actions if isinstance(action, Log) and action.is_error]
        assert not bugs, bugs
        for action in actions:
            if isinstance(action, WsClose | WsDrop):
                actions = actions + self.step(WsClosed(action.conn))
        return actions

    def run(self, seconds: float) -> list[Action]:
        """Ticks as they fall due."""
        end_ns, done = self.t_ns + int(seconds * S), []
        while (due_ns := self.faulty.next_due_ns()) <= end_ns:
            self.t_ns = max(self.t_ns + 1, due_ns)
            done += self.step(Tick())
        self.t_ns = end_ns
        return done + self.step(Tick())

    def get(self, path: str, query: str = "") -> list[HttpAnswer]:
        self.requests += 1
        event = HttpRequest(self.requests, "GET", path, query, "", {})
        return [a for a in self.step(event) if isinstance(a, HttpAnswer)]

    def start(self, kind: str, **fields: Any) -> list[Action]:
        self.faulty.start(fault(kind, **fields), self.t_ns)
        return self.step(Tick())

    def phases(self) -> list[str]:
        return [record.phase for record in self.faulty.core.truth.of(FaultRecord)]


def sends_to(conn: int, actions: list[Action]) -> list[str]:
    return [a.text for a in actions if isinstance(a, WsSend) and conn in a.conns]


def depth(actions: list[Action]) -> list[str]:
    texts = [a.text for a in actions if isinstance(a, WsSend) and a.conns == (MARKET,)]
    return [text for text in texts if "depth" in text or "orderbook" in text]


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", KINDS)
def test_fault_begins_and_ends_without_a_bug(venue: str, kind: str) -> None:
    """Requests, subscriptions and time go on all the while; afterwards time is answered."""
    world = Venue(venue)
    world.run(0.3)
    world.start(kind)
    for conn in (MARKET, TRADE):
        if world.faulty.face.kind_of(MARKET_TARGET[venue]):
            world.step(WsText(conn, ASK_TIME[venue]))
    world.get(TIME_PATH[venue])
    world.run(0.6)
    world.get(*DEPTH_PATH[venue])
    world.run(2.5)
    assert world.phases()[0] == "begin"
    assert not world.faulty.live
    (answer,) = world.get(TIME_PATH[venue])
    assert answer.status == 200
    assert "refused" not in world.phases()


@pytest.mark.parametrize("venue", VENUES)
def test_limits_and_troubles_are_in_the_venues_words(venue: str) -> None:
    statuses = {}
    for kind in ("throttled", "banned", "unknown", "unavailable", "error_after_effect"):
        world = Venue(venue)
        world.start(kind, for_="3s")
        (answer,) = world.get(TIME_PATH[venue])
        statuses[kind] = answer.status
        sends = [a for a in world.step(WsText(TRADE, ASK_TIME[venue])) if isinstance(a, WsSend)]
        assert [send.conns for send in sends] == [(TRADE,)]
        document = json.loads(sends[0].text)
        assert document.get("status", document.get("retCode", 0)) not in (0, 200)
        assert document.get("id", document.get("reqId")) in (7, "7")
    if venue == "bybit":
        assert statuses["banned"] == 403  # its IP bans are 403, with words
    else:
        assert (statuses["throttled"], statuses["banned"]) == (429, 418)
        timeout = 408 if venue == "binance_usdm" else 503
        assert (statuses["unknown"], statuses["unavailable"]) == (timeout, 503)
    assert statuses["error_after_effect"] >= 500 or venue == "bybit"


@pytest.mark.parametrize("venue", VENUES)
def test_stale_snapshots_are_older_than_the_stream(venue: str) -> None:
    world = Venue(venue)
    world.run(0.5)
    world.start("stale_snapshot", for_="5s")
    (before,) = world.get(*DEPTH_PATH[venue])
    moved = depth(world.run(1.0))
    (after,) = world.get(*DEPTH_PATH[venue])

    def update_id(text: str) -> int:
        document = json.loads(text)
        document = document.get("result", document)
        return int(document.get("lastUpdateId", document.get("seq", 0)))

    def last_id(text: str) -> int:
        data = json.loads(text)["data"]
        return int(data.get("seq", data.get("u")))

    assert update_id(before.body) == update_id(after.body) < last_id(moved[-1])


@pytest.mark.parametrize("venue", VENUES)
def test_stale_snapshots_stop_no_stream_and_move_no_money(venue: str) -> None:
    """Streams of whole books go on; a client that subscribes now gets a book that a later delta
    does not join."""
    world = Venue(venue)
    world.run(0.5)
    symbol = next(iter(world.faulty.core.markets))
    market = world.faulty.core.markets[symbol]
    world.start("stale_snapshot", for_="5s", symbol=symbol)
    frozen = market.snapshot(1).update_id
    world.run(0.5)
    late = TRADE + 1
    world.step(WsOpen(late, PARTIAL_TARGET[venue], {}))
    if venue == "bybit":
        (first,) = sends_to(late, world.step(WsText(late, SUBSCRIBE)))[-1:]
        data = json.loads(first)["data"]
        told = sends_to(late, world.run(0.5))
        assert data["seq"] == frozen
        assert json.loads(told[0])["data"]["u"] > data["u"] + 1
    else:
        told = sends_to(late, world.run(0.5))
    assert len(told) > 2
    assert len(set(told)) == len(told)
    assert market.snapshot(1).update_id > frozen
    assert world.faulty.core.markets[symbol] is market


@pytest.mark.parametrize("venue", VENUES)
def test_depth_is_dropped_while_pings_and_replies_go_on(venue: str) -> None:
    world = Venue(venue)
    assert depth(world.run(1.0))
    world.start("heartbeat_only", for_="3s", conn="market")
    assert not depth(world.run(1.0))
    assert [a for a in world.step(WsText(TRADE, ASK_TIME[venue])) if isinstance(a, WsSend)]
    world.run(2.5)
    assert depth(world.run(1.0))


@pytest.mark.parametrize("venue", VENUES)
def test_market_that_fails_is_told_once_as_a_bug_and_time_is_answered(
    venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Venue(venue)
    world.run(0.5)
    core, step = world.faulty.core, world.faulty.core.step

    def failing(command: Command, t_ns: int) -> list[Output]:
        if isinstance(command, Advance):
            raise RuntimeError("planted")
        return step(command, t_ns)

    monkeypatch.setattr(core, "step", failing)
    logs = []
    for number in range(1, 4):
        world.t_ns += S
        event = HttpRequest(number, "GET", TIME_PATH[venue], "", "", {})
        done = world.faulty.step(event, world.t_ns)
        assert [a.status for a in done if isinstance(a, HttpAnswer)] == [200]
        logs += [a for a in done if isinstance(a, Log)]
    assert [(log.is_error, log.is_bug) for log in logs] == [(True, True)]
    assert "planted" not in logs[0].text
    assert world.faulty.next_due_ns() > world.t_ns


@pytest.mark.parametrize("venue", VENUES)
def test_what_is_no_request_is_refused_in_the_venues_words(venue: str) -> None:
    face = Venue(venue).faulty
    event = HttpRequest(1, "UNKNOWN", "/", "", "", {})
    for kind, status in ((Trouble.TOO_LARGE, 413), (Trouble.MALFORMED, 400)):
        (answer,) = face.trouble(event, kind, 0)
        assert isinstance(answer, HttpAnswer)
        assert answer.status == status
        document = json.loads(answer.body)
        assert document.get("code", document.get("retCode")) in (-1000, 10001)


@pytest.mark.parametrize("venue", VENUES)
def test_every_stream_ends_at_the_age_limit(venue: str) -> None:
    world = Venue(venue)
    ended = {a.conn for a in world.start("drop_all") if isinstance(a, WsClose | WsDrop)}
    assert ended == {MARKET, TRADE}
    assert world.phases() == ["begin", "hit", "hit"]
    assert not depth(world.run(1.0))


@pytest.mark.parametrize("venue", VENUES)
def test_skewed_clock_is_what_the_venue_tells(venue: str) -> None:
    world = Venue(venue)
    world.start("clock_skew", by="-90s", for_="5s")
    (answer,) = world.get(TIME_PATH[venue])
    document = json.loads(answer.body)
    told_ms = int(document.get("serverTime", document.get("time")))
    assert told_ms == (world.t_ns - 90 * S) // 1_000_000


@pytest.mark.parametrize("venue", VENUES)
def test_market_that_the_operator_halts_moves_no_more(venue: str) -> None:
    world = Venue(venue)
    world.run(0.5)
    symbol = next(iter(world.faulty.core.markets))
    answer = world.faulty.core.operate(SetState(symbol, MarketState.HALTED), world.t_ns)
    assert not isinstance(answer, Refused)
    assert world.faulty.next_due_ns() <= world.t_ns
    world.run(0.2)  # what was gathered before is still told
    assert not depth(world.run(1.0))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", range(3))
def test_swarm_of_faults_breaks_nothing(venue: str, seed: int) -> None:
    """Everything at once: no bug, no exception, and time is answered afterwards."""
    world = Venue(venue, seed)
    schedule = Schedule.swarm(seed, 6.0)
    for each in schedule.fault:
        while world.t_ns < START_NS + each.at_ns:
            world.run(0.05)
            for conn in (MARKET, TRADE):
                world.step(WsText(conn, ASK_TIME[venue]))
            world.get(TIME_PATH[venue])
        world.faulty.start(each, world.t_ns)
    world.run(10.0)
    assert not world.faulty.live
    (answer,) = world.get(TIME_PATH[venue])
    assert answer.status in (200, 403, 418, 429)
