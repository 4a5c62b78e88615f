# cython: language_level=3
"""Numbers of Binance's market messages where they are as usual, and room follows them.

Each looks at one spelling only and validates every byte of it; False or NULL: spelt in another way
(or wrong), which the general readers tell apart. Up to eight digits in all are read by one chain
of three multiplications; a number's length never costs a loop.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.fixed cimport UNITS_DIGITS_MAX
from fastcore.scan cimport (
    FC_EACH_BYTE, fc_byte_range, fc_digit_run, fc_digits_value, fc_first, fc_load4, fc_load8,
    fc_other_mask, fc_pow10,
)
from fastcore.types cimport Level, Scale

cdef extern from *:
    """
    /* Are the bytes these? Four bytes must be readable. */
    static inline int fc_are4(const uint8_t* at, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
        return (uint32_t) fc_load4(at) == (a | b << 8 | c << 16 | d << 24);
    }
    static inline int fc_are3(const uint8_t* at, uint32_t a, uint32_t b, uint32_t c) {
        return (fc_load4(at) & 0xFFFFFFu) == (a | b << 8 | c << 16);
    }
    """
    bint fc_are3(const uint8_t* at, uint8_t a, uint8_t b, uint8_t c) noexcept nogil
    bint fc_are4(const uint8_t* at, uint8_t a, uint8_t b, uint8_t c, uint8_t d) noexcept nogil

cdef enum:
    LEVEL_ROOM = 48            # bytes that must follow a level's start: two masks, and a load


cdef inline bint is_plain(const Scale* scale) noexcept nogil:
    """May units_of read it? Eight digits before the point, and all decimals behind it, must fit."""
    return scale.step == 1 and scale.decimals <= UNITS_DIGITS_MAX - 8


cdef inline int64_t units_of(
    const uint8_t* p, int whole, int part, int decimals
) noexcept nogil:
    """Value of `whole` digits, and `part` more behind a point (0: there is none); -1: not so easy.

    The caller has seen that they are digits, and that 8 bytes from p + whole + 1 may be read.
    """
    cdef int used = part if part < decimals else decimals
    cdef uint64_t mask, x
    if fc_unlikely(<unsigned int> (whole - 1) > 6 or whole + used > 8
                   or (p[0] == 48 and whole > 1)):
        return -1
    if part > used:
        if fc_unlikely(part > 8 or fc_byte_range(
                fc_load8(p + whole + 1) ^ FC_EACH_BYTE(48), used, part) != 0):
            return -1
    mask = (<uint64_t> 1 << (8 * whole)) - 1
    x = (fc_load8(p) & mask) | (fc_load8(p + 1) & ~mask)
    x = fc_digits_value(x ^ FC_EACH_BYTE(48), whole + used)
    return <int64_t> (x * fc_pow10[decimals - used])


cdef inline const uint8_t* usual_units(
    const uint8_t* p, const uint8_t* end, const Scale* scale, int64_t* out
) noexcept nogil:
    """A decimal and the quote behind it: at that quote. 25 bytes must be there."""
    cdef uint32_t others
    cdef int whole, size
    if fc_unlikely(end - p < 25):
        return NULL
    others = fc_other_mask(p) | 0x30000
    whole = fc_first(others)
    size = whole
    if fc_likely(p[whole] == 46):
        size = fc_first(others & (others - 1))
        if fc_unlikely(size == whole + 1):
            return NULL
    if fc_unlikely(size > 15 or p[size] != 34):
        return NULL
    out[0] = units_of(p, whole, size - whole - 1 if size > whole else 0, scale.decimals)
    return p + size if fc_likely(out[0] >= 0) else NULL


cdef inline const uint8_t* last_units(
    const uint8_t* p, const uint8_t* end, const Scale* scale, int64_t* out
) noexcept nogil:
    """As usual_units, where the message may end behind it: 12 bytes are enough."""
    cdef uint32_t others
    cdef int whole, size
    cdef int64_t left = end - p
    if fc_likely(left >= 25):
        return usual_units(p, end, scale, out)
    if left < 12:
        return NULL
    others = fc_other_mask(p if left >= 16 else end - 16)
    if left < 16:
        others >>= 16 - left
    others |= 0x30000
    whole = fc_first(others)
    if whole > 3 or p[whole] != 46:
        return NULL
    size = fc_first(others & (others - 1))
    if size == whole + 1 or size > 15 or size >= left or p[size] != 34:
        return NULL
    out[0] = units_of(p, whole, size - whole - 1, scale.decimals)
    return p + size if out[0] >= 0 else NULL


cdef inline const uint8_t* usual_ms(
    const uint8_t* p, const uint8_t* end, int64_t* out
) noexcept nogil:
    """A time of 13 digits (2001 to 2286), and no more: after it."""
    cdef uint64_t low, high
    if fc_unlikely(end - p < 14):
        return NULL
    high = fc_load8(p) ^ FC_EACH_BYTE(48)
    low = fc_load8(p + 5) ^ FC_EACH_BYTE(48)
    if fc_unlikely(fc_digit_run(high) != 8 or fc_digit_run(low) != 8 or p[0] == 48
                   or <uint8_t> (p[13] - 48) < 10):
        return NULL
    out[0] = <int64_t> (fc_digits_value(high, 5) * 100000000 + fc_digits_value(low, 8))
    return p + 13


cdef inline const uint8_t* usual_level(
    const uint8_t* p, int px_decimals, int qty_decimals, Level* level
) noexcept nogil:
    """`["px","qty"]` without space: after it. LEVEL_ROOM bytes must be there.

    One mask of what is no digit over 32 bytes tells where both numbers end.
    """
    cdef uint32_t others
    cdef const uint8_t* qty
    cdef int whole, px_size, qty_whole, qty_end
    cdef int64_t px_ticks, qty_lots
    p += 2
    others = fc_other_mask(p) | fc_other_mask(p + 16) << 16
    whole = fc_first(others | <uint32_t> 0x80000000)
    px_size = whole
    others &= others - 1
    if fc_likely(p[whole] == 46):
        px_size = fc_first(others | <uint32_t> 0x80000000)
        others &= others - 1
        if fc_unlikely(px_size == whole + 1):
            return NULL
    if fc_unlikely((p - 1)[0] != 34 or not fc_are3(p + px_size, 34, 44, 34)):
        return NULL
    others &= others - 1                   # the comma and the quote that were just seen
    others &= others - 1
    qty = p + px_size + 3
    qty_whole = fc_first(others | <uint32_t> 0x80000000)
    qty_end = qty_whole
    if fc_likely(p[qty_whole] == 46):
        others &= others - 1
        qty_end = fc_first(others | <uint32_t> 0x80000000)
        if fc_unlikely(qty_end == qty_whole + 1):
            return NULL
    if fc_unlikely(qty_end >= 31 or p[qty_end] != 34 or p[qty_end + 1] != 93):
        return NULL
    px_ticks = units_of(
        p, whole, px_size - whole - 1 if px_size > whole else 0, px_decimals)
    qty_lots = units_of(
        qty, qty_whole - px_size - 3, qty_end - qty_whole - 1 if qty_end > qty_whole else 0,
        qty_decimals)
    if fc_unlikely((px_ticks | qty_lots) < 0):
        return NULL
    level.px_ticks = px_ticks
    level.qty_lots = qty_lots
    return p + qty_end + 2
