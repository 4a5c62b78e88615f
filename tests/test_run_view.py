"""What a person sees of a run: who quotes, who does not and why, what is denied all the time."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.report.before import ending_text, how_it_ended, last_run
from engine.run_view import DENIED_MIN, Denials, Repeats, plain, standing, table, told

KEY = "usdm.binance_usdm.BTCUSDT"


def row(state: tuple[str, ...] = (), own: int = 2, **more: Any) -> dict[str, Any]:
    return {"state": list(state), "own": own, "orders_sent": 5, "fills": 1} | more


def status(**rows: dict[str, Any]) -> dict[str, Any]:
    return {"instruments": rows}


@pytest.mark.parametrize(
    ("shown", "state"),
    [(row(), "QUOTING"), (row(own=0), "NO QUOTE RESTS"), (row(("BOOK", "LINK")), "BOOK, LINK"),
     (row() | {"own": [{"side": "BUY"}]}, "QUOTING"), (row() | {"own": []}, "NO QUOTE RESTS")],
)  # fmt: skip
def test_quoting_means_that_a_quote_rests(shown: dict[str, Any], state: str) -> None:
    assert standing(shown) == state


def test_the_plain_line_names_who_stands_aside_and_why() -> None:
    rows = {f"i{n}": row(("RECONCILING",) if n < 5 else ()) for n in range(7)}
    first, *others = plain(status(**rows), 10.0, Denials()).splitlines()
    assert "2 of 7 quoting" in first
    assert [line.split() for line in others] == [
        *[[f"i{n}:", "RECONCILING"] for n in range(3)], ["and", "2", "more"],
    ]  # fmt: skip
    assert len(plain(status(a=row()), 10.0, Denials()).splitlines()) == 1


HEDGE = {"of": ["a"], "on": ["b"], "target": "0", "band": "0.1", "plans": 3, "net": "0.04",
         "state": "HEDGED", "why": ""}  # fmt: skip


def test_place_of_a_hedge_hedges_and_the_hedge_says_how_it_stands() -> None:
    shown = status(a=row(), b=row(own=0)) | {"hedges": {"btc": HEDGE}}
    first, line = plain(shown, 10.0, Denials()).splitlines()
    assert "1 of 1 quoting" in first
    assert line.strip() == "hedge btc: HEDGED, 0.04 of 0 within 0.1, 3 actions"
    shown["hedges"] = {"btc": HEDGE | {"state": "OPEN", "net": None, "why": "b: halted: CLOCK"}}
    shown["instruments"]["b"] = row(("CLOCK",), own=0)
    _, aside, line = plain(shown, 10.0, Denials()).splitlines()
    assert aside.strip() == "b: CLOCK"
    assert line.endswith("OPEN, ? of 0 within 0.1, 3 actions: b: halted: CLOCK")
    for shown_row in shown["instruments"].values():
        shown_row["position_lots"] = 0
    console = Console(width=100, file=io.StringIO())
    console.print(table(shown, 10.0, Denials()))
    assert "hedge btc: OPEN" in console.file.getvalue()  # type: ignore[attr-defined]


def test_plan_is_told_in_words() -> None:
    part = {"venue": "b", "qty": "0.02", "px": "101.5"}
    plan = {"side": "SELL", "wanted": "0.03", "unfilled": "0.01", "slices": [part],
            "why_not": {"c": "halted: CLOCK"}}  # fmt: skip
    line = {"event": "router", "hedge": "btc", "net": "0.03", "plan": plan}
    assert told(line) == (
        "router: hedge btc, from 0.03: sell 0.03: 0.02 at 101.5 (b); 0.01 not now; "
        "c: halted: CLOCK"
    )
    closing = {"event": "router", "account": "x", "instrument": "b",
               "plan": plan | {"unfilled": "0", "slices": [], "why_not": {}}}  # fmt: skip
    assert told(closing) == "router: b: sell 0.03: nowhere"
    hedged = told({"event": "hedged", "hedge": "btc", "net": "0"})
    assert hedged == "hedged: hedge btc is inside its band again, at 0"


def test_what_is_denied_all_the_time_is_warned_of_once_a_minute() -> None:
    denials, warned = Denials(), []
    for turn in range(14):  # every 10 s
        shown = row(own=0, denies={"RATE": turn * DENIED_MIN, "PRICE": 3})
        warned += denials.look(status(**{KEY: shown}), turn * 10.0)
    assert len(warned) == 3
    assert "RATE (orders_per_10s_max or orders_per_min_max spent)" in warned[0]["what"]
    assert standing(row(own=0), denials.recent[KEY]).startswith("NO QUOTE RESTS: RATE denied")


def test_denials_now_and_then_and_those_of_a_halt_are_no_warning() -> None:
    denials = Denials()
    for turn in range(10):
        few = row(denies={"RATE": turn * (DENIED_MIN - 1)})
        halted = row(("BOOK",), denies={"HALTED": turn * 1_000})
        assert denials.look(status(a=few, b=halted), turn * 10.0) == []


def test_what_differs_in_numbers_only_is_told_once_a_minute() -> None:
    repeats = Repeats()
    shown = [repeats.passed(f"TRADE down (try {n})", n * 20.0) for n in range(5)]
    assert shown == ["TRADE down (try 0)", "", "", "TRADE down (try 3)\n"
                     "    (2 more like it since)", ""]  # fmt: skip
    assert repeats.passed("USER down", 21.0) == "USER down"


@pytest.mark.parametrize(("line", "text"), [
    ({"event": "started", "instruments": 3}, "started: 3 instruments free to quote"),
    ({"event": "adopted", "position_lots": 25, "account": "a", "instrument": KEY, "core": 0},
     f"adopted: {KEY}: it held +25 lots: the opening of its first run"),
    ({"event": "reconciled", "rounds": 1, "ms": 3.5, "instrument": KEY},
     f"reconciled: {KEY}: both sides agree (1 round, 3.5 ms)"),
    ({"event": "operator", "command": "HALT", "count": 1}, "operator: halt of 1 instrument"),
    ({"event": "operator", "command": "PARAMS", "set": {"qty_lots": 5.0}, "instrument": KEY},
     f"operator: {KEY}: set qty_lots 5"),
    ({"event": "operator", "command": "PARAMS", "set": {"qty_lots": 12_345_678.0},
      "instrument": KEY}, f"operator: {KEY}: set qty_lots 12,345,678"),
    ({"event": "warning", "what": "no", "remedy": "do"}, "warning: no\n    do"),
    ({"event": "state", "state": []}, ""),
    ({"event": "stopped", "orders_cancelled": 2}, ""),
])  # fmt: skip
def test_lines_are_words(line: dict[str, Any], text: str) -> None:
    assert told(line) == text


@pytest.mark.parametrize(("ended", "words"), [
    ({"in_order": True}, ()),
    ({"in_order": False, "is_stopped": False, "open_orders": 2, "held_lots": {"BTCUSDT": 25}},
     ("without its shutdown (x)", "2 orders not seen to end", "it held BTCUSDT +25 lots")),
    ({"in_order": False, "is_stopped": True, "open_orders": 1, "held_lots": {}},
     ("with trouble (x)", "1 order not seen", "it held nothing. Its orders are pulled")),
    ({"in_order": False, "is_stopped": True, "open_orders": 0, "held_lots": {}},
     ("with trouble (x)", "0 orders not seen", "it held nothing. What filled since is booked")),
])  # fmt: skip
def test_how_the_run_before_ended_is_told(
    ended: dict[str, Any], words: tuple[str, ...]
) -> None:
    text = ending_text(ended | {"run_dir": "/runs/x"})
    assert bool(text) == bool(words)
    assert [word for word in words if word not in text] == []


def test_a_run_before_that_can_not_be_read_is_no_reason_to_stop(tmp_path: Path) -> None:
    assert last_run(tmp_path, "a") is None
    assert how_it_ended(tmp_path, "a") is None
