# cython: language_level=3
"""What one walk over a Binance message finds: the names met, and where their values stand."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from fastcore.types cimport Level, Scale, px_t, qty_t, seq_t

cdef extern from *:
    """
    #ifndef FC_BINANCE_BITS
    #define FC_BINANCE_BITS
    #define FC_BIT(letter) (1ULL << ((letter) & 63))   /* A-Z: 1..26, a-z: 33..58 */
    #define FC_BIT_PU (1ULL << 27)
    #define FC_BIT_BIDS (1ULL << 28)
    #define FC_BIT_ASKS (1ULL << 29)
    #define FC_BIT_LAST (1ULL << 30)
    #define FC_BIT_ID (1ULL << 31)
    #define FC_BIT_STATUS (1ULL << 32)
    #define FC_BIT_RESULT (1ULL << 59)
    #define FC_BIT_ERROR (1ULL << 60)
    #define FC_BIT_CODE (1ULL << 61)
    #define FC_BIT_ORDER_ID (1ULL << 62)
    #define FC_BIT_ORDER_STATUS (1ULL << 63)
    #define FC_BIT_CUM_QTY (1ULL << 0)
    #endif
    """
    uint64_t FC_BIT(uint8_t letter) noexcept nogil
    const uint64_t FC_BIT_PU, FC_BIT_BIDS, FC_BIT_ASKS, FC_BIT_LAST, FC_BIT_ID, FC_BIT_STATUS
    const uint64_t FC_BIT_RESULT, FC_BIT_ERROR, FC_BIT_CODE, FC_BIT_ORDER_ID, FC_BIT_ORDER_STATUS
    const uint64_t FC_BIT_CUM_QTY

cdef struct Text:              # inside of a JSON string, escapes not resolved
    const uint8_t* at
    int64_t size

cdef struct Frame:             # one message being read, and how to read it
    const uint8_t* end
    Scale px_scale             # from here to `asks`: set once by the owner
    Scale qty_scale
    Level* bids                # room for LEVELS_MAX each
    Level* asks
    uint64_t seen              # one bit per name met (FC_BIT, FC_BIT_*)
    uint64_t have              # ... whose value has the right shape, and is stored below
    uint64_t off               # ... right in shape, but not representable
    uint64_t full              # ... levels, more than LEVELS_MAX
    int64_t event_ms           # E
    int64_t transaction_ms     # T
    seq_t first_update_id      # U
    seq_t update_id            # u, lastUpdateId
    seq_t prev_update_id       # pu
    seq_t trade_id             # t
    px_t bid_px_ticks          # b
    qty_t bid_qty_lots         # B
    px_t ask_px_ticks          # a
    qty_t ask_qty_lots         # A
    px_t px_ticks              # p
    qty_t qty_lots             # q
    int64_t bid_count          # b, bids
    int64_t ask_count          # a, asks
    Text event                 # e
    Text symbol                # s, symbol
    Text trade_type            # X
    int32_t buyer_is_maker     # m
    const uint8_t* order       # o: after its opening brace
    Text request_id            # id, where it is a string
    int64_t status             # of a reply
    int64_t error_code         # error.code
    Text order_status          # result.status
    seq_t venue_order_id       # result.orderId
    qty_t cum_qty_lots         # result.executedQty
    uint64_t order_seen        # letters met inside `o`
    const uint8_t* order_values[64]     # where the value of letter & 63 starts


cdef inline bint text_is(const Text* text, const char* expected, int64_t size) noexcept nogil:
    return text.size == size and memcmp(text.at, expected, <size_t> size) == 0
