"""What one pre-trade check costs: `python -m bench.gate`, nanoseconds by working orders.

The compiled gate in a nogil loop, every check on and passing: two references, windows half full,
an account, working orders on both sides. Each figure is the least mean of many short rounds,
which is what the check costs when nothing else runs; tick-to-order is `tickmaker bench core`.
"""

import json
import time

from engine.config import demo_core
from fastcore.book import Book
from fastcore.gate import Gate, GateRig
from fastcore.orders import Orders
from fastcore.types import OrderFlag, OrderState, Side, Verb

CHECKS, ROUNDS = 5_000, 400
NOW_NS = 1_000_000_000_000
BID, ASK = 600_000, 600_010


def measure(working: int) -> float:
    """Least mean of one check, ns."""
    limits = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)["limits"]
    limits |= {"reference_age_ms_max": 10_000, "position_lots_max": 1_000, "exposure_max": 10**12}
    book = Book()
    book.apply_snapshot_lists(1, [(BID, 1)], [(ASK, 1)])
    gate = Gate(limits, book, Orders(10**9, 10**9), None, (10_000, 1))
    rig = GateRig(gate)
    gate.on_reference(BID + 5, NOW_NS)
    for index in range(250):
        gate.count_values(Verb.CANCEL, NOW_NS - (50_000 - 100 * index) * 1_000_000)
    for index in range(working):
        side = Side(index % 2)
        px = BID - index if side == Side.BUY else ASK + index
        code = gate.check_values(
            side, px, 10, OrderFlag.POST_ONLY, 0, True, NOW_NS, NOW_NS, NOW_NS
        )
        if code:
            raise RuntimeError(f"the bench's own order was denied with code {code}")
        rig.answer(rig.place(side, px, 10, OrderFlag.POST_ONLY, NOW_NS), OrderState.NEW, px, 10)
    times = []
    for _ in range(ROUNDS):
        begin_ns = time.perf_counter_ns()
        passed = rig.repeat_check(Side.BUY, BID - 20, 10, OrderFlag.POST_ONLY, NOW_NS, CHECKS)
        times.append((time.perf_counter_ns() - begin_ns) / CHECKS)
        if passed != CHECKS:
            raise RuntimeError(f"{CHECKS - passed} checks were denied")
    return min(times)


def main() -> None:
    print(json.dumps({f"{count}_orders_ns": round(measure(count), 1) for count in (0, 2, 4, 8)}))


if __name__ == "__main__":
    main()
