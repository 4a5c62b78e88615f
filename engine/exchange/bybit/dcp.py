"""Disconnection protection (DCP): orders end when nobody who asked for it is connected. Pure.

"Set Disconnect Cancel All" and the topic "Dcp" of the v5 documents: the clock starts when the
last connection of an account that subscribed to `dcp.future` (or `dcp.spot`) has died; it stops
when such a connection is back and has sent a ping. A window takes about 10 s to take effect. The
venue's account manager must have enabled it; here setting a window does.
"""

from dataclasses import dataclass, field

from engine.exchange.instruments import Kind
from engine.exchange.terms import NEVER_NS

SECOND_NS = 1_000_000_000
APPLY_NS = 10 * SECOND_NS
PRODUCTS = {"DERIVATIVES": Kind.LINEAR, "SPOT": Kind.SPOT, "OPTIONS": None}


@dataclass(slots=True)
class Protection:
    """One account's, of one product line."""

    window_s: int = 0  # in effect; 0: never set
    next_window_s: int = 0
    next_from_ns: int = NEVER_NS
    conns: dict[int, None] = field(default_factory=dict)
    fire_ns: int = NEVER_NS


class DeadMan:
    def __init__(self) -> None:
        self._all: dict[tuple[int, str], Protection] = {}

    def set_window(self, account: int, product: str, window_s: int, t_ns: int) -> None:
        own = self._all.setdefault((account, product), Protection())
        self._apply(own, t_ns)
        own.next_window_s, own.next_from_ns = window_s, t_ns + APPLY_NS

    def windows(self, account: int, t_ns: int) -> list[tuple[str, int]]:
        """(product, seconds) of what is set, as it was asked for."""
        rows: list[tuple[str, int]] = []
        for (owner, product), own in self._all.items():
            self._apply(own, t_ns)
            if owner == account and (window_s := own.next_window_s or own.window_s):
                rows.append((product, window_s))
        return rows

    # -- CONNECTIONS ---

    def join(self, account: int, kind: Kind, conn: int) -> None:
        own = self._all.setdefault((account, _product(kind)), Protection())
        own.conns[conn] = None

    def leave(self, account: int, kind: Kind, conn: int) -> None:
        """Unsubscribed, and alive: nothing is started."""
        if own := self._all.get((account, _product(kind))):
            own.conns.pop(conn, None)

    def on_ping(self, account: int, conn: int) -> None:
        """A heartbeat of a connection that subscribed stops the clock."""
        for (owner, _), own in self._all.items():
            if owner == account and conn in own.conns:
                own.fire_ns = NEVER_NS

    def on_death(self, account: int, conn: int, t_ns: int) -> None:
        for (owner, _), own in self._all.items():
            if owner != account or conn not in own.conns:
                continue
            del own.conns[conn]
            self._apply(own, t_ns)
            if not own.conns and own.window_s:
                own.fire_ns = t_ns + own.window_s * SECOND_NS

    # -- TIME ---

    def next_due_ns(self) -> int:
        return min((own.fire_ns for own in self._all.values()), default=NEVER_NS)

    def fired(self, t_ns: int) -> list[tuple[int, Kind]]:
        """(account, product line) whose orders end now."""
        fired: list[tuple[int, Kind]] = []
        for (account, product), own in self._all.items():
            if own.fire_ns <= t_ns:
                own.fire_ns = NEVER_NS
                kind = PRODUCTS[product]
                if kind is not None:
                    fired.append((account, kind))
        return fired

    def _apply(self, own: Protection, t_ns: int) -> None:
        if own.next_from_ns <= t_ns:
            own.window_s, own.next_window_s, own.next_from_ns = own.next_window_s, 0, NEVER_NS


def _product(kind: Kind) -> str:
    return "SPOT" if kind is Kind.SPOT else "DERIVATIVES"
