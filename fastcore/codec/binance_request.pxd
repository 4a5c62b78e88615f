# cython: language_level=3
"""The texts of Binance's requests: what stays, writers of what moves; see binance_request.pyx."""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from fastcore.codec.binance_reply cimport INTENT_DIGITS
from fastcore.types cimport seq_t

cdef enum:
    JSON_SIZE_MAX = 1280       # of one request: about 400 fixed, key 128, symbol 32, numbers 90
    TEXT_SIZE_MAX = 768        # of what is signed
    PIECE_SIZE_MAX = 96
    INTENT_BITS = 4 * INTENT_DIGITS

cdef struct Piece:             # constant bytes
    int64_t size
    uint8_t[PIECE_SIZE_MAX] data

cdef struct Request:           # one verb: a constant head with the intents' digits at fixed places
    int64_t json_id            # offsets: intent of the request id,
    int64_t json_intent        # ... of the last client order id of the head; 0: it has none,
    int64_t json_old           # ... of the one before it; 0: none,
    int64_t json_key           # ... api key
    int64_t json_head_size     # the rest is written behind it, call by call
    int64_t text_intent
    int64_t text_old
    int64_t text_head_size
    uint8_t[JSON_SIZE_MAX] json
    uint8_t[TEXT_SIZE_MAX] text

cdef int fill_piece(Piece* piece, bytes data) except -1

# Heads of both texts: id, method and key, then `params`: (name, value) as the venue sorts them, and
# the name of one whose value is still to be written, with or without its opening quote. A value of
# None is a client order id, its digits to be filled in: two of them at most, the last the request's
# own. A whole number goes without quotes.
cdef int fill_request(
    Request* request, int verb, bytes method, bytes api_key, bytes prefix, list params,
    bytes open_name, bint open_is_text) except -1

# Wipe it: it holds the key, and orders.
cdef void forget_request(Request* request) noexcept nogil


cdef inline uint8_t* put(uint8_t* p, const char* text, int64_t size) noexcept nogil:
    memcpy(p, text, <size_t> size)
    return p + size


cdef inline uint8_t* put_piece(uint8_t* p, const Piece* piece) noexcept nogil:
    memcpy(p, piece.data, PIECE_SIZE_MAX)  # a constant size is a few moves; the rest is overwritten
    return p + piece.size


cdef inline uint8_t* put_uint(uint8_t* p, int64_t value) noexcept nogil:
    cdef uint8_t[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = 48 + <uint8_t> (value % 10)
        value //= 10
        if value == 0:
            break
    memcpy(p, digits + at, <size_t> (20 - at))
    return p + (20 - at)


cdef inline void put_intent(uint8_t* p, seq_t intent_id) noexcept nogil:
    """INTENT_DIGITS lowercase hexadecimal digits."""
    cdef int i
    cdef uint8_t digit
    for i in range(INTENT_DIGITS):
        digit = <uint8_t> ((intent_id >> (4 * (INTENT_DIGITS - 1 - i))) & 15)
        p[i] = digit + (48 if digit < 10 else 87)


cdef inline void begin_request(Request* request, seq_t intent_id) noexcept nogil:
    put_intent(request.json + request.json_id, intent_id)
    memcpy(request.json + request.json_intent, request.json + request.json_id, INTENT_DIGITS)
    memcpy(request.text + request.text_intent, request.json + request.json_id, INTENT_DIGITS)


cdef inline bint is_intent(seq_t intent_id) noexcept nogil:
    return intent_id >= 0 and intent_id >> INTENT_BITS == 0
