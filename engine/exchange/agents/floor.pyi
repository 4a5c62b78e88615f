"""What all agents of one market share; see floor.pyx."""

from collections.abc import Sequence
from typing import Final, final

from engine.exchange.agents.settings import AgentSettings
from engine.exchange.market_log import MarketLog

FIRST_AGENT_ORDER_ID: Final[int]

@final
class Floor:
    def __new__(
        cls, log: MarketLog, settings: AgentSettings, words: Sequence[int], px_ticks_max: int
    ) -> Floor: ...
    @property
    def log(self) -> MarketLog: ...
    @property
    def fair_ticks(self) -> float: ...
    @property
    def now_ns(self) -> int: ...
    def disturb(
        self, ticks: int, spread_ticks: int, empty_side: int, for_ns: int, now_ns: int
    ) -> None: ...
    def impact(self, side: int, qty_lots: int) -> None: ...
    def rescale(self, settings: AgentSettings, factor: int, px_ticks_max: int) -> None: ...
    def withdraw(self, now_ns: int) -> None: ...
