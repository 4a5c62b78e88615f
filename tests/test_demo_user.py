"""The demo with a strategy of the user's own: it trades, it is kept, its faults are told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.replay.verify import verify_run

ROOT = Path(__file__).resolve().parent.parent
HEAD = "from fastcore.user import *\n@strategy()\ndef f(view, params, state, target):\n"


def demo(runs: Path, strategy: str, seconds: str = "2") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, "-m", "engine.cli", "demo", "--json", "--seed", "11", "--seconds",
            seconds, "--runs", str(runs), "--strategy", strategy,
        ],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def test_demo_trades_with_a_strategy_of_the_users(tmp_path: Path) -> None:
    done = demo(tmp_path, f"{ROOT}/docs/my_quotes.py:my_quotes")
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    compiled = [index for index, line in enumerate(said) if "my_quotes compiled" in line]
    reached = [index for index, line in enumerate(said) if "clock in step" in line]
    assert compiled < reached, "compiled before anything is connected"
    assert said[compiled[0]].endswith(" ms")
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["strategy"] == "user:my_quotes"
    assert report["orders"] > 0
    run_dir = Path(report["run_dir"])
    (copy,) = (run_dir / "strategies").iterdir()
    assert copy.read_text() == (ROOT / "docs/my_quotes.py").read_text()
    result = verify_run(run_dir)
    assert result["first_difference"] is None
    assert result["signatures_checked"] is True
    assert result["orders"] >= report["orders"]


def test_demo_tells_why_a_strategy_fails(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        f"{HEAD}    quote_bid(target, 5 / view.ref_position_lots, 1)\n    return QUOTE\n"
    )
    done = demo(tmp_path / "runs", f"{path}:f", "20")
    assert done.returncode == 1
    assert f"the strategy failed: {path}:4: FloatingPointError" in done.stderr
    assert "quote_bid(target, 5 / view.ref_position_lots, 1)" in done.stderr
    assert "failed until it was halted, and never quoted" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_that_was_halted_half_way_fails(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from fastcore.user import *\n@strategy(state=1)\ndef f(view, params, state, target):\n"
        "    state[0] += 1\n    if state[0] > 40:\n        return 5 // view.ref_position_lots\n"
        "    quote_bid(target, view.bids[0].px_ticks - 20, 1)\n    return QUOTE\n"
    )
    done = demo(tmp_path / "runs", f"{path}:f", "12")
    assert done.returncode == 1
    assert f"{path}:6: FloatingPointError" in done.stderr
    assert "error: The strategy failed until it was halted" in done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["state"] == "STOPPED+STRATEGY"
    assert report["nonsense"] == 10


def test_demo_says_that_a_strategy_stands_aside(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"{HEAD}    return 7\n")
    done = demo(tmp_path / "runs", f"{path}:f")
    assert done.returncode == 0, done.stderr
    assert "free to quote; the strategy stands aside (code 7)" in done.stderr


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("    return view.nothing\n", "mine.py:4: view has no field 'nothing'"),
        (None, "No strategy file at"),
    ],
)
def test_demo_refuses_a_strategy_that_cannot_run(
    tmp_path: Path, body: str | None, text: str
) -> None:
    path = tmp_path / "mine.py"
    if body is not None:
        path.write_text(HEAD + body)
    done = demo(tmp_path / "runs", f"{path}:f")
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
