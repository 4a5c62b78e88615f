"""Results: figures of samples, and files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import TickmakerError

PERCENTS = {"p50_us": 50.0, "p99_us": 99.0, "p999_us": 99.9, "max_us": 100.0}


def write(result: dict[str, Any], out: Path) -> None:
    """Write `result` to `out`; TickmakerError where that can't be done."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise TickmakerError(
            f"{out}: can't be written: {error.strerror}", "give another --out"
        ) from None


def figures_us(samples_ns: npt.NDArray[np.int64]) -> dict[str, Any]:
    """p50, p99, p99.9, max in µs, and n, of all samples; the floats are None when n is 0.

    Percentile p is the sample of rank p% of n, rounded, as fastcore.latency has it.
    """
    count = len(samples_ns)
    ordered = np.sort(samples_ns)
    figures: dict[str, Any] = {}
    for name, percent in PERCENTS.items():
        rank = max(1, int(percent * count / 100 + 0.5))
        figures[name] = float(ordered[rank - 1]) / 1e3 if count else None
    return {**figures, "n": count}
