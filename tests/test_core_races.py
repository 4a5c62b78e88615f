"""Answers and fills come by two connections, in no order, late, twice or never: what we may still
own is never under-counted, and what can't be known halts."""

import pytest
from support_core import MS, Desk

from fastcore.journal import KIND
from fastcore.types import Command, Conn, Halt, OrderState, Verb


def resting_desk(**overrides: object) -> Desk:
    """One acknowledged quote a side."""
    desk = Desk(**overrides)
    desk.start()
    for params in desk.sent:
        desk.ack(params)
    return desk


def halts(desk: Desk) -> Halt:
    return Halt(desk.core.halt_bits)


def placed(desk: Desk) -> list[str]:
    return [params["side"] for params in desk.sent if params["verb"] == Verb.PLACE]


def cancel_bid(desk: Desk) -> dict[str, object]:
    desk.take_sent()
    desk.collect(desk.core.command(Command.HALT, desk.now_ns))
    bid, _ = desk.take_sent()
    return bid


def test_lots_that_a_cancel_reply_calls_executed_count_until_their_fill_is_booked() -> None:
    desk = resting_desk(limits__position_lots_max=10, params__position_lots_max=10.0)
    bid = desk.sent[0]
    cancel = cancel_bid(desk)
    desk.reply(cancel, 200, {"orderId": 1, "status": "CANCELED", "executedQty": "0.006"})
    desk.core.command(Command.RESUME, desk.now_ns)
    desk.timer()
    assert "BUY" not in placed(desk)  # 6 of 10 are bought already: 10 more would be 16
    desk.fill(bid, "0.006", "0.006")
    assert desk.numbers["position_lots"] == 6


def test_lots_that_a_query_calls_filled_count_until_their_fill_is_booked() -> None:
    desk = Desk(limits__position_lots_max=10, params__position_lots_max=10.0)
    desk.start()
    bid, ask = desk.take_sent()
    desk.ack(ask)
    desk.timer(after_ms=1_001)
    query = next(params for params in desk.take_sent() if params["verb"] == Verb.STATUS)
    desk.reply(query, 200, {"orderId": 1, "status": "FILLED", "executedQty": "0.010"})
    desk.timer()
    assert "BUY" not in placed(desk)
    desk.fill(bid, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 10
    assert {own["side"] for own in desk.numbers["own"]} == {1}


def test_an_order_that_owes_fills_keeps_its_slot_however_many_follow() -> None:
    desk = resting_desk(limits__orders_per_10s_max=4_000, limits__orders_per_min_max=4_000)
    cancel = cancel_bid(desk)
    desk.reply(cancel, 200, {"orderId": 1, "status": "CANCELED", "executedQty": "0.010"})
    desk.core.command(Command.RESUME, desk.now_ns)
    for _ in range(200):
        desk.timer(after_ms=1)
        for params in desk.take_sent():
            desk.reply(params, 400, code=-2019)
    assert any(own["state"] == OrderState.CANCELED for own in desk.numbers["own"])
    desk.timer(after_ms=1_001)
    assert Halt.RECONCILING in halts(desk)


def test_a_lost_fill_shows_by_the_cumulated_quantity() -> None:
    desk = resting_desk()
    desk.update(desk.sent[0], "CANCELED", "CANCELED", z="0.005")
    assert desk.numbers["position_lots"] == 0
    desk.timer(after_ms=1_001)
    assert Halt.RECONCILING in halts(desk)


def test_reconciliation_that_agrees_settles_what_was_owed() -> None:
    desk = resting_desk()
    desk.update(desk.sent[0], "CANCELED", "CANCELED", z="0.005")
    desk.update(desk.sent[1], "NEW", "NEW")
    desk.timer(after_ms=1_001)
    desk.core.account(0, 0, desk.now_ns)  # the venue, too, says that nothing was bought
    desk.core.command(Command.START, desk.now_ns)
    for _ in range(5):
        desk.timer()
        assert Halt.RECONCILING not in halts(desk)


def test_an_order_that_lives_though_we_hold_it_for_dead_halts() -> None:
    desk = Desk()
    desk.start()
    bid, ask = desk.take_sent()
    desk.ack(ask)
    desk.reply(bid, 400, code=-5022)
    desk.update(bid, "NEW", "NEW")
    assert Halt.RECONCILING in halts(desk)


def test_news_older_than_the_cancel_is_no_surprise() -> None:
    desk = resting_desk()
    bid = desk.sent[0]
    desk.update(bid, "CANCELED", "CANCELED")
    desk.update(bid, "NEW", "NEW")
    assert halts(desk) == Halt.NONE


def test_an_order_of_ours_that_we_never_placed_halts() -> None:
    desk = resting_desk()
    stray = desk.sent[0] | {"newClientOrderId": "tm0a1b2c3d-01-000000000999"}
    desk.update(stray, "NEW", "NEW")
    assert Halt.RECONCILING in halts(desk)


def test_a_liquidation_halts() -> None:
    desk = resting_desk()
    desk.update(desk.sent[0], "CALCULATED", "FILLED", z="0.010")
    assert Halt.RECONCILING in halts(desk)


@pytest.mark.parametrize(("status", "code"), [(429, -1003), (400, -1021), (503, -1000)])
def test_refusals_cause_no_storm(status: int, code: int) -> None:
    desk = resting_desk()
    desk.take_sent()
    desk.core.command(Command.HALT, desk.now_ns)
    sent = 0
    desk.collect(desk.core.timer(desk.now_ns))
    for _ in range(200):  # two seconds
        desk.timer()
        batch = desk.take_sent()
        sent += len(batch)
        for params in batch:
            desk.reply(params, status, code=code)
    assert sent <= 10


def test_a_fate_unknown_for_long_demands_reconciliation() -> None:
    desk = Desk()
    desk.start()
    desk.take_sent()
    for _ in range(8):
        desk.timer(after_ms=1_001)
        for params in desk.take_sent():
            desk.reply(params, 503, code=-1000)
    assert Halt.RECONCILING in halts(desk)


def test_trades_do_not_keep_a_dead_book_alive() -> None:
    desk = resting_desk()
    desk.take_sent()
    for step in range(30):
        desk.now_ns += 100 * MS
        desk.frame(
            Conn.MARKET,
            {"e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": step + 1, "p": "60000.10",
             "q": "0.001", "X": "MARKET", "m": False},
        )  # fmt: skip
        desk.timer(after_ms=1)
    assert Halt.FEED_STALE in halts(desk)
    assert [params["verb"] for params in desk.sent][:2] == [Verb.CANCEL, Verb.CANCEL]


def test_old_tickers_do_not_keep_a_dead_book_alive() -> None:
    desk = resting_desk()
    for _ in range(30):
        desk.now_ns += 100 * MS
        desk.update_id = 50
        desk.best("60000.00", "1.000", "60000.10", "1.000")
        desk.timer(after_ms=1)
    assert Halt.FEED_STALE in halts(desk)


def test_a_fill_without_a_book_is_marked_at_the_last_one() -> None:
    desk = resting_desk()
    bid = desk.sent[0]
    desk.core.conn(Conn.MARKET, False, desk.now_ns)
    desk.fill(bid, "0.010", "0.010")
    fill = desk.records(KIND["FILL"])[0]
    assert (fill["bid_px_ticks"], fill["ask_px_ticks"]) == (600_000, 600_001)
    assert desk.numbers["spread_half_ticks_lots"] == 50


def test_both_sides_of_one_trade_are_booked() -> None:
    desk = resting_desk()
    bid, ask = desk.sent[:2]
    desk.fill(bid, "0.010", "0.010", trade_id=77)
    desk.fill(ask, "0.010", "0.010", trade_id=77)
    assert desk.numbers["fills"] == 2
    assert desk.numbers["position_lots"] == 0


def test_an_expired_listen_key_is_not_journaled() -> None:
    desk = resting_desk()
    desk.frame(Conn.USER, {"e": "listenKeyExpired", "E": 1, "listenKey": "SECRETLISTENKEY"})
    assert Halt.USER_STREAM in halts(desk)
    assert b"SECRETLISTENKEY" not in bytes(desk.segment)


def test_a_full_journal_stays_without_a_hole() -> None:
    desk = resting_desk()
    while Halt.JOURNAL not in halts(desk):
        desk.core.frame(Conn.TRADE, b'{"id":null,"status":200,"result":{}}', 1, desk.now_ns)
    used = len(bytes(desk.segment).rstrip(b"\0"))
    desk.timer()
    assert len(bytes(desk.segment).rstrip(b"\0")) == used


def test_a_moved_touch_is_one_amend_a_side_and_its_reply_gives_the_terms() -> None:
    desk = resting_desk(quoting__modify=True)
    desk.take_sent()
    assert desk.best("60000.20", "1.000", "60000.30", "1.000") == 2
    amends = desk.take_sent()
    assert [(params["verb"], params["price"]) for params in amends] == [
        (Verb.MODIFY, "60000.5"), (Verb.MODIFY, "60000.0"),
    ]  # fmt: skip
    for params in amends:
        desk.ack(params)
    own = {(one["state"], one["px_ticks"]) for one in desk.numbers["own"]}
    assert own == {(OrderState.NEW, 600_000), (OrderState.NEW, 600_005)}


def test_a_denied_amend_pulls_the_quote() -> None:
    desk = resting_desk(quoting__modify=True, limits__orders_per_10s_max=2)
    desk.take_sent()
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    assert [params["verb"] for params in desk.take_sent()] == [Verb.CANCEL, Verb.CANCEL]
