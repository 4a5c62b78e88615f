"""REST against a real server: signatures, errors, retries, budgets, secrets."""

import asyncio
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qsl

import pytest
from support_rest import KEY, SECRET, UTC_NS, Server, adapter, client

from engine import clock
from engine.errors import TickmakerError
from engine.gateway import rest as module
from engine.gateway.budget import Budget
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.venues.base import Call, Failure, Signed, Urgency

TIME: Call[int] = adapter().time()
POST: Call[Any] = Call("POST", "/x", lambda document: document, is_signed=True, may_repeat=False)
ASK: Call[Any] = Call("GET", "/x", lambda document: document, {"symbol": "BTCUSDT"},
                      is_signed=True, urgency=Urgency.SAFETY)  # fmt: skip
BUSY = {"code": -1000, "msg": "busy"}


def test_signed_request_carries_time_window_and_a_right_signature() -> None:
    server = Server([])
    server.run(lambda rest: rest.call(ASK))
    ((method, path, query, key),) = server.requests
    assert (method, path, key) == ("GET", "/x", KEY)
    signed, _, signature = query.rpartition("&signature=")
    assert signature == hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    assert dict(parse_qsl(signed)) == {
        "symbol": "BTCUSDT", "recvWindow": "1000", "timestamp": "1700000000123",
    }  # fmt: skip


def test_public_request_is_not_signed() -> None:
    server = Server({"serverTime": 1})
    assert server.run(lambda rest: rest.call(TIME)) == 1_500_000
    assert server.requests[0][2:] == ("", "")


@pytest.mark.parametrize("status", [408, 503])
def test_what_may_be_repeated_is_after_a_lost_connection_and_trouble(status: int) -> None:
    server = Server("hang up", (status, BUSY), {"serverTime": 7})
    assert server.run(lambda rest: rest.call(TIME)) == 7_500_000
    assert len(server.requests) == 3


@pytest.mark.parametrize("answer", ["hang up", (503, BUSY)])
def test_what_may_not_be_repeated_is_sent_once(answer: Any) -> None:
    server = Server(answer, {})
    error = server.fails(lambda rest: rest.call(POST))
    assert isinstance(error, UnreachableError if answer == "hang up" else VenueError)
    assert "POST /x" in error.what
    assert len(server.requests) == 1


def test_a_cancel_is_tried_once_as_its_caller_asks_what_is_open() -> None:
    cancel: Call[Any] = Call("DELETE", "/x", lambda _: None, urgency=Urgency.CANCEL)
    server = Server("hang up")
    server.fails(lambda rest: rest.call(cancel))
    assert 1 <= len(server.requests) <= 2  # aiohttp may repeat a DELETE on a dead connection


def test_nothing_is_tried_again_after_a_refusal() -> None:
    server = Server((400, {"code": -1121, "msg": "Invalid symbol."}))
    error = server.fails(lambda rest: rest.call(ASK))
    assert isinstance(error, VenueError)
    assert (error.status, error.code) == (400, -1121)
    assert "code -1121: Invalid symbol." in error.what
    assert len(server.requests) == 1


@pytest.mark.parametrize(("retry_after", "tries"), [("1", 2), ("60", 1)])
def test_throttled_call_obeys_retry_after(retry_after: str, tries: int) -> None:
    server = Server(
        (429, {"code": -1003, "msg": "slow down"}, {"Retry-After": retry_after}), {"serverTime": 1}
    )
    before_ns = clock.monotonic_ns()
    if tries == 2:
        server.run(lambda rest: rest.call(TIME))
        assert clock.monotonic_ns() - before_ns >= 1_000_000_000
    else:
        error = server.fails(lambda rest: rest.call(TIME))
        assert isinstance(error, VenueError)
        assert error.retry_after_s == 60.0
    assert len(server.requests) == tries


def test_nothing_goes_out_during_a_ban_not_even_a_cancel() -> None:
    server = Server((418, {"code": -1003, "msg": "banned"}, {"Retry-After": "60"}))

    async def use(rest: RestClient) -> list[float]:
        waits = []
        for urgency in Urgency:
            call: Call[Any] = Call("GET", "/x", lambda _: None, urgency=urgency)
            with pytest.raises(VenueError) as caught:
                await rest.call(call)
            waits.append(caught.value.retry_after_s)
        return waits

    waits = server.run(use)
    assert waits[0] == 60.0
    assert all(50 < wait_s <= 60 for wait_s in waits[1:])
    assert len(server.requests) == 1


def test_one_calls_limit_stops_neither_cancels_nor_other_calls() -> None:
    """-1015, Bybit's 10006: one account's, of one call; others share the address's budget."""
    told = (429, {"code": -1015, "msg": "Too many new orders."}, {"Retry-After": "60"})
    server = Server(told, told, {"done": 1})

    async def use(rest: RestClient) -> None:
        with pytest.raises(VenueError):
            await rest.call(POST)
        cancel: Call[Any] = Call("POST", "/x", lambda _: None, urgency=Urgency.CANCEL)
        with pytest.raises(VenueError):
            await rest.call(cancel)
        await rest.call(cancel)  # goes out at once, though it was refused just now
        assert await rest.call(ASK) == {"done": 1}  # the same path, another method
        with pytest.raises(VenueError) as caught:
            await rest.call(POST)
        assert 50 < caught.value.retry_after_s <= 60
        assert caught.value.status == 0  # it was not sent
        assert rest.budget.banned_until_ns == 0

    server.run(use)
    assert server.methods == ["POST", "POST", "POST", "GET"]


def test_calls_wait_for_their_budget_and_are_told_when_that_is_long() -> None:
    server = Server({"serverTime": 1}, (200, {"serverTime": 1}, {"X-MBX-USED-WEIGHT-1M": "99"}))
    budget = Budget(100)

    async def use(rest: RestClient) -> TickmakerError:
        await rest.call(TIME)
        assert budget.spent(clock.monotonic_ns()) == 1
        await rest.call(TIME)
        assert budget.spent(clock.monotonic_ns()) == 99  # somebody else is at it, too
        with pytest.raises(VenueError) as caught:
            await rest.call(TIME)
        return caught.value

    error = server.run(use, budget)
    assert "held back" in error.what
    assert error.status == 0
    assert error.failure.is_throttled
    assert error.retry_after_s > module.WAIT_S_MAX
    assert len(server.requests) == 2


def test_a_refused_timestamp_is_tried_once_more_when_the_clock_was_measured() -> None:
    late = (400, {"code": -1021, "msg": "outside of the recvWindow"})
    measured: list[int] = []
    server = Server(late, {"done": 1}, late, late)

    async def use(rest: RestClient) -> None:
        async def measure() -> None:
            measured.append(len(server.requests))

        assert rest.on_clock_refused is None
        with pytest.raises(VenueError):
            await rest.call(POST)
        rest.on_clock_refused = measure
        assert await rest.call(POST) == {"done": 1}
        with pytest.raises(VenueError):
            await rest.call(POST)

    server.script = [late, late, {"done": 1}, late, late]
    server.run(use)
    assert measured == [2, 4]
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [(401, -2015, "API key"), (400, -1021, "clock"), (418, -1003, "slow down"), (400, -4, "code"),
     (503, -1000, "trouble")],
)  # fmt: skip
def test_error_says_what_a_person_can_do(status: int, code: int, word: str) -> None:
    server = Server((status, {"code": code, "msg": "no"}, {"Retry-After": "99"}))
    assert word in server.fails(lambda rest: rest.call(POST)).remedy


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b'{"a":'])
def test_answer_that_is_no_json_is_told(body: bytes) -> None:
    assert "is no JSON" in Server(body).fails(lambda rest: rest.call(TIME)).what


@pytest.mark.parametrize("answer", [[], {}, {"serverTime": "x"}, 5, None])
def test_answer_that_is_not_what_is_documented_is_told(answer: Any) -> None:
    assert "documents" in Server(answer).fails(lambda rest: rest.call(TIME)).what


def test_answer_that_holds_a_secret_is_not_shown() -> None:
    key_call: Call[Any] = Call("POST", "/k", lambda document: int(document["k"]), needs_key=True)
    server = Server({"k": "topsecretlistenkey"})
    assert "topsecret" not in server.fails(lambda rest: rest.call(key_call)).what


def test_raw_gives_the_body_as_it_came() -> None:
    assert Server(b'{"a": 1 }').run(lambda rest: rest.raw(TIME)) == b'{"a": 1 }'


def test_error_text_that_repeats_the_request_is_scrubbed() -> None:
    """Bybit's 10004: `error sign! origin_string[...]`, which holds the key."""
    text = f"error sign! origin_string[1700{KEY}5000symbol=BTCUSDT] long-value"
    signed = Signed("GET", "/x?listenKey=long-value&s=BTC", {"X": KEY, "short": "sign"})
    scrubbed = "error sign! origin_string[1700...5000symbol=BTCUSDT] ..."
    assert module._scrubbed(text, signed) == scrubbed
    server = Server((400, {"code": -1022, "msg": text}))
    assert "origin_string" in server.fails(lambda rest: rest.call(ASK)).what


@pytest.mark.parametrize("form", [
    "ab+c/dE8f9==", "ab%2Bc%2FdE8f9%3D%3D", "ab%2bc%2fdE8f9%3d%3d", "ab%2Bc/dE8f9%3D%3D",
])  # fmt: skip
def test_signature_is_scrubbed_however_it_is_escaped(form: str) -> None:
    """An Ed25519 signature is base64: escaped in what we send, and perhaps in what comes back."""
    signed = Signed("GET", "/x?a=1&signature=ab%2Bc%2FdE8f9%3D%3D", {})
    scrubbed = module._scrubbed(f"bad signature [{form}] of a=1", signed)
    assert scrubbed == "bad signature [...] of a=1"


def test_a_ban_told_elsewhere_stops_what_this_address_asks() -> None:
    server = Server({"serverTime": 1})

    async def use(rest: RestClient) -> None:
        rest.keep_away_until(UTC_NS // 1_000_000 - 1)  # over, as far as the venue's clock goes
        await rest.call(TIME)
        rest.keep_away_until(UTC_NS // 1_000_000 + 60_000)
        cancel: Call[Any] = Call("DELETE", "/x", lambda _: None, urgency=Urgency.CANCEL)
        with pytest.raises(VenueError) as caught:
            await rest.call(cancel)
        assert 55 < caught.value.retry_after_s <= 60

    server.run(use)
    assert server.methods == ["GET"]


def test_what_heads_for_safety_has_short_deadlines() -> None:
    assert max(module.DEADLINE_S[u] for u in (Urgency.CANCEL, Urgency.SAFETY)) <= 2.0


def test_nobody_there_is_told_without_the_url() -> None:
    async def go() -> None:
        rest = client("http://127.0.0.1:1")
        await rest.open()
        try:
            with pytest.raises(UnreachableError) as caught:
                await rest.call(ASK, tries=1)
            assert "cannot connect" in caught.value.what
            assert "signature" not in str(caught.value)
        finally:
            await rest.close()

    asyncio.run(go())


def test_nothing_shows_the_secret() -> None:
    rest = client("http://127.0.0.1:1")
    assert SECRET not in repr(rest) + str(rest)
    assert KEY not in repr(rest)


def test_a_failure_of_ours_asks_for_patience() -> None:
    assert "slow down" in module.remedy(Failure(0, 0, "", is_throttled=True))
