# cython: language_level=3
"""What a group of connections is for: market data of some cores, an account's orders, its events.

The slots of a role carry the same: two of them are a redundant feed, or the old and the new
connection while one takes over from the other. The cores know roles, not slots: a role is up
while one slot is live. What they send leaves on the youngest, because the oldest is the next that
the venue closes; what arrives is read on all.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free

from engine.gateway.hotconn cimport HotConn
from engine.gateway.hotroute cimport Router
from fastcore.types cimport CONN_COUNT, CONN_MARKET


@cython.final
cdef class Role:
    """Made by HotLoop.add_role; `symbols` are those of the cores `numbers`."""

    def __cinit__(self, int kind, int index, numbers, symbols, int slots, int64_t buffer_bytes):
        cdef int i
        if not 0 <= kind < CONN_COUNT:
            raise ValueError(f"Expected a kind of connection 0..{CONN_COUNT - 1}, was {kind}")
        if not numbers:
            raise ValueError("Expected one core at least")
        if not 1 <= slots <= SLOTS_MAX:
            raise ValueError(f"Expected 1..{SLOTS_MAX} slots, was {slots}")
        if buffer_bytes == 0:
            buffer_bytes = MARKET_BYTES if kind == CONN_MARKET else OTHER_BYTES
        if buffer_bytes < BUFFER_BYTES_MIN:
            raise ValueError(f"Expected a buffer of at least {BUFFER_BYTES_MIN} bytes")
        self.kind, self.index, self.slots = kind, index, slots
        self.sender = -1
        self.count = len(numbers)
        self.cores = <int32_t*>calloc(self.count, sizeof(int32_t))
        if self.cores == NULL:
            raise MemoryError()
        for i, number in enumerate(numbers):
            self.cores[i] = number
        self.router = Router(numbers, symbols)
        self._conns = [HotConn(kind, buffer_bytes, index, slot) for slot in range(slots)]
        for i in range(slots):
            self.conn_at[i] = <PyObject*>self._conns[i]
            if self.count == 1:
                (<HotConn>self._conns[i]).only = self.cores[0]

    def __dealloc__(self):
        free(self.cores)

    def __repr__(self) -> str:
        return f"Role(kind={self.kind}, index={self.index}, numbers={self.numbers})"

    cdef void choose_sender(self) noexcept nogil:
        """The youngest live slot. Rare: once an attachment or a loss."""
        cdef int64_t best = 0, rank
        cdef int slot
        self.sender = -1
        for slot in range(self.slots):
            rank = self._rank(<HotConn>self.conn_at[slot])
            if rank > best:
                best = rank
                self.sender = slot

    cdef int64_t _rank(self, HotConn hot) noexcept nogil:
        return hot.rank if hot.is_live() else 0

    # -- COLD ---

    cdef HotConn slot(self, int slot):
        if not 0 <= slot < self.slots:
            raise ValueError(f"Expected a slot 0..{self.slots - 1}, was {slot}")
        return self._conns[slot]

    @property
    def numbers(self) -> list[int]:
        """Of its cores."""
        return [self.cores[i] for i in range(self.count)]

    @property
    def is_open(self) -> bool:
        """Whether one slot is live."""
        return any((<HotConn>hot).is_live() for hot in self._conns)

    @property
    def youngest(self) -> int:
        """The live slot that was attached last; -1: none is live."""
        self.choose_sender()
        return self.sender

    def is_slot_open(self, int slot) -> bool:
        return self.slot(slot).is_live()

    def close_text(self, int slot) -> str:
        """Why the slot's last connection is of no more use; empty while it is, or never was."""
        return self.slot(slot).close_text

    def last_heard_ns(self, int slot) -> int:
        """When bytes last came, monotonic; 0: none since attach."""
        return self.slot(slot).last_heard_ns

    def fileno(self, int slot) -> int:
        return self.slot(slot).fd

    def socket(self, int slot) -> HotConn:
        """The slot's connection, for its counters."""
        return self.slot(slot)
