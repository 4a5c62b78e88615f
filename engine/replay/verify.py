"""`tickmaker verify RUN`: feed a run's journaled inputs to a new core, and compare every record.

The new core writes a journal of its own; byte for byte it must be the recorded one: inputs,
orders as sent (their text, and a hash of their signature), order states, fills, halts,
samples. The first record that differs is named.

The journal holds no key. Where the run traded on the local exchange its keys are worthless
constants that the seed gives back, so signatures are checked too; otherwise the order text is, and
`signatures_checked` says false.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import EXIT_USAGE, TickmakerError
from engine.strategies import of_run
from fastcore.core import Core
from fastcore.journal import (
    END_OF_SEGMENT,
    INPUT_LAST,
    KIND,
    NAMES,
    OUT_HEADER,
    JournalError,
    JournalWriter,
    read_segment,
    segment_header,
    unpack,
)
from fastcore.types import Verb

SCRATCH_SIZE = 4 << 20  # one input's records fit many times over
PROGRESS_EVERY = 2_000  # records between two progress calls


class Record(NamedTuple):
    """One journal record, and where it stands."""

    segment: str
    offset: int
    kind: int
    arg: int
    seq: int
    now_ns: int
    recv_ts_ns: int
    payload: bytes

    @property
    def words(self) -> tuple[int, int, int, int, int, bytes]:
        """What a replay must reproduce."""
        return self.kind, self.arg, self.seq, self.now_ns, self.recv_ts_ns, self.payload

    def __str__(self) -> str:
        name = NAMES.get(self.kind, str(self.kind))
        return f"record {self.seq} ({name}, {self.segment} offset {self.offset})"


class _Different(Exception):
    """The first difference, as a sentence."""


def verify_run(
    run_dir: Path, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Result with `identical`, `orders` (place messages), `messages`, `sha256` of all message
    bytes in order, `signatures_checked`, `records`, and `first_difference` (None or a sentence).

    Raises TickmakerError when there is no journal to verify.
    """
    config = _config(run_dir)
    if config.get("kind") == "replay":
        raise TickmakerError(
            f"{run_dir} is a replay: its inputs are the tape's, and not journaled again",
            "Replay the tape again: the same tape and options give the same orders.",
            EXIT_USAGE,
        )
    segments = journal_segments(run_dir)
    replay = _Replay(run_dir, config)
    difference = None
    total = sum(path.stat().st_size for path in segments)
    done = 0
    try:
        for path in _begun(segments):
            for record in read_records(path):
                replay.step(record)
                if progress is not None and record.seq % PROGRESS_EVERY == 0:
                    progress((done + record.offset) / total)
            done += path.stat().st_size
        replay.finish()
    except (_Different, JournalError) as e:
        difference = str(e)
    if progress is not None:
        progress(1.0)
    return {
        "identical": difference is None,
        "orders": replay.orders,
        "messages": replay.messages,
        "sha256": replay.digest.hexdigest(),
        "signatures_checked": replay.has_credential,
        "records": replay.records,
        "first_difference": difference,
        "run_dir": str(run_dir),
    }


def orders_sha256(run_dir: Path) -> str:
    """Of the text of all messages that a run sent, in order, its key blanked and unsigned."""
    digest = hashlib.sha256()
    for path in _begun(journal_segments(run_dir)):
        for record in read_records(path):
            if record.kind == KIND["OUT"]:
                digest.update(record.payload[OUT_HEADER.size :])
    return digest.hexdigest()


def journal_segments(run_dir: Path) -> list[Path]:
    """The run's journal files in order; TickmakerError when there are none, or one is missing."""
    folder = run_dir / "journal"
    paths = sorted(folder.glob("*.jnl"))
    if not paths:
        raise TickmakerError(
            f"No journal in {run_dir}",
            "Give the folder of a run: `tickmaker demo` prints its path.",
            EXIT_USAGE,
        )
    for index, path in enumerate(paths):
        if path.name != f"{index:06d}.jnl":
            raise TickmakerError(
                f"Journal segment {index:06d}.jnl is missing in {folder}",
                "A run can only be verified whole: restore the file.",
            )
    return paths


def _begun(segments: list[Path]) -> list[Path]:
    """Without a last segment that a killed writer had made ready and not begun: all zeros."""
    with segments[-1].open("rb") as last:
        while chunk := last.read(1 << 20):
            if chunk.strip(b"\0"):
                return segments
    return segments[:-1]


def _must_go_on(path: Path) -> None:
    """A segment that says it is full has a successor."""
    successor = path.with_name(f"{int(path.stem) + 1:06d}.jnl")
    if not successor.exists():
        raise JournalError(f"{path.name} goes on in {successor.name}, which is missing")


def read_records(path: Path) -> Iterator[Record]:
    """Records of one segment; JournalError for damage, bytes after the last record included."""
    data = path.read_bytes()
    name = path.name
    try:
        index, first_seq, _ = segment_header(data)
        if name != f"{index:06d}.jnl":
            raise JournalError(f"is segment {index} by its header")
        end = 64
        for offset, kind, arg, seq, now_ns, recv_ts_ns, payload in read_segment(data):
            if kind == END_OF_SEGMENT:
                end = offset + 8
                _must_go_on(path)
                break
            end = offset + 40 + (len(payload) + 7) // 8 * 8
            if offset == 64 and seq != first_seq:
                raise JournalError(f"offset 64: expected record {first_seq}, was {seq}")
            yield Record(name, offset, kind, arg, seq, now_ns, recv_ts_ns, bytes(payload))
    except JournalError as e:
        raise JournalError(f"{name}: {e}") from None
    if data[end:].strip(b"\0"):
        raise JournalError(f"{name}: offset {end}: bytes after the last whole record")


class _Replay:
    """A second core, fed with recorded inputs, its records compared one by one."""

    def __init__(self, run_dir: Path, config: dict[str, Any]) -> None:
        self._run_dir = run_dir
        self._core: Core | None = None
        self._scratch = JournalWriter(bytearray(SCRATCH_SIZE))
        self._expected: deque[Record] = deque()
        self._credential = _credential(config)
        self.has_credential = self._credential is not None
        self.orders = 0
        self.messages = 0
        self.records = 0
        self.digest = hashlib.sha256()

    def step(self, record: Record) -> None:
        """Compare one recorded record; feed it first when it is an input."""
        if record.kind <= INPUT_LAST:
            if self._expected:
                raise _Different(f"{record}: the replay says {self._expected[0]} comes first")
            self._feed(record)
        if not self._expected:
            raise _Different(f"{record}: the replay has no such record")
        self._compare(record, self._expected.popleft())
        self.records += 1

    def finish(self) -> None:
        if self._core is None:
            raise _Different("the journal holds no record")
        if self._expected:
            raise _Different(f"the journal ends before {self._expected[0]}")

    def _feed(self, record: Record) -> None:
        if self._core is None:
            self._start(record)
        else:
            self._scratch.rewind()
            _apply(self._core, record)
        self._expected.extend(
            Record("replay", offset, kind, arg, seq, now_ns, recv_ts_ns, bytes(payload))
            for offset, kind, arg, seq, now_ns, recv_ts_ns, payload in read_segment(
                self._scratch.current()
            )
        )
        if self._core is not None and record.kind != KIND["SEND"]:
            self._count(self._core)

    def _start(self, record: Record) -> None:
        if record.kind != KIND["CONFIG"]:
            raise _Different(f"{record}: expected the configuration first")
        api_key, secret = self._credential or (b"x" * _key_size(self._run_dir), b"unknown")
        config = json.loads(record.payload)
        user = of_run(self._run_dir, config)
        try:
            self._core = Core(config, api_key, secret, self._scratch, user)
        except ValueError as e:
            raise _Different(f"{record}: {e}") from None

    def _count(self, core: Core) -> None:
        for _, _, _, verb, data, _, _ in core.outgoing():
            self.messages += 1
            self.orders += verb == Verb.PLACE
            if self.has_credential:
                self.digest.update(data)

    def _compare(self, recorded: Record, replayed: Record) -> None:
        if recorded.kind == KIND["OUT"] and not self.has_credential:
            recorded, replayed = _unsigned(recorded), _unsigned(replayed)
            self.digest.update(recorded.payload[OUT_HEADER.size :])
        if recorded.words == replayed.words:
            return
        if recorded.kind != replayed.kind:
            raise _Different(f"{recorded}: the replay gives {NAMES.get(replayed.kind)}")
        names = ("kind", "arg", "seq", "now_ns", "recv_ts_ns", "payload")
        for name, was, now in zip(names, recorded.words, replayed.words, strict=True):
            if was != now:
                raise _Different(f"{recorded}: {name} was {_short(was)}, replayed {_short(now)}")


def _apply(core: Core, record: Record) -> None:
    """Give one recorded input to the core."""
    kind, now_ns, payload = record.kind, record.now_ns, record.payload
    if kind == KIND["FRAME"]:
        core.frame(record.arg, payload, record.recv_ts_ns, now_ns)
    elif kind == KIND["SNAPSHOT"]:
        core.snapshot(payload, now_ns)
    elif kind == KIND["TIMER"]:
        core.timer(now_ns)
    elif kind == KIND["COMMAND"]:
        core.command(record.arg, now_ns)
    else:
        values = unpack(kind, payload)
        if kind == KIND["SEND"]:
            core.send(values["out_seq"], record.arg, values["begin_ns"], values["end_ns"], now_ns)
        elif kind == KIND["CLOCK"]:
            core.clock(values["utc_minus_monotonic_ns"], now_ns)
        elif kind == KIND["CONN"]:
            core.conn(record.arg, bool(values["up"]), now_ns)
        elif kind == KIND["ACCOUNT"]:
            core.account(values["position_lots"], values["open_orders"], now_ns)
        elif kind == KIND["REFERENCE"]:
            core.reference(
                (values["bid_px_ticks"], values["bid_qty_lots"]),
                (values["ask_px_ticks"], values["ask_qty_lots"]),
                values["position_lots"],
                values["open_lots"],
                now_ns,
            )
        elif kind == KIND["HEDGE"]:
            core.take(
                values["side"], values["px_ticks"], values["qty_lots"], values["reason"], now_ns
            )
        else:
            raise _Different(f"{record}: an input that this version does not know")


def _unsigned(record: Record) -> Record:
    """The record without the signature's hash (the key is not ours to know)."""
    out_seq, intent, conn, deadline_ns, _ = OUT_HEADER.unpack_from(record.payload)
    head = OUT_HEADER.pack(out_seq, intent, conn, deadline_ns, 0)
    return record._replace(payload=head + record.payload[OUT_HEADER.size :])


def _config(run_dir: Path) -> dict[str, Any]:
    """config.json of a run; empty when there is none: the journal alone can be verified too."""
    try:
        config = json.loads((run_dir / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _credential(config: dict[str, Any]) -> tuple[bytes, bytes] | None:
    """The run's key where anybody may know it: the local exchange derives it from a seed."""
    credential = config.get("credential", {})
    if credential.get("kind") != "local_exchange":
        return None
    from engine.exchange.keys import derive_keys

    pair = derive_keys(int(credential["seed"]))[int(credential["account"])].keys[0]
    return pair.api_key.encode(), pair.secret.encode()


def _key_size(run_dir: Path) -> int:
    """Length of the key that was used, from the first order's blanked one."""
    for path in journal_segments(run_dir):
        for record in read_records(path):
            if record.kind == KIND["OUT"]:
                found = re.search(rb'"apiKey":"(x+)"', record.payload)
                return len(found.group(1)) if found else 64
    return 64


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
