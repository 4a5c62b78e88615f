"""exchangeInfo of USD-M: symbols with their filters ("Exchange Information")."""

from collections.abc import Iterable
from decimal import Decimal

from engine.exchange.instruments import Instrument
from engine.exchange.rules import Rules
from engine.exchange.terms import MarketState

STATUS = {
    MarketState.TRADING: "TRADING",
    MarketState.HALTED: "PENDING_TRADING",  # unverified: what a halt is called
    MarketState.DELISTED: "SETTLING",
}
ORDER_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
TIFS = ("GTC", "IOC", "FOK", "GTX", "GTD")


def symbol_info_json(instrument: Instrument, state: MarketState, rules: Rules) -> str:
    px, qty = instrument.px, instrument.qty
    tick, lot, lot_min = px.text(1), qty.text(1), qty.text(instrument.qty_lots_min)
    lot_max = qty.text(instrument.qty_lots_max)
    collar = Decimal(rules.collar_percent) / 100
    names, tifs = _texts(ORDER_TYPES), _texts(TIFS)
    lots = f'"minQty":"{lot_min}","maxQty":"{lot_max}","stepSize":"{lot}"'
    return (
        f'{{"symbol":"{instrument.symbol}","pair":"{instrument.symbol}",'
        f'"contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,'
        f'"status":"{STATUS[state]}","maintMarginPercent":"2.5000",'
        f'"requiredMarginPercent":"5.0000","baseAsset":"{instrument.base}",'
        f'"quoteAsset":"{instrument.quote}","marginAsset":"{instrument.quote}",'
        f'"pricePrecision":{px.decimals},"quantityPrecision":{qty.decimals},'
        f'"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"COIN",'
        f'"underlyingSubType":[],"settlePlan":0,"triggerProtect":"0.0500",'
        f'"liquidationFee":"0.012500","marketTakeBound":"0.05",'
        f'"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}",'
        f'"maxPrice":"{px.text(instrument.px_ticks_max)}","tickSize":"{tick}"}},'
        f'{{"filterType":"LOT_SIZE",{lots}}},{{"filterType":"MARKET_LOT_SIZE",{lots}}},'
        f'{{"filterType":"MAX_NUM_ORDERS","limit":{rules.orders_max}}},'
        f'{{"filterType":"MAX_NUM_ALGO_ORDERS","limit":{rules.triggers_max}}},'
        f'{{"filterType":"MIN_NOTIONAL","notional":"{instrument.min_notional}"}},'
        f'{{"filterType":"PERCENT_PRICE","multiplierUp":"{1 + collar:.4f}",'
        f'"multiplierDown":"{1 - collar:.4f}","multiplierDecimal":"4"}}],'
        f'"orderTypes":[{names}],"timeInForce":[{tifs}]}}'
    )


def exchange_info_json(
    rows: Iterable[tuple[Instrument, MarketState]], rules: Rules, limits_json: str, now_ms: int
) -> str:
    symbols = ",".join([symbol_info_json(*row, rules) for row in rows])
    return (
        f'{{"timezone":"UTC","serverTime":{now_ms},"futuresType":"U_MARGINED",'
        f'"rateLimits":{limits_json},"exchangeFilters":[],"assets":[{{"asset":"USDT",'
        f'"marginAvailable":true,"autoAssetExchange":"-10000"}}],"symbols":[{symbols}]}}'
    )


def _texts(names: Iterable[str]) -> str:
    return ",".join([f'"{name}"' for name in names])
