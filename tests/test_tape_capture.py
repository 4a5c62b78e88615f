"""Raw captures: every container, both units of stamps, and clear words for what is wrong."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import TickmakerError
from engine.tape.capture import Source, read_lines, sha256_of

LINES = [
    b'1723161255030314667 {"a":1}\n',
    b'1660228022484228 {"b": [2, 3]}\n',
    b"\n",
    b'1723161255030314668 {"c":3}',
]
PARSED = [
    (1, 1723161255030314667, b'{"a":1}\n'),
    (2, 1660228022484228000, b'{"b": [2, 3]}\n'),
    (4, 1723161255030314668, b'{"c":3}'),
]
TEXT = b"".join(LINES)


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)  # type: ignore[no-any-return]


def lines_of(path: Path) -> list[tuple[int, int, bytes]]:
    return list(read_lines(path))


def error_of(path: Path) -> TickmakerError:
    with pytest.raises(TickmakerError) as caught:
        lines_of(path)
    assert str(path) in caught.value.what
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", ["a.txt", "a.gz", "a.zst", "noname"])
def test_container_is_told_by_content_not_by_name(tmp_path: Path, pack, name: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / name
    path.write_bytes(pack(TEXT))
    assert lines_of(path) == PARSED


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_concatenated_members_are_read_on(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "two"
    path.write_bytes(pack(LINES[0]) + pack(LINES[1]))
    assert lines_of(path) == PARSED[:2]


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_cut_container_says_that_it_was_cut(tmp_path: Path, pack, kept: float) -> None:  # type: ignore[no-untyped-def]
    data = pack(b"".join(b"17231612550303146%02d {}\n" % n for n in range(90)) * 50)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * kept)])
    assert "cut" in error_of(path).what


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_damaged_container_is_an_error(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    data = bytearray(pack(bytes(n * 7919 % 251 for n in range(9000)) + b"\n"))
    for at in range(20, len(data) - 20, 50):
        data[at] ^= 0x55
    path = tmp_path / "damaged"
    path.write_bytes(data)
    error_of(path)


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert "empty" in error_of(path).what


def test_container_of_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "nothing.gz"
    path.write_bytes(gzip.compress(b""))
    assert "no lines" in error_of(path).what


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"ARROW1\0\0", "tape"),
        (b"PAR1", "Parquet"),
        (b"PK\x03\x04", "zip"),
        (b'{"t":"start"}\n', "JSON-lines"),
        (b"\x89PNG\r\n\x1a\n\n", "not a raw capture"),
        (b"time,price\n", "not a raw capture"),
    ],
)
def test_wrong_file_type_is_named(tmp_path: Path, head: bytes, word: str) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(head * 3)
    assert word in error_of(path).what


def test_missing_file_and_folder_are_errors(tmp_path: Path) -> None:
    assert "No such file" in error_of(tmp_path / "absent").what
    assert "folder" in error_of(tmp_path).what


@pytest.mark.parametrize(
    "line", [b"172316125503031466 {}", b"17231612550 {}", b"1723161255030314667", b"{}", b"\xff\0"]
)
def test_garbled_line_is_named_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "garbled"
    path.write_bytes(LINES[0] + line + b"\n" + LINES[1])
    assert "line 2" in error_of(path).what


def test_file_cut_within_a_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(LINES[0] + b"172316125503")
    assert "was cut" in error_of(path).what


def test_files_follow_each_other_and_progress_reaches_the_passes(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b'1723161255030314667 {"a":1}\n' * 5000)
    two.write_bytes(b'1723161255030314668 {"b":1}\n' * 5000)
    fractions: list[float] = []
    source = Source([one, two], fractions.append, passes=2)
    for index in range(2):
        source.restart(index)
        assert len(list(source.lines())) == 10_000
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.5 < fractions[-1] <= 1


def test_files_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(LINES[0])
    two.write_bytes(b"1723161255030314669 {}\n")
    with pytest.raises(TickmakerError, match="lies before"):
        list(Source([two, one], None, passes=1).lines())


def test_sha256_is_of_the_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert sha256_of(path).startswith("ba7816bf8f01cfea")
