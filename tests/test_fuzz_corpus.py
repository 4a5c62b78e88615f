"""Every input that fuzzing kept, through the target that it was found by, on both builds; and what
fuzzing has found, each with a test that needs no clang. docs/fuzzing.md."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastcore.journal import JournalError
from fastcore.types import Halt
from tests.fuzz import target_core, targets
from tests.fuzz.target_core import Day, core_config

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "data" / "fuzz"
CORPUS_SIZE_MAX = 500_000  # bytes over all targets: a repository is no place for a corpus


@pytest.mark.parametrize("target", sorted(targets.TARGETS))
def test_kept_inputs_pass_their_target(target: str) -> None:
    paths = sorted((CORPUS / target).iterdir())
    assert len(paths) > 5, "the kept inputs were not found, so nothing was checked"
    for path in paths:
        try:
            targets.TARGETS[target](path.read_bytes())
        except Exception as error:
            raise AssertionError(f"tests/data/fuzz/{target}/{path.name}: {error}") from error


def test_kept_inputs_are_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < CORPUS_SIZE_MAX


# -- The rules can fail ---


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("qty_lots_max", 1), ("position_lots_max", 9), ("notional_max", 1),
        ("price_collar_ticks", 0), ("orders_per_10s_max", 1), ("open_orders_max", 1),
    ],
)  # fmt: skip
def test_an_order_past_a_limit_is_noticed(limit: str, value: int) -> None:
    day = Day(core_config(0), 1 << 18)
    day.limits = day.limits | {limit: value}
    with pytest.raises(AssertionError):
        day.open()


def test_an_order_while_halted_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    day = Day(core_config(0), 1 << 18)
    rule = day.check
    monkeypatch.setattr(day, "check", lambda outs, _: rule(outs, Halt.OPERATOR))
    with pytest.raises(AssertionError):
        day.open()


@pytest.mark.parametrize("where", [-1, 100])
def test_a_journal_unlike_its_replay_is_noticed(where: int) -> None:
    day = Day(core_config(0), 1 << 18)
    day.open()
    day.replay()
    day.segment[where] ^= 1
    with pytest.raises((AssertionError, JournalError, ValueError)):
        day.replay()


@pytest.mark.parametrize(
    ("target", "twin", "name"),
    [("number", targets.plain_fixed, "parse"), ("frames", targets.plain_ws, "frame")],
)
def test_a_twin_that_differs_is_noticed(
    target: str, twin: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin, name, lambda *_: b"something else")
    with pytest.raises(AssertionError):
        targets.TARGETS[target](b"\x0112345.125")


# -- Found by fuzzing ---

# Frames as the socket hands them over: in one buffer, the next one behind. A page that must not be
# touched stands behind each; a longer message, farther on, has been read before.
AT_A_PAGE_END = """
import ctypes, mmap, sys
from pathlib import Path
from tests.fuzz.target_core import API_KEY, SECRET, core_config
from fastcore.core import Core

PAGE = mmap.PAGESIZE
room = mmap.mmap(-1, 3 * PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(room))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + PAGE), PAGE, 0) == 0
view = memoryview(room)
far = b' {"e":"somethingNew","E":1,"s":"BTCUSDT"}'
view[2 * PAGE : 2 * PAGE + len(far)] = far
core = Core(core_config(0) | {"venue": sys.argv[1]}, API_KEY, SECRET)
for path in sorted(Path(sys.argv[2]).iterdir()):
    text = path.read_bytes()[1:]
    view[PAGE - len(text) : PAGE] = text
    core.frame(0, view[2 * PAGE : 2 * PAGE + len(far)], 1, 1)
    print(path.name, flush=True)
    core.frame(0, view[PAGE - len(text) : PAGE], 1, 1)
"""


@pytest.mark.parametrize(
    ("venue", "target"), [("binance_usdm", "binance"), ("bybit_linear", "bybit")]
)
def test_no_byte_behind_a_frame_is_read(venue: str, target: str) -> None:
    """The Binance decoder's fast path went by the end of an earlier message."""
    done = subprocess.run(
        [sys.executable, "-c", AT_A_PAGE_END, venue, str(CORPUS / target)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout[-60:], done.stderr[-500:])
    assert len(done.stdout.splitlines()) == len(list((CORPUS / target).iterdir()))


def test_an_empty_frame_is_malformed_and_journaled() -> None:
    """Nothing at nowhere was copied into the journal: NULL given to memcpy."""
    day = Day(core_config(0), 1 << 18)
    day.open()
    day.frame(0, b"")
    day.give(day.core.snapshot, b"")
    assert day.core.numbers()["malformed"] == 2
    day.replay()


def test_each_core_trades() -> None:
    """A target that never places an order would check nothing."""
    for which in range(len(target_core.CORES)):
        day = Day(core_config(which), 1 << 18)
        day.open()
        assert day.placed, which
