"""Mark and index prices, funding rates: once a second for every derivative. Pure."""

from collections.abc import Mapping

from engine.exchange.events import Market, MarkUpdate
from engine.exchange.instruments import Kind
from engine.exchange.rules import Rules
from engine.exchange.terms import NEVER_NS

SECOND_NS = 1_000_000_000


class Marks:
    """The mark is the mid, rounded down; funding times are whole multiples of the interval."""

    def __init__(self, markets: Mapping[str, Market], rules: Rules) -> None:
        self._markets = markets
        self._rules = rules
        self._symbols = [
            symbol
            for symbol, market in markets.items()
            if market.instrument.kind is Kind.LINEAR and rules.funding_every_ns
        ]
        self._next_funding_ns = 0
        self.due_ns = 0 if self._symbols else NEVER_NS
        self.last: dict[str, MarkUpdate] = {}

    def advance(self, t_ns: int) -> list[tuple[MarkUpdate, bool]]:
        """One update a derivative, and whether funding is paid with it."""
        self.due_ns = (t_ns // SECOND_NS + 1) * SECOND_NS
        every_ns = self._rules.funding_every_ns
        is_funding = 0 < self._next_funding_ns <= t_ns
        self._next_funding_ns = (t_ns // every_ns + 1) * every_ns
        updates: list[tuple[MarkUpdate, bool]] = []
        for symbol in self._symbols:
            px_ticks = self._mid_ticks(symbol) or self.px_ticks(symbol)
            if not px_ticks:
                continue  # never had a price
            rate_e8 = self._rules.funding_rate_e8
            update = MarkUpdate(t_ns, symbol, px_ticks, px_ticks, rate_e8, self._next_funding_ns)
            self.last[symbol] = update
            updates.append((update, is_funding))
        return updates

    def px_ticks(self, symbol: str) -> int:
        """What a position is worth: the last mark; before the first one the mid, or what there is
        of it."""
        if last := self.last.get(symbol):
            return last.mark_px_ticks
        bid, _, ask, _ = self._markets[symbol].touch()
        return self._mid_ticks(symbol) or bid or ask

    def _mid_ticks(self, symbol: str) -> int:
        """0 while a side is empty: the last mark stands then."""
        bid, _, ask, _ = self._markets[symbol].touch()
        return (bid + ask) // 2 if bid and ask else 0

    def rescale(self, symbol: str, factor: int) -> None:
        """The tick became `factor` times finer."""
        if last := self.last.get(symbol):
            self.last[symbol] = last._replace(
                mark_px_ticks=last.mark_px_ticks * factor,
                index_px_ticks=last.index_px_ticks * factor,
            )
