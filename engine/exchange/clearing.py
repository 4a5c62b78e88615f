"""Clearing: executions to money. Every report and fill passes here, and into the truth log."""

from engine.exchange.accounts import Account, FeeRates
from engine.exchange.events import (
    AccountUpdate,
    Exec,
    Expiry,
    Order,
    OrderUpdate,
    Output,
    Status,
    Trade,
)
from engine.exchange.instruments import Instrument
from engine.exchange.truth import FillRecord, OrderRecord, Truth


class Clearing:
    """Accounts, fee rates and the truth log; outputs go to the list that the caller passes."""

    def __init__(self, accounts: list[Account], fees: FeeRates) -> None:
        self.accounts = accounts
        self.fees = fees
        self.truth = Truth()

    def report(
        self,
        order: Order,
        exec_type: Exec,
        t_ns: int,
        out: list[Output],
        expiry: Expiry = Expiry.NONE,
    ) -> None:
        """An execution report without a trade."""
        order.update_ns = t_ns
        update = OrderUpdate(
            t_ns, order, exec_type, order.status, order.cum_lots, order.cum_cost, expiry=expiry
        )
        self._emit(update, out)

    def fill(
        self, order: Order, trade: Trade, is_maker: bool, instrument: Instrument, out: list[Output]
    ) -> None:
        """One user's side of one trade: order, wallet, position, two outputs, two records."""
        account = self.accounts[order.account]
        order.cum_lots += trade.qty_lots
        order.cum_cost += trade.qty_lots * trade.px_ticks
        order.update_ns = trade.t_ns
        is_filled = order.cum_lots >= order.qty_lots
        order.status = Status.FILLED if is_filled else Status.PARTIALLY_FILLED
        notional_e8 = trade.qty_lots * trade.px_ticks * instrument.notional_e8
        fee_e8 = self.fees.fee_e8(notional_e8, is_maker)
        signed_lots = order.side.sign * trade.qty_lots
        realized_e8 = account.apply_fill(
            instrument, signed_lots, trade.px_ticks, fee_e8, trade.t_ns
        )
        self.truth.fills.append(
            FillRecord(
                trade.t_ns,
                order.account,
                order.symbol,
                trade.trade_id,
                order.order_id,
                order.side,
                trade.px_ticks,
                trade.qty_lots,
                is_maker,
                fee_e8,
                realized_e8,
            )
        )
        position = account.position(order.symbol)
        out.append(
            AccountUpdate(
                trade.t_ns,
                order.account,
                order.symbol,
                account.wallet_e8,
                position.lots,
                position.cost,
            )
        )
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
            realized_e8,
        )
        self._emit(update, out)

    def _emit(self, update: OrderUpdate, out: list[Output]) -> None:
        order = update.order
        self.truth.orders.append(
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
                update.expiry,
            )
        )
        out.append(update)
