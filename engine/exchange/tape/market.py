"""The recorded market: a tape's own frames at its own pace, users matched by queue position.

Time starts when somebody subscribes, so that no client misses the head of a short tape; markets
of one Timeline start together and keep their recorded distance. Frames keep their recorded
times: their clock is the recording's, not the exchange's. The REST depth is the book rebuilt so
far; until the first diff has joined it, the recorded snapshot, which the diffs being served lead
up to. At the end the market stands still and orders are still answered.
"""

from collections import deque

from engine.errors import TickmakerError
from engine.exchange.events import Notice
from engine.exchange.tape.frames import FrameMarket
from engine.exchange.tape.messages import DepthMessage, Message, Recording
from engine.exchange.terms import NEVER_NS

MESSAGES_PER_TURN_MAX = 1_000
APART_NS_MAX = 600_000_000_000  # recordings that begin further apart are no one session


class Timeline:
    """When recorded moments happen, for every tape that shares it."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._origin_ns = NEVER_NS
        self.start_ns = 0  # 0: nobody has subscribed yet

    def join(self, first_recv_ns: int) -> None:
        self._origin_ns = min(self._origin_ns, first_recv_ns)

    def start(self, now_ns: int) -> None:
        if not self.start_ns:
            self.start_ns = now_ns

    def due_ns(self, recv_ts_ns: int) -> int:
        if not self.start_ns:
            return NEVER_NS
        return self.start_ns + int((recv_ts_ns - self._origin_ns) / self._speed)

    def lag_ns(self, first_recv_ns: int) -> int:
        """By how much a tape begins after the first."""
        return first_recv_ns - self._origin_ns


class TapeMarket(FrameMarket):
    """A Market (events.py) over a Recording."""

    def __init__(
        self, recording: Recording, speed: float = 1.0, timeline: Timeline | None = None
    ) -> None:
        super().__init__(recording.instrument, recording.rule, recording.streams)
        self._timeline = timeline or Timeline(speed)
        self._messages = recording.messages
        self._ahead: deque[Message] = deque()  # read while looking for the snapshot
        self._shift_ns = 0  # of recorded time
        self._paused_ns = 0
        self._events += [Notice(False, text) for text in recording.notices]
        self._find_snapshot()
        self.first_recv_ns = min((m.recv_ts_ns for m in self._ahead), default=NEVER_NS)
        self._next = self._read()
        if self._next is not None:
            self.first_recv_ns = min(self.first_recv_ns, self._next.recv_ts_ns)
        self._timeline.join(self.first_recv_ns)

    def _find_snapshot(self) -> None:
        """Read ahead to the first snapshot; open_recording has seen that there is one."""
        for message in self._messages:
            self._ahead.append(message)
            if isinstance(message, DepthMessage) and message.is_snapshot:
                self.book.apply_snapshot(message)
                return

    def align(self) -> None:
        """With all tapes of the timeline known: one of another day begins with the others."""
        lag_ns = self._timeline.lag_ns(self.first_recv_ns)
        if self._next is not None and lag_ns > APART_NS_MAX:
            self._shift_ns = lag_ns
            text = f"{self.instrument.key}: recorded {lag_ns // 10**9} s after the first tape"
            self._events.append(Notice(False, f"{text}; served together with it"))

    # -- BACKGROUND ---

    @property
    def started_ns(self) -> int:
        """When the first moment of the recording happened; 0: not yet."""
        return self._timeline.start_ns

    def on_public_subscriber(self, now_ns: int) -> None:
        self._timeline.start(now_ns)

    def next_due_ns(self) -> int:
        if self._next is None:
            return NEVER_NS
        due_ns = self._timeline.due_ns(self._next.recv_ts_ns - self._shift_ns)
        return min(due_ns + self._paused_ns, NEVER_NS)

    def pause(self, for_ns: int) -> None:
        self._paused_ns += for_ns

    def advance(self, now_ns: int) -> None:
        for _ in range(MESSAGES_PER_TURN_MAX):
            message = self._next
            if message is None or self.next_due_ns() > now_ns:
                return
            self._apply(message, now_ns)
            self._next = self._read()
            if self._next is None:
                text = f"end of the tape of {self.instrument.key} after {self.served} frames"
                text += f"; {self.book.gaps} gaps; the market stands still"
                self._events.append(Notice(False, text))

    def _read(self) -> Message | None:
        """The next message; a file that breaks here ends the tape with a notice."""
        while True:
            try:
                message = self._ahead.popleft() if self._ahead else next(self._messages, None)
            except TickmakerError as error:
                self._messages = iter(())
                self._events.append(Notice(True, str(error)))
                return None
            if not isinstance(message, DepthMessage) or message.frame is not None:
                return message
            # A REST snapshot takes no time and nobody is sent it; it mends a broken chain.
            if self.book.is_broken:
                self.book.apply_snapshot(message)
                self.queue.on_snapshot()
