"""Users' strategies for tests: written as text, compiled as a file would be."""

import functools
import textwrap
from typing import Any

from fastcore.user import UserStrategy, load

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
