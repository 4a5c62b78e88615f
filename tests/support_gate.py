"""Limits that let everything pass, and the compiled gate with the face of its twin's desk."""

from fastcore.account import Account
from fastcore.book import Book
from fastcore.gate import CODES, Gate, GateRig
from fastcore.orders import Orders
from fastcore.types import OrderFlag, Verb

MS = 1_000_000
QUOTE = OrderFlag.POST_ONLY
TAKE = OrderFlag.IOC
EXIT = OrderFlag.IOC | OrderFlag.REDUCE_ONLY
NAMES = {0: "OK", **{code: name for code, (name, _) in CODES.items()}}


def loose_limits(**tighter: int) -> dict[str, int]:
    """Nothing below stops an order of a test, but what `tighter` says."""
    return {
        "price_collar_ticks": 100_000,
        "qty_lots_min": 0,
        "qty_lots_max": 1_000_000,
        "notional_min": 0,
        "notional_max": 1 << 62,
        "position_lots_max": 1_000_000,
        "exposure_max": 1 << 62,
        "open_orders_max": 64,
        "orders_per_10s_max": 1_000,
        "orders_per_min_max": 1_000,
        "messages_per_s_max": 1_000,
        "messages_per_min_max": 1_000,
        "cancel_reserve": 0,
        "exit_reserve": 0,
        "duplicate_ms": 0,
        "book_age_ms_max": 1_000,
        "tick_age_ms_max": 1_000,
        "reference_age_ms_max": 0,
        "account_exposure_e8_max": 1 << 62,
        "account_orders_per_10s_max": 1_000,
        "account_orders_per_min_max": 1_000,
        "account_messages_per_s_max": 1_000,
        "account_messages_per_min_max": 1_000,
        "account_cancel_reserve": 0,
        "account_exit_reserve": 0,
    } | tighter


class FastDesk:
    """The compiled gate, its book and its orders."""

    new_account = Account

    def __init__(
        self,
        limits: dict[str, int],
        account: Account | None = None,
        value_e8: tuple[int, int] = (1, 1),
    ) -> None:
        self._book = Book()
        self._update_id = 0
        self.gate = Gate(limits, self._book, Orders(10**9, 10**9), account, value_e8)
        self.account, self.sends = self.gate.account, self.gate.sends
        self.on_reference, self.set_reducing = self.gate.on_reference, self.gate.set_reducing
        self.report, self.clamp = self.gate.report, self.gate.clamp_values
        self.rig = GateRig(self.gate)
        self.set_position, self.fill = self.rig.set_position, self.rig.fill
        self.answer, self.end = self.rig.answer, self.rig.end
        self._passed = (0, 0, 0, 0)

    @property
    def exposure_e8(self) -> int:
        return self.gate.exposure_e8

    @property
    def exits_denied(self) -> int:
        return self.gate.exits_denied

    def book(self, bid: int, ask: int) -> None:
        self._update_id += 1
        self._book.clear()
        self._book.apply_snapshot_lists(
            self._update_id, [(bid, 1)] if bid else [], [(ask, 1)] if ask else []
        )

    def place(self, now_ns: int) -> int:
        return self.rig.place(*self._passed, now_ns)

    def amend(self, intent_id: int, now_ns: int) -> None:
        self.rig.amend(intent_id, *self._passed[1:3], now_ns)

    def cancel(self, intent_id: int, now_ns: int) -> None:
        self.gate.count_values(Verb.CANCEL, now_ns)

    def check(
        self, side: int, px: int, qty: int, flags: int, now_ns: int, halt_bits: int = 0,
        is_synced: bool = True, book_ns: int | None = None, tick_ns: int | None = None,
        replaces: int = -1, filled: int = 0,
    ) -> str:  # fmt: skip
        """Name of the first reason, or OK."""
        book_ns = now_ns if book_ns is None else book_ns
        tick_ns = now_ns if tick_ns is None else tick_ns
        before = self.gate.denies()
        name = NAMES[
            self.gate.check_values(side, px, qty, flags, halt_bits, is_synced, book_ns, tick_ns,
                                   now_ns, replaces, filled)
        ]  # fmt: skip
        assert self.gate.denies() == before | {name: before[name] + 1}
        if name == "OK":
            self._passed = (side, px, qty, flags)
        return name
