"""Private topics of Bybit v5: what happened to an account, to its subscribers. Sans-IO.

"Order", "Execution", "Fast Execution", "Position", "Wallet" and "Dcp" of the v5 documents. There
is no snapshot on subscription. Of one fill the order of the messages is fixed here: fast
execution, order, execution; then position and wallet.  # unverified
"""

from collections.abc import Iterable
from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.account import Wallet, position_topic_row
from engine.exchange.bybit.executions import execution_row, fast_execution_row, funding_row
from engine.exchange.bybit.public import Delivery
from engine.exchange.bybit.rows import (
    ORDER_TOPIC,
    OrderState,
    chosen,
    order_fields,
    trigger_order_fields,
)
from engine.exchange.bybit.venue import Venue
from engine.exchange.bybit.wire import dumps
from engine.exchange.events import AccountUpdate, OrderUpdate, Output, PositionNow, TriggerUpdate
from engine.exchange.instruments import Kind
from engine.exchange.terms import Exec, MoneyWhy

DCP_TOPICS = {"dcp.future": Kind.LINEAR, "dcp.spot": Kind.SPOT}
PLAIN = ("order", "execution", "execution.fast", "position", "wallet", "greeks")
PRICES = ("price", "triggerPrice")  # shown without trailing zeros here, with them over REST
ALONE = ("dcp", "dcp.future", "dcp.spot", "dcp.option")
PRODUCTS = ("spot", "linear", "inverse", "option")
BY_PRODUCT = {
    f"{name}.{product}"
    for name in ("order", "execution", "execution.fast", "position")
    for product in PRODUCTS
    if (name, product) != ("position", "spot")
}


def topics_problem(topics: list[str]) -> str:
    """What is wrong with a subscription; empty: nothing."""
    for topic in topics:
        if topic not in PLAIN and topic not in ALONE and topic not in BY_PRODUCT:
            return f"error:handler not found,topic:{topic}"
    for topic in topics:
        name, _, product = topic.rpartition(".")
        if product in PRODUCTS and name in topics:
            text = "all-in-one topic and categorised topic can't be in the same request"
            return f"error:{text},topic:{topic}"  # the rule is documented, the text unverified
    return ""


class PrivateStreams:
    """Of all private connections of all accounts."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._conns: dict[tuple[int, str], dict[int, None]] = {}
        self._told: list[Delivery] = []
        self._count = 0

    # -- SUBSCRIPTIONS ---

    def subscribe(self, conn: int, account: int, topic: str) -> None:
        self._conns.setdefault((account, topic), {})[conn] = None

    def unsubscribe(self, conn: int, account: int, topic: str) -> None:
        if conns := self._conns.get((account, topic)):
            conns.pop(conn, None)

    def drop(self, conn: int, account: int) -> None:
        for (owner, _), conns in self._conns.items():
            if owner == account:
                conns.pop(conn, None)

    # -- MESSAGES ---

    def messages(self, outputs: Iterable[Output]) -> list[Delivery]:
        """Orders and executions one by one, in the order in which things happened; positions and
        balances once, as they are after all of it."""
        outputs = list(outputs)
        self._told = []
        later_fee_e8: dict[int, int] = {}
        for output in outputs:
            if isinstance(output, OrderUpdate):
                number = output.order.order_id
                later_fee_e8[number] = later_fee_e8.get(number, 0) + output.fee_e8
        moved: dict[int, list[AccountUpdate]] = {}
        for output in outputs:
            if isinstance(output, AccountUpdate):
                moved.setdefault(output.account, []).append(output)
            elif isinstance(output, OrderUpdate):
                number = output.order.order_id
                later_fee_e8[number] -= output.fee_e8
                position = _last_position(moved.get(output.order.account, []))
                self._tell_order(output, position, later_fee_e8[number])
            elif isinstance(output, TriggerUpdate):
                self._tell_trigger(output)
        for account, updates in moved.items():
            self._tell_money(account, updates)
        return self._told

    def _listens(self, account: int, name: str, kind: Kind) -> bool:
        conns = self._conns
        return bool(conns.get((account, name)) or conns.get((account, f"{name}.{kind.value}")))

    def _tell(self, account: int, name: str, kind: Kind | None, row: dict[str, Any]) -> None:
        """To subscribers of the plain topic and of the product line's own."""
        topics = [name] if kind is None else [name, f"{name}.{kind.value}"]
        stamp = self._venue.ms(self._venue.now_ns)
        for topic in topics:
            conns = self._conns.get((account, topic))
            if not conns:
                continue
            self._count += 1
            message: dict[str, Any] = {"topic": topic, "creationTime": stamp, "data": [row]}
            if name == "execution":
                own_id = f"{row['symbol']}_{row['seq']}_{self._count}"
                message = {"topic": topic, "id": own_id, **message}
            elif name != "execution.fast":
                own_id = texts.event_id(account, self._count)
                message = {"id": own_id, **message}
            self._told.append((tuple(conns), dumps(message)))

    def _tell_order(
        self, update: OrderUpdate, position: PositionNow | None, later_fee_e8: int
    ) -> None:
        order, venue = update.order, self._venue
        kind = venue.instrument(order.symbol).kind
        account = order.account
        is_trade = update.exec_type is Exec.TRADE
        if is_trade and self._listens(account, "execution.fast", kind):
            self._tell(account, "execution.fast", kind, fast_execution_row(venue, update))
        if self._listens(account, "order", kind):
            fields = order_fields(venue, order, OrderState.then(update, later_fee_e8))
            row = chosen(fields, ORDER_TOPIC, kind)
            row["closedPnl"] = texts.money(update.realized_e8)
            for name in PRICES:
                row[name] = texts.trimmed(row[name])
            self._tell(account, "order", kind, row)
        if is_trade and self._listens(account, "execution", kind):
            closed_lots = _closed_lots(update, position)
            mark_ticks = venue.core.mark_px_ticks(order.symbol)
            row = execution_row(venue, update, closed_lots, mark_ticks)
            self._tell(account, "execution", kind, row)

    def _tell_trigger(self, update: TriggerUpdate) -> None:
        place = update.trigger.place
        kind = self._venue.instrument(place.symbol).kind
        if self._listens(place.account, "order", kind):
            fields = trigger_order_fields(self._venue, update.trigger, update.status)
            row = chosen(fields, ORDER_TOPIC, kind)
            for name in PRICES:
                row[name] = texts.trimmed(row[name])
            self._tell(place.account, "order", kind, row)

    def _tell_money(self, account: int, updates: list[AccountUpdate]) -> None:
        keys: dict[str, None] = {}
        assets: dict[str, None] = {}
        for update in updates:
            assets |= dict.fromkeys(balance.asset for balance in update.balances)
            if update.position is not None:
                keys[update.position.symbol] = None
                if update.why is MoneyWhy.FUNDING:
                    self._tell_funding(account, update.position.symbol)
        if self._listens(account, "position", Kind.LINEAR):
            for key in keys:
                row = position_topic_row(self._venue, account, key)
                self._tell(account, "position", Kind.LINEAR, row)
        if self._conns.get((account, "wallet")):
            self._tell(account, "wallet", None, Wallet(self._venue, account).row(assets))

    def _tell_funding(self, account: int, key: str) -> None:
        records = self._venue.core.funding_of(account, key)
        if records and self._listens(account, "execution", Kind.LINEAR):
            row = funding_row(self._venue, records[-1])
            self._tell(account, "execution", Kind.LINEAR, row)


def _last_position(updates: list[AccountUpdate]) -> PositionNow | None:
    return updates[-1].position if updates else None


def _closed_lots(update: OrderUpdate, after: PositionNow | None) -> int:
    """How much of the position before the fill it closed; its AccountUpdate came just before."""
    if after is None:
        return 0
    signed = update.order.side.sign * update.last_lots
    before = after.lots - signed
    return min(abs(before), update.last_lots) if before * signed < 0 else 0
