"""The checker and the audit: each of their rules can fail, on logs with one lie in them."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support_exchange import LINEAR, SPOT, accepted, place, quiet_core

from engine.exchange.book import Side
from engine.exchange.commands import CancelAll
from engine.exchange.instruments import catalogue
from engine.exchange.terms import Exec, MoneyWhy, OrderType, Status, Tif, Why
from engine.exchange.truth import FillRecord, MoneyRecord, OrderRecord, Record
from engine.recorder.ledger import Ledger
from engine.sim.audit import Audit
from engine.sim.checker import Checker, LastWords
from engine.sim.halted import HaltedQuotes
from fastcore.journal import FIELDS, KIND, OUT_HEADER, JournalWriter
from fastcore.types import Halt, OrderState, Verb

INSTRUMENT = catalogue("binance_usdm")["BTCUSDT"].instrument
PREFIX = "tm00000100-01-"
NAME, ORDER, TRADE = f"{PREFIX}000000000001", 4_000_000_001, 5_000_000_001
PX, LOTS, FEE = 600_000, 10, 120_000_000
Rows = dict[str, list[dict[str, Any]]]


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
TRUTH: list[Record] = [MoneyRecord(0, 0, "USDT", 7, 0, 0, "opening"), NEW, FILL, DONE]
MESSAGE = {"method": "order.place", "params": {
    "newClientOrderId": NAME, "side": "BUY", "price": "60000.00", "quantity": "0.010",
}}  # fmt: skip
LEDGER: Rows = {
    "instruments": [{
        "core": 0, "key": "local.binance_usdm.BTCUSDT", "account": "local",
        "venue": "binance_usdm", "symbol": "BTCUSDT", "base": "BTC", "quote": "USDT",
        "tick": "0.10", "lot": "0.001", "client_prefix": PREFIX,
    }],
    "openings": [{"seq": 1, "core": 0, "ts_ns": 1, "position_lots": 0}],
    "sends": [{
        "seq": 2, "core": 0, "ts_ns": 1, "intent_id": 1, "verb": int(Verb.PLACE),
        "message": json.dumps(MESSAGE),
    }],
    "fills": [{
        "seq": 3, "core": 0, "intent_id": 1, "trade_id": TRADE, "venue_order_id": ORDER,
        "px_ticks": PX, "qty_lots": LOTS, "fee_e8": FEE, "is_maker": 1,
    }],
    "orders": [{
        "core": 0, "intent_id": 1, "venue_order_id": ORDER, "px_ticks": PX, "qty_lots": LOTS,
        "cum_qty_lots": LOTS, "state": int(OrderState.FILLED),
    }],
    "engine_events": [{"seq": 0, "kind": "started", "text": "", "detail": "{}"}],
    "balances": [{"seq": 1, "ts_ns": 1, "account": "local", "asset": "USDT", "total_e8": 7}],
}  # fmt: skip
NUMBERS = {
    "position_lots": LOTS, "cash_ticks_lots": -PX * LOTS, "fees_e8": FEE, "fees_base_e8": 0,
    "fills": 1, "own": [],
}  # fmt: skip
WORDS = LastWords({"BTCUSDT": NUMBERS}, 0, 0)


def written(path: Path, rows: Rows) -> Path:
    """A ledger that holds these rows; columns that do not matter are 0."""
    Ledger(path).close()
    with sqlite3.connect(path) as database:
        for table, lines in rows.items():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for line in lines:
                values = [line.get(name, 0) for name in columns]
                marks = ",".join("?" * len(columns))
                database.execute(f"INSERT INTO {table} VALUES ({marks})", values)
    database.close()
    return path


def judge(
    folder: Path, *ledgers: Rows, truth: list[Record] = TRUTH, words: LastWords | None = WORDS
) -> list[str]:
    checker = Checker({"BTCUSDT": INSTRUMENT}, 0, 0)
    for number, rows in enumerate(ledgers):
        run_dir = folder / f"run-{number}"
        run_dir.mkdir()
        checker.on_ledger(number, written(run_dir / "ledger.sqlite", rows), has_ended=True)
    for record in truth:
        checker.on_truth(record)
    return checker.finish(words)


def altered(table: str, **fields: Any) -> Rows:
    """The honest ledger, with one row of `table` changed."""
    return LEDGER | {table: [LEDGER[table][0] | fields]}


def said(**fields: Any) -> LastWords:
    return WORDS._replace(numbers={"BTCUSDT": NUMBERS | fields})


def message(**params: str) -> Rows:
    told = MESSAGE | {"params": MESSAGE["params"] | params}  # type: ignore[operator]
    return altered("sends", message=json.dumps(told))


def test_an_honest_run_has_no_breach(tmp_path: Path) -> None:
    assert judge(tmp_path, LEDGER) == []


OTHER = LEDGER | {"fills": [LEDGER["fills"][0], LEDGER["fills"][0] | {"seq": 9, "trade_id": 7}]}
TWICE = LEDGER | {"fills": [LEDGER["fills"][0], LEDGER["fills"][0] | {"seq": 9}]}
SENT = LEDGER["sends"][0]
SENT_TWICE = LEDGER | {"sends": [SENT, SENT | {"seq": 9, "out_seq": 1}]}
ELSEWHERE = LEDGER | {"instruments": [
    LEDGER["instruments"][0],
    LEDGER["instruments"][0] | {"core": 1, "key": "x", "symbol": "XUSDT"},
]}  # fmt: skip
OWN = {"intent_id": 1, "state": OrderState.NEW}
LIES: list[tuple[str, Rows, list[Record], LastWords]] = [
    ("no ledger has its intent", LEDGER | {"sends": [], "orders": []}, TRUTH, WORDS),
    ("the ledger sent BUY", message(price="60000.10"), TRUTH, WORDS),
    ("the ledger sent SELL", message(side="SELL"), TRUTH, WORDS),
    ("was sent as", message(newClientOrderId="tm-else"), TRUTH, WORDS),
    ("placed twice at the venue", LEDGER, [NEW, *TRUTH], WORDS),
    ("qty_lots was 10, the ledger of run 0 says 9", altered("fills", qty_lots=9), TRUTH, WORDS),
    ("fee_e8 was", altered("fills", fee_e8=FEE + 1), TRUTH, WORDS),
    ("fee_asset was", altered("fills", fee_asset=1), TRUTH, WORDS),
    ("is_maker was", altered("fills", is_maker=0), TRUTH, WORDS),
    ("owner was run", altered("fills", owner=2), TRUTH, WORDS),
    ("venue_order_id was", altered("fills", venue_order_id=5), TRUTH, WORDS),
    ("client_id was", altered("fills", intent_id=2), TRUTH, WORDS),
    ("px_ticks was", altered("fills", px_ticks=PX + 1), TRUTH, WORDS),
    (f"is {ORDER}, its ledger says 5", altered("orders", venue_order_id=5), TRUTH, WORDS),
    ("was sent twice", SENT_TWICE, TRUTH, WORDS),
    ("which is not traded here", ELSEWHERE, TRUTH, WORDS),
    ("is booked twice", TWICE, TRUTH, WORDS),
    ("never happened", OTHER, TRUTH, WORDS),
    ("is in no ledger", LEDGER | {"fills": []}, TRUTH, WORDS),
    ("ended as FILLED", altered("orders", state=int(OrderState.CANCELED)), TRUTH, WORDS),
    ("its ledger says unknown", altered("orders", state=int(OrderState.UNKNOWN)), TRUTH, WORDS),
    ("filled with 10 lots", altered("orders", cum_qty_lots=9), TRUTH, WORDS),
    ("never was at the venue", LEDGER | {"fills": []}, [], WORDS),
    ("the ledgers end with 11", altered("openings", position_lots=1), TRUTH, WORDS),
    ("the engine read 8", altered("balances", total_e8=8), TRUTH, WORDS),
    ("has tick 0.10", altered("instruments", tick="0.01"), TRUTH, WORDS),
    ("is open at the venue", LEDGER, [*TRUTH, NEW._replace(client_order_id=f"{NAME[:-1]}2")],
     WORDS),
    ("could not prove its shutdown", LEDGER, TRUTH, WORDS._replace(open_at_venue=None)),
    ("position_lots is 10", LEDGER, TRUTH, said(position_lots=9)),
    ("cash_ticks_lots is", LEDGER, TRUTH, said(cash_ticks_lots=1)),
    ("fees_e8 is", LEDGER, TRUTH, said(fees_e8=1)),
    ("fills is 1", LEDGER, TRUTH, said(fills=2)),
    ("ends believing in an order: intent_id 1", LEDGER, TRUTH, said(own=[OWN])),
]  # fmt: skip


@pytest.mark.parametrize(("says", "rows", "truth", "words"), LIES, ids=[x[0] for x in LIES])
def test_the_checker_names_a_lie(
    says: str, rows: Rows, truth: list[Record], words: LastWords, tmp_path: Path
) -> None:
    breaches = judge(tmp_path, rows, truth=truth, words=words)
    assert any(says in breach for breach in breaches), breaches


def test_another_account_is_none_of_the_engines_business(tmp_path: Path) -> None:
    others = [NEW._replace(account=1), FILL._replace(account=1)]
    assert judge(tmp_path, LEDGER, truth=[*others, *TRUTH]) == []


# -- SEVERAL RUNS ---

CONTINUED = {"seq": 1, "kind": "previous_run", "text": "", "detail": '{"run_dir": "/x/run-0"}'}
NEXT: Rows = {
    "instruments": [LEDGER["instruments"][0] | {"client_prefix": "tm00000101-01-"}],
    "openings": [{"seq": 1, "core": 0, "ts_ns": 1, "position_lots": LOTS}],
    "engine_events": [CONTINUED, LEDGER["engine_events"][0]],
}
QUIET = NUMBERS | {"cash_ticks_lots": -PX * LOTS - 5, "fees_e8": 0, "fills": 0}  # half ticks
LATER = LastWords({"BTCUSDT": QUIET}, 0, 0)


def test_a_run_goes_on_where_the_one_before_it_ended(tmp_path: Path) -> None:
    assert judge(tmp_path, LEDGER, NEXT, words=LATER) == []


@pytest.mark.parametrize("cash", [0, PX * LOTS, -PX * LOTS - 4])
def test_what_an_opening_is_worth_is_some_price_of_all_of_it(cash: int, tmp_path: Path) -> None:
    words = LastWords({"BTCUSDT": QUIET | {"cash_ticks_lots": cash}}, 0, 0)
    breaches = judge(tmp_path, LEDGER, NEXT, words=words)
    assert any("cash_ticks_lots is" in breach for breach in breaches), breaches


def test_a_divergence_that_a_person_was_told_of_is_named(tmp_path: Path) -> None:
    told = [{"seq": 1, "kind": "divergence", "text": "", "detail": "{}"}]
    (breach,) = judge(tmp_path, LEDGER | {"engine_events": LEDGER["engine_events"] + told})
    assert breach == "1 divergences were told to a person"


def test_a_run_that_begins_with_anything_else_is_named(tmp_path: Path) -> None:
    begun = NEXT | {"openings": [NEXT["openings"][0] | {"position_lots": 9}]}
    breaches = judge(tmp_path, LEDGER, begun, words=LATER)
    assert any("run 1 opened BTCUSDT with (9, 0)" in breach for breach in breaches), breaches


def test_a_fill_of_an_earlier_run_is_booked_by_one_of_them_and_said_to_be_its(
    tmp_path: Path,
) -> None:
    late = LEDGER["fills"][0] | {"intent_id": -1, "owner": 1}
    begun = NEXT | {"openings": LEDGER["openings"], "fills": [late]}
    words = LastWords({"BTCUSDT": NUMBERS}, 0, 0)
    assert judge(tmp_path, LEDGER | {"fills": []}, begun, words=words) == []


def test_a_fill_that_two_runs_book_is_named(tmp_path: Path) -> None:
    late = LEDGER["fills"][0] | {"intent_id": -1, "owner": 1}
    breaches = judge(tmp_path, LEDGER, NEXT | {"fills": [late]}, words=LATER)
    assert any("is booked twice, by run 1" in breach for breach in breaches), breaches


def test_a_run_that_never_started_is_no_link_of_the_chain(tmp_path: Path) -> None:
    """It booked what its shutdown found; the next run continues the one before it."""
    late = LEDGER["fills"][0] | {"intent_id": -1, "owner": 1}
    first = LEDGER | {"fills": []}
    failed = NEXT | {"engine_events": [CONTINUED], "openings": LEDGER["openings"],
                     "fills": [late]}  # fmt: skip
    third = NEXT | {"openings": LEDGER["openings"], "fills": [late]}
    words = LastWords({"BTCUSDT": NUMBERS}, 0, 0)
    assert judge(tmp_path, first, failed, third, words=words) == []


def test_a_run_that_never_started_may_not_book_what_never_happened(tmp_path: Path) -> None:
    made_up = LEDGER["fills"][0] | {"trade_id": 7}
    failed = NEXT | {"engine_events": [], "openings": LEDGER["openings"], "fills": [made_up]}
    third = NEXT | {"engine_events": [CONTINUED, LEDGER["engine_events"][0]]}
    breaches = judge(tmp_path, LEDGER, failed, third, words=LATER)
    assert any("of run 1, which never started, never" in breach for breach in breaches), breaches


# -- QUOTES WHILE HALTED ---


def out(reduce_only: str = "") -> tuple[int, int, bytes, int]:
    text = json.dumps({"params": {"reduceOnly": reduce_only}}).encode()
    return KIND["OUT"], Verb.PLACE, OUT_HEADER.pack(0, 1, 1, 0, 0) + text, 1


def words_of(kind: str, **values: int) -> tuple[int, int, bytes, int]:
    payload = b"".join(
        values.get(name, 0).to_bytes(8, "little", signed=True) for name in FIELDS[KIND[kind]]
    )
    return KIND[kind], 0, payload, 1


TIMER = (KIND["TIMER"], 0, b"", 1)
HALTED = words_of("STATE", old_bits=0, new_bits=int(Halt.BOOK))


def quotes(*records: tuple[int, int, bytes, int]) -> list[str]:
    segment = bytearray(1 << 16)
    writer = JournalWriter(segment)
    for kind, arg, payload, now_ns in records:
        assert writer.append(kind, arg, payload, now_ns)
    halted = HaltedQuotes("BTCUSDT")
    halted.on_segment(bytes(segment))
    halted.end_input()
    return halted.breaches


def test_no_quote_leaves_while_halted() -> None:
    assert quotes(TIMER, out(), TIMER, HALTED) == []
    assert quotes(TIMER, out("true"), HALTED) == []  # an exit
    (breach,) = quotes(TIMER, out(), HALTED)
    assert "left at 1 ns while halted (0x1)" in breach


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
