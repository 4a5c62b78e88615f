"""What a session touches the world with: sockets, HTTP, disk. The simulator brings its own."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway.handshake import upgrade
from engine.gateway.http import AiohttpClient, Http
from engine.gateway.transport import Dial


@dataclass(frozen=True)
class Edge:
    """Defaults are the real ones."""

    dial: Dial = upgrade
    connect_http: Callable[[Path | None], Http] = AiohttpClient  # (a CA's file)
    segment_bytes: int = 16 << 20  # of a journal segment
    turn_s: float = 0.01  # between two looks at journal space and status page
    status_s: float = 0.2  # between two status pages
    timer_space_s: float = 0.0002  # between two cores' timers; each core's is due every 10 ms, too
    has_control: bool = True  # a socket through which a person may speak to the engine
    locks_dir: Path | None = field(default_factory=lambda: user_locks_dir())  # None: none


def user_locks_dir() -> Path:
    """Where all engines of this user see each other's locks, whatever their state folders are."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "tickmaker" / "locks"


REAL = Edge()


def pin(cpu: int) -> None:
    """Run this process on one core; TickmakerError when it may not."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise TickmakerError(
            f"Configuration: cpu {cpu} can't be used by this process",
            f"choose one of {allowed}, or null",
            EXIT_USAGE,
        ) from None
