"""Instruments as GET /v5/market/instruments-info and /v5/account/fee-rate list them.

Fields and constants: as recorded from the venue in 2026; ticks, lots and limits are our own.
"""

from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.venue import Venue
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import MarketState

STATUS = {
    MarketState.TRADING: "Trading",
    MarketState.HALTED: "Trading",  # a halt shows in refusals only  # unverified
    MarketState.DELISTED: "Closed",
}
SYMBOL_IDS = {("BTC", "linear"): 5, ("ETH", "linear"): 6, ("SOL", "linear"): 38,
              ("BTC", "spot"): 9, ("ETH", "spot"): 10, ("SOL", "spot"): 42}  # fmt: skip
LEVERAGE_MAX = 100


def instrument_row(venue: Venue, key: str) -> dict[str, Any]:
    instrument = venue.instrument(key)
    status = STATUS[venue.core.state(key)]
    if instrument.kind is Kind.SPOT:
        return _spot_row(instrument, status)
    return _linear_row(venue, instrument, status)


def _symbol_id(instrument: Instrument) -> int:
    return SYMBOL_IDS.get((instrument.base, instrument.kind.value), 1_000)


def _linear_row(venue: Venue, instrument: Instrument, status: str) -> dict[str, Any]:
    px, qty = instrument.px, instrument.qty
    most = qty.text(instrument.qty_lots_max)
    minutes = venue.core.rules.funding_every_ns // 60_000_000_000
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": status,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(px.decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{LEVERAGE_MAX}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": px.text(1),
            "maxPrice": px.text(instrument.px_ticks_max),
            "tickSize": px.text(1),
        },
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": qty.text(instrument.qty_lots_min),
            "qtyStep": qty.text(1),
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": str(instrument.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": minutes,
        "settleCoin": instrument.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
        "symbolId": _symbol_id(instrument),
    }


def _spot_row(instrument: Instrument, status: str) -> dict[str, Any]:
    qty = instrument.qty
    most = texts.trimmed(qty.text(instrument.qty_lots_max))
    quote_step = format(instrument.px.step * qty.step, "f")
    return {
        "symbolId": _symbol_id(instrument),
        "symbol": instrument.symbol,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": status,
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": texts.trimmed(qty.text(1)),
            "quotePrecision": quote_step,
            "minOrderQty": texts.trimmed(qty.text(instrument.qty_lots_min)),
            "maxOrderQty": most,
            "minOrderAmt": str(instrument.min_notional),
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": most,
            "maxMarketOrderQty": most,
            "postOnlyMaxLimitOrderSize": most,
        },
        "priceFilter": {"tickSize": texts.trimmed(instrument.px.text(1))},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        "symbolType": "",
        "xstockMultiplier": "1",
    }


def fee_row(venue: Venue, key: str) -> dict[str, str]:
    rates = venue.core.fees_of(key)
    return {
        "symbol": venue.instrument(key).symbol,
        "takerFeeRate": texts.rate(rates.taker_ppm),
        "makerFeeRate": texts.rate(rates.maker_ppm),
        "baseCoin": "",
    }


def coin_row(coin: str) -> dict[str, Any]:
    """One of GET /v5/asset/coin/query-info; nothing can be moved here."""
    chain = {
        "chain": coin,
        "chainType": coin,
        "confirmation": "1",
        "withdrawFee": "0",
        "depositMin": "0",
        "withdrawMin": "0",
        "minAccuracy": "8",
        "chainDeposit": "0",
        "chainWithdraw": "0",
        "withdrawPercentageFee": "0",
        "contractAddress": "",
        "safeConfirmNumber": "1",
    }
    return {"name": coin, "coin": coin, "remainAmount": "0", "chains": [chain]}
