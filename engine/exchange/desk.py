"""The order desk: placing, matching, amending, ending orders, and what fills cause. Sans-IO.

One desk serves all instruments of a core. It writes what happened into `out`, which the core
hands to it anew for every command.
"""

import hashlib
from collections.abc import Callable

from engine.exchange.book import BookOrder, Side
from engine.exchange.checks import WALK_LEVELS, Checks, lots_for_quote
from engine.exchange.clearing import Clearing
from engine.exchange.commands import Cancel, Modify, Place
from engine.exchange.events import Market, Output, Trade
from engine.exchange.instruments import Kind
from engine.exchange.order_index import OrderIndex, RefusalError
from engine.exchange.rules import Rules
from engine.exchange.terms import Exec, Order, OrderType, Reason, Status, Stp, Tif, Why

FIRST_ORDER_ID = 4_000_000_000


class Desk:
    """`on_last_px(symbol, px_ticks, t_ns)` is called when a batch of trades is booked."""

    def __init__(
        self,
        rules: Rules,
        checks: Checks,
        clearing: Clearing,
        index: OrderIndex,
        seed: int,
        on_last_px: Callable[[str, int, int], None],
    ) -> None:
        self.out: list[Output] = []
        self._rules = rules
        self._checks = checks
        self._clearing = clearing
        self._index = index
        self._seed = seed
        self._on_last_px = on_last_px
        self._markets = checks.markets
        self._next_order_id = FIRST_ORDER_ID

    # -- PLACE ---

    def place(self, place: Place, market: Market, t_ns: int, trigger_id: int = 0) -> Order:
        qty_lots = self._lots_of(place, market)
        self._next_order_id += 1
        client_id = place.client_order_id or self._client_id(self._next_order_id)
        order = Order(
            order_id=self._next_order_id,
            side=place.side,
            px_ticks=place.px_ticks if place.order_type is OrderType.LIMIT else 0,
            leaves_lots=qty_lots,
            account=place.account,
            symbol=place.symbol,
            client_order_id=client_id,
            order_type=place.order_type,
            tif=place.tif,
            qty_lots=qty_lots,
            reduce_only=place.reduce_only or place.closes_position,
            stp=place.stp,
            gtd_ns=place.gtd_ns,
            create_ns=t_ns,
            update_ns=t_ns,
            trigger_id=trigger_id,
            echo=place.echo,
        )
        self._check_client_id(order)
        self._checks.place(order, market)
        self._index.register(order)
        self._clearing.lock(order, market.instrument, t_ns, self.out)
        if order.tif is Tif.GTX and market.would_take(order):
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, Why.POST_ONLY)
            return order
        self._clearing.report(order, Exec.NEW, t_ns, self.out)
        if order.tif is Tif.FOK and not self._checks.is_fillable(order, market):
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, Why.FOK)
            return order
        self._match(order, market, t_ns, place.quote_e8)
        return order

    def _lots_of(self, place: Place, market: Market) -> int:
        """How large the order is, where it doesn't simply say so."""
        if place.quote_e8:
            return lots_for_quote(market, place.side, place.quote_e8)
        is_cut = place.order_type is OrderType.MARKET or self._rules.truncates_reduce_only
        if not place.closes_position and not (place.reduce_only and is_cut):
            return place.qty_lots
        closable_lots = self._checks.closable_lots(place.account, place.symbol, place.side)
        if not closable_lots:
            raise RefusalError(Reason.REDUCE_ONLY)
        return closable_lots if place.closes_position else min(place.qty_lots, closable_lots)

    def _check_client_id(self, order: Order) -> None:
        named = self._index.find(order.account, order.symbol, 0, order.client_order_id)
        if named is not None and (named.is_open or self._rules.are_client_ids_for_ever):
            raise RefusalError(Reason.DUPLICATE_CLIENT_ID)

    def _match(self, order: Order, market: Market, t_ns: int, quote_e8: int = 0) -> None:
        """Take, rest, or end; own resting orders in the way are dealt with by the order's STP."""
        is_market = order.order_type is OrderType.MARKET
        rests = not is_market and order.tif in (Tif.GTC, Tif.GTX)
        if is_market and order.side is Side.BUY and market.instrument.kind is Kind.SPOT:
            self._buy_within(order, market, t_ns, quote_e8)
        else:
            self._take(order, rests, market, t_ns)
        if order.is_open and not rests:
            why = Why.MARKET if is_market else Why.IOC
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, why)

    def _take(self, order: Order, rests: bool, market: Market, t_ns: int) -> None:
        while order.is_open and order.leaves_lots:
            px_ticks = order.px_ticks
            own = market.place(order, rests, t_ns, order.stp is Stp.NONE)
            if order.order_type is OrderType.MARKET:
                order.px_ticks = 0  # the level that _buy_within is at is nobody's business
            self.settle(market, t_ns)
            if own is None:
                return
            self._prevent_self_trade(order, own, market, t_ns)
            order.px_ticks = px_ticks

    def _buy_within(self, order: Order, market: Market, t_ns: int, quote_e8: int) -> None:
        """A spot market order to buy spends what it may and no more, whatever self-trade
        prevention takes out of its way: level by level, each as far as the money goes."""
        instrument = market.instrument
        free_e8 = self._checks.free_e8(order.account, instrument.quote)
        budget = (min(quote_e8, free_e8) if quote_e8 else free_e8) // instrument.notional_e8
        wanted = order.leaves_lots
        for px_ticks, _ in market.snapshot(WALK_LEVELS).asks:
            lots = min(wanted, (budget - order.cum_cost) // px_ticks)
            if lots <= 0 or not order.is_open:
                break
            order.leaves_lots, order.px_ticks = lots, px_ticks
            self._take(order, False, market, t_ns)
            wanted -= lots - order.leaves_lots
        order.leaves_lots, order.px_ticks = wanted, 0

    def _prevent_self_trade(
        self, taker: Order, maker: BookOrder, market: Market, t_ns: int
    ) -> None:
        """What was booked before may have ended either of them."""
        assert isinstance(maker, Order)
        if taker.stp in (Stp.EXPIRE_MAKER, Stp.EXPIRE_BOTH) and maker.is_open:
            self.expire(maker, market, t_ns, Why.STP)
        if taker.stp in (Stp.EXPIRE_TAKER, Stp.EXPIRE_BOTH) and taker.is_open:
            self._close(taker, Status.EXPIRED, Exec.EXPIRED, t_ns, Why.STP)

    # -- CANCEL AND AMEND ---

    def cancel(self, cancel: Cancel, market: Market, t_ns: int) -> Order:
        order = self._index.find(
            cancel.account, cancel.symbol, cancel.order_id, cancel.client_order_id
        )
        if order is None or not order.is_open:
            raise RefusalError(Reason.UNKNOWN_ORDER)
        self.withdraw(order, market, t_ns)
        return order

    def withdraw(
        self,
        order: Order,
        market: Market,
        t_ns: int,
        status: Status = Status.CANCELED,
        exec_type: Exec = Exec.CANCELED,
        why: Why = Why.NONE,
    ) -> None:
        market.cancel(order.order_id, t_ns)
        self._close(order, status, exec_type, t_ns, why)
        self.out.extend(market.drain())

    def expire(self, order: Order, market: Market, t_ns: int, why: Why) -> None:
        """Out of the book for a reason that is not its owner's."""
        self.withdraw(order, market, t_ns, Status.EXPIRED, Exec.EXPIRED, why)

    def modify(self, modify: Modify, market: Market, t_ns: int) -> Order:
        """New price or quantity under the same venue id."""
        order = self._index.find(
            modify.account, modify.symbol, modify.order_id, modify.client_order_id
        )
        if order is None or not order.is_open or modify.side not in (None, order.side):
            raise RefusalError(Reason.NO_SUCH_ORDER)
        px_ticks = modify.px_ticks or order.px_ticks
        qty_lots = modify.qty_lots or order.qty_lots
        if (px_ticks, qty_lots) == (order.px_ticks, order.qty_lots):
            raise RefusalError(Reason.NO_CHANGE)
        if modify.keeps_priority and (
            px_ticks != order.px_ticks or not order.cum_lots < qty_lots < order.qty_lots
        ):
            raise RefusalError(Reason.NOT_SMALLER)
        self._checks.amounts(qty_lots, px_ticks, order, market)
        if order.reduce_only:
            if qty_lots - order.cum_lots > self._checks.reducible_lots(order):
                raise RefusalError(Reason.REDUCE_ONLY)
        elif qty_lots > order.cum_lots:
            self._checks.money(order, market, qty_lots - order.cum_lots, px_ticks)
        if modify.new_client_order_id:
            self._index.rename(order, modify.new_client_order_id)
        if modify.echo is not None:
            order.echo = modify.echo
        if modify.stp is not None:
            order.stp = modify.stp
        if modify.keeps_priority:
            self._shrink(order, qty_lots, market, t_ns)
        else:
            self._replace(order, px_ticks, qty_lots, market, t_ns)
        return order

    def _shrink(self, order: Order, qty_lots: int, market: Market, t_ns: int) -> None:
        market.shrink(order.order_id, order.qty_lots - qty_lots, t_ns)
        order.leaves_lots = qty_lots - order.cum_lots
        order.qty_lots = qty_lots
        self._amended(order, market, t_ns)
        self.out.extend(market.drain())

    def _replace(
        self, order: Order, px_ticks: int, qty_lots: int, market: Market, t_ns: int
    ) -> None:
        """To the back of the queue; ended where it would take against its will, or is done."""
        market.cancel(order.order_id, t_ns)
        before = order.px_ticks, order.qty_lots
        order.px_ticks, order.qty_lots = px_ticks, qty_lots
        order.leaves_lots = max(0, order.qty_lots - order.cum_lots)
        takes = order.tif is Tif.GTX and market.would_take(order)
        if takes or not order.leaves_lots:
            order.px_ticks, order.qty_lots = before  # it ends as it was
            why = Why.POST_ONLY if takes else Why.AMENDED_AWAY
            self._close(order, Status.CANCELED, Exec.CANCELED, t_ns, why)
            self.out.extend(market.drain())
            return
        self._amended(order, market, t_ns)
        self._match(order, market, t_ns)

    def _amended(self, order: Order, market: Market, t_ns: int) -> None:
        order.version += 1
        self._clearing.lock(order, market.instrument, t_ns, self.out)
        self._clearing.report(order, Exec.AMENDMENT, t_ns, self.out)

    # -- FILLS AND ENDS ---

    def settle(self, market: Market, t_ns: int) -> None:
        """Pass the market's events on; a user's side of a trade becomes a fill.

        Reduce-only orders are trimmed, and conditional ones pulled, after the whole batch: what
        they do changes the book, and its changes must leave in the order of their ids.
        """
        events = market.drain()
        if not events:
            return
        traded: set[int] = set()
        overreached: list[Order] = []
        symbol = market.instrument.key
        last_px_ticks = 0
        for event in events:
            if isinstance(event, Trade):
                last_px_ticks = event.px_ticks
                for book_order, is_maker in ((event.taker, False), (event.maker, True)):
                    if isinstance(book_order, Order):
                        traded.add(book_order.account)
                        self._fill(book_order, event, is_maker, market, overreached)
                if not event.is_public:
                    continue
            self.out.append(event)
        for order in overreached:
            if order.is_open:
                self.expire(order, market, t_ns, Why.REDUCE_ONLY)
        for account in sorted(traded):
            self._trim_reduce_only(account, market, t_ns)
        if last_px_ticks:
            self._on_last_px(symbol, last_px_ticks, t_ns)

    def _fill(
        self, order: Order, trade: Trade, is_maker: bool, market: Market,
        overreached: list[Order],
    ) -> None:  # fmt: skip
        """A reduce-only maker that the same sweep left without a position to close gives no more
        than there is: the rest of the trade is the taker's with nobody, and the maker ends."""
        if is_maker and order.reduce_only:
            closable_lots = self._checks.closable_lots(order.account, order.symbol, order.side)
            if closable_lots < trade.qty_lots:
                overreached.append(order)
                if not closable_lots:
                    return
                trade = trade._replace(qty_lots=closable_lots)
        self._clearing.fill(order, trade, is_maker, market.instrument, self.out)
        if not order.is_open:
            self._index.retire(order)

    def _trim_reduce_only(self, account: int, market: Market, t_ns: int) -> None:
        """Expire resting reduce-only orders that the position no longer covers."""
        for order in self._index.open_orders(account, market.instrument.key):
            if order.reduce_only and order.leaves_lots > self._checks.reducible_lots(order):
                self.expire(order, market, t_ns, Why.REDUCE_ONLY)

    def _close(
        self, order: Order, status: Status, exec_type: Exec, t_ns: int, why: Why
    ) -> None:
        order.status, order.why = status, why
        self._index.retire(order)
        self._clearing.lock(order, self._markets[order.symbol].instrument, t_ns, self.out)
        self._clearing.report(order, exec_type, t_ns, self.out, why)

    def _client_id(self, number: int) -> str:
        """Of an order that came without one."""
        text = f"tickmaker local exchange/{self._seed}/client id/{number}"
        return hashlib.sha256(text.encode()).hexdigest()[:22]
