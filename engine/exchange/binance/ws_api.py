"""The WebSocket API of Binance's venues: envelope, ids, sessions, errors.

"General API information" and "Session authentication" of the spot WebSocket API, "WebSocket API
General Info" of USD-M: the same envelope, the same sessions.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from engine.exchange.binance.auth import (
    Security,
    check_permission,
    check_signature,
    check_time,
    known_key,
    sorted_payload,
)
from engine.exchange.binance.calls import Call, Route, cost_of, orders_of
from engine.exchange.binance.conns import Conn
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import MS, RateLimits
from engine.exchange.binance.params import json_object, mandatory, text_params
from engine.exchange.events import Output
from engine.exchange.keys import Key, KeyKind, Keyring

NO_SUCH_METHOD = -1020
SESSION_WEIGHT = 2
WRONG_KEY_KIND = "HMAC_SHA256 API key is not supported."  # unverified


class Owner(Protocol):
    """What the API needs of its face."""

    limits: RateLimits

    @property
    def keyring(self) -> Keyring: ...

    @property
    def skew_ns(self) -> int: ...

    def session_extra(self, conn: Conn) -> str: ...


class WsApi:
    """Answers for one face; `methods` are the venue's, sessions are added."""

    def __init__(self, owner: Owner, methods: Mapping[str, Route]) -> None:
        self._owner = owner
        self._methods = dict(methods)
        for name, handler in (
            ("session.logon", self._logon),
            ("session.status", self._status),
            ("session.logout", self._logout),
        ):
            self._methods[name] = Route(handler, Security.NONE, SESSION_WEIGHT)

    # -- ENVELOPE ---

    def answer(self, conn: Conn, text: str, t_ns: int, out: list[Output]) -> str:
        """The whole response to one message."""
        now_ns = t_ns + self._owner.skew_ns
        id_json, account, shows_limits = "null", -1, conn.returns_limits
        call: Call | None = None
        route: Route | None = None
        try:
            request = json_object(text)
            id_json = id_json_of(request.get("id"))
            params = text_params(request.get("params"))
            if text_flag := params.get("returnRateLimits"):
                shows_limits = text_flag == "true"
            call = Call(params, None, conn.ip, t_ns, now_ns, conn, out)
            route = self._route(request.get("method"), call)
            result = self._run(route, call)
            status, face = 200, f'"result":{result}'
        except RevokedError:
            return revoked_json()
        except VenueError as error:
            status, face = error.status, f'"error":{error.json(is_ws=True)}'
        if route is not None and route.orders and call is not None and call.key is not None:
            account = call.account
        limits = ""
        if shows_limits:
            limits = f',"rateLimits":{self._owner.limits.rows_json(conn.ip, account, t_ns)}'
        return f'{{"id":{id_json},"status":{status},{face}{limits}}}'

    def error(self, text: str, error: VenueError) -> str:
        """`error` as the response to the message `text`, which is not looked at further."""
        try:
            id_json = id_json_of(json_object(text).get("id"))
        except VenueError:
            id_json = "null"
        return f'{{"id":{id_json},"status":{error.status},"error":{error.json(is_ws=True)}}}'

    def _route(self, method: object, call: Call) -> Route:
        """A request that means nothing costs weight too."""
        limits = self._owner.limits
        name = method.removeprefix("v3/") if isinstance(method, str) else ""
        route = self._methods.get(name)
        if route is None:
            limits.charge(call.ip, 1, call.t_ns, call.now_ns)
            raise VenueError(NO_SUCH_METHOD)
        limits.charge(call.ip, cost_of(route.weight, call.params), call.t_ns, call.now_ns)
        return route

    def _run(self, route: Route, call: Call) -> str:
        if route.security is not Security.NONE:
            call.key = self._key(route.security, call)
            if route.orders:
                orders = orders_of(route, call.params)
                self._owner.limits.charge_orders(call.key.account, orders, call.t_ns)
        result = route.handler(call)
        if route.is_free_if_done:
            self._owner.limits.refund(call.ip, cost_of(route.weight, call.params))
        return result

    # -- WHO ASKS ---

    def _key(self, security: Security, call: Call) -> Key:
        """The request's own key, which goes before the session's."""
        params, conn = call.params, call.conn
        assert conn is not None
        if "apiKey" not in params and conn.session is not None:
            return self._session_key(conn, security, call)
        key = known_key(self._owner.keyring, mandatory(params, "apiKey"), call.ip)
        if security is not Security.KEY:
            check_permission(key, security)
            check_time(params, call.now_ns)
            check_signature(key, params, sorted_payload(params))
        return key

    def _session_key(self, conn: Conn, security: Security, call: Call) -> Key:
        """A key that became bad for any reason ends the session at the next request."""
        assert conn.session is not None
        try:
            key = known_key(self._owner.keyring, conn.session.api_key, call.ip)
        except VenueError:
            conn.session = None
            raise RevokedError from None
        if security is not Security.KEY:
            check_permission(key, security)
            check_time(call.params, call.now_ns)
        return key

    def _logon(self, call: Call) -> str:
        conn = call.conn
        assert conn is not None
        key = known_key(self._owner.keyring, mandatory(call.params, "apiKey"), call.ip)
        if key.kind is not KeyKind.ED25519:
            raise VenueError(-4056, text=WRONG_KEY_KIND)
        check_time(call.params, call.now_ns)
        check_signature(key, call.params, sorted_payload(call.params))
        conn.session, conn.session_ns = key, call.t_ns
        if text := call.params.get("returnRateLimits"):
            conn.returns_limits = text == "true"
        return self._session_json(conn, call.now_ns)

    def _status(self, call: Call) -> str:
        assert call.conn is not None
        return self._session_json(call.conn, call.now_ns)

    def _logout(self, call: Call) -> str:
        assert call.conn is not None
        call.conn.session = None
        return self._session_json(call.conn, call.now_ns)

    def _session_json(self, conn: Conn, now_ns: int) -> str:
        skew_ns = self._owner.skew_ns
        key, since = "null", "null"
        if conn.session is not None:
            key = f'"{conn.session.api_key}"'
            since = str((conn.session_ns + skew_ns) // MS)
        has_limits = "true" if conn.returns_limits else "false"
        return (
            f'{{"apiKey":{key},"authorizedSince":{since},'
            f'"connectedSince":{(conn.opened_ns + skew_ns) // MS},'
            f'"returnRateLimits":{has_limits},"serverTime":{now_ns // MS}'
            f"{self._owner.session_extra(conn)}}}"
        )


class RevokedError(Exception):
    """The session's key is gone; never leaves this file."""


def revoked_json() -> str:
    """The answer to the request that found it so; it has no id."""
    return f'{{"id":null,"status":401,"error":{VenueError(-2015).json(is_ws=True)}}}'


def id_json_of(request_id: Any) -> str:
    """The id as it is echoed; VenueError for what can't be one."""
    if isinstance(request_id, str):
        is_plain = request_id.isascii() and request_id.isalnum()
        return f'"{request_id}"' if is_plain else json.dumps(request_id)
    if request_id is None:
        return "null"
    if isinstance(request_id, int) and not isinstance(request_id, bool):
        return str(request_id)
    raise VenueError(-1130, "id")
