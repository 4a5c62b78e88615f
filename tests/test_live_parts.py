"""Parts of a session that need no exchange: locks, sizes, groups, what is refused."""

import asyncio
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.config import Fees
from engine.errors import EXIT_UNSAFE, TickmakerError
from engine.execution.planner import FEEDS_MAX
from engine.gateway import account_calls
from engine.gateway.account_calls import AccountCalls
from engine.live.account import feed_groups
from engine.live.coins import shared_coins
from engine.live.facts import refuse_production
from engine.live.instrument import JOURNALS_BYTES, MIB, LiveInstrument, segment_bytes
from engine.live.lock import AccountLock, key_mark, same_keys
from engine.live.pull import is_ours
from engine.live.startup import PREVIOUS_MARGIN_NS, StartUp, dust_e8, possible_openings
from engine.live.unfit import of_fees
from engine.recorder.events_log import EventsLog
from engine.venues.base import FeeRates, Instrument, OrderRow, TradeRow
from fastcore.types import FeeAsset, OrderState, Side

HOUR_NS = 3_600 * 10**9


def test_lock_is_one_engines_until_it_is_let_go(tmp_path: Path) -> None:
    first, second = AccountLock(tmp_path, "main"), AccountLock(tmp_path, "main")
    first.take()
    with pytest.raises(TickmakerError, match="traded by another engine") as caught:
        second.take()
    assert caught.value.exit_code == EXIT_UNSAFE
    AccountLock(tmp_path, "other").take()
    first.release()
    second.take()
    second.release()


def test_key_is_one_engines_whatever_the_account_is_called(tmp_path: Path) -> None:
    """Two state folders, two names, one key."""
    locks = tmp_path / "locks"
    mark = key_mark("bybit", "https://api-testnet.bybit.com", "key")
    first = AccountLock(tmp_path / "a", "main", mark, locks)
    second = AccountLock(tmp_path / "b", "other", mark, locks)
    first.take()
    with pytest.raises(TickmakerError, match="traded by another engine"):
        second.take()
    by_name = AccountLock(tmp_path / "b", "other")
    by_name.take()  # the refused one keeps nothing
    by_name.release()
    first.release()
    second.take()
    second.release()
    assert "key" not in mark


def test_key_is_a_venues_and_a_local_exchange_is_a_venue() -> None:
    one = key_mark("bybit", "https://api-demo.bybit.com", "key")
    assert one == key_mark("bybit", "https://api-testnet.bybit.com", "key")
    assert one != key_mark("binance_usdm", "https://api-testnet.bybit.com", "key")
    assert one != key_mark("bybit", "https://api-demo.bybit.com", "another")
    local = [key_mark("bybit", f"http://127.0.0.1:{port}", "key") for port in (7001, 7002)]
    assert local[0] != local[1]
    (problem,) = same_keys({"a": one, "b": local[0], "c": one})
    assert "accounts a and c have the same key" in problem


def spot(base: str, quote: str, venue: str = "binance_spot") -> Instrument:
    return Instrument(venue, base + quote, "0.01", "0.001", Decimal(1), Decimal(9), Decimal(1),
                      base, quote)  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "discount", "coins"),
    [
        (["BTC/USDT", "ETH/USDT"], False, []),
        (["BTC/USDT", "BTC/USDC"], False, ["BTC"]),
        (["BTC/USDT", "ETH/BTC"], None, ["BTC"]),
        (["BTC/USDT", "ETH/USDT", "ETH/BTC"], None, ["BTC", "ETH"]),
        (["BNB/USDT"], None, []),
        (["BNB/USDT"], True, ["BNB"]),
    ],
)
def test_coins_that_two_instruments_count_are_named(
    pairs: list[str], discount: bool | None, coins: list[str]
) -> None:
    traded = {pair: spot(*pair.split("/")) for pair in pairs}
    problems = shared_coins(traded, discount)
    assert len(problems) == len(coins)
    assert all(coin in problem for coin, problem in zip(coins, problems, strict=True))
    futures = {pair: spot(*pair.split("/"), "binance_usdm") for pair in pairs}
    assert shared_coins(futures, discount) == []


@pytest.mark.parametrize(
    ("total_e8", "wanted"), [(500_000, 0), (560_000, 60_000), (499_999, 0), (600_000, 0)]
)
def test_dust_is_what_the_wallet_holds_beside_whole_lots(total_e8: int, wanted: int) -> None:
    made: Any = SimpleNamespace(traded=spot("BTC", "USDT"), place=("binance_spot", "BTCUSDT"))
    assert dust_e8(made, {made.place: 5}, {"BTC": total_e8}) == wanted
    made.traded = spot("BTC", "USDT", "binance_usdm")
    assert dust_e8(made, {made.place: 5}, {"BTC": total_e8}) == 0


def trades_of(*lots: int) -> list[TradeRow]:
    return [
        TradeRow("BTCUSDT", at, at, "", Side.BUY if one > 0 else Side.SELL, 100, abs(one), 0,
                 FeeAsset.QUOTE, True, at, str(at))
        for at, one in enumerate(lots, 1)
    ]  # fmt: skip


def test_possible_openings_are_those_between_two_looks_at_the_trades() -> None:
    every = trades_of(5, -2, 3)
    assert possible_openings(10, [], []) == {10}
    assert possible_openings(10, every[:1], every[:1]) == {5}
    assert possible_openings(10, every[:1], every) == {5, 7, 4}
    assert possible_openings(10, [], every[::-1]) == {10, 5, 7, 4}


class Busy:
    """A venue where somebody buys between any two questions."""

    def __init__(self, opening: int, dice: Random) -> None:
        self.opening, self.dice, self.lots = opening, dice, list[int]()

    def _trade(self) -> None:
        self.lots += [self.dice.choice([1, 2, -1]) for _ in range(self.dice.randrange(1, 4))]

    async def positions(self) -> dict[tuple[str, str], int]:
        self._trade()
        return {("binance_usdm", "BTCUSDT"): self.opening + sum(self.lots)}

    async def trades_since(self, *_: object) -> list[TradeRow]:
        self._trade()
        return trades_of(*self.lots)


def first_start(venue: Busy) -> list[int]:
    """With what it opens."""
    limits = SimpleNamespace(position_lots_max=1_000)
    made: Any = object.__new__(LiveInstrument)
    core = SimpleNamespace(limits=limits)
    made.__dict__.update(
        key="a", number=0, symbol="BTCUSDT", traded=spot("BTC", "USDT", "binance_usdm"),
        config=SimpleNamespace(account="a", core=core), since_ns=0,
    )
    told: list[int] = []
    hot = SimpleNamespace(opening=lambda _, lots: told.append(lots))
    stage: Any = SimpleNamespace(hot=hot, log=None, emit=lambda *_, **__: None)
    account: Any = SimpleNamespace(name="a", calls=venue, utc_ns=lambda: 7)
    asyncio.run(StartUp(stage, [account], [made])._adopt(account, [made]))
    return told


def test_first_start_finds_its_opening_while_somebody_trades_all_the_time() -> None:
    refused = 0
    for seed in range(50):
        try:
            assert first_start(Busy(40, Random(seed))) == [40]
        except TickmakerError:
            refused += 1
    assert refused < 10


def test_trades_before_a_first_start_are_in_its_opening() -> None:
    """Later readings go back beyond it, to be sure; a trade shortly before was booked again."""
    made: Any = object.__new__(LiveInstrument)
    made.core = SimpleNamespace(forgotten_ts_ns=0)
    made.adopted_ns = 5_000_000
    rows: Any = [SimpleNamespace(exch_ts_ns=ns) for ns in (4_000_000, 5_000_000, 6_000_000)]
    assert list(made.unforgotten(rows)) == rows[1:]
    made.core.forgotten_ts_ns = 5_000_000
    assert list(made.unforgotten(rows)) == rows[2:]


def test_first_start_is_refused_where_no_reading_tells() -> None:
    """Whatever he buys he sells again: each reading fits two openings."""
    venue = Busy(40, Random(1))
    venue.dice = cast(Any, SimpleNamespace(
        randrange=lambda *_: 1, choice=lambda _: -1 if len(venue.lots) % 2 else 1))  # fmt: skip
    with pytest.raises(TickmakerError, match="somebody trades a all the time") as caught:
        first_start(venue)
    assert "stop that" in caught.value.remedy


@pytest.mark.parametrize(
    ("last_trade_ns", "unread", "most", "wanted_ns"),
    [(7 * HOUR_NS, {}, 3, 7 * HOUR_NS), (0, {}, 2, 5 * HOUR_NS),
     (7 * HOUR_NS, {"a": 2 * HOUR_NS}, 3, 2 * HOUR_NS + PREVIOUS_MARGIN_NS)],
)  # fmt: skip
def test_trades_are_read_since_the_run_that_opened_the_instrument(
    last_trade_ns: int, unread: dict[str, int], most: int, wanted_ns: int
) -> None:
    """Not since the last run began, which may not have traded it, or not have agreed. A position
    over the limit is told of."""
    previous = SimpleNamespace(
        last_trade_ts_ns=last_trade_ns, began_ns=5 * HOUR_NS, booked=(), known=((1, 0, 2),),
        position_in=lambda _: 3, carried_in=lambda _: 0,
    )  # fmt: skip
    limits = SimpleNamespace(position_lots_max=most)
    made: Any = SimpleNamespace(
        key="a", number=0, previous=previous, traded=SimpleNamespace(lot="1"), since_ns=0,
        config=SimpleNamespace(core=SimpleNamespace(limits=limits)), where={},
    )  # fmt: skip
    told: list[Any] = []
    warned: list[str] = []
    hot = SimpleNamespace(
        opening=lambda _, lots: told.append(lots), known=lambda _, rows: told.append(rows)
    )
    stage: Any = SimpleNamespace(
        hot=hot, log=None, emit=lambda _, what, **__: warned.append(what)
    )
    account: Any = SimpleNamespace(instruments=[made], unread=unread, is_opened=False)
    asyncio.run(StartUp(stage, [account], [made])._open(account))
    assert made.since_ns == wanted_ns - PREVIOUS_MARGIN_NS
    assert told == [3, ((1, 0, 2),)]
    assert account.is_opened
    assert ["+3 lots, over limits.position_lots_max" in what for what in warned] == [True] * (
        most < 3)


def test_start_is_refused_where_its_opening_can_not_be_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk. The run after it would adopt what instruments of older runs hold."""
    nothing = SimpleNamespace(instruments={})
    monkeypatch.setattr("engine.live.startup.opening_of", lambda *_: nothing)
    lock = AccountLock(tmp_path, "main")
    lock.note(tmp_path, 1, {})
    log = EventsLog(tmp_path)
    log.close()  # nothing is written any more
    stage: Any = SimpleNamespace(log=log, say_step=lambda *_, **__: None)
    made: Any = SimpleNamespace(key="a", number=0, config=SimpleNamespace(account="main"))
    account: Any = SimpleNamespace(name="main", lock=lock, instruments=[made])
    start = StartUp(stage, [account], [made])
    for tell in (lambda: start._look_back(account), lambda: start._carry(made, 5)):
        with pytest.raises(TickmakerError, match=r"events\.jsonl"):
            tell()
    start._carry(made, 0)


def test_state_names_the_last_run_and_is_whole(tmp_path: Path) -> None:
    lock = AccountLock(tmp_path, "main")
    assert lock.previous() is None
    for number in (1, 2):
        lock.note(tmp_path / f"run{number}", number, {})
    previous = lock.previous()
    assert previous is not None
    assert (previous.run_dir, previous.utc_ns) == (tmp_path / "run2", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["main.json"]


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"{}", b"\xff\xfe\0", b"[" * 100_000,
    b'{"run_dir": "/x"}', b'{"run_dir": 1}',
    b'{"run_dir": "/x", "utc_ns": Infinity}', b'{"run_dir": "", "utc_ns": 1}',
    b'{"run_dir": "x", "utc_ns": 1}', b'{"run_dir": "/x\\u0000", "utc_ns": 1}',
    b'{"run_dir": "/x", "utc_ns": 1, "unread": {"a": Infinity}}',
])  # fmt: skip
def test_state_that_can_not_be_read_is_no_first_start(tmp_path: Path, data: bytes) -> None:
    lock = AccountLock(tmp_path, "main")
    lock.state_path.write_bytes(data)
    with pytest.raises(TickmakerError, match=r"main\.json can't be read"):
        lock.previous()


@pytest.mark.parametrize("count", [1, 2, 8, 50, 200, 1_000])
def test_journals_of_many_instruments_fit(count: int) -> None:
    size = segment_bytes(16 * MIB, count)
    assert MIB <= size <= 16 * MIB
    assert size % 4096 == 0
    assert size == MIB or size * count <= JOURNALS_BYTES


def made(venues: list[str]) -> list[LiveInstrument]:
    return [
        cast(Any, SimpleNamespace(
            number=n, config=SimpleNamespace(core=SimpleNamespace(venue=venue))))
        for n, venue in enumerate(venues)
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "most"), [(1, 66), (8, 66), (9, 66), (200, 66), (200, 10)])
def test_feeds_hold_every_instrument_once_and_one_codec_each(count: int, most: int) -> None:
    instruments = made(["bybit_linear", "bybit_spot"] * count)
    groups = feed_groups(instruments, most)
    numbers = sorted(i.number for group in groups for i in group)
    assert numbers == list(range(2 * count))
    assert all(len({i.config.core.venue for i in group}) == 1 for group in groups)
    assert max(map(len, groups)) <= most
    if count <= FEEDS_MAX:
        assert all(len(group) == 1 for group in groups)


@pytest.mark.parametrize(
    "url", ["https://fapi.binance.com", "wss://stream.bybit.com/v5/private", "https://1.2.3.4"]
)
def test_addresses_of_real_money_are_refused(url: str) -> None:
    with pytest.raises(TickmakerError, match="a production address") as caught:
        refuse_production([("rest_url", url)])
    assert caught.value.exit_code == EXIT_UNSAFE


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "wss://testnet.binancefuture.com/x"])
def test_local_and_test_addresses_are_not(url: str) -> None:
    refuse_production([("rest_url", url)])


def test_fees_better_than_the_venues_are_refused() -> None:
    def told(maker_bp: float, taker_bp: float) -> list[str]:
        fees = Fees(maker_bp=maker_bp, taker_bp=taker_bp)
        return [error.what for error in of_fees("a.b.C", fees, FeeRates(200, 500))]

    assert told(2.0, 5.0) == told(2.5, 6.0) == []
    (maker,) = told(1.9, 5.0)
    assert maker.endswith("a.b.C: fees.maker_bp is 1.9, but the venue takes 2")
    (taker,) = told(2.0, 4.99)
    assert "fees.taker_bp" in taker


def resting(number: int, client_id: str = "tm0a1b2c3d-01-000000000001") -> OrderRow:
    return OrderRow("BTCUSDT", client_id, number, Side.BUY, OrderState.NEW, 600_000, 10, 0,
                    str(number))  # fmt: skip


class Slow(AccountCalls):
    """A venue that lets one cancel go a question, each of which takes its time."""

    left = 6

    async def open_orders(self, instrument: Instrument) -> list[OrderRow]:
        await asyncio.sleep(0.1)
        return [resting(number) for number in range(self.left)] + [resting(99, "hand")]

    async def cancel_rows(self, instrument: Instrument, rows: Any, on_wait: Any = None) -> None:
        self.left -= 1


@pytest.mark.parametrize("at_most_s", [None, 0.3])
def test_cancels_that_go_on_have_the_time_that_they_need(
    at_most_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_calls, "PAUSE_S_MAX", 0.0)
    nobody: Any = None
    btc: Any = SimpleNamespace(symbol="BTCUSDT")
    slow = Slow(nobody, nobody, [], rng=Random(1))
    work = slow.cancel_ours(btc, is_ours, 0.25, at_most_s=at_most_s)
    if at_most_s is None:
        assert asyncio.run(work) == 6
    else:
        with pytest.raises(TickmakerError, match="could not prove"):
            asyncio.run(work)
