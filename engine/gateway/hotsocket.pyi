import socket as _socket
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from engine.gateway.hotread import HotRead
from engine.gateway.hotrole import Role
from engine.gateway.tls import TlsEnds
from fastcore.latency import Histogram

class Cold(IntEnum):
    CLOSED = 1
    SNAPSHOT = 2
    STATE = 3
    FLAT = 4

class HotLoop(HotRead):
    polls: int
    away: Histogram

    def __init__(self, others_every: int = 4, timer_space_ns: int = ...) -> None: ...
    def add_role(
        self, kind: int, numbers: Sequence[int], slots: int = 2, buffer_bytes: int = 0
    ) -> Role: ...
    def poll(self, tries: int) -> bool: ...
    def due_in_s(self, least_s: float, most_s: float) -> float: ...
    # (what, role.index for CLOSED and else the core's number, slot for CLOSED and else -1)
    def take_cold(self) -> list[tuple[Cold, int, int]]: ...
    def attach(
        self, role: Role, slot: int, sock: _socket.socket, leftover: bytes = b"",
        tls: TlsEnds | None = None,
    ) -> None: ...  # fmt: skip
    def detach(self, role: Role, slot: int) -> None: ...
    def ping(self, role: Role, slot: int, payload: bytes = b"") -> bool: ...
    def say(self, role: Role, slot: int, text: str) -> bool: ...
    def stats(self) -> dict[str, Any]: ...

def tick_capsule() -> object: ...
def ns_per_tick() -> float: ...
def set_virtual_time(monotonic_ns: int, wall_ns: int) -> None: ...
