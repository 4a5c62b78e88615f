"""The whole local exchange as one state machine: `Face.step(event, t_ns) -> list[Action]`.

A face speaks one venue's protocol over one Core (core.py). It opens no socket and reads no clock:
server.py moves these events and actions over real sockets, engine/sim over memory in virtual time,
and faults.py stands between either of them and the face. Connections and requests are numbers that
the mover chooses; a number is used once.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol

from engine.exchange.core import Core

# -- EVENTS: what clients and time do ---


class HttpRequest(NamedTuple):
    """`path`, `query` and `body` raw, as they were signed; header names in lower case."""

    request: int
    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]
    ip: str = "127.0.0.1"


class WsOpen(NamedTuple):
    """A WebSocket handshake; `target` is its path with the query. Answered at once by WsAccept or
    WsRefuse, before anything else of the connection."""

    conn: int
    target: str
    headers: Mapping[str, str]
    ip: str = "127.0.0.1"


class WsText(NamedTuple):
    """One whole message, text or (decoded, bad bytes replaced) binary."""

    conn: int
    text: str


class WsPing(NamedTuple):
    """From a client: it counts as a message at some venues. The mover has ponged already."""

    conn: int


class WsPong(NamedTuple):
    conn: int


class WsClosed(NamedTuple):
    """Gone, for whatever reason, WsClose and WsDrop included. Nothing more may be sent to it."""

    conn: int


class Tick(NamedTuple):
    """Time passed: run what is due (see `next_due_ns`)."""


Event = HttpRequest | WsOpen | WsText | WsPing | WsPong | WsClosed | Tick

# -- ACTIONS: what the mover must do, in order ---


class HttpAnswer(NamedTuple):
    request: int
    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


class HttpDrop(NamedTuple):
    """The TCP connection of this request ends without an answer (a fault: no venue's own)."""

    request: int


class WsAccept(NamedTuple):
    conn: int


class WsRefuse(NamedTuple):
    """The handshake's answer is this HTTP response instead."""

    conn: int
    status: int
    body: str


class WsSend(NamedTuple):
    """One text message to each of `conns`."""

    conns: tuple[int, ...]
    text: str


class WsPingOut(NamedTuple):
    conn: int
    payload: str = ""


class WsClose(NamedTuple):
    """A close frame, then the end."""

    conn: int
    code: int
    reason: str


class WsDrop(NamedTuple):
    """The TCP connection ends without a word."""

    conn: int


class WsHalfOpen(NamedTuple):
    """A fault: the peer is gone and nobody knows. From now on the mover neither reads from the
    connection (no pongs either) nor writes to it; the TCP connection stays until WsDrop."""

    conn: int


class Log(NamedTuple):
    """For the operator; never holds a key. `is_bug`: ours, the process will end with a 1."""

    is_error: bool
    text: str
    is_bug: bool = False


Action = (
    HttpAnswer | HttpDrop | WsAccept | WsRefuse | WsSend | WsPingOut | WsClose | WsDrop
    | WsHalfOpen | Log
)  # fmt: skip


class ConnKind(Enum):
    """What a connection is for, in every venue's terms: faults choose by it."""

    MARKET = "market"
    USER = "user"
    TRADE = "trade"


class Trouble(Enum):
    """Answers that a venue in trouble gives; the face knows its own words for each."""

    UNKNOWN = "unknown"  # fate unknown: Binance -1007, Bybit 10000
    UNAVAILABLE = "unavailable"  # 503, the request was not done
    INTERNAL = "internal"  # 5xx of the machine in front
    THROTTLED = "throttled"  # 429 with Retry-After, or the venue's like
    BANNED = "banned"  # 418 with Retry-After, or the venue's like
    TOO_LARGE = "too large"  # 413: more than the mover reads
    MALFORMED = "malformed"  # 400: no HTTP request, as far as the mover can tell


class Face(Protocol):
    """One venue over one core."""

    core: Core
    skew_ns: int  # added to every time that leaves, and to "now" when timestamps are judged

    @property
    def name(self) -> str:
        """binance_usdm, binance_spot or bybit."""

    def step(self, event: Event, t_ns: int) -> list[Action]:
        """Apply one event at UTC time `t_ns`; never raises for anything that a client can send."""

    def next_due_ns(self) -> int:
        """When the next Tick has something to do; NEVER_NS: not by itself."""

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        """`{"rest_url": ..., "ws_url": {kind of stream: url, ...}}` of the ready line."""

    def kind_of(self, target: str) -> ConnKind:
        """What a connection opened at `target` is for."""

    def trouble(self, event: HttpRequest | WsText, kind: Trouble, retry_s: int) -> list[Action]:
        """The answer to `event` of a venue in this trouble, in the venue's own form."""

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        """Fault: what keeps user streams alive runs out now (listen keys, authentications)."""

    def end_of_age(self, t_ns: int) -> list[Action]:
        """Fault: every connection has reached the venue's age limit, with its parting words."""
