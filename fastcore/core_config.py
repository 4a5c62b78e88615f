"""The core's configuration: what it must hold, checked in full before anything is built."""

import difflib
import json
import math
import re
from typing import Any, NamedTuple

from fastcore.strategy import BUILTINS, builtin_params
from fastcore.types import SyncRule

CORE_KEYS = (
    "venue",
    "symbol",
    "tick",
    "lot",
    "run_tag",
    "strategy",
    "strategy_id",
    "params",
    "signals",
    "quoting",
    "limits",
    "budgets",
    "recv_window_ms",
    "mask_seed",
)
_SECTIONS = {
    "signals": ("ofi_tau_ms", "z_tau_ms"),
    "quoting": ("requote_ticks", "requote_ms", "modify", "messages_per_s_max"),
    "limits": (
        "price_collar_ticks",
        "qty_lots_max",
        "position_lots_max",
        "open_orders_max",
        "orders_per_10s_max",
        "orders_per_min_max",
        "book_age_ms_max",
    ),
    "budgets": ("tick_to_order_us_max", "ack_ms_max"),
}
SYNC_RULES = {
    "binance_usdm": SyncRule.FUTURES,
    "binance_coinm": SyncRule.FUTURES,
    "binance_spot": SyncRule.SPOT,
}


class Checked(NamedTuple):
    """A configuration in the core's own units."""

    sync_rule: SyncRule
    signal_mask: int
    view_levels: int
    params: list[float]
    ofi_tau_ns: int
    z_tau_ns: int
    ack_timeout_ns: int
    tick_to_order_ns_max: int


def check(config: dict[str, Any]) -> Checked:
    """The configuration in core units; ValueError names the key and what is wrong with it."""
    _check_keys("config", config, CORE_KEYS)
    for section, keys in _SECTIONS.items():
        _check_keys(section, config[section], keys)
    if config["venue"] not in SYNC_RULES:
        raise ValueError(f"Unknown venue {config['venue']!r}; known: {', '.join(SYNC_RULES)}")
    if not re.fullmatch(r"[0-9a-f]{8}", str(config["run_tag"])):
        raise ValueError(f"Expected run_tag to be 8 hexadecimal digits, was {config['run_tag']!r}")
    if not isinstance(config["strategy_id"], int) or not 0 <= config["strategy_id"] <= 255:
        raise ValueError(f"Expected strategy_id 0..255, was {config['strategy_id']!r}")
    params = builtin_params(config["strategy"], config["params"])
    return Checked(
        sync_rule=SYNC_RULES[config["venue"]],
        signal_mask=BUILTINS[config["strategy"]][1],
        view_levels=BUILTINS[config["strategy"]][2],
        params=params,
        ofi_tau_ns=_positive_ns(config, "signals", "ofi_tau_ms", 1e6),
        z_tau_ns=_positive_ns(config, "signals", "z_tau_ms", 1e6),
        ack_timeout_ns=_positive_ns(config, "budgets", "ack_ms_max", 1e6),
        tick_to_order_ns_max=_positive_ns(config, "budgets", "tick_to_order_us_max", 1e3),
    )


def client_prefix(config: dict[str, Any]) -> str:
    """First 14 characters of our client order ids: run, then strategy (codec/binance)."""
    return f"tm{config['run_tag']}-{config['strategy_id']:02x}-"


def assets(symbol: str) -> tuple[str, str]:
    """Base and quote asset by the symbol's name, until the venue's own words are configured."""
    for quote in ("USDT", "USDC", "FDUSD", "BTC"):
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    return "", ""


def to_json(config: dict[str, Any]) -> bytes:
    """Canonical bytes: what the CONFIG record holds and hashes are taken of."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _check_keys(where: str, given: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"Expected {where} to be a table, was {type(given).__name__}")
    for key in given:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown key {key!r} in {where}{hint}")
    for key in keys:
        if key not in given:
            raise ValueError(f"{where}.{key} is required")


def _positive_ns(config: dict[str, Any], section: str, key: str, ns_per_unit: float) -> int:
    value = config[section][key]
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"Expected {section}.{key} to be a number above 0, was {value!r}")
    return round(value * ns_per_unit)
