"""An engine quotes while ccxt trades by hand on the same account: each stays right.

The engine is `tickmaker run` in the project's own environment; its ledger is read with SQL.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ccxt
import pytest
from field import PLACES, Field, field_of
from judge import Ledger, compare
from targets import BYBIT_LINEAR, SPOT, USDM, Target
from trader import Trader
from venue import Venue

ROUNDS = 3


def _place(target: Target) -> Any:
    place = PLACES[target.venue]
    return replace(place, symbols=f"{place.symbols},{place.symbols.replace('BTC', 'ETH')}")


@pytest.fixture(params=[USDM, SPOT, BYBIT_LINEAR], ids=lambda target: target.name)
def hand(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


@pytest.fixture
def field(hand: Target, tmp_path: Path) -> Iterator[Field]:
    with field_of(_place(hand), tmp_path) as found:
        yield found


def _trader(hand: Target, field: Field, symbol: str) -> Trader:
    """The account's second key."""
    venue = Venue(field.exchange.ready)
    api = hand.make(ccxt, venue, venue.keys(0, 1))
    api.load_markets()
    return Trader(replace(hand, symbol=symbol), api)


def test_ccxt_trades_by_hand_beside_an_engine(hand: Target, field: Field) -> None:
    engine = field.run(strangers='"leave"')
    same = _trader(hand, field, hand.symbol)
    other = _trader(hand, field, hand.symbol.replace("BTC", "ETH"))
    kept = []
    for _ in range(ROUNDS):
        kept.append(same.rest()["id"])
        kept.append(other.rest("sell", 0.1)["id"])
        gone = same.rest("sell")
        same.take("buy")
        other.take("buy", 0.1)
        same.api.cancel_order(gone["id"], same.symbol)
        same.take("sell", 0.02)
        same.take("buy")
        field.again(engine)
    time.sleep(1.0)
    field.again(engine)
    engine.stop()

    assert {*same.open_ids(), *other.open_ids()} == set(kept), "a stranger's order was cancelled"
    assert not engine.events("divergence"), engine.tail()
    compare(field.place, field.exchange, [engine.run_dir], strangers_open=ROUNDS)
    ledger = Ledger(engine.run_dir)
    owners = {row["owner"] for row in ledger.rows("SELECT owner FROM v_fills")}
    ledger.close()
    assert owners == {"run", "stranger"}
