# cython: language_level=3
"""Values of Binance messages, inlined into the walk.

Each takes p at the value's first byte and returns after it, or NULL if it is not JSON. A value of
the right shape is stored and its bit set in frame.have; right but not representable, in frame.off.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.codec.binance_frame cimport Frame, Text
from fastcore.fixed cimport parse_units
from fastcore.scan cimport scan_uint, skip_space, skip_string, skip_value
from fastcore.types cimport E_MALFORMED, E_RANGE, OK, Level, Scale

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


cdef inline const uint8_t* read_uint(
    Frame* frame, uint64_t bit, int64_t* out, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef const uint8_t* after = scan_uint(p, end, out)
    if fc_likely(after != NULL):
        if fc_likely(out[0] >= 0):
            frame.have |= bit
        else:
            frame.off |= bit
        return after
    return skip_value(p, end)


cdef inline const uint8_t* read_units(
    Frame* frame, uint64_t bit, const Scale* scale, int64_t* out,
    const uint8_t* p, const uint8_t* end
) noexcept nogil:
    """A decimal in a string; never negative."""
    cdef const uint8_t* after
    cdef int code
    if fc_likely(p[0] == 34):
        after = p + 1
        code = parse_units(&after, end, scale, out)
        if fc_likely(code != E_MALFORMED and after < end and after[0] == 34):
            if fc_likely(code == OK and out[0] >= 0):
                frame.have |= bit
            else:
                frame.off |= bit
            return after + 1
    return skip_value(p, end)


cdef inline const uint8_t* read_text(
    Frame* frame, uint64_t bit, Text* out, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef const uint8_t* after
    if fc_likely(p[0] == 34):
        after = skip_string(p + 1, end)
        if fc_likely(after != NULL):
            out.at = p + 1
            out.size = after - p - 2
            frame.have |= bit
        return after
    return skip_value(p, end)


cdef inline bint read_level_units(
    const uint8_t** cursor, const uint8_t* end, const Scale* scale, int64_t* out, int* code
) noexcept nogil:
    """One string of a level; `code` becomes E_RANGE when it can't be represented."""
    cdef int parsed
    cdef const uint8_t* p = skip_space(cursor[0], end)
    if fc_unlikely(p >= end or p[0] != 34):
        return False
    p += 1
    parsed = parse_units(&p, end, scale, out)
    if fc_unlikely(parsed == E_MALFORMED or p >= end or p[0] != 34):
        return False
    if fc_unlikely(parsed != OK or out[0] < 0):
        code[0] = E_RANGE
    cursor[0] = skip_space(p + 1, end)
    return True


cdef inline bint read_fast_level(
    const uint8_t** cursor, const uint8_t* end, const Frame* frame, Level* level
) noexcept nogil:
    """`["px","qty"],` with another level after it, on the grid, without space. Else False."""
    cdef const uint8_t* p = cursor[0] + 2
    if end - p < 32 or (p - 1)[0] != 34:
        return False
    if (fc_unlikely(parse_units(&p, end, &frame.px_scale, &level.px_ticks) != OK)
            or fc_unlikely(end - p < 4 or not fc_are3(p, 34, 44, 34))):
        return False
    p += 3
    if (fc_unlikely(parse_units(&p, end, &frame.qty_scale, &level.qty_lots) != OK)
            or fc_unlikely(end - p < 4 or not fc_are4(p, 34, 93, 44, 91))
            or fc_unlikely(level.px_ticks < 0 or level.qty_lots < 0)):
        return False
    cursor[0] = p + 3
    return True
