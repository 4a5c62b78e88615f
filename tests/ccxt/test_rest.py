"""ccxt, REST: what it is told, what it asks for, what an order becomes."""

import time
from typing import Any

import pytest
from targets import Target
from trader import AMOUNT, Trader
from venue import Venue, until


def test_load_markets(api: Any, target: Target) -> None:
    market = api.market(target.symbol)
    assert market["active"]
    assert market["linear"] is (True if target.is_derivative else None)
    assert market["spot"] is not target.is_derivative
    assert (market["base"], market["quote"]) == ("BTC", "USDT")
    assert 0 < market["precision"]["price"] <= 0.1
    assert 0 < market["precision"]["amount"] <= 0.001
    assert market["limits"]["amount"]["min"] == market["precision"]["amount"]
    assert market["limits"]["cost"]["min"] > 0


def test_fetch_time(api: Any) -> None:
    assert abs(api.fetch_time() - time.time() * 1e3) < 5_000


def test_fetch_balance(api: Any) -> None:
    usdt = api.fetch_balance()["USDT"]
    assert usdt["total"] > 1_000
    assert usdt["free"] + usdt["used"] == pytest.approx(usdt["total"])


def test_fetch_ticker(api: Any, trader: Trader) -> None:
    until("a first trade", lambda: api.fetch_ticker(trader.symbol)["last"])
    bid, ask = trader.touch()
    ticker = api.fetch_ticker(trader.symbol)
    assert ticker["last"] == pytest.approx((bid + ask) / 2, rel=0.02)
    assert ticker["symbol"] == trader.symbol


def test_fetch_order_book(api: Any, target: Target) -> None:
    book = api.fetch_order_book(target.symbol, 50)
    bids, asks = book["bids"], book["asks"]
    assert len(bids) > 5
    assert len(asks) > 5
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0][0] < asks[0][0]


def test_fetch_order_book_is_the_exchange_s(api: Any, target: Target, venue: Venue) -> None:
    with venue.still(target.book):
        ours = venue.admin(f"/book?symbol={target.book}&limit=50")
        book = api.fetch_order_book(target.symbol, 50)
    for side in ("bids", "asks"):
        theirs = [[float(px), float(qty)] for px, qty in ours[side]]
        assert [level[:2] for level in book[side]] == theirs[: len(book[side])]
    assert book["nonce"] is None or target.is_bybit or book["nonce"] == ours["update_id"]


def test_fetch_trades(api: Any, trader: Trader) -> None:
    trader.take()
    trades = until("a public trade", lambda: api.fetch_trades(trader.symbol, limit=20))
    assert all(trade["side"] in ("buy", "sell") for trade in trades)
    assert all(trade["price"] > 0 < trade["amount"] for trade in trades)
    assert [t["timestamp"] for t in trades] == sorted(t["timestamp"] for t in trades)


def test_limit_order_rests_is_changed_and_cancelled(trader: Trader) -> None:
    api, symbol = trader.api, trader.symbol
    px = trader.far()
    placed = trader.place("limit", "buy", AMOUNT, px)
    order = trader.order(placed["id"])
    assert (order["status"], order["side"], order["type"]) == ("open", "buy", "limit")
    assert (order["price"], order["amount"], order["filled"]) == (px, AMOUNT, 0)
    assert trader.open_ids() == [placed["id"]]
    cheaper = float(api.price_to_precision(symbol, px - 10))
    edited = api.edit_order(placed["id"], symbol, "limit", "buy", AMOUNT * 2, cheaper)
    assert trader.open_ids() == [edited["id"]]
    order = trader.order(edited["id"])
    assert (order["price"], order["amount"]) == (cheaper, AMOUNT * 2)
    api.cancel_order(edited["id"], symbol)
    order = trader.settled(edited["id"])
    assert (order["status"], order["filled"]) == ("canceled", 0)
    assert trader.open_ids() == []


def test_client_order_id_is_kept(trader: Trader) -> None:
    name = f"mine-{time.time_ns()}"
    placed = trader.rest(clientOrderId=name)
    assert trader.order(placed["id"])["clientOrderId"] == name
    found = trader.api.fetch_open_orders(trader.symbol)
    assert [order["clientOrderId"] for order in found] == [name]


def test_market_order_fills_and_is_in_my_trades(trader: Trader) -> None:
    started = trader.api.fetch_time()
    order = trader.take()
    assert (order["status"], order["filled"], order["remaining"]) == ("closed", AMOUNT, 0)
    _, ask = trader.touch()
    assert order["average"] == pytest.approx(ask, rel=0.02)

    def mine() -> Any:
        trades = trader.api.fetch_my_trades(trader.symbol, since=started - 1_000)
        return [trade for trade in trades if trade["order"] == order["id"]]

    trades = until("its trades", mine)
    assert sum(trade["amount"] for trade in trades) == pytest.approx(AMOUNT)
    assert {trade["side"] for trade in trades} == {"buy"}
    assert {trade["takerOrMaker"] for trade in trades} == {"taker"}
    assert all(trade["fee"]["cost"] > 0 for trade in trades)
    fee_of = "USDT" if trader.target.is_derivative else "BTC"
    assert {trade["fee"]["currency"] for trade in trades} == {fee_of}


def test_fill_moves_the_money(trader: Trader, target: Target) -> None:
    if target.is_derivative:
        assert trader.position() == 0
        trader.take("sell")
        assert trader.position() == -AMOUNT
        row = trader.api.fetch_positions([trader.symbol])[0]
        assert row["entryPrice"] == pytest.approx(trader.touch()[0], rel=0.02)
        return
    before = trader.api.fetch_balance()
    trader.take("sell")
    after = trader.api.fetch_balance()
    assert after["BTC"]["total"] == pytest.approx(before["BTC"]["total"] - AMOUNT)
    assert after["USDT"]["total"] > before["USDT"]["total"]


def test_resting_order_holds_money(trader: Trader) -> None:
    before = trader.api.fetch_balance()["USDT"]["free"]
    trader.rest()
    after = trader.api.fetch_balance()["USDT"]["free"]
    assert after < before


def test_post_only_order_rests(trader: Trader) -> None:
    placed = trader.rest(postOnly=True)
    order = trader.order(placed["id"])
    assert order["status"] == "open"
    assert order["postOnly"] is True


def test_ioc_order_takes_what_there_is_or_ends(trader: Trader) -> None:
    api = trader.api
    missed = trader.settled(trader.rest(timeInForce="IOC")["id"])
    assert missed["status"] in ("canceled", "expired")
    assert missed["filled"] == 0
    _, ask = trader.touch()
    px = float(api.price_to_precision(trader.symbol, ask * 1.01))
    placed = trader.place("limit", "buy", AMOUNT, px, timeInForce="IOC")
    assert trader.settled(placed["id"])["filled"] == AMOUNT
    assert trader.open_ids() == []


def test_reduce_only_order_closes_no_more_than_there_is(trader: Trader, target: Target) -> None:
    if not target.is_derivative:
        pytest.skip("nothing to reduce at a spot market")
    trader.take("buy")
    assert trader.position() == AMOUNT
    closed = trader.take("sell", reduceOnly=True)
    assert closed["filled"] == AMOUNT
    assert closed["reduceOnly"] is True
    assert trader.position() == 0


def test_cancel_all_orders(trader: Trader) -> None:
    ids = {trader.rest(side)["id"] for side in ("buy", "sell", "buy")}
    assert set(trader.open_ids()) == ids
    trader.api.cancel_all_orders(trader.symbol)
    until("no open order", lambda: not trader.open_ids())


def test_two_accounts_trade_with_each_other(trader: Trader, other: Trader) -> None:
    """One rests inside the spread, the other takes it, unless an agent was quicker."""
    step = trader.api.market(trader.symbol)["precision"]["price"]

    def met() -> bool:
        bid, ask = trader.touch()
        px = float(trader.api.price_to_precision(trader.symbol, max(bid + step, ask - step)))
        mine = trader.place("limit", "sell", AMOUNT, px)
        theirs = other.place("limit", "buy", AMOUNT, px, timeInForce="IOC")
        other.settled(theirs["id"])
        trades = trader.api.fetch_my_trades(trader.symbol, limit=10)
        trader.tidy()
        mine_as = {trade["takerOrMaker"] for trade in trades if trade["order"] == mine["id"]}
        return "maker" in mine_as

    until("a trade as the maker", met)
    other.tidy()
