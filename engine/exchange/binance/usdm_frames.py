"""USD-M JSON of orders, conditional orders and user data events ("User Data Streams", "Trade").

Built by f-strings: nothing in here needs escaping, since symbols are our own and client order
ids have passed the venue's pattern.
"""

from collections.abc import Callable
from functools import lru_cache

from engine.exchange.binance.stamp import Stamp
from engine.exchange.book import Side
from engine.exchange.events import AccountUpdate, OrderUpdate, Trigger, TriggerUpdate
from engine.exchange.instruments import Instrument, e8_text
from engine.exchange.terms import (
    Exec,
    MoneyWhy,
    Order,
    Reason,
    Status,
    Stp,
    TriggerStatus,
    Why,
)
from engine.exchange.truth import FillRecord

BOOL = ("false", "true")
SIDE = tuple(side.name for side in Side)
STP = {stp: stp.value for stp in Stp}
# `_value_` below: an enum member's `value` is a Python property, and these are asked a lot.
TEXTS_KEPT = 8_192  # of prices and quantities of an instrument
# `er`, the reason of an end; 0: none of these.
EXPIRY = dict.fromkeys(Why, "0") | {
    Why.STP: "1",
    Why.IOC: "2",
    Why.REDUCE_ONLY: "4",
    Why.CLOSED: "7",
    Why.MARKET: "9",
    Why.FOK: "10",
    Why.POST_ONLY: "11",
}
MONEY = {MoneyWhy.ORDER: "ORDER", MoneyWhy.LOCK: "ORDER", MoneyWhy.FUNDING: "FUNDING_FEE"}
ALGO_STATUS = {
    TriggerStatus.NEW: "NEW",
    TriggerStatus.TRIGGERED: "TRIGGERED",
    TriggerStatus.CANCELED: "CANCELED",
    TriggerStatus.REJECTED: "REJECTED",
    TriggerStatus.EXPIRED: "EXPIRED",
}
# `rm`, why an order could not be placed when it triggered; the others' words: unverified.
FAILURE = {Reason.REDUCE_ONLY: "Reduce Only reject"}
Text = Callable[[int], str]


class UsdmFrames:
    """Times leave by the venue's clock."""

    def __init__(self, stamp: Stamp) -> None:
        self._ms = stamp.ms
        self._texts: dict[str, tuple[Instrument, Text, Text]] = {}

    def _texts_of(self, instrument: Instrument) -> tuple[Instrument, Text, Text]:
        """Price and quantity to text, remembered: an order says the same ones again and again."""
        found = self._texts.get(instrument.key)
        if found is None or found[0] is not instrument:
            remember = lru_cache(maxsize=TEXTS_KEPT)
            found = (instrument, remember(instrument.px.text), remember(instrument.qty.text))
            self._texts[instrument.key] = found
        return found

    def _date(self, gtd_ns: int) -> int:
        """0: none."""
        return self._ms(gtd_ns) if gtd_ns else 0

    # -- USER DATA EVENTS ---

    def order_update(self, instrument: Instrument, update: OrderUpdate, now_ns: int) -> str:
        order = update.order
        _, px, qty = self._texts_of(instrument)
        ms, mean = self._ms, instrument.px.mean_text
        stamp = ms(update.t_ns)
        kind, execution = order.order_type._value_, update.exec_type
        origin, stop, working, closes = kind, "0", "CONTRACT_PRICE", "false"
        if order.trigger_id:
            echo = order.echo
            origin, stop = echo["type"], echo["stopPrice"]
            working, closes = echo["workingType"], echo["closePosition"]
        extra = ""
        if execution is Exec.TRADE:
            extra = f'"N":"{update.fee_asset}","n":"{e8_text(update.fee_e8)}",'
        elif execution is Exec.AMENDMENT:
            extra = f'"M":{order.version},'
        tif, gtd = order.tif._value_, 0
        if order.gtd_ns:
            tif, gtd = "GTD", ms(order.gtd_ns)
        status = update.status._value_
        if update.why is Why.STP and update.status is Status.EXPIRED:
            status = "EXPIRED_IN_MATCH"
        return (
            f'{{"e":"ORDER_TRADE_UPDATE","T":{stamp},"E":{ms(now_ns)},"o":{{'
            f'"s":"{instrument.symbol}","c":"{order.client_order_id}","S":"{SIDE[order.side]}",'
            f'"o":"{kind}","f":"{tif}",'
            f'"q":"{qty(order.qty_lots)}","p":"{px(order.px_ticks)}",'
            f'"ap":"{mean(update.cum_cost, update.cum_lots)}","sp":"{stop}",'
            f'"x":"{execution._value_}","X":"{status}","i":{order.order_id},'
            f'"l":"{qty(update.last_lots)}","z":"{qty(update.cum_lots)}",'
            f'"L":"{px(update.last_px_ticks)}",{extra}'
            f'"T":{stamp},"t":{update.trade_id},"b":"0","a":"0",'
            f'"m":{BOOL[update.is_maker]},"R":{BOOL[order.reduce_only]},'
            f'"wt":"{working}","ot":"{origin}","ps":"BOTH","cp":{closes},'
            f'"AP":"0","cr":"0","pP":false,"si":0,"ss":0,"rp":"{e8_text(update.realized_e8)}",'
            f'"V":"{order.stp._value_}","pm":"NONE","gtd":{gtd},"er":"{EXPIRY[update.why]}"}}}}'
        )

    def trade_lite(self, instrument: Instrument, update: OrderUpdate, now_ns: int) -> str:
        order = update.order
        px, qty = instrument.px.text, instrument.qty.text
        return (
            f'{{"e":"TRADE_LITE","E":{self._ms(now_ns)},"T":{self._ms(update.t_ns)},'
            f'"s":"{instrument.symbol}","q":"{qty(order.qty_lots)}","p":"{px(order.px_ticks)}",'
            f'"m":{BOOL[update.is_maker]},"c":"{order.client_order_id}",'
            f'"S":"{SIDE[order.side]}","L":"{px(update.last_px_ticks)}",'
            f'"l":"{qty(update.last_lots)}","t":{update.trade_id},"i":{order.order_id}}}'
        )

    def account_update(
        self,
        instrument: Instrument | None,
        update: AccountUpdate,
        unrealized_e8: int,
        now_ns: int,
    ) -> str:
        """Funding of a cross position tells balances alone. `bc`: changes other than P&L and
        commission."""
        is_funding = update.why is MoneyWhy.FUNDING
        balances = [
            f'{{"a":"{b.asset}","wb":"{e8_text(b.total_e8)}","cw":"{e8_text(b.total_e8)}",'
            f'"bc":"{e8_text(b.change_e8) if is_funding else "0"}"}}'
            for b in update.balances
        ]
        positions, position = "", update.position
        if position is not None and instrument is not None and not is_funding:
            entry = instrument.px.mean_text(position.cost, position.lots)
            positions = (
                f'{{"s":"{instrument.symbol}","pa":"{instrument.qty.text(position.lots)}",'
                f'"ep":"{entry}","bep":"{entry}","cr":"{e8_text(position.realized_e8)}",'
                f'"up":"{e8_text(unrealized_e8)}","mt":"cross","iw":"0","ps":"BOTH"}}'
            )
        return (
            f'{{"e":"ACCOUNT_UPDATE","T":{self._ms(update.t_ns)},"E":{self._ms(now_ns)},'
            f'"a":{{"m":"{MONEY[update.why]}","B":[{",".join(balances)}],"P":[{positions}]}}}}'
        )

    def account_config(self, symbol: str, leverage: int, t_ns: int) -> str:
        return (
            f'{{"e":"ACCOUNT_CONFIG_UPDATE","E":{self._ms(t_ns)},"T":{self._ms(t_ns)},'
            f'"ac":{{"s":"{symbol}","l":{leverage}}}}}'
        )

    def listen_key_expired(self, listen_key: str, now_ns: int) -> str:
        return f'{{"e":"listenKeyExpired","E":{self._ms(now_ns)},"listenKey":"{listen_key}"}}'

    def algo_update(self, instrument: Instrument, update: TriggerUpdate, now_ns: int) -> str:
        trigger = update.trigger
        place, echo, px = trigger.place, trigger.place.echo, instrument.px.text
        order_id = str(trigger.order_id) if trigger.order_id else ""
        refusal = ""
        if trigger.refusal:
            refusal = f',"rm":"{FAILURE.get(trigger.refusal, trigger.refusal.value)}"'
        is_done = update.status is TriggerStatus.TRIGGERED
        triggered = self._ms(update.t_ns) if is_done else 0
        return (
            f'{{"e":"ALGO_UPDATE","T":{self._ms(update.t_ns)},"E":{self._ms(now_ns)},"o":{{'
            f'"caid":"{place.client_order_id}","aid":{trigger.trigger_id},"at":"CONDITIONAL",'
            f'"o":"{echo["type"]}","s":"{instrument.symbol}","S":"{SIDE[place.side]}",'
            f'"ps":"BOTH","f":"{echo["timeInForce"]}",'
            f'"q":"{instrument.qty.text(place.qty_lots)}",'
            f'"X":"{ALGO_STATUS[update.status]}","ai":"{order_id}","ap":"0","aq":"0",'
            f'"act":"0","tp":"{px(trigger.trigger_px_ticks)}","p":"{px(place.px_ticks)}",'
            f'"V":"{STP[place.stp]}","wt":"{echo["workingType"]}","pm":"NONE",'
            f'"cp":{echo["closePosition"]},"pP":false,"R":{BOOL[place.reduce_only]},'
            f'"tt":{triggered},"gtd":{self._date(place.gtd_ns)}{refusal}}}}}'
        )

    # -- ANSWERS ---

    def order(
        self, instrument: Instrument, order: Order, is_ack: bool = False, is_query: bool = False
    ) -> str:
        """`is_ack`: as it was accepted, fills not yet counted. `is_query`: with time and
        averages, which answers to a placing lost in 2026."""
        _, px, qty = self._texts_of(instrument)
        ms = self._ms
        cum_lots, status = (0, Status.NEW) if is_ack else (order.cum_lots, order.status)
        cum = qty(cum_lots)
        kind = order.order_type._value_
        origin, stop, working, closes = kind, "0", "CONTRACT_PRICE", "false"
        if order.trigger_id:
            echo = order.echo
            origin, stop = echo["type"], echo["stopPrice"]
            working, closes = echo["workingType"], echo["closePosition"]
        tif, gtd = order.tif._value_, 0
        if order.gtd_ns:
            tif, gtd = "GTD", ms(order.gtd_ns)
        status_text = status._value_
        if status is Status.EXPIRED and order.why is Why.STP:
            status_text = "EXPIRED_IN_MATCH"
        extra = ""
        if is_query:
            quote = e8_text(order.cum_cost * instrument.notional_e8)
            average = instrument.px.mean_text(order.cum_cost, order.cum_lots)
            extra = f'"avgPrice":"{average}","cumQuote":"{quote}","time":{ms(order.create_ns)},'
        return (
            f'{{"orderId":{order.order_id},"symbol":"{instrument.symbol}",'
            f'"status":"{status_text}","clientOrderId":"{order.client_order_id}",'
            f'"price":"{px(order.px_ticks)}","origQty":"{qty(order.qty_lots)}",'
            f'"executedQty":"{cum}","cumQty":"{cum}",{extra}"timeInForce":"{tif}",'
            f'"type":"{kind}","reduceOnly":{BOOL[order.reduce_only]},"closePosition":{closes},'
            f'"side":"{SIDE[order.side]}","positionSide":"BOTH","stopPrice":"{stop}",'
            f'"workingType":"{working}","priceProtect":false,"origType":"{origin}",'
            f'"priceMatch":"NONE","selfTradePreventionMode":"{order.stp._value_}",'
            f'"goodTillDate":{gtd},'
            f'"updateTime":{ms(order.create_ns if is_ack else order.update_ns)}}}'
        )

    def algo_order(
        self, instrument: Instrument, trigger: Trigger, order: Order | None, is_query: bool
    ) -> str:
        """`order`: what it became. Placing and asking have each their own extras."""
        place, echo, px = trigger.place, trigger.place.echo, instrument.px.text
        triggered = 0
        if trigger.status is TriggerStatus.TRIGGERED:
            triggered = self._ms(trigger.update_ns)
        actual, levels, trailing = "", "", '"activatePrice":"","callbackRate":"",'
        if is_query:
            price = instrument.px.mean_text(order.cum_cost, order.cum_lots) if order else "0.0"
            order_id = str(trigger.order_id) if trigger.order_id else ""
            actual = f'"actualOrderId":"{order_id}","actualPrice":"{price}",'
            levels = (
                '"tpTriggerPrice":"0.000","tpPrice":"0.000","slTriggerPrice":"0.000",'
                '"slPrice":"0.000","tpOrderType":"",'
            )
            trailing = ""
        return (
            f'{{"algoId":{trigger.trigger_id},"clientAlgoId":"{place.client_order_id}",'
            f'"algoType":"CONDITIONAL","orderType":"{echo["type"]}",'
            f'"symbol":"{instrument.symbol}","side":"{SIDE[place.side]}","positionSide":"BOTH",'
            f'"timeInForce":"{echo["timeInForce"]}",'
            f'"quantity":"{instrument.qty.text(place.qty_lots)}",'
            f'"algoStatus":"{ALGO_STATUS[trigger.status]}",{actual}'
            f'"triggerPrice":"{px(trigger.trigger_px_ticks)}","price":"{px(place.px_ticks)}",'
            f'"icebergQuantity":null,{levels}"selfTradePreventionMode":"{STP[place.stp]}",'
            f'"workingType":"{echo["workingType"]}","priceMatch":"NONE",'
            f'"closePosition":{echo["closePosition"]},"priceProtect":false,'
            f'"reduceOnly":{BOOL[place.reduce_only]},{trailing}'
            f'"createTime":{self._ms(trigger.create_ns)},'
            f'"updateTime":{self._ms(trigger.update_ns)},"triggerTime":{triggered},'
            f'"goodTillDate":{self._date(place.gtd_ns)}}}'
        )

    def user_trade(self, instrument: Instrument, fill: FillRecord) -> str:
        px, qty = instrument.px.text, instrument.qty.text
        quote = e8_text(fill.qty_lots * fill.px_ticks * instrument.notional_e8)
        return (
            f'{{"buyer":{BOOL[fill.side is Side.BUY]},"commission":"{e8_text(fill.fee_e8)}",'
            f'"commissionAsset":"{fill.fee_asset}","id":{fill.trade_id},'
            f'"maker":{BOOL[fill.is_maker]},"orderId":{fill.order_id},'
            f'"price":"{px(fill.px_ticks)}","qty":"{qty(fill.qty_lots)}",'
            f'"quoteQty":"{quote}","baseQty":"{qty(fill.qty_lots)}",'
            f'"marginAsset":"{instrument.quote}","realizedPnl":"{e8_text(fill.realized_e8)}",'
            f'"side":"{SIDE[fill.side]}","positionSide":"BOTH","symbol":"{instrument.symbol}",'
            f'"pair":"{instrument.symbol}","time":{self._ms(fill.t_ns)}}}'
        )
