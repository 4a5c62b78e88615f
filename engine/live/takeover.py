"""What the account's run before this one may have left at the venue: orders that are still on
their way, orders in instruments that nobody names any more."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from engine import clock
from engine.gateway.listing import listed
from engine.live.lock import UNREADABLE
from engine.live.pull import CANCEL_TIMEOUT_S, is_ours
from engine.live.stage import STEP_DEADLINE_S
from engine.recorder.opening import InstrumentOpening, Opening
from fastcore.core_config import VENUES

RECV_WINDOW_MS_MAX = 60_000  # of venues and configurations alike

if TYPE_CHECKING:
    from engine.live.account import LiveAccount


def wait_s(before: Opening | None, now_ns: int, recv_window_ms: int) -> float:
    """Until no order of a run that did not end in order can reach the venue any more. At most its
    recvWindow: a host's clock that was set back must not hold us up."""
    if before is None or before.ended_in_order:
        return 0.0
    window_ns = recv_window_ms * 1_000_000
    return max(0, min(before.end_ns + window_ns - now_ns, window_ns)) / 1e9


def recv_window_ms(run_dir: Path, account: str, ours: int) -> int:
    """The longer one of that run's and ours; its configuration may have gone."""
    try:
        rows = json.loads((run_dir / "config.json").read_bytes())["accounts"]
        theirs = [int(row["recv_window_ms"]) for row in rows if row["name"] == account]
    except (OSError, *UNREADABLE):
        return ours
    return max(ours, *(min(one, RECV_WINDOW_MS_MAX) for one in theirs), 0)


def still_s(account: "LiveAccount") -> float:
    """What is left of that, as long as it has not been waited for."""
    before = account.before
    if before is None or account.is_waited_out:
        return 0.0
    window_ms = recv_window_ms(before.run_dir, account.name, account.config.recv_window_ms)
    now_ns = clock.monotonic_ns() + clock.wall_minus_monotonic_ns()
    return wait_s(before, now_ns, window_ms)


async def wait_out(account: "LiveAccount") -> None:
    """A step of the start-up, where there is something to wait for."""
    if (seconds := still_s(account)) > 0:
        await account.stage.step(
            "orders of the run before can't arrive any more", asyncio.sleep(seconds),
            seconds + STEP_DEADLINE_S, account=account.name,
        )  # fmt: skip
    account.is_waited_out = True


def dropped(account: "LiveAccount") -> list[InstrumentOpening]:
    """Instruments that the run before traded on this account, and this one does not."""
    if account.before is None:
        return []
    ours = {instrument.key for instrument in account.instruments}
    return [
        one for key, one in account.before.instruments.items()
        if one.account == account.name and key not in ours
    ]  # fmt: skip


async def pull_dropped(account: "LiveAccount") -> None:
    """Cancel what rests of ours where nobody would look; TickmakerError where it can't be
    proved. What is held there is told."""
    for one in dropped(account):
        category = VENUES[one.venue].category
        told = await listed(account.rest, account.adapter, [one.symbol], category)
        if one.symbol not in told:
            account.emit(
                "warning", what=f"{one.key}, which the run before traded, is unknown at the "
                "venue now", remedy="see at the venue that nothing of it is open",
            )  # fmt: skip
            continue
        count = await account.calls.cancel_ours(told[one.symbol], is_ours, CANCEL_TIMEOUT_S)
        if count or one.position_lots:
            account.emit(
                "warning", what=f"{one.key} is not in the configuration any more: {count} orders "
                f"of ours were cancelled there, {one.position_lots:+} lots are left as they are",
                remedy="name it again, or close its position by hand",
            )  # fmt: skip
