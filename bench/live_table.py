"""`python -m bench.live_table`: the README's rows of the live engine, from bench/results."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError

RESULTS = Path(__file__).resolve().parent / "results"
FILES = ("capacity", "recorder", "recovery")
INSTRUMENTS = 200
NAMES = {
    "binance_usdm": "Binance USD-M", "binance_spot": "Binance spot",
    "bybit_linear": "Bybit linear", "bybit_spot": "Bybit spot",
}  # fmt: skip


def lines(found: Mapping[str, Any]) -> list[str]:
    """Markdown; `found` holds what the files of FILES do."""
    rows = [*_recovery(found["recovery"]), *_capacity(found["capacity"]),
            *_recorder(found["recorder"], found["capacity"]["recorder"])]  # fmt: skip
    return ["| what | measured |", "|---|---|", *(f"| {what} | {told} |" for what, told in rows)]


def _recovery(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reconnect, reconcile = told["reconnect"], told["reconcile"]
    yield "all connections lost → quoting again, p50 / max", "; ".join(
        f"{name} {_ms(reconnect[key]['p50_us'])} / {_ms(reconnect[key]['max_us'])} "
        f"(n = {reconnect[key]['n']})"
        for key, name in NAMES.items() if key in reconnect
    )  # fmt: skip
    orders = reconcile["orders"]
    for mixture, what in (
        ("own", f"{orders} open orders of a killed run reconciled, worst"),
        ("among_strangers", f"{orders} open orders, half of them a stranger's, worst"),
    ):
        yield what, "; ".join(
            f"{name} {_ms(one['max_us'])}{_bound(one)} (n = {one['n']})"
            for key, name in NAMES.items() if key in reconcile
            for one in [reconcile[key][mixture]]
        )  # fmt: skip


def _bound(one: Mapping[str, Any]) -> str:
    bound_s = one["bound_s"]
    return f", of which the venue's cancel limit is {bound_s:.1f} s" if bound_s else ""


def _capacity(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rate, rows = told["rate_per_s"], {row["instruments"]: row for row in told["rows"]}
    if INSTRUMENTS in rows:
        row = rows[INSTRUMENTS]
        yield (
            f"{INSTRUMENTS} instruments at {rate} messages/s each in one process: tick-to-order "
            "p50 / p99 / p99.9 / max",
            f"{_us(row['p50_us'])} / {_us(row['p99_us'])} / {_us(row['p999_us'])} / "
            f"{_us(row['max_us'])} (n = {row['n']:,}), {row['busy_share']:.0%} of one processor, "
            f"{row['rss_mb']:,.0f} MB",
        )
        yield (
            f"orders that Binance USD-M's limits leave each of {INSTRUMENTS} on one account",
            f"{row['orders_per_s_each_by_venue']:g} a second",
        )
    most = max(rows)
    at = told["doubles"]["at"]
    yield (
        f"p99 tick-to-order is twice that of few ({_us(told['doubles']['few_p99_us'])}) at",
        f"more than {most} instruments" if at is None else f"{at} instruments",
    )


def _recorder(
    told: Mapping[str, Any], beside: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    paced, capacity = told["paced"], told["capacity"]
    yield (
        f"ledger behind {paced['order_events_per_s']:,} order events a second, p50 / p99 / max",
        f"{paced['lag_p50_ms']:g} / {paced['lag_p99_ms']:g} / {paced['lag_max_ms']:g} ms; alone "
        f"it writes {capacity['order_events_per_s']:,} a second",
    )
    if beside is not None:
        per_s = sum(beside["order_events_per_s"]) / len(beside["order_events_per_s"])
        yield (
            f"p99 tick-to-order with the recorder at {per_s:,.0f} order events a second / without",
            f"{beside['p99_ratio']:.2f}×",
        )


def _us(us: float) -> str:
    return f"{us:,.1f} µs" if us < 1_000 else _ms(us)


def _ms(us: float) -> str:
    return f"{us / 1e3:,.0f} ms" if us < 1e6 else f"{us / 1e6:.1f} s"


def main() -> None:
    found = {}
    for name in FILES:
        path = RESULTS / f"{name}.json"
        if not path.is_file():
            raise SystemExit(f"{path.name} is not there: run `make bench`")
        found[name] = json.loads(path.read_text())
    try:
        sys.stdout.write("\n".join(lines(found)) + "\n")
    except KeyError as error:
        raise TickmakerError(f"a result lacks {error}", "measure it again") from None


if __name__ == "__main__":
    main()
