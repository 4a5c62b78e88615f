"""Orders, their table, position and diff: examples, and any history beside the plain twin."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastcore.diff import Diff
from fastcore.order_states import next_state, table_markdown
from fastcore.orders import Orders
from fastcore.types import ExecType, OrderState, SendOutcome, Side, Verb
from tests.reference import diff as reference_diff
from tests.reference import orders as reference

S = OrderState
MS = 1_000_000
ACK_NS, WINDOW_NS = 1_000 * MS, 5_000 * MS
IOC, REDUCE = 4, 2
QUOTING = {"requote_ticks": 0, "requote_ms": 0, "modify": True, "messages_per_s_max": 1_000}
PUSH = ExecType.STATUS
RATE, CLOCK = 8, 16  # bits of what a reply may say: orders.pxd
TOLD = (S.NEW, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED)


def event(intent_id: int, **fields: int) -> dict[str, int]:
    return {
        "intent_id": intent_id, "venue_order_id": 7, "trade_id": -1, "exch_ts_ns": 0,
        "exec_type": ExecType.NEW, "status": S.NEW, "side": Side.BUY, "is_maker": 1,
        "px_ticks": 100, "qty_lots": 10, "cum_qty_lots": 0, "last_px_ticks": 0,
        "last_qty_lots": 0, "fee_e8": 0, "fee_asset": 0,
    } | fields  # fmt: skip


def answer(intent_id: int, verb: int, status: int = 200, **fields: int) -> dict[str, int]:
    return {
        "intent_id": intent_id, "verb": verb, "status": status, "error_code": 0,
        "order_status": S.FREE, "venue_order_id": -1, "cum_qty_lots": -1, "cancel_status": 0,
        "new_status": 0, "px_ticks": 0, "qty_lots": 0,
    } | fields  # fmt: skip


class Bench:
    """Orders and their diff, and the core's part between them."""

    def __init__(self, kind: type[Any] = Diff, **quoting: int | bool) -> None:
        self.orders = Orders(ACK_NS, WINDOW_NS)
        self.diff = kind(QUOTING | quoting, self.orders)
        self.fast = Diff(QUOTING, self.orders)  # asks for fates: the twin does not
        self.fast.let_modify(True)
        self.diff.let_modify(True)
        self.now_ns = 10_000 * MS
        self.touch = (100, 101)

    def want(
        self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], halted: bool = False
    ) -> list[tuple[Any, ...]]:
        """(verb, side, px, qty, intent) of what was wanted, and done at once."""
        done = []
        for action in self.diff.wanted(bids, asks, halted, *self.touch, self.now_ns):
            intent = action["intent_id"]
            if action["verb"] == Verb.PLACE:
                intent = self.orders.place(
                    action["side"], action["px_ticks"], action["qty_lots"], self.now_ns,
                    action["flags"], action["reason"],
                )  # fmt: skip
            elif action["verb"] == Verb.CANCEL:
                self.orders.cancel_order(intent, self.now_ns)
            else:
                self.orders.amend_order(
                    intent, action["px_ticks"], action["qty_lots"], self.now_ns
                )
            self.diff.sent(self.now_ns)
            row = action["side"], action["px_ticks"], action["qty_lots"], intent
            done.append((Verb(action["verb"]), *row))
        return done

    def resting(self, side: int, *prices: int, qty: int = 10) -> list[int]:
        """Acknowledged quotes."""
        intents = [self.orders.place(side, px, qty, self.now_ns) for px in prices]
        for intent in intents:
            self.orders.reply(answer(intent, Verb.PLACE), self.now_ns)
        return intents

    def fill(self, intent: int, qty: int, px: int, trade_id: int, side: int = Side.BUY) -> None:
        self.orders.order_event(
            event(intent, exec_type=ExecType.TRADE, status=S.PARTIALLY_FILLED, side=side,
                  trade_id=trade_id, last_px_ticks=px, last_qty_lots=qty),
            100, 101, self.now_ns,
        )  # fmt: skip

    def state(self, intent: int) -> OrderState:
        order = self.orders.order(intent)
        assert order is not None
        return OrderState(order["state"])

    def field(self, intent: int, name: str) -> int:
        order = self.orders.order(intent)
        assert order is not None
        return order[name]


NewBench = Callable[..., Bench]


@pytest.fixture(params=[Diff, reference_diff.Diff], ids=["fast", "reference"])
def new_bench(request: pytest.FixtureRequest) -> NewBench:
    return partial(Bench, request.param)


# -- TABLE ---


@pytest.mark.parametrize("state", list(S))
def test_every_pair_of_the_table_follows_the_rules(state: OrderState) -> None:
    assert {said: next_state(state, said) for said in S} == {
        said: reference.next_state(state, said) for said in S
    }


def test_the_document_shows_the_table() -> None:
    text = (Path(__file__).parents[1] / "docs/orders.md").read_text(encoding="utf-8")
    assert table_markdown() in text


# -- AMENDS ---


def test_a_new_price_is_one_amend_and_counts_at_worst_until_answered(new_bench: NewBench) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    assert bench.want([(99, 15)], []) == [(Verb.MODIFY, Side.BUY, 99, 15, bid)]
    assert (bench.field(bid, "open_lots"), bench.field(bid, "reach_px")) == (15, 99)
    assert bench.want([(99, 15)], []) == []
    bench.orders.reply(answer(bid, Verb.MODIFY, px_ticks=99, qty_lots=15), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "px_ticks")) == (S.NEW, 99)


def test_an_amendment_event_gives_the_terms_and_the_reply_ends_the_wait(
    new_bench: NewBench,
) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 10)], [])
    amended = event(bid, exec_type=ExecType.AMENDMENT, px_ticks=99)
    bench.orders.order_event(amended, 100, 101, bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "px_ticks")) == (S.PENDING_REPLACE, 99)
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    assert bench.state(bid) == S.NEW


def test_a_reply_that_only_accepts_ends_no_wait() -> None:
    """Bybit: "Ack = accepted"; what became of the order is told by its pushes."""
    bench = Bench()
    bid = bench.orders.place(Side.BUY, 98, 10, bench.now_ns)
    bench.orders.reply(answer(bid, Verb.PLACE, order_status=S.PENDING_NEW), bench.now_ns)
    assert bench.state(bid) == S.PENDING_NEW
    bench.orders.order_event(event(bid, px_ticks=98, exec_type=PUSH), 100, 101, bench.now_ns)
    assert bench.state(bid) == S.NEW
    bench.orders.cancel_order(bid, bench.now_ns)
    bench.orders.reply(answer(bid, Verb.CANCEL, order_status=S.PENDING_CANCEL), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.PENDING_CANCEL, 10)
    bench.now_ns += 2 * ACK_NS  # where nothing can be asked, such an order is stuck in the end
    assert bench.fast.queries(bench.now_ns) == [bid]
    assert bench.state(bid) == S.UNKNOWN
    bench.now_ns += 6 * ACK_NS
    assert bench.orders.stuck(bench.now_ns)
    gone = event(bid, exec_type=ExecType.CANCELED, status=S.CANCELED)
    bench.orders.order_event(gone, 100, 101, bench.now_ns)
    assert (bench.state(bid), bench.orders.stuck(bench.now_ns)) == (S.CANCELED, False)


@pytest.mark.parametrize("is_reply_first", [True, False])
def test_an_accepted_amend_is_over_when_reply_and_push_are_in(is_reply_first: bool) -> None:
    bench = Bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 15)], [])
    says = [
        lambda: bench.orders.reply(
            answer(bid, Verb.MODIFY, order_status=S.PENDING_REPLACE), bench.now_ns
        ),
        lambda: bench.orders.order_event(
            event(bid, exec_type=PUSH, px_ticks=99, qty_lots=15), 100, 101, bench.now_ns
        ),
    ]
    part = event(bid, exec_type=PUSH, status=S.PARTIALLY_FILLED, px_ticks=98, cum_qty_lots=1)
    bench.orders.order_event(part, 100, 101, bench.now_ns)  # on its way since before the amend
    for say in says if is_reply_first else reversed(says):
        assert bench.state(bid) == S.PENDING_REPLACE
        assert (bench.field(bid, "open_lots"), bench.field(bid, "reach_px")) == (15, 99)
        say()
    assert (bench.state(bid), bench.field(bid, "px_ticks")) == (S.NEW, 99)
    assert (bench.field(bid, "qty_lots"), bench.field(bid, "new_qty_lots")) == (15, 0)


def test_an_amend_that_was_not_accepted_is_pulled() -> None:
    """Bybit can't be asked about the order, so it goes."""
    bench = Bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 15)], [])
    bench.orders.reply(answer(bid, Verb.MODIFY, 400, error_code=10001), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.NEW, 15)
    assert [done[0] for done in bench.want([(99, 15)], [])] == [Verb.CANCEL, Verb.PLACE]


def test_a_push_with_terms_that_nobody_asked_for_is_in_doubt() -> None:
    bench = Bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.orders.order_event(event(bid, exec_type=PUSH, px_ticks=98), 100, 101, bench.now_ns)
    assert bench.state(bid) == S.NEW
    bench.orders.order_event(event(bid, exec_type=PUSH, px_ticks=97), 100, 101, bench.now_ns)
    assert bench.state(bid) == S.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, -1021, CLOCK), (400, 10002, CLOCK),
        (418, 0, RATE), (429, 0, RATE), (400, -1003, RATE), (400, -1015, RATE),
        (400, 10006, RATE), (400, 10018, RATE), (400, 10403, RATE), (400, 10429, RATE),
        (400, 20003, RATE), (400, 170005, RATE), (400, 170222, RATE),
        (400, -2010, 0), (400, 110007, 0),
    ],
)  # fmt: skip
def test_error_numbers_of_every_venue_are_understood(status: int, code: int, said: int) -> None:
    bench = Bench()
    bid = bench.orders.place(Side.BUY, 98, 10, bench.now_ns)
    result = bench.orders.reply(answer(bid, Verb.PLACE, status, error_code=code), bench.now_ns)
    assert result & (CLOCK | RATE) == said
    assert bench.state(bid) == S.REJECTED


def test_the_event_of_an_earlier_amend_is_not_taken_for_the_open_one(new_bench: NewBench) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 97)
    bench.want([(98, 10)], [])
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    bench.want([(99, 10)], [])
    late = event(bid, exec_type=ExecType.AMENDMENT, px_ticks=98)
    bench.orders.order_event(late, 100, 101, bench.now_ns)
    assert bench.field(bid, "new_px_ticks") == 99


@pytest.mark.parametrize("code", [-5022, -5026, -5027, -2013, -1003])
def test_a_refused_amend_proves_nothing_before_a_query(new_bench: NewBench, code: int) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 15)], [])
    bench.orders.reply(answer(bid, Verb.MODIFY, 400, error_code=code), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.UNKNOWN, 15)
    assert bench.fast.queries(bench.now_ns) == [bid]
    told = answer(bid, Verb.STATUS, order_status=S.NEW, px_ticks=98, qty_lots=10)
    bench.orders.reply(told, bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.NEW, 10)
    bench.now_ns += 20 * MS
    verbs = [done[0] for done in bench.want([(99, 10)], [])]
    assert verbs[0] == (Verb.CANCEL if code == -5026 else Verb.MODIFY)


def test_an_amend_that_may_come_stays_open_and_the_order_is_pulled(
    new_bench: NewBench,
) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 15)], [])
    bench.now_ns += ACK_NS
    assert bench.fast.queries(bench.now_ns) == [bid]
    told = answer(bid, Verb.STATUS, order_status=S.NEW, px_ticks=98, qty_lots=10)
    bench.orders.reply(told, bench.now_ns)
    assert bench.field(bid, "open_lots") == 15
    assert bench.want([(98, 10)], [])[0][0] == Verb.CANCEL


def test_an_unsent_amend_leaves_the_old_terms(new_bench: NewBench) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 15)], [])
    bench.orders.unsent(bid, Verb.MODIFY, SendOutcome.LATE)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.NEW, 10)
    # Not amended again, late again, at each input: pulled, whatever became of our haste.
    assert bench.want([(99, 15)], [])[0] == (Verb.CANCEL, Side.BUY, 98, 10, bid)


def test_a_halt_cancels_an_order_whose_amend_is_open(new_bench: NewBench) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.want([(99, 10)], [])
    assert bench.want([], [], halted=True) == [(Verb.CANCEL, Side.BUY, 98, 10, bid)]


def test_a_halt_pulls_what_is_still_wanted(new_bench: NewBench) -> None:
    bench = new_bench()
    bench.resting(Side.BUY, 98)
    bench.resting(Side.SELL, 103)
    done = bench.want([(98, 10)], [(103, 10)], halted=True)
    assert [row[:2] for row in done] == [(Verb.CANCEL, Side.BUY), (Verb.CANCEL, Side.SELL)]


def test_fills_count_against_the_new_total(new_bench: NewBench) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.fill(bid, 4, 98, 1)
    assert bench.want([(99, 10)], [])[0][3] == 14
    bench.fill(bid, 3, 98, 2)  # at the old price
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    assert (bench.state(bid), bench.field(bid, "open_lots")) == (S.PARTIALLY_FILLED, 7)


def test_without_amends_a_new_price_is_cancel_and_place(new_bench: NewBench) -> None:
    bench = new_bench(modify=False)
    (bid,) = bench.resting(Side.BUY, 98)
    verbs = [done[:3] for done in bench.want([(99, 10)], [])]
    assert verbs == [(Verb.CANCEL, Side.BUY, 98), (Verb.PLACE, Side.BUY, 99)]
    assert bench.state(bid) == S.PENDING_CANCEL


# -- DIFF ---


def test_exact_prices_are_kept_before_near_ones(new_bench: NewBench) -> None:
    bench = new_bench(requote_ticks=1)
    bench.resting(Side.BUY, 98, 99)
    assert bench.want([(99, 10), (97, 10)], []) == []


def test_less_at_the_same_price_is_a_reduction_in_place(new_bench: NewBench) -> None:
    bench = new_bench()
    (bid,) = bench.resting(Side.BUY, 98)
    bench.orders.look(bid, 30)
    assert bench.want([(98, 4)], []) == [(Verb.MODIFY, Side.BUY, 98, 4, bid)]
    bench.orders.reply(answer(bid, Verb.MODIFY), bench.now_ns)
    assert bench.field(bid, "ahead_lots") == 30


def test_what_shrinks_risk_goes_first(new_bench: NewBench) -> None:
    bench = new_bench()
    (far, kept, moved) = bench.resting(Side.BUY, 90, 98, 95)
    bench.fill(kept, 2, 98, 1)  # long: selling reduces
    done = bench.want([(98, 3), (96, 10)], [(102, 5)])
    assert [row[0] for row in done] == [Verb.CANCEL, Verb.MODIFY, Verb.MODIFY, Verb.PLACE]
    assert [row[4] for row in done[:3]] == [far, kept, moved]
    done = new_bench().want([(98, 3)], [(102, 5)])
    assert [row[1] for row in done] == [Side.BUY, Side.SELL]


def test_eight_levels_a_side(new_bench: NewBench) -> None:
    bench = new_bench()
    done = bench.want([(99 - i, 1) for i in range(8)], [(102 + i, 1) for i in range(8)])
    assert len(done) == 16


def test_a_spent_budget_holds_places_never_cancels(new_bench: NewBench) -> None:
    bench = new_bench(messages_per_s_max=8)  # two of them for cancels
    levels = [(99 - i, 1) for i in range(8)]
    placed = bench.want(levels, [])
    assert len(placed) == 6
    for row in placed:
        bench.orders.reply(answer(row[4], Verb.PLACE), bench.now_ns)
    assert {row[0] for row in bench.want([(50, 1)], [])} == {Verb.CANCEL}
    bench.now_ns += 999 * MS
    assert bench.want([(50, 1)], []) == []
    bench.now_ns += 1 * MS
    assert [row[0] for row in bench.want([(50, 1)], [])] == [Verb.PLACE]


def test_backoff_doubles_and_a_moved_touch_ends_it(new_bench: NewBench) -> None:
    bench = new_bench()

    def refused() -> None:
        ((_, _, _, _, intent),) = bench.want([(99, 1)], [])
        bench.orders.reply(answer(intent, Verb.PLACE, 400, error_code=-5022), bench.now_ns)
        assert bench.want([(99, 1)], []) == []

    for wait_ms in (10, 20, 40):
        refused()
        bench.now_ns += wait_ms * MS - 1
        assert bench.want([(99, 1)], []) == []
        bench.now_ns += 1
    refused()
    bench.touch = (99, 101)
    assert len(bench.want([(99, 1)], [])) == 1


def test_one_take_a_reason_at_a_time_and_no_diff_touches_it(new_bench: NewBench) -> None:
    bench = new_bench()
    bench.want([], [])
    assert bench.diff.take(Side.SELL, 95, 5, REDUCE, 3, bench.now_ns)
    assert not bench.diff.take(Side.SELL, 95, 5, REDUCE, 3, bench.now_ns)
    take = bench.orders.place(Side.SELL, 95, 5, bench.now_ns, IOC | REDUCE, 3)
    bench.orders.reply(answer(take, Verb.PLACE), bench.now_ns)
    assert bench.want([], [], halted=True) == []
    assert not bench.diff.take(Side.SELL, 95, 5, REDUCE, 3, bench.now_ns)
    assert bench.diff.take(Side.SELL, 95, 5, 0, 4, bench.now_ns)
    gone = event(take, exec_type=ExecType.EXPIRED, status=S.EXPIRED, side=Side.SELL)
    bench.orders.order_event(gone, 100, 101, bench.now_ns)
    assert bench.diff.take(Side.SELL, 95, 5, REDUCE, 3, bench.now_ns)


@pytest.mark.parametrize(
    ("quoting", "text"),
    [
        ({"requote_tick": 1}, "did you mean quoting.requote_ticks"),
        ({"modify": 1}, "quoting.modify"),
        ({"messages_per_s_max": 0}, "quoting.messages_per_s_max"),
        ({"requote_ms": -1}, "quoting.requote_ms"),
    ],
)
def test_a_wrong_section_is_refused_by_name(quoting: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Bench(**quoting)


# -- POSITION ---


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(1, 10**7), st.integers(1, 10**6)), max_size=40
    ),
    st.integers(1, 10**7),
)
def test_profit_adds_up_and_cost_is_the_exact_average(
    fills: list[tuple[int, int, int]], mark: int
) -> None:
    fast, slow = Orders(1, 1), reference.Position()
    for count, fill in enumerate(fills, start=1):
        fast.book_fill(*fill, now_ns=count)
        slow.book(*fill)
        money = fast.money()
        assert (money["position_lots"], money["cash_ticks_lots"]) == (slow.position, slow.cash)
        total = 2 * (slow.cash + slow.position * mark)
        assert 2 * money["realised_ticks_lots"] + fast.unrealised_half(2 * mark) == total
        assert abs(money["cost_ticks_lots"] - slow.cost) <= count
        assert (money["entry_ns"] == 0) == (slow.position == 0)


def test_entry_is_when_the_position_left_zero_or_turned() -> None:
    orders = Orders(1, 1)
    entries = []
    for now_ns, (side, qty) in enumerate([(0, 5), (0, 5), (1, 4), (1, 9), (0, 3)], start=1):
        orders.book_fill(side, 100, qty, now_ns=now_ns)
        entries.append(orders.money()["entry_ns"])
    assert entries == [1, 1, 1, 4, 0]


def test_fees_are_kept_by_asset() -> None:
    orders = Orders(1, 1)
    for asset, fee_e8 in ((0, 5), (1, 7), (2, 11)):
        orders.book_fill(0, 100, 1, fee_e8=fee_e8, fee_asset=asset)
    money = orders.money()
    assert [money[f"fees_{name}"] for name in ("e8", "base_e8", "other_e8", "other_count")] == [
        5, 7, 11, 1,
    ]  # fmt: skip


# -- ANY HISTORY, BESIDE THE TWIN ---

QTY = st.integers(1, 12)
PX = st.integers(95, 105)
SHOWN = (
    "state", "px_ticks", "qty_lots", "new_px_ticks", "new_qty_lots", "cum_qty_lots",
    "venue_cum_qty_lots", "ahead_lots", "open_lots", "reach_px",
)  # fmt: skip


class History(RuleBasedStateMachine):
    """Whatever is said of up to 40 orders, true or not: both twins make the same of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = Orders(ACK_NS, WINDOW_NS), reference.Orders(ACK_NS, WINDOW_NS)
        self.count = 0
        self.now_ns = 0

    def pick(self, number: int) -> int:
        return 1 + number % self.count

    @rule(ms=st.integers(0, 4_000))
    def wait(self, ms: int) -> None:
        self.now_ns += ms * MS

    @precondition(lambda self: self.count < 40)
    @rule(side=st.integers(0, 1), px=PX, qty=QTY)
    def place(self, side: int, px: int, qty: int) -> None:
        self.count = self.fast.place(side, px, qty, self.now_ns)
        assert self.slow.place(side, px, qty, self.now_ns) == self.count

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0, 40), px=PX, qty=QTY)
    def amend(self, number: int, px: int, qty: int) -> None:
        order = self.slow.orders[self.pick(number)]
        if order["state"] in reference.LIVE and not order["new_qty_lots"]:
            for one in (self.fast, self.slow):
                one.amend_order(self.pick(number), px, qty, self.now_ns)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0, 40))
    def cancel(self, number: int) -> None:
        for one in (self.fast, self.slow):
            one.cancel_order(self.pick(number), self.now_ns)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0, 40), kind=st.sampled_from(list(ExecType)),
          status=st.sampled_from(TOLD), px=PX, qty=QTY, cum=st.integers(0, 12),
          trade_id=st.integers(1, 6), is_open_amend=st.booleans())  # fmt: skip
    def told(
        self, number: int, kind: int, status: int, px: int, qty: int, cum: int, trade_id: int,
        is_open_amend: bool,
    ) -> None:  # fmt: skip
        order = self.slow.orders[self.pick(number)]
        if is_open_amend and order["new_qty_lots"]:
            px, qty = order["new_px_ticks"], order["new_qty_lots"]
        said = event(
            self.pick(number), exec_type=kind, status=status, side=order["side"], px_ticks=px,
            qty_lots=qty, cum_qty_lots=cum, trade_id=trade_id, last_px_ticks=px,
            last_qty_lots=1 if kind == ExecType.TRADE else 0,
        )  # fmt: skip
        self.fast.order_event(said, 100, 101, self.now_ns)
        self.slow.order_event(said, self.now_ns)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0, 40), verb=st.sampled_from([1, 2, 3, 5]),
          code=st.sampled_from([0, 0, 0, 0, -2011, -2013, -5022, -1007, 110001, 10001]),
          status=st.sampled_from([S.FREE, *TOLD, *reference.PENDING]), cum=st.integers(-1, 12),
          px=st.one_of(st.just(0), PX), qty=QTY)  # fmt: skip
    def answered(
        self, number: int, verb: int, code: int, status: int, cum: int, px: int, qty: int
    ) -> None:
        said = answer(
            self.pick(number), verb, 400 if code else 200, error_code=code, order_status=status,
            cum_qty_lots=cum, px_ticks=px, qty_lots=qty,
        )  # fmt: skip
        self.fast.reply(said, self.now_ns)
        self.slow.reply(said, self.now_ns)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0, 40), verb=st.sampled_from([1, 2, 5]),
          outcome=st.sampled_from([1, 2, 3]))  # fmt: skip
    def unsent(self, number: int, verb: int, outcome: int) -> None:
        waits = {1: S.PENDING_NEW, 2: S.PENDING_CANCEL, 5: S.PENDING_REPLACE}
        if self.slow.orders[self.pick(number)]["state"] == waits[verb]:
            for one in (self.fast, self.slow):
                one.unsent(self.pick(number), verb, outcome)

    @rule(aggressor=st.integers(0, 1), px=PX, qty=QTY)
    def trade(self, aggressor: int, px: int, qty: int) -> None:
        for one in (self.fast, self.slow):
            one.trade(aggressor, px, qty)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0, 40), visible=st.integers(0, 40))
    def look(self, number: int, visible: int) -> None:
        if self.slow.orders[self.pick(number)]["state"] in reference.WORKING:
            for one in (self.fast, self.slow):
                one.look(self.pick(number), visible)

    @invariant()
    def twins_agree(self) -> None:
        for intent in range(1, self.count + 1):
            fast, slow = self.fast.order(intent), self.slow.order(intent)
            assert fast is not None
            assert {key: fast[key] for key in SHOWN} == {key: slow[key] for key in SHOWN}
        assert self.fast.counts()["illegal_moves"] == self.slow.illegal
        assert self.fast.money()["cash_ticks_lots"] == self.slow.money.cash


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
