"""Binance USD-M futures: URLs, streams, filters, error codes.

Sources: developers.binance.com, USD-M futures: "Websocket market streams" (routed paths, 2026),
"Websocket API general info", "Exchange information", "Error codes".
"""

import difflib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError

NAME = "binance_usdm"

TIME = "/fapi/v1/time"
EXCHANGE_INFO = "/fapi/v1/exchangeInfo"
DEPTH = "/fapi/v1/depth"
OPEN_ORDERS = "/fapi/v1/openOrders"
ALL_OPEN_ORDERS = "/fapi/v1/allOpenOrders"
POSITION_RISK = "/fapi/v3/positionRisk"
LISTEN_KEY = "/fapi/v1/listenKey"

API_KEY_HEADER = "X-MBX-APIKEY"
SNAPSHOT_LEVELS = 1000  # the most that the venue gives
SNAPSHOT_WEIGHT = 20
WEIGHT_PER_MINUTE = 2_400  # of an address
LISTEN_KEY_RENEW_S = 30 * 60.0  # it lives 60 minutes
CONNECTION_AGE_S_MAX = 24 * 3600.0  # the venue closes older connections

CODE_TIMESTAMP = -1021
CODE_LISTEN_KEY_GONE = -1125
CODES_CREDENTIAL = frozenset({-2014, -2015, -1022})
# Who may try again, and how it is told: HTTP 429 (slow down), 418 (banned), both with Retry-After.
STATUS_THROTTLED = frozenset({418, 429})
STATUS_TIMEOUT = 408  # the venue waited in vain for its own backend


def market_url(public: str, symbol: str) -> str:
    """Combined streams of one instrument; `public` is the root, with or without /public."""
    name = symbol.lower()
    streams = f"{name}@depth@0ms/{name}@bookTicker/{name}@trade"
    return f"{_rooted(public, '/public')}/stream?streams={streams}"


def user_url(private: str, listen_key: str) -> str:
    """User data. Holds the listen key: never to be shown."""
    return f"{_rooted(private, '/private')}/ws?listenKey={listen_key}"


def trade_url(ws_api: str) -> str:
    """Order entry."""
    return _rooted(ws_api, "/ws-fapi/v1")


def _rooted(base: str, root: str) -> str:
    base = base.rstrip("/")
    return base if base.endswith(root) else base + root


@dataclass(frozen=True)
class Instrument:
    """What exchangeInfo says of one symbol. Decimal texts as the venue wrote them."""

    symbol: str
    tick: str
    lot: str
    qty_min: Decimal
    qty_max: Decimal
    notional_min: Decimal
    orders_per_10s_max: int | None  # of the account; None: not told
    orders_per_min_max: int | None
    assets: dict[str, str]  # base and quote; fees in any other are no money of ours

    def lots(self, qty: str) -> int:
        """`qty` in lots, exactly; ValueError when it is no whole number of them."""
        lots = Decimal(qty) / Decimal(self.lot)
        if lots != int(lots):
            raise ValueError(f"Expected a multiple of {self.lot}, was {qty}")
        return int(lots)


def instrument(exchange_info: dict[str, Any], symbol: str) -> Instrument:
    """Filters of `symbol`; TickmakerError if it is unknown (near names given) or not trading."""
    symbols = {str(row.get("symbol")): row for row in exchange_info.get("symbols", [])}
    row = symbols.get(symbol)
    if row is None:
        near = difflib.get_close_matches(symbol, symbols, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "the venue lists no similar name"
        raise TickmakerError(
            f"symbol {symbol!r} is unknown at {NAME} ({len(symbols)} symbols listed)",
            hint,
            EXIT_USAGE,
        )
    if row.get("status", "TRADING") != "TRADING":
        raise TickmakerError(
            f"symbol {symbol} is not trading at {NAME}: status {row.get('status')}",
            "choose another symbol, or wait until the venue trades it",
        )
    filters = {str(f.get("filterType")): f for f in row.get("filters", [])}
    limits = {
        (limit.get("interval"), limit.get("intervalNum")): int(limit["limit"])
        for limit in exchange_info.get("rateLimits", [])
        if limit.get("rateLimitType") == "ORDERS"
    }
    return Instrument(
        symbol=symbol,
        tick=_step(filters, symbol, "PRICE_FILTER", "tickSize"),
        lot=_step(filters, symbol, "LOT_SIZE", "stepSize"),
        qty_min=Decimal(_step(filters, symbol, "LOT_SIZE", "minQty")),
        qty_max=Decimal(_step(filters, symbol, "LOT_SIZE", "maxQty")),
        notional_min=Decimal(str(filters.get("MIN_NOTIONAL", {}).get("notional", "0"))),
        orders_per_10s_max=limits.get(("SECOND", 10)),
        orders_per_min_max=limits.get(("MINUTE", 1)),
        assets={"base": str(row.get("baseAsset", "")), "quote": str(row.get("quoteAsset", ""))},
    )


def _step(filters: dict[str, Any], symbol: str, name: str, key: str) -> str:
    text = str(filters.get(name, {}).get(key, ""))
    try:
        is_good = Decimal(text) > 0
    except InvalidOperation:
        is_good = False
    if not is_good:
        raise TickmakerError(
            f"exchangeInfo of {symbol}: Expected {name}.{key} above 0, was {text!r}",
            "the venue's answer is not what it documents; check that rest_url is right",
        )
    return text


def check_limits(
    traded: Instrument, qty_lots_max: int, orders_per_10s_max: int, orders_per_min_max: int
) -> None:
    """Our limits must lie inside the venue's: refuse what could only fail later."""
    pairs = (
        ("qty_lots_max", qty_lots_max, int(traded.qty_max / Decimal(traded.lot))),
        ("orders_per_10s_max", orders_per_10s_max, traded.orders_per_10s_max),
        ("orders_per_min_max", orders_per_min_max, traded.orders_per_min_max),
    )
    for name, ours, theirs in pairs:
        if theirs is not None and ours > theirs:
            raise TickmakerError(
                f"Configuration: core.limits.{name} is {ours}, over the venue's {theirs}",
                f"lower core.limits.{name}",
                EXIT_USAGE,
            )


def check_size(traded: Instrument, qty_lots: float | None, px_ticks: int) -> None:
    """Would the venue refuse an order of this size at this price as too small?"""
    if qty_lots is None:
        return
    qty = Decimal(qty_lots) * Decimal(traded.lot)
    notional = qty * px_ticks * Decimal(traded.tick)
    if qty < traded.qty_min or notional < traded.notional_min:
        raise TickmakerError(
            f"Configuration: core.params.qty_lots is {qty_lots:g}, {notional:.2f} in the quote "
            f"asset: {traded.symbol} orders are {traded.qty_min} and {traded.notional_min} up",
            "raise core.params.qty_lots",
            EXIT_USAGE,
        )


def position_lots(rows: list[dict[str, Any]], traded: Instrument) -> int:
    """Signed net position in lots, from positionRisk; one-way mode only."""
    total = 0
    for row in rows:
        amount = str(row.get("positionAmt", "0"))
        if row.get("symbol") != traded.symbol or Decimal(amount) == 0:
            continue
        if row.get("positionSide", "BOTH") != "BOTH":
            raise TickmakerError(
                f"{traded.symbol} has a {row['positionSide']} position: the account is in hedge "
                "mode",
                "close the positions and switch the account to one-way mode",
                EXIT_USAGE,
            )
        total += traded.lots(amount)
    return total


def remedy(status: int, code: int) -> str:
    """What a person can do about an error answer."""
    if code in CODES_CREDENTIAL:
        return "check the API key, its permissions and its address list"
    if code == CODE_TIMESTAMP:
        return "this host's clock is off: check NTP, or raise recv_window_ms"
    if status in STATUS_THROTTLED:
        return "the venue asks us to slow down: wait before the next start"
    if status >= 500 or status == STATUS_TIMEOUT:
        return "the venue has trouble: try again later"
    return "the venue refused the request; its error code is documented under 'Error codes'"
