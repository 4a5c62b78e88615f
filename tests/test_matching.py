"""The simulated venue: each rule by itself, then any history on it and on its reference twin."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore import matching as fast
from fastcore.book import Book
from fastcore.types import Conn, EventKind, ExecType, OrderState, Side, Verb
from tests.reference import matching as reference

ENTRY_NS = 1_000
RESPONSE_NS = 500
VENUES = [fast.SimVenue, reference.SimVenue]


def a_book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Book:
    book = Book()
    assert book.apply_snapshot_lists(1, bids, asks) == 0
    return book


@pytest.fixture(params=VENUES, ids=["fast", "reference"])
def venue(request: pytest.FixtureRequest) -> Any:
    book = a_book([(100, 5), (99, 7)], [(102, 4), (103, 6)])
    return request.param(
        book, "0.1", "0.001", entry_latency_ns=ENTRY_NS, response_latency_ns=RESPONSE_NS
    )


def place(venue: Any, intent_id: int, side: int, px: int, qty: int, **more: bool) -> None:
    """Send at 0; arrives at ENTRY_NS."""
    venue.send(Verb.PLACE, intent_id, 0, side, px, qty, **more)
    venue.run_to(ENTRY_NS + RESPONSE_NS)


def fills_of(answers: list[Any]) -> list[tuple[int, int, int, int]]:
    """(intent_id, px, qty, is_maker) of each fill."""
    return [
        (event["intent_id"], event["last_px_ticks"], event["last_qty_lots"], event["is_maker"])
        for _, kind, event in answers
        if kind == EventKind.ORDER and event["exec_type"] == ExecType.TRADE
    ]


def test_place_answers_after_both_latencies(venue: Any) -> None:
    venue.send(Verb.PLACE, 1, 0, Side.BUY, 100, 3)
    assert venue.run_to(ENTRY_NS + RESPONSE_NS - 1) == []
    reply, order = venue.run_to(ENTRY_NS + RESPONSE_NS)
    assert reply[:2] == (Conn.TRADE, EventKind.REPLY)
    assert reply[2]["status"] == 200
    assert order[:2] == (Conn.USER, EventKind.ORDER)
    assert (order[2]["exec_type"], order[2]["status"]) == (ExecType.NEW, OrderState.NEW)
    assert order[2]["exch_ts_ns"] == ENTRY_NS


def test_order_joins_behind_the_visible_quantity(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    assert venue.ahead_lots(1) == 5


def test_trade_at_price_advances_then_fills_with_what_is_beyond(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.trade(100, 4, Side.SELL, 5_000)
    assert venue.ahead_lots(1) == 1
    venue.trade(100, 3, Side.SELL, 6_000)
    assert fills_of(venue.run_to(10_000)) == [(1, 100, 2, 1)]
    venue.trade(100, 9, Side.SELL, 11_000)
    assert fills_of(venue.run_to(20_000)) == [(1, 100, 1, 1)]
    assert venue.position_lots == 3


def test_trade_of_the_same_side_or_off_the_book_does_nothing(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.trade(100, 50, Side.BUY, 5_000)
    venue.trade(99, 50, Side.SELL, 5_000, False)
    venue.trade(101, 50, Side.SELL, 5_000)
    assert venue.ahead_lots(1) == 5
    assert fills_of(venue.run_to(10_000)) == []


def test_trade_through_the_price_fills_whole_at_our_price(venue: Any) -> None:
    place(venue, 1, Side.SELL, 102, 3)
    venue.trade(103, 1, Side.BUY, 5_000)
    assert fills_of(venue.run_to(10_000)) == [(1, 102, 3, 1)]
    assert venue.position_lots == -3


def test_own_order_ahead_at_the_same_price_is_served_first(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 2)
    place(venue, 2, Side.BUY, 100, 2)
    venue.trade(100, 8, Side.SELL, 5_000)
    assert fills_of(venue.run_to(10_000)) == [(1, 100, 2, 1), (2, 100, 1, 1)]


def test_own_fill_ahead_leaves_less_of_the_trade_for_the_queue_behind(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 2)
    venue.book.apply_depth_lists(2, 2, 1, [(100, 9)], [])
    venue.book_moved(2_000)
    venue.send(Verb.PLACE, 2, 2_000, Side.BUY, 100, 2)
    venue.run_to(4_000)
    assert (venue.ahead_lots(1), venue.ahead_lots(2)) == (5, 9)
    venue.trade(100, 7, Side.SELL, 5_000)
    assert fills_of(venue.run_to(10_000)) == [(1, 100, 2, 1)]
    assert venue.ahead_lots(2) == 4


def test_decrease_of_the_level_moves_the_queue_only_where_it_must(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.book.apply_depth_lists(2, 2, 1, [(100, 9)], [])
    venue.book_moved(5_000)
    assert venue.ahead_lots(1) == 5
    venue.book.apply_depth_lists(3, 3, 2, [(100, 2)], [])
    venue.book_moved(6_000)
    assert venue.ahead_lots(1) == 2
    venue.book.apply_depth_lists(4, 4, 3, [(100, 0)], [])
    venue.book_moved(7_000)
    assert venue.ahead_lots(1) == 0


@pytest.mark.parametrize("ask_px", [100, 99], ids=["at", "through"])
def test_opposite_touch_that_reaches_our_price_fills(venue: Any, ask_px: int) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.book.apply_depth_lists(2, 2, 1, [(100, 0), (99, 0), (98, 4)], [(ask_px, 1)])
    venue.book_moved(5_000)
    assert fills_of(venue.run_to(10_000)) == [(1, 100, 3, 1)]


def test_empty_book_says_nothing(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.book.clear()
    venue.book_moved(5_000)
    assert venue.ahead_lots(1) == 5


def test_post_only_that_would_take_is_refused_without_an_order_event(venue: Any) -> None:
    venue.send(Verb.PLACE, 1, 0, Side.BUY, 102, 3)
    answers = venue.run_to(10_000)
    assert [(conn, event["status"], event["error_code"]) for conn, _, event in answers] == [
        (Conn.TRADE, 400, -5022)
    ]
    assert venue.ahead_lots(1) is None


def test_ioc_takes_the_visible_touch_and_the_rest_expires(venue: Any) -> None:
    venue.send(Verb.PLACE, 1, 0, Side.BUY, 103, 9, post_only=False)
    answers = venue.run_to(10_000)
    assert fills_of(answers) == [(1, 102, 4, 0)]
    assert answers[-1][2]["status"] == OrderState.EXPIRED
    assert answers[-1][2]["cum_qty_lots"] == 4


def test_ioc_away_from_the_touch_expires(venue: Any) -> None:
    venue.send(Verb.PLACE, 1, 0, Side.SELL, 101, 9, post_only=False)
    assert [a[2]["status"] for a in venue.run_to(10_000)] == [
        200,
        OrderState.NEW,
        OrderState.EXPIRED,
    ]


def test_fees_are_exact_in_1e8_of_the_quote(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.trade(99, 1, Side.SELL, 5_000)
    (fill,) = venue.run_to(10_000)
    # 10.0 x 0.003 x 2 bps = 0.000006
    assert fill[2]["fee_e8"] == 600


@pytest.mark.parametrize(("ppm", "fee_e8"), [(50, 1), (49, 0), (-50, -1)])
@pytest.mark.parametrize("kind", VENUES, ids=["fast", "reference"])
def test_fee_rounds_half_away_from_zero(kind: Any, ppm: int, fee_e8: int) -> None:
    sim = kind(
        a_book([(1, 1)], [(9, 1)]),
        "0.01",
        "0.01",
        entry_latency_ns=0,
        response_latency_ns=0,
        maker_fee_ppm=ppm,
    )
    sim.send(Verb.PLACE, 1, 0, Side.BUY, 1, 1)
    sim.run_to(0)
    sim.trade(1, 2, Side.SELL, 1)
    assert sim.run_to(1)[0][2]["fee_e8"] == fee_e8


def test_cancel_then_status_tell_the_truth(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.send(Verb.CANCEL, 1, 5_000)
    venue.send(Verb.CANCEL, 1, 5_001)
    venue.send(Verb.STATUS, 1, 5_002)
    venue.send(Verb.STATUS, 77, 5_003)
    venue.trade(100, 50, Side.SELL, 5_000)  # on the tape before the cancel arrives
    answers = [event for _, kind, event in venue.run_to(10_000) if kind == EventKind.REPLY]
    told = [(event["status"], event["error_code"], event["order_status"]) for event in answers]
    assert told == [
        (400, -2011, OrderState.FREE),
        (400, -2011, OrderState.FREE),
        (200, 0, OrderState.FILLED),
        (400, -2013, OrderState.FREE),
    ]


def test_cancel_in_time_takes_the_order_off(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    venue.send(Verb.CANCEL, 1, 5_000)
    reply, order = venue.run_to(10_000)
    assert (reply[2]["status"], reply[2]["order_status"]) == (200, OrderState.CANCELED)
    assert order[2]["exec_type"] == ExecType.CANCELED
    venue.trade(99, 50, Side.SELL, 11_000)
    assert venue.run_to(20_000) == []


def test_reduce_only_needs_a_position_to_reduce(venue: Any) -> None:
    venue.send(Verb.PLACE, 1, 0, Side.SELL, 101, 3, reduce_only=True)
    assert venue.run_to(2_000)[0][2]["error_code"] == -2022
    place(venue, 2, Side.BUY, 100, 3)
    venue.trade(99, 1, Side.SELL, 2_500)
    venue.run_to(3_500)
    venue.send(Verb.PLACE, 3, 4_000, Side.SELL, 102, 3, reduce_only=True)
    assert venue.run_to(9_000)[0][2]["status"] == 200


def test_less_at_the_same_price_keeps_the_queue_and_a_new_price_loses_it(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 6)
    venue.trade(100, 2, Side.SELL, 3_000)
    before = venue.ahead_lots(1)
    venue.send(Verb.MODIFY, 1, 4_000, px_ticks=100, qty_lots=2)
    answers = venue.run_to(9_000)
    assert answers[0][2]["px_ticks"] == 100
    assert answers[1][2]["exec_type"] == ExecType.AMENDMENT
    assert venue.ahead_lots(1) == before
    venue.send(Verb.MODIFY, 1, 9_000, px_ticks=99, qty_lots=2)
    venue.run_to(19_000)
    assert venue.ahead_lots(1) == venue.book.qty_at(Side.BUY, 99)


def test_post_only_amended_to_a_price_that_takes_is_canceled_without_an_error(
    venue: Any,
) -> None:
    place(venue, 1, Side.BUY, 100, 6)
    venue.send(Verb.MODIFY, 1, 4_000, px_ticks=102, qty_lots=6)
    (_, _, reply), (_, _, event) = venue.run_to(9_000)
    assert (reply["status"], reply["order_status"]) == (200, OrderState.CANCELED)
    assert event["exec_type"] == ExecType.CANCELED


def test_intent_in_use_is_refused(venue: Any) -> None:
    place(venue, 1, Side.BUY, 100, 3)
    for intent_id in (1, 257):
        venue.send(Verb.PLACE, intent_id, 2_000, Side.BUY, 99, 3)
    codes = [event["error_code"] for _, _, event in venue.run_to(9_000)]
    assert codes == [-4116, -2025]


def test_full_queue_of_verbs_is_an_error() -> None:
    sim = fast.SimVenue(a_book([], []), "0.1", "0.1", entry_latency_ns=1, response_latency_ns=1)
    for intent_id in range(1, 1_025):
        sim.send(Verb.STATUS, intent_id, 0)
    assert not sim.is_overflown
    with pytest.raises(OverflowError):
        sim.send(Verb.STATUS, 1_025, 0)
    assert sim.is_overflown


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"entry_latency_ns": -1}, "latency"),
        ({"response_latency_ns": -1}, "latency"),
        ({"maker_fee_ppm": 100_001}, "fee"),
    ],
)
def test_bad_parameters_are_refused(bad: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        fast.SimVenue(
            Book(), "0.1", "0.1", **({"entry_latency_ns": 0, "response_latency_ns": 0} | bad)
        )


PX = st.integers(95, 106)
QTY = st.integers(0, 9)
ACTIONS = st.one_of(
    st.tuples(
        st.just("place"), st.integers(0, 1), PX, st.integers(1, 6), st.booleans(), st.booleans()
    ),
    st.tuples(st.just("modify"), st.integers(1, 8), PX, st.integers(1, 6)),
    st.tuples(st.just("cancel"), st.integers(1, 8)),
    st.tuples(st.just("status"), st.integers(1, 8)),
    st.tuples(st.just("trade"), PX, st.integers(1, 12), st.integers(0, 1)),
    st.tuples(st.just("depth"), st.integers(0, 1), PX, QTY),
    st.tuples(st.just("best"), PX, st.integers(1, 9), st.integers(1, 3), st.integers(1, 9)),
    st.tuples(st.just("clear")),
)


class _History:
    """One venue over its own book, told the same things as the other."""

    def __init__(self, kind: Any) -> None:
        self.book = a_book([(100, 5), (99, 7), (97, 2)], [(101, 4), (103, 6)])
        self.venue = kind(
            self.book,
            "0.01",
            "0.00001",
            entry_latency_ns=30,
            response_latency_ns=20,
            maker_fee_ppm=-15,
            taker_fee_ppm=430,
        )
        self.intent_id = 0
        self.update_id = 1

    def act(self, action: tuple[Any, ...], now_ns: int) -> list[Any]:
        answers: list[Any] = self.venue.run_to(now_ns)
        what = action[0]
        if what == "place":
            self.intent_id += 1
            _, side, px, qty, post_only, reduce_only = action
            self.venue.send(
                Verb.PLACE, self.intent_id, now_ns, side, px, qty, post_only, reduce_only
            )
        elif what == "modify":
            _, intent_id, px, qty = action
            self.venue.send(Verb.MODIFY, intent_id, now_ns, px_ticks=px, qty_lots=qty)
        elif what in ("cancel", "status"):
            self.venue.send(Verb[what.upper()], action[1], now_ns)
        elif what == "trade":
            self.venue.trade(*action[1:], now_ns)
        else:
            self._move_book(action)
            self.venue.book_moved(now_ns)
        self.venue.check()
        return answers

    def _move_book(self, action: tuple[Any, ...]) -> None:
        self.update_id += 1
        if action[0] == "clear":
            self.book.clear()
        elif action[0] == "depth":
            sides: tuple[list[Any], list[Any]] = ([], [])
            sides[action[1]].append(action[2:])
            self.book.apply_depth_lists(self.update_id, self.update_id, self.update_id - 1, *sides)
        else:
            _, bid_px, bid_qty, spread, ask_qty = action
            self.book.apply_best_values(self.update_id, bid_px, bid_qty, bid_px + spread, ask_qty)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ACTIONS, st.integers(0, 40)), max_size=60))
def test_any_history_is_the_same_on_both(history: list[Any]) -> None:
    pair = [_History(kind) for kind in VENUES]
    now_ns = 0
    for action, wait_ns in history:
        now_ns += wait_ns
        told = [one.act(action, now_ns) for one in pair]
        assert told[0] == told[1]
    told = [one.venue.run_to(now_ns + 1_000) for one in pair]
    assert told[0] == told[1]
    assert pair[0].venue.position_lots == pair[1].venue.position_lots
    assert pair[0].venue.fills == pair[1].venue.fills
