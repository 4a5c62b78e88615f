"""What a bench found, in the terminal: one figure a line, beside the target that it has.

A result names targets by the figure's path joined with `.` or `_` (`calm.times_real_time`,
`order_to_ack_p50_us`); the middle of a path may be left out, and then all that fit are held to it.
"""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.report.terminal import BAD, GOOD, SOFT, cell_text

ABOUT = ("targets", "method", "machine", "commit")  # no figures
MET = {
    ">=": lambda value, limit: value >= limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    "<": lambda value, limit: value < limit,
    "": lambda value, limit: value == limit,
}


def print_bench(result: dict[str, Any], console: Console | None = None) -> None:
    """Any bench's result for people; --json has all of it."""
    console = console or Console()
    figures = [*_figures(result)]
    limits = _limits(result.get("targets", {}), figures)
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in figures:
        target = limits.get(name, "")
        words, style = _verdict(value, target)
        table.add_row(Text(name, SOFT), Text(_text(value)), Text(target), Text(words, style))
    console.print(table, highlight=False)


def _figures(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(path, figure), in order."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            if name or key not in ABOUT:
                yield from _figures(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, 1):
            head = next((text for text in each.values() if isinstance(text, str)), str(number))
            rest = {key: one for key, one in each.items() if one != head}
            yield from _figures(rest, f"{name}.{head}")
    else:
        yield name, value


def _limits(targets: dict[str, str], figures: list[tuple[str, Any]]) -> dict[str, str]:
    """Figure to target. A target that no figure has is told of none."""
    found: dict[str, str] = {}
    for target, limit in targets.items():
        wanted = _words(target)
        names = [name for name, value in figures if is_number(value)]
        exact = [name for name in names if _words(name) == wanted]
        ends = [name for name in names if _words(name)[-len(wanted):] == wanted]
        fits = [name for name in names if _fits(wanted, _words(name))]
        found |= dict.fromkeys(exact or ends or fits, limit)
    return found


def _words(name: str) -> list[str]:
    return name.replace(".", "_").split("_")


def _fits(wanted: list[str], words: list[str]) -> bool:
    """Same ends, and everything wanted in its order."""
    rest = iter(words)
    same_ends = (words[0], words[-1]) == (wanted[0], wanted[-1])
    return same_ends and all(word in rest for word in wanted)


def _verdict(value: Any, target: str) -> tuple[str, str]:
    *sign, limit = target.split() or [""]
    if not limit or not is_number(value):
        return "", ""
    is_met = MET["".join(sign)](value, float(limit))
    return ("met", GOOD) if is_met else ("missed", BAD)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(cell_text(each) for each in value) or cell_text(None)
    return cell_text(value) if value != {} else cell_text(None)
