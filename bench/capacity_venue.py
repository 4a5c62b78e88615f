"""The venue of the capacity bench: a whole local exchange over REST, and capacity_end on the
WebSockets.

    python -m bench.capacity_venue CPU INSTRUMENTS RATE FRAMES FOLDER

The exchange's markets stand still; a snapshot is the one that capacity_end's frames follow. When
the engine's connections are all up they are given to capacity_end, which does nothing but move
bytes. Standard output: where it is, and when the engine has hung up what capacity_end counted.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bench import capacity_script
from bench.native import program
from engine import clock
from engine.exchange.face import Action, Event, Face, HttpAnswer, HttpRequest
from engine.exchange.instruments import synthetic
from engine.exchange.market import AgentMarket
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_core, make_face

READ_BYTES = 65_536
NO_LIMIT = 1_000_000


class OneBook:
    """A face around the exchange's: one snapshot for all, and nothing else of its own."""

    def __init__(self, face: Face, snapshot: str) -> None:
        self._face = face
        self._snapshot = snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._face, name)

    def step(self, event: Event, t_ns: int) -> list[Action]:
        if isinstance(event, HttpRequest) and event.path == "/fapi/v1/depth":
            return [HttpAnswer(event.request, 200, self._snapshot)]
        return list(self._face.step(event, t_ns))


class Wires:
    """The engine's WebSockets, until capacity_end takes them over."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._fds: dict[str, int] = {}
        self._market: dict[int, int] = {}  # fd by instrument
        self._held: list[asyncio.StreamWriter] = []
        self.is_complete = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: its upgrade, and what it subscribes to."""
        with suppress(asyncio.CancelledError):  # the end of this process, which asyncio reports
            await self._listen(reader, writer)

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._held.append(writer)
        protocol = ServerProtocol()
        fd = os.dup(writer.get_extra_info("socket").fileno())
        while data := await reader.read(READ_BYTES):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                    self._opened(event.path, fd)
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    asked = json.loads(bytes(event.data))
                    self._subscribed(asked["params"], fd)
                    answer = json.dumps({"result": None, "id": asked["id"]})
                    protocol.send_text(answer.encode())
            writer.write(b"".join(protocol.data_to_send()))
            await writer.drain()
            if len(self._market) == self._count and self._fds.keys() == {"trade", "user"}:
                self.is_complete.set()

    def _opened(self, path: str, fd: int) -> None:
        if path.startswith("/ws-fapi"):
            self._fds["trade"] = fd
        elif path.startswith("/private"):
            self._fds["user"] = fd
        elif "?streams=" in path:
            self._subscribed(path.partition("?streams=")[2].split("/"), fd)

    def _subscribed(self, streams: list[str], fd: int) -> None:
        for stream in streams:
            self._market[int(stream[3:6])] = fd

    def give_up(self) -> list[int]:
        """TRADE, USER, and the market connection of each instrument: nobody here reads them any
        more."""
        for writer in self._held:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        market = [self._market[number] for number in range(self._count)]
        return [self._fds["trade"], self._fds["user"], *market]


async def main(cpu: int, count: int, rate: float, frames: int, folder: Path) -> None:
    os.sched_setaffinity(0, {cpu})
    told = capacity_script.script(frames, clock.wall_ns())
    path = folder / "script.bin"
    capacity_script.write(told.frames, path)
    listings = synthetic(capacity_script.VENUE, count).values()
    markets = [AgentMarket(listing, 1, clock.wall_ns(), is_quiet=True) for listing in listings]
    core = make_core(capacity_script.VENUE, markets, 1)
    face = make_face(capacity_script.VENUE, core, NO_LIMIT)
    server = ExchangeServer(OneBook(face, told.snapshot))
    await server.start()
    wires = Wires(count)
    listening = await asyncio.start_server(wires.accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    key = core.keys[0].keys[0]
    _say({
        "rest_url": server.rest_url, "ws_url": f"ws://127.0.0.1:{port}",
        "key": [key.api_key, key.secret],
    })  # fmt: skip
    await wires.is_complete.wait()
    fds = wires.give_up()
    head = [str(program("capacity_end")), str(cpu), str(rate), str(path)]
    end = await asyncio.create_subprocess_exec(
        *head, *map(str, fds[:2]), str(count), *map(str, fds[2:]),
        stdout=asyncio.subprocess.PIPE, pass_fds=sorted(set(fds)),
    )  # fmt: skip
    output, _ = await end.communicate()
    if end.returncode:
        sys.exit(f"capacity_end ended with code {end.returncode}")
    _say(json.loads(output))


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    at, instruments, per_s, length = sys.argv[1:5]
    asyncio.run(main(int(at), int(instruments), float(per_s), int(length), Path(sys.argv[5])))
