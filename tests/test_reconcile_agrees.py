"""What an agreement of engine/execution/reconcile.py promises, whatever is believed and told: it
makes the core drop what it tracks, so with an order of ours alive it would leave a ghost."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from support_reconcile import (
    ABSENT_AFTER_NS,
    EARLIER,
    LIVE,
    PREFIX,
    ROUND_NS,
    SYMBOL,
    Story,
    client_id,
    story,
)  # fmt: skip

from engine.execution.belief import Action, Agreed, Belief, Owner, OwnOrder, Told
from engine.execution.reconcile import Policy, owner_of, reconcile
from engine.venues.base import OrderRow, TradeRow
from fastcore.types import FeeAsset, OrderState, Side

POLICIES = [Policy(word, ABSENT_AFTER_NS) for word in ("leave", "cancel", "halt")]  # type: ignore
OVER = (OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED,
        OrderState.FREE)  # fmt: skip
ROUNDS_MAX = 9

# -- ANYTHING AT ALL ---

numbers = st.integers(1, 3)
NAMES = ["", client_id(PREFIX, 1), client_id(PREFIX, 2), client_id(PREFIX, 3),
         client_id(EARLIER, 1), "web_1"]  # by the venue's number, of which each has one
names = st.sampled_from(NAMES[1:])
sides = st.sampled_from(list(Side))
states = st.sampled_from([*LIVE, OrderState.FILLED, OrderState.CANCELED])
rows = st.builds(
    lambda number, side, state, lots, is_whole: OrderRow(
        SYMBOL, NAMES[number], number, side, state, 100, 5, lots, f"n{number}", is_whole=is_whole
    ),
    st.integers(1, len(NAMES) - 1), sides, states, st.integers(0, 1), st.booleans(),
)  # fmt: skip
orders = st.builds(
    lambda intent, number, side, state, lots, sent_ns: OwnOrder(
        intent, client_id(PREFIX, intent), number, side, state, 100, 5, lots, sent_ns, 0
    ),
    numbers, st.sampled_from([-1, 1, 2, 3]), sides, st.sampled_from(list(OrderState)),
    st.integers(0, 1), st.sampled_from([0, 10_000]),
)  # fmt: skip
trades = st.builds(
    lambda number, order, name, side, lots, is_whole: TradeRow(
        SYMBOL, number, order, name, side, 100, lots, 7, FeeAsset.QUOTE, True, 1, f"n{order}",
        is_whole=is_whole,
    ),
    numbers, numbers, names | st.just(""), sides, st.integers(1, 2), st.booleans(),
)  # fmt: skip
beliefs = st.builds(
    Belief, st.just(SYMBOL), st.just(PREFIX), st.integers(-1, 1),
    st.lists(orders, max_size=2, unique_by=lambda order: order.intent_id),
    st.sampled_from([True, True, True, False]),
    st.frozensets(st.tuples(numbers, sides), max_size=6),
)  # fmt: skip
tolds = st.builds(
    Told, st.lists(rows, max_size=2) | st.none(), st.lists(rows, max_size=2),
    st.lists(names | st.sampled_from(["n1", "n2"]), max_size=2),
    st.lists(trades, max_size=1) | st.none(), st.integers(-1, 1) | st.none(), st.just(5_000),
)  # fmt: skip


def check_agreed(belief: Belief, told: Told) -> None:
    assert told.open_orders is not None
    assert told.trades is not None
    every = [*told.open_orders, *told.orders]
    ended = {row.venue_order_id for row in every if row.is_whole and row.state in OVER}
    for row in every:
        is_stranger = owner_of(row.client_id, PREFIX) is Owner.STRANGER
        assert is_stranger or row.venue_order_id in ended, "an order of ours lives"
    assert all(order.state in OVER for order in belief.orders), "dropped, and never settled"
    assert belief.is_quiet
    assert belief.position_lots == told.position_lots
    assert all((row.trade_id, row.side) in belief.booked for row in told.trades)


@settings(max_examples=3_000)
@given(belief=beliefs, told=tolds, policy=st.sampled_from(POLICIES))
def test_agreement_is_alone_and_leaves_nothing_of_ours(
    belief: Belief, told: Told, policy: Policy
) -> None:
    actions = reconcile(belief, told, policy)
    assert actions, "not even that they agree"
    if any(isinstance(action, Agreed) for action in actions):
        assert actions == [Agreed(belief.position_lots)]
        check_agreed(belief, told)


lone_rows = st.lists(rows, max_size=1)


@settings(max_examples=500)
@given(told=st.builds(
    Told, lone_rows, lone_rows, st.just([]), st.just([]), st.just(0), st.just(5_000),
), policy=st.sampled_from(POLICIES))  # fmt: skip
def test_agreement_with_nothing_believed_leaves_nothing_of_ours(
    told: Told, policy: Policy
) -> None:
    """Most of the above differ in something else, too."""
    belief = Belief(SYMBOL, PREFIX, 0, [], True, frozenset())
    if reconcile(belief, told, policy) == [Agreed(0)]:
        check_agreed(belief, told)


# -- A VENUE AND AN ENGINE ---


def blurred(told: Told, numbers: set[int]) -> Told:
    """Orders that rest, and whose rows can't be read."""
    assert told.open_orders is not None
    return replace(told, open_orders=[
        replace(row, is_whole=False, side=Side.SELL, px_ticks=0, qty_lots=0, cum_qty_lots=0)
        if row.venue_order_id in numbers else row
        for row in told.open_orders
    ])  # fmt: skip


def last_pass(it: Story, policy: Policy, unreadable: set[int]) -> tuple[Belief, Told]:
    """The first one that agrees."""
    asks: list[object] = []
    for _ in range(ROUNDS_MAX):
        it.now_ns += ROUND_NS
        it.venue.arrive(it.now_ns)
        told = blurred(it.venue.told(asks, it.since, it.now_ns), unreadable)  # type: ignore
        belief = it.engine.belief()
        actions: list[Action] = reconcile(belief, told, policy)
        if isinstance(actions[0], Agreed):
            return belief, told
        asks = list(it.engine.apply(actions, it.venue))
    raise AssertionError(actions)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 40),
       policy=st.sampled_from(POLICIES[:2]), unreadable=st.sets(st.integers(1, 12)))  # fmt: skip
def test_applied_once_a_second_pass_says_only_that_both_agree(
    seed: int, steps: int, policy: Policy, unreadable: set[int]
) -> None:
    it = story(seed, steps)
    belief, told = last_pass(it, policy, unreadable)
    check_agreed(belief, told)
    alive = [row for row in it.venue.orders.values() if row.state in LIVE]
    assert all(owner_of(row.client_id, PREFIX) is Owner.STRANGER for row in alive)
    assert it.engine.apply([Agreed(belief.position_lots)], it.venue) == []
    again = blurred(it.venue.told([], it.since, it.now_ns + ROUND_NS), unreadable)
    assert reconcile(it.engine.belief(), again, policy) == [Agreed(it.venue.position_lots)]
