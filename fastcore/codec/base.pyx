# cython: language_level=3
"""What the core asks of every venue's codec: one decoder and one encoder an instrument.

A new venue subclasses both, in one family of files beside this one, and stands in core_config's
table of venues. The core calls through these two classes and knows no venue's words.
"""
cimport cython

from fastcore.types cimport (
    E_UNSUPPORTED, EV_ACCOUNT, EV_AGG_TRADE, EV_BEST, EV_DEPTH, EV_NONE, EV_ORDER, EV_REPLY,
    EV_SESSION, EV_SNAPSHOT, EV_TRADE,
)


@cython.no_gc
cdef class DecoderBase:
    """Bytes of one instrument into events."""

    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil:
        return E_UNSUPPORTED

    cdef int next_event(self) noexcept nogil:
        return EV_NONE

    cdef int64_t safe_text(self, const uint8_t** out) noexcept nogil:
        out[0] = <const uint8_t*> self._safe_text
        return 0


@cython.no_gc
cdef class EncoderBase:
    """Orders of one instrument into frames; never shows its key or its secret."""

    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        return E_UNSUPPORTED

    def payload_bytes(self) -> bytes:
        """Text of the last request, key and signature blanked by x; b"" if the call failed."""
        if self.payload_size == 0:
            return b""
        blanked = bytearray(self.payload[:self.payload_size])
        blanked[self.key_offset:self.key_offset + self.key_size] = b"x" * self.key_size
        blanked[self.sig_offset:self.sig_offset + self.sig_size] = b"x" * self.sig_size
        return bytes(blanked)


cdef dict event_dict(const Event* event):
    """Fields of the event's kind, under their own names; levels as (px_ticks, qty_lots)."""
    cdef int i
    if event.kind == EV_BEST:
        return event.best
    if event.kind == EV_TRADE or event.kind == EV_AGG_TRADE:
        return event.trade
    if event.kind == EV_ORDER:
        return event.order
    if event.kind == EV_REPLY or event.kind == EV_SESSION:
        return event.reply
    if event.kind == EV_ACCOUNT:
        return event.account
    if event.kind != EV_DEPTH and event.kind != EV_SNAPSHOT:
        return {}
    return {
        "first_update_id": event.depth.first_update_id,
        "final_update_id": event.depth.final_update_id,
        "prev_final_update_id": event.depth.prev_final_update_id,
        "cross_seq": event.depth.cross_seq,
        "exch_ts_ns": event.depth.exch_ts_ns,
        "bids": [(event.depth.bids[i].px_ticks, event.depth.bids[i].qty_lots)
                 for i in range(event.depth.bid_count)],
        "asks": [(event.depth.asks[i].px_ticks, event.depth.asks[i].qty_lots)
                 for i in range(event.depth.ask_count)],
    }
