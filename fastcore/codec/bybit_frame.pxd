# cython: language_level=3
"""What a walk over a Bybit message finds: the names met, and where their values stand."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from fastcore.codec.binance_frame cimport Text
from fastcore.types cimport Level, Scale, seq_t

cdef enum:                     # every name that we read, as a bit and a place in Item.at
    NAME_NONE = 0
    NAME_TOPIC = 1             # of the message
    NAME_TYPE = 2
    NAME_TS = 3
    NAME_CTS = 4
    NAME_CREATION_TIME = 5
    NAME_DATA = 6
    NAME_OP = 7
    NAME_SUCCESS = 8
    NAME_RET_CODE = 9
    NAME_REQ_ID = 10
    NAME_RET_EXT_INFO = 11
    NAME_s = 12                # of `data` where it is an object
    NAME_b = 13
    NAME_a = 14
    NAME_u = 15
    NAME_SEQ = 16
    NAME_LIST = 17
    NAME_CODES = 18            # `list` of retExtInfo; stands in no table
    NAME_ORDER_ID = 19         # of an item of `data` or of a list in it
    NAME_ORDER_LINK_ID = 20
    NAME_T = 21
    NAME_S = 22
    NAME_v = 23
    NAME_p = 24
    NAME_i = 25
    NAME_BT = 26
    NAME_CATEGORY = 27
    NAME_SYMBOL = 28
    NAME_SIDE = 29
    NAME_PRICE = 30
    NAME_QTY = 31
    NAME_ORDER_STATUS = 32
    NAME_REJECT_REASON = 33
    NAME_CUM_EXEC_QTY = 34
    NAME_UPDATED_TIME = 35
    NAME_ORDER_PRICE = 36
    NAME_ORDER_QTY = 37
    NAME_LEAVES_QTY = 38
    NAME_EXEC_FEE = 39
    NAME_EXEC_ID = 40
    NAME_EXEC_PRICE = 41
    NAME_EXEC_QTY = 42
    NAME_EXEC_TYPE = 43
    NAME_EXEC_TIME = 44
    NAME_IS_MAKER = 45
    NAME_FEE_CURRENCY = 46
    NAME_SIZE = 47
    NAME_POSITION_IDX = 48
    NAME_COIN = 49
    NAME_WALLET_BALANCE = 50
    NAME_CODE = 51
    NAME_COUNT = 52

cdef extern from *:
    """
    #define FC_NAME_BIT(name) (1ULL << (name))
    """
    uint64_t FC_NAME_BIT(int name) noexcept nogil

cdef struct Owner:             # whose messages these are, and in which units; texts are borrowed
    Scale px_scale
    Scale qty_scale
    Text symbol
    Text category
    Text base_asset            # size 0: not given
    Text quote_asset
    Text prefix                # of our client order ids; size 0: none are ours

cdef struct Frame:             # one message being read
    const uint8_t* end
    Level* bids                # room for LEVELS_MAX each
    Level* asks
    uint64_t seen              # one FC_NAME_BIT per name met outside of items
    uint64_t have              # ... whose value has the right shape, and is stored below
    uint64_t off               # ... right in shape, but not representable
    uint64_t full              # ... levels, more than LEVELS_MAX
    Text topic
    Text type
    Text op
    Text request_id            # reqId, where it is a string
    int64_t ts_ms
    int64_t cts_ms
    int64_t creation_ms
    int64_t ret_code
    int32_t is_success
    int32_t _pad
    const uint8_t* items       # `data` where it is an array: at its [
    const uint8_t* orders      # data.list: at its [
    const uint8_t* codes       # retExtInfo.list: at its [
    Text symbol                # data.s
    seq_t update_id            # data.u
    seq_t cross_seq            # data.seq
    int64_t bid_count          # data.b
    int64_t ask_count          # data.a
    Text order_id              # data.orderId

cdef struct Item:              # one object of an array: where the values of its names start
    uint64_t seen              # one FC_NAME_BIT per name met
    const uint8_t* end         # no value reaches beyond
    const uint8_t* at[NAME_COUNT]
