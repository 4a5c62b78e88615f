# cython: language_level=3
# cython: auto_pickle=False
"""SHA-256 (FIPS 180-4) and HMAC-SHA-256 (FIPS 198-1, RFC 2104), for one job: signing an order.

    H(msg)        = compress, from the standard's start, over msg || 0x80 || zeros || bit count
    HMAC(K, msg)  = H((K ^ opad) || H((K ^ ipad) || msg))

K, ipad and opad never change, so the states after the blocks K ^ ipad and K ^ opad are computed
once, when the key is given. If all messages start alike ("apiKey=...&"), the state after the
whole 64-byte blocks of that prefix is computed once too. Per message remain the other blocks of
the message, with padding, and one block for the outer hash.

Compression runs on the x86 SHA extensions where the machine has them, else in portable C
(sha256_impl.h); both are tested on the standards' vectors and against hashlib.

The secret: it is read from the caller's bytes, and neither it nor a padded copy is kept. The two
midstates are as good as the secret for signing; they are C fields that Python cannot reach, an
Hmac cannot be pickled or copied, its repr names nothing, and they are wiped when it is freed.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
cimport cython

from fastcore.check cimport FC_DCHECK

cdef extern from "sha256_impl.h" nogil:
    const uint32_t* fc_sha256_start
    bint fc_sha256_has_ni() noexcept
    void fc_sha256_compress(
        bint use_ni, uint32_t* state, const uint8_t* data, int64_t block_count) noexcept
    void fc_sha256_outer(
        bint use_ni, const uint32_t* outer, const uint32_t* inner, uint8_t* out64) noexcept
    void fc_store_be32(uint8_t* at, uint32_t word) noexcept
    void fc_wipe(void* at, int64_t size) noexcept

cdef enum:
    STATE_SIZE = 32            # eight words
    COUNT_OFFSET = 56          # where the 8-byte bit count stands in the last block
    IPAD = 0x36                # FIPS 198-1 section 4
    OPAD = 0x5C

cdef bint _HAS_NI = fc_sha256_has_ni()


cdef inline void _start(uint32_t* state) noexcept nogil:
    memcpy(state, fc_sha256_start, STATE_SIZE)


cdef void _finish(
    bint use_ni, uint32_t* state, const uint8_t* rest, int64_t rest_size, int64_t total_size
) noexcept nogil:
    """Compress `rest`, the message's unread end, with its padding (FIPS 180-4 section 5.1.1).

    `total_size` is the whole message's, in bytes; what stands before `rest` is whole blocks.
    """
    cdef int64_t whole = rest_size // SHA256_BLOCK_SIZE
    cdef int64_t left = rest_size - whole * SHA256_BLOCK_SIZE
    cdef uint8_t[2 * SHA256_BLOCK_SIZE] last
    cdef int64_t last_count = 1 if left < COUNT_OFFSET else 2
    cdef uint8_t* count = last + (last_count - 1) * SHA256_BLOCK_SIZE + COUNT_OFFSET
    cdef uint64_t bit_count = <uint64_t> total_size * 8
    fc_sha256_compress(use_ni, state, rest, whole)
    memset(last, 0, 2 * SHA256_BLOCK_SIZE)
    if left > 0:
        memcpy(last, rest + whole * SHA256_BLOCK_SIZE, <size_t> left)
    last[left] = 0x80
    fc_store_be32(count, <uint32_t> (bit_count >> 32))
    fc_store_be32(count + 4, <uint32_t> bit_count)
    fc_sha256_compress(use_ni, state, last, last_count)


cdef void _digest(
    bint use_ni, const uint8_t* msg, int64_t size, uint8_t* out
) noexcept nogil:
    cdef uint32_t[8] state
    cdef int i
    _start(state)
    _finish(use_ni, state, msg, size, size)
    for i in range(8):
        fc_store_be32(out + 4 * i, state[i])


cdef void sha256(const uint8_t* msg, int64_t size, uint8_t* out) noexcept nogil:
    """Digest of `msg[0:size]` into `out[0:32]`. O(size). `msg` may be NULL when size is 0."""
    FC_DCHECK(size >= 0)
    _digest(_HAS_NI, msg, size, out)


@cython.final
@cython.no_gc
cdef class Hmac:
    """HMAC-SHA-256 with one secret, whose messages all start with one constant prefix.

    `secret`: any size; longer than 64 bytes it is hashed first, as the standard says.
    `prefix`: what every message starts with. `hex_digest` takes the *whole* message, prefix
    included, and skips the prefix's whole 64-byte blocks, which are compressed already.
    `portable`: use portable compression even where the machine has SHA extensions (tests).
    """

    def __cinit__(self, bytes secret not None, bytes prefix not None=b"", bint portable=False):
        cdef uint8_t[SHA256_BLOCK_SIZE] key
        cdef uint8_t[SHA256_BLOCK_SIZE] padded
        cdef const uint8_t* given = secret
        cdef const uint8_t* constant = prefix
        cdef int i
        self._use_ni = _HAS_NI and not portable
        self._prefix = prefix
        self._skip_size = len(prefix) // SHA256_BLOCK_SIZE * SHA256_BLOCK_SIZE
        memset(key, 0, SHA256_BLOCK_SIZE)
        if len(secret) > SHA256_BLOCK_SIZE:
            _digest(self._use_ni, given, len(secret), key)
        else:
            memcpy(key, given, <size_t> len(secret))
        for i in range(SHA256_BLOCK_SIZE):
            padded[i] = key[i] ^ OPAD
        _start(self._outer)
        fc_sha256_compress(self._use_ni, self._outer, padded, 1)
        for i in range(SHA256_BLOCK_SIZE):
            padded[i] = key[i] ^ IPAD
        _start(self._inner)
        fc_sha256_compress(self._use_ni, self._inner, padded, 1)
        fc_sha256_compress(
            self._use_ni, self._inner, constant, self._skip_size // SHA256_BLOCK_SIZE)
        fc_wipe(key, sizeof(key))
        fc_wipe(padded, sizeof(padded))

    def __dealloc__(self):
        fc_wipe(self._inner, sizeof(self._inner))
        fc_wipe(self._outer, sizeof(self._outer))

    cdef void hex_digest(self, const uint8_t* msg, int64_t size, uint8_t* out64) noexcept nogil:
        """HMAC of `msg[0:size]` as 64 lowercase hexadecimal digits. O(size), no allocation.

        `msg` must start with the constructor's prefix (not checked here: its whole blocks are not
        even read). `out64` is written after the last read, so it may overlap `msg`.
        """
        cdef uint32_t[8] state
        FC_DCHECK(size >= self._skip_size)
        memcpy(state, self._inner, STATE_SIZE)
        _finish(
            self._use_ni, state, msg + self._skip_size, size - self._skip_size,
            SHA256_BLOCK_SIZE + size)
        fc_sha256_outer(self._use_ni, self._outer, state, out64)

    # -- PYTHON ---

    def hexdigest(self, bytes msg not None) -> bytes:
        """HMAC of `msg`, the whole message, as 64 lowercase hexadecimal digits.

        Raises ValueError when `msg` does not start with the prefix.
        """
        cdef uint8_t[SHA256_HEX_SIZE] out
        if not msg.startswith(self._prefix):
            raise ValueError("the message does not start with the prefix given to Hmac")
        self.hex_digest(msg, len(msg), out)
        return out[:SHA256_HEX_SIZE]

    def repeat(self, bytes msg not None, int64_t count) -> bytes:
        """Sign `msg` `count` times (at least one), and return the last: for benches."""
        cdef uint8_t[SHA256_HEX_SIZE] out
        cdef const uint8_t* first = msg
        cdef int64_t size = len(msg)
        if count < 1 or not msg.startswith(self._prefix):
            raise ValueError("count must be at least 1, and the message start with the prefix")
        with nogil:
            for _ in range(count):
                self.hex_digest(first, size, out)
        return out[:SHA256_HEX_SIZE]

    def __repr__(self) -> str:
        return "<Hmac>"

    def __reduce__(self):
        raise TypeError("an Hmac holds a secret: it cannot be pickled or copied")


def sha256_digest(bytes msg not None, bint portable=False) -> bytes:
    """SHA-256 of `msg`, 32 bytes; `portable`: not by the SHA extensions."""
    cdef uint8_t[SHA256_SIZE] out
    _digest(_HAS_NI and not portable, msg, len(msg), out)
    return out[:SHA256_SIZE]


def sha256_backend() -> str:
    """Which compression this machine uses: "sha-ni" or "portable"."""
    return "sha-ni" if _HAS_NI else "portable"
