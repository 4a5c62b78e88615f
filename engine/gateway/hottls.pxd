# cython: language_level=3
"""A TLS session beside a socket of the hot loop; see hottls.pyx."""
from libc.stdint cimport int64_t, uint8_t

cdef enum:
    TLS_DRY = 0                # no whole record left
    TLS_EOF = -1               # close_notify
    TLS_ERROR = -2
    TLS_HEADER_BYTES = 5       # of a record: type, version, length (RFC 8446 section 5.1)


cdef class TlsPipe:
    cdef object _session, _incoming, _outgoing
    cdef bytes _sealed
    cdef const uint8_t* out    # what seal() or take() made; valid until the next call
    cdef int64_t out_size
    cdef int64_t record_left   # bytes of the record in hand that have not come yet
    cdef int header_size       # bytes of the next record's header that have
    cdef uint8_t header[TLS_HEADER_BYTES]
    cdef bint has_more         # of the last read(): there is more to read, or an end to tell
    cdef readonly str error    # of OpenSSL, its own word for it

    cdef bint feed(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef bint _follow(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef int64_t read(self, uint8_t* to, int64_t room) noexcept with gil
    cdef bint seal(self, const uint8_t* data, int64_t size) noexcept with gil
    cdef int64_t take(self) noexcept with gil
    cdef bint _feed(self, const uint8_t* data, int64_t size) noexcept with gil
    cdef void finish(self) noexcept with gil
