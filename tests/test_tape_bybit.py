"""Bybit's captures and session logs: imported, told apart, verified."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support_data import recorded

from engine.errors import TickmakerError
from engine.tape.capture import read_lines
from engine.tape.format import Tape
from engine.tape.importer import import_files
from engine.tape.verify import verify_tape
from fastcore.rows import RowReader
from fastcore.types import EventKind

BYBIT = "raw_multivenue/BYBIT.jsonl.zst"
START_NS = 1_786_310_818_000_000_000


def book(update_id: int, kind: str = "delta", depth: int = 200, **sides: list[list[str]]) -> str:
    data = {"s": "BTCUSDT", "b": [], "a": [], **sides, "u": update_id, "seq": 1000 + update_id}
    topic = f"orderbook.{depth}.BTCUSDT"
    return json.dumps({"topic": topic, "type": kind, "ts": 7, "data": data, "cts": 6})


def whole(update_id: int, depth: int = 200) -> str:
    return book(update_id, "snapshot", depth, b=[["100.0", "2"]], a=[["100.3", "3"]])


def trades(*px: str, **fields: Any) -> str:
    items = [
        {"T": 5, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": each, "i": str(n), "BT": False}
        for n, each in enumerate(px)
    ]
    data = [item | fields for item in items]
    return json.dumps(
        {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 7, "data": data},
        separators=(",", ":"),
    )


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{START_NS + n} {line}\n" for n, line in enumerate(lines)))
    return path


def rows_of(path: Path) -> list[tuple[int, dict[str, Any]]]:
    reader = RowReader()
    reader.bind(Tape(path).columns())
    rows = []
    while (row := reader.read()) is not None:
        rows.append(row[1:])
    return rows


@pytest.mark.parametrize(
    ("symbol", "venue", "depth"),
    [("linear/BTCUSDT", "bybit_linear", 413), ("spot/BTCUSDT", "bybit_spot", 299),
     ("SOLUSDT", "bybit_linear", 382)],
)  # fmt: skip
def test_recorded_session_is_whole_by_its_own_rule(symbol: str, venue: str, depth: int) -> None:
    result = verify_tape(recorded(BYBIT), symbol=symbol)
    assert (result["venue"], result["update_id_gaps"], result["crossed"]) == (venue, 0, 0)
    assert (result["messages"]["depth"], result["depth_applied"]) == (depth, depth + 1)
    assert (result["bbo_match"], "could not be checked" in result["note"]) == (None, True)


def test_both_products_of_one_symbol_must_be_told_apart() -> None:
    with pytest.raises(TickmakerError, match="are linear and spot") as caught:
        verify_tape(recorded(BYBIT), symbol="BTCUSDT")
    assert "spot/BTCUSDT" in caught.value.remedy


def test_every_trade_of_a_frame_is_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "c.raw", whole(5), trades("100.5", "100.6", "100.7"))
    import_files([path], tmp_path / "t")
    prints = [row for kind, row in rows_of(tmp_path / "t") if kind == EventKind.TRADE]
    assert [row["px_ticks"] for row in prints] == [1005, 1006, 1007]


def test_only_the_deepest_depth_makes_the_book(tmp_path: Path) -> None:
    lines = (whole(9, 50), whole(5), book(10, depth=50), book(6, b=[["99.9", "1"]]))
    out = tmp_path / "t"
    summary = import_files([write(tmp_path / "c.raw", *lines)], out)
    assert (summary["messages"]["depth"], summary["messages"]["snapshot"]) == (1, 1)
    assert summary["ignored"] == {"depth of another stream": 2}
    assert verify_tape(out)["update_id_gaps"] == 0


def test_a_snapshot_in_mid_stream_starts_the_chain_anew(tmp_path: Path) -> None:
    good = write(tmp_path / "good.raw", whole(5), book(6), whole(1), book(2, b=[["99.0", "1"]]))
    result = verify_tape(good)
    assert (result["update_id_gaps"], result["depth_applied"]) == (0, 4)
    bad = write(tmp_path / "bad.raw", whole(5), book(6), book(8, b=[["99.0", "1"]]))
    assert verify_tape(bad)["update_id_gaps"] == 1


@pytest.mark.parametrize(
    ("line", "venue"),
    [(trades("100.5", L="PlusTick"), "bybit_linear"), (trades("100.5"), "bybit_spot"),
     ('{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"usdIndexPrice":"1"}}', "bybit_spot"),
     ('{"topic":"tickers.BTCUSDT","type":"delta","data":{"openInterest":"1"}}', "bybit_linear"),
     (book(6), "bybit_linear")],
    ids=["tick direction", "none", "index in dollars", "open interest", "nothing told"],
)  # fmt: skip
def test_product_is_told_by_trades_and_tickers(tmp_path: Path, line: str, venue: str) -> None:
    path = write(tmp_path / "c.raw", whole(5), line)
    assert import_files([path], tmp_path / "t")["venue"] == venue


def test_operator_may_say_the_product_but_not_against_what_is_told(tmp_path: Path) -> None:
    untold = write(tmp_path / "c.raw", whole(5), book(6))
    out = tmp_path / "t"
    assert import_files([untold], out, symbol="spot/BTCUSDT")["venue"] == "bybit_spot"
    linear = write(tmp_path / "d.raw", whole(5), trades("100.5", L="PlusTick"))
    with pytest.raises(TickmakerError, match="not spot"):
        import_files([linear], out, symbol="spot/BTCUSDT")


# -- SESSION LOGS ---


def test_session_log_gives_frames_and_snapshots_of_the_connections_asked_for() -> None:
    path = recorded(BYBIT)
    every = [frame for _, _, frame in read_lines(path)]
    linear = [frame for _, _, frame in read_lines(path, product="linear")]
    spot = [frame for _, _, frame in read_lines(path, product="spot")]
    assert sorted(every) == sorted(linear + spot)
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        records = [json.loads(line) for line in stream.read().splitlines()]
    received = [record["data"].encode() + b"\n" for record in records if record["t"] == "recv"]
    assert every == received


def test_session_log_names_the_symbol_of_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    url = "https://api.binance.com/api/v3/depth?symbol=ABCUSDT&limit=1000"
    body = '{"lastUpdateId":5,"bids":[],"asks":[]}'
    depth = {"t": "http", "conn": "x", "ts": 5.25, "url": url, "data": body}
    other = {"t": "http", "conn": "x", "ts": 6.0, "url": "https://h/time", "data": "{}"}
    records = [{"t": "header"}, depth, other]
    lines = [json.dumps(record, separators=(",", ":")) for record in records]
    path.write_text("\n".join(lines) + "\n")
    ((number, recv_ts_ns, frame),) = read_lines(path)
    assert (number, recv_ts_ns) == (2, 5_250_000_000)
    assert json.loads(frame) == {"symbol": "ABCUSDT", **json.loads(body)}


@pytest.mark.parametrize("line", ['{"t":"recv"', '{"t":"recv"}', '{"x":1}', "[]", "5"])
def test_damaged_session_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(f'{{"t":"header"}}\n{line}\n')
    with pytest.raises(TickmakerError, match="line 2: garbled"):
        list(read_lines(path))
