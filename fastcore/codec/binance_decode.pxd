# cython: language_level=3
"""Binance messages (USD-M, COIN-M, spot market data) into events; see binance_decode.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.codec.base cimport DecoderBase
from fastcore.codec.binance_check cimport SYMBOL_SIZE_MAX
from fastcore.codec.binance_fast cimport Spellings
from fastcore.codec.binance_frame cimport Frame, Letters, Text
from fastcore.codec.binance_reply cimport CLIENT_PREFIX_SIZE
from fastcore.types cimport ns_t, seq_t


cdef class Decoder(DecoderBase):
    cdef Spellings _spellings
    cdef Frame _frame
    cdef readonly seq_t canceled_intent_id     # of the last reply: what cancelReplace cancelled; -1
    cdef bint _has_prefix
    cdef uint8_t[CLIENT_PREFIX_SIZE] _prefix
    cdef uint8_t[SYMBOL_SIZE_MAX] _symbol
    cdef uint8_t[SYMBOL_SIZE_MAX] _stream
    cdef uint8_t[SYMBOL_SIZE_MAX] _base
    cdef uint8_t[SYMBOL_SIZE_MAX] _quote
    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil
    cdef int64_t safe_text(self, const uint8_t** out) noexcept nogil
    cdef int _decode_any(self, const uint8_t* buf, int64_t size) noexcept nogil
    cdef int _finish(self) noexcept nogil
    cdef int _finish_event(self) noexcept nogil
    cdef int _check(self, uint64_t need) noexcept nogil
    cdef ns_t _exch_ts_ns(self) noexcept nogil
    cdef int _finish_best(self) noexcept nogil
    cdef int _finish_depth(self, int kind, uint64_t need) noexcept nogil
    cdef int _finish_trade(self, int kind) noexcept nogil
    cdef seq_t _own_intent(self, const Text* client_id) noexcept nogil
    cdef int _finish_order(self, const Letters* letters, bint is_spot) noexcept nogil
    cdef int _finish_account(self) noexcept nogil
    cdef int _finish_reply(self) noexcept nogil
