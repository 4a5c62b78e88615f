# cython: language_level=3
"""One walk over a Bybit message: what it says, before it is known what it means.

See bybit_walk.pyx for the walk, and bybit_decode.pyx for the meaning.
"""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.bybit_frame cimport Frame, Item, Owner

# Read buf[0:size], one whole message: OK with bits and values of the names met, or E_MALFORMED.
cdef int walk_message(
    Frame* frame, const Owner* owner, const uint8_t* buf, int64_t size) noexcept nogil

# Read the next object of an array; `cursor` is at its [ or where the last call left it. 1 with the
# item, 0 after the last, or E_MALFORMED (also what is no object, or has a name twice).
cdef int next_item(const uint8_t** cursor, const uint8_t* end, Item* item) noexcept nogil
