# cython: language_level=3
"""Answers: of the WebSocket API to our requests, of a stream to SUBSCRIBE, of a session to logon.

    {"id":"100000000002a","status":200,"result":{"orderId":12510053279,"status":"NEW",
     "executedQty":"0.00000000",...},"rateLimits":[...]}
    {"id":"600000000002a","status":409,"error":{"code":-2021,"msg":"...","data":{
     "cancelResult":"SUCCESS","newOrderResult":"FAILURE","cancelResponse":{...},
     "newOrderResponse":{"code":-2010,"msg":"..."}}}}
    {"result":null,"id":1}   {"error":{"code":2,"msg":"..."},"id":1}   {"code":1,"msg":"..."}

The request's id says what was asked: a digit, the verb, and 12 of the intent. An answer to such an
id is an EV_REPLY. Any other is an EV_SESSION (logon, subscribe, a refused control message), unless
its result is an order's: then it answers somebody else's order request, EV_REPLY of no intent.
A control message's answer has no status: 200 and 400 stand for done and refused.

The order is the result itself, its `amendedOrder` (order.amend.keepPriority) or the
`newOrderResponse` of cancelReplace. Of the order cancelled by that only the client id is read.
Its terms are `price` and `origQty`, which an amendedOrder calls `qty`; a market order has price 0.
Sources: binance-spot-api-docs, web-socket-api.md (order.place, .cancel, .cancelReplace,
.amend.keepPriority) and web-socket-streams.md (errors); developers.binance.com,
usds-margined-futures, WebSocket API.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.codec.binance_frame cimport (
    REPLY_CANCEL_RESULT, REPLY_CANCELED_ID, REPLY_CODE, REPLY_CUM_QTY, REPLY_ERROR,
    REPLY_ERROR_CODE, REPLY_ID, REPLY_MSG, REPLY_NEW_RESULT, REPLY_ORDER_ID, REPLY_ORDER_STATUS,
    REPLY_PX, REPLY_QTY, REPLY_RESULT, REPLY_RETRY_AFTER, REPLY_STATUS, REPLY_SYMBOL, Frame, Names,
    ReplyFrame, Text, text_is,
)
from fastcore.codec.binance_order cimport order_state
from fastcore.codec.binance_read cimport first_name, next_name, read_name, read_text, read_uint
from fastcore.codec.binance_read cimport read_units
from fastcore.scan cimport scan_uint, skip_value
from fastcore.types cimport (
    E_MALFORMED, E_RANGE, E_UNKNOWN, EV_REPLY, EV_SESSION, ORD_FREE, VERB_BATCH, VERB_PLACE,
    ReplyEvent, seq_t,
)

cdef enum:                     # which object
    IN_RESULT
    IN_ORDER                   # amendedOrder, newOrderResponse
    IN_CANCELED                # cancelResponse
    IN_ERROR
    IN_ERROR_DATA

cdef enum:
    STATUS_OK = 200
    STATUS_REFUSED = 400
    STATUS_MAX = 999           # HTTP-like
    ERROR_CODE_MAX = 999999


cdef seq_t hex_value(const uint8_t* p, int digit_count) noexcept nogil:
    cdef seq_t value = 0
    cdef int i
    for i in range(digit_count):
        if <uint8_t> (p[i] - 48) < 10:
            value = (value << 4) | (p[i] - 48)
        elif <uint8_t> (p[i] - 97) < 6:
            value = (value << 4) | (p[i] - 87)
        else:
            return -1
    return value


# -- WALK ---

cdef const uint8_t* walk_result(Frame* frame, const uint8_t* p) noexcept nogil:
    return _object(frame, p, IN_RESULT)


cdef const uint8_t* walk_error(Frame* frame, const uint8_t* p) noexcept nogil:
    return _object(frame, p, IN_ERROR)


cdef const uint8_t* _object(Frame* frame, const uint8_t* p, int where) noexcept nogil:
    """Names and values up to and past the closing brace. At most three deep."""
    cdef const uint8_t* end = frame.end
    cdef Text name
    cdef bint is_closed
    p = first_name(p, end, &is_closed)
    while not is_closed:
        p = read_name(p, end, &name)
        if p == NULL:
            return NULL
        p = _value(frame, where, &name, p)
        if p == NULL:
            return NULL
        p = next_name(p, end, &is_closed)
        if p == NULL:
            return NULL
    return p


cdef uint64_t _order_bit(const Text* name) noexcept nogil:
    """Of a name that an order has."""
    if text_is(name, b"orderId", 7):
        return REPLY_ORDER_ID
    if text_is(name, b"status", 6):
        return REPLY_ORDER_STATUS
    if text_is(name, b"executedQty", 11):
        return REPLY_CUM_QTY
    if text_is(name, b"price", 5):
        return REPLY_PX
    if text_is(name, b"origQty", 7) or text_is(name, b"qty", 3):
        return REPLY_QTY
    if text_is(name, b"symbol", 6):
        return REPLY_SYMBOL
    return 0


cdef const uint8_t* _value(
    Frame* frame, int where, const Text* name, const uint8_t* p
) noexcept nogil:
    cdef const uint8_t* end = frame.end
    cdef ReplyFrame* reply = &frame.reply
    cdef Names* names = &reply.names
    cdef uint64_t bit = 0
    if where == IN_RESULT or where == IN_ORDER:
        bit = _order_bit(name)
    elif where == IN_CANCELED and text_is(name, b"origClientOrderId", 17):
        bit = REPLY_CANCELED_ID
    elif where == IN_ERROR and text_is(name, b"code", 4):
        bit = REPLY_ERROR_CODE
    elif where == IN_ERROR_DATA and text_is(name, b"retryAfter", 10):
        bit = REPLY_RETRY_AFTER
    if bit == 0 and (where == IN_RESULT or where == IN_ERROR_DATA):
        if text_is(name, b"cancelResult", 12):
            bit = REPLY_CANCEL_RESULT
        elif text_is(name, b"newOrderResult", 14):
            bit = REPLY_NEW_RESULT
    if bit == 0:
        return _inner(frame, where, name, p) if p[0] == 123 else skip_value(p, end)
    if names.seen & bit:
        return NULL
    names.seen |= bit
    if bit == REPLY_ORDER_ID:
        return read_uint(names, bit, &reply.venue_order_id, p, end)
    if bit == REPLY_CUM_QTY:
        return read_units(names, bit, &frame.qty_scale, &reply.cum_qty_lots, p, end)
    if bit == REPLY_PX:
        return read_units(names, bit, &frame.px_scale, &reply.px_ticks, p, end)
    if bit == REPLY_QTY:
        return read_units(names, bit, &frame.qty_scale, &reply.qty_lots, p, end)
    if bit == REPLY_ERROR_CODE:
        return walk_error_code(frame, bit, p)
    if bit == REPLY_RETRY_AFTER:
        return read_uint(names, bit, &reply.retry_after_ms, p, end)
    if bit == REPLY_SYMBOL:
        return read_text(names, bit, &reply.symbol, p, end)
    if bit == REPLY_ORDER_STATUS:
        return read_text(names, bit, &reply.order_status, p, end)
    if bit == REPLY_CANCEL_RESULT:
        return read_text(names, bit, &reply.cancel_result, p, end)
    if bit == REPLY_NEW_RESULT:
        return read_text(names, bit, &reply.new_result, p, end)
    return read_text(names, bit, &reply.canceled_id, p, end)


cdef const uint8_t* _inner(
    Frame* frame, int where, const Text* name, const uint8_t* p
) noexcept nogil:
    """An object in an object; p is at its opening brace."""
    if where == IN_ERROR and text_is(name, b"data", 4):
        return _object(frame, p + 1, IN_ERROR_DATA)
    if where == IN_RESULT and text_is(name, b"amendedOrder", 12):
        return _object(frame, p + 1, IN_ORDER)
    if where == IN_RESULT or where == IN_ERROR_DATA:
        if text_is(name, b"newOrderResponse", 16):
            return _object(frame, p + 1, IN_ORDER)
        if text_is(name, b"cancelResponse", 14):
            return _object(frame, p + 1, IN_CANCELED)
    return skip_value(p, frame.end)


cdef const uint8_t* walk_error_code(Frame* frame, uint64_t bit, const uint8_t* p) noexcept nogil:
    """The venue's number: the only one that may be negative."""
    cdef ReplyFrame* reply = &frame.reply
    cdef const uint8_t* after
    if p[0] != 45:
        return read_uint(&reply.names, bit, &reply.error_code, p, frame.end)
    after = scan_uint(p + 1, frame.end, &reply.error_code)
    if after == NULL:
        return skip_value(p, frame.end)
    if reply.error_code < 0:
        reply.names.off |= bit
    else:
        reply.error_code = -reply.error_code
        reply.names.have |= bit
    return after


# -- MEANING ---

cdef int _result_status(const Text* word) noexcept nogil:
    """cancelResult, newOrderResult: 200 done, 400 refused, 0 not attempted; -1: another word."""
    if text_is(word, b"SUCCESS", 7):
        return STATUS_OK
    if text_is(word, b"FAILURE", 7):
        return STATUS_REFUSED
    return 0 if text_is(word, b"NOT_ATTEMPTED", 13) else -1


cdef int read_reply(const Frame* frame, ReplyEvent* reply) noexcept nogil:
    cdef const ReplyFrame* found = &frame.reply
    cdef uint64_t seen = found.names.seen
    # Whatever is there must be read, but for these: an id or a result of any shape is one.
    cdef uint64_t need = seen & ~(<uint64_t> REPLY_ID | REPLY_RESULT | REPLY_MSG)
    cdef uint64_t code_bit = seen & (REPLY_ERROR_CODE | REPLY_CODE)
    if found.names.have & need != need:
        return E_MALFORMED if (found.names.have | found.names.off) & need != need else E_RANGE
    if code_bit == (REPLY_ERROR_CODE | REPLY_CODE):
        return E_MALFORMED     # two errors in one reply
    reply.status = STATUS_REFUSED if seen & (REPLY_ERROR | REPLY_CODE) else STATUS_OK
    reply.error_code = 0
    reply.cancel_status = reply.new_status = 0
    if (seen & REPLY_STATUS and found.status > STATUS_MAX) or (
            code_bit and not -ERROR_CODE_MAX <= found.error_code <= ERROR_CODE_MAX):
        return E_RANGE
    if seen & REPLY_STATUS:
        reply.status = <int> found.status
    if code_bit:
        reply.error_code = <int> found.error_code
    if seen & REPLY_CANCEL_RESULT:
        reply.cancel_status = _result_status(&found.cancel_result)
    if seen & REPLY_NEW_RESULT:
        reply.new_status = _result_status(&found.new_result)
    if reply.cancel_status < 0 or reply.new_status < 0:
        return E_UNKNOWN
    reply.venue_order_id = found.venue_order_id if seen & REPLY_ORDER_ID else -1
    reply.cum_qty_lots = found.cum_qty_lots if seen & REPLY_CUM_QTY else -1
    reply.px_ticks = found.px_ticks if seen & REPLY_PX else 0
    reply.qty_lots = found.qty_lots if seen & REPLY_QTY else 0
    reply.order_status = ORD_FREE
    if seen & REPLY_ORDER_STATUS:
        reply.order_status = order_state(&found.order_status)
    reply.verb = 0
    reply.intent_id = -1
    if found.names.have & REPLY_ID and found.request_id.size == <int64_t> REQUEST_ID_SIZE:
        if 48 + VERB_PLACE <= found.request_id.at[0] <= 48 + VERB_BATCH:
            reply.intent_id = hex_value(found.request_id.at + 1, INTENT_DIGITS)
            if reply.intent_id >= 0:
                reply.verb = found.request_id.at[0] - 48
    return EV_REPLY if reply.verb or seen & REPLY_ORDER_ID else EV_SESSION
