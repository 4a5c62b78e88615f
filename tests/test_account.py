"""The ledger of one account: each key of `limits`, its windows beside a twin, and two gates that
share it through any history of orders."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support_gate import EXIT, NAMES, QUOTE, TAKE, FastDesk, loose_limits

from fastcore import account as fast
from fastcore.account import LIMITS, check_limits, value_e8, value_max
from fastcore.types import Halt, OrderFlag, OrderState, Verb
from tests.reference import account as reference
from tests.reference import gate as twin

MS = 1_000_000
STEADY = settings(
    derandomize=True, deadline=None, database=None, max_examples=120, stateful_step_count=60
)

# -- CONFIGURATION ---


def test_loose_limits_are_all_of_them():
    check_limits(loose_limits())
    assert list(loose_limits()) == list(LIMITS)


@pytest.mark.parametrize("key", LIMITS)
def test_every_limit_is_required_and_bounded(key):
    lowest, highest, text = LIMITS[key]
    assert text
    limits = loose_limits()
    for wrong in (lowest - 1, highest + 1, float(lowest), True, None, "5"):
        with pytest.raises(ValueError, match=rf"Expected limits\.{key} to be a whole number in"):
            check_limits(limits | {key: wrong})
    del limits[key]
    with pytest.raises(ValueError, match=rf"limits\.{key} is required"):
        fast.Account(limits)


def test_an_unknown_key_is_told_the_nearest_right_one():
    with pytest.raises(
        ValueError, match=r"limits\.qty_lot_max; did you mean limits\.qty_lots_max\?"
    ):
        check_limits(loose_limits() | {"qty_lot_max": 1})
    with pytest.raises(ValueError, match=r"Unknown key limits\.zzz$"):
        check_limits(loose_limits() | {"zzz": 1})
    with pytest.raises(ValueError, match="to be a table, was list"):
        check_limits([])


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"cancel_reserve": 7, "messages_per_s_max": 7}, r"limits\.cancel_reserve .* 7: no order"),
        ({"account_cancel_reserve": 8, "account_messages_per_min_max": 7}, "account_cancel_res"),
        ({"exit_reserve": 7, "orders_per_10s_max": 7}, r"limits\.exit_reserve .* 7: no order"),
        ({"exit_reserve": 7, "orders_per_min_max": 7}, r"limits\.exit_reserve .* order limits"),
        ({"account_exit_reserve": 8, "account_orders_per_min_max": 7}, "account_exit_res"),
        ({"qty_lots_min": 8, "qty_lots_max": 7}, "qty_lots_min"),
        ({"notional_min": 8, "notional_max": 7}, "notional_min"),
    ],
)
def test_limits_that_let_nothing_pass_are_refused(limits, match):
    with pytest.raises(ValueError, match=match):
        check_limits(loose_limits(**limits))
    check_limits(loose_limits(**{key: 7 - ("reserve" in key) for key in limits}))


@pytest.mark.parametrize(
    ("tick", "lot", "worth"),
    [("0.10", "0.001", (10_000, 1)), ("0.00001", "0.0001", (1, 10)),
     ("0.25", "3", (75_000_000, 1)), ("0.00000003", "0.5", (3, 2))],
)  # fmt: skip
def test_one_tick_times_one_lot_is_exact(tick, lot, worth):
    assert value_e8(tick, lot) == worth


def test_the_most_that_counts_in_full_fits_int64():
    for num, den in ((1, 1), (10_000, 1), (1, 10), (1 << 62, 1), (1, 1 << 62), (7, 3)):
        most = value_max((num, den))
        assert most * num + den - 1 < 1 << 63
        assert most * num <= fast.VALUE_E8_MAX * den or most == 0
    for wrong in ((0, 1), (1, 0), (-1, 1), (1 << 63, 1)):
        with pytest.raises(ValueError, match="tick x lot worth above 0"):
            value_max(wrong)


# -- WINDOWS ---


@pytest.fixture(params=[fast, reference], ids=["fast", "reference"])
def module(request):
    return request.param


@pytest.mark.parametrize("verb", Verb)
def test_what_counts_as_an_order(module, verb):
    sends = module.Account(loose_limits(account_orders_per_10s_max=1)).sends
    sends.count_send(verb, 5)
    is_order = verb in {Verb.PLACE, Verb.MODIFY, Verb.REPLACE}
    assert sends.to_dict() == {"messages": 1, "orders": int(is_order)}
    assert sends.check(False, 5) == int(is_order)


def test_windows_hold_at_time_zero_and_before_any_send(module):
    sends = module.Sends(loose_limits(messages_per_s_max=1))
    assert sends.check(False, 0) == 0
    sends.count_send(Verb.CANCEL, 0)
    assert sends.check(False, 0) == 2
    assert sends.check(False, 1_000 * MS) == 0


def test_more_cancels_than_the_ring_holds_are_still_counted(module):
    """Cancels are never held back, so a window may hold more than its limit."""
    sends = module.Sends(loose_limits(messages_per_s_max=3, messages_per_min_max=5))
    for at in range(40):
        sends.count_send(Verb.CANCEL, at * 100 * MS)
    last = 39 * 100 * MS
    assert sends.check(False, last) == 2
    assert sends.check(False, last + 60_000 * MS - 400 * MS - 1) == 2
    assert sends.check(False, last + 60_000 * MS - 400 * MS) == 0


@pytest.mark.parametrize("seed_ms", [1, 70, 333, 4_999])
def test_windows_equal_the_twins(seed_ms):
    limits = loose_limits(
        orders_per_10s_max=3, orders_per_min_max=14, messages_per_s_max=4, messages_per_min_max=17,
        cancel_reserve=2, exit_reserve=1,
    )  # fmt: skip
    one, two = fast.Sends(limits), reference.Sends(limits)
    answers = set()
    for step in range(400):
        now_ns = step * step * seed_ms * MS // 50
        for is_exit in (False, True):
            answers.add(one.check(is_exit, now_ns))
            assert one.check(is_exit, now_ns) == two.check(is_exit, now_ns)
        if one.check(False, now_ns) == 0 or step % 5 == 0:
            for sends in (one, two):
                sends.count_send(Verb.CANCEL if step % 3 else Verb.PLACE, now_ns)
    assert 0 in answers
    assert len(answers) > 1 or seed_ms > 4_000


# -- TWO GATES ON ONE ACCOUNT ---

LIMITS_TIGHT = loose_limits(
    price_collar_ticks=9, qty_lots_min=2, qty_lots_max=9, notional_min=199, notional_max=900,
    position_lots_max=11, exposure_max=1_120, open_orders_max=4, orders_per_10s_max=8,
    orders_per_min_max=14, messages_per_s_max=9, messages_per_min_max=30, cancel_reserve=2,
    exit_reserve=1, duplicate_ms=400, book_age_ms_max=300, tick_age_ms_max=200,
    reference_age_ms_max=3_000,
    account_exposure_e8_max=1_800, account_orders_per_10s_max=14, account_orders_per_min_max=30,
    account_messages_per_s_max=14, account_messages_per_min_max=50, account_cancel_reserve=4,
    account_exit_reserve=2,
)  # fmt: skip
WORTHS = ((1, 1), (7, 5))
AT = st.integers(0, 1)  # of the two gates, or sides
SEEN: set[str] = set()


class TwoGates(RuleBasedStateMachine):
    """The compiled gates and their twins, side by side; both may have two instruments."""

    @initialize()
    def open(self):
        self.now_ns = 0
        accounts = fast.Account(LIMITS_TIGHT), reference.Account(LIMITS_TIGHT)
        self.desks = [
            (
                FastDesk(LIMITS_TIGHT, accounts[0], worth),
                twin.Desk(LIMITS_TIGHT, accounts[1], worth),
            )
            for worth in WORTHS
        ]
        self.live: list[list[int]] = [[], []]
        for at in (0, 1):
            self.both(at, "book", 100, 102)
            self.both(at, "on_reference", 101, 0)

    def both(self, at, name, *args):
        one, two = (getattr(desk, name)(*args) for desk in self.desks[at])
        if name == "place":
            assert one == two
        return one

    @rule(ms=st.sampled_from([1, 10, 150, 450, 2_000]))
    def wait(self, ms):
        self.now_ns += ms * MS

    @rule(at=AT, bid=st.integers(96, 104), spread=st.integers(1, 5),
          is_there=st.sampled_from([True] * 9 + [False]))  # fmt: skip
    def move_book(self, at, bid, spread, is_there):
        self.both(at, "book", bid, bid + spread if is_there else 0)

    @rule(at=AT, px=st.integers(92, 110))
    def trade(self, at, px):
        self.both(at, "on_reference", px, self.now_ns)

    @rule(at=AT, is_reducing=st.sampled_from([False] * 9 + [True]))
    def reduce(self, at, is_reducing):
        self.both(at, "set_reducing", is_reducing)

    @rule(at=AT)
    def report(self, at):
        self.both(at, "report")

    @rule(
        at=AT, side=AT, off=st.integers(-1, 5),
        qty=st.sampled_from([2, 2, 3, 4, 5, 8, 9, 10, 1]),
        flags=st.sampled_from([QUOTE] * 9 + [TAKE, EXIT, EXIT, QUOTE | OrderFlag.REDUCE_ONLY, 0]),
        halt=st.sampled_from([0] * 20 + [Halt.SPREAD, Halt.BOOK]),
        book_ms=st.sampled_from([0] * 20 + [300, 301]),
        tick_ms=st.sampled_from([0] * 20 + [200, 201]),
        amends=st.integers(-2, 2), sends=st.sampled_from([True, True, True, False]),
    )  # fmt: skip
    def want(self, at, side, off, qty, flags, halt, book_ms, tick_ms, amends, sends):
        self.ask(at, side, off, qty, flags, halt, book_ms, tick_ms, amends, sends)

    @rule(at=AT, quotes=st.lists(st.tuples(AT, st.integers(0, 3), st.integers(2, 4)), max_size=6))
    def quote(self, at, quotes):
        for side, off, qty in quotes:
            self.ask(at, side, off, qty, QUOTE, 0, 0, 0, -1, True)

    def ask(self, at, side, off, qty, flags, halt, book_ms, tick_ms, amends, sends):
        fast_desk, slow_desk = self.desks[at]
        px = slow_desk.bid - off if side == 0 else slow_desk.bid + 1 + off
        replaces = self.live[at][amends] if 0 <= amends < len(self.live[at]) else -1
        filled = 0
        if replaces >= 0:
            side, filled = slow_desk.orders[replaces].side, slow_desk.orders[replaces].cum
        args = (side, px, qty, flags, self.now_ns, halt, True, self.now_ns - book_ms * MS,
                self.now_ns - tick_ms * MS, replaces, filled)  # fmt: skip
        one, two = fast_desk.check(*args), slow_desk.check(*args)
        assert one in two.split("|"), (one, two)
        SEEN.add(one)
        before = fast_desk.account.exposure_e8
        if one == "OK" and sends:
            if replaces >= 0:
                self.both(at, "amend", replaces, self.now_ns)
            else:
                self.live[at].append(self.both(at, "place", self.now_ns))
            worst = sum(o.open_lots() for o in slow_desk.orders.values() if o.side == side)
            worst += slow_desk.position if side == 0 else -slow_desk.position
            assert worst <= LIMITS_TIGHT["position_lots_max"]
            after = fast_desk.account.exposure_e8
            assert after <= max(before, LIMITS_TIGHT["account_exposure_e8_max"])

    @precondition(lambda self: any(self.live))
    @rule(at=AT, which=st.integers(0, 9),
          answer=st.sampled_from(["NEW", "UNKNOWN", "fill", "CANCELED", "cancel"]),
          moved=st.booleans())  # fmt: skip
    def venue(self, at, which, answer, moved):
        if not self.live[at]:
            return
        intent_id = self.live[at][which % len(self.live[at])]
        order = self.desks[at][1].orders[intent_id]
        if answer == "cancel":
            self.both(at, "cancel", intent_id, self.now_ns)
        elif answer == "CANCELED":
            self.both(at, "end", intent_id, OrderState.CANCELED)
            self.live[at].remove(intent_id)
        elif answer == "fill" and order.qty > order.cum:
            self.both(at, "fill", intent_id, 1)
            if order.qty == order.cum:
                self.both(at, "end", intent_id, OrderState.FILLED)
                self.live[at].remove(intent_id)
        elif answer in ("NEW", "UNKNOWN"):
            is_new = moved and order.wanted_qty > order.cum
            px, qty = (order.wanted_px, order.wanted_qty) if is_new else (order.px, order.qty)
            self.both(at, "answer", intent_id, OrderState[answer], px, qty)

    @invariant()
    def they_agree(self):
        for one, two in self.desks:
            assert one.exposure_e8 == two.exposure_e8
            assert one.account.exposure_e8 == two.account.exposure_e8
            assert one.sends.to_dict() == two.sends.to_dict()
            assert one.exits_denied == two.exits_denied


def test_two_gates_and_their_twins_agree_and_meet_nearly_every_reason():
    run_state_machine_as_test(TwoGates, settings=STEADY)
    # Windows and single orders have tests of their own.
    rare = {"RANGE", "RATE", "MESSAGES", "ACCOUNT_MESSAGES", "ACCOUNT_RATE"}
    assert set(NAMES.values()) - SEEN <= rare
