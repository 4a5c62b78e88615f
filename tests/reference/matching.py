"""The simulated venue in plain Python: same face as fastcore.matching.SimVenue, no cleverness.

Lists instead of rings and slots, Decimal instead of 128-bit integers, one pass per question.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from fastcore.types import Conn, EventKind, ExecType, OrderState, Side, Verb

OPEN = (OrderState.NEW, OrderState.PARTIALLY_FILLED)
SLOTS = 256


@dataclass
class Order:
    intent_id: int
    venue_order_id: int
    side: int
    px_ticks: int
    qty_lots: int
    ahead_lots: int
    status: int = OrderState.NEW
    cum_qty_lots: int = 0

    @property
    def leaves_lots(self) -> int:
        return self.qty_lots - self.cum_qty_lots


class SimVenue:
    def __init__(
        self,
        book: Any,
        tick: str,
        lot: str,
        *,
        entry_latency_ns: int,
        response_latency_ns: int,
        maker_fee_ppm: int = 200,
        taker_fee_ppm: int = 500,
    ) -> None:
        self.book = book
        self.unit = Decimal(tick) * Decimal(lot)
        self.entry_latency_ns = entry_latency_ns
        self.response_latency_ns = response_latency_ns
        self.fee_ppm = {True: maker_fee_ppm, False: taker_fee_ppm}
        self.requests: list[tuple[int, dict[str, Any]]] = []
        self.answers: list[tuple[int, int, int, dict[str, Any]]] = []
        self.orders: list[Order] = []  # every one ever accepted, by time of arrival
        self.position_lots = 0
        self.fills = 0

    def send(
        self,
        verb: int,
        intent_id: int,
        now_ns: int,
        side: int = 0,
        px_ticks: int = 0,
        qty_lots: int = 0,
        post_only: bool = True,
        reduce_only: bool = False,
    ) -> None:
        request = {
            "verb": verb,
            "intent_id": intent_id,
            "side": side,
            "px_ticks": px_ticks,
            "qty_lots": qty_lots,
            "post_only": post_only,
            "reduce_only": reduce_only,
        }
        self.requests.append((now_ns + self.entry_latency_ns, request))

    def run_to(self, now_ns: int) -> list[tuple[int, int, dict[str, Any]]]:
        while self.requests and self.requests[0][0] <= now_ns:
            at_ns, request = self.requests.pop(0)
            self._arrive(request, at_ns)
        due = [answer[1:] for answer in self.answers if answer[0] <= now_ns]
        self.answers = [answer for answer in self.answers if answer[0] > now_ns]
        return due

    def trade(
        self, px_ticks: int, qty_lots: int, aggressor: int, now_ns: int, is_market: bool = True
    ) -> None:
        if not is_market:
            return
        left_lots = qty_lots
        for order in self._open_orders():
            if order.side == aggressor:
                continue
            sign = 1 if order.side == Side.BUY else -1
            if sign * px_ticks < sign * order.px_ticks:
                self._fill(order, order.px_ticks, order.leaves_lots, True, now_ns)
            elif px_ticks == order.px_ticks:
                reaches_us = left_lots - order.ahead_lots
                order.ahead_lots = max(0, order.ahead_lots - left_lots)
                if reaches_us > 0:
                    filled = min(reaches_us, order.leaves_lots)
                    left_lots -= filled
                    self._fill(order, order.px_ticks, filled, True, now_ns)

    def book_moved(self, now_ns: int) -> None:
        if not self.book.is_two_sided:
            return
        for order in self._open_orders():
            if self._would_take(order.side, order.px_ticks):
                self._fill(order, order.px_ticks, order.leaves_lots, True, now_ns)
            else:
                visible = self.book.qty_at(order.side, order.px_ticks)
                order.ahead_lots = min(order.ahead_lots, visible)

    def ahead_lots(self, intent_id: int) -> int | None:
        order = self._find(intent_id)
        return order.ahead_lots if order is not None and order.status in OPEN else None

    def check(self) -> None:
        for order in self.orders:
            assert 0 <= order.cum_qty_lots <= order.qty_lots

    def _open_orders(self) -> list[Order]:
        return [order for order in self.orders if order.status in OPEN]

    def _find(self, intent_id: int) -> Order | None:
        same_slot = [o for o in self.orders if o.intent_id % SLOTS == intent_id % SLOTS]
        return same_slot[-1] if same_slot and same_slot[-1].intent_id == intent_id else None

    def _would_take(self, side: int, px_ticks: int) -> bool:
        book = self.book
        if side == Side.BUY:
            return bool(book.ask_px_ticks and px_ticks >= book.ask_px_ticks)
        return bool(book.bid_px_ticks and px_ticks <= book.bid_px_ticks)

    def _arrive(self, request: dict[str, Any], at_ns: int) -> None:
        known = self._find(request["intent_id"])
        if request["verb"] == Verb.STATUS:
            self._reply(request, at_ns, 200 if known else 400, 0 if known else -2013, known)
        elif request["verb"] == Verb.CANCEL:
            if known is None or known.status not in OPEN:
                self._reply(request, at_ns, 400, -2011, None)
                return
            known.status = OrderState.CANCELED
            self._reply(request, at_ns, 200, 0, known)
            self._tell(known, ExecType.CANCELED, at_ns)
        elif request["verb"] == Verb.MODIFY:
            self._arrive_modify(request, known, at_ns)
        else:
            self._arrive_place(request, at_ns)

    def _arrive_modify(self, request: dict[str, Any], order: Order | None, at_ns: int) -> None:
        px_ticks, qty_lots = request["px_ticks"], request["qty_lots"]
        if order is None or order.status not in OPEN:
            self._reply(request, at_ns, 400, -2013, None)
        elif (px_ticks, qty_lots) == (order.px_ticks, order.qty_lots):
            self._reply(request, at_ns, 400, -5027, None)
        elif qty_lots <= order.cum_qty_lots or self._would_take(order.side, px_ticks):
            order.status = OrderState.CANCELED
            self._reply(request, at_ns, 200, 0, order)
            self._tell(order, ExecType.CANCELED, at_ns)
        else:
            if px_ticks != order.px_ticks or qty_lots > order.qty_lots:
                order.ahead_lots = self.book.qty_at(order.side, px_ticks)
                self.orders.remove(order)
                self.orders.append(order)
            order.px_ticks, order.qty_lots = px_ticks, qty_lots
            self._reply(request, at_ns, 200, 0, order)
            self._tell(order, ExecType.AMENDMENT, at_ns)

    def _arrive_place(self, request: dict[str, Any], at_ns: int) -> None:
        error = self._refusal(request)
        if error:
            self._reply(request, at_ns, 400, error, None)
            return
        side, px_ticks = request["side"], request["px_ticks"]
        order = Order(
            request["intent_id"],
            1 + len(self.orders),
            side,
            px_ticks,
            request["qty_lots"],
            self.book.qty_at(side, px_ticks),
        )
        self.orders.append(order)
        self._reply(request, at_ns, 200, 0, order)
        self._tell(order, ExecType.NEW, at_ns)
        if request["post_only"]:
            return
        if self._would_take(side, px_ticks):
            buys = side == Side.BUY
            touch_px = self.book.ask_px_ticks if buys else self.book.bid_px_ticks
            touch_qty = self.book.ask_qty_lots if buys else self.book.bid_qty_lots
            self._fill(order, touch_px, min(order.qty_lots, touch_qty), False, at_ns)
        if order.leaves_lots:
            order.status = OrderState.EXPIRED
            self._tell(order, ExecType.EXPIRED, at_ns)

    def _refusal(self, request: dict[str, Any]) -> int:
        slot = request["intent_id"] % SLOTS
        if self._find(request["intent_id"]):
            return -4116
        if any(order.intent_id % SLOTS == slot for order in self._open_orders()):
            return -2025
        reducible = self.position_lots * (-1 if request["side"] == Side.BUY else 1)
        if request["reduce_only"] and request["qty_lots"] > reducible:
            return -2022
        if request["post_only"] and self._would_take(request["side"], request["px_ticks"]):
            return -5022
        return 0

    def _fill(self, order: Order, px: int, qty: int, is_maker: bool, at_ns: int) -> None:
        order.cum_qty_lots += qty
        done = order.cum_qty_lots == order.qty_lots
        order.status = OrderState.FILLED if done else OrderState.PARTIALLY_FILLED
        self.fills += 1
        self.position_lots += qty if order.side == Side.BUY else -qty
        fee = px * qty * self.unit * self.fee_ppm[is_maker] * 100
        self._tell(
            order,
            ExecType.TRADE,
            at_ns,
            trade_id=self.fills,
            is_maker=int(is_maker),
            last_px_ticks=px,
            last_qty_lots=qty,
            fee_e8=int(fee.quantize(Decimal(1), ROUND_HALF_UP)),
        )

    def _tell(self, order: Order, exec_type: int, at_ns: int, **trade: int) -> None:
        event = {
            "intent_id": order.intent_id,
            "venue_order_id": order.venue_order_id,
            "trade_id": -1,
            "exch_ts_ns": at_ns,
            "exec_type": exec_type,
            "status": order.status,
            "side": order.side,
            "is_maker": 0,
            "px_ticks": order.px_ticks,
            "qty_lots": order.qty_lots,
            "cum_qty_lots": order.cum_qty_lots,
            "last_px_ticks": 0,
            "last_qty_lots": 0,
            "fee_e8": 0,
            "fee_asset": 0,
        }
        due_ns = at_ns + self.response_latency_ns
        self.answers.append((due_ns, Conn.USER, EventKind.ORDER, event | trade))

    def _reply(
        self, request: dict[str, Any], at_ns: int, status: int, error: int, order: Order | None
    ) -> None:
        reply = {
            "intent_id": request["intent_id"],
            "verb": request["verb"],
            "status": status,
            "error_code": error,
            "order_status": order.status if order else OrderState.FREE,
            "venue_order_id": order.venue_order_id if order else -1,
            "cum_qty_lots": order.cum_qty_lots if order else -1,
            "cancel_status": 0,
            "new_status": 0,
            "px_ticks": order.px_ticks if order else 0,
            "qty_lots": order.qty_lots if order else 0,
        }
        due_ns = at_ns + self.response_latency_ns
        self.answers.append((due_ns, Conn.TRADE, EventKind.REPLY, reply))
