# cython: language_level=3
"""Bybit v5 order requests as WebSocket frames; see bybit_encode.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.codec.base cimport EncoderBase
from fastcore.sha256 cimport Hmac
from fastcore.types cimport Scale, px_t, qty_t, seq_t

cdef enum:
    BATCH_MAX_LINEAR = 20      # orders a batch
    BATCH_MAX_SPOT = 10
    JSON_ORDER_MAX = 320       # bytes of one order: about 150 fixed, symbol 32, id 26, numbers 48
    JSON_SIZE_MAX = 256 + BATCH_MAX_LINEAR * JSON_ORDER_MAX
    PIECE_SIZE_MAX = 96
    API_KEY_SIZE_MAX = 128
    SECRET_SIZE_MAX = 256

cdef struct Piece:             # constant bytes
    int64_t size
    uint8_t[PIECE_SIZE_MAX] data

cdef struct BatchOrder:        # one order of a batch; a cancel reads the intent alone
    seq_t intent_id
    px_t px_ticks
    qty_t qty_lots
    int32_t side               # SIDE_*
    int32_t flags              # ORDER_*


cdef class BybitEncoder(EncoderBase):
    cdef uint64_t _mask_state
    cdef Scale _px_scale
    cdef Scale _qty_scale
    cdef bint _is_linear
    cdef int _batch_max
    cdef Piece _window         # `","X-BAPI-RECV-WINDOW":"5000"},"op":"order.`
    cdef Piece _category       # `"category":"linear",`
    cdef Piece _symbol         # `{"symbol":"BTCUSDT","orderLinkId":"tm...-`
    cdef uint8_t[JSON_SIZE_MAX] _json
    cdef Hmac _hmac
    cdef uint8_t[API_KEY_SIZE_MAX] _api_key
    cdef int64_t _api_key_size
    cdef str _name
    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms) noexcept nogil
    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms) noexcept nogil
    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    # Each: orders[0:count] in one message -> bytes written, E_RANGE (also: no order, or more than
    # the venue takes) or E_FULL.
    cdef int64_t place_batch(
        self, uint8_t* out, int64_t room, const BatchOrder* orders, int count,
        int64_t utc_ms) noexcept nogil
    cdef int64_t modify_batch(
        self, uint8_t* out, int64_t room, const BatchOrder* orders, int count,
        int64_t utc_ms) noexcept nogil
    cdef int64_t cancel_batch(
        self, uint8_t* out, int64_t room, const BatchOrder* orders, int count,
        int64_t utc_ms) noexcept nogil
    # The first message of a private or trade connection, good until `expires_ms` (UTC).
    cdef int64_t auth(self, uint8_t* out, int64_t room, int64_t expires_ms) noexcept nogil
    # To be sent every 20 s on every connection.
    cdef int64_t ping(self, uint8_t* out, int64_t room) noexcept nogil
    cdef uint8_t* _begin(self, int verb, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef uint8_t* _put_order(
        self, uint8_t* p, int verb, const BatchOrder* order) noexcept nogil
    cdef int64_t _one(
        self, uint8_t* out, int64_t room, int verb, const BatchOrder* order,
        int64_t utc_ms) noexcept nogil
    cdef int64_t _batch(
        self, uint8_t* out, int64_t room, int verb, const BatchOrder* orders, int count,
        int64_t utc_ms) noexcept nogil
    cdef int64_t _finish(
        self, uint8_t* out, int64_t room, const uint8_t* end) noexcept nogil
    cdef uint32_t _mask_key(self) noexcept nogil
