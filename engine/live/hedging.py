"""Hedges of a running session: look, decide (engine/execution/hedger.py), log the plan, send.

A look is some counters, between two turns of the loop, every LOOK_S; books are read when a fill
was booked, and while something is open. So a hedge leaves some milliseconds after the fill that
asks for it: it is decided here, beside the hot path, because what it takes may be at any venue.

A plan is in events.jsonl before its first order leaves. Each venue's core sends its first slice,
past its own gate, as an intent of the run like any other; at most one is on its way at a venue.
What stays open (slices behind the first, what the book no longer held, what a gate denied) is
decided anew after the pause, from the books of then.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine import clock
from engine.config import EngineConfig, HedgeConfig
from engine.errors import EXIT_UNSAFE, TickmakerError
from engine.execution.hedger import UNHEARD, Decision, Leg, OpenOrder, decide
from engine.execution.router import Plan, Slice, decimal_text
from engine.live.account import LiveAccount
from engine.live.instrument import LiveInstrument
from engine.live.stage import Stage
from fastcore.gate import CODES
from fastcore.types import Halt, OrderState, Side

REASON = -2_000  # of a hedge's takes in the journal, less its place in the file (HEDGE records)
LOOK_S = 0.002
OPEN_NS = 5_000_000  # between two decisions while something is on its way, or in the way
IDLE_NS = 250_000_000  # ... and while nothing is
ASIDE_NS_MAX = 10_000_000_000  # a venue that fills nothing again and again
WARN_NS = 5_000_000_000  # open for so long, and nothing filled for it: a person should know
AGAIN_NS = 60_000_000_000


class Hedging:
    """All hedges of a session."""

    def __init__(
        self, stage: Stage, accounts: Sequence[LiveAccount], instruments: Sequence[LiveInstrument]
    ) -> None:
        by_key = {instrument.key: instrument for instrument in instruments}
        by_name = {account.name: account for account in accounts}
        self.hedges = [
            Hedge(stage, config, REASON - number, [
                _Place(by_key[key], by_name[by_key[key].config.account]) for key in config.keys
            ])
            for number, config in enumerate(stage.config.hedges)
        ]  # fmt: skip
        self.is_over = False

    async def keep(self) -> None:
        """Until the shutdown has pulled the quotes."""
        while not self.is_over:
            now_ns = clock.monotonic_ns()
            for hedge in self.hedges:
                hedge.look(now_ns)
            await asyncio.sleep(LOOK_S)

    def end(self) -> None:
        """No order leaves any more; what is on its way is the shutdown's to wait for."""
        self.is_over = True

    def tell_last(self) -> None:
        """What the end leaves open."""
        for hedge in self.hedges:
            hedge.tell_last()

    def told(self) -> dict[str, Any]:
        """For the status page, by name."""
        return {hedge.config.name: hedge.told() for hedge in self.hedges}


def refuse_first(config: EngineConfig, instruments: Sequence[LiveInstrument]) -> None:
    """What an instrument's first start finds is held for a purpose that we don't know: a hedge
    must not trade it away at once. What an earlier run left open is the hedge's to close."""
    for hedge in config.hedges:
        own = [instrument for instrument in instruments if instrument.key in hedge.keys]
        held = {one.key: _held(one) for one in own}
        found = sum((held[one.key] for one in own if one.previous is None), Decimal(0))
        net = sum(held.values(), Decimal(0))
        if abs(found) <= hedge.band or abs(net - hedge.target) <= hedge.band:
            continue
        told = ", ".join(f"{key} {decimal_text(qty)}" for key, qty in held.items())
        raise TickmakerError(
            f"hedge {hedge.name}: at this first start its instruments hold {decimal_text(net)} "
            f"({told}), but the target is {hedge.target}: it would trade the difference at once",
            f'set target = "{decimal_text(net)}" if that is held on purpose; else bring the '
            "accounts to the target first",
            EXIT_UNSAFE,
        )


def _held(instrument: LiveInstrument) -> Decimal:
    numbers = instrument.core.numbers()
    fees = Decimal(numbers["fees_base_e8"]).scaleb(-8)
    return Decimal(numbers["position_lots"]) * Decimal(instrument.traded.lot) - fees


class _Place:
    """One instrument of a hedge, and how it has fared as a place to take."""

    def __init__(self, instrument: LiveInstrument, account: LiveAccount) -> None:
        self.instrument = instrument
        self._account = account
        self.hits = 0  # our orders that filled
        self.misses = 0  # ... in a row that filled nothing, or that its gate denied
        self.aside = ""
        self._numbers: Mapping[str, Any] = {}  # of the last look
        self._aside_until_ns = 0
        self._sent: tuple[OpenOrder, int] | None = None  # our last, and what was booked before it

    @property
    def key(self) -> str:
        return self.instrument.key

    @property
    def fill_count(self) -> int:
        return self.instrument.core.fill_count

    def leg(self, now_ns: int, pause_ns: int) -> Leg:
        instrument = self.instrument
        numbers, config = instrument.core.numbers(), instrument.config.core
        self._numbers = numbers
        bits = Halt(numbers["halt_bits"])
        own = [_open_order(row) for row in numbers["own"]]
        if self._sent is not None and not any(order.is_take for order in own):
            order, fills = self._sent
            if bits & UNHEARD:
                own.append(order)  # settled or not, a fill of it may yet be found
            else:
                self._sent = None
                self._note(numbers["fills"] > fills, "took nothing there", now_ns, pause_ns)
        return Leg(
            key=self.key, instrument=instrument.traded, limits=config.limits,
            taker_ppm=round(config.fees.taker_bp * 100), bits=bits,
            position_lots=numbers["position_lots"], fees_base_e8=numbers["fees_base_e8"],
            own=own, bids=_levels(numbers["levels_bid"]), asks=_levels(numbers["levels_ask"]),
            book_ns=numbers["book_ns"],
            is_silent=bool(bits & Halt.LINK) and self._account.is_user_doubted(instrument.number),
            is_diverged=bool(self._account.reconciler.diverged([instrument])),
            aside=self.aside if now_ns < self._aside_until_ns else "",
        )  # fmt: skip

    def send(self, part: Slice, reason: int, now_ns: int, pause_ns: int) -> bool:
        """Whether an order left; `leg` was asked for just before."""
        instrument, before = self.instrument, self._numbers
        sent = instrument.stage.hot.take(
            instrument.number, part.side, part.px_ticks, part.qty_lots, reason
        )
        if sent < 1:
            told = _denied(before["denies"], instrument.core.numbers()["denies"])
            self._note(False, told, now_ns, pause_ns)
            return False
        order = OpenOrder(part.side, part.qty_lots, part.px_ticks, is_take=True, is_doubted=True)
        self._sent = order, before["fills"]
        return True

    def _note(self, is_filled: bool, why: str, now_ns: int, pause_ns: int) -> None:
        """A place that is no use twice running is left alone for a while, and longer each time:
        the others are asked meanwhile."""
        self.hits += is_filled
        self.misses = 0 if is_filled else self.misses + 1
        if self.misses > 1:
            wait_ns = min(pause_ns << min(self.misses - 1, 20), ASIDE_NS_MAX)
            self._aside_until_ns = now_ns + wait_ns
            self.aside = f"{why}, {self.misses} times running"


class Hedge:
    """One hedge of the configuration."""

    def __init__(
        self, stage: Stage, config: HedgeConfig, reason: int, places: Sequence[_Place],
        decided: Callable[[HedgeConfig, Sequence[Leg], int], Decision] = decide,
    ) -> None:  # fmt: skip
        self.config = config
        self.reason = reason
        self.plans = 0  # that sent something
        self._stage = stage
        self._places = places
        self._decide = decided
        self._pause_ns = config.pause_ms * 1_000_000
        self._fills = -1  # as last decided on
        self._next_ns = 0
        self._acted_ns = -self._pause_ns
        self._hits = 0  # as last seen
        self._stuck_ns: int | None = None  # open, and nothing filled for it since
        self._warned_ns: int | None = None
        self._last: Decision | None = None

    def look(self, now_ns: int) -> None:
        """Cheap where nothing has happened."""
        fills = sum(place.fill_count for place in self._places)
        if fills == self._fills and now_ns < self._next_ns:
            return
        if now_ns - self._acted_ns < self._pause_ns:
            return
        self._fills = fills
        decision = self._decided(now_ns)
        self._next_ns = now_ns + (IDLE_NS if decision.is_within else OPEN_NS)
        if decision.plan is not None:
            self._next_ns = now_ns + self._pause_ns  # a plan is dear, one for nothing, too
            if decision.plan.slices:
                self._act(decision, decision.plan, now_ns)
        self._note(decision, now_ns)

    def _decided(self, now_ns: int) -> Decision:
        """On what the cores hold now."""
        self._last = self._decide(
            self.config, [place.leg(now_ns, self._pause_ns) for place in self._places], now_ns
        )
        return self._last

    def _act(self, decision: Decision, plan: Plan, now_ns: int) -> None:
        """Each venue's first slice."""
        self._acted_ns = now_ns
        self._stage.emit(
            "router", hedge=self.config.name, net=decimal_text(decision.net),
            low=decimal_text(decision.low), high=decimal_text(decision.high), plan=plan.to_json(),
        )  # fmt: skip
        first: dict[str, Slice] = {}
        for part in plan.slices:
            first.setdefault(part.venue, part)
        by_key = {place.key: place for place in self._places}
        sent = [
            by_key[key].send(part, self.reason, now_ns, self._pause_ns)
            for key, part in first.items()
        ]
        self.plans += any(sent)

    # -- WHAT A PERSON SHOULD KNOW ---

    def _note(self, decision: Decision, now_ns: int) -> None:
        """Stuck: open, or not known, and nothing that was sent for it has filled."""
        hits = sum(place.hits for place in self._places)
        has_moved, self._hits = hits != self._hits, hits
        if decision.is_within:
            if self._warned_ns is not None:
                net = decimal_text(decision.net)
                self._stage.emit("hedged", hedge=self.config.name, net=net)
            self._warned_ns = self._stuck_ns = None
            return
        if self._stuck_ns is None or has_moved:
            self._stuck_ns = now_ns
        is_told = self._warned_ns is not None and now_ns - self._warned_ns < AGAIN_NS
        if now_ns - self._stuck_ns < WARN_NS or is_told:
            return
        self._warned_ns = now_ns
        seconds = (now_ns - self._stuck_ns) / 1e9
        self._stage.emit(
            "warning", hedge=self.config.name,
            what=f"hedge {self.config.name}: {self._open_text(decision)} for {seconds:.0f} s, and "
            f"nothing fills for it: {_why(decision)}",
            remedy="what its makers fill stays open meanwhile: `tickmaker halt` stops them",
        )  # fmt: skip

    def _open_text(self, decision: Decision) -> str:
        if not decision.is_known:
            return f"its position is not known (booked: {decimal_text(decision.net)})"
        return (
            f"its position is {decimal_text(decision.net)}, the target {self.config.target}, the "
            f"band {self.config.band},"
        )

    def tell_last(self) -> None:
        """After the shutdown: positions are what they are."""
        now_ns = clock.monotonic_ns()
        decision = self._decided(now_ns)
        if abs(decision.net - self.config.target) <= self.config.band:
            return
        self._stage.emit(
            "warning", hedge=self.config.name,
            what=f"hedge {self.config.name} ends with {decimal_text(decision.net)}: the target is "
            f"{self.config.target}, the band {self.config.band}",
            remedy="the next start goes on from there",
        )  # fmt: skip

    def told(self) -> dict[str, Any]:
        config, last = self.config, self._last
        head = {
            "of": list(config.of), "on": list(config.on), "target": str(config.target),
            "band": str(config.band), "plans": self.plans,
        }  # fmt: skip
        if last is None:
            return head | {"net": None, "state": "NOT STARTED", "why": ""}
        if not last.is_known:
            state = "NOT KNOWN"
        else:
            state = "HEDGED" if last.is_within else "OPEN"
        return head | {
            "net": decimal_text(last.net), "low": decimal_text(last.low),
            "high": decimal_text(last.high), "state": state,
            "why": "" if last.is_within else last.why[:200],
        }  # fmt: skip


def _why(decision: Decision) -> str:
    if decision.why:
        return decision.why
    if decision.plan is None:
        return "orders on their way have no answer yet"
    return "what was sent found nothing, or was refused"


def _open_order(row: Mapping[str, Any]) -> OpenOrder:
    return OpenOrder(
        side=Side(row["side"]), leaves_lots=row["leaves_lots"], px_ticks=row["px_ticks"],
        is_take=row["is_take"], is_doubted=row["state"] == OrderState.UNKNOWN,
    )  # fmt: skip


def _levels(rows: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    return [(px_ticks, qty_lots) for px_ticks, qty_lots in rows]


def _denied(before: Sequence[int], after: Sequence[int]) -> str:
    """Which check of the gate stood against it."""
    for code, (name, _) in CODES.items():
        if after[code] > before[code]:
            return f"its gate denied an order: {name}"
    return "it has no message left (quoting.messages_per_s_max)"
