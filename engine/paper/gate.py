"""The paper exchange while its feed is down: no market data, no new orders; cancels work.

A market that is not known must not be quoted. So market-data connections end and are refused, as
if the venue were gone, and the engine halts by its own rules; what rests fills only once it is
known again where the market is.
"""

from engine.exchange.commands import SetState
from engine.exchange.face import (
    Action,
    ConnKind,
    Event,
    Face,
    Log,
    Tick,
    WsClosed,
    WsDrop,
    WsOpen,
    WsRefuse,
)
from engine.exchange.faults import Faulty
from engine.exchange.terms import MarketState
from engine.exchange.truth import FaultRecord

DOWN = '{"code":-1,"msg":"the live feed is down"}'


class Gate(Faulty):
    """A face; begins closed."""

    def __init__(self, face: Face) -> None:
        super().__init__(face)
        self.is_up = False
        self._market_conns: set[int] = set()

    def step(self, event: Event, t_ns: int) -> list[Action]:
        if isinstance(event, WsOpen) and self.kind_of(event.target) is ConnKind.MARKET:
            if not self.is_up:
                return [WsRefuse(event.conn, 503, DOWN)]
            self._market_conns.add(event.conn)
        elif isinstance(event, WsClosed):
            self._market_conns.discard(event.conn)
        return super().step(event, t_ns)

    def open(self, t_ns: int) -> list[Action]:
        """The feed is whole: what waited is served, and orders are taken again."""
        if self.is_up:
            return []
        self.is_up = True
        self._set_states(MarketState.TRADING, t_ns)
        self.core.truth.add(FaultRecord(t_ns, "feed", "end", "the live feed is up", 0))
        return [Log(False, "the live feed is up"), *self.step(Tick(), t_ns)]

    def close(self, why: str, t_ns: int) -> list[Action]:
        if not self.is_up:
            return []
        self.is_up = False
        self._set_states(MarketState.HALTED, t_ns)
        self.core.truth.add(FaultRecord(t_ns, "feed", "begin", why, 0))
        cut: list[Action] = [WsDrop(conn) for conn in sorted(self._market_conns)]
        return [Log(True, f"the live feed is down: {why}"), *cut, *self.step(Tick(), t_ns)]

    def _set_states(self, state: MarketState, t_ns: int) -> None:
        for key in self.core.markets:
            self.core.operate(SetState(key, state), t_ns)
