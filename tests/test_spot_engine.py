"""The engine's own Binance spot codec and the local venue: each reads what the other writes."""

import json
from typing import Any

import pytest
from support_spot import Venue, market_order

from engine.exchange.face import WsSend
from fastcore.codec.binance_decode import Decoder
from fastcore.codec.binance_encode import Encoder
from fastcore.types import EventKind, ExecType, FeeAsset, OrderFlag, OrderState, Side, Verb

PREFIX = "tm0123abcd-01-"
PX, QTY = 5_900_000, 1_000  # 59,000.00 and 0.01


class Engine:
    """The codec with a connection of its own; all that comes in is decoded."""

    def __init__(self, venue: Venue, account: int = 0) -> None:
        key = venue.key(account)
        self.venue = venue
        self.encoder = Encoder(
            "BTCUSDT", "0.01", "0.00001", PREFIX, key.api_key.encode(), key.secret.encode(), 5000,
            7, "binance_spot",
        )  # fmt: skip
        self.decoder = Decoder("BTCUSDT", "0.01", "0.00001", PREFIX, "BTC", "USDT")
        self.conn = venue.user_stream(key)

    @property
    def utc_ms(self) -> int:
        return self.venue.t_ns // 1_000_000

    def send(self, frame: bytes) -> list[tuple[int, dict[str, Any]]]:
        """What was said in answer, and after it."""
        self.venue.say(self.conn, unmask(frame))
        return self.heard()

    def heard(self) -> list[tuple[int, dict[str, Any]]]:
        return [self.decoder.decode_bytes(t.encode()) for t in self.venue.texts(self.conn)]


def unmask(frame: bytes) -> str:
    """Text of one masked frame, RFC 6455 section 5.2."""
    size, header = frame[1] & 0x7F, 2
    if size == 126:
        size, header = int.from_bytes(frame[2:4], "big"), 4
    mask = frame[header : header + 4]
    return bytes(b ^ mask[i & 3] for i, b in enumerate(frame[header + 4 :])).decode()


@pytest.fixture
def engine() -> Engine:
    return Engine(Venue())


def test_placed_order_is_acknowledged_and_reported(engine: Engine) -> None:
    frame = engine.encoder.place_bytes(1, Side.BUY, PX, QTY, OrderFlag.POST_ONLY, engine.utc_ms)
    heard = engine.send(frame)
    assert [kind for kind, _ in heard] == [EventKind.REPLY, EventKind.ORDER, EventKind.ACCOUNT]
    reply, report, account = (event for _, event in heard)
    assert (reply["status"], reply["verb"], reply["intent_id"]) == (200, Verb.PLACE, 1)
    assert (report["intent_id"], report["status"]) == (1, OrderState.NEW)
    assert (report["px_ticks"], report["qty_lots"]) == (PX, QTY)
    assert account["balance_e8"] == 100_000 * 10**8  # what is locked is still there


def test_order_lives_through_amend_replace_status_and_cancel(engine: Engine) -> None:
    encoder = engine.encoder
    engine.send(encoder.place_bytes(1, Side.BUY, PX, QTY, 0, engine.utc_ms))
    assert engine.send(encoder.amend_bytes(1, QTY // 2, engine.utc_ms))[0][1]["status"] == 200
    reply = engine.send(
        encoder.replace_bytes(1, 2, Side.BUY, PX - 100, QTY, 0, engine.utc_ms)
    )[0][1]  # fmt: skip
    assert reply["status"] == 200, reply
    assert engine.send(encoder.status_bytes(2, engine.utc_ms))[0][1]["status"] == 200
    kind, reply = engine.send(encoder.cancel_bytes(2, engine.utc_ms))[0]
    assert (kind, reply["status"]) == (EventKind.REPLY, 200)
    again = engine.send(encoder.cancel_bytes(2, engine.utc_ms))[0][1]
    assert (again["status"], again["error_code"]) == (400, -2011)


def test_cancel_all_ends_every_order(engine: Engine) -> None:
    for intent in (1, 2):
        engine.send(
            engine.encoder.place_bytes(intent, Side.SELL, PX + 200_000, QTY, 0, engine.utc_ms)
        )
    heard = engine.send(engine.encoder.cancel_all_bytes(3, engine.utc_ms))
    assert heard[0][1]["status"] == 200
    ended = [event for kind, event in heard if kind == EventKind.ORDER]
    assert [event["intent_id"] for event in ended] == [1, 2]
    assert {event["status"] for event in ended} == {OrderState.CANCELED}


def test_fill_is_read_with_its_fee(engine: Engine) -> None:
    engine.send(engine.encoder.place_bytes(1, Side.BUY, PX + 100_000, QTY, 0, engine.utc_ms))
    engine.venue.order(engine.venue.key(1), **market_order(side="SELL", quantity="0.004"))
    (fill,) = (event for kind, event in engine.heard() if kind == EventKind.ORDER)
    assert (fill["exec_type"], fill["status"]) == (ExecType.TRADE, OrderState.PARTIALLY_FILLED)
    assert (fill["last_qty_lots"], fill["cum_qty_lots"]) == (400, 400)
    assert (fill["last_px_ticks"], fill["is_maker"]) == (PX + 100_000, 1)
    assert (fill["fee_e8"], fill["fee_asset"]) == (400, FeeAsset.BASE)


def test_fee_of_a_sale_is_in_quote_money(engine: Engine) -> None:
    engine.send(engine.encoder.place_bytes(1, Side.SELL, PX + 100_000, QTY, 0, engine.utc_ms))
    engine.venue.order(engine.venue.key(1), **market_order(quantity="0.01"))
    (fill,) = (event for kind, event in engine.heard() if kind == EventKind.ORDER)
    assert (fill["fee_e8"], fill["fee_asset"]) == (60_000_000, FeeAsset.QUOTE)
    assert fill["status"] == OrderState.FILLED


def test_refusals_reach_the_engine_with_their_codes(engine: Engine) -> None:
    takes = engine.encoder.place_bytes(
        1, Side.BUY, PX + 200_000, QTY, OrderFlag.POST_ONLY, engine.utc_ms
    )
    assert engine.send(takes)[0][1]["error_code"] == -2010
    late = engine.encoder.place_bytes(2, Side.BUY, PX, QTY, 0, engine.utc_ms - 6_000)
    assert engine.send(late)[0][1]["error_code"] == -1021


def test_end_of_the_connection_is_understood(engine: Engine) -> None:
    actions = engine.venue.face.end_of_age(engine.venue.t_ns)
    texts = [action.text for action in actions if isinstance(action, WsSend)]
    kinds = [engine.decoder.decode_bytes(text.encode())[0] for text in texts]
    assert kinds == [EventKind.VENUE_SHUTDOWN]


def test_market_streams_and_snapshot_are_read_as_they_were_meant() -> None:
    venue = Venue()
    decoder = Decoder("BTCUSDT", "0.01", "0.00001")
    conn = venue.open("/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade")
    venue.order(price="59999.99")
    venue.order(**market_order(quantity="0.05"))
    venue.after(0.2)
    kinds = [decoder.decode_bytes(text.encode())[0] for text in venue.texts(conn)]
    assert {EventKind.DEPTH, EventKind.BEST, EventKind.TRADE} == set(kinds)
    body = json.dumps(venue.get("depth", symbol="BTCUSDT", limit=1000), separators=(",", ":"))
    kind, book = decoder.decode_bytes(body.encode())
    assert kind == EventKind.SNAPSHOT
    touch = venue.core.markets["BTCUSDT"].touch()
    assert book["bids"][0] == touch[:2]
    assert book["asks"][0] == touch[2:]
