"""The core's configuration: what it must hold, checked in full before anything is built."""

import difflib
import json
import math
import re
from typing import Any, NamedTuple

from fastcore import halts, signals_settings
from fastcore.account import check_limits
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
    "halts",
    "budgets",
    "recv_window_ms",
    "mask_seed",
)
USER = "user:"  # config["strategy"] of a strategy that is not built in: user:<its name>
_SECTIONS = {
    "quoting": ("requote_ticks", "requote_ms"),
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
    requote_ticks: int
    requote_ns: int
    ack_timeout_ns: int
    tick_to_order_ns_max: int


def check(config: dict[str, Any], user: Any = None) -> Checked:
    """The configuration in core units; ValueError names the key and what is wrong with it.

    `user` is the compiled strategy where config["strategy"] is `user:<name>`; the configuration
    then holds the hash of its source, so that a journal says what ran.
    """
    is_user = str(config.get("strategy", "")).startswith(USER)
    _check_keys("config", config, (*CORE_KEYS, "strategy_sha256") if is_user else CORE_KEYS)
    for section, keys in _SECTIONS.items():
        _check_keys(section, config[section], keys)
    check_limits(config["limits"])
    halts.check_settings(config["halts"])
    signals_settings.check_settings(config["signals"])
    if config["venue"] not in SYNC_RULES:
        raise ValueError(f"Unknown venue {config['venue']!r}; known: {', '.join(SYNC_RULES)}")
    if not re.fullmatch(r"[0-9a-f]{8}", str(config["run_tag"])):
        raise ValueError(f"Expected run_tag to be 8 hexadecimal digits, was {config['run_tag']!r}")
    if not isinstance(config["strategy_id"], int) or not 0 <= config["strategy_id"] <= 255:
        raise ValueError(f"Expected strategy_id 0..255, was {config['strategy_id']!r}")
    signal_mask, view_levels, params = _strategy(config, user if is_user else None)
    if user is not None and not is_user:
        raise ValueError(f"A user's strategy is given, but strategy is {config['strategy']!r}")
    return Checked(
        sync_rule=SYNC_RULES[config["venue"]],
        signal_mask=signal_mask,
        view_levels=view_levels,
        params=params,
        requote_ticks=_whole(config, "quoting", "requote_ticks"),
        requote_ns=_whole(config, "quoting", "requote_ms") * 1_000_000,
        ack_timeout_ns=_positive_ns(config, "budgets", "ack_ms_max", 1e6),
        tick_to_order_ns_max=_positive_ns(config, "budgets", "tick_to_order_us_max", 1e3),
    )


def _strategy(config: dict[str, Any], user: Any) -> tuple[int, int, list[float]]:
    """(signals needed, levels a side needed, parameters in the order of the ABI)."""
    name = config["strategy"]
    if not str(name).startswith(USER):
        params = builtin_params(name, config["params"])
        return BUILTINS[name].signal_mask, BUILTINS[name].levels, params
    if user is None:
        raise ValueError(f"strategy {name!r} must be compiled and given as `user`")
    if name != USER + user.name:
        raise ValueError(f"strategy is {name!r}, but {user.name!r} was given")
    if config["strategy_sha256"] != user.source_sha256:
        raise ValueError(
            f"strategy_sha256 is {config['strategy_sha256']!r}, but the source of {user.name} has "
            f"{user.source_sha256!r}: it is not the one that ran"
        )
    return user.signal_mask, user.view_levels, user.param_values(config["params"])


def client_prefix(config: dict[str, Any]) -> str:
    """First 14 characters of our client order ids: run, then strategy (codec/binance)."""
    return f"tm{config['run_tag']}-{config['strategy_id']:02x}-"


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


def _whole(config: dict[str, Any], section: str, key: str) -> int:
    value = config[section][key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"Expected {section}.{key} to be a whole number >= 0, was {value!r}")
    return value
