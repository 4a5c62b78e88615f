"""What a judge reads of a run's ledger: plain SQL, and the messages' own words for orders.

Nothing of the engine is imported: whoever keeps the ledger is not asked what it means.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

PLACE, MODIFY = 1, 5  # sends.verb
_CATEGORIES = {"bybit_linear": "linear/", "bybit_spot": "spot/"}


class Market(NamedTuple):
    """An instrument of a run."""

    core: int
    key: str  # the exchange's own
    tick: Decimal
    lot: Decimal
    prefix: str  # of client ids


class Sent(NamedTuple):
    """An order, or its amendment, as it was worded to the venue."""

    core: int
    intent_id: int
    client_id: str
    is_place: bool
    side: str  # BUY, SELL; "" where an amendment does not say
    px: Decimal | None
    qty: Decimal | None
    ts_ns: int


class Fill(NamedTuple):
    core: int
    intent_id: int
    trade_id: int
    venue_order_id: int
    side: int
    px_ticks: int
    qty_lots: int
    fee_e8: int
    fee_asset: str
    is_maker: bool
    owner: str
    position_after_lots: int


class OrderRow(NamedTuple):
    core: int
    intent_id: int
    venue_order_id: int
    side: int
    qty_lots: int
    cum_qty_lots: int
    state: str


class Balance(NamedTuple):
    ts_ns: int
    asset: str
    total_e8: int


class Opening(NamedTuple):
    core: int
    position_lots: int
    carried_e8: int


_FILLS = """SELECT fills.seq, core, fills.intent_id, fills.trade_id, fills.venue_order_id,
    fills.side, fills.px_ticks, fills.qty_lots, fee_e8, fee_asset_name, is_maker,
    v_fills.owner, position_after_lots
FROM fills JOIN v_fills USING (seq) WHERE seq > ? ORDER BY seq"""
_SENDS = """SELECT seq, core, intent_id, verb, message, ts_ns FROM sends
WHERE seq > ? AND verb IN (1, 5) ORDER BY seq"""
_ORDERS = """SELECT orders.last_ts_ns, orders.core, intent_id, orders.venue_order_id,
    orders.side, orders.qty_lots, orders.cum_qty_lots, v_orders.state
FROM orders JOIN v_orders USING (intent_id) WHERE orders.last_ts_ns >= ? ORDER BY intent_id"""
_OPENINGS = """SELECT core, position_lots, coalesce((
    SELECT json_extract(detail, '$.carried_e8') FROM engine_events
    WHERE kind = 'opening' AND json_extract(detail, '$.instrument') = instruments.key
    ORDER BY seq DESC LIMIT 1), 0)
FROM openings JOIN instruments USING (core)
WHERE seq = (SELECT max(seq) FROM openings AS o WHERE o.core = openings.core)"""


@dataclass
class LedgerReader:
    """One run's ledger, read from where it was left."""

    path: Path
    last_fill: int = -1
    last_send: int = -1
    last_event: int = -1
    last_order_ns: int = 0

    def markets(self) -> list[Market]:
        query = "SELECT core, venue, symbol, tick, lot, client_prefix FROM instruments"
        return [
            Market(core, _CATEGORIES.get(venue, "") + symbol, Decimal(tick), Decimal(lot), prefix)
            for core, venue, symbol, tick, lot, prefix in self._rows(query)
        ]

    def fills(self) -> Iterator[Fill]:
        for seq, *rest in self._rows(_FILLS, self.last_fill):
            self.last_fill = seq
            yield Fill(*rest)

    def sends(self) -> Iterator[Sent]:
        for seq, core, intent_id, verb, message, ts_ns in self._rows(_SENDS, self.last_send):
            self.last_send = seq
            yield from worded(core, intent_id, verb, message, ts_ns)

    def orders(self) -> list[OrderRow]:
        """Last states of what has changed since the last look; a record of that very moment may
        have come later, so it is looked at again."""
        found = self._rows(_ORDERS, self.last_order_ns)
        self.last_order_ns = max((row[0] for row in found), default=self.last_order_ns)
        return [OrderRow(*row[1:]) for row in found]

    def openings(self) -> list[Opening]:
        return [Opening(*row) for row in self._rows(_OPENINGS)]

    def balances(self) -> list[Balance]:
        found = self._rows(
            "SELECT seq, ts_ns, asset, total_e8 FROM balances WHERE seq > ?", self.last_event
        )
        self.last_event = max((row[0] for row in found), default=self.last_event)
        return [Balance(*row[1:]) for row in found]

    def previous_run(self) -> str:
        """Folder of the run that this one continues; "": none."""
        found = self._rows(
            "SELECT json_extract(detail, '$.run_dir') FROM engine_events "
            "WHERE kind = 'previous_run' ORDER BY seq DESC LIMIT 1"
        )
        return Path(found[0][0]).name if found else ""

    def count(self, kind: str) -> int:
        """Lines of events.jsonl of a kind."""
        query = "SELECT count(*) FROM engine_events WHERE kind = ?"
        return int(self._rows(query, kind)[0][0])

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        database = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()


def worded(core: int, intent_id: int, verb: int, message: str, ts_ns: int) -> Iterator[Sent]:
    """What a message asks for: Binance's WebSocket API names a method, Bybit's trade connection
    an op and arguments."""
    told = json.loads(message)
    for params in told.get("args") or [told.get("params", {})]:
        name = next((
            params[field] for field in ("newClientOrderId", "origClientOrderId", "orderLinkId")
            if params.get(field)
        ), "")  # fmt: skip
        px, qty = params.get("price"), params.get("quantity", params.get("qty"))
        yield Sent(
            core, intent_id, str(name), verb == PLACE, str(params.get("side", "")).upper(),
            None if px is None else Decimal(px), None if qty is None else Decimal(qty), ts_ns,
        )  # fmt: skip


def is_reducing(message: str) -> bool:
    """An exit: it may leave while quotes may not."""
    told = json.loads(message)
    rows = told.get("args") or [told.get("params", {})]
    return all(str(row.get("reduceOnly", "")).lower() == "true" for row in rows)
