"""The terminal: every figure with its unit, nothing cut at 80 x 24, plain lines without a tty."""

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from engine.report.bench_terminal import print_bench
from engine.view import LiveView, plain_line, print_result, render, summary

STATUS: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "strategy": "spread",
    "tick": "0.10",
    "lot": "0.001",
    "now_ns": 1,
    "state": [],
    "book": "SYNCED",
    "bid_px_ticks": 600_000,
    "ask_px_ticks": 600_001,
    "levels_bid": [[600_000 - n, 500 + 100 * n] for n in range(5)],
    "levels_ask": [[600_001 + n, 2000 - 100 * n] for n in range(5)],
    "own": [
        {"side": "BUY", "px_ticks": 599_998, "qty_lots": 10, "leaves_lots": 10, "state": "NEW"},
        {"side": "SELL", "px_ticks": 600_040, "qty_lots": 10, "leaves_lots": 4, "state": "NEW"},
    ],
    "position_lots": -12,
    "pnl": {"total": "0.1234", "spread": "0.5", "fees": "-0.2", "inventory": "-0.1766"},
    "orders_sent": 1234,
    "cancels_sent": 1200,
    "modifies_sent": 17,
    "fees_base_e8": 12_345,
    "fees_other_e8": 0,
    "fills": 31,
    "denies": {"STATE": 0, "POSITION": 3},
    "late": 2,
    "gaps": 1,
    "malformed": 0,
    "frames": 123_456,
    "tick_to_order": {
        "p50_us": 8.12, "p99_us": 11.5, "p999_us": 40.24, "max_us": 1812.5, "n": 2434,
    },
}  # fmt: skip
REPORT: dict[str, Any] = {
    "orders": 1066,
    "fills": 189,
    "position_lots": -5,
    "pnl": {"total": -1.25, "spread": 2.0, "fees": -3.0, "inventory": -0.25},
    "tick_to_order": {
        "p50_us": 9.5, "p99_us": 14.5, "p999_us": 44.8, "max_us": 82.6, "n": 2158,
    },
    "state": "SHUTDOWN",
    "run_dir": "runs/x",
    "events": 6000,
    "events_per_s": 197.4,
    "symbol": "BTCUSDT",
    "strategy": "spread",
    "duration_s": 30.4,
    "amends": 11,
    "cancels": 1092,
    "late": 3,
    "denies": {"POSITION": 4},
    "reconciled": True,
}  # fmt: skip


def lines(renderable: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=24, record=True)
    console.print(renderable)
    return console.export_text().splitlines()


def changed(**changes: Any) -> dict[str, Any]:
    return STATUS | changes


@pytest.mark.parametrize("width", [80, 81, 100, 160])
def test_screen_shows_every_figure_with_its_unit(width: int) -> None:
    screen = lines(render(STATUS, 12.3, 30.0, ["an event"]), width)
    assert len(screen) <= 23  # 24 rows less the cursor's
    assert max(len(line) for line in screen) <= width
    text = "\n".join(" ".join(line.split()) for line in screen)
    for expected in (
        "BTCUSDT spread QUOTING",
        "12 s, 18 s left",
        "book, SYNCED",
        "price, USDT size ours",
        "60,000.05 mid spread 1 tick",
        "position -0.012 (-12 lots)",
        "total +0.1234 USDT",
        "spread +0.5000 USDT",
        "fees -0.2000 USDT",
        "fees, base 0.00012345 base",
        "inventory -0.1766 USDT",
        "p50 8.1 µs",
        "p99 11.5 µs",
        "p99.9 40.2 µs",
        "max 1,812 µs",
        "n 2,434",
        "orders 1,234",
        "amends 17",
        "cancels 1,200",
        "fills 31",
        "frames/s 10,037",
        "denies 3",
        "late 2",
        "gaps 1",
        "malformed 0",
        "an event",
    ):
        assert expected in text, expected


def ladder(status: dict[str, Any]) -> list[str]:
    """Price and size columns of the book panel, top to bottom."""
    screen = lines(render(status, 1.0, 30.0))
    body = [line.split("│")[1] for line in screen if line.startswith("│")][1:12]
    return [" ".join(line.replace("▆", "").split()) for line in body]


def test_ladder_is_best_next_to_the_mid_with_own_quotes_marked() -> None:
    assert ladder(STATUS) == [
        "60,004.00 ◆ 0.004",  # ours, deeper than the five levels: takes the last row
        "60,000.40 1.700",
        "60,000.30 1.800",
        "60,000.20 1.900",
        "60,000.10 2.000",
        "60,000.05 mid spread 1 tick",
        "60,000.00 0.500",
        "59,999.90 0.600",
        "59,999.80 0.700 ◆ 0.010",
        "59,999.70 0.800",
        "59,999.60 0.900",
    ]


def test_own_quote_ahead_of_the_feed_stands_in_its_place() -> None:
    own = [
        {"side": "BUY", "px_ticks": 599_990, "qty_lots": 5, "leaves_lots": 5},
        {"side": "BUY", "px_ticks": 600_000, "qty_lots": 5, "leaves_lots": 5},
        {"side": "BUY", "px_ticks": 600_000, "qty_lots": 5, "leaves_lots": 2},
        {"side": "BUY", "px_ticks": 599_000, "qty_lots": 5, "leaves_lots": 0},
    ]
    rows = ladder(changed(own=own, levels_bid=[[599_999, 3]]))
    assert rows[6:] == ["60,000.00 ◆ 0.007", "59,999.90 0.003", "59,999.00 ◆ 0.005", "", ""]


def test_bars_grow_with_size() -> None:
    screen = lines(render(STATUS, 1.0, 30.0))
    bars = [line.split("││")[0].count("▆") for line in screen if "60,000." in line]
    assert bars[0] < bars[3]
    assert max(bars) == bars[3]


def test_no_book_no_mid_no_numbers_no_traceback() -> None:
    gone = changed(
        book="GAP", levels_bid=[], levels_ask=[], own=[], bid_px_ticks=0, ask_px_ticks=0,
        pnl=dict.fromkeys(STATUS["pnl"], "NaN"),
        tick_to_order={"p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0},
    )  # fmt: skip
    text = "\n".join(lines(render(gone, 0.0, 0.0)))
    assert "no two-sided book" in text
    assert "— USDT" in text
    assert "book, GAP" in text
    assert "STARTING" in "\n".join(lines(render({}, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ([], "QUOTING"),
        (["BOOK", "CLOCK"], "HALTED BOOK, CLOCK"),
        (["BOOK", "SHUTDOWN"], "SHUTTING DOWN"),
    ],
)
def test_state_is_said(state: list[str], words: str) -> None:
    assert words in lines(render(changed(state=state), 1.0, 30.0))[0]
    assert words in plain_line(changed(state=state), 1.0, 30.0)


def test_markup_in_names_is_text() -> None:
    screen = lines(render(changed(symbol="[red]X[/]"), 1.0, 30.0, ["[bold]event[/]"]))
    assert "[red]X[/]" in screen[0]
    assert "[bold]event[/]" in screen[-1] + screen[-3]


# -- live ---


def pipe(width: int = 200) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width), out


def test_a_warning_is_said_with_its_remedy() -> None:
    console, out = pipe(80)
    with LiveView(console, total_s=30) as view:
        view.note({"event": "warning", "what": "the clock drifts", "remedy": "none needed"})
    assert out.getvalue().splitlines() == ["the clock drifts", "    none needed"]


def test_without_a_terminal_one_line_a_second_and_every_event() -> None:
    console, out = pipe(60)
    with LiveView(console, total_s=30) as view:
        view.note({"event": "step", "name": "book synced", "ms": 12})
        for tenth in range(25):
            fills = 31 + (tenth >= 17)
            view.update(
                changed(now_ns=tenth, frames=tenth * 100, fills=fills, position_lots=fills - 43),
                tenth / 10,
            )
    assert out.getvalue().splitlines() == [
        "step name book synced ms 12",
        plain_line(changed(position_lots=-12), 0.0, 30),
        plain_line(changed(position_lots=-12), 1.0, 30),
        "   1.7 s  1 fill, +1 lots, position -11 lots",
        plain_line(changed(fills=32, position_lots=-11), 2.0, 30),
    ]


def test_plain_line_names_units() -> None:
    assert plain_line(STATUS, 3.0, 30.0) == (
        "  3.0 of 30 s  QUOTING  orders 1,234  fills 31  position -12 lots  P&L +0.1234 USDT  "
        "tick-to-order p50 8.1 µs p99 11.5 µs p99.9 40.2 µs n 2,434"
    )


def test_changes_become_events() -> None:
    console, _ = pipe()
    view = LiveView(console, total_s=30)
    view.update(STATUS, 1.0)
    view.update(changed(now_ns=2, fills=34, position_lots=8), 2.0)
    view.update(changed(now_ns=3, fills=34, position_lots=8, state=["BOOK"], late=4), 3.0)
    view.update(changed(now_ns=4, fills=34, position_lots=8, late=4), 4.0)
    assert list(view.events) == [
        "   2.0 s  3 fills, +20 lots, position 8 lots",
        "   3.0 s  halted book",
        "   3.0 s  2 late, not sent",
        "   4.0 s  quoting",
    ]


def terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, height=24, force_terminal=True, color_system=None), out


def test_terminal_is_drawn_at_every_update_and_left_clean() -> None:
    console, out = terminal()
    with LiveView(console, total_s=30) as view:
        for second in range(3):
            view.update(changed(now_ns=second, frames=second * 1000), float(second))
    text = out.getvalue()
    assert text.count("tick-to-order") >= 3  # and once more as it ends
    assert "frames/s 1,000" in text
    assert "silent" not in text
    assert text.endswith("\x1b[2K")  # the last screen is wiped; the summary takes its place


def test_engine_that_shows_nothing_new_is_called_silent() -> None:
    console, out = terminal()
    with LiveView(console, total_s=30) as view:
        view.update(STATUS, 1.0)
        view.update(STATUS, 4.5)
    assert "engine silent for 3.5 s" in out.getvalue()


# -- results ---


def test_summary_says_everything_once() -> None:
    text = "\n".join(" ".join(line.split()) for line in lines(summary(REPORT)))
    for expected in (
        "BTCUSDT spread",
        "P&L total -1.2500 USDT",
        "spread +2.0000 USDT",
        "fees -3.0000 USDT",
        "inventory -0.2500 USDT",
        "position -5 lots",
        "fills 189",
        "orders, amends, cancels 1,066, 11, 1,092",
        "denied, late 4, 3",
        "tick-to-order p50 9.5 µs",
        "p99, p99.9 14.5 µs, 44.8 µs",
        "max, n 82.6 µs, 2,158",
        "events 6,000 (197/s, 30.4 s)",
        "state at the end SHUTDOWN",
        "runs/x/report.html",
    ):
        assert expected in text, expected
    assert "DISAGREE" not in text
    long = "BOOK+USER_STREAM+RECONCILING+JOURNAL+TRADE_STREAM+FEED_STALE"
    text = "\n".join(lines(summary(REPORT | {"state": long})))
    for expected in ("tick-to-order p50 ", "state at the end ", "FEED_STALE"):
        assert expected in text, expected  # a long value folds, and cuts no name


def test_summary_of_trouble_is_loud_and_of_nothing_is_calm() -> None:
    nothing = {"p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0}
    trouble = REPORT | {
        "reconciled": False, "journal_error": "x", "fills": 0, "tick_to_order": nothing,
        "pnl": dict.fromkeys(REPORT["pnl"]),
    }  # fmt: skip
    text = "\n".join(lines(summary(trouble)))
    assert "DISAGREE" in text
    assert "DAMAGED" in text
    assert "no fills in this run" in text
    assert "— USDT" in text


def test_print_result_shows_names_values_and_rows() -> None:
    console, out = pipe(100)
    result = {
        "identical": True,
        "orders": 12_345,
        "bbo_match": 0.99987,
        "rows": [
            {"client": "tickmaker", "p50_us": 8.12},
            {"client": "websockets", "p50_us": None},
        ],
        "stages": {"decode": 90.4, "book": 20},
    }
    print_result(result, console)
    text = "\n".join(" ".join(line.split()) for line in out.getvalue().splitlines())
    for expected in ("identical yes", "orders 12,345", "bbo_match 0.9999", "tickmaker 8.12",
                     "websockets —", "decode book", "90.4 20"):  # fmt: skip
        assert expected in text, expected


def test_print_result_of_a_run_is_its_summary() -> None:
    console, out = pipe(100)
    print_result(REPORT, console)
    assert "P&L total" in out.getvalue()


def test_a_strategy_that_wants_nothing_is_not_said_to_quote() -> None:
    idle = "\n".join(lines(render(changed(own=[], strategy_code=2), 1.0, 30.0)))
    assert "STANDS ASIDE (code 2)" in idle
    assert "QUOTING" in "\n".join(lines(render(changed(own=[], strategy_code=1), 1.0, 30.0)))


def test_summary_names_denials_and_refused_calls() -> None:
    report = REPORT | {"denies": {"SELF_CROSS": 2, "RATE": 380, "QTY": 0}, "nonsense": 3}
    text = "\n".join(" ".join(line.split()) for line in lines(summary(report)))
    assert "denied for RATE 380, SELF_CROSS 2" in text
    assert "refused calls of the strategy 3" in text
    assert "refused" not in "\n".join(lines(summary(REPORT)))


def test_a_benchs_result_is_one_figure_a_line_beside_its_target() -> None:
    result = {
        "orders": {"ws": {"orders_per_s": 7_000}, "rest": {"orders_per_s": 900}},
        "order_to_ack": {"ws": {"p50_us": 80.5, "n": 9}, "rest": {"p50_us": 300}},
        "books": [{"name": "ours", "ns": 5}, {"name": "theirs", "ns": None}],
        "rounds": [1, 2.5],
        "allocations": 0,
        "targets": {
            "orders_per_s": ">= 5000", "order_to_ack_p50_us": "< 100", "allocations": "0",
            "absent_per_s": "> 1",
        },
        "method": "long words", "machine": {"cpus_used": [1]}, "commit": "abc",
    }  # fmt: skip
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_bench(result, console)
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert lines == [
        ["orders.ws.orders_per_s", "7,000", ">=", "5000", "met"],
        ["orders.rest.orders_per_s", "900", ">=", "5000", "missed"],
        ["order_to_ack.ws.p50_us", "80.5", "<", "100", "met"],
        ["order_to_ack.ws.n", "9"],
        ["order_to_ack.rest.p50_us", "300", "<", "100", "missed"],
        ["books.ours.ns", "5"],
        ["books.theirs.ns", "—"],
        ["rounds", "1", "2.5"],
        ["allocations", "0", "0", "met"],
    ]
