# cython: language_level=3
"""Decimal text <-> integer units, exact; see fixed.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.scan cimport (
    FC_EACH_BYTE, fc_byte_range, fc_digits_value, fc_first, fc_load8, fc_lowest, fc_other_mask,
    fc_pow10,
)
from fastcore.types cimport OK, Scale

cdef enum:
    UNITS_DIGITS_MAX = 18      # digits of value * 10^decimals: below 10^18, so int64 with room
    DECIMALS_MAX = 12          # of a tick or a lot
    UNITS_TEXT_MAX = 24        # bytes that format_units may write: sign, 20 digits, point, "0."

# Text such as b"0.10" into a scale. OK, E_MALFORMED (no plain decimal), E_RANGE (zero, too fine or
# too large). Cold.
cdef int scale_from_text(const uint8_t* text, int64_t size, Scale* scale) noexcept nogil

# Text of units * step * 10^-decimals, always with all `decimals`, into out (UNITS_TEXT_MAX bytes)
# -> bytes written, or E_RANGE when the value has more than UNITS_DIGITS_MAX digits.
cdef int format_units(uint8_t* out, int64_t units, const Scale* scale) noexcept nogil


# parse_units of any text: what its fast path leaves over.
cdef int parse_units_slow(
    const uint8_t** cursor, const uint8_t* end, const Scale* scale, int64_t* out) noexcept nogil


cdef inline int parse_units(
    const uint8_t** cursor, const uint8_t* end, const Scale* scale, int64_t* out
) noexcept nogil:
    """Decimal text at the cursor into units of the scale; the cursor moves past it.

    Grammar: -?(0|[1-9][0-9]*)([.][0-9]+)?, so no exponent and no leading zeros. What follows is
    the caller's business.
    OK; E_MALFORMED: not that (the cursor stays); E_RANGE: more than UNITS_DIGITS_MAX digits, or
    finer than the scale, or not a multiple of its step (the cursor is after the text).

    Here: up to eight digits in all, not negative, not near the buffer's end. The bytes before the
    point and the bytes after it are joined to one word, so that one multiplication chain reads it.
    """
    cdef const uint8_t* p = cursor[0]
    cdef const uint8_t* after
    cdef uint64_t x, whole_mask
    cdef uint32_t others, later
    cdef int whole_count, part_count, used
    if fc_unlikely(end - p < 17):
        return parse_units_slow(cursor, end, scale, out)
    others = fc_other_mask(p)
    whole_count = fc_lowest(others)
    used = 0
    x = fc_load8(p)
    if fc_unlikely(whole_count == 0 or whole_count > 8 or (p[0] == 48 and whole_count > 1)):
        return parse_units_slow(cursor, end, scale, out)
    if fc_likely(p[whole_count] == 46):
        later = others & (others - 1)
        if fc_unlikely(later == 0):
            return parse_units_slow(cursor, end, scale, out)
        after = p + fc_first(later)
        part_count = fc_first(later) - whole_count - 1
        used = part_count if part_count < scale.decimals else scale.decimals
        if fc_unlikely(
                part_count == 0 or part_count > 8 or whole_count + used > 8 or whole_count == 8
                or (part_count > used and fc_byte_range(
                    fc_load8(p + whole_count + 1) ^ FC_EACH_BYTE(48), used, part_count) != 0)):
            return parse_units_slow(cursor, end, scale, out)
        whole_mask = (<uint64_t> 1 << (8 * whole_count)) - 1
        x = (x & whole_mask) | (fc_load8(p + 1) & ~whole_mask)
    else:
        after = p + whole_count
    if fc_unlikely(scale.step != 1 or whole_count + scale.decimals > UNITS_DIGITS_MAX):
        return parse_units_slow(cursor, end, scale, out)
    x = fc_digits_value(x ^ FC_EACH_BYTE(48), whole_count + used)
    cursor[0] = after
    out[0] = <int64_t> (x * fc_pow10[scale.decimals - used])
    return OK
