# cython: language_level=3
"""What a core holds, and how Python reads it; see core_state.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from fastcore.book cimport Book
from fastcore.codec.base cimport DecoderBase, EncoderBase
from fastcore.diff cimport Action, Diff
from fastcore.gate cimport Gate
from fastcore.halts cimport Halts
from fastcore.journal cimport JournalWriter
from fastcore.latency cimport Histogram, StageClock
from fastcore.orders cimport Order, Orders
from fastcore.seen cimport Seen
from fastcore.signals cimport Signals
from fastcore.stops cimport Stops
from fastcore.strategy cimport PARAMS_MAX, STATE_MAX, Target, View, strategy_fn
from fastcore.sync cimport Sync
from fastcore.types cimport (
    CONN_COUNT,
    OUT_BYTES,
    OUT_MAX,
    Event,
    Level,
    Out,
    ns_t,
    px_t,
    qty_t,
    seq_t,
)

cdef enum:
    EVENT_KINDS = 16
    TRADES_SEEN_MAX = 4096     # market trades of a venue whose ids are hashes

cdef struct Hedge:             # an immediate-or-cancel order for the other leg
    int64_t side               # SIDE_*
    int64_t reason
    px_t px_ticks
    qty_t qty_lots             # 0: none

cdef struct Reference:         # what one leg tells the other of itself
    Level bid                  # quantity 0: its book can't be used
    Level ask
    qty_t position_lots
    qty_t open_lots            # signed: takes whose fate is open


cdef class CoreState:
    # What the edge reads after each input: messages to send, in order, bytes contiguous.
    cdef Out outs[OUT_MAX]
    cdef int out_count
    cdef Halts halts
    cdef Sync sync
    cdef Book book
    cdef DecoderBase decoder
    cdef Signals signals
    cdef Orders orders
    cdef Diff diff
    cdef Gate gate
    cdef EncoderBase encoder
    cdef StageClock stages
    cdef Histogram tick_to_order
    cdef JournalWriter journal
    cdef bint is_journaled
    cdef bint is_journal_full      # latched: a journal with a hole would lie
    cdef strategy_fn strategy
    cdef Stops stops
    cdef int view_levels           # that the strategy declares
    cdef int signal_levels         # that its signals want; 0: none
    cdef int flags_mask            # ORDER_* that the venue knows
    cdef bint is_referenced        # a reference leg is configured
    cdef bint is_trade_hashed      # trade ids don't grow
    cdef Seen trades_seen          # ... so that they are remembered; else only the last one is
    cdef seq_t last_trade_id[2]    # of EV_TRADE, EV_AGG_TRADE
    cdef bint is_trade_seen        # EV_TRADE has come: aggregated trades would count it twice
    cdef double maker_fee_rate
    cdef double taker_fee_rate
    cdef Level ref_touch[2]        # the reference leg's bid and ask, as last told
    cdef qty_t ref_position_lots
    cdef qty_t ref_open_lots
    cdef double ref_lots_per_lot
    cdef ns_t ref_ns
    cdef ns_t ref_age_ns_max
    cdef Hedge hedge               # wanted on the reference leg, until on_reference tells its fate
    cdef qty_t venue_position_lots # as the venue's last push says
    cdef ns_t venue_position_ns    # 0: it has said nothing
    cdef qty_t opening_lots        # held before the run
    cdef bint is_opening_due       # ... and not valued yet: at the first two-sided book, or fill
    cdef ns_t agreed_ns            # when the venue's position was last known to be ours
    cdef int64_t lot_e8            # 1e-8 of the base asset a lot
    cdef bint is_agreed            # the venue has answered as we believe, and nothing came since
    cdef bint is_quote_due         # what the input in hand told is worth a look at the quotes
    cdef bint is_trade_quoted      # the strategy lives on trades, too
    cdef int64_t venue_balance_e8  # of the quote asset, as the venue's last push says
    cdef int64_t venue_shutdowns
    cdef int64_t session_errors
    cdef readonly int64_t retry_utc_ms     # told over TRADE: the address is to keep away; 0: never
    cdef double param_values[PARAMS_MAX]
    cdef int param_count
    cdef double state[STATE_MAX]
    cdef View view
    cdef int strategy_code         # what the strategy last returned
    cdef int64_t state_bytes       # of a user's strategy; 0: built in, failures aren't explained
    cdef double state_before[STATE_MAX]
    cdef double failed_state[STATE_MAX]    # as the first call found it that counted as nonsense
    cdef View failed_view
    cdef bint has_failed
    cdef Target target
    cdef uint8_t arena[OUT_BYTES]
    cdef int64_t arena_used
    cdef seq_t out_seq
    cdef seq_t first_out_seq       # of outs[0]
    cdef ns_t cause_ts_ns          # receive stamp of the frame in hand; 0: no frame
    cdef ns_t budget_ns
    cdef ns_t utc_minus_monotonic_ns
    cdef ns_t book_ns              # when the book was last told anything
    cdef ns_t next_sample_ns
    cdef int32_t conn_up[CONN_COUNT]
    cdef int last_sync_state
    cdef px_t mark[2]              # bid and ask of the last usable book; 0: none yet
    cdef int64_t touch[4]          # bid px, ask px, bid qty, ask qty, as last looked at
    cdef int64_t event_counts[EVENT_KINDS]
    cdef int64_t frames
    cdef int64_t malformed
    cdef int64_t other_symbol
    cdef int64_t unknown
    cdef int64_t late
    cdef int64_t unsent
    cdef int64_t orders_sent
    cdef int64_t cancels_sent
    cdef int64_t modifies_sent
    cdef int64_t level_updates
    cdef int64_t denied[4]         # the last denial: code, side, px, qty
    cdef bint diverged
    cdef bint is_stages_due        # the frame in hand caused messages: its stage times count
    cdef readonly dict config
    cdef readonly str client_prefix        # of this run's client order ids
    cdef readonly object user      # the compiled strategy that is not built in, or None
    cdef object _tick_capsule

    cdef void _begin(self, int kind, int arg, const void* payload, int64_t size, ns_t now_ns,
                     ns_t recv_ts_ns) noexcept nogil
    cdef int _end(self, uint32_t bits_before, ns_t now_ns) noexcept nogil
    cdef void _write(self, int kind, int arg, const void* payload, int64_t size, ns_t now_ns,
                     ns_t recv_ts_ns) noexcept nogil
    cdef void _record(self, int kind, int arg, const void* payload, int64_t size,
                      ns_t now_ns) noexcept nogil
    cdef void _deny(self, int code, const Action* action, ns_t now_ns) noexcept nogil
    cdef void _record_order(self, const Order* order, ns_t now_ns) noexcept nogil
    cdef void _sample(self, ns_t now_ns) noexcept nogil
    cdef void _copy_blanked(self, uint8_t* to) noexcept nogil
    cdef void _stop_journal(self) noexcept nogil
    cdef void _bad_frame(self, int conn, int code) noexcept nogil
    cdef void _keep_failure(self) noexcept nogil
    cdef bint _has_moved(self) noexcept nogil
    cdef void _fill_view(self, ns_t now_ns) noexcept nogil
    cdef void _fill_levels(self) noexcept nogil
    cdef bint _is_reference_fresh(self, ns_t now_ns) noexcept nogil
    cdef void _tell_levels(self, ns_t now_ns) noexcept nogil
    cdef void _heed(
        self, int result, int64_t retry_utc_ms, bint is_of_address, ns_t now_ns) noexcept nogil
    cdef void _doubt(self) noexcept nogil
    cdef void _settle_opening(self, px_t bid_px_ticks, px_t ask_px_ticks,
                              ns_t now_ns) noexcept nogil
    cdef void _note_position(self, qty_t position_lots, ns_t now_ns) noexcept nogil
    cdef void _note_agreement(self, ns_t now_ns) noexcept nogil
    cdef bint _is_ours(self, qty_t position_lots) noexcept nogil
    cdef bint _is_position_doubted(self, ns_t now_ns) noexcept nogil
    cdef ns_t _deadline(self, ns_t now_ns) noexcept nogil
    cdef int64_t _utc_ms(self, ns_t now_ns) noexcept nogil
