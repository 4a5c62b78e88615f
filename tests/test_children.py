"""What a parent makes of its engine's last words."""

import asyncio
import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from engine.children import Child, Family
from engine.errors import EXIT_FAILED, EXIT_KILLED, EXIT_OK


class Ended:
    """A process that has said all it had to say."""

    stdin = None

    def __init__(self, code: int) -> None:
        self.returncode = code

    async def wait(self) -> int:
        return self.returncode


def stopped(code: int, *lines: dict[str, Any], is_built: bool = True) -> tuple[int, str]:
    """(exit code, what the person is told)."""
    told = io.StringIO()

    async def run() -> int:
        family = Family(Path(), Console(file=told, width=200), stop_deadline_s=5.0)
        process = cast(asyncio.subprocess.Process, Ended(code))
        engine = Child("engine", process, Path("engine.log"), is_built=is_built)
        for line in (*lines, None):
            engine.lines.put_nowait(line)
        return await family.stop_engine(engine)

    return asyncio.run(run()), told.getvalue()


def last(left: int | None) -> dict[str, Any]:
    return {"event": "stopped", "orders_cancelled": 2, "open_orders_at_venue": left}


def test_what_the_engine_warns_of_while_it_stops_is_told() -> None:
    warning = {"event": "warning", "what": "3 lots unexplained", "remedy": "compare"}
    error = {"event": "error", "what": "account a ends unexplained", "remedy": ""}
    code, told = stopped(1, warning, error, last(0))
    assert code == EXIT_FAILED
    places = [told.index(words) for words in ("3 lots", "ends unexplained", "0 of ours left")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("left", "code", "words"),
    [(0, EXIT_OK, "2 orders cancelled, 0 of ours left at the venue"),
     (None, EXIT_FAILED, "it is not known how many of ours are left")],
)  # fmt: skip
def test_what_was_proved_is_told(left: int | None, code: int, words: str) -> None:
    ended, told = stopped(0, last(left))
    assert (ended, words in told) == (code, True), told


@pytest.mark.parametrize("left", [0, None])
def test_nothing_is_claimed_of_a_venue_that_nobody_asked(left: int | None) -> None:
    code, told = stopped(0, last(left), is_built=False)
    assert code == EXIT_OK
    assert "no venue was asked" in told
    assert "left" not in told


def test_an_engine_that_was_killed_is_an_exit_code_of_its_own() -> None:
    code, told = stopped(-9)
    assert (code, "SIGKILL" in told) == (EXIT_KILLED, True)
    assert stopped(1)[0] == EXIT_FAILED


def test_a_second_ctrl_c_is_told_what_is_waited_for_and_how_long() -> None:
    told = io.StringIO()

    async def run() -> None:
        family = Family(Path(), Console(file=told, width=200), stop_deadline_s=33.0)
        family._on_signal()
        assert family.stop.is_set()
        assert told.getvalue() == ""
        family._on_signal()

    asyncio.run(run())
    assert "after 33 s at the latest" in told.getvalue()
    assert "would leave orders at the venue" in told.getvalue()
