"""The load pump and its reader, a process each, for `tickmaker bench exchange`.

    python -m bench.exchange_pump send CPU SECONDS    prints its port, then what it sent
    python -m bench.exchange_pump read CPU PORT       prints what arrived

Both print JSON. The frames are those that a subscriber of depth, best price and trades of the
agents' market gets, made before the clock runs.
"""

import base64
import json
import os
import socket
import sys

from websockets.http11 import Request
from websockets.server import ServerProtocol

from engine import clock
from engine.exchange.face import Tick, WsOpen, WsSend
from engine.exchange.pump import Counter, Pump
from engine.exchange.stack import agent_markets, make_core, make_face
from engine.exchange.ws_end import text_frame

FRAMES = 5_000
BATCH = 4_096  # messages between two looks at the clock
STREAMS = "btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"
STEP_NS = 5_000_000
READ_BYTES = 65_536


def main() -> None:
    mode, cpu, number = sys.argv[1:4]
    os.sched_setaffinity(0, {int(cpu)})
    result = send(float(number)) if mode == "send" else read(int(number))
    print(json.dumps(result), flush=True)


def market_frames(count: int) -> list[bytes]:
    """What the venue's own face says to a subscriber, in virtual time."""
    venue, t_ns = "binance_usdm", 1_700_000_000_000_000_000
    core = make_core(venue, agent_markets(venue, ["BTCUSDT"], 1, t_ns), 1)
    face = make_face(venue, core)
    face.step(WsOpen(1, f"/public/stream?streams={STREAMS}", {}), t_ns)
    frames: list[bytes] = []
    while len(frames) < count:
        t_ns += STEP_NS
        frames += [text_frame(a.text) for a in face.step(Tick(), t_ns) if isinstance(a, WsSend)]
    return frames[:count]


def send(seconds: float) -> dict[str, float]:
    pump = Pump(market_frames(FRAMES))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        client, _ = listening.accept()
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _shake_hands(client)
        messages, start_ns = 0, clock.monotonic_ns()
        end_ns = start_ns + int(seconds * 1e9)
        while clock.monotonic_ns() < end_ns:
            messages += pump.send(client.fileno(), BATCH)
        elapsed_ns = clock.monotonic_ns() - start_ns
    return {"messages": messages, "bytes": pump.bytes_sent, "seconds": elapsed_ns / 1e9}


def _shake_hands(client: socket.socket) -> None:
    protocol = ServerProtocol()
    while True:
        protocol.receive_data(client.recv(READ_BYTES))
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                client.sendall(b"".join(protocol.data_to_send()))
                return


def read(port: int) -> dict[str, float]:
    counter = Counter()
    with socket.create_connection(("127.0.0.1", port)) as server:
        key = base64.b64encode(os.urandom(16)).decode()
        server.sendall(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += server.recv(READ_BYTES)
        start_ns = clock.monotonic_ns()
        counter.feed(answer.partition(b"\r\n\r\n")[2])
        while counter.receive(server.fileno()):
            pass
        elapsed_ns = clock.monotonic_ns() - start_ns
    return {
        "messages": counter.messages,
        "payload_bytes": counter.payload_bytes,
        "others": counter.others,
        "seconds": elapsed_ns / 1e9,
    }


if __name__ == "__main__":
    main()
