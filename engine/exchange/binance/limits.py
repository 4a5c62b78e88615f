"""Rate limits of Binance's venues: fixed windows, weight per address, orders per account.

"Limits" of the spot and USD-M general information: counters start anew on fixed boundaries of
UTC; over the limit is 429 with Retry-After; an address that goes on is banned, 418, for two
minutes up to three days, longer each time. Pure: time comes in with each call.
"""

from dataclasses import dataclass, field, replace

from engine.exchange.binance.errors import VenueError

SECOND_NS = 1_000_000_000
MS = 1_000_000
UNIT_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
REFUSALS_TO_BAN = 10  # requests after a 429, in one window, that make it a ban  # unverified
BAN_S_MIN = 120
BAN_S_MAX = 3 * 86_400
BAN_MEMORY_S = 86_400  # a ban this long after the last one starts short again  # unverified
ADDRESSES_MAX = 4_096  # remembered at once


@dataclass(frozen=True)
class Limit:
    """One row of `rateLimits`."""

    kind: str  # REQUEST_WEIGHT, ORDERS, RAW_REQUESTS
    interval: str
    interval_num: int
    limit: int

    @property
    def window_ns(self) -> int:
        return UNIT_S[self.interval] * self.interval_num * SECOND_NS

    @property
    def words(self) -> str:
        """As error texts have it: `10 SECOND`."""
        return f"{self.interval_num} {self.interval}"

    @property
    def suffix(self) -> str:
        """As header names have it: `10S`."""
        return f"{self.interval_num}{self.interval[0]}"

    def scaled(self, factor: int) -> "Limit":
        return replace(self, limit=self.limit * factor)

    def json(self, count: int | None = None) -> str:
        text = (
            f'{{"rateLimitType":"{self.kind}","interval":"{self.interval}",'
            f'"intervalNum":{self.interval_num},"limit":{self.limit}'
        )
        return f"{text}}}" if count is None else f'{text},"count":{count}}}'


@dataclass(slots=True)
class Window:
    """How much of one limit is used in the window that is running."""

    limit: Limit
    length_ns: int
    most: int
    is_weight: bool
    json_head: str  # of the row, up to the count
    number: int = -1
    count: int = 0

    @classmethod
    def of(cls, limit: Limit) -> "Window":
        is_weight = limit.kind == "REQUEST_WEIGHT"
        return cls(limit, limit.window_ns, limit.limit, is_weight, limit.json()[:-1] + ',"count":')

    def used(self, t_ns: int) -> int:
        number = t_ns // self.length_ns
        if number != self.number:
            self.number, self.count = number, 0
        return self.count

    def left_s(self, t_ns: int) -> int:
        """Whole seconds until it starts anew, at least one."""
        return -(-(self.length_ns - t_ns % self.length_ns) // SECOND_NS) or 1

    def json(self, t_ns: int) -> str:
        return f"{self.json_head}{self.used(t_ns)}}}"


@dataclass(slots=True)
class Address:
    """What one address has used, and its bans."""

    windows: tuple[Window, ...]  # weight first
    connects: Window
    refusals: int = 0
    refusals_number: int = -1
    banned_until_ns: int = 0
    bans: int = 0


@dataclass(frozen=True)
class LimitTexts:
    """A venue's words for both -1003, by str.format: limit and window; time in epoch ms."""

    throttled: str
    banned: str


WEIGHT_TEXTS = LimitTexts(
    "Too much request weight used; current limit is {limit} request weight per {window}. Please"
    " use WebSocket Streams for live updates to avoid polling the API.",
    "Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams"
    " for live updates to avoid bans.",
)


@dataclass
class RateLimits:
    """`limits` in the venue's own order of `rateLimits`; `connects`: attempts of WebSockets. The
    windows of an account stand from the shortest to the longest."""

    limits: tuple[Limit, ...]
    connects: Limit
    texts: LimitTexts = WEIGHT_TEXTS
    _addresses: dict[str, Address] = field(default_factory=dict)
    _accounts: dict[int, tuple[Window, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of_address = [limit for limit in self.limits if limit.kind != "ORDERS"]
        self._of_address = sorted(of_address, key=lambda limit: limit.kind != "REQUEST_WEIGHT")
        of_account = [limit for limit in self.limits if limit.kind == "ORDERS"]
        self._of_account = sorted(of_account, key=lambda limit: limit.window_ns)
        self.weight = self._of_address[0]
        self.info_json = "[" + ",".join(limit.json() for limit in self.limits) + "]"

    # -- WEIGHT ---

    def charge(self, ip: str, weight: int, t_ns: int, now_ns: int) -> None:
        """One request of `weight`; VenueError 429 or 418. `now_ns`: the time to speak of."""
        address = self._address(ip)
        if t_ns < address.banned_until_ns:
            raise self._banned(address, t_ns, now_ns)
        for window in address.windows:
            cost = weight if window.is_weight else 1
            if window.used(t_ns) + cost > window.most and cost:
                self._refuse(address, window, t_ns, now_ns)
        for window in address.windows:
            window.count += weight if window.is_weight else 1

    def refund(self, ip: str, weight: int) -> None:
        """A request that the venue gives for nothing when it succeeds."""
        window = self._address(ip).windows[0]
        window.count = max(0, window.count - weight)

    def charge_connect(self, ip: str, t_ns: int, now_ns: int) -> None:
        """One attempt to open a WebSocket."""
        address = self._address(ip)
        if t_ns < address.banned_until_ns:
            raise self._banned(address, t_ns, now_ns)
        if address.connects.used(t_ns) >= address.connects.limit.limit:
            self._refuse(address, address.connects, t_ns, now_ns)
        address.connects.count += 1

    def _refuse(self, address: Address, window: Window, t_ns: int, now_ns: int) -> None:
        if address.refusals_number != window.number:
            address.refusals_number, address.refusals = window.number, 0
        address.refusals += 1
        if address.refusals > REFUSALS_TO_BAN:
            if t_ns - address.banned_until_ns > BAN_MEMORY_S * SECOND_NS:
                address.bans = 0
            ban_s = min(BAN_S_MIN << min(address.bans, 20), BAN_S_MAX)
            address.bans, address.refusals = address.bans + 1, 0
            address.banned_until_ns = t_ns + ban_s * SECOND_NS
            raise self._banned(address, t_ns, now_ns)
        raise throttled(window.limit, window.left_s(t_ns), now_ns, self.texts)

    def _banned(self, address: Address, t_ns: int, now_ns: int) -> VenueError:
        left_ns = address.banned_until_ns - t_ns
        return banned(-(-left_ns // SECOND_NS), now_ns, self.texts)

    # -- ORDERS ---

    def charge_orders(self, account: int, costs: int | tuple[int, ...], t_ns: int) -> None:
        """New orders, in every window or in each; VenueError -1015, and nothing is counted, when
        they are too many."""
        windows = self._windows(account)
        if isinstance(costs, int):
            costs = (costs,) * len(windows)
        for window, cost in zip(windows, costs, strict=True):
            if window.used(t_ns) + cost > window.most:
                limit = window.limit
                raise VenueError(
                    -1015, limit.limit, limit.words, retry_after_s=window.left_s(t_ns)
                )
        for window, cost in zip(windows, costs, strict=True):
            window.count += cost

    def give_back(self, account: int, places: int, t_ns: int) -> None:
        """Spot: an order that fills, or was refused, no longer counts; never below nothing."""
        for window in self._windows(account):
            window.count = max(0, window.used(t_ns) - places)

    # -- TELLING ---

    def headers(self, ip: str, account: int, t_ns: int) -> tuple[tuple[str, str], ...]:
        """Of a REST answer; `account` -1 where no order was counted."""
        weight = self._address(ip).windows[0]
        rows = [(f"X-MBX-USED-WEIGHT-{weight.limit.suffix}", str(weight.used(t_ns)))]
        if account >= 0:
            rows += [
                (f"X-MBX-ORDER-COUNT-{window.limit.suffix}", str(window.used(t_ns)))
                for window in self._windows(account)
            ]
        return tuple(rows)

    def rows_json(self, ip: str, account: int, t_ns: int) -> str:
        """`rateLimits` of a WebSocket API answer; `account` -1 where no order was counted."""
        rows = [self._address(ip).windows[0].json(t_ns)]
        if account >= 0:
            rows = [window.json(t_ns) for window in self._windows(account)] + rows
        return f"[{','.join(rows)}]"

    def orders_json(self, account: int, t_ns: int, with_count: bool = True) -> str:
        """The order limits alone, as `rateLimit/order` tells them."""
        windows = self._windows(account)
        rows = [w.json(t_ns) if with_count else w.limit.json() for w in windows]
        return f"[{','.join(rows)}]"

    # -- INTERNAL ---

    def _address(self, ip: str) -> Address:
        address = self._addresses.get(ip)
        if address is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.pop(next(iter(self._addresses)))
            windows = tuple(Window.of(limit) for limit in self._of_address)
            address = self._addresses[ip] = Address(windows, Window.of(self.connects))
        return address

    def _windows(self, account: int) -> tuple[Window, ...]:
        windows = self._accounts.get(account)
        if windows is None:
            windows = tuple(Window.of(limit) for limit in self._of_account)
            self._accounts[account] = windows
        return windows


# -- ANSWERS ---


def throttled(limit: Limit, retry_after_s: int, now_ns: int, texts: LimitTexts) -> VenueError:
    """429, with the time of the next try for the WebSocket API (epoch ms)."""
    if limit.kind == "REQUEST_WEIGHT":
        text = texts.throttled.format(limit=limit.limit, window=limit.words)
    else:
        text = f"Too many requests; current limit is {limit.limit} requests per {limit.words}."
    data = _retry_json(retry_after_s, now_ns)
    return VenueError(-1003, text=text, ws_data=data, retry_after_s=retry_after_s)


def banned(retry_after_s: int, now_ns: int, texts: LimitTexts) -> VenueError:
    """418 until a time told in epoch ms."""
    text = texts.banned.format(until_ms=now_ns // MS + retry_after_s * 1_000)
    data = _retry_json(retry_after_s, now_ns)
    return VenueError(-1003, text=text, status=418, ws_data=data, retry_after_s=retry_after_s)


def _retry_json(retry_after_s: int, now_ns: int) -> str:
    now_ms = now_ns // MS
    return f'{{"serverTime":{now_ms},"retryAfter":{now_ms + retry_after_s * 1_000}}}'
