"""What one instrument of the capacity bench hears: a snapshot, and the stream behind it.

Taken from the local exchange's own face in virtual time: what a subscriber of depth, best price
and trades of an agents' market gets. Every instrument hears the same, under its own name.
"""

import json
import struct
from pathlib import Path
from typing import NamedTuple

from engine.exchange.agents.settings import settings_of
from engine.exchange.face import HttpAnswer, HttpRequest, Tick, WsOpen, WsSend
from engine.exchange.instruments import synthetic_one
from engine.exchange.market import AgentMarket
from engine.exchange.stack import make_core, make_face
from engine.exchange.ws_end import text_frame

VENUE = "binance_usdm"
STREAMS = ("depth@0ms", "bookTicker", "trade")  # as the engine's adapter subscribes
STEP_NS = 5_000_000
PLACES_MAX = 4  # capacity_end.c


class Script(NamedTuple):
    snapshot: str  # a REST answer's body
    frames: list[bytes]


def symbol_of(number: int) -> str:
    return f"SYM{number:03}USDT"


def script(count: int, t_ns: int) -> Script:
    """`count` frames of SYM000USDT, and the snapshot that they follow."""
    symbol = symbol_of(0)
    listing = synthetic_one(VENUE, symbol)
    market = AgentMarket(listing, 1, t_ns, settings=settings_of(listing))
    face = make_face(VENUE, make_core(VENUE, [market], 1))
    streams = "/".join(f"{symbol.lower()}@{kind}" for kind in STREAMS)
    face.step(WsOpen(1, f"/public/stream?streams={streams}", {}), t_ns)
    asked = HttpRequest(1, "GET", "/fapi/v1/depth", f"symbol={symbol}&limit=1000", "", {})
    answers = [a for a in face.step(asked, t_ns) if isinstance(a, HttpAnswer)]
    frames: list[bytes] = []
    while len(frames) < count:
        t_ns += STEP_NS
        frames += [text_frame(a.text) for a in face.step(Tick(), t_ns) if isinstance(a, WsSend)]
    return Script(json.dumps(json.loads(answers[0].body)), frames[:count])


def write(frames: list[bytes], path: Path) -> None:
    """As capacity_end reads it."""
    with path.open("wb") as file:
        for frame in frames:
            places = _places(frame)
            file.write(struct.pack("<2i4i", len(frame), len(places),
                                   *places, *[0] * (PLACES_MAX - len(places))))
            file.write(frame)


def _places(frame: bytes) -> list[int]:
    """Where the three digits of the name stand."""
    lower, places, at = frame.lower(), [], 0
    while (at := lower.find(b"sym000usdt", at)) >= 0:
        places.append(at + 3)
        at += 1
    if not 1 <= len(places) <= PLACES_MAX:
        raise ValueError(f"Expected the symbol 1..{PLACES_MAX} times in a frame")
    return places
