"""pybit, Bybit's own client: core calls, a public and a private stream, orders over WebSocket."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pybit.unified_trading as unified
import pytest
from pybit import _websocket_trading
from pybit.exceptions import InvalidRequestError
from venue import PATIENCE_S, Venue, until

SYMBOL = "BTCUSDT"
CATEGORIES = ("linear", "spot")
DEEPEST = 1_000
HELD_MS = 10_000  # how long a request may take: a busy machine is not the subject
# pybit sends a subscription and then writes it down: an answer that comes between the two kills
# its connection, and loopback is quick enough for that. 20 ms is a venue at some distance.
DISTANCE = {"kind": "delay", "by": "20ms", "for": "20s"}


@pytest.fixture
def venue(venues: dict[str, Venue]) -> Venue:
    return venues["bybit"]


@pytest.fixture
def http(venue: Venue) -> Any:
    keys = venue.keys(0)
    client = unified.HTTP(api_key=keys.api_key, api_secret=keys.secret, recv_window=HELD_MS)
    client.endpoint = venue.rest
    return client


def far(http: Any, category: str) -> str:
    book = http.get_orderbook(category=category, symbol=SYMBOL, limit=1)["result"]
    return f"{float(book['b'][0][0]) * 0.97:.1f}"


@pytest.mark.parametrize("category", CATEGORIES)
def test_core_calls(http: Any, category: str) -> None:
    here = {"category": category, "symbol": SYMBOL}
    listed = http.get_instruments_info(**here)["result"]["list"]
    assert [row["status"] for row in listed] == ["Trading"]
    assert abs(int(http.get_server_time()["result"]["timeSecond"]) * 1e3) > 0
    placed = http.place_order(
        **here, side="Buy", orderType="Limit", qty="0.01", price=far(http, category)
    )["result"]
    opened = http.get_open_orders(**here)["result"]["list"]
    assert [row["orderId"] for row in opened] == [placed["orderId"]]
    assert opened[0]["orderStatus"] == "New"
    http.amend_order(**here, orderId=placed["orderId"], qty="0.02")
    assert float(http.get_open_orders(**here)["result"]["list"][0]["qty"]) == 0.02
    http.cancel_order(**here, orderId=placed["orderId"])
    assert http.get_open_orders(**here, openOnly=0)["result"]["list"] == []
    with pytest.raises(InvalidRequestError) as caught:
        http.cancel_order(**here, orderId=placed["orderId"])
    assert caught.value.status_code == (170213 if category == "spot" else 110001)
    account = http.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"][0]
    assert float(account["coin"][0]["walletBalance"]) > 0


def test_batch_and_position(http: Any) -> None:
    here = {"category": "linear", "symbol": SYMBOL}
    px = far(http, "linear")
    row = {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": px}
    told = http.place_batch_order(category="linear", request=[row, {**row, "qty": "100000"}])
    codes = [each["code"] for each in told["retExtInfo"]["list"]]
    assert codes[0] == 0
    assert codes[1] != 0
    assert len(http.cancel_all_orders(**here)["result"]["list"]) == 1
    http.place_order(**here, side="Sell", orderType="Market", qty="0.01")
    held = http.get_positions(**here)["result"]["list"][0]
    assert (held["side"], float(held["size"])) == ("Sell", 0.01)
    http.place_order(**here, side="Buy", orderType="Market", qty="0.01", reduceOnly=True)
    assert float(http.get_positions(**here)["result"]["list"][0]["size"] or 0) == 0
    done = http.get_executions(**here)["result"]["list"]
    assert {"Buy", "Sell"} <= {each["side"] for each in done}


@contextmanager
def stream(venue: Venue, monkeypatch: pytest.MonkeyPatch, **named: Any) -> Iterator[Any]:
    venue.admin("/fault", DISTANCE)
    monkeypatch.setattr(unified, "PUBLIC_WSS", venue.ws + "/v5/public/{CHANNEL_TYPE}")
    monkeypatch.setattr(unified, "PRIVATE_WSS", venue.ws + "/v5/private")
    monkeypatch.setattr(_websocket_trading, "TRADE_WSS", venue.ws + "/v5/trade")
    kind = named.pop("kind", unified.WebSocket)
    client = kind(testnet=False, **named)
    try:
        yield client
    finally:
        client.exit()


@pytest.mark.parametrize("category", CATEGORIES)
def test_book_stream_equals_a_snapshot_of_the_same_id(
    http: Any, venue: Venue, monkeypatch: pytest.MonkeyPatch, category: str
) -> None:
    """pybit keeps the book from snapshot and deltas; REST's `u` is that of the deepest stream."""
    books: dict[int, Any] = {}

    def keep(message: Any) -> None:
        data = message["data"]
        bids = sorted(map(tuple, data["b"]), key=lambda level: -float(level[0]))
        asks = sorted(map(tuple, data["a"]), key=lambda level: float(level[0]))
        books[data["u"]] = bids, asks

    with stream(venue, monkeypatch, channel_type=category) as client:
        client.orderbook_stream(DEEPEST, SYMBOL, keep)
        until("the first book", lambda: books)
        same = set()

        def met() -> bool:
            book = http.get_orderbook(category=category, symbol=SYMBOL, limit=50)["result"]
            until("a later book", lambda: max(books) >= book["u"])
            if book["u"] in books:
                bids, asks = books[book["u"]]
                assert bids[:50] == [tuple(level) for level in book["b"]]
                assert asks[:50] == [tuple(level) for level in book["a"]]
                same.add(book["u"])
            return len(same) >= 3

        until("three snapshots of the stream's ids", met, PATIENCE_S)


def test_private_stream_and_orders_over_websocket(
    http: Any, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = venue.keys(0)
    signed = {"api_key": keys.api_key, "api_secret": keys.secret}
    orders: queue.Queue[Any] = queue.Queue()
    answers: queue.Queue[Any] = queue.Queue()
    with (
        stream(venue, monkeypatch, channel_type="private", **signed) as private,
        stream(venue, monkeypatch, kind=unified.WebSocketTrading, **signed) as trade,
    ):
        private.order_stream(lambda message: [orders.put(row) for row in message["data"]])
        trade.place_order(
            answers.put, category="linear", symbol=SYMBOL, side="Buy", orderType="Limit",
            qty="0.01", price=far(http, "linear"),
        )  # fmt: skip
        placed = answers.get(timeout=PATIENCE_S)
        assert placed["retCode"] == 0
        seen = orders.get(timeout=PATIENCE_S)
        assert seen["orderId"] == placed["data"]["orderId"]
        assert seen["orderStatus"] == "New"
        trade.cancel_order(
            answers.put, category="linear", symbol=SYMBOL, orderId=seen["orderId"]
        )
        assert answers.get(timeout=PATIENCE_S)["retCode"] == 0
        assert orders.get(timeout=PATIENCE_S)["orderStatus"] == "Cancelled"


def test_wrong_secret(venue: Venue) -> None:
    keys = venue.keys(0)
    client = unified.HTTP(api_key=keys.api_key, api_secret=keys.secret[::-1])
    client.endpoint = venue.rest
    with pytest.raises(InvalidRequestError) as caught:
        client.get_open_orders(category="linear", symbol=SYMBOL)
    assert caught.value.status_code == 10004
