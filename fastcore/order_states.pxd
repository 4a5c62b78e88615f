# cython: language_level=3
"""The one table of order states; see order_states.pyx."""
from libc.stdint cimport int8_t

cdef enum:
    ORDER_STATES = 11          # ORD_FREE..ORD_PENDING_REPLACE
    ORDER_STAYS = -1           # cells of the table that are no state
    ORDER_NEVER = -2
    ORDER_WORKS = 0            # column: our last message is answered, or did not leave

# ORD_*, ORDER_STAYS or ORDER_NEVER.
cdef int8_t[ORDER_STATES][ORDER_STATES] ORDER_NEXT
