"""Ours in the wire bench: the unchanged Core, HotLoop and HotTransport inside uvloop.

    python -m bench.tickmaker_client PORT CPU busy|sleep RUN_DIR

All that a live session does to its hot path is done here: journal in mapped segments that
housekeeping prepares ahead, stage stamps, status page, timers, garbage collector frozen. What the
exchange would tell over REST (snapshot, clock, position) is given by hand. The position stands at
its limit, so one side is quoted: each tick of the touch costs one cancel and one new order, both
signed, in one send().

Standard output: "ready" when all is up, one line of JSON at the end.
"""

import asyncio
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvloop

from bench.market import API_KEY, SECRET, SNAPSHOT, core_config
from engine import clock
from engine.errors import TickmakerError
from engine.gateway import hotsocket
from engine.gateway.edge import REAL
from engine.gateway.hotsocket import Cold, HotLoop
from engine.gateway.transport import ColdItem, HotTransport
from engine.recorder.segments import Segments
from engine.session import PREPARE_BYTES
from engine.status import StatusWriter
from engine.venues.base import ConnPlan
from fastcore.core import Core
from fastcore.core_stats import halt_names
from fastcore.journal import JournalWriter
from fastcore.types import Command, Conn, Halt

CONNECT_S = 10.0
PATHS = {
    Conn.USER: "/private/ws",
    Conn.TRADE: "/ws-fapi/v1",
    Conn.MARKET: "/public/stream?streams=btcusdt@depth@0ms/btcusdt@bookTicker",
}


class Client:
    """The hot path of a session, and its housekeeping."""

    def __init__(self, run_dir: Path, is_busy: bool) -> None:
        self._segments = Segments(run_dir / "journal")
        self._journal = JournalWriter(self._segments.next(), clock.wall_minus_monotonic_ns())
        self._journal.add_segment(self._segments.next())
        self._page = StatusWriter(run_dir / "status.page")
        self.core = Core(core_config(), API_KEY, SECRET, self._journal)
        self.core.set_ticks(hotsocket.tick_capsule(), hotsocket.ns_per_tick())
        self.hot = HotLoop()
        self.hot.add_core(self.core)
        self._roles = {conn: self.hot.add_role(conn, [0]) for conn in PATHS}
        self._transport = HotTransport(self.hot, is_busy=is_busy)
        self._is_busy = is_busy
        self._changed = asyncio.Event()
        self._done = asyncio.Event()
        self._fault: Exception | None = None
        self._first_halt = ""

    async def run(self, port: int) -> None:
        """Until the exchange's end hangs up."""
        self.hot.clock(0, clock.wall_minus_monotonic_ns())
        self._transport.start(self._on_cold, self._on_fault)
        for conn, path in PATHS.items():
            plan = ConnPlan(f"ws://127.0.0.1:{port}{path}")
            await self._transport.connect(self._roles[conn], 0, plan, conn.name, CONNECT_S)
        self.hot.snapshot(0, SNAPSHOT)
        async with asyncio.timeout(CONNECT_S):
            while self.core.halt_bits & Halt.BOOK:
                self._changed.clear()
                await self._changed.wait()
        position_lots = core_config()["limits"]["position_lots_max"]
        self.hot.opening(0, position_lots)
        self.hot.account(0, position_lots, 0)
        self.hot.command(0, Command.START)
        gc.collect()
        gc.freeze()
        if self._is_busy:
            gc.disable()
        housekeeping = asyncio.create_task(self._housekeep())
        print("ready", flush=True)
        await self._done.wait()
        housekeeping.cancel()
        self._transport.stop()
        if self._fault is not None:
            raise self._fault

    async def _housekeep(self) -> None:
        """As engine.session does it."""
        next_status_ns = 0
        while True:
            if self._journal.needs_segment and self._segments.prepare(PREPARE_BYTES):
                self._journal.add_segment(self._segments.next())
            now_ns = clock.monotonic_ns()
            if now_ns >= next_status_ns:
                next_status_ns = now_ns + int(REAL.status_s * 1e9)
                self._page.write({**self.core.stats(now_ns), "edge": self.hot.stats()})
            await asyncio.sleep(REAL.turn_s)

    def _on_cold(self, items: list[ColdItem]) -> None:
        self._changed.set()
        told = {what for what, _, _ in items}
        bits = self.hot.bits(0)
        if Cold.CLOSED in told:
            self._done.set()
        elif Cold.STATE in told and bits and self.core.numbers()["orders_sent"]:
            self._first_halt = self._first_halt or ",".join(halt_names(bits))

    def _on_fault(self, error: Exception) -> None:
        self._fault = error
        self._done.set()

    def summary(self) -> dict[str, Any]:
        """What the core says of the round, for the result."""
        stats = self.core.stats()
        sent = ("orders_sent", "cancels_sent", "modifies_sent")
        names = (*sent, "late", "denies", "malformed", "gaps")
        return {
            **{name: stats[name] for name in names},
            "tick_to_order": stats["tick_to_order"],
            "stages": self.core.stage_clock.summary(),
            "edge": self.hot.stats(),
            "halted": self._first_halt,
            "journal_bytes": self._segments.index * self._segments.size_bytes + self._journal.used,
        }

    def close(self) -> None:
        for role in self._roles.values():
            self._transport.disconnect(role, 0)
        self._page.close()
        self._segments.close()


async def _main(port: int, is_busy: bool, run_dir: Path) -> None:
    client = Client(run_dir, is_busy)
    try:
        await client.run(port)
        print(json.dumps(client.summary()), flush=True)
    finally:
        client.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(int(sys.argv[1]), sys.argv[3] == "busy", Path(sys.argv[4])))
    except TickmakerError as error:
        sys.exit(error.what)
