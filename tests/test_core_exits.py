"""Stops, takes and halts through the whole core, at the very tick."""

from typing import Any

import pytest
from support_core import MS, Desk

from fastcore.gate import CODES
from fastcore.journal import KIND
from fastcore.types import Command, Conn, Halt, SendOutcome, Verb

DENY = {name: code for code, (name, _) in CODES.items()} | {"OK": 0}
OFF = {"stop_ticks": 0, "target_ticks": 0, "hold_ms_max": 0, "slippage_ticks": 0}


def px(ticks: int) -> str:
    return f"{ticks / 10:.2f}"


def exits(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [p for p in sent if p["verb"] == Verb.PLACE and p["timeInForce"] == "IOC"]


def verbs(sent: list[dict[str, Any]]) -> list[Verb]:
    return [p["verb"] for p in sent]


class Trade:
    """A desk that holds 10 lots, taken at the touch. Its strategy `hold` wants nothing, so what is
    sent is an exit; a test gives another where it wants quotes."""

    def __init__(self, side: str = "BUY", stops: Any = None, **settings: Any) -> None:
        plain: dict[str, Any] = {"strategy": "hold", "params": {}}
        if "strategy" in settings or any(key.startswith("params") for key in settings):
            plain = {}
        self.desk = desk = Desk(stops=OFF | (stops or {}), **(plain | settings))
        desk.start()
        self.quotes = {params["side"]: params for params in desk.take_sent()}
        for params in self.quotes.values():
            desk.ack(params)
        self.entry = 600_000 if side == "SELL" else 600_001
        desk.collect(desk.core.take(side == "SELL", self.entry, 10, 1, desk.now_ns))
        (take,) = desk.take_sent()
        desk.fill(take, "0.010", "0.010")
        assert desk.take_sent() == []

    def touch(self, bid: int, ask: int | None = None) -> list[dict[str, Any]]:
        self.desk.now_ns += MS
        self.desk.best(px(bid), "1.000", px(ask or bid + 1), "1.000")
        return self.desk.take_sent()

    def end(self, exit: dict[str, Any], lots: int) -> list[dict[str, Any]]:
        """So much of it trades, the rest expires."""
        qty = f"{lots / 1000:.3f}"
        if lots:
            self.desk.fill(exit, qty, qty)
        if qty != exit["quantity"]:
            self.desk.update(exit, "EXPIRED", "EXPIRED", z=qty)
        return self.desk.take_sent()

    @property
    def halts(self) -> Halt:
        return Halt(self.desk.core.halt_bits)


# -- ON THE VERY TICK ---


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_long_is_stopped_at_the_limit_and_not_before(off: int) -> None:
    trade = Trade(stops={"stop_ticks": 20})
    sent = trade.touch(trade.entry - 20 + off)
    assert len(exits(sent)) == (off <= 0)
    if sent:
        assert (sent[0]["side"], sent[0]["quantity"], sent[0]["reduceOnly"]) == (
            "SELL", "0.010", "true")  # fmt: skip
        assert sent[0]["price"] == px(trade.entry - 20 + off).removesuffix("0")
        assert sent[0]["cause_ts_ns"] == trade.desk.now_ns


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_short_is_stopped_at_the_ask(off: int) -> None:
    trade = Trade("SELL", stops={"stop_ticks": 20, "slippage_ticks": 3})
    ask = trade.entry + 20 + off
    sent = trade.touch(ask - 1, ask)
    assert len(exits(sent)) == (off >= 0)
    if sent:
        assert (sent[0]["side"], sent[0]["price"]) == ("BUY", px(ask + 3).removesuffix("0"))


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_target_is_taken_at_its_tick(off: int) -> None:
    trade = Trade(stops={"target_ticks": 15})
    assert len(exits(trade.touch(trade.entry + 15 + off))) == (off >= 0)


@pytest.mark.parametrize(("ms", "is_due"), [(499, False), (500, True)])
def test_time_ends_a_trade_on_the_timer(ms: int, is_due: bool) -> None:
    trade = Trade(stops={"hold_ms_max": 500})
    trade.desk.timer(after_ms=ms)
    assert len(exits(trade.desk.take_sent())) == is_due


def test_a_gap_through_the_stop_exits_at_what_it_finds() -> None:
    trade = Trade(stops={"stop_ticks": 20, "slippage_ticks": 2})
    exit = exits(trade.touch(trade.entry - 700))[0]
    assert exit["price"] == px(trade.entry - 702).removesuffix("0")
    assert trade.end(exit, 10) == []
    assert trade.desk.numbers["position_lots"] == 0


# -- ONE AT A TIME ---


def test_one_exit_is_in_flight_and_the_rest_follows_when_it_is_over() -> None:
    trade = Trade(stops={"stop_ticks": 20})
    first = exits(trade.touch(trade.entry - 25))[0]
    for bid in (30, 40):
        assert trade.touch(trade.entry - bid) == []
    trade.desk.fill(first, "0.004", "0.004")
    assert trade.desk.take_sent() == []  # the rest of it may still fill
    trade.desk.update(first, "EXPIRED", "EXPIRED", z="0.004")
    second = exits(trade.desk.take_sent())
    assert [(e["quantity"], e["price"]) for e in second] == [
        ("0.006", px(trade.entry - 40).removesuffix("0"))
    ]
    assert trade.end(second[0], 6) == []
    assert trade.desk.numbers["position_lots"] == 0
    assert trade.touch(trade.entry - 90) == []


def test_a_breach_is_latched_though_the_price_comes_back() -> None:
    trade = Trade(stops={"stop_ticks": 20})
    exit = exits(trade.touch(trade.entry - 20))[0]
    assert trade.touch(trade.entry + 5) == []
    assert [e["price"] for e in exits(trade.end(exit, 0))] == [
        px(trade.entry + 5).removesuffix("0")
    ]


@pytest.mark.parametrize("outcome", [SendOutcome.FAILED, SendOutcome.LATE])
def test_an_exit_that_did_not_leave_is_tried_on_the_next_input(outcome: SendOutcome) -> None:
    trade = Trade(stops={"stop_ticks": 20})
    desk = trade.desk
    payload = (b'{"e":"bookTicker","u":9000,"s":"BTCUSDT","b":"59998.10","B":"1.000",'
               b'"a":"59998.20","A":"1.000","T":1,"E":1}')  # fmt: skip
    desk.core.frame(Conn.MARKET, payload, desk.now_ns, desk.now_ns)
    (out,) = desk.core.outgoing()
    desk.core.send(out[0], outcome, desk.now_ns, desk.now_ns, desk.now_ns)
    desk.timer()
    assert len(exits(desk.take_sent())) == 1


def test_an_exit_refused_by_the_venue_is_tried_again() -> None:
    trade = Trade(stops={"stop_ticks": 20})
    exit = exits(trade.touch(trade.entry - 20))[0]
    trade.desk.reply(exit, 400, code=-2022)
    assert len(exits(trade.desk.take_sent())) == 1


# -- WITHIN THE LIMITS ---


def holding(lots: int, **settings: Any) -> Desk:
    """A desk that found such a position at its start, at 600_000 / 600_001."""
    desk = Desk(**({"strategy": "hold", "params": {}} | settings))
    desk.start(position_lots=lots)
    desk.take_sent()
    return desk


def gap(desk: Desk, bid: int) -> list[dict[str, Any]]:
    desk.now_ns += MS
    desk.best(px(bid), "1.000", px(bid + 1), "1.000")
    return exits(desk.take_sent())


@pytest.mark.parametrize(
    "limits", [{"limits__qty_lots_max": 50}, {"limits__notional_max": 50 * 599_900 + 599_899}]
)
@pytest.mark.parametrize("lots", [60, -60])
def test_a_position_over_one_orders_limit_leaves_in_parts(
    lots: int, limits: dict[str, int]
) -> None:
    desk = holding(lots, stops=OFF | {"stop_ticks": 50}, **limits)
    bid = 599_900 if lots > 0 else 600_100
    if lots < 0 and "limits__notional_max" in limits:
        desk = holding(lots, stops=OFF | {"stop_ticks": 50}, limits__notional_max=50 * 600_101)
    (first,) = gap(desk, bid)
    assert (first["quantity"], first["reduceOnly"]) == ("0.050", "true")
    desk.fill(first, "0.050", "0.050")
    (second,) = exits(desk.take_sent())
    assert (second["side"], second["quantity"]) == ("SELL" if lots > 0 else "BUY", "0.010")
    desk.fill(second, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 0
    assert gap(desk, bid) == []
    assert desk.numbers["exits_denied"] == 0


def test_a_strategys_way_out_leaves_in_parts_too_and_within_the_collar() -> None:
    desk = holding(30, **REVERSION | {"params": REVERSION["params"] | {"slippage_ticks": 45.0}},
                   limits__qty_lots_max=20, limits__price_collar_ticks=40)  # fmt: skip
    for step in range(60):
        desk.now_ns += 50 * MS
        desk.best(px(600_000 + step % 2), "1.000", px(600_001 + step % 2), "1.000")
    desk.take_sent()
    (first,) = gap(desk, 600_015)
    assert (first["side"], first["quantity"], first["price"], first["reduceOnly"]) == (
        "SELL", "0.020", px(600_015 - 39).removesuffix("0"), "true")  # fmt: skip
    desk.fill(first, "0.020", "0.020")
    (second,) = gap(desk, 600_016)
    assert second["quantity"] == "0.010"
    desk.fill(second, "0.010", "0.010")
    assert desk.numbers["position_lots"] == desk.numbers["exits_denied"] == 0


@pytest.mark.parametrize(("spread", "limit"), [(1, 10), (2, 10), (4, 9), (18, 2), (20, 1)])
def test_a_wide_spread_draws_the_exits_limit_towards_the_touch(spread: int, limit: int) -> None:
    """Collar 11 round the mid, slippage 10: what a spread takes of it is not there to slip."""
    desk = holding(10, stops=OFF | {"stop_ticks": 50, "slippage_ticks": 10},
                   limits__price_collar_ticks=11, halts__spread_factor=0.0,
                   halts__spread_ticks_max=0)  # fmt: skip
    desk.best(px(599_900), "1.000", px(599_900 + spread), "1.000")
    assert [e["price"] for e in exits(desk.take_sent())] == [px(599_900 - limit).removesuffix("0")]


def test_an_exit_denied_is_counted_apart_and_asked_for_again() -> None:
    desk = holding(10, stops=OFF | {"stop_ticks": 50}, limits__price_collar_ticks=11)
    for count in (1, 2):
        desk.best(px(599_900), f"{count}.000", px(599_940), "1.000")  # the touch is out of it
        assert desk.take_sent() == []
        assert desk.numbers["exits_denied"] == desk.numbers["denies"][DENY["PRICE"]] == count
    desk.best(px(599_900), "1.000", px(599_901), "1.000")
    assert len(exits(desk.take_sent())) == 1


@pytest.mark.parametrize("reserve", [0, 1, 2, 3])
@pytest.mark.parametrize("owner", ["", "account_"])
def test_a_fast_market_leaves_the_stop_its_orders(owner: str, reserve: int) -> None:
    limits = {f"limits__{owner}orders_per_10s_max": 8, f"limits__{owner}exit_reserve": reserve}
    desk = Desk(stops=OFF | {"stop_ticks": 50}, **limits)
    desk.start(position_lots=10)
    for step in range(60):
        answer(desk)
        desk.now_ns += 20 * MS
        desk.best(px(600_000 + 20 * (step % 2)), "1.000", px(600_001 + 20 * (step % 2)), "1.000")
    answer(desk)
    assert desk.numbers["orders_sent"] == 8 - reserve
    pending, seen = gap(desk, 599_800), 0
    while pending:  # each expires unfilled, and is asked for again
        seen += 1
        desk.update(pending[0], "EXPIRED", "EXPIRED")
        pending = exits(desk.take_sent())
    assert seen == reserve
    name = "ACCOUNT_RATE" if owner else "RATE"
    assert desk.numbers["denies"][DENY[name]] >= desk.numbers["exits_denied"] > 0


def test_a_slippage_that_the_collar_would_deny_is_refused() -> None:
    for slippage, is_wrong in ((1_999, False), (2_000, True), (2_001, True)):
        stops = OFF | {"slippage_ticks": slippage}
        if is_wrong:
            with pytest.raises(ValueError, match=r"stops\.slippage_ticks to be under"):
                Desk(stops=stops)
        else:
            Desk(stops=stops)


# -- OWN QUOTES ---

QUOTES = {"strategy": "spread", "params__inventory_skew_ticks": 0.0}  # 599_998 and 600_003


def test_an_own_bid_at_the_touch_is_pulled_and_the_exit_waits_for_its_end() -> None:
    trade = Trade(stops={"stop_ticks": 3}, **QUOTES)
    sent = trade.touch(599_998, 599_999)  # the bid may be ours alone
    cancels = {p["origClientOrderId"]: p for p in sent if p["verb"] == Verb.CANCEL}
    cancel = cancels[trade.quotes["BUY"]["newClientOrderId"]]
    assert exits(sent) == []
    assert trade.desk.numbers["denies"][DENY["SELF_CROSS"]] == 1
    trade.desk.reply(cancel, 200, {"orderId": 900, "status": "CANCELED", "executedQty": "0"})
    assert [(e["side"], e["price"]) for e in exits(trade.desk.take_sent())] == [
        ("SELL", "59999.8")
    ]


def test_an_own_bid_below_the_touch_moves_the_limit_short_of_it() -> None:
    trade = Trade(stops={"stop_ticks": 2, "slippage_ticks": 5}, **QUOTES)
    sent = trade.touch(599_999, 600_000)
    assert sent[0]["verb"] == Verb.CANCEL  # before the exit
    assert sent[0]["origClientOrderId"] == trade.quotes["BUY"]["newClientOrderId"]
    assert [(e["side"], e["price"]) for e in exits(sent)] == [("SELL", "59999.9")]


def test_an_own_ask_above_the_touch_moves_a_shorts_limit() -> None:
    trade = Trade("SELL", stops={"stop_ticks": 2, "slippage_ticks": 5}, **QUOTES)
    sent = trade.touch(600_001, 600_002)
    assert [(e["side"], e["price"]) for e in exits(sent)] == [("BUY", "60000.2")]
    assert trade.quotes["SELL"]["newClientOrderId"] in [
        p.get("origClientOrderId") for p in sent if p["verb"] == Verb.CANCEL
    ]


def test_while_a_trade_is_being_ended_nothing_adds_to_it() -> None:
    trade = Trade(stops={"stop_ticks": 20}, **QUOTES)
    for bid in (599_980, 599_970, 599_969):
        placed = [p for p in trade.touch(bid) if p["verb"] == Verb.PLACE]
        assert {p["side"] for p in placed} <= {"SELL"}


# -- HALTS AND EXITS ---


def test_an_exit_passes_the_latch_that_its_own_fills_have_set() -> None:
    trade = Trade(stops={"stop_ticks": 20}, halts__repeated_fills_max=1)
    exit = exits(trade.touch(trade.entry - 20))[0]
    trade.desk.fill(exit, "0.004", "0.004")
    assert trade.halts == Halt.REPEATED_EXECUTION
    trade.desk.update(exit, "EXPIRED", "EXPIRED", z="0.004")
    assert [e["quantity"] for e in exits(trade.desk.take_sent())] == ["0.006"]


def test_an_exit_passes_a_wide_spread() -> None:
    trade = Trade(stops={"stop_ticks": 20}, halts__spread_updates_min=1)
    sent = trade.touch(trade.entry - 20, trade.entry + 300)
    assert trade.halts == Halt.SPREAD
    assert [e["price"] for e in exits(sent)] == [px(trade.entry - 20).removesuffix("0")]


def test_an_exit_passes_an_operators_halt() -> None:
    trade = Trade(stops={"stop_ticks": 20})
    trade.desk.core.command(Command.HALT, trade.desk.now_ns)
    assert len(exits(trade.touch(trade.entry - 20))) == 1


def test_no_exit_leaves_while_the_position_may_not_be_ours() -> None:
    trade = Trade(stops={"stop_ticks": 20})
    desk = trade.desk
    desk.core.conn(Conn.USER, False, desk.now_ns)
    assert trade.touch(trade.entry - 20) == []
    assert desk.numbers["denies"][DENY["STATE"]] == 1
    desk.core.conn(Conn.USER, True, desk.now_ns)
    assert trade.halts == Halt.RECONCILING
    assert trade.touch(trade.entry - 25) == []
    desk.core.account(10, 0, desk.now_ns)
    desk.collect(desk.core.command(Command.START, desk.now_ns))
    assert len(exits(desk.take_sent())) == 1


def test_no_exit_leaves_without_a_book_and_the_first_touch_of_a_new_one_does() -> None:
    trade = Trade(stops={"stop_ticks": 20, "hold_ms_max": 100})
    desk = trade.desk
    desk.depth([], [], prev=desk.update_id - 5)
    assert trade.halts == Halt.BOOK
    for _ in range(3):
        desk.timer(after_ms=100)
    assert desk.take_sent() == []
    desk.snapshot([["59990.00", "1.000"]], [["59990.10", "1.000"]])
    desk.depth([], [])
    assert [e["price"] for e in exits(desk.take_sent())] == ["59990.0"]


# -- HALTS AND QUOTES ---


def quoting(**settings: Any) -> Desk:
    desk = Desk(**settings)
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    return desk


def answer(desk: Desk) -> None:
    while sent := desk.take_sent():
        for params in sent:
            if params["verb"] == Verb.CANCEL:
                desk.update(params, "CANCELED", "CANCELED")
            else:
                desk.ack(params)


def test_a_wide_spread_pulls_the_quotes_and_a_calm_one_brings_them_back() -> None:
    desk = quoting(halts__spread_updates_min=2, halts__spread_ms_min=0)
    desk.best("60000.00", "1.000", "60030.10", "1.000")
    answer(desk)
    assert (desk.core.halt_bits, desk.core.working_count) == (0, 2)
    desk.best("60000.00", "2.000", "60030.10", "1.000")
    assert Halt(desk.core.halt_bits) == Halt.SPREAD
    assert verbs(desk.sent) == [Verb.CANCEL, Verb.CANCEL]
    answer(desk)
    assert desk.core.working_count == 0
    desk.best("60000.00", "1.000", "60000.10", "1.000")
    desk.timer(after_ms=999)
    assert desk.take_sent() == []
    desk.timer(after_ms=1)
    assert verbs(desk.take_sent()) == [Verb.PLACE, Verb.PLACE]


def trade(desk: Desk, qty: str, is_sell: bool) -> None:
    desk.now_ns += MS
    desk.frame(Conn.MARKET, {
        "e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": desk.now_ns, "p": "60000.00", "q": qty,
        "X": "MARKET", "m": is_sell,
    })  # fmt: skip


def test_toxic_flow_pulls_the_quotes_on_the_trade_that_shows_it() -> None:
    signals = {"vpin_bucket_lots": 10, "vpin_buckets": 4}
    params = {"half_spread_ticks": 2.0, "qty_lots": 10.0, "position_lots_max": 60.0}
    desk = quoting(
        strategy="ofi_skew", params=params, signals=signals,
        halts__vpin_max=0.9, halts__vpin_clear=0.7,
    )  # fmt: skip
    for _ in range(3):
        trade(desk, "0.010", is_sell=True)
    assert desk.core.halt_bits == 0
    desk.take_sent()
    trade(desk, "0.010", is_sell=True)
    assert Halt(desk.core.halt_bits) == Halt.TOXICITY
    assert verbs(desk.take_sent()) == [Verb.CANCEL, Verb.CANCEL]
    for _ in range(3):
        trade(desk, "0.005", is_sell=True)
        trade(desk, "0.005", is_sell=False)
    assert desk.core.halt_bits == 0


def fill_one(desk: Desk, side: str) -> None:
    """The next quote of a side, placed and filled."""
    resting = [p for p in desk.sent if p.get("side") == side and p["verb"] == Verb.PLACE]
    desk.sent.clear()
    for params in resting[-1:]:
        desk.fill(params, params["quantity"], params["quantity"])


def test_repeated_fills_latch_until_an_operator_resumes() -> None:
    desk = Desk(halts__repeated_fills_max=2, params__inventory_skew_ticks=0.0)
    desk.start()
    for _ in range(3):
        assert desk.core.halt_bits == 0
        desk.now_ns += MS
        fill_one(desk, "BUY")
        if desk.core.halt_bits == 0:
            desk.timer(after_ms=1)
    assert Halt(desk.core.halt_bits) == Halt.REPEATED_EXECUTION
    assert Verb.PLACE not in verbs(desk.take_sent())
    desk.timer(after_ms=60_000)
    desk.core.command(Command.START, desk.now_ns)
    assert Halt.REPEATED_EXECUTION in Halt(desk.core.halt_bits)
    desk.core.command(Command.RESUME, desk.now_ns)
    assert Halt.REPEATED_EXECUTION not in Halt(desk.core.halt_bits)


def test_a_one_sided_burst_halts_until_it_has_been_quiet() -> None:
    desk = Desk(halts__one_sided_fills_max=1, halts__one_sided_ms=500,
                params__inventory_skew_ticks=0.0)  # fmt: skip
    desk.start()
    fill_one(desk, "BUY")
    assert desk.core.halt_bits == 0
    fill_one(desk, "BUY")
    assert Halt(desk.core.halt_bits) == Halt.ONE_SIDED_FILLS
    assert Verb.PLACE not in verbs(desk.take_sent())
    desk.timer(after_ms=499)
    assert Halt(desk.core.halt_bits) == Halt.ONE_SIDED_FILLS
    desk.timer(after_ms=1)
    assert desk.core.halt_bits == 0
    assert Verb.PLACE in verbs(desk.take_sent())


# -- THE VENUE'S OWN POSITION ---


def push(desk: Desk, position: str) -> None:
    desk.frame(Conn.USER, {"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {
        "m": "ORDER", "B": [], "P": [{"s": "BTCUSDT", "pa": position, "ep": "60000.0", "cr": "0",
        "up": "0", "mt": "cross", "iw": "0", "ps": "BOTH"}],
    }})  # fmt: skip


def test_a_position_that_no_fill_explains_in_time_demands_reconciliation() -> None:
    desk = quoting()
    push(desk, "0.007")
    desk.timer(after_ms=1_000)
    assert desk.core.halt_bits == 0
    desk.timer(after_ms=1)
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)


def test_a_fill_that_follows_the_push_in_time_explains_it() -> None:
    desk = Desk()
    desk.start()
    bid = desk.take_sent()[0]
    push(desk, "0.010")
    desk.timer(after_ms=900)
    desk.fill(bid, "0.010", "0.010")
    for _ in range(3):
        desk.timer(after_ms=900)
    assert Halt.RECONCILING not in Halt(desk.core.halt_bits)


def test_once_reconciled_an_old_push_is_not_believed_again() -> None:
    desk = quoting()
    push(desk, "0.007")
    desk.timer(after_ms=1_001)
    assert Halt.RECONCILING in Halt(desk.core.halt_bits)
    for params in desk.take_sent():
        desk.update(params, "CANCELED", "CANCELED")
    desk.core.account(0, 0, desk.now_ns)  # the venue, asked, says that we are flat
    desk.core.command(Command.START, desk.now_ns)
    assert Halt.RECONCILING not in Halt(desk.core.halt_bits)
    desk.timer(after_ms=500)
    desk.timer(after_ms=600)
    assert Halt.RECONCILING not in Halt(desk.core.halt_bits)


# -- A STRATEGY'S TAKES ---

REVERSION: dict[str, Any] = {
    "strategy": "mean_reversion", "signals": {"z_tau_ms": 1_000.0},
    "params": {"entry_z": 2.0, "exit_z": -50.0, "qty_lots": 10.0, "stop_ticks": 100.0,
               "target_ticks": 12.0, "retry_ms": 0.0, "slippage_ticks": 1.0},
}  # fmt: skip


def calm(**settings: Any) -> Desk:
    """A price that has been going to and fro by a tick for three seconds."""
    desk = Desk(**(REVERSION | settings))
    desk.start()
    for step in range(60):
        desk.now_ns += 50 * MS
        desk.best(px(600_000 + step % 2), "1.000", px(600_001 + step % 2), "1.000")
    assert desk.take_sent() == []
    return desk


def jump(desk: Desk, bid: int) -> list[dict[str, Any]]:
    desk.now_ns += 20 * MS
    desk.best(px(bid), "1.000", px(bid + 1), "1.000")
    return desk.take_sent()


def test_mean_reversion_enters_by_a_take_and_leaves_at_its_target() -> None:
    desk = calm()
    (entry,) = jump(desk, 599_980)
    assert (entry["side"], entry["price"], entry["quantity"], entry["timeInForce"]) == (
        "BUY", "59998.2", "0.010", "IOC")  # fmt: skip
    assert "reduceOnly" not in entry or entry["reduceOnly"] == "false"
    desk.fill(entry, "0.010", "0.010", px="59998.10")
    assert jump(desk, 599_992) == []  # 11 ticks up
    (exit,) = jump(desk, 599_993)
    assert (exit["side"], exit["price"], exit["quantity"], exit["reduceOnly"]) == (
        "SELL", "59999.2", "0.010", "true")  # fmt: skip
    desk.fill(exit, "0.010", "0.010")
    assert desk.numbers["position_lots"] == 0
    assert desk.numbers["fills"] == 2


def test_a_take_is_never_twice_in_flight() -> None:
    desk = calm()
    assert len(jump(desk, 599_980)) == 1
    for bid in (599_979, 599_978, 599_980):
        assert jump(desk, bid) == []


def test_an_entry_is_not_taken_while_halted_but_an_exit_is() -> None:
    desk = calm(halts__repeated_fills_max=1)
    (entry,) = jump(desk, 599_980)
    desk.fill(entry, "0.004", "0.004", px="59998.10")
    desk.fill(entry, "0.006", "0.010", px="59998.10")
    assert Halt(desk.core.halt_bits) == Halt.REPEATED_EXECUTION
    (exit,) = jump(desk, 599_993)
    assert (exit["side"], exit["reduceOnly"]) == ("SELL", "true")
    desk.fill(exit, "0.010", "0.010")
    for bid in (599_800, 599_000):
        assert jump(desk, bid) == []
    assert desk.numbers["denies"][DENY["STATE"]] == 0


def test_every_exit_stands_in_the_journal_before_it_leaves() -> None:
    trade = Trade(stops={"stop_ticks": 20})
    trade.touch(trade.entry - 20)
    orders = trade.desk.records(KIND["ORDER"])
    assert (orders[-1]["side"], orders[-1]["qty_lots"]) == (1, 10)
