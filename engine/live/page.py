"""What the status page shows of a session, and what `status` answers."""

from collections.abc import Sequence
from typing import Any

from engine import clock
from engine.live.account import LiveAccount
from engine.live.instrument import LiveInstrument
from engine.live.stage import Stage
from fastcore.core_stats import halt_names

FULL_MAX = 4  # instruments that the page shows in full; of more, the others in a line each
PAGE_BYTES_EACH = 512  # of an instrument's line
_LINE = (
    "position_lots", "fills", "orders_sent", "cancels_sent", "late", "gaps", "malformed",
    "nonsense", "bid_px_ticks", "ask_px_ticks",
)  # fmt: skip


def page_bytes(count: int, least: int) -> int:
    """Size of the page of `count` instruments."""
    return least * min(count, FULL_MAX) + PAGE_BYTES_EACH * count


def full(instrument: LiveInstrument) -> dict[str, Any]:
    told: dict[str, Any] = instrument.core.stats(clock.monotonic_ns())
    return told | {"account": instrument.config.account, "params": instrument.params}


def line(instrument: LiveInstrument) -> dict[str, Any]:
    numbers = instrument.core.numbers()
    return {
        "symbol": instrument.symbol,
        "state": halt_names(numbers["halt_bits"]),
        "own": len(numbers["own"]),
        **{name: numbers[name] for name in _LINE},
    }


class Page:
    """The page's content. Of many instruments only some lines are renewed at each look: numbers
    of two hundred cores at once would be a stall."""

    PER_LOOK = 16

    def __init__(
        self, stage: Stage, accounts: Sequence[LiveAccount], instruments: Sequence[LiveInstrument]
    ) -> None:
        self._stage = stage
        self._accounts = accounts
        self._instruments = instruments
        self._lines: dict[str, dict[str, Any]] = {}
        self._next = 0

    def content(self) -> dict[str, Any]:
        shown = {instrument.key: full(instrument) for instrument in self._instruments[:FULL_MAX]}
        rest = self._instruments[FULL_MAX:]
        for _ in range(min(self.PER_LOOK, len(rest))):
            instrument = rest[self._next % len(rest)]
            self._lines[instrument.key] = line(instrument)
            self._next += 1
        return {
            "now_ns": clock.monotonic_ns(),
            "instruments": shown | self._lines,
            "accounts": {account.name: _account(account) for account in self._accounts},
            "edge": self._stage.hot.stats(),
            "is_stopping": self._stage.stopping.is_set(),
        }


def _account(account: LiveAccount) -> dict[str, Any]:
    return {
        "reconnects": account.reconnects,
        "snapshots": account.snapshots.fetched,
        "rounds": account.reconciler.rounds,
        "divergences": account.reconciler.divergences,
    }
