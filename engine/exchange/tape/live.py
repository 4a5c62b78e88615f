"""The venue as it is now: its frames as they arrive, users matched by queue position.

Somebody else holds the connection to the venue and pushes what comes (engine/paper). A book is
known once a snapshot and the diffs that came meanwhile join; until then frames wait. A diff that
does not follow is not served and moves nothing: the market stands still, `is_lost` says so, and
whoever holds the connection begins anew.
"""

from collections import deque
from collections.abc import Iterable

from engine.exchange.instruments import Instrument
from engine.exchange.tape.book import TapeBook
from engine.exchange.tape.frames import FrameMarket
from engine.exchange.tape.messages import DepthMessage, Message
from engine.exchange.terms import NEVER_NS
from fastcore.types import SyncRule

WAITING_MAX = 100_000  # frames of a connection whose snapshot does not come


class LiveMarket(FrameMarket):
    """A Market (events.py) over a live connection."""

    def __init__(self, instrument: Instrument, rule: SyncRule, streams: tuple[str, ...]) -> None:
        super().__init__(instrument, rule, streams)
        self._rule = rule
        self._waiting: deque[Message] = deque()
        self.is_ready = False  # a snapshot is there that what came since follows
        self.is_lost = False  # something is missing: until `begin`

    # -- THE CONNECTION'S ---

    def begin(self) -> None:
        """Of a new connection: what came over the one before says nothing any more."""
        self._waiting.clear()
        self.book.forget_best()
        self.is_ready = self.is_lost = False

    def lose(self) -> None:
        """What happens at the venue is not known any more."""
        self.begin()
        self.is_lost = True

    def push(self, message: Message) -> None:
        """A frame came; a stream's own snapshot makes the market ready."""
        if self.is_lost:
            return
        if len(self._waiting) >= WAITING_MAX:
            self.lose()
            return
        self._waiting.append(message)
        if isinstance(message, DepthMessage) and message.is_snapshot:
            self.is_ready = True

    def join(self, snapshot: DepthMessage) -> bool:
        """A snapshot of REST; False where it is older than what came, and another is needed."""
        trial = TapeBook(self._rule)
        trial.apply_snapshot(snapshot)
        for message in self._waiting:
            if isinstance(message, DepthMessage):
                trial.apply_depth(message)
        if trial.is_broken:
            return False
        self._waiting.appendleft(snapshot)
        self.is_ready = True
        return True

    # -- BACKGROUND ---

    def on_public_subscriber(self, now_ns: int) -> None:
        """Runs from the start, listened to or not."""

    def next_due_ns(self) -> int:
        return 0 if self.is_ready and self._waiting else NEVER_NS

    def pause(self, for_ns: int) -> None:
        """The venue does not pause for us."""

    def advance(self, now_ns: int) -> None:
        while self.is_ready and self._waiting:
            message = self._waiting.popleft()
            if isinstance(message, DepthMessage) and not self.book.takes(message):
                self.lose()
                return
            self._apply(message, now_ns)


def streams_of(plan_url: str, texts: Iterable[dict[str, object]], prefix: str) -> tuple[str, ...]:
    """Names of the streams that a connection is opened with: of its URL, and of what it says."""
    names = plan_url.partition("streams=")[2].split("/")
    for text in texts:
        wanted = text.get("params") or text.get("args") or ()
        names += [str(name) for name in wanted] if isinstance(wanted, list) else []
    return tuple(prefix + name for name in names if name)
