# cython: language_level=3
"""TLS for a socket of the hot loop: the interpreter's ssl over memory buffers, past the handshake.

    recv -> feed() -> read() until TLS_DRY          seal() -> out, out_size -> send

The loop holds the GIL whenever it polls, so taking it here costs a few tens of ns. Session
tickets, key updates and their answers are OpenSSL's own business: what it wants to say by itself
stands in the outgoing buffer after a read, and take() gives it. What seal() has encrypted must
leave, in order and whole: the peer counts records.

A kernel stamp belongs to a message only if the read ended where a record does; else its last
segment was the begin of the next record. So records are counted through.
"""
cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t

import ssl


@cython.final
cdef class TlsPipe:
    """`ends`: the session past its handshake and its two buffers (tls.TlsEnds)."""

    def __cinit__(self, ends):
        self._session, self._incoming, self._outgoing = ends
        self._sealed = b""
        self.error = ""

    cdef bint feed(self, const uint8_t* data, int64_t size) noexcept nogil:
        """Ciphertext in; True when it ends where a record does."""
        return self._feed(data, size) and self._follow(data, size)

    cdef bint _feed(self, const uint8_t* data, int64_t size) noexcept with gil:
        try:
            self._incoming.write(PyMemoryView_FromMemory(<char*>data, size, PyBUF_READ))
        except Exception as error:
            self.error = type(error).__name__
            return False
        return True

    cdef bint _follow(self, const uint8_t* data, int64_t size) noexcept nogil:
        """Count through the records; True at the end of one. Trusts nothing: OpenSSL judges."""
        cdef int64_t at = 0, step
        while at < size:
            if self.record_left > 0:
                step = min(self.record_left, size - at)
                self.record_left -= step
                at += step
                continue
            self.header[self.header_size] = data[at]
            self.header_size += 1
            at += 1
            if self.header_size == TLS_HEADER_BYTES:
                self.header_size = 0
                self.record_left = self.header[3] << 8 | self.header[4]
        return self.record_left == 0 and self.header_size == 0

    cdef int64_t read(self, uint8_t* to, int64_t room) noexcept with gil:
        """Plaintext: bytes written to `to`, or TLS_*."""
        cdef int64_t total = 0
        cdef int64_t size
        self.has_more = False
        try:
            while total < room:
                size = self._session.read(
                    room - total,
                    PyMemoryView_FromMemory(<char*>to + total, room - total, PyBUF_WRITE))
                if size == 0:
                    self.has_more = total > 0        # it will say so again
                    return total if total else TLS_EOF
                total += size
                if not self._incoming.pending and not self._session.pending():
                    return total             # sooner known than by an exception
        except ssl.SSLWantReadError:
            return total
        except Exception as error:
            self.has_more = total > 0
            if total:
                return total
            self.error = getattr(error, "reason", None) or type(error).__name__
            return TLS_ERROR
        self.has_more = True
        return total

    cdef bint seal(self, const uint8_t* data, int64_t size) noexcept with gil:
        """Plaintext into `out`, behind whatever OpenSSL wants to say itself."""
        cdef int64_t done = 0
        try:
            while done < size:
                done += self._session.write(
                    PyMemoryView_FromMemory(<char*>data + done, size - done, PyBUF_READ))
        except Exception as error:
            self.error = getattr(error, "reason", None) or type(error).__name__
            return False
        self.take()
        return True

    cdef int64_t take(self) noexcept with gil:
        """What stands in the outgoing buffer, into `out`; its size."""
        self.out_size = 0
        if self._outgoing.pending:
            self._sealed = self._outgoing.read()
            self.out = <const uint8_t*>self._sealed
            self.out_size = len(self._sealed)
        return self.out_size

    cdef void finish(self) noexcept with gil:
        """Our close_notify into `out`."""
        try:
            self._session.unwrap()
        except (OSError, ValueError):        # WANT_READ: the peer's own is not waited for
            pass
        self.take()
