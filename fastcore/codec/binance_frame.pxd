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
    #endif
    """
    uint64_t FC_BIT(uint8_t letter) noexcept nogil
    const uint64_t FC_BIT_PU, FC_BIT_BIDS, FC_BIT_ASKS, FC_BIT_LAST

cdef extern from "codec/levels.h":
    ctypedef struct FcRows:    # how to read a number of one scale beside another; see levels.h
        int decimals
    enum:
        FC_LEVEL_ROOM          # bytes that must follow a level's start
    void fc_rows_lay_down(FcRows* rows, int decimals, int64_t step, int high) noexcept nogil
    bint fc_has_rows() noexcept nogil
    const uint8_t* fc_read_levels(
        const uint8_t* p, const uint8_t* end, const FcRows* px, const FcRows* qty,
        int64_t* levels, int64_t max, int64_t* count) noexcept nogil

cdef enum:                     # names of a reply, as bits of ReplyFrame.names
    REPLY_ID = 1
    REPLY_STATUS = 2
    REPLY_RESULT = 4
    REPLY_ERROR = 8
    REPLY_ERROR_CODE = 16      # error.code
    REPLY_CODE = 32            # of a refused control message, at its top
    REPLY_MSG = 64
    REPLY_SYMBOL = 128         # from here on: of the result's order, wherever it stands
    REPLY_ORDER_ID = 256
    REPLY_ORDER_STATUS = 512
    REPLY_CUM_QTY = 1024
    REPLY_CANCEL_RESULT = 2048         # cancelReplace
    REPLY_NEW_RESULT = 4096
    REPLY_CANCELED_ID = 8192
    REPLY_RETRY_AFTER = 16384
    REPLY_PX = 32768           # of the order again
    REPLY_QTY = 65536

cdef struct Text:              # inside of a JSON string, escapes not resolved
    const uint8_t* at
    int64_t size

cdef struct Names:             # one bit per name
    uint64_t seen              # met
    uint64_t have              # ... whose value has the right shape, and is stored
    uint64_t off               # ... right in shape, but not representable
    uint64_t full              # ... levels, more than LEVELS_MAX

cdef struct Letters:           # an object whose names of one letter are looked at later
    uint64_t seen              # FC_BIT
    const uint8_t* end         # no value reaches beyond
    const uint8_t* at[64]      # where the value of letter & 63 starts

cdef struct ReplyFrame:
    Names names                # REPLY_*
    Text request_id            # id, where it is a string
    int64_t status
    int64_t error_code         # error.code, or code
    Text symbol
    Text order_status          # status, orderId, executedQty of the order
    seq_t venue_order_id
    qty_t cum_qty_lots
    px_t px_ticks              # price, and origQty or qty, of the order
    qty_t qty_lots
    Text cancel_result
    Text new_result
    Text canceled_id           # cancelResponse.origClientOrderId
    int64_t retry_after_ms     # error.data.retryAfter, UTC

cdef struct Frame:             # one message being read, and how to read it
    const uint8_t* end
    Scale px_scale             # from here to `quote_asset`: set once by the owner
    Scale qty_scale
    Level* bids                # room for LEVELS_MAX each
    Level* asks
    int32_t has_plain_scales   # both may be read by binance_number
    int32_t has_rows           # ... and by levels.h
    FcRows px_rows
    FcRows qty_rows
    Text own_symbol
    Text own_stream            # the symbol in lower case
    Text base_asset            # size 0: not known
    Text quote_asset
    Names names                # FC_BIT, FC_BIT_*
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
    int32_t buyer_is_maker     # m
    int32_t is_wrapped         # the message is the `data` or `event` of another object
    Text event                 # e
    Text symbol                # s, symbol
    Text trade_type            # X
    Text stream                # beside `data`; size -1: none
    Letters letters            # of the event itself; `seen` stands in names.seen
    Letters order              # of `o`, where that is an object
    ReplyFrame reply


cdef inline bint text_is(const Text* text, const char* expected, int64_t size) noexcept nogil:
    return text.size == size and memcmp(text.at, expected, <size_t> size) == 0


cdef inline bint same_text(const Text* one, const Text* two) noexcept nogil:
    return one.size == two.size and memcmp(one.at, two.at, <size_t> one.size) == 0


cdef inline bint is_asset(const Text* one, const Text* ours) noexcept nogil:
    """Ours may be unknown, and then is no asset at all."""
    return ours.size > 0 and same_text(one, ours)
