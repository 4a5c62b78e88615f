"""The WebSocket API of Binance's venues: envelope, ids, sessions, errors.

"General API information" and "Session authentication" of the spot WebSocket API, "WebSocket API
General Info" of USD-M: the same envelope, the same sessions.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from engine.exchange.binance.auth import (
    UNSIGNED,
    Security,
    check_permission,
    check_signature,
    check_time,
    known_key,
    sorted_payload,
)
from engine.exchange.binance.calls import Call, Route, cost_of, orders_of
from engine.exchange.binance.conns import Conn
from engine.exchange.binance.control import INT64_MAX
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import MS, RateLimits
from engine.exchange.binance.params import json_object, mandatory, text_params
from engine.exchange.events import Output
from engine.exchange.keys import Key, KeyKind, Keyring

NO_SUCH_METHOD = -1020
SESSION_WEIGHT = 2
WRONG_KEY_KIND = "HMAC_SHA256 API key is not supported."  # unverified
REQUEST_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}", re.ASCII)
WRONG_ID = (
    "Invalid 'id' in JSON request; expected an integer, a string matching"
    " '^[a-zA-Z0-9-_]{1,36}$', or null."
)


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
        session = self._session_key(route.security, call)
        if route.security is not Security.NONE:
            call.key = self._key(route.security, call, session)
            if route.orders:
                orders = orders_of(route, call.params)
                self._owner.limits.charge_orders(call.key.account, orders, call.t_ns)
        result = route.handler(call)
        if route.is_free_if_done:
            self._owner.limits.refund(call.ip, cost_of(route.weight, call.params))
        return result

    # -- WHO ASKS ---

    def _key(self, security: Security, call: Call, session: Key | None) -> Key:
        """The request's own key, which goes before the session's."""
        params = call.params
        if security is Security.SESSION:
            if session is None:
                raise VenueError(-2015)  # unverified
            key = session
        else:
            key = session or known_key(self._owner.keyring, mandatory(params, "apiKey"), call.ip)
        check_permission(key, security)
        if security not in UNSIGNED:
            check_time(params, call.now_ns)
            if session is None:
                check_signature(key, params, sorted_payload(params))
        return key

    def _session_key(self, security: Security, call: Call) -> Key | None:
        """The session's key, as it is now, for a request that brings none. One that became bad
        for any reason ends the session at the next request, whatever that asks for."""
        conn = call.conn
        assert conn is not None
        brings_key = "apiKey" in call.params and security is not Security.SESSION
        if conn.session is None or brings_key:
            return None
        try:
            return known_key(self._owner.keyring, conn.session.api_key, call.ip)
        except VenueError:
            conn.session = None
            raise RevokedError from None

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
    kind = type(request_id)  # exactly: decimals and truth values are kinds of text and integer
    if kind is str and REQUEST_ID.fullmatch(request_id):
        return f'"{request_id}"'
    if request_id is None:
        return "null"
    if kind is int and -INT64_MAX - 1 <= request_id <= INT64_MAX:
        return str(request_id)
    raise VenueError(-1135, text=WRONG_ID)
