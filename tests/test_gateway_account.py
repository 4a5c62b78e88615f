"""An account's calls, clock, dead-man switch and instruments: scripts, and the local exchange."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from support_keeper import rigged
from support_rest import Asked, Exchange, adapter

from engine import clock
from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway import clocksync
from engine.gateway import rest as rest_module
from engine.gateway.account_calls import MANY, AccountCalls
from engine.gateway.budget import Budget
from engine.gateway.clocksync import ClockSync
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.gateway.venue_watch import VenueWatch
from engine.venues.base import Adapter, Call, Failure, Instrument, OrderRow, TradeRow, Urgency
from fastcore.types import FeeAsset, OrderState, Side

BTC = Instrument(
    "binance_usdm", "BTCUSDT", "0.10", "0.001", Decimal(1), Decimal(9), Decimal(5),
    "BTC", "USDT",
)  # fmt: skip
CANCEL = {"code": 200, "msg": "done"}
BUSY = (503, {"code": -1000, "msg": "busy"})
WIRE_ROW = {
    "orderId": 1, "clientOrderId": "tm1-1-1", "symbol": "BTCUSDT", "side": "BUY", "status": "NEW",
    "price": "60000.0", "origQty": "0.010", "executedQty": "0", "type": "LIMIT",
}  # fmt: skip


def nothing(*_: Any, **__: Any) -> None:
    pass


def is_ours(row: OrderRow) -> bool:
    return row.client_id.startswith("tm")


def calls_of(rest: RestClient, made: Adapter | None = None) -> AccountCalls:
    return AccountCalls(rest, made or adapter(), [BTC], rng=Random(1))


def order_row(number: int, client_id: str = "tm", is_conditional: bool = False) -> OrderRow:
    return OrderRow("BTCUSDT", client_id, number, Side.BUY, OrderState.NEW, 600_000, 10, 0,
                    str(number), is_conditional)  # fmt: skip


def trade_row(number: int, side: Side = Side.BUY) -> TradeRow:
    return TradeRow("BTCUSDT", number, 1, "", side, 600_000, 1, 0, FeeAsset.QUOTE, True, 5, "1")


class Paged:
    """An adapter whose lists come in pages: a cursor counts them."""

    def __init__(self, *pages: list[Any]) -> None:
        self.pages = pages
        self.cursors: list[str] = []
        self.conditional: list[OrderRow] | None = None
        self.name = "paged"

    def _page(self, cursor: str) -> Call[tuple[list[Any], str]]:
        self.cursors.append(cursor)
        index = int(cursor or 0)
        following = str(index + 1) if index + 1 < len(self.pages) else ""
        return Call("GET", "/x", lambda _: (self.pages[index], following))

    def open_orders(self, instrument: Instrument, cursor: str = "") -> Any:
        return self._page(cursor)

    def trades(self, instrument: Instrument, since_ns: int, cursor: str = "") -> Any:
        return self._page(cursor)

    def open_conditional(self, instrument: Instrument) -> Any:
        rows = self.conditional
        return None if rows is None else Call("GET", "/x", lambda _: rows)


# -- PAGES


def test_every_page_of_open_orders_is_read_and_conditional_ones_too() -> None:
    paged: Any = Paged([order_row(1), order_row(2)], [order_row(2), order_row(3)], [])
    paged.conditional = [order_row(1, is_conditional=True)]
    found = asyncio.run(calls_of(Asked(), paged).open_orders(BTC))
    assert [(row.venue_order_id, row.is_conditional) for row in found] == [
        (1, False), (2, False), (3, False), (1, True),
    ]  # fmt: skip
    assert paged.cursors == ["", "1", "2"]


def test_every_page_of_trades_is_read_and_each_side_of_a_trade_kept_once() -> None:
    paged: Any = Paged(
        [trade_row(1), trade_row(2)], [], [trade_row(2), trade_row(2, Side.SELL), trade_row(3)]
    )
    found = asyncio.run(calls_of(Asked(), paged).trades_since(BTC, 0))
    assert [(row.trade_id, row.side) for row in found] == [(1, 0), (2, 0), (2, 1), (3, 0)]


def test_a_list_without_an_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.gateway.account_calls.PAGES_MAX", 3)
    for ask in ("open_orders", "trades_since"):
        paged: Any = Paged(*[[trade_row(number)] for number in range(9)])
        arguments = (BTC,) if ask == "open_orders" else (BTC, 0)
        with pytest.raises(TickmakerError, match="no end"):
            asyncio.run(getattr(calls_of(Asked(), paged), ask)(*arguments))


def test_an_order_is_absent_only_when_history_says_so_too() -> None:
    class Forgetful:
        name = "bybit"

        def order(self, instrument: Instrument, client_id: str) -> Any:
            return Call("GET", "/realtime", lambda _: None)

        order_by_id = order

        def order_history(self, instrument: Instrument, client_id: str) -> Any:
            return Call("GET", "/history", lambda _: order_row(7))

        order_history_by_id = order_history

    made: Any = Forgetful()
    for ask in ("order", "order_by_id"):
        found = asyncio.run(getattr(calls_of(Asked(), made), ask)(BTC, "7"))
        assert found == order_row(7)


def test_positions_are_asked_for_by_venue_and_settlement() -> None:
    asked: list[list[str]] = []

    class Mixed:
        name = "bybit"

        def positions(self, instruments: Any) -> Any:
            asked.append([one.symbol for one in instruments])
            return Call("GET", "/p", lambda _: [])

    eth, perp = replace(BTC, symbol="ETHUSDT"), replace(BTC, symbol="BTCPERP", quote="USDC")
    made: Any = Mixed()
    one = AccountCalls(Asked(), made, [BTC, perp, eth], rng=Random(1))
    assert asyncio.run(one.positions()) == {}
    assert asked == [["BTCUSDT", "ETHUSDT"], ["BTCPERP"]]


# -- PULLING ORDERS


def exchange(**answers: Any) -> Exchange:
    """Conditional orders: none."""
    return Exchange(GET_openAlgoOrders=[], **answers)


def test_cancel_goes_on_until_the_venue_says_that_nothing_is_open() -> None:
    server = exchange(GET=[[WIRE_ROW], BUSY, [WIRE_ROW], []], DELETE=[BUSY, CANCEL])
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0)) == 1
    assert server.methods.count("DELETE") == 2
    assert server.requests[-1][0] == "GET"


def test_orders_of_others_are_left_alone() -> None:
    rows = [WIRE_ROW, WIRE_ROW | {"orderId": 2, "clientOrderId": "hand"}]
    server = exchange(GET=[rows, rows[1:]], DELETE=[CANCEL])
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0)) == 1
    (cancel,) = [request for request in server.requests if request[0] == "DELETE"]
    assert cancel[1].endswith("/order")
    assert "orderId=1&" in cancel[2]


def test_many_are_cancelled_in_batches() -> None:
    rows = [WIRE_ROW | {"orderId": number} for number in range(1, 24)]
    other = WIRE_ROW | {"orderId": 99, "clientOrderId": "hand"}
    server = exchange(GET=[[*rows, other], [other]], DELETE_batchOrders={}, DELETE=[CANCEL])

    async def use(rest: RestClient) -> int:
        return await calls_of(rest).cancel_ours(BTC, is_ours, 8.0)

    server.answers["DELETE_batchOrders"] = [CANCEL]  # any list: each order's answer
    assert server.run(use) == 23
    batches = [r for r in server.requests if r[1].endswith("batchOrders")]
    assert len(batches) == 3


def test_many_that_rest_alone_are_cancelled_with_one_call() -> None:
    rows = [WIRE_ROW | {"orderId": number} for number in range(1, MANY + 2)]
    done = {"code": 200, "msg": "done"}
    server = exchange(GET=[rows, []], DELETE_order=CANCEL, DELETE_batchOrders=[CANCEL],
                      DELETE_allOpenOrders=done, DELETE_algoOpenOrders=done)  # fmt: skip
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0)) == MANY + 1
    paths = [request[1].rpartition("/")[2] for request in server.requests
             if request[0] == "DELETE"]  # fmt: skip
    assert paths == ["allOpenOrders", "algoOpenOrders"]


def test_what_single_cancels_do_not_end_is_ended_by_one_of_all_when_all_are_ours() -> None:
    done = {"code": 200, "msg": "done"}
    server = exchange(GET=[[WIRE_ROW]] * 3 + [[]], DELETE_order=CANCEL,
                      DELETE_allOpenOrders=done, DELETE_algoOpenOrders=done)  # fmt: skip
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0)) == 1
    paths = [request[1].rpartition("/")[2] for request in server.requests
             if request[0] == "DELETE"]  # fmt: skip
    assert paths == ["order", "order", "allOpenOrders", "algoOpenOrders"]


def test_where_others_have_orders_all_are_never_cancelled() -> None:
    rows = [WIRE_ROW, WIRE_ROW | {"orderId": 2, "clientOrderId": "hand"}]
    server = exchange(GET=[rows] * 5 + [rows[1:]], DELETE_order=CANCEL)
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0)) == 1
    cancels = [request for request in server.requests if request[0] == "DELETE"]
    assert len(cancels) == 5
    assert all(request[1].endswith("/order") for request in cancels)


def test_everything_is_cancelled_without_waiting_for_a_query() -> None:
    server = exchange(GET=[[]], DELETE=[CANCEL, CANCEL])
    assert server.run(
        lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0, is_everything=True)
    ) == 0  # fmt: skip
    assert sorted(server.methods) == ["DELETE", "DELETE", "GET", "GET"]
    assert server.methods[0] == "DELETE"


@pytest.mark.parametrize("get", [(503, {"code": -1001, "msg": "down"}), "hang up", "silence"])
def test_cancel_of_everything_does_not_wait_for_a_query_that_fails(
    get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rest_module.DEADLINE_S, Urgency.SAFETY, 0.05)
    monkeypatch.setitem(rest_module.TRIES, Urgency.SAFETY, 1)
    server = exchange(GET=get, DELETE=CANCEL)
    error = server.fails(
        lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 0.6, is_everything=True)
    )
    assert "could not prove" in error.what
    assert server.methods[0] == "DELETE"
    assert server.methods.count("DELETE") >= 3


def test_an_order_that_is_gone_when_it_is_cancelled_is_no_problem() -> None:
    gone = (400, {"code": -2011, "msg": "Unknown order sent."})
    server = exchange(GET=[[WIRE_ROW], []], DELETE=gone)
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 8.0)) == 1
    server.run(lambda rest: calls_of(rest).cancel_rows(BTC, [order_row(1)]))


def test_first_problem_of_many_cancels_is_told_when_all_were_sent() -> None:
    server = exchange(DELETE=[BUSY, CANCEL, CANCEL])
    made = adapter()
    made.cancel_batch_max = 1
    rows = [order_row(number) for number in (1, 2, 3)]
    error = server.fails(lambda rest: calls_of(rest, made).cancel_rows(BTC, rows))
    assert isinstance(error, VenueError)
    assert server.methods == ["DELETE"] * 3


def test_answer_that_is_no_list_proves_nothing() -> None:
    server = exchange(GET={"orders": []}, DELETE=CANCEL)
    error = server.fails(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 0.2))
    assert "could not prove" in error.what
    assert "documents" in error.what


def test_cancel_that_can_not_be_proved_says_so() -> None:
    server = exchange(GET_openOrders=[WIRE_ROW], DELETE=CANCEL)
    error = server.fails(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 0.2))
    assert "could not prove" in error.what
    assert "1 orders stay open" in error.what


def test_proof_that_our_own_budget_holds_back_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 200 instruments a start failed: the question was held back for 51 s, and 10 s were all
    that a pull had."""
    monkeypatch.setattr(rest_module, "WAIT_S_MAX", 0.05)
    budget = Budget(2_400, 0.6)
    budget.spend(budget.weight_max, Urgency.SAFETY, clock.monotonic_ns())
    server = exchange(GET=[[WIRE_ROW], []], DELETE=CANCEL)
    assert server.run(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 0.3), budget) == 1


def test_cancel_with_a_wrong_key_fails_at_once() -> None:
    server = Exchange(GET=(401, {"code": -2015, "msg": "Invalid API-key"}))
    error = server.fails(lambda rest: calls_of(rest).cancel_ours(BTC, is_ours, 30.0))
    assert isinstance(error, VenueError)


def test_orders_at_the_exchange_are_pulled_and_strangers_stay() -> None:
    async def go() -> None:
        async with rigged() as rig:
            for number in range(13):
                await rig.place(f"tm-{number}")
            await rig.place("hand")
            one = AccountCalls(rig.rest, rig.adapter, [rig.btc], rng=Random(1))
            assert sum(map(is_ours, await one.open_orders(rig.btc))) == 13
            assert await one.cancel_ours(rig.btc, is_ours, 8.0) == 13
            assert [row.client_id for row in await one.open_orders(rig.btc)] == ["hand"]
            found = await one.order(rig.btc, "tm-3")
            assert found is not None
            assert found.state is OrderState.CANCELED
            assert await one.order(rig.btc, "tm-99") is None
            assert await one.position(rig.btc) == 0
            assert any(row.asset == "USDT" for row in await one.balances())
            since_ns = clock.wall_ns() - 3_600_000_000_000
            assert await one.trades_since(rig.btc, since_ns) == []

    asyncio.run(go())


# -- CLOCK


def time_of(offset_s: float) -> dict[str, int]:
    """The venue's answer when its clock is that far ahead of our monotonic one."""
    return {"serverTime": clock.monotonic_ns() // 1_000_000 + int(offset_s * 1e3)}


def sync_of(rest: RestClient, applied: list[int] | None = None) -> ClockSync:
    return ClockSync(rest, adapter(), (applied if applied is not None else []).append,
                     rng=Random(1), emit=nothing)  # fmt: skip


def test_clock_sample_is_the_middle_of_the_quickest_round_trip() -> None:
    server = Exchange(GET={"serverTime": 1_700_000_000_000})
    before_ns = clock.monotonic_ns()
    sample = server.run(lambda rest: sync_of(rest).sample())
    after_ns = clock.monotonic_ns()
    venue_ns = 1_700_000_000_000_500_000
    assert venue_ns - after_ns <= sample.offset_ns <= venue_ns - before_ns
    assert 0 < sample.round_trip_ns <= after_ns - before_ns
    assert len(server.requests) == 5


def test_clock_sample_skips_what_fails_or_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocksync, "REQUEST_S", 0.05)
    server = Exchange(GET=["silence", time_of(5.0), (503, {}), (503, {}), "silence"])
    sample = server.run(lambda rest: sync_of(rest).sample())
    assert sample.round_trip_ns < 1_000_000_000
    assert len(server.requests) + 2 == 5
    error = Exchange(GET="silence").fails(lambda rest: sync_of(rest).sample())
    assert "no answer within 0.05 s" in error.what


def test_clock_that_jumps_is_measured_twice() -> None:
    async def use(rest: RestClient) -> list[int]:
        mine = sync_of(rest)
        offsets = [(await mine.sample(1)).offset_ns for _ in range(2)]
        with pytest.raises(TickmakerError, match="jumps"):
            await mine.sample(1)
        return [*offsets, (await mine.sample(1)).offset_ns]

    answers = [time_of(s) for s in (100.0, 200.0, 200.0, 300.0, 900.0, 200.0)]
    server = Exchange(GET=answers)
    offsets = server.run(use)
    assert [round(offset_ns / 1e11) for offset_ns in offsets] == [1, 2, 2]
    assert len(server.requests) == 6


def test_one_measurement_serves_signatures_and_cores_and_all_who_ask() -> None:
    applied: list[int] = []

    async def use(rest: RestClient) -> None:
        mine = sync_of(rest, applied)
        assert rest.on_clock_refused == mine.sync
        await asyncio.gather(mine.sync(), mine.sync())
        assert applied == [mine.offset_ns] * 2
        assert abs(rest.utc_ns() - clock.monotonic_ns() - mine.offset_ns) < 1_000_000_000

    server = Exchange(GET=time_of(50.0))
    server.run(use)
    assert len(server.requests) == 5


def test_clock_is_measured_until_the_core_is_content() -> None:
    applied: list[int] = []

    async def use(rest: RestClient) -> None:
        await sync_of(rest, applied).clear(lambda: len(applied) < 2)

    Exchange(GET=[[], *[time_of(5.0)] * 10]).run(use)  # no time, then the time
    assert len(applied) == 2


# -- INSTRUMENTS


class Listing:
    """What the venue lists; it doesn't know the others."""

    name = "x"

    def __init__(self, *listed: Instrument) -> None:
        self.listed = {one.symbol: one for one in listed}

    def instruments(self, symbols: Any, category: str) -> Any:
        def read(_: Any) -> dict[str, Instrument]:
            for symbol in symbols:
                if symbol not in self.listed:
                    raise TickmakerError(f"{symbol} is unknown", "", EXIT_USAGE)
            return {symbol: self.listed[symbol] for symbol in symbols}

        return Call("GET", "/i", read)


def test_instruments_that_stop_trading_or_change_are_told_once() -> None:
    eth = replace(BTC, symbol="ETHUSDT")
    listing: Any = Listing(BTC, eth)
    halted: list[tuple[int, bool]] = []
    changed: list[tuple[int, str]] = []
    watch = VenueWatch(
        Asked(), listing, {4: BTC, 5: eth}, lambda n, is_on: halted.append((n, is_on)),
        lambda n, told: changed.append((n, told.tick)), rng=Random(1), emit=nothing,
    )  # fmt: skip

    def look(*listed: Instrument) -> None:
        listing.listed = {one.symbol: one for one in listed}
        asyncio.run(watch.look())

    look(BTC, eth)
    assert (halted, changed) == ([], [])
    look(replace(BTC, is_trading=False), eth)
    look(replace(BTC, is_trading=False), eth)
    assert halted == [(4, True)]
    look(BTC)  # the other is gone
    assert halted[1:] == [(4, False), (5, True)]
    finer = replace(BTC, tick="0.01")
    look(finer, eth)
    look(finer, eth)
    assert changed == [(4, "0.01")]
    assert halted[3:] == [(5, False)]


def test_symbol_that_the_venue_refuses_to_tell_of_is_halted_and_no_other() -> None:
    """Spot refuses the whole question with -1121; a Bybit symbol alone with 10001."""

    class Refusing(Listing):
        def instruments(self, symbols: Any, category: str) -> Any:
            def read(_: Any) -> dict[str, Instrument]:
                if set(symbols) - set(self.listed):
                    raise VenueError("no", "", Failure(400, -1121, "Invalid symbol."))
                return {symbol: self.listed[symbol] for symbol in symbols}

            return Call("GET", "/i", read)

    halted: list[tuple[int, bool]] = []
    gone = replace(BTC, symbol="GONEUSDT")
    told: list[Any] = []
    rest = Asked()
    same_tick: Any = Refusing(replace(BTC, tick=BTC.tick + "0"))
    watch = VenueWatch(rest, same_tick, {4: BTC, 5: gone}, lambda *now: halted.append(now),
                       lambda *now: told.append(now), rng=Random(1), emit=nothing)  # fmt: skip
    asyncio.run(watch.look())
    assert halted == [(5, True)]
    assert told == []  # 0.10 is no other tick than 0.1
    rest.answers = [VenueError("later", "", Failure(503, 0, "", is_unknown=True))]
    with pytest.raises(VenueError):
        asyncio.run(watch.look())
    assert halted == [(5, True)]


def test_trouble_with_the_question_says_nothing_of_the_instruments() -> None:
    halted: list[Any] = []
    rest = Asked()
    rest.answers = [UnreachableError("no answer")]
    listing: Any = Listing(BTC)
    watch = VenueWatch(rest, listing, {0: BTC}, lambda *told: halted.append(told), nothing,
                       rng=Random(1), emit=nothing)  # fmt: skip
    with pytest.raises(UnreachableError):
        asyncio.run(watch.look())
    assert halted == []


@pytest.mark.parametrize(("fault", "told"), [
    ("halt_instrument", "halted"), ("tick_change", "0.01"), ("delist", "halted"),
])  # fmt: skip
def test_exchange_that_halts_changes_or_ends_an_instrument_is_heard(fault: str, told: str) -> None:
    async def go() -> None:
        async with rigged() as rig:
            heard: list[str] = []
            watch = VenueWatch(
                rig.rest, rig.adapter, {0: rig.btc},
                lambda _, is_on: heard.append("halted" if is_on else "trading"),
                lambda _, inst: heard.append(inst.tick), rng=Random(1), emit=rig.emit,
            )  # fmt: skip
            await watch.look()
            assert heard == []
            rig.fault(fault, symbol="BTCUSDT")
            await watch.look()
            assert heard == [told]

    asyncio.run(go())

