"""exchangeInfo of Binance's venues: filters and limits of the symbols that were asked for.

The same filters under slightly other names: USD-M's MIN_NOTIONAL has `notional`, spot's NOTIONAL
(or MIN_NOTIONAL) `minNotional`.
Sources: binance-spot-api-docs (filters.md, rest-api.md: Exchange information);
developers.binance.com, USD-M futures (Exchange Information, Public Endpoints Info).
"""

import difflib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.venues.base import Instrument
from engine.venues.binance_rows import Row

TRADING = "TRADING"
NOTIONAL_KEYS = (("NOTIONAL", "minNotional"), ("MIN_NOTIONAL", "notional"),
                 ("MIN_NOTIONAL", "minNotional"))  # fmt: skip
OPEN_ORDERS_KEYS = (("MAX_NUM_ORDERS", "limit"), ("MAX_NUM_ORDERS", "maxNumOrders"))


def instruments_of(
    document: Any, symbols: Iterable[str], venue: str
) -> tuple[dict[str, Instrument], dict[str, Row]]:
    """The instruments, and the rows they were read from; TickmakerError: one is unknown."""
    info = Row("exchangeInfo", document)
    limits = _order_limits(info)
    listed = {row.text("symbol"): row for row in info.rows("symbols")}
    rows = {symbol: _found(listed, symbol, venue) for symbol in symbols}
    return {symbol: _instrument(row, limits, venue) for symbol, row in rows.items()}, rows


def _found(listed: dict[str, Row], symbol: str, venue: str) -> Row:
    row = listed.get(symbol)
    if row is None:
        near = difflib.get_close_matches(symbol, listed, n=3, cutoff=0.5)
        raise TickmakerError(
            f"symbol {symbol!r} is unknown at {venue} ({len(listed)} symbols listed)",
            f"did you mean {', '.join(near)}?" if near else "the venue lists no similar name",
            EXIT_USAGE,
        )
    return row


def _order_limits(info: Row) -> dict[tuple[str, int], int]:
    """Orders of an account by (interval, how many of it)."""
    return {
        (row.text("interval"), row.whole("intervalNum")): row.whole("limit")
        for row in info.rows("rateLimits")
        if row.text("rateLimitType") == "ORDERS"
    }


def _instrument(row: Row, limits: dict[tuple[str, int], int], venue: str) -> Instrument:
    symbol = row.text("symbol")
    filters = {one.text("filterType"): one for one in row.rows("filters")}
    for name in ("PRICE_FILTER", "LOT_SIZE"):
        if name not in filters:
            raise ValueError(f"exchangeInfo: Expected {name} of {symbol}, was not there")
    lots = filters["LOT_SIZE"]
    notional, open_orders = _first(filters, NOTIONAL_KEYS), _first(filters, OPEN_ORDERS_KEYS)
    return Instrument(
        venue=venue,
        symbol=symbol,
        tick=filters["PRICE_FILTER"].step("tickSize"),
        lot=lots.step("stepSize"),
        qty_min=lots.size("minQty"),
        qty_max=lots.size("maxQty"),
        notional_min=Decimal(0) if notional is None else notional[0].size(notional[1]),
        base=row.text("baseAsset"),
        quote=row.text("quoteAsset"),
        is_trading=row.text("status") == TRADING,
        orders_per_10s_max=limits.get(("SECOND", 10)),
        orders_per_min_max=limits.get(("MINUTE", 1)),
        orders_per_s_max=limits.get(("SECOND", 1)),
        open_orders_max=None if open_orders is None else open_orders[0].whole(open_orders[1]),
    )


def _first(filters: dict[str, Row], keys: Iterable[tuple[str, str]]) -> tuple[Row, str] | None:
    """The first filter that is there with that key."""
    for name, key in keys:
        if name in filters and filters[name].has(key):
            return filters[name], key
    return None
