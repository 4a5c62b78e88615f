# cython: language_level=3
"""Bounded scanners over JSON bytes, inlined where they are used.

A scanner takes a cursor and `end` (one past the last byte), never reads at or beyond `end`, and
returns the cursor after what it read, or NULL when the bytes are not that. Text is compared as
bytes: an escaped spelling of a name ("\\u0065" for "e") is another name, and UTF-8 inside strings
is not validated (nothing that we use holds any). Otherwise what is malformed JSON is refused.

Sixteen bytes at a time wherever sixteen remain: what bounds the speed is the chain of loads that
find where the next value starts, so one load and one bit scan find the end of a number (and its
point) or of a string, and the digits' values are computed beside that chain, eight by three
multiplications. Within the last sixteen bytes the same is done byte by byte.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastcore.check cimport fc_likely, fc_unlikely

cdef extern from *:
    """
    #ifndef FC_SCAN_H
    #define FC_SCAN_H
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__) && !defined(FC_PORTABLE)
    #include <emmintrin.h>
    #endif
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
    static inline uint32_t fc_load4(const uint8_t* at) {
        uint32_t word;
        memcpy(&word, at, 4);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap32(word);
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
    /* One bit a byte of at[0:16], the first one lowest. SSE2 is there on every x86-64. */
    #if defined(__SSE2__) && !defined(FC_PORTABLE)
    static inline uint32_t fc_other_mask(const uint8_t* at) {            /* is no digit */
        /* '0'..'9' become the ten lowest signed bytes: two steps before the mask, not four. */
        __m128i x = _mm_add_epi8(_mm_loadu_si128((const __m128i*) at), _mm_set1_epi8(128 - 48));
        return (uint32_t) _mm_movemask_epi8(_mm_cmpgt_epi8(x, _mm_set1_epi8(9 - 128)));
    }
    static inline uint32_t fc_special_mask(const uint8_t* at) {  /* quote, backslash, control */
        __m128i x = _mm_loadu_si128((const __m128i*) at);
        __m128i hit = _mm_or_si128(
            _mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\\\')));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(31)), x));
        return (uint32_t) _mm_movemask_epi8(hit);
    }
    #else
    /* The top bits of eight bytes, gathered; x has no other bits. */
    static inline uint32_t fc_gather(uint64_t x) {
        return (uint32_t) (((x >> 7) * 0x0102040810204080ULL) >> 56);
    }
    static inline uint64_t fc_above(uint64_t x, uint8_t limit) {       /* byte > limit < 128 */
        return (((x & FC_EACH_BYTE(127)) + FC_EACH_BYTE(127 - limit)) | x) & FC_EACH_BYTE(128);
    }
    static inline uint64_t fc_special8(uint64_t x) {
        uint64_t plain = fc_above(x ^ FC_EACH_BYTE('"'), 0) & fc_above(x ^ FC_EACH_BYTE('\\\\'), 0)
                         & fc_above(x, 31);
        return plain ^ FC_EACH_BYTE(128);
    }
    static inline uint32_t fc_other_mask(const uint8_t* at) {
        return fc_gather(fc_above(fc_load8(at) ^ FC_EACH_BYTE(48), 9))
               | fc_gather(fc_above(fc_load8(at + 8) ^ FC_EACH_BYTE(48), 9)) << 8;
    }
    static inline uint32_t fc_special_mask(const uint8_t* at) {
        return fc_gather(fc_special8(fc_load8(at))) | fc_gather(fc_special8(fc_load8(at + 8))) << 8;
    }
    #endif
    /* Index of the lowest bit of a mask that has one. */
    static inline int fc_first(uint32_t mask) {
        return __builtin_ctz(mask);
    }
    /* Index of the lowest bit; 16: none. */
    static inline int fc_lowest(uint32_t mask) {
        return __builtin_ctz(mask | 0x10000u);
    }
    #endif
    """
    const uint64_t* fc_pow10
    uint64_t FC_EACH_BYTE(uint64_t value) noexcept nogil
    uint32_t fc_load4(const uint8_t* at) noexcept nogil
    uint64_t fc_load8(const uint8_t* at) noexcept nogil
    int fc_digit_run(uint64_t x) noexcept nogil
    uint64_t fc_digits_value(uint64_t x, int run) noexcept nogil
    uint64_t fc_byte_range(uint64_t x, int first, int last) noexcept nogil
    uint32_t fc_other_mask(const uint8_t* at) noexcept nogil
    uint32_t fc_special_mask(const uint8_t* at) noexcept nogil
    int fc_first(uint32_t mask) noexcept nogil
    int fc_lowest(uint32_t mask) noexcept nogil

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
    cdef uint64_t last
    cdef int64_t left = end - p
    cdef int64_t count = 16
    if fc_likely(left >= 16):
        count = fc_lowest(fc_other_mask(p))
    elif fc_likely(left > 8):              # a number that ends the message
        count = fc_digit_run(fc_load8(p) ^ FC_EACH_BYTE(48))
        if count == 8:
            last = fc_load8(end - 8) >> (8 * (16 - left))
            count = 8 + fc_digit_run(last ^ FC_EACH_BYTE(48))
    if fc_unlikely(count == 16):
        count = scan_digits(p, end, &value)
    elif count > 8:
        value = fc_digits_value(fc_load8(p) ^ FC_EACH_BYTE(48), <int> count - 8) * 100000000
        value += fc_digits_value(fc_load8(p + count - 8) ^ FC_EACH_BYTE(48), 8)
    elif count > 0:
        value = fc_digits_value(fc_load8(p) ^ FC_EACH_BYTE(48), <int> count)
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
        if fc_likely(end - p >= 16):
            run = fc_lowest(fc_special_mask(p))
            p += run
            if run == 16:
                continue
        elif p >= end:
            return NULL
        if fc_likely(p[0] == 34):
            return p + 1
        if p[0] == 92:
            p = skip_escape(p, end)
            if p == NULL:
                return NULL
        elif p[0] < 32:
            return NULL
        else:                  # only within the last sixteen bytes
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
