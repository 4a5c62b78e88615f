# cython: language_level=3
"""Answers of Binance's WebSocket API and of its streams' control plane; see binance_reply.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.codec.binance_frame cimport Frame, Text
from fastcore.types cimport ReplyEvent, seq_t

cdef enum:
    CLIENT_PREFIX_SIZE = 14    # "tm" run8 "-" strategy2 "-"
    INTENT_DIGITS = 12         # lowercase hexadecimal
    REQUEST_ID_SIZE = 13       # verb digit, then the intent

# The `result` or `error` of a reply into frame.reply; p is after its opening brace. After it, or
# NULL.
cdef const uint8_t* walk_result(Frame* frame, const uint8_t* p) noexcept nogil
cdef const uint8_t* walk_error(Frame* frame, const uint8_t* p) noexcept nogil

# A number that may be negative into frame.reply.error_code, with this bit.
cdef const uint8_t* walk_error_code(Frame* frame, uint64_t bit, const uint8_t* p) noexcept nogil

# What the walked reply says, its symbol having been checked: EV_REPLY, EV_SESSION or E_*.
cdef int read_reply(const Frame* frame, ReplyEvent* reply) noexcept nogil

# Lowercase hexadecimal digits; -1: they are not.
cdef seq_t hex_value(const uint8_t* p, int digit_count) noexcept nogil
