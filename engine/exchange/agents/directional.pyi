"""See directional.pyx; only crowd.pyx makes one."""

from typing import final

from engine.exchange.agents.floor import Floor

@final
class Directional:
    def __new__(cls, floor: Floor) -> Directional: ...
