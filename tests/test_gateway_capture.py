"""engine.gateway.capture: what a venue sends is in the file, byte for byte, in its order."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway.capture import capture
from engine.tape.capture import read_lines

SNAPSHOT = '{"lastUpdateId":7}'


class Venue:
    """Sends its frames to whoever comes, once it has heard `wants` messages; then it waits or
    closes."""

    def __init__(self, frames: list[str], *, wants: int = 0, closes: bool = False) -> None:
        self.frames = frames
        self.heard: list[str] = []
        self.url = self.rest_url = ""
        self.status = 200
        self._wants = wants
        self._closes = closes

    async def on_ws(self, connection: ServerConnection) -> None:
        for _ in range(self._wants):
            self.heard.append(str(await connection.recv()))
        for frame in self.frames:
            await connection.send(frame)
        if not self._closes:
            await connection.wait_closed()

    async def on_rest(self, request: web.BaseRequest) -> web.Response:
        return web.Response(status=self.status, text=SNAPSHOT)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Venue"]:
        runner = web.ServerRunner(web.Server(self.on_rest))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.rest_url = f"http://127.0.0.1:{runner.addresses[0][1]}/depth"
        try:
            async with serve(self.on_ws, "127.0.0.1", 0, compression=None) as server:
                self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/x"
                yield self
        finally:
            await runner.cleanup()


FRAMES = [json.dumps({"n": n, "text": "é"}, ensure_ascii=False) for n in range(500)]


@pytest.mark.parametrize("name", ["c.raw", "c.gz"])
def test_frames_stand_as_they_came(tmp_path: Path, name: str) -> None:
    async def body() -> None:
        async with Venue(FRAMES, wants=2).running() as venue:
            result = await capture(
                venue.url, tmp_path / name, send=["one", "two"], frames_max=len(FRAMES)
            )
        assert venue.heard == ["one", "two"]
        assert result == {
            "out": str(tmp_path / name), "frames": 500, "snapshots": 0, "ended": "500 frames",
        }  # fmt: skip

    asyncio.run(body())
    lines = list(read_lines(tmp_path / name))
    assert [line.decode().rstrip("\n") for _, _, line in lines] == FRAMES
    stamps = [recv_ts_ns for _, recv_ts_ns, _ in lines]
    assert stamps == sorted(stamps)
    if name.endswith(".gz"):
        assert gzip.decompress((tmp_path / name).read_bytes())


def test_snapshot_is_taken_after_the_stream_has_begun(tmp_path: Path) -> None:
    out = tmp_path / "c.raw"

    async def body() -> None:
        async with Venue(FRAMES[:3]).running() as venue:
            result = await capture(venue.url, out, snapshot_url=venue.rest_url, frames_max=3)
        assert (result["frames"], result["snapshots"]) == (3, 1)

    asyncio.run(body())
    texts = [line.decode().rstrip("\n") for _, _, line in read_lines(out)]
    assert sorted(texts) == sorted([*FRAMES[:3], SNAPSHOT])
    assert texts[0] == FRAMES[0]


@pytest.mark.parametrize("ending", ["stop", "seconds"])
def test_capture_ends_when_it_is_told(tmp_path: Path, ending: str) -> None:
    async def body() -> None:
        async with Venue([]).running() as venue:
            stop = asyncio.Event()
            if ending == "stop":
                stop.set()
            seconds = 0.01 if ending == "seconds" else 0.0
            result = await capture(venue.url, tmp_path / "c.raw", seconds=seconds, stop=stop)
        assert result["ended"] == ("stopped" if ending == "stop" else "0.01 s")
        assert (result["frames"], result["out"]) == (0, "")
        assert not (tmp_path / "c.raw").exists()

    asyncio.run(body())


def test_venue_that_closes_ends_the_capture(tmp_path: Path) -> None:
    async def body() -> None:
        async with Venue(FRAMES[:5], closes=True).running() as venue:
            result = await capture(venue.url, tmp_path / "c.raw")
        assert result["frames"] == 5
        assert "closed by the venue" in result["ended"]

    asyncio.run(body())


def test_frame_of_several_lines_becomes_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with Venue(['{"a":\n 1}']).running() as venue:
            await capture(venue.url, tmp_path / "c.raw", frames_max=1)

    asyncio.run(body())
    ((_, _, frame),) = read_lines(tmp_path / "c.raw")
    assert frame == b'{"a":1}\n'


def test_nothing_to_capture_is_an_error(tmp_path: Path) -> None:
    async def body() -> None:
        async with Venue(FRAMES).running() as venue:
            with pytest.raises(TickmakerError, match="can't be written"):
                await capture(venue.url, tmp_path / "absent" / "c.raw")
            with pytest.raises(TickmakerError, match="is a folder"):
                await capture(venue.url, tmp_path)
            venue.status = 500
            with pytest.raises(TickmakerError, match="HTTP 500"):
                await capture(
                    venue.url, tmp_path / "c.raw", snapshot_url=venue.rest_url, frames_max=9**9
                )
        with pytest.raises(TickmakerError, match="can't be reached"):
            await capture(venue.url, tmp_path / "d.raw")

    asyncio.run(body())
    assert not [*tmp_path.iterdir()], "a failure left something behind"


@pytest.mark.parametrize("name", ["c.raw", "c.gz"])
def test_an_older_recording_outlives_every_failure(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    out.write_bytes(b"precious")

    def folder() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    async def body() -> None:
        with pytest.raises(TickmakerError, match="can't be reached"):
            await capture("ws://127.0.0.1:1/x", out, is_overwriting=True)
        async with Venue(FRAMES).running() as venue:
            with pytest.raises(TickmakerError, match="there already") as refused:
                await capture(venue.url, out, frames_max=1)
            assert refused.value.exit_code == EXIT_USAGE
            venue.status = 500
            with pytest.raises(TickmakerError, match="HTTP 500"):
                await capture(
                    venue.url, out, snapshot_url=venue.rest_url, frames_max=9**9,
                    is_overwriting=True,
                )  # fmt: skip
            assert folder() == {name: b"precious"}
            await capture(venue.url, out, frames_max=1, is_overwriting=True)
        assert len([*read_lines(out)]) == 1
        assert [*folder()] == [name]

    asyncio.run(body())


@pytest.mark.parametrize(
    ("url", "snapshot"),
    [("nonsense", ""), ("http://127.0.0.1/x", ""), ("ws://", ""), ("ws://a:1/x", "nonsense")],
)
def test_what_is_no_address_is_wrong_usage(tmp_path: Path, url: str, snapshot: str) -> None:
    with pytest.raises(TickmakerError, match="no address") as refused:
        asyncio.run(capture(url, tmp_path / "c.raw", snapshot_url=snapshot))
    assert refused.value.exit_code == EXIT_USAGE
    assert not [*tmp_path.iterdir()]
