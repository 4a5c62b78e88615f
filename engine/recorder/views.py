"""The ledger's views for people: decimals as exact text, UTC, and words instead of codes.

Everything is integer arithmetic on ticks and lots; no number here passes through a double.
"""

from fastcore.journal import KIND
from fastcore.types import (
    FeeAsset,
    FillOwner,
    FillVia,
    Halt,
    OrderState,
    SendOutcome,
    Side,
    Verb,
)


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


def _utc(column: str, offset: str = "wall_minus_monotonic_ns") -> str:
    wall = f"({column} + {offset})"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {wall} / 1000000000, 'unixepoch') || "
        f"printf('.%09dZ', {wall} % 1000000000)"
    )


def _words(column: str, words: dict[int, str]) -> str:
    quoted = {number: word.replace("'", "''") for number, word in words.items()}
    cases = " ".join(f"WHEN {number} THEN '{word}'" for number, word in quoted.items())
    return f"CASE {column} {cases} ELSE CAST({column} AS TEXT) END"


def _client_id(intent: str) -> str:
    return (
        f"CASE WHEN {intent} > 0 AND client_prefix <> '' "
        f"THEN client_prefix || printf('%012x', {intent}) ELSE '' END"
    )


_SIDE = {int(side): side.name.lower() for side in Side}
_ORDER_STATE = {int(state): state.name.lower() for state in OrderState}
_VERB = {int(verb): verb.name.lower() for verb in Verb}
_FEE_ASSET = {int(asset): asset.name.lower() for asset in FeeAsset}
_OUTCOME = {int(outcome): outcome.name.lower() for outcome in SendOutcome}
_OWNER = {int(owner): owner.name.lower() for owner in FillOwner}
_VIA = {int(via): via.name.lower() for via in FillVia}
_CAUSE = {
    KIND["FRAME"]: "the venue's stream",
    KIND["TIMER"]: "time",
    KIND["COMMAND"]: "a command",
    KIND["CONN"]: "a connection",
    KIND["ACCOUNT"]: "the account's reconciliation",
    KIND["FILL_ROW"]: "a REST query of the fills",
    KIND["QUERY"]: "a REST query of the order",
}
# The name of what was paid: the instrument's own assets where the venue told them.
_ASSET_NAME = f"""CASE WHEN fee_asset = {int(FeeAsset.QUOTE)} AND quote <> '' THEN quote
    WHEN fee_asset = {int(FeeAsset.BASE)} AND base <> '' THEN base
    ELSE {_words("fee_asset", _FEE_ASSET)} END"""
_OPEN = ", ".join(
    str(int(state))
    for state in (
        OrderState.PENDING_NEW, OrderState.NEW, OrderState.PARTIALLY_FILLED,
        OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE, OrderState.UNKNOWN,
    )
)  # fmt: skip
_BITS = ", ".join(f"({int(halt)}, '{halt.name}')" for halt in Halt if halt)
_ANY_OFFSET = "(SELECT max(wall_minus_monotonic_ns) FROM instruments)"

# What an ordered shutdown hangs up is no halt, nor is the shutdown itself.
_WHILE_IT_RAN = f"""(new_bits & {int(Halt.SHUTDOWN)}) = 0 AND v_spans.ts_ns >= coalesce(
    (SELECT min(ts_ns) FROM states WHERE states.core = v_spans.core AND states.new_bits = 0), 0)"""


def _halt_reasons(name: str, condition: str) -> str:
    """How often each reason came, and how long it was in force; never free: all of it."""
    return f"""CREATE VIEW {name} AS
WITH bits (bit, name) AS (VALUES {_BITS})
SELECT account, venue, symbol, name AS reason,
    sum((new_bits & bit) <> 0 AND (old_bits & bit) = 0) AS times,
    sum(CASE WHEN new_bits & bit THEN until_ns - ts_ns ELSE 0 END) / 1e9 AS seconds
FROM v_spans JOIN bits ON (new_bits | old_bits) & bit JOIN instruments USING (core)
WHERE {condition} GROUP BY core, bit HAVING times > 0 OR seconds > 0 ORDER BY core, bit;"""


VIEWS = f"""
CREATE VIEW v_orders AS SELECT
    {_utc("first_ts_ns")} AS first_utc,
    {_utc("last_ts_ns")} AS last_utc,
    intent_id, venue_order_id, {_client_id("intent_id")} AS client_id, account, venue, symbol,
    {_words("side", _SIDE)} AS side,
    {_px("px_ticks")} AS px,
    {_qty("qty_lots")} AS qty,
    {_qty("cum_qty_lots")} AS cum_qty,
    {_words("state", _ORDER_STATE)} AS state,
    reason
FROM orders JOIN instruments USING (core) ORDER BY first_ts_ns, intent_id;

CREATE VIEW v_fills AS SELECT
    {_utc("ts_ns")} AS utc,
    seq, intent_id, {_client_id("intent_id")} AS client_id, trade_id, venue_order_id,
    account, venue, symbol,
    {_words("side", _SIDE)} AS side,
    {_px("px_ticks")} AS px,
    {_qty("qty_lots")} AS qty,
    {_notional("px_ticks", "qty_lots")} AS notional,
    {_decimal("fee_e8", "100000000", "8")} AS fee,
    {_words("fee_asset", _FEE_ASSET)} AS fee_asset,
    {_ASSET_NAME} AS fee_asset_name,
    CASE is_maker WHEN 1 THEN 'maker' ELSE 'taker' END AS liquidity,
    {_mid("bid_px_ticks", "ask_px_ticks")} AS mid,
    {_qty("position_after_lots")} AS position_after,
    {_words("owner", _OWNER)} AS owner,
    {_words("via", _VIA)} AS via
FROM fills JOIN instruments USING (core) ORDER BY seq;

CREATE VIEW v_positions AS SELECT
    {_utc("ts_ns")} AS utc, seq, account, venue, symbol,
    {_qty("position_lots")} AS position,
    {_qty("change_lots")} AS change, cause, trade_id
FROM positions JOIN instruments USING (core) ORDER BY seq;

CREATE VIEW v_fees AS SELECT   -- what was paid, by asset; no asset has a price here
    account, venue, symbol, {_ASSET_NAME} AS asset,
    {_decimal("sum(fee_e8)", "100000000", "8")} AS paid, count(*) AS fills
FROM fills JOIN instruments USING (core) GROUP BY core, fee_asset ORDER BY core, fee_asset;

CREATE VIEW v_sends AS SELECT
    {_utc("ts_ns")} AS utc, account, symbol,
    out_seq, intent_id,
    {_words("verb", _VERB)} AS verb,
    {_words("outcome", _OUTCOME)} AS outcome,
    tick_to_order_ns / 1000.0 AS tick_to_order_us,
    message
FROM sends JOIN instruments USING (core) ORDER BY seq;

CREATE VIEW v_states AS SELECT
    {_utc("ts_ns")} AS utc, account, symbol, reasons, old_bits, new_bits
FROM states JOIN instruments USING (core) ORDER BY seq;

CREATE VIEW v_spans AS         -- what the halt word was, from when until when; seconds may be 0
SELECT core, ts_ns, until_ns, old_bits, new_bits, reasons FROM (
    SELECT states.core, ts_ns, old_bits, new_bits, reasons,
        lead(ts_ns, 1, last_ts_ns) OVER (PARTITION BY states.core ORDER BY seq) AS until_ns
    FROM states JOIN journals USING (core)
)
UNION ALL                      -- what a core starts with is in no change
SELECT states.core, first_ts_ns, ts_ns, 0, old_bits,
    (WITH bits (bit, name) AS (VALUES {_BITS})
     SELECT group_concat(name, '+') FROM bits WHERE old_bits & bit)
FROM states JOIN journals USING (core)
WHERE old_bits <> 0 AND seq = (SELECT min(seq) FROM states AS s WHERE s.core = states.core);

CREATE VIEW v_halts AS SELECT  -- each time that quoting was not allowed: why, and how long
    {_utc("ts_ns")} AS from_utc, {_utc("until_ns")} AS to_utc, account, venue, symbol, reasons,
    (until_ns - ts_ns) / 1e9 AS seconds, core, ts_ns, until_ns
FROM v_spans JOIN instruments USING (core)
WHERE new_bits <> 0 AND until_ns > ts_ns ORDER BY ts_ns, core;

{_halt_reasons("v_halt_reasons", "1")}

-- The same from when the core was first free to quote until its shutdown.
{_halt_reasons("v_halt_reasons_running", _WHILE_IT_RAN)}

CREATE VIEW v_params AS        -- the strategy's parameters from that moment on
SELECT {_utc("ts_ns")} AS utc, account, symbol, strategy, params, why FROM (
    SELECT core, -1 AS seq, first_ts_ns AS ts_ns, 'start' AS why, coalesce(
        json_extract(config, '$.core.params'), json_extract(config, '$.params'), '{{}}') AS params
    FROM instruments JOIN journals USING (core)
    UNION ALL SELECT core, seq, ts_ns, 'change', params FROM params
) JOIN instruments USING (core) ORDER BY seq, core;

CREATE VIEW v_unknown AS       -- orders whose fate was open, and how it was settled
SELECT {_utc("since.ts_ns")} AS utc, account, symbol, since.intent_id,
    {_client_id("since.intent_id")} AS client_id, {_words("since.state", _ORDER_STATE)} AS doubt,
    {_words("settled.state", _ORDER_STATE)} AS settled,
    {_words("settled.cause_kind", _CAUSE)} AS settled_by,
    (settled.ts_ns - since.ts_ns) / 1e9 AS seconds
FROM order_events AS since JOIN instruments ON instruments.core = since.core
LEFT JOIN order_events AS settled ON settled.seq = (
    SELECT min(seq) FROM order_events AS later
    WHERE later.intent_id = since.intent_id AND later.seq > since.seq
        AND later.state <> {int(OrderState.UNKNOWN)}
)
WHERE since.state = {int(OrderState.UNKNOWN)} AND coalesce((
    SELECT before.state FROM order_events AS before
    WHERE before.intent_id = since.intent_id AND before.seq < since.seq
    ORDER BY before.seq DESC LIMIT 1), 0) <> {int(OrderState.UNKNOWN)}
ORDER BY since.seq;

CREATE VIEW v_open AS SELECT   -- orders that the journal did not see end
    core, intent_id, {_client_id("intent_id")} AS client_id, venue_order_id, account, symbol,
    {_words("side", _SIDE)} AS side, {_px("px_ticks")} AS px, {_qty("qty_lots")} AS qty,
    {_words("state", _ORDER_STATE)} AS state
FROM orders JOIN instruments USING (core) WHERE state IN ({_OPEN}) ORDER BY intent_id;

CREATE VIEW v_events AS SELECT
    {_utc("ts_ns", _ANY_OFFSET)} AS utc, seq, kind, engine_events.account AS account,
    coalesce(key, json_extract(detail, '$.instrument')) AS instrument, text, detail
FROM engine_events LEFT JOIN instruments ON instruments.core = engine_events.core ORDER BY seq;

CREATE VIEW v_divergences AS SELECT utc, account, instrument, text
FROM v_events WHERE kind = 'divergence' ORDER BY seq;

CREATE VIEW v_balances AS SELECT
    {_utc("ts_ns", _ANY_OFFSET)} AS utc, seq, account, asset,
    {_decimal("total_e8", "100000000", "8")} AS total
FROM balances ORDER BY seq, asset;
"""
