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

newOrderRespType is left out: ACK is the default, and 21 bytes less save a compression of five.
GTX is Binance's post-only. The signature covers the age: the venue refuses a request that is older
than recvWindow when it arrives.

The key stands in the buffers of this object, and the secret only as HMAC states; neither can be
read from Python, and all of it is wiped when the object is freed. payload_bytes() blanks the key
and the signature. Masking keys (RFC 6455 section 5.3) come from a seeded xorshift64*, so that a
journal replays to the same bytes: to hide them from a proxy is TLS's work here.

Source: developers.binance.com, usds-margined-futures, WebSocket API (general info: signed
requests; order.place, order.cancel, order.status).
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.codec.binance_check cimport check_client_prefix, check_scale, check_symbol
from fastcore.codec.binance_reply cimport INTENT_DIGITS
from fastcore.fixed cimport UNITS_TEXT_MAX, format_units
from fastcore.sha256 cimport SHA256_HEX_SIZE, Hmac
from fastcore.types cimport (
    E_FULL, E_RANGE, ORDER_POST_ONLY, ORDER_REDUCE_ONLY, SIDE_BUY, SIDE_SELL, VERB_CANCEL, VERB_PLACE, VERB_STATUS, px_t, qty_t,
    seq_t,
)
from fastcore.ws cimport WS_HEADER_MAX, WS_TEXT, ws_frame, ws_header_size

cdef extern from *:
    """
    /* A store that no optimiser may leave out. */
    static void fc_forget(void *at, size_t size) {
        volatile uint8_t *byte = (volatile uint8_t *) at;
        while (size--) {
            *byte++ = 0;
        }
    }
    /* By ORDER_POST_ONLY (1) and ORDER_IOC (4); post-only wins, as it can't take. */
    #define FC_TIF_BITS 5
    static const char *const FC_TIF[8] = {
        "GTC", "GTX", "GTC", "GTX", "IOC", "GTX", "IOC", "GTX"};
    """
    void fc_forget(void* at, size_t size) noexcept nogil
    const int FC_TIF_BITS
    const char* FC_TIF[8]

cdef enum:
    FRAME_SIZE_MAX = JSON_SIZE_MAX + WS_HEADER_MAX
    INTENT_BITS = 4 * INTENT_DIGITS


# -- WRITERS: after what was written ---

cdef inline uint8_t* put(uint8_t* p, const char* text, int64_t size) noexcept nogil:
    memcpy(p, text, <size_t> size)
    return p + size


cdef inline uint8_t* put_piece(uint8_t* p, const Piece* piece) noexcept nogil:
    memcpy(p, piece.data, PIECE_SIZE_MAX)  # a constant size is a few moves; the rest is overwritten
    return p + piece.size


cdef inline uint8_t* put_uint(uint8_t* p, int64_t value) noexcept nogil:
    cdef uint8_t[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = 48 + <uint8_t> (value % 10)
        value //= 10
        if value == 0:
            break
    memcpy(p, digits + at, <size_t> (20 - at))
    return p + (20 - at)


cdef inline void put_intent(uint8_t* p, seq_t intent_id) noexcept nogil:
    """INTENT_DIGITS lowercase hexadecimal digits."""
    cdef int i
    cdef uint8_t digit
    for i in range(INTENT_DIGITS):
        digit = <uint8_t> ((intent_id >> (4 * (INTENT_DIGITS - 1 - i))) & 15)
        p[i] = digit + (48 if digit < 10 else 87)


cdef inline void begin_request(Request* request, seq_t intent_id) noexcept nogil:
    put_intent(request.json + request.json_id, intent_id)
    memcpy(request.json + request.json_intent, request.json + request.json_id, INTENT_DIGITS)
    memcpy(request.text + request.text_intent, request.json + request.json_id, INTENT_DIGITS)


@cython.final
@cython.no_gc
cdef class Encoder(EncoderBase):
    """Encoder of one instrument's requests, for one key.

    symbol, tick, lot: as Decoder's. client_prefix: first 14 characters of our client order ids.
    api_key: 1 to 128 of A-Z, a-z, 0-9, _ and -. secret: 1 to 256 bytes. recv_window_ms: 1 to
    60000. mask_seed: any 64-bit number; same seed, same masking keys.
    ValueError if any is not that; it never holds the key or the secret.
    """

    def __cinit__(
        self, str symbol not None, str tick not None, str lot not None,
        str client_prefix not None, bytes api_key not None, bytes secret not None,
        int64_t recv_window_ms, mask_seed,
    ):
        cdef bytes place_prefix
        cdef bytes query_prefix
        cdef bytes prefix
        check_symbol(symbol)
        check_scale("tick", tick, &self._px_scale)
        check_scale("lot", lot, &self._qty_scale)
        check_client_prefix(client_prefix)
        _check_credential(api_key, secret)
        if not 0 < recv_window_ms <= RECV_WINDOW_MS_MAX:
            raise ValueError(
                f"recv_window_ms must be 1 to {RECV_WINDOW_MS_MAX}, not {recv_window_ms}")
        self._symbol = symbol
        self._mask_state = mask_seed & 0xFFFF_FFFF_FFFF_FFFF or 0x9E37_79B9_7F4A_7C15
        prefix = client_prefix.encode("ascii")
        self.key_size = len(api_key)
        place_prefix = b"apiKey=%b&newClientOrderId=%b" % (api_key, prefix)
        query_prefix = b"apiKey=%b&origClientOrderId=%b" % (api_key, prefix)
        self._place_hmac = Hmac(secret, place_prefix)
        self._query_hmac = Hmac(secret, query_prefix)
        self._lay_down(api_key, prefix, symbol.encode("ascii"), recv_window_ms)

    cdef int _lay_down(
        self, bytes api_key, bytes prefix, bytes symbol, int64_t recv_window_ms
    ) except -1:
        """Everything that stays the same from call to call."""
        cdef bytes window = b"%d" % recv_window_ms
        _fill(&self._json_window, b'","recvWindow":%b,' % window)
        _fill(&self._text_window, b"&recvWindow=%b" % window)
        for side, word in ((SIDE_BUY, b"BUY"), (SIDE_SELL, b"SELL")):
            _fill(&self._json_side[<int> side],
                  b'"side":"%b","symbol":"%b","timeInForce":"' % (word, symbol))
            _fill(&self._text_side[<int> side],
                  b"&side=%b&symbol=%b&timeInForce=" % (word, symbol))
        _fill_request(
            &self._place, VERB_PLACE, b"order.place", b"newClientOrderId", api_key, prefix,
            b'","price":"', b"&price=")
        query_json = b'","recvWindow":%b,"symbol":"%b","timestamp":' % (window, symbol)
        query_text = b"&recvWindow=%b&symbol=%b&timestamp=" % (window, symbol)
        _fill_request(
            &self._cancel, VERB_CANCEL, b"order.cancel", b"origClientOrderId", api_key, prefix,
            query_json, query_text)
        _fill_request(
            &self._status, VERB_STATUS, b"order.status", b"origClientOrderId", api_key, prefix,
            query_json, query_text)
        self.payload = self._place.json
        return 0

    def __dealloc__(self):
        fc_forget(&self._place, sizeof(Request))
        fc_forget(&self._cancel, sizeof(Request))
        fc_forget(&self._status, sizeof(Request))

    cdef int64_t place(
        self, uint8_t* out, int64_t room, seq_t intent_id, int side, px_t px_ticks,
        qty_t qty_lots, int flags, int64_t utc_ms
    ) noexcept nogil:
        """order.place, a limit order: post-only is GTX, ORDER_IOC is IOC, neither is GTC."""
        cdef Request* request = &self._place
        cdef uint8_t* json = request.json + request.json_head_size
        cdef uint8_t* text = request.text + request.text_head_size
        cdef int size
        self.payload_size = 0
        if fc_unlikely(intent_id < 0 or intent_id >> INTENT_BITS != 0 or utc_ms < 0
                       or side < SIDE_BUY or side > SIDE_SELL or px_ticks <= 0 or qty_lots <= 0):
            return E_RANGE
        begin_request(request, intent_id)
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
        json = put_piece(json, &self._json_side[side])
        text = put_piece(text, &self._text_side[side])
        json = put(json, FC_TIF[flags & FC_TIF_BITS], 3)
        text = put(text, FC_TIF[flags & FC_TIF_BITS], 3)
        json = put(json, b'","timestamp":', 14)
        text = put(text, b"&timestamp=", 11)
        size = <int> (put_uint(text, utc_ms) - text)
        memcpy(json, text, <size_t> size)
        json = put(json + size, b',"type":"LIMIT"', 15)
        text = put(text + size, b"&type=LIMIT", 11)
        return self._finish(request, self._place_hmac, json, text, out, room)

    cdef int64_t cancel(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        """order.cancel, by the client order id of the order placed with this intent."""
        return self._query(&self._cancel, out, room, intent_id, utc_ms)

    cdef int64_t status(
        self, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        """order.status, by the client order id of the order placed with this intent."""
        return self._query(&self._status, out, room, intent_id, utc_ms)

    cdef int64_t _query(
        self, Request* request, uint8_t* out, int64_t room, seq_t intent_id, int64_t utc_ms
    ) noexcept nogil:
        cdef uint8_t* json = request.json + request.json_head_size
        cdef uint8_t* text = request.text + request.text_head_size
        cdef uint8_t* text_end
        self.payload_size = 0
        if fc_unlikely(intent_id < 0 or intent_id >> INTENT_BITS != 0 or utc_ms < 0):
            return E_RANGE
        begin_request(request, intent_id)
        text_end = put_uint(text, utc_ms)
        memcpy(json, text, <size_t> (text_end - text))
        return self._finish(
            request, self._query_hmac, json + (text_end - text), text_end, out, room)

    cdef int64_t _finish(
        self, Request* request, Hmac hmac, uint8_t* json, const uint8_t* text_end,
        uint8_t* out, int64_t room
    ) noexcept nogil:
        """Sign, close the JSON, frame and mask it. `json` is after its last signed parameter."""
        cdef uint8_t* signature = put(json, b',"signature":"', 14)
        cdef int64_t size = put(signature + SHA256_HEX_SIZE, b'"}}', 3) - request.json
        FC_DCHECK(size <= JSON_SIZE_MAX and text_end - request.text <= TEXT_SIZE_MAX)
        if fc_unlikely(ws_header_size(size) + size > room):
            return E_FULL
        hmac.hex_digest(request.text, text_end - request.text, signature)
        self.payload = request.json
        self.payload_size = size
        self.key_offset = request.json_key
        self.sig_offset = signature - request.json
        self.sig_size = SHA256_HEX_SIZE
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

    def payload_bytes(self) -> bytes:
        """JSON of the last request, its key and signature blanked by x; b"" if the call failed."""
        if self.payload_size == 0:
            return b""
        blanked = bytearray(self.payload[:self.payload_size])
        blanked[self.key_offset:self.key_offset + self.key_size] = b"x" * self.key_size
        blanked[self.sig_offset:self.sig_offset + SHA256_HEX_SIZE] = b"x" * SHA256_HEX_SIZE
        return bytes(blanked)

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


cdef int _fill_request(
    Request* request, int verb, bytes method, bytes id_name, bytes api_key, bytes prefix,
    bytes json_rest, bytes text_rest,
) except -1:
    """Heads of both texts, the intent's digits not yet filled in."""
    cdef bytes blank = b"0" * INTENT_DIGITS
    cdef bytes start = b'{"id":"%d' % verb
    cdef bytes key_start = start + blank + b'","method":"%b","params":{"apiKey":"' % method
    cdef bytes id_start = key_start + api_key + b'","%b":"%b' % (id_name, prefix)
    cdef bytes json = id_start + blank + json_rest
    cdef bytes text_start = b"apiKey=%b&%b=%b" % (api_key, id_name, prefix)
    cdef bytes text = text_start + blank + text_rest
    request.json_id = len(start)
    request.json_key = len(key_start)
    request.json_intent = len(id_start)
    request.json_head_size = len(json)
    request.text_intent = len(text_start)
    request.text_head_size = len(text)
    memcpy(request.json, <const uint8_t*> json, <size_t> len(json))
    memcpy(request.text, <const uint8_t*> text, <size_t> len(text))
    return 0


cdef bytes _checked(const uint8_t* out, int64_t size):
    if size == E_RANGE:
        raise ValueError("intent, side, price, quantity or time is out of range")
    if size == E_FULL:
        raise ValueError("the frame needs more room")
    return out[:size]
