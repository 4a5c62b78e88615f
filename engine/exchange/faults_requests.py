"""Faults between a request and its answer: lost, late, refused, or a lie about what was done.

A limit is kept as it was told: an address that heard of a Retry-After gets no other answer before
that time, whether or not the fault still lasts. A ban concerns everything that the address sends,
handshakes too; throttling what its fault is about.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from engine.exchange.face import (
    Action,
    Face,
    HttpAnswer,
    HttpDrop,
    HttpRequest,
    Trouble,
    WsOpen,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.faults_schedule import (
    FateFault,
    Fault,
    LimitFault,
    Live,
    RequestFault,
    S,
    TimeoutFault,
)

Later = Callable[[int, list[Action]], None]
TROUBLES = {
    "throttled": Trouble.THROTTLED,
    "banned": Trouble.BANNED,
    "unknown": Trouble.UNKNOWN,
    "unavailable": Trouble.UNAVAILABLE,
    "error_after_effect": Trouble.INTERNAL,
}


Asked = HttpRequest | WsOpen | WsText


class Told(NamedTuple):
    """What an address has been told."""

    until_ns: int
    fault: LimitFault


class Requests:
    """What becomes of requests while these faults live."""

    def __init__(self, face: Face, dice: Random, hit: Callable[[Fault, str], None]) -> None:
        self._face = face
        self._dice = dice
        self._hit = hit
        self._live: dict[int, Live] = {}
        self._ips: dict[int, str] = {}  # of connections
        self._told: dict[str, list[Told]] = {}  # by address

    @property
    def is_idle(self) -> bool:
        return not self._live and not self._told

    def opened(self, event: WsOpen) -> None:
        self._ips[event.conn] = event.ip

    def closed(self, conn: int) -> None:
        self._ips.pop(conn, None)

    def forget(self, t_ns: int) -> None:
        """What was told is over."""
        for ip, told in list(self._told.items()):
            told[:] = [each for each in told if each.until_ns > t_ns]
            if not told:
                del self._told[ip]

    def begin(self, live: Live) -> None:
        self._live[live.number] = live

    def end(self, live: Live) -> None:
        self._live.pop(live.number, None)

    def limited(self, event: Asked, t_ns: int) -> list[Action] | None:
        """The answer to an address that was told to wait, or to a handshake in a ban; None: there
        is no such thing."""
        for until_ns, fault in self._told.get(self._ip(event), ()):
            if fault.kind == "banned" or _concerns(fault, event):
                self._hit(fault, _where(event))
                return self._limit(event, fault, until_ns - t_ns)
        if not isinstance(event, WsOpen):
            return None
        live = self.struck(event)
        return None if live is None else self.step(event, live, t_ns, _never)

    def struck(self, event: Asked) -> Live | None:
        """The first fault that takes this request."""
        for live in self._live.values():
            fault = live.fault
            assert isinstance(fault, RequestFault)
            if not _concerns(fault, event):
                continue
            if fault.probability >= 1.0 or self._dice.random() < fault.probability:
                self._hit(fault, _where(event))
                return live
        return None

    def step(self, event: Asked, live: Live, t_ns: int, later: Later) -> list[Action]:
        """Instead of the face's own step."""
        fault = live.fault
        if isinstance(fault, LimitFault):
            wait_ns = fault.retry_ns or max(S, live.end_ns - t_ns)
            wait_ns = -(-wait_ns // S) * S  # as it is told
            self._told.setdefault(self._ip(event), []).append(Told(t_ns + wait_ns, fault))
            return self._limit(event, fault, wait_ns)
        assert not isinstance(event, WsOpen)
        has_effect = not isinstance(fault, FateFault) or fault.effect
        if fault.kind == "unavailable" or (fault.kind == "unknown" and not has_effect):
            return self._face.trouble(event, TROUBLES[fault.kind], 0)
        if not has_effect:
            return []  # a timeout; the request came to nobody
        answer, rest = _split(event, self._face.step(event, t_ns))
        if fault.kind in TROUBLES:
            return [*self._face.trouble(event, TROUBLES[fault.kind], 0), *rest]
        if isinstance(fault, TimeoutFault) and fault.late_ns:
            later(t_ns + fault.late_ns, answer)
        elif fault.kind == "ack_lost" and isinstance(event, HttpRequest):
            return [HttpDrop(event.request), *rest]
        return rest

    def _limit(self, event: Asked, fault: LimitFault, wait_ns: int) -> list[Action]:
        """In the venue's words; a handshake hears what a request would."""
        kind, retry_s = TROUBLES[fault.kind], -(-wait_ns // S)
        if not isinstance(event, WsOpen):
            return self._face.trouble(event, kind, retry_s)
        asked = HttpRequest(0, "GET", event.target, "", "", event.headers, event.ip)
        return [
            WsRefuse(event.conn, answer.status, answer.body)
            for answer in self._face.trouble(asked, kind, retry_s)
            if isinstance(answer, HttpAnswer)
        ]

    def _ip(self, event: Asked) -> str:
        return self._ips.get(event.conn, "") if isinstance(event, WsText) else event.ip


def _never(at_ns: int, actions: list[Action]) -> None:
    raise AssertionError("a refused handshake has no late answer")


def _text(event: Asked) -> str:
    """What `match` is looked for in, and what a record may hold of it (no query: keys)."""
    if isinstance(event, WsText):
        return event.text
    if isinstance(event, WsOpen):
        return f"GET {event.target.partition('?')[0]}"
    return f"{event.method} {event.path}"


def _where(event: Asked) -> str:
    return _text(event) if isinstance(event, HttpRequest) else f"connection {event.conn}"


def _concerns(fault: RequestFault, event: Asked) -> bool:
    """Handshakes hear of nothing but bans."""
    is_ban = isinstance(fault, LimitFault) and fault.kind == "banned"
    if isinstance(event, WsOpen) and not is_ban:
        return False
    way = "rest" if isinstance(event, HttpRequest) else "ws"
    return fault.via in ("any", way) and fault.match in _text(event)


def _split(
    event: HttpRequest | WsText, actions: list[Action]
) -> tuple[list[Action], list[Action]]:
    """(the answer to `event`, everything else); a WebSocket's answer is the first message to it
    alone, for what time caused was published before."""
    for index, action in enumerate(actions):
        is_answer = isinstance(event, HttpRequest) and isinstance(action, HttpAnswer) and (
            action.request == event.request
        )
        is_reply = isinstance(event, WsText) and isinstance(action, WsSend) and (
            action.conns == (event.conn,)
        )
        if is_answer or is_reply:
            return [action], actions[:index] + actions[index + 1 :]
    return [], actions
