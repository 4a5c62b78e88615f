# cython: language_level=3
"""Signals of order flow and of trades: plain states and what one event does to them, inlined
into signals.pyx. Formulas and sources: docs/signals.md.
"""
from libc.stdint cimport int64_t, uint64_t

from fastcore.signals_decay cimport fc_decay, fc_decay_t
from fastcore.types cimport SIDE_BUY, Level, ns_t, px_t, qty_t

cdef enum:
    WINDOW_EVENTS_MAX = 8192       # events a window remembers; 128 KiB, only where declared
    OFI_LEVELS_MAX = 10
    VPIN_BUCKETS_MAX = 256

cdef struct FlowAt:                # one event of a window
    ns_t at_ns
    uint64_t total_lots            # sum of all flows up to and with it; wraps, differences do not

cdef struct Window:                # sum of the flows within (t - width, t]
    FlowAt* ring                   # WINDOW_EVENTS_MAX of them
    int first                      # index of the oldest inside
    int count
    ns_t width_ns
    uint64_t total_lots            # with the newest event
    uint64_t left_lots             # with the newest event that has left

cdef struct LevelFlow:             # order flow over the top `depth` levels of both sides
    int depth
    bint has_previous
    ns_t last_ns
    double ofi                     # lots, EWMA-decayed sum over time and levels
    double queue_lots              # mean queue of one level, time-weighted EWMA
    double last_queue_lots         # ... of the message before
    Level bids[OFI_LEVELS_MAX]
    Level asks[OFI_LEVELS_MAX]

cdef struct TradeFlow:
    bint has_trade
    ns_t last_ns
    double signed_lots             # EWMA-decayed sums
    double all_lots

cdef struct Vpin:                  # integers: no drift
    qty_t bucket_lots
    int bucket_count               # n
    int filled                     # buckets in the ring, up to n
    int next                       # where the next complete bucket goes
    qty_t open_lots                # volume of the open bucket
    qty_t open_signed_lots
    qty_t sum_lots                 # of the ring
    qty_t ring[VPIN_BUCKETS_MAX]   # |buys - sells| of complete buckets


cdef inline int64_t level_flow(px_t px, qty_t qty, px_t old_px, qty_t old_qty,
                               int up) noexcept nogil:
    """What one level of one side adds to the demand for that side: `up` is 1 for bids, -1 for
    asks, whose better prices are lower. Cont-Kukanov-Stoikov 2014 eq. (10), one side of it.
    Without branches: which way a queue goes is a coin toss, and a wrong guess costs 5 ns."""
    cdef px_t better = (px - old_px) * up
    return (qty & -<int64_t>(better >= 0)) - (old_qty & -<int64_t>(better <= 0))


cdef inline int64_t push_window(Window* window, int64_t flow_lots, ns_t now_ns) noexcept nogil:
    """Add a flow, forget what has left, return the sum. O(log n) at worst, by doubled steps: a
    burst that leaves all at once is not walked event by event. Full: the oldest leaves early."""
    cdef ns_t gone_ns = now_ns - window.width_ns
    cdef int step
    cdef FlowAt* newest
    while window.count > 0 and window.ring[window.first].at_ns <= gone_ns:
        step = 1
        while (2 * step <= window.count
               and window.ring[(window.first + 2 * step - 1)
                               & (WINDOW_EVENTS_MAX - 1)].at_ns <= gone_ns):
            step *= 2
        _leave(window, step)
    if window.count == WINDOW_EVENTS_MAX:
        _leave(window, 1)
    window.total_lots += <uint64_t>flow_lots
    newest = &window.ring[(window.first + window.count) & (WINDOW_EVENTS_MAX - 1)]
    newest.at_ns = now_ns
    newest.total_lots = window.total_lots
    window.count += 1
    return <int64_t>(window.total_lots - window.left_lots)


cdef inline void _leave(Window* window, int count) noexcept nogil:
    cdef int last = (window.first + count - 1) & (WINDOW_EVENTS_MAX - 1)
    window.left_lots = window.ring[last].total_lots
    window.first = (last + 1) & (WINDOW_EVENTS_MAX - 1)
    window.count -= count


cdef inline void on_levels_flow(LevelFlow* flow, const Level* bids, const Level* asks, ns_t now_ns,
                                double rate_per_ns) noexcept nogil:
    """One whole depth message's top levels, `depth` a side. O(depth)."""
    cdef int m
    cdef int64_t lots = 0
    cdef qty_t queues = 0
    cdef fc_decay_t decay
    for m in range(flow.depth):
        queues += bids[m].qty_lots + asks[m].qty_lots
        if flow.has_previous:
            lots += level_flow(bids[m].px_ticks, bids[m].qty_lots, flow.bids[m].px_ticks,
                               flow.bids[m].qty_lots, 1)
            lots -= level_flow(asks[m].px_ticks, asks[m].qty_lots, flow.asks[m].px_ticks,
                               flow.asks[m].qty_lots, -1)
        flow.bids[m] = bids[m]
        flow.asks[m] = asks[m]
    if not flow.has_previous:
        flow.has_previous = True
        flow.last_ns = now_ns
        flow.ofi = 0.0
        flow.last_queue_lots = 0.5 * <double>queues / <double>flow.depth
        flow.queue_lots = flow.last_queue_lots
        return
    if now_ns > flow.last_ns:
        decay = fc_decay(<double>(now_ns - flow.last_ns) * rate_per_ns)
        flow.last_ns = now_ns
        flow.ofi *= decay.keep
        flow.queue_lots += decay.alpha * (flow.last_queue_lots - flow.queue_lots)
    flow.ofi += <double>lots
    flow.last_queue_lots = 0.5 * <double>queues / <double>flow.depth


cdef inline double on_trade_flow(TradeFlow* flow, int aggressor, qty_t qty_lots, ns_t now_ns,
                                 double rate_per_ns) noexcept nogil:
    """Signed over total volume, -1 .. 1."""
    cdef fc_decay_t decay
    if not flow.has_trade:
        flow.has_trade = True
        flow.last_ns = now_ns
    if now_ns > flow.last_ns:
        decay = fc_decay(<double>(now_ns - flow.last_ns) * rate_per_ns)
        flow.last_ns = now_ns
        flow.signed_lots *= decay.keep
        flow.all_lots *= decay.keep
    flow.signed_lots += <double>(qty_lots if aggressor == SIDE_BUY else -qty_lots)
    flow.all_lots += <double>qty_lots
    return flow.signed_lots / flow.all_lots


cdef inline double on_trade_vpin(Vpin* vpin, int aggressor, qty_t qty_lots) noexcept nogil:
    """Fill buckets with one trade; 0 until the ring is full. O(1), O(n) for a trade of n buckets;
    one of more buckets than the ring holds costs no more than the ring."""
    cdef int sign = 1 if aggressor == SIDE_BUY else -1
    cdef qty_t room = vpin.bucket_lots - vpin.open_lots
    cdef qty_t whole
    if qty_lots < room:
        vpin.open_lots += qty_lots
        vpin.open_signed_lots += sign * qty_lots
    else:
        vpin.open_signed_lots += sign * room
        _close_bucket(vpin, vpin.open_signed_lots if vpin.open_signed_lots >= 0
                      else -vpin.open_signed_lots)
        qty_lots -= room
        whole = qty_lots // vpin.bucket_lots
        vpin.open_lots = qty_lots - whole * vpin.bucket_lots
        vpin.open_signed_lots = sign * vpin.open_lots
        if whole > vpin.bucket_count:
            whole = vpin.bucket_count      # the ring holds no more, and all are alike
        while whole > 0:
            _close_bucket(vpin, vpin.bucket_lots)
            whole -= 1
    if vpin.filled < vpin.bucket_count:
        return 0.0
    return <double>vpin.sum_lots / (<double>vpin.bucket_count * <double>vpin.bucket_lots)


cdef inline void _close_bucket(Vpin* vpin, qty_t imbalance_lots) noexcept nogil:
    if vpin.filled == vpin.bucket_count:
        vpin.sum_lots -= vpin.ring[vpin.next]
    else:
        vpin.filled += 1
    vpin.ring[vpin.next] = imbalance_lots
    vpin.sum_lots += imbalance_lots
    vpin.next += 1
    if vpin.next == vpin.bucket_count:
        vpin.next = 0
