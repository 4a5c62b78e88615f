"""engine.exchange.tape on every venue: recorded bytes out, books by the venue's own rule."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from support_data import recorded
from support_exchange import accepted, place, updates
from support_tape import LONG_NS, MS, START_NS, frames_of, head_of, play_out
from support_tape import write as write_lines
from test_tape_bybit import book, trades, whole, write

from engine.errors import TickmakerError
from engine.exchange.book import BookOrder, Side
from engine.exchange.commands import Advance, PlaceTrigger, Shock
from engine.exchange.core import Core
from engine.exchange.events import MarketEvent, Notice, TapeFrame
from engine.exchange.face import HttpAnswer, HttpRequest, Tick, WsOpen, WsSend
from engine.exchange.instruments import Kind
from engine.exchange.rules import rules_of
from engine.exchange.stack import make_core, make_face
from engine.exchange.tape.market import TapeMarket
from engine.exchange.tape.recording import open_markets, open_recordings
from engine.exchange.terms import NEVER_NS, Exec, Tif
from engine.tape.capture import read_lines
from engine.tape.importer import import_files

BYBIT = "raw_multivenue/BYBIT.jsonl.zst"


def frames_in(events: list[MarketEvent]) -> list[TapeFrame]:
    return [event for event in events if isinstance(event, TapeFrame)]


def market_of(path: Path, venue: str, *symbols: str) -> TapeMarket:
    (market,) = open_markets([path], venue, symbols, 1.0)
    return market


def at(market: TapeMarket, lines: int) -> list[TapeFrame]:
    """Serve what was recorded up to a line, when a line is a nanosecond."""
    market.on_public_subscriber(1)
    market.advance(1 + lines)
    return frames_of(market)


# -- BYTES ---


@pytest.mark.parametrize(
    ("venue", "name"),
    [("binance_usdm", "binance_usdm/btcusdt_20220811_7s.gz"),
     ("binance_usdm", "binance_usdm/ethusdt_20240808.gz"),
     ("binance_spot", "binance_spot/btcusdt_20240808.gz")],
)  # fmt: skip
def test_frames_are_the_recorded_bytes_in_their_order(
    tmp_path: Path, venue: str, name: str
) -> None:
    head = head_of(recorded(name), tmp_path / "head.raw", 1500)
    market = market_of(head, venue)
    frames = frames_in(play_out(market))
    in_file = [line for _, _, line in read_lines(head) if b'"stream"' in line[:12]]
    assert [frame.text.encode() + b"\n" for frame in frames] == in_file
    for frame in frames:
        assert frame.text == f'{{"stream":"{frame.stream}","data":{frame.data}}}'
    assert (market.book.gaps, market.instrument.kind is Kind.SPOT) == (0, "spot" in venue)
    assert {frame.stream for frame in frames} == set(market.recorded_streams)


def test_session_log_of_both_products_is_served_whole() -> None:
    markets = open_markets([recorded(BYBIT)], "bybit", [], 1.0)
    assert {m.instrument.key for m in markets} == {
        "linear/BTCUSDT", "linear/ETHUSDT", "linear/SOLUSDT", "linear/DOGEUSDT",
        "spot/BTCUSDT", "spot/ETHUSDT",
    }  # fmt: skip
    frames = frames_in(play_out(*markets))
    in_file = [line for _, _, line in read_lines(recorded(BYBIT)) if b'"topic"' in line]
    assert sorted(frame.text.encode() + b"\n" for frame in frames) == sorted(in_file)
    assert all(frame.text == frame.data for frame in frames)
    streams = {frame.stream for frame in frames}
    assert {"linear/orderbook.200.BTCUSDT", "spot/publicTrade.ETHUSDT"} <= streams
    for frame in frames:
        assert json.loads(frame.text)["topic"] == frame.stream.partition("/")[2]
    assert [market.book.gaps for market in markets] == [0] * 6
    assert streams == {name for market in markets for name in market.recorded_streams}


def test_bare_frames_get_the_names_that_their_connection_had(tmp_path: Path) -> None:
    diff = '{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,"b":[["1.00","2.000"]],"a":[]}'
    best = '{"u":6,"s":"BTCUSDT","b":"1.00","B":"2.000","a":"1.10","A":"1.000"}'
    ack = '{"result":null,"id":1}'
    snapshot = '{"lastUpdateId":5,"bids":[["1.00","1.000"]],"asks":[["1.10","1.000"]]}'
    path = write(tmp_path / "c.raw", snapshot, ack, diff, best)
    frames = at(market_of(path, "binance_spot"), 9)
    assert [(f.stream, f.data) for f in frames] == [
        ("btcusdt@depth", diff), ("btcusdt@bookTicker", best)
    ]  # fmt: skip
    assert frames[0].text == f'{{"stream":"btcusdt@depth","data":{diff}}}'


@pytest.mark.parametrize(
    ("line", "data"),
    [('{ "stream" : "btcusdt@x", "data" : {"e": "x", "a":{}} }', '{"e": "x", "a":{}}'),
     ('{"data":{"e":"x", "a":1},"stream":"btcusdt@x"}', '{"e":"x","a":1}')],
    ids=["spaced", "stream last"],
)  # fmt: skip
def test_frames_spelt_in_another_way_stay_as_they_are(
    tmp_path: Path, line: str, data: str
) -> None:
    path = write(tmp_path / "c.raw", SPOT_SNAPSHOT, spot(11, 12), line)
    frames = at(market_of(path, "binance_spot"), 9)
    assert frames[1] == TapeFrame("btcusdt@x", line, data)
    assert frames[0].text == spot(11, 12)  # json.dumps puts spaces


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_end_the_tape_with_a_word_and_nothing_else(
    tmp_path: Path, seed: int
) -> None:
    """Any byte of any line: frames until there, then what is wrong, where; or no harm."""
    dice = random.Random(seed)
    head = head_of(recorded("binance_usdm/btcusdt_20220811_7s.gz"), tmp_path / "head.raw", 300)
    session = [b"%d %s" % line[1:] for line in read_lines(recorded(BYBIT), product="linear")]
    bybit = b"".join(line for line in session if b'.BTCUSDT"' in line[:80])
    for venue, whole_file in (("binance_usdm", head.read_bytes()), ("bybit", bybit)):
        lines = whole_file.splitlines(keepends=True)
        told: list[str] = []
        for _ in range(25):
            damaged = bytearray(lines[at_line := dice.randrange(20, 250)])
            damaged[dice.randrange(20, len(damaged) - 1)] = dice.randrange(256)
            path = tmp_path / "damaged.raw"
            path.write_bytes(b"".join([*lines[:at_line], bytes(damaged), *lines[at_line + 1 :]]))
            try:
                (market, *_) = open_markets([path], venue, [], 1.0)
            except TickmakerError as error:
                told.append(str(error))
                continue
            events = play_out(market)
            told += [e.text for e in events if isinstance(e, Notice) and e.is_error]
            assert len(frames_in(events)) >= at_line - 5
        assert 0 < len(told) < 25
        assert all("damaged.raw" in text for text in told)


# -- SPOT'S RULE ---


def spot(first: int, last: int, bid: str = "0.00000000") -> str:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last}
    levels: dict[str, Any] = {"b": [["100.00000000", bid]], "a": []}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data | levels})


UNIT = 100_000  # lots in one BTC
SPOT_SNAPSHOT = (
    '{"lastUpdateId":10,"bids":[["100.00000000","1.00000000"],["99.00000000","7.00000000"]],'
    '"asks":[["101.00000000","2.00000000"]]}'
)


@pytest.mark.parametrize(
    ("diffs", "update_id", "gaps"),
    [([(8, 10)], 10, 0), ([(9, 11)], 11, 0), ([(11, 12)], 12, 0), ([(12, 13)], 13, 1),
     ([(11, 12), (13, 14)], 14, 0), ([(11, 12), (14, 15)], 15, 1)],
    ids=["stale", "covers", "next", "gap at the anchor", "chain", "gap in the chain"],
)  # fmt: skip
def test_spot_joins_at_the_next_id(
    tmp_path: Path, diffs: list[tuple[int, int]], update_id: int, gaps: int
) -> None:
    lines = [spot(*ids, bid="5.00000000") for ids in diffs]
    market = market_of(write(tmp_path / "c.raw", SPOT_SNAPSHOT, *lines), "binance_spot")
    assert len(at(market, 9)) == len(diffs)
    assert (market.book.update_id, market.book.gaps) == (update_id, gaps)
    qty_lots = market.book.qty_at(Side.BUY, market.touch()[0])
    assert qty_lots == (1 if update_id == 10 else 5) * UNIT


def test_a_later_snapshot_mends_a_broken_chain_and_nothing_else(tmp_path: Path) -> None:
    newer = SPOT_SNAPSHOT.replace(":10,", ":20,").replace('"7.00000000"', '"9.00000000"')
    whole_chain = write(tmp_path / "a.raw", SPOT_SNAPSHOT, spot(11, 12), newer, spot(13, 14))
    market = market_of(whole_chain, "binance_spot")
    at(market, 9)
    assert (market.book.update_id, market.snapshot(5).bids[0][1]) == (14, 7 * UNIT)
    broken = write(tmp_path / "b.raw", SPOT_SNAPSHOT, spot(15, 16), newer, spot(21, 22))
    market = market_of(broken, "binance_spot")
    at(market, 9)
    assert (market.book.update_id, market.book.gaps) == (22, 1)
    assert market.snapshot(5).bids[0][1] == 9 * UNIT


def test_spot_fees_are_in_the_asset_received(tmp_path: Path) -> None:
    lines = [spot(11, 12, "1.00000000"), json.dumps({"stream": "btcusdt@trade", "data": {
        "e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "100.00000000", "q": "3.00000000",
        "T": 1, "m": True, "M": True}})]  # fmt: skip
    market = market_of(write(tmp_path / "c.raw", SPOT_SNAPSHOT, *lines), "binance_spot")
    core = Core([market], 1, None, rules_of("binance_spot"))
    px_ticks = market.touch()[0]
    core.step(place(0, Side.BUY, 5 * UNIT, px_ticks), 1)
    market.on_public_subscriber(1)
    (fill,) = updates(core.step(Advance(), 10))
    assert (fill.last_lots, fill.is_maker, fill.fee_asset) == (2 * UNIT, True, "BTC")
    assert fill.fee_e8 > 0


def test_a_depth_stream_of_another_kind_is_passed_on(tmp_path: Path) -> None:
    other = spot(11, 12, "5.00000000").replace("depth@100ms", "rpiDepth@500ms")
    market = market_of(write(tmp_path / "c.raw", SPOT_SNAPSHOT, other), "binance_spot")
    assert len(at(market, 9)) == 1
    assert market.book.update_id == 10


# -- BYBIT ---


def test_snapshots_in_the_stream_replace_the_book(tmp_path: Path) -> None:
    lines = [whole(5), book(6, b=[["99.9", "4"]]), whole(1), book(2, a=[["100.4", "1"]]), book(4)]
    market = market_of(write(tmp_path / "c.raw", *lines), "bybit")
    assert market.touch() == (1000, 2, 1003, 3)  # before anybody listens: the first snapshot
    seen = []
    for line in range(5):
        at(market, line)
        seen.append((market.book.update_id, market.snapshot(5).bids, market.book.gaps))
    one, two = [(1000, 2)], [(1000, 2), (999, 4)]
    assert seen == [(5, one, 0), (6, two, 0), (1, one, 0), (2, one, 0), (4, one, 1)]


def test_several_depths_all_go_out_and_the_deepest_is_the_book(tmp_path: Path) -> None:
    lines = [whole(9, 50), whole(5), book(10, depth=50, b=[["50.0", "1"]]), book(6)]
    path = write(tmp_path / "c.raw", *lines)
    (recording,) = open_recordings([path], "bybit", [])
    assert "kept from orderbook.200.BTCUSDT" in recording.notices[0]
    market = TapeMarket(recording)
    market.on_public_subscriber(1)
    market.advance(LONG_NS)
    events = market.drain()
    assert [frame.text for frame in frames_in(events)] == lines
    assert (market.book.update_id, market.book.gaps) == (6, 0)
    assert market.snapshot(9).bids == [(1000, 2)]
    assert isinstance(events[0], Notice)


def test_best_price_is_fused_by_seq(tmp_path: Path) -> None:
    ahead = book(1, "snapshot", 1, b=[["100.2", "8"]], a=[["100.3", "3"]])
    ahead = ahead.replace('"seq": 1001', '"seq": 1006')
    market = market_of(write(tmp_path / "c.raw", whole(5), ahead, book(7)), "bybit")
    at(market, 1)
    assert market.touch() == (1002, 8, 1003, 3)
    at(market, 2)  # seq 1007: depth has overtaken it
    assert market.touch() == (1000, 2, 1003, 3)


def test_every_trade_of_a_frame_is_felt(tmp_path: Path) -> None:
    sells = trades("100.0", "100.0", "100.0", S="Sell", L="MinusTick")
    block = trades("90.0", S="Sell", L="MinusTick", BT=True)
    other = '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT"},"ts":1}'
    path = write(tmp_path / "c.raw", whole(5), block, other, sells)
    market = market_of(path, "bybit")
    core = Core([market], 1, None, rules_of("bybit"))
    order = accepted(core.step(place(0, Side.BUY, 9, 1000, symbol="linear/BTCUSDT"), 1))
    market.on_public_subscriber(1)
    assert not updates(core.step(Advance(), 3))  # a block trade is not on the book
    fills = updates(core.step(Advance(), 9))
    assert [fill.last_lots for fill in fills] == [1]  # two of the three lots were ahead
    assert (order.leaves_lots, market.last_px_ticks()) == (8, 1000)


# -- IMPORTED TAPES ---

BYBIT_KEPT_APART = {"seq", "ts", "cts", "L", "RPI", "i", "topic"}


def plain(frame: TapeFrame, dropped: set[str]) -> Any:
    """What a frame says, without what a tape doesn't keep."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(each) for key, each in value.items() if key not in dropped}
        if isinstance(value, list):
            return [clean(each) for each in value]
        is_number = isinstance(value, str) and value.replace(".", "", 1).isdigit()
        return float(value) if is_number else value

    return clean(json.loads(frame.data))


def test_imported_spot_tape_says_what_the_capture_said(tmp_path: Path) -> None:
    head = head_of(recorded("binance_spot/ethusdt_20240808.gz"), tmp_path / "head.raw", 1200)
    import_files([head], tmp_path / "t")
    taken, given = (market_of(p, "binance_spot") for p in (tmp_path / "t", head))
    pairs = zip(frames_in(play_out(taken)), frames_in(play_out(given)), strict=True)
    for left, right in pairs:
        assert (left.stream, plain(left, {"E"})) == (right.stream, plain(right, {"E"}))
    assert set(taken.recorded_streams) == set(given.recorded_streams)
    assert taken.snapshot(99).update_id == given.snapshot(99).update_id


def test_imported_bybit_tape_says_what_the_capture_said(tmp_path: Path) -> None:
    import_files([recorded(BYBIT)], tmp_path / "t", symbol="spot/BTCUSDT")
    taken = market_of(tmp_path / "t", "bybit")
    assert taken.recorded_streams == ("spot/orderbook.200.BTCUSDT", "spot/publicTrade.BTCUSDT")
    given = market_of(recorded(BYBIT), "bybit", "spot/BTCUSDT")
    assert taken.instrument == given.instrument
    lefts = [f for f in frames_in(play_out(taken)) if "orderbook" in f.stream]
    rights = [f for f in frames_in(play_out(given)) if "orderbook" in f.stream]
    for left, right in zip(lefts, rights, strict=True):
        assert left.stream == right.stream == "spot/orderbook.200.BTCUSDT"
        assert plain(left, BYBIT_KEPT_APART) == plain(right, BYBIT_KEPT_APART)
    assert taken.snapshot(200) == given.snapshot(200)


# -- SEVERAL TAPES ---


def test_several_captures_keep_their_distance_on_one_timeline(tmp_path: Path) -> None:
    late = [f"{START_NS + 5 + n} {line}" for n, line in enumerate((spot(11, 12), spot(13, 14)))]
    early = write_lines(tmp_path / "a.raw", SPOT_SNAPSHOT, spot(11, 12))
    other = tmp_path / "b.raw"
    text = "\n".join([f"{START_NS + 5} {SPOT_SNAPSHOT}", *late]) + "\n"
    other.write_text(text.replace("BTCUSDT", "ETHUSDT").replace("btcusdt", "ethusdt"))
    first, second = open_markets([early, other], "binance_spot", [], 2.0)
    assert (first.instrument.key, second.instrument.key) == ("BTCUSDT", "ETHUSDT")
    second.on_public_subscriber(1_000)  # who starts one starts all
    assert second.next_due_ns() == 1_000 + 5 // 2
    assert first.next_due_ns() == 1_000 + MS // 2


def test_captures_of_other_days_begin_together_and_say_so(tmp_path: Path) -> None:
    early = write(tmp_path / "a.raw", SPOT_SNAPSHOT, spot(11, 12))
    other = write_lines(tmp_path / "b.raw", SPOT_SNAPSHOT, spot(11, 12))
    text = other.read_text().replace("BTCUSDT", "ETHUSDT").replace("btcusdt", "ethusdt")
    other.write_text(text)
    markets = open_markets([early, other], "binance_spot", [], 1.0)
    markets[0].on_public_subscriber(1_000)
    dues = {m.instrument.key: m.next_due_ns() for m in markets}
    assert dues == {"BTCUSDT": 1_001, "ETHUSDT": 1_000 + MS}
    notices = [e for m in markets for e in m.drain() if isinstance(e, Notice)]
    assert len(notices) == 1
    assert "served together" in notices[0].text


def test_captures_of_one_symbol_follow_each_other(tmp_path: Path) -> None:
    first = write(tmp_path / "a.raw", SPOT_SNAPSHOT, spot(11, 12))
    second = write_lines(tmp_path / "b.raw", spot(13, 14), spot(15, 16))
    second.write_text(second.read_text().replace(str(START_NS)[:4], "1790"))
    market = market_of_files([first, second])
    frames = frames_in(play_out(market))
    assert [json.loads(frame.data)["u"] for frame in frames] == [12, 14, 16]
    assert market.book.gaps == 0


def test_aggregate_trades_match_where_no_single_ones_were_recorded(tmp_path: Path) -> None:
    agg = json.dumps({"stream": "btcusdt@aggTrade", "data": {
        "e": "aggTrade", "E": 1, "s": "BTCUSDT", "a": 7, "p": "100.00000000", "q": "3.00000000",
        "f": 1, "l": 2, "T": 1, "m": True, "M": True}})  # fmt: skip
    single = agg.replace("aggTrade", "trade").replace('"a": 7', '"t": 1')
    for lines, filled_lots in (([agg], 2), ([agg, single], 2), ([single, agg, agg], 2)):
        path = write(tmp_path / "c.raw", SPOT_SNAPSHOT, spot(11, 12, "1.00000000"), *lines)
        market = market_of(path, "binance_spot")
        order = BookOrder(1, Side.BUY, market.touch()[0], 9 * UNIT, 0)
        market.place(order, True, 1)
        at(market, 9)
        assert 9 * UNIT - order.leaves_lots == filled_lots * UNIT


def test_recorded_trades_make_the_venues_statistics_and_go_out_once() -> None:
    """Through the face: REST trades and candles, and one frame a trade."""
    market = market_of(recorded("binance_usdm/btcusdt_20220811_7s.gz"), "binance_usdm")
    face = make_face("binance_usdm", make_core("binance_usdm", [market], 1))
    t_ns = START_NS
    face.step(WsOpen(2, "/market/stream?streams=btcusdt@aggTrade", {}), t_ns)
    market.pause(MS)  # nothing is served before both listen
    face.step(WsOpen(1, "/public/stream?streams=btcusdt@trade", {}), t_ns)
    sent: list[str] = []
    while market.next_due_ns() < NEVER_NS:
        t_ns += 1_000 * MS
        sent += [a.text for a in face.step(Tick(), t_ns) if isinstance(a, WsSend)]
    trades = [text for text in sent if text.startswith('{"stream":"btcusdt@trade"')]
    assert len(trades) == 1326
    aggregates = [json.loads(t)["data"] for t in sent if '@aggTrade"' in t[:40]]
    assert 0 < len(aggregates) < 1326
    recorded_lots = sum(round(float(json.loads(t)["data"]["q"]) * 1000) for t in trades)
    query = "symbol=BTCUSDT&interval=1h&limit=1"
    request = HttpRequest(1, "GET", "/fapi/v1/klines", query, "", {})
    (answer,) = [a for a in face.step(request, t_ns) if isinstance(a, HttpAnswer)]
    (candle,) = json.loads(answer.body)
    assert round(float(candle[5]) * 1000) == recorded_lots


def market_of_files(paths: list[Path]) -> TapeMarket:
    (market,) = open_markets(paths, "binance_spot", [], 1.0)
    return market


def test_only_the_symbols_named_are_served_and_all_must_be_there() -> None:
    path = recorded("raw_multivenue/BINANCE_FUTURES.jsonl.zst")
    markets = open_markets([path], "binance_usdm", ["ctkusdt", "SUSHIUSDT"], 1.0)
    assert [market.instrument.key for market in markets] == ["CTKUSDT", "SUSHIUSDT"]
    with pytest.raises(TickmakerError, match="nothing of BTCUSDT"):
        open_markets([path], "binance_usdm", ["CTKUSDT", "BTCUSDT"], 1.0)
    with pytest.raises(TickmakerError, match="speaks bybit"):
        open_markets([path], "bybit", [], 1.0)


def test_a_step_too_fine_for_exact_money_is_refused(tmp_path: Path) -> None:
    snapshot = '{"lastUpdateId":10,"bids":[["0.000001","0.001"]],"asks":[["0.000002","0.001"]]}'
    path = write(tmp_path / "c.raw", snapshot, spot(11, 12))
    with pytest.raises(TickmakerError, match="finer than 1e-8"):
        open_markets([path], "binance_spot", [], 1.0)


# -- OWN ORDERS MEET ---


def quiet(tmp_path: Path) -> tuple[Core, TapeMarket]:
    """Bids 100 x1, 99 x7, asks 101 x2, in spot's own names; nothing moves."""
    path = write(tmp_path / "c.raw", SPOT_SNAPSHOT, spot(11, 12, "1.00000000"))
    market = market_of(path, "binance_spot")
    return Core([market], 1, None, rules_of("binance_spot")), market


def test_a_taker_meets_users_orders_in_their_place_in_the_queue(tmp_path: Path) -> None:
    core, market = quiet(tmp_path)
    ask = market.touch()[2]
    behind = accepted(core.step(place(1, Side.SELL, 3 * UNIT, ask), 1))  # the two recorded first
    core.step(place(1, Side.SELL, 1 * UNIT, ask - 1), 1)
    fills = [
        (u.order.account, u.last_px_ticks - ask, u.last_lots // UNIT)
        for u in updates(core.step(place(0, Side.BUY, 5 * UNIT, ask, tif=Tif.IOC), 2))
        if u.exec_type is Exec.TRADE
    ]
    assert fills == [(0, -1, 1), (1, -1, 1), (0, 0, 2), (0, 0, 2), (1, 0, 2)]
    assert behind.leaves_lots == 1 * UNIT


def test_matching_stops_in_front_of_an_own_order(tmp_path: Path) -> None:
    _, market = quiet(tmp_path)
    bid, _, ask, _ = market.touch()
    resting = BookOrder(1, Side.SELL, ask, 4 * UNIT, 0)
    assert market.place(resting, True, 1, False) is None
    taker = BookOrder(2, Side.BUY, ask, 5 * UNIT, 0)
    assert market.fillable_lots(taker) == 5 * UNIT
    assert market.place(taker, True, 2, False) is resting
    assert (taker.leaves_lots, resting.leaves_lots) == (3 * UNIT, 4 * UNIT)
    assert market.place(taker, True, 2, True) is None  # the two recorded ones stay taken
    assert (taker.leaves_lots, resting.leaves_lots) == (0, 1 * UNIT)
    below = BookOrder(3, Side.BUY, bid, 5 * UNIT, 0)
    assert market.place(below, True, 3, False) is None  # reaches nothing: rests
    assert market.cancel(3, 4)


def test_an_order_shrinks_in_its_place(tmp_path: Path) -> None:
    core, market = quiet(tmp_path)
    order = accepted(core.step(place(0, Side.BUY, 5 * UNIT, market.touch()[0]), 1))
    ahead_lots = market.queue.ahead_lots(order.order_id)
    assert market.shrink(order.order_id, 2 * UNIT, 2)
    assert order.leaves_lots == 3 * UNIT
    assert market.queue.ahead_lots(order.order_id) == ahead_lots == 1 * UNIT
    assert not market.shrink(order.order_id, 3 * UNIT, 2)  # that would be a cancel
    assert not market.shrink(99, 1, 2)


def test_a_recorded_trade_pulls_conditional_orders(tmp_path: Path) -> None:
    sell = json.dumps({"stream": "btcusdt@trade", "data": {
        "e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "100.00000000", "q": "3.00000000",
        "T": 1, "m": True, "M": True}})  # fmt: skip
    market = market_of(
        write(tmp_path / "c.raw", SPOT_SNAPSHOT, spot(11, 12), sell), "binance_spot"
    )
    core = Core([market], 1, None, rules_of("binance_spot"))
    buy = place(0, Side.BUY, UNIT, 9_900)
    core.step(PlaceTrigger(buy, 10_000, is_rising=False), 1)
    market.on_public_subscriber(1)
    assert not updates(core.step(Advance(), 2))
    (placed,) = updates(core.step(Advance(), 9))
    assert (placed.exec_type, placed.order.px_ticks) == (Exec.NEW, 9_900)


# -- WHAT A TAPE CAN'T ---


def test_a_tape_says_what_it_can_not_do(tmp_path: Path) -> None:
    _, market = quiet(tmp_path)
    assert not market.disturb(Shock("BTCUSDT", 5), 1)
    assert not market.can_set_tick(10)
    market.reset_sequence(1)
    (notice,) = market.drain()
    assert isinstance(notice, Notice)
    assert (notice.is_error, "can't start anew" in notice.text) == (True, True)


def test_a_pause_moves_all_that_is_to_come(tmp_path: Path) -> None:
    _, market = quiet(tmp_path)
    market.pause(5)
    assert market.next_due_ns() > LONG_NS
    market.on_public_subscriber(10)
    assert market.next_due_ns() == 10 + 1 + 5
