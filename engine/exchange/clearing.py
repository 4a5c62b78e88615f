"""Clearing: executions to money. Every report, fill, lock and funding passes here, and into the
truth log. Linear instruments settle in the quote asset through a position; spot exchanges assets.
"""

from collections.abc import Callable
from typing import TypeVar

from engine.exchange.accounts import Account, FeeRates
from engine.exchange.book import Side
from engine.exchange.events import (
    AccountUpdate,
    BalanceNow,
    OrderUpdate,
    Output,
    PositionNow,
    Trade,
    Trigger,
)
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.order_index import RefusalError
from engine.exchange.terms import Exec, MoneyWhy, Order, OrderType, Reason, Status, Why
from engine.exchange.truth import FillRecord, FundingRecord, MoneyRecord, OrderRecord, Truth

RecordT = TypeVar("RecordT", FillRecord, FundingRecord)
FILLS_KEPT = 20_000  # an account and symbol, for queries


class Clearing:
    """Accounts, fee rates and the truth log; outputs go to the list that the caller passes."""

    def __init__(
        self, accounts: list[Account], fees_of: Callable[[Instrument], FeeRates], truth: Truth
    ) -> None:
        self.accounts = accounts
        self.fees_of = fees_of
        self.truth = truth
        self.fills: dict[tuple[int, str], list[FillRecord]] = {}
        self.fundings: dict[tuple[int, str], list[FundingRecord]] = {}
        for account in accounts:
            for asset, total_e8 in account.balances.items():
                self.truth.add(MoneyRecord(0, account.index, asset, total_e8, 0, 0, "opening"))

    # -- REPORTS ---

    def report(
        self, order: Order, exec_type: Exec, t_ns: int, out: list[Output], why: Why = Why.NONE
    ) -> None:
        """An execution report without a trade."""
        order.update_ns = t_ns
        update = OrderUpdate(
            t_ns, order, exec_type, order.status, order.cum_lots, order.cum_cost, why=why
        )
        self._emit(update, out)

    def _emit(self, update: OrderUpdate, out: list[Output]) -> None:
        order = update.order
        self.truth.add(
            OrderRecord(
                update.t_ns,
                order.account,
                order.symbol,
                order.order_id,
                order.client_order_id,
                order.side,
                order.px_ticks,
                order.qty_lots,
                update.exec_type,
                update.status,
                update.cum_lots,
                update.why,
            )
        )
        out.append(update)

    # -- FILLS ---

    def fill(
        self, order: Order, trade: Trade, is_maker: bool, instrument: Instrument, out: list[Output]
    ) -> None:
        """One user's side of one trade: order, balances, position, two outputs, records."""
        account = self.accounts[order.account]
        order.cum_lots += trade.qty_lots
        order.cum_cost += trade.qty_lots * trade.px_ticks
        order.update_ns = trade.t_ns
        is_filled = order.cum_lots >= order.qty_lots
        order.status = Status.FILLED if is_filled else Status.PARTIALLY_FILLED
        settle = self._settle_linear if instrument.kind is Kind.LINEAR else self._settle_spot
        fee_asset, fee_e8, realized_e8 = settle(account, order, trade, is_maker, instrument, out)
        order.fee_asset = fee_asset
        order.cum_fee_e8 += fee_e8
        account.fees_e8[fee_asset] = account.fees_e8.get(fee_asset, 0) + fee_e8
        position = account.positions.get(order.symbol)
        record = FillRecord(
            trade.t_ns,
            order.account,
            order.symbol,
            trade.trade_id,
            order.order_id,
            order.client_order_id,
            order.side,
            trade.px_ticks,
            trade.qty_lots,
            is_maker,
            fee_e8,
            fee_asset,
            realized_e8,
            position.lots if position else 0,
            position.cost if position else 0,
        )
        self.truth.add(record)
        _keep(self.fills, record)
        update = OrderUpdate(
            trade.t_ns,
            order,
            Exec.TRADE,
            order.status,
            order.cum_lots,
            order.cum_cost,
            trade.px_ticks,
            trade.qty_lots,
            trade.trade_id,
            is_maker,
            fee_e8,
            fee_asset,
            realized_e8,
        )
        self._emit(update, out)

    def _settle_linear(
        self,
        account: Account,
        order: Order,
        trade: Trade,
        is_maker: bool,
        instrument: Instrument,
        out: list[Output],
    ) -> tuple[str, int, int]:
        """(fee asset, fee, realised P&L)."""
        notional_e8 = trade.qty_lots * trade.px_ticks * instrument.notional_e8
        fee_e8 = self.fees_of(instrument).fee_e8(notional_e8, is_maker)
        position = account.position(order.symbol)
        signed_lots = order.side.sign * trade.qty_lots
        realized = position.apply_fill(signed_lots, trade.px_ticks)
        realized_e8 = realized * instrument.notional_e8
        position.realized_e8 += realized_e8
        position.update_ns = trade.t_ns
        changes = {instrument.quote: realized_e8 - fee_e8}
        now = PositionNow(order.symbol, position.lots, position.cost, position.realized_e8)
        self._pay(account, changes, trade.t_ns, MoneyWhy.ORDER, out, now)
        return instrument.quote, fee_e8, realized_e8

    def _settle_spot(
        self,
        account: Account,
        order: Order,
        trade: Trade,
        is_maker: bool,
        instrument: Instrument,
        out: list[Output],
    ) -> tuple[str, int, int]:
        """(fee asset, fee, 0): the fee is taken from what is received."""
        base_e8 = trade.qty_lots * instrument.lot_e8
        quote_e8 = trade.qty_lots * trade.px_ticks * instrument.notional_e8
        is_buy = order.side is Side.BUY
        fee_asset = instrument.base if is_buy else instrument.quote
        fee_e8 = self.fees_of(instrument).fee_e8(base_e8 if is_buy else quote_e8, is_maker)
        sign = order.side.sign
        changes = {instrument.base: sign * base_e8, instrument.quote: -sign * quote_e8}
        changes[fee_asset] -= fee_e8
        self._unlock_filled(account, order, trade.qty_lots, instrument)
        self._pay(account, changes, trade.t_ns, MoneyWhy.ORDER, out)
        return fee_asset, fee_e8, 0

    def _pay(
        self,
        account: Account,
        changes: dict[str, int],
        t_ns: int,
        why: MoneyWhy,
        out: list[Output],
        position: PositionNow | None = None,
    ) -> None:
        for asset, change_e8 in changes.items():
            account.add(asset, change_e8)
        self._tell_money(account, changes, t_ns, why, out, position)

    def _tell_money(
        self,
        account: Account,
        changes: dict[str, int],
        t_ns: int,
        why: MoneyWhy,
        out: list[Output],
        position: PositionNow | None = None,
    ) -> None:
        balances = tuple(
            BalanceNow(asset, account.balance_e8(asset), account.locked.get(asset, 0), change_e8)
            for asset, change_e8 in changes.items()
        )
        for balance in balances:
            self.truth.add(MoneyRecord(t_ns, account.index, *balance, why))
        out.append(AccountUpdate(t_ns, account.index, why, balances, position))

    # -- LOCKS OF SPOT ORDERS ---

    def lock(self, order: Order, instrument: Instrument, t_ns: int, out: list[Output]) -> None:
        """Set aside what the open rest of a limit order may cost; call again when it changed."""
        if instrument.kind is not Kind.SPOT or order.order_type is OrderType.MARKET:
            return
        wanted_e8 = 0
        if order.is_open:
            wanted_e8 = (order.qty_lots - order.cum_lots) * _lot_cost_e8(order, instrument)
        change_e8 = wanted_e8 - order.locked_e8
        if change_e8:
            account = self.accounts[order.account]
            asset = paid_asset(order.side, instrument)
            account.lock(asset, change_e8)
            order.locked_e8 = wanted_e8
            self._tell_money(account, {asset: 0}, t_ns, MoneyWhy.LOCK, out)

    def lock_trigger(
        self, trigger: Trigger, instrument: Instrument, is_waiting: bool, t_ns: int,
        out: list[Output],
    ) -> None:  # fmt: skip
        """Set aside what a conditional spot order may cost while it waits, or free it again.
        RefusalError when there is less."""
        if instrument.kind is not Kind.SPOT:
            return
        account = self.accounts[trigger.place.account]
        asset = paid_asset(trigger.place.side, instrument)
        wanted_e8 = trigger_cost_e8(trigger, instrument) if is_waiting else 0
        change_e8 = wanted_e8 - trigger.locked_e8
        if change_e8 > account.free_e8(asset):
            raise RefusalError(Reason.BALANCE)
        if change_e8:
            account.lock(asset, change_e8)
            trigger.locked_e8 = wanted_e8
            self._tell_money(account, {asset: 0}, t_ns, MoneyWhy.LOCK, out)

    def _unlock_filled(
        self, account: Account, order: Order, lots: int, instrument: Instrument
    ) -> None:
        if order.locked_e8:
            freed_e8 = min(order.locked_e8, lots * _lot_cost_e8(order, instrument))
            account.lock(paid_asset(order.side, instrument), -freed_e8)
            order.locked_e8 -= freed_e8

    def rescale(self, symbol: str, factor: int) -> None:
        """The tick became `factor` times finer: what is queried is told in the new one from now
        on. The truth log stays as it was written."""
        for (_, of), fills in self.fills.items():
            if of == symbol:
                fills[:] = [
                    fill._replace(
                        px_ticks=fill.px_ticks * factor, position_cost=fill.position_cost * factor
                    )
                    for fill in fills
                ]
        for (_, of), fundings in self.fundings.items():
            if of == symbol:
                fundings[:] = [
                    paid._replace(mark_px_ticks=paid.mark_px_ticks * factor) for paid in fundings
                ]

    # -- FUNDING ---

    def fund(
        self, instrument: Instrument, rate_e8: int, mark_px_ticks: int, t_ns: int,
        out: list[Output],
    ) -> None:  # fmt: skip
        """Longs pay a positive rate, shorts get it; rounded towards minus infinity."""
        for account in self.accounts:
            position = account.positions.get(instrument.key)
            if position is None or not position.lots:
                continue
            value_e8 = position.lots * mark_px_ticks * instrument.notional_e8
            payment_e8 = -(-value_e8 * rate_e8 // 100_000_000)
            record = FundingRecord(
                t_ns, account.index, instrument.key, rate_e8, mark_px_ticks, position.lots,
                payment_e8, instrument.quote,
            )  # fmt: skip
            self.truth.add(record)
            _keep(self.fundings, record)
            now = PositionNow(
                instrument.key, position.lots, position.cost, position.realized_e8
            )
            changes = {instrument.quote: -payment_e8}
            self._pay(account, changes, t_ns, MoneyWhy.FUNDING, out, now)


def _lot_cost_e8(order: Order, instrument: Instrument) -> int:
    """What one lot of a spot limit order sets aside of the asset that it pays with."""
    if order.side is Side.BUY:
        return order.px_ticks * instrument.notional_e8
    return instrument.lot_e8


def paid_asset(side: Side, instrument: Instrument) -> str:
    """What a spot order pays with."""
    return instrument.quote if side is Side.BUY else instrument.base


def trigger_cost_e8(trigger: Trigger, instrument: Instrument) -> int:
    """What a conditional spot order may cost, at its limit or else at its trigger."""
    place = trigger.place
    if place.side is Side.SELL:
        return place.qty_lots * instrument.lot_e8
    return place.qty_lots * (place.px_ticks or trigger.trigger_px_ticks) * instrument.notional_e8


def _keep(
    kept: dict[tuple[int, str], list[RecordT]], record: RecordT
) -> None:
    records = kept.setdefault((record.account, record.symbol), [])
    records.append(record)
    if len(records) > 2 * FILLS_KEPT:
        del records[:FILLS_KEPT]
