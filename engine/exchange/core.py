"""The exchange's core, sans-IO: `step(command, t_ns) -> outputs`, and queries that only read.

It owns the orders, the accounts and the keys; a Market (events.py) of each instrument owns the
book. It reads no clock and knows no venue's words: a face (face.py) translates. Outputs of a
command start with Accepted or Refused; what it caused follows in the order in which it happened.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable

from engine.exchange.accounts import LEVERAGE_MAX, Account, FeeRates
from engine.exchange.book import BookOrder
from engine.exchange.checks import Checks, RefusalError, is_fillable, lots_for_quote
from engine.exchange.clearing import Clearing
from engine.exchange.events import (
    NEVER_NS,
    Accepted,
    Advance,
    Cancel,
    CancelAll,
    CancelAllTriggers,
    CancelTrigger,
    Command,
    Countdown,
    DeleteKey,
    Exec,
    InstrumentUpdate,
    KeyDeleted,
    Market,
    MarketState,
    MarkUpdate,
    Modify,
    Order,
    OrderType,
    Output,
    Place,
    PlaceTrigger,
    Reason,
    Refused,
    ResetSequence,
    SetLeverage,
    SetPositionMode,
    SetRefusals,
    SetState,
    SetTick,
    Shock,
    Status,
    Stp,
    Tif,
    Trade,
    Trigger,
    TriggerStatus,
    Why,
)
from engine.exchange.instruments import Instrument
from engine.exchange.keys import Keyring, derive_keys, derive_management_key
from engine.exchange.marks import Marks
from engine.exchange.rules import Rules, rules_of
from engine.exchange.truth import FillRecord, FundingRecord, InstrumentRecord, KeyRecord, Truth
from engine.exchange.triggers import Triggers

FIRST_ORDER_ID = 4_000_000_000
CLOSED_KEPT = 20_000  # closed orders an account and symbol, for queries


class Core:
    """All state of the exchange. `seed` fixes keys and generated ids."""

    def __init__(
        self,
        markets: Iterable[Market],
        seed: int,
        fees: FeeRates | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.markets = {market.instrument.key: market for market in markets}
        self.rules = rules or rules_of("binance_usdm")
        self.keys = derive_keys(seed)
        self.keyring = Keyring(self.keys, derive_management_key(seed))
        self.accounts = [
            Account.opened(i, keys.name, self.rules.purse) for i, keys in enumerate(self.keys)
        ]
        self.truth = Truth()
        self._fees = fees
        self._clearing = Clearing(self.accounts, self._rates, self.truth)
        self.checks = Checks(self.markets, self.accounts, self.rules, self.open_orders)
        self._triggers = Triggers(self.rules.triggers_max, self.truth)
        self._marks = Marks(self.markets, self.rules)
        self._states = dict.fromkeys(self.markets, MarketState.TRADING)
        self._halted_ns: dict[str, int] = {}
        self._seed = seed
        self._orders: dict[int, Order] = {}
        self._by_client_id: dict[tuple[int, str, str], Order] = {}
        self._open: dict[tuple[int, str], dict[int, Order]] = {}
        self._closed: dict[tuple[int, str], deque[Order]] = {}
        self._next_order_id = FIRST_ORDER_ID
        self._countdowns: dict[tuple[int, str], int] = {}
        self._gtd: dict[int, Order] = {}
        self._switches = SetRefusals()
        self._on: dict[type, Callable[..., Accepted]] = {
            Place: self._place,
            Cancel: self._cancel,
            CancelAll: self._cancel_all,
            Modify: self._modify,
            PlaceTrigger: self._place_trigger,
            CancelTrigger: self._cancel_trigger,
            CancelAllTriggers: self._cancel_all_triggers,
            Countdown: self._countdown,
            SetLeverage: self._set_leverage,
            SetPositionMode: self._set_position_mode,
            DeleteKey: self._delete_key,
            SetState: self._set_state,
            SetTick: self._set_tick,
            Shock: self._shock,
            ResetSequence: self._reset_sequence,
            SetRefusals: self._set_refusals,
        }
        self._out: list[Output] = []

    # -- TIME ---

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
        due = [self._marks.due_ns, *self._countdowns.values()]
        due += [order.gtd_ns for order in self._gtd.values()]
        due += [
            market.next_due_ns()
            for symbol, market in self.markets.items()
            if self._states[symbol] is MarketState.TRADING
        ]
        return min(due, default=NEVER_NS)

    def _advance(self, t_ns: int) -> None:
        for symbol, market in self.markets.items():
            if self._states[symbol] is MarketState.TRADING:
                market.advance(t_ns)
                self._settle(market, t_ns)
        if self._countdowns:
            self._fire_countdowns(t_ns)
        if self._gtd:
            self._expire_dated(t_ns)
        if t_ns >= self._marks.due_ns:
            self._mark(t_ns)

    def _fire_countdowns(self, t_ns: int) -> None:
        for (account, symbol), due_ns in list(self._countdowns.items()):
            if t_ns >= due_ns:
                del self._countdowns[account, symbol]
                self._cancel_all(CancelAll(account, (symbol,), Why.DEAD_MAN), t_ns)

    def _expire_dated(self, t_ns: int) -> None:
        for order in list(self._gtd.values()):
            if t_ns >= order.gtd_ns:
                market = self.markets[order.symbol]
                self._withdraw(order, market, t_ns, Status.EXPIRED, Exec.EXPIRED, Why.GTD)

    def _mark(self, t_ns: int) -> None:
        for update, is_funding in self._marks.advance(t_ns):
            self._out.append(update)
            if is_funding:
                self._clearing.fund(
                    self.markets[update.symbol].instrument, update.funding_rate_e8,
                    update.mark_px_ticks, t_ns, self._out,
                )  # fmt: skip
            self._pull_triggers(update.symbol, update.mark_px_ticks, True, t_ns)

    # -- ORDERS ---

    def _place(self, place: Place, t_ns: int, trigger_id: int = 0) -> Accepted:
        market = self._open_market(place.symbol)
        qty_lots = place.qty_lots
        if place.quote_e8:
            qty_lots = lots_for_quote(market, place.side, place.quote_e8)
        self._next_order_id += 1
        client_id = place.client_order_id or self._token("client id", self._next_order_id)[:22]
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
            reduce_only=place.reduce_only,
            stp=place.stp,
            gtd_ns=place.gtd_ns,
            create_ns=t_ns,
            update_ns=t_ns,
            trigger_id=trigger_id,
            echo=place.echo,
        )
        self._check_client_id(order)
        self.checks.place(order, market)
        self._register(order)
        self._clearing.lock(order, market.instrument, t_ns, self._out)
        if order.tif is Tif.GTX and market.would_take(order):
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, Why.POST_ONLY)
            return Accepted(order)
        self._clearing.report(order, Exec.NEW, t_ns, self._out)
        if order.tif is Tif.FOK and not is_fillable(order, market):
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, Why.FOK)
            return Accepted(order)
        self._match(order, market, t_ns)
        return Accepted(order)

    def _check_client_id(self, order: Order) -> None:
        named = self._by_client_id.get((order.account, order.symbol, order.client_order_id))
        if named is not None and (named.is_open or self.rules.are_client_ids_for_ever):
            raise RefusalError(Reason.DUPLICATE_CLIENT_ID)

    def _register(self, order: Order) -> None:
        self._orders[order.order_id] = order
        self._by_client_id[order.account, order.symbol, order.client_order_id] = order
        self._open_of(order.account, order.symbol)[order.order_id] = order
        if order.gtd_ns:
            self._gtd[order.order_id] = order

    def _match(self, order: Order, market: Market, t_ns: int) -> None:
        """Take, rest, or end; own resting orders in the way are dealt with by the order's STP."""
        is_market = order.order_type is OrderType.MARKET
        rests = not is_market and order.tif in (Tif.GTC, Tif.GTX)
        while order.is_open and order.leaves_lots:
            own = market.place(order, rests, t_ns, order.stp is Stp.NONE)
            self._settle(market, t_ns)
            if own is None:
                break
            self._prevent_self_trade(order, own, market, t_ns)
        if order.is_open and not rests:
            why = Why.MARKET if is_market else Why.IOC
            self._close(order, Status.EXPIRED, Exec.EXPIRED, t_ns, why)

    def _prevent_self_trade(
        self, taker: Order, maker: BookOrder, market: Market, t_ns: int
    ) -> None:
        assert isinstance(maker, Order)
        if taker.stp in (Stp.EXPIRE_MAKER, Stp.EXPIRE_BOTH):
            self._withdraw(maker, market, t_ns, Status.EXPIRED, Exec.EXPIRED, Why.STP)
        if taker.stp in (Stp.EXPIRE_TAKER, Stp.EXPIRE_BOTH):
            self._close(taker, Status.EXPIRED, Exec.EXPIRED, t_ns, Why.STP)

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
        why: Why = Why.NONE,
    ) -> None:
        market.cancel(order.order_id, t_ns)
        self._close(order, status, exec_type, t_ns, why)
        self._out.extend(market.drain())

    def _cancel_all(self, command: CancelAll, t_ns: int) -> Accepted:
        orders: list[Order] = []
        for symbol in command.symbols:
            self._market(symbol)
            orders += self.open_orders(command.account, symbol)
        limits = (command.count_max, self._switches.cancel_all_max)
        orders = orders[: min((limit for limit in limits if limit), default=len(orders))]
        for order in orders:
            market = self.markets[order.symbol]
            self._withdraw(order, market, t_ns, why=command.why)
        return Accepted(orders=tuple(orders))

    def _modify(self, modify: Modify, t_ns: int) -> Accepted:
        """New price or quantity under the same venue id."""
        market = self._open_market(modify.symbol)
        order = self.find_order(
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
        self.checks.amounts(qty_lots, px_ticks, order, market)
        if not order.reduce_only and qty_lots > order.cum_lots:
            self.checks.money(order, market, qty_lots - order.cum_lots, px_ticks)
        if modify.new_client_order_id:
            self._rename(order, modify.new_client_order_id)
        if modify.echo is not None:
            order.echo = modify.echo
        if modify.keeps_priority:
            self._shrink(order, qty_lots, market, t_ns)
        else:
            self._replace(order, px_ticks, qty_lots, market, t_ns)
        return Accepted(order)

    def _rename(self, order: Order, client_id: str) -> None:
        named = self._by_client_id.get((order.account, order.symbol, client_id))
        if named is not None and named is not order and named.is_open:
            raise RefusalError(Reason.DUPLICATE_CLIENT_ID)
        order.client_order_id = client_id
        self._by_client_id[order.account, order.symbol, client_id] = order

    def _shrink(self, order: Order, qty_lots: int, market: Market, t_ns: int) -> None:
        market.shrink(order.order_id, order.qty_lots - qty_lots, t_ns)
        order.leaves_lots = qty_lots - order.cum_lots
        order.qty_lots = qty_lots
        self._amended(order, market, t_ns)
        self._out.extend(market.drain())

    def _replace(
        self, order: Order, px_ticks: int, qty_lots: int, market: Market, t_ns: int
    ) -> None:
        """To the back of the queue; ended where it would take against its will, or is done."""
        market.cancel(order.order_id, t_ns)
        order.px_ticks, order.qty_lots = px_ticks, qty_lots
        order.leaves_lots = max(0, order.qty_lots - order.cum_lots)
        takes = order.tif is Tif.GTX and market.would_take(order)
        if takes or not order.leaves_lots:
            why = Why.POST_ONLY if takes else Why.AMENDED_AWAY
            self._close(order, Status.CANCELED, Exec.CANCELED, t_ns, why)
            self._out.extend(market.drain())
            return
        self._amended(order, market, t_ns)
        self._match(order, market, t_ns)

    def _amended(self, order: Order, market: Market, t_ns: int) -> None:
        order.version += 1
        self._clearing.lock(order, market.instrument, t_ns, self._out)
        self._clearing.report(order, Exec.AMENDMENT, t_ns, self._out)

    # -- CONDITIONAL ORDERS, SWITCHES, SETTINGS ---

    def _place_trigger(self, command: PlaceTrigger, t_ns: int) -> Accepted:
        market = self._open_market(command.place.symbol)
        px_ticks = self.mark_px_ticks(command.place.symbol)
        if not command.by_mark:
            px_ticks = market.last_px_ticks() or px_ticks
        if command.place.qty_lots <= 0:
            raise RefusalError(Reason.QTY_ZERO)
        return Accepted(trigger=self._triggers.place(command, px_ticks, t_ns, self._out))

    def _cancel_trigger(self, command: CancelTrigger, t_ns: int) -> Accepted:
        return Accepted(trigger=self._triggers.cancel(command, t_ns, self._out))

    def _cancel_all_triggers(self, command: CancelAllTriggers, t_ns: int) -> Accepted:
        closed: list[Trigger] = []
        for symbol in command.symbols:
            for trigger in self._triggers.open_of(command.account, symbol):
                self._triggers.close(trigger, TriggerStatus.CANCELED, t_ns, self._out)
                closed.append(trigger)
        return Accepted(triggers=tuple(closed))

    def _pull_triggers(self, symbol: str, px_ticks: int, by_mark: bool, t_ns: int) -> None:
        for trigger in self._triggers.due(symbol, px_ticks, by_mark):
            if trigger.status is not TriggerStatus.NEW:
                continue  # ended by what an earlier one caused
            told, self._out = self._out, []
            try:
                order = self._place(trigger.place, t_ns, trigger.trigger_id).order
                status = TriggerStatus.TRIGGERED
            except RefusalError as refusal:
                trigger.refusal, order, status = refusal.reason, None, TriggerStatus.REJECTED
            caused, self._out = self._out, told
            self._triggers.close(trigger, status, t_ns, self._out, order)
            self._out += caused

    def _countdown(self, command: Countdown, t_ns: int) -> Accepted:
        self._market(command.symbol)
        self._countdowns.pop((command.account, command.symbol), None)
        if command.window_ns:
            self._countdowns[command.account, command.symbol] = t_ns + command.window_ns
        return Accepted()

    def _set_leverage(self, command: SetLeverage, t_ns: int) -> Accepted:
        self._market(command.symbol)
        account = self.accounts[command.account]
        if not 1 <= command.leverage <= LEVERAGE_MAX:
            raise RefusalError(Reason.LEVERAGE)
        if command.leverage == account.leverage(command.symbol):
            raise RefusalError(Reason.NO_CHANGE)
        account.leverages[command.symbol] = command.leverage
        return Accepted()

    def _set_position_mode(self, command: SetPositionMode, t_ns: int) -> Accepted:
        if not command.is_hedge:
            raise RefusalError(Reason.NO_CHANGE)
        if any(self.open_orders(command.account, symbol) for symbol in self.markets):
            raise RefusalError(Reason.HAS_ORDERS)
        raise RefusalError(Reason.HAS_POSITION)  # one-way only: no account may become hedged

    def _delete_key(self, command: DeleteKey, t_ns: int) -> Accepted:
        if self._switches.is_revocation_refused:
            raise RefusalError(Reason.REVOCATION_REFUSED)
        key = self.keyring.delete(command.api_key)
        if key is None:
            raise RefusalError(Reason.NO_KEY)
        self.truth.add(KeyRecord(t_ns, key.account, key.api_key[:6]))
        self._out.append(KeyDeleted(t_ns, key.account, key.api_key))
        return Accepted()

    # -- THE OPERATOR'S AND THE FAULTS' ---

    def _set_state(self, command: SetState, t_ns: int) -> Accepted:
        market, state = self._market(command.symbol), command.state
        before = self._states[command.symbol]
        if state is before or before is MarketState.DELISTED:
            raise RefusalError(Reason.NO_CHANGE)
        self._states[command.symbol] = state
        if before is MarketState.TRADING:
            self._halted_ns[command.symbol] = t_ns
        else:
            market.pause(t_ns - self._halted_ns[command.symbol])
        if state is MarketState.DELISTED:
            self._expire_all(command.symbol, t_ns)
        self._tell_instrument(command.symbol, t_ns)
        return Accepted()

    def _expire_all(self, symbol: str, t_ns: int) -> None:
        for account in self.accounts:
            for order in self.open_orders(account.index, symbol):
                closed = (Status.EXPIRED, Exec.EXPIRED, Why.CLOSED)
                self._withdraw(order, self.markets[symbol], t_ns, *closed)
            for trigger in self._triggers.open_of(account.index, symbol):
                self._triggers.close(trigger, TriggerStatus.EXPIRED, t_ns, self._out)

    def _tell_instrument(self, symbol: str, t_ns: int) -> None:
        state, tick = self._states[symbol], self.markets[symbol].instrument.px.step
        self.truth.add(InstrumentRecord(t_ns, symbol, state, str(tick)))
        self._out.append(InstrumentUpdate(t_ns, symbol, state))

    def _set_tick(self, command: SetTick, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        self._expire_all(command.symbol, t_ns)
        if command.factor < 2 or not market.set_tick(command.factor, t_ns):
            raise RefusalError(Reason.NO_CHANGE)
        for account in self.accounts:
            if position := account.positions.get(command.symbol):
                position.cost *= command.factor
        self._marks.rescale(command.symbol, command.factor)
        self._tell_instrument(command.symbol, t_ns)
        self._settle(market, t_ns)
        return Accepted()

    def _shock(self, command: Shock, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        if not market.disturb(command, t_ns):
            raise RefusalError(Reason.NO_CHANGE)
        self._settle(market, t_ns)
        return Accepted()

    def _reset_sequence(self, command: ResetSequence, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        market.reset_sequence(t_ns)
        self._settle(market, t_ns)
        return Accepted()

    def _set_refusals(self, command: SetRefusals, t_ns: int) -> Accepted:
        self._switches = command
        return Accepted()

    # -- FILLS AND ENDS ---

    def _settle(self, market: Market, t_ns: int) -> None:
        """Pass the market's events on; a user's side of a trade becomes a fill.

        Reduce-only orders are trimmed, and conditional ones pulled, after the whole batch: what
        they do changes the book, and its changes must leave in the order of their ids.
        """
        traded: set[int] = set()
        symbol = market.instrument.key
        last_px_ticks = 0
        for event in market.drain():
            if isinstance(event, Trade):
                last_px_ticks = event.px_ticks
                for book_order, is_maker in ((event.taker, False), (event.maker, True)):
                    if isinstance(book_order, Order):
                        self._fill(book_order, event, is_maker, market)
                        traded.add(book_order.account)
                if not event.is_public:
                    continue
            self._out.append(event)
        for account in sorted(traded):
            self._trim_reduce_only(account, market, t_ns)
        if last_px_ticks:
            self._pull_triggers(symbol, last_px_ticks, False, t_ns)

    def _fill(self, order: Order, trade: Trade, is_maker: bool, market: Market) -> None:
        self._clearing.fill(order, trade, is_maker, market.instrument, self._out)
        if not order.is_open:
            self._retire(order)

    def _trim_reduce_only(self, account: int, market: Market, t_ns: int) -> None:
        """Expire resting reduce-only orders that the position no longer covers."""
        for order in self.open_orders(account, market.instrument.key):
            if order.reduce_only and order.leaves_lots > self.checks.reducible_lots(order):
                expired = (Status.EXPIRED, Exec.EXPIRED, Why.REDUCE_ONLY)
                self._withdraw(order, market, t_ns, *expired)

    def _close(
        self, order: Order, status: Status, exec_type: Exec, t_ns: int, why: Why
    ) -> None:
        order.status, order.why = status, why
        self._retire(order)
        self._clearing.lock(order, self.markets[order.symbol].instrument, t_ns, self._out)
        self._clearing.report(order, exec_type, t_ns, self._out, why)

    def _retire(self, order: Order) -> None:
        """Out of the open ones; the oldest closed ones are forgotten."""
        self._open_of(order.account, order.symbol).pop(order.order_id, None)
        self._gtd.pop(order.order_id, None)
        closed = self._closed.setdefault((order.account, order.symbol), deque())
        closed.append(order)
        if len(closed) > CLOSED_KEPT:
            old = closed.popleft()
            del self._orders[old.order_id]
            name = (old.account, old.symbol, old.client_order_id)
            if self._by_client_id.get(name) is old:
                del self._by_client_id[name]

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

    def orders_of(self, account: int, symbol: str) -> list[Order]:
        """Open and closed, by venue id."""
        orders = [*self._closed.get((account, symbol), ()), *self.open_orders(account, symbol)]
        return sorted(orders, key=lambda order: order.order_id)

    def find_trigger(
        self, account: int, symbol: str, trigger_id: int, client_id: str
    ) -> Trigger | None:
        return self._triggers.find(account, symbol, trigger_id, client_id)

    def open_triggers(self, account: int, symbol: str) -> list[Trigger]:
        return self._triggers.open_of(account, symbol)

    def triggers_of(self, account: int, symbol: str) -> list[Trigger]:
        """Open and closed, oldest first."""
        return self._triggers.all_of(account, symbol)

    def fills_of(self, account: int, symbol: str) -> list[FillRecord]:
        """Of the last FILLS_KEPT at least, oldest first."""
        return self._clearing.fills.get((account, symbol), [])

    def funding_of(self, account: int, symbol: str) -> list[FundingRecord]:
        return self._clearing.fundings.get((account, symbol), [])

    def unrealized_e8(self, account: int, symbol: str) -> int:
        return self.checks.unrealized_e8(account, symbol)

    def equity_e8(self, account: int, asset: str = "USDT") -> int:
        return self.checks.equity_e8(account, asset)

    def margin_e8(self, account: int, symbol: str) -> int:
        return self.checks.margin_e8(account, symbol)

    def mark(self, symbol: str) -> MarkUpdate | None:
        """The last one; None before the first second, and on spot."""
        return self._marks.last.get(symbol)

    def mark_px_ticks(self, symbol: str) -> int:
        """The mark, or the mid where there is none yet."""
        if mark := self.mark(symbol):
            return mark.mark_px_ticks
        bid, _, ask, _ = self.markets[symbol].touch()
        return (bid + ask) // 2

    def state(self, symbol: str) -> MarketState:
        return self._states[symbol]

    def fees_of(self, symbol: str) -> FeeRates:
        return self._rates(self.markets[symbol].instrument)

    # -- INTERNAL ---

    def _rates(self, instrument: Instrument) -> FeeRates:
        return self._fees or self.rules.fees[instrument.kind]

    def _market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise RefusalError(Reason.UNKNOWN_SYMBOL)
        return market

    def _open_market(self, symbol: str) -> Market:
        market = self._market(symbol)
        if self._states[symbol] is not MarketState.TRADING:
            raise RefusalError(Reason.CLOSED)
        return market

    def _open_of(self, account: int, symbol: str) -> dict[int, Order]:
        return self._open.setdefault((account, symbol), {})

    def _token(self, what: str, number: int) -> str:
        text = f"tickmaker local exchange/{self._seed}/{what}/{number}"
        return hashlib.sha256(text.encode()).hexdigest()
