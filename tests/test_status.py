"""The status page: whole or absent, never torn."""

import multiprocessing
import os
import struct
from pathlib import Path

import pytest

from engine.errors import TickmakerError
from engine.status import STATUS_SIZE, StatusReader, StatusWriter


def test_read_after_write_gives_the_last_status(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path / "status.page")
    reader = StatusReader(tmp_path / "status.page")
    assert reader.read() is None  # page there, nothing written yet
    for n in range(3):
        assert writer.write({"n": n, "symbol": "BTCUSDT", "text": "µs"})
        assert reader.read() == {"n": n, "symbol": "BTCUSDT", "text": "µs"}
    writer.close()
    assert reader.read() == {"n": 2, "symbol": "BTCUSDT", "text": "µs"}
    assert StatusReader(tmp_path / "status.page").read() is not None
    reader.close()


def test_read_missing_then_short_then_whole_file_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "status.page"
    reader = StatusReader(path)
    assert reader.read() is None
    path.write_bytes(b"\0" * 100)
    assert reader.read() is None
    writer = StatusWriter(path)
    writer.write({"n": 1})
    assert reader.read() == {"n": 1}


def test_write_too_large_keeps_the_old_status(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path / "status.page")
    reader = StatusReader(tmp_path / "status.page")
    assert writer.write({"n": 1})
    assert not writer.write({"n": 2, "text": "x" * writer.json_bytes_max})
    assert reader.read() == {"n": 1}


def test_write_shorter_after_longer_leaves_nothing_behind(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path / "status.page")
    reader = StatusReader(tmp_path / "status.page")
    writer.write({"text": "x" * 5000})
    writer.write({"n": 1})
    assert reader.read() == {"n": 1}


@pytest.mark.parametrize("offset", [0, 9, 12, 20])
def test_read_damaged_page_is_none(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "status.page"
    writer = StatusWriter(path)
    writer.write({"symbol": "BTCUSDT"})
    writer.close()
    page = bytearray(path.read_bytes())
    page[offset] ^= 4
    path.write_bytes(page)
    assert StatusReader(path).read() is None


def test_read_while_a_write_is_stuck_is_none(tmp_path: Path) -> None:
    path = tmp_path / "status.page"
    writer = StatusWriter(path)
    writer.write({"n": 1})
    page = bytearray(path.read_bytes())
    struct.pack_into("<Q", page, 0, 3)  # odd: a writer died in the middle
    path.write_bytes(page)
    assert StatusReader(path).read() is None


def test_writer_in_an_absent_folder_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match=r"status\.page") as caught:
        StatusWriter(tmp_path / "absent" / "status.page")
    assert "run folder" in caught.value.remedy


def test_page_has_the_documented_size(tmp_path: Path) -> None:
    StatusWriter(tmp_path / "status.page")
    assert os.stat(tmp_path / "status.page").st_size == STATUS_SIZE


def _write_many(path: Path, count: int) -> None:
    writer = StatusWriter(path)
    for n in range(count):
        writer.write({"n": n, "pad": str(n % 10) * (1 + n * 37 % 3000), "again": n})


def test_page_has_its_blocks_before_a_disk_is_full(tmp_path: Path) -> None:
    """A page of a map without a block is a SIGBUS then."""
    writer = StatusWriter(tmp_path / "status.page", 1 << 20)
    assert writer.path.stat().st_blocks * 512 >= 1 << 20
    writer.close()


def test_read_beside_a_busy_writer_is_never_torn(tmp_path: Path) -> None:
    path = tmp_path / "status.page"
    reader = StatusReader(path)
    child = multiprocessing.get_context("spawn").Process(target=_write_many, args=(path, 20_000))
    child.start()
    last, seen = -1, 0
    while child.is_alive() or seen == 0:
        status = reader.read()
        if status is None:
            continue
        seen += 1
        assert status["n"] == status["again"] >= last
        assert set(status["pad"]) == {str(status["n"] % 10)}
        last = status["n"]
    child.join()
    assert child.exitcode == 0
    final = StatusReader(path).read()
    assert final is not None
    assert final["n"] == 19_999
