"""The account's cold side: clock, instrument, position, open orders, listen key, over REST."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.venues import binance_usdm as venue

CLOCK_SAMPLES = 5
CLOCK_REQUEST_S = 1.0  # a longer round trip says too little of the venue's time
JUMP_NS_MAX = 1_000_000_000  # of the offset between two measurements, before it is doubted
REQUEST_S = 2.0  # of each request that pulls orders: one try, then the next one
MS_NS = 1_000_000


class ClockSample(NamedTuple):
    """The venue's UTC less our monotonic clock; wrong by at most half the round trip."""

    offset_ns: int
    round_trip_ns: int


class Account:
    """One account at one venue, one instrument."""

    def __init__(self, rest: RestClient, symbol: str, rng: Random) -> None:
        self._rest = rest
        self._symbol = symbol
        self._rng = rng
        self._listen_key = ""
        self._offset_ns: int | None = None
        # Measure the clock anew and sign by it: the venue refused a request for its timestamp.
        self.on_clock_refused: Callable[[], Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"Account({self._symbol!r})"

    async def clock_sample(self, samples: int = CLOCK_SAMPLES) -> ClockSample:
        """Venue time against the middle of the round trip; the quickest of `samples`.

        An offset that jumped is taken only when measuring it again agrees.
        """
        sample = await self._quickest(samples)
        if self._offset_ns is not None and not _agree(sample.offset_ns, self._offset_ns):
            first, sample = sample, await self._quickest(samples)
            if not _agree(sample.offset_ns, first.offset_ns):
                raise TickmakerError(
                    f"GET {venue.TIME}: the venue's time jumps from one answer to the next",
                    "check that rest_url is the exchange's REST address",
                )
        self._offset_ns = sample.offset_ns
        return sample

    async def _quickest(self, samples: int) -> ClockSample:
        best: ClockSample | None = None
        problem: TickmakerError | None = None
        for attempt in range(samples):
            try:
                sample = await self._one_sample()
            except (UnreachableError, VenueError) as error:
                problem = error
                await asyncio.sleep(backoff_s(attempt, self._rng))
                continue
            if best is None or sample.round_trip_ns < best.round_trip_ns:
                best = sample
        if best is None:
            assert problem is not None
            raise problem
        return best

    async def _one_sample(self) -> ClockSample:
        before_ns = clock.monotonic_ns()
        async with _short("GET", venue.TIME, CLOCK_REQUEST_S):
            body = await self._rest.get_bytes(venue.TIME, tries=1)
        after_ns = clock.monotonic_ns()
        try:
            # Whole milliseconds, cut off: on average half of one is missing.
            venue_ns = int(json.loads(body)["serverTime"]) * MS_NS + MS_NS // 2
        except (KeyError, TypeError, ValueError):
            raise TickmakerError(
                f"GET {venue.TIME}: the answer holds no serverTime",
                "check that rest_url is the exchange's REST address",
            ) from None
        return ClockSample(venue_ns - (before_ns + after_ns) // 2, after_ns - before_ns)

    async def instrument(self) -> venue.Instrument:
        info = await self._rest.get(venue.EXCHANGE_INFO)
        if not isinstance(info, dict):
            raise TickmakerError(
                f"GET {venue.EXCHANGE_INFO}: Expected an object, was {type(info).__name__}",
                "check that rest_url is the exchange's REST address",
            )
        return venue.instrument(info, self._symbol)

    async def position_lots(self, traded: venue.Instrument) -> int:
        rows = await self._rest.get(
            venue.POSITION_RISK, {"symbol": self._symbol}, is_signed=True
        )
        return venue.position_lots(rows, traded)

    async def cancel_all(self, timeout_s: float) -> int:
        """Cancel until the venue itself says that nothing is open; how many were seen, at least.

        The cancel goes first and waits for no query. Safe to repeat: a cancel whose answer was
        lost is followed by the next one and by the query, not by hope.
        """
        found = 0
        problem = "orders stay open"
        attempt = 0
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        await self._pull()
                        left = len(await self.open_orders())
                        if left == 0:
                            return found
                        found = max(found, left)
                        problem = f"{left} orders stay open"
                    except TickmakerError as error:
                        problem = error.what
                        await self._on_problem(error)
                    await asyncio.sleep(backoff_s(attempt, self._rng, cap_s=1.0))
                    attempt += 1
        except TimeoutError:
            raise TickmakerError(
                f"could not prove within {timeout_s:g} s that no order is open: {problem}",
                f"look at the open orders of {self._symbol} at the venue and cancel them there",
            ) from None

    async def _pull(self) -> None:
        """One cancel of everything; its answer says nothing about what is open."""
        async with _short("DELETE", venue.ALL_OPEN_ORDERS):
            await self._rest.send("DELETE", venue.ALL_OPEN_ORDERS, {"symbol": self._symbol})

    async def open_orders(self) -> list[dict[str, Any]]:
        """Every open order of the symbol, ours or not; one short try."""
        async with _short("GET", venue.OPEN_ORDERS):
            body = await self._rest.get_bytes(
                venue.OPEN_ORDERS, {"symbol": self._symbol}, is_signed=True, tries=1
            )
        try:
            rows: list[dict[str, Any]] | None = json.loads(body)
        except ValueError:
            rows = None
        if not isinstance(rows, list):
            # Never taken for an empty list.
            raise TickmakerError(
                f"GET {venue.OPEN_ORDERS}: the answer is no list of orders",
                "check that rest_url is the exchange's REST address",
            )
        return rows

    async def _on_problem(self, error: TickmakerError) -> None:
        """What a refusal asks for before the next try; raises where none can help."""
        if not isinstance(error, VenueError):
            return
        if error.code in venue.CODES_CREDENTIAL:
            raise error
        if error.status in venue.STATUS_THROTTLED:
            await asyncio.sleep(error.retry_after_s)
        if error.code == venue.CODE_TIMESTAMP and self.on_clock_refused is not None:
            with contextlib.suppress(TickmakerError):  # the next try will be refused again
                await self.on_clock_refused()

    # -- LISTEN KEY: a secret; it is handed to user_url() and nowhere else ---

    async def renew_listen_key(self) -> str:
        """The account's listen key, made or extended to 60 more minutes."""
        answer = await self._rest.send("POST", venue.LISTEN_KEY, is_signed=False)
        key = answer.get("listenKey") if isinstance(answer, dict) else None
        if not isinstance(key, str) or not key:
            raise TickmakerError(
                f"POST {venue.LISTEN_KEY}: the answer holds no listen key",
                "check that rest_url is the exchange's REST address",
            )
        self._listen_key = key
        return key

    async def keep_listen_key(self) -> bool:
        """Extend it; False when the venue no longer knows it, and USER must be connected anew."""
        try:
            await self._rest.send(
                "PUT", venue.LISTEN_KEY, {"listenKey": self._listen_key}, is_signed=False
            )
        except VenueError as error:
            if error.code == venue.CODE_LISTEN_KEY_GONE:
                return False
            raise
        return True


def _agree(one_ns: int, other_ns: int) -> bool:
    return abs(one_ns - other_ns) <= JUMP_NS_MAX


@asynccontextmanager
async def _short(
    method: str, path: str, timeout_s: float | None = None
) -> AsyncIterator[None]:
    """No request on the way to safety may hold up the next one."""
    limit_s = REQUEST_S if timeout_s is None else timeout_s
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise UnreachableError(
            f"{method} {path}: no answer within {limit_s:g} s",
            "check that the exchange runs and that rest_url is right",
        ) from None
