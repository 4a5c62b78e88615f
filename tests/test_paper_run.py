"""`tickmaker run --paper` as a person uses it: real processes, no credential anywhere."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
from support_live import PATIENT

from engine.config import load
from engine.config_file import load_config
from engine.errors import EXIT_OK, EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.live.facts import refuse_others
from engine.replay.verify import verify_run
from engine.venues.hosts import is_loopback

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "deploy" / "examples" / "local_binance_usdm.toml"


class LiveVenue(NamedTuple):
    """A venue of its own process, and a configuration for it whose credential is nowhere."""

    folder: Path
    ready: dict[str, Any]
    process: "subprocess.Popen[str]"

    @property
    def config(self) -> Path:
        return self.folder / "engine.toml"

    def truth(self) -> list[dict[str, Any]]:
        with urlopen(f"{self.ready['admin_url']}/truth?limit=10000", timeout=10) as answer:
            return [json.loads(line) for line in answer.read().splitlines() if line]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveVenue]:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.exchange", "--venue", "binance_usdm", "--json", "--seed",
         "3", "--symbols", "BTCUSDT,ETHUSDT", "--until-stdin-closes"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    ready = json.loads(process.stdout.readline())
    text = EXAMPLE.read_text()
    text = re.sub(r"(?m)^rest_url = .*", f'rest_url = "{ready["rest_url"]}"', text)
    for kind, url in ready["ws_url"].items():
        text = re.sub(rf'(?m)^{kind} = "ws.*', f'{kind} = "{url}"', text)
    text = re.sub(
        r"(?m)^credential = .*",
        'credential = { env_key = "NOBODY_HAS_THIS", env_secret = "NOR_THIS" }', text,
    )  # fmt: skip
    for key, value in PATIENT.items():
        text = re.sub(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
    (tmp_path / "engine.toml").write_text(text)
    try:
        yield LiveVenue(tmp_path, ready, process)
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def ran(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", "run", *arguments], cwd=ROOT, capture_output=True,
        text=True, timeout=90, check=False,
    )  # fmt: skip


def test_a_paper_run_reports_itself_and_leaves_the_live_venue_alone(live: LiveVenue) -> None:
    done = ran(str(live.config), "--paper", "--for", "1s", "--json")
    assert done.returncode == EXIT_OK, done.stderr
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    report = lines[-1]
    run_dir = Path(report["run_dir"])
    assert any(line.get("event") == "quoting" for line in lines)
    assert report["kind"] == "paper"
    assert report["name"].startswith("paper: ")
    assert report["orders"] > 0
    assert "<h1>paper: " in (run_dir / "report.html").read_text()
    told = json.loads((run_dir / "config.json").read_text())
    account = told["accounts"][0]
    assert all(is_loopback(url) for url in (account["rest_url"], *account["ws_url"].values()))
    assert account["rest_url"] != live.ready["rest_url"]
    with sqlite3.connect(run_dir / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT value FROM meta WHERE key = 'kind'").fetchone() == (
            "paper",
        )
        fills = ledger.execute("SELECT count(*) FROM fills").fetchone()[0]
    text = (run_dir / "paper-usdm.jsonl").read_text()
    truth = [json.loads(line) for line in text.splitlines()]
    mine = [record for record in truth if record["kind"] == "fill" and record["account"] == 0]
    assert len(mine) == fills
    assert verify_run(run_dir)["identical"] is True
    assert not (live.folder / "state").exists()  # of real runs: never of these
    assert [one["opening_position_lots"] for one in report["instruments"]] == [0]
    assert not [record for record in live.truth() if record["kind"] in ("order", "fill")]


def test_without_paper_the_missing_credential_is_refused(live: LiveVenue) -> None:
    done = ran(str(live.config))
    assert done.returncode == EXIT_USAGE
    assert "NOBODY_HAS_THIS" in done.stderr


def test_no_live_feed_is_an_error_before_anything_runs(live: LiveVenue) -> None:
    live.process.kill()
    live.process.wait()
    done = ran(str(live.config), "--paper", "--for", "1s")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "/fapi/v1/time" in done.stderr + done.stdout


PRODUCTION = {
    "rest_url": "https://fapi.binance.com",
    "public": "wss://fstream.binance.com",
    "private": "wss://fstream.binance.com",
    "ws_api": "wss://ws-fapi.binance.com/ws-fapi/v1",
}


def test_production_addresses_are_for_paper_only(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    for key, url in PRODUCTION.items():
        text = re.sub(rf'(?m)^{key} = ".*', f'{key} = "{url}"', text)
    text = re.sub(
        r"(?m)^credential = .*", 'credential = { env_key = "NO_K", env_secret = "NO_S" }', text
    )
    path = tmp_path / "engine.toml"
    path.write_text(text)
    with pytest.raises(TickmakerError, match="production") as refused:
        load_config(path, run_tag="0a1b2c3d", mask_seed=7, with_credentials=False)
    assert refused.value.exit_code == EXIT_UNSAFE
    loaded = load_config(
        path, run_tag="0a1b2c3d", mask_seed=7, with_credentials=False, is_paper=True
    )
    assert loaded.config.accounts[0].rest_url == PRODUCTION["rest_url"]
    assert loaded.config.kind == "live"  # what is not on paper yet can't pass for it
    assert load(loaded.config.model_dump(mode="json")).kind == "live"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://[::1]:80/x", "ws://localhost:1/ws", "ws://127.1.2.3"]
)
def test_a_paper_engine_may_speak_to_this_host(url: str) -> None:
    refuse_others([("rest_url", url)])


@pytest.mark.parametrize("url", [
    "https://fapi.binance.com", "wss://fstream.binance.com/ws", "https://demo-fapi.binance.com",
    "https://testnet.binancefuture.com", "http://192.168.0.2:1", "http://10.0.0.1",
    "http://127.0.0.1.evil.example", "http://localhost.example",
    "http://127.0.0.1@fapi.binance.com",
])  # fmt: skip
def test_a_paper_engine_refuses_every_other_address(url: str) -> None:
    with pytest.raises(TickmakerError, match="this host only") as caught:
        refuse_others([("rest_url", url)])
    assert caught.value.exit_code == EXIT_UNSAFE
