"""The tape file: read back as written, opened by others as it is, refused when damaged."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import TickmakerError
from engine.tape.format import SCHEMA, Tape, TapeMeta, TapeWriter, new_columns
from fastcore.rows import COLUMNS

META = TapeMeta(
    venue="binance_usdm",
    symbol="BTCUSDT",
    tick="0.1",
    lot="0.001",
    rows=700,
    messages={"trade": 700, "total": 700},
    span_s=1.0,
    clock_offset_ms=1200.0,
    sources=[{"name": "x.gz", "sha256": "00"}],
)


def batch(seed: int, count: int):  # type: ignore[no-untyped-def]
    columns = new_columns(count)
    generator = np.random.default_rng(seed)
    for column in columns:
        column[:] = generator.integers(0, 100, count)
    return columns


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    out = tmp_path / "a.tape.arrow"
    with TapeWriter(out, META) as writer:
        writer.write(batch(1, 400))
        writer.write(batch(2, 300))
    return out


def error_of(path: Path) -> TickmakerError:
    with pytest.raises(TickmakerError) as caught:
        list(Tape(path).batches())
    assert str(path) in caught.value.what
    assert caught.value.remedy
    return caught.value


def test_tape_reads_back_as_written(tape: Path) -> None:
    opened = Tape(tape)
    assert opened.meta == META
    parts = list(opened.batches())
    for part, seed in zip(parts, (1, 2), strict=True):
        for column, expected in zip(part, batch(seed, len(part[0])), strict=True):
            np.testing.assert_array_equal(column, expected)
            assert column.dtype == expected.dtype
    assert len(opened.columns()[0]) == 700


def test_columns_are_views_of_the_file_not_copies(tape: Path) -> None:
    before = pa.total_allocated_bytes()
    columns = next(iter(Tape(tape).batches()))
    assert not columns[0].flags.writeable
    assert pa.total_allocated_bytes() - before < columns[0].nbytes


def test_others_open_it_as_it_is(tape: Path) -> None:
    table = pa.ipc.open_file(tape).read_all()
    assert table.schema.equals(SCHEMA)
    assert table.column_names == list(COLUMNS)
    assert table.num_rows == 700


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    out = tmp_path / "a.tape.arrow"
    out.write_bytes(b"what was there")
    writer = TapeWriter(out, META)
    writer.__enter__()
    writer.write(batch(1, 400))
    error = RuntimeError()
    writer.__exit__(RuntimeError, error, None)
    assert out.read_bytes() == b"what was there"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_rows_other_than_announced_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "a.tape.arrow"
    with pytest.raises(TickmakerError, match="announced"), TapeWriter(out, META) as writer:
        writer.write(batch(1, 400))
    assert not list(tmp_path.iterdir())


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="can't be written"):
        TapeWriter(tmp_path / "absent" / "a.tape.arrow", META).__enter__()


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.999])
def test_cut_tape_is_refused(tape: Path, kept: float) -> None:
    data = tape.read_bytes()
    tape.write_bytes(data[: int(len(data) * kept)])
    assert "broken tape" in error_of(tape).what


@pytest.mark.parametrize("at", [0.3, 0.6, 0.8])
def test_tape_with_its_middle_missing_is_refused(tape: Path, at: float) -> None:
    data = tape.read_bytes()
    cut = int(len(data) * at)
    tape.write_bytes(data[:cut] + data[cut + 4096 :])
    assert "broken tape" in error_of(tape).what


def test_every_flipped_byte_of_a_row_is_found(tape: Path) -> None:
    data = bytearray(tape.read_bytes())
    rows = batch(1, 400)[2].tobytes()
    start = data.index(rows)
    for at in range(start, start + len(rows), 97):
        data[at] ^= 1
        tape.write_bytes(data)
        assert "checksum" in error_of(tape).what
        data[at] ^= 1


def test_arrow_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.arrow"
    table = pa.table({"x": [1, 2]})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    assert "no tape" in error_of(path).what


def test_tape_of_a_later_format_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "later.tape.arrow"
    later = TapeMeta(**{field: getattr(META, field) for field in META.__slots__} | {
        "format_version": 2, "rows": 0,
    })  # fmt: skip
    with TapeWriter(out, later):
        pass
    assert "format 2" in error_of(out).what


def test_file_that_is_no_tape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tape.arrow"
    path.write_text("1723161255030314667 {}\n")
    assert "is not a tape" in error_of(path).what
