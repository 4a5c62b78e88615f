"""User data of Binance Spot: subscriptions on WebSocket API connections, and their events.

Listen keys are gone since 2026-02-20. A connection subscribes (userDataStream.subscribe after
session.logon, or userDataStream.subscribe.signature with any key) and gets
`{"subscriptionId":n,"event":{...}}` until it unsubscribes, logs out, or its key is deleted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from engine.exchange.binance import spot_reports as reports
from engine.exchange.binance.auth import Security
from engine.exchange.binance.calls import MS, Call, Route
from engine.exchange.binance.conns import Conn
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import integer
from engine.exchange.binance.spot_errors import SpotError
from engine.exchange.binance.spot_symbols import SymbolTable, UnitStamp
from engine.exchange.binance.stamp import Stamp
from engine.exchange.commands import Place
from engine.exchange.core import Core
from engine.exchange.events import (
    AccountUpdate,
    BalanceNow,
    KeyDeleted,
    OrderUpdate,
    Output,
    TriggerUpdate,
)
from engine.exchange.face import Action, WsSend
from engine.exchange.keys import Key
from engine.exchange.terms import Exec, TriggerStatus

SUBSCRIPTION_ID_MAX = 65_535
MAKER_PLACES = 5  # unfilled orders given back by a maker's first fill; the venue's own example
WEIGHT = 2
FIRST_REJECTED_ID = 3_000_000_000  # of orders that the core never had


@dataclass(slots=True)
class Subscription:
    key: Key
    is_session: bool  # by session.logon: ends with it


@dataclass(slots=True)
class SpotConn:
    """What spot keeps of a connection; true while user data flows on it."""

    unit_ns: int = MS
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    next_id: int = 0

    def __bool__(self) -> bool:
        return bool(self.subscriptions)


@dataclass(slots=True)
class Rename:
    """Client ids that an event shows in place of the order's own."""

    client_id: str
    original: str


@dataclass(slots=True)
class Rejection:
    """Of the new order of a cancelReplace that did cancel: the stream tells of it too."""

    place: Place
    reason: str


class UserStreams:
    """Of one face. Handlers put `renames` and `rejections` before their events are published."""

    def __init__(self, core: Core, symbols: SymbolTable, limits: RateLimits, clock: Stamp) -> None:
        self._core = core
        self._symbols = symbols
        self._limits = limits
        self._clock = clock
        self._listeners: dict[int, Conn] = {}  # connections with a subscription
        self.renames: dict[int, Rename] = {}  # by order or trigger id
        self.rejections: list[Rejection] = []
        self._rejected = FIRST_REJECTED_ID
        self.execution_id = 0
        self.update_ns: dict[int, int] = {}  # of an account's balances
        self._later: list[tuple[Conn, int]] = []  # subscriptions that have just ended

    def routes(self) -> dict[str, Route]:
        return {
            "userDataStream.subscribe": Route(self._subscribe, Security.SESSION, WEIGHT),
            "userDataStream.subscribe.signature": Route(
                self._subscribe_signed, Security.READ, WEIGHT
            ),
            "userDataStream.unsubscribe": Route(self._unsubscribe, Security.NONE, WEIGHT),
            "session.subscriptions": Route(self._list, Security.NONE, WEIGHT),
        }

    # -- SUBSCRIPTIONS ---

    def _subscribe(self, call: Call) -> str:
        assert call.conn is not None
        assert call.key is not None
        return self._start(call.conn, call.key, is_session=True)

    def _subscribe_signed(self, call: Call) -> str:
        assert call.conn is not None
        assert call.key is not None
        return self._start(call.conn, call.key, is_session=False)

    def _start(self, conn: Conn, key: Key, is_session: bool) -> str:
        state = state_of(conn)
        if any(other.key.account == key.account for other in state.subscriptions.values()):
            raise SpotError(-2035)
        if state.next_id > SUBSCRIPTION_ID_MAX:
            raise SpotError(-2042)
        number = state.next_id
        state.next_id += 1
        state.subscriptions[number] = Subscription(key, is_session)
        self._listeners[conn.number] = conn
        return f'{{"subscriptionId":{number}}}'

    def _unsubscribe(self, call: Call) -> str:
        assert call.conn is not None
        subscriptions = state_of(call.conn).subscriptions
        if "subscriptionId" in call.params:
            numbers = [integer(call.params, "subscriptionId")]
        else:
            numbers = list(subscriptions)
        if not numbers or any(number not in subscriptions for number in numbers):
            raise SpotError(-2036)
        for number in numbers:
            self._finish(call.conn, number)
        return "{}"

    def _list(self, call: Call) -> str:
        assert call.conn is not None
        numbers = state_of(call.conn).subscriptions
        return "[" + ",".join(f'{{"subscriptionId":{number}}}' for number in numbers) + "]"

    def _finish(self, conn: Conn, number: int) -> None:
        """Its last event follows the answer to whatever ended it."""
        state = state_of(conn)
        del state.subscriptions[number]
        if not state.subscriptions:
            self._listeners.pop(conn.number, None)
        self._later.append((conn, number))

    def forget(self, conn: Conn) -> None:
        self._listeners.pop(conn.number, None)

    def end_sessions(self, conn: Conn) -> None:
        """A connection that logged out keeps only what it subscribed to by signature."""
        if conn.session is None:
            self._end_if(conn, lambda subscription: subscription.is_session)

    def end_key(self, deleted: KeyDeleted) -> None:
        """Streams of a deleted key end.  # unverified"""
        for conn in list(self._listeners.values()):
            self._end_if(conn, lambda sub: sub.key.api_key == deleted.api_key)

    def end_all(self) -> None:
        for conn in list(self._listeners.values()):
            self._end_if(conn, lambda subscription: True)

    def _end_if(self, conn: Conn, is_ended: Callable[[Subscription], bool]) -> None:
        for number, subscription in list(state_of(conn).subscriptions.items()):
            if is_ended(subscription):
                self._finish(conn, number)

    def tell_ended(self, t_ns: int, actions: list[Action]) -> None:
        """eventStreamTerminated of every subscription that ended since the last call."""
        for conn, number in self._later:
            event = reports.terminated_event(self._stamp_of(conn)(t_ns))
            text = f'{{"subscriptionId":{number},"event":{event}}}'
            actions.append(WsSend((conn.number,), text))
        self._later.clear()

    def _stamp_of(self, conn: Conn) -> UnitStamp:
        return UnitStamp(self._clock, state_of(conn).unit_ns)

    # -- EVENTS ---

    def publish(self, outputs: Iterable[Output], t_ns: int, actions: list[Action]) -> None:
        """Reports of orders, each followed by the balances that it changed; the balances of one
        moment are told once."""
        held: dict[int, tuple[int, dict[str, BalanceNow]]] = {}
        for output in outputs:
            kind = type(output)
            if kind is AccountUpdate:
                self._hold(output, held, t_ns, actions)  # type: ignore[arg-type]
            elif kind is OrderUpdate:
                self._tell_order(output, t_ns, actions)  # type: ignore[arg-type]
            elif kind is TriggerUpdate:
                self._tell_trigger(output, t_ns, actions)  # type: ignore[arg-type]
        for rejection in self.rejections:
            self._tell_rejection(rejection, t_ns, actions)
        for account in held:
            self._tell_balances(account, held[account], t_ns, actions)
        self.renames.clear()
        self.rejections.clear()

    def _hold(
        self,
        update: AccountUpdate,
        held: dict[int, tuple[int, dict[str, BalanceNow]]],
        t_ns: int,
        actions: list[Action],
    ) -> None:
        account = update.account
        self.update_ns[account] = update.t_ns
        if account in held and held[account][0] != update.t_ns:
            self._tell_balances(account, held.pop(account), t_ns, actions)
        _, balances = held.setdefault(account, (update.t_ns, {}))
        balances |= {balance.asset: balance for balance in update.balances}

    def _tell_balances(
        self,
        account: int,
        held: tuple[int, dict[str, BalanceNow]],
        t_ns: int,
        actions: list[Action],
    ) -> None:
        if self._listeners:
            update_ns, balances = held

            def event(stamp: UnitStamp) -> str:
                now = stamp(t_ns)
                return reports.position_event(balances.values(), update_ns, now, stamp)

            self._send(account, event, actions)

    def _tell_order(self, update: OrderUpdate, t_ns: int, actions: list[Action]) -> None:
        order = update.order
        self.execution_id += 1
        if update.exec_type is Exec.TRADE and update.cum_lots == update.last_lots:
            places = MAKER_PLACES if update.is_maker else 1
            self._limits.give_back(order.account, places, t_ns)
        if self._listeners:
            self._tell_report(update, t_ns, actions)

    def _tell_report(
        self,
        update: OrderUpdate,
        t_ns: int,
        actions: list[Action],
        is_working: bool = True,
        rejection: str = "",
    ) -> None:
        order, execution_id = update.order, self.execution_id
        symbol = self._symbols.of(self._core.markets[order.symbol].instrument)
        rename = self.renames.get(reports.shown_id(order))
        ids = (order.client_order_id, "")
        if rename is not None and update.exec_type in (Exec.CANCELED, Exec.AMENDMENT):
            ids = (rename.client_id, rename.original)

        def event(stamp: UnitStamp) -> str:
            now = stamp(t_ns)
            return reports.execution_event(
                symbol, update, ids, execution_id, now, stamp, is_working, rejection
            )

        self._send(order.account, event, actions)

    def _tell_trigger(self, update: TriggerUpdate, t_ns: int, actions: list[Action]) -> None:
        """An order that waits, or ended waiting; when it triggers, its order tells so itself, with
        a second NEW.  # unverified"""
        self.execution_id += 1
        if update.status is TriggerStatus.TRIGGERED or not self._listeners:
            return
        exec_type = {
            TriggerStatus.NEW: Exec.NEW,
            TriggerStatus.CANCELED: Exec.CANCELED,
        }.get(update.status, Exec.EXPIRED)
        order = reports.order_of_trigger(update.trigger)
        report = OrderUpdate(update.t_ns, order, exec_type, order.status, 0, 0, why=order.why)
        self._tell_report(report, t_ns, actions, is_working=False)

    def _tell_rejection(self, rejection: Rejection, t_ns: int, actions: list[Action]) -> None:
        self.execution_id += 1
        self._rejected += 1
        order = reports.order_of_place(rejection.place, self._rejected, t_ns)
        report = OrderUpdate(t_ns, order, Exec.NEW, order.status, 0, 0)
        self._tell_report(report, t_ns, actions, False, rejection.reason)

    def _send(
        self,
        account: int,
        event: Callable[[UnitStamp], str],
        actions: list[Action],
    ) -> None:
        """One frame for all connections that write time and number their subscription alike."""
        wanted: dict[tuple[int, int], tuple[int, ...]] = {}
        for conn in self._listeners.values():
            state = state_of(conn)
            for number, subscription in state.subscriptions.items():
                if subscription.key.account == account:
                    alike = (state.unit_ns, number)
                    wanted[alike] = (*wanted.get(alike, ()), conn.number)
        for (unit_ns, number), conns in wanted.items():
            text = event(UnitStamp(self._clock, unit_ns))
            actions.append(WsSend(conns, f'{{"subscriptionId":{number},"event":{text}}}'))


def state_of(conn: Conn) -> SpotConn:
    state = conn.state
    assert isinstance(state, SpotConn)
    return state
