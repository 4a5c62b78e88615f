"""The ledger's views for people: decimals as exact text, UTC, and words instead of codes.

Everything is integer arithmetic on ticks and lots; no number here passes through a double.
"""

from fastcore.types import FeeAsset, OrderState, SendOutcome, Side, Verb


def _decimal(units: str, power: str, decimals: str) -> str:
    """SQL text of units / 10^decimals, with exactly that many digits behind the point."""
    return (
        f"CASE WHEN {decimals} = 0 THEN printf('%d', {units}) ELSE "
        f"printf('%s%d.%0*d', CASE WHEN {units} < 0 THEN '-' ELSE '' END, "
        f"abs({units}) / {power}, {decimals}, abs({units}) % {power}) END"
    )


def _px(column: str) -> str:
    return _decimal(f"({column} * tick_units)", "tick_pow", "tick_decimals")


def _mid(bid: str, ask: str) -> str:
    """Half a tick needs one digit more: (bid + ask) * tick / 2 = sum * 5 / 10^(decimals + 1)."""
    units = f"(({bid} + {ask}) * tick_units * 5)"
    return _decimal(units, "(tick_pow * 10)", "(tick_decimals + 1)")


def _qty(column: str) -> str:
    return _decimal(f"({column} * lot_units)", "lot_pow", "lot_decimals")


def _notional(px: str, qty: str) -> str:
    units = f"({px} * {qty} * tick_units * lot_units)"
    return _decimal(units, "(tick_pow * lot_pow)", "(tick_decimals + lot_decimals)")


def _utc(column: str) -> str:
    wall = (
        f"({column} + (SELECT CAST(value AS INTEGER) FROM meta "
        "WHERE key = 'wall_minus_monotonic_ns'))"
    )
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {wall} / 1000000000, 'unixepoch') || "
        f"printf('.%09dZ', {wall} % 1000000000)"
    )


def _words(column: str, words: dict[int, str]) -> str:
    cases = " ".join(f"WHEN {number} THEN '{word}'" for number, word in words.items())
    return f"CASE {column} {cases} ELSE printf('%d', {column}) END"


_SIDE = {int(side): side.name.lower() for side in Side}
_ORDER_STATE = {int(state): state.name.lower() for state in OrderState}
_VERB = {int(verb): verb.name.lower() for verb in Verb}
_FEE_ASSET = {int(asset): asset.name.lower() for asset in FeeAsset}
_OUTCOME = {int(outcome): outcome.name.lower() for outcome in SendOutcome}

VIEWS = f"""
CREATE VIEW v_orders AS SELECT
    {_utc("first_ts_ns")} AS first_utc,
    {_utc("last_ts_ns")} AS last_utc,
    intent_id, venue_order_id, symbol,
    {_words("side", _SIDE)} AS side,
    {_px("px_ticks")} AS px,
    {_qty("qty_lots")} AS qty,
    {_qty("cum_qty_lots")} AS cum_qty,
    {_words("state", _ORDER_STATE)} AS state,
    reason
FROM orders, instrument ORDER BY first_ts_ns, intent_id;

CREATE VIEW v_fills AS SELECT
    {_utc("ts_ns")} AS utc,
    seq, intent_id, trade_id, venue_order_id, symbol,
    {_words("side", _SIDE)} AS side,
    {_px("px_ticks")} AS px,
    {_qty("qty_lots")} AS qty,
    {_notional("px_ticks", "qty_lots")} AS notional,
    {_decimal("fee_e8", "100000000", "8")} AS fee,
    {_words("fee_asset", _FEE_ASSET)} AS fee_asset,
    CASE is_maker WHEN 1 THEN 'maker' ELSE 'taker' END AS liquidity,
    {_mid("bid_px_ticks", "ask_px_ticks")} AS mid,
    {_qty("position_after_lots")} AS position_after
FROM fills, instrument ORDER BY seq;

CREATE VIEW v_sends AS SELECT
    {_utc("ts_ns")} AS utc,
    out_seq, intent_id,
    {_words("verb", _VERB)} AS verb,
    {_words("outcome", _OUTCOME)} AS outcome,
    tick_to_order_ns / 1000.0 AS tick_to_order_us,
    message
FROM sends ORDER BY out_seq;

CREATE VIEW v_states AS SELECT
    {_utc("ts_ns")} AS utc, reasons, old_bits, new_bits
FROM states ORDER BY seq;
"""
