"""A load of market data that costs its sender next to nothing, and a reader that counts it.

Frames are built once; `Pump.send` passes as many of them as one send() takes. So what is measured
is a client, never an exchange. `Counter` takes every message apart at its header, as any reader
must, and does nothing else. No clock in here: who wants a pace asks for so many messages at a time.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

import os

cdef extern from "sys/socket.h" nogil:
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)
    ssize_t c_recv "recv"(int fd, void* data, size_t size, int flags)
    int MSG_NOSIGNAL

cdef enum:
    SEND_BYTES_MAX = 1 << 18    # a call; larger ones only wait longer for room
    LOOP_BYTES_MIN = 1 << 21    # frames are repeated up to here, so that a call never runs short
    READ_BYTES = 1 << 20
    HEADER_BYTES_MAX = 10       # unmasked, RFC 6455 5.2
    TEXT_WHOLE = 0x81


@cython.final
cdef class Pump:
    """`frames`: whole WebSocket frames as they go over the wire. They are sent round and round."""

    cdef uint8_t* _data
    cdef int64_t* _ends         # of each frame in _data
    cdef int64_t _frames        # in _data
    cdef int64_t _next          # the frame that is sent now
    cdef int64_t _at            # the byte that is sent next
    cdef readonly int64_t bytes_sent

    def __cinit__(self, frames):
        cdef bytes frame
        cdef int64_t size = sum(map(len, frames)), place = 0, index = 0
        if size == 0 or not all(frames):
            raise ValueError("a pump wants frames, and none empty")
        cdef int64_t rounds = LOOP_BYTES_MIN // size + 1
        self._frames = rounds * len(frames)
        self._data = <uint8_t*>malloc(<size_t>(rounds * size))
        self._ends = <int64_t*>malloc(<size_t>self._frames * sizeof(int64_t))
        if self._data is NULL or self._ends is NULL:
            raise MemoryError()
        for _ in range(rounds):
            for frame in frames:
                memcpy(self._data + place, <const uint8_t*>frame, <size_t>len(frame))
                place += len(frame)
                self._ends[index] = place
                index += 1

    def __dealloc__(self):
        free(self._data)
        free(self._ends)

    def send(self, int fd, int64_t count) -> int:
        """Up to `count` messages; those whose last byte the kernel has. Fewer where a socket that
        doesn't block is full. OSError when the connection is gone."""
        cdef int64_t done = 0, got
        if count < 0:
            raise ValueError("a negative count")
        while done < count:
            with nogil:
                got = self._send_some(fd, count - done)
            if got < 0:
                if -got == EAGAIN:
                    break
                if -got == EINTR:
                    continue
                raise OSError(-got, os.strerror(-got))
            done += got
        return done

    cdef int64_t _send_some(self, int fd, int64_t count) noexcept nogil:
        """Messages that one call completed, or minus the error."""
        cdef int64_t last = min(self._next + count, self._frames) - 1, done = 0
        cdef int64_t size = min(self._ends[last] - self._at, <int64_t>SEND_BYTES_MAX)
        cdef ssize_t sent = c_send(fd, self._data + self._at, <size_t>size, MSG_NOSIGNAL)
        if sent < 0:
            return -errno
        self._at += sent
        self.bytes_sent += sent
        while self._next < self._frames and self._ends[self._next] <= self._at:
            self._next += 1
            done += 1
        if self._next == self._frames:
            self._next = self._at = 0
        return done


@cython.final
cdef class Counter:
    """Counts whole text messages, and what they hold."""

    cdef uint8_t* _data
    cdef int64_t _held          # bytes of _data that are there
    cdef readonly int64_t messages
    cdef readonly int64_t payload_bytes
    cdef readonly int64_t others  # frames that are no whole text message

    def __cinit__(self):
        self._data = <uint8_t*>malloc(READ_BYTES)
        if self._data is NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._data)

    def receive(self, int fd) -> bool:
        """Wait for bytes once and count what is whole; False at the end of the stream."""
        cdef ssize_t got
        while True:
            with nogil:
                got = c_recv(fd, self._data + self._held, <size_t>(READ_BYTES - self._held), 0)
            if got >= 0:
                break
            if errno != EINTR:
                raise OSError(errno, os.strerror(errno))
        if got == 0:
            return False
        self._held += got
        if self._count() < 0:
            raise ValueError("a frame that is masked, or larger than the reader's buffer")
        return True

    def feed(self, const uint8_t[::1] data not None) -> None:
        """Bytes that came with the handshake."""
        if len(data) > READ_BYTES - self._held:
            raise ValueError("more than the reader's buffer")
        if len(data):
            memcpy(self._data + self._held, &data[0], <size_t>len(data))
            self._held += len(data)
        if self._count() < 0:
            raise ValueError("a frame that is masked, or larger than the reader's buffer")

    cdef int _count(self) noexcept nogil:
        """0, or -1 for a frame that can't be."""
        cdef int64_t place = 0, size, head, byte
        while self._held - place >= 2:
            size, head = self._data[place + 1], 2
            if size & 0x80:
                return -1
            if size >= 126:
                head = 4 if size == 126 else HEADER_BYTES_MAX
                if self._held - place < head:
                    break
                size = 0
                for byte in range(2, head):
                    size = size << 8 | self._data[place + byte]
            if size < 0 or size > READ_BYTES - HEADER_BYTES_MAX:
                return -1
            if self._held - place < head + size:
                break
            if self._data[place] == TEXT_WHOLE:
                self.messages += 1
                self.payload_bytes += size
            else:
                self.others += 1
            place += head + size
        if place:
            self._held -= place
            memmove(self._data, self._data + place, <size_t>self._held)
        return 0
