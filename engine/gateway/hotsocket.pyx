# cython: language_level=3
"""Read every venue's data, drive the cores, send their orders: the compiled edge.

    recvmsg + kernel stamp -> frames parsed in place -> whose it is -> core.on_frame -> one send()

`HotLoop.poll(tries)` is called between two turns of the event loop; it makes up to `tries`
non-blocking rounds and returns early when Python has something to do (take_cold()). No Python
object is made for a frame. Up to DIRECT_MAX sockets are read one by one; of more, epoll tells the
readable ones. A connection that serves one core pays nothing for those that serve many (hotrole,
hotroute), nor a plain one for TLS (hottls).

What a receive stamp is: see hotread.pyx; what a send outcome is: see hotsend.pyx.
"""
cimport cython
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport PyObject
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy
from posix.unistd cimport close

from enum import IntEnum
from typing import Any

from engine.gateway.hotconn cimport (
    CLOSE_LOCAL,
    HS_HAS_TSC,
    HotConn,
    hs_is_virtual,
    hs_monotonic_ns,
    hs_set_virtual,
    hs_ticks,
    set_virtual_time_of_conns,
)
from engine.gateway.hotrole cimport Role
from engine.gateway.hotread cimport CIPHER_BYTES, HotRead, set_virtual_time_of_reads
from engine.gateway.hotsend cimport (
    COLD_FLAT,
    COLD_SNAPSHOT,
    COLD_STATE,
    Seat,
    set_virtual_time_of_sends,
)
from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.core cimport Core
from fastcore.latency cimport Histogram
from fastcore.types cimport CONN_MARKET, ns_t
from fastcore.ws cimport (
    WS_CLOSE,
    WS_CONTROL_PAYLOAD_MAX,
    WS_PING,
    WS_TEXT,
    ws_frame,
    ws_header_size,
)


class Cold(IntEnum):
    """What Python has to look after; see HotLoop.take_cold."""

    CLOSED = 1    # a slot's connection ended; the cores know already
    SNAPSHOT = 2  # a core began to want a depth snapshot
    STATE = 3     # a core's halt bits changed
    FLAT = 4      # a core is halted, and its last working order is gone


_COLD_OF_CORE = (
    (COLD_SNAPSHOT, Cold.SNAPSHOT), (COLD_STATE, Cold.STATE), (COLD_FLAT, Cold.FLAT),
)


@cython.final
cdef class HotLoop(HotRead):
    """The cores and their sockets. Every input of a live core goes through here."""

    def __cinit__(self, int others_every=4, int64_t timer_space_ns=TIMER_SPACE_NS):
        """`timer_space_ns`: the cores' timers together are due no more often than that."""
        if others_every < 1:
            raise ValueError(f"Expected others_every of at least 1, was {others_every}")
        if not 0 < timer_space_ns <= 1_000_000_000:
            raise ValueError(f"Expected timer_space_ns of 1 to 1e9, was {timer_space_ns}")
        self.timer_space_ns = timer_space_ns
        self.epoll_fd[0] = self.epoll_fd[1] = -1
        for group in range(2):
            self.epoll_fd[group] = epoll_create1(EPOLL_CLOEXEC)
            if self.epoll_fd[group] < 0:
                raise OSError(errno, "epoll_create1")
        self.others_every = others_every
        self.timer_due_ns = <ns_t>1 << 62
        self.away = Histogram()
        self._map_clock()

    def __dealloc__(self):
        for group in range(2):
            if self.epoll_fd[group] >= 0:
                close(self.epoll_fd[group])
            free(self.live_at[group])
        free(self.ready)

    def poll(self, int tries) -> bool:
        """Up to `tries` non-blocking rounds, one at least; whether take_cold() has something."""
        cdef int i
        cdef ns_t now_ns
        if fc_likely(self.left_ns != 0):
            now_ns = hs_monotonic_ns()
            self.away.record(now_ns - self.left_ns)
            self.busy_ns += now_ns - self.left_ns
        self.is_alone = tries == 1
        for i in range(tries):
            self._round(i % self.others_every == 0)
            if fc_unlikely(self.has_cold):
                break
        self.polls += 1
        self.left_ns = hs_monotonic_ns()
        return self.has_cold

    cdef void _round(self, bint with_others) noexcept nogil:
        cdef ns_t now_ns = hs_monotonic_ns()
        cdef int i
        if fc_likely(self.live_count[0] + self.live_count[1] <= DIRECT_MAX):
            for i in range(self.live_count[0]):
                self._poll_socket(<HotConn>self.live_at[0][i],
                                  now_ns if i == 0 else hs_monotonic_ns())
            if with_others:
                for i in range(self.live_count[1]):
                    self._poll_socket(<HotConn>self.live_at[1][i], hs_monotonic_ns())
        else:
            self._poll_group(0)
            if with_others:
                self._poll_group(1)
                if fc_unlikely(self.noted.has_queued):
                    self._flush_queued()
        if with_others and fc_unlikely(now_ns >= self.timer_due_ns):
            self._on_timers(now_ns)

    cdef void _poll_group(self, int group) noexcept nogil:
        """Read what epoll says is readable; the rest was empty when this began."""
        cdef ns_t begin_ns = hs_monotonic_ns()
        cdef ns_t last_ns = self.waited_ns[group]
        cdef int i, count
        if self.live_count[group] == 0:
            return
        count = epoll_wait(self.epoll_fd[group], self.ready, self.live_count[group], 0)
        self.waited_ns[group] = begin_ns
        self.waits[group] += 1
        for i in range(count):
            self._poll_ready(<HotConn>self.ready[i].data.ptr, last_ns, self.waits[group])

    cdef void _poll_ready(self, HotConn hot, ns_t last_ns, int64_t wait) noexcept nogil:
        """A readable socket that the last wait did not name was empty when that began."""
        if hot.ready_wait != wait - 1 and hot.drained_ns < last_ns:
            hot.drained_ns = last_ns
        hot.ready_wait = wait
        self._poll_socket(hot, hs_monotonic_ns())

    cdef void _flush_queued(self) noexcept nogil:
        """Bytes that wait on sockets from which nothing comes."""
        cdef int group, i
        cdef bint is_left = False
        for group in range(2):
            for i in range(self.live_count[group]):
                is_left |= self._flush_one(<HotConn>self.live_at[group][i])
        self.noted.has_queued = is_left
        self._settle()

    cdef bint _flush_one(self, HotConn hot) noexcept nogil:
        return hot.is_live() and not hot.flush()

    cdef void _on_timers(self, ns_t now_ns) noexcept nogil:
        """The timers that are due, in turn; missed ones are not made up for.

        One at a time and evenly spaced while sockets are polled, so that no frame waits behind
        those of many cores; of very many, seldomer. All of them where the caller sleeps between
        two polls. Clocks are paired anew before.
        """
        cdef ns_t period_ns = max(<ns_t>TIMER_NS, self.timer_space_ns * self.core_count)
        cdef int count = self.core_count if self.is_alone else 1
        cdef int number
        if now_ns >= self.map_due_ns:
            self.map_due_ns = now_ns + TIMER_NS
            self._map_clock()
        while count > 0 and now_ns >= self.seats[self.timer_at].timer_due_ns:
            count -= 1
            number = self.timer_at
            self.timer_at = (number + 1) % self.core_count
            self.seats[number].timer_due_ns = now_ns + period_ns
            (<Core>self.seats[number].core).on_timer(hs_monotonic_ns())
            self._after_input(number)
        self.timer_due_ns = self.seats[self.timer_at].timer_due_ns
        if not self.is_alone:            # a little closer than even, so that none falls behind
            self.timer_due_ns = max(
                self.timer_due_ns, now_ns + period_ns * 7 // (8 * self.core_count))
        self._settle()
        self.busy_ns += hs_monotonic_ns() - now_ns

    def due_in_s(self, double least_s, double most_s) -> float:
        """How long a caller may sleep while no socket has anything for it: until the next timer
        is due. Bytes that a socket did not take are tried again each TIMER_NS."""
        cdef int64_t wait_ns = self.timer_due_ns - hs_monotonic_ns()
        if self._is_any_queued():
            wait_ns = min(wait_ns, <int64_t>TIMER_NS)
        return min(max(wait_ns / 1e9, least_s), most_s)

    cdef bint _is_any_queued(self) noexcept nogil:
        cdef int group, i
        for group in range(2):
            for i in range(self.live_count[group]):
                if fc_unlikely((<HotConn>self.live_at[group][i]).is_queued()):
                    return True
        return False

    cdef void _forget(self, HotConn hot) noexcept nogil:
        """A dead socket would stay readable for ever."""
        cdef epoll_event none
        epoll_ctl(self.epoll_fd[_group(hot)], EPOLL_CTL_DEL, hot.fd, &none)

    # -- COLD ---

    def add_role(self, int kind, numbers, int slots=2, int64_t buffer_bytes=0) -> Role:
        """A group of connections of `kind` (CONN_*) for the cores `numbers`.

        `buffer_bytes` of each slot in use hold the longest frame and a burst behind one stall;
        0: 4 MB of MARKET, else 1 MB. Many instruments do with less: 512 KB.
        """
        numbers = list(numbers)
        symbols = [self._core(number).config["symbol"] for number in numbers]
        role = Role(kind, self.role_count, numbers, symbols, slots, buffer_bytes)
        self._add_role(role)
        return role

    def _on_core_added(self, int number):
        cdef Seat* seat = &self.seats[number]
        seat.timer_due_ns = hs_monotonic_ns()
        self.timer_due_ns = min(self.timer_due_ns, seat.timer_due_ns)

    def take_cold(self) -> list[tuple[Cold, int, int]]:
        """What is new for Python, each thing once: (CLOSED, role's index, slot), and of the
        others (what, core's number, -1)."""
        cdef int number
        cdef HotConn hot
        told = []
        self.has_cold = False
        for role in self._roles:
            for hot in (<Role>role)._conns:
                if hot.is_cold:
                    hot.is_cold = False
                    told.append((Cold.CLOSED, hot.role, hot.slot))
        for number in range(self.core_count):
            if self.seats[number].cold:
                told += [(what, number, -1) for bit, what in _COLD_OF_CORE
                         if self.seats[number].cold & bit]
                self.seats[number].cold = 0
        return told

    def attach(self, Role role not None, int slot, sock, bytes leftover=b"", tls=None) -> None:
        """Take over a connected socket that is ready for use; the cores hear that the role is up,
        unless another slot is.

        `leftover`: bytes that came behind the handshake (decrypted); `tls`: TlsEnds.
        """
        cdef HotConn hot = self._own(role, slot)
        cdef epoll_event event
        cdef int64_t taken = 0, piece
        hot._attach(sock, tls)
        role.attached += 1
        hot.rank = role.attached
        hot.ready_wait = -1
        event.events = EPOLLIN
        event.data.ptr = <void*>hot
        self._list_live()
        if epoll_ctl(self.epoll_fd[_group(hot)], EPOLL_CTL_ADD, hot.fd, &event) != 0:
            code = errno
            hot._detach()
            self._list_live()
            raise OSError(code, "epoll_ctl")
        role.live += 1
        role.choose_sender()
        if role.live == 1:
            self._came_up(role)
        while hot.is_live() and taken < len(leftover):
            piece = min(<int64_t>len(leftover) - taken, hot.buffer_size - hot.end)
            memcpy(hot.buffer + hot.end, <const uint8_t*>leftover + taken, piece)
            hot.end += piece
            taken += piece
            self._deliver(hot, 0, hot.drained_ns)
        if hot.is_tls:
            self._open_records(hot, 0, 0, hot.drained_ns)
        self._settle()

    def _came_up(self, Role role):
        if role.kind == CONN_MARKET:         # a snapshot asked for before could not be fetched
            for number in role.numbers:
                self.seats[<int>number].was_snapshot_wanted = False
        self._tell_conn(role, True)

    def detach(self, Role role not None, int slot) -> None:
        """Close a slot, politely if it still lives. The cores hear of it if it was the last one;
        take_cold() says nothing of it."""
        cdef HotConn hot = self._own(role, slot)
        cdef uint8_t normal_closure[2]
        if hot.fd < 0:
            return
        if hot.is_live():
            normal_closure[0], normal_closure[1] = 1000 >> 8, 1000 & 0xFF
            hot.send_control(WS_CLOSE, normal_closure, 2)
            hot._goodbye()
            hot.fail(CLOSE_LOCAL, 0)
        self._settle()
        hot.is_cold = False
        hot._detach()
        self._list_live()

    def ping(self, Role role not None, int slot, bytes payload=b"") -> bool:
        """Send a WebSocket ping; False when the slot is not live. Its pongs are counted."""
        cdef HotConn hot = self._own(role, slot)
        if len(payload) > WS_CONTROL_PAYLOAD_MAX:
            raise ValueError(f"Expected at most {WS_CONTROL_PAYLOAD_MAX} bytes")
        if not hot.is_live():
            return False
        hot.pings_sent += 1
        hot.send_control(WS_PING, <const uint8_t*>payload, len(payload))
        self._settle()
        return hot.is_live()

    def say(self, Role role not None, int slot, str text not None) -> bool:
        """Send a text of the application (a subscription, its ping); False: not live."""
        cdef HotConn hot = self._own(role, slot)
        cdef bytes payload = text.encode()
        cdef uint8_t* frame
        if not hot.is_live():
            return False
        frame = <uint8_t*>malloc(ws_header_size(len(payload)) + len(payload))
        if frame == NULL:
            raise MemoryError()
        hot.send_whole(frame, ws_frame(frame, WS_TEXT, payload, len(payload), hot.next_mask()))
        free(frame)
        self._settle()
        return hot.is_live()

    cdef HotConn _own(self, Role role, int slot):
        if not (0 <= role.index < self.role_count and self._roles[role.index] is role):
            raise ValueError("Expected a role of this loop")
        return role.slot(slot)

    cdef int _list_live(self) except -1:
        """The sockets that are polled, by group, in the order of their roles."""
        conns = [hot for role in self._roles for hot in (<Role>role)._conns
                 if (<HotConn>hot).fd >= 0]
        self.ready = <epoll_event*>realloc(self.ready, (len(conns) + 1) * sizeof(epoll_event))
        for group in range(2):
            self.live_at[group] = <PyObject**>realloc(
                self.live_at[group], (len(conns) + 1) * sizeof(PyObject*))
            self.live_count[group] = 0
            if self.live_at[group] == NULL or self.ready == NULL:
                raise MemoryError()
        if self.cipher == NULL and any((<HotConn>hot).is_tls for hot in conns):
            self.cipher = <uint8_t*>malloc(CIPHER_BYTES)
            if self.cipher == NULL:
                raise MemoryError()
        for hot in conns:
            group = _group(<HotConn>hot)
            self.live_at[group][self.live_count[group]] = <PyObject*>hot
            self.live_count[group] += 1
        return 0

    def stats(self) -> dict[str, Any]:
        """What the edge saw, for the status page; what the slots of roles add up to. `away`: from
        the end of a poll to the next (busy: what Python took, and no socket was read)."""
        conns = [hot for role in self._roles for hot in (<Role>role)._conns]
        return {
            "reads": sum(hot.reads for hot in conns),
            "bytes_received": sum(hot.bytes_received for hot in conns),
            "messages": sum(hot.messages for hot in conns),
            "bounded_stamps": sum(hot.bounded for hot in conns),
            "discarded_stamps": sum(hot.stamps_discarded for hot in conns),
            "pings": sum(hot.pings for hot in conns),
            "pongs": sum(hot.pongs for hot in conns),
            "queued_bytes": sum(hot.queued_bytes for hot in conns),
            "strays": sum(role.strays for role in self._roles),
            "broadcasts": sum(role.broadcasts for role in self._roles),
            "clock_steps": self.steps,
            "polls": self.polls,
            "away": self.away.summary(),
        }


cdef inline int _group(HotConn hot) noexcept nogil:
    return 0 if hot.conn == CONN_MARKET else 1


# -- TICKS ---

cdef uint64_t _ticks() noexcept nogil:
    if hs_is_virtual():
        return <uint64_t>hs_monotonic_ns()
    return hs_ticks()


cdef double _ns_per_tick = 0.0


def tick_capsule() -> object:
    """PyCapsule "tickmaker.tick" around a `uint64_t (*)() noexcept nogil`: the processor's time
    stamp counter (x86), else CLOCK_MONOTONIC in ns. For stage times and benches, which compare
    nothing across machines or sleeps."""
    return PyCapsule_New(<void*>_ticks, "tickmaker.tick", NULL)


def ns_per_tick() -> float:
    """ns of one tick, measured once over 20 ms against CLOCK_MONOTONIC (it spins)."""
    global _ns_per_tick
    cdef ns_t begin_ns, end_ns
    cdef uint64_t begin_ticks
    if not HS_HAS_TSC or hs_is_virtual():
        return 1.0
    if _ns_per_tick == 0.0:
        begin_ns = end_ns = hs_monotonic_ns()
        begin_ticks = hs_ticks()
        while end_ns - begin_ns < 20_000_000:
            end_ns = hs_monotonic_ns()
        _ns_per_tick = <double>(end_ns - begin_ns) / <double>(hs_ticks() - begin_ticks)
    return _ns_per_tick


def set_virtual_time(int64_t monotonic_ns, int64_t wall_ns) -> None:
    """For the simulator: what the compiled edge's clocks say from now on, in the whole process;
    (0, 0): they are read again."""
    hs_set_virtual(monotonic_ns, wall_ns)
    set_virtual_time_of_conns(monotonic_ns, wall_ns)
    set_virtual_time_of_sends(monotonic_ns, wall_ns)
    set_virtual_time_of_reads(monotonic_ns, wall_ns)
