"""Where a drill happens: an exchange, and `tickmaker run` on it, as processes of a user's.

Everything is done and seen from outside: the command line, signals, the exchange's operator's
port, the engine's lines on standard output, the files that it leaves.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = os.environ.get("TICKMAKER_PYTHON", sys.executable)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PATIENCE_S = 30.0
LOOK_S = 0.1  # each look at the truth costs the exchange time, too
OURS = re.compile(r"tm[0-9a-f]{8}-[0-9a-f]{2}-[0-9a-f]{12}")  # client ids of an engine's
T = TypeVar("T")


def is_ours(client_id: str) -> bool:
    return OURS.fullmatch(client_id) is not None


def until(what: str, ask: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The first answer of `ask` that is not empty."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(LOOK_S)
    raise AssertionError(f"waited {patience_s:g} s for {what}")


# -- THE EXCHANGE ---


@dataclass(frozen=True)
class Place:
    """A venue of the drills: its example, and what is traded there."""

    venue: str
    example: str
    symbols: str
    book: str  # the instrument's key at the exchange
    has_dead_man: bool
    is_spot: bool = False

    @property
    def is_bybit(self) -> bool:
        return self.venue == "bybit"


PLACES = {
    place.venue: place
    for place in (
        Place("binance_usdm", "local_binance_usdm.toml", "BTCUSDT", "BTCUSDT", True),
        Place("binance_spot", "local_binance_spot.toml", "BTCUSDT", "BTCUSDT", False, True),
        Place("bybit", "local_bybit.toml", "linear/BTCUSDT", "linear/BTCUSDT", True),
    )
}


class Exchange:
    """A running exchange; `restart` after `kill` takes the same ports."""

    def __init__(self, place: Place, folder: Path, *arguments: str) -> None:
        self.place = place
        self.ready: dict[str, Any] = {}
        self._arguments = arguments
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        ports = []
        if self.ready:
            for name, url in (("rest", self.ready["rest_url"]), ("ws", self._ws_host())):
                ports += [f"--{name}-port", url.rpartition(":")[2]]
        with (self._folder / "exchange.log").open("a") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", "engine.exchange", "--venue", self.place.venue,
                 "--symbols", self.place.symbols, "--seed", "7", "--json", *ports,
                 *self._arguments],
                cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=log, text=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self._folder / "exchange.log").read_text()[-2000:]
        self.ready = json.loads(line)
        (self._folder / "exchange.json").write_text(line)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        """In order; a bug of the exchange's own ends the drill, too."""
        if self._process is None or self._process.poll() is not None:
            return
        counters = self.admin("/health")["counters"]
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_S)
        assert counters["bugs"] == 0, (self._folder / "exchange.log").read_text()[-2000:]

    def _ws_host(self) -> str:
        return "/".join(str(next(iter(self.ready["ws_url"].values()))).split("/")[:3])

    # -- THE OPERATOR'S PORT ---

    def admin(self, target: str, body: Mapping[str, Any] | None = None) -> Any:
        return json.loads(self._ask(target, body))

    def _ask(self, target: str, body: Mapping[str, Any] | None = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        url = self.ready["admin_url"] + target
        try:
            with urllib.request.urlopen(url, data, 3 * PATIENCE_S) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{target} {body}: {error.read().decode()}") from None

    def fault(self, kind: str, **fields: Any) -> None:
        """`for_` is the field `for`."""
        self.admin("/fault", {"kind": kind} | {k.rstrip("_"): v for k, v in fields.items()})

    def command(self, command: str, **fields: Any) -> None:
        self.admin("/command", {"command": command, **fields})

    def truth(self, after: int = -1) -> list[dict[str, Any]]:
        """What happened, all of it."""
        rows: list[dict[str, Any]] = []
        while more := self._ask(f"/truth?after={after}").splitlines():
            rows += map(json.loads, more)
            after = rows[-1]["number"]
        return rows

    @property
    def length(self) -> int:
        """Of the truth log."""
        return int(self.admin("/state")["truth_length"])

    def account(self, index: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.admin("/state")["accounts"][index]
        return found

    def open_orders(self, index: int = 0) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.account(index)["open_orders"]
        return rows

    def hits(self) -> dict[str, int]:
        found: dict[str, int] = self.admin("/faults")["hits"]
        return found

    def mid_ticks(self) -> int:
        touch = self.admin("/state")["markets"][self.place.book]["touch"]
        return int(touch["bid"] + touch["ask"]) // 2


# -- THE ENGINE ---


class Engine:
    """`tickmaker run CONFIG --json`, as a person's shell would start it."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self.said = ""  # to people
        self._process = subprocess.Popen(
            [PYTHON, "-m", "engine.cli", "run", str(config), "--json", *arguments],
            cwd=config.parent, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_said, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def _read_said(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said += line

    # -- WHAT IT SAYS ---

    @property
    def mark(self) -> int:
        """Lines from here on are new."""
        return len(self.lines)

    def events(self, event: str, since: int = 0) -> list[dict[str, Any]]:
        return [line for line in self.lines[since:] if line.get("event") == event]

    def wait(
        self, event: str, since: int = 0, patience_s: float = PATIENCE_S, **fields: Any
    ) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for line in self.events(event, since):
                if all(line.get(name) == value for name, value in fields.items()):
                    return line
            if not self.is_alive:
                raise AssertionError(f"it ended before {event} {fields}: {self.tail()}")
            return None

        try:
            return until(f"{event} {fields}", found, patience_s)  # type: ignore[return-value]
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.tail()}") from None

    def tail(self) -> str:
        told = "\n".join(json.dumps(line)[:400] for line in self.lines[-25:])
        return f"\n{told}\n{self.said[-1500:]}"

    @property
    def state(self) -> list[str] | None:
        """The last that was told; None: nothing yet."""
        told = self.events("state")
        return told[-1]["state"] if told else None

    def aside(self, reason: str, since: int, patience_s: float = PATIENCE_S) -> None:
        """Wait until it stood aside for that reason."""

        def found() -> bool:
            return any(reason in line["state"] for line in self.events("state", since))

        try:
            until(f"standing aside for {reason}", found, patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.tail()}") from None

    # -- ITS PROCESSES ---

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def run_dir(self) -> Path:
        def found() -> Path | None:
            named = re.search(r"^run folder +(.+)$", self.said, re.M)
            return Path(named[1]) if named else None

        return until("the run folder's name", found)  # type: ignore[return-value]

    def pid_of(self, module: str) -> int:
        """Of the child that runs it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for child in children.read_text().split():
            if f"engine.{module}" in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
                return int(child)
        raise AssertionError(f"no {module} among its children")

    def send(self, number: signal.Signals, module: str = "session") -> None:
        os.kill(self.pid_of(module), number)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ended(self, patience_s: float = 60.0) -> int:
        """Wait for its end; the exit code."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end: {self.tail()}") from None
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return code

    def stop(self, code: int | None = 0) -> None:
        """Ctrl-C, and the ordered shutdown."""
        self.interrupt()
        found = self.ended()
        assert code is None or found == code, f"exit code {found}: {self.tail()}"

    def end(self) -> None:
        """Whatever is left of a drill that failed."""
        if self.is_alive:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            pids = [int(pid) for pid in children.read_text().split()]
            for pid in [*pids, self._process.pid]:
                for number in (signal.SIGCONT, signal.SIGKILL):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        break
        self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


# -- BOTH ---


@dataclass
class Field:
    place: Place
    folder: Path
    exchange: Exchange
    engines: list[Engine] = field(default_factory=list)

    def config(self, name: str = "drill.toml", **changes: str) -> Path:
        """The place's example, at this exchange; `changes`: TOML values by key, wherever the key
        stands."""
        text = (ROOT / "deploy" / "examples" / self.place.example).read_text()
        if self.place.is_bybit:  # the first instrument alone
            first = text.index("[[instrument]]")
            text = text[: text.index("[[instrument]]", first + 1)]
        rest, ws = self.exchange.ready["rest_url"], self.exchange._ws_host()
        text = re.sub(r"http://127\.0\.0\.1:\d+", rest, text)
        text = re.sub(r"ws://127\.0\.0\.1:\d+", ws, text)
        text = re.sub(r'exchange_json = "[^"]+"', 'exchange_json = "exchange.json"', text)
        text = re.sub(r'^name = "local', 'name = "drill', text, flags=re.M)
        if self.place.is_bybit:  # a switch set anew keeps quotes back for ten seconds
            changes = {"dead_man_s": "0"} | changes
        for key, value in changes.items():
            text, count = re.subn(rf"(?m)^({key} = )[^#\n]*", rf"\g<1>{value}  ", text)
            assert count, f"no {key} in {self.place.example}"
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, *arguments: str, config: Path | None = None, **changes: str) -> Engine:
        """An engine that has begun; see `quoting`."""
        engine = Engine(config or self.config(**changes), *arguments)
        self.engines.append(engine)
        return engine

    def run(self, *arguments: str, **changes: str) -> Engine:
        """An engine that trades: quotes rest, and some were filled."""
        engine = self.start(*arguments, **changes)
        engine.wait("started")
        self.quoting(engine)
        self.fills(2)
        return engine

    def quoting(self, engine: Engine, after: int = -1, patience_s: float = PATIENCE_S) -> None:
        """Wait for a new order at the venue, placed after that record of the truth, of an engine
        that says nothing keeps it from quoting."""

        def placed() -> bool:
            if not engine.is_alive:
                raise AssertionError(f"it ended: {engine.tail()}")
            if engine.state != []:
                return False
            return any(
                row["kind"] == "order" and row["exec_type"] == "NEW" and row["account"] == 0
                and is_ours(row["client_order_id"])
                for row in self.exchange.truth(after)
            )  # fmt: skip

        try:
            until("a new quote", placed, patience_s)
        except AssertionError as error:
            state = self.exchange.admin("/state")
            venue = {name: state[name] for name in ("accounts", "markets", "faults_live")}
            raise AssertionError(f"{error}: {engine.tail()}\n{venue}") from None

    def again(self, engine: Engine, patience_s: float = PATIENCE_S) -> None:
        """It quotes, from now on."""
        self.quoting(engine, self.exchange.length - 1, patience_s)

    def fills(self, count: int, after: int = -1, patience_s: float = PATIENCE_S) -> None:
        """Wait for so many more fills on the account."""

        def happened() -> bool:
            rows = self.exchange.truth(after)
            return sum(row["kind"] == "fill" and row["account"] == 0 for row in rows) >= count

        until(f"{count} fills", happened, patience_s)

    def sweep(self, ticks: int = 60) -> None:
        """The market jumps through what rests and comes back: whatever quotes, is filled."""
        for sign in (1, -1):
            self.exchange.command(
                "Shock", symbol=self.place.book, ticks=sign * ticks, for_ns=300_000_000
            )
            time.sleep(0.4)

    def tell(self, do: str, engine: Engine, *words: str) -> tuple[int, str]:
        """`tickmaker halt|resume|params RUN ...`: (exit code, all it said)."""
        done = subprocess.run(
            [PYTHON, "-m", "engine.cli", do, str(engine.run_dir), *words],
            cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@contextmanager
def field_of(place: Place, folder: Path, *arguments: str) -> Iterator[Field]:
    exchange = Exchange(place, folder, *arguments)
    found = Field(place, folder, exchange)
    try:
        exchange.start()
        yield found
        exchange.stop()
    finally:
        for engine in found.engines:
            engine.end()
        exchange.kill()
