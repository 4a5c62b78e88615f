"""What every face of Binance's does: requests and connections in, answers and frames out.

A venue's face (usdm.py, spot.py) is this class with the venue's routes, its user streams and its
words. One step: the core's time runs, what that caused is published, the event is handled, and
what it caused is published after its answer.
"""

import traceback
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from engine.exchange.binance import troubles
from engine.exchange.binance.auth import (
    UNSIGNED,
    Security,
    check_permission,
    check_signature,
    check_time,
    known_key,
)
from engine.exchange.binance.calls import Call, Route, cost_of, orders_of
from engine.exchange.binance.conns import Conn, ConnRules, ConnTable
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import parse_query, without_signature
from engine.exchange.binance.stamp import Stamp
from engine.exchange.binance.streams import MarketStreams
from engine.exchange.binance.subscriptions import Subscriptions
from engine.exchange.binance.targets import Target
from engine.exchange.binance.ws_api import WsApi
from engine.exchange.commands import Advance, Command
from engine.exchange.core import Core
from engine.exchange.events import Accepted, KeyDeleted, Notice, Output, Refused
from engine.exchange.face import (
    Action,
    ConnKind,
    Event,
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    Trouble,
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsOpen,
    WsPing,
    WsPingOut,
    WsPong,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.keys import Keyring

MS = 1_000_000
ADVANCE = Advance()
CLOSE_TOO_FAST = (1008, "Too many requests")  # unverified
CLOSE_OF_AGE = (1001, "")  # unverified


class BinanceFace:
    """One venue over one core (engine/exchange/face.py: Face)."""

    name: ClassVar[str]
    trouble_words: ClassVar[troubles.TroubleWords]

    def __init__(
        self,
        core: Core,
        limits: RateLimits,
        rules: ConnRules,
        streams: MarketStreams,
        stamp: Stamp,
    ) -> None:
        self.core = core
        self.stamp = stamp
        self.limits = limits
        self.conns = ConnTable(rules)
        self.streams = streams
        self._routes = self.routes()
        self._ws_api = WsApi(self, self.methods())
        self._subscriptions = Subscriptions(streams, rules.streams_max, self.is_served)
        self._is_stopped = False  # the background market failed
        self._last_ns = 0  # time of the last step
        self._on: dict[type, Callable[[Any, int, list[Action]], None]] = {
            HttpRequest: self._http,
            WsOpen: self._open,
            WsText: self._text,
            WsPing: self._ping,
            WsPong: self._pong,
            WsClosed: self._closed,
            Tick: self._tick,
        }

    @property
    def skew_ns(self) -> int:
        return self.stamp.skew_ns

    @skew_ns.setter
    def skew_ns(self, skew_ns: int) -> None:
        self.stamp.skew_ns = skew_ns

    @property
    def keyring(self) -> Keyring:
        return self.core.keyring

    # -- WHAT A VENUE ADDS ---

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """REST by (method, path)."""
        raise NotImplementedError

    def methods(self) -> Mapping[str, Route]:
        """WebSocket API by method; session.* are here already."""
        raise NotImplementedError

    def target_of(self, target: str) -> Target | None:
        """What a connection at `target` is for; None: the venue has no such path."""
        raise NotImplementedError

    def refusal(self, refused: Refused, command: Command) -> VenueError:
        """The venue's words for a refusal of the core."""
        raise NotImplementedError

    def no_route(self, method: str, path: str) -> VenueError:
        """The answer to a path or method that the venue doesn't have."""
        raise NotImplementedError

    def publish_user(self, outputs: list[Output], t_ns: int, actions: list[Action]) -> None:
        """User data frames for what happened; `outputs` may be empty."""
        raise NotImplementedError

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        raise NotImplementedError

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        raise NotImplementedError

    def admit_user(self, conn: Conn, target: Target, t_ns: int) -> None:
        """Set up a user stream that opens; VenueError refuses it."""

    def on_user_text(self, conn: Conn, text: str, t_ns: int, actions: list[Action]) -> None:
        """A client spoke on a user stream."""

    def on_closed(self, conn: Conn) -> None:
        """Forget what the venue kept of it."""

    def on_due(self, t_ns: int, actions: list[Action]) -> None:
        """The venue's own timers."""

    def due_ns(self) -> int:
        """Of the venue's own timers."""
        return 1 << 62

    def is_served(self, conn: Conn, name: str) -> bool:
        """Whether a stream pushes anything on this connection."""
        return True

    def parting_text(self, conn: Conn, t_ns: int) -> str:
        """Said before a connection of full age is closed; empty: nothing."""
        return ""

    def session_extra(self, conn: Conn) -> str:
        """What the venue adds to the state of a session, with a comma in front."""
        return ""

    def on_key_deleted(self, deleted: KeyDeleted, actions: list[Action]) -> None:
        """The venue's own doings with a key that is gone."""

    # -- STEP ---

    def step(self, event: Event, t_ns: int) -> list[Action]:
        actions: list[Action] = []
        self._last_ns = t_ns
        try:
            self._advance(t_ns, actions)
            self._on[type(event)](event, t_ns, actions)
        except Exception as error:
            # A bug of ours: the client sees what the venue says when it doesn't know either.
            actions.append(Log(True, f"{type(event).__name__} failed: {_where(error)}", True))
            if not _is_answered(event, actions):
                actions += self._unknown_error(event)
        return actions

    def next_due_ns(self) -> int:
        core_ns = self.core.next_due_ns() if not self._is_stopped else 1 << 62
        return min(core_ns, self.streams.next_due_ns(), self.conns.next_due_ns(), self.due_ns())

    def _advance(self, t_ns: int, actions: list[Action]) -> None:
        outputs: list[Output] = []
        if not self._is_stopped:
            try:
                outputs = self.core.step(ADVANCE, t_ns)
            except Exception as error:
                self._is_stopped = True
                text = f"background market failed; it stands still from here: {_where(error)}"
                actions.append(Log(True, text, is_bug=True))
        self.publish(outputs, t_ns, actions)
        if t_ns >= self.conns.next_due_ns():
            self._tend_conns(t_ns, actions)
        self.on_due(t_ns, actions)

    def publish(self, outputs: list[Output], t_ns: int, actions: list[Action]) -> None:
        """Frames of what the core did."""
        self.streams.publish(outputs, t_ns, actions)
        self.publish_user(outputs, t_ns, actions)
        for output in outputs:
            if type(output) is Notice:
                actions.append(Log(output.is_error, output.text))
            elif type(output) is KeyDeleted:
                self.on_key_deleted(output, actions)

    def command(self, command: Command, call: Call) -> Accepted:
        """Step the core for a handler; VenueError when it refuses."""
        answer, *effects = self.core.step(command, call.t_ns)
        if isinstance(answer, Refused):
            raise self.refusal(answer, command)
        assert isinstance(answer, Accepted)
        call.out += effects
        return answer

    def _unknown_error(self, event: Event) -> list[Action]:
        error = VenueError(-1000)
        if isinstance(event, HttpRequest):
            return [HttpAnswer(event.request, error.status, error.json())]
        if isinstance(event, WsOpen):
            return [WsRefuse(event.conn, error.status, error.json())]
        conn = self.conns.get(event.conn) if isinstance(event, WsText) else None
        if conn is not None and conn.kind is ConnKind.TRADE and isinstance(event, WsText):
            return [WsSend((conn.number,), self._ws_api.error(event.text, error))]
        return []

    # -- REST ---

    def _http(self, request: HttpRequest, t_ns: int, actions: list[Action]) -> None:
        out: list[Output] = []
        account = -1
        headers: tuple[tuple[str, str], ...] = ()
        try:
            call, route = self._call(request, t_ns, out)
            if route.orders:
                account = call.account
            body, status = route.handler(call), 200
            if route.is_free_if_done:
                self.limits.refund(request.ip, cost_of(route.weight, call.params))
        except VenueError as error:
            body, status = error.json(), error.status
            if error.retry_after_s:
                headers = (("Retry-After", str(error.retry_after_s)),)
        headers += self.limits.headers(request.ip, account, t_ns)
        actions.append(HttpAnswer(request.request, status, body, headers))
        self.publish(out, t_ns, actions)

    def _call(self, request: HttpRequest, t_ns: int, out: list[Output]) -> tuple[Call, Route]:
        """Everything that comes before the handler: limits, then who asks."""
        now_ns = t_ns + self.skew_ns
        route = self._routes.get((request.method, request.path))
        query, body = request.query, request.body
        try:
            if route is None:
                raise self.no_route(request.method, request.path)
            params = parse_query(body) | parse_query(query)
        except VenueError:  # a request that means nothing costs weight too
            self.limits.charge(request.ip, 1, t_ns, now_ns)
            raise
        call = Call(params, None, request.ip, t_ns, now_ns, None, out)
        weight = cost_of(route.weight, params)
        self.limits.charge(request.ip, weight, t_ns, now_ns)
        if route.security is not Security.NONE:
            key = known_key(self.keyring, request.headers.get("x-mbx-apikey", ""), request.ip)
            call.key = key
            check_permission(key, route.security)
            if route.security not in UNSIGNED:
                check_time(params, now_ns)
                check_signature(key, params, without_signature(query) + without_signature(body))
            if route.orders:
                self.limits.charge_orders(key.account, orders_of(route, params), t_ns)
        return call, route

    # -- CONNECTIONS ---

    def kind_of(self, target: str) -> ConnKind:
        found = self.target_of(target)
        return found.kind if found else ConnKind.MARKET

    def _open(self, event: WsOpen, t_ns: int, actions: list[Action]) -> None:
        target = self.target_of(event.target)
        conn: Conn | None = None
        try:
            self.limits.charge_connect(event.ip, t_ns, t_ns + self.skew_ns)
            if target is not None and target.kind is ConnKind.TRADE:
                weight = self.conns.rules.connect_weight
                self.limits.charge(event.ip, weight, t_ns, t_ns + self.skew_ns)
            if target is None:
                raise self.no_route("GET", event.target.partition("?")[0])
            conn = self.conns.open(event.conn, target.kind, event.ip, t_ns)
            conn.is_combined = target.is_combined
            if "false" in target.query.get("returnRateLimits", ()):
                conn.returns_limits = False
            self.admit_user(conn, target, t_ns)
        except VenueError as error:
            self.conns.close(event.conn)
            actions.append(WsRefuse(event.conn, error.status, error.json()))
            return
        actions.append(WsAccept(event.conn))
        if target.kind is ConnKind.MARKET:
            names = list(target.names)[: self.conns.rules.streams_max]
            self._subscriptions.subscribe(conn, names, t_ns)

    def _text(self, event: WsText, t_ns: int, actions: list[Action]) -> None:
        conn = self.conns.get(event.conn)
        if conn is None:
            return
        if conn.kind is ConnKind.TRADE:
            out: list[Output] = []
            text = self._ws_api.answer(conn, event.text, t_ns, out)
            actions.append(WsSend((conn.number,), text))
            self.publish(out, t_ns, actions)
        elif self.conns.is_talking_too_much(conn, t_ns):
            self._cut_off(conn, actions)
        elif conn.kind is ConnKind.MARKET:
            reply = self._subscriptions.reply(conn, event.text, t_ns)
            actions.append(WsSend((conn.number,), reply))
        else:
            self.on_user_text(conn, event.text, t_ns, actions)

    def _ping(self, event: WsPing, t_ns: int, actions: list[Action]) -> None:
        conn = self.conns.get(event.conn)
        if conn is not None and self.conns.is_talking_too_much(conn, t_ns):
            self._cut_off(conn, actions)

    def _pong(self, event: WsPong, t_ns: int, actions: list[Action]) -> None:
        conn = self.conns.get(event.conn)
        if conn is None:
            return
        self.conns.pong(conn, t_ns)
        if self.conns.is_talking_too_much(conn, t_ns):
            self._cut_off(conn, actions)

    def _cut_off(self, conn: Conn, actions: list[Action]) -> None:
        self._forget(conn)
        actions.append(WsClose(conn.number, *CLOSE_TOO_FAST))

    def _closed(self, event: WsClosed, t_ns: int, actions: list[Action]) -> None:
        conn = self.conns.close(event.conn)
        if conn is not None:
            self._subscriptions.forget(conn)
            self.on_closed(conn)

    def _tick(self, event: Tick, t_ns: int, actions: list[Action]) -> None:
        """Time ran already."""

    def _tend_conns(self, t_ns: int, actions: list[Action]) -> None:
        ping, silent, old = self.conns.due(t_ns)
        stamp = str((t_ns + self.skew_ns) // MS)
        actions += [WsPingOut(conn.number, stamp) for conn in ping]
        for conn in silent:
            self._forget(conn)
            actions.append(WsDrop(conn.number))
        self._end(old, t_ns, actions)

    def end_of_age(self, t_ns: int) -> list[Action]:
        actions: list[Action] = []
        self._end(list(self.conns), t_ns, actions)
        return actions

    def _end(self, conns: list[Conn], t_ns: int, actions: list[Action]) -> None:
        for conn in conns:
            if text := self.parting_text(conn, t_ns):
                actions.append(WsSend((conn.number,), text))
            self._forget(conn)
            actions.append(WsClose(conn.number, *CLOSE_OF_AGE))

    def _forget(self, conn: Conn) -> None:
        """Nothing more is sent to it; its WsClosed finds nothing."""
        self.conns.close(conn.number)
        self._subscriptions.forget(conn)
        self.on_closed(conn)

    # -- FAULTS ---

    def trouble(self, event: HttpRequest | WsText, kind: Trouble, retry_s: int) -> list[Action]:
        now_ns = self._last_ns + self.skew_ns
        if isinstance(event, HttpRequest):
            return [
                troubles.http_answer(event, kind, retry_s, now_ns, self.limits, self.trouble_words)
            ]
        conn = self.conns.get(event.conn)
        if conn is None or conn.kind is not ConnKind.TRADE:
            return []
        error = troubles.error_of(kind, retry_s, now_ns, self.limits, self.trouble_words)
        return [WsSend((conn.number,), self._ws_api.error(event.text, error))]


def _is_answered(event: Event, actions: list[Action]) -> bool:
    """Whether the answer to `event` is among `actions`: two would be one too many."""
    kinds = (HttpAnswer, WsAccept, WsRefuse)
    if isinstance(event, WsText):
        return any(isinstance(a, WsSend) and event.conn in a.conns for a in actions)
    return any(isinstance(action, kinds) for action in actions)


def _where(error: BaseException) -> str:
    """Kind and place of a failure, without its words: they may hold a key."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    places = "".join(f" at {frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in last)
    return f"{type(error).__name__}{places}"
