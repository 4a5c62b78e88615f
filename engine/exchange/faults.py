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
    WsClosed,
    WsOpen,
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
from engine.exchange.terms import NEVER_NS
from engine.exchange.truth import FaultRecord

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
        self._count = 0  # of everything that was numbered here
        self._begun: Counter[int] = Counter()
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
        own_ns = self._agenda[0][0] if self._agenda else NEVER_NS
        return min(own_ns, self._frames.next_due_ns(), self.face.next_due_ns())

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
        """Begin `fault` now, whatever its `at`; the number that its log lines have."""
        self._count += 1
        number = self._count
        self._at(t_ns, lambda now_ns: self._begin(fault, number, now_ns))
        return number

    def end_all(self, t_ns: int) -> list[Action]:
        """Nothing goes wrong any more: live faults end now, none ever begins."""
        self._is_over = True
        return [said for live in list(self.live.values()) for said in self._end(live, t_ns)]

    def _begin_schedule(self, t_ns: int) -> None:
        """Its times count from here."""
        self._is_started = True
        for fault in self.schedule.fault:
            self._count += 1
            self._plan(fault, self._count, t_ns + fault.at_ns)

    def _plan(self, fault: Fault, number: int, at_ns: int) -> None:
        self._at(at_ns, lambda now_ns: self._begin(fault, number, now_ns))

    def _at(self, at_ns: int, due: Due) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at_ns, self._count, due))

    def _begin(self, fault: Fault, number: int, t_ns: int) -> list[Action]:
        if self._is_over:
            return []
        self._begun[number] += 1
        if fault.every_ns and (not fault.count or self._begun[number] < fault.count):
            self._plan(fault, number, t_ns + fault.every_ns)
        self._count += 1
        live = Live(self._count, fault, t_ns, t_ns + fault.window_ns)
        self._t_ns = t_ns
        said = self._say(live, "begin")
        if fault.window_ns:
            self.live[live.number] = live
            self._at(live.end_ns, lambda now_ns: self._end(live, now_ns))
        if isinstance(fault, FrameFault | DelayFault | LinkFault):
            return [said, *self._frames.begin(live)]
        if isinstance(fault, RequestFault):
            self._requests.begin(live)
            return [said]
        return [said, *self._frames.out(self._world.begin(live), t_ns)]

    def _end(self, live: Live, t_ns: int) -> list[Action]:
        if self.live.pop(live.number, None) is None:
            return []  # end_all() was first
        self._t_ns = t_ns
        self._requests.end(live)
        self._world.end(live, t_ns)
        return [self._say(live, "end"), *self._frames.end(live)]

    def _say(self, live: Live, phase: str) -> Action:
        fields = live.fault.model_dump(by_alias=True, exclude_defaults=True, exclude={"kind"})
        detail = ", ".join(f"{name} {_plain(name, value)}" for name, value in fields.items())
        self.core.truth.add(FaultRecord(self._t_ns, live.fault.kind, phase, detail))
        return Log(False, f"fault {live.fault.kind}: {phase}" + (f" ({detail})" if detail else ""))

    def _hit(self, fault: Fault, detail: str) -> None:
        self.hits[fault.kind] += 1
        self.core.truth.add(FaultRecord(self._t_ns, fault.kind, "hit", detail))

    def _refused(self, fault: Fault, detail: str) -> None:
        """The world would not have it: a tape has no agents to shock."""
        self.core.truth.add(FaultRecord(self._t_ns, fault.kind, "refused", detail))

    # -- STEPS WITH FAULTS ---

    def _troubled_step(self, event: Event, t_ns: int) -> list[Action]:
        self._t_ns = t_ns
        self._world.run(t_ns)
        done: list[Action] = []
        while self._agenda and self._agenda[0][0] <= t_ns:
            at_ns, _, due = heapq.heappop(self._agenda)
            done += due(at_ns)  # at its own time, however late the mover is
        done += self._frames.release(t_ns)
        if not self._note(event):
            event = Tick()
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
            return True
        if isinstance(event, WsClosed) or not self._frames.is_idle:
            return self._frames.note(event)
        return True


def _plain(name: str, value: object) -> str:
    """Durations as a file would have them."""
    is_time = name in {"at", "every", "for", "by", "jitter", "late", "retry_after"}
    return f"{value / 1e9:g}s" if is_time and isinstance(value, int) else str(value)
