"""The account's ledger as a list of what was sent: slow, and plain to see right."""

from weakref import WeakKeyDictionary

from fastcore.types import Verb

SECOND = 1_000_000_000
ORDERS = (Verb.PLACE, Verb.MODIFY, Verb.REPLACE)
RATE_OK, RATE_ORDERS, RATE_MESSAGES = range(3)
VALUE_E8_MAX = 1 << 53


class Sends:
    def __init__(self, limits, prefix=""):
        self.limits = {key.removeprefix(prefix): value for key, value in limits.items()
                       if key.startswith(prefix)}  # fmt: skip
        self.sent = []  # (verb, ns)

    def check(self, is_exit, now_ns):
        def used(verbs, window_s):
            return sum(v in verbs and at > now_ns - window_s * SECOND for v, at in self.sent)

        reserve = 0 if is_exit else self.limits["cancel_reserve"]
        exit_reserve = 0 if is_exit else self.limits["exit_reserve"]
        if used(ORDERS, 10) >= self.limits["orders_per_10s_max"] - exit_reserve:
            return RATE_ORDERS
        if used(ORDERS, 60) >= self.limits["orders_per_min_max"] - exit_reserve:
            return RATE_ORDERS
        if used(tuple(Verb), 1) >= self.limits["messages_per_s_max"] - reserve:
            return RATE_MESSAGES
        if used(tuple(Verb), 60) >= self.limits["messages_per_min_max"] - reserve:
            return RATE_MESSAGES
        return RATE_OK

    def count_send(self, verb, now_ns):
        self.sent.append((verb, now_ns))

    def to_dict(self):
        orders = sum(verb in ORDERS for verb, _ in self.sent)
        return {"messages": len(self.sent), "orders": orders}


class Account:
    def __init__(self, limits):
        self.sends = Sends(limits, "account_")
        self.exposure_e8_max = limits["account_exposure_e8_max"]
        self.exposures_e8 = WeakKeyDictionary()  # by gate: what is dropped has nothing at risk

    @property
    def gate_count(self):
        return len(self.exposures_e8)

    @property
    def exposure_e8(self):
        return sum(self.exposures_e8.values())
