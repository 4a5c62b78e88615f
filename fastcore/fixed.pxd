# cython: language_level=3
"""Decimal text <-> integer units, exact; see fixed.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.scan cimport (
    FC_EACH_BYTE, fc_byte_range, fc_digit_run, fc_digits_value, fc_load8, fc_pow10, is_digit,
    scan_digits,
)
from fastcore.types cimport E_MALFORMED, E_RANGE, OK, Scale

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


cdef inline int fraction_units(
    const uint8_t** cursor, const uint8_t* end, int decimals, uint64_t* out
) noexcept nogil:
    """Digits after the point, as units of 10^-decimals; the rest of them must be zeros."""
    cdef const uint8_t* p = cursor[0]
    cdef const uint8_t* start = p
    cdef uint64_t x
    cdef uint64_t value = 0
    cdef int run, used
    cdef int code = OK
    if fc_likely(end - p >= 9):
        x = fc_load8(p) ^ FC_EACH_BYTE(48)
        run = fc_digit_run(x)
        if fc_likely(run > 0 and not is_digit(p[run])):
            used = run if run < decimals else decimals
            if run > used and fc_byte_range(x, used, run) != 0:
                code = E_RANGE
            if used > 0:
                value = fc_digits_value(x, used) * fc_pow10[decimals - used]
            out[0] = value
            cursor[0] = p + run
            return code
    while p < end and is_digit(p[0]):
        if p - start < decimals:
            value = value * 10 + (p[0] - 48)
        elif p[0] != 48:
            code = E_RANGE
        p += 1
    if p == start:
        return E_MALFORMED
    if p - start < decimals:
        value *= fc_pow10[decimals - (p - start)]
    out[0] = value
    cursor[0] = p
    return code


cdef inline int parse_units(
    const uint8_t** cursor, const uint8_t* end, const Scale* scale, int64_t* out
) noexcept nogil:
    """Decimal text at the cursor into units of the scale; the cursor moves past it.

    Grammar: -?(0|[1-9][0-9]*)([.][0-9]+)?, so no exponent and no leading zeros. What follows is
    the caller's business.
    OK; E_MALFORMED: not that (the cursor stays); E_RANGE: more than UNITS_DIGITS_MAX digits, or
    finer than the scale, or not a multiple of its step (the cursor is after the text).
    """
    cdef const uint8_t* p = cursor[0]
    cdef const uint8_t* digits
    cdef uint64_t whole = 0
    cdef uint64_t part = 0
    cdef int64_t count
    cdef int code = OK
    cdef bint is_negative = p < end and p[0] == 45
    if is_negative:
        p += 1
    digits = p
    count = scan_digits(p, end, &whole)
    if fc_unlikely(count == 0 or (count > 1 and digits[0] == 48)):
        return E_MALFORMED
    p += count
    if fc_likely(p < end and p[0] == 46):
        p += 1
        code = fraction_units(&p, end, scale.decimals, &part)
        if fc_unlikely(code == E_MALFORMED):
            return E_MALFORMED
    cursor[0] = p
    if fc_unlikely(count + scale.decimals > UNITS_DIGITS_MAX and digits[0] != 48):
        return E_RANGE
    whole = whole * fc_pow10[scale.decimals] + part
    if scale.step != 1:
        if whole % <uint64_t> scale.step != 0:
            return E_RANGE
        whole //= <uint64_t> scale.step
    out[0] = -(<int64_t> whole) if is_negative else <int64_t> whole
    return code
