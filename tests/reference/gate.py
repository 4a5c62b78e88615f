"""The gate and the orders that it looks at, as plain lists; the face of support_gate.FastDesk."""

import math
from dataclasses import dataclass
from fractions import Fraction

from fastcore.types import Halt, OrderFlag, OrderState, Side, Verb
from tests.reference.account import RATE_MESSAGES, RATE_ORDERS, VALUE_E8_MAX, Account, Sends

MS = 1_000_000
PX_TICKS_MAX, QTY_LOTS_MAX = 1 << 30, 1 << 32
WORKING = {
    OrderState.PENDING_NEW, OrderState.NEW, OrderState.PARTIALLY_FILLED,
    OrderState.PENDING_CANCEL, OrderState.UNKNOWN, OrderState.PENDING_REPLACE,
}  # fmt: skip
LIVE = {OrderState.NEW, OrderState.PARTIALLY_FILLED}
BARS_EXIT = (
    Halt.BOOK | Halt.CLOCK | Halt.JOURNAL | Halt.RATE_LIMIT | Halt.RECONCILING
    | Halt.TRADE_STREAM | Halt.USER_STREAM | Halt.LINK | Halt.VENUE
)  # fmt: skip


@dataclass
class Order:
    side: int
    px: int
    qty: int
    flags: int
    placed_ns: int
    state: int = OrderState.PENDING_NEW
    cum: int = 0
    wanted_px: int = 0  # by the last message whose fate is open
    wanted_qty: int = 0

    def open_lots(self):
        if self.state not in WORKING:
            return 0
        return max(self.qty, self.wanted_qty) - self.cum

    def prices(self):
        return {self.px, self.wanted_px}


class Desk:
    def __init__(self, limits, account=None, value_e8=(1, 1)):
        self.limits = limits
        self.sends = Sends(limits)
        self.account = account or Account(limits)
        self.account.exposures_e8[self] = 0
        self.worth = Fraction(*value_e8)
        self.orders = {}
        self.position = 0
        self.is_reducing = False
        self.reference = None
        self.bid = self.ask = 0
        self.mark = 0
        self.exits_denied = 0

    new_account = Account

    # -- WHAT HAPPENS ---

    def book(self, bid, ask):
        self.bid, self.ask = bid, ask

    def on_reference(self, px, now_ns):
        self.reference = px, now_ns

    def set_reducing(self, is_reducing):
        self.is_reducing = is_reducing

    def set_position(self, lots):
        self.position = lots

    def place(self, now_ns):
        side, px, qty, flags = self.passed
        intent_id = len(self.orders) + 1
        self.orders[intent_id] = Order(side, px, qty, flags, now_ns, wanted_px=px, wanted_qty=qty)
        self._count(Verb.PLACE, now_ns)
        return intent_id

    def amend(self, intent_id, now_ns):
        _, px, qty, flags = self.passed
        order = self.orders[intent_id]
        order.state = OrderState.PENDING_REPLACE
        order.wanted_px, order.wanted_qty, order.flags = px, qty, flags
        self._count(Verb.MODIFY, now_ns)

    def cancel(self, intent_id, now_ns):
        self.sends.count_send(Verb.CANCEL, now_ns)
        self.account.sends.count_send(Verb.CANCEL, now_ns)

    def answer(self, intent_id, state, px, qty):
        order = self.orders[intent_id]
        order.state, order.px, order.qty = state, px, qty
        if state in LIVE:
            order.wanted_px, order.wanted_qty = px, qty

    def end(self, intent_id, state):
        self.orders[intent_id].state = state

    def fill(self, intent_id, qty):
        order = self.orders[intent_id]
        order.cum += qty
        self.position += qty if order.side == Side.BUY else -qty

    def _count(self, verb, now_ns):
        self.sends.count_send(verb, now_ns)
        self.account.sends.count_send(verb, now_ns)
        self._expose(self.next_e8)

    # -- WHAT IT SAYS ---

    @property
    def exposure_e8(self):
        return self.account.exposures_e8[self]

    def _expose(self, value_e8):
        self.account.exposures_e8[self] = value_e8

    def _value_e8(self, lots, px):
        value = min(lots, QTY_LOTS_MAX) * min(px, PX_TICKS_MAX) * self.worth
        return min(math.ceil(value), VALUE_E8_MAX)

    def _open(self, side, but=None):
        return sum(o.open_lots() for i, o in self.orders.items() if o.side == side and i != but)

    def report(self):
        if self.bid and self.ask:
            self.mark = self.ask
        worst = max(self.position + self._open(Side.BUY), self._open(Side.SELL) - self.position)
        self._expose(self._value_e8(worst, self.mark))

    def check(self, side, px, qty, flags, now_ns, halt_bits=0, is_synced=True, book_ns=None,
              tick_ns=None, replaces=-1, filled=0):  # fmt: skip
        """Name of the first reason, or OK."""
        book_ns = now_ns if book_ns is None else book_ns
        tick_ns = now_ns if tick_ns is None else tick_ns
        is_exit = flags & OrderFlag.IOC and flags & OrderFlag.REDUCE_ONLY
        for reasons in (
            self._order(side, px, qty, flags, halt_bits, is_exit, filled),
            self._market(side, px, flags, is_synced, now_ns, book_ns, tick_ns),
            self._windows(is_exit, now_ns),
            self._own(side, px, qty, flags, now_ns, replaces, filled),
        ):
            for name, is_wrong in reasons:
                if is_wrong:
                    self.exits_denied += bool(is_exit)
                    return name
        self.passed = side, px, qty, flags
        return "OK"

    def clamp(self, side, px, qty):
        """Every price and size that may leave, tried one by one; what is asked for is the best."""
        limits, touch = self.limits, self.bid if side == Side.SELL else self.ask
        step = 1 if px <= touch else -1
        centres = [Fraction(self.bid + self.ask, 2)]
        if limits["reference_age_ms_max"]:
            centres.append(self.reference[0] if self.reference else 0)

        def far(p):  # ticks beyond the collar on the exit's worse side
            sign = 1 if side == Side.SELL else -1
            return max(sign * (c - p) for c in centres) - limits["price_collar_ticks"]

        is_taking = px <= touch if side == Side.SELL else px >= touch
        prices = range(px, touch + step, step) if is_taking else []
        px = next((p for p in prices if far(p) <= 0), px)
        fits = [q for q in range(1, qty + 1)
                if q <= limits["qty_lots_max"] and q * px <= limits["notional_max"]]  # fmt: skip
        most = max(fits, default=1)
        least = limits["qty_lots_min"]
        if 0 < qty - most < least:
            most = min(max(qty - least, least), qty)
        return px, most

    def _order(self, side, px, qty, flags, halt_bits, is_exit, filled):
        limits = self.limits
        yield "STATE", halt_bits and (not is_exit or halt_bits & BARS_EXIT)
        yield "RANGE", not (0 < px <= PX_TICKS_MAX and 0 < qty <= QTY_LOTS_MAX)
        yield "RANGE", not 0 <= filled < qty or side not in (0, 1)
        quotes, takes = bool(flags & OrderFlag.POST_ONLY), bool(flags & OrderFlag.IOC)
        yield "NOT_POST_ONLY", quotes == takes
        yield "QTY", not limits["qty_lots_min"] <= qty <= limits["qty_lots_max"]
        yield "NOTIONAL", px * qty > limits["notional_max"]
        reduces = flags & OrderFlag.REDUCE_ONLY
        yield "NOTIONAL", px * qty < limits["notional_min"] and not reduces

    def _market(self, side, px, flags, is_synced, now_ns, book_ns, tick_ns):
        limits = self.limits
        collar = limits["price_collar_ticks"]
        yield "TICK_AGE", now_ns - tick_ns > limits["tick_age_ms_max"] * MS
        yield "BOOK", not is_synced or not 0 < self.bid < self.ask
        yield "STALE", now_ns - book_ns > limits["book_age_ms_max"] * MS
        yield "PRICE", abs(px - Fraction(self.bid + self.ask, 2)) > collar
        if age_ms := limits["reference_age_ms_max"]:
            yield "REFERENCE", not self.reference or now_ns - self.reference[1] > age_ms * MS
            yield "REFERENCE", self.reference[0] <= 0
            yield "PRICE", abs(px - self.reference[0]) > collar
        takes = px >= self.ask if side == Side.BUY else px <= self.bid
        yield "POST_ONLY", flags & OrderFlag.POST_ONLY and takes

    def _windows(self, is_exit, now_ns):
        for sends, prefix in ((self.sends, ""), (self.account.sends, "ACCOUNT_")):
            code = sends.check(is_exit, now_ns)
            yield prefix + "RATE", code == RATE_ORDERS
            yield prefix + "MESSAGES", code == RATE_MESSAGES

    def _own(self, side, px, qty, flags, now_ns, replaces, filled):
        limits, sign = self.limits, 1 if side == Side.BUY else -1
        live = {i: o for i, o in self.orders.items() if o.open_lots() > 0}
        theirs = [o for o in live.values() if o.side != side]
        own = [o for i, o in live.items() if o.side == side and i != replaces]
        crossed = any(sign * (px - p) >= 0 for o in theirs for p in o.prices())
        waiting = [o for o in own if o.state in (OrderState.PENDING_NEW, OrderState.UNKNOWN)]
        doubled = any(
            (o.px, o.qty) == (px, qty) and now_ns - o.placed_ns < limits["duplicate_ms"] * MS
            for o in waiting
        )
        old = live.get(replaces)
        if old is not None and old.side != side:
            old = None
        is_live = old and old.state in LIVE
        against = {"SELF_CROSS": crossed, "DUPLICATE": doubled,
                   "REPLACES": replaces >= 0 and not is_live}  # fmt: skip
        if sum(map(bool, against.values())) > 1:  # which is found first is nobody's matter
            yield "|".join(name for name, is_wrong in against.items() if is_wrong), True
        yield from against.items()
        open_own, open_other = self._open(side, but=replaces), self._open(1 - side)
        replaced = old.open_lots() if old else 0
        fresh = max(qty - filled, replaced)
        if flags & OrderFlag.REDUCE_ONLY or self.is_reducing:
            like = open_own
            if flags & OrderFlag.IOC:
                like = sum(o.open_lots() for o in own if o.flags & OrderFlag.REDUCE_ONLY)
            yield "REDUCE_ONLY", fresh > -sign * self.position - like
        rests = replaces < 0 and not flags & OrderFlag.IOC
        yield "OPEN_ORDERS", rests and len(live) >= limits["open_orders_max"]
        yield from self._worst(px, sign, open_own, open_other, fresh, replaced)

    def _worst(self, px, sign, open_own, open_other, fresh, replaced):
        held, mark = sign * self.position, max(self.ask, px)
        self.mark = self.ask
        yield "POSITION", held + open_own + fresh > self.limits["position_lots_max"]
        yield "EXPOSURE", (held + open_own + fresh) * mark > self.limits["exposure_max"]
        self._expose(self._value_e8(max(held + open_own + replaced, open_other - held), mark))
        self.next_e8 = self._value_e8(max(held + open_own + fresh, open_other - held), mark)
        total = self.account.exposure_e8 - self.exposure_e8 + self.next_e8
        adds = self.next_e8 > self.exposure_e8
        yield "ACCOUNT_EXPOSURE", adds and total > self.account.exposure_e8_max
