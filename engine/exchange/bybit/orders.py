"""Order entry of Bybit v5: create, amend, cancel and their batches, cancel-all; REST and the trade
connection share it. An answer holds ids only: what became of the order, the topics tell.

"Place Order" and its neighbours in the v5 documents. Take profit and stop loss fields, borrowing
and slippage limits are refused rather than ignored; so is spot's `tpslOrder`, which would occupy
assets before it triggers: conditional orders here are `StopOrder`, which doesn't.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.bybit.errors import OK_TEXT, VenueError, refusal
from engine.exchange.bybit.params import Fields
from engine.exchange.bybit.rows import MONEY
from engine.exchange.bybit.venue import Venue, kind_of
from engine.exchange.commands import (
    AmendTrigger,
    Cancel,
    CancelAll,
    CancelAllTriggers,
    CancelTrigger,
    Modify,
    Place,
    PlaceTrigger,
)
from engine.exchange.events import Trigger
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import Order, OrderType, Reason, Stp, Tif, TriggerStatus

SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
TYPES = {"Limit": OrderType.LIMIT, "Market": OrderType.MARKET}
TIFS = {"GTC": Tif.GTC, "IOC": Tif.IOC, "FOK": Tif.FOK, "PostOnly": Tif.GTX}
STPS = {
    "None": Stp.NONE,
    "CancelMaker": Stp.EXPIRE_MAKER,
    "CancelTaker": Stp.EXPIRE_TAKER,
    "CancelBoth": Stp.EXPIRE_BOTH,
}
BATCH_MAX = {Kind.LINEAR: 20, Kind.SPOT: 10}
CANCEL_ALL_MAX = 500  # futures; spot knows no limit
FILTERS = ("Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder")
TP_SL = ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice")
NOT_HERE = ("slippageTolerance", "slippageToleranceType", "bboSideType", "bboLevel", "orderIv")
TRIGGER_SCALE = 10_000  # of prices in the texts of 110092 and 110093

Result = dict[str, Any]
T = TypeVar("T")
Charge = Callable[[], bool]


class OrderEntry:
    """Every method takes the account and the request's fields, and raises VenueError."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.singles: dict[str, Callable[[int, Mapping[str, Any]], Result]] = {
            "create": self.create,
            "amend": self.amend,
            "cancel": self.cancel,
        }

    # -- CREATE ---

    def create(self, account: int, values: Mapping[str, Any]) -> Result:
        fields = Fields(values)
        market = self._venue.market(fields.kind, fields.needed("symbol"))
        instrument = market.instrument
        self._refuse_what_is_not_here(fields)
        place = self._place_of(account, fields, instrument)
        if self._is_conditional(fields):
            return self._place_trigger(fields, place, instrument)
        words = self._words(instrument, place.side)
        order = self._venue.do(fields.kind, place, **words).order
        assert order is not None
        return _ids(texts.id_of_order(fields.kind, order), place.client_order_id)

    def _refuse_what_is_not_here(self, fields: Fields) -> None:
        if any(fields.text(name, "0") not in ("0", "0.0") for name in TP_SL):
            text = "Conditional order or limit order contains TP/SL related params"
            raise VenueError(110057, text)
        if any(fields.has(name) for name in NOT_HERE):
            raise VenueError(170227 if fields.kind is Kind.SPOT else 10001, "Not supported here.")
        if fields.kind is Kind.SPOT and fields.text("isLeverage", "0") != "0":
            raise VenueError(170036, "You haven't enabled Cross Margin Trading yet.")
        if fields.text("positionIdx", "0") != "0":
            raise VenueError(10001, "position idx not match position mode")

    def _place_of(self, account: int, fields: Fields, instrument: Instrument) -> Place:
        is_spot = fields.kind is Kind.SPOT
        side = _one_of(fields, "side", SIDES, 170117, "Invalid side.")
        order_type = _one_of(fields, "orderType", TYPES, 170116, "Invalid orderType.")
        tif = Tif.GTC
        px_ticks = 0
        if order_type is OrderType.LIMIT:
            if fields.has("timeInForce"):
                tif = _one_of(fields, "timeInForce", TIFS, 170115, "Invalid timeInForce.")
            px_ticks = fields.price(instrument)
        stp = _one_of(fields, "smpType", STPS, 170130, "") if fields.has("smpType") else Stp.NONE
        link = fields.link_id()
        echo = {"link": link}
        qty_lots, quote_e8 = 0, 0
        unit = self._unit_of(fields, side, order_type)
        if unit:
            echo["unit"] = unit
        if unit == "quoteCoin":
            quote_e8 = fields.money_e8("qty", MONEY)
            echo["money"] = texts.money(quote_e8)
            if not quote_e8:
                raise refusal(fields.kind, Reason.NOTIONAL_MIN, {})
        else:
            qty_lots = fields.quantity(instrument)
        is_reduce_only = not is_spot and fields.flag("reduceOnly")
        if not is_spot and fields.flag("closeOnTrigger"):
            echo["close"] = "true"
        if is_reduce_only and not self._is_conditional(fields):
            self._refuse_without_position(account, instrument, side)
        return Place(
            account=account,
            symbol=instrument.key,
            side=side,
            order_type=order_type,
            tif=tif,
            qty_lots=qty_lots,
            px_ticks=px_ticks,
            client_order_id=link,
            reduce_only=is_reduce_only,
            stp=stp,
            quote_e8=quote_e8,
            # As much as there is, within the instrument's maximum at the venue.
            closes_position=is_reduce_only and "close" in echo and not qty_lots,
            echo=echo,
        )

    def _unit_of(self, fields: Fields, side: Side, order_type: OrderType) -> str:
        """What `qty` of a spot market order counts: a buy's is money unless it says otherwise."""
        if fields.kind is not Kind.SPOT or order_type is not OrderType.MARKET:
            return ""
        unit = fields.text("marketUnit", "quoteCoin" if side is Side.BUY else "baseCoin")
        if unit not in ("baseCoin", "quoteCoin"):
            raise fields.invalid("marketUnit")
        return unit

    def _refuse_without_position(self, account: int, instrument: Instrument, side: Side) -> None:
        """Where there is something to reduce, the core cuts the order to it."""
        if not self._venue.core.checks.closable_lots(account, instrument.key, side):
            text = "current position is zero, cannot fix reduce-only order qty"
            raise VenueError(110017, text)

    def _words(self, instrument: Instrument, side: Side) -> dict[str, object]:
        """For the texts of refusals that name a number."""
        bid, _, ask, _ = self._venue.core.markets[instrument.key].touch()
        collar = self._venue.core.rules.collar_percent
        limit = ask * (100 + collar) // 100 if side is Side.BUY else bid * (100 - collar) // 100
        return {
            "min_notional": instrument.min_notional,
            "limit_px": texts.price(instrument, limit),
        }

    # -- CONDITIONAL ORDERS ---

    def _is_conditional(self, fields: Fields) -> bool:
        if not fields.has("triggerPrice"):
            if fields.kind is Kind.SPOT and fields.text("orderFilter", "Order") != "Order":
                raise VenueError(170202, "Please enter the TP/SL price.")
            return False
        if fields.kind is Kind.SPOT and fields.text("orderFilter") != "StopOrder":
            raise VenueError(170201, "Invalid orderFilter parameter")
        return True

    def _place_trigger(self, fields: Fields, place: Place, instrument: Instrument) -> Result:
        px_ticks = fields.price(instrument, "triggerPrice")
        by = fields.text("triggerBy", "LastPrice")
        if by not in ("LastPrice", "MarkPrice", "IndexPrice"):
            raise fields.invalid("triggerBy")
        if fields.kind is Kind.LINEAR:
            direction = fields.integer("triggerDirection", 0, 0, 2)
            if not direction:
                raise VenueError(10001, "TriggerDirection invalid")
            is_rising = direction == 1
        else:
            is_rising = px_ticks > self._watched_ticks(instrument, by)
        self._refuse_reached(instrument, is_rising, px_ticks, by)
        if place.quote_e8:  # shown while it waits; what it buys is counted when it triggers
            cost_e8 = max(1, px_ticks * instrument.notional_e8)
            place = replace(place, qty_lots=max(1, place.quote_e8 // cost_e8))
        place = _with_echo(place, {"stop": "Stop", "by": by})
        command = PlaceTrigger(place, px_ticks, is_rising, by_mark=by != "LastPrice")
        trigger = self._venue.do(fields.kind, command).trigger
        assert trigger is not None
        public_id = texts.order_id(fields.kind, trigger.trigger_id, True)
        return _ids(public_id, place.client_order_id)

    def _watched_ticks(self, instrument: Instrument, by: str) -> int:
        core = self._venue.core
        mark_ticks = core.mark_px_ticks(instrument.key)
        if by != "LastPrice":
            return mark_ticks
        return core.markets[instrument.key].last_px_ticks() or mark_ticks

    def _refuse_reached(
        self, instrument: Instrument, is_rising: bool, px_ticks: int, by: str
    ) -> None:
        now_ticks = self._watched_ticks(instrument, by)
        if now_ticks and (px_ticks <= now_ticks if is_rising else px_ticks >= now_ticks):
            raise _triggers_now(instrument, is_rising, px_ticks, now_ticks, by)

    # -- AMEND ---

    def amend(self, account: int, values: Mapping[str, Any]) -> Result:
        fields = Fields(values)
        instrument = self._venue.market(fields.kind, fields.needed("symbol")).instrument
        found = self.find(account, fields, [instrument.key])
        if found is None:
            raise refusal(fields.kind, Reason.NO_SUCH_ORDER, {})
        self._refuse_what_is_not_here(fields)
        qty_lots = fields.quantity(instrument) if fields.has("qty") else 0
        px_ticks = fields.price(instrument) if fields.has("price") else 0
        if isinstance(found, Trigger):
            return self._amend_trigger(fields, found, instrument, qty_lots, px_ticks)
        if qty_lots and found.is_open and qty_lots <= found.cum_lots:
            raise refusal(fields.kind, Reason.NOT_SMALLER, {})
        command = Modify(account, instrument.key, qty_lots, px_ticks, order_id=found.order_id)
        self._venue.do(fields.kind, command, **self._words(instrument, found.side))
        return _ids(texts.id_of_order(fields.kind, found), found.echo.get("link", ""))

    def _amend_trigger(
        self, fields: Fields, found: Trigger, instrument: Instrument, qty_lots: int, px_ticks: int
    ) -> Result:
        trigger_ticks = 0
        if qty_lots and found.place.quote_e8:
            raise fields.invalid("qty")  # the core amends lots, not money  # unverified
        if fields.has("triggerPrice"):
            trigger_ticks = fields.price(instrument, "triggerPrice")
            if trigger_ticks and found.status is TriggerStatus.NEW:
                by = found.place.echo.get("by", "LastPrice")
                self._refuse_reached(instrument, found.is_rising, trigger_ticks, by)
        account, number = found.place.account, found.trigger_id
        command = AmendTrigger(account, instrument.key, number, trigger_ticks, qty_lots, px_ticks)
        self._venue.do(fields.kind, command)
        public_id = texts.order_id(fields.kind, found.trigger_id, True)
        return _ids(public_id, found.place.client_order_id)

    # -- CANCEL ---

    def cancel(self, account: int, values: Mapping[str, Any]) -> Result:
        fields = Fields(values)
        instrument = self._venue.market(fields.kind, fields.needed("symbol")).instrument
        found = self.find(account, fields, [instrument.key])
        if isinstance(found, Trigger):
            cancel = CancelTrigger(account, instrument.key, found.trigger_id)
            self._venue.do(fields.kind, cancel)
            public_id = texts.order_id(fields.kind, found.trigger_id, True)
            return _ids(public_id, found.place.client_order_id)
        if found is None:
            raise refusal(fields.kind, Reason.UNKNOWN_ORDER, {})
        self._venue.do(fields.kind, Cancel(account, instrument.key, found.order_id))
        return _ids(texts.id_of_order(fields.kind, found), found.echo.get("link", ""))

    def cancel_all(self, account: int, values: Mapping[str, Any]) -> Result:
        fields = Fields(values)
        kind = fields.kind
        keys = self.keys_of(fields, is_scope_needed=kind is Kind.LINEAR)
        filter_name = fields.text("orderFilter", "Order" if kind is Kind.SPOT else "")
        if filter_name and filter_name not in FILTERS:
            raise fields.invalid("orderFilter")
        rows: list[Result] = []
        if filter_name in ("", "Order"):
            count_max = CANCEL_ALL_MAX if kind is Kind.LINEAR else 0
            command = CancelAll(account, tuple(keys), count_max=count_max)
            for order in self._venue.do(kind, command).orders:
                rows.append(_ids(texts.id_of_order(kind, order), order.echo.get("link", "")))
        if filter_name != "Order":
            for trigger in self._venue.do(kind, CancelAllTriggers(account, tuple(keys))).triggers:
                public_id = texts.order_id(kind, trigger.trigger_id, True)
                rows.append(_ids(public_id, trigger.place.client_order_id))
        return {"list": rows, "success": "1"}

    def keys_of(self, fields: Fields, is_scope_needed: bool) -> list[str]:
        """Instruments by symbol, else base coin, else settle coin."""
        if fields.has("symbol"):
            return [self._venue.market(fields.kind, fields.text("symbol")).instrument.key]
        keys = self._venue.keys(fields.kind)
        if base := fields.text("baseCoin"):
            return [key for key in keys if self._venue.instrument(key).base == base]
        if coin := fields.text("settleCoin"):
            return [key for key in keys if self._venue.instrument(key).quote == coin]
        if is_scope_needed:
            raise VenueError(10001, "params error: symbol, settleCoin or baseCoin is needed")
        return keys

    # -- BATCHES ---

    def batch(
        self, verb: str, account: int, values: Mapping[str, Any], charge: Charge
    ) -> tuple[Result, Result]:
        """(result, retExtInfo). `charge` says of each order whether the rate limit lets it."""
        kind = kind_of(values.get("category"))
        requests = values.get("request")
        if not isinstance(requests, list) or not 0 < len(requests) <= BATCH_MAX[kind]:
            raise VenueError(10001, f"params error: request must hold 1 to {BATCH_MAX[kind]}")
        rows: list[Result] = []
        codes: list[Result] = []
        for request in requests:
            fields = {**request, "category": kind.value} if isinstance(request, dict) else {}
            row = {"category": kind.value, "symbol": str(fields.get("symbol") or "")}
            try:
                if not charge():
                    raise VenueError(10006)
                row |= self.singles[verb](account, fields)
                code, text = 0, OK_TEXT
            except VenueError as error:
                row |= _ids("", str(fields.get("orderLinkId") or ""))
                code, text = error.code, error.text
            if verb == "create":
                row["createAt"] = "" if code else str(self._venue.now_ms)
            rows.append(row)
            codes.append({"code": code, "msg": text})
        return {"list": rows}, {"list": codes}

    # -- FIND ---

    def find(self, account: int, fields: Fields, keys: list[str]) -> Order | Trigger | None:
        """By orderId, else by orderLinkId; a conditional order that triggered is its order."""
        core = self._venue.core
        public_id, link = fields.text("orderId"), fields.link_id()
        if not public_id and not link:
            raise VenueError(10001, "params error: orderId or orderLinkId is needed")
        number, is_trigger = texts.core_id(fields.kind, public_id) if public_id else (0, False)
        if public_id and not number:
            return None
        for key in keys:
            trigger = None
            if number and is_trigger:
                trigger = core.find_trigger(account, key, number, "")
            elif order := core.find_order(account, key, number, link):
                return order
            elif not number:
                trigger = core.find_trigger(account, key, 0, link)
            if trigger is not None:
                placed = trigger.order_id and core.find_order(account, key, trigger.order_id, "")
                return placed or trigger
        return None


def _ids(public_id: str, link: str) -> Result:
    return {"orderId": public_id, "orderLinkId": link}


def _with_echo(place: Place, more: dict[str, str]) -> Place:
    return replace(place, echo={**place.echo, **more})


def _one_of(fields: Fields, name: str, table: dict[str, T], code: int, text: str) -> T:
    value = table.get(fields.needed(name))
    if value is None:
        if fields.kind is Kind.SPOT and text:
            raise VenueError(code, text)
        raise fields.invalid(name)
    return value


def _triggers_now(
    instrument: Instrument, is_rising: bool, px_ticks: int, now_ticks: int, by: str
) -> VenueError:
    scaled = [int(instrument.px.step * ticks * TRIGGER_SCALE) for ticks in (px_ticks, now_ticks)]
    direction, sign, code = ("Rising", "<=", 110092) if is_rising else ("Falling", ">=", 110093)
    text = f"expect {direction}, but trigger_price[{scaled[0]}] {sign} current[{scaled[1]}]??{by}"
    return VenueError(code, text)
