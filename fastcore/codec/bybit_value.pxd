# cython: language_level=3
"""Values of an item of a Bybit array, inlined where items are read.

Each takes the item and a name, and returns OK with the value, E_MALFORMED (the name is missing, or
its value of another shape) or E_RANGE (right in shape, but not representable).

Ids. Orders, trades and executions of linear are UUIDs, those of spot are whole numbers. A whole
number below 2^62 stands for itself; any other text for the upper 62 bits of its hash64. 62 and not
63, so that twice an id and a side's bit still fit. Two of N ids collide with odds of N^2 / 2^63.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcmp

from fastcore.codec.binance_frame cimport Text, text_is
from fastcore.codec.bybit_frame cimport FC_NAME_BIT, Item
from fastcore.fixed cimport parse_units
from fastcore.hash cimport hash64
from fastcore.scan cimport is_digit, scan_uint, skip_string
from fastcore.types cimport E_MALFORMED, E_RANGE, OK, SIDE_BUY, SIDE_SELL, Scale, ns_t, seq_t

cdef enum:
    NS_PER_MS = 1000000
    MS_MAX = 9223372036854     # of which the nanoseconds fit in 63 bits
    E8_DECIMALS = 8
    ID_DIGITS_MAX = 19


cdef inline bint same_text(const Text* text, const Text* other) noexcept nogil:
    return text.size == other.size and memcmp(text.at, other.at, <size_t> other.size) == 0


cdef inline bint has_value(const Item* item, int name) noexcept nogil:
    return item.seen & FC_NAME_BIT(name) != 0


cdef inline int item_text(const Item* item, int name, Text* out) noexcept nogil:
    """A string. OK or E_MALFORMED."""
    cdef const uint8_t* p
    cdef const uint8_t* after
    if not has_value(item, name) or item.at[name][0] != 34:
        return E_MALFORMED
    p = item.at[name] + 1
    after = skip_string(p, item.end)
    if after == NULL:
        return E_MALFORMED
    out.at = p
    out.size = after - p - 1
    return OK


cdef inline int item_units(
    const Item* item, int name, const Scale* scale, int64_t* out
) noexcept nogil:
    """A decimal in a string, not negative. OK, E_MALFORMED or E_RANGE."""
    cdef const uint8_t* p
    cdef int code
    if not has_value(item, name) or item.at[name][0] != 34:
        return E_MALFORMED
    p = item.at[name] + 1
    code = parse_units(&p, item.end, scale, out)
    if code == E_MALFORMED or p >= item.end or p[0] != 34:
        return E_MALFORMED
    return E_RANGE if code != OK or out[0] < 0 else OK


cdef inline int item_units_or_zero(
    const Item* item, int name, const Scale* scale, int64_t* out
) noexcept nogil:
    """As _units; 0 where the venue sends none, or an empty string."""
    out[0] = 0
    if not has_value(item, name):
        return OK
    if item.end - item.at[name] >= 2 and item.at[name][0] == 34 and item.at[name][1] == 34:
        return OK
    return item_units(item, name, scale, out)


cdef inline int item_uint(const Item* item, int name, int64_t* out) noexcept nogil:
    """A whole number, bare. OK, E_MALFORMED or E_RANGE."""
    if not has_value(item, name) or scan_uint(item.at[name], item.end, out) == NULL:
        return E_MALFORMED
    return OK if out[0] >= 0 else E_RANGE


cdef inline int ms_to_ns(int64_t ms, ns_t* out) noexcept nogil:
    if ms > <int64_t> MS_MAX:
        return E_RANGE
    out[0] = ms * NS_PER_MS
    return OK


cdef inline int item_ms_text(const Item* item, int name, ns_t* out) noexcept nogil:
    """Milliseconds in a string, as the private topics have them."""
    cdef const uint8_t* p
    cdef int64_t ms
    if not has_value(item, name) or item.at[name][0] != 34:
        return E_MALFORMED
    p = scan_uint(item.at[name] + 1, item.end, &ms)
    if p == NULL or p >= item.end or p[0] != 34:
        return E_MALFORMED
    return E_RANGE if ms < 0 else ms_to_ns(ms, out)


cdef inline int item_bool(const Item* item, int name, int32_t* out) noexcept nogil:
    """true or false; 0 where the venue sends none."""
    out[0] = 0
    if not has_value(item, name):
        return OK
    out[0] = item.at[name][0] == 116
    return OK if out[0] or item.at[name][0] == 102 else E_MALFORMED


cdef inline int item_e8(const Item* item, int name, bint round_up, int64_t* out) noexcept nogil:
    """A signed decimal in a string, in 1e-8; what is finer is rounded up or down."""
    cdef Text text
    cdef Scale scale
    cdef const uint8_t* p
    cdef const uint8_t* end
    cdef const uint8_t* point
    cdef bint is_exact = True
    cdef int64_t i
    cdef int code
    scale.decimals = E8_DECIMALS
    scale.step = 1
    if item_text(item, name, &text) != OK:
        return E_MALFORMED
    p = text.at
    end = text.at + text.size
    point = text.at
    while point < end and point[0] != 46:
        point += 1
    if end - point > E8_DECIMALS + 1:
        for i in range(E8_DECIMALS + 1, end - point):
            if not is_digit(point[i]):
                return E_MALFORMED
            is_exact = is_exact and point[i] == 48
        end = point + E8_DECIMALS + 1
    code = parse_units(&p, end, &scale, out)
    if code == E_MALFORMED or p != end:
        return E_MALFORMED
    if code == OK and not is_exact:
        if text.at[0] == 45:
            out[0] -= 0 if round_up else 1
        else:
            out[0] += 1 if round_up else 0
    return code


cdef inline seq_t id_number(const Text* text) noexcept nogil:
    """The id as a number of 62 bits; -1: it is empty."""
    cdef int64_t value = 0
    if text.size == 0:
        return -1
    if text.size <= ID_DIGITS_MAX and scan_uint(text.at, text.at + text.size, &value) == (
            text.at + text.size) and value >= 0 and value >> 62 == 0:
        return value
    return <seq_t> (hash64(0, text.at, text.size) >> 2)


cdef inline int item_id(const Item* item, int name, seq_t* out) noexcept nogil:
    cdef Text text
    if item_text(item, name, &text) != OK or text.size == 0:
        return E_MALFORMED
    out[0] = id_number(&text)
    return OK


cdef inline int item_side(const Item* item, int name, int32_t* out) noexcept nogil:
    cdef Text text
    if item_text(item, name, &text) != OK:
        return E_MALFORMED
    if text_is(&text, b"Buy", 3):
        out[0] = SIDE_BUY
    elif text_is(&text, b"Sell", 4):
        out[0] = SIDE_SELL
    else:
        return E_MALFORMED
    return OK
