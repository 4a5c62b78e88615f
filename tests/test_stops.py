"""Stops at limit - 1, limit and limit + 1, gaps, the latch, one exit in flight at a time."""

import math
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from reference import stops as reference

from fastcore import stops as fast

MS = 1_000_000
LIMITS = {"stop_ticks": 10, "target_ticks": 6, "hold_ms_max": 500, "slippage_ticks": 2}
NONE, LOSS, TARGET, TIME = 0, 1, 2, 3
BUY, SELL, REDUCE_ONLY_IOC = 0, 1, 6
Make = Callable[..., fast.Stops]


@pytest.fixture(params=[fast.Stops, reference.Stops], ids=["fast", "reference"])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda **changes: request.param({**LIMITS, **changes})


@pytest.mark.parametrize(
    ("gain", "reason"),
    [(-11, LOSS), (-10, LOSS), (-9, NONE), (5, NONE), (6, TARGET), (7, TARGET), (-500, LOSS)],
)
def test_the_limit_itself_breaches_and_a_tick_less_does_not(
    make: Make, gain: int, reason: int
) -> None:
    bid = 1000 + gain
    due = make().due(4, 1000.0, 0, bid, bid + 50, 0)
    assert due == (reason, (SELL, bid - 2, 4, REDUCE_ONLY_IOC) if reason else None)
    ask = 1000 - gain
    due = make().due(-4, 1000.0, 0, ask - 50, ask, 0)
    assert due == (reason, (BUY, ask + 2, 4, REDUCE_ONLY_IOC) if reason else None)


@pytest.mark.parametrize(
    ("held_ns", "reason"), [(500 * MS - 1, NONE), (500 * MS, TIME), (500 * MS + 1, TIME)]
)
def test_time_is_up_at_the_limit(make: Make, held_ns: int, reason: int) -> None:
    assert make().due(1, 1000.0, 7, 1000, 1001, 7 + held_ns)[0] == reason


def test_a_loss_comes_before_time_and_a_target_before_time(make: Make) -> None:
    assert make().due(1, 1000.0, 0, 990, 991, 500 * MS)[0] == LOSS
    assert make().due(1, 1000.0, 0, 1006, 1007, 500 * MS)[0] == TARGET


@pytest.mark.parametrize("key", ["stop_ticks", "target_ticks", "hold_ms_max"])
def test_zero_turns_an_exit_off(make: Make, key: str) -> None:
    only = {"stop_ticks": 0, "target_ticks": 0, "hold_ms_max": 0, key: LIMITS[key]}
    breach = {"stop_ticks": 500, "target_ticks": 1500, "hold_ms_max": 1000}
    for name, bid in breach.items():
        due = make(**only).due(1, 1000.0, 0, bid, bid + 1, 500 * MS if name == key else 0)
        assert (due[0] != NONE) == (name == key)
    off = dict.fromkeys(breach, 0)
    assert make(**off).due(1, 1000.0, 0, 1, 2, 10**15) == (NONE, None)


def test_an_average_entry_is_measured_with_its_rounding_in_the_exits_favour(make: Make) -> None:
    assert make().due(3, 1000.1 - 1e-9, 0, 990, 991, 0)[0] == LOSS
    assert make().due(3, 1000.0 - 1e-9, 0, 990, 991, 0)[0] == LOSS
    assert make().due(3, 1000.0 - 1e-3, 0, 990, 991, 0)[0] == NONE
    assert make().due(3, 1000.0 + 1e-9, 0, 1006, 1007, 0)[0] == TARGET


def test_an_entry_that_is_no_number_exits(make: Make) -> None:
    assert make().due(1, math.nan, 0, 1000, 1001, 0)[0] == LOSS


def test_a_side_without_a_price_waits_for_one(make: Make) -> None:
    stops = make()
    assert stops.due(1, 1000.0, 0, 0, 1001, 10**12) == (NONE, None)
    assert stops.due(-1, 1000.0, 0, 999, 0, 10**12) == (NONE, None)
    assert stops.due(1, 1000.0, 0, 900, 1001, 0)[0] == LOSS
    assert stops.due(1, 1000.0, 0, 0, 1001, 0) == (LOSS, None)


def test_a_sell_limit_stays_above_zero(make: Make) -> None:
    assert make(slippage_ticks=50).due(1, 100.0, 0, 3, 4, 0)[1] == (SELL, 1, 1, REDUCE_ONLY_IOC)


def test_a_price_that_comes_back_does_not_save_the_trade(make: Make) -> None:
    stops = make()
    assert stops.due(5, 1000.0, 1, 990, 991, 2)[0] == LOSS
    assert stops.due(5, 1000.0, 1, 1000, 1001, 3) == (LOSS, (SELL, 998, 5, REDUCE_ONLY_IOC))


def test_one_exit_is_in_flight_at_a_time_and_the_rest_goes_after_it(make: Make) -> None:
    stops = make()
    stops.due(5, 1000.0, 1, 990, 991, 2)
    stops.exit_sent()
    assert stops.due(5, 1000.0, 1, 980, 981, 3) == (LOSS, None)
    assert stops.due(2, 1000.0, 1, 980, 981, 4) == (LOSS, None)
    stops.exit_done()
    assert stops.due(2, 1000.0, 1, 980, 981, 5) == (LOSS, (SELL, 978, 2, REDUCE_ONLY_IOC))
    stops.exit_sent()
    stops.exit_done()
    assert stops.due(0, 0.0, 0, 980, 981, 6) == (NONE, None)
    assert stops.to_dict() == {"loss": 2, "target": 0, "time": 0}


def test_a_new_trade_starts_without_the_latch_but_waits_for_the_old_exit(make: Make) -> None:
    stops = make()
    stops.due(5, 1000.0, 1, 990, 991, 2)
    stops.exit_sent()
    assert stops.due(5, 990.0, 3, 990, 991, 3) == (NONE, None)  # flat in between, unseen
    assert stops.due(-5, 1000.0, 3, 1009, 1010, 3) == (LOSS, None)
    stops.exit_done()
    assert stops.due(5, 1000.0, 3, 999, 1000, 3) == (NONE, None)  # turned


def test_sending_what_is_not_due_is_refused(make: Make) -> None:
    stops = make()
    with pytest.raises(ValueError, match="No exit is due"):
        stops.exit_sent()
    stops.due(5, 1000.0, 1, 990, 991, 2)
    stops.exit_sent()
    with pytest.raises(ValueError, match="in flight"):
        stops.exit_sent()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "stops.stop_ticks is required; 0 turns it off"),
        (
            {**LIMITS, "stop_tick": 1},
            "Unknown key 'stop_tick' in stops; did you mean 'stop_ticks'",
        ),
        ({**LIMITS, "hold_ms_max": -1}, "stops.hold_ms_max to be a whole number"),
        ({**LIMITS, "hold_ms_max": 10**13}, "stops.hold_ms_max to be a whole number"),
        ({**LIMITS, "stop_ticks": 1.5}, "stops.stop_ticks"),
        ({**LIMITS, "stop_ticks": True}, "stops.stop_ticks"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fast.Stops(settings)
    assert set(LIMITS) == set(fast.SETTINGS)


class StopsAgree(RuleBasedStateMachine):
    """Ticks, fills, exits sent and done in any order: both agree, one exit at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.stops, self.twin = fast.Stops(LIMITS), reference.Stops(LIMITS)
        self.position, self.entry, self.entry_ns, self.now = 0, 0.0, 0, 1
        self.is_due = False

    @rule(lots=st.integers(-5, 5), entry=st.integers(9900, 10100))
    def trade(self, lots: int, entry: int) -> None:
        if lots * self.position <= 0:
            self.entry_ns = self.now
        self.position, self.entry = lots, entry / 10

    @rule(bid=st.integers(980, 1020), spread=st.integers(1, 4), ms=st.integers(0, 300))
    def tick(self, bid: int, spread: int, ms: int) -> None:
        self.now += ms * MS
        arguments = (self.position, self.entry, self.entry_ns, bid, bid + spread, self.now)
        due = self.stops.due(*arguments)
        assert due == self.twin.due(*arguments)
        self.is_due = due[1] is not None
        if due[1] is not None:
            side, _, lots, _ = due[1]
            assert lots == abs(self.position)
            assert side == (SELL if self.position > 0 else BUY)
            assert not self.stops.is_exit_open

    @precondition(lambda self: self.is_due)
    @rule()
    def send(self) -> None:
        self.is_due = False
        self.stops.exit_sent()
        self.twin.exit_sent()

    @rule()
    def done(self) -> None:
        self.stops.exit_done()
        self.twin.exit_done()

    @invariant()
    def same(self) -> None:
        assert self.stops.is_exit_open == self.twin.is_exit_open
        assert self.stops.reason == self.twin.reason
        assert self.stops.to_dict() == self.twin.to_dict()


TestStopsAgree = StopsAgree.TestCase
TestStopsAgree.settings = settings(max_examples=60, stateful_step_count=25)
