# cython: language_level=3
"""Record layout of the journal, and the writer over a caller-supplied buffer; see journal.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.types cimport ns_t

cdef enum:
    SEGMENT_HEADER_SIZE = 64
    RECORD_HEADER_SIZE = 40
    RECORD_END_OF_SEGMENT = 0xFFFF

cdef enum:                     # inputs of the core
    REC_CONFIG = 1
    REC_FRAME = 2
    REC_SNAPSHOT = 3
    REC_TIMER = 4
    REC_COMMAND = 5
    REC_SEND = 6
    REC_CLOCK = 7
    REC_CONN = 8
    REC_ACCOUNT = 9
    REC_REFERENCE = 10         # the other leg's touch, position and open takes
    REC_HEDGE = 11             # a take that the other leg asks for
    REC_OPENING = 12           # what the account held before the run
    REC_FILL_ROW = 13          # an execution read over REST
    REC_QUERY = 14             # an order read over REST
    REC_PARAMS = 15            # the strategy's parameters from now on, float64 each
    REC_CONDITION = 16         # the edge's reasons to stand aside; arg: 1 on, 0 off
    REC_KNOWN = 17             # trades that earlier runs have booked: KnownTrade each
    REC_INPUT_LAST = 31

cdef enum:                     # what the core made of them
    REC_OUT = 32
    REC_ORDER = 33
    REC_FILL = 34
    REC_STATE = 35
    REC_SAMPLE = 36
    REC_DENY = 37
    REC_BOOK = 38


cdef class JournalOrder:       # numbers the records of all journals of a run in one row
    cdef uint64_t seq          # of the next record


cdef class JournalWriter:
    cdef readonly JournalOrder order
    cdef uint8_t* _base
    cdef int64_t _capacity
    cdef int64_t _used
    cdef uint8_t* _next_base
    cdef int64_t _next_capacity
    cdef uint32_t segment_index
    cdef ns_t _wall_minus_monotonic_ns
    cdef object _view
    cdef object _next_view

    cdef uint8_t* reserve(self, int64_t payload_size) noexcept nogil
    cdef void commit(self, int kind, int arg, int64_t payload_size, ns_t now_ns,
                     ns_t recv_ts_ns) noexcept nogil
    cdef void _publish(self, int kind, int arg, const uint8_t* payload, int64_t payload_size,
                       ns_t now_ns, ns_t recv_ts_ns) noexcept nogil
    cdef int write(self, int kind, int arg, const void* payload, int64_t payload_size,
                   ns_t now_ns, ns_t recv_ts_ns) noexcept nogil
    cdef int64_t room(self) noexcept nogil
    cdef void _start_segment(self, uint8_t* base, int64_t capacity) noexcept nogil
