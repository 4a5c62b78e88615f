"""engine/live's reconciler and pull over a core of their own and a venue that a test makes up."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from random import Random
from types import SimpleNamespace as Namespace
from typing import Any, cast

from support_core import MS, Desk

from engine import clock
from engine.errors import TickmakerError
from engine.execution.belief import AskOrder, SettleOrder, Told
from engine.live import pull
from engine.live.instrument import LiveInstrument
from engine.live.pull import Pull
from engine.live.reconciler import Reconciler
from engine.venues.base import Instrument, OrderRow, TradeRow
from fastcore.types import Command, Conn, FeeAsset, Halt, OrderState, Side

BTC = Instrument("binance_usdm", "BTCUSDT", "0.10", "0.001", Decimal("0.001"), Decimal(1_000),
                 Decimal(5), "BTC", "USDT")  # fmt: skip
UTC_NS = 2 * 10**18
S_NS = 10**9


class Hot:
    """One core where the engine has its hot loop."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.accounts: list[tuple[int, int]] = []

    def account(self, _: int, lots: int, open_orders: int) -> None:
        self.accounts.append((lots, open_orders))
        self.desk.collect(self.desk.core.account(lots, open_orders, self.desk.now_ns))

    def command(self, _: int, command: Command) -> None:
        self.desk.collect(self.desk.core.command(command, self.desk.now_ns))

    def query(self, _: int, **told: Any) -> None:
        self.desk.collect(self.desk.core.query(now_ns=self.desk.now_ns, **told))

    def fill_row(self, _: int, **row: Any) -> int:
        return int(self.desk.core.fill_row(now_ns=self.desk.now_ns, **row))

    def bits(self, _: int) -> int:
        return int(self.desk.core.numbers()["halt_bits"])


class Calls:
    """The venue: nothing rests there, nothing was traded, and an order asked for lives."""

    position_lots = 0
    cancelled = 0
    is_failing = False
    together = together_most = 0
    pulls: list[float]

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.pulls = []
        self.asked: list[str] = []
        self.trades: list[TradeRow] = []
        self.on_positions: Callable[[], None] = lambda: None

    async def open_orders(self, _: Instrument) -> list[OrderRow]:
        return []

    async def trades_since(self, _: Instrument, since_ns: int) -> list[TradeRow]:
        return [row for row in self.trades if row.exch_ts_ns >= since_ns]

    async def positions(self) -> dict[tuple[str, str], int]:
        told = {(BTC.venue, BTC.symbol): self.position_lots}
        self.on_positions()
        return told

    async def order(self, _: Instrument, client_id: str) -> OrderRow | None:
        own = next(o for o in self.desk.core.numbers()["own"] if o["client_id"] == client_id)
        return OrderRow("BTCUSDT", client_id, own["venue_order_id"], Side(own["side"]),
                        OrderState.NEW, own["px_ticks"], own["qty_lots"], 0, "1")  # fmt: skip

    async def order_by_id(self, _: Instrument, text: str) -> OrderRow | None:
        self.asked.append(text)
        return None

    async def cancel_rows(self, _: Instrument, rows: list[OrderRow]) -> None:
        self.cancelled += len(rows)

    async def cancel_ours(self, *_: Any, **__: Any) -> int:
        self.pulls.append(asyncio.get_running_loop().time())
        if self.is_failing:
            raise TickmakerError("no answer", "")
        self.together += 1
        self.together_most = max(self.together_most, self.together)
        await asyncio.sleep(0.01)
        self.together -= 1
        return 0


class Rig:
    """An account of `count` instruments, all of which share one core."""

    def __init__(self, *, is_up: bool = True, count: int = 1, recv_window_ms: int = 1_000) -> None:
        self.desk = Desk(journal=False, quoting__modify=False)
        self.events: list[tuple[str, Any]] = []
        self.calls = Calls(self.desk)
        self.hot = Hot(self.desk)
        stage = Namespace(
            hot=self.hot, is_active=True, rng=Random(1), warn=self._warn, emit=self._emit,
            spawn=lambda work, _="": asyncio.get_running_loop().create_task(work),
        )  # fmt: skip
        self.instruments = [self._instrument(stage, number) for number in range(count)]
        self.account: Any = Namespace(
            stage=stage, name="a", instruments=self.instruments, calls=self.calls, epoch=0,
            config=Namespace(strangers="leave", recv_window_ms=recv_window_ms),
            is_private_up=is_up, is_trade_up=is_up, trade_lost_ns=None, utc_ns=lambda: UTC_NS,
            lock=Namespace(state_path="state"), on_agreed=lambda _: None,
            trade=Namespace(suspect=lambda: self.events.append(("suspect", None))),
            user=Namespace(lost_ns=None),
        )  # fmt: skip
        self.account.pull = Pull(self.account)
        self.reconciler = Reconciler(self.account)

    def _instrument(self, stage: Any, number: int) -> LiveInstrument:
        made = object.__new__(LiveInstrument)
        core = self.desk.core
        budgets = Namespace(budgets=Namespace(ack_ms_max=1_000.0), venue=BTC.venue)
        made.__dict__.update(
            stage=stage, number=number, key=f"a.{BTC.venue}.{number}", symbol=BTC.symbol,
            traded=BTC, core=core, core_config=core.config, known_trades=set(), since_ns=0,
            adopted_ns=0, carried_e8=0,
            config=Namespace(account="a", core=budgets),
        )
        return made

    def _warn(self, error: TickmakerError, **_: Any) -> None:
        self.events.append(("warning", error.what))

    def _emit(self, event: str, **told: Any) -> None:
        self.events.append((event, told.get("what")))

    def own_states(self) -> list[OrderState]:
        return [OrderState(own["state"]) for own in self.desk.core.numbers()["own"]]

    def refuse(self, verb: int) -> None:
        """Of every order of ours, with words that say nothing about its fate."""
        for own in self.desk.core.numbers()["own"]:
            self.desk.frame(Conn.TRADE, {
                "id": f"{verb}{own['intent_id']:012x}", "status": 500,
                "error": {"code": -1000, "msg": "unknown error"},
            })  # fmt: skip

    def acknowledge(self) -> None:
        for number, own in enumerate(self.desk.core.numbers()["own"], 77):
            self.desk.frame(Conn.TRADE, {
                "id": f"1{own['intent_id']:012x}", "status": 200, "result": {
                    "orderId": number, "symbol": "BTCUSDT", "status": "NEW",
                    "clientOrderId": own["client_id"], "price": "0", "origQty": "0",
                    "executedQty": "0", "side": "BUY",
                },
            })  # fmt: skip


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


async def until(is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if is_done():
                return
            await asyncio.sleep(0.01)


# -- AGREEMENT ---


def test_round_does_not_agree_while_the_query_says_that_ours_lives() -> None:
    """The cancels were refused just now, and the list of open orders lags."""

    async def work() -> None:
        rig = Rig()
        rig.desk.start()
        rig.acknowledge()
        rig.desk.core.conn(Conn.USER, False, rig.desk.now_ns)
        rig.desk.collect(rig.desk.core.timer(rig.desk.now_ns))
        rig.refuse(verb=2)
        rig.desk.collect(rig.desk.core.conn(Conn.USER, True, rig.desk.now_ns))
        rig.desk.now_ns += 20 * MS
        assert rig.own_states()
        assert await rig.reconciler.round(rig.instruments) == []
        assert rig.own_states(), "dropped, while it lives"
        assert rig.calls.cancelled == len(rig.own_states())
        assert (0, 0) not in rig.hot.accounts

    run(work)


def flapping_rig() -> Rig:
    """Nothing rests, and the core asks for an agreement."""
    rig = Rig()
    rig.desk.start()
    for own in list(rig.desk.core.numbers()["own"]):
        rig.desk.frame(Conn.TRADE, {"id": f"1{own['intent_id']:012x}", "status": 400,
                                    "error": {"code": -5022, "msg": "post only"}})  # fmt: skip
    rig.desk.core.conn(Conn.USER, False, rig.desk.now_ns)
    rig.desk.core.conn(Conn.USER, True, rig.desk.now_ns)
    return rig


def test_round_of_a_connection_that_was_lost_meanwhile_agrees_on_nothing() -> None:
    async def work() -> None:
        for is_lost in (False, True):
            rig = flapping_rig()

            def flap(rig: Rig = rig) -> None:
                rig.account.epoch += 1

            if is_lost:
                rig.calls.on_positions = flap
            agreed = await rig.reconciler.round(rig.instruments)
            assert bool(agreed) is not is_lost
            assert bool(rig.desk.core.numbers()["is_agreed"]) is not is_lost

    run(work)


def test_divergence_does_not_end_orders_in_doubt() -> None:
    async def work() -> None:
        rig = Rig()
        rig.desk.start()
        rig.desk.core.conn(Conn.TRADE, False, rig.desk.now_ns)
        for _ in range(40):
            rig.desk.now_ns += 100 * MS
            rig.desk.collect(rig.desk.core.timer(rig.desk.now_ns))
        before = rig.own_states()
        assert OrderState.UNKNOWN in before
        told = Told((), (), (), (), 5, 0)
        rig.reconciler._on_diverged(rig.instruments[0], told, [])
        assert rig.own_states() == before

    run(work)


def test_queries_leave_the_moment_of_the_reading_where_it_was() -> None:
    """The rule of "no such order" counts from the first question, not from the last answer."""

    async def work() -> None:
        rig = Rig()
        told = Told((), (), (), (), 0, at_ns=7)
        after = await rig.reconciler._asked(rig.instruments[0], told, [AskOrder("", "99")])
        assert after == replace(told, absent=["99"], orders=[])

    run(work)


def test_answers_count_from_the_question_and_what_the_core_forgot_is_not_booked_again() -> None:
    rig = Rig()
    (instrument,) = rig.instruments
    told: list[dict[str, Any]] = []
    rig.hot.query = lambda _, **row: told.append(row)  # type: ignore[method-assign]
    settled = SettleOrder(1, OrderState.REJECTED, -1, 100, 1, 0, is_absent=True)
    rig.reconciler._apply(instrument, [settled], 7)
    assert [row["asked_ns"] for row in told] == [7]
    instrument.core = cast(Any, Namespace(forgotten_ts_ns=20))
    rows = [
        TradeRow("BTCUSDT", at, 1, "", Side.BUY, 1, 1, 0, FeeAsset.QUOTE, True, at, "1")
        for at in (19, 20, 21)
    ]
    assert [row.trade_id for row in instrument.unforgotten(rows)] == [21]


# -- COMPARED WHILE IT TRADES ---


def test_trade_of_an_unknown_order_is_doubted_and_asked_for() -> None:
    """Binance's trades name no client id: whose order it was has to be asked."""

    async def work() -> None:
        rig = Rig()
        rig.desk.start()
        (instrument,) = rig.instruments
        instrument.since_ns = UTC_NS - 60 * S_NS
        at_ns = UTC_NS - 20 * S_NS
        rig.calls.trades = [TradeRow("BTCUSDT", 9, 99, "", Side.BUY, 600_000, 5, 0,
                                     FeeAsset.QUOTE, False, at_ns, "99")]  # fmt: skip
        rig.calls.position_lots = 5
        for _ in range(2):
            await rig.reconciler.compare()
            assert instrument.since_ns <= at_ns, "it would never be read again"
        assert any(event == "doubt" and "99" in what for event, what in rig.events)
        assert rig.instruments[0].bits & Halt.RECONCILING

    run(work)


# -- PULLED OVER REST ---


def test_pull_goes_on_until_rest_is_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(pull, "PAUSE_S_MAX", 0.05)

    async def work() -> None:
        rig = Rig(is_up=False)
        rig.calls.is_failing = True
        rig.account.pull.on_trade_lost()
        await until(lambda: len(rig.calls.pulls) >= 3)
        rig.calls.is_failing = False
        tried = len(rig.calls.pulls)
        await until(lambda: len(rig.calls.pulls) > tried)
        await rig.account.pull.close()

    run(work)


def test_pull_is_proved_after_the_last_place_could_arrive(monkeypatch: Any) -> None:
    monkeypatch.setattr(pull, "PAUSE_S_MAX", 0.05)

    async def work() -> None:
        rig = Rig(is_up=False, recv_window_ms=400)
        lost_s = asyncio.get_running_loop().time()
        rig.account.trade_lost_ns = int(lost_s * 1e9)
        rig.account.pull.on_trade_lost()
        await until(lambda: any(at_s > lost_s + 0.4 for at_s in rig.calls.pulls))
        await rig.account.pull.close()

    run(work)


def test_pull_begins_again_when_the_core_tells_of_an_order() -> None:
    async def work() -> None:
        rig = Rig(is_up=False)
        rig.account.pull.on_trade_lost()
        await until(lambda: bool(rig.calls.pulls))
        await asyncio.sleep(0.2)
        assert len(rig.calls.pulls) == 1, "proved, and nothing new"
        rig.desk.start()  # quotes
        await until(lambda: len(rig.calls.pulls) == 2)
        await rig.account.pull.close()

    run(work)


def test_pull_is_of_many_instruments_at_once() -> None:
    async def work() -> None:
        rig = Rig(is_up=False, count=8)
        assert await rig.account.pull.all()
        assert len(rig.calls.pulls) == 8
        assert rig.calls.together_most == 8, "one waited for another's answer"

    run(work)


def test_pull_begins_when_trade_does_not_answer_and_goes_on_when_it_is_lost() -> None:
    """Half open it is "up" for seconds, and what rests is at risk as long."""

    async def work() -> None:
        rig = Rig()
        rig.account.pull.on_trade_doubt()
        await until(lambda: len(rig.calls.pulls) == 1)
        rig.account.is_trade_up = rig.account.is_private_up = False
        rig.account.pull.on_trade_lost()  # one is at work
        await until(lambda: len(rig.calls.pulls) == 2)
        await rig.account.pull.close()

    run(work)


def deaf_rig() -> Rig:
    """USER is lost, TRADE is up; the cores' cancels have had their time."""
    rig = Rig(recv_window_ms=400)
    rig.desk.start()  # quotes, unanswered
    rig.account.user.lost_ns = clock.monotonic_ns()
    rig.account.is_private_up = False
    for instrument in rig.instruments:
        instrument.config.core.budgets.ack_ms_max = 20.0
    return rig


def test_pull_looks_over_rest_while_user_alone_is_lost(monkeypatch: Any) -> None:
    """And again as long as a place may arrive that nobody has answered."""
    monkeypatch.setattr(pull, "PAUSE_S_MAX", 0.05)

    async def work() -> None:
        rig = deaf_rig()
        lost_s = rig.account.user.lost_ns / 1e9
        rig.account.pull.on_user_lost()
        await until(lambda: any(at_s > lost_s + 0.4 for at_s in rig.calls.pulls))
        assert rig.calls.pulls[0] >= lost_s + 0.02
        rig.account.is_private_up = True
        await until(rig.account.pull._task.done)

    run(work)


def test_pull_is_proved_once_when_all_is_answered_and_again_when_trade_goes_too() -> None:
    async def work() -> None:
        rig = deaf_rig()
        rig.acknowledge()
        rig.account.pull.on_user_lost()
        await until(lambda: bool(rig.calls.pulls))
        await asyncio.sleep(0.2)
        assert len(rig.calls.pulls) == 1, "proved, and nothing new"
        rig.account.is_trade_up = False
        rig.account.trade_lost_ns = clock.monotonic_ns()
        rig.account.pull.on_trade_lost()
        await until(lambda: len(rig.calls.pulls) > 1)
        await rig.account.pull.close()

    run(work)


def test_pull_leaves_a_short_loss_of_user_to_the_reconciliation() -> None:
    async def work() -> None:
        rig = deaf_rig()
        rig.account.pull.on_user_lost()
        rig.account.is_private_up = True
        await until(rig.account.pull._task.done)
        assert not rig.calls.pulls

    run(work)


def test_round_with_something_on_its_way_asks_whether_trade_lives() -> None:
    async def work() -> None:
        rig = Rig(recv_window_ms=50)
        await rig.account.pull.nothing_on_its_way(rig.instruments)
        assert not rig.events
        rig.desk.start()  # quotes without an answer
        await rig.account.pull.nothing_on_its_way(rig.instruments)
        assert rig.events == [("suspect", None)]

    run(work)
