# cython: language_level=3
"""Typedefs, enums and structs that every room of fastcore shares.

Units: price in integer ticks, quantity in integer lots, time in integer nanoseconds of the
monotonic clock (`*_ts_ns` from a venue is UTC, and only ever compared with other venue times).
Money inside is exact: tick x lot for cash, 1e-8 quote units for fees.
C sees these names; Python sees the IntEnums of types.pyx, built from the same values.
"""
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef int64_t px_t          # price, ticks
ctypedef int64_t qty_t         # quantity, lots
ctypedef int64_t ns_t          # time, nanoseconds
ctypedef int64_t seq_t         # venue update id / trade id / our intent id

cdef enum:
    LEVELS_MAX = 16384         # levels a side of one message; a 5,000-level snapshot fits thrice
    VIEW_LEVELS = 10           # levels a side that a strategy may see
    TARGET_LEVELS = 8          # levels a side that a strategy may quote
    ORDERS_MAX = 64            # orders we track: 2 sides x 8 levels x 4 in flight
    OUT_MAX = 64               # messages one input may cause
    OUT_BYTES = 65536          # room for them
    CLIENT_ID_SIZE = 26        # see codec/binance: "tm" run8 "-" strategy2 "-" intent12

cdef enum:
    SIDE_BUY = 0               # also: bid side
    SIDE_SELL = 1              # also: ask side

cdef enum:                     # what went wrong; negative, so that counts can share the channel
    OK = 0
    E_MALFORMED = -1           # bytes are not what the venue documents
    E_RANGE = -2               # a number overflows, or is not representable on the grid
    E_FULL = -3                # more levels / bytes / orders than the named limit
    E_GAP = -4                 # update-id chain broken
    E_CROSSED = -5             # best bid >= best ask after a whole message
    E_STALE = -6               # older than what is already applied
    E_UNKNOWN = -7             # message type that we do not know
    E_OTHER_SYMBOL = -8        # well-formed, not our instrument
    E_STATE = -9               # not allowed in this state
    E_JOURNAL = -10            # no room left in the journal
    E_UNSUPPORTED = -11        # the venue has no such verb on this connection

cdef enum:                     # connections of one instrument's engine
    CONN_MARKET = 0
    CONN_TRADE = 1
    CONN_USER = 2
    CONN_COUNT = 3

cdef enum:                     # decoded message kinds
    EV_NONE = 0
    EV_BEST = 1                # bookTicker
    EV_DEPTH = 2               # depthUpdate
    EV_TRADE = 3               # trade
    EV_ORDER = 4               # ORDER_TRADE_UPDATE
    EV_REPLY = 5               # WebSocket-API response
    EV_SNAPSHOT = 6            # REST depth
    EV_IGNORED = 7             # known, of no use to us (ACCOUNT_UPDATE, TRADE_LITE, subscribe ack)
    EV_LISTEN_KEY_EXPIRED = 8
    EV_ACCOUNT = 9             # wallet or position push of our instrument's account
    EV_SESSION = 10            # answer to logon, auth or subscribe: event.reply.status
    EV_VENUE_SHUTDOWN = 11     # the venue will close this connection soon (spot serverShutdown)
    EV_AGG_TRADE = 12          # aggTrade: as EV_TRADE, in event.trade

cdef enum:                     # order states, FIX words
    ORD_FREE = 0               # slot unused
    ORD_PENDING_NEW = 1        # sent, not acknowledged
    ORD_NEW = 2
    ORD_PARTIALLY_FILLED = 3
    ORD_PENDING_CANCEL = 4
    ORD_FILLED = 5             # terminal from here on
    ORD_CANCELED = 6
    ORD_REJECTED = 7           # by the venue
    ORD_EXPIRED = 8            # by the venue (GTX that would take, STP, ...)
    ORD_UNKNOWN = 9            # ambiguous: counts at full size until a query answers
    ORD_PENDING_REPLACE = 10   # amend sent: counts at the greater of old and new size

cdef enum:                     # execution types of an order update (Binance `x`)
    EXEC_NEW = 0
    EXEC_CANCELED = 1
    EXEC_TRADE = 2
    EXEC_EXPIRED = 3
    EXEC_AMENDMENT = 4
    EXEC_CALCULATED = 5        # liquidation, ADL
    EXEC_REJECTED = 6
    EXEC_STATUS = 7            # the order as it stands now, its terms too (Bybit's `order`)

cdef enum:                     # order verbs
    VERB_PLACE = 1
    VERB_CANCEL = 2
    VERB_STATUS = 3            # query by client id
    VERB_CANCEL_ALL = 4        # by the gateway's cold side; never from the core
    VERB_MODIFY = 5            # amend price and/or quantity under the same client id
    VERB_REPLACE = 6           # spot cancelReplace: cancel one id, place another
    VERB_BATCH = 7

cdef enum:                     # how an order is to be placed, as bits; none: a GTC limit order
    ORDER_POST_ONLY = 1
    ORDER_REDUCE_ONLY = 2
    ORDER_IOC = 4

cdef enum:                     # in what a fee was paid
    FEE_QUOTE = 0
    FEE_BASE = 1
    FEE_OTHER = 2              # BNB and the like: counted, never booked as quote

cdef enum:                     # outcome of a send, an input of the core
    SEND_SENT = 0
    SEND_LATE = 1              # older than its budget: not sent
    SEND_PARTIAL = 2           # some bytes left unsent: late, and the order's fate is unknown
    SEND_FAILED = 3            # nothing left the host

cdef enum:                     # sync states
    SYNC_EMPTY = 0             # no snapshot yet: diffs are buffered
    SYNC_ANCHORING = 1         # snapshot in, first covering diff not yet seen
    SYNC_SYNCED = 2
    SYNC_GAP = 3               # chain broken: book invalid, snapshot wanted

cdef enum:                     # sync rules
    SYNC_RULE_FUTURES = 0      # USD-M, COIN-M: U <= last <= u, then pu == previous u
    SYNC_RULE_SPOT = 1         # U <= last+1 <= u, then U == previous u + 1
    SYNC_RULE_BYBIT = 2        # the stream's own snapshot, then u == previous u + 1; u == 1: anew
    SYNC_RULE_PARTIAL = 3      # partial-depth streams: every message is the whole top of the book

cdef enum:                     # halt reasons, bits of the state word (design section 5)
    HALT_NONE = 0
    HALT_BOOK = 1
    HALT_FEED_STALE = 2
    HALT_USER_STREAM = 4
    HALT_LATENCY = 8
    HALT_CLOCK = 16
    HALT_RATE_LIMIT = 32
    HALT_RECONCILING = 64
    HALT_JOURNAL = 128
    HALT_STRATEGY = 256
    HALT_OPERATOR = 512
    HALT_SHUTDOWN = 1024       # ordered shutdown: never cleared
    HALT_TRADE_STREAM = 2048   # order-entry connection down
    HALT_SPREAD = 4096         # spread far wider than its own median, or than its bound
    HALT_TOXICITY = 8192       # VPIN over its limit
    HALT_REPEATED_EXECUTION = 16384    # N fills in T: latched, operator resumes
    HALT_ONE_SIDED_FILLS = 32768       # a burst of fills on one side: self-clearing
    HALT_LEG = 65536           # the reference leg can't be used, or a hedge's fate is open
    HALT_DEAD_MAN = 131072     # the venue's dead-man switch is not confirmed
    HALT_VENUE = 262144        # the instrument does not trade, or the venue is under maintenance
    HALT_LINK = 524288         # a stream is not provably live

cdef enum:                     # intent ids that are none
    INTENT_STRANGER = -1       # of an order that we never sent
    INTENT_EARLIER = -2        # of an order of ours, by its client id, but not of this run

cdef enum:                     # whose order an execution is of
    OWNER_RUN = 0              # this run's
    OWNER_EARLIER = 1          # ours, of an earlier run
    OWNER_STRANGER = 2

cdef enum:                     # by which way an execution came
    VIA_STREAM = 0
    VIA_REST = 1

cdef enum:                     # commands, inputs of the core
    CMD_START = 1              # start-up checks passed: clear RECONCILING
    CMD_HALT = 2               # operator
    CMD_RESUME = 3
    CMD_SHUTDOWN = 4           # pull every quote, never quote again
    CMD_RESYNC = 5             # book is to be rebuilt from a snapshot

cdef struct Level:
    px_t px_ticks
    qty_t qty_lots

cdef struct Scale:             # decimal text <-> integer units: value = units * step * 10^-decimals
    int32_t decimals
    int64_t step               # tick 0.10 -> decimals 1, step 1; tick 0.25 -> decimals 2, step 25

cdef struct BestEvent:
    seq_t update_id
    ns_t exch_ts_ns            # 0 where the venue sends none (spot)
    px_t bid_px_ticks
    qty_t bid_qty_lots
    px_t ask_px_ticks
    qty_t ask_qty_lots

cdef struct DepthEvent:        # `bids`/`asks` are borrowed from the decoder until its next call
    seq_t first_update_id      # U
    seq_t final_update_id      # u; lastUpdateId of a snapshot
    seq_t prev_final_update_id # pu; -1 where the venue sends none (spot, snapshot)
    ns_t exch_ts_ns
    int32_t bid_count
    int32_t ask_count
    Level* bids
    Level* asks
    seq_t cross_seq            # Bybit `seq`: compares topics that count u each for itself; 0: none

cdef struct TradeEvent:
    seq_t trade_id
    ns_t exch_ts_ns
    px_t px_ticks
    qty_t qty_lots
    int32_t aggressor          # SIDE_*: Binance m=true (buyer is maker) -> SIDE_SELL
    int32_t is_market          # X == "MARKET" (or absent): a book trade, not an insurance-fund one

cdef struct OrderEvent:        # one ORDER_TRADE_UPDATE
    seq_t intent_id            # ours, from the client id; else INTENT_*
    seq_t venue_order_id
    seq_t trade_id             # -1: no trade
    ns_t exch_ts_ns
    int32_t exec_type          # EXEC_*
    int32_t status             # ORD_*
    int32_t side
    int32_t is_maker
    px_t px_ticks              # order price
    qty_t qty_lots             # order quantity
    qty_t cum_qty_lots         # z
    px_t last_px_ticks         # L
    qty_t last_qty_lots        # l
    int64_t fee_e8             # n, in 1e-8 of the fee asset; cost is positive
    int32_t fee_asset          # FEE_*

cdef struct ReplyEvent:        # one WebSocket-API response
    seq_t intent_id            # from our request id; -1: not ours
    int32_t verb               # from our request id
    int32_t status             # HTTP-like: 200, 400, 429, ...
    int32_t error_code         # venue's, e.g. -2011; 0: none
    int32_t order_status       # ORD_* where the result carries one, else ORD_FREE
    seq_t venue_order_id       # -1: none
    qty_t cum_qty_lots         # executedQty; -1: none
    int32_t cancel_status      # cancelReplace: 200 done, 400 failed, 0 not tried or no such reply
    int32_t new_status         # ... of the new order
    px_t px_ticks              # terms of the order where the result carries them; 0: it does not
    qty_t qty_lots             # ... total, what is executed included

cdef struct FillRow:           # one execution as a REST query tells it; the journal's FILL_ROW
    seq_t trade_id
    seq_t venue_order_id
    seq_t intent_id            # -1 unless of this run
    int64_t owner              # OWNER_*
    int64_t side
    px_t px_ticks
    qty_t qty_lots
    int64_t fee_e8             # in 1e-8 of fee_asset; cost is positive
    int64_t fee_asset          # FEE_*
    int64_t is_maker
    ns_t exch_ts_ns

cdef struct QueryRow:          # what a REST query says of one of our orders; the journal's QUERY
    seq_t intent_id
    int64_t is_absent          # the venue knows no such order; the rest then means nothing
    int64_t order_status       # ORD_*
    seq_t venue_order_id       # -1: not told
    px_t px_ticks
    qty_t qty_lots             # total, what is executed included
    qty_t cum_qty_lots
    ns_t asked_ns              # when the question left; 0: when its answer came

cdef struct KnownTrade:        # booked by an earlier run; the journal's KNOWN holds rows of it
    seq_t trade_id
    int64_t side               # ours
    ns_t exch_ts_ns

cdef struct AccountEvent:      # one push about the account; `has_*` say what it told
    ns_t exch_ts_ns
    int32_t has_position
    int32_t has_balance
    qty_t position_lots        # signed, of our symbol
    int64_t balance_e8         # of the quote asset, 1e-8

cdef struct Event:             # one decoded frame
    int32_t kind               # EV_*
    int32_t _pad
    BestEvent best
    DepthEvent depth
    TradeEvent trade
    OrderEvent order
    ReplyEvent reply
    AccountEvent account

cdef struct Out:               # one message to send; its bytes live until the core's next input
    seq_t out_seq
    seq_t intent_id
    int32_t conn
    int32_t verb
    const uint8_t* data        # masked WebSocket frame, ready for send()
    int64_t size
    ns_t cause_ts_ns           # receive stamp of the bytes that caused it
    ns_t deadline_ns           # not to be sent after it; 0: always to be sent (cancels, queries)
