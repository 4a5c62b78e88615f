"""What really happened: an append-only log, for checkers to compare anyone's belief with.

Only the core and the fault layer write it. Nothing here passes through the venue's protocol; it
is read through the admin port. A record's number is its place in the log, from 0; times are UTC
ns, quantities and prices lots and ticks of the instrument as it was then, money 1e-8 of its asset.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from engine.exchange.book import Side
from engine.exchange.terms import Exec, MarketState, MoneyWhy, Status, TriggerStatus, Why


class OrderRecord(NamedTuple):
    """One change of one user's order, fills included."""

    t_ns: int
    account: int
    symbol: str
    order_id: int
    client_order_id: str
    side: Side
    px_ticks: int
    qty_lots: int
    exec_type: Exec
    status: Status
    cum_lots: int
    why: Why


class FillRecord(NamedTuple):
    """One fill of one user's order; fee is a cost. The position is the one after it."""

    t_ns: int
    account: int
    symbol: str
    trade_id: int
    order_id: int
    client_order_id: str
    side: Side
    px_ticks: int
    qty_lots: int
    is_maker: bool
    fee_e8: int
    fee_asset: str
    realized_e8: int
    position_lots: int
    position_cost: int


class MoneyRecord(NamedTuple):
    """A balance after it changed; `opening` balances have the change 0."""

    t_ns: int
    account: int
    asset: str
    total_e8: int
    locked_e8: int
    change_e8: int
    why: MoneyWhy | str


class FundingRecord(NamedTuple):
    """`payment_e8` positive: the account paid."""

    t_ns: int
    account: int
    symbol: str
    rate_e8: int
    mark_px_ticks: int
    position_lots: int
    payment_e8: int
    asset: str


class TriggerRecord(NamedTuple):
    t_ns: int
    account: int
    symbol: str
    trigger_id: int
    client_order_id: str
    trigger_px_ticks: int
    status: TriggerStatus
    order_id: int


class KeyRecord(NamedTuple):
    """A key was deleted. Only its first characters are told: keys stay out of logs."""

    t_ns: int
    account: int
    key_start: str


class InstrumentRecord(NamedTuple):
    """State or tick changed; the tick as decimal text."""

    t_ns: int
    symbol: str
    state: MarketState
    tick: str


class FaultRecord(NamedTuple):
    """Something went wrong on purpose: `phase` of begin, hit, end, refused. `fault_number`: the
    one of its log lines; 0 for a hit after the fault's end."""

    t_ns: int
    fault: str
    phase: str
    detail: str
    fault_number: int = 0


Record = (
    OrderRecord | FillRecord | MoneyRecord | FundingRecord | TriggerRecord | KeyRecord
    | InstrumentRecord | FaultRecord
)  # fmt: skip


KEPT_SLACK = 4_096  # records let go at once: moving the rest costs a millisecond


class Truth:
    """The log. Records before `first` have been let go: handed over to a file, or the oldest of
    more than `kept_max`."""

    def __init__(self) -> None:
        self.first = 0
        self.kept_max = 1 << 62
        self._records: list[Record] = []

    def __len__(self) -> int:
        """Of all that was ever written."""
        return self.first + len(self._records)

    def add(self, record: Record) -> None:
        self._records.append(record)
        if len(self._records) >= self.kept_max + KEPT_SLACK:
            self.let_go(len(self) - self.kept_max)

    def since(self, number: int, count: int | None = None) -> Iterator[tuple[int, Record]]:
        """(number, record) from `number` on; what was let go is not told again."""
        start = max(number, self.first)
        end = len(self) if count is None else min(len(self), start + count)
        for index in range(start, end):
            yield index, self._records[index - self.first]

    def let_go(self, number: int) -> None:
        """Forget the records before `number`: they are safe elsewhere."""
        del self._records[: max(0, number - self.first)]
        self.first = max(self.first, number)

    def of(self, kind: type[Record]) -> list[Any]:
        """Every record of one kind, oldest first; for checkers and tests."""
        return [record for record in self._records if isinstance(record, kind)]


def record_fields(number: int, record: Record) -> dict[str, Any]:
    """JSON-able: the record's kind, number and fields, enums by name."""
    fields = {
        name: value.name if isinstance(value, Enum) else value
        for name, value in record._asdict().items()
    }
    kind = type(record).__name__.removesuffix("Record").lower()
    return {"number": number, "kind": kind, **fields}
