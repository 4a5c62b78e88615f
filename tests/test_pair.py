"""Two cores as one trade: hedges in the same turn, their fates told, the leg-risk budget kept."""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.pair import Pair as SlowPair
from support_core import API_KEY, MS, SECRET, Desk, core_config
from support_pair import HEDGE_OUTS, PARAMS, QUOTE_OUTS, REFERENCE, Legs

from engine.replay.verify import verify_run
from fastcore.core import Core
from fastcore.gate import CODES
from fastcore.journal import KIND
from fastcore.pair import Pair
from fastcore.types import Command, Conn, Halt, SendOutcome

DENY = {name: code for code, (name, _) in CODES.items()} | {"OK": 0}
HEDGE, TOLD = KIND["HEDGE"], KIND["REFERENCE"]


@pytest.fixture(params=[Pair, SlowPair], ids=["fast", "reference"])
def legs(request: pytest.FixtureRequest) -> Iterator[Legs]:
    """Two quotes rest; whatever a test does, the journals replay to the same bytes."""
    legs = Legs(request.param)
    legs.start()
    yield legs
    assert_verifies(legs)


def assert_verifies(legs: Legs) -> None:
    names = ("both", "both") if legs.is_shared else ("btc", "eth")
    assert first_difference(legs, *names) is None


def first_difference(legs: Legs, *accounts: str) -> str | None:
    """Of the replay of both journals, each on the account named for it."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        for account, desk in zip(accounts, (legs.btc, legs.eth), strict=True):
            journal = run_dir / "journal" / f"{account}.binance_usdm.{desk.symbol}"
            journal.mkdir(parents=True)
            (journal / "000000.jnl").write_bytes(bytes(desk.segment))
        (run_dir / "config.json").write_text(json.dumps({"credential": {"kind": "none"}}))
        difference: str | None = verify_run(run_dir)["first_difference"]
        return difference


# -- HEDGES ---


def test_a_fill_is_hedged_in_the_same_turn(legs: Legs) -> None:
    legs.fill_quote("BUY")
    assert [(h["side"], h["quantity"], h["timeInForce"]) for h in legs.hedges] == [
        ("SELL", "0.010", "IOC")
    ]
    assert legs.hedges[0]["price"] == "2999.8"  # two ticks through the bid
    hedge, told = legs.eth.records(HEDGE)[-1], legs.btc.records(TOLD)[-1]
    assert (hedge["side"], hedge["qty_lots"], hedge["px_ticks"]) == (1, 10, 29_998)
    assert (told["position_lots"], told["open_lots"]) == (0, -10)
    legs.end_hedge()
    told = legs.btc.records(TOLD)[-1]
    assert (told["position_lots"], told["open_lots"], legs.naked) == (-10, 0, 0)
    legs.wait(1_000)
    assert not legs.hedges


def test_a_partly_filled_hedge_asks_for_the_rest_at_once(legs: Legs) -> None:
    legs.fill_quote("SELL")
    assert (legs.hedges[0]["side"], legs.hedges[0]["price"]) == ("BUY", "3000.3")
    legs.end_hedge(lots=4)
    assert [h["quantity"] for h in legs.hedges] == ["0.006"]
    legs.end_hedge()
    assert legs.naked == 0


def test_while_a_hedge_is_in_part_open_nothing_more_is_asked_for(legs: Legs) -> None:
    legs.fill_quote("BUY")
    hedge = legs.hedges.pop()
    legs.eth.fill(hedge, "0.004", "0.004")
    legs.settle()
    assert legs.btc.records(TOLD)[-1]["open_lots"] == -6
    legs.wait(60)
    legs.answer()
    assert not [h for h in legs.hedges if "quantity" in h]


def test_a_hedge_that_expired_is_tried_again_after_retry_ms(legs: Legs) -> None:
    legs.fill_quote("BUY")
    legs.end_hedge(lots=0)
    assert legs.btc.records(TOLD)[-1]["open_lots"] == 0
    legs.wait(47)
    legs.answer()
    assert not legs.hedges
    legs.wait(3)
    legs.answer()
    assert [h["quantity"] for h in legs.hedges] == ["0.010"]


def test_a_second_fill_waits_for_the_hedge_in_flight_and_no_longer(legs: Legs) -> None:
    legs.fill_quote("BUY")
    legs.fill_quote("BUY")
    assert [h["quantity"] for h in legs.hedges] == ["0.010"]
    legs.end_hedge()
    assert [h["quantity"] for h in legs.hedges] == ["0.010"]
    legs.end_hedge()
    assert legs.naked == 0


@pytest.mark.parametrize("retry_ms", [50.0, 0.0])
@pytest.mark.parametrize("make", [Pair, SlowPair])
def test_a_denied_hedge_is_naked_again_at_once_and_never_goes_round(
    make: Any, retry_ms: float
) -> None:
    legs = Legs(make, eth__limits__qty_lots_max=9, params=PARAMS | {"retry_ms": retry_ms})
    legs.start()
    legs.fill_quote("BUY")
    assert not legs.hedges
    assert legs.eth.numbers["denies"][DENY["QTY"]] == 1
    assert legs.btc.records(TOLD)[-1]["open_lots"] == 0
    assert legs.settle() == []
    legs.now_ns += 1
    legs.settle()
    assert legs.eth.numbers["denies"][DENY["QTY"]] == (1 if retry_ms else 2)


def test_a_hedge_that_did_not_leave_is_naked_again_at_once(legs: Legs) -> None:
    legs.now_ns += MS
    quote = next(quote for quote in legs.quotes.values() if quote["side"] == "BUY")
    legs.btc.fill(quote, "0.010", "0.010")
    assert legs.pair.settle(legs.now_ns) == HEDGE_OUTS
    out_seq = legs.eth.core.outgoing()[0][0]
    legs.eth.core.send(out_seq, SendOutcome.FAILED, legs.now_ns, legs.now_ns, legs.now_ns)
    legs.settle()
    assert legs.btc.records(TOLD)[-1]["open_lots"] == 0
    legs.wait(50)
    legs.answer()
    assert [h["quantity"] for h in legs.hedges] == ["0.010"]


# -- THE BUDGET ---


def test_naked_for_too_long_stops_quoting_and_unwinds_by_a_take(legs: Legs) -> None:
    legs.fill_quote("BUY")
    for _ in range(4):  # each try expires
        legs.end_hedge(lots=0)
        legs.tick(0.0, ms=60)
        legs.answer()
    assert legs.quotes
    legs.end_hedge(lots=0)
    legs.tick(0.0, ms=60)
    legs.answer()
    assert not legs.quotes
    assert [(t["side"], t["quantity"], t["timeInForce"], t["reduceOnly"]) for t in legs.takes] == [
        ("SELL", "0.010", "IOC", "true")
    ]
    legs.end_take(legs.btc, legs.takes.pop(), 10)
    assert legs.naked == 0
    assert len(legs.quotes) == 2  # and quotes again


def test_a_hedge_in_flight_is_not_unwound_too(legs: Legs) -> None:
    legs.fill_quote("BUY")
    for _ in range(8):
        legs.tick(0.0, ms=50)
        legs.answer()
    assert not legs.takes
    assert not legs.quotes  # but nothing is added


# -- WHAT THE QUOTE CORE IS TOLD ---


def test_nothing_new_is_told_once_in_half_the_age(legs: Legs) -> None:
    legs.tick(0.0)
    legs.answer()
    count = len(legs.btc.records(TOLD))
    for _ in range(5):
        legs.wait(100)
    assert len(legs.btc.records(TOLD)) == count + 2  # each 200 ms


def test_a_reference_that_is_no_longer_told_halts_and_comes_back(legs: Legs) -> None:
    legs.now_ns += 401 * MS
    legs.btc.timer(after_ms=0)  # the edge does not settle
    assert legs.halts == Halt.LEG
    assert {params["verb"] for params in legs.btc.sent} == {2}
    for params in legs.btc.take_sent():
        legs.btc.update(legs.quotes.pop(params["origClientOrderId"]), "CANCELED", "CANCELED")
    assert legs.settle() == [QUOTE_OUTS]
    assert legs.halts == Halt(0)
    legs.answer()
    assert len(legs.quotes) == 2


BREAKS = {
    "gap": lambda eth: eth.depth([], [], prev=eth.update_id - 5),
    "one-sided": lambda eth: eth.depth([], [["3000.10", "0"]]),
    "market down": lambda eth: eth.core.conn(Conn.MARKET, False, eth.now_ns),
    "trade down": lambda eth: eth.core.conn(Conn.TRADE, False, eth.now_ns),
    "operator": lambda eth: eth.core.command(Command.HALT, eth.now_ns),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_leg_that_could_not_be_hedged_on_pulls_the_quotes(legs: Legs, broken: str) -> None:
    BREAKS[broken](legs.eth)
    assert legs.settle() == [QUOTE_OUTS]
    assert Halt.LEG in legs.halts
    told = legs.btc.records(TOLD)[-1]
    assert told["bid_qty_lots"] == told["ask_qty_lots"] == 0
    legs.answer()
    assert not legs.quotes


def test_a_leg_whose_book_is_older_than_its_gate_allows_is_not_told(legs: Legs) -> None:
    for _ in range(21):
        legs.now_ns += 100 * MS
        legs.touch(legs.btc, 60_000.0)  # no timer: the core itself has not noticed
    assert legs.eth.core.halt_bits == 0
    assert legs.halts == Halt.LEG


def test_an_operators_resume_brings_the_leg_back(legs: Legs) -> None:
    legs.eth.core.command(Command.HALT, legs.now_ns)
    legs.settle()
    legs.answer()
    legs.eth.core.command(Command.RESUME, legs.now_ns)
    assert legs.settle() == [QUOTE_OUTS]
    assert legs.halts == Halt(0)


def test_a_leg_lost_while_naked_is_unwound_on_this_one(legs: Legs) -> None:
    legs.fill_quote("BUY")
    legs.end_hedge(lots=0)
    legs.eth.core.command(Command.HALT, legs.now_ns)
    legs.settle()
    legs.answer()
    assert Halt.LEG in legs.halts
    legs.wait(200)
    legs.answer()
    assert not legs.takes
    legs.wait(100)
    legs.answer()
    assert [(t["side"], t["quantity"], t["reduceOnly"]) for t in legs.takes] == [
        ("SELL", "0.010", "true")
    ]
    legs.end_take(legs.btc, legs.takes.pop(), 10)
    assert legs.naked == 0


def test_a_halt_for_the_market_still_hedges_the_fill_that_came_with_it(legs: Legs) -> None:
    """REPEATED_EXECUTION is raised by the very fill that is naked."""
    legs = Legs(type(legs.pair), halts__repeated_fills_max=1)
    legs.start()
    legs.fill_quote("BUY")
    legs.end_hedge()
    legs.fill_quote("SELL")
    assert legs.halts == Halt.REPEATED_EXECUTION
    assert [(h["side"], h["quantity"]) for h in legs.hedges] == [("BUY", "0.010")]
    assert not legs.quotes


# -- BOTH ---


def test_fast_and_slow_write_the_same_journals() -> None:
    written = []
    for make in (Pair, SlowPair):
        legs = Legs(make)
        legs.start()
        Market(legs, seed=7).run(400)
        written.append((bytes(legs.btc.segment), bytes(legs.eth.segment)))
    assert written[0] == written[1]


@pytest.mark.parametrize(("limit", "is_hedged"), [(121, True), (120, False)])
def test_a_shared_account_counts_both_legs(limit: int, is_hedged: bool) -> None:
    """0.020 BTC at most, held or quoted, are worth 1200; the hedge's 0.010 ETH 30."""
    key = "limits__account_exposure_e8_max"
    most = {key: limit * 10_20_000_000, f"eth__{key}": limit * 10_20_000_000}
    legs = Legs(is_shared=True, **most)
    legs.start()
    legs.fill_quote("BUY")
    assert bool(legs.hedges) == is_hedged
    assert legs.eth.numbers["denies"][DENY["ACCOUNT_EXPOSURE"]] == (not is_hedged)
    assert_verifies(legs)
    # Replayed with a ledger each, a leg would not see what the other has at risk.
    assert (first_difference(legs, "btc", "eth") is None) == is_hedged


def test_accounts_whose_limits_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="account_exposure_e8_max"):
        Legs(is_shared=True, eth__limits__account_exposure_e8_max=1)


@pytest.mark.parametrize(
    ("quote", "hedge", "text"),
    [
        ({}, {}, "quote core has no section reference"),
        ({"reference": REFERENCE}, {"reference": REFERENCE}, "hedge core has a section reference"),
        ({"reference": REFERENCE}, {"stops__stop_ticks": 5}, "stops.stop_ticks of the hedge core"),
    ],
)
def test_cores_that_are_no_pair_are_refused(
    quote: dict[str, Any], hedge: dict[str, Any], text: str
) -> None:
    cores = [Core(core_config(**config), API_KEY, SECRET) for config in (quote, hedge)]
    with pytest.raises(ValueError, match=text):
        Pair(*cores)


# -- A LONGER RUN ---


class Market:
    """A seeded venue that answers all, 5 to 25 ms late: hedges fill, in part, or not; now and
    then the hedge leg is lost for a while. Takes on the quote leg fill, as far as they go."""

    def __init__(self, legs: Legs, seed: int) -> None:
        self.legs = legs
        self.dice = random.Random(seed)
        self.due: list[tuple[int, Desk, dict[str, Any]]] = []
        self.mid = 0.0
        self.naked_since_ns = -1
        self.naked_ns_max = self.naked_lots_max = self.fills = 0
        self.lost_steps = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.look()

    def step(self) -> None:
        legs, dice = self.legs, self.dice
        self.mid += dice.uniform(-8.0, 8.0)
        legs.tick(self.mid, ms=5)
        if legs.now_ns % (50 * MS) < 5 * MS:
            legs.wait(0)
        legs.answer()
        if legs.quotes and dice.random() < 0.05:
            self.fills += 1
            legs.fill_quote(dice.choice([quote["side"] for quote in legs.quotes.values()]))
        if self.lost_steps == 0 and dice.random() < 0.003:
            self.lost_steps = 150
            legs.eth.core.command(Command.HALT, legs.now_ns)
        elif self.lost_steps:
            self.lost_steps -= 1
            if self.lost_steps == 0:
                legs.eth.core.command(Command.RESUME, legs.now_ns)
        legs.settle()
        legs.answer()
        for desk, waiting in ((legs.btc, legs.takes), (legs.eth, legs.hedges)):
            while waiting:
                self.due.append((legs.now_ns + dice.randint(5, 25) * MS, desk, waiting.pop(0)))
        for entry in [entry for entry in self.due if entry[0] <= legs.now_ns]:
            self.due.remove(entry)
            self.end(*entry[1:])

    def end(self, desk: Desk, take: dict[str, Any]) -> None:
        lots = round(float(take["quantity"]) * 1000)
        if desk is self.legs.eth:
            lots = self.dice.choice([lots, lots, lots // 2, 0])
        self.legs.end_take(desk, take, lots)

    def look(self) -> None:
        naked = abs(self.legs.naked)
        self.naked_lots_max = max(self.naked_lots_max, naked)
        if naked == 0:
            self.naked_since_ns = -1
        elif self.naked_since_ns < 0:
            self.naked_since_ns = self.legs.now_ns
        else:
            self.naked_ns_max = max(
                self.naked_ns_max, self.legs.now_ns - self.naked_since_ns)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_while_the_venue_answers_nothing_stays_naked_past_the_budget(seed: int) -> None:
    legs = Legs(size=32 << 20)
    legs.start()
    market = Market(legs, seed)
    market.run(2_500)
    assert market.fills > 40
    assert market.naked_lots_max <= 20  # unhedged_lots_max
    # unhedged_ms_max, then an unwinding take: a hedge still in flight, and the take's own way.
    assert market.naked_ns_max <= (300 + 2 * (50 + 25 + 10)) * MS
    assert_verifies(legs)
