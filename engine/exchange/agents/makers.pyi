"""See makers.pyx; only crowd.pyx makes one."""

from typing import final

from engine.exchange.agents.floor import Floor

@final
class Makers:
    def __new__(cls, floor: Floor) -> Makers: ...
