"""What `tickmaker run` shows: the engine's lines in words, and the state of each instrument.

An instrument is quoting where an order of ours rests. Where none does, it is said why: the
reasons that pull its quotes, or that nothing does and what the gate denies. What is told again and
again is told once a minute.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fastcore.gate import CODES

ROWS_MAX = 40  # instruments on a screen
ASIDE_MAX = 3  # that a plain line names
AGAIN_S = 60.0  # until something is told again
DENIED_S = 10.0  # a window of denials ...
DENIED_MIN = 20  # ... in which so many are no accident
ENDED = {"stopped"}
UNDER_A_LOT = "the rest is under its lot"  # as the router says it; of every other plan
_QUIET = {"step", "state", "quoting", "connection"}  # of these the screen shows what they mean
_MEANING = dict(CODES.values())
_NOT_SHOWN = {"event", "account", "instrument", "core", "what", "remedy"}


# -- LINES ---


def told(line: Mapping[str, Any]) -> str:
    """A line of the engine for people; empty where the screen shows it otherwise."""
    event = str(line.get("event"))
    if event == "step":
        return f"  {line.get('account', ''):<12}{line['name']:<46}{line['ms']:>9.1f} ms"
    if event == "connection":
        why = f" ({line['why']})" if line.get("why") else ""
        return f"  {line.get('account', ''):<12}{line['name']} {line['state']}{why}"
    if "what" in line:
        return f"{event}: {line['what']}\n    {line.get('remedy', '')}".rstrip()
    if event in _QUIET | ENDED:
        return ""
    where = line.get("instrument") or line.get("account") or ""
    return f"{event}: {where + ': ' if where else ''}{_words(event, line)}".rstrip(": ")


def _words(event: str, line: Mapping[str, Any]) -> str:
    if event == "started":
        return f"{_instruments(line.get('instruments', 0))} free to quote"
    if event == "adopted":
        return f"it held {line.get('position_lots', 0):+,} lots: the opening of its first run"
    if event == "reconciled":
        rounds = line.get("rounds", 0)
        return f"both sides agree ({rounds} round{'s' * (rounds != 1)}, {line.get('ms')} ms)"
    if event == "router":
        return _plan_words(line)
    if event == "hedged":
        return f"hedge {line.get('hedge')} is inside its band again, at {line.get('net')}"
    if event == "operator" and line.get("command") == "PARAMS":
        return f"set {_fields(line.get('set', {}))}"
    if event == "operator":
        return f"{str(line.get('command')).lower()} of {_instruments(line.get('count', 0))}"
    return _fields({key: value for key, value in line.items() if key not in _NOT_SHOWN})


def _instruments(count: int) -> str:
    return f"{count} instrument{'s' * (count != 1)}"


def _plan_words(line: Mapping[str, Any]) -> str:
    """A taker's plan: who wants it, and where it goes."""
    plan = line["plan"]
    parts = [f"{part['qty']} at {part['px']} ({part['venue']})" for part in plan["slices"]]
    who = f"hedge {line['hedge']}, from {line['net']}: " if "hedge" in line else ""
    text = f"{who}{plan['side'].lower()} {plan['wanted']}: {', '.join(parts) or 'nowhere'}"
    if plan["unfilled"] != "0":
        text += f"; {plan['unfilled']} not now"
    reasons = {venue: why for venue, why in plan["why_not"].items() if why != UNDER_A_LOT}
    return text + "".join(f"; {venue}: {why}" for venue, why in reasons.items())


def _fields(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {plain_value(value)}" for key, value in values.items())


def plain_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.12g}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


class Repeats:
    """Lines that differ in nothing but numbers, and come again within a minute, are left out: an
    exchange that is away is one thing to know, not a hundred."""

    def __init__(self) -> None:
        self._last_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def passed(self, text: str, now_s: float) -> str:
        """`text`, with how many like it were left out; empty where it is one of them."""
        form = re.sub(r"\d+", "#", text)
        last_s = self._last_s.get(form)
        if last_s is not None and now_s - last_s < AGAIN_S:
            self._left_out[form] = self._left_out.get(form, 0) + 1
            return ""
        self._last_s[form] = now_s
        count = self._left_out.pop(form, 0)
        return f"{text}\n    ({count} more like it since)" if count else text


# -- DENIALS ---


class Denials:
    """What the gate denies all the time, by instrument."""

    def __init__(self) -> None:
        self._since_s = 0.0
        self._before: dict[str, dict[str, int]] = {}
        self.recent: dict[str, tuple[str, int]] = {}  # by key: the most frequent, and how often
        self._told_s: dict[tuple[str, str], float] = {}

    def look(self, status: Mapping[str, Any], elapsed_s: float) -> list[dict[str, Any]]:
        """Warnings, as lines of the engine; a look each DENIED_S counts."""
        if elapsed_s - self._since_s < DENIED_S and self._before:
            return []
        self._since_s = elapsed_s
        warnings = []
        for key, row in status["instruments"].items():
            denies = {name: int(count) for name, count in row.get("denies", {}).items()}
            before = self._before.get(key, denies)
            self._before[key] = denies
            counts = {name: count - before.get(name, 0) for name, count in denies.items()}
            name = max(counts, key=lambda one: counts[one], default="")
            self.recent.pop(key, None)
            if not name or counts[name] < DENIED_MIN or row["state"]:
                continue
            self.recent[key] = name, counts[name]
            if elapsed_s - self._told_s.get((key, name), -AGAIN_S) >= AGAIN_S:
                self._told_s[key, name] = elapsed_s
                warnings.append(_denied_warning(key, name, counts[name]))
        return warnings


def _denied_warning(key: str, name: str, count: int) -> dict[str, Any]:
    return {
        "event": "warning", "account": key.split(".")[0], "instrument": key,
        "what": f"{key}: {count:,} orders denied in {DENIED_S:.0f} s: {name} "
        f"({_MEANING.get(name, 'docs/gate.md')})",
        "remedy": "quotes stay where they were, or away, for as long as it lasts; `tickmaker "
        "check` holds quoting and params against the limits",
    }  # fmt: skip


# -- INSTRUMENTS ---


def resting(row: Mapping[str, Any]) -> int:
    """Orders of ours that work."""
    own = row["own"]
    return own if isinstance(own, int) else len(own)


def standing(row: Mapping[str, Any], denied: tuple[str, int] | None = None) -> str:
    """QUOTING, or why not."""
    if row["state"]:
        return ", ".join(row["state"])
    if resting(row):
        return "QUOTING"
    if denied is not None:
        return f"NO QUOTE RESTS: {denied[0]} denied {denied[1]:,} in {DENIED_S:.0f} s"
    return "NO QUOTE RESTS"


def hedgers(status: Mapping[str, Any]) -> set[str]:
    """Instruments that hedges are taken on: one where no quote rests is where it should be."""
    return {key for hedge in status.get("hedges", {}).values() for key in hedge["on"]}


def hedge_line(name: str, hedge: Mapping[str, Any]) -> str:
    """How it stands, and why it is open."""
    net = hedge["net"] if hedge["net"] is not None else "?"
    text = (f"hedge {name}: {hedge['state']}, {net} of {hedge['target']} within {hedge['band']}, "
            f"{hedge['plans']} actions")  # fmt: skip
    return f"{text}: {hedge['why']}" if hedge["why"] else text


def _states(status: Mapping[str, Any], denials: Denials) -> dict[str, str]:
    """By key."""
    places = hedgers(status)
    states = {}
    for key, row in status["instruments"].items():
        state = standing(row, denials.recent.get(key))
        states[key] = "HEDGES" if state == "NO QUOTE RESTS" and key in places else state
    return states


def table(status: Mapping[str, Any], elapsed_s: float, denials: Denials) -> RenderableType:
    """A line an instrument; those that stand aside first, where not all fit."""
    shown = Table(title=f"{elapsed_s:,.0f} s", title_justify="left", expand=False)
    for name in ("instrument", "state", "position", "orders", "fills", "open"):
        shown.add_column(name, justify="left" if name in ("instrument", "state") else "right")
    rows = list(status["instruments"].items())
    states = _states(status, denials)
    if len(rows) > ROWS_MAX:
        rows.sort(key=lambda pair: not pair[1]["state"] and resting(pair[1]) > 0)
    for key, row in rows[:ROWS_MAX]:
        state = states[key]
        is_well = state in ("QUOTING", "HEDGES")
        colour = "green" if is_well else "red" if row["state"] else "yellow"
        shown.add_row(
            key, Text(state, colour), f"{row['position_lots']:,}", f"{row['orders_sent']:,}",
            f"{row['fills']:,}", str(resting(row)),
        )  # fmt: skip
    told_below = [f"and {len(rows) - ROWS_MAX} more"] if len(rows) > ROWS_MAX else []
    told_below += [hedge_line(name, hedge) for name, hedge in status.get("hedges", {}).items()]
    if told_below:
        shown.caption, shown.caption_justify = "\n".join(told_below), "left"
    return shown


def plain(status: Mapping[str, Any], elapsed_s: float, denials: Denials) -> str:
    """One line for a log: who quotes, and why the others do not."""
    rows = status["instruments"]
    orders, fills = (sum(row[name] for row in rows.values()) for name in ("orders_sent", "fills"))
    states = _states(status, denials)
    aside = {key: state for key, state in states.items() if state not in ("QUOTING", "HEDGES")}
    places = hedgers(status)
    makers = [key for key, row in rows.items() if key not in places or resting(row)]
    count = sum(states[key] == "QUOTING" for key in makers)
    text = (
        f"{elapsed_s:8.1f} s  {count} of {len(makers)} quoting  "
        f"orders {orders:,}  fills {fills:,}"
    )
    for key in list(aside)[:ASIDE_MAX]:
        text += f"\n            {key}: {aside[key]}"
    more = len(aside) - ASIDE_MAX
    text += f"\n            and {more} more" if more > 0 else ""
    for name, hedge in status.get("hedges", {}).items():
        text += f"\n            {hedge_line(name, hedge)}"
    return text
