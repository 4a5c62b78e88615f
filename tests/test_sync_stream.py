"""Sync without REST: Bybit's stream, which brings its own snapshots, and partial-depth streams."""

import json

import pyarrow as pa
import pytest
from support_data import recorded
from support_sync import (
    ASKS,
    BIDS,
    BYBIT,
    PARTIAL,
    diff,
    fast,
    levels,
    picture,
    twin,
    unit_rows,
)

from fastcore.types import Code, Side, SyncState

SEQ = 7_961_638_724  # as Bybit's, far beyond any u


@pytest.fixture(params=[fast, twin], ids=["fast", "reference"])
def new_sync(request):
    return request.param


@pytest.fixture
def sync(new_sync):
    """Bybit, snapshot 100 in."""
    made = new_sync(BYBIT)
    assert made.on_snapshot_lists(100, BIDS, ASKS) == 1
    return made


def delta(sync, u, bid=(990, 1), ask=(1010, 1), seq=0):
    return sync.on_depth_lists(u, u, -1, [bid], [ask], seq)


# -- BYBIT: SNAPSHOTS ------------------------------------------------------------------------


def test_new_sync_wants_nothing_because_the_snapshot_comes_unasked(new_sync):
    sync = new_sync(BYBIT)
    assert (sync.state, sync.snapshot_wanted, sync.resubscribe_wanted) == (0, False, False)
    assert sync.on_best_values(5, 1, 1, 2, 1) == 0
    sync.check()


def test_streams_snapshot_is_a_book_at_once(sync):
    assert (sync.state, sync.last_update_id) == (SyncState.SYNCED, 100)
    assert levels(sync.book) == (BIDS, ASKS)
    assert sync.book.is_two_sided
    sync.check()


def test_deltas_before_the_snapshot_are_dropped_and_ask_for_one(new_sync):
    sync = new_sync(BYBIT)
    assert [delta(sync, u) for u in (98, 99, 100)] == [0, 0, 0]
    assert (sync.early_drops, sync.waiting_count, sync.state) == (3, 0, SyncState.EMPTY)
    assert (sync.resubscribe_wanted, sync.snapshot_wanted) == (True, False)
    assert sync.on_snapshot_lists(100, BIDS, ASKS) == 1
    assert levels(sync.book) == (BIDS, ASKS)
    assert not sync.resubscribe_wanted
    sync.check()


@pytest.mark.parametrize("u", [1, 50, 100, 101, 10**12])
def test_snapshot_in_mid_stream_replaces_the_book_at_any_time(sync, u):
    """u == 1: the service was restarted. Others: after trouble on the venue's side."""
    assert delta(sync, 101) == 1
    assert sync.on_snapshot_lists(u, [(7, 1)], [(9, 2)]) == 1
    assert levels(sync.book) == ([(7, 1)], [(9, 2)])
    assert (sync.state, sync.last_update_id, sync.gaps) == (SyncState.SYNCED, u, 0)
    assert delta(sync, u + 1, bid=(6, 1), ask=(10, 1)) == 1
    assert delta(sync, u + 3) == Code.GAP
    sync.check()


@pytest.mark.parametrize(
    ("bids", "asks", "code", "counter"),
    [(BIDS, [(1000, 1)], Code.CROSSED, "crossed"), ([(0, 1)], ASKS, Code.RANGE, "rejected")],
)
def test_unusable_snapshot_leaves_no_book_and_asks_for_another(sync, bids, asks, code, counter):
    assert sync.on_snapshot_lists(200, bids, asks) == code
    assert (sync.state, sync.resubscribe_wanted, getattr(sync, counter)) == (3, True, 1)
    assert levels(sync.book) == ([], [])
    sync.check()


# -- BYBIT: DELTAS ---------------------------------------------------------------------------


def test_delta_one_further_is_applied(sync):
    for u in range(101, 110):
        assert delta(sync, u, bid=(990, u)) == 1
        assert (sync.last_update_id, sync.book.qty_at(Side.BUY, 990)) == (u, u)
    sync.check()


@pytest.mark.parametrize("u", [100, 99, 1, 0])
def test_a_delta_that_we_had_already_is_ignored(sync, u):
    """A second connection brings every delta again."""
    assert delta(sync, u, bid=(990, 77)) == 0
    assert (sync.state, sync.stale_drops, sync.gaps) == (SyncState.SYNCED, 1, 0)
    assert (sync.last_update_id, sync.book.qty_at(Side.BUY, 990) != 77) == (100, True)
    assert delta(sync, 101, bid=(990, 5)) == 1
    sync.check()


def test_seq_not_u_says_what_is_old_after_a_restart(new_sync):
    """u begins anew, seq goes on: the other connection's last words of before are no gap, its
    copy of the new snapshot is no news, and the next restart is."""
    sync = new_sync(BYBIT)
    assert sync.on_snapshot_lists(900, BIDS, ASKS, 5_000) == 1
    assert sync.on_snapshot_lists(1, BIDS, ASKS, 5_010) == 1
    assert delta(sync, 2, bid=(990, 7), seq=5_011) == 1
    assert delta(sync, 901, bid=(990, 8), seq=5_004) == 0
    assert sync.on_snapshot_lists(1, BIDS, ASKS, 5_010) == 0
    assert sync.on_snapshot_lists(3, BIDS, ASKS, 5_011) == 0
    assert (sync.last_update_id, sync.gaps, sync.stale_drops) == (2, 0, 3)
    assert sync.book.qty_at(Side.BUY, 990) == 7
    assert sync.on_snapshot_lists(1, BIDS, ASKS, 20) == 1  # seq, too, may begin anew
    assert delta(sync, 2, bid=(990, 9), seq=21) == 1
    sync.check()


@pytest.mark.parametrize("u", [102, 10**9])
def test_any_other_delta_is_a_gap_and_asks_for_a_subscription_not_rest(sync, u):
    assert delta(sync, u) == Code.GAP
    assert (sync.state, sync.gaps, sync.waiting_count) == (SyncState.GAP, 1, 0)
    assert (sync.resubscribe_wanted, sync.snapshot_wanted) == (True, False)
    assert levels(sync.book) == ([], [])
    sync.check()
    assert delta(sync, u + 1) == 0  # the old subscription's last words
    assert (sync.early_drops, sync.resubscribe_wanted, sync.gaps) == (1, True, 1)
    assert sync.on_snapshot_lists(500, BIDS, ASKS) == 1
    assert (sync.state, sync.resubscribe_wanted) == (SyncState.SYNCED, False)
    sync.check()


@pytest.mark.parametrize(
    ("rows", "code", "counter"),
    [({"bid": (1001, 1)}, Code.CROSSED, "crossed"), ({"ask": (0, 1)}, Code.RANGE, "rejected")],
)
def test_delta_that_breaks_the_book_loses_sync(sync, rows, code, counter):
    assert delta(sync, 101, **rows) == code
    assert (sync.state, sync.resubscribe_wanted, getattr(sync, counter)) == (3, True, 1)
    assert levels(sync.book) == ([], [])
    sync.check()


def test_reset_waits_for_the_new_connections_snapshot(sync):
    delta(sync, 300)
    sync.reset()
    assert (sync.state, sync.resubscribe_wanted, sync.last_update_id) == (0, False, -1)
    assert sync.on_snapshot_lists(3, BIDS, ASKS) == 1
    sync.check()


def test_partial_book_is_not_taken(sync):
    assert sync.on_partial_lists(200, BIDS, ASKS) == Code.STATE
    assert sync.last_update_id == 100


# -- BYBIT: THE LEVEL-1 STREAM ---------------------------------------------------------------


def test_best_price_is_fused_by_seq_because_each_topic_counts_its_own_u(new_sync):
    sync = new_sync(BYBIT)
    sync.on_snapshot_lists(100, BIDS, ASKS, SEQ)
    assert sync.on_best_values(SEQ - 1, 999, 1, 1000, 1) == Code.STALE
    assert sync.on_best_values(SEQ + 5, 999, 3, 1002, 4) == 1
    assert (sync.book.bid_px_ticks, sync.book.ask_px_ticks) == (999, 1002)
    assert delta(sync, 101, seq=SEQ + 4) == 1
    assert sync.book.bid_px_ticks == 999  # the best price is still the newer
    assert delta(sync, 102, seq=SEQ + 6) == 1
    assert (sync.book.bid_px_ticks, sync.book.bid_qty_lots) == (1000, 5)
    sync.check()


def test_best_price_resent_after_three_quiet_seconds_changes_nothing(new_sync):
    """The level-1 topic sends its snapshot again, with the same ids."""
    sync = new_sync(BYBIT)
    sync.on_snapshot_lists(100, BIDS, ASKS, SEQ)
    sync.on_best_values(SEQ + 5, 999, 3, 1002, 4)
    before = picture(sync)
    assert sync.on_best_values(SEQ + 5, 999, 3, 1002, 4) == Code.STALE
    assert picture(sync) == before
    sync.check()


def test_best_price_is_left_out_where_depth_tells_no_seq(sync):
    assert sync.on_best_values(SEQ, 999, 3, 1002, 4) == 0
    assert sync.book.bid_px_ticks == 1000
    assert delta(sync, 101, seq=SEQ) == 1
    assert sync.on_best_values(SEQ + 1, 999, 3, 1002, 4) == 1
    sync.check()


def test_snapshot_forgets_the_best_price_because_seq_may_have_restarted(new_sync):
    sync = new_sync(BYBIT)
    sync.on_snapshot_lists(100, BIDS, ASKS, SEQ)
    sync.on_best_values(SEQ + 5, 999, 3, 1002, 4)
    assert sync.on_snapshot_lists(1, BIDS, ASKS, 50) == 1
    assert levels(sync.book) == (BIDS, ASKS)
    assert sync.on_best_values(51, 999, 3, 1002, 4) == 1
    sync.check()


def test_crossed_best_price_loses_sync(new_sync):
    sync = new_sync(BYBIT)
    sync.on_snapshot_lists(100, BIDS, ASKS, SEQ)
    assert sync.on_best_values(SEQ + 1, 1002, 3, 1002, 4) == Code.CROSSED
    assert (sync.state, sync.resubscribe_wanted, sync.crossed) == (SyncState.GAP, True, 1)
    sync.check()


# -- BYBIT: RECORDED -------------------------------------------------------------------------

DECIMALS = (5, 8)  # enough for each symbol of the capture


def recorded_books():
    """(connection, topic) of the depth messages of a capture, each with its data, in order."""
    path = recorded("raw_multivenue/BYBIT.jsonl.zst")
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        records = [json.loads(line) for line in stream.read().splitlines()]
    for record in records:
        message = json.loads(record["data"]) if record["t"] == "recv" else {}
        if message.get("topic", "").startswith("orderbook."):
            yield (record["conn"], message["topic"]), message["type"], message["data"]


def test_recorded_streams_are_in_sequence_and_never_crossed(new_sync):
    books, deltas = {}, 0
    for name, kind, data in recorded_books():
        sync = books.setdefault(name, new_sync(BYBIT, window=4096))
        rows = [unit_rows(data[side], *DECIMALS) for side in ("b", "a")]
        if kind == "snapshot":
            assert sync.on_snapshot_lists(data["u"], *rows, data["seq"]) == 1
        else:
            assert sync.on_depth_lists(data["u"], data["u"], -1, *rows, data["seq"]) == 1
            deltas += 1
        assert sync.book.is_two_sided
        # The venue deletes what leaves the 200 best: nothing stale piles up behind them.
        assert [sync.book.level_count(side) for side in Side] == [200, 200]
    assert (len(books), deltas) == (6, 2142)
    for sync in books.values():
        sync.check()


# -- PARTIAL ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["on_partial_lists", "on_snapshot_lists"])
def test_each_message_is_the_whole_book(new_sync, verb):
    """Spot's partial stream looks like a REST snapshot, USD-M's like a diff."""
    sync = new_sync(PARTIAL)
    assert getattr(sync, verb)(100, BIDS, ASKS) == 1
    assert (sync.state, levels(sync.book)) == (SyncState.SYNCED, (BIDS, ASKS))
    assert getattr(sync, verb)(105, [(1002, 1)], [(1003, 2)]) == 1
    assert levels(sync.book) == ([(1002, 1)], [(1003, 2)])
    assert diff(sync, 107, 110, 3, bid=(1001, 1), ask=(1004, 1)) == 1
    assert levels(sync.book) == ([(1001, 1)], [(1004, 1)])
    assert (sync.snapshot_wanted, sync.resubscribe_wanted) == (False, False)
    sync.check()


@pytest.mark.parametrize("final", [99, 100])
def test_old_partial_book_is_dropped(new_sync, final):
    sync = new_sync(PARTIAL)
    sync.on_partial_lists(100, BIDS, ASKS)
    assert sync.on_partial_lists(final, [(1, 1)], [(2, 1)]) == 0
    assert (levels(sync.book), sync.stale_drops) == ((BIDS, ASKS), 1)


def test_crossed_partial_book_is_lost_and_the_next_one_mends_it(new_sync):
    sync = new_sync(PARTIAL)
    sync.on_partial_lists(100, BIDS, ASKS)
    assert sync.on_partial_lists(101, BIDS, [(1000, 1)]) == Code.CROSSED
    assert (sync.state, sync.crossed, levels(sync.book)) == (SyncState.GAP, 1, ([], []))
    sync.check()
    assert sync.on_partial_lists(102, BIDS, ASKS) == 1
    assert sync.state == SyncState.SYNCED
    sync.check()


def test_partial_book_is_fused_with_the_best_price_by_id(new_sync):
    sync = new_sync(PARTIAL)
    sync.on_partial_lists(100, BIDS, ASKS)
    assert sync.on_best_values(99, 998, 1, 999, 1) == Code.STALE
    assert sync.on_best_values(103, 999, 2, 1001, 3) == 1
    assert (sync.book.bid_px_ticks, sync.book.bid_qty_lots) == (999, 2)
    assert sync.on_partial_lists(103, BIDS, ASKS) == 1
    assert sync.book.bid_px_ticks == 1000
    sync.check()
