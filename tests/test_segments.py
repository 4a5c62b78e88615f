"""Segments: ready before they are needed, never pulled from under a reader."""

import mmap
import os
from pathlib import Path

import pytest

from engine.errors import TickmakerError
from engine.recorder.segments import Segments, give_back, is_writer_alive, segment_path

SIZE = 16 * mmap.PAGESIZE


def test_next_gives_zeroed_writable_files_in_order(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", SIZE)
    for index in range(3):
        view = segments.next()
        assert len(view) == SIZE
        assert not any(view)
        view[:8] = b"TMJRNL01"
        assert segment_path(tmp_path / "journal", index).read_bytes()[:8] == b"TMJRNL01"
        view.release()
    segments.close()
    assert sorted(path.name for path in (tmp_path / "journal").iterdir()) == [
        "000000.jnl",
        "000001.jnl",
        "000002.jnl",
    ]


def test_prepare_goes_in_steps_and_next_hands_it_out(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", SIZE)
    steps = 1
    while not segments.prepare(4 * mmap.PAGESIZE):
        steps += 1
    assert steps == 5  # create, then four of four pages
    assert segments.prepare()  # stays ready
    assert segments.index == -1
    assert len(segments.next()) == SIZE
    assert segments.index == 0


def test_segments_that_were_never_begun_are_removed(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", SIZE)
    first, ahead = segments.next(), segments.next()
    segments.prepare()
    first[:8] = b"TMJRNL01"
    segments.close()
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["000000.jnl"]
    ahead[:8] = b"still ok"  # a map that is still held is not pulled away


def test_close_frees_the_unused_tail_and_keeps_the_size(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", SIZE)
    view = segments.next()
    view[:64] = b"h" * 64
    reader_file = segment_path(tmp_path / "journal", 0).open("rb")
    reader = mmap.mmap(reader_file.fileno(), SIZE, prot=mmap.PROT_READ)
    segments.prepare()
    segments.close()
    segments.close()
    assert reader[SIZE - 8 :] == b"\0" * 8  # a truncated file would be a SIGBUS here
    assert reader[:64] == b"h" * 64
    assert segment_path(tmp_path / "journal", 0).stat().st_size == SIZE
    assert not segment_path(tmp_path / "journal", 1).exists()
    reader.close()
    reader_file.close()


def test_writer_alive_is_seen_until_close(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    assert not is_writer_alive(directory)
    segments = Segments(directory, SIZE)
    assert is_writer_alive(directory)
    segments.close()
    assert not is_writer_alive(directory)


def test_second_writer_of_a_folder_is_refused(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", SIZE)
    with pytest.raises(TickmakerError, match="another engine"):
        Segments(tmp_path / "journal", SIZE)
    segments.next()[:8] = b"TMJRNL01"
    segments.close()
    with pytest.raises(TickmakerError, match="already holds a journal"):
        Segments(tmp_path / "journal", SIZE)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TickmakerError, match="file/journal") as caught:
        Segments(tmp_path / "file" / "journal", SIZE)
    assert "writable" in caught.value.remedy


def test_disk_full_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", 1 << 60)
    with pytest.raises(TickmakerError, match=r"000000\.jnl") as caught:
        segments.next()
    assert "free disk space" in caught.value.remedy
    assert not segment_path(tmp_path / "journal", 0).exists()


def test_size_off_the_page_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        Segments(tmp_path / "journal", 1000)


def killed(folder: Path, used: int) -> list[Path]:
    """What a writer leaves that was killed: one segment begun, one ready."""
    folder.mkdir()
    paths = [segment_path(folder, index) for index in range(2)]
    for path in paths:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)
    with paths[0].open("r+b") as file:
        file.write(b"TMJRNL01".ljust(used, b"x"))
    return paths


def test_what_a_killed_writer_had_allocated_is_given_back(tmp_path: Path) -> None:
    """A record that was being written stays: used_size() would end before it."""
    used = 5 * mmap.PAGESIZE - 100
    begun, ready = killed(tmp_path / "journal", used)
    whole = begun.read_bytes()
    give_back(tmp_path / "journal")
    assert begun.read_bytes() == whole
    assert begun.stat().st_blocks * 512 == 5 * mmap.PAGESIZE
    assert not ready.exists()
    give_back(tmp_path / "journal")
    assert begun.read_bytes() == whole


def test_nothing_is_given_back_of_a_living_writer(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "journal", SIZE)
    view = segments.next()
    view[:8] = b"TMJRNL01"
    path = segment_path(tmp_path / "journal", 0)
    before = path.stat().st_blocks
    give_back(tmp_path / "journal")
    assert path.stat().st_blocks == before
    view.release()
    segments.close()
