"""Synthetic raw captures for the tape tests: a small seeded market, told as a venue tells it."""

import json
import random
from pathlib import Path

START_NS = 1_723_161_255_030_314_667
STEP_NS = 3_000_000
CLOCK_OFFSET_MS = 1200  # the venue's clock minus ours, as on the recorded tapes


class Market:
    """A book that moves at random; every method returns JSON frames of the venue's shape."""

    def __init__(
        self, venue: str = "binance_usdm", symbol: str = "BTCUSDT", seed: int = 1
    ) -> None:
        self.venue = venue
        self.symbol = symbol
        self.random = random.Random(seed)
        self.update_id = 1000
        self.depth_id = 1000
        self.now_ms = START_NS // 1_000_000
        self.bids = {600 - n: self.random.randint(1, 50) for n in range(20)}
        self.asks = {601 + n: self.random.randint(1, 50) for n in range(20)}
        self.dirty: set[tuple[str, int]] = set()

    def step(self) -> list[str]:
        """Some changes: the ticker of the state after them, a trade perhaps, then the diff."""
        for _ in range(self.random.randint(1, 4)):
            self._change()
        frames = [self.best()]
        if self.random.random() < 0.3:
            frames.append(self.trade())
        frames.append(self.depth())
        return frames

    def depth(self) -> str:
        sides: dict[str, list[list[str]]] = {"b": [], "a": []}
        for side, px in sorted(self.dirty):
            book = self.bids if side == "b" else self.asks
            sides[side].append([_px(px), _qty(book.get(px, 0))])
        data = {"e": "depthUpdate", "E": self._event_ms(), "T": self._event_ms()}
        data |= self._symbol() | {"U": self.depth_id + 1, "u": self.update_id}
        data |= {"pu": self.depth_id} | sides
        self.dirty.clear()
        self.depth_id = self.update_id
        if self.venue == "binance_spot":
            del data["T"], data["pu"]
        return self._frame("depth@0ms", data)

    def best(self) -> str:
        bid, ask = max(self.bids), min(self.asks)
        data = {"e": "bookTicker", "u": self.update_id} | self._symbol()
        data |= {"b": _px(bid), "B": _qty(self.bids[bid])}
        data |= {"a": _px(ask), "A": _qty(self.asks[ask])}
        data |= {"T": self._event_ms(), "E": self._event_ms()}
        if self.venue == "binance_spot":
            del data["e"], data["T"], data["E"]
        return self._frame("bookTicker", data)

    def trade(self) -> str:
        buys = self.random.random() < 0.5
        px = min(self.asks) if buys else max(self.bids)
        data = {"e": "trade", "E": self._event_ms(), "T": self._event_ms()} | self._symbol()
        data |= {"t": self.update_id, "p": _px(px), "q": _qty(2), "X": "MARKET", "m": not buys}
        return self._frame("trade", data)

    def snapshot(self) -> str:
        data: dict[str, object] = {"lastUpdateId": self.update_id, "E": self._event_ms()}
        if self.venue == "binance_coinm":
            data |= {"symbol": self.symbol, "pair": "BTCUSD"}
        data["bids"] = [[_px(px), _qty(self.bids[px])] for px in sorted(self.bids, reverse=True)]
        data["asks"] = [[_px(px), _qty(self.asks[px])] for px in sorted(self.asks)]
        return json.dumps(data, separators=(",", ":"))

    def _change(self) -> None:
        self.update_id += self.random.randint(1, 3)
        side = self.random.choice("ba")
        book, other = (self.bids, self.asks) if side == "b" else (self.asks, self.bids)
        best = max(book) if side == "b" else min(book)
        away = -1 if side == "b" else 1
        px = best + away * self.random.randint(-1, 8)
        inside = px < min(other) if side == "b" else px > max(other)
        if not inside or px <= 0:
            return
        if px in book and len(book) > 5 and self.random.random() < 0.5:
            del book[px]
        else:
            book[px] = self.random.randint(1, 50)
        self.dirty.add((side, px))

    def _symbol(self) -> dict[str, object]:
        names: dict[str, object] = {"s": self.symbol}
        return names | ({"ps": "BTCUSD"} if self.venue == "binance_coinm" else {})

    def _event_ms(self) -> int:
        return self.now_ms + CLOCK_OFFSET_MS

    def _frame(self, stream: str, data: dict[str, object]) -> str:
        name = f"{self.symbol.lower()}@{stream}"
        return json.dumps({"stream": name, "data": data}, separators=(",", ":"))


def _px(ticks: int) -> str:
    return f"{ticks / 10:.2f}"


def _qty(lots: int) -> str:
    return f"{lots / 1000:.3f}"


def capture(venue: str = "binance_usdm", steps: int = 40, seed: int = 1, **more: str) -> list[str]:
    """Lines of a clean capture: stamp, space, frame. The snapshot is the 8th step's."""
    market = Market(venue, seed=seed, **more)
    lines = []
    stamp_ns = START_NS
    for step in range(steps):
        frames = market.step()
        if step == 7:
            # Taken between two diffs, told after the second: one diff of the buffer is stale.
            frames.append(market.snapshot())
            frames.extend(market.step())
        for frame in frames:
            lines.append(f"{stamp_ns} {frame}")
            stamp_ns += STEP_NS // len(frames)
        market.now_ms = stamp_ns // 1_000_000
    return lines


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path
