"""The benches of the parts and of long runs measure what they say; no time is asserted."""

import subprocess
import sys
from pathlib import Path

import pytest
from support_sources import ROOT
from tape_captures import capture, write

from bench import parts, soak
from engine.errors import TickmakerError
from engine.tape.importer import import_files


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("parts") / "raw", capture(steps=400))


def test_parts_small_run_has_every_figure_with_a_target(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "OURS_CALLS", 10)
    result = parts.run(raw, rounds=2, peers=False)
    figures = {name for name in parts.TARGETS if name.endswith("_ns")}
    assert set(result["figures"]) == figures
    assert all(value > 0 for value in result["figures"].values())
    assert (result["rounds"], result["ratios"]) == (2, None)
    assert b'"bookTicker"' in parts._messages(parts.load(raw))[0]


def test_parts_refuses_a_tape_which_has_no_frames(raw: Path, tmp_path: Path) -> None:
    tape = tmp_path / "a.tape.arrow"
    import_files([raw], tape)
    with pytest.raises(TickmakerError, match="is a tape"):
        parts.run(tape, rounds=1, peers=False)


@pytest.mark.parametrize("peer", ["orjson", "json"])
def test_a_peer_answers_every_question(peer: str, raw: Path, tmp_path: Path) -> None:
    for message in parts._messages(parts.load(raw)):
        (tmp_path / "message").write_bytes(message)
        done = subprocess.run(
            [sys.executable, "bench/decode_peers.py", peer, str(tmp_path / "message")],
            cwd=ROOT, input="5\n7\n", capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.count('{"ns": ') == 2


def test_soak_allocates_nothing_for_an_event(raw: Path) -> None:
    result = soak.run(raw, events=20_000, strategy="spread")
    assert result["events"] >= 20_000
    assert result["orders_sent"] > 100
    assert result["allocations"] == 0
    assert result["interpreter_blocks"] <= 8 * result["calls"]  # the measuring loop's own numbers


def test_soak_says_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="exit code"):
        soak.run(tmp_path / "nothing.gz", events=1, strategy="spread")
