# cython: language_level=3
"""Decay of a weight over time, the same bits on every machine; see decay.h."""

cdef extern from "decay.h" nogil:
    ctypedef struct fc_decay_t:
        double keep            # e^-x
        double alpha           # 1 - e^-x
    fc_decay_t fc_decay(double x)              # x >= 0
    double fc_power(double base, long long n)  # 0 <= base <= 1
    const double[32] fc_decay_steps
    const double[64] fc_decay_halves
