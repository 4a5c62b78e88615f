# cython: language_level=3
"""Words and numbers of Binance orders; see binance_order.pyx."""
from libc.stdint cimport uint8_t

from fastcore.codec.binance_frame cimport Frame, Text
from fastcore.types cimport OrderEvent

# ORD_* of `X` or `status`; ORD_UNKNOWN: a word that we don't know.
cdef int order_state(const Text* text) noexcept nogil

# The string that a letter of the walked order has (it must have the letter); False: it is none.
cdef bint order_text(const Frame* frame, uint8_t letter, Text* out) noexcept nogil

# Fill in what S, x, X, m say, then what i, t, p, q, z, L, l, n say (all but t, m, n must be
# there): OK, E_MALFORMED, E_UNKNOWN or E_RANGE.
cdef int read_order_words(const Frame* frame, OrderEvent* order) noexcept nogil
cdef int read_order_numbers(const Frame* frame, OrderEvent* order) noexcept nogil
