# cython: language_level=3
"""Bybit v5 messages (linear, spot) into events; see bybit_decode.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from fastcore.codec.base cimport DecoderBase
from fastcore.codec.bybit_frame cimport Frame, Item, Owner
from fastcore.types cimport AccountEvent, OrderEvent, ReplyEvent, TradeEvent

cdef enum:
    ITEMS_MAX = 1024           # of one array: the venue's limit for trades, ours for the rest
    REPLIES_MAX = 20           # orders of a batch
    ACCOUNTS_MAX = 16          # events of one position or wallet push


cdef class BybitDecoder(DecoderBase):
    cdef int32_t _kind         # of the events stored; those not yet given are the last `pending`
    cdef int32_t _count
    cdef TradeEvent* _trades   # room for ITEMS_MAX
    cdef OrderEvent* _orders   # room for ITEMS_MAX
    cdef ReplyEvent[REPLIES_MAX] _replies
    cdef AccountEvent[ACCOUNTS_MAX] _accounts
    cdef Owner _owner
    cdef Item _item
    cdef Frame _frame
    cdef tuple _texts          # what the owner's texts point into
    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil
    cdef int next_event(self) noexcept nogil
    cdef int64_t safe_text(self, const uint8_t** out) noexcept nogil
    cdef int _finish(self) noexcept nogil
    cdef int _finish_topic(self) noexcept nogil
    cdef int _finish_book(self, bint is_best) noexcept nogil
    cdef int _finish_items(self, int what) noexcept nogil
    cdef int _read_item(self, int what) noexcept nogil
    cdef int _read_coins(self) noexcept nogil
    cdef int _finish_op(self) noexcept nogil
    cdef int _finish_batch(self, int verb) noexcept nogil
    cdef int _check(self, int name) noexcept nogil
    cdef int _give(self, int kind) noexcept nogil


cdef int check_category(str category) except -1
