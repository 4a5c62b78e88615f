"""A `.tape.arrow` as messages: its rows in the core's units, its frames rendered."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.book import Side
from engine.exchange.instruments import Grid
from engine.exchange.tape.grids import exchange_of, instrument_of
from engine.exchange.tape.messages import (
    BestMessage,
    DepthMessage,
    Message,
    Print,
    Recording,
    TradeMessage,
)
from engine.exchange.tape.render import BinanceRender, BybitRender
from engine.tape.format import Tape
from fastcore.core_config import SYNC_RULES
from fastcore.rows import RowReader
from fastcore.types import EventKind, SyncRule


def open_rows(path: Path, venue: str) -> Recording:
    """TickmakerError for a damaged tape or another venue's."""
    tape = Tape(path)
    meta = tape.meta
    if exchange_of(meta.venue)[0] != venue:
        raise TickmakerError(
            f"{path}: is a tape of {meta.symbol} on {meta.venue}",
            f"Give a recording of {venue}.",
            EXIT_USAGE,
        )
    if not meta.messages.get("snapshot"):
        raise TickmakerError(
            f"{path}: holds no snapshot", "Its book can't be rebuilt: give a tape with one."
        )
    tick, lot = _grid(meta.tick), _grid(meta.lot)
    instrument = instrument_of(meta.venue, meta.symbol, tick, lot, has_text=False)
    render = (BybitRender if venue == "bybit" else BinanceRender)(instrument)
    # Grids of the tape and of the catalogue may differ by whole factors.
    factors = (int(tick.step / instrument.px.step), int(lot.step / instrument.qty.step))
    rule = SYNC_RULES[meta.venue]
    messages = _messages(tape, _Translator(render, factors, rule))
    streams = tuple(name for kind, name in render.streams.items() if meta.messages.get(kind))
    return Recording(instrument, rule, messages, streams)


def _grid(step: str) -> Grid:
    return Grid(Decimal(step), len(step.partition(".")[2]))


def _messages(tape: Tape, translator: "_Translator") -> Iterator[Message]:
    for batch_index, columns in enumerate(tape.batches()):
        reader = RowReader()
        reader.bind(columns)
        while True:
            try:
                row = reader.read()
            except ValueError:
                raise tape.broken_rows(batch_index, reader.index) from None
            if row is None:
                break
            yield translator.message(*row)


class _Translator:
    """One tape's rows; `factors` lead from its grid to the instrument's."""

    def __init__(
        self, render: BinanceRender | BybitRender, factors: tuple[int, int], rule: SyncRule
    ) -> None:
        self._render = render
        self._px, self._qty = factors
        self._has_one_id = rule is not SyncRule.BYBIT  # depth and best price share it

    def message(self, recv_ts_ns: int, kind: int, row: dict[str, Any]) -> Message:
        if kind == EventKind.BEST:
            touch = (
                row["bid_px_ticks"] * self._px,
                row["bid_qty_lots"] * self._qty,
                row["ask_px_ticks"] * self._px,
                row["ask_qty_lots"] * self._qty,
            )
            frame = self._render.best(row, touch)
            return BestMessage(recv_ts_ns, frame, row["update_id"], touch)
        if kind == EventKind.TRADE:
            px_ticks, qty_lots = row["px_ticks"] * self._px, row["qty_lots"] * self._qty
            frame = self._render.trade(row, px_ticks, qty_lots)
            side = Side(row["aggressor"])
            printed = Print(px_ticks, qty_lots, side, bool(row["is_market"]), row["trade_id"])
            return TradeMessage(recv_ts_ns, frame, [printed])
        bids = [(px * self._px, qty * self._qty) for px, qty in row["bids"]]
        asks = [(px * self._px, qty * self._qty) for px, qty in row["asks"]]
        is_snapshot = kind == EventKind.SNAPSHOT
        first_id, final_id = row["first_update_id"], row["final_update_id"]
        return DepthMessage(
            recv_ts_ns,
            self._render.depth(row, bids, asks, is_snapshot),
            is_snapshot,
            first_id,
            final_id,
            row["prev_final_update_id"],
            final_id if self._has_one_id else 0,
            bids,
            asks,
        )
