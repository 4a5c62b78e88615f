"""The chain as a whole: what goes in, what comes out, and what stops it."""

import hashlib
import hmac
import sys

import pytest
from support_core import API_KEY, MS, SECRET, Desk, core_config, unmask

from fastcore.core import Core
from fastcore.journal import KIND, JournalWriter, read_segment
from fastcore.types import (
    Command,
    Conn,
    FeeAsset,
    FillOwner,
    FillVia,
    Halt,
    OrderState,
    SendOutcome,
    Verb,
)


def quoting_desk(**overrides: object) -> Desk:
    """Two acknowledged quotes, one a side."""
    desk = Desk(**overrides)
    desk.start()
    for params in desk.sent:
        desk.ack(params)
    return desk


def states(desk: Desk) -> list[OrderState]:
    return [OrderState(own["state"]) for own in desk.numbers["own"]]


def test_nothing_is_sent_before_start() -> None:
    desk = Desk()
    desk.core.clock(0, desk.now_ns)
    for conn in Conn:
        desk.core.conn(conn, True, desk.now_ns)
    desk.snapshot([["60000.00", "1.000"]], [["60000.10", "1.000"]])
    assert desk.depth([["60000.00", "2.000"]], []) == 0
    assert Halt(desk.core.halt_bits) == Halt.RECONCILING


def test_start_quotes_both_sides_of_the_microprice() -> None:
    desk = Desk()
    desk.start()
    bid, ask = desk.sent
    assert (bid["side"], bid["price"], bid["quantity"]) == ("BUY", "59999.8", "0.010")
    assert (ask["side"], ask["price"], ask["quantity"]) == ("SELL", "60000.3", "0.010")
    assert bid["timeInForce"] == ask["timeInForce"] == "GTX"


def test_order_is_signed_over_its_sorted_parameters() -> None:
    desk = Desk()
    desk.start()
    raw = {k: v for k, v in desk.sent[0].items()
           if k not in ("verb", "id", "cause_ts_ns", "deadline_ns", "out_seq")}  # fmt: skip
    signature = raw.pop("signature")
    payload = "&".join(f"{key}={raw[key]}" for key in sorted(raw))
    assert signature == hmac.new(SECRET, payload.encode(), hashlib.sha256).hexdigest()
    assert raw["timestamp"] == (desk.now_ns + 1_700_000_000_000 * MS) // MS


def test_a_moved_touch_replaces_both_quotes_cancels_first() -> None:
    desk = quoting_desk()
    desk.take_sent()
    assert desk.best("60000.20", "1.000", "60000.30", "1.000") == 4
    assert [params["verb"] for params in desk.sent] == [
        Verb.CANCEL, Verb.CANCEL, Verb.PLACE, Verb.PLACE,
    ]  # fmt: skip
    assert [params["price"] for params in desk.sent[2:]] == ["60000.0", "60000.5"]


def test_an_unmoved_touch_sends_nothing() -> None:
    desk = quoting_desk()
    assert desk.best("60000.00", "1.000", "60000.10", "1.000") == 0


def test_a_quote_within_requote_ticks_is_kept() -> None:
    desk = quoting_desk(quoting__requote_ticks=5, params__half_spread_ticks=20.0)
    assert desk.best("60000.30", "1.000", "60000.40", "1.000") == 0
    assert desk.best("60000.80", "1.000", "60000.90", "1.000") == 4


def test_a_side_is_requoted_at_most_once_per_interval_but_pulled_at_once() -> None:
    desk = quoting_desk(quoting__requote_ms=50, params__half_spread_ticks=20.0)
    assert desk.best("60001.00", "1.000", "60001.10", "1.000") == 0
    desk.now_ns += 50 * MS
    assert desk.best("60001.10", "1.000", "60001.20", "1.000") == 4
    for params in desk.take_sent():
        desk.ack(params)
    assert desk.collect(desk.core.command(Command.HALT, desk.now_ns)) == 2


def test_fill_moves_position_cash_fees_and_spread_exactly() -> None:
    desk = quoting_desk()
    bid = desk.sent[0]
    desk.fill(bid, "0.004", "0.004", fee="0.04799984")
    numbers = desk.numbers
    assert numbers["position_lots"] == 4
    assert numbers["cash_ticks_lots"] == -4 * 599_998
    assert numbers["fees_e8"] == 4_799_984
    # mid 600000.5 ticks, bought at 599998: 2.5 ticks on 4 lots, kept in half-ticks.
    assert numbers["spread_half_ticks_lots"] == 20
    assert numbers["fills"] == 1


def test_the_same_trade_is_booked_once() -> None:
    desk = quoting_desk()
    bid = desk.sent[0]
    desk.fill(bid, "0.004", "0.004", trade_id=77)
    desk.fill(bid, "0.004", "0.004", trade_id=77)
    assert desk.numbers["position_lots"] == 4
    assert desk.numbers["duplicate_fills"] == 1


def test_a_fill_after_cancel_is_still_booked() -> None:
    desk = quoting_desk()
    bid = desk.sent[0]
    desk.update(bid, "CANCELED", "CANCELED")
    desk.fill(bid, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 10
    fill = desk.records(KIND["FILL"])[0]
    assert (fill["qty_lots"], fill["px_ticks"]) == (10, 599_998)


def test_a_fee_in_another_asset_is_recorded_as_such_and_is_no_quote_money() -> None:
    desk = quoting_desk()
    trade = {"l": "0.004", "z": "0.004", "L": "59999.8", "t": 9, "n": "0.00001", "N": "BNB"}
    desk.update(desk.sent[0], "TRADE", "PARTIALLY_FILLED", **trade)
    fill = desk.records(KIND["FILL"])[0]
    assert (fill["fee_e8"], fill["fee_asset"]) == (1_000, FeeAsset.OTHER)
    assert (desk.numbers["fees_e8"], desk.numbers["fees_other_e8"]) == (0, 1_000)


def test_inventory_leans_the_quotes_against_the_position() -> None:
    desk = quoting_desk()
    bid, _ = desk.take_sent()
    desk.fill(bid, "0.010", "0.010")
    placed = [params for params in desk.sent if params["verb"] == Verb.PLACE]
    # Long ten lots of ten: the fair value is one tick lower, so is each new quote.
    # What reduces the position goes first.
    assert [params["price"] for params in placed] == ["60000.2", "59999.7"]


def test_a_lost_market_connection_pulls_the_quotes() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.collect(desk.core.conn(Conn.MARKET, False, desk.now_ns))
    assert [params["verb"] for params in desk.sent] == [Verb.CANCEL, Verb.CANCEL]
    assert Halt(desk.core.halt_bits) == Halt.BOOK


def test_a_gap_pulls_the_quotes_and_wants_a_snapshot() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.depth([["60000.00", "3.000"]], [], prev=desk.update_id - 5)
    assert [params["verb"] for params in desk.sent] == [Verb.CANCEL, Verb.CANCEL]
    assert desk.core.snapshot_wanted
    assert desk.numbers["gaps"] == 1


def test_a_malformed_market_frame_makes_the_book_unknown() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.collect(
        desk.core.frame(Conn.MARKET, b'{"e":"depthUpdate","s":"BTCUSDT","U":', 1, desk.now_ns)
    )
    assert [params["verb"] for params in desk.sent] == [Verb.CANCEL, Verb.CANCEL]
    assert desk.core.snapshot_wanted


def test_a_malformed_user_frame_demands_reconciliation() -> None:
    desk = quoting_desk()
    desk.core.frame(Conn.USER, b'{"e":"ORDER_TRADE_UPDATE","o":{"s":"BTC', 1, desk.now_ns)
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)


def test_an_unknown_user_message_demands_reconciliation() -> None:
    desk = quoting_desk()
    desk.frame(Conn.USER, {"e": "SOMETHING_NEW", "E": 1})
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)


def test_an_unknown_market_message_is_counted_and_ignored() -> None:
    desk = quoting_desk()
    desk.frame(Conn.MARKET, {"e": "somethingNew", "E": 1, "s": "BTCUSDT"})
    assert desk.core.halt_bits == 0
    assert desk.numbers["unknown"] == 1


def test_a_silent_feed_goes_stale_and_comes_back_with_hysteresis() -> None:
    desk = quoting_desk()
    desk.timer(after_ms=2_001)
    assert Halt.FEED_STALE in Halt(desk.core.halt_bits)
    desk.best("60000.00", "2.000", "60000.10", "1.000")
    assert Halt.FEED_STALE in Halt(desk.core.halt_bits)
    desk.now_ns += 500 * MS
    desk.best("60000.00", "1.000", "60000.10", "1.000")
    assert Halt.FEED_STALE not in Halt(desk.core.halt_bits)


def test_shutdown_pulls_everything_and_never_quotes_again() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.collect(desk.core.command(Command.SHUTDOWN, desk.now_ns))
    assert [params["verb"] for params in desk.take_sent()] == [Verb.CANCEL, Verb.CANCEL]
    desk.core.command(Command.RESUME, desk.now_ns)
    desk.best("60005.00", "1.000", "60005.10", "1.000")
    assert desk.sent == []


def test_an_unknown_order_reply_to_a_cancel_asks_the_venue() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.collect(desk.core.command(Command.HALT, desk.now_ns))
    cancel = desk.take_sent()[0]
    desk.reply(cancel, 400, code=-2011)
    assert OrderState.UNKNOWN in states(desk)
    desk.timer()
    query = desk.take_sent()[0]
    assert query["verb"] == Verb.STATUS
    assert query["origClientOrderId"] == cancel["origClientOrderId"]
    desk.reply(query, 200, {"orderId": 1, "status": "FILLED", "executedQty": "0.010"})
    assert OrderState.UNKNOWN not in states(desk)


def test_fills_that_a_reply_tells_of_and_no_stream_does_demand_reconciliation() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.collect(desk.core.command(Command.HALT, desk.now_ns))
    cancel = desk.take_sent()[0]
    desk.reply(cancel, 200, {"orderId": 1, "status": "CANCELED", "executedQty": "0.003"})
    desk.timer(after_ms=1_001)
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)


def test_an_unacknowledged_order_is_asked_for_and_counts_at_full_size() -> None:
    desk = Desk()
    desk.start()
    desk.take_sent()
    desk.timer(after_ms=1_001)
    assert states(desk) == [OrderState.UNKNOWN, OrderState.UNKNOWN]
    queries = desk.take_sent()
    assert [params["verb"] for params in queries] == [Verb.STATUS, Verb.STATUS]
    # Nothing is placed before its fate is known; what is wanted no more is pulled all the same.
    assert desk.best("60001.00", "1.000", "60001.10", "1.000") == 2
    assert [params["verb"] for params in desk.take_sent()] == [Verb.CANCEL, Verb.CANCEL]
    assert states(desk) == [OrderState.UNKNOWN, OrderState.UNKNOWN]
    # "No such order" proves nothing while the request may still be on its way.
    desk.reply(queries[0], 400, code=-2013)
    assert states(desk) == [OrderState.UNKNOWN, OrderState.UNKNOWN]
    desk.timer(after_ms=1_001)
    query = next(params for params in desk.take_sent() if params["verb"] == Verb.STATUS)
    desk.reply(query, 400, code=-2013)
    assert states(desk) == [OrderState.UNKNOWN]


def test_a_rejected_order_is_replaced_on_the_next_look() -> None:
    desk = Desk()
    desk.start()
    bid, ask = desk.take_sent()
    desk.ack(ask)
    desk.reply(bid, 400, code=-2019)
    assert [params["side"] for params in desk.take_sent()] == ["BUY"]


def test_a_side_refused_for_post_only_waits_until_the_touch_moves() -> None:
    desk = Desk()
    desk.start()
    bid, ask = desk.take_sent()
    desk.ack(ask)
    desk.reply(bid, 400, code=-5022)
    assert not desk.take_sent()
    desk.best("60000.00", "2.000", "60000.10", "1.000")
    assert not desk.take_sent()
    desk.best("59999.90", "1.000", "60000.10", "1.000")
    assert "BUY" in [params.get("side") for params in desk.take_sent()]


@pytest.mark.parametrize(("status", "code"), [(429, -1003), (418, -1003), (400, -1015)])
def test_a_rate_limit_reply_halts_for_a_window(status: int, code: int) -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    place = next(params for params in desk.sent if params["verb"] == Verb.PLACE)
    desk.reply(place, status, code=code)
    assert Halt.RATE_LIMIT in Halt(desk.core.halt_bits)
    desk.timer(after_ms=9_999)
    assert Halt.RATE_LIMIT in Halt(desk.core.halt_bits)
    desk.timer(after_ms=1)
    assert Halt.RATE_LIMIT not in Halt(desk.core.halt_bits)


def test_a_late_order_is_not_working_and_is_counted() -> None:
    desk = Desk()
    desk.core.clock(0, desk.now_ns)
    for conn in Conn:
        desk.core.conn(conn, True, desk.now_ns)
    desk.snapshot([["60000.00", "1.000"]], [["60000.10", "1.000"]])
    desk.depth([], [])
    desk.core.account(0, 0, desk.now_ns)
    desk.core.command(Command.START, desk.now_ns)
    for out_seq, *_, deadline_ns in desk.core.outgoing():
        assert deadline_ns == desk.now_ns + 5_000_000
        desk.core.send(out_seq, SendOutcome.LATE, deadline_ns + 1, deadline_ns + 1, desk.now_ns)
    assert desk.numbers["late"] == 2
    assert desk.core.working_count == 0


def test_cancels_have_no_deadline() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.core.command(Command.HALT, desk.now_ns)
    assert [out[6] for out in desk.core.outgoing()] == [0, 0]


def test_a_partial_send_leaves_the_order_unknown() -> None:
    desk = quoting_desk()
    desk.now_ns += 100 * MS
    desk.core.command(Command.HALT, desk.now_ns)
    out_seq = desk.core.outgoing()[0][0]
    desk.core.send(out_seq, SendOutcome.PARTIAL, desk.now_ns, desk.now_ns, desk.now_ns)
    assert OrderState.UNKNOWN in states(desk)


def test_a_failed_cancel_is_tried_again() -> None:
    desk = quoting_desk()
    desk.take_sent()
    desk.core.command(Command.HALT, desk.now_ns)
    for out in desk.core.outgoing():
        desk.core.send(out[0], SendOutcome.FAILED, desk.now_ns, desk.now_ns, desk.now_ns)
    desk.timer()
    assert [params["verb"] for params in desk.sent] == [Verb.CANCEL, Verb.CANCEL]


def test_a_report_on_another_input_is_refused() -> None:
    desk = quoting_desk()
    assert desk.core.send(1, SendOutcome.SENT, 0, 0, desk.now_ns) < 0


@pytest.mark.parametrize(
    ("client_id", "owner"),
    [("web_abc", FillOwner.STRANGER), ("tm99999999-01-00000000002a", FillOwner.EARLIER)],
)
def test_others_orders_are_counted_and_their_fills_booked_and_doubted(
    client_id: str, owner: FillOwner
) -> None:
    desk = quoting_desk()
    other = {"newClientOrderId": client_id, "side": "BUY", "quantity": "0.010"}
    desk.update(other, "NEW", "NEW")
    desk.update(other, "CANCELED", "CANCELED")
    # One of an earlier run lives, or did, though nobody here waits for it.
    is_ours = owner == FillOwner.EARLIER
    assert Halt(desk.core.halt_bits) == (Halt.RECONCILING if is_ours else Halt.NONE)
    assert (desk.numbers["strangers"], desk.numbers["position_lots"]) == (2, 0)
    desk.fill(other, "0.003", "0.003", px="59999.00")
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)
    [fill] = desk.records(KIND["FILL"])
    assert (fill["owner"], fill["via"], fill["qty_lots"]) == (owner, FillVia.STREAM, 3)
    numbers = desk.numbers
    assert numbers["position_lots"] == 3
    assert (numbers["stranger_fills"], numbers["earlier_fills"]) == (
        owner == FillOwner.STRANGER, owner == FillOwner.EARLIER,
    )  # fmt: skip


def test_another_symbols_frame_changes_nothing() -> None:
    desk = quoting_desk()
    before = desk.numbers
    message = (b'{"e":"bookTicker","u":999999,"s":"ETHUSDT","b":"1.00","B":"1","a":"2.00",'
               b'"A":"1","T":1,"E":1}')  # fmt: skip
    assert desk.core.frame(Conn.MARKET, message, 1, desk.now_ns) == 0
    assert desk.numbers["bid_px_ticks"] == before["bid_px_ticks"]
    assert desk.numbers["other_symbol"] == 1


def test_a_venue_position_unlike_ours_keeps_us_halted() -> None:
    desk = quoting_desk()
    desk.fill(desk.sent[0], "0.010", "0.010")
    desk.core.account(7, 0, desk.now_ns)
    desk.core.command(Command.START, desk.now_ns)
    assert desk.core.has_diverged
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)


def test_a_position_held_before_the_run_is_the_opening() -> None:
    desk = Desk()
    desk.start(position_lots=5)
    assert desk.numbers["position_lots"] == 5
    # Worth nothing yet, to within the tick-lot that integer cash can be off by.
    assert abs(float(desk.core.stats()["pnl"]["total"])) <= 0.0001


def test_a_position_that_appears_later_is_never_adopted() -> None:
    desk = quoting_desk()
    desk.core.account(5, 0, desk.now_ns)
    assert desk.numbers["position_lots"] == 0
    assert desk.core.has_diverged


def test_a_venue_query_that_finds_nothing_clears_our_orders() -> None:
    desk = quoting_desk()
    desk.core.conn(Conn.TRADE, False, desk.now_ns)
    desk.core.account(0, 0, desk.now_ns)
    assert desk.core.working_count == 0
    assert desk.records(KIND["ORDER"])[-1]["state"] == OrderState.CANCELED


def test_a_full_journal_halts_and_still_cancels() -> None:
    desk = quoting_desk()
    desk.take_sent()
    while (
        desk.core.frame(Conn.TRADE, b'{"id":null,"status":200,"result":{}}', 1, desk.now_ns) >= 0
    ):
        if Halt.JOURNAL in Halt(desk.core.halt_bits):
            break
    desk.timer()
    verbs = [unmask(out[4])["method"] for out in desk.core.outgoing()]
    sent = [params["verb"] for params in desk.sent]
    assert set(sent) == {Verb.CANCEL}
    assert len(sent) == 2 or verbs == ["order.cancel", "order.cancel"]
    assert Halt.JOURNAL in Halt(desk.core.halt_bits)


def test_the_journal_holds_neither_key_nor_signature() -> None:
    desk = quoting_desk()
    written = bytes(desk.segment)
    signature = desk.sent[0]["signature"].encode()
    assert API_KEY not in written
    assert SECRET not in written
    assert signature not in written
    assert b'"method":"order.place"' in written


def test_two_cores_fed_alike_write_the_same_journal() -> None:
    desks = [quoting_desk(), quoting_desk()]
    for desk in desks:
        desk.best("60000.20", "1.000", "60000.30", "1.000")
        desk.fill(desk.sent[0], "0.002", "0.002")
        desk.timer(after_ms=100)
    assert desks[0].segment == desks[1].segment


def test_every_out_record_precedes_its_send() -> None:
    desk = quoting_desk()
    kinds = [record[1] for record in read_segment(desk.segment)]
    assert kinds.index(KIND["OUT"]) < kinds.index(KIND["SEND"])
    assert kinds.count(KIND["OUT"]) == kinds.count(KIND["SEND"])


def test_tick_to_order_counts_sends_that_a_frame_caused() -> None:
    desk = quoting_desk()
    assert desk.core.histogram.summary()["n"] == 0  # START is a command, not a tick
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    assert desk.core.histogram.summary()["n"] == 4
    assert desk.core.histogram.summary()["max_us"] == pytest.approx(1.0, rel=1e-3)


def test_pnl_parts_add_up_to_the_total() -> None:
    desk = quoting_desk()
    desk.fill(desk.sent[0], "0.010", "0.010", fee="0.12")
    desk.best("60004.00", "1.000", "60004.10", "1.000")
    pnl = {key: float(value) for key, value in desk.core.stats()["pnl"].items()}
    # bought 0.010 at 59999.80, mid now 60004.05: +0.0425, less the fee of 0.12
    assert pnl["total"] == pytest.approx(0.0425 - 0.12)
    assert pnl["spread"] == pytest.approx(0.0025)
    assert pnl["fees"] == pytest.approx(-0.12)
    assert pnl["total"] == pytest.approx(pnl["spread"] + pnl["inventory"] + pnl["fees"])


def test_steady_state_allocates_no_python_object() -> None:
    desk = quoting_desk(journal=False)
    frames = [
        b'{"e":"bookTicker","u":%d,"s":"BTCUSDT","b":"60000.00","B":"%d.000","a":"60000.10",'
        b'"A":"1.000","T":1,"E":1}' % (1_000 + i, 1 + i % 7)
        for i in range(2_000)
    ]
    core, now_ns = desk.core, desk.now_ns

    def run() -> None:
        for payload in frames:
            core.frame(0, payload, now_ns, now_ns)

    run()
    before = sys.getallocatedblocks()
    run()
    assert abs(sys.getallocatedblocks() - before) < 20


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"strategy": "nope"}, "Unknown strategy"),
        ({"params": {"half": 1.0}}, "Unknown parameter"),
        ({"params": {"qty_lots": 0.5}}, "qty_lots"),
        ({"limits__qty_lots_max": 0}, "limits.qty_lots_max"),
        ({"run_tag": "XYZ"}, "run_tag"),
        ({"venue": "nowhere"}, "Unknown venue"),
        ({"limits__qty_lots": 1}, "did you mean"),
        ({"budgets__ack_ms_max": float("nan")}, "ack_ms_max"),
        ({"tick": "0"}, "tick"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(overrides: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Core(core_config(**overrides), API_KEY, SECRET)


def test_a_credential_never_shows() -> None:
    core = Desk().core
    shown = repr(core) + str(core) + str(core.config)
    assert SECRET.decode() not in shown
    assert API_KEY.decode() not in shown
    with pytest.raises(TypeError):
        core.__reduce__()


def test_a_journal_too_small_for_the_config_is_refused() -> None:
    writer = JournalWriter(bytearray(4_160))
    while writer.append(4, 0, b"", 0):
        pass
    with pytest.raises(ValueError, match="no room"):
        Core(core_config(), API_KEY, SECRET, writer)
