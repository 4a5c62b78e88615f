"""Bybit decoder: recorded data and documented samples as the twin has them; damage is refused."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_bybit import LINEAR, NOT_OURS, PREFIX, SAMPLES, SPOT, rest_of
from support_data import capture_messages

from fastcore.codec import bybit_decode as fast
from fastcore.hash import hash64
from fastcore.types import Code, EventKind, ExecType, FeeAsset, OrderState, Side, Verb
from tests.reference import codec_bybit as twin

S = SAMPLES


def number(text):
    return hash64(text.encode()) >> 2


@pytest.fixture(params=[fast.BybitDecoder, twin.BybitDecoder], ids=["fast", "reference"])
def make(request):
    return request.param


# -- Books ---


def test_decode_snapshot_gives_levels_and_its_own_id(make):
    assert make(*LINEAR).decode_bytes(S["snapshot"]) == (
        EventKind.SNAPSHOT,
        {
            "first_update_id": 18521288, "final_update_id": 18521288, "prev_final_update_id": -1,
            "cross_seq": 7961638724, "exch_ts_ns": 1672304484976000000,
            "bids": [(164935, 6), (164930, 100)], "asks": [(166110, 29), (166120, 213)],
        },
    )  # fmt: skip


def test_decode_delta_gives_depth(make):
    assert make(*LINEAR).decode_bytes(S["delta"]) == (
        EventKind.DEPTH,
        {
            "first_update_id": 177400507, "final_update_id": 177400507,
            "prev_final_update_id": -1, "cross_seq": 66544703342,
            "exch_ts_ns": 1687940967464000000,
            "bids": [(302472, 30028), (302400, 0)], "asks": [(302487, 0), (302493, 892)],
        },
    )  # fmt: skip


def test_decode_first_id_after_a_restart_is_a_snapshot(make):
    restarted = S["delta"].replace(b'"u":177400507', b'"u":1')
    kind, book = make(*LINEAR).decode_bytes(restarted)
    assert (kind, book["final_update_id"]) == (EventKind.SNAPSHOT, 1)


def test_decode_book_without_engine_time_has_the_push_time(make):
    _, book = make(*LINEAR).decode_bytes(S["delta"].replace(b',"cts":1687940967464', b""))
    assert book["exch_ts_ns"] == 1687940967466000000


@pytest.mark.parametrize("sample", ["snapshot", "delta", "best"])
def test_decode_book_without_seq_compares_with_nothing(make, sample):
    """0 is never newer than what a book knows."""
    _, book = make(*LINEAR).decode_bytes(re.sub(rb',"seq":[0-9]+', b"", S[sample]))
    assert book.get("cross_seq", book.get("update_id")) == 0
    for seq, code in ((b'"7"', Code.MALFORMED), (b"-7", Code.MALFORMED), (b"9" * 19, Code.RANGE)):
        buf = re.sub(rb'"seq":[0-9]+', b'"seq":' + seq, S[sample])
        assert make(*LINEAR).decode_bytes(buf) == (code, {})


@pytest.mark.parametrize("depth", [b"200", b"1000", b"25"])
def test_decode_any_depth_is_a_book(make, depth):
    buf = S["delta"].replace(b"orderbook.50.", b"orderbook." + depth + b".")
    assert make(*LINEAR).decode_bytes(buf)[0] == EventKind.DEPTH


def test_decode_level_1_is_the_touch(make):
    assert make(*LINEAR).decode_bytes(S["best"]) == (
        EventKind.BEST,
        {
            "update_id": 7, "exch_ts_ns": 1672304484976000000, "bid_px_ticks": 164935,
            "bid_qty_lots": 6, "ask_px_ticks": 166110, "ask_qty_lots": 29,
        },
    )  # fmt: skip


def test_decode_level_1_without_a_side_has_zeros_there(make):
    kind, best = make(*LINEAR).decode_bytes(S["best"].replace(b'["16611.00","0.029"]', b""))
    assert (kind, best["ask_px_ticks"], best["ask_qty_lots"]) == (EventKind.BEST, 0, 0)
    assert best["bid_px_ticks"] == 164935


@pytest.mark.parametrize(("count", "kind"), [(16384, EventKind.DEPTH), (16385, Code.FULL)])
def test_decode_levels_up_to_the_limit(make, count, kind):
    levels = b",".join(b'["%d.1","1"]' % i for i in range(count))
    buf = S["delta"].replace(b'["30248.70","0"],["30249.30","0.892"]', levels)
    code, depth = make(*LINEAR).decode_bytes(buf)
    assert code == kind
    if kind == EventKind.DEPTH:
        assert depth["asks"][-1] == ((count - 1) * 10 + 1, 1000)


# -- Trades ---


def test_decode_trades_come_one_by_one_in_order(make):
    kind, trades = make(*LINEAR).decode_all_bytes(S["trades"])
    assert kind == EventKind.TRADE
    assert trades == [
        {
            "trade_id": number("20f43950-d8dd-5b31-9112-a178eb6023af"),
            "exch_ts_ns": 1672304486865000000, "px_ticks": 165785, "qty_lots": 1,
            "aggressor": Side.BUY, "is_market": 1,
        },
        {
            "trade_id": number("f1"), "exch_ts_ns": 1672304486866000000, "px_ticks": 165780,
            "qty_lots": 20, "aggressor": Side.SELL, "is_market": 0,
        },
    ]  # fmt: skip


def test_next_event_gives_what_is_pending_and_then_nothing():
    decoder = fast.BybitDecoder(*LINEAR)
    kind, first = decoder.decode_bytes(S["trades"])
    assert (kind, first["qty_lots"]) == (EventKind.TRADE, 1)
    kind, second = decoder.next_event_bytes()
    assert (kind, second["qty_lots"]) == (EventKind.TRADE, 20)
    assert decoder.next_event_bytes() == (EventKind.NONE, {})
    assert decoder.next_event_bytes() == (EventKind.NONE, {})


@pytest.mark.parametrize("then", [b"", S["delta"], S["subscribed"]])
def test_next_message_drops_what_was_pending(then):
    decoder = fast.BybitDecoder(*LINEAR)
    decoder.decode_bytes(S["trades"])
    decoder.decode_bytes(then)
    assert decoder.next_event_bytes() == (EventKind.NONE, {})


def test_decode_bad_last_item_gives_no_event_at_all():
    decoder = fast.BybitDecoder(*LINEAR)
    assert decoder.decode_bytes(S["trades"].replace(b'"0.020"', b'"0.0201"'))[0] == Code.RANGE
    assert decoder.next_event_bytes() == (EventKind.NONE, {})


@pytest.mark.parametrize(("count", "code"), [(1024, EventKind.TRADE), (1025, Code.FULL)])
def test_decode_trades_up_to_the_venues_limit(make, count, code):
    message = json.loads(S["trades"], parse_float=Decimal)
    message["data"] = [message["data"][0] | {"T": i} for i in range(count)]
    kind, trades = make(*LINEAR).decode_all_bytes(json.dumps(message).encode())
    assert kind == code
    if kind == EventKind.TRADE:
        assert [trade["exch_ts_ns"] for trade in trades] == [i * 10**6 for i in range(count)]


@pytest.mark.parametrize(
    ("trade_id", "expected"),
    [
        ("2280000001739247417", 2280000001739247417),
        (str(2**62 - 1), 2**62 - 1),
        (str(2**62), number(str(2**62))),
        ("00", number("00")),
        ("99999999999999999999", number("99999999999999999999")),
        ("0", 0),
    ],
)
def test_decode_ids_that_are_numbers_stand_for_themselves(make, trade_id, expected):
    buf = S["trades"].replace(b'"f1"', b'"%b"' % trade_id.encode())
    assert make(*LINEAR).decode_all_bytes(buf)[1][1]["trade_id"] == expected


# -- Orders and executions ---


def test_decode_order_is_state_without_a_trade(make):
    assert make(*LINEAR).decode_bytes(S["order"]) == (
        EventKind.ORDER,
        {
            "intent_id": 42, "venue_order_id": number("5cf98598-39a7-459e-97bf-76ca765ee020"),
            "trade_id": -1, "exch_ts_ns": 1672364262457000000, "exec_type": ExecType.STATUS,
            "status": OrderState.NEW, "side": Side.BUY, "is_maker": 0, "px_ticks": 300000,
            "qty_lots": 10, "cum_qty_lots": 0, "last_px_ticks": 0, "last_qty_lots": 0,
            "fee_e8": 0, "fee_asset": FeeAsset.QUOTE,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reason", "state", "exec_type"),
    [
        ("Untriggered", "EC_NoError", OrderState.NEW, ExecType.STATUS),
        ("Triggered", "EC_NoError", OrderState.NEW, ExecType.STATUS),
        ("PartiallyFilled", "EC_NoError", OrderState.PARTIALLY_FILLED, ExecType.STATUS),
        ("Filled", "EC_NoError", OrderState.FILLED, ExecType.STATUS),
        ("Filled", "EC_OrigClOrdIDDoesNotExist", OrderState.FILLED, ExecType.STATUS),
        ("Cancelled", "EC_PerCancelRequest", OrderState.CANCELED, ExecType.CANCELED),
        ("Cancelled", "EC_PostOnlyWillTakeLiquidity", OrderState.EXPIRED, ExecType.EXPIRED),
        ("Rejected", "EC_PostOnlyWillTakeLiquidity", OrderState.EXPIRED, ExecType.EXPIRED),
        ("Cancelled", "EC_NoImmediateQtyToFill", OrderState.EXPIRED, ExecType.EXPIRED),
        ("Cancelled", "EC_CancelForNoFullFill", OrderState.EXPIRED, ExecType.EXPIRED),
        ("Rejected", "EC_ReachRiskPriceLimit", OrderState.REJECTED, ExecType.REJECTED),
        ("PartiallyFilledCanceled", "EC_NoError", OrderState.CANCELED, ExecType.CANCELED),
        ("Deactivated", "EC_NoError", OrderState.CANCELED, ExecType.CANCELED),
    ],
)
def test_decode_order_status_and_reason_give_the_state(make, status, reason, state, exec_type):
    buf = S["order"].replace(b'"New"', b'"%b"' % status.encode())
    buf = buf.replace(b"EC_NoError", reason.encode())
    kind, order = make(*LINEAR).decode_bytes(buf)
    assert (kind, order["status"], order["exec_type"]) == (EventKind.ORDER, state, exec_type)
    assert (order["trade_id"], order["last_qty_lots"]) == (-1, 0)


def test_decode_execution_is_the_trade(make):
    assert make(*LINEAR).decode_bytes(S["execution"]) == (
        EventKind.ORDER,
        {
            "intent_id": 42, "venue_order_id": number("9aac161b-8ed6-450d-9cab-c5cc67c21784"),
            "trade_id": number("0ab1bdf7-4219-438b-b30a-32ec863018f7"),
            "exch_ts_ns": 1746270400353000000, "exec_type": ExecType.TRADE,
            "status": OrderState.PARTIALLY_FILLED, "side": Side.SELL, "is_maker": 1,
            "px_ticks": 949425, "qty_lots": 500, "cum_qty_lots": 400, "last_px_ticks": 959001,
            "last_qty_lots": 300, "fee_e8": 2637252750, "fee_asset": FeeAsset.QUOTE,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        (b'"leavesQty":"0.1"', b'"leavesQty":"0"', "status", OrderState.FILLED),
        (b'"leavesQty":"0.1"', b'"leavesQty":"0.000"', "cum_qty_lots", 500),
        (b'"isMaker":true', b'"isMaker":false', "is_maker", 0),
        (b'"execType":"Trade"', b'"execType":"AdlTrade"', "exec_type", ExecType.CALCULATED),
        (b'"execType":"Trade"', b'"execType":"BustTrade"', "exec_type", ExecType.CALCULATED),
        (b'"execType":"Trade"', b'"execType":"Settle"', "exec_type", ExecType.CALCULATED),
        (b'"execType":"Trade"', b'"execType":"BlockTrade"', "exec_type", ExecType.CALCULATED),
        (b'"orderPrice":"94942.5"', b'"orderPrice":""', "px_ticks", 0),
        (b'"execFee":"26.3725275"', b'"execFee":"-0.5"', "fee_e8", -50000000),
        (b'"execFee":"26.3725275"', b'"execFee":"0.000000001"', "fee_e8", 1),
        (b'"execFee":"26.3725275"', b'"execFee":"-0.000000019"', "fee_e8", -1),
        (b'"execFee":"26.3725275"', b'"execFee":"0.000000010000000000"', "fee_e8", 1),
        (b'"execFee":"26.3725275"', b'"execFee":"9999999999.99999999"', "fee_e8", 10**18 - 1),
        (b'"feeCurrency":"USDT"', b'"feeCurrency":""', "fee_asset", FeeAsset.QUOTE),
        (b'"feeCurrency":"USDT"', b'"feeCurrency":"BTC"', "fee_asset", FeeAsset.BASE),
        (b'"feeCurrency":"USDT"', b'"feeCurrency":"MNT"', "fee_asset", FeeAsset.OTHER),
        (b"tm0123abcd-01-", b"tm0123abcd-02-", "intent_id", -2),
        (b"tm0123abcd-01-", b"xm0123abcd-01-", "intent_id", -1),
        (b"tm0123abcd-01-00000000002a", b"", "intent_id", -1),
        (b"00000000002a", b"00000000002A", "intent_id", -1),
        (b"00000000002a", b"ffffffffffff", "intent_id", 2**48 - 1),
    ],
)  # fmt: skip
def test_decode_execution_variants(make, old, new, field, value):
    assert old in S["execution"]
    kind, order = make(*LINEAR).decode_bytes(S["execution"].replace(old, new, 1))
    assert (kind, order[field]) == (EventKind.ORDER, value)


def test_decode_spot_execution_without_currency_is_of_another_asset(make):
    buf = S["execution"].replace(b"linear", b"spot").replace(b',"feeCurrency":"USDT"', b"")
    kind, order = make("BTCUSDT", "0.1", "0.000001", PREFIX, "spot").decode_bytes(buf)
    assert (kind, order["fee_asset"]) == (EventKind.ORDER, FeeAsset.OTHER)


def test_decode_fast_execution_has_no_order_and_no_fee(make):
    kind, order = make(*LINEAR).decode_bytes(S["fast_execution"])
    assert (kind, order["exec_type"]) == (EventKind.ORDER, ExecType.TRADE)
    assert order["trade_id"] == number("3510f361-0add-5c7b-a2e7-9679810944fc")
    assert (order["qty_lots"], order["cum_qty_lots"], order["fee_e8"]) == (0, 0, 0)
    assert (order["last_px_ticks"], order["last_qty_lots"]) == (120150, 3000)


def test_decode_executions_pass_over_other_instruments(make):
    message = json.loads(S["execution"])
    (ours,) = message["data"]
    others = [ours | {"symbol": "ETHUSDT", "execQty": "0.00001"}, ours | {"category": "inverse"}]
    funding = ours | {"execType": "Funding", "execQty": "x"}
    message["data"] = [others[0], ours, funding, ours | {"execId": "7"}, others[1]]
    kind, orders = make(*LINEAR).decode_all_bytes(json.dumps(message).encode())
    assert kind == EventKind.ORDER
    assert [order["trade_id"] for order in orders] == [number(ours["execId"]), 7]
    message["data"] = others
    assert make(*LINEAR).decode_bytes(json.dumps(message).encode()) == (Code.OTHER_SYMBOL, {})
    message["data"] = [*others, funding]
    assert make(*LINEAR).decode_bytes(json.dumps(message).encode()) == (EventKind.IGNORED, {})
    message["data"] = []
    assert make(*LINEAR).decode_bytes(json.dumps(message).encode()) == (EventKind.IGNORED, {})


# -- Account ---


@pytest.mark.parametrize(
    ("side", "size", "lots"), [("Buy", "0.01", 10), ("Sell", "0.01", -10), ("", "0", 0)]
)
def test_decode_position_is_signed_by_its_side(make, side, size, lots):
    buf = S["position"].replace(b'"Sell"', b'"%b"' % side.encode())
    assert make(*LINEAR).decode_bytes(buf.replace(b'"0.01"', b'"%b"' % size.encode())) == (
        EventKind.ACCOUNT,
        {
            "exch_ts_ns": 1762199125472000000, "has_position": 1, "has_balance": 0,
            "position_lots": lots, "balance_e8": 0,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("balance", "e8"),
    [
        (b"9647.75912276", 964775912276), (b"-1.5", -150000000), (b"0.000000019", 1),
        (b"-0.000000001", -1), (b"0", 0),
    ],
)  # fmt: skip
def test_decode_wallet_gives_the_quote_balance_rounded_down(make, balance, e8):
    assert make(*LINEAR).decode_bytes(S["wallet"].replace(b"9647.7", balance)) == (
        EventKind.ACCOUNT,
        {
            "exch_ts_ns": 1700034722104000000, "has_position": 0, "has_balance": 1,
            "position_lots": 0, "balance_e8": e8,
        },
    )  # fmt: skip


def test_decode_wallet_of_other_coins_is_not_ours(make):
    other = S["wallet"].replace(b'"coin":"USDT"', b'"coin":"USDC"')
    assert make(*LINEAR).decode_bytes(other) == (Code.OTHER_SYMBOL, {})
    assert make(*LINEAR[:6], "").decode_bytes(S["wallet"]) == (EventKind.IGNORED, {})


# -- Replies and session ---


@pytest.mark.parametrize(
    ("op", "state"),
    [
        ("create", OrderState.PENDING_NEW), ("amend", OrderState.PENDING_REPLACE),
        ("cancel", OrderState.PENDING_CANCEL),
    ],
)  # fmt: skip
def test_decode_reply_says_accepted_and_never_done(make, op, state):
    buf = S["reply"].replace(b"order.create", b"order." + op.encode())
    assert make(*LINEAR).decode_bytes(buf) == (
        EventKind.REPLY,
        {
            "intent_id": 42, "verb": Verb.PLACE, "status": 200, "error_code": 0,
            "order_status": state, "cum_qty_lots": -1, "cancel_status": 0, "new_status": 0,
            "px_ticks": 0, "qty_lots": 0,
            "venue_order_id": number("a4c1718e-fe53-4659-a118-1f6ecce04ad9"),
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status"),
    [(170131, 400), (110001, 400), (20006, 400), (10006, 429), (10018, 429), (10429, 429),
     (10403, 429), (20003, 429), (170222, 429), (10000, 500), (10016, 500), (10019, 400)],
)  # fmt: skip
def test_decode_error_reply_gives_code_and_status(make, code, status):
    kind, reply = make(*LINEAR).decode_bytes(S["refused"].replace(b"170131", b"%d" % code))
    assert (kind, reply["status"], reply["error_code"]) == (EventKind.REPLY, status, code)
    assert (reply["order_status"], reply["venue_order_id"]) == (OrderState.FREE, -1)
    assert (reply["verb"], reply["intent_id"]) == (Verb.MODIFY, 2**48 - 1)


@pytest.mark.parametrize("request_id", NOT_OURS)
def test_decode_reply_to_another_request_is_not_ours(make, request_id):
    buf = S["reply"].replace(b'"100000000002a-0191346a2179"', request_id)
    kind, reply = make(*LINEAR).decode_bytes(buf)
    assert (kind, reply["intent_id"], reply["verb"]) == (EventKind.REPLY, -1, 0)


def test_decode_reply_with_a_short_request_id_is_ours(make):
    _, reply = make(*LINEAR).decode_bytes(S["reply"].replace(b"-0191346a2179", b""))
    assert (reply["intent_id"], reply["verb"]) == (42, Verb.PLACE)


def test_decode_batch_reply_gives_each_order(make):
    kind, replies = make(*LINEAR).decode_all_bytes(S["batch"])
    assert kind == EventKind.REPLY
    told = [(r["intent_id"], r["verb"], r["status"], r["error_code"]) for r in replies]
    assert told == [(1, Verb.PLACE, 200, 0), (2, Verb.PLACE, 400, 10001), (-1, 1, 429, 10006)]
    assert [r["order_status"] for r in replies] == [OrderState.PENDING_NEW, 0, 0]
    assert [r["venue_order_id"] for r in replies] == [1523347543495541248, -1, -1]


def test_decode_batch_refused_as_a_whole_is_one_reply(make):
    message = json.loads(S["batch"]) | {"retCode": 10429, "data": {}, "retExtInfo": {}}
    kind, replies = make(*LINEAR).decode_all_bytes(json.dumps(message).encode())
    told = [(r["intent_id"], r["verb"], r["status"], r["error_code"]) for r in replies]
    assert (kind, told) == (EventKind.REPLY, [(1, Verb.BATCH, 429, 10429)])


@pytest.mark.parametrize(
    ("sample", "status", "code"),
    [
        ("subscribed", 200, 0), ("spot_subscribed", 200, 0), ("not_subscribed", 400, 0),
        ("authenticated", 200, 0), ("not_authenticated", 400, 10003), ("unsubscribed", 200, 0),
    ],
)  # fmt: skip
def test_decode_session_answers(make, sample, status, code):
    kind, reply = make(*LINEAR).decode_bytes(S[sample])
    assert (kind, reply["status"], reply["error_code"]) == (EventKind.SESSION, status, code)
    assert (reply["intent_id"], reply["verb"]) == (-1, 0)


@pytest.mark.parametrize("sample", ["ping", "pong", "trade_pong", "tickers", "kline"])
def test_decode_known_but_useless_is_ignored(make, sample):
    assert make(*LINEAR).decode_bytes(S[sample]) == (EventKind.IGNORED, {})


@pytest.mark.parametrize(
    "sample", ["authenticated", "not_authenticated", "subscribed", "unsubscribed"]
)
def test_what_a_journal_may_hold_decodes_to_the_same_event(sample):
    decoder = fast.BybitDecoder(*LINEAR)
    said = decoder.decode_bytes(S[sample])
    safe = decoder.safe_bytes()
    assert len(safe) < 60
    assert decoder.decode_bytes(safe) == said
    assert decoder.safe_bytes() == safe


# -- Recorded data ---


@pytest.mark.parametrize(
    "instrument",
    [
        LINEAR, ("ETHUSDT", "0.01", "0.01"), ("SOLUSDT", "0.010", "0.1"),
        ("DOGEUSDT", "0.00001", "1"),
        SPOT, ("ETHUSDT", "0.01", "0.00001", "", "spot", "ETH", "USDT"),
    ],
    ids=["btc", "eth", "sol", "doge", "spot-btc", "spot-eth"],
)  # fmt: skip
def test_decode_recorded_capture_as_the_twin(instrument):
    decoder, reference = fast.BybitDecoder(*instrument), twin.BybitDecoder(*instrument)
    conn = "BYBIT.ws.3" if "spot" in instrument else "BYBIT.ws.2"
    kinds, last, seq = {}, None, 0
    for buf in capture_messages("BYBIT.jsonl.zst", conn):
        decoded = decoder.decode_all_bytes(buf)
        assert decoded == reference.decode_all_bytes(buf), buf[:300]
        kinds[decoded[0]] = kinds.get(decoded[0], 0) + 1
        if decoded[0] == EventKind.DEPTH:
            assert decoded[1][0]["final_update_id"] == last + 1
            assert decoded[1][0]["cross_seq"] > seq
        if decoded[0] in (EventKind.DEPTH, EventKind.SNAPSHOT):
            last, seq = decoded[1][0]["final_update_id"], decoded[1][0]["cross_seq"]
    assert kinds[EventKind.DEPTH] > 200
    assert kinds[EventKind.TRADE] > 5
    assert kinds.keys() == {
        EventKind.DEPTH, EventKind.TRADE, EventKind.SNAPSHOT, EventKind.IGNORED,
        EventKind.SESSION, Code.OTHER_SYMBOL,
    }  # fmt: skip


# -- Damage against the twin ---


def agree(decoder, reference, buf):
    """Refused by both, or decoded alike, or refused by the stricter twin alone."""
    kind, events = decoder.decode_all_bytes(buf)
    twin_kind, twin_events = reference.decode_all_bytes(buf)
    if twin_kind > 0 or kind < 0:
        assert (kind > 0) == (twin_kind > 0), (buf, kind, twin_kind)
    if kind > 0 and twin_kind > 0:
        assert (kind, events) == (twin_kind, twin_events), buf
    if kind < 0:
        assert rest_of(decoder) == [], buf


def plain(buf):
    """Escapes stay unresolved in the fast decoder, so a damaged one may spell another name."""
    return b"\\" not in buf


@settings(max_examples=700)
@given(st.data())
def test_decode_mutated_message_agrees_with_twin(data):
    buf = bytearray(S[data.draw(st.sampled_from(sorted(S)))])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(buf) - 1))
        byte = data.draw(st.sampled_from(b'0189.-"{}[],: eEtTsSbBaAu\\\n') | st.integers(0, 255))
        action = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        buf[at : at + (action != "insert")] = bytes([byte] * (action != "delete"))
    if plain(buf):
        agree(fast.BybitDecoder(*LINEAR), twin.BybitDecoder(*LINEAR), bytes(buf))
    else:
        fast.BybitDecoder(*LINEAR).decode_bytes(bytes(buf))


@pytest.mark.parametrize("sample", ["delta", "trades", "execution", "wallet", "batch", "refused"])
def test_decode_every_single_byte_change_agrees_with_twin(sample):
    decoder, reference = fast.BybitDecoder(*LINEAR), twin.BybitDecoder(*LINEAR)
    for at in range(len(S[sample])):
        for byte in b'09."}]x,':
            agree(decoder, reference, S[sample][:at] + bytes([byte]) + S[sample][at + 1 :])


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_decode_any_bytes_never_crashes(buf):
    decoder = fast.BybitDecoder(*LINEAR)
    assert decoder.decode_bytes(buf)[0] < 0
    decoder.decode_bytes(b'{"topic":"order","data":[{' + buf)
