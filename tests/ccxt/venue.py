"""A real exchange process, started with the project's interpreter, and its operator's port.

TICKMAKER_PYTHON  the project's interpreter; .venv's when not set.
"""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("TICKMAKER_ROOT", Path(__file__).resolve().parent.parent.parent))
PYTHON = os.environ.get("TICKMAKER_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Keys:
    api_key: str
    secret: str


@dataclass(frozen=True)
class Venue:
    """`ready`: the line that the exchange prints."""

    ready: dict[str, Any]

    @property
    def rest(self) -> str:
        return str(self.ready["rest_url"])

    @property
    def ws(self) -> str:
        """Scheme, host and port of the streams."""
        one = next(iter(self.ready["ws_url"].values()))
        return "/".join(str(one).split("/")[:3])

    def keys(self, account: int, which: int = 0) -> Keys:
        return Keys(**self.ready["accounts"][account]["keys"][which])

    @property
    def management(self) -> Keys:
        return Keys(**self.ready["management"])

    def admin(self, target: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.ready["admin_url"] + target, data, PATIENCE_S) as answer:
            return json.load(answer)

    @contextmanager
    def still(self, key: str) -> Iterator[None]:
        """The instrument is halted meanwhile: its book doesn't move."""
        self.admin("/command", {"command": "SetState", "symbol": key, "state": "HALTED"})
        try:
            yield
        finally:
            self.admin("/command", {"command": "SetState", "symbol": key, "state": "TRADING"})


@contextmanager
def exchange(venue: str, *arguments: str, log_errors: int = 0) -> Iterator[Venue]:
    """A running exchange. It must end well, with no bug of its own counted and only so many
    errors logged as are provoked. Its log goes to a file: a pipe that nobody reads fills up, and
    the exchange would wait for its reader."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "engine.exchange", "--venue", venue, "--seed", "7", "--json",
             *arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        )  # fmt: skip

        def said() -> str:
            log.seek(0)
            return log.read()[-4000:]

        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, f"the exchange did not start: {said()}"
            running = Venue(json.loads(line))
            yield running
            counters = running.admin("/health")["counters"]
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)
        assert (counters["bugs"], counters["log_errors"]) == (0, log_errors), said()
        assert process.returncode == 0, said()


def until(what: str, ask: Any, patience_s: float = 10.0) -> Any:
    """The first answer of `ask` that is not empty."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {patience_s:g} s for {what}")
