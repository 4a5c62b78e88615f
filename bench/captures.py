"""Touches and trades of a recorded raw capture (`<local_ns> {combined-stream JSON}`) as arrays."""

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.fixed import parse
from fastcore.types import Side

I64 = npt.NDArray[np.int64]


class Capture(NamedTuple):
    touches: I64  # bid_px_ticks, bid_qty_lots, ask_px_ticks, ask_qty_lots, local_ns
    trades: I64  # aggressor, px_ticks, qty_lots, local_ns
    rows: I64  # local order: (0 touch | 1 trade, index into its table)


def load(path: Path, tick: str, lot: str) -> Capture:
    """All bookTicker and book trades, in the order of their arrival."""
    touches: list[tuple[int, ...]] = []
    trades: list[tuple[int, ...]] = []
    rows: list[tuple[int, int]] = []
    px, qty = Cached(tick), Cached(lot)
    with gzip.open(path, "rb") as lines:
        for line in lines:
            if b'"e":"bookTicker"' in line:
                at, message = _split(line)
                rows.append((0, len(touches)))
                touches.append(
                    (px[message["b"]], qty[message["B"]], px[message["a"]], qty[message["A"]], at)
                )
            elif b'"e":"trade"' in line:
                at, message = _split(line)
                if message["X"] == "MARKET":
                    side = Side.SELL if message["m"] else Side.BUY
                    rows.append((1, len(trades)))
                    trades.append((int(side), px[message["p"]], qty[message["q"]], at))
    table = [np.array(part, dtype=np.int64) for part in (touches, trades, rows)]
    return Capture(*table)


class Cached(dict[str, int]):
    """Decimal text to units; each text is parsed once."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    def __missing__(self, text: str) -> int:
        self[text] = parse(text.encode(), self._step)
        return self[text]


def _split(line: bytes) -> tuple[int, dict[str, Any]]:
    at, message = line.split(b" ", 1)
    return int(at), json.loads(message)["data"]
