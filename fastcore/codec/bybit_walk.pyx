# cython: language_level=3
"""The one pass over the bytes of a Bybit v5 message.

    {"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT",
     "b":[["30247.20","30.028"],["30240.00","0"]],"a":[["30248.70","0"]],"u":177400507,
     "seq":66544703342},"cts":1687940967464}

The order of names differs between spot and linear: one walk reads any order, and skips names that
it doesn't know. `data` as an object is read at once, levels straight into the Frame; `data` as an
array is checked to be JSON and kept, and its items are read when the topic is known. A value that
is not on our grid only sets a bit: the message may turn out to be another symbol's, or of no use.

A name that we read given twice is malformed: which of the two is meant is anyone's guess.
Source: bybit-exchange.github.io/docs/v5, websocket: public, private and trade.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.codec.binance_frame cimport Text
from fastcore.codec.bybit_frame cimport (
    FC_NAME_BIT, NAME_a, NAME_b, NAME_BT, NAME_CATEGORY, NAME_CODE, NAME_CODES, NAME_COIN,
    NAME_COUNT, NAME_CREATION_TIME, NAME_CTS, NAME_CUM_EXEC_QTY, NAME_DATA, NAME_EXEC_FEE,
    NAME_EXEC_ID, NAME_EXEC_PRICE, NAME_EXEC_QTY, NAME_EXEC_TIME, NAME_EXEC_TYPE,
    NAME_FEE_CURRENCY, NAME_i, NAME_IS_MAKER, NAME_LEAVES_QTY, NAME_LIST, NAME_NONE, NAME_OP,
    NAME_ORDER_ID, NAME_ORDER_LINK_ID, NAME_ORDER_PRICE, NAME_ORDER_QTY, NAME_ORDER_STATUS, NAME_p,
    NAME_POSITION_IDX, NAME_PRICE, NAME_QTY, NAME_REJECT_REASON, NAME_REQ_ID, NAME_RET_CODE,
    NAME_RET_EXT_INFO, NAME_s, NAME_S, NAME_SEQ, NAME_SIDE, NAME_SIZE, NAME_SUCCESS, NAME_SYMBOL,
    NAME_T, NAME_TOPIC, NAME_TS, NAME_TYPE, NAME_u, NAME_UPDATED_TIME, NAME_v, NAME_WALLET_BALANCE,
    Frame, Item, Owner,
)
from fastcore.fixed cimport parse_units
from fastcore.scan cimport fc_load4, fc_load8, scan_uint, skip_space, skip_string, skip_value
from fastcore.types cimport E_MALFORMED, E_RANGE, LEVELS_MAX, OK, Level, Scale

cdef extern from *:
    """
    /* `","` and `"],[`, as fc_load4 reads them: what stands between the numbers of levels. */
    #define FC_BETWEEN 0x222C22u
    #define FC_AFTER 0x5B2C5D22u
    """
    const uint32_t FC_BETWEEN, FC_AFTER

cdef enum:
    SLOT_BITS = 8              # several times as many slots as names
    SLOTS = 1 << SLOT_BITS
    SLOT_MASK = SLOTS - 1

cdef enum:                     # which object the walk is in
    IN_TOP
    IN_DATA
    IN_EXT                     # retExtInfo

cdef Text[NAME_COUNT] TEXTS
cdef uint64_t[NAME_COUNT] WORDS        # of the texts
cdef uint8_t[SLOTS] TABLE      # hash of a name -> NAME_*; open addressing


# -- NAMES ---

cdef inline uint64_t _word(const uint8_t* at, int64_t size, const uint8_t* end) noexcept nogil:
    """The name's first eight bytes, the first one lowest; zeros behind a shorter one."""
    cdef uint64_t word = 0
    if size >= 8:
        return fc_load8(at)
    if fc_likely(end - at >= 8):
        return fc_load8(at) & ((<uint64_t> 1 << (8 * size)) - 1)
    while size > 0:
        size -= 1
        word = (word << 8) | at[size]
    return word


cdef inline uint32_t _slot(uint64_t word) noexcept nogil:
    """The first slot of a name: the top bits of a product with 2^64 / golden ratio."""
    return <uint32_t> ((word * <uint64_t> 0x9E3779B97F4A7C15) >> (64 - SLOT_BITS))


cdef inline int _name_of(const uint8_t* at, int64_t size, const uint8_t* end) noexcept nogil:
    """NAME_*; NAME_NONE: of no use to us."""
    cdef uint64_t word = _word(at, size, end)
    cdef uint32_t slot = _slot(word)
    cdef int name
    while True:
        name = TABLE[slot & SLOT_MASK]
        if name == NAME_NONE or (
                WORDS[name] == word and TEXTS[name].size == size
                and (size <= 8 or memcmp(TEXTS[name].at, at, <size_t> size) == 0)):
            return name
        slot += 1


cdef inline const uint8_t* _open_member(
    const uint8_t* p, const uint8_t* end, int* name
) noexcept nogil:
    """After `"name" :` and the space around it, at the value's first byte."""
    cdef const uint8_t* start = p + 1
    if fc_unlikely(p >= end or p[0] != 34):
        return NULL
    p = skip_string(start, end)
    if fc_unlikely(p == NULL):
        return NULL
    name[0] = _name_of(start, p - start - 1, end)
    p = skip_space(p, end)
    if fc_unlikely(p >= end or p[0] != 58):
        return NULL
    p = skip_space(p + 1, end)
    return p if fc_likely(p < end) else NULL


cdef inline const uint8_t* _close_member(
    const uint8_t* p, const uint8_t* end, bint* has_more
) noexcept nogil:
    """After a comma, at the next name; or after the closing brace."""
    p = skip_space(p, end)
    if fc_unlikely(p >= end):
        return NULL
    has_more[0] = p[0] == 44
    if has_more[0]:
        return skip_space(p + 1, end)
    return p + 1 if p[0] == 125 else NULL


# -- A MESSAGE ---

cdef int walk_message(
    Frame* frame, const Owner* owner, const uint8_t* buf, int64_t size
) noexcept nogil:
    """The message's one object, and nothing after it but whitespace. O(size), no allocation."""
    cdef const uint8_t* p
    FC_DCHECK(size >= 0)
    frame.end = buf + size
    frame.seen = frame.have = frame.off = frame.full = 0
    p = skip_space(buf, frame.end)
    if fc_unlikely(p >= frame.end or p[0] != 123):
        return E_MALFORMED
    p = _object(frame, owner, p + 1, IN_TOP)
    return OK if fc_likely(p != NULL and skip_space(p, frame.end) == frame.end) else E_MALFORMED


cdef const uint8_t* _object(
    Frame* frame, const Owner* owner, const uint8_t* p, int where
) noexcept nogil:
    """Names and values up to and past the closing brace; p is after the opening one."""
    cdef const uint8_t* end = frame.end
    cdef bint has_more = True
    cdef int name = NAME_NONE
    p = skip_space(p, end)
    if p < end and p[0] == 125:
        return p + 1
    while has_more:
        p = _open_member(p, end, &name)
        if fc_unlikely(p == NULL):
            return NULL
        if name == NAME_NONE:
            p = skip_value(p, end)
        elif where == IN_TOP:
            p = _top(frame, owner, name, p)
        elif where == IN_DATA:
            p = _data(frame, owner, name, p)
        else:
            p = _ext(frame, name, p)
        if fc_likely(p != NULL):
            p = _close_member(p, end, &has_more)
        if fc_unlikely(p == NULL):
            return NULL
    return p


cdef const uint8_t* _top(Frame* frame, const Owner* owner, int name,
                         const uint8_t* p) noexcept nogil:
    """Value of a name of the message itself."""
    cdef uint64_t bit = FC_NAME_BIT(name)
    if name > NAME_RET_EXT_INFO:
        return skip_value(p, frame.end)
    if fc_unlikely(frame.seen & bit):
        return NULL
    frame.seen |= bit
    if name == NAME_DATA:
        frame.have |= bit
        if p[0] == 123:
            frame.items = NULL
            return _object(frame, owner, p + 1, IN_DATA)
        frame.items = p if p[0] == 91 else NULL
        return skip_value(p, frame.end)
    elif name == NAME_TOPIC:
        return _text(frame, bit, &frame.topic, p)
    elif name == NAME_TYPE:
        return _text(frame, bit, &frame.type, p)
    elif name == NAME_OP:
        return _text(frame, bit, &frame.op, p)
    elif name == NAME_REQ_ID:
        return _text(frame, bit, &frame.request_id, p)
    elif name == NAME_TS:
        return _uint(frame, bit, &frame.ts_ms, p)
    elif name == NAME_CTS:
        return _uint(frame, bit, &frame.cts_ms, p)
    elif name == NAME_CREATION_TIME:
        return _uint(frame, bit, &frame.creation_ms, p)
    elif name == NAME_RET_CODE:
        return _uint(frame, bit, &frame.ret_code, p)
    elif name == NAME_RET_EXT_INFO:
        return _object(frame, owner, p + 1, IN_EXT) if p[0] == 123 else skip_value(p, frame.end)
    if p[0] == 116 or p[0] == 102:         # success: true or false
        frame.is_success = p[0] == 116
        frame.have |= bit
    return skip_value(p, frame.end)


cdef const uint8_t* _data(Frame* frame, const Owner* owner, int name,
                          const uint8_t* p) noexcept nogil:
    """Value of a name of `data` where that is an object: a book, or a reply's result."""
    cdef uint64_t bit = FC_NAME_BIT(name)
    if not NAME_s <= name <= NAME_ORDER_ID:
        return skip_value(p, frame.end)
    if fc_unlikely(frame.seen & bit):
        return NULL
    frame.seen |= bit
    if name == NAME_b:
        return _levels(frame, owner, bit, frame.bids, &frame.bid_count, p)
    elif name == NAME_a:
        return _levels(frame, owner, bit, frame.asks, &frame.ask_count, p)
    elif name == NAME_s:
        return _text(frame, bit, &frame.symbol, p)
    elif name == NAME_u:
        return _uint(frame, bit, &frame.update_id, p)
    elif name == NAME_SEQ:
        return _uint(frame, bit, &frame.cross_seq, p)
    elif name == NAME_ORDER_ID:
        return _text(frame, bit, &frame.order_id, p)
    if p[0] == 91:                         # list
        frame.orders = p
        frame.have |= bit
    return skip_value(p, frame.end)


cdef const uint8_t* _ext(Frame* frame, int name, const uint8_t* p) noexcept nogil:
    """Value of a name of retExtInfo."""
    cdef uint64_t bit = FC_NAME_BIT(NAME_CODES)
    if name == NAME_LIST:
        if fc_unlikely(frame.seen & bit):
            return NULL
        frame.seen |= bit
        if p[0] == 91:
            frame.codes = p
            frame.have |= bit
    return skip_value(p, frame.end)


# -- VALUES: after the value, or NULL if it is not JSON ---

cdef inline const uint8_t* _text(
    Frame* frame, uint64_t bit, Text* out, const uint8_t* p
) noexcept nogil:
    cdef const uint8_t* after
    if fc_unlikely(p[0] != 34):
        return skip_value(p, frame.end)
    after = skip_string(p + 1, frame.end)
    if fc_likely(after != NULL):
        out.at = p + 1
        out.size = after - p - 2
        frame.have |= bit
    return after


cdef inline const uint8_t* _uint(
    Frame* frame, uint64_t bit, int64_t* out, const uint8_t* p
) noexcept nogil:
    cdef const uint8_t* after = scan_uint(p, frame.end, out)
    if fc_unlikely(after == NULL):
        return skip_value(p, frame.end)
    if fc_likely(out[0] >= 0):
        frame.have |= bit
    else:
        frame.off |= bit
    return after


cdef inline bint _fast_level(
    const uint8_t** cursor, const uint8_t* end, const Owner* owner, Level* level
) noexcept nogil:
    """`["px","qty"],` with another level after it, on the grid, without space. Else False."""
    cdef const uint8_t* p = cursor[0] + 2
    if fc_unlikely(end - p < 32 or (p - 1)[0] != 34):
        return False
    if (fc_unlikely(parse_units(&p, end, &owner.px_scale, &level.px_ticks) != OK)
            or fc_unlikely(end - p < 4 or (fc_load4(p) & 0xFFFFFF) != FC_BETWEEN)):
        return False
    p += 3
    if (fc_unlikely(parse_units(&p, end, &owner.qty_scale, &level.qty_lots) != OK)
            or fc_unlikely(end - p < 4 or fc_load4(p) != FC_AFTER)
            or fc_unlikely(level.px_ticks < 0 or level.qty_lots < 0)):
        return False
    cursor[0] = p + 3
    return True


cdef bint _number(
    const uint8_t** cursor, const uint8_t* end, const Scale* scale, int64_t* out, int* code
) noexcept nogil:
    """One string of a level; `code` becomes E_RANGE when it can't be represented."""
    cdef int parsed
    cdef const uint8_t* p = skip_space(cursor[0], end)
    if p >= end or p[0] != 34:
        return False
    p += 1
    parsed = parse_units(&p, end, scale, out)
    if parsed == E_MALFORMED or p >= end or p[0] != 34:
        return False
    if parsed != OK or out[0] < 0:
        code[0] = E_RANGE
    cursor[0] = skip_space(p + 1, end)
    return True


cdef bint _slow_level(
    const uint8_t** cursor, const uint8_t* end, const Owner* owner, Level* level, int* code
) noexcept nogil:
    """A level with any space in it; the cursor is at its [, and moves past its ]."""
    cdef const uint8_t* p = cursor[0] + 1
    if not _number(&p, end, &owner.px_scale, &level.px_ticks, code):
        return False
    if p >= end or p[0] != 44:
        return False
    p += 1
    if not _number(&p, end, &owner.qty_scale, &level.qty_lots, code):
        return False
    if p >= end or p[0] != 93:
        return False
    cursor[0] = p + 1
    return True


cdef const uint8_t* _levels(
    Frame* frame, const Owner* owner, uint64_t bit, Level* levels, int64_t* count,
    const uint8_t* p
) noexcept nogil:
    """[["px","qty"],...]. A full or off-grid side sets its bit; another shape, no bit."""
    cdef const uint8_t* end = frame.end
    cdef const uint8_t* start = p
    cdef Level level
    cdef int64_t filled = 0
    cdef int code = OK
    if fc_unlikely(p[0] != 91):
        return skip_value(p, end)
    p = skip_space(p + 1, end)
    while p < end and p[0] == 91:
        if fc_likely(_fast_level(&p, end, owner, &level)):
            if fc_likely(filled < <int64_t> LEVELS_MAX):
                levels[filled] = level
            filled += 1
            continue
        if fc_unlikely(not _slow_level(&p, end, owner, &level, &code)):
            return skip_value(start, end)
        if fc_likely(filled < <int64_t> LEVELS_MAX):
            levels[filled] = level
        filled += 1
        p = skip_space(p, end)
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


# -- ITEMS ---

cdef int next_item(const uint8_t** cursor, const uint8_t* end, Item* item) noexcept nogil:
    """Where the values of one object's names start. O(its bytes); a value is not looked into."""
    cdef const uint8_t* p = cursor[0]
    cdef bint has_more = True
    cdef int name = NAME_NONE
    if fc_unlikely(p >= end or (p[0] != 91 and p[0] != 44)):
        return 0 if p < end and p[0] == 93 else E_MALFORMED
    cursor[0] = skip_space(p + 1, end)
    if p[0] == 91 and cursor[0] < end and cursor[0][0] == 93:
        return 0
    p = cursor[0]
    if fc_unlikely(p >= end or p[0] != 123):
        return E_MALFORMED
    item.seen = 0
    item.end = end
    p = skip_space(p + 1, end)
    if p < end and p[0] == 125:
        p += 1
        has_more = False
    while has_more:
        p = _open_member(p, end, &name)
        if fc_unlikely(p == NULL):
            return E_MALFORMED
        if name != NAME_NONE:
            if fc_unlikely(item.seen & FC_NAME_BIT(name)):
                return E_MALFORMED
            item.seen |= FC_NAME_BIT(name)
            item.at[name] = p
        p = skip_value(p, end)
        if p != NULL:
            p = _close_member(p, end, &has_more)
        if fc_unlikely(p == NULL):
            return E_MALFORMED
    cursor[0] = skip_space(p, end)
    return 1


# -- COLD ---

_NAMES = {
    NAME_TOPIC: b"topic", NAME_TYPE: b"type", NAME_TS: b"ts", NAME_CTS: b"cts",
    NAME_CREATION_TIME: b"creationTime", NAME_DATA: b"data", NAME_OP: b"op",
    NAME_SUCCESS: b"success", NAME_RET_CODE: b"retCode", NAME_REQ_ID: b"reqId",
    NAME_RET_EXT_INFO: b"retExtInfo", NAME_s: b"s", NAME_b: b"b", NAME_a: b"a", NAME_u: b"u",
    NAME_SEQ: b"seq", NAME_LIST: b"list", NAME_ORDER_ID: b"orderId",
    NAME_ORDER_LINK_ID: b"orderLinkId", NAME_T: b"T", NAME_S: b"S", NAME_v: b"v", NAME_p: b"p",
    NAME_i: b"i", NAME_BT: b"BT", NAME_CATEGORY: b"category", NAME_SYMBOL: b"symbol",
    NAME_SIDE: b"side", NAME_PRICE: b"price", NAME_QTY: b"qty", NAME_ORDER_STATUS: b"orderStatus",
    NAME_REJECT_REASON: b"rejectReason", NAME_CUM_EXEC_QTY: b"cumExecQty",
    NAME_UPDATED_TIME: b"updatedTime", NAME_ORDER_PRICE: b"orderPrice",
    NAME_ORDER_QTY: b"orderQty", NAME_LEAVES_QTY: b"leavesQty", NAME_EXEC_FEE: b"execFee",
    NAME_EXEC_ID: b"execId", NAME_EXEC_PRICE: b"execPrice", NAME_EXEC_QTY: b"execQty",
    NAME_EXEC_TYPE: b"execType", NAME_EXEC_TIME: b"execTime", NAME_IS_MAKER: b"isMaker",
    NAME_FEE_CURRENCY: b"feeCurrency", NAME_SIZE: b"size", NAME_POSITION_IDX: b"positionIdx",
    NAME_COIN: b"coin", NAME_WALLET_BALANCE: b"walletBalance", NAME_CODE: b"code",
}  # the texts' bytes live as long as this


cdef int _fill_table() except -1:
    cdef bytes text
    cdef uint32_t slot
    for name, text in _NAMES.items():
        TEXTS[<int> name].at = text
        TEXTS[<int> name].size = len(text)
        WORDS[<int> name] = _word(text, len(text), TEXTS[<int> name].at + len(text))
        slot = _slot(WORDS[<int> name])
        while TABLE[slot & SLOT_MASK] != NAME_NONE:
            slot += 1
        TABLE[slot & SLOT_MASK] = name
    return 0


_fill_table()
