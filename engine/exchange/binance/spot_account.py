"""Account requests of Binance Spot: balances, orders, trades, commission, order count."""

from typing import Protocol

from engine.exchange.binance import spot_reports as reports
from engine.exchange.binance.auth import Security
from engine.exchange.binance.calls import Call, Cost, Handler, Route
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import Params, boolean, integer, limit_of
from engine.exchange.binance.spot_errors import SpotError
from engine.exchange.binance.spot_market import times_of
from engine.exchange.binance.spot_orders import (
    DISCOUNT_JSON,
    Found,
    SpotOrders,
    commission_rates,
    ppm_text,
)
from engine.exchange.binance.spot_strict import SYMBOL, strict
from engine.exchange.binance.spot_symbols import SpotSymbol, UnitStamp
from engine.exchange.binance.spot_user import UserStreams
from engine.exchange.core import Core
from engine.exchange.instruments import e8_text
from engine.exchange.truth import FillRecord

ROWS_MAX = 1_000
HOURS_MAX = 24
FIRST_UID = 354_937_868
ZERO_RATES = (
    '{"maker":"0.00000000","taker":"0.00000000","buyer":"0.00000000","seller":"0.00000000"}'
)
NO_BURN = '{"spotBNBBurn":false,"interestBNBBurn":false}'
PPM_PER_BIP = 100


class Bank(Protocol):
    """What account requests need of their face."""

    core: Core
    limits: RateLimits
    users: UserStreams
    orders: SpotOrders

    def symbol(self, params: Params) -> SpotSymbol: ...

    def all_symbols(self) -> list[SpotSymbol]: ...

    def stamp_of(self, call: Call) -> UnitStamp: ...


class SpotAccount:
    def __init__(self, face: Bank) -> None:
        self._face = face

    def routes(self) -> dict[tuple[str, str], Route]:
        """REST by method and path."""
        table: dict[str, tuple[Handler, Cost]] = {
            "account": (self._account, 20),
            "account/commission": (self._commission, 20),
            "allOrders": (self._all_orders, 20),
            "myTrades": (self._my_trades, trades_weight),
            "rateLimit/order": (self._order_count, 40),
            # Order lists don't exist here, so nobody has any.
            "openOrderList": (lambda call: "[]", 6),
            "allOrderList": (lambda call: "[]", 20),
            "myAllocations": (lambda call: "[]", 20),
        }
        rest = {
            ("GET", f"/api/v3/{path}"): Route(handler, Security.READ, weight)
            for path, (handler, weight) in table.items()
        }
        rest["GET", "/api/v3/openOrders"] = self._open_route()
        rest["GET", "/sapi/v1/bnbBurn"] = Route(lambda call: NO_BURN, Security.READ, 1)
        rest["POST", "/sapi/v1/bnbBurn"] = Route(self._burn, Security.TRADE, 1)
        rest["GET", "/sapi/v1/asset/tradeFee"] = Route(self._trade_fee, Security.READ, 1)
        return rest

    def methods(self) -> dict[str, Route]:
        table: dict[str, tuple[Handler, Cost]] = {
            "account.status": (self._account, 20),
            "account.commission": (self._commission, 20),
            "account.rateLimits.orders": (self._order_count, 40),
            "allOrders": (self._all_orders, 20),
            "myTrades": (self._my_trades, trades_weight),
            "openOrderLists.status": (lambda call: "[]", 6),
            "allOrderLists": (lambda call: "[]", 20),
            "myAllocations": (lambda call: "[]", 20),
        }
        methods = {
            name: Route(handler, Security.READ, weight)
            for name, (handler, weight) in table.items()
        }
        return methods | {"openOrders.status": self._open_route()}

    def _open_route(self) -> Route:
        return strict(SYMBOL, Route(self._open_orders, Security.READ, open_weight))

    # -- MONEY ---

    def _account(self, call: Call) -> str:
        core = self._face.core
        account = core.accounts[call.account]
        omits_zero = boolean(call.params, "omitZeroBalances")
        rates = core.fees_of(next(iter(core.markets)))
        maker, taker = ppm_text(rates.maker_ppm), ppm_text(rates.taker_ppm)
        balances = [
            f'{{"asset":"{asset}","free":"{e8_text(account.free_e8(asset))}",'
            f'"locked":"{e8_text(account.locked.get(asset, 0))}"}}'
            for asset, total_e8 in account.balances.items()
            if total_e8 or not omits_zero
        ]
        updated_ns = self._face.users.update_ns.get(call.account)
        updated = 0 if updated_ns is None else self._face.stamp_of(call)(updated_ns)
        return (
            f'{{"makerCommission":{rates.maker_ppm // PPM_PER_BIP},'
            f'"takerCommission":{rates.taker_ppm // PPM_PER_BIP},"buyerCommission":0,'
            f'"sellerCommission":0,"commissionRates":{{"maker":"{maker}","taker":"{taker}",'
            f'"buyer":"0.00000000","seller":"0.00000000"}},"canTrade":true,"canWithdraw":false,'
            f'"canDeposit":false,"brokered":false,"requireSelfTradePrevention":false,'
            f'"preventSor":false,"updateTime":{updated},"accountType":"SPOT",'
            f'"balances":[{",".join(balances)}],"permissions":["SPOT"],'
            f'"uid":{FIRST_UID + call.account}}}'
        )

    def _commission(self, call: Call) -> str:
        symbol = self._face.symbol(call.params)
        maker, taker = commission_rates(self._face.core, symbol)
        return (
            f'{{"symbol":"{symbol.name}","standardCommission":{{"maker":"{maker}",'
            f'"taker":"{taker}","buyer":"0.00000000","seller":"0.00000000"}},'
            f'"specialCommission":{ZERO_RATES},"taxCommission":{ZERO_RATES},'
            f'"discount":{DISCOUNT_JSON}}}'
        )

    def _trade_fee(self, call: Call) -> str:
        wanted = [self._face.symbol(call.params)] if call.params.get("symbol") else (
            self._face.all_symbols()
        )  # fmt: skip
        texts: list[str] = []
        for symbol in wanted:
            maker, taker = commission_rates(self._face.core, symbol)
            texts.append(
                f'{{"symbol":"{symbol.name}","makerCommission":"{_short(maker)}",'
                f'"takerCommission":"{_short(taker)}"}}'
            )
        return f"[{','.join(texts)}]"

    def _burn(self, call: Call) -> str:
        """Fees are taken in what a trade brings, never in BNB."""
        for name in ("spotBNBBurn", "interestBNBBurn"):
            if boolean(call.params, name):
                raise SpotError(-1020)  # not built
        return NO_BURN

    # -- ORDERS AND TRADES ---

    def _open_orders(self, call: Call) -> str:
        wanted = [self._face.symbol(call.params)] if call.params.get("symbol") else (
            self._face.all_symbols()
        )  # fmt: skip
        texts: list[str] = []
        for symbol in wanted:
            found = self._face.orders.open_of(call.account, symbol)
            texts += self._texts(symbol, found, call)
        return f"[{','.join(texts)}]"

    def _all_orders(self, call: Call) -> str:
        """Ids from `orderId` on, or a time of a day at most, or the last ones."""
        symbol, params = self._face.symbol(call.params), call.params
        start_ns, end_ns = times_of(params, call.now_ns, HOURS_MAX)
        from_id = integer(params, "orderId", 0)
        found = [
            one
            for one in self._face.orders.all_of(call.account, symbol)
            if reports.shown_id(one.order) >= from_id and start_ns <= one.order.create_ns <= end_ns
        ]
        limit = limit_of(params, 500, ROWS_MAX)
        rows = found[:limit] if from_id or start_ns else found[-limit:]
        return f"[{','.join(self._texts(symbol, rows, call))}]"

    def _texts(self, symbol: SpotSymbol, found: list[Found], call: Call) -> list[str]:
        stamp, orders = self._face.stamp_of(call), self._face.orders
        return [orders.found_json(symbol, one, stamp) for one in found]

    def _my_trades(self, call: Call) -> str:
        symbol, params = self._face.symbol(call.params), call.params
        start_ns, end_ns = times_of(params, call.now_ns, HOURS_MAX)
        from_id, order_id = integer(params, "fromId", 0), integer(params, "orderId", 0)
        if start_ns and (from_id or order_id):
            raise SpotError(-1128)
        core, key, stamp = self._face.core, symbol.instrument.key, self._face.stamp_of(call)
        limit = limit_of(params, 500, ROWS_MAX)
        fills = [
            fill
            for fill in core.fills_of(call.account, key)
            if fill.trade_id >= from_id and start_ns <= fill.t_ns <= end_ns
        ]
        if order_id:
            fills = [f for f in fills if self._shown_id(call.account, f) == order_id]
        fills = fills[:limit] if from_id or start_ns else fills[-limit:]
        texts = [
            reports.fill_record_json(symbol, fill, stamp, self._shown_id(call.account, fill))
            for fill in fills
        ]
        return f"[{','.join(texts)}]"

    def _shown_id(self, account: int, fill: FillRecord) -> int:
        """An order that a trigger placed keeps the id under which it waited."""
        order = self._face.core.find_order(account, fill.symbol, fill.order_id, "")
        return fill.order_id if order is None else reports.shown_id(order)

    def _order_count(self, call: Call) -> str:
        return self._face.limits.orders_json(call.account, call.t_ns)


def open_weight(params: Params) -> int:
    return 6 if params.get("symbol") else 80


def trades_weight(params: Params) -> int:
    return 5 if params.get("orderId") else 20


def _short(rate: str) -> str:
    """As /sapi writes rates: no zeros at the end."""
    return rate.rstrip("0").rstrip(".") or "0"
