"""Users' strategies for tests: written as text, compiled as a file would be."""

import functools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastcore.strategy_layout import CONSTANTS, abi_layout
from fastcore.user import UserStrategy, load
from fastcore.user.check import signal_of

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "user_strategies.md"
BEGIN = "<!-- written by `python -m tests.support_user`, from the structs themselves -->\n"
END = "<!-- end -->\n"
_KINDS = {"double": "float", "Level": "level", "OwnQuote": "own quote"}

HEAD = "from fastcore.user import *\nimport numpy as np, math, random, time\n"
PATH = "dir/mine.py"


def user_strategy(body: str, declared: str = "") -> UserStrategy:
    """`body` as the function `f` of a file, with `@strategy(declared)` above it."""
    text = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    return user_file(f"@strategy({declared})\ndef f(view, params, state, target):\n{text}\n")


@functools.cache
def user_file(text: str) -> UserStrategy:
    """Compiled once a text: that takes a good part of a second."""
    return load(f"{PATH}:f", HEAD + text)


def user_config(user: UserStrategy, **params: float) -> dict[str, Any]:
    """What a core's configuration says of it."""
    return {
        "strategy": f"user:{user.name}",
        "strategy_sha256": user.source_sha256,
        "params": params,
    }


# -- THE GUIDE'S TABLE ---


def meanings() -> dict[tuple[str, str], str]:
    """(struct, field) -> the comment that stands beside it where it is declared."""
    found, struct = {}, ""
    for name in ("types", "signals", "strategy_abi"):
        for line in (ROOT / "fastcore" / f"{name}.pxd").read_text().splitlines():
            if head := re.match(r"cdef struct (\w+):", line):
                struct = head[1]
            elif field := re.match(r"    \w+ (\w+)(?:\[\w+\])?\s*(?:#\s*(.*))?$", line):
                found[struct, field[1]] = (field[2] or "").replace("|", "or")
    return found


def rows(struct: str, prefix: str) -> Iterator[str]:
    layout, said = abi_layout(), meanings()
    for name, c_type, _, size in layout[struct][1]:
        element = c_type.split()[0]
        if element == "SignalValues":
            yield from rows(element, f"{prefix}.{name}")
            continue
        kind = _KINDS.get(element, "whole")
        if c_type.endswith("]"):
            kind = f"{size // layout[element][0]} × {kind}"
        signal = signal_of(name) if struct == "SignalValues" else None
        text = "; ".join(filter(None, [said[struct, name], signal and f"signal `{signal}`"]))
        yield f"| `{prefix}.{name}` | {kind} | {text} |"


def view_table() -> str:
    """The guide's table of the view's fields."""
    parts = ["| field | kind | |", "|---|---|---|", *rows("View", "view")]
    for struct, what in (("Level", "a level"), ("OwnQuote", "an own quote")):
        parts += ["", f"Fields of {what}:", "", "| field | kind | |", "|---|---|---|"]
        parts += rows(struct, "")
    parts += ["", f"Version {CONSTANTS['VIEW_VERSION']}, {abi_layout()['View'][0]} bytes.", ""]
    return "\n".join(line.rstrip() for line in parts)


def with_table(guide: str) -> str:
    """`guide` with the table as it should be."""
    head, _, rest = guide.partition(BEGIN)
    return f"{head}{BEGIN}\n{view_table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    GUIDE.write_text(with_table(GUIDE.read_text()))
