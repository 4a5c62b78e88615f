# cython: language_level=3
"""A memory of the last `size` different keys: "has this trade come before?" in O(1).

The keys stand in a ring, oldest first; an open-addressed table at most half full says where. To
forget a key the ones behind it move up, so that a search never meets a hole it would stop at.
Nothing is allocated later, and the pages are touched as they are used.
"""
cimport cython
from libc.stdlib cimport calloc, free

from fastcore.check cimport fc_unlikely

cdef enum:
    SIZE_MAX = 1 << 20


@cython.final
cdef class Seen:
    """Seen(size): `size` keys are remembered, a power of two."""

    def __cinit__(self, int64_t size):
        if not 2 <= size <= SIZE_MAX or size & (size - 1):
            raise ValueError(f"Expected a power of two in 2 .. {SIZE_MAX}, was {size}")
        self._size = size
        self._mask = <uint64_t>(2 * size - 1)
        self._ring = <uint64_t*>calloc(size, sizeof(uint64_t))
        self._table = <int32_t*>calloc(2 * size, sizeof(int32_t))
        if self._ring == NULL or self._table == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._ring)
        free(self._table)

    cdef uint64_t _home(self, uint64_t key) noexcept nogil:
        """Where a search for the key begins. The odd constant is 2^64 over the golden ratio:
        ids that grow by one spread over the table."""
        return (key * <uint64_t>0x9E3779B97F4A7C15 >> 32) & self._mask

    cdef bint take(self, uint64_t key) noexcept nogil:
        cdef uint64_t slot = self._home(key)
        cdef int64_t place = self.count & (self._size - 1)
        while self._table[slot] != 0:
            if self._ring[self._table[slot] - 1] == key:
                return False
            slot = (slot + 1) & self._mask
        if fc_unlikely(self.count >= self._size):
            self._forget(self._ring[place])
            slot = self._home(key)     # what moved up may have left a nearer place
            while self._table[slot] != 0:
                slot = (slot + 1) & self._mask
        self._ring[place] = key
        self._table[slot] = <int32_t>(place + 1)
        self.count += 1
        return True

    cdef bint has(self, uint64_t key) noexcept nogil:
        cdef uint64_t slot = self._home(key)
        while self._table[slot] != 0:
            if self._ring[self._table[slot] - 1] == key:
                return True
            slot = (slot + 1) & self._mask
        return False

    cdef void _forget(self, uint64_t key) noexcept nogil:
        """Free the key's slot, and move up whatever would not be found any more."""
        cdef uint64_t hole = self._home(key)
        cdef uint64_t slot, home
        while self._ring[self._table[hole] - 1] != key:
            hole = (hole + 1) & self._mask
        slot = hole
        while True:
            slot = (slot + 1) & self._mask
            if self._table[slot] == 0:
                break
            home = self._home(self._ring[self._table[slot] - 1])
            if ((slot - home) & self._mask) >= ((slot - hole) & self._mask):
                self._table[hole] = self._table[slot]
                hole = slot
        self._table[hole] = 0

    # -- COLD: Python's face, for tests ---

    def take_key(self, uint64_t key) -> bool:
        return self.take(key)

    def has_key(self, uint64_t key) -> bool:
        return self.has(key)

    def check(self) -> None:
        """Every key of the ring is found, and nothing else stands in the table."""
        cdef int64_t held = min(self.count, self._size)
        cdef int64_t filled = 0
        cdef uint64_t slot
        for slot in range(2 * <uint64_t>self._size):
            filled += self._table[slot] != 0
        if filled != held:
            raise AssertionError(f"{filled} slots for {held} keys")
        for place in range(held):
            slot = self._home(self._ring[place])
            while self._table[slot] != place + 1:
                if self._table[slot] == 0:
                    raise AssertionError(f"key {self._ring[place]} would not be found")
                slot = (slot + 1) & self._mask


@cython.final
cdef class Booked:
    """Booked(size): which of our executions are booked, the last `size` of them, and how new the
    forgotten ones are. Both sides of one trade may be ours: the side is part of a key."""

    def __cinit__(self, int64_t size):
        self._seen = Seen(size)
        self._exch_ts_ns = <ns_t*>calloc(size, sizeof(ns_t))
        if self._exch_ts_ns == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._exch_ts_ns)

    cdef bint take(self, seq_t trade_id, int side, ns_t exch_ts_ns) noexcept nogil:
        cdef int64_t place = self._seen.count & (self._seen._size - 1)
        if not self._seen.take(2 * <uint64_t>trade_id + <uint64_t>side):
            return False
        self.forgotten_ts_ns = max(self.forgotten_ts_ns, self._exch_ts_ns[place])
        self._exch_ts_ns[place] = exch_ts_ns
        return True

    cdef bint has(self, seq_t trade_id, int side) noexcept nogil:
        return self._seen.has(2 * <uint64_t>trade_id + <uint64_t>side)

    cdef bint is_beyond(self, ns_t exch_ts_ns) noexcept nogil:
        return 0 < self.forgotten_ts_ns and exch_ts_ns <= self.forgotten_ts_ns
