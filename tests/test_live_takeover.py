"""What a run does about the one before it, and about a start that failed: sessions at local
exchanges."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support_live import Exchange, desk, exchanges, written
from support_session import run

from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_UNSAFE, TickmakerError
from engine.live import startup, takeover
from engine.live.reconciler import Reconciler
from engine.live.startup import StartUp
from engine.live.takeover import recv_window_ms, wait_s
from engine.recorder.opening import opening_of
from fastcore.types import Side

USDM, SPOT, BYBIT = "local_binance_usdm.toml", "local_binance_spot.toml", "local_bybit.toml"
S_NS = 10**9
NO_WAY = "a drill"
RICH = {"exposure_e8_max": "200_000_000_000_000", "position_lots_max": "20_000_000",
        "exposure_max": "20_000_000_000_000"}  # fmt: skip


# -- WHAT IS STILL ON ITS WAY ---


@pytest.mark.parametrize(
    ("in_order", "now_s", "wanted_s"),
    [(True, 100, 0.0), (False, 100, 5.0), (False, 103, 2.0), (False, 106, 0.0), (False, 0, 5.0)],
)
def test_orders_of_a_killed_run_are_waited_out(
    in_order: bool, now_s: int, wanted_s: float
) -> None:
    before: Any = SimpleNamespace(ended_in_order=in_order, end_ns=100 * S_NS)
    assert wait_s(before, now_s * S_NS, 5_000) == wanted_s
    assert wait_s(None, now_s * S_NS, 5_000) == 0.0


def test_window_is_the_longer_one_of_both_runs(tmp_path: Path) -> None:
    assert recv_window_ms(tmp_path, "a", 1_000) == 1_000
    rows = [{"name": "a", "recv_window_ms": 5_000}, {"name": "b", "recv_window_ms": 9_000}]
    (tmp_path / "config.json").write_text(json.dumps({"accounts": rows}))
    assert recv_window_ms(tmp_path, "a", 1_000) == 5_000
    assert recv_window_ms(tmp_path, "a", 7_000) == 7_000
    for odd, told_ms in (("Infinity", 1_000), ("99999999999", 60_000), ("[" * 100_000, 1_000)):
        text = json.dumps({"accounts": rows}).replace("5000", odd)
        (tmp_path / "config.json").write_text(text)
        assert recv_window_ms(tmp_path, "a", 1_000) == told_ms


def test_start_after_a_kill_waits_before_it_cancels_and_another_does_not(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            for tag, is_waited in (("0a1b2c3d", False), ("0b1b2c3d", True), ("0c1b2c3d", False)):
                async with desk(path, tmp_path / tag, run_tag=tag) as made:
                    await made.quoting()
                    steps = [step["name"] for step in made.heard.of("step")]
                    wait = "orders of the run before can't arrive any more"
                    assert (wait in steps) is is_waited
                    if is_waited:
                        assert steps.index(wait) < steps.index("leftover orders cancelled")
                    if tag == "0a1b2c3d":
                        await made.crash()
                    else:
                        assert await made.stop() == EXIT_OK

    run(work)


# -- INSTRUMENTS THAT NOBODY NAMES ANY MORE ---


def test_start_that_is_stopped_early_waits_for_them_before_its_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that nothing was open, and then an order of the killed run came."""
    monkeypatch.setattr(takeover, "wait_s", lambda before, *_: 0.0 if before is None else 1.0)

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            async with desk(path, tmp_path / "one", run_tag="0a1b2c3d") as made:
                await made.quoting()
                prefix = made.instruments[0].core.client_prefix
                await made.crash()
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as made:
                await made.until(lambda: any(
                    step["name"] == "USER connection up" for step in made.heard.of("step")))
                stopping = asyncio.create_task(made.stop())
                await made.until(lambda: made.session.stage.stopping.is_set())
                await asyncio.sleep(0.3)
                calls, traded = made.account.calls, made.instruments[0].traded
                await made.account.rest.call(made.account.adapter.place(
                    traded, f"{prefix}{99:012x}", Side.BUY, 500_000, 10, is_ioc=False,
                    is_reduce_only=False,
                ))  # fmt: skip
                assert await calls.open_orders(traded)
                assert await stopping == EXIT_OK
                assert made.heard.of("stopped")[0]["open_orders_at_venue"] == 0
                assert not usdm.core.open_orders(0, "BTCUSDT")

    run(work)


def test_orders_in_an_instrument_that_was_dropped_are_cancelled(tmp_path: Path) -> None:
    async def work() -> None:
        bybit = Exchange("bybit", ["linear/BTCUSDT", "spot/BTCUSDT"])
        async with exchanges(tmp_path, bybit):
            path = written(tmp_path, BYBIT, **RICH)
            async with desk(path, tmp_path / "one") as first:
                await first.until(lambda: bybit.core.open_orders(0, "linear/BTCUSDT"))
                # Its own quotes may be filled by and by: one far from the market.
                account = first.account
                await account.rest.call(account.adapter.place(
                    first.instruments[0].traded, "tm0a1b2c3d-01-0000000000aa", Side.BUY,
                    first.numbers()["bid_px_ticks"] - 3_000, 10, is_ioc=False,
                    is_reduce_only=False,
                ))  # fmt: skip
                await first.crash()
            assert bybit.core.open_orders(0, "linear/BTCUSDT")
            head, linear, spot = path.read_text().split("[[instrument]]")
            assert '"linear"' in linear
            path.write_text(f"{head}[[instrument]]{spot}")
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.until(lambda: second.heard.of("started"))
                assert not bybit.core.open_orders(0, "linear/BTCUSDT")
                assert any("is not in the configuration any more" in told["what"]
                           for told in second.heard.of("warning"))  # fmt: skip
                assert await second.stop() == EXIT_OK

    run(work)


# -- A START THAT FAILED ---


def test_engine_that_was_refused_says_nothing_of_orders_that_it_never_asked_for(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM)
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                    assert await second.task == EXIT_UNSAFE
                    assert second.heard.of("stopped")[0]["open_orders_at_venue"] is None
                assert await first.stop() == EXIT_OK

    run(work)


def test_start_that_failed_leaves_the_position_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was adopted, not traded; the policy for shutdowns is for what traded."""

    def refuse(_: object) -> None:
        raise TickmakerError(NO_WAY, "")

    monkeypatch.setattr(startup, "check_size", refuse)

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            usdm.core.accounts[0].position("BTCUSDT").lots = 7
            path = written(tmp_path, USDM, at_shutdown='"flatten"')
            async with desk(path, tmp_path / "one") as made:
                assert await made.task == EXIT_FAILED
                assert made.heard.of("adopted")
                assert not made.heard.of("router")
                assert usdm.core.accounts[0].position("BTCUSDT").lots == 7
                assert made.heard.of("stopped")[0]["open_orders_at_venue"] == 0

    run(work)


def test_start_that_failed_before_its_opening_does_not_read_trades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[object] = []

    async def refuse(*_: object) -> None:
        raise TickmakerError(NO_WAY, "")

    async def counted(*told: object, **_: object) -> list[object]:
        rounds.append(told)
        return []

    monkeypatch.setattr(StartUp, "_open", refuse)
    monkeypatch.setattr(Reconciler, "round", cast(Any, counted))

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with (
            exchanges(tmp_path, usdm),
            desk(written(tmp_path, USDM), tmp_path / "one") as made,
        ):
            assert await made.task == EXIT_FAILED
            assert made.heard.of("error")[0]["what"] == f"account usdm: {NO_WAY}"
            assert not rounds

    run(work)


def test_run_that_never_agreed_says_since_when_trades_may_be_missing(tmp_path: Path) -> None:
    """And no more once it does."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path, state = written(tmp_path, USDM), tmp_path / "state" / "usdm.json"
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                assert await first.stop() == EXIT_OK
            assert json.loads(state.read_text())["unread"] == {}
            usdm.core.accounts[0].position("BTCUSDT").lots += 5  # no trade says why
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.until(lambda: second.heard.of("started"))
                told = json.loads(state.read_text())
                assert told["run_dir"].endswith("two")
                assert told["unread"] == {
                    second.instruments[0].key: second.instruments[0].since_ns
                }
                await second.crash()
            async with desk(path, tmp_path / "three", run_tag="0c1b2c3d") as third:
                await third.until(lambda: third.heard.of("divergence"))
                assert third.instruments[0].since_ns <= min(told["unread"].values())
                usdm.core.accounts[0].position("BTCUSDT").lots -= 5  # now it is explained
                await third.quoting()
                assert json.loads(state.read_text())["unread"] == {}
                assert await third.stop() == EXIT_OK

    run(work)


def test_what_is_unread_of_a_dropped_instrument_stays_so_until_it_is_named_again(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        bybit = Exchange("bybit", ["linear/BTCUSDT", "spot/BTCUSDT"])
        async with exchanges(tmp_path, bybit):
            path, state = written(tmp_path, BYBIT, **RICH), tmp_path / "state" / "bybit.json"
            both = path.read_text()
            head, _, spot = both.split("[[instrument]]")
            async with desk(path, tmp_path / "one") as first:
                await first.quoting()
                assert await first.stop() == EXIT_OK
            bybit.core.accounts[0].position("linear/BTCUSDT").lots += 5  # no trade says why
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as second:
                await second.until(lambda: second.heard.of("started"))
                unread = json.loads(state.read_text())["unread"]
                assert list(unread) == [second.instruments[0].key]
                await second.crash()
            path.write_text(f"{head}[[instrument]]{spot}")
            async with desk(path, tmp_path / "three", run_tag="0c1b2c3d") as third:
                await third.quoting()
                assert json.loads(state.read_text())["unread"] == unread
                assert await third.stop() == EXIT_OK
            path.write_text(both)
            async with desk(path, tmp_path / "four", run_tag="0d1b2c3d") as fourth:
                await fourth.until(lambda: fourth.heard.of("started"))
                (since_ns,) = unread.values()
                assert fourth.instruments[0].since_ns <= since_ns
                bybit.core.accounts[0].position("linear/BTCUSDT").lots -= 5
                await fourth.quoting()
                assert json.loads(state.read_text())["unread"] == {}
                assert await fourth.stop() == EXIT_OK

    run(work)


# -- WHAT A SPOT WALLET HOLDS ---


def test_dust_of_a_wallet_is_carried_into_the_next_run(tmp_path: Path) -> None:
    async def work() -> None:
        spot = Exchange("binance_spot", ["BTCUSDT"])
        async with exchanges(tmp_path, spot):
            path = written(tmp_path, SPOT)
            async with desk(path, tmp_path / "one") as made:
                lot_e8 = 1_000
                spot.core.accounts[0].balances["BTC"] += lot_e8 * 6 // 10
                await made.until(lambda: made.heard.of("started"))
                assert await made.stop() == EXIT_OK
            found = opening_of(tmp_path / "one").instruments["spot.binance_spot.BTCUSDT"]
            assert float(found.lot) == 0.00001
            assert found.carried_e8 == 600

    run(work)


def test_wallet_over_the_limit_is_not_adopted(tmp_path: Path) -> None:
    """It would be sold; a position that a run has traded into is no first start's."""

    async def work() -> None:
        spot = Exchange("binance_spot", ["BTCUSDT"])
        async with exchanges(tmp_path, spot):
            path = written(tmp_path, SPOT, position_lots_max="10_000")
            async with desk(path, tmp_path / "one") as made:
                assert await made.task == EXIT_UNSAFE
                (error,) = made.heard.of("error")
                assert "+1,000,000 lots" in error["what"]
                assert not made.heard.of("adopted")
            path = written(tmp_path, SPOT)
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as made:
                await made.quoting()
                sides = {own["side"] for own in made.numbers()["own"]}
                assert sides == {Side.BUY, Side.SELL}, "what is held is no inventory to get rid of"
                assert await made.stop() == EXIT_OK
            path = written(tmp_path, SPOT, position_lots_max="10_000")
            async with desk(path, tmp_path / "three", run_tag="0c1b2c3d") as made:
                await made.until(lambda: made.heard.of("started"))
                assert await made.stop() == EXIT_OK

    run(work)
