"""Bybit v5's rate limits: rolling seconds per account and endpoint, and the address's.

"Rate Limit" of the v5 documents. Over an endpoint's limit: retCode 10006, HTTP 200. Over 600
requests in 5 seconds: HTTP 403 for ten minutes. Orders of a batch count one by one. Pure.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.exchange.instruments import Kind

SECOND_NS = 1_000_000_000
IP_REQUESTS_MAX = 600
IP_WINDOW_NS = 5 * SECOND_NS
IP_BAN_NS = 600 * SECOND_NS
CONNS_MAX = 500
CONNS_WINDOW_NS = 300 * SECOND_NS
TRADE_REQUESTS_MAX = 3_000  # a second and address, on trade connections

# Requests a second: (linear, spot); the lowest tier's.
ORDER_RATES = {
    "/v5/order/create": (10, 20),
    "/v5/order/amend": (10, 10),
    "/v5/order/cancel": (10, 20),
    "/v5/order/cancel-all": (10, 20),
    "/v5/order/create-batch": (10, 20),
    "/v5/order/amend-batch": (10, 20),
    "/v5/order/cancel-batch": (10, 20),
}
RATES = {
    "/v5/order/disconnected-cancel-all": 5,
    "/v5/order/realtime": 50,
    "/v5/order/history": 50,
    "/v5/execution/list": 50,
    "/v5/position/list": 50,
    "/v5/position/set-leverage": 10,
    "/v5/position/switch-mode": 10,
    "/v5/account/wallet-balance": 50,
    "/v5/account/info": 50,
    "/v5/account/set-margin-mode": 5,  # unverified
    "/v5/account/fee-rate": 5,
    "/v5/account/query-dcp-info": 50,
    "/v5/asset/coin/query-info": 5,
    "/v5/user/query-api": 10,
    "/v5/user/delete-api": 5,
    "/v5/user/delete-sub-api": 5,
    "/v5/user/update-api": 5,
    "/v5/user/update-sub-api": 5,
}


@dataclass(frozen=True)
class LimitRules:
    """Every limit `factor` times the venue's. Without `is_on` nothing is ever refused."""

    factor: int = 1
    is_on: bool = True


class Quota(NamedTuple):
    """What X-Bapi-Limit headers say."""

    limit: int
    left: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class _Window:
    """Times of what was let through in the last `span_ns`."""

    __slots__ = ("span_ns", "times")

    def __init__(self, span_ns: int) -> None:
        self.span_ns = span_ns
        self.times: deque[int] = deque()

    def charge(self, t_ns: int, limit: int) -> bool:
        while self.times and self.times[0] <= t_ns - self.span_ns:
            self.times.popleft()
        if len(self.times) >= limit:
            return False
        self.times.append(t_ns)
        return True


@dataclass
class _Address:
    requests: _Window = field(default_factory=lambda: _Window(IP_WINDOW_NS))
    conns: _Window = field(default_factory=lambda: _Window(CONNS_WINDOW_NS))
    trades: _Window = field(default_factory=lambda: _Window(SECOND_NS))
    banned_until_ns: int = 0


class Limits:
    """All counters of one exchange."""

    def __init__(self, rules: LimitRules) -> None:
        self._rules = rules
        self._accounts: dict[tuple[int, str, Kind | None], _Window] = {}
        self._addresses: dict[str, _Address] = {}

    # -- ACCOUNTS ---

    def rate_of(self, path: str, kind: Kind | None) -> int:
        """0: this endpoint has none."""
        if path in ORDER_RATES:
            return ORDER_RATES[path][kind is Kind.SPOT] * self._rules.factor
        return RATES.get(path, 0) * self._rules.factor

    def charge(
        self, account: int, path: str, kind: Kind | None, t_ns: int, now_ms: int
    ) -> tuple[bool, Quota | None]:
        """Whether one more may pass, and what to tell; None: nothing to tell."""
        limit = self.rate_of(path, kind)
        if not limit:
            return True, None
        if not self._rules.is_on:
            return True, Quota(limit, limit - 1, now_ms)
        own = kind if path in ORDER_RATES else None
        window = self._accounts.setdefault((account, path, own), _Window(SECOND_NS))
        is_allowed = window.charge(t_ns, limit)
        wait_ns = 0 if is_allowed else window.times[0] + SECOND_NS - t_ns
        left = limit - len(window.times)
        return is_allowed, Quota(limit, left, now_ms + -(-wait_ns // 1_000_000))

    # -- ADDRESSES ---

    def is_banned(self, ip: str, t_ns: int) -> bool:
        """Count one HTTP request of `ip`; True: answer 403."""
        if not self._rules.is_on:
            return False
        address = self._addresses.setdefault(ip, _Address())
        if t_ns < address.banned_until_ns:
            return True
        if address.requests.charge(t_ns, IP_REQUESTS_MAX * self._rules.factor):
            return False
        address.banned_until_ns = t_ns + IP_BAN_NS
        address.requests.times.clear()
        return True

    def may_connect(self, ip: str, t_ns: int) -> bool:
        if not self._rules.is_on:
            return True
        return self._addresses.setdefault(ip, _Address()).conns.charge(
            t_ns, CONNS_MAX * self._rules.factor
        )

    def may_trade(self, ip: str, t_ns: int) -> bool:
        """Count one message on a trade connection."""
        if not self._rules.is_on:
            return True
        address = self._addresses.setdefault(ip, _Address())
        return address.trades.charge(t_ns, TRADE_REQUESTS_MAX * self._rules.factor)
