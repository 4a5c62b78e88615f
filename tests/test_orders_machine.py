"""Orders, diff and gate together, at any pace of the venue's answers: the diff beside its twin,
and what must hold at each message that leaves."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastcore.book import Book
from fastcore.diff import Diff
from fastcore.gate import Gate
from fastcore.orders import Orders
from fastcore.types import ExecType, OrderFlag, OrderState, SendOutcome, Side, Verb
from tests.reference import diff as reference
from tests.reference.orders import LIVE, WORKING
from tests.support_gate import loose_limits
from tests.test_orders import answer, event

S = OrderState
MS = 1_000_000
ACK_NS, WINDOW_NS = 100 * MS, 300 * MS
POSITION_MAX, MESSAGES_MAX = 25, 12
FREE = MESSAGES_MAX - MESSAGES_MAX // 4
QUOTING = {"requote_ms": 0, "modify": True, "messages_per_s_max": MESSAGES_MAX}
LEVELS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 10)), max_size=3,
                  unique_by=lambda level: level[0])  # fmt: skip
Row = dict[str, Any]


class Quoting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.orders = Orders(ACK_NS, WINDOW_NS)
        self.book = Book()
        self.bid, self.update_id = 1000, 0
        self.gate = Gate(loose_limits(position_lots_max=POSITION_MAX), self.book, self.orders)
        self.ticks = 1
        quoting = QUOTING | {"requote_ticks": self.ticks}
        self.diff, self.twin = Diff(quoting, self.orders), reference.Diff(quoting, self.orders)
        self.diff.let_modify(True)
        self.now_ns = 10_000 * MS
        self.sent_ns: list[int] = []
        self.trade_id = 0
        self.pass_time(0, 0)

    # -- WHAT WE HAVE ---

    def open(self) -> list[Row]:
        found = [self.orders.order(intent) for intent in self.orders.active_intents()]
        return [order for order in found if order]

    def working(self, side: int) -> list[Row]:
        return [o for o in self.open() if o["side"] == side and o["state"] in WORKING]

    def pick(self, number: int, *states: int) -> Row | None:
        found = sorted(
            (o for o in self.open() if o["state"] in states), key=lambda o: o["intent_id"]
        )
        return found[number % len(found)] if found else None

    # -- WHAT WE SEND ---

    @rule(bids=LEVELS, asks=LEVELS, halted=st.sampled_from([False] * 6 + [True]),
          late=st.sampled_from([False, False, False, True]))  # fmt: skip
    def look(
        self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], halted: bool, late: bool
    ) -> None:
        wanted = ([(self.bid - off, qty) for off, qty in bids],
                  [(self.bid + 1 + off, qty) for off, qty in asks])  # fmt: skip
        touch = self.bid, self.bid + 1
        actions = self.diff.wanted(*wanted, halted, *touch, self.now_ns)
        assert actions == self.twin.wanted(*wanted, halted, *touch, self.now_ns)
        self.check_nothing_old_stays(actions, ([], []) if halted else wanted)
        self.check_no_level_is_served_twice(actions)
        for action in actions:
            self.act(action, late)

    def act(self, action: Row, late: bool) -> None:
        """As core_send does it."""
        verb, intent = action["verb"], action["intent_id"]
        if verb != Verb.CANCEL and not self.passes(action):
            for diff in (self.diff, self.twin):
                diff.forget(action["side"])
            if verb == Verb.PLACE:
                return
            verb = Verb.CANCEL
        if verb != Verb.CANCEL:  # a cancel leaves whatever was sent before
            assert sum(at > self.now_ns - 1_000 * MS for at in self.sent_ns) < FREE
        if verb == Verb.PLACE:
            intent = self.orders.place(
                action["side"], action["px_ticks"], action["qty_lots"], self.now_ns
            )
        elif verb == Verb.MODIFY:
            terms = action["px_ticks"], action["qty_lots"]
            self.orders.amend_order(intent, *terms, self.now_ns)
        else:
            self.orders.cancel_order(intent, self.now_ns)
        self.gate.count_values(verb, self.now_ns)
        self.sent_ns.append(self.now_ns)
        for diff in (self.diff, self.twin):
            diff.sent(self.now_ns)
        self.check_worst(action["side"])
        if late and verb != Verb.CANCEL:  # a cancel has no deadline
            self.orders.unsent(intent, verb, SendOutcome.LATE)
            if verb == Verb.MODIFY:
                for diff in (self.diff, self.twin):
                    diff.forget(action["side"])

    def passes(self, action: Row) -> bool:
        amended = self.orders.order(action["intent_id"])
        filled = amended["cum_qty_lots"] if amended else 0
        return not self.gate.check_values(
            action["side"], action["px_ticks"], action["qty_lots"], OrderFlag.POST_ONLY, 0, True,
            self.now_ns, self.now_ns, self.now_ns, action["intent_id"], filled,
        )  # fmt: skip

    # -- WHAT MUST HOLD ---

    def check_worst(self, side: int) -> None:
        sign = 1 if side == Side.BUY else -1
        held = sign * self.orders.money()["position_lots"]
        at_worst = held + sum(o["open_lots"] for o in self.open() if o["side"] == side)
        assert at_worst <= POSITION_MAX

    def check_nothing_old_stays(
        self, actions: list[Row], wanted: tuple[list[tuple[int, int]], list[tuple[int, int]]]
    ) -> None:
        """No live order stays off the wanted prices longer than an answer takes; a refused
        cancel is repeated after that time, and nothing holds a cancel back."""
        acted = {action["intent_id"] for action in actions}
        for order in self.open():
            levels = wanted[order["side"]]
            is_near = any(abs(px - order["px_ticks"]) <= self.ticks for px, _ in levels)
            is_served = is_near and not order["new_qty_lots"]
            waits = order["cancel_ns"] and self.now_ns - order["cancel_ns"] < ACK_NS
            if order["state"] in LIVE and not is_served and not waits:
                assert order["intent_id"] in acted

    def check_no_level_is_served_twice(self, actions: list[Row]) -> None:
        gone = {a["intent_id"] for a in actions if a["verb"] in (Verb.CANCEL, Verb.MODIFY)}
        for side in (Side.BUY, Side.SELL):
            news = [a["px_ticks"] for a in actions if a["side"] == side
                    and a["verb"] != Verb.CANCEL]  # fmt: skip
            kept = {o["px_ticks"] for o in self.working(side)
                    if o["state"] in LIVE and o["intent_id"] not in gone
                    and not o["cancel_ns"] and not o["new_qty_lots"]}  # fmt: skip
            assert len(set(news)) == len(news)
            assert not kept & set(news)

    @invariant()
    def own_quotes_never_cross(self) -> None:
        bids = [order["reach_px"] for order in self.working(Side.BUY)]
        asks = [order["reach_px"] for order in self.working(Side.SELL)]
        assert not bids or not asks or max(bids) < min(asks)

    # -- WHAT THE WORLD DOES ---

    @rule(ms=st.sampled_from([0, 1, 30, 100, 400, 1_000]), move=st.integers(-4, 4))
    def time_passes(self, ms: int, move: int) -> None:
        self.pass_time(ms, move)

    def pass_time(self, ms: int, move: int) -> None:
        self.now_ns += ms * MS
        self.bid += move
        self.update_id += 1
        self.book.clear()
        touch = [(self.bid, 9)], [(self.bid + 1, 9)]
        self.book.apply_snapshot_lists(self.update_id, *touch)
        self.diff.queries(self.now_ns)

    @rule(number=st.integers(0, 9), code=st.sampled_from([0, 0, 0, -5022, -1007]))
    def place_answered(self, number: int, code: int) -> None:
        self.reply(self.pick(number, S.PENDING_NEW), Verb.PLACE, code)

    @rule(number=st.integers(0, 9), code=st.sampled_from([0, 0, -2011]))
    def cancel_answered(self, number: int, code: int) -> None:
        self.reply(self.pick(number, S.PENDING_CANCEL), Verb.CANCEL, code)

    @rule(number=st.integers(0, 9), code=st.sampled_from([0, 0, -5022, -1007, -5026]))
    def amend_answered(self, number: int, code: int) -> None:
        self.reply(self.pick(number, S.PENDING_REPLACE), Verb.MODIFY, code)

    @rule()
    def all_answered(self) -> None:
        verbs = {S.PENDING_NEW: Verb.PLACE, S.PENDING_CANCEL: Verb.CANCEL,
                 S.PENDING_REPLACE: Verb.MODIFY}  # fmt: skip
        for order in self.open():
            if order["state"] in verbs:
                self.reply(order, verbs[S(order["state"])], 0)

    def reply(self, order: Row | None, verb: int, code: int) -> None:
        if order:
            said = answer(order["intent_id"], verb, 400 if code else 200, error_code=code)
            self.orders.reply(said, self.now_ns)

    @rule(number=st.integers(0, 9), is_new=st.booleans(), lives=st.booleans())
    def query_answered(self, number: int, is_new: bool, lives: bool) -> None:
        order = self.pick(number, S.UNKNOWN)
        if order is None:
            return
        prefix = "new_" if is_new and order["new_qty_lots"] else ""
        said = answer(
            order["intent_id"], Verb.STATUS, order_status=S.NEW if lives else S.CANCELED,
            px_ticks=order[f"{prefix}px_ticks"], qty_lots=order[f"{prefix}qty_lots"],
        )  # fmt: skip
        self.orders.reply(said, self.now_ns)

    @rule(number=st.integers(0, 9), qty=st.integers(1, 10))
    def filled(self, number: int, qty: int) -> None:
        order = self.pick(number, *WORKING)
        if order is None or order["qty_lots"] <= order["cum_qty_lots"]:
            return
        lots = min(qty, order["qty_lots"] - order["cum_qty_lots"])
        self.trade_id += 1
        cum = order["cum_qty_lots"] + lots
        status = S.FILLED if cum == order["qty_lots"] else S.PARTIALLY_FILLED
        said = event(
            order["intent_id"], exec_type=ExecType.TRADE, status=status, side=order["side"],
            px_ticks=order["px_ticks"], qty_lots=order["qty_lots"], cum_qty_lots=cum,
            trade_id=self.trade_id, last_px_ticks=order["px_ticks"], last_qty_lots=lots,
        )  # fmt: skip
        self.orders.order_event(said, self.bid, self.bid + 1, self.now_ns)


TestQuoting = Quoting.TestCase
TestQuoting.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
