"""The run's control socket: JSON lines over `run_dir/control.sock`, for this user only.

A line {"do": "halt", ...} is answered by one line: {"ok": true, ...}, or {"ok": false, "what",
"remedy"}. The socket can halt, resume, set a strategy's parameters, tell, and stop; it can't raise
a limit. A path over 107 bytes doesn't fit a socket's address: it is bound through its folder.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError

NAME = "control.sock"
LINE_BYTES_MAX = 1 << 16
TALKS_MAX = 16  # connections at one time
ANSWER_BYTES_MAX = 1 << 24
ANSWER_DEADLINE_S = 10.0
Handle = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Control:
    """The engine's end."""

    def __init__(self, run_dir: Path, handle: Handle) -> None:
        self._run_dir = run_dir
        self._handle = handle
        self._server: asyncio.Server | None = None
        # The oldest first. To end one its connection is cut: asyncio takes the cancelling of such
        # a task for an error (streams.py), and an error in the loop ends the session.
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self) -> None:
        folder = os.open(self._run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o177)  # from its first moment: nobody else's
        try:
            sock.bind(_address(folder))
        except OSError as error:
            sock.close()
            raise TickmakerError(
                f"can't make {self._run_dir / NAME}: {error.strerror}",
                "check that the run folder is on a local disk",
            ) from None
        finally:
            os.umask(old_mask)
            os.close(folder)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=sock, limit=LINE_BYTES_MAX
        )

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for writer in self._talks.values():
            writer.transport.abort()
        await asyncio.gather(*self._talks, return_exceptions=True)
        self._server = None
        with contextlib.suppress(OSError):
            (self._run_dir / NAME).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Whoever leaves connections open must not take the descriptors that sockets to the venue
        # and journals need; nor keep a person from halting.
        for oldest in list(self._talks.values())[: max(len(self._talks) + 1 - TALKS_MAX, 0)]:
            oldest.transport.abort()
        self._talks[task] = writer
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # gone, or a line over the limit
            return
        finally:
            self._talks.pop(task, None)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return {"ok": False, "what": "the request is no JSON object", "remedy": ""}
        try:
            return {"ok": True, **await self._handle(request)}
        except TickmakerError as error:
            return {"ok": False, "what": error.what, "remedy": error.remedy,
                    "exit_code": error.exit_code}


def ask(run_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One request to the engine of `run_dir`; its answer, or TickmakerError."""
    try:
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TickmakerError(f"{run_dir}: {error.strerror}", "name a run folder") from None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_DEADLINE_S)
            sock.connect(_address(folder))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as file:
                answer = json.loads(file.readline(ANSWER_BYTES_MAX))
    except (FileNotFoundError, ConnectionRefusedError):
        raise TickmakerError(
            f"no engine listens in {run_dir}", "it has ended, or has not begun"
        ) from None
    except (OSError, ValueError):
        raise TickmakerError(
            f"the engine of {run_dir} gave no answer", "see whether it still runs"
        ) from None
    finally:
        os.close(folder)
    if not answer.pop("ok", False):
        raise TickmakerError(
            str(answer.get("what", "the engine refused")), str(answer.get("remedy", "")),
            int(answer.get("exit_code", 1)),
        )  # fmt: skip
    return dict(answer)


def _address(folder: int) -> str:
    return f"/proc/self/fd/{folder}/{NAME}"
