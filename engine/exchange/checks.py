"""What an order must fulfil before it counts: the first rule that it breaks, as a Reason."""

from engine.exchange.accounts import Account
from engine.exchange.book import Side
from engine.exchange.events import Market
from engine.exchange.instruments import E8, Kind
from engine.exchange.marks import Marks
from engine.exchange.order_index import OrderIndex, RefusalError
from engine.exchange.rules import Rules
from engine.exchange.terms import Order, OrderType, Reason, Stp, Tif

WALK_LEVELS = 1_000  # of the book, to price a market order


class Checks:
    """Pure questions to markets, accounts and the index of orders."""

    def __init__(
        self,
        markets: dict[str, Market],
        accounts: list[Account],
        rules: Rules,
        index: OrderIndex,
        marks: Marks,
    ) -> None:
        self.markets = markets
        self._accounts = accounts
        self._rules = rules
        self._index = index
        self._marks = marks
        self._open_orders = index.open_orders

    def place(self, order: Order, market: Market) -> None:
        """RefusalError with the first rule that `order` breaks."""
        self.amounts(order.qty_lots, order.px_ticks, order, market)
        if len(self._open_orders(order.account, order.symbol)) >= self._rules.orders_max:
            raise RefusalError(Reason.ORDERS_MAX)
        if order.reduce_only:
            if order.leaves_lots > self.reducible_lots(order):
                raise RefusalError(Reason.REDUCE_ONLY)
        else:
            self.money(order, market, order.leaves_lots, order.px_ticks)
        if order.tif is Tif.GTX and self._rules.refuses_post_only and market.would_take(order):
            raise RefusalError(Reason.WOULD_TAKE)
        is_refused = order.tif is Tif.FOK and self._rules.refuses_fok
        if is_refused and not self.is_fillable(order, market):
            raise RefusalError(Reason.UNFILLABLE)

    def amounts(self, qty_lots: int, px_ticks: int, order: Order, market: Market) -> None:
        """Quantity, price, distance from the touch, notional: against the instrument's filters."""
        instrument = market.instrument
        if qty_lots <= 0:
            raise RefusalError(Reason.QTY_ZERO)
        if qty_lots < instrument.qty_lots_min:
            raise RefusalError(Reason.QTY_MIN)
        if qty_lots > instrument.qty_lots_max:
            raise RefusalError(Reason.QTY_MAX)
        bid, _, ask, _ = market.touch()
        if order.order_type is OrderType.LIMIT:
            self._price(px_ticks, order.side, bid, ask, instrument.px_ticks_max)
        notional_e8 = qty_lots * (px_ticks or ask or bid) * instrument.notional_e8
        if not order.reduce_only and notional_e8 < instrument.min_notional * E8:
            raise RefusalError(Reason.NOTIONAL_MIN)

    def _price(self, px_ticks: int, side: Side, bid: int, ask: int, px_max: int) -> None:
        collar = self._rules.collar_percent
        if px_ticks <= 0:
            raise RefusalError(Reason.PX_MIN)
        if px_ticks > px_max:
            raise RefusalError(Reason.PX_MAX)
        if side is Side.BUY and ask and px_ticks * 100 > ask * (100 + collar):
            raise RefusalError(Reason.PX_FAR_HIGH)
        if side is Side.SELL and px_ticks * 100 < bid * (100 - collar):
            raise RefusalError(Reason.PX_FAR_LOW)

    def closable_lots(self, account: int, symbol: str, side: Side) -> int:
        """Lots of the position that an order of `side` would close."""
        position = self._accounts[account].positions.get(symbol)
        return max(0, -side.sign * position.lots) if position else 0

    def reducible_lots(self, order: Order) -> int:
        """Lots of the position that no other reduce-only order stands for yet. Market orders, and
        all where the venue cuts each to the position, have the whole of it."""
        open_lots = self.closable_lots(order.account, order.symbol, order.side)
        if order.order_type is OrderType.MARKET or self._rules.truncates_reduce_only:
            return open_lots
        for other in self._open_orders(order.account, order.symbol):
            if other.reduce_only and other.side is order.side and other is not order:
                open_lots -= other.leaves_lots
        return open_lots

    def is_fillable(self, order: Order, market: Market) -> bool:
        """Whether all of it can be taken now. Own orders don't count where self-trade prevention
        would end them; where it would end the taker, none may be in reach."""
        own_lots = 0
        if order.stp is not Stp.NONE:
            own_lots = sum(
                other.leaves_lots
                for other in self._open_orders(order.account, order.symbol)
                if other.side is not order.side
                and (not order.px_ticks or _reaches(order, other.px_ticks))
            )
            if own_lots and order.stp is not Stp.EXPIRE_MAKER:
                return False
        order.leaves_lots += own_lots
        is_enough = market.fillable_lots(order) >= order.leaves_lots
        order.leaves_lots -= own_lots
        return is_enough

    # -- MONEY ---

    def free_e8(self, account: int, asset: str) -> int:
        return self._accounts[account].free_e8(asset)

    def money(self, order: Order, market: Market, leaves_lots: int, px_ticks: int) -> None:
        """Whether the account can pay for `leaves_lots` of `order` at `px_ticks`."""
        if market.instrument.kind is Kind.SPOT:
            self._spot_money(order, market, leaves_lots, px_ticks)
            return
        cost = leaves_lots * (px_ticks or self._near_px_ticks(market))
        wanted_e8 = self._margin_wanted_e8(order.account, order.symbol, order.side, cost, order)
        if wanted_e8 <= self.equity_e8(order.account, market.instrument.quote):
            return
        if wanted_e8 > self._margin_wanted_e8(order.account):
            raise RefusalError(Reason.MARGIN)  # else it asks for no more than is there already

    def is_margin_covered(self, account: int, asset: str = "USDT") -> bool:
        """Whether the account's money stands for all that is open, at the leverages now."""
        return self._margin_wanted_e8(account) <= self.equity_e8(account, asset)

    def _spot_money(self, order: Order, market: Market, leaves_lots: int, px_ticks: int) -> None:
        account, instrument = self._accounts[order.account], market.instrument
        if order.side is Side.SELL:
            asset, wanted_e8 = instrument.base, leaves_lots * instrument.lot_e8
        elif order.order_type is OrderType.MARKET:
            asset, wanted_e8 = instrument.quote, take_cost_e8(market, leaves_lots)
        else:
            asset, wanted_e8 = instrument.quote, leaves_lots * px_ticks * instrument.notional_e8
        if wanted_e8 - order.locked_e8 > account.free_e8(asset):
            raise RefusalError(Reason.BALANCE)

    def _near_px_ticks(self, market: Market) -> int:
        bid, _, ask, _ = market.touch()
        return ask or bid or self._marks.px_ticks(market.instrument.key)

    def _margin_wanted_e8(
        self, index: int, new_symbol: str = "", new_side: Side = Side.BUY, new_cost: int = 0,
        instead_of: Order | None = None,
    ) -> int:  # fmt: skip
        """Initial margin if every open order filled on its worse side; and one more, which costs
        `new_cost` (tick x lot) and stands for `instead_of` where that is open."""
        account = self._accounts[index]
        total_e8 = 0
        symbols = [*account.positions, *self._index.symbols_of(index)]
        if new_symbol:
            symbols.append(new_symbol)
        for symbol in dict.fromkeys(symbols):
            market = self.markets[symbol]
            if market.instrument.kind is not Kind.LINEAR:
                continue
            default_px = self._near_px_ticks(market)
            lots = account.positions[symbol].lots if symbol in account.positions else 0
            # Of every order placed, over all that are open: plain ints, no dict.
            held = lots * default_px
            buys = sells = 0
            for order in self._open_orders(index, symbol):
                if order.reduce_only or order is instead_of:
                    continue
                cost = order.leaves_lots * (order.px_ticks or default_px)
                if order.side is Side.BUY:
                    buys += cost
                else:
                    sells += cost
            if symbol == new_symbol:
                if new_side is Side.BUY:
                    buys += new_cost
                else:
                    sells += new_cost
            exposed = max(held + buys, sells - held, abs(held))
            notional_e8 = exposed * market.instrument.notional_e8
            total_e8 += notional_e8 // account.leverage(symbol)
        return total_e8

    def unrealized_e8(self, account: int, symbol: str) -> int:
        """At the mark."""
        position = self._accounts[account].positions.get(symbol)
        if position is None:
            return 0
        value = position.lots * self._marks.px_ticks(symbol) - position.cost
        return value * self.markets[symbol].instrument.notional_e8

    def equity_e8(self, account: int, asset: str = "USDT") -> int:
        """Free balance of `asset` and open P&L of what settles in it."""
        open_e8 = sum(
            self.unrealized_e8(account, symbol)
            for symbol in self._accounts[account].positions
            if self.markets[symbol].instrument.quote == asset
        )
        return self._accounts[account].free_e8(asset) + open_e8

    def margin_e8(self, account: int, symbol: str) -> int:
        """Initial margin of the open position, at the mark."""
        position = self._accounts[account].positions.get(symbol)
        if position is None:
            return 0
        value = abs(position.lots) * self._marks.px_ticks(symbol)
        value_e8 = value * self.markets[symbol].instrument.notional_e8
        return value_e8 // self._accounts[account].leverage(symbol)


def _reaches(order: Order, px_ticks: int) -> bool:
    return (order.px_ticks - px_ticks) * order.side.sign >= 0


def take_cost_e8(market: Market, lots: int) -> int:
    """Cost of buying `lots` at the asks as they are; beyond the last level, at its price."""
    cost, px_ticks = 0, 0
    for px_ticks, qty_lots in market.snapshot(WALK_LEVELS).asks:
        taken = min(lots, qty_lots)
        cost += taken * px_ticks
        lots -= taken
        if not lots:
            break
    return (cost + lots * px_ticks) * market.instrument.notional_e8


def lots_for_quote(market: Market, side: Side, quote_e8: int) -> int:
    """How many whole lots `quote_e8` buys, or must be sold for it, at the book as it is."""
    depth = market.snapshot(WALK_LEVELS)
    budget = quote_e8 // market.instrument.notional_e8  # tick x lot
    total = 0
    for px_ticks, qty_lots in depth.asks if side is Side.BUY else depth.bids:
        taken = min(budget // px_ticks, qty_lots)
        total += taken
        budget -= taken * px_ticks
        if taken < qty_lots:
            break
    return total
