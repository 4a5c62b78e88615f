"""What Binance Spot says about its instruments: exchangeInfo, filters, limits.

Every number of the venue has eight decimals, whatever the tick or the lot, and is read with up to
eight: so each instrument has its own pair of grids here. Field order is that of the venue's
documentation (rest-api.md, filters.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from engine.exchange.binance.limits import Limit
from engine.exchange.binance.stamp import Stamp
from engine.exchange.instruments import Grid, Instrument, e8_text
from engine.exchange.terms import MarketState

DECIMALS = 8
US_NS = 1_000

ORDER_TYPES = (
    "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)  # fmt: skip
# The venue has two more, which this exchange has not: DECREMENT and TRANSFER.
STP_MODES = ("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
STP_DEFAULT = "EXPIRE_MAKER"
STATUS_TEXT = {
    MarketState.TRADING: "TRADING",
    MarketState.HALTED: "HALT",
    MarketState.DELISTED: "BREAK",
}
PERMISSION_SET = ("SPOT", "MARGIN")

LIMITS = (
    Limit("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
    Limit("ORDERS", "SECOND", 10, 50),
    Limit("ORDERS", "DAY", 1, 160_000),
    Limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
)
CONNECTS = Limit("CONNECTIONS", "MINUTE", 5, 300)
ORDERS_OPEN_MAX = 200
TRIGGERS_OPEN_MAX = 5
AMENDS_MAX = 10
NOTIONAL_MAX = 9_000_000
AVG_PRICE_MINS = 5
# How far a price may be from the market on its own side: bids down to, asks up to so many times.
BID_DOWN_PERCENT = 20
ASK_UP_PERCENT = 500


class UnitStamp:
    """Core times as a client wants them: milli- or microseconds of the venue's clock."""

    __slots__ = ("clock", "unit_ns")

    def __init__(self, clock: Stamp, unit_ns: int) -> None:
        self.clock = clock
        self.unit_ns = unit_ns

    def __call__(self, t_ns: int) -> int:
        return (t_ns + self.clock.skew_ns) // self.unit_ns


@dataclass(frozen=True)
class SpotSymbol:
    """One instrument as this venue writes it."""

    instrument: Instrument

    @cached_property
    def name(self) -> str:
        return self.instrument.symbol

    @cached_property
    def px(self) -> Grid:
        return Grid(self.instrument.px.step, DECIMALS)

    @cached_property
    def qty(self) -> Grid:
        return Grid(self.instrument.qty.step, DECIMALS)

    def quote_text(self, cost: int) -> str:
        """`cost` in tick x lot as quote money."""
        return e8_text(cost * self.instrument.notional_e8)

    def mean_px_text(self, cost: int, lots: int) -> str:
        """cost / lots as a price with eight decimals, cut off; zero without lots."""
        if not lots:
            return self.px.text(0)
        unit_e8 = int(self.instrument.px.step.scaleb(DECIMALS))
        return e8_text(cost * unit_e8 // lots)


class SymbolTable:
    """SpotSymbols by instrument: the same one until a tick-size change brings another."""

    def __init__(self) -> None:
        self._of_key: dict[str, SpotSymbol] = {}

    def of(self, instrument: Instrument) -> SpotSymbol:
        symbol = self._of_key.get(instrument.key)
        if symbol is None or symbol.instrument is not instrument:
            symbol = self._of_key[instrument.key] = SpotSymbol(instrument)
        return symbol


def plain(value: Decimal | int) -> str:
    """A number of ours with eight decimals."""
    return f"{Decimal(value):.8f}"


def filters_json(symbol: SpotSymbol, collar_percent: int) -> str:
    """`collar_percent`: how far beyond the touch a limit price may be, as the core enforces it."""
    item, px, qty = symbol.instrument, symbol.px, symbol.qty
    bid_up, bid_down = _percent(100 + collar_percent), _percent(BID_DOWN_PERCENT)
    ask_up, ask_down = _percent(ASK_UP_PERCENT), _percent(max(0, 100 - collar_percent))
    qty_min, qty_max = qty.text(item.qty_lots_min), qty.text(item.qty_lots_max)
    return (
        f'[{{"filterType":"PRICE_FILTER","minPrice":"{px.text(1)}",'
        f'"maxPrice":"{px.text(item.px_ticks_max)}","tickSize":"{px.text(1)}"}},'
        f'{{"filterType":"LOT_SIZE","minQty":"{qty_min}","maxQty":"{qty_max}",'
        f'"stepSize":"{qty.text(1)}"}},'
        f'{{"filterType":"ICEBERG_PARTS","limit":10}},'
        f'{{"filterType":"MARKET_LOT_SIZE","minQty":"{plain(0)}","maxQty":"{qty_max}",'
        f'"stepSize":"{plain(0)}"}},'
        f'{{"filterType":"TRAILING_DELTA","minTrailingAboveDelta":10,'
        f'"maxTrailingAboveDelta":2000,"minTrailingBelowDelta":10,"maxTrailingBelowDelta":2000}},'
        f'{{"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"{bid_up}",'
        f'"bidMultiplierDown":"{bid_down}","askMultiplierUp":"{ask_up}",'
        f'"askMultiplierDown":"{ask_down}",'
        f'"avgPriceMins":{AVG_PRICE_MINS}}},'
        f'{{"filterType":"NOTIONAL","minNotional":"{plain(item.min_notional)}",'
        f'"applyMinToMarket":true,"maxNotional":"{plain(NOTIONAL_MAX)}",'
        f'"applyMaxToMarket":false,"avgPriceMins":{AVG_PRICE_MINS}}},'
        f'{{"filterType":"MAX_NUM_ORDERS","maxNumOrders":{ORDERS_OPEN_MAX}}},'
        f'{{"filterType":"MAX_NUM_ORDER_LISTS","maxNumOrderLists":20}},'
        f'{{"filterType":"MAX_NUM_ALGO_ORDERS","maxNumAlgoOrders":{TRIGGERS_OPEN_MAX}}},'
        f'{{"filterType":"MAX_NUM_ORDER_AMENDS","maxNumOrderAmends":{AMENDS_MAX}}}]'
    )


def _percent(percent: int) -> str:
    return f"{percent / 100:g}"


def symbol_json(symbol: SpotSymbol, state: MarketState, collar_percent: int) -> str:
    """Iceberg, order list, pegged and trailing orders are not for this exchange: it says so."""
    item = symbol.instrument
    types = ",".join(f'"{name}"' for name in ORDER_TYPES)
    modes = ",".join(f'"{name}"' for name in STP_MODES)
    permissions = ",".join(f'"{name}"' for name in PERMISSION_SET)
    return (
        f'{{"symbol":"{item.symbol}","status":"{STATUS_TEXT[state]}","baseAsset":"{item.base}",'
        f'"baseAssetPrecision":8,"quoteAsset":"{item.quote}","quotePrecision":8,'
        f'"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,'
        f'"orderTypes":[{types}],"icebergAllowed":false,"ocoAllowed":false,"otoAllowed":false,'
        f'"opoAllowed":false,"quoteOrderQtyMarketAllowed":true,"allowTrailingStop":false,'
        f'"cancelReplaceAllowed":true,"amendAllowed":true,"pegInstructionsAllowed":false,'
        f'"isSpotTradingAllowed":true,"isMarginTradingAllowed":false,'
        f'"filters":{filters_json(symbol, collar_percent)},"permissions":[],'
        f'"permissionSets":[[{permissions}]],"defaultSelfTradePreventionMode":"{STP_DEFAULT}",'
        f'"allowedSelfTradePreventionModes":[{modes}]}}'
    )


def exchange_info_json(symbols: Iterable[str], limits_json: str, server_time: int) -> str:
    """`symbols`: of `symbol_json`."""
    return (
        f'{{"timezone":"UTC","serverTime":{server_time},"rateLimits":{limits_json},'
        f'"exchangeFilters":[],"symbols":[{",".join(symbols)}],"sors":[]}}'
    )
