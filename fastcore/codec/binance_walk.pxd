# cython: language_level=3
"""One walk over a Binance message: what it says, before it is known what it means.

See binance_walk.pyx for the walk, and binance_decode.pyx for the meaning.
"""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.binance_frame cimport Frame

# Read buf[0:size], one whole message: OK with the bits and values of the names met, or E_MALFORMED.
cdef int walk_message(Frame* frame, const uint8_t* buf, int64_t size) noexcept nogil

# Read frame.order: OK with order_seen and order_values, or E_MALFORMED.
cdef int walk_order(Frame* frame) noexcept nogil
