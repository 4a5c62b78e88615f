"""Anything that a client could send to a face, and what must hold whatever was sent.

Scripts are lists of steps: wild ones (any text anywhere), and signed orders in the venue's own
form with a piece of them changed before or after the signing.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hypothesis import strategies as st
from support_exchange import LINEAR, SPOT, quiet_core

from engine.exchange.core import Core
from engine.exchange.face import (
    Action,
    Event,
    Face,
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    WsAccept,
    WsClose,
    WsClosed,
    WsDrop,
    WsOpen,
    WsPing,
    WsPingOut,
    WsPong,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.instruments import Kind
from engine.exchange.keys import KeyKind
from engine.exchange.stack import make_face

MS = 1_000_000
START_NS = 1_700_000_040_000 * MS
GENEROUS = 1_000_000  # times the venue's rate limits
KEYS = {"binance_usdm": ("BTCUSDT",), "binance_spot": ("BTCUSDT",), "bybit": (LINEAR, SPOT)}
ROOTS = {"binance_usdm": "/fapi/v1/", "binance_spot": "/api/v3/"}
TARGETS = {
    "binance_usdm": (
        "/public/ws/0", "/market/ws/1", "/public/stream?streams=btcusdt@depth", "/ws-fapi/v1",
        "/ws/btcusdt@trade", "/private/ws?listenKey=x",
    ),
    "binance_spot": ("/stream/ws/0", "/ws/btcusdt@depth", "/stream?streams=a/b@c", "/ws-api/v3"),
    "bybit": (
        "/v5/public/linear", "/v5/public/spot", "/v5/private", "/v5/trade",
        "/v5/private?max_active_time=1m",
    ),
}  # fmt: skip
PATHS = {
    "binance_usdm": (
        "order", "allOpenOrders", "openOrders", "batchOrders", "userTrades", "leverage", "depth",
        "listenKey", "countdownCancelAll", "algoOrder", "klines", "exchangeInfo", "allOrders",
    ),
    "binance_spot": (
        "order", "openOrders", "order/cancelReplace", "order/amend/keepPriority", "account",
        "myTrades", "depth", "klines", "exchangeInfo", "allOrders", "ticker/24hr",
    ),
    "bybit": (
        "/v5/order/create", "/v5/order/amend", "/v5/order/cancel", "/v5/order/cancel-all",
        "/v5/order/create-batch", "/v5/order/realtime", "/v5/position/list",
        "/v5/market/orderbook", "/v5/position/set-leverage", "/v5/account/wallet-balance",
        "/v5/order/disconnected-cancel-all",
    ),
}  # fmt: skip
WORDS = (
    "BTCUSDT", "BUY", "SELL", "Buy", "Sell", "LIMIT", "MARKET", "Limit", "Market", "GTC", "IOC",
    "FOK", "GTX", "PostOnly", "LIMIT_MAKER", "linear", "spot", "0.01", "0.1", "60000", "60000.1",
    "59990", "60010", "0", "-1", "1e5", "NaN", "", "a", "true", "STOP_MARKET", "4000000001",
    "9" * 60, "[]", "[{}]", "\x00", "é", "%",
)  # fmt: skip
NAMES = (
    "symbol", "side", "type", "orderType", "timeInForce", "quantity", "qty", "price", "category",
    "newClientOrderId", "orderLinkId", "orderId", "origClientOrderId", "reduceOnly", "recvWindow",
    "timestamp", "limit", "batchOrders", "request", "stopPrice", "triggerPrice", "leverage",
    "cancelReplaceMode", "listenKey", "interval", "startTime", "signature",
)  # fmt: skip
BINANCE_OPS = (
    "order.place", "order.cancel", "order.status", "session.logon", "session.status",
    "userDataStream.subscribe.signature", "userDataStream.start", "account.status", "depth",
    "time", "SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS",
)  # fmt: skip
OPS = {
    "binance_usdm": (*BINANCE_OPS, "order.modify", "algoOrder.place", "account.position"),
    "binance_spot": (*BINANCE_OPS, "order.cancelReplace", "order.amend.keepPriority",
                     "openOrders.cancelAll"),
    "bybit": ("order.create", "order.amend", "order.cancel", "order.create-batch", "ping", "auth",
              "subscribe", "unsubscribe"),
}  # fmt: skip
DESKS = {"binance_usdm": "/ws-fapi/v1", "binance_spot": "/ws-api/v3", "bybit": "/v5/trade"}
TOPICS = (
    "btcusdt@depth", "btcusdt@trade", "btcusdt@kline_1m", "orderbook.50.BTCUSDT", "order",
    "publicTrade.BTCUSDT", "kline.1.BTCUSDT", "wallet", "", "@", "a.b.c",
)  # fmt: skip


class Http(NamedTuple):
    """`cut`: where a piece of the text is replaced by `put`; `is_late`: after it was signed."""

    method: str
    path: str
    params: dict[str, str]
    account: int
    cut: int
    put: str
    is_late: bool
    in_body: bool


class Wild(NamedTuple):
    """A request of any texts at all."""

    event: HttpRequest


class Open(NamedTuple):
    target: str


class Say(NamedTuple):
    """On the connection first opened at this target, if it is still there."""

    which: str
    text: str


class Call(NamedTuple):
    """A request over WebSocket, signed as it is."""

    which: str
    op: str
    params: dict[str, Any]
    account: int


class Sign(NamedTuple):
    """Log on."""

    which: str


class Frame(NamedTuple):
    which: str
    kind: type[WsPing | WsPong | WsClosed]


class Wait(NamedTuple):
    ms: int


Step = Http | Wild | Open | Say | Call | Sign | Frame | Wait

# -- WHAT MAY BE SENT ---

texts = st.text(max_size=40) | st.sampled_from(WORDS)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
odd = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS) | texts, max_size=3)


def orders(venue: str) -> st.SearchStrategy[dict[str, str]]:
    """Seven in ten could stand as they are."""
    px = st.sampled_from(("59990", "60000", "60000.1", "60010"))
    name = st.sampled_from("abc")
    if venue == "bybit":
        good = st.fixed_dictionaries(
            {
                "category": st.sampled_from(("linear", "spot")),
                "symbol": st.just("BTCUSDT"),
                "side": st.sampled_from(("Buy", "Sell")),
                "orderType": st.sampled_from(("Limit", "Limit", "Market")),
                "qty": st.sampled_from(("0.01", "0.1")),
                "price": px,
            },
            optional={"timeInForce": st.sampled_from(("IOC", "PostOnly"))},
        )
        named = good | st.builds(lambda order, name: order | {"orderLinkId": name}, good, name)
    else:
        good = st.fixed_dictionaries(
            {
                "symbol": st.just("BTCUSDT"),
                "side": st.sampled_from(("BUY", "SELL")),
                "type": st.just("LIMIT"),
                "timeInForce": st.sampled_from(("GTC", "GTC", "IOC", "FOK")),
                "quantity": st.sampled_from(("0.01", "0.1")),
                "price": px,
            },
        )
        own = {"newClientOrderId": name}
        named = good | st.builds(dict.__or__, good, st.fixed_dictionaries(own))
    return often(named, st.builds(dict.__or__, named, odd))


def asked(venue: str) -> st.SearchStrategy[dict[str, str]]:
    """What names an order, or a symbol, or neither."""
    here = {"symbol": st.just("BTCUSDT")}
    if venue == "bybit":
        here["category"] = st.sampled_from(("linear", "spot"))
        own = {"orderLinkId": st.sampled_from("abc"), "qty": st.just("0.02")}
    else:
        own = {
            "origClientOrderId": st.sampled_from("abc"),
            "orderId": st.sampled_from(("4000000001", "4000000002", "x")),
        }
    return st.fixed_dictionaries(here, optional=own)


def often(
    usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda dice: rare if dice > 6 else usual)


def scripts(venue: str) -> st.SearchStrategy[list[Step]]:
    some, named, account = orders(venue), asked(venue), st.integers(0, 1)
    whole, late = (st.just(-1), st.just("")), (st.integers(-1, 300), texts)
    new = st.just(PATHS[venue][0])
    paths = st.sampled_from(PATHS[venue])
    methods = st.sampled_from(("POST", "GET", "DELETE", "PUT"))
    bodies = st.booleans()
    wild = st.builds(
        HttpRequest, st.just(0), methods | texts, st.just("/") | texts.map("/".__add__), texts,
        texts, st.dictionaries(texts.map(str.lower), texts, max_size=2),
    )  # fmt: skip
    anywhere = st.sampled_from(TARGETS[venue])
    desk = st.just(DESKS[venue])
    topics = st.fixed_dictionaries({"args": st.lists(st.sampled_from(TOPICS) | junk, max_size=3)})
    placing = st.builds(Http, st.just("POST"), new, some, account, *whole, bodies, bodies)
    step = st.one_of(
        placing,
        placing,
        st.builds(Http, methods, paths, named, account, *whole, bodies, st.just(False)),
        st.builds(Http, methods, paths, some | named, account, *late, bodies, bodies),
        st.builds(Wild, wild),
        st.builds(Open, anywhere | texts.map("/".__add__)),
        st.builds(Say, anywhere, texts | junk.map(json.dumps)),
        st.builds(Call, desk, st.sampled_from(OPS[venue]), some | named, account),
        st.builds(Call, anywhere, st.sampled_from(OPS[venue]) | texts,
                  some | st.dictionaries(st.sampled_from(NAMES), junk, max_size=4), account),
        st.builds(Call, anywhere, st.sampled_from(("SUBSCRIBE", "subscribe", "unsubscribe")),
                  topics, account),
        st.builds(Sign, desk | anywhere),
        st.builds(Frame, anywhere, st.sampled_from((WsPing, WsPong, WsClosed))),
        st.builds(Wait, st.integers(0, 2_000) | st.sampled_from((60_000, 700_000, 90_000_000))),
    )  # fmt: skip
    return st.lists(step, min_size=12, max_size=40)


# -- THE ONE WHO SENDS IT, AND JUDGES ---


class Player:
    """Plays a script on a face of `venue`."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.core: Core = quiet_core(venue=venue, keys=KEYS[venue])
        self.face: Face = make_face(venue, self.core, GENEROUS)
        self.now_ns = START_NS
        self.open: list[int] = []
        self._number = 0
        self._conns = {target: self._open(target) for target in TARGETS[venue]}

    def play(self, script: list[Step]) -> None:
        for step in script:
            self.now_ns += MS
            self._play(step)
        self.step(Tick())
        self.check_money()

    def _play(self, step: Step) -> None:
        match step:
            case Http():
                self._request(self._signed(step))
            case Wild(event):
                self._request(event)
            case Open(target):
                self._open(target)
            case Say(which, text):
                self._say(which, text)
            case Call(which, op, params, account):
                self._say(which, self._call(op, params, account))
            case Sign(which):
                self._say(which, self._logon())
            case Frame(which, kind):
                conn = self._conns[which]
                if conn in self.open:
                    if kind is WsClosed:
                        self.open.remove(conn)
                    self.step(kind(conn))
            case Wait(ms):
                self.now_ns += ms * MS
                self.step(Tick())

    def step(self, event: Event) -> list[Action]:
        """Judges whatever comes back."""
        actions = self.face.step(event, self.now_ns)
        for action in actions:
            match action:
                case Log(is_error, text):
                    assert not is_error, text
                case WsSend(conns, text):
                    assert set(conns) <= set(self.open), "to a connection that is not there"
                    text.encode()
                    json.loads(text)
                case WsClose(conn) | WsDrop(conn):
                    self.open.remove(conn)
                case WsPingOut(conn):
                    assert conn in self.open
                case WsAccept(conn):
                    self.open.append(conn)
        return actions

    def _open(self, target: str) -> int:
        self._number += 1
        actions = self.step(WsOpen(self._number, target, {}))
        told = [action for action in actions if isinstance(action, WsAccept | WsRefuse)]
        assert [action.conn for action in told] == [self._number]
        return self._number

    def _say(self, which: str, text: str) -> None:
        conn = self._conns[which]
        if conn in self.open:
            self.step(WsText(conn, text))

    def _request(self, event: HttpRequest) -> None:
        self._number += 1
        actions = self.step(event._replace(request=self._number))
        answers = [action for action in actions if isinstance(action, HttpAnswer)]
        assert [answer.request for answer in answers] == [self._number]
        self.check_answer(answers[0])

    def check_answer(self, answer: HttpAnswer) -> None:
        """In the venue's own form, and nobody's fault of ours."""
        assert answer.status < 500, answer
        answer.body.encode()
        document = json.loads(answer.body)
        if self.venue == "bybit":
            assert answer.status in (200, 401, 404), answer
            assert type(document["retCode"]) is int
            assert isinstance(document["retMsg"], str)
            assert document["retCode"] not in (10000, 10016), answer
        elif answer.status >= 400:
            assert type(document["code"]) is int
            assert document["code"] < 0
            assert document["code"] != -1000, answer
            assert isinstance(document["msg"], str)

    def check_money(self) -> None:
        """What rests is what is locked, and what was filled is what is held."""
        core = self.core
        for index, account in enumerate(core.accounts):
            locked: dict[str, int] = {}
            for key, market in core.markets.items():
                instrument = market.instrument
                for order in core.open_orders(index, key):
                    assert 0 < order.leaves_lots <= order.qty_lots - order.cum_lots
                    asset = (instrument.quote, instrument.base)[order.side.value]
                    locked[asset] = locked.get(asset, 0) + order.locked_e8
                if instrument.kind is Kind.LINEAR:
                    held = account.positions.get(key)
                    filled = sum(
                        order.cum_lots * order.side.sign for order in core.orders_of(index, key)
                    )
                    assert (held.lots if held else 0) == filled
            assert {asset: e8 for asset, e8 in account.locked.items() if e8} == {
                asset: e8 for asset, e8 in locked.items() if e8
            }
            assert all(e8 >= 0 for e8 in account.balances.values())

    # -- SIGNING ---

    def _signed(self, step: Http) -> HttpRequest:
        key = self.core.keys[step.account].keys[0]
        stamp = str(self.now_ns // MS)

        def changed(text: str) -> str:
            return text if step.cut < 0 else text[: step.cut] + step.put + text[step.cut + 1 :]

        if self.venue != "bybit":
            text = urlencode({**step.params, "timestamp": stamp})
            text = text if step.is_late else changed(text)
            text += "&signature=" + signature(key.secret, text)
            text = changed(text) if step.is_late else text
            query, body = ("", text) if step.in_body else (text, "")
            headers = {"x-mbx-apikey": key.api_key}
            path = ROOTS[self.venue] + step.path
            return HttpRequest(0, step.method, path, query, body, headers)
        is_get = step.method == "GET"
        text = urlencode(step.params) if is_get else json.dumps(step.params)
        text = text if step.is_late else changed(text)
        headers = {
            "x-bapi-api-key": key.api_key,
            "x-bapi-timestamp": stamp,
            "x-bapi-recv-window": "5000",
            "x-bapi-sign": signature(key.secret, f"{stamp}{key.api_key}5000{text}"),
        }
        text = changed(text) if step.is_late else text
        return HttpRequest(
            0, step.method, step.path, text if is_get else "", "" if is_get else text, headers
        )

    def _call(self, op: str, params: Mapping[str, Any], account: int) -> str:
        key = self.core.keys[account].keys[0]
        stamp = self.now_ns // MS
        if self.venue == "bybit":
            args = params.get("args", [params])
            header = {"X-BAPI-TIMESTAMP": str(stamp)}
            named = {"req_id": "r", "reqId": "r"}
            return json.dumps({"op": op, "args": args, "header": header, **named})
        if "args" in params:
            return json.dumps({"method": op, "params": params["args"], "id": 1})
        signed = {**params, "apiKey": key.api_key, "timestamp": stamp}
        text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
        signed["signature"] = signature(key.secret, text)
        return json.dumps({"id": "x", "method": op, "params": signed})

    def _logon(self) -> str:
        key = self.core.keys[0].keys[0]
        stamp = self.now_ns // MS
        if self.venue == "bybit":
            until = stamp + 5_000
            signed = signature(key.secret, f"GET/realtime{until}")
            return json.dumps({"op": "auth", "args": [key.api_key, until, signed]})
        ed25519 = self.core.keys[0].ed25519
        assert ed25519.kind is KeyKind.ED25519
        params: dict[str, Any] = {"apiKey": ed25519.api_key, "timestamp": stamp}
        params["signature"] = ed25519_signature(ed25519.private_key_pem, params)
        return json.dumps({"id": 7, "method": "session.logon", "params": params})


def signature(secret: str, text: str) -> str:
    payload = text.encode(errors="surrogatepass")
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def ed25519_signature(pem: str, params: Mapping[str, Any]) -> str:
    import base64

    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    private: Any = load_pem_private_key(pem.encode(), None)
    return base64.b64encode(private.sign(text.encode())).decode()
