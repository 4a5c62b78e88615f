"""Binance spot and Bybit through the whole core: their books, requests and answers.

Each scenario runs at every venue that it fits; support_venues.py says it in the venue's words.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from support_core import MS
from support_venues import BybitSpotDesk, LinearDesk, SpotDesk, VenueDesk

from engine.replay.verify import verify_run
from fastcore.journal import KIND, read_segment
from fastcore.types import Conn, Halt, OrderState, Side, Verb

S = OrderState
DESKS = [SpotDesk, LinearDesk, BybitSpotDesk]
BYBIT = [LinearDesk, BybitSpotDesk]
Made = type[VenueDesk]


@pytest.fixture(params=DESKS, ids=[desk.venue for desk in DESKS])
def make(request: pytest.FixtureRequest) -> Made:
    made: Made = request.param
    return made


@pytest.fixture(params=BYBIT, ids=[desk.venue for desk in BYBIT])
def bybit(request: pytest.FixtureRequest) -> type[LinearDesk]:
    made: type[LinearDesk] = request.param
    return made


def resting(made: Made, **overrides: Any) -> Any:
    """A quote a side, in the book; what was sent so far is forgotten but for desk.quotes."""
    desk: Any = made(**overrides)
    desk.start()
    desk.quotes = desk.take_sent()
    for order in desk.quotes:
        desk.rest(order)
    return desk


def states(desk: VenueDesk) -> list[OrderState]:
    return [OrderState(own["state"]) for own in desk.numbers["own"]]


def halts(desk: VenueDesk) -> Halt:
    return Halt(desk.core.halt_bits)


# -- BOOK ---


def test_a_core_quotes_when_its_book_is_in(make: Made) -> None:
    desk = make()
    assert desk.core.snapshot_wanted == desk.has_client_snapshot
    desk.start()
    assert halts(desk) == Halt.NONE
    bid, ask = desk.sent
    assert (bid["verb"], bid["side"], bid["px"], bid["qty"]) == (
        Verb.PLACE, Side.BUY, "59999.8", "0.010"
    )  # fmt: skip
    assert (ask["verb"], ask["side"], ask["px"], ask["qty"]) == (
        Verb.PLACE, Side.SELL, "60000.3", "0.010"
    )  # fmt: skip


def test_a_gap_halts_and_asks_for_what_mends_it(make: Made) -> None:
    desk = resting(make)
    assert desk.depth([["60000.00", "2.000"]], [], skip=5) == 2
    assert [order["verb"] for order in desk.sent] == [Verb.CANCEL, Verb.CANCEL]
    assert Halt.BOOK in halts(desk)
    wanted = (desk.core.snapshot_wanted, desk.core.resubscribe_wanted)
    assert wanted == (desk.has_client_snapshot, not desk.has_client_snapshot)
    desk.snapshot([["60000.00", "1.000"]], [["60000.10", "1.000"]])
    desk.depth([], [])
    assert Halt.BOOK not in halts(desk)
    assert not desk.core.snapshot_wanted
    assert not desk.core.resubscribe_wanted


def test_a_best_price_moves_the_quotes_before_the_depth_does(make: Made) -> None:
    desk = resting(make)
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    assert [order["px"] for order in desk.sent if order["verb"] == Verb.PLACE] == [
        "60000.0", "60000.5",
    ]  # fmt: skip
    desk.depth([["60000.20", "3.000"]], [["60000.10", "0"], ["60000.30", "3.000"]])
    assert desk.numbers["bid_qty_lots"] == 3_000  # newer than the best price


def test_a_best_price_older_than_the_depth_is_not_believed(bybit: type[LinearDesk]) -> None:
    """u of level 1 is far behind the book's u all the same: only seq compares."""
    desk = resting(bybit)
    old = desk.venue_order_id
    desk.depth([["60000.00", "2.000"]], [])
    newest, desk.venue_order_id = desk.venue_order_id, old - 7
    assert desk.best("59990.00", "1.000", "59990.10", "1.000") == 0
    assert desk.numbers["bid_qty_lots"] == 2_000
    desk.venue_order_id = newest
    desk.best("60000.00", "5.000", "60000.10", "1.000")
    assert desk.numbers["bid_qty_lots"] == 5_000


def test_a_snapshot_in_the_stream_replaces_the_book(bybit: type[LinearDesk]) -> None:
    desk = resting(bybit)
    desk.update_id = 0  # the service restarted
    desk.snapshot([["60001.00", "1.000"]], [["60001.10", "1.000"]])
    assert (desk.numbers["bid_px_ticks"], halts(desk)) == (600_010, Halt.NONE)
    desk.depth([["60001.00", "2.000"]], [])
    assert (desk.numbers["bid_qty_lots"], halts(desk)) == (2_000, Halt.NONE)


# -- REQUESTS ---


def test_spot_wording_of_requests() -> None:
    desk = SpotDesk()
    desk.start()
    raw = desk.sent[0]["raw"]
    assert raw["method"] == "order.place"
    assert raw["params"]["type"] == "LIMIT_MAKER"
    assert "timeInForce" not in raw["params"]
    desk.rest(desk.sent[0])
    desk.rest(desk.sent[1])
    desk.take_sent()
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    cancel = desk.sent[0]["raw"]
    assert cancel["method"] == "order.cancel"
    assert cancel["params"]["origClientOrderId"].startswith("tm0a1b2c3d-01-")


def test_bybit_wording_of_requests(bybit: type[LinearDesk]) -> None:
    desk = resting(bybit, quoting__modify=True)
    raw = desk.quotes[0]["raw"]
    assert (raw["op"], raw["args"][0]["timeInForce"]) == ("order.create", "PostOnly")
    assert raw["args"][0]["category"] == bybit.category
    assert set(raw["header"]) == {"X-BAPI-TIMESTAMP", "X-BAPI-RECV-WINDOW"}
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    amend = next(order["raw"] for order in desk.sent if order["verb"] == Verb.MODIFY)
    assert amend["op"] == "order.amend"
    assert {"price", "qty", "orderLinkId"} <= set(amend["args"][0])
    assert "timeInForce" not in amend["args"][0]


# -- ANSWERS ---


def test_an_accepted_order_rests_only_when_the_venue_says_so(make: Made) -> None:
    desk = make()
    desk.start()
    for order in desk.take_sent():
        desk.accept(order)
    is_final = make is SpotDesk
    assert states(desk) == [S.NEW if is_final else S.PENDING_NEW] * 2


def test_an_accepted_order_that_nobody_tells_of_is_reconciled(bybit: type[LinearDesk]) -> None:
    """There is no query on the trade connection."""
    desk = bybit(budgets__ack_ms_max=100)
    desk.start()
    for order in desk.take_sent():
        desk.accept(order)
    desk.timer(100)
    assert states(desk) == [S.UNKNOWN] * 2
    assert halts(desk) == Halt.RECONCILING  # the session asks over REST
    desk.timer(1)
    assert halts(desk) == Halt.RECONCILING | Halt.USER_STREAM
    assert all(order["verb"] == Verb.CANCEL for order in desk.sent)


def test_a_partial_fill_is_booked_once_and_leaves_the_rest(make: Made) -> None:
    desk = resting(make)
    bid = desk.quotes[0]
    desk.fill(bid, "0.004", "0.004", fee="0.04799984", trade_id=77)
    numbers = desk.numbers
    assert (numbers["position_lots"], numbers["fills"]) == (4, 1)
    assert numbers["cash_ticks_lots"] == -4 * 599_998
    assert numbers["fees_e8"] == 4_799_984
    own = next(own for own in numbers["own"] if own["side"] == Side.BUY)
    assert (OrderState(own["state"]), own["leaves_lots"]) == (S.PARTIALLY_FILLED, 6)
    desk.fill(bid, "0.004", "0.004", fee="0.04799984", trade_id=77)  # told twice
    assert (desk.numbers["position_lots"], desk.numbers["duplicate_fills"]) == (4, 1)
    desk.fill(bid, "0.006", "0.010", trade_id=78)
    assert desk.numbers["position_lots"] == 10
    assert all(own["intent_id"] != bid["intent_id"] for own in desk.numbers["own"])
    assert halts(desk) == Halt.NONE


@pytest.mark.parametrize(
    ("asset", "fees"), [("USDT", (1_000, 0, 0)), ("BTC", (0, 1_000, 0)), ("BNB", (0, 0, 1_000))]
)
def test_a_fee_is_booked_in_what_it_was_paid(
    make: Made, asset: str, fees: tuple[int, ...]
) -> None:
    desk = resting(make)
    desk.fill(desk.quotes[0], "0.004", "0.004", fee="0.00001000", asset=asset)
    numbers = desk.numbers
    assert tuple(numbers[f"fees{of}_e8"] for of in ("", "_base", "_other")) == fees


def test_a_fill_told_by_the_order_alone_is_owed_and_stops_us(bybit: type[LinearDesk]) -> None:
    desk = resting(bybit, budgets__ack_ms_max=100)
    bid = desk.quotes[0]
    done = desk.item(bid, orderStatus="Filled", cumExecQty="0.010", leavesQty="0")
    desk.orders(done)
    assert desk.numbers["position_lots"] == 0
    desk.timer(200)
    assert Halt.RECONCILING in halts(desk)
    desk.fill(bid, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 10


def test_a_frame_of_many_is_taken_whole(bybit: type[LinearDesk]) -> None:
    desk = resting(bybit)
    bid, ask = desk.quotes
    desk.executions(
        desk.trade(bid, "0.004", "0.006", "0.01", "USDT", 1),
        desk.trade(ask, "0.003", "0.007", "0.01", "USDT", 2),
        desk.trade(bid, "0.006", "0.000", "0.01", "USDT", 3),
    )
    assert (desk.numbers["fills"], desk.numbers["position_lots"]) == (3, 7)
    assert desk.numbers["fees_e8"] == 3_000_000
    new = desk.take_sent()[-1]
    desk.accept(new)
    desk.orders(
        desk.item(ask, orderStatus="Cancelled", cumExecQty="0.003", leavesQty="0"),
        desk.item(new),
    )
    own = {own["intent_id"]: OrderState(own["state"]) for own in desk.numbers["own"]}
    assert own[new["intent_id"]] == S.NEW
    assert ask["intent_id"] not in own


def test_a_cancel_is_done_when_the_venue_says_so(make: Made) -> None:
    desk = resting(make)
    desk.depth([["60000.00", "2.000"]], [], skip=5)
    cancels = desk.take_sent()
    for cancel in cancels:
        assert cancel["verb"] == Verb.CANCEL
        desk.accept(cancel)
    if make is not SpotDesk:
        assert states(desk) == [S.PENDING_CANCEL] * 2
        desk.fill(desk.quotes[0], "0.004", "0.004")  # which a cancel accepted does not exclude
        assert desk.numbers["position_lots"] == 4
    for order in desk.quotes:
        desk.push(order, "Cancelled")
    assert desk.core.working_count == 0


def test_a_post_only_order_that_would_take_is_over(make: Made) -> None:
    desk = make()
    desk.start()
    bid, ask = desk.take_sent()
    desk.rest(ask)
    if make is SpotDesk:  # refused at once
        desk.refuse(bid, -2010)
    else:  # accepted, then cancelled
        desk.accept(bid)
        desk.push(bid, "Expired")
    assert all(own["intent_id"] != bid["intent_id"] for own in desk.numbers["own"])
    assert halts(desk) == Halt.NONE


def test_a_plain_refusal_ends_the_order_alone(make: Made) -> None:
    desk = make()
    desk.start()
    bid, ask = desk.take_sent()
    desk.rest(ask)
    desk.refuse(bid, *make.REFUSED)  # type: ignore[attr-defined]
    assert all(own["intent_id"] != bid["intent_id"] for own in desk.numbers["own"])
    assert halts(desk) == Halt.NONE


@pytest.mark.parametrize(("kind", "bit"), [("TOO_FAST", Halt.RATE_LIMIT), ("CLOCK", Halt.CLOCK)])
def test_too_fast_or_a_wrong_clock_halts(make: Made, kind: str, bit: Halt) -> None:
    desk = make()
    desk.start()
    bid, ask = desk.take_sent()
    desk.rest(ask)
    desk.refuse(bid, *getattr(make, kind))
    assert halts(desk) == bit
    assert [order["verb"] for order in desk.sent] == [Verb.CANCEL]


def test_an_amend_is_over_when_it_is_pushed(bybit: type[LinearDesk]) -> None:
    desk = resting(bybit, quoting__modify=True)
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    amends = desk.take_sent()
    assert [order["verb"] for order in amends] == [Verb.MODIFY, Verb.MODIFY]
    quotes = {quote["intent_id"]: quote for quote in desk.quotes}
    for amend in amends:
        desk.accept(amend)
        quotes[amend["intent_id"]] |= {"px": amend["px"], "qty": amend["qty"]}
    assert states(desk) == [S.PENDING_REPLACE] * 2
    for quote in desk.quotes:
        desk.push(quote, "New")
    assert states(desk) == [S.NEW] * 2
    assert {own["px_ticks"] for own in desk.numbers["own"]} == {600_000, 600_005}
    assert desk.take_sent() == []


# -- JOURNAL ---


def traded(made: Made) -> Any:
    desk = resting(made, quoting__modify=True, halts__repeated_fills_max=1000)
    for step in range(12):
        desk.timer()
        desk.best(f"6000{step % 3}.00", "1.000", f"6000{step % 3}.10", "1.500")
        for order in desk.take_sent():
            if order["verb"] == Verb.PLACE:
                desk.rest(order)
                desk.fill(order, "0.003", "0.003", fee="0.01")
            else:
                desk.accept(order)
    desk.depth([], [], skip=3)
    desk.timer()
    return desk


def verified(segment: bytes, run_dir: Path) -> dict[str, Any]:
    (run_dir / "journal" / "desk").mkdir(parents=True)
    (run_dir / "journal" / "desk" / "000000.jnl").write_bytes(segment)
    (run_dir / "config.json").write_text(json.dumps({"credential": {"kind": "none"}}))
    return verify_run(run_dir)


def test_a_journal_replays_to_the_same_bytes(make: Made, tmp_path: Path) -> None:
    desk = traded(make)
    result = verified(bytes(desk.segment), tmp_path)
    assert result["first_difference"] is None
    assert result["identical"] is True
    assert result["orders"] == desk.numbers["orders_sent"] >= 2


LOGON = {
    SpotDesk: (
        b'{"id":"c1","status":200,"result":{"apiKey":"THE-KEY","authorizedSince":1,"serverTime":2}}',
        b'{"id":"c1","status":401,"error":{"code":-2015,"msg":"Invalid API-key THE-KEY"}}',
    ),
    LinearDesk: (
        b'{"retCode":0,"retMsg":"OK THE-KEY","op":"auth","connId":"cnt5leec0hvan15eukcg-2t"}',
        b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid THE-KEY","connId":"a"}',
    ),
}


@pytest.mark.parametrize("made", LOGON, ids=[desk.venue for desk in LOGON])
@pytest.mark.parametrize("which", [0, 1], ids=["done", "refused"])
def test_no_key_of_a_logon_stands_in_the_journal(made: Made, which: int, tmp_path: Path) -> None:
    desk = resting(made)
    buf = LOGON[made][which]
    desk.collect(desk.core.frame(Conn.TRADE, buf, desk.now_ns, desk.now_ns))
    assert (Halt.RECONCILING in halts(desk)) == bool(which)
    desk.now_ns += MS
    desk.depth([["60000.00", "2.000"]], [])
    segment = bytes(desk.segment)
    assert b"THE-KEY" not in segment
    frames = [bytes(rec[6]) for rec in read_segment(segment) if rec[1] == KIND["FRAME"]]
    assert any(b"10003" in frame or b"-2015" in frame for frame in frames) == bool(which)
    assert verified(segment, tmp_path)["identical"] is True
