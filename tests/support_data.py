"""Where the recorded market data is. It never ships with the project: a test that needs it skips,
saying so, on the machine of a person who has none, and fails where it was promised (CI, or
TICKMAKER_DATA set)."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TICKMAKER_DATA") or ROOT.parent / "shared" / "data").resolve()


def data_dir() -> Path:
    """Folder of recorded data: TICKMAKER_DATA, else ../shared/data beside the project."""
    return recorded("binance_usdm").parent


def recorded(name: str) -> Path:
    """A file or folder of the recorded data."""
    path = DATA / name
    if not path.exists():
        what = f"recorded market data is absent: {path} (set TICKMAKER_DATA to its folder)"
        if os.environ.get("CI") or os.environ.get("TICKMAKER_DATA"):
            pytest.fail(what)
        pytest.skip(what)
    return path


def tape_messages(name: str, every: int = 1) -> Iterator[bytes]:
    """Messages of a `<local time> <JSON>` tape, every Nth; a REST snapshot is never left out."""
    with gzip.open(data_dir() / name, "rb") as lines:
        for index, line in enumerate(lines):
            message = line.split(b" ", 1)[1].strip()
            if index % every == 0 or message.startswith(b'{"lastUpdateId"'):
                yield message


def capture_messages(name: str, conn: str = "") -> Iterator[bytes]:
    """Frames received and REST depth bodies of a raw_multivenue capture (of one connection)."""
    path = data_dir() / "raw_multivenue" / name
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        records = [json.loads(line) for line in stream.read().splitlines()]
    for record in records:
        if conn not in record.get("conn", ""):
            continue
        if record["t"] == "recv" or (record["t"] == "http" and "/depth?" in record["url"]):
            yield record["data"].encode()
