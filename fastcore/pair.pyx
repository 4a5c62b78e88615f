# cython: language_level=3
"""Two legs in one process: the fills of the one become hedges on the other in the same turn.

    after each input of either core, its messages sent and reported:
        while (who := pair.settle(now_ns)) != 0:
            send the outs of the core `who`: 1 the quote core, 2 the hedge core

What passes between them is an input of the core that gets it (HEDGE, REFERENCE), journaled like
any other: each journal replays alone, and no core reads the other's memory in its decisions.

A hedge counts as open in the quote core from the moment that its strategy wants it until the next
REFERENCE, which follows in the same turn and says what is open in truth: one that the hedge core's
gate denied, or that did not leave, is naked again at once and the budget of the strategy runs.
One hedge at most passes at one now_ns, so that legs which refuse each other can't go round.

Fail closed: a hedge core that would not let a hedge out tells quantities of 0, and the quote core
halts (HALT_LEG). That is a book not synced, one-sided or older than its gate allows, or any halt:
a hedge may add to the position there, so no halt lets it pass.
"""
cimport cython
from libc.string cimport memcmp, memset

from fastcore.check cimport fc_unlikely
from fastcore.core_state cimport Hedge
from fastcore.types cimport ORDER_IOC, SIDE_BUY, SYNC_SYNCED
from fastcore.working cimport Order, open_lots

cdef ns_t NEVER_NS = -(<ns_t>1 << 62)


@cython.final
cdef class Pair:
    """Pair(quote, hedge): `quote` is configured with a section reference, `hedge` without.

    ValueError for anything else, and for a hedge core with stops: a stop there would undo a
    hedge, which the quote core would then ask for again.
    """

    def __cinit__(self, Core quote not None, Core hedge not None):
        if not quote.is_referenced:
            raise ValueError("The quote core has no section reference: reference.lots_per_lot "
                             "says what its lot is worth on the other leg")
        if hedge.is_referenced:
            raise ValueError("The hedge core has a section reference, but only the quote core may")
        for key in ("stop_ticks", "target_ticks", "hold_ms_max"):
            if hedge.config["stops"][key] != 0:
                raise ValueError(f"Expected stops.{key} of the hedge core to be 0, was "
                                 f"{hedge.config['stops'][key]}: stops belong to the quote core")
        self.quote = quote
        self.hedge = hedge
        self.told_ns = self.hedge_ns = NEVER_NS
        self.tell_every_ns = quote.ref_age_ns_max // 2
        memset(&self.told, 0, sizeof(Reference))
        memset(&self.seen, 0, sizeof(Reference))

    cpdef int settle(self, ns_t now_ns) noexcept nogil:
        """Pass on what one leg has for the other until one has messages to send: PAIR_*."""
        cdef Hedge wanted
        while True:
            if self._may_hedge(now_ns):
                wanted = self.quote.hedge
                self.is_tell_due = True
                self.hedge_ns = now_ns
                if self.hedge.on_hedge(&wanted, now_ns) > 0:
                    return PAIR_HEDGE_OUTS
            self._look(now_ns)
            if not self._is_tell_due(now_ns):
                return PAIR_SETTLED
            self.told = self.seen
            self.told_ns = now_ns
            self.is_tell_due = False
            if self.quote.on_reference(&self.told, now_ns) > 0:
                return PAIR_QUOTE_OUTS

    cdef bint _may_hedge(self, ns_t now_ns) noexcept nogil:
        return (self.quote.hedge.qty_lots != 0 and not self.is_tell_due
                and now_ns != self.hedge_ns)

    cdef void _look(self, ns_t now_ns) noexcept nogil:
        """What the hedge leg is now: its touch while it could be hedged on, position, takes."""
        cdef const Order* order
        cdef qty_t lots
        cdef int i
        memset(&self.seen, 0, sizeof(Reference))
        self.seen.position_lots = self.hedge.orders.position_lots
        for i in range(self.hedge.orders.active_count):
            order = &self.hedge.orders.slots[self.hedge.orders.active[i]]
            if order.flags & ORDER_IOC:
                lots = open_lots(order)
                self.seen.open_lots += lots if order.side == SIDE_BUY else -lots
        if fc_unlikely(self.hedge.halts.bits or self.hedge.sync.state != SYNC_SYNCED
                       or not self.hedge.book.is_two_sided
                       or now_ns - self.hedge.book_ns > self.hedge.gate.limits.book_age_ns_max):
            return
        self.seen.bid.px_ticks = self.hedge.book.bid_px_ticks
        self.seen.bid.qty_lots = self.hedge.book.bid_qty_lots
        self.seen.ask.px_ticks = self.hedge.book.ask_px_ticks
        self.seen.ask.qty_lots = self.hedge.book.ask_qty_lots

    cdef bint _is_tell_due(self, ns_t now_ns) noexcept nogil:
        return (self.is_tell_due or now_ns - self.told_ns >= self.tell_every_ns
                or memcmp(&self.seen, &self.told, sizeof(Reference)) != 0)

    # -- COLD ---

    def last_told(self) -> dict[str, int]:
        """What the quote core knows of the hedge leg."""
        return {
            "bid_px_ticks": self.told.bid.px_ticks, "bid_qty_lots": self.told.bid.qty_lots,
            "ask_px_ticks": self.told.ask.px_ticks, "ask_qty_lots": self.told.ask.qty_lots,
            "position_lots": self.told.position_lots, "open_lots": self.told.open_lots,
        }
