"""What an address may spend: properties over random callers, in simulated time."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.budget import Attempts, Budget, Hosts
from engine.venues.base import Adapter, Urgency
from fastcore.types import Conn

S = 1_000_000_000
WEIGHT, WINDOW_S = 240, 60.0
OTHERS = (Urgency.UPKEEP, Urgency.SAFETY, Urgency.NORMAL, Urgency.SNAPSHOT)
CALLS = st.lists(
    st.tuples(
        st.integers(0, 20 * S),  # after the one before
        st.sampled_from(OTHERS),
        st.sampled_from((1, 2, 5, 20, 40)),
    ),
    max_size=80,
)


@dataclass(frozen=True)
class Sent:
    at_ns: int
    weight: int
    urgency: Urgency


def play(budget: Budget, calls: list[tuple[int, Urgency, int]]) -> list[Sent]:
    """Everyone waits for as long as he is told, one after the other."""
    now_ns, sent = 0, []
    for pause_ns, urgency, weight in calls:
        now_ns += pause_ns
        for _ in range(300):
            wait_ns = budget.wait_ns(weight, urgency, now_ns)
            if wait_ns == 0:
                break
            now_ns += wait_ns
        else:
            raise AssertionError("never gets its turn")
        budget.spend(weight, urgency, now_ns)
        sent.append(Sent(now_ns, weight, urgency))
    return sent


def heaviest(sent: list[Sent], window_ns: int) -> int:
    return max(
        (sum(b.weight for b in sent if 0 <= b.at_ns - a.at_ns < window_ns) for a in sent),
        default=0,
    )


@given(CALLS)
def test_no_window_holds_more_than_the_venue_allows(calls: Any) -> None:
    sent = play(Budget(WEIGHT), calls)
    assert heaviest(sent, 60 * S) <= WEIGHT
    # Still so for requests that arrive up to a second closer together than they left.
    assert heaviest(sent, 61 * S) <= WEIGHT


@given(CALLS)
def test_snapshots_have_at_most_a_third(calls: Any) -> None:
    sent = [one for one in play(Budget(WEIGHT), calls) if one.urgency is Urgency.SNAPSHOT]
    assert heaviest(sent, 60 * S) <= WEIGHT / 3


@given(CALLS, st.integers(1, 10))
def test_a_cancel_never_waits_for_others_and_has_room_left(calls: Any, weight: int) -> None:
    budget, now_ns = Budget(WEIGHT), 0
    for one in play(Budget(WEIGHT), calls):
        now_ns = one.at_ns
        budget.spend(one.weight, one.urgency, now_ns)
        assert budget.wait_ns(weight, Urgency.CANCEL, now_ns) == 0
        assert budget.spent(now_ns) <= WEIGHT * 0.9


@given(CALLS)
def test_safety_never_waits_for_less_urgent_calls(calls: Any) -> None:
    budget = Budget(WEIGHT)
    for _, urgency, weight in calls:
        if urgency > Urgency.SAFETY and budget.wait_ns(weight, urgency, 0) == 0:
            budget.spend(weight, urgency, 0)
    assert budget.wait_ns(20, Urgency.SAFETY, 0) == 0


@given(CALLS)
def test_clock_and_dead_man_never_wait_for_anybody_else(calls: Any) -> None:
    """Of 50 instruments a clock call was held back for 31 s, a renewal for 48 s."""
    budget = Budget(WEIGHT)
    for _, urgency, weight in calls:
        if urgency > Urgency.UPKEEP and budget.wait_ns(weight, urgency, 0) == 0:
            budget.spend(weight, urgency, 0)
    assert budget.wait_ns(20, Urgency.UPKEEP, 0) == 0


@given(CALLS, st.integers(0, 100))
def test_what_upkeep_needs_is_left_to_it_whatever_others_do(calls: Any, wanted: int) -> None:
    """It spends its part evenly, and never waits."""
    budget, now_ns, next_ns = Budget(WEIGHT), 0, 0
    budget.keep_free(wanted)
    for pause_ns, urgency, weight in calls:
        until_ns = now_ns + pause_ns
        while wanted and next_ns <= until_ns:
            now_ns = next_ns
            assert budget.wait_ns(1, Urgency.UPKEEP, now_ns) == 0
            budget.spend(1, Urgency.UPKEEP, now_ns)
            # As the window is told a second longer than it is.
            next_ns += 61 * S // wanted + S
        now_ns = until_ns
        if urgency > Urgency.UPKEEP and budget.wait_ns(weight, urgency, now_ns) == 0:
            budget.spend(weight, urgency, now_ns)


def test_start_of_fifty_instruments_holds_up_neither_clock_nor_dead_man() -> None:
    """USD-M's weights, a dead-man time that the planner lets pass (120 s), and everybody else
    asking for as much as he can, all at once. Without a share of its own upkeep waited."""
    budget, count, late_s = Budget(2_400), 50, 600
    budget.keep_free(count * 10 * 60 / 40)
    left = (
        [(Urgency.NORMAL, 20)] * 8  # fees
        + [(Urgency.SAFETY, 5)] * count * 3 + [(Urgency.SAFETY, 6)] * count * 9  # trades, passes
        + [(Urgency.SNAPSHOT, 10)] * count * 2
    )
    for second in range(late_s):
        now_ns = second * S
        for urgency, weight in list(left):
            if budget.wait_ns(weight, urgency, now_ns) == 0:
                budget.spend(weight, urgency, now_ns)
                left.remove((urgency, weight))
        upkeep = [10] * (second * count // 40 - (second - 1) * count // 40)
        for weight in [*upkeep, *[1] * (5 * (second % 30 == 0))]:
            assert budget.wait_ns(weight, Urgency.UPKEEP, now_ns) == 0, second
            budget.spend(weight, Urgency.UPKEEP, now_ns)
    assert not left


def test_what_is_kept_free_is_free_again_and_never_all() -> None:
    budget = Budget(WEIGHT)
    budget.keep_free(1_000)
    assert budget.wait_ns(108, Urgency.SAFETY, 0) == 0  # 0.9 less 0.45
    budget.spend(108, Urgency.SAFETY, 0)
    assert budget.wait_ns(1, Urgency.SAFETY, 0) > 0
    assert budget.wait_ns(108, Urgency.UPKEEP, 0) == 0
    budget.keep_free(-1_000)
    assert budget.wait_ns(84, Urgency.SAFETY, 0) == 0
    assert budget.wait_ns(85, Urgency.SAFETY, 0) > 0


def test_what_upkeep_spends_is_not_kept_free_twice() -> None:
    budget = Budget(WEIGHT)
    budget.keep_free(60)
    budget.spend(65, Urgency.UPKEEP, 0)  # 61 of a window, and the clock's 4
    assert budget.wait_ns(151, Urgency.SAFETY, 0) == 0
    assert budget.wait_ns(152, Urgency.SAFETY, 0) > 0
    budget.spend(151, Urgency.SAFETY, 70 * S)  # the window has passed: it is owed again
    assert budget.wait_ns(1, Urgency.SAFETY, 70 * S) > 0


@given(st.integers(0, 100 * S), st.integers(0, 900), st.sampled_from(list(Urgency)))
def test_retry_after_is_obeyed_to_the_nanosecond(at_ns: int, retry_s: int, who: Urgency) -> None:
    budget = Budget(WEIGHT)
    budget.obey(retry_s, at_ns)
    assert budget.wait_ns(1, who, at_ns) == retry_s * S
    if retry_s:
        assert budget.wait_ns(1, who, at_ns + retry_s * S - 1) == 1
    assert budget.wait_ns(1, who, at_ns + retry_s * S) == 0


def test_a_shorter_retry_after_ends_no_longer_one() -> None:
    budget = Budget(WEIGHT)
    budget.obey(100, 0)
    budget.obey(1, S)
    assert budget.banned_until_ns == 100 * S


@pytest.mark.parametrize(("urgency", "room"), [
    (Urgency.UPKEEP, 216), (Urgency.SAFETY, 192), (Urgency.NORMAL, 156), (Urgency.SNAPSHOT, 80),
])  # fmt: skip
def test_ceilings(urgency: Urgency, room: int) -> None:
    budget = Budget(WEIGHT)
    for _ in range(room):
        assert budget.wait_ns(1, urgency, 0) == 0
        budget.spend(1, urgency, 0)
    assert budget.wait_ns(1, urgency, 0) == 61 * S
    assert budget.wait_ns(1, Urgency.CANCEL, 0) == 0


def test_what_others_spend_from_this_address_is_counted_until_it_is_old() -> None:
    budget = Budget(WEIGHT)
    budget.spend(10, Urgency.NORMAL, 0)
    budget.learn(150, S)  # 140 of them are not ours
    assert budget.spent(S) == 150
    assert budget.wait_ns(6, Urgency.NORMAL, S) == 0
    assert budget.wait_ns(7, Urgency.NORMAL, S) == 60 * S  # our 10 are forgotten first
    assert budget.wait_ns(20, Urgency.NORMAL, S) == 61 * S
    assert budget.spent(62 * S) == 0


def test_the_venues_count_falls_when_its_minute_is_over() -> None:
    budget = Budget(WEIGHT)
    budget.learn(200, 0)
    budget.learn(3, S)
    assert budget.spent(S) == 3


def test_a_call_heavier_than_its_share_goes_when_nothing_else_was_spent() -> None:
    budget = Budget(30)
    assert budget.wait_ns(25, Urgency.NORMAL, 0) == 0
    budget.spend(1, Urgency.NORMAL, 0)
    assert budget.wait_ns(25, Urgency.NORMAL, 0) == 61 * S


def test_memory_is_bounded_however_much_is_asked() -> None:
    budget = Budget(1_000_000)
    for now_ns in range(0, 200 * S, S // 50):
        budget.spend(1, Urgency.CANCEL, now_ns)
    assert len(budget._buckets) <= 250
    assert 60 * 50 <= budget.spent(200 * S) <= 62 * 50


def test_a_short_window_forgets_sooner() -> None:
    budget = Budget(7_200, window_s=5.0)
    assert budget.weight_max == 600
    budget.spend(390, Urgency.NORMAL, 0)
    assert budget.wait_ns(1, Urgency.NORMAL, 0) == 6 * S


@pytest.mark.parametrize("arguments", [(0, 60.0), (10, 0.0)])
def test_a_budget_of_nothing_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Budget(*arguments)


# -- CONNECTIONS


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.sampled_from(list(Conn))), max_size=80))
def test_no_more_handshakes_than_the_venue_allows(calls: Any) -> None:
    attempts, now_ns, made = Attempts(10, 30.0), 0, []
    for pause_ns, kind in calls:
        now_ns += pause_ns
        while wait_ns := attempts.wait_ns(kind, now_ns):
            now_ns += wait_ns
        attempts.spend(now_ns)
        made.append(now_ns)
    assert all(sum(0 <= b - a < 30 * S for b in made) <= 10 for a in made)


def test_market_leaves_handshakes_to_the_others() -> None:
    attempts = Attempts(10, 30.0)
    for _ in range(7):
        attempts.spend(0)
    assert attempts.wait_ns(Conn.MARKET, 0) == 31 * S
    assert attempts.wait_ns(Conn.TRADE, 0) == attempts.wait_ns(Conn.USER, 0) == 0


def test_accounts_of_one_host_share() -> None:
    binance = cast(Adapter, SimpleNamespace(name="binance_usdm", weight_per_min=2_400))
    bybit = cast(Adapter, SimpleNamespace(name="bybit", weight_per_min=7_200))
    hosts = Hosts()
    one = hosts.budget("https://a.test/x", binance)
    assert one is hosts.budget("https://a.test", binance)
    assert one is hosts.budget("https://A.test.:443", binance)  # the venue counts it as one
    assert one is not hosts.budget("https://b.test", binance)
    assert one.weight_max == 2_400
    assert hosts.budget("https://c.test", bybit).weight_max == 600
    attempts = hosts.attempts("https://a.test", binance)
    assert attempts is hosts.attempts("https://a.test/", binance)
    assert attempts.wait_ns(Conn.TRADE, 0) == 0
