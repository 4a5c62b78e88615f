"""`tickmaker run` as a person uses it: real processes and a local exchange."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_live import written

from engine.errors import EXIT_KILLED, EXIT_OK, EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.live.control import ask
from engine.replay.verify import verify_run
from engine.running import seconds_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With an exchange that runs, and a configuration for it."""
    command = [sys.executable, "-m", "engine.exchange", "--venue", "binance_usdm", "--json",
               "--seed", "3", "--symbols", "BTCUSDT,ETHUSDT", "--until-stdin-closes"]  # fmt: skip
    exchange = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert exchange.stdout is not None
    assert exchange.stdin is not None
    (tmp_path / "usdm.json").write_text(exchange.stdout.readline())
    written(tmp_path, "local_binance_usdm.toml")
    try:
        yield tmp_path
    finally:
        exchange.stdin.close()
        exchange.wait(timeout=20)
        exchange.stdout.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "engine.cli", *arguments]


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


class Running:
    """A run with --json, read line by line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command("run", str(folder / "engine.toml"), "--json", *arguments), cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.run_dir = Path()
        self.lines: list[dict[str, Any]] = []

    def until(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            self.lines.append(line)
            assert line.get("event") != "error", line
            if line.get("event") == event:
                return line
        raise AssertionError(f"it ended before {event!r}: {self.lines}")

    def run_dir_there(self, folder: Path) -> Path:
        (run_dir,) = (folder / "runs").iterdir()
        return run_dir

    def engine_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        (found,) = [
            pid for pid in map(int, children.split())
            if "engine.session\0" in Path(f"/proc/{pid}/cmdline").read_text()
        ]  # fmt: skip
        return found

    def ended(self) -> tuple[int, dict[str, Any], str]:
        """(exit code, the report, what it said)."""
        out, err = self.process.communicate(timeout=60)
        lines = [json.loads(text) for text in out.splitlines()]
        assert "Traceback" not in err, err
        return self.process.returncode, lines[-1] if lines else {}, err


def test_run_trades_for_its_time_and_reports(folder: Path) -> None:
    running = Running(folder, "--for", "3s")
    running.until("quoting")
    code, report, said = running.ended()
    assert code == EXIT_OK, said
    assert "0 of ours left at the venue" in said
    run_dir = Path(report["run_dir"])
    assert verify_run(run_dir)["identical"] is True
    for name in ("report.json", "report.html", "ledger.sqlite", "config.json", "events.jsonl"):
        assert (run_dir / name).stat().st_size > 0
    secret = json.loads((folder / "usdm.json").read_text())["accounts"][0]["secret"]
    for path in run_dir.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert secret not in said


def test_killed_engine_is_told_and_the_next_run_takes_over(folder: Path) -> None:
    first = Running(folder)
    first.until("quoting")
    os.kill(first.engine_pid(), signal.SIGKILL)
    code, _, said = first.ended()
    assert code == EXIT_KILLED
    assert "The engine died (SIGKILL)" in said
    killed = json.loads((first.run_dir_there(folder) / "report.json").read_text())
    assert killed["state"].split("+")[0] == "KILLED"
    assert killed["open_at_the_end"] > 0
    second = Running(folder, "--for", "2s")
    second.until("quoting")
    steps = [line["name"] for line in second.lines if line["event"] == "step"]
    assert any(name.startswith("run before this one read") for name in steps)
    (before,) = [line for line in second.lines if line["event"] == "run_before"]
    assert (before["run_dir"], before["is_stopped"]) == (killed["run_dir"], False)
    assert before["open_orders"] == killed["open_at_the_end"]
    assert before["held_lots"] in ({}, {"BTCUSDT": killed["position_lots"]})
    code, report, said = second.ended()
    assert code == EXIT_OK, said
    assert not [line for line in second.lines if line["event"] == "divergence"]
    assert verify_run(Path(report["run_dir"]))["identical"] is True


def test_halt_params_and_resume_reach_a_running_engine(folder: Path) -> None:
    running = Running(folder)
    running.until("quoting")
    (run_dir,) = (folder / "runs").iterdir()
    halted = ran("halt", str(run_dir), "--json")
    assert halted.returncode == EXIT_OK, halted.stderr
    assert "OPERATOR" in json.loads(halted.stdout)["state"]["usdm.binance_usdm.BTCUSDT"]
    changed = ran("params", str(run_dir), "half_spread_ticks=5", "--instrument", "BTCUSDT")
    assert changed.returncode == EXIT_OK, changed.stderr
    assert "half_spread_ticks = 5\n" in changed.stdout
    denied = ran("params", str(run_dir), "qty_lots=51", "--instrument", "BTCUSDT")
    assert denied.returncode == EXIT_USAGE
    assert "limits.qty_lots_max = 50" in denied.stderr
    wrong = ran("params", str(run_dir), "qty_lots_max=5", "--instrument", "BTCUSDT")
    assert wrong.returncode == EXIT_USAGE
    assert "qty_lots_max" in wrong.stderr
    running.process.send_signal(signal.SIGINT)
    code, _, said = running.ended()
    assert code == EXIT_KILLED, said  # halted by a person, and left so
    assert "latched at the end: OPERATOR" in said
    gone = ran("resume", str(run_dir))
    assert gone.returncode == 1
    assert "no engine listens" in gone.stderr


def test_production_is_refused(folder: Path) -> None:
    path = folder / "engine.toml"
    text = path.read_text().replace(
        'venue = "binance_usdm"',
        'venue = "binance_usdm"\nrest_url = "https://fapi.binance.com"', 1,
    )  # fmt: skip
    path.write_text(text)
    done = ran("run", str(path))
    assert done.returncode == EXIT_UNSAFE
    assert "fapi.binance.com" in done.stderr
    assert not (folder / "runs").exists()


def test_control_of_a_folder_without_an_engine(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="no engine listens"):
        ask(tmp_path, {"do": "halt"})
    with pytest.raises(TickmakerError, match="No such file"):
        ask(tmp_path / "none", {"do": "halt"})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("15m", 900), ("1.5h", 5400), ("2d", 172_800)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1s", "0", "1w", "1 h 5"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TickmakerError, match="such as 90s"):
        seconds_of(text)
