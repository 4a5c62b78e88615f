"""Bytes of a venue that no venue documents: told as an error, never the end of a session."""

from random import Random
from typing import Any

import pytest
from support_rest import UTC_NS, Server, adapter
from test_venue_bybit_rows import EXECUTION, body, instrument

from engine.errors import TickmakerError
from engine.gateway.clocksync import ClockSync
from engine.gateway.rest import RestClient, VenueError
from engine.venues import binance_rows, bybit_rows, bybit_sign
from engine.venues.base import Best, PositionRow, Said
from engine.venues.bybit_trades import SPAN_MS, Window
from fastcore.types import Side

DEEP = b"[" * 100_000
TIME = adapter().time()


@pytest.mark.parametrize(("status", "text"), [(200, "RecursionError"), (400, "no JSON")])
def test_lists_in_lists_without_end(status: int, text: str) -> None:
    server = Server(DEEP)
    if status == 200:
        assert text in server.fails(lambda rest: rest.call(TIME)).what
    told = bybit_sign.failure(status, {}, DEEP)
    assert told is not None
    assert told.is_unknown is (status == 200)
    assert bybit_sign.read_greeting(b'{"op":' + DEEP) == (Said.NOTHING, "")


def test_weight_of_more_digits_than_a_number_has() -> None:
    odd = {"X-MBX-USED-WEIGHT-1M": "9" * 5_000}
    assert Server((200, {"serverTime": 1}, odd)).run(lambda rest: rest.call(TIME)) == 1_500_000


def test_answer_that_an_adapter_can_not_read_leaves_the_fate_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def confused(*_: Any) -> None:
        raise OverflowError

    monkeypatch.setattr("engine.venues.binance.failure_of", confused)
    error = Server({"serverTime": 1}).fails(lambda rest: rest.call(TIME, tries=1))
    assert isinstance(error, VenueError)
    assert error.failure.is_unknown


def test_ban_beyond_all_bans_ends() -> None:
    async def use(rest: RestClient) -> None:
        rest.keep_away_until(UTC_NS // 1_000_000 + 10**15)
        with pytest.raises(VenueError) as caught:
            await rest.call(TIME)
        assert caught.value.retry_after_s <= 3 * 86_400

    Server({}).run(use)


def test_limit_s_end_of_a_thousand_digits() -> None:
    headers = {"X-Bapi-Limit-Reset-Timestamp": "9" * 1_000}
    told = bybit_sign.failure(200, headers, b'{"retCode":10006,"time":1}')
    assert told is not None
    assert told.retry_after_s == bybit_sign.WAIT_S


@pytest.mark.parametrize("time_ms", [(1 << 62) // 1_000_000 + 1, 1 << 62])
def test_venue_s_time_that_no_core_can_count_is_refused(time_ms: int) -> None:
    applied: list[int] = []

    async def use(rest: RestClient) -> None:
        sync = ClockSync(rest, adapter(), applied.append, rng=Random(1), emit=lambda *_, **__: 0)
        await sync.sync()

    assert "out of all range" in Server({"serverTime": time_ms}).fails(use).what
    assert not applied


@pytest.mark.parametrize("text", ["1E+99999999999", "1E-99999999999", "0E+999999", "9" * 100])
def test_numbers_that_would_fill_the_memory(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a number in size"):
        bybit_rows.decimal_of({"size": text}, "size")


def test_numbers_of_more_than_64_bits_are_in_no_row() -> None:
    row = {**EXECUTION, "symbol": "BTCUSDT", "execPrice": "95900.1"}
    for wrong in ({"execQty": "9" * 20}, {"execTime": "9" * 19}):
        with pytest.raises(ValueError, match="64 bits"):
            bybit_rows.trade_row({**row, **wrong}, instrument())
    trade = {
        "symbol": "BTCUSDT", "id": 1, "orderId": 2, "side": "BUY", "price": "1.00", "qty": "1.000",
        "commission": "0", "commissionAsset": "USDT", "time": 1, "maker": True,
    }  # fmt: skip
    for wrong in ({"qty": "9" * 19}, {"time": 1 << 62}, {"commission": "9" * 20}):
        with pytest.raises(ValueError, match="64 bits"):
            binance_rows.trade_row(
                binance_rows.Row("userTrades", {**trade, **wrong}), instrument(), Side.BUY, "maker"
            )
    for make in (lambda: PositionRow("BTCUSDT", -(1 << 63) - 1), lambda: Best(1 << 63, 1, 1, 1)):
        with pytest.raises(ValueError, match="64 bits"):
            make()
    with pytest.raises(ValueError, match="its time"):
        bybit_rows.time_ms_of(body(time=10**40))


@pytest.mark.parametrize("wrong", [{"execPrice": "0"}, {"execQty": "0.000"}, {"execQty": "-1"}])
def test_an_execution_of_nothing_is_told_and_not_booked(wrong: dict[str, str]) -> None:
    """A core takes none such: ValueError ended the session."""
    row = {**EXECUTION, "symbol": "BTCUSDT", "execPrice": "95900.1", **wrong}
    (found,), _ = Window(0, SPAN_MS).read(body(row), instrument())
    assert not found.is_whole


@pytest.mark.parametrize("key", ["", 1, None, "a b", "a#b", "\ud800", "a" * 257, "a/b"])
def test_a_listen_key_that_is_none_is_in_no_address(key: Any) -> None:
    asking = adapter().user_token()
    assert asking is not None
    with pytest.raises(ValueError, match="Expected a key") as caught:
        asking.read({"listenKey": key})
    assert "ud800" not in repr(str(caught.value))
    assert asking.read({"listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf1"})


def test_errors_are_ours() -> None:
    """Server.fails wants a TickmakerError of each."""
    for answer in (b"", b"\xff", b"null", b"[]", b'{"serverTime":1e400}', b'{"serverTime":-1}'):
        assert isinstance(Server(answer).fails(lambda rest: rest.call(TIME)), TickmakerError)
