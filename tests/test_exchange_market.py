"""engine.exchange.market and agents: seeded, independent of the server's turns, one priority for
users and agents, and what an operator may do to it. How it trades: test_exchange_agents.py."""

import random
from dataclasses import replace

import pytest

from engine.exchange.book import BookOrder, Change, Side
from engine.exchange.commands import Advance, Cancel, Place, Shock
from engine.exchange.core import Core
from engine.exchange.events import BestChange, DepthChange, MarketEvent, Trade
from engine.exchange.instruments import CATALOGUE, CATALOGUES
from engine.exchange.market import FIRST_TRADE_ID, FIRST_UPDATE_ID, AgentMarket
from engine.exchange.terms import NEVER_NS, Order, OrderType, Tif
from engine.exchange.truth import FillRecord

MS = 1_000_000
S = 1_000 * MS
BTC = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL


def run(seed: int, step_ms: int, seconds: int, symbol: str = BTC) -> list[str]:
    market = AgentMarket(CATALOGUE[symbol], seed, 0)
    events: list[str] = []
    for now_ns in range(0, seconds * S, step_ms * MS):
        market.advance(now_ns)
        events += map(repr, market.drain())
    market.advance(seconds * S)
    return events + [repr(event) for event in market.drain()]


def quiet() -> AgentMarket:
    return AgentMarket(CATALOGUE[BTC], 1, 0, is_quiet=True)


def bare() -> AgentMarket:
    """Without a single order."""
    market = quiet()
    market.withdraw(0)
    market.drain()
    return market


def shown(market: AgentMarket) -> tuple[dict[int, int], dict[int, int]]:
    snapshot = market.snapshot(1 << 20)
    return dict(snapshot.bids), dict(snapshot.asks)


def apply(book: tuple[dict[int, int], dict[int, int]], changes: list[Change]) -> None:
    for side, px_ticks, lots in changes:
        if lots:
            book[side][px_ticks] = lots
        else:
            del book[side][px_ticks]  # KeyError: a level went that nobody was shown


# -- THE BACKGROUND ---


def test_same_seed_gives_the_same_background_however_time_is_cut() -> None:
    events = run(seed=5, step_ms=3, seconds=5)
    assert events == run(seed=5, step_ms=50, seconds=5)
    assert events != run(seed=6, step_ms=3, seconds=5)
    assert len(events) > 500


def test_user_who_leaves_the_book_as_it_was_leaves_the_background_as_it_was() -> None:
    """An order placed and cancelled between two acts of the agents."""
    ours, untouched = AgentMarket(CATALOGUE[BTC], 5, 0), AgentMarket(CATALOGUE[BTC], 5, 0)
    for n in range(1, 200):
        for market in (ours, untouched):
            market.advance(n * 10 * MS)
        market.drain()
        order = BookOrder(n, BUY, ours.touch()[0] - 300, 5, account=0)
        ours.place(order, True, n * 10 * MS)
        assert ours.cancel(n, n * 10 * MS)
    ours.drain()
    for market in (ours, untouched):
        market.advance(5 * S)
    assert shown(ours) == shown(untouched)
    trades, others = ([e for e in m.drain() if isinstance(e, Trade)] for m in (ours, untouched))
    assert [t[4:6] for t in trades] == [t[4:6] for t in others]


def test_events_rebuild_the_book_with_ids_without_gaps() -> None:
    market = AgentMarket(CATALOGUE[BTC], 7, 0)
    assert market.drain() == []  # the opening is in the first snapshot
    book = shown(market)
    update_id, trade_id, touch = market.snapshot(1).update_id, FIRST_TRADE_ID, market.touch()
    assert update_id > FIRST_UPDATE_ID
    at_ns = 0
    market.advance(10 * S)
    for event in market.drain():
        assert event[0] >= at_ns  # type: ignore[operator]
        if isinstance(event, Trade):
            trade_id += 1
            assert (event.trade_id, event.maker, event.taker) == (trade_id, None, None)
        elif isinstance(event, DepthChange):
            assert event.first_update_id == update_id + 1
            update_id += len(event.changes)
            assert event.final_update_id == update_id
            apply(book, event.changes)
        elif isinstance(event, BestChange):
            assert event.update_id == update_id
            assert event.touch != touch
            touch = event.touch
            assert touch[:2] == max(book[BUY].items())
            assert touch[2:] == min(book[SELL].items())
    assert book == shown(market)
    assert market.touch() == touch
    assert trade_id > FIRST_TRADE_ID + 50
    market.book.check()


def test_quiet_market_moves_by_users_alone() -> None:
    market = quiet()
    touch = market.touch()
    market.advance(60 * S)
    assert market.drain() == []
    assert market.next_due_ns() == NEVER_NS
    assert (market.touch(), touch[2] - touch[0]) == (touch, 2)
    assert min(market.book.level_count(side) for side in Side) == 200


def test_stalled_server_catches_up_over_several_turns() -> None:
    market, steady = (AgentMarket(CATALOGUE[BTC], 3, 0) for _ in range(2))
    turns = 0
    while market.next_due_ns() <= 200 * S:
        market.advance(200 * S)
        turns += 1
    for now_ns in range(0, 201 * S, S):
        steady.advance(min(now_ns, 200 * S))
    assert turns > 2
    assert shown(market) == shown(steady)
    assert [repr(e) for e in market.drain()] == [repr(e) for e in steady.drain()]


# -- USERS IN IT ---


def test_quotes_at_the_touch_are_filled_on_both_sides() -> None:
    core = Core([AgentMarket(CATALOGUE[BTC], 4, 0)], 4)
    live: dict[Side, Order] = {}
    for now_ns in range(0, 20 * S, 100 * MS):
        core.step(Advance(), now_ns)
        touch = core.markets[BTC].touch()
        for side in Side:
            px_ticks = touch[2 * side]
            order = live.get(side)
            if order is not None and order.is_open and order.px_ticks == px_ticks:
                continue
            if order is not None and order.is_open:
                core.step(Cancel(0, BTC, order.order_id), now_ns)
            fields = (0, BTC, side, OrderType.LIMIT, Tif.GTX, 10, px_ticks, f"q{now_ns}{side}")
            core.step(Place(*fields), now_ns)
            live[side] = core.open_orders(0, BTC)[-1]
    fills = core.truth.of(FillRecord)
    for side in Side:
        assert 10 < sum(fill.side is side for fill in fills) < 300
    assert all(fill.is_maker for fill in fills)


def test_trades_carry_users_orders_and_take_their_lots() -> None:
    market = bare()
    maker, taker = BookOrder(1, SELL, 101, 5, account=0), BookOrder(2, BUY, 101, 7, account=1)
    assert market.place(maker, True, 1) is None
    assert market.place(taker, True, 2) is None
    (trade,) = (event for event in market.drain() if isinstance(event, Trade))
    assert trade[:6] == (2, BTC, FIRST_TRADE_ID + 1, 101, 5, BUY)
    assert (trade.maker, trade.taker) == (maker, taker)
    assert (maker.leaves_lots, taker.leaves_lots) == (0, 2)
    assert market.touch() == (101, 2, 0, 0)
    assert market.last_px_ticks() == 101
    assert not market.cancel(1, 3)
    assert market.cancel(2, 3)
    assert market.touch() == (0, 0, 0, 0)


def test_agents_fill_a_users_quote_and_nobody_is_told_who_they_are() -> None:
    market = AgentMarket(CATALOGUE[BTC], 4, 0)
    bid, _, ask, _ = market.touch()
    orders = [BookOrder(1, BUY, bid, 3, account=0), BookOrder(2, SELL, ask, 3, account=0)]
    for order in orders:
        market.place(order, True, 0)
    market.drain()
    market.advance(60 * S)
    fills = [e for e in market.drain() if isinstance(e, Trade) and e.maker is not None]
    assert {fill.taker for fill in fills} == {None}
    for order in orders:
        lots = sum(fill.qty_lots for fill in fills if fill.maker is order)
        assert lots + order.leaves_lots == 3
        assert all(f.aggressor is not order.side for f in fills if f.maker is order)


def test_place_stops_in_front_of_an_own_order_and_goes_on_when_it_may() -> None:
    market = bare()
    first, own = BookOrder(1, SELL, 101, 5, account=1), BookOrder(2, SELL, 101, 5, account=0)
    for order in (first, own):
        market.place(order, True, 1)
    taker = BookOrder(3, BUY, 101, 8, account=0)
    assert market.place(taker, True, 2, may_meet_own=False) is own
    assert (first.leaves_lots, taker.leaves_lots, own.leaves_lots) == (0, 3, 5)
    assert market.touch() == (0, 0, 101, 5)  # nothing rests
    assert market.place(taker, True, 2, may_meet_own=True) is None
    assert (taker.leaves_lots, own.leaves_lots) == (0, 2)


def test_shrunk_order_keeps_its_place_and_says_so_in_the_depth() -> None:
    market = bare()
    first, second = (BookOrder(n, BUY, 100, 5, account=0) for n in (1, 2))
    for order in (first, second):
        market.place(order, True, 1)
    market.drain()
    assert market.shrink(1, 2, 2)
    assert not market.shrink(1, 3, 2)  # nothing would be left
    assert not market.shrink(9, 1, 2)
    assert first.leaves_lots == 3
    depth, best = market.drain()
    assert isinstance(depth, DepthChange)
    assert depth.changes == [Change(BUY, 100, 8)]
    assert isinstance(best, BestChange)
    market.place(BookOrder(3, SELL, 100, 3, account=1), False, 3)
    assert (first.leaves_lots, second.leaves_lots) == (0, 5)


def test_fillable_lots_and_would_take_ask_without_touching() -> None:
    market = quiet()
    _, _, ask, ask_lots = market.touch()
    assert market.would_take(BookOrder(1, BUY, ask, 1))
    assert not market.would_take(BookOrder(1, BUY, ask - 1, 1))
    assert market.fillable_lots(BookOrder(1, BUY, ask, ask_lots + 9)) == ask_lots
    assert market.fillable_lots(BookOrder(1, BUY, 0, 1 << 50)) == sum(
        lots for _, lots in market.snapshot(1000).asks
    )
    assert market.drain() == []


def test_agents_never_cancel_a_users_order() -> None:
    """Users' orders alone from the start, near the touch and far: those not filled still rest."""
    market = AgentMarket(CATALOGUE[BTC], 2, 0)
    bid, _, ask, _ = market.touch()
    orders = [
        BookOrder(2 * n + side, side, (bid, ask)[side] - side.sign * n * 40, 5, account=0)
        for n in range(1, 200)
        for side in Side
    ]
    for order in orders:
        market.place(order, True, 0)
    market.advance(60 * S)
    market.disturb(Shock(BTC, spread_ticks=2_000, for_ns=S), 60 * S)
    resting = {
        order_id
        for side in Side
        for index in range(market.book.level_count(side))
        for order_id, _, account in market.book.orders_at(side, index)
        if account == 0
    }
    assert resting == {order.order_id for order in orders if order.leaves_lots}
    assert 100 < len(resting) < len(orders)


class Crowded:
    """Two users who do anything, among agents and an operator; every event is checked."""

    def __init__(self, seed: int) -> None:
        self.rng, self.market = random.Random(seed), AgentMarket(CATALOGUE[BTC], seed, 0)
        self.book = shown(self.market)
        self.orders: dict[int, BookOrder] = {}
        self.placed_lots: dict[int, int] = {}
        self.fills = 0
        self.now_ns = 0

    def step(self) -> None:
        rng, market = self.rng, self.market
        self.now_ns += rng.randrange(50 * MS)
        market.advance(self.now_ns)
        draw, victim = rng.random(), rng.randrange(1, len(self.orders) + 2)
        if draw < 0.6:
            self._place(len(self.orders) + 1)
        elif draw < 0.8:
            done = market.cancel(victim, self.now_ns)
            assert not done or self.orders[victim].leaves_lots > 0
        elif draw < 0.9:
            if market.shrink(victim, 1, self.now_ns):
                self.placed_lots[victim] -= 1
        elif draw < 0.92:
            side = rng.choice([None, *Side])
            shock = Shock(BTC, rng.randint(-300, 300), rng.choice((0, 0, 40)), side, 200 * MS)
            assert market.disturb(shock, self.now_ns)
        self._take_in()

    def _place(self, order_id: int) -> None:
        rng, touch = self.rng, self.market.touch()
        side, lots = Side(rng.randrange(2)), rng.randint(1, 400)
        px_ticks = (touch[0] or touch[2] or 600_000) + rng.randint(-60, 60)
        order = BookOrder(order_id, side, rng.choice((0, px_ticks, px_ticks)), lots, order_id % 2)
        self.orders[order_id], self.placed_lots[order_id] = order, lots
        rests = order.px_ticks > 0 and rng.random() < 0.8
        fillable = self.market.fillable_lots(order)
        assert self.market.would_take(order) == (fillable > 0)
        met = self.market.place(order, rests, self.now_ns, may_meet_own=False)
        if met is None:
            assert lots - order.leaves_lots == fillable
        else:
            assert (met.account, met.side) == (order.account, side.opposite)
            assert met is self.orders[met.order_id]

    def _take_in(self) -> None:
        for event in self.market.drain():
            if isinstance(event, DepthChange):
                apply(self.book, event.changes)
            elif isinstance(event, Trade):
                for order in (event.maker, event.taker):
                    if order is not None:
                        self.placed_lots[order.order_id] -= event.qty_lots
                        self.fills += 1
        assert self.book == shown(self.market)
        for order_id, order in self.orders.items():
            assert order.leaves_lots == self.placed_lots[order_id] >= 0


@pytest.mark.parametrize("seed", range(3))
def test_anything_users_do_is_told_and_adds_up(seed: int) -> None:
    crowded = Crowded(seed)
    for _ in range(400):
        crowded.step()
    crowded.market.book.check()
    assert crowded.fills > 200


# -- WHAT AN OPERATOR MAY DO ---


@pytest.mark.parametrize("ticks", [-800, 800])
def test_jump_of_fair_value_sweeps_the_book_and_trading_goes_on_there(ticks: int) -> None:
    market = AgentMarket(CATALOGUE[BTC], 3, 0)
    market.advance(5 * S)
    market.drain()
    bid, _, ask, _ = market.touch()
    side, best = (BUY, bid) if ticks < 0 else (SELL, ask)
    users = BookOrder(1, side, best + ticks // 4, 5, account=0)
    market.place(users, True, 5 * S)
    market.drain()
    assert market.disturb(Shock(BTC, ticks=ticks), 5 * S)
    trades = [event for event in market.drain() if isinstance(event, Trade)]
    assert len({trade.px_ticks for trade in trades}) > 20
    assert users.leaves_lots == 0
    market.advance(7 * S)
    new_bid, _, new_ask, _ = market.touch()
    assert abs((new_bid + new_ask - bid - ask) / 2 - ticks) < 400
    assert 0 < new_ask - new_bid < 20
    market.book.check()


@pytest.mark.parametrize("percent", [-5, 5])
def test_flash_crash_goes_far_beyond_the_book_and_comes_back(percent: int) -> None:
    market = AgentMarket(CATALOGUE[BTC], 3, 0)
    market.advance(5 * S)
    before = market.touch()[0]
    ticks = before * percent // 100
    market.disturb(Shock(BTC, ticks=ticks, for_ns=10 * S), 5 * S)
    for at_s, expected in ((10, before + ticks), (14, before + ticks), (20, before), (30, before)):
        market.advance(at_s * S)
        market.book.check()
        bid, _, ask, _ = market.touch()
        assert abs(bid - expected) < 1_500
        assert 0 < ask - bid < 200
        assert min(market.book.level_count(side) for side in Side) > 20


def test_shocks_of_different_kinds_end_each_at_its_time() -> None:
    market = AgentMarket(CATALOGUE[BTC], 3, 0)
    market.advance(5 * S)
    market.disturb(Shock(BTC, empty_side=SELL, for_ns=4 * S), 5 * S)
    market.disturb(Shock(BTC, spread_ticks=200, for_ns=2 * S), 5 * S)
    market.advance(6 * S)
    assert market.touch()[2] == 0
    assert market.touch()[0] < market.fair_ticks - 100
    market.advance(8 * S + 900 * MS)
    assert market.touch()[2] == 0
    assert market.touch()[0] > market.fair_ticks - 100
    market.advance(12 * S)
    assert market.touch()[2] > 0


def test_spread_is_kept_as_long_as_asked_and_then_closes() -> None:
    market = AgentMarket(CATALOGUE[BTC], 3, 0)
    market.advance(5 * S)
    market.disturb(Shock(BTC, spread_ticks=50, for_ns=2 * S), 5 * S)
    for at_ms in range(5_000, 6_990, 30):
        bid, _, ask, _ = market.touch()
        assert ask - bid >= 60  # 50 from fair value each side, while that walks on
        market.advance(at_ms * MS)
    market.advance(9 * S)
    bid, _, ask, _ = market.touch()
    assert ask - bid < 20


@pytest.mark.parametrize("side", list(Side))
def test_side_stays_empty_as_long_as_asked_and_then_fills(side: Side) -> None:
    market = AgentMarket(CATALOGUE[BTC], 3, 0)
    market.advance(5 * S)
    market.disturb(Shock(BTC, empty_side=side, for_ns=2 * S), 5 * S)
    for at_ms in range(5_000, 6_990, 30):
        assert market.touch()[2 * side] == 0
        assert market.touch()[2 * side.opposite] > 0
        market.advance(at_ms * MS)
    market.advance(20 * S)
    assert market.touch()[2 * side] > 0
    assert market.book.level_count(side) > 50


def test_reset_sequence_starts_update_ids_anew_and_leaves_the_book() -> None:
    market = quiet()
    before = shown(market)
    market.reset_sequence(1)
    assert market.snapshot(5).update_id == 0
    assert shown(market) == before
    market.place(BookOrder(1, BUY, 100, 5, account=0), True, 2)
    (depth,) = market.drain()
    assert isinstance(depth, DepthChange)
    assert (depth.first_update_id, depth.final_update_id) == (1, 1)


def test_finer_tick_leaves_every_price_and_gives_new_ones() -> None:
    market = AgentMarket(CATALOGUE[BTC], 3, 0)
    market.advance(5 * S)
    before, old, last = market.snapshot(1000), market.instrument, market.last_px_ticks()
    market.drain()
    market.set_tick(10, 5 * S)
    after, new = market.snapshot(1000), market.instrument
    for old_side, new_side in ((before.bids, after.bids), (before.asks, after.asks)):
        assert [(px * 10, lots) for px, lots in old_side] == new_side
    assert [float(new.px.text(px)) for px, _ in after.bids] == [
        float(old.px.text(px)) for px, _ in before.bids
    ]
    assert market.last_px_ticks() == last * 10
    assert market.drain() == []
    market.advance(15 * S)
    prices = {px for px, _ in market.snapshot(1000).bids}
    assert any(px % 10 for px in prices)
    bid, _, ask, _ = market.touch()
    assert 0 < ask - bid < 100
    market.book.check()


def test_tick_does_not_change_under_a_users_order() -> None:
    market = quiet()
    market.place(BookOrder(1, BUY, 100, 5, account=0), True, 2)
    with pytest.raises(ValueError, match="rest"):
        market.set_tick(10, 3)


def test_tick_that_makes_money_too_fine_is_refused() -> None:
    """0.01 x 0.00001 is 1e-7 USDT: ten times finer can be counted, a hundred times can't."""
    listing = CATALOGUES["binance_spot"][BTC]
    for factor, is_done in ((10, True), (100, False)):
        market = AgentMarket(listing, 1, 0, is_quiet=True)
        assert market.can_set_tick(factor) is is_done


def test_pause_moves_the_background_and_changes_nothing_in_it() -> None:
    paused, steady = (AgentMarket(CATALOGUE[BTC], 3, 0) for _ in range(2))
    for market in (paused, steady):
        market.advance(5 * S)
        market.disturb(Shock(BTC, spread_ticks=30, for_ns=2 * S), 5 * S)
        market.drain()
    paused.pause(60 * S)
    paused.advance(64 * S)
    assert paused.drain() == []
    paused.advance(70 * S)
    steady.advance(10 * S)
    assert [moved(event, -60 * S) for event in paused.drain()] == steady.drain()


def moved(event: MarketEvent, by_ns: int) -> MarketEvent:
    assert isinstance(event, Trade | DepthChange | BestChange)
    return event._replace(t_ns=event.t_ns + by_ns)


def test_users_huge_order_moves_what_agents_believe() -> None:
    market = quiet()
    fair = market.fair_ticks
    market.place(BookOrder(1, BUY, 0, 5_000, account=0), False, 1)
    up = market.fair_ticks
    market.place(BookOrder(2, SELL, 0, 50, account=0), False, 1)
    assert up > market.fair_ticks > fair


def test_settings_that_excite_without_end_are_refused() -> None:
    market = quiet()
    settings = replace(market.settings, kernel_branching=(0.5, 0.4, 0.2))
    with pytest.raises(ValueError, match="branching"):
        AgentMarket(CATALOGUE[BTC], 1, 0, settings=settings)
