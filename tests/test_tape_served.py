"""A capture served over real sockets and captured back is the capture: byte for byte, and whole
by the venue's own rule (`tickmaker tape verify`)."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support_data import recorded
from support_tape import head_of

from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_core, make_face
from engine.exchange.tape.recording import open_markets
from engine.gateway.capture import capture
from engine.tape.capture import read_lines
from engine.tape.verify import verify_tape

Urls = dict[str, Any]


class Scene(NamedTuple):
    """What is served, and how a client of the venue asks for all of it."""

    venue: str
    original: Path
    symbols: list[str]
    speed: float
    url: Callable[[Urls], str]
    send: tuple[str, ...]
    snapshot: Callable[[Urls], str]
    frames_max: int  # the client's, subscription answers included


def frames_of(path: Path, mark: bytes) -> list[bytes]:
    return [frame for _, _, frame in read_lines(path) if frame.startswith(mark)]


def binance(tmp_path: Path, venue: str, name: str, count: int, speed: float) -> Scene:
    original = head_of(recorded(name), tmp_path / "original.raw", count)
    frames = frames_of(original, b'{"stream":')
    streams = "/".join(sorted({json.loads(frame)["stream"] for frame in frames}))
    path = "/fapi/v1/depth" if venue == "binance_usdm" else "/api/v3/depth"
    root = "public" if venue == "binance_usdm" else "market"
    return Scene(
        venue, original, [], speed,
        lambda urls: f"{urls['ws_url'][root]}/stream?streams={streams}",
        (),
        lambda urls: f"{urls['rest_url']}{path}?symbol=BTCUSDT&limit=1000",
        len(frames),
    )  # fmt: skip


def bybit(tmp_path: Path, product: str) -> Scene:
    """The head of a session log's one product and symbol, as a capture of its own."""
    original = tmp_path / "original.raw"
    lines = [
        (recv_ts_ns, frame)
        for _, recv_ts_ns, frame in read_lines(
            recorded("raw_multivenue/BYBIT.jsonl.zst"), product=product
        )
        if b'.BTCUSDT"' in frame[:60]
    ][:250]
    original.write_bytes(b"".join(b"%d %s" % line for line in lines))
    topics = sorted({json.loads(frame)["topic"] for _, frame in lines})
    return Scene(
        "bybit", original, [f"{product}/BTCUSDT"], 40.0,
        lambda urls: str(urls["ws_url"][f"public_{product}"]),
        (json.dumps({"op": "subscribe", "args": topics}),),
        lambda urls: "",
        len(lines) + 1,
    )  # fmt: skip


async def serve_and_capture(scene: Scene, out: Path) -> None:
    markets = open_markets([scene.original], scene.venue, scene.symbols, scene.speed)
    core = make_core(scene.venue, markets, 1)
    server = ExchangeServer(make_face(scene.venue, core))
    await server.start()
    try:
        async with asyncio.timeout(20):
            await capture(
                scene.url(server.urls), out, send=scene.send,
                snapshot_url=scene.snapshot(server.urls), frames_max=scene.frames_max,
            )  # fmt: skip
    finally:
        await server.stop()
    assert server.counters.bugs == 0


@pytest.mark.parametrize(
    ("venue", "name", "count", "speed"),
    [("binance_usdm", "binance_usdm/btcusdt_20220811_7s.gz", 1533, 10.0),
     ("binance_spot", "binance_spot/btcusdt_20240808.gz", 500, 10.0)],
)  # fmt: skip
def test_binance_capture_comes_back_as_it_was(
    tmp_path: Path, venue: str, name: str, count: int, speed: float
) -> None:
    scene = binance(tmp_path, venue, name, count, speed)
    out = tmp_path / "back.raw"
    asyncio.run(serve_and_capture(scene, out))
    assert frames_of(out, b'{"stream":') == frames_of(scene.original, b'{"stream":')
    before, after = verify_tape(scene.original), verify_tape(out)
    assert (after["update_id_gaps"], after["crossed"]) == (0, 0)
    assert after["bbo_match"] == before["bbo_match"]
    assert after["messages"] == before["messages"]
    assert after["depth_applied"] > 0


@pytest.mark.parametrize("product", ["linear", "spot"])
def test_bybit_capture_comes_back_as_it_was(tmp_path: Path, product: str) -> None:
    scene = bybit(tmp_path, product)
    out = tmp_path / "back.raw"
    asyncio.run(serve_and_capture(scene, out))
    back, original = (frames_of(path, b'{"topic":') for path in (out, scene.original))
    assert back == original
    result = verify_tape(out, symbol=f"{product}/BTCUSDT")
    assert (result["update_id_gaps"], result["crossed"]) == (0, 0)
    assert result["depth_applied"] == result["messages"]["depth"] + result["messages"]["snapshot"]
