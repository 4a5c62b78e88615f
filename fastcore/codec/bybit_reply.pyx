# cython: language_level=3
"""Bybit's answers on the trade connection, and to auth and subscribe on all of them.

    {"reqId":"100000000002a-018f3c1e2d40","retCode":0,"retMsg":"OK","op":"order.create","data":
     {"orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9","orderLinkId":"tm0123abcd-01-00000000002a"},
     "retExtInfo":{},"connId":"cnt5leec0hvan15eukcg-2v"}

status: 200 where retCode is 0, 429 for the codes of rate limits, 500 for those after which the
request may have been carried out all the same, else 400 (error_codes.pxd). error_code is the
retCode.

A reply says that a request was accepted, not what became of it ("please use websocket order stream
to confirm"): order_status is then the pending state, ORD_PENDING_NEW, _REPLACE or _CANCEL, and
never a final one. A cancel accepted may still be beaten by a fill.

A batch's orders are one event each, with the verb for one order: data.list says whose order it is,
retExtInfo.list, in the same order, what became of it. A batch refused as a whole is one event,
with the verb and the intent of its request id.
Source: bybit-exchange.github.io/docs/v5, websocket trade guideline; error codes; rate limits.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from fastcore.codec.binance_reply cimport INTENT_DIGITS, REQUEST_ID_SIZE
from fastcore.codec.binance_frame cimport Text, text_is
from fastcore.codec.bybit_frame cimport (
    FC_NAME_BIT, NAME_CODE, NAME_CODES, NAME_LIST, NAME_ORDER_ID, NAME_REQ_ID, NAME_RET_CODE,
    NAME_SUCCESS, Frame, Item, Owner,
)
from fastcore.codec.bybit_item cimport read_batch_order
from fastcore.codec.bybit_value cimport id_number, item_uint
from fastcore.codec.bybit_walk cimport next_item
from fastcore.codec.error_codes cimport bybit_status
from fastcore.codec.text cimport read_hex
from fastcore.types cimport (
    E_FULL, E_MALFORMED, E_RANGE, EV_REPLY, EV_SESSION, OK, ORD_FREE, ORD_PENDING_CANCEL,
    ORD_PENDING_NEW, ORD_PENDING_REPLACE, VERB_BATCH, VERB_CANCEL, VERB_MODIFY, VERB_PLACE,
    ReplyEvent,
)

cdef enum:
    CODE_MAX = 999999
    LONG_REQUEST_ID_SIZE = 26  # with the encoder's time behind the intent


cdef int _pending_state(int verb) noexcept nogil:
    """Of an order whose request was accepted."""
    if verb == VERB_PLACE:
        return ORD_PENDING_NEW
    if verb == VERB_MODIFY:
        return ORD_PENDING_REPLACE
    return ORD_PENDING_CANCEL if verb == VERB_CANCEL else ORD_FREE


cdef int _verb_of(const Text* op) noexcept nogil:
    if text_is(op, b"order.create", 12):
        return VERB_PLACE
    if text_is(op, b"order.amend", 11):
        return VERB_MODIFY
    return VERB_CANCEL if text_is(op, b"order.cancel", 12) else VERB_BATCH


cdef int _ret_code(const Frame* frame, int32_t* out) noexcept nogil:
    if not frame.have & FC_NAME_BIT(NAME_RET_CODE):
        return E_RANGE if frame.off & FC_NAME_BIT(NAME_RET_CODE) else E_MALFORMED
    if frame.ret_code > CODE_MAX:
        return E_RANGE
    out[0] = <int> frame.ret_code
    return OK


cdef void _clear(ReplyEvent* reply) noexcept nogil:
    memset(reply, 0, sizeof(ReplyEvent))
    reply.intent_id = reply.venue_order_id = reply.cum_qty_lots = -1
    reply.order_status = ORD_FREE


cdef int read_session(const Frame* frame, ReplyEvent* reply) noexcept nogil:
    """By `success` (public, private), by retCode (trade), or by both."""
    cdef int code = OK
    if not frame.seen & (FC_NAME_BIT(NAME_SUCCESS) | FC_NAME_BIT(NAME_RET_CODE)):
        return E_MALFORMED
    _clear(reply)
    if frame.seen & FC_NAME_BIT(NAME_RET_CODE):
        code = _ret_code(frame, &reply.error_code)
        if code != OK:
            return code
    reply.status = bybit_status(reply.error_code)
    if frame.seen & FC_NAME_BIT(NAME_SUCCESS):
        if not frame.have & FC_NAME_BIT(NAME_SUCCESS):
            return E_MALFORMED
        if reply.status == 200 and not frame.is_success:
            reply.status = 400
    return EV_SESSION


cdef int read_reply(const Frame* frame, ReplyEvent* reply) noexcept nogil:
    """To one request: verb and intent are its request id's, another's id is not ours."""
    cdef const Text* request_id = &frame.request_id
    cdef int code
    _clear(reply)
    code = _ret_code(frame, &reply.error_code)
    if code != OK:
        return code
    if frame.seen & FC_NAME_BIT(NAME_ORDER_ID):
        if not frame.have & FC_NAME_BIT(NAME_ORDER_ID):
            return E_MALFORMED
        reply.venue_order_id = id_number(&frame.order_id)
    reply.status = bybit_status(reply.error_code)
    if reply.status == 200:
        reply.order_status = _pending_state(_verb_of(&frame.op))
    if not frame.have & FC_NAME_BIT(NAME_REQ_ID):
        return EV_REPLY
    if request_id.size == REQUEST_ID_SIZE or (
            request_id.size == LONG_REQUEST_ID_SIZE and request_id.at[REQUEST_ID_SIZE] == 45
            and read_hex(request_id.at + REQUEST_ID_SIZE + 1, INTENT_DIGITS) >= 0):
        if 49 <= request_id.at[0] <= 48 + VERB_BATCH:
            reply.intent_id = read_hex(request_id.at + 1, INTENT_DIGITS)
            if reply.intent_id >= 0:
                reply.verb = request_id.at[0] - 48
    return EV_REPLY


cdef int read_batch(
    const Frame* frame, const Owner* owner, int verb, Item* item, ReplyEvent* replies, int room
) noexcept nogil:
    cdef const uint8_t* orders = frame.orders
    cdef const uint8_t* codes = frame.codes
    cdef ReplyEvent* reply
    cdef int64_t ret_code = 0
    cdef int count = 0
    cdef int code
    if not frame.seen & (FC_NAME_BIT(NAME_LIST) | FC_NAME_BIT(NAME_CODES)):
        return E_MALFORMED if frame.ret_code == 0 else 0
    if not (frame.have & FC_NAME_BIT(NAME_LIST) and frame.have & FC_NAME_BIT(NAME_CODES)):
        return E_MALFORMED
    while True:
        code = next_item(&orders, frame.end, item)
        if code <= 0:
            break
        if count == room:
            return E_FULL
        reply = &replies[count]
        _clear(reply)
        code = read_batch_order(item, owner, reply)
        if code != OK:
            return code
        if next_item(&codes, frame.end, item) <= 0:
            return E_MALFORMED
        code = item_uint(item, NAME_CODE, &ret_code)
        if code == OK and ret_code > CODE_MAX:
            code = E_RANGE
        if code != OK:
            return code
        reply.verb = verb
        reply.error_code = <int> ret_code
        reply.status = bybit_status(ret_code)
        if reply.status == 200:
            reply.order_status = _pending_state(verb)
        count += 1
    if code < 0 or next_item(&codes, frame.end, item) != 0:
        return E_MALFORMED
    return count
