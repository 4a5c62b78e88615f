# cython: language_level=3
"""Strategies that quote both sides of a fair value, and their formulas; see strategy_quotes.pyx."""
from libc.math cimport exp, log1p, sqrt
from libc.stdint cimport int32_t

from fastcore.strategy_abi cimport Target, View

cdef inline double _log1p_over(double u) noexcept nogil:
    """ln(1 + u) / u, 1 at u = 0."""
    return log1p(u) / u if u > 0.0 else 1.0

cdef inline double intensity_half(double gamma, double kappa, double order_qty) noexcept nogil:
    """(1 / (gamma D)) ln(1 + gamma D / kappa): what an order earns where fills thin out as
    exp(-kappa * distance). 1 / kappa without risk aversion."""
    return _log1p_over(gamma * order_qty / kappa) / kappa

cdef inline double as_skew(double gamma, double sigma, double tau_s) noexcept nogil:
    """gamma sigma^2 tau: ticks of skew a lot held (Avellaneda-Stoikov 2008 eq. 8)."""
    return gamma * sigma * sigma * tau_s

cdef inline double glft_skew(double gamma, double kappa, double intensity,
                             double order_qty) noexcept nogil:
    """c2 of Gueant 2017 eq. (4.7), xi = gamma; times sigma it is ticks of skew a lot held.

    sqrt(gamma / (2 A D k) * (1 + u)^(1 + 1/u)), u = gamma D / k, the power as
    exp(ln(1 + u) + ln(1 + u) / u) so that it stays exact as u goes to 0.
    """
    cdef double u = gamma * order_qty / kappa
    cdef double power = exp(log1p(u) + _log1p_over(u))
    return sqrt(gamma / (2.0 * intensity * order_qty * kappa) * power)

cdef int32_t spread(const View* view, const double* params, double* state,
                    Target* target) noexcept nogil
cdef int32_t avellaneda_stoikov(const View* view, const double* params, double* state,
                                Target* target) noexcept nogil
cdef int32_t glft(const View* view, const double* params, double* state,
                  Target* target) noexcept nogil
cdef int32_t ofi_skew(const View* view, const double* params, double* state,
                      Target* target) noexcept nogil
cdef int32_t hold(const View* view, const double* params, double* state,
                  Target* target) noexcept nogil
