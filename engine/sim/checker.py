"""Does what the engine believes agree with what happened? A judge who asks neither of the two.

Two logs go in, record by record as they are written: the exchange's truth and the engine's
journal, read with nothing but the journal's reader. Then the engine's last numbers. Nothing of
the engine's own belief-making is imported. Each breach is one sentence with numbers.

What is held against the truth:
- every order at the venue was journaled as an intent with that client id, side, price and
  quantity (or as an amendment), and was placed once;
- every fill that the journal holds happened, with that price, quantity, fee and maker flag, once;
- every fill that happened is in the journal, and position, cash and fees add up to it exactly,
  unless the engine itself says that it knows better than to quote (it stands aside as diverged),
  or has lost the user stream: then fills may be missing whose lots cancel out, and no others;
- no quote left while the state word said halted;
- after the ordered shutdown nothing is open at the venue.
"""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.exchange.book import Side
from engine.exchange.instruments import Instrument
from engine.exchange.terms import OPEN_STATUSES, Exec, Status
from engine.exchange.truth import FillRecord, OrderRecord, Record
from fastcore.journal import END_OF_SEGMENT, INPUT_LAST, KIND, OUT_HEADER, read_segment, unpack
from fastcore.types import OrderState

BREACHES_MAX = 20  # the first ones say enough
REFUSED_AFTER_NS = 600 * 1_000_000_000  # what the venue has not taken by then, it won't
ENDED = (OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED)


class Belief(NamedTuple):
    """What the engine said when it ended."""

    numbers: dict[str, Any]  # Core.numbers()
    is_diverged: bool  # it knows that its fills don't add up to the venue's position
    exit_code: int
    open_at_venue: int | None  # as told by its `stopped` line; None: it could not find out
    may_miss: bool = False  # it lost the user stream: fills of that time may be unknown to it


@dataclass
class _Intent:
    """An order as the journal holds it before it was sent, and its amendments."""

    side: str
    sent_ns: int
    terms: set[tuple[int, int]] = field(default_factory=set)  # (px_ticks, qty_lots)


class Checker:
    """One engine on one instrument of one account."""

    def __init__(self, instrument: Instrument, account: int) -> None:
        self.breaches: list[str] = []
        self.orders = 0
        self.fills = 0
        self.missed = 0  # fills that the engine never heard of
        self.read_ns = 0  # time of the last journal record that was read
        self._instrument = instrument
        self._account = account
        self._intents: dict[str, _Intent] = {}
        self._status: dict[str, Status] = {}  # at the venue, by client id
        self._happened: dict[tuple[int, int], FillRecord] = {}  # not in the journal (yet)
        self._believed: dict[tuple[int, int], dict[str, int]] = {}  # not in the truth (yet)
        self._seen: set[tuple[int, int]] = set()  # fills of the journal
        self._seen_before: set[tuple[int, int]] = set()  # ... of the time before the last tidy()
        self._position_lots = 0
        self._cash_ticks_lots = 0
        self._fees_e8 = 0
        self._bits = 0
        self._quotes: list[tuple[int, str]] = []  # of the input in hand: (when, client id)

    def breach(self, text: str) -> None:
        if len(self.breaches) < BREACHES_MAX:
            self.breaches.append(text)

    # -- THE TRUTH ---

    def on_truth(self, record: Record) -> None:
        """Feed the journal first: an intent is written before its order exists."""
        if isinstance(record, OrderRecord) and record.account == self._account:
            self._on_order(record)
        elif isinstance(record, FillRecord) and record.account == self._account:
            self._on_fill(record)

    def _on_order(self, record: OrderRecord) -> None:
        name = record.client_order_id
        if record.exec_type is Exec.NEW or name not in self._status:
            self.orders += 1
            if name in self._status:
                self.breach(f"order {name} was placed twice at the venue")
        self._status[name] = record.status
        intent = self._intents.get(name)
        if intent is None:
            self.breach(f"order {name} is at the venue, and no open intent of it in the journal")
            return
        terms = (record.px_ticks, record.qty_lots)
        if intent.side != record.side.name or terms not in intent.terms:
            self.breach(
                f"order {name} is {record.side.name} {terms} at the venue, {intent.side} "
                f"{sorted(intent.terms)} in the journal (ticks, lots)"
            )

    def _on_fill(self, record: FillRecord) -> None:
        self.fills += 1
        signed_lots = _signed_lots(record)
        self._position_lots += signed_lots
        self._cash_ticks_lots -= signed_lots * record.px_ticks
        self._fees_e8 += record.fee_e8
        key = (record.order_id, record.trade_id)
        believed = self._believed.pop(key, None)
        if believed is None:
            self._happened[key] = record
        else:
            self._compare(record, believed)

    def _compare(self, record: FillRecord, believed: dict[str, int]) -> None:
        names = ("side", "px_ticks", "qty_lots", "fee_e8", "is_maker")
        happened = (
            0 if record.side is Side.BUY else 1, record.px_ticks, record.qty_lots, record.fee_e8,
            int(record.is_maker),
        )  # fmt: skip
        for name, true in zip(names, happened, strict=True):
            if believed[name] != true:
                self.breach(
                    f"fill {record.trade_id} of order {record.client_order_id}: {name} was "
                    f"{true}, the journal says {believed[name]}"
                )

    # -- THE JOURNAL ---

    def on_segment(self, data: bytes) -> None:
        """The bytes of one whole file of the journal; files in order."""
        for _, kind, _, _, now_ns, _, payload in read_segment(data):
            if kind == END_OF_SEGMENT:
                break
            self.read_ns = now_ns
            if kind <= INPUT_LAST:
                self._end_input()
            elif kind == KIND["OUT"]:
                self._on_out(bytes(payload), now_ns)
            elif kind == KIND["STATE"]:
                self._bits = unpack(kind, payload)["new_bits"]
            elif kind == KIND["FILL"]:
                self._on_believed_fill(unpack(kind, payload))

    def _end_input(self) -> None:
        """The state word as the input left it is the one that its quotes were sent under."""
        for now_ns, name in self._quotes:
            if self._bits:
                self.breach(f"quote {name} left at {now_ns} ns while halted ({self._bits:#x})")
        self._quotes.clear()

    def _on_out(self, payload: bytes, now_ns: int) -> None:
        message = json.loads(payload[OUT_HEADER.size :])
        if message["method"] not in ("order.place", "order.modify"):
            return
        params = message["params"]
        is_place = message["method"] == "order.place"
        name = params["newClientOrderId" if is_place else "origClientOrderId"]
        terms = (
            self._instrument.px.units(params["price"]),
            self._instrument.qty.units(params["quantity"]),
        )
        if is_place and (name in self._intents or name in self._status):
            self.breach(f"intent {name} was sent twice")
        intent = self._intents.setdefault(name, _Intent(params["side"], now_ns))
        intent.terms.add(terms)
        if params.get("reduceOnly") not in (True, "true", "TRUE"):
            self._quotes.append((now_ns, name))

    def _on_believed_fill(self, believed: dict[str, int]) -> None:
        key = (believed["venue_order_id"], believed["trade_id"])
        if key in self._seen or key in self._seen_before:
            self.breach(f"fill {key[1]} of order {key[0]} was booked twice")
            return
        self._seen.add(key)
        record = self._happened.pop(key, None)
        if record is None:
            self._believed[key] = believed
        else:
            self._compare(record, believed)

    # -- THE END ---

    def tidy(self) -> None:
        """Let go of what has ended, so that a day needs no more memory than an hour. Call when
        both logs have been read up to the same moment."""
        for name, intent in list(self._intents.items()):
            status = self._status.get(name)
            is_refused = status is None and intent.sent_ns < self.read_ns - REFUSED_AFTER_NS
            if is_refused or (status is not None and status not in OPEN_STATUSES):
                del self._intents[name]
        self._seen_before, self._seen = self._seen, set()

    def finish(self, belief: Belief) -> list[str]:
        self._end_input()
        for key in self._believed:
            self.breach(f"fill {key[1]} of order {key[0]} is in the journal and never happened")
        self.missed = len(self._happened)
        for name, status in self._status.items():
            if status in OPEN_STATUSES:
                self.breach(f"order {name} is open at the venue after the shutdown")
        if belief.open_at_venue != 0:
            self.breach(f"the engine could not prove its shutdown (exit code {belief.exit_code})")
        if not belief.is_diverged:
            self._check_sums(belief.numbers, belief.may_miss)
        for own in belief.numbers["own"]:
            if own["state"] in ENDED and (belief.is_diverged or belief.may_miss):
                continue  # it knows that fills happened whose terms nobody has told it
            words = ", ".join(f"{name} {value}" for name, value in own.items())
            self.breach(f"the engine ends believing in an order: {words}")
        return self.breaches

    def _check_sums(self, numbers: dict[str, Any], may_miss: bool) -> None:
        sums = {
            "position_lots": self._position_lots,
            "cash_ticks_lots": self._cash_ticks_lots,
            "fees_e8": self._fees_e8,
            "fills": self.fills,
        }
        for record in self._happened.values():
            if may_miss:  # but for the position, which is the venue's to say
                sums["cash_ticks_lots"] += _signed_lots(record) * record.px_ticks
                sums["fees_e8"] -= record.fee_e8
                sums["fills"] -= 1
            else:
                self.breach(
                    f"fill {record.trade_id} of order {record.client_order_id} happened "
                    f"({record.side.name} {record.qty_lots} at {record.px_ticks}), not in the "
                    "journal"
                )
        for name, true in sums.items():
            if numbers[name] != true:
                self.breach(f"{name} is {true}, the engine says {numbers[name]}")


def _signed_lots(record: FillRecord) -> int:
    return record.qty_lots if record.side is Side.BUY else -record.qty_lots
