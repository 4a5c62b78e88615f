"""The market of the wire bench: what its client is told before the exchange's end takes over.

exchange_end.c walks the ask up from there by a tick an event, SLOTS ticks, and round again.
"""

import json
from typing import Any

from engine.config import demo_core

API_KEY = b"bench0000000000000000000000000000000000000000000000000000000key0"
SECRET = b"bench-has-no-secret"
FIRST_ASK_TICKS = 618_000  # of 0.10; event 0 moves it up: exchange_end.c, BASE_TICKS
LAST_UPDATE_ID = 5_123_107_830_000  # below exchange_end.c's BASE_UPDATE_ID
LEVELS_COUNT = 100


def core_config() -> dict[str, Any]:
    """The demo's core, quoting one side at the touch; limits and budgets out of the way."""
    config = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    config |= {"tick": "0.10", "lot": "0.001", "assets": {"base": "BTC", "quote": "USDT"}}
    # No skew: the order's price tells which event it answers.
    config["params"] = {
        "half_spread_ticks": 0.4,  # ceil(mid + 0.4): the ask itself
        "qty_lots": 10.0,
        "inventory_skew_ticks": 0.0,
        "ofi_skew_ticks": 0.0,
        "position_lots_max": 100.0,
    }
    config["quoting"] = {
        "requote_ticks": 0,
        "requote_ms": 0,
        "modify": False,
        "messages_per_s_max": 100_000,
    }
    config["limits"] |= {"position_lots_max": 100}
    for owner in ("", "account_"):
        for window in ("orders_per_10s", "orders_per_min", "messages_per_s", "messages_per_min"):
            config["limits"][f"{owner}{window}_max"] = 1_000_000
    # At this load a one-sided maker fills and requotes as no account would.
    config["halts"] |= {"spread_factor": 0.0, "spread_ticks_max": 0, "repeated_fills_max": 0,
                        "one_sided_fills_max": 0}  # fmt: skip
    # An order is sent however late it is: the exchange's end shall see it and charge it.
    config["budgets"] = {"tick_to_order_us_max": 10_000_000.0, "ack_ms_max": 60_000.0}
    return config


def _levels(first_ticks: int, step: int) -> list[list[str]]:
    ticks = range(first_ticks, first_ticks + step * LEVELS_COUNT, step)
    return [[f"{tick // 10}.{tick % 10}0", "1.000"] for tick in ticks]


SNAPSHOT = json.dumps(
    {
        "lastUpdateId": LAST_UPDATE_ID,
        "E": 1723161256313,
        "T": 1723161256313,
        "bids": _levels(FIRST_ASK_TICKS - 1, -1),
        "asks": _levels(FIRST_ASK_TICKS, 1),
    },
    separators=(",", ":"),
).encode()


def prologue() -> bytes:
    """Server frames behind the upgrade: the diff that the snapshot is anchored on."""
    text = json.dumps(
        {
            "stream": "btcusdt@depth@0ms",
            "data": {
                "e": "depthUpdate", "E": 1723161256313, "T": 1723161256313, "s": "BTCUSDT",
                "ps": "BTCUSDT", "st": 1, "U": LAST_UPDATE_ID - 5, "u": LAST_UPDATE_ID + 5,
                "pu": LAST_UPDATE_ID - 6, "b": [], "a": [],
            },
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text
