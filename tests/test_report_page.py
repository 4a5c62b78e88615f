"""The report's page: stands alone, escapes everything, draws what happened."""

import io
import json
import re
import sqlite3
import struct
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from engine.errors import TickmakerError
from engine.recorder.events_log import EventsLog
from engine.recorder.segments import segment_path
from engine.report.build import build_report, make_report
from engine.report.figures import latency_figure, market_figure, state_intervals
from engine.report.run import SAMPLES_MAX, Run, load_folder
from engine.report.terminal import print_result, summary
from engine.report.text import money, quote_name, us, utc_text
from engine.status import StatusWriter
from fastcore.journal import JournalOrder
from fastcore.types import FeeAsset, FillOwner, Halt, OrderState, Side
from tests.support_journal import JournalBuilder, page_text, the_journal, write_run

SMALL = 64 * 4096
CONTRACT_KEYS = {
    "orders",
    "fills",
    "position_lots",
    "pnl",
    "tick_to_order",
    "state",
    "run_dir",
    "events",
    "events_per_s",
}


def build(tmp_path: Path) -> JournalBuilder:
    return JournalBuilder(tmp_path, SMALL)


def load_run(run_dir: Path) -> Run:
    (run,) = load_folder(run_dir).cores
    return run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    builder = build(tmp_path)
    write_run(builder)
    builder.close()
    return tmp_path


def test_page_stands_alone_and_says_what_happened(run_dir: Path) -> None:
    build_report(run_dir)
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "plotly.js v" in page
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=", page)
    text = page_text(run_dir)
    for expected in (
        "BTCUSDT spread",
        "2023-11-14 22:13:21 UTC · 0.4 s",
        "-0.1593 USDT",
        "spread -0.0023",
        "fees -0.1680",
        "inventory +0.0110",
        "p99 11.0 µs, p99.9 11.0 µs",
        "2 orders, 0 amends, 1 cancels",
        "1 late, 0 unsent",
        "1 denied: POSITION 1",
        "6 lots",
        "SHUTDOWN",
        "1 update-id gaps",
        "ledger and core agree",
        "60000.2",
        "BOOK + RECONCILING",
    ):
        assert expected in text, expected


def test_empty_run_says_so_without_a_traceback(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.close()
    report = build_report(tmp_path)
    assert set(report) >= CONTRACT_KEYS
    assert (report["fills"], report["orders"], report["events_per_s"]) == (0, 0, 0.0)
    assert report["pnl"] == {"total": 0.0, "spread": 0.0, "fees": 0.0, "inventory": 0.0}
    assert report["reconciled"] is None
    text = page_text(tmp_path)
    assert "no fills in this run" in text
    assert "no samples in this run" in text
    assert "no order or cancel was sent" in text


def test_run_stopped_before_its_first_record_still_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    report = build_report(tmp_path)
    assert (report["symbol"], report["fills"]) == ("unknown", 0)
    assert "no fills in this run" in page_text(tmp_path)


def test_everything_from_the_run_is_escaped(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config(symbol="<script>alert(1)</script>", strategy='"><img src=x>')
    builder.fill(1, Side.BUY, 600_000, 1)
    builder.sample()
    builder.close()
    build_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page
    assert "<img" not in page[page.index("<body>") :]
    assert "<script>alert(1)</script>" in page_text(tmp_path)  # as text


def test_damaged_journal_reports_what_was_read_and_says_so(run_dir: Path) -> None:
    path = segment_path(the_journal(run_dir), 0)
    data = bytearray(path.read_bytes())
    at = data.index(b"TMJRNL01") + 64
    data[data.index((600_013).to_bytes(8, "little"), at)] ^= 1  # in the last samples
    path.write_bytes(data)
    report = build_report(run_dir)
    assert report["fills"] >= 1
    assert str(path) in report["journal_error"]
    assert "could not be read to its end" in page_text(run_dir)


def test_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="no ledger in"):
        build_report(tmp_path)
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, " * 100)
    with pytest.raises(TickmakerError, match="cannot read the ledger"):
        build_report(tmp_path)


def test_report_that_cannot_be_written_is_named(run_dir: Path) -> None:
    (run_dir / "report.json").mkdir()
    with pytest.raises(TickmakerError, match=r"cannot write .*report\.json"):
        build_report(run_dir)


def test_stage_latency_of_the_status_page_is_kept(run_dir: Path) -> None:
    writer = StatusWriter(run_dir / "status.page")
    writer.write({"instruments": {"a": {"stages": {"decode": {"p50_ns": 90}}}}})
    writer.close()
    assert build_report(run_dir)["stages"] == {"decode": {"p50_ns": 90}}


def test_report_of_a_live_run_leaves_its_recorder_alone(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    with pytest.raises(TickmakerError, match="no ledger"):  # the writer lives: not ours to project
        build_report(tmp_path)
    builder.close()
    assert build_report(tmp_path)["symbol"] == "BTCUSDT"


# -- figures of the page ---


def test_states_cover_the_run_without_gaps(run_dir: Path) -> None:
    build_report(run_dir)
    run = load_run(run_dir)
    intervals = state_intervals(run)
    assert intervals[0][0] == 0.0
    assert intervals[-1][1] == run.duration_s
    assert all(a[1] == b[0] for a, b in pairwise(intervals))
    assert [bits for *_, bits in intervals] == [
        Halt.RECONCILING | Halt.BOOK,
        Halt.NONE,
        Halt.BOOK,
        Halt.SHUTDOWN,
    ]


def test_market_figure_draws_quotes_fills_and_halts(run_dir: Path) -> None:
    build_report(run_dir)
    figure = market_figure(load_run(run_dir), "USDT")
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["mid"].y) == pytest.approx([60000.05, 60000.05, 60001.15, 60001.15])
    assert list(traces["own bid"].y) == pytest.approx([59999.8, 59999.8, 60000.8, 60000.8])
    assert traces["own ask"].line.shape == "hv"
    assert list(traces["buy fill"].y) == pytest.approx([59999.9])
    assert list(traces["sell fill"].y) == pytest.approx([60000.2])
    assert list(traces["position"].y) == [0, 10, 10, 6, 6, 6]
    total = [a + b + c for a, b, c in zip(*(traces[f"P&L {key}"].y for key in
             ("spread", "fees", "inventory")), strict=True)]  # fmt: skip
    assert list(traces["P&L total"].y) == pytest.approx(total)
    assert len(figure.layout.shapes) == 3


def test_sample_without_quotes_or_touch_leaves_a_hole(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    builder.sample(bid_px_ticks=0, own_ask_px_ticks=0)
    builder.close()
    build_report(tmp_path)
    traces = {trace.name: trace for trace in market_figure(load_run(tmp_path), "USDT").data}
    assert traces["mid"].y == (None,)
    assert traces["own ask"].y == (None,)


def test_long_run_is_thinned(tmp_path: Path) -> None:
    builder = build(tmp_path)
    builder.config()
    for _ in range(SAMPLES_MAX + 10):
        builder.sample()
    builder.close()
    build_report(tmp_path)
    traces = {trace.name: trace for trace in market_figure(load_run(tmp_path), "USDT").data}
    assert len(traces["mid"].x) == SAMPLES_MAX // 2 + 5


def test_latency_figure_claims_no_percentile_beyond_its_n() -> None:
    curve, histogram = latency_figure(list(range(1000, 101_000, 1000))).data
    assert curve.x[0] == 2
    assert max(curve.x) <= 100
    assert curve.y[0] == 50.0
    assert sum(histogram.y) == 100
    assert latency_figure([5_000]).data[0].y == (5.0,)


# -- words ---


def test_words_of_numbers() -> None:
    assert (money(None), money("NaN"), money(Decimal("-1234.5"))) == ("—", "—", "-1,234.5000")
    assert (us(None), us(8.14), us(1234.4)) == ("—", "8.1 µs", "1,234 µs")
    assert (quote_name("BTCUSDT"), quote_name("ETHBTC"), quote_name("XYZ")) == (
        "USDT", "BTC", "quote",
    )  # fmt: skip
    assert utc_text(0) == ""
    assert utc_text(1_700_000_000_123_456_789) == "2023-11-14 22:13:20 UTC"


def test_ledger_of_a_finished_run_is_one_plain_file(run_dir: Path) -> None:
    build_report(run_dir)
    assert [path.name for path in run_dir.glob("ledger*")] == ["ledger.sqlite"]
    database = sqlite3.connect(run_dir / "ledger.sqlite")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert make_report(load_folder(run_dir))["fills"] == 2


# -- several instruments ---


def several(tmp_path: Path) -> Path:
    """A round trip in two quote assets, on two accounts; a divergence, a change of parameters."""
    order = JournalOrder()
    keys = ("main.binance_usdm.BTCUSDT", "hedge.bybit_spot.ETHBTC", "main.binance_usdm.SOLUSDT")
    for number, key in enumerate(keys):
        builder = JournalBuilder(tmp_path, SMALL, key=key, number=number, order=order)
        symbol = key.split(".")[2]
        quote = "BTC" if symbol.endswith("BTC") else "USDT"
        builder.config(
            symbol=symbol, strategy=f"s{number}", assets={"base": symbol[:3], "quote": quote}
        )
        builder.opening(0)
        builder.state(Halt.RECONCILING, Halt.NONE)
        builder.fill(1 + (number << 36), Side.BUY, 600_000, 10 + number, fee_e8=100)
        builder.fill(-1, Side.SELL, 600_010, 10, 7, FeeAsset.BASE, owner=FillOwner.STRANGER)
        builder.record("PARAMS", struct.pack("<d", 4.0))
        builder.order(2 + (number << 36), Side.BUY, OrderState.UNKNOWN, 600_000)
        builder.sample()
        builder.row("STATE", old_bits=0, new_bits=Halt.SHUTDOWN if number else Halt.LINK)
        builder.close()
    log = EventsLog(tmp_path)
    log.say("divergence", 5, account="main", core=0, text="3 <lots> too many")
    log.say("connection", 6, account="hedge", text="silent", name="USER", slot=0, state="down")
    log.say("step", 7, account="main", name="book synced", ms=7.9101)
    log.stopped(7, in_order=True)
    log.close()
    return tmp_path


def test_several_instruments_are_added_where_that_makes_sense(tmp_path: Path) -> None:
    report = build_report(several(tmp_path))
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert [one["symbol"] for one in report["instruments"]] == ["BTCUSDT", "ETHBTC", "SOLUSDT"]
    assert (report["fills"], report["position_lots"]) == (6, None)
    assert [one["position_lots"] for one in report["instruments"]] == [0, 1, 2]
    assert [one["reconciled"] for one in report["instruments"]] == [True] * 3
    assert report["pnl"]["total"] is None
    exact = {one["symbol"]: Decimal(one["pnl_exact"]["total"]) for one in report["instruments"]}
    assert {quote: Decimal(parts["total"]) for quote, parts in report["pnl_by_quote"].items()} == {
        "USDT": exact["BTCUSDT"] + exact["SOLUSDT"], "BTC": exact["ETHBTC"],
    }  # fmt: skip
    assert report["fees_by_asset"] == {
        "USDT": "0.00000200", "BTC": "0.00000107", "ETH": "0.00000007", "SOL": "0.00000007",
    }  # fmt: skip
    assert report["fills_by_owner"] == {"run": 3, "stranger": 3}
    assert report["state"] == "LINK+STOPPED"
    told = report["what_happened"]
    assert [row["text"] for row in told["divergences"]] == ["3 <lots> too many"]
    assert [row["symbol"] for row in told["parameter_changes"]] == ["BTCUSDT", "ETHBTC", "SOLUSDT"]
    assert len(told["unknown_outcomes"]) == len(told["open_at_the_end"]) == 3
    assert (report["divergences"], report["open_at_the_end"]) == (1, 3)
    assert len(told["recovered_fills"]) == 3
    assert [row["text"] for row in told["connections"]] == ["silent"]
    assert ("BTCUSDT", "LINK") in {(row["symbol"], row["reason"]) for row in told["halts"]}
    assert "SHUTDOWN" not in {row["reason"] for row in told["halts"]}


def test_page_and_terminal_tell_what_happened_to_several(tmp_path: Path) -> None:
    report = build_report(several(tmp_path))
    text = page_text(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    print_result(report, console)
    terminal = console.file.getvalue()
    for expected in (
        "3 instruments, hedge, main", "main.binance_usdm.SOLUSDT", "3 <lots> too many",
        "Halts, by reason", "name USER, slot 0, state down", "LINK", "stranger",
        "Changes of parameters", "Orders whose fate was open", "book synced", "7.910",
    ):  # fmt: skip
        assert expected in text, expected
        assert expected in terminal, expected
    assert "Divergence from the venue" in text
    assert "P&L in BTC" in terminal


def test_a_divergence_and_open_orders_stand_in_the_box(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(build_report(several(tmp_path))))
    told = console.file.getvalue()
    for name, count in (("divergences from the venue", 1), ("orders not seen to end", 3)):
        assert re.search(rf"{name} +{count} ", told), told


def test_an_engine_that_never_stopped_was_killed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"kind": "live"}')
    assert build_report(several(tmp_path))["state"] == "KILLED+LINK+STOPPED"


def test_the_title_of_one_instrument_names_account_and_venue(tmp_path: Path) -> None:
    builder = JournalBuilder(tmp_path, SMALL, key="main.binance_usdm.BTCUSDT")
    write_run(builder)
    builder.close()
    (tmp_path / "config.json").write_text('{"kind": "live"}')
    name = build_report(tmp_path)["name"]
    assert name.startswith("BTCUSDT ")
    assert name.endswith(", main at binance_usdm")


def test_a_run_that_never_began_says_so(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    report = build_report(tmp_path)
    assert (report["name"], report["state"]) == ("a run that never began", "NOT STARTED")
    assert "unknown" not in report["name"]


def test_one_quote_asset_is_added_up(tmp_path: Path) -> None:
    order = JournalOrder()
    for number, symbol in enumerate(("BTCUSDT", "SOLUSDT")):
        key = f"main.binance_usdm.{symbol}"
        builder = JournalBuilder(tmp_path, SMALL, key=key, number=number, order=order)
        write_run(builder)
        builder.close()
    report = build_report(tmp_path)
    assert report["pnl_exact"]["total"] == "-0.31860002"  # twice the one of test_pnl_by_hand
    assert (report["quote"], report["orders"], report["state"]) == ("USDT", 4, "STOPPED")
    assert report["tick_to_order"]["n"] == 6
