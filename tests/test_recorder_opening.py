"""What the next run starts from, and several runs as one account's history."""

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import TickmakerError
from engine.recorder.events_log import EventsLog
from engine.recorder.follow import catch_up
from engine.recorder.history import account_history
from engine.recorder.opening import OVERLAP_NS, opening_of
from engine.recorder.segments import segment_path
from fastcore.journal import JournalOrder
from fastcore.types import FeeAsset, FillOwner, FillVia, OrderState, Side
from tests.support_journal import KEY, WALL_NS, JournalBuilder

SECOND = "main.binance_usdm.ETHUSDT"


def run(folder: Path, opening: int | None = -30, **config: object) -> JournalBuilder:
    folder.mkdir()
    builder = JournalBuilder(folder)
    builder.config(**config)
    if opening is not None:
        builder.opening(opening)
    return builder


def end(
    builder: JournalBuilder, in_order: bool | None = True, previous: Path | None = None
) -> Path:
    run_dir = builder.directory.parents[1]
    log = EventsLog(run_dir)
    if previous is not None:
        log.previous_run(1, "main", previous)
    if in_order is not None:
        log.stopped(2, in_order=in_order)
    log.close()
    builder.close()
    return run_dir


def test_end_of_a_run_is_the_opening_of_the_next(tmp_path: Path) -> None:
    builder = run(tmp_path / "one")
    builder.order(1, Side.BUY, OrderState.NEW, 599_999)
    builder.order(2, Side.BUY, OrderState.UNKNOWN, 599_990)
    builder.order(3, Side.SELL, OrderState.CANCELED, 600_100)
    builder.fill(1, Side.BUY, 599_999, 4)
    builder.now_ns += 10
    builder.fill(1, Side.BUY, 599_999, 3, trade_id=17)
    opening = opening_of(end(builder))
    assert (opening.run_tag, opening.ended_in_order) == ("0123abcd", True)
    found = opening.instruments[KEY]
    assert found.position_lots == -23
    assert (found.last_trade_ts_ns, found.last_trade_id) == (WALL_NS + builder.now_ns, 17)
    assert found.trade_ids == {9001, 17}
    assert [(one.intent_id, one.client_id[-2:], one.px_ticks) for one in found.open_orders] == [
        (1, "01", 599_999), (2, "02", 599_990),
    ]  # fmt: skip
    assert found.position_in("0.0005") == -46
    with pytest.raises(TickmakerError, match="no whole number"):
        found.position_in("0.01")


def test_end_says_when_the_run_was(tmp_path: Path) -> None:
    builder = run(tmp_path / "one")
    began_ns = WALL_NS + builder.now_ns
    builder.now_ns += 50
    builder.fill(1, Side.BUY, 599_999, 4)
    opening = opening_of(end(builder))
    found = opening.instruments[KEY]
    assert WALL_NS < found.began_ns <= began_ns < opening.end_ns == WALL_NS + builder.now_ns


def test_booked_trades_are_named_since_when_they_may_be_read_again(tmp_path: Path) -> None:
    builder = run(tmp_path / "one")
    builder.fill(1, Side.BUY, 599_999, 4, trade_id=1)
    first_ns = WALL_NS + builder.now_ns
    builder.now_ns += 2 * OVERLAP_NS
    builder.fill(1, Side.BUY, 599_999, 4, trade_id=2)
    run_dir = end(builder)
    assert opening_of(run_dir).instruments[KEY].trade_ids == {2}
    assert opening_of(run_dir, (), {KEY: first_ns}).instruments[KEY].trade_ids == {1, 2}


@pytest.mark.parametrize("in_order", [None, False])
def test_run_that_was_killed_did_not_end_in_order(tmp_path: Path, in_order: bool | None) -> None:
    builder = run(tmp_path / "one")
    opening = opening_of(end(builder, in_order))
    assert not opening.ended_in_order
    found = opening.instruments[KEY]
    assert found.position_lots == -30
    assert (found.last_trade_id, found.trade_ids) == (-1, set())


def test_instrument_that_the_run_did_not_open_is_found_in_the_one_before(tmp_path: Path) -> None:
    first = run(tmp_path / "one")
    first.fill(1, Side.BUY, 599_999, 4)
    order = first.writer.order
    other = JournalBuilder(tmp_path / "one", key=SECOND, number=1, order=order)
    other.config(symbol="ETHUSDT")
    other.opening(7)
    other.close()
    one = end(first)
    two = end(run(tmp_path / "two", None), None, one)  # died before its opening
    three = end(run(tmp_path / "three", -26, run_tag="ffffffff"), True, two)
    opening = opening_of(two)
    assert opening.instruments[KEY].position_lots == -26
    assert opening.instruments[KEY].run_dir == one
    assert opening.instruments[KEY].trade_ids == {9001}
    opening = opening_of(three, [SECOND, "main.binance_usdm.NEVER"])
    assert set(opening.instruments) == {KEY, SECOND}
    assert opening.run_tag == "ffffffff"
    assert opening.instruments[KEY].run_dir == three
    assert opening.instruments[KEY].last_trade_id == 9001  # booked by the first, to be known still
    assert opening.instruments[SECOND].position_lots == 7


def test_old_trades_are_left_out(tmp_path: Path) -> None:
    builder = run(tmp_path / "one")
    builder.fill(1, Side.BUY, 599_999, 1)
    builder.now_ns += OVERLAP_NS + 1
    builder.fill(1, Side.BUY, 599_999, 1)
    builder.now_ns += OVERLAP_NS
    builder.fill(1, Side.BUY, 599_999, 1)
    assert opening_of(end(builder)).instruments[KEY].trade_ids == {9002, 9003}


@pytest.mark.parametrize("harm", ["missing", "garbage", "version", "cut"])
def test_ledger_is_made_again_from_the_journal(tmp_path: Path, harm: str) -> None:
    builder = run(tmp_path / "one")
    builder.fill(1, Side.BUY, 599_999, 4)
    run_dir = end(builder)
    catch_up(run_dir)
    path = run_dir / "ledger.sqlite"
    if harm == "missing":
        path.unlink()
    elif harm == "garbage":
        path.write_bytes(b"garbage" * 1000)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-8192])
    else:
        import sqlite3

        database = sqlite3.connect(path)
        database.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
        database.commit()
        database.close()
    assert opening_of(run_dir).instruments[KEY].position_lots == -26
    assert (run_dir / "ledger.sqlite.damaged").exists() == (harm != "missing")


def test_ledger_that_is_gone_with_its_journal_says_what_to_do(tmp_path: Path) -> None:
    run_dir = end(run(tmp_path / "one"))
    catch_up(run_dir)
    (run_dir / "ledger.sqlite").unlink()
    shutil.rmtree(run_dir / "journal")
    with pytest.raises(TickmakerError, match="there is no ledger") as caught:
        opening_of(run_dir)
    assert "state folder" in caught.value.remedy


def test_tidied_run_still_opens_the_next(tmp_path: Path) -> None:
    run_dir = end(run(tmp_path / "one"))
    catch_up(run_dir)
    shutil.rmtree(run_dir / "journal")
    assert opening_of(run_dir).instruments[KEY].position_lots == -30


def test_damaged_journal_says_what_to_do(tmp_path: Path) -> None:
    builder = run(tmp_path / "one")
    for n in range(5):
        builder.fill(1, Side.BUY, 599_999, n)
    run_dir = end(builder)
    path = segment_path(builder.directory, 0)
    data = bytearray(path.read_bytes())
    data[builder_offset(path)] ^= 1
    path.write_bytes(data)
    with pytest.raises(TickmakerError, match="not known: journal damaged") as caught:
        opening_of(run_dir)
    assert "restore the segment" in caught.value.remedy
    assert "state folder" in caught.value.remedy


def builder_offset(path: Path) -> int:
    from fastcore.journal import read_segment

    return [record[0] for record in read_segment(path.read_bytes())][3] + 45


def test_run_that_is_alive_is_refused(tmp_path: Path) -> None:
    builder = run(tmp_path / "one")
    with pytest.raises(TickmakerError, match="still being written"):
        opening_of(tmp_path / "one")
    builder.close()


# -- several runs as one ---


def test_history_counts_every_trade_once_over_runs(tmp_path: Path) -> None:
    first = run(tmp_path / "one", 5)
    first.fill(1, Side.BUY, 600_000, 4, fee_e8=100)
    first.fill(1, Side.BUY, 600_001, 2, fee_e8=50, fee_asset=FeeAsset.BASE)
    one = end(first)
    second = run(tmp_path / "two", 9, lot="0.0005", run_tag="ffffffff")
    # Booked by the run before, and told again; then one that nobody had seen.
    second.fill(-1, Side.BUY, 600_001, 4, trade_id=9002, owner=FillOwner.EARLIER, via=FillVia.REST)
    second.now_ns += 1
    second.fill(-1, Side.SELL, 600_002, 6, trade_id=77, owner=FillOwner.EARLIER, via=FillVia.REST)
    second.fill(9, Side.SELL, 600_003, 2, trade_id=78)
    two = end(second)
    for run_dir in (one, two):
        catch_up(run_dir)
    history = account_history([one, two], "main")
    assert [(fill.trade_id, fill.qty, fill.owner) for fill in history.fills] == [
        (9001, Decimal("0.004"), "run"), (9002, Decimal("0.002"), "run"),
        (77, Decimal("0.0030"), "earlier"), (78, Decimal("0.0010"), "run"),
    ]  # fmt: skip
    assert history.fills[0].client_id == "tm0123abcd-07-000000000001"
    assert history.fills[-1].client_id == "tmffffffff-07-000000000009"
    symbol = ("binance_usdm", "BTCUSDT")
    assert history.openings == {symbol: Decimal("0.005")}
    assert history.positions() == {symbol: Decimal("0.007")}
    assert history.fees() == {"quote": Decimal("0.00000100"), "base": Decimal("0.00000050")}
    assert history.held() == {symbol: Decimal("0.0069995")}
    assert account_history([one, two], "other").fills == []


def test_both_sides_of_one_trade_count(tmp_path: Path) -> None:
    builder = run(tmp_path / "one", 0)
    builder.fill(1, Side.BUY, 600_000, 4, trade_id=5)
    builder.fill(2, Side.SELL, 600_000, 4, trade_id=5)
    run_dir = end(builder)
    opening = opening_of(run_dir).instruments[KEY]
    assert opening.booked == {(5, Side.BUY), (5, Side.SELL)}
    assert {known[:2] for known in opening.known} == opening.booked
    assert len(account_history([run_dir]).fills) == 2


def test_fees_in_the_base_asset_shrink_the_next_opening(tmp_path: Path) -> None:
    """0.4 lots a run, as at a spot venue: after three runs one lot and 0.2 are gone."""
    held, carried, folder = 100, 0, None
    for number, (lots, left_e8) in enumerate(((99, 60_000), (99, 20_000), (98, 80_000))):
        builder = run(tmp_path / str(number), held)
        builder.fill(1, Side.BUY, 600_000, 5, fee_e8=40_000, fee_asset=FeeAsset.BASE)
        builder.fill(2, Side.SELL, 600_000, 5, fee_e8=40_000)
        log = EventsLog(builder.directory.parents[1])
        log.opening(1, "main", KEY, carried)
        log.close()
        folder = end(builder, True, folder)
        found = opening_of(folder).instruments[KEY]
        assert (found.position_lots, found.base_fees_e8) == (held, 40_000)
        held, carried = found.position_in("0.001"), found.carried_in("0.001")
        assert (held, carried) == (lots, left_e8)
    assert found.position_in("0.0005") == 197
    assert found.carried_in("0.0005") == 30_000


def test_history_of_a_folder_without_a_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="cannot read the ledger"):
        account_history([tmp_path])


def test_order_of_journals_is_shared(tmp_path: Path) -> None:
    """What the tests above rest on: one row of numbers over a run's journals."""
    order = JournalOrder()
    one = JournalBuilder(tmp_path, key=KEY, order=order)
    two = JournalBuilder(tmp_path, key=SECOND, number=1, order=order)
    assert [one.config(), two.config(), one.frame(), two.frame()] == [0, 1, 2, 3]
    one.close()
    two.close()
