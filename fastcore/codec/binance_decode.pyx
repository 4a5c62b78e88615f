# cython: language_level=3
# cython: auto_pickle=False
"""What a Binance message means: the walked Frame into an event.

The kind of message tells which names must be there; if they are, the event is filled and its kind
set. Until then event.kind is EV_NONE, so nothing half-read is ever used. The messages that come
most are read along their usual spelling first (binance_fast), with the same result.

A message may be wrapped: {"stream":"btcusdt@depth20","data":{...}} of a combined stream, or
{"subscriptionId":0,"event":{...}} of a spot user stream. What is inside says whose it is, but for
spot's partial depth, which is a whole small book without a symbol: then the stream must be ours.
Unwrapped there is nothing to check: such a connection must carry one symbol's stream. USD-M's
partial depth looks like a difference; only its stream (`@depth20`) tells that it is a whole
book (EV_SNAPSHOT), so it must come wrapped.

Errors, the first that applies:
  E_MALFORMED     no whole JSON object; or, in our own symbol's message, names missing, of the wrong
                  shape, or contradicting each other
  E_UNKNOWN       a message, or an execution type or order status, that we don't know
  E_OTHER_SYMBOL  well-formed, not our instrument
  E_FULL          more than LEVELS_MAX levels a side
  E_RANGE         a number overflows, is negative, or is not on the tick or lot grid; a position in
                  hedge mode
Sources: developers.binance.com, derivatives: usds-margined-futures (market and user streams, WS
API), coin-margined-futures (market streams); binance-spot-api-docs (web-socket-streams.md,
user-data-stream.md, web-socket-api.md).
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset

from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.codec.binance_account cimport (
    read_balance_change, read_futures_account, read_spot_account,
)
from fastcore.codec.base cimport SAFE_TEXT_SIZE, event_dict
from fastcore.codec.binance_check cimport (
    check_asset, check_client_prefix, check_scale, check_symbol,
)
from fastcore.codec.binance_fast cimport fast_message, lay_down_spellings
from fastcore.codec.binance_frame cimport (
    FC_BIT, FC_BIT_LAST, FC_BIT_PU, REPLY_CODE, REPLY_ERROR, REPLY_ID, REPLY_MSG, REPLY_RESULT,
    REPLY_RETRY_AFTER, REPLY_CANCELED_ID, REPLY_STATUS, REPLY_SYMBOL, Frame, Letters, Text,
    fc_has_rows, fc_rows_lay_down, same_text, text_is,
)
from fastcore.codec.binance_number cimport is_plain
from fastcore.codec.binance_order cimport (
    letter_text, letter_uint, read_order_numbers, read_order_words,
)
from fastcore.codec.binance_reply cimport (
    CLIENT_PREFIX_SIZE, read_reply,
)
from fastcore.codec.binance_walk cimport is_own_stream, is_partial_stream, walk_message
from fastcore.codec.text cimport client_intent
from fastcore.types cimport (
    E_FULL, E_MALFORMED, E_OTHER_SYMBOL, E_RANGE, E_UNKNOWN, EV_ACCOUNT, EV_AGG_TRADE, EV_BEST,
    EV_DEPTH, EV_IGNORED, EV_LISTEN_KEY_EXPIRED, EV_NONE, EV_ORDER, EV_SNAPSHOT, EV_TRADE,
    EV_VENUE_SHUTDOWN, LEVELS_MAX, OK, SIDE_BUY, SIDE_SELL, AccountEvent, BestEvent, DepthEvent,
    Event, Level, OrderEvent, ReplyEvent, TradeEvent, ns_t, seq_t,
)

from fastcore.types import Code, EventKind

cdef extern from *:
    """
    #define FC_TIMES (FC_BIT('E') | FC_BIT('T'))
    #define FC_NEED_BEST (FC_BIT('s') | FC_BIT('u') | FC_BIT('b') | FC_BIT('B') \\
                          | FC_BIT('a') | FC_BIT('A'))
    #define FC_NEED_DEPTH (FC_BIT('s') | FC_BIT('U') | FC_BIT('u') | FC_BIT_BIDS | FC_BIT_ASKS)
    #define FC_NEED_SNAPSHOT (FC_BIT_LAST | FC_BIT_BIDS | FC_BIT_ASKS)
    #define FC_NEED_AGG (FC_BIT('s') | FC_BIT('p') | FC_BIT('q') | FC_BIT('m'))
    #define FC_NEED_TRADE (FC_NEED_AGG | FC_BIT('t'))
    #define FC_NEED_ORDER (FC_BIT('s') | FC_BIT('c') | FC_BIT('S') | FC_BIT('x') | FC_BIT('X') \\
                           | FC_BIT('i') | FC_BIT('p') | FC_BIT('q') | FC_BIT('z') \\
                           | FC_BIT('L') | FC_BIT('l'))

    /* Known, of no use to us. */
    static const char *const fc_ignored[] = {
        "TRADE_LITE", "kline", "markPriceUpdate", "24hrTicker", "24hrMiniTicker", "forceOrder",
        "contractInfo", "assetIndexUpdate", "indexPriceUpdate", "continuous_kline",
        "indexPrice_kline", "markPrice_kline", "compositeIndex", "avgPrice", "ALGO_UPDATE",
        "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT", "listStatus", "externalLockUpdate", 0};
    static inline int fc_is_ignored(const uint8_t *name, int64_t size) {
        for (const char *const *known = fc_ignored; *known; known++) {
            if (strlen(*known) == (size_t) size && memcmp(*known, name, (size_t) size) == 0) {
                return 1;
            }
        }
        return 0;
    }
    """
    const uint64_t FC_TIMES, FC_NEED_BEST, FC_NEED_DEPTH, FC_NEED_SNAPSHOT, FC_NEED_AGG
    const uint64_t FC_NEED_TRADE, FC_NEED_ORDER
    bint fc_is_ignored(const uint8_t* name, int64_t size) noexcept nogil

cdef enum:
    NS_PER_MS = 1000000
    MS_MAX = 9223372036854     # of which the nanoseconds fit in 63 bits


@cython.final
@cython.no_gc
cdef class Decoder(DecoderBase):
    """Decoder of one instrument's messages.

    symbol: as the venue's `s` has it, "BTCUSDT". tick, lot: decimal text of the price and quantity
    steps. client_prefix: first 14 characters of our client order ids, or "" if none are ours.
    base_asset, quote_asset: as the venue names them, "BTC" and "USDT"; "" if not known (a symbol
    does not say where one ends): then no fee is known to be in it, and no balance is its.
    portable: not by this machine's vector instructions (tests).
    ValueError if any is not that.
    """

    def __cinit__(
        self, str symbol not None, str tick not None, str lot not None,
        str client_prefix not None="", str base_asset not None="", str quote_asset not None="",
        bint portable=False,
    ):
        cdef bytes prefix
        check_symbol(symbol)
        self._has_prefix = client_prefix != ""
        if self._has_prefix:
            check_client_prefix(client_prefix)
        check_asset("base_asset", base_asset)
        check_asset("quote_asset", quote_asset)
        prefix = client_prefix.encode("ascii")
        memcpy(self._prefix, <const uint8_t*> prefix, <size_t> len(prefix))
        memset(&self._frame, 0, sizeof(Frame))
        _keep(self._symbol, &self._frame.own_symbol, symbol)
        _keep(self._stream, &self._frame.own_stream, symbol.lower())
        _keep(self._base, &self._frame.base_asset, base_asset)
        _keep(self._quote, &self._frame.quote_asset, quote_asset)
        check_scale("tick", tick, &self._frame.px_scale)
        check_scale("lot", lot, &self._frame.qty_scale)
        self._frame.has_plain_scales = (
            is_plain(&self._frame.px_scale) and is_plain(&self._frame.qty_scale))
        fc_rows_lay_down(&self._frame.px_rows, self._frame.px_scale.decimals,
                         self._frame.px_scale.step, 0)
        fc_rows_lay_down(&self._frame.qty_rows, self._frame.qty_scale.decimals,
                         self._frame.qty_scale.step, 1)
        self._frame.has_rows = (not portable and fc_has_rows()
                                and self._frame.px_rows.decimals >= 0
                                and self._frame.qty_rows.decimals >= 0)
        lay_down_spellings(&self._spellings, symbol.encode("ascii"))
        memset(&self.event, 0, sizeof(Event))
        self._frame.bids = <Level*> malloc(LEVELS_MAX * sizeof(Level))
        self._frame.asks = <Level*> malloc(LEVELS_MAX * sizeof(Level))
        if self._frame.bids == NULL or self._frame.asks == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._frame.bids)
        free(self._frame.asks)

    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil:
        """Decode one whole message. O(size), no allocation, reads buf[0:size] only."""
        cdef int kind
        self.event.kind = EV_NONE
        kind = fast_message(&self._spellings, &self._frame, &self.event, buf, size)
        if fc_likely(kind > 0):
            self.event.kind = kind
            return kind
        return self._decode_any(buf, size)

    cdef int _decode_any(self, const uint8_t* buf, int64_t size) noexcept nogil:
        """As decode, whatever the spelling."""
        cdef int kind = walk_message(&self._frame, buf, size)
        if fc_unlikely(kind != OK):
            return kind
        kind = self._finish()
        if kind > 0:
            self.event.kind = kind
        return kind

    cdef int _finish(self) noexcept nogil:
        """Which message this is, by the names that it has."""
        cdef uint64_t seen = self._frame.names.seen
        cdef uint64_t reply = self._frame.reply.names.seen
        if seen & FC_BIT(c"e"):
            return self._finish_event() if self._frame.names.have & FC_BIT(c"e") else E_MALFORMED
        if seen & FC_BIT_LAST:
            return self._finish_depth(EV_SNAPSHOT, FC_NEED_SNAPSHOT)
        if reply & REPLY_ID and reply & (REPLY_STATUS | REPLY_ERROR | REPLY_RESULT):
            return self._finish_reply()
        if reply & REPLY_CODE and reply & REPLY_MSG:
            return self._finish_reply()    # a refused control message may have no id
        if (seen & FC_NEED_BEST) == FC_NEED_BEST:
            return self._finish_best()     # spot's has no `e`
        return E_UNKNOWN

    cdef int _finish_event(self) noexcept nogil:
        cdef const Text* event = &self._frame.event
        if text_is(event, b"bookTicker", 10):
            return self._finish_best()
        if text_is(event, b"depthUpdate", 11):
            return self._finish_depth(
                EV_SNAPSHOT if is_partial_stream(&self._frame) else EV_DEPTH, FC_NEED_DEPTH)
        if text_is(event, b"trade", 5):
            return self._finish_trade(EV_TRADE)
        if text_is(event, b"aggTrade", 8):
            return self._finish_trade(EV_AGG_TRADE)
        if text_is(event, b"ORDER_TRADE_UPDATE", 18):
            if not self._frame.names.have & FC_BIT(c"o"):
                return E_MALFORMED
            return self._finish_order(&self._frame.order, False)
        if text_is(event, b"executionReport", 15):
            self._frame.letters.seen = self._frame.names.seen
            return self._finish_order(&self._frame.letters, True)
        if (text_is(event, b"ACCOUNT_UPDATE", 14) or text_is(event, b"balanceUpdate", 13)
                or text_is(event, b"outboundAccountPosition", 23)):
            return self._finish_account()
        if text_is(event, b"listenKeyExpired", 16) or text_is(event, b"eventStreamTerminated", 21):
            return EV_LISTEN_KEY_EXPIRED   # no more user events here: subscribe anew
        if text_is(event, b"serverShutdown", 14):
            return EV_VENUE_SHUTDOWN
        return EV_IGNORED if fc_is_ignored(event.at, event.size) else E_UNKNOWN

    cdef int _check(self, uint64_t need) noexcept nogil:
        """OK, or why names in `need` (and times, symbol and pu if given) can't be used."""
        cdef Frame* frame = &self._frame
        cdef uint64_t have = frame.names.have
        need |= frame.names.seen & (FC_TIMES | FC_BIT(c"s") | FC_BIT_PU)
        if fc_unlikely(need & FC_BIT(c"s") and not have & FC_BIT(c"s")):
            return E_MALFORMED
        if need & FC_BIT(c"s") and not same_text(&frame.symbol, &frame.own_symbol):
            return E_OTHER_SYMBOL
        if fc_unlikely((have & need) != need):
            if ((have | frame.names.off | frame.names.full) & need) != need:
                return E_MALFORMED
            return E_FULL if frame.names.full & need else E_RANGE
        if fc_unlikely(
                (need & FC_BIT(c"E") and frame.event_ms > <int64_t> MS_MAX)
                or (need & FC_BIT(c"T") and frame.transaction_ms > <int64_t> MS_MAX)):
            return E_RANGE
        return OK

    cdef ns_t _exch_ts_ns(self) noexcept nogil:
        """T, else E, else 0; _check has been."""
        if self._frame.names.have & FC_BIT(c"T"):
            return self._frame.transaction_ms * NS_PER_MS
        if self._frame.names.have & FC_BIT(c"E"):
            return self._frame.event_ms * NS_PER_MS
        return 0

    cdef int _finish_best(self) noexcept nogil:
        cdef Frame* frame = &self._frame
        cdef BestEvent* best = &self.event.best
        cdef int code = self._check(FC_NEED_BEST)
        if fc_unlikely(code != OK):
            return code
        best.update_id = frame.update_id
        best.exch_ts_ns = self._exch_ts_ns()
        best.bid_px_ticks = frame.bid_px_ticks
        best.bid_qty_lots = frame.bid_qty_lots
        best.ask_px_ticks = frame.ask_px_ticks
        best.ask_qty_lots = frame.ask_qty_lots
        return EV_BEST

    cdef int _finish_depth(self, int kind, uint64_t need) noexcept nogil:
        """EV_DEPTH, or EV_SNAPSHOT (whose id covers everything up to it) of REST or in parts."""
        cdef Frame* frame = &self._frame
        cdef DepthEvent* depth = &self.event.depth
        cdef int code
        if (not frame.names.seen & FC_BIT(c"s") and frame.is_wrapped and frame.stream.size >= 0
                and not is_own_stream(frame)):
            return E_OTHER_SYMBOL
        code = self._check(need)
        if fc_unlikely(code != OK):
            return code
        depth.final_update_id = frame.update_id
        depth.first_update_id = frame.update_id
        if need == FC_NEED_DEPTH:
            if fc_unlikely(frame.first_update_id > frame.update_id):
                return E_MALFORMED
            if kind == EV_DEPTH:
                depth.first_update_id = frame.first_update_id
        depth.prev_final_update_id = -1
        if kind == EV_DEPTH and frame.names.have & FC_BIT_PU:
            depth.prev_final_update_id = frame.prev_update_id
        depth.exch_ts_ns = self._exch_ts_ns()
        depth.bid_count = <int> frame.bid_count
        depth.ask_count = <int> frame.ask_count
        depth.bids = frame.bids
        depth.asks = frame.asks
        return kind

    cdef int _finish_trade(self, int kind) noexcept nogil:
        """EV_TRADE, or EV_AGG_TRADE: the fills of one taker order at one price."""
        cdef Frame* frame = &self._frame
        cdef TradeEvent* trade = &self.event.trade
        cdef int code
        cdef int id_code = OK
        if kind == EV_TRADE:
            code = self._check(FC_NEED_TRADE | (frame.names.seen & FC_BIT(c"X")))
            trade.trade_id = frame.trade_id
        else:
            code = self._check(FC_NEED_AGG)
            id_code = E_MALFORMED
            if frame.names.seen & FC_BIT(c"a"):
                id_code = letter_uint(&frame.letters, c"a", &trade.trade_id)
        if fc_unlikely(code != OK or id_code != OK):
            if code == E_OTHER_SYMBOL or code == E_MALFORMED or id_code == OK:
                return code
            return id_code
        trade.exch_ts_ns = self._exch_ts_ns()
        trade.px_ticks = frame.px_ticks
        trade.qty_lots = frame.qty_lots
        trade.aggressor = SIDE_SELL if frame.buyer_is_maker else SIDE_BUY
        trade.is_market = 1
        if kind == EV_TRADE and frame.names.have & FC_BIT(c"X"):
            trade.is_market = text_is(&frame.trade_type, b"MARKET", 6)
        return kind

    cdef seq_t _own_intent(self, const Text* client_id) noexcept nogil:
        """Intent of a client order id of this run, else INTENT_*."""
        return client_intent(client_id.at, client_id.size, self._prefix,
                             CLIENT_PREFIX_SIZE if self._has_prefix else 0)

    cdef int _finish_order(self, const Letters* letters, bint is_spot) noexcept nogil:
        cdef Frame* frame = &self._frame
        cdef OrderEvent* order = &self.event.order
        cdef Text text
        cdef int code
        if (letters.seen & FC_NEED_ORDER) != FC_NEED_ORDER or not letter_text(letters, c"s", &text):
            return E_MALFORMED
        frame.symbol = text
        frame.names.seen |= FC_BIT(c"s")
        frame.names.have |= FC_BIT(c"s")
        code = self._check(0)
        if code != OK:
            return code
        order.exch_ts_ns = self._exch_ts_ns()
        if not letter_text(letters, c"c", &text):
            return E_MALFORMED
        order.intent_id = self._own_intent(&text)
        if is_spot and letters.seen & FC_BIT(c"C"):
            # On a cancel `c` is the cancel's own id; the order's stands in `C`, else empty.
            if not letter_text(letters, c"C", &text):
                return E_MALFORMED
            if text.size > 0:
                order.intent_id = self._own_intent(&text)
        code = read_order_words(letters, order)
        if code != OK:
            return code
        code = read_order_numbers(frame, letters, is_spot, order)
        return EV_ORDER if code == OK else code

    cdef int _finish_account(self) noexcept nogil:
        cdef Frame* frame = &self._frame
        cdef AccountEvent* account = &self.event.account
        cdef int code = self._check(0)
        cdef int read_code
        if frame.event.at[0] == c"A":
            read_code = read_futures_account(frame, account)
        elif frame.event.at[0] == c"b":
            read_code = read_balance_change(frame, account)
        else:
            read_code = read_spot_account(frame, account)
        if code == E_MALFORMED or read_code == OK and code != OK:
            return code
        if read_code != OK:
            return read_code
        account.exch_ts_ns = self._exch_ts_ns()
        return EV_ACCOUNT

    cdef int _finish_reply(self) noexcept nogil:
        """An answer: to an order request, or of a session."""
        cdef Frame* frame = &self._frame
        cdef uint64_t seen = frame.reply.names.seen
        cdef int kind
        if seen & REPLY_SYMBOL:
            if not frame.reply.names.have & REPLY_SYMBOL:
                return E_MALFORMED
            if not same_text(&frame.reply.symbol, &frame.own_symbol):
                return E_OTHER_SYMBOL
        kind = read_reply(frame, &self.event.reply)
        if kind > 0:
            self.retry_after_ms = frame.reply.retry_after_ms if seen & REPLY_RETRY_AFTER else 0
            self.canceled_intent_id = -1
            if seen & REPLY_CANCELED_ID:
                self.canceled_intent_id = self._own_intent(&frame.reply.canceled_id)
        return kind

    cdef int64_t safe_text(self, const uint8_t** out) noexcept nogil:
        """A logon's answer names the API key, an expiry the listen key."""
        cdef const ReplyEvent* reply = &self.event.reply
        out[0] = <const uint8_t*> self._safe_text
        if self.event.kind == EV_LISTEN_KEY_EXPIRED:
            return snprintf(self._safe_text, SAFE_TEXT_SIZE, b'{"e":"listenKeyExpired"}')
        if reply.status == 200 and reply.error_code == 0:
            return snprintf(self._safe_text, SAFE_TEXT_SIZE,
                            b'{"id":null,"status":200,"result":{}}')
        return snprintf(self._safe_text, SAFE_TEXT_SIZE,
                        b'{"id":null,"status":%d,"error":{"code":%d}}', <int> reply.status,
                        <int> reply.error_code)

    # -- PYTHON ---

    def safe_bytes(self) -> bytes:
        """What a journal may hold in place of the last message; see base.pxd."""
        cdef const uint8_t* at
        cdef int64_t size = self.safe_text(&at)
        return at[:size]

    def decode_bytes(self, bytes buf not None) -> tuple[int, dict[str, object]]:
        """Decode one message: (EventKind, fields of the event), or (negative Code, {})."""
        cdef int kind = self.decode(buf, len(buf))
        if kind < 0:
            return Code(kind), {}
        return EventKind(kind), event_dict(&self.event)

    def decode_generally(self, bytes buf not None) -> tuple[int, dict[str, object]]:
        """As decode_bytes, never along the usual spelling: for tests."""
        cdef int kind
        self.event.kind = EV_NONE
        kind = self._decode_any(buf, len(buf))
        if kind < 0:
            return Code(kind), {}
        return EventKind(kind), event_dict(&self.event)

    def bench_decode(self, bytes buf not None, int64_t count) -> int:
        """Decode `buf` `count` times; how many times it decoded. For benches."""
        cdef const uint8_t* at = buf
        cdef int64_t size = len(buf)
        cdef int64_t decoded = 0
        with nogil:
            for _ in range(count):
                decoded += self.decode(at, size) > 0
        return decoded


# -- COLD ---

cdef int _keep(uint8_t* room, Text* text, str value) except -1:
    cdef bytes raw = value.encode("ascii")
    memcpy(room, <const uint8_t*> raw, <size_t> len(raw))
    text.at = room
    text.size = len(raw)
    return 0
