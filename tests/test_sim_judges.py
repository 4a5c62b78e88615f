"""The checker and the audit: each of their rules can fail, on logs with one lie in them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support_exchange import LINEAR, SPOT, accepted, place, quiet_core

from engine.exchange.book import Side
from engine.exchange.commands import CancelAll
from engine.exchange.instruments import catalogue
from engine.exchange.terms import Exec, MoneyWhy, OrderType, Status, Tif, Why
from engine.exchange.truth import FillRecord, MoneyRecord, OrderRecord, Record
from engine.sim.audit import Audit
from engine.sim.checker import Belief, Checker
from fastcore.journal import FIELDS, KIND, OUT_HEADER, JournalWriter
from fastcore.types import Halt, OrderState, Verb

INSTRUMENT = catalogue("binance_usdm")["BTCUSDT"].instrument
NAME, ORDER, TRADE = "tm-1", 4_000_000_001, 5_000_000_001
PX, LOTS, FEE = 600_000, 10, 120_000_000


def out(method: str, now_ns: int = 1, **params: str) -> tuple[int, int, bytes, int]:
    text = json.dumps({"id": "1", "method": method, "params": params}).encode()
    return KIND["OUT"], Verb.PLACE, OUT_HEADER.pack(0, 1, 1, 0, 0) + text, now_ns


def placed(name: str = NAME, price: str = "60000.00", **more: str) -> tuple[int, int, bytes, int]:
    return out("order.place", newClientOrderId=name, side="BUY", price=price,
               quantity="0.010", **more)  # fmt: skip


def words(kind: str, **values: int) -> tuple[int, int, bytes, int]:
    payload = b"".join(
        values.get(name, 0).to_bytes(8, "little", signed=True) for name in FIELDS[KIND[kind]]
    )
    return KIND[kind], 0, payload, 1


FILLED = words(
    "FILL", trade_id=TRADE, venue_order_id=ORDER, side=0, px_ticks=PX, qty_lots=LOTS,
    fee_e8=FEE, is_maker=1,
)  # fmt: skip
TIMER = (KIND["TIMER"], 0, b"", 1)


def order_record(exec_type: Exec, status: Status, cum_lots: int = 0, **fields: Any) -> OrderRecord:
    record = OrderRecord(
        1, 0, "BTCUSDT", ORDER, NAME, Side.BUY, PX, LOTS, exec_type, status, cum_lots, Why.NONE
    )
    return record._replace(**fields)


NEW = order_record(Exec.NEW, Status.NEW)
DONE = order_record(Exec.TRADE, Status.FILLED, LOTS)
FILL = FillRecord(
    1, 0, "BTCUSDT", TRADE, ORDER, NAME, Side.BUY, PX, LOTS, True, FEE, "USDT", 0, LOTS, PX * LOTS
)
TRUTH: list[Record] = [NEW, FILL, DONE]
JOURNAL = [TIMER, placed(), TIMER, FILLED]
NUMBERS = {
    "position_lots": LOTS, "cash_ticks_lots": -PX * LOTS, "fees_e8": FEE, "fills": 1, "own": [],
}  # fmt: skip
BELIEF = Belief(NUMBERS, False, 0, 0)


def judge(journal: list[Any], truth: list[Record], belief: Belief = BELIEF) -> list[str]:
    segment = bytearray(1 << 16)
    writer = JournalWriter(segment)
    for kind, arg, payload, now_ns in journal:
        assert writer.append(kind, arg, payload, now_ns)
    checker = Checker(INSTRUMENT, 0)
    checker.on_segment(bytes(segment))
    for record in truth:
        checker.on_truth(record)
    return checker.finish(belief)


def believing(**changes: Any) -> Belief:
    fields = {name: changes.pop(name) for name in list(changes) if name in Belief._fields}
    return BELIEF._replace(numbers=NUMBERS | changes, **fields)


def test_an_honest_run_has_no_breach() -> None:
    assert judge(JOURNAL, TRUTH) == []


SHORT = words("FILL", trade_id=TRADE, venue_order_id=ORDER, side=0, px_ticks=PX, qty_lots=9,
              fee_e8=FEE, is_maker=1)  # fmt: skip
OTHER = words("FILL", trade_id=TRADE + 1, venue_order_id=ORDER, side=0, px_ticks=PX,
              qty_lots=LOTS, fee_e8=FEE, is_maker=1)  # fmt: skip
HALTED = words("STATE", old_bits=0, new_bits=int(Halt.BOOK))
OWN = {"intent_id": 1, "state": OrderState.NEW}
LIES: list[tuple[str, list[Any], list[Record], Belief]] = [
    ("no open intent of it", [TIMER, FILLED], TRUTH, BELIEF),
    ("in the journal (ticks, lots)", [placed(price="60000.10"), TIMER, FILLED], TRUTH, BELIEF),
    ("placed twice at the venue", JOURNAL, [NEW, *TRUTH], BELIEF),
    ("was sent twice", [*JOURNAL, placed()], TRUTH, BELIEF),
    ("qty_lots was 10, the journal says 9", [placed(), TIMER, SHORT], TRUTH, BELIEF),
    ("was booked twice", [*JOURNAL, FILLED], TRUTH, BELIEF),
    ("never happened", [*JOURNAL, OTHER], TRUTH, BELIEF),
    ("not in the journal", [placed()], TRUTH, BELIEF),
    ("left at 1 ns while halted", [TIMER, placed(), HALTED, TIMER, FILLED], TRUTH, BELIEF),
    ("is open at the venue", [placed()], [NEW],
     believing(position_lots=0, cash_ticks_lots=0, fees_e8=0, fills=0)),
    ("could not prove its shutdown", JOURNAL, TRUTH, believing(open_at_venue=None)),
    ("position_lots is 10, the engine says 9", JOURNAL, TRUTH, believing(position_lots=9)),
    ("cash_ticks_lots is", JOURNAL, TRUTH, believing(cash_ticks_lots=1)),
    ("fees_e8 is", JOURNAL, TRUTH, believing(fees_e8=1)),
    ("fills is 1, the engine says 2", JOURNAL, TRUTH, believing(fills=2)),
    ("ends believing in an order: intent_id 1", JOURNAL, TRUTH, believing(own=[OWN])),
    ("position_lots is 10, the engine says 0", [placed()], TRUTH,
     believing(position_lots=0, cash_ticks_lots=0, fees_e8=0, fills=0, may_miss=True)),
]  # fmt: skip


@pytest.mark.parametrize(("says", "journal", "truth", "belief"), LIES, ids=[x[0] for x in LIES])
def test_the_checker_names_a_lie(
    says: str, journal: list[Any], truth: list[Record], belief: Belief
) -> None:
    breaches = judge(journal, truth, belief)
    assert any(says in breach for breach in breaches), breaches


def test_what_has_ended_is_let_go_and_still_known() -> None:
    """After tidy() an order's second life, its second intent and its fill's second booking are
    found all the same."""
    segment = bytearray(1 << 16)
    writer = JournalWriter(segment)
    checker = Checker(INSTRUMENT, 0)
    for kind, arg, payload, now_ns in JOURNAL:
        writer.append(kind, arg, payload, now_ns)
    checker.on_segment(bytes(segment))
    for record in TRUTH:
        checker.on_truth(record)
    checker.tidy()
    again = bytearray(1 << 16)
    writer = JournalWriter(again)
    for kind, arg, payload, now_ns in JOURNAL:
        writer.append(kind, arg, payload, now_ns)
    checker.on_segment(bytes(again))
    checker.on_truth(NEW)
    breaches = "\n".join(checker.finish(BELIEF))
    assert "was sent twice" in breaches
    assert "was booked twice" in breaches
    assert "was placed twice" in breaches


def test_an_exit_may_leave_while_halted() -> None:
    journal = [TIMER, placed(reduceOnly="true"), HALTED, TIMER, FILLED]
    assert judge(journal, TRUTH) == []


def test_who_stands_aside_as_diverged_need_not_add_up() -> None:
    own = [{"intent_id": 1, "state": OrderState.FILLED}]
    belief = believing(position_lots=0, fills=0, is_diverged=True, own=own)
    assert judge([placed()], TRUTH, belief) == []


def test_another_account_is_none_of_the_engines_business() -> None:
    stranger = [NEW._replace(account=1), FILL._replace(account=1)]
    assert judge(JOURNAL, [*stranger, *TRUTH]) == []


# -- THE EXCHANGE'S OWN BOOKS ---


def traded(venue: str, key: str) -> list[Record]:
    """A maker of account 0 met by account 1, another order cancelled, and back again."""
    core = quiet_core(venue=venue, keys=(key,))
    bid_px, _, ask_px, _ = core.markets[key].touch()
    lots = 2_000
    for maker, taker in ((0, 1), (1, 0)):
        mid_px = (bid_px + ask_px) // 2 + 1
        ours = place(maker, Side.SELL, lots, mid_px, symbol=key)
        accepted(core.step(ours, 1))
        theirs = place(taker, Side.BUY, lots, mid_px, symbol=key, tif=Tif.IOC)
        accepted(core.step(theirs, 2))
        core.step(place(maker, Side.BUY, lots, bid_px - 50, symbol=key), 3)
        core.step(CancelAll(maker, (key,)), 4)
    market = place(0, Side.BUY, lots, 0, symbol=key, order_type=OrderType.MARKET, tif=Tif.IOC)
    core.step(market, 5)
    return [record for _, record in core.truth.since(0)]


def audited(venue: str, key: str, records: list[Record]) -> list[str]:
    audit = Audit({key: catalogue(venue)[key].instrument})
    for record in records:
        audit.on_truth(record)
    return audit.breaches


@pytest.mark.parametrize(
    ("venue", "key"), [("binance_usdm", "BTCUSDT"), ("binance_spot", "BTCUSDT"),
                       ("bybit", LINEAR), ("bybit", SPOT)],
)  # fmt: skip
def test_books_of_every_kind_add_up(venue: str, key: str) -> None:
    records = traded(venue, key)
    assert sum(isinstance(record, FillRecord) for record in records) >= 3
    assert audited(venue, key, records) == []


def changed(
    kind: type[Record], change: Callable[[Any], Any], which: int = 0
) -> Callable[[list[Record]], list[Record]]:
    def plant(records: list[Record]) -> list[Record]:
        at = [i for i, record in enumerate(records) if isinstance(record, kind)][which]
        return [*records[:at], change(records[at]), *records[at + 1 :]]

    return plant


AUDIT_LIES = [
    ("never reported", changed(FillRecord, lambda r: r._replace(order_id=9))),
    ("filled at", changed(FillRecord, lambda r: r._replace(
        px_ticks=r.px_ticks + 999 * r.side.sign))),
    ("the position is", changed(FillRecord, lambda r: r._replace(position_lots=7))),
    ("realised", changed(FillRecord, lambda r: r._replace(realized_e8=7))),
    ("of 0 lots", changed(FillRecord, lambda r: r._replace(qty_lots=0))),
    ("its report says", changed(OrderRecord, lambda r: r._replace(cum_lots=3))),
    ("with 0 of", changed(OrderRecord, lambda r: r._replace(status=Status.FILLED))),
    ("had ended, then", lambda records: [*records, next(
        r for r in reversed(records) if isinstance(r, OrderRecord))]),
    ("make", changed(MoneyRecord, lambda r: r._replace(total_e8=1), which=-1)),
    ("set aside", changed(MoneyRecord, lambda r: r._replace(locked_e8=-1))),
]  # fmt: skip


@pytest.mark.parametrize(("says", "plant"), AUDIT_LIES, ids=[lie[0] for lie in AUDIT_LIES])
def test_the_audit_names_a_lie(
    says: str, plant: Callable[[list[Record]], list[Record]]
) -> None:
    records = traded("binance_usdm", "BTCUSDT")
    breaches = audited("binance_usdm", "BTCUSDT", plant(records))
    assert any(says in breach for breach in breaches), breaches


def test_money_that_appears_from_nowhere_is_named() -> None:
    opening = MoneyRecord(0, 0, "USDT", 100, 0, 0, "opening")
    more = MoneyRecord(1, 0, "USDT", 150, 0, 49, MoneyWhy.ORDER)
    assert audited("binance_usdm", "BTCUSDT", [opening, more])
