# cython: language_level=3
"""The one pass over the bytes of a Binance message.

    {"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT",
     "b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}

One walk reads any object, in any order of names, skipping names that it doesn't know. What a name
means depends on `e`, which may come late (COIN-M sends `u` first): so a value is read by the shape
that its name always has (`b` as a string is a price, as an array it is levels), straight into the
Frame, and kept with the bit of its name. A value that is not on our grid only sets a bit: the
message may turn out to be another symbol's, or of no use.

A combined frame is its `data`; everything beside it is skipped. A name given twice that we read is
malformed: which of the two is meant is anyone's guess.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.codec.binance_frame cimport (
    FC_BIT, FC_BIT_ASKS, FC_BIT_BIDS, FC_BIT_CODE, FC_BIT_CUM_QTY, FC_BIT_ERROR, FC_BIT_ID,
    FC_BIT_LAST, FC_BIT_ORDER_ID, FC_BIT_ORDER_STATUS, FC_BIT_PU, FC_BIT_RESULT, FC_BIT_STATUS,
    Frame, Text, text_is,
)
from fastcore.codec.binance_read cimport (
    read_fast_level, read_level_units, read_text, read_uint, read_units,
)
from fastcore.scan cimport scan_uint, skip_space, skip_string, skip_value, starts_with
from fastcore.types cimport E_MALFORMED, LEVELS_MAX, OK, Level

cdef enum:                     # which object the walk is in
    IN_TOP
    IN_DATA                    # of a combined frame
    IN_REST                    # the top again, after `data`: nothing more is read
    IN_ORDER                   # o
    IN_RESULT
    IN_ERROR


# -- WALK ---

cdef inline bint is_letter(uint8_t char) noexcept nogil:
    return <uint8_t> ((char | 32) - 97) < 26


cdef int walk_message(Frame* frame, const uint8_t* buf, int64_t size) noexcept nogil:
    """The message's one object, and nothing after it but whitespace. O(size), no allocation."""
    cdef const uint8_t* p
    FC_DCHECK(size >= 0)
    frame.end = buf + size
    frame.seen = frame.have = frame.off = frame.full = 0
    if _is_combined(frame, buf):
        return OK
    frame.seen = frame.have = frame.off = frame.full = 0
    p = skip_space(buf, frame.end)
    if fc_unlikely(p >= frame.end or p[0] != 123):
        return E_MALFORMED
    p = _object(frame, p + 1, IN_TOP)
    if fc_unlikely(p == NULL or skip_space(p, frame.end) != frame.end):
        return E_MALFORMED
    return OK


cdef bint _is_combined(Frame* frame, const uint8_t* p) noexcept nogil:
    """Read `{"stream":"...","data":{...}}` as the venue spells it. False: spelt in another way."""
    cdef const uint8_t* end = frame.end
    if not starts_with(p, end, b'{"stream":"', 11):
        return False
    p = skip_string(p + 11, end)
    if p == NULL or not starts_with(p, end, b',"data":{', 9):
        return False
    p = _object(frame, p + 9, IN_DATA)
    return p != NULL and end - p == 1 and p[0] == 125


cdef int walk_order(Frame* frame) noexcept nogil:
    frame.order_seen = 0
    return OK if _object(frame, frame.order, IN_ORDER) != NULL else E_MALFORMED


cdef const uint8_t* _object(Frame* frame, const uint8_t* p, int where) noexcept nogil:
    """Names and values up to and past the closing brace; p is after the opening one."""
    cdef const uint8_t* end = frame.end
    p = skip_space(p, end)
    if p < end and p[0] == 125:
        return p + 1
    while True:
        if fc_likely(end - p > 4 and p[2] == 34 and p[0] == 34 and p[3] == 58 and p[4] > 32
                     and where <= IN_DATA and is_letter(p[1])):
            p = _letter(frame, p[1], p + 4)
        else:
            p = _member(frame, p, &where)
        if fc_unlikely(p == NULL):
            return NULL
        if fc_likely(end - p > 1 and p[0] == 44 and p[1] == 34):
            p += 1
            continue
        p = skip_space(p, end)
        if fc_unlikely(p >= end):
            return NULL
        if p[0] != 44:
            return p + 1 if p[0] == 125 else NULL
        p = skip_space(p + 1, end)


cdef const uint8_t* _member(Frame* frame, const uint8_t* p, int* where) noexcept nogil:
    """A name and its value, whatever they are and whatever space is around them."""
    cdef const uint8_t* end = frame.end
    cdef const uint8_t* name = p + 1
    cdef int64_t size
    if fc_unlikely(p >= end or p[0] != 34):
        return NULL
    p = skip_string(name, end)
    if fc_unlikely(p == NULL):
        return NULL
    size = p - name - 1
    p = skip_space(p, end)
    if fc_unlikely(p >= end or p[0] != 58):
        return NULL
    p = skip_space(p + 1, end)
    if fc_unlikely(p >= end):
        return NULL
    if where[0] >= IN_ORDER:
        return _inner_name(frame, where[0], name, size, p)
    if where[0] == IN_TOP and size == 4 and p[0] == 123 and memcmp(name, b"data", 4) == 0:
        where[0] = IN_REST
        frame.seen = frame.have = frame.off = frame.full = 0
        return _object(frame, p + 1, IN_DATA)
    if where[0] == IN_REST:
        if size == 4 and memcmp(name, b"data", 4) == 0:
            return NULL
        return skip_value(p, end)
    if size == 1 and is_letter(name[0]):
        return _letter(frame, name[0], p)
    return _name(frame, name, size, p)


cdef const uint8_t* _letter(Frame* frame, uint8_t letter, const uint8_t* p) noexcept nogil:
    """Value of a one-letter name of an event."""
    cdef const uint8_t* end = frame.end
    cdef uint64_t bit = FC_BIT(letter)
    if fc_unlikely(frame.seen & bit):
        return NULL
    frame.seen |= bit
    if letter == c"b":
        if p[0] == 91:
            return _levels(frame, FC_BIT_BIDS, frame.bids, &frame.bid_count, p)
        return read_units(frame, bit, &frame.px_scale, &frame.bid_px_ticks, p, end)
    elif letter == c"a":
        if p[0] == 91:
            return _levels(frame, FC_BIT_ASKS, frame.asks, &frame.ask_count, p)
        return read_units(frame, bit, &frame.px_scale, &frame.ask_px_ticks, p, end)
    elif letter == c"B":
        return read_units(frame, bit, &frame.qty_scale, &frame.bid_qty_lots, p, end)
    elif letter == c"A":
        return read_units(frame, bit, &frame.qty_scale, &frame.ask_qty_lots, p, end)
    elif letter == c"p":
        return read_units(frame, bit, &frame.px_scale, &frame.px_ticks, p, end)
    elif letter == c"q":
        return read_units(frame, bit, &frame.qty_scale, &frame.qty_lots, p, end)
    elif letter == c"E":
        return read_uint(frame, bit, &frame.event_ms, p, end)
    elif letter == c"T":
        return read_uint(frame, bit, &frame.transaction_ms, p, end)
    elif letter == c"U":
        return read_uint(frame, bit, &frame.first_update_id, p, end)
    elif letter == c"u":
        return read_uint(frame, bit, &frame.update_id, p, end)
    elif letter == c"t":
        return read_uint(frame, bit, &frame.trade_id, p, end)
    elif letter == c"e":
        return read_text(frame, bit, &frame.event, p, end)
    elif letter == c"s":
        return read_text(frame, bit, &frame.symbol, p, end)
    elif letter == c"X":
        return read_text(frame, bit, &frame.trade_type, p, end)
    elif letter == c"m":
        if p[0] == 116 or p[0] == 102:
            frame.buyer_is_maker = p[0] == 116
            frame.have |= bit
    elif letter == c"o":
        if p[0] == 123:
            frame.order = p + 1
            frame.have |= bit
    return skip_value(p, end)


cdef const uint8_t* _name(
    Frame* frame, const uint8_t* name, int64_t size, const uint8_t* p
) noexcept nogil:
    """Value of a longer name, at the level of an event, a snapshot or a reply."""
    cdef const uint8_t* end = frame.end
    cdef Text text
    cdef uint64_t bit = 0
    text.at = name
    text.size = size
    if size == 6:
        if text_is(&text, b"status", 6):
            bit = FC_BIT_STATUS
        elif text_is(&text, b"result", 6):
            bit = FC_BIT_RESULT
        elif text_is(&text, b"symbol", 6):
            bit = FC_BIT(c"s")
    elif text_is(&text, b"pu", 2):
        bit = FC_BIT_PU
    elif text_is(&text, b"id", 2):
        bit = FC_BIT_ID
    elif text_is(&text, b"bids", 4):
        bit = FC_BIT_BIDS
    elif text_is(&text, b"asks", 4):
        bit = FC_BIT_ASKS
    elif text_is(&text, b"error", 5):
        bit = FC_BIT_ERROR
    elif text_is(&text, b"lastUpdateId", 12):
        bit = FC_BIT_LAST
    if bit == 0:               # such as `stream`
        return skip_value(p, end)
    if fc_unlikely(frame.seen & bit):
        return NULL
    frame.seen |= bit
    if bit == FC_BIT_PU:
        return read_uint(frame, bit, &frame.prev_update_id, p, end)
    if bit == FC_BIT_LAST:
        return read_uint(frame, bit, &frame.update_id, p, end)
    if bit == FC_BIT_BIDS and p[0] == 91:
        return _levels(frame, bit, frame.bids, &frame.bid_count, p)
    if bit == FC_BIT_ASKS and p[0] == 91:
        return _levels(frame, bit, frame.asks, &frame.ask_count, p)
    if bit == FC_BIT(c"s"):
        return read_text(frame, bit, &frame.symbol, p, end)
    if bit == FC_BIT_ID:
        return read_text(frame, bit, &frame.request_id, p, end)
    if bit == FC_BIT_STATUS:
        return read_uint(frame, bit, &frame.status, p, end)
    if bit == FC_BIT_RESULT and p[0] == 123:
        return _object(frame, p + 1, IN_RESULT)
    if bit == FC_BIT_ERROR and p[0] == 123:
        frame.have |= bit
        return _object(frame, p + 1, IN_ERROR)
    return skip_value(p, end)


cdef const uint8_t* _inner_name(
    Frame* frame, int where, const uint8_t* name, int64_t size, const uint8_t* p
) noexcept nogil:
    """Value of a name inside `o`, `result` or `error`."""
    cdef const uint8_t* end = frame.end
    cdef Text text
    cdef uint64_t bit = 0
    text.at = name
    text.size = size
    if where == IN_ORDER:
        if size == 1 and is_letter(name[0]):
            if frame.order_seen & FC_BIT(name[0]):
                return NULL
            frame.order_seen |= FC_BIT(name[0])
            frame.order_values[name[0] & 63] = p
        return skip_value(p, end)
    if where == IN_ERROR:
        if text_is(&text, b"code", 4):
            bit = FC_BIT_CODE
    elif text_is(&text, b"orderId", 7):
        bit = FC_BIT_ORDER_ID
    elif text_is(&text, b"status", 6):
        bit = FC_BIT_ORDER_STATUS
    elif text_is(&text, b"executedQty", 11):
        bit = FC_BIT_CUM_QTY
    elif text_is(&text, b"symbol", 6):
        bit = FC_BIT(c"s")
    if bit == 0:
        return skip_value(p, end)
    if frame.seen & bit:
        return NULL
    frame.seen |= bit
    if bit == FC_BIT_ORDER_ID:
        return read_uint(frame, bit, &frame.venue_order_id, p, end)
    if bit == FC_BIT_ORDER_STATUS:
        return read_text(frame, bit, &frame.order_status, p, end)
    if bit == FC_BIT_CUM_QTY:
        return read_units(frame, bit, &frame.qty_scale, &frame.cum_qty_lots, p, end)
    if bit == FC_BIT_CODE:
        return _error_code(frame, p)
    return read_text(frame, bit, &frame.symbol, p, end)


cdef const uint8_t* _error_code(Frame* frame, const uint8_t* p) noexcept nogil:
    """The venue's number: the only one that may be negative."""
    cdef const uint8_t* after
    if p[0] != 45:
        return read_uint(frame, FC_BIT_CODE, &frame.error_code, p, frame.end)
    after = scan_uint(p + 1, frame.end, &frame.error_code)
    if after == NULL:
        return skip_value(p, frame.end)
    if frame.error_code < 0:
        frame.off |= FC_BIT_CODE
    else:
        frame.error_code = -frame.error_code
        frame.have |= FC_BIT_CODE
    return after


cdef const uint8_t* _levels(
    Frame* frame, uint64_t bit, Level* levels, int64_t* count, const uint8_t* p
) noexcept nogil:
    """[["px","qty"],...]; elements of a level after the second are skipped. p is at its [.

    A full or off-grid side sets its bit. Another shape than levels is skipped without one.
    """
    cdef const uint8_t* end = frame.end
    cdef const uint8_t* start = p
    cdef Level level
    cdef int64_t filled = 0
    cdef int code = OK
    p = skip_space(p + 1, end)
    while p < end and p[0] == 91:
        if fc_likely(read_fast_level(&p, end, frame, &level)):
            if fc_likely(filled < <int64_t> LEVELS_MAX):
                levels[filled] = level
            filled += 1
            continue
        p += 1
        if not read_level_units(&p, end, &frame.px_scale, &level.px_ticks, &code):
            return skip_value(start, end)
        if fc_unlikely(p >= end or p[0] != 44):
            return skip_value(start, end)
        p += 1
        if not read_level_units(&p, end, &frame.qty_scale, &level.qty_lots, &code):
            return skip_value(start, end)
        while fc_unlikely(p < end and p[0] == 44):
            p = skip_value(p + 1, end)
            if p == NULL:
                return NULL
            p = skip_space(p, end)
        if fc_unlikely(p >= end or p[0] != 93):
            return skip_value(start, end)
        if fc_likely(filled < <int64_t> LEVELS_MAX):
            levels[filled] = level
        filled += 1
        p = skip_space(p + 1, end)
        if p >= end or p[0] != 44:
            break
        p = skip_space(p + 1, end)
        if fc_unlikely(p >= end or p[0] != 91):
            return skip_value(start, end)
    if fc_unlikely(p >= end or p[0] != 93):
        return skip_value(start, end)
    count[0] = filled
    if fc_unlikely(filled > <int64_t> LEVELS_MAX):
        frame.full |= bit
    elif fc_unlikely(code != OK):
        frame.off |= bit
    else:
        frame.have |= bit
    return p + 1
