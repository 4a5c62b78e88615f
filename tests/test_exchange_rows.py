"""engine.exchange.tape.rows: an imported tape is served as the capture it came from."""

import json
from pathlib import Path

import pytest
from support_data import recorded
from support_tape import LONG_NS, diff, open_recording, snapshot, write

from engine.errors import TickmakerError
from engine.exchange.events import TapeFrame
from engine.exchange.tape.market import TapeMarket
from engine.tape.importer import import_files


def served_by(path: Path) -> tuple[list[TapeFrame], TapeMarket]:
    market = TapeMarket(open_recording(path, None))
    market.on_public_subscriber(1)
    frames: list[TapeFrame] = []
    while market.next_due_ns() < LONG_NS:
        market.advance(LONG_NS)
        frames += [event for event in market.drain() if isinstance(event, TapeFrame)]
    return frames, market


def test_imported_tape_is_served_as_the_capture_was(tmp_path: Path) -> None:
    """Equal in every field but E, which a tape does not keep, and in the book at the end."""
    raw = recorded("binance_usdm/btcusdt_20220811_7s.gz")
    tape = tmp_path / "t.tape.arrow"
    import_files([raw], tape)
    expected, in_file = served_by(raw)
    got, market = served_by(tape)
    assert market.instrument == in_file.instrument
    assert market.snapshot(1000) == in_file.snapshot(1000)
    assert [frame.stream for frame in got] == [frame.stream for frame in expected]
    for left, right in zip(got, expected, strict=True):
        frames = [json.loads(left.data), json.loads(right.data)]
        for data in frames:
            data.pop("E")
        assert frames[0] == frames[1]
        assert json.loads(left.text) == {"stream": left.stream, "data": json.loads(left.data)}


def test_tape_of_other_symbol_or_cut_tape_is_refused(tmp_path: Path) -> None:
    tape = tmp_path / "t.tape.arrow"
    import_files([write(tmp_path / "t.raw", diff(99, 100, 98), snapshot(100))], tape)
    with pytest.raises(TickmakerError, match="It holds BTCUSDT"):
        open_recording(tape, "ETHUSDT")
    with pytest.raises(TickmakerError, match="is a tape of BTCUSDT on binance_usdm"):
        open_recording(tape, None, "binance_spot")
    tape.write_bytes(tape.read_bytes()[:-100])
    with pytest.raises(TickmakerError, match=r"t\.tape\.arrow: broken tape"):
        open_recording(tape, None)
