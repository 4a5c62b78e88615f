"""aiohttp without its own words: what it can't read is refused by who serves, and not quoted.

aiohttp answers an oversized body or a broken request line in plain text of its own and logs a
traceback with the first bytes of the line, where a listen key may stand.
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from engine.exchange.face import Trouble

log = logging.getLogger("tickmaker.exchange")

Handler = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]
Refuse = Callable[[web.BaseRequest, Trouble], web.StreamResponse]
# INTERNAL: our own failure.


class HttpServer(web.Server):
    """Requests go to `handler` with their bodies; what is no request goes to `refuse`."""

    def __init__(self, handler: Handler, refuse: Refuse) -> None:
        self.refuse = refuse

        async def on_request(http: web.BaseRequest) -> web.StreamResponse:
            try:
                body = await http.read() if http.can_read_body else b""
            except web.HTTPRequestEntityTooLarge:
                return self.refuse(http, Trouble.TOO_LARGE)
            except ConnectionError:
                raise
            except Exception as error:  # of any kind, as the content's encoding has
                log.info("a request's body can't be read: %s", type(error).__name__)
                return self.refuse(http, Trouble.MALFORMED)
            return await handler(http, body)

        super().__init__(on_request, handler_cancellation=True, access_log=None)

    def __call__(self) -> web.RequestHandler:
        return HttpEnd(self, loop=self._loop, **self._kwargs)


class HttpEnd(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Any:
        """Instead of aiohttp's text. No word of `exc` is logged: it quotes the request."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        kind = Trouble.INTERNAL
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            kind = Trouble.TOO_LARGE if isinstance(exc, LineTooLong) else Trouble.MALFORMED
        level = logging.ERROR if kind is Trouble.INTERNAL else logging.INFO
        log.log(level, "no HTTP request: %s", type(exc).__name__)
        response = cast(HttpServer, self._manager).refuse(request, kind)
        response.force_close()
        return response
