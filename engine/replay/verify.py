"""`tickmaker verify RUN`: feed a run's journaled inputs to a new core, and compare every record.

The new core writes a journal of its own; byte for byte it must be the recorded one: inputs,
orders as sent (their text, and a hash of their signature), order states, fills, halts,
samples. The first record that differs is named. Cores of one account share its ledger of sends and
exposure, so all journals of a run are replayed together, in the order of their records' numbers.

The journal holds no key. Where the run traded on the local exchange its keys are worthless
constants that the seed gives back, so signatures are checked too; otherwise the order text is, and
`signatures_checked` says false.
"""

import hashlib
import json
import re
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.replay.journals import Record, journal_segments, read_records, read_run
from engine.strategies import of_run
from fastcore.account import Account as Ledger
from fastcore.core import Core
from fastcore.journal import (
    INPUT_LAST,
    KIND,
    NAMES,
    OUT_HEADER,
    JournalError,
    JournalOrder,
    JournalWriter,
    read_segment,
    unpack,
)
from fastcore.types import Command, Verb

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

SCRATCH_SIZE = 4 << 20  # one input's records fit many times over
PROGRESS_EVERY = 2_000  # records between two progress calls


class _Different(Exception):
    """The first difference, as a sentence."""


def verify_run(
    run_dir: Path, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Result with `identical`, `orders` (place messages), `messages`, `sha256` of all message
    bytes in order, `signatures_checked`, `records`, `journals` (their names),
    `first_difference` (None or a sentence), and `cut_off`: of a run that was killed, what it was
    writing at that moment (None or a sentence).

    Raises TickmakerError when there is no journal to verify.
    """
    config = _config(run_dir)
    if config.get("kind") == "replay":
        raise TickmakerError(
            f"{run_dir} is a replay: its inputs are the tape's, and not journaled again",
            "Replay the tape again: the same tape and options give the same orders.",
            EXIT_USAGE,
        )
    journals = journal_segments(run_dir)
    replay = _Replays(run_dir, config, journals)
    difference = None
    torn: list[str] = []
    meter = _Meter(journals, progress)
    try:
        for key, record in read_run(journals, torn):
            replay.step(key, record)
            meter.on_record(key, record)
        torn += replay.finish(is_killed=bool(torn))
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
        "journals": list(journals),
        "first_difference": difference,
        "cut_off": "; ".join(torn) or None,
        "run_dir": str(run_dir),
    }


class _Meter:
    """How much of all journals is read; each counts for itself, they are read side by side."""

    def __init__(
        self, journals: dict[str, list[Path]], progress: Callable[[float], None] | None
    ) -> None:
        sizes = {key: [path.stat().st_size for path in paths] for key, paths in journals.items()}
        self._total = sum(sum(row) for row in sizes.values())
        self._before = {
            key: {path.name: sum(sizes[key][:index]) for index, path in enumerate(paths)}
            for key, paths in journals.items()
        }
        self._done = dict.fromkeys(journals, 0)
        self._progress = progress
        self._count = 0

    def on_record(self, key: str, record: Record) -> None:
        self._count += 1
        if self._progress is not None and self._count % PROGRESS_EVERY == 0:
            self._done[key] = self._before[key][Path(record.segment).name] + record.offset
            self._progress(min(1.0, sum(self._done.values()) / self._total))


def orders_sha256(run_dir: Path) -> str:
    """Of the text of all messages that a run sent, in order, its key blanked and unsigned."""
    digest = hashlib.sha256()
    for _, record in read_run(journal_segments(run_dir)):
        if record.kind == KIND["OUT"]:
            digest.update(record.payload[OUT_HEADER.size :])
    return digest.hexdigest()


class _Replays:
    """All cores of a run, fed together, because those of one account share its ledger."""

    def __init__(
        self, run_dir: Path, config: dict[str, Any], journals: dict[str, list[Path]]
    ) -> None:
        order = JournalOrder()
        ledgers: dict[str, Ledger] = {}
        self._all = {
            key: _Replay(run_dir, paths, _credential(config, key), order, ledgers, account_of(key))
            for key, paths in journals.items()
        }
        self.digest = hashlib.sha256()

    def step(self, key: str, record: Record) -> None:
        self._all[key].step(record, self.digest)

    def finish(self, *, is_killed: bool) -> list[str]:
        """What was cut off."""
        return [told for replay in self._all.values() for told in replay.finish(is_killed)]

    @property
    def orders(self) -> int:
        return sum(replay.orders for replay in self._all.values())

    @property
    def messages(self) -> int:
        return sum(replay.messages for replay in self._all.values())

    @property
    def records(self) -> int:
        return sum(replay.records for replay in self._all.values())

    @property
    def has_credential(self) -> bool:
        return all(replay.has_credential for replay in self._all.values())


class _Replay:
    """A second core, fed with recorded inputs, its records compared one by one."""

    def __init__(
        self,
        run_dir: Path,
        paths: list[Path],
        credential: tuple[bytes, bytes] | None,
        order: JournalOrder,
        ledgers: dict[str, Ledger],
        account: str,
    ) -> None:
        self._run_dir = run_dir
        self._paths = paths
        self._core: Core | None = None
        self._scratch = JournalWriter(bytearray(SCRATCH_SIZE), 0, order)
        self._expected: deque[Record] = deque()
        self._credential = credential
        self._ledgers = ledgers
        self._account = account
        self._is_shut_down = False
        self.has_credential = credential is not None
        self.orders = 0
        self.messages = 0
        self.records = 0

    def step(self, record: Record, digest: "Digest") -> None:
        """Compare one recorded record; feed it first when it is an input."""
        if record.kind <= INPUT_LAST:
            if record.kind == KIND["COMMAND"] and record.arg == Command.SHUTDOWN:
                self._is_shut_down = True
            if self._expected:
                raise _Different(f"{record}: the replay says {self._expected[0]} comes first")
            self._feed(record, digest)
        if not self._expected:
            raise _Different(f"{record}: the replay has no such record")
        self._compare(record, self._expected.popleft(), digest)
        self.records += 1

    def finish(self, is_killed: bool) -> list[str]:
        if self._core is None:
            raise _Different("the journal holds no record")
        if not self._expected:
            return []
        if self._is_shut_down and not is_killed:
            raise _Different(f"the journal ends before {self._expected[0]}")
        # Nobody told it to end: it was killed between an input and what followed from that.
        return [f"{len(self._expected)} records of the last input's were not written any more"]

    def _feed(self, record: Record, digest: "Digest") -> None:
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
            self._count(self._core, digest)

    def _start(self, record: Record) -> None:
        if record.kind != KIND["CONFIG"]:
            raise _Different(f"{record}: expected the configuration first")
        api_key, secret = self._credential or (b"x" * _key_size(self._paths), b"unknown")
        config = json.loads(record.payload)
        user = of_run(self._run_dir, config)
        try:
            ledger = self._ledgers.get(self._account) or Ledger(config["limits"])
            self._core = Core(config, api_key, secret, self._scratch, user, ledger)
        except (KeyError, ValueError) as e:
            raise _Different(f"{record}: {e}") from None
        self._ledgers[self._account] = ledger

    def _count(self, core: Core, digest: "Digest") -> None:
        for _, _, _, verb, data, _, _ in core.outgoing():
            self.messages += 1
            self.orders += verb == Verb.PLACE
            if self.has_credential:
                digest.update(data)

    def _compare(self, recorded: Record, replayed: Record, digest: "Digest") -> None:
        if recorded.kind == KIND["OUT"] and not self.has_credential:
            recorded, replayed = _unsigned(recorded), _unsigned(replayed)
            digest.update(recorded.payload[OUT_HEADER.size :])
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
    elif kind == KIND["KNOWN"]:
        core.known(struct.iter_unpack("<3q", payload), now_ns)
    elif kind == KIND["PARAMS"]:
        core.params(list(struct.unpack(f"<{len(payload) // 8}d", payload)), now_ns)
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
        elif kind == KIND["OPENING"]:
            core.opening(values["position_lots"], now_ns)
        elif kind == KIND["FILL_ROW"]:
            core.fill_row(**values, now_ns=now_ns)
        elif kind == KIND["QUERY"]:
            core.query(**values, now_ns=now_ns)
        elif kind == KIND["CONDITION"]:
            core.condition(values["bit"], bool(record.arg), now_ns)
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


def account_of(key: str) -> str:
    """Of the name of a journal's folder: account, venue and symbol, with dots between."""
    return key.split(".", 1)[0]


def _credential(config: dict[str, Any], key: str) -> tuple[bytes, bytes] | None:
    """The key of a journal's account where anybody may know it: the local exchange derives it
    from a seed."""
    credential = config.get("credential", {})
    for account in config.get("accounts", ()):
        if account["name"] == account_of(key):
            credential = account["credential"]
    if credential.get("kind") != "local_exchange":
        return None
    from engine.exchange.keys import derive_keys

    pair = derive_keys(int(credential["seed"]))[int(credential["account"])].keys[0]
    return pair.api_key.encode(), pair.secret.encode()


def _key_size(paths: list[Path]) -> int:
    """Length of the key that was used, from the first order's blanked one."""
    for path in paths:
        for record in read_records(path):
            if record.kind == KIND["OUT"]:
                found = re.search(rb'"apiKey":"(x+)"', record.payload)
                return len(found.group(1)) if found else 64
    return 64


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
