# cython: language_level=3
"""WebSocket frames (RFC 6455 section 5) as bytes; see ws.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef enum:                     # opcodes, RFC 6455 section 11.8
    WS_CONTINUATION = 0x0
    WS_TEXT = 0x1
    WS_BINARY = 0x2
    WS_CLOSE = 0x8
    WS_PING = 0x9
    WS_PONG = 0xA

cdef enum:
    WS_CONTROL_PAYLOAD_MAX = 125       # section 5.5
    WS_PAYLOAD_MAX = 16777216          # ours: the largest REST-sized message, many times over
    WS_HEADER_MAX = 14                 # 2 + 8 (64-bit length) + 4 (masking key)

cdef struct WsFrame:           # a view: `payload` points into the buffer given to ws_parse
    int32_t opcode             # WS_*
    int32_t fin                # 1: last (or only) frame of its message
    int32_t rsv                # RSV1..3 as three bits, RSV1 highest; always 0 in a frame accepted
    int32_t masked             # always 0 in a frame accepted
    int64_t header_size        # bytes; 0: header not whole yet
    int64_t payload_size       # bytes; the whole frame is header_size + payload_size
    const uint8_t* payload     # NULL until the frame is whole

# One frame from the server at buf[0]: 1 whole frame, 0 more bytes needed, E_MALFORMED. O(1).
cdef int ws_parse(const uint8_t* buf, int64_t size, WsFrame* frame) noexcept nogil

# Header size of our masked frame with a payload of `size` bytes: 6, 8 or 14.
cdef int64_t ws_header_size(int64_t size) noexcept nogil

# Whole masked frame (fin set) into out -> bytes written, ws_header_size(size) + size; the caller
# has made that room. `payload` may be out + ws_header_size(size) exactly (masked in place), and
# must not overlap `out` otherwise. The octets of mask_key go out most significant first.
cdef int64_t ws_frame(
    uint8_t* out, int opcode, const uint8_t* payload, int64_t size, uint32_t mask_key
) noexcept nogil
