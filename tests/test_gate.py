"""Each check of the gate at its limit - 1, at it, and past it: the gate alone, beside its twin,
then the ones that matter most through the whole chain."""

import pytest
from support_core import MS, Desk
from support_gate import EXIT, QUOTE, TAKE, FastDesk, loose_limits

from fastcore.book import Book
from fastcore.gate import CODES, HALT_BARS_EXIT, Gate
from fastcore.journal import KIND
from fastcore.orders import Orders
from fastcore.types import Command, Conn, Halt, OrderFlag, OrderState, Side, Verb
from tests.reference import gate as twin

BUY, SELL = Side.BUY, Side.SELL
NOW = 10_000 * MS


@pytest.fixture(params=[FastDesk, twin.Desk], ids=["fast", "reference"])
def new_gate(request):
    """A desk of the gate alone: book 1000 / 1010, limits loose but for what a test says."""

    def new(account=None, value_e8=(1, 1), **tighter):
        desk = request.param(loose_limits(**tighter), account, value_e8)
        desk.book(1000, 1010)
        return desk

    new.account = request.param.new_account
    return new


# -- ONE ORDER ---


@pytest.mark.parametrize(
    ("tighter", "px", "qty", "name"),
    [
        ({"qty_lots_max": 9}, 1000, 9, "OK"),
        ({"qty_lots_max": 9}, 1000, 8, "OK"),
        ({"qty_lots_max": 9}, 1000, 10, "QTY"),
        ({"qty_lots_min": 9}, 1000, 10, "OK"),
        ({"qty_lots_min": 9}, 1000, 9, "OK"),
        ({"qty_lots_min": 9}, 1000, 8, "QTY"),
        ({"notional_max": 5_000}, 999, 5, "OK"),
        ({"notional_max": 5_000}, 1000, 5, "OK"),
        ({"notional_max": 5_000}, 1001, 5, "NOTIONAL"),
        ({"notional_min": 5_000}, 1001, 5, "OK"),
        ({"notional_min": 5_000}, 1000, 5, "OK"),
        ({"notional_min": 5_000}, 999, 5, "NOTIONAL"),
        ({"price_collar_ticks": 20}, 986, 1, "OK"),
        ({"price_collar_ticks": 20}, 985, 1, "OK"),
        ({"price_collar_ticks": 20}, 984, 1, "PRICE"),
        ({"position_lots_max": 9}, 1000, 8, "OK"),
        ({"position_lots_max": 9}, 1000, 9, "OK"),
        ({"position_lots_max": 9}, 1000, 10, "POSITION"),
        # At the ask of 1010: what we hold is worth what it would cost to buy.
        ({"exposure_max": 5_051}, 1000, 5, "OK"),
        ({"exposure_max": 5_050}, 1000, 5, "OK"),
        ({"exposure_max": 5_049}, 1000, 5, "EXPOSURE"),
        ({"account_exposure_e8_max": 5_051}, 1000, 5, "OK"),
        ({"account_exposure_e8_max": 5_050}, 1000, 5, "OK"),
        ({"account_exposure_e8_max": 5_049}, 1000, 5, "ACCOUNT_EXPOSURE"),
        ({}, 1009, 1, "OK"),
        ({}, 1010, 1, "POST_ONLY"),
        ({}, 1011, 1, "POST_ONLY"),
        ({}, 1, 1, "OK"),
        ({}, 0, 1, "RANGE"),
        ({}, -1, 1, "RANGE"),
        ({}, 1000, 0, "RANGE"),
        ({}, 1000, -1, "RANGE"),
        ({}, twin.PX_TICKS_MAX, 1, "PRICE"),
        ({}, twin.PX_TICKS_MAX + 1, 1, "RANGE"),
        ({}, 1000, twin.QTY_LOTS_MAX, "QTY"),
        ({}, 1000, twin.QTY_LOTS_MAX + 1, "RANGE"),
    ],
)
def test_one_order_at_each_limit(new_gate, tighter, px, qty, name):
    assert new_gate(**tighter).check(BUY, px, qty, QUOTE, NOW) == name


def test_the_greatest_numbers_do_not_overflow(new_gate):
    desk = new_gate(qty_lots_max=twin.QTY_LOTS_MAX, position_lots_max=twin.QTY_LOTS_MAX,
                    price_collar_ticks=twin.PX_TICKS_MAX, value_e8=(10**9, 1))  # fmt: skip
    desk.book(twin.PX_TICKS_MAX - 1, twin.PX_TICKS_MAX)
    assert desk.check(SELL, twin.PX_TICKS_MAX, twin.QTY_LOTS_MAX, QUOTE, NOW) == "OK"
    desk.place(NOW)
    assert desk.account.exposure_e8 in {twin.VALUE_E8_MAX, twin.VALUE_E8_MAX // 10**9 * 10**9}
    assert desk.check(SELL, twin.PX_TICKS_MAX, 1, QUOTE, NOW) == "POSITION"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (0, "NOT_POST_ONLY"),
        (OrderFlag.REDUCE_ONLY, "NOT_POST_ONLY"),
        (OrderFlag.POST_ONLY, "OK"),
        (OrderFlag.IOC, "OK"),
        (OrderFlag.POST_ONLY | OrderFlag.IOC, "NOT_POST_ONLY"),
    ],
)
def test_an_order_quotes_or_takes_and_says_which(new_gate, flags, name):
    assert new_gate().check(SELL, 1010, 1, flags, NOW) == name


def test_a_quote_that_would_take_is_denied_and_a_taker_is_not(new_gate):
    desk = new_gate()
    assert desk.check(SELL, 1001, 1, QUOTE, NOW) == "OK"
    assert desk.check(SELL, 1000, 1, QUOTE, NOW) == "POST_ONLY"
    assert desk.check(SELL, 1000, 1, TAKE, NOW) == "OK"


def test_the_rest_of_a_position_may_be_closed_whatever_its_value(new_gate):
    desk = new_gate(notional_min=5_000)
    desk.set_position(1)
    assert desk.check(SELL, 1000, 1, TAKE, NOW) == "NOTIONAL"
    assert desk.check(SELL, 1000, 1, EXIT, NOW) == "OK"


@pytest.mark.parametrize("bit", [halt for halt in Halt if halt])
def test_a_halt_bars_quotes_and_exits_where_nothing_is_known(new_gate, bit):
    desk = new_gate()
    desk.set_position(5)
    for flags in (QUOTE, TAKE, QUOTE | OrderFlag.REDUCE_ONLY):
        px = 1010 if flags & QUOTE else 1000
        assert desk.check(SELL, px, 5, flags, NOW, halt_bits=bit) == "STATE"
    barred = bool(bit & HALT_BARS_EXIT)
    assert desk.check(SELL, 1000, 5, EXIT, NOW, bit) == ("STATE" if barred else "OK")
    both = bit | Halt.OPERATOR
    assert desk.check(SELL, 1000, 5, EXIT, NOW, both) == ("STATE" if barred else "OK")


def test_what_bars_exits_is_what_the_issue_says():
    assert Halt(HALT_BARS_EXIT) == (
        Halt.RECONCILING | Halt.BOOK | Halt.JOURNAL | Halt.USER_STREAM | Halt.TRADE_STREAM
        | Halt.CLOCK | Halt.RATE_LIMIT | Halt.LINK | Halt.VENUE
    )  # fmt: skip


# -- MARKET ---


@pytest.mark.parametrize(("age_ns", "ok"), [(-1, True), (0, True), (1, False)])
def test_ages_of_tick_book_and_reference(new_gate, age_ns, ok):
    desk = new_gate(tick_age_ms_max=7, book_age_ms_max=7, reference_age_ms_max=7)
    desk.on_reference(1005, NOW)
    then = NOW - 7 * MS - age_ns
    assert desk.check(BUY, 1000, 1, QUOTE, NOW, tick_ns=then) == ("OK" if ok else "TICK_AGE")
    assert desk.check(BUY, 1000, 1, QUOTE, NOW, book_ns=then) == ("OK" if ok else "STALE")
    desk.on_reference(1005, then)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == ("OK" if ok else "REFERENCE")


def test_a_second_reference_is_demanded_where_configured(new_gate):
    assert new_gate(reference_age_ms_max=7).check(BUY, 1000, 1, QUOTE, NOW) == "REFERENCE"
    desk = new_gate(reference_age_ms_max=7)
    desk.on_reference(0, NOW)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == "REFERENCE"


@pytest.mark.parametrize(
    ("reference", "name"),
    [(1020, "OK"), (1021, "PRICE"), (1019, "OK"), (980, "OK"), (979, "PRICE"), (981, "OK")],
)
def test_the_collar_holds_round_the_second_reference_too(new_gate, reference, name):
    desk = new_gate(reference_age_ms_max=7, price_collar_ticks=20)
    desk.on_reference(reference, NOW)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == name


@pytest.mark.parametrize("touch", [(0, 1010), (1000, 0), (0, 0)])
def test_a_book_that_is_not_two_sided_prices_nothing(new_gate, touch):
    desk = new_gate()
    desk.book(*touch)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == "BOOK"
    assert desk.check(BUY, 1000, 1, EXIT, NOW) == "BOOK"
    desk.book(1000, 1010)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW, is_synced=False) == "BOOK"


# -- SENDS ---


@pytest.mark.parametrize("owner", ["", "account_"])
@pytest.mark.parametrize(
    ("window", "ms", "name"),
    [("orders_per_10s", 10_000, "RATE"), ("orders_per_min", 60_000, "RATE"),
     ("messages_per_s", 1_000, "MESSAGES"), ("messages_per_min", 60_000, "MESSAGES")],
)  # fmt: skip
def test_each_window_fills_and_slides(new_gate, owner, window, ms, name):
    desk = new_gate(book_age_ms_max=1, **{f"{owner}{window}_max": 3})
    for _ in range(3):
        assert desk.check(BUY, 1000, 1, QUOTE, NOW) == "OK"
        desk.place(NOW)
    name = owner[:-1].upper() + "_" + name if owner else name
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == name
    assert desk.check(BUY, 1000, 1, QUOTE, NOW + ms * MS - 1) == name
    assert desk.check(BUY, 1000, 1, QUOTE, NOW + ms * MS) == "OK"


@pytest.mark.parametrize("owner", ["", "account_"])
def test_cancels_spend_messages_and_keep_a_reserve(new_gate, owner):
    limits = {f"{owner}messages_per_s_max": 5, f"{owner}cancel_reserve": 2}
    name = owner[:-1].upper() + "_MESSAGES" if owner else "MESSAGES"
    desk = new_gate(**limits)
    desk.set_position(9)
    for _ in range(2):
        desk.cancel(1, NOW)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == "OK"
    desk.cancel(1, NOW)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == name
    # The reserve is for cancels, and for what reduces.
    assert desk.check(SELL, 1000, 1, EXIT, NOW) == "OK"
    for _ in range(2):
        desk.cancel(1, NOW)
    assert desk.check(SELL, 1000, 1, EXIT, NOW) == name


# -- OWN ORDERS ---


def sent(desk, side, px, qty, flags=QUOTE, now_ns=NOW, **more):
    assert desk.check(side, px, qty, flags, now_ns, **more) == "OK"
    return desk.place(now_ns)


@pytest.mark.parametrize(("side", "px", "held"), [(BUY, 1000, 1), (SELL, 1010, -1)])
@pytest.mark.parametrize(("lots", "name"), [(4, "OK"), (5, "OK"), (6, "POSITION")])
def test_the_position_held_counts_towards_its_limit_on_its_side_only(
    new_gate, side, px, held, lots, name
):
    desk = new_gate(position_lots_max=10)
    desk.set_position(5 * held)
    assert desk.check(side, px, lots, QUOTE, NOW) == name
    other = 15 + (lots - 5)  # through zero to the limit on the other side
    assert desk.check(1 - side, 2010 - px, other, QUOTE, NOW) == name


@pytest.mark.parametrize(("count", "name"), [(1, "OK"), (2, "OPEN_ORDERS"), (3, "OPEN_ORDERS")])
def test_open_orders(new_gate, count, name):
    desk = new_gate(open_orders_max=2)
    ids = [sent(desk, BUY, 1000 - i, 1) for i in range(min(count, 2))]
    assert desk.check(BUY, 990, 1, QUOTE, NOW) == name
    assert desk.check(BUY, 990, 1, TAKE, NOW) == "OK"  # never rests
    desk.answer(ids[0], OrderState.NEW, 1000, 1)
    assert desk.check(BUY, 990, 1, QUOTE, NOW, replaces=ids[0]) == "OK"


@pytest.mark.parametrize(("age_ns", "name"), [(-1, "DUPLICATE"), (0, "OK"), (1, "OK")])
def test_a_double_waits_until_the_first_is_answered(new_gate, age_ns, name):
    desk = new_gate(duplicate_ms=5)
    one = sent(desk, BUY, 1000, 3)
    later = NOW + 5 * MS + age_ns
    assert desk.check(BUY, 1000, 3, QUOTE, later) == name
    assert desk.check(BUY, 1001, 3, QUOTE, later) == "OK"
    assert desk.check(BUY, 1000, 2, QUOTE, later) == "OK"
    desk.answer(one, OrderState.UNKNOWN, 1000, 3)
    assert desk.check(BUY, 1000, 3, QUOTE, later) == name
    desk.answer(one, OrderState.NEW, 1000, 3)
    assert desk.check(BUY, 1000, 3, QUOTE, later) == "OK"


@pytest.mark.parametrize(
    ("px", "name"), [(1004, "OK"), (1005, "SELF_CROSS"), (1006, "SELF_CROSS")]
)
def test_self_cross(new_gate, px, name):
    desk = new_gate()
    sent(desk, SELL, 1005, 1)
    assert desk.check(BUY, px, 1, QUOTE, NOW) == name
    assert desk.check(BUY, px, 1, TAKE, NOW) == name


def test_self_cross_counts_both_prices_of_an_amended_order(new_gate):
    desk = new_gate()
    ask = sent(desk, SELL, 1008, 1)
    desk.answer(ask, OrderState.NEW, 1008, 1)
    assert desk.check(SELL, 1003, 1, QUOTE, NOW, replaces=ask) == "OK"
    desk.amend(ask, NOW)
    assert desk.check(BUY, 1002, 1, QUOTE, NOW) == "OK"
    assert desk.check(BUY, 1003, 1, QUOTE, NOW) == "SELF_CROSS"
    desk.answer(ask, OrderState.UNKNOWN, 1008, 1)
    assert desk.check(BUY, 1003, 1, QUOTE, NOW) == "SELF_CROSS"
    desk.answer(ask, OrderState.NEW, 1008, 1)  # refused: it stands where it stood
    assert desk.check(BUY, 1003, 1, QUOTE, NOW) == "OK"


@pytest.mark.parametrize(("limit", "name"), [(11, "POSITION"), (12, "OK"), (13, "OK")])
def test_an_amended_order_counts_at_its_greater_size(new_gate, limit, name):
    for old, new in ((4, 8), (8, 4)):
        desk = new_gate(position_lots_max=limit)
        bid = sent(desk, BUY, 1000, old)
        desk.answer(bid, OrderState.NEW, 1000, old)
        assert desk.check(BUY, 1001, new, QUOTE, NOW, replaces=bid) == "OK"
        desk.amend(bid, NOW)
        assert desk.check(BUY, 999, 4, QUOTE, NOW) == name
        desk.answer(bid, OrderState.PENDING_CANCEL, 1000, old)  # pulled, its amend still open
        assert desk.check(BUY, 999, 4, QUOTE, NOW) == name


def test_a_modification_is_of_a_live_order_of_its_side(new_gate):
    desk = new_gate()
    assert desk.check(BUY, 1000, 1, QUOTE, NOW, replaces=1) == "REPLACES"
    bid = sent(desk, BUY, 1000, 1)
    assert desk.check(BUY, 1001, 1, QUOTE, NOW, replaces=bid) == "REPLACES"  # not acknowledged
    desk.answer(bid, OrderState.NEW, 1000, 1)
    assert desk.check(SELL, 1010, 1, QUOTE, NOW, replaces=bid) == "REPLACES"
    assert desk.check(BUY, 1001, 1, QUOTE, NOW, replaces=bid) == "OK"
    desk.amend(bid, NOW)
    assert desk.check(BUY, 1002, 1, QUOTE, NOW, replaces=bid) == "REPLACES"


def test_what_an_amended_order_has_filled_is_in_the_position_not_in_the_order(new_gate):
    desk = new_gate(position_lots_max=10)
    bid = sent(desk, BUY, 1000, 10)
    desk.answer(bid, OrderState.PARTIALLY_FILLED, 1000, 10)
    desk.fill(bid, 6)
    assert desk.check(BUY, 1001, 10, QUOTE, NOW, replaces=bid, filled=6) == "OK"
    assert desk.check(BUY, 1001, 11, QUOTE, NOW, replaces=bid, filled=6) == "POSITION"


@pytest.mark.parametrize("flags", [EXIT, QUOTE | OrderFlag.REDUCE_ONLY])
@pytest.mark.parametrize(("qty", "name"), [(4, "OK"), (5, "OK"), (6, "REDUCE_ONLY")])
@pytest.mark.parametrize(("position", "side", "px"), [(5, SELL, 1010), (-5, BUY, 1000)])
def test_reduce_only_shrinks_and_never_flips(new_gate, flags, qty, name, position, side, px):
    desk = new_gate()
    desk.set_position(position)
    assert desk.check(side, px, qty, flags, NOW) == name
    assert desk.check(1 - side, 2010 - px, 1, flags, NOW) == "REDUCE_ONLY"
    desk.set_position(0)
    assert desk.check(side, px, 1, flags, NOW) == "REDUCE_ONLY"


@pytest.mark.parametrize(("qty", "name"), [(1, "OK"), (2, "OK"), (3, "REDUCE_ONLY")])
def test_reduce_only_counts_what_reduces_already(new_gate, qty, name):
    desk = new_gate()
    desk.set_position(5)
    sent(desk, SELL, 1000, 3, EXIT)
    assert desk.check(SELL, 1000, qty, EXIT, NOW) == name
    assert desk.check(SELL, 1010, qty, QUOTE | OrderFlag.REDUCE_ONLY, NOW) == name


def test_an_exit_does_not_wait_for_the_cancel_of_a_quote_but_a_quote_does(new_gate):
    desk = new_gate()
    desk.set_position(5)
    sent(desk, SELL, 1010, 3)
    assert desk.check(SELL, 1000, 5, EXIT, NOW) == "OK"
    assert desk.check(SELL, 1011, 3, QUOTE | OrderFlag.REDUCE_ONLY, NOW) == "REDUCE_ONLY"


def test_while_reducing_every_order_must_shrink_the_position(new_gate):
    desk = new_gate()
    desk.set_position(5)
    desk.set_reducing(True)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == "REDUCE_ONLY"
    assert desk.check(SELL, 1010, 5, QUOTE, NOW) == "OK"
    assert desk.check(SELL, 1010, 6, QUOTE, NOW) == "REDUCE_ONLY"
    desk.set_reducing(False)
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == "OK"


# -- ACCOUNT ---


@pytest.mark.parametrize(("limit", "name"), [(9, "ACCOUNT_EXPOSURE"), (10, "OK"), (11, "OK")])
def test_two_instruments_share_one_account(new_gate, limit, name):
    limits = {"account_exposure_e8_max": limit * 1010}
    account = new_gate.account(loose_limits(**limits))
    one, two = (new_gate(account, **limits) for _ in range(2))
    sent(one, BUY, 1000, 6)
    assert two.check(SELL, 1010, 4, QUOTE, NOW) == name
    # What adds nothing at worst passes, whatever the account holds: the other side of one.
    assert one.check(SELL, 1010, 6, QUOTE, NOW) == "OK"
    assert account.exposure_e8 == 6 * 1010


def test_what_is_filled_or_gone_is_told_to_the_account(new_gate):
    desk = new_gate()
    bid = sent(desk, BUY, 1000, 6)
    assert desk.exposure_e8 == 6 * 1010
    desk.answer(bid, OrderState.PARTIALLY_FILLED, 1000, 6)
    desk.fill(bid, 2)
    desk.end(bid, OrderState.CANCELED)
    desk.report()
    assert desk.exposure_e8 == 2 * 1010
    desk.book(0, 0)  # no price to mark at: the last one stands
    desk.report()
    assert desk.exposure_e8 == 2 * 1010


@pytest.mark.parametrize(("worth", "value"), [((7, 1), 7_070), ((1, 10), 101), ((1, 100), 11)])
def test_exposure_is_exact_in_e8_and_rounded_up(new_gate, worth, value):
    desk = new_gate(value_e8=worth)
    sent(desk, BUY, 1000, 1)
    assert desk.exposure_e8 == -(-1010 * worth[0] // worth[1]) == value


def test_a_gate_refuses_an_account_of_other_limits():
    fast = FastDesk(loose_limits())
    with pytest.raises(ValueError, match=r"limits\.account_orders_per_10s_max is 9, but 1000 for"):
        Gate(loose_limits(account_orders_per_10s_max=9), Book(), Orders(1, 1), fast.account)
    with pytest.raises(ValueError, match="tick x lot worth above 0"):
        Gate(loose_limits(), Book(), Orders(1, 1), None, (0, 1))


def test_the_benchs_loop_checks_as_often_as_it_says():
    desk = FastDesk(loose_limits(tick_age_ms_max=1))
    desk.book(1000, 1010)
    assert desk.gate.denies()["OK"] == 0
    # One nanosecond later each: the last ones are caused by a frame that is too old.
    assert desk.rig.repeat_check(BUY, 1000, 1, QUOTE, NOW, MS + 5) == MS + 1
    assert (desk.gate.denies()["OK"], desk.gate.denies()["TICK_AGE"]) == (MS + 1, 4)


# -- THROUGH THE WHOLE CHAIN ---

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


def test_cancels_count_as_messages_and_are_never_denied() -> None:
    desk = Desk(limits__messages_per_min_max=6, limits__cancel_reserve=2)
    desk.start()
    for step in range(6):
        for params in desk.take_sent():
            desk.ack(params)
        px = 60_001 + step
        desk.best(f"{px}.20", "1.000", f"{px}.30", "1.000")
    # Two quotes, two cancels: four messages are the limit less the reserve.
    assert desk.numbers["orders_sent"] == 2
    assert desk.numbers["cancels_sent"] == 2
    assert denied(desk, "MESSAGES") > 0


def test_the_last_trade_is_the_second_reference() -> None:
    desk = Desk(limits__reference_age_ms_max=1_000, limits__price_collar_ticks=3)
    desk.start()
    assert placed(desk) == []
    assert denied(desk, "REFERENCE") > 0
    trade = {
        "e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": 7, "q": "0.001", "X": "MARKET",
        "m": True,
    }  # fmt: skip
    desk.frame(Conn.MARKET, {**trade, "p": "60000.40"})
    desk.timer(10)  # bid 59999.8 is 6 ticks off the trade, ask 60000.3 one
    assert placed(desk) == ["SELL"]
    assert denied(desk, "PRICE") == 1


def test_every_code_has_a_name_and_a_text() -> None:
    assert all(name and text for name, text in CODES.values())
    assert len({name for name, _ in CODES.values()}) == len(CODES) == 23
