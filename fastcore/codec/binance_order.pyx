# cython: language_level=3
"""The inside of an order update: USD-M's ORDER_TRADE_UPDATE (its `o`), spot's executionReport.

    "o":{"s":"BTCUSDT","c":"tm0123abcd-01-00000000002a","S":"SELL","q":"0.003","p":"7100.50",
     "x":"TRADE","X":"PARTIALLY_FILLED","i":8886774,"l":"0.001","z":"0.002","L":"7100.40",
     "N":"USDT","n":"0.01000000","t":12345678,"m":true}

Both spell the same things with the same letters. The walk has seen that every value is whole,
valid JSON, and kept where it starts: here each is read as what it has to be.

  x REPLACED (spot) and AMENDMENT (USD-M) are the same: new price or quantity, same order.
  x TRADE_PREVENTION took quantity away (A) without a trade: EXPIRED when that ended the order,
    else an AMENDMENT to what may still trade, q - A.
  X PENDING_NEW waits for another order of its list: accepted, so NEW.
  n, N: the fee, in 1e-8 of whatever asset it was paid in. No fee is a fee of 0 quote.
Sources: developers.binance.com, usds-margined-futures, user data streams (Event: Order Update);
binance-spot-api-docs, user-data-stream.md (Order Update).
"""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.binance_frame cimport FC_BIT, Frame, Letters, Text, is_asset, text_is
from fastcore.fixed cimport parse_units
from fastcore.scan cimport scan_uint, skip_string
from fastcore.types cimport (
    E_MALFORMED, E_RANGE, E_UNKNOWN, EXEC_AMENDMENT, EXEC_CALCULATED, EXEC_CANCELED, EXEC_EXPIRED,
    EXEC_NEW, EXEC_REJECTED, EXEC_TRADE, FEE_BASE, FEE_OTHER, FEE_QUOTE, OK, ORD_CANCELED,
    ORD_EXPIRED, ORD_FILLED, ORD_NEW, ORD_PARTIALLY_FILLED, ORD_PENDING_CANCEL, ORD_REJECTED,
    ORD_UNKNOWN, SIDE_BUY, SIDE_SELL, OrderEvent, Scale,
)

cdef enum:
    EXEC_PREVENTED = 100       # TRADE_PREVENTION, until the status is known

E8_SCALE.decimals = 8
E8_SCALE.step = 1


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
    if text_is(text, b"REPLACED", 8):
        return EXEC_AMENDMENT
    if text_is(text, b"TRADE_PREVENTION", 16):
        return EXEC_PREVENTED
    return -1


# -- VALUES ---

cdef bint letter_text(const Letters* letters, uint8_t letter, Text* out) noexcept nogil:
    cdef const uint8_t* p = letters.at[letter & 63]
    if p[0] != 34:
        return False
    out.at = p + 1
    out.size = skip_string(p + 1, letters.end) - p - 2
    return True


cdef int letter_units(
    const Letters* letters, uint8_t letter, const Scale* scale, int64_t* out
) noexcept nogil:
    cdef const uint8_t* p = letters.at[letter & 63]
    cdef int code
    if p[0] != 34:
        return E_MALFORMED
    p += 1
    code = parse_units(&p, letters.end, scale, out)
    if code == E_MALFORMED or p[0] != 34:
        return E_MALFORMED
    return code


cdef int letter_uint(const Letters* letters, uint8_t letter, int64_t* out) noexcept nogil:
    if scan_uint(letters.at[letter & 63], letters.end, out) == NULL:
        return E_MALFORMED
    return OK if out[0] >= 0 else E_RANGE


# -- AN ORDER UPDATE ---

cdef int read_order_words(const Letters* letters, OrderEvent* order) noexcept nogil:
    """S, x, X, m."""
    cdef Text side, execution, status
    if not (letter_text(letters, c"S", &side) and letter_text(letters, c"x", &execution)
            and letter_text(letters, c"X", &status)):
        return E_MALFORMED
    if not (text_is(&side, b"BUY", 3) or text_is(&side, b"SELL", 4)):
        return E_MALFORMED
    order.side = SIDE_BUY if side.size == 3 else SIDE_SELL
    order.exec_type = exec_type(&execution)
    order.status = ORD_NEW if text_is(&status, b"PENDING_NEW", 11) else order_state(&status)
    if order.exec_type < 0 or order.status == ORD_UNKNOWN:
        return E_UNKNOWN
    if order.exec_type == EXEC_PREVENTED:
        order.exec_type = EXEC_EXPIRED if order.status == ORD_EXPIRED else EXEC_AMENDMENT
    order.is_maker = 0
    if letters.seen & FC_BIT(c"m"):
        order.is_maker = letters.at[c"m" & 63][0] == 116
    return OK


cdef int read_order_numbers(
    const Frame* frame, const Letters* letters, bint is_spot, OrderEvent* order
) noexcept nogil:
    """i, t, p, q, z, L, l, A, n, N. A commission may be negative (a rebate); nothing else may."""
    cdef int[9] codes
    cdef int worst = OK
    cdef int64_t prevented_lots = 0
    cdef int i
    codes[0] = letter_uint(letters, c"i", &order.venue_order_id)
    codes[1] = letter_units(letters, c"p", &frame.px_scale, &order.px_ticks)
    codes[2] = letter_units(letters, c"q", &frame.qty_scale, &order.qty_lots)
    codes[3] = letter_units(letters, c"z", &frame.qty_scale, &order.cum_qty_lots)
    codes[4] = letter_units(letters, c"L", &frame.px_scale, &order.last_px_ticks)
    codes[5] = letter_units(letters, c"l", &frame.qty_scale, &order.last_qty_lots)
    codes[6] = codes[7] = OK
    order.trade_id = -1
    if order.exec_type == EXEC_TRADE:
        codes[6] = E_MALFORMED
        if letters.seen & FC_BIT(c"t"):
            codes[6] = letter_uint(letters, c"t", &order.trade_id)
    if is_spot and letters.seen & FC_BIT(c"A"):
        codes[7] = letter_units(letters, c"A", &frame.qty_scale, &prevented_lots)
    codes[8] = read_fee(frame, letters, order)
    for i in range(9):
        if codes[i] == E_MALFORMED:
            return E_MALFORMED
        if codes[i] != OK:
            worst = codes[i]
    if worst == OK and (order.px_ticks < 0 or order.qty_lots < 0 or order.cum_qty_lots < 0
                        or order.last_px_ticks < 0 or order.last_qty_lots < 0
                        or prevented_lots < 0 or prevented_lots > order.qty_lots):
        worst = E_RANGE
    order.qty_lots -= prevented_lots
    return worst


cdef int read_fee(const Frame* frame, const Letters* letters, OrderEvent* order) noexcept nogil:
    """n and N. An asset that is neither of ours, or not told, is FEE_OTHER."""
    cdef Text asset
    cdef int code = OK
    order.fee_e8 = 0
    order.fee_asset = FEE_QUOTE
    asset.at = NULL
    asset.size = 0
    if letters.seen & FC_BIT(c"N") and not letter_text(letters, c"N", &asset):
        if letters.at[c"N" & 63][0] != 110:            # null
            return E_MALFORMED
    if letters.seen & FC_BIT(c"n"):
        code = letter_units(letters, c"n", &E8_SCALE, &order.fee_e8)
    if code == OK and order.fee_e8 != 0:
        order.fee_asset = FEE_OTHER
        if is_asset(&asset, &frame.quote_asset):
            order.fee_asset = FEE_QUOTE
        elif is_asset(&asset, &frame.base_asset):
            order.fee_asset = FEE_BASE
    return code
