"""Damage one depth line of a recorded capture, any line, any way: is the book ever wrong?

    python -m tests.fault_proof --seeds 300       all captures, each kind of fault at each seed

A wire can lose, repeat, reorder or cut a message. For each seed one of that is done to a depth
message behind the anchor, and what comes of it is held against the sorted-dictionary twin fed the
clean stream: after every message the book is not valid, or equal to the twin's at the same id. The
fault itself must be noticed no later than with the next depth message. A snapshot then brings the
clean book back. A repeated message is old news by its ids, as a second feed's: nothing changes.
"""

import argparse
import gzip
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fastcore.codec.binance_decode import Decoder
from fastcore.types import Code, SyncRule, SyncState
from tests.support_data import capture_messages, recorded
from tests.support_sync import BYBIT, FUTURES, SPOT, Sync, fast, levels, twin, unit_rows

KINDS = ("delete", "duplicate", "swap", "truncate")
RUN_IN = 2  # clean messages before the fault, so that a fresh Sync is SYNCED
AFTERMATH = 6  # and after it


class Line(NamedTuple):
    raw: bytes
    verb: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Capture:
    name: str
    rule: SyncRule
    symbol: str
    tick: str
    lot: str
    decimals: tuple[int, int]

    def is_broken(self, raw: bytes) -> bool:
        """Whether the bytes are refused as no message: then the core forgets the book."""
        if self.rule == BYBIT:
            return not _is_json(raw)
        return Decoder(self.symbol, self.tick, self.lot).decode_bytes(raw)[0] < 0

    def lines(self, count: int) -> list[Line]:
        read = _bybit_lines if self.rule == BYBIT else _binance_lines
        return [line for line, _ in zip(read(self), range(count), strict=False)]


CAPTURES = (
    Capture("binance_usdm/btcusdt_20240808.gz", FUTURES, "BTCUSDT", "0.10", "0.001", (1, 3)),
    Capture("binance_usdm/ethusdt_20240808.gz", FUTURES, "ETHUSDT", "0.01", "0.001", (2, 3)),
    Capture("binance_spot/btcusdt_20240808.gz", SPOT, "BTCUSDT", "0.01", "0.000001", (2, 6)),
    Capture("binance_coinm/btcusd_perp_20240808.gz", FUTURES, "BTCUSD_PERP", "0.1", "1", (1, 0)),
    Capture("BYBIT.jsonl.zst", BYBIT, "BTCUSDT", "0.10", "0.001", (1, 3)),
)


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def _binance_lines(capture: Capture) -> Iterator[Line]:
    """Snapshots and depth of a tape."""
    with gzip.open(recorded(capture.name), "rb") as tape:
        for line in tape:
            raw = line.split(b" ", 1)[1].strip()
            if b"lastUpdateId" not in raw and b"depthUpdate" not in raw:
                continue
            message = json.loads(raw)
            data = message.get("data", message)
            is_diff = "U" in data
            names = ("b", "a") if is_diff else ("bids", "asks")
            rows = [unit_rows(data[name], *capture.decimals) for name in names]
            if is_diff:
                ids = data["U"], data["u"], data.get("pu", -1)
                yield Line(raw, "on_depth_lists", (*ids, *rows))
            else:
                yield Line(raw, "on_snapshot_lists", (data["lastUpdateId"], *rows))


def _bybit_lines(capture: Capture) -> Iterator[Line]:
    """The first book of the symbol: linear; its second is spot's, with other ids."""
    last = None
    for raw in capture_messages(capture.name):
        if b'"orderbook.200.' + capture.symbol.encode() + b'"' not in raw:
            continue
        message = json.loads(raw)
        data = message["data"]
        if message["type"] == "snapshot" and last is not None:
            return
        last = data["u"]
        rows = [unit_rows(data[name], *capture.decimals) for name in ("b", "a")]
        if message["type"] == "snapshot":
            yield Line(raw, "on_snapshot_lists", (last, *rows, data["seq"]))
        else:
            yield Line(raw, "on_depth_lists", (last, last, -1, *rows, data["seq"]))


# -- ONE FAULT -----------------------------------------------------------------------------------


@dataclass
class Clean:
    """The clean stream's twin, and its book after each of the last few lines."""

    lines: list[Line]
    rule: SyncRule
    sync: Sync = field(init=False)
    position: int = 0
    recent: dict[int, tuple[int, Any]] = field(default_factory=dict)  # lines fed -> id, levels

    def __post_init__(self) -> None:
        self.sync = twin(self.rule)

    def around(self, at: int) -> dict[int, Any]:
        """Book by update id, of the ids from RUN_IN before line `at` to AFTERMATH behind it."""
        while self.position < at + AFTERMATH:
            _, verb, args = self.lines[self.position]
            code = getattr(self.sync, verb)(*args)
            assert code in (0, 1), f"the clean stream is not: {Code(code).name}"
            self.position += 1
            if self.sync.state == SyncState.SYNCED:
                state = self.sync.last_update_id, levels(self.sync.book)
                self.recent[self.position] = state
                self.recent.pop(self.position - RUN_IN - AFTERMATH - 1, None)
        return dict(self.recent[n] for n in range(at - RUN_IN, at + AFTERMATH + 1))


def planted(lines: list[Line], at: int, kind: str, cut: bytes) -> list[Line]:
    """Lines around `at` with a fault there; the fault is the first line that differs."""
    before, here = lines[at - RUN_IN : at], lines[at]
    after = lines[at + 1 : at + AFTERMATH]
    if kind == "delete":
        return [*before, *after]
    if kind == "duplicate":
        return [*before, here, here, *after]
    if kind == "swap":
        return [*before, after[0], here, *after[1:]]
    return [*before, Line(cut, "reset", ()), *after]


def try_fault(
    rule: SyncRule, history: dict[int, Any], lines: list[Line], kind: str, where: str
) -> None:
    """Feed lines with a fault behind RUN_IN sound ones; AssertionError if the book was wrong."""
    start, last = min(history), max(history)
    sync = fast(rule, window=4096)
    assert sync.on_snapshot_lists(start, *history[start]) == 1
    is_harmless = kind == "duplicate"
    noticed = None
    for index, (_, verb, args) in enumerate(lines):
        code = getattr(sync, verb)(*args)
        is_dropped = is_harmless and sync.stale_drops == 1
        if noticed is None and (verb == "reset" or code == Code.GAP or is_dropped):
            noticed = index
        if sync.state == SyncState.SYNCED:
            assert levels(sync.book) == history[sync.last_update_id], where
        else:
            assert not sync.book.is_two_sided, where
    assert noticed == RUN_IN + (kind == "duplicate"), f"{where}: noticed at {noticed}"
    assert (sync.state == SyncState.SYNCED) == is_harmless, where
    assert is_harmless or sync.on_snapshot_lists(last, *history[last]) == 1, where
    assert levels(sync.book) == history[last], where
    sync.check()


def prove(
    capture: Capture,
    seeds: int,
    lines_max: int = 10**9,
    progress: Callable[[str], None] = lambda _: None,
) -> int:
    """Plant each kind of fault at `seeds` places of a capture; how many faults were planted."""
    lines = capture.lines(lines_max)
    anchored = next(i for i, line in enumerate(lines) if line.verb == "on_snapshot_lists") + 30
    dice = random.Random(f"{capture.name} {seeds}")
    places = range(anchored + RUN_IN + 1, len(lines) - AFTERMATH)
    chosen = sorted(dice.sample(places, min(seeds, len(places))))
    clean, planted_count = Clean(lines, capture.rule), 0
    for at in chosen:
        raw = lines[at].raw
        cut = raw[: dice.randrange(1, len(raw))]
        assert capture.is_broken(cut), f"{capture.name} line {at} cut to {len(cut)} is believed"
        history = clean.around(at)
        for kind in KINDS:
            damaged, where = planted(lines, at, kind, cut), f"{capture.name} {kind} {at}"
            try_fault(capture.rule, history, damaged, kind, where)
            planted_count += 1
        progress(f"{capture.name}: {planted_count} faults")
    return planted_count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=200)
    for capture in CAPTURES:
        count = prove(capture, parser.parse_args().seeds)
        sys.stdout.write(f"{Path(capture.name).name}: {count} faults, none left a wrong book\n")


if __name__ == "__main__":
    sys.exit(main())
