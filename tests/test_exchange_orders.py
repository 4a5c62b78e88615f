"""engine.exchange.core: self-trade prevention, conditional orders, dates, switches, halts."""

import pytest
from support_exchange import accepted, place, quiet_core, refusal, updates

from engine.exchange.book import Side
from engine.exchange.commands import (
    Advance,
    CancelAll,
    CancelTrigger,
    Countdown,
    Modify,
    PlaceTrigger,
    SetRefusals,
    SetState,
)
from engine.exchange.core import Core
from engine.exchange.events import Accepted, InstrumentUpdate, Trigger, TriggerUpdate
from engine.exchange.terms import (
    Exec,
    MarketState,
    OrderType,
    Reason,
    Status,
    Stp,
    Tif,
    TriggerStatus,
    Why,
)
from engine.exchange.truth import InstrumentRecord, TriggerRecord

S = "BTCUSDT"
BID, ASK = 599_999, 600_001
MID = 600_000


@pytest.mark.parametrize(
    ("stp", "maker_left", "taker_fills"),
    [
        (Stp.NONE, False, 5),
        (Stp.EXPIRE_TAKER, True, 0),
        (Stp.EXPIRE_MAKER, False, 0),
        (Stp.EXPIRE_BOTH, False, 0),
    ],
)
def test_own_orders_meet_as_the_taker_wishes(
    stp: Stp, maker_left: bool, taker_fills: int
) -> None:
    core = quiet_core()
    maker = accepted(core.step(place(0, Side.SELL, 5, MID), 1))
    outputs = core.step(place(0, Side.BUY, 5, MID, stp=stp), 2)
    taker = accepted(outputs)
    assert (maker.is_open, taker.cum_lots) == (maker_left, taker_fills)
    ended = [u.order for u in updates(outputs) if u.why is Why.STP]
    expected = {
        Stp.NONE: [],
        Stp.EXPIRE_TAKER: [taker],
        Stp.EXPIRE_MAKER: [maker],
        Stp.EXPIRE_BOTH: [maker, taker],
    }
    assert ended == expected[stp]
    assert taker.is_open is (stp is Stp.EXPIRE_MAKER)


def test_prevention_stops_at_the_own_order_only() -> None:
    """What is in front of it fills; with the maker gone, what is behind it too."""
    core = quiet_core()
    core.step(place(1, Side.SELL, 3, MID), 1)
    own = accepted(core.step(place(0, Side.SELL, 5, MID), 1))
    core.step(place(1, Side.SELL, 4, MID), 1)
    taker = accepted(core.step(place(0, Side.BUY, 10, MID, stp=Stp.EXPIRE_TAKER), 2))
    assert (taker.cum_lots, taker.status, own.is_open) == (3, Status.EXPIRED, True)
    taker = accepted(core.step(place(0, Side.BUY, 10, MID, stp=Stp.EXPIRE_MAKER), 3))
    assert (taker.cum_lots, taker.status) == (4, Status.PARTIALLY_FILLED)
    assert (own.status, own.cum_lots) == (Status.EXPIRED, 0)


def test_smaller_order_may_keep_its_place() -> None:
    core = quiet_core()
    first = accepted(core.step(place(0, Side.BUY, 8, MID), 1))
    second = accepted(core.step(place(1, Side.BUY, 5, MID), 1))
    bigger = Modify(0, S, 9, order_id=first.order_id, keeps_priority=True)
    assert refusal(core.step(bigger, 2)) is Reason.NOT_SMALLER
    elsewhere = Modify(0, S, 7, MID - 1, order_id=first.order_id, keeps_priority=True)
    assert refusal(core.step(elsewhere, 2)) is Reason.NOT_SMALLER
    smaller = Modify(
        0, S, 6, order_id=first.order_id, keeps_priority=True, new_client_order_id="b"
    )
    assert updates(core.step(smaller, 2))[0].exec_type is Exec.AMENDMENT
    assert core.markets[S].touch()[:2] == (MID, 11)
    core.step(place(1, Side.SELL, 6, MID, tif=Tif.IOC), 3)
    assert (first.cum_lots, second.cum_lots) == (6, 0)
    assert core.find_order(0, S, 0, "b") is first


def stop(side: Side, px_ticks: int, is_rising: bool, **fields: object) -> PlaceTrigger:
    order = place(0, side, 5, 0, order_type=OrderType.MARKET, tif=Tif.IOC, **fields)
    return PlaceTrigger(order, px_ticks, is_rising)


def trade_at(core: Core, px_ticks: int, t_ns: int) -> list[object]:
    """One print at a price inside the spread or through it, by the second account."""
    return [*core.step(place(1, Side.BUY, 1, px_ticks, tif=Tif.IOC), t_ns)]


def trigger_of(outputs: list[object]) -> Trigger:
    answer = outputs[0]
    assert isinstance(answer, Accepted), answer
    assert answer.trigger is not None
    return answer.trigger


def test_conditional_order_waits_for_its_price() -> None:
    core = quiet_core()
    trigger = trigger_of(core.step(stop(Side.BUY, ASK + 1, True, client_order_id="s"), 1))
    assert core.open_triggers(0, S) == [trigger]
    trade_at(core, ASK, 2)
    assert trigger.status is TriggerStatus.NEW
    while core.markets[S].touch()[2] == ASK:
        core.step(place(1, Side.BUY, 50, ASK, tif=Tif.IOC), 3)
    outputs = trade_at(core, ASK + 500, 4)
    assert trigger.status is TriggerStatus.TRIGGERED
    order = core.find_order(0, S, trigger.order_id, "")
    assert order is not None
    assert (order.cum_lots, order.trigger_id) == (5, trigger.trigger_id)
    kinds = [type(o).__name__ for o in outputs]
    assert kinds.index("TriggerUpdate") < kinds.index("OrderUpdate", kinds.index("TriggerUpdate"))
    assert [r.status for r in core.truth.of(TriggerRecord)] == [
        TriggerStatus.NEW,
        TriggerStatus.TRIGGERED,
    ]


def test_conditional_order_that_can_not_be_placed_is_rejected() -> None:
    core = quiet_core()
    trigger = trigger_of(core.step(stop(Side.SELL, ASK, True, reduce_only=True), 1))
    trade_at(core, ASK, 2)
    assert (trigger.status, trigger.refusal) == (TriggerStatus.REJECTED, Reason.REDUCE_ONLY)


def test_conditional_orders_are_refused_cancelled_and_counted() -> None:
    core = quiet_core()
    core.step(Advance(), 1)
    assert refusal(core.step(stop(Side.BUY, BID, True), 1)) is Reason.TRIGGERS_NOW
    one = trigger_of(core.step(stop(Side.BUY, ASK + 99, True, client_order_id="c"), 1))
    again = stop(Side.BUY, ASK + 98, True, client_order_id="c")
    assert refusal(core.step(again, 1)) is Reason.DUPLICATE_CLIENT_ID
    assert core.find_trigger(0, S, 0, "c") is one
    theft = CancelTrigger(1, S, trigger_id=one.trigger_id)
    assert refusal(core.step(theft, 2)) is Reason.UNKNOWN_ORDER
    assert TriggerUpdate(2, one, TriggerStatus.CANCELED) in core.step(
        CancelTrigger(0, S, client_order_id="c"), 2
    )
    for n in range(core.rules.triggers_max):
        trigger_of(core.step(stop(Side.BUY, ASK + 100 + n, True), 3))
    assert refusal(core.step(stop(Side.BUY, ASK + 99, True), 3)) is Reason.TRIGGERS_MAX


def test_dead_man_switch_cancels_unless_armed_again() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 5, BID), 1))
    other = accepted(core.step(place(1, Side.BUY, 5, BID), 1))
    core.step(Countdown(0, S, 100), 1)
    core.step(Countdown(0, S, 100), 90)
    assert core.next_due_ns() <= 190
    core.step(Advance(), 189)
    assert order.is_open
    outputs = core.step(Advance(), 190)
    assert updates(outputs)[0].why is Why.DEAD_MAN
    assert (order.status, other.is_open) == (Status.CANCELED, True)
    accepted(core.step(place(0, Side.BUY, 5, BID), 200))
    assert not updates(core.step(Advance(), 1_000))
    core.step(Countdown(0, S, 100), 1_000)
    core.step(Countdown(0, S, 0), 1_001)
    assert not updates(core.step(Advance(), 5_000))


def test_order_with_a_date_expires_then() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 5, BID, gtd_ns=500), 1))
    core.step(Advance(), 499)
    assert order.is_open
    assert updates(core.step(Advance(), 500))[0].why is Why.GTD
    assert core.markets[S].touch()[0] == BID


def test_halted_instrument_takes_cancels_only() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 5, BID), 1))
    outputs = core.step(SetState(S, MarketState.HALTED), 2)
    assert InstrumentUpdate(2, S, MarketState.HALTED) in outputs
    assert refusal(core.step(place(0, Side.BUY, 5, BID), 3)) is Reason.CLOSED
    assert refusal(core.step(Modify(0, S, 6, order_id=order.order_id), 3)) is Reason.CLOSED
    core.step(CancelAll(0, (S,)), 3)
    assert not order.is_open
    core.step(SetState(S, MarketState.TRADING), 4)
    accepted(core.step(place(0, Side.BUY, 5, BID), 5))


def test_delisting_ends_every_order_for_good() -> None:
    core = quiet_core()
    order = accepted(core.step(place(0, Side.BUY, 5, BID), 1))
    trigger = trigger_of(core.step(stop(Side.BUY, ASK + 99, True), 1))
    core.step(SetState(S, MarketState.DELISTED), 2)
    assert (order.status, order.why) == (Status.EXPIRED, Why.CLOSED)
    assert trigger.status is TriggerStatus.EXPIRED
    again = SetState(S, MarketState.TRADING)
    assert refusal(core.step(again, 3)) is Reason.NO_CHANGE
    assert [r.state for r in core.truth.of(InstrumentRecord)] == [MarketState.DELISTED]


def test_partial_cancel_all_takes_the_oldest() -> None:
    core = quiet_core()
    orders = [accepted(core.step(place(0, Side.BUY, 5, BID - n), 1)) for n in range(5)]
    core.step(SetRefusals(cancel_all_max=2), 1)
    core.step(CancelAll(0, (S,)), 2)
    assert [order.is_open for order in orders] == [False, False, True, True, True]
    core.step(SetRefusals(), 3)
    core.step(CancelAll(0, (S,), count_max=1), 3)
    assert [order.is_open for order in orders[2:]] == [False, True, True]
