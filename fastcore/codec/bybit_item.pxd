# cython: language_level=3
"""Items of Bybit's arrays as events; see bybit_item.pyx."""
from fastcore.codec.bybit_frame cimport Item, Owner
from fastcore.types cimport AccountEvent, OrderEvent, ReplyEvent, TradeEvent

cdef enum:
    NOT_A_TRADE = 1            # read_execution: funding; nothing to tell

# Each: OK with the event filled, or the code of the first value that can't be used.
# E_OTHER_SYMBOL: an item of another instrument, of which nothing else was read.
cdef int read_trade(const Item* item, const Owner* owner, TradeEvent* trade) noexcept nogil
cdef int read_order(const Item* item, const Owner* owner, OrderEvent* order) noexcept nogil
cdef int read_execution(const Item* item, const Owner* owner, OrderEvent* order) noexcept nogil
cdef int read_position(const Item* item, const Owner* owner, AccountEvent* account) noexcept nogil
cdef int read_coin(const Item* item, const Owner* owner, AccountEvent* account) noexcept nogil
cdef int read_batch_order(const Item* item, const Owner* owner, ReplyEvent* reply) noexcept nogil
