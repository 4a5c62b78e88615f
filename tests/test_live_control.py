"""The control socket, alone: what anybody of this user may write into it."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.config import demo_core
from engine.errors import TickmakerError
from engine.live.control import TALKS_MAX, Control, _address
from engine.live.params import changed

HALT = b'{"do":"halt"}\n'


def served(tmp_path: Path, work: Callable[[], Awaitable[None]]) -> list[dict[str, Any]]:
    """What the event loop complains of: a session stops for it."""
    complaints: list[dict[str, Any]] = []

    async def handle(request: dict[str, Any]) -> dict[str, Any]:
        return {"heard": request["do"]}

    async def go() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        control = Control(tmp_path, handle)
        await control.open()
        try:
            async with asyncio.timeout(10.0):
                await work()
        finally:
            await control.close()

    asyncio.run(go())
    return complaints


async def talk(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return await asyncio.open_unix_connection(_address(fd))
    finally:
        os.close(fd)


@pytest.mark.parametrize("line", [b"[" * 60_000, b"\xff", b"1" * 5_000, b"[]", b"null", b""])
def test_a_line_that_is_no_request_is_answered_and_harms_nobody(
    tmp_path: Path, line: bytes
) -> None:
    async def work() -> None:
        reader, writer = await talk(tmp_path)
        writer.write(line + b"\n" + HALT)
        assert json.loads(await reader.readline())["ok"] is False
        assert json.loads(await reader.readline()) == {"ok": True, "heard": "halt"}
        writer.close()

    assert not served(tmp_path, work)


def test_who_leaves_connections_open_keeps_nobody_from_halting(tmp_path: Path) -> None:
    async def work() -> None:
        held = [await talk(tmp_path) for _ in range(4 * TALKS_MAX)]
        reader, writer = await talk(tmp_path)
        writer.write(HALT)
        assert json.loads(await reader.readline())["ok"] is True
        ended = [await first.read() for first, _ in held[: len(held) + 1 - TALKS_MAX]]
        assert not any(ended)
        for _, last in [*held, (reader, writer)]:
            last.close()

    assert not served(tmp_path, work)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), True, "1", None, [1]])
def test_what_is_no_parameter_changes_nothing(value: Any) -> None:
    core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    with pytest.raises(TickmakerError, match="params: "):
        changed(core, dict(core["params"]), {"half_spread_ticks": value})
