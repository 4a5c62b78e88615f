# cython: language_level=3
"""Signals of one instrument, O(1) an event, exactly reproducible.

Four kinds of event come in: a touch (best bid and ask), the top levels, a trade, the mid of a
reference instrument. Only what the mask names is computed. Formulas, units, sources, cost and
caveats of each: docs/signals.md. Prices in ticks, quantities in lots, times in ns from 0 up.

The states and what an event does to them are in signals_flow, signals_price and signals_pair;
this file holds the demo strategy's four and puts the others together.

queue_imbalance   (qb - qa) / (qb + qa)                              Gould-Bonart 2015
microprice        Pb + (Pa - Pb) * qb / (qb + qa), the weighted mid; it stays within the touch
ofi_event         e_n, Cont-Kukanov-Stoikov 2014 eq. (10):
                  qb_n 1{Pb_n >= Pb_n-1} - qb_n-1 1{Pb_n <= Pb_n-1}
                  - qa_n 1{Pa_n <= Pa_n-1} + qa_n-1 1{Pa_n >= Pa_n-1}
ofi               S <- S * exp(-dt / tau) + e_n
ofi_norm          ofi / D clipped to -3 .. 3, where D is the mean of the two touch queues, averaged
                  over time with the same tau: D <- D + (1 - exp(-dt / tau)) * (d_prev - D), d_prev
                  having stood for dt. In their stylised book a price moves OFI / (2 D) ticks, so
                  ofi_norm / 2 reads as ticks.
ewma_mean, sd, z  a = 1 - exp(-dt / tau); d = x - m; z = d / sqrt(v) from the m, v of *before*;
                  m <- m + a d; v <- (1 - a)(v + a d^2); sd = sqrt(v). x is the microprice where it
                  is computed, else the mid. z is 0 while elapsed < 3 tau or v is nothing.

Holes. A touch that is one-sided, crossed or locked does what reset() does at a resync: a flow
across a hole in the data is not a flow, so flows and z start anew. What took long to learn
(volatility, bars, spread statistics, hedge ratio) and what comes from trades stays, without the
step across the hole: else a strategy would come back from each resync without its sigma.
clear() forgets everything.
"""
cimport cython
from libc.math cimport sqrt
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore.signals_decay cimport fc_decay, fc_decay_halves, fc_decay_steps, fc_decay_t
from fastcore.signals_flow cimport (
    OFI_LEVELS_MAX,
    WINDOW_EVENTS_MAX, FlowAt, TradeFlow, level_flow, on_levels_flow, on_trade_flow,
    on_trade_vpin, push_window,
)
from fastcore.signals_pair cimport Pair, _pair_spread, pair_until, pair_z
from fastcore.signals_price cimport on_mid_keltner, on_mid_volatility, update_moments
from fastcore.types cimport SIDE_BUY, SIDE_SELL, Level, ns_t, px_t, qty_t

from fastcore import signals_settings

SETTINGS = signals_settings.SETTINGS  # name -> default; what each means: signals_settings.TABLE

SIGNALS = {                           # names for Python; a mask is the sum of some
    "ofi": SIG_OFI, "queue_imbalance": SIG_QUEUE_IMBALANCE,
    "microprice": SIG_MICROPRICE, "ewma_z": SIG_EWMA_Z, "ofi_window": SIG_OFI_WINDOW,
    "ofi_levels": SIG_OFI_LEVELS, "stoikov": SIG_STOIKOV, "keltner": SIG_KELTNER,
    "volatility": SIG_VOLATILITY, "tfi": SIG_TFI, "vpin": SIG_VPIN,
    "spread_stats": SIG_SPREAD_STATS, "pair": SIG_PAIR,
}

cdef double OFI_NORM_MAX = 3.0
cdef double VARIANCE_MIN = 1e-12      # ticks^2: a price that never moved
cdef int WARM_UP_TAUS = 3             # weight of the first value is then under 5 %
cdef int SIG_FLOW = SIG_OFI | SIG_OFI_WINDOW
cdef int SIG_WEIGHT = SIG_MICROPRICE | SIG_STOIKOV
cdef int SIG_SLOW = SIG_KELTNER | SIG_VOLATILITY | SIG_SPREAD_STATS | SIG_PAIR


@cython.final
cdef class Signals:
    """Signals(mask, settings={}). Only what `mask` names (SIG_*) is computed; mid and spread
    always are. `settings`: see SETTINGS; ValueError names the key that is wrong."""

    def __cinit__(self, int mask, dict settings=None):
        if mask < 0 or mask > SIG_ALL:
            raise ValueError(f"mask must be in 0 .. {SIG_ALL}, was {mask}")
        checked = signals_settings.check_settings(settings or {})
        if mask & SIG_STOIKOV and not checked["stoikov_table"]:
            raise ValueError("signals.stoikov_table is required by the signal stoikov: calibrate "
                             "it with fastcore.calibration.stoikov_table")
        self.mask = mask
        self.needs_levels = mask & SIG_OFI_LEVELS
        self.needs_trades = mask & (SIG_TFI | SIG_VPIN)
        self.needs_reference = mask & SIG_PAIR
        if mask & SIG_OFI_WINDOW:
            self._window.ring = <FlowAt*>calloc(WINDOW_EVENTS_MAX, sizeof(FlowAt))
            if self._window.ring == NULL:
                raise MemoryError("No memory for the order-flow window")
        self._set_up(checked)
        self.clear()

    def __dealloc__(self):
        free(self._window.ring)

    cpdef void on_touch(self, px_t bid_px_ticks, qty_t bid_qty_lots, px_t ask_px_ticks,
                        qty_t ask_qty_lots, ns_t now_ns) noexcept nogil:
        """Take one touch. Time that runs backwards counts as no time."""
        cdef double imbalance, dt_ns
        cdef int64_t flow_lots
        if (bid_px_ticks <= 0 or bid_qty_lots <= 0 or ask_qty_lots <= 0
                or bid_px_ticks >= ask_px_ticks):
            self.reset()
            return
        if now_ns < self._last_ns:
            now_ns = self._last_ns
        if not self.is_valid:
            self._last_ns = now_ns
            self._z_warm_ns = now_ns + self._z_warm_up_ns
        dt_ns = <double>(now_ns - self._last_ns)
        self.values.mid_ticks = 0.5 * <double>(bid_px_ticks + ask_px_ticks)
        if self.mask & SIG_QUEUE_IMBALANCE:
            self.values.queue_imbalance = (
                <double>(bid_qty_lots - ask_qty_lots) / <double>(bid_qty_lots + ask_qty_lots))
        if self.mask & SIG_WEIGHT:
            imbalance = <double>bid_qty_lots / <double>(bid_qty_lots + ask_qty_lots)
            if self.mask & SIG_MICROPRICE:
                self.values.microprice_ticks = (
                    <double>bid_px_ticks + <double>(ask_px_ticks - bid_px_ticks) * imbalance)
            if self.mask & SIG_STOIKOV:
                self._update_stoikov(imbalance, ask_px_ticks - bid_px_ticks)
        if self.mask & SIG_FLOW:
            flow_lots = 0
            if self.is_valid:
                flow_lots = (
                    level_flow(bid_px_ticks, bid_qty_lots, self._bid_px_ticks,
                               self._bid_qty_lots, 1)
                    - level_flow(ask_px_ticks, ask_qty_lots, self._ask_px_ticks,
                                 self._ask_qty_lots, -1))
            else:
                self._depth_lots = 0.5 * <double>(bid_qty_lots + ask_qty_lots)
            self.values.ofi_event = <double>flow_lots
            if self.mask & SIG_OFI:
                self._update_ofi(flow_lots, dt_ns)
            if self.mask & SIG_OFI_WINDOW:
                self.values.ofi_window = <double>push_window(&self._window, flow_lots, now_ns)
        if self.mask & SIG_EWMA_Z:
            self._update_z(
                self.values.microprice_ticks if self.mask & SIG_MICROPRICE
                else self.values.mid_ticks, dt_ns, now_ns)
        if self.mask & SIG_SLOW:
            self._update_slow(<double>(ask_px_ticks - bid_px_ticks), dt_ns, now_ns)
        self.values.spread_ticks = <double>(ask_px_ticks - bid_px_ticks)
        self._bid_px_ticks = bid_px_ticks
        self._bid_qty_lots = bid_qty_lots
        self._ask_px_ticks = ask_px_ticks
        self._ask_qty_lots = ask_qty_lots
        self._last_ns = now_ns
        self.is_valid = True

    cdef void on_levels(self, const Level* bids, int bid_count, const Level* asks, int ask_count,
                        ns_t now_ns) noexcept nogil:
        """Take the top levels after a whole depth message. Too few levels on a side: invalid, 0,
        and the next full message starts anew (a level at price 0 would be a made-up flow)."""
        cdef double norm
        if not self.needs_levels:
            return
        if not self.is_valid or bid_count < self._levels.depth or ask_count < self._levels.depth:
            self._levels.has_previous = False
            self.values.ofi_levels = self.values.ofi_levels_valid = 0.0
            return
        on_levels_flow(&self._levels, bids, asks, now_ns, self._ofi_rate)
        norm = self._levels.ofi / (<double>self._levels.depth * self._levels.queue_lots)
        self.values.ofi_levels = min(max(norm, -OFI_NORM_MAX), OFI_NORM_MAX)
        self.values.ofi_levels_valid = 1.0

    cpdef void on_trade(self, int aggressor, px_t px_ticks, qty_t qty_lots,
                        ns_t now_ns) noexcept nogil:
        """Take one trade; `aggressor` is SIDE_*. A trade of nothing, or of no side, is none."""
        if qty_lots <= 0 or (aggressor != SIDE_BUY and aggressor != SIDE_SELL):
            return
        if self.mask & SIG_TFI:
            self.values.tfi = on_trade_flow(&self._trades, aggressor, qty_lots, now_ns,
                                            self._tfi_rate)
        if self.mask & SIG_VPIN:
            self.values.vpin = on_trade_vpin(&self._vpin, aggressor, qty_lots)

    cpdef void on_reference(self, double mid_ticks, ns_t now_ns) noexcept nogil:
        """Take the mid of the reference leg; 0.0 or less: it has none now."""
        if not self.mask & SIG_PAIR:
            return
        if now_ns < self._last_ns:
            now_ns = self._last_ns
        pair_until(&self._pair, now_ns)
        self._pair.reference_mid = mid_ticks if mid_ticks > 0.0 else 0.0
        if self._pair.reference_first == 0.0:
            self._pair.reference_first = self._pair.reference_mid
        self._tell_pair()

    cpdef void reset(self) noexcept nogil:
        """A hole in the book: forget flows and price levels, keep what outlives it."""
        memset(&self.values, 0,
               <size_t>(<char*>&self.values.keltner_mid_ticks - <char*>&self.values))
        self.is_valid = False
        self._bid_px_ticks = self._ask_px_ticks = 0
        self._bid_qty_lots = self._ask_qty_lots = 0
        self._last_ns = self._z_warm_ns = 0
        self._depth_lots = self._variance = self._sd = 0.0
        self._window.first = self._window.count = 0
        self._window.total_lots = self._window.left_lots = 0
        self._levels.has_previous = False
        self._volatility.has_mid = False
        self._pair.own_mid = 0.0
        self._pair.next_ns = -1
        self._pair.has_neighbour = False

    cpdef void clear(self) noexcept nogil:
        """Forget everything."""
        self.reset()
        memset(&self.values, 0, sizeof(self.values))
        self._has_spread = False
        self._trades = TradeFlow(has_trade=False, last_ns=0, signed_lots=0.0, all_lots=0.0)
        self._vpin.filled = self._vpin.next = 0
        self._vpin.open_lots = self._vpin.open_signed_lots = self._vpin.sum_lots = 0
        self._volatility.returns = 0
        self._volatility.variance_per_s = self._volatility.sigma_ticks = 0.0
        self._volatility.past = 1.0
        self._keltner.has_bar = self._keltner.has_close = False
        self._keltner.bars = 0
        self._keltner.ema = self._keltner.atr = 0.0
        self._pair.reference_mid = self._pair.own_first = self._pair.reference_first = 0.0
        self._pair.steps = 0
        self._pair.beta, self._pair.level = 1.0, 0.0
        self._pair.p00, self._pair.p01, self._pair.p11 = 1.0, 0.0, 1.0
        self._pair.moments.mean = self._pair.moments.variance = self._pair.covariance = 0.0
        self._pair.last_spread = self._pair.half_life_s = 0.0

    cdef void _update_ofi(self, int64_t flow_lots, double dt_ns) noexcept nogil:
        cdef double depth, norm
        cdef fc_decay_t decay
        if dt_ns > 0.0:
            depth = 0.5 * <double>(self._bid_qty_lots + self._ask_qty_lots)
            decay = fc_decay(dt_ns * self._ofi_rate)
            self.values.ofi *= decay.keep
            self._depth_lots += decay.alpha * (depth - self._depth_lots)
        self.values.ofi += <double>flow_lots
        norm = self.values.ofi / self._depth_lots
        self.values.ofi_norm = min(max(norm, -OFI_NORM_MAX), OFI_NORM_MAX)

    cdef void _update_z(self, double x, double dt_ns, ns_t now_ns) noexcept nogil:
        cdef double distance
        cdef fc_decay_t decay
        if not self.is_valid:
            self.values.ewma_mean_ticks = x
            return
        distance = x - self.values.ewma_mean_ticks
        self.values.ewma_z = 0.0
        if self._variance > VARIANCE_MIN and now_ns >= self._z_warm_ns:
            self.values.ewma_z = distance / self._sd
        if dt_ns > 0.0:
            decay = fc_decay(dt_ns * self._z_rate)
            self.values.ewma_mean_ticks += decay.alpha * distance
            self._variance = decay.keep * (self._variance + decay.alpha * distance * distance)
            self._sd = sqrt(self._variance)
            self.values.ewma_sd_ticks = self._sd

    cdef void _update_stoikov(self, double imbalance, px_t spread_ticks) noexcept nogil:
        """Mid plus the table's ticks, straight lines between the centres of the bins."""
        cdef double at = imbalance * <double>self._stoikov_bins - 0.5
        cdef const double* row
        cdef double ticks
        cdef int i
        self.values.stoikov_ticks = self.values.mid_ticks
        if spread_ticks > self._stoikov_spreads:
            return
        row = &self._stoikov[(<int>spread_ticks - 1) * self._stoikov_bins]
        i = <int>at if at > 0.0 else 0
        if at <= 0.0 or i >= self._stoikov_bins - 1:
            ticks = row[i]
        else:
            ticks = row[i] + (at - <double>i) * (row[i + 1] - row[i])
        self.values.stoikov_ticks += ticks

    cdef void _update_slow(self, double spread_ticks, double dt_ns, ns_t now_ns) noexcept nogil:
        if self.mask & SIG_SPREAD_STATS:
            self._update_spread(spread_ticks, dt_ns)
        if self.mask & SIG_VOLATILITY:
            on_mid_volatility(&self._volatility, self.values.mid_ticks, now_ns)
            self.values.volatility_ticks = self._volatility.sigma_ticks
        if self.mask & SIG_KELTNER:
            self._update_keltner(now_ns)
        if self.mask & SIG_PAIR:
            pair_until(&self._pair, now_ns)
            self._pair.own_mid = self.values.mid_ticks
            if self._pair.own_first == 0.0:
                self._pair.own_first = self.values.mid_ticks
            self._tell_pair()

    cdef void _update_spread(self, double spread_ticks, double dt_ns) noexcept nogil:
        """The spread before this touch stood for dt."""
        cdef fc_decay_t decay
        if not self._has_spread:
            self._has_spread = True
            self._spread.mean = self.values.spread_mean_ticks = spread_ticks
            self._spread.variance = 0.0
        elif self.is_valid and dt_ns > 0.0:
            decay = fc_decay(dt_ns * self._spread_rate)
            update_moments(&self._spread, self.values.spread_ticks, decay.alpha, decay.keep)
            self.values.spread_mean_ticks = self._spread.mean
            self.values.spread_sd_ticks = sqrt(self._spread.variance)

    cdef void _update_keltner(self, ns_t now_ns) noexcept nogil:
        on_mid_keltner(&self._keltner, self.values.mid_ticks, now_ns)
        if self._keltner.bars >= self._keltner.ema_bars:
            self.values.keltner_mid_ticks = self._keltner.ema
            if self._keltner.bars >= self._keltner.atr_bars:
                self.values.keltner_atr_ticks = self._keltner.atr
                self.values.keltner_position = 0.0
                if self._keltner.atr > 0.0:
                    self.values.keltner_position = (
                        (self.values.mid_ticks - self._keltner.ema)
                        / (self._keltner.mult * self._keltner.atr))

    cdef void _tell_pair(self) noexcept nogil:
        cdef Pair* pair = &self._pair
        self.values.pair_spread_ticks = self.values.pair_z = 0.0
        if pair.own_mid > 0.0 and pair.reference_mid > 0.0 and pair.steps > 0:
            self.values.pair_spread_ticks = _pair_spread(pair)
            self.values.pair_z = pair_z(pair, self.values.pair_spread_ticks)
            self.values.pair_beta = pair.beta
            self.values.pair_half_life_s = pair.half_life_s

    # -- COLD ------------------------------------------------------------------------------

    def _set_up(self, dict settings):
        def ns(key):
            return max(round(settings[key] * 1e6), 1)

        self._ofi_rate = 1.0 / ns("ofi_tau_ms")
        self._z_rate = 1.0 / ns("z_tau_ms")
        self._spread_rate = 1.0 / ns("spread_tau_ms")
        self._tfi_rate = 1.0 / ns("tfi_tau_ms")
        self._z_warm_up_ns = WARM_UP_TAUS * ns("z_tau_ms")
        self._window.width_ns = ns("ofi_window_ms")
        self._levels.depth = settings["ofi_levels_count"]
        self._vpin.bucket_lots = settings["vpin_bucket_lots"]
        self._vpin.bucket_count = settings["vpin_buckets"]
        self._volatility.grid_ns = ns("volatility_grid_ms")
        self._volatility.grid_s = self._volatility.grid_ns / 1e9
        self._volatility.keep = fc_decay(
            <double>self._volatility.grid_ns / <double>ns("volatility_tau_ms")).keep
        self._keltner.bar_ns = ns("keltner_bar_ms")
        self._keltner.ema_bars = settings["keltner_ema_bars"]
        self._keltner.atr_bars = settings["keltner_atr_bars"]
        self._keltner.ema_keep = 1.0 - 2.0 / (self._keltner.ema_bars + 1)
        self._keltner.atr_keep = 1.0 - 1.0 / self._keltner.atr_bars
        self._keltner.mult = settings["keltner_mult"]
        self._pair.grid_ns = ns("pair_grid_ms")
        decay = fc_decay(<double>self._pair.grid_ns / <double>ns("pair_tau_ms"))
        self._pair.keep, self._pair.alpha = decay.keep, decay.alpha
        self._pair.drift_variance = settings["pair_drift"] / (1.0 - settings["pair_drift"])
        self._pair.noise_variance = settings["pair_noise_var"]
        self._pair.steps_min = WARM_UP_TAUS * ns("pair_tau_ms") // self._pair.grid_ns
        table = settings["stoikov_table"]
        self._stoikov_spreads = len(table)
        self._stoikov_bins = len(table[0]) if table else 0
        for index, ticks in enumerate(ticks for row in table for ticks in row):
            self._stoikov[index] = ticks

    def apply_levels(self, bids, asks, ns_t now_ns):
        """on_levels for Python: lists of (px_ticks, qty_lots), best first, as many as there are."""
        cdef Level[20] levels
        cdef int i, depth = self._levels.depth
        for side, given in enumerate((bids, asks)):
            for i, (px_ticks, qty_lots) in enumerate(given[:depth]):
                if px_ticks <= 0 or qty_lots <= 0:
                    raise ValueError(f"Level {i} of the {('bids', 'asks')[side]} must be positive, "
                                     f"was {(px_ticks, qty_lots)}")
                levels[side * depth + i] = Level(px_ticks, qty_lots)
        self.on_levels(levels, min(len(bids), depth), &levels[depth], min(len(asks), depth), now_ns)

    def bench_touches(self, const int64_t[:, ::1] touches):
        """Take each row (bid_px_ticks, bid_qty_lots, ask_px_ticks, ask_qty_lots, now_ns)."""
        cdef Py_ssize_t i
        if touches.shape[1] != 5:
            raise ValueError(f"Expected 5 columns, was {touches.shape[1]}")
        with nogil:
            for i in range(touches.shape[0]):
                self.on_touch(touches[i, 0], touches[i, 1], touches[i, 2], touches[i, 3],
                              touches[i, 4])

    def bench_events(self, const int64_t[:, ::1] touches):
        """As bench_touches, each row being a touch, ten levels a side, a trade and a reference."""
        cdef Level[OFI_LEVELS_MAX] bids
        cdef Level[OFI_LEVELS_MAX] asks
        cdef Py_ssize_t i
        cdef int level
        if touches.shape[1] != 5:
            raise ValueError(f"Expected 5 columns, was {touches.shape[1]}")
        with nogil:
            for i in range(touches.shape[0]):
                for level in range(OFI_LEVELS_MAX):
                    bids[level].px_ticks = touches[i, 0] - level
                    asks[level].px_ticks = touches[i, 2] + level
                    bids[level].qty_lots, asks[level].qty_lots = touches[i, 1], touches[i, 3]
                self.on_touch(touches[i, 0], touches[i, 1], touches[i, 2], touches[i, 3],
                              touches[i, 4])
                self.on_levels(bids, OFI_LEVELS_MAX, asks, OFI_LEVELS_MAX, touches[i, 4])
                self.on_trade(i & 1, touches[i, 0], touches[i, 1], touches[i, 4])
                self.on_reference(<double>touches[i, 0], touches[i, 4])

    def to_dict(self):
        """Every value by its name in SignalValues."""
        return dict(self.values)


def decay(double x):
    """(e^-x, 1 - e^-x) as every signal computes them; x >= 0. See decay.h."""
    if not x >= 0.0:
        raise ValueError(f"Expected x >= 0, was {x}")
    cdef fc_decay_t result = fc_decay(x)
    return result.keep, result.alpha


def decay_tables():
    """2^-(i/32) and 2^-i, for the Numba twins."""
    return ([fc_decay_steps[i] for i in range(32)], [fc_decay_halves[i] for i in range(64)])
