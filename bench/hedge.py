"""From a maker's fill to the hedge that it asked for, read from the journals of a run.

python -m bench.hedge RUN       a run of a configuration with a [[hedge]], its recorder's or not

Timed: from the receive stamp of the frame that told the fill to the return of the send of the
first order of the plan. Only plans with one fill behind them count, that came when the pause after
the plan before was over: else it would be the pause that is measured.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastcore.journal import KIND, read_segment, unpack

FRACTIONS = (0.5, 0.9, 0.99)


def measure(run_dir: Path) -> dict[str, dict[str, Any]]:
    """By hedge: n, plans, and percentiles (nearest rank) in milliseconds."""
    config = json.loads((run_dir / "config.json").read_text())
    return {hedge["name"]: _of(run_dir, hedge) for hedge in config["hedges"]}


def _of(run_dir: Path, hedge: dict[str, Any]) -> dict[str, Any]:
    fills = sorted(
        (ts_ns, recv_ts_ns)
        for key in hedge["of"]
        for kind, ts_ns, recv_ts_ns, _ in _records(run_dir, key)
        if kind == KIND["FILL"]
    )
    plans = sorted(plan for key in hedge["on"] for plan in _plans(run_dir, key))
    taken: list[float] = []
    before_ns, free_ns = 0, 0
    for ts_ns, sent_ns in plans:
        since = [fill for fill in fills if before_ns < fill[0] <= ts_ns]
        if len(since) == 1 and since[0][0] > free_ns:
            taken.append((sent_ns - since[0][1]) / 1e6)
        before_ns, free_ns = ts_ns, ts_ns + hedge["pause_ms"] * 1_000_000
    taken.sort()
    told: dict[str, Any] = {"n": len(taken), "plans": len(plans), "fills": len(fills)}
    for fraction in FRACTIONS if taken else ():
        at = min(int(fraction * len(taken)), len(taken) - 1)
        told[f"p{fraction * 100:g}_ms"] = round(taken[at], 3)
    return told


def _plans(run_dir: Path, key: str) -> Iterator[tuple[int, int]]:
    """(when the core heard of it, when its order was sent)."""
    heard_ns: int | None = None
    for kind, ts_ns, _, payload in _records(run_dir, key):
        if kind == KIND["HEDGE"]:
            heard_ns = ts_ns
        elif kind == KIND["SEND"] and heard_ns is not None:
            yield heard_ns, unpack(kind, payload)["end_ns"]
            heard_ns = None


def _records(run_dir: Path, key: str) -> Iterator[tuple[int, int, int, memoryview]]:
    for path in sorted((run_dir / "journal" / key).glob("*.jnl")):
        for _, kind, _, _, ts_ns, recv_ts_ns, payload in read_segment(path.read_bytes()):
            yield kind, ts_ns, recv_ts_ns, payload


def main() -> None:
    for name, told in measure(Path(sys.argv[1])).items():
        print(f"hedge {name}: {json.dumps(told)}")


if __name__ == "__main__":
    main()
