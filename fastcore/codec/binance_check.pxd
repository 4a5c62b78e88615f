# cython: language_level=3
"""Checks of a codec's arguments; see binance_check.pyx."""
from fastcore.types cimport Scale

cdef enum:
    SYMBOL_SIZE_MAX = 32       # bytes; venues' longest are about 20

cdef int check_symbol(str symbol) except -1
cdef int check_asset(str name, str asset) except -1
cdef int check_scale(str name, str text, Scale* scale) except -1
cdef int check_client_prefix(str prefix) except -1
