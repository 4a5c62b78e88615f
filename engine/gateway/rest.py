"""REST: signed requests, and errors that never hold a URL, a key or a signature.

Only GETs are tried again by themselves: a POST whose answer is lost may have worked, and its
caller must find out instead. (aiohttp repeats a PUT or DELETE once when a kept connection turns
out to be dead: ours extend a listen key and cancel everything, which twice is the same as once.)
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit

from engine import clock
from engine.errors import EXIT_FAILED, TickmakerError
from engine.gateway.http import AiohttpClient, Http, NoAnswerError
from engine.gateway.reconnect import backoff_s
from engine.venues import binance_usdm as venue

GET_TRIES = 4
RETRY_AFTER_S_MAX = 5.0  # a longer wait is the caller's to decide


class VenueError(TickmakerError):
    """The venue answered with an error. `code` is its own (0: none), `status` is HTTP's."""

    def __init__(
        self, what: str, remedy: str, *, status: int, code: int, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(what, remedy, EXIT_FAILED)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class UnreachableError(TickmakerError):
    """No answer: refused, reset, or too late. What the request did is unknown unless a GET."""


class RestClient:
    """One venue's REST, one account. `utc_ns` gives the venue's time for signatures."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        secret: str,
        *,
        recv_window_ms: int,
        rng: Random,
        utc_ns: Callable[[], int] = clock.wall_ns,
        connect: Callable[[], Http] = AiohttpClient,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._secret = secret.encode()
        self._recv_window_ms = recv_window_ms
        self._rng = rng
        self.utc_ns = utc_ns
        self._connect = connect
        self._http: Http | None = None

    def __repr__(self) -> str:
        return f"RestClient({self._base_url!r})"

    async def open(self) -> None:
        self._http = self._connect()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def get(self, path: str, params: dict[str, str] | None = None, *,
                  is_signed: bool = False) -> Any:
        """Parsed JSON of a GET, tried up to GET_TRIES times."""
        return _parsed(await self.get_bytes(path, params, is_signed=is_signed), "GET", path)

    async def get_bytes(self, path: str, params: dict[str, str] | None = None, *,
                        is_signed: bool = False, tries: int = GET_TRIES) -> bytes:
        """Body of a GET as it came."""
        for attempt in range(tries):
            try:
                return await self._request("GET", path, params or {}, is_signed)
            except TickmakerError as error:
                wait_s = _wait_s(error, attempt, self._rng)
                if attempt + 1 == tries or wait_s is None:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def send(self, method: str, path: str, params: dict[str, str] | None = None, *,
                   is_signed: bool = True) -> Any:
        """POST, PUT or DELETE, once."""
        return _parsed(await self._request(method, path, params or {}, is_signed), method, path)

    async def _request(
        self, method: str, path: str, params: dict[str, str], is_signed: bool
    ) -> bytes:
        assert self._http is not None, "open() first"
        url = f"{self._base_url}{path}?{self._query(params, is_signed)}".rstrip("?")
        failure = ""
        try:
            status, body, retry_after = await self._http.request(
                method, url, {venue.API_KEY_HEADER: self._api_key}
            )
        except NoAnswerError as error:
            failure = str(error)
        if failure:
            # Outside the handler: what led to it may hold the signed URL.
            raise UnreachableError(
                f"{method} {path} at {urlsplit(self._base_url).netloc}: {failure}",
                "check that the exchange runs and that rest_url is right",
            )
        if status != 200:
            raise _venue_error(method, path, status, retry_after, body)
        return body

    def _query(self, params: dict[str, str], is_signed: bool) -> str:
        if not is_signed:
            return urlencode(params)
        query = urlencode({
            **params,
            "recvWindow": str(self._recv_window_ms),
            "timestamp": str(self.utc_ns() // 1_000_000),
        })
        signature = hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={signature}"


def _wait_s(error: TickmakerError, attempt: int, rng: Random) -> float | None:
    """How long to wait before a GET is tried again; None: it is not."""
    if isinstance(error, UnreachableError):
        return backoff_s(attempt, rng)
    if isinstance(error, VenueError):
        if error.status in venue.STATUS_THROTTLED:
            return error.retry_after_s if error.retry_after_s <= RETRY_AFTER_S_MAX else None
        if error.status >= 500 or error.status == venue.STATUS_TIMEOUT:
            return backoff_s(attempt, rng)
    return None


def _venue_error(
    method: str, path: str, status: int, retry_after: str, body: bytes
) -> VenueError:
    code, text = 0, ""
    try:
        answer = json.loads(body)
        code, text = int(answer["code"]), str(answer["msg"])[:200]
    except (ValueError, KeyError, TypeError):
        pass
    detail = f"code {code}: {text}" if code else "no error code"
    try:
        retry_after_s = max(float(retry_after), 0.0)
    except ValueError:
        retry_after_s = 1.0
    return VenueError(
        f"{method} {path}: HTTP {status}, {detail}",
        venue.remedy(status, code),
        status=status,
        code=code,
        retry_after_s=retry_after_s,
    )


def _parsed(body: bytes, method: str, path: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise TickmakerError(
            f"{method} {path}: the answer is no JSON ({len(body)} bytes)",
            "check that rest_url is the exchange's REST address",
        ) from None
