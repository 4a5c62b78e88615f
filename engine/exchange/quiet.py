"""When the first of a core's markets is due, kept as long as nothing can have changed it.

Of fifty markets one or two are due at a time, and to ask each of them at every step is most of
what a step costs. Tapes and live feeds have a mind of their own: they are asked.
"""

from collections.abc import Mapping

from engine.exchange.events import Market
from engine.exchange.market import AgentMarket
from engine.exchange.terms import NEVER_NS, MarketState


class Quiet:
    """`states` is the core's own: only who trades is asked."""

    def __init__(
        self, markets: Mapping[str, Market], states: Mapping[str, MarketState]
    ) -> None:
        self._markets = markets
        self._states = states
        self._is_kept = all(isinstance(market, AgentMarket) for market in markets.values())
        self._until_ns = -1  # -1: not known
        self._is_stirred = True  # a market may have something to tell, due or not

    def stir(self) -> None:
        """Whatever comes now may change a market."""
        self._is_stirred, self._until_ns = True, -1

    def take(self, t_ns: int) -> bool:
        """Whether markets must be looked at now; they will be."""
        if not self._is_stirred and t_ns < self._until_ns:
            return False
        self._is_stirred, self._until_ns = False, -1
        return True

    def due_ns(self) -> int:
        due_ns = self._until_ns
        if due_ns < 0:
            states = self._states
            due_ns = min((
                market.next_due_ns()
                for symbol, market in self._markets.items()
                if states[symbol] is MarketState.TRADING
            ), default=NEVER_NS)  # fmt: skip
            if self._is_kept:
                self._until_ns = due_ns
        return due_ns
