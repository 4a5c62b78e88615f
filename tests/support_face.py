"""The smallest venue there can be: what movers and faults are tested with."""

from typing import Any

from support_exchange import quiet_core

from engine.exchange.commands import Advance
from engine.exchange.events import InstrumentUpdate
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
    WsPingOut,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.terms import NEVER_NS

STATUS = {
    Trouble.UNKNOWN: 503,
    Trouble.UNAVAILABLE: 503,
    Trouble.INTERNAL: 502,
    Trouble.THROTTLED: 429,
    Trouble.BANNED: 418,
    Trouble.TOO_LARGE: 413,
    Trouble.MALFORMED: 400,
}


class TinyFace:
    """Speaks words, not JSON. `orders` counts effects; every Tick from `due_ns` on sends data to
    all who listen."""

    name = "tiny"

    def __init__(self) -> None:
        self.core = quiet_core()
        self.skew_ns = 0
        self.orders = 0
        self.ticks = 0
        self.due_ns = NEVER_NS
        self.every_ns = 10_000_000
        self.conns: dict[int, str] = {}
        self.events: list[Event] = []
        self.told: list[str] = []  # faults that only a face can do

    def next_due_ns(self) -> int:
        return min(self.due_ns, 0 if self.core._untold else NEVER_NS)

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        return {"rest_url": rest_root, "ws_url": {"all": ws_root}}

    def kind_of(self, target: str) -> ConnKind:
        names = {kind.value: kind for kind in ConnKind}
        return names.get(target.strip("/"), ConnKind.MARKET)

    def step(self, event: Event, t_ns: int) -> list[Action]:
        self.events.append(event)
        return [*self._time(t_ns), *self._own(event)]

    def _time(self, t_ns: int) -> list[Action]:
        actions: list[Action] = []
        for output in self.core.step(Advance(), t_ns):
            if isinstance(output, InstrumentUpdate) and self.conns:
                actions.append(WsSend(tuple(self.conns), f"{output.symbol} {output.state.name}"))
        while t_ns >= self.due_ns:
            self.due_ns += self.every_ns
            self.ticks += 1
            if self.conns:
                actions.append(WsSend(tuple(self.conns), f"data {self.ticks}"))
        return actions

    def _own(self, event: Event) -> list[Action]:
        if isinstance(event, HttpRequest):
            return self._rest(event)
        if isinstance(event, WsOpen):
            if event.target.strip("/") not in {kind.value for kind in ConnKind}:
                return [WsRefuse(event.conn, 404, '{"code":-5000}')]
            self.conns[event.conn] = event.target
            return [WsAccept(event.conn)]
        if isinstance(event, WsText):
            return self._text(event)
        if isinstance(event, WsClosed):
            self.conns.pop(event.conn, None)
        return []

    def _rest(self, event: HttpRequest) -> list[Action]:
        if event.path == "/order":
            self.orders += 1
            return [HttpAnswer(event.request, 200, f'{{"order":{self.orders}}}')]
        if event.path == "/boom":
            raise RuntimeError("planted")
        if event.path == "/bug":
            return [Log(True, "planted", is_bug=True), HttpAnswer(event.request, 200, "{}")]
        if event.path == "/silent":
            return []
        if event.path == "/all":
            sends = [WsSend(tuple(self.conns), event.body)]
            return [HttpAnswer(event.request, 200, "{}"), *sends]
        text = f"{event.method} {event.path} {event.query} {event.body} {event.ip}"
        headers = (("X-Used", "3"), ("Content-Type", "text/plain;charset=UTF-8"))
        return [HttpAnswer(event.request, 203, text, headers)]

    def _text(self, event: WsText) -> list[Action]:
        conn = event.conn
        if event.text == "order":
            self.orders += 1
            return [WsSend((conn,), f"ack {self.orders}"), WsSend((conn,), "filled")]
        if event.text == "ping":
            return [WsPingOut(conn, "hello")]
        if event.text == "close":
            return [WsClose(conn, 4001, "bye")]
        if event.text == "drop":
            return [WsDrop(conn)]
        if event.text == "odd":
            return [WsSend((conn,), None), WsSend((conn,), "\ud800")]  # type: ignore[arg-type]
        if event.text == "boom":
            raise RuntimeError("planted")
        return [WsSend((conn,), f"got {event.text}"), Log(False, "heard")]

    def trouble(self, event: HttpRequest | WsText, kind: Trouble, retry_s: int) -> list[Action]:
        text = f"{kind.value} {retry_s}"
        if isinstance(event, HttpRequest):
            headers = (("Retry-After", str(retry_s)),)
            return [HttpAnswer(event.request, STATUS[kind], text, headers)]
        return [WsSend((event.conn,), text)]

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        self.told.append("expire_user_streams")
        return [WsSend(tuple(self.conns), "expired")]

    def end_of_age(self, t_ns: int) -> list[Action]:
        self.told.append("end_of_age")
        return [WsClose(conn, 1001, "age") for conn in self.conns]


def run_until(face: Any, until_ns: int) -> list[tuple[int, Action]]:
    """Ticks whenever the face is due, up to and at `until_ns`; (when, action) of all that left."""
    done: list[tuple[int, Action]] = []
    t_ns = 0
    for _ in range(100_000):
        t_ns = max(t_ns, face.next_due_ns())
        if t_ns > until_ns:
            break
        done += [(t_ns, action) for action in face.step(Tick(), t_ns)]
        t_ns += 1
    return done
