# cython: language_level=3
"""The composition root: the one room that knows all the others; see core.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastcore.core_state cimport Hedge, Reference
from fastcore.core_steps cimport CoreSteps
from fastcore.types cimport Event, FillRow, KnownTrade, QueryRow, ns_t, qty_t, seq_t


cdef class Core(CoreSteps):
    # Inputs. Each resets `outs`, journals itself, and returns out_count or a negative code.
    cdef int on_frame(self, int conn, const uint8_t* payload, int64_t size, ns_t recv_ts_ns,
                      ns_t now_ns) noexcept nogil
    cdef int on_event(self, const Event* event, int conn, ns_t recv_ts_ns,
                      ns_t now_ns) noexcept nogil
    cdef int on_snapshot(self, const uint8_t* body, int64_t size, ns_t now_ns) noexcept nogil
    cdef int on_timer(self, ns_t now_ns) noexcept nogil
    cdef int on_command(self, int command, ns_t now_ns) noexcept nogil
    cdef int on_conn(self, int conn, bint up, ns_t now_ns) noexcept nogil
    cdef int on_clock(self, ns_t utc_minus_monotonic_ns, ns_t now_ns) noexcept nogil
    cdef int on_account(self, qty_t position_lots, int64_t open_orders,
                        ns_t now_ns) noexcept nogil
    # What the account held before this run's first event; once, before any fill.
    cdef int on_opening(self, qty_t position_lots, ns_t now_ns) noexcept nogil
    # 1: booked, 0: its trade was known. Messages to send are in outs[:out_count] as ever.
    # Trades that earlier runs have booked.
    cdef int on_known(self, const KnownTrade* trades, int count, ns_t now_ns) noexcept nogil
    cdef int on_fill_row(self, const FillRow* row, ns_t now_ns) noexcept nogil
    cdef int on_query(self, const QueryRow* row, ns_t now_ns) noexcept nogil
    # `count` values, as core_config.params_of orders them; those behind stay as they are.
    cdef int on_params(self, const double* values, int count, ns_t now_ns) noexcept nogil
    # One of HALT_DEAD_MAN, HALT_VENUE, HALT_LINK.
    cdef int on_condition(self, uint32_t bit, bint is_on, ns_t now_ns) noexcept nogil
    cdef int on_reference(self, const Reference* reference, ns_t now_ns) noexcept nogil
    cdef int on_hedge(self, const Hedge* hedge, ns_t now_ns) noexcept nogil
    # What became of outs[out_seq - first_out_seq]; does not reset `outs`.
    cdef int on_send(self, seq_t out_seq, int outcome, ns_t begin_ns, ns_t end_ns,
                     ns_t now_ns) noexcept nogil
