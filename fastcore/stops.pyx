# cython: language_level=3
"""Stop, target and time exit of one instrument's open trade, whatever the strategy wants.

    long    measured at the bid: gain = bid - entry        exit: sell at bid - slippage_ticks
    short   measured at the ask: gain = entry - ask        exit: buy at ask + slippage_ticks

    STOP_LOSS     -gain >= stop_ticks
    STOP_TARGET    gain >= target_ticks
    STOP_TIME     now - entry_ns >= hold_ms_max

in this order, the first that holds, on the very tick: a price that jumps over a stop exits at what
it finds there. The limit itself breaches. The exit is for the whole position, immediate or cancel,
reduce only: it can end the trade, never turn it.

A breach is latched until the trade is over: a price that comes back does not save it half-way.
One exit is in flight at a time. While it is, check() still names the reason (quotes on the adding
side stay pulled) but `out` is empty; when it is done and a position remains, the next tick exits
again. The trade is known by its entry_ns and side, so a new one starts without the old one's latch.

    due = stops.check(...)         # each tick, and each timer: time passes without ticks
    if due and out.qty_lots: ... send ...; stops.on_exit_sent()
    ... filled, expired, rejected or never left: stops.on_exit_done()
"""
cimport cython

from fastcore.check cimport FC_DCHECK
from fastcore.types cimport ORDER_IOC, ORDER_REDUCE_ONLY, SIDE_BUY, SIDE_SELL

import difflib

SETTINGS = ("stop_ticks", "target_ticks", "hold_ms_max", "slippage_ticks")
REASONS = {STOP_NONE: "none", STOP_LOSS: "loss", STOP_TARGET: "target", STOP_TIME: "time"}

cdef int64_t SETTING_MAX = 1_000_000_000_000   # keeps ms as ns within 64 bits: 31 years

# An average entry price is a quotient: it may miss the exact one by this, in the exit's favour.
cdef double ENTRY_SLACK_TICKS = 1e-6


@cython.final
cdef class Stops:
    """Stops(settings): the table SETTINGS, all required, whole numbers >= 0, 0 for off.

    Raises ValueError that names the key.
    """

    def __cinit__(self, dict settings not None):
        check_settings(settings)
        self._stop_ticks = _setting(settings, "stop_ticks")
        self._target_ticks = _setting(settings, "target_ticks")
        self._hold_ns_max = _setting(settings, "hold_ms_max") * 1_000_000
        self._slippage_ticks = _setting(settings, "slippage_ticks")

    cdef int check(self, qty_t position_lots, double entry_px_ticks, ns_t entry_ns, px_t bid_px,
                   px_t ask_px, ns_t now_ns, StopExit* out) noexcept nogil:
        """STOP_*: why the trade is to end, and in `out` the order for it, if one is to be sent.

        A side without a price (0) can't be measured or hit: nothing new is due until it has one.
        """
        cdef bint is_long = position_lots > 0
        cdef px_t px_ticks = bid_px if is_long else ask_px
        out.qty_lots = 0
        if position_lots == 0:
            self.reason = STOP_NONE
            return STOP_NONE
        if self.reason != STOP_NONE and (entry_ns != self._entry_ns or is_long != self._is_long):
            self.reason = STOP_NONE
        if px_ticks <= 0:
            return self.reason
        if self.reason == STOP_NONE:
            self.reason = self._breach(
                <double>px_ticks - entry_px_ticks if is_long
                else entry_px_ticks - <double>px_ticks, now_ns - entry_ns)
            self._entry_ns = entry_ns
            self._is_long = is_long
        if self.reason != STOP_NONE and not self.is_exit_open:
            out.side = SIDE_SELL if is_long else SIDE_BUY
            out.flags = ORDER_IOC | ORDER_REDUCE_ONLY
            out.qty_lots = position_lots if is_long else -position_lots
            if is_long:
                out.px_ticks = max(bid_px - self._slippage_ticks, 1)
            else:
                out.px_ticks = ask_px + self._slippage_ticks
        return self.reason

    cdef int _breach(self, double gain_ticks, ns_t held_ns) noexcept nogil:
        # Written so that an entry that is no number breaches the stop.
        if (self._stop_ticks > 0
                and not gain_ticks > <double>-self._stop_ticks + ENTRY_SLACK_TICKS):
            return STOP_LOSS
        if (self._target_ticks > 0
                and gain_ticks >= <double>self._target_ticks - ENTRY_SLACK_TICKS):
            return STOP_TARGET
        if self._hold_ns_max > 0 and held_ns >= self._hold_ns_max:
            return STOP_TIME
        return STOP_NONE

    cdef void on_exit_sent(self) noexcept nogil:
        """The exit that check() gave has left, or may have."""
        FC_DCHECK(not self.is_exit_open)
        self.is_exit_open = True
        self.counts[self.reason] += 1

    cdef void on_exit_done(self) noexcept nogil:
        """Its fate is known: filled, in part or whole, or dead. Twice does no harm."""
        self.is_exit_open = False

    # -- COLD: Python's checked face ---

    def due(self, int64_t position_lots, double entry_px_ticks, int64_t entry_ns, int64_t bid_px,
            int64_t ask_px, int64_t now_ns) -> tuple[int, tuple[int, int, int, int] | None]:
        """check(): the reason, and (side, px_ticks, qty_lots, flags) if an exit is to be sent."""
        cdef StopExit out
        reason = self.check(position_lots, entry_px_ticks, entry_ns, bid_px, ask_px, now_ns, &out)
        if out.qty_lots == 0:
            return reason, None
        return reason, (out.side, out.px_ticks, out.qty_lots, out.flags)

    def exit_sent(self) -> None:
        if self.is_exit_open or self.reason == STOP_NONE:
            raise ValueError("No exit is due, or one is in flight: send what due() gives, once")
        self.on_exit_sent()

    def exit_done(self) -> None:
        self.on_exit_done()

    def to_dict(self) -> dict[str, int]:
        """Exits sent so far, by reason."""
        return {REASONS[i]: self.counts[i] for i in range(1, STOP_REASONS)}


def check_settings(settings) -> None:
    """ValueError names the first key of the section `stops` that is unknown, missing or wrong."""
    if not isinstance(settings, dict):
        raise ValueError(f"Expected stops to be a table, was {type(settings).__name__}")
    for key in settings:
        if key not in SETTINGS:
            near = difflib.get_close_matches(str(key), SETTINGS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown key {key!r} in stops{hint}")
    for key in SETTINGS:
        _setting(settings, key)


def _setting(dict settings, str key) -> int:
    if key not in settings:
        raise ValueError(f"stops.{key} is required; 0 turns it off")
    value = settings[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SETTING_MAX:
        raise ValueError(f"Expected stops.{key} to be a whole number in 0 .. {SETTING_MAX} "
                         f"(0: off), was {value!r}")
    return value
