"""Replay: the same core over a tape, in process, with a simulated venue (fastcore/matching).

Same tape, parameters and seed: same orders, fills and P&L, to the last unit. The run leaves a
folder as a live run does: journal, ledger, report. A tape's events are not journaled (the tape is
their record), so such a run is not byte-replayable by `tickmaker verify`; config.json says so.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import clock
from engine.config import NO_ASSETS, demo_core
from engine.errors import EXIT_USAGE, TickmakerError
from engine.recorder.follow import catch_up
from engine.recorder.segments import Segments, journal_dir
from engine.replay.verify import orders_sha256
from engine.report.build import make_report, write_report
from engine.report.run import load_folder
from engine.runs import make_run_dir
from engine.strategies import compiled, configured, failure_text, keep, named
from engine.tape.format import Tape, TapeMeta, is_tape
from engine.tape.importer import import_files
from fastcore.core import Core
from fastcore.core_stats import halt_names
from fastcore.drive import Drive
from fastcore.journal import JournalWriter
from fastcore.types import Halt

# A replay signs its orders like a live run, for the time it takes; nobody checks the signature.
REPLAY_KEY = b"replay-has-no-credential-and-nobody-checks-this-key-0000000000000"
MAKER_FEE_PPM = 200  # Binance USD-M VIP 0: 2 bps
TAKER_FEE_PPM = 500


@dataclass(frozen=True, slots=True)
class _Fed:
    """What went through the core, and how long it took."""

    rows: int
    elapsed_s: float
    state: str  # at the end of the tape, before the orders were pulled


def replay_tape(
    path: Path,
    *,
    strategy: str = "spread",
    params: dict[str, float] | None = None,
    seed: int = 7,
    latency_us: float = 500.0,
    runs_dir: Path = Path("runs"),
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Run `strategy` over a tape or a raw capture; the report as a JSON-able dict.

    `latency_us` is taken one way and back each. `events` are rows: a level, a side of a
    bookTicker or a trade each. Raises TickmakerError for a tape that can't be replayed.
    """
    chosen = named(strategy)
    user = None if chosen.file is None else compiled(chosen.name, chosen.file)
    if not 0 <= latency_us <= 60e6:
        raise TickmakerError(f"latency of {latency_us} us", "give 0 to 60,000,000 us", EXIT_USAGE)
    with _opened(path) as tape:
        _check_replayable(tape)
        core_config = _core_config(tape.meta, chosen.name, params, seed, user)
        run_dir = make_run_dir(runs_dir, "replay")
        if user is not None:
            keep(user, run_dir)
        _write_json(run_dir / "config.json", _config(path, tape.meta, core_config, latency_us))
        return _replay(tape, core_config, latency_us, run_dir, user, progress)


@contextmanager
def _opened(path: Path) -> Iterator[Tape]:
    """The tape; a raw capture is imported to a temporary one."""
    if is_tape(path):
        yield Tape(path)
        return
    with tempfile.TemporaryDirectory(prefix="tickmaker-") as folder:
        out = Path(folder) / "replay.tape.arrow"
        import_files([path], out)
        yield Tape(out)


def _check_replayable(tape: Tape) -> None:
    if tape.meta.venue == "binance_coinm":
        raise TickmakerError(
            f"{tape.path}: {tape.meta.symbol} is an inverse contract, the core's P&L is linear",
            "replay a USD-M or spot tape; `tape verify` works on this one",
            EXIT_USAGE,
        )
    if not tape.meta.messages.get("snapshot") or not tape.meta.messages.get("depth"):
        raise TickmakerError(
            f"{tape.path}: holds no snapshot or no depth: no book can be built",
            "capture both and import again",
        )


def _core_config(
    meta: TapeMeta, strategy: str, params: dict[str, float] | None, seed: int, user: Any
) -> dict[str, Any]:
    config = demo_core(meta.symbol, strategy, f"{seed & 0xFFFFFFFF:08x}", seed)
    config |= {"venue": meta.venue, "tick": meta.tick, "lot": meta.lot, "assets": NO_ASSETS}
    if user is not None:
        return configured(config | {"params": params or {}}, user)
    config["params"] = config["params"] | (params or {})
    return config


def _config(path: Path, meta: TapeMeta, core: dict[str, Any], latency_us: float) -> dict[str, Any]:
    return {
        "kind": "replay",
        "tape": path.name,
        "sources": meta.sources,
        "latency_us": latency_us,
        "maker_fee_ppm": MAKER_FEE_PPM,
        "taker_fee_ppm": TAKER_FEE_PPM,
        "wall_minus_monotonic_ns": 0,  # tape time is the recorder's UTC
        "credential": {"kind": "replay"},
        "core": core,
    }


def _replay(
    tape: Tape,
    config: dict[str, Any],
    latency_us: float,
    run_dir: Path,
    user: Any,
    progress: Callable[[float], None] | None,
) -> dict[str, Any]:
    key = f"tape.{config['venue']}.{config['symbol']}"
    segments = Segments(journal_dir(run_dir, key))
    try:
        journal = JournalWriter(segments.next(), 0)
        journal.add_segment(segments.next())
        drive = _drive(config, journal, latency_us, user)
        fed = _feed(tape, drive, journal, segments, progress)
    finally:
        segments.close()
    catch_up(run_dir)
    folder = load_folder(run_dir)
    report = make_report(folder) | _measured(drive, fed)
    report["orders_sha256"] = orders_sha256(run_dir)
    if user is not None:
        report["strategy_failure"] = failure_text(user, drive.core) or None
    write_report(folder, report)
    return report


def _drive(
    config: dict[str, Any], journal: JournalWriter, latency_us: float, user: Any
) -> Drive:
    try:
        core = Core(config, REPLAY_KEY, REPLAY_KEY, journal, user)
    except ValueError as error:
        raise TickmakerError(f"replay: {error}", "correct that parameter", EXIT_USAGE) from None
    latency_ns = round(latency_us * 1000)
    drive = Drive(
        core,
        entry_latency_ns=latency_ns,
        response_latency_ns=latency_ns,
        maker_fee_ppm=MAKER_FEE_PPM,
        taker_fee_ppm=TAKER_FEE_PPM,
    )
    ticks = _ticks()
    if ticks is not None:
        drive.set_ticks(*ticks)
    return drive


def _ticks() -> tuple[object, float] | None:
    """The compiled edge's counter; without it (not built) computing time is not told."""
    try:
        from engine.gateway.hotsocket import ns_per_tick, tick_capsule
    except ImportError:
        return None
    return tick_capsule(), ns_per_tick()


def _feed(
    tape: Tape,
    drive: Drive,
    journal: JournalWriter,
    segments: Segments,
    progress: Callable[[float], None] | None,
) -> _Fed:
    rows = 0
    elapsed_ns = 0
    for index, columns in enumerate(tape.batches()):
        if index == 0:
            drive.start(int(columns[0][0]), round((tape.meta.clock_offset_ms or 0.0) * 1e6))
        if journal.needs_segment:
            journal.add_segment(segments.next())
        begin_ns = clock.monotonic_ns()
        try:
            rows += drive.run_rows(columns)
        except ValueError as error:
            raise tape.broken_rows(index, int(error.args[0])) from None
        except OverflowError as error:
            raise TickmakerError(f"replay: {error}", "give a smaller --latency-us") from None
        elapsed_ns += clock.monotonic_ns() - begin_ns
        if progress is not None:
            progress((index + 1) / tape.batch_count)
    bits = drive.core.halt_bits
    if bits & Halt.JOURNAL:
        raise TickmakerError("replay: the journal had no room", "report this: it is a defect")
    state = ",".join(halt_names(bits)) or "RUNNING"
    if drive.now_ns >= 0:
        drive.finish()
    return _Fed(rows, elapsed_ns / 1e9, state)


def _measured(drive: Drive, fed: _Fed) -> dict[str, Any]:
    """What a replay knows better than the ledger: there are no frames in its journal."""
    numbers = drive.core.numbers()
    levels = numbers["level_updates"]
    seconds = max(fed.elapsed_s, 1e-9)
    return {
        "state": fed.state,
        "tick_to_order": drive.latency_summary(),
        "tick_to_order_definition": "computing time of each market event that caused a message",
        "events": fed.rows,
        "events_per_s": round(fed.rows / seconds),
        "level_updates": levels,
        "level_updates_per_s": round(levels / seconds),
        "messages": drive.messages,
        "nonsense": numbers["nonsense"],
        "elapsed_s": round(fed.elapsed_s, 6),
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise TickmakerError(
            f"{path}: can't be written: {error.strerror}", "choose another folder by --runs"
        ) from None
