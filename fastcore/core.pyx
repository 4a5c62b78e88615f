# cython: language_level=3
"""The composition root: one instrument's whole chain, from a frame's bytes to signed orders.

    on_frame ▸ journal ▸ decode ▸ sync+book ▸ signals ▸ strategy ▸ diff ▸ gate ▸ encode+sign ▸ outs

Every input is one call and one journal record; the core reads nothing else, no clock and no file,
so a journal replayed gives the same bytes. An OUT record stands in the journal before the edge can
see the message: the record *is* the intent, and survives SIGKILL.

The edge's duties: after each input, send or refuse every message of `outs` in order, and report
each by on_send, before the next input; the bytes live until then. When the journal has no room the
core halts and still emits cancels, nothing else (reliability.md I-33).
"""
cimport cython
from libc.math cimport isfinite
from libc.string cimport memcpy

from fastcore.account cimport Account
from fastcore.book cimport Book
from fastcore.check cimport fc_unlikely
from fastcore.core_state cimport TRADES_SEEN_MAX
from fastcore.diff cimport Diff
from fastcore.gate cimport Gate
from fastcore.halts cimport Halts
from fastcore.journal cimport (
    REC_ACCOUNT, REC_CLOCK, REC_COMMAND, REC_CONDITION, REC_CONFIG, REC_CONN, REC_FILL,
    REC_FILL_ROW, REC_FRAME, REC_HEDGE, REC_KNOWN, REC_OPENING, REC_PARAMS, REC_QUERY,
    REC_REFERENCE,
    REC_SEND, REC_SNAPSHOT, REC_TIMER, JournalWriter,
)
from fastcore.latency cimport STAGE_DECODE, Histogram, StageClock
from fastcore.orders cimport CHANGED, SURPRISE, Orders
from fastcore.seen cimport Seen
from fastcore.signals cimport SIG_TFI, SIG_VPIN, Signals
from fastcore.signals_flow cimport OFI_LEVELS_MAX
from fastcore.stops cimport Stops
from fastcore.strategy cimport PARAMS_MAX, find_builtin, strategy_fn
from fastcore.sync cimport Sync
from fastcore.types cimport (
    CMD_HALT, CMD_RESUME, CMD_RESYNC, CMD_SHUTDOWN, CMD_START, CONN_MARKET, CONN_TRADE, CONN_USER,
    E_RANGE, E_STATE, EV_LISTEN_KEY_EXPIRED, EV_NONE, EV_SESSION, EV_SNAPSHOT, FEE_OTHER,
    HALT_BOOK, HALT_CLOCK, HALT_DEAD_MAN, HALT_LATENCY, HALT_LEG, HALT_LINK, HALT_OPERATOR,
    HALT_RATE_LIMIT, HALT_RECONCILING, HALT_SHUTDOWN, HALT_TRADE_STREAM, HALT_USER_STREAM,
    HALT_VENUE, OK, ORD_CANCELED, ORD_FREE, ORD_PENDING_REPLACE, ORDER_REDUCE_ONLY, OWNER_RUN,
    OWNER_STRANGER, SEND_LATE, SEND_PARTIAL, SEND_SENT, SIDE_BUY, SIDE_SELL, VERB_CANCEL,
    VERB_MODIFY, VERB_PLACE, VERB_STATUS, KnownTrade, Out,
)
from fastcore.working cimport REASON_VENUE_QUERY, Order

from fastcore import core_config
from fastcore.account import value_e8

cdef uint32_t CONDITIONS = HALT_DEAD_MAN | HALT_LATENCY | HALT_LINK | HALT_VENUE

cdef enum:
    SAMPLE_EVERY_NS = 100_000_000
    KNOWN_MAX = 1024           # trades of one KNOWN record


@cython.final
cdef class Core(CoreSteps):
    """One instrument's engine as a pure state machine; see the module's docstring.

    `config` is the dictionary of core_config.CORE_KEYS (ValueError names what is wrong with it);
    `journal` is where every input and output goes, or None for a run that keeps none.
    `user` is the compiled strategy (fastcore.user) where config["strategy"] is `user:<name>`.
    `account` is the ledger shared with the cores of its other instruments; None: one of its own.
    The key and the secret are handed to the encoder and kept nowhere else.
    """

    def __cinit__(self, dict config, bytes api_key, bytes secret, JournalWriter journal=None,
                  user=None, Account account=None):
        checked = core_config.check(config, user)
        tick, lot = config["tick"], config["lot"]
        self.config = config
        self.client_prefix = core_config.client_prefix(config)
        self.journal = journal
        self.is_journaled = journal is not None
        self.decoder, self.encoder = core_config.codec(config, api_key, secret)
        self.book = Book()
        self.sync = Sync(self.book, checked.sync_rule)
        # A halt that is on must see what it halts for, whatever the strategy declares.
        vpin_mask = SIG_VPIN if config["halts"]["vpin_max"] > 0 else 0
        self.signals = Signals(checked.signal_mask | vpin_mask, config["signals"])
        self.is_trade_quoted = checked.signal_mask & (SIG_TFI | SIG_VPIN) != 0
        self.orders = Orders(checked.ack_timeout_ns, config["recv_window_ms"] * 1_000_000,
                             checked.first_intent_id)
        self.orders.can_modify = self.encoder.can_modify
        self.diff = Diff(config["quoting"], self.orders)
        self.gate = Gate(config["limits"], self.book, self.orders, account, value_e8(tick, lot))
        self.halts = Halts(config["halts"], self.gate.limits.book_age_ns_max)
        self.stages = StageClock()
        self.tick_to_order = Histogram()
        self.budget_ns = checked.tick_to_order_ns_max
        self.user = user           # its machine code lives as long as it does
        if user is None:
            self.strategy = find_builtin(config["strategy"])
        else:
            self.strategy = <strategy_fn><void*><size_t>user.address
            self.state_bytes = user.state_size * sizeof(double)
        self.view_levels = max(1, checked.view_levels)
        self.signal_levels = OFI_LEVELS_MAX if self.signals.needs_levels else 0
        self.flags_mask = checked.flags_mask
        self.lot_e8 = checked.lot_e8
        self.maker_fee_rate, self.taker_fee_rate = checked.fee_rates
        self.stops = Stops(config["stops"])
        self.is_referenced = checked.ref_lots_per_lot > 0
        self.ref_lots_per_lot = checked.ref_lots_per_lot
        self.ref_age_ns_max = checked.ref_age_ns_max
        self.param_count = len(checked.params)
        for i, value in enumerate(checked.params):
            self.param_values[i] = value
        self.is_trade_hashed = checked.is_trade_hashed
        self.trades_seen = Seen(TRADES_SEEN_MAX) if self.is_trade_hashed else None
        self.last_trade_id[0] = self.last_trade_id[1] = -1
        self.out_seq = 1
        self.last_sync_state = self.sync.state
        self.halts.bits = (HALT_BOOK | HALT_CLOCK | HALT_RECONCILING | HALT_TRADE_STREAM
                           | HALT_USER_STREAM)
        if self.is_journaled:
            text = core_config.to_json(config)
            if not journal.append(REC_CONFIG, 0, text, 0):
                raise ValueError("The journal's first segment has no room for the config")

    # -- INPUTS ---

    cdef int on_frame(self, int conn, const uint8_t* payload, int64_t size, ns_t recv_ts_ns,
                      ns_t now_ns) noexcept nogil:
        """One text frame's payload. Borrowed until return."""
        cdef uint32_t bits = self.halts.bits
        cdef int code
        self.stages.begin()
        code = self.decoder.decode(payload, size)
        if fc_unlikely(code == EV_LISTEN_KEY_EXPIRED or code == EV_SESSION):
            size = self.decoder.safe_text(&payload)    # the frame may hold the key
        self._begin(REC_FRAME, conn, payload, size, now_ns, recv_ts_ns)
        self.cause_ts_ns = recv_ts_ns
        self.frames += 1
        self.stages.mark(STAGE_DECODE)
        if fc_unlikely(code < 0):
            self._bad_frame(conn, code)
            self._after_book(now_ns)
            self.is_quote_due = True
        else:
            self._dispatch(&self.decoder.event, conn, now_ns)
            while fc_unlikely(self.decoder.pending):
                if self.decoder.next_event() == EV_NONE:
                    break
                self._dispatch(&self.decoder.event, conn, now_ns)
        if self.is_quote_due:      # once, when all of the frame is known
            self._quote(now_ns)
        code = self._end(bits, now_ns)
        self.is_stages_due = code > 0
        return code

    cdef int on_event(self, const Event* event, int conn, ns_t recv_ts_ns,
                      ns_t now_ns) noexcept nogil:
        """One decoded event of a tape: the tape is the record of it, so it is not journaled."""
        cdef uint32_t bits = self.halts.bits
        self.out_count = 0
        self.arena_used = 0
        self.first_out_seq = self.out_seq
        self.cause_ts_ns = recv_ts_ns
        self.frames += 1
        self.stages.begin()
        self._dispatch(event, conn, now_ns)
        if self.is_quote_due:
            self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_snapshot(self, const uint8_t* body, int64_t size, ns_t now_ns) noexcept nogil:
        """The body of a REST depth reply."""
        cdef uint32_t bits = self.halts.bits
        cdef int code
        self._begin(REC_SNAPSHOT, 0, body, size, now_ns, 0)
        code = self.decoder.decode(body, size)
        if code == EV_SNAPSHOT:
            self._dispatch(&self.decoder.event, CONN_MARKET, now_ns)
            if self.is_quote_due:
                self._quote(now_ns)
        else:
            self.malformed += 1
        self._end(bits, now_ns)
        return E_STATE if code != EV_SNAPSHOT else self.out_count

    cdef int on_timer(self, ns_t now_ns) noexcept nogil:
        """Time passing: due several times a second."""
        cdef uint32_t bits = self.halts.bits
        self._begin(REC_TIMER, 0, b"", 0, now_ns, 0)
        self.halts.on_timer(now_ns)
        self.gate.report()
        if self.orders.is_stuck(now_ns) or self._is_position_doubted(now_ns):
            self._doubt()
        if self.orders.is_unheard(now_ns):
            self.halts.set(HALT_USER_STREAM)   # until it comes up anew
            self._doubt()
        if self.is_referenced and not self._is_reference_fresh(now_ns):
            self.halts.set(HALT_LEG)
        # A venue that refuses us for rate or clock is not asked more questions.
        if not self.halts.bits & (HALT_CLOCK | HALT_RATE_LIMIT):
            if self.diff.overdue(now_ns) > 0:
                self._act(now_ns)
        self._quote(now_ns)
        if now_ns >= self.next_sample_ns:
            self._sample(now_ns)
            self.next_sample_ns = now_ns + SAMPLE_EVERY_NS
        return self._end(bits, now_ns)

    cdef int on_command(self, int command, ns_t now_ns) noexcept nogil:
        cdef uint32_t bits = self.halts.bits
        self._begin(REC_COMMAND, command, b"", 0, now_ns, 0)
        if command == CMD_START:
            if self.is_agreed and self.conn_up[CONN_TRADE] and self.conn_up[CONN_USER]:
                self.halts.clear(HALT_RECONCILING)
        elif command == CMD_HALT:
            self.halts.set(HALT_OPERATOR)
        elif command == CMD_RESUME:
            self.halts.on_resume()
        elif command == CMD_SHUTDOWN:
            self.halts.set(HALT_SHUTDOWN)
        elif command == CMD_RESYNC:
            self.sync.reset()
            self._after_book(now_ns)
        self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_conn(self, int conn, bint up, ns_t now_ns) noexcept nogil:
        """A connection came up or went down; after a loss only a reconciliation lets us quote."""
        cdef uint32_t bits = self.halts.bits
        cdef int64_t up_word = up
        self._begin(REC_CONN, conn, &up_word, 8, now_ns, 0)
        self.conn_up[conn] = up
        if conn == CONN_MARKET:
            self.sync.reset()
            self._after_book(now_ns)
            self.last_trade_id[0] = self.last_trade_id[1] = -1     # no old copies come any more
        else:
            if up and conn == CONN_USER:
                self.orders.on_user_up(now_ns)
            elif up:
                self.orders.on_trade_up()
            reason = HALT_TRADE_STREAM if conn == CONN_TRADE else HALT_USER_STREAM
            if up:
                self.halts.clear(reason)
            else:
                self.halts.set(reason)
                self._doubt()
        self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_clock(self, ns_t utc_minus_monotonic_ns, ns_t now_ns) noexcept nogil:
        """The venue's UTC against our monotonic clock, as measured by the edge."""
        cdef uint32_t bits = self.halts.bits
        self._begin(REC_CLOCK, 0, &utc_minus_monotonic_ns, 8, now_ns, 0)
        self.utc_minus_monotonic_ns = utc_minus_monotonic_ns
        self.halts.clear(HALT_CLOCK)
        return self._end(bits, now_ns)

    cdef int on_account(self, qty_t position_lots, int64_t open_orders,
                        ns_t now_ns) noexcept nogil:
        """What a venue query, sent after our last message, says of the account: the position
        must equal ours, or we stay halted."""
        cdef uint32_t bits = self.halts.bits
        cdef int64_t[2] words
        cdef Order* order
        cdef int i
        words[0] = position_lots
        words[1] = open_orders
        self._begin(REC_ACCOUNT, 0, words, 16, now_ns, 0)
        if open_orders == 0:
            for i in range(self.orders.active_count - 1, -1, -1):
                order = &self.orders.slots[self.orders.active[i]]
                if self.orders.may_rest(order):
                    self.orders.move(order, ORD_CANCELED, REASON_VENUE_QUERY)
                    self._record_order(order, now_ns)
        self.diverged = not self._is_ours(position_lots)
        self.venue_position_lots = position_lots       # what it pushed before is out of date
        self._note_agreement(now_ns)
        if self.diverged or open_orders != 0:
            self._doubt()
        else:
            self.orders.settle_all()
            self.is_agreed = True
        return self._end(bits, now_ns)

    cdef int on_opening(self, qty_t position_lots, ns_t now_ns) noexcept nogil:
        """What the account held when this run began; E_STATE once a fill is booked."""
        cdef uint32_t bits = self.halts.bits
        cdef int code = OK if self.orders.fill_count == 0 else E_STATE
        self._begin(REC_OPENING, 0, &position_lots, 8, now_ns, 0)
        if code == OK:
            self.opening_lots = position_lots
            self.is_opening_due = True
            self.orders.adopt(position_lots, 0, 0, now_ns)
            if self.book.is_two_sided:
                self._settle_opening(self.book.bid_px_ticks, self.book.ask_px_ticks, now_ns)
            self.gate.report()
            self._note_agreement(now_ns)
        self._end(bits, now_ns)
        return code

    cdef int on_known(self, const KnownTrade* trades, int count, ns_t now_ns) noexcept nogil:
        """Trades that earlier runs have booked: a stream may yet tell of them."""
        cdef uint32_t bits = self.halts.bits
        self._begin(REC_KNOWN, 0, trades, count * <int64_t>sizeof(KnownTrade), now_ns, 0)
        self.orders.on_known(trades, count)
        return self._end(bits, now_ns)

    cdef int on_fill_row(self, const FillRow* row, ns_t now_ns) noexcept nogil:
        """An execution that REST told of: 1 booked, 0 known. It is marked at its own price,
        because the touch of its moment is past; and it is no sign of what happens now, so the
        limits on fills in a row don't count it."""
        cdef uint32_t bits = self.halts.bits
        cdef bint is_new
        self._begin(REC_FILL_ROW, 0, row, sizeof(FillRow), now_ns, 0)
        if self.is_opening_due:
            self._settle_opening(row.px_ticks, row.px_ticks, now_ns)
        is_new = self.orders.on_fill_row(row, row.px_ticks, row.px_ticks, now_ns)
        if is_new:
            self.gate.report()
            self._note_agreement(now_ns)
            self._record(REC_FILL, 0, &self.orders.last_fill, sizeof(self.orders.last_fill),
                         now_ns)
            if self.orders.changed != NULL:
                self._record_order(self.orders.changed, now_ns)
            self._quote(now_ns)
        self._end(bits, now_ns)
        return is_new

    cdef int on_query(self, const QueryRow* row, ns_t now_ns) noexcept nogil:
        """What REST says of one of our orders, as a status reply says it."""
        cdef uint32_t bits = self.halts.bits
        cdef int result
        self._begin(REC_QUERY, 0, row, sizeof(QueryRow), now_ns, 0)
        result = self.orders.on_query(row, now_ns)
        self.gate.report()
        if result & CHANGED:
            self._record_order(self.orders.changed, now_ns)
        if result & SURPRISE:
            self._doubt()
        self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_params(self, const double* values, int count, ns_t now_ns) noexcept nogil:
        """The strategy's parameters from now on; E_RANGE for a wrong number of them."""
        cdef uint32_t bits = self.halts.bits
        if count != self.param_count:
            self.out_count = 0
            return E_RANGE
        self._begin(REC_PARAMS, 0, values, count * sizeof(double), now_ns, 0)
        memcpy(self.param_values, values, count * sizeof(double))
        self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_condition(self, uint32_t bit, bint is_on, ns_t now_ns) noexcept nogil:
        """A reason of the edge to stand aside, one of CONDITIONS."""
        cdef uint32_t bits = self.halts.bits
        cdef int64_t word = bit
        if bit & ~CONDITIONS:
            self.out_count = 0
            return E_RANGE
        self._begin(REC_CONDITION, is_on, &word, 8, now_ns, 0)
        if is_on:
            self.halts.set(bit)
        else:
            self.halts.clear(bit)
        self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_reference(self, const Reference* reference, ns_t now_ns) noexcept nogil:
        """What the other leg's core says of itself. A side without quantity: it can't be used."""
        cdef uint32_t bits = self.halts.bits
        self._begin(REC_REFERENCE, 0, reference, sizeof(Reference), now_ns, 0)
        self.ref_touch[SIDE_BUY] = reference.bid
        self.ref_touch[SIDE_SELL] = reference.ask
        self.ref_position_lots = reference.position_lots
        self.ref_open_lots = reference.open_lots
        self.ref_ns = now_ns
        self.hedge.qty_lots = 0    # open_lots knows what has become of it
        if not self.is_referenced:
            return self._end(bits, now_ns)
        if self._is_reference_fresh(now_ns):
            self.halts.clear(HALT_LEG)
            self.signals.on_reference(
                0.5 * <double>(reference.bid.px_ticks + reference.ask.px_ticks), now_ns)
        else:
            self.halts.set(HALT_LEG)
            self.signals.on_reference(0.0, now_ns)
        self._quote(now_ns)
        return self._end(bits, now_ns)

    cdef int on_hedge(self, const Hedge* hedge, ns_t now_ns) noexcept nogil:
        """The other leg's core wants this one to take; the gate has the last word. At the end of
        a run so does who closes its position: what only shrinks it is an exit then."""
        cdef uint32_t bits = self.halts.bits
        cdef int flags = 0
        self._begin(REC_HEDGE, 0, hedge, sizeof(Hedge), now_ns, 0)
        self.diff.action_count = 0
        if bits & HALT_SHUTDOWN and hedge.qty_lots <= (
                -self.orders.position_lots if hedge.side == SIDE_BUY
                else self.orders.position_lots):
            flags = ORDER_REDUCE_ONLY
        if self.diff.want_take(hedge.side, hedge.px_ticks, hedge.qty_lots, flags, hedge.reason,
                               now_ns):
            self._act(now_ns)
        return self._end(bits, now_ns)

    cdef int on_send(self, seq_t out_seq, int outcome, ns_t begin_ns, ns_t end_ns,
                     ns_t now_ns) noexcept nogil:
        """What became of one message of `outs`."""
        cdef int64_t[3] words
        cdef Out* out
        cdef int64_t index = out_seq - self.first_out_seq
        if index < 0 or index >= self.out_count:
            return E_STATE
        words[0] = out_seq
        words[1] = begin_ns
        words[2] = end_ns
        self._record(REC_SEND, outcome, words, 24, now_ns)
        if self.is_stages_due:     # now that the message is away
            self.is_stages_due = False
            self.stages.flush()
        out = &self.outs[index]
        if outcome == SEND_SENT or outcome == SEND_PARTIAL:
            self.orders_sent += out.verb == VERB_PLACE
            self.cancels_sent += out.verb == VERB_CANCEL
            self.modifies_sent += out.verb == VERB_MODIFY
        if outcome == SEND_SENT:
            if out.cause_ts_ns != 0 and out.verb != VERB_STATUS:
                self.tick_to_order.record(end_ns - out.cause_ts_ns)
            return OK
        if outcome == SEND_LATE:
            self.late += 1
        self.unsent += 1
        self.orders.on_unsent(out.intent_id, out.verb, outcome)
        if self.orders.changed != NULL:
            if out.verb == VERB_MODIFY:        # the old price rests: look again at once
                self.diff.forget_requote(self.orders.changed.side)
            self._record_order(self.orders.changed, now_ns)
        return OK

    # -- COLD: Python's checked face ---

    def frame(self, int conn, const uint8_t[::1] payload not None, int64_t recv_ts_ns,
              int64_t now_ns) -> int:
        """on_frame: number of messages in outs(), or a negative Code."""
        _check_conn(conn)
        cdef const uint8_t* data = &payload[0] if payload.shape[0] else <const uint8_t*>b""
        return self.on_frame(conn, data, payload.shape[0], recv_ts_ns, now_ns)

    def snapshot(self, const uint8_t[::1] body not None, int64_t now_ns) -> int:
        """on_snapshot; Code.STATE when the body is no depth snapshot."""
        cdef const uint8_t* data = &body[0] if body.shape[0] else <const uint8_t*>b""
        return self.on_snapshot(data, body.shape[0], now_ns)

    def timer(self, int64_t now_ns) -> int:
        return self.on_timer(now_ns)

    def command(self, int command, int64_t now_ns) -> int:
        if not CMD_START <= command <= CMD_RESYNC:
            raise ValueError(f"Unknown command {command}")
        return self.on_command(command, now_ns)

    def conn(self, int conn, bint up, int64_t now_ns) -> int:
        _check_conn(conn)
        return self.on_conn(conn, up, now_ns)

    def clock(self, int64_t utc_minus_monotonic_ns, int64_t now_ns) -> int:
        return self.on_clock(utc_minus_monotonic_ns, now_ns)

    def account(self, int64_t position_lots, int64_t open_orders, int64_t now_ns) -> int:
        return self.on_account(position_lots, open_orders, now_ns)

    def opening(self, int64_t position_lots, int64_t now_ns) -> int:
        """on_opening; Code.STATE once a fill is booked."""
        return self.on_opening(position_lots, now_ns)

    def known(self, trades, int64_t now_ns) -> int:
        """on_known of (trade_id, our side, venue's UTC ns) each; oldest first in memory."""
        cdef KnownTrade[KNOWN_MAX] rows
        cdef int count = 0
        for trade_id, side, exch_ts_ns in sorted(trades, key=lambda trade: trade[2]):
            if side not in (SIDE_BUY, SIDE_SELL) or trade_id < 0:
                raise ValueError(f"Expected a trade of ours, was {trade_id} on side {side}")
            if count == KNOWN_MAX:
                self.on_known(rows, count, now_ns)
                count = 0
            rows[count].trade_id, rows[count].side = trade_id, side
            rows[count].exch_ts_ns = exch_ts_ns
            count += 1
        return self.on_known(rows, count, now_ns)

    def fill_row(self, *, int64_t trade_id, int64_t venue_order_id, int64_t intent_id, int owner,
                 int side, int64_t px_ticks, int64_t qty_lots, int64_t fee_e8, int fee_asset,
                 bint is_maker, int64_t exch_ts_ns, int64_t now_ns) -> int:
        """on_fill_row: 1 booked, 0 known. ValueError for what can't be an execution."""
        cdef FillRow row
        if not (OWNER_RUN <= owner <= OWNER_STRANGER and 0 <= fee_asset <= FEE_OTHER
                and side in (SIDE_BUY, SIDE_SELL) and px_ticks > 0 and qty_lots > 0
                and trade_id >= 0):
            raise ValueError(f"Expected an execution, was trade {trade_id} of owner {owner}, "
                             f"side {side}, {qty_lots} lots at {px_ticks}, fee in {fee_asset}")
        row.trade_id, row.venue_order_id, row.intent_id = trade_id, venue_order_id, intent_id
        row.owner, row.side, row.px_ticks, row.qty_lots = owner, side, px_ticks, qty_lots
        row.fee_e8, row.fee_asset, row.is_maker = fee_e8, fee_asset, is_maker
        row.exch_ts_ns = exch_ts_ns
        return self.on_fill_row(&row, now_ns)

    def query(self, *, int64_t intent_id, bint is_absent, int order_status,
              int64_t venue_order_id, int64_t px_ticks, int64_t qty_lots, int64_t cum_qty_lots,
              int64_t now_ns, int64_t asked_ns=0) -> int:
        """on_query; `asked_ns`: when the question left, 0: now. ValueError for a status that is no
        OrderState."""
        cdef QueryRow row
        if not ORD_FREE <= order_status <= ORD_PENDING_REPLACE:
            raise ValueError(f"Expected an OrderState, was {order_status}")
        row.intent_id, row.is_absent, row.order_status = intent_id, is_absent, order_status
        row.venue_order_id, row.px_ticks = venue_order_id, px_ticks
        row.qty_lots, row.cum_qty_lots, row.asked_ns = qty_lots, cum_qty_lots, asked_ns
        return self.on_query(&row, now_ns)

    def params(self, list values, int64_t now_ns) -> int:
        """on_params; ValueError for a wrong number of them, or what is no number."""
        cdef double[PARAMS_MAX] given
        if len(values) != self.param_count:
            raise ValueError(f"Expected {self.param_count} parameters, was {len(values)}")
        for i, value in enumerate(values):
            given[i] = value
            if not isfinite(given[i]):
                raise ValueError(f"Expected parameter {i} to be a finite number, was {value!r}")
        return self.on_params(given, self.param_count, now_ns)

    def condition(self, uint32_t bit, bint is_on, int64_t now_ns) -> int:
        """on_condition; ValueError for another bit."""
        if bit == 0 or bit & ~CONDITIONS:
            raise ValueError(f"Expected HALT_DEAD_MAN, _LATENCY, _LINK or _VENUE, was {bit}")
        return self.on_condition(bit, is_on, now_ns)

    def reference(self, tuple bid, tuple ask, int64_t position_lots, int64_t open_lots,
                  int64_t now_ns) -> int:
        """on_reference: the other leg's (px_ticks, qty_lots) a side; quantity 0: unusable."""
        cdef Reference told
        told.bid.px_ticks, told.bid.qty_lots = bid
        told.ask.px_ticks, told.ask.qty_lots = ask
        told.position_lots, told.open_lots = position_lots, open_lots
        return self.on_reference(&told, now_ns)

    def take(self, int side, int64_t px_ticks, int64_t qty_lots, int reason,
             int64_t now_ns) -> int:
        """on_hedge: an immediate-or-cancel order that another leg asks for."""
        cdef Hedge wanted
        if side != SIDE_BUY and side != SIDE_SELL:
            raise ValueError(f"Expected side 0 or 1, was {side}")
        wanted.side, wanted.px_ticks, wanted.qty_lots, wanted.reason = (
            side, px_ticks, qty_lots, reason)
        return self.on_hedge(&wanted, now_ns)

    def send(self, int64_t out_seq, int outcome, int64_t begin_ns, int64_t end_ns,
             int64_t now_ns) -> int:
        """on_send; Code.STATE when out_seq is not of the last input."""
        return self.on_send(out_seq, outcome, begin_ns, end_ns, now_ns)

    def __reduce__(self):
        raise TypeError("A Core holds a credential and can't be pickled")


def _check_conn(int conn) -> None:
    if not CONN_MARKET <= conn <= CONN_USER:
        raise ValueError(f"Expected connection 0..2, was {conn}")
