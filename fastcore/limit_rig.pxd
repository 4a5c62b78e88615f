# cython: language_level=3
"""Python's checked face of a LimitBook; see limit_rig.pyx."""
from fastcore.limit_book cimport LimitBook


cdef class LimitRig:
    cdef readonly LimitBook book
