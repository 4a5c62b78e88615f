"""What clients say on public and private connections: subscribe, unsubscribe, ping, auth.

The answers differ by endpoint; key orders as recorded from the venue or in its samples. A
subscription with one bad topic fails whole; a topic that is already subscribed is fine.
"""

from collections.abc import Callable
from typing import Any

from engine.exchange.bybit.auth import account_of, key_now, may, session_key_of
from engine.exchange.bybit.dcp import DeadMan
from engine.exchange.bybit.errors import VenueError
from engine.exchange.bybit.params import parse_body
from engine.exchange.bybit.private import DCP_TOPICS, PrivateStreams, topics_problem
from engine.exchange.bybit.public import PublicStreams, parse_topic
from engine.exchange.bybit.sessions import Endpoint, Session
from engine.exchange.bybit.venue import Venue
from engine.exchange.bybit.wire import dumps
from engine.exchange.instruments import Kind

SPOT_ARGS_MAX = 10  # a request
ARGS_CHARS_MAX = 21_000  # a connection
REQ_ID_LENGTH_MAX = 64
NOT_AUTHORIZED = "Request not authorized"

Reply = dict[str, Any]


class Control:
    """`say(text)` results: the messages to send to this connection, in order."""

    def __init__(
        self, venue: Venue, public: PublicStreams, private: PrivateStreams, dead_man: DeadMan
    ) -> None:
        self._venue = venue
        self._public = public
        self._private = private
        self._dead_man = dead_man
        self._ops: dict[str, Callable[[Session, Reply, list[Any]], list[str]]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }

    def on_text(self, session: Session, text: str) -> list[str]:
        try:
            request = parse_body(text)
        except VenueError:
            return [dumps(self._reply(session, {}, "", False, "Params Error"))]  # unverified
        op = request.get("op")
        args = request.get("args")
        args = args if isinstance(args, list) else []
        if op == "ping":
            return [self._pong(session, request)]
        if op == "auth" and session.endpoint is Endpoint.PRIVATE:
            return [dumps(self._auth(session, request, args))]
        if op not in self._ops:
            name = op if isinstance(op, str) else ""
            return [dumps(self._reply(session, request, name, False, "Params Error"))]
        return self._ops[op](session, request, args)

    # -- ANSWERS ---

    def _reply(
        self, session: Session, request: Reply, op: str, is_good: bool, text: str = ""
    ) -> Reply:
        req_id = _req_id(request)
        if session.endpoint is Endpoint.PRIVATE:
            reply: Reply = {"success": is_good, "ret_msg": text, "op": op}
            reply["conn_id"] = session.conn_id
            return {"req_id": req_id, **reply} if req_id else reply
        reply = {"success": is_good, "ret_msg": text, "conn_id": session.conn_id}
        if req_id or session.endpoint is Endpoint.LINEAR:
            reply["req_id"] = req_id
        reply["op"] = op
        return reply

    def _pong(self, session: Session, request: Reply) -> str:
        if session.endpoint is not Endpoint.PRIVATE:
            return dumps(self._reply(session, request, "ping", True, "pong"))
        if session.key is not None:
            self._dead_man.on_ping(session.account, session.conn)
        req_id = _req_id(request)
        reply = {"op": "pong", "args": [str(self._venue.now_ms)], "conn_id": session.conn_id}
        return dumps({"req_id": req_id, **reply} if req_id else reply)

    def _auth(self, session: Session, request: Reply, args: list[Any]) -> Reply:
        """Once: topics and the disconnection protection belong to the account that logged on."""
        try:
            if session.key is not None:
                raise VenueError(20001)
            session.key = session_key_of(self._venue, args, session.ip)
        except VenueError as error:
            return self._reply(session, request, "auth", False, error.text)
        return self._reply(session, request, "auth", True)

    # -- SUBSCRIPTIONS ---

    def _subscribe(self, session: Session, request: Reply, args: list[Any]) -> list[str]:
        problem = self._problem(session, args)
        if problem:
            return [dumps(self._reply(session, request, "subscribe", False, problem))]
        text = "subscribe" if session.endpoint is Endpoint.SPOT else ""
        replies = [dumps(self._reply(session, request, "subscribe", True, text))]
        for topic in args:
            if topic not in session.topics:
                session.topics[topic] = None
                session.args_size += len(topic)
            if session.endpoint is Endpoint.PRIVATE:
                self._join(session, topic)
                continue
            product = session.endpoint.product
            first = self._public.subscribe(session.conn, product, topic, self._venue.now_ns)
            if first:
                replies.append(first)
        return replies

    def _problem(self, session: Session, args: list[Any]) -> str:
        if not args or not all(isinstance(topic, str) and topic for topic in args):
            return "Params Error"
        if session.args_size + sum(map(len, args)) > ARGS_CHARS_MAX:
            return f"args size >{ARGS_CHARS_MAX}"  # unverified
        if session.endpoint is Endpoint.PRIVATE:
            return topics_problem(args) if self._may_listen(session) else NOT_AUTHORIZED
        product = session.endpoint.product
        if product is Kind.SPOT and len(args) > SPOT_ARGS_MAX:
            return f"args size >{SPOT_ARGS_MAX}"
        for topic in args:
            if self._public.unknown(product, topic):
                if product is Kind.SPOT and parse_topic(product, topic) is not None:
                    return f"Invalid symbol :[{topic}]"
                return f"error:handler not found,topic:{topic}"
        return ""

    def _may_listen(self, session: Session) -> bool:
        if session.key is None:
            return False
        try:
            key = key_now(self._venue, session.key, session.ip)
            may(key, "read")
            account_of(key)
        except VenueError:
            return False
        return True

    def _unsubscribe(self, session: Session, request: Reply, args: list[Any]) -> list[str]:
        for topic in args:
            if isinstance(topic, str) and topic in session.topics:
                del session.topics[topic]
                session.args_size -= len(topic)
                if session.endpoint is Endpoint.PRIVATE:
                    self._leave(session, topic)
                else:
                    self._public.unsubscribe(session.conn, session.endpoint.product, topic)
        return [dumps(self._reply(session, request, "unsubscribe", True))]

    def _join(self, session: Session, topic: str) -> None:
        self._private.subscribe(session.conn, session.account, topic)
        if topic in DCP_TOPICS:
            self._dead_man.join(session.account, DCP_TOPICS[topic], session.conn)

    def _leave(self, session: Session, topic: str) -> None:
        self._private.unsubscribe(session.conn, session.account, topic)
        if topic in DCP_TOPICS:
            self._dead_man.leave(session.account, DCP_TOPICS[topic], session.conn)


def _req_id(request: Reply) -> str:
    """Echoed as text, whatever it was."""
    value = request.get("req_id")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = str(value) if is_number or isinstance(value, str) else ""
    return text[:REQ_ID_LENGTH_MAX]
