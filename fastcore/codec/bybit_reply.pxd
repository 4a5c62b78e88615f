# cython: language_level=3
"""Bybit's answers to our requests; see bybit_reply.pyx."""
from fastcore.codec.bybit_frame cimport Frame, Item, Owner
from fastcore.types cimport ReplyEvent

# EV_SESSION, EV_REPLY or a code.
cdef int read_session(const Frame* frame, ReplyEvent* reply) noexcept nogil
cdef int read_reply(const Frame* frame, ReplyEvent* reply) noexcept nogil

# Every order of a walked batch reply into replies[0:room] -> how many (0: the batch has no lists,
# it was refused as a whole), or a code. `item` is scratch.
cdef int read_batch(
    const Frame* frame, const Owner* owner, int verb, Item* item, ReplyEvent* replies, int room
) noexcept nogil
