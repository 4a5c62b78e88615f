"""Disk budget: journals go, ledgers stay, and nothing that somebody still needs goes."""

import json
import os
from pathlib import Path

import pytest

from engine.errors import TickmakerError
from engine.recorder import follow as following
from engine.recorder.follow import catch_up, follow
from engine.recorder.opening import opening_of
from engine.recorder.retention import (
    DAY_NS,
    RunFacts,
    Segment,
    run_facts,
    surplus_runs,
    surplus_segments,
    tidy,
)
from engine.recorder.segments import segment_path
from engine.report.build import build_report
from fastcore.types import Conn
from tests.support_journal import KEY, JournalBuilder, dump, rows, write_run

PAGES = 16 * 4096


def facts(name: str, age_days: float, size: int = 100, **more: bool) -> RunFacts:
    flags = {"is_alive": False, "is_last": False} | more
    return RunFacts(Path(name), round((1000 - age_days) * DAY_NS), size, **flags)


def names(runs: list[RunFacts]) -> str:
    return "".join(run.run_dir.name for run in runs)


# -- decisions ---


@pytest.mark.parametrize(
    ("keep_days", "bytes_max", "gone"),
    [
        (None, None, ""), (3.5, None, "fd"), (0, None, "fdcb"), (None, 500, ""),
        (None, 400, "f"), (None, 399, "fd"), (None, 0, "fdcb"), (3.5, 100, "fdcb"),
    ],
)  # fmt: skip
def test_oldest_go_first_and_only_what_must(
    keep_days: float | None, bytes_max: int | None, gone: str
) -> None:
    runs = [
        facts("a", 0, is_last=True), facts("b", 1), facts("c", 3), facts("d", 4),
        facts("e", 5, is_alive=True), facts("f", 9), facts("g", 99, 0),
    ]  # fmt: skip
    runs[0] = facts("a", 0, 0, is_last=True)
    assert names(surplus_runs(runs, 1000 * DAY_NS, keep_days, bytes_max)) == gone


def test_account_s_last_run_and_live_ones_stay_whatever_the_budget() -> None:
    runs = [facts("a", 99, is_last=True), facts("b", 99, is_alive=True)]
    assert surplus_runs(runs, 1000 * DAY_NS, 0, 0) == []


def test_live_run_spares_projected_segments_only() -> None:
    made = [Segment(Path(f"{key}{n}"), key, n, 10 * n, 100) for n in range(4) for key in "ab"]
    chosen = surplus_segments(made, {"a": 3, "b": 1}, 350)
    assert [str(one.path) for one in chosen] == ["a0", "b0", "a1", "a2"]
    assert [str(one.path) for one in surplus_segments(made, {"a": 3, "b": 1}, 700)] == ["a0"]
    assert surplus_segments(made, {"a": 3, "b": 1}, 800) == []
    assert surplus_segments(made, {}, 0) == []


# -- and what they do ---


def ended(runs_dir: Path, name: str, account: str, *, state_dir: Path | None = None) -> Path:
    run_dir = runs_dir / name
    run_dir.mkdir(parents=True)
    config = {"accounts": [{"name": account}], "state_dir": str(state_dir or runs_dir)}
    (run_dir / "config.json").write_text(json.dumps(config))
    builder = JournalBuilder(run_dir, PAGES)
    write_run(builder)
    builder.opening(9)
    builder.close()
    os.utime(segment_path(builder.directory, 0), (100_000, 100_000))
    return run_dir


def test_tidy_drops_journals_and_keeps_ledgers(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    runs_dir = tmp_path / "runs"
    first = ended(runs_dir, "20260101-a", "main", state_dir=state)
    second = ended(runs_dir, "20260102-a", "main", state_dir=state)
    last = ended(runs_dir, "20260103-a", "main", state_dir=state)
    (state / "main.json").write_text(json.dumps({"run_dir": str(second), "utc_ns": 1}))
    build_report(first)
    before, opened = dump(first), opening_of(first)
    dry = tidy(runs_dir, 10 * DAY_NS, keep_days=1, bytes_max=None, is_dry=True)
    assert [row["run_dir"] for row in dry["journals"]] == [str(first)]
    assert dry["freed_bytes"] > 0
    assert segment_path(first / "journal" / KEY, 0).exists()
    done = tidy(runs_dir, 10 * DAY_NS, keep_days=1, bytes_max=None, is_dry=False)
    assert done["journals"][0]["dropped"] is True
    assert not (first / "journal").exists()
    assert (second / "journal").exists()
    assert (last / "journal").exists()
    kept = [line for line in dump(first) if "journal_dropped" not in line]
    assert kept == before
    assert build_report(first)["fills"] == 2
    assert opening_of(first) == opened
    assert tidy(runs_dir, 10 * DAY_NS, keep_days=1, bytes_max=0, is_dry=False)["journals"] == []


def test_what_was_never_projected_is_projected_before_it_goes(tmp_path: Path) -> None:
    run_dir = ended(tmp_path, "20260101-a", "main")
    ended(tmp_path, "20260102-a", "main")
    assert not (run_dir / "ledger.sqlite").exists()
    tidy(tmp_path, 10 * DAY_NS, keep_days=None, bytes_max=0, is_dry=False)
    assert not (run_dir / "journal").exists()
    assert len(rows(run_dir, "SELECT * FROM fills")) == 2


def test_damaged_journal_is_kept_and_named(tmp_path: Path) -> None:
    run_dir = ended(tmp_path, "20260101-a", "main")
    ended(tmp_path, "20260102-a", "main")
    path = segment_path(run_dir / "journal" / KEY, 0)
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    result = tidy(tmp_path, 1 << 62, keep_days=0, bytes_max=None, is_dry=False)
    (row,) = result["journals"]
    assert row["dropped"] is False
    assert "damaged" in row["kept_because"]
    assert result["freed_bytes"] == 0
    assert path.exists()


def test_run_that_is_alive_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    builder = JournalBuilder(tmp_path / "a", PAGES)
    builder.config()
    (one,) = run_facts(tmp_path)
    assert one.is_alive
    assert one.journal_bytes > 0
    assert tidy(tmp_path, 1 << 62, keep_days=0, bytes_max=0, is_dry=False)["journals"] == []
    builder.close()
    (one,) = run_facts(tmp_path)
    assert not one.is_alive


def test_folder_of_runs_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="cannot read"):
        tidy(tmp_path / "absent", 0, keep_days=0, bytes_max=0, is_dry=True)


def test_live_run_keeps_to_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"journal_bytes_max": 3 * PAGES}))
    monkeypatch.setattr(following, "TRIM_EVERY_NS", -1)
    builder = JournalBuilder(tmp_path, PAGES)
    builder.config()
    sizes = []
    left = 40

    def wait(_: float) -> bool:
        nonlocal left
        if left:
            left -= 1
            for _ in range(20):
                builder.frame(Conn.MARKET, b"x" * 1000)
            sizes.append(len(list(builder.directory.glob("*.jnl"))))
        else:
            builder.close()
        return bool(left)

    assert follow(tmp_path, wait, lambda: False) == 801
    assert max(sizes) <= 4  # the budget, and what is not projected to its end
    assert not segment_path(builder.directory, 0).exists()
    assert catch_up(tmp_path) == 0  # a journal without its beginning is no damage
    (journal,) = rows(tmp_path, "SELECT records FROM journals")
    assert journal["records"] == 801
    (tmp_path / "ledger.sqlite").unlink()
    with pytest.raises(TickmakerError, match="is missing"):
        catch_up(tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    with pytest.raises(TickmakerError, match="do not begin at their first record"):
        opening_of(tmp_path)
