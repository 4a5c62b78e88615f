# cython: language_level=3
"""bookTicker, depthUpdate and trade, read along the very bytes that the venue writes.

    {"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT",
     "b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256314}}

The names come in one order, and between the numbers stand constants, our symbol's name among them:
each is compared whole, each number is checked byte by byte, and the message must end where it
ends. So what is taken here is well-formed, ours, and says what binance_decode would say. Whatever
is not so (another order, a space, a number that is not on the grid, another symbol) is left to
the general walk, which knows what to call it. No byte is used before it is compared.
"""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, memcpy

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.codec.binance_frame cimport FC_BIT_ASKS, FC_BIT_BIDS, Frame
from fastcore.codec.binance_number cimport last_units, usual_ms, usual_units
from fastcore.codec.binance_walk cimport walk_levels
from fastcore.scan cimport scan_uint
from fastcore.types cimport (
    EV_BEST, EV_DEPTH, EV_TRADE, SIDE_BUY, SIDE_SELL, BestEvent, DepthEvent, Event, TradeEvent,
)

cdef extern from *:
    """
    /* at[0:size] == data[0:size]; SPELLING_SIZE_MAX bytes of data may be read, at[0:room]. */
    static inline int fc_spelt(
        const uint8_t *at, int64_t room, const uint8_t *data, int64_t size) {
        if (room < size) {
            return 0;
        }
    #if defined(__SSE2__) && !defined(FC_PORTABLE)
        while (size > 0 && room >= 16) {
            uint32_t same = (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(
                _mm_loadu_si128((const __m128i*) at), _mm_loadu_si128((const __m128i*) data)));
            uint32_t want = size < 16 ? (1u << size) - 1 : 0xFFFFu;
            if ((same & want) != want) {
                return 0;
            }
            at += 16;
            data += 16;
            size -= 16;
            room -= 16;
        }
    #endif
        return size <= 0 || memcmp(at, data, (size_t) size) == 0;
    }
    /* Are they `","L":"` with this letter? Eight bytes must be readable. */
    static inline int fc_are7(const uint8_t *at, uint8_t letter) {
        static const uint64_t names = 0x00223A2200222C22ULL;
        return (fc_load8(at) & 0x00FFFFFFFFFFFFFFULL) == (names | (uint64_t) letter << 24);
    }
    """
    bint fc_spelt(
        const uint8_t* at, int64_t room, const uint8_t* data, int64_t size) noexcept nogil
    bint fc_are7(const uint8_t* at, uint8_t letter) noexcept nogil

cdef enum:
    NS_PER_MS = 1000000
    MS_MAX = 9223372036854     # of which the nanoseconds fit in 63 bits


cdef inline const uint8_t* after(
    const uint8_t* p, const uint8_t* end, const char* text, int64_t size
) noexcept nogil:
    """After these bytes, or NULL."""
    return p + size if end - p >= size and memcmp(p, text, <size_t> size) == 0 else NULL


cdef inline const uint8_t* after_piece(
    const uint8_t* p, const uint8_t* end, const Spelling* piece
) noexcept nogil:
    return p + piece.size if fc_spelt(p, end - p, piece.data, piece.size) else NULL


cdef inline const uint8_t* after_uint(
    const uint8_t* p, const uint8_t* end, int64_t* out
) noexcept nogil:
    p = scan_uint(p, end, out)
    return p if fc_likely(p != NULL and out[0] >= 0) else NULL


cdef inline bint closes(const uint8_t* p, const uint8_t* end, bint is_wrapped) noexcept nogil:
    """Is this the message's end: `}`, or `}}` of a combined frame?"""
    if is_wrapped:
        return end - p == 2 and p[0] == 125 and p[1] == 125
    return end - p == 1 and p[0] == 125


cdef inline const uint8_t* after_ms(
    const uint8_t* p, const uint8_t* end, int64_t* out
) noexcept nogil:
    p = usual_ms(p, end, out)
    return p if fc_likely(p != NULL and out[0] <= <int64_t> MS_MAX) else NULL


# -- MESSAGES: each from where the dispatch stopped ---

cdef inline int _best(
    const Spellings* spellings, const Frame* frame, BestEvent* best, const uint8_t* p,
    const uint8_t* end, bint is_wrapped,
) noexcept nogil:
    """p is at the first letter of the first name. Spot's has neither `e` nor times."""
    cdef const uint8_t* start = p
    cdef int64_t event_ms = 0
    cdef int64_t transaction_ms = 0
    p = after(start, end, b'e":"bookTicker","u":', 20)
    if p == NULL:
        p = after(start, end, b'u":', 3)
    if p == NULL:
        return 0
    p = after_uint(p, end, &best.update_id)
    if p == NULL:
        return 0
    p = after_piece(p, end, &spellings.best)
    if p == NULL:
        return 0
    p = usual_units(p, end, &frame.px_scale, &best.bid_px_ticks)
    if p == NULL or not fc_are7(p, c"B"):
        return 0
    p = usual_units(p + 7, end, &frame.qty_scale, &best.bid_qty_lots)
    if p == NULL or not fc_are7(p, c"a"):
        return 0
    p = usual_units(p + 7, end, &frame.px_scale, &best.ask_px_ticks)
    if p == NULL or not fc_are7(p, c"A"):
        return 0
    p = last_units(p + 7, end, &frame.qty_scale, &best.ask_qty_lots)
    if p == NULL:
        return 0
    start = after(p, end, b'","T":', 6)
    if start != NULL:
        p = after_ms(start, end, &transaction_ms)
        if p == NULL:
            return 0
        p = after(p, end, b',"E":', 5)
        if p == NULL:
            return 0
        p = after_ms(p, end, &event_ms)
        if p == NULL:
            return 0
        p -= 1
    if not closes(p + 1, end, is_wrapped):
        return 0
    best.exch_ts_ns = transaction_ms * NS_PER_MS
    return EV_BEST


cdef int _depth_stream(
    const Spellings* spellings, Frame* frame, DepthEvent* depth, const uint8_t* p,
    const uint8_t* end,
) noexcept nogil:
    """p is behind `depth`: a speed may follow, no number of levels (binance_decode says why)."""
    cdef int i = 0
    if end - p < 16 or (p[0] != 64 and p[0] != 34):
        return 0
    while i < 8 and p[i] != 34:
        if p[i] < 48 or p[i] == 92:
            return 0
        i += 1
    p = after(p + i, end, b'","data":{"e":"depthUpdate","E":', 32)
    return 0 if p == NULL else _depth(spellings, frame, depth, p, end, True)


cdef int _depth(
    const Spellings* spellings, Frame* frame, DepthEvent* depth, const uint8_t* p,
    const uint8_t* end, bint is_wrapped,
) noexcept nogil:
    """p is at E. Spot's has neither `T` nor `pu`."""
    cdef int64_t event_ms = 0
    cdef int64_t transaction_ms = 0
    cdef const uint8_t* next
    p = after_ms(p, end, &event_ms)
    if p == NULL:
        return 0
    next = after(p, end, b',"T":', 5)
    if next != NULL:
        p = after_ms(next, end, &transaction_ms)
        if p == NULL:
            return 0
        event_ms = transaction_ms
    next = after_piece(p, end, &spellings.depth)
    if next == NULL:
        next = after_piece(p, end, &spellings.depth_pair)
    if next == NULL:
        return 0
    p = after_uint(next, end, &depth.first_update_id)
    if p == NULL:
        return 0
    p = after(p, end, b',"u":', 5)
    if p == NULL:
        return 0
    p = after_uint(p, end, &depth.final_update_id)
    if p == NULL or depth.first_update_id > depth.final_update_id:
        return 0
    depth.prev_final_update_id = -1
    next = after(p, end, b',"pu":', 6)
    if next != NULL:
        p = after_uint(next, end, &depth.prev_final_update_id)
        if p == NULL:
            return 0
    depth.exch_ts_ns = event_ms * NS_PER_MS
    return _sides(frame, depth, p, end, is_wrapped)


cdef int _sides(
    Frame* frame, DepthEvent* depth, const uint8_t* p, const uint8_t* end, bint is_wrapped
) noexcept nogil:
    """`,"b":[...],"a":[...]` and the end."""
    frame.names.have = 0
    p = after(p, end, b',"b":[', 6)
    if p == NULL:
        return 0
    p = walk_levels(frame, FC_BIT_BIDS, frame.bids, &frame.bid_count, p - 1)
    if p == NULL:
        return 0
    p = after(p, end, b',"a":[', 6)
    if p == NULL:
        return 0
    p = walk_levels(frame, FC_BIT_ASKS, frame.asks, &frame.ask_count, p - 1)
    if p == NULL or not closes(p, end, is_wrapped):
        return 0
    if fc_unlikely(frame.names.have != (FC_BIT_BIDS | FC_BIT_ASKS)):
        return 0
    depth.bid_count = <int> frame.bid_count
    depth.ask_count = <int> frame.ask_count
    depth.bids = frame.bids
    depth.asks = frame.asks
    return EV_DEPTH


cdef int _trade(
    const Spellings* spellings, const Frame* frame, TradeEvent* trade, const uint8_t* p,
    const uint8_t* end, bint is_wrapped,
) noexcept nogil:
    """p is at E. USD-M's: `T` second, then the symbol; spot's is left to the general walk."""
    cdef int64_t event_ms = 0
    cdef int64_t transaction_ms = 0
    p = after_ms(p, end, &event_ms)
    if p == NULL:
        return 0
    p = after(p, end, b',"T":', 5)
    if p == NULL:
        return 0
    p = after_ms(p, end, &transaction_ms)
    if p == NULL:
        return 0
    p = after_piece(p, end, &spellings.trade)
    if p == NULL:
        return 0
    p = after_uint(p, end, &trade.trade_id)
    if p == NULL:
        return 0
    p = after(p, end, b',"p":"', 6)
    if p == NULL:
        return 0
    p = usual_units(p, end, &frame.px_scale, &trade.px_ticks)
    if p == NULL or not fc_are7(p, c"q"):
        return 0
    p = usual_units(p + 7, end, &frame.qty_scale, &trade.qty_lots)
    if p == NULL:
        return 0
    p = after(p, end, b'","X":"MARKET","m":', 19)
    if p == NULL or end - p < 6:
        return 0
    trade.aggressor = SIDE_SELL if p[0] == 116 else SIDE_BUY
    p = after(p, end, b"true", 4) if p[0] == 116 else after(p, end, b"false", 5)
    if p == NULL or not closes(p, end, is_wrapped):
        return 0
    trade.is_market = 1
    trade.exch_ts_ns = transaction_ms * NS_PER_MS
    return EV_TRADE


cdef int fast_message(
    const Spellings* spellings, Frame* frame, Event* event, const uint8_t* buf, int64_t size
) noexcept nogil:
    """EV_*, or 0: for the general walk."""
    cdef const uint8_t* end = buf + size
    cdef const uint8_t* p
    if fc_unlikely(size < 64 or not frame.has_plain_scales):
        return 0
    frame.end = end                        # walk_levels goes by it: never by the last message's
    if buf[2] == 115:                      # {"stream":
        p = after_piece(buf, end, &spellings.stream)
        if p == NULL:
            return 0
        if p[0] == 98:
            p = after(p, end, b'bookTicker","data":{"', 21)
            return 0 if p == NULL else _best(spellings, frame, &event.best, p, end, True)
        if p[0] == 100:
            p = after(p, end, b"depth", 5)
            return 0 if p == NULL else _depth_stream(spellings, frame, &event.depth, p, end)
        if p[0] == 116:
            p = after(p, end, b'trade","data":{"e":"trade","E":', 31)
            return 0 if p == NULL else _trade(spellings, frame, &event.trade, p, end, True)
        return 0
    if buf[0] != 123 or buf[1] != 34:
        return 0
    if buf[2] == 117 or (buf[2] == 101 and buf[6] == 98):
        return _best(spellings, frame, &event.best, buf + 2, end, False)
    p = after(buf + 2, end, b'e":"depthUpdate","E":', 21)
    if p != NULL:
        return _depth(spellings, frame, &event.depth, p, end, False)
    p = after(buf + 2, end, b'e":"trade","E":', 15)
    return 0 if p == NULL else _trade(spellings, frame, &event.trade, p, end, False)


# -- COLD ---

cdef int _spell(Spelling* spelling, bytes data) except -1:
    if len(data) > SPELLING_SIZE_MAX:
        raise ValueError("a constant part of a message is too long")
    spelling.size = len(data)
    memcpy(spelling.data, <const uint8_t*> data, <size_t> len(data))
    return 0


cdef int lay_down_spellings(Spellings* spellings, bytes symbol) except -1:
    """Everything of a message that stays the same but for the numbers."""
    _spell(&spellings.stream, b'{"stream":"%b@' % symbol.lower())
    _spell(&spellings.best, b',"s":"%b","b":"' % symbol)
    _spell(&spellings.depth, b',"s":"%b","U":' % symbol)
    _spell(&spellings.depth_pair, b',"s":"%b","ps":"%b","st":1,"U":' % (symbol, symbol))
    _spell(&spellings.trade, b',"s":"%b","t":' % symbol)
    return 0
