"""engine.exchange.market and flow: seeded, independent of the server's turns, worth quoting in."""

from itertools import pairwise

import pytest

from engine.exchange.book import Book, BookOrder, Side
from engine.exchange.core import Core
from engine.exchange.events import (
    Advance,
    Cancel,
    DepthChange,
    MarketEvent,
    Order,
    OrderType,
    Place,
    Tif,
    Trade,
)
from engine.exchange.flow import AgentFlow
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import FIRST_UPDATE_ID, AgentMarket

MS = 1_000_000
S = 1_000 * MS


def run(seed: int, step_ms: int, seconds: int, symbol: str = "BTCUSDT") -> list[str]:
    market = AgentMarket(CATALOGUE[symbol], seed, 0)
    events: list[str] = []
    for now_ns in range(0, seconds * S, step_ms * MS):
        market.advance(now_ns)
        events += map(shown, market.drain())
    market.advance(seconds * S)
    return events + [shown(event) for event in market.drain()]


def shown(event: MarketEvent) -> str:
    """Without the orders, which live on and change."""
    return repr(event._replace(maker=None, taker=None) if isinstance(event, Trade) else event)


def test_same_seed_gives_the_same_background_however_time_is_cut() -> None:
    events = run(seed=5, step_ms=3, seconds=3)
    assert events == run(seed=5, step_ms=50, seconds=3)
    assert events != run(seed=6, step_ms=3, seconds=3)
    assert len(events) > 1_000


@pytest.mark.parametrize(("seed", "symbol"), [(1, "BTCUSDT"), (2, "ETHUSDT"), (3, "SOLUSDT")])
def test_market_stays_orderly_for_thirty_seconds(seed: int, symbol: str) -> None:
    market = AgentMarket(CATALOGUE[symbol], seed, 0)
    spreads, mids, signs, last_id = [], [], [], FIRST_UPDATE_ID
    for now_ns in range(0, 30 * S, 10 * MS):
        market.advance(now_ns)
        for event in market.drain():
            if isinstance(event, Trade):
                signs.append(event.aggressor.sign)
            elif isinstance(event, DepthChange):
                assert event.first_update_id >= last_id
                last_id = event.final_update_id
        bid, _, ask, _ = market.touch()
        spreads.append(ask - bid)
        mids.append((ask + bid) / 2)
    market.book.check()
    assert sum(1 <= spread <= 10 for spread in spreads) >= 0.98 * len(spreads)
    assert min(market.book.level_count(side) for side in Side) >= 150
    assert max(market.book.level_count(side) for side in Side) <= 1_000
    assert len(signs) > 300
    assert sum(a * b for a, b in pairwise(signs)) > 0.3 * len(signs)  # flow is autocorrelated
    assert max(mids) - min(mids) > 10  # and the price moves


def test_quotes_at_the_touch_are_filled_on_both_sides() -> None:
    core = Core([AgentMarket(CATALOGUE["BTCUSDT"], 4, 0)], 4)
    live: dict[Side, Order] = {}
    for now_ns in range(0, 20 * S, 100 * MS):
        core.step(Advance(), now_ns)
        touch = core.markets["BTCUSDT"].touch()
        for side in Side:
            px_ticks = touch[2 * side]
            order = live.get(side)
            if order is not None and order.is_open and order.px_ticks == px_ticks:
                continue
            if order is not None and order.is_open:
                core.step(Cancel(0, "BTCUSDT", order.order_id), now_ns)
            fields = (
                0,
                "BTCUSDT",
                side,
                OrderType.LIMIT,
                Tif.GTX,
                10,
                px_ticks,
                f"q{now_ns}{side}",
            )
            core.step(Place(*fields), now_ns)
            live[side] = core.open_orders(0, "BTCUSDT")[-1]
    for side in Side:
        assert 10 < sum(fill.side is side for fill in core.truth.fills) < 200
    assert all(fill.is_maker for fill in core.truth.fills)


def test_agents_never_cancel_a_users_order() -> None:
    """In a book of users' orders alone, where every cancel of theirs would be one."""
    flow, book = AgentFlow("1", 600_000), Book()
    for n in range(1, 200):
        book.rest(BookOrder(n, Side.BUY, 600_000 - n, 5, account=0))
        book.rest(BookOrder(1_000 + n, Side.SELL, 600_000 + n, 5, account=0))
    actions = [action for _ in range(2_000) for action in flow.step(book)]
    assert any(isinstance(action, BookOrder) for action in actions)
    assert not [action for action in actions if not isinstance(action, BookOrder)]
