# cython: language_level=3
"""Bounded scanners over JSON bytes, inlined where they are used.

A scanner takes a cursor and `end` (one past the last byte), never reads at or beyond `end`, and
returns the cursor after what it read, or NULL when the bytes are not that. Text is compared as
bytes: an escaped spelling of a name ("\\u0065" for "e") is another name, and UTF-8 inside strings
is not validated (nothing that we use holds any). Otherwise what is malformed JSON is refused.

Eight bytes at a time (SWAR) wherever eight remain: a digit run is one load, one count of trailing
zeros and three multiplications, without a branch per digit.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from fastcore.check cimport fc_likely, fc_unlikely

cdef extern from *:
    """
    #ifndef FC_SCAN_H
    #define FC_SCAN_H
    #include <stdint.h>
    #include <string.h>
    #define FC_EACH_BYTE(value) ((uint64_t) (value) * 0x0101010101010101ULL)

    static const uint64_t fc_pow10[20] = {
        1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL,
        1000000000ULL, 10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL,
        100000000000000ULL, 1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL,
        1000000000000000000ULL, 10000000000000000000ULL};

    /* Eight bytes, the first one lowest. */
    static inline uint64_t fc_load8(const uint8_t* at) {
        uint64_t word;
        memcpy(&word, at, 8);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
    #endif
        return word;
    }
    /* How many bytes from the lowest up are 0..9, of a word already xor'ed with "00000000".
     * A carry out of a byte that is no digit disturbs only the bytes after it. */
    static inline int fc_digit_run(uint64_t x) {
        uint64_t other = ((x + FC_EACH_BYTE(0x76)) | x) & FC_EACH_BYTE(0x80);
        return other ? __builtin_ctzll(other) >> 3 : 8;
    }
    /* Value of the `run` (1..8) lowest bytes as decimal digits, the lowest byte first. */
    static inline uint64_t fc_digits_value(uint64_t x, int run) {
        x <<= 64 - 8 * run;
        x = x * 10 + (x >> 8);
        return ((x & 0x000000FF000000FFULL) * 0x000F424000000064ULL
                + ((x >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
    }
    /* Nonzero bytes `from`..`to`-1 (0 <= from < to <= 8). */
    static inline uint64_t fc_byte_range(uint64_t x, int from, int to) {
        return (x << (64 - 8 * to)) >> (64 - 8 * to) >> (8 * from);
    }
    /* Bytes from the lowest up before a quote, a backslash or a control character; 8: none. */
    static inline int fc_plain_run(uint64_t word) {
        uint64_t quote = word ^ FC_EACH_BYTE('"');
        uint64_t slash = word ^ FC_EACH_BYTE('\\\\');
        uint64_t hit = ((quote - FC_EACH_BYTE(1)) & ~quote) | ((slash - FC_EACH_BYTE(1)) & ~slash)
                       | ((word - FC_EACH_BYTE(0x20)) & ~word);
        hit &= FC_EACH_BYTE(0x80);
        return hit ? __builtin_ctzll(hit) >> 3 : 8;
    }
    #endif
    """
    const uint64_t* fc_pow10
    uint64_t FC_EACH_BYTE(uint64_t value) noexcept nogil
    uint64_t fc_load8(const uint8_t* at) noexcept nogil
    int fc_digit_run(uint64_t x) noexcept nogil
    uint64_t fc_digits_value(uint64_t x, int run) noexcept nogil
    uint64_t fc_byte_range(uint64_t x, int first, int last) noexcept nogil
    int fc_plain_run(uint64_t word) noexcept nogil

cdef enum:
    NESTING_MAX = 32           # objects and arrays within one skipped value; venues nest 4 deep


cdef inline bint is_digit(uint8_t char) noexcept nogil:
    return <uint8_t> (char - 48) < 10


cdef inline const uint8_t* skip_space(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After JSON whitespace, of which there is usually none."""
    while p < end and fc_unlikely(p[0] <= 32) and (
            p[0] == 32 or p[0] == 10 or p[0] == 13 or p[0] == 9):
        p += 1
    return p


cdef inline int64_t scan_digits(
    const uint8_t* p, const uint8_t* end, uint64_t* value
) noexcept nogil:
    """How many digits stand at p; `value` is right up to 19 of them, and wraps beyond."""
    cdef const uint8_t* start = p
    cdef uint64_t x
    cdef uint64_t total = 0
    cdef int run
    while end - p >= 8:
        x = fc_load8(p) ^ FC_EACH_BYTE(48)
        run = fc_digit_run(x)
        if run > 0:
            total = total * fc_pow10[run] + fc_digits_value(x, run)
            p += run
        if run < 8:
            value[0] = total
            return p - start
    while p < end and is_digit(p[0]):
        total = total * 10 + (p[0] - 48)
        p += 1
    value[0] = total
    return p - start


cdef inline const uint8_t* scan_uint(
    const uint8_t* p, const uint8_t* end, int64_t* out
) noexcept nogil:
    """A whole number from 0 to 2**63 - 1; out is -1 when it is larger. No sign, no leading zero.

    NULL: no digits here, or a fraction or an exponent follows.
    """
    cdef uint64_t value = 0
    cdef int64_t count = scan_digits(p, end, &value)
    if count == 0 or (count > 1 and p[0] == 48):
        return NULL
    if fc_unlikely(count > 18) and (count > 19 or value >> 63 != 0):
        out[0] = -1
    else:
        out[0] = <int64_t> value
    p += count
    if p < end and (p[0] == 46 or p[0] == 101 or p[0] == 69):
        return NULL
    return p


cdef inline const uint8_t* skip_escape(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After one escape; p is at its backslash."""
    cdef int i
    if end - p < 2:
        return NULL
    if p[1] == 117:            # \uXXXX
        if end - p < 6:
            return NULL
        for i in range(2, 6):
            if not (is_digit(p[i]) or <uint8_t> ((p[i] | 32) - 97) < 6):
                return NULL
        return p + 6
    if (p[1] == 34 or p[1] == 92 or p[1] == 47 or p[1] == 98 or p[1] == 102 or p[1] == 110
            or p[1] == 114 or p[1] == 116):
        return p + 2
    return NULL


cdef inline const uint8_t* skip_string(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After a string's closing quote; p is after its opening one."""
    cdef int run
    while True:
        if fc_likely(end - p >= 8):
            run = fc_plain_run(fc_load8(p))
            p += run
            if run == 8:
                continue
        elif p >= end:
            return NULL
        if p[0] == 34:
            return p + 1
        if p[0] == 92:
            p = skip_escape(p, end)
            if p == NULL:
                return NULL
        elif p[0] < 32:
            return NULL
        else:                  # only within the last seven bytes
            p += 1


cdef inline const uint8_t* skip_number(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After a JSON number: -?int frac? exp?"""
    cdef uint64_t value = 0
    cdef int64_t count
    if p < end and p[0] == 45:
        p += 1
    count = scan_digits(p, end, &value)
    if count == 0 or (count > 1 and p[0] == 48):
        return NULL
    p += count
    if p < end and p[0] == 46:
        count = scan_digits(p + 1, end, &value)
        if count == 0:
            return NULL
        p += 1 + count
    if p < end and (p[0] | 32) == 101:
        p += 1
        if p < end and (p[0] == 43 or p[0] == 45):
            p += 1
        count = scan_digits(p, end, &value)
        if count == 0:
            return NULL
        p += count
    return p


cdef inline bint starts_with(
    const uint8_t* p, const uint8_t* end, const char* text, int64_t size
) noexcept nogil:
    return end - p >= size and memcmp(p, text, <size_t> size) == 0


cdef inline const uint8_t* skip_scalar(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After a number, true, false or null."""
    if starts_with(p, end, b"true", 4) or starts_with(p, end, b"null", 4):
        return p + 4
    if starts_with(p, end, b"false", 5):
        return p + 5
    return skip_number(p, end)


cdef inline const uint8_t* skip_key(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After `"name" :` and the whitespace around it."""
    p = skip_space(p, end)
    if p >= end or p[0] != 34:
        return NULL
    p = skip_string(p + 1, end)
    if p == NULL:
        return NULL
    p = skip_space(p, end)
    if p >= end or p[0] != 58:
        return NULL
    return skip_space(p + 1, end)


cdef inline const uint8_t* skip_value(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """After any JSON value; p is at its first byte. O(size), no recursion.

    NULL: not JSON, or nested deeper than NESTING_MAX.
    """
    cdef uint64_t objects = 0  # bit 0: the innermost open container is an object
    cdef int depth = 0
    cdef uint8_t closing
    while True:
        p = skip_space(p, end)
        if p >= end:
            return NULL
        if p[0] == 34:
            p = skip_string(p + 1, end)
        elif p[0] == 123 or p[0] == 91:
            depth += 1
            if depth > NESTING_MAX:
                return NULL
            objects = (objects << 1) | (p[0] == 123)
            closing = 125 if p[0] == 123 else 93
            p = skip_space(p + 1, end)
            if p >= end:
                return NULL
            if p[0] != closing:
                if objects & 1:
                    p = skip_key(p, end)
                    if p == NULL:
                        return NULL
                continue
        else:
            p = skip_scalar(p, end)
        while True:            # after a value: close what it closes, or go on to the next one
            if p == NULL:
                return NULL
            if depth == 0:
                return p
            p = skip_space(p, end)
            if p >= end:
                return NULL
            if p[0] == 44:
                p += 1
                if objects & 1:
                    p = skip_key(p, end)
                    if p == NULL:
                        return NULL
                break
            if p[0] != (125 if objects & 1 else 93):
                return NULL
            p += 1
            depth -= 1
            objects >>= 1
