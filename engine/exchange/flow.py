"""Seeded order flow: agents that make a book worth quoting in. Pure; one step, one decision.

A latent fair value (Brownian noise, a momentum that decays, a weak pull to the start) is what
the informed part of the flow leans on; arrivals excite one another (Hawkes, branching about
one half) and rare bursts multiply the rate. Takers keep their side with some persistence, so
order flow is autocorrelated. Makers rest near the fair value, pull quotes that it has passed,
and keep some two hundred levels a side filled. Times are ns since the start.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from engine.exchange.book import BACKGROUND, Book, BookOrder, Side

FIRST_AGENT_ORDER_ID = 1 << 61
S = 1_000_000_000


@dataclass(frozen=True)
class FlowParams:
    """Rates per second, prices in ticks, quantities in lots, times in seconds."""

    event_rate: float = 260.0
    excitation_per_trade: float = 0.10
    excitation_tau: float = 0.25
    burst_rate: float = 0.15
    burst_excitation: float = 5.0
    fair_sigma: float = 10.0
    momentum_sigma: float = 4.0
    momentum_tau: float = 3.0
    burst_momentum: float = 15.0
    reversion_tau: float = 30.0
    half_spread: float = 1.0
    lean_ticks: float = 12.0
    spread_max: int = 10
    level_count: int = 200
    taker_share: float = 0.045
    cancel_share: float = 0.44
    side_persistence: float = 0.65
    taker_lots: float = 25.0
    maker_lots: float = 80.0
    lots_max: int = 5_000


class AgentFlow:
    """Draws the next background action; `due_ns` is when it happens."""

    def __init__(self, seed: str, start_px_ticks: int, params: FlowParams | None = None) -> None:
        self.params = params or FlowParams()
        self.due_ns = 0
        self.fair_ticks = float(start_px_ticks)
        self._anchor_ticks = float(start_px_ticks)
        self._momentum = 0.0
        self._excitation = 0.0
        self._taker_side = Side.BUY
        self._random = random.Random(seed)
        self._next_order_id = FIRST_AGENT_ORDER_ID

    def opening_orders(self) -> Iterator[BookOrder]:
        """A full book round the starting price."""
        for side in Side:
            px_ticks = round(self.fair_ticks) - side.sign
            for _ in range(self.params.level_count):
                for _ in range(self._random.randint(1, 3)):
                    yield self._order(side, px_ticks, self._lots(self.params.maker_lots))
                px_ticks -= side.sign * self._random.choice((1, 1, 1, 2, 3))

    def step(self, book: Book) -> list[BookOrder | int]:
        """The action due now (orders to place; ids to cancel), then the next due time."""
        draw = self._random.random()
        params = self.params
        actions: list[BookOrder | int] = []
        if not book.best(Side.BUY) or not book.best(Side.SELL):
            actions += [self._near(side, book) for side in Side if not book.best(side)]
        elif draw < params.taker_share:
            actions.append(self._take(book))
            self._excitation += params.excitation_per_trade
        elif draw < params.taker_share + params.cancel_share:
            actions += self._pull(book)
        else:
            actions += self._make(book)
        self._schedule()
        return actions

    # -- AGENTS ---

    def _take(self, book: Book) -> BookOrder:
        """A market order; the side persists, else leans to where the fair value is."""
        rng = self._random
        if rng.random() > self.params.side_persistence:
            bid, _, ask, _ = book.touch()
            lean = (self.fair_ticks - (bid + ask) / 2) / self.params.lean_ticks
            buys = 0.5 + 0.3 * max(-1.0, min(1.0, lean))
            self._taker_side = Side.BUY if rng.random() < buys else Side.SELL
        lots = self._lots(self.params.taker_lots)
        best = book.best(self._taker_side.opposite)
        if best and rng.random() < 0.12:
            lots = min(best[1], self.params.lots_max)
        return self._order(self._taker_side, 0, lots)

    def _pull(self, book: Book) -> list[BookOrder | int]:
        """Cancel one background order, mostly near the touch; quotes past fair value first."""
        rng = self._random
        side = Side(rng.randrange(2))
        best = book.best(side)
        if best and (best[0] - self.fair_ticks) * side.sign > self.params.half_spread:
            index = 0
        elif book.level_count(side) > self.params.level_count * 1.15:
            index = book.level_count(side) - 1
        else:
            index = int(rng.expovariate(1 / 12.0))
        if index >= book.level_count(side):
            return []
        _, level = book.level_at(side, index)
        ours = [order for order in level.orders.values() if order.account == BACKGROUND]
        return [rng.choice(ours).order_id] if ours else []

    def _make(self, book: Book) -> list[BookOrder | int]:
        """Rest a limit order: at the touch, near it, or far where the book is thin."""
        rng = self._random
        side = Side(rng.randrange(2))
        bid, _, ask, _ = book.touch()
        if ask - bid > self.params.spread_max:
            is_bid_far = self.fair_ticks - bid > ask - self.fair_ticks
            return [self._near(Side.BUY if is_bid_far else Side.SELL, book)]
        draw = rng.random()
        if draw < 0.40:
            return [self._near(side, book)]
        if draw < 0.55 or book.level_count(side) < self.params.level_count:
            px_ticks, _ = book.level_at(side, -1)
            distance = rng.randint(1, 3)
        else:
            px_ticks = bid if side is Side.BUY else ask
            distance = int(rng.expovariate(1 / 15.0))
        px_ticks = max(1, px_ticks - side.sign * distance)
        return [self._order(side, px_ticks, self._lots(self.params.maker_lots))]

    def _near(self, side: Side, book: Book) -> BookOrder:
        """A quote where the fair value allows, never crossing, at most one tick inside."""
        px_ticks = round(self.fair_ticks - side.sign * self.params.half_spread)
        best, other = book.best(side), book.best(side.opposite)
        if best and self._random.random() < 0.6:
            px_ticks = best[0] if (px_ticks - best[0]) * side.sign <= 2 else px_ticks
        if other:
            limit = other[0] - side.sign
            px_ticks = min(px_ticks, limit) if side is Side.BUY else max(px_ticks, limit)
        return self._order(side, max(1, px_ticks), self._lots(self.params.maker_lots))

    # -- CLOCK AND FAIR VALUE ---

    def _schedule(self) -> None:
        rng, params = self._random, self.params
        rate = params.event_rate * (1.0 + self._excitation)
        gap_s = rng.expovariate(rate)
        self.due_ns += max(1, int(gap_s * S))
        self._excitation *= math.exp(-gap_s / params.excitation_tau)
        if rng.random() < params.burst_rate * gap_s:
            self._excitation += params.burst_excitation
            self._momentum += params.burst_momentum * rng.choice((-1.0, 1.0))
        decay = math.exp(-gap_s / params.momentum_tau)
        noise = params.momentum_sigma * math.sqrt(1.0 - decay * decay)
        self._momentum = self._momentum * decay + rng.gauss(0.0, noise)
        pull = (self._anchor_ticks - self.fair_ticks) / params.reversion_tau
        drift = (self._momentum + pull) * gap_s
        self.fair_ticks += drift + rng.gauss(0.0, params.fair_sigma * math.sqrt(gap_s))

    # -- DRAWS ---

    def _lots(self, median: float) -> int:
        draw = int(self._random.lognormvariate(math.log(median), 1.2))
        return max(1, min(draw, self.params.lots_max))

    def _order(self, side: Side, px_ticks: int, lots: int) -> BookOrder:
        self._next_order_id += 1
        return BookOrder(self._next_order_id, side, px_ticks, lots)
