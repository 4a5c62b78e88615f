"""JSON as the venue writes it: no spaces."""

import json
from typing import Any


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
