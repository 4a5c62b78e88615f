"""Verifying a tape: clean ones pass, each planted fault is found, recorded ones are exact."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support_data import recorded

from engine.errors import TickmakerError
from engine.tape.importer import import_files
from engine.tape.verify import verify_tape
from tests.tape_captures import capture, write

VENUES = ["binance_usdm", "binance_spot", "binance_coinm"]
KEYS = {
    "messages",
    "span_s",
    "update_id_gaps",
    "crossed",
    "bbo_checks",
    "bbo_match",
    "clock_offset_ms",
}


def verified(tmp_path: Path, lines: list[str]) -> dict[str, Any]:
    out = tmp_path / "x.tape.arrow"
    import_files([write(tmp_path / "x", lines)], out)
    return verify_tape(out)


@pytest.mark.parametrize("venue", VENUES)
def test_clean_capture_passes(tmp_path: Path, venue: str) -> None:
    result = verified(tmp_path, capture(venue))
    assert result.keys() >= KEYS
    assert (result["update_id_gaps"], result["crossed"]) == (0, 0)
    assert result["bbo_match"] == 1.0
    assert result["bbo_checks"] == result["depth_applied"] > 30
    assert result["span_s"] == pytest.approx(0.123, abs=0.01)
    assert result["messages"]["depth"] == 41
    json.dumps(result)


def test_raw_capture_is_verified_directly(tmp_path: Path) -> None:
    lines = capture()
    direct = verify_tape(write(tmp_path / "raw", lines))
    through = verified(tmp_path, lines)
    for key in KEYS:
        assert direct[key] == through[key]


@pytest.mark.parametrize("venue", VENUES)
def test_missing_diffs_are_gaps_each_counted(tmp_path: Path, venue: str) -> None:
    lines = capture(venue)
    depth = [n for n, line in enumerate(lines) if "depthUpdate" in line]
    for n in (depth[35], depth[25]):
        del lines[n]
    result = verified(tmp_path, lines)
    assert result["update_id_gaps"] == 2
    # After a gap there is no book, so nothing is claimed of it.
    assert result["depth_applied"] < 20


def test_missing_diff_before_the_snapshot_is_no_gap(tmp_path: Path) -> None:
    lines = capture()
    del lines[next(n for n, line in enumerate(lines) if "depthUpdate" in line)]
    assert verified(tmp_path, lines)["update_id_gaps"] == 0


def test_crossing_diff_is_found(tmp_path: Path) -> None:
    lines = capture()
    n = [n for n, line in enumerate(lines) if "depthUpdate" in line][25]
    lines[n] = lines[n].replace('"b":[', '"b":[["99.00","1.000"],').replace(",]", "]")
    result = verified(tmp_path, lines)
    assert result["crossed"] == 1


@pytest.mark.parametrize("field", ["b", "B", "a", "A"])
def test_ticker_that_differs_is_found(tmp_path: Path, field: str) -> None:
    lines = capture()
    n = [n for n, line in enumerate(lines) if "bookTicker" in line][30]
    frame = json.loads(lines[n].split(" ", 1)[1])
    change = {"b": "59.00", "B": "7.777", "a": "61.90", "A": "7.777"}
    frame["data"][field] = change[field]
    lines[n] = f"{lines[n].split(' ', 1)[0]} {json.dumps(frame)}"
    result = verified(tmp_path, lines)
    assert result["bbo_match"] == 1 - 1 / result["bbo_checks"]
    (mismatch,) = result["mismatches"]
    assert mismatch["update_id"] == mismatch["ticker_update_id"] == frame["data"]["u"]


def test_ticker_that_arrives_late_is_still_the_witness(tmp_path: Path) -> None:
    lines = capture()
    tickers = [n for n, line in enumerate(lines) if "bookTicker" in line]
    stamps = [line.split(" ", 1)[0] for line in lines]
    late = lines.pop(tickers[30])
    lines.append(late)
    lines = [f"{s} {line.split(' ', 1)[1]}" for s, line in zip(stamps, lines, strict=True)]
    assert verified(tmp_path, lines)["bbo_match"] == 1.0


def test_no_tickers_is_no_verdict_and_says_so(tmp_path: Path) -> None:
    result = verified(tmp_path, [line for line in capture() if "bookTicker" not in line])
    assert (result["bbo_checks"], result["bbo_match"]) == (0, None)
    assert "could not be checked" in result["note"]


def test_snapshot_older_than_every_diff_is_refused(tmp_path: Path) -> None:
    lines = [re.sub(r'"lastUpdateId":\d+', '"lastUpdateId":7', line) for line in capture()]
    with pytest.raises(TickmakerError, match="joins none") as caught:
        verified(tmp_path, lines)
    assert caught.value.remedy


def test_snapshot_newer_than_every_diff_is_refused(tmp_path: Path) -> None:
    lines = [line.replace('"lastUpdateId":', '"lastUpdateId":9') for line in capture()]
    with pytest.raises(TickmakerError, match="joins none"):
        verified(tmp_path, lines)


def test_snapshot_that_nobody_needs_changes_nothing(tmp_path: Path) -> None:
    lines = capture()
    clean = verified(tmp_path, lines)
    snapshot = next(line for line in lines if "lastUpdateId" in line).split(" ", 1)[1]
    result = verified(tmp_path, [*lines, f"{lines[-1].split(' ', 1)[0]} {snapshot}"])
    for key in ("bbo_checks", "bbo_match", "depth_applied", "update_id_gaps"):
        assert result[key] == clean[key]


def test_second_snapshot_restores_the_book_after_a_gap(tmp_path: Path) -> None:
    lines = capture(steps=30)
    del lines[[n for n, line in enumerate(lines) if "depthUpdate" in line][15]]
    later = [line for line in capture(steps=30, seed=5)]
    last = json.loads(lines[-1].split(" ", 1)[1])["data"]["u"]
    lines += [_moved(line, last) for line in later]
    result = verified(tmp_path, lines)
    assert result["update_id_gaps"] >= 1
    assert result["bbo_match"] == 1.0
    assert result["depth_applied"] > 25


def _moved(line: str, by: int) -> str:
    """The same frame with its update ids moved, so that it follows another capture."""
    stamp, text = line.split(" ", 1)
    frame = json.loads(text)
    data = frame.get("data", frame)
    for name in ("U", "u", "pu", "lastUpdateId"):
        if name in data:
            data[name] += by
    return f"{stamp} {json.dumps(frame)}"


@pytest.mark.parametrize(
    ("name", "checks", "match"),
    [
        ("binance_usdm/btcusdt_20240808.gz", 6_500, 1.0),
        ("binance_usdm/ethusdt_20240808.gz", 6_500, 1.0),
        ("binance_spot/btcusdt_20240808.gz", 3_400, 0.999),
        ("binance_spot/ethusdt_20240808.gz", 3_400, 1.0),
        ("binance_coinm/btcusd_perp_20240808.gz", 26_000, 1.0),
        ("binance_usdm/btcusdt_20220811_7s.gz", 0, None),
    ],
)
def test_recorded_tape_is_exact(name: str, checks: int, match: float | None) -> None:
    result = verify_tape(recorded(name))
    assert (result["update_id_gaps"], result["crossed"]) == (0, 0)
    assert result["bbo_checks"] >= checks
    if match is None:
        assert result["bbo_match"] is None
    else:
        assert result["bbo_match"] >= match
