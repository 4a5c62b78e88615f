# cython: language_level=3
"""Small texts that venues' codecs share: ids in hexadecimal, and writers of JSON pieces.

A writer puts its bytes at p and returns after them; the caller has made the room.
"""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, memcpy

from fastcore.types cimport CLIENT_ID_SIZE, INTENT_EARLIER, INTENT_STRANGER, seq_t

cdef extern from *:
    """
    #ifndef FC_CODEC_TEXT
    #define FC_CODEC_TEXT
    /* A store that no optimiser may leave out. */
    static inline void fc_wipe_text(void *at, size_t size) {
        volatile uint8_t *byte = (volatile uint8_t *) at;
        while (size--) {
            *byte++ = 0;
        }
    }
    #endif
    """
    void fc_wipe_text(void* at, size_t size) noexcept nogil


cdef inline seq_t read_hex(const uint8_t* p, int digit_count) noexcept nogil:
    """Lowercase hexadecimal digits (at most 15); -1: they are not."""
    cdef seq_t value = 0
    cdef int i
    for i in range(digit_count):
        if <uint8_t> (p[i] - 48) < 10:
            value = (value << 4) | (p[i] - 48)
        elif <uint8_t> (p[i] - 97) < 6:
            value = (value << 4) | (p[i] - 87)
        else:
            return -1
    return value


cdef inline seq_t client_intent(const uint8_t* id, int64_t size, const uint8_t* prefix,
                                int64_t prefix_size) noexcept nogil:
    """Intent of a client order id that begins with `prefix`; INTENT_EARLIER for one of ours, but
    of another run; INTENT_STRANGER for anything else. A prefix of size 0: none is ours."""
    if size != <int64_t> CLIENT_ID_SIZE or prefix_size == 0:
        return INTENT_STRANGER
    if memcmp(id, prefix, <size_t> prefix_size) == 0:
        return read_hex(id + prefix_size, CLIENT_ID_SIZE - <int> prefix_size)
    if (id[0] == c"t" and id[1] == c"m" and read_hex(id + 2, 8) >= 0 and id[10] == c"-"
            and read_hex(id + 11, 2) >= 0 and id[13] == c"-" and read_hex(id + 14, 12) >= 0):
        return INTENT_EARLIER
    return INTENT_STRANGER


cdef inline uint8_t* write_text(uint8_t* p, const char* text, int64_t size) noexcept nogil:
    memcpy(p, text, <size_t> size)
    return p + size


cdef inline uint8_t* write_hex(uint8_t* p, seq_t value, int digit_count) noexcept nogil:
    """The value's lowest `digit_count` lowercase hexadecimal digits."""
    cdef int i
    cdef uint8_t digit
    for i in range(digit_count):
        digit = <uint8_t> ((value >> (4 * (digit_count - 1 - i))) & 15)
        p[i] = digit + (48 if digit < 10 else 87)
    return p + digit_count


cdef inline uint8_t* write_uint(uint8_t* p, int64_t value) noexcept nogil:
    """Decimal digits of a number that is not negative."""
    cdef uint8_t[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = 48 + <uint8_t> (value % 10)
        value //= 10
        if value == 0:
            break
    memcpy(p, digits + at, <size_t> (20 - at))
    return p + (20 - at)
