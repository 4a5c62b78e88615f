"""What is wrong with a configuration file, in words that name its line, its key and the remedy."""

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.errors import EXIT_USAGE, TickmakerError

Key = tuple[str | int, ...]  # ("account", 0, "limits", "exit_reserve")

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_ENTRY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")
_NEED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "dict_type": "a table",
    "model_type": "a table",
    "list_type": "a list",
    "model_attributes_type": "a table",
}
# What the patterns of config_tables.py ask for, in words.
_FORMS = {
    r"^[a-z0-9][a-z0-9_-]{0,23}$": "a name of up to 24 of a-z, 0-9, _ and -",
    r"^[a-z0-9][a-z0-9_-]{0,31}$": "a name of up to 32 of a-z, 0-9, _ and -",
    r"^[A-Z0-9_]{2,32}$": "a symbol of 2 to 32 of A-Z, 0-9 and _",
    r"^[A-Z][A-Z0-9_]{0,39}$": "the name of a variable: A-Z, 0-9 and _",
    r"^\d{1,12}(\.\d{1,12})?$": 'a number of base units in quotes, such as "0.05"',
    r"^-?\d{1,12}(\.\d{1,12})?$": 'a number of base units in quotes, such as "-0.05"',
    r"\.toml$": "the name of a file that ends in .toml",
    r"\.json$": "the name of a file that ends in .json",
}


class Sought(NamedTuple):
    """A file of TOML, and where in it each key stands."""

    path: Path
    lines: dict[Key, int]

    def at(self, key: Key) -> str:
        """`file:line` of the key, or of the nearest table about it."""
        for size in range(len(key), 0, -1):
            if key[:size] in self.lines:
                return f"{self.path}:{self.lines[key[:size]]}"
        return str(self.path)

    def error(self, key: Key, what: str, remedy: str) -> TickmakerError:
        """Names the key, if `what` does not: a line may be that of the table about it."""
        named = what if str(key[-1]) in what else f"{dotted(key)}: {what}"
        return TickmakerError(f"{self.at(key)}: {named}", remedy, EXIT_USAGE)


def line_numbers(text: str) -> dict[Key, int]:
    """Line of every table and entry; what stands in an inline table has its entry's line."""
    numbers: dict[Key, int] = {}
    table: Key = ()
    counts: dict[Key, int] = {}  # arrays of tables
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _resolved(_parts(header[2]), counts, is_array=header[1] == "[[")
            numbers.setdefault(table, number)
        elif entry := _ENTRY.match(line):
            numbers.setdefault((*table, *_parts(entry[1])), number)
    return numbers


def _parts(name: str) -> list[str]:
    return [part.strip(" \"'") for part in name.split(".")]


def _resolved(parts: Sequence[str], counts: dict[Key, int], *, is_array: bool) -> Key:
    """The key of a header: `[account.limits]` is of the last `[[account]]`."""
    key: Key = ()
    for index, part in enumerate(parts):
        key = (*key, part)
        if is_array and index == len(parts) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


# -- THE FIRST ERROR ---


def first_error(error: ValidationError, model: type[BaseModel], sought: Sought) -> TickmakerError:
    """What to correct first: an unknown key before a missing one, which it may be misspelt."""
    details = error.errors(include_url=False)
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    detail = details[0]
    key = _plain(detail["loc"])
    name = dotted(key)
    if detail["type"] == "extra_forbidden":
        return _unknown(key, _keys_of(model, key[:-1]), sought)
    if detail["type"] == "missing":
        return sought.error(
            key, f"{name} is required", "Add it: it has no default. docs/run.md lists all."
        )
    return sought.error(
        key,
        f"{name}: expected {_need(detail)}, was {_shown(key, detail['input'])}",
        "docs/run.md says what it means.",
    )


def dotted(key: Key) -> str:
    """`account[1].limits.exit_reserve`, counted from 1 as people do."""
    text = ""
    for part in key:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _plain(loc: Sequence[str | int]) -> Key:
    """Without what pydantic adds for the members of a union."""
    return tuple(part for part in loc if isinstance(part, int) or not part.endswith("]"))


def _unknown(key: Key, known: Sequence[str], sought: Sought) -> TickmakerError:
    remedy = nearest(str(key[-1]), known) or f"Known here: {', '.join(known)}."
    return sought.error(key, f"unknown key {dotted(key)}", remedy)


def nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else ""


def _need(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _NEED:
        return _NEED[kind]
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"')
    bounds = {"greater_than": ("gt", "above"), "greater_than_equal": ("ge", "at least"),
              "less_than": ("lt", "under"), "less_than_equal": ("le", "at most")}  # fmt: skip
    if kind in bounds:
        name, word = bounds[kind]
        return f"{word} {context[name]:,}"
    if kind == "string_pattern_mismatch":
        return _FORMS.get(context["pattern"], "a text of another form")
    if kind == "too_short":
        return "at least one"
    return "a finite number" if kind == "finite_number" else detail["msg"].lower()


def _shown(key: Key, value: Any) -> str:
    """A value as it was; what may hold a secret is not shown."""
    if "credential" in key:
        return "something else"
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    # As TOML writes them: "a", true, 1.5, nan.
    text = repr(value) if isinstance(value, float) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_of(model: type[BaseModel], key: Key) -> list[str]:
    """The known keys of the table at `key`."""
    for part in key:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        found = _model_in(field.annotation) if field else None
        if found is None:
            return []
        model = found
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for part in get_args(annotation) if (m := _model_in(part))), None)
