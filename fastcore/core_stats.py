"""The core's counters made readable: names instead of bits, exact decimal money."""

from decimal import Decimal
from typing import Any

from fastcore.gate import CODES
from fastcore.types import EventKind, Halt, OrderState, Side, SyncState


def pnl(config: dict[str, Any], numbers: dict[str, Any]) -> dict[str, Decimal]:
    """Exact P&L in quote currency, marked at the mid: total = spread + inventory + fees.

    `spread` is what fills captured against the mid of their moment, `fees` is negative when paid,
    `inventory` is the rest: what the position gained or lost as the mid moved.
    """
    unit = Decimal(config["tick"]) * Decimal(config["lot"])
    twice_mid = numbers["bid_px_ticks"] + numbers["ask_px_ticks"]
    if numbers["position_lots"] != 0 and not (numbers["bid_px_ticks"] and numbers["ask_px_ticks"]):
        # No two-sided book to mark the position at: what can't be known is said to be unknown.
        nan = Decimal("NaN")
        return {"total": nan, "spread": nan, "fees": nan, "inventory": nan}
    gross = unit * (2 * numbers["cash_ticks_lots"] + numbers["position_lots"] * twice_mid) / 2
    spread = unit * numbers["spread_half_ticks_lots"] / 2
    fees = -Decimal(numbers["fees_e8"]).scaleb(-8)
    return {
        "total": gross + fees,
        "spread": spread,
        "fees": fees,
        "inventory": gross - spread,
    }


def halt_names(bits: int) -> list[str]:
    """Reasons in force; an empty list is RUNNING."""
    return [reason.name for reason in Halt if reason.value and bits & reason.value and reason.name]


def stats(
    config: dict[str, Any],
    numbers: dict[str, Any],
    tick_to_order: dict[str, Any],
    now_ns: int,
) -> dict[str, Any]:
    """JSON-able view of the core for the status page; prices in ticks, sizes in lots."""
    copied = (
        "position_lots",
        "cash_ticks_lots",
        "fees_e8",
        "fees_base_e8",
        "fees_other_e8",
        "spread_half_ticks_lots",
        "fills",
        "duplicate_fills",
        "strangers",
        "orders_sent",
        "cancels_sent",
        "modifies_sent",
        "late",
        "unsent",
        "frames",
        "malformed",
        "other_symbol",
        "unknown",
        "level_updates",
        "gaps",
        "crossed",
        "nonsense",
        "exits_denied",
        "strategy_code",
        "bid_px_ticks",
        "bid_qty_lots",
        "ask_px_ticks",
        "ask_qty_lots",
        "levels_bid",
        "levels_ask",
    )
    return {
        "symbol": config["symbol"],
        "strategy": config["strategy"],
        "tick": config["tick"],
        "lot": config["lot"],
        "now_ns": now_ns,
        "state": halt_names(numbers["halt_bits"]),
        "book": SyncState(numbers["sync_state"]).name,
        **{key: numbers[key] for key in copied},
        "own": [
            {**own, "side": Side(own["side"]).name, "state": OrderState(own["state"]).name}
            for own in numbers["own"]
        ],
        "pnl": {key: str(value) for key, value in pnl(config, numbers).items()},
        "denies": {name: numbers["denies"][code] for code, (name, _) in CODES.items()},
        "events": {kind.name: numbers["events"][kind] for kind in EventKind if kind},
        "tick_to_order": tick_to_order,
    }
