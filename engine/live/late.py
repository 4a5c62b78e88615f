"""Pulls the quotes of an instrument whose orders keep being too late to be sent.

Each order's age is checked at the very send (budgets.tick_to_order_us_max), so none leaves late;
but a quote that can't be replaced in time is stale itself, and a machine that stalls again and
again is no place to quote from. The halt is an input of the core's journal, as every condition of
the edge: how late we were is no function of the other inputs.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from engine import clock
from engine.live.instrument import LiveInstrument

WINDOW_NS = 60_000_000_000
TURN_S = 1.0
_LATE = 6  # of Core.brief()


class LateWatch:
    """Of one account's instruments. `tell`: (number, is_on), called at each change."""

    def __init__(
        self, instruments: Sequence[LiveInstrument], late_max: int,
        tell: Callable[[int, bool], object],
    ) -> None:  # fmt: skip
        self._instruments = instruments
        self._late_max = late_max
        self._tell = tell
        # By instrument (when, late so far) of each look that found more, the window's last before.
        self._seen: dict[int, deque[tuple[int, int]]] = {}
        self._halted: set[int] = set()

    async def keep(self) -> None:
        """For ever."""
        while self._late_max:
            now_ns = clock.monotonic_ns()
            for instrument in self._instruments:
                self.look(instrument, now_ns)
            await asyncio.sleep(TURN_S)

    def look(self, instrument: LiveInstrument, now_ns: int) -> None:
        """Raised by more than `late_max` within a minute; cleared by a minute without any."""
        count, number = instrument.core.brief()[_LATE], instrument.number
        seen = self._seen.setdefault(number, deque([(now_ns, count)]))
        if count != seen[-1][1]:
            seen.append((now_ns, count))
        while len(seen) > 1 and seen[1][0] <= now_ns - WINDOW_NS:
            seen.popleft()
        is_old = seen[0][0] <= now_ns - WINDOW_NS
        if count - seen[0][1] > self._late_max:
            is_on = True
        else:
            is_on = number in self._halted and not (len(seen) == 1 and is_old)
        if is_on != (number in self._halted):
            (self._halted.add if is_on else self._halted.discard)(number)
            self._tell(number, is_on)
