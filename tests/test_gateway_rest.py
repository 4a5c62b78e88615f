"""REST against a real server: signatures, errors, retries, secrets."""

import asyncio
import hashlib
import hmac
import traceback
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway import trading
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.gateway.trading import Account
from engine.venues import binance_usdm as venue

KEY, SECRET = "publickey" * 7, "verysecret" * 6
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers from a script, one entry a request; remembers what was asked."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, str, str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((
            request.method, request.path, request.query_string,
            request.headers.get(venue.API_KEY_HEADER, ""),
        ))  # fmt: skip
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if step == "hang up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(step, tuple):
            status, body, *headers = step
            return web.json_response(body, status=status, headers=headers[0] if headers else None)
        if isinstance(step, bytes):
            return web.Response(body=step)
        return web.json_response(step)

    def run(self, use: Callable[[RestClient], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.handle)
            runner = web.AppRunner(app, handler_cancellation=True)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            rest = RestClient(
                f"http://127.0.0.1:{port}", KEY, SECRET, recv_window_ms=1_000, rng=Random(1),
                utc_ns=lambda: 1_700_000_000_123_456_789,
            )
            await rest.open()
            try:
                return await use(rest)
            finally:
                await rest.close()
                await runner.cleanup()

        return asyncio.run(go())

    def fails(self, use: Callable[[RestClient], Awaitable[Any]]) -> TickmakerError:
        with pytest.raises(TickmakerError) as caught:
            self.run(use)
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in text
        assert KEY not in text
        assert "signature" not in text
        return caught.value


class Exchange(Server):
    """Answers each method in its own way."""

    def __init__(self, **answers: Any) -> None:
        super().__init__({})
        self.answers = answers

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = self.answers[request.method]
        self.script = [answer.pop(0) if isinstance(answer, list) else answer]
        if self.script == ["silence"]:
            self.script = [{}]
            await asyncio.Event().wait()  # until the client gives up
        return await super().handle(request)


def account(rest: RestClient, symbol: str = "BTCUSDT") -> Account:
    return Account(rest, symbol, Random(1))


def test_signed_request_carries_time_window_and_a_right_signature() -> None:
    server = Server([])
    server.run(lambda rest: account(rest).open_orders())
    ((method, path, query, key),) = server.requests
    assert (method, path, key) == ("GET", "/fapi/v1/openOrders", KEY)
    signed, _, signature = query.rpartition("&signature=")
    assert signature == hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    assert dict(parse_qsl(signed)) == {
        "symbol": "BTCUSDT", "recvWindow": "1000", "timestamp": "1700000000123",
    }  # fmt: skip


def test_public_request_is_not_signed() -> None:
    server = Server({"serverTime": 1})
    server.run(lambda rest: rest.get(venue.TIME))
    assert server.requests[0][:3] == ("GET", venue.TIME, "")


@pytest.mark.parametrize("status", [408, 503])
def test_get_is_tried_again_after_a_lost_connection_and_trouble(status: int) -> None:
    server = Server("hang up", (status, {"code": -1000, "msg": "busy"}), {"serverTime": 7})
    assert server.run(lambda rest: rest.get(venue.TIME)) == {"serverTime": 7}
    assert len(server.requests) == 3


def test_a_post_is_never_tried_again() -> None:
    server = Server("hang up", {})
    error = server.fails(lambda rest: rest.send("POST", venue.LISTEN_KEY))
    assert isinstance(error, UnreachableError)
    assert len(server.requests) == 1


def test_a_lost_delete_is_told() -> None:
    server = Server("hang up")
    error = server.fails(lambda rest: rest.send("DELETE", venue.ALL_OPEN_ORDERS))
    assert isinstance(error, UnreachableError)
    assert "DELETE /fapi/v1/allOpenOrders" in error.what


def test_get_is_not_tried_again_after_a_refusal() -> None:
    server = Server((400, {"code": -1121, "msg": "Invalid symbol."}))
    error = server.fails(lambda rest: rest.get(venue.DEPTH))
    assert isinstance(error, VenueError)
    assert (error.status, error.code) == (400, -1121)
    assert "code -1121: Invalid symbol." in error.what
    assert len(server.requests) == 1


@pytest.mark.parametrize(("retry_after", "tries"), [("0", 2), ("60", 1)])
def test_throttled_get_obeys_retry_after(retry_after: str, tries: int) -> None:
    server = Server(
        (429, {"code": -1003, "msg": "slow down"}, {"Retry-After": retry_after}), {"ok": 1}
    )
    if tries == 2:
        assert server.run(lambda rest: rest.get(venue.TIME)) == {"ok": 1}
    else:
        error = server.fails(lambda rest: rest.get(venue.TIME))
        assert isinstance(error, VenueError)
        assert error.retry_after_s == 60.0
    assert len(server.requests) == tries


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [(401, -2015, "API key"), (400, -1021, "clock"), (418, -1003, "slow down"), (400, -4, "code")],
)
def test_error_says_what_a_person_can_do(status: int, code: int, word: str) -> None:
    server = Server((status, {"code": code, "msg": "no"}, {"Retry-After": "99"}))
    assert word in server.fails(lambda rest: rest.send("DELETE", "/x")).remedy


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b'{"a":'])
def test_answer_that_is_no_json_is_told(body: bytes) -> None:
    server = Server(body)
    assert "is no JSON" in server.fails(lambda rest: rest.get(venue.TIME)).what


def test_nobody_there_is_told_without_the_url() -> None:
    async def go() -> None:
        rest = RestClient("http://127.0.0.1:1", KEY, SECRET, recv_window_ms=1, rng=Random(1))
        await rest.open()
        try:
            with pytest.raises(UnreachableError) as caught:
                await account(rest).open_orders()
            assert "cannot connect" in caught.value.what
            assert "signature" not in str(caught.value)
        finally:
            await rest.close()

    asyncio.run(go())


def test_nothing_shows_the_secret() -> None:
    rest = RestClient("http://127.0.0.1:1", KEY, SECRET, recv_window_ms=1, rng=Random(1))
    assert SECRET not in repr(rest) + str(rest) + repr(account(rest))
    assert KEY not in repr(rest)


# -- ACCOUNT -------------------------------------------------------------------------------


def test_clock_sample_is_the_middle_of_the_quickest_round_trip() -> None:
    from engine import clock

    server = Server({"serverTime": 1_700_000_000_000})
    before_ns = clock.monotonic_ns()
    sample = server.run(lambda rest: account(rest).clock_sample())
    after_ns = clock.monotonic_ns()
    venue_ns = 1_700_000_000_000_500_000
    assert venue_ns - after_ns <= sample.offset_ns <= venue_ns - before_ns
    assert 0 < sample.round_trip_ns <= after_ns - before_ns
    assert len(server.requests) == 5


def time_of(offset_s: float) -> dict[str, int]:
    """The venue's answer when its clock is that far ahead of our monotonic one."""
    from engine import clock

    return {"serverTime": clock.monotonic_ns() // 1_000_000 + int(offset_s * 1e3)}


def test_clock_sample_skips_what_fails_or_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trading, "CLOCK_REQUEST_S", 0.05)
    server = Exchange(GET=["silence", "hang up", time_of(5.0), (503, {}), "silence"])
    sample = server.run(lambda rest: account(rest).clock_sample())
    assert sample.round_trip_ns < 1_000_000_000
    assert len(server.requests) + 2 == 5
    server = Exchange(GET="silence")
    error = server.fails(lambda rest: account(rest).clock_sample())
    assert "no answer within 0.05 s" in error.what


def test_clock_that_jumps_is_measured_twice() -> None:
    async def use(rest: RestClient) -> list[int]:
        mine = account(rest)
        offsets = [(await mine.clock_sample(1)).offset_ns for _ in range(2)]
        with pytest.raises(TickmakerError, match="jumps"):
            await mine.clock_sample(1)
        return [*offsets, (await mine.clock_sample(1)).offset_ns]

    answers = [time_of(s) for s in (100.0, 200.0, 200.0, 300.0, 900.0, 200.0)]
    server = Exchange(GET=answers)
    offsets = server.run(use)
    assert [round(offset_ns / 1e11) for offset_ns in offsets] == [1, 2, 2]
    assert len(server.requests) == 6


def test_cancel_all_measures_the_clock_anew_when_its_timestamp_is_refused() -> None:
    late = (400, {"code": -1021, "msg": "outside of the recvWindow"})
    server = Exchange(DELETE=[late, late, {"code": 200, "msg": "done"}], GET=[[]])
    measured: list[int] = []

    async def use(rest: RestClient) -> int:
        async def measure() -> None:
            measured.append(len(server.requests))
            if len(measured) == 1:
                raise UnreachableError("no answer", "wait")

        mine = account(rest)
        mine.on_clock_refused = measure
        return await mine.cancel_all(5.0)

    assert server.run(use) == 0
    assert measured == [1, 2]


def test_cancel_all_goes_on_until_the_venue_says_that_nothing_is_open() -> None:
    order = {"orderId": 1}
    done = {"code": 200, "msg": "done"}
    busy = (503, {"code": -1008, "msg": "throttled"})
    server = Server(done, [order], busy, done, busy, done, [])
    assert server.run(lambda rest: account(rest).cancel_all(5.0)) == 1
    assert [request[0] for request in server.requests] == [
        "DELETE", "GET", "DELETE", "DELETE", "GET", "DELETE", "GET",
    ]  # fmt: skip


@pytest.mark.parametrize("get", [(503, {"code": -1001, "msg": "down"}), "hang up", "silence"])
def test_cancel_all_does_not_wait_for_a_query_that_fails(
    get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trading, "REQUEST_S", 0.05)
    server = Exchange(GET=get, DELETE={"code": 200, "msg": "done"})
    error = server.fails(lambda rest: account(rest).cancel_all(0.5))
    assert "could not prove" in error.what
    assert server.requests[0][0] == "DELETE"
    assert [request[0] for request in server.requests].count("DELETE") >= 3


def test_cancel_all_tries_again_when_a_cancel_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trading, "REQUEST_S", 0.05)
    server = Exchange(GET=[[]], DELETE=["silence", "hang up", {"code": 200, "msg": "done"}])
    assert server.run(lambda rest: account(rest).cancel_all(5.0)) == 0


def test_requests_that_pull_orders_are_short() -> None:
    assert trading.REQUEST_S <= 2.0


def test_answer_that_is_no_list_proves_nothing() -> None:
    server = Exchange(GET={"orders": []}, DELETE={"code": 200, "msg": "done"})
    error = server.fails(lambda rest: account(rest).cancel_all(0.2))
    assert "no list" in error.what


def test_cancel_all_that_can_not_be_proved_says_so() -> None:
    server = Server([{"orderId": 1}])
    error = server.fails(lambda rest: account(rest).cancel_all(0.2))
    assert "could not prove" in error.what
    assert "1 orders stay open" in error.what


def test_cancel_all_with_a_wrong_key_fails_at_once() -> None:
    server = Server((401, {"code": -2015, "msg": "Invalid API-key"}))
    error = server.fails(lambda rest: account(rest).cancel_all(30.0))
    assert isinstance(error, VenueError)


def test_listen_key_is_renewed_and_a_lost_one_is_noticed() -> None:
    server = Server({"listenKey": "abc"}, {}, (400, {"code": -1125, "msg": "gone"}))

    async def use(rest: RestClient) -> tuple[str, bool, bool]:
        one = account(rest)
        return await one.renew_listen_key(), await one.keep_listen_key(), \
            await one.keep_listen_key()

    assert server.run(use) == ("abc", True, False)
    assert [r[0] for r in server.requests] == ["POST", "PUT", "PUT"]
    assert "signature" not in server.requests[0][2]


# -- VENUE FACTS ---------------------------------------------------------------------------

INFO: dict[str, Any] = {
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ],
    "symbols": [
        {
            "symbol": "BTCUSDT", "status": "TRADING", "pricePrecision": 2,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "1", "tickSize": "0.10"},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000",
                 "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
        },
        {"symbol": "ETHUSDT", "status": "SETTLING", "filters": []},
    ],
}  # fmt: skip


def test_filters_give_tick_lot_and_limits() -> None:
    found = venue.instrument(INFO, "BTCUSDT")
    assert (found.tick, found.lot, str(found.notional_min)) == ("0.10", "0.001", "5")
    assert (found.orders_per_10s_max, found.orders_per_min_max) == (300, 1200)


def test_unknown_symbol_is_named_with_its_neighbours() -> None:
    with pytest.raises(TickmakerError) as caught:
        venue.instrument(INFO, "BTCUSD")
    assert caught.value.exit_code == EXIT_USAGE
    assert "'BTCUSD' is unknown" in caught.value.what
    assert "BTCUSDT" in caught.value.remedy


def test_symbol_that_does_not_trade_is_refused() -> None:
    with pytest.raises(TickmakerError, match="not trading"):
        venue.instrument(INFO, "ETHUSDT")


@pytest.mark.parametrize("tick", ["0", "-1", "x", "NaN"])
def test_nonsense_filter_is_refused(tick: str) -> None:
    info = {"symbols": [{"symbol": "A1", "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": tick}]}]}  # fmt: skip
    with pytest.raises(TickmakerError, match="tickSize"):
        venue.instrument(info, "A1")


def test_position_is_exact_in_lots_and_hedge_mode_is_refused() -> None:
    traded = venue.instrument(INFO, "BTCUSDT")
    rows = [
        {"symbol": "BTCUSDT", "positionAmt": "-1.005", "positionSide": "BOTH"},
        {"symbol": "ETHUSDT", "positionAmt": "3", "positionSide": "BOTH"},
    ]
    assert venue.position_lots(rows, traded) == -1005
    assert venue.position_lots([], traded) == 0
    with pytest.raises(TickmakerError, match="hedge"):
        venue.position_lots([{**rows[0], "positionSide": "SHORT"}], traded)


def test_limits_and_sizes_must_fit_the_venues() -> None:
    traded = venue.instrument(INFO, "BTCUSDT")
    venue.check_limits(traded, 1_000_000, 300, 1_200)
    venue.check_size(traded, 1.0, 600_000)
    venue.check_size(traded, None, 600_000)
    for ours in ((1_000_001, 300, 1_200), (1, 301, 1_200), (1, 300, 1_201)):
        with pytest.raises(TickmakerError, match="over the venue's") as caught:
            venue.check_limits(traded, *ours)
        assert caught.value.exit_code == EXIT_USAGE
    with pytest.raises(TickmakerError, match="qty_lots"):
        venue.check_size(traded, 1.0, 40_000)  # 0.001 BTC at 4,000: 4 USDT, below 5
    with pytest.raises(TickmakerError, match="qty_lots"):
        venue.check_size(traded, 0.5, 600_000)


def test_urls_take_roots_with_and_without_their_path() -> None:
    streams = "streams=btcusdt@depth@0ms/btcusdt@bookTicker/btcusdt@trade"
    assert venue.market_url("ws://h:1", "BTCUSDT") == f"ws://h:1/public/stream?{streams}"
    assert venue.market_url("ws://h:1/public/", "BTCUSDT") == f"ws://h:1/public/stream?{streams}"
    assert venue.user_url("ws://h:1/private", "k") == "ws://h:1/private/ws?listenKey=k"
    assert venue.trade_url("ws://h:1/ws-fapi/v1") == "ws://h:1/ws-fapi/v1"
