"""Order entry over a WebSocket: /v5/trade. "Websocket Trade Guideline" of the v5 documents.

Requests are not signed one by one: the connection logs on, and each request's header names its
time. The account's rate limits are those of REST. An order's fate is told by the topic `order`.
"""

from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.auth import account_of, check_time, key_now, may, session_key_of
from engine.exchange.bybit.errors import OK, OK_TEXT, VenueError
from engine.exchange.bybit.limits import Limits, Quota
from engine.exchange.bybit.orders import OrderEntry
from engine.exchange.bybit.params import parse_body
from engine.exchange.bybit.sessions import Session
from engine.exchange.bybit.venue import CATEGORIES, Venue
from engine.exchange.bybit.wire import dumps
from engine.exchange.instruments import Kind

REQ_ID_LENGTH_MAX = 36
REQ_IDS_KEPT = 10_000  # a connection; how far back the venue looks is unverified
VERBS = ("create", "amend", "cancel")
OPS = {f"order.{verb}{suffix}": verb for verb in VERBS for suffix in ("", "-batch")}

Reply = dict[str, Any]


class TradeDesk:
    def __init__(self, venue: Venue, orders: OrderEntry, limits: Limits) -> None:
        self._venue = venue
        self._orders = orders
        self._limits = limits
        self._count = 0

    def on_text(self, session: Session, text: str) -> str:
        """The answer to one message."""
        try:
            request = parse_body(text)
        except VenueError as error:
            return dumps(self._error(session, {}, "", error))
        op = request.get("op") if isinstance(request.get("op"), str) else ""
        assert isinstance(op, str)
        if op == "ping":
            return dumps(self._pong(session, request))
        if op == "auth":
            return dumps(self._auth(session, request))
        return dumps(self._order(session, request, op))

    def trouble(self, session: Session, text: str, code: int) -> str:
        """`code` as the answer to whatever `text` asked."""
        try:
            request = parse_body(text)
        except VenueError:
            request = {}
        op = request.get("op")
        name = op if isinstance(op, str) else ""
        return dumps(self._error(session, request, name, VenueError(code)))

    # -- LOGON AND HEARTBEAT ---

    def _pong(self, session: Session, request: Reply) -> Reply:
        return {
            **_echoed(request),
            "retCode": OK,
            "retMsg": OK_TEXT,
            "op": "pong",
            "data": [str(self._venue.now_ms)],
            "connId": session.conn_id,
        }

    def _auth(self, session: Session, request: Reply) -> Reply:
        args = request.get("args")
        code, text = OK, OK_TEXT
        try:
            if session.key is not None:
                raise VenueError(20001)
            key = session_key_of(self._venue, args if isinstance(args, list) else [], session.ip)
            session.key = key
        except VenueError as error:
            code, text = error.code, error.text
        return {
            **_echoed(request),
            "retCode": code,
            "retMsg": text,
            "op": "auth",
            "connId": session.conn_id,
        }

    # -- ORDERS ---

    def _order(self, session: Session, request: Reply, op: str) -> Reply:
        quota: Quota | None = None
        try:
            account, kind, fields = self._checked(session, request, op)
            verb = OPS[op]
            path = f"/v5/{op.replace('.', '/')}"
            now_ns, now_ms = self._venue.now_ns, self._venue.now_ms
            if op.endswith("-batch"):

                def charge() -> bool:
                    nonlocal quota
                    is_allowed, quota = self._limits.charge(account, path, kind, now_ns, now_ms)
                    return is_allowed

                data, ext = self._orders.batch(verb, account, fields, charge)
            else:
                is_allowed, quota = self._limits.charge(account, path, kind, now_ns, now_ms)
                if not is_allowed:
                    raise VenueError(10006)
                data, ext = self._orders.singles[verb](account, fields), {}
        except VenueError as error:
            return self._error(session, request, op, error, quota)
        return {
            **_echoed(request),
            "retCode": OK,
            "retMsg": OK_TEXT,
            "op": op,
            "data": data,
            "retExtInfo": ext,
            "header": self._header(quota),
            "connId": session.conn_id,
        }

    def _checked(
        self, session: Session, request: Reply, op: str
    ) -> tuple[int, Kind, dict[str, Any]]:
        """(account, product line, the order's fields) of a request that may go on."""
        if not self._limits.may_trade(session.ip, self._venue.now_ns):
            raise VenueError(10403)
        if op not in OPS:
            raise VenueError(10404)
        if session.key is None:
            raise VenueError(10003)  # unverified
        key = key_now(self._venue, session.key, session.ip)
        self._check_req_id(session, request.get("reqId"))
        header = request.get("header")
        if not isinstance(header, dict):
            raise VenueError(10001)
        stamp, window = header.get("X-BAPI-TIMESTAMP"), header.get("X-BAPI-RECV-WINDOW")
        check_time(self._venue, _text(stamp), _text(window))
        may(key, "trade")
        args = request.get("args")
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise VenueError(10001)
        category = args[0].get("category")
        if not isinstance(category, str) or category not in CATEGORIES:
            raise VenueError(10404, "category is not correct")
        return account_of(key), CATEGORIES[category], args[0]

    def _check_req_id(self, session: Session, value: object) -> None:
        if value is None:
            return
        if not isinstance(value, str) or len(value) > REQ_ID_LENGTH_MAX:
            raise VenueError(10001)
        if value in session.request_ids:
            raise VenueError(20006)
        session.request_ids[value] = None
        if len(session.request_ids) > REQ_IDS_KEPT:
            del session.request_ids[next(iter(session.request_ids))]

    def _error(
        self, session: Session, request: Reply, op: str, error: VenueError,
        quota: Quota | None = None,
    ) -> Reply:  # fmt: skip
        return {
            **_echoed(request),
            "retCode": error.code,
            "retMsg": error.text,
            "op": op,
            "data": {},
            "retExtInfo": {},
            "header": self._header(quota),
            "connId": session.conn_id,
        }

    def _header(self, quota: Quota | None) -> dict[str, str]:
        self._count += 1
        return {
            **(quota.headers() if quota else {}),
            "Traceid": texts.trace_id(self._count),
            "Timenow": str(self._venue.now_ms),
        }


def _echoed(request: Reply) -> Reply:
    req_id = request.get("reqId")
    return {"reqId": req_id} if isinstance(req_id, str) else {}


def _text(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number or isinstance(value, str) else ""
