"""Binance USD-M futures: the face of an exchange's core that speaks the venue's protocol.

REST under /fapi, market streams under /public and /market (routing of 2026), user data under
/private with listen keys, order entry also by the WebSocket API under /ws-fapi/v1.
"""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from engine.exchange.binance.base import BinanceFace
from engine.exchange.binance.calls import Route
from engine.exchange.binance.conns import Conn, ConnRules
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import Limit, LimitTexts, RateLimits
from engine.exchange.binance.sapi import Sapi
from engine.exchange.binance.stamp import Stamp
from engine.exchange.binance.streams import MarketStreams
from engine.exchange.binance.targets import Target, split_target, stream_names
from engine.exchange.binance.troubles import USDM_WORDS, TroubleWords
from engine.exchange.binance.usdm_account import UsdmAccount
from engine.exchange.binance.usdm_desk import UsdmDesk
from engine.exchange.binance.usdm_errors import UsdmError
from engine.exchange.binance.usdm_market import UsdmMarket
from engine.exchange.binance.usdm_orders import UsdmOrders
from engine.exchange.binance.usdm_streams import (
    REALTIME_DEPTH_MS,
    UsdmStreams,
    is_public,
    stream_rules,
)
from engine.exchange.binance.usdm_user import UsdmUser
from engine.exchange.commands import Command
from engine.exchange.core import Core
from engine.exchange.events import KeyDeleted, Output, Refused
from engine.exchange.face import Action, ConnKind

SECOND_NS = 1_000_000_000
WS_API_PATH = "/ws-fapi/v1"
LIMITS = (
    Limit("REQUEST_WEIGHT", "MINUTE", 1, 2_400),
    Limit("ORDERS", "MINUTE", 1, 1_200),
    Limit("ORDERS", "SECOND", 10, 300),
)
CONNECTS = Limit("CONNECTIONS", "MINUTE", 5, 300)
LIMIT_TEXTS = LimitTexts(
    "Too many requests; current limit is {limit} requests per minute. Please use the websocket"
    " for live updates to avoid polling the API.",
    "Way too many requests; IP banned until {until_ms}. Please use the websocket for live"
    " updates to avoid bans.",
)
CONN_RULES = ConnRules(
    ping_every_ns=180 * SECOND_NS,
    pong_within_ns=600 * SECOND_NS,
    messages_max=10,
    streams_max=200,
    connect_weight=5,
)


class BinanceUsdm(BinanceFace):
    """`limit_factor` multiplies the rate limits, told and kept: load tests need room."""

    name: ClassVar[str] = "binance_usdm"
    trouble_words: ClassVar[TroubleWords] = USDM_WORDS

    def __init__(
        self, core: Core, limit_factor: int = 1, realtime_depth_ms: int = REALTIME_DEPTH_MS
    ) -> None:
        stamp = Stamp()
        limits = RateLimits(
            tuple(limit.scaled(limit_factor) for limit in LIMITS),
            CONNECTS.scaled(limit_factor),
            LIMIT_TEXTS,
        )
        streams = MarketStreams(core.markets, stream_rules(realtime_depth_ms), UsdmStreams(stamp))
        desk = UsdmDesk(core, stamp)
        self._desk = desk
        self._user = UsdmUser(desk)
        self._market = UsdmMarket(desk, streams, limits)
        self._orders = UsdmOrders(desk)
        self._account = UsdmAccount(desk, limits, self._user.on_leverage)
        self._sapi = Sapi(core.keyring, desk.step, is_futures=True)
        super().__init__(core, limits, CONN_RULES, streams, stamp)

    # -- TABLES ---

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            **self._market.routes(),
            **self._user.routes(),
            **self._orders.routes(),
            **self._account.routes(),
            **self._sapi.routes(),
        }

    def methods(self) -> Mapping[str, Route]:
        return {
            **self._market.methods(),
            **self._user.methods(),
            **self._orders.methods(),
            **self._account.methods(),
        }

    def refusal(self, refused: Refused, command: Command) -> VenueError:
        return self._desk.refusal(refused, command)

    def no_route(self, method: str, path: str) -> VenueError:
        return UsdmError(-5000, path, method, status=404)

    def urls(self, rest_root: str, ws_root: str) -> dict[str, Any]:
        """Roots, as the venue has them: add `/stream?streams=…`, `/ws?listenKey=…`, nothing."""
        return {
            "rest_url": rest_root,
            "ws_url": {
                "public": f"{ws_root}/public",
                "market": f"{ws_root}/market",
                "private": f"{ws_root}/private",
                "ws_api": f"{ws_root}{WS_API_PATH}",
            },
        }

    # -- CONNECTIONS ---

    def target_of(self, target: str) -> Target | None:
        path, query = split_target(target)
        if path == WS_API_PATH:
            return Target(ConnKind.TRADE, query=query, path=path)
        routed, rest = "", path
        for root in ("/public", "/market", "/private"):
            if path.startswith(root + "/"):
                routed, rest = root, path[len(root) :]
        is_combined = rest == "/stream"
        if not is_combined and rest != "/ws" and not rest.startswith("/ws/"):
            return None
        kind = ConnKind.USER if routed == "/private" else ConnKind.MARKET
        if is_combined:
            names = stream_names("/".join(query.get("streams", ())))
        else:
            names = stream_names(rest[len("/ws") :])
        return Target(kind, is_combined, names, query, target)

    def admit_user(self, conn: Conn, target: Target, t_ns: int) -> None:
        """Which streams are served is in the path; who listens to what, in the query."""
        path, _, query = target.path.partition("?")
        if target.kind is ConnKind.MARKET:
            conn.state = "/market" if path.startswith("/market/") else "/public"
        elif target.kind is ConnKind.USER:
            self._user.admit(conn, _wishes(path, query))

    def is_served(self, conn: Conn, name: str) -> bool:
        """Unrouted connections get public streams, and nothing on others."""
        return is_public(name) is (conn.state == "/public")

    def on_closed(self, conn: Conn) -> None:
        if conn.kind is ConnKind.USER:
            self._user.forget(conn)

    # -- USER DATA ---

    def publish_user(self, outputs: list[Output], t_ns: int, actions: list[Action]) -> None:
        self._user.publish(outputs, t_ns, actions)

    def on_due(self, t_ns: int, actions: list[Action]) -> None:
        if t_ns >= self._user.due_ns():
            self._user.expire(t_ns, actions)

    def due_ns(self) -> int:
        return self._user.due_ns()

    def on_key_deleted(self, deleted: KeyDeleted, actions: list[Action]) -> None:
        self._user.on_key_deleted(deleted, actions)

    def expire_user_streams(self, t_ns: int) -> list[Action]:
        actions: list[Action] = []
        self._user.expire(t_ns, actions, everything=True)
        return actions


def _wishes(path: str, query: str) -> list[tuple[str, frozenset[str]]]:
    """(listen key, events) of a private connection: `events` belongs to the key before it."""
    wishes: list[tuple[str, frozenset[str]]] = []
    tail = path.rpartition("/ws/")[2] if "/ws/" in path else ""
    if tail:
        wishes.append((tail, frozenset()))
    try:
        pairs = parse_qsl(query, max_num_fields=64)
    except ValueError:
        return wishes
    for name, value in pairs:
        if name == "listenKey":
            wishes.append((value, frozenset()))
        elif name == "events" and wishes:
            wishes[-1] = (wishes[-1][0], frozenset(filter(None, value.split("/"))))
    return wishes
