"""Ordered shutdown: quotes pulled, cancels proved by each venue, positions kept or closed.

Nothing is closed before its venue has said that no order of ours is open; what can't be proved in
time is told, and the exit code says so. Asking twice changes nothing.
"""

import asyncio
from collections.abc import Sequence

from engine import clock
from engine.config import EngineConfig
from engine.errors import TickmakerError
from engine.live import takeover
from engine.live.account import LiveAccount
from engine.live.flatten import flatten
from engine.live.hedging import Hedging
from engine.live.instrument import LiveInstrument
from engine.live.stage import Stage, cancelled, each
from fastcore.types import Command

FLAT_DEADLINE_S = 3.0  # for cancels over the TRADE connection
PROOF_DEADLINE_S = 10.0  # for a venue to say that nothing is open
PROOF_S_EACH = 0.25  # more for every instrument: the budget never holds cancels up, queries it may
LAST_DEADLINE_S = 3.0  # for the last fills and positions
LAST_S_EACH = 0.1  # more for every instrument, as above
LAST_ROUNDS = 4
LAST_PAUSE_S = 0.25
FLATTEN_DEADLINE_S = 20.0
DISARM_DEADLINE_S = 2.0
DISARM_S_EACH = 0.05  # more for every instrument, as above
TURN_S = 0.005


def longest_s(config: EngineConfig) -> float:
    """Whoever waits for the end must not give up before this."""
    accounts = config.accounts
    window_s = max(account.recv_window_ms for account in accounts) / 1e3
    is_flattened = any(account.at_shutdown == "flatten" for account in accounts)
    each_s = PROOF_S_EACH + LAST_S_EACH + DISARM_S_EACH
    return (
        FLAT_DEADLINE_S + window_s + PROOF_DEADLINE_S + FLATTEN_DEADLINE_S * is_flattened
        + LAST_DEADLINE_S + DISARM_DEADLINE_S + each_s * len(config.instruments)
    )  # fmt: skip


class ShutDown:
    """`run` once; afterwards `cancelled` and `left` say how it went (None: not known)."""

    def __init__(
        self, stage: Stage, accounts: Sequence[LiveAccount],
        instruments: Sequence[LiveInstrument], hedging: Hedging,
    ) -> None:  # fmt: skip
        self.stage = stage
        self.hedging = hedging
        self.accounts = [account for account in accounts if account.is_built]
        self.instruments = instruments if self.accounts else []
        self.cancelled = 0
        # 0 is said only where each account's venue said so.
        self.left: int | None = 0 if len(self.accounts) == len(accounts) else None
        self.error: TickmakerError | None = None  # the first

    async def run(self) -> None:
        self.stage.is_active = False
        for account in self.accounts:
            await account.stop_keeping()
        self.cancelled = sum(i.core.working_count for i in self.instruments)
        for instrument in self.instruments:
            self.stage.hot.command(instrument.number, Command.SHUTDOWN)
        self.hedging.end()  # until here quotes could fill
        await each([self._one(account) for account in self.accounts])
        if self.accounts and all(account.is_let_go for account in self.accounts):
            self.hedging.tell_last()

    async def _one(self, account: LiveAccount) -> None:
        """One account; no other's trouble holds it up."""
        try:
            await self._settle(account)
            found = await self._prove(account)
            self.cancelled = max(self.cancelled, found)
        except TickmakerError as error:
            self.left = None
            self._fail(error)
            return
        # Before it was let go, its position is what it happened to hold.
        if account.config.at_shutdown == "flatten" and account.is_let_go:
            await self._flatten(account)
        if account.is_opened:
            await self._read_last(account)
        if account.dead_man is not None:
            await self._disarm(account)

    def _fail(self, error: TickmakerError) -> None:
        if self.error is None:
            self.error = error

    async def _settle(self, account: LiveAccount) -> None:
        """Until no order works and none is on its way. What may not leave over TRADE any more is
        pulled over REST meanwhile; the proof comes later."""
        pulling: asyncio.Task[bool] | None = None
        deadline_s = FLAT_DEADLINE_S
        if not account.is_trade_up:
            pulling = asyncio.create_task(account.pull.all())
            deadline_s = 0.0
        until_ns = clock.monotonic_ns() + int(deadline_s * 1e9)
        while any(instrument.core.working_count for instrument in account.instruments):
            if clock.monotonic_ns() >= until_ns:
                break
            await asyncio.sleep(TURN_S)
        await account.pull.nothing_on_its_way(account.instruments)
        # Of a start that was stopped early: a killed run's orders, which no proof would see.
        await asyncio.sleep(takeover.still_s(account))
        if pulling is not None:
            await cancelled(pulling)

    async def _prove(self, account: LiveAccount) -> int:
        """Cancel until the venue itself says that nothing is open; how many were seen."""
        deadline_s = PROOF_DEADLINE_S + PROOF_S_EACH * len(account.instruments)
        counts = await each([
            account.pull.cancel(instrument, deadline_s, deadline_s)
            for instrument in account.instruments
        ])
        return sum(counts)

    async def _flatten(self, account: LiveAccount) -> None:
        try:
            async with asyncio.timeout(FLATTEN_DEADLINE_S):
                await flatten(account)
        except TimeoutError:
            self._fail(TickmakerError(
                f"account {account.name} could not be flattened within {FLATTEN_DEADLINE_S:g} s",
                "see its positions at the venue",
            ))
        except TickmakerError as error:
            self._fail(error)

    async def _read_last(self, account: LiveAccount) -> None:
        """What filled while the end was near; our books must agree with the venue's."""
        left = list(account.instruments)
        problem = "no answer in time"
        try:
            async with asyncio.timeout(LAST_DEADLINE_S + LAST_S_EACH * len(left)):
                for attempt in range(LAST_ROUNDS):
                    agreed = await account.reconciler.round(left, is_wide=attempt > 0)
                    left = [instrument for instrument in left if instrument not in agreed]
                    if not left:
                        return
                    problem = "they do not explain each other"
                    await asyncio.sleep(LAST_PAUSE_S)
        except TimeoutError:
            pass
        except TickmakerError as error:
            problem = error.what
        if not left:
            return
        names = ", ".join(instrument.key for instrument in left[:5])
        if diverged := account.reconciler.diverged(left):
            self._fail(TickmakerError(
                f"account {account.name} ends unexplained: {'; '.join(diverged[:5])}",
                "compare the account's trades with the ledger before the next start, which halts "
                "on the same",
            ))
            return
        self.stage.emit(
            "warning", what=f"trades and position at the end do not agree yet: {names}: "
            f"{problem}", remedy="the next start reads them again", account=account.name,
        )  # fmt: skip

    async def _disarm(self, account: LiveAccount) -> None:
        assert account.dead_man is not None
        try:
            async with asyncio.timeout(
                DISARM_DEADLINE_S + DISARM_S_EACH * len(account.instruments)
            ):
                await account.dead_man.disarm()
        except (TickmakerError, TimeoutError) as error:
            what = error.what if isinstance(error, TickmakerError) else "no answer in time"
            self.stage.emit(
                "warning", what=f"dead-man switch of {account.name} not disarmed: {what}",
                remedy="it runs out by itself, and finds nothing of ours", account=account.name,
            )  # fmt: skip
