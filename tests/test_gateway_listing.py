"""What a venue lists, asked of each venue of the local exchange in memory: a name that is gone
hides no other, and trouble with the question is none of an instrument's."""

import asyncio
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from support_adapter import RefusedError, Wire, secret_of
from support_exchange import LINEAR, quiet_core
from support_rest import Asked

from engine.errors import EXIT_FAILED, TickmakerError
from engine.exchange.stack import VENUES, make_face
from engine.gateway.listing import listed
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.gateway.venue_watch import VenueWatch
from engine.live.takeover import pull_dropped
from engine.venues import adapter
from engine.venues.base import Adapter, Call, Failure, Instrument

CATEGORIES = {"binance_usdm": "linear", "binance_spot": "spot", "bybit": "linear"}


class Memory(RestClient):
    """Calls go straight to a face, and are refused as the client would refuse them."""

    def __init__(self, venue: str) -> None:
        core = quiet_core(venue=venue, keys=(LINEAR if venue == "bybit" else "BTCUSDT",))
        self.wire = Wire(core, make_face(venue, core))
        key, root = core.keys[0].keys[0], "http://127.0.0.1:1"
        self.adapter: Adapter = adapter(
            SimpleNamespace(venue=venue, rest_url=root, ws_url={}, recv_window_ms=5_000,
                            dead_man_s=0), key.api_key, secret_of(key),
        )  # fmt: skip

    async def call(self, call: Call[Any], **_: Any) -> Any:
        try:
            return self.wire.ask(self.adapter, call)
        except RefusedError as error:
            raise VenueError("refused", "", error.failure) from None

    def ask(self, *symbols: str) -> dict[str, Instrument]:
        category = CATEGORIES[self.adapter.name]
        return asyncio.run(listed(self, self.adapter, symbols, category))


@pytest.fixture(params=VENUES)
def rest(request: pytest.FixtureRequest) -> Memory:
    return Memory(request.param)


def test_a_name_that_is_gone_hides_no_other(rest: Memory) -> None:
    assert rest.ask("BTCUSDT", "GONEUSDT").keys() == {"BTCUSDT"}
    assert rest.ask("GONEUSDT") == {}


def test_watch_halts_the_instrument_that_is_gone_and_no_other(rest: Memory) -> None:
    btc = rest.ask("BTCUSDT")["BTCUSDT"]
    halted: list[tuple[int, bool]] = []
    watch = VenueWatch(
        rest, rest.adapter, {0: btc, 1: replace(btc, symbol="GONEUSDT")},
        lambda *told: halted.append(told), lambda *_: None, rng=Random(1),
        emit=lambda *_, **__: None,
    )  # fmt: skip
    asyncio.run(watch.look())
    assert halted == [(1, True)]


def test_takeover_of_an_instrument_that_is_gone_is_told_and_goes_on(rest: Memory) -> None:
    venue = rest.ask("BTCUSDT")["BTCUSDT"].venue
    gone = SimpleNamespace(account="main", venue=venue, symbol="GONEUSDT", key="main.GONEUSDT")
    told: list[str] = []
    account: Any = SimpleNamespace(
        name="main", rest=rest, adapter=rest.adapter, instruments=[],
        before=SimpleNamespace(instruments={gone.key: gone}),
        emit=lambda event, **fields: told.append(fields["what"]),
    )  # fmt: skip
    asyncio.run(pull_dropped(account))
    assert len(told) == 1
    assert "main.GONEUSDT" in told[0]
    assert "unknown at the venue" in told[0]


def failed(status: int, code: int, **kinds: bool) -> VenueError:
    return VenueError("refused", "", Failure(status, code, "", **kinds))


@pytest.mark.parametrize("error", [
    UnreachableError("no answer"),
    TickmakerError("the answer is no JSON", "", EXIT_FAILED),
    failed(400, 0),  # a proxy's page says nothing of a symbol
    failed(401, -2015, is_credential=True),
    failed(400, -1021, is_clock=True),
    failed(429, -1003, is_throttled=True),
    failed(0, 0, is_throttled=True),  # our own budget's
    failed(500, -1000, is_unknown=True),
], ids=lambda error: f"{error.what}-{getattr(error, 'code', '')}")  # fmt: skip
def test_trouble_with_the_question_is_raised_and_not_asked_again(error: TickmakerError) -> None:
    rest = Asked()
    rest.answers = [error, error]
    made = Memory("binance_spot").adapter
    with pytest.raises(type(error)) as caught:
        asyncio.run(listed(rest, made, ["BTCUSDT", "ETHUSDT"], "spot"))
    assert caught.value is error
    assert len(rest.calls) == 1
