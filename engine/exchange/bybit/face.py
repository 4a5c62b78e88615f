"""Bybit v5 whole, linear and spot on one unified account, as a Face (engine/exchange/face.py).

Composition root of the package: events go to REST, to the trade desk or to the control of public
and private connections; what the core did is told on the topics. Answers to an event come first,
then what it caused: an order's acknowledgement says only that it was taken in.
"""

from collections.abc import Iterable
from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.control import Control
from engine.exchange.bybit.dcp import DeadMan
from engine.exchange.bybit.errors import TEXTS, VenueError
from engine.exchange.bybit.limits import LimitRules, Limits
from engine.exchange.bybit.orders import OrderEntry
from engine.exchange.bybit.private import PrivateStreams
from engine.exchange.bybit.public import Delivery, PublicStreams
from engine.exchange.bybit.rest import Rest
from engine.exchange.bybit.sessions import (
    Endpoint,
    Session,
    Sessions,
    endpoint_of,
    idle_ns_of,
)
from engine.exchange.bybit.trade import TradeDesk
from engine.exchange.bybit.venue import Venue
from engine.exchange.bybit.wire import dumps
from engine.exchange.commands import Advance, CancelAll
from engine.exchange.core import Core
from engine.exchange.events import (
    AccountUpdate,
    KeyDeleted,
    Notice,
    OrderUpdate,
    Output,
    TriggerUpdate,
)
from engine.exchange.face import (
    Action,
    ConnKind,
    Event,
    HttpAnswer,
    HttpRequest,
    Log,
    Trouble,
    WsAccept,
    WsClose,
    WsClosed,
    WsOpen,
    WsPing,
    WsPong,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.terms import NEVER_NS, Why

USERS_OUTPUTS = (OrderUpdate, AccountUpdate, TriggerUpdate)
GOING_AWAY = 1_001
NORMAL = 1_000
TROUBLE_CODES = {
    Trouble.UNKNOWN: 10000,
    Trouble.UNAVAILABLE: 10019,
    Trouble.INTERNAL: 10016,
    Trouble.THROTTLED: 10429,
    Trouble.BANNED: 10403,
    Trouble.TOO_LARGE: 10001,
    Trouble.MALFORMED: 10001,
}
REFUSED_STATUS = {Trouble.TOO_LARGE: 413, Trouble.MALFORMED: 400}  # unverified
PLAIN_TYPE = ("Content-Type", "text/plain")


class Bybit:
    """The face; `rules` of a core that it stands before are `rules_of("bybit")`. `limits` as a
    number: so many times the venue's."""

    name = "bybit"

    def __init__(self, core: Core, limits: LimitRules | int = 1) -> None:
        self.core = core
        self._venue = Venue(core)
        rules = limits if isinstance(limits, LimitRules) else LimitRules(limits)
        self._limits = Limits(rules)
        self._is_stopped = False  # the background market failed
        self._sessions = Sessions()
        self._dead_man = DeadMan()
        self._public = PublicStreams(self._venue)
        self._private = PrivateStreams(self._venue)
        self._orders = OrderEntry(self._venue)
        self._control = Control(self._venue, self._public, self._private, self._dead_man)
        self._desk = TradeDesk(self._venue, self._orders, self._limits)
        self._rest = Rest(self._venue, self._public, self._orders, self._dead_man, self._limits)

    @property
    def skew_ns(self) -> int:
        return self._venue.skew_ns

    @skew_ns.setter
    def skew_ns(self, value: int) -> None:
        self._venue.skew_ns = value

    def routes(self) -> list[tuple[str, str]]:
        """(method, path) of all REST calls that are answered."""
        return self._rest.routes()

    # -- EVENTS ---

    def step(self, event: Event, t_ns: int) -> list[Action]:
        """Never raises: a fault of ours becomes the venue's server error and a Log."""
        self._venue.now_ns = t_ns
        actions: list[Action] = []
        try:
            actions += self._advance(t_ns)
            actions += self._handle(event, t_ns)
        except Exception as error:
            actions += self._failed(event, error)
        try:
            if caused := self._venue.take_outputs():
                actions += self.publish(caused, t_ns)
        except Exception as error:
            actions.append(_log_of(error))
        return actions

    def publish(self, outputs: Iterable[Output], t_ns: int) -> list[Action]:
        """What the core said, told to whom it concerns; also for commands given by others."""
        outputs = list(outputs)
        kinds = set(map(type, outputs))  # most batches are the market's alone
        actions: list[Action] = []
        if Notice in kinds or KeyDeleted in kinds:
            for output in outputs:
                if isinstance(output, Notice):
                    actions.append(Log(output.is_error, output.text))
                elif isinstance(output, KeyDeleted):
                    actions += self._revoke(output.api_key, t_ns)
        told = [] if kinds.isdisjoint(USERS_OUTPUTS) else self._private.messages(outputs)
        told += self._public.messages(outputs, t_ns)
        actions += self._sends(told, t_ns)
        return actions

    def next_due_ns(self) -> int:
        return min(
            NEVER_NS if self._is_stopped else self.core.next_due_ns(),
            self._public.next_due_ns(),
            self._dead_man.next_due_ns(),
            self._sessions.scan_ns,
        )

    def _advance(self, t_ns: int) -> list[Action]:
        """The core's time, then our own clocks."""
        outputs: list[Output] = []
        actions: list[Action] = []
        if not self._is_stopped:
            try:
                outputs = self.core.step(Advance(), t_ns)
            except Exception as error:
                self._is_stopped = True
                actions.append(_log_of(error, "background market failed; it stands still: "))
        actions += self.publish(outputs, t_ns)
        for account, kind in self._dead_man.fired(t_ns):
            command = CancelAll(account, tuple(self._venue.keys(kind)), Why.DEAD_MAN)
            self._venue.do(kind, command)
        for session in self._sessions.idle(t_ns):
            actions += self._end(session, NORMAL, "", t_ns)
        return actions

    def _handle(self, event: Event, t_ns: int) -> list[Action]:
        if isinstance(event, WsText):
            return self._on_text(event, t_ns)
        if isinstance(event, HttpRequest):
            return [self._rest.answer(event)]
        if isinstance(event, WsOpen):
            return [self._on_open(event, t_ns)]
        if isinstance(event, WsClosed):
            if session := self._sessions.close(event.conn):
                self._forget(session, t_ns)
        elif isinstance(event, WsPing | WsPong):
            self._sessions.on_heard(event.conn, t_ns)
        return []

    def _failed(self, event: Event, error: Exception) -> list[Action]:
        actions: list[Action] = [_log_of(error)]
        if isinstance(event, HttpRequest):
            actions.append(self._rest.failure(event.request, VenueError(10016)))
        elif isinstance(event, WsOpen):
            actions.append(WsRefuse(event.conn, 500, ""))
        elif isinstance(event, WsText) and self._sessions.get(event.conn):
            actions += self.trouble(event, Trouble.INTERNAL, 0)
        return actions

    # -- CONNECTIONS ---

    def _on_open(self, event: WsOpen, t_ns: int) -> Action:
        endpoint = endpoint_of(event.target)
        if endpoint is None:
            return WsRefuse(event.conn, 404, "")
        if not self._limits.may_connect(event.ip, t_ns):
            return WsRefuse(event.conn, 403, "")
        conn_id, idle_ns = texts.conn_id(event.conn), idle_ns_of(event.target)
        session = Session(event.conn, endpoint, conn_id, event.ip, t_ns, t_ns, idle_ns)
        self._sessions.open(session, t_ns)
        return WsAccept(event.conn)

    def _on_text(self, event: WsText, t_ns: int) -> list[Action]:
        session = self._sessions.get(event.conn)
        if session is None:
            return []  # cut off; its last words come late
        self._sessions.on_heard(event.conn, t_ns)
        if session.endpoint is Endpoint.TRADE:
            return [WsSend((event.conn,), self._desk.on_text(session, event.text))]
        replies = self._control.on_text(session, event.text)
        return [WsSend((event.conn,), reply) for reply in replies]

    def _sends(self, told: list[Delivery], t_ns: int) -> list[Action]:
        for conns, _ in told:
            self._sessions.on_told(conns, t_ns)
        return [WsSend(conns, text) for conns, text in told]

    def _end(self, session: Session, code: int, reason: str, t_ns: int) -> list[Action]:
        self._sessions.close(session.conn)
        self._forget(session, t_ns)
        return [WsClose(session.conn, code, reason)]

    def _forget(self, session: Session, t_ns: int) -> None:
        if session.endpoint.kind is ConnKind.MARKET:
            self._public.drop(session.conn)
        elif session.endpoint is Endpoint.PRIVATE and session.key is not None:
            self._private.drop(session.conn, session.account)
            self._dead_man.on_death(session.account, session.conn, t_ns)

    def _revoke(self, api_key: str, t_ns: int) -> list[Action]:
        """Streams of a deleted key end; its trade connections are answered 10003.  # unverified"""
        actions: list[Action] = []
        for session in self._sessions.all():
            is_theirs = session.key is not None and session.key.api_key == api_key
            if is_theirs and session.endpoint is Endpoint.PRIVATE:
                actions += self._end(session, NORMAL, "", t_ns)
        return actions

    # -- WHERE TO CONNECT ---

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        return {
            "rest_url": rest_root,
            "ws_url": {
                "public_linear": ws_root + Endpoint.LINEAR.value,
                "public_spot": ws_root + Endpoint.SPOT.value,
                "private": ws_root + Endpoint.PRIVATE.value,
                "trade": ws_root + Endpoint.TRADE.value,
            },
        }

    def kind_of(self, target: str) -> ConnKind:
        endpoint = endpoint_of(target)
        return endpoint.kind if endpoint else ConnKind.MARKET

    # -- FAULTS ---

    def trouble(self, event: HttpRequest | WsText, kind: Trouble, retry_s: int) -> list[Action]:
        """Retry-After is not the venue's way: its limits name a time in their own headers."""
        if isinstance(event, HttpRequest):
            return [self._http_trouble(event.request, kind, retry_s)]
        session = self._sessions.get(event.conn)
        if session is None:
            return []
        code = TROUBLE_CODES[kind]
        if session.endpoint is Endpoint.TRADE:
            text = self._desk.trouble(session, event.text, code)
        else:
            reply = {"success": False, "ret_msg": TEXTS[code], "conn_id": session.conn_id}
            text = dumps({**reply, "op": ""})
        return [WsSend((event.conn,), text)]

    def _http_trouble(self, request: int, kind: Trouble, retry_s: int) -> HttpAnswer:
        if kind is Trouble.UNKNOWN:
            return self._rest.failure(request, VenueError(10000))
        if kind in REFUSED_STATUS:
            refusal = self._rest.failure(request, VenueError(TROUBLE_CODES[kind]))
            return refusal._replace(status=REFUSED_STATUS[kind])
        if kind is Trouble.BANNED:
            return self._rest.banned(request)
        if kind is Trouble.THROTTLED:
            answer = self._rest.failure(request, VenueError(10006))
            reset_ms = self._venue.now_ms + retry_s * 1_000
            told = (
                ("X-Bapi-Limit", "10"),
                ("X-Bapi-Limit-Status", "0"),
                ("X-Bapi-Limit-Reset-Timestamp", str(reset_ms)),
            )
            return answer._replace(headers=answer.headers + told)
        if kind is Trouble.UNAVAILABLE:
            return HttpAnswer(request, 503, "Service Unavailable", (PLAIN_TYPE,))
        return HttpAnswer(request, 502, "Bad Gateway", (PLAIN_TYPE,))

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        """Every connection that logged on has been up for its `max_active_time`."""
        self._venue.now_ns = t_ns
        actions: list[Action] = []
        for session in self._sessions.all():
            if session.endpoint.kind is not ConnKind.MARKET:
                actions += self._end(session, NORMAL, "", t_ns)
        return actions

    def end_of_age(self, t_ns: int) -> list[Action]:
        """The venue names no age limit, only that it may disconnect at any time."""
        self._venue.now_ns = t_ns
        actions: list[Action] = []
        for session in self._sessions.all():
            actions += self._end(session, GOING_AWAY, "", t_ns)
        return actions


def _log_of(error: Exception, what: str = "") -> Log:
    """The kind and place of a fault of ours; its text might hold what a client sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else "?"
    return Log(True, f"bybit face: {what}{type(error).__name__} in {place}", is_bug=True)
