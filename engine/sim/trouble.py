"""Faults of the wire that last: what is refused, stalled, lost or cut up until when."""

from engine.sim.loop import VirtualLoop


class Trouble:
    """Kinds of connection by name, or "http"."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        # In force until so long.
        self._refused_ns: dict[str, int] = {}
        self._stalled_ns: dict[str, int] = {}
        self._lost_ns: dict[str, int] = {}  # of HTTP: "request", "answer"
        self._split_ns = 0
        self._split_share = 0.0

    def _is_in_force(self, fault: dict[str, int], what: str) -> bool:
        return fault.get(what, 0) > self.loop.monotonic_ns()

    def refuse(self, what: str, for_ns: int) -> None:
        """No new connection (by kind), or no request ("http"), for so long."""
        self._refused_ns[what] = self.loop.monotonic_ns() + for_ns

    def stall(self, what: str, for_ns: int) -> None:
        """Whatever is sent, either way, arrives after that; order is kept."""
        self._stalled_ns[what] = self.loop.monotonic_ns() + for_ns

    def lose_http(self, which: str, for_ns: int) -> None:
        """The "request" (no effect) or the "answer" (after the effect) never arrives."""
        self._lost_ns[which] = self.loop.monotonic_ns() + for_ns

    def split(self, share: float, for_ns: int) -> None:
        """So many of the messages to the engine arrive in two pieces."""
        self._split_share = share
        self._split_ns = self.loop.monotonic_ns() + for_ns
