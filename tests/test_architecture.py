"""The arrows of ARCHITECTURE.md, and who may read clocks, loops and dice; each rule can fail.

A rule is a function from a tree of sources to the list of its breaches. To allow something new,
edit a table here, in the commit that edits ARCHITECTURE.md, and say why.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_sources import ROOT, Source, read

STRATEGIES = {
    "strategy", "strategy_abi", "strategy_pairs", "strategy_quotes", "strategy_reversion",
    "strategy_table", "strategy_target",
}  # fmt: skip
# fastcore, lowest first: a module may import its own layer and those beneath.
LAYERS = (
    {"types", "check", "build"},
    {"scan", "fixed", "hash", "ws", "sha256"},
    {"codec"},
    {"ladder", "book", "sync", "signals", "signals_decay", "signals_flow", "signals_pair",
     "signals_price", "signals_settings"},
    {"position", "order_states", "working", "orders", "diff", "diff_config", "stops", "account",
     "gate", "halts", "latency", "journal", "seen"} | STRATEGIES,
    {"strategy_layout"},
    {"limit_book", "limit_rig", "matching", "measure", "order_stream", "rebuild", "rows"},
    {"core", "core_config", "core_send", "core_state", "core_stats", "core_steps"},
    {"drive", "pair", "user", "kernels", "kernels_base", "kernels_pair", "kernels_price",
     "calibration"},
)
# What else the core may see: libc, Cython's own, and the standard library's inert parts.
CORE_SEES = {
    "__future__", "collections", "cpython", "cython", "dataclasses", "decimal", "difflib", "enum",
    "fastcore", "json", "libc", "math", "re", "struct", "typing",
}  # fmt: skip
KERNELS_SEE = CORE_SEES | {"numpy", "numba"}
# Compiles the user's file at start-up: reads that file and its syntax tree.
USER_SEES = KERNELS_SEE | {
    "ast", "hashlib", "inspect", "linecache", "pathlib", "sys", "traceback", "types", "warnings",
}  # fmt: skip
STUBS_SEE = CORE_SEES | {"numpy", "typing_extensions"}  # a stub is read by tools, never run

# engine: which rooms, or single modules of them, each room may import. `*`: any.
BASE = {"errors", "clock"}
ENGINE: dict[str, set[str]] = {
    "": set(),  # engine/__init__.py
    "errors": set(),
    "clock": set(),
    "config": BASE,
    "config_tables": BASE | {"config"},
    "config_text": BASE,
    "config_hedge": BASE | {"config", "config_tables", "config_text"},
    "config_file": BASE
    | {"config", "config_hedge", "config_tables", "config_text", "credentials", "strategies",
       "venues"},
    "credentials": BASE,
    "status": BASE,
    "runs": BASE,
    "strategies": BASE,
    "view": BASE | {"report", "status"},
    "venues": {"errors"},
    # Beliefs are compared with rows; the router and the hedger have books; the planner adds a
    # configuration up.
    "execution": {"errors", "config", "venues"},
    "risk": {"errors"},
    "gateway": BASE | {"config", "venues"},
    "tape": BASE | {"venues"},
    "exchange": BASE | {"tape"},
    "recorder": BASE | {"status"},
    "report": BASE | {"recorder", "status"},
    # The session and its parts. They lay out the segment files and the log of events that the
    # recorder reads, and ask a run's own ledger, once, how the run before this one ended.
    "session": BASE
    | {"config", "gateway", "live", "recorder.events_log", "status"},
    "live": BASE
    | {"config", "config_file", "execution", "gateway", "recorder.events_log",
       "recorder.opening", "recorder.segments", "runs", "status", "strategies", "venues"},
    # The local exchange's keys come from its seed: so its runs can be verified, signatures too.
    # The edge's tick counter times the stages of a replay; none of its sockets.
    "replay": BASE
    | {"config", "exchange.keys", "gateway.hotsocket", "recorder", "report", "runs",
       "strategies", "tape", "venues"},
    # Parents of an engine's processes: they show, and build the report. What an engine is told and
    # says is gateway.parent.
    "children": BASE | {"gateway.parent"},
    "demo": BASE
    | {"children", "config", "live.local", "recorder", "report", "runs", "status", "strategies",
       "tape", "view"},
    # The local exchange over a live venue: its matching, and the edge's public calls.
    "paper": BASE | {"config", "exchange", "gateway", "tape", "venues"},
    "running": BASE
    | {"children", "config", "config_file", "execution.advice", "gateway.parent", "live.check",
       "live.lock", "live.shutdown", "paper.parent", "report", "run_view", "runs", "status",
       "view"},
    "run_view": BASE,
    # Both ends of a wire that never leaves the process: the one room that may see both.
    "sim": BASE | {"config", "exchange", "gateway", "live.instrument", "live.local", "recorder",
            "session"},
    "cli": {"*"},
    "entry": BASE | {"cli"},
    "cli_bench": BASE | {"cli_output"},  # and the bench, as the command line may
    "cli_check": BASE | {"cli_output", "config_file", "live", "report", "venues"},
    "cli_live": BASE | {"cli_output", "live.control", "run_view", "running"},
    "cli_output": BASE | {"view"},
}
# What judges a simulated run reads logs; it shares no belief with either side (sim/checker.py).
JUDGES = {"engine.sim.checker", "engine.sim.audit", "engine.sim.halted",
          "engine.sim.ledger_rows"}
JUDGES_SEE = {
    "engine.exchange.book", "engine.exchange.events", "engine.exchange.instruments",
    "engine.exchange.terms", "engine.exchange.truth", "engine.sim.ledger_rows",
    "fastcore.journal", "fastcore.types",
}  # fmt: skip
PURE = {"execution", "risk", "venues"}  # decide from arguments: no I/O, no clock
IO = {
    "aiohttp", "asyncio", "http", "select", "selectors", "socket", "ssl", "urllib", "uvloop",
    "websockets",
}  # fmt: skip
INERT = {"urllib.parse"}  # takes an address apart, opens none

CLOCKS = ("engine/clock.py", "engine/gateway/hotsocket.pyx", "bench/")
LOOPS = (
    "engine/gateway/", "engine/exchange/server.py", "engine/exchange/http_end.py",
    "engine/exchange/ws_end.py", "engine/exchange/process.py",
    "engine/session.py", "engine/sim/fates.py", "engine/sim/hand.py", "engine/sim/life.py",
    "engine/sim/loop.py", "engine/sim/network.py", "engine/sim/peace.py", "engine/sim/run.py",
    "engine/sim/workers.py",  # a thread that ends a worker whose parent is gone
    # Parents and their children's pipes; the session's parts, which the loop runs.
    "engine/children.py", "engine/demo.py", "engine/paper/", "engine/running.py",
    "engine/live/", "bench/",
)  # fmt: skip
CLOCK_READ = re.compile(
    r"\b(?:datetime|date)\s*\.\s*(?:now|utcnow|today)\b"
    r"|\b(?:clock_gettime\w*|gettimeofday|perf_counter\w*|monotonic)\s*\("
    r"|\b(?:_*rdtscp?|__builtin_ia32_rdtsc\w*)\s*\("
)


def in_any(source: Source, places: tuple[str, ...]) -> bool:
    return any(str(source).startswith(place) for place in places)


def top(name: str) -> str:
    return name.split(".")[0]


def room(module: str) -> str:
    """Second part of a dotted name: `engine.gateway.rest` is in the room `gateway`."""
    return [*module.split("."), ""][1]


# -- RULES -----------------------------------------------------------------------------------


def core_sees_only_inert_things(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if top(source.module) == "fastcore":
            allowed = STUBS_SEE if source.path.suffix == ".pyi" else CORE_SEES
            if source.path.name.startswith(("kernels", "calibration")):
                allowed = KERNELS_SEE
            if room(source.module) == "user":
                allowed = USER_SEES
            for name in source.imports:
                if top(name) not in allowed:
                    yield f"{source} imports {name}"


def core_layers_point_down(tree: list[Source]) -> Iterator[str]:
    layer = {name: index for index, names in enumerate(LAYERS) for name in names}
    for source in tree:
        if top(source.module) != "fastcore" or not room(source.module):
            continue
        own = layer.get(room(source.module))
        if own is None:
            yield f"{source} has no layer"
            continue
        for name in source.imports:
            if top(name) == "fastcore" and layer.get(room(name), 0) > own:
                yield f"{source} imports {name}, which stands above it"


def core_does_not_import_itself_in_a_circle(tree: list[Source]) -> Iterator[str]:
    arrows: dict[str, set[str]] = {}
    for source in tree:
        if top(source.module) == "fastcore":
            inside = {name for name in source.imports if top(name) == "fastcore"}
            arrows.setdefault(source.module, set()).update(inside - {source.module, "fastcore"})
    while leaves := {name for name, targets in arrows.items() if not targets & arrows.keys()}:
        for name in leaves:
            del arrows[name]
    if arrows:
        yield f"circle among {sorted(arrows)}"


def engine_rooms_follow_the_arrows(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if top(source.module) != "engine":
            continue
        own = room(source.module)
        if own not in ENGINE:
            yield f"{source} is in a room without arrows: {own}"
            continue
        for name in source.imports:
            target = room(name)
            allowed = {own, "", *ENGINE[own]}
            inside = name.removeprefix("engine.")
            if top(name) == "engine" and not allowed & {target, inside, "*"}:
                yield f"{source} imports {name}"


def only_the_bench_and_cli_import_the_bench(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if top(source.module) != "bench" and source.module != "engine.cli_bench":
            for name in source.imports:
                if top(name) in {"bench", "tests"}:
                    yield f"{source} imports {name}"


def pure_rooms_do_no_io(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if top(source.module) == "engine" and room(source.module) in PURE:
            for name in source.imports:
                is_inert = name in INERT
                if not is_inert and (top(name) in IO | {"time"} or name == "engine.clock"):
                    yield f"{source} imports {name}"


def clocks_are_read_in_one_place(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if in_any(source, CLOCKS):
            continue
        for name in source.imports:
            if name in {"time", "libc.time", "posix.time", "timeit"}:
                yield f"{source} imports {name}"
        for match in CLOCK_READ.finditer(source.code):
            yield f"{source} reads a clock: {match.group()}"


def event_loops_stay_at_the_edges(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if not in_any(source, LOOPS):
            for name in source.imports:
                if top(name) in {"asyncio", "uvloop", "aiohttp", "threading"}:
                    yield f"{source} imports {name}"


def judges_share_no_belief(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        if source.module in JUDGES:
            for name in source.imports:
                seen = any(name == seen or name.startswith(f"{seen}.") for seen in JUDGES_SEE)
                if top(name) in {"engine", "fastcore"} and not seen:
                    yield f"{source} imports {name}"


def engine_never_imports_ccxt(tree: list[Source]) -> Iterator[str]:
    for source in tree:
        for name in source.imports:
            if top(name) == "ccxt":
                yield f"{source} imports {name}"


def dice_are_seeded(tree: list[Source]) -> Iterator[str]:
    """Only `random.Random(seed)` and `numpy.random.default_rng(seed)`: a run can be repeated."""
    for source in tree:
        shared = r"\brandom\s*\.\s*(?!Random\b|default_rng\b|Generator\b)\w+"
        unseeded = rf"{shared}|\bRandom\(\s*\)"
        for match in re.finditer(unseeded, source.code):
            yield f"{source} throws unseeded dice: {match.group()}"
        imported = r"^\s*from\s+random\s+import\s+(?!Random\s*$).*"
        for match in re.finditer(imported, source.code, re.MULTILINE):
            yield f"{source} imports a shared die: {match.group().strip()}"


RULES: list[Callable[[list[Source]], Iterator[str]]] = [
    core_sees_only_inert_things,
    core_layers_point_down,
    core_does_not_import_itself_in_a_circle,
    engine_rooms_follow_the_arrows,
    only_the_bench_and_cli_import_the_bench,
    pure_rooms_do_no_io,
    clocks_are_read_in_one_place,
    event_loops_stay_at_the_edges,
    judges_share_no_belief,
    engine_never_imports_ccxt,
    dice_are_seeded,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_project_keeps_the_rule(rule: Callable[[list[Source]], Iterator[str]]) -> None:
    tree = read(ROOT)
    assert len(tree) > 5, "the sources were not found, so nothing was checked"
    breaches = list(rule(tree))
    assert not breaches, "\n".join(breaches)


def test_header_files_read_no_clock() -> None:
    for path in [*ROOT.glob("fastcore/**/*.h"), *ROOT.glob("fastcore/**/*_impl.c")]:
        assert not CLOCK_READ.search(path.read_text()), f"{path.name} reads a clock"


# -- EACH RULE CAN FAIL ----------------------------------------------------------------------

PLANTS = [
    (core_sees_only_inert_things, "fastcore/book.pyx", "import engine.clock"),
    (core_sees_only_inert_things, "fastcore/book.pyx", "cimport numpy as np"),
    (core_sees_only_inert_things, "fastcore/book.pxd", "from posix.unistd cimport read"),
    (core_sees_only_inert_things, "fastcore/core.pyi", "from bench import core"),
    (core_sees_only_inert_things, "fastcore/book.pyx", "def f():\n    import socket"),
    (core_sees_only_inert_things, "fastcore/book.pyx", "from ..engine import clock"),
    (core_sees_only_inert_things, "fastcore/user/load.py", "import socket"),
    (core_sees_only_inert_things, "fastcore/book.pyx", "import numba"),
    (core_layers_point_down, "fastcore/book.pyx", "from fastcore.core cimport Core"),
    (core_layers_point_down, "fastcore/core.pyx", "from fastcore.user import load"),
    (core_layers_point_down, "fastcore/scan.pxd", "from fastcore cimport book"),
    (core_layers_point_down, "fastcore/codec/binance.pyx", "from ..book cimport Book"),
    (core_layers_point_down, "fastcore/book.pyx", "from fastcore.gate cimport (\n    Gate,\n)"),
    (core_layers_point_down, "fastcore/novel.pyx", ""),
    (core_does_not_import_itself_in_a_circle, "fastcore/book.pyx", "from fastcore.sync cimport S"),
    (engine_rooms_follow_the_arrows, "engine/tape/reader.py", "from engine import session"),
    (engine_rooms_follow_the_arrows, "engine/exchange/core.py", "from engine.gateway import rest"),
    (engine_rooms_follow_the_arrows, "engine/gateway/rest.py", "from engine.exchange import core"),
    (engine_rooms_follow_the_arrows, "engine/risk/day.py", "from ..gateway import rest"),
    (engine_rooms_follow_the_arrows, "engine/session.py", "from engine.recorder import ledger"),
    (engine_rooms_follow_the_arrows, "engine/novel/x.py", ""),
    (only_the_bench_and_cli_import_the_bench, "engine/session.py", "import bench.core"),
    (only_the_bench_and_cli_import_the_bench, "engine/session.py", "from tests import twin"),
    (pure_rooms_do_no_io, "engine/execution/reconcile.py", "import socket"),
    (pure_rooms_do_no_io, "engine/risk/day.py", "from engine.clock import wall_ns"),
    (clocks_are_read_in_one_place, "engine/demo.py", "import time"),
    (clocks_are_read_in_one_place, "engine/demo.py", "from time import monotonic"),
    (clocks_are_read_in_one_place, "engine/report/page.py", "x = datetime.now(UTC)"),
    (clocks_are_read_in_one_place, "fastcore/latency.pyx", "clock_gettime(CLOCK_MONOTONIC, &t)"),
    (clocks_are_read_in_one_place, "fastcore/latency.pyx", "t = __rdtsc()"),
    (event_loops_stay_at_the_edges, "engine/tape/reader.py", "import asyncio"),
    (event_loops_stay_at_the_edges, "engine/exchange/core.py", "from asyncio import sleep"),
    (event_loops_stay_at_the_edges, "engine/sim/schedule.py", "import asyncio"),
    (judges_share_no_belief, "engine/sim/checker.py", "from fastcore.core import Core"),
    (judges_share_no_belief, "engine/sim/audit.py", "from engine.exchange import clearing"),
    (engine_never_imports_ccxt, "engine/gateway/rest.py", "import ccxt.async_support as ccxt"),
    (dice_are_seeded, "engine/exchange/agents.py", "import random\nx = random.gauss(0, 1)"),
    (dice_are_seeded, "engine/exchange/agents.py", "x = random.Random()"),
    (dice_are_seeded, "engine/exchange/agents.py", "from random import choice"),
    (dice_are_seeded, "engine/exchange/agents.py", "from random import Random\nx = Random()"),
    (dice_are_seeded, "engine/exchange/agents.py", "x = np.random.normal(0, 1)"),
]


@pytest.mark.parametrize(("rule", "name", "text"), PLANTS)
def test_rule_fails_on_a_planted_breach(
    rule: Callable[[list[Source]], Iterator[str]], name: str, text: str, tmp_path: Path
) -> None:
    sound = {
        "fastcore/__init__.py": "from fastcore.types import Side",
        "fastcore/types.pyx": "from enum import IntEnum",
        "fastcore/book.pyx": "from libc.stdint cimport int64_t\nfrom fastcore.types cimport px_t",
        "fastcore/sync.pyx": "from fastcore.book cimport Book",
        "fastcore/gate.pyx": "from fastcore.book cimport Book",
        "fastcore/core.pyx": 'from fastcore.sync cimport Sync  # import time\nx = "import time"',
        "fastcore/kernels.py": "import numpy as np",
        "engine/clock.py": "import time\nfrom datetime import datetime\nx = datetime.now(UTC)",
        "engine/session.py": "import asyncio\nfrom engine.gateway import rest",
        "engine/exchange/core.py": '"""\nimport asyncio\n"""\nimport random\nx = random.Random(1)',
        "engine/gateway/rest.py": "import asyncio",
        "engine/cli_bench.py": "from bench import core",
        "engine/sim/checker.py": "from fastcore.journal import read_segment",
        "bench/core.py": "import time",
    }
    for path, body in sound.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(body)
    assert list(rule(read(tmp_path))) == []
    planted = tmp_path / name
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(text)
    found = list(rule(read(tmp_path)))
    assert len(found) == 1, found
    assert name in found[0] or planted.stem in found[0]


def test_every_rule_has_a_plant() -> None:
    assert {rule for rule, _, _ in PLANTS} == set(RULES)
