"""`tickmaker verify` on the journals of several cores on one account: replayed together, in the
order of their records' numbers: that alone tells inputs of one and the same moment apart."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support_core import Desk, core_config

from engine.errors import TickmakerError
from engine.replay.journals import journal_segments, read_run
from engine.replay.verify import account_of, orders_sha256, verify_run
from fastcore.account import Account
from fastcore.core_config import params_of
from fastcore.journal import KIND, JournalOrder, JournalWriter, read_segment
from fastcore.types import Command, FillOwner, Halt, OrderState, Side

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
FEW = {"limits__account_orders_per_10s_max": 9, "limits__account_messages_per_s_max": 40,
       "limits__account_cancel_reserve": 4}  # fmt: skip


@pytest.fixture(scope="module")
def segments() -> dict[str, bytes]:
    """Three cores that spend one budget of orders, by turns, in one moment."""
    order, ledger = JournalOrder(), Account(core_config(**FEW)["limits"])
    desks = [
        Desk(symbol=symbol, number=number, order=order, account=ledger,
             budgets__ack_ms_max=60_000, **FEW)
        for number, symbol in enumerate(SYMBOLS)
    ]  # fmt: skip
    for desk in desks:
        desk.core.opening(3, desk.now_ns)
        desk.start(position_lots=3)
    for step in range(6):
        for desk in (desks[step % 3], desks[(step + 1) % 3], desks[(step + 2) % 3]):
            for params in desk.take_sent():
                desk.ack(params)
            bid = 60_000 + 0.3 * step
            desk.best(f"{bid:.2f}", "1.000", f"{bid + 0.1:.2f}", "1.000")
    denied = sum(desk.numbers["denies"][18] for desk in desks)
    assert denied > 0, "the account's order limit never bound"
    for desk in desks:
        tell_all(desk)
    return {f"main.binance_usdm.{desk.symbol}": bytes(desk.segment) for desk in desks}


def tell_all(desk: Desk) -> None:
    """Every input that the edge knows beside the streams."""
    now: dict[str, Any] = {"now_ns": desk.now_ns}
    intent = next((each["intent_id"] for each in desk.numbers["own"]), 1)
    desk.core.known([(3, Side.BUY, 4), (2, Side.SELL, 3)], desk.now_ns)
    desk.collect(0)
    desk.core.fill_row(
        trade_id=1, venue_order_id=2, intent_id=-1, owner=FillOwner.EARLIER, side=Side.SELL,
        px_ticks=600_000, qty_lots=1, fee_e8=1, fee_asset=0, is_maker=False, exch_ts_ns=5, **now,
    )  # fmt: skip
    desk.collect(0)
    desk.core.query(
        intent_id=intent, is_absent=False, order_status=OrderState.CANCELED, venue_order_id=2,
        px_ticks=1, qty_lots=10, cum_qty_lots=0, asked_ns=desk.now_ns - 5, **now,
    )  # fmt: skip
    desk.collect(0)
    table = desk.core.config["params"] | {"half_spread_ticks": 4.0}
    desk.core.params(params_of(desk.core.config, table), desk.now_ns)
    desk.collect(0)
    for is_on in (True, False):
        desk.core.condition(Halt.LINK, is_on, desk.now_ns)
        desk.collect(0)
    desk.collect(desk.core.command(Command.SHUTDOWN, desk.now_ns))


def save(run_dir: Path, segments: dict[str, bytes]) -> Path:
    for key, segment in segments.items():
        (run_dir / "journal" / key).mkdir(parents=True)
        (run_dir / "journal" / key / "000000.jnl").write_bytes(segment)
    return run_dir


def test_cores_of_one_account_replay_together(tmp_path: Path, segments: dict[str, bytes]) -> None:
    parts: list[float] = []
    result = verify_run(save(tmp_path, segments), parts.append)
    assert result["first_difference"] is None
    assert result["journals"] == sorted(segments)
    assert result["orders"] == FEW["limits__account_orders_per_10s_max"]
    assert parts[-1] == 1.0
    assert orders_sha256(tmp_path) == result["sha256"]


def test_cores_of_different_accounts_do_not_share_a_budget(
    tmp_path: Path, segments: dict[str, bytes]
) -> None:
    apart = {
        key.replace("main", f"other{index}"): segment
        for index, (key, segment) in enumerate(segments.items())
    }
    assert verify_run(save(tmp_path, apart))["identical"] is False


@pytest.mark.parametrize("index", range(len(SYMBOLS)))
def test_a_journal_that_is_not_there_is_noticed(
    tmp_path: Path, segments: dict[str, bytes], index: int
) -> None:
    left = {key: segment for number, (key, segment) in enumerate(segments.items())
            if number != index}  # fmt: skip
    difference = verify_run(save(tmp_path, left))["first_difference"]
    assert difference is not None
    assert "is missing" in difference


def without(segment: bytes, dropped: Iterable[int]) -> bytes:
    """The journal again, some of its records gone without a trace but their numbers."""
    order = JournalOrder()
    kept, lost = bytearray(len(segment)), bytearray(len(segment))
    writers = [JournalWriter(kept, 0, order), JournalWriter(lost, 0, order)]
    writer = writers[0]
    numbers = iter(range(1 << 40))
    for _, kind, arg, seq, now_ns, recv_ts_ns, payload in read_segment(segment):
        while next(numbers) < seq:  # of other journals
            writers[1].append(KIND["TIMER"], 0, b"", 0)
        writer = writers[seq in dropped]
        writer.append(kind, arg, bytes(payload), now_ns, recv_ts_ns)
    return bytes(kept)


def test_a_record_that_is_gone_is_named(tmp_path: Path, segments: dict[str, bytes]) -> None:
    key = sorted(segments)[1]
    frames = [r[3] for r in read_segment(segments[key]) if r[1] == KIND["FRAME"]]
    forged = segments | {key: without(segments[key], {frames[7]})}
    difference = verify_run(save(tmp_path, forged))["first_difference"]
    assert difference is not None
    assert f"record {frames[7]} is missing" in difference


def test_the_same_journal_twice_is_noticed(tmp_path: Path, segments: dict[str, bytes]) -> None:
    key, segment = next(iter(segments.items()))
    difference = verify_run(save(tmp_path, segments | {f"{key}2": segment}))["first_difference"]
    assert difference is not None
    assert "comes twice" in difference


def test_all_journals_are_read_as_one_row(tmp_path: Path, segments: dict[str, bytes]) -> None:
    rows = list(read_run(journal_segments(save(tmp_path, segments))))
    assert [record.seq for _, record in rows] == list(range(len(rows)))
    assert {key for key, _ in rows} == set(segments)


def test_a_folder_of_the_old_layout_has_no_journal(
    tmp_path: Path, segments: dict[str, bytes]
) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "000000.jnl").write_bytes(next(iter(segments.values())))
    (tmp_path / "config.json").write_text(json.dumps({"credential": {"kind": "none"}}))
    with pytest.raises(TickmakerError, match="No journal"):
        verify_run(tmp_path)


def test_an_account_is_named_by_the_folder() -> None:
    assert account_of("main-1.bybit_linear.BTCUSDT") == "main-1"
