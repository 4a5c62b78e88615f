"""What an account holds, and the pulling of its orders: an adapter's calls made whole.

Answers in pages are read to the end, and an order is absent only when every place where the venue
keeps orders says so. Cancels touch our own orders alone, and are proved by a query: a cancel's own
answer says nothing about what is open.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from engine.errors import TickmakerError
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import OnWait, RestClient, VenueError
from engine.venues.base import (
    Adapter,
    BalanceRow,
    Call,
    Instrument,
    OrderRow,
    TradeRow,
)
from fastcore.types import Side

PAGES_MAX = 1_000  # of one answer: a venue that never ends a list is broken
TOGETHER_MAX = 6  # cancels on their way at once
# Where every order that rests is ours, all are cancelled with one call: when there are more than
# so many, or after so many rounds by id. Fewer go by id, for who places one just now is spared.
MANY = 20
ROUNDS_SINGLE = 2
PAUSE_S_MAX = 1.0

IsOurs = Callable[[OrderRow], bool]


class AccountCalls:
    """One account at one venue."""

    def __init__(
        self, rest: RestClient, adapter: Adapter, instruments: Sequence[Instrument], *,
        rng: Random,
    ) -> None:
        self._rest = rest
        self._adapter = adapter
        self._instruments = tuple(instruments)
        self._rng = rng

    def __repr__(self) -> str:
        return f"AccountCalls({self._adapter.name}, {len(self._instruments)} instruments)"

    # -- QUERIES ---

    async def open_orders(self, instrument: Instrument) -> list[OrderRow]:
        """Everything open in it, ours or not, conditional orders too."""
        found, cursor = await self._rest.call(self._adapter.open_orders(instrument))
        for _ in range(PAGES_MAX):
            if not cursor:
                break
            rows, cursor = await self._rest.call(self._adapter.open_orders(instrument, cursor))
            found = [*found, *rows]
        else:
            raise _endless("open orders")
        conditional = self._adapter.open_conditional(instrument)
        if conditional is not None:
            found = [*found, *await self._rest.call(conditional)]
        # A page may begin with what the one before ended with, when orders came or went.
        return list({(row.is_conditional, row.venue_order_text): row for row in found}.values())

    async def trades_since(self, instrument: Instrument, since_ns: int) -> list[TradeRow]:
        """Executions at `since_ns` (venue's UTC) and later, oldest first, each once."""
        found: dict[tuple[int, Side], TradeRow] = {}  # both sides of a trade may be ours
        cursor = ""
        for _ in range(PAGES_MAX):
            call = self._adapter.trades(instrument, since_ns, cursor)
            rows, cursor = await self._rest.call(call)
            found |= {(row.trade_id, row.side): row for row in rows}
            if not cursor:
                return list(found.values())
        raise _endless("trades")

    async def positions(self) -> dict[tuple[str, str], int]:
        """Lots by (Instrument.venue, symbol), of every instrument of the account: a symbol may be
        traded in two categories. What is asked for together is the venue's matter."""
        groups: dict[tuple[str, str], list[Instrument]] = {}
        for instrument in self._instruments:
            groups.setdefault((instrument.venue, instrument.quote), []).append(instrument)
        found: dict[tuple[str, str], int] = {}
        for (venue, _), group in groups.items():
            rows = await self._rest.call(self._adapter.positions(group))
            found |= {(venue, row.symbol): row.position_lots for row in rows}
        return found

    async def position(self, instrument: Instrument) -> int:
        """Lots of one instrument."""
        rows = await self._rest.call(self._adapter.positions([instrument]))
        return sum(row.position_lots for row in rows if row.symbol == instrument.symbol)

    async def balances(self) -> list[BalanceRow]:
        return await self._rest.call(self._adapter.balances())

    async def order(self, instrument: Instrument, client_id: str) -> OrderRow | None:
        """An order by our id; None: the venue never had it."""
        row = await self._ask(self._adapter.order(instrument, client_id))
        if row is None:
            row = await self._ask(self._adapter.order_history(instrument, client_id))
        return row

    async def order_by_id(self, instrument: Instrument, order_text: str) -> OrderRow | None:
        row = await self._ask(self._adapter.order_by_id(instrument, order_text))
        if row is None:
            row = await self._ask(self._adapter.order_history_by_id(instrument, order_text))
        return row

    async def _ask(self, call: Call[OrderRow | None] | None) -> OrderRow | None:
        if call is None:
            return None
        try:
            return await self._rest.call(call)
        except VenueError as error:
            if error.failure.is_absent:
                return None
            raise

    # -- PULLING ORDERS ---

    async def cancel_ours(
        self, instrument: Instrument, is_ours: IsOurs, timeout_s: float, *,
        is_everything: bool = False, at_most_s: float | None = None,
    ) -> int:
        """Cancel until the venue itself says that none of ours is open; how many were seen.

        `timeout_s`: without progress; `at_most_s`: with it (None: as long as it goes on). Bybit
        lets twenty go a second, so that of 500 among strangers' takes its time, and waiting for
        one's turn is progress while each look finds fewer than the one before.
        `is_everything`: nobody else may have orders there, so all are cancelled first and nothing
        waits for the query. Safe to repeat: a cancel whose answer was lost is followed by the
        query and the next cancel, not by hope.
        """
        found = attempt = 0
        fewest: int | None = None
        now_s = asyncio.get_running_loop().time
        last_s = None if at_most_s is None else now_s() + at_most_s
        problem = "orders stay open"
        goes_on = True
        try:
            async with asyncio.timeout(timeout_s) as deadline:

                def on_wait(seconds: float) -> None:
                    if goes_on:
                        extend(deadline, now_s() + seconds + timeout_s, last_s)

                while True:
                    try:
                        if is_everything:
                            await self._cancel_all(instrument, on_wait)
                        rows = await self.open_orders(instrument)
                        ours = [row for row in rows if is_ours(row)]
                        if not ours:
                            return found
                        found = max(found, len(ours))
                        problem = f"{len(ours)} orders stay open"
                        goes_on = fewest is None or len(ours) < fewest
                        if fewest is not None and goes_on:
                            extend(deadline, now_s() + timeout_s, last_s)
                        fewest = min(len(ours), fewest or len(ours))
                        is_alone = len(ours) == len(rows)
                        if is_alone and (attempt >= ROUNDS_SINGLE or len(ours) > MANY):
                            await self._cancel_all(instrument, on_wait)
                        elif not is_everything:
                            await self.cancel_rows(instrument, ours, on_wait)
                    except TickmakerError as error:
                        problem = error.what
                        if isinstance(error, VenueError) and error.status == 0:
                            # Our own budget's: of many instruments a question may wait a minute.
                            extend(deadline, now_s() + error.retry_after_s + timeout_s, last_s)
                        await _heed(error)
                    # The first query may well come before the cancel has done its work.
                    await asyncio.sleep(backoff_s(attempt, self._rng, cap_s=PAUSE_S_MAX))
                    attempt += 1
        except TimeoutError:
            raise TickmakerError(
                f"could not prove within {timeout_s:g} s that no order is open: {problem}",
                f"look at the open orders of {instrument.symbol} at the venue and cancel them "
                "there",
            ) from None

    async def cancel_rows(
        self, instrument: Instrument, rows: Sequence[OrderRow], on_wait: OnWait | None = None
    ) -> None:
        """Each once, together where the venue can; the first problem is raised at the end, as the
        others must not wait for it. Where batches have a limit of their own, single cancels take
        from the other end of the line, so that both are used up."""
        size = self._adapter.cancel_batch_max
        together = deque(row for row in rows if size > 1 and not row.is_conditional)
        alone = deque(row for row in rows if size <= 1 or row.is_conditional)
        problems: list[TickmakerError] = []

        async def send(call: Call[None]) -> None:
            try:
                await self._cancel(call, on_wait)
            except TickmakerError as error:
                problems.append(error)

        async def in_batches() -> None:
            while together:
                batch = [together.popleft() for _ in range(min(size, len(together)))]
                many = self._adapter.cancel_many(instrument, batch) if len(batch) > 1 else None
                calls = [many] if many is not None else [
                    self._adapter.cancel(instrument, row) for row in batch
                ]  # fmt: skip
                for call in calls:
                    await send(call)

        async def one_by_one() -> None:
            while alone or (together and self._adapter.has_cancels_apart):
                row = alone.popleft() if alone else together.pop()
                await send(self._adapter.cancel(instrument, row))

        # One batch at a time where they wait for their turn anyway: what it holds can't go singly.
        batches = 1 if self._adapter.has_cancels_apart else TOGETHER_MAX
        await _all([in_batches() for _ in range(batches)]
                   + [one_by_one() for _ in range(TOGETHER_MAX)])  # fmt: skip
        if problems:
            raise problems[0]

    async def _cancel_all(self, instrument: Instrument, on_wait: OnWait) -> None:
        await _all([
            self._cancel(call, on_wait) for call in self._adapter.cancel_all(instrument)
        ])  # fmt: skip

    async def _cancel(self, call: Call[None], on_wait: OnWait | None) -> None:
        try:
            await self._rest.call(call, on_wait=on_wait)
        except VenueError as error:
            if not error.failure.is_absent:  # it is gone already
                raise


async def _all(work: Sequence[Awaitable[None]]) -> None:
    """To the end of each; then the first problem is raised."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def extend(deadline: asyncio.Timeout, until_s: float, last_s: float | None) -> None:
    """Never sooner than it was, and never past `last_s`."""
    until_s = max(until_s, deadline.when() or until_s)
    deadline.reschedule(until_s if last_s is None else min(until_s, last_s))


async def _heed(error: TickmakerError) -> None:
    """What a refusal asks for before the next try; raises where none can help."""
    if isinstance(error, VenueError):
        if error.failure.is_credential:
            raise error
        if error.failure.is_of_address or error.is_held_back:
            await asyncio.sleep(error.retry_after_s)


def _endless(what: str) -> TickmakerError:
    return TickmakerError(
        f"the venue's list of {what} has no end",
        "check that rest_url is the exchange's REST address",
    )
