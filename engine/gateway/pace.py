"""What one account may ask of each kind in a second: pure.

A venue that counts an account's calls of each kind in a rolling second refuses what comes sooner,
cancels too. So whoever asks is given a place in the queue, first come first served, and waits for
it: asking anyway brings nothing but a refusal, and the next try is later still. Others may use the
same account (orders over TRADE, a person), so a refusal can come all the same: it holds its kind.

Source: Bybit v5 "Rate Limit Rules": rolling second per UID and endpoint; a batch counts as many as
it holds, and has a limit apart from the single call's.
"""

from collections import deque

from engine.venues.base import Limit

# Two requests that left a second apart may arrive a little closer together.
WINDOW_NS = 1_000_000_000 + 100_000_000


class _Kind:
    __slots__ = ("held_until_ns", "per_s", "times")

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self.times: deque[int] = deque(maxlen=per_s)  # when each may go, oldest first
        self.held_until_ns = 0


class Pace:
    """Of one account. Times are monotonic ns, and never go back. `factor` times the venue's limits
    hold at a local exchange whose `--limit-factor` is that."""

    def __init__(self, factor: int = 1) -> None:
        self._factor = factor
        self._kinds: dict[str, _Kind] = {}

    def _kind(self, limit: Limit) -> _Kind:
        if limit.name not in self._kinds:
            self._kinds[limit.name] = _Kind(limit.per_s * self._factor)
        return self._kinds[limit.name]

    def take(self, limit: Limit, now_ns: int) -> int:
        """A place for `limit.count` of its kind, kept from now on; how long until it comes."""
        kind = self._kind(limit)
        count = min(limit.count, kind.per_s)  # more than fit go when nothing else went
        at_ns = max(now_ns, kind.held_until_ns, kind.times[-1] if kind.times else 0)
        too_many = len(kind.times) + count - kind.per_s
        if too_many > 0:
            at_ns = max(at_ns, kind.times[too_many - 1] + WINDOW_NS)
        kind.times.extend([at_ns] * count)
        return at_ns - now_ns

    def hold(self, limit: Limit, wait_s: float, now_ns: int) -> None:
        """The venue refused one: none of this kind before that."""
        kind = self._kind(limit)
        kind.held_until_ns = max(kind.held_until_ns, now_ns + int(wait_s * 1e9))
