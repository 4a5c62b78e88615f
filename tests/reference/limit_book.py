"""fastcore.limit_rig as sentences: sort by price, then by arrival; take from the front."""

from dataclasses import dataclass


@dataclass
class Resting:
    order_id: int
    side: int
    px_ticks: int
    leaves_lots: int
    account: int


def better(side: int, px_ticks: int) -> int:
    """Sorts a side's prices best first."""
    return -px_ticks if side == 0 else px_ticks


class LimitRig:
    def __init__(self) -> None:
        self.orders: list[Resting] = []  # by arrival
        self.fills: list[tuple[int, int, int, int]] = []
        self.met_id = 0
        self._changes: dict[tuple[int, int], int] = {}

    # -- COMMANDS ---

    def place(
        self,
        order_id: int,
        side: int,
        px_ticks: int,
        qty_lots: int,
        account: int = -1,
        *,
        rests: bool = True,
        may_meet_own: bool = True,
    ) -> int:
        if order_id <= 0 or qty_lots <= 0 or px_ticks < 0:
            raise ValueError("out of range")
        if rests and self.leaves_of(order_id):
            raise ValueError("in use")
        self.fills, self.met_id = [], 0
        for maker in self._makers(side, px_ticks):
            if not qty_lots:
                break
            if maker.account == account and not may_meet_own:
                self.met_id = maker.order_id
                return qty_lots
            taken = min(qty_lots, maker.leaves_lots)
            qty_lots -= taken
            maker.leaves_lots -= taken
            self.fills.append((maker.order_id, maker.account, maker.px_ticks, taken))
            self._note(maker)
        if qty_lots and rests and px_ticks:
            self._queue(Resting(order_id, side, px_ticks, qty_lots, account))
        return qty_lots

    def rest(
        self, order_id: int, side: int, px_ticks: int, qty_lots: int, account: int = -1
    ) -> None:
        if order_id <= 0 or qty_lots <= 0 or px_ticks <= 0 or self.leaves_of(order_id):
            raise ValueError("out of range or in use")
        if self.fillable_lots(side, px_ticks, 1):
            raise ValueError("crosses")
        self._queue(Resting(order_id, side, px_ticks, qty_lots, account))

    def _queue(self, order: Resting) -> None:
        self.orders.append(order)
        self._note(order)

    def cancel(self, order_id: int) -> bool:
        for order in self.orders:
            if order.order_id == order_id:
                order.leaves_lots = 0
                self._note(order)
                return True
        return False

    def shrink(self, order_id: int, qty_lots: int) -> bool:
        for order in self.orders:
            if order.order_id == order_id and 0 < qty_lots < order.leaves_lots:
                order.leaves_lots -= qty_lots
                self._note(order)
                return True
        return False

    def rescale(self, factor: int) -> None:
        for order in self.orders:
            order.px_ticks *= factor

    def _note(self, changed: Resting) -> None:
        self.orders = [order for order in self.orders if order.leaves_lots]
        side, px_ticks = changed.side, changed.px_ticks
        self._changes[side, px_ticks] = dict(self.levels(side, 1 << 30)).get(px_ticks, 0)

    def drain_changes(self) -> list[tuple[int, int, int]]:
        changes = [(side, px, lots) for (side, px), lots in self._changes.items()]
        self._changes = {}
        return changes

    # -- QUERIES ---

    def _makers(self, side: int, px_ticks: int) -> list[Resting]:
        makers = [
            order
            for order in self.orders
            if order.side != side
            and (not px_ticks or better(1 - side, order.px_ticks) <= better(1 - side, px_ticks))
        ]
        return sorted(makers, key=lambda order: better(order.side, order.px_ticks))

    def touch(self) -> tuple[int, int, int, int]:
        bid, ask = self.levels(0, 1) or [(0, 0)], self.levels(1, 1) or [(0, 0)]
        return (*bid[0], *ask[0])

    def levels(self, side: int, count: int) -> list[tuple[int, int]]:
        totals: dict[int, int] = {}
        for order in self.orders:
            if order.side == side:
                totals[order.px_ticks] = totals.get(order.px_ticks, 0) + order.leaves_lots
        return sorted(totals.items(), key=lambda level: better(side, level[0]))[:count]

    def level_count(self, side: int) -> int:
        return len(self.levels(side, 1 << 30))

    def level_at(self, side: int, index: int) -> tuple[int, int, int]:
        px_ticks, lots = self.levels(side, 1 << 30)[index]
        return px_ticks, lots, len(self.orders_at(side, index))

    def orders_at(self, side: int, index: int) -> list[tuple[int, int, int]]:
        px_ticks, _ = self.levels(side, 1 << 30)[index]
        return [
            (order.order_id, order.leaves_lots, order.account)
            for order in self.orders
            if (order.side, order.px_ticks) == (side, px_ticks)
        ]

    def leaves_of(self, order_id: int) -> int:
        return sum(order.leaves_lots for order in self.orders if order.order_id == order_id)

    def fillable_lots(self, side: int, px_ticks: int, qty_lots: int) -> int:
        lots = sum(order.leaves_lots for order in self._makers(side, px_ticks))
        return min(lots, qty_lots)

    @property
    def order_count(self) -> int:
        return len(self.orders)

    def check(self) -> None:
        bid, _, ask, _ = self.touch()
        assert not bid or not ask or bid < ask
