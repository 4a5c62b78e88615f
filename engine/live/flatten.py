"""Close positions at shutdown: immediate or cancel, within a collar, never past where it began.

A futures position is closed, whoever opened it, with reduce-only orders. A spot instrument goes
back to what the account held when the run began: what the run bought is sold, never more than is
held; what it sold is bought back. Fees in the base asset are not made good, and what the venue
takes no order of stays.

Each round asks the venue what is held and walks our own book for slices; the plan is in
events.jsonl before its first order leaves. The core sends them: intents, fills and fees are the
run's like any other. Where it can't (its book is not whole, buying back on spot), REST does, with
client ids of this run and a strategy number of their own; the last reading books their fills.
"""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from engine import clock
from engine.errors import TickmakerError
from engine.execution.reconcile import ENDS
from engine.execution.router import Plan, Slice, Venue, route
from engine.gateway.rest import VenueError
from engine.live.instrument import LiveInstrument
from fastcore.core_config import VENUES
from fastcore.gate import HALT_BARS_EXIT
from fastcore.types import Command, Halt, Side

if TYPE_CHECKING:
    from engine.live.account import LiveAccount

STRATEGY = 0xFF  # of its client ids over REST
STRATEGY_ELSE = 0xFE  # where the instrument's own strategy has that number
REASON = -1_000  # of its takes in the journal: no stop's and no strategy's
COLLAR_PPM = 5_000  # of the mid; the gate's, where that is narrower
PPM = 1_000_000
PAUSE_S = 0.2  # for a round's fills to show in the positions
ANSWER_S = 1.0  # for a slice that the core sent
TURN_S = 0.005
ROUNDS_MAX = 20
DOUBT_PAUSE_S = 1.0  # between two questions for an order whose fate is not known


async def flatten(account: "LiveAccount") -> None:
    """Until the venue says that nothing is left to close; TickmakerError when something is after
    ROUNDS_MAX rounds."""
    work = _Flatten(account)
    for _ in range(ROUNDS_MAX):
        await work.ask()
        left = await work.left()
        if not left and not work.is_in_doubt:
            return
        for instrument, lots in left.items():
            await work.close(instrument, lots)
        await asyncio.sleep(DOUBT_PAUSE_S if work.is_in_doubt else PAUSE_S)
    raise TickmakerError(
        f"account {account.name} is not flat after {ROUNDS_MAX} rounds",
        "see its positions and books at the venue: the collar may be too narrow for them",
    )


def excess_lots(position_lots: int, opening_lots: int, held_lots: int) -> int:
    """Of a spot instrument: what is to be sold (above 0) or bought back. `held_lots`: by the
    venue, less than our position where fees were taken of the base asset."""
    return min(position_lots - opening_lots, max(held_lots, 0))


def plan_of(instrument: LiveInstrument, lots: int) -> Plan:
    """Slices against so many lots (long: above 0), from our own book."""
    numbers, traded = instrument.core.numbers(), instrument.traded
    bid, ask = numbers["bid_px_ticks"], numbers["ask_px_ticks"]
    limits = instrument.config.core.limits
    venue = Venue(
        name=instrument.key,
        instrument=traded,
        bids=[(px, qty) for px, qty in numbers["levels_bid"]],
        asks=[(px, qty) for px, qty in numbers["levels_ask"]],
        taker_ppm=round(instrument.config.core.fees.taker_bp * 100),
        room_lots=abs(lots),
        position_lots=lots,
        is_usable=bool(bid and ask),
        why_not="" if bid and ask else "no two-sided book",
    )
    lot = Decimal(traded.lot)
    gate_ppm = 2 * limits.price_collar_ticks * PPM // max(bid + ask, 1)
    return route(
        Side.SELL if lots > 0 else Side.BUY,
        abs(lots) * lot,
        [venue],
        reference=Decimal(max(bid + ask, 1)) * Decimal(traded.tick) / 2,
        collar_ppm=min(COLLAR_PPM, gate_ppm),
        slice_max=limits.qty_lots_max * lot,
        is_reduce_only=is_reduce_only(instrument),
    )


def is_reduce_only(instrument: LiveInstrument) -> bool:
    return VENUES[instrument.config.core.venue].has_reduce_only


class _Flatten:
    """Of one account."""

    def __init__(self, account: "LiveAccount") -> None:
        self._account = account
        self._hot = account.stage.hot
        self._over_rest: dict[int, int] = {}  # orders sent there, by instrument
        # Of those, one without a clear answer, and until when it may yet arrive.
        self._doubted: dict[LiveInstrument, tuple[str, int]] = {}
        self._too_small: set[int] = set()

    # -- WHAT IS LEFT ---

    async def left(self) -> dict[LiveInstrument, int]:
        """Lots to close, of those that have any."""
        instruments = self._account.instruments
        spot = [
            i for i in instruments if not is_reduce_only(i) and i.number not in self._too_small
        ]
        # Spot is counted from the run's own fills, which must be booked for that; and a core that
        # is in doubt sends nothing.
        doubted = [i for i in instruments if is_reduce_only(i) and i.bits & Halt.RECONCILING]
        agreed = []
        if spot or doubted:
            agreed = await self._account.reconciler.round([*spot, *doubted])
        for instrument in agreed:
            self._hot.command(instrument.number, Command.START)  # it stays shut down
        held = await self._account.calls.positions()
        left = {
            i: held[i.place] for i in instruments if is_reduce_only(i) and held.get(i.place)
        }
        for instrument in spot:
            if instrument not in agreed:
                left[instrument] = 0  # not known: nothing is sent
            elif lots := self._excess_lots(instrument, held):
                left[instrument] = lots
        return left

    def _excess_lots(self, instrument: LiveInstrument, held: Mapping[tuple[str, str], int]) -> int:
        numbers = instrument.core.numbers()
        lots = excess_lots(
            numbers["position_lots"], numbers["opening_lots"], held.get(instrument.place, 0)
        )
        if not self._is_too_small(instrument, lots):
            return lots
        self._too_small.add(instrument.number)
        self._account.emit(
            "warning", what=f"{instrument.key}: {lots:+} lots over its opening stay: the venue "
            "takes no order of so few", remedy="the next start reckons with them",
            **_core_of(instrument),
        )  # fmt: skip
        return 0

    def _is_too_small(self, instrument: LiveInstrument, lots: int) -> bool:
        numbers, traded = instrument.core.numbers(), instrument.traded
        qty = abs(lots) * Decimal(traded.lot)
        notional = qty * numbers["bid_px_ticks"] * Decimal(traded.tick)
        return lots != 0 and (
            qty < traded.qty_min or (notional > 0 and notional < traded.notional_min)
        )

    # -- CLOSING IT ---

    async def close(self, instrument: LiveInstrument, lots: int) -> None:
        """One round; what its answers leave open, the next round's positions tell."""
        if not lots or instrument.core.numbers()["own"] or instrument in self._doubted:
            return  # not known, or an order of the round before has no answer yet
        plan = plan_of(instrument, lots)
        self._account.emit("router", plan=plan.to_json(), **_core_of(instrument))
        if self._can_send(instrument):
            left = await self._through_core(instrument, plan.slices)
        else:
            left = plan.slices
        await self._through_rest(instrument, left)

    def _can_send(self, instrument: LiveInstrument) -> bool:
        return self._account.is_private_up and not instrument.bits & HALT_BARS_EXIT

    async def _through_core(
        self, instrument: LiveInstrument, slices: Sequence[Slice]
    ) -> Sequence[Slice]:
        """One at a time; those that its gate denied."""
        for at, part in enumerate(slices):
            sent = self._hot.take(
                instrument.number, part.side, part.px_ticks, part.qty_lots, REASON
            )
            if sent < 1:
                return slices[at:]
            until_ns = clock.monotonic_ns() + int(ANSWER_S * 1e9)
            while instrument.core.numbers()["own"]:
                if clock.monotonic_ns() > until_ns:
                    return ()
                await asyncio.sleep(TURN_S)
        return ()

    async def _through_rest(self, instrument: LiveInstrument, slices: Sequence[Slice]) -> None:
        core = instrument.config.core
        strategy = STRATEGY if core.strategy_id != STRATEGY else STRATEGY_ELSE
        for part in slices:
            count = self._over_rest.get(instrument.number, 0) + 1
            self._over_rest[instrument.number] = count
            intent = (instrument.number << 36) + count
            client_id = f"tm{core.run_tag}-{strategy:02x}-{intent:012x}"
            call = self._account.adapter.place(
                instrument.traded, client_id, part.side, part.px_ticks, part.qty_lots,
                is_ioc=True, is_reduce_only=is_reduce_only(instrument),
            )
            try:
                await self._account.rest.call(call, tries=1)
            except TickmakerError as error:
                self._account.stage.warn(error, **instrument.where)
                if not isinstance(error, VenueError) or error.failure.is_unknown:
                    self._doubted[instrument] = client_id, self._arrival_ns()
                    return

    # -- AN ORDER OVER REST WHOSE FATE IS NOT KNOWN ---

    @property
    def is_in_doubt(self) -> bool:
        return bool(self._doubted)

    def _arrival_ns(self) -> int:
        """When the venue refuses what was signed until now."""
        return clock.monotonic_ns() + self._account.config.recv_window_ms * 1_000_000

    async def ask(self) -> None:
        """Spot has no reduce-only: sent again under another id it would trade twice. So nothing
        is sent until the venue tells of its end, or could not take it any more."""
        for instrument, (client_id, until_ns) in list(self._doubted.items()):
            asked_ns = clock.monotonic_ns()
            try:
                row = await self._account.calls.order(instrument.traded, client_id)
            except TickmakerError as error:
                self._account.stage.warn(error, **instrument.where)
                continue
            if asked_ns > until_ns if row is None else row.state in ENDS:
                del self._doubted[instrument]


def _core_of(instrument: LiveInstrument) -> dict[str, object]:
    return {"instrument": instrument.key, "core": instrument.number}
