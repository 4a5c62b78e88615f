# cython: language_level=3
"""What one input does: each decoded event to the room that it is for, then, once, to the quotes.

    dispatch ▸ sync+book ▸ signals   (or orders, account, session)   ▸ strategy ▸ diff ▸ gate
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcore.check cimport fc_unlikely
from fastcore.codec.error_codes cimport is_of_address
from fastcore.journal cimport REC_BOOK, REC_FILL
from fastcore.latency cimport STAGE_BOOK, STAGE_DIFF_GATE, STAGE_SIGNALS, STAGE_STRATEGY
from fastcore.orders cimport CHANGED, CLOCK_REJECTED, FILLED, RATE_LIMITED, STRANGER, SURPRISE
from fastcore.signals cimport SIG_VPIN
from fastcore.stops cimport StopExit
from fastcore.strategy cimport (
    STATE_MAX, STRATEGY_FAILED, STRATEGY_QUOTE, View, check_target, clear_target,
)
from fastcore.types cimport (
    CONN_MARKET, CONN_USER, EV_ACCOUNT, EV_AGG_TRADE, EV_BEST, EV_DEPTH, EV_LISTEN_KEY_EXPIRED,
    EV_ORDER, EV_REPLY, EV_SESSION, EV_SNAPSHOT, EV_TRADE, EV_VENUE_SHUTDOWN, HALT_BOOK,
    HALT_DEAD_MAN, HALT_LATENCY, HALT_LEG, HALT_ONE_SIDED_FILLS, HALT_REPEATED_EXECUTION,
    HALT_SPREAD, HALT_TOXICITY, HALT_USER_STREAM, OK, SYNC_SYNCED, px_t, seq_t,
)

cdef uint32_t HALTS_REDUCE = (HALT_DEAD_MAN | HALT_LATENCY | HALT_LEG | HALT_ONE_SIDED_FILLS
                              | HALT_REPEATED_EXECUTION | HALT_SPREAD | HALT_TOXICITY)


cdef class CoreSteps(CoreSend):
    """Between CoreSend and Core; makes no sense alone."""

    # -- STEPS ---

    cdef void _dispatch(self, const Event* event, int conn, ns_t now_ns) noexcept nogil:
        self.event_counts[event.kind] += 1
        if event.kind == EV_BEST or event.kind == EV_DEPTH or event.kind == EV_SNAPSHOT:
            self._on_market(event, now_ns)
        elif event.kind == EV_TRADE or event.kind == EV_AGG_TRADE:
            self._on_trade(event, now_ns)
        elif event.kind == EV_ORDER:
            self._on_order(event, now_ns)
        elif event.kind == EV_REPLY:
            self._on_reply(event, now_ns)
        elif event.kind == EV_ACCOUNT:
            if event.account.has_position:
                self._note_position(event.account.position_lots, now_ns)
            if event.account.has_balance:
                self.venue_balance_e8 = event.account.balance_e8
        elif event.kind == EV_SESSION:
            self._on_session(event, conn, now_ns)
        elif event.kind == EV_LISTEN_KEY_EXPIRED:
            self.halts.set(HALT_USER_STREAM)
            self._doubt()
            self.is_quote_due = True
        elif event.kind == EV_VENUE_SHUTDOWN:
            self.venue_shutdowns += 1      # the connection's end, when it comes, halts

    cdef void _on_market(self, const Event* event, ns_t now_ns) noexcept nogil:
        cdef int code
        if event.kind == EV_DEPTH:
            self.level_updates += event.depth.bid_count + event.depth.ask_count
            code = self.sync.on_depth(&event.depth)
        elif event.kind == EV_SNAPSHOT:
            code = self.sync.on_snapshot(&event.depth)
        else:
            code = self.sync.on_best(&event.best)
        if code != 1 and self.sync.state == self.last_sync_state:
            return                     # waits for a snapshot, or a copy of what we had: no news
        if code == 1:
            # Only what moved the book on says that it is alive: trades and old news do not.
            self.halts.on_market(now_ns)
            self.book_ns = now_ns
        self._after_book(now_ns)

    cdef bint _is_known_trade(self, const Event* event) noexcept nogil:
        """A second connection brings every trade again. Binance's ids grow, those of either kind
        for themselves; Bybit's are hashes."""
        cdef int kind = event.kind == EV_AGG_TRADE
        cdef seq_t trade_id = event.trade.trade_id
        if self.is_trade_hashed:
            return not self.trades_seen.take(<uint64_t>trade_id)
        if trade_id <= 0:
            return False               # a tape that tells none
        if trade_id <= self.last_trade_id[kind]:
            return True
        self.last_trade_id[kind] = trade_id
        return False

    cdef void _on_trade(self, const Event* event, ns_t now_ns) noexcept nogil:
        """One stream of trades counts: the single ones where the venue sends both kinds."""
        if event.kind == EV_TRADE:
            self.is_trade_seen = True
        elif self.is_trade_seen:
            return
        if not event.trade.is_market or self._is_known_trade(event):
            return
        self.gate.on_reference(event.trade.px_ticks, now_ns)
        self.orders.on_trade(event.trade.aggressor, event.trade.px_ticks, event.trade.qty_lots)
        if self.signals.needs_trades:
            self.signals.on_trade(event.trade.aggressor, event.trade.px_ticks,
                                  event.trade.qty_lots, now_ns)
            if self.signals.mask & SIG_VPIN:
                self.halts.on_vpin(self.signals.values.vpin, now_ns)
            if self.is_trade_quoted and self.signals.is_valid:
                self.is_quote_due = True

    cdef void _on_session(self, const Event* event, int conn, ns_t now_ns) noexcept nogil:
        """A subscription that was refused is a stream that will say nothing."""
        if event.reply.status == 200:
            return
        self.session_errors += 1
        # No time with it: what the journal holds of such a frame does not tell one.
        self._heed(self.orders.on_reply(&event.reply, now_ns), 0, False, now_ns)
        if conn == CONN_MARKET:
            self.sync.reset()
            self._after_book(now_ns)
            return
        self._doubt()
        if conn == CONN_USER:
            self.halts.set(HALT_USER_STREAM)
        self.is_quote_due = True

    cdef void _after_book(self, ns_t now_ns) noexcept nogil:
        """Sync state, touch and signals after the book moved; then quote if they did."""
        cdef int64_t[3] words
        cdef bint is_usable = self.sync.state == SYNC_SYNCED and self.book.is_two_sided
        cdef bint has_moved
        if fc_unlikely(self.sync.state != self.last_sync_state):
            words[0] = self.last_sync_state
            words[1] = self.sync.state
            words[2] = self.book.update_id
            self._record(REC_BOOK, 0, words, 24, now_ns)
            self.last_sync_state = self.sync.state
        self.stages.mark(STAGE_BOOK)
        if fc_unlikely(not is_usable):
            self.halts.set(HALT_BOOK)
            self.halts.on_touch(0, 0, now_ns)
            self.signals.reset()
            self.touch[0] = self.touch[1] = self.touch[2] = self.touch[3] = 0
            self.is_quote_due = True
            return
        if fc_unlikely(self.halts.bits & HALT_BOOK):
            self._on_usable(now_ns)
        has_moved = self._has_moved()
        if not has_moved and self.signal_levels == 0:
            return
        if has_moved:
            self.halts.on_touch(self.touch[0], self.touch[1], now_ns)
            self.signals.on_touch(self.touch[0], self.touch[2], self.touch[1], self.touch[3],
                                  now_ns)
        if self.signal_levels:
            self._tell_levels(now_ns)
        self.stages.mark(STAGE_SIGNALS)
        self.is_quote_due = True

    cdef void _on_usable(self, ns_t now_ns) noexcept nogil:
        self.halts.clear(HALT_BOOK)
        self.is_quote_due = True
        if self.is_opening_due:
            self._settle_opening(self.book.bid_px_ticks, self.book.ask_px_ticks, now_ns)

    cdef void _on_order(self, const Event* event, ns_t now_ns) noexcept nogil:
        # Before the first two-sided book, or without one, a fill is marked at its own price.
        cdef px_t bid_px = self.mark[0] if self.mark[0] else event.order.last_px_ticks
        cdef px_t ask_px = self.mark[1] if self.mark[0] else event.order.last_px_ticks
        cdef int result
        if fc_unlikely(self.is_opening_due) and event.order.last_qty_lots > 0:
            self._settle_opening(bid_px, ask_px, now_ns)
        result = self.orders.on_order_event(&event.order, bid_px, ask_px, now_ns)
        self.gate.report()
        if result & FILLED:
            self._note_agreement(now_ns)
            self.halts.on_fill(event.order.side, event.order.last_qty_lots, now_ns)
            self._record(REC_FILL, 0, &self.orders.last_fill, sizeof(self.orders.last_fill),
                         now_ns)
        if result & CHANGED:
            self._record_order(self.orders.changed, now_ns)
        if result & (STRANGER | SURPRISE):
            # An order that is not this run's was executed, or one lives that we hold for dead.
            self._doubt()
        self.is_quote_due = True

    cdef void _on_reply(self, const Event* event, ns_t now_ns) noexcept nogil:
        cdef int result = self.orders.on_reply(&event.reply, now_ns)
        if result & CHANGED:
            self._record_order(self.orders.changed, now_ns)
        self._heed(
            result, self.decoder.retry_after_ms,
            is_of_address(event.reply.status, event.reply.error_code), now_ns)
        if result & (RATE_LIMITED | CLOCK_REJECTED | CHANGED):
            self.is_quote_due = True

    # -- QUOTING ---

    cdef void _quote(self, ns_t now_ns) noexcept nogil:
        """Ask the strategy, diff against what works, act. Halted: pull what works; exits of a
        trade are still asked for, and the gate knows which halts they may pass.

        HALTS_REDUCE leave the strategy what reduces: a leg must not stay naked in a wide market."""
        cdef StopExit exit
        cdef bint is_exit_due = False
        self.is_quote_due = False
        if self.halts.bits:
            if (self.orders.active_count == 0 and self.orders.position_lots == 0
                    and not self.is_referenced):
                return
            if self.halts.bits & ~HALTS_REDUCE == 0:
                self._want(now_ns)
                self._keep_reducing()
            else:
                clear_target(&self.target)
                self._fill_levels()    # _want has done so elsewhere; stops are measured at them
        else:
            self._want(now_ns)
        self.stages.mark(STAGE_STRATEGY)
        if self.orders.position_lots != 0:
            is_exit_due = self._check_stops(&exit, now_ns)
        # A strategy that has just failed may have raised a halt: read the word again.
        self.diff.run(&self.target, self.halts.bits != 0, self.book.bid_px_ticks,
                      self.book.ask_px_ticks, now_ns)
        if is_exit_due:
            self.diff.want_take(exit.side, exit.px_ticks, exit.qty_lots, exit.flags,
                                -self.stops.reason, now_ns)
        elif self.target.take_qty_lots > 0:
            self._want_take(now_ns)
        self.stages.mark(STAGE_DIFF_GATE)
        if self.diff.action_count > 0:
            self._act(now_ns)
        if self.target.hedge_qty_lots > 0:
            self._want_hedge()

    cdef void _want(self, ns_t now_ns) noexcept nogil:
        cdef int code
        self._fill_view(now_ns)
        clear_target(&self.target)
        if self.state_bytes:
            memcpy(self.state_before, self.state, self.state_bytes)
        code = self.strategy(&self.view, self.param_values, self.state, &self.target)
        if code == STRATEGY_QUOTE and fc_unlikely(
                check_target(&self.target, &self.view) != OK
                or (self.target.hedge_qty_lots > 0 and not self.is_referenced)):
            code = STRATEGY_FAILED
        self.strategy_code = code
        if fc_unlikely(code == STRATEGY_FAILED):
            self.halts.on_nonsense()
            self._keep_failure()
        if fc_unlikely(code != STRATEGY_QUOTE):
            clear_target(&self.target)

    # -- COLD ---

    def has_booked(self, int64_t trade_id, int side) -> bool:
        """Whether our fill on this side of the trade is booked, as far as the memory reaches."""
        return self.orders.booked.has(trade_id, side)

    def is_known_to(self, int count) -> bool:
        """Whether the best `count` levels of each side lie in what the REST snapshot reached;
        True where there is no book. Beyond it a level is unknown until it changes."""
        if self.sync.state != SYNC_SYNCED:
            return True
        for side, sign in ((0, 1), (1, -1)):
            edge = self.sync._edge_px_ticks[<int>side] * sign
            levels = self.book.level_list(side, count)
            if edge != 0 and (len(levels) < count or levels[count - 1][0] * sign < edge):
                return False
        return True

    def market(self) -> tuple[int, int, int, int, int, int, int]:
        """(when the book last moved, market events heard, sync state, bid price and size, ask
        price and size): what is looked at again and again of many cores, where numbers() would
        be a stall."""
        return (
            self.book_ns,
            self.event_counts[EV_BEST] + self.event_counts[EV_DEPTH]
            + self.event_counts[EV_TRADE] + self.event_counts[EV_AGG_TRADE],
            self.sync.state,
            self.book.bid_px_ticks, self.book.bid_qty_lots,
            self.book.ask_px_ticks, self.book.ask_qty_lots,
        )

    def failure(self) -> tuple[bytes, list[float]] | None:
        """View and state of the strategy's first failure, the state as the call found it (that
        of a built-in one is not kept)."""
        if not self.has_failed:
            return None
        return (<bytes>(<char*>&self.failed_view)[:sizeof(View)],
                [self.failed_state[i] for i in range(STATE_MAX)])

    @property
    def forgotten_ts_ns(self) -> int:
        """Venue's time of the newest trade that is not remembered any more; 0: all are. A row of
        REST at or before it that is not remembered is refused: it may have been booked."""
        return self.orders.booked.forgotten_ts_ns

    @property
    def fill_count(self) -> int:
        """Fills booked."""
        return self.orders.fill_count

    def brief(self) -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """(halt bits, live orders, position, fills, orders sent, cancels sent, late, gaps,
        malformed, nonsense): a line of the status page."""
        return (
            self.halts.bits, self.orders.active_count, self.orders.position_lots,
            self.orders.fill_count, self.orders_sent, self.cancels_sent, self.late,
            self.sync.gaps, self.malformed, self.halts.nonsense_count,
        )
