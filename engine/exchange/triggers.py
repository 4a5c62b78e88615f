"""Conditional orders: they wait outside the book until a price is reached, then an order is
placed. The core asks for the due ones after trades and marks, and places them."""

from collections.abc import Callable
from dataclasses import replace

from engine.exchange.commands import (
    AmendTrigger,
    CancelAllTriggers,
    CancelTrigger,
    PlaceTrigger,
)
from engine.exchange.events import Output, Trigger, TriggerUpdate
from engine.exchange.order_index import RefusalError
from engine.exchange.terms import Order, Reason, TriggerStatus
from engine.exchange.truth import TriggerRecord, Truth

FIRST_TRIGGER_ID = 2_000_000_000
CLOSED_KEPT = 5_000
Hold = Callable[[Trigger, bool, int, list[Output]], None]


class Triggers:
    """All conditional orders; ids are unique among users' conditional orders. `hold(trigger,
    is_waiting, t_ns, out)` sets money aside for one that waits, or refuses it, or frees it."""

    def __init__(self, count_max: int, truth: Truth, hold: Hold) -> None:
        self._count_max = count_max
        self._hold = hold
        self._truth = truth
        self._all: dict[int, Trigger] = {}
        self._open: dict[str, dict[int, Trigger]] = {}  # by symbol
        self._next_id = FIRST_TRIGGER_ID

    def place(
        self, command: PlaceTrigger, px_ticks: int, t_ns: int, out: list[Output]
    ) -> Trigger:
        """`px_ticks`: the watched price now; RefusalError when it has reached the trigger."""
        place = command.place
        opened = self.open_of(place.account, place.symbol)
        if len(opened) >= self._count_max:
            raise RefusalError(Reason.TRIGGERS_MAX)
        client_id = place.client_order_id
        if client_id and any(t.place.client_order_id == client_id for t in opened):
            raise RefusalError(Reason.DUPLICATE_CLIENT_ID)
        if command.trigger_px_ticks <= 0:
            raise RefusalError(Reason.PX_MIN)
        self._next_id += 1
        trigger = Trigger(
            self._next_id, place, command.trigger_px_ticks, command.is_rising, command.by_mark,
            t_ns, t_ns,
        )  # fmt: skip
        if px_ticks and _is_reached(trigger, px_ticks):
            raise RefusalError(Reason.TRIGGERS_NOW)
        self._hold(trigger, True, t_ns, out)
        self._all[trigger.trigger_id] = trigger
        self._open.setdefault(place.symbol, {})[trigger.trigger_id] = trigger
        self._tell(trigger, t_ns, out)
        return trigger

    def amend(
        self, command: AmendTrigger, px_ticks: int, t_ns: int, out: list[Output]
    ) -> Trigger:
        """`px_ticks` as in `place`; told anew, under the same id."""
        trigger = self.find(command.account, command.symbol, command.trigger_id, "")
        if trigger is None or trigger.status is not TriggerStatus.NEW:
            raise RefusalError(Reason.NO_SUCH_ORDER)
        trigger_px_ticks = command.trigger_px_ticks or trigger.trigger_px_ticks
        place = replace(
            trigger.place,
            qty_lots=command.qty_lots or trigger.place.qty_lots,
            px_ticks=command.px_ticks or trigger.place.px_ticks,
        )
        if (trigger_px_ticks, place) == (trigger.trigger_px_ticks, trigger.place):
            raise RefusalError(Reason.NO_CHANGE)
        if px_ticks and _is_reached(replace(trigger, trigger_px_ticks=trigger_px_ticks), px_ticks):
            raise RefusalError(Reason.TRIGGERS_NOW)
        before = trigger.trigger_px_ticks, trigger.place
        trigger.trigger_px_ticks, trigger.place = trigger_px_ticks, place
        try:
            self._hold(trigger, True, t_ns, out)
        except RefusalError:
            trigger.trigger_px_ticks, trigger.place = before
            raise
        trigger.update_ns = t_ns
        self._tell(trigger, t_ns, out)
        return trigger

    def cancel(self, command: CancelTrigger, t_ns: int, out: list[Output]) -> Trigger:
        trigger = self.find(
            command.account, command.symbol, command.trigger_id, command.client_order_id
        )
        if trigger is None or trigger.status is not TriggerStatus.NEW:
            raise RefusalError(Reason.UNKNOWN_ORDER)
        self.close(trigger, TriggerStatus.CANCELED, t_ns, out)
        return trigger

    def cancel_all(
        self, command: CancelAllTriggers, t_ns: int, out: list[Output]
    ) -> tuple[Trigger, ...]:
        waiting = [t for name in command.symbols for t in self.open_of(command.account, name)]
        for trigger in waiting:
            self.close(trigger, TriggerStatus.CANCELED, t_ns, out)
        return tuple(waiting)

    def due(self, symbol: str, px_ticks: int, by_mark: bool) -> list[Trigger]:
        """Those that `px_ticks` of the last trade, or the mark, has reached; oldest first."""
        waiting = self._open.get(symbol)
        if not waiting or not px_ticks:
            return []
        return [
            trigger
            for trigger in waiting.values()
            if trigger.by_mark is by_mark and _is_reached(trigger, px_ticks)
        ]

    def take(self, trigger: Trigger, t_ns: int, out: list[Output]) -> bool:
        """Out of the waiting ones, as what its order causes must not pull it again, its money
        free for that order; False: it waited no more."""
        waiting = self._open[trigger.place.symbol]
        if waiting.pop(trigger.trigger_id, None) is None:
            return False
        self._hold(trigger, False, t_ns, out)
        return True

    def close(
        self, trigger: Trigger, status: TriggerStatus, t_ns: int, out: list[Output],
        order: Order | None = None,
    ) -> None:  # fmt: skip
        trigger.status, trigger.update_ns = status, t_ns
        trigger.order_id = order.order_id if order else 0
        self.take(trigger, t_ns, out)
        self._tell(trigger, t_ns, out)
        if len(self._all) > 2 * CLOSED_KEPT:
            self._forget_old()

    def _forget_old(self) -> None:
        for trigger_id in list(self._all)[:CLOSED_KEPT]:
            if self._all[trigger_id].status is not TriggerStatus.NEW:
                del self._all[trigger_id]

    def _tell(self, trigger: Trigger, t_ns: int, out: list[Output]) -> None:
        place = trigger.place
        record = TriggerRecord(
            t_ns, place.account, place.symbol, trigger.trigger_id, place.client_order_id,
            trigger.trigger_px_ticks, trigger.status, trigger.order_id,
        )  # fmt: skip
        self._truth.add(record)
        out.append(TriggerUpdate(t_ns, trigger, trigger.status))

    def rescale(self, symbol: str, factor: int) -> None:
        """The tick became `factor` times finer; none waits, the ended ones are told in it."""
        for trigger in self._all.values():
            if trigger.place.symbol == symbol:
                trigger.trigger_px_ticks *= factor
                px_ticks = trigger.place.px_ticks * factor
                trigger.place = replace(trigger.place, px_ticks=px_ticks)

    # -- QUERIES ---

    def find(self, account: int, symbol: str, trigger_id: int, client_id: str) -> Trigger | None:
        """By id (not 0), else the youngest of that client id."""
        if trigger_id:
            trigger = self._all.get(trigger_id)
            is_theirs = trigger and (trigger.place.account, trigger.place.symbol) == (
                account,
                symbol,
            )
            return trigger if is_theirs else None
        for trigger in reversed(self._all.values()):
            place = trigger.place
            if (place.account, place.symbol, place.client_order_id) == (
                account,
                symbol,
                client_id,
            ):
                return trigger
        return None

    def open_of(self, account: int, symbol: str) -> list[Trigger]:
        waiting = self._open.get(symbol, {})
        return [trigger for trigger in waiting.values() if trigger.place.account == account]

    def all_of(self, account: int, symbol: str) -> list[Trigger]:
        """Open and closed, oldest first."""
        return [
            trigger
            for trigger in self._all.values()
            if (trigger.place.account, trigger.place.symbol) == (account, symbol)
        ]


def _is_reached(trigger: Trigger, px_ticks: int) -> bool:
    if trigger.is_rising:
        return px_ticks >= trigger.trigger_px_ticks
    return px_ticks <= trigger.trigger_px_ticks
