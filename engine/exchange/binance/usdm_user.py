"""User data of USD-M: listen keys, who listens, and the frames they get ("User Data Streams").

One key an account, alive for 60 minutes after it was last asked for. A connection gets the events
of its keys while they live; a key that ends leaves its connections open and silent. The order of
one fill's events is the venue's: TRADE_LITE, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE.
"""

import hashlib
from dataclasses import dataclass, field

from engine.exchange.binance.auth import Security
from engine.exchange.binance.calls import Call, Route
from engine.exchange.binance.conns import Conn
from engine.exchange.binance.usdm_desk import UsdmDesk
from engine.exchange.binance.usdm_errors import UsdmError
from engine.exchange.events import AccountUpdate, KeyDeleted, OrderUpdate, Output, TriggerUpdate
from engine.exchange.face import Action, WsSend
from engine.exchange.terms import NEVER_NS, Exec

LIFE_NS = 3_600 * 1_000_000_000
EXPIRED = "listenKeyExpired"  # told to all, whatever events they asked for


@dataclass(slots=True)
class ListenKey:
    text: str
    account: int
    expiry_ns: int
    owners: dict[str, None] = field(default_factory=dict)  # API keys that asked for it


@dataclass(frozen=True, slots=True)
class Listener:
    """One connection's wish for one key's events; `events` empty: all."""

    conn: int
    listen_key: str
    is_combined: bool
    events: frozenset[str]


class UsdmUser:
    def __init__(self, desk: UsdmDesk) -> None:
        self._desk = desk
        self._keys: dict[int, ListenKey] = {}  # by account
        self._listeners: dict[int, tuple[Listener, ...]] = {}  # by account
        self._count = 0
        self._queue: list[tuple[int, str, str]] = []  # (account, event, frame) to be sent

    # -- LISTEN KEYS ---

    def routes(self) -> dict[tuple[str, str], Route]:
        path, by_key = "/fapi/v1/listenKey", Security.STREAM
        return {
            ("POST", path): Route(self.start, by_key),
            ("PUT", path): Route(self.keep_alive, by_key),
            ("DELETE", path): Route(self.close, by_key),
        }

    def methods(self) -> dict[str, Route]:
        by_key = Security.STREAM
        return {
            "userDataStream.start": Route(self.start, by_key, 5),
            "userDataStream.ping": Route(self.keep_alive, by_key),
            "userDataStream.stop": Route(self.close, by_key),
        }

    def start(self, call: Call) -> str:
        """The living key and 60 more minutes, or a new one."""
        key = self._keys.get(call.account)
        if key is None:
            self._count += 1
            salt = self._desk.core.keyring.management.api_key
            text = hashlib.sha256(f"{salt}/listen key/{self._count}".encode()).hexdigest()
            key = self._keys[call.account] = ListenKey(text, call.account, 0)
        return self._extend(key, call)

    def keep_alive(self, call: Call) -> str:
        return self._extend(self._key(call), call)

    def close(self, call: Call) -> str:
        del self._keys[self._key(call).account]
        return "{}"

    def _key(self, call: Call) -> ListenKey:
        key = self._keys.get(call.account)
        named = call.params.get("listenKey", "")
        if key is None or named not in ("", key.text):
            raise UsdmError(-1125)
        return key

    def _extend(self, key: ListenKey, call: Call) -> str:
        assert call.key is not None
        key.owners[call.key.api_key] = None
        key.expiry_ns = call.t_ns + LIFE_NS
        return f'{{"listenKey":"{key.text}"}}'

    def _named(self, text: str) -> ListenKey | None:
        return next((key for key in self._keys.values() if key.text == text), None)

    def due_ns(self) -> int:
        due_ns = NEVER_NS
        for key in self._keys.values():
            if key.expiry_ns < due_ns:
                due_ns = key.expiry_ns
        return due_ns

    def expire(self, t_ns: int, actions: list[Action], everything: bool = False) -> None:
        """End the keys whose time is over, or all, and tell those who listen."""
        for key in list(self._keys.values()):
            if everything or t_ns >= key.expiry_ns:
                self._end(key, t_ns, actions)

    def on_key_deleted(self, deleted: KeyDeleted, actions: list[Action]) -> None:
        """A listen key lives as long as one of the API keys that asked for it.  # unverified"""
        key = self._keys.get(deleted.account)
        if key is not None and key.owners.pop(deleted.api_key, 0) is None and not key.owners:
            self._end(key, deleted.t_ns, actions)

    def _end(self, key: ListenKey, t_ns: int, actions: list[Action]) -> None:
        text = self._desk.frames.listen_key_expired(key.text, t_ns)
        self._send(key.account, EXPIRED, text, actions)
        del self._keys[key.account]

    # -- LISTENERS ---

    def admit(self, conn: Conn, wishes: list[tuple[str, frozenset[str]]]) -> None:
        """A connection with one or several keys; VenueError when none of them is alive."""
        found = [(key, events) for text, events in wishes if (key := self._named(text))]
        if not found:
            raise UsdmError(-1125)
        accounts: list[int] = []
        for key, events in found:
            listener = Listener(conn.number, key.text, conn.is_combined, events)
            self._listeners[key.account] = (*self._listeners.get(key.account, ()), listener)
            accounts.append(key.account)
        conn.state = accounts

    def forget(self, conn: Conn) -> None:
        for account in conn.state or ():
            rest = tuple(x for x in self._listeners[account] if x.conn != conn.number)
            self._listeners[account] = rest

    # -- FRAMES ---

    def tell(self, account: int, event: str, text: str) -> None:
        """Send a frame with the next ones."""
        self._queue.append((account, event, text))

    def publish(self, outputs: list[Output], t_ns: int, actions: list[Action]) -> None:
        held: AccountUpdate | None = None  # goes between TRADE_LITE and the order's report
        for output in outputs:
            kind = type(output)
            if kind is OrderUpdate:
                self._order_update(output, held, t_ns, actions)  # type: ignore[arg-type]
                held = None
            elif kind is AccountUpdate:
                if held is not None:
                    self._account_update(held, t_ns, actions)
                held = output  # type: ignore[assignment]
            elif kind is TriggerUpdate:
                self._algo_update(output, t_ns, actions)  # type: ignore[arg-type]
        if held is not None:
            self._account_update(held, t_ns, actions)
        if self._queue:
            queue, self._queue = self._queue, []
            for account, event, text in queue:
                self._send(account, event, text, actions)

    def _order_update(
        self, update: OrderUpdate, held: AccountUpdate | None, t_ns: int, actions: list[Action]
    ) -> None:
        order, frames = update.order, self._desk.frames
        if self._listeners.get(order.account):
            instrument = self._desk.core.markets[order.symbol].instrument
            if update.exec_type is Exec.TRADE:
                lite = frames.trade_lite(instrument, update, t_ns)
                self._send(order.account, "TRADE_LITE", lite, actions)
            if held is not None and held.account == order.account:
                self._account_update(held, t_ns, actions)
                held = None
            text = frames.order_update(instrument, update, t_ns)
            self._send(order.account, "ORDER_TRADE_UPDATE", text, actions)
        if held is not None:
            self._account_update(held, t_ns, actions)

    def _account_update(self, update: AccountUpdate, t_ns: int, actions: list[Action]) -> None:
        if not self._listeners.get(update.account):
            return
        core, instrument, unrealized_e8 = self._desk.core, None, 0
        if update.position is not None:
            instrument = core.markets[update.position.symbol].instrument
            unrealized_e8 = core.unrealized_e8(update.account, update.position.symbol)
        text = self._desk.frames.account_update(instrument, update, unrealized_e8, t_ns)
        self._send(update.account, "ACCOUNT_UPDATE", text, actions)

    def _algo_update(self, update: TriggerUpdate, t_ns: int, actions: list[Action]) -> None:
        place = update.trigger.place
        if self._listeners.get(place.account):
            instrument = self._desk.core.markets[place.symbol].instrument
            text = self._desk.frames.algo_update(instrument, update, t_ns)
            self._send(place.account, "ALGO_UPDATE", text, actions)

    def on_leverage(self, account: int, symbol: str, leverage: int, t_ns: int) -> None:
        text = self._desk.frames.account_config(symbol, leverage, t_ns)
        self.tell(account, "ACCOUNT_CONFIG_UPDATE", text)

    def _send(self, account: int, event: str, text: str, actions: list[Action]) -> None:
        key = self._keys.get(account)
        if key is None:
            return
        raw: list[int] = []
        for listener in self._listeners.get(account, ()):
            if listener.listen_key != key.text:
                continue
            if listener.events and event not in listener.events and event != EXPIRED:
                continue
            if listener.is_combined:
                framed = f'{{"stream":"{key.text}","data":{text}}}'
                actions.append(WsSend((listener.conn,), framed))
            else:
                raw.append(listener.conn)
        if raw:
            actions.append(WsSend(tuple(raw), text))
