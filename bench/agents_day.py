"""`tickmaker bench agents`: a day of the agents' market, as fast as it goes, in flat memory.

A process of its own runs the market second by second and takes its events, as a server would; a
user quotes both sides all the time, so that users' orders come and go too. Memory is read after
each hour. README.md has the method.
"""

import gc
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.result import write
from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.book import BookOrder, Side
from engine.exchange.events import BestChange, DepthChange, Trade
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket

ROOT = Path(__file__).resolve().parent.parent
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
S = 1_000_000_000
HOUR_S, YEAR_S = 3_600, 31_536_000
QUOTE_S = 5  # the user quotes anew so often
TARGETS = {"resident_growth_kib": "<= 1024", "book_growths_after_first_hour": "<= 2"}
METHOD = (
    "The BTCUSDT agents of `tickmaker exchange`, seed 1, in one thread: advance by a second, take "
    "all events as Python objects, count them; every 5 s a user of the market cancels its two "
    "quotes and places them at the touch. Resident set, the interpreter's blocks and the book's "
    "pool after each hour of the market's time; growth is from the end of the first hour to that "
    "of the last. us_per_act: wall time over all acts of agents, making and counting the events "
    "included."
)


def run(hours: int = 24, out: Path | None = None) -> dict[str, Any]:
    """TickmakerError where the process of its own fails."""
    if hours < 2:
        raise TickmakerError(f"--hours is {hours}", "give 2 or more: growth needs two", EXIT_USAGE)
    done = subprocess.run(
        [sys.executable, "-m", "bench.agents_day", str(hours)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise TickmakerError(
            f"the day ended with exit code {done.returncode}", "its error stands above"
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if out is not None:
        write(result, out)
    return result


class Day:
    """The market, its user, and what was counted."""

    def __init__(self, seed: int) -> None:
        self.market = AgentMarket(CATALOGUE["BTCUSDT"], seed, 0)
        self.counts = {Trade: 0, DepthChange: 0, BestChange: 0}
        self.users_lots = 0
        self.second = 0
        self._order_id = 0
        self._squares, self._mid = 0.0, 0.0

    def hour(self) -> dict[str, Any]:
        """One more hour; what there is to say at its end."""
        self._squares = 0.0
        for _ in range(HOUR_S):
            self.second += 1
            self.market.advance(self.second * S)
            if self.second % QUOTE_S == 0:
                self._quote()
            for event in self.market.drain():
                self.counts[type(event)] += 1
                if isinstance(event, Trade) and event.maker is not None:
                    self.users_lots += event.qty_lots
            bid, _, ask, _ = self.market.touch()
            mid = (bid + ask) / 2 if bid and ask else self._mid
            if self._mid:
                self._squares += math.log(mid / self._mid) ** 2
            self._mid = mid
        book = self.market.book
        book.check()
        return {
            "hour": self.second // HOUR_S,
            "resident_kib": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB,
            "interpreter_blocks": sys.getallocatedblocks(),
            "pool": book.pool_size,
            "growths": book.growths,
            "orders": book.order_count,
            "levels": [book.level_count(side) for side in Side],
            "mid_ticks": self._mid,
            "volatility": round(math.sqrt(self._squares / HOUR_S * YEAR_S), 3),
        }

    def _quote(self) -> None:
        now_ns, touch = self.second * S, self.market.touch()
        for side in Side:
            self.market.cancel(self._order_id - side, now_ns)
        for side in Side:
            self._order_id += 1
            if touch[2 * side]:
                order = BookOrder(self._order_id, side, touch[2 * side], 10, account=0)
                self.market.place(order, True, now_ns)


def _day(hours: int) -> dict[str, Any]:
    cpus = machine.choose_cpus(1)
    os.sched_setaffinity(0, cpus)
    described = machine.describe(cpus)
    day = Day(seed=1)
    began, rows = time.monotonic(), []
    for hour in range(1, hours + 1):
        row = day.hour()
        gc.collect()
        rows.append(row)
        if sys.stderr.isatty():
            print(f"\r{hour} h", end="", file=sys.stderr, flush=True)
    print("" if sys.stderr.isatty() else f"{hours} h", file=sys.stderr)
    seconds, acts = time.monotonic() - began, day.market.acts
    return {
        "hours": hours,
        "seconds": round(seconds, 1),
        "times_real_time": round(day.second / seconds),
        "acts": acts,
        "us_per_act": round(seconds / acts * 1e6, 2),
        "trades": day.counts[Trade],
        "depth_changes": day.counts[DepthChange],
        "best_changes": day.counts[BestChange],
        "users_lots_filled": day.users_lots,
        "resident_growth_kib": rows[-1]["resident_kib"] - rows[0]["resident_kib"],
        "book_growths_after_first_hour": rows[-1]["growths"] - rows[0]["growths"],
        "by_hour": rows,
        "targets": TARGETS,
        "method": METHOD,
        "machine": described,
        "commit": machine.commit(),
    }


if __name__ == "__main__":
    print(json.dumps(_day(int(sys.argv[1]))))
