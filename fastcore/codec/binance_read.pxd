# cython: language_level=3
"""Values of Binance messages, inlined into the walk.

Each takes p at the value's first byte and returns after it, or NULL if it is not JSON. A value of
the right shape is stored and its bit set in names.have; right but not representable, in names.off.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.codec.binance_frame cimport FC_BIT, Letters, Names, Text
from fastcore.fixed cimport parse_units
from fastcore.scan cimport scan_uint, skip_space, skip_string, skip_value
from fastcore.types cimport E_MALFORMED, E_RANGE, OK, Scale

cdef inline const uint8_t* read_uint(
    Names* names, uint64_t bit, int64_t* out, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef const uint8_t* after = scan_uint(p, end, out)
    if fc_likely(after != NULL):
        if fc_likely(out[0] >= 0):
            names.have |= bit
        else:
            names.off |= bit
        return after
    return skip_value(p, end)


cdef inline const uint8_t* read_units(
    Names* names, uint64_t bit, const Scale* scale, int64_t* out,
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
                names.have |= bit
            else:
                names.off |= bit
            return after + 1
    return skip_value(p, end)


cdef inline const uint8_t* read_text(
    Names* names, uint64_t bit, Text* out, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef const uint8_t* after
    if fc_likely(p[0] == 34):
        after = skip_string(p + 1, end)
        if fc_likely(after != NULL):
            out.at = p + 1
            out.size = after - p - 2
            names.have |= bit
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


# -- MEMBERS: of objects that are looked at one name at a time ---

cdef inline const uint8_t* first_name(
    const uint8_t* p, const uint8_t* end, bint* is_closed
) noexcept nogil:
    """p is after an opening brace: at the first name's quote, or after the closing brace."""
    p = skip_space(p, end)
    is_closed[0] = p < end and p[0] == 125
    return p + 1 if is_closed[0] else p


cdef inline const uint8_t* next_name(
    const uint8_t* p, const uint8_t* end, bint* is_closed
) noexcept nogil:
    """p is after a value: at the next name's quote, or after the closing brace; NULL: neither."""
    p = skip_space(p, end)
    is_closed[0] = False
    if p >= end:
        return NULL
    if p[0] == 44:
        return skip_space(p + 1, end)
    is_closed[0] = p[0] == 125
    return p + 1 if is_closed[0] else NULL


cdef inline const uint8_t* read_name(
    const uint8_t* p, const uint8_t* end, Text* name
) noexcept nogil:
    """After `"name" :` and the space around it, at a byte that may start a value; NULL: not so."""
    if fc_unlikely(p >= end or p[0] != 34):
        return NULL
    name.at = p + 1
    p = skip_string(p + 1, end)
    if fc_unlikely(p == NULL):
        return NULL
    name.size = p - name.at - 1
    p = skip_space(p, end)
    if fc_unlikely(p >= end or p[0] != 58):
        return NULL
    p = skip_space(p + 1, end)
    return p if p < end else NULL


cdef inline bint is_letter(uint8_t char) noexcept nogil:
    return <uint8_t> ((char | 32) - 97) < 26


cdef inline const uint8_t* read_letters(
    Letters* letters, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    """Where the values of an object's names of one letter start; p is after its opening brace.

    NULL: no whole object, or one of them twice.
    """
    cdef Text name
    cdef bint is_closed
    letters.seen = 0
    letters.end = end
    p = first_name(p, end, &is_closed)
    while not is_closed:
        if fc_likely(end - p > 4 and p[0] == 34 and p[2] == 34 and p[3] == 58 and p[4] > 32):
            name.at = p + 1
            name.size = 1
            p += 4
        else:
            p = read_name(p, end, &name)
            if p == NULL:
                return NULL
        if name.size == 1 and is_letter(name.at[0]):
            if fc_unlikely(letters.seen & FC_BIT(name.at[0])):
                return NULL
            letters.seen |= FC_BIT(name.at[0])
            letters.at[name.at[0] & 63] = p
        p = skip_value(p, end)
        if p == NULL:
            return NULL
        p = next_name(p, end, &is_closed)
        if p == NULL:
            return NULL
    return p
