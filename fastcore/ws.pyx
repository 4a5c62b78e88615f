# cython: language_level=3
"""WebSocket framing (RFC 6455 section 5), both of a client's directions, bytes to bytes.

      0                   1                   2                   3
      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
     |F|R R R|opcode |M| length  |  16 or 64 bits of length, if      |
     |I|S S S|  (4)  |A|   (7)   |  the 7 bits are 126 or 127        |
     |N|V V V|       |S|         |                                   |
     | masking key, 4 octets, if MASK; then the payload              |

    81 05 48 65 6c 6c 6f                      server: text "Hello"          (section 5.7)
    81 85 37 fa 21 3d 7f 9f 4d 51 58          client: the same, masked      (section 5.7)

No state: one call, one frame. What needs state is the caller's cold side: control frames,
fragmented messages (fin 0 or opcode 0 is well-formed and handed over as it is; whether a
continuation has something to continue is not known here), UTF-8 of a text (the decoder reads
bytes, bounded) and close codes. No extension is negotiated, so a set RSV bit is malformed.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.types cimport E_MALFORMED

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define FC_WS_NET32(word) (word)
    #else
    #define FC_WS_NET32(word) __builtin_bswap32(word)
    #endif
    """
    uint32_t fc_net32 "FC_WS_NET32"(uint32_t word) noexcept nogil

cdef enum:
    FIN_BIT = 0x80
    RSV_BITS = 0x70
    OPCODE_BITS = 0x0F
    CONTROL_BIT = 0x08         # section 5.5: control opcodes have the top bit set
    MASK_BIT = 0x80
    LENGTH_BITS = 0x7F
    LENGTH_IS_16 = 126
    LENGTH_IS_64 = 127
    STRIDE_SIZE = 32           # bytes masked at a time

# Section 11.8: bit n is set when opcode n is assigned.
cdef enum:
    KNOWN_OPCODES = 0x0707


# -- FROM THE SERVER ---

cdef int ws_parse(const uint8_t* buf, int64_t size, WsFrame* frame) noexcept nogil:
    """Read the frame that starts at `buf[0]`; `size` bytes are there.

    1: whole, every field set; `frame.payload` points into `buf` and lives as long as it does.
    0: more bytes needed; once the header is in, header_size and payload_size say how many.
    E_MALFORMED: the connection must be failed (section 7.1.7). Told by the header, before any
    payload is waited for:
      - RSV bit set without an extension, or reserved opcode (section 5.2)
      - masked: a server must not (section 5.1)
      - control frame fragmented or longer than 125 (section 5.5)
      - length not in its shortest form, or with the 64-bit form's top bit set (section 5.2)
      - longer than WS_PAYLOAD_MAX (ours; section 10.4 tells an endpoint to have such a limit)
    """
    cdef uint64_t length
    cdef int64_t header_size = 2
    cdef int i
    FC_DCHECK(size >= 0)
    frame.header_size = 0
    frame.payload_size = 0
    frame.payload = NULL
    frame.opcode = frame.fin = frame.rsv = frame.masked = 0
    if size < 1:
        return 0
    frame.fin = buf[0] >> 7
    frame.rsv = (buf[0] & RSV_BITS) >> 4
    frame.opcode = buf[0] & OPCODE_BITS
    if fc_unlikely(frame.rsv != 0 or not (KNOWN_OPCODES >> frame.opcode) & 1):
        return E_MALFORMED
    if fc_unlikely(frame.opcode & CONTROL_BIT and not frame.fin):
        return E_MALFORMED
    if size < 2:
        return 0
    frame.masked = buf[1] >> 7
    length = buf[1] & LENGTH_BITS
    if fc_unlikely(frame.masked):
        return E_MALFORMED
    if fc_unlikely(frame.opcode & CONTROL_BIT and length > WS_CONTROL_PAYLOAD_MAX):
        return E_MALFORMED
    if length == LENGTH_IS_16:
        header_size = 4
        if size < header_size:
            return 0
        length = (<uint64_t> buf[2] << 8) | buf[3]
        if fc_unlikely(length < LENGTH_IS_16):
            return E_MALFORMED
    elif fc_unlikely(length == LENGTH_IS_64):
        header_size = 10
        if size >= 3 and buf[2] & 0x80:
            return E_MALFORMED
        if size < header_size:
            return 0
        length = 0
        for i in range(2, 10):
            length = (length << 8) | buf[i]
        if length <= 0xFFFF or length > <uint64_t> WS_PAYLOAD_MAX:
            return E_MALFORMED
    frame.header_size = header_size
    frame.payload_size = <int64_t> length
    if size - header_size < frame.payload_size:
        return 0
    frame.payload = buf + header_size
    return 1


# -- TO THE SERVER ---

cdef int64_t ws_header_size(int64_t size) noexcept nogil:
    """Bytes before the payload in our frame: 2, the longer length if needed, 4 of masking key."""
    FC_DCHECK(0 <= size <= WS_PAYLOAD_MAX)
    if fc_likely(size > WS_CONTROL_PAYLOAD_MAX):
        return 8 if size <= 0xFFFF else 14
    return 6


cdef void _mask(
    uint8_t* out, const uint8_t* payload, int64_t size, const uint8_t* key
) noexcept nogil:
    """out[i] = payload[i] ^ key[i mod 4] (section 5.3). `out` may be `payload`.

    Loads of a stride stand before its stores, so gcc makes 16-byte vectors of them although the
    pointers may be equal.
    """
    cdef uint64_t key8
    cdef uint64_t[4] words
    cdef int64_t i = 0
    memcpy(&key8, key, 4)
    memcpy(<uint8_t*> &key8 + 4, key, 4)
    while i + STRIDE_SIZE <= size:
        memcpy(words, payload + i, STRIDE_SIZE)
        words[0] ^= key8
        words[1] ^= key8
        words[2] ^= key8
        words[3] ^= key8
        memcpy(out + i, words, STRIDE_SIZE)
        i += STRIDE_SIZE
    while i + 8 <= size:
        memcpy(words, payload + i, 8)
        words[0] ^= key8
        memcpy(out + i, words, 8)
        i += 8
    while i < size:
        out[i] = payload[i] ^ key[i & 3]
        i += 1


cdef int64_t ws_frame(
    uint8_t* out, int opcode, const uint8_t* payload, int64_t size, uint32_t mask_key
) noexcept nogil:
    """Write one whole client frame, masked as section 5.3 demands. O(size), no allocation.

    Returns the bytes written. ~12 ns for 300 bytes. The key need not be secret here, only other
    for each frame (section 10.3 guards proxies against chosen payloads; ours are our own).
    """
    cdef uint8_t[4] key
    cdef int64_t header_size = ws_header_size(size)
    cdef int i
    FC_DCHECK((KNOWN_OPCODES >> opcode) & 1)
    FC_DCHECK(not opcode & CONTROL_BIT or size <= WS_CONTROL_PAYLOAD_MAX)
    mask_key = fc_net32(mask_key)
    memcpy(key, &mask_key, 4)
    out[0] = <uint8_t> (FIN_BIT | opcode)
    if header_size == 8:
        out[1] = MASK_BIT | LENGTH_IS_16
        out[2] = <uint8_t> (size >> 8)
        out[3] = <uint8_t> size
    elif header_size == 6:
        out[1] = <uint8_t> (MASK_BIT | size)
    else:
        out[1] = MASK_BIT | LENGTH_IS_64
        for i in range(8):
            out[2 + i] = <uint8_t> (size >> (56 - 8 * i))
    memcpy(out + header_size - 4, key, 4)
    _mask(out + header_size, payload, size, key)
    return header_size + size


# -- PYTHON ---

def parse(const uint8_t[::1] buf not None) -> tuple:
    """(code, fields): code 1 whole frame, 0 more bytes needed, -1 (E_MALFORMED).

    `fields` holds opcode, fin, rsv, masked, header_size, payload_size and payload (bytes, None
    until whole), as far as the bytes told.
    """
    cdef WsFrame frame
    cdef int64_t size = buf.shape[0]
    cdef int code = ws_parse(&buf[0] if size else NULL, size, &frame)
    return code, {
        "opcode": frame.opcode,
        "fin": frame.fin,
        "rsv": frame.rsv,
        "masked": frame.masked,
        "header_size": frame.header_size,
        "payload_size": frame.payload_size,
        "payload": frame.payload[:frame.payload_size] if code == 1 else None,
    }


def header_size(int64_t size) -> int:
    """Header size of a client frame with `size` bytes of payload. ValueError out of range."""
    if not 0 <= size <= WS_PAYLOAD_MAX:
        raise ValueError(f"payload size must be 0 to {WS_PAYLOAD_MAX}, was {size}")
    return ws_header_size(size)


cdef _check(int opcode, int64_t size):
    if not 0 <= opcode <= 15 or not (KNOWN_OPCODES >> opcode) & 1:
        raise ValueError(f"opcode must be one of 0, 1, 2, 8, 9, 10, was {opcode}")
    if opcode & CONTROL_BIT and size > WS_CONTROL_PAYLOAD_MAX:
        raise ValueError(f"a control payload is at most {WS_CONTROL_PAYLOAD_MAX}, was {size}")


def frame(int opcode, const uint8_t[::1] payload not None, uint32_t mask_key) -> bytes:
    """One whole masked client frame. ValueError for what no client may send."""
    cdef int64_t size = payload.shape[0]
    _check(opcode, size)
    out = bytearray(header_size(size) + size)
    cdef uint8_t[::1] view = out
    ws_frame(&view[0], opcode, &payload[0] if size else NULL, size, mask_key)
    return bytes(out)


def frame_in_place(int opcode, uint8_t[::1] buf not None, uint32_t mask_key) -> int:
    """Frame the payload that stands at the end of `buf`, over itself; returns the bytes written.

    `buf` is header room then payload: its size must be header_size(n) + n for some n, which is
    unique. ValueError otherwise.
    """
    cdef int64_t size = buf.shape[0]
    for room in (6, 8, 14):
        if size >= room and header_size(size - room) == room:
            _check(opcode, size - room)
            return ws_frame(&buf[0], opcode, &buf[0] + <int64_t> room, size - room, mask_key)
    raise ValueError(f"no client frame has {size} bytes")


def repeat(const uint8_t[::1] payload not None, int64_t count) -> bytes:
    """Frame `payload` (not empty) as text `count` times, keys 0, 1, ...: for benches."""
    cdef int64_t size = payload.shape[0]
    if size == 0:
        raise ValueError("payload is empty")
    out = bytearray(header_size(size) + size)
    cdef uint8_t[::1] view = out
    cdef const uint8_t* source = &payload[0]
    cdef uint8_t* target = &view[0]
    cdef int64_t i
    with nogil:
        for i in range(count):
            ws_frame(target, WS_TEXT, source, size, <uint32_t> i)
    return bytes(out)
