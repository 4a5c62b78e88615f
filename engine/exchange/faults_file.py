"""Fault schedules as TOML files: refused with line, reason and the nearest right name."""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.faults_schedule import CLASS_OF, KINDS, Fault, Schedule

HEAD = re.compile(r"\s*\[\[\s*fault\s*\]\]")
TABLE = re.compile(r"\s*\[")
INLINE = re.compile(r"\s*fault\s*=")
LONG_OR_COMMENT = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""|'
    r"'''[\s\S]*?'''"
    r'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
    r"|#[^\n]*"
)
TABLES = "Write [[fault]], in double brackets: there may be many."
EXAMPLE = "docs/faults.md lists the kinds with their fields."


def read_schedule(path: Path, symbols: Collection[str] = ()) -> Schedule:
    """TickmakerError naming file, line and reason. `symbols`: those that there are, if known."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise TickmakerError(
            f"--faults {path}: can't be read: {reason}", "Give a TOML file.", EXIT_USAGE
        ) from None
    return parse_schedule(text, str(path), symbols)


def parse_schedule(text: str, name: str, symbols: Collection[str] = ()) -> Schedule:
    """`name` stands for the file in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _line_of_syntax(text, str(error))
        raise _refusal(name, line, f"no TOML: {error}", EXAMPLE) from None
    try:
        schedule = Schedule.model_validate(document)
    except ValidationError as error:
        raise _explained(text, name, document, error) from None
    for index, fault in enumerate(schedule.fault):
        symbol = getattr(fault, "symbol", "")
        if symbol and symbols and symbol not in symbols:
            reason = f"the exchange has no symbol {symbol!r}"
            remedy = _nearest(symbol, symbols)
            raise _refusal(name, _line_of(text, index, "symbol"), reason, remedy)
    return schedule


def parse_fault(document: object) -> Fault:
    """One fault as JSON has it, for the admin port; TickmakerError."""
    try:
        schedule = Schedule.model_validate({"fault": [document]})
    except ValidationError as error:
        raise _explained("", "fault", {"fault": [document]}, error) from None
    return schedule.fault[0]


def _explained(
    text: str, name: str, document: dict[str, Any], error: ValidationError
) -> TickmakerError:
    """The first thing that is wrong, in words."""
    first = error.errors(include_url=False)[0]
    place = first["loc"]
    if place == ("fault",):
        line = _line_of_top(text, "fault")
        return _refusal(name, line, "fault is not an array of tables", TABLES)
    if len(place) < 2 or place[0] != "fault" or not isinstance(place[1], int):
        top = str(place[0]) if place else ""
        is_unknown = first["type"] == "extra_forbidden"
        remedy = _nearest(top, tuple(Schedule.model_fields)) if is_unknown else EXAMPLE
        reason = f"there is no {top!r}" if is_unknown else f"{top or 'file'}: {first['msg']}"
        return _refusal(name, _line_of_top(text, top), reason, remedy)
    index = place[1]
    entry = document["fault"][index]
    kind = entry.get("kind") if isinstance(entry, dict) else None
    field = str(place[-1]) if len(place) > 2 else "kind"
    reason, remedy = f"{kind}: {field}: {_plain(first['msg'])}", EXAMPLE
    if first["type"] == "union_tag_not_found":
        reason, remedy = "a fault without a kind", f"Kinds: {', '.join(KINDS)}."
    elif first["type"] == "union_tag_invalid":
        reason, remedy = f"no kind of fault is called {kind!r}", _nearest(str(kind), KINDS)
    elif first["type"] == "extra_forbidden":
        reason, remedy = f"{kind} has no {field!r}", _nearest(field, fields_of(str(kind)))
    return _refusal(name, _line_of(text, index, field), reason, remedy)


def fields_of(kind: str) -> list[str]:
    """As a file names them."""
    fields = CLASS_OF[kind].model_fields
    return [field.alias or name for name, field in fields.items()]


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Perhaps {close[0]!r}?" if close else f"There are: {', '.join(names)}."


def _refusal(name: str, line: int, reason: str, remedy: str) -> TickmakerError:
    place = f"{name}:{line}" if line else name
    return TickmakerError(f"{place}: {reason}", remedy, EXIT_USAGE)


def _lines(text: str) -> list[str]:
    """Without what only looks like a table: long strings and comments are blanks."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        is_short = found[0] in "\"'" and found[:3] not in ('"""', "'''")
        return found if is_short else re.sub(r"[^\n]", " ", found)

    return LONG_OR_COMMENT.sub(blank, text).split("\n")


def _line_of(text: str, index: int, key: str) -> int:
    """1-based, of `key` in the `index`-th [[fault]], else of its head; 0: unknown."""
    head_line, seen = 0, -1
    lines = _lines(text)
    for number, line in enumerate(lines, 1):
        if HEAD.match(line):
            seen += 1
            if seen == index:
                head_line = number
            elif seen > index:
                break
        elif head_line and TABLE.match(line):
            break
        elif head_line and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return number
    return head_line or _line_of_inline(lines, index)


def _line_of_inline(lines: list[str], index: int) -> int:
    """Of the `index`-th table of `fault = [{..}, {..}]`."""
    seen, is_inside = -1, False
    for number, line in enumerate(lines, 1):
        is_inside = is_inside or INLINE.match(line) is not None
        if is_inside:
            seen += re.sub(r'"[^"]*"|\'[^\']*\'', "", line).count("{")
        if seen >= index:
            return number
    return 0


def _line_of_top(text: str, key: str) -> int:
    for number, line in enumerate(_lines(text), 1):
        if key and re.match(rf"\s*(\[+\s*)?\"?{re.escape(key)}\b", line):
            return number
    return 1 if text else 0


def _line_of_syntax(text: str, message: str) -> int:
    match = re.search(r"at line (\d+)", message)
    return int(match[1]) if match else text.count("\n") + 1
