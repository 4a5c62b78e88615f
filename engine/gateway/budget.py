"""What an address may ask of a venue, shared by everything that asks from it: pure.

A venue counts in windows of its own (Binance: the minute on its clock), and bans an address that
goes on after it was told to stop: then nothing can be cancelled. So the budget is stricter
than the venue: no window, wherever it begins, holds more than the venue allows. Whoever is less
urgent has a lower ceiling; what is left above it is a reserve of the more urgent ones, so nobody
less urgent can starve them. A cancel is held back only while the venue has said to stay away.

Sources: Binance "LIMITS" (REQUEST_WEIGHT per IP and minute, 429, 418 and Retry-After; 300
connections per 5 minutes per IP); Bybit v5 "Rate Limit Rules" (600 requests per 5 s per IP, 403
and ten minutes' rest; 500 connections per 5 minutes).
"""

from collections import deque

from engine.venues.base import Adapter, Urgency
from engine.venues.hosts import place_of
from fastcore.types import Conn

SECOND_NS = 1_000_000_000
# Two requests that left a window's length apart may arrive a little closer together.
JITTER_NS = SECOND_NS
BUCKETS = 240  # of a window: what is spent is remembered by the bucket, so memory is bounded
# How much of the weight all that is spent may come to before this urgency has to wait. What
# cancels need above it is theirs alone; they are never refused on account of weight.
CEILING = {Urgency.UPKEEP: 0.9, Urgency.SAFETY: 0.9, Urgency.NORMAL: 0.65, Urgency.SNAPSHOT: 0.65}
# Of the weight, what the rest leaves to upkeep in any window: so much at least, or as much as was
# told to be needed and the clock's; never so much that nobody else could do anything.
UPKEEP_SHARE_MIN = 0.1
CLOCK_SHARE = 0.02
UPKEEP_SHARE_MAX = 0.45
SNAPSHOT_SHARE = 1 / 3  # a feed that breaks again and again must not eat the rest
BACK_OFF_S_MIN = 1.0  # a venue that says "slow down" without a time
# Connections: what MARKET may use; the rest is for the two that orders depend on.
MARKET_SHARE = 0.7


class _Bucket:
    __slots__ = ("last_ns", "snapshots", "spent", "start_ns", "upkeep")

    def __init__(self, now_ns: int) -> None:
        self.start_ns = self.last_ns = now_ns
        self.spent = self.snapshots = self.upkeep = 0


class Budget:
    """Weight of one address at one venue. Times are monotonic ns, and never go back."""

    def __init__(self, weight_per_min: int, window_s: float = 60.0) -> None:
        if weight_per_min < 1 or window_s <= 0:
            raise ValueError(f"Expected a weight and a window above 0, was {weight_per_min}")
        self.weight_max = max(int(weight_per_min * window_s / 60.0), 1)
        window_ns = int(window_s * 1e9)
        self._bucket_ns = window_ns // BUCKETS
        # Nothing is forgotten early: a bucket goes when the last of it is a window old.
        self._window_ns = window_ns + min(JITTER_NS, window_ns // 5)
        self._buckets: deque[_Bucket] = deque()
        self._spent = self._snapshots = self._upkeep = 0
        self._upkeep_per_min = 0.0
        self._foreign = self._foreign_until_ns = 0  # spent by others from this address
        self.banned_until_ns = 0

    def __repr__(self) -> str:
        return f"Budget({self._spent} of {self.weight_max})"

    def spent(self, now_ns: int) -> int:
        """Weight in the window that ends now, others' from this address included."""
        self._expire(now_ns)
        return self._spent + self._foreign

    def keep_free(self, weight_per_min: float) -> None:
        """Upkeep needs so much more from now on; below 0: so much less."""
        self._upkeep_per_min += weight_per_min

    def _owed(self) -> int:
        """What upkeep may yet want in this window."""
        share = self._upkeep_per_min * self._window_ns / 60e9 / self.weight_max + CLOCK_SHARE
        share = min(max(share, UPKEEP_SHARE_MIN), UPKEEP_SHARE_MAX)
        return max(int(self.weight_max * share) - self._upkeep, 0)

    def wait_ns(self, weight: int, urgency: Urgency, now_ns: int) -> int:
        """How long until a call may go; 0: now. Whoever waited asks again."""
        self._expire(now_ns)
        wait_ns = max(0, self.banned_until_ns - now_ns)
        if urgency is Urgency.CANCEL:
            return wait_ns
        room = int(self.weight_max * CEILING[urgency])
        if urgency > Urgency.UPKEEP:
            room = min(room, int(self.weight_max * CEILING[Urgency.UPKEEP]) - self._owed())
        room = max(room, 1)
        # A call that weighs more than its whole share goes when nothing else was spent.
        wait_ns = max(wait_ns, self._until_ns(room - min(weight, room), now_ns, False))
        if urgency is Urgency.SNAPSHOT:
            share = max(int(self.weight_max * SNAPSHOT_SHARE), 1)
            wait_ns = max(wait_ns, self._until_ns(share - min(weight, share), now_ns, True))
        return wait_ns

    def spend(self, weight: int, urgency: Urgency, now_ns: int) -> None:
        """A request goes out. Its answer says nothing about whether the venue counted it."""
        self._expire(now_ns)
        if not self._buckets or now_ns - self._buckets[-1].start_ns > self._bucket_ns:
            self._buckets.append(_Bucket(now_ns))
        bucket = self._buckets[-1]
        bucket.last_ns = now_ns
        bucket.spent += weight
        self._spent += weight
        if urgency is Urgency.UPKEEP:
            bucket.upkeep += weight
            self._upkeep += weight
        if urgency is Urgency.SNAPSHOT:
            bucket.snapshots += weight
            self._snapshots += weight

    def learn(self, used_weight: int, now_ns: int) -> None:
        """The venue's own count: what of it isn't ours was spent by somebody else here."""
        self._expire(now_ns)
        self._foreign = max(0, used_weight - self._spent)
        self._foreign_until_ns = now_ns + self._window_ns

    def obey(self, retry_after_s: float, now_ns: int) -> None:
        """The venue said to stay away: nothing goes before that, not even a cancel. Who knocks
        on is banned, and for longer each time."""
        until_ns = now_ns + int(max(retry_after_s, 0.0) * 1e9)
        self.banned_until_ns = max(self.banned_until_ns, until_ns)

    def _expire(self, now_ns: int) -> None:
        while self._buckets and self._buckets[0].last_ns + self._window_ns <= now_ns:
            gone = self._buckets.popleft()
            self._spent -= gone.spent
            self._snapshots -= gone.snapshots
            self._upkeep -= gone.upkeep
        if self._foreign_until_ns <= now_ns:
            self._foreign = 0

    def _until_ns(self, allowed: int, now_ns: int, is_snapshots: bool) -> int:
        """Until no more than `allowed` stays spent."""
        spent = self._snapshots if is_snapshots else self._spent
        foreign = 0 if is_snapshots else self._foreign
        if spent + foreign <= allowed:
            return 0
        frees = [(bucket.last_ns + self._window_ns,
                  bucket.snapshots if is_snapshots else bucket.spent) for bucket in self._buckets]
        if foreign:
            frees = sorted([*frees, (self._foreign_until_ns, foreign)])
        left = spent + foreign
        for at_ns, weight in frees:
            left -= weight
            if left <= allowed:
                return max(at_ns - now_ns, 1)
        raise AssertionError("what is spent is in some bucket")


class Attempts:
    """WebSocket handshakes of one address at one venue: at most `count_max` in any window."""

    def __init__(self, count_max: int, window_s: float) -> None:
        self._max = {Conn.MARKET: max(int(count_max * MARKET_SHARE), 1), Conn.TRADE: count_max,
                     Conn.USER: count_max}
        self._window_ns = int(window_s * 1e9) + JITTER_NS
        self._times: deque[int] = deque(maxlen=count_max)

    def wait_ns(self, kind: Conn, now_ns: int) -> int:
        """How long until a handshake may begin; 0: now."""
        count = self._max[kind]
        while self._times and self._times[0] + self._window_ns <= now_ns:
            self._times.popleft()
        if len(self._times) < count:
            return 0
        return self._times[len(self._times) - count] + self._window_ns - now_ns

    def spend(self, now_ns: int) -> None:
        self._times.append(now_ns)


# By adapter name: seconds of the window in which the venue counts requests, and the connections
# that it allows in 5 minutes.
_WINDOW_S = {"bybit": 5.0}
_CONNECTIONS = {"bybit": 500}
CONNECTIONS_DEFAULT = 300
CONNECTIONS_WINDOW_S = 300.0


class Hosts:
    """Accounts at the same venue share one address, so they share what it may spend."""

    def __init__(self) -> None:
        self._budgets: dict[str, Budget] = {}
        self._attempts: dict[str, Attempts] = {}

    def budget(self, rest_url: str, adapter: Adapter) -> Budget:
        host = place_of(rest_url)
        if host not in self._budgets:
            self._budgets[host] = Budget(
                adapter.weight_per_min, _WINDOW_S.get(adapter.name, 60.0)
            )
        return self._budgets[host]

    def attempts(self, rest_url: str, adapter: Adapter) -> Attempts:
        host = place_of(rest_url)
        if host not in self._attempts:
            self._attempts[host] = Attempts(
                _CONNECTIONS.get(adapter.name, CONNECTIONS_DEFAULT), CONNECTIONS_WINDOW_S
            )
        return self._attempts[host]
