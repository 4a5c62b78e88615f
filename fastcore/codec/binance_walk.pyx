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
from libc.string cimport memcmp, memcpy, memset

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.codec.binance_frame cimport (
    FC_BIT, FC_BIT_ASKS, FC_BIT_BIDS, FC_BIT_LAST, FC_BIT_PU, REPLY_CODE, REPLY_ERROR, REPLY_ID,
    REPLY_MSG, REPLY_RESULT, REPLY_STATUS, Frame, Names, Text, FC_LEVEL_ROOM, fc_read_levels,
    text_is,
)
from fastcore.codec.binance_number cimport LEVEL_ROOM, usual_level
from fastcore.codec.binance_read cimport (
    is_letter, read_letters, read_level_units, read_name, read_text, read_uint, read_units,
)
from fastcore.codec.binance_reply cimport walk_error, walk_error_code, walk_result
from fastcore.scan cimport skip_space, skip_string, skip_value, starts_with
from fastcore.types cimport E_MALFORMED, LEVELS_MAX, OK, Level

cdef enum:                     # which object the walk is in
    IN_TOP
    IN_INNER                   # `data` of a combined frame, `event` of a user stream's
    IN_REST                    # the top again, after that: only `stream` is read


# -- WALK ---

cdef inline void clear(Frame* frame) noexcept nogil:
    cdef Names* names = &frame.names
    names.seen = names.have = names.off = names.full = 0
    names = &frame.reply.names
    names.seen = names.have = names.off = names.full = 0


cdef int walk_message(Frame* frame, const uint8_t* buf, int64_t size) noexcept nogil:
    """The message's one object, and nothing after it but whitespace. O(size), no allocation."""
    cdef const uint8_t* p
    FC_DCHECK(size >= 0)
    frame.end = frame.letters.end = buf + size
    if _is_combined(frame, buf):
        return OK
    clear(frame)
    frame.stream.size = -1
    frame.is_wrapped = 0
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
    frame.stream.at = p + 11
    p = skip_string(p + 11, end)
    if p == NULL or not starts_with(p, end, b',"data":{', 9):
        return False
    frame.stream.size = p - frame.stream.at - 1
    frame.is_wrapped = 1
    clear(frame)
    p = _object(frame, p + 9, IN_INNER)
    return p != NULL and end - p == 1 and p[0] == 125


cdef const uint8_t* _object(Frame* frame, const uint8_t* p, int where) noexcept nogil:
    """Names and values up to and past the closing brace; p is after the opening one."""
    cdef const uint8_t* end = frame.end
    p = skip_space(p, end)
    if p < end and p[0] == 125:
        return p + 1
    while True:
        if fc_likely(end - p > 4 and p[2] == 34 and p[0] == 34 and p[3] == 58 and p[4] > 32
                     and where <= IN_INNER and is_letter(p[1])):
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
    cdef Text name
    p = read_name(p, end, &name)
    if fc_unlikely(p == NULL):
        return NULL
    if where[0] != IN_INNER:
        if text_is(&name, b"stream", 6):
            return _stream(frame, p)
        if p[0] == 123 and (text_is(&name, b"data", 4) or text_is(&name, b"event", 5)):
            if where[0] == IN_REST:
                return NULL                # two messages in one
            where[0] = IN_REST
            clear(frame)
            frame.is_wrapped = 1
            return _object(frame, p + 1, IN_INNER)
        if where[0] == IN_REST:
            return skip_value(p, end)
    if name.size == 1 and is_letter(name.at[0]):
        return _letter(frame, name.at[0], p)
    return _name(frame, &name, p)


cdef const uint8_t* _stream(Frame* frame, const uint8_t* p) noexcept nogil:
    """Which stream a wrapped message is of: the only name of a snapshot's instrument."""
    cdef const uint8_t* after
    if frame.stream.size >= 0:
        return NULL
    after = skip_value(p, frame.end)
    if after != NULL and p[0] == 34:
        frame.stream.at = p + 1
        frame.stream.size = after - p - 2
    return after


cdef const uint8_t* _letter(Frame* frame, uint8_t letter, const uint8_t* p) noexcept nogil:
    """Value of a one-letter name of an event."""
    cdef const uint8_t* end = frame.end
    cdef Names* names = &frame.names
    cdef uint64_t bit = FC_BIT(letter)
    if fc_unlikely(names.seen & bit):
        return NULL
    names.seen |= bit
    frame.letters.at[letter & 63] = p
    if letter == c"b":
        if p[0] == 91:
            return walk_levels(frame, FC_BIT_BIDS, frame.bids, &frame.bid_count, p)
        return read_units(names, bit, &frame.px_scale, &frame.bid_px_ticks, p, end)
    elif letter == c"a":
        if p[0] == 91:
            return walk_levels(frame, FC_BIT_ASKS, frame.asks, &frame.ask_count, p)
        return read_units(names, bit, &frame.px_scale, &frame.ask_px_ticks, p, end)
    elif letter == c"B":
        return read_units(names, bit, &frame.qty_scale, &frame.bid_qty_lots, p, end)
    elif letter == c"A":
        return read_units(names, bit, &frame.qty_scale, &frame.ask_qty_lots, p, end)
    elif letter == c"p":
        return read_units(names, bit, &frame.px_scale, &frame.px_ticks, p, end)
    elif letter == c"q":
        return read_units(names, bit, &frame.qty_scale, &frame.qty_lots, p, end)
    elif letter == c"E":
        return read_uint(names, bit, &frame.event_ms, p, end)
    elif letter == c"T":
        return read_uint(names, bit, &frame.transaction_ms, p, end)
    elif letter == c"U":
        return read_uint(names, bit, &frame.first_update_id, p, end)
    elif letter == c"u":
        return read_uint(names, bit, &frame.update_id, p, end)
    elif letter == c"t":
        return read_uint(names, bit, &frame.trade_id, p, end)
    elif letter == c"e":
        return read_text(names, bit, &frame.event, p, end)
    elif letter == c"s":
        return read_text(names, bit, &frame.symbol, p, end)
    elif letter == c"X":
        return read_text(names, bit, &frame.trade_type, p, end)
    elif letter == c"m":
        if p[0] == 116 or p[0] == 102:
            frame.buyer_is_maker = p[0] == 116
            names.have |= bit
    elif letter == c"o":
        if p[0] == 123:
            names.have |= bit
            return read_letters(&frame.order, p + 1, end)
    return skip_value(p, end)


cdef const uint8_t* _name(Frame* frame, const Text* name, const uint8_t* p) noexcept nogil:
    """Value of a longer name, at the level of an event or a snapshot."""
    cdef const uint8_t* end = frame.end
    cdef Names* names = &frame.names
    cdef uint64_t bit = 0
    if text_is(name, b"pu", 2):
        bit = FC_BIT_PU
    elif text_is(name, b"bids", 4):
        bit = FC_BIT_BIDS
    elif text_is(name, b"asks", 4):
        bit = FC_BIT_ASKS
    elif text_is(name, b"symbol", 6):
        bit = FC_BIT(c"s")
    elif text_is(name, b"lastUpdateId", 12):
        bit = FC_BIT_LAST
    if bit == 0:
        return _reply_name(frame, name, p)
    if fc_unlikely(names.seen & bit):
        return NULL
    names.seen |= bit
    if bit == FC_BIT_PU:
        return read_uint(names, bit, &frame.prev_update_id, p, end)
    if bit == FC_BIT_LAST:
        return read_uint(names, bit, &frame.update_id, p, end)
    if bit == FC_BIT_BIDS and p[0] == 91:
        return walk_levels(frame, bit, frame.bids, &frame.bid_count, p)
    if bit == FC_BIT_ASKS and p[0] == 91:
        return walk_levels(frame, bit, frame.asks, &frame.ask_count, p)
    if bit == FC_BIT(c"s"):
        return read_text(names, bit, &frame.symbol, p, end)
    return skip_value(p, end)


cdef const uint8_t* _reply_name(Frame* frame, const Text* name, const uint8_t* p) noexcept nogil:
    """Value of a name of a reply, or of one that we don't know."""
    cdef const uint8_t* end = frame.end
    cdef Names* names = &frame.reply.names
    cdef uint64_t bit = 0
    if text_is(name, b"id", 2):
        bit = REPLY_ID
    elif text_is(name, b"status", 6):
        bit = REPLY_STATUS
    elif text_is(name, b"result", 6):
        bit = REPLY_RESULT
    elif text_is(name, b"error", 5):
        bit = REPLY_ERROR
    elif text_is(name, b"code", 4):
        bit = REPLY_CODE
    elif text_is(name, b"msg", 3):
        bit = REPLY_MSG
    if bit == 0:
        return skip_value(p, end)
    if fc_unlikely(names.seen & bit):
        return NULL
    names.seen |= bit
    if bit == REPLY_ID:
        return read_text(names, bit, &frame.reply.request_id, p, end)
    if bit == REPLY_STATUS:
        return read_uint(names, bit, &frame.reply.status, p, end)
    if bit == REPLY_CODE:
        return walk_error_code(frame, bit, p)
    if bit == REPLY_RESULT and p[0] == 123:
        return walk_result(frame, p + 1)
    if bit == REPLY_ERROR and p[0] == 123:
        names.have |= bit
        return walk_error(frame, p + 1)
    return skip_value(p, end)


cdef inline const uint8_t* _run(
    const Frame* frame, Level* levels, int64_t* filled, const uint8_t* p
) noexcept nogil:
    """As many levels as levels.h can read from p on; near the message's end, in a copy."""
    cdef uint8_t[2 * FC_LEVEL_ROOM] tail
    cdef int64_t left = frame.end - p
    if fc_likely(left > FC_LEVEL_ROOM):
        return fc_read_levels(p, frame.end, &frame.px_rows, &frame.qty_rows,
                              <int64_t*> levels, LEVELS_MAX, filled)
    memcpy(tail, p, <size_t> left)
    memset(tail + left, 0, <size_t> FC_LEVEL_ROOM)
    return p + (fc_read_levels(
        tail, tail + left + FC_LEVEL_ROOM, &frame.px_rows, &frame.qty_rows,
        <int64_t*> levels, LEVELS_MAX, filled) - tail)


cdef const uint8_t* walk_levels(
    Frame* frame, uint64_t bit, Level* levels, int64_t* count, const uint8_t* p
) noexcept nogil:
    """[["px","qty"],...]; elements of a level after the second are skipped. p is at its [.

    A full or off-grid side sets its bit. Another shape than levels is skipped without one.
    """
    cdef const uint8_t* end = frame.end
    cdef const uint8_t* start = p
    cdef const uint8_t* usual_end = end - LEVEL_ROOM if frame.has_plain_scales else p
    cdef const uint8_t* after
    cdef int px_decimals = frame.px_scale.decimals     # not read again after each store
    cdef int qty_decimals = frame.qty_scale.decimals
    cdef Level level
    cdef int64_t filled = 0
    cdef int code = OK
    p = skip_space(p + 1, end)
    while p < end and p[0] == 91:
        if fc_likely(frame.has_rows):
            after = _run(frame, levels, &filled, p)
            if fc_likely(after != p):
                p = after
                continue
        elif fc_likely(p < usual_end):
            # In place: 16 bytes read back from two stores of 8 would wait for both.
            after = usual_level(
                p, px_decimals, qty_decimals,
                &levels[filled] if fc_likely(filled < <int64_t> LEVELS_MAX) else &level)
            if fc_likely(after != NULL and (after[0] == 93 or (after[0] == 44 and after[1] == 91))):
                filled += 1
                p = after + (after[0] == 44)
                continue       # a ] ends the loop
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
        frame.names.full |= bit
    elif fc_unlikely(code != OK):
        frame.names.off |= bit
    else:
        frame.names.have |= bit
    return p + 1


# -- STREAM: what only the wrapper of a combined stream tells ---

cdef bint is_partial_stream(const Frame* frame) noexcept nogil:
    cdef const Text* stream = &frame.stream
    cdef int64_t at = 0
    while at < stream.size and stream.at[at] != 64:
        at += 1
    return (stream.size - at > 6 and memcmp(stream.at + at, b"@depth", 6) == 0
            and 48 <= stream.at[at + 6] <= 57)


cdef bint is_own_stream(const Frame* frame) noexcept nogil:
    cdef const Text* stream = &frame.stream
    cdef const Text* own = &frame.own_stream
    return (stream.size > own.size and stream.at[own.size] == 64
            and memcmp(stream.at, own.at, <size_t> own.size) == 0)
