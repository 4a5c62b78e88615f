"""Order requests of Binance Spot, REST and WebSocket API alike.

An order that waits for its stop price is a conditional order of the core under its own id; from
the moment it triggers, the order that it became answers to that id.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

from engine.exchange.binance import spot_reports as reports
from engine.exchange.binance.calls import Call
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import Params
from engine.exchange.binance.spot_errors import (
    CLOSED,
    RESTRICTED,
    UNKNOWN_ORDER,
    SpotError,
    filter_failure,
    rejected,
)
from engine.exchange.binance.spot_params import (
    CancelOnly,
    NewOrder,
    Response,
    choice,
    client_id,
    new_order_of,
    order_ids,
    quantity_of,
)
from engine.exchange.binance.spot_symbols import (
    AMENDS_MAX,
    ASK_UP_PERCENT,
    BID_DOWN_PERCENT,
    SpotSymbol,
    UnitStamp,
)
from engine.exchange.binance.spot_user import Rename, UserStreams
from engine.exchange.book import Side
from engine.exchange.commands import (
    Cancel,
    CancelAll,
    CancelTrigger,
    Command,
    Modify,
    Place,
    PlaceTrigger,
)
from engine.exchange.core import Core
from engine.exchange.events import Accepted, OrderUpdate, Trigger
from engine.exchange.terms import Exec, MarketState, Order, TriggerStatus


class Desk(Protocol):
    """What order handlers need of their face."""

    core: Core
    limits: RateLimits
    users: UserStreams

    def symbol(self, params: Params) -> SpotSymbol: ...

    def stamp_of(self, call: Call) -> UnitStamp: ...

    def command(self, command: Command, call: Call) -> Accepted: ...


@dataclass(slots=True)
class Found:
    """An order as requests name it: one that works or has worked, or one that still waits."""

    order: Order
    trigger: Trigger | None = None

    @property
    def is_open(self) -> bool:
        return self.order.is_open


class SpotOrders:
    def __init__(self, face: Desk) -> None:
        self._face = face
        self._cancels = 0

    # -- NEW ---

    def place(self, call: Call) -> str:
        limits = self._face.limits
        new = self.parsed(call, self._face.symbol(call.params))
        limits.charge_orders(call.account, 1, call.t_ns)
        try:
            return self.place_checked(new, call)
        except VenueError:
            limits.give_back(call.account, 1, call.t_ns)
            raise

    def parsed(self, call: Call, symbol: SpotSymbol) -> NewOrder:
        """Everything that the venue checks before the matching engine sees the order."""
        new = new_order_of(call.params, call.account, symbol)
        place = new.place
        if place.px_ticks:
            market = self._face.core.markets[place.symbol]
            bid_px, _, ask_px, _ = market.touch()
            near = market.last_px_ticks() or bid_px or ask_px
            is_low = place.px_ticks * 100 < near * BID_DOWN_PERCENT
            is_high = place.px_ticks * 100 > near * ASK_UP_PERCENT
            if near and (is_low if place.side is Side.BUY else is_high):
                raise filter_failure("PERCENT_PRICE_BY_SIDE")
        if isinstance(new.command, PlaceTrigger):
            name = place.client_order_id or self._random_id()
            echo = {**place.echo, reports.BORN: str(call.t_ns)}
            named = replace(place, client_order_id=name, echo=echo)
            return replace(new, command=replace(new.command, place=named))
        return new

    def place_checked(self, new: NewOrder, call: Call) -> str:
        """Into the core; how the answer looks was asked for."""
        face, stamp = self._face, self._face.stamp_of(call)
        first = len(call.out)
        accepted = face.command(new.command, call)
        symbol = face.symbol(call.params)
        if accepted.trigger is not None:
            order = reports.order_of_trigger(accepted.trigger)
            if new.response is Response.ACK:
                return reports.ack_json(order, stamp)
            fills: list[OrderUpdate] | None = [] if new.response is Response.FULL else None
            return reports.result_json(symbol, order, stamp, fills, is_working=False)
        assert accepted.order is not None
        if new.response is Response.ACK:
            return reports.ack_json(accepted.order, stamp)
        if new.response is Response.RESULT:
            return reports.result_json(symbol, accepted.order, stamp)
        fills = [
            output
            for output in call.out[first:]
            if isinstance(output, OrderUpdate)
            and output.order is accepted.order
            and output.exec_type is Exec.TRADE
        ]
        return reports.result_json(symbol, accepted.order, stamp, fills)

    def test(self, call: Call) -> str:
        """Checked, not sent: what only the matching engine knows is not found out."""
        symbol = self._face.symbol(call.params)
        new = self.parsed(call, symbol)
        if self._face.core.state(new.place.symbol) is not MarketState.TRADING:
            raise rejected(CLOSED)
        if call.params.get("computeCommissionRates") != "true":
            return "{}"
        rates = commission_rates(self._face.core, symbol)
        return (
            f'{{"standardCommissionForOrder":{{"maker":"{rates[0]}","taker":"{rates[1]}"}},'
            f'"specialCommissionForOrder":{{"maker":"0.00000000","taker":"0.00000000"}},'
            f'"taxCommissionForOrder":{{"maker":"0.00000000","taker":"0.00000000"}},'
            f'"discount":{DISCOUNT_JSON}}}'
        )

    # -- CANCEL ---

    def cancel(self, call: Call) -> str:
        symbol = self._face.symbol(call.params)
        ids = order_ids(call.params, "orderId", "origClientOrderId")
        return self.cancel_one(symbol, ids, client_id(call.params, "newClientOrderId"), call)

    def cancel_one(
        self, symbol: SpotSymbol, ids: tuple[int, str], cancel_id: str, call: Call
    ) -> str:
        found = self.find(call.account, symbol, ids)
        if found is None or not found.is_open:
            raise SpotError(-2011)
        only: CancelOnly | None = choice(
            call.params, "cancelRestrictions", CancelOnly, None, code=-1145
        )
        if only is not None and only.value != found.order.status.value:
            raise SpotError(-2011, text=RESTRICTED)
        return self._end(symbol, found, cancel_id or self._random_id(), call)

    def _end(self, symbol: SpotSymbol, found: Found, cancel_id: str, call: Call) -> str:
        order, key = found.order, symbol.instrument.key
        if found.trigger is not None:
            self._face.command(CancelTrigger(call.account, key, order.order_id), call)
            order = reports.order_of_trigger(found.trigger)
        else:
            self._face.command(Cancel(call.account, key, order.order_id), call)
        renames = self._face.users.renames
        renames[reports.shown_id(order)] = Rename(cancel_id, order.client_order_id)
        return reports.cancel_json(symbol, order, cancel_id, self._face.stamp_of(call))

    def cancel_all(self, call: Call) -> str:
        """Every order of a symbol; none open is an error here."""
        symbol = self._face.symbol(call.params)
        core, key = self._face.core, symbol.instrument.key
        cancel_id = self._random_id()
        found = [Found(order) for order in core.open_orders(call.account, key)]
        accepted = self._face.command(CancelAll(call.account, (key,)), call)
        taken = {order.order_id for order in accepted.orders}
        found = [one for one in found if one.order.order_id in taken]
        texts: list[str] = []
        for one in found:
            order = one.order
            rename = Rename(cancel_id, order.client_order_id)
            self._face.users.renames[reports.shown_id(order)] = rename
            stamp = self._face.stamp_of(call)
            texts.append(reports.cancel_json(symbol, order, cancel_id, stamp))
        for trigger in core.open_triggers(call.account, key):
            waiting = Found(reports.order_of_trigger(trigger), trigger)
            texts.append(self._end(symbol, waiting, cancel_id, call))
        if not texts:
            raise SpotError(-2011)
        return f"[{','.join(texts)}]"

    # -- AMEND ---

    def amend(self, call: Call) -> str:
        """order.amend.keepPriority: only a smaller quantity."""
        symbol = self._face.symbol(call.params)
        ids = order_ids(call.params, "orderId", "origClientOrderId")
        qty_lots = quantity_of(call.params, "newQty", symbol)
        found = self.find(call.account, symbol, ids)
        if found is None or not found.is_open or found.trigger is not None:
            raise SpotError(-2038, text=UNKNOWN_ORDER)
        order = found.order
        if order.version >= AMENDS_MAX:
            raise filter_failure("MAX_NUM_ORDER_AMENDS", -2038)
        old = order.client_order_id
        name = client_id(call.params, "newClientOrderId") or self._random_id()
        modify = Modify(
            account=call.account,
            symbol=symbol.instrument.key,
            qty_lots=qty_lots,
            order_id=order.order_id,
            keeps_priority=True,
            new_client_order_id=name,
        )
        self._face.command(modify, call)
        self._face.users.renames[reports.shown_id(order)] = Rename(name, old)
        execution_id = self._face.users.execution_id + 1
        return reports.amend_json(symbol, order, old, execution_id, self._face.stamp_of(call))

    # -- QUERIES ---

    def find(self, account: int, symbol: SpotSymbol, ids: tuple[int, str]) -> Found | None:
        """By venue id, which goes first, or by client id; VenueError when both are given and
        don't belong together."""
        core, key = self._face.core, symbol.instrument.key
        order_id, name = ids
        order = core.find_order(account, key, order_id, name)
        trigger = None
        if order is None:
            trigger = core.find_trigger(account, key, order_id, name)
            if trigger is not None and trigger.status is TriggerStatus.TRIGGERED:
                order, trigger = core.find_order(account, key, trigger.order_id, ""), None
        if order is None and trigger is None:
            return None
        if order is None:
            assert trigger is not None
            order = reports.order_of_trigger(trigger)
        if order_id and name and order.client_order_id != name:
            raise SpotError(-2039)
        return Found(order, trigger)

    def status(self, call: Call) -> str:
        symbol = self._face.symbol(call.params)
        ids = order_ids(call.params, "orderId", "origClientOrderId")
        found = self.find(call.account, symbol, ids)
        if found is None:
            raise SpotError(-2013)
        return self.found_json(symbol, found, self._face.stamp_of(call))

    def found_json(self, symbol: SpotSymbol, found: Found, stamp: UnitStamp) -> str:
        return reports.query_json(symbol, found.order, stamp, found.trigger is None)

    def open_of(self, account: int, symbol: SpotSymbol) -> list[Found]:
        core, key = self._face.core, symbol.instrument.key
        found = [Found(order) for order in core.open_orders(account, key)]
        for trigger in core.open_triggers(account, key):
            found.append(Found(reports.order_of_trigger(trigger), trigger))
        return sorted(found, key=lambda one: one.order.create_ns)

    def all_of(self, account: int, symbol: SpotSymbol) -> list[Found]:
        """By id, which is the order in which they came, but for those that waited first."""
        core, key = self._face.core, symbol.instrument.key
        found = [Found(order) for order in core.orders_of(account, key)]
        for trigger in core.triggers_of(account, key):
            if trigger.status is not TriggerStatus.TRIGGERED:
                found.append(Found(reports.order_of_trigger(trigger), trigger))
        return sorted(found, key=lambda one: reports.shown_id(one.order))

    def named(self, place: Place) -> Place:
        return replace(place, client_order_id=place.client_order_id or self._random_id())

    def _random_id(self) -> str:
        """Of a cancel or an amendment that came without one."""
        self._cancels += 1
        text = f"tickmaker local exchange/cancel/{self._cancels}"
        return hashlib.sha256(text.encode()).hexdigest()[:22]


DISCOUNT_JSON = (
    '{"enabledForAccount":false,"enabledForSymbol":false,"discountAsset":"BNB",'
    '"discount":"0.75000000"}'
)


def commission_rates(core: Core, symbol: SpotSymbol) -> tuple[str, str]:
    """Maker's and taker's."""
    fees = core.fees_of(symbol.instrument.key)
    return ppm_text(fees.maker_ppm), ppm_text(fees.taker_ppm)


def ppm_text(rate_ppm: int) -> str:
    sign = "-" if rate_ppm < 0 else ""
    return f"{sign}{abs(rate_ppm) // 1_000_000}.{abs(rate_ppm) % 1_000_000:06d}00"
