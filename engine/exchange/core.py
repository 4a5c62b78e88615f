"""The exchange's core, sans-IO: `step(command, t_ns) -> outputs`, and queries that only read.

It owns the orders, the accounts and the keys; a Market (events.py) of each instrument owns the
book. It reads no clock and knows no venue's words: a face (face.py) translates. Outputs of a
command start with Accepted or Refused; what it caused follows in the order in which it happened.
"""

from collections.abc import Callable, Iterable, Mapping

from engine.exchange.accounts import LEVERAGE_MAX, Account, FeeRates
from engine.exchange.checks import Checks
from engine.exchange.clearing import Clearing
from engine.exchange.commands import (
    Advance,
    AmendTrigger,
    Cancel,
    CancelAll,
    CancelAllTriggers,
    CancelTrigger,
    Command,
    Countdown,
    DeleteKey,
    Modify,
    Place,
    PlaceTrigger,
    ResetSequence,
    SetLeverage,
    SetPositionMode,
    SetRefusals,
    SetState,
    SetTick,
    Shock,
    UpdateKey,
)
from engine.exchange.countdowns import Countdowns
from engine.exchange.desk import Desk
from engine.exchange.events import (
    Accepted,
    InstrumentUpdate,
    KeyDeleted,
    Market,
    MarkUpdate,
    Output,
    Refused,
    Trigger,
)
from engine.exchange.instruments import Instrument
from engine.exchange.keys import Keyring, derive_keys, derive_management_key
from engine.exchange.marks import Marks
from engine.exchange.order_index import OrderIndex, RefusalError
from engine.exchange.quiet import Quiet
from engine.exchange.retick import in_finer_ticks
from engine.exchange.rules import Rules, rules_of
from engine.exchange.terms import (
    MarketState,
    Order,
    Reason,
    TriggerStatus,
    Why,
)
from engine.exchange.triggers import Triggers
from engine.exchange.truth import FillRecord, FundingRecord, InstrumentRecord, SettingRecord, Truth


class Core:
    """All state of the exchange. `seed` fixes keys and generated ids. `fees`: of all instruments,
    or of each by its key; None: the venue's own."""

    def __init__(
        self,
        markets: Iterable[Market],
        seed: int,
        fees: FeeRates | Mapping[str, FeeRates] | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.markets = {market.instrument.key: market for market in markets}
        self.rules = rules or rules_of("binance_usdm")
        self.keys = derive_keys(seed)
        self.truth = Truth()
        self.keyring = Keyring(self.keys, derive_management_key(seed), self.truth)
        self.accounts = [
            Account.opened(i, keys.name, self.rules.purse) for i, keys in enumerate(self.keys)
        ]
        self._fees = fees
        self._clearing = Clearing(self.accounts, self._rates, self.truth)
        self._index = OrderIndex(self.rules.closed_kept)
        self._marks = Marks(self.markets, self.rules)
        self.checks = Checks(self.markets, self.accounts, self.rules, self._index, self._marks)
        self._desk = Desk(
            self.rules, self.checks, self._clearing, self._index, seed, self._on_last_px
        )
        self._triggers = Triggers(self.rules.triggers_max, self.truth, self._hold_money)
        self._states = dict.fromkeys(self.markets, MarketState.TRADING)
        self._halted_ns: dict[str, int] = {}
        self._countdowns = Countdowns(self.truth)
        self._switches = SetRefusals()
        self._on: dict[type, Callable[..., Accepted]] = {
            Place: self._place,
            Cancel: self._cancel,
            CancelAll: self._cancel_all,
            Modify: self._modify,
            PlaceTrigger: self._place_trigger,
            AmendTrigger: self._amend_trigger,
            CancelTrigger: self._cancel_trigger,
            CancelAllTriggers: self._cancel_all_triggers,
            Countdown: self._countdown,
            SetLeverage: self._set_leverage,
            SetPositionMode: self._set_position_mode,
            DeleteKey: self._delete_key,
            UpdateKey: self._update_key,
            SetState: self._set_state,
            SetTick: self._set_tick,
            Shock: self._shock,
            ResetSequence: self._reset_sequence,
            SetRefusals: self._set_refusals,
        }
        self._quiet = Quiet(self.markets, self._states)
        self._out: list[Output] = []
        self._untold: list[Output] = []  # what `operate` caused

    # -- TIME ---

    def step(self, command: Command, t_ns: int) -> list[Output]:
        """Apply one input at UTC time `t_ns`; never raises for what a user can send."""
        if isinstance(command, Advance):
            self._out = self._desk.out = self._untold
            self._untold = []
            self._advance(t_ns)
            return self._out
        self._out = self._desk.out = []
        self._quiet.stir()
        answer: Accepted | Refused
        try:
            answer = self._on[type(command)](command, t_ns)
        except RefusalError as refusal:
            answer = Refused(refusal.reason)
        return [answer, *self._out]

    def operate(self, command: Command, t_ns: int) -> Accepted | Refused:
        """A command of nobody's session: the operator's, or a fault's. What it causes leaves with
        the next Advance, so that a face tells it as it tells everything that time does."""
        untold, self._untold = self._untold, []
        answer, *effects = self.step(command, t_ns)
        assert isinstance(answer, Accepted | Refused)
        if isinstance(command, SetTick) and isinstance(answer, Accepted):
            untold = [in_finer_ticks(told, command.symbol, command.factor) for told in untold]
        self._untold = [*untold, *effects]
        return answer

    def next_due_ns(self) -> int:
        """When the next Advance has something to do."""
        if self._untold:
            return 0
        due = [self._marks.due_ns, self._quiet.due_ns(), *self._countdowns.due()]
        due += [order.gtd_ns for order in self._index.dated.values()]
        return min(due)

    def _advance(self, t_ns: int) -> None:
        if self._quiet.take(t_ns):
            for symbol, market in self.markets.items():
                if self._states[symbol] is MarketState.TRADING:
                    market.advance(t_ns)
                    self._desk.settle(market, t_ns)
        if self._countdowns:
            for account, symbol in self._countdowns.fired(t_ns):
                self._quiet.stir()
                self._cancel_all(CancelAll(account, (symbol,), Why.DEAD_MAN), t_ns)
        if self._index.dated:
            self._expire_dated(t_ns)
        if t_ns >= self._marks.due_ns:
            self._mark(t_ns)

    def _expire_dated(self, t_ns: int) -> None:
        for order in list(self._index.dated.values()):
            if t_ns >= order.gtd_ns:
                self._quiet.stir()
                market = self.markets[order.symbol]
                self._desk.expire(order, market, t_ns, Why.GTD)

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

    def _place(self, place: Place, t_ns: int) -> Accepted:
        return Accepted(self._desk.place(place, self._open_market(place.symbol), t_ns))

    def _cancel(self, cancel: Cancel, t_ns: int) -> Accepted:
        return Accepted(self._desk.cancel(cancel, self._market(cancel.symbol), t_ns))

    def _modify(self, modify: Modify, t_ns: int) -> Accepted:
        return Accepted(self._desk.modify(modify, self._open_market(modify.symbol), t_ns))

    def _cancel_all(self, command: CancelAll, t_ns: int) -> Accepted:
        orders: list[Order] = []
        for symbol in command.symbols:
            self._market(symbol)
            orders += self.open_orders(command.account, symbol)
        # The fault is of users' cancel-all; the dead-man switch takes all.
        switch = self._switches.cancel_all_max if command.why is Why.NONE else 0
        limits = (command.count_max, switch)
        orders = orders[: min((limit for limit in limits if limit), default=len(orders))]
        for order in orders:
            market = self.markets[order.symbol]
            self._desk.withdraw(order, market, t_ns, why=command.why)
        return Accepted(orders=tuple(orders))

    # -- CONDITIONAL ORDERS, SWITCHES, SETTINGS ---

    def _on_last_px(self, symbol: str, px_ticks: int, t_ns: int) -> None:
        self._pull_triggers(symbol, px_ticks, False, t_ns)

    def _place_trigger(self, command: PlaceTrigger, t_ns: int) -> Accepted:
        px_ticks = self._watched_ticks(command.place.symbol, command.by_mark)
        if command.place.qty_lots <= 0 and not command.place.closes_position:
            raise RefusalError(Reason.QTY_ZERO)
        return Accepted(trigger=self._triggers.place(command, px_ticks, t_ns, self._out))

    def _hold_money(
        self, trigger: Trigger, is_waiting: bool, t_ns: int, out: list[Output]
    ) -> None:
        if self.rules.locks_triggers:
            instrument = self.markets[trigger.place.symbol].instrument
            self._clearing.lock_trigger(trigger, instrument, is_waiting, t_ns, out)

    def _amend_trigger(self, command: AmendTrigger, t_ns: int) -> Accepted:
        trigger = self.find_trigger(command.account, command.symbol, command.trigger_id, "")
        by_mark = trigger is not None and trigger.by_mark
        px_ticks = self._watched_ticks(command.symbol, by_mark)
        return Accepted(trigger=self._triggers.amend(command, px_ticks, t_ns, self._out))

    def _watched_ticks(self, symbol: str, by_mark: bool) -> int:
        """The price that conditional orders of `symbol` wait for, as it is now."""
        market, mark_ticks = self._open_market(symbol), self.mark_px_ticks(symbol)
        return mark_ticks if by_mark else market.last_px_ticks() or mark_ticks

    def _cancel_trigger(self, command: CancelTrigger, t_ns: int) -> Accepted:
        return Accepted(trigger=self._triggers.cancel(command, t_ns, self._out))

    def _cancel_all_triggers(self, command: CancelAllTriggers, t_ns: int) -> Accepted:
        return Accepted(triggers=self._triggers.cancel_all(command, t_ns, self._out))

    def _pull_triggers(self, symbol: str, px_ticks: int, by_mark: bool, t_ns: int) -> None:
        for trigger in self._triggers.due(symbol, px_ticks, by_mark):
            if not self._triggers.take(trigger, t_ns, self._out):
                continue  # ended, or being placed, by what an earlier one caused
            self._quiet.stir()
            told = self._out
            self._out = self._desk.out = []
            order = None
            try:
                market = self._open_market(symbol)
                order = self._desk.place(trigger.place, market, t_ns, trigger.trigger_id)
                status = TriggerStatus.TRIGGERED
            except RefusalError as refusal:
                trigger.refusal, status = refusal.reason, TriggerStatus.REJECTED
            caused = self._out
            self._out = self._desk.out = told
            self._triggers.close(trigger, status, t_ns, self._out, order)
            self._out += caused

    def _countdown(self, command: Countdown, t_ns: int) -> Accepted:
        self._market(command.symbol)
        self._countdowns.set(command.account, command.symbol, command.window_ns, t_ns)
        return Accepted()

    def _set_leverage(self, command: SetLeverage, t_ns: int) -> Accepted:
        self._market(command.symbol)
        account = self.accounts[command.account]
        if not 1 <= command.leverage <= LEVERAGE_MAX:
            raise RefusalError(Reason.LEVERAGE)
        if command.leverage == account.leverage(command.symbol):
            raise RefusalError(Reason.NO_CHANGE)
        before = account.leverage(command.symbol)
        account.leverages[command.symbol] = command.leverage
        changed = (account.index, command.symbol, "leverage", command.leverage)
        self.truth.add(SettingRecord(t_ns, *changed))
        if command.leverage < before and not self.checks.is_margin_covered(command.account):
            account.leverages[command.symbol] = before
            raise RefusalError(Reason.LEVERAGE_MARGIN)
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
        if (key := self.keyring.delete(command.api_key, t_ns)) is None:
            raise RefusalError(Reason.NO_KEY)
        self._out.append(KeyDeleted(t_ns, key.account, key.api_key))
        return Accepted()

    def _update_key(self, command: UpdateKey, t_ns: int) -> Accepted:
        self.keyring.replace(command.key, t_ns)
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
                self._desk.expire(order, self.markets[symbol], t_ns, Why.CLOSED)
            for trigger in self._triggers.open_of(account.index, symbol):
                self._triggers.close(trigger, TriggerStatus.EXPIRED, t_ns, self._out)

    def _tell_instrument(self, symbol: str, t_ns: int) -> None:
        state, tick = self._states[symbol], self.markets[symbol].instrument.px.step
        self.truth.add(InstrumentRecord(t_ns, symbol, state, str(tick)))
        self._out.append(InstrumentUpdate(t_ns, symbol, state))

    def _set_tick(self, command: SetTick, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        symbol, factor = command.symbol, command.factor
        if factor < 2 or not market.can_set_tick(factor):
            raise RefusalError(Reason.NO_CHANGE)
        self._expire_all(symbol, t_ns)
        market.set_tick(factor, t_ns)
        for account in self.accounts:
            if position := account.positions.get(symbol):
                position.cost *= factor
        for part in (self._marks, self._index, self._clearing, self._triggers):
            part.rescale(symbol, factor)
        # Told after the change, with the instrument as it is then.
        self._out[:] = [in_finer_ticks(output, symbol, factor) for output in self._out]
        self._tell_instrument(symbol, t_ns)
        self._desk.settle(market, t_ns)
        return Accepted()

    def _shock(self, command: Shock, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        if not market.disturb(command, t_ns):
            raise RefusalError(Reason.NO_CHANGE)
        self._desk.settle(market, t_ns)
        return Accepted()

    def _reset_sequence(self, command: ResetSequence, t_ns: int) -> Accepted:
        market = self._market(command.symbol)
        market.reset_sequence(t_ns)
        self._desk.settle(market, t_ns)
        return Accepted()

    def _set_refusals(self, command: SetRefusals, t_ns: int) -> Accepted:
        self._switches = command
        return Accepted()

    # -- QUERIES ---

    def find_order(
        self, account: int, symbol: str, order_id: int, client_order_id: str
    ) -> Order | None:
        """By venue id (not 0), else the last one placed under the client id."""
        return self._index.find(account, symbol, order_id, client_order_id)

    def open_orders(self, account: int, symbol: str) -> list[Order]:
        return self._index.open_orders(account, symbol)

    def orders_of(self, account: int, symbol: str) -> list[Order]:
        """Open and closed, by venue id."""
        return self._index.orders_of(account, symbol)

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
        return self._marks.px_ticks(symbol)

    def state(self, symbol: str) -> MarketState:
        return self._states[symbol]

    def fees_of(self, symbol: str) -> FeeRates:
        return self._rates(self.markets[symbol].instrument)

    # -- INTERNAL ---

    def _rates(self, instrument: Instrument) -> FeeRates:
        if isinstance(self._fees, Mapping):
            return self._fees[instrument.key]
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
