"""Do the exchange's own books add up? Its truth log is read as an auditor would, record by record.

Nothing is taken from the exchange but its log: positions and balances are added up here again, by
other formulas than clearing's. Each breach is one sentence with numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.exchange.book import Side
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import OPEN_STATUSES, Exec, Status
from engine.exchange.truth import (
    FillRecord,
    FundingRecord,
    MoneyRecord,
    OrderRecord,
    Record,
)

BREACHES_MAX = 20


@dataclass(slots=True)
class _OrderBook:
    """What the log has said of one order."""

    record: OrderRecord | None = None
    filled_lots: int = 0


@dataclass(slots=True)
class _Holding:
    """One account's fills in one instrument; cash in tick x lot."""

    lots: int = 0
    cash: int = 0
    realized_e8: int = 0


class Audit:
    """`instruments` by the core's key."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.breaches: list[str] = []
        self._instruments = instruments
        self._orders: dict[int, _OrderBook] = {}  # open ones
        self._ended: set[int] = set()
        self._ended_before: set[int] = set()
        self._holdings: dict[tuple[int, str], _Holding] = {}
        self._totals: dict[tuple[int, str], int] = {}

    def breach(self, text: str) -> None:
        if len(self.breaches) < BREACHES_MAX:
            self.breaches.append(text)

    def tidy(self) -> None:
        """Orders that ended before the last call are forgotten: nothing comes of them any more."""
        self._ended_before, self._ended = self._ended, set()

    def on_truth(self, record: Record) -> None:
        if isinstance(record, OrderRecord):
            self._on_order(record)
        elif isinstance(record, FillRecord):
            self._on_fill(record)
        elif isinstance(record, MoneyRecord):
            self._on_money(record)
        elif isinstance(record, FundingRecord):
            held = self._holdings.get((record.account, record.symbol), _Holding())
            if held.lots != record.position_lots:
                self.breach(f"funding of {record.position_lots} lots, {held.lots} are held")

    def _on_order(self, record: OrderRecord) -> None:
        name = f"order {record.order_id} ({record.client_order_id})"
        if record.order_id in self._ended or record.order_id in self._ended_before:
            self.breach(f"{name} had ended, then {record.exec_type.value}")
            return
        order = self._orders.setdefault(record.order_id, _OrderBook())
        order.record = record
        if record.cum_lots != order.filled_lots:
            self.breach(f"{name}: filled {order.filled_lots} lots, its report says "
                        f"{record.cum_lots}")
        if record.cum_lots > record.qty_lots and record.exec_type is Exec.TRADE:
            self.breach(f"{name}: {record.cum_lots} of {record.qty_lots} lots filled")
        is_full = record.cum_lots >= record.qty_lots
        if (record.status is Status.FILLED) != is_full and record.status in (
            Status.NEW, Status.PARTIALLY_FILLED, Status.FILLED,
        ):  # fmt: skip
            self.breach(f"{name}: {record.status.value} with {record.cum_lots} of "
                        f"{record.qty_lots} lots")
        if record.status not in OPEN_STATUSES:
            del self._orders[record.order_id]
            self._ended.add(record.order_id)

    def _on_fill(self, record: FillRecord) -> None:
        order = self._orders.setdefault(record.order_id, _OrderBook())
        order.filled_lots += record.qty_lots
        told = order.record
        if told is None:
            self.breach(f"fill {record.trade_id} of order {record.order_id}, never reported")
        elif told.px_ticks and (record.px_ticks - told.px_ticks) * record.side.sign > 0:
            self.breach(
                f"order {record.order_id} {record.side.name} at {told.px_ticks} filled at "
                f"{record.px_ticks}"
            )
        if record.qty_lots <= 0:
            self.breach(f"fill {record.trade_id} of {record.qty_lots} lots")
        held = self._holdings.setdefault((record.account, record.symbol), _Holding())
        signed_lots = record.qty_lots if record.side is Side.BUY else -record.qty_lots
        held.lots += signed_lots
        held.cash -= signed_lots * record.px_ticks
        held.realized_e8 += record.realized_e8
        if self._instruments[record.symbol].kind is Kind.LINEAR:
            self._check_position(record, held)

    def _check_position(self, record: FillRecord, held: _Holding) -> None:
        """Bought minus sold is held; cash plus what is held at cost is what was realised."""
        if record.position_lots != held.lots:
            self.breach(f"account {record.account} {record.symbol}: fills add up to {held.lots} "
                        f"lots, the position is {record.position_lots}")
        # The tick may have changed since: then money only adds up in the new one.
        notional_e8 = self._instruments[record.symbol].notional_e8
        realized_e8 = (held.cash + record.position_cost) * notional_e8
        if realized_e8 != held.realized_e8:
            self.breach(f"account {record.account} {record.symbol}: realised {held.realized_e8} "
                        f"by its records, {realized_e8} by its cash")

    def _on_money(self, record: MoneyRecord) -> None:
        key = (record.account, record.asset)
        if key in self._totals and self._totals[key] + record.change_e8 != record.total_e8:
            self.breach(
                f"account {key[0]} {key[1]}: {self._totals[key]} and {record.change_e8} make "
                f"{record.total_e8}"
            )
        if record.locked_e8 < 0:
            self.breach(f"account {key[0]} {key[1]}: {record.locked_e8} set aside")
        self._totals[key] = record.total_e8
