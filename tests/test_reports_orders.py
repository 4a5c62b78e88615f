"""What went wrong with orders elsewhere, shown not to go wrong here: docs/reports.md is the table.

Each name ends with the reports that it repeats (project and number of its issue or pull request).
The core is given the venue's frames in the order that did the harm.
"""

from itertools import permutations
from random import Random
from typing import Any

import pytest
from support_core import MS, Desk
from support_reconcile import Engine, Venue, client_id
from support_venues import LinearDesk
from test_reconcile import LEAVE, lone

from engine.execution.belief import AskOrder, CancelOrder, SettleOrder, Waiting
from engine.execution.reconcile import reconcile
from fastcore.types import Command, Conn, Halt, OrderState, Side, Verb

S = OrderState
WINDOW_MS = 1_000  # the receive window of support_core's configuration
UNKNOWN = -1007  # "fate unknown": Binance's word for a timeout inside it
ABSENT = -2013


def started(**overrides: Any) -> tuple[Desk, dict[str, Any], dict[str, Any]]:
    """A core that has just sent a bid and an ask; the ask rests."""
    desk = Desk(budgets__ack_ms_max=100.0, **overrides)
    desk.start()
    bid, ask = desk.take_sent()
    desk.ack(ask)
    desk.update(ask, "NEW", "NEW")
    return desk, bid, ask


def quoting(**overrides: Any) -> tuple[Desk, dict[str, Any], dict[str, Any]]:
    desk, bid, ask = started(**overrides)
    desk.ack(bid)
    desk.update(bid, "NEW", "NEW")
    return desk, bid, ask


def verbs(desk: Desk, side: str) -> list[Verb]:
    return [params["verb"] for params in desk.take_sent() if params.get("side", side) == side]


def bids(desk: Desk) -> list[dict[str, Any]]:
    return [own for own in desk.numbers["own"] if own["side"] == Side.BUY]


def pass_time(desk: Desk, seconds: float, step_ms: int = 50) -> list[dict[str, Any]]:
    """What was sent meanwhile, with a market that moves and comes back."""
    sent: list[dict[str, Any]] = []
    for turn in range(int(seconds * 1_000 / step_ms)):
        desk.depth([["59990.00", f"{1 + turn % 7}.000"]], [])
        desk.timer(after_ms=step_ms)
        sent += desk.take_sent()
    return sent


def halts(desk: Desk) -> Halt:
    return Halt(desk.core.halt_bits)


# -- AMBIGUOUS SUBMIT ---


def test_ambiguous_submit_then_accept_is_never_resent__nautilus_4215() -> None:
    desk, bid, _ = started()
    desk.reply(bid, 408, code=UNKNOWN)
    (own,) = bids(desk)
    assert (own["state"], own["leaves_lots"]) == (S.UNKNOWN, 10)
    sent = pass_time(desk, 0.4)
    assert not [params for params in sent if params["verb"] == Verb.PLACE]
    desk.update(bid, "NEW", "NEW")  # it had been accepted all the time
    (own,) = bids(desk)
    assert (own["state"], own["client_id"]) == (S.NEW, bid["newClientOrderId"])
    sent += pass_time(desk, 0.4)
    ids = {params["newClientOrderId"] for params in sent if params["verb"] == Verb.PLACE}
    assert not ids
    assert len(bids(desk)) == 1


def test_ambiguous_submit_then_nothing_is_asked_for_and_counts_in_full__nautilus_4215() -> None:
    desk, bid, _ = started()
    desk.reply(bid, 408, code=UNKNOWN)
    sent = pass_time(desk, 0.8)
    asked = [params for params in sent if params["verb"] == Verb.STATUS]
    assert bid["newClientOrderId"] in {params["origClientOrderId"] for params in asked}
    assert not [params for params in sent if params["verb"] == Verb.PLACE]
    (own,) = bids(desk)
    assert (own["state"], own["leaves_lots"]) == (S.UNKNOWN, 10)


def test_ambiguous_submit_then_fill_is_one_order_and_one_position__nautilus_4215() -> None:
    desk, bid, _ = started()
    desk.reply(bid, 408, code=UNKNOWN)
    desk.fill(bid, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 10
    assert not bids(desk) or bids(desk)[0]["client_id"] != bid["newClientOrderId"]
    desk.fill(bid, "0.010", "0.010", trade_id=desk.trade_id)  # told twice
    assert desk.numbers["position_lots"] == 10


@pytest.mark.parametrize("after_ms", [120, 600, 1_090])
def test_an_order_that_is_not_found_yet_is_no_failed_order__hummingbot_601(after_ms: int) -> None:
    """"Order does not exist" while the request may still be on its way to the venue's books."""
    desk, bid, _ = started(recv_window_ms=WINDOW_MS)
    desk.timer(after_ms=105)
    asked = [params for params in desk.take_sent() if params["verb"] == Verb.STATUS]
    assert asked
    desk.now_ns += (after_ms - 105) * MS
    desk.reply(asked[-1], 400, code=ABSENT)
    (own,) = bids(desk)
    assert own["leaves_lots"] == 10
    desk.timer()
    assert not [p for p in desk.take_sent() if p["verb"] == Verb.PLACE and p["side"] == "BUY"]
    desk.update(bid, "NEW", "NEW")  # late, but there
    (own,) = bids(desk)
    assert own["state"] == S.NEW


@pytest.mark.parametrize("code", [-4116, 110072, 170141])
def test_an_id_that_is_taken_is_an_order_that_is_there__nautilus_4215(code: int) -> None:
    """Ours are sent once each: a refusal as a duplicate speaks of the order itself."""
    desk, bid, _ = started()
    desk.reply(bid, 400, code=code)
    (own,) = bids(desk)
    assert own["leaves_lots"] == 10
    sent = pass_time(desk, 0.3)
    assert not [p for p in sent if p["verb"] == Verb.PLACE and p["side"] == "BUY"]


# -- AMBIGUOUS CANCEL ---


def cancelled(desk: Desk) -> dict[str, Any]:
    """The bid's cancel, on its way."""
    desk.take_sent()
    desk.collect(desk.core.command(Command.HALT, desk.now_ns))
    return next(p for p in desk.take_sent() if p["verb"] == Verb.CANCEL)


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_cancel_without_an_answer_is_never_taken_for_canceled__nautilus_4152__nautilus_4153(
    is_answered: bool,
) -> None:
    """An outage longer than any number of tries; then the order fills."""
    desk, bid, _ = quoting()
    cancel = cancelled(desk)
    if is_answered:
        desk.reply(cancel, 408, code=UNKNOWN)
    for _ in range(600):
        desk.timer(after_ms=1_000)
        (own,) = bids(desk)
        assert own["state"] in (S.PENDING_CANCEL, S.UNKNOWN)
        assert own["leaves_lots"] == 10
    assert [p for p in desk.take_sent() if p["verb"] in (Verb.STATUS, Verb.CANCEL)]
    desk.fill(bid, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 10
    assert not bids(desk)


def test_no_place_takes_the_room_of_a_cancel_in_doubt__nautilus_4152() -> None:
    desk, _, _ = quoting(limits__position_lots_max=10, params__position_lots_max=10.0)
    cancel = cancelled(desk)
    desk.reply(cancel, 408, code=UNKNOWN)
    desk.core.command(Command.RESUME, desk.now_ns)
    sent = pass_time(desk, 0.5)
    assert not [p for p in sent if p["verb"] == Verb.PLACE and p["side"] == "BUY"]


# -- CANCEL AND FILL RACE ---


def news(desk: Desk, bid: dict[str, Any], cancel: dict[str, Any]) -> dict[str, Any]:
    """What the two connections may say of a bid that was filled while its cancel was under way."""
    return {
        "refused": lambda: desk.reply(cancel, 400, code=-2011),
        "partial": lambda: desk.fill(bid, "0.004", "0.004", trade_id=71),
        "filled": lambda: desk.fill(bid, "0.006", "0.010", trade_id=72, status="FILLED"),
        "again": lambda: desk.fill(bid, "0.004", "0.004", trade_id=71),
    }


@pytest.mark.parametrize("order", list(permutations(["refused", "partial", "filled", "again"])))
def test_filled_during_its_cancel_is_booked_in_any_order_of_news__hummingbot_2501__nautilus_1587(
    order: tuple[str, ...],
) -> None:
    desk, bid, _ = quoting()
    cancel = cancelled(desk)
    for name in order:
        news(desk, bid, cancel)[name]()
    assert desk.numbers["position_lots"] == 10
    assert desk.numbers["fills"] == 2
    assert not bids(desk)


@pytest.mark.parametrize("order", list(permutations(["done", "canceled", "partial"])))
def test_partly_filled_then_canceled_ends_alike_in_any_order_of_news__hummingbot_2501(
    order: tuple[str, ...],
) -> None:
    desk, bid, _ = quoting()
    cancel = cancelled(desk)
    result = {"orderId": 900, "status": "CANCELED", "executedQty": "0.004"}
    said = {
        "done": lambda: desk.reply(cancel, 200, result),
        "canceled": lambda: desk.update(bid, "CANCELED", "CANCELED", z="0.004"),
        "partial": lambda: desk.fill(bid, "0.004", "0.004", trade_id=71),
    }
    for name in order:
        said[name]()
    assert desk.numbers["position_lots"] == 4
    assert not bids(desk)
    desk.timer(after_ms=1_001)
    assert Halt.RECONCILING not in halts(desk)


def test_an_old_canceled_after_filled_changes_nothing__nautilus_4157() -> None:
    desk, bid, _ = quoting()
    desk.fill(bid, "0.010", "0.010")
    before = desk.numbers
    desk.update(bid, "CANCELED", "CANCELED", z="0.010")
    after = desk.numbers
    for name in ("position_lots", "fills", "fees_e8"):
        assert after[name] == before[name]
    assert bid["newClientOrderId"] not in {own["client_id"] for own in after["own"]}
    assert halts(desk) == Halt.NONE


# -- PHANTOM CANCEL ---


def test_a_rest_list_without_an_amended_order_starts_no_second_one__nautilus_4288() -> None:
    """A snapshot shows the cancelled half of a modify; the stream is newer."""
    venue, engine, row = lone(OrderState.PENDING_REPLACE)
    venue.cancel(row.venue_order_id)
    told = venue.told([AskOrder(1, row.client_id)], 0, 9)
    actions = reconcile(engine.belief(is_quiet=False), told, LEAVE)
    assert not [a for a in actions if isinstance(a, SettleOrder | CancelOrder)]
    assert isinstance(actions[0], Waiting)


def test_an_amend_in_flight_is_not_replaced_by_a_new_order__nautilus_4288() -> None:
    desk, bid, _ = quoting(quoting__modify=True)
    desk.best("59990.00", "1.000", "59990.10", "1.000")
    amends = [p for p in desk.take_sent() if p["verb"] == Verb.MODIFY]
    assert bid["newClientOrderId"] in {p["origClientOrderId"] for p in amends}
    sent = pass_time(desk, 0.6)  # no answer: asked for, and counted where it may be
    assert bid["newClientOrderId"] in {
        p["origClientOrderId"] for p in sent if p["verb"] == Verb.STATUS
    }
    assert not [p for p in sent if p["verb"] == Verb.PLACE and p["side"] == "BUY"]
    (own,) = bids(desk)
    assert (own["client_id"], own["leaves_lots"]) == (bid["newClientOrderId"], 10)
    desk.update(bid, "AMENDMENT", "NEW", p="59989.80")
    assert len(bids(desk)) == 1


# -- LOST AND UNKNOWN ORDERS ---


def test_an_order_without_news_is_asked_for_and_never_forgotten__hummingbot_6107__hummingbot_1878(
) -> None:
    """Half an hour without a word; two minutes were the end of tracking elsewhere."""
    desk, bid, _ = started()
    asked = 0
    for _ in range(1_800):
        desk.timer(after_ms=1_000)
        asked += sum(p["verb"] == Verb.STATUS for p in desk.take_sent())
        (own,) = bids(desk)
        assert (own["leaves_lots"], own["client_id"]) == (10, bid["newClientOrderId"])
    assert asked > 10
    desk.fill(bid, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 10


def test_an_order_that_we_never_sent_in_this_run_is_told_and_halts__nautilus_1001() -> None:
    desk, bid, _ = quoting()
    stray = bid | {"newClientOrderId": bid["newClientOrderId"][:-3] + "fff"}
    desk.update(stray, "NEW", "NEW")
    assert Halt.RECONCILING in halts(desk)


def test_an_order_of_an_earlier_run_is_cancelled_not_adopted_in_silence__nautilus_1001() -> None:
    venue, engine = Venue(Random(1)), Engine()
    venue.place(venue.accept(client_id("tm0000000f-01-", 7), Side.BUY, 5, 10))
    actions = reconcile(engine.belief(), venue.told([], 0, 9), LEAVE)
    assert any(isinstance(action, CancelOrder) for action in actions)


# -- THE CLOCK, AS THE VENUES SAY IT ---


def test_bybits_refused_timestamp_halts_and_leaves_no_order_in_doubt__bybit_api_206() -> None:
    desk = LinearDesk()
    desk.start()
    code, status = LinearDesk.CLOCK
    bid, ask = desk.take_sent()
    desk.refuse(bid, code, status)
    desk.refuse(ask, code, status)
    assert Halt.CLOCK in halts(desk)
    assert desk.numbers["own"] == []  # it was refused: known not to be there
    desk.timer(after_ms=500)
    assert not desk.take_sent()


def test_a_trade_connection_that_returns_forgets_no_order__hummingbot_4647() -> None:
    desk, bid, ask = quoting()
    for is_up in (False, True):
        desk.core.conn(Conn.TRADE, is_up, desk.now_ns)
        desk.collect(0)
    assert {own["client_id"] for own in desk.numbers["own"]} == {
        bid["newClientOrderId"], ask["newClientOrderId"]
    }  # fmt: skip
    assert Halt.RECONCILING in halts(desk)
