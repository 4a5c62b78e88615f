"""The exchange's core, sans-IO: `step(command, t_ns) -> outputs`, and queries that only read.

It owns the orders, the accounts and the listen keys; a Market (events.py) of each symbol owns
the book. It reads no clock and knows no venue's words: binance_usdm.py translates, server.py
moves bytes. Outputs of a command start with Accepted or Refused; what it caused follows in the
order in which it happened.
"""

import hashlib
from collections.abc import Callable, Iterable

from engine.exchange.accounts import LEVERAGE, Account, FeeRates, derive_keys
from engine.exchange.book import Side
from engine.exchange.clearing import Clearing
from engine.exchange.events import (
    NEVER_NS,
    Accepted,
    Advance,
    Cancel,
    CancelAll,
    Command,
    Exec,
    Expiry,
    ListenKey,
    ListenKeyExpired,
    ListenKeyVerb,
    Market,
    Modify,
    Order,
    OrderType,
    Output,
    Place,
    Reason,
    Refused,
    Status,
    Tif,
    Trade,
)

FIRST_ORDER_ID = 4_000_000_000
OPEN_ORDERS_MAX = 200  # a symbol and account, the venue's MAX_NUM_ORDERS
LISTEN_KEY_LIFE_NS = 3_600 * 1_000_000_000
COLLAR_PERCENT = 5  # limit prices further than this beyond the touch are refused


class RefusalError(Exception):
    """Carries a Reason out of the checks; never leaves this file."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Core:
    """All state of the exchange. `seed` fixes keys, listen keys and generated client ids."""

    def __init__(self, markets: Iterable[Market], seed: int, fees: FeeRates | None = None) -> None:
        self.markets = {market.instrument.symbol: market for market in markets}
        self.keys = derive_keys(seed)
        self.accounts = [Account(i, keys.name) for i, keys in enumerate(self.keys)]
        self.fees = fees or FeeRates()
        self._clearing = Clearing(self.accounts, self.fees)
        self.truth = self._clearing.truth
        self._seed = seed
        self._orders: dict[int, Order] = {}
        self._by_client_id: dict[tuple[int, str, str], Order] = {}
        self._open: dict[tuple[int, str], dict[int, Order]] = {}
        self._next_order_id = FIRST_ORDER_ID
        self._listen_key_count = 0
        self._on: dict[type, Callable[..., Accepted]] = {
            Place: self._place,
            Cancel: self._cancel,
            CancelAll: self._cancel_all,
            Modify: self._modify,
            ListenKey: self._listen_key,
        }
        self._out: list[Output] = []

    # -- COMMANDS ---

    def step(self, command: Command, t_ns: int) -> list[Output]:
        """Apply one input at UTC time `t_ns`; never raises for what a user can send."""
        self._out = []
        if isinstance(command, Advance):
            self._advance(t_ns)
            return self._out
        answer: Accepted | Refused
        try:
            answer = self._on[type(command)](command, t_ns)
        except RefusalError as refusal:
            answer = Refused(refusal.reason)
        return [answer, *self._out]

    def next_due_ns(self) -> int:
        """When the next Advance has something to do."""
        markets = min((market.next_due_ns() for market in self.markets.values()), default=NEVER_NS)
        keys = [a.listen_key_expiry_ns for a in self.accounts if a.listen_key]
        return min([markets, *keys])

    def _advance(self, t_ns: int) -> None:
        for market in self.markets.values():
            market.advance(t_ns)
            self._settle(market, t_ns)
        for account in self.accounts:
            if account.listen_key and t_ns >= account.listen_key_expiry_ns:
                self._out.append(ListenKeyExpired(t_ns, account.index, account.listen_key))
                account.listen_key = ""

    def _place(self, place: Place, t_ns: int) -> Accepted:
        market = self._market(place.symbol)
        self._next_order_id += 1
        client_id = place.client_order_id or self._token("client id", self._next_order_id)[:22]
        order = Order(
            order_id=self._next_order_id,
            side=place.side,
            px_ticks=place.px_ticks if place.order_type is OrderType.LIMIT else 0,
            leaves_lots=place.qty_lots,
            account=place.account,
            symbol=place.symbol,
            client_order_id=client_id,
            order_type=place.order_type,
            tif=place.tif,
            qty_lots=place.qty_lots,
            reduce_only=place.reduce_only,
            create_ns=t_ns,
            update_ns=t_ns,
        )
        self._check(order, market)
        self._orders[order.order_id] = order
        self._by_client_id[place.account, place.symbol, client_id] = order
        self._open_of(place.account, place.symbol)[order.order_id] = order
        self._clearing.report(order, Exec.NEW, t_ns, self._out)
        self._match(order, market, t_ns)
        return Accepted(order)

    def _match(self, order: Order, market: Market, t_ns: int) -> None:
        is_market = order.order_type is OrderType.MARKET
        rests = not is_market and order.tif in (Tif.GTC, Tif.GTX)
        market.place(order, rests, t_ns)
        self._settle(market, t_ns)
        if order.is_open and not rests:
            reason = Expiry.MARKET_UNFILLED if is_market else Expiry.IOC_REMAINDER
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, reason)

    def _cancel(self, cancel: Cancel, t_ns: int) -> Accepted:
        market = self._market(cancel.symbol)
        order = self.find_order(
            cancel.account, cancel.symbol, cancel.order_id, cancel.client_order_id
        )
        if order is None or not order.is_open:
            raise RefusalError(Reason.UNKNOWN_ORDER)
        self._withdraw(order, market, t_ns)
        return Accepted(order)

    def _withdraw(
        self,
        order: Order,
        market: Market,
        t_ns: int,
        status: Status = Status.CANCELED,
        exec_type: Exec = Exec.CANCELED,
        expiry: Expiry = Expiry.NONE,
    ) -> None:
        market.cancel(order.order_id, t_ns)
        self._close(order, status, exec_type, t_ns, expiry)
        self._out.extend(market.drain())

    def _cancel_all(self, command: CancelAll, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        orders = tuple(self.open_orders(command.account, command.symbol))
        for order in orders:
            self._withdraw(order, market, t_ns)
        return Accepted(orders=orders)

    def _modify(self, modify: Modify, t_ns: int) -> Accepted:
        """New price and quantity under the same ids; priority is lost, as at the venue."""
        market = self._market(modify.symbol)
        order = self.find_order(
            modify.account, modify.symbol, modify.order_id, modify.client_order_id
        )
        if order is None or not order.is_open or order.side is not modify.side:
            raise RefusalError(Reason.NO_SUCH_ORDER)
        if (modify.px_ticks, modify.qty_lots) == (order.px_ticks, order.qty_lots):
            raise RefusalError(Reason.NO_CHANGE)
        self._check_amounts(modify.qty_lots, modify.px_ticks, order, market)
        market.cancel(order.order_id, t_ns)
        order.px_ticks, order.qty_lots = modify.px_ticks, modify.qty_lots
        order.leaves_lots = max(0, order.qty_lots - order.cum_lots)
        takes = order.tif is Tif.GTX and market.would_take(order)
        if takes or not order.leaves_lots:
            self._close(order, Status.CANCELED, Exec.CANCELED, t_ns, Expiry.NONE)
            self._out.extend(market.drain())
            return Accepted(order)
        order.version += 1
        self._clearing.report(order, Exec.AMENDMENT, t_ns, self._out)
        self._match(order, market, t_ns)
        return Accepted(order)

    def _listen_key(self, command: ListenKey, t_ns: int) -> Accepted:
        account = self.accounts[command.account]
        if command.verb is ListenKeyVerb.START and not account.listen_key:
            self._listen_key_count += 1
            account.listen_key = self._token("listen key", self._listen_key_count)
        if not account.listen_key:
            raise RefusalError(Reason.NO_LISTEN_KEY)
        listen_key = account.listen_key
        account.listen_key_expiry_ns = t_ns + LISTEN_KEY_LIFE_NS
        if command.verb is ListenKeyVerb.CLOSE:
            account.listen_key = ""
        return Accepted(listen_key=listen_key)

    # -- CHECKS ---

    def _check(self, order: Order, market: Market) -> None:
        """RefusalError with the first rule that `order` breaks."""
        named = self._by_client_id.get((order.account, order.symbol, order.client_order_id))
        if named is not None and named.is_open:
            raise RefusalError(Reason.DUPLICATE_CLIENT_ID)
        self._check_amounts(order.qty_lots, order.px_ticks, order, market)
        if len(self._open_of(order.account, order.symbol)) >= OPEN_ORDERS_MAX:
            raise RefusalError(Reason.ORDERS_MAX)
        if order.reduce_only:
            if order.leaves_lots > self._reducible_lots(order):
                raise RefusalError(Reason.REDUCE_ONLY)
        elif self._margin_wanted_e8(order) > self.equity_e8(order.account):
            raise RefusalError(Reason.MARGIN)
        if order.tif is Tif.GTX and market.would_take(order):
            raise RefusalError(Reason.WOULD_TAKE)
        if order.tif is Tif.FOK and market.fillable_lots(order) < order.leaves_lots:
            raise RefusalError(Reason.UNFILLABLE)

    def _check_amounts(self, qty_lots: int, px_ticks: int, order: Order, market: Market) -> None:
        instrument = market.instrument
        if qty_lots <= 0:
            raise RefusalError(Reason.QTY_ZERO)
        if qty_lots > instrument.qty_lots_max:
            raise RefusalError(Reason.QTY_MAX)
        bid, _, ask, _ = market.touch()
        if order.order_type is OrderType.LIMIT:
            if px_ticks <= 0:
                raise RefusalError(Reason.PX_MIN)
            if px_ticks > instrument.px_ticks_max:
                raise RefusalError(Reason.PX_MAX)
            if order.side is Side.BUY and ask and px_ticks * 100 > ask * (100 + COLLAR_PERCENT):
                raise RefusalError(Reason.PX_FAR_HIGH)
            if order.side is Side.SELL and px_ticks * 100 < bid * (100 - COLLAR_PERCENT):
                raise RefusalError(Reason.PX_FAR_LOW)
        notional_e8 = qty_lots * (px_ticks or ask or bid) * instrument.notional_e8
        if not order.reduce_only and notional_e8 < instrument.min_notional * 100_000_000:
            raise RefusalError(Reason.NOTIONAL_MIN)

    def _reducible_lots(self, order: Order) -> int:
        """Lots of the position that no other reduce-only order stands for yet."""
        position_lots = self.accounts[order.account].position(order.symbol).lots
        open_lots = max(0, -order.side.sign * position_lots)
        for other in self.open_orders(order.account, order.symbol):
            if other.reduce_only and other.side is order.side and other is not order:
                open_lots -= other.leaves_lots
        return open_lots

    def _margin_wanted_e8(self, new: Order) -> int:
        """Initial margin if every open order filled on its worse side, `new` included."""
        total_e8 = 0
        for symbol, market in self.markets.items():
            bid, _, ask, _ = market.touch()
            lots = self.accounts[new.account].position(symbol).lots
            exposure = {side: max(0, side.sign * lots) * (ask or bid) for side in Side}
            orders = [*self.open_orders(new.account, symbol)]
            for order in orders + ([new] if new.symbol == symbol else []):
                if not order.reduce_only:
                    px_ticks = order.px_ticks or ask or bid
                    exposure[order.side] += order.leaves_lots * px_ticks
            total_e8 += max(exposure.values()) * market.instrument.notional_e8
        return total_e8 // LEVERAGE

    # -- FILLS AND ENDS ---

    def _settle(self, market: Market, t_ns: int) -> None:
        """Pass the market's events on; a user's side of a trade becomes a fill.

        Reduce-only orders are trimmed after the whole batch: their cancels change the book, and
        its changes must leave in the order of their ids.
        """
        traded: set[int] = set()
        for event in market.drain():
            if isinstance(event, Trade):
                for book_order, is_maker in ((event.taker, False), (event.maker, True)):
                    if isinstance(book_order, Order):
                        self._fill(book_order, event, is_maker, market)
                        traded.add(book_order.account)
                if not event.is_public:
                    continue
            self._out.append(event)
        for account in sorted(traded):
            self._trim_reduce_only(account, market, t_ns)

    def _fill(self, order: Order, trade: Trade, is_maker: bool, market: Market) -> None:
        self._clearing.fill(order, trade, is_maker, market.instrument, self._out)
        if not order.is_open:
            self._open_of(order.account, order.symbol).pop(order.order_id, None)

    def _trim_reduce_only(self, account: int, market: Market, t_ns: int) -> None:
        """Expire resting reduce-only orders that the position no longer covers."""
        for order in self.open_orders(account, market.instrument.symbol):
            if order.reduce_only and order.leaves_lots > self._reducible_lots(order):
                expired = (Status.EXPIRED, Exec.EXPIRED, Expiry.REDUCE_ONLY)
                self._withdraw(order, market, t_ns, *expired)

    def _close(
        self, order: Order, status: Status, exec_type: Exec, t_ns: int, expiry: Expiry
    ) -> None:
        order.status = status
        self._open_of(order.account, order.symbol).pop(order.order_id, None)
        self._clearing.report(order, exec_type, t_ns, self._out, expiry)

    # -- QUERIES ---

    def find_order(
        self, account: int, symbol: str, order_id: int, client_order_id: str
    ) -> Order | None:
        """By venue id (not 0), else the last one placed under the client id."""
        if order_id:
            order = self._orders.get(order_id)
            return order if order and (order.account, order.symbol) == (account, symbol) else None
        return self._by_client_id.get((account, symbol, client_order_id))

    def open_orders(self, account: int, symbol: str) -> list[Order]:
        return list(self._open_of(account, symbol).values())

    def unrealized_e8(self, account: int, symbol: str) -> int:
        """At the mid, rounded down to 1e-8."""
        position = self.accounts[account].position(symbol)
        market = self.markets[symbol]
        bid, _, ask, _ = market.touch()
        half_value = position.lots * (bid + ask) - 2 * position.cost
        return half_value * market.instrument.notional_e8 // 2

    def equity_e8(self, account: int) -> int:
        open_e8 = sum(self.unrealized_e8(account, symbol) for symbol in self.markets)
        return self.accounts[account].wallet_e8 + open_e8

    # -- INTERNAL ---

    def _market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise RefusalError(Reason.UNKNOWN_SYMBOL)
        return market

    def _open_of(self, account: int, symbol: str) -> dict[int, Order]:
        return self._open.setdefault((account, symbol), {})

    def _token(self, what: str, count: int) -> str:
        text = f"tickmaker local exchange/{self._seed}/{what}/{count}"
        return hashlib.sha256(text.encode()).hexdigest()
