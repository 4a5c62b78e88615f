# cython: language_level=3
# cython: auto_pickle=False
"""What a Binance message means: the walked Frame into an event.

The kind of message tells which names must be there; if they are, the event is filled and its kind
set. Until then event.kind is EV_NONE, so nothing half-read is ever used.

Errors, the first that applies:
  E_MALFORMED     no whole JSON object; or, in our own symbol's message, names missing, of the wrong
                  shape, or contradicting each other
  E_UNKNOWN       a message, or an execution type or order status, that we don't know
  E_OTHER_SYMBOL  well-formed, not our instrument
  E_FULL          more than LEVELS_MAX levels a side
  E_RANGE         a number overflows, is negative, or is not on the tick or lot grid
Sources: developers.binance.com, derivatives: usds-margined-futures (market and user streams, WS
API), coin-margined-futures and spot (market streams).
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastcore.check cimport fc_unlikely
from fastcore.codec.binance_order cimport (
    order_state, order_text, read_order_numbers, read_order_words,
)
from fastcore.codec.binance_frame cimport (
    FC_BIT, FC_BIT_CODE, FC_BIT_CUM_QTY, FC_BIT_ERROR, FC_BIT_ID, FC_BIT_LAST, FC_BIT_ORDER_ID,
    FC_BIT_ORDER_STATUS, FC_BIT_PU, FC_BIT_RESULT, FC_BIT_STATUS, Frame, Text, text_is,
)
from fastcore.codec.binance_walk cimport walk_message, walk_order
from fastcore.fixed cimport scale_from_text
from fastcore.types cimport (
    CLIENT_ID_SIZE, E_FULL, E_MALFORMED, E_OTHER_SYMBOL, E_RANGE, E_UNKNOWN, EV_BEST, EV_DEPTH,
    EV_IGNORED, EV_LISTEN_KEY_EXPIRED, EV_NONE, EV_ORDER, EV_REPLY, EV_SNAPSHOT, EV_TRADE,
    LEVELS_MAX, OK, ORD_FREE, SIDE_BUY, SIDE_SELL, VERB_CANCEL_ALL, BestEvent, DepthEvent, Event,
    Level, OrderEvent, ReplyEvent, Scale, TradeEvent, ns_t, seq_t,
)

from fastcore.types import Code, EventKind

cdef extern from *:
    """
    #define FC_TIMES (FC_BIT('E') | FC_BIT('T'))
    #define FC_NEED_BEST (FC_BIT('s') | FC_BIT('u') | FC_BIT('b') | FC_BIT('B') \\
                          | FC_BIT('a') | FC_BIT('A'))
    #define FC_NEED_DEPTH (FC_BIT('s') | FC_BIT('U') | FC_BIT('u') | FC_BIT_BIDS | FC_BIT_ASKS)
    #define FC_NEED_SNAPSHOT (FC_BIT_LAST | FC_BIT_BIDS | FC_BIT_ASKS)
    #define FC_NEED_TRADE (FC_BIT('s') | FC_BIT('t') | FC_BIT('p') | FC_BIT('q') | FC_BIT('m'))
    #define FC_NEED_ORDER (FC_BIT('s') | FC_BIT('c') | FC_BIT('S') | FC_BIT('x') | FC_BIT('X') \\
                           | FC_BIT('i') | FC_BIT('p') | FC_BIT('q') | FC_BIT('z') \\
                           | FC_BIT('L') | FC_BIT('l'))

    /* Known, of no use to us. Spot's executionReport is not here: an order event that we can't
     * read must not pass in silence. */
    static const char *const fc_ignored[] = {
        "aggTrade", "TRADE_LITE", "ACCOUNT_UPDATE", "kline", "markPriceUpdate", "24hrTicker",
        "24hrMiniTicker", "forceOrder", "contractInfo", "assetIndexUpdate", "indexPriceUpdate",
        "continuous_kline", "indexPrice_kline", "markPrice_kline", "compositeIndex", "avgPrice",
        "ALGO_UPDATE", "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT", "outboundAccountPosition", "balanceUpdate", 0};
    static inline int fc_is_ignored(const uint8_t *name, int64_t size) {
        for (const char *const *known = fc_ignored; *known; known++) {
            if (strlen(*known) == (size_t) size && memcmp(*known, name, (size_t) size) == 0) {
                return 1;
            }
        }
        return 0;
    }
    """
    const uint64_t FC_TIMES, FC_NEED_BEST, FC_NEED_DEPTH, FC_NEED_SNAPSHOT, FC_NEED_TRADE
    const uint64_t FC_NEED_ORDER
    bint fc_is_ignored(const uint8_t* name, int64_t size) noexcept nogil

cdef enum:
    NS_PER_MS = 1000000
    MS_MAX = 9223372036854     # of which the nanoseconds fit in 63 bits
    STATUS_MAX = 999           # HTTP-like
    ERROR_CODE_MAX = 999999


cdef inline seq_t hex_value(const uint8_t* p, int digit_count) noexcept nogil:
    """Lowercase hexadecimal digits; -1: they are not."""
    cdef seq_t value = 0
    cdef int i
    for i in range(digit_count):
        if <uint8_t> (p[i] - 48) < 10:
            value = (value << 4) | (p[i] - 48)
        elif <uint8_t> (p[i] - 97) < 6:
            value = (value << 4) | (p[i] - 87)
        else:
            return -1
    return value


@cython.final
@cython.no_gc
cdef class Decoder(DecoderBase):
    """Decoder of one instrument's messages.

    symbol: as the venue's `s` has it, "BTCUSDT". tick, lot: decimal text of the price and quantity
    steps. client_prefix: first 14 characters of our client order ids, or "" if none are ours.
    ValueError if any is not that.
    """

    def __cinit__(
        self, str symbol not None, str tick not None, str lot not None,
        str client_prefix not None="",
    ):
        cdef bytes name
        cdef bytes prefix
        check_symbol(symbol)
        check_scale("tick", tick, &self._frame.px_scale)
        check_scale("lot", lot, &self._frame.qty_scale)
        self._has_prefix = client_prefix != ""
        if self._has_prefix:
            check_client_prefix(client_prefix)
        name = symbol.encode("ascii")
        prefix = client_prefix.encode("ascii")
        self._symbol_size = len(name)
        memcpy(self._symbol, <const uint8_t*> name, <size_t> len(name))
        memcpy(self._prefix, <const uint8_t*> prefix, <size_t> len(prefix))
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
        kind = walk_message(&self._frame, buf, size)
        if fc_unlikely(kind != OK):
            return kind
        kind = self._finish()
        if kind > 0:
            self.event.kind = kind
        return kind

    cdef int _finish(self) noexcept nogil:
        """Which message this is, by the names that it has."""
        cdef uint64_t seen = self._frame.seen
        if seen & FC_BIT(c"e"):
            return self._finish_event() if self._frame.have & FC_BIT(c"e") else E_MALFORMED
        if seen & FC_BIT_LAST:
            return self._finish_depth(EV_SNAPSHOT)
        if seen & FC_BIT_ID:
            if seen & (FC_BIT_STATUS | FC_BIT_ERROR):
                return self._finish_reply()
            if seen & FC_BIT_RESULT:
                return EV_IGNORED          # of SUBSCRIBE and the like
        if (seen & FC_NEED_BEST) == FC_NEED_BEST:
            return self._finish_best()     # spot's has no `e`
        return E_UNKNOWN

    cdef int _finish_event(self) noexcept nogil:
        cdef const Text* event = &self._frame.event
        if text_is(event, b"bookTicker", 10):
            return self._finish_best()
        if text_is(event, b"depthUpdate", 11):
            return self._finish_depth(EV_DEPTH)
        if text_is(event, b"trade", 5):
            return self._finish_trade()
        if text_is(event, b"ORDER_TRADE_UPDATE", 18):
            return self._finish_order()
        if text_is(event, b"listenKeyExpired", 16):
            return EV_LISTEN_KEY_EXPIRED
        return EV_IGNORED if fc_is_ignored(event.at, event.size) else E_UNKNOWN

    cdef int _check(self, uint64_t need) noexcept nogil:
        """OK, or why names in `need` (and times, symbol and pu if given) can't be used."""
        cdef Frame* frame = &self._frame
        need |= frame.seen & (FC_TIMES | FC_BIT(c"s") | FC_BIT_PU)
        if fc_unlikely(need & FC_BIT(c"s") and not frame.have & FC_BIT(c"s")):
            return E_MALFORMED
        if need & FC_BIT(c"s") and (
                frame.symbol.size != self._symbol_size
                or memcmp(frame.symbol.at, self._symbol, <size_t> self._symbol_size) != 0):
            return E_OTHER_SYMBOL
        if fc_unlikely((frame.have & need) != need):
            if ((frame.have | frame.off | frame.full) & need) != need:
                return E_MALFORMED
            return E_FULL if frame.full & need else E_RANGE
        if fc_unlikely(
                (need & FC_BIT(c"E") and frame.event_ms > <int64_t> MS_MAX)
                or (need & FC_BIT(c"T") and frame.transaction_ms > <int64_t> MS_MAX)):
            return E_RANGE
        return OK

    cdef ns_t _exch_ts_ns(self) noexcept nogil:
        """T, else E, else 0; _check has been."""
        if self._frame.have & FC_BIT(c"T"):
            return self._frame.transaction_ms * NS_PER_MS
        if self._frame.have & FC_BIT(c"E"):
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

    cdef int _finish_depth(self, int kind) noexcept nogil:
        """EV_DEPTH, or EV_SNAPSHOT of REST (whose id covers everything up to it)."""
        cdef Frame* frame = &self._frame
        cdef DepthEvent* depth = &self.event.depth
        cdef int code = self._check(FC_NEED_DEPTH if kind == EV_DEPTH else FC_NEED_SNAPSHOT)
        if fc_unlikely(code != OK):
            return code
        depth.final_update_id = frame.update_id
        depth.first_update_id = frame.first_update_id if kind == EV_DEPTH else frame.update_id
        if fc_unlikely(depth.first_update_id > depth.final_update_id):
            return E_MALFORMED
        depth.prev_final_update_id = -1
        if kind == EV_DEPTH and frame.have & FC_BIT_PU:
            depth.prev_final_update_id = frame.prev_update_id
        depth.exch_ts_ns = self._exch_ts_ns()
        depth.bid_count = <int> frame.bid_count
        depth.ask_count = <int> frame.ask_count
        depth.bids = frame.bids
        depth.asks = frame.asks
        return kind

    cdef int _finish_trade(self) noexcept nogil:
        cdef Frame* frame = &self._frame
        cdef TradeEvent* trade = &self.event.trade
        cdef int code = self._check(FC_NEED_TRADE | (frame.seen & FC_BIT(c"X")))
        if fc_unlikely(code != OK):
            return code
        trade.trade_id = frame.trade_id
        trade.exch_ts_ns = self._exch_ts_ns()
        trade.px_ticks = frame.px_ticks
        trade.qty_lots = frame.qty_lots
        trade.aggressor = SIDE_SELL if frame.buyer_is_maker else SIDE_BUY
        trade.is_market = not frame.have & FC_BIT(c"X") or text_is(&frame.trade_type, b"MARKET", 6)
        return EV_TRADE

    cdef seq_t _own_intent(self, const Text* client_id) noexcept nogil:
        """Intent of a client order id of ours, else -1."""
        if (not self._has_prefix or client_id.size != <int64_t> CLIENT_ID_SIZE
                or memcmp(client_id.at, self._prefix, CLIENT_PREFIX_SIZE) != 0):
            return -1
        return hex_value(client_id.at + CLIENT_PREFIX_SIZE, INTENT_DIGITS)

    cdef int _finish_order(self) noexcept nogil:
        cdef Frame* frame = &self._frame
        cdef OrderEvent* order = &self.event.order
        cdef Text text
        cdef int code
        if not frame.have & FC_BIT(c"o") or walk_order(frame) != OK:
            return E_MALFORMED
        if (frame.order_seen & FC_NEED_ORDER) != FC_NEED_ORDER:
            return E_MALFORMED
        if not order_text(frame, c"s", &text):
            return E_MALFORMED
        frame.symbol = text
        frame.seen |= FC_BIT(c"s")
        frame.have |= FC_BIT(c"s")
        code = self._check(FC_BIT(c"o"))
        if code != OK:
            return code
        order.exch_ts_ns = self._exch_ts_ns()
        if not order_text(frame, c"c", &text):
            return E_MALFORMED
        order.intent_id = self._own_intent(&text)
        code = read_order_words(frame, order)
        if code != OK:
            return code
        code = read_order_numbers(frame, order)
        return EV_ORDER if code == OK else code

    cdef int _finish_reply(self) noexcept nogil:
        """Of order.place, order.cancel or order.status: done or refused."""
        cdef Frame* frame = &self._frame
        cdef ReplyEvent* reply = &self.event.reply
        cdef uint64_t need = frame.seen & (
            FC_BIT_STATUS | FC_BIT_ERROR | FC_BIT_CODE | FC_BIT_ORDER_ID | FC_BIT_ORDER_STATUS
            | FC_BIT_CUM_QTY)
        cdef int code = self._check(need)
        if code != OK:
            return code
        reply.status = <int> frame.status if need & FC_BIT_STATUS else 0
        reply.error_code = <int> frame.error_code if need & FC_BIT_CODE else 0
        if (need & FC_BIT_STATUS and frame.status > STATUS_MAX) or (
                need & FC_BIT_CODE and not -ERROR_CODE_MAX <= frame.error_code <= ERROR_CODE_MAX):
            return E_RANGE
        reply.venue_order_id = frame.venue_order_id if need & FC_BIT_ORDER_ID else -1
        reply.cum_qty_lots = frame.cum_qty_lots if need & FC_BIT_CUM_QTY else -1
        reply.order_status = ORD_FREE
        if need & FC_BIT_ORDER_STATUS:
            reply.order_status = order_state(&frame.order_status)
        reply.verb = 0
        reply.intent_id = -1
        if frame.have & FC_BIT_ID and frame.request_id.size == <int64_t> REQUEST_ID_SIZE:
            if 49 <= frame.request_id.at[0] <= 48 + VERB_CANCEL_ALL:
                reply.intent_id = hex_value(frame.request_id.at + 1, INTENT_DIGITS)
                if reply.intent_id >= 0:
                    reply.verb = frame.request_id.at[0] - 48
        return EV_REPLY

    # -- PYTHON ---

    def decode_bytes(self, bytes buf not None) -> tuple[int, dict[str, object]]:
        """Decode one message: (EventKind, fields of the event), or (negative Code, {})."""
        cdef int kind = self.decode(buf, len(buf))
        if kind < 0:
            return Code(kind), {}
        return EventKind(kind), _as_dict(&self.event)

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

cdef int check_symbol(str symbol) except -1:
    if not 0 < len(symbol) <= SYMBOL_SIZE_MAX or not all(
            "A" <= char <= "Z" or "0" <= char <= "9" or char == "_" for char in symbol):
        raise ValueError(
            f"symbol must be 1 to {SYMBOL_SIZE_MAX} of A-Z, 0-9 and _, as in 'BTCUSDT', "
            f"not {symbol!r}")
    return 0


cdef int check_scale(str name, str text, Scale* scale) except -1:
    cdef bytes raw = text.encode("ascii", "replace")
    if scale_from_text(raw, len(raw), scale) != OK:
        raise ValueError(f"{name} must be a positive plain decimal such as '0.10', not {text!r}")
    return 0


cdef int check_client_prefix(str prefix) except -1:
    if len(prefix) != CLIENT_PREFIX_SIZE or not all(
            "a" <= char <= "z" or "0" <= char <= "9" or char == "-" for char in prefix):
        raise ValueError(
            f"client_prefix must be {CLIENT_PREFIX_SIZE} of a-z, 0-9 and -, as in "
            f"'tm0123abcd-01-', not {prefix!r}")
    return 0


cdef dict _as_dict(const Event* event):
    """Fields of the event's kind, under their own names; levels as (px_ticks, qty_lots)."""
    cdef int i
    if event.kind == EV_BEST:
        return event.best
    if event.kind == EV_TRADE:
        return event.trade
    if event.kind == EV_ORDER:
        return event.order
    if event.kind == EV_REPLY:
        return event.reply
    if event.kind != EV_DEPTH and event.kind != EV_SNAPSHOT:
        return {}
    return {
        "first_update_id": event.depth.first_update_id,
        "final_update_id": event.depth.final_update_id,
        "prev_final_update_id": event.depth.prev_final_update_id,
        "exch_ts_ns": event.depth.exch_ts_ns,
        "bids": [(event.depth.bids[i].px_ticks, event.depth.bids[i].qty_lots)
                 for i in range(event.depth.bid_count)],
        "asks": [(event.depth.asks[i].px_ticks, event.depth.asks[i].qty_lots)
                 for i in range(event.depth.ask_count)],
    }
