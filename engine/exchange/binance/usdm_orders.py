"""Order entry of USD-M, by REST and WebSocket API alike ("Trade" documents)."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from engine.exchange.binance.auth import Security
from engine.exchange.binance.calls import Call, Route
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.params import (
    Params,
    integer,
    limit_of,
    mandatory,
    text_params,
)
from engine.exchange.binance.usdm_desk import WEEK_NS, UsdmDesk
from engine.exchange.binance.usdm_errors import UsdmError
from engine.exchange.binance.usdm_params import (
    cancel_of,
    cancel_trigger_of,
    modify_of,
    order_ids_of,
    place_of,
    trigger_ids_of,
    trigger_of,
)
from engine.exchange.commands import CancelAll, CancelAllTriggers, Countdown
from engine.exchange.events import Trigger
from engine.exchange.instruments import Instrument
from engine.exchange.terms import Order

MS = 1_000_000
ORDERS_MAX = 1_000
BATCH_MAX = 5
BATCH_CANCEL_MAX = 10
COUNTDOWN_MS_MAX = 10**12
CANCELED_ALL = '{"code":200,"msg":"The operation of cancel all open order is done."}'
_LIST = json.JSONDecoder(parse_float=str)


def _open_orders_weight(params: Params) -> int:
    return 1 if params.get("symbol") else 40


class UsdmOrders:
    def __init__(self, desk: UsdmDesk) -> None:
        self._desk = desk
        self._algo_count = 0

    def routes(self) -> dict[tuple[str, str], Route]:
        v1, read, trade = "/fapi/v1/", Security.READ, Security.TRADE
        return {
            ("POST", v1 + "order"): Route(self.place, trade, 0, 1),
            ("PUT", v1 + "order"): Route(self.modify, trade, 0, 1),
            ("DELETE", v1 + "order"): Route(self.cancel, trade),
            ("GET", v1 + "order"): Route(self.status, read),
            ("POST", v1 + "order/test"): Route(self.test, trade, 0),
            ("POST", v1 + "batchOrders"): Route(self.place_batch, trade, 5, (5, 1)),
            ("PUT", v1 + "batchOrders"): Route(self.modify_batch, trade, 5, (5, 1)),
            ("DELETE", v1 + "batchOrders"): Route(self.cancel_batch, trade),
            ("GET", v1 + "openOrder"): Route(self.open_order, read),
            ("GET", v1 + "openOrders"): Route(self.open_orders, read, _open_orders_weight),
            ("GET", v1 + "allOrders"): Route(self.all_orders, read, 5),
            ("DELETE", v1 + "allOpenOrders"): Route(self.cancel_all, trade),
            ("POST", v1 + "countdownCancelAll"): Route(self.countdown, trade, 10),
            ("POST", v1 + "algoOrder"): Route(self.place_algo, trade, 0, 1),
            ("GET", v1 + "algoOrder"): Route(self.algo_status, read),
            ("DELETE", v1 + "algoOrder"): Route(self.cancel_algo, trade),
            ("GET", v1 + "openAlgoOrders"): Route(self.open_algos, read, _open_orders_weight),
            ("GET", v1 + "allAlgoOrders"): Route(self.all_algos, read, 5),
            ("DELETE", v1 + "algoOpenOrders"): Route(self.cancel_all_algos, trade),
        }

    def methods(self) -> dict[str, Route]:
        """No cancel-all, batch or cancel-replace here (official client's method list)."""
        read, trade = Security.READ, Security.TRADE
        return {
            "order.place": Route(self.place, trade, 0, 1),
            "order.modify": Route(self.modify, trade, 0, 1),
            "order.cancel": Route(self.cancel, trade),
            "order.status": Route(self.status, read),
            "algoOrder.place": Route(self.place_algo, trade, 0, 1),
            "algoOrder.cancel": Route(self.cancel_algo, trade),
        }

    # -- ONE ORDER ---

    def place(self, call: Call) -> str:
        params, desk = call.params, self._desk
        instrument = desk.instrument(params)
        skew_ns = desk.stamp.skew_ns
        place = place_of(params, call.account, instrument, call.now_ns, skew_ns)
        order = desk.order_of(desk.step(place, call))
        is_ack = params.get("newOrderRespType") != "RESULT"
        return desk.frames.order(instrument, order, is_ack=is_ack)

    def test(self, call: Call) -> str:
        """Checks parameters; the order goes nowhere."""
        desk = self._desk
        instrument = desk.instrument(call.params)
        place_of(call.params, call.account, instrument, call.now_ns, desk.stamp.skew_ns)
        return "{}"

    def modify(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        accepted = self._desk.step(modify_of(call.params, call.account, instrument), call)
        return self._desk.frames.order(instrument, self._desk.order_of(accepted))

    def cancel(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        accepted = self._desk.step(cancel_of(call.params, call.account, instrument), call)
        return self._desk.frames.order(instrument, self._desk.order_of(accepted))

    def status(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        order = self._find(call, instrument)
        if order is None:
            raise VenueError(-2013)
        return self._desk.frames.order(instrument, order, is_query=True)

    def open_order(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        order = self._find(call, instrument)
        if order is None or not order.is_open:
            raise VenueError(-2013)
        return self._desk.frames.order(instrument, order, is_query=True)

    def _find(self, call: Call, instrument: Instrument) -> Order | None:
        ids = order_ids_of(call.params)
        return self._desk.core.find_order(call.account, instrument.key, *ids)

    # -- MANY ---

    def open_orders(self, call: Call) -> str:
        texts = [
            self._desk.frames.order(instrument, order, is_query=True)
            for instrument in self._desk.instruments(call.params)
            for order in self._desk.core.open_orders(call.account, instrument.key)
        ]
        return f"[{','.join(texts)}]"

    def all_orders(self, call: Call) -> str:
        """Of at most seven days, oldest first; from `orderId` on when that is given."""
        instrument = self._desk.instrument(call.params)
        first_id = integer(call.params, "orderId", 0)
        start_ns, end_ns = self._times(call)
        orders = [
            order
            for order in self._desk.core.orders_of(call.account, instrument.key)
            if order.order_id >= first_id and start_ns <= order.create_ns <= end_ns
        ]
        count = limit_of(call.params, 500, ORDERS_MAX)
        orders = orders[:count] if first_id else orders[-count:]
        texts = [self._desk.frames.order(instrument, order, is_query=True) for order in orders]
        return f"[{','.join(texts)}]"

    def _times(self, call: Call) -> tuple[int, int]:
        """startTime and endTime in the core's time; a week at most."""
        skew_ns = self._desk.stamp.skew_ns
        start_ms = integer(call.params, "startTime", 0)
        end_ms = integer(call.params, "endTime", 0)
        if start_ms and end_ms and (end_ms - start_ms) * MS > WEEK_NS:
            raise UsdmError(-1127)
        end_ns = end_ms * MS - skew_ns if end_ms else call.t_ns
        return (start_ms * MS - skew_ns if start_ms else end_ns - WEEK_NS), end_ns

    def cancel_all(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        self._desk.step(CancelAll(call.account, (instrument.key,)), call)
        return CANCELED_ALL

    def countdown(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        window_ms = integer(call.params, "countdownTime")
        if window_ms > COUNTDOWN_MS_MAX:
            raise VenueError(-1130, "countdownTime")
        self._desk.step(Countdown(call.account, instrument.key, window_ms * MS), call)
        return f'{{"symbol":"{instrument.symbol}","countdownTime":"{window_ms}"}}'

    def place_batch(self, call: Call) -> str:
        return self._batch(call, self.place)

    def modify_batch(self, call: Call) -> str:
        return self._batch(call, self.modify)

    def cancel_batch(self, call: Call) -> str:
        """By orderIdList or origClientOrderIdList, which are JSON."""
        symbol = self._desk.instrument(call.params).symbol
        by_id = "orderIdList" in call.params
        name = "orderIdList" if by_id else "origClientOrderIdList"
        ids = _json_list(call.params, name, BATCH_CANCEL_MAX)
        key = "orderId" if by_id else "origClientOrderId"
        items: list[object] = [{"symbol": symbol, key: value} for value in ids]
        return self._each(call, self.cancel, items)

    def _batch(self, call: Call, handler: Callable[[Call], str]) -> str:
        return self._each(call, handler, _json_list(call.params, "batchOrders", BATCH_MAX))

    def _each(self, call: Call, handler: Callable[[Call], str], items: list[object]) -> str:
        """Each by itself: one that fails leaves its error in its place."""
        texts: list[str] = []
        for item in items:
            try:
                if not isinstance(item, dict):
                    raise VenueError(-1130, "batchOrders")
                one = Call(
                    text_params(item), call.key, call.ip, call.t_ns, call.now_ns, None, call.out
                )
                texts.append(handler(one))
            except VenueError as error:
                texts.append(error.json())
        return f"[{','.join(texts)}]"

    # -- CONDITIONAL ORDERS ---

    def place_algo(self, call: Call) -> str:
        desk, params = self._desk, dict(call.params)
        instrument = desk.instrument(params)
        if not params.get("clientAlgoId"):
            self._algo_count += 1
            text = f"{desk.core.keyring.management.api_key}/algo/{self._algo_count}"
            params["clientAlgoId"] = hashlib.sha256(text.encode()).hexdigest()[:22]
        position = desk.core.accounts[call.account].positions.get(instrument.key)
        lots = position.lots if position else 0
        clocks = call.now_ns, desk.stamp.skew_ns
        accepted = desk.step(trigger_of(params, call.account, instrument, *clocks, lots), call)
        assert accepted.trigger is not None
        return desk.frames.algo_order(instrument, accepted.trigger, None, is_query=False)

    def algo_status(self, call: Call) -> str:
        """By id alone: the documents want no symbol."""
        ids = trigger_ids_of(call.params)
        for instrument in self._desk.instruments(call.params):
            trigger = self._desk.core.find_trigger(call.account, instrument.key, *ids)
            if trigger is not None:
                return self._algo(call, instrument, trigger)
        raise VenueError(-2013)

    def _algo(self, call: Call, instrument: Instrument, trigger: Trigger) -> str:
        order = None
        if trigger.order_id:
            order = self._desk.core.find_order(call.account, instrument.key, trigger.order_id, "")
        return self._desk.frames.algo_order(instrument, trigger, order, is_query=True)

    def cancel_algo(self, call: Call) -> str:
        ids = trigger_ids_of(call.params)
        for instrument in self._desk.instruments(call.params):
            if self._desk.core.find_trigger(call.account, instrument.key, *ids) is None:
                continue
            command = cancel_trigger_of(call.params, call.account, instrument.key)
            trigger = self._desk.step(command, call).trigger
            assert trigger is not None
            return (
                f'{{"algoId":{trigger.trigger_id},'
                f'"clientAlgoId":"{trigger.place.client_order_id}","code":"200","msg":"success"}}'
            )
        raise VenueError(-2011)

    def open_algos(self, call: Call) -> str:
        wanted = integer(call.params, "algoId", 0)
        core = self._desk.core
        return self._algos(call, lambda symbol: core.open_triggers(call.account, symbol), wanted)

    def all_algos(self, call: Call) -> str:
        mandatory(call.params, "symbol")
        core = self._desk.core
        return self._algos(call, lambda symbol: core.triggers_of(call.account, symbol), 0)

    def _algos(self, call: Call, of: Callable[[str], list[Trigger]], wanted: int) -> str:
        texts = [
            self._algo(call, instrument, trigger)
            for instrument in self._desk.instruments(call.params)
            for trigger in of(instrument.key)[-ORDERS_MAX:]
            if wanted in (0, trigger.trigger_id)
        ]
        return f"[{','.join(texts)}]"

    def cancel_all_algos(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        self._desk.step(CancelAllTriggers(call.account, (instrument.key,)), call)
        return CANCELED_ALL


def _json_list(params: Params, name: str, count_max: int) -> list[Any]:
    try:
        items = _LIST.decode(mandatory(params, name))
    except (ValueError, RecursionError):
        raise VenueError(-1130, name) from None
    if not isinstance(items, list):
        raise VenueError(-1130, name)
    if not 1 <= len(items) <= count_max:
        raise UsdmError(-4082)
    return items
