"""How long to wait before the next try: pure, so that a test sees every schedule."""

from random import Random

BASE_S = 0.05  # the first wait: a venue that merely restarted a gateway is back at once
CAP_S = 10.0  # a venue allows few connection attempts (Binance: 300 in 5 minutes per address)
PATIENT_ATTEMPT = 8  # backoff_s() is at its cap from here
STABLE_S = 30.0  # a connection that lived this long starts again from the first wait


def backoff_s(attempt: int, rng: Random, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait after the failed try number `attempt` (0-based).

    Exponential with jitter over its upper half: never nothing, never in step with other clients.
    """
    if attempt < 0:
        raise ValueError(f"attempt is {attempt}, not 0 or more")
    ceiling_s = min(cap_s, base_s * 2.0 ** min(attempt, 32))
    return ceiling_s * (0.5 + 0.5 * rng.random())


def next_attempt(attempt: int, lived_s: float) -> int:
    """The attempt number after a connection that lived `lived_s` was lost."""
    return 0 if lived_s >= STABLE_S else attempt + 1


class Spaced:
    """Lets something happen at growing distances, for it harms others when it doesn't help.

    After a rest as long as the longest distance it is as if new.
    """

    def __init__(self, first_s: float = 1.0, cap_s: float = 600.0) -> None:
        self._first_ns = int(first_s * 1e9)
        self._cap_ns = int(cap_s * 1e9)
        self._step_ns = self._first_ns
        self._next_ns = 0

    def may(self, now_ns: int) -> bool:
        """Whether it may now; True counts as done."""
        if now_ns < self._next_ns:
            return False
        if now_ns - self._next_ns > self._cap_ns:
            self._step_ns = self._first_ns
        self._next_ns = now_ns + self._step_ns
        self._step_ns = min(2 * self._step_ns, self._cap_ns)
        return True
