"""Binance USD-M futures, one-way mode: BinanceUsdm is the adapter.

Sources: developers.binance.com, USD-M futures: "Websocket market streams" (routed paths, 2026),
"Websocket API general info", "Exchange information", "Account", "Trade", "Error codes".
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.venues import base
from engine.venues.base import (
    AccountFacts,
    BalanceRow,
    Call,
    ConnPlan,
    FeeRates,
    KeyFacts,
    OrderRow,
    PositionRow,
    Setting,
    TradeRow,
    Urgency,
    Wanted,
)
from engine.venues.binance import DAY_MS, Binance
from engine.venues.binance_rows import SIDES, Row, algo_row, rate_ppm, rows, trade_row
from engine.venues.binance_symbols import instruments_of

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

CANCELS_PER_BATCH = 10
MARGIN_TYPES = {"cross": "CROSSED", "isolated": "ISOLATED"}
CODE_MARGIN_IS_SO = -4046  # No need to change margin type.


class BinanceUsdm(Binance):
    """One account's requests and answers."""

    name: str = NAME
    weight_per_min: int = WEIGHT_PER_MINUTE
    has_dead_man: bool = True
    keep_alive_every_s: float | None = LISTEN_KEY_RENEW_S
    cancel_batch_max: int = CANCELS_PER_BATCH
    # The documents disagree on streams of a connection, 200 or 1,024: the smaller holds.
    market_instruments_max: int = 66

    root: str = "/fapi/v1"
    streams: tuple[str, ...] = ("depth@0ms", "bookTicker", "trade")
    trades_path: str = "userTrades"
    trades_weight: int = 5
    trades_window_ms: int = 7 * DAY_MS
    order_weight: int = 1
    place_weight: int = 0
    # "HTTP return codes", 503: these two failed; only "Unknown error" leaves the fate open.
    safe_errors: tuple[str, ...] = (
        "Service Unavailable",
        "Internal error; unable to process your request",
    )

    # -- FACTS ---

    def instruments(
        self, symbols: Sequence[str], category: str
    ) -> Call[dict[str, base.Instrument]]:
        """The venue tells of all at once; TickmakerError: it doesn't know one."""
        wanted = tuple(symbols)

        def read(document: Any) -> dict[str, base.Instrument]:
            return instruments_of(document, wanted, self.name)[0]

        return Call("GET", f"{self.root}/exchangeInfo", read)

    def snapshot(self, instrument: base.Instrument) -> Call[bytes] | None:
        return self._depth(instrument, SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT)

    def key_facts(self) -> Call[KeyFacts] | None:
        """/sapi is on the spot venue's host, and on no testnet: only the local exchange has both
        under one address."""
        return self._restrictions("enableFutures") if self._is_local else None

    def account_facts(self) -> Call[AccountFacts] | None:
        """The margin mode is a symbol's, and `settings` brings it about."""

        def read(document: Any) -> AccountFacts:
            row = Row("accountConfig", document)
            mode = "hedge" if row.flag("dualSidePosition") else "one_way"
            return AccountFacts(mode, None, row.flag("canTrade"))

        return self._asked(f"{self.root}/accountConfig", read, 5)

    def fees(self, instrument: base.Instrument) -> Call[FeeRates]:
        def read(document: Any) -> FeeRates:
            row = Row("commissionRate", document)
            row.of("symbol", instrument.symbol)
            maker, taker = row.decimal("makerCommissionRate"), row.decimal("takerCommissionRate")
            return FeeRates(rate_ppm(maker), rate_ppm(taker))

        return Call("GET", f"{self.root}/commissionRate", read, {"symbol": instrument.symbol},
                    is_signed=True, weight=20)  # fmt: skip

    def settings(self, wanted: Wanted, instrument: base.Instrument) -> tuple[Setting, ...]:
        """Self-trade prevention is each order's own, and ours don't ask for it: the venue's
        default holds, which is none.  # unverified: whether it is for every account"""
        if wanted.stp not in (None, "none"):
            raise self._refuse(
                f"wanted.stp = {wanted.stp!r}: orders are sent with the venue's default, none",
                'set wanted.stp to "none" or leave it out',
            )
        symbol = instrument.symbol
        settings = []
        if wanted.margin_mode is not None:
            params = {"symbol": symbol, "marginType": MARGIN_TYPES[wanted.margin_mode]}
            what = f"margin mode {wanted.margin_mode} of {symbol}"
            settings.append(self._setting(what, "marginType", params, CODE_MARGIN_IS_SO))
        if wanted.leverage is not None:
            params = {"symbol": symbol, "leverage": str(wanted.leverage)}
            settings.append(self._setting(f"leverage of {symbol}", "leverage", params))
        if wanted.fee_discount is not None:
            params = {"feeBurn": "true" if wanted.fee_discount else "false"}
            settings.append(self._setting("fees in BNB", "feeBurn", params))
        return tuple(settings)

    def _setting(self, what: str, path: str, params: dict[str, str], done: int = 0) -> Setting:
        """`done`: the error that says that it is so already."""
        call: Call[None] = Call("POST", f"{self.root}/{path}", _an_object, params, is_signed=True)
        return Setting(what, call, lambda failure: done != 0 and failure.code == done)

    # -- WHAT WE HOLD ---

    def positions(self, instruments: Sequence[base.Instrument]) -> Call[list[PositionRow]]:
        """The venue tells of symbols with a position or an order alone: the others hold nothing.
        Hedge mode is refused: two positions of one symbol are not what we keep."""
        wanted = tuple(instruments)

        def read(document: Any) -> list[PositionRow]:
            lots = {instrument.symbol: 0 for instrument in wanted}
            traded = {instrument.symbol: instrument for instrument in wanted}
            for row in rows("positionRisk", document):
                symbol, side = row.text("symbol"), row.text("positionSide")
                if side != "BOTH":
                    raise TickmakerError(
                        f"{symbol} has a {side} position: the account is in hedge mode",
                        "close the positions and switch the account to one-way mode",
                        EXIT_USAGE,
                    )
                if symbol in traded:
                    lots[symbol] += row.lots("positionAmt", traded[symbol])
            return [PositionRow(symbol, held) for symbol, held in lots.items()]

        only = {"symbol": wanted[0].symbol} if len(wanted) == 1 else {}
        return self._asked("/fapi/v3/positionRisk", read, 5, **only)

    def balances(self) -> Call[list[BalanceRow]]:
        def read(document: Any) -> list[BalanceRow]:
            found = rows("balance", document)
            return [BalanceRow(row.text("asset"), row.e8("balance")) for row in found]

        return self._asked("/fapi/v3/balance", read, 5)

    def open_orders(
        self, instrument: base.Instrument, cursor: str = ""
    ) -> Call[tuple[list[OrderRow], str]]:
        return self._open_orders(instrument, 1)

    def open_conditional(self, instrument: base.Instrument) -> Call[list[OrderRow]] | None:
        def read(document: Any) -> list[OrderRow]:
            return [algo_row(row, instrument) for row in rows("openAlgoOrders", document)]

        path = f"{self.root}/openAlgoOrders"
        return self._asked(path, read, 1, symbol=instrument.symbol)

    def _trade(self, row: Row, instrument: base.Instrument) -> TradeRow:
        return trade_row(row, instrument, row.named("side", SIDES), "maker")

    # -- ORDERS OVER REST ---

    def cancel(self, instrument: base.Instrument, row: OrderRow) -> Call[None]:
        if not row.is_conditional:
            return super().cancel(instrument, row)
        return self._cancel(f"{self.root}/algoOrder", _an_object, algoId=row.venue_order_text)

    def cancel_many(
        self, instrument: base.Instrument, orders: Sequence[OrderRow]
    ) -> Call[None] | None:
        """Each order has its own answer, which nobody needs: what is open is asked for anyway.
        None: these can't be canceled together."""
        if not orders or any(row.is_conditional for row in orders):
            return None
        if len(orders) > CANCELS_PER_BATCH:
            raise ValueError(f"at most {CANCELS_PER_BATCH} orders in a batch, not {len(orders)}")
        names = ",".join(row.venue_order_text for row in orders)

        def read(document: Any) -> None:
            rows("batchOrders", document)

        return self._cancel(
            f"{self.root}/batchOrders", read, symbol=instrument.symbol, orderIdList=f"[{names}]"
        )

    def cancel_all(self, instrument: base.Instrument) -> tuple[Call[None], ...]:
        """Orders, then conditional ones: the first call leaves those alone."""
        return tuple(
            self._cancel(f"{self.root}/{path}", _an_object, symbol=instrument.symbol)
            for path in ("allOpenOrders", "algoOpenOrders")
        )

    def dead_man(
        self, instruments: Sequence[base.Instrument], timeout_ms: int
    ) -> tuple[Call[None], ...]:
        """Each symbol has its own countdown."""
        return tuple(self._countdown(i.symbol, timeout_ms) for i in instruments)

    def _countdown(self, symbol: str, timeout_ms: int) -> Call[None]:
        def read(document: Any) -> None:
            row = Row("countdownCancelAll", document)
            row.of("symbol", symbol)
            row.of("countdownTime", str(timeout_ms))

        params = {"symbol": symbol, "countdownTime": str(timeout_ms)}
        return Call("POST", f"{self.root}/countdownCancelAll", read, params, is_signed=True,
                    weight=10, urgency=Urgency.SAFETY)  # fmt: skip

    # -- CONNECTIONS ---

    def market_plan(self, instruments: Sequence[base.Instrument]) -> ConnPlan:
        return self._market_plan(self._url("public", "/public"), instruments)

    def trade_plan(self, utc_ms: int) -> ConnPlan:
        return self._trade_plan(self._url("ws_api", "/ws-fapi/v1"), utc_ms)

    def user_token(self) -> Call[str] | None:
        """The account's listen key, made or extended to 60 more minutes."""

        def read(document: Any) -> str:
            key = document.get("listenKey") if isinstance(document, dict) else None
            if not isinstance(key, str) or not key:
                raise ValueError("listenKey: Expected a key, was not there")  # never shown
            return key

        return self._listen_key("POST", read)

    def keep_alive(self, token: str) -> Call[bool] | None:
        """A key that is gone is a failure that `is_absent`; False: another took its place. The
        key itself is not sent: the venue knows whose it is."""

        def read(document: Any) -> bool:
            Row("listenKey", document)
            return document.get("listenKey", token) == token

        return self._listen_key("PUT", read)

    def _listen_key(self, method: str, read: Callable[[Any], Any]) -> Call[Any]:
        path = f"{self.root}/listenKey"
        return Call(method, path, read, needs_key=True, urgency=Urgency.SAFETY)

    def user_plan(self, token: str, utc_ms: int) -> ConnPlan:
        return ConnPlan(user_url(self._url("private", "/private"), token))


def _an_object(document: Any) -> None:
    Row("answer", document)


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
