"""Faults as a Face around a Face: between any mover and any venue, in real or virtual time.

Sans-IO like what it wraps. Faults begin and end at times of a Schedule, or when `start` says so;
dice come from the schedule's seed. While none is alive an event passes with one comparison.

What belongs to whom: faults_frames.py what goes out to clients, faults_requests.py what happens
between request and answer, faults_world.py the venue's clock, instruments and books.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    ConnKind,
    Event,
    Face,
    HttpRequest,
    Log,
    Tick,
    Trouble,
    WsClose,
    WsClosed,
    WsDrop,
    WsOpen,
    WsSend,
    WsText,
)
from engine.exchange.faults_frames import Frames
from engine.exchange.faults_requests import Requests
from engine.exchange.faults_schedule import (
    DelayFault,
    Fault,
    FrameFault,
    LinkFault,
    Live,
    RequestFault,
    Schedule,
)
from engine.exchange.faults_world import World
from engine.exchange.truth import FaultRecord

REFUSALS_KEPT = 1_000
Due = Callable[[int], list[Action]]  # at its time: what leaves


class Faulty:
    """A venue on which things go wrong. With an empty schedule: the venue."""

    def __init__(self, face: Face, schedule: Schedule | None = None) -> None:
        self.face = face
        self.name: str = face.name
        self.core: Core = face.core
        self.schedule = schedule or Schedule()
        self.hits: Counter[str] = Counter()
        self.live: dict[int, Live] = {}
        dice = Random(f"faults/{self.schedule.seed}")
        self._frames = Frames(dice, self._hit)
        self._requests = Requests(face, dice, self._hit)
        self._world = World(face, dice, self._refused)
        self._agenda: list[tuple[int, int, Due]] = []  # a heap
        self._agenda_count = 0
        self._fault_count = 0
        self._begun: Counter[int] = Counter()  # by the number of the first time
        self._beginning: Live | None = None
        self.refusals: dict[int, str] = {}  # by number, the last ones: why the venue wouldn't
        self._is_started = False
        self._is_over = False
        self._t_ns = 0

    # -- A FACE ---

    @property
    def skew_ns(self) -> int:
        return self.face.skew_ns

    @skew_ns.setter
    def skew_ns(self, value: int) -> None:
        self.face.skew_ns = value

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        return self.face.urls(rest_root, ws_root)

    def kind_of(self, target: str) -> ConnKind:
        return self.face.kind_of(target)

    def trouble(self, event: HttpRequest | WsText, kind: Trouble, retry_s: int) -> list[Action]:
        return self.face.trouble(event, kind, retry_s)

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        return self.face.expire_user_streams(t_ns)

    def end_of_age(self, t_ns: int) -> list[Action]:
        return self.face.end_of_age(t_ns)

    def next_due_ns(self) -> int:
        if not self._is_started and self.schedule.fault:
            return 0
        due_ns = self.face.next_due_ns()
        if self._agenda:
            due_ns = min(due_ns, self._agenda[0][0])
        return due_ns if self._frames.is_idle else min(due_ns, self._frames.next_due_ns())

    def step(self, event: Event, t_ns: int) -> list[Action]:
        if not self._is_started:
            self._begin_schedule(t_ns)
        is_quiet = self._frames.is_idle and self._requests.is_idle and self._world.is_idle
        if is_quiet and (not self._agenda or self._agenda[0][0] > t_ns):
            self._note(event)
            return self.face.step(event, t_ns)
        return self._troubled_step(event, t_ns)

    # -- FAULTS ---

    def start(self, fault: Fault, t_ns: int) -> int:
        """Begin `fault` now, whatever its `at`, with the next step; its number."""
        number = self._next_number()
        self._plan(fault, number, t_ns)
        return number

    def operator_sets(self, symbol: str) -> None:
        self._world.operator_sets(symbol)

    def _next_number(self) -> int:
        self._fault_count += 1
        return self._fault_count

    def end_all(self, t_ns: int) -> list[Action]:
        """Nothing goes wrong any more: live faults end now, none ever begins."""
        self._is_over = True
        return [said for live in list(self.live.values()) for said in self._end(live, t_ns)]

    def _begin_schedule(self, t_ns: int) -> None:
        """Its times count from here."""
        self._is_started = True
        for fault in self.schedule.fault:
            self._plan(fault, self._next_number(), t_ns + fault.at_ns)

    def _plan(self, fault: Fault, number: int, at_ns: int) -> None:
        """`number`: that of its first time; a repetition gets its own."""

        def due(now_ns: int) -> list[Action]:
            own = self._next_number() if self._begun[number] else number
            return self._begin(fault, own, now_ns, number)

        self._at(at_ns, due)

    def _at(self, at_ns: int, due: Due) -> None:
        self._agenda_count += 1
        heapq.heappush(self._agenda, (at_ns, self._agenda_count, due))

    def _begin(self, fault: Fault, number: int, t_ns: int, first: int) -> list[Action]:
        if self._is_over:
            return []
        self._begun[first] += 1
        if fault.every_ns and (not fault.count or self._begun[first] < fault.count):
            self._plan(fault, first, t_ns + fault.every_ns)
        live = Live(number, fault, t_ns, t_ns + fault.window_ns)
        self._t_ns = t_ns
        self._beginning = live
        said = self._say(live, "begin", self._words(fault))
        if isinstance(fault, FrameFault | DelayFault | LinkFault):
            caused = self._frames.begin(live)
        elif isinstance(fault, RequestFault):
            self._requests.begin(live)
            caused = []
        else:
            caused = self._world.begin(live)
            for conn in dict.fromkeys(conn for action in caused for conn in _conns(action)):
                self._hit(fault, f"connection {conn}")
            caused = self._frames.out(caused, t_ns)
        self._beginning = None
        if number in self.refusals:
            return [said, self._say(live, "refused", self.refusals[number])]
        if fault.window_ns:
            self.live[number] = live
            self._at(live.end_ns, lambda now_ns: self._end(live, now_ns))
        return [said, *caused]

    def _end(self, live: Live, t_ns: int) -> list[Action]:
        if self.live.pop(live.number, None) is None:
            return []  # end_all() was first
        self._t_ns = t_ns
        self._requests.end(live)
        self._world.end(live, t_ns)
        caused = self._frames.end(live)
        return [self._say(live, "end", self._words(live.fault)), *caused]

    def _words(self, fault: Fault) -> str:
        fields = fault.model_dump(by_alias=True, exclude_defaults=True, exclude={"kind"})
        return ", ".join(f"{name} {_plain(name, value)}" for name, value in fields.items())

    def _say(self, live: Live, phase: str, detail: str) -> Action:
        self._note_truth(live.fault.kind, phase, detail, live.number)
        text = f"fault {live.number} {live.fault.kind}: {phase}"
        return Log(False, f"{text} ({detail})" if detail else text)

    def _hit(self, fault: Fault, detail: str) -> None:
        self.hits[fault.kind] += 1
        lives = (live for live in self.live.values() if live.fault is fault)
        live = next(lives, self._beginning)
        self._note_truth(fault.kind, "hit", detail, live.number if live else 0)

    def _note_truth(self, kind: str, phase: str, detail: str, number: int) -> None:
        self.core.truth.add(FaultRecord(self._t_ns, kind, phase, detail, number))

    def _refused(self, live: Live, detail: str) -> None:
        """The world would not have it: a tape has no agents to shock."""
        self.refusals[live.number] = detail
        if len(self.refusals) > REFUSALS_KEPT:
            del self.refusals[min(self.refusals)]

    # -- STEPS WITH FAULTS ---

    def _troubled_step(self, event: Event, t_ns: int) -> list[Action]:
        self._t_ns = t_ns
        self._world.run(t_ns)
        self._requests.forget(t_ns)
        done: list[Action] = []
        while self._agenda and self._agenda[0][0] <= t_ns:
            at_ns, _, due = heapq.heappop(self._agenda)
            done += due(at_ns)  # at its own time, however late the mover is
        done += self._frames.release(t_ns)
        if not self._note(event):
            event = Tick()
        if isinstance(event, WsOpen) and (refusal := self._requests.limited(event, t_ns)):
            done += self._frames.out(self.face.step(Tick(), t_ns), t_ns)
            return done + refusal
        if isinstance(event, HttpRequest | WsText):
            # What time caused goes first, so that what is left is the event's own.
            done += self._frames.out(self.face.step(Tick(), t_ns), t_ns)
            own = self._answered(event, t_ns)
            reply_to = event.conn if isinstance(event, WsText) else 0
        else:
            own, reply_to = self.face.step(event, t_ns), 0
        return done + self._frames.out(own, t_ns, reply_to)

    def _answered(self, event: HttpRequest | WsText, t_ns: int) -> list[Action]:
        if isinstance(event, WsText) and self._frames.kind_of(event.conn) is not ConnKind.TRADE:
            return self.face.step(event, t_ns)
        if (refusal := self._requests.limited(event, t_ns)) is not None:
            return refusal
        live = self._requests.struck(event)
        if live is None:
            return self.face.step(event, t_ns)
        return self._requests.step(event, live, t_ns, self._later)

    def _later(self, at_ns: int, actions: list[Action]) -> None:
        self._at(at_ns, lambda now_ns: self._frames.out(self._frames.deliverable(actions), now_ns))

    def _note(self, event: Event) -> bool:
        """Keep up with connections; False: nobody may hear of this event."""
        if isinstance(event, WsOpen):
            self._frames.opened(event, self.face.kind_of(event.target))
            self._requests.opened(event)
            return True
        if isinstance(event, WsClosed):
            self._requests.closed(event.conn)
        if isinstance(event, WsClosed) or not self._frames.is_idle:
            return self._frames.note(event)
        return True


def _conns(action: Action) -> tuple[int, ...]:
    if isinstance(action, WsSend):
        return action.conns
    return (action.conn,) if isinstance(action, WsClose | WsDrop) else ()


def _plain(name: str, value: object) -> str:
    """Durations as a file would have them."""
    is_time = name in {"at", "every", "for", "by", "jitter", "late", "retry_after"}
    return f"{value / 1e9:g}s" if is_time and isinstance(value, int) else str(value)
