# cython: language_level=3
"""hash64: a fast 64-bit checksum that never misses a single changed word.

It guards journal records against torn writes and bit rot; it is no defence against an adversary
(whoever can edit a record can edit its checksum).

Layout. The data are cut into 8-byte little-endian words w[0], w[1], ...; the last block of 32
bytes is padded with zeros. Word i goes to lane i mod 4, so the four multiplications of a block
run side by side:

    lane[i & 3] = mix(lane[i & 3] ^ w[i], M[i & 3])         mix(x, m): x *= m; x ^= x >> 32
    h = lane[0] + rotl(lane[1], 11) + rotl(lane[2], 23) + rotl(lane[3], 41) + size * G
    h = finish(h)                                            xorshift, multiply, three times

`seed` starts lane 0 and nothing else; lanes 1 to 3 start from constants.

Why one changed word always changes the result. Call a map on 64-bit words bijective when no two
inputs share an output.
 1. x -> x ^ c, x -> x + c, x -> rotl(x, r) are bijective; x -> x * m is when m is odd (m has an
    inverse modulo 2^64; every multiplier here is odd); x -> x ^ (x >> s), s > 0, is (the top s
    bits pass unchanged, and each lower bit is recovered from them downwards).
 2. So one lane step is bijective in the word for a fixed lane, and in the lane for a fixed word.
 3. Change exactly one word (any of its 8 bytes, any bits), same size and seed: the lane that
    takes it differs after that step (2, in the word), and still differs after each later step
    (2, in the lane). The other lanes never see the word: they are the same.
 4. h is a sum in which one term differs through a bijection and the others are equal: h differs.
    finish() is a composition of bijections: the result differs.
 5. The same argument with "lane 0 at the start" in place of a word: a changed seed changes the
    result. So in hash64(hash64(0, header), payload) one changed word of either part shows.
 6. With equal padded words, different sizes (less than 2^64 apart) differ in size * G alone:
    the result differs. Trailing zeros cannot be added or cut unseen.
Changes in several words are caught as by any good 64-bit hash, with odds of about 2^-64 against.

Multipliers and starts are the initial values of SHA-512 (FIPS 180-4 section 5.3.5: fractional bits
of the square roots of the first primes), made odd; G is 2^64 / golden ratio.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.check cimport FC_DCHECK, fc_likely

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Little-endian word wherever it stands: one instruction on x86-64 and arm64. */
    static inline uint64_t fc_load_le64(const uint8_t *at) {
        uint64_t word;
        memcpy(&word, at, 8);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
    #endif
        return word;
    }
    """
    uint64_t fc_load_le64(const uint8_t* at) noexcept nogil

cdef enum:
    BLOCK_SIZE = 32            # four lanes of eight bytes

# Macros, not variables: gcc then has them as immediates.
cdef extern from *:
    """
    #define FC_M0 0x6A09E667F3BCC909ULL
    #define FC_M1 0xBB67AE8584CAA73BULL
    #define FC_M2 0x3C6EF372FE94F82BULL
    #define FC_M3 0xA54FF53A5F1D36F1ULL
    #define FC_G  0x9E3779B97F4A7C15ULL
    """
    const uint64_t M0 "FC_M0"
    const uint64_t M1 "FC_M1"
    const uint64_t M2 "FC_M2"
    const uint64_t M3 "FC_M3"
    const uint64_t G "FC_G"


cdef inline uint64_t _mix(uint64_t lane, uint64_t multiplier) noexcept nogil:
    lane *= multiplier
    return lane ^ (lane >> 32)


cdef inline uint64_t _rotl(uint64_t word, int count) noexcept nogil:
    return (word << count) | (word >> (64 - count))


cdef inline uint64_t _last_word(const uint8_t* at, int64_t left, int64_t size) noexcept nogil:
    """The last `left` (0 to 7) of `size` bytes, as a word padded with zeros.

    Read as the eight bytes that end there where there are eight: no copy through memory, whose
    reload as one word would stall (26 -> 19 ns for 250 bytes).
    """
    cdef uint64_t word = 0
    if left == 0:
        return 0
    if fc_likely(size >= 8):
        return fc_load_le64(at + left - 8) >> (64 - 8 * left)
    while left > 0:
        left -= 1
        word = (word << 8) | at[left]
    return word


cdef uint64_t hash64(uint64_t seed, const uint8_t* data, int64_t size) noexcept nogil:
    """Checksum of `data[0:size]`, chained from `seed`. Its proof: the module's docstring."""
    cdef uint64_t lane0 = seed + M0
    cdef uint64_t lane1 = M1
    cdef uint64_t lane2 = M2
    cdef uint64_t lane3 = M3
    cdef uint64_t h
    cdef uint64_t word0, word1, word2, word3
    cdef int64_t left = size
    FC_DCHECK(size >= 0)
    FC_DCHECK(size == 0 or data != NULL)
    while left >= BLOCK_SIZE:
        lane0 = _mix(lane0 ^ fc_load_le64(data), M0)
        lane1 = _mix(lane1 ^ fc_load_le64(data + 8), M1)
        lane2 = _mix(lane2 ^ fc_load_le64(data + 16), M2)
        lane3 = _mix(lane3 ^ fc_load_le64(data + 24), M3)
        data += BLOCK_SIZE
        left -= BLOCK_SIZE
    if fc_likely(left > 0):    # the block that is not whole, padded with zeros
        word1 = word2 = word3 = 0
        if left < 8:
            word0 = _last_word(data, left, size)
        else:
            word0 = fc_load_le64(data)
            if left < 16:
                word1 = _last_word(data + 8, left - 8, size)
            else:
                word1 = fc_load_le64(data + 8)
                if left < 24:
                    word2 = _last_word(data + 16, left - 16, size)
                else:
                    word2 = fc_load_le64(data + 16)
                    word3 = _last_word(data + 24, left - 24, size)
        lane0 = _mix(lane0 ^ word0, M0)
        lane1 = _mix(lane1 ^ word1, M1)
        lane2 = _mix(lane2 ^ word2, M2)
        lane3 = _mix(lane3 ^ word3, M3)
    h = lane0 + _rotl(lane1, 11) + _rotl(lane2, 23) + _rotl(lane3, 41) + <uint64_t> size * G
    h = (h ^ (h >> 32)) * M3
    h = (h ^ (h >> 29)) * M1
    return h ^ (h >> 32)


# -- PYTHON ---

def hash64_bytes(data not None, uint64_t seed=0) -> int:
    """Checksum of a contiguous bytes-like object; Python sees it as `hash64` too.

    Raises TypeError for what has no byte buffer, OverflowError for a seed outside 64 bits.
    """
    cdef const uint8_t[::1] view = memoryview(data).cast("B")
    cdef int64_t size = view.shape[0]
    return hash64(seed, &view[0] if size else NULL, size)


# The module's C scope holds the name already, so Python's is put in by hand.
globals()["hash64"] = hash64_bytes


def repeat(const uint8_t[::1] data not None, int64_t count) -> int:
    """Hash `data` (not empty) `count` times, each seeded by the one before: for benches."""
    cdef uint64_t h = 0
    cdef int64_t size = data.shape[0]
    if size == 0:
        raise ValueError("data is empty")
    cdef const uint8_t* first = &data[0]
    with nogil:
        for _ in range(count):
            h = hash64(h, first, size)
    return h
