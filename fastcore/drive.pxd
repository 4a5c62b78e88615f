# cython: language_level=3
"""Feed a Core from a tape, with the simulated venue answering; see drive.pyx."""
from libc.stdint cimport int64_t, uint8_t

from fastcore.core cimport Core
from fastcore.latency cimport Histogram, tick_fn
from fastcore.matching cimport SimVenue
from fastcore.rows cimport RowReader
from fastcore.types cimport Event, Out, ns_t

cdef enum:
    TIMER_EVERY_NS = 100_000_000       # of tape time, as the live session does of real time
    HOT_BYTES = 65536                  # frames up to this are fed from the same place each time


cdef class Drive:
    cdef readonly Core core
    cdef readonly SimVenue venue
    cdef readonly ns_t now_ns                  # tape time; never goes back
    cdef readonly int64_t messages             # market messages fed
    cdef readonly int64_t answers              # of the venue, fed
    cdef readonly Histogram best_latency       # compute time of the inputs that caused orders,
    cdef readonly Histogram depth_latency      # by kind; empty without ticks
    cdef readonly Histogram other_latency
    cdef readonly Histogram level_latency      # of each such depth message, time / its levels
    cdef readonly int64_t timed_levels         # depth levels behind depth_latency
    cdef readonly int64_t best_outs            # messages that the inputs behind best_latency,
    cdef readonly int64_t depth_outs           # ... and depth_latency caused
    cdef ns_t _next_timer_ns
    cdef RowReader _reader
    cdef Event _event
    cdef Event _answer
    cdef uint8_t[HOT_BYTES] _hot               # a raw frame, as a read leaves it
    cdef tick_fn _tick                         # NULL: off
    cdef double _ns_per_tick
    cdef object _capsule

    cdef int _run_rows(self) noexcept nogil
    cdef int _run_frames(self, const uint8_t* arena, const int64_t* offsets,
                         const int64_t* recv_ts_ns, int64_t count) noexcept nogil
    cdef void _market(self, const Event* event) noexcept nogil
    cdef void _catch_up(self, ns_t until_ns) noexcept nogil
    cdef void _submit(self) noexcept nogil
    cdef void _timed(self, int out_count, const Event* event, int64_t ticks) noexcept nogil
