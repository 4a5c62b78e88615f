"""engine.venues.binance: signing, errors, greetings; engine.venues.hosts: which addresses are
real money. Against the documents; the two venues have files of their own."""

import json
import pickle
from decimal import Decimal

import pytest

from engine.errors import TickmakerError
from engine.exchange.keys import derive_keys
from engine.venues import adapter, hosts
from engine.venues.base import Call, Instrument, Said
from engine.venues.binance_answers import is_clock_refused, reader, retry_utc_ms
from engine.venues.binance_sign import Credential
from engine.venues.binance_spot import BinanceSpot
from engine.venues.binance_usdm import BinanceUsdm

# The documents' own key and request: rest-api.md, web-socket-api.md.
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
URLS = {"public": "wss://x.test", "private": "wss://x.test", "ws_api": "wss://x.test",
        "market": "wss://x.test"}  # fmt: skip


def made(kind=BinanceUsdm, secret=SECRET, rest_url="http://127.0.0.1:8000"):
    return kind(API_KEY, secret, rest_url=rest_url, ws_url=URLS, recv_window_ms=5000)


# -- SIGNING ---


def test_documented_request_has_the_documented_signature():
    call = Call("POST", "/api/v3/order", lambda _: None, {
        "symbol": "LTCBTC", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "quantity": "1", "price": "0.1",
    }, is_signed=True)  # fmt: skip
    signed = made(BinanceSpot).sign(call, 1499827319559)
    assert signed.target == (
        "/api/v3/order?symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        "&recvWindow=5000&timestamp=1499827319559"
        "&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )
    assert signed.headers == {"X-MBX-APIKEY": API_KEY}
    assert signed.body == b""


def test_documented_websocket_request_has_the_documented_signature():
    params = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC",
        "quantity": "0.01000000", "price": "52000.00", "recvWindow": 100,
        "timestamp": 1645423376532,
    }  # fmt: skip
    signed = Credential(API_KEY, SECRET).ws_params(params)
    assert signed["apiKey"] == API_KEY
    expected = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    assert signed["signature"] == expected


def test_values_are_percent_encoded_before_they_are_signed():
    call = Call("GET", "/x", lambda _: None, {"symbols": '["A","B"]'})
    assert made().sign(call, 1).target == "/x?symbols=%5B%22A%22%2C%22B%22%5D"


def test_public_requests_carry_no_key_and_a_listen_key_no_signature():
    venue = made()
    assert venue.sign(venue.time(), 1).headers == {}
    signed = venue.sign(venue.user_token(), 1)
    assert signed.headers == {"X-MBX-APIKEY": API_KEY}
    assert signed.target == "/fapi/v1/listenKey"


def test_ed25519_signs_with_the_private_key_of_the_pem():
    """Verified by its public half; a PEM from an environment variable has no line ends."""
    key = derive_keys(1)[0].ed25519
    for pem in (key.private_key_pem, key.private_key_pem.replace("\n", "\\n")):
        venue = made(BinanceSpot, pem)
        target = venue.sign(venue.balances(), 1).target
        text, _, signature = target.partition("?")[2].rpartition("&signature=")
        assert "+" not in signature
        assert "/" not in signature
        plain = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
        assert key.verifies(text, plain)
        assert venue.order_credential() == (b"", b"")
    assert made().order_credential() == (API_KEY.encode(), SECRET.encode())


def test_a_pem_that_is_no_ed25519_key_is_refused_without_being_shown():
    pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    with pytest.raises(TickmakerError, match="no Ed25519 private key") as caught:
        made(BinanceSpot, pem)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "c2VjcmV0" not in str(caught.value)


def test_secrets_are_shown_nowhere():
    for kind in (BinanceUsdm, BinanceSpot):
        venue = made(kind)
        signed = venue.sign(venue.balances(), 1)
        plan = venue.user_plan("thelistenkey", 1)
        for text in (repr(venue), repr(vars(venue)), repr(signed), repr(plan)):
            assert SECRET not in text
            assert "thelistenkey" not in text
            assert "signature=" not in text
        assert API_KEY not in repr(venue) + repr(vars(venue)) + repr(plan) + repr(signed)
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(venue)
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(Credential(API_KEY, SECRET))


# -- ERRORS ---

UNKNOWN_503 = "Unknown error, please check your request or try again later."
ERRORS = [
    # kind, status, code, text, what it is
    (BinanceUsdm, 400, -1021, "Timestamp for this request is outside", {"clock"}),
    (BinanceUsdm, 400, -5028, "Timestamp is outside of the ME recvWindow", {"clock"}),
    (BinanceSpot, 401, -2015, "Invalid API-key, IP, or permissions for action.", {"credential"}),
    (BinanceUsdm, 401, -2014, "API-key format invalid.", {"credential"}),
    (BinanceUsdm, 400, -1022, "Signature for this request is not valid.", {"credential"}),
    (BinanceUsdm, 400, -2013, "Order does not exist.", {"absent"}),
    (BinanceSpot, 400, -2011, "Unknown order sent.", {"absent"}),
    (BinanceSpot, 400, -2011, "Order was not canceled due to cancel restrictions.", set()),
    (BinanceSpot, 400, -2026, "Order was canceled or expired with no executed qty", {"absent"}),
    (BinanceUsdm, 400, -1125, "This listenKey does not exist.", {"absent"}),
    (BinanceUsdm, 429, -1003, "Too many requests", {"throttled"}),
    (BinanceSpot, 429, -1015, "Too many new orders", {"throttled"}),
    (BinanceSpot, 418, -1003, "Way too much request weight used", {"throttled"}),
    (BinanceUsdm, 503, -1008, "Request throttled by system-level protection.", {"throttled"}),
    (BinanceSpot, 503, -1008, "Server is currently overloaded", {"unknown"}),
    (BinanceUsdm, 408, -1007, "Timeout waiting for response", {"unknown"}),
    (BinanceSpot, 503, -1007, "Timeout waiting for response", {"unknown"}),
    (BinanceSpot, 500, -1006, "An unexpected response was received", {"unknown"}),
    (BinanceUsdm, 503, -1000, UNKNOWN_503, {"unknown"}),
    # USD-M tells these two apart from the one that leaves the fate open; spot doesn't.
    (BinanceUsdm, 503, -1001, "Service Unavailable.", set()),
    (BinanceUsdm, 503, -1001, "Internal error; unable to process your request. Please", set()),
    (BinanceSpot, 503, -1001, "Internal error; unable to process your request. Please",
     {"unknown"}),
    (BinanceUsdm, 400, -2019, "Margin is insufficient.", set()),
    (BinanceUsdm, 400, -5022, "Post Only order will be rejected", set()),
]  # fmt: skip
WORDS = ("credential", "clock", "throttled", "unknown", "absent")


@pytest.mark.parametrize(("kind", "status", "code", "text", "expected"), ERRORS)
def test_an_error_means_what_the_documents_say(kind, status, code, text, expected):
    body = json.dumps({"code": code, "msg": text}).encode()
    failure = made(kind).failure(status, {}, body)
    assert (failure.status, failure.code, failure.text) == (status, code, text)
    assert {word for word in WORDS if getattr(failure, f"is_{word}")} == expected


def test_a_page_instead_of_json_is_told_by_its_status():
    page = b"<html>\r\n<head><title>502 Bad Gateway</title></head></html>"
    venue = made(BinanceSpot)
    bad = venue.failure(502, {}, page)
    assert (bad.code, bad.is_unknown) == (0, True)
    assert f"{len(page)} bytes" in bad.text
    assert venue.failure(401, {}, page).is_credential
    for status in (403, 404, 410):
        assert not venue.failure(status, {}, page).is_unknown
    for body in (b"", b"[]", b"null", b'{"code":"-1","msg":1}', b"[" * 100_000, b"\xff"):
        assert venue.failure(400, {}, body).code == 0
    assert venue.failure(200, {}, b'{"code":200,"msg":"done"}') is None


def test_retry_after_is_obeyed_and_a_ban_is_long_without_it():
    venue = made()
    body = b'{"code":-1003,"msg":"Too many requests"}'
    assert venue.failure(429, {"retry-after": "17"}, body).retry_after_s == 17
    assert venue.failure(418, {"Retry-After": "1200"}, body).retry_after_s == 1200
    assert venue.failure(418, {}, body).retry_after_s == 120
    assert venue.failure(429, {"Retry-After": "soon"}, body).retry_after_s == 60


@pytest.mark.parametrize(("told", "wait_s"), [
    ("1.2", 2), (" 7 ", 7), ("0", 0), ("9" * 9, 3 * 86_400), ("\u0663", 60), ("-5", 60), ("", 60),
    ("nan", 60), ("Wed, 21 Oct 2026 07:28:30 GMT", 30), ("Wed, 21 Oct 2026 07:00:00 GMT", 1),
    ("Wed, 21 Oct 2026 07:28:30", 60),
])  # fmt: skip
def test_retry_after_is_read_in_every_form_that_http_allows(told: str, wait_s: float) -> None:
    body = json.dumps({"code": -1003, "msg": "x"}).encode()
    headers = {"Retry-After": told, "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert made().failure(429, headers, body).retry_after_s == wait_s


@pytest.mark.parametrize(("frame", "until_ms"), [
    ({"status": 418, "error": {"code": -1003, "data": {"retryAfter": 17}}}, 17),
    ({"status": 429, "error": {"code": -1003, "data": {"retryAfter": 17}}}, 17),
    ({"status": 429, "error": {"code": -1015, "data": {"retryAfter": 17}}}, 0),
    ({"status": 429, "error": {"code": -1003, "data": {"retryAfter": "17"}}}, 0),
    ({"status": 400, "error": {"code": -1022}}, 0), ({"status": 200, "result": []}, 0), ([], 0),
])  # fmt: skip
def test_refused_logon_may_tell_a_ban(frame: object, until_ms: int) -> None:
    assert retry_utc_ms(json.dumps(frame).encode()) == until_ms
    assert retry_utc_ms(b"{") == 0


@pytest.mark.parametrize(("frame", "is_clock"), [
    ({"id": "user", "status": 400, "error": {"code": -1021, "msg": "Timestamp"}}, True),
    ({"id": "user", "status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}}, False),
    ({"id": "user", "status": 200, "result": {}}, False),
    ([], False),
])  # fmt: skip
def test_refused_logon_says_whether_it_is_our_clock(frame: object, is_clock: bool) -> None:
    assert is_clock_refused(json.dumps(frame).encode()) is is_clock
    assert not is_clock_refused(b"{")


def test_a_date_without_the_answers_own_date_says_nothing() -> None:
    body = json.dumps({"code": -1003, "msg": "x"}).encode()
    headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT"}
    assert made().failure(429, headers, body).retry_after_s == 60


@pytest.mark.parametrize(("status", "code", "is_of_address", "wait_s"), [
    (429, -1003, True, 60), (400, -1003, True, 60), (418, -1015, True, 120), (418, 0, True, 120),
    (429, 0, True, 60),
    (403, 0, True, 60), (403, -2015, False, 0),
    (429, -1015, False, 10), (400, -1015, False, 10), (400, -4, False, 0),
])  # fmt: skip
def test_a_limit_of_orders_is_not_the_addresss(
    status: int, code: int, is_of_address: bool, wait_s: float
) -> None:
    failure = made().failure(status, {}, json.dumps({"code": code, "msg": "x"}).encode())
    assert (failure.is_of_address, failure.retry_after_s) == (is_of_address, wait_s)


def test_used_weight_is_read_whatever_the_case_of_its_name():
    venue = made()
    assert venue.used_weight({"X-MBX-USED-WEIGHT-1M": "321"}) == 321
    assert venue.used_weight({"x-mbx-used-weight-1m": "4"}) == 4
    assert venue.used_weight({}) is None
    assert venue.used_weight({"x-mbx-used-weight-1m": "many"}) is None


# -- GREETINGS ---


@pytest.mark.parametrize(("frame", "said"), [
    (b'{"id":"user","status":200,"result":{"subscriptionId":0}}', Said.GOOD),
    (b'{"id":"user","status":200,"result":{}}', Said.BAD),
    (b'{"id":"user","status":400,"error":{"code":-2035,"msg":"already active."}}', Said.BAD),
    (b'{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key"}}', Said.BAD),
    (b'{"id":"other","status":200,"result":{}}', Said.NOTHING),
    (b'{"id":null,"status":200,"result":{}}', Said.NOTHING),
    (b'{"subscriptionId":0,"event":{"e":"executionReport"}}', Said.NOTHING),
    (b"not json", Said.NOTHING),
    (b"[1]", Said.NOTHING),
])  # fmt: skip
def test_greeting_of_a_user_stream(frame, said):
    got, error = reader("user", result_key="subscriptionId")(frame)
    assert got is said
    assert bool(error) is (said is Said.BAD)


def test_greeting_of_subscriptions():
    read = reader(1, 2)
    assert read(b'{"result":null,"id":1}') == (Said.GOOD, "")
    assert read(b'{"result":null,"id":3}') == (Said.NOTHING, "")
    assert read(b'{"error":{"code":2,"msg":"Invalid request: x"},"id":2}') == (
        Said.BAD, "code 2: Invalid request: x")  # fmt: skip
    assert read(b'{"code":2,"msg":"Invalid request: x","id":2}') == (
        Said.BAD, "code 2: Invalid request: x")  # fmt: skip


# -- ADDRESSES ---


@pytest.mark.parametrize("url", [
    "https://api.binance.com", "https://api4.binance.com/api", "https://fapi.binance.com",
    "wss://fstream.binance.com/public", "wss://ws-api.binance.com:443/ws-api/v3",
    "https://FAPI.Binance.com.", "https://api-gcp.binance.com", "wss://stream.binance.com:9443",
    "https://demo-fapi.binance.com.evil.com", "https://my-proxy.net/fapi",
    "https://testnet.binance.vision.example.org", "https://notbinancefuture.com",
    "https://testnet.binance.vision@fapi.binance.com", "https://8.8.8.8",
])  # fmt: skip
def test_what_nobody_knows_as_a_test_is_real_money(url):
    assert hosts.is_production(url)


@pytest.mark.parametrize("url", [
    "https://testnet.binancefuture.com.", "wss://fstream.binancefuture.com/ws",
    "https://demo-fapi.binance.com", "wss://demo-fstream.binance.com",
    "https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3",
    "wss://stream.testnet.binance.vision:9443", "https://demo-api.binance.com",
    "wss://demo-ws-api.binance.com/ws-api/v3",
])  # fmt: skip
def test_testnets_and_demos_are_not(url):
    assert not hosts.is_production(url)
    assert hosts.is_test(url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "ws://localhost:1", "http://[::1]:9", "http://10.0.0.7",
     "http://exchange:8080", "http://exchange.local"],
)  # fmt: skip
def test_the_local_exchange_is_not(url):
    assert not hosts.is_production(url)
    assert hosts.is_local(url)


@pytest.mark.parametrize("url", ["", "fapi.binance.com", "https://", "/x"])
def test_an_address_without_a_host_is_refused(url):
    with pytest.raises(ValueError, match="host"):
        hosts.is_production(url)


# -- CHOICE ---


class Account:
    def __init__(self, venue):
        self.venue = venue
        self.rest_url, self.ws_url, self.recv_window_ms = "http://127.0.0.1:1", URLS, 5000


def test_adapter_is_chosen_by_venue():
    assert isinstance(adapter(Account("binance_usdm"), "k", "s"), BinanceUsdm)
    assert isinstance(adapter(Account("binance_spot"), "k", "s"), BinanceSpot)
    with pytest.raises(TickmakerError, match="no adapter for venue 'okx'"):
        adapter(Account("okx"), "k", "s")
    with pytest.raises(TickmakerError, match="empty"):
        adapter(Account("binance_spot"), "", "s")


def test_missing_websocket_address_is_named():
    venue = BinanceUsdm("k", "s", rest_url="http://x", ws_url={}, recv_window_ms=5000)
    with pytest.raises(TickmakerError, match=r"no ws_url\.ws_api"):
        venue.trade_plan(1)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("has_path", [False, True])
def test_websocket_addresses_may_have_their_path_or_not(slash, has_path):
    def url_of(kind, root, plan):
        urls = {name: f"ws://h:1{root if has_path else ''}{slash}" for name in URLS}
        made = kind("k", "s", rest_url="http://h", ws_url=urls, recv_window_ms=5000)
        return plan(made).url

    usdm, spot = BinanceUsdm, BinanceSpot
    btc = Instrument("v", "BTCUSDT", "1", "1", Decimal(1), Decimal(1), Decimal(1), "BTC", "USDT")
    names = "btcusdt@depth@0ms/btcusdt@bookTicker/btcusdt@trade"
    market = url_of(usdm, "/public", lambda venue: venue.market_plan([btc]))
    assert market == f"ws://h:1/public/stream?streams={names}"
    user = url_of(usdm, "/private", lambda venue: venue.user_plan("k", 1))
    assert user == "ws://h:1/private/ws?listenKey=k"
    trade = url_of(usdm, "/ws-fapi/v1", lambda venue: venue.trade_plan(1))
    assert trade == "ws://h:1/ws-fapi/v1"
    names = names.replace("@0ms", "@100ms")
    market = url_of(spot, "", lambda venue: venue.market_plan([btc]))
    assert market == f"ws://h:1/stream?streams={names}"
    for plan in (lambda venue: venue.trade_plan(1), lambda venue: venue.user_plan("", 1)):
        assert url_of(spot, "/ws-api/v3", plan) == "ws://h:1/ws-api/v3"


def test_ed25519_logs_a_connection_on():
    private = derive_keys(1)[0].ed25519
    plan = made(BinanceSpot, private.private_key_pem).trade_plan(1700000000000)
    message = json.loads(plan.texts[0])
    assert (message["method"], plan.answers) == ("session.logon", 1)
    params = message["params"]
    text = "&".join(f"{k}={params[k]}" for k in sorted(params) if k != "signature")
    assert private.verifies(text, params["signature"])
    hmac_plan = made(BinanceSpot).trade_plan(1)
    assert (hmac_plan.texts, hmac_plan.answers) == ((), 0)
