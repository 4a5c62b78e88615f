"""engine.venues.binance_usdm: documented samples read exactly, wrong answers refused by name."""

from decimal import Decimal

import pytest

from engine.venues.base import Instrument, OrderRow, TradeRow
from engine.venues.binance_usdm import BinanceUsdm
from fastcore.types import FeeAsset, OrderState, Side

# The documents' own samples: venue sheet, sections 4 and 7.
ORDER = {
    "avgPrice": "0.0", "clientOrderId": "abc", "cumQuote": "0", "executedQty": "0.004",
    "orderId": 22542179, "origQty": "0.010", "origType": "LIMIT", "price": "20000",
    "reduceOnly": False, "side": "BUY", "positionSide": "BOTH", "status": "PARTIALLY_FILLED",
    "stopPrice": "0", "closePosition": False, "symbol": "BTCUSDT", "time": 1579276756075,
    "timeInForce": "GTC", "type": "LIMIT", "updateTime": 1566818724722,
}  # fmt: skip
TRADE = {
    "buyer": False, "commission": "0.07819010", "commissionAsset": "USDT", "id": 698759,
    "maker": False, "orderId": 25851813, "price": "7819.10", "qty": "0.002",
    "quoteQty": "15.63802", "marginAsset": "USDT", "realizedPnl": "-0.91539999", "side": "SELL",
    "positionSide": "BOTH", "symbol": "BTCUSDT", "time": 1569514978020,
}  # fmt: skip
BALANCE = {
    "accountAlias": "SgsR", "asset": "USDT", "balance": "122607.35137903",
    "crossWalletBalance": "23.72", "availableBalance": "23.72", "marginAvailable": True,
}  # fmt: skip

@pytest.fixture
def venue():
    return BinanceUsdm("k", "s", rest_url="http://127.0.0.1", ws_url={}, recv_window_ms=5_000)


@pytest.fixture
def btc():
    return Instrument(
        "binance_usdm", "BTCUSDT", "0.10", "0.001", Decimal("0.001"), Decimal(1_000), Decimal(5),
        "BTC", "USDT",
    )  # fmt: skip


def test_documented_rows_read_exactly(venue, btc):
    row = venue.open_orders(btc).read([ORDER])[0][0]
    assert (row.state, row.qty_lots, row.cum_qty_lots, row.px_ticks) == (
        OrderState.PARTIALLY_FILLED, 10, 4, 200_000)  # fmt: skip
    assert (row.venue_order_id, row.venue_order_text) == (22542179, "22542179")
    trade = venue.trades(btc, 0).read([TRADE])[0][0]
    assert trade == TradeRow(
        "BTCUSDT", 698759, 25851813, "", Side.SELL, 78_191, 2, 7_819_010, FeeAsset.QUOTE, False,
        1569514978020_000_000, "25851813",
    )  # fmt: skip
    assert venue.balances().read([BALANCE])[0].total_e8 == 122_607_35137903
    assert venue.open_orders(btc).read([{**ORDER, "status": "EXPIRED_IN_MATCH"}])[0][0].state is (
        OrderState.EXPIRED
    )
    for asset, fee, expected in (
        ("BNB", "0.1", FeeAsset.OTHER), ("BTC", "0.1", FeeAsset.BASE), ("BNB", "0", FeeAsset.QUOTE)
    ):  # fmt: skip
        row = {**TRADE, "commissionAsset": asset, "commission": fee}
        assert venue.trades(btc, 0).read([row])[0][0].fee_asset is expected


def broken(row):
    """Each field gone, of another type, or nonsense."""
    for key in row:
        yield key, {name: value for name, value in row.items() if name != key}
        for value in (None, [], {}, 1.5, "", "NaN", "1e3", -1, "-1", True, "Infinity"):
            if type(value) is not type(row[key]) or value in ("", "NaN", "1e3", "-1", "Infinity"):
                yield key, {**row, key: value}


READ_OF_ORDER = {
    "clientOrderId", "executedQty", "orderId", "origQty", "price", "side", "status", "symbol",
}  # fmt: skip
READ_OF_TRADE = {
    "commission", "commissionAsset", "id", "maker", "orderId", "price", "qty", "side", "symbol",
    "time",
}  # fmt: skip
TEXTS = {"clientOrderId", "commissionAsset"}  # any text is one; a fee may be negative


def test_broken_rows_are_refused_by_name(venue, btc):
    order = venue.order_by_id(btc, str(ORDER["orderId"]))
    cases = ((ORDER, READ_OF_ORDER, order.read),
             (TRADE, READ_OF_TRADE, lambda row: venue.trades(btc, 0).read([row])))  # fmt: skip
    for good, names, read in cases:
        for key, row in broken(good):
            is_text = key in TEXTS and isinstance(row.get(key), str)
            is_rebate = key == "commission" and row.get(key) == "-1"
            if key not in names or is_text or is_rebate:
                read(row)
                continue
            with pytest.raises(ValueError, match=f"Expected {key}|{key} "):
                read(row)


@pytest.mark.parametrize("row", [
    {**ORDER, "price": "20000.05"}, {**ORDER, "origQty": "0.0101"},
    {**ORDER, "executedQty": "0.0005"}, {**ORDER, "executedQty": "0.011"},
    {**ORDER, "status": "NEW_ADL"}, {**ORDER, "side": "LONG"},
])  # fmt: skip
def test_an_order_that_cannot_be_read_hides_no_other_and_can_be_canceled(venue, btc, row):
    with pytest.raises(ValueError, match="order: Expected"):
        venue.order(btc, "abc").read(row)
    ours = {**ORDER, "clientOrderId": "tm0123abcd-01-000000000001", "orderId": 7}
    (part, whole), _ = venue.open_orders(btc).read([row, ours])
    assert part == OrderRow("BTCUSDT", "abc", 22542179, Side.BUY, OrderState.NEW, 0, 0, 0,
                            "22542179", is_whole=False)  # fmt: skip
    assert (whole.client_id, whole.qty_lots, whole.is_whole) == (ours["clientOrderId"], 10, True)
    assert venue.cancel(btc, part).params["orderId"] == "22542179"


def test_a_conditional_order_that_cannot_be_read_hides_no_other(venue, btc):
    row = {"algoId": 5, "clientAlgoId": "web_1", "symbol": "BTCUSDT", "side": "SELL",
           "algoStatus": "NEW", "price": "0.05", "quantity": "0.010"}  # fmt: skip
    (part,) = venue.open_conditional(btc).read([row])
    assert (part.is_whole, part.is_conditional, part.venue_order_text) == (False, True, "5")
    assert venue.cancel(btc, part).params["algoId"] == "5"


@pytest.mark.parametrize("row", [
    {**ORDER, "symbol": "ETHUSDT"}, {**ORDER, "orderId": 1 << 63}, {**ORDER, "orderId": "2"},
    {**ORDER, "clientOrderId": None},
])  # fmt: skip
def test_an_order_that_cannot_be_named_is_no_answer(venue, btc, row):
    with pytest.raises(ValueError, match="openOrders: Expected"):
        venue.open_orders(btc).read([row])


@pytest.mark.parametrize("change", [{"price": "7819.15"}, {"qty": "0.0025"}])
def test_a_trade_of_before_the_grid_changed_can_be_known_again(venue, btc, change):
    old, new = {**TRADE, **change}, {**TRADE, "id": 698760}
    (part, whole), _ = venue.trades(btc, 0).read([old, new])
    assert (part.is_whole, part.trade_id, part.side) == (False, 698759, Side.SELL)
    assert (part.px_ticks, part.qty_lots, part.exch_ts_ns) == (0, 0, 1569514978020_000_000)
    assert (whole.is_whole, whole.px_ticks, whole.qty_lots) == (True, 78_191, 2)


def test_fee_finer_than_we_can_book_is_refused(venue, btc):
    with pytest.raises(ValueError, match="commission to be a multiple of 1E-8"):
        venue.trades(btc, 0).read([{**TRADE, "commission": "0.000000001"}])


@pytest.mark.parametrize("document", [None, {}, {"code": 200}, "[]", 1, [1], [None], [[]]])
def test_other_shapes_are_never_taken_for_nothing(venue, btc, document):
    calls = [venue.open_orders(btc), venue.open_conditional(btc), venue.trades(btc, 0),
             venue.positions([btc]), venue.balances()]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="Expected"):
            call.read(document)


@pytest.mark.parametrize("document", [None, [], "", 1, {}, {"serverTime": "1"}])
def test_objects_are_asked_for_what_they_must_hold(venue, btc, document):
    calls = [venue.time(), venue.account_facts(), venue.fees(btc), venue.key_facts(),
             venue.order(btc, "x"), venue.order_by_id(btc, "1"), venue.user_token(),
             venue.instruments(["BTCUSDT"], ""), venue.dead_man([btc], 1)[0],
             venue.place(btc, "x", Side.BUY, 1, 1, is_ioc=True, is_reduce_only=False)]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="Expected"):
            call.read(document)


def test_an_answer_about_another_order_is_none(venue, btc):
    with pytest.raises(ValueError, match="clientOrderId to be 'xyz'"):
        venue.order(btc, "xyz").read(ORDER)
    with pytest.raises(ValueError, match="orderId to be 5"):
        venue.order_by_id(btc, "5").read(ORDER)
    with pytest.raises(ValueError, match="countdownTime"):
        venue.dead_man([btc], 5000)[0].read({"symbol": "BTCUSDT", "countdownTime": "0"})


@pytest.mark.parametrize(("change", "named"), [
    ({"filters": []}, "PRICE_FILTER"),
    ({"filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}]}, "LOT_SIZE"),
    ({"filters": [{"filterType": "PRICE_FILTER", "tickSize": "0"},
                  {"filterType": "LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "1"}]},
     "tickSize to be above 0"),
    ({"status": None}, "status"), ({"baseAsset": 1}, "baseAsset"),
])  # fmt: skip
def test_broken_filters_are_refused_by_name(venue, change, named):
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.10"},
               {"filterType": "LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "1"}]
    row = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
           "filters": filters, **change}  # fmt: skip
    with pytest.raises(ValueError, match=named):
        venue.instruments(["BTCUSDT"], "").read({"rateLimits": [], "symbols": [row]})


@pytest.mark.parametrize("is_crowded", [False, True])
def test_both_sides_of_a_trade_of_ours_stay_together(venue, btc, is_crowded):
    """Where an account may trade with itself, a page may end between the two."""
    def page(first, last):
        return [
            {**TRADE, "id": 100 + number // 2, "orderId": number,
             "side": ("BUY", "SELL")[number % 2],
             "time": 1_700_000_000_000 + (0 if is_crowded else number // 2)}
            for number in range(first, last)
        ]  # fmt: skip

    rows, cursor = venue.trades(btc, 0).read(page(0, 1_000))
    assert cursor == ("i:599" if is_crowded else "t:1700000000499:599")
    first, cursor = venue.trades(btc, 0).read(page(1, 1_001))
    assert first[-1].venue_order_id == 999
    rest, _ = venue.trades(btc, 0, cursor).read(page(1_000, 1_004))
    assert [row.venue_order_id for row in rest] == [1_000, 1_001, 1_002, 1_003]
    assert len(rows) == 998
