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


class Requests:
    """What becomes of requests while these faults live."""

    def __init__(self, face: Face, dice: Random, hit: Callable[[Fault, str], None]) -> None:
        self._face = face
        self._dice = dice
        self._hit = hit
        self._live: dict[int, Live] = {}

    @property
    def is_idle(self) -> bool:
        return not self._live

    def begin(self, live: Live) -> None:
        self._live[live.number] = live

    def end(self, live: Live) -> None:
        self._live.pop(live.number, None)

    def struck(self, event: HttpRequest | WsText) -> Live | None:
        """The first fault that takes this request."""
        way = "rest" if isinstance(event, HttpRequest) else "ws"
        text = event.text if isinstance(event, WsText) else f"{event.method} {event.path}"
        for live in self._live.values():
            fault = live.fault
            assert isinstance(fault, RequestFault)
            if fault.via not in ("any", way) or fault.match not in text:
                continue
            if fault.probability >= 1.0 or self._dice.random() < fault.probability:
                where = f"connection {event.conn}" if isinstance(event, WsText) else text
                self._hit(fault, where)
                return live
        return None

    def step(
        self, event: HttpRequest | WsText, live: Live, t_ns: int, later: Later
    ) -> list[Action]:
        """Instead of the face's own step."""
        fault = live.fault
        if isinstance(fault, LimitFault):
            retry_s = -(-(fault.retry_ns or max(S, live.end_ns - t_ns)) // S)
            return self._face.trouble(event, TROUBLES[fault.kind], retry_s)
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
