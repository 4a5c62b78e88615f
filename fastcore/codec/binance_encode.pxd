# cython: language_level=3
"""Binance order requests as WebSocket frames; see binance_encode.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.codec.base cimport EncoderBase
from fastcore.codec.binance_request cimport Piece, Request
from fastcore.sha256 cimport Hmac
from fastcore.types cimport Scale, px_t, qty_t, seq_t

cdef enum:
    TERMS_COUNT = 16           # ORDER_* and MODIFIES


cdef class Encoder(EncoderBase):
    cdef uint64_t _mask_state
    cdef bint _is_signed
    cdef bint _is_spot
    cdef Scale _px_scale
    cdef Scale _qty_scale
    cdef Hmac _place_hmac      # of place and amend
    cdef Hmac _query_hmac      # of cancel, status and modify
    cdef Hmac _replace_hmac
    cdef Hmac _all_hmac
    cdef Piece _json_window
    cdef Piece _text_window
    cdef Piece[2][TERMS_COUNT] _json_terms     # by SIDE_*, ORDER_*: side, symbol, tif
    cdef Piece[2][TERMS_COUNT] _text_terms
    cdef Piece[TERMS_COUNT] _json_type
    cdef Piece[TERMS_COUNT] _text_type
    cdef Piece _json_amend
    cdef Piece _text_amend
    cdef Piece _json_timed
    cdef Piece _text_timed
    cdef Request _place
    cdef Request _cancel
    cdef Request _status
    cdef Request _modify
    cdef Request _amend
    cdef Request _replace
    cdef Request _cancel_all
    cdef str _symbol
    # Each: a whole masked frame into out[0:room] -> bytes written, or E_RANGE (an argument that no
    # request may have), E_FULL (room) or E_UNSUPPORTED (this venue has no such request).
    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms) noexcept nogil
    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms) noexcept nogil
    cdef int64_t replace(
        self, uint8_t* out, int64_t room, seq_t cancel_intent_id, seq_t intent_id, int side,
        px_t px_ticks, qty_t qty_lots, int flags, int64_t utc_ms) noexcept nogil
    cdef int64_t amend(
        self, uint8_t* out, int64_t room, seq_t intent_id, qty_t qty_lots,
        int64_t utc_ms) noexcept nogil
    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef int64_t cancel_all(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef int64_t _order(
        self, Request* request, Hmac hmac, uint8_t* out, int64_t room, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms) noexcept nogil
    cdef int64_t _query(
        self, Request* request, Hmac hmac, uint8_t* out, int64_t room, seq_t intent_id,
        int64_t utc_ms) noexcept nogil
    cdef int _lay_down(
        self, bytes api_key, bytes prefix, bytes symbol, int64_t recv_window_ms) except -1
    cdef int _lay_down_terms(self, int flags, bytes symbol) except -1
    cdef int64_t _finish(
        self, Request* request, Hmac hmac, uint8_t* json, const uint8_t* text_end,
        uint8_t* out, int64_t room) noexcept nogil
    cdef uint32_t _mask_key(self) noexcept nogil
