"""A strategy's parameters, changed while it runs: checked in full first, all or none.

Parameters are the strategy's; limits are not to be changed by any command.
"""

import difflib
from typing import Any

from engine.config import Limits
from engine.errors import EXIT_USAGE, TickmakerError
from engine.execution import advice
from fastcore.core_config import params_of


def changed(
    core_config: dict[str, Any], params: dict[str, float], changes: Any, user: Any = None
) -> tuple[dict[str, float], list[float]]:
    """`params` with `changes`, by name and in the order of the ABI; TickmakerError if one is
    unknown or out of range."""
    if not isinstance(changes, dict) or not changes:
        raise _wrong("Expected parameters to set, as name=number")
    for name, value in changes.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(f"Expected {name} to be a number, was {value!r}")
    try:
        wanted = params | {name: float(value) for name, value in changes.items()}
        values = params_of(core_config, wanted, user)
        limits = Limits(**core_config["limits"])
        for problem in advice.problems_of_params(limits, wanted):
            raise _wrong(problem, "limits can't be changed while it runs; nothing was changed")
        return wanted, values
    except (ValueError, OverflowError) as error:
        near = [
            match for name in changes if name not in params
            for match in difflib.get_close_matches(name, params, n=1)
        ]  # fmt: skip
        raise _wrong(str(error), f"did you mean {near[0]}?" if near else "") from None


def _wrong(what: str, remedy: str = "") -> TickmakerError:
    return TickmakerError(f"params: {what}", remedy or "nothing was changed", EXIT_USAGE)
