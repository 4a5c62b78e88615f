"""Where the recorded market data is; a test that needs it fails, and says why, when it is not."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa


def data_dir() -> Path:
    """Folder of recorded data: TICKMAKER_DATA, else ../shared/data beside the project."""
    path = Path(os.environ.get("TICKMAKER_DATA", "../shared/data")).resolve()
    if not (path / "binance_usdm").is_dir():
        raise FileNotFoundError(
            f"no recorded market data in {path}: set TICKMAKER_DATA to the folder that holds "
            "binance_usdm/, binance_spot/, ... (the data never ships with the project)"
        )
    return path


def tape_messages(name: str, every: int = 1) -> Iterator[bytes]:
    """Messages of a `<local time> <JSON>` tape, every Nth; a REST snapshot is never left out."""
    with gzip.open(data_dir() / name, "rb") as lines:
        for index, line in enumerate(lines):
            message = line.split(b" ", 1)[1].strip()
            if index % every == 0 or message.startswith(b'{"lastUpdateId"'):
                yield message


def capture_messages(name: str) -> Iterator[bytes]:
    """Frames received and REST depth bodies of a raw_multivenue capture."""
    path = data_dir() / "raw_multivenue" / name
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        records = [json.loads(line) for line in stream.read().splitlines()]
    for record in records:
        if record["t"] == "recv" or (record["t"] == "http" and "/depth?" in record["url"]):
            yield record["data"].encode()
