# cython: language_level=3
# cython: auto_pickle=False
"""What a Bybit v5 message means: the walked Frame into events.

Books. `orderbook.{50,200,1000}`: a snapshot, or any message with u == 1 (the venue's service
restarted), is EV_SNAPSHOT, a delta is EV_DEPTH. Both carry first_update_id = final_update_id = `u`
and prev_final_update_id = -1: u grows by one a message of a topic, and names no predecessor. `seq`
counts across topics, with holes, smaller is older: cross_seq, 0 where it is missing. `orderbook.1`
is sent only whole: EV_BEST, a side without a level as price and quantity 0. Its u counts messages
of its own topic and compares with nothing, so its update_id is the seq. Times are `cts` (matching
engine), else `ts`.

Arrays. Every item is read before the first event is given; next_event() gives the others, in the
venue's order. Items of other instruments are passed over: E_OTHER_SYMBOL when nothing else was
there, EV_IGNORED when ours told nothing of use (funding). bybit_item.pyx says what an item means.

Replies of the trade connection: bybit_reply.pyx.

Errors, the first that applies, names in the order in which the code reads them:
  E_MALFORMED     no whole JSON object; or names missing, of the wrong shape, contradictory
  E_UNKNOWN       a topic, operation, order status or execution type that we don't know
  E_OTHER_SYMBOL  well-formed, not our instrument
  E_UNSUPPORTED   a position in hedge mode
  E_FULL          more than LEVELS_MAX levels a side, ITEMS_MAX items, REPLIES_MAX orders
  E_RANGE         a number overflows, is negative, or is not on the tick or lot grid
Source: bybit-exchange.github.io/docs/v5, websocket public, private and trade; error codes.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.codec.base cimport SAFE_TEXT_SIZE, event_dict
from fastcore.codec.binance_check cimport check_client_prefix, check_scale, check_symbol
from fastcore.codec.binance_frame cimport Text, text_is
from fastcore.codec.bybit_frame cimport (
    FC_NAME_BIT, NAME_a, NAME_b, NAME_COIN, NAME_CREATION_TIME, NAME_CTS, NAME_DATA, NAME_OP,
    NAME_s, NAME_SEQ, NAME_TOPIC, NAME_TS, NAME_TYPE, NAME_u, Frame,
)
from fastcore.codec.bybit_item cimport (
    NOT_A_TRADE, read_coin, read_execution, read_order, read_position, read_trade,
)
from fastcore.codec.bybit_reply cimport read_batch, read_reply, read_session
from fastcore.codec.bybit_value cimport ms_to_ns
from fastcore.codec.bybit_walk cimport next_item, walk_message
from fastcore.types cimport (
    E_FULL, E_MALFORMED, E_OTHER_SYMBOL, E_RANGE, E_UNKNOWN, EV_ACCOUNT, EV_BEST, EV_DEPTH,
    EV_IGNORED, EV_NONE, EV_ORDER, EV_REPLY, EV_SNAPSHOT, EV_TRADE, LEVELS_MAX, OK, VERB_CANCEL,
    VERB_MODIFY, VERB_PLACE, AccountEvent, BestEvent, DepthEvent, Event, Level, OrderEvent,
    ReplyEvent, TradeEvent, seq_t,
)

from fastcore.types import Code, EventKind

cdef enum:                     # what an array holds
    TRADES
    ORDERS
    EXECUTIONS
    POSITIONS
    WALLETS

cdef enum:
    ASSET_SIZE_MAX = 20

cdef extern from *:
    """
    /* Known, of no use to us. */
    static int fc_bybit_ignores(const uint8_t *topic, int64_t size) {
        static const char *const known[] = {
            "tickers.", "kline.", "liquidation.", "allLiquidation.", "greeks", "dcp.", 0};
        for (const char *const *word = known; *word; word++) {
            size_t length = strlen(*word);
            if ((size_t) size >= length && memcmp(topic, *word, length) == 0) {
                return 1;
            }
        }
        return 0;
    }
    """
    bint fc_bybit_ignores(const uint8_t* topic, int64_t size) noexcept nogil


cdef bint _under(const Text* topic, const char* word, int64_t size) noexcept nogil:
    """The word itself, or the word and a point and more."""
    return topic.size >= size and memcmp(topic.at, word, <size_t> size) == 0 and (
        topic.size == size or topic.at[size] == 46)


@cython.final
@cython.no_gc
cdef class BybitDecoder(DecoderBase):
    """Decoder of one instrument's messages.

    symbol: as the venue has it, "BTCUSDT". tick, lot: decimal text of the price and quantity
    steps. client_prefix: first 14 characters of our client order ids, or "" if none are ours.
    category: "linear" or "spot". base_asset, quote_asset: coins by which fees and the wallet's
    balance are told apart; "": not known, so no balance, and a fee in a named coin is FEE_OTHER.
    ValueError if any is not that.
    """

    def __cinit__(
        self, str symbol not None, str tick not None, str lot not None,
        str client_prefix not None="", str category not None="linear",
        str base_asset not None="", str quote_asset not None="",
    ):
        check_symbol(symbol)
        check_scale("tick", tick, &self._owner.px_scale)
        check_scale("lot", lot, &self._owner.qty_scale)
        if client_prefix:
            check_client_prefix(client_prefix)
        check_category(category)
        _check_asset("base_asset", base_asset)
        _check_asset("quote_asset", quote_asset)
        self._texts = (
            _kept(symbol, &self._owner.symbol), _kept(client_prefix, &self._owner.prefix),
            _kept(category, &self._owner.category), _kept(base_asset, &self._owner.base_asset),
            _kept(quote_asset, &self._owner.quote_asset))
        memset(&self.event, 0, sizeof(Event))
        memset(self._replies, 0, sizeof(self._replies))
        memset(self._accounts, 0, sizeof(self._accounts))
        self._frame.bids = <Level*> malloc(LEVELS_MAX * sizeof(Level))
        self._frame.asks = <Level*> malloc(LEVELS_MAX * sizeof(Level))
        self._trades = <TradeEvent*> malloc(ITEMS_MAX * sizeof(TradeEvent))
        self._orders = <OrderEvent*> malloc(ITEMS_MAX * sizeof(OrderEvent))
        if (self._frame.bids == NULL or self._frame.asks == NULL or self._trades == NULL
                or self._orders == NULL):
            raise MemoryError

    def __dealloc__(self):
        free(self._frame.bids)
        free(self._frame.asks)
        free(self._trades)
        free(self._orders)

    cdef int decode(self, const uint8_t* buf, int64_t size) noexcept nogil:
        """Decode one whole message. O(size), no allocation, reads buf[0:size] only."""
        cdef int kind
        self.event.kind = EV_NONE
        self.pending = 0
        kind = walk_message(&self._frame, &self._owner, buf, size)
        if fc_unlikely(kind != OK):
            return kind
        kind = self._finish()
        self.event.kind = kind if kind > 0 else EV_NONE
        return kind

    cdef int next_event(self) noexcept nogil:
        """The next item of the last decoded message; O(1)."""
        cdef int at = self._count - self.pending
        if self.pending == 0:
            self.event.kind = EV_NONE
            return EV_NONE
        FC_DCHECK(at >= 0)
        self.pending -= 1
        self.event.kind = self._kind
        if self._kind == EV_TRADE:
            self.event.trade = self._trades[at]
        elif self._kind == EV_ORDER:
            self.event.order = self._orders[at]
        elif self._kind == EV_REPLY:
            self.event.reply = self._replies[at]
        else:
            self.event.account = self._accounts[at]
        return self._kind

    cdef int _give(self, int kind) noexcept nogil:
        """The first of the `_count` events stored, the others pending."""
        self._kind = kind
        self.pending = self._count
        return self.next_event()

    cdef int _finish(self) noexcept nogil:
        """Which message this is, by the names that it has."""
        if fc_likely(self._frame.seen & FC_NAME_BIT(NAME_TOPIC)):
            if self._frame.have & FC_NAME_BIT(NAME_TOPIC):
                return self._finish_topic()
            return E_MALFORMED
        if not self._frame.seen & FC_NAME_BIT(NAME_OP):
            return E_UNKNOWN
        return self._finish_op() if self._frame.have & FC_NAME_BIT(NAME_OP) else E_MALFORMED

    cdef int _finish_topic(self) noexcept nogil:
        cdef const Text* topic = &self._frame.topic
        cdef int64_t at = 10
        if _under(topic, b"orderbook", 9) and topic.size > 10:
            while at < topic.size and <uint8_t> (topic.at[at] - 48) < 10:
                at += 1
            if at == 10 or at == topic.size or topic.at[at] != 46:
                return E_UNKNOWN           # such as orderbook.rpi
            return self._finish_book(at == 11 and topic.at[10] == 49)
        if _under(topic, b"publicTrade", 11):
            return self._finish_items(TRADES)
        if _under(topic, b"execution", 9):
            return self._finish_items(EXECUTIONS)
        if _under(topic, b"order", 5):
            return self._finish_items(ORDERS)
        if _under(topic, b"position", 8):
            return self._finish_items(POSITIONS)
        if text_is(topic, b"wallet", 6):
            return EV_IGNORED if self._owner.quote_asset.size == 0 else self._finish_items(WALLETS)
        return EV_IGNORED if fc_bybit_ignores(topic.at, topic.size) else E_UNKNOWN

    cdef int _check(self, int name) noexcept nogil:
        """OK, or why the name's value can't be used."""
        if fc_likely(self._frame.have & FC_NAME_BIT(name)):
            return OK
        if self._frame.full & FC_NAME_BIT(name):
            return E_FULL
        return E_RANGE if self._frame.off & FC_NAME_BIT(name) else E_MALFORMED

    # -- BOOKS ---

    cdef int _finish_book(self, bint is_best) noexcept nogil:
        cdef Frame* frame = &self._frame
        cdef DepthEvent* depth = &self.event.depth
        cdef BestEvent* best = &self.event.best
        cdef bint is_delta, has_cts
        cdef seq_t cross_seq = 0
        cdef int code = self._check(NAME_s)
        if fc_unlikely(code != OK):
            return code
        if (frame.symbol.size != self._owner.symbol.size or memcmp(
                frame.symbol.at, self._owner.symbol.at, <size_t> frame.symbol.size) != 0):
            return E_OTHER_SYMBOL
        if fc_unlikely(self._check(NAME_TYPE) != OK):
            return E_MALFORMED
        is_delta = text_is(&frame.type, b"delta", 5)
        if fc_unlikely(not is_delta and not text_is(&frame.type, b"snapshot", 8)):
            return E_MALFORMED
        has_cts = frame.seen & FC_NAME_BIT(NAME_CTS) != 0
        code = self._check(NAME_u)
        if fc_likely(code == OK and frame.seen & FC_NAME_BIT(NAME_SEQ)):
            code = self._check(NAME_SEQ)
            cross_seq = frame.cross_seq
        if fc_likely(code == OK):
            code = self._check(NAME_CTS if has_cts else NAME_TS)
        if fc_likely(code == OK):
            code = ms_to_ns(frame.cts_ms if has_cts else frame.ts_ms, &depth.exch_ts_ns)
        if fc_likely(code == OK):
            code = self._check(NAME_b)
        if fc_likely(code == OK):
            code = self._check(NAME_a)
        if fc_unlikely(code != OK):
            return code
        if is_best:
            if is_delta or frame.bid_count > 1 or frame.ask_count > 1:
                return E_MALFORMED
            best.update_id = cross_seq
            best.exch_ts_ns = depth.exch_ts_ns
            best.bid_px_ticks = frame.bids[0].px_ticks if frame.bid_count else 0
            best.bid_qty_lots = frame.bids[0].qty_lots if frame.bid_count else 0
            best.ask_px_ticks = frame.asks[0].px_ticks if frame.ask_count else 0
            best.ask_qty_lots = frame.asks[0].qty_lots if frame.ask_count else 0
            return EV_BEST
        depth.first_update_id = frame.update_id
        depth.final_update_id = frame.update_id
        depth.prev_final_update_id = -1
        depth.cross_seq = cross_seq
        depth.bid_count = <int> frame.bid_count
        depth.ask_count = <int> frame.ask_count
        depth.bids = frame.bids
        depth.asks = frame.asks
        return EV_DEPTH if is_delta and frame.update_id != 1 else EV_SNAPSHOT

    # -- ARRAYS ---

    cdef int _finish_items(self, int what) noexcept nogil:
        cdef const uint8_t* cursor = self._frame.items
        cdef bint is_other = False
        cdef bint is_useless = False
        cdef int code
        self._count = 0
        if fc_unlikely(self._check(NAME_DATA) != OK or cursor == NULL):
            return E_MALFORMED
        while True:
            code = next_item(&cursor, self._frame.end, &self._item)
            if code == 0:
                break
            if fc_likely(code > 0):
                code = self._read_item(what)
            if code == E_OTHER_SYMBOL:
                is_other = True
            elif code == NOT_A_TRADE:
                is_useless = True
            elif fc_unlikely(code != OK):
                return code
        if self._count == 0:
            return E_OTHER_SYMBOL if is_other and not is_useless else EV_IGNORED
        if what == TRADES:
            return self._give(EV_TRADE)
        return self._give(EV_ORDER if what <= EXECUTIONS else EV_ACCOUNT)

    cdef int _read_item(self, int what) noexcept nogil:
        """One item into the store; OK when it is there."""
        cdef int code
        if what == WALLETS:
            return self._read_coins()
        if fc_unlikely(self._count == (ACCOUNTS_MAX if what == POSITIONS else ITEMS_MAX)):
            return E_FULL
        if what == TRADES:
            code = read_trade(&self._item, &self._owner, &self._trades[self._count])
        elif what == ORDERS:
            code = read_order(&self._item, &self._owner, &self._orders[self._count])
        elif what == EXECUTIONS:
            code = read_execution(&self._item, &self._owner, &self._orders[self._count])
        else:
            code = read_position(&self._item, &self._owner, &self._accounts[self._count])
        self._count += code == OK
        return code

    cdef int _read_coins(self) noexcept nogil:
        """Our coin's balance of one account of a wallet push, where it has it."""
        cdef const uint8_t* cursor
        cdef AccountEvent* account
        cdef int code = self._check(NAME_CREATION_TIME)
        if code != OK:
            return code
        if not self._item.seen & FC_NAME_BIT(NAME_COIN) or self._item.at[NAME_COIN][0] != 91:
            return E_MALFORMED
        cursor = self._item.at[NAME_COIN]
        while True:
            code = next_item(&cursor, self._frame.end, &self._item)
            if code <= 0:
                return code if code < 0 or self._count else E_OTHER_SYMBOL
            if self._count == ACCOUNTS_MAX:
                return E_FULL
            account = &self._accounts[self._count]
            code = read_coin(&self._item, &self._owner, account)
            if code == OK:
                code = ms_to_ns(self._frame.creation_ms, &account.exch_ts_ns)
            if code == OK:
                self._count += 1
            elif code != E_OTHER_SYMBOL:
                return code

    # -- OPERATIONS ---

    cdef int _finish_op(self) noexcept nogil:
        cdef const Text* op = &self._frame.op
        if text_is(op, b"order.create", 12) or text_is(op, b"order.amend", 11) or (
                text_is(op, b"order.cancel", 12)):
            return read_reply(&self._frame, &self.event.reply)
        if text_is(op, b"order.create-batch", 18):
            return self._finish_batch(VERB_PLACE)
        if text_is(op, b"order.amend-batch", 17):
            return self._finish_batch(VERB_MODIFY)
        if text_is(op, b"order.cancel-batch", 18):
            return self._finish_batch(VERB_CANCEL)
        if text_is(op, b"ping", 4) or text_is(op, b"pong", 4):
            return EV_IGNORED
        if text_is(op, b"auth", 4) or text_is(op, b"subscribe", 9) or (
                text_is(op, b"unsubscribe", 11)):
            return read_session(&self._frame, &self.event.reply)
        return E_UNKNOWN

    cdef int _finish_batch(self, int verb) noexcept nogil:
        """The orders' own replies; or one for all, where the batch was refused as a whole."""
        cdef int code = read_reply(&self._frame, &self.event.reply)
        if code < 0:
            return code
        code = read_batch(
            &self._frame, &self._owner, verb, &self._item, self._replies, REPLIES_MAX)
        if code < 0:
            return code
        if code == 0:
            return EV_REPLY
        self._count = code
        return self._give(EV_REPLY)

    cdef int64_t safe_text(self, const uint8_t** out) noexcept nogil:
        """The answer to an auth: no documented one names the key, but it is free text."""
        cdef const ReplyEvent* reply = &self.event.reply
        out[0] = <const uint8_t*> self._safe_text
        return snprintf(self._safe_text, SAFE_TEXT_SIZE, b'{"success":%s,"retCode":%d,"op":"auth"}',
                        b"true" if reply.status == 200 else b"false", <int> reply.error_code)

    # -- PYTHON ---

    def safe_bytes(self) -> bytes:
        """What a journal may hold in place of the last message; see base.pxd."""
        cdef const uint8_t* at
        cdef int64_t size = self.safe_text(&at)
        return at[:size]

    def decode_bytes(self, bytes buf not None) -> tuple[int, dict[str, object]]:
        """Decode one message: (EventKind, fields of its first event), or (negative Code, {})."""
        cdef int kind = self.decode(buf, len(buf))
        if kind < 0:
            return Code(kind), {}
        return EventKind(kind), event_dict(&self.event)

    def next_event_bytes(self) -> tuple[int, dict[str, object]]:
        """The next event of the last message: (EventKind, fields); EventKind.NONE: no more."""
        return EventKind(self.next_event()), event_dict(&self.event)

    def decode_all_bytes(self, bytes buf not None) -> tuple[int, list[dict[str, object]]]:
        """Decode one message: (EventKind, fields of all its events), or (negative Code, [])."""
        cdef int kind = self.decode(buf, len(buf))
        cdef list events = []
        if kind < 0:
            return Code(kind), events
        events.append(event_dict(&self.event))
        while self.pending:
            self.next_event()
            events.append(event_dict(&self.event))
        return EventKind(kind), events

    def bench_decode(self, bytes buf not None, int64_t count) -> int:
        """Decode `buf` and take its events `count` times; how many events. For benches."""
        cdef const uint8_t* at = buf
        cdef int64_t size = len(buf)
        cdef int64_t given = 0
        with nogil:
            for _ in range(count):
                given += self.decode(at, size) > 0
                while self.pending > 0:
                    given += self.next_event() > 0
        return given


# -- COLD ---

cdef int check_category(str category) except -1:
    if category not in ("linear", "spot"):
        raise ValueError(f"category must be 'linear' or 'spot', not {category!r}")
    return 0


cdef int _check_asset(str name, str asset) except -1:
    if len(asset) > ASSET_SIZE_MAX or not all(
            "A" <= char <= "Z" or "0" <= char <= "9" for char in asset):
        raise ValueError(
            f"{name} must be at most {ASSET_SIZE_MAX} of A-Z and 0-9, as in 'USDT', not {asset!r}")
    return 0


cdef bytes _kept(str text, Text* out):
    """The text's bytes, which the caller keeps while `out` points into them."""
    cdef bytes raw = text.encode("ascii")
    out.at = raw
    out.size = len(raw)
    return raw
