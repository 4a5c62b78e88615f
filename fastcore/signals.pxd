# cython: language_level=3
"""O(1) signals of the touch, the levels, the trades and a reference; see signals.pyx."""
from libc.stdint cimport int64_t

from fastcore.signals_decay cimport fc_decay_t
from fastcore.signals_flow cimport LevelFlow, TradeFlow, Vpin, Window
from fastcore.signals_pair cimport Pair
from fastcore.signals_price cimport Keltner, Moments, Volatility
from fastcore.types cimport Level, ns_t, px_t, qty_t

cdef enum:
    SIG_OFI = 1
    SIG_QUEUE_IMBALANCE = 2
    SIG_MICROPRICE = 4
    SIG_EWMA_Z = 8
    SIG_OFI_WINDOW = 16
    SIG_OFI_LEVELS = 32            # wants on_levels
    SIG_STOIKOV = 64               # wants the setting stoikov_table
    SIG_KELTNER = 128
    SIG_VOLATILITY = 256
    SIG_TFI = 512                  # wants on_trade
    SIG_VPIN = 1024                # wants on_trade
    SIG_SPREAD_STATS = 2048
    SIG_PAIR = 4096                # wants on_reference
    SIG_ALL = 8191

cdef enum:
    STOIKOV_CELLS_MAX = 512        # bins x spreads, as signals_settings bounds them

cdef struct SignalValues:          # 0.0 where not in the mask, or not warm
    # What a hole in the book makes void: reset() clears it.
    double mid_ticks
    double microprice_ticks        # weighted mid
    double queue_imbalance         # (qb - qa) / (qb + qa), -1 .. 1
    double ofi                     # lots, EWMA-decayed sum
    double ofi_norm                # ofi / mean touch queue, clipped to -3 .. 3
    double ewma_mean_ticks
    double ewma_z                  # prior z-score of microprice (where computed) or mid
    double spread_ticks
    double ofi_event               # lots, this touch alone
    double ofi_window              # lots, sum of the window
    double ofi_levels              # integrated: mean over levels / mean queue, clipped to -3 .. 3
    double ofi_levels_valid        # 1.0: both sides had all the levels
    double ewma_sd_ticks
    double stoikov_ticks           # calibrated microprice
    double keltner_position        # mid over the middle line, 1.0: at the upper band
    double pair_spread_ticks       # our mid over what the reference says
    double pair_z
    # What outlives a hole in the book: only clear() forgets it.
    double keltner_mid_ticks
    double keltner_atr_ticks
    double volatility_ticks        # per sqrt(second)
    double tfi                     # -1 .. 1
    double vpin                    # 0 .. 1
    double spread_mean_ticks
    double spread_sd_ticks
    double pair_beta               # our relative move for one of the reference
    double pair_half_life_s        # 0.0: not mean-reverting

cdef class Signals:
    cdef:
        SignalValues values
        readonly int mask                  # SIG_*
        readonly bint is_valid             # the last touch was two-sided and not crossed
        readonly bint needs_levels
        readonly bint needs_trades
        readonly bint needs_reference
        px_t _bid_px_ticks
        px_t _ask_px_ticks
        qty_t _bid_qty_lots
        qty_t _ask_qty_lots
        ns_t _last_ns                      # time of the touch before
        ns_t _z_warm_ns                    # when z may be told: three tau after the first touch
        ns_t _z_warm_up_ns
        double _ofi_rate                   # 1 / tau, per ns
        double _z_rate
        double _spread_rate
        double _tfi_rate
        double _depth_lots                 # time-weighted EWMA of the mean touch queue
        double _variance                   # EWMA variance, ticks^2
        double _sd                         # its root
        bint _has_spread
        Moments _spread                    # time-weighted
        Volatility _volatility
        Keltner _keltner
        Window _window
        TradeFlow _trades
        Pair _pair
        int _stoikov_bins
        int _stoikov_spreads
        LevelFlow _levels
        double[STOIKOV_CELLS_MAX] _stoikov # [spread - 1][bin]
        Vpin _vpin

    cpdef void on_touch(self, px_t bid_px_ticks, qty_t bid_qty_lots, px_t ask_px_ticks,
                        qty_t ask_qty_lots, ns_t now_ns) noexcept nogil
    # After on_touch, where needs_levels; best first.
    cdef void on_levels(self, const Level* bids, int bid_count, const Level* asks, int ask_count,
                        ns_t now_ns) noexcept nogil
    cpdef void on_trade(self, int aggressor, px_t px_ticks, qty_t qty_lots,
                        ns_t now_ns) noexcept nogil
    cpdef void on_reference(self, double mid_ticks, ns_t now_ns) noexcept nogil
    cpdef void reset(self) noexcept nogil
    cpdef void clear(self) noexcept nogil
    cdef void _update_ofi(self, int64_t flow_lots, double dt_ns) noexcept nogil
    cdef void _update_z(self, double x, double dt_ns, ns_t now_ns) noexcept nogil
    cdef void _update_stoikov(self, double imbalance, px_t spread_ticks) noexcept nogil
    cdef void _update_slow(self, double spread_ticks, double dt_ns, ns_t now_ns) noexcept nogil
    cdef void _update_spread(self, double spread_ticks, double dt_ns) noexcept nogil
    cdef void _update_keltner(self, ns_t now_ns) noexcept nogil
    cdef void _tell_pair(self) noexcept nogil
