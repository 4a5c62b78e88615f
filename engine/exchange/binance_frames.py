"""Binance USD-M JSON of what the exchange has to say; field sets from the venue's fact sheet.

Built by f-strings: nothing in here needs escaping, since symbols are our own and client order
ids have passed the venue's pattern.
"""

from collections.abc import Iterable

from engine.exchange.accounts import LEVERAGE, Account, Position
from engine.exchange.book import Quote, Side
from engine.exchange.core import Core
from engine.exchange.events import (
    AccountUpdate,
    BestChange,
    DepthSnapshot,
    Exec,
    Order,
    OrderUpdate,
    Status,
    Trade,
)
from engine.exchange.instruments import Instrument, e8_text
from engine.exchange.truth import FillRecord

MS = 1_000_000


def levels_json(instrument: Instrument, levels: Iterable[Quote]) -> str:
    px, qty = instrument.px.text, instrument.qty.text
    return "[" + ",".join([f'["{px(p)}","{qty(q)}"]' for p, q in levels]) + "]"


# -- PUBLIC STREAMS ---


def best_json(instrument: Instrument, best: BestChange, now_ns: int) -> str:
    bid_px, bid_qty, ask_px, ask_qty = best.touch
    px, qty = instrument.px.text, instrument.qty.text
    return (
        f'{{"e":"bookTicker","u":{best.update_id},"s":"{best.symbol}",'
        f'"b":"{px(bid_px)}","B":"{qty(bid_qty)}","a":"{px(ask_px)}","A":"{qty(ask_qty)}",'
        f'"T":{best.t_ns // MS},"E":{now_ns // MS}}}'
    )


def trade_json(instrument: Instrument, trade: Trade, now_ns: int) -> str:
    is_buyer_maker = "true" if trade.aggressor is Side.SELL else "false"
    return (
        f'{{"e":"trade","E":{now_ns // MS},"T":{trade.t_ns // MS},"s":"{trade.symbol}",'
        f'"t":{trade.trade_id},"p":"{instrument.px.text(trade.px_ticks)}",'
        f'"q":"{instrument.qty.text(trade.qty_lots)}","X":"MARKET","m":{is_buyer_maker}}}'
    )


def agg_trade_json(instrument: Instrument, trades: list[Trade], agg_id: int, now_ns: int) -> str:
    """Fills of one taker at one price."""
    first, last = trades[0], trades[-1]
    is_buyer_maker = "true" if first.aggressor is Side.SELL else "false"
    qty_lots = sum(trade.qty_lots for trade in trades)
    return (
        f'{{"e":"aggTrade","E":{now_ns // MS},"a":{agg_id},"s":"{first.symbol}",'
        f'"p":"{instrument.px.text(first.px_ticks)}","q":"{instrument.qty.text(qty_lots)}",'
        f'"f":{first.trade_id},"l":{last.trade_id},"T":{last.t_ns // MS},"m":{is_buyer_maker}}}'
    )


def depth_json(
    instrument: Instrument,
    ids: tuple[int, int, int],
    sides: tuple[Iterable[Quote], Iterable[Quote]],
    t_ns: int,
    now_ns: int,
) -> str:
    """`ids`: first, final, previous final update id."""
    first_id, final_id, prev_id = ids
    return (
        f'{{"e":"depthUpdate","E":{now_ns // MS},"T":{t_ns // MS},"s":"{instrument.symbol}",'
        f'"U":{first_id},"u":{final_id},"pu":{prev_id},'
        f'"b":{levels_json(instrument, sides[0])},"a":{levels_json(instrument, sides[1])}}}'
    )


def depth_snapshot_json(instrument: Instrument, book: DepthSnapshot, now_ns: int) -> str:
    return (
        f'{{"lastUpdateId":{book.update_id},"E":{now_ns // MS},"T":{now_ns // MS},'
        f'"bids":{levels_json(instrument, book.bids)},'
        f'"asks":{levels_json(instrument, book.asks)}}}'
    )


# -- PRIVATE STREAM ---


def order_update_json(instrument: Instrument, update: OrderUpdate, now_ns: int) -> str:
    order = update.order
    px, qty = instrument.px, instrument.qty
    stamp = update.t_ns // MS
    fee = ""
    if update.exec_type is Exec.TRADE:
        fee = f'"N":"{instrument.quote}","n":"{e8_text(update.fee_e8)}",'
    amendment = f'"M":{order.version},' if update.exec_type is Exec.AMENDMENT else ""
    return (
        f'{{"e":"ORDER_TRADE_UPDATE","T":{stamp},"E":{now_ns // MS},"o":{{'
        f'"s":"{order.symbol}","c":"{order.client_order_id}","S":"{order.side.name}",'
        f'"o":"{order.order_type.value}","f":"{order.tif.value}",'
        f'"q":"{qty.text(order.qty_lots)}","p":"{px.text(order.px_ticks)}",'
        f'"ap":"{px.mean_text(update.cum_cost, update.cum_lots)}","sp":"0",'
        f'"x":"{update.exec_type.value}","X":"{update.status.value}","i":{order.order_id},'
        f'"l":"{qty.text(update.last_lots)}","z":"{qty.text(update.cum_lots)}",'
        f'"L":"{px.text(update.last_px_ticks)}",{fee}{amendment}'
        f'"T":{stamp},"t":{update.trade_id},"b":"0","a":"0",'
        f'"m":{_bool(update.is_maker)},"R":{_bool(order.reduce_only)},'
        f'"wt":"CONTRACT_PRICE","ot":"{order.order_type.value}","ps":"BOTH","cp":false,'
        f'"AP":"0","cr":"0","pP":false,"si":0,"ss":0,"rp":"{e8_text(update.realized_e8)}",'
        f'"V":"NONE","pm":"NONE","gtd":0,"er":"{update.expiry.value}"}}}}'
    )


def trade_lite_json(instrument: Instrument, update: OrderUpdate, now_ns: int) -> str:
    order = update.order
    px, qty = instrument.px, instrument.qty
    return (
        f'{{"e":"TRADE_LITE","E":{now_ns // MS},"T":{update.t_ns // MS},"s":"{order.symbol}",'
        f'"q":"{qty.text(order.qty_lots)}","p":"{px.text(order.px_ticks)}",'
        f'"m":{_bool(update.is_maker)},"c":"{order.client_order_id}","S":"{order.side.name}",'
        f'"L":"{px.text(update.last_px_ticks)}","l":"{qty.text(update.last_lots)}",'
        f'"t":{update.trade_id},"i":{order.order_id}}}'
    )


def account_update_json(
    instrument: Instrument, update: AccountUpdate, unrealized_e8: int, now_ns: int
) -> str:
    wallet = e8_text(update.wallet_e8)
    entry = instrument.px.mean_text(update.position_cost, update.position_lots)
    return (
        f'{{"e":"ACCOUNT_UPDATE","T":{update.t_ns // MS},"E":{now_ns // MS},"a":{{"m":"ORDER",'
        f'"B":[{{"a":"{instrument.quote}","wb":"{wallet}","cw":"{wallet}","bc":"0"}}],'
        f'"P":[{{"s":"{update.symbol}","pa":"{instrument.qty.text(update.position_lots)}",'
        f'"ep":"{entry}","bep":"{entry}","cr":"0","up":"{e8_text(unrealized_e8)}",'
        f'"mt":"cross","iw":"0","ps":"BOTH"}}]}}}}'
    )


def listen_key_expired_json(listen_key: str, now_ns: int) -> str:
    return f'{{"e":"listenKeyExpired","E":{now_ns // MS},"listenKey":"{listen_key}"}}'


# -- REST AND WS-API RESULTS ---


def order_json(
    instrument: Instrument, order: Order, is_ack: bool = False, is_query: bool = False
) -> str:
    """`is_ack`: as it was accepted, fills not yet counted. `is_query`: with time and averages."""
    px, qty = instrument.px, instrument.qty
    cum_lots = 0 if is_ack else order.cum_lots
    status = Status.NEW if is_ack else order.status
    stamp = (order.create_ns if is_ack else order.update_ns) // MS
    extra = ""
    if is_query:
        quote = e8_text(order.cum_cost * instrument.notional_e8)
        average = px.mean_text(order.cum_cost, order.cum_lots)
        extra = f'"avgPrice":"{average}","cumQuote":"{quote}","time":{order.create_ns // MS},'
    return (
        f'{{"orderId":{order.order_id},"symbol":"{order.symbol}","status":"{status.value}",'
        f'"clientOrderId":"{order.client_order_id}","price":"{px.text(order.px_ticks)}",'
        f'"origQty":"{qty.text(order.qty_lots)}","executedQty":"{qty.text(cum_lots)}",'
        f'"cumQty":"{qty.text(cum_lots)}",{extra}"timeInForce":"{order.tif.value}",'
        f'"type":"{order.order_type.value}","reduceOnly":{_bool(order.reduce_only)},'
        f'"closePosition":false,"side":"{order.side.name}","positionSide":"BOTH",'
        f'"stopPrice":"0","workingType":"CONTRACT_PRICE","priceProtect":false,'
        f'"origType":"{order.order_type.value}","priceMatch":"NONE",'
        f'"selfTradePreventionMode":"NONE","goodTillDate":0,"updateTime":{stamp}}}'
    )


def user_trade_json(instrument: Instrument, fill: FillRecord) -> str:
    px, qty = instrument.px, instrument.qty
    quote = e8_text(fill.qty_lots * fill.px_ticks * instrument.notional_e8)
    return (
        f'{{"buyer":{_bool(fill.side is Side.BUY)},"commission":"{e8_text(fill.fee_e8)}",'
        f'"commissionAsset":"{instrument.quote}","id":{fill.trade_id},'
        f'"maker":{_bool(fill.is_maker)},"orderId":{fill.order_id},'
        f'"price":"{px.text(fill.px_ticks)}","qty":"{qty.text(fill.qty_lots)}",'
        f'"quoteQty":"{quote}","baseQty":"{qty.text(fill.qty_lots)}",'
        f'"marginAsset":"{instrument.quote}","realizedPnl":"{e8_text(fill.realized_e8)}",'
        f'"side":"{fill.side.name}","positionSide":"BOTH","symbol":"{instrument.symbol}",'
        f'"pair":"{instrument.symbol}","time":{fill.t_ns // MS}}}'
    )


def account_json(core: Core, account: Account) -> str:
    wallet_e8, equity_e8 = account.wallet_e8, core.equity_e8(account.index)
    wallet, equity = e8_text(wallet_e8), e8_text(equity_e8)
    unrealized = e8_text(equity_e8 - wallet_e8)
    margins_e8 = {s: _margin_e8(core, s, p) for s, p in account.positions.items()}
    margin, free = e8_text(sum(margins_e8.values())), max(0, equity_e8 - sum(margins_e8.values()))
    stamp = max([0, *(p.update_ns for p in account.positions.values())]) // MS
    positions = [
        f'{{"symbol":"{symbol}","positionSide":"BOTH",'
        f'"positionAmt":"{core.markets[symbol].instrument.qty.text(position.lots)}",'
        f'"unrealizedProfit":"{e8_text(core.unrealized_e8(account.index, symbol))}",'
        f'"isolatedMargin":"0","notional":"{e8_text(_value_e8(core, symbol, position))}",'
        f'"isolatedWallet":"0","initialMargin":"{e8_text(margins_e8[symbol])}",'
        f'"maintMargin":"0","updateTime":{position.update_ns // MS}}}'
        for symbol, position in account.positions.items()
        if position.lots or core.open_orders(account.index, symbol)
    ]
    rest = (
        f'"maintMargin":"0","initialMargin":"{margin}","positionInitialMargin":"{margin}",'
        f'"openOrderInitialMargin":"0","crossWalletBalance":"{wallet}",'
        f'"crossUnPnl":"{unrealized}","availableBalance":"{e8_text(free)}",'
        f'"maxWithdrawAmount":"{e8_text(free)}"'
    )
    return (
        f'{{"totalInitialMargin":"{margin}","totalMaintMargin":"0",'
        f'"totalWalletBalance":"{wallet}","totalUnrealizedProfit":"{unrealized}",'
        f'"totalMarginBalance":"{equity}","totalPositionInitialMargin":"{margin}",'
        f'"totalOpenOrderInitialMargin":"0","totalCrossWalletBalance":"{wallet}",'
        f'"totalCrossUnPnl":"{unrealized}","availableBalance":"{e8_text(free)}",'
        f'"maxWithdrawAmount":"{e8_text(free)}","assets":[{{"asset":"USDT",'
        f'"walletBalance":"{wallet}","unrealizedProfit":"{unrealized}",'
        f'"marginBalance":"{equity}",{rest},"updateTime":{stamp}}}],'
        f'"positions":[{",".join(positions)}]}}'
    )


def position_risk_json(core: Core, account: Account, symbol: str) -> str:
    instrument = core.markets[symbol].instrument
    position = account.position(symbol)
    bid, _, ask, _ = core.markets[symbol].touch()
    entry = instrument.px.mean_text(position.cost, position.lots)
    margin = e8_text(_margin_e8(core, symbol, position))
    return (
        f'{{"symbol":"{symbol}","positionSide":"BOTH",'
        f'"positionAmt":"{instrument.qty.text(position.lots)}","entryPrice":"{entry}",'
        f'"breakEvenPrice":"{entry}","markPrice":"{instrument.px.mean_text(bid + ask, 2)}",'
        f'"unRealizedProfit":"{e8_text(core.unrealized_e8(account.index, symbol))}",'
        f'"liquidationPrice":"0","isolatedMargin":"0",'
        f'"notional":"{e8_text(_value_e8(core, symbol, position))}",'
        f'"marginAsset":"{instrument.quote}","isolatedWallet":"0","initialMargin":"{margin}",'
        f'"maintMargin":"0","positionInitialMargin":"{margin}","openOrderInitialMargin":"0",'
        f'"adl":0,"bidNotional":"0","askNotional":"0","updateTime":{position.update_ns // MS}}}'
    )


def _value_e8(core: Core, symbol: str, position: Position) -> int:
    """Position at the mid."""
    bid, _, ask, _ = core.markets[symbol].touch()
    return position.lots * (bid + ask) * core.markets[symbol].instrument.notional_e8 // 2


def _margin_e8(core: Core, symbol: str, position: Position) -> int:
    return abs(_value_e8(core, symbol, position)) // LEVERAGE


def _bool(value: bool) -> str:
    return "true" if value else "false"


# -- EXCHANGE INFORMATION ---


def symbol_info_json(instrument: Instrument) -> str:
    px, qty = instrument.px, instrument.qty
    tick, lot = px.text(1), qty.text(1)
    lot_max = qty.text(instrument.qty_lots_max)
    return (
        f'{{"symbol":"{instrument.symbol}","pair":"{instrument.symbol}",'
        f'"contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,'
        f'"status":"TRADING","maintMarginPercent":"2.5000","requiredMarginPercent":"5.0000",'
        f'"baseAsset":"{instrument.base}","quoteAsset":"{instrument.quote}",'
        f'"marginAsset":"{instrument.quote}","pricePrecision":{px.decimals},'
        f'"quantityPrecision":{qty.decimals},"baseAssetPrecision":8,"quotePrecision":8,'
        f'"underlyingType":"COIN","underlyingSubType":[],"settlePlan":0,'
        f'"triggerProtect":"0.0500","liquidationFee":"0.012500","marketTakeBound":"0.05",'
        f'"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}",'
        f'"maxPrice":"{px.text(instrument.px_ticks_max)}","tickSize":"{tick}"}},'
        f'{{"filterType":"LOT_SIZE","minQty":"{lot}","maxQty":"{lot_max}","stepSize":"{lot}"}},'
        f'{{"filterType":"MARKET_LOT_SIZE","minQty":"{lot}","maxQty":"{lot_max}",'
        f'"stepSize":"{lot}"}},{{"filterType":"MAX_NUM_ORDERS","limit":200}},'
        f'{{"filterType":"MAX_NUM_ALGO_ORDERS","limit":10}},'
        f'{{"filterType":"MIN_NOTIONAL","notional":"{instrument.min_notional}"}},'
        f'{{"filterType":"PERCENT_PRICE","multiplierUp":"1.0500","multiplierDown":"0.9500",'
        f'"multiplierDecimal":"4"}}],"orderTypes":["LIMIT","MARKET"],'
        f'"timeInForce":["GTC","IOC","FOK","GTX"]}}'
    )


def exchange_info_json(instruments: Iterable[Instrument], now_ns: int) -> str:
    symbols = ",".join(symbol_info_json(instrument) for instrument in instruments)
    return (
        f'{{"timezone":"UTC","serverTime":{now_ns // MS},"futuresType":"U_MARGINED",'
        f'"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,'
        f'"limit":2400}},{{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,'
        f'"limit":1200}},{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,'
        f'"limit":300}}],"exchangeFilters":[],"assets":[{{"asset":"USDT",'
        f'"marginAvailable":true,"autoAssetExchange":"-10000"}}],"symbols":[{symbols}]}}'
    )
