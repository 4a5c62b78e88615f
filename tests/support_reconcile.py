"""A small venue and a small engine that talk past each other: messages get lost, rows come twice.

The venue knows the truth. The engine knows what reached it; `apply` does to it what a core would
do. Nothing of the code under test decides anything here.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.execution.belief import (
    Action,
    AskOrder,
    Belief,
    BookFill,
    CancelOrder,
    Owner,
    OwnOrder,
    SettleOrder,
    Told,
)  # fmt: skip
from engine.venues.base import OrderRow, TradeRow
from fastcore.types import FeeAsset, OrderState, Side

SYMBOL = "BTCUSDT"
PREFIX = "tm00000001-01-"
EARLIER = "tm0000000f-01-"
ROUND_NS = 1_000
ABSENT_AFTER_NS = 2_500
LIVE = (OrderState.NEW, OrderState.PARTIALLY_FILLED)
SIGN = {Side.BUY: 1, Side.SELL: -1}


def client_id(prefix: str, intent_id: int) -> str:
    return f"{prefix}{intent_id:012x}"


@dataclass
class Venue:
    """Orders, trades and the position; trades name their order by number only, as Binance's do,
    unless `names_clients`."""

    dice: random.Random
    names_clients: bool = False
    position_lots: int = 0
    orders: dict[int, OrderRow] = field(default_factory=dict)
    trades: list[TradeRow] = field(default_factory=list)
    arriving: list[tuple[int, OrderRow]] = field(default_factory=list)  # (when, order)

    def accept(self, name: str, side: Side, px_ticks: int, qty_lots: int) -> OrderRow:
        number = len(self.orders) + len(self.arriving) + 1
        return OrderRow(
            SYMBOL, name, number, side, OrderState.NEW, px_ticks, qty_lots, 0, f"n{number}"
        )

    def place(self, row: OrderRow) -> None:
        self.orders[row.venue_order_id] = row

    def fill(self, number: int, qty_lots: int, now_ns: int) -> TradeRow | None:
        row = self.orders[number]
        qty_lots = min(qty_lots, row.qty_lots - row.cum_qty_lots)
        if row.state not in LIVE or qty_lots == 0:
            return None
        cum = row.cum_qty_lots + qty_lots
        state = OrderState.FILLED if cum == row.qty_lots else OrderState.PARTIALLY_FILLED
        self.orders[number] = replace(row, state=state, cum_qty_lots=cum)
        trade = TradeRow(
            SYMBOL, len(self.trades) + 1, number, row.client_id if self.names_clients else "",
            row.side, row.px_ticks, qty_lots, 7, FeeAsset.QUOTE, True, now_ns,
            row.venue_order_text,
        )  # fmt: skip
        self.trades.append(trade)
        self.position_lots += SIGN[row.side] * qty_lots
        return trade

    def cancel(self, number: int) -> None:
        if self.orders[number].state in LIVE:
            self.orders[number] = replace(self.orders[number], state=OrderState.CANCELED)

    def arrive(self, now_ns: int) -> None:
        """Orders that were long on their way are there, unless the venue finds them too old."""
        for when_ns, row in self.arriving:
            if when_ns <= now_ns:
                self.place(row)
        self.arriving = [late for late in self.arriving if late[0] > now_ns]

    def named(self, name: str) -> OrderRow | None:
        return next((row for row in self.orders.values() if row.client_id == name), None)

    def told(self, asks: Sequence[AskOrder], since: int, now_ns: int) -> Told:
        """Rows in any order, some of them twice."""
        answers, absent = [], []
        for ask in asks:
            row = self.named(ask.client_id) if ask.client_id else None
            if ask.venue_order_text:
                numbers = {row.venue_order_text: row for row in self.orders.values()}
                row = numbers.get(ask.venue_order_text)
            if row is None:
                absent.append(ask.client_id or ask.venue_order_text)
            else:
                answers.append(row)
        resting = [row for row in self.orders.values() if row.state in LIVE]
        return Told(
            self._pages(resting), self._pages(answers), absent,
            self._pages(self.trades[since:]), self.position_lots, now_ns,
        )  # fmt: skip

    def _pages(self, rows: list) -> list:  # type: ignore[type-arg]
        twice = rows + [row for row in rows if self.dice.random() < 0.3]
        self.dice.shuffle(twice)
        return twice


@dataclass
class Engine:
    """What reached us. `apply` is a core's part, without its doubts."""

    position_lots: int = 0
    orders: dict[int, OwnOrder] = field(default_factory=dict)  # by intent
    booked: set[tuple[int, Side]] = field(default_factory=set)
    owners: dict[int, Owner] = field(default_factory=dict)  # of trades booked from BookFill

    def sent(self, intent_id: int, row: OrderRow, now_ns: int, *, is_acked: bool) -> None:
        self.orders[intent_id] = OwnOrder(
            intent_id, row.client_id, row.venue_order_id if is_acked else -1, row.side,
            OrderState.NEW if is_acked else OrderState.UNKNOWN, row.px_ticks, row.qty_lots, 0,
            now_ns, now_ns,
        )  # fmt: skip

    def book(self, row: TradeRow, intent_id: int) -> None:
        key = row.trade_id, row.side
        assert key not in self.booked, "booked twice"
        self.booked.add(key)
        self.position_lots += SIGN[row.side] * row.qty_lots
        order = self.orders.get(intent_id)
        if order is None:
            return
        cum = order.cum_qty_lots + row.qty_lots
        state = order.state
        if state in LIVE:
            state = OrderState.PARTIALLY_FILLED
        if cum == order.qty_lots:
            state = OrderState.FILLED
        self.orders[intent_id] = replace(
            order, cum_qty_lots=cum, venue_order_id=row.venue_order_id, state=state
        )

    def belief(self, *, is_quiet: bool = True) -> Belief:
        dead = (OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED)
        tracked = [order for order in self.orders.values() if order.state not in dead]
        return Belief(SYMBOL, PREFIX, self.position_lots, tracked, is_quiet, self.booked)

    def apply(self, actions: Sequence[Action], venue: Venue) -> list[AskOrder]:
        """What is to be asked next."""
        asks = []
        for action in actions:
            if isinstance(action, BookFill):
                self.book(action.row, action.intent_id)
                self.owners[action.row.trade_id] = action.owner
            elif isinstance(action, SettleOrder):
                order = self.orders[action.intent_id]
                self.orders[action.intent_id] = replace(
                    order, state=action.state, venue_order_id=action.venue_order_id,
                    px_ticks=action.px_ticks, qty_lots=action.qty_lots,
                )  # fmt: skip
            elif isinstance(action, CancelOrder):
                venue.cancel(action.row.venue_order_id)
            elif isinstance(action, AskOrder):
                asks.append(action)
        return asks


@dataclass
class Story:
    """A venue and an engine after a day of losses, and what can't be explained."""

    venue: Venue
    engine: Engine
    since: int  # trades before it were booked before the engine's own days
    unexplained_lots: int
    now_ns: int


def story(seed: int, steps: int, *, unexplained_lots: int = 0) -> Story:
    """Orders of ours, of an earlier run, of strangers; acks, fills and ends that get lost."""
    dice = random.Random(seed)
    venue = Venue(dice, names_clients=dice.random() < 0.5)
    engine = Engine()
    for number in range(dice.randrange(3)):
        venue.place(venue.accept(client_id(EARLIER, number + 1), Side.SELL, 105, 8))
        venue.fill(number + 1, dice.randrange(4), 0)
    engine.position_lots = venue.position_lots  # the opening
    since = len(venue.trades)
    for step in range(steps):
        _step(dice, venue, engine, step)
    venue.position_lots += unexplained_lots
    return Story(venue, engine, since, unexplained_lots, steps)


def _step(dice: random.Random, venue: Venue, engine: Engine, step: int) -> None:
    what = dice.random()
    side = dice.choice(list(Side))
    if what < 0.3:
        _send(dice, venue, engine, step, side)
    elif what < 0.4:
        venue.place(venue.accept(dice.choice(["web_1", "tmfoo", ""]), side, 90, 5))
    elif venue.orders:
        number = dice.choice(list(venue.orders))
        order = venue.named(venue.orders[number].client_id)
        intent = next(
            (own.intent_id for own in engine.orders.values() if order and
             own.client_id == order.client_id), -1,
        )  # fmt: skip
        if what < 0.8:
            trade = venue.fill(number, dice.randrange(1, 6), step)
            if trade is not None and intent != -1 and dice.random() < 0.5:
                engine.book(trade, intent)
            return
        venue.cancel(number)
        if intent == -1 or venue.orders[number].state is not OrderState.CANCELED:
            return
        own = engine.orders[intent]
        if dice.random() < 0.5 and own.cum_qty_lots == venue.orders[number].cum_qty_lots:
            engine.orders[intent] = replace(own, state=OrderState.CANCELED)
        elif dice.random() < 0.5:
            engine.orders[intent] = replace(own, state=OrderState.UNKNOWN)
    # What we hold for dead may rest: a zombie.
    if dice.random() < 0.05 and engine.orders:
        intent = dice.choice(list(engine.orders))
        engine.orders[intent] = replace(engine.orders[intent], state=OrderState.REJECTED)


def _send(dice: random.Random, venue: Venue, engine: Engine, step: int, side: Side) -> None:
    intent = len(engine.orders) + 1
    row = venue.accept(client_id(PREFIX, intent), side, 100 + dice.randrange(3), 5)
    fate = dice.random()
    if fate < 0.7:
        venue.place(row)
        engine.sent(intent, row, step, is_acked=dice.random() < 0.6)
    elif fate < 0.85:
        venue.arriving.append((step + dice.randrange(1, ABSENT_AFTER_NS), row))
        engine.sent(intent, row, step, is_acked=False)
    else:
        engine.sent(intent, row, step, is_acked=False)  # lost on its way
