"""What a call of a strategy costs, from compiled code: `python -m bench.user`.

A loop in C calls the address on one View, as the core does, without decoding or quoting: the
built-in `spread`, the same formula as a user's function (docs/my_quotes.py), one that does
nothing, and ones that only read: what the wrapper, and a field, cost. Nanoseconds a call, the
median over rounds of 1000 calls.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastcore import strategy_layout
from fastcore.user import UserStrategy, load, new_views

ROUNDS = 2_000
CALLS = 1_000
EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "my_quotes.py"
_HEAD = "from fastcore.user import *\n@strategy(signals=['ofi'], levels=10, state=1)\n"
_BODIES = {
    "nothing": "return STAND_ASIDE",
    "one field": "return int(view.position_lots)",
    "ten levels a side": "s = 0\n    for i in range(10):\n"
    "        s += view.bids[i].qty_lots - view.asks[i].qty_lots\n    return int(s)",
    "a failure": "return 1 // view.ref_position_lots",
}


def run() -> dict[str, dict[str, float]]:
    """case -> {p50_ns, p99_ns}."""
    example = load(f"{EXAMPLE}:my_quotes")
    addresses = {
        "built-in spread": strategy_layout.builtin_address("spread"),
        "the same, user's": example.address,
    }
    kept: list[UserStrategy] = []
    for name, body in _BODIES.items():
        text = f"{_HEAD}def f(view, params, state, target):\n    {body}\n"
        kept.append(load("bench_case.py:f", text))
        addresses[name] = kept[-1].address
    params = np.zeros(32)
    params[: len(example.params)] = example.param_values({})
    return {name: _measured(address, params) for name, address in addresses.items()}


def example_call() -> Callable[[int], object]:
    """The example's strategy as something that calls it so many times on one view."""
    example = load(f"{EXAMPLE}:my_quotes")
    params = np.zeros(32)
    values = example.param_values({})
    params[: len(values)] = values
    view, state = _view(), np.zeros(32)
    return lambda calls: (
        strategy_layout.call_again(example.address, view, params, state, calls),
        example,  # its machine code lives as long as it does
    )


def _view() -> Any:
    views = new_views(1)
    views["bid_count"] = views["ask_count"] = 1
    views["bids"]["px_ticks"][0, 0], views["asks"]["px_ticks"][0, 0] = 1000, 1001
    views["signals"]["microprice_ticks"] = 1000.4
    return views.view(np.uint8)


def _measured(address: int, params: Any) -> dict[str, float]:
    view, state = _view(), np.zeros(32)
    rounds = []
    for _ in range(ROUNDS):
        begin_ns = time.perf_counter_ns()
        strategy_layout.call_again(address, view, params, state, CALLS)
        rounds.append((time.perf_counter_ns() - begin_ns) / CALLS)
    rounds.sort()
    return {"p50_ns": statistics.median(rounds), "p99_ns": rounds[len(rounds) * 99 // 100]}


if __name__ == "__main__":
    for name, figures in run().items():
        print(f"{name:<20}{figures['p50_ns']:8.1f} ns{figures['p99_ns']:8.1f} ns p99")
