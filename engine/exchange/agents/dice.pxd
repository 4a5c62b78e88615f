# cython: language_level=3
"""Seeded dice for compiled agents: xoshiro256++ (Blackman and Vigna 2018); one state a market."""
from libc.math cimport log, sqrt
from libc.stdint cimport int64_t, uint64_t

cdef struct Dice:
    uint64_t words[4]          # not all zero
    double spare               # the other half of a pair of normal draws
    bint has_spare


cdef inline uint64_t turned(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline uint64_t roll(Dice* dice) noexcept nogil:
    cdef uint64_t* s = dice.words
    cdef uint64_t result = turned(s[0] + s[3], 23) + s[0]
    cdef uint64_t shifted = s[1] << 17
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = turned(s[3], 45)
    return result


cdef inline double uniform(Dice* dice) noexcept nogil:
    """In [0, 1): 53 bits."""
    return <double>(roll(dice) >> 11) * (1.0 / 9007199254740992.0)


cdef inline double exponential(Dice* dice, double mean) noexcept nogil:
    return -mean * log(1.0 - uniform(dice))


cdef inline int64_t below(Dice* dice, int64_t count) noexcept nogil:
    """0 .. count - 1; count > 0 and far below 2^53, where the bias can't be seen."""
    return <int64_t>(uniform(dice) * count)


cdef inline double gauss(Dice* dice) noexcept nogil:
    """Standard normal, Marsaglia's polar method."""
    cdef double u, v, square, factor
    if dice.has_spare:
        dice.has_spare = False
        return dice.spare
    while True:
        u = 2.0 * uniform(dice) - 1.0
        v = 2.0 * uniform(dice) - 1.0
        square = u * u + v * v
        if 0.0 < square < 1.0:
            break
    factor = sqrt(-2.0 * log(square) / square)
    dice.spare = v * factor
    dice.has_spare = True
    return u * factor
