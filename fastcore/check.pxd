# cython: language_level=3
"""Safe-build checks and branch hints; see check.h."""

cdef extern from "check.h" nogil:
    void FC_DCHECK(bint condition)
    bint FC_IS_SAFE
    bint fc_likely(bint condition)
    bint fc_unlikely(bint condition)
