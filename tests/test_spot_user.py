"""Sessions and user data of the Binance Spot face: who hears what, and until when."""

from dataclasses import replace
from typing import Any

import pytest
from support_spot import ORDER, SECOND, Venue, market_order, signature_of, wanted

from engine.exchange.binance.auth import Security
from engine.exchange.commands import DeleteKey
from engine.exchange.face import HttpAnswer, HttpRequest, WsClose, WsSend

ACCOUNTS = {Security.STREAM, Security.SESSION, Security.READ, Security.TRADE}  # an account's own


@pytest.fixture
def venue() -> Venue:
    return Venue()


def kinds(events: list[Any]) -> list[str]:
    return [event.get("x", event["e"]) for event in events]


def logged_on(venue: Venue, account: int = 0) -> int:
    conn = venue.open("/ws-api/v3")
    key = venue.core.keys[account].ed25519
    answer = venue.api_signed(conn, "session.logon", key)
    assert answer["status"] == 200, answer
    assert answer["result"]["apiKey"] == key.api_key
    return conn


# -- SUBSCRIPTIONS ---


def test_subscription_by_signature_hears_its_account_only(venue: Venue) -> None:
    mine, others = venue.user_stream(venue.key(0, 1)), venue.user_stream(venue.key(1))
    venue.order()
    assert kinds(venue.events(mine)) == ["NEW", "outboundAccountPosition"]
    assert venue.read(others) == []


def test_both_sides_of_a_trade_hear_of_it(venue: Venue) -> None:
    maker, taker = venue.user_stream(), venue.user_stream(venue.key(1))
    venue.order(price="60000", newClientOrderId="m")
    venue.order(venue.key(1), **market_order(side="SELL", quantity="0.004"))
    made = venue.events(maker)
    assert kinds(made) == ["NEW", "outboundAccountPosition", "TRADE", "outboundAccountPosition"]
    assert (made[2]["m"], made[2]["X"], made[2]["z"]) == (True, "PARTIALLY_FILLED", "0.00400000")
    assert (made[2]["n"], made[2]["N"]) == ("0.00000400", "BTC")
    took = venue.events(taker)
    assert kinds(took) == ["NEW", "TRADE", "outboundAccountPosition"]
    assert (took[1]["m"], took[1]["N"], took[1]["t"]) == (False, "USDT", made[2]["t"])
    assert took[1]["Y"] == "240.00000000"


def test_session_subscribes_after_logon_and_keeps_its_id(venue: Venue) -> None:
    conn = venue.open("/ws-api/v3")
    assert venue.api(conn, "userDataStream.subscribe")["status"] != 200
    conn = logged_on(venue)
    assert venue.api(conn, "userDataStream.subscribe")["result"] == {"subscriptionId": 0}
    status = venue.api(conn, "session.status")["result"]
    assert status["userDataStream"] is True
    again = venue.api(conn, "userDataStream.subscribe")
    assert again["error"] == {
        "code": -2035, "msg": "User Data Stream subscription already active."
    }  # fmt: skip
    other = venue.api_signed(conn, "userDataStream.subscribe.signature", venue.key(1))
    assert other["result"] == {"subscriptionId": 1}
    listed = venue.api(conn, "session.subscriptions")["result"]
    assert listed == [{"subscriptionId": 0}, {"subscriptionId": 1}]
    venue.order(venue.key(1))
    assert {frame["subscriptionId"] for frame in venue.read(conn)} == {1}


def test_session_places_orders_without_key_and_signature(venue: Venue) -> None:
    conn = logged_on(venue)
    stamp = venue.t_ns // 1_000_000
    placed = venue.api(conn, "order.place", **wanted({"timestamp": stamp}))
    assert placed["status"] == 200
    venue.api(conn, "session.logout")
    assert venue.api(conn, "order.place", **wanted({"timestamp": stamp}))["status"] != 200


def test_unsubscribe_ends_one_or_all_and_says_so(venue: Venue) -> None:
    conn = venue.user_stream()
    venue.api_signed(conn, "userDataStream.subscribe.signature", venue.key(1))
    wrong = venue.api(conn, "userDataStream.unsubscribe", subscriptionId=7)
    assert wrong["error"]["code"] == -2036
    assert venue.api(conn, "userDataStream.unsubscribe", subscriptionId=0)["result"] == {}
    (last,) = venue.read(conn)
    stamp = venue.t_ns // 1_000_000
    assert last == {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": stamp}}
    venue.order()
    venue.order(venue.key(1))
    assert {frame["subscriptionId"] for frame in venue.read(conn)} == {1}
    assert venue.api(conn, "userDataStream.unsubscribe")["result"] == {}
    assert kinds(venue.events(conn)) == ["eventStreamTerminated"]
    venue.order(venue.key(1))
    assert venue.read(conn) == []
    assert venue.api(conn, "userDataStream.unsubscribe")["error"]["code"] == -2036


def test_logout_ends_what_the_session_subscribed_to(venue: Venue) -> None:
    conn = logged_on(venue)
    venue.api(conn, "userDataStream.subscribe")
    venue.api_signed(conn, "userDataStream.subscribe.signature", venue.key(1))
    venue.api(conn, "session.logout")
    assert kinds(venue.events(conn)) == ["eventStreamTerminated"]
    assert venue.api(conn, "session.subscriptions")["result"] == [{"subscriptionId": 1}]


def test_closed_connection_hears_nothing(venue: Venue) -> None:
    conn = venue.user_stream()
    venue.close(conn)
    venue.order()
    assert not [a for a in venue.actions if isinstance(a, WsSend)]


def test_fault_ends_every_user_stream(venue: Venue) -> None:
    conn = venue.user_stream()
    actions = venue.face.expire_user_streams(venue.t_ns)
    assert len(actions) == 1
    venue.order()
    assert venue.read(conn) == []


def test_listen_keys_are_gone(venue: Venue) -> None:
    for method in ("POST", "PUT", "DELETE"):
        request = HttpRequest(9, method, "/api/v3/userDataStream", "", "", {})
        (answer,) = (a for a in venue.step(request) if isinstance(a, HttpAnswer))
        assert (answer.status, len(answer.body)) == (410, 136)  # as long as the venue's
        assert answer.body.startswith("<html>\r\n<head><title>410 Gone</title></head>")
    conn = venue.open("/ws-api/v3")
    assert venue.api(conn, "userDataStream.start", apiKey=venue.key().api_key)["status"] != 200


# -- CANCEL'S IDS ---


def test_cancel_has_its_own_client_id(venue: Venue) -> None:
    conn = venue.user_stream()
    venue.order(newClientOrderId="mine")
    named = {"symbol": "BTCUSDT", "origClientOrderId": "mine", "newClientOrderId": "bye"}
    body = venue.signed("DELETE", ORDER, **named)[1]
    assert (body["origClientOrderId"], body["clientOrderId"]) == ("mine", "bye")
    report = venue.events(conn)[2]
    assert (report["x"], report["c"], report["C"]) == ("CANCELED", "bye", "mine")
    assert not venue.face.users.renames  # told, and forgotten


def test_cancel_all_tells_each_order_under_one_id(venue: Venue) -> None:
    conn = venue.user_stream()
    for name in ("a", "b"):
        venue.order(newClientOrderId=name)
    venue.read(conn)
    body = venue.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]
    assert len({order["clientOrderId"] for order in body}) == 1
    reports = [event for event in venue.events(conn) if event["e"] == "executionReport"]
    assert [report["C"] for report in reports] == ["a", "b"]
    assert {report["c"] for report in reports} == {body[0]["clientOrderId"]}


# -- KEYS ---


def test_request_may_be_split_between_query_and_body(venue: Venue) -> None:
    """The venue's third example: what is signed is the one right after the other."""
    key = venue.key()
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = f"quantity=0.01&price=59000&recvWindow=5000&timestamp={venue.t_ns // 1_000_000}"
    signed = f"{body}&signature={signature_of(key, query + body)}"
    answer = venue.rest("POST", ORDER, query, signed, x_mbx_apikey=key.api_key)
    assert answer[0] == 200
    wrong = f"{body}&signature={signature_of(key, query + '&' + body)}"
    answer = venue.rest("POST", ORDER, query, wrong, x_mbx_apikey=key.api_key)
    assert (answer[0], answer[1]["code"]) == (400, -1022)


def test_ed25519_key_signs_requests_too(venue: Venue) -> None:
    assert venue.order(venue.core.keys[0].ed25519)[0] == 200
    conn = venue.open("/ws-api/v3")
    refused = venue.api_signed(conn, "session.logon", venue.key())
    assert refused["status"] != 200  # the session wants an Ed25519 key


def test_deleted_key_fails_everywhere(venue: Venue) -> None:
    gone = venue.key(0, 0)
    conn = venue.user_stream(gone)
    status, body = venue.signed(
        "DELETE", "/sapi/v1/sub-account/subAccountApi", venue.core.keyring.management,
        email="account0", subAccountApiKey=gone.api_key,
    )  # fmt: skip
    assert status == 200, body
    assert kinds(venue.events(conn)) == ["eventStreamTerminated"]
    status, body = venue.order(gone)
    assert (status, body["code"]) == (401, -2015)
    placed = venue.api_signed(conn, "order.place", gone, **wanted({}))
    assert (placed["status"], placed["error"]["code"]) == (401, -2015)
    assert venue.order(venue.key(0, 1))[0] == 200


def test_session_of_a_deleted_key_is_over(venue: Venue) -> None:
    conn = logged_on(venue)
    venue.api(conn, "userDataStream.subscribe")
    key = venue.core.keys[0].ed25519
    status, _ = venue.signed(
        "DELETE", "/sapi/v1/sub-account/subAccountApi", venue.core.keyring.management,
        email="account0", subAccountApiKey=key.api_key,
    )  # fmt: skip
    assert status == 200
    assert kinds(venue.events(conn)) == ["eventStreamTerminated"]
    stamp = venue.t_ns // 1_000_000
    answer = venue.api(conn, "order.place", **wanted({"timestamp": stamp}))
    assert (answer["status"], answer["error"]["code"]) == (401, -2015)
    assert venue.signed("GET", "/api/v3/openOrders")[1] == []


@pytest.mark.parametrize(
    "method",
    ["userDataStream.subscribe", "session.status", "session.subscriptions", "ping", "depth"],
)
def test_next_request_of_a_deleted_keys_session_ends_it(venue: Venue, method: str) -> None:
    conn = logged_on(venue)
    venue.core.operate(DeleteKey(venue.core.keys[0].ed25519.api_key), venue.t_ns)
    answer = venue.api(conn, method)
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (None, 401, -2015)
    assert venue.api(conn, "session.status")["result"]["apiKey"] is None
    venue.order()
    assert venue.read(conn) == []


def test_subscription_wants_a_session_of_a_key_that_may_read(venue: Venue) -> None:
    conn = venue.open("/ws-api/v3")
    assert venue.api(conn, "userDataStream.subscribe")["error"]["code"] == -2015
    conn, key = logged_on(venue), venue.core.keys[0].ed25519
    venue.core.keyring.replace(replace(key, permissions=frozenset({"trade"})), 1)
    assert venue.api(conn, "userDataStream.subscribe")["error"]["code"] == -2015


def test_management_key_has_no_account(venue: Venue) -> None:
    manager, conn = venue.core.keyring.management, venue.open("/ws-api/v3")
    for (method, path), route in venue.face.routes().items():
        status, body = venue.signed(method, path, manager, symbol="BTCUSDT", email="a@b")
        is_refused = status == 401 and body["code"] == -2015
        assert is_refused is (route.security in ACCOUNTS), path
    for name, route in venue.face.methods().items():
        answer = venue.api_signed(conn, name, manager, symbol="BTCUSDT")
        is_refused = answer["status"] == 401 and answer["error"]["code"] == -2015
        assert is_refused is (route.security in ACCOUNTS), name
    venue.order(venue.key(1))
    assert venue.read(conn) == []


def test_only_the_management_key_deletes_keys(venue: Venue) -> None:
    named = {"email": "account0", "subAccountApiKey": venue.key(0, 1).api_key}
    status, body = venue.signed("DELETE", "/sapi/v1/sub-account/subAccountApi", **named)
    assert (status, body["code"]) == (401, -2015)
    assert venue.order(venue.key(0, 1))[0] == 200
    assert venue.order(venue.core.keyring.management)[1]["code"] == -2015


def test_key_tells_what_it_may_do(venue: Venue) -> None:
    body = venue.signed("GET", "/sapi/v1/account/apiRestrictions")[1]
    assert (body["enableReading"], body["enableSpotAndMarginTrading"]) == (True, True)
    assert (body["ipRestrict"], body["enableWithdrawals"]) == (False, False)


def test_key_deleted_by_the_operator_is_told_too(venue: Venue) -> None:
    conn = venue.user_stream()
    out = venue.core.step(DeleteKey(venue.key().api_key), venue.t_ns)
    actions: list[Any] = []
    venue.face.publish(out[1:], venue.t_ns, actions)
    assert actions
    venue.order(venue.key(0, 1))
    assert venue.read(conn) == []


# -- END OF LIFE ---


def test_connection_is_told_of_its_end_ten_minutes_ahead(venue: Venue) -> None:
    conn = venue.user_stream()
    venue.t_ns += 24 * 3_600 * SECOND - 600 * SECOND - 1
    for open_conn in venue.face.conns:
        open_conn.pong_ns = venue.t_ns
    venue.after(0)
    assert venue.read(conn) == []
    venue.t_ns += 1
    venue.after(0)
    (frame,) = venue.read(conn)
    assert frame["event"]["e"] == "serverShutdown"
    for open_conn in venue.face.conns:
        open_conn.pong_ns = venue.t_ns + 600 * SECOND
    venue.after(600)
    assert [a.conn for a in venue.actions if isinstance(a, WsClose)] == [conn]
    assert venue.read(conn) == []  # it was told already


def test_end_of_age_by_a_fault_has_the_parting_words_first(venue: Venue) -> None:
    raw, combined = venue.open("/ws/btcusdt@trade"), venue.open("/stream?streams=btcusdt@trade")
    actions = venue.face.end_of_age(venue.t_ns)
    texts = {a.conns[0]: a.text for a in actions if isinstance(a, WsSend)}
    stamp = venue.t_ns // 1_000_000
    assert texts[raw] == f'{{"e":"serverShutdown","E":{stamp}}}'
    assert texts[combined] == f'{{"stream":"!serverShutdown","data":{texts[raw]}}}'
    assert [a.conn for a in actions if isinstance(a, WsClose)] == [raw, combined]


def test_fees_are_never_in_bnb(venue: Venue) -> None:
    off = {"spotBNBBurn": False, "interestBNBBurn": False}
    assert venue.signed("GET", "/sapi/v1/bnbBurn") == (200, off)
    assert venue.signed("POST", "/sapi/v1/bnbBurn", spotBNBBurn="false") == (200, off)
    assert venue.signed("POST", "/sapi/v1/bnbBurn", spotBNBBurn="true")[1]["code"] == -1020
