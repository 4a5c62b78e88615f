"""The demo as a person runs it: real processes, real sockets; then its promises, one by one."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from engine import children, clock
from engine.config import demo_core, load
from engine.errors import EXIT_KILLED
from engine.exchange.keys import derive_keys
from engine.live import shutdown
from engine.live.local import local_engine
from engine.replay.verify import verify_run

SEED = 11
KEYS = {
    "orders", "fills", "position_lots", "pnl", "tick_to_order", "state", "run_dir", "events",
    "events_per_s",
}  # fmt: skip


def command(runs: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "-m", "engine.cli", "demo", "--json", "--seed", str(SEED),
        "--runs", str(runs), *arguments,
    ]  # fmt: skip


def started(runs: Path) -> subprocess.Popen[str]:
    """A demo of a minute, in a process group of its own, as a terminal starts one."""
    return subprocess.Popen(
        command(runs, "--seconds", "60"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def demo(runs: Path, *arguments: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    done = subprocess.run(command(runs, *arguments), capture_output=True, text=True, timeout=90,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    report, done = demo(tmp_path_factory.mktemp("runs"), "--seconds", "6")
    return report, done.stdout + done.stderr


def test_demo_trades_and_reports(finished: tuple[dict[str, Any], str]) -> None:
    report, _ = finished
    assert report.keys() >= KEYS
    assert report["orders"] > 0
    assert report["fills"] > 0
    assert report["tick_to_order"]["n"] > 0
    assert report["state"] == "STOPPED"
    pnl = report["pnl"]
    assert pnl["total"] == pytest.approx(pnl["spread"] + pnl["inventory"] + pnl["fees"])
    assert report["reconciled"] is True


def test_demo_leaves_a_whole_run_folder(finished: tuple[dict[str, Any], str]) -> None:
    run_dir = Path(finished[0]["run_dir"])
    for name in ("report.json", "report.html", "ledger.sqlite", "config.json"):
        assert (run_dir / name).stat().st_size > 0
    assert json.loads((run_dir / "report.json").read_text())["fills"] == finished[0]["fills"]
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        fills = ledger.execute("SELECT count(*), sum(qty_lots) FROM fills").fetchone()
    assert fills[0] == finished[0]["fills"]


def test_demo_replays_byte_for_byte(finished: tuple[dict[str, Any], str]) -> None:
    result = verify_run(Path(finished[0]["run_dir"]))
    assert result["first_difference"] is None
    assert result["signatures_checked"] is True
    assert result["orders"] >= finished[0]["orders"]


def test_demo_shows_no_secret_anywhere(finished: tuple[dict[str, Any], str]) -> None:
    report, printed = finished
    pairs = [pair for account in derive_keys(SEED) for pair in account.keys]
    files = [path for path in Path(report["run_dir"]).rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in files] + [printed.encode()]
    assert len(files) >= 8
    for text in texts:
        for pair in pairs:
            assert pair.secret.encode() not in text
            assert pair.api_key.encode() not in text


@pytest.mark.once
def test_demo_pulls_every_order_on_ctrl_c(tmp_path: Path) -> None:
    process = started(tmp_path)
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if "account agreed" in line:
            break
    # The whole foreground group, as a terminal does it.
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, seen + err
    report = json.loads(out.splitlines()[-1])
    assert "0 of ours left at the venue" in err
    assert Path(report["run_dir"], "report.html").exists()
    assert verify_run(Path(report["run_dir"]))["identical"] is True


class Running:
    """A demo that quotes, and its processes."""

    def __init__(self, runs: Path) -> None:
        self.process = started(runs)
        assert self.process.stderr is not None
        self.seen = ""
        for line in self.process.stderr:
            self.seen += line
            if " s  QUOTING" in line:
                break
        (self.run_dir,) = runs.iterdir()
        self.pids = {name: self.pid_of(name) for name in ("exchange", "session", "recorder")}

    def pid_of(self, module: str) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        (found,) = [
            pid for pid in map(int, children.split())
            if f"engine.{module}\0" in Path(f"/proc/{pid}/cmdline").read_text()
        ]  # fmt: skip
        return found

    def ended(self) -> tuple[int, str]:
        """(exit code, what it said), and nothing is left behind."""
        _, err = self.process.communicate(timeout=40)
        said = self.seen + err
        assert "Traceback" not in said
        assert not self.alive()
        return self.process.returncode, said

    def alive(self) -> list[str]:
        return [name for name, pid in self.pids.items() if is_alive(pid)]

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (self.process.pid, *self.pids.values()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()


def is_alive(pid: int) -> bool:
    """Zombies are dead: nobody may be there to reap them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def check_report(running: Running, said: str) -> dict[str, Any]:
    for name in ("report.json", "report.html"):
        assert (running.run_dir / name).stat().st_size > 0, said
    report: dict[str, Any] = json.loads((running.run_dir / "report.json").read_text())
    assert report["orders"] > 0
    return report


@pytest.mark.once
def test_demo_whose_engine_is_killed_says_so_and_reports(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        os.kill(running.pids["session"], signal.SIGKILL)
        code, said = running.ended()
        assert code == EXIT_KILLED
        assert "The engine died (SIGKILL)" in said
        assert "orders may be left at the venue" in said
        assert check_report(running, said)["state"].split("+")[0] == "KILLED"


@pytest.mark.once
def test_demo_whose_exchange_is_killed_says_so_and_reports(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        os.kill(running.pids["exchange"], signal.SIGKILL)
        code, said = running.ended()
        assert code == 1
        assert "The exchange died (SIGKILL)" in said
        assert "it is not known how many of ours are left" in said
        assert check_report(running, said)["state"] == "STOPPED"


@pytest.mark.once
def test_demo_whose_recorder_is_killed_reports_from_the_journal(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        os.kill(running.pids["recorder"], signal.SIGKILL)
        assert running.process.stderr is not None
        for line in running.process.stderr:
            running.seen += line
            if "recorder died" in line:
                break
        running.process.send_signal(signal.SIGHUP)
        code, said = running.ended()
        assert code == 1
        assert "the recorder died (SIGKILL)" in said
        assert "0 of ours left at the venue" in said
        assert check_report(running, said)["state"] == "STOPPED"


@pytest.mark.once
def test_demo_that_is_killed_takes_everything_with_it(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        running.process.kill()
        running.process.wait()
        deadline_ns = clock.monotonic_ns() + 10_000_000_000
        while running.alive() and clock.monotonic_ns() < deadline_ns:
            os.sched_yield()
        assert running.alive() == []
        assert "Traceback" not in (running.run_dir / "engine.log").read_text()


@pytest.mark.once
def test_demo_gives_the_engine_time_for_its_own_shutdown() -> None:
    core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    config = load(local_engine(Path(), [core], "http://127.0.0.1:1", {}, seed=1))
    longest_s = shutdown.longest_s(config)
    assert longest_s + 3.0 < children.STOP_DEADLINE_S


@pytest.mark.once
def test_demo_stopped_before_it_began_still_reports(tmp_path: Path) -> None:
    process = started(tmp_path)
    assert process.stderr is not None
    assert "run folder" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report.keys() >= KEYS
    assert (report["orders"], report["state"]) == (0, "STOPPED")
    assert Path(report["run_dir"], "report.json").exists()
    assert "Traceback" not in err


@pytest.mark.once
def test_demo_is_not_led_astray_by_the_folder_it_runs_in(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("raise RuntimeError('not ours')\n")
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-P", *command(tmp_path, "--seconds", "1")[1:]], capture_output=True,
        text=True, timeout=90, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_demo_serves_a_recorded_tape(tmp_path: Path, data_dir: Path) -> None:
    tape = data_dir / "binance_usdm" / "btcusdt_20220811_7s.gz"
    report, _ = demo(tmp_path, "--seconds", "4", "--tape", str(tape))
    assert report["symbol"] == "BTCUSDT"
    assert report["orders"] > 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--tape", "nowhere.gz"], "No tape at nowhere.gz"),
        (["--strategy", "nope"], "Unknown strategy 'nope'"),
        (["--runs", "/proc/runs"], "Can't make the run folder"),
    ],
)
def test_demo_refuses_what_cannot_work(tmp_path: Path, arguments: list[str], text: str) -> None:
    done = subprocess.run(command(tmp_path, *arguments), capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
