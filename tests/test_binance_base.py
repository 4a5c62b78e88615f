"""What Binance's faces share: rate limits and bans, signatures and time, envelope, troubles."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from support_usdm import ORDER, SECOND, START_NS, Usdm, signature_of

from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import REFUSALS_TO_BAN, Limit, RateLimits
from engine.exchange.binance.params import parse_query, text_params, without_signature
from engine.exchange.face import ConnKind, HttpRequest, Tick, Trouble, WsRefuse, WsText
from engine.exchange.keys import Key

MINUTE = 60 * SECOND
HOME = "127.0.0.1"


@pytest.fixture
def venue() -> Usdm:
    return Usdm()


# -- LIMITS, PURE ---


def small_limits(weight: int = 10) -> RateLimits:
    limits = (
        Limit("REQUEST_WEIGHT", "MINUTE", 1, weight),
        Limit("ORDERS", "MINUTE", 1, 6),
        Limit("ORDERS", "SECOND", 10, 3),
    )
    return RateLimits(limits, Limit("CONNECTIONS", "MINUTE", 5, 2))


def refused(limits: RateLimits, t_ns: int, weight: int = 1, ip: str = HOME) -> VenueError | None:
    try:
        limits.charge(ip, weight, t_ns, t_ns)
    except VenueError as error:
        return error
    return None


def test_weight_is_counted_in_fixed_minutes_of_each_address() -> None:
    limits = small_limits()
    start = START_NS + 20 * SECOND
    assert refused(limits, start, 10) is None
    error = refused(limits, start)
    assert error is not None
    assert (error.status, error.code, error.retry_after_s) == (429, -1003, 40)
    data = json.loads(error.json(is_ws=True))["data"]
    assert data == {"serverTime": start // 10**6, "retryAfter": start // 10**6 + 40_000}
    assert "data" not in json.loads(error.json())
    assert refused(limits, start, ip="10.0.0.9") is None
    assert refused(limits, START_NS + MINUTE) is None
    assert refused(limits, START_NS + MINUTE, 10) is not None
    assert refused(limits, START_NS + MINUTE, 9) is None


def test_who_goes_on_is_banned_longer_each_time() -> None:
    limits, t_ns, bans = small_limits(), START_NS, []
    for _ in range(3):
        refused(limits, t_ns, 10)
        statuses = []
        for _ in range(REFUSALS_TO_BAN + 2):
            error = refused(limits, t_ns)
            assert error is not None
            statuses.append(error.status)
        assert statuses == [429] * REFUSALS_TO_BAN + [418, 418]
        bans.append(error.retry_after_s)
        assert f"banned until {t_ns // 10**6 + bans[-1] * 1_000}" in error.text
        assert refused(limits, t_ns + bans[-1] * SECOND - 1) is not None
        t_ns += bans[-1] * SECOND + MINUTE
    assert bans == [120, 240, 480]


def test_order_count_is_the_accounts() -> None:
    limits = small_limits()
    for _ in range(3):
        limits.charge_orders(0, 1, START_NS)
    with pytest.raises(VenueError) as error:
        limits.charge_orders(0, 1, START_NS)
    assert (error.value.status, error.value.code) == (429, -1015)
    assert error.value.text == "Too many new orders; current limit is 3 orders per 10 SECOND."
    limits.charge_orders(1, 1, START_NS)
    limits.charge_orders(0, 3, START_NS + 10 * SECOND)
    with pytest.raises(VenueError, match="6 orders per 1 MINUTE"):
        limits.charge_orders(0, 1, START_NS + 20 * SECOND)
    assert dict(limits.headers(HOME, 0, START_NS + 20 * SECOND)) == {
        "X-MBX-USED-WEIGHT-1M": "0",
        "X-MBX-ORDER-COUNT-10S": "0",
        "X-MBX-ORDER-COUNT-1M": "6",
    }
    rows = json.loads(limits.rows_json(HOME, 0, START_NS + 20 * SECOND))
    assert [(row["rateLimitType"], row["limit"], row["count"]) for row in rows] == [
        ("ORDERS", 3, 0), ("ORDERS", 6, 6), ("REQUEST_WEIGHT", 10, 0),
    ]  # fmt: skip


def test_connection_attempts_are_limited() -> None:
    limits = small_limits()
    for _ in range(2):
        limits.charge_connect(HOME, START_NS, START_NS)
    with pytest.raises(VenueError) as error:
        limits.charge_connect(HOME, START_NS, START_NS)
    assert error.value.status == 429


# -- LIMITS OF A FACE ---


def test_headers_and_rows_of_a_face(venue: Usdm) -> None:
    venue.get("depth", symbol="BTCUSDT", limit=1000)
    assert venue.headers == {"X-MBX-USED-WEIGHT-1M": "20"}
    venue.order()
    assert venue.headers == {
        "X-MBX-USED-WEIGHT-1M": "20", "X-MBX-ORDER-COUNT-10S": "1", "X-MBX-ORDER-COUNT-1M": "1",
    }  # fmt: skip
    conn = venue.open("/ws-fapi/v1")  # 5
    reply = venue.api(conn, "order.place", **ORDER)
    assert [row["count"] for row in reply["rateLimits"]] == [2, 2, 25]
    reply = venue.api(conn, "order.place", **{**ORDER, "quantity": "0"})
    assert [row["count"] for row in reply["rateLimits"]] == [3, 3, 25]
    ping = {"id": 1, "method": "ping"}
    assert [row["count"] for row in venue.say(conn, ping)["rateLimits"]] == [26]
    hidden = {**ping, "params": {"returnRateLimits": False}}
    assert "rateLimits" not in venue.say(conn, hidden)
    quiet = venue.open("/ws-fapi/v1?returnRateLimits=false")
    assert "rateLimits" not in venue.say(quiet, ping)
    assert "rateLimits" in venue.say(quiet, {**ping, "params": {"returnRateLimits": True}})


def test_too_much_weight_stops_all_requests_of_an_address(venue: Usdm) -> None:
    conn = venue.open("/ws-fapi/v1")
    for _ in range(119):
        venue.get("depth", symbol="BTCUSDT", limit=1000)
    for _ in range(10):
        venue.get("ping")
    status, body = venue.rest("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=1000")
    assert (status, body["code"]) == (429, -1003)
    assert venue.headers["Retry-After"] == "60"
    assert venue.rest("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=1000", ip="::1")[0] == 200
    for _ in range(5):
        venue.get("ping")
    reply = venue.say(conn, {"id": 1, "method": "ping"})
    assert (reply["status"], reply["error"]["code"]) == (429, -1003)
    assert reply["error"]["data"]["retryAfter"] == venue.now_ms + 60_000
    for _ in range(20):
        status, _ = venue.rest("GET", "/fapi/v1/ping")
    assert (status, venue.headers["Retry-After"]) == (418, "120")
    assert venue.say(conn, {"id": 1, "method": "ping"})["status"] == 418
    assert venue.open("/public/ws") == 0
    assert isinstance(venue.actions[-1], WsRefuse)
    assert venue.actions[-1].status == 418
    venue.after(121)
    venue.get("ping")


def test_too_many_orders(venue: Usdm) -> None:
    for _ in range(150):
        venue.order(price="59000.00")
    for _ in range(150):
        venue.order(quantity="0")
    status, body = venue.order()
    assert (status, body["code"]) == (429, -1015)
    assert body["msg"] == "Too many new orders; current limit is 300 orders per 10 SECOND."
    assert venue.headers["Retry-After"] == "10"
    assert venue.order(venue.key(1))[0] == 200
    venue.after(10)
    assert venue.order()[0] == 200


# -- SIGNATURES AND TIME ---


@pytest.mark.parametrize(
    ("key", "query", "code", "status"),
    [
        ("", {}, -2014, 401),
        ("short", {}, -2014, 401),
        ("a" * 64, {}, -2015, 401),
        (None, "", -1102, 400),
        (None, "timestamp=abc", -1102, 400),
        (None, f"timestamp={START_NS // 10**6}", -1102, 400),
        (None, {"timestamp": START_NS // 10**6 - 5_001}, -1021, 400),
        (None, {"timestamp": START_NS // 10**6 + 1_000}, -1021, 400),
        (None, {"timestamp": START_NS // 10**3 - 5_000_001}, -1021, 400),
        (None, {"timestamp": START_NS // 10**6 - 101, "recvWindow": 100}, -1021, 400),
        (None, {"timestamp": START_NS // 10**6 - 1, "recvWindow": "0.999"}, -1021, 400),
        (None, {"recvWindow": 60_001}, -1131, 400),
        (None, {"recvWindow": "1.2345"}, -1102, 400),
        (None, f"timestamp={START_NS // 10**6}&signature=%C3%A9", -1022, 400),
    ],
)
def test_signed_call_is_checked(
    venue: Usdm, key: str | None, query: Any, code: int, status: int
) -> None:
    text = query if isinstance(query, str) else venue.query(**query)
    name = venue.key().api_key if key is None else key
    answer = venue.rest("GET", "/fapi/v3/account", text, key=name)
    assert (answer[0], answer[1]["code"]) == (status, code)


def test_signature_must_be_of_what_was_sent(venue: Usdm) -> None:
    good, path = venue.query(), "/fapi/v3/account"
    assert venue.rest("GET", path, good, key=venue.key())[0] == 200
    assert venue.rest("GET", path, good.upper().replace("TIMESTAMP", "timestamp").replace(
        "SIGNATURE", "signature"), key=venue.key())[0] == 200  # fmt: skip
    for bad in (good + "0", good + "&more=1", good[:-1]):
        assert venue.rest("GET", path, bad, key=venue.key())[1]["code"] == -1022
    assert venue.rest("GET", path, good, key=venue.key(0, 1))[1]["code"] == -1022


def test_microseconds_and_ed25519(venue: Usdm) -> None:
    key = venue.core.keys[0].ed25519
    stamp = venue.t_ns // 1_000
    assert (
        venue.signed("GET", "/fapi/v3/account", key, timestamp=stamp, recvWindow="0.5")[0] == 200
    )
    conn = venue.open("/ws-fapi/v1")
    assert venue.api(conn, "order.place", key, **ORDER)["status"] == 200
    assert venue.api(conn, "order.place", key, **ORDER, recvWindow=5000)["status"] == 200


def test_signature_covers_raw_query_and_body_together(venue: Usdm) -> None:
    key = venue.key()
    query, body = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC", "quantity=0.010"
    body += f"&price=59990&newClientOrderId=a%2Fb&timestamp={venue.now_ms}&side=SELL"
    body += f"&signature={signature_of(key, query + body)}"
    status, answer = venue.rest("POST", "/fapi/v1/order", query, body, key)
    assert (status, answer.get("clientOrderId")) == (200, "a/b")
    assert answer["side"] == "BUY"  # the query goes before the body


def test_documented_signatures() -> None:
    """The signed examples of the documents, REST and WebSocket API."""
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    query = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559"
    )
    documented = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    made = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    assert made == documented
    key = Key("k" * 64, secret, Usdm().key().kind, 0, frozenset())
    signed = f"{query}&signature={documented}"
    assert key.verifies(without_signature(signed), documented)
    assert without_signature("signature=1&a=2") == "&a=2"


def test_json_integers_and_decimals_are_signed_as_their_text(venue: Usdm) -> None:
    params = {**ORDER, "recvWindow": 5000, "quantity": 0.01, "price": 59990.5}
    reply = venue.api(venue.open("/ws-fapi/v1"), "order.place", **params)
    assert reply["result"]["origQty"] == "0.010"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("a=1&b=&c", {"a": "1", "b": ""}),
        ("a=%20x&b=y+z", {"a": " x", "b": "y z"}),
        ("", {}),
        ("&&", {}),
        ("a==", {"a": "="}),
    ],
)
def test_quick_and_slow_ways_to_read_a_query_agree(text: str, params: dict[str, str]) -> None:
    read = parse_query(text)
    assert {name: value for name, value in read.items() if name != "c"} == params


@pytest.mark.parametrize(
    "text", ["x=1&a=1&a=2", "a=1&a=1", "a=%20&a=2", "x=1&a=1&signature=%2F&a="]
)
def test_parameter_sent_twice_is_an_error(venue: Usdm, text: str) -> None:
    with pytest.raises(VenueError) as caught:
        parse_query(text)
    assert (caught.value.code, caught.value.text) == (-1101, "Duplicate values for parameter 'a'.")


def test_parameter_of_query_and_body_is_the_querys(venue: Usdm) -> None:
    body = f"symbol=NONE&timestamp={venue.now_ms}"
    text = "symbol=BTCUSDT"
    signature = signature_of(venue.key(), text + body)
    query = f"{text}&signature={signature}"
    assert venue.rest("GET", "/fapi/v1/openOrders", query, body, venue.key()) == (200, [])
    before = int(venue.headers["X-MBX-USED-WEIGHT-1M"])
    status, answer = venue.rest("GET", "/fapi/v1/openOrders", "symbol=A&symbol=A")
    assert (status, answer["code"]) == (400, -1101)
    assert int(venue.headers["X-MBX-USED-WEIGHT-1M"]) == before + 1


def test_values_of_json_parameters() -> None:
    values = {"a": "x", "b": 1, "c": True, "d": None}
    assert text_params(values) == {"a": "x", "b": "1", "c": "true"}
    with pytest.raises(VenueError):
        text_params({"a": [{}]})


# -- ENVELOPE ---


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -1135),
        ("[]", -1135),
        ("{", -1135),
        ('{"id":NaN}', -1135),
        ("[" * 50_000, -1135),
        ('{"id":"a"}', -1020),
        ('{"id":{},"method":"ping"}', -1135),
        ('{"id":true,"method":"ping"}', -1135),
        ('{"id":1e400,"method":"ping"}', -1135),
        ('{"id":1.5,"method":"ping"}', -1135),
        ('{"id":12345678901234567890123,"method":"ping"}', -1135),
        ('{"id":9223372036854775808,"method":"ping"}', -1135),
        ('{"id":"","method":"ping"}', -1135),
        ('{"id":"a b","method":"ping"}', -1135),
        ('{"id":"\\u00e9","method":"ping"}', -1135),
        (f'{{"id":"{"a" * 37}","method":"ping"}}', -1135),
        ('{"id":"a","method":"order.fly"}', -1020),
        ('{"id":"a","method":7}', -1020),
        ('{"id":"a","method":"order.place","params":[]}', -1135),
        ('{"id":"a","method":"order.place","params":{"apiKey":{}}}', -1102),
        ('{"id":"a","method":"order.place","params":{"apiKey":"\\ud800"}}', -2014),
        ('{"id":"a","method":"order.place"}', -1102),
    ],
)
def test_garbage_gets_an_error(venue: Usdm, text: str, code: int) -> None:
    reply = venue.say(venue.open("/ws-fapi/v1"), text)
    assert reply["error"]["code"] == code
    assert reply["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
    assert code != -1135 or '"params"' in text or reply["id"] is None


@pytest.mark.parametrize("request_id", [None, 0, -5, "x", "a-_9" * 9, (1 << 63) - 1, -1 << 63])
def test_ids_come_back_as_they_were(venue: Usdm, request_id: Any) -> None:
    reply = venue.say(venue.open("/ws-fapi/v1"), {"id": request_id, "method": "v3/time"})
    assert reply["id"] == request_id
    assert reply["result"] == {"serverTime": venue.now_ms}


def test_error_texts_are_escaped(venue: Usdm) -> None:
    status, body = venue.rest("GET", '/no"where\\\x00')
    assert (status, body["code"]) == (404, -5000)
    assert body["msg"] == 'Path /no"where\\?, Method GET is invalid'


# -- TROUBLES AND BUGS ---


@pytest.mark.parametrize(
    ("kind", "status", "code", "header"),
    [
        (Trouble.UNKNOWN, 408, -1007, ""),
        (Trouble.INTERNAL, 503, -1000, ""),
        (Trouble.UNAVAILABLE, 503, -1001, ""),
        (Trouble.THROTTLED, 429, -1003, "7"),
        (Trouble.BANNED, 418, -1003, "7"),
    ],
)
def test_troubles_in_the_venues_words(
    venue: Usdm, kind: Trouble, status: int, code: int, header: str
) -> None:
    conn, market = venue.open("/ws-fapi/v1"), venue.open("/public/ws")
    request = HttpRequest(7, "GET", "/fapi/v1/ping", "", "", {})
    [answer] = venue.face.trouble(request, kind, 7)
    assert (answer.request, answer.status) == (7, status)  # type: ignore[union-attr]
    assert json.loads(answer.body)["code"] == code  # type: ignore[union-attr]
    assert dict(answer.headers).get("Retry-After", "") == header  # type: ignore[union-attr]
    [sent] = venue.face.trouble(WsText(conn, '{"id":"z","method":"ping"}'), kind, 7)
    reply = json.loads(sent.text)  # type: ignore[union-attr]
    assert (reply["id"], reply["status"], reply["error"]["code"]) == ("z", status, code)
    assert venue.face.trouble(WsText(market, "{}"), kind, 7) == []


def test_error_after_the_effect_does_not_say_that_it_failed(venue: Usdm) -> None:
    """503 has three texts; only one of them leaves the fate open."""
    text = "Unknown error, please check your request or try again later."
    request = HttpRequest(7, "POST", "/fapi/v1/order", "", "", {})
    [answer] = venue.face.trouble(request, Trouble.INTERNAL, 0)
    assert json.loads(answer.body)["msg"] == text  # type: ignore[union-attr]
    said = WsText(venue.open("/ws-fapi/v1"), '{"id":"z","method":"order.place"}')
    [sent] = venue.face.trouble(said, Trouble.INTERNAL, 0)
    assert json.loads(sent.text)["error"]["msg"] == text  # type: ignore[union-attr]
    [sent] = venue.face.trouble(said, Trouble.UNAVAILABLE, 0)
    told = json.loads(sent.text)["error"]  # type: ignore[union-attr]
    assert told["msg"] == "Service Unavailable."


def test_bug_of_ours_is_the_venues_unknown_error(
    venue: Usdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = venue.key().secret

    def fail(*args: Any) -> Any:
        raise RuntimeError(secret)

    conn, market = venue.open("/ws-fapi/v1"), venue.open("/public/ws")
    monkeypatch.setattr(venue.core, "find_order", fail)
    status, body = venue.signed("GET", "order", symbol="BTCUSDT", orderId=1)
    assert (status, body["code"]) == (400, -1000)
    reply = venue.api(conn, "order.status", symbol="BTCUSDT", orderId=1)
    assert (reply["id"], reply["error"]["code"]) == ("x1", -1000)
    assert len(venue.logs) == 2
    assert not any(secret in log for log in venue.logs)
    assert "test_binance_base.py" in venue.logs[0]
    monkeypatch.setattr(venue.face.core.markets["BTCUSDT"], "advance", fail)
    venue.signed("POST", "leverage", symbol="BTCUSDT", leverage=5)  # markets are looked at again
    venue.after(2)
    assert venue.say(market, {"method": "LIST_SUBSCRIPTIONS", "id": 1})["result"] == []
    assert ["stands still" in log for log in venue.logs] == [False, False, True]
    venue.step(Tick())
    assert len(venue.logs) == 3


def test_bug_after_the_answer_leaves_one_answer(
    venue: Usdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError

    conn = venue.open("/ws-fapi/v1")
    venue.user_stream()
    monkeypatch.setattr(venue.face._desk.frames, "order_update", fail)
    status, body = venue.order()
    assert (status, body["status"]) == (200, "NEW")
    assert venue.api(conn, "order.place", **ORDER)["status"] == 200
    assert venue.read(conn) == []
    assert len(venue.logs) == 2


def test_kinds_of_connections(venue: Usdm) -> None:
    targets = ("/ws-fapi/v1", "/private/ws?listenKey=x", "/market/stream?streams=a", "/nowhere")
    assert [venue.face.kind_of(target) for target in targets] == [
        ConnKind.TRADE, ConnKind.USER, ConnKind.MARKET, ConnKind.MARKET,
    ]  # fmt: skip
    urls = venue.face.urls("http://h:1", "ws://h:2")
    assert urls["rest_url"] == "http://h:1"
    assert urls["ws_url"]["ws_api"] == "ws://h:2/ws-fapi/v1"
