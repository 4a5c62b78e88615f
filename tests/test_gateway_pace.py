"""An account's limits of each kind of call: properties over random callers, in simulated time; and
an account's cancels among a stranger's orders at the local exchange, which counts as the venue."""

import asyncio
from random import Random
from types import SimpleNamespace

import pytest
from bybit_client import quiet_core
from hypothesis import given
from hypothesis import strategies as st

from engine import clock
from engine.exchange.book import Side as BookSide
from engine.exchange.commands import Place
from engine.exchange.events import Refused
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_face
from engine.exchange.terms import OrderType, Tif
from engine.gateway.account_calls import AccountCalls
from engine.gateway.budget import Budget
from engine.gateway.pace import Pace
from engine.gateway.rest import RestClient, VenueError
from engine.venues import adapter
from engine.venues.base import Call, Instrument, Limit, OrderRow, Urgency

S = 1_000_000_000
PER_S = 10
OURS, STRANGERS = 45, 2
LOTS = {"linear": 100, "spot": 10_000}  # a lot is 0.001 or 0.000001

CALLS = st.lists(st.tuples(st.integers(0, 2 * S), st.integers(1, PER_S)), max_size=60)


@given(CALLS)
def test_no_second_holds_more_than_the_account_may_ask(calls: list[tuple[int, int]]) -> None:
    pace, now_ns, sent = Pace(), 0, list[tuple[int, int]]()
    for pause_ns, count in calls:
        now_ns += pause_ns
        at_ns = now_ns + pace.take(Limit("cancel", PER_S, count), now_ns)
        assert not sent or at_ns >= sent[-1][0]  # first come, first served
        sent.append((at_ns, count))
    for begin_ns, _ in sent:
        assert sum(n for at_ns, n in sent if 0 <= at_ns - begin_ns < S) <= PER_S


def test_what_is_not_asked_for_is_there_at_once() -> None:
    pace = Pace()
    assert [pace.take(Limit("a", 3), 0) for _ in range(3)] == [0, 0, 0]
    assert pace.take(Limit("a", 3), 0) > 0
    assert pace.take(Limit("b", 3, 3), 0) == 0  # kinds are counted apart
    assert pace.take(Limit("c", 3, 50), 0) == 0  # more than there is goes alone
    assert pace.take(Limit("c", 3), 0) > S


def test_a_refusal_holds_its_kind_alone() -> None:
    pace = Pace()
    pace.hold(Limit("a", 3), 0.5, 0)
    assert pace.take(Limit("a", 3), 0) == S // 2
    assert pace.take(Limit("b", 3), 0) == 0


def is_ours(row: OrderRow) -> bool:
    return row.client_id.startswith("tm")


class Counted(RestClient):
    """Remembers what was sent, and what the venue refused."""

    sent: list[str]
    refused: list[VenueError]

    async def call(self, call: Call, **how):  # type: ignore[no-untyped-def,type-arg]
        if call.urgency is Urgency.CANCEL:
            self.sent.append(call.path.rpartition("/")[2])
        try:
            return await super().call(call, **how)
        except VenueError as error:
            self.refused.append(error)
            raise


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_cancels_among_a_strangers_keep_the_account_s_limits(category: str) -> None:
    """119 orders with one stranger's took 65 s: they went as fast as they could, were refused,
    and those that were refused waited for the next look."""

    async def go() -> None:
        core = quiet_core()
        server = ExchangeServer(make_face("bybit", core))
        for number in range(OURS + STRANGERS):
            name = f"hand-{number}" if number < STRANGERS else f"tm0123abcd-00-{number:012x}"
            placed = core.operate(Place(
                0, f"{category}/BTCUSDT", BookSide.BUY, OrderType.LIMIT, Tif.GTC, LOTS[category],
                590_000 - number, name, echo={"link": name},
            ), clock.wall_ns())  # fmt: skip
            assert not isinstance(placed, Refused), placed
        await server.start()
        key = core.keys[0].keys[0]
        account = SimpleNamespace(venue="bybit", rest_url=server.rest_url, ws_url={},
                                  recv_window_ms=5_000, dead_man_s=0)  # fmt: skip
        made = adapter(account, key.api_key, key.secret)
        rest = Counted(made, server.rest_url, Budget(made.weight_per_min, 5.0), rng=Random(1))
        rest.sent, rest.refused = [], []
        await rest.open()
        try:
            btc: Instrument = (await rest.call(made.instruments(["BTCUSDT"], category)))["BTCUSDT"]
            calls = AccountCalls(rest, made, [btc], rng=Random(1))
            assert await calls.cancel_ours(btc, is_ours, 20.0) == OURS
            assert len(await calls.open_orders(btc)) == STRANGERS
            assert not rest.refused
            batches, single = rest.sent.count("cancel-batch"), rest.sent.count("cancel")
            assert batches
            assert single  # their limit is another one, and goes to waste otherwise
            assert batches + single < OURS  # each once
        finally:
            await rest.close()
            await server.stop()

    asyncio.run(go())
