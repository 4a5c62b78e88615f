"""What a review found of the exchange's core: each defect's regression test."""

import pytest
from support_exchange import LINEAR, accepted, place, quiet_core, refusal, updates

from engine.exchange.accounts import SPOT_PURSE
from engine.exchange.book import Side
from engine.exchange.commands import (
    Advance,
    CancelAll,
    Countdown,
    Modify,
    PlaceTrigger,
    SetLeverage,
    SetRefusals,
    SetTick,
)
from engine.exchange.core import Core
from engine.exchange.events import Accepted, AccountUpdate, BestChange, DepthChange
from engine.exchange.terms import (
    Exec,
    Order,
    OrderType,
    Reason,
    Status,
    Stp,
    Tif,
    TriggerStatus,
    Why,
)

S = "BTCUSDT"
MID, BID, ASK = 600_000, 599_999, 600_001
MARKET = {"order_type": OrderType.MARKET, "tif": Tif.IOC}


def long_of(lots: int) -> Core:
    """The first account is long, bought from agents; then the book is the users' alone."""
    core = quiet_core()
    core.step(Advance(), 1)
    core.step(place(0, Side.BUY, lots, ASK, tif=Tif.IOC), 1)
    assert core.accounts[0].position(S).lots == lots
    core.markets[S].withdraw(1)  # type: ignore[attr-defined]
    return core


# -- TICK CHANGES ---


def test_tick_change_keeps_every_price_that_was_told() -> None:
    core = quiet_core()
    core.step(place(0, Side.BUY, 10, MID), 1)
    core.step(place(1, Side.SELL, 4, MID), 1)
    core.operate(SetTick(S, 10), 2)
    outputs = core.step(Advance(), 3)
    instrument = core.markets[S].instrument
    expired = updates(outputs)[0]
    assert (expired.why, instrument.px.text(expired.order.px_ticks)) == (Why.CLOSED, "60000.00")
    assert expired.cum_cost == 4 * MID * 10
    (gone,) = [o for o in outputs if isinstance(o, DepthChange)]
    assert gone.changes[0][1:] == (MID * 10, 0)
    (best,) = [o for o in outputs if isinstance(o, BestChange)]
    assert best.touch[0] == BID * 10
    fill = core.fills_of(0, S)[0]
    assert (fill.px_ticks, fill.position_cost) == (MID * 10, 4 * MID * 10)
    orders = core.orders_of(0, S)
    assert [(o.px_ticks, o.cum_cost) for o in orders] == [(MID * 10, 4 * MID * 10)]
    assert core.accounts[0].position(S).cost == 4 * MID * 10


def test_refused_tick_change_changes_nothing() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 10, BID), 1))
    for factor in (1, 1_000_000_000):
        assert refusal(core.step(SetTick(S, factor), 2)) is Reason.NO_CHANGE
    assert order.is_open


# -- REDUCE-ONLY ---


def test_amended_reduce_only_order_can_not_flip_the_position() -> None:
    core = long_of(10)
    order = accepted(core.step(place(0, Side.SELL, 10, MID, reduce_only=True), 2))
    assert refusal(core.step(Modify(0, S, 50, order_id=order.order_id), 3)) is Reason.REDUCE_ONLY
    assert order.qty_lots == 10


def test_one_sweep_through_a_plain_and_a_reduce_only_order_leaves_the_account_flat() -> None:
    core = long_of(10)
    core.step(place(0, Side.SELL, 7, MID), 2)
    reducing = accepted(core.step(place(0, Side.SELL, 10, MID, reduce_only=True), 2))
    outputs = core.step(place(1, Side.BUY, 17, MID, tif=Tif.IOC), 3)
    assert core.accounts[0].position(S).lots == 0
    assert (reducing.cum_lots, reducing.status, reducing.why) == (
        3, Status.EXPIRED, Why.REDUCE_ONLY,
    )  # fmt: skip
    assert accepted(outputs).cum_lots == 17
    core = long_of(10)
    core.step(place(0, Side.SELL, 10, MID), 2)
    reducing = accepted(core.step(place(0, Side.SELL, 10, MID, reduce_only=True), 2))
    core.step(place(1, Side.BUY, 20, MID, tif=Tif.IOC), 3)
    assert core.accounts[0].position(S).lots == 0
    assert (reducing.cum_lots, reducing.status) == (0, Status.EXPIRED)


def bidding(core: Core, px_ticks: int, lots: int) -> None:
    accepted(core.step(place(1, Side.BUY, lots, px_ticks), 2))


def test_market_order_closes_the_position_beside_a_resting_take_profit() -> None:
    core = long_of(10)
    bidding(core, BID, 50)
    profit = accepted(core.step(place(0, Side.SELL, 10, MID + 99, reduce_only=True), 3))
    close = accepted(core.step(place(0, Side.SELL, 25, 0, reduce_only=True, **MARKET), 4))
    assert (close.qty_lots, close.status) == (10, Status.FILLED)
    assert (profit.status, profit.why) == (Status.EXPIRED, Why.REDUCE_ONLY)
    again = place(0, Side.SELL, 25, 0, reduce_only=True, **MARKET)
    assert refusal(core.step(again, 5)) is Reason.REDUCE_ONLY


def test_stop_of_the_whole_position_takes_what_is_there_when_it_triggers() -> None:
    core = long_of(10)
    bidding(core, BID, 2)
    bidding(core, BID - 10, 50)
    whole = place(0, Side.SELL, 0, 0, closes_position=True, **MARKET)
    core.step(PlaceTrigger(whole, BID - 5, False), 3)
    core.step(place(0, Side.SELL, 2, BID, tif=Tif.IOC), 4)
    core.step(place(0, Side.SELL, 1, BID - 10, tif=Tif.IOC), 5)
    (trigger,) = core.triggers_of(0, S)
    assert trigger.status is TriggerStatus.TRIGGERED
    order = core.find_order(0, S, trigger.order_id, "")
    assert order is not None
    assert (order.cum_lots, order.reduce_only) == (7, True)
    assert core.accounts[0].position(S).lots == 0


def test_venue_that_truncates_cuts_each_reduce_only_order_to_the_position() -> None:
    core = quiet_core(venue="bybit", keys=(LINEAR,))
    core.step(place(0, Side.BUY, 10, ASK, tif=Tif.IOC, symbol=LINEAR), 1)
    fields = {"reduce_only": True, "symbol": LINEAR}
    one = accepted(core.step(place(0, Side.SELL, 50, MID + 50, **fields), 2))
    two = accepted(core.step(place(0, Side.SELL, 10, MID + 60, **fields), 2))
    assert (one.qty_lots, two.qty_lots) == (10, 10)
    core.step(place(0, Side.SELL, 4, BID, tif=Tif.IOC, symbol=LINEAR), 3)
    assert {one.why, two.why} == {Why.REDUCE_ONLY}


# -- SPOT MONEY, FILL OR KILL ---


def own_and_dear_asks(core: Core) -> None:
    """Cheap asks are the first account's own; what is behind them is dear."""
    core.markets[S].withdraw(1)  # type: ignore[attr-defined]
    core.step(place(0, Side.SELL, 200_000, 6_000_001), 1)
    core.step(place(1, Side.SELL, 500_000, 6_600_000), 1)


@pytest.mark.parametrize("quote_e8", [0, 6_000 * 100_000_000])
def test_spot_market_order_spends_no_more_than_it_may(quote_e8: int) -> None:
    core = quiet_core(venue="binance_spot")
    own_and_dear_asks(core)
    fields = {**MARKET, "stp": Stp.EXPIRE_MAKER, "quote_e8": quote_e8}
    order = accepted(core.step(place(0, Side.BUY, 0 if quote_e8 else 160_000, 0, **fields), 2))
    spent_e8 = order.cum_cost * core.markets[S].instrument.notional_e8
    limit_e8 = quote_e8 or SPOT_PURSE["USDT"]
    assert 0 < spent_e8 <= limit_e8
    assert limit_e8 - spent_e8 < 6_600_000 * core.markets[S].instrument.notional_e8
    assert core.accounts[0].free_e8("USDT") >= 0
    assert (order.status, order.why, order.px_ticks) == (Status.EXPIRED, Why.MARKET, 0)


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_spot"])
@pytest.mark.parametrize("stp", [Stp.EXPIRE_MAKER, Stp.EXPIRE_TAKER, Stp.EXPIRE_BOTH])
def test_fill_or_kill_counts_no_own_orders(venue: str, stp: Stp) -> None:
    core = quiet_core(venue=venue)
    px_ticks = core.markets[S].touch()[2] + 10
    core.markets[S].withdraw(1)  # type: ignore[attr-defined]
    core.step(place(1, Side.SELL, 1_000, px_ticks), 1)
    core.step(place(0, Side.SELL, 1_000, px_ticks), 1)
    outputs = core.step(place(0, Side.BUY, 1_500, px_ticks, tif=Tif.FOK, stp=stp), 2)
    if isinstance(outputs[0], Accepted):
        assert accepted(outputs).cum_lots == 0
        assert updates(outputs)[-1].why is Why.FOK
    else:
        assert refusal(outputs) is Reason.UNFILLABLE


# -- ENDS, NAMES, SWITCHES ---


def ended(core: Core, order: Order) -> int:
    return [o.order_id for o in core.orders_of(order.account, S)].count(order.order_id)


def test_order_that_a_conditional_one_ended_is_not_ended_again() -> None:
    """The taker's first fill pulls a stop that closes the position, which ends the own reduce-only
    maker that self-trade prevention then meets."""
    core = long_of(10)
    core.step(place(1, Side.SELL, 3, MID), 2)
    maker = accepted(core.step(place(0, Side.SELL, 10, MID + 1, reduce_only=True), 2))
    bidding(core, BID - 50, 50)
    whole = place(0, Side.SELL, 0, 0, closes_position=True, **MARKET)
    core.step(PlaceTrigger(whole, MID, False), 3)
    outputs = core.step(place(0, Side.BUY, 20, MID + 5, stp=Stp.EXPIRE_MAKER), 4)
    ends = [u for u in updates(outputs) if u.order is maker and u.exec_type is Exec.EXPIRED]
    assert len(ends) <= 1
    assert not maker.is_open
    assert ended(core, maker) == 1


def test_amended_name_sets_the_old_one_free() -> None:
    core = quiet_core(venue="binance_spot")
    order = accepted(core.step(place(0, Side.BUY, 2_000, 5_999_000, client_order_id="a"), 1))
    core.step(
        Modify(
            0, S, 1_000, order_id=order.order_id, keeps_priority=True, new_client_order_id="b"
        ), 2,
    )  # fmt: skip
    assert core.find_order(0, S, 0, "a") is None
    accepted(core.step(place(0, Side.BUY, 2_000, 5_999_000, client_order_id="a"), 3))
    assert core.find_order(0, S, 0, "b") is order


def test_amended_below_what_was_filled_ends_with_the_numbers_that_it_had() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 60, MID), 1))
    core.step(place(1, Side.SELL, 55, MID, tif=Tif.IOC), 2)
    core.step(Modify(0, S, 50, order_id=order.order_id), 3)
    assert (order.status, order.qty_lots, order.cum_lots) == (Status.CANCELED, 60, 55)


def test_dead_man_switch_takes_all_whatever_the_cancel_all_fault_leaves() -> None:
    core = quiet_core()
    orders = [accepted(core.step(place(0, Side.BUY, 5, BID - n), 1)) for n in range(3)]
    core.step(SetRefusals(cancel_all_max=1), 1)
    core.step(Countdown(0, S, 100), 1)
    core.step(Advance(), 200)
    assert not any(order.is_open for order in orders)


# -- MARGIN, MARKS ---


def test_one_sided_book_changes_no_position_s_worth() -> None:
    core = long_of(200)
    before = core.unrealized_e8(0, S), core.equity_e8(0), core.margin_e8(0, S)
    bidding(core, BID, 5)
    core.step(Advance(), 2_000_000_000)
    assert (core.unrealized_e8(0, S), core.equity_e8(0), core.margin_e8(0, S)) == before


def test_funding_is_paid_on_a_one_sided_book_too() -> None:
    core = long_of(10)
    outputs = core.step(Advance(), 8 * 3_600 * 1_000_000_000)
    assert any(isinstance(o, AccountUpdate) and o.why.value == "FUNDING" for o in outputs)


def test_leverage_can_not_fall_below_what_the_margin_covers() -> None:
    core = quiet_core()
    core.step(Advance(), 1)
    core.step(SetLeverage(0, S, 125), 1)
    for n in range(40):
        core.step(place(0, Side.BUY, 500, ASK + 400, tif=Tif.IOC), 2 + n)
    held = core.accounts[0].position(S).lots
    assert held > 2_000  # more than 100,000 USDT of margin at 1x
    assert refusal(core.step(SetLeverage(0, S, 1), 100)) is Reason.LEVERAGE_MARGIN
    assert core.accounts[0].leverage(S) == 125
    assert isinstance(core.step(SetLeverage(0, S, 100), 100)[0], Accepted)


def test_order_that_only_closes_needs_no_margin() -> None:
    core = quiet_core()
    core.step(Advance(), 1)
    core.step(place(0, Side.BUY, 1_000, ASK + 900, tif=Tif.IOC), 2)
    held = core.accounts[0].position(S).lots
    core.accounts[0].add("USDT", -core.equity_e8(0) + 1)  # what a drawdown leaves
    closing = accepted(core.step(place(0, Side.SELL, held, 600_500), 3))
    assert closing.is_open
    assert refusal(core.step(place(0, Side.BUY, 1, BID), 4)) is Reason.MARGIN
    core.step(CancelAll(0, (S,)), 5)
    assert refusal(core.step(place(0, Side.SELL, 3 * held, 600_500), 6)) is Reason.MARGIN
