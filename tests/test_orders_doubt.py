"""Orders in doubt are pulled, orders too large get smaller, and each reply answers its amend."""

from functools import partial

import pytest

from fastcore.diff import Diff
from fastcore.types import ExecType, SendOutcome, Side, Verb
from tests.reference import diff as reference_diff
from tests.test_orders import ACK_NS, IOC, MS, Bench, NewBench, S, answer, event


@pytest.fixture(params=[Diff, reference_diff.Diff], ids=["fast", "reference"])
def new_bench(request: pytest.FixtureRequest) -> NewBench:
    return partial(Bench, request.param)


def doubtful(bench: Bench, side: int, px: int, flags: int = 1) -> int:
    """An order whose place was answered by "may be carried out"."""
    intent = bench.orders.place(side, px, 10, bench.now_ns, flags)
    bench.orders.reply(answer(intent, Verb.PLACE, 500, error_code=-1007), bench.now_ns)
    assert bench.state(intent) == S.UNKNOWN
    return intent


# -- IN DOUBT ---


def test_an_unwanted_order_in_doubt_is_pulled_once_an_ack_timeout(new_bench: NewBench) -> None:
    bench = new_bench(requote_ms=3_600_000)
    bid = doubtful(bench, Side.BUY, 98)
    pull = [(Verb.CANCEL, Side.BUY, 98, 10, bid)]
    assert bench.want([(98, 10)], []) == []
    assert bench.want([(99, 10)], []) == pull
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.UNKNOWN, 10)
    bench.now_ns += ACK_NS - 1
    assert bench.want([(99, 10)], []) == []
    bench.now_ns += 1
    assert bench.want([(99, 10)], []) == pull


def test_a_halt_pulls_an_order_in_doubt_but_no_take(new_bench: NewBench) -> None:
    bench = new_bench()
    ask = doubtful(bench, Side.SELL, 103)
    doubtful(bench, Side.BUY, 98, IOC)
    assert bench.want([(98, 10)], [(103, 10)], halted=True) == [
        (Verb.CANCEL, Side.SELL, 103, 10, ask)
    ]


@pytest.mark.parametrize(("wanted", "count"), [(98, 1), (99, 1), (97, 1)])
def test_an_amend_in_doubt_serves_no_single_level(
    new_bench: NewBench, wanted: int, count: int
) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 10)], [])
    bench.now_ns += ACK_NS
    bench.fast.queries(bench.now_ns)
    assert bench.state(bid) == S.UNKNOWN
    assert [row[0] for row in bench.want([(wanted, 10)], [])] == [Verb.CANCEL] * count


def test_a_cancel_in_doubt_is_settled_by_its_reply_or_by_a_query(new_bench: NewBench) -> None:
    bench = new_bench()
    bids = [doubtful(bench, Side.BUY, px) for px in (97, 98)]
    assert len(bench.want([], [])) == 2
    bench.orders.reply(answer(bids[0], Verb.CANCEL), bench.now_ns)
    bench.orders.reply(answer(bids[1], Verb.CANCEL, 400, error_code=-2011), bench.now_ns)
    assert [bench.state(bid) for bid in bids] == [S.CANCELED, S.UNKNOWN]
    assert bench.fast.queries(bench.now_ns) == [bids[1]]
    bench.orders.reply(answer(bids[1], Verb.STATUS, order_status=S.EXPIRED), bench.now_ns)
    assert bench.state(bids[1]) == S.EXPIRED


def test_a_cancel_that_did_not_leave_ends_no_doubt(new_bench: NewBench) -> None:
    bench = new_bench()
    bid = doubtful(bench, Side.BUY, 98)
    assert len(bench.want([], [])) == 1
    bench.orders.unsent(bid, Verb.CANCEL, SendOutcome.FAILED)
    assert bench.state(bid) == S.UNKNOWN
    assert len(bench.want([], [])) == 1


def test_pulling_holds_back_neither_queries_nor_the_reconciliation() -> None:
    bench = Bench()
    bid = doubtful(bench, Side.BUY, 98)
    bench.fast.queries(bench.now_ns)
    for _ in range(6):
        bench.now_ns += ACK_NS
        assert len(bench.want([], [])) == 1  # the cancel goes first at each turn
        assert bench.fast.queries(bench.now_ns) == [bid]
    assert bench.orders.stuck(bench.now_ns)


# -- TOO LARGE ---


@pytest.mark.parametrize("why", ["off", "late", "budget"])
def test_what_no_amend_can_reduce_is_canceled_then_placed(new_bench: NewBench, why: str) -> None:
    bench = new_bench(modify=why != "off", messages_per_s_max=1 if why == "budget" else 1_000)
    (bid,) = bench.resting(Side.BUY, 98)
    if why == "late":
        bench.want([(98, 9)], [])
        bench.orders.unsent(bid, Verb.MODIFY, SendOutcome.LATE)
    elif why == "budget":
        bench.diff.sent(bench.now_ns)
    assert bench.want([(98, 4)], []) == [(Verb.CANCEL, Side.BUY, 98, 10, bid)]
    assert bench.want([(98, 4)], []) == []  # not beside the one that may still fill
    bench.now_ns += ACK_NS
    bench.orders.reply(answer(bid, Verb.CANCEL), bench.now_ns)
    assert [row[:4] for row in bench.want([(98, 4)], [])] == [(Verb.PLACE, Side.BUY, 98, 4)]


def test_a_smaller_order_is_kept_and_a_larger_one_for_the_requote_pace(
    new_bench: NewBench,
) -> None:
    bench = new_bench(modify=False, requote_ms=50)
    ((*_, bid),) = bench.want([(98, 10)], [])
    bench.orders.reply(answer(bid, Verb.PLACE), bench.now_ns)
    assert bench.want([(98, 12)], []) == []
    bench.now_ns += 50 * MS - 1
    assert bench.want([(98, 4)], []) == []
    bench.now_ns += 1
    assert bench.want([(98, 4)], [])[0][0] == Verb.CANCEL
    bench.orders.reply(answer(bid, Verb.CANCEL, 400, error_code=-1003), bench.now_ns)
    bench.orders.reply(answer(bid, Verb.STATUS, order_status=S.NEW), bench.now_ns)
    assert bench.want([(98, 4)], []) == []  # a refused cancel is not sent again and again


# -- WHICH AMEND A REPLY ANSWERS ---


def requeried(bench: Bench, px: int, qty: int) -> int:
    """An amend settled by a query before its reply came, and another one open."""
    (bid,) = bench.resting(Side.BUY, 98)
    bench.orders.amend_order(bid, 98, 8, bench.now_ns)
    bench.now_ns += ACK_NS
    bench.fast.queries(bench.now_ns)
    told = answer(bid, Verb.STATUS, order_status=S.NEW, px_ticks=98, qty_lots=8)
    bench.orders.reply(told, bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.NEW, 8)
    bench.orders.amend_order(bid, px, qty, bench.now_ns)
    return bid


def test_a_late_reply_that_differs_in_size_alone_settles_nothing() -> None:
    bench = Bench()
    bid = requeried(bench, 98, 5)
    bench.orders.reply(answer(bid, Verb.MODIFY, px_ticks=98, qty_lots=8), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.PENDING_REPLACE, 8)
    bench.orders.reply(answer(bid, Verb.MODIFY, px_ticks=98, qty_lots=5), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.NEW, 5)


def test_a_reply_without_terms_is_not_believed_while_an_earlier_one_is_due() -> None:
    bench = Bench()
    bid = requeried(bench, 99, 5)
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "reach_px")) == (S.UNKNOWN, 99)
    assert bench.fast.queries(bench.now_ns) == [bid]
    told = answer(bid, Verb.STATUS, order_status=S.NEW, px_ticks=99, qty_lots=5)
    bench.orders.reply(told, bench.now_ns)
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    bench.orders.amend_order(bid, 97, 5, bench.now_ns)  # both replies are in: believed again
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "px_ticks")) == (S.NEW, 97)


def test_a_late_refusal_of_an_earlier_amend_refuses_not_the_open_one() -> None:
    bench = Bench()
    bid = requeried(bench, 99, 5)
    bench.orders.reply(answer(bid, Verb.MODIFY, 400, error_code=-5022), bench.now_ns)
    told = answer(bid, Verb.STATUS, order_status=S.NEW, px_ticks=98, qty_lots=8)
    bench.orders.reply(told, bench.now_ns)
    assert bench.field(bid, "reach_px") == 99  # it may still come


# -- THE TOUCH JUMPS ---


@pytest.mark.parametrize("sign", [1, -1])
def test_the_side_that_gives_way_is_amended_first(new_bench: NewBench, sign: int) -> None:
    bench = new_bench()
    bench.resting(Side.BUY, 98)
    bench.resting(Side.SELL, 103)
    done = bench.want([(98 + sign, 10)], [(103 + sign, 10)])
    sides = [Side.SELL, Side.BUY] if sign > 0 else [Side.BUY, Side.SELL]
    assert [row[:2] for row in done] == [(Verb.MODIFY, side) for side in sides]


def test_an_order_that_would_meet_our_own_waits_for_it_where_it_stands(
    new_bench: NewBench,
) -> None:
    bench = new_bench(requote_ms=50)
    (bid,), (ask,) = bench.resting(Side.BUY, 98), bench.resting(Side.SELL, 103)
    bids, asks = [(105, 10)], [(110, 10)]
    assert bench.want(bids, asks) == [(Verb.MODIFY, Side.SELL, 110, 10, ask)]
    assert bench.want(bids, asks) == []
    amended = event(ask, exec_type=ExecType.AMENDMENT, px_ticks=110, side=Side.SELL)
    bench.orders.order_event(amended, 100, 101, bench.now_ns)
    assert bench.want(bids, asks) == [(Verb.MODIFY, Side.BUY, 105, 10, bid)]
