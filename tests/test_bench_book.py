"""The book bench: the same stream for all, the same book at its end, and honest without peers.

No test here asserts a time.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import book, book_peers, book_stream, peers_env
from bench.book import Ours, Peer
from engine import cli
from engine.errors import TickmakerError
from tests.reference import book as twin
from tests.tape_captures import capture, write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write(tmp_path / "raw", capture(steps=60))


def test_stream_is_the_snapshot_and_every_newer_diff(raw: Path) -> None:
    rows = book_stream.load(raw)
    expected, by_hand = twin.Book(), []
    for line in capture(steps=60):
        frame = json.loads(line.split(" ", 1)[1])
        data = frame.get("data", frame)
        if "lastUpdateId" in data:
            by_hand, start = [data], data["lastUpdateId"]
        elif by_hand and data.get("e") == "depthUpdate" and data["u"] > start:
            by_hand.append(data)
    assert rows[-1, 0] == len([data for data in by_hand if data.get("b", 1) or data["a"]]) - 1
    for number in range(int(rows[-1, 0]) + 1):
        message = rows[rows[:, 0] == number]
        sides = [message[message[:, 1] == side][:, 2:].tolist() for side in (0, 1)]
        assert expected.apply_depth_lists(0, number, 0, *sides) == 0
    made = Ours(rows).measure("message")
    assert (made["bid"], made["ask"]) == (expected.bid_px_ticks, expected.ask_px_ticks)


@pytest.mark.parametrize("kept", ["lastUpdateId", "depthUpdate"])
def test_capture_without_snapshot_or_diffs_is_refused(tmp_path: Path, kept: str) -> None:
    lines = [line for line in capture() if kept in line or "bookTicker" in line]
    with pytest.raises(TickmakerError, match="holds no") as caught:
        book_stream.load(write(tmp_path / "raw", lines))
    assert caught.value.remedy


@pytest.mark.parametrize("mode", book.MODES)
def test_peer_answers_with_the_same_book(raw: Path, tmp_path: Path, mode: str) -> None:
    """The one peer that the project's own environment has, through the whole protocol."""
    rows = book_stream.load(raw)
    np.save(tmp_path / "stream.npy", rows)
    with Peer("sortedcontainers", Path(sys.executable), tmp_path / "stream.npy") as peer:
        assert peer.version
        theirs, again = peer.measure(mode), peer.measure(mode)
    ours = Ours(rows).measure(mode)
    for key in ("bid", "ask") if mode == "level" else ("bid", "ask", "seen"):
        assert theirs[key] == again[key] == ours[key]
    book._check("sortedcontainers", theirs, ours, mode)
    with pytest.raises(TickmakerError, match="another book"):
        book._check("sortedcontainers", theirs | {"bid": 1}, ours, mode)


def test_peer_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match=r"nautilus_trader died.*absent"):
        Peer("nautilus_trader", Path(sys.executable), tmp_path / "absent.npy").__enter__()


def test_result_holds_figures_of_all(raw: Path, tmp_path: Path) -> None:
    rows = book_stream.load(raw)
    np.save(tmp_path / "stream.npy", rows)
    ours, done = Ours(rows), []
    with Peer("sortedcontainers", Path(sys.executable), tmp_path / "stream.npy") as peer:
        passes = book.measure(ours, [peer], 3, done.append)
        result = book._result(passes, [peer], ours)
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert result["ratios"]["sortedcontainers"].keys() == set(book.MODES)
    for row in (result["ours"], result["peers"]["sortedcontainers"]):
        assert len(row["message"]["rounds"]) == len(row["level"]["rounds"]) == 3
    assert result["ours"]["message_ns"]["n"] == result["messages"] == rows[-1, 0]


def test_ratio_is_taken_within_a_round() -> None:
    passes = {
        "ours": {mode: [1.0, 2.0, 10.0] for mode in book.MODES},
        "peer": {mode: [3.0, 8.0, 20.0] for mode in book.MODES},
    }
    assert book._ratios(passes, "peer") == {"level": 3.0, "message": 3.0}


def test_without_an_index_peers_are_null_and_the_exit_code_says_so(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(peers_env.python, "__defaults__", (peers_env.REQUIREMENTS, tmp_path))
    out = tmp_path / "book.json"
    done = CliRunner().invoke(
        cli.app,
        ["bench", "book", "--tape", str(raw), "--rounds", "1", "--out", str(out), "--json"],
    )
    assert isinstance(done.exception, TickmakerError)
    assert "could not be installed" in done.exception.what
    assert "--no-peers" in done.exception.remedy
    result = json.loads(out.read_text())
    assert (result["peers"], result["ratios"]) == (None, {})
    assert "could not be installed" in result["peers_note"]
    assert result["ours"]["message"]["ns_per_level"] > 0
    assert not list(tmp_path.glob("*/ready"))


def test_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("")
    made = peers_env.python(wanted, tmp_path / "cache")
    assert subprocess.run([str(made), "-c", "1"], check=True).returncode == 0
    monkeypatch.setattr(peers_env, "_run", lambda *_: pytest.fail("made again"))
    assert peers_env.python(wanted, tmp_path / "cache") == made
    wanted.write_text("# another\n")
    with pytest.raises(pytest.fail.Exception):
        peers_env.python(wanted, tmp_path / "cache")


def test_no_peers_is_said(raw: Path) -> None:
    result = book.run(raw, rounds=1, with_peers=False)
    assert (result["peers"], result["peers_note"]) == (None, "left out (--no-peers)")
    assert set(book_peers.PEERS) >= {"nautilus_trader", "sortedcontainers"}
