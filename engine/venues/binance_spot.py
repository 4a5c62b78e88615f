"""Binance Spot: BinanceSpot is the adapter. A position is what is held of the base asset.

Sources: binance-spot-api-docs (rest-api.md, web-socket-api.md, user-data-stream.md, CHANGELOG.md).
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

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
    Wanted,
)
from engine.venues.binance import DAY_MS, Binance
from engine.venues.binance_answers import is_clock_refused, reader, retry_utc_ms
from engine.venues.binance_rows import Row, rate_ppm, rows, spot_balance, trade_row
from engine.venues.binance_symbols import instruments_of
from fastcore.types import Side

E8 = Decimal("1E-8")
# (levels, weight), "Order book"; 5,000 would cost five times the weight of 1,000.
SNAPSHOTS = ((1_000, 50), (500, 25), (100, 5))
STP_WORDS = {
    "none": "NONE",
    "expire_taker": "EXPIRE_TAKER",
    "expire_maker": "EXPIRE_MAKER",
    "expire_both": "EXPIRE_BOTH",
}


class BinanceSpot(Binance):
    """One account's requests and answers. No dead-man switch, no reduce-only, no margin; orders
    that wait for a trigger are among the open ones."""

    name: str = "binance_spot"
    weight_per_min: int = 6_000
    has_dead_man: bool = False
    market_instruments_max: int = 341  # 1,024 streams of a connection

    root: str = "/api/v3"
    # No faster depth in JSON than every 100 ms.
    streams: tuple[str, ...] = ("depth@100ms", "bookTicker", "trade")
    trades_path: str = "myTrades"
    trades_weight: int = 20
    trades_window_ms: int = DAY_MS
    order_weight: int = 4
    place_weight: int = 1  # of one that fails; others cost nothing, as cancels do

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stp_default: dict[str, str] = {}  # by symbol, as exchangeInfo told

    # -- FACTS ---

    def instruments(self, symbols: Sequence[str], category: str) -> Call[dict[str, Instrument]]:
        """Of these alone: all of them would be megabytes. The venue refuses a request with an
        unknown one (-1121)."""
        wanted = tuple(symbols)

        def read(document: Any) -> dict[str, Instrument]:
            instruments, found = instruments_of(document, wanted, self.name)
            for symbol, row in found.items():
                self._stp_default[symbol] = row.text("defaultSelfTradePreventionMode")
            return instruments

        names = json.dumps(wanted, separators=(",", ":"))
        return Call("GET", f"{self.root}/exchangeInfo", read, {"symbols": names}, weight=20)

    def snapshot(self, instrument: Instrument, among: int = 1) -> Call[bytes] | None:
        return self._depth(instrument, SNAPSHOTS, among)

    def key_facts(self) -> Call[KeyFacts] | None:
        """The testnet and demo mode have no /sapi."""
        return None if self._is_test else self._restrictions("enableSpotAndMarginTrading")

    def account_facts(self) -> Call[AccountFacts] | None:
        def read(document: Any) -> AccountFacts:
            return AccountFacts(None, None, Row("account", document).flag("canTrade"))

        return self._account(read)

    def fees(self, instrument: Instrument) -> Call[FeeRates]:
        """What an order is charged is a sum: standard, special and tax, each as maker or taker
        and as buyer or seller. Without the discount of fees in BNB."""

        def read(document: Any) -> FeeRates:
            answer = Row("commission", document)
            answer.of("symbol", instrument.symbol)
            parts = [answer.row(f"{kind}Commission") for kind in ("standard", "special", "tax")]
            sides = [max(row.decimal("buyer"), row.decimal("seller")) for row in parts]
            maker = [row.decimal("maker") for row in parts]
            taker = [row.decimal("taker") for row in parts]
            return FeeRates(rate_ppm(*maker, *sides), rate_ppm(*taker, *sides))

        return Call("GET", f"{self.root}/account/commission", read,
                    {"symbol": instrument.symbol}, is_signed=True, weight=20)  # fmt: skip

    def settings(self, wanted: Wanted, instrument: Instrument) -> tuple[Setting, ...]:
        """Self-trade prevention is each order's own, and ours don't ask for it: the symbol's
        default holds, which `instruments` was told."""
        self._refuse_margin(wanted)
        default = self._stp_default.get(instrument.symbol)
        if wanted.stp is not None and STP_WORDS[wanted.stp] != default:
            told = "not known yet" if default is None else default.lower()
            raise self._refuse(
                f"wanted.stp = {wanted.stp!r}: orders are sent with the default of "
                f"{instrument.symbol}, {told}",
                "set wanted.stp to that default or leave it out",
            )
        if wanted.fee_discount is None:
            return ()
        if self._is_test:
            raise self._refuse(
                "wanted.fee_discount: testnet and demo have no such setting",
                "leave wanted.fee_discount out",
            )
        flag = "true" if wanted.fee_discount else "false"

        def read(document: Any) -> None:
            row = Row("bnbBurn", document)
            if row.flag("spotBNBBurn") is not wanted.fee_discount:
                raise row.wrong("spotBNBBurn", flag)

        burn: Call[None] = Call("POST", "/sapi/v1/bnbBurn", read, {"spotBNBBurn": flag},
                                is_signed=True)  # fmt: skip
        return (Setting("fees in BNB", burn, lambda failure: False),)

    def _refuse_margin(self, wanted: Wanted) -> None:
        for key in ("margin_mode", "leverage"):
            if getattr(wanted, key) is not None:
                raise self._refuse(f"wanted.{key}: spot has no margin", f"leave wanted.{key} out")

    # -- WHAT WE HOLD ---

    def _account(self, read: Any) -> Call[Any]:
        return self._asked(f"{self.root}/account", read, 20, omitZeroBalances="true")

    def positions(self, instruments: Sequence[Instrument]) -> Call[list[PositionRow]]:
        """Whole lots of the base asset, locked included, rounded down: what is less than a lot
        can't be sold, and is no position. `balances` has it to the last digit."""
        wanted = tuple(instruments)

        def read(document: Any) -> list[PositionRow]:
            held_e8 = {row.asset: row.total_e8 for row in _balances(document)}
            return [
                PositionRow(one.symbol, whole_lots(held_e8.get(one.base, 0), one))
                for one in wanted
            ]

        return self._account(read)

    def balances(self) -> Call[list[BalanceRow]]:
        return self._account(_balances)

    def open_orders(
        self, instrument: Instrument, cursor: str = ""
    ) -> Call[tuple[list[OrderRow], str]]:
        return self._open_orders(instrument, 6)

    def open_conditional(self, instrument: Instrument) -> Call[list[OrderRow]] | None:
        return None

    def _trade(self, row: Row, instrument: Instrument) -> TradeRow:
        side = Side.BUY if row.flag("isBuyer") else Side.SELL
        return trade_row(row, instrument, side, "isMaker")

    # -- ORDERS OVER REST ---

    def place(
        self,
        instrument: Instrument,
        client_id: str,
        side: Side,
        px_ticks: int,
        qty_lots: int,
        *,
        is_ioc: bool,
        is_reduce_only: bool,
    ) -> Call[None]:
        """The venue has no reduce-only: a sale can't sell more than there is."""
        if is_reduce_only:
            raise ValueError("binance_spot has no reduce-only orders")
        return super().place(
            instrument, client_id, side, px_ticks, qty_lots, is_ioc=is_ioc, is_reduce_only=False
        )

    def cancel_many(
        self, instrument: Instrument, orders: Sequence[OrderRow]
    ) -> Call[None] | None:
        return None

    def cancel_all(self, instrument: Instrument) -> tuple[Call[None], ...]:
        """None open: a failure that `is_absent`."""

        def read(document: Any) -> None:
            rows("openOrders", document)

        return (self._cancel(f"{self.root}/openOrders", read, symbol=instrument.symbol),)

    def dead_man(
        self, instruments: Sequence[Instrument], timeout_ms: int
    ) -> tuple[Call[None], ...]:
        return ()

    # -- CONNECTIONS ---

    def market_plan(self, instruments: Sequence[Instrument]) -> ConnPlan:
        return self._market_plan(self._url("market", ""), instruments)

    def trade_plan(self, utc_ms: int) -> ConnPlan:
        return self._trade_plan(self._url("ws_api", "/ws-api/v3"), utc_ms)

    def user_token(self) -> Call[str] | None:
        """Listen keys ended in 2026."""
        return None

    def keep_alive(self, token: str) -> Call[bool] | None:
        return None

    def user_plan(self, token: str, utc_ms: int) -> ConnPlan:
        """A WebSocket API connection that is subscribed to the account, with any kind of key."""
        text = self._signed_message("user", "userDataStream.subscribe.signature", utc_ms)
        url = self._url("ws_api", "/ws-api/v3")
        read = reader("user", result_key="subscriptionId")
        return ConnPlan(url, (text,), 1, read, retry_utc_ms=retry_utc_ms,
                        is_clock=is_clock_refused)  # fmt: skip


def _balances(document: Any) -> list[BalanceRow]:
    return [spot_balance(row) for row in Row("account", document).rows("balances")]


def whole_lots(total_e8: int, instrument: Instrument) -> int:
    """Rounded down; never below 0, since spot lends nothing."""
    return int(Decimal(max(total_e8, 0)) * E8 / Decimal(instrument.lot))
