"""The diff in plain Python: sorted pairs, sets of levels, and the list of all that was sent."""

from typing import Any

from fastcore.orders import Orders
from fastcore.types import OrderFlag, Side, Verb
from tests.reference.orders import LIVE, WORKING, S

SECOND = 1_000_000_000
BACKOFF_NS = 10_000_000, SECOND
NOT_SENT = -100, -101  # reasons: late, send failed
Row = dict[str, Any]
Levels = list[tuple[int, int]]


class Plan:
    def __init__(self, wanted: Levels) -> None:
        self.wanted = wanted
        self.missing = set(range(len(wanted)))
        self.kept: list[tuple[Row, int]] = []
        self.loose: list[tuple[Row, int | None]] = []
        self.doubt = 0


class Diff:
    def __init__(self, quoting: dict[str, Any], orders: Orders) -> None:
        self.orders = orders
        self.ticks, self.requote_ns = quoting["requote_ticks"], quoting["requote_ms"] * 1_000_000
        self.modify = quoting["modify"]
        self.free = quoting["messages_per_s_max"] - quoting["messages_per_s_max"] // 4
        self.requoted: list[float] = [float("-inf")] * 2
        self.backoff, self.until = [0, 0], [0, 0]
        self.refusals, self.seen = [0, 0], (0, 0, 0)
        self.sent_ns: list[int] = []
        self.actions: list[Row] = []

    def let_modify(self, can_modify: bool) -> None:
        self.modify = self.modify and can_modify

    def sent(self, now_ns: int) -> None:
        self.sent_ns.append(now_ns)

    def forget(self, side: int) -> None:
        self.requoted[side] = float("-inf")

    def _room(self, now_ns: int) -> bool:
        used = sum(at > now_ns - SECOND for at in self.sent_ns) + len(self.actions)
        return used < self.free

    def wanted(
        self, bids: Levels, asks: Levels, is_halted: bool, bid_px: int, ask_px: int, now_ns: int
    ) -> list[Row]:
        self.actions = []
        self._back_off((bid_px, ask_px))
        position = self.orders.money()["position_lots"]
        plans = [
            self._plan(side, [] if is_halted else levels, now_ns)
            for side, levels in ((Side.BUY, bids), (Side.SELL, asks))
        ]
        cancel_first = (1, 0) if position < 0 else (0, 1)
        place_first = (1, 0) if position > 0 else (0, 1)
        for side in cancel_first:
            self._cancels(side, plans[side], now_ns)
        for side in cancel_first:
            self._shrinks(side, plans[side], now_ns)
        for side in self._retreat_first(plans) or place_first:
            self._moves(side, plans[side], now_ns)
        for side in place_first:
            self._places(side, plans[side], now_ns)
        return self.actions

    def _back_off(self, touch: tuple[int, int]) -> None:
        counts = self.orders.counts()
        now = (*touch, counts["fills"])
        for side in range(2):
            if now != self.seen:
                self.backoff[side] = 0
            if counts["post_only_refusals"][side] != self.refusals[side]:
                self.refusals[side] = counts["post_only_refusals"][side]
                least = max(BACKOFF_NS[0], self.requote_ns)
                self.backoff[side] = min(BACKOFF_NS[1], max(2 * self.backoff[side], least))
                self.until[side] = counts["refused_ns"][side] + self.backoff[side]
        self.seen = now

    def _plan(self, side: int, wanted: Levels, now_ns: int) -> Plan:
        plan = Plan(wanted)
        rest: list[Row] = []
        doubtful: list[Row] = []
        leaving: list[Row] = []
        for intent in self.orders.active_intents():
            order = self.orders.order(intent)
            assert order is not None
            if order["side"] != side or order["flags"] & OrderFlag.IOC:
                continue
            if order["state"] == S.UNKNOWN:
                plan.doubt += 1
                doubtful.append(order)
            elif order["state"] == S.PENDING_CANCEL:
                leaving.append(order)
            elif order["state"] in WORKING:
                rest.append(order)
        level_of: dict[int, int] = {}  # place in rest: level
        for ticks in (0, self.ticks):
            self._match(plan, rest, level_of, ticks)
        self._match(plan, leaving, {}, self.ticks)
        plan.loose = pulled = [
            (order, None) for order in doubtful
            if self._may_cancel(order, now_ns) and not self._serves(order, plan)
        ]  # fmt: skip
        plan.loose = list(pulled)
        for i, order in enumerate(rest):
            live = order["state"] in LIVE
            pulled = order["state"] == S.PENDING_REPLACE and not wanted
            if i in level_of:
                plan.kept.append((order, level_of[i]))
            elif not live and not pulled:
                plan.doubt += 1
            elif self._may_cancel(order, now_ns):
                plan.loose.append((order, None))
        if plan.missing and now_ns - self.requoted[side] < self.requote_ns:
            plan.missing, plan.loose = set(), list(pulled)
        elif self.backoff[side] and now_ns < self.until[side]:
            plan.missing = set()
        self._assign(plan)
        return plan

    def _may_cancel(self, order: Row, now_ns: int) -> bool:
        return not order["cancel_ns"] or now_ns - order["cancel_ns"] >= self.orders.ack_ns()

    def _serves(self, order: Row, plan: Plan) -> bool:
        prices = [order["px_ticks"]] + [order["new_px_ticks"]] * (order["new_qty_lots"] > 0)
        missing = [plan.wanted[at][0] for at in plan.missing]
        return all(any(abs(px - level) <= self.ticks for level in missing) for px in prices)

    def _retreat_first(self, plans: list[Plan]) -> tuple[int, int] | None:
        up = sum(
            plan.wanted[at][0] - order["px_ticks"]
            for plan in plans for order, at in plan.loose if at is not None
        )  # fmt: skip
        return ((1, 0) if up > 0 else (0, 1)) if up else None

    def _meets_own(self, side: int, px: int) -> bool:
        sign = 1 if side == Side.BUY else -1
        active = [self.orders.order(intent) for intent in self.orders.active_intents()]
        return any(
            order["side"] != side and order["state"] in WORKING
            and sign * (px - order["reach_px"]) >= 0
            for order in active if order
        )  # fmt: skip

    def _match(
        self, plan: Plan, rest: list[Row], level_of: dict[int, int], ticks: int
    ) -> None:  # fmt: skip
        pairs = []
        for i, order in enumerate(rest):
            is_amended = order["new_qty_lots"] > 0
            if order["state"] in LIVE and is_amended:
                continue
            px = order["new_px_ticks"] if is_amended else order["px_ticks"]
            pairs += [(abs(level[0] - px), i, at) for at, level in enumerate(plan.wanted)]
        for distance, i, at in sorted(pairs):
            if distance <= ticks and i not in level_of and at in plan.missing:
                level_of[i] = at
                plan.missing.discard(at)

    def _assign(self, plan: Plan) -> None:
        room = len(plan.missing) - plan.doubt if self.modify else 0
        pairs = sorted(
            (abs(plan.wanted[at][0] - order["px_ticks"]), i, at)
            for i, (order, _) in enumerate(plan.loose)
            for at in plan.missing
            if order["state"] in LIVE and not order["new_qty_lots"]
            and order["reason"] not in NOT_SENT and order["modify_count"] < 9_999
        )  # fmt: skip
        for _, i, at in pairs:
            if room > 0 and at in plan.missing and plan.loose[i][1] is None:
                plan.loose[i] = plan.loose[i][0], at
                plan.missing.discard(at)
                room -= 1
        if plan.doubt:
            plan.missing = set()

    def _want(self, verb: int, order: Row, px: int, qty: int) -> None:
        self.actions.append({
            "verb": verb, "side": order["side"], "px_ticks": px, "qty_lots": qty,
            "intent_id": order["intent_id"], "flags": order["flags"], "reason": 0,
        })  # fmt: skip

    def _pull(self, order: Row) -> None:
        self._want(Verb.CANCEL, order, order["px_ticks"], order["qty_lots"])

    def _cancels(self, side: int, plan: Plan, now_ns: int) -> None:
        for order, level in plan.loose:
            if level is None:
                self._pull(order)
                if plan.missing:
                    self.requoted[side] = now_ns

    def _shrinks(self, side: int, plan: Plan, now_ns: int) -> None:
        for order, level in plan.kept:
            total = order["cum_qty_lots"] + plan.wanted[level][1]
            is_settled = order["state"] in LIVE and not order["new_qty_lots"]
            if not is_settled or total >= order["qty_lots"]:
                continue
            may_amend = order["modify_count"] < 9_999 and order["reason"] not in NOT_SENT
            if self.modify and may_amend and self._room(now_ns):
                self._want(Verb.MODIFY, order, order["px_ticks"], total)
            elif now_ns - self.requoted[side] >= self.requote_ns and self._may_cancel(
                order, now_ns
            ):
                self._pull(order)

    def _moves(self, side: int, plan: Plan, now_ns: int) -> None:
        for order, level in plan.loose:
            if level is None:
                continue
            px, qty = plan.wanted[level]
            is_nearer = px > order["px_ticks"] if side == Side.BUY else px < order["px_ticks"]
            if is_nearer and self._meets_own(side, px):
                continue
            self.requoted[side] = now_ns
            if self._room(now_ns):
                self._want(Verb.MODIFY, order, px, order["cum_qty_lots"] + qty)
            else:
                self._pull(order)

    def _places(self, side: int, plan: Plan, now_ns: int) -> None:
        new = {"side": side, "intent_id": -1, "flags": int(OrderFlag.POST_ONLY)}
        for level in sorted(plan.missing):
            if self._room(now_ns):
                self.requoted[side] = now_ns
                self._want(Verb.PLACE, new, *plan.wanted[level])

    def take(
        self, side: int, px: int, qty: int, flags: int, reason: int, now_ns: int
    ) -> bool:  # fmt: skip
        active = [self.orders.order(intent) for intent in self.orders.active_intents()]
        takes = [order["take_reason"] for order in active if order and order["flags"] & 4]
        takes += [action["reason"] for action in self.actions if action["flags"] & 4]
        reduces = flags & OrderFlag.REDUCE_ONLY
        if reason in takes or not (reduces or self._room(now_ns)):
            return False
        order = {"side": side, "intent_id": -1, "flags": int(OrderFlag.IOC | reduces)}
        self._want(Verb.PLACE, order, px, qty)
        self.actions[-1]["reason"] = reason
        return True
