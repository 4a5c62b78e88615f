# cython: language_level=3
"""SHA-256 and HMAC-SHA-256 for signing orders; see sha256.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
cimport cython

cdef enum:
    SHA256_BLOCK_SIZE = 64
    SHA256_SIZE = 32           # digest, bytes
    SHA256_HEX_SIZE = 64       # digest as hexadecimal digits


# Digest of msg[0:size] into out[0:32], with this machine's best compression.
cdef void sha256(const uint8_t* msg, int64_t size, uint8_t* out) noexcept nogil


@cython.final
cdef class Hmac:
    cdef uint32_t[8] _inner        # after ipad and the prefix's whole blocks
    cdef uint32_t[8] _outer        # after opad
    cdef int64_t _skip_size        # bytes of every message that are in _inner already
    cdef bint _use_ni
    cdef bytes _prefix             # what every message starts with; no secret
    # HMAC of msg[0:size] as 64 lowercase hexadecimal digits (no terminating zero) into out64. msg
    # is the whole message, and must start with the prefix given to the constructor.
    cdef void hex_digest(self, const uint8_t* msg, int64_t size, uint8_t* out64) noexcept nogil
