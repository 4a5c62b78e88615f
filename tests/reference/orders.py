"""Orders, position and diff in plain Python: one dictionary an order, rules instead of a table."""

from fractions import Fraction
from typing import Any

from fastcore.types import ExecType, OrderState, SendOutcome, Side, Verb

S = OrderState
LIVE = (S.NEW, S.PARTIALLY_FILLED)
WORKING = (*LIVE, S.PENDING_NEW, S.PENDING_CANCEL, S.PENDING_REPLACE, S.UNKNOWN)
DEAD = (S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED)
NEVER = None
PENDING = (S.PENDING_NEW, S.PENDING_REPLACE, S.PENDING_CANCEL)
# Statuses, error codes; an id that is taken is that very order.
MAY_BE_DONE = {408, *range(500, 1000)}, {-1006, -1007, -4116, 110072, 170141}
NO_SUCH_ORDER = {-2013, 110001, 170213}


def next_state(state: int, said: int) -> int | None:
    """The rules behind the table, each said once."""
    if said == S.PENDING_NEW:
        return S.PENDING_NEW if state == S.FREE else NEVER
    if state == S.FREE:
        return NEVER
    if said in (S.PENDING_CANCEL, S.PENDING_REPLACE):  # our own messages
        may = (*LIVE, S.PENDING_REPLACE) if said == S.PENDING_CANCEL else LIVE
        if (state, said) == (S.UNKNOWN, S.PENDING_CANCEL):
            return state
        return said if state in may else NEVER
    if state in DEAD:  # never left; another death contradicts
        return NEVER if said in DEAD and said != state else state
    if said == S.FREE:  # works
        return state if state in LIVE else S.NEW
    if said in LIVE:  # news of before our last message does not undo it
        if state in (S.PENDING_CANCEL, S.PENDING_REPLACE) or (state, said) == (LIVE[1], S.NEW):
            return state
        return said
    if said == S.REJECTED and state == S.PARTIALLY_FILLED:
        return NEVER
    return said


class Position:
    def __init__(self) -> None:
        self.fills: list[tuple[int, int]] = []  # signed lots, price
        self.cost = Fraction(0)  # exact average cost
        self.position = self.cash = 0

    def book(self, side: int, px: int, qty: int) -> None:
        lots = qty if side == Side.BUY else -qty
        after = self.position + lots
        if self.position * lots >= 0:
            self.cost += lots * px
        elif after * self.position > 0:
            self.cost = self.cost * after / self.position
        else:
            self.cost = Fraction(after * px)
        self.cash -= lots * px
        self.position = after


class Orders:
    def __init__(self, ack_timeout_ns: int, recv_window_ns: int) -> None:
        self.ack_ns, self.window_ns = ack_timeout_ns, recv_window_ns
        self.orders: dict[int, dict[str, Any]] = {}
        self.money = Position()
        self.trades: set[tuple[int, int]] = set()
        self.illegal = 0

    def place(self, side: int, px: int, qty: int, now_ns: int) -> int:
        intent = len(self.orders) + 1
        self.orders[intent] = {
            "side": side, "state": S.PENDING_NEW, "px_ticks": px, "qty_lots": qty,
            "new_px_ticks": 0, "new_qty_lots": 0, "cum_qty_lots": 0, "venue_cum_qty_lots": 0,
            "ahead_lots": -1, "seen": -1, "placed_ns": now_ns, "amend_ns": 0, "refused": False,
            "accepted": False, "due": 0,
        }  # fmt: skip
        return intent

    def order(self, intent: int) -> dict[str, Any]:
        order = dict(self.orders[intent])
        new, px = order["new_qty_lots"], order["px_ticks"]
        if order["state"] in WORKING:
            worst = max(order["qty_lots"], new)
        else:
            worst = order["venue_cum_qty_lots"]
        order["open_lots"] = max(0, worst - order["cum_qty_lots"])
        both = [px, order["new_px_ticks"]] if new else [px]
        order["reach_px"] = max(both) if order["side"] == Side.BUY else min(both)
        return order

    def _say(self, order: dict[str, Any], said: int) -> None:
        state = next_state(order["state"], said)
        if state is NEVER:
            self.illegal += 1
            return
        if state == S.NEW != order["state"] and order["cum_qty_lots"]:
            state = S.PARTIALLY_FILLED
        order["state"] = state

    def amend_order(self, intent: int, px: int, qty: int, now_ns: int) -> None:
        order = self.orders[intent]
        self._say(order, S.PENDING_REPLACE)
        order.update(new_px_ticks=px, new_qty_lots=qty, amend_ns=now_ns, refused=False)
        order["accepted"] = False
        order["due"] += 1

    def cancel_order(self, intent: int, now_ns: int) -> None:
        self._say(self.orders[intent], S.PENDING_CANCEL)

    def _owe(self, order: dict[str, Any], cum: int) -> None:
        worst = max(order["qty_lots"], order["new_qty_lots"])
        if cum > order["venue_cum_qty_lots"]:
            order["venue_cum_qty_lots"] = min(cum, worst)

    def _terms(self, order: dict[str, Any], px: int, qty: int) -> None:
        if px != order["px_ticks"] or qty > order["qty_lots"]:
            order["ahead_lots"] = order["seen"] = -1
        order.update(px_ticks=px, qty_lots=qty, new_px_ticks=0, new_qty_lots=0)

    def order_event(self, event: dict[str, int], now_ns: int) -> None:
        order = self.orders[event["intent_id"]]
        if event["exec_type"] == ExecType.TRADE and event["last_qty_lots"]:
            key = event["trade_id"], event["side"]
            if key in self.trades:
                return
            self.trades.add(key)
            self.money.book(event["side"], event["last_px_ticks"], event["last_qty_lots"])
            order["cum_qty_lots"] += event["last_qty_lots"]
        self._owe(order, event["cum_qty_lots"])
        terms = event["px_ticks"], event["qty_lots"]
        was_unknown = order["state"] == S.UNKNOWN
        is_amendment = event["exec_type"] == ExecType.AMENDMENT
        is_push = event["exec_type"] == ExecType.STATUS and event["status"] in LIVE
        if (is_amendment or is_push) and order["state"] in WORKING:
            if order["new_qty_lots"]:
                if terms == (order["new_px_ticks"], order["new_qty_lots"]):
                    self._terms(order, *terms)
                    if order["accepted"] and order["state"] == S.PENDING_REPLACE:
                        self._say(order, S.FREE)
                elif is_amendment:
                    return None
            elif terms != (order["px_ticks"], order["qty_lots"]):
                return self._say(order, S.UNKNOWN)
        if order["new_qty_lots"] and was_unknown and event["status"] in LIVE:
            return None
        return self._say(order, event["status"])

    def reply(self, reply: dict[str, int], now_ns: int) -> None:
        order = self.orders[reply["intent_id"]]
        good, verb, code = reply["status"] == 200, reply["verb"], reply["error_code"]
        doubtful = reply["status"] in MAY_BE_DONE[0] or code in MAY_BE_DONE[1]
        self._owe(order, reply["cum_qty_lots"])
        state, told = order["state"], reply["order_status"]
        if good and told in PENDING:
            order["accepted"] = order["accepted"] or (verb == Verb.MODIFY and state != S.FREE)
            if verb == Verb.MODIFY and state == S.PENDING_REPLACE and not order["new_qty_lots"]:
                self._say(order, S.FREE)
        elif verb == Verb.PLACE:
            if doubtful:
                self._say(order, S.UNKNOWN)
            elif state in (S.PENDING_NEW, S.UNKNOWN):
                self._say(order, S.FREE if good else S.REJECTED)
        elif verb == Verb.CANCEL:
            if good:
                self._say(order, S.CANCELED)
            elif state in WORKING:
                self._say(order, S.UNKNOWN)
        elif verb == Verb.MODIFY and state in WORKING:
            self._modify_reply(order, reply, good, doubtful)
        elif verb == Verb.STATUS and good and told != S.FREE:
            if told == S.FILLED and reply["cum_qty_lots"] < 0:
                self._owe(order, max(order["qty_lots"], order["new_qty_lots"]))
            if told in LIVE and state == S.UNKNOWN and reply["px_ticks"]:
                self._status_terms(order, reply, now_ns)
            self._say(order, told)
        elif verb == Verb.STATUS and code in NO_SUCH_ORDER and state == S.UNKNOWN:
            self._absent(order, now_ns)

    def _absent(self, order: dict[str, Any], now_ns: int) -> None:
        if now_ns - order["placed_ns"] > self.window_ns + self.ack_ns:
            self._say(order, S.REJECTED)

    def _modify_reply(
        self, order: dict[str, Any], reply: dict[str, int], good: bool, doubtful: bool
    ) -> None:
        is_due_before = order["due"] > 1
        order["due"] = max(0, order["due"] - 1)
        if not good:
            order["refused"] = not doubtful and not is_due_before
            code = reply["error_code"]
            if code > 0 and not doubtful and code not in NO_SUCH_ORDER:  # Bybit: nothing was done
                if order["new_qty_lots"] and order["state"] == S.PENDING_REPLACE:
                    self._say(order, S.FREE)
            elif order["state"] != S.PENDING_CANCEL:
                self._say(order, S.UNKNOWN)
            return
        if order["new_qty_lots"]:
            told = [reply[key] for key in ("px_ticks", "qty_lots")]
            new = [order[f"new_{key}"] for key in ("px_ticks", "qty_lots")]
            if any(one and one != other for one, other in zip(told, new, strict=True)):
                return
            if is_due_before and not all(told):
                self._say(order, S.UNKNOWN)
                return
            order["due"] = 0
            self._terms(order, order["new_px_ticks"], order["new_qty_lots"])
        if reply["order_status"] != S.FREE and reply["order_status"] not in LIVE:
            self._say(order, reply["order_status"])
        elif order["state"] in (S.PENDING_REPLACE, S.UNKNOWN):
            self._say(order, S.FREE)

    def _status_terms(self, order: dict[str, Any], reply: dict[str, int], now_ns: int) -> None:
        is_old = (reply["px_ticks"], reply["qty_lots"]) == (order["px_ticks"], order["qty_lots"])
        may_come = now_ns - order["amend_ns"] <= self.window_ns + self.ack_ns
        if not (order["new_qty_lots"] and is_old and may_come and not order["refused"]):
            self._terms(order, reply["px_ticks"], reply["qty_lots"])

    def unsent(self, intent: int, verb: int, outcome: int) -> None:
        order = self.orders[intent]
        if outcome == SendOutcome.PARTIAL:
            self._say(order, S.UNKNOWN)
        elif verb == Verb.PLACE:
            self._say(order, S.REJECTED)
        else:
            if verb == Verb.MODIFY:
                order.update(new_px_ticks=0, new_qty_lots=0, due=max(0, order["due"] - 1))
            if verb != Verb.CANCEL or order["state"] == S.PENDING_CANCEL:
                self._say(order, S.FREE)

    def trade(self, aggressor: int, px: int, qty: int) -> None:
        for order in self.orders.values():
            sign = 1 if order["side"] == Side.BUY else -1
            if order["side"] == aggressor or order["ahead_lots"] < 0:
                continue
            owes = order["venue_cum_qty_lots"] > order["cum_qty_lots"]
            if order["state"] not in WORKING and not owes:
                continue
            if sign * (order["px_ticks"] - px) > 0:
                order["ahead_lots"] = 0
            elif order["px_ticks"] == px:
                order["ahead_lots"] = max(0, order["ahead_lots"] - qty)

    def look(self, intent: int, visible: int) -> None:
        order = self.orders[intent]
        if order["seen"] < 0:
            order["ahead_lots"] = visible
        elif visible != order["seen"]:
            others = max(0, visible - order["qty_lots"] + order["cum_qty_lots"])
            order["ahead_lots"] = min(order["ahead_lots"], others)
        order["seen"] = visible
