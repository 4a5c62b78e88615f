# cython: language_level=3
"""Balances and positions of Binance accounts; see binance_account.pyx."""
from fastcore.codec.binance_frame cimport Frame
from fastcore.types cimport AccountEvent

# ACCOUNT_UPDATE, outboundAccountPosition and balanceUpdate, walked: OK with *account filled but for
# its time, E_MALFORMED or E_RANGE.
cdef int read_futures_account(const Frame* frame, AccountEvent* account) noexcept nogil
cdef int read_spot_account(const Frame* frame, AccountEvent* account) noexcept nogil
cdef int read_balance_change(const Frame* frame, AccountEvent* account) noexcept nogil
