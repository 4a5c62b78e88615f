"""Waiting times between tries."""

from itertools import pairwise
from random import Random

import pytest

from engine.gateway.reconnect import BASE_S, CAP_S, STABLE_S, Spaced, backoff_s, next_attempt


def test_waits_double_up_to_the_cap_within_their_jitter() -> None:
    rng = Random(1)
    for attempt in range(40):
        ceiling_s = min(CAP_S, BASE_S * 2**attempt)
        for _ in range(50):
            assert ceiling_s / 2 <= backoff_s(attempt, rng) <= ceiling_s


def test_same_seed_same_waits_other_seed_other_waits() -> None:
    waits = [[backoff_s(n, rng) for n in range(8)] for rng in (Random(1), Random(1), Random(2))]
    assert waits[0] == waits[1] != waits[2]


def test_negative_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="attempt"):
        backoff_s(-1, Random(1))


def test_a_stable_connection_starts_over_a_flapping_one_does_not() -> None:
    assert next_attempt(5, STABLE_S) == 0
    assert next_attempt(5, STABLE_S - 0.1) == 6


def test_what_is_spaced_grows_rarer_and_is_new_after_a_rest() -> None:
    second = 1_000_000_000
    spaced = Spaced(first_s=1.0, cap_s=4.0)
    done = [tenth for tenth in range(300) if spaced.may(tenth * second // 10)]
    assert done[:5] == [0, 10, 30, 70, 110]  # at 1, 2, 4, 4 s
    assert all(b - a == 40 for a, b in pairwise(done[3:]))
    rested = done[-1] + 40 + 41
    assert spaced.may(rested * second // 10)
    assert not spaced.may((rested + 9) * second // 10)
    assert spaced.may((rested + 10) * second // 10)
