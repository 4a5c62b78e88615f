# cython: language_level=3
"""What the core asks of every venue's codec; see base.pyx."""
from libc.stdint cimport int64_t, uint8_t

from fastcore.types cimport Event, px_t, qty_t, seq_t


cdef enum:
    SAFE_TEXT_SIZE = 64        # longer than any of them


cdef class DecoderBase:
    cdef Event event           # of the last decode() or next_event(); `kind` says what is valid
    cdef readonly int64_t retry_after_ms   # of the last reply, UTC: keep away until; 0: not said
    cdef int pending           # events of the same frame still to be had by next_event()
    # buf[0:size], one whole message -> EV_* (> 0), or E_* (< 0) with event.kind EV_NONE and nothing
    # pending: a frame is checked in full before its first event is given. Levels stand in the
    # decoder's own buffers until the next call. `buf` is borrowed.
    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil
    # The next event of the same frame -> EV_*, or EV_NONE when there is none.
    cdef int next_event(self) noexcept nogil
    # What a journal may hold in place of the last message, of a kind that may name a key
    # (EV_SESSION, EV_LISTEN_KEY_EXPIRED): a message that decodes to the same event. Its size; the
    # text stands here until the next call.
    cdef int64_t safe_text(self, const uint8_t** out) noexcept nogil
    cdef char[SAFE_TEXT_SIZE] _safe_text


cdef class EncoderBase:
    cdef uint8_t* payload      # the last request's text, unmasked; valid until the next call
    cdef int64_t payload_size  # 0: the last call failed
    cdef int64_t key_offset    # in payload: what a journal must blank
    cdef int64_t key_size      # 0: a logged-on session's requests hold no key
    cdef int64_t sig_offset
    cdef int64_t sig_size      # 0: not signed
    cdef bint can_modify       # modify() changes price and quantity in one message
    # Each: a whole masked frame into out[0:room] -> bytes written, or E_RANGE (an argument that no
    # request may have), E_FULL (room) or E_UNSUPPORTED (no such verb on this connection).
    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms) noexcept nogil
    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms) noexcept nogil
    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil
    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms) noexcept nogil

# Fields of the event's kind by name, for Python's faces; levels as (px_ticks, qty_lots).
cdef dict event_dict(const Event* event)
