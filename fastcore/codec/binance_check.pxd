# cython: language_level=3
"""Checks of a codec's arguments; see binance_check.pyx."""
from libc.stdint cimport int64_t

from fastcore.types cimport Scale

cdef enum:
    SYMBOL_SIZE_MAX = 32       # bytes; venues' longest are about 20
    API_KEY_SIZE_MAX = 128     # Binance's have 64
    SECRET_SIZE_MAX = 256
    RECV_WINDOW_MS_MAX = 60000

cdef int check_symbol(str symbol) except -1
cdef int check_asset(str name, str asset) except -1
cdef int check_scale(str name, str text, Scale* scale) except -1
cdef int check_client_prefix(str prefix) except -1
cdef int check_credential(bytes api_key, bytes secret) except -1
cdef int check_recv_window(int64_t recv_window_ms) except -1
