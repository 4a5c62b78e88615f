# cython: language_level=3
# cython: auto_pickle=False
"""Order requests of Binance's WebSocket API, signed, framed and masked in one go.

    {"id":"100000000002a","method":"order.place","params":{"apiKey":"<key>",
     "newClientOrderId":"tm0123abcd-01-00000000002a","price":"61800.2",
     "quantity":"0.010","recvWindow":5000,"side":"BUY","symbol":"BTCUSDT","timeInForce":"GTX",
     "timestamp":1723161256313,"type":"LIMIT","signature":"<64 hexadecimal digits>"}}

What is signed is every other parameter as `name=value`, by name, joined by `&`: the names above
stand in that order already, so both texts grow side by side. Their heads never change but for the
12 digits of the intent: they are laid down once. Whole 64-byte blocks of the signed text up to the
client order id's first 14 characters are compressed into the HMAC's state when it is made.

newOrderRespType is left out: 21 bytes less save a compression of five. USD-M's default is ACK;
spot's is FULL for LIMIT and ACK for LIMIT_MAKER: the reply's decoder reads any. The signature
covers the age: the venue refuses a request that is older than recvWindow when it arrives.

  verb         USD-M                       spot
  place        order.place; post-only GTX  order.place; post-only is the type LIMIT_MAKER
  modify       order.modify                E_UNSUPPORTED
  cancel       order.cancel                order.cancel
  status       order.status                order.status
  replace      E_UNSUPPORTED               order.cancelReplace, STOP_ON_FAILURE
  amend        E_UNSUPPORTED               order.amend.keepPriority: the quantity down
  cancel_all   E_UNSUPPORTED (REST only)   openOrders.cancelAll

A session that is logged on (session.logon, an Ed25519 key) signs nothing: without key and secret
the requests carry neither. An order that is amended keeps its client order id.

The key stands in the buffers of this object, and the secret only as HMAC states; neither can be
read from Python, and all of it is wiped when the object is freed. payload_bytes() blanks the key
and the signature. Masking keys (RFC 6455 section 5.3) come from a seeded xorshift64*, so that a
journal replays to the same bytes: to hide them from a proxy is TLS's work here.

Sources: developers.binance.com, usds-margined-futures, WebSocket API (general info: signed
requests; order.place, order.modify, order.cancel, order.status); binance-spot-api-docs,
web-socket-api.md (the same, order.cancelReplace, order.amend.keepPriority, openOrders.cancelAll).
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.codec.binance_check cimport (
    check_client_prefix, check_credential, check_recv_window, check_scale, check_symbol,
)
from fastcore.codec.binance_reply cimport INTENT_DIGITS
from fastcore.codec.binance_request cimport (
    JSON_SIZE_MAX, TEXT_SIZE_MAX, Request, begin_request, fill_piece, fill_request,
    forget_request, is_intent, put, put_intent, put_piece, put_uint,
)
from fastcore.fixed cimport UNITS_TEXT_MAX, format_units
from fastcore.sha256 cimport SHA256_HEX_SIZE, Hmac
from fastcore.types cimport (
    E_FULL, E_RANGE, E_UNSUPPORTED, ORDER_IOC, ORDER_POST_ONLY, ORDER_REDUCE_ONLY, SIDE_BUY,
    SIDE_SELL, VERB_CANCEL, VERB_CANCEL_ALL, VERB_MODIFY, VERB_PLACE, VERB_REPLACE, VERB_STATUS,
    px_t, qty_t, seq_t,
)
from fastcore.ws cimport WS_HEADER_MAX, WS_TEXT, ws_frame, ws_header_size

cdef enum:
    FRAME_SIZE_MAX = JSON_SIZE_MAX + WS_HEADER_MAX
    MODIFIES = 8               # beside ORDER_*, for _order only: neither tif nor type
    TERMS_BITS = ORDER_POST_ONLY | ORDER_IOC | MODIFIES


@cython.final
@cython.no_gc
cdef class Encoder(EncoderBase):
    """Encoder of one instrument's requests, for one key or one logged-on session.

    symbol, tick, lot: as Decoder's. client_prefix: first 14 characters of our client order ids.
    api_key: 1 to 128 of A-Z, a-z, 0-9, _ and -. secret: 1 to 256 bytes. Both b"": the session is
    logged on. recv_window_ms: 1 to 60000. mask_seed: any 64-bit number; same seed, same masking
    keys. venue: "binance_usdm" or "binance_spot".
    ValueError if any is not that; it never holds the key or the secret.
    """

    def __cinit__(
        self, str symbol not None, str tick not None, str lot not None,
        str client_prefix not None, bytes api_key not None, bytes secret not None,
        int64_t recv_window_ms, mask_seed, str venue not None="binance_usdm",
    ):
        cdef bytes head
        check_symbol(symbol)
        check_scale("tick", tick, &self._px_scale)
        check_scale("lot", lot, &self._qty_scale)
        check_client_prefix(client_prefix)
        self._is_signed = len(api_key) > 0 or len(secret) > 0
        if self._is_signed:
            check_credential(api_key, secret)
        check_recv_window(recv_window_ms)
        if venue not in ("binance_usdm", "binance_spot"):
            raise ValueError(f"venue must be 'binance_usdm' or 'binance_spot', not {venue!r}")
        self._is_spot = venue == "binance_spot"
        self.can_modify = not self._is_spot
        self._symbol = symbol
        self._mask_state = mask_seed & 0xFFFF_FFFF_FFFF_FFFF or 0x9E37_79B9_7F4A_7C15
        prefix = client_prefix.encode("ascii")
        self.key_size = len(api_key)
        head = b"apiKey=%b&" % api_key if self._is_signed else b""
        self._place_hmac = Hmac(secret, b"%bnewClientOrderId=%b" % (head, prefix))
        self._query_hmac = Hmac(secret, b"%borigClientOrderId=%b" % (head, prefix))
        self._replace_hmac = Hmac(secret, b"%bcancelOrigClientOrderId=%b" % (head, prefix))
        self._all_hmac = Hmac(secret, b"%brecvWindow=%d&symbol=" % (head, recv_window_ms))
        self._lay_down(api_key, prefix, symbol.encode("ascii"), recv_window_ms)

    cdef int _lay_down(
        self, bytes api_key, bytes prefix, bytes symbol, int64_t recv_window_ms
    ) except -1:
        """Everything that stays the same from call to call."""
        cdef bytes window = b"%d" % recv_window_ms
        cdef list timed = [(b"recvWindow", recv_window_ms), (b"symbol", symbol)]
        cdef list named = [(b"origClientOrderId", None)]
        fill_piece(&self._json_window, b'","recvWindow":%b,' % window)
        fill_piece(&self._text_window, b"&recvWindow=%b" % window)
        for flags in range(TERMS_COUNT):
            self._lay_down_terms(flags, symbol)
        fill_piece(&self._json_amend, b'","origClientOrderId":"%b' % prefix)
        fill_piece(&self._text_amend, b"&origClientOrderId=%b" % prefix)
        fill_piece(&self._json_timed, b'","recvWindow":%b,"symbol":"%b","timestamp":'
                   % (window, symbol))
        fill_piece(&self._text_timed, b"&recvWindow=%b&symbol=%b&timestamp=" % (window, symbol))
        fill_request(&self._place, VERB_PLACE, b"order.place", api_key, prefix,
                     [(b"newClientOrderId", None)], b"price", True)
        fill_request(&self._cancel, VERB_CANCEL, b"order.cancel", api_key, prefix,
                     named + timed, b"timestamp", False)
        fill_request(&self._status, VERB_STATUS, b"order.status", api_key, prefix,
                     named + timed, b"timestamp", False)
        fill_request(&self._modify, VERB_MODIFY, b"order.modify", api_key, prefix,
                     named, b"price", True)
        fill_request(&self._amend, VERB_MODIFY, b"order.amend.keepPriority", api_key, prefix,
                     [(b"newClientOrderId", None)], b"newQty", True)
        fill_request(&self._replace, VERB_REPLACE, b"order.cancelReplace", api_key, prefix,
                     [(b"cancelOrigClientOrderId", None),
                      (b"cancelReplaceMode", b"STOP_ON_FAILURE"),
                      (b"newClientOrderId", None)], b"price", True)
        fill_request(&self._cancel_all, VERB_CANCEL_ALL, b"openOrders.cancelAll", api_key, prefix,
                     timed, b"timestamp", False)
        self.payload = self._place.json
        return 0

    cdef int _lay_down_terms(self, int flags, bytes symbol) except -1:
        """What stands around the timestamp. Post-only wins over IOC, as it can't take."""
        cdef bint is_maker = flags & ORDER_POST_ONLY
        cdef bytes tif = b"GTX" if is_maker else b"IOC" if flags & ORDER_IOC else b"GTC"
        cdef bytes kind = b"LIMIT_MAKER" if is_maker and self._is_spot else b"LIMIT"
        cdef bytes json_tif = b'"timeInForce":"%b",' % tif
        cdef bytes text_tif = b"&timeInForce=%b" % tif
        if flags & MODIFIES or (is_maker and self._is_spot):
            json_tif = text_tif = b""
        for side, word in ((SIDE_BUY, b"BUY"), (SIDE_SELL, b"SELL")):
            fill_piece(&self._json_terms[<int> side][flags],
                       b'"side":"%b","symbol":"%b",%b"timestamp":' % (word, symbol, json_tif))
            fill_piece(&self._text_terms[<int> side][flags],
                       b"&side=%b&symbol=%b%b&timestamp=" % (word, symbol, text_tif))
        fill_piece(&self._json_type[flags], b"" if flags & MODIFIES else b',"type":"%b"' % kind)
        fill_piece(&self._text_type[flags], b"" if flags & MODIFIES else b"&type=%b" % kind)
        return 0

    def __dealloc__(self):
        forget_request(&self._place)
        forget_request(&self._cancel)
        forget_request(&self._status)
        forget_request(&self._modify)
        forget_request(&self._amend)
        forget_request(&self._replace)
        forget_request(&self._cancel_all)

    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        """order.place, a limit order: post-only, ORDER_IOC, or GTC."""
        self.payload_size = 0
        if fc_unlikely(not is_intent(intent_id) or flags & MODIFIES):
            return E_RANGE
        begin_request(&self._place, intent_id)
        return self._order(&self._place, self._place_hmac, out, room, side, px_ticks, qty_lots,
                           flags, utc_ms)

    cdef int64_t modify(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int64_t utc_ms
    ) noexcept nogil:
        """order.modify: price and quantity (filled part included) of the order of this intent.

        Its place in the queue is lost. `side` must be the order's.
        """
        self.payload_size = 0
        if fc_unlikely(self._is_spot):
            return E_UNSUPPORTED
        if fc_unlikely(not is_intent(intent_id)):
            return E_RANGE
        begin_request(&self._modify, intent_id)
        return self._order(&self._modify, self._query_hmac, out, room, side, px_ticks, qty_lots,
                           MODIFIES, utc_ms)

    cdef int64_t replace(
        self, uint8_t* out, int64_t room, seq_t cancel_intent_id, seq_t intent_id, int side,
        px_t px_ticks, qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        """order.cancelReplace (spot): cancel one intent's order, then place another.

        The new one is not placed unless the old one was cancelled. The request's id is the new's.
        """
        cdef Request* request = &self._replace
        self.payload_size = 0
        if fc_unlikely(not self._is_spot):
            return E_UNSUPPORTED
        if fc_unlikely(not is_intent(intent_id) or not is_intent(cancel_intent_id)
                       or flags & MODIFIES):
            return E_RANGE
        begin_request(request, intent_id)
        put_intent(request.json + request.json_old, cancel_intent_id)
        put_intent(request.text + request.text_old, cancel_intent_id)
        return self._order(request, self._replace_hmac, out, room, side, px_ticks, qty_lots,
                           flags, utc_ms)

    cdef int64_t _order(
        self, Request* request, Hmac hmac, uint8_t* out, int64_t room, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        """From the price on, the head's intents being filled in. MODIFIES: no type, no tif."""
        cdef uint8_t* json = request.json + request.json_head_size
        cdef uint8_t* text = request.text + request.text_head_size
        cdef int size
        if fc_unlikely(utc_ms < 0 or side < SIDE_BUY or side > SIDE_SELL or px_ticks <= 0
                       or qty_lots <= 0):
            return E_RANGE
        if fc_unlikely(self._is_spot and flags & ORDER_REDUCE_ONLY):
            return E_UNSUPPORTED
        size = format_units(text, px_ticks, &self._px_scale)
        if fc_unlikely(size < 0):
            return E_RANGE
        memcpy(json, text, UNITS_TEXT_MAX)
        json = put(json + size, b'","quantity":"', 14)
        text = put(text + size, b"&quantity=", 10)
        size = format_units(text, qty_lots, &self._qty_scale)
        if fc_unlikely(size < 0):
            return E_RANGE
        memcpy(json, text, UNITS_TEXT_MAX)
        json = put_piece(json + size, &self._json_window)
        text = put_piece(text + size, &self._text_window)
        if flags & ORDER_REDUCE_ONLY:
            json = put(json, b'"reduceOnly":"true",', 20)
            text = put(text, b"&reduceOnly=true", 16)
        json = put_piece(json, &self._json_terms[side][flags & TERMS_BITS])
        text = put_piece(text, &self._text_terms[side][flags & TERMS_BITS])
        size = <int> (put_uint(text, utc_ms) - text)
        memcpy(json, text, <size_t> size)
        json = put_piece(json + size, &self._json_type[flags & TERMS_BITS])
        text = put_piece(text + size, &self._text_type[flags & TERMS_BITS])
        return self._finish(request, hmac, json, text, out, room)

    cdef int64_t amend(
        self, uint8_t* out, int64_t room, seq_t intent_id, qty_t qty_lots, int64_t utc_ms
    ) noexcept nogil:
        """order.amend.keepPriority (spot): a smaller quantity (filled part included)."""
        cdef Request* request = &self._amend
        cdef uint8_t* json = request.json + request.json_head_size
        cdef uint8_t* text = request.text + request.text_head_size
        cdef int size
        self.payload_size = 0
        if fc_unlikely(not self._is_spot):
            return E_UNSUPPORTED
        if fc_unlikely(not is_intent(intent_id) or utc_ms < 0 or qty_lots <= 0):
            return E_RANGE
        begin_request(request, intent_id)
        size = format_units(text, qty_lots, &self._qty_scale)
        if fc_unlikely(size < 0):
            return E_RANGE
        memcpy(json, text, UNITS_TEXT_MAX)
        json = put_piece(json + size, &self._json_amend)
        text = put_piece(text + size, &self._text_amend)
        put_intent(json, intent_id)
        put_intent(text, intent_id)
        json = put_piece(json + INTENT_DIGITS, &self._json_timed)
        text = put_piece(text + INTENT_DIGITS, &self._text_timed)
        size = <int> (put_uint(text, utc_ms) - text)
        memcpy(json, text, <size_t> size)
        return self._finish(request, self._place_hmac, json + size, text + size, out, room)

    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        """order.cancel, by the client order id of the order placed with this intent."""
        return self._query(&self._cancel, self._query_hmac, out, room, intent_id, utc_ms)

    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        """order.status, by the client order id of the order placed with this intent."""
        return self._query(&self._status, self._query_hmac, out, room, intent_id, utc_ms)

    cdef int64_t cancel_all(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        """openOrders.cancelAll (spot) of our symbol. The intent only marks the reply."""
        self.payload_size = 0
        if fc_unlikely(not self._is_spot):
            return E_UNSUPPORTED
        return self._query(&self._cancel_all, self._all_hmac, out, room, intent_id, utc_ms)

    cdef int64_t _query(
        self, Request* request, Hmac hmac, uint8_t* out, int64_t room, seq_t intent_id,
        int64_t utc_ms
    ) noexcept nogil:
        cdef uint8_t* json = request.json + request.json_head_size
        cdef uint8_t* text = request.text + request.text_head_size
        cdef uint8_t* text_end
        self.payload_size = 0
        if fc_unlikely(not is_intent(intent_id) or utc_ms < 0):
            return E_RANGE
        if request.json_intent > 0:
            begin_request(request, intent_id)
        else:
            put_intent(request.json + request.json_id, intent_id)
        text_end = put_uint(text, utc_ms)
        memcpy(json, text, <size_t> (text_end - text))
        return self._finish(request, hmac, json + (text_end - text), text_end, out, room)

    cdef int64_t _finish(
        self, Request* request, Hmac hmac, uint8_t* json, const uint8_t* text_end,
        uint8_t* out, int64_t room
    ) noexcept nogil:
        """Sign, close the JSON, frame and mask it. `json` is after its last signed parameter."""
        cdef uint8_t* signature = json
        cdef int64_t size
        if self._is_signed:
            signature = put(json, b',"signature":"', 14)
            json = put(signature + SHA256_HEX_SIZE, b'"', 1)
        size = put(json, b"}}", 2) - request.json
        FC_DCHECK(size <= JSON_SIZE_MAX and text_end - request.text <= TEXT_SIZE_MAX)
        if fc_unlikely(ws_header_size(size) + size > room):
            return E_FULL
        if self._is_signed:
            hmac.hex_digest(request.text, text_end - request.text, signature)
        self.payload = request.json
        self.payload_size = size
        self.key_offset = request.json_key
        self.sig_offset = signature - request.json
        self.sig_size = SHA256_HEX_SIZE if self._is_signed else 0
        return ws_frame(out, WS_TEXT, request.json, size, self._mask_key())

    cdef uint32_t _mask_key(self) noexcept nogil:
        """The next masking key: Vigna's xorshift64*, upper half."""
        self._mask_state ^= self._mask_state >> 12
        self._mask_state ^= self._mask_state << 25
        self._mask_state ^= self._mask_state >> 27
        return <uint32_t> ((self._mask_state * <uint64_t> 0x2545F4914F6CDD1D) >> 32)

    # -- PYTHON ---

    def place_bytes(
        self, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots, int flags,
        int64_t utc_ms, int64_t room=FRAME_SIZE_MAX,
    ) -> bytes:
        """Masked frame of order.place. ValueError: an argument out of range, or no room."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.place(
            out, min(room, FRAME_SIZE_MAX), intent_id, side, px_ticks, qty_lots, flags,
            utc_ms))

    def cancel_bytes(self, seq_t intent_id, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX) -> bytes:
        """Masked frame of order.cancel. ValueError: an argument out of range, or no room."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.cancel(out, min(room, FRAME_SIZE_MAX), intent_id, utc_ms))

    def status_bytes(self, seq_t intent_id, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX) -> bytes:
        """Masked frame of order.status. ValueError: an argument out of range, or no room."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.status(out, min(room, FRAME_SIZE_MAX), intent_id, utc_ms))

    def modify_bytes(
        self, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots, int64_t utc_ms,
        int64_t room=FRAME_SIZE_MAX,
    ) -> bytes:
        """Masked frame of order.modify. ValueError: out of range, no room, or spot."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.modify(
            out, min(room, FRAME_SIZE_MAX), intent_id, side, px_ticks, qty_lots, utc_ms))

    def replace_bytes(
        self, seq_t cancel_intent_id, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots,
        int flags, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX,
    ) -> bytes:
        """Masked frame of order.cancelReplace. ValueError: out of range, no room, or not spot."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.replace(
            out, min(room, FRAME_SIZE_MAX), cancel_intent_id, intent_id, side, px_ticks,
            qty_lots, flags, utc_ms))

    def amend_bytes(
        self, seq_t intent_id, qty_t qty_lots, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX
    ) -> bytes:
        """Masked frame of order.amend.keepPriority. ValueError: as replace_bytes."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.amend(
            out, min(room, FRAME_SIZE_MAX), intent_id, qty_lots, utc_ms))

    def cancel_all_bytes(
        self, seq_t intent_id, int64_t utc_ms, int64_t room=FRAME_SIZE_MAX
    ) -> bytes:
        """Masked frame of openOrders.cancelAll. ValueError: as replace_bytes."""
        cdef uint8_t[FRAME_SIZE_MAX] out
        return _checked(out, self.cancel_all(out, min(room, FRAME_SIZE_MAX), intent_id, utc_ms))

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
        return f"<Encoder {self._symbol}>"

    def __reduce__(self):
        raise TypeError("an Encoder holds a key: it cannot be pickled or copied")


# -- COLD ---

cdef bytes _checked(const uint8_t* out, int64_t size):
    if size == E_RANGE:
        raise ValueError("intent, side, price, quantity or time is out of range")
    if size == E_UNSUPPORTED:
        raise ValueError("this venue's WebSocket API has no such request")
    if size == E_FULL:
        raise ValueError("the frame needs more room")
    return out[:size]
