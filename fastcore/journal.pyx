# cython: language_level=3
"""The journal: every input of the core and everything it made of it, one record each.

A segment is a preallocated, mapped file (the edge makes it; this module sees a buffer):

    0   "TMJRNL01" | u32 version | u32 segment_index | u64 first_seq |
        i64 wall_minus_monotonic_ns | u64 checksum (hash64 of these 32 bytes) | zeros
    64  records, 8-byte aligned:
        u32 payload_size | u16 kind | u16 arg | u64 seq | i64 now_ns | i64 recv_ts_ns |
        u64 checksum | payload, zero-padded to 8

Little endian. The first eight bytes of a record are stored last and atomically: a reader that
sees `kind` != 0 sees a whole record, and a record once published survives SIGKILL, because the
page belongs to the kernel. kind 0xFFFF says that the story goes on in the next segment.

`seq` counts the records of all journals of a run (JournalOrder): in a run of one journal there is
none missing. A segment's first_seq is at most its first record's.

`checksum` is hash64 over the 32 header bytes before it, then the payload: any flipped byte of a
record is found (hash.pyx says why).
"""
import struct
from collections.abc import Iterator

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
cimport cython
from libc.string cimport memcpy, memset

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.hash cimport hash64
from fastcore.types cimport E_JOURNAL, OK

cdef extern from *:
    """
    #define fc_store_release_u64(ptr, value) \\
        __atomic_store_n((uint64_t *)(ptr), (value), __ATOMIC_RELEASE)
    #define fc_load_acquire_u64(ptr) __atomic_load_n((const uint64_t *)(ptr), __ATOMIC_ACQUIRE)
    /* A hint only: an address past the segment is ignored by the processor. */
    static inline void fc_prefetch_for_write(const uint8_t *at, int64_t size) {
        for (int64_t line = 0; line < size; line += 64) {
            __builtin_prefetch(at + line, 1);
        }
    }
    """
    void fc_prefetch_for_write(const uint8_t* at, int64_t size) noexcept nogil
    void fc_store_release_u64(void* ptr, uint64_t value) noexcept nogil
    uint64_t fc_load_acquire_u64(const void* ptr) noexcept nogil

cdef enum:
    AHEAD_BYTES = 1024         # about one requote's records: fetched before they are written

MAGIC = b"TMJRNL01"
VERSION = 1
_SEGMENT_HEADER = struct.Struct("<8sIIQqQ24s")

# Field names of each record payload that is a row of int64; texts are not listed, and PARAMS,
# which is a row of float64, neither.
FIELDS: dict[int, tuple[str, ...]] = {
    REC_SEND: ("out_seq", "begin_ns", "end_ns"),
    REC_CLOCK: ("utc_minus_monotonic_ns",),
    REC_CONN: ("up",),
    REC_ACCOUNT: ("position_lots", "open_orders"),
    REC_REFERENCE: ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots",
                    "position_lots", "open_lots"),
    REC_HEDGE: ("side", "reason", "px_ticks", "qty_lots"),
    REC_OPENING: ("position_lots",),
    REC_FILL_ROW: ("trade_id", "venue_order_id", "intent_id", "owner", "side", "px_ticks",
                   "qty_lots", "fee_e8", "fee_asset", "is_maker", "exch_ts_ns"),
    REC_QUERY: ("intent_id", "is_absent", "order_status", "venue_order_id", "px_ticks",
                "qty_lots", "cum_qty_lots", "asked_ns"),
    REC_CONDITION: ("bit",),
    REC_ORDER: ("intent_id", "venue_order_id", "side", "state", "px_ticks", "qty_lots",
                "cum_qty_lots", "reason"),
    REC_FILL: ("intent_id", "trade_id", "venue_order_id", "side", "px_ticks", "qty_lots",
               "fee_e8", "is_maker", "bid_px_ticks", "ask_px_ticks", "position_after_lots",
               "exch_ts_ns", "fee_asset", "owner", "via"),
    REC_STATE: ("old_bits", "new_bits"),
    REC_SAMPLE: ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots",
                 "own_bid_px_ticks", "own_bid_qty_lots", "own_ask_px_ticks", "own_ask_qty_lots",
                 "position_lots", "cash_ticks_lots", "fees_e8", "spread_half_ticks_lots",
                 "orders_sent", "fills"),
    REC_DENY: ("intent_id", "code", "side", "px_ticks", "qty_lots"),
    REC_BOOK: ("old_state", "new_state", "update_id"),
}
# An OUT payload opens with these; the unmasked message text follows, key and signature blanked.
OUT_FIELDS = ("out_seq", "intent_id", "conn", "deadline_ns", "signature_hash")
OUT_HEADER = struct.Struct("<qqqqQ")

NAMES: dict[int, str] = {
    REC_CONFIG: "CONFIG", REC_FRAME: "FRAME", REC_SNAPSHOT: "SNAPSHOT", REC_TIMER: "TIMER",
    REC_COMMAND: "COMMAND", REC_SEND: "SEND", REC_CLOCK: "CLOCK", REC_CONN: "CONN",
    REC_ACCOUNT: "ACCOUNT", REC_REFERENCE: "REFERENCE", REC_HEDGE: "HEDGE",
    REC_OPENING: "OPENING", REC_FILL_ROW: "FILL_ROW", REC_QUERY: "QUERY", REC_PARAMS: "PARAMS",
    REC_CONDITION: "CONDITION", REC_KNOWN: "KNOWN", REC_OUT: "OUT", REC_ORDER: "ORDER",
    REC_FILL: "FILL", REC_STATE: "STATE", REC_SAMPLE: "SAMPLE", REC_DENY: "DENY", REC_BOOK: "BOOK",
}
KIND: dict[str, int] = {name: kind for kind, name in NAMES.items()}
INPUT_LAST = REC_INPUT_LAST
END_OF_SEGMENT = RECORD_END_OF_SEGMENT
HEADER_SIZE = SEGMENT_HEADER_SIZE


class JournalError(ValueError):
    """A journal that is not what the writer wrote: names the offset and the record."""


cdef inline int64_t _padded(int64_t size) noexcept nogil:
    return (size + 7) & ~(<int64_t>7)


@cython.final
cdef class JournalOrder:
    """Numbers records: one row for all the journals of a run, so that they can be read, and
    replayed, in the order in which things happened. In one journal numbers only grow."""

    def __cinit__(self):
        self.seq = 0


@cython.final
cdef class JournalWriter:
    """Append records to the current segment; swap to the next when one does not fit.

    The edge keeps one segment ahead (`needs_segment`, `add_segment`), so that the swap is two
    pointer moves. Without a next segment `reserve` returns NULL, and the core halts.
    """

    def __cinit__(self, object segment, int64_t wall_minus_monotonic_ns=0,
                  JournalOrder order=None):
        self._wall_minus_monotonic_ns = wall_minus_monotonic_ns
        self.order = JournalOrder() if order is None else order
        self.segment_index = 0
        self._view = _hold(segment)
        self._start_segment(_address(self._view), len(self._view))

    cdef void _start_segment(self, uint8_t* base, int64_t capacity) noexcept nogil:
        """Write the header, its first word last: a reader that sees the magic sees all of it."""
        cdef uint8_t[SEGMENT_HEADER_SIZE] header
        cdef uint32_t version = 1
        cdef uint64_t word
        memset(header, 0, SEGMENT_HEADER_SIZE)
        memcpy(header, b"TMJRNL01", 8)
        memcpy(header + 8, &version, 4)
        memcpy(header + 12, &self.segment_index, 4)
        memcpy(header + 16, &self.order.seq, 8)
        memcpy(header + 24, &self._wall_minus_monotonic_ns, 8)
        word = hash64(0, header, 32)
        memcpy(header + 32, &word, 8)
        memcpy(base + 8, header + 8, SEGMENT_HEADER_SIZE - 8)
        memcpy(&word, header, 8)
        fc_store_release_u64(base, word)
        self._base = base
        self._capacity = capacity
        self._used = SEGMENT_HEADER_SIZE

    cdef int64_t room(self) noexcept nogil:
        return self._capacity - self._used

    cdef uint8_t* reserve(self, int64_t payload_size) noexcept nogil:
        """Room for one record's payload, or NULL; commit() publishes it. O(1)."""
        cdef int64_t total = RECORD_HEADER_SIZE + _padded(payload_size)
        # 8 bytes stay free for the end-of-segment word.
        if fc_unlikely(self._used + total + 8 > self._capacity):
            if self._next_base == NULL or (SEGMENT_HEADER_SIZE + total + 8
                                           > self._next_capacity):
                return NULL
            fc_store_release_u64(self._base + self._used,
                                 <uint64_t>RECORD_END_OF_SEGMENT << 32)
            self.segment_index += 1
            self._start_segment(self._next_base, self._next_capacity)
            self._next_base = NULL
        return self._base + self._used + RECORD_HEADER_SIZE

    cdef void commit(self, int kind, int arg, int64_t payload_size, ns_t now_ns,
                     ns_t recv_ts_ns) noexcept nogil:
        """Publish the record whose payload was written at the last reserve()."""
        self._publish(kind, arg, self._base + self._used + RECORD_HEADER_SIZE, payload_size,
                      now_ns, recv_ts_ns)

    cdef void _publish(self, int kind, int arg, const uint8_t* payload, int64_t payload_size,
                       ns_t now_ns, ns_t recv_ts_ns) noexcept nogil:
        """`payload`: the record's own, or what it was copied from, which is cheaper to read.

        Header words are whole stores: a load that needs two stores waits for both.
        """
        cdef uint64_t[5] header            # RECORD_HEADER_SIZE bytes
        cdef uint8_t* record = self._base + self._used
        cdef int64_t padded = _padded(payload_size)
        FC_DCHECK(kind != 0 and self._used + RECORD_HEADER_SIZE + padded <= self._capacity)
        memset(record + RECORD_HEADER_SIZE + payload_size, 0, padded - payload_size)
        header[0] = (<uint64_t>payload_size | <uint64_t>kind << 32 | <uint64_t>arg << 48)
        header[1] = self.order.seq
        header[2] = <uint64_t>now_ns
        header[3] = <uint64_t>recv_ts_ns
        header[4] = hash64(hash64(0, <const uint8_t*>header, 32), payload, payload_size)
        memcpy(record + 8, header + 1, RECORD_HEADER_SIZE - 8)
        fc_store_release_u64(record, header[0])
        self.order.seq += 1
        fc_prefetch_for_write(record + AHEAD_BYTES, RECORD_HEADER_SIZE + padded)
        self._used += RECORD_HEADER_SIZE + padded

    cdef int write(self, int kind, int arg, const void* payload, int64_t payload_size,
                   ns_t now_ns, ns_t recv_ts_ns) noexcept nogil:
        """One whole record; OK or E_JOURNAL."""
        cdef uint8_t* room = self.reserve(payload_size)
        if fc_unlikely(room == NULL):
            return E_JOURNAL
        memcpy(room, payload, payload_size)
        self._publish(kind, arg, <const uint8_t*>payload, payload_size, now_ns, recv_ts_ns)
        return OK

    # -- COLD ---

    def append(self, int kind, int arg, bytes payload, int64_t now_ns,
               int64_t recv_ts_ns=0) -> bool:
        """One record from Python; False when there is no room."""
        if not 0 < kind < RECORD_END_OF_SEGMENT or not 0 <= arg <= 0xFFFF:
            raise ValueError(f"Expected kind 1..65534 and arg 0..65535, was {kind}, {arg}")
        cdef const uint8_t* data = payload
        return self.write(kind, arg, data, len(payload), now_ns, recv_ts_ns) == OK

    @property
    def needs_segment(self) -> bool:
        """True when the edge should hand over the next segment."""
        return self._next_base == NULL

    def add_segment(self, object segment) -> None:
        """Keep `segment` (a writable, zeroed buffer) ready for when the current one is full."""
        if self._next_base != NULL:
            raise ValueError("The next segment is already there")
        # What _next_view held is the segment in use since the last swap, or nothing.
        if self._next_view is not None:
            self._view = self._next_view
        self._next_view = _hold(segment)
        self._next_capacity = len(self._next_view)
        self._next_base = _address(self._next_view)

    @property
    def next_seq(self) -> int:
        return <int64_t>self.order.seq

    @property
    def used(self) -> int:
        """Bytes written in the current segment, its header included."""
        return self._used

    def rewind(self) -> None:
        """Forget the current segment's records, keep counting: scratch journals of a replay."""
        memset(self._base, 0, self._used)
        self._start_segment(self._base, self._capacity)

    def current(self) -> memoryview:
        """The current segment's written bytes, read-only."""
        view = self._view if _address(self._view) == self._base else self._next_view
        return view[:self._used].toreadonly()


cdef object _hold(object segment):
    view = memoryview(segment).cast("B")
    if view.readonly or len(view) < SEGMENT_HEADER_SIZE + 4096:
        raise ValueError(f"Expected a writable segment of at least 4160 bytes, was {len(view)}")
    return view


cdef uint8_t* _address(object view) except NULL:
    # The memoryview keeps the buffer alive and unmovable; only its address is wanted here.
    cdef Py_buffer raw
    PyObject_GetBuffer(view, &raw, PyBUF_SIMPLE | PyBUF_WRITABLE)
    cdef uint8_t* address = <uint8_t*>raw.buf
    PyBuffer_Release(&raw)
    return address


def segment_header(buf) -> tuple[int, int, int]:
    """(segment_index, first_seq, wall_minus_monotonic_ns); JournalError if it is no segment."""
    if len(buf) < SEGMENT_HEADER_SIZE:
        raise JournalError(f"Expected a segment of at least 64 bytes, was {len(buf)}")
    (magic, version, index, first_seq, offset_ns, checksum,
     unused) = _SEGMENT_HEADER.unpack_from(buf, 0)
    cdef const uint8_t[::1] data = buf
    if magic != MAGIC:
        raise JournalError(f"Expected a journal segment (it starts with {MAGIC!r}), "
                           f"was {bytes(magic)!r}")
    if version != VERSION:
        raise JournalError(f"Expected journal version {VERSION}, was {version}")
    if checksum != hash64(0, &data[0], 32) or any(unused):
        raise JournalError("offset 0: the segment's header does not match its checksum")
    return index, first_seq, offset_ns


def read_segment(buf, int64_t offset=SEGMENT_HEADER_SIZE) -> Iterator[tuple]:
    """Yield (offset, kind, arg, seq, now_ns, recv_ts_ns, payload) of each whole record.

    `payload` is a memoryview into `buf`. Stops at the first unwritten record; the end-of-segment
    mark is yielded with an empty payload and seq -1. Raises JournalError where a checksum, a size
    or a seq is wrong, naming the offset.
    """
    view = memoryview(buf)
    cdef const uint8_t[::1] data = view
    cdef int64_t size = len(view)
    cdef int64_t payload_size, start, end, now_ns, recv_ts_ns
    cdef uint64_t first_word, seq, checksum, last_seq = 0
    cdef int kind, arg
    cdef bint is_first = True
    cdef object nothing = view[:0], payload
    while offset + 8 <= size:
        # One load: a writer may be publishing this very word.
        first_word = fc_load_acquire_u64(&data[offset])
        kind = (first_word >> 32) & 0xFFFF
        payload_size = first_word & 0xFFFFFFFF
        if kind == RECORD_END_OF_SEGMENT:   # may stand where no whole header fits any more
            if first_word != <uint64_t>RECORD_END_OF_SEGMENT << 32:
                raise JournalError(f"offset {offset}: damaged end of segment")
            yield offset, kind, 0, -1, 0, 0, view[:0]
            return
        if kind == 0:
            # The word is published whole: half of one is damage, not a record being written.
            if first_word != 0:
                raise JournalError(f"offset {offset}: damaged record header (kind 0)")
            return
        if offset + RECORD_HEADER_SIZE + payload_size > size:
            raise JournalError(f"offset {offset}: record of {payload_size} bytes runs past the "
                               f"segment's end at {size}")
        arg = first_word >> 48
        memcpy(&seq, &data[offset + 8], 8)
        memcpy(&now_ns, &data[offset + 16], 8)
        memcpy(&recv_ts_ns, &data[offset + 24], 8)
        memcpy(&checksum, &data[offset + 32], 8)
        start = offset + RECORD_HEADER_SIZE
        end = start + payload_size
        if hash64(hash64(0, &data[offset], 32), &data[0] + start, payload_size) != checksum:
            raise JournalError(f"offset {offset}: checksum of record {seq} "
                               f"({NAMES.get(kind, kind)}) does not match its bytes")
        if payload_size & 7 and any(view[end:start + _padded(payload_size)]):
            raise JournalError(f"offset {end}: the padding of record {seq} "
                               f"({NAMES.get(kind, kind)}) is not zero")
        if not is_first and seq <= last_seq:
            raise JournalError(f"offset {offset}: record {seq} after record {last_seq}")
        is_first, last_seq = False, seq
        payload = view[start:end] if payload_size else nothing
        yield offset, kind, arg, seq, now_ns, recv_ts_ns, payload
        offset = start + _padded(payload_size)


def unpack(int kind, payload) -> dict[str, int]:
    """Fields of a record whose payload is a row of int64."""
    names = FIELDS[kind]
    if len(payload) != 8 * len(names):
        raise JournalError(f"Expected {8 * len(names)} bytes in a {NAMES[kind]} record, "
                           f"was {len(payload)}")
    return dict(zip(names, struct.unpack(f"<{len(names)}q", payload), strict=True))
