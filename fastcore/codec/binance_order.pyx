# cython: language_level=3
"""The inside of an ORDER_TRADE_UPDATE: words and numbers of its `o`, and of a reply's order.

    "o":{"s":"BTCUSDT","c":"tm0123abcd-01-00000000002a","S":"SELL","q":"0.003","p":"7100.50",
     "x":"TRADE","X":"PARTIALLY_FILLED","i":8886774,"l":"0.001","z":"0.002","L":"7100.40",
     "n":"0.01000000","t":12345678,"m":true}

The walk has seen that every value is whole, valid JSON, and kept where it starts: here each is
read as what it has to be. Source: developers.binance.com, usds-margined-futures, user data
streams, Event: Order Update.
"""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.binance_frame cimport FC_BIT, Frame, Text, text_is
from fastcore.fixed cimport parse_units
from fastcore.scan cimport scan_uint, skip_string
from fastcore.types cimport (
    E_MALFORMED, E_RANGE, E_UNKNOWN, EXEC_AMENDMENT, EXEC_CALCULATED, EXEC_CANCELED, EXEC_EXPIRED,
    EXEC_NEW, EXEC_REJECTED, EXEC_TRADE, OK, ORD_CANCELED, ORD_EXPIRED, ORD_FILLED, ORD_NEW,
    ORD_PARTIALLY_FILLED, ORD_PENDING_CANCEL, ORD_REJECTED, ORD_UNKNOWN, SIDE_BUY, SIDE_SELL,
    OrderEvent, Scale,
)

cdef Scale FEE_SCALE
FEE_SCALE.decimals = 8
FEE_SCALE.step = 1


cdef int order_state(const Text* text) noexcept nogil:
    """ORD_* of Binance `X`/`status`; ORD_UNKNOWN: a word that we don't know."""
    if text_is(text, b"NEW", 3):
        return ORD_NEW
    if text_is(text, b"PARTIALLY_FILLED", 16):
        return ORD_PARTIALLY_FILLED
    if text_is(text, b"FILLED", 6):
        return ORD_FILLED
    if text_is(text, b"CANCELED", 8):
        return ORD_CANCELED
    if text_is(text, b"EXPIRED", 7) or text_is(text, b"EXPIRED_IN_MATCH", 16):
        return ORD_EXPIRED
    if text_is(text, b"REJECTED", 8):
        return ORD_REJECTED
    if text_is(text, b"PENDING_CANCEL", 14):
        return ORD_PENDING_CANCEL
    return ORD_UNKNOWN


cdef int exec_type(const Text* text) noexcept nogil:
    """EXEC_* of Binance `x`; -1: a word that we don't know."""
    if text_is(text, b"TRADE", 5):
        return EXEC_TRADE
    if text_is(text, b"NEW", 3):
        return EXEC_NEW
    if text_is(text, b"CANCELED", 8):
        return EXEC_CANCELED
    if text_is(text, b"EXPIRED", 7):
        return EXEC_EXPIRED
    if text_is(text, b"AMENDMENT", 9):
        return EXEC_AMENDMENT
    if text_is(text, b"CALCULATED", 10):
        return EXEC_CALCULATED
    if text_is(text, b"REJECTED", 8):
        return EXEC_REJECTED
    return -1


# -- VALUES ---

cdef bint order_text(const Frame* frame, uint8_t letter, Text* out) noexcept nogil:
    """A string; False: it is none."""
    cdef const uint8_t* p = frame.order_values[letter & 63]
    if p[0] != 34:
        return False
    out.at = p + 1
    out.size = skip_string(p + 1, frame.end) - p - 2
    return True


cdef int order_units(
    const Frame* frame, uint8_t letter, const Scale* scale, int64_t* out
) noexcept nogil:
    """A decimal in a string. OK, E_MALFORMED or E_RANGE."""
    cdef const uint8_t* p = frame.order_values[letter & 63]
    cdef int code
    if p[0] != 34:
        return E_MALFORMED
    p += 1
    code = parse_units(&p, frame.end, scale, out)
    if code == E_MALFORMED or p[0] != 34:
        return E_MALFORMED
    return code


cdef int order_uint(const Frame* frame, uint8_t letter, int64_t* out) noexcept nogil:
    """A whole number. OK, E_MALFORMED or E_RANGE."""
    if scan_uint(frame.order_values[letter & 63], frame.end, out) == NULL:
        return E_MALFORMED
    return OK if out[0] >= 0 else E_RANGE


# -- AN ORDER UPDATE ---

cdef int read_order_words(const Frame* frame, OrderEvent* order) noexcept nogil:
    """S, x, X, m."""
    cdef Text side, execution, status
    if not (order_text(frame, c"S", &side) and order_text(frame, c"x", &execution)
            and order_text(frame, c"X", &status)):
        return E_MALFORMED
    if not (text_is(&side, b"BUY", 3) or text_is(&side, b"SELL", 4)):
        return E_MALFORMED
    order.side = SIDE_BUY if side.size == 3 else SIDE_SELL
    order.exec_type = exec_type(&execution)
    order.status = order_state(&status)
    if order.exec_type < 0 or order.status == ORD_UNKNOWN:
        return E_UNKNOWN
    order.is_maker = 0
    if frame.order_seen & FC_BIT(c"m"):
        order.is_maker = frame.order_values[c"m" & 63][0] == 116
    return OK


cdef int read_order_numbers(const Frame* frame, OrderEvent* order) noexcept nogil:
    """i, t, p, q, z, L, l, n. A commission may be negative (a rebate); nothing else may."""
    cdef int[8] codes
    cdef int worst = OK
    cdef int i
    codes[0] = order_uint(frame, c"i", &order.venue_order_id)
    codes[1] = order_units(frame, c"p", &frame.px_scale, &order.px_ticks)
    codes[2] = order_units(frame, c"q", &frame.qty_scale, &order.qty_lots)
    codes[3] = order_units(frame, c"z", &frame.qty_scale, &order.cum_qty_lots)
    codes[4] = order_units(frame, c"L", &frame.px_scale, &order.last_px_ticks)
    codes[5] = order_units(frame, c"l", &frame.qty_scale, &order.last_qty_lots)
    codes[6] = codes[7] = OK
    order.trade_id = -1
    if order.exec_type == EXEC_TRADE:
        codes[6] = E_MALFORMED
        if frame.order_seen & FC_BIT(c"t"):
            codes[6] = order_uint(frame, c"t", &order.trade_id)
    order.fee_e8 = 0
    if frame.order_seen & FC_BIT(c"n"):
        codes[7] = order_units(frame, c"n", &FEE_SCALE, &order.fee_e8)
    for i in range(8):
        if codes[i] == E_MALFORMED:
            return E_MALFORMED
        if codes[i] != OK:
            worst = codes[i]
    if worst == OK and (order.px_ticks < 0 or order.qty_lots < 0 or order.cum_qty_lots < 0
                        or order.last_px_ticks < 0 or order.last_qty_lots < 0):
        worst = E_RANGE
    return worst
