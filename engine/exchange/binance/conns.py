"""Connections of a Binance face: what each is for, pings, age, and how fast its client talks.

"Websocket market streams" of spot and USD-M: the server pings, a client that doesn't pong is cut
off, a connection lives 24 hours, and one that says too much in a second is disconnected.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.exchange.face import ConnKind
from engine.exchange.keys import Key
from engine.exchange.terms import NEVER_NS

SECOND_NS = 1_000_000_000
AGE_NS_MAX = 24 * 3_600 * SECOND_NS


@dataclass(frozen=True)
class ConnRules:
    """`messages_max`: a second, pings and pongs counted; of market and user connections. Of the
    WebSocket API only pings and pongs are counted."""

    ping_every_ns: int
    pong_within_ns: int
    messages_max: int
    streams_max: int
    connect_weight: int  # of a WebSocket API connection
    age_ns_max: int = AGE_NS_MAX


@dataclass(slots=True, eq=False)
class Conn:
    """`state`: the venue's own, of a user connection."""

    number: int
    kind: ConnKind
    ip: str
    opened_ns: int
    ping_due_ns: int
    pong_ns: int  # when a ping was last answered
    awaits_pong: bool = False
    is_combined: bool = False
    names: dict[str, None] = field(default_factory=dict)  # streams, in the order asked for
    returns_limits: bool = True
    session: Key | None = None
    session_ns: int = 0  # logged on at
    second: int = -1
    messages: int = 0
    state: Any = None


class ConnTable:
    """Every open connection by its number."""

    def __init__(self, rules: ConnRules) -> None:
        self.rules = rules
        self._conns: dict[int, Conn] = {}
        self._due_ns = NEVER_NS

    def __iter__(self) -> Iterator[Conn]:
        return iter(list(self._conns.values()))

    def get(self, number: int) -> Conn | None:
        return self._conns.get(number)

    def open(self, number: int, kind: ConnKind, ip: str, t_ns: int) -> Conn:
        conn = Conn(number, kind, ip, t_ns, t_ns + self.rules.ping_every_ns, t_ns)
        self._conns[number] = conn
        self._due_ns = min(self._due_ns, self._due_of(conn))
        return conn

    def close(self, number: int) -> Conn | None:
        return self._conns.pop(number, None)

    def is_talking_too_much(self, conn: Conn, t_ns: int) -> bool:
        """Count one message of a client; True when its connection must end. Requests of the
        WebSocket API cost weight instead and are not asked about here."""
        second = t_ns // SECOND_NS
        if second != conn.second:
            conn.second, conn.messages = second, 0
        conn.messages += 1
        return conn.messages > self.rules.messages_max

    def pong(self, conn: Conn, t_ns: int) -> None:
        """A pong that nobody asked for doesn't keep a connection alive."""
        if conn.awaits_pong:
            conn.pong_ns, conn.awaits_pong = t_ns, False

    # -- TIME ---

    def next_due_ns(self) -> int:
        return self._due_ns

    def due(self, t_ns: int) -> tuple[list[Conn], list[Conn], list[Conn]]:
        """(to ping, without a pong for too long, too old) at `t_ns`."""
        ping: list[Conn] = []
        silent: list[Conn] = []
        old: list[Conn] = []
        if t_ns < self._due_ns:
            return ping, silent, old
        for conn in self._conns.values():
            if t_ns - conn.opened_ns >= self.rules.age_ns_max:
                old.append(conn)
            elif t_ns - conn.pong_ns >= self.rules.pong_within_ns:
                silent.append(conn)
            elif t_ns >= conn.ping_due_ns:
                ping.append(conn)
                conn.awaits_pong = True
                conn.ping_due_ns = t_ns + self.rules.ping_every_ns
        gone = {conn.number for conn in (*silent, *old)}
        left = (conn for conn in self._conns.values() if conn.number not in gone)
        self._due_ns = min(map(self._due_of, left), default=NEVER_NS)
        return ping, silent, old

    def _due_of(self, conn: Conn) -> int:
        return min(
            conn.ping_due_ns,
            conn.pong_ns + self.rules.pong_within_ns,
            conn.opened_ns + self.rules.age_ns_max,
        )
