# cython: language_level=3
"""Which cores a frame is for, by one pass over its text that stops as soon as it may.

    MARKET  {"stream":"btcusdt@depth@0ms","data":{...}}   {"e":"bookTicker","u":7,"s":"BTCUSDT",...}
            {"topic":"orderbook.50.BTCUSDT",...}          the first name decides: a frame, a feed
    USER    {"e":"ACCOUNT_UPDATE","a":{"P":[{"s":"BTCUSDT",...},{"s":"ETHUSDT",...}]}}
            {"topic":"order","data":[{"symbol":"BTCUSDT",...}]}     every name counts
    TRADE   {"id":"1001000000042",...}   {"reqId":"1001000000042-0191346a2179",...}
            verb digit, then the intent's 12 hexadecimal digits, whose first three are the core

A core that is given a frame of another instrument only counts it, but one that is not given its
own is blind: so whatever is unclear (no name, an escaped text, a cut frame, an id of somebody
else) goes to all. Reads nothing outside the frame, allocates nothing.

Sources: developers.binance.com "Websocket Market Streams" (combined payload), "User Data Streams";
bybit-exchange.github.io "Websocket" topics and "Websocket Trade Guideline" (reqId).
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp

from fastcore.types cimport CONN_MARKET, CONN_TRADE

cdef enum:
    KEY_NONE = 0
    KEY_SYMBOL = 1
    KEY_STREAM = 2             # the symbol stands before the first "@"
    KEY_TOPIC = 3              # ... after the last "."
    KEY_ID = 4
    ID_SIZE = 13               # verb digit and the intent's 12


@cython.final
cdef class Router:
    """The cores `numbers` of a shared connection, by their symbols."""

    def __cinit__(self, numbers, symbols):
        cdef int64_t places = 8
        if len(numbers) != len(symbols):
            raise ValueError("Expected one symbol for each core")
        while places < 4 * len(numbers):
            places *= 2
        self.mask = places - 1
        self.number_limit = max(numbers, default=-1) + 1
        if min(numbers, default=0) < 0 or self.number_limit > NUMBER_MAX + 1:
            raise ValueError(f"Expected core numbers 0..{NUMBER_MAX}")
        self.names = <Name*>calloc(places, sizeof(Name))
        self.seen = <int64_t*>calloc(self.number_limit + 1, sizeof(int64_t))
        self.found = <int32_t*>calloc(len(numbers) + 1, sizeof(int32_t))
        if self.names == NULL or self.seen == NULL or self.found == NULL:
            raise MemoryError()
        for place in range(places):
            self.names[place].number = -1
        for number in range(self.number_limit):
            self.seen[number] = -1
        for number, symbol in zip(numbers, symbols, strict=True):
            self._insert(number, symbol.upper().encode())

    def __dealloc__(self):
        free(self.names)
        free(self.seen)
        free(self.found)

    cdef int route(self, int conn, const uint8_t* text, int64_t size) noexcept nogil:
        """How many cores stand in `found`; ROUTE_ALL: every one of the role. O(size)."""
        cdef const uint8_t* end = text + size
        cdef const uint8_t* at = text
        cdef const uint8_t* begin
        cdef const uint8_t* stop
        cdef const uint8_t* value
        cdef bint is_named = False
        cdef int key
        self.count = 0
        self.frame += 1
        while True:
            begin = _next(at, end, c'"')
            if begin == NULL:
                return self.count if is_named else ROUTE_ALL
            begin += 1
            stop = _close(begin, end)
            if stop == NULL:
                return ROUTE_ALL
            at = stop + 1
            key = _key(conn, begin, stop - begin)
            if key == KEY_NONE:
                continue
            value = _value(at, end)
            if value == NULL:
                return ROUTE_ALL
            if value == at or value[0] != c'"':
                continue                     # a value of that spelling, or no text behind the key
            begin = value + 1
            stop = _close(begin, end)
            if stop == NULL:
                return ROUTE_ALL
            at = stop + 1
            if key == KEY_ID:
                return self._by_id(begin, stop - begin)
            if key == KEY_STREAM:
                stop = _next(begin, stop, c"@")
            elif key == KEY_TOPIC:
                begin = _after_last_point(begin, stop)
            if stop == NULL or begin == NULL:
                return ROUTE_ALL             # a feed of no instrument, or of all
            if stop == begin:
                continue
            is_named = True
            self._add(begin, stop - begin)
            if conn == CONN_MARKET:
                return self.count

    cdef int _by_id(self, const uint8_t* text, int64_t size) noexcept nogil:
        """The core whose request was answered."""
        cdef int number = 0, digit, i
        if size < ID_SIZE or (size > ID_SIZE and text[ID_SIZE] != c"-"):
            return ROUTE_ALL
        if text[0] < c"0" or text[0] > c"9":
            return ROUTE_ALL
        for i in range(1, ID_SIZE):
            digit = _hex(text[i])
            if digit < 0:
                return ROUTE_ALL
            if i <= 3:
                number = number << 4 | digit
        if number >= self.number_limit or self.seen[number] < 0:
            return ROUTE_ALL
        self.found[0] = number
        self.count = 1
        return 1

    cdef void _add(self, const uint8_t* text, int64_t size) noexcept nogil:
        """The cores of one symbol, each once a frame."""
        cdef int64_t place
        cdef Name* name
        if size > SYMBOL_BYTES_MAX:
            return
        place = _hash(text, size) & self.mask
        while True:
            name = &self.names[place]
            if name.number < 0:
                return
            if name.size == size and self.seen[name.number] != self.frame:
                if _is_same(name.text, text, size):
                    self.seen[name.number] = self.frame
                    self.found[self.count] = name.number
                    self.count += 1
            place = place + 1 & self.mask

    # -- COLD ---

    def _insert(self, int number, bytes symbol):
        cdef const uint8_t* text = symbol
        cdef int64_t place, i
        if not 0 < len(symbol) <= SYMBOL_BYTES_MAX:
            raise ValueError(f"Expected a symbol of 1..{SYMBOL_BYTES_MAX} bytes")
        if self.seen[number] >= 0:
            raise ValueError(f"Expected each core once, was {number} again")
        self.seen[number] = 0
        place = _hash(text, len(symbol)) & self.mask
        while self.names[place].number >= 0:
            place = place + 1 & self.mask
        self.names[place].number = number
        self.names[place].size = len(symbol)
        for i in range(<int64_t>len(symbol)):
            self.names[place].text[i] = text[i]

    def targets(self, int conn, const uint8_t[::1] payload not None) -> list[int] | None:
        """Core numbers in the order in which the frame names them; None: all."""
        cdef const uint8_t* text = &payload[0] if payload.shape[0] else <const uint8_t*>b""
        cdef int count = self.route(conn, text, payload.shape[0])
        return None if count == ROUTE_ALL else [self.found[i] for i in range(count)]


cdef inline const uint8_t* _next(const uint8_t* at, const uint8_t* end,
                                 int wanted) noexcept nogil:
    """The first `wanted` before `end`, or NULL."""
    return <const uint8_t*>memchr(at, wanted, end - at) if at < end else NULL


cdef inline const uint8_t* _close(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The quote that ends a text; NULL where it is cut or holds an escape."""
    while at < end and at[0] != c'"':
        if at[0] == c"\\":
            return NULL
        at += 1
    return at if at < end else NULL


cdef inline const uint8_t* _value(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Where the value behind a key starts, which ends at `at`. `at`: that was no key. NULL: cut."""
    cdef const uint8_t* colon = _skip(at, end)
    if colon == end:
        return NULL
    if colon[0] != c":":
        return at
    at = _skip(colon + 1, end)
    return at if at < end else NULL


cdef inline const uint8_t* _skip(const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and (at[0] == c" " or at[0] == c"\n" or at[0] == c"\t" or at[0] == c"\r"):
        at += 1
    return at


cdef inline int _key(int conn, const uint8_t* text, int64_t size) noexcept nogil:
    """What a text means where it is a key; MARKET's topics name an instrument, USER's do not."""
    if conn == CONN_TRADE:
        if size == 2 and memcmp(text, b"id", 2) == 0:
            return KEY_ID
        return KEY_ID if size == 5 and memcmp(text, b"reqId", 5) == 0 else KEY_NONE
    if size == 1:
        return KEY_SYMBOL if text[0] == c"s" else KEY_NONE
    if size == 6 and memcmp(text, b"symbol", 6) == 0:
        return KEY_SYMBOL
    if conn != CONN_MARKET:
        return KEY_NONE
    if size == 6 and memcmp(text, b"stream", 6) == 0:
        return KEY_STREAM
    return KEY_TOPIC if size == 5 and memcmp(text, b"topic", 5) == 0 else KEY_NONE


cdef inline const uint8_t* _after_last_point(const uint8_t* begin,
                                             const uint8_t* stop) noexcept nogil:
    cdef const uint8_t* at = stop
    while at > begin:
        if (at - 1)[0] == c".":
            return at
        at -= 1
    return NULL


cdef inline uint8_t _upper(uint8_t byte) noexcept nogil:
    return byte - 32 if c"a" <= byte <= c"z" else byte


cdef inline int _hex(uint8_t byte) noexcept nogil:
    if c"0" <= byte <= c"9":
        return byte - c"0"
    return byte - c"a" + 10 if c"a" <= byte <= c"f" else -1


cdef inline int64_t _hash(const uint8_t* text, int64_t size) noexcept nogil:
    """FNV-1a of the text in upper case."""
    cdef uint64_t value = 0xCBF29CE484222325
    cdef int64_t i
    for i in range(size):
        value = (value ^ _upper(text[i])) * <uint64_t>0x100000001B3
    return <int64_t>(value ^ value >> 32)


cdef inline bint _is_same(const uint8_t* name, const uint8_t* text, int64_t size) noexcept nogil:
    cdef int64_t i
    for i in range(size):
        if name[i] != _upper(text[i]):
            return False
    return True
