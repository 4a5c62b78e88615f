"""Write what a venue streams as a raw capture: `<local ns> {JSON frame}` a line, every frame as
it came. What `tickmaker tape import` and the local exchange read.

Binance's books need a REST snapshot: it is asked for once the first frame is in, as the venue's
rule has it, and stands in the file where it arrived. Bybit's come over the stream.

The file is written beside its place, as `NAME.part`, from the moment that the venue has answered,
and takes its place when the capture ends well: no failure costs an older recording.
"""

import asyncio
import gzip
import json
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from engine import clock
from engine.errors import EXIT_FAILED, EXIT_USAGE, TickmakerError

FRAME_BYTES_MAX = 16 << 20
FRAMES_QUEUED_MAX = 100_000  # a burst waits here, not at the venue
REST_TIMEOUT_S = 10.0
COMPRESSION = 1  # the loop must keep up with the venue


class Capture:
    """One file being written."""

    def __init__(self, file: BinaryIO) -> None:
        self.frames = 0
        self.snapshots = 0
        self._file = file
        self._offset_ns = clock.wall_minus_monotonic_ns()

    def write(self, frame: bytes) -> None:
        """A line of its own, stamped now."""
        if b"\n" in frame:
            frame = json.dumps(json.loads(frame), separators=(",", ":")).encode()
        self._file.write(b"%d %s\n" % (clock.monotonic_ns() + self._offset_ns, frame))


def _refuse_unusable(url: str, out: Path, snapshot_url: str, is_overwriting: bool) -> None:
    """What can be known before anybody is asked."""
    for address, schemes in ((url, ("ws", "wss")), (snapshot_url, ("http", "https"))):
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        if address and (urlsplit(address).scheme not in schemes or not urlsplit(address).netloc):
            raise TickmakerError(
                f"{address}: no address", f"Give one that starts {wanted}", EXIT_USAGE
            )
    if not url:
        raise TickmakerError("no address to capture from", "Give one: ws://…", EXIT_USAGE)
    if out.is_dir() or not out.parent.is_dir():
        what = "is a folder" if out.is_dir() else f"can't be written: no folder {out.parent}"
        raise TickmakerError(f"{out}: {what}", "Give another --out.", EXIT_USAGE)
    if out.exists() and not is_overwriting:
        raise TickmakerError(
            f"{out}: is there already", "Give another --out, or --overwrite.", EXIT_USAGE
        )


@contextmanager
def _written(out: Path) -> Iterator[Capture]:
    """A file that takes the place of `out` when all went well, and is gone when not, or when
    nothing came."""
    part = out.with_name(out.name + ".part")
    try:
        file = _opened(part, out.suffix == ".gz")
    except OSError as error:
        raise TickmakerError(
            f"{out}: can't be written: {error.strerror}", "Give another --out.", EXIT_USAGE
        ) from None
    try:
        with file:
            recording = Capture(file)
            yield recording
        if recording.frames:
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _opened(path: Path, is_zipped: bool) -> BinaryIO:
    if is_zipped:
        return cast(BinaryIO, gzip.open(path, "wb", COMPRESSION))
    return path.open("wb")


async def capture(
    url: str,
    out: Path,
    *,
    send: Sequence[str] = (),
    snapshot_url: str = "",
    seconds: float = 0.0,
    frames_max: int = 0,
    stop: asyncio.Event | None = None,
    is_overwriting: bool = False,
) -> dict[str, Any]:
    """Until `seconds` (0: no end) or `frames_max` frames (0: no end) are over, the venue closes,
    or `stop` is set; the file is whole then. TickmakerError where nothing can be captured: then
    nothing is written, and what stood there stands there still."""
    _refuse_unusable(url, out, snapshot_url, is_overwriting)
    async with _connected(url) as connection:
        with _written(out) as file:
            why = await _run(connection, file, send, snapshot_url, seconds, frames_max, stop)
    where = str(out) if file.frames else ""
    return {"out": where, "frames": file.frames, "snapshots": file.snapshots, "ended": why}


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[ClientConnection]:
    opening = connect(url, max_size=FRAME_BYTES_MAX, max_queue=FRAMES_QUEUED_MAX, compression=None)
    try:
        connection = await opening
    except InvalidURI as error:
        raise TickmakerError(f"{url}: no address: {error}", "Check it.", EXIT_USAGE) from None
    except (OSError, InvalidHandshake, EOFError) as error:
        raise TickmakerError(
            f"{url}: can't be reached: {error}", "Check the address.", EXIT_FAILED
        ) from None
    async with connection:
        yield connection


async def _run(
    connection: ClientConnection,
    file: Capture,
    send: Sequence[str],
    snapshot_url: str,
    seconds: float,
    frames_max: int,
    stop: asyncio.Event | None,
) -> str:
    """Why it ended."""
    try:
        for text in send:
            await connection.send(text)
        async with asyncio.timeout(seconds or None) as limit:
            async with _ended_by(stop, limit):
                await _take(connection, file, snapshot_url, frames_max)
        return f"{frames_max} frames"
    except ConnectionClosed as error:
        return f"closed by the venue: {error}"
    except TimeoutError:
        return "stopped" if stop is not None and stop.is_set() else f"{seconds:g} s"


@asynccontextmanager
async def _ended_by(stop: asyncio.Event | None, limit: asyncio.Timeout) -> AsyncIterator[None]:
    """The limit is over when `stop` is set."""
    if stop is None:
        yield
        return
    loop = asyncio.get_running_loop()
    waiting = asyncio.create_task(stop.wait())
    waiting.add_done_callback(lambda _: limit.reschedule(loop.time()) if stop.is_set() else None)
    try:
        yield
    finally:
        waiting.cancel()


async def _take(
    connection: ClientConnection, file: Capture, snapshot_url: str, frames_max: int
) -> None:
    snapshot: asyncio.Task[None] | None = None
    try:
        while not frames_max or file.frames < frames_max:
            frame = await connection.recv(decode=False)
            file.write(frame)
            file.frames += 1
            if snapshot_url and snapshot is None:
                snapshot = asyncio.create_task(_take_snapshot(snapshot_url, file, connection))
        if snapshot is not None:
            await snapshot
    except ConnectionClosed:
        if snapshot is not None:
            await snapshot  # it closed the connection, if it failed
        raise
    finally:
        if snapshot is not None:
            snapshot.cancel()


async def _take_snapshot(url: str, file: Capture, connection: ClientConnection) -> None:
    try:
        file.write(await _snapshot(url))
        file.snapshots += 1
    except TickmakerError:
        await connection.close()
        raise


async def _snapshot(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=REST_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TickmakerError(
            f"{url}: no snapshot: {error}", "Check the address.", EXIT_FAILED
        ) from None
    if response.status != 200:
        raise TickmakerError(
            f"{url}: no snapshot: HTTP {response.status}: {body[:200]!r}",
            "Check the address and its symbol.",
            EXIT_FAILED,
        )
    return body


def run(
    url: str,
    out: Path,
    *,
    send: Sequence[str],
    snapshot_url: str,
    seconds: float,
    is_overwriting: bool,
) -> dict[str, Any]:
    """As `capture`, until SIGINT or SIGTERM at the latest."""

    async def body() -> dict[str, Any]:
        stop = asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        return await capture(
            url, out, send=send, snapshot_url=snapshot_url, seconds=seconds, stop=stop,
            is_overwriting=is_overwriting,
        )  # fmt: skip

    return asyncio.run(body())
