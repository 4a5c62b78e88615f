"""Journal records → rows of the ledger; no I/O. One Projector a journal, one Batch a transaction.

Rows wait by statement, so that SQLite is called once a table and transaction. No statement reads
what a later one in STATEMENTS writes; rows of one statement keep their order.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.errors import TickmakerError
from engine.recorder.tail import Position, Record
from fastcore.core_config import client_prefix
from fastcore.gate import CODES
from fastcore.journal import FIELDS, INPUT_LAST, KIND, NAMES, OUT_HEADER, JournalError
from fastcore.strategy_table import BUILTINS
from fastcore.types import Conn, FillOwner, FillVia, Halt, SendOutcome

Values = tuple[Any, ...]

# Tables whose rows are a record's fields, as they are, behind seq, core and ts_ns.
_TABLE_OF = {
    "FILL": "fills", "BOOK": "book_events", "QUERY": "queries",
    "OPENING": "openings",
}  # fmt: skip
_STATE_COLUMNS = (
    "key", "core", "segment", "offset", "next_seq", "records", "first_ts_ns", "last_ts_ns",
    "cause_seq", "cause_kind", "cause_arg", "position_lots", "frames_market", "frames_trade",
    "frames_user", "snapshots", "samples",
)  # fmt: skip
# Of a core's samples (ten a second) every n-th is kept, by how many there were: a year of them
# would be most of the ledger, and no plot shows more.
_SAMPLES_KEPT = ((36_000, 1), (3_456_000, 10))
_SAMPLES_KEPT_LATER = 100
_FRAME_COUNTERS = {
    int(Conn.MARKET): "frames_market",
    int(Conn.TRADE): "frames_trade",
    int(Conn.USER): "frames_user",
}
_CAUSES = {
    FillOwner.RUN: "fill",
    FillOwner.EARLIER: "fill of an earlier run's order",
    FillOwner.STRANGER: "fill of a stranger's order",
}


def _insert(table: str, *columns: str) -> str:
    marks = ",".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def _insert_row(table: str, kind: str) -> str:
    return _insert(table, "seq", "core", "ts_ns", *FIELDS[KIND[kind]])


_ORDER = FIELDS[KIND["ORDER"]]
_SEND_COLUMNS = (
    "seq", "core", "ts_ns", "out_seq", "intent_id", "verb", "conn", "cause_seq", "cause_kind",
    "cause_arg", "cause_ts_ns", "deadline_ns", "signature_hash", "message",
)  # fmt: skip
_INSTRUMENT_COLUMNS = (
    "core", "key", "account", "venue", "symbol", "base", "quote", "tick", "lot", "tick_units",
    "tick_decimals", "tick_pow", "lot_units", "lot_decimals", "lot_pow", "client_prefix",
    "strategy", "config", "config_sha256", "limits_sha256", "wall_minus_monotonic_ns",
)  # fmt: skip
INSTRUMENT = _insert("instruments", *_INSTRUMENT_COLUMNS).replace("INSERT", "INSERT OR REPLACE", 1)
ORDER = (
    f"{_insert('orders', 'core', 'first_ts_ns', 'last_ts_ns', *_ORDER)} "
    "ON CONFLICT (intent_id) DO UPDATE SET last_ts_ns = excluded.last_ts_ns, "
    + ", ".join(f"{name} = excluded.{name}" for name in _ORDER if name != "intent_id")
)
ORDER_EVENT = _insert(
    "order_events", "seq", "core", "ts_ns", "cause_seq", "cause_kind", *_ORDER
)
OUT = _insert("sends", *_SEND_COLUMNS)
SENT = """UPDATE sends SET outcome = ?3, begin_ns = ?4, end_ns = ?5,
tick_to_order_ns = CASE WHEN ?3 = ?6 AND cause_ts_ns > 0 THEN ?5 - cause_ts_ns END
WHERE core = ?1 AND out_seq = ?2"""
POSITION = _insert(
    "positions", "seq", "core", "ts_ns", "position_lots", "change_lots", "cause", "trade_id"
)
SAMPLE = _insert_row("samples", "SAMPLE")
LAST_SAMPLE = _insert_row("last_samples", "SAMPLE").replace("INSERT", "INSERT OR REPLACE", 1)
PARAMS = _insert("params", "seq", "core", "ts_ns", "params")
CONDITION = _insert("conditions", "seq", "core", "ts_ns", "bit", "name", "is_on")
STATE = _insert("states", "seq", "core", "ts_ns", "old_bits", "new_bits", "reasons")
DENY = _insert(
    "denies", "seq", "core", "ts_ns", "intent_id", "code", "name", "side", "px_ticks", "qty_lots"
)
SESSION = _insert("session_events", "seq", "core", "ts_ns", "kind", "arg", "value")
EVENT = _insert("engine_events", "seq", "ts_ns", "kind", "account", "core", "text", "detail")
BALANCE = _insert("balances", "seq", "ts_ns", "account", "asset", "total_e8")
JOURNAL = _insert("journals", *_STATE_COLUMNS).replace("INSERT", "INSERT OR REPLACE", 1)
_ROWS = {KIND[kind]: _insert_row(table, kind) for kind, table in _TABLE_OF.items()}
STATEMENTS = (
    INSTRUMENT, ORDER, ORDER_EVENT, OUT, SENT, *_ROWS.values(), POSITION, PARAMS, CONDITION,
    STATE, DENY, SESSION, SAMPLE, LAST_SAMPLE, EVENT, BALANCE, JOURNAL,
)  # fmt: skip
_SEND = KIND["SEND"]
_ROW = {kind: struct.Struct(f"<{len(names)}q") for kind, names in FIELDS.items()}


class Batch:
    """What the next transaction writes."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Values]] = {statement: [] for statement in STATEMENTS}


@dataclass(slots=True)
class State:
    """How far one journal is projected: its row of `journals`."""

    key: str
    core: int | None = None
    segment: int = Position().segment
    offset: int = Position().offset
    next_seq: int = 0
    records: int = 0
    first_ts_ns: int = 0
    last_ts_ns: int = 0
    cause_seq: int = -1
    cause_kind: int = 0
    cause_arg: int = 0
    position_lots: int = 0
    frames_market: int = 0
    frames_trade: int = 0
    frames_user: int = 0
    snapshots: int = 0
    samples: int = 0

    @property
    def position(self) -> Position:
        """Where projecting goes on."""
        return Position(self.segment, self.offset, self.next_seq)


class Projector:
    """Makes rows of one journal's records, in order. A record that fails leaves no row."""

    def __init__(
        self, state: State, keys: dict[int, str], param_names: tuple[str, ...] = ()
    ) -> None:
        self.state = state
        self.wall_minus_monotonic_ns = 0
        self._keys = keys  # of the run, by core; shared
        self._core = state.core or 0
        self._last_sample: Values | None = None  # of this batch
        self._param_names = param_names
        self._rows: dict[str, list[Values]] = {}
        self._actions: dict[int, Callable[[Record], None]] = {
            KIND["CONFIG"]: self._on_config,
            KIND["FRAME"]: self._on_frame,
            KIND["SNAPSHOT"]: self._on_snapshot,
            KIND["SEND"]: self._on_send,
            KIND["COMMAND"]: self._on_session,
            KIND["CONN"]: self._on_session,
            KIND["CLOCK"]: self._on_session,
            KIND["ACCOUNT"]: self._on_session,
            KIND["OPENING"]: self._on_opening,
            KIND["QUERY"]: self._on_row,
            KIND["PARAMS"]: self._on_params,
            KIND["CONDITION"]: self._on_condition,
            KIND["OUT"]: self._on_out,
            KIND["ORDER"]: self._on_order,
            KIND["FILL"]: self._on_fill,
            KIND["STATE"]: self._on_state,
            KIND["SAMPLE"]: self._on_sample,
            KIND["DENY"]: self._on_deny,
            KIND["BOOK"]: self._on_row,
        }

    def into(self, batch: Batch) -> None:
        """Rows go there from now on."""
        self._rows = batch.rows
        self._last_sample = None

    def finish(self, at: Position) -> None:
        """The journal's own row, beside what its records gave; of its samples the last one."""
        if self._last_sample is not None:
            self._rows[LAST_SAMPLE].append(self._last_sample)
        state = self.state
        state.segment, state.offset, state.next_seq = at
        self._rows[JOURNAL].append(tuple(asdict(state)[name] for name in _STATE_COLUMNS))

    def take(self, record: Record) -> None:
        """One record; TickmakerError when it can't be read."""
        kind, state = record.kind, self.state
        action = self._actions.get(kind)
        if kind <= INPUT_LAST and kind != _SEND:  # a send causes no output
            state.cause_seq = record.seq
            state.cause_kind = kind
            state.cause_arg = record.arg
        if action is not None:
            try:
                action(record)
            except (JournalError, ValueError, LookupError, struct.error) as error:
                raise TickmakerError(
                    f"journal record {record.seq} ({NAMES.get(record.kind, record.kind)}) of "
                    f"{state.key} can't be read: {error}",
                    "it was written by another version of tickmaker; use that one's recorder",
                ) from error
        if not state.first_ts_ns:
            state.first_ts_ns = record.now_ns
        state.last_ts_ns = record.now_ns
        state.records += 1

    # -- one method a kind; each reads all of the record before it adds the first row ---

    def _on_config(self, record: Record) -> None:
        text = bytes(record.payload).decode()
        config = json.loads(text)
        config = config.get("core", config)
        number = int(config.get("number", 0))
        try:
            row = _instrument(self.state.key, number, config, text)
        except (KeyError, InvalidOperation) as error:
            raise ValueError(f"no usable {error} in the configuration") from error
        if self._keys.setdefault(number, self.state.key) != self.state.key:
            raise ValueError(f"core {number} is {self._keys[number]} already")
        self._rows[INSTRUMENT].append((*row, self.wall_minus_monotonic_ns))
        self.state.core = self._core = number
        self._param_names = param_names_of(config)

    def _on_frame(self, record: Record) -> None:
        name = _FRAME_COUNTERS[record.arg]
        setattr(self.state, name, getattr(self.state, name) + 1)

    def _on_snapshot(self, record: Record) -> None:
        self.state.snapshots += 1

    def _on_session(self, record: Record) -> None:
        value = _ROW[record.kind].unpack(record.payload)[0] if record.payload else None
        self._rows[SESSION].append(
            (record.seq, self._core, record.now_ns, NAMES[record.kind], record.arg, value)
        )

    def _on_row(self, record: Record) -> None:
        values = _ROW[record.kind].unpack(record.payload)
        self._rows[_ROWS[record.kind]].append((record.seq, self._core, record.now_ns, *values))

    def _on_sample(self, record: Record) -> None:
        row = (record.seq, self._core, record.now_ns, *_ROW[record.kind].unpack(record.payload))
        count = self.state.samples
        every = _SAMPLES_KEPT_LATER
        for below, one in _SAMPLES_KEPT:
            if count < below:
                every = one
                break
        if count % every == 0:
            self._rows[SAMPLE].append(row)
        self._last_sample = row
        self.state.samples = count + 1

    def _on_opening(self, record: Record) -> None:
        self._on_row(record)
        (position_lots,) = _ROW[record.kind].unpack(record.payload)
        self._move(record, position_lots, "opening", None)

    def _on_fill(self, record: Record) -> None:
        row = dict(zip(FIELDS[record.kind], _ROW[record.kind].unpack(record.payload), strict=True))
        cause = _CAUSES[FillOwner(row["owner"])]
        if row["via"] == FillVia.REST:
            cause += ", found by REST"
        self._on_row(record)
        # The core's word; opening and fills add up to it (tests, and the report's own sum).
        self._move(record, row["position_after_lots"], cause, row["trade_id"])

    def _move(self, record: Record, position_lots: int, cause: str, trade_id: int | None) -> None:
        change = position_lots - self.state.position_lots
        self._rows[POSITION].append(
            (record.seq, self._core, record.now_ns, position_lots, change, cause, trade_id)
        )
        self.state.position_lots = position_lots

    def _on_params(self, record: Record) -> None:
        values = struct.unpack(f"<{len(record.payload) // 8}d", record.payload)
        names = [*self._param_names, *(f"param_{n}" for n in range(len(values)))]
        params = dict(zip(names, values, strict=False))
        text = json.dumps(params)
        self._rows[PARAMS].append((record.seq, self._core, record.now_ns, text))

    def _on_condition(self, record: Record) -> None:
        (bit,) = _ROW[record.kind].unpack(record.payload)
        self._rows[CONDITION].append(
            (record.seq, self._core, record.now_ns, bit, state_text(bit), record.arg)
        )

    def _on_out(self, record: Record) -> None:
        out_seq, intent_id, conn, deadline_ns, digest = OUT_HEADER.unpack_from(record.payload)
        message = bytes(record.payload[OUT_HEADER.size :]).decode("utf-8", "replace")
        state = self.state
        self._rows[OUT].append((
            record.seq, self._core, record.now_ns, out_seq, intent_id, record.arg, conn,
            state.cause_seq, state.cause_kind, state.cause_arg, record.recv_ts_ns, deadline_ns,
            f"{digest:016x}", message,
        ))  # fmt: skip

    def _on_send(self, record: Record) -> None:
        out_seq, begin_ns, end_ns = _ROW[record.kind].unpack(record.payload)
        self._rows[SENT].append(
            (self._core, out_seq, record.arg, begin_ns, end_ns, int(SendOutcome.SENT))
        )

    def _on_order(self, record: Record) -> None:
        values = _ROW[record.kind].unpack(record.payload)
        state, now_ns = self.state, record.now_ns
        self._rows[ORDER].append((self._core, now_ns, now_ns, *values))
        self._rows[ORDER_EVENT].append(
            (record.seq, self._core, now_ns, state.cause_seq, state.cause_kind, *values)
        )

    def _on_state(self, record: Record) -> None:
        old_bits, new_bits = _ROW[record.kind].unpack(record.payload)
        self._rows[STATE].append(
            (record.seq, self._core, record.now_ns, old_bits, new_bits, state_text(new_bits))
        )

    def _on_deny(self, record: Record) -> None:
        intent_id, code, side, px_ticks, qty_lots = _ROW[record.kind].unpack(record.payload)
        self._rows[DENY].append((
            record.seq, self._core, record.now_ns, intent_id, code, deny_name(code), side,
            px_ticks, qty_lots,
        ))  # fmt: skip


def _instrument(key: str, number: int, config: dict[str, Any], text: str) -> Values:
    """A row of `instruments`, but for the clock's offset; KeyError names what is not there."""
    tick, lot = config["tick"], config["lot"]
    account, _, rest = key.partition(".")
    venue = config.get("venue", rest.partition(".")[0])
    assets = config.get("assets", {})
    limits = json.dumps(config.get("limits", {}), sort_keys=True)
    prefix = client_prefix(config) if {"run_tag", "strategy_id"} <= config.keys() else ""
    return (
        number, key, account, venue, config["symbol"], assets.get("base", ""),
        assets.get("quote", ""), tick, lot, *_scale(tick), *_scale(lot), prefix,
        config.get("strategy", ""), text, _sha256(text), _sha256(limits),
    )  # fmt: skip


def param_names_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Names of the strategy's parameters, in the order in which the core takes their values."""
    strategy = config.get("strategy", "")
    if strategy in BUILTINS:
        return tuple(param.name for param in BUILTINS[strategy].params)
    return tuple(config.get("params", {}))


def state_text(bits: int) -> str:
    """RUNNING, or the halt reasons in force: "BOOK+FEED_STALE"."""
    return "+".join(halt.name or "" for halt in Halt if halt.value & bits) or "RUNNING"


def deny_name(code: int) -> str:
    """The gate's word for a deny code: POSITION."""
    return CODES[code][0] if code in CODES else f"CODE_{code}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _scale(step: str) -> tuple[int, int, int]:
    """(units, decimals, 10^decimals) of a tick or lot size: "0.10" → (1, 1, 10)."""
    value = Decimal(step).normalize()
    if not value.is_finite() or value <= 0:
        raise ValueError(f"tick and lot must be above zero, was {step}")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    decimals = max(-exponent, 0)
    return int(value.scaleb(decimals)), decimals, int(10**decimals)
