"""What follows from what we believe and what the venue said of one instrument.

A pure function of both. Whoever drives it asks the venue, takes the belief, applies the actions
(books the fills, settles the orders, sends the cancels and the queries) and asks again, until the
answer is [Agreed]; applying what it says and asking again never finds the same thing to do twice.
The order of rows does not matter, nor how often each is told: pages move while they are read.

- Fills are booked first. A trade's order says whose it is: of this run, of an earlier one, a
  stranger's. Binance's trades name the order by its number only, so the order is asked for.
- A core that stands still has no order at work: one of ours that the venue says lives is
  cancelled, and nothing is agreed before the venue says that it ended.
- An order in doubt is what a query by its client id says. "No such order" is only believed when
  the venue could not accept it any more; before, the order may still be on its way.
- Nothing is sent again, and no position closed: this room only finds out what is.
- The position must be ours to the lot. Where it is not, and no trade is known to be missing, that
  is a divergence, told with both numbers; it is never adopted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from engine.execution.belief import (
    OURS,
    Action,
    Agreed,
    AskOrder,
    Belief,
    BookFill,
    CancelOrder,
    Diverged,
    Owner,
    OwnOrder,
    SettleOrder,
    Told,
    Waiting,
)  # fmt: skip
from engine.venues.base import OrderRow, TradeRow
from fastcore.types import FeeAsset, OrderState, Side

# tm, run tag, strategy, intent: fastcore.core_config.client_prefix, and 12 digits of the encoder.
_OURS = re.compile(OURS + r"[0-9a-f]{8}-[0-9a-f]{2}-[0-9a-f]{12}")
_INTENT_DIGITS = 12
_LIVE = frozenset({OrderState.NEW, OrderState.PARTIALLY_FILLED})
ENDS = frozenset({
    OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED,
})  # fmt: skip
_OVER = ENDS | {OrderState.FREE}
_SENT = frozenset({
    OrderState.PENDING_NEW, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE,
})  # fmt: skip
_UNTOLD = frozenset({OrderState.PENDING_NEW, OrderState.UNKNOWN})  # the venue has it, or not
_NO_ID = -1


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration has to say about it."""

    strangers: Literal["leave", "cancel", "halt"]
    # A query's "no such order" counts when the order was placed longer ago: recvWindow + ack
    # timeout, the core's own rule (fastcore/orders.pyx, _is_past_arrival).
    absent_after_ns: int


def reconcile(belief: Belief, told: Told, policy: Policy) -> list[Action]:
    """What follows, fills first. [Agreed] alone: nothing is left to do."""
    pass_ = _Pass(belief, told, policy)
    pass_.fills()
    pass_.own_orders()
    pass_.resting_orders()
    if not pass_.is_open():
        pass_.position()
    return pass_.actions()


def owner_of(client_id: str, client_prefix: str) -> Owner:
    """Whose order a client id names; `client_prefix` is this run's and strategy's."""
    if _OURS.fullmatch(client_id) is None:
        return Owner.STRANGER
    return Owner.RUN if client_id.startswith(client_prefix) else Owner.EARLIER


def intent_of(client_id: str) -> int:
    """The intent in a client id of ours."""
    return int(client_id[-_INTENT_DIGITS:], 16)


@dataclass(slots=True)
class _Pass:
    """One pass: what was found, by kind, in an order that the rows' order has no part in."""

    belief: Belief
    told: Told
    policy: Policy
    found_fills: list[BookFill] = field(default_factory=list)
    to_book_lots: dict[int, int] = field(default_factory=dict)  # by intent
    settled: list[SettleOrder] = field(default_factory=list)
    cancels: list[CancelOrder] = field(default_factory=list)
    asks: set[AskOrder] = field(default_factory=set)
    waits: set[str] = field(default_factory=set)
    diverged: set[Diverged] = field(default_factory=set)
    open_rows: dict[int, OrderRow] = field(init=False)
    asked_rows: dict[int, OrderRow] = field(init=False)
    client_ids: dict[int, str] = field(init=False)  # by the venue's order id
    own: dict[str, OwnOrder] = field(init=False)  # by client id

    def __post_init__(self) -> None:
        symbol = self.belief.symbol
        self.open_rows = _latest(self.told.open_orders or (), symbol)
        self.asked_rows = _latest(self.told.orders, symbol)
        self.own = {order.client_id: order for order in self.belief.orders}
        self.client_ids = {
            order.venue_order_id: order.client_id
            for order in self.belief.orders if order.venue_order_id != _NO_ID
        }  # fmt: skip
        for rows in (self.open_rows, self.asked_rows):
            self.client_ids |= {number: row.client_id for number, row in rows.items()}

    def is_open(self) -> bool:
        """Whether positions can't be compared yet: what was found may still move ours."""
        return bool(self.asks or self.settled or self.cancels or self.waits)

    def actions(self) -> list[Action]:
        found: list[Action] = [
            *self.found_fills,
            *sorted(self.settled, key=lambda action: action.intent_id),
            *sorted(self.cancels, key=lambda action: action.row.venue_order_id),
            *sorted(self.asks, key=lambda ask: (ask.client_id, ask.venue_order_text)),
            *(Waiting(what) for what in sorted(self.waits)),
            *sorted(self.diverged, key=lambda action: action.what),
        ]
        if found:
            return found
        assert self.told.position_lots is not None  # else there was something to wait for
        return [Agreed(self.told.position_lots)]

    # -- FILLS ---

    def fills(self) -> None:
        """Every execution that is not booked, oldest first."""
        if self.told.trades is None:
            self.waits.add("the trades were not told")
            return
        rows: dict[tuple[int, Side], TradeRow] = {}
        for row in self.told.trades:
            if row.symbol != self.belief.symbol:
                continue
            key = row.trade_id, row.side
            other = rows.setdefault(key, row)
            if other != row:
                rows[key] = min(other, row, key=repr)
                if _content(other) != _content(row):
                    self.diverged.add(Diverged(f"trade {row.trade_id} is told in two ways"))
        for row in sorted(rows.values(), key=lambda row: (row.exch_ts_ns, row.trade_id, row.side)):
            if (row.trade_id, row.side) not in self.belief.booked:
                self._fill(row)

    def _fill(self, row: TradeRow) -> None:
        if not row.is_whole:
            self.diverged.add(Diverged(
                f"trade {row.trade_id} of order {row.venue_order_text} is off the grid of price "
                "and quantity: it can't be booked"
            ))
            return
        client_id = row.client_id or self.client_ids.get(row.venue_order_id)
        if client_id is None and (
            row.venue_order_text not in self.told.absent or self._may_be_ours_unseen()
        ):
            self.asks.add(AskOrder("", row.venue_order_text))
            return
        # An order that the venue itself has forgotten is none of this run's: ours are too young.
        owner = owner_of(client_id or "", self.belief.client_prefix)
        intent_id = intent_of(client_id) if client_id and owner is Owner.RUN else _NO_ID
        self.found_fills.append(BookFill(row, intent_id, owner))
        self.to_book_lots[intent_id] = self.to_book_lots.get(intent_id, 0) + row.qty_lots
        if owner is Owner.STRANGER and self.policy.strangers == "halt":
            self.diverged.add(Diverged(
                f"a stranger traded on the account: trade {row.trade_id} of order "
                f"{row.venue_order_text}, {row.side.name} {row.qty_lots} lots"
            ))

    def _may_be_ours_unseen(self) -> bool:
        """Whether an order of ours has no number yet: an unknown one might be its."""
        return any(order.venue_order_id == _NO_ID for order in self.belief.orders)

    # -- ORDERS OF THIS RUN ---

    def own_orders(self) -> None:
        """Those that we hold for alive or in doubt against what the venue tells of them."""
        rows = {row.client_id: row for row in self.open_rows.values()}
        # Queries come after the list: what they say is younger.
        rows |= {row.client_id: row for row in self.asked_rows.values()}
        for order in self.belief.orders:
            if order.state in _OVER:
                continue
            row = rows.get(order.client_id)
            if row is not None:
                self._told_of(order, row)
            elif order.client_id in self.told.absent:
                self._absent(order)
            elif self.told.open_orders is None:
                self.waits.add(f"nothing was told of order {order.client_id}")
            elif self._may_settle(order):
                self.asks.add(AskOrder(order.client_id, ""))
            else:  # the next reading's: an agreement would settle it unasked
                self.waits.add(f"order {order.client_id} was sent after the venue was asked")

    def _may_settle(self, order: OwnOrder) -> bool:
        """Whether its answer is overdue, or none is on its way, and we asked after we sent."""
        is_waited_for = not self.belief.is_quiet and order.state in _SENT
        return not is_waited_for and order.sent_ns < self.told.at_ns

    def _told_of(self, order: OwnOrder, row: OrderRow) -> None:
        if not row.is_whole:  # by its name it can be cancelled; what else it says, nobody knows
            self.waits.add(f"order {order.client_id} can't be read")
            if self.belief.is_quiet and self._may_settle(order):
                self.cancels.append(CancelOrder(row, Owner.RUN))
            return
        if row.side is not order.side:
            self.diverged.add(Diverged(
                f"order {order.client_id} is a {row.side.name} at the venue, "
                f"a {order.side.name} here"
            ))
            return
        is_counted = self._is_counted(order, row)
        lives = row.state in _LIVE
        if lives and order.state in _LIVE and not self.belief.is_quiet:
            return
        if not self._may_settle(order):
            self.waits.add(f"order {order.client_id} awaits its answer")
            return
        # Of a cancel or an amend that awaits its answer: that the order still lives is no news.
        if (order.state in _UNTOLD) if lives else is_counted:
            self.settled.append(_settled(order, row))
        if lives and self.belief.is_quiet:
            self.cancels.append(CancelOrder(row, Owner.RUN))

    def _is_counted(self, order: OwnOrder, row: OrderRow) -> bool:
        """Whether what the venue says is filled is booked, or about to be. An order that ended
        stays in doubt until it is."""
        booked_lots = order.cum_qty_lots + self.to_book_lots.get(order.intent_id, 0)
        if row.cum_qty_lots <= booked_lots and (
            row.cum_qty_lots == booked_lots or not self.belief.is_quiet
        ):
            return True
        self.asks.add(AskOrder(order.client_id, ""))
        self.waits.add(
            f"order {order.client_id}: {row.cum_qty_lots} lots filled says the venue, its trades "
            f"say {booked_lots}"
        )
        return False

    def _absent(self, order: OwnOrder) -> None:
        filled_lots = order.cum_qty_lots + self.to_book_lots.get(order.intent_id, 0)
        if order.state in _LIVE or filled_lots > 0:
            # It was there: the venue's query lags, or it forgot an order that ended.
            self.waits.add(f"order {order.client_id} was accepted, and the venue knows none such")
        elif self.told.at_ns - order.placed_ns > self.policy.absent_after_ns:
            self.settled.append(_never_there(order))
            return
        else:
            self.waits.add(f"order {order.client_id} may still be on its way to the venue")
        self.asks.add(AskOrder(order.client_id, ""))

    # -- WHAT RESTS ---

    def resting_orders(self) -> None:
        """Everything that rests and should not."""
        if self.told.open_orders is None:
            self.waits.add("the open orders were not told")
            return
        # A query may tell of one that the list, which is older or lags, does not.
        for row in (self.open_rows | self.asked_rows).values():
            if not (row.is_whole and row.state in ENDS):
                self._resting(row)

    def _resting(self, row: OrderRow) -> None:
        owner = owner_of(row.client_id, self.belief.client_prefix)
        if owner is Owner.RUN:
            order = self.own.get(row.client_id)
            if order is not None and order.state not in _OVER:
                return  # own_orders has seen to it
        elif owner is Owner.STRANGER and self.policy.strangers == "halt":
            self.diverged.add(Diverged(
                f"a stranger's order rests: {row.venue_order_text} {row.client_id!r}, "
                f"{row.side.name} {row.qty_lots} lots"
            ))
            return
        elif owner is Owner.STRANGER and self.policy.strangers == "leave":
            return
        self.cancels.append(CancelOrder(row, owner))

    # -- POSITION ---

    def position(self) -> None:
        """Ours with the fills to book must be the venue's, exactly."""
        if self.told.position_lots is None:
            self.waits.add("the position was not told")
            return
        if not self.belief.is_quiet:
            self.waits.add("orders are on their way: positions can't be compared")
            return
        signs = {Side.BUY: 1, Side.SELL: -1}
        fills_lots = sum(signs[fill.row.side] * fill.row.qty_lots for fill in self.found_fills)
        expected_lots = self.belief.position_lots + fills_lots
        fees_e8 = self.belief.base_fees_e8 + sum(
            fill.row.fee_e8 for fill in self.found_fills if fill.row.fee_asset is FeeAsset.BASE
        )
        # Fees in the base asset shrink what is held (core_state._is_ours). They add up to many
        # lots, and a missed buy of as many must not hide in them: all of them are gone but for a
        # lot, and what rounding made of each.
        shrunk_lots, rest = divmod(fees_e8 - self.belief.carried_e8, self.belief.lot_e8)
        least_lots = expected_lots - shrunk_lots - (rest > 0)
        rounded_e8 = self.belief.fills + len(self.found_fills)
        most_lots = least_lots + 1 + rounded_e8 // self.belief.lot_e8
        most_lots = max(least_lots, min(most_lots, expected_lots))
        if not least_lots <= self.told.position_lots <= most_lots:
            self.diverged.add(Diverged(
                f"position of {self.belief.symbol}: the venue says {self.told.position_lots} "
                f"lots, we hold {self.belief.position_lots} and {len(self.found_fills)} fills to "
                f"book make {expected_lots}; {self.told.position_lots - expected_lots:+} are "
                "unexplained",
                may_pass=True,
            ))


def _latest(rows: Iterable[OrderRow], symbol: str) -> dict[int, OrderRow]:
    """One row an order: pages may tell of one twice, and what is over does not come back."""
    latest: dict[int, OrderRow] = {}
    for row in rows:
        if row.symbol == symbol:
            other = latest.setdefault(row.venue_order_id, row)
            if other != row:
                latest[row.venue_order_id] = max(other, row, key=_age)
    return latest


def _age(row: OrderRow) -> tuple[bool, int, str]:
    return row.is_whole and row.state in ENDS, row.cum_qty_lots, repr(row)


def _content(row: TradeRow) -> tuple[object, ...]:
    """Of a trade, whichever call told it: one of them names the client id, another does not."""
    return row.venue_order_id, row.px_ticks, row.qty_lots, row.fee_e8, row.fee_asset


def _settled(order: OwnOrder, row: OrderRow) -> SettleOrder:
    return SettleOrder(
        order.intent_id, row.state, row.venue_order_id, row.px_ticks, row.qty_lots,
        row.cum_qty_lots, is_absent=False,
    )  # fmt: skip


def _never_there(order: OwnOrder) -> SettleOrder:
    return SettleOrder(
        order.intent_id, OrderState.REJECTED, order.venue_order_id, order.px_ticks,
        order.qty_lots, 0, is_absent=True,
    )  # fmt: skip
