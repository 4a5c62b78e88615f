"""engine.execution.hedger: inside the band nothing is done, outside never too much, whatever
becomes of what is on its way; and what can't be known is left alone."""

from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.config import HedgeConfig, InstrumentLimits
from engine.execution.hedger import UNHEARD, Decision, Leg, OpenOrder, decide, wanted_of
from engine.venues.base import Instrument
from fastcore.types import Halt, Side

NOW_NS = 10_000_000_000
A, B, C = "a.binance_usdm.BTCUSDT", "b.bybit_linear.BTCUSDT", "c.binance_spot.BTCUSDT"
LIMITS = InstrumentLimits(
    price_collar_ticks=500, qty_lots_min=1, qty_lots_max=1_000, notional_min=0,
    notional_max=10**12, position_lots_max=100_000, exposure_max=10**12, open_orders_max=8,
    orders_per_10s_max=1, orders_per_min_max=1, messages_per_s_max=1, messages_per_min_max=1,
    cancel_reserve=0, exit_reserve=0, duplicate_ms=0, book_age_ms_max=1_000, tick_age_ms_max=1,
    reference_age_ms_max=0,
)  # fmt: skip
DEEP = 10_000


def config(**more: Any) -> HedgeConfig:
    fields: dict[str, Any] = {
        "name": "btc", "of": (A,), "on": (B, C), "target": Decimal(0), "band": Decimal("0.05"),
        "to": Decimal(0), "collar_ppm": 20_000, "slice_max": Decimal(1_000), "pause_ms": 100,
    }  # fmt: skip
    return HedgeConfig(**(fields | more))


def limits(**more: int) -> InstrumentLimits:
    return LIMITS.model_copy(update=more)


def leg(key: str = B, position_lots: int = 0, **more: Any) -> Leg:
    """At 10,000 ticks of 0.1, lots of 0.01; no fee."""
    rules: dict[str, Any] = {
        "venue": key.split(".")[1], "symbol": "BTCUSDT", "tick": "0.1", "lot": "0.01",
        "qty_min": Decimal("0.01"), "qty_max": Decimal(1_000), "notional_min": Decimal(0),
        "base": "BTC", "quote": "USDT",
    }  # fmt: skip
    rules |= {name: more.pop(name) for name in list(more) if name in rules}
    fields: dict[str, Any] = {
        "limits": LIMITS, "taker_ppm": 0, "bits": Halt(0), "fees_base_e8": 0, "own": (),
        "bids": [(10_000, DEEP)], "asks": [(10_001, DEEP)], "book_ns": NOW_NS,
    }  # fmt: skip
    return Leg(key=key, instrument=Instrument(**rules), position_lots=position_lots,
               **(fields | more))  # fmt: skip


def order(side: Side, lots: int, px_ticks: int = 10_000, *, is_take: bool = True,
          is_doubted: bool = False) -> OpenOrder:  # fmt: skip
    return OpenOrder(side, lots, px_ticks, is_take, is_doubted)


def decided(*legs: Leg, **more: Any) -> Decision:
    return decide(config(**more), legs, NOW_NS)


def taken(decision: Decision) -> list[tuple[str, Side, int]]:
    assert decision.plan is not None
    return [(part.venue, part.side, part.qty_lots) for part in decision.plan.slices]


def spot(**more: Any) -> Leg:
    return leg(C, **more)


# -- WHEN AND HOW MUCH ---


def test_inside_the_band_nothing_is_done() -> None:
    for lots in (-5, 0, 5):
        found = decided(leg(A, lots), leg(B), spot())
        assert (found.plan, found.is_within, found.why) == (None, True, "")
    assert taken(decided(leg(A, -6), leg(B), spot()))[0][1:] == (Side.BUY, 6)
    assert taken(decided(leg(A, 6), leg(B), spot()))[0][1:] == (Side.SELL, 6)


def test_what_is_taken_is_the_hedge() -> None:
    assert decided(leg(A, 60), leg(B, -58), spot()).is_within
    assert taken(decided(leg(A, 60), leg(B, -50), spot())) == [(B, Side.SELL, 10)]


def test_it_is_left_at_to_and_about_the_target() -> None:
    found = decided(leg(A, 20), leg(B), spot(), to=Decimal("0.04"))
    assert taken(found) == [(B, Side.SELL, 16)]
    held = decided(leg(A, 0), leg(B), spot(position_lots=1_000), target=Decimal(10))
    assert held.is_within
    short = decided(leg(A, -20), leg(B), spot(position_lots=1_000), target=Decimal(10))
    assert taken(short) == [(B, Side.BUY, 20)]


def test_fees_of_spot_are_gone_from_the_position() -> None:
    found = decided(leg(A), leg(B), spot(fees_base_e8=6_000_000))
    assert found.net == Decimal("-0.06")
    assert taken(found) == [(B, Side.BUY, 6)]


def test_orders_on_their_way_count_in_full() -> None:
    busy = leg(B, own=(order(Side.SELL, 20),))
    assert decided(leg(A, 20), busy, spot(position_lots=0)).plan is None
    more = decided(leg(A, 50), busy, spot(), on=(B, C))
    assert (more.low, more.high) == (Decimal("0.3"), Decimal("0.5"))
    assert more.plan is not None
    assert more.plan.wanted == Decimal("0.3")
    assert more.plan.why_not[B] == "an order is on its way there"


def test_quotes_rest_and_count_only_while_their_fate_is_open() -> None:
    quote = order(Side.SELL, 20, 10_009, is_take=False)
    assert taken(decided(leg(A, 20, own=(quote,)), leg(B), spot())) == [(B, Side.SELL, 20)]
    doubted = order(Side.SELL, 20, 10_009, is_take=False, is_doubted=True)
    assert decided(leg(A, 20, own=(doubted,)), leg(B), spot()).plan is None


# -- WHAT CAN'T BE KNOWN ---


@pytest.mark.parametrize("bit", [bit for bit in Halt if bit & UNHEARD])
def test_nothing_is_done_where_a_position_is_not_known(bit: Halt) -> None:
    found = decided(leg(A, 50, bits=bit), leg(B), spot())
    assert (found.plan, found.is_known, found.is_within) == (None, False, False)
    assert found.why == f"{A}: position not known: {bit.name}"


def test_silent_user_stream_and_divergence_are_not_known_either() -> None:
    assert "can't be shown to be alive" in decided(
        leg(A, 50, bits=Halt.LINK, is_silent=True), leg(B), spot()
    ).why
    assert decided(leg(A, 50, bits=Halt.LINK), leg(B), spot()).plan is not None
    for at in (A, B, C):
        legs = [leg(key, 50 * (key == A), is_diverged=key == at) for key in (A, B, C)]
        found = decided(*legs)
        assert (found.plan, found.why) == (None, f"{at}: holds what nothing explains")


def test_place_that_is_away_does_not_end_hedging_elsewhere() -> None:
    """What rests or is on its way there counts in full: it may be filled without our hearing."""
    gone = leg(B, bits=Halt.RECONCILING | Halt.USER_STREAM, own=(
        order(Side.SELL, 8, 10_005, is_take=False), order(Side.BUY, 3, 9_000, is_take=False)))
    found = decided(leg(A, 50), gone, spot(position_lots=100), target=Decimal(1))
    assert (found.low, found.high) == (Decimal("1.42"), Decimal("1.53"))
    assert taken(found) == [(C, Side.SELL, 42)]
    assert found.plan is not None
    assert found.plan.why_not[B] == "halted: USER_STREAM+RECONCILING"


# -- WHERE ---


def test_places_say_why_they_are_no_use() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"bits": Halt.OPERATOR}, "halted: OPERATOR"),
        ({"bids": []}, "no two-sided book"),
        ({"book_ns": NOW_NS - 1_001_000_000}, "its book is 1001 ms old"),
        ({"own": (order(Side.BUY, 1),)}, "an order is on its way there"),
        ({"aside": "denied"}, "denied"),
        ({"own": (order(Side.BUY, 1, 10_000, is_take=False),)}, "our own quote stands there"),
        ({"limits": limits(price_collar_ticks=0)}, "beyond limits.price_collar_ticks"),
    ]
    for more, why in cases:
        found = decided(leg(A, 50), leg(B, **more), on=(B,))
        assert (found.plan, found.why) == (None, f"{B}: {why}")
        assert found.is_known
        other = decided(leg(A, 50), leg(B, **more), spot(position_lots=100), target=Decimal(1))
        assert {venue for venue, _, _ in taken(other)} == {C}


def test_own_quotes_are_not_met() -> None:
    wall = order(Side.BUY, 1, 9_998, is_take=False)
    book = [(10_000, 5), (9_999, 5), (9_998, 90)]
    found = decided(leg(A, 50), leg(B, bids=book, own=(wall,)), on=(B,))
    assert taken(found) == [(B, Side.SELL, 10)]


def test_limits_of_the_core_bound_the_order() -> None:
    cases: list[tuple[dict[str, int], list[int]]] = [
        ({"position_lots_max": 7}, [7]), ({"exposure_max": 90_008}, [8]),
        ({"qty_lots_max": 20}, [16, 17, 17]), ({"notional_max": 300_000}, [25, 25]),
        ({"qty_lots_min": 51}, []), ({"notional_min": 510_000}, []),
    ]  # fmt: skip
    for more, sizes in cases:
        found = decided(leg(A, 50), leg(B, limits=limits(**more)), on=(B,))
        assert sorted(lots for _, _, lots in taken(found)) == sizes, more
        assert found.why == "" if sizes else found.why.startswith(B)


def test_spot_sells_no_more_than_it_has() -> None:
    has = spot(position_lots=30, fees_base_e8=500_000)
    assert taken(decided(leg(A, 50), has, on=(C,))) == [(C, Side.SELL, 29)]
    assert taken(decided(leg(A, -50), has, on=(C,))) == [(C, Side.BUY, 20)]
    kept = spot(position_lots=30, own=(order(Side.SELL, 10, 10_050, is_take=False),))
    assert taken(decided(leg(A, 50), kept, on=(C,))) == [(C, Side.SELL, 20)]


def test_reference_is_the_median_of_the_books() -> None:
    """One bad book among three can't make its own price look right."""
    bad = spot(bids=[(12_000, DEEP)], asks=[(12_001, DEEP)], position_lots=100)
    found = decided(leg(A, 50), leg(B), bad, target=Decimal(1))
    assert found.plan is not None
    assert found.plan.reference == Decimal("1000.05")
    bought = decided(leg(A, -250), leg(B), spot(bids=[(8_000, 9)], asks=[(8_001, DEEP)]))
    assert taken(bought) == [(C, Side.BUY, 250)]  # better than the reference is no harm
    assert {venue for venue, _, _ in taken(found)} == {C}  # sold dear


# -- PROPERTIES ---

LOTS = st.integers(-300, 300)
ORDERS = st.lists(
    st.builds(
        order, st.sampled_from(Side), st.integers(1, 200), is_take=st.booleans(),
        is_doubted=st.booleans(),
    ), max_size=3,
)  # fmt: skip
UNITS = st.integers(0, 100).map(lambda lots: Decimal(lots) / 100)


@given(
    lots=st.tuples(LOTS, LOTS, LOTS), orders=st.tuples(ORDERS, ORDERS, ORDERS),
    band=UNITS, to=UNITS, target=LOTS.map(lambda lots: Decimal(lots) / 100),
    depth=st.integers(1, 80), lot=st.sampled_from(["0.01", "0.07", "1"]),
)  # fmt: skip
def test_no_action_goes_past_the_target_whatever_comes_true(
    lots: tuple[int, ...], orders: tuple[list[OpenOrder], ...], band: Decimal, to: Decimal,
    target: Decimal, depth: int, lot: str,
) -> None:  # fmt: skip
    """Every order on its way filled, or not: what was planned, filled too, still leaves the
    position on its side of the target, and no farther from it than it was."""
    assume(to < band)
    books = {"bids": [(10_000 - i, depth) for i in range(9)],
             "asks": [(10_001 + i, depth) for i in range(9)]}  # fmt: skip
    legs = [
        leg(A, lots[0], own=orders[0]), leg(B, lots[1], own=orders[1], lot=lot, **books),
        spot(position_lots=lots[2], own=orders[2], **books),
    ]  # fmt: skip
    found = decide(config(band=band, to=to, target=target), legs, NOW_NS)
    assert found.is_known
    if found.plan is None:
        return
    sign = 1 if found.plan.side == Side.BUY else -1
    done = sum((part.qty for part in found.plan.slices), Decimal(0))
    assert 0 <= done <= found.plan.wanted
    on_way = [
        (1 if one.side == Side.BUY else -1) * one.leaves_lots * each.lot
        for each in legs for one in each.own if one.is_take or one.is_doubted
    ]  # fmt: skip
    for fills in product((0, 1), repeat=len(on_way)):
        before = found.net + sum((way * fill for way, fill in zip(on_way, fills, strict=True)),
                                 Decimal(0))  # fmt: skip
        after = before + sign * done
        assert -sign * (before - target) > band
        assert -sign * (after - target) >= to
    for venue, _, _ in taken(found):
        assert not any(one.is_take for each in legs if each.key == venue for one in each.own)


@given(net=st.integers(-10_000, 10_000), way=st.integers(0, 5_000), band=st.integers(1, 500),
       to=st.integers(0, 499))  # fmt: skip
def test_repeated_it_comes_to_rest_inside_the_band(
    net: int, way: int, band: int, to: int
) -> None:
    """Where books hold what is wanted, one action is enough, and the next look does nothing."""
    assume(to < band)
    hedge = config(band=Decimal(band), to=Decimal(to))
    low, high = Decimal(net - way), Decimal(net)
    side, wanted = wanted_of(hedge, low, high)
    sign = 1 if side == Side.BUY else -1
    again = wanted_of(hedge, low + sign * wanted, high + sign * wanted)
    assert again[1] == 0


@given(lots=LOTS, mixed=st.lists(LOTS, min_size=1, max_size=6))
def test_fills_between_two_looks_never_make_it_oscillate(lots: int, mixed: list[int]) -> None:
    """Each decision is carried out in full before the next; without new fills there is only one,
    and each is against the position of its moment."""
    held = {A: lots, B: 0}
    for fill in (0, *mixed):
        held[A] += fill
        found = decided(leg(A, held[A]), leg(B, held[B]), on=(B,))
        before = held[A] + held[B]
        for _, side, part in taken(found) if found.plan else []:
            assert (side == Side.SELL) == (before > 0)
            held[B] += part if side == Side.BUY else -part
        assert abs(held[A] + held[B]) <= 5
        assert decided(leg(A, held[A]), leg(B, held[B]), on=(B,)).plan is None
