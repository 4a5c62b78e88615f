"""Binance USD-M: listen keys, user data events, keys and what becomes of them."""

from typing import Any

import pytest
from support_usdm import ORDER, SECOND, START_NS, Usdm

from engine.exchange.binance.auth import Security
from engine.exchange.commands import Cancel, SetRefusals
from engine.exchange.face import Log

LISTEN_KEY = "/fapi/v1/listenKey"
TAKE = {"price": "60000.10", "timeInForce": "IOC", "quantity": "0.001"}
DELETE_KEY = "/sapi/v1/sub-account/subAccountApi"


@pytest.fixture
def venue() -> Usdm:
    return Usdm()


def events(frames: list[Any]) -> list[str]:
    return [frame["e"] for frame in frames]


# -- LISTEN KEYS ---


def test_listen_key_lives_an_hour_after_it_was_last_asked_for(venue: Usdm) -> None:
    key = venue.key()
    _, first = venue.rest("POST", LISTEN_KEY, key=key)
    assert venue.rest("POST", LISTEN_KEY, key=venue.key(0, 1)) == (200, first)
    assert venue.rest("PUT", LISTEN_KEY, key=venue.key(1)) == (
        400, {"code": -1125, "msg": "This listenKey does not exist."},
    )  # fmt: skip
    conn = venue.user_stream()
    venue.after(50 * 60)
    assert venue.rest("PUT", LISTEN_KEY, key=key)[0] == 200
    venue.after(50 * 60)
    venue.order()
    assert events(venue.read(conn)) == ["ORDER_TRADE_UPDATE"]
    venue.after(10 * 60 + 1)
    assert venue.read(conn) == [
        {"e": "listenKeyExpired", "E": venue.now_ms - 1_000, "listenKey": first["listenKey"]}
    ]
    assert venue.rest("PUT", LISTEN_KEY, key=key)[1]["code"] == -1125
    venue.order()
    assert venue.read(conn) == []  # open, and silent
    assert venue.open(f"/private/ws?listenKey={first['listenKey']}") == 0
    _, second = venue.rest("POST", LISTEN_KEY, key=key)
    assert second != first


def test_closed_listen_key_is_silent_and_gone(venue: Usdm) -> None:
    conn = venue.user_stream()
    assert venue.rest("DELETE", LISTEN_KEY, key=venue.key()) == (200, {})
    assert venue.rest("DELETE", LISTEN_KEY, key=venue.key())[1]["code"] == -1125
    venue.order()
    assert venue.read(conn) == []


def test_listen_key_by_the_websocket_api(venue: Usdm) -> None:
    conn, key = venue.open("/ws-fapi/v1"), {"apiKey": venue.key().api_key}
    started = venue.say(conn, {"id": 1, "method": "userDataStream.start", "params": key})
    assert started["result"] == venue.rest("POST", LISTEN_KEY, key=venue.key())[1]
    ping = {"id": 2, "method": "userDataStream.ping", "params": key}
    assert venue.say(conn, ping)["status"] == 200
    stop = {"id": 3, "method": "userDataStream.stop", "params": key}
    assert venue.say(conn, stop)["status"] == 200
    assert venue.say(conn, stop)["error"]["code"] == -1125


def test_several_keys_and_chosen_events_on_one_connection(venue: Usdm) -> None:
    keys = [
        venue.rest("POST", LISTEN_KEY, key=venue.key(account))[1]["listenKey"]
        for account in (0, 1)
    ]
    conn = venue.open(
        f"/private/stream?listenKey={keys[0]}&events=ACCOUNT_UPDATE/TRADE_LITE&listenKey={keys[1]}"
    )
    alone = venue.user_stream(query="&events=ORDER_TRADE_UPDATE")
    venue.order(**TAKE)
    frames = venue.read(conn)
    assert [(frame["stream"], frame["data"]["e"]) for frame in frames] == [
        (keys[0], "TRADE_LITE"), (keys[0], "ACCOUNT_UPDATE"),
    ]  # fmt: skip
    assert events(venue.read(alone)) == ["ORDER_TRADE_UPDATE"] * 2
    venue.order(venue.key(1))
    assert [(frame["stream"], frame["data"]["e"]) for frame in venue.read(conn)] == [
        (keys[1], "ORDER_TRADE_UPDATE")
    ]


def test_fault_ends_all_listen_keys(venue: Usdm) -> None:
    venue.user_stream(venue.key(0)), venue.user_stream(venue.key(1))
    assert len(venue.face.expire_user_streams(venue.t_ns)) == 2
    assert venue.rest("PUT", LISTEN_KEY, key=venue.key())[1]["code"] == -1125


# -- EVENTS ---


def test_order_of_the_events_of_a_fill(venue: Usdm) -> None:
    maker, taker = venue.user_stream(), venue.user_stream(venue.key(1))
    venue.order(price="60000.00")
    assert events(venue.read(maker)) == ["ORDER_TRADE_UPDATE"]
    venue.order(venue.key(1), side="SELL", price="60000.00", timeInForce="IOC", quantity="0.004")
    assert events(venue.read(maker)) == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
    assert events(venue.read(taker)) == [
        "ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE",
    ]  # fmt: skip


def test_fill_is_told_with_its_money(venue: Usdm) -> None:
    conn = venue.user_stream()
    venue.order(**{**TAKE, "quantity": "0.010"})
    frames = venue.read(conn)
    fills = [frame["o"] for frame in frames if frame["e"] == "ORDER_TRADE_UPDATE"][1:]
    assert sum(float(fill["l"]) for fill in fills) == pytest.approx(0.010)
    assert (fills[-1]["x"], fills[-1]["X"], fills[-1]["z"]) == ("TRADE", "FILLED", "0.010")
    assert {fill["N"] for fill in fills} == {"USDT"}
    paid = sum(float(fill["n"]) for fill in fills)
    account = [frame["a"] for frame in frames if frame["e"] == "ACCOUNT_UPDATE"][-1]
    assert (account["m"], account["P"][0]["pa"]) == ("ORDER", "0.010")
    assert float(account["B"][0]["wb"]) == pytest.approx(100_000 - paid)
    new = frames[0]["o"]
    assert (new["x"], "N" in new, new["L"], new["ap"]) == ("NEW", False, "0.00", "0.0")


def test_cancel_from_elsewhere_is_told(venue: Usdm) -> None:
    """What the core did by itself reaches the streams through `publish`."""
    conn = venue.user_stream()
    _, placed = venue.order()
    venue.read(conn)
    effects = venue.core.step(Cancel(0, "BTCUSDT", placed["orderId"]), venue.t_ns)
    actions: list[Any] = []
    venue.face.publish(effects[1:], venue.t_ns, actions)
    assert [action.conns for action in actions] == [(conn,)]
    assert '"x":"CANCELED","X":"CANCELED"' in actions[0].text


def test_reasons_of_expiry(venue: Usdm) -> None:
    conn = venue.user_stream()
    venue.order(timeInForce="IOC")
    told = venue.read(conn)[-1]["o"]
    assert (told["x"], told["X"], told["er"]) == ("EXPIRED", "EXPIRED", "2")
    venue.order(price="60000.00", quantity="0.100")
    venue.order(
        side="SELL", price="60000.00", quantity="0.100", selfTradePreventionMode="EXPIRE_MAKER"
    )
    told = next(frame["o"] for frame in venue.read(conn) if frame["o"]["x"] == "EXPIRED")
    assert (told["X"], told["er"], told["S"]) == ("EXPIRED_IN_MATCH", "1", "BUY")


def test_funding_tells_balances_alone(venue: Usdm) -> None:
    venue.order(**{**TAKE, "quantity": "0.100"})
    venue.t_ns = (START_NS // (8 * 3_600 * SECOND) + 1) * 8 * 3_600 * SECOND - SECOND
    venue.after(0)
    conn = venue.user_stream()
    venue.after(1.5)
    [event] = venue.read(conn)
    assert (event["e"], event["a"]["m"], event["a"]["P"]) == ("ACCOUNT_UPDATE", "FUNDING_FEE", [])
    change = event["a"]["B"][0]["bc"]
    assert float(change) == pytest.approx(-0.1 * 60_000 * 0.0001, rel=0.01)
    rows = venue.good("GET", "income", incomeType="FUNDING_FEE")
    assert [row["income"] for row in rows] == [change]


def test_leverage_change_is_told(venue: Usdm) -> None:
    conn = venue.user_stream()
    body = venue.good("POST", "leverage", symbol="BTCUSDT", leverage=7)
    assert (body["symbol"], body["leverage"]) == ("BTCUSDT", 7)
    [event] = venue.read(conn)
    assert (event["e"], event["ac"]) == ("ACCOUNT_CONFIG_UPDATE", {"s": "BTCUSDT", "l": 7})
    venue.good("POST", "leverage", symbol="BTCUSDT", leverage=7)
    assert venue.read(conn) == []
    assert venue.signed("POST", "leverage", symbol="BTCUSDT", leverage=126)[1] == {
        "code": -4028, "msg": "Leverage 126 is not valid",
    }  # fmt: skip


# -- KEYS ---


def session(venue: Usdm) -> int:
    """A connection logged on with the first account's Ed25519 key."""
    conn = venue.open("/ws-fapi/v1")
    logged = venue.api(conn, "session.logon", venue.core.keys[0].ed25519)
    assert logged["result"]["apiKey"] == venue.core.keys[0].ed25519.api_key, logged
    return conn


def unsigned(venue: Usdm, conn: int, method: str = "order.place", **params: Any) -> Any:
    params = {**ORDER, **params, "timestamp": venue.now_ms}
    return venue.say(conn, {"id": 5, "method": method, "params": params})


def test_session_replaces_key_and_signature(venue: Usdm) -> None:
    conn = session(venue)
    assert unsigned(venue, conn)["result"]["status"] == "NEW"
    late = {**ORDER, "timestamp": venue.now_ms - 6_000}
    reply = venue.say(conn, {"id": 5, "method": "order.place", "params": late})
    assert reply["error"]["code"] == -1021
    assert venue.api(conn, "order.place", venue.key(1), **ORDER)["status"] == 200
    assert len(venue.core.open_orders(1, "BTCUSDT")) == 1
    status = venue.say(conn, {"id": 6, "method": "session.status"})["result"]
    assert (status["authorizedSince"], status["connectedSince"]) == (venue.now_ms,) * 2
    out = venue.say(conn, {"id": 7, "method": "session.logout"})["result"]
    assert (out["apiKey"], out["authorizedSince"]) == (None, None)
    assert unsigned(venue, conn)["error"]["code"] == -1102
    assert venue.api(conn, "session.logon", venue.key())["error"]["code"] == -4056
    bad = {"apiKey": venue.core.keys[0].ed25519.api_key, "timestamp": venue.now_ms,
           "signature": "AAAA"}  # fmt: skip
    reply = venue.say(conn, {"id": 1, "method": "session.logon", "params": bad})
    assert reply["error"]["code"] == -1022


def delete_key(venue: Usdm, api_key: str) -> tuple[int, Any]:
    return venue.signed(
        "DELETE", DELETE_KEY, venue.core.keyring.management,
        email="account0@example.com", subAccountApiKey=api_key,
    )  # fmt: skip


def test_deleted_key_fails_everywhere_at_once(venue: Usdm) -> None:
    conn, user = session(venue), venue.user_stream()
    for key in (venue.core.keys[0].ed25519, *venue.core.keys[0].keys):
        assert delete_key(venue, key.api_key) == (200, {})
    assert events(venue.read(user)) == ["listenKeyExpired"]
    gone = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
    assert venue.signed("GET", "openOrders") == (401, gone)
    assert venue.rest("POST", LISTEN_KEY, key=venue.key()) == (401, gone)
    api = venue.open("/ws-fapi/v1")
    assert venue.api(api, "order.place", **ORDER)["error"] == gone
    assert unsigned(venue, conn) == {"id": None, "status": 401, "error": gone}
    assert unsigned(venue, conn)["error"]["code"] == -1102  # the session is over
    assert venue.order(venue.key(1))[0] == 200
    assert not any(isinstance(action, Log) for action in venue.actions)


def test_management_key_has_no_account(venue: Usdm) -> None:
    manager, conn = venue.core.keyring.management, venue.open("/ws-fapi/v1")
    owned = {Security.STREAM, Security.READ, Security.TRADE}
    for (method, path), route in venue.face.routes().items():
        status, body = venue.signed(method, path, manager, symbol="BTCUSDT", email="a@b")
        is_refused = status == 401 and body["code"] == -2015
        assert is_refused is (route.security in owned), path
    for name, route in venue.face.methods().items():
        answer = venue.api(conn, name, manager, symbol="BTCUSDT")
        is_refused = answer["status"] == 401 and answer["error"]["code"] == -2015
        assert is_refused is (route.security in owned), name
    rights = venue.good("GET", "/sapi/v1/account/apiRestrictions", manager)
    assert (rights["enableReading"], rights["enableFutures"]) == (True, False)


def test_only_the_management_key_deletes(venue: Usdm) -> None:
    target = venue.key(0, 1).api_key
    ask = {"email": "a@b.c", "subAccountApiKey": target}
    assert venue.signed("DELETE", DELETE_KEY, **ask)[1]["code"] == -2015
    assert delete_key(venue, "f" * 64)[0] == 400
    manager = venue.core.keyring.management
    assert venue.signed("POST", "order", manager, **ORDER)[1]["code"] == -2015
    assert venue.rest("POST", LISTEN_KEY, key=manager)[1]["code"] == -2015
    rights = venue.good("GET", "/sapi/v1/account/apiRestrictions")
    assert (rights["enableFutures"], rights["enableWithdrawals"]) == (True, False)
    venue.core.step(SetRefusals(is_revocation_refused=True), venue.t_ns)
    assert delete_key(venue, target)[0] == 400
    assert venue.signed("GET", "openOrders", venue.key(0, 1))[0] == 200


def test_addresses_and_permissions_of_a_key(venue: Usdm) -> None:
    key = venue.key()
    bound = type(key)(
        key.api_key, key.secret, key.kind, key.account, frozenset({"read"}), ("10.0.0.1",)
    )
    venue.core.keyring.replace(bound)
    assert venue.signed("GET", "openOrders")[1]["code"] == -2015
    assert venue.signed("GET", "openOrders", ip="10.0.0.1")[0] == 200
    assert venue.signed("POST", "order", ip="10.0.0.1", **ORDER)[1]["code"] == -2015
