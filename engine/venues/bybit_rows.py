"""What Bybit v5's answers say, as rows; ValueError names what is not as documented.

Statuses, fee assets and ids follow the decoder of the private streams (fastcore/codec/bybit_item):
a row of REST and an event of a stream mean the same. Rounding too: a fee up, a balance down.
Source: bybit-exchange.github.io/docs/v5: order/open-order, order/execution, position, account,
market/instrument, user/apikey-info; enum definitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from engine.venues.base import (
    INT64_LIMIT,
    AccountFacts,
    BalanceRow,
    Best,
    FeeRates,
    Instrument,
    KeyFacts,
    OrderRow,
    PositionRow,
    TradeRow,
)
from fastcore.codec.bybit_id import id_number
from fastcore.types import FeeAsset, OrderState, Side

NS_PER_MS = 1_000_000
TEXT_MAX = 60  # of a number
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
STATES = {
    "New": OrderState.NEW,
    "Untriggered": OrderState.NEW,
    "Triggered": OrderState.NEW,
    "PartiallyFilled": OrderState.PARTIALLY_FILLED,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELED,
    "PartiallyFilledCanceled": OrderState.CANCELED,
    "Deactivated": OrderState.CANCELED,
    "Rejected": OrderState.REJECTED,
}
# An order that ended by its own terms, whether the status reads Cancelled or Rejected.
REASONS_EXPIRED = frozenset(
    {"EC_PostOnlyWillTakeLiquidity", "EC_NoImmediateQtyToFill", "EC_CancelForNoFullFill"}
)
# Executions that move no position.
NO_TRADES = frozenset({"Funding", "SessionSettlePnL"})
MARGIN_MODES = {
    "REGULAR_MARGIN": "cross",
    "ISOLATED_MARGIN": "isolated",
    "PORTFOLIO_MARGIN": "portfolio",
}
# Of the lowest tier: "Rate Limit" of the v5 documents. A batch's orders count one by one.
ORDERS_PER_S_MAX = {"linear": 10, "spot": 20}
OPEN_ORDERS_MAX = 500  # linear: a symbol's; spot: the account's
UNIFIED_FROM = 3  # unifiedMarginStatus: 1 classic; 3 to 6 unified 1.0, 2.0 and their pro tiers


# -- VALUES ---


def result_of(body: Any) -> Mapping[str, Any]:
    result = body.get("result") if isinstance(body, dict) else None
    if not isinstance(result, dict):
        raise ValueError("Expected an envelope with a result")
    return result


def rows_of(body: Any) -> list[Mapping[str, Any]]:
    rows = result_of(body).get("list")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("Expected result.list to hold objects")
    return rows


def time_ms_of(body: Any) -> int:
    """When the venue answered."""
    time_ms = body.get("time") if isinstance(body, dict) else None
    if type(time_ms) is not int or not 0 <= time_ms < INT64_LIMIT // NS_PER_MS:
        raise ValueError("Expected an envelope with its time")
    return time_ms


def text_of(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise ValueError(f"Expected a text in {name}, was {value!r}")
    return value


def decimal_of(row: Mapping[str, Any], name: str, empty: str | None = None) -> Decimal:
    """A finite number in a text; `empty` stands for the empty text."""
    text = text_of(row, name)
    try:
        value = Decimal(empty if empty is not None and not text else text)
    except InvalidOperation:
        value = Decimal("NaN")
    # Written out, one of a large exponent would fill the memory.
    if not value.is_finite() or len(text) > TEXT_MAX or abs(value.adjusted()) > TEXT_MAX:
        raise ValueError(f"Expected a number in {name}, was {text[:TEXT_MAX]!r}")
    return value


def whole_of(row: Mapping[str, Any], name: str) -> int:
    text = text_of(row, name)
    if not (text.isascii() and text.isdigit()) or len(text) > TEXT_MAX:
        raise ValueError(f"Expected a whole number in {name}, was {text[:TEXT_MAX]!r}")
    return int(text)


def e8_of(row: Mapping[str, Any], name: str, rounding: str) -> int:
    return int((decimal_of(row, name) * 100_000_000).to_integral_value(rounding))


def _ppm_of(row: Mapping[str, Any], name: str) -> int:
    ppm = decimal_of(row, name) * 1_000_000
    if ppm != int(ppm):
        raise ValueError(f"Expected whole millionths in {name}, was {row[name]!r}")
    return int(ppm)


def _lots_of(row: Mapping[str, Any], name: str, instrument: Instrument) -> int:
    return instrument.lots(format(decimal_of(row, name, empty="0"), "f"))


def _ticks_of(row: Mapping[str, Any], name: str, instrument: Instrument) -> int:
    return instrument.ticks(format(decimal_of(row, name, empty="0"), "f"))


def _side_of(row: Mapping[str, Any]) -> Side:
    side = SIDES.get(text_of(row, "side"))
    if side is None:
        raise ValueError(f"Expected Buy or Sell in side, was {row['side']!r}")
    return side


# -- FACTS ---


def instrument_of(row: Mapping[str, Any], category: str, time_ms: int) -> Instrument:
    """`deliveryTime` is a future's end, or a perpetual's delisting: from then on nothing trades,
    whatever the status still says."""
    prices, sizes = row.get("priceFilter"), row.get("lotSizeFilter")
    if not isinstance(prices, dict) or not isinstance(sizes, dict):
        raise ValueError("Expected priceFilter and lotSizeFilter")
    is_spot = category == "spot"
    ends_ms = 0 if is_spot else int(decimal_of(row, "deliveryTime", empty="0"))
    most = "maxLimitOrderQty" if is_spot and "maxLimitOrderQty" in sizes else "maxOrderQty"
    return Instrument(
        venue=f"bybit_{category}",
        symbol=text_of(row, "symbol"),
        tick=_step_of(prices, "tickSize"),
        lot=_step_of(sizes, "basePrecision" if is_spot else "qtyStep"),
        qty_min=decimal_of(sizes, "minOrderQty"),
        qty_max=decimal_of(sizes, most),
        notional_min=decimal_of(sizes, "minOrderAmt" if is_spot else "minNotionalValue", "0"),
        base=text_of(row, "baseCoin"),
        quote=text_of(row, "quoteCoin"),
        is_trading=row.get("status") == "Trading" and not 0 < ends_ms <= time_ms,
        orders_per_s_max=ORDERS_PER_S_MAX[category],
        open_orders_max=OPEN_ORDERS_MAX,
    )


def _step_of(row: Mapping[str, Any], name: str) -> str:
    if decimal_of(row, name) <= 0:
        raise ValueError(f"Expected {name} above 0, was {row[name]!r}")
    return text_of(row, name)


def best_of(body: Any, instrument: Instrument) -> Best:
    bid, ask = (_level_of(result_of(body).get(name), instrument) for name in ("b", "a"))
    return Best(*bid, *ask)


def _level_of(levels: Any, instrument: Instrument) -> tuple[int, int]:
    """The first one's (price, quantity); zeros where the side is empty."""
    if not isinstance(levels, list) or not all(isinstance(one, list) for one in levels):
        raise ValueError("Expected levels of a book")
    if not levels:
        return 0, 0
    level = dict(zip(("price", "qty"), levels[0], strict=True))
    return _ticks_of(level, "price", instrument), _lots_of(level, "qty", instrument)


def key_facts(body: Any) -> KeyFacts:
    """"Get API Key Information". `ips` is ["*"] where any address may use the key."""
    key = result_of(body)
    may = key.get("permissions")
    ips = key.get("ips")
    if not isinstance(may, dict) or not isinstance(ips, list):
        raise ValueError("Expected permissions and ips")
    trades = {"Order", "Position"} <= set(may.get("ContractTrade") or ()) or (
        "DerivativesTrade" in (may.get("Derivatives") or ())
    )
    is_write = key.get("readOnly") == 0
    return KeyFacts(
        can_trade=is_write and (trades or "SpotTrade" in (may.get("Spot") or ())),
        can_withdraw="Withdraw" in (may.get("Wallet") or ()),
        is_address_bound=bool(ips) and "*" not in ips,
    )


def account_facts(body: Any) -> AccountFacts:
    """"Get Account Info". The position mode is a symbol's, and shows in its position."""
    info = result_of(body)
    status = info.get("unifiedMarginStatus")
    if not isinstance(status, int):
        raise ValueError("Expected unifiedMarginStatus")
    if status < UNIFIED_FROM:
        raise ValueError("this is a classic account: upgrade it to a unified trading account")
    mode = text_of(info, "marginMode")
    return AccountFacts(None, MARGIN_MODES.get(mode, mode), can_trade=True)


def fee_rates(body: Any, instrument: Instrument) -> FeeRates:
    for row in rows_of(body):
        if row.get("symbol") == instrument.symbol:
            return FeeRates(_ppm_of(row, "makerFeeRate"), _ppm_of(row, "takerFeeRate"))
    raise ValueError(f"Expected the fee rates of {instrument.symbol}")


# -- WHAT WE HOLD ---


def position_rows(body: Any, instruments: Sequence[Instrument]) -> list[PositionRow]:
    """Of linear, in one-way mode. An instrument without a row has no position."""
    lots = {instrument.symbol: 0 for instrument in instruments}
    wanted = {instrument.symbol: instrument for instrument in instruments}
    for row in rows_of(body):
        instrument = wanted.get(text_of(row, "symbol"))
        if instrument is None:
            continue
        if row.get("positionIdx", 0) != 0:
            raise ValueError(
                f"{instrument.symbol} is in hedge mode: close its positions and switch it to "
                "one-way mode"
            )
        size = _lots_of(row, "size", instrument)
        if size:
            lots[instrument.symbol] = size if _side_of(row) == Side.BUY else -size
    return [PositionRow(symbol, count) for symbol, count in lots.items()]


def balance_rows(body: Any) -> list[BalanceRow]:
    return [
        BalanceRow(text_of(coin, "coin"), e8_of(coin, "walletBalance", ROUND_FLOOR))
        for coin in _coins_of(body)
    ]


def held_rows(body: Any, instruments: Sequence[Instrument]) -> list[PositionRow]:
    """Of spot: whole lots of the base asset; what fees leave beneath a lot is dust."""
    held = {text_of(coin, "coin"): decimal_of(coin, "walletBalance") for coin in _coins_of(body)}
    return [
        PositionRow(
            instrument.symbol,
            int(held.get(instrument.base, Decimal(0)) // Decimal(instrument.lot)),
        )
        for instrument in instruments
    ]


def _coins_of(body: Any) -> list[Mapping[str, Any]]:
    accounts = rows_of(body)
    coins = accounts[0].get("coin") if len(accounts) == 1 else None
    if not isinstance(coins, list) or not all(isinstance(coin, dict) for coin in coins):
        raise ValueError("Expected the coins of one account")
    return coins


def order_row(row: Mapping[str, Any], instrument: Instrument) -> OrderRow:
    """A spot market order for money counts its `qty` in money: its size is then what it bought."""
    status = text_of(row, "orderStatus")
    state = STATES.get(status)
    if state is None:
        raise ValueError(f"Expected a known orderStatus, was {status!r}")
    if status in ("Cancelled", "Rejected") and row.get("rejectReason") in REASONS_EXPIRED:
        state = OrderState.EXPIRED
    cum_qty_lots = _lots_of(row, "cumExecQty", instrument)
    is_for_money = row.get("marketUnit") == "quoteCoin"
    order_text = text_of(row, "orderId")
    is_market = row.get("orderType") == "Market"
    return OrderRow(
        symbol=instrument.symbol,
        client_id=text_of(row, "orderLinkId"),
        venue_order_id=id_number(order_text),
        side=_side_of(row),
        state=state,
        px_ticks=0 if is_market else _ticks_of(row, "price", instrument),
        qty_lots=cum_qty_lots if is_for_money else _lots_of(row, "qty", instrument),
        cum_qty_lots=cum_qty_lots,
        venue_order_text=order_text,
        is_conditional=status == "Untriggered",
    )


def open_row(row: Mapping[str, Any], instrument: Instrument) -> OrderRow:
    """Of a list of open orders: one that can't be read whole (a stranger's off our grid, a status
    that we don't know) must not hide our own ones; this is what its cancel needs."""
    try:
        return order_row(row, instrument)
    except ValueError:
        order_text = text_of(row, "orderId")
    return OrderRow(
        instrument.symbol, text_of(row, "orderLinkId"), id_number(order_text), Side.BUY,
        OrderState.NEW, 0, 0, 0, order_text, row.get("orderStatus") == "Untriggered",
        is_whole=False,
    )  # fmt: skip


def trade_row(row: Mapping[str, Any], instrument: Instrument) -> TradeRow:
    order_text = text_of(row, "orderId")
    is_maker = row.get("isMaker")
    if not isinstance(is_maker, bool):
        raise ValueError(f"Expected true or false in isMaker, was {is_maker!r}")
    trade = TradeRow(
        symbol=instrument.symbol,
        trade_id=id_number(text_of(row, "execId")),
        venue_order_id=id_number(order_text),
        client_id=text_of(row, "orderLinkId"),
        side=_side_of(row),
        px_ticks=0,
        qty_lots=0,
        fee_e8=e8_of(row, "execFee", ROUND_CEILING),
        fee_asset=_fee_asset(str(row.get("feeCurrency") or ""), instrument),
        is_maker=is_maker,
        exch_ts_ns=whole_of(row, "execTime") * NS_PER_MS,
        venue_order_text=order_text,
        is_whole=False,
    )
    is_sound = min(decimal_of(row, name) for name in ("execPrice", "execQty")) > 0
    try:
        px_ticks, qty_lots = (
            _ticks_of(row, "execPrice", instrument), _lots_of(row, "execQty", instrument)
        )  # fmt: skip
    except ValueError:
        return trade
    return trade if not is_sound else replace(
        trade, px_ticks=px_ticks, qty_lots=qty_lots, is_whole=True
    )


def _fee_asset(coin: str, instrument: Instrument) -> FeeAsset:
    """Linear names no coin where it is the quote asset."""
    if not coin and instrument.venue == "bybit_linear":
        return FeeAsset.QUOTE
    if not coin:
        return FeeAsset.OTHER
    return {instrument.quote: FeeAsset.QUOTE, instrument.base: FeeAsset.BASE}.get(
        coin, FeeAsset.OTHER
    )
