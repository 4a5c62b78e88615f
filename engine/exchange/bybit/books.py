"""Order book topics of Bybit v5: one chain of messages a topic, on the venue's push grid.

"Orderbook" of the v5 documents: depth 1 is snapshots only, sent again with the same `u` after
3 s without a change; deeper topics start with a snapshot and go on with deltas of the levels
within the depth (a level pushed out of it is deleted, as recorded). `u` counts the messages of a
topic; it starts anew from 1, with a snapshot, when the service does.
"""

from dataclasses import dataclass, field

from engine.exchange.book import Quote
from engine.exchange.bybit import texts
from engine.exchange.events import DepthSnapshot, Market
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import NEVER_NS

MS = 1_000_000
INTERVAL_MS = {1: 10, 50: 20, 200: 100, 1000: 200}
RESEND_NS = 3_000 * MS
FIRST_U = 18_000_000


@dataclass(slots=True)
class BookChain:
    """What the subscribers of one topic have been told. `is_taped`: a recording speaks instead."""

    topic: str
    market: Market
    depth: int
    u: int
    update_id: int = 0
    change_ns: int = 0  # when the book last changed
    sent_ns: int = 0
    due_ns: int = NEVER_NS
    is_taped: bool = False
    needs_snapshot: bool = False
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    @classmethod
    def opened(cls, topic: str, market: Market, depth: int, u: int, now_ns: int) -> "BookChain":
        chain = cls(topic, market, depth, u, change_ns=now_ns, sent_ns=now_ns)
        chain._take(market.snapshot(depth))
        if depth == 1:
            chain.due_ns = now_ns + RESEND_NS
        return chain

    def touch(self, t_ns: int) -> None:
        """The book changed: a message is due at the next point of the grid."""
        self.change_ns = t_ns
        interval_ns = INTERVAL_MS[self.depth] * MS
        self.due_ns = min(self.due_ns, (t_ns // interval_ns + 1) * interval_ns)

    def snapshot_text(self, now_ns: int, skew_ns: int) -> str:
        """What a new subscriber gets: the book as the others have it by now."""
        return self._text("snapshot", list(self.bids.items()), list(self.asks.items()),
                          now_ns, skew_ns)  # fmt: skip

    def push(self, now_ns: int, skew_ns: int) -> str:
        """The message that is due; empty when nothing changed after all."""
        self.due_ns = self.sent_ns + RESEND_NS if self.depth == 1 else NEVER_NS
        depth = self.market.snapshot(self.depth)
        if depth.update_id < self.update_id:
            self.u, self.needs_snapshot = 0, True  # the sequence starts anew
        bids, asks = dict(depth.bids), dict(depth.asks)
        is_same = bids == self.bids and asks == self.asks and not self.needs_snapshot
        if is_same and (self.depth > 1 or now_ns - self.sent_ns < RESEND_NS):
            return ""
        changes = [_changes(self.bids, bids, -1), _changes(self.asks, asks, 1)]
        is_whole = self.depth == 1 or self.needs_snapshot
        self._take(depth)
        self.u += not is_same
        self.sent_ns = now_ns
        self.due_ns = now_ns + RESEND_NS if self.depth == 1 else NEVER_NS
        self.needs_snapshot = False
        if is_whole:
            return self.snapshot_text(now_ns, skew_ns)
        return self._text("delta", changes[0], changes[1], now_ns, skew_ns)

    def _take(self, depth: DepthSnapshot) -> None:
        self.update_id = depth.update_id
        self.bids, self.asks = dict(depth.bids), dict(depth.asks)

    def _text(
        self, kind: str, bids: list[Quote], asks: list[Quote], now_ns: int, skew_ns: int
    ) -> str:
        instrument = self.market.instrument
        ts, cts = (now_ns + skew_ns) // MS, (self.change_ns + skew_ns) // MS
        head = f'"type":"{kind}","ts":{ts}'
        if self.depth == 1 or instrument.kind is Kind.SPOT:
            head = f'"ts":{ts},"type":"{kind}"'
        return (
            f'{{"topic":"{self.topic}",{head},"data":{{"s":"{instrument.symbol}",'
            f'"b":{levels_json(instrument, bids)},"a":{levels_json(instrument, asks)},'
            f'"u":{self.u},"seq":{self.update_id}}},"cts":{cts}}}'
        )


def _changes(old: dict[int, int], new: dict[int, int], sign: int) -> list[Quote]:
    """Levels to set, with 0 for those that went, best first."""
    changes = [(px, qty) for px, qty in new.items() if old.get(px) != qty]
    changes += [(px, 0) for px in old if px not in new]
    return sorted(changes, key=lambda change: sign * change[0])


def levels_json(instrument: Instrument, levels: list[Quote]) -> str:
    price, quantity = texts.price, texts.quantity
    parts = [f'["{price(instrument, p)}","{quantity(instrument, q)}"]' for p, q in levels]
    return "[" + ",".join(parts) + "]"


def rest_book_json(
    market: Market, chain: BookChain | None, limit: int, u: int, now_ms: int, skew_ns: int
) -> str:
    """GET /v5/market/orderbook: what the deepest topic has told, so that equal `u` means an equal
    book; without subscribers, the book as it is."""
    instrument = market.instrument
    cts, seq = now_ms, 0
    if chain is None:
        depth = market.snapshot(limit)
        bids, asks, seq = depth.bids, depth.asks, depth.update_id
    else:
        bids, asks = list(chain.bids.items())[:limit], list(chain.asks.items())[:limit]
        seq, u, cts = chain.update_id, chain.u, (chain.change_ns + skew_ns) // MS
    return (
        f'{{"s":"{instrument.symbol}","b":{levels_json(instrument, bids)},'
        f'"a":{levels_json(instrument, asks)},"ts":{now_ms},"u":{u},"seq":{seq},"cts":{cts}}}'
    )
