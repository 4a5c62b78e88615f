"""engine.exchange.tape: recordings as markets, users matched by queue position."""

import gzip
import json
from pathlib import Path

import pytest
from support_data import recorded
from support_exchange import place
from support_tape import (
    LONG_NS,
    MS,
    START_NS,
    best,
    diff,
    frames_of,
    head_of,
    open_recording,
    snapshot,
    trade,
    write,
)

from engine.errors import TickmakerError
from engine.exchange.book import BookOrder, Side
from engine.exchange.commands import Advance
from engine.exchange.core import Core
from engine.exchange.events import Notice, OrderUpdate, Refused, TapeFrame
from engine.exchange.tape.book import TapeBook
from engine.exchange.tape.market import TapeMarket
from engine.exchange.tape.messages import DepthMessage
from engine.exchange.tape.queue import TapeQueue
from engine.exchange.terms import NEVER_NS, Exec, Reason, Tif
from fastcore.types import SyncRule


def core_of(tmp_path: Path, *lines: str) -> tuple[Core, TapeMarket]:
    """A core on a capture that starts with snapshot 100 and a diff that joins it."""
    path = write(tmp_path / "small.raw", snapshot(100), diff(99, 101, 98), *lines)
    market = TapeMarket(open_recording(path, None))
    return Core([market], 1), market


def play(core: Core, market: TapeMarket, messages: int) -> list[OrderUpdate]:
    """Serve the head of the recording; returns what users felt. Line n is due at n ms."""
    market.on_public_subscriber(1)
    outputs = core.step(Advance(), 1 + messages * MS)
    return [o for o in outputs if isinstance(o, OrderUpdate)]


# -- QUEUE POSITION ---


def test_order_joins_behind_the_visible_lots(tmp_path: Path) -> None:
    core, market = core_of(
        tmp_path,
        trade("60000.00", "3.000", True),
        trade("60000.00", "2.004", True),
        trade("60000.00", "9.000", True),
    )
    core.step(place(0, Side.BUY, 10, 600_000, tif=Tif.GTX), 1)
    assert not play(core, market, 2)
    fills = play(core, market, 3)
    assert [(u.last_lots, u.is_maker, u.last_px_ticks) for u in fills] == [(4, True, 600_000)]
    assert [u.last_lots for u in play(core, market, 4)] == [6]


def test_two_users_orders_share_one_trade_in_time_priority(tmp_path: Path) -> None:
    core, market = core_of(tmp_path, trade("60000.00", "5.015", True))
    core.step(place(0, Side.BUY, 10, 600_000), 1)
    core.step(place(1, Side.BUY, 10, 600_000), 1)
    fills = play(core, market, 2)
    assert [(u.order.account, u.last_lots) for u in fills] == [(0, 10), (1, 5)]


def test_level_that_shrinks_pulls_the_order_forward(tmp_path: Path) -> None:
    core, market = core_of(
        tmp_path,
        diff(102, 103, 101, bids={"60000.00": "1.000"}),
        trade("60000.00", "1.010", True),
    )
    core.step(place(0, Side.BUY, 10, 600_000), 1)
    assert not play(core, market, 2)
    assert [u.last_lots for u in play(core, market, 3)] == [10]


@pytest.mark.parametrize(
    "line",
    [
        trade("59999.90", "0.001", True),
        best(103, "59999.00", "1.000", "59999.90", "1.000"),
        best(103, "59999.00", "1.000", "60000.00", "1.000"),
        diff(102, 103, 101, {f"{60_000 - n / 10:.2f}": "0.000" for n in range(5)},
             {"59999.90": "1.000"}),
    ],
    ids=["trade through", "ticker crosses", "ticker touches", "depth crosses"],
)  # fmt: skip
def test_market_through_the_price_fills_all(tmp_path: Path, line: str) -> None:
    core, market = core_of(tmp_path, line)
    core.step(place(0, Side.BUY, 10, 600_000), 1)
    fills = play(core, market, 2)
    assert [(u.last_lots, u.last_px_ticks, u.is_maker) for u in fills] == [(10, 600_000, True)]


@pytest.mark.parametrize(
    "line",
    [
        trade("60000.00", "9.000", False),
        trade("60000.10", "9.000", True),
        trade("60000.00", "9.000", True, kind="INSURANCE_FUND"),
        best(50, "59999.00", "1.000", "59999.10", "1.000"),
    ],
    ids=["other side", "above", "not a book trade", "old ticker"],
)
def test_market_elsewhere_fills_nothing(tmp_path: Path, line: str) -> None:
    core, market = core_of(tmp_path, line)
    core.step(place(0, Side.BUY, 10, 600_000), 1)
    assert not play(core, market, 2)


def test_taker_fills_visible_levels_and_does_not_find_them_again(tmp_path: Path) -> None:
    core, market = core_of(tmp_path, diff(102, 103, 101, asks={"60000.10": "4.000"}))
    assert market.touch() == (600_000, 5_000, 600_001, 5_000)
    outputs = core.step(place(0, Side.BUY, 7_000, 600_002, tif=Tif.IOC), 1)
    fills = [o for o in outputs if isinstance(o, OrderUpdate) and o.exec_type is Exec.TRADE]
    assert [(u.last_px_ticks, u.last_lots, u.is_maker) for u in fills] == [
        (600_001, 5_000, False),
        (600_002, 2_000, False),
    ]
    again = core.step(place(0, Side.BUY, 100, 600_001, tif=Tif.IOC), 1)
    assert sum(isinstance(o, OrderUpdate) and o.exec_type is Exec.TRADE for o in again) == 0
    play(core, market, 2)
    fresh = core.step(place(0, Side.BUY, 100, 600_001, tif=Tif.IOC), 2 * MS)
    assert [o.last_lots for o in fresh if isinstance(o, OrderUpdate) and o.trade_id] == [100]


def test_post_only_sees_the_ticker_ahead_of_depth(tmp_path: Path) -> None:
    core, market = core_of(tmp_path, best(103, "60000.00", "5.000", "60000.30", "1.000"))
    gtx = place(0, Side.BUY, 10, 600_001, tif=Tif.GTX)
    assert core.step(gtx, 1) == [Refused(Reason.WOULD_TAKE)]
    play(core, market, 2)
    assert not isinstance(core.step(gtx, 2 * MS)[0], Refused)
    assert market.touch()[2:] == (600_003, 1_000)


def test_ticker_that_arrives_late_is_not_believed(tmp_path: Path) -> None:
    lines = (best(105, "59999.90", "1.000", "60000.30", "1.000"),
             best(104, "60000.00", "1.000", "60000.20", "1.000"))  # fmt: skip
    core, market = core_of(tmp_path, *lines)
    play(core, market, 3)
    assert market.touch() == (599_999, 1_000, 600_003, 1_000)


def test_queue_counts_each_order_once() -> None:
    """Trade then the depth that shows it: what is ahead shrinks once."""
    book = TapeBook(SyncRule.FUTURES)
    book.apply_snapshot(DepthMessage(0, None, True, 1, 1, -1, 1, [(100, 10)], [(101, 10)]))
    queue = TapeQueue(book)
    queue.rest(BookOrder(1, Side.BUY, 100, 5, 0))
    queue.on_trade(100, 4, Side.SELL)
    queue.on_levels(Side.BUY, [(100, 6)])
    assert queue.ahead_lots(1) == 6
    queue.on_levels(Side.BUY, [(100, 30)])
    assert queue.ahead_lots(1) == 6
    assert queue.cancel(1)
    assert not queue.on_trade(100, 50, Side.SELL)


# -- SERVING ---


def test_stale_diffs_are_served_and_not_applied(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.raw",
        diff(90, 95, 89, bids={"59999.00": "1.000"}),
        snapshot(100),
        diff(96, 99, 95, bids={"60000.00": "1.000"}),
        diff(100, 104, 99, bids={"60000.00": "2.000"}),
    )
    market = TapeMarket(open_recording(path, "BTCUSDT"))
    assert market.snapshot(5).update_id == 100
    market.on_public_subscriber(1)
    market.advance(LONG_NS)
    events = market.drain()
    assert [type(e) for e in events] == [TapeFrame, TapeFrame, TapeFrame, Notice]
    assert market.snapshot(5).bids[0] == (600_000, 2_000)
    assert (market.book.update_id, market.book.gaps) == (104, 0)


def test_quiet_after_the_end_and_orders_still_answered(tmp_path: Path) -> None:
    core, market = core_of(tmp_path, trade("60000.00", "1.000", True))
    play(core, market, 9)
    assert market.next_due_ns() > LONG_NS
    assert not isinstance(core.step(place(0, Side.BUY, 10, 600_000), LONG_NS)[0], Refused)


def test_speed_divides_the_recorded_gaps(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.raw",
        diff(98, 99, 98),
        snapshot(100),
        *[trade("60000.00", "1.000", True)] * 10,
    )
    market = TapeMarket(open_recording(path, None), speed=5.0)
    market.advance(LONG_NS)
    assert not market.drain()  # nobody listens yet
    market.on_public_subscriber(1_000)
    market.advance(1_000 + MS - 1)
    assert len(frames_of(market)) == 4  # the diff, and trades due at 2, 3 and 4 ms of the tape
    market.advance(1_000 + MS)
    assert len(frames_of(market)) == 1


def test_recorded_book_equals_the_recorded_ticker(tmp_path: Path) -> None:
    """A stretch of a volatile day: 0 gaps, and the touch is bookTicker's at the same id."""
    path = recorded("binance_usdm/btcusdt_20240808.gz")
    recording = open_recording(head_of(path, tmp_path / "head.raw", 9_000), "BTCUSDT")
    assert (recording.instrument.px.text(1), recording.instrument.qty.text(1)) == ("0.10", "0.001")
    market = TapeMarket(recording)
    market.on_public_subscriber(1)
    touches: dict[int, tuple[int, ...]] = {}
    compared = 0
    while (due_ns := market.next_due_ns()) < NEVER_NS:
        market.advance(due_ns)
        for frame in frames_of(market):
            data = json.loads(frame.data)
            if data["e"] == "bookTicker":
                px, qty = recording.instrument.px.units, recording.instrument.qty.units
                touches[data["u"]] = (px(data["b"]), qty(data["B"]), px(data["a"]), qty(data["A"]))
            elif data.get("u") == market.book.update_id in touches and market.book.is_anchored:
                bid, ask = (market.book.depth(side, 1)[0] for side in Side)
                assert (*bid, *ask) == touches[data["u"]]
                compared += 1
    assert (market.book.gaps, compared > 20) == (0, True)


# -- BROKEN FILES ---


@pytest.mark.parametrize(
    "line",
    [
        '{"stream":"btcusdt@trade","data":{"e":"tr',
        '{"stream":"btcusdt@trade","data":[]}',
        "[]",
        trade("60000.00", "x", True),
        trade("60000.05", "0.001", True),
    ],
    ids=["cut JSON", "wrong shape", "no object", "bad number", "off the grid"],
)
def test_damaged_line_is_refused_by_file_and_number(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "bad.raw", snapshot(1), diff(1, 2, 0), line)
    with pytest.raises(TickmakerError) as caught:
        list(open_recording(path, "BTCUSDT").messages)
    assert f"{path}, line 3" in str(caught.value)


def test_damage_far_into_the_file_ends_the_market_with_a_notice(tmp_path: Path) -> None:
    fine = [trade("60000.00", "0.001", True)] * 5_001
    path = write(tmp_path / "bad.raw", snapshot(1), diff(1, 2, 0), *fine, "{")
    market = TapeMarket(open_recording(path, None))
    market.on_public_subscriber(1)
    for _ in range(7):
        market.advance(LONG_NS)
    notices = [event for event in market.drain() if isinstance(event, Notice)]
    assert [notice.is_error for notice in notices] == [True, False]
    assert f"{path}, line 5004" in notices[0].text


def test_capture_without_a_snapshot_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.raw", diff(1, 2, 0, {"60000.00": "1.000"}), diff(3, 4, 2))
    with pytest.raises(TickmakerError, match=r"bad\.raw: holds no REST snapshot"):
        open_recording(path, "BTCUSDT")


def test_capture_cut_in_its_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    whole = gzip.compress(
        "".join(f"{START_NS + n} {diff(n, n, n)}\n" for n in range(999)).encode()
    )
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TickmakerError, match=r"cut\.gz.*cut"):
        open_recording(path, None)


def test_other_symbol_and_other_venue_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.raw", snapshot(100), diff(99, 101, 98))
    with pytest.raises(TickmakerError, match="ETHUSDT"):
        open_recording(path, "ETHUSDT")
    spot = recorded("binance_spot/btcusdt_20240808.gz")
    with pytest.raises(TickmakerError, match="binance_spot"):
        open_recording(head_of(spot, tmp_path / "spot.raw", 99), None)
