"""Slow, obvious twin of fastcore.pair: the same protocol by the cores' Python faces."""

from __future__ import annotations

from fastcore.core import Core
from fastcore.types import SyncState

Told = tuple[tuple[int, int], tuple[int, int], int, int]


class Pair:
    def __init__(self, quote: Core, hedge: Core) -> None:
        self.quote, self.hedge = quote, hedge
        self.told: Told | None = None
        self.told_ns = self.hedge_ns = -1
        self.is_fate_open = False

    def settle(self, now_ns: int) -> int:
        wanted = self.quote.wanted_hedge
        if wanted and not self.is_fate_open and now_ns != self.hedge_ns:
            self.is_fate_open, self.hedge_ns = True, now_ns
            if self.hedge.take(*wanted, now_ns) > 0:
                return 2
        seen = self._seen(now_ns)
        every_ns = round(self.quote.config["reference"]["age_ms_max"] * 1e6) // 2
        is_old = self.told is None or now_ns - self.told_ns >= every_ns
        if not (is_old or self.is_fate_open or seen != self.told):
            return 0
        self.told, self.told_ns, self.is_fate_open = seen, now_ns, False
        return 1 if self.quote.reference(*seen, now_ns) > 0 else self.settle(now_ns)

    def _seen(self, now_ns: int) -> Told:
        """(bid, ask, position, signed lots of takes that may still fill)."""
        leg = self.hedge.numbers()
        # Every order of a leg that holds is a take.
        takes = [-own["leaves_lots"] if own["side"] else own["leaves_lots"] for own in leg["own"]]
        bid, ask = (leg["bid_px_ticks"], leg["bid_qty_lots"]), (
            leg["ask_px_ticks"], leg["ask_qty_lots"])  # fmt: skip
        age_ns = now_ns - leg["book_ns"]
        is_old = age_ns > self.hedge.config["limits"]["book_age_ms_max"] * 1_000_000
        is_book = leg["sync_state"] == SyncState.SYNCED and bid[1] and ask[1]
        if leg["halt_bits"] or not is_book or is_old:
            bid = ask = (0, 0)  # nothing could be hedged on it
        return bid, ask, leg["position_lots"], sum(takes)
