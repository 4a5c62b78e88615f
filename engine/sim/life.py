"""One life of the engine: a session from its start to its ordered end, or to a kill.

A kill takes effect between two of the engine's steps: from that moment nothing that its tasks
still do reaches a socket, a file or anybody's ears.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from random import Random
from ssl import SSLContext
from typing import Any

from engine import clock
from engine.config import EngineConfig
from engine.errors import EXIT_OK
from engine.gateway.edge import Edge
from engine.gateway.handshake import Upgraded
from engine.gateway.http import TIMEOUT_S, HttpReply
from engine.gateway.parent import Output
from engine.session import Session
from engine.sim import death, frames
from engine.sim.loop import START_NS
from engine.sim.network import Network
from engine.sim.schedule import EngineFault

SEGMENT_BYTES = 4 << 20
HOUSEKEEPING_S = 0.25  # of the session's housekeeping, which touches no order
STATUS_S = 5.0  # nobody reads the page
TIMER_SPACE_S = 0.002  # a real engine's of up to five instruments; of fifty: every 100 ms
UNREAD = "at the end do not agree yet"
LINES_KEPT = 2_000  # of what the engine tells its parent


class Heard(Output):
    """What the engine tells its parent, kept."""

    def __init__(self, life: int, lines: deque[dict[str, Any]]) -> None:
        self.is_broken = False
        self.is_dead = False
        self.dropped = 0
        self.lines = lines
        self.counts: dict[str, int] = {}
        self._lasts: dict[str, dict[str, Any]] = {}
        self._life = {"life": life} if life else {}

    def emit(self, event: str, **fields: Any) -> None:
        if self.is_dead:
            return
        at_s = (clock.monotonic_ns() - START_NS) / 1e9
        line = {"event": event, "at_s": at_s, **self._life, **fields}
        self.counts[event] = self.counts.get(event, 0) + 1
        self._lasts[event] = line
        self.lines.append(line)

    def last(self, event: str) -> dict[str, Any]:
        return self._lasts.get(event, {})


class Life:
    """`run` once; `strike` and then `bury` end it early."""

    def __init__(
        self, number: int, config: EngineConfig, credentials: Mapping[str, tuple[str, str]],
        network: Network, lines: deque[dict[str, Any]],
    ) -> None:  # fmt: skip
        self.number = number
        self.config = config
        self.network = network
        self.heard = Heard(number, lines)
        self.is_struck = False
        self.exit_code: int | None = None
        self.has_started = False
        self.is_told = False  # to stop, before the run's end
        edge = Edge(
            self.dial, lambda _: self, SEGMENT_BYTES, HOUSEKEEPING_S, STATUS_S, TIMER_SPACE_S,
            has_control=False, locks_dir=None,
        )  # fmt: skip
        self.session = Session(config, credentials, self.heard, edge)
        self._files: death.Saved = {}

    @property
    def has_read_all(self) -> bool:
        """It stopped in order, and did not say that the next start has to read its end again."""
        said = str(self.heard.last("warning").get("what", ""))
        return self.exit_code == EXIT_OK and not (self.is_told and UNREAD in said)

    @property
    def run_dir(self) -> Path:
        return self.config.run_dir

    @property
    def _folders(self) -> list[Path]:
        return [self.config.run_dir, self.config.state_dir]

    def start(self) -> "asyncio.Task[int]":
        self.config.run_dir.mkdir(parents=True, exist_ok=True)
        return asyncio.create_task(self.session.run())

    # -- THE WORLD, UNTIL IT IS DEAD ---

    async def dial(
        self, url: str, what: str, timeout_s: float, tls: SSLContext | None = None
    ) -> Upgraded:
        await self._still_alive()
        return await self.network.dial(url, what, timeout_s, tls)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"",
        timeout_s: float = TIMEOUT_S,
    ) -> HttpReply:  # fmt: skip
        await self._still_alive()
        return await self.network.request(method, url, headers, body, timeout_s)

    async def close(self) -> None:
        """The session is done with HTTP."""

    async def _still_alive(self) -> None:
        if self.is_struck:
            await asyncio.get_running_loop().create_future()  # until it is cancelled

    # -- DEATH ---

    def strike(self, fault: EngineFault, dice: Random) -> bool:
        """Dead from this moment on; False: this is not the moment that the fault names."""
        files = death.saved(self._folders)
        marks = death.marks_of(files)
        whole = dict(files)
        from_seq = 1 + max((mark.seq for mark in marks), default=-1)
        if fault.moment != "any":
            after_input, first_send, sends = death.last_sends(marks)
            if not sends:
                return False
            from_seq = after_input if fault.moment == "input" else first_send
            if not death.cut(files, marks, from_seq):
                return False
            if not self._unsend(fault.moment, sends):
                return False
        if fault.is_torn:
            death.tear(files, marks, whole, from_seq, dice)
        self._files = files
        self.is_struck = self.heard.is_dead = True
        self.network.kill(fault.is_up_lost)
        self.session.stage.transport.stop()
        return True

    def _unsend(self, moment: str, sends: int) -> bool:
        """What left behind the moment did not leave. Behind the first `send` its message did."""
        count = sends - 1 if moment == "send" else sends
        if not self.network.just_sent:
            return False
        if not count:
            return True
        link = self.network.just_sent[-1]
        arrival_ns, data = link.up[-1]
        kept = frames.without_last(data, count)
        if kept is None:
            return False
        link.up.pop()
        if kept:
            link.up.append((arrival_ns, kept))
        return True

    async def bury(self, keep: "set[asyncio.Task[Any]]") -> None:
        """Its tasks end, its memory goes; `keep`: tasks that are none of its own."""
        tasks = [task for task in asyncio.all_tasks() if task not in keep]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        session, stage = self.session, self.session.stage
        for account in session.accounts:
            for role in account._roles.values():
                for slot in range(role.slots):
                    stage.transport.disconnect(role, slot)
        if session._writer is not None:
            session._writer.close()
        for instrument in session.instruments:
            instrument.close()
        if stage.log is not None:
            stage.log.close()
        for account in session.accounts:
            account.lock.release()
        death.restore(self._folders, self._files)
        self._files = {}
