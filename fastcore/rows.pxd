# cython: language_level=3
"""Tape rows <-> events. One row per level; a tape's columns are plain int64 and int8 arrays."""
from libc.stdint cimport int8_t, int64_t

from fastcore.types cimport Event, Level, ns_t

cdef enum:                     # kinds of rows; written in tapes: never renumber
    ROW_LEVEL = 1              # one level of a depthUpdate
    ROW_SNAPSHOT = 2           # one level of a REST snapshot
    ROW_BEST = 3               # one side of a bookTicker: bid row, then ask row
    ROW_TRADE = 4

cdef enum:                     # flags of rows; written in tapes: never renumber
    FLAG_LAST = 1              # last row of its message
    FLAG_EMPTY = 2             # the message has no level at all: px, qty and side say nothing
    FLAG_NOT_MARKET = 4        # a trade that was not on the book (insurance fund, ADL)

cdef struct Columns:           # borrowed; all of one length
    int64_t* recv_ts_ns
    int64_t* exch_ts_ns        # -1: the venue sends none
    int64_t* px_ticks
    int64_t* qty_lots
    int64_t* first_update_id   # this and the next three: -1 where the message has none
    int64_t* final_update_id
    int64_t* prev_update_id
    int64_t* trade_id
    int8_t* kind
    int8_t* side               # a trade: the aggressor's
    int8_t* flags


cdef class RowWriter:
    cdef Columns out
    cdef readonly int64_t count
    cdef readonly int64_t capacity
    cdef tuple _views          # keeps the caller's buffers alive and in place

    cdef int append_event(self, const Event* event, ns_t recv_ts_ns) noexcept nogil
    cdef int64_t _put(self, const Event* event, ns_t recv_ts_ns, ns_t exch_ts_ns, int kind,
                      int side, int flags) noexcept nogil
    cdef void _put_levels(self, const Event* event, ns_t recv_ts_ns, int kind) noexcept nogil


cdef class RowReader:
    cdef Columns rows
    cdef readonly int64_t index
    cdef readonly int64_t count
    cdef Level* _bids
    cdef Level* _asks
    cdef tuple _views

    cdef int next(self, Event* event, ns_t* recv_ts_ns) noexcept nogil
    cdef int _next_levels(self, Event* event, int kind) noexcept nogil
    cdef int _next_best(self, Event* event) noexcept nogil
    cdef int _next_trade(self, Event* event) noexcept nogil
