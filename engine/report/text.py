"""Numbers and units as people read them; shared by the page and the terminal."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.recorder.ledger import state_text
from fastcore.types import Halt

NONE = "—"
# Of a run that ends so somebody should know: only a person clears these, a full journal nobody.
LATCHED = Halt.STRATEGY | Halt.REPEATED_EXECUTION | Halt.OPERATOR | Halt.JOURNAL
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "BTC", "ETH", "BNB")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def quote_name(symbol: str) -> str:
    """Quote currency by the symbol's ending; "quote" where it can't be told."""
    for name in _QUOTES:
        if symbol.endswith(name) and symbol != name:
            return name
    return "quote"


def is_number(value: Any) -> bool:
    return value is not None and Decimal(str(value)).is_finite()


def money(value: Any) -> str:
    """Signed amount with four digits behind the point: +1,234.5678."""
    return f"{Decimal(str(value)):+,.4f}" if is_number(value) else NONE


def us(value: Any) -> str:
    """Microseconds: 8.1 µs, 1,234 µs."""
    if not is_number(value):
        return NONE
    return f"{value:,.0f} µs" if value >= 1000 else f"{value:,.1f} µs"


def plain(value: Any) -> str:
    return f"{value:,}" if is_number(value) else NONE


def quantity(lots: int, lot: Decimal) -> str:
    """Exact quantity: lots x lot size, in the lot's digits."""
    return f"{lots * lot:,}"


def fee_text(fee_e8: int | str, asset: str) -> str:
    """What was paid in an asset that is not the quote: "0.00010000 base"."""
    return f"{Decimal(fee_e8).scaleb(-8):.8f} {asset}"


def other_fees(report: dict[str, Any]) -> str:
    """What was paid in assets that the P&L has no price for; empty where nothing was."""
    priced = {"quote", report.get("quote"), *report.get("pnl_by_quote", ())}
    paid = report.get("fees_by_asset", {})
    base = report.get("base") or "base"
    return ", ".join(
        f"{paid[name]} {base if name == 'base' else name}" for name in paid if name not in priced
    )


def denied_text(report: dict[str, Any]) -> str:
    """By reason, the most frequent first: "RATE 380, SELF_CROSS 2"; empty where none was."""
    denies = report.get("denies", {})
    names = sorted((name for name in denies if denies[name]), key=lambda name: -denies[name])
    return ", ".join(f"{name} {denies[name]:,}" for name in names)


def bits_text(bits: int) -> str:
    return state_text(bits).replace("+", " + ")


def utc_text(wall_ns: int) -> str:
    """2026-01-02 03:04:05 UTC; empty when there is no wall clock in the run."""
    if wall_ns <= 0:
        return ""
    return f"{_EPOCH + timedelta(microseconds=wall_ns // 1000):%Y-%m-%d %H:%M:%S} UTC"
