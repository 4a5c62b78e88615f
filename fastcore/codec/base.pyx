# cython: language_level=3
"""What the core asks of every venue's codec: one decoder and one encoder an instrument.

A new venue subclasses both, in one family of files beside this one, and stands in core_config's
table of venues. The core calls through these two classes and knows no venue's words.
"""
cimport cython

from fastcore.types cimport E_UNSUPPORTED, EV_NONE


@cython.no_gc
cdef class DecoderBase:
    """Bytes of one instrument into events."""

    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil:
        return E_UNSUPPORTED

    cdef int next_event(self) noexcept nogil:
        return EV_NONE


@cython.no_gc
cdef class EncoderBase:
    """Orders of one instrument into frames; never shows its key or its secret."""

    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED
