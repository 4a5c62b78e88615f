"""Results as files."""

import json
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError


def write(result: dict[str, Any], out: Path) -> None:
    """Write `result` to `out`; TickmakerError where that can't be done."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise TickmakerError(
            f"{out}: can't be written: {error.strerror}", "give another --out"
        ) from None
