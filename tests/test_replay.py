"""Replay: deterministic, the same by rows and by frames, and a run folder like a live run's."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_data import recorded

from engine.config import demo_core
from engine.errors import EXIT_USAGE, TickmakerError
from engine.replay.run import replay_tape
from engine.tape.format import Tape
from engine.tape.importer import import_files
from fastcore.core import Core
from fastcore.drive import Drive
from fastcore.rows import RowFlag
from fastcore.types import Side
from tests.tape_captures import START_NS, capture, write

KEYS = {
    "orders",
    "fills",
    "position_lots",
    "pnl",
    "tick_to_order",
    "state",
    "run_dir",
    "events",
    "events_per_s",
}
LATENCY_NS = 500_000


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return capture(steps=3_000)


@pytest.fixture(scope="module")
def tape(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tape")
    out = folder / "x.tape.arrow"
    import_files([write(folder / "x", lines)], out)
    return out


def a_drive(**config: Any) -> Drive:
    core = demo_core("BTCUSDT", "spread", "00000007", 7) | {
        "tick": "0.1", "lot": "0.001", "assets": {"base": "BTC", "quote": "USDT"},
    }  # fmt: skip
    return Drive(
        Core(core | config, b"k" * 64, b"s" * 64),
        entry_latency_ns=LATENCY_NS,
        response_latency_ns=LATENCY_NS,
    )


def by_rows(tape: Path) -> Drive:
    drive = a_drive()
    drive.start(START_NS)
    for columns in Tape(tape).batches():
        drive.run_rows(columns)
    return drive


# -- the driver -------------------------------------------------------------------------------


def test_replay_trades_and_stays_in_sync(tape: Path) -> None:
    numbers = by_rows(tape).core.numbers()
    assert numbers["halt_bits"] == 0
    assert numbers["gaps"] == numbers["malformed"] == numbers["duplicate_fills"] == 0
    assert numbers["orders_sent"] > 20
    assert numbers["fills"] > 5


def test_same_tape_gives_the_same_to_the_last_unit(tape: Path) -> None:
    assert by_rows(tape).core.numbers() == by_rows(tape).core.numbers()


def test_rows_and_raw_frames_give_the_same_orders(tape: Path, lines: list[str]) -> None:
    frames = [line.split(" ", 1)[1].encode() for line in lines]
    stamps = np.array([int(line.split(" ", 1)[0]) for line in lines], np.int64)
    offsets = np.cumsum([0, *map(len, frames)]).astype(np.int64)
    drive = a_drive()
    drive.start(START_NS)
    assert drive.run_frames(b"".join(frames), offsets, stamps) == len(lines)
    assert drive.core.numbers() == by_rows(tape).core.numbers()


def test_pieces_give_the_same_as_the_whole(tape: Path) -> None:
    columns = Tape(tape).columns()
    ends = np.flatnonzero(columns[10] & RowFlag.LAST)[::97] + 1
    drive = a_drive()
    drive.start(START_NS)
    for first, last in zip([0, *ends], [*ends, len(columns[0])], strict=True):
        drive.run_rows(tuple(column[first:last] for column in columns))
    assert drive.core.numbers() == by_rows(tape).core.numbers()


def test_venue_and_core_agree_on_the_position(tape: Path) -> None:
    drive = by_rows(tape)
    drive.finish()
    numbers = drive.core.numbers()
    assert drive.venue.position_lots == numbers["position_lots"]
    assert drive.venue.fills == numbers["fills"]
    assert numbers["own"] == []


def test_time_never_goes_back(tape: Path) -> None:
    columns = [column.copy() for column in Tape(tape).columns()]
    columns[0][len(columns[0]) // 2 :] -= 6_000_000_000
    drive = a_drive()
    drive.start(START_NS)
    drive.run_rows(tuple(columns))
    assert drive.now_ns >= columns[0].max() > columns[0][-1]
    assert drive.core.numbers()["halt_bits"] == 0


@pytest.mark.parametrize(("kind", "fills"), [("MARKET", 1), ("INSURANCE_FUND", 0)])
def test_trade_through_our_bid_fills_it(tape: Path, kind: str, fills: int) -> None:
    drive = by_rows(tape)
    before = drive.core.numbers()
    (bid,) = [own for own in before["own"] if own["side"] == Side.BUY]
    trade = {"e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": 1, "p": "0.10", "q": "0.001"}
    frame = json.dumps(trade | {"X": kind, "m": True}).encode()
    # The second lets time pass: the fill is back just then, and goes before it.
    stamps = np.array([drive.now_ns, drive.now_ns + LATENCY_NS], np.int64)
    offsets = np.array([0, len(frame), 2 * len(frame)], np.int64)
    drive.run_frames(frame * 2, offsets, stamps)
    numbers = drive.core.numbers()
    assert numbers["fills"] - before["fills"] == fills
    moved = numbers["position_lots"] - before["position_lots"]
    assert moved == fills * bid["leaves_lots"]


def test_silence_on_the_tape_makes_the_feed_stale(tape: Path) -> None:
    columns = [column.copy() for column in Tape(tape).columns()]
    drive = a_drive()
    drive.start(START_NS)
    half = int(np.flatnonzero(columns[10] & RowFlag.LAST)[4_000]) + 1
    drive.run_rows(tuple(column[:half] for column in columns))
    assert drive.core.numbers()["halt_bits"] == 0
    # One message after a minute: the timers in between have seen the silence.
    columns[0][half:] += 60_000_000_000
    end = int(np.flatnonzero(columns[10][half:] & RowFlag.LAST)[0]) + half + 1
    drive.run_rows(tuple(column[half:end] for column in columns))
    assert drive.core.numbers()["halt_bits"] != 0


def test_gap_in_the_tape_pulls_the_quotes(tape: Path) -> None:
    columns = Tape(tape).columns()
    ends = np.flatnonzero(columns[10] & RowFlag.LAST) + 1
    depth = next(n for n in range(3_000, 3_100) if columns[8][ends[n] - 1] == 1)
    drive = a_drive()
    drive.start(START_NS)
    drive.run_rows(tuple(column[: ends[depth - 1]] for column in columns))
    assert drive.core.numbers()["own"]
    drive.run_rows(tuple(column[ends[depth] :] for column in columns))
    numbers = drive.core.numbers()
    assert numbers["gaps"] == 1
    assert numbers["own"] == []


def test_rows_that_are_no_message_stop_the_replay(tape: Path) -> None:
    columns = [column.copy() for column in Tape(tape).columns()]
    columns[8][1_000] = 77
    drive = a_drive()
    drive.start(START_NS)
    with pytest.raises(ValueError, match=r"^\d+$"):
        drive.run_rows(tuple(columns))


def test_driver_must_be_started() -> None:
    with pytest.raises(RuntimeError, match="start"):
        a_drive().run_frames(b"", np.zeros(1, np.int64), np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("offsets", "word"), [([0], "one more"), ([0, 9], "outside"), ([-1, 2], "outside")]
)
def test_offsets_outside_the_arena_are_refused(offsets: list[int], word: str) -> None:
    drive = a_drive()
    drive.start(START_NS)
    with pytest.raises(ValueError, match=word):
        drive.run_frames(b"{}", np.array(offsets, np.int64), np.zeros(1, np.int64))


# -- the run ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tape: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return replay_tape(tape, runs_dir=tmp_path_factory.mktemp("runs"))


def test_report_has_the_stable_keys(report: dict[str, Any], tape: Path) -> None:
    assert report.keys() >= KEYS
    assert report["pnl"].keys() == {"total", "spread", "fees", "inventory"}
    assert report["tick_to_order"].keys() == {"p50_us", "p99_us", "p999_us", "max_us", "n"}
    assert report["state"] == "RUNNING"
    assert report["events"] == Tape(tape).meta.rows
    assert report["messages"] == Tape(tape).meta.messages["total"]
    json.dumps(report)


def test_report_is_what_the_core_says(report: dict[str, Any], tape: Path) -> None:
    numbers = by_rows(tape).core.numbers()
    assert report["orders"] == numbers["orders_sent"]
    assert report["fills"] >= numbers["fills"] > 0
    assert report["reconciled"] is True
    pnl = report["pnl"]
    assert pnl["total"] == pytest.approx(pnl["spread"] + pnl["fees"] + pnl["inventory"])
    assert pnl["fees"] < 0


def test_run_folder_holds_what_a_live_run_leaves(report: dict[str, Any]) -> None:
    run_dir = Path(report["run_dir"])
    assert json.loads((run_dir / "report.json").read_text()) == report
    assert (run_dir / "report.html").stat().st_size > 1_000
    assert json.loads((run_dir / "config.json").read_text())["kind"] == "replay"
    assert list((run_dir / "journal").glob("*/*.jnl"))
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        fills = ledger.execute("SELECT count(*) FROM fills").fetchone()[0]
    assert fills == report["fills"]


def test_run_folder_holds_no_key(report: dict[str, Any]) -> None:
    for path in Path(report["run_dir"]).rglob("*"):
        if path.is_file():
            assert b"replay-has-no-credential" not in path.read_bytes()


def test_same_replay_gives_the_same_report(
    report: dict[str, Any], tape: Path, tmp_path: Path
) -> None:
    again = replay_tape(tape, runs_dir=tmp_path)
    told = ("orders", "fills", "position_lots", "pnl_exact", "state", "cancels", "denies")
    assert {key: again[key] for key in told} == {key: report[key] for key in told}


def test_raw_capture_is_replayed_directly(
    report: dict[str, Any], lines: list[str], tmp_path: Path
) -> None:
    direct = replay_tape(write(tmp_path / "raw", lines), runs_dir=tmp_path / "runs")
    assert (direct["orders"], direct["pnl"]) == (report["orders"], report["pnl"])


def test_latency_and_parameters_change_the_outcome(
    report: dict[str, Any], tape: Path, tmp_path: Path
) -> None:
    slow = replay_tape(tape, latency_us=20_000, runs_dir=tmp_path)
    wide = replay_tape(tape, params={"half_spread_ticks": 6.0}, runs_dir=tmp_path)
    assert slow["pnl"] != report["pnl"]
    assert wide["fills"] < report["fills"]


def test_progress_reaches_one(tape: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    replay_tape(tape, runs_dir=tmp_path, progress=seen.append)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"strategy": "absent"}, "strategy"),
        ({"latency_us": -1.0}, "latency"),
        ({"latency_us": float("nan")}, "latency"),
        ({"params": {"half_spread": 1.0}}, "half_spread"),
    ],
)
def test_wrong_options_are_named(
    tape: Path, tmp_path: Path, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(TickmakerError, match=word) as caught:
        replay_tape(tape, runs_dir=tmp_path, **options)
    assert caught.value.exit_code == EXIT_USAGE


def test_inverse_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="inverse"):
        replay_tape(write(tmp_path / "x", capture("binance_coinm")), runs_dir=tmp_path)


def test_unwritable_runs_folder_is_named(tape: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TickmakerError, match="file"):
        replay_tape(tape, runs_dir=tmp_path / "file")


def test_cut_tape_leaves_an_error_and_no_report(tape: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tape.arrow"
    cut.write_bytes(tape.read_bytes()[:-5_000])
    with pytest.raises(TickmakerError, match="broken tape"):
        replay_tape(cut, runs_dir=tmp_path / "runs")
    assert not list(tmp_path.glob("runs/*/report.json"))


@pytest.mark.parametrize(
    "name", ["binance_usdm/btcusdt_20240808.gz", "binance_spot/btcusdt_20240808.gz"]
)
def test_recorded_tape_is_replayed_whole(name: str, tmp_path: Path) -> None:
    report = replay_tape(recorded(name), runs_dir=tmp_path)
    assert report["state"] == "RUNNING"
    assert report["gaps"] == 0
    assert report["orders"] > 100
    assert report["fills"] > 10
    assert report["reconciled"] is True
