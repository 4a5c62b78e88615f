"""Order book topics of Bybit v5: one chain of messages a topic, on the venue's push grid.

"Orderbook" of the v5 documents: depth 1 is snapshots only, sent again with the same `u` after
3 s without a change; deeper topics start with a snapshot and go on with deltas of the levels
within the depth (a level pushed out of it is deleted, as recorded). `u` counts the messages of a
topic; it starts anew from 1, with a snapshot, when the service does.
"""

from dataclasses import dataclass, field, replace

from engine.exchange.book import Quote
from engine.exchange.bybit import texts
from engine.exchange.events import DepthSnapshot, Market, stale_snapshot, told_snapshot
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
    fresh_u: int = 0  # the last one before snapshots became stale
    update_id: int = 0
    change_ns: int = 0  # when the book last changed
    sent_ns: int = 0
    due_ns: int = NEVER_NS
    is_taped: bool = False
    needs_snapshot: bool = False
    bids: list[Quote] = field(default_factory=list)
    asks: list[Quote] = field(default_factory=list)

    @classmethod
    def opened(cls, topic: str, market: Market, depth: int, u: int, now_ns: int) -> "BookChain":
        chain = cls(topic, market, depth, u, change_ns=now_ns, sent_ns=now_ns)
        chain.fresh_u = u - (market.stale is not None)
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
        if (stale := stale_snapshot(self.market, self.depth)) is not None:
            told = replace(self, u=self.fresh_u, update_id=stale.update_id)
            return told._text("snapshot", stale.bids, stale.asks, now_ns, skew_ns)
        return self._text("snapshot", self.bids, self.asks, now_ns, skew_ns)

    def push(self, now_ns: int, skew_ns: int) -> str:
        """The message that is due; empty when nothing changed after all."""
        self.due_ns = self.sent_ns + RESEND_NS if self.depth == 1 else NEVER_NS
        depth = self.market.snapshot(self.depth)
        if depth.update_id < self.update_id:
            self.u, self.fresh_u, self.needs_snapshot = 0, 0, True  # the sequence starts anew
        before = (self.bids, self.asks)
        is_same = before == (depth.bids, depth.asks) and not self.needs_snapshot
        if is_same and (self.depth > 1 or now_ns - self.sent_ns < RESEND_NS):
            return ""
        is_whole = self.depth == 1 or self.needs_snapshot
        self._take(depth)
        self.u += not is_same
        if self.market.stale is None:
            self.fresh_u = self.u
        self.sent_ns = now_ns
        self.due_ns = now_ns + RESEND_NS if self.depth == 1 else NEVER_NS
        self.needs_snapshot = False
        if is_whole:
            return self._text("snapshot", self.bids, self.asks, now_ns, skew_ns)
        bids, asks = _changes(before[0], self.bids, -1), _changes(before[1], self.asks, 1)
        return self._text("delta", bids, asks, now_ns, skew_ns)

    def _take(self, depth: DepthSnapshot) -> None:
        self.update_id = depth.update_id
        self.bids, self.asks = depth.bids, depth.asks

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


def _changes(old: list[Quote], new: list[Quote], sign: int) -> list[Quote]:
    """Levels to set, with 0 for those that went, best first as both lists are."""
    if old == new:
        return []
    told, prices = set(old), {px_ticks for px_ticks, _ in new}
    changes = [quote for quote in new if quote not in told]
    gone = [(px_ticks, 0) for px_ticks, _ in old if px_ticks not in prices]
    return sorted(changes + gone, key=lambda quote: sign * quote[0]) if gone else changes


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
        depth = told_snapshot(market, limit)
        bids, asks, seq = depth.bids, depth.asks, depth.update_id
    elif (stale := stale_snapshot(market, limit)) is not None:
        bids, asks, seq, u = stale.bids, stale.asks, stale.update_id, chain.fresh_u
    else:
        bids, asks = chain.bids[:limit], chain.asks[:limit]
        seq, u, cts = chain.update_id, chain.u, (chain.change_ns + skew_ns) // MS
    return (
        f'{{"s":"{instrument.symbol}","b":{levels_json(instrument, bids)},'
        f'"a":{levels_json(instrument, asks)},"ts":{now_ms},"u":{u},"seq":{seq},"cts":{cts}}}'
    )
