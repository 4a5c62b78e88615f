"""What the edge tells a core over REST, and of itself: opening, executions, orders, parameters,
conditions; and what a core makes of a user stream that says nothing."""

import struct
from typing import Any

import pytest
from support_core import MS, Desk, core_config
from support_venues import BybitSpotDesk, LinearDesk
from test_core_exits import Trade, exits

from fastcore.core import Core
from fastcore.core_config import params_of
from fastcore.gate import CODES
from fastcore.journal import KIND, read_segment
from fastcore.types import Code, Command, Conn, FillOwner, FillVia, Halt, OrderState, Side

S = OrderState
STATE = next(code for code, (name, _) in CODES.items() if name == "STATE")


def quoting_desk(**overrides: Any) -> Desk:
    """Two quotes, acknowledged and told of."""
    desk = Desk(**overrides)
    desk.start()
    for params in desk.sent:
        desk.ack(params)
        desk.update(params, "NEW", "NEW")
    return desk


def halts(desk: Desk) -> Halt:
    return Halt(desk.core.halt_bits)


def own(desk: Desk, side: Side) -> dict[str, Any]:
    [order] = [order for order in desk.numbers["own"] if order["side"] == side]
    return order


def row(desk: Desk, **changes: Any) -> dict[str, Any]:
    """4 lots of our bid, as REST has them."""
    return {
        "trade_id": 77, "venue_order_id": 900, "intent_id": intent(desk.sent[0]),
        "owner": FillOwner.RUN, "side": Side.BUY, "px_ticks": 599_998, "qty_lots": 4,
        "fee_e8": 5, "fee_asset": 0, "is_maker": True, "exch_ts_ns": 9_000_000,
        "now_ns": desk.now_ns,
    } | changes  # fmt: skip


def intent(params: dict[str, Any]) -> int:
    return int(params["newClientOrderId"][-12:], 16)


def told(desk: Desk, status: OrderState, **changes: Any) -> None:
    """What REST says of our bid."""
    bid = own(desk, Side.BUY)
    desk.core.query(**{
        "intent_id": bid["intent_id"], "is_absent": False, "order_status": status,
        "venue_order_id": 901, "px_ticks": bid["px_ticks"], "qty_lots": bid["qty_lots"],
        "cum_qty_lots": 0, "now_ns": desk.now_ns,
    } | changes)  # fmt: skip
    desk.collect(0)


# -- NUMBER ---


@pytest.mark.parametrize("number", [0, 1, 4095])
def test_intents_begin_with_the_cores_number(number: int) -> None:
    desk = quoting_desk(number=number)
    for index, params in enumerate(desk.sent):
        assert params["newClientOrderId"] == f"tm0a1b2c3d-01-{number:03x}{index + 1:09x}"
        assert params["id"] == f"1{number:03x}{index + 1:09x}"
    assert [order["client_id"] for order in desk.numbers["own"]] == [
        params["newClientOrderId"] for params in desk.sent
    ]
    assert all(order["state"] == S.NEW for order in desk.numbers["own"])


@pytest.mark.parametrize("number", [-1, 4096, True, "1", None])
def test_another_number_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match=r"number 0\.\.4095"):
        Core(core_config(number=number), b"K" * 64, b"S" * 64)


def test_the_number_is_required() -> None:
    config = core_config()
    del config["number"]
    with pytest.raises(ValueError, match="number is required"):
        Core(config, b"K" * 64, b"S" * 64)


# -- OPENING ---


@pytest.mark.parametrize("is_before_book", [True, False])
def test_what_was_held_before_the_run_is_no_profit(is_before_book: bool) -> None:
    desk = Desk()
    if is_before_book:
        assert desk.core.opening(7, desk.now_ns) == 0
        assert desk.numbers["position_lots"] == 7
    desk.core.clock(0, desk.now_ns)
    for conn in Conn:
        desk.core.conn(conn, True, desk.now_ns)
    desk.snapshot([["60000.00", "1.000"]], [["60000.10", "1.000"]])
    desk.depth([], [])
    if not is_before_book:
        assert desk.core.opening(7, desk.now_ns) == 0
    numbers = desk.numbers
    assert (numbers["position_lots"], numbers["opening_lots"]) == (7, 7)
    assert abs(2 * numbers["cash_ticks_lots"] + 7 * (600_000 + 600_001)) <= 1
    desk.core.account(7, 0, desk.now_ns)
    desk.core.command(Command.START, desk.now_ns)
    assert halts(desk) == Halt.NONE


def test_recovered_fills_come_on_top_of_the_opening() -> None:
    desk = Desk()
    desk.core.opening(7, desk.now_ns)
    late = row_of_another_run(desk, qty_lots=3, px_ticks=599_000)
    assert desk.core.fill_row(**late) == 1
    numbers = desk.numbers
    # No book yet: what was held is worth what the first trade paid.
    assert (numbers["position_lots"], numbers["cash_ticks_lots"]) == (10, -10 * 599_000)
    assert desk.core.opening(8, desk.now_ns) == Code.STATE
    assert desk.numbers["position_lots"] == 10


def row_of_another_run(desk: Desk, **changes: Any) -> dict[str, Any]:
    desk.sent = desk.sent or [{"newClientOrderId": "tm0a1b2c3d-01-000000000000"}]
    return row(desk, intent_id=-1, owner=FillOwner.EARLIER, **changes)


# -- EXECUTIONS ---


def test_an_execution_read_over_rest_is_booked_once_whichever_way_it_comes_first() -> None:
    for first in ("stream", "rest"):
        desk = quoting_desk()
        bid = desk.sent[0]
        if first == "rest":
            assert desk.core.fill_row(**row(desk)) == 1
        desk.fill(bid, "0.004", "0.004", fee="0.00000005", trade_id=77)
        assert desk.core.fill_row(**row(desk)) == 0
        numbers = desk.numbers
        assert (numbers["position_lots"], numbers["fills"], numbers["fees_e8"]) == (4, 1, 5)
        assert numbers["cash_ticks_lots"] == -4 * 599_998
        assert numbers["last_trade_ts_ns"] == (9_000_000 if first == "rest" else MS)
        assert (own(desk, Side.BUY)["state"], own(desk, Side.BUY)["cum_qty_lots"]) == (
            S.PARTIALLY_FILLED, 4,
        )  # fmt: skip
        [fill] = desk.records(KIND["FILL"])
        assert fill["via"] == (FillVia.REST if first == "rest" else FillVia.STREAM)
        assert (fill["owner"], fill["intent_id"]) == (FillOwner.RUN, intent(bid))
        assert halts(desk) == Halt.NONE


def test_both_sides_of_one_trade_may_be_ours() -> None:
    desk = quoting_desk()
    assert desk.core.fill_row(**row(desk)) == 1
    ask = row(desk, intent_id=intent(desk.sent[1]), side=Side.SELL)
    assert desk.core.fill_row(**ask) == 1
    assert desk.core.fill_row(**ask) == 0
    assert (desk.numbers["position_lots"], desk.numbers["fills"]) == (0, 2)


def test_an_order_executed_in_full_over_rest_is_filled() -> None:
    desk = quoting_desk()
    desk.core.fill_row(**row(desk, qty_lots=4))
    desk.core.fill_row(**row(desk, qty_lots=6, trade_id=78))
    [order] = [r for r in desk.records(KIND["ORDER"]) if r["state"] == S.FILLED]
    assert (order["intent_id"], order["cum_qty_lots"]) == (intent(desk.sent[0]), 10)
    assert intent(desk.sent[0]) not in [order["intent_id"] for order in desk.numbers["own"]]


@pytest.mark.parametrize("owner", [FillOwner.EARLIER, FillOwner.STRANGER])
def test_anothers_execution_moves_the_position_and_says_whose_it_is(owner: FillOwner) -> None:
    desk = quoting_desk()
    assert desk.core.fill_row(**row(desk, intent_id=-1, owner=owner)) == 1
    [fill] = desk.records(KIND["FILL"])
    assert (fill["owner"], fill["via"], fill["position_after_lots"]) == (owner, FillVia.REST, 4)
    assert own(desk, Side.BUY)["cum_qty_lots"] == 0
    assert desk.numbers["position_lots"] == 4


@pytest.mark.parametrize(
    "wrong",
    [{"owner": 3}, {"owner": -1}, {"side": 2}, {"px_ticks": 0}, {"qty_lots": 0},
     {"trade_id": -1}, {"fee_asset": 3}],
)  # fmt: skip
def test_what_is_no_execution_is_refused(wrong: dict[str, int]) -> None:
    desk = quoting_desk()
    with pytest.raises(ValueError, match="Expected an execution"):
        desk.core.fill_row(**row(desk, **wrong))


def test_recovered_fills_do_not_count_as_a_burst() -> None:
    desk = quoting_desk(halts__repeated_fills_max=2, halts__repeated_ms=60_000)
    for trade_id in range(20):
        desk.core.fill_row(**row(desk, trade_id=trade_id, qty_lots=1, intent_id=-1, owner=1))
    assert Halt.REPEATED_EXECUTION not in halts(desk)


def test_a_trade_is_known_after_eight_thousand_others() -> None:
    desk = quoting_desk()
    for trade_id in range(8_192):
        assert desk.core.fill_row(
            **row(desk, trade_id=trade_id, qty_lots=1, intent_id=-1, owner=1, side=trade_id % 2)
        )
    assert desk.core.fill_row(**row(desk, trade_id=0, owner=1, intent_id=-1)) == 0
    assert desk.numbers["position_lots"] == 0


# -- ORDERS ---


def test_a_query_settles_an_order_in_doubt() -> None:
    desk = quoting_desk()
    desk.core.command(Command.HALT, desk.now_ns)
    desk.collect(0)
    assert not desk.core.is_quiet  # cancels are on their way
    for cancel in desk.take_sent()[-2:]:
        desk.reply(cancel, 400, code=-2011)
    assert [each["state"] for each in desk.numbers["own"]] == [S.UNKNOWN] * 2
    assert desk.core.is_quiet
    told(desk, S.CANCELED)
    assert [each["side"] for each in desk.numbers["own"]] == [Side.SELL]


def test_what_a_query_says_is_executed_is_owed() -> None:
    desk = quoting_desk()
    desk.core.command(Command.HALT, desk.now_ns)
    desk.collect(0)
    told(desk, S.CANCELED, cum_qty_lots=4)
    bid = own(desk, Side.BUY)
    assert (bid["cum_qty_lots"], bid["venue_cum_qty_lots"], bid["leaves_lots"]) == (0, 4, 4)
    assert desk.core.fill_row(**row(desk)) == 1
    assert [each["side"] for each in desk.numbers["own"]] == [Side.SELL]


def test_an_absent_order_is_dead_once_it_could_not_arrive_any_more() -> None:
    desk = Desk(budgets__ack_ms_max=100, recv_window_ms=1_000)
    desk.start()  # nothing is answered
    desk.now_ns += 1_100 * MS
    told(desk, S.FREE, is_absent=True)
    bid = own(desk, Side.BUY)
    assert bid["state"] == S.PENDING_NEW
    desk.now_ns += 1
    told(desk, S.FREE, is_absent=True)
    assert bid["intent_id"] not in [each["intent_id"] for each in desk.numbers["own"]]
    states = [r["state"] for r in desk.records(KIND["ORDER"]) if r["intent_id"] == 1]
    assert states[-1] == S.REJECTED


def test_an_order_found_alive_that_had_ended_for_us_is_doubted() -> None:
    desk = quoting_desk()
    bid = own(desk, Side.BUY)
    told(desk, S.CANCELED)
    desk.core.query(intent_id=bid["intent_id"], is_absent=False, order_status=S.NEW,
                    venue_order_id=900, px_ticks=1, qty_lots=10, cum_qty_lots=0,
                    now_ns=desk.now_ns)  # fmt: skip
    assert Halt.RECONCILING in halts(desk)


def test_a_query_of_an_order_that_is_not_remembered_changes_nothing() -> None:
    desk = quoting_desk()
    before = desk.numbers
    for intent_id in (-1, 999):
        desk.core.query(intent_id=intent_id, is_absent=False, order_status=S.NEW,
                        venue_order_id=1, px_ticks=1, qty_lots=10, cum_qty_lots=3,
                        now_ns=desk.now_ns)  # fmt: skip
    assert desk.numbers == before


@pytest.mark.parametrize("made", [LinearDesk, BybitSpotDesk])
def test_without_a_query_on_the_trade_connection_a_doubt_asks_the_session(
    made: type[LinearDesk],
) -> None:
    desk = made(budgets__ack_ms_max=100)
    desk.start()
    desk.timer(99)
    assert halts(desk) == Halt.NONE
    desk.timer(1)
    assert halts(desk) == Halt.RECONCILING
    assert [each["state"] for each in desk.numbers["own"]] == [S.UNKNOWN] * 2
    assert desk.core.is_quiet


# -- PARAMETERS ---


def test_parameters_change_while_running_and_stand_in_the_journal() -> None:
    desk = quoting_desk()
    assert len(desk.sent) == 2
    config = desk.core.config
    table = config["params"] | {"half_spread_ticks": 5.0}
    values = params_of(config, table)
    assert desk.core.params(values, desk.now_ns) == 4  # both quotes move
    desk.collect(0)
    assert desk.numbers["params"] == values
    [record] = [r for r in read_segment(desk.segment) if r[1] == KIND["PARAMS"]]
    assert list(struct.unpack(f"<{len(values)}d", record[6])) == values


@pytest.mark.parametrize("values", [[], [1.0], [float("nan")] * 6, [float("inf")] * 6])
def test_what_are_no_parameters_is_refused(values: list[float]) -> None:
    desk = quoting_desk()
    before = desk.numbers["params"]
    with pytest.raises(ValueError, match="parameter"):
        desk.core.params(values, desk.now_ns)
    assert desk.numbers["params"] == before


def test_a_table_of_parameters_is_checked_by_name() -> None:
    config = core_config()
    with pytest.raises(ValueError, match="half_spread"):
        params_of(config, config["params"] | {"half_spread": 1.0})


# -- CONDITIONS ---


@pytest.mark.parametrize("bit", [Halt.DEAD_MAN, Halt.VENUE, Halt.LINK])
def test_a_condition_halts_for_as_long_as_it_stands(bit: Halt) -> None:
    desk = quoting_desk()
    desk.take_sent()
    assert desk.core.condition(bit, True, desk.now_ns) == 2
    desk.collect(0)
    assert [cancel["verb"].name for cancel in desk.sent] == ["CANCEL", "CANCEL"]
    assert halts(desk) == bit
    desk.core.command(Command.RESUME, desk.now_ns)
    assert halts(desk) == bit
    desk.core.condition(bit, False, desk.now_ns)
    assert halts(desk) == Halt.NONE


@pytest.mark.parametrize("bit", [0, Halt.OPERATOR, Halt.LINK | Halt.BOOK, 1 << 30])
def test_no_other_bit_is_a_condition(bit: int) -> None:
    desk = quoting_desk()
    with pytest.raises(ValueError, match="HALT_DEAD_MAN"):
        desk.core.condition(bit, True, desk.now_ns)


@pytest.mark.parametrize(
    ("bit", "passes"), [(Halt.DEAD_MAN, True), (Halt.VENUE, False), (Halt.LINK, False)]
)
def test_an_exit_passes_where_we_know_what_we_hold_and_it_can_trade(
    bit: Halt, passes: bool
) -> None:
    trade = Trade(stops={"stop_ticks": 20})
    trade.desk.core.condition(bit, True, trade.desk.now_ns)
    trade.desk.collect(0)
    trade.desk.take_sent()
    assert bool(exits(trade.touch(trade.entry - 20))) == passes
    assert (trade.desk.numbers["denies"][STATE] > 0) == (not passes)


# -- IS USER ALIVE ---


def deaf_desk(**overrides: Any) -> Desk:
    """Quotes that TRADE has acknowledged and USER says nothing of."""
    desk = Desk(budgets__ack_ms_max=100, **overrides)
    desk.start()
    for params in desk.sent:
        desk.ack(params)
    return desk


def test_a_user_stream_that_does_not_tell_of_an_order_is_deaf() -> None:
    desk = deaf_desk()
    desk.timer(100)
    assert halts(desk) == Halt.NONE
    desk.timer(1)
    assert halts(desk) == Halt.USER_STREAM | Halt.RECONCILING
    desk.core.account(0, 0, desk.now_ns)
    desk.core.command(Command.START, desk.now_ns)
    assert halts(desk) == Halt.USER_STREAM  # REST's word is no proof of the stream
    desk.core.conn(Conn.USER, True, desk.now_ns)
    for _ in range(5):
        desk.timer(100)
        assert Halt.USER_STREAM not in halts(desk)


def test_orders_that_ended_meanwhile_are_missed_all_the_same() -> None:
    """Quotes may live for less than an answer may take."""
    desk = deaf_desk()
    desk.core.command(Command.HALT, desk.now_ns)
    desk.collect(0)
    for cancel in desk.sent[2:]:
        desk.reply(cancel, 200, {"orderId": 900, "status": "CANCELED"})
    assert desk.core.working_count == 0
    desk.timer(101)
    assert Halt.USER_STREAM in halts(desk)


def test_each_order_is_waited_for() -> None:
    desk = deaf_desk()
    desk.update(desk.sent[0], "NEW", "NEW")
    desk.timer(101)
    assert Halt.USER_STREAM in halts(desk)


@pytest.mark.parametrize("word", ["NEW", "CANCELED", "FILLED"])
@pytest.mark.parametrize("is_before_ack", [True, False])
def test_anything_that_user_tells_of_an_order_will_do(word: str, is_before_ack: bool) -> None:
    desk = Desk(budgets__ack_ms_max=100)
    desk.start()
    for params in (sent := desk.take_sent()):
        if not is_before_ack:
            desk.ack(params)
        if word == "FILLED":
            desk.fill(params, "0.010", "0.010")
        else:
            desk.update(params, word, word)
        if is_before_ack:
            desk.ack(params)
    assert len(sent) == 2
    desk.timer(101)
    assert Halt.USER_STREAM not in halts(desk)


def test_a_refused_order_needs_no_word_of_user() -> None:
    desk = Desk(budgets__ack_ms_max=100)
    desk.start()
    for params in desk.take_sent():
        desk.reply(params, 400, code=-5022)
    desk.timer(101)
    assert Halt.USER_STREAM not in halts(desk)


def test_what_was_sent_before_user_came_up_is_not_its_to_tell() -> None:
    desk = Desk(budgets__ack_ms_max=100)
    desk.start()
    desk.now_ns += MS
    for up in (False, True):
        desk.core.conn(Conn.USER, up, desk.now_ns)
    for params in desk.sent[:2]:
        desk.ack(params)
    desk.timer(101)
    assert Halt.USER_STREAM not in halts(desk)


def test_events_of_other_symbols_never_harm() -> None:
    desk = quoting_desk()
    other = Desk(symbol="ETHUSDT")
    for client_id in ("web_1", desk.sent[0]["newClientOrderId"]):
        order = {
            "s": "ETHUSDT", "c": client_id, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.000",
            "p": "1.00", "ap": "0", "sp": "0", "x": "TRADE", "X": "FILLED", "i": 5, "l": "1.000",
            "z": "1.000", "L": "1.00", "T": 1, "t": 9, "b": "0", "a": "0", "m": False, "R": False,
            "ps": "BOTH", "rp": "0",
        }  # fmt: skip
        desk.frame(Conn.USER, {"e": "ORDER_TRADE_UPDATE", "T": 1, "E": 1, "o": order})
    assert halts(desk) == Halt.NONE
    numbers = desk.numbers
    assert (numbers["position_lots"], numbers["strangers"], numbers["malformed"]) == (0, 0, 0)
    assert numbers["other_symbol"] == 2
    assert other.numbers["position_lots"] == 0
