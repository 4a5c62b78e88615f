# cython: language_level=3
"""Many sockets, many cores, one loop; see hotsocket.pyx.

With its parts (hotconn, hottls, hotrole, hotroute, hotread, hotsend) the only compiled code of the
edge. It reads clocks and calls recvmsg and send; it decides nothing but whom a frame is for and
whether a message is still in time to be sent.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from engine.gateway.hotconn cimport HotConn
from engine.gateway.hotrole cimport Role
from engine.gateway.hotread cimport HotRead
from fastcore.latency cimport Histogram
from fastcore.types cimport ns_t

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    cdef enum:
        EPOLLIN
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CLOEXEC
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int count, int timeout_ms)

cdef enum:
    TIMER_NS = 10000000        # a core's due timer ...
    TIMER_SPACE_NS = 200000    # ... and the least time for each core: of 200, every 40 ms
    # Sockets that are read one by one: a look at an empty one takes 575 ns, epoll_wait 230 ns
    # however many they are, but a read besides. One instrument's three stay as quick as one.
    DIRECT_MAX = 3


cdef class HotLoop(HotRead):
    cdef int others_every              # USER and TRADE are read once in this many tries
    cdef int live_count[2]             # sockets of MARKET, and the others
    cdef PyObject** live_at[2]         # borrowed of their roles; changes between polls only
    cdef int epoll_fd[2]
    cdef epoll_event* ready
    cdef int64_t waits[2]              # epoll_wait calls
    cdef ns_t waited_ns[2]             # begin of the last
    cdef bint is_alone                 # poll(1): the caller sleeps between two polls
    cdef ns_t timer_space_ns
    cdef int timer_at                  # whose timer is next
    cdef ns_t timer_due_ns             # when that is looked at
    cdef ns_t map_due_ns
    cdef readonly int64_t polls
    cdef ns_t left_ns                  # when the last poll ended; 0: there was none
    cdef readonly Histogram away       # from a poll's end to the next poll

    cdef void _round(self, bint with_others) noexcept nogil
    cdef void _poll_group(self, int group) noexcept nogil
    cdef void _poll_ready(self, HotConn hot, ns_t last_ns, int64_t wait) noexcept nogil
    cdef void _flush_queued(self) noexcept nogil
    cdef bint _flush_one(self, HotConn hot) noexcept nogil
    cdef void _on_timers(self, ns_t now_ns) noexcept nogil
    cdef bint _is_any_queued(self) noexcept nogil
    cdef HotConn _own(self, Role role, int slot)
    cdef int _list_live(self) except -1
