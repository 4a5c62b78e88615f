# cython: language_level=3
"""Signed Binance USD-M order requests as WebSocket frames; see binance_encode.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.codec.base cimport EncoderBase
from fastcore.sha256 cimport Hmac
from fastcore.types cimport Scale, px_t, qty_t, seq_t

cdef enum:
    JSON_SIZE_MAX = 1024       # of one request: about 300 fixed, key 128, symbol 32, numbers 90
    TEXT_SIZE_MAX = 768        # of what is signed
    PIECE_SIZE_MAX = 96
    API_KEY_SIZE_MAX = 128     # Binance's have 64
    SECRET_SIZE_MAX = 256
    RECV_WINDOW_MS_MAX = 60000

cdef struct Piece:             # constant bytes
    int64_t size
    uint8_t[PIECE_SIZE_MAX] data

cdef struct Request:           # one verb: a constant head with the intent's digits at fixed places
    int64_t json_id            # offsets: intent of the request id,
    int64_t json_intent        # ... of the client order id,
    int64_t json_key           # ... api key
    int64_t json_head_size     # the rest is written behind it, call by call
    int64_t text_intent
    int64_t text_head_size
    uint8_t[JSON_SIZE_MAX] json
    uint8_t[TEXT_SIZE_MAX] text


cdef class Encoder(EncoderBase):
    cdef uint64_t _mask_state
    cdef Scale _px_scale
    cdef Scale _qty_scale
    cdef Hmac _place_hmac
    cdef Hmac _query_hmac      # of cancel and status
    cdef Piece _json_window
    cdef Piece _text_window
    cdef Piece[2] _json_side   # by SIDE_*
    cdef Piece[2] _text_side
    cdef Request _place
    cdef Request _cancel
    cdef Request _status
    cdef str _symbol
    # Each: a whole masked frame into out[0:room] -> bytes written, or E_RANGE (an argument that no
    # request may have) or E_FULL (room).
    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms) noexcept nogil
    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef int64_t _query(
        self, Request* request, uint8_t* out, int64_t room, seq_t intent_id,
        int64_t utc_ms) noexcept nogil
    cdef int _lay_down(
        self, bytes api_key, bytes prefix, bytes symbol, int64_t recv_window_ms) except -1
    cdef int64_t _finish(
        self, Request* request, Hmac hmac, uint8_t* json, const uint8_t* text_end,
        uint8_t* out, int64_t room) noexcept nogil
    cdef uint32_t _mask_key(self) noexcept nogil
