"""One WebSocket of the simulated network, and how late things are on it."""

import socket
from collections import deque
from dataclasses import dataclass

from engine.exchange.face import ConnKind
from engine.sim import frames

US, MS = 1_000, 1_000_000


@dataclass
class Weather:
    """One way of every message: `base_ns` plus an exponential draw of mean `jitter_ns`."""

    base_ns: int = 400 * US
    jitter_ns: int = 100 * US
    split_share: float = 0.0  # of the messages to the engine that arrive in two pieces
    split_ns: int = 1 * MS  # the second piece is late by up to this


class Link:
    """One WebSocket: the venue's half of a socket pair, and what is on its way."""

    def __init__(self, conn: int, kind: ConnKind, ours: socket.socket, fd: int) -> None:
        self.conn = conn
        self.kind = kind
        self.ours = ours
        self.fd = fd  # of the engine's half
        self.reader = frames.Reader()
        self.up: deque[tuple[int, bytes]] = deque()  # (arrival, bytes); b"" is the end
        self.down: deque[tuple[int, bytes]] = deque()
        self.is_up_waiting = self.is_down_waiting = False  # a timer is set
        self.is_dead = False  # half-open: what is sent goes nowhere
        self.unacked_ns = 0  # when the engine first sent into a dead link
        self.is_told = False  # the face knows that it is gone
        self.is_over = False  # the engine's half is closed or at its end

    def last_ns(self, queue: deque[tuple[int, bytes]]) -> int:
        return queue[-1][0] if queue else 0
