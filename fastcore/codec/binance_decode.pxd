# cython: language_level=3
"""Binance messages (USD-M, COIN-M, spot market data) into events; see binance_decode.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.codec.base cimport DecoderBase
from fastcore.codec.binance_frame cimport Frame, Text
from fastcore.types cimport Scale, ns_t, seq_t

cdef enum:
    SYMBOL_SIZE_MAX = 32       # bytes; venues' longest are about 20
    CLIENT_PREFIX_SIZE = 14    # "tm" run8 "-" strategy2 "-"
    INTENT_DIGITS = 12         # lowercase hexadecimal
    REQUEST_ID_SIZE = 13       # verb digit, then the intent


cdef class Decoder(DecoderBase):
    cdef Frame _frame
    cdef int64_t _symbol_size
    cdef uint8_t[SYMBOL_SIZE_MAX] _symbol
    cdef bint _has_prefix
    cdef uint8_t[CLIENT_PREFIX_SIZE] _prefix
    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil
    cdef int _finish(self) noexcept nogil
    cdef int _finish_event(self) noexcept nogil
    cdef int _check(self, uint64_t need) noexcept nogil
    cdef ns_t _exch_ts_ns(self) noexcept nogil
    cdef int _finish_best(self) noexcept nogil
    cdef int _finish_depth(self, int kind) noexcept nogil
    cdef int _finish_trade(self) noexcept nogil
    cdef int _finish_order(self) noexcept nogil
    cdef int _finish_reply(self) noexcept nogil
    cdef seq_t _own_intent(self, const Text* client_id) noexcept nogil

cdef int check_symbol(str symbol) except -1
cdef int check_scale(str name, str text, Scale* scale) except -1
cdef int check_client_prefix(str prefix) except -1
