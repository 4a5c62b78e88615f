"""The capacity bench: its script, its figures, a small run with every row. No time is asserted."""

import json
import struct
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import capacity, capacity_script, machine
from engine.errors import TickmakerError
from engine.exchange.instruments import synthetic, synthetic_one
from engine.exchange.stack import VENUES, agent_markets
from engine.report.bench_terminal import print_bench
from fastcore.codec.binance_decode import Decoder
from fastcore.types import EventKind

PREFIX = "tm0a1b2c3d-01-"


def payload(frame: bytes) -> bytes:
    return frame[4:] if frame[1] == 126 else frame[2:]


# -- SCRIPT ---


def test_script_is_a_stream_that_the_snapshot_begins(tmp_path: Path) -> None:
    told = capacity_script.script(300, 1_700_000_000_000_000_000)
    decoder = Decoder("SYM000USDT", "0.01", "0.001", PREFIX, "SYM000", "USDT")
    kinds = [EventKind(decoder.decode_bytes(payload(frame))[0]) for frame in told.frames]
    assert set(kinds) >= {EventKind.BEST, EventKind.DEPTH, EventKind.TRADE}
    diffs = [json.loads(payload(frame))["data"] for frame, kind in zip(told.frames, kinds,
             strict=True) if kind is EventKind.DEPTH]  # fmt: skip
    assert diffs[0]["pu"] <= json.loads(told.snapshot)["lastUpdateId"] <= diffs[0]["u"]
    assert all(b["pu"] == a["u"] for a, b in pairwise(diffs))


def test_script_names_every_place_of_the_symbol(tmp_path: Path) -> None:
    told = capacity_script.script(60, 1_700_000_000_000_000_000)
    path = tmp_path / "script.bin"
    capacity_script.write(told.frames, path)
    data, at = path.read_bytes(), 0
    for frame in told.frames:
        size, count, *places = struct.unpack_from("<2i4i", data, at)
        written = bytearray(data[at + 24 : at + 24 + size])
        assert bytes(written) == frame
        for place in places[:count]:
            written[place : place + 3] = b"123"
        message = json.loads(payload(bytes(written)))
        assert message["stream"].startswith("sym123usdt@")
        assert message["data"]["s"] == "SYM123USDT"
        assert b"000usdt" not in bytes(written).lower()
        at += 24 + size
    assert at == len(data)


def test_frame_that_names_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the symbol 1"):
        capacity_script.write([b'\x81\x02{}'], tmp_path / "script.bin")


# -- SYNTHETIC INSTRUMENTS ---


@pytest.mark.parametrize("venue", VENUES)
def test_synthetic_instruments_are_alike_and_trade(venue: str) -> None:
    listings = synthetic(venue, 3)
    assert [one.instrument.symbol for one in listings.values()] == [
        "SYM000USDT", "SYM001USDT", "SYM002USDT"
    ]  # fmt: skip
    assert {one.instrument.base for one in listings.values()} == {"SYM000", "SYM001", "SYM002"}
    assert len({(one.start_px_ticks, one.instrument.px, one.instrument.qty)
                for one in listings.values()}) == 1  # fmt: skip
    (market,) = agent_markets(venue, ["sym002usdt"], 1, 0)
    assert market.instrument == synthetic_one(venue, "SYM002USDT").instrument
    market.advance(2_000_000_000)
    assert market.next_due_ns() > 2_000_000_000
    with pytest.raises(ValueError, match="synthetic instruments"):
        synthetic(venue, 1_001)


# -- FIGURES ---


def row(count: int, p99_us: float, n: int = 10) -> dict[str, Any]:
    figures = {"n": n, "p50_us": 1.0, "p99_us": p99_us, "p999_us": 3.0, "max_us": 4.0}
    return {
        "instruments": count, "tick_to_order": figures, "calm": figures, "away": figures,
        "waited_share": 0.0, "busy_share": 0.1, "orders_per_s": 5.0,
        "memory_mb": {"VmRSS": 9.0, "RssAnon": 8.0}, "start_up": {"seconds": 1.0},
    }  # fmt: skip


def test_row_is_the_median_over_rounds_and_knows_the_venue() -> None:
    made = capacity.row_of(200, [row(200, 5.0), row(200, 50.0), row(200, 6.0)])
    assert (made["p99_us"], made["n"], made["instruments"]) == (6.0, 30, 200)
    assert made["orders_per_s_each_by_venue"] == 0.1  # 1,200 a minute of all


def test_row_without_calm_slices_has_no_calm_figures() -> None:
    one = row(10, 5.0) | {"calm": {"n": 0, "p50_us": None, "p99_us": None}}
    made = capacity.row_of(10, [one])
    assert (made["calm_n"], made["calm_p99_us"]) == (0, None)


def test_doubling_is_held_against_few_instruments() -> None:
    table = [{"instruments": count, "p99_us": p99} for count, p99 in
             ((1, 10.0), (10, 12.0), (50, 21.0), (100, 22.0), (200, 40.0))]
    assert capacity.doubles(table) == {"few_p99_us": 11.0, "at": 100}
    assert capacity.doubles(table[:3])["at"] is None
    assert capacity.doubles(table[3:]) == {"few_p99_us": None, "at": None}


def test_carried_is_what_nothing_was_lost_at() -> None:
    fine: dict[str, int] = {"gaps": 0, "malformed": 0, "late": 0}
    rows = [{"instruments": count, "counts": dict(fine)} for count in (10, 50, 200, 10, 50, 200)]
    assert capacity.carried(rows) == 200
    rows[4]["counts"]["late"] = 1
    assert capacity.carried(rows) == 10
    rows[0]["counts"]["gaps"] = 1
    assert capacity.carried(rows) == 0


# -- RUN ---


@pytest.mark.parametrize("bad", [
    {"counts": ()}, {"counts": (0,)}, {"counts": (1_000,)}, {"rate": 0}, {"rounds": 0},
    {"seconds": 0.0}, {"recorder_at": -1},
])  # fmt: skip
def test_loads_of_nothing_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(TickmakerError, match="want"):
        capacity.run(**bad)


def test_small_run_has_every_row(tmp_path: Path) -> None:
    try:
        machine.choose_cpus(2)
    except TickmakerError:
        pytest.skip("the bench needs two processors")
    out = tmp_path / "capacity.json"
    result = capacity.run((1, 12), rate=50, seconds=0.6, rounds=1, recorder_at=2, out=out)
    assert json.loads(out.read_text()) == result
    for told, count in zip(result["rows"], (1, 12), strict=True):
        assert told["instruments"] == count
        assert told["n"] > 0
        assert 0 < told["p50_us"] <= told["p99_us"] <= told["max_us"]
    for told in result["rounds"]:
        assert told["venue"]["dry"] == 0
        assert told["counts"]["gaps"] == told["counts"]["malformed"] == 0
        assert told["venue"]["places"] >= told["counts"]["orders_sent"] > 0
    assert len(result["recorder"]["beside"]) == len(result["recorder"]["stopped"]) == 3
    assert 0 <= result["carried"] <= 12
    shown = Console(file=StringIO(), width=120)
    print_bench(result, shown)  # every target is one that it can hold a figure against
    assert "recorder.p99_ratio" in shown.file.getvalue()  # type: ignore[attr-defined]
    assert sum(result["recorder"]["order_events_per_s"]) > 0
    assert {"doubles", "targets", "method", "machine", "commit"} <= result.keys()
