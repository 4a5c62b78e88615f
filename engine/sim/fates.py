"""What befalls the engine's process: kills at their moment, and again while it starts; ordered
stops, and kills before they are over."""

import asyncio
from random import Random

from engine.sim.life import Life
from engine.sim.loop import START_NS
from engine.sim.network import Network
from engine.sim.schedule import EngineFault

MOMENT_S = 3.0  # a kill that waits for its moment comes anyway after that


class Fates:
    """Of the last of `lives`, until `is_over`."""

    def __init__(self, network: Network, lives: list[Life], dice: Random) -> None:
        self.kills = 0
        self.stops = 0
        self.is_over = False  # the run ends: nothing befalls it any more
        self.down_ns = 0  # until it is started again
        self.struck = asyncio.Event()
        self._loop = network.loop
        self._network = network
        self._lives = lives
        self._dice = dice
        self._waiting: list[EngineFault] = []  # kills whose time has come, but not their moment
        self._last: EngineFault | None = None  # kill
        network.on_collected = self._on_collected

    def begin(self, fault: EngineFault) -> None:
        if fault.kind == "stop":
            self._stop(fault)
        elif fault.moment == "any":
            self._kill(fault)
        else:
            self._waiting.append(fault)
            self._later(round(MOMENT_S * 1e9), self._kill_late, fault)

    def on_life(self, life: Life) -> None:
        """A new one has begun: who was killed may be killed once more while he starts."""
        fault, self._last = self._last, None
        if fault is not None and fault.again_ns:
            once = fault.model_copy(update={"moment": "any", "again_ns": 0})
            self._later(fault.again_ns, self._kill_life, (life, once))

    def end(self) -> None:
        self.is_over = True
        self._waiting.clear()

    # -- KILLS, STOPS ---

    def _later(self, after_ns: int, call: object, arg: object) -> None:
        self._loop.at_ns(self._loop.monotonic_ns() + after_ns, call, arg)  # type: ignore[arg-type]

    def _is_mortal(self, life: Life) -> bool:
        """Who is down already can't be killed."""
        return not (life.is_struck or life.exit_code is not None or self.is_over)

    def _kill_late(self, fault: EngineFault) -> None:
        if fault in self._waiting:
            self._waiting.remove(fault)
            self._kill(fault.model_copy(update={"moment": "any"}))

    def _kill_life(self, both: tuple[Life, EngineFault]) -> None:
        if both[0] is self._lives[-1]:
            self._kill(both[1])

    def _on_collected(self) -> None:
        """The engine has done what it could at this moment; what it sent has not left yet."""
        if self._waiting and self._network.just_sent and self._kill(self._waiting[0]):
            self._waiting.pop(0)

    def _kill(self, fault: EngineFault) -> bool:
        """False: not at this moment."""
        if not self._lives or not self._is_mortal(self._lives[-1]):
            return True
        if fault.moment == "any":
            self._network.collect()  # what it wrote, it wrote
        life = self._lives[-1]
        if life.is_struck:  # by the collection
            return True
        if not life.strike(fault, self._dice):
            return False
        self.kills += 1
        self.down_ns, self._last = fault.for_ns, fault
        at_s = (self._loop.monotonic_ns() - START_NS) / 1e9
        life.heard.lines.append({"event": "killed", "at_s": at_s, "moment": fault.moment})
        self.struck.set()
        return True

    def _stop(self, fault: EngineFault) -> None:
        """Told to stop in order, and maybe killed before it has."""
        life = self._lives[-1]
        if life.is_told or not self._is_mortal(life):
            return
        self.stops += 1
        self.down_ns = fault.for_ns
        life.is_told = True
        life.session.stop()
        if fault.killed_ns:
            for_ = f"{fault.for_ns // 1_000}us"
            kill = EngineFault.model_validate({"kind": "kill", "for": for_})
            self._later(fault.killed_ns, self._kill_life, (life, kill))
