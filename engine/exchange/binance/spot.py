"""Binance Spot as a face (engine/exchange/face.py): routes, connections and the venue's words.

Orders are in spot_orders.py and spot_replace.py, account requests in spot_account.py, market data
in spot_market.py and spot_streams.py, user data in spot_user.py, JSON in spot_frames.py and
spot_reports.py. Not here: SBE, order lists, SOR, iceberg, pegged and trailing orders; the venue's
refusal answers them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from engine.exchange.binance.auth import Security
from engine.exchange.binance.base import BinanceFace
from engine.exchange.binance.calls import MS, Call, Handler, Route
from engine.exchange.binance.conns import AGE_NS_MAX, SECOND_NS, Conn, ConnRules
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import Params, mandatory
from engine.exchange.binance.sapi import Sapi
from engine.exchange.binance.spot_account import SpotAccount
from engine.exchange.binance.spot_errors import UNKNOWN_ORDER, SpotError, refusal
from engine.exchange.binance.spot_frames import SpotFormat
from engine.exchange.binance.spot_market import SpotMarket
from engine.exchange.binance.spot_orders import SpotOrders
from engine.exchange.binance.spot_replace import CancelReplace
from engine.exchange.binance.spot_streams import SpotStreams
from engine.exchange.binance.spot_strict import (
    AMEND,
    CANCEL,
    CANCEL_REPLACE,
    NEW_ORDER,
    ORDER_ID,
    SYMBOL,
    TEST_ORDER,
    strict,
)
from engine.exchange.binance.spot_symbols import (
    CONNECTS,
    LIMITS,
    US_NS,
    SpotSymbol,
    SymbolTable,
    UnitStamp,
)
from engine.exchange.binance.spot_user import SpotConn, UserStreams, state_of
from engine.exchange.binance.stamp import Stamp
from engine.exchange.binance.targets import Target, split_target, stream_names
from engine.exchange.binance.troubles import SPOT_WORDS, TroubleWords
from engine.exchange.commands import Command, DeleteKey, Modify, Place
from engine.exchange.core import Core
from engine.exchange.events import KeyDeleted, Output, Refused
from engine.exchange.face import Action, ConnKind, HttpAnswer, HttpRequest, WsSend, WsText
from engine.exchange.terms import NEVER_NS, Reason

CONN_RULES = ConnRules(
    ping_every_ns=20 * SECOND_NS,
    pong_within_ns=60 * SECOND_NS,
    messages_max=5,
    streams_max=1_024,
    connect_weight=2,
)
SHUTDOWN_AHEAD_NS = 600 * SECOND_NS  # serverShutdown comes so long before the end
TIME_UNITS = {"MILLISECOND": MS, "MICROSECOND": US_NS}
WS_API_PATHS = ("/ws-api/v3",)
ORDER_LISTS = {
    "order/oco": "OCO", "orderList/oco": "OCO", "orderList/oto": "OTO", "orderList/otoco": "OTO",
    "orderList/opo": "OPO", "orderList/opoco": "OPO",
}  # fmt: skip
LIST_METHODS = {
    "orderList.place": "OCO", "orderList.place.oco": "OCO", "orderList.place.oto": "OTO",
    "orderList.place.otoco": "OTO", "orderList.place.opo": "OPO",
    "orderList.place.opoco": "OPO",
}  # fmt: skip
# Listen keys ended on 2026-02-20; the machine in front of the API says so, in these very bytes.
GONE = {(method, "/api/v3/userDataStream") for method in ("POST", "PUT", "DELETE")}
GONE_HTML = (
    "<html>\r\n<head><title>410 Gone</title></head>\r\n<body>\r\n"
    "<center><h1>410 Gone</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


def counts_itself(params: Params) -> int:
    """Of a request that places an order: its handler counts it, since it knows how it ended; the
    answer tells the count."""
    return 0


class BinanceSpot(BinanceFace):
    """`limit_factor`: rate limits so many times the venue's, for load tests."""

    name: ClassVar[str] = "binance_spot"
    trouble_words: ClassVar[TroubleWords] = SPOT_WORDS

    def __init__(self, core: Core, limit_factor: int = 1) -> None:
        clock = Stamp()
        self.symbols = SymbolTable()
        rate_limits = RateLimits(
            tuple(limit.scaled(limit_factor) for limit in LIMITS), CONNECTS.scaled(limit_factor)
        )
        formats = [SpotFormat(self.symbols, UnitStamp(clock, unit_ns)) for unit_ns in (MS, US_NS)]
        self.spot_streams = SpotStreams(core.markets, *formats)
        self.users = UserStreams(core, self.symbols, rate_limits, clock)
        self.orders = SpotOrders(self)
        self._replace = CancelReplace(self, self.orders)
        self._market = SpotMarket(self)
        self._account = SpotAccount(self)
        self._by_name = {market.instrument.symbol: key for key, market in core.markets.items()}
        self._parting_due: dict[int, int] = {}  # connection -> when its end is announced
        super().__init__(core, rate_limits, CONN_RULES, self.spot_streams, clock)

    # -- ROUTES ---

    def routes(self) -> Mapping[tuple[str, str], Route]:
        rest = self._market.routes() | self._account.routes()
        rest |= Sapi(self.keyring, self.command, is_futures=False).routes()
        for method, path, _, route in self._order_table():
            rest[method, f"/api/v3/{path}"] = route
        for path, kind in ORDER_LISTS.items():
            rest["POST", f"/api/v3/{path}"] = Route(no_lists(kind), Security.TRADE, 1)
        return rest

    def methods(self) -> Mapping[str, Route]:
        methods = self._market.methods() | self._account.methods() | self.users.routes()
        methods |= {name: route for _, _, name, route in self._order_table()}
        for name, kind in LIST_METHODS.items():
            methods[name] = Route(no_lists(kind), Security.TRADE, 1)
        return methods

    def _order_table(self) -> list[tuple[str, str, str, Route]]:
        """REST method and path, method of the WebSocket API, and what both do."""
        orders, trade = self.orders, Security.TRADE
        place = Route(orders.place, trade, 1, counts_itself, is_free_if_done=True)
        cancel = Route(orders.cancel, trade, 1, is_free_if_done=True)
        cancel_all = Route(orders.cancel_all, trade, 1, is_free_if_done=True)
        replace = Route(self._replace.handle, trade, 1, counts_itself, is_free_if_done=True)
        test = Route(orders.test, trade, weight_of_test)
        status = Route(orders.status, Security.READ, 4)
        amend = Route(orders.amend, trade, 4)
        swap = ("order/cancelReplace", "order.cancelReplace")
        keep = ("order/amend/keepPriority", "order.amend.keepPriority")
        return [
            ("POST", "order", "order.place", strict(NEW_ORDER, place)),
            ("POST", "order/test", "order.test", strict(TEST_ORDER, test)),
            ("GET", "order", "order.status", strict(ORDER_ID, status)),
            ("DELETE", "order", "order.cancel", strict(CANCEL, cancel)),
            ("DELETE", "openOrders", "openOrders.cancelAll", strict(SYMBOL, cancel_all)),
            ("POST", *swap, strict(CANCEL_REPLACE, replace)),
            ("PUT", *keep, strict(AMEND, amend)),
        ]

    # -- WHAT THE HANDLERS NEED ---

    def symbol(self, params: Params) -> SpotSymbol:
        return self.symbol_named(mandatory(params, "symbol"))

    def symbol_named(self, name: str) -> SpotSymbol:
        key = self._by_name.get(name)
        if key is None:
            raise SpotError(-1121)
        return self.symbols.of(self.core.markets[key].instrument)

    def all_symbols(self) -> list[SpotSymbol]:
        return [self.symbols.of(market.instrument) for market in self.core.markets.values()]

    def stamp_of(self, call: Call) -> UnitStamp:
        unit_ns = call.unit_ns if call.conn is None else state_of(call.conn).unit_ns
        return UnitStamp(self.stamp, unit_ns)

    def refusal(self, refused: Refused, command: Command) -> VenueError:
        reason = refused.reason
        if isinstance(command, DeleteKey):
            if reason is Reason.NO_KEY:
                return SpotError(-2008, text="Invalid Api-Key ID.")  # unverified
            return SpotError(-1000)
        if isinstance(command, Modify):
            if reason is Reason.NO_SUCH_ORDER:
                return SpotError(-2038, text=UNKNOWN_ORDER)
            return refusal(reason, -2038)
        if isinstance(command, Place) and command.quote_e8 and reason is Reason.QTY_ZERO:
            reason = Reason.NO_LIQUIDITY
        return refusal(reason)

    def no_route(self, method: str, path: str) -> VenueError:
        text = f"Path {path}, Method {method} is invalid"  # unverified
        return SpotError(-5000, text=text, status=404)

    def _http(self, request: HttpRequest, t_ns: int, actions: list[Action]) -> None:
        if (request.method, request.path) in GONE:
            answer = HttpAnswer(request.request, 410, GONE_HTML, (("Content-Type", "text/html"),))
            actions.append(answer)
        else:
            super()._http(request, t_ns, actions)

    def _call(self, request: HttpRequest, t_ns: int, out: list[Output]) -> tuple[Call, Route]:
        if "x-mbx-sbe" in request.headers:
            raise SpotError(-1155)
        unit_ns = time_unit_ns(request.headers.get("x-mbx-time-unit", ""))
        call, route = super()._call(request, t_ns, out)
        call.unit_ns = unit_ns
        return call, route

    # -- CONNECTIONS ---

    def target_of(self, target: str) -> Target | None:
        """`/ws/<anything>` is a raw stream: ccxt numbers its connections there, and puts
        `/stream` in front so that it can tell spot from futures."""
        path, query = split_target(target)
        if path.rstrip("/") in WS_API_PATHS:
            return Target(ConnKind.TRADE, query=query, path=path)
        market = ConnKind.MARKET
        tail = path.removeprefix("/stream") if path.startswith("/stream/ws") else path
        if tail == "/ws" or tail.startswith("/ws/"):
            return Target(market, False, stream_names(tail[4:]), query, path)
        if tail.rstrip("/") == "/stream":
            listed = ",".join(query.get("streams", ())).replace(",", "/")
            names = tuple(name for name in listed.split("/") if name)
            return Target(market, True, names, query, path)
        return None

    def admit_user(self, conn: Conn, target: Target, t_ns: int) -> None:
        if "sbe" in target.query.get("responseFormat", ()):
            raise SpotError(-1155)
        unit_ns = time_unit_ns(target.query.get("timeUnit", [""])[-1])
        conn.state = SpotConn(unit_ns)
        if conn.kind is ConnKind.MARKET and unit_ns == US_NS:
            self.spot_streams.want_micro(conn.number)
        self._parting_due[conn.number] = conn.opened_ns + AGE_NS_MAX - SHUTDOWN_AHEAD_NS

    def on_closed(self, conn: Conn) -> None:
        self.spot_streams.forget(conn.number)
        self.users.forget(conn)
        self._parting_due.pop(conn.number, None)

    def session_extra(self, conn: Conn) -> str:
        return f',"userDataStream":{"true" if conn.state else "false"}'

    def due_ns(self) -> int:
        """Connections are announced in the order in which they opened."""
        return next(iter(self._parting_due.values()), NEVER_NS)

    def on_due(self, t_ns: int, actions: list[Action]) -> None:
        while self.due_ns() <= t_ns:
            number = next(iter(self._parting_due))
            if conn := self.conns.get(number):
                actions.append(WsSend((number,), self.parting_text(conn, t_ns)))
            self._parting_due.pop(number, None)

    def parting_text(self, conn: Conn, t_ns: int) -> str:
        """serverShutdown; said once, whether the end was announced or comes at once."""
        if self._parting_due.pop(conn.number, None) is None:
            return ""
        now = UnitStamp(self.stamp, state_of(conn).unit_ns)(t_ns)
        event = f'{{"e":"serverShutdown","E":{now}}}'
        if conn.kind is ConnKind.TRADE:
            return f'{{"event":{event}}}'
        return f'{{"stream":"!serverShutdown","data":{event}}}' if conn.is_combined else event

    # -- USER DATA ---

    def _text(self, event: WsText, t_ns: int, actions: list[Action]) -> None:
        super()._text(event, t_ns, actions)
        conn = self.conns.get(event.conn)
        if conn is not None and conn.state:
            self.users.end_sessions(conn)
        self.users.tell_ended(t_ns, actions)

    def publish_user(self, outputs: list[Output], t_ns: int, actions: list[Action]) -> None:
        self.users.publish(outputs, t_ns, actions)

    def on_key_deleted(self, deleted: KeyDeleted, actions: list[Action]) -> None:
        self.users.end_key(deleted)
        self.users.tell_ended(deleted.t_ns, actions)

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        actions: list[Action] = []
        self.users.end_all()
        self.users.tell_ended(t_ns, actions)
        return actions

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        """Market streams under /stream: what ccxt knows spot by."""
        return {
            "rest_url": rest_root,
            "ws_url": {
                "market": ws_root,
                "ws": f"{ws_root}/stream/ws",
                "stream": f"{ws_root}/stream",
                "ws_api": f"{ws_root}/ws-api/v3",
            },
        }


def weight_of_test(params: Params) -> int:
    return 20 if params.get("computeCommissionRates") == "true" else 1


def no_lists(kind: str) -> Handler:
    """Order lists are not for this exchange's symbols, as exchangeInfo says. The texts of OCO and
    OPO are documented; the code, and OTO's, are not.  # unverified"""

    def refuse(call: Call) -> str:
        text = f"{kind} orders are not supported for this symbol"
        raise SpotError(-1013, text=text + "." * (kind != "OCO"))

    return refuse


def time_unit_ns(text: str) -> int:
    """X-MBX-TIME-UNIT or timeUnit."""
    unit_ns = TIME_UNITS.get(text.upper()) if text else MS
    if unit_ns is None:
        raise SpotError(-1194)
    return unit_ns
