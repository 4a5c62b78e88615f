"""Engines of several instruments, accounts and venues, as one process runs them."""

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from support_live import Exchange, by_hand, check_books, desk, exchanges, written
from support_session import run

from engine.errors import EXIT_OK, EXIT_UNSAFE, TickmakerError
from engine.exchange.commands import SetState
from engine.exchange.terms import MarketState
from engine.live.control import ask
from engine.live.reconciler import ROUNDS_TO_TELL
from fastcore.types import Command, Halt, Side

USDM, BYBIT = "local_binance_usdm.toml", "local_bybit.toml"


# -- SEVERAL INSTRUMENTS, SEVERAL VENUES ---


def test_two_venues_and_three_instruments_quote_in_one_process(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT", "ETHUSDT"])
        bybit = Exchange("bybit", ["linear/BTCUSDT"])
        path = None
        async with exchanges(tmp_path, usdm, bybit):
            path = written(tmp_path, "local_two_venues.toml")
            async with desk(path, tmp_path / "run") as made:
                await made.quoting()
                assert [i.key for i in made.instruments] == [
                    "usdm.binance_usdm.BTCUSDT", "usdm.binance_usdm.ETHUSDT",
                    "bybit.bybit_linear.BTCUSDT",
                ]  # fmt: skip
                await made.until(lambda: all(made.numbers(i)["fills"] for i in range(3)))
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                check_books(made, 0, usdm, "BTCUSDT")
                check_books(made, 1, usdm, "ETHUSDT")
                check_books(made, 2, bybit, "linear/BTCUSDT")
                (stopped,) = made.heard.of("stopped")
                assert stopped["open_orders_at_venue"] == 0
                assert not made.heard.of("divergence")

    run(work)


def test_spot_quotes_and_stops(tmp_path: Path) -> None:
    async def work() -> None:
        spot = Exchange("binance_spot", ["BTCUSDT"])
        async with exchanges(tmp_path, spot):
            path = written(tmp_path, "local_binance_spot.toml")
            async with desk(path, tmp_path / "run") as made:
                await made.quoting()
                await made.until(lambda: made.numbers()["fills"])
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                (stopped,) = made.heard.of("stopped")
                assert stopped["open_orders_at_venue"] == 0
                assert len(spot.core.fills_of(0, "BTCUSDT")) == made.numbers()["fills"]

    run(work)


# -- FROM ONE RUN TO THE NEXT ---


def test_crashed_run_is_taken_over_order_by_order_and_fill_by_fill(tmp_path: Path) -> None:
    """Quotes are left, a stranger trades while nobody is there, and the second run knows all."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                touch_px = first.numbers()["ask_px_ticks"]
                await by_hand(first, Side.BUY, 7, px_ticks=touch_px + 50)
                await first.until(lambda: first.numbers()["position_lots"] == 7)
                await first.until(lambda: not first.bits() and first.numbers()["own"])
                await first.crash()
                assert usdm.core.open_orders(0, "BTCUSDT")
                leftover = {order.client_order_id for order in usdm.core.open_orders(0, "BTCUSDT")}
                await first.account.rest.open()
                await by_hand(first, Side.SELL, 2, px_ticks=touch_px - 500, client_id="hand-2")
                await first.account.rest.close()
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.quoting()
                names = [step["name"] for step in second.heard.of("step")]
                assert "run before this one read (one)" in names
                opening = second.records("OPENING")
                assert [int.from_bytes(payload, "little") for _, payload in opening] == [7]
                booked = second.heard.of("fill_recovered")
                # What we left may have been taken meanwhile, too.
                theirs = [fill["side"] for fill in booked if fill["owner"] == "stranger"]
                assert theirs == ["SELL"]
                assert second.numbers()["position_lots"] == usdm.position_lots("BTCUSDT")
                still = {order.client_order_id for order in usdm.core.open_orders(0, "BTCUSDT")}
                assert not leftover & still
                assert await second.stop() == EXIT_OK
                assert not second.heard.of("divergence")
                assert not usdm.core.open_orders(0, "BTCUSDT")

    run(work)


def test_second_engine_of_an_account_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                    assert await second.task == EXIT_UNSAFE
                    (error,) = second.heard.of("error")
                    assert "is traded by another engine" in error["what"]
                assert not first.task.done()
                assert await first.stop() == EXIT_OK

    run(work)


def test_position_that_no_trade_explains_is_halted_and_told(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                assert await first.stop() == EXIT_OK
            usdm.core.accounts[0].position("BTCUSDT").lots += 5  # no trade says why
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.until(lambda: second.heard.of("started"))
                (told,) = second.heard.of("divergence")
                assert "+5 are unexplained" in told["what"]
                assert "usdm.json" in told["remedy"]
                assert second.bits() & Halt.RECONCILING
                assert not usdm.core.open_orders(0, "BTCUSDT")
                usdm.core.accounts[0].position("BTCUSDT").lots -= 5  # now it is explained
                await second.quoting()
                assert await second.stop() == EXIT_OK

    run(work)


def test_lost_state_file_is_no_first_start(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            (tmp_path / "state").mkdir()
            (tmp_path / "state" / "usdm.json").write_text("{")
            async with desk(path, tmp_path / "one") as first:
                assert await first.task == EXIT_UNSAFE
                (error,) = first.heard.of("error")
                assert "usdm.json can't be read" in error["what"]

    run(work)


# -- WHILE IT TRADES ---


def test_trades_by_hand_are_booked_and_quoting_goes_on(tmp_path: Path) -> None:
    """As ccxt would: the same key, orders of their own, at the engine's side."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0", strangers='"leave"')
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                for number in range(3):
                    ask_px = made.numbers()["ask_px_ticks"]
                    held = usdm.position_lots("BTCUSDT")
                    await by_hand(made, Side.BUY, 3, px_ticks=ask_px + 50,
                                  client_id=f"hand-{number}")  # fmt: skip
                    await by_hand(made, Side.BUY, 1, px_ticks=ask_px - 900,
                                  client_id=f"rest-{number}", is_ioc=False)  # fmt: skip
                    await made.until(lambda held=held: made.numbers()["position_lots"] > held)
                    await made.quoting()
                resting = [o.client_order_id for o in usdm.core.open_orders(0, "BTCUSDT")]
                assert {"rest-0", "rest-1", "rest-2"} <= set(resting)
                assert made.numbers()["position_lots"] == usdm.position_lots("BTCUSDT") >= 9
                assert await made.stop() == EXIT_OK
                assert not made.heard.of("divergence")
                left = [order.client_order_id for order in usdm.core.open_orders(0, "BTCUSDT")]
                assert sorted(left) == ["rest-0", "rest-1", "rest-2"]

    run(work)


@pytest.mark.parametrize("is_on_stream", [True, False])
def test_strangers_fill_halts_until_a_person_resumes(tmp_path: Path, is_on_stream: bool) -> None:
    """Whoever told of it: the stream books it before any question can find it missing."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0", strangers='"halt"')
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                if not is_on_stream:
                    made.account.user.drop("a drill")
                await by_hand(made, Side.BUY, 3, px_ticks=made.numbers()["ask_px_ticks"] + 50)
                await made.until(lambda: made.heard.of("divergence"))
                (told,) = made.heard.of("divergence")
                assert "a stranger traded on the account" in told["what"]
                await made.until(lambda: made.bits() == Halt.OPERATOR)
                assert made.numbers()["position_lots"] == usdm.position_lots("BTCUSDT")
                made.session.stage.hot.command(0, Command.RESUME)
                await made.quoting()
                assert await made.stop() == EXIT_OK

    run(work)


def test_one_reading_that_nothing_explains_is_not_told(tmp_path: Path) -> None:
    """A fill between the trades' and the position's question looks the same."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                account = made.account
                asked, held = account.calls.positions, usdm.core.accounts[0].position("BTCUSDT")
                left = ROUNDS_TO_TELL - 1

                async def positions() -> object:
                    nonlocal left
                    held.lots += 5 * (left > 0)
                    rows = await asked()
                    held.lots -= 5 * (left > 0)
                    left -= 1
                    return rows

                account.calls.positions = positions
                made.session.stage.hot.account(0, made.numbers()["position_lots"], 1)
                await made.until(lambda: made.heard.of("reconciled"))
                (told,) = made.heard.of("reconciled")
                assert told["rounds"] == ROUNDS_TO_TELL
                assert not made.heard.of("divergence")
                assert await made.stop() == EXIT_OK

    run(work)


def test_comparison_doubts_only_what_differs_twice(tmp_path: Path) -> None:
    """Once is a fill on its way; twice is a divergence, until it is explained."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                reconciler = made.account.reconciler
                for _ in range(2):
                    await reconciler.compare()
                assert not made.heard.of("doubt")
                held = usdm.core.accounts[0].position("BTCUSDT")
                held.lots += 5
                await reconciler.compare()
                assert not made.heard.of("doubt")
                assert not made.bits() & Halt.RECONCILING
                await reconciler.compare()
                (doubt,) = made.heard.of("doubt")
                assert "+5 are unexplained" in doubt["what"]
                assert made.bits() & Halt.RECONCILING
                await made.until(lambda: made.heard.of("divergence"))
                held.lots -= 5
                await made.quoting()
                assert await made.stop() == EXIT_OK

    run(work)


def test_instrument_that_stops_trading_is_not_quoted(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with (
            exchanges(tmp_path, usdm),
            desk(written(tmp_path, USDM), tmp_path / "one") as made,
        ):
            await made.quoting()
            await made.account.watch.look()
            assert not made.bits() & Halt.VENUE
            now_ns = usdm.server.now_ns()
            usdm.core.operate(SetState("BTCUSDT", MarketState.HALTED), now_ns)
            await made.account.watch.look()
            assert made.bits() & Halt.VENUE
            assert await made.stop() == EXIT_OK

    run(work)


# -- WHAT A PERSON SAYS ---


def test_operator_halts_resumes_and_sets_parameters(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path, run_dir = written(tmp_path, USDM), tmp_path / "one"
            async with desk(path, run_dir) as made:
                await made.quoting()
                assert (run_dir / "control.sock").stat().st_mode & 0o777 == 0o600

                async def said(**request: Any) -> dict[str, Any]:
                    return await asyncio.to_thread(ask, run_dir, request)

                await said(do="halt")
                assert made.bits() & Halt.OPERATOR
                await made.until(lambda: not usdm.core.open_orders(0, "BTCUSDT"))
                answer = await said(do="params", set={"half_spread_ticks": 7})
                assert answer["params"]["half_spread_ticks"] == 7.0
                with pytest.raises(TickmakerError, match="half_spred_ticks") as caught:
                    await said(do="params", set={"half_spred_ticks": 8})
                assert caught.value.remedy == "did you mean half_spread_ticks?"
                await said(do="resume", instrument="BTCUSDT")
                await made.quoting()
                status = (await said(do="status"))["status"]
                assert status["instruments"]["usdm.binance_usdm.BTCUSDT"]["params"][
                    "half_spread_ticks"] == 7.0  # fmt: skip
                await said(do="stop")
                assert await made.task == EXIT_OK
                (values,) = [payload for _, payload in made.records("PARAMS")]
                assert struct.pack("<d", 7.0) in values
            assert not (run_dir / "control.sock").exists()

    run(work)


# -- POSITIONS AT THE END ---


def test_positions_are_flattened_at_shutdown_where_that_is_wanted(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, at_shutdown='"flatten"', half_spread_ticks="20.0")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                ask_px = made.numbers()["ask_px_ticks"]
                await by_hand(made, Side.BUY, 60, px_ticks=ask_px + 90)
                await made.until(lambda: made.numbers()["position_lots"] >= 50)
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                assert usdm.position_lots("BTCUSDT") == 0
                assert made.numbers()["position_lots"] == 0
                (plan, *_) = made.heard.of("router")
                assert plan["plan"]["slices"]
                assert not usdm.core.open_orders(0, "BTCUSDT")

    run(work)
