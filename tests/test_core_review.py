"""Findings of a review, each as the experiment that showed it."""

import json

from support_core import MS, Desk

from fastcore.journal import KIND
from fastcore.types import Conn, Halt, Verb


def halts(desk: Desk) -> Halt:
    return Halt(desk.core.halt_bits)


def running() -> Desk:
    """A desk whose first quotes are acknowledged."""
    desk = Desk()
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    assert halts(desk) == Halt.NONE
    return desk


def test_a_refused_subscription_is_not_forgotten_with_its_rate_limit() -> None:
    desk = running()
    desk.frame(Conn.USER, {"id": "sub", "status": 429, "error": {"code": -1003, "msg": "no"}})
    for _ in range(110):
        desk.timer(100)
        desk.depth([], [])
    assert Halt.USER_STREAM in halts(desk)
    assert Halt.RECONCILING in halts(desk)


def test_a_lost_fill_is_noticed_while_others_come() -> None:
    desk = running()
    update = {"e": "ACCOUNT_UPDATE", "T": 1, "E": 1, "a": {"m": "ORDER", "B": [], "P": []}}
    for second in range(4):
        position = {"s": "BTCUSDT", "pa": f"0.0{5 + second:02d}", "ps": "BOTH"}
        update["a"]["P"] = [position]  # type: ignore[index]
        desk.frame(Conn.USER, update)
        desk.timer(900)
        desk.depth([], [])
    assert Halt.RECONCILING in halts(desk)


def test_start_needs_the_venues_word() -> None:
    desk = running()
    desk.core.conn(Conn.USER, False, desk.now_ns)
    desk.core.conn(Conn.USER, True, desk.now_ns)
    desk.core.command(1, desk.now_ns)
    assert Halt.RECONCILING in halts(desk)
    desk.core.account(0, 7, desk.now_ns)
    desk.core.command(1, desk.now_ns)
    assert Halt.RECONCILING in halts(desk)
    desk.core.account(0, 0, desk.now_ns)
    desk.core.command(1, desk.now_ns)
    assert Halt.RECONCILING not in halts(desk)


def test_own_quantity_is_taken_out_only_when_the_book_shows_it() -> None:
    """An ack comes before the book: what stands there then is others' quantity."""
    desk = Desk(
        strategy="avellaneda_stoikov",
        params={"sigma_ticks": 1.0, "gamma": 0.001, "kappa": 1.0, "qty_lots": 10},
        quoting__requote_ms=0,
    )
    desk.start(qty="0.005")
    desk.depth([["59990.00", "1.000"]], [["60010.00", "1.000"]])
    messages = 0
    for _ in range(20):
        sent = desk.take_sent()
        messages += len(sent)
        for params in sent:
            desk.ack(params)
        desk.now_ns += MS
        desk.timer(1)
    assert messages <= 4


def test_a_bad_market_frame_ends_the_signals_and_is_recorded() -> None:
    desk = running()
    desk.core.frame(Conn.MARKET, json.dumps({"e": "depthUpdate", "s": "BTCUSDT"}).encode(),
                    desk.now_ns, desk.now_ns)  # fmt: skip
    assert Halt.BOOK in halts(desk)
    assert [values["new_state"] for values in desk.records(KIND["BOOK"])][-1] != 2


def test_a_stop_is_measured_at_the_touch_of_others() -> None:
    desk = Desk(
        stops__stop_ticks=50, stops__slippage_ticks=20, params__half_spread_ticks=0.0,
        params__inventory_skew_ticks=0.0, params__position_lots_max=100.0,
        quoting__requote_ticks=100,
    )  # fmt: skip
    desk.start(position_lots=10)
    for params in desk.take_sent():
        desk.ack(params)
    desk.depth([["60000.00", "1.010"]], [])  # ours is in the book
    assert halts(desk) == Halt.NONE
    desk.depth([["60000.00", "0.010"], ["59980.00", "5.000"]], [])  # and now ours is all there
    sent = desk.take_sent()
    canceled = [params for params in sent if params["verb"] == Verb.CANCEL]
    assert canceled  # the exit waits for our own bid to be gone, and no longer
    for params in canceled:
        desk.update(params, "CANCELED", "CANCELED")
    exits = [params for params in sent + desk.take_sent() if params.get("timeInForce") == "IOC"]
    assert [params["side"] for params in exits] == ["SELL"]
