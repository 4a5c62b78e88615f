"""Asks the venue and tells the cores until both sides agree: the hands of execution/reconcile.py.

A core that is RECONCILING quotes nothing. First nothing of ours may still be on its way to the
venue, and nothing of ours may rest there; then orders, trades and position are read in that order,
and what follows from them is done, until a pass says that nothing is left to do. What can't be
explained keeps the instrument halted, and is asked again: a trade that a venue tells late explains
it by itself.

While an instrument quotes it is compared now and then, without being halted: what differs in two
comparisons in a row is doubted, and that halts.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine import clock
from engine.errors import TickmakerError
from engine.execution.belief import (
    Action,
    Agreed,
    AskOrder,
    BookFill,
    CancelOrder,
    Diverged,
    SettleOrder,
    Told,
)
from engine.execution.planner import COMPARE_EVERY_S, COMPARE_SHARE
from engine.execution.reconcile import Policy, reconcile
from engine.gateway.reconnect import backoff_s
from engine.live.instrument import LiveInstrument
from engine.live.pull import CANCEL_TIMEOUT_S, is_ours
from engine.live.stage import cancelled, each, patient
from engine.venues.base import OrderRow, TradeRow
from fastcore.types import Command, Halt, Side

if TYPE_CHECKING:
    from engine.live.account import LiveAccount

PAUSE_S_MAX = 30.0  # between two rounds of what nothing explains
SETTLE_S = 0.1  # for fills that were on their way when the venue was asked
PASSES_MAX = 8  # over one reading: each applies what the one before it could not
ROUNDS_TO_TELL = 3  # readings that nothing explains, before a person is told
STORM_NS = 5_000_000_000  # rounds closer than this to the one before are a storm's
STORM_FREE = 4  # of which so many are not held back
TRADES_MARGIN_NS = 10_000_000_000  # a venue may tell of a trade so much later
TRADES_WIDE_NS = 600_000_000_000  # looked back when the position stays unexplained


class Reconciler:
    """Of one account."""

    def __init__(self, account: "LiveAccount") -> None:
        self._account = account
        self._stage = account.stage
        self._task: asyncio.Task[None] | None = None
        # By instrument that keeps quoting: what differed when it was compared last.
        self._differed: dict[int, frozenset[str]] = {}
        self._unexplained: dict[int, set[int]] = {}  # readings in a row, by instrument
        self._told_diverged: dict[int, str] = {}
        self._strangers: dict[int, int] = {}  # fills of theirs that a person was told of
        config = account.config
        ack_ms = max(i.config.core.budgets.ack_ms_max for i in account.instruments)
        self._policy = Policy(
            strangers=config.strangers,
            absent_after_ns=int((config.recv_window_ms + ack_ms) * 1e6),
        )
        self._storm = 0  # rounds that followed each other closely
        self._paced_ns = 0
        self.rounds = 0
        self.divergences = 0

    # -- WHEN ---

    def want(self) -> None:
        """Some core is RECONCILING, or a private connection came up: at most one task at work."""
        if self._stage.is_active and self._batch() and (self._task is None or self._task.done()):
            self._task = self._stage.spawn(self._run(), f"reconcile {self._account.name}")

    async def close(self) -> None:
        if self._task is not None:
            await cancelled(self._task)

    def _batch(self) -> list[LiveInstrument]:
        if not self._account.is_private_up:
            return []
        return [i for i in self._account.instruments if i.bits & Halt.RECONCILING]

    async def _run(self) -> None:
        """Until no core asks for it any more, or a private connection is lost."""
        attempt = 0
        started_ns = clock.monotonic_ns()
        while self._batch():
            await self._pace()
            batch = self._batch()
            try:
                agreed = await self.round(batch, is_wide=attempt > 1)
            except TickmakerError as error:
                self._stage.warn(error, account=self._account.name)
                agreed = []
            for instrument in agreed:
                self._stage.hot.command(instrument.number, Command.START)
                if not instrument.bits & Halt.RECONCILING:
                    ms = round((clock.monotonic_ns() - started_ns) / 1e6, 3)
                    self._stage.emit("reconciled", rounds=attempt + 1, ms=ms, **instrument.where)
            attempt = 0 if agreed else attempt + 1
            if self._batch():
                pause_s = backoff_s(attempt, self._stage.rng, cap_s=PAUSE_S_MAX)
                await asyncio.sleep(pause_s)

    async def _pace(self) -> None:
        """A stream that breaks with every frame asks for a reconciliation with every frame: the
        address's weight is for the cancels and the dead-man switch, too."""
        now_ns = clock.monotonic_ns()
        self._storm = self._storm + 1 if now_ns - self._paced_ns < STORM_NS else 0
        if self._storm > STORM_FREE:
            await asyncio.sleep(backoff_s(self._storm - STORM_FREE, self._stage.rng))
        self._paced_ns = clock.monotonic_ns()

    async def agree(self) -> list[LiveInstrument]:
        """At start-up, until each instrument of the account agrees, or can't: those that do not
        stay halted, and are told of. They are returned."""
        left = list(self._account.instruments)
        for attempt in range(ROUNDS_TO_TELL + 1):
            agreed = await self.round(left, is_wide=attempt > 1)
            left = [instrument for instrument in left if instrument not in agreed]
            if not left:
                break
            await asyncio.sleep(backoff_s(attempt, self._stage.rng))
        return left

    # -- ONE ROUND ---

    async def round(
        self, batch: Sequence[LiveInstrument], is_wide: bool = False
    ) -> list[LiveInstrument]:
        """Read once, apply; those that agree now. A private connection that was lost meanwhile
        may have taken what nobody told: nothing is agreed then."""
        self.rounds += 1
        epoch = self._account.epoch
        await self._account.pull.nothing_on_its_way(batch)
        asked_utc_ns, at_ns = self._account.utc_ns(), clock.monotonic_ns()
        told = await each([self._ask(instrument, is_wide) for instrument in batch])
        positions = await patient(self._account.calls.positions)
        agreed = []
        for instrument, part in zip(batch, told, strict=True):
            whole = replace(part, position_lots=positions.get(instrument.place, 0), at_ns=at_ns)
            if await self._settle(instrument, whole, epoch):
                instrument.since_ns = asked_utc_ns - TRADES_MARGIN_NS
                self._told_diverged.pop(instrument.number, None)
                self._unexplained.pop(instrument.number, None)
                self._account.on_agreed(instrument)
                agreed.append(instrument)
        return agreed

    async def _ask(self, instrument: LiveInstrument, is_wide: bool) -> Told:
        """Nothing of ours rests there any more, then what does, then the trades."""
        calls, traded = self._account.calls, instrument.traded
        rows = await patient(lambda: calls.open_orders(traded))
        if any(map(is_ours, rows)):
            await self._account.pull.cancel(instrument, CANCEL_TIMEOUT_S)
            await asyncio.sleep(SETTLE_S)
            rows = await patient(lambda: calls.open_orders(traded))
        since_ns = instrument.since_ns - (TRADES_WIDE_NS if is_wide else 0)
        trades = await patient(lambda: calls.trades_since(traded, since_ns))
        return Told(
            open_orders=rows, orders=(), absent=(), trades=instrument.unforgotten(trades),
            position_lots=None, at_ns=0,
        )

    async def _settle(self, instrument: LiveInstrument, told: Told, epoch: int) -> bool:
        """Apply what follows from one reading; True when both sides agree."""
        asked: set[AskOrder] = set()
        for _ in range(PASSES_MAX):
            actions = reconcile(instrument.belief(is_waited=True), told, self._policy)
            if self._account.epoch != epoch:
                return False
            if len(actions) == 1 and isinstance(actions[0], Agreed):
                self._halt_for_strangers(instrument)
                self._stage.hot.account(instrument.number, actions[0].position_lots, 0)
                return True
            has_applied = self._apply(instrument, actions, told.at_ns)
            if diverged := [action for action in actions if isinstance(action, Diverged)]:
                self._on_diverged(instrument, told, diverged)
            asks = [a for a in actions if isinstance(a, AskOrder) and a not in asked]
            asked.update(asks)
            if asks:
                told = await self._asked(instrument, told, asks)
            elif not has_applied:
                cancels = [a.row for a in actions if isinstance(a, CancelOrder)]
                if cancels:
                    await self._account.calls.cancel_rows(instrument.traded, cancels)
                return False
        return False

    def _apply(self, instrument: LiveInstrument, actions: Iterable[Action], asked_ns: int) -> bool:
        """Fills and settled orders to the core; False: there was none."""
        has_applied = False
        for action in actions:
            if isinstance(action, BookFill):
                has_applied = True
                if instrument.book(action):
                    self._stage.emit(
                        "fill_recovered", owner=str(action.owner), trade_id=action.row.trade_id,
                        qty_lots=action.row.qty_lots, side=action.row.side.name,
                        **instrument.where,
                    )  # fmt: skip
            elif isinstance(action, SettleOrder):
                has_applied = True
                instrument.settle(action, asked_ns)
                self._stage.emit("settled_order", intent_id=action.intent_id,
                                 how="ABSENT" if action.is_absent else action.state.name,
                                 **instrument.where)  # fmt: skip
        return has_applied

    async def _asked(
        self, instrument: LiveInstrument, told: Told, asks: Sequence[AskOrder]
    ) -> Told:
        rows = await each([self._ask_order(instrument, ask) for ask in asks])
        absent = [
            ask.client_id or ask.venue_order_text
            for ask, row in zip(asks, rows, strict=True) if row is None
        ]  # fmt: skip
        found = [row for row in rows if row is not None]
        return replace(
            told, orders=[*told.orders, *found], absent=[*told.absent, *absent]
        )

    async def _ask_order(self, instrument: LiveInstrument, ask: AskOrder) -> OrderRow | None:
        calls, traded = self._account.calls, instrument.traded
        if ask.client_id:
            return await calls.order(traded, ask.client_id)
        return await calls.order_by_id(traded, ask.venue_order_text)

    def _on_diverged(
        self, instrument: LiveInstrument, told: Told, found: Sequence[Diverged]
    ) -> None:
        """Journaled by the core (its account() input); told when it can't be a fill that came
        between two questions of one reading, or several readings say so."""
        if told.position_lots is not None:
            # With "an order is open": with none, the core would hold those in doubt for over.
            self._stage.hot.account(instrument.number, told.position_lots, 1)
        readings = self._unexplained.setdefault(instrument.number, set())
        readings.add(self.rounds)
        if len(readings) >= ROUNDS_TO_TELL or not all(one.may_pass for one in found):
            self._tell_diverged(instrument, "; ".join(one.what for one in found))

    def _halt_for_strangers(self, instrument: LiveInstrument) -> None:
        """Their fills are booked, whoever told of them, and both sides agree: a person resumes."""
        count = instrument.core.numbers()["stranger_fills"]
        if self._policy.strangers != "halt" or count == self._strangers.get(instrument.number, 0):
            return
        self._strangers[instrument.number] = count
        if instrument.number not in self._told_diverged:
            self._tell_diverged(instrument, "a stranger traded on the account")
        self._stage.hot.command(instrument.number, Command.HALT)

    def diverged(self, instruments: Iterable[LiveInstrument]) -> list[str]:
        """What a person was told of them, and nothing has explained since."""
        told = self._told_diverged
        return [f"{i.key}: {told[i.number]}" for i in instruments if i.number in told]

    def _tell_diverged(self, instrument: LiveInstrument, what: str) -> None:
        """Once a reason."""
        if self._told_diverged.get(instrument.number) == what:
            return
        self._told_diverged[instrument.number] = what
        self.divergences += 1
        self._stage.emit("divergence", what=f"{instrument.key}: {what}", remedy=(
            "quotes stay pulled; compare the account's trades with the ledger. To start from what "
            f"the venue says instead: stop, and delete {self._account.lock.state_path}"
        ), **instrument.where)  # fmt: skip

    # -- WITHOUT HALTING ---

    async def keep(self) -> None:
        """Compare for ever, as often as the address's weight allows."""
        while True:
            await asyncio.sleep(self._every_s())
            if not self._account.is_private_up:
                continue
            try:
                await self.compare()
            except TickmakerError as error:
                self._stage.warn(error, account=self._account.name)
            self.want()

    def _every_s(self) -> float:
        account = self._account
        weight = sum(
            account.adapter.open_orders(i.traded).weight
            + account.adapter.trades(i.traded, 0).weight
            for i in account.instruments
        )
        minutes = weight / (COMPARE_SHARE * account.adapter.weight_per_min)
        return max(COMPARE_EVERY_S, 60.0 * minutes)

    async def compare(self) -> None:
        """Every instrument that quotes against its venue; nothing is cancelled or asked twice."""
        batch = [i for i in self._account.instruments if not i.bits & Halt.RECONCILING]
        asked_utc_ns, at_ns = self._account.utc_ns(), clock.monotonic_ns()
        before = {i.number: i.core.fill_count for i in batch}
        told = await each([self._look(instrument) for instrument in batch])
        positions = await patient(self._account.calls.positions)
        for instrument, part in zip(batch, told, strict=True):
            await asyncio.sleep(0)  # one a turn: of many instruments all at once is a stall
            if instrument.bits & Halt.RECONCILING:
                continue
            is_still = instrument.core.fill_count == before[instrument.number]
            lots = positions.get(instrument.place, 0) if is_still else None
            self._compare(instrument, replace(part, position_lots=lots, at_ns=at_ns), asked_utc_ns)

    async def _look(self, instrument: LiveInstrument) -> Told:
        calls, traded = self._account.calls, instrument.traded
        rows = await patient(lambda: calls.open_orders(traded))
        trades = await patient(lambda: calls.trades_since(traded, instrument.since_ns))
        return Told(
            open_orders=rows, orders=(), absent=(), trades=instrument.unforgotten(trades),
            position_lots=None, at_ns=0,
        )

    def _compare(self, instrument: LiveInstrument, told: Told, asked_utc_ns: int) -> None:
        belief = instrument.belief()
        actions = reconcile(belief, told, self._policy)
        if told.position_lots is not None:
            # No fill came while the venue was asked: the position alone can be compared, too.
            still = replace(belief, orders=(), is_quiet=True)
            actions += reconcile(still, replace(told, open_orders=()), self._policy)
        differs = frozenset(
            _text_of(action) for action in actions
            if isinstance(action, BookFill | Diverged | CancelOrder)
            or (isinstance(action, AskOrder) and not action.client_id)
        )  # fmt: skip
        twice = differs & self._differed.get(instrument.number, frozenset())
        self._differed[instrument.number] = differs
        if not differs:
            instrument.since_ns = asked_utc_ns - TRADES_MARGIN_NS
        if twice:
            self._stage.emit("doubt", what=f"{instrument.key}: {'; '.join(sorted(twice))}",
                             **instrument.where)
            # Not agreed: orders that we can't account for. It halts until a round agrees.
            self._stage.hot.account(instrument.number, belief.position_lots, 1)


def _text_of(action: BookFill | Diverged | CancelOrder | AskOrder) -> str:
    if isinstance(action, AskOrder):  # the round that a doubt brings about asks
        return f"a trade of order {action.venue_order_text}, which is not known, is not booked"
    if isinstance(action, BookFill):
        return f"trade {action.row.trade_id} is not booked"
    if isinstance(action, CancelOrder):
        return f"order {action.row.venue_order_text} should not rest there"
    return action.what


def lots_of(trades: Iterable[TradeRow]) -> int:
    """What trades add up to, signed."""
    return sum(row.qty_lots if row.side == Side.BUY else -row.qty_lots for row in trades)
