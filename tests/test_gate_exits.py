"""Exits at the gate, beside its twin: cut to what one order may be, with orders of each
window kept for them, counted where denied; and what a dropped gate leaves: nothing."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_gate import EXIT, MS, QUOTE, TAKE, FastDesk, loose_limits

from fastcore.types import Side, Verb
from tests.reference import gate as twin

BUY, SELL = Side.BUY, Side.SELL
NOW = 10_000 * MS
DESKS = pytest.mark.parametrize("new_desk", [FastDesk, twin.Desk], ids=["fast", "reference"])


def desk_of(new_desk, account=None, **tighter):
    desk = new_desk(loose_limits(**tighter), account)
    desk.book(1000, 1010)
    return desk


# -- CUT ---


@DESKS
@pytest.mark.parametrize(
    ("tighter", "lots", "cut"),
    [
        ({"qty_lots_max": 50}, 49, 49),
        ({"qty_lots_max": 50}, 50, 50),
        ({"qty_lots_max": 50}, 51, 50),
        ({"notional_max": 50_000}, 49, 49),
        ({"notional_max": 50_000}, 50, 50),
        ({"notional_max": 50_000}, 51, 50),
        ({"notional_max": 49_999}, 50, 49),
        ({"notional_max": 999}, 7, 1),  # no size passes: the gate says so
        # A rest under the smallest order could never be closed.
        ({"qty_lots_max": 50, "qty_lots_min": 5}, 54, 49),
        ({"qty_lots_max": 50, "qty_lots_min": 5}, 55, 50),
        ({"qty_lots_max": 50, "qty_lots_min": 5}, 56, 50),
        ({"qty_lots_max": 50, "qty_lots_min": 50}, 60, 50),
        ({"qty_lots_max": 50, "qty_lots_min": 5}, 3, 3),
    ],
)
def test_an_exit_is_cut_to_what_one_order_may_be(new_desk, tighter, lots, cut):
    desk = desk_of(new_desk, **tighter)
    assert desk.clamp(SELL, 1000, lots) == (1000, cut)


@DESKS
@pytest.mark.parametrize(
    ("side", "px", "cut"),
    [
        (SELL, 986, 986), (SELL, 985, 985), (SELL, 984, 985),
        (BUY, 1024, 1024), (BUY, 1025, 1025), (BUY, 1026, 1025),
        (SELL, 1001, 1001), (BUY, 1009, 1009),  # short of the touch: as the strategy wants it
    ],
)  # fmt: skip
def test_its_price_is_drawn_into_the_collar_round_the_mid(new_desk, side, px, cut):
    desk = desk_of(new_desk, price_collar_ticks=20)
    assert desk.clamp(side, px, 1) == (cut, 1)
    desk.set_position(1 if side == SELL else -1)
    assert desk.check(side, cut, 1, EXIT, NOW) == "OK"
    assert desk.check(side, px, 1, EXIT, NOW) == ("OK" if px == cut else "PRICE")
    assert desk.exits_denied == (px != cut)


@DESKS
@pytest.mark.parametrize(
    ("side", "reference", "cut"),
    [(SELL, 1009, 989), (SELL, 1020, 1000), (BUY, 1001, 1021), (BUY, 990, 1010),
     (SELL, 1021, 900), (BUY, 989, 1100)],
)  # fmt: skip
def test_and_round_the_second_reference_but_not_past_the_touch(new_desk, side, reference, cut):
    """Where the touch itself is out of the collar no price is right: the gate denies."""
    desk = desk_of(new_desk, price_collar_ticks=20, reference_age_ms_max=100)
    desk.on_reference(reference, NOW)
    desk.set_position(1 if side == SELL else -1)
    assert desk.clamp(side, 900 if side == SELL else 1100, 1) == (cut, 1)
    is_out = cut in (900, 1100)
    assert desk.check(side, cut, 1, EXIT, NOW) == ("PRICE" if is_out else "OK")
    assert desk.exits_denied == is_out


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(
    side=st.sampled_from([BUY, SELL]), px=st.integers(1, 80), lots=st.integers(1, 40),
    bid=st.integers(20, 40), spread=st.integers(1, 15), reference=st.integers(15, 60),
    age=st.sampled_from([0, 100]), collar=st.integers(1, 20), lots_min=st.integers(0, 12),
    lots_more=st.integers(0, 20), notional=st.integers(1, 1_500),
)  # fmt: skip
def test_the_cut_is_the_twins_and_never_asks_for_more(
    side, px, lots, bid, spread, reference, age, collar, lots_min, lots_more, notional
):
    limits = loose_limits(
        price_collar_ticks=collar, reference_age_ms_max=age, qty_lots_min=lots_min,
        qty_lots_max=max(lots_min + lots_more, 1), notional_max=notional,
    )  # fmt: skip
    cuts = []
    for new_desk in (FastDesk, twin.Desk):
        desk = new_desk(limits)
        desk.book(bid, bid + spread)
        desk.on_reference(reference, NOW)
        cuts.append(desk.clamp(side, px, lots))
    assert cuts[0] == cuts[1]
    cut_px, cut_lots = cuts[0]
    assert 1 <= cut_lots <= lots
    assert cut_px >= px if side == SELL else cut_px <= px


@DESKS
def test_only_denied_exits_are_counted_apart(new_desk):
    desk = desk_of(new_desk, qty_lots_max=5)
    desk.set_position(9)
    for flags in (QUOTE, TAKE, EXIT):
        assert desk.check(SELL, 1010 if flags == QUOTE else 1000, 6, flags, NOW) == "QTY"
    assert desk.exits_denied == 1
    assert desk.check(SELL, 1000, 5, EXIT, NOW) == "OK"
    assert desk.exits_denied == 1


# -- WINDOWS ---


@DESKS
@pytest.mark.parametrize("owner", ["", "account_"])
@pytest.mark.parametrize("window", ["orders_per_10s", "orders_per_min"])
@pytest.mark.parametrize(
    ("count", "quote", "exit"),
    [(2, "OK", "OK"), (3, "RATE", "OK"), (4, "RATE", "OK"), (5, "RATE", "RATE"),
     (6, "RATE", "RATE")],
)  # fmt: skip
def test_the_last_orders_of_a_window_are_for_exits(new_desk, owner, window, count, quote, exit):
    """Limit 5, reserve 2."""
    desk = desk_of(new_desk, **{f"{owner}{window}_max": 5, f"{owner}exit_reserve": 2})
    desk.set_position(9)
    sends = desk.account.sends if owner else desk.sends
    for _ in range(count):
        sends.count_send(Verb.PLACE, NOW)
    names = {"OK": "OK", "RATE": owner[:-1].upper() + "_RATE" if owner else "RATE"}
    assert desk.check(BUY, 1000, 1, QUOTE, NOW) == names[quote]
    assert desk.check(BUY, 1010, 1, TAKE, NOW) == names[quote]
    assert desk.check(SELL, 1000, 1, EXIT, NOW) == names[exit]


# -- A DROPPED GATE ---


@DESKS
def test_a_dropped_gate_leaves_its_account(new_desk):
    limits = loose_limits()
    account = new_desk.new_account(limits)
    stays, goes = desk_of(new_desk, account), desk_of(new_desk, account)
    for desk, lots in ((stays, 3), (goes, 4)):
        assert desk.check(BUY, 1000, lots, QUOTE, NOW) == "OK"
        desk.place(NOW)
    assert (account.gate_count, account.exposure_e8) == (2, 7 * 1010)
    del goes, desk
    gc.collect()
    assert (account.gate_count, account.exposure_e8) == (1, 3 * 1010)
    assert stays.exposure_e8 == 3 * 1010


def test_a_gate_that_could_not_be_made_is_not_on_the_account():
    account = FastDesk.new_account(loose_limits())
    with pytest.raises(ValueError, match="worth above 0"):
        FastDesk(loose_limits(), account, (0, 1))
    with pytest.raises(ValueError, match="give both the same"):
        FastDesk(loose_limits(account_exposure_e8_max=7), account)
    gc.collect()
    assert account.gate_count == 0
