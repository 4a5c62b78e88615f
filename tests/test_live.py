"""Engines of several instruments, accounts and venues, as one process runs them."""

from pathlib import Path

from support_live import Desk, Exchange, desk, exchanges, written
from support_session import run

from engine.errors import EXIT_OK

USDM, BYBIT = "local_binance_usdm.toml", "local_bybit.toml"


def check_books(made: Desk, at: int, exchange: Exchange, key: str) -> None:
    """The core believes exactly what happened at the exchange."""
    fills, numbers = exchange.core.fills_of(0, key), made.numbers(at)
    assert numbers["fills"] == len(fills)
    assert numbers["position_lots"] == exchange.position_lots(key)
    assert numbers["strangers"] == numbers["malformed"] == 0


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
