"""Connections of the Bybit face: what each is for, who logged on, when it was last heard of.

"Connect" of the v5 documents: a private or trade connection without ping, pong or data for
`max_active_time` (10 minutes unless the URL says otherwise, 30 s to 10 min) is cut off; it is
looked for every 30 s. The same is held against public ones.  # unverified
What the venue sends is data too, except on connections that the disconnection protection relies
on: their client must have been heard of, or a dead one that is told much would live for ever.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl

from engine.exchange.face import ConnKind
from engine.exchange.instruments import Kind
from engine.exchange.keys import Key
from engine.exchange.terms import NEVER_NS

SECOND_NS = 1_000_000_000
SCAN_NS = 30 * SECOND_NS
IDLE_S = 600
IDLE_S_MIN, IDLE_S_MAX = 30, 600
DURATION = re.compile(r"([0-9]{1,4})(s|m)", re.ASCII)


class Endpoint(Enum):
    LINEAR = "/v5/public/linear"
    SPOT = "/v5/public/spot"
    PRIVATE = "/v5/private"
    TRADE = "/v5/trade"

    @property
    def kind(self) -> ConnKind:
        if self is Endpoint.PRIVATE:
            return ConnKind.USER
        return ConnKind.TRADE if self is Endpoint.TRADE else ConnKind.MARKET

    @property
    def product(self) -> Kind:
        """Of a public one."""
        return Kind.SPOT if self is Endpoint.SPOT else Kind.LINEAR


@dataclass(slots=True, eq=False)
class Session:
    conn: int
    endpoint: Endpoint
    conn_id: str
    ip: str
    active_ns: int  # when anything last went either way
    heard_ns: int  # when the client last said anything
    idle_ns: int
    key: Key | None = None  # who logged on
    topics: dict[str, None] = field(default_factory=dict)
    args_size: int = 0  # characters of all topics
    request_ids: dict[str, None] = field(default_factory=dict)  # of a trade connection

    @property
    def account(self) -> int:
        assert self.key is not None
        return self.key.account

    @property
    def silent_since_ns(self) -> int:
        is_guarded = any(topic.startswith("dcp") for topic in self.topics)
        return self.heard_ns if is_guarded else self.active_ns


class Sessions:
    def __init__(self) -> None:
        self._all: dict[int, Session] = {}
        self.scan_ns = NEVER_NS

    def open(self, session: Session, t_ns: int) -> None:
        self._all[session.conn] = session
        if self.scan_ns == NEVER_NS:
            self.scan_ns = t_ns + SCAN_NS

    def get(self, conn: int) -> Session | None:
        return self._all.get(conn)

    def all(self) -> list[Session]:
        return list(self._all.values())

    def close(self, conn: int) -> Session | None:
        session = self._all.pop(conn, None)
        if not self._all:
            self.scan_ns = NEVER_NS
        return session

    def on_heard(self, conn: int, t_ns: int) -> None:
        if session := self._all.get(conn):
            session.active_ns = session.heard_ns = t_ns

    def on_told(self, conns: tuple[int, ...], t_ns: int) -> None:
        for conn in conns:
            if session := self._all.get(conn):
                session.active_ns = t_ns

    def idle(self, t_ns: int) -> list[Session]:
        """Those to cut off; looks only as often as the venue does."""
        if t_ns < self.scan_ns:
            return []
        self.scan_ns = t_ns + SCAN_NS
        return [own for own in self._all.values() if t_ns - own.silent_since_ns >= own.idle_ns]


def endpoint_of(target: str) -> Endpoint | None:
    path = target.partition("?")[0].rstrip("/")
    return next((endpoint for endpoint in Endpoint if endpoint.value == path), None)


def idle_ns_of(target: str) -> int:
    """`max_active_time=30s`, or `1m`; nonsense counts as nothing."""
    for name, value in parse_qsl(target.partition("?")[2], max_num_fields=None):
        if name == "max_active_time" and (match := DURATION.fullmatch(value)):
            seconds = int(match[1]) * (60 if match[2] == "m" else 1)
            return min(max(seconds, IDLE_S_MIN), IDLE_S_MAX) * SECOND_NS
    return IDLE_S * SECOND_NS
