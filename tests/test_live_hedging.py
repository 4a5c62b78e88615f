"""Hedges over real sockets: a maker at one venue, two others to take at, engine and exchanges in
one process. The configuration is deploy/examples/local_hedge.toml."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support_live import Desk, Exchange, desk, exchanges, written
from support_session import run

from engine.errors import EXIT_OK, EXIT_USAGE
from engine.exchange import book
from engine.exchange.commands import Cancel, Place
from engine.exchange.faults_schedule import fault
from engine.exchange.terms import OrderType, Tif
from engine.live import hedging
from engine.report.build import build_report
from fastcore.types import Command, Halt, Side

EXAMPLE = "local_hedge.toml"
MAKER, BYBIT, SPOT = 0, 1, 2  # cores
BYBIT_KEY, SPOT_KEY = "bybit.bybit_linear.BTCUSDT", "spot.binance_spot.BTCUSDT"
FILLED = Decimal("0.01")  # of one quote of the maker's
TARGET, BAND = Decimal(10), Decimal("0.005")
PULSE_S = 0.2
SOMEBODY = 1  # account at the exchanges; the engine's is 0


class Venue:
    """A quiet exchange: its touch stands still, and what moves says that it is alive."""

    def __init__(self, venue: str, key: str) -> None:
        self.exchange, self.key = Exchange(venue, [key], quiet=True), key
        self._names = (f"x{number}" for number in count())

    def place(self, side: Side, px_ticks: int, lots: int, tif: Tif) -> str:
        name = next(self._names)
        self._operate(Place(
            account=SOMEBODY, symbol=self.key, side=book.Side(side), order_type=OrderType.LIMIT,
            tif=tif, qty_lots=lots, px_ticks=px_ticks, client_order_id=name,
        ))  # fmt: skip
        return name

    def pulse(self) -> None:
        bid_px_ticks, *_ = self.exchange.core.markets[self.key].touch()
        name = self.place(Side.BUY, bid_px_ticks - 3, 1_000, Tif.GTC)
        self._operate(Cancel(account=SOMEBODY, symbol=self.key, client_order_id=name))

    def _operate(self, command: Any) -> None:
        server = self.exchange.server
        self.exchange.core.operate(command, server.now_ns())
        server._rearm()

    @property
    def bought(self) -> Decimal:
        """By the engine, as it really happened."""
        lot = self.exchange.core.markets[self.key].instrument.qty.step
        return self.exchange.position_lots(self.key) * lot

    def fail(self, kind: str, **fields: Any) -> None:
        server = self.exchange.server
        server.face.start(fault(kind, **fields), server.now_ns())


class Street:
    def __init__(self) -> None:
        self.usdm = Venue("binance_usdm", "BTCUSDT")
        self.bybit = Venue("bybit", "linear/BTCUSDT")
        self.spot = Venue("binance_spot", "BTCUSDT")

    @property
    def venues(self) -> Iterator[Venue]:
        yield from (self.usdm, self.bybit, self.spot)

    async def live(self) -> None:
        while True:
            for venue in self.venues:
                venue.pulse()
            await asyncio.sleep(PULSE_S)


@asynccontextmanager
async def street(folder: Path) -> AsyncIterator[Street]:
    made = Street()
    async with exchanges(folder, *(venue.exchange for venue in made.venues)):
        pulse = asyncio.create_task(made.live())
        try:
            yield made
        finally:
            pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pulse


def config(folder: Path, dear: int = SPOT) -> Path:
    """The example, with one of its places made dear by its fee."""
    path = written(folder, EXAMPLE, book_age_ms_max="5000")
    text = path.read_text()
    parts = text.split("taker_bp = ")
    bp = {MAKER: "5.0", BYBIT: "5.5", SPOT: "10.0"} | {dear: "99.0"}
    for at in (MAKER, BYBIT, SPOT):
        parts[at + 1] = bp[at] + parts[at + 1][parts[at + 1].index("\n") :]
    path.write_text("taker_bp = ".join(parts))
    return path


async def ready(made: Desk) -> None:
    """All three free, and the maker quotes."""
    await made.until(lambda: made.heard.of("started"))
    await made.until(lambda: not any(made.bits(i) for i in (MAKER, BYBIT, SPOT)))
    await made.until(lambda: len(made.numbers(MAKER)["own"]) == 2)


async def sell_to_us(made: Desk, where: Street) -> None:
    """Somebody lifts our offer: we are short."""
    offers = [own["px_ticks"] for own in made.numbers(MAKER)["own"] if own["side"] == Side.SELL]
    fills = made.numbers(MAKER)["fills"]
    where.usdm.place(Side.BUY, max(offers), 5_000, Tif.IOC)
    await made.until(lambda: made.numbers(MAKER)["fills"] > fills)


def told(made: Desk) -> dict[str, Any]:
    return made.session._hedging.told()["btc"]


def is_hedged(made: Desk) -> bool:
    now = told(made)
    return now["state"] == "HEDGED" and abs(Decimal(now["net"]) - TARGET) <= BAND


def plans(made: Desk) -> list[dict[str, Any]]:
    return [line["plan"] for line in made.heard.of("router")]


@pytest.mark.parametrize(("dear", "cheap"), [(SPOT, BYBIT), (BYBIT, SPOT)])
def test_fill_is_hedged_where_it_costs_least_after_fees(
    tmp_path: Path, dear: int, cheap: int
) -> None:
    async def work() -> None:
        async with street(tmp_path) as s, desk(config(tmp_path, dear), tmp_path / "run") as made:
            await ready(made)
            assert is_hedged(made)
            await sell_to_us(made, s)
            await made.until(lambda: made.numbers(cheap)["fills"] and is_hedged(made))
            venues = {BYBIT: s.bybit, SPOT: s.spot}
            assert venues[cheap].bought == FILLED == -s.usdm.bought
            assert venues[dear].bought == 0
            (plan,) = plans(made)
            key = {BYBIT: BYBIT_KEY, SPOT: SPOT_KEY}[cheap]
            assert (plan["side"], plan["wanted"]) == ("BUY", "0.01")
            assert [part["venue"] for part in plan["slices"]] == [key]
            ((_, payload),) = made.records("HEDGE")
            assert hedging.REASON in struct.unpack(f"<{len(payload) // 4}i", payload)
            page = made.session._page.content()
            assert page["hedges"]["btc"]["state"] == "HEDGED"
            assert await made.stop() == EXIT_OK, made.heard.of("error")
            lines = [json.loads(line) for line in
                     (tmp_path / "run" / "events.jsonl").read_text().splitlines()]  # fmt: skip
            (logged,) = [line for line in lines if line["kind"] == "router"]
            assert (logged["hedge"], logged["plan"]) == ("btc", plan)
            assert not [line for line in made.heard.of("warning") if "hedge" in line]
            (row,) = build_report(tmp_path / "run")["what_happened"]["taken"]
            assert (row["why"], row["side"], row["wanted"]) == ("hedge btc", "BUY", "0.01")
            assert row["position"].startswith("9.99")
            assert key in row["plan"]
            assert "hedge btc" in (tmp_path / "run" / "report.html").read_text()

    run(work)


def test_halted_place_gives_way_to_the_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with street(tmp_path) as s, desk(config(tmp_path), tmp_path / "run") as made:
            await ready(made)
            made.session.stage.hot.command(BYBIT, Command.HALT)
            await sell_to_us(made, s)
            await made.until(lambda: made.numbers(SPOT)["fills"] and is_hedged(made))
            assert (s.bybit.bought, s.spot.bought) == (0, FILLED)
            assert plans(made)[0]["why_not"][BYBIT_KEY] == "halted: OPERATOR"
            assert await made.stop() == EXIT_OK

    run(work)


@pytest.mark.parametrize("is_done", [True, False])
def test_order_without_an_answer_is_not_taken_twice(tmp_path: Path, is_done: bool) -> None:
    """Neither answer nor fill is told for a while: the order counts in full until it is known, and
    only if it never was there is the same taken again."""

    async def work() -> None:
        async with street(tmp_path) as s, desk(config(tmp_path), tmp_path / "run") as made:
            await ready(made)
            lost = {"via": "ws", "match": "order.create", "for": "3s"}
            if is_done:
                s.bybit.fail("ack_lost", **lost)
                s.bybit.fail("drop", conn="user", **{"for": "3s"})
            else:
                s.bybit.fail("timeout", effect=False, **lost)
            await sell_to_us(made, s)
            await made.until(lambda: made.numbers(BYBIT)["own"])
            await made.until(lambda: made.bits(BYBIT) & Halt.RECONCILING, 30)
            assert len(plans(made)) == 1
            assert s.spot.bought == 0
            await made.until(lambda: not made.numbers(BYBIT)["own"] and is_hedged(made), 30)
            assert s.bybit.bought + s.spot.bought == FILLED
            assert len(plans(made)) == (1 if is_done else 2)
            assert await made.stop() == EXIT_OK
            assert not made.heard.of("divergence")

    run(work)


def test_next_run_hedges_what_the_last_one_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No place can be taken at: a warning says why; the run is stopped, or killed; the next one
    knows the position and goes on."""
    monkeypatch.setattr(hedging, "WARN_NS", 100_000_000)

    async def work() -> None:
        async with street(tmp_path) as s:
            path = config(tmp_path)
            async with desk(path, tmp_path / "one") as made:
                await ready(made)
                for core in (BYBIT, SPOT):
                    made.session.stage.hot.command(core, Command.HALT)
                await sell_to_us(made, s)
                await made.until(lambda: any("hedge" in w for w in made.heard.of("warning")))
                (warning,) = [w for w in made.heard.of("warning") if "hedge" in w]
                assert f"{BYBIT_KEY}: halted: OPERATOR" in warning["what"]
                assert f"{SPOT_KEY}: halted: OPERATOR" in warning["what"]
                assert told(made)["state"] == "OPEN"
                assert await made.stop() == EXIT_OK
                assert "ends with 9.99" in made.heard.of("warning")[-1]["what"]
                assert not plans(made)
            async with desk(path, tmp_path / "two", run_tag="0b1b2c3d") as made:
                await made.until(lambda: made.heard.of("started"))
                await made.until(lambda: s.bybit.bought and is_hedged(made))
                assert s.bybit.bought == -s.usdm.bought == FILLED
                await ready(made)
                for core in (BYBIT, SPOT):
                    made.session.stage.hot.command(core, Command.HALT)
                await sell_to_us(made, s)
                await made.crash()
            async with desk(path, tmp_path / "three", run_tag="0c1b2c3d") as made:
                await made.until(lambda: made.heard.of("started"))
                await made.until(lambda: s.bybit.bought == -s.usdm.bought and is_hedged(made))
                assert await made.stop() == EXIT_OK
                assert s.bybit.bought == 2 * FILLED

    run(work)


def test_hedge_that_can_not_be_kept_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def work() -> None:
        async with street(tmp_path):
            path = config(tmp_path)
            path.write_text(path.read_text().replace('band = "0.005"', 'band = "0.000001"'))
            async with desk(path, tmp_path / "run") as made:
                assert await made.task == EXIT_USAGE
                (error,) = made.heard.of("error")
                assert "hedge btc: between to and band are 0.000001" in error["what"]

    run(work)
