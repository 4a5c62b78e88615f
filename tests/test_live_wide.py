"""Whole sessions of more than the plain kind: encrypted, two feeds, two categories of one symbol,
one account's budget over several cores, and the weight that books take."""

import asyncio
import re
import time
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support_live import Desk, Exchange, desk, exchanges, written
from support_session import run

from engine import clock
from engine.config import EngineConfig
from engine.errors import EXIT_OK
from engine.execution.planner import among
from engine.gateway.budget import SNAPSHOT_SHARE, Budget
from engine.gateway.market import LEVELS_KNOWN, Snapshots
from engine.gateway.rest import VenueError
from engine.live.facts import _set_up, step_s
from engine.live.startup import _books_s
from engine.venues import adapter as adapter_of
from engine.venues.base import AccountFacts, Failure, Instrument, Wanted
from fastcore.types import Command, Halt, Side

USDM, SPOT, BYBIT = "local_binance_usdm.toml", "local_binance_spot.toml", "local_bybit.toml"
TWO = "local_two_venues.toml"
VENUES = {
    "binance_usdm": (USDM, ["BTCUSDT"]), "binance_spot": (SPOT, ["BTCUSDT"]),
    "bybit": (BYBIT, ["linear/BTCUSDT", "spot/BTCUSDT"]),
}  # fmt: skip


def check_books(made: Desk, at: int, exchange: Exchange, key: str) -> None:
    """Fills of the core are those of the exchange, and what it began with comes on top."""
    numbers = made.numbers(at)
    assert numbers["fills"] == len(exchange.core.fills_of(0, key))
    assert numbers["position_lots"] - numbers["opening_lots"] == exchange.position_lots(key)
    assert numbers["strangers"] == numbers["malformed"] == 0


# The local exchange's accounts hold ten coins, and what is held counts as exposure.
RICH = {"exposure_e8_max": "200_000_000_000_000", "position_lots_max": "20_000_000",
        "exposure_max": "20_000_000_000_000"}  # fmt: skip


# -- ENCRYPTED ---


@pytest.mark.parametrize("venue", list(VENUES))
def test_session_over_https_and_wss_trusts_the_file_that_it_is_told(
    tmp_path: Path, venue: str
) -> None:
    example, keys = VENUES[venue]

    async def work() -> None:
        exchange = Exchange(venue, keys, tls_folder=tmp_path)
        async with exchanges(tmp_path, exchange):
            assert exchange.server.rest_url.startswith("https://")
            path = written(tmp_path, example, **(RICH if venue == "bybit" else {}))
            async with desk(path, tmp_path / "one") as made:
                await made.until(lambda: made.heard.of("quoting"))
                await made.until(lambda: made.numbers()["fills"])
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                for at, key in enumerate(keys):
                    check_books(made, at, exchange, key)
                assert made.heard.of("stopped")[0]["open_orders_at_venue"] == 0
                assert not made.heard.of("divergence")

    run(work)


# -- TWO CATEGORIES OF ONE SYMBOL ---


async def by_hand(made: Desk, at: int, lots: int) -> None:
    """Somebody buys with the account's own key."""
    numbers, account = made.numbers(at), made.account
    await account.rest.call(account.adapter.place(
        made.instruments[at].traded, f"hand-{time.monotonic_ns()}", Side.BUY,
        numbers["ask_px_ticks"] + 100, lots, is_ioc=True, is_reduce_only=False,
    ))  # fmt: skip


async def free(made: Desk) -> None:
    """Both may quote; that both do at one moment is more than Bybit's ten messages a second
    leave."""
    await made.until(lambda: made.heard.of("started") and not any(map(made.bits, (0, 1))))


def test_linear_and_spot_of_one_symbol_are_two_positions(tmp_path: Path) -> None:
    """Over two lives: each begins with what its own category holds."""

    async def work() -> None:
        bybit = Exchange("bybit", ["linear/BTCUSDT", "spot/BTCUSDT"])
        async with exchanges(tmp_path, bybit):
            path = written(tmp_path, BYBIT, **RICH)
            held: list[int] = []
            for tag in ("0a1b2c3d", "0b1b2c3d"):
                async with desk(path, tmp_path / tag, run_tag=tag) as made:
                    for at, lots in ((0, 20), (1, 20_000)):
                        await free(made)
                        fills = made.numbers(at)["fills"]
                        await by_hand(made, at, lots)
                        while made.numbers(at)["fills"] == fills:
                            await made.until(lambda: True)
                            await asyncio.sleep(0.01)
                    await free(made)
                    await made.account.reconciler.compare()
                    assert await made.stop() == EXIT_OK, made.heard.of("error")
                    assert not made.heard.of("divergence")
                    assert not made.heard.of("doubt")
                    now = [made.numbers(at)["position_lots"] for at in (0, 1)]
                    opening = [made.numbers(at)["opening_lots"] for at in (0, 1)]
                    if held:
                        assert opening[0] == held[0]
                        assert opening[1] == held[1]  # less than bought: fees were taken of it
                    held = [now[0], bybit.core.accounts[0].balance_e8("BTC") // 100]
                    assert now[0] == bybit.position_lots("linear/BTCUSDT")
                    assert now[1] > 1_000_000 > abs(now[0])  # ten coins of the account's purse

    run(work)


# -- TWO FEEDS ---


def test_second_feed_carries_on_when_the_first_is_cut(tmp_path: Path) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with exchanges(tmp_path, usdm):
            path = written(tmp_path, USDM, feeds="2")
            async with desk(path, tmp_path / "one") as made:
                await made.quoting()
                (market,) = made.account.markets
                await made.until(lambda: len(market.open_slots) == 2)
                seen = made.numbers()["events"]
                seen_bits: set[Halt] = set()
                for slot in (0, 1):
                    await made.until(lambda: len(market.open_slots) == 2)
                    market.drop_slot(slot, "a drill")
                    assert len(market.open_slots) == 1
                    frames = sum(made.numbers()["events"])

                    def has_moved(frames: int = frames) -> bool:
                        seen_bits.add(made.bits())
                        return sum(made.numbers()["events"]) > frames + 20

                    await made.until(has_moved)
                assert sum(made.numbers()["events"]) > sum(seen)
                assert not any(bits & (Halt.BOOK | Halt.LINK) for bits in seen_bits)
                assert await made.stop() == EXIT_OK
                check_books(made, 0, usdm, "BTCUSDT")
                assert made.numbers()["gaps"] == 0
                assert not made.heard.of("divergence")

    run(work)


# -- ONE BUDGET OF SEVERAL CORES ---


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "ACCOUNT_EXPOSURE"),
        # The same for each instrument and their account: one alone never spends all of it.
        ({"orders_per_10s_max": "12"}, "ACCOUNT_RATE"),
    ],
)
def test_account_limit_denies_what_each_instrument_alone_may(
    tmp_path: Path, changes: dict[str, str], code: str
) -> None:
    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT", "ETHUSDT"])
        bybit = Exchange("bybit", ["linear/BTCUSDT"])
        async with exchanges(tmp_path, usdm, bybit):
            path = written(tmp_path, TWO, **changes)
            if not changes:  # of the accounts alone: 1,000 instead of 20,000
                text = path.read_text()
                path.write_text(text.replace("= 2_000_000_000_000", "= 100_000_000_000"))
            async with desk(path, tmp_path / "one") as made:
                await made.until(lambda: made.heard.of("started"))

                def denied(name: str) -> list[int]:
                    return [i.core.stats()["denies"][name] for i in made.instruments[:2]]

                await made.until(lambda: sum(denied(code)))
                assert sum(denied(code.removeprefix("ACCOUNT_"))) == 0
                assert await made.stop() == EXIT_OK
                assert made.heard.of("stopped")[0]["open_orders_at_venue"] == 0

    run(work)


# -- BOOKS OF MANY INSTRUMENTS ---


def snapshot_of(venue: str, count: int) -> tuple[int, int, float]:
    """(levels, weight of one, share of a minute's weight that one each takes)."""
    account: Any = SimpleNamespace(
        venue=venue, rest_url="http://127.0.0.1:1", recv_window_ms=1_000, dead_man_s=0,
        ws_url={},
    )  # fmt: skip
    made = adapter_of(account, "key", "secret")
    traded = cast(Instrument, SimpleNamespace(symbol="BTCUSDT"))
    call = made.snapshot(traded, count)
    assert call is not None
    return int(call.params["limit"]), call.weight, call.weight * count / made.weight_per_min


@pytest.mark.parametrize(
    ("venue", "count", "levels", "weight"),
    [
        ("binance_usdm", 1, 1_000, 20), ("binance_usdm", 30, 1_000, 20),
        ("binance_usdm", 31, 500, 10), ("binance_usdm", 61, 100, 5),
        ("binance_usdm", 200, 50, 2), ("binance_usdm", 1_000, 50, 2),
        ("binance_spot", 30, 1_000, 50), ("binance_spot", 60, 500, 25),
        ("binance_spot", 200, 100, 5),
    ],
)  # fmt: skip
def test_the_more_instruments_the_fewer_levels_a_snapshot_has(
    venue: str, count: int, levels: int, weight: int
) -> None:
    assert snapshot_of(venue, count)[:2] == (levels, weight)
    if count <= 200:
        assert snapshot_of(venue, count)[2] < SNAPSHOT_SHARE  # all at once, within the budget


def test_accounts_at_one_address_share_its_weight() -> None:
    def account(name: str, rest_url: str) -> Any:
        return SimpleNamespace(name=name, venue="binance_usdm", rest_url=rest_url)

    one, two = account("one", "https://a.example/x"), account("two", "https://a.example")
    other = account("other", "https://b.example")
    config = cast(EngineConfig, SimpleNamespace(
        accounts=(one, two, other),
        instruments=[SimpleNamespace(account=name) for name in ("one", "one", "two", "other")],
    ))  # fmt: skip
    assert [among(config, each) for each in (one, two, other)] == [3, 3, 1]


def test_a_start_has_the_time_that_the_weight_of_the_one_before_it_costs() -> None:
    """Binance's weight is the address's, by the minute: of four starts in a minute the fifth
    was refused, "book synced: not done within 24 s"."""
    adapter = adapter_of(cast(Any, SimpleNamespace(
        venue="binance_usdm", rest_url="http://127.0.0.1:1", recv_window_ms=1_000, dead_man_s=0,
        ws_url={},
    )), "key", "secret")  # fmt: skip
    budget = Budget(adapter.weight_per_min)
    account: Any = SimpleNamespace(
        adapter=adapter, rest=SimpleNamespace(budget=budget), among=3,
        instruments=3 * [SimpleNamespace(traded=SimpleNamespace(symbol="BTCUSDT"))],
    )
    at_first = step_s(account), _books_s(account)
    budget.learn(budget.weight_max - 10, clock.monotonic_ns())  # what the answers' headers say
    assert step_s(account) > at_first[0] + 50
    assert _books_s(account) > at_first[1] + 50


def test_a_start_waits_for_what_the_budget_holds_back() -> None:
    tries = []

    class Held:
        async def call(self, call: Any) -> Any:
            tries.append(call)
            if len(tries) == 1:
                failure = Failure(0, 0, "", is_throttled=True, retry_after_s=0.01)
                raise VenueError("held back", "", failure)
            return AccountFacts("one_way", "cross", True)

    adapter = SimpleNamespace(account_facts=lambda: "facts", settings=lambda *_: ())
    account: Any = SimpleNamespace(
        name="held", adapter=adapter, rest=Held(), instruments=(),
        config=SimpleNamespace(wanted=Wanted(None, None, None)),
    )  # fmt: skip
    asyncio.run(_set_up(account))
    assert tries == ["facts", "facts"]


class Books:
    """A hot loop of which a test says how far its books are known."""

    def __init__(self) -> None:
        self.known = True
        self.commands: list[tuple[int, int]] = []

    def core(self, number: int) -> Any:
        def is_known_to(count: int) -> bool:
            assert count == LEVELS_KNOWN
            return self.known

        return SimpleNamespace(is_known_to=is_known_to)

    def command(self, number: int, command: int) -> None:
        self.commands.append((number, command))


def test_book_is_built_anew_when_the_touch_nears_what_its_snapshot_reached() -> None:
    books = Books()
    snapshots = Snapshots(cast(Any, SimpleNamespace(hot=books, rng=Random(1))), 200)
    snapshots.look(7)
    assert not books.commands
    books.known = False
    for _ in range(3):
        snapshots.look(7)
    assert books.commands == [(7, Command.RESYNC)]  # once, and not again at once


def test_shallow_snapshots_make_a_whole_book_and_a_new_one_keeps_it_right(tmp_path: Path) -> None:
    """As if 200 instruments shared the address: 50 levels; then the book is built anew."""

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"])
        async with (
            exchanges(tmp_path, usdm),
            desk(written(tmp_path, USDM), tmp_path / "one") as made,
        ):
            await made.until(lambda: hasattr(made.account, "snapshots"))
            made.account.snapshots._among = 200
            await made.quoting()
            snapshots = [payload for _, payload in made.records("SNAPSHOT")]
            levels = [len(re.findall(rb'\["', payload)) for payload in snapshots]
            assert 2 * LEVELS_KNOWN < max(levels) <= 100
            core = made.instruments[0].core
            assert core.is_known_to(LEVELS_KNOWN)
            assert not core.is_known_to(1_000)
            fetched = made.account.snapshots.fetched
            made.session.stage.hot.command(0, Command.RESYNC)
            assert made.bits() & Halt.BOOK
            await made.until(lambda: made.account.snapshots.fetched > fetched)
            await made.quoting()
            assert await made.stop() == EXIT_OK
            check_books(made, 0, usdm, "BTCUSDT")

    run(work)
