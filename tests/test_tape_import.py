"""Importing captures: what the tape holds, several files, several symbols, and bad input."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_data import recorded

from engine.errors import EXIT_USAGE, TickmakerError
from engine.tape.format import Columns, Tape
from engine.tape.importer import import_files
from fastcore.rows import COLUMNS, LEVELS_PER_MESSAGE_MAX, RowFlag
from tests.tape_captures import CLOCK_OFFSET_MS, START_NS, capture, write

VENUES = ["binance_usdm", "binance_spot", "binance_coinm"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "capture.txt", capture())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.tape.arrow"


def columns_of(path: Path) -> dict[str, Any]:
    return dict(zip(COLUMNS, Tape(path).columns(), strict=True))


def same(one: Columns, other: Columns) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def error_of(files: list[Path], out: Path, **options: str) -> TickmakerError:
    with pytest.raises(TickmakerError) as caught:
        import_files(files, out, **options)
    assert caught.value.remedy
    assert not out.exists()
    assert not list(out.parent.glob(".*"))
    return caught.value


@pytest.mark.parametrize("venue", VENUES)
def test_import_tells_venue_symbol_and_grid(tmp_path: Path, out: Path, venue: str) -> None:
    summary = import_files([write(tmp_path / "x", capture(venue))], out)
    assert (summary["venue"], summary["symbol"]) == (venue, "BTCUSDT")
    assert (summary["tick"], summary["lot"]) == ("0.1", "0.001")
    assert summary["messages"]["snapshot"] == 1
    assert summary["messages"]["total"] == len(capture(venue))
    assert summary["rows"] == len(Tape(out).columns()[0])
    json.dumps(summary)


def test_usdm_that_names_its_pair_is_not_coinm(tmp_path: Path, out: Path) -> None:
    # Since 2026 USD-M says "ps" too, equal to the symbol.
    lines = [line.replace('"s":"BTCUSDT"', '"s":"BTCUSDT","ps":"BTCUSDT"') for line in capture()]
    assert import_files([write(tmp_path / "x", lines)], out)["venue"] == "binance_usdm"


def test_rows_are_on_the_grid_and_in_order(source: Path, out: Path) -> None:
    import_files([source], out)
    rows = columns_of(out)
    assert rows["recv_ts_ns"][0] == START_NS
    assert (np.diff(rows["recv_ts_ns"]) >= 0).all()
    assert 550 < rows["px_ticks"][0] < 650
    ends = np.count_nonzero(rows["flags"] & RowFlag.LAST)
    assert ends == Tape(out).meta.messages["total"]


def test_microsecond_stamps_become_nanoseconds(tmp_path: Path, out: Path) -> None:
    lines = [line[:16] + line[19:] for line in capture()]
    import_files([write(tmp_path / "us", lines)], out)
    assert columns_of(out)["recv_ts_ns"][0] == START_NS // 1000 * 1000


def test_clock_offset_is_the_median(source: Path, out: Path) -> None:
    assert import_files([source], out)["clock_offset_ms"] == pytest.approx(CLOCK_OFFSET_MS, abs=3)


def test_metadata_names_the_sources(source: Path, out: Path) -> None:
    import_files([source], out)
    meta = Tape(out).meta
    assert [one["name"] for one in meta.sources] == ["capture.txt"]
    assert len(meta.sources[0]["sha256"]) == 64
    assert meta.tickmaker_version


@pytest.mark.parametrize("at", [1, 30, 90])
def test_day_roll_is_the_same_as_one_file(tmp_path: Path, out: Path, at: int) -> None:
    lines = capture()
    import_files([write(tmp_path / "whole", lines)], out)
    whole = Tape(out).columns()
    first = tmp_path / "1.gz"
    first.write_bytes(gzip.compress(("\n".join(lines[:at]) + "\n").encode()))
    summary = import_files([first, write(tmp_path / "2", lines[at:])], out)
    assert same(Tape(out).columns(), whole)
    assert len(summary["sources"]) == 2


def test_batches_hold_whole_messages_and_lose_none(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x", capture(steps=9_000))
    import_files([path], out)
    whole = Tape(out).columns()
    assert Tape(out).batch_count == 1
    monkeypatch.setattr("engine.tape.importer.BATCH_ROWS", LEVELS_PER_MESSAGE_MAX)
    import_files([path], out)
    assert Tape(out).batch_count > 1
    for columns in Tape(out).batches():
        assert columns[10][-1] & RowFlag.LAST
    assert same(Tape(out).columns(), whole)


def test_progress_grows_to_one(source: Path, out: Path) -> None:
    seen: list[float] = []
    import_files([source], out, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_given_grid_is_taken(source: Path, out: Path) -> None:
    summary = import_files([source], out, tick="0.05", lot="0.0005")
    assert (summary["tick"], summary["lot"]) == ("0.05", "0.0005")
    assert (columns_of(out)["px_ticks"] % 2 == 0).all()


def test_given_grid_that_does_not_fit_is_refused(source: Path, out: Path) -> None:
    error = error_of([source], out, tick="0.5")
    assert "line" in error.what
    assert "grid" in error.what


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", ""])
def test_nonsense_grid_is_a_usage_error(source: Path, out: Path, text: str) -> None:
    assert error_of([source], out, tick=text).exit_code == EXIT_USAGE


def test_sizes_beyond_the_fine_grid_are_still_read(tmp_path: Path, out: Path) -> None:
    lines = [line.replace('.00","0.', '.00","990000000000.') for line in capture()]
    assert any("990000000000." in line for line in lines)
    assert import_files([write(tmp_path / "x", lines)], out)["lot"] == "0.001"


def test_backward_stamps_are_counted_and_kept(tmp_path: Path, out: Path) -> None:
    lines = capture()
    lines[40] = f"{START_NS - 5} {lines[40].split(' ', 1)[1]}"
    assert import_files([write(tmp_path / "x", lines)], out)["backward_stamps"] == 1
    assert columns_of(out)["recv_ts_ns"].min() == START_NS - 5


def test_frames_of_no_use_are_counted(tmp_path: Path, out: Path) -> None:
    lines = capture()
    lines.insert(3, f'{START_NS} {{"result":null,"id":1}}')
    lines.insert(4, f'{START_NS} {{"e":"unheardOf","s":"BTCUSDT"}}')
    ignored = import_files([write(tmp_path / "x", lines)], out)["ignored"]
    assert ignored == {"no market data": 1, "unknown type": 1}


# -- several symbols --------------------------------------------------------------------------


def mixed(venue: str = "binance_usdm") -> list[str]:
    """Two symbols, the other's prices far away, interleaved by line."""
    others = [line.replace(':[["', ':[["1') for line in capture(venue, seed=2, symbol="ETHUSDT")]
    others = [line.replace('"b":"', '"b":"1').replace('"a":"', '"a":"1') for line in others]
    others = [line.replace('],["', '],["1').replace('"p":"', '"p":"1') for line in others]
    return sorted(capture(venue) + others, key=lambda line: line[:19])


def test_several_symbols_need_a_choice(tmp_path: Path, out: Path) -> None:
    error = error_of([write(tmp_path / "x", mixed())], out)
    assert "BTCUSDT" in error.what
    assert "ETHUSDT" in error.what
    assert "--symbol" in error.remedy
    assert error.exit_code == EXIT_USAGE


@pytest.mark.parametrize("venue", VENUES)
def test_chosen_symbol_is_as_if_alone(tmp_path: Path, out: Path, venue: str) -> None:
    import_files([write(tmp_path / "alone", capture(venue))], out)
    alone = columns_of(out)
    summary = import_files([write(tmp_path / "x", mixed(venue))], out, symbol="btcusdt")
    chosen = columns_of(out)
    assert summary["messages"]["snapshot"] == 1
    assert summary["ignored"]["other symbol"] > 10
    assert all(np.array_equal(alone[name], chosen[name]) for name in COLUMNS)


def test_snapshot_that_may_be_of_either_symbol_is_refused(tmp_path: Path, out: Path) -> None:
    lines = capture() + [line.replace("BTC", "ETH") for line in capture()]
    path = write(tmp_path / "x", sorted(lines, key=lambda line: line[:19]))
    assert "snapshot" in error_of([path], out, symbol="BTCUSDT").what


def test_unknown_symbol_is_named_with_those_there_are(source: Path, out: Path) -> None:
    error = error_of([source], out, symbol="DOGEUSDT")
    assert "DOGEUSDT" in error.what
    assert "BTCUSDT" in error.remedy


def test_spot_and_futures_of_one_symbol_are_not_mixed(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "x", capture("binance_spot") + capture("binance_usdm"))
    assert "mixes" in error_of([path], out).what


# -- bad input ------------------------------------------------------------------------------


def test_no_snapshot_is_refused(tmp_path: Path, out: Path) -> None:
    lines = [line for line in capture() if "lastUpdateId" not in line]
    assert "snapshot" in error_of([write(tmp_path / "x", lines)], out).what


@pytest.mark.parametrize("damage", ["}", '{"e":"depthUpdate",', "nonsense", '{"s":"BTCUSDT"}{'])
def test_garbled_frame_is_named_by_file_and_line(tmp_path: Path, out: Path, damage: str) -> None:
    lines = capture()
    lines[20] = f"{START_NS} {damage}"
    error = error_of([write(tmp_path / "x", lines)], out)
    assert f"{tmp_path / 'x'}, line 21" in error.what


def test_frame_cut_at_the_end_says_so(tmp_path: Path, out: Path) -> None:
    text = "\n".join(capture())
    path = tmp_path / "x"
    path.write_text(text[:-30])
    assert "was cut" in error_of([path], out).what


def test_frames_without_symbol_are_refused(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "x", [f'{START_NS} {{"result":null}}'])
    assert "no frame" in error_of([path], out).what


def test_source_is_never_overwritten(source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(TickmakerError, match="also a source"):
        import_files([source], source)
    assert source.read_bytes() == before


def test_nothing_to_import_is_a_usage_error(out: Path) -> None:
    assert error_of([], out).exit_code == EXIT_USAGE


def test_failed_import_leaves_the_old_tape(source: Path, out: Path, tmp_path: Path) -> None:
    import_files([source], out)
    before = out.read_bytes()
    with pytest.raises(TickmakerError):
        import_files([write(tmp_path / "bad", ["nonsense"])], out)
    assert out.read_bytes() == before


def test_recorded_session_log_is_imported_by_name(out: Path) -> None:
    path = recorded("raw_multivenue/BINANCE_FUTURES.jsonl.zst")
    assert "several symbols" in error_of([path], out).what
    summary = import_files([path], out, symbol="SUSHIUSDT")
    assert (summary["venue"], summary["tick"], summary["lot"]) == ("binance_usdm", "0.001", "1")
    assert summary["messages"] | {"total": 0} == {
        "depth": 255, "best": 305, "trade": 0, "snapshot": 1, "total": 0,
    }  # fmt: skip
