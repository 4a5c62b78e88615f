# cython: language_level=3
"""The built-in strategy `stat_arb`; see strategy_pairs.pyx."""
from libc.stdint cimport int32_t

from fastcore.strategy_abi cimport Target, View

cdef int32_t stat_arb(const View* view, const double* params, double* state,
                      Target* target) noexcept nogil
