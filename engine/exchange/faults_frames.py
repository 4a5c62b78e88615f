"""Faults of what goes out to clients: messages and connections, whoever they are.

Everything for one connection leaves in the order of its TCP stream: behind a delayed message the
rest waits. Only `reorder` breaks that, as it says.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from engine.exchange.face import (
    Action,
    ConnKind,
    Event,
    WsClose,
    WsClosed,
    WsDrop,
    WsHalfOpen,
    WsOpen,
    WsPing,
    WsPingOut,
    WsPong,
    WsSend,
    WsText,
)
from engine.exchange.faults_schedule import DelayFault, Fault, FrameFault, LinkFault, Live
from engine.exchange.terms import NEVER_NS

REORDER_NS_MAX = 2_000_000_000  # a message set aside leaves by then, though nothing followed it
HELD_MAX = 100_000  # messages held back; further ones leave at once, out of memory's way

Hit = Callable[[Fault, str], None]


class Aside(NamedTuple):
    """A message that waits for its follower."""

    until_ns: int
    text: str
    fault: FrameFault


class Frames:
    """State of every connection as the frame and link faults have left it."""

    def __init__(self, dice: Random, hit: Hit) -> None:
        self._dice = dice
        self._hit = hit
        self._kinds: dict[int, ConnKind] = {}
        self._live: dict[int, FrameFault | DelayFault] = {}
        self._listening: dict[int, LinkFault] = {}  # silent_subscribe and heartbeat_only
        self._muted: dict[tuple[int, int], None] = {}  # heartbeat_only: fault, connection
        self._dead: dict[int, int] = {}  # half-open connections, by which fault
        self._silent: dict[int, None] = {}
        self._held: dict[int, deque[tuple[int, Action]]] = {}
        self._held_count = 0
        self._aside: dict[tuple[int, int], Aside] = {}  # reorder, by connection and fault

    @property
    def is_idle(self) -> bool:
        """Nothing would be changed: actions may pass by."""
        return not (
            self._live or self._listening or self._dead or self._silent or self._held
            or self._aside
        )  # fmt: skip

    def next_due_ns(self) -> int:
        if not self._held and not self._aside:
            return NEVER_NS
        due = [queue[0][0] for queue in self._held.values()]
        return min(due + [aside.until_ns for aside in self._aside.values()], default=NEVER_NS)

    # -- FAULTS ---

    def begin(self, live: Live) -> list[Action]:
        fault = live.fault
        if isinstance(fault, FrameFault | DelayFault):
            self._live[live.number] = fault
        elif isinstance(fault, LinkFault) and fault.kind != "half_open":
            self._listening[live.number] = fault
            if fault.kind == "heartbeat_only":
                for conn, kind in self._kinds.items():
                    self._maybe_mute(conn, kind, live.number, fault)
        elif isinstance(fault, LinkFault):
            return self._cut(fault, live.number)
        return []

    def _cut(self, fault: LinkFault, number: int) -> list[Action]:
        chosen = [
            conn for conn, kind in self._kinds.items()
            if conn not in self._dead and self._strikes(fault, kind)
        ]  # fmt: skip
        for conn in chosen:
            self._forget(conn)
            self._dead[conn] = number
            self._hit(fault, f"connection {conn}")
        return [WsHalfOpen(conn) for conn in chosen]

    def end(self, live: Live) -> list[Action]:
        self._live.pop(live.number, None)
        if self._listening.pop(live.number, None) is not None:
            self._muted = {key: None for key in self._muted if key[0] != live.number}
        return [WsDrop(conn) for conn, number in self._dead.items() if number == live.number]

    # -- EVENTS ---

    def note(self, event: Event) -> bool:
        """Keep up with connections; False: nobody hears of this event."""
        if isinstance(event, WsText | WsPing | WsPong):
            if event.conn in self._dead:
                return False
            if isinstance(event, WsText):
                self._subscribed(event.conn)
        elif isinstance(event, WsClosed):
            self._kinds.pop(event.conn, None)
            self._dead.pop(event.conn, None)
            self._silent.pop(event.conn, None)
            self._muted = {key: None for key in self._muted if key[1] != event.conn}
            self._forget(event.conn)
        return True

    def opened(self, event: WsOpen, kind: ConnKind) -> None:
        self._kinds[event.conn] = kind
        for number, fault in self._listening.items():
            if fault.kind == "heartbeat_only":
                self._maybe_mute(event.conn, kind, number, fault)
        self._subscribed(event.conn)

    def _maybe_mute(self, conn: int, kind: ConnKind, number: int, fault: LinkFault) -> None:
        if self._strikes(fault, kind):
            self._muted[number, conn] = None

    def kind_of(self, conn: int) -> ConnKind | None:
        return self._kinds.get(conn)

    def _subscribed(self, conn: int) -> None:
        for fault in self._listening.values():
            if fault.kind != "silent_subscribe" or conn in self._silent:
                continue
            if self._strikes(fault, self._kinds.get(conn)):
                self._silent[conn] = None
                self._hit(fault, f"connection {conn}")

    def _forget(self, conn: int) -> None:
        self._held_count -= len(self._held.pop(conn, ()))
        for key in [key for key in self._aside if key[0] == conn]:
            del self._aside[key]

    # -- ACTIONS ---

    def out(self, actions: list[Action], t_ns: int, reply_to: int = 0) -> list[Action]:
        """What becomes of `actions`; the first message to `reply_to` alone is a reply, no data."""
        done: list[Action] = []
        for action in actions:
            if isinstance(action, WsSend):
                is_reply = action.conns == (reply_to,)
                if is_reply:
                    reply_to = 0
                for conn in action.conns:
                    self._send(conn, action.text, t_ns, is_reply, done)
            elif isinstance(action, WsPingOut | WsClose | WsDrop):
                if action.conn not in self._dead:
                    if not isinstance(action, WsPingOut):
                        self._give_up(action.conn, t_ns, done)
                    self._put(action.conn, action, t_ns, t_ns, done)
            else:
                done.append(action)
        return done

    def deliverable(self, actions: list[Action]) -> list[Action]:
        """What was held back for a connection is lost with it."""
        sends = (
            action._replace(conns=tuple(conn for conn in action.conns if conn in self._kinds))
            if isinstance(action, WsSend) else action for action in actions
        )  # fmt: skip
        return [action for action in sends if not isinstance(action, WsSend) or action.conns]

    def release(self, t_ns: int) -> list[Action]:
        """What has waited long enough."""
        done: list[Action] = []
        for key, (until_ns, text, _) in list(self._aside.items()):
            if until_ns <= t_ns:
                del self._aside[key]
                self._put(key[0], WsSend(key[:1], text), until_ns, t_ns, done)
        for conn, queue in list(self._held.items()):
            while queue and queue[0][0] <= t_ns:
                done.append(queue.popleft()[1])
                self._held_count -= 1
            if not queue:
                del self._held[conn]
        return done

    def _send(
        self, conn: int, text: str, t_ns: int, is_reply: bool, done: list[Action]
    ) -> None:
        if conn in self._dead or (not is_reply and self._is_mute(conn)):
            return
        texts, delay_ns = [text], 0
        waiting = self._followed(conn, text)
        for number, fault in self._live.items():
            if fault.stream not in text or not self._strikes(fault, self._kinds.get(conn)):
                continue
            if fault.kind == "reorder":
                if (conn, number) not in self._aside:
                    assert isinstance(fault, FrameFault)
                    self._aside[conn, number] = Aside(t_ns + REORDER_NS_MAX, texts.pop(), fault)
                    if not texts:
                        return
                continue
            self._hit(fault, f"connection {conn}")
            if isinstance(fault, DelayFault):
                delay_ns += fault.by_ns + self._dice.randint(0, fault.jitter_ns)
            elif fault.kind == "drop":
                return
            elif fault.kind == "duplicate":
                texts += texts
            elif fault.kind == "garble":
                texts = [self._garbled(each) for each in texts]
            elif fault.kind == "truncate":
                texts = [each[: self._dice.randrange(1, max(2, len(each)))] for each in texts]
        for key in waiting:  # it leaves, so they are truly overtaken
            aside = self._aside.pop(key)
            self._hit(aside.fault, f"connection {conn}")
            texts.append(aside.text)
        for each in texts:
            self._put(conn, WsSend((conn,), each), t_ns + delay_ns, t_ns, done)

    def _followed(self, conn: int, text: str) -> list[tuple[int, int]]:
        """What waits for a message like `text`."""
        return [
            key for key, aside in self._aside.items()
            if key[0] == conn and aside.fault.stream in text
        ]  # fmt: skip

    def _give_up(self, conn: int, t_ns: int, done: list[Action]) -> None:
        """Nothing follows on a connection that ends."""
        for key in [key for key in self._aside if key[0] == conn]:
            self._put(conn, WsSend((conn,), self._aside.pop(key).text), t_ns, t_ns, done)

    def _is_mute(self, conn: int) -> bool:
        if conn in self._silent:
            return True  # the connection's own record says so
        for number, fault in self._listening.items():
            if (number, conn) in self._muted:
                self._hit(fault, f"connection {conn}")
                return True
        return False

    def _put(
        self, conn: int, action: Action, due_ns: int, t_ns: int, done: list[Action]
    ) -> None:
        """Now, or behind what waits."""
        queue = self._held.get(conn)
        if queue is None and (due_ns <= t_ns or self._held_count >= HELD_MAX):
            done.append(action)
            return
        if queue is None:
            queue = self._held[conn] = deque()
        self._held_count += 1
        queue.append((max(due_ns, queue[-1][0] if queue else 0), action))

    def _garbled(self, text: str) -> str:
        """A control character stands in no JSON, so nobody can take the rest for true."""
        letters = list(text)
        for _ in range(3 if letters else 0):
            letters[self._dice.randrange(len(letters))] = "\x00"
        return "".join(letters)

    def _strikes(self, fault: FrameFault | DelayFault | LinkFault, kind: ConnKind | None) -> bool:
        if kind is None or not _concerns(fault.conn, kind):
            return False
        return fault.probability >= 1.0 or self._dice.random() < fault.probability


def _concerns(wanted: str, kind: ConnKind) -> bool:
    return wanted in ("any", kind.value)
