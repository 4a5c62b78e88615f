"""Refusals through ccxt: the venue's own codes, and the exceptions that ccxt makes of them."""

from copy import deepcopy
from typing import Any

import ccxt
import ccxt.pro
import pytest
from targets import Target, code_of
from trader import AMOUNT, Trader
from venue import Keys, Venue


def refusal(call: Any, *arguments: Any, **named: Any) -> ccxt.BaseError:
    with pytest.raises(ccxt.BaseError) as caught:
        call(*arguments, **named)
    return caught.value


def stranger(target: Target, venue: Venue, api: Any, keys: Keys) -> Any:
    client = target.make(ccxt, venue, keys)
    client.set_markets(api.markets)
    return client


def test_more_than_the_account_has(trader: Trader) -> None:
    error = refusal(trader.rest, amount=100)
    assert code_of(error) == trader.target.codes["funds"]
    if trader.target.name != "usdm":  # whose table of classes ccxt uses at the real host only
        assert isinstance(error, ccxt.InsufficientFunds)
    assert trader.open_ids() == []


def test_cancel_of_an_unknown_order(trader: Trader) -> None:
    error = refusal(trader.api.cancel_order, "123456789", trader.symbol)
    assert code_of(error) == trader.target.codes["unknown"]
    assert isinstance(error, ccxt.OrderNotFound)


def test_second_cancel_of_an_order(trader: Trader) -> None:
    placed = trader.rest()
    trader.api.cancel_order(placed["id"], trader.symbol)
    error = refusal(trader.api.cancel_order, placed["id"], trader.symbol)
    assert code_of(error) == trader.target.codes["unknown"]


def test_query_of_an_unknown_order(trader: Trader) -> None:
    error = refusal(trader.order, "123456789")
    assert isinstance(error, ccxt.OrderNotFound)
    if not trader.target.is_bybit:  # which answers with an empty list
        assert code_of(error) == trader.target.codes["absent"]


def test_edit_of_an_unknown_order(trader: Trader) -> None:
    px = trader.far()
    error = refusal(
        trader.api.edit_order, "123456789", trader.symbol, "limit", "buy", AMOUNT, px
    )
    if trader.target.name == "spot":  # cancel-replace: the cancel failed, nothing was placed
        assert code_of(error) == -2022
    else:
        known = {trader.target.codes["unknown"], trader.target.codes.get("absent", 0)}
        assert code_of(error) in known
    assert trader.open_ids() == []


def test_too_many_decimals_of_a_quantity(trader: Trader) -> None:
    name = "qty" if trader.target.is_bybit else "quantity"
    error = refusal(trader.rest, **{name: "0.0123456789"})
    codes = {
        "usdm": -1111, "spot": -1111, "bybit-linear": 10001, "bybit-spot": 170137,
    }  # fmt: skip
    assert code_of(error) == codes[trader.target.name]


def test_price_off_the_tick(trader: Trader) -> None:
    px = f"{int(trader.far())}." + ("005" if trader.target.name == "spot" else "05")
    error = refusal(trader.rest, price=px)
    assert code_of(error) == trader.target.codes["tick"]


def test_order_too_small(trader: Trader) -> None:
    amount = 0.00001 if trader.target.name == "spot" else 0.000001
    if trader.target.is_derivative:
        pytest.skip("one lot is worth more than the least notional")
    error = refusal(trader.rest, amount=amount)
    assert code_of(error) == trader.target.codes["small"]


def test_post_only_order_that_would_take(trader: Trader) -> None:
    _, ask = trader.touch()
    px = float(trader.api.price_to_precision(trader.symbol, ask * 1.01))
    if trader.target.is_bybit:  # accepted first, cancelled then
        placed = trader.place("limit", "buy", AMOUNT, px, postOnly=True)
        order = trader.settled(placed["id"])
        assert (order["status"], order["filled"]) == ("canceled", 0)
        assert order["info"]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
        return
    error = refusal(trader.place, "limit", "buy", AMOUNT, px, postOnly=True)
    assert code_of(error) == trader.target.codes["post_only"]
    assert isinstance(error, ccxt.InvalidOrder)


def test_reduce_only_order_with_nothing_to_reduce(trader: Trader) -> None:
    if not trader.target.is_derivative:
        pytest.skip("nothing to reduce at a spot market")
    error = refusal(trader.take, "sell", reduceOnly=True)
    assert code_of(error) == trader.target.codes["reduce_only"]


def test_unknown_symbol(trader: Trader) -> None:
    error = refusal(trader.rest, symbol="NOSUCHUSDT")
    assert code_of(error) == trader.target.codes["symbol"]


def test_wrong_secret(target: Target, venue: Venue, api: Any) -> None:
    keys = venue.keys(0)
    client = stranger(target, venue, api, Keys(keys.api_key, keys.secret[::-1]))
    error = refusal(client.fetch_open_orders, target.symbol)
    assert code_of(error) == target.codes["signature"]
    assert isinstance(error, ccxt.AuthenticationError)


def test_unknown_key(target: Target, venue: Venue, api: Any) -> None:
    client = stranger(target, venue, api, Keys("f" * 64, "e" * 64))
    error = refusal(client.fetch_open_orders, target.symbol)
    assert code_of(error) == target.codes["no_key"]
    assert isinstance(error, ccxt.AuthenticationError)


def test_clock_that_is_behind(target: Target, venue: Venue, api: Any) -> None:
    client = stranger(target, venue, api, venue.keys(0))
    honest = type(client).milliseconds

    class Late(type(client)):  # type: ignore[misc]
        def milliseconds(self) -> int:
            return int(honest()) - 60_000

        nonce = milliseconds

    client.__class__ = Late
    error = refusal(client.fetch_open_orders, target.symbol)
    assert code_of(error) == target.codes["time"]
    assert isinstance(error, ccxt.InvalidNonce)


@pytest.mark.last
async def test_deleted_key(target: Target, venue: Venue, api: Any) -> None:
    """The manager deletes one key: it is dead at once, also where it had logged on. The account's
    other key is not."""
    if target.name == "bybit-spot":
        pytest.skip("the key is the same as the linear market's")
    keys = venue.keys(1, 1)
    doomed = stranger(target, venue, api, keys)
    px = Trader(target, api).far()
    placed = doomed.create_order(target.symbol, "limit", "buy", AMOUNT, px)
    live = target.make(ccxt.pro, venue, keys)
    live.set_markets(deepcopy(api.markets))
    try:
        over_ws = await live.create_order_ws(target.symbol, "limit", "buy", AMOUNT, px)
        delete_key(target, venue, keys.api_key)
        for call in (
            lambda: doomed.fetch_balance(),
            lambda: doomed.cancel_order(placed["id"], target.symbol),
            lambda: doomed.create_order(target.symbol, "market", "buy", AMOUNT),
        ):
            error = refusal(call)
            assert code_of(error) == target.codes["no_key"]
            # ccxt takes Binance's refusal of a key that once worked for a ban of the address.
            assert isinstance(error, ccxt.AuthenticationError | ccxt.DDoSProtection)
        with pytest.raises(ccxt.BaseError):
            await live.create_order_ws(target.symbol, "limit", "buy", AMOUNT, px)
    finally:
        await live.close()
    heir = stranger(target, venue, api, venue.keys(1, 0))
    ids = {order["id"] for order in heir.fetch_open_orders(target.symbol)}
    assert ids == {placed["id"], over_ws["id"]}
    for order_id in ids:
        heir.cancel_order(order_id, target.symbol)


def delete_key(target: Target, venue: Venue, api_key: str) -> None:
    manager = target.make(ccxt, venue, venue.management)
    if target.is_bybit:
        manager.private_post_v5_user_delete_sub_api({"apikey": api_key})
        return
    asked = {"email": "sub@example.com", "subAccountApiKey": api_key}
    manager.request("sub-account/subAccountApi", ["sapi"], "DELETE", asked)
