"""Small captures for tests of tapes: USD-M frames as the venue spells them, one a millisecond."""

import gzip
import json
from pathlib import Path
from typing import Any

from engine.exchange.events import MarketEvent, TapeFrame
from engine.exchange.tape.market import TapeMarket
from engine.exchange.tape.messages import Recording
from engine.exchange.tape.recording import open_recordings
from engine.exchange.terms import NEVER_NS

START_NS = 1_723_161_255_000_000_000
MS = 1_000_000
LONG_NS = 1 << 61


def snapshot(update_id: int) -> str:
    bids = [[f"{60_000 - n / 10:.2f}", f"{5 + n}.000"] for n in range(5)]
    asks = [[f"{60_000.1 + n / 10:.2f}", f"{5 + n}.000"] for n in range(5)]
    return json.dumps({"lastUpdateId": update_id, "E": 1, "T": 1, "bids": bids, "asks": asks})


def frame(stream: str, **data: Any) -> str:
    document = {"stream": f"btcusdt@{stream}", "data": {**data, "s": "BTCUSDT", "E": 1, "T": 1}}
    return json.dumps(document, separators=(",", ":"))


def diff(
    first: int, last: int, prev: int, bids: dict[str, str] | None = None,
    asks: dict[str, str] | None = None,
) -> str:  # fmt: skip
    levels = {"b": list((bids or {}).items()), "a": list((asks or {}).items())}
    return frame("depth@0ms", e="depthUpdate", U=first, u=last, pu=prev, **levels)


def best(update_id: int, bid: str, bid_qty: str, ask: str, ask_qty: str) -> str:
    return frame("bookTicker", e="bookTicker", u=update_id, b=bid, B=bid_qty, a=ask, A=ask_qty)


def trade(px: str, qty: str, is_buyer_maker: bool, kind: str = "MARKET") -> str:
    return frame("trade", e="trade", t=1, p=px, q=qty, X=kind, m=is_buyer_maker)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{START_NS + n * MS} {line}\n" for n, line in enumerate(lines)))
    return path


def open_recording(path: Path, symbol: str | None, venue: str = "binance_usdm") -> Recording:
    (recording,) = open_recordings([path], venue, [symbol] if symbol else [])
    return recording


def head_of(path: Path, out: Path, lines: int) -> Path:
    """The head of a recorded capture."""
    with gzip.open(path, "rb") as file, out.open("wb") as head:
        for _ in range(lines):
            head.write(file.readline())
    return out


def play_out(*markets: TapeMarket) -> list[MarketEvent]:
    """All that is left of some tapes, each when it is due."""
    events: list[MarketEvent] = []
    for market in markets:
        market.on_public_subscriber(1)
    while (due_ns := min(market.next_due_ns() for market in markets)) < NEVER_NS:
        for market in markets:
            market.advance(due_ns)
            events += market.drain()
    return events


def frames_of(market: TapeMarket) -> list[TapeFrame]:
    return [event for event in market.drain() if isinstance(event, TapeFrame)]
