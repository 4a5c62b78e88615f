"""The core's configuration: what it must hold, checked in full before anything is built."""

import difflib
import json
import math
import re
from decimal import Decimal
from typing import Any, NamedTuple

from fastcore import halts, signals_settings, stops
from fastcore.account import check_limits
from fastcore.codec.base import DecoderBase, EncoderBase
from fastcore.codec.binance_decode import Decoder
from fastcore.codec.binance_encode import Encoder
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.codec.bybit_encode import BybitEncoder
from fastcore.strategy import BUILTINS, builtin_params
from fastcore.types import OrderFlag, SyncRule

CORE_KEYS = (
    "venue",
    "symbol",
    "number",
    "tick",
    "lot",
    "assets",
    "fees",
    "run_tag",
    "strategy",
    "strategy_id",
    "params",
    "signals",
    "quoting",
    "stops",
    "limits",
    "halts",
    "budgets",
    "recv_window_ms",
    "mask_seed",
)
NUMBERS = 4096  # cores of one run
INTENT_BITS = 36  # of an intent id that count; the 12 above them are the core's number
USER = "user:"  # config["strategy"] of a strategy that is not built in: user:<its name>
_SECTIONS = {
    "assets": ("base", "quote"),
    "fees": ("maker_bp", "taker_bp"),
    "quoting": ("requote_ticks", "requote_ms", "modify", "messages_per_s_max"),
    "budgets": ("tick_to_order_us_max", "ack_ms_max"),
}
_REFERENCE = ("lots_per_lot", "age_ms_max")  # optional section: this core is one leg of a pair


class Venue(NamedTuple):
    """What differs from venue to venue before the first byte."""

    sync_rule: SyncRule
    category: str  # Bybit's; "" elsewhere
    has_reduce_only: bool


VENUES = {
    "binance_usdm": Venue(SyncRule.FUTURES, "", True),
    "binance_coinm": Venue(SyncRule.FUTURES, "", True),
    "binance_spot": Venue(SyncRule.SPOT, "", False),
    "bybit_linear": Venue(SyncRule.BYBIT, "linear", True),
    "bybit_spot": Venue(SyncRule.BYBIT, "spot", False),
}
SYNC_RULES = {name: venue.sync_rule for name, venue in VENUES.items()}


class Checked(NamedTuple):
    """A configuration in the core's own units."""

    sync_rule: SyncRule
    signal_mask: int
    view_levels: int
    params: list[float]
    ack_timeout_ns: int
    tick_to_order_ns_max: int
    flags_mask: int
    fee_rates: tuple[float, float]
    lot_e8: int
    ref_lots_per_lot: float  # 0: no reference leg
    ref_age_ns_max: int
    first_intent_id: int
    is_trade_hashed: bool  # the venue's trade ids don't grow


def check(config: dict[str, Any], user: Any = None) -> Checked:
    """The configuration in core units; ValueError names the key and what is wrong with it.

    `user` is the compiled strategy where config["strategy"] is `user:<name>`; the configuration
    then holds the hash of its source, so that a journal says what ran.
    """
    is_user = str(config.get("strategy", "")).startswith(USER)
    optional = ["strategy_sha256"] * is_user + ["reference"] * ("reference" in config)
    _check_keys("config", config, (*CORE_KEYS, *optional))
    for section, keys in _SECTIONS.items():
        _check_keys(section, config[section], keys)
    check_limits(config["limits"])
    stops.check_settings(config["stops"])
    _check_slippage(config)
    halts.check_settings(config["halts"])
    signals_settings.check_settings(config["signals"])
    if config["venue"] not in VENUES:
        raise ValueError(f"Unknown venue {config['venue']!r}; known: {', '.join(VENUES)}")
    venue = VENUES[config["venue"]]
    if not re.fullmatch(r"[0-9a-f]{8}", str(config["run_tag"])):
        raise ValueError(f"Expected run_tag to be 8 hexadecimal digits, was {config['run_tag']!r}")
    if not isinstance(config["strategy_id"], int) or not 0 <= config["strategy_id"] <= 255:
        raise ValueError(f"Expected strategy_id 0..255, was {config['strategy_id']!r}")
    number = config["number"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < NUMBERS:
        raise ValueError(f"Expected number 0..{NUMBERS - 1}, was {number!r}")
    signal_mask, view_levels, params = _strategy(config, user if is_user else None)
    if user is not None and not is_user:
        raise ValueError(f"A user's strategy is given, but strategy is {config['strategy']!r}")
    return Checked(
        sync_rule=venue.sync_rule,
        signal_mask=signal_mask,
        view_levels=view_levels,
        params=params,
        ack_timeout_ns=_positive_ns(config, "budgets", "ack_ms_max", 1e6),
        tick_to_order_ns_max=_positive_ns(config, "budgets", "tick_to_order_us_max", 1e3),
        # Where the venue has no reduce-only, the gate alone sees to it.
        flags_mask=sum(OrderFlag) if venue.has_reduce_only else ~OrderFlag.REDUCE_ONLY & 7,
        lot_e8=max(1, int(Decimal(config["lot"]) * 10**8)),
        fee_rates=(_fee_rate(config, "maker_bp"), _fee_rate(config, "taker_bp")),
        ref_lots_per_lot=_reference(config, "lots_per_lot"),
        ref_age_ns_max=round(_reference(config, "age_ms_max") * 1e6),
        first_intent_id=(number << INTENT_BITS) + 1,
        is_trade_hashed=venue.category != "",
    )


def codec(
    config: dict[str, Any], api_key: bytes, secret: bytes
) -> tuple[DecoderBase, EncoderBase]:
    """The venue's decoder and encoder of a checked configuration."""
    prefix, assets = client_prefix(config), config["assets"]
    instrument = config["symbol"], config["tick"], config["lot"], prefix
    rest = api_key, secret, config["recv_window_ms"], config["mask_seed"]
    category = VENUES[config["venue"]].category
    if category:
        return (
            BybitDecoder(*instrument, category, assets["base"], assets["quote"]),
            BybitEncoder(*instrument, *rest, category),
        )
    kind = "binance_spot" if config["venue"] == "binance_spot" else "binance_usdm"
    return (
        Decoder(*instrument, assets["base"], assets["quote"]),
        Encoder(*instrument, *rest, kind),
    )


def params_of(config: dict[str, Any], params: dict[str, float], user: Any = None) -> list[float]:
    """What Core.params wants, of a table of parameters by name; ValueError names the first that
    is unknown, missing or wrong. `user` as for `check`."""
    return _strategy({**config, "params": params}, user)[2]


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


def _check_slippage(config: dict[str, Any]) -> None:
    """The collar must leave room for the limit price of an exit."""
    slippage_ticks = config["stops"]["slippage_ticks"]
    collar_ticks = config["limits"]["price_collar_ticks"]
    if slippage_ticks >= collar_ticks:
        raise ValueError(
            "Expected stops.slippage_ticks to be under limits.price_collar_ticks "
            f"({collar_ticks}), was {slippage_ticks}: the gate would deny the exit"
        )


def _fee_rate(config: dict[str, Any], key: str) -> float:
    """A fee as a share of the trade's worth; a rebate is negative."""
    value = config["fees"][key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1_000:
        raise ValueError(f"Expected fees.{key} to be basis points, -1000 to 1000, was {value!r}")
    return float(value) * 1e-4


def _reference(config: dict[str, Any], key: str) -> float:
    if "reference" not in config:
        name = config["strategy"]
        if name in BUILTINS and BUILTINS[name].needs_reference:
            raise ValueError(f"strategy {name} hedges: reference.{key} is required, and a pair")
        return 0.0
    _check_keys("reference", config["reference"], _REFERENCE)
    value = config["reference"][key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f"Expected reference.{key} to be a number above 0, was {value!r}")
    return float(value)


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
