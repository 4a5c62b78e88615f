"""Signatures of the gateway's cold side (branch conns); this file goes when the code is there.

Wiring (session):
    hosts = Hosts()                                   # one per process
    budget, attempts = hosts.budget(a.rest_url, adapter), hosts.attempts(a.rest_url, adapter)
    rest = RestClient(adapter, a.rest_url, budget, rng=rng, ca_file=a.ca_file, connect=edge.connect_http)
    await rest.open()
    clocks = ClockSync(rest, adapter, apply=lambda offset_ns: [hot.clock(n, offset_ns) for n in numbers], rng=rng, emit=emit)
    await clocks.sync(); ...; tasks.append(create_task(clocks.keep()))
    link = Link(a.name, adapter, rest, hot, transport, attempts, rng, emit, on_fault)
    user = Keeper.user(link, role, doubt=...); trade = Keeper.trade(link, role); market = Keeper.market(link, role, instruments, copies=a.feeds, doubt=...)
    await user.connect(); ... ; user.start()          # start-up connects once, start() keeps it up from then on
    on cold CLOSED (role_index, slot): keeper_of[role_index].on_closed(slot)
    on cold STATE of a core with Halt.USER_STREAM in bits: user.on_user_halt()   # drops + reconnects if it is up
    on cold SNAPSHOT of core n: snapshots.want(n)
"""
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar
T = TypeVar("T")
Emit = Callable[..., None]

# -- http.py
class HttpReply(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]                        # case-insensitive (multidict.CIMultiDict)
class Http(Protocol):
    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", timeout_s: float = 5.0) -> HttpReply: ...
    async def close(self) -> None: ...
# edge.py: connect_http: Callable[[Path | None], Http] = AiohttpClient   (the argument: ca_file)

# -- budget.py (pure)
class Budget:
    banned_until_ns: int
    def __init__(self, weight_per_min: int, window_s: float = 60.0) -> None: ...
    def wait_ns(self, weight: int, urgency: Urgency, now_ns: int) -> int: ...     # 0: now
    def spend(self, weight: int, urgency: Urgency, now_ns: int) -> None: ...
    def learn(self, used_weight: int, now_ns: int) -> None: ...
    def obey(self, retry_after_s: float, now_ns: int) -> None: ...                # 429, 418, Bybit's 403
    def spent(self, now_ns: int) -> int: ...
class Attempts:                                                                   # WebSocket handshakes of an address
    def wait_ns(self, kind: Conn, now_ns: int) -> int: ...
    def spend(self, now_ns: int) -> None: ...
class Hosts:
    def budget(self, rest_url: str, adapter: Adapter) -> Budget: ...
    def attempts(self, rest_url: str, adapter: Adapter) -> Attempts: ...

# -- rest.py
class VenueError(TickmakerError):
    failure: Failure                                  # .status .code .retry_after_s also as properties
class UnreachableError(TickmakerError): ...           # no answer; what was asked may be done unless call.may_repeat
class RestClient:
    utc_ns: Callable[[], int]                         # venue's time; ClockSync sets it
    on_clock_refused: Callable[[], Awaitable[None]] | None   # ClockSync sets it; a refused timestamp is tried once more after it
    def __init__(self, adapter: Adapter, base_url: str, budget: Budget, *, rng: Random, ca_file: Path | None = None, connect: Callable[[Path | None], Http] = ..., utc_ns: Callable[[], int] = ...) -> None: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def call(self, call: Call[T], *, tries: int | None = None, timeout_s: float | None = None) -> T: ...
    async def raw(self, call: Call[Any], *, tries: int | None = None, timeout_s: float | None = None) -> bytes: ...   # body as it came, unread

# -- clocksync.py
class ClockSync:
    offset_ns: int                                    # venue's UTC less monotonic, once sync() returned
    def __init__(self, rest: RestClient, adapter: Adapter, apply: Callable[[int], None], *, rng: Random, emit: Emit) -> None: ...
    async def sync(self) -> None: ...                 # measure and apply; TickmakerError
    async def keep(self) -> None: ...                 # every 30 s, for ever
    async def clear(self, is_halted: Callable[[], bool]) -> None: ...   # HALT_CLOCK: measure until it is gone

# -- keeper.py
class Link(NamedTuple):
    account: str
    adapter: Adapter
    rest: RestClient
    hot: HotLoop
    transport: Transport
    attempts: Attempts
    rng: Random
    emit: Emit
    on_fault: Callable[[BaseException], None]
class Keeper:
    reconnects: int
    lost_ns: int | None                               # monotonic: when the role was last found wholly down (TRADE: `nothing on its way`)
    @classmethod
    def market(cls, link: Link, role: Role, instruments: Sequence[Instrument], *, copies: int = 1, on_change: Callable[[], None] = ..., doubt: Callable[[bool], None] = ...) -> Keeper: ...
    @classmethod
    def trade(cls, link: Link, role: Role, *, on_change=..., doubt=...) -> Keeper: ...
    @classmethod
    def user(cls, link: Link, role: Role, *, on_change=..., doubt=...) -> Keeper: ...
    # on_change(): some slot came up, or the role went down (look at role.is_open); doubt(True/False): set/clear HALT_LINK of its cores
    async def connect(self) -> None: ...              # start-up: `copies` slots, one try; TickmakerError
    def start(self) -> None: ...                      # keep it up from now on (reconnect, liveness, age limit, token)
    def on_closed(self, slot: int) -> None: ...
    def on_user_halt(self) -> None: ...
    def drop(self, why: str) -> None: ...             # of no use: close every slot, connect anew
    async def close(self) -> None: ...                # stop keeping; sockets stay (session detaches)

# -- liveness.py
class MarketWatch:                                    # acked-but-silent: one per MARKET role
    def __init__(self, link: Link, keeper: Keeper, instruments: Mapping[int, Instrument], doubt: Callable[[int, bool], None]) -> None: ...
    async def keep(self) -> None: ...                 # for ever; needs Adapter.best (see contract5 CHANGES)

# -- market.py
class Snapshots:                                      # of every instrument of an account
    fetched: int
    last_error: str
    def __init__(self, link: Link) -> None: ...
    def add(self, number: int, instrument: Instrument, keeper: Keeper) -> None: ...
    def want(self, number: int) -> None: ...          # the core wants one, or a resubscription: until it doesn't
    async def close(self) -> None: ...

# -- account_calls.py
class AccountCalls:
    def __init__(self, rest: RestClient, adapter: Adapter, instruments: Sequence[Instrument], *, rng: Random) -> None: ...
    async def open_orders(self, instrument: Instrument) -> list[OrderRow]: ...            # every page, conditional ones too
    async def trades_since(self, instrument: Instrument, since_ns: int) -> list[TradeRow]: ...   # venue's UTC; oldest first, all pages
    async def positions(self) -> list[PositionRow]: ...
    async def balances(self) -> list[BalanceRow]: ...
    async def order(self, instrument: Instrument, client_id: str) -> OrderRow | None: ...
    async def order_by_id(self, instrument: Instrument, order_text: str) -> OrderRow | None: ...
    async def cancel_ours(self, instrument: Instrument, is_ours: Callable[[OrderRow], bool], timeout_s: float) -> int: ...   # cancel and prove; how many were seen. TickmakerError: not proved
    async def cancel_rows(self, instrument: Instrument, rows: Sequence[OrderRow]) -> None: ...   # one try, no proof
    async def prove_none_open(self, instrument: Instrument, is_ours: Callable[[OrderRow], bool]) -> int: ...   # how many are (0: proved)

# -- deadman.py
class DeadMan:
    def __init__(self, rest: RestClient, adapter: Adapter, instruments: Sequence[Instrument], timeout_s: int, condition: Callable[[bool], None], *, rng: Random, emit: Emit) -> None: ...   # condition(True): HALT_DEAD_MAN on, of every core of the account
    async def arm(self) -> None: ...                  # start-up: until confirmed; TickmakerError
    async def keep(self) -> None: ...                 # renews for ever
    def on_user(self, is_up: bool) -> None: ...       # Bybit: the switch hangs on the user stream
    async def disarm(self) -> None: ...               # ordered shutdown, after orders are proved gone

# -- venue_watch.py
class VenueWatch:
    def __init__(self, rest: RestClient, adapter: Adapter, instruments: Mapping[int, Instrument], condition: Callable[[int, bool], None], on_filters: Callable[[int, Instrument], None], *, rng: Random, emit: Emit) -> None: ...
    async def keep(self) -> None: ...
