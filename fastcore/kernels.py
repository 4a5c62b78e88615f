"""Batch twins of the signals over whole arrays, for research: what fastcore.signals streams, event
by event, in the same order of operations, so that the doubles are the same bits.

`touches` is int64[n, 5]: bid_px_ticks, bid_qty_lots, ask_px_ticks, ask_qty_lots, now_ns; `trades`
is int64[n, 4]: aggressor (0 buy, 1 sell), px_ticks, qty_lots, now_ns. Row i of an answer is what
the streaming signal says after row i. A hole in the data (a one-sided or crossed touch) is
refused: cut there and call once a piece. Parameters have the names and units of signals_settings;
formulas: docs/signals.md. Numba compiles each kernel when it is first called and keeps the result.
"""

from collections.abc import Sequence

import numpy as np

from fastcore.kernels_base import (
    ASK,
    ASK_QTY,
    AT,
    BID,
    BID_QTY,
    F64,
    I64,
    check_touches,
    check_trades,
    decay,
    jit,
    ns,
)
from fastcore.kernels_pair import pair
from fastcore.kernels_price import ewma_z, keltner, spread_stats, volatility

__all__ = [
    "decay", "ewma_z", "keltner", "microprice_ticks", "mid_ticks", "ofi", "ofi_events",
    "ofi_levels", "ofi_window", "pair", "queue_imbalance", "spread_stats", "stoikov_ticks", "tfi",
    "volatility", "vpin",
]  # fmt: skip

OFI_NORM_MAX = 3.0
WINDOW_EVENTS_MAX = 8_192  # as many as the streaming window remembers


@jit
def _clip(x: float) -> float:
    return min(max(x, -OFI_NORM_MAX), OFI_NORM_MAX)


def queue_imbalance(touches: I64) -> F64:
    """(qb - qa) / (qb + qa)."""
    bid_qty, ask_qty = check_touches(touches)[:, BID_QTY], touches[:, ASK_QTY]
    answer: F64 = (bid_qty - ask_qty) / (bid_qty + ask_qty)
    return answer


def microprice_ticks(touches: I64) -> F64:
    """Weighted mid."""
    bid, bid_qty, ask, ask_qty = check_touches(touches)[:, :AT].T
    answer: F64 = bid + (ask - bid) * (bid_qty / (bid_qty + ask_qty))
    return answer


def mid_ticks(touches: I64) -> F64:
    """Half-way between the touch."""
    both = (check_touches(touches)[:, BID] + touches[:, ASK]).astype(np.float64)
    return 0.5 * both


def stoikov_ticks(touches: I64, table: Sequence[Sequence[float]]) -> F64:
    """Mid plus calibrated ticks; `table` as in the setting, from calibration.stoikov_table."""
    rows = np.array(table, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(f"Expected a table of spreads x bins, was of shape {rows.shape}")
    return _stoikov(check_touches(touches), rows)


@jit
def _stoikov(touches: I64, table: F64) -> F64:
    answer = np.empty(len(touches))
    bins = table.shape[1]
    for i in range(len(touches)):
        bid, bid_qty, ask, ask_qty = touches[i, 0], touches[i, 1], touches[i, 2], touches[i, 3]
        answer[i] = 0.5 * float(bid + ask)
        if ask - bid <= table.shape[0]:
            row = table[ask - bid - 1]
            at = (float(bid_qty) / float(bid_qty + ask_qty)) * float(bins) - 0.5
            j = int(at) if at > 0.0 else 0
            if at <= 0.0 or j >= bins - 1:
                answer[i] += row[j]
            else:
                answer[i] += row[j] + (at - float(j)) * (row[j + 1] - row[j])
    return answer


def ofi_events(touches: I64) -> I64:
    """e_n of each touch, lots; 0 for the first (Cont-Kukanov-Stoikov 2014 eq. 10)."""
    bid, bid_qty, ask, ask_qty = check_touches(touches)[:, :AT].T
    events = np.zeros(len(touches), dtype=np.int64)
    events[1:] = (
        bid_qty[1:] * (bid[1:] >= bid[:-1])
        - bid_qty[:-1] * (bid[1:] <= bid[:-1])
        - ask_qty[1:] * (ask[1:] <= ask[:-1])
        + ask_qty[:-1] * (ask[1:] >= ask[:-1])
    )
    return events


def ofi(touches: I64, ofi_tau_ms: float) -> tuple[F64, F64]:
    """(decayed sum in lots, the same over the mean queue)."""
    return _ofi(check_touches(touches), ofi_events(touches), 1.0 / ns(ofi_tau_ms))


@jit
def _ofi(touches: I64, events: I64, rate: float) -> tuple[F64, F64]:
    ofi, norm = np.zeros(len(touches)), np.zeros(len(touches))
    total, queue, last = 0.0, 0.0, 0
    for i in range(len(touches)):
        now = touches[i, 4] if i == 0 else max(touches[i, 4], last)
        if i == 0:
            queue = 0.5 * float(touches[0, 1] + touches[0, 3])
        elif now > last:
            keep, alpha = decay(float(now - last) * rate)
            total *= keep
            queue += alpha * (0.5 * float(touches[i - 1, 1] + touches[i - 1, 3]) - queue)
        last = now
        total += float(events[i])
        ofi[i] = total
        norm[i] = _clip(total / queue)
    return ofi, norm


def ofi_window(touches: I64, ofi_window_ms: float) -> I64:
    """Sum of the events within (t - width, t], lots."""
    now = np.maximum.accumulate(check_touches(touches)[:, AT])
    total = np.concatenate(([0], np.cumsum(ofi_events(touches))))
    first = np.searchsorted(now, now - ns(ofi_window_ms), side="right")
    first = np.maximum(first, np.arange(1, len(now) + 1) - WINDOW_EVENTS_MAX)
    answer: I64 = total[1:] - total[first]
    return answer


def ofi_levels(px_ticks: I64, qty_lots: I64, now_ns: I64, ofi_tau_ms: float) -> F64:
    """Integrated multi-level flow; px_ticks and qty_lots are [n, 2, depth], bids first."""
    if px_ticks.shape != qty_lots.shape or px_ticks.ndim != 3 or px_ticks.shape[1] != 2:
        raise ValueError(f"Expected two [n, 2, depth], were {px_ticks.shape}, {qty_lots.shape}")
    return _ofi_levels(px_ticks, qty_lots, now_ns, 1.0 / ns(ofi_tau_ms))


@jit
def _ofi_levels(px: I64, qty: I64, now_ns: I64, rate: float) -> F64:
    answer = np.zeros(len(px))
    depth = px.shape[2]
    total, queue, last_queue, last = 0.0, 0.0, 0.0, 0
    for i in range(len(px)):
        lots, queues = 0, 0
        for m in range(depth):
            queues += qty[i, 0, m] + qty[i, 1, m]
            if i > 0:
                for side in range(2):
                    sign = 1 - 2 * side
                    better = (px[i, side, m] - px[i - 1, side, m]) * sign
                    if better >= 0:
                        lots += sign * qty[i, side, m]
                    if better <= 0:
                        lots -= sign * qty[i - 1, side, m]
        if i == 0:
            last = now_ns[0]
            queue = 0.5 * float(queues) / float(depth)
        elif now_ns[i] > last:
            keep, alpha = decay(float(now_ns[i] - last) * rate)
            last = now_ns[i]
            total *= keep
            queue += alpha * (last_queue - queue)
        total += float(lots)
        last_queue = 0.5 * float(queues) / float(depth)
        answer[i] = _clip(total / (float(depth) * queue))
    return answer


def tfi(trades: I64, tfi_tau_ms: float) -> F64:
    """Signed over total volume, both decayed."""
    return _tfi(check_trades(trades), 1.0 / ns(tfi_tau_ms))


@jit
def _tfi(trades: I64, rate: float) -> F64:
    answer = np.zeros(len(trades))
    signed, total, last = 0.0, 0.0, 0
    for i in range(len(trades)):
        if i == 0:
            last = trades[0, 3]
        if trades[i, 3] > last:
            keep, _ = decay(float(trades[i, 3] - last) * rate)
            last = trades[i, 3]
            signed *= keep
            total *= keep
        signed += float(trades[i, 2] * (1 - 2 * trades[i, 0]))
        total += float(trades[i, 2])
        answer[i] = signed / total
    return answer


def vpin(trades: I64, vpin_bucket_lots: int, vpin_buckets: int) -> F64:
    """Mean |buys - sells| of the last complete volume buckets over a bucket; 0 until full."""
    return _vpin(check_trades(trades), vpin_bucket_lots, vpin_buckets)


@jit
def _vpin(trades: I64, bucket_lots: int, buckets: int) -> F64:
    answer = np.zeros(len(trades))
    ring = np.zeros(buckets, dtype=np.int64)
    filled, volume, signed, total = 0, 0, 0, 0
    for i in range(len(trades)):
        left, sign = trades[i, 2], 1 - 2 * trades[i, 0]
        while left > 0:
            part = min(left, bucket_lots - volume)
            left -= part
            volume += part
            signed += sign * part
            if volume == bucket_lots:
                total += abs(signed) - ring[filled % buckets]
                ring[filled % buckets] = abs(signed)
                filled += 1
                volume = signed = 0
        if filled >= buckets:
            answer[i] = float(total) / (float(buckets) * float(bucket_lots))
    return answer
