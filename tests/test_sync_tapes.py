"""Sync on recorded tapes: no gap, never crossed, equal to the venue's own best price; and planted
faults are found by the next message."""

import bisect
import random
from typing import NamedTuple

import pytest
from support_sync import (
    FUTURES,
    SPOT,
    Message,
    fast,
    levels,
    picture,
    read_tape,
    twin,
)

from fastcore.types import Code, SyncState
from tests import fault_proof


@pytest.fixture(params=[fast, twin], ids=["fast", "reference"])
def new_sync(request):
    return request.param


@pytest.fixture(scope="session")
def smoke_tape(data_dir):
    return read_tape(data_dir / "binance_usdm/btcusdt_20220811_7s.gz", 1, 3, 10**9)


# Spot: 6 decimals, not the filter's 5: three old orders of the tape stand off today's lot grid.
TAPES = {
    "usdm_7s": ("binance_usdm/btcusdt_20220811_7s.gz", FUTURES, 1, 3, 10**9),
    "usdm": ("binance_usdm/btcusdt_20240808.gz", FUTURES, 1, 3, 15_000),
    "spot": ("binance_spot/btcusdt_20240808.gz", SPOT, 2, 6, 15_000),
}


@pytest.mark.parametrize("window", [256, 32768])
@pytest.mark.parametrize("name", TAPES)
def test_real_tape_has_no_gap_is_never_crossed_and_ends_equal(data_dir, name, window):
    path, rule_kind, px_decimals, qty_decimals, lines = TAPES[name]
    made, expected = fast(rule_kind, window=window), twin(rule_kind)
    touch = ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots", "is_two_sided")
    tickers = {}  # the venue's own oracle: its touch at an id, whichever stream came first
    applied = agreed = compared = 0
    for verb, args in read_tape(data_dir / path, px_decimals, qty_decimals, lines):
        code = getattr(made, verb)(*args)
        assert code == getattr(expected, verb)(*args)
        assert code in (0, 1, Code.STALE)
        for field in touch:
            assert getattr(made.book, field) == getattr(expected.book, field)
        applied += code == 1
        if verb == "on_best_values":
            tickers[args[0]] = args[1:]
        if made.state == SyncState.SYNCED and made.book.depth_update_id in tickers:
            compared += 1
            oracle = tickers.pop(made.book.depth_update_id)
            agreed += made.book.depth_touch_values() == (Code.OK, *oracle)
    assert (made.gaps, made.crossed, made.rejected) == (0, 0, 0)
    assert made.state == SyncState.SYNCED
    # The long tapes' snapshot comes after diffs that it contains, the smoke tape's before any.
    assert (made.stale_drops > 0) == (name != "usdm_7s")
    assert applied > 100
    assert agreed == compared
    assert (compared > 100) == (name != "usdm_7s")  # which carries no bookTicker
    assert picture(made) == picture(expected)
    made.check()


@pytest.mark.parametrize(
    ("path", "rule_kind", "decimals", "exact"),
    [
        ("binance_usdm/btcusdt_20240808.gz", FUTURES, (1, 3), 1.0),
        ("binance_usdm/ethusdt_20240808.gz", FUTURES, (2, 3), 1.0),
        ("binance_spot/btcusdt_20240808.gz", SPOT, (2, 6), 0.999),
        ("binance_spot/ethusdt_20240808.gz", SPOT, (2, 6), 0.999),
        ("binance_coinm/btcusd_perp_20240808.gz", FUTURES, (1, 0), 1.0),
    ],
)
def test_live_fused_touch_is_the_venues_own(data_dir, path, rule_kind, decimals, exact):
    """After every message, whichever stream it came by, the fused touch is that of the venue's
    bookTicker with the greatest id not above the book's. (Replayed: test_tape_verify.py.)"""
    sync = fast(rule_kind, window=32768)
    messages = read_tape(data_dir / path, *decimals, 12_000)
    tickers = sorted(args for verb, args in messages if verb == "on_best_values")
    ids = [args[0] for args in tickers]
    seen = equal = ahead = 0
    for verb, args in messages:
        if getattr(sync, verb)(*args) != 1 or sync.state != SyncState.SYNCED:
            continue
        book = sync.book
        touch = (book.bid_px_ticks, book.bid_qty_lots, book.ask_px_ticks, book.ask_qty_lots)
        seen += 1
        ahead += book.best_update_id > book.depth_update_id
        equal += touch == tickers[bisect.bisect_right(ids, book.update_id) - 1][1:]
    assert seen > 1000
    assert ahead > 100  # both streams had their say
    assert seen - ahead > 100
    assert equal >= exact * seen


@pytest.mark.parametrize("capture", fault_proof.CAPTURES, ids=lambda capture: capture.name)
def test_fault_anywhere_never_leaves_a_wrong_book(capture):
    """The proof in small; `python -m tests.fault_proof` runs hundreds of seeds."""
    assert fault_proof.prove(capture, 8, 500) == 8 * len(fault_proof.KINDS)


class Fault(NamedTuple):
    kind: str
    at: int  # index into the messages


def plant(messages: list[Message], fault: Fault) -> list[Message]:
    at = fault.at
    if fault.kind == "delete":
        return [*messages[:at], *messages[at + 1 :]]
    if fault.kind == "duplicate":
        return [*messages[:at], messages[at], *messages[at:]]
    return [*messages[:at], messages[at + 1], messages[at], *messages[at + 2 :]]


@pytest.fixture(scope="session")
def depth_tape(smoke_tape):
    """Depth and snapshot alone, and the twin's book after each id of the clean stream."""
    messages = [message for message in smoke_tape if message.verb != "on_best_values"]
    clean, history, anchored_at = twin(FUTURES), {}, None
    for index, (verb, args) in enumerate(messages):
        getattr(clean, verb)(*args)
        if clean.state == SyncState.SYNCED:
            anchored_at = index if anchored_at is None else anchored_at
            history[clean.last_update_id] = levels(clean.book)
    assert clean.gaps == 0
    return messages, history, anchored_at


def test_repeated_depth_message_changes_nothing(depth_tape, new_sync):
    messages, history, anchored_at = depth_tape
    places = range(anchored_at + 1, len(messages) - 2)
    for at in random.Random("duplicate").sample(places, min(30, len(places))):
        sync = new_sync(FUTURES, window=4096)
        codes = [getattr(sync, verb)(*args)
                 for verb, args in plant(messages, Fault("duplicate", at))]  # fmt: skip
        assert codes[at + 1] == 0, at
        assert Code.GAP not in codes, at
        assert levels(sync.book) == history[sync.last_update_id], at


@pytest.mark.parametrize("kind", ["delete", "swap"])
def test_planted_fault_is_detected_by_the_next_depth_message(depth_tape, new_sync, kind):
    messages, history, anchored_at = depth_tape
    places = range(anchored_at + 1, len(messages) - 2)
    for at in random.Random(kind).sample(places, min(30, len(places))):
        sync = new_sync(FUTURES, window=4096)
        codes = []
        for verb, args in plant(messages, Fault(kind, at)):
            codes.append(getattr(sync, verb)(*args))
            if sync.state == SyncState.SYNCED:
                assert levels(sync.book) == history[sync.last_update_id], (kind, at)
        assert codes.index(Code.GAP) == at, (kind, at)
        assert (sync.gaps, sync.state, sync.snapshot_wanted) == (1, SyncState.GAP, True)
        recover(sync, messages, history, at)


def recover(sync, messages, history, at):
    """The next snapshot, of a moment after the fault, brings the clean stream's book back."""
    last = max(history)
    assert sync.on_snapshot_lists(last, *history[last]) == 1
    assert levels(sync.book) == history[last], at
    assert sync.last_update_id == last
    sync.check()
