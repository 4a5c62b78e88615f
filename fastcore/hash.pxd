# cython: language_level=3
"""64-bit checksum of journal records; see hash.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

# Checksum of data[0:size], chained from `seed`. O(size), ~20 ns for 250 bytes. Reads only those
# bytes; data may be NULL when size is 0.
cdef uint64_t hash64(uint64_t seed, const uint8_t* data, int64_t size) noexcept nogil
