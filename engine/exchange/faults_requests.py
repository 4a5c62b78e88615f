"""Faults between a request and its answer: lost, late, refused, or a lie about what was done."""

from collections.abc import Callable
from random import Random

from engine.exchange.face import (
    Action,
    Face,
    HttpAnswer,
    HttpDrop,
    HttpRequest,
    Trouble,
    WsSend,
    WsText,
)
from engine.exchange.faults_schedule import S, Fault, FateFault, LimitFault, RequestFault

Later = Callable[[int, list[Action]], None]
TROUBLES = {
    "throttled": Trouble.THROTTLED,
    "banned": Trouble.BANNED,
    "unknown": Trouble.UNKNOWN,
    "unavailable": Trouble.UNAVAILABLE,
    "error_after_effect": Trouble.INTERNAL,
}


class Requests:
    """What becomes of requests while these faults live."""

    def __init__(self, face: Face, dice: Random, hit: Callable[[Fault, str], None]) -> None:
        self._face = face
        self._dice = dice
        self._hit = hit
        self._live: list[tuple[RequestFault, int]] = []  # with their ends

    @property
    def is_idle(self) -> bool:
        return not self._live

    def begin(self, fault: RequestFault, end_ns: int) -> None:
        self._live.append((fault, end_ns))

    def end(self, fault: Fault) -> None:
        self._live = [(own, end_ns) for own, end_ns in self._live if own is not fault]

    def struck(self, event: HttpRequest | WsText) -> tuple[RequestFault, int] | None:
        """The first fault that takes this request, with the fault's end."""
        way = "rest" if isinstance(event, HttpRequest) else "ws"
        text = f"{event.method} {event.path}" if isinstance(event, HttpRequest) else event.text
        for fault, end_ns in self._live:
            if fault.via not in ("any", way) or fault.match not in text:
                continue
            if fault.probability >= 1.0 or self._dice.random() < fault.probability:
                self._hit(fault, f"{event.method} {event.path}" if way == "rest" else
                          f"message on connection {event.conn}")  # type: ignore[union-attr]
                return fault, end_ns
        return None

    def step(
        self,
        event: HttpRequest | WsText,
        fault: RequestFault,
        end_ns: int,
        t_ns: int,
        later: Later,
    ) -> list[Action]:
        """Instead of the face's own step."""
        if isinstance(fault, LimitFault):
            retry_s = -(-(fault.retry_ns or max(S, end_ns - t_ns)) // S)
            return self._face.trouble(event, TROUBLES[fault.kind], retry_s)
        has_effect = not isinstance(fault, FateFault) or fault.effect
        if fault.kind == "unavailable" or (fault.kind == "unknown" and not has_effect):
            return self._face.trouble(event, TROUBLES[fault.kind], 0)
        if not has_effect:
            return []  # a timeout; the request came to nobody
        answer, rest = _split(event, self._face.step(event, t_ns))
        if fault.kind in TROUBLES:
            return [*self._face.trouble(event, TROUBLES[fault.kind], 0), *rest]
        if isinstance(fault, FateFault) and fault.late_ns:
            later(t_ns + fault.late_ns, answer)
        elif fault.kind == "ack_lost" and isinstance(event, HttpRequest):
            return [HttpDrop(event.request), *rest]
        return rest


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
