"""Journals for tests: a run's records through the real writer, without a core."""

import json
import sqlite3
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from engine.recorder.segments import SEGMENT_SIZE, Segments, journal_dir
from fastcore.journal import FIELDS, KIND, OUT_HEADER, JournalOrder, JournalWriter
from fastcore.types import Command, Conn, FeeAsset, Halt, OrderState, SendOutcome, Side, Verb

WALL_NS = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z
CONFIG = {
    "symbol": "BTCUSDT", "tick": "0.10", "lot": "0.001", "strategy": "spread",
    "run_tag": "0123abcd", "strategy_id": 7,
}  # fmt: skip
MESSAGE = b'{"id":"1000000000001","method":"order.place"}'


KEY = "main.binance_usdm.BTCUSDT"


def the_journal(run_dir: Path) -> Path:
    """Of a run of one core."""
    return journal_dir(run_dir, KEY)


class JournalBuilder:
    """Writes one core's journal, keeping the books (position, cash, fees) as the core would.

    `order`: of the run's other builders, when it has several; `number`: the core's.
    """

    def __init__(
        self,
        run_dir: Path,
        size_bytes: int = SEGMENT_SIZE,
        *,
        key: str = KEY,
        number: int = 0,
        order: JournalOrder | None = None,
    ) -> None:
        self.number = number
        self.directory = journal_dir(run_dir, key)
        self.segments = Segments(self.directory, size_bytes)
        self.writer = JournalWriter(self.segments.next(), WALL_NS, order)
        self.writer.add_segment(self.segments.next())
        self.now_ns = 1_000_000_000
        self.bid, self.ask = 600_000, 600_001
        self.position = self.cash = self.fees_e8 = self.spread_half = 0
        self.out_seq = self.orders_sent = self.fills = 0
        self.cause_ts_ns = 0

    @property
    def writer_index(self) -> int:
        """Of the segment that is written to: one more is always ready."""
        return self.segments.index - (not self.writer.needs_segment)

    def record(
        self, kind: str, payload: bytes = b"", arg: int = 0, recv_ts_ns: int = 0, now_ns: int = -1
    ) -> int:
        """One record; returns its seq."""
        if self.writer.needs_segment:
            self.writer.add_segment(self.segments.next())
        at_ns = self.now_ns if now_ns < 0 else now_ns
        assert self.writer.append(KIND[kind], arg, payload, at_ns, recv_ts_ns)
        return self.writer.next_seq - 1

    def row(self, kind: str, arg: int = 0, **values: int) -> int:
        names = FIELDS[KIND[kind]]
        assert set(values) <= set(names), set(values) - set(names)
        payload = struct.pack(f"<{len(names)}q", *(values.get(name, 0) for name in names))
        return self.record(kind, payload, arg)

    def config(self, **changes: object) -> int:
        config = CONFIG | {"number": self.number} | changes
        return self.record("CONFIG", json.dumps(config).encode(), now_ns=0)

    def frame(self, conn: Conn = Conn.MARKET, payload: bytes = b"{}", step_ns: int = 1000) -> int:
        self.now_ns += step_ns
        self.cause_ts_ns = self.now_ns - 500
        return self.record("FRAME", payload, conn, self.cause_ts_ns)

    def timer(self, step_ns: int = 1000) -> int:
        self.now_ns += step_ns
        self.cause_ts_ns = 0
        return self.record("TIMER")

    def out(self, intent_id: int, verb: Verb = Verb.PLACE) -> int:
        """An OUT record of the last input; returns its out_seq."""
        out_seq = self.out_seq
        self.out_seq += 1
        payload = OUT_HEADER.pack(out_seq, intent_id, Conn.TRADE, 0, 0xFEDCBA9876543210) + MESSAGE
        self.record("OUT", payload, verb, self.cause_ts_ns)
        return out_seq

    def send(
        self, out_seq: int, tick_to_order_ns: int, outcome: SendOutcome = SendOutcome.SENT
    ) -> int:
        """The send of out_seq ended `tick_to_order_ns` after its cause."""
        self.orders_sent += outcome == SendOutcome.SENT
        end_ns = self.cause_ts_ns + tick_to_order_ns
        return self.row("SEND", outcome, out_seq=out_seq, begin_ns=end_ns - 100, end_ns=end_ns)

    def order(
        self, intent_id: int, side: Side, state: OrderState, px: int, qty: int = 10, cum: int = 0
    ) -> int:
        return self.row(
            "ORDER", intent_id=intent_id, venue_order_id=intent_id + 7000, side=side, state=state,
            px_ticks=px, qty_lots=qty, cum_qty_lots=cum,
        )  # fmt: skip

    def opening(self, position_lots: int) -> int:
        self.position = position_lots
        self.cash = -position_lots * (self.bid + self.ask) // 2
        return self.row("OPENING", position_lots=position_lots)

    def fill(self, intent_id: int, side: Side, px: int, qty: int, fee_e8: int = 0,
             fee_asset: int = FeeAsset.QUOTE, **more: int) -> int:  # fmt: skip
        sign = 1 if side == Side.BUY else -1
        self.position += sign * qty
        self.cash -= sign * px * qty
        self.fees_e8 += fee_e8 if fee_asset == FeeAsset.QUOTE else 0
        self.spread_half += sign * (self.bid + self.ask - 2 * px) * qty
        self.fills += 1
        return self.row(
            "FILL", **{
                "intent_id": intent_id, "trade_id": 9000 + self.fills,
                "venue_order_id": intent_id + 7000, "side": side, "px_ticks": px,
                "qty_lots": qty, "fee_e8": fee_e8, "is_maker": 1, "bid_px_ticks": self.bid,
                "ask_px_ticks": self.ask, "position_after_lots": self.position,
                "exch_ts_ns": WALL_NS + self.now_ns, "fee_asset": fee_asset,
            } | more,
        )  # fmt: skip

    def sample(self, step_ns: int = 100_000_000, **changes: int) -> int:
        self.now_ns += step_ns
        values = {
            "bid_px_ticks": self.bid, "bid_qty_lots": 50,
            "ask_px_ticks": self.ask, "ask_qty_lots": 60,
            "own_bid_px_ticks": self.bid - 2, "own_bid_qty_lots": 10,
            "own_ask_px_ticks": self.ask + 2, "own_ask_qty_lots": 10,
            "position_lots": self.position, "cash_ticks_lots": self.cash,
            "fees_e8": self.fees_e8, "spread_half_ticks_lots": self.spread_half,
            "orders_sent": self.orders_sent, "fills": self.fills,
        }  # fmt: skip
        return self.row("SAMPLE", **(values | changes))

    def state(self, old: Halt, new: Halt) -> int:
        return self.row("STATE", old_bits=old, new_bits=new)

    def command(self, command: Command) -> int:
        self.now_ns += 1000
        return self.record("COMMAND", arg=command)

    def close(self) -> None:
        del self.writer
        self.segments.close()


def write_run(builder: JournalBuilder) -> None:
    """A short life: start, quotes, a round trip in the market, a late order, a halt, the end."""
    builder.config()
    builder.row("CLOCK", utc_minus_monotonic_ns=WALL_NS)
    builder.state(Halt.RECONCILING, Halt.RECONCILING | Halt.BOOK)
    builder.command(Command.START)
    builder.state(Halt.RECONCILING | Halt.BOOK, Halt.NONE)
    builder.frame()
    buy, sell = builder.out(1), builder.out(2)
    builder.order(1, Side.BUY, OrderState.PENDING_NEW, 599_999)
    builder.order(2, Side.SELL, OrderState.PENDING_NEW, 600_002)
    builder.send(buy, 9_000)
    builder.send(sell, 11_000)
    builder.sample()
    builder.frame(Conn.TRADE)
    builder.order(1, Side.BUY, OrderState.NEW, 599_999)
    builder.frame(Conn.USER)
    builder.fill(1, Side.BUY, 599_999, 10, fee_e8=12_000_000)
    builder.order(1, Side.BUY, OrderState.FILLED, 599_999, cum=10)
    builder.sample()
    builder.bid, builder.ask = 600_010, 600_013
    builder.frame()
    late = builder.out(3)
    builder.send(late, 900_000, SendOutcome.LATE)
    pull = builder.out(2, Verb.CANCEL)
    builder.send(pull, 10_000)
    builder.row("DENY", intent_id=4, code=6, side=Side.BUY, px_ticks=600_000, qty_lots=10)
    builder.frame(Conn.USER)
    builder.fill(2, Side.SELL, 600_002, 4, fee_e8=4_800_001)
    builder.order(2, Side.SELL, OrderState.CANCELED, 600_002, cum=4)
    builder.timer()
    builder.row("BOOK", old_state=2, new_state=3, update_id=77)
    builder.state(Halt.NONE, Halt.BOOK)
    builder.sample()
    builder.command(Command.SHUTDOWN)
    builder.state(Halt.BOOK, Halt.SHUTDOWN)
    builder.sample()


def rows(run_dir: Path, query: str) -> list[dict[str, Any]]:
    database = sqlite3.connect(run_dir / "ledger.sqlite")
    database.row_factory = sqlite3.Row
    found = [dict(row) for row in database.execute(query)]
    database.close()
    return found


def dump(run_dir: Path) -> list[str]:
    database = sqlite3.connect(run_dir / "ledger.sqlite")
    lines = list(database.iterdump())
    database.close()
    return lines


def next_seq(run_dir: Path) -> str:
    (row,) = rows(run_dir, "SELECT coalesce(max(next_seq), 0) AS value FROM journals")
    return str(row["value"])


def page_text(run_dir: Path) -> str:
    """What a reader sees: the page's text without its scripts and styles."""
    texts: list[str] = []

    class Text(HTMLParser):
        skipped = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.skipped += tag in ("script", "style")

        def handle_endtag(self, tag: str) -> None:
            self.skipped -= tag in ("script", "style")

        def handle_data(self, data: str) -> None:
            if not self.skipped and data.strip():
                texts.append(data.strip())

    Text().feed((run_dir / "report.html").read_text(encoding="utf-8"))
    return "\n".join(texts)
