"""Pulls an account's orders over REST, where TRADE can't, and proves that none is left.

While TRADE is down nobody else can cancel: a place that left before the loss may reach the venue
as long as recvWindow lets it, and REST may fail at the very moment. So it is pulled again and
again until a proof that began after the last such place could arrive; from then on whenever a core
tells of an order that the proof did not see.

While USER alone is down the cores cancel over TRADE, but no venue tells there what became of it:
Bybit's answer says only that the request was taken. Once their answers are due the same is done
over REST: the reconciliation, which looks otherwise, has to wait for USER.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine import clock
from engine.errors import TickmakerError
from engine.execution.belief import Owner
from engine.execution.reconcile import owner_of
from engine.gateway.reconnect import backoff_s
from engine.live.instrument import LiveInstrument
from engine.live.stage import cancelled, each
from engine.venues.base import OrderRow

if TYPE_CHECKING:
    from engine.live.account import LiveAccount

CANCEL_TIMEOUT_S = 10.0
TURN_S = 0.005
LOOK_S = 0.1  # for orders that a core tells of after the proof
PAUSE_S_MAX = 2.0  # between two tries: quotes rest


def is_ours(row: OrderRow) -> bool:
    """Of this run or of an earlier one."""
    return owner_of(row.client_id, "") is not Owner.STRANGER


class Pull:
    """Of one account."""

    def __init__(self, account: "LiveAccount") -> None:
        self._account = account
        self._stage = account.stage
        self._task: asyncio.Task[None] | None = None

    def on_trade_lost(self) -> None:
        """At most one task at work."""
        if self._stage.is_active and (self._task is None or self._task.done()):
            self._task = self._stage.spawn(self._while_lost(), f"pull {self._account.name}")

    def on_trade_doubt(self) -> None:
        """It is up, and does not answer. Once: the loss, or a round, sees to what comes later."""
        if self._stage.is_active and (self._task is None or self._task.done()):
            self._task = self._stage.spawn(self._once(), f"pull {self._account.name}")

    def on_user_lost(self) -> None:
        """Where TRADE is lost, too, one is at work already."""
        if self._stage.is_active and (self._task is None or self._task.done()):
            self._task = self._stage.spawn(self._while_deaf(), f"pull {self._account.name}")

    async def _once(self) -> None:
        await self.all()
        if not self._account.is_private_up:  # given up meanwhile
            await self._while_lost()

    async def _while_deaf(self) -> None:
        """The cores' cancels are answered over TRADE: that is sooner than a round of REST calls
        of many instruments, and USER may be back by then."""
        account = self._account
        ack_ms = max(one.config.core.budgets.ack_ms_max for one in account.instruments)
        until_ns = clock.monotonic_ns() + int(ack_ms * 1e6)
        while account.is_trade_up and clock.monotonic_ns() < until_ns:
            await asyncio.sleep(TURN_S)
        await self._while_lost()

    async def close(self) -> None:
        if self._task is not None:
            await cancelled(self._task)

    async def _while_lost(self) -> None:
        account, attempt = self._account, 0
        while not account.is_private_up:
            begun_ns, arrival_ns = clock.monotonic_ns(), self._arrival_ns()
            is_proved = await self.all()
            if is_proved and begun_ns > max(arrival_ns, self._arrival_ns()):
                await self._until_news(self._at_work(), begun_ns)
                attempt = 0
            else:
                await asyncio.sleep(backoff_s(attempt, self._stage.rng, cap_s=PAUSE_S_MAX))
                attempt += 1

    async def _until_news(self, seen: set[str], proved_ns: int) -> None:
        """Until a core tells of an order that it didn't know at the proof, one may arrive after
        it, or both connections are up."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._account.is_private_up or not self._at_work() <= seen:
                return
            if proved_ns <= self._arrival_ns():
                return

    def _at_work(self) -> set[str]:
        return {
            own["client_id"] for instrument in self._account.instruments
            if instrument.core.working_count for own in instrument.core.numbers()["own"]
        }  # fmt: skip

    async def all(self) -> bool:
        """Of each instrument; False: not proved of some."""
        return all(await each([self._try(one) for one in self._account.instruments]))

    async def _try(self, instrument: LiveInstrument) -> bool:
        try:
            await self.cancel(instrument, CANCEL_TIMEOUT_S)
        except TickmakerError as error:
            self._stage.warn(error, **instrument.where)
            return False
        return True

    async def leftovers(self) -> None:
        """At start-up: what earlier runs left, and what is not ours where the policy says so."""
        await each([self.cancel(one, CANCEL_TIMEOUT_S) for one in self._account.instruments])

    async def cancel(
        self, instrument: LiveInstrument, timeout_s: float, at_most_s: float | None = None
    ) -> int:
        """Cancel what should not rest there, and prove it; how many were seen. Where nobody else
        may have orders one call pulls them all, however many there are."""
        is_everything = self._account.config.strangers == "cancel"
        return await self._account.calls.cancel_ours(
            instrument.traded, (lambda _: True) if is_everything else is_ours, timeout_s,
            is_everything=is_everything, at_most_s=at_most_s,
        )  # fmt: skip

    # -- WHAT IS ON ITS WAY ---

    def _arrival_ns(self) -> int:
        """As last_arrival_ns; of a TRADE connection that is up only what it has not answered may
        arrive yet."""
        lost_ns = self._account.user.lost_ns
        if lost_ns is not None and self._account.is_trade_up and any(
            instrument.is_any_on_its_way() for instrument in self._account.instruments
        ):
            window_ns = self._account.config.recv_window_ms * 1_000_000
            return max(self.last_arrival_ns(), lost_ns + window_ns)
        return self.last_arrival_ns()

    def last_arrival_ns(self) -> int:
        """When the last place that left on a lost TRADE connection may reach the venue."""
        lost_ns = self._account.trade_lost_ns
        return 0 if lost_ns is None else lost_ns + self._account.config.recv_window_ms * 1_000_000

    async def nothing_on_its_way(self, batch: Sequence[LiveInstrument]) -> None:
        """Until no place of the halted cores can reach the venue any more; at most recvWindow.

        The venue refuses what arrives later than recvWindow after its timestamp, so a TRADE
        connection that was lost with a place unanswered is waited out, whatever the core believes
        of it by now; on a connection that is up, each order is acknowledged sooner.
        """
        pending_ns = clock.monotonic_ns() + self._account.config.recv_window_ms * 1_000_000
        lost_ns = self.last_arrival_ns()
        if not self._account.is_trade_up:
            pending_ns = min(pending_ns, lost_ns)
        if any(instrument.is_any_on_its_way() for instrument in batch):
            self._account.trade.suspect()  # half open it would hold us up for long
        while True:
            now_ns = clock.monotonic_ns()
            is_any = any(instrument.is_any_on_its_way() for instrument in batch)
            if now_ns > lost_ns and (now_ns > pending_ns or not is_any):
                return
            await asyncio.sleep(TURN_S)
