"""Anything at all may be sent to the Binance Spot face: the answer is always the venue's."""

import json
import random
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from support_spot import Venue, signature_of

from engine.exchange.face import HttpAnswer, Log, WsPingOut, WsPong, WsSend

NAMES = (
    "symbol", "symbols", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price",
    "newClientOrderId", "stopPrice", "icebergQty", "newOrderRespType", "selfTradePreventionMode",
    "orderId", "origClientOrderId", "cancelOrderId", "cancelReplaceMode", "newQty", "limit",
    "fromId", "startTime", "endTime", "interval", "windowSize", "permissions", "recvWindow",
    "cancelRestrictions", "omitZeroBalances", "subscriptionId", "email", "subAccountApiKey",
    "strategyId", "strategyType", "symbolStatus", "orderRateLimitExceededMode",
)  # fmt: skip
VALUES = (
    "BTCUSDT", "ETHUSDT", '["BTCUSDT"]', "[", "[[[", "BUY", "SELL", "LIMIT", "MARKET",
    "LIMIT_MAKER", "STOP_LOSS", "TAKE_PROFIT_LIMIT", "GTC", "IOC", "FOK", "0.01", "0.001",
    "60000", "59999.99", "1e9", "-1", "0", "", "NaN", "Infinity", "99999999999999999999", "1",
    "4000000001", "2000000001", "a", "\u0000", "\U0001f600", "'\";--", "%", "1m", "1M", "1s", "7d",
    "99d", "ACK", "FULL", "STOP_ON_FAILURE", "ALLOW_FAILURE", "ONLY_NEW", "CANCEL_ONLY", "true",
    "1700000000000", "170000000000000000", "TRADING", "EXPIRE_BOTH", "x" * 500,
)  # fmt: skip
JUNK: tuple[Any, ...] = (
    *VALUES, 0, -1, 1.5, True, None, 10**30, [], [1], ["BTCUSDT"], {}, {"a": 1}, [[]],
)  # fmt: skip


def check_silence(venue: Venue) -> None:
    errors = [action for action in venue.actions if isinstance(action, Log) and action.is_error]
    assert not errors, errors


def check_error(body: Any) -> None:
    assert isinstance(body["code"], int)
    assert body["code"] < 0
    assert isinstance(body["msg"], str)


def an_order(dice: random.Random) -> dict[str, str]:
    """One that might be taken, often enough to cross others of either account."""
    kind = dice.choice(
        ("LIMIT", "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "TAKE_PROFIT_LIMIT")
    )
    px = dice.choice(("59999.99", "60000", "60000.01", "59990", "60010", "59000", "61000"))
    order = {"side": dice.choice(("BUY", "SELL")), "type": kind}
    order["quantity"] = dice.choice(("0.001", "0.01", "0.2"))
    if kind in ("LIMIT", "LIMIT_MAKER", "TAKE_PROFIT_LIMIT"):
        order["price"] = px
    if kind in ("LIMIT", "TAKE_PROFIT_LIMIT"):
        order["timeInForce"] = dice.choice(("GTC", "GTC", "IOC", "FOK"))
    if kind in ("STOP_LOSS", "TAKE_PROFIT_LIMIT"):
        order["stopPrice"] = dice.choice(("59990", "60010", "59999.99", "60000.01"))
    if kind == "MARKET" and dice.random() < 0.3:
        del order["quantity"]
        order["quoteOrderQty"] = dice.choice(("6", "100", "5000.12345678"))
    if dice.random() < 0.5:
        order["newClientOrderId"] = dice.choice("abcdef")
    if dice.random() < 0.3:
        order["selfTradePreventionMode"] = dice.choice(
            ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH")
        )
    return order


def a_query(dice: random.Random) -> dict[str, str]:
    """An order, a question about one, or nonsense; then a little more nonsense."""
    query: dict[str, str] = {}
    chance = dice.random()
    if chance < 0.5:
        query = an_order(dice)
    if chance < 0.1:
        query["cancelReplaceMode"] = dice.choice(("STOP_ON_FAILURE", "ALLOW_FAILURE"))
        query["cancelOrigClientOrderId"] = dice.choice("abcdef")
    elif 0.5 <= chance < 0.8:
        query[dice.choice(("origClientOrderId", "orderId"))] = dice.choice(
            (*"abcdef", *(str(4_000_000_000 + number) for number in range(1, 30)))
        )
        if dice.random() < 0.3:
            query["newQty"] = dice.choice(("0.0005", "0.005", "0.1"))
    for _ in range(dice.choice((0, 0, 0, 1, 4))):
        query[dice.choice(NAMES)] = dice.choice(VALUES)
    if dice.random() < 0.9:
        query["symbol"] = "BTCUSDT"
    return query


@pytest.mark.parametrize("seed", range(3))
def test_any_rest_request_is_answered_as_the_venue_would(seed: int) -> None:
    dice = random.Random(f"spot rest {seed}")
    venue = Venue(limit_factor=1_000)
    routes = sorted(venue.face.routes())
    routes += [route for route in routes if "/api/v3/o" in route[1]] * 4
    keys = [venue.key(), venue.key(1), venue.core.keyring.management]
    for _ in range(600):
        method, path = dice.choice(routes)
        if "subAccountApi" in path and dice.random() < 0.9:
            continue  # else no key would be left soon
        if dice.random() < 0.05:
            method, path = dice.choice(("GET", "PATCH", "")), path + dice.choice(("", "/", "x"))
        text = urlencode(a_query(dice)) if dice.random() < 0.9 else dice.choice(VALUES)
        headers = {}
        if dice.random() < 0.9:
            key = dice.choice(keys)
            headers["x_mbx_apikey"] = key.api_key
            text += f"&timestamp={venue.t_ns // 1_000_000}"
            text += "&signature=" + quote(signature_of(key, text))
        body = ""
        if dice.random() < 0.2:
            text, body = "", text
        status, said, _ = venue.rest(method, path, text, body, **headers)
        check_silence(venue)
        if status >= 400:
            check_error(said)
        venue.after(dice.random())
    check_books(venue)


@pytest.mark.parametrize("seed", range(3))
def test_any_websocket_request_is_answered_as_the_venue_would(seed: int) -> None:
    dice = random.Random(f"spot ws {seed}")
    venue = Venue(limit_factor=1_000)
    methods = sorted(venue.face.methods())
    methods += [method for method in methods if method.startswith("order.")] * 5
    conn = venue.open("/ws-api/v3")
    for number in range(600):
        params: dict[str, Any] = {**a_query(dice)}
        if dice.random() < 0.2:
            params[dice.choice(NAMES)] = dice.choice(JUNK)
        if dice.random() < 0.8 and all(isinstance(v, str | int) for v in params.values()):
            key = venue.key(dice.randrange(2))
            params |= {"apiKey": key.api_key, "timestamp": venue.t_ns // 1_000_000}
            named = {
                name: "true" if value is True else str(value) for name, value in params.items()
            }
            text = "&".join(f"{name}={named[name]}" for name in sorted(named))
            params["signature"] = signature_of(key, text)
        request = {"id": number, "method": dice.choice(methods), "params": params}
        if dice.random() < 0.1:
            request[dice.choice(("id", "method", "params"))] = dice.choice(JUNK)
        said = json.dumps(request)
        if dice.random() < 0.1:
            said = said[: dice.randrange(len(said))] + dice.choice(("", "}", "\x00", "\ud83d"))
        venue.say(conn, said)
        check_silence(venue)
        answers = [json.loads(text) for text in venue.texts(conn)]
        replies = [answer for answer in answers if "status" in answer]
        assert len(replies) == 1, said
        if replies[0]["status"] != 200:
            check_error(replies[0]["error"])
        pings = [a for a in venue.after(dice.random()) if isinstance(a, WsPingOut)]
        for ping in pings:
            venue.step(WsPong(ping.conn))
    check_books(venue)


def test_any_words_on_a_market_stream_are_answered() -> None:
    dice = random.Random("spot market")
    venue = Venue()
    methods = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
    streams = [
        "btcusdt@" + kind
        for kind in (
            "depth",
            "depth5",
            "trade",
            "kline_1M",
            "kline_2m",
            "ticker_1h",
            "avgPrice",
            "",
        )
    ]
    streams += ["!ticker@arr", "!ticker_1h@arr", "!miniTicker@arr", "!nothing", "@", "", "x" * 200]
    conn = venue.open("/ws/x")
    for number in range(400):
        params = [dice.choice((*streams, "combined", *JUNK)) for _ in range(dice.randrange(4))]
        request = {"method": dice.choice(methods), "params": params, "id": number}
        if dice.random() < 0.2:
            request[dice.choice(("id", "method", "params"))] = dice.choice(JUNK)
        said = json.dumps(request)
        if dice.random() < 0.1:
            said = said[: dice.randrange(len(said))]
        venue.say(conn, said)
        check_silence(venue)
        assert [action for action in venue.actions if isinstance(action, WsSend)]
        venue.after(0.3)
        for open_conn in venue.face.conns:
            open_conn.pong_ns = venue.t_ns
        venue.order(quantity="0.001")
        check_silence(venue)


def test_any_path_of_a_websocket_is_accepted_or_refused() -> None:
    dice = random.Random("spot paths")
    venue = Venue()
    parts = (
        "/ws", "/stream", "/ws-api/v3", "/", "?", "streams=", "btcusdt@depth", "&", "%", "//",
        "timeUnit=MICROSECOND", "timeUnit=x", "responseFormat=sbe", "\x00", "[", "]",
    )  # fmt: skip
    for _ in range(200):
        target = "".join(dice.choice(parts) for _ in range(dice.randrange(1, 6)))
        conn = venue.open(target)
        check_silence(venue)
        assert len([a for a in venue.actions if type(a).__name__ in ("WsAccept", "WsRefuse")]) == 1
        venue.close(conn)


def check_books(venue: Venue) -> None:
    """Money is where it was: only fees have gone, and no order locks what it shouldn't."""
    for account in venue.core.accounts:
        for asset, locked_e8 in account.locked.items():
            assert 0 <= locked_e8 <= account.balances[asset]
        orders = venue.core.open_orders(account.index, "BTCUSDT")
        wanted = sum(order.locked_e8 for order in orders)
        waiting = venue.core.open_triggers(account.index, "BTCUSDT")
        wanted += sum(trigger.locked_e8 for trigger in waiting)
        assert wanted == sum(account.locked.values())
    answers = [action for action in venue.actions if isinstance(action, HttpAnswer)]
    assert len(answers) <= 1
