"""Rows <-> events: what goes in comes out, and rows that are no whole message never do."""

import json
from typing import Any

import numpy as np
import pytest

from engine.tape.format import Columns, new_columns
from fastcore.codec.binance_decode import Decoder
from fastcore.rows import COLUMNS, LEVELS_PER_MESSAGE_MAX, RowFlag, RowKind, RowReader, RowWriter
from fastcore.types import Code, EventKind, Side
from tests.tape_captures import capture

INDEX = {name: n for n, name in enumerate(COLUMNS)}


def rows_of(frames: list[bytes], capacity: int = LEVELS_PER_MESSAGE_MAX) -> Columns:
    columns = new_columns(capacity)
    writer = RowWriter(columns)
    decoder = Decoder("BTCUSDT", "0.1", "0.001")
    for n, frame in enumerate(frames):
        assert writer.append(decoder, frame, 1000 + n) > 0
    return tuple(column[: writer.count].copy() for column in columns)


def events_of(columns: Columns) -> list[tuple[int, int, dict[str, Any]]]:
    reader = RowReader()
    reader.bind(columns)
    events = []
    while (event := reader.read()) is not None:
        events.append(event)
    assert reader.index == reader.count
    return events


def frame(**data: Any) -> bytes:
    return json.dumps({"s": "BTCUSDT"} | data).encode()


DEPTH = frame(
    e="depthUpdate", E=5, T=4, U=10, u=12, pu=9, b=[["60.1", "0.003"], ["60.0", "0"]],
    a=[["60.3", "1.000"]],
)  # fmt: skip
EMPTY = frame(e="depthUpdate", E=5, T=4, U=13, u=15, pu=12, b=[], a=[])
BEST = frame(e="bookTicker", u=16, b="60.1", B="0.003", a="60.3", A="1", T=6, E=7)
TRADE = frame(e="trade", E=9, T=8, t=77, p="60.3", q="0.5", X="MARKET", m=False)
FUND_TRADE = frame(e="trade", E=9, T=8, t=78, p="60.3", q="0.5", X="INSURANCE_FUND", m=True)
SNAPSHOT = b'{"lastUpdateId":11,"E":2,"T":1,"bids":[["60.1","0.003"]],"asks":[["60.3","1"]]}'
ALL = [DEPTH, EMPTY, BEST, TRADE, FUND_TRADE, SNAPSHOT]


def test_events_come_back_as_they_were_decoded() -> None:
    depth, empty, best, trade, fund_trade, snapshot = events_of(rows_of(ALL))
    assert depth == (1000, EventKind.DEPTH, {
        "first_update_id": 10, "final_update_id": 12, "prev_final_update_id": 9,
        "exch_ts_ns": 4_000_000, "bids": [(601, 3), (600, 0)], "asks": [(603, 1000)],
    })  # fmt: skip
    assert (empty[2]["final_update_id"], empty[2]["bids"], empty[2]["asks"]) == (15, [], [])
    assert best == (1002, EventKind.BEST, {
        "update_id": 16, "exch_ts_ns": 6_000_000, "bid_px_ticks": 601, "bid_qty_lots": 3,
        "ask_px_ticks": 603, "ask_qty_lots": 1000,
    })  # fmt: skip
    assert trade[2]["aggressor"] == Side.BUY
    assert (trade[2]["trade_id"], trade[2]["is_market"]) == (77, 1)
    assert (fund_trade[2]["aggressor"], fund_trade[2]["is_market"]) == (Side.SELL, 0)
    assert snapshot[1] == EventKind.SNAPSHOT
    assert snapshot[2]["final_update_id"] == 11
    assert snapshot[2]["prev_final_update_id"] == -1


def test_rows_look_as_the_format_says() -> None:
    rows = rows_of(ALL)
    kind, side, flags = (list(rows[INDEX[name]]) for name in ("kind", "side", "flags"))
    level, snapshot, best, trade = RowKind
    assert kind == [level] * 4 + [best] * 2 + [trade] * 2 + [snapshot] * 2
    assert side == [0, 0, 1, 0, 0, 1, Side.BUY, Side.SELL, 0, 1]
    last, empty, off_book = RowFlag
    assert flags == [0, 0, last, last | empty, 0, last, last, last | off_book, 0, last]
    assert list(rows[INDEX["trade_id"]]) == [-1] * 6 + [77, 78, -1, -1]
    assert list(rows[INDEX["prev_update_id"]]) == [9, 9, 9, 12] + [-1] * 6


def test_time_that_the_venue_does_not_send_is_minus_one() -> None:
    rows = rows_of([frame(u=16, b="60.1", B="0.003", a="60.3", A="1")])
    assert list(rows[INDEX["exch_ts_ns"]]) == [-1, -1]
    assert events_of(rows)[0][2]["exch_ts_ns"] == 0


def test_writer_says_when_there_is_no_room_and_keeps_what_it_has() -> None:
    columns = new_columns(LEVELS_PER_MESSAGE_MAX)
    writer = RowWriter(columns)
    decoder = Decoder("BTCUSDT", "0.1", "0.001")
    while writer.append(decoder, DEPTH, 1) > 0:
        pass
    assert writer.count == LEVELS_PER_MESSAGE_MAX - LEVELS_PER_MESSAGE_MAX % 3
    writer.clear()
    assert writer.append(decoder, BEST, 1) == EventKind.BEST
    assert writer.count == 2


def test_writer_passes_on_what_the_decoder_says() -> None:
    writer = RowWriter(new_columns(LEVELS_PER_MESSAGE_MAX))
    decoder = Decoder("BTCUSDT", "0.1", "0.001")
    assert writer.append(decoder, b'{"e":"depthUpdate"', 1) == Code.MALFORMED
    assert writer.append(decoder, BEST.replace(b"BTCUSDT", b"ETHUSDT"), 1) == Code.OTHER_SYMBOL
    assert writer.append(decoder, BEST.replace(b"60.1", b"60.15"), 1) == Code.RANGE
    assert writer.append(decoder, b'{"e":"kline","E":1}', 1) == EventKind.IGNORED
    assert writer.append(decoder, b'{"result":null,"id":1}', 1) == EventKind.SESSION
    assert writer.count == 0


def test_writer_needs_room_for_the_largest_message() -> None:
    with pytest.raises(ValueError, match="largest message"):
        RowWriter(new_columns(LEVELS_PER_MESSAGE_MAX - 1))


def test_columns_of_different_length_are_refused() -> None:
    rows = rows_of(ALL)
    with pytest.raises(ValueError, match="length"):
        RowReader().bind((*rows[:-1], rows[-1][:-1]))
    with pytest.raises(ValueError, match="11 columns"):
        RowReader().bind(rows[:-1])


def test_no_rows_are_no_events() -> None:
    assert events_of(new_columns(0)) == []


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (0, "kind", 9),
        (1, "kind", RowKind.SNAPSHOT),
        (1, "side", 2),
        (0, "px_ticks", 0),
        (0, "qty_lots", -1),
        (1, "final_update_id", 99),
        (4, "flags", RowFlag.LAST),
        (5, "flags", 0),
        (4, "side", Side.SELL),
        (5, "kind", RowKind.TRADE),
        (5, "final_update_id", 99),
        (6, "flags", 0),
        (6, "side", -1),
        (9, "flags", 0),
    ],
)
def test_rows_that_are_no_whole_message_are_refused(row: int, column: str, value: int) -> None:
    rows = rows_of(ALL)
    rows[INDEX[column]][row] = value
    with pytest.raises(ValueError, match="not a whole message"):
        events_of(rows)


def test_any_cut_is_refused_or_a_whole_prefix() -> None:
    rows = rows_of([line.split(" ", 1)[1].encode() for line in capture(steps=12)])
    whole = events_of(rows)
    ends = {0, *(np.flatnonzero(rows[INDEX["flags"]] & RowFlag.LAST) + 1).tolist()}
    for count in range(len(rows[0])):
        cut = tuple(column[:count] for column in rows)
        if count in ends:
            assert events_of(cut) == whole[: len(events_of(cut))]
        else:
            with pytest.raises(ValueError, match="not a whole message"):
                events_of(cut)


def test_message_of_too_many_levels_is_refused() -> None:
    columns = new_columns(LEVELS_PER_MESSAGE_MAX)
    for column in columns:
        column[:] = 1
    columns[INDEX["side"]][:] = Side.BUY
    columns[INDEX["flags"]][:] = 0
    with pytest.raises(ValueError, match="code -3"):
        events_of(columns)
