# cython: language_level=3
"""One walk over a Binance message: what it says, before it is known what it means.

See binance_walk.pyx for the walk, and binance_decode.pyx for the meaning.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.codec.binance_frame cimport Frame
from fastcore.types cimport Level

# Read buf[0:size], one whole message: OK with the bits and values of the names met, or E_MALFORMED.
cdef int walk_message(Frame* frame, const uint8_t* buf, int64_t size) noexcept nogil

# Levels from the [ at p into levels[0:count], with `bit` in frame.names: after the ], or NULL.
cdef const uint8_t* walk_levels(
    Frame* frame, uint64_t bit, Level* levels, int64_t* count, const uint8_t* p) noexcept nogil

# Of the walked message's stream: is it `@depth5`, `@depth10`, `@depth20`, a whole book in each
# message? Is it of our symbol?
cdef bint is_partial_stream(const Frame* frame) noexcept nogil
cdef bint is_own_stream(const Frame* frame) noexcept nogil
