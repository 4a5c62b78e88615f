"""The pictures of docs/halts.md: a recorded BTCUSDT tape through the halts, and through a core.

    python -m bench.halt_plots DATA     DATA: the folder of recorded data (TICKMAKER_DATA)

What the tape has is the tape's; what it has not is put in, and the picture's title says so.
"""

import json
import sys
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from bench.svg import Figure, Points, Spans
from engine.config import demo_core
from engine.tape.capture import Source
from fastcore.core import Core
from fastcore.halts import Halts
from fastcore.journal import JournalWriter
from fastcore.types import Command, Conn, Halt, Side, Verb

DOCS = Path(__file__).resolve().parents[1] / "docs"
TAPE = "binance_usdm/btcusdt_20240808.gz"
SPAN_S = 345.0
NS = 1_000_000_000
TICK = 10  # ticks in one USDT
BLOW_OUT = (60.0, 63.0)  # seconds with a spread that the tape does not have
BUCKET_LOTS, BUCKETS = 4_000, 50  # of VPIN
BLUE, GREY, GREEN = "#1f5fa8", "#999", "#2e8b57"


class Touch(NamedTuple):
    at: float
    bid: int
    ask: int


class Trade(NamedTuple):
    at: float
    lots: int
    aggressor: int


def read(path: Path, span_s: float) -> tuple[list[Touch], list[Trade], list[tuple[float, bytes]]]:
    """Touches, trades and raw frames of the first `span_s` seconds."""
    touches: list[Touch] = []
    trades: list[Trade] = []
    frames: list[tuple[float, bytes]] = []
    first_ns = 0
    for _, recv_ts_ns, frame in Source([path], None, passes=1).lines():
        first_ns = first_ns or recv_ts_ns
        at = (recv_ts_ns - first_ns) / NS
        if at > span_s:
            break
        frames.append((at, frame.rstrip()))
        data = json.loads(frame).get("data", {})
        if data.get("e") == "bookTicker":
            touches.append(Touch(at, _ticks(data["b"]), _ticks(data["a"])))
        elif data.get("e") == "trade":
            lots = round(float(data["q"]) * 1000)
            trades.append(Trade(at, lots, Side.SELL if data["m"] else Side.BUY))
    return touches, trades, frames


def _ticks(text: str) -> int:
    return round(float(text) * TICK)


class Watch:
    """When a reason was in force."""

    def __init__(self, reason: Halt) -> None:
        self.reason = reason
        self.since: float | None = None
        self.spans: list[tuple[float, float]] = []

    def look(self, bits: int, at: float) -> None:
        if bits & self.reason and self.since is None:
            self.since = at
        elif not bits & self.reason and self.since is not None:
            self.spans.append((self.since, at))
            self.since = None

    def close(self, at: float) -> Spans:
        self.look(0, at)
        return self.spans


def settings(**on: float) -> dict[str, Any]:
    """The demo's halts, but for what a picture needs."""
    demo: dict[str, Any] = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)["halts"]
    return demo | on


# -- ONE PICTURE A HALT --------------------------------------------------------------------------


def spread(touches: list[Touch]) -> str:
    chosen = settings(spread_ticks_max=0, spread_factor=20.0)
    factor = chosen["spread_factor"]
    halts, watch = Halts(chosen, 2 * NS), Watch(Halt.SPREAD)
    spreads: list[tuple[float, float]] = []
    bound: list[tuple[float, float]] = []
    for touch in touches:
        wider = 80 if BLOW_OUT[0] <= touch.at < BLOW_OUT[1] else 0
        halts.on_touch(touch.bid, touch.ask + wider, round(touch.at * NS))
        halts.on_timer(round(touch.at * NS))
        watch.look(halts.bits, touch.at)
        spreads.append((touch.at, touch.ask + wider - touch.bid))
        if halts.median_ticks() >= 0:
            bound.append((touch.at, factor * halts.median_ticks()))
    spans = watch.close(touches[-1].at)
    figure = Figure(
        "SPREAD: 80 ticks put on the ask from 60 s to 63 s, which the tape has not",
        50.0, 75.0,
    )  # fmt: skip
    lines = [("spread", BLUE, _within(spreads, figure)),
             ("20 x rolling median", GREY, _within(bound, figure))]  # fmt: skip
    figure.panel("ticks", lines, spans)
    return figure.render()


def toxicity(trades: list[Trade]) -> str:
    vpins = _vpin(trades)
    ranked = sorted(value for _, value in vpins)
    high, low = (round(ranked[len(ranked) * part // 100], 2) for part in (85, 60))
    halts = Halts(settings(vpin_max=high, vpin_clear=low), 2 * NS)
    watch = Watch(Halt.TOXICITY)
    for at, value in vpins:
        halts.on_vpin(value, round(at * NS))
        watch.look(halts.bits, at)
    figure = Figure(
        f"TOXICITY: VPIN of the tape's trades, {BUCKETS} buckets of {BUCKET_LOTS // 1000} BTC; "
        "thresholds set for this tape",
        0.0, vpins[-1][0],
    )  # fmt: skip
    ends = (0.0, vpins[-1][0])
    lines: list[tuple[str, str, Points]] = [
        ("VPIN", BLUE, vpins),
        ("vpin_max", "#c0392b", [(at, high) for at in ends]),
        ("vpin_clear", GREEN, [(at, low) for at in ends]),
    ]
    figure.panel("VPIN", lines, watch.close(vpins[-1][0]))
    return figure.render()


def _vpin(trades: list[Trade]) -> list[tuple[float, float]]:
    """Easley, Lopez de Prado, O'Hara 2012, by the venue's aggressor flag; the engine's own is in
    fastcore.signals. A trade is split over the buckets that it fills."""
    ring: deque[float] = deque(maxlen=BUCKETS)
    values: list[tuple[float, float]] = []
    held = signed = 0
    for trade in trades:
        left = trade.lots
        while left:
            taken = min(left, BUCKET_LOTS - held)
            held += taken
            signed += taken if trade.aggressor == Side.BUY else -taken
            left -= taken
            if held == BUCKET_LOTS:
                ring.append(abs(signed) / BUCKET_LOTS)
                held = signed = 0
                if len(ring) == BUCKETS:
                    values.append((trade.at, sum(ring) / BUCKETS))
    return values


def repeated_fills(trades: list[Trade]) -> str:
    limit, first, resumes, last = 400, 230.0, 262.0, 280.0
    halts = Halts(settings(repeated_fills_max=limit, repeated_ms=1_000, one_sided_fills_max=0),
                  2 * NS)  # fmt: skip
    watch, young, counts = Watch(Halt.REPEATED_EXECUTION), deque[float](), []
    is_resumed = False
    for trade in trades:
        if trade.at < first:
            continue
        if trade.at >= resumes and not is_resumed:
            is_resumed = True
            halts.on_resume()
            watch.look(halts.bits, trade.at)
        halts.on_fill(1 - trade.aggressor, trade.lots, round(trade.at * NS))
        young.append(trade.at)
        while young[0] <= trade.at - 1.0:
            young.popleft()
        counts.append((trade.at, float(len(young))))
        watch.look(halts.bits, trade.at)
    figure = Figure(
        "REPEATED_EXECUTION: every trade of the tape taken as a fill of ours; latched",
        first, last,
    )  # fmt: skip
    lines: list[tuple[str, str, Points]] = [
        ("fills in 1 s", BLUE, _within(counts, figure)),
        ("repeated_fills_max", "#c0392b", [(first, limit), (last, limit)]),
    ]
    figure.panel("fills", lines, watch.close(last), [(resumes, "operator resumes")])
    return figure.render()


def one_sided_fills(trades: list[Trade]) -> str:
    limit, window_ms = 60, 500
    halts = Halts(settings(one_sided_fills_max=limit, one_sided_ms=window_ms,
                           repeated_fills_max=0), 2 * NS)  # fmt: skip
    watch, runs, side = Watch(Halt.ONE_SIDED_FILLS), [], -1
    young: deque[float] = deque()
    due = 0.0
    for trade in trades:
        while due < trade.at:
            halts.on_timer(round(due * NS))
            watch.look(halts.bits, due)
            due += 0.01
        halts.on_fill(1 - trade.aggressor, trade.lots, round(trade.at * NS))
        watch.look(halts.bits, trade.at)
        if trade.aggressor != side:
            side = trade.aggressor
            young.clear()
        young.append(trade.at)
        while young[0] <= trade.at - window_ms / 1000:
            young.popleft()
        runs.append((trade.at, float(len(young))))
    figure = Figure(
        "ONE_SIDED_FILLS: every trade of the tape taken as a fill of ours",
        0.0, 30.0,
    )  # fmt: skip
    lines: list[tuple[str, str, Points]] = [
        ("in a row on one side in 0.5 s", BLUE, _within(runs, figure)),
        ("one_sided_fills_max", "#c0392b", [(0.0, limit), (30.0, limit)]),
    ]
    figure.panel("fills", lines, watch.close(30.0))
    return figure.render()


def _within(points: Points, figure: Figure) -> Points:
    return [point for point in points if figure.first <= point[0] <= figure.last]


# -- A CORE, AND ALL THAT CAN HAPPEN TO IT -------------------------------------------------------

LANES = (
    Halt.BOOK, Halt.FEED_STALE, Halt.USER_STREAM, Halt.TRADE_STREAM, Halt.RECONCILING,
    Halt.RATE_LIMIT, Halt.CLOCK, Halt.OPERATOR, Halt.JOURNAL, Halt.SHUTDOWN,
)  # fmt: skip
CORE_S = 48.0
DEPTH_LOST, SILENCE, JOURNAL_FULL = 6.0, (10.0, 13.0), 43.0
SNAPSHOT_AFTER_S = 0.5  # what a REST reply takes here
RECORD_BYTES = 48  # of the journal, beside a frame's own


class Shadow:
    """The book as the frames tell it, every level: what a REST snapshot would say."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self.update_id = 0

    def take(self, frame: bytes) -> None:
        if frame.startswith(b'{"lastUpdateId"'):
            data = json.loads(frame)
            self.sides = {side: dict(data[side]) for side in self.sides}
            self.update_id = data["lastUpdateId"]
        elif b'"depthUpdate"' in frame:
            data = json.loads(frame)["data"]
            if data["u"] <= self.update_id:
                return
            for side, short in (("bids", "b"), ("asks", "a")):
                self.sides[side].update(data[short])
            self.update_id = data["u"]

    def body(self) -> bytes:
        levels = {
            side: [[px, qty] for px, qty in book.items() if float(qty) > 0]
            for side, book in self.sides.items()
        }
        for side, book in levels.items():
            book.sort(key=lambda level: float(level[0]), reverse=side == "bids")
        return json.dumps({"lastUpdateId": self.update_id, "E": 1, "T": 1, **levels}).encode()


class CoreRun:
    """A core fed with the tape's frames; what the tape has not is put between them."""

    def __init__(self, frames: list[tuple[float, bytes]]) -> None:
        config = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
        config |= {"tick": "0.10", "lot": "0.001", "assets": {"base": "BTC", "quote": "USDT"}}
        self.frames = [(at, frame) for at, frame in frames if at <= CORE_S]
        room = sum(len(frame) + RECORD_BYTES for at, frame in self.frames if at < JOURNAL_FULL)
        self.journal = JournalWriter(bytearray(room))
        self.core = Core(config, b"k" * 64, b"s" * 64, self.journal)
        self.shadow = Shadow()
        self.wanted_since: float | None = None
        self.watches = [Watch(reason) for reason in LANES]
        self.working: list[tuple[float, float]] = []
        self.todo = [
            (1.0, "streams up, clock measured, started", self._start),
            (DEPTH_LOST, "a depth frame is lost; a snapshot follows", self._lose),
            (SILENCE[0], "market frames withheld for 3 s; a snapshot follows", self._nothing),
            (16.0, "user stream down, up at 17 s", lambda at: self._conn(Conn.USER, False, at)),
            (17.0, "", lambda at: self._conn(Conn.USER, True, at)),
            (20.0, "order entry down, up at 21 s", lambda at: self._conn(Conn.TRADE, False, at)),
            (21.0, "", lambda at: self._conn(Conn.TRADE, True, at)),
            (24.0, "the venue answers 429", lambda at: self._reply(429, -1003, at)),
            (36.0, "the venue refuses a time stamp", lambda at: self._reply(400, -1021, at)),
            (37.0, "", lambda at: self.core.clock(0, _ns(at))),
            (39.0, "operator halts, resumes at 41 s",
             lambda at: self.core.command(Command.HALT, _ns(at))),
            (41.0, "", lambda at: self.core.command(Command.RESUME, _ns(at))),
            (JOURNAL_FULL, "about here the journal is full", self._nothing),
            (46.0, "ordered shutdown", lambda at: self.core.command(Command.SHUTDOWN, _ns(at))),
        ]  # fmt: skip
        self.marks = [(at, what) for at, what, _ in self.todo if what]
        self.drops_depth = False

    def run(self) -> None:
        due = 0.0
        for at, frame in self.frames:
            while due <= at:
                self.core.timer(_ns(due))
                self._after(due)
                due += 0.05
            while self.todo and self.todo[0][0] <= at:
                self.todo.pop(0)[2](at)
                self._after(at)
            self.shadow.take(frame)
            if SILENCE[0] <= at < SILENCE[1]:
                continue
            if self.drops_depth and b"depthUpdate" in frame:
                self.drops_depth = False
                continue
            self.core.frame(Conn.MARKET, frame, _ns(at), _ns(at))
            self._after(at)
            self._resync(at)

    def _resync(self, at: float) -> None:
        if not self.core.snapshot_wanted or at < 1.0:
            self.wanted_since = None
        elif self.wanted_since is None:
            self.wanted_since = at
        elif at - self.wanted_since > SNAPSHOT_AFTER_S:
            self.wanted_since = None
            self.core.snapshot(self.shadow.body(), _ns(at))
            self._after(at)

    def _start(self, at: float) -> None:
        for conn in Conn:
            if conn != Conn.MARKET:
                self.core.conn(conn, True, _ns(at))
        self.core.clock(0, _ns(at))
        self._reconcile(at)

    def _reconcile(self, at: float) -> None:
        """What the session does over REST: nothing is open, the position is ours."""
        self.core.account(self.core.numbers()["position_lots"], 0, _ns(at))
        self.core.command(Command.START, _ns(at))

    def _conn(self, conn: Conn, is_up: bool, at: float) -> None:
        self.core.conn(conn, is_up, _ns(at))
        if is_up:
            self._after(at)
            self._reconcile(at)

    def _lose(self, at: float) -> None:
        self.drops_depth = True

    def _nothing(self, at: float) -> None:
        return None

    def _reply(self, status: int, code: int, at: float) -> None:
        """An answer of the venue to an order that is gone."""
        reply = {"id": "1ffffffffffff", "status": status, "error": {"code": code, "msg": "no"}}
        self.core.frame(Conn.TRADE, json.dumps(reply).encode(), _ns(at), _ns(at))

    def _after(self, at: float) -> None:
        """Everything leaves at once and is taken by the venue, which never fills."""
        todo = self._send(at)
        while todo:
            intent_id, verb = todo.pop(0)
            status = "CANCELED" if verb == Verb.CANCEL else "NEW"
            reply = {
                "id": f"{verb}{intent_id:012x}",
                "status": 200,
                "result": {"orderId": intent_id, "status": status},
            }
            self.core.frame(Conn.TRADE, json.dumps(reply).encode(), _ns(at), _ns(at))
            todo += self._send(at)
            if verb in (Verb.PLACE, Verb.CANCEL):
                self._tell(intent_id, status, at)
        for watch in self.watches:
            watch.look(self.core.halt_bits, at)
        self.working.append((at, float(self.core.working_count)))

    def _tell(self, intent_id: int, status: str, at: float) -> None:
        """The user stream's word, without which a core takes it for deaf."""
        order = {
            "s": "BTCUSDT", "c": f"{self.core.client_prefix}{intent_id:012x}", "S": "BUY",
            "o": "LIMIT", "f": "GTX", "q": "0.010", "p": "1.00", "ap": "0", "sp": "0", "x": status,
            "X": status, "i": intent_id, "l": "0", "z": "0", "L": "0", "T": 1, "t": 0, "b": "0",
            "a": "0", "m": False, "R": False, "ps": "BOTH", "rp": "0",
        }  # fmt: skip
        update = {"e": "ORDER_TRADE_UPDATE", "T": 1, "E": 1, "o": order}
        self.core.frame(Conn.USER, json.dumps(update).encode(), _ns(at), _ns(at))

    def _send(self, at: float) -> list[tuple[int, int]]:
        """Intent and verb of each message that the last input caused."""
        messages = self.core.outgoing()
        for out_seq, *_ in messages:
            self.core.send(out_seq, 0, _ns(at), _ns(at), _ns(at))
        return [(intent_id, verb) for _, intent_id, _, verb, *_ in messages]


def core_timeline(frames: list[tuple[float, bytes]]) -> str:
    run = CoreRun(frames)
    run.run()
    figure = Figure("A core on the tape, with what the numbers say put in", 0.0, CORE_S)
    lanes = [(str(watch.reason.name), watch.close(CORE_S)) for watch in run.watches]
    figure.lanes(lanes, run.marks)
    figure.panel("orders that may fill", [("", BLUE, run.working)])
    for number, (at, what) in enumerate(run.marks, 1):
        figure.note(f"{number}  {at:g} s: {what}")
    return figure.render()


def _ns(at: float) -> int:
    return round((at + 1) * NS)


# -- ALL -----------------------------------------------------------------------------------------


def draw(data: Path) -> dict[str, str]:
    """File name -> SVG."""
    touches, trades, frames = read(data / TAPE, SPAN_S)
    return {
        "halt_spread.svg": spread(touches),
        "halt_toxicity.svg": toxicity(trades),
        "halt_repeated_execution.svg": repeated_fills(trades),
        "halt_one_sided_fills.svg": one_sided_fills(trades),
        "halt_core.svg": core_timeline(frames),
    }


def main() -> None:
    for name, text in draw(Path(sys.argv[1])).items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}: {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
