# cython: language_level=3
# cython: auto_pickle=False
"""Order requests of Bybit's trade WebSocket, written, framed and masked in one go.

    {"reqId":"100000000002a-0191346a2179","header":{"X-BAPI-TIMESTAMP":"1723161256313",
     "X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear","symbol":
     "BTCUSDT","orderLinkId":"tm0123abcd-01-00000000002a","side":"Buy","orderType":"Limit",
     "qty":"0.010","price":"61800.2","timeInForce":"PostOnly"}]}

The session is authenticated once, by auth(): orders are not signed. The header's timestamp is
checked against the receive window: the venue refuses what arrives too late.

reqId: verb digit, the intent's 12 hexadecimal digits, "-", 12 of the time. The venue refuses an id
that it has seen (20006), and an order may be amended or cancelled more than once: verb and intent
alone would not do. A batch has VERB_BATCH and the intent of its first order.

An amend carries price and quantity (the whole quantity, not what is left) under the same client
order id. There is no query on this connection: status() is E_UNSUPPORTED, bybit_rest.py asks.
Spot knows no reduceOnly: E_RANGE. PostOnly wins over IOC, as it can't take.

The key stands in this object, and the secret only as HMAC states; neither can be read from Python,
and all of it is wiped when the object is freed. payload_bytes() blanks key and signature of an
auth. Masking keys (RFC 6455 section 5.3) come from a seeded xorshift64*, so that a journal replays
to the same bytes: to hide them from a proxy is TLS's work here.
Source: bybit-exchange.github.io/docs/v5, websocket trade guideline; connect (authentication,
heartbeat); place, amend and cancel order, and their batches.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.codec.binance_check cimport check_client_prefix, check_scale, check_symbol
from fastcore.codec.binance_reply cimport INTENT_DIGITS
from fastcore.codec.bybit_decode cimport check_category
from fastcore.codec.text cimport fc_wipe_text, write_hex, write_text, write_uint
from fastcore.fixed cimport format_units
from fastcore.sha256 cimport SHA256_HEX_SIZE, Hmac
from fastcore.types cimport (
    E_FULL, E_RANGE, E_UNSUPPORTED, ORDER_IOC, ORDER_POST_ONLY, ORDER_REDUCE_ONLY, SIDE_BUY,
    SIDE_SELL, VERB_BATCH, VERB_CANCEL, VERB_MODIFY, VERB_PLACE, px_t, qty_t, seq_t,
)
from fastcore.ws cimport WS_HEADER_MAX, WS_TEXT, ws_frame, ws_header_size

cdef enum:
    FRAME_SIZE_MAX = JSON_SIZE_MAX + WS_HEADER_MAX
    INTENT_BITS = 4 * INTENT_DIGITS
    TIME_DIGITS = 12           # milliseconds up to the year 10889
    TIME_BITS = 4 * TIME_DIGITS
    RECV_WINDOW_MS_MAX = 60000
    REALTIME_SIZE = 12         # of "GET/realtime"


cdef inline uint8_t* _put_piece(uint8_t* p, const Piece* piece) noexcept nogil:
    memcpy(p, piece.data, PIECE_SIZE_MAX)  # a constant size is a few moves; more is overwritten
    return p + piece.size


@cython.final
@cython.no_gc
cdef class BybitEncoder(EncoderBase):
    """Encoder of one instrument's requests, for one key.

    symbol, tick, lot, category: as BybitDecoder's. client_prefix: first 14 characters of our
    client order ids. api_key: 1 to 128 of A-Z, a-z, 0-9, _ and -. secret: 1 to 256 bytes.
    recv_window_ms: 1 to 60000. mask_seed: any 64-bit number; same seed, same masking keys.
    ValueError if any is not that; it never holds the key or the secret.
    """

    def __cinit__(
        self, str symbol not None, str tick not None, str lot not None,
        str client_prefix not None, bytes api_key not None, bytes secret not None,
        int64_t recv_window_ms, mask_seed, str category not None="linear",
    ):
        check_symbol(symbol)
        check_scale("tick", tick, &self._px_scale)
        check_scale("lot", lot, &self._qty_scale)
        check_client_prefix(client_prefix)
        check_category(category)
        _check_credential(api_key, secret)
        if not 0 < recv_window_ms <= RECV_WINDOW_MS_MAX:
            raise ValueError(
                f"recv_window_ms must be 1 to {RECV_WINDOW_MS_MAX}, not {recv_window_ms}")
        self._name = symbol
        self._mask_state = mask_seed & 0xFFFF_FFFF_FFFF_FFFF or 0x9E37_79B9_7F4A_7C15
        self._is_linear = category == "linear"
        self._batch_max = BATCH_MAX_LINEAR if self._is_linear else BATCH_MAX_SPOT
        self._hmac = Hmac(secret, b"GET/realtime")
        self._api_key_size = len(api_key)
        memcpy(self._api_key, <const uint8_t*> api_key, <size_t> len(api_key))
        memset(self._json, 0, JSON_SIZE_MAX)
        _fill(&self._window, b'","X-BAPI-RECV-WINDOW":"%d"},"op":"order.' % recv_window_ms)
        _fill(&self._category, b'"category":"%b",' % category.encode())
        _fill(&self._symbol, b'"symbol":"%b","orderLinkId":"%b' % (
            symbol.encode(), client_prefix.encode()))
        self.can_modify = True
        self.payload = self._json

    def __dealloc__(self):
        fc_wipe_text(self._api_key, API_KEY_SIZE_MAX)
        fc_wipe_text(self._json, JSON_SIZE_MAX)

    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        """order.create, a limit order: PostOnly, IOC or, without either flag, GTC."""
        cdef BatchOrder order
        order.intent_id = intent_id
        order.px_ticks = px_ticks
        order.qty_lots = qty_lots
        order.side = side
        order.flags = flags
        return self._one(out, room, VERB_PLACE, &order, utc_ms)

    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms
    ) noexcept nogil:
        """order.amend of the order placed with this intent; its side can't change."""
        cdef BatchOrder order
        order.intent_id = intent_id
        order.px_ticks = px_ticks
        order.qty_lots = qty_lots
        order.side = side
        order.flags = 0
        return self._one(out, room, VERB_MODIFY, &order, utc_ms)

    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        """order.cancel, by the client order id of the order placed with this intent."""
        cdef BatchOrder order
        memset(&order, 0, sizeof(BatchOrder))
        order.intent_id = intent_id
        return self._one(out, room, VERB_CANCEL, &order, utc_ms)

    cdef int64_t place_batch(
        self, uint8_t* out, int64_t room, const BatchOrder* orders, int count, int64_t utc_ms
    ) noexcept nogil:
        """order.create-batch. The venue may take some of the orders and refuse others."""
        return self._batch(out, room, VERB_PLACE, orders, count, utc_ms)

    cdef int64_t modify_batch(
        self, uint8_t* out, int64_t room, const BatchOrder* orders, int count, int64_t utc_ms
    ) noexcept nogil:
        return self._batch(out, room, VERB_MODIFY, orders, count, utc_ms)

    cdef int64_t cancel_batch(
        self, uint8_t* out, int64_t room, const BatchOrder* orders, int count, int64_t utc_ms
    ) noexcept nogil:
        return self._batch(out, room, VERB_CANCEL, orders, count, utc_ms)

    cdef int64_t auth(self, uint8_t* out, int64_t room, int64_t expires_ms) noexcept nogil:
        """{"op":"auth","args":["<key>",expires,"<signature of GET/realtime and expires>"]}"""
        cdef uint8_t[REALTIME_SIZE + 20] text
        cdef uint8_t* text_end
        cdef uint8_t* p
        cdef int64_t size
        self.payload_size = 0
        if fc_unlikely(expires_ms < 0):
            return E_RANGE
        text_end = write_uint(write_text(text, b"GET/realtime", REALTIME_SIZE), expires_ms)
        p = write_text(self._json, b'{"op":"auth","args":["', 22)
        p = write_text(p, <const char*> self._api_key, self._api_key_size)
        p = write_uint(write_text(p, b'",', 2), expires_ms)
        p = write_text(p, b',"', 2)
        self._hmac.hex_digest(text, text_end - text, p)
        size = self._finish(out, room, write_text(p + SHA256_HEX_SIZE, b'"]}', 3))
        if size > 0:
            self.key_offset = 22
            self.key_size = self._api_key_size
            self.sig_offset = p - self._json
            self.sig_size = SHA256_HEX_SIZE
        return size

    cdef int64_t ping(self, uint8_t* out, int64_t room) noexcept nogil:
        self.payload_size = 0
        return self._finish(out, room, write_text(self._json, b'{"op":"ping"}', 13))

    # -- WRITERS ---

    cdef uint8_t* _begin(self, int verb, seq_t intent_id, int64_t utc_ms) noexcept nogil:
        """All up to the operation's name, `order.`."""
        cdef uint8_t* p = write_text(self._json, b'{"reqId":"', 10)
        p[0] = 48 + <uint8_t> verb
        p = write_hex(p + 1, intent_id, INTENT_DIGITS)
        p[0] = 45
        p = write_hex(p + 1, utc_ms, TIME_DIGITS)
        p = write_text(p, b'","header":{"X-BAPI-TIMESTAMP":"', 32)
        return _put_piece(write_uint(p, utc_ms), &self._window)

    cdef uint8_t* _put_order(self, uint8_t* p, int verb, const BatchOrder* order) noexcept nogil:
        """The order's names, from symbol to the closing brace; NULL: out of range."""
        cdef int size
        if fc_unlikely(order.intent_id < 0 or order.intent_id >> INTENT_BITS != 0):
            return NULL
        p = _put_piece(p, &self._symbol)
        p = write_hex(p, order.intent_id, INTENT_DIGITS)
        if verb == VERB_CANCEL:
            return write_text(p, b'"}', 2)
        if fc_unlikely(
                order.side < SIDE_BUY or order.side > SIDE_SELL or order.px_ticks <= 0
                or order.qty_lots <= 0
                or (order.flags & ORDER_REDUCE_ONLY and not self._is_linear)):
            return NULL
        if verb == VERB_PLACE:
            if order.side == SIDE_BUY:
                p = write_text(p, b'","side":"Buy","orderType":"Limit', 33)
            else:
                p = write_text(p, b'","side":"Sell","orderType":"Limit', 34)
        p = write_text(p, b'","qty":"', 9)
        size = format_units(p, order.qty_lots, &self._qty_scale)
        if fc_unlikely(size < 0):
            return NULL
        p = write_text(p + size, b'","price":"', 11)
        size = format_units(p, order.px_ticks, &self._px_scale)
        if fc_unlikely(size < 0):
            return NULL
        p += size
        if verb == VERB_PLACE:
            if order.flags & ORDER_POST_ONLY:
                p = write_text(p, b'","timeInForce":"PostOnly', 25)
            elif order.flags & ORDER_IOC:
                p = write_text(p, b'","timeInForce":"IOC', 20)
            else:
                p = write_text(p, b'","timeInForce":"GTC', 20)
            if order.flags & ORDER_REDUCE_ONLY:
                return write_text(p, b'","reduceOnly":true}', 20)
        return write_text(p, b'"}', 2)

    cdef int64_t _one(
        self, uint8_t* out, int64_t room, int verb, const BatchOrder* order, int64_t utc_ms
    ) noexcept nogil:
        cdef uint8_t* p
        self.payload_size = 0
        if fc_unlikely(utc_ms < 0 or utc_ms >> TIME_BITS != 0):
            return E_RANGE
        p = self._begin(verb, order.intent_id, utc_ms)
        if verb == VERB_PLACE:
            p = write_text(p, b'create","args":[{', 17)
        elif verb == VERB_MODIFY:
            p = write_text(p, b'amend","args":[{', 16)
        else:
            p = write_text(p, b'cancel","args":[{', 17)
        p = self._put_order(_put_piece(p, &self._category), verb, order)
        if fc_unlikely(p == NULL):
            return E_RANGE
        return self._finish(out, room, write_text(p, b"]}", 2))

    cdef int64_t _batch(
        self, uint8_t* out, int64_t room, int verb, const BatchOrder* orders, int count,
        int64_t utc_ms
    ) noexcept nogil:
        cdef uint8_t* p
        cdef int i
        self.payload_size = 0
        if fc_unlikely(count < 1 or count > self._batch_max or utc_ms < 0
                       or utc_ms >> TIME_BITS != 0):
            return E_RANGE
        p = self._begin(VERB_BATCH, orders[0].intent_id, utc_ms)
        if verb == VERB_PLACE:
            p = write_text(p, b'create-batch","args":[{', 23)
        elif verb == VERB_MODIFY:
            p = write_text(p, b'amend-batch","args":[{', 22)
        else:
            p = write_text(p, b'cancel-batch","args":[{', 23)
        p = write_text(_put_piece(p, &self._category), b'"request":[{', 12)
        for i in range(count):
            if i > 0:
                p = write_text(p, b",{", 2)
            p = self._put_order(p, verb, &orders[i])
            if fc_unlikely(p == NULL):
                return E_RANGE
        return self._finish(out, room, write_text(p, b"]}]}", 4))

    cdef int64_t _finish(self, uint8_t* out, int64_t room, const uint8_t* end) noexcept nogil:
        """Frame and mask what was written."""
        cdef int64_t size = end - self._json
        FC_DCHECK(size <= JSON_SIZE_MAX)
        self.key_offset = self.key_size = self.sig_offset = self.sig_size = 0
        if fc_unlikely(ws_header_size(size) + size > room):
            return E_FULL
        self.payload_size = size
        return ws_frame(out, WS_TEXT, self._json, size, self._mask_key())

    cdef uint32_t _mask_key(self) noexcept nogil:
        """The next masking key: Vigna's xorshift64*, upper half."""
        self._mask_state ^= self._mask_state >> 12
        self._mask_state ^= self._mask_state << 25
        self._mask_state ^= self._mask_state >> 27
        return <uint32_t> ((self._mask_state * <uint64_t> 0x2545F4914F6CDD1D) >> 32)

    # -- PYTHON: masked frames; ValueError: an argument out of range, no room, or no such verb ---

    def place_bytes(
        self, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots, int flags,
        int64_t utc_ms, int64_t room=FRAME_SIZE_MAX,
    ) -> bytes:
        """Masked frame of order.create."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.place(
            out, min(room, FRAME_SIZE_MAX), intent_id, side, px_ticks, qty_lots, flags, utc_ms))

    def modify_bytes(
        self, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots, int64_t utc_ms,
        int64_t room=FRAME_SIZE_MAX,
    ) -> bytes:
        """Masked frame of order.amend."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.modify(
            out, min(room, FRAME_SIZE_MAX), intent_id, side, px_ticks, qty_lots, utc_ms))

    def cancel_bytes(self, seq_t intent_id, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX) -> bytes:
        """Masked frame of order.cancel."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.cancel(out, min(room, FRAME_SIZE_MAX), intent_id, utc_ms))

    def status_bytes(self, seq_t intent_id, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX) -> bytes:
        """Always ValueError: this connection has no query."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.status(out, min(room, FRAME_SIZE_MAX), intent_id, utc_ms))

    def batch_bytes(
        self, int verb, list orders not None, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX
    ) -> bytes:
        """Masked frame of a batch: (intent, side, px_ticks, qty_lots, flags) of each order."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        cdef BatchOrder[BATCH_MAX_LINEAR] batch
        cdef int count = <int> len(orders)
        cdef int i
        if verb not in (VERB_PLACE, VERB_MODIFY, VERB_CANCEL):
            raise ValueError(f"verb of a batch must be PLACE, MODIFY or CANCEL, not {verb}")
        for i in range(min(count, BATCH_MAX_LINEAR)):
            (batch[i].intent_id, batch[i].side, batch[i].px_ticks, batch[i].qty_lots,
             batch[i].flags) = orders[i]
        room = min(room, FRAME_SIZE_MAX)
        if verb == VERB_PLACE:
            return _checked(out, self.place_batch(out, room, batch, count, utc_ms))
        if verb == VERB_MODIFY:
            return _checked(out, self.modify_batch(out, room, batch, count, utc_ms))
        return _checked(out, self.cancel_batch(out, room, batch, count, utc_ms))

    def auth_bytes(self, int64_t expires_ms, int64_t room=FRAME_SIZE_MAX) -> bytes:
        """Masked frame of auth. It holds the key: not to be written anywhere but to the venue."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.auth(out, min(room, FRAME_SIZE_MAX), expires_ms))

    def ping_bytes(self, int64_t room=FRAME_SIZE_MAX) -> bytes:
        """Masked frame of ping."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.ping(out, min(room, FRAME_SIZE_MAX)))

    def can_modify_orders(self) -> bool:
        return bool(self.can_modify)

    def bench_place(self, int64_t count) -> int:
        """Place `count` times, price and intent moving; bytes written in all. For benches."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        cdef int64_t total = 0
        cdef int64_t utc_ms = 1723161256313
        cdef int64_t i
        with nogil:
            for i in range(count):
                total += self.place(
                    out, FRAME_SIZE_MAX, i, SIDE_BUY, 618000 + (i & 63), 10,
                    ORDER_POST_ONLY, utc_ms + i)
        return total

    def __repr__(self) -> str:
        return f"<BybitEncoder {self._name}>"

    def __reduce__(self):
        raise TypeError("a BybitEncoder holds a key: it cannot be pickled or copied")


# -- COLD ---

cdef int _check_credential(bytes api_key, bytes secret) except -1:
    if not 0 < len(api_key) <= API_KEY_SIZE_MAX or not all(
            97 <= byte <= 122 or 65 <= byte <= 90 or 48 <= byte <= 57 or byte in b"_-"
            for byte in api_key):
        raise ValueError(f"api_key must be 1 to {API_KEY_SIZE_MAX} of A-Z, a-z, 0-9, _ and -")
    if not 0 < len(secret) <= SECRET_SIZE_MAX:
        raise ValueError(f"secret must be 1 to {SECRET_SIZE_MAX} bytes")
    return 0


cdef int _fill(Piece* piece, bytes data) except -1:
    if len(data) > PIECE_SIZE_MAX:
        raise ValueError("a constant part of the request is too long")
    piece.size = len(data)
    memcpy(piece.data, <const uint8_t*> data, <size_t> len(data))
    return 0


cdef bytes _checked(const uint8_t* out, int64_t size):
    if size == E_RANGE:
        raise ValueError("intent, side, price, quantity, flags, count or time is out of range")
    if size == E_FULL:
        raise ValueError("the frame needs more room")
    if size == E_UNSUPPORTED:
        raise ValueError("Bybit's trade connection has no such request")
    return out[:size]
