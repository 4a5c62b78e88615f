"""Many instruments and long runs: nothing is asked more often than it is due, or kept for ever."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support_core import API_KEY, SECRET, core_config
from support_exchange import accepted, place
from test_sim_judges import DONE, FILL, LEDGER, NEW, ORDER, written

from bench.sim import growth
from engine.exchange.agents.settings import settings_of
from engine.exchange.book import Side
from engine.exchange.commands import Advance, CancelAll, SetState
from engine.exchange.core import Core as Exchange
from engine.exchange.instruments import catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.quiet import Quiet
from engine.exchange.rules import rules_of
from engine.exchange.terms import MarketState
from engine.gateway.hotsocket import HotLoop
from engine.gateway.transport import SLEEP_S_MAX, HotTransport
from engine.sim.audit import Audit
from engine.sim.engines import config_of, listings_of
from engine.sim.ledger_rows import LedgerReader
from engine.sim.loop import START_NS, StandstillError, VirtualLoop, virtual_time
from engine.sim.outcome import PACE, Scenario, paced
from engine.sim.run import run_seed
from engine.sim.schedule import Plan
from fastcore.core import Core
from fastcore.journal import KIND, JournalWriter, read_segment

VENUE = "binance_usdm"


def test_thirty_instruments_start_quote_and_prove_their_end() -> None:
    """The venue's weight is enough for their switches and snapshots."""
    outcome = run_seed(1, Plan(), Scenario(VENUE, 60.0, pace=0.002, instruments=30))
    assert outcome.breaches == []
    quoting = [line for line in outcome.lines if line["event"] == "quoting"]
    assert len(quoting) == 30


def test_the_settings_of_few_instruments_are_not_those_of_many(tmp_path: Path) -> None:
    def config(count: int, pace: float) -> tuple[int, int]:
        scenario = Scenario(VENUE, pace=pace, instruments=count)
        listings = listings_of(1, scenario)
        urls = {"rest_url": "http://127.0.0.1:1", "ws_url": {"public": "ws://127.0.0.1:2"}}
        made = config_of(1, 0, scenario, listings, urls, tmp_path, tmp_path)
        return made.accounts[0].dead_man_s, made.instruments[0].core.limits.book_age_ms_max

    assert config(1, PACE) == config(1, 1.0) == (30, 2_000)
    assert config(50, PACE / 10) == (150, 20_000)


def test_news_is_rarer_only_below_the_default_pace() -> None:
    settings = settings_of(catalogue(VENUE)["BTCUSDT"])
    assert paced(settings, 1.0).news_rate == paced(settings, PACE).news_rate == settings.news_rate
    assert paced(settings, PACE / 50).news_rate == pytest.approx(settings.news_rate / 50)


# -- TIMERS ---


@pytest.mark.parametrize(("count", "space_s", "period_s"), [(1, 0.002, 0.01), (4, 0.02, 0.08)])
def test_a_sleeping_edge_wakes_when_a_timer_is_due(
    count: int, space_s: float, period_s: float
) -> None:
    segments = [bytearray(1 << 20) for _ in range(count)]

    async def work() -> int:
        hot = HotLoop(timer_space_ns=round(space_s * 1e9))
        for number, segment in enumerate(segments):
            config = core_config() | {"number": number}
            hot.add_core(Core(config, API_KEY, SECRET, JournalWriter(segment)))
        transport = HotTransport(hot, is_busy=False)
        transport.start(lambda items: None, lambda error: None)
        before = hot.polls
        await asyncio.sleep(8.0)
        transport.stop()
        return hot.polls - before

    polls = virtually(work)
    for segment in segments:
        at = [record[4] for record in read_segment(segment) if record[1] == KIND["TIMER"]]
        assert at == [START_NS + round(n * period_s * 1e9) for n in range(len(at))]
        assert len(at) == pytest.approx(8.0 / period_s, abs=1)
    assert polls == pytest.approx(8.0 / period_s, abs=1)


def test_without_a_core_the_edge_looks_again_now_and_then() -> None:
    hot = HotLoop()
    assert hot.due_in_s(0.001, SLEEP_S_MAX) == SLEEP_S_MAX
    for wrong in (0, -1, 1_000_000_001):
        with pytest.raises(ValueError, match="timer_space_ns"):
            HotLoop(timer_space_ns=wrong)


def virtually(work: object) -> int:
    loop = VirtualLoop()
    try:
        with virtual_time(loop):
            found: int = loop.run_until_complete(work())  # type: ignore[operator]
            return found
    finally:
        loop.close()


def test_a_timer_that_is_always_due_is_a_standstill() -> None:
    async def work() -> int:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_later(0, again)

        again()
        await asyncio.sleep(1)
        return 0

    with pytest.raises(StandstillError, match="without time passing"):
        virtually(work)


# -- THE EXCHANGE ---


class Asked(AgentMarket):
    """Counts how often it is asked."""

    asked = 0

    def next_due_ns(self) -> int:
        self.asked += 1
        return super().next_due_ns()


def exchange(pace: float, count: int = 3) -> tuple[Exchange, list[Asked]]:
    listings = listings_of(1, Scenario(VENUE, instruments=count))
    markets = [
        Asked(each, 1, 0, settings=paced(settings_of(each), pace)) for each in listings
    ]
    return Exchange(markets, 1), markets


def test_markets_that_are_not_due_are_not_asked() -> None:
    core, markets = exchange(pace=0.001)
    core.step(Advance(), 1)
    due_ns = core.next_due_ns()
    asked = [market.asked for market in markets]
    for t_ns in range(2, 1_000):
        core.step(Advance(), t_ns)
        assert core.next_due_ns() <= due_ns
    assert [market.asked for market in markets] == asked


def test_what_a_command_does_to_a_market_is_asked_anew() -> None:
    core, (market,) = exchange(pace=1.0, count=1)
    core.step(Advance(), 1)
    due_ns = core.next_due_ns()
    core.operate(SetState(market.instrument.key, MarketState.HALTED), 2)
    core.step(Advance(), 3)
    assert core.next_due_ns() > due_ns
    core.operate(SetState(market.instrument.key, MarketState.TRADING), due_ns)
    core.step(Advance(), due_ns)
    assert core.next_due_ns() == market.next_due_ns()


def test_a_market_with_a_mind_of_its_own_is_asked_each_time() -> None:
    class Tape:
        due = 7

        def next_due_ns(self) -> int:
            return self.due

    tape = Tape()
    states = {"X": MarketState.TRADING}
    quiet = Quiet({"X": tape}, states)  # type: ignore[dict-item]
    assert (quiet.take(1), quiet.due_ns()) == (True, 7)
    tape.due = 3  # a frame has come
    assert (quiet.take(2), quiet.due_ns()) == (True, 3)
    states["X"] = MarketState.HALTED
    assert quiet.due_ns() > 1 << 60


# -- THE JUDGES ---


def test_a_ledgers_orders_are_read_once_they_have_changed(tmp_path: Path) -> None:
    (order,) = LEDGER["orders"]
    rows = LEDGER | {"orders": [order | {"last_ts_ns": 5}, order | {"intent_id": 2}]}
    reader = LedgerReader(written(tmp_path / "ledger.sqlite", rows))
    assert [row.intent_id for row in reader.orders()] == [1, 2]
    assert [row.intent_id for row in reader.orders()] == [1]  # that moment may not be over


def test_the_audit_forgets_orders_that_ended_long_ago() -> None:
    audit = Audit({"BTCUSDT": catalogue(VENUE)["BTCUSDT"].instrument})
    for record in (NEW, FILL, DONE):
        audit.on_truth(record)
    audit.tidy()
    audit.on_truth(DONE)
    assert [text for text in audit.breaches if "had ended" in text]
    audit.tidy()
    audit.tidy()
    assert ORDER not in audit._ended | audit._ended_before


def test_the_exchange_forgets_closed_orders_as_it_is_told() -> None:
    _, markets = exchange(PACE, count=1)
    core = Exchange(markets, 1, None, replace(rules_of(VENUE), closed_kept=2))
    bid = markets[0].touch()[0]
    for t_ns in range(3):
        order = accepted(core.step(place(0, Side.BUY, 100, bid - 50), t_ns))
        core.step(CancelAll(0, ("BTCUSDT",)), t_ns)
    kept = core.orders_of(0, "BTCUSDT")
    assert [one.order_id for one in kept] == [order.order_id - 1, order.order_id]


def test_growth_is_the_slope_of_memory() -> None:
    assert growth([700, 702, 704]) == 2.0
    assert growth([700, 700]) is None
