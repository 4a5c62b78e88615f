"""HTTP/1.1 as the REST client needs it: one request, one answer, or no answer.

`AiohttpClient` is the real one; the simulator has another (sim/network.py).
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import aiohttp
from yarl import URL

from engine.gateway.handshake import strerror

TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0
BODY_BYTES_MAX = 32 * 1024 * 1024


class HttpReply(NamedTuple):
    status: int
    body: bytes
    retry_after: str  # the header; empty: there is none


class NoAnswerError(Exception):
    """Refused, reset, or too late. The text names no URL: ours hold keys and signatures."""


class Http(Protocol):
    """Requests to one venue. `url` is whole and encoded; redirects are not followed."""

    async def request(self, method: str, url: str, headers: Mapping[str, str]) -> HttpReply:
        """NoAnswerError when there is none within TIMEOUT_S."""
        ...

    async def close(self) -> None: ...


class AiohttpClient:
    """Over TCP, at most four connections kept. Made inside a running loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=4),
            trust_env=False,
        )

    async def request(self, method: str, url: str, headers: Mapping[str, str]) -> HttpReply:
        failure = ""
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.content.read(BODY_BYTES_MAX)
                while len(body) < BODY_BYTES_MAX and (more := await answer.content.readany()):
                    body += more
                return HttpReply(answer.status, body, answer.headers.get("Retry-After", ""))
        except TimeoutError:
            failure = f"no answer within {TIMEOUT_S:g} s"
        except aiohttp.ClientConnectorError as error:
            failure = f"cannot connect ({strerror(error.os_error)})"
        except aiohttp.ClientError as error:
            failure = type(error).__name__
        # Raised outside the handler: aiohttp's errors hold the signed URL.
        raise NoAnswerError(failure)

    async def close(self) -> None:
        await self._session.close()
