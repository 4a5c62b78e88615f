"""What the signals may be told: names, defaults, bounds. One table; docs/signals.md shows it."""

import difflib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

STOIKOV_BINS_MAX = 32
STOIKOV_SPREADS_MAX = 16


class Setting(NamedTuple):
    default: Any
    low: float
    high: float
    about: str


_MS = (1e-6, 1e9)  # 1 ns .. 11 days
TABLE: dict[str, Setting] = {
    "ofi_tau_ms": Setting(500.0, *_MS, "time constant of the decayed order flows"),
    "ofi_window_ms": Setting(1_000.0, *_MS, "width of the order-flow window"),
    "ofi_levels_count": Setting(5, 1, 10, "levels a side of the multi-level order flow"),
    "z_tau_ms": Setting(5_000.0, *_MS, "time constant of the mean and deviation behind z"),
    "keltner_bar_ms": Setting(1_000.0, *_MS, "length of a bar"),
    "keltner_ema_bars": Setting(20, 1, 1_000_000, "n of the middle line, EMA 2 / (n + 1)"),
    "keltner_atr_bars": Setting(10, 1, 1_000_000, "n of Wilder's average true range, 1 / n"),
    "keltner_mult": Setting(2.0, 1e-6, 1e6, "true ranges from the middle line to a band"),
    "volatility_grid_ms": Setting(1_000.0, *_MS, "step between the mids whose returns count"),
    "volatility_tau_ms": Setting(60_000.0, *_MS, "time constant of the variance"),
    "tfi_tau_ms": Setting(5_000.0, *_MS, "time constant of the trade-flow imbalance"),
    "vpin_bucket_lots": Setting(1_000, 1, 10**15, "volume of a bucket; a fiftieth of a day's"),
    "vpin_buckets": Setting(50, 1, 256, "buckets in the mean"),
    "spread_tau_ms": Setting(30_000.0, *_MS, "time constant of the spread's mean and deviation"),
    "pair_grid_ms": Setting(1_000.0, *_MS, "step between the samples of the two legs"),
    "pair_tau_ms": Setting(60_000.0, *_MS, "time constant of the spread's mean, deviation, AR(1)"),
    "pair_drift": Setting(
        1e-14, 0.0, 0.5, "delta: hedge ratio's variance a step, delta/(1-delta)"
    ),
    "pair_noise_var": Setting(
        1e-8, 1e-30, 1e6, "variance of our return the reference leaves open"
    ),
    "stoikov_table": Setting(
        (), -1e6, 1e6, "rows of ticks over mid: one a spread from 1 tick up, one column a bin"
    ),
}
SETTINGS: dict[str, Any] = {name: setting.default for name, setting in TABLE.items()}


def check_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, defaults filled in. ValueError names `signals.key` and what is wrong."""
    for key in given:
        if key not in TABLE:
            near = difflib.get_close_matches(str(key), TABLE, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(TABLE)}"
            raise ValueError(f"Unknown setting signals.{key}{hint}")
    settings = {**SETTINGS, **given}
    for key, setting in TABLE.items():
        if key != "stoikov_table":
            _check_number(f"signals.{key}", settings[key], setting)
    settings["stoikov_table"] = _check_table(settings["stoikov_table"])
    return settings


def _check_number(key: str, value: Any, setting: Setting) -> None:
    whole = isinstance(setting.default, int)
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else int | float)
        or not setting.low <= value <= setting.high
    ):
        kind = "a whole number" if whole else "a number"
        raise ValueError(
            f"Expected {key} to be {kind} in {setting.low:g} .. {setting.high:g}, was {value!r}"
        )


def _check_table(table: Any) -> tuple[tuple[float, ...], ...]:
    """Rows of floats; () where there is no table."""
    key, limit = "signals.stoikov_table", TABLE["stoikov_table"].high
    if not isinstance(table, list | tuple) or len(table) > STOIKOV_SPREADS_MAX:
        raise ValueError(f"Expected {key} to be at most {STOIKOV_SPREADS_MAX} rows, was {table!r}")
    rows = []
    for index, row in enumerate(table):
        if not isinstance(row, list | tuple) or not 2 <= len(row) <= STOIKOV_BINS_MAX:
            raise ValueError(f"Expected {key}[{index}] to be 2 .. {STOIKOV_BINS_MAX} numbers")
        for value in row:
            if not isinstance(value, int | float) or not abs(value) <= limit or math.isnan(value):
                raise ValueError(f"Expected {key}[{index}] to hold ticks, found {value!r}")
        if len(row) != len(table[0]):
            raise ValueError(f"Expected {key}[{index}] to be as long as the first row")
        rows.append(tuple(map(float, row)))
    return tuple(rows)


def as_markdown() -> str:
    """The table of docs/signals.md."""
    lines = ["| setting | default | from .. to | what it is |", "|---|---|---|---|"]
    for name, setting in TABLE.items():
        default = "none" if setting.default == () else f"{setting.default:g}"
        bounds = f"{setting.low:g} .. {setting.high:g}"
        lines.append(f"| `{name}` | {default} | {bounds} | {setting.about} |")
    return "\n".join(lines)
