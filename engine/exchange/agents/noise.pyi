"""See noise.pyx; only crowd.pyx makes one."""

from typing import final

from engine.exchange.agents.floor import Floor

@final
class Noise:
    def __new__(cls, floor: Floor) -> Noise: ...
