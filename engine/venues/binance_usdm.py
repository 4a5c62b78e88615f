"""Binance USD-M futures, one-way mode: BinanceUsdm is the adapter.

Sources: developers.binance.com, USD-M futures: "Websocket market streams" (routed paths, 2026),
"Websocket API general info", "Exchange information", "Account", "Trade", "Error codes".
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.venues.base import (
    AccountFacts,
    BalanceRow,
    Call,
    ConnPlan,
    FeeRates,
    Instrument,
    KeyFacts,
    OrderRow,
    PositionRow,
    Setting,
    TradeRow,
    Urgency,
    Wanted,
)
from engine.venues.binance import DAY_MS, Binance
from engine.venues.binance_answers import Told5xx
from engine.venues.binance_rows import SIDES, Row, open_algo_row, rate_ppm, rows, trade_row
from engine.venues.binance_symbols import instruments_of

# (levels, weight), "Order Book": 1,000 is the most that the venue gives.
SNAPSHOTS = ((1_000, 20), (500, 10), (100, 5), (50, 2))
LISTEN_KEY = re.compile(r"[A-Za-z0-9_-]{1,256}")  # it becomes a part of an address
LISTEN_KEY_RENEW_S = 30 * 60.0  # it lives 60 minutes
CANCELS_PER_BATCH = 10
MARGIN_TYPES = {"cross": "CROSSED", "isolated": "ISOLATED"}
STP_DEFAULT = "expire_maker"
CODE_MARGIN_IS_SO = -4046  # No need to change margin type.


def _an_object(document: Any) -> None:
    Row("answer", document)


class BinanceUsdm(Binance):
    """One account's requests and answers."""

    name: str = "binance_usdm"
    weight_per_min: int = 2_400
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
    # "HTTP return codes", 503: these failed; only "Unknown error" leaves the fate open.
    told_5xx: Told5xx = Told5xx(
        ("Service Unavailable", "Internal error; unable to process your request"),
        frozenset({-1008}),
    )

    # -- FACTS ---

    def instruments(self, symbols: Sequence[str], category: str) -> Call[dict[str, Instrument]]:
        """The venue tells of all at once; TickmakerError: it doesn't know one."""
        wanted = tuple(symbols)

        def read(document: Any) -> dict[str, Instrument]:
            return instruments_of(document, wanted, self.name)[0]

        return Call("GET", f"{self.root}/exchangeInfo", read)

    def snapshot(self, instrument: Instrument, among: int = 1) -> Call[bytes] | None:
        return self._depth(instrument, SNAPSHOTS, among)

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

    def fees(self, instrument: Instrument) -> Call[FeeRates]:
        def read(document: Any) -> FeeRates:
            row = Row("commissionRate", document)
            row.of("symbol", instrument.symbol)
            maker, taker = row.decimal("makerCommissionRate"), row.decimal("takerCommissionRate")
            return FeeRates(rate_ppm(maker), rate_ppm(taker))

        return Call("GET", f"{self.root}/commissionRate", read, {"symbol": instrument.symbol},
                    is_signed=True, weight=20)  # fmt: skip

    def settings(self, wanted: Wanted, instrument: Instrument) -> tuple[Setting, ...]:
        """Self-trade prevention is each order's own, and ours don't ask for it: the venue's
        default holds. It is for everybody since 2024-12-10 ("Self-Trade Prevention mandatory on
        Binance Futures"). An order that was modified has none any more."""
        if wanted.stp not in (None, STP_DEFAULT):
            raise self._refuse(
                f"wanted.stp = {wanted.stp!r}: orders are sent with the venue's default, "
                f"{STP_DEFAULT}",
                f'set wanted.stp to "{STP_DEFAULT}" or leave it out',
            )
        symbol = instrument.symbol
        settings = []
        if wanted.margin_mode is not None:
            params = {"symbol": symbol, "marginType": MARGIN_TYPES[wanted.margin_mode]}
            what = f"margin mode {wanted.margin_mode} of {symbol}"
            settings.append(self._setting(what, "marginType", params, CODE_MARGIN_IS_SO))
        if wanted.leverage is not None:
            settings.append(self._leverage(symbol, wanted.leverage))
        if wanted.fee_discount is not None:
            params = {"feeBurn": "true" if wanted.fee_discount else "false"}
            settings.append(self._setting("fees in BNB", "feeBurn", params))
        return tuple(settings)

    def _leverage(self, symbol: str, leverage: int) -> Setting:
        def read(document: Any) -> None:
            row = Row("leverage", document)
            row.of("symbol", symbol)
            if row.whole("leverage") != leverage:
                raise row.wrong("leverage", str(leverage))

        params = {"symbol": symbol, "leverage": str(leverage)}
        return self._setting(f"leverage of {symbol}", "leverage", params, read=read)

    def _setting(
        self,
        what: str,
        path: str,
        params: dict[str, str],
        done: int = 0,
        read: Callable[[Any], None] = _an_object,
    ) -> Setting:
        """`done`: the error that says that it is so already."""
        call: Call[None] = Call("POST", f"{self.root}/{path}", read, params, is_signed=True)
        return Setting(what, call, lambda failure: done != 0 and failure.code == done)

    # -- WHAT WE HOLD ---

    def positions(self, instruments: Sequence[Instrument]) -> Call[list[PositionRow]]:
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
        self, instrument: Instrument, cursor: str = ""
    ) -> Call[tuple[list[OrderRow], str]]:
        return self._open_orders(instrument, 1)

    def open_conditional(self, instrument: Instrument) -> Call[list[OrderRow]] | None:
        def read(document: Any) -> list[OrderRow]:
            return [open_algo_row(row, instrument) for row in rows("openAlgoOrders", document)]

        path = f"{self.root}/openAlgoOrders"
        return self._asked(path, read, 1, symbol=instrument.symbol)

    def _trade(self, row: Row, instrument: Instrument) -> TradeRow:
        return trade_row(row, instrument, row.named("side", SIDES), "maker")

    # -- ORDERS OVER REST ---

    def cancel(self, instrument: Instrument, row: OrderRow) -> Call[None]:
        if not row.is_conditional:
            return super().cancel(instrument, row)
        return self._cancel(f"{self.root}/algoOrder", _an_object, algoId=row.venue_order_text)

    def cancel_many(
        self, instrument: Instrument, orders: Sequence[OrderRow]
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

    def cancel_all(self, instrument: Instrument) -> tuple[Call[None], ...]:
        """Orders, then conditional ones: the first call leaves those alone."""
        return tuple(
            self._cancel(f"{self.root}/{path}", _an_object, symbol=instrument.symbol)
            for path in ("allOpenOrders", "algoOpenOrders")
        )

    def dead_man(
        self, instruments: Sequence[Instrument], timeout_ms: int
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
                    weight=10, urgency=Urgency.UPKEEP)  # fmt: skip

    # -- CONNECTIONS ---

    def market_plan(self, instruments: Sequence[Instrument]) -> ConnPlan:
        return self._market_plan(self._url("public", "/public"), instruments)

    def trade_plan(self, utc_ms: int) -> ConnPlan:
        return self._trade_plan(self._url("ws_api", "/ws-fapi/v1"), utc_ms)

    def user_token(self) -> Call[str] | None:
        """The account's listen key, made or extended to 60 more minutes."""

        def read(document: Any) -> str:
            key = document.get("listenKey") if isinstance(document, dict) else None
            if not isinstance(key, str) or not LISTEN_KEY.fullmatch(key):
                raise ValueError("listenKey: Expected a key, was not there")  # never shown
            return key

        return self._listen_key("POST", read)

    def keep_alive(self, token: str) -> Call[bool] | None:
        """A key that is gone is a failure that `is_absent`; False: another took its place. The
        key itself is not sent: the venue knows whose it is."""

        def read(document: Any) -> bool:
            Row("listenKey", document)
            return bool(document.get("listenKey", token) == token)

        return self._listen_key("PUT", read)

    def _listen_key(self, method: str, read: Callable[[Any], Any]) -> Call[Any]:
        path = f"{self.root}/listenKey"
        return Call(method, path, read, needs_key=True, urgency=Urgency.SAFETY)

    def user_plan(self, token: str, utc_ms: int) -> ConnPlan:
        return ConnPlan(f"{self._url('private', '/private')}/ws?listenKey={token}")
