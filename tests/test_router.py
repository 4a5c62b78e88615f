"""engine.execution.router: nothing cheaper exists (a brute-force twin), every rule holds (random
books), and the same venues give the same plan in any order."""

import json
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.router import Plan, Slice, Venue, route
from engine.venues.base import Instrument
from fastcore.types import Side

MANY = 1_000_000


def venue(name: str, levels: list[tuple[int, int]], **more: Any) -> Venue:
    """`levels` are of both sides: a test asks for one."""
    rules: dict[str, Any] = {
        "venue": "bybit_linear", "symbol": "BTCUSDT", "tick": "0.1", "lot": "0.01", "base": "BTC",
        "quote": "USDT", "qty_min": Decimal("0.01"), "qty_max": Decimal(1_000),
        "notional_min": Decimal(0),
    }  # fmt: skip
    rules |= {name: more.pop(name) for name in list(more) if name in rules}
    fields: dict[str, Any] = {"taker_ppm": 0, "room_lots": MANY, "bids": levels, "asks": levels}
    return Venue(name, Instrument(**rules), **(fields | more))


def plan_of(side: Side, qty: str, venues: list[Venue], **more: Any) -> Plan:
    fields: dict[str, Any] = {
        "reference": Decimal(100), "collar_ppm": 900_000, "slice_max": Decimal(1_000),
    }  # fmt: skip
    return route(side, Decimal(qty), venues, **(fields | more))


def brief(plan: Plan) -> list[tuple[str, int, int]]:
    return [(one.venue, one.qty_lots, one.px_ticks) for one in plan.slices]


# -- EXAMPLES ---


def test_cheaper_after_fees_goes_first() -> None:
    near, far = venue("near", [(1_000, 5), (1_010, 9)], taker_ppm=550), venue("far", [(1_001, 5)])
    plan = plan_of(Side.BUY, "0.12", [near, far])
    assert brief(plan) == [("far", 5, 1_001), ("near", 7, 1_010)]
    second = plan.slices[1]
    assert (second.qty, second.px) == (Decimal("0.07"), Decimal(101))
    assert second.notional == Decimal("7.02")
    assert second.fee == Decimal("7.02") * Decimal("0.00055")
    assert plan.unfilled == 0
    assert plan.why_not == {}


def test_selling_takes_the_highest_after_fees() -> None:
    low, high = venue("low", [(1_000, 5)]), venue("high", [(1_001, 5)], taker_ppm=1_100)
    assert brief(plan_of(Side.SELL, "0.05", [low, high])) == [("low", 5, 1_000)]
    rebate = venue("rebate", [(999, 5)], taker_ppm=-2_000)
    assert brief(plan_of(Side.SELL, "0.05", [low, rebate])) == [("rebate", 5, 999)]


def test_equal_prices_go_by_name() -> None:
    venues = [venue(name, [(1_000, 5)]) for name in "cab"]
    plan = plan_of(Side.BUY, "0.07", venues)
    assert brief(plan) == [("a", 5, 1_000), ("b", 2, 1_000)]


def test_collar_is_of_the_price_without_fees() -> None:
    books = venue("a", [(1_000, 1), (1_001, 1), (1_002, 1)], taker_ppm=10_000)
    plan = plan_of(Side.BUY, "0.03", [books], collar_ppm=1_000)
    assert brief(plan) == [("a", 2, 1_001)]
    assert (plan.unfilled, plan.why_not) == (Decimal("0.01"), {"a": "beyond the collar"})
    sold = venue("a", [(1_000, 1), (999, 1), (998, 1)])
    assert brief(plan_of(Side.SELL, "0.03", [sold], collar_ppm=1_000)) == [("a", 2, 999)]
    assert brief(plan_of(Side.SELL, "0.03", [sold], collar_ppm=0)) == [("a", 1, 1_000)]


def test_why_not_is_told_of_every_venue_that_fell_short() -> None:
    venues = [
        venue("book", [(1_000, 1)]), venue("none", []), venue("room", [(1_000, 9)], room_lots=2),
        venue("halted", [(1_000, 9)], is_usable=False, why_not="halted: CLOCK"),
        venue("lot", [(1_000, 9)], lot="5"),
    ]  # fmt: skip
    plan = plan_of(Side.BUY, "1", venues)
    assert plan.why_not == {
        "book": "no more in the book", "none": "no more in the book",
        "room": "no more room by the limits", "halted": "halted: CLOCK",
        "lot": "the rest is under its lot",
    }  # fmt: skip
    assert plan.unfilled == Decimal("0.97")


def test_reduce_only_closes_and_never_flips() -> None:
    venues = [
        venue("long", [(1_000, 90)], position_lots=7),
        venue("short", [(1_000, 90)], position_lots=-4),
        venue("flat", [(1_000, 90)]),
    ]
    sold = plan_of(Side.SELL, "1", venues, is_reduce_only=True)
    assert brief(sold) == [("long", 7, 1_000)]
    bought = plan_of(Side.BUY, "0.02", venues, is_reduce_only=True)
    assert brief(bought) == [("short", 2, 1_000)]
    assert sold.why_not["flat"] == "nothing more to reduce"


def test_dust_can_be_closed_where_the_venue_lets_it() -> None:
    small = {"notional_min": Decimal(5), "position_lots": 1}
    strict = venue("a", [(1_000, 90)], **small)
    plan = plan_of(Side.SELL, "0.01", [strict], is_reduce_only=True)
    assert (plan.slices, plan.why_not) == ((), {"a": "1 is under the smallest notional"})
    kind = venue("a", [(1_000, 90)], venue="binance_usdm", **small)
    assert brief(plan_of(Side.SELL, "0.01", [kind], is_reduce_only=True)) == [("a", 1, 1_000)]
    assert plan_of(Side.SELL, "0.01", [kind]).slices == ()  # else it has a minimum too


def test_share_that_is_too_small_goes_to_others() -> None:
    best = venue("best", [(1_000, 3)], notional_min=Decimal(5))
    deep = venue("deep", [(1_001, 90)], notional_min=Decimal(5))
    plan = plan_of(Side.BUY, "0.12", [best, deep])
    assert brief(plan) == [("deep", 12, 1_001)]
    assert plan.why_not == {"best": "3 is under the smallest notional"}
    first = venue("best", [(1_000, 9)], notional_min=Decimal(5))
    plan = plan_of(Side.BUY, "0.12", [first, deep])  # 9 there leave 3 that nobody takes
    assert brief(plan) == [("deep", 12, 1_001)]
    assert plan.why_not == {"best": "leaves others too little"}


def test_cheapest_of_the_choices_that_fill_as_much() -> None:
    """Both together would give each too little; either alone fills all."""
    for names in (("a", "b"), ("b", "a")):
        flat = venue(names[0], [(1_001, 90)], notional_min=Decimal(5))
        steep = venue(names[1], [(1_000, 3), (1_003, 90)], notional_min=Decimal(5))
        plan = plan_of(Side.BUY, "0.05", [flat, steep])
        assert brief(plan) == [(names[0], 5, 1_001)]
        flat = venue(names[0], [(999, 90)], notional_min=Decimal(5))
        steep = venue(names[1], [(1_000, 3), (997, 90)], notional_min=Decimal(5))
        plan = plan_of(Side.SELL, "0.06", [flat, steep])
        assert brief(plan) == [(names[0], 6, 999)]
        assert plan.why_not == {names[1]: "3 is under the smallest notional"}


def test_slices_are_alike_and_within_the_largest_order() -> None:
    book = venue("a", [(1_000, 8), (1_001, 8), (1_002, 8)], qty_max=Decimal("0.11"))
    plan = plan_of(Side.BUY, "0.21", [book], slice_max=Decimal("0.10"))
    assert brief(plan) == [("a", 7, 1_000), ("a", 7, 1_001), ("a", 7, 1_002)]
    assert sum(one.notional for one in plan.slices) == Decimal("21.018")
    plan = plan_of(Side.BUY, "0.21", [book])
    assert [one.qty_lots for one in plan.slices] == [10, 11]
    coarse = plan_of(Side.BUY, "0.21", [book], slice_max=Decimal("0.001"))
    assert (coarse.slices, coarse.why_not) == ((), {"a": "slice_max is under its lot"})


def test_log_line_is_plain_json() -> None:
    plan = plan_of(Side.BUY, "0.12", [venue("near", [(1_000, 5)], taker_ppm=550)])
    assert json.loads(json.dumps(plan.to_json())) == {
        "side": "BUY", "wanted": "0.12", "unfilled": "0.07", "reference": "100",
        "collar_ppm": 900_000, "reduce_only": False,
        "slices": [{"venue": "near", "qty": "0.05", "qty_lots": 5, "px": "100",
                    "px_ticks": 1_000, "notional": "5", "fee": "0.00275"}],
        "why_not": {"near": "no more in the book"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("venues", "more", "word"),
    [
        ([venue("a", []), venue("a", [])], {}, "every venue once"),
        ([venue(str(i), []) for i in range(9)], {}, "at most 8"),
        ([venue("a", []), venue("b", [], quote="USDC")], {}, "one quote asset"),
        ([venue("a", [], taker_ppm=MANY)], {}, "taker_ppm"),
        ([venue("a", [(1_001, 1), (1_000, 1)])], {}, "best first"),
        ([venue("a", [(0, 1)])], {}, "best first"),
        ([], {"reference": Decimal(0)}, "reference must be above 0"),
        ([], {"slice_max": Decimal("NaN")}, "slice_max must be above 0"),
        ([], {"collar_ppm": MANY}, "collar_ppm"),
        ([venue("a", [(1, 1)], tick="0.1", lot="0.01"), venue("b", [], taker_ppm=-MANY)], {},
         "taker_ppm"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(venues: list[Venue], more: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        plan_of(Side.BUY, "1", venues, **more)
    with pytest.raises(ValueError, match="qty must be above 0"):
        plan_of(Side.BUY, "0", [])


# -- THE TWIN ---


def twin(side: Side, wanted: int, venues: list[Venue], limit: Fraction) -> tuple[int, Fraction]:
    """(lots, cost) of the best of all ways to fill `wanted` lots: every count of every level."""
    sign = 1 if side == Side.BUY else -1
    choices = []
    for one in venues:
        book = one.asks if side == Side.BUY else one.bids
        tick = Fraction(one.instrument.tick)
        inside = [(px, lots) for px, lots in book if sign * px * tick <= sign * limit]
        fee = 1 + sign * Fraction(one.taker_ppm, 1_000_000)
        counts = product(*(range(lots + 1) for _, lots in inside))
        choices.append({
            (sum(taken), sum(
                (sign * n * px * tick * fee for n, (px, _) in zip(taken, inside, strict=True)),
                Fraction(0)))
            for taken in counts if sum(taken) <= one.room_lots
        })  # fmt: skip
    best = (0, Fraction(0))
    for combined in product(*choices):
        lots, cost = sum(n for n, _ in combined), sum((c for _, c in combined), Fraction(0))
        if lots <= wanted and (-lots, cost) < (-best[0], best[1]):
            best = (lots, cost)
    return best


def cost_of(side: Side, slices: tuple[Slice, ...], lot: str) -> Fraction:
    """In the twin's terms: by lot, a seller's proceeds negative, fees included."""
    sign = 1 if side == Side.BUY else -1
    total = sum((Fraction(s.notional) + sign * Fraction(s.fee) for s in slices), Fraction(0))
    return sign * total / Fraction(lot)


LEVELS = st.lists(st.tuples(st.integers(998, 1_003), st.integers(1, 2)), max_size=2)


@given(
    side=st.sampled_from(Side),
    wanted=st.integers(1, 7),
    books=st.lists(st.tuples(LEVELS, st.sampled_from([-300, 0, 500, 1_000]), st.integers(0, 4)),
                   min_size=1, max_size=3),
    collar_ppm=st.sampled_from([0, 1_000, 2_000, 50_000]),
)  # fmt: skip
def test_nothing_fills_more_or_costs_less(
    side: Side, wanted: int, books: list[Any], collar_ppm: int
) -> None:
    venues = [
        venue(str(i), sorted(levels, reverse=side == Side.SELL), taker_ppm=fee, room_lots=room)
        for i, (levels, fee, room) in enumerate(books)
    ]
    width = Fraction(collar_ppm, 1_000_000)
    limit = 100 * (1 + width if side == Side.BUY else 1 - width)
    lots, cost = twin(side, wanted, venues, limit)
    qty = Decimal(wanted) * Decimal("0.01")
    plan = plan_of(side, str(qty), venues, collar_ppm=collar_ppm)
    assert sum(one.qty_lots for one in plan.slices) == lots
    assert plan.unfilled == qty - lots * Decimal("0.01")
    assert cost_of(side, plan.slices, "0.01") == cost
    assert set(plan.why_not) == ({one.name for one in venues} if lots < wanted else set())


def test_every_book_of_two_venues_exhaustively() -> None:
    """One level each: prices, sizes, fees and rooms in every combination."""
    sides = list(Side)
    for side, p, q, m, n, fee, wanted in product(
        sides, (999, 1_000, 1_001), (1_000, 1_001), (1, 3), (1, 2), (0, 1_000), (1, 3, 6)
    ):
        venues = [venue("a", [(p, m)], taker_ppm=fee), venue("b", [(q, n)], room_lots=n)]
        plan = plan_of(side, str(Decimal(wanted) / 100), venues)
        limit = Fraction(190 if side == Side.BUY else 10)
        lots, cost = twin(side, wanted, venues, limit)
        assert sum(one.qty_lots for one in plan.slices) == lots
        assert cost_of(side, plan.slices, "0.01") == cost


# -- RULES OVER RANDOM BOOKS ---


@st.composite
def any_venue(draw: st.DrawFn, name: str, side: Side) -> Venue:
    tick, lot = draw(st.sampled_from([("0.1", "0.01"), ("0.05", "0.1"), ("1", "0.003")]))
    middle = int(Decimal(100) / Decimal(tick))
    prices = draw(st.lists(st.integers(-40, 40), max_size=5))
    prices = sorted({middle + p for p in prices if middle + p > 0}, reverse=side == Side.SELL)
    levels = [(px, draw(st.integers(0, 60))) for px in prices]
    return venue(
        name, levels, tick=tick, lot=lot, taker_ppm=draw(st.integers(-500, 2_000)),
        room_lots=draw(st.sampled_from([-3, 0, 20, MANY])),
        position_lots=draw(st.integers(-50, 50)), is_usable=draw(st.integers(0, 5)) > 0,
        qty_min=Decimal(lot) * draw(st.integers(1, 12)),
        qty_max=Decimal(lot) * draw(st.integers(20, 90)),
        notional_min=Decimal(draw(st.sampled_from([0, 0, 5, 60]))),
    )  # fmt: skip


@st.composite
def any_question(draw: st.DrawFn) -> tuple[Side, list[Venue], Decimal, dict[str, Any]]:
    side = draw(st.sampled_from(Side))
    venues = [draw(any_venue(name, side)) for name in "abcd"[: draw(st.integers(0, 4))]]
    more = {
        "collar_ppm": draw(st.sampled_from([0, 5_000, 100_000, 999_999])),
        "slice_max": draw(st.sampled_from([Decimal("0.5"), Decimal(2), Decimal(1_000)])),
        "is_reduce_only": draw(st.booleans()),
    }
    return side, venues, Decimal(draw(st.integers(1, 9_000))) / 1_000, more


@given(question=any_question())
def test_plan_keeps_every_rule(question: tuple[Side, list[Venue], Decimal, Any]) -> None:
    side, venues, wanted, more = question
    plan = plan_of(side, str(wanted), venues, **more)
    by_name = {one.name: one for one in venues}
    sign = 1 if side == Side.BUY else -1
    assert plan.unfilled + sum(one.qty for one in plan.slices) == wanted
    assert plan.unfilled >= 0
    limit = Decimal(100) * (1 + sign * Decimal(more["collar_ppm"]) / 1_000_000)
    total: dict[str, int] = {}
    worth: dict[str, Decimal] = {}
    for one in plan.slices:
        own = by_name[one.venue]
        rules = own.instrument
        assert own.is_usable
        assert one.qty == one.qty_lots * Decimal(rules.lot) >= rules.qty_min
        assert one.qty <= min(rules.qty_max, more["slice_max"])
        assert one.px == one.px_ticks * Decimal(rules.tick)
        assert sign * one.px <= sign * limit
        assert one.qty * one.px >= rules.notional_min
        assert sign * one.notional <= sign * one.qty * one.px  # no worse than its limit
        assert one.fee == one.notional * own.taker_ppm / 1_000_000
        total[one.venue] = total.get(one.venue, 0) + one.qty_lots
        worth[one.venue] = worth.get(one.venue, Decimal(0)) + one.notional
    for name, lots in total.items():
        own = by_name[name]
        assert lots <= own.room_lots
        if more["is_reduce_only"]:
            assert lots <= -sign * own.position_lots
        book, left, money = own.asks if side == Side.BUY else own.bids, lots, 0
        for px, size in book:  # the best of its book, nothing skipped
            money += px * min(size, left)
            left -= min(size, left)
        assert left == 0
        assert worth[name] == money * Decimal(own.instrument.tick) * Decimal(own.instrument.lot)
    if plan.unfilled:
        assert set(plan.why_not) >= {one.name for one in venues if one.name not in total}
    assert plan_of(side, str(wanted), venues[::-1], **more) == plan
    json.dumps(plan.to_json())


@given(question=any_question())
def test_more_is_filled_than_by_any_one_venue(
    question: tuple[Side, list[Venue], Decimal, Any]
) -> None:
    side, venues, wanted, more = question
    lots = {one.instrument.lot for one in venues}
    plan = plan_of(side, str(wanted), venues, **more)
    for one in venues if len(lots) == 1 else []:
        alone = plan_of(side, str(wanted), [one], **more)
        assert plan.unfilled <= alone.unfilled
