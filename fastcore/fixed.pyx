# cython: language_level=3
"""Prices and quantities: decimal text at the edge, integer units inside, nothing in between.

    units = text / (step * 10^-decimals)

    tick "0.10" -> Scale(decimals=1, step=1)     "61800.20" -> 618002
    tick "0.25" -> Scale(decimals=2, step=25)    "100.75"   -> 403
    lot  "10"   -> Scale(decimals=0, step=10)    "120"      -> 12

Exact or refused: text that is finer than the grid, off it, or too large is E_RANGE, never
rounded. Extra zeros ("61837.63000000" at tick 0.01) say nothing and pass.
The fast path of parse_units stands in fixed.pxd, so that decoders inline it.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.check cimport FC_DCHECK
from fastcore.scan cimport fc_pow10, is_digit, scan_digits
from fastcore.types cimport E_MALFORMED, E_RANGE, OK, Scale


cdef int scale_from_text(const uint8_t* text, int64_t size, Scale* scale) noexcept nogil:
    """The scale of a tick or lot, from text such as b"0.10". Trailing zeros say nothing."""
    cdef const uint8_t* p = text
    cdef const uint8_t* end = text + size
    cdef uint64_t whole = 0
    cdef uint64_t part = 0
    cdef int64_t whole_count = scan_digits(p, end, &whole)
    cdef int64_t part_count = 0
    if whole_count == 0 or (whole_count > 1 and text[0] == 48):
        return E_MALFORMED
    p += whole_count
    if p < end and p[0] == 46:
        while end - p > 2 and (end - 1)[0] == 48:
            end -= 1
        part_count = scan_digits(p + 1, end, &part)
        if part_count == 0:
            return E_MALFORMED
        p += 1 + part_count
        if part_count == 1 and part == 0:
            part_count = 0
    if p != end:
        return E_MALFORMED
    if part_count > DECIMALS_MAX or whole_count + part_count > UNITS_DIGITS_MAX:
        return E_RANGE
    scale.decimals = <int> part_count
    scale.step = <int64_t> (whole * fc_pow10[part_count] + part)
    return OK if scale.step > 0 else E_RANGE


cdef int parse_units_slow(
    const uint8_t** cursor, const uint8_t* end, const Scale* scale, int64_t* out
) noexcept nogil:
    """As parse_units says, byte by byte."""
    cdef const uint8_t* p = cursor[0]
    cdef const uint8_t* start
    cdef uint64_t units = 0
    cdef int64_t count
    cdef int code = OK
    cdef bint is_negative = p < end and p[0] == 45
    if is_negative:
        p += 1
    start = p
    count = scan_digits(p, end, &units)
    if count == 0 or (count > 1 and p[0] == 48):
        return E_MALFORMED
    if count + scale.decimals > UNITS_DIGITS_MAX and p[0] != 48:
        code = E_RANGE
    units *= fc_pow10[scale.decimals]
    p += count
    if p < end and p[0] == 46:
        start = p + 1
        p = start
        while p < end and is_digit(p[0]):
            if p - start < scale.decimals:
                units += (p[0] - 48) * fc_pow10[scale.decimals - 1 - (p - start)]
            elif p[0] != 48:
                code = E_RANGE
            p += 1
        if p == start:
            return E_MALFORMED
    cursor[0] = p
    if code == OK and units % <uint64_t> scale.step != 0:
        code = E_RANGE
    if code == OK:
        units //= <uint64_t> scale.step
        out[0] = -(<int64_t> units) if is_negative else <int64_t> units
    return code


cdef int format_units(uint8_t* out, int64_t units, const Scale* scale) noexcept nogil:
    """Decimal text of `units` with all of the scale's decimals; bytes written. O(digits)."""
    cdef uint8_t[UNITS_TEXT_MAX] text
    cdef uint64_t size = <uint64_t> units if units >= 0 else 0 - <uint64_t> units
    cdef int at = UNITS_TEXT_MAX
    cdef int digit_count = 0
    cdef int i
    FC_DCHECK(scale.step > 0 and scale.decimals >= 0 and scale.decimals <= DECIMALS_MAX)
    if size > (fc_pow10[UNITS_DIGITS_MAX] - 1) // <uint64_t> scale.step:
        return E_RANGE
    size *= <uint64_t> scale.step
    while size > 0 or digit_count <= scale.decimals:
        if digit_count == scale.decimals and digit_count > 0:
            at -= 1
            text[at] = 46
        at -= 1
        text[at] = 48 + <uint8_t> (size % 10)
        size //= 10
        digit_count += 1
    if units < 0:
        at -= 1
        text[at] = 45
    for i in range(at, UNITS_TEXT_MAX):
        out[i - at] = text[i]
    return UNITS_TEXT_MAX - at


# -- PYTHON ---

cdef Scale _checked_scale(str tick) except *:
    cdef Scale scale
    cdef bytes text = tick.encode("ascii", "replace")
    cdef int code = scale_from_text(text, len(text), &scale)
    if code == E_MALFORMED:
        raise ValueError(f"{tick!r} is not a plain decimal such as '0.10'")
    if code != OK:
        raise ValueError(f"{tick!r} is zero, or has more than {DECIMALS_MAX} decimals or "
                         f"{UNITS_DIGITS_MAX} digits")
    return scale


def parse(bytes text not None, str tick not None, bytes behind not None=b"") -> int:
    """`text` as a number of `tick`s. ValueError if it is no decimal, too large or off-grid.

    `behind`: what follows it in the buffer; no digit or point. It changes no result, but which
    path reads the text: 17 bytes in all are enough for the fast one.
    """
    cdef Scale scale = _checked_scale(tick)
    cdef bytes buf = text + behind
    cdef const uint8_t* p = buf
    cdef const uint8_t* end = p + len(buf)
    cdef const uint8_t* text_end = p + len(text)
    cdef int64_t units = 0
    cdef int code = parse_units(&p, end, &scale, &units)
    if code == E_MALFORMED or p != text_end:
        raise ValueError(f"{text!r} is not a plain decimal")
    if code != OK:
        raise ValueError(f"{text!r} is too large, or not a multiple of {tick}")
    return units


def format(int64_t units, str tick not None) -> bytes:
    """Decimal text of `units` `tick`s, as an order carries it. ValueError if it is too large."""
    cdef Scale scale = _checked_scale(tick)
    cdef uint8_t[UNITS_TEXT_MAX] text
    cdef int size = format_units(text, units, &scale)
    if size < 0:
        raise ValueError(f"{units} ticks of {tick} have more than {UNITS_DIGITS_MAX} digits")
    return text[:size]


def scale(str tick not None) -> tuple[int, int]:
    """(decimals, step) of a tick or lot: its value is step * 10^-decimals."""
    cdef Scale found = _checked_scale(tick)
    return found.decimals, found.step
