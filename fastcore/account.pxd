# cython: language_level=3
"""What the instruments of one account share: send windows and gross exposure; see account.pyx."""
from libc.stdint cimport int64_t

from fastcore.types cimport ns_t

cdef enum:
    SENDS_MAX = 1048576        # highest limit of a window: 8 MB of send times, for benches
    GATES_MAX = 512            # instruments of one account in one process
    RATE_OK = 0
    RATE_ORDERS = 1            # an order window is spent
    RATE_MESSAGES = 2          # a message window is spent, but for its reserve

cdef enum:                     # the last two past INT_MAX: unsigned in C, so cast where subtracted
    WINDOW_1S_NS = 1_000_000_000
    WINDOW_10S_NS = 10_000_000_000
    WINDOW_MIN_NS = 60_000_000_000

cdef struct SendRing:          # send times, the newest sends_max of them and more
    ns_t* sent_ns
    int64_t mask
    int64_t count              # ever sent


cdef class Sends:
    cdef SendRing messages
    cdef SendRing orders
    cdef int64_t messages_per_s_max
    cdef int64_t messages_per_min_max
    cdef int64_t orders_per_10s_max
    cdef int64_t orders_per_min_max
    cdef int64_t reserve       # messages of each window that only cancels and exits may use
    cdef int64_t exit_reserve  # orders of each window that only exits may use

    cpdef int check(self, bint is_exit, ns_t now_ns) noexcept nogil
    cpdef void count_send(self, int verb, ns_t now_ns) noexcept nogil


cdef inline bint is_spent(const SendRing* ring, int64_t limit, ns_t since_ns) noexcept nogil:
    """At least `limit` sends, which is above 0, happened after `since_ns`."""
    return (ring.count >= limit
            and ring.sent_ns[(ring.count - limit) & ring.mask] > since_ns)


cdef inline int check_sends(Sends sends, bint is_exit, ns_t now_ns) noexcept nogil:
    """RATE_OK, or which kind of window has no room for one more order. O(1), inlined."""
    cdef int64_t reserve = 0 if is_exit else sends.reserve
    cdef int64_t exit_reserve = 0 if is_exit else sends.exit_reserve
    if (is_spent(&sends.orders, sends.orders_per_10s_max - exit_reserve,
                 now_ns - <ns_t>WINDOW_10S_NS)
            or is_spent(&sends.orders, sends.orders_per_min_max - exit_reserve,
                        now_ns - <ns_t>WINDOW_MIN_NS)):
        return RATE_ORDERS
    if (is_spent(&sends.messages, sends.messages_per_s_max - reserve,
                 now_ns - <ns_t>WINDOW_1S_NS)
            or is_spent(&sends.messages, sends.messages_per_min_max - reserve,
                        now_ns - <ns_t>WINDOW_MIN_NS)):
        return RATE_MESSAGES
    return RATE_OK


cdef class Account:
    cdef readonly Sends sends
    cdef readonly int64_t exposure_e8      # sum over the gates, at worst case
    cdef readonly int64_t exposure_e8_max
    cdef readonly int gate_count
    cdef readonly dict limits

    # Whether a gate's change from old_e8 to new_e8 would break the account's limit.
    cpdef bint is_over(self, int64_t old_e8, int64_t new_e8) noexcept nogil
    cpdef void move(self, int64_t old_e8, int64_t new_e8) noexcept nogil
    # The last call of a gate that joined.
    cdef void leave(self, int64_t exposure_e8) noexcept nogil
