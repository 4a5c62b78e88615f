"""Close positions at shutdown: reduce-only, immediate or cancel, within a collar, never past flat.

Each round reads the positions from the venue, walks our own book for slices, and sends them over
REST: cores are shut down by then. The plan is in events.jsonl before its first order leaves.
Client ids are of this run with a strategy number of their own: their fills are ours and are booked
like any that a query tells of.
"""

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from engine.errors import TickmakerError
from engine.execution.router import Plan, Venue, route
from engine.gateway.rest import UnreachableError, VenueError
from engine.live.instrument import LiveInstrument
from fastcore.core_config import VENUES
from fastcore.types import Side

if TYPE_CHECKING:
    from engine.live.account import LiveAccount

STRATEGY = 0xFF  # of its client ids
STRATEGY_ELSE = 0xFE  # where the instrument's own strategy has that number
COLLAR_PPM = 5_000  # of the mid
PAUSE_S = 0.2  # for a round's fills to show in the positions
ROUNDS_MAX = 20


async def flatten(account: "LiveAccount") -> None:
    """Until the venue says that the account's instruments are flat; TickmakerError when they are
    not after ROUNDS_MAX rounds. Spot holds no position to close: it is left alone."""
    instruments = [
        instrument for instrument in account.instruments
        if VENUES[instrument.config.core.venue].has_reduce_only
    ]  # fmt: skip
    numbers = dict.fromkeys((instrument.number for instrument in instruments), 0)
    for _ in range(ROUNDS_MAX):
        held = await account.calls.positions()
        left = [instrument for instrument in instruments if held.get(instrument.place)]
        if not left:
            return
        for instrument in left:
            plan = plan_of(instrument, held[instrument.place])
            account.emit("router", plan=plan.to_json(), instrument=instrument.key,
                         core=instrument.number)  # fmt: skip
            numbers[instrument.number] += await _send(
                account, instrument, plan, numbers[instrument.number]
            )
        await asyncio.sleep(PAUSE_S)
    raise TickmakerError(
        f"account {account.name} is not flat after {ROUNDS_MAX} rounds",
        "see its positions and books at the venue: the collar may be too narrow for them",
    )


def plan_of(instrument: LiveInstrument, position_lots: int) -> Plan:
    """Slices against the position, from our own book."""
    numbers, traded = instrument.core.numbers(), instrument.traded
    bid, ask = numbers["bid_px_ticks"], numbers["ask_px_ticks"]
    limits = instrument.config.core.limits
    venue = Venue(
        name=instrument.key,
        instrument=traded,
        bids=[(px, qty) for px, qty in numbers["levels_bid"]],
        asks=[(px, qty) for px, qty in numbers["levels_ask"]],
        taker_ppm=round(instrument.config.core.fees.taker_bp * 100),
        room_lots=abs(position_lots),
        position_lots=position_lots,
        is_usable=bool(bid and ask),
        why_not="" if bid and ask else "no two-sided book",
    )
    lot = Decimal(traded.lot)
    return route(
        Side.SELL if position_lots > 0 else Side.BUY,
        abs(position_lots) * lot,
        [venue],
        reference=Decimal(bid + ask) * Decimal(traded.tick) / 2,
        collar_ppm=COLLAR_PPM,
        slice_max=limits.qty_lots_max * lot,
        is_reduce_only=True,
    )


async def _send(
    account: "LiveAccount", instrument: LiveInstrument, plan: Plan, first: int
) -> int:
    """One order a slice; what its answer leaves open, the next round's positions tell."""
    core = instrument.config.core
    strategy = STRATEGY if core.strategy_id != STRATEGY else STRATEGY_ELSE
    for count, part in enumerate(plan.slices):
        intent = (instrument.number << 36) + first + count + 1
        client_id = f"tm{core.run_tag}-{strategy:02x}-{intent:012x}"
        call = account.adapter.place(
            instrument.traded, client_id, part.side, part.px_ticks, part.qty_lots,
            is_ioc=True, is_reduce_only=True,
        )  # fmt: skip
        try:
            await account.rest.call(call, tries=1)
        except (VenueError, UnreachableError) as error:
            account.stage.warn(error, **instrument.where)
    return len(plan.slices)
