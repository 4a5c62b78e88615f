# cython: language_level=3
"""Snapshot + diff synchronisation as a pure state machine; rules in sync.pyx."""
from libc.stdint cimport int64_t

from fastcore.book cimport Book, LevelScratch
from fastcore.types cimport BestEvent, DepthEvent, Level, px_t, seq_t

cdef enum:
    SYNC_EVENTS_MAX = 4096         # diffs: 3 min of BTCUSDT perp's depth@0ms (19 a second)
    SYNC_LEVELS_MAX = 262144       # their levels (68 a diff on that tape); 4 MiB

cdef struct Waiting:               # a buffered diff; its bids, then its asks, stand at level_index
    DepthEvent event               # bids / asks pointers are set when it is replayed
    int64_t level_index

cdef class Sync:
    cdef:
        readonly Book book
        readonly int state                 # SYNC_*
        readonly int rule                  # SYNC_RULE_*
        bint _has_rest                     # the rule wants snapshots by REST, and diffs wait
        bint _is_fusable                   # on_best's ids can be compared with the book's
        seq_t _restart_seq                 # Bybit: seq of the snapshot with u 1; -1: there was none
        readonly bint snapshot_wanted      # from REST: stays True until a usable one is in
        readonly bint resubscribe_wanted   # Bybit: stays True until the stream's snapshot is in
        readonly seq_t last_update_id      # of the last diff or snapshot applied; -1: none
        readonly int64_t gaps              # chain broken
        readonly int64_t crossed           # book crossed after a whole message
        readonly int64_t rejected          # the book refused a diff (E_RANGE, E_FULL)
        readonly int64_t stale_drops       # diffs older than the book
        readonly int64_t early_drops       # Bybit: deltas without a snapshot to stand on
        readonly int64_t stale_snapshots   # snapshots older than the buffer
        readonly int64_t overflows         # buffer full: everything in it dropped
        readonly int64_t waiting_count     # diffs in the buffer
        int64_t _events_max
        int64_t _levels_max
        int64_t _level_count
        px_t _edge_px_ticks[2]             # worst level a side of the REST snapshot; 0: none
        Waiting* _waiting
        Level* _levels
        LevelScratch _scratch

    # 1 applied | 0 buffered, or dropped as stale or early | E_GAP, E_CROSSED, E_RANGE, E_FULL: sync
    # is lost (state SYNC_GAP, book cleared, snapshot_wanted and this diff starts the new buffer, or
    # resubscribe_wanted)
    # | E_FULL also when the buffer overflowed (state unchanged, only this diff is kept)
    cdef int on_depth(self, const DepthEvent* event) noexcept nogil
    # 1 synced or anchoring (see state) | E_STALE older than the buffer: another is wanted
    # | E_STATE not asked for: ignored | E_RANGE, E_FULL, E_CROSSED unusable: another is wanted
    # | E_GAP etc. the buffer itself is broken: another is wanted
    cdef int on_snapshot(self, const DepthEvent* event) noexcept nogil
    # Rule PARTIAL (there on_depth and on_snapshot are the same as this): 1 applied | 0 stale
    # | E_STATE another rule: ignored | E_RANGE, E_FULL, E_CROSSED: no book until the next message
    cdef int on_partial(self, const DepthEvent* event) noexcept nogil
    # 1 applied | 0 not SYNCED: ignored | E_STALE, E_RANGE ignored | E_CROSSED: sync is lost
    cdef int on_best(self, const BestEvent* event) noexcept nogil
    cpdef void reset(self) noexcept nogil  # reconnect: nothing known, snapshot wanted
    # The touch is beyond the worst level of the REST snapshot: levels between may be unknown.
    cpdef bint is_past_snapshot(self) noexcept nogil

    cdef bint _is_stale(self, const DepthEvent* event) noexcept nogil
    cdef bint _is_anchor(self, const DepthEvent* event) noexcept nogil
    cdef bint _is_next(self, const DepthEvent* event) noexcept nogil
    cdef int _apply(self, const DepthEvent* event) noexcept nogil
    cdef DepthEvent _by_cross_seq(self, const DepthEvent* event) noexcept nogil
    cdef int _on_stream_snapshot(self, const DepthEvent* event) noexcept nogil
    cdef int _on_early(self, const DepthEvent* event) noexcept nogil
    cdef int _on_break(self, const DepthEvent* event) noexcept nogil
    cdef bint _is_repeated(self, const DepthEvent* event) noexcept nogil
    cdef void _forget_ids(self) noexcept nogil
    cdef int _lose(self, int code) noexcept nogil
    cdef int _lose_with(self, int code, const DepthEvent* event) noexcept nogil
    cdef int _buffer(self, const DepthEvent* event) noexcept nogil
    cdef int _replay(self) noexcept nogil
    cdef void _drop_waiting(self, int64_t count) noexcept nogil
    cdef DepthEvent _waiting_event(self, int64_t index) noexcept nogil
