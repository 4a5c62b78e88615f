"""The config section `quoting`, checked where the diff is made."""

import difflib
from typing import Any

SETTINGS = ("requote_ticks", "requote_ms", "modify", "messages_per_s_max")
MESSAGES_MAX = 100_000


def check_quoting(quoting: dict[str, Any]) -> None:
    """ValueError naming the key that is missing, unknown or out of range."""
    for key in quoting:
        if key not in SETTINGS:
            near = difflib.get_close_matches(str(key), SETTINGS, n=1)
            hint = f"; did you mean quoting.{near[0]}?" if near else ""
            raise ValueError(f"Unknown key quoting.{key}{hint}")
    for key in SETTINGS:
        if key not in quoting:
            raise ValueError(f"quoting.{key} is required")
        value = quoting[key]
        if key == "modify":
            if not isinstance(value, bool):
                raise ValueError(f"Expected quoting.modify to be true or false, was {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"Expected quoting.{key} to be a whole number >= 0, was {value!r}")
    if not 1 <= quoting["messages_per_s_max"] <= MESSAGES_MAX:
        raise ValueError(
            f"Expected quoting.messages_per_s_max 1..{MESSAGES_MAX}, was "
            f"{quoting['messages_per_s_max']!r}"
        )
