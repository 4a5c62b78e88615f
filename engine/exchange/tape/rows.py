"""A `.tape.arrow` as venue frames: rendered from its rows, since a tape keeps no bytes."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.binance_frames import best_json, depth_json, trade_json
from engine.exchange.book import Side
from engine.exchange.events import BestChange, TapeFrame, Trade
from engine.exchange.instruments import Grid, Instrument
from engine.exchange.tape_frames import (
    VENUE,
    BestMessage,
    DepthMessage,
    Message,
    Recording,
    TradeMessage,
    instrument_of,
)
from engine.tape.format import Tape
from fastcore.rows import RowReader
from fastcore.types import EventKind


def open_rows(path: Path, symbol: str | None) -> Recording:
    """TickmakerError for a damaged tape, another venue's or another symbol's."""
    tape = Tape(path)
    meta = tape.meta
    if meta.venue != VENUE or (symbol is not None and symbol.upper() != meta.symbol):
        raise TickmakerError(
            f"{path}: is a tape of {meta.symbol} on {meta.venue}",
            f"Give one of {symbol or 'any symbol'} on {VENUE}.",
            EXIT_USAGE,
        )
    if not meta.messages.get("snapshot"):
        raise TickmakerError(
            f"{path}: holds no snapshot", "Its book can't be rebuilt: give a tape with one."
        )
    instrument = instrument_of(meta.symbol, _grid(meta.tick), _grid(meta.lot), has_text=False)
    return Recording(instrument, _messages(tape, instrument))


def _grid(step: str) -> Grid:
    return Grid(Decimal(step), len(step.partition(".")[2]))


def _messages(tape: Tape, instrument: Instrument) -> Iterator[Message]:
    """Grids of the tape and of the catalogue may differ by whole factors."""
    px_factor = int(Decimal(tape.meta.tick) / instrument.px.step)
    qty_factor = int(Decimal(tape.meta.lot) / instrument.qty.step)
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
            message = _message(*row, instrument, px_factor, qty_factor)
            if message is not None:
                yield message


def _message(
    recv_ts_ns: int, kind: int, row: dict[str, Any], instrument: Instrument, px: int, qty: int
) -> Message | None:
    """One whole message; `px` and `qty` are the factors from the tape's grid to ours."""
    name, symbol, t_ns = instrument.symbol.lower(), instrument.symbol, row["exch_ts_ns"]
    if kind == EventKind.BEST:
        touch = (
            row["bid_px_ticks"] * px,
            row["bid_qty_lots"] * qty,
            row["ask_px_ticks"] * px,
            row["ask_qty_lots"] * qty,
        )
        best = BestChange(t_ns, symbol, row["update_id"], touch)
        frame = _frame(f"{name}@bookTicker", best_json(instrument, best, t_ns))
        return BestMessage(recv_ts_ns, frame, best.update_id, touch)
    if kind == EventKind.TRADE:
        px_ticks, qty_lots = row["px_ticks"] * px, row["qty_lots"] * qty
        aggressor = Side(row["aggressor"])
        trade = Trade(t_ns, symbol, row["trade_id"], px_ticks, qty_lots, aggressor, None, None)
        text = trade_json(instrument, trade, t_ns)
        if not row["is_market"]:
            text = text.replace('"X":"MARKET"', '"X":"NA"')
        frame = _frame(f"{name}@trade", text)
        is_market = bool(row["is_market"])
        return TradeMessage(recv_ts_ns, frame, px_ticks, qty_lots, aggressor, is_market)
    bids = [(px_ticks * px, qty_lots * qty) for px_ticks, qty_lots in row["bids"]]
    asks = [(px_ticks * px, qty_lots * qty) for px_ticks, qty_lots in row["asks"]]
    final_id = row["final_update_id"]
    if kind == EventKind.SNAPSHOT:
        return DepthMessage(recv_ts_ns, None, -1, final_id, -1, bids, asks)
    ids = (row["first_update_id"], final_id, row["prev_final_update_id"])
    text = depth_json(instrument, ids, (bids, asks), t_ns, t_ns)
    return DepthMessage(recv_ts_ns, _frame(f"{name}@depth@0ms", text), *ids, bids, asks)


def _frame(stream: str, data: str) -> TapeFrame:
    return TapeFrame(stream, f'{{"stream":"{stream}","data":{data}}}', data)
