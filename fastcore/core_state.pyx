# cython: language_level=3
"""What a core holds, how it is written down, and how Python reads it. Nothing here sends.

The fields stand in core_state.pxd, the behaviour in core.pyx.
"""
from libc.string cimport memcpy, memset

from fastcore.check cimport fc_unlikely
from fastcore.diff cimport Action
from fastcore.gate cimport GATE_CODES
from fastcore.journal cimport REC_DENY, REC_ORDER, REC_SAMPLE, REC_STATE
from fastcore.orders cimport CLOCK_REJECTED, RATE_LIMITED
from fastcore.signals_flow cimport OFI_LEVELS_MAX
from fastcore.strategy cimport VIEW_VERSION, OwnQuote, View
from fastcore.types cimport (
    CONN_MARKET, CONN_USER, E_OTHER_SYMBOL, E_UNKNOWN, HALT_CLOCK, HALT_JOURNAL, HALT_RECONCILING,
    OK, ORD_PENDING_CANCEL, ORD_PENDING_NEW, ORD_PENDING_REPLACE, ORD_UNKNOWN, ORDER_IOC,
    ORDERS_MAX, SIDE_BUY, SIDE_SELL, SYNC_SYNCED, TARGET_LEVELS, VIEW_LEVELS, Level,
)
from fastcore.working cimport Order, is_live, open_lots

from fastcore import core_stats

cdef enum:
    RATE_LIMIT_PAUSE_NS = 10_000_000_000   # a venue's order window, where it tells no time
    BAN_MS_MAX = 3 * 86_400_000            # Binance's longest (REST, general info, limits)


cdef inline int _insert_own(OwnQuote* quotes, int count, const Order* order,
                            int sign) noexcept nogil:
    """Put a live order in its place, best first; how many more there are now."""
    cdef int at = count
    if count >= TARGET_LEVELS:
        return 0
    while at > 0 and sign * order.px_ticks > sign * quotes[at - 1].px_ticks:
        quotes[at] = quotes[at - 1]
        at -= 1
    quotes[at].px_ticks = order.px_ticks
    quotes[at].leaves_lots = order.qty_lots - order.cum_qty_lots
    quotes[at].ahead_lots = order.ahead_lots
    return 1


cdef inline qty_t _shown_lots(Order* order, qty_t visible_lots) noexcept nogil:
    """What of the order the book shows by now: an ack comes before the book that it changes.

    What the level has grown by since the order stood there is taken for ours, once and for all.
    """
    cdef qty_t leaves_lots = order.qty_lots - order.cum_qty_lots
    if order.shown_px_ticks != order.px_ticks:     # new here: acknowledged, or amended
        order.shown_px_ticks = order.px_ticks
        order.base_lots = visible_lots
        order.shown_lots = 0
    order.base_lots = min(order.base_lots, visible_lots)
    order.shown_lots = min(max(order.shown_lots, visible_lots - order.base_lots), leaves_lots)
    return order.shown_lots


cdef class CoreState:
    """Base of Core; makes no sense alone."""

    # -- WRITTEN DOWN ---

    cdef void _begin(self, int kind, int arg, const void* payload, int64_t size, ns_t now_ns,
                     ns_t recv_ts_ns) noexcept nogil:
        self.out_count = 0
        self.arena_used = 0
        self.first_out_seq = self.out_seq
        self.cause_ts_ns = 0
        self._write(kind, arg, payload, size, now_ns, recv_ts_ns)

    cdef int _end(self, uint32_t bits_before, ns_t now_ns) noexcept nogil:
        cdef int64_t[2] words
        if fc_unlikely(bits_before != self.halts.bits):
            words[0] = bits_before
            words[1] = self.halts.bits
            self._record(REC_STATE, 0, words, 16, now_ns)
        return self.out_count

    cdef void _write(self, int kind, int arg, const void* payload, int64_t size, ns_t now_ns,
                     ns_t recv_ts_ns) noexcept nogil:
        if not self.is_journaled or self.is_journal_full:
            return
        if fc_unlikely(self.journal.write(kind, arg, payload, size, now_ns, recv_ts_ns) != OK):
            self._stop_journal()

    cdef void _stop_journal(self) noexcept nogil:
        """No room: halt, and write nothing more, so that what is there stays without a hole."""
        self.is_journal_full = True
        self.halts.set(HALT_JOURNAL)

    cdef void _copy_blanked(self, uint8_t* to) noexcept nogil:
        """The last message's text; key and signature never reach `to`, not even for a moment."""
        cdef int64_t key_end = self.encoder.key_offset + self.encoder.key_size
        cdef int64_t sig_end = self.encoder.sig_offset + self.encoder.sig_size
        memcpy(to, self.encoder.payload, self.encoder.key_offset)
        memset(to + self.encoder.key_offset, c'x', self.encoder.key_size)
        memcpy(to + key_end, self.encoder.payload + key_end, self.encoder.sig_offset - key_end)
        memset(to + self.encoder.sig_offset, c'x', self.encoder.sig_size)
        memcpy(to + sig_end, self.encoder.payload + sig_end, self.encoder.payload_size - sig_end)

    cdef void _record(self, int kind, int arg, const void* payload, int64_t size,
                      ns_t now_ns) noexcept nogil:
        self._write(kind, arg, payload, size, now_ns, self.cause_ts_ns)

    cdef void _record_order(self, const Order* order, ns_t now_ns) noexcept nogil:
        cdef int64_t[8] words
        words[0] = order.intent_id
        words[1] = order.venue_order_id
        words[2] = order.side
        words[3] = order.state
        words[4] = order.px_ticks
        words[5] = order.qty_lots
        words[6] = order.cum_qty_lots
        words[7] = order.reason
        self._record(REC_ORDER, 0, words, 64, now_ns)

    cdef void _deny(self, int code, const Action* action, ns_t now_ns) noexcept nogil:
        """Counted by the gate each time; recorded when it differs from the last one."""
        cdef int64_t[5] words
        self.diff.forget_requote(action.side)
        if (self.denied[0] == code and self.denied[1] == action.side
                and self.denied[2] == action.px_ticks and self.denied[3] == action.qty_lots):
            return
        self.denied[0] = code
        self.denied[1] = action.side
        self.denied[2] = action.px_ticks
        self.denied[3] = action.qty_lots
        words[0] = -1
        words[1] = code
        words[2] = action.side
        words[3] = action.px_ticks
        words[4] = action.qty_lots
        self._record(REC_DENY, 0, words, 40, now_ns)

    cdef void _sample(self, ns_t now_ns) noexcept nogil:
        cdef int64_t[14] words
        self._fill_view(now_ns)
        words[0] = self.book.bid_px_ticks
        words[1] = self.book.bid_qty_lots
        words[2] = self.book.ask_px_ticks
        words[3] = self.book.ask_qty_lots
        words[4] = words[5] = words[6] = words[7] = 0
        if self.view.own_bid_count > 0:
            words[4] = self.view.own_bids[0].px_ticks
            words[5] = self.view.own_bids[0].leaves_lots
        if self.view.own_ask_count > 0:
            words[6] = self.view.own_asks[0].px_ticks
            words[7] = self.view.own_asks[0].leaves_lots
        words[8] = self.orders.position_lots
        words[9] = self.orders.cash_ticks_lots
        words[10] = self.orders.fees_e8
        words[11] = self.orders.spread_half_ticks_lots
        words[12] = self.orders_sent
        words[13] = self.orders.fill_count
        self._record(REC_SAMPLE, 0, words, 112, now_ns)

    # -- HEEDED ---

    cdef void _bad_frame(self, int conn, int code) noexcept nogil:
        """A frame that we can't use: what it may have said is unknown, so we stop believing.

        On USER even a message type that we don't know may have told of a fill.
        """
        if code == E_OTHER_SYMBOL:
            self.other_symbol += 1
        elif code == E_UNKNOWN and conn != CONN_USER:
            self.unknown += 1
        else:
            self.malformed += 1
            if conn == CONN_MARKET:
                self.sync.reset()
            else:
                self._doubt()

    cdef void _doubt(self) noexcept nogil:
        """What the venue holds may not be what we believe: only its own word ends this."""
        self.is_agreed = False
        self.halts.set(HALT_RECONCILING)

    cdef void _settle_opening(self, px_t bid_px_ticks, px_t ask_px_ticks,
                              ns_t now_ns) noexcept nogil:
        """What was held before the run is valued: its P&L counts from here, bought at the mid."""
        self.is_opening_due = False
        self.orders.adopt(self.opening_lots, bid_px_ticks, ask_px_ticks, now_ns)

    cdef void _note_position(self, qty_t position_lots, ns_t now_ns) noexcept nogil:
        """The venue's push about our position; it may come before the fill that explains it."""
        if self.venue_position_ns == 0:
            self.agreed_ns = now_ns
        self.venue_position_lots = position_lots
        self.venue_position_ns = now_ns
        self._note_agreement(now_ns)

    cdef void _note_agreement(self, ns_t now_ns) noexcept nogil:
        if self._is_ours(self.venue_position_lots):
            self.agreed_ns = now_ns

    cdef bint _is_ours(self, qty_t position_lots) noexcept nogil:
        """Whether the venue's position can be ours. Fees paid in the base asset have shrunk what
        we hold, by parts of a lot, and we don't know which fill's it has taken yet."""
        cdef qty_t least_lots = self.orders.position_lots
        if self.orders.fees_base_e8 > 0:
            least_lots -= (self.orders.fees_base_e8 + self.lot_e8 - 1) // self.lot_e8
        return least_lots <= position_lots <= self.orders.position_lots

    # -- SEEN ---

    cdef void _keep_failure(self) noexcept nogil:
        """What the strategy's first failed call was given, for failure()."""
        if not self.has_failed:
            self.has_failed = True
            self.failed_view = self.view
            memcpy(self.failed_state, self.state_before, sizeof(self.failed_state))

    cdef bint _has_moved(self) noexcept nogil:
        """Whether the touch differs from the last one looked at; it is that one from now on."""
        if (self.book.bid_px_ticks == self.touch[0] and self.book.ask_px_ticks == self.touch[1]
                and self.book.bid_qty_lots == self.touch[2]
                and self.book.ask_qty_lots == self.touch[3]):
            return False
        self.touch[0] = self.mark[0] = self.book.bid_px_ticks
        self.touch[1] = self.mark[1] = self.book.ask_px_ticks
        self.touch[2] = self.book.bid_qty_lots
        self.touch[3] = self.book.ask_qty_lots
        return True

    cdef void _fill_view(self, ns_t now_ns) noexcept nogil:
        cdef View* view = &self.view
        cdef int64_t mark_half = self.mark[0] + self.mark[1]
        cdef double mid = 0.5 * <double>mark_half
        view.version = VIEW_VERSION
        view.size = sizeof(View)
        view.now_ns = now_ns
        self._fill_levels()
        view.signals = self.signals.values
        view.position_lots = self.orders.position_lots
        view.cash_ticks_lots = self.orders.cash_ticks_lots
        view.entry_px_ticks = self.orders.entry_px_ticks
        view.entry_ns = self.orders.entry_ns
        view.realised_ticks_lots = <double>self.orders.realised_ticks_lots
        view.unrealised_ticks_lots = (
            0.5 * <double>self.orders.unrealised_half_ticks_lots(mark_half))
        view.maker_fee_ticks = mid * self.maker_fee_rate
        view.taker_fee_ticks = mid * self.taker_fee_rate
        if self.is_referenced:
            view.ref_position_lots = self.ref_position_lots
            view.ref_open_lots = self.ref_open_lots
            view.ref_lots_per_lot = self.ref_lots_per_lot
            view.ref_bid = self.ref_touch[SIDE_BUY]
            view.ref_ask = self.ref_touch[SIDE_SELL]
            if not self._is_reference_fresh(now_ns):
                view.ref_bid.qty_lots = view.ref_ask.qty_lots = 0

    cdef void _fill_levels(self) noexcept nogil:
        """Own quotes, and the book's levels without what is ours: nobody should outbid himself."""
        cdef View* view = &self.view
        cdef Level[2][ORDERS_MAX] own
        cdef int[2] counts
        cdef Order* order
        cdef qty_t visible_lots
        cdef int i, side
        counts[SIDE_BUY] = counts[SIDE_SELL] = 0
        view.own_bid_count = view.own_ask_count = 0
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if not self.orders.may_rest(order) or order.state == ORD_PENDING_NEW:
                continue
            side = order.side
            if self.sync.state == SYNC_SYNCED:
                visible_lots = self.book.qty_at(side, order.px_ticks)
                self.orders.see_level(order, visible_lots)
                own[side][counts[side]].px_ticks = order.px_ticks
                own[side][counts[side]].qty_lots = _shown_lots(order, visible_lots)
                counts[side] += 1
            if not (is_live(order.state) or order.state == ORD_PENDING_REPLACE):
                continue
            if side == SIDE_BUY:
                view.own_bid_count += _insert_own(view.own_bids, view.own_bid_count, order, 1)
            else:
                view.own_ask_count += _insert_own(view.own_asks, view.own_ask_count, order, -1)
        view.bid_count = self.book.levels_net(SIDE_BUY, view.bids, self.view_levels,
                                              own[SIDE_BUY], counts[SIDE_BUY])
        view.ask_count = self.book.levels_net(SIDE_SELL, view.asks, self.view_levels,
                                              own[SIDE_SELL], counts[SIDE_SELL])

    cdef bint _is_reference_fresh(self, ns_t now_ns) noexcept nogil:
        return (self.ref_touch[SIDE_BUY].qty_lots > 0 and self.ref_touch[SIDE_SELL].qty_lots > 0
                and now_ns - self.ref_ns <= self.ref_age_ns_max)

    cdef void _tell_levels(self, ns_t now_ns) noexcept nogil:
        cdef Level[OFI_LEVELS_MAX] bids
        cdef Level[OFI_LEVELS_MAX] asks
        cdef int bid_count = self.book.levels(SIDE_BUY, bids, self.signal_levels)
        cdef int ask_count = self.book.levels(SIDE_SELL, asks, self.signal_levels)
        self.signals.on_levels(bids, bid_count, asks, ask_count, now_ns)

    cdef void _heed(
        self, int result, int64_t retry_utc_ms, bint is_of_address, ns_t now_ns
    ) noexcept nogil:
        """What any answer may say of our pace or our clock; until when, if it told (0: not)."""
        cdef ns_t pause_ns = RATE_LIMIT_PAUSE_NS
        if result & RATE_LIMITED:
            if retry_utc_ms > 0 and self.utc_minus_monotonic_ns != 0:
                retry_utc_ms = min(retry_utc_ms, self._utc_ms(now_ns) + BAN_MS_MAX)
                if is_of_address:
                    self.retry_utc_ms = max(self.retry_utc_ms, retry_utc_ms)
                pause_ns = max(pause_ns, (
                    retry_utc_ms * 1_000_000 - self.utc_minus_monotonic_ns - now_ns))
            self.halts.on_rate_limit(now_ns + pause_ns)
        if result & CLOCK_REJECTED:
            self.halts.set(HALT_CLOCK)

    cdef bint _is_position_doubted(self, ns_t now_ns) noexcept nogil:
        """The venue's position and ours have been apart for longer than a fill may take, however
        many other fills have come meanwhile."""
        return (self.venue_position_ns != 0
                and not self._is_ours(self.venue_position_lots)
                and now_ns - self.agreed_ns > self.orders.ack_timeout_ns)

    cdef ns_t _deadline(self, ns_t now_ns) noexcept nogil:
        return (self.cause_ts_ns if self.cause_ts_ns else now_ns) + self.budget_ns

    cdef int64_t _utc_ms(self, ns_t now_ns) noexcept nogil:
        return (now_ns + self.utc_minus_monotonic_ns) // 1_000_000

    # -- COLD: what Python reads ---

    def set_ticks(self, capsule, double ns_per_tick) -> None:
        """Inject the tick source of the stage clock: a capsule named "tickmaker.tick"."""
        self._tick_capsule = capsule
        self.stages.set_ticks(capsule, ns_per_tick)

    def outgoing(self) -> list[tuple]:
        """The messages of the last input: (out_seq, intent_id, conn, verb, bytes, cause_ts_ns,
        deadline_ns) each."""
        return [
            (self.outs[i].out_seq, self.outs[i].intent_id, self.outs[i].conn, self.outs[i].verb,
             <bytes>self.outs[i].data[:self.outs[i].size], self.outs[i].cause_ts_ns,
             self.outs[i].deadline_ns)
            for i in range(self.out_count)
        ]

    @property
    def snapshot_wanted(self) -> bool:
        return self.sync.snapshot_wanted

    @property
    def resubscribe_wanted(self) -> bool:
        """Bybit: only a new subscription brings the book's snapshot."""
        return self.sync.resubscribe_wanted

    @property
    def halt_bits(self) -> int:
        return self.halts.bits

    @property
    def working_count(self) -> int:
        """Orders that may still fill."""
        return self.orders.active_count

    @property
    def has_diverged(self) -> bool:
        """The venue's position differs from ours: needs a person."""
        return self.diverged

    @property
    def histogram(self) -> Histogram:
        """Tick-to-order, ns: receive stamp of a frame to the return of the send it caused."""
        return self.tick_to_order

    @property
    def stage_clock(self) -> StageClock:
        return self.stages

    def numbers(self) -> dict:
        """Raw counters and state; core_stats.stats() makes them readable."""
        cdef Level[VIEW_LEVELS] levels
        cdef int count
        cdef Order* order
        result = {
            "halt_bits": self.halts.bits, "sync_state": self.sync.state,
            "position_lots": self.orders.position_lots,
            "cash_ticks_lots": self.orders.cash_ticks_lots, "fees_e8": self.orders.fees_e8,
            "fees_base_e8": self.orders.fees_base_e8, "fees_other_e8": self.orders.fees_other_e8,
            "spread_half_ticks_lots": self.orders.spread_half_ticks_lots,
            "fills": self.orders.fill_count, "duplicate_fills": self.orders.duplicate_fills,
            "strangers": self.orders.strangers,
            "stranger_fills": self.orders.stranger_fills,
            "earlier_fills": self.orders.earlier_fills,
            "last_trade_ts_ns": self.orders.last_trade_ts_ns,
            "opening_lots": self.opening_lots, "is_agreed": self.is_agreed,
            "retry_utc_ms": self.retry_utc_ms,
            "forgotten_ts_ns": self.orders.booked.forgotten_ts_ns,
            "is_quiet": self.is_quiet, "is_unheard": self.orders.unheard_intent != 0,
            "params": [self.param_values[i] for i in range(self.param_count)],
            "orders_sent": self.orders_sent,
            "cancels_sent": self.cancels_sent, "modifies_sent": self.modifies_sent,
            "late": self.late, "unsent": self.unsent,
            "frames": self.frames, "malformed": self.malformed,
            "other_symbol": self.other_symbol, "unknown": self.unknown,
            "level_updates": self.level_updates, "gaps": self.sync.gaps,
            "crossed": self.sync.crossed, "nonsense": self.halts.nonsense_count,
            "strategy_code": self.strategy_code,
            "bid_px_ticks": self.book.bid_px_ticks, "bid_qty_lots": self.book.bid_qty_lots,
            "ask_px_ticks": self.book.ask_px_ticks, "ask_qty_lots": self.book.ask_qty_lots,
            "book_ns": self.book_ns,
            "events": [self.event_counts[i] for i in range(EVENT_KINDS)],
            "exits_denied": self.gate.exits_denied,
            "denies": [self.gate.counts[i] for i in range(GATE_CODES)],
        }
        count = self.book.levels(SIDE_BUY, levels, VIEW_LEVELS)
        result["levels_bid"] = [[levels[i].px_ticks, levels[i].qty_lots] for i in range(count)]
        count = self.book.levels(SIDE_SELL, levels, VIEW_LEVELS)
        result["levels_ask"] = [[levels[i].px_ticks, levels[i].qty_lots] for i in range(count)]
        own = []
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            own.append({"intent_id": order.intent_id, "side": order.side, "state": order.state,
                        "client_id": f"{self.client_prefix}{order.intent_id:012x}",
                        "venue_order_id": order.venue_order_id,
                        # A query asks again and again, and sends no order on its way.
                        "sent_ns": (max(order.placed_ns, order.amend_ns)
                                    if order.state == ORD_UNKNOWN else order.sent_ns),
                        "placed_ns": order.placed_ns,
                        "is_take": order.flags & ORDER_IOC != 0,
                        "px_ticks": order.px_ticks, "qty_lots": order.qty_lots,
                        "cum_qty_lots": order.cum_qty_lots,
                        "venue_cum_qty_lots": order.venue_cum_qty_lots,
                        "leaves_lots": open_lots(order)})
        result["own"] = own
        return result

    @property
    def is_quiet(self) -> bool:
        """Halted, and no message of ours awaits its answer: what the venue says now can be
        compared exactly. Orders in doubt, or that the venue owes us fills of, may be there."""
        cdef int state
        for i in range(self.orders.active_count):
            state = self.orders.slots[self.orders.active[i]].state
            if (state == ORD_PENDING_NEW or state == ORD_PENDING_CANCEL
                    or state == ORD_PENDING_REPLACE):
                return False
        return self.halts.bits != 0

    def stats(self, int64_t now_ns=0) -> dict:
        """What the status page shows; see core_stats.stats()."""
        return core_stats.stats(self.config, self.numbers(), self.tick_to_order.summary(), now_ns)
