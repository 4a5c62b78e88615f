# cython: language_level=3
"""Rebuild a book from tape rows by the venue's sync rule, noting its touch; see rebuild.pyx."""
from libc.stdint cimport int64_t

from fastcore.book cimport Book
from fastcore.rows cimport RowReader
from fastcore.sync cimport Sync
from fastcore.types cimport Event, ns_t


cdef class Rebuild:
    cdef readonly Book book
    cdef readonly Sync sync
    cdef readonly int64_t anchor_update_id     # the book's id when it first stood; -1: never yet
    cdef readonly int64_t applied              # depth messages applied since
    cdef RowReader _reader
    cdef Event _event

    cdef int _apply(self, int kind) noexcept nogil
