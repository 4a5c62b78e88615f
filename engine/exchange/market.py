"""The order-matching market: an L3 book with venue update ids, and seeded agents that trade it.

Agents and users share one book and one priority: a user's quote is hit by the agents' market
orders exactly as any other. The agents draw from their own dice and have their own clock, so the
background is the same for a seed however the server's turns fall; it differs only once a user's
order has changed the book. Agents are compiled (agents/) and their orders are numbers: in a Trade
`maker` and `taker` are users' orders, and None stands for an agent.
"""

import hashlib
import struct

from engine.exchange.agents.crowd import Crowd
from engine.exchange.agents.floor import FIRST_AGENT_ORDER_ID, Floor
from engine.exchange.agents.settings import AgentSettings, settings_of
from engine.exchange.book import BookOrder, Side, Touch
from engine.exchange.commands import Shock
from engine.exchange.events import DepthSnapshot, MarketEvent, StaleBook
from engine.exchange.instruments import E8, Listing
from engine.exchange.market_log import MarketLog
from engine.exchange.terms import NEVER_NS
from fastcore.limit_book import LimitBook
from fastcore.limit_rig import LimitRig

FIRST_UPDATE_ID = 5_000_000_000_000
FIRST_TRADE_ID = 5_000_000_000
ACTS_PER_TURN_MAX = 5_000  # a stalled server catches up over several turns, not in one


class AgentMarket:
    """A Market (events.py) over an L3 book. `is_quiet`: the opening book, and nobody but users
    to move it, until a shock makes the agents pull quotes."""

    def __init__(
        self,
        listing: Listing,
        seed: int,
        start_ns: int,
        *,
        settings: AgentSettings | None = None,
        is_quiet: bool = False,
    ) -> None:
        self.instrument = listing.instrument
        self.stale: StaleBook | None = None
        self._is_quiet = is_quiet
        self.settings = settings or settings_of(listing)
        self._users: dict[int, BookOrder] = {}  # resting, and the one being placed
        self._events: list[MarketEvent] = []
        self._log = MarketLog(LimitBook(), FIRST_UPDATE_ID, FIRST_TRADE_ID)
        self.book = LimitRig(self._log.book)
        words = struct.unpack("<4Q", _digest(f"{seed}/{self.instrument.key}"))
        self._floor = Floor(self._log, self.settings, words, self.instrument.px_ticks_max)
        self._crowd = Crowd(self._floor, start_ns)
        self._flush()
        self._events.clear()  # the opening was before anybody could listen

    # -- BACKGROUND ---

    def advance(self, now_ns: int) -> None:
        if self.next_due_ns() <= now_ns:
            self._crowd.advance(now_ns, ACTS_PER_TURN_MAX)
            self._flush()

    def next_due_ns(self) -> int:
        return NEVER_NS if self._is_quiet else self._crowd.due_ns

    def on_public_subscriber(self, now_ns: int) -> None:
        """Runs from the start, listened to or not."""

    # -- COMMANDS ---

    def place(
        self, order: BookOrder, rests: bool, now_ns: int, may_meet_own: bool = True
    ) -> BookOrder | None:
        """See Market.place. `leaves_lots` of makers and taker fall with their trades."""
        before_lots = order.leaves_lots
        self._users[order.order_id] = order
        is_resting, met_id = self._log.place_order(order, rests, may_meet_own, now_ns)
        self._flush()
        if not is_resting:
            self._users.pop(order.order_id, None)
        if order.leaves_lots < before_lots:
            self._floor.impact(order.side, before_lots - order.leaves_lots)
        return self._users[met_id] if met_id else None

    def cancel(self, order_id: int, now_ns: int) -> bool:
        if self._users.pop(order_id, None) is None:
            return False
        self._log.cancel_order(order_id, now_ns)
        self._flush()
        return True

    def shrink(self, order_id: int, qty_lots: int, now_ns: int) -> bool:
        """Take lots off a resting order, and off its `leaves_lots`; False when it does not rest
        or would have none left."""
        order = self._users.get(order_id)
        if order is None or not self._log.shrink_order(order_id, qty_lots, now_ns):
            return False
        order.leaves_lots -= qty_lots
        self._flush()
        return True

    # -- THE OPERATOR'S ---

    def disturb(self, shock: Shock, now_ns: int) -> bool:
        """What stands beyond the new fair value is swept at once, users' quotes too. Fair value
        comes back after `for_ns`, or stays where it is when that is 0. Shocks of different kinds
        may overlap."""
        empty_side = -1 if shock.empty_side is None else int(shock.empty_side)
        self._floor.disturb(shock.ticks, shock.spread_ticks, empty_side, shock.for_ns, now_ns)
        self._flush()
        return True

    def reset_sequence(self, now_ns: int) -> None:
        """The next change has update id 1."""
        self._log.update_id = 0

    def can_set_tick(self, factor: int) -> bool:
        """Money must not become finer than 1e-8."""
        finer = self.instrument.with_finer_tick(factor)
        return not finer.px.step * finer.qty.step * E8 % 1

    def set_tick(self, factor: int, now_ns: int) -> None:
        """Every price is `factor` times as many ticks now: the same prices, so there is nothing to
        tell of the book. ValueError while users' orders rest."""
        if self._users:
            raise ValueError(f"{len(self._users)} users' orders rest: they must end first")
        self.instrument = self.instrument.with_finer_tick(factor)
        self.settings = self.settings.with_finer_tick(factor)
        self._crowd.rescale(self.settings, factor, self.instrument.px_ticks_max)

    def withdraw(self, now_ns: int) -> None:
        """Every agent cancels all that it has in the book; a quiet market is empty then."""
        self._floor.withdraw(now_ns)
        self._flush()

    def pause(self, for_ns: int) -> None:
        self._crowd.pause(for_ns)

    # -- QUERIES ---

    def would_take(self, order: BookOrder) -> bool:
        return self.book.fillable_lots(order.side, order.px_ticks, 1) > 0

    def fillable_lots(self, order: BookOrder) -> int:
        return self.book.fillable_lots(order.side, order.px_ticks, order.leaves_lots)

    def touch(self) -> Touch:
        return self._log.touch()

    def last_px_ticks(self) -> int:
        return self._log.last_px_ticks

    def snapshot(self, count: int) -> DepthSnapshot:
        bids, asks = self.book.levels(Side.BUY, count), self.book.levels(Side.SELL, count)
        return DepthSnapshot(self._log.update_id, bids, asks)

    def drain(self) -> list[MarketEvent]:
        events, self._events = self._events, []
        return events

    @property
    def fair_ticks(self) -> float:
        """What the informed believe; nothing that a user could see."""
        return self._floor.fair_ticks

    @property
    def acts(self) -> int:
        """What agents did so far, count."""
        return self._crowd.acts

    def _flush(self) -> None:
        self._log.events(self.instrument.key, self._users, self._events)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


assert FIRST_AGENT_ORDER_ID > 1 << 60  # users' ids never meet the agents'
