"""engine.exchange.binance_usdm, sans-IO: the venue's errors, signatures and documented shapes."""

import json
import random
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from exchange_client import digest, place, quiet_core

from engine.exchange.binance_usdm import BinanceUsdm, RestRequest
from engine.exchange.book import Side
from engine.exchange.events import Tif
from engine.exchange.instruments import Grid, OffGridError, OffStepError
from engine.exchange.keys import derive_keys

NOW_MS = 1_700_000_000_000
NOW_NS = NOW_MS * 1_000_000
KEY = derive_keys(1)[0].keys[0]

ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "59990.00",
}


def rest(venue: BinanceUsdm, method: str, path: str, query: str = "", body: str = "") -> Any:
    answer = venue.rest(RestRequest(method, path, query, body, KEY.api_key), NOW_NS)
    return answer.status, json.loads(answer.body)


def signed(params: dict[str, Any], stamp_ms: int = NOW_MS) -> str:
    query = urlencode({**params, "timestamp": stamp_ms})
    return f"{query}&signature={digest(KEY.secret, query)}"


def api(venue: BinanceUsdm, method: str, params: dict[str, Any]) -> dict[str, Any]:
    params = {"apiKey": KEY.api_key, "timestamp": NOW_MS, **params}
    text = "&".join(f"{key}={params[key]}" for key in sorted(params))
    params["signature"] = digest(KEY.secret, text)
    request = json.dumps({"id": "a", "method": method, "params": params})
    reply: dict[str, Any] = json.loads(venue.ws_api(request, NOW_NS).body)
    return reply


@pytest.fixture
def venue() -> BinanceUsdm:
    return BinanceUsdm(quiet_core())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "BTCUSD"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "BEST"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"timeInForce": None}, -1102),
        ({"timeInForce": "DAY"}, -1115),
        ({"quantity": None}, -1102),
        ({"quantity": ""}, -1102),
        ({"quantity": "abc"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "1e3"}, -1100),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "1001"}, -4005),
        ({"price": "59990.05"}, -4014),
        ({"price": "59990.001"}, -1111),
        ({"price": "0"}, -4013),
        ({"price": "70000"}, -4016),
        ({"price": "1000", "quantity": "0.001"}, -4164),
        ({"quantity": "100"}, -2019),
        ({"timeInForce": "GTX", "price": "60000.10"}, -5022),
        ({"timeInForce": "FOK"}, -5021),
        ({"reduceOnly": "true"}, -2022),
        ({"reduceOnly": "perhaps"}, -1130),
        ({"positionSide": "LONG"}, -4061),
        ({"newClientOrderId": "no spaces"}, -4015),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"type": "MARKET", "timeInForce": "GTC"}, -1106),
    ],
)
def test_bad_order_gets_the_venues_code_on_both_faces(
    venue: BinanceUsdm, change: dict[str, Any], code: int
) -> None:
    params = {k: v for k, v in {**ORDER, **change}.items() if v is not None}
    status, body = rest(venue, "POST", "/fapi/v1/order", signed(params))
    assert (status, body["code"]) == (400, code)
    assert body["msg"]
    reply = api(venue, "order.place", params)
    assert (reply["id"], reply["status"], reply["error"]) == ("a", 400, body)
    assert not venue.core.truth.orders


def test_lot_step_error_where_the_step_is_coarser_than_the_decimals() -> None:
    grid = Grid(Decimal("0.005"), 3)
    assert grid.units("0.010") == 2
    with pytest.raises(OffStepError):
        grid.units("0.012")
    with pytest.raises(OffGridError):
        grid.units("0.0125")


def test_documented_order_fields_are_all_there(venue: BinanceUsdm) -> None:
    status, body = rest(venue, "POST", "/fapi/v1/order", "", signed(ORDER))
    documented = (
        "clientOrderId cumQty executedQty orderId origQty price reduceOnly side positionSide "
        "status stopPrice closePosition symbol timeInForce type origType updateTime workingType "
        "priceProtect priceMatch selfTradePreventionMode goodTillDate"
    )
    assert status == 200
    assert set(body) == set(documented.split())
    _, found = rest(
        venue, "GET", "/fapi/v1/order", signed({"symbol": "BTCUSDT", "orderId": body["orderId"]})
    )
    assert set(found) - set(body) == {"avgPrice", "cumQuote", "time"}
    assert {key: found[key] for key in body} == body


def test_private_frames_hold_the_documented_fields(venue: BinanceUsdm) -> None:
    outputs = venue.core.step(place(0, Side.BUY, 10, 600_001, tif=Tif.IOC), NOW_NS)
    frames = [
        (event, json.loads(text)) for _, event, text in venue.private_frames(outputs, NOW_NS)
    ]
    assert [event for event, _ in frames] == [
        "ORDER_TRADE_UPDATE",
        "TRADE_LITE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
    ]
    new, fill = frames[0][1]["o"], frames[3][1]["o"]
    documented = "s c S o f q p ap sp x X i l z L T t b a m R wt ot ps cp AP cr pP si ss rp V"
    assert set(documented.split()) <= set(new)
    assert not {"N", "n"} & set(new)
    assert {"N", "n"} <= set(fill)
    assert (fill["x"], fill["X"], fill["l"], fill["L"]) == ("TRADE", "FILLED", "0.010", "60000.10")
    assert (fill["n"], fill["N"], fill["m"]) == ("0.24000040", "USDT", False)
    account = frames[2][1]["a"]
    assert account["P"][0]["pa"] == "0.010"
    assert account["B"][0]["wb"] == "99999.75999960"


def test_duplicate_unknown_and_missing_orders(venue: BinanceUsdm) -> None:
    named = {**ORDER, "newClientOrderId": "mine"}
    assert "result" in api(venue, "order.place", named)
    assert api(venue, "order.place", named)["error"]["code"] == -4116
    by_id = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
    assert api(venue, "order.status", by_id)["result"]["status"] == "NEW"
    assert api(venue, "order.cancel", by_id)["result"]["status"] == "CANCELED"
    assert api(venue, "order.cancel", by_id)["error"]["code"] == -2011
    assert (
        api(venue, "order.status", {**by_id, "origClientOrderId": "b"})["error"]["code"] == -2013
    )
    assert api(venue, "order.cancel", {"symbol": "BTCUSDT"})["error"]["code"] == -1102


@pytest.mark.parametrize(
    ("key", "query", "code", "status"),
    [
        ("", signed({}), -2014, 401),
        ("short", signed({}), -2014, 401),
        ("a" * 64, signed({}), -2015, 401),
        (KEY.api_key, "", -1102, 400),
        (KEY.api_key, "timestamp=abc", -1102, 400),
        (KEY.api_key, f"timestamp={NOW_MS}", -1102, 400),
        (KEY.api_key, signed({}, NOW_MS - 5_001), -1021, 400),
        (KEY.api_key, signed({}, NOW_MS + 1_000), -1021, 400),
        (KEY.api_key, signed({"recvWindow": 100}, NOW_MS - 101), -1021, 400),
        (KEY.api_key, signed({"recvWindow": 60_001}), -1131, 400),
        (KEY.api_key, signed({}) + "0", -1022, 400),
        (KEY.api_key, signed({}) + "&more=1", -1022, 400),
        (KEY.api_key, f"timestamp={NOW_MS}&signature=%C3%A9", -1022, 400),
    ],
    ids=[
        "no key",
        "malformed key",
        "unknown key",
        "nothing",
        "bad timestamp",
        "no signature",
        "late",
        "early",
        "late by own window",
        "window too wide",
        "longer signature",
        "unsigned parameter",
        "signature not ASCII",
    ],
)
def test_signed_call_is_checked(
    venue: BinanceUsdm, key: str, query: str, code: int, status: int
) -> None:
    answer = venue.rest(RestRequest("GET", "/fapi/v3/account", query, "", key), NOW_NS)
    assert (answer.status, json.loads(answer.body)["code"]) == (status, code)


def test_signature_covers_raw_query_and_body_together(venue: BinanceUsdm) -> None:
    query, body = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC", "quantity=0.010"
    body += f"&price=59990&newClientOrderId=a%2Fb&timestamp={NOW_MS}"
    body += f"&signature={digest(KEY.secret, query + body)}"
    status, answer = rest(venue, "POST", "/fapi/v1/order", query, body)
    assert (status, answer.get("clientOrderId")) == (200, "a/b")


def test_json_integers_and_decimals_are_signed_as_their_text(venue: BinanceUsdm) -> None:
    params = {**ORDER, "recvWindow": 5000, "quantity": 0.01, "price": 59990.5}
    assert api(venue, "order.place", params)["result"]["origQty"] == "0.010"


def test_account_faces_agree(venue: BinanceUsdm) -> None:
    venue.core.step(place(0, Side.BUY, 10, 600_001, tif=Tif.IOC), NOW_NS)
    _, account = rest(venue, "GET", "/fapi/v3/account", signed({}))
    assert account == api(venue, "account.status", {})["result"]
    _, risk = rest(venue, "GET", "/fapi/v3/positionRisk", signed({"symbol": "BTCUSDT"}))
    assert risk[0]["positionAmt"] == account["positions"][0]["positionAmt"] == "0.010"
    assert risk[0]["entryPrice"] == "60000.10000"
    _, trades = rest(venue, "GET", "/fapi/v1/userTrades", signed({"symbol": "BTCUSDT"}))
    assert [(t["qty"], t["price"], t["maker"]) for t in trades] == [("0.010", "60000.10", False)]
    wallet = account["totalWalletBalance"]
    assert wallet == account["assets"][0]["walletBalance"] == "99999.75999960"
    _, rates = rest(venue, "GET", "/fapi/v1/commissionRate", signed({"symbol": "BTCUSDT"}))
    assert (rates["makerCommissionRate"], rates["takerCommissionRate"]) == ("0.000200", "0.000400")


def test_exchange_info_holds_the_filters(venue: BinanceUsdm) -> None:
    _, info = rest(venue, "GET", "/fapi/v1/exchangeInfo")
    symbol = info["symbols"][0]
    filters = {f["filterType"]: f for f in symbol["filters"]}
    assert (symbol["symbol"], symbol["contractType"]) == ("BTCUSDT", "PERPETUAL")
    assert float(filters["PRICE_FILTER"]["tickSize"]) == 0.1
    assert float(filters["LOT_SIZE"]["stepSize"]) == 0.001
    assert filters["MIN_NOTIONAL"]["notional"] == "5"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -1135),
        ("[]", -1135),
        ("{", -1135),
        ("[" * 50_000, -1135),
        ('{"id":"a"}', -1020),
        ('{"id":{},"method":"ping"}', -1130),
        ('{"id":"a","method":"order.fly"}', -1020),
        ('{"id":"a","method":"order.place","params":[]}', -1130),
        ('{"id":"a","method":"order.place","params":{"apiKey":{}}}', -1102),
        ('{"id":"a","method":"order.place","params":{"apiKey":"\\ud800"}}', -2014),
        ('{"id":"a","method":"order.place"}', -2014),
    ],
)
def test_ws_api_garbage_gets_an_error(venue: BinanceUsdm, text: str, code: int) -> None:
    reply = json.loads(venue.ws_api(text, NOW_NS).body)
    assert reply["error"]["code"] == code
    assert reply["rateLimits"] == []


def test_random_requests_never_raise(venue: BinanceUsdm) -> None:
    """Every answer is JSON with a result or a code, whatever is asked."""
    rng = random.Random(1)
    paths = [
        "/fapi/v1/order",
        "/fapi/v1/depth",
        "/fapi/v1/openOrders",
        "/fapi/v3/account",
        "/",
        "",
    ]
    words = [
        "",
        "BTCUSDT",
        "0",
        "-1",
        "1e9",
        "NaN",
        "\x00",
        "\ud800",
        "%ff",
        "9" * 400,
        "BUY",
        "[",
    ]
    names = [
        *ORDER,
        "limit",
        "orderId",
        "origClientOrderId",
        "signature",
        "recvWindow",
        "timestamp",
    ]
    for _ in range(2_000):
        params = {rng.choice(names): rng.choice(words) for _ in range(rng.randint(0, 8))}
        text = "&".join(f"{key}={value}" for key, value in params.items())
        if rng.random() < 0.7:
            text = f"{text}&timestamp={NOW_MS}"
            text += f"&signature={digest(KEY.secret, text.encode(errors='replace').decode())}"
        method = rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH"])
        status, body = rest(venue, method, rng.choice(paths), text)
        assert status == 200 or body["code"] < 0
        api_method = rng.choice(["order.place", "order.cancel", "order.status", "order.modify"])
        request = json.dumps({"id": 1, "method": api_method, "params": params})
        assert "error" in json.loads(venue.ws_api(request, NOW_NS).body)
