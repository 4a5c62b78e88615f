# cython: language_level=3
"""What is constant in a Binance request, laid down once. Cold: ValueError if it has no room.

A request is written twice, side by side: as JSON for the wire, and as `name=value&...` for the
signature. Both heads never change but for the digits of intents, whose places are kept.
"""
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from fastcore.codec.binance_reply cimport CLIENT_PREFIX_SIZE, INTENT_DIGITS

cdef extern from *:
    """
    /* A store that no optimiser may leave out. */
    static void fc_forget(void *at, size_t size) {
        volatile uint8_t *byte = (volatile uint8_t *) at;
        while (size--) {
            *byte++ = 0;
        }
    }
    """
    void fc_forget(void* at, size_t size) noexcept nogil


cdef void forget_request(Request* request) noexcept nogil:
    fc_forget(request, sizeof(Request))


cdef int fill_piece(Piece* piece, bytes data) except -1:
    if len(data) > PIECE_SIZE_MAX:
        raise ValueError("a constant part of the request is too long")
    piece.size = len(data)
    memcpy(piece.data, <const uint8_t*> data, <size_t> len(data))
    return 0


cdef int fill_request(
    Request* request, int verb, bytes method, bytes api_key, bytes prefix, list params,
    bytes open_name, bint open_is_text,
) except -1:
    cdef bytes blank = b"0" * INTENT_DIGITS
    cdef bytes json = b'{"id":"%d' % verb
    cdef bytes text = b""
    memset(request, 0, sizeof(Request))
    request.json_id = len(json)
    json += blank + b'","method":"%b","params":{' % method
    if api_key:
        json += b'"apiKey":"'
        request.json_key = len(json)
        json += api_key + b'",'
        text += b"apiKey=%b&" % api_key
    for name, value in params:
        if value is None:
            request.json_old = request.json_intent
            request.text_old = request.text_intent
            request.json_intent = len(json) + len(name) + 4 + CLIENT_PREFIX_SIZE
            request.text_intent = len(text) + len(name) + 1 + CLIENT_PREFIX_SIZE
            value = prefix + blank
        json += b'"%b":%d,' % (name, value) if isinstance(value, int) else (
            b'"%b":"%b",' % (name, value))
        text += b"%b=%b&" % (name, b"%d" % value if isinstance(value, int) else value)
    json += b'"%b":%b' % (open_name, b'"' if open_is_text else b"")
    text += b"%b=" % open_name
    if len(json) > JSON_SIZE_MAX // 2 or len(text) > TEXT_SIZE_MAX // 2:
        raise ValueError("the constant part of a request is too long")
    request.json_head_size = len(json)
    request.text_head_size = len(text)
    memcpy(request.json, <const uint8_t*> json, <size_t> len(json))
    memcpy(request.text, <const uint8_t*> text, <size_t> len(text))
    return 0
