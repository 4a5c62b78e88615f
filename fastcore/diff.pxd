# cython: language_level=3
"""Wanted against working: which messages turn one into the other; see diff.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t

from fastcore.orders cimport Orders
from fastcore.strategy cimport Target
from fastcore.types cimport ORDERS_MAX, OUT_MAX, Level, ns_t, px_t, qty_t, seq_t
from fastcore.working cimport Order

cdef struct Action:            # one thing the diff wants done
    int32_t verb               # VERB_*
    int32_t side
    px_t px_ticks
    qty_t qty_lots             # of a VERB_MODIFY: the new total, what is executed included
    seq_t intent_id            # of the order to cancel, amend or ask for; -1: a new one
    int32_t flags              # ORDER_* of a new one
    int32_t reason             # of a take

cdef struct Plan:              # of one side, before anything is put out
    const Level* wanted
    uint32_t missing           # wanted levels that nothing serves yet, as bits
    int32_t in_doubt           # orders that can be neither amended nor canceled now
    int32_t kept_count
    int32_t loose_count
    int32_t kept[ORDERS_MAX]   # slots, in the order of `active`
    int32_t kept_level[ORDERS_MAX]
    int32_t loose[ORDERS_MAX]  # slots of orders that serve no wanted level
    int32_t loose_level[ORDERS_MAX]    # level to move it to; -1: cancel


cdef class Diff:
    cdef Action actions[OUT_MAX]
    cdef int action_count
    cdef Orders orders
    cdef bint is_modify_wanted         # quoting.modify
    cdef px_t requote_ticks
    cdef ns_t requote_ns
    cdef ns_t last_requote_ns[2]
    cdef ns_t backoff_ns[2]            # 0: none
    cdef ns_t backoff_until_ns[2]
    cdef int64_t refusals_seen[2]
    cdef int64_t fills_seen
    cdef px_t touch_seen[2]
    cdef ns_t* messages_ns             # ring of the last messages_max send times
    cdef int64_t message_count
    cdef int64_t messages_max
    cdef int64_t messages_free         # of these, places and amends may use so many
    cdef Plan plans[2]

    # Fill `actions` with what turns working orders into `target`.
    cdef int run(self, const Target* target, bint is_halted, px_t bid_px_ticks,
                 px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    # Add an immediate-or-cancel order; False: one for this reason is in flight, or no room.
    cdef bint want_take(self, int side, px_t px_ticks, qty_t qty_lots, int flags, int reason,
                        ns_t now_ns) noexcept nogil
    # Fill `actions` with queries for orders whose answer is late or whose fate is unknown.
    cdef int overdue(self, ns_t now_ns) noexcept nogil
    cdef void count_message(self, ns_t now_ns) noexcept nogil      # the core has put one out
    cdef void forget_requote(self, int side) noexcept nogil

    cdef void _note_touch(self, px_t bid_px_ticks, px_t ask_px_ticks) noexcept nogil
    cdef void _plan(self, int side, const Level* wanted, int wanted_count,
                    ns_t now_ns) noexcept nogil
    cdef void _match(self, Plan* plan, int32_t* slots, int32_t* levels, int count,
                     int wanted_count, px_t ticks_max) noexcept nogil
    cdef void _sort_out(self, int side, Plan* plan, int32_t* slots, int32_t* levels, int count,
                        int wanted_count, ns_t now_ns) noexcept nogil
    cdef void _pull_doubtful(self, int side, Plan* plan, int wanted_count,
                             ns_t now_ns) noexcept nogil
    cdef int _retreating_side(self, int otherwise) noexcept nogil
    cdef void _assign_moves(self, Plan* plan, int wanted_count) noexcept nogil
    cdef void _emit_cancels(self, int side, ns_t now_ns) noexcept nogil
    cdef void _emit_shrinks(self, int side, ns_t now_ns) noexcept nogil
    cdef void _emit_moves(self, int side, ns_t now_ns) noexcept nogil
    cdef void _emit_places(self, int side, ns_t now_ns) noexcept nogil
    cdef bint _has_room(self, ns_t now_ns) noexcept nogil
    cdef bint _want(self, int verb, int side, px_t px_ticks, qty_t qty_lots, seq_t intent_id,
                    int flags, int reason) noexcept nogil
