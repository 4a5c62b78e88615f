"""Do the ledgers agree with what happened? A judge who asks neither the engine nor the exchange.

In go the exchange's truth, record by record, and the ledgers of all runs of one account, read with
nothing but SQL (ledger_rows.py). Nothing of the engine's own belief-making is imported. Each
breach is one sentence with numbers. What is held against the truth, exactly:

- every fill on the account is in one run's ledger, once, with that order, side, price, quantity,
  fee, asset, maker flag and owner; and none is there that never happened. (A run that never
  started is no account's last: the next one continues the run before it, and books anew.);
- every order of ours at the venue has one intent in one ledger, worded with that side, price and
  quantity, was placed once, and ended as its ledger says; nothing is unknown at the end;
- each run begins with what the one before it ended with, and the last one ends with what the
  account holds, to the last unit; the engine's own last numbers say the same;
- balances that were read were true at that moment;
- nothing of ours is open at the end.

And from the journals: no quote left while the state word said halted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import OPEN_STATUSES, Exec, Status
from engine.exchange.truth import FillRecord, MoneyRecord, OrderRecord, Record
from engine.sim.ledger_rows import Balance, Fill, LedgerReader, Market, OrderRow, Sent

BREACHES_MAX = 20  # the first ones say enough
OURS = re.compile(r"tm[0-9a-f]{8}-[0-9a-f]{2}-[0-9a-f]{12}")
REFUSED_AFTER_NS = 600 * 1_000_000_000  # what the venue has not taken by then, it won't
BALANCE_AGE_NS = 20 * 1_000_000_000  # of an answer over a bad network
ENDS = {
    "filled": {Status.FILLED}, "canceled": {Status.CANCELED, Status.EXPIRED},
    "expired": {Status.EXPIRED, Status.CANCELED},
}  # fmt: skip
FillKey = tuple[str, int, int]  # (instrument, trade, side)


class LastWords(NamedTuple):
    """What the engine said when it ended, by the exchange's key of an instrument."""

    numbers: Mapping[str, Mapping[str, Any]]  # Core.numbers()
    exit_code: int
    open_at_venue: int | None  # as told by its `stopped` line; None: it could not find out


@dataclass
class _Intent:
    """An order as a ledger holds it before it was sent, and its amendments."""

    key: str
    side: str
    ts_ns: int
    px: set[Decimal] = field(default_factory=set)
    qty: set[Decimal] = field(default_factory=set)
    row: OrderRow | None = None  # its last state


@dataclass
class _Run:
    """One run of the engine."""

    reader: LedgerReader
    has_ended: bool = False  # in order: what it says of an order then is its last word
    is_continued: bool = False  # it has started, or a later run says so, or it is the last
    markets: dict[int, Market] = field(default_factory=dict)
    lots: dict[str, int] = field(default_factory=dict)  # bought less sold
    cash: dict[str, int] = field(default_factory=dict)  # ticks x lots
    fees_e8: dict[str, int] = field(default_factory=dict)  # paid in anything but the base asset
    base_fees_e8: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # fills


class Checker:
    """One account of the exchange; `instruments` by the exchange's key."""

    def __init__(
        self, instruments: Mapping[str, Instrument], account: int, utc_minus_monotonic_ns: int
    ) -> None:
        self.breaches: list[str] = []
        self.orders = 0
        self.fills = 0
        self.strangers = 0  # fills
        self.divergences = 0
        self._instruments = instruments
        self._account = account
        self._offset_ns = utc_minus_monotonic_ns
        self._runs: dict[int, _Run] = {}
        self._intents: dict[str, _Intent] = {}
        self._placed: dict[str, OrderRecord] = {}  # ours at the venue: its last record
        self._happened: dict[FillKey, FillRecord] = {}  # in no ledger (yet)
        self._booked: dict[FillKey, tuple[int, Fill]] = {}  # not in the truth (yet)
        self._seen: set[FillKey] = set()  # both
        self._seen_before: set[FillKey] = set()
        self._lots: dict[str, int] = {}
        self._totals: dict[str, list[tuple[int, int]]] = {}  # asset -> (since, total)
        self._balances: list[Balance] = []  # read by the engine, not compared yet

    def breach(self, text: str) -> None:
        if len(self.breaches) < BREACHES_MAX and text not in self.breaches:
            self.breaches.append(text)

    # -- THE TRUTH ---

    def on_truth(self, record: Record) -> None:
        if isinstance(record, OrderRecord) and record.account == self._account:
            if OURS.fullmatch(record.client_order_id):
                self._on_order(record)
        elif isinstance(record, FillRecord) and record.account == self._account:
            self._on_fill(record)
        elif isinstance(record, MoneyRecord) and record.account == self._account:
            self._totals.setdefault(record.asset, []).append((record.t_ns, record.total_e8))

    def _on_order(self, record: OrderRecord) -> None:
        name = record.client_order_id
        if record.exec_type is Exec.NEW or name not in self._placed:
            self.orders += 1
            if name in self._placed:
                self.breach(f"order {name} was placed twice at the venue")
        self._placed[name] = record
        if record.exec_type in (Exec.NEW, Exec.AMENDMENT) and name in self._intents:
            self._check_terms(record, self._intents[name])

    def _check_terms(self, record: OrderRecord, intent: _Intent) -> None:
        instrument = self._instruments[record.symbol]
        px, qty = record.px_ticks * instrument.px.step, record.qty_lots * instrument.qty.step
        is_same = intent.side == record.side.name and intent.key == record.symbol
        if not is_same or px not in intent.px or qty not in intent.qty:
            self.breach(
                f"order {record.client_order_id} is {record.side.name} {qty} at {px} of "
                f"{record.symbol} at the venue, the ledger sent {intent.side} "
                f"{sorted(intent.qty)} at {sorted(intent.px)} of {intent.key}"
            )

    def _on_fill(self, record: FillRecord) -> None:
        self.fills += 1
        self.strangers += OURS.fullmatch(record.client_order_id) is None
        symbol = record.symbol
        self._lots[symbol] = self._lots.get(symbol, 0) + record.qty_lots * record.side.sign
        key = (symbol, record.trade_id, 0 if record.side.sign > 0 else 1)
        if key in self._booked:
            self._compare(record, *self._booked.pop(key))
            self._seen.add(key)
        else:
            self._happened[key] = record

    # -- THE LEDGERS ---

    def on_ledger(self, number: int, path: Path, has_ended: bool = False) -> None:
        """What is new in the ledger of the engine's run `number`; a run's is read in pieces."""
        run = self._runs.setdefault(number, _Run(LedgerReader(path)))
        run.has_ended = has_ended
        if not run.markets:
            run.markets = {market.core: market for market in run.reader.markets()}
            for market in run.markets.values():
                self._check_market(market)
        before = run.reader.previous_run()
        for other, earlier in self._runs.items():
            if earlier.reader.path.parent.name == before and not earlier.is_continued:
                self._continue(other, earlier)
        for sent in run.reader.sends():
            self._on_sent(run, sent)
        if run.is_continued or run.reader.count("started"):
            self._continue(number, run)
        for row in run.reader.orders():
            name = f"{run.markets[row.core].prefix}{row.intent_id:012x}"
            if name in self._intents:
                self._intents[name].row = row
        self._balances += run.reader.balances()

    def _continue(self, number: int, run: _Run) -> None:
        run.is_continued = True
        for fill in run.reader.fills():
            self._on_booked(number, run, fill)

    def _check_market(self, market: Market) -> None:
        instrument = self._instruments.get(market.key)
        if instrument is None:
            self.breach(f"the ledger knows {market.key}, which is not traded here")
        elif (market.tick, market.lot) != (instrument.px.step, instrument.qty.step):
            self.breach(
                f"{market.key} has tick {instrument.px.step} and lot {instrument.qty.step}, the "
                f"ledger says {market.tick} and {market.lot}"
            )

    def _on_sent(self, run: _Run, sent: Sent) -> None:
        market = run.markets[sent.core]
        if sent.client_id != f"{market.prefix}{sent.intent_id:012x}":
            self.breach(f"intent {sent.intent_id} was sent as {sent.client_id}")
        known = self._intents.get(sent.client_id)
        if sent.is_place and known is not None:
            self.breach(f"intent {sent.client_id} was sent twice")
        intent = known or _Intent(market.key, sent.side, sent.ts_ns)
        self._intents[sent.client_id] = intent
        intent.px |= {sent.px} if sent.px is not None else set()
        intent.qty |= {sent.qty} if sent.qty is not None else set()
        record = self._placed.get(sent.client_id)
        if record is not None and sent.is_place and record.exec_type is Exec.NEW:
            self._check_terms(record, intent)

    def _on_booked(self, number: int, run: _Run, fill: Fill) -> None:
        market = run.markets[fill.core]
        self._add_up(run, market, fill)
        key = (market.key, fill.trade_id, fill.side)
        if key in self._booked or key in self._seen or key in self._seen_before:
            self.breach(f"fill {fill.trade_id} of {market.key} is booked twice, by run {number}")
            return
        record = self._happened.pop(key, None)
        if record is None:
            self._booked[key] = number, fill
        else:
            self._compare(record, number, fill)
            self._seen.add(key)

    def _add_up(self, run: _Run, market: Market, fill: Fill) -> None:
        key, sign = market.key, 1 if fill.side == 0 else -1
        run.lots[key] = run.lots.get(key, 0) + sign * fill.qty_lots
        run.cash[key] = run.cash.get(key, 0) - sign * fill.qty_lots * fill.px_ticks
        run.counts[key] = run.counts.get(key, 0) + 1
        instrument = self._instruments.get(key)
        is_base = instrument is not None and fill.fee_asset == instrument.base
        fees = run.base_fees_e8 if is_base else run.fees_e8
        fees[key] = fees.get(key, 0) + fill.fee_e8

    def _compare(self, record: FillRecord, number: int, fill: Fill) -> None:
        run = self._runs[number]
        prefix = run.markets[fill.core].prefix
        name = record.client_order_id
        owner = "stranger"
        if OURS.fullmatch(name):
            owner = "run" if name.startswith(prefix) else "earlier"
        booked_name = f"{prefix}{fill.intent_id:012x}" if owner == "run" else name
        pairs = {
            "venue_order_id": (record.order_id, fill.venue_order_id),
            "px_ticks": (record.px_ticks, fill.px_ticks),
            "qty_lots": (record.qty_lots, fill.qty_lots),
            "fee_e8": (record.fee_e8, fill.fee_e8),
            "fee_asset": (record.fee_asset, fill.fee_asset),
            "is_maker": (record.is_maker, bool(fill.is_maker)),
            "owner": (owner, fill.owner),
            "client_id": (name, booked_name),
        }
        for what, (true, told) in pairs.items():
            if true != told:
                self.breach(
                    f"fill {record.trade_id} of order {name}: {what} was {true}, the ledger of "
                    f"run {number} says {told}"
                )

    def _check_balances(self) -> None:
        for balance in self._balances:
            utc_ns = balance.ts_ns + self._offset_ns
            self._check_balance(utc_ns, balance.asset, balance.total_e8)
        self._balances.clear()

    def _check_balance(self, utc_ns: int, asset: str, total_e8: int) -> None:
        true = [0]
        for since_ns, total in self._totals.get(asset, ()):
            if since_ns <= utc_ns - BALANCE_AGE_NS:
                true = []
            if since_ns <= utc_ns:
                true.append(total)
        if total_e8 not in true:
            self.breach(
                f"{asset} was {' or '.join(map(str, true[-3:]))} (1e-8), the engine read "
                f"{total_e8}"
            )

    # -- THE END ---

    def tidy(self, utc_ns: int) -> None:
        """Let go of what has ended, so that a day needs no more memory than an hour. Call when
        truth and ledgers have been read up to the same moment."""
        self._check_balances()
        for name, intent in list(self._intents.items()):
            record = self._placed.get(name)
            is_old = intent.ts_ns + self._offset_ns < utc_ns - REFUSED_AFTER_NS
            if not is_old or intent.row is None:
                continue
            if record is None or record.status not in OPEN_STATUSES:
                self._check_end(name, intent, is_last=True)
                del self._intents[name]
                self._placed.pop(name, None)
        self._seen_before, self._seen = self._seen, set()
        for asset, totals in self._totals.items():
            self._totals[asset] = totals[-1:] + [
                row for row in totals[:-1] if row[0] > utc_ns - 2 * BALANCE_AGE_NS
            ]
            self._totals[asset].sort()

    def finish(self, words: LastWords | None, is_dead: bool = False) -> list[str]:
        """`is_dead`: killed, and not to be started again: what happened since then nobody could
        write down. What is written must be true all the same."""
        self._check_balances()
        if self._runs:
            last = max(self._runs)
            self._continue(last, self._runs[last])
        self._check_never_started()
        for number, fill in self._booked.values():
            self.breach(f"fill {fill.trade_id} in the ledger of run {number} never happened")
        for missed in () if is_dead else self._happened.values():
            self.breach(
                f"fill {missed.trade_id} of order {missed.client_order_id} happened "
                f"({missed.side.name} {missed.qty_lots} at {missed.px_ticks} of {missed.symbol}), "
                "and is in no ledger"
            )
        for name, record in self._placed.items():
            if record.status in OPEN_STATUSES and not is_dead:
                self.breach(f"order {name} is open at the venue after the shutdown")
            if name not in self._intents:
                self.breach(f"order {name} is at the venue, and no ledger has its intent")
        ended = {
            market.prefix for run in self._runs.values() if run.has_ended
            for market in run.markets.values()
        }  # fmt: skip
        for name, intent in self._intents.items():
            self._check_end(name, intent, is_last=any(map(name.startswith, ended)))
        held = self._check_chain()
        if not is_dead:
            self._check_held(held)
        if words is not None and not is_dead:
            self._check_words(words)
        for run in self._runs.values():
            self.divergences += run.reader.count("divergence")
        if self.divergences:
            self.breach(f"{self.divergences} divergences were told to a person")
        return self.breaches

    def _check_never_started(self) -> None:
        for number, run in self._runs.items():
            for fill in () if run.is_continued else run.reader.fills():
                key = (run.markets[fill.core].key, fill.trade_id, fill.side)
                if key not in self._seen | self._seen_before:
                    self.breach(f"fill {fill.trade_id} in the ledger of run {number}, which never "
                                "started, never happened")  # fmt: skip

    def _check_end(self, name: str, intent: _Intent, is_last: bool) -> None:
        """`is_last`: its run has lived to tell how the order ended."""
        record, row = self._placed.get(name), intent.row
        state = "not told" if row is None else row.state
        if not is_last and state not in (*ENDS, "rejected"):
            return
        if record is None:
            if state not in ("rejected",):
                self.breach(f"order {name} never was at the venue, its ledger ends with {state}")
            return
        if record.status not in ENDS.get(state, set()):
            self.breach(
                f"order {name} ended as {record.status.name} ({record.why.value}), its ledger "
                f"says {state}"
            )
        elif is_last and row is not None and row.cum_qty_lots != record.cum_lots:
            self.breach(
                f"order {name} was filled with {record.cum_lots} lots, its ledger says "
                f"{row.cum_qty_lots}"
            )
        if row is not None and row.venue_order_id not in (record.order_id, -1):
            self.breach(f"order {name} is {record.order_id}, its ledger says {row.venue_order_id}")

    def _check_chain(self) -> dict[str, tuple[int, int]]:
        """What each run began with; what the last one leaves."""
        held: dict[str, tuple[int, int]] = {}  # (lots, 1e-8 of the base beside them)
        for number, run in sorted(self._runs.items()):
            if not run.is_continued:
                continue
            for opening in run.reader.openings():
                key = run.markets[opening.core].key
                began = opening.position_lots, opening.carried_e8
                if key in held and began != held[key]:
                    self.breach(
                        f"run {number} opened {key} with {began}, the run before it left "
                        f"{held[key]} (lots, 1e-8 beside)"
                    )
                held[key] = self._left(key, run, *began)
        return held

    def _check_held(self, held: Mapping[str, tuple[int, int]]) -> None:
        for key, instrument in self._instruments.items():
            if key not in held:
                continue
            if instrument.kind is Kind.SPOT:
                lots, beside_e8 = held[key]
                left = lots * instrument.lot_e8 + beside_e8
                true = self._total_e8(instrument.base)
            else:
                left, true = held[key][0], self._lots.get(key, 0)
            if left != true:
                what = "lots" if instrument.kind is Kind.LINEAR else f"1e-8 {instrument.base}"
                self.breach(f"{key}: {true} {what} are held, the ledgers end with {left}")

    def _left(self, key: str, run: _Run, lots: int, carried_e8: int) -> tuple[int, int]:
        lots += run.lots.get(key, 0)
        paid_e8 = run.base_fees_e8.get(key, 0)
        if self._instruments[key].kind is not Kind.SPOT or not (paid_e8 or carried_e8):
            return lots, 0
        lot_e8 = self._instruments[key].lot_e8
        more, beside_e8 = divmod(carried_e8 - paid_e8, lot_e8)
        return lots + more, beside_e8

    def _total_e8(self, asset: str) -> int:
        totals = self._totals.get(asset)
        return totals[-1][1] if totals else 0

    def _check_words(self, words: LastWords) -> None:
        if words.open_at_venue != 0:
            self.breach(f"the engine could not prove its shutdown (exit code {words.exit_code})")
        if not self._runs:
            return
        run = self._runs[max(self._runs)]
        openings = {run.markets[one.core].key: one for one in run.reader.openings()}
        for key, numbers in words.numbers.items():
            opened = openings[key].position_lots if key in openings else 0
            sums = {
                "position_lots": opened + run.lots.get(key, 0),
                "cash_ticks_lots": _cash(numbers["cash_ticks_lots"], opened, run.cash.get(key, 0)),
                "fees_e8": run.fees_e8.get(key, 0),
                "fees_base_e8": run.base_fees_e8.get(key, 0),
                "fills": run.counts.get(key, 0),
            }
            for name, true in sums.items():
                if numbers[name] != true:
                    self.breach(
                        f"{key}: {name} is {true} by the ledger, the engine says {numbers[name]}"
                    )
            for own in numbers["own"]:
                told = ", ".join(f"{name} {value}" for name, value in own.items())
                self.breach(f"the engine ends believing in an order: {told}")


def _cash(told: int, opened_lots: int, fills: int) -> int:
    """What it should be. An opening is paid for at the mid of some touch, which no ledger holds:
    twice a mid is a whole number, and that leaves one figure in as many as there are lots."""
    # Truncated or rounded down: a half of a tick's lot may go either way.
    if not opened_lots:
        return fills
    twice_mid = round(2 * (fills - told) / opened_lots)
    paid = (opened_lots * (twice_mid + more) for more in (-1, 0, 1))
    possible = {fills - (one + up) // 2 for one in paid for up in (0, 1)}
    is_paid = twice_mid > 0 and told in possible
    return told if is_paid else fills - opened_lots * max(twice_mid, 2) // 2
