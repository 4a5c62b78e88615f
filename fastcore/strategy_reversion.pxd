# cython: language_level=3
"""The built-in strategy `mean_reversion`; see strategy_reversion.pyx."""
from libc.stdint cimport int32_t

from fastcore.strategy_abi cimport Target, View

cdef int32_t mean_reversion(const View* view, const double* params, double* state,
                            Target* target) noexcept nogil
