"""Each check of the gate at its limit - 1, at it, and past it, through the whole chain."""

from collections.abc import Callable

import pytest
from support_core import MS, Desk

from fastcore.gate import CODES
from fastcore.journal import KIND
from fastcore.types import Command, Verb

CODE = {name: code for code, (name, _) in CODES.items()}


def placed(desk: Desk) -> list[str]:
    return [params["side"] for params in desk.sent if params["verb"] == Verb.PLACE]


def denied(desk: Desk, name: str) -> int:
    return desk.numbers["denies"][CODE[name]]


@pytest.mark.parametrize(("limit", "passes"), [(9, False), (10, True), (11, True)])
def test_qty_limit(limit: int, passes: bool) -> None:
    desk = Desk(limits__qty_lots_max=limit)
    desk.start()
    assert (placed(desk) == ["BUY", "SELL"]) is passes
    assert (denied(desk, "QTY") == 0) is passes


@pytest.mark.parametrize(("limit", "passes"), [(9, False), (10, True), (11, True)])
def test_position_limit_counts_the_order_itself(limit: int, passes: bool) -> None:
    desk = Desk(limits__position_lots_max=limit)
    desk.start()
    # Exactly: a limit that fails on one side only must not hide behind the other.
    assert placed(desk) == (["BUY", "SELL"] if passes else [])
    assert denied(desk, "POSITION") == (0 if passes else 2)


@pytest.mark.parametrize(("limit", "passes"), [(19, False), (20, True), (21, True)])
def test_position_limit_counts_what_is_open_at_full_size(limit: int, passes: bool) -> None:
    desk = Desk(limits__position_lots_max=limit)
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    # Both quotes move: the old ones await their cancel and may still fill.
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    # Exactly: a limit that fails on one side only must not hide behind the other.
    assert placed(desk) == (["BUY", "SELL"] if passes else [])
    assert denied(desk, "POSITION") == (0 if passes else 2)


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (2, 2), (3, 2)])
def test_open_orders_limit(limit: int, count: int) -> None:
    desk = Desk(limits__open_orders_max=limit)
    desk.start()
    assert len(placed(desk)) == count
    assert denied(desk, "OPEN_ORDERS") == 2 - count


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("window", ["10s", "min"])
def test_order_rate_limit(limit: int, count: int, window: str) -> None:
    desk = Desk(**{f"limits__orders_per_{window}_max": limit})
    desk.start()
    assert len(placed(desk)) == count
    assert denied(desk, "RATE") == 2 - count


@pytest.mark.parametrize(("after_ms", "passes"), [(9_999, False), (10_000, True)])
def test_order_rate_window_slides(after_ms: int, passes: bool) -> None:
    desk = Desk(limits__orders_per_10s_max=2, limits__book_age_ms_max=60_000)
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    desk.now_ns += after_ms * MS
    desk.best("60000.20", "1.000", "60000.30", "1.000")
    assert (placed(desk) == ["BUY", "SELL"]) is passes


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 130])
def test_order_rate_denies_at_the_limit_and_only_there(limit: int) -> None:
    """Sends at uneven times, so that the ring of send times goes round several times."""
    desk = Desk(
        journal=False, limits__orders_per_10s_max=limit, limits__orders_per_min_max=limit,
        limits__book_age_ms_max=200_000,
    )  # fmt: skip
    desk.start()
    sent_ns = [desk.now_ns] * desk.numbers["orders_sent"]
    for step in range(2 * limit + 20):
        desk.now_ns += 60_000 * MS * (step % 3) // limit
        denies = denied(desk, "RATE")
        for params in desk.take_sent():
            desk.reply(params, 400, code=-5022)
        px = 60_000 + step % 2
        desk.best(f"{px}.20", "1.000", f"{px}.30", "1.000")
        sent_ns += [desk.now_ns] * (desk.numbers["orders_sent"] - len(sent_ns))
        in_window = sum(at > desk.now_ns - 60_000 * MS for at in sent_ns[-limit - 4 :])
        assert in_window <= limit
        assert denied(desk, "RATE") == denies or in_window == limit
    assert denied(desk, "RATE") > 0
    assert len(sent_ns) > 2 * limit


@pytest.mark.parametrize(("limit", "passes"), [(2, False), (3, True), (4, True)])
def test_price_collar_is_measured_from_the_mid(limit: int, passes: bool) -> None:
    # Quotes stand 2.5 ticks from the mid: a collar of 2 denies, of 3 lets pass.
    desk = Desk(limits__price_collar_ticks=limit)
    desk.start()
    assert (placed(desk) == ["BUY", "SELL"]) is passes
    assert (denied(desk, "PRICE") == 0) is passes


@pytest.mark.parametrize(("age_ms", "passes"), [(1_999, True), (2_000, True), (2_001, False)])
def test_book_age(age_ms: int, passes: bool) -> None:
    desk = Desk()
    desk.start()
    orders = desk.take_sent()
    desk.collect(desk.core.command(Command.HALT, desk.now_ns))
    for params in orders:
        desk.update(params, "EXPIRED", "EXPIRED")
    # No market message since: the book is as old as its last one, and no timer has looked.
    desk.now_ns += age_ms * MS
    desk.collect(desk.core.command(Command.RESUME, desk.now_ns))
    assert (placed(desk) == ["BUY", "SELL"]) is passes
    assert (denied(desk, "STALE") == 0) is passes


def test_self_cross_is_denied() -> None:
    # A bid that would stand at our own resting ask, after the touch jumped over it.
    desk = Desk(quoting__requote_ms=0)
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    desk.best("60000.60", "1.000", "60000.70", "1.000")
    prices = {params["side"]: params["price"] for params in desk.sent
              if params["verb"] == Verb.PLACE}  # fmt: skip
    # Our ask of 60000.30 still works (its cancel is in flight): a bid at 60000.40 would meet it.
    assert "BUY" not in prices
    assert denied(desk, "SELF_CROSS") >= 1


def test_a_denial_is_journaled_once_while_it_stays_the_same() -> None:
    desk = Desk(limits__qty_lots_max=9)
    desk.start()
    for _ in range(5):
        desk.timer()
    records = [(r["code"], r["side"]) for r in desk.records(KIND["DENY"])]
    assert denied(desk, "QTY") == 12
    assert len(records) <= 12
    assert set(records) == {(CODE["QTY"], 0), (CODE["QTY"], 1)}


@pytest.mark.parametrize("command", [Command.HALT, Command.SHUTDOWN])
def test_nothing_is_placed_while_halted(command: Command) -> None:
    desk = Desk()
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    desk.collect(desk.core.command(command, desk.now_ns))
    desk.take_sent()
    desk.best("60009.00", "1.000", "60009.10", "1.000")
    assert placed(desk) == []


def test_every_code_has_a_name_and_a_text() -> None:
    check: Callable[[tuple[str, str]], bool] = all
    assert all(check(entry) for entry in CODES.values())
    assert len({name for name, _ in CODES.values()}) == len(CODES) == 23
