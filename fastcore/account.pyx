# cython: language_level=3
"""One account's ledger of what was sent and what is at risk, shared by the gates of all its
instruments; and the table of limits that every gate and account is built from.

Messages count when they are sent, whatever becomes of them (RTS 6 art. 15(1)(d) and 15(2)). A
window of W with limit N is spent when the N-th newest send is younger than W: one ring of send
times answers for every window, in O(1) and without a sweep. A send exactly W old has left it.

Cancels and queries are counted but never asked: they pass always. Orders stop at the message
limits minus cancel_reserve, so that the venue still takes our cancels when quoting has used up the
rest (reliability.md I-21), and at the order limits minus exit_reserve: in a fast market quoting
must not spend what a stop needs. Exits, which reduce what is at risk, may use both reserves.

Exposure is in 1e-8 of the quote asset: exact in int64, and one unit for instruments of every
tick and lot. All instruments of an account are held to have the same quote asset.
"""
cimport cython
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore.types cimport VERB_MODIFY, VERB_PLACE, VERB_REPLACE

import difflib
from decimal import Decimal

PX_LIMIT = 2**30               # PX_TICKS_MAX, QTY_LOTS_MAX of gate.pxd: their product is 2^62
QTY_LIMIT = 2**32
VALUE_LIMIT = 2**62
VALUE_E8_MAX = 2**53           # what one instrument can count for: 90 million of the quote asset
DAY_MS = 86_400_000

# key: (lowest, highest, what it means). Every key is required: there are no default limits.
LIMITS: dict[str, tuple[int, int, str]] = {
    "price_collar_ticks": (1, PX_LIMIT, "ticks that a price may stand off the references"),
    "qty_lots_min": (0, QTY_LIMIT, "smallest order, lots; 0: the venue has no such filter"),
    "qty_lots_max": (1, QTY_LIMIT, "largest order, lots"),
    "notional_min": (0, VALUE_LIMIT, "smallest value, tick x lot; 0: the venue has no such filter"),
    "notional_max": (1, VALUE_LIMIT, "largest value of one order, tick x lot"),
    "position_lots_max": (1, QTY_LIMIT, "position either way with every open order filled, lots"),
    "exposure_max": (1, VALUE_LIMIT, "the same at the ask, or at the order's price: tick x lot"),
    "open_orders_max": (1, 64, "orders that may fill at one time"),
    "orders_per_10s_max": (1, SENDS_MAX, "orders and modifications in 10 s"),
    "orders_per_min_max": (1, SENDS_MAX, "orders and modifications in a minute"),
    "messages_per_s_max": (1, SENDS_MAX, "messages of every kind in 1 s"),
    "messages_per_min_max": (1, SENDS_MAX, "messages of every kind in a minute"),
    "cancel_reserve": (0, SENDS_MAX, "messages of a window kept for cancels and exits"),
    "exit_reserve": (0, SENDS_MAX, "orders of a window kept for exits"),
    "duplicate_ms": (0, DAY_MS, "how long an unanswered order bars its double; 0: not"),
    "book_age_ms_max": (1, DAY_MS, "age of the book"),
    "tick_age_ms_max": (1, DAY_MS, "age of the frame that caused the order"),
    "reference_age_ms_max": (0, DAY_MS, "age of the second reference price; 0: there is none"),
    "account_exposure_e8_max": (1, VALUE_LIMIT, "gross exposure of all instruments, 1e-8 quote"),
    "account_orders_per_10s_max": (1, SENDS_MAX, "of all instruments together"),
    "account_orders_per_min_max": (1, SENDS_MAX, "of all instruments together"),
    "account_messages_per_s_max": (1, SENDS_MAX, "of all instruments together"),
    "account_messages_per_min_max": (1, SENDS_MAX, "of all instruments together"),
    "account_cancel_reserve": (0, SENDS_MAX, "of the account's windows"),
    "account_exit_reserve": (0, SENDS_MAX, "of the account's windows"),
}


def check_limits(limits) -> None:
    """ValueError names the first key of the section `limits` that is unknown, missing or wrong."""
    if not isinstance(limits, dict):
        raise ValueError(f"Expected limits to be a table, was {type(limits).__name__}")
    for key in limits:
        if key not in LIMITS:
            near = difflib.get_close_matches(str(key), LIMITS, n=1)
            hint = f"; did you mean limits.{near[0]}?" if near else ""
            raise ValueError(f"Unknown key limits.{key}{hint}")
    for key, (lowest, highest, text) in LIMITS.items():
        if key not in limits:
            raise ValueError(f"limits.{key} is required ({text}): there are no default limits")
        value = limits[key]
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(f"Expected limits.{key} to be a whole number in {lowest} .. "
                             f"{highest}, was {value!r}")
    for prefix in ("", "account_"):
        for reserve, kind, first in (("cancel_reserve", "message", "s"),
                                     ("exit_reserve", "order", "10s")):
            least = min(limits[f"{prefix}{kind}s_per_{window}_max"] for window in (first, "min"))
            if limits[prefix + reserve] >= least:
                raise ValueError(f"Expected limits.{prefix}{reserve} to be under the {kind} "
                                 f"limits, the least of which is {least}: no order could ever "
                                 "pass")
    if limits["qty_lots_min"] > limits["qty_lots_max"]:
        raise ValueError("Expected limits.qty_lots_min to be at most qty_lots_max")
    if limits["notional_min"] > limits["notional_max"]:
        raise ValueError("Expected limits.notional_min to be at most notional_max")


def value_e8(str tick, str lot) -> tuple[int, int]:
    """Worth of one tick x lot in 1e-8 of the quote asset, as numerator and denominator."""
    return (Decimal(tick) * Decimal(lot)).scaleb(8).as_integer_ratio()


def value_max(value_e8: tuple[int, int]) -> int:
    """Most ticks x lots that are counted in full: their product with the numerator fits int64,
    and their worth is at most VALUE_E8_MAX, so that the sum over GATES_MAX gates fits too."""
    num, den = value_e8
    if not (0 < num <= PX_LIMIT * QTY_LIMIT and 0 < den <= PX_LIMIT * QTY_LIMIT):
        raise ValueError(f"Expected a tick x lot worth above 0, was {num}/{den} in 1e-8 quote")
    return min(VALUE_LIMIT // num, VALUE_E8_MAX * den // num, VALUE_LIMIT)


cdef inline void _count(SendRing* ring, ns_t now_ns) noexcept nogil:
    ring.sent_ns[ring.count & ring.mask] = now_ns
    ring.count += 1


cdef int _allocate(SendRing* ring, int64_t sends_max) except -1:
    ring.mask = (1 << int(sends_max - 1).bit_length()) - 1
    ring.sent_ns = <ns_t*>calloc(ring.mask + 1, sizeof(ns_t))
    if ring.sent_ns == NULL:
        raise MemoryError()
    memset(ring.sent_ns, 1, (ring.mask + 1) * sizeof(ns_t))     # no page fault at a send
    return 0


@cython.final
cdef class Sends:
    """Send windows of one instrument, or with prefix "account_" of one account."""

    def __cinit__(self, dict limits, str prefix=""):
        check_limits(limits)
        self.orders_per_10s_max = limits[prefix + "orders_per_10s_max"]
        self.orders_per_min_max = limits[prefix + "orders_per_min_max"]
        self.messages_per_s_max = limits[prefix + "messages_per_s_max"]
        self.messages_per_min_max = limits[prefix + "messages_per_min_max"]
        self.reserve = limits[prefix + "cancel_reserve"]
        self.exit_reserve = limits[prefix + "exit_reserve"]
        _allocate(&self.orders, max(self.orders_per_10s_max, self.orders_per_min_max))
        _allocate(&self.messages, max(self.messages_per_s_max, self.messages_per_min_max))

    def __dealloc__(self):
        free(self.orders.sent_ns)
        free(self.messages.sent_ns)

    cpdef int check(self, bint is_exit, ns_t now_ns) noexcept nogil:
        """RATE_OK, or which kind of window has no room for one more order. O(1)."""
        return check_sends(self, is_exit, now_ns)

    cpdef void count_send(self, int verb, ns_t now_ns) noexcept nogil:
        """One message of VERB_* left, or is about to."""
        _count(&self.messages, now_ns)
        if verb == VERB_PLACE or verb == VERB_MODIFY or verb == VERB_REPLACE:
            _count(&self.orders, now_ns)

    def to_dict(self) -> dict[str, int]:
        """Messages and orders ever counted."""
        return {"messages": self.messages.count, "orders": self.orders.count}


@cython.final
cdef class Account:
    """Account(limits): the keys account_* of the section; all gates on it must agree on them."""

    def __cinit__(self, dict limits):
        self.sends = Sends(limits, "account_")
        self.exposure_e8_max = limits["account_exposure_e8_max"]
        self.limits = {key: limits[key] for key in LIMITS if key.startswith("account_")}

    cpdef bint is_over(self, int64_t old_e8, int64_t new_e8) noexcept nogil:
        return self.exposure_e8 - old_e8 + new_e8 > self.exposure_e8_max

    cpdef void move(self, int64_t old_e8, int64_t new_e8) noexcept nogil:
        self.exposure_e8 += new_e8 - old_e8

    cdef void leave(self, int64_t exposure_e8) noexcept nogil:
        """A gate that joined is no more: what it had at risk goes with it."""
        self.exposure_e8 -= exposure_e8
        self.gate_count -= 1

    def join(self, dict limits) -> None:
        """One more gate reports to this account. ValueError: its limits say otherwise."""
        for key, value in self.limits.items():
            if limits[key] != value:
                raise ValueError(f"limits.{key} is {limits[key]}, but {value} for another "
                                 "instrument of the account: give both the same")
        if self.gate_count >= GATES_MAX:
            raise ValueError(f"Expected at most {GATES_MAX} instruments on one account")
        self.gate_count += 1
