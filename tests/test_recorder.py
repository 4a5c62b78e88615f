"""Recorder: nothing lost, nothing twice, damage named, and it ends when it should."""

import mmap
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import TickmakerError
from engine.recorder.__main__ import main
from engine.recorder.follow import catch_up, follow
from engine.recorder.ledger import Ledger
from engine.recorder.segments import segment_path, used_size
from engine.recorder.tail import JournalTail, Position
from fastcore.journal import read_segment
from fastcore.types import Conn, OrderState, Side
from tests.support_journal import (
    KEY,
    JournalBuilder,
    dump,
    next_seq,
    rows,
    the_journal,
    write_run,
)

SMALL = 4 * mmap.PAGESIZE


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run folder whose journal is whole and closed."""
    builder = JournalBuilder(tmp_path, 4 * SMALL)
    write_run(builder)
    builder.close()
    return tmp_path


def long_journal(run_dir: Path, count: int = 400) -> int:
    """Many small segments, with payloads of every length; returns the number of records."""
    builder = JournalBuilder(run_dir, SMALL)
    builder.config()
    for n in range(count):
        builder.frame(Conn(n % 3), b"x" * (n * 13 % 509))
        out_seq = builder.out(n)
        builder.order(n, Side.BUY, OrderState.PENDING_NEW, 600_000 + n)
        builder.send(out_seq, 1000 + n)
    builder.close()
    return 1 + 4 * count


# -- exactly once ---


def test_projecting_twice_changes_nothing(run_dir: Path) -> None:
    catch_up(run_dir)
    first = dump(run_dir)
    assert catch_up(run_dir) == 0
    assert dump(run_dir) == first


def test_an_amended_order_has_its_new_terms_and_its_history(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.order(1, Side.BUY, OrderState.NEW, 100, qty=10)
    builder.order(1, Side.BUY, OrderState.PARTIALLY_FILLED, 101, qty=12, cum=3)
    builder.close()
    catch_up(tmp_path)
    columns = ("px_ticks", "qty_lots", "cum_qty_lots")
    old, new = ((100, 10, 0), (101, 12, 3))
    for table, told in (("orders", [new]), ("order_events", [old, new])):
        found = rows(tmp_path, f"SELECT {', '.join(columns)} FROM {table}")
        assert [tuple(row.values()) for row in found] == told


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_projecting_in_pieces_gives_the_same_ledger(tmp_path: Path, batch: int) -> None:
    count = long_journal(tmp_path, 100)
    assert catch_up(tmp_path) == count
    whole = dump(tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    done = 0
    while done < count:  # a new recorder for every piece
        ledger = Ledger(tmp_path / "ledger.sqlite")
        tail = JournalTail(the_journal(tmp_path), ledger.position(KEY))
        for _ in range(40):
            done += ledger.apply({KEY: tail}, count_max=batch)
        tail.close()
        ledger.close()
    assert dump(tmp_path) == whole


def test_records_are_followed_as_they_come_over_segments(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path, SMALL)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    tail = JournalTail(the_journal(tmp_path), ledger.position(KEY))
    builder.config()
    for n in range(300):
        builder.frame(Conn.MARKET, b"y" * (n * 7 % 211))
        assert ledger.apply({KEY: tail}) == (2 if n == 0 else 1)
    assert tail.position.segment > 1
    builder.close()
    tail.check_end()
    tail.close()
    ledger.close()


def test_end_mark_fits_in_the_last_eight_bytes(tmp_path: Path) -> None:
    """A segment may end with a mark that has no room for a record header behind it."""
    for slack in range(8, 64, 8):
        builder = JournalBuilder(tmp_path / str(slack), SMALL)
        directory = builder.directory
        left = SMALL - builder.writer.used
        builder.frame(payload=b"z" * (left - slack - 40))
        assert SMALL - builder.writer.used == slack
        builder.frame(payload=b"z" * 100)
        builder.close()
        assert used_size(segment_path(directory, 0).read_bytes()) == SMALL - slack + 8
        tail = JournalTail(directory)
        assert [found.seq for found in tail.poll()] == [0, 1]
        assert tail.position.segment == 1
        tail.close()


def test_killed_recorder_goes_on_where_it_stood(tmp_path: Path) -> None:
    count = long_journal(tmp_path, 3000)
    ledger_path = tmp_path / "ledger.sqlite"
    for _ in range(3):
        child = start(tmp_path)
        while True:  # until something is committed
            try:
                if ledger_path.exists() and int(next_seq(tmp_path)) > 0:
                    break
            except sqlite3.OperationalError:
                continue
        child.kill()
        finish(child)
    catch_up(tmp_path)
    killed = dump(tmp_path)
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    assert catch_up(tmp_path) == count
    assert dump(tmp_path) == killed


def test_second_recorder_is_refused_and_spoils_nothing(run_dir: Path) -> None:
    one = Ledger(run_dir / "ledger.sqlite")
    two = Ledger(run_dir / "ledger.sqlite")
    tail_one = JournalTail(the_journal(run_dir))
    tail_two = JournalTail(the_journal(run_dir))
    one.apply({KEY: tail_one}, count_max=10)
    with pytest.raises(TickmakerError, match="another recorder"):
        two.apply({KEY: tail_two}, count_max=10)
    one.apply({KEY: tail_one})
    for thing in (tail_one, tail_two, one, two):
        thing.close()
    assert next_seq(run_dir) == "35"
    assert len(rows(run_dir, "SELECT * FROM fills")) == 2


# -- damage ---


def record_offsets(path: Path) -> Iterator[tuple[int, int, int]]:
    """(offset, seq, size) of each record of a segment."""
    for offset, _, _, seq, _, _, payload in read_segment(path.read_bytes()):
        yield offset, seq, 40 + len(payload)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_any_flipped_byte_stops_there_and_keeps_what_came_before(run_dir: Path) -> None:
    path = segment_path(the_journal(run_dir), 0)
    whole = path.read_bytes()
    places = [place for place in record_offsets(path) if place[1] in (0, 5, 16, 28, 34)]
    assert len(places) == 5
    for start, seq, size in places:
        for offset in range(start, start + size, 5):
            flip(path, offset)
            with pytest.raises(TickmakerError) as caught:
                catch_up(run_dir)
            assert str(path) in caught.value.what
            assert f"offset {start}, record {seq}:" in caught.value.what
            assert next_seq(run_dir) == str(seq)
            path.write_bytes(whole)
            for old in run_dir.glob("ledger.sqlite*"):
                old.unlink()


def test_record_that_looks_unwritten_is_found(run_dir: Path) -> None:
    """A timer's first word holds its kind and nothing else: that byte cleared, it looks unborn."""
    path = segment_path(the_journal(run_dir), 0)
    timer = next(found for found in read_segment(path.read_bytes()) if found[1] == 4)
    data = bytearray(path.read_bytes())
    data[timer[0] + 4] = 0
    path.write_bytes(data)
    with pytest.raises(TickmakerError, match="looks unwritten") as caught:
        catch_up(run_dir)
    assert f"offset {timer[0]}, record {timer[3]}" in caught.value.what


def test_cut_segment_is_named(run_dir: Path) -> None:
    path = segment_path(the_journal(run_dir), 0)
    places = list(record_offsets(path))
    path.write_bytes(path.read_bytes()[: places[-1][0] + 60])
    with pytest.raises(TickmakerError, match="runs past"):
        catch_up(run_dir)
    assert next_seq(run_dir) == str(places[-1][1])


def test_missing_segment_is_named(tmp_path: Path) -> None:
    long_journal(tmp_path)
    segment_path(the_journal(tmp_path), 2).unlink()
    with pytest.raises(TickmakerError, match=r"000002\.jnl is missing"):
        catch_up(tmp_path)


def test_segments_out_of_order_are_named(tmp_path: Path) -> None:
    long_journal(tmp_path)
    os.replace(segment_path(the_journal(tmp_path), 3), segment_path(the_journal(tmp_path), 2))
    with pytest.raises(TickmakerError, match="out of its place"):
        catch_up(tmp_path)


def test_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    the_journal(tmp_path).mkdir(parents=True)
    segment_path(the_journal(tmp_path), 0).write_bytes(b"PNG" + b"\0" * 100)
    with pytest.raises(TickmakerError, match="not a journal segment"):
        catch_up(tmp_path)


def test_configuration_without_tick_is_named(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.record("CONFIG", b'{"symbol":"BTCUSDT"}')
    builder.close()
    with pytest.raises(TickmakerError, match=r"record 0 \(CONFIG\)"):
        catch_up(tmp_path)
    assert next_seq(tmp_path) == "0"


def test_record_that_fails_half_way_leaves_nothing_of_itself(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config()
    builder.config(lot="a few")
    builder.close()
    with pytest.raises(TickmakerError, match=r"record 1 \(CONFIG\)"):
        catch_up(tmp_path)
    assert rows(tmp_path, "SELECT lot FROM instruments") == [{"lot": "0.001"}]
    assert next_seq(tmp_path) == "1"


def test_position_of_another_journal_is_named(run_dir: Path) -> None:
    path = segment_path(the_journal(run_dir), 0)
    offset, seq, _ = list(record_offsets(path))[3]
    tail = JournalTail(the_journal(run_dir), Position(0, offset, seq + 2))
    with pytest.raises(TickmakerError, match="expected record 5 or above, was 3"):
        next(tail.poll())


def test_ledger_of_another_version_is_refused(run_dir: Path) -> None:
    catch_up(run_dir)
    database = sqlite3.connect(run_dir / "ledger.sqlite")
    database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    database.commit()
    database.close()
    with pytest.raises(TickmakerError, match="version 99") as caught:
        catch_up(run_dir)
    assert "delete the file" in caught.value.remedy


def test_ledger_that_cannot_be_opened_is_named(run_dir: Path) -> None:
    (run_dir / "ledger.sqlite").mkdir()
    with pytest.raises(TickmakerError, match=r"ledger\.sqlite"):
        catch_up(run_dir)


# -- the process ---


def start(run_dir: Path, stdin: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.recorder", str(run_dir)],
        stdin=stdin,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> str:
    errors = child.communicate(timeout=60)[1]
    assert isinstance(errors, str)
    return errors


def test_sigterm_drains_and_exits_0_while_the_engine_lives(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    child = start(tmp_path)
    assert child.stderr is not None
    assert "following" in child.stderr.readline()
    write_run(builder)
    child.send_signal(signal.SIGTERM)
    errors = finish(child)
    assert child.returncode == 0, errors
    assert "35 records projected" in errors
    assert next_seq(tmp_path) == "35"
    builder.close()


def test_stdin_eof_waits_for_the_engine_then_exits_0(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path)
    child = start(tmp_path)
    assert child.stdin is not None
    child.stdin.close()
    child.stdin = None
    write_run(builder)  # the engine's last words, after the parent has died
    builder.close()
    errors = finish(child)
    assert child.returncode == 0, errors
    assert next_seq(tmp_path) == "35"


def test_closed_stdin_brings_a_finished_run_up_to_date(run_dir: Path) -> None:
    child = start(run_dir, subprocess.DEVNULL)
    errors = finish(child)
    assert child.returncode == 0, errors
    assert "35 records projected" in errors
    assert len(rows(run_dir, "SELECT * FROM fills")) == 2


def test_quiet_engine_that_never_ends_is_left_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = JournalBuilder(tmp_path)
    builder.config()
    now_ns = 0

    def wait(seconds: float) -> bool:
        nonlocal now_ns
        now_ns += int(seconds * 1e9)
        return False

    monkeypatch.setattr("engine.clock.monotonic_ns", lambda: now_ns)
    assert follow(tmp_path, wait, lambda: False) == 1
    assert 5_000_000_000 < now_ns < 5_100_000_000
    builder.close()


def test_eof_after_the_engine_has_ended_does_not_wait(run_dir: Path) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    assert follow(run_dir, wait, lambda: False) == 35
    assert len(waits) == 1


def test_damage_exits_1_with_the_place_on_stderr(run_dir: Path) -> None:
    path = segment_path(the_journal(run_dir), 0)
    start_offset = list(record_offsets(path))[16][0]
    flip(path, start_offset + 44)
    child = start(run_dir, subprocess.DEVNULL)
    errors = finish(child)
    assert child.returncode == 1
    assert f"offset {start_offset}, record 16" in errors
    assert "Traceback" not in errors
    assert next_seq(run_dir) == "16"


def test_run_without_a_journal_leaves_an_empty_ledger(tmp_path: Path) -> None:
    assert catch_up(tmp_path) == 0
    assert rows(tmp_path, "SELECT * FROM v_orders") == []


def test_usage_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "usage" in capsys.readouterr().err
