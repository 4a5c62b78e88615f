"""REST: an adapter's calls, sent within the budget; errors never hold a URL, key or signature.

A call is tried again by itself only where doing it twice is the same as doing it once
(`Call.may_repeat`), and never so often that the caller could not decide better. What goes towards
safety (cancels, positions, open orders) has a short deadline: the next try is worth more than a
long wait. aiohttp repeats a PUT or DELETE once when a kept connection turns out to be dead: of
ours each is the same twice.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote, urlsplit

from engine import clock
from engine.errors import EXIT_FAILED, TickmakerError
from engine.gateway.budget import BACK_OFF_S_MIN, Budget
from engine.gateway.http import TIMEOUT_S, AiohttpClient, Http, HttpReply, NoAnswerError
from engine.gateway.pace import Pace
from engine.gateway.reconnect import backoff_s
from engine.venues.base import Adapter, Call, Failure, Signed, Urgency

T = TypeVar("T")

TRIES = {Urgency.CANCEL: 1, Urgency.UPKEEP: 3, Urgency.SAFETY: 3, Urgency.NORMAL: 4,
         Urgency.SNAPSHOT: 1}  # fmt: skip
# Of one try; others: TIMEOUT_S.
DEADLINE_S = {Urgency.CANCEL: 2.0, Urgency.UPKEEP: 2.0, Urgency.SAFETY: 2.0}
WAIT_S_MAX = 5.0  # a longer wait, the venue's or our budget's, is the caller's to decide
HELD_S = 6.0  # beyond that; held back by our own count: the venue's may be lower by then
BAN_S_MAX = 3 * 86_400.0  # the longest of a venue's bans; what is told beyond is garbled
OnWait = Callable[[float], None]
SECRET_CHARS_MIN = 8  # of a header's or parameter's value, before an error text may not hold it
# What bytes of a venue may bring about in whoever reads them; RecursionError: lists in lists.
UNREAD = (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError,
          RecursionError)  # fmt: skip


class VenueError(TickmakerError):
    """The venue answered with an error, or our own budget holds the call back."""

    def __init__(self, what: str, remedy: str, failure: Failure) -> None:
        super().__init__(what, remedy, EXIT_FAILED)
        self.failure = failure

    @property
    def status(self) -> int:
        return self.failure.status

    @property
    def code(self) -> int:
        return self.failure.code

    @property
    def retry_after_s(self) -> float:
        return self.failure.retry_after_s

    @property
    def is_held_back(self) -> bool:
        """By our own budget: it was not sent."""
        return self.failure.is_throttled and self.failure.status == 0


class UnreachableError(TickmakerError):
    """No answer: refused, reset, or too late. What the request did is unknown unless it only
    asks."""


class RestClient:
    """One account's calls at one venue. `utc_ns` gives the venue's time for signatures."""

    def __init__(
        self,
        adapter: Adapter,
        base_url: str,
        budget: Budget,
        *,
        rng: Random,
        ca_file: Path | None = None,
        connect: Callable[[Path | None], Http] = AiohttpClient,
        utc_ns: Callable[[], int] = clock.wall_ns,
        pace: Pace | None = None,
    ) -> None:
        self._adapter = adapter
        self._base_url = base_url.rstrip("/")
        self.budget = budget
        self._rng = rng
        self._ca_file = ca_file
        self._connect = connect
        self._http: Http | None = None
        self.utc_ns = utc_ns
        self._pace = pace or Pace()
        # What a call without a limit of its own has to wait for, by method and path, once refused;
        # a cancel never waits for that.
        self._learned_ns = 0
        self._paused_until_ns: dict[tuple[str, str], int] = {}
        # Measure the clock anew: the venue refused a request for its timestamp.
        self.on_clock_refused: Callable[[], Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"RestClient({self._base_url!r})"

    async def open(self) -> None:
        self._http = self._connect(self._ca_file)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def call(
        self, call: Call[T], *, tries: int | None = None, timeout_s: float | None = None,
        on_wait: OnWait | None = None,
    ) -> T:
        """What the answer holds; VenueError, UnreachableError, or TickmakerError when it is not
        what the venue documents. `on_wait` hears how long it will wait for the account's limit."""
        body = await self.raw(call, tries=tries, timeout_s=timeout_s, on_wait=on_wait)
        problem = ""
        try:
            return call.read(json.loads(body))
        except json.JSONDecodeError:
            problem = f"the answer is no JSON ({len(body)} bytes)"
        except UNREAD as error:
            # Texts of ours, but never of a call whose answer is a secret (a listen key).
            detail = "" if call.needs_key else f": {str(error)[:120]}"
            kind = type(error).__name__
            problem = f"the answer is not what the venue documents ({kind}{detail})"
        raise TickmakerError(
            f"{call.method} {call.path}: {problem}",
            "check that rest_url is the exchange's REST address",
        )

    def keep_away_until(self, utc_ms: int) -> None:
        """The venue told the address so, elsewhere than in an answer to us: over WebSocket."""
        now_ns = clock.monotonic_ns()
        wait_ns = utc_ms * 1_000_000 - self.utc_ns()
        if wait_ns > 0:
            self.budget.obey(min(wait_ns / 1e9, BAN_S_MAX), now_ns)

    async def raw(
        self, call: Call[Any], *, tries: int | None = None, timeout_s: float | None = None,
        on_wait: OnWait | None = None,
    ) -> bytes:
        """The body as it came, tried again where that is safe."""
        limit = TRIES[call.urgency] if tries is None else tries
        is_measured, attempt = False, 0
        while True:
            try:
                await self._queue(call, on_wait)
                return await self._once(call, timeout_s)
            except VenueError as error:
                if error.failure.is_clock and call.is_signed and not is_measured:
                    is_measured = True  # a refused timestamp: nothing was done, so once more
                    if await self.measure_clock():
                        continue
                wait_s = _wait_s(error.failure, attempt, self._rng)
                if attempt + 1 >= limit or wait_s is None:
                    raise
                if not (call.may_repeat or error.failure.is_throttled):
                    raise
            except UnreachableError:
                if attempt + 1 >= limit or not call.may_repeat:
                    raise
                wait_s = backoff_s(attempt, self._rng)
            attempt += 1
            await asyncio.sleep(wait_s)

    async def measure_clock(self) -> bool:
        """After the venue refused a time stamp; False: it could not be done."""
        if self.on_clock_refused is None:
            return False
        try:
            await self.on_clock_refused()
        except TickmakerError:
            return False  # the refusal itself says more
        return True

    async def _once(self, call: Call[Any], timeout_s: float | None) -> bytes:
        await self._afford(call)
        signed = self._adapter.sign(call, self.utc_ns() // 1_000_000)
        reply = await self._send(call, signed, timeout_s)
        now_ns = clock.monotonic_ns()
        failure = self._failure(call, reply, now_ns)
        if failure is None:
            return reply.body
        if failure.is_throttled:
            self._obey(call, failure, now_ns)
        detail = f"code {failure.code}: " if failure.code else ""
        detail += _scrubbed(failure.text, signed)[:200] or "no error text"
        raise VenueError(
            f"{call.method} {call.path}: HTTP {failure.status}, {detail}",
            remedy(failure), failure,
        )

    def _failure(self, call: Call[Any], reply: HttpReply, now_ns: int) -> Failure | None:
        try:
            used = self._adapter.used_weight(reply.headers)
            if used is not None:
                self.budget.learn(used, now_ns)
            return self._adapter.failure(reply.status, reply.headers, reply.body)
        except UNREAD as error:
            problem = f"an answer with HTTP status {reply.status} can't be read"
            problem += f" ({type(error).__name__})"
        # Whatever it did: as after a 5xx, that is not known.
        failure = Failure(reply.status, 0, problem, is_unknown=True)
        raise VenueError(f"{call.method} {call.path}: {problem}", remedy(failure), failure)

    def _obey(self, call: Call[Any], failure: Failure, now_ns: int) -> None:
        """One account's limit of one call must not stop the cancels of a whole address."""
        wait_s = failure.retry_after_s or BACK_OFF_S_MIN
        if failure.is_of_address:
            self.budget.obey(wait_s, now_ns)
        elif call.limit is not None:
            self._pace.hold(call.limit, wait_s, now_ns)
        elif call.urgency is not Urgency.CANCEL:
            until_ns = now_ns + int(wait_s * 1e9)
            self._paused_until_ns[call.method, call.path] = until_ns

    async def _queue(self, call: Call[Any], on_wait: OnWait | None) -> None:
        """Until the account's own limit of this kind lets it go. Cancels too: the venue would
        refuse them."""
        if call.limit is None:
            return
        wait_ns = self._pace.take(call.limit, clock.monotonic_ns())
        if wait_ns:
            if on_wait is not None:
                on_wait(wait_ns / 1e9)
            await asyncio.sleep(wait_ns / 1e9)

    async def _afford(self, call: Call[Any]) -> None:
        """Until the budget lets it go; VenueError when that would be long."""
        while True:
            now_ns = clock.monotonic_ns()
            # What the venue asked for is waited out; our own count may be higher than its.
            told_ns = self.budget.banned_until_ns - now_ns
            if call.urgency is not Urgency.CANCEL:
                until_ns = self._paused_until_ns.get((call.method, call.path), 0)
                told_ns = max(told_ns, until_ns - now_ns)
            wait_ns = max(self.budget.wait_ns(call.weight, call.urgency, now_ns), told_ns)
            if wait_ns == 0:
                # Counted before it is sent: nobody else may spend it meanwhile.
                self.budget.spend(call.weight, call.urgency, now_ns)
                return
            if wait_ns > WAIT_S_MAX * 1e9:
                is_counted = told_ns <= 0
                if is_counted and call.urgency is not Urgency.UPKEEP and await self._learn():
                    continue
                again_s = min(wait_ns / 1e9, HELD_S) if is_counted else wait_ns / 1e9
                failure = Failure(0, 0, "", is_throttled=True, retry_after_s=again_s)
                raise VenueError(
                    f"{call.method} {call.path}: held back for {wait_ns / 1e9:.0f} s by the "
                    "venue's request limits",
                    remedy(failure), failure,
                )
            await asyncio.sleep(wait_ns / 1e9)

    async def _learn(self) -> bool:
        """The weight that the venue has counted, by the call that costs the least: its minutes are
        fixed ones, so what an engine before this one spent may be over sooner than we'd know."""
        now_ns = clock.monotonic_ns()
        if now_ns - self._learned_ns < HELD_S * 1e9:
            return False
        self._learned_ns = now_ns
        with contextlib.suppress(TickmakerError):  # who needs the venue's time will say so
            await self.call(self._adapter.time(), tries=1)
        return True

    async def _send(
        self, call: Call[Any], signed: Signed, timeout_s: float | None
    ) -> HttpReply:
        assert self._http is not None, "open() first"
        limit_s = DEADLINE_S.get(call.urgency, TIMEOUT_S) if timeout_s is None else timeout_s
        failure = ""
        try:
            return await self._http.request(
                signed.method, self._base_url + signed.target, signed.headers, signed.body,
                limit_s,
            )
        except NoAnswerError as error:
            failure = str(error)
        # Outside the handler: what led to it may hold the signed URL.
        raise UnreachableError(
            f"{call.method} {call.path} at {urlsplit(self._base_url).netloc}: {failure}",
            "check that the exchange runs and that rest_url is right",
        )


def _wait_s(failure: Failure, attempt: int, rng: Random) -> float | None:
    """How long to wait before the next try; None: there is none."""
    if failure.is_throttled:
        wait_s = max(failure.retry_after_s, 0.0)
        return wait_s if wait_s <= WAIT_S_MAX else None
    if failure.is_credential or failure.is_clock:
        return None
    if failure.is_unknown or failure.status >= 500 or failure.status == 408:
        return backoff_s(attempt, rng)
    return None


def _scrubbed(text: str, signed: Signed) -> str:
    """Without what we sent: Bybit's 10004 repeats the signed text, and the key with it."""
    sent = [field.partition("=")[2] for field in urlsplit(signed.target).query.split("&")]
    values = {form for value in sent for form in _forms(value)} | set(signed.headers.values())
    for value in sorted(values, key=len, reverse=True):  # no part of one before the whole
        if len(value) >= SECRET_CHARS_MIN:
            text = text.replace(value, "...")
    return text


def _forms(value: str) -> set[str]:
    """As it was sent, as it was meant (an Ed25519 signature is base64, with +, / and =), and how
    else others escape that."""
    plain = unquote(value)
    quoted = {value, quote(plain, safe=""), quote(plain, safe="/"), quote_plus(plain)}
    small = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in quoted}
    return {plain, *quoted, *small}


def remedy(failure: Failure) -> str:
    """What a person can do about it."""
    if failure.is_credential:
        return "check the API key, its permissions and its address list"
    if failure.is_clock:
        return "this host's clock is off: check NTP, or raise recv_window_ms"
    if failure.is_throttled:
        return "the venue asks us to slow down: wait before the next start"
    if failure.is_unknown or failure.status >= 500 or failure.status == 408:
        return "the venue has trouble: try again later"
    return "the venue refused the request; its error code is documented under 'Error codes'"
