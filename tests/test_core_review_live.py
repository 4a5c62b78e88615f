"""Findings of a review of the live engine, each as the experiment that showed it."""

from typing import Any

import pytest
from support_core import MS, UTC_OFFSET_NS, Desk
from test_orders import ACK_NS, answer

from engine.gateway.hotsocket import HotLoop
from fastcore.journal import KIND
from fastcore.orders import Orders
from fastcore.types import Command, Conn, Halt, OrderState, Side, Verb

RECV_NS = 5_000 * MS
MINUTE_MS = 60_000


def halts(desk: Desk) -> Halt:
    return Halt(desk.core.halt_bits)


def running() -> Desk:
    """A desk whose first quotes rest, and USER has said so."""
    desk = Desk()
    desk.start()
    for params in desk.sent:
        desk.ack(params)
        desk.update(params, "NEW", "NEW")
    assert halts(desk) == Halt.NONE
    return desk


def states(desk: Desk) -> list[OrderState]:
    return [OrderState(order["state"]) for order in desk.numbers["own"]]


# -- WHAT AN EARLIER RUN LEFT ---


@pytest.mark.parametrize(
    ("client_id", "status", "is_doubted"),
    [
        ("tm99999999-01-000000000005", "NEW", True),
        ("tm99999999-01-000000000005", "CANCELED", False),
        ("web_5", "NEW", False),
    ],
)
def test_an_earlier_runs_order_that_comes_late_is_a_surprise(
    client_id: str, status: str, is_doubted: bool
) -> None:
    desk = running()
    desk.update({"newClientOrderId": client_id}, status, status)
    assert (Halt.RECONCILING in halts(desk)) == is_doubted


def test_a_trade_that_an_earlier_run_booked_is_not_booked_again() -> None:
    """Told by REST to a run that died, and by USER to the next one."""
    desk = running()
    desk.core.known([(77, Side.SELL, 2 * MS), (77, Side.BUY, 1 * MS)], desk.now_ns)
    earlier = {"newClientOrderId": "tm99999999-01-000000000005", "quantity": "0.010"}
    desk.fill(earlier, "0.010", "0.010", px="60000.00", trade_id=77)
    assert (desk.numbers["position_lots"], desk.numbers["fills"]) == (0, 0)
    assert desk.core.has_booked(77, Side.BUY)
    assert desk.core.has_booked(77, Side.SELL)
    desk.fill(earlier, "0.010", "0.010", px="60000.00", trade_id=78)
    assert desk.numbers["position_lots"] == 10


def test_known_trades_are_any_number_and_the_newest_stay() -> None:
    desk = Desk()
    desk.core.known([(number, Side.BUY, number * MS) for number in range(9_000, 0, -1)], 1)
    assert desk.core.forgotten_ts_ns == (9_000 - 8_192) * MS
    assert not desk.core.has_booked(9_000 - 8_192, Side.BUY)
    assert all(desk.core.has_booked(n, Side.BUY) for n in (9_000 - 8_191, 9_000))
    with pytest.raises(ValueError, match="a trade of ours"):
        desk.core.known([(1, 2, MS)], 1)


# -- FILLS ---


def row(trade_id: int, ts_ns: int) -> dict[str, Any]:
    return {
        "trade_id": trade_id, "venue_order_id": 1, "intent_id": -1, "owner": 2, "side": 0,
        "px_ticks": 100, "qty_lots": 1, "fee_e8": 0, "fee_asset": 0, "is_maker": 1,
        "exch_ts_ns": ts_ns,
    }  # fmt: skip


def test_a_trade_older_than_the_memory_is_not_booked_again() -> None:
    orders = Orders(ACK_NS, RECV_NS)
    for trade_id in range(8_193):
        assert orders.fill_row(row(trade_id, (1 + trade_id) * MS), 1, 2, 1)
    assert not orders.fill_row(row(0, MS), 1, 2, 1)
    assert not orders.fill_row(row(8_192, 8_193 * MS), 1, 2, 1)
    assert orders.fill_row(row(9_000, 2 * MS), 1, 2, 1)  # found late, and all since is known
    assert orders.money()["position_lots"] == 8_194


def test_a_divergence_ends_no_order_whose_fate_is_open() -> None:
    desk = Desk()
    desk.start()
    desk.timer(1_100)
    assert states(desk) == [OrderState.UNKNOWN] * 2
    before = desk.numbers["own"]
    desk.core.account(5, 1, desk.now_ns)
    assert desk.numbers["own"] == before
    assert desk.core.has_diverged


# -- A BAN ---


def refused(desk: Desk, retry_ms: int, status: int = 418, code: int = -1003) -> None:
    desk.core.command(Command.HALT, desk.now_ns)
    desk.collect(0)
    data = {"serverTime": 1, "retryAfter": retry_ms}
    error = {"code": code, "msg": "banned", "data": data}
    desk.frame(Conn.TRADE, {"id": "3000000000001", "status": status, "error": error})


@pytest.mark.parametrize(("told_ms", "kept_ms"), [(2 * MINUTE_MS, 2 * MINUTE_MS), (500, 10_000)])
def test_a_ban_lasts_as_long_as_the_venue_says_and_ten_seconds_at_least(
    told_ms: int, kept_ms: int
) -> None:
    desk = running()
    utc_ms = (desk.now_ns + UTC_OFFSET_NS) // MS
    refused(desk, utc_ms + told_ms)
    assert desk.core.retry_utc_ms == desk.numbers["retry_utc_ms"] == utc_ms + told_ms
    desk.timer(kept_ms - 1)
    assert Halt.RATE_LIMIT in halts(desk)
    desk.timer(2)
    assert Halt.RATE_LIMIT not in halts(desk)


def test_a_ban_without_end_is_three_days() -> None:
    desk = running()
    utc_ms = (desk.now_ns + UTC_OFFSET_NS) // MS
    refused(desk, 2**63 - 1)
    assert desk.core.retry_utc_ms == utc_ms + 3 * 86_400_000
    assert Halt.RATE_LIMIT in halts(desk)


@pytest.mark.parametrize(("status", "code", "is_of_address"), [
    (418, -1003, True), (429, -1003, True), (400, -1003, True), (418, -1015, True),
    (429, -1015, False), (400, -1015, False),
])  # fmt: skip
def test_an_account_s_limit_is_no_ban_of_the_address(
    status: int, code: int, is_of_address: bool
) -> None:
    """Whatever its status: all other accounts of the address could not cancel over REST."""
    desk = running()
    utc_ms = (desk.now_ns + UTC_OFFSET_NS) // MS
    refused(desk, utc_ms + MINUTE_MS, status, code)
    assert desk.core.retry_utc_ms == (utc_ms + MINUTE_MS if is_of_address else 0)
    desk.timer(MINUTE_MS - 1)
    assert Halt.RATE_LIMIT in halts(desk)


# -- ABSENT ---


def test_an_answer_speaks_of_the_time_of_its_question() -> None:
    """REST: asked while the order might still arrive, answered long after."""
    desk = Desk(recv_window_ms=5_000)
    desk.start()
    placed_ns = desk.now_ns
    intent = int(desk.sent[0]["newClientOrderId"][-12:], 16)
    desk.timer(1_100)

    def absent(asked_ns: int) -> OrderState:
        desk.core.query(
            intent_id=intent, is_absent=True, order_status=0, venue_order_id=-1, px_ticks=0,
            qty_lots=0, cum_qty_lots=0, now_ns=placed_ns + 20_000 * MS, asked_ns=asked_ns,
        )  # fmt: skip
        own = {order["intent_id"]: OrderState(order["state"]) for order in desk.numbers["own"]}
        return own.get(intent, OrderState.FREE)

    assert absent(placed_ns + 2_000 * MS) == OrderState.UNKNOWN
    assert absent(placed_ns + 19_000 * MS) == OrderState.FREE
    assert [record["asked_ns"] - placed_ns for record in desk.records(KIND["QUERY"])] == [
        2_000 * MS, 19_000 * MS,
    ]  # fmt: skip


def test_an_answer_over_the_connection_belongs_to_the_oldest_question() -> None:
    desk = Desk(recv_window_ms=5_000)
    desk.start()
    for _ in range(8):
        desk.timer(1_000)
    queries = [
        params for params in desk.take_sent()
        if params["verb"] == Verb.STATUS and params["id"].endswith("1")
    ]  # fmt: skip
    assert len(queries) == 8
    gone = []
    for query in queries:  # all that were asked come at once
        desk.reply(query, 400, code=-2013)
        gone.append(len(states(desk)) == 1)
    assert gone == [False] * 6 + [True] * 2


@pytest.mark.parametrize("is_lost", [True, False])
def test_no_answer_is_awaited_of_a_connection_that_is_gone(is_lost: bool) -> None:
    desk = Desk(recv_window_ms=5_000)
    desk.start()
    for _ in range(3):
        desk.timer(1_000)
    if is_lost:
        for is_up in (False, True):
            desk.collect(desk.core.conn(Conn.TRADE, is_up, desk.now_ns))
    desk.take_sent()
    desk.timer(5_000)
    query = next(params for params in desk.take_sent() if params["verb"] == Verb.STATUS)
    desk.reply(query, 400, code=-2013)
    assert len(states(desk)) == (1 if is_lost else 2)


# -- IS USER ALIVE ---


def test_a_cancel_that_user_does_not_tell_of_is_a_deaf_user() -> None:
    for is_told in (True, False):
        desk = running()
        desk.take_sent()
        desk.collect(desk.core.command(Command.HALT, desk.now_ns))
        for params in desk.take_sent():
            desk.reply(params, 200, {"orderId": desk.venue_order_id, "status": "CANCELED"})
            if is_told:
                desk.update(params, "CANCELED", "CANCELED")
        desk.timer(900)
        assert Halt.USER_STREAM not in halts(desk)
        desk.timer(200)
        assert (Halt.USER_STREAM in halts(desk)) == (not is_told)


def test_a_cancel_of_before_user_came_is_not_awaited() -> None:
    orders = Orders(ACK_NS, RECV_NS)
    intent = orders.place(0, 100, 10, 1)
    orders.cancel_order(intent, 2)
    orders.user_up(3)
    orders.reply(answer(intent, Verb.CANCEL), 4)
    assert not orders.unheard(5 + 2 * ACK_NS)


# -- THE EDGE'S FACE ---


def test_the_hot_loop_passes_on_what_is_known_and_when_it_asked() -> None:
    desk = Desk()
    hot = HotLoop()
    number = hot.add_core(desk.core)
    hot.known(number, [(5, Side.BUY, 7)])
    assert desk.core.has_booked(5, Side.BUY)
    hot.query(
        number, intent_id=1, is_absent=True, order_status=0, venue_order_id=-1, px_ticks=0,
        qty_lots=0, cum_qty_lots=0, asked_ns=9,
    )  # fmt: skip
    assert [record["asked_ns"] for record in desk.records(KIND["QUERY"])] == [9]
