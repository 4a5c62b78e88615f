# cython: language_level=3
"""Words and numbers of Binance orders; see binance_order.pyx."""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.binance_frame cimport Frame, Letters, Text
from fastcore.types cimport OrderEvent, Scale

cdef Scale E8_SCALE            # of money: 1e-8

# ORD_* of `X` or `status`; ORD_UNKNOWN: a word that we don't know.
cdef int order_state(const Text* text) noexcept nogil

# The value of a letter that was met: a string (False: it is none), a decimal in a string, a whole
# number (OK, E_MALFORMED or E_RANGE).
cdef bint letter_text(const Letters* letters, uint8_t letter, Text* out) noexcept nogil
cdef int letter_units(
    const Letters* letters, uint8_t letter, const Scale* scale, int64_t* out) noexcept nogil
cdef int letter_uint(const Letters* letters, uint8_t letter, int64_t* out) noexcept nogil

# Fill in what S, x, X, m say, then what i, t, p, q, z, L, l, A, n, N say (all but t, m, A, n, N
# must be there): OK, E_MALFORMED, E_UNKNOWN or E_RANGE. A: of a spot order, whose quantity it
# lessens.
cdef int read_order_words(const Letters* letters, OrderEvent* order) noexcept nogil
cdef int read_order_numbers(
    const Frame* frame, const Letters* letters, bint is_spot, OrderEvent* order) noexcept nogil
