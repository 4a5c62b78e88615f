"""HTTP/1.1 as the REST client needs it: one request, one answer, or no answer.

`AiohttpClient` is the real one; the simulator has another (sim/network.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp
from yarl import URL

from engine.gateway.handshake import strerror
from engine.gateway.tls import client_context

TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0
BODY_BYTES_MAX = 32 * 1024 * 1024
CONNECTIONS_MAX = 32  # to one venue: a cancel must not wait for a connection behind slow answers


class HttpReply(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]  # names in any case


class NoAnswerError(Exception):
    """Refused, reset, or too late. The text names no URL: ours hold keys and signatures."""


class Http(Protocol):
    """Requests to one venue. `url` is whole and encoded; redirects are not followed."""

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"",
        timeout_s: float = TIMEOUT_S,
    ) -> HttpReply:
        """NoAnswerError when there is none within `timeout_s`."""
        ...

    async def close(self) -> None: ...


class AiohttpClient:
    """Over TCP or TLS, a few connections kept. Made inside a running loop."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=client_context(ca_file)),
            trust_env=False,
        )

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"",
        timeout_s: float = TIMEOUT_S,
    ) -> HttpReply:
        failure = ""
        timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=min(timeout_s, CONNECT_TIMEOUT_S)
        )
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, data=body or None,
                allow_redirects=False, timeout=timeout,
            ) as answer:
                read = await answer.content.read(BODY_BYTES_MAX)
                while len(read) < BODY_BYTES_MAX and (more := await answer.content.readany()):
                    read += more
                return HttpReply(answer.status, read, answer.headers)
        except TimeoutError:
            failure = f"no answer within {timeout_s:g} s"
        except aiohttp.ClientConnectorError as error:
            failure = f"cannot connect ({strerror(error.os_error)})"
        except aiohttp.ClientError as error:
            failure = type(error).__name__
        # Raised outside the handler: aiohttp's errors hold the signed URL.
        raise NoAnswerError(failure)

    async def close(self) -> None:
        await self._session.close()
