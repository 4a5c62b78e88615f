"""What the status page shows of a session, and what `status` answers."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from engine import clock
from engine.live.account import LiveAccount
from engine.live.instrument import LiveInstrument
from engine.live.stage import Stage
from fastcore.core_stats import halt_names

FULL_MAX = 4  # instruments that the page shows in full; of more, the others in a line each
PAGE_BYTES_EACH = 512  # of an instrument's line
HEDGE_BYTES = 4096  # of a hedge
_BRIEF = (
    "own", "position_lots", "fills", "orders_sent", "cancels_sent", "late", "gaps", "malformed",
    "nonsense",
)  # fmt: skip

_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def page_bytes(count: int, least: int, hedges: int = 0) -> int:
    """Size of the page of `count` instruments and so many hedges."""
    return least * min(count, FULL_MAX) + PAGE_BYTES_EACH * count + HEDGE_BYTES * hedges


def full(instrument: LiveInstrument) -> dict[str, Any]:
    told: dict[str, Any] = instrument.core.stats(clock.monotonic_ns())
    return told | {"account": instrument.config.account, "params": instrument.params}


def line(instrument: LiveInstrument) -> dict[str, Any]:
    core = instrument.core
    bits, *counts = core.brief()
    _, _, _, bid_px_ticks, _, ask_px_ticks, _ = core.market()
    return {
        "symbol": instrument.symbol, "state": halt_names(bits) if bits else [],
        **dict(zip(_BRIEF, counts, strict=True)),
        "bid_px_ticks": bid_px_ticks, "ask_px_ticks": ask_px_ticks,
    }  # fmt: skip


class Page:
    """The page's content, made a piece at a time: all of two hundred cores at once would be a
    stall. `renew` is called again and again, `text` now and then."""

    LOOKS = 20  # calls of `renew` in which those in full are made anew ...
    LOOKS_OF_MANY = 100  # ... where lines are made in between: one in full is 0.3 ms

    def __init__(
        self, stage: Stage, accounts: Sequence[LiveAccount],
        instruments: Sequence[LiveInstrument], hedges: Callable[[], dict[str, Any]] = dict,
    ) -> None:  # fmt: skip
        self._stage = stage
        self._hedges = hedges
        self._accounts = accounts
        self._full = instruments[:FULL_MAX]
        self._lines = instruments[FULL_MAX:]
        self._pieces: dict[str, bytes] = {}  # of instruments, by key
        self._turn = 0
        self._next = 0  # line

    def renew(self) -> None:
        """One instrument's piece, at most."""
        looks = self.LOOKS_OF_MANY if self._lines else self.LOOKS
        turn, between = self._turn % looks, looks // FULL_MAX
        self._turn += 1
        if turn % between == 0:
            for instrument in self._full[turn // between : turn // between + 1]:
                self._put(instrument, full(instrument))
        elif self._lines:
            instrument = self._lines[self._next % len(self._lines)]
            self._next += 1
            self._put(instrument, line(instrument))

    def _put(self, instrument: LiveInstrument, told: dict[str, Any]) -> None:
        self._pieces[instrument.key] = b'"%b":%b' % (instrument.key.encode(), _json(told))

    def text(self) -> bytes:
        """The whole page."""
        if len(self._full) == 1:
            self._put(self._full[0], full(self._full[0]))
        pieces, head = b",".join(self._pieces.values()), _json(self._head())
        return b'{"instruments":{%b},%b' % (pieces, head[1:])

    def content(self) -> dict[str, Any]:
        """The same for whoever asks: what is shown in full is of this moment."""
        for instrument in self._full:
            self._put(instrument, full(instrument))
        told: dict[str, Any] = json.loads(self.text())
        return told

    def last(self) -> bytes:
        """The whole page, every piece of this moment: for the end, when a stall hurts nobody."""
        for instrument in self._lines:
            self._put(instrument, line(instrument))
        for instrument in self._full:
            self._put(instrument, full(instrument))
        return self.text()

    def _head(self) -> dict[str, Any]:
        return {
            "now_ns": clock.monotonic_ns(),
            "accounts": {account.name: _account(account) for account in self._accounts},
            "hedges": self._hedges(),
            "edge": self._stage.hot.stats(),
            "is_stopping": self._stage.stopping.is_set(),
        }


def _json(told: dict[str, Any]) -> bytes:
    return _ENCODER.encode(told).encode()


def _account(account: LiveAccount) -> dict[str, Any]:
    return {
        "reconnects": account.reconnects,
        "snapshots": account.snapshots.fetched,
        "rounds": account.reconciler.rounds,
        "divergences": account.reconciler.divergences,
    }
