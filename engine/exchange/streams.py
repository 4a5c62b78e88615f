"""Public streams of Binance USD-M, sans-IO: who subscribes to what, and the frames they get.

A depth stream of each speed has its own chain: U is the first update id it covers, u the last,
pu the u before. `@depth@0ms` is the venue's undocumented real-time stream; it batches too (the
venue was seen at about 30 ms), so bookTicker runs ahead of it and clients must fuse by id.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from engine.exchange.binance_frames import (
    agg_trade_json,
    best_json,
    depth_json,
    trade_json,
)
from engine.exchange.events import (
    NEVER_NS,
    BestChange,
    DepthChange,
    Market,
    Output,
    TapeFrame,
    Trade,
)

MS = 1_000_000
DEPTH_INTERVAL_MS = {"depth": 250, "depth@500ms": 500, "depth@100ms": 100}
REALTIME_DEPTH = "depth@0ms"
REALTIME_DEPTH_MS = 10

ConnT = TypeVar("ConnT", bound=Hashable)


@dataclass(slots=True)
class Subscribers(Generic[ConnT]):
    raw: set[ConnT] = field(default_factory=set)
    combined: set[ConnT] = field(default_factory=set)


@dataclass(slots=True)
class DepthChain:
    """What one depth stream has gathered since its last frame."""

    interval_ns: int
    prev_final_id: int
    final_id: int
    due_ns: int = 0
    t_ns: int = 0
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))


Delivery = tuple[set[ConnT], str]


class PublicStreams(Generic[ConnT]):
    """Connections are opaque; a name is `btcusdt@trade`. Frames are built only if wanted."""

    def __init__(
        self, markets: Mapping[str, Market], realtime_depth_ms: int = REALTIME_DEPTH_MS
    ) -> None:
        self._markets = markets
        self._intervals_ms = {**DEPTH_INTERVAL_MS, REALTIME_DEPTH: realtime_depth_ms}
        self._subscribers: dict[str, Subscribers[ConnT]] = {}
        self._chains: dict[str, DepthChain] = {}
        self._agg_trade_id = 0

    # -- SUBSCRIPTIONS ---

    def subscribe(self, conn: ConnT, is_combined: bool, names: Iterable[str], now_ns: int) -> None:
        """Unknown names are accepted and stay silent, as at the venue."""
        for name in names:
            symbol, _, kind = name.partition("@")
            market = self._markets.get(symbol.upper())
            if market is not None:
                market.on_public_subscriber(now_ns)
                if kind in self._intervals_ms and name not in self._chains:
                    update_id = market.snapshot(0).update_id
                    interval_ns = self._intervals_ms[kind] * MS
                    self._chains[name] = DepthChain(interval_ns, update_id, update_id)
            subscribers = self._subscribers.setdefault(name, Subscribers())
            (subscribers.combined if is_combined else subscribers.raw).add(conn)

    def unsubscribe(self, conn: ConnT, names: Iterable[str]) -> None:
        for name in names:
            if subscribers := self._subscribers.get(name):
                subscribers.raw.discard(conn)
                subscribers.combined.discard(conn)
                if not subscribers.raw and not subscribers.combined:
                    del self._subscribers[name]
                    self._chains.pop(name, None)

    def names_of(self, conn: ConnT) -> list[str]:
        return [n for n, s in self._subscribers.items() if conn in s.raw or conn in s.combined]

    def drop(self, conn: ConnT) -> None:
        self.unsubscribe(conn, self.names_of(conn))

    # -- FRAMES ---

    def frames(self, outputs: Iterable[Output], now_ns: int) -> list[Delivery[ConnT]]:
        """Frames for `outputs` and for every depth stream that is due, in order."""
        deliveries: list[Delivery[ConnT]] = []
        run: list[Trade] = []  # fills of one taker at one price
        for output in outputs:
            if run and not _continues(run[-1], output):
                self._deliver_agg_trade(run, deliveries, now_ns)
                run = []
            if isinstance(output, Trade):
                run.append(output)
                self._deliver_trade(output, deliveries, now_ns)
            elif isinstance(output, BestChange):
                name = f"{output.symbol.lower()}@bookTicker"
                if name in self._subscribers:
                    instrument = self._markets[output.symbol].instrument
                    self._deliver(name, best_json(instrument, output, now_ns), deliveries)
            elif isinstance(output, DepthChange):
                self._gather(output)
            elif isinstance(output, TapeFrame):
                self._deliver_tape(output, deliveries)
        if run:
            self._deliver_agg_trade(run, deliveries, now_ns)
        for name, chain in self._chains.items():
            if chain.final_id > chain.prev_final_id and now_ns >= chain.due_ns:
                self._deliver_depth(name, chain, deliveries, now_ns)
        return deliveries

    def next_due_ns(self) -> int:
        return min(
            (c.due_ns for c in self._chains.values() if c.final_id > c.prev_final_id),
            default=NEVER_NS,
        )

    def _gather(self, change: DepthChange) -> None:
        symbol = change.symbol.lower()
        for kind in self._intervals_ms:
            chain = self._chains.get(f"{symbol}@{kind}")
            if chain is None:
                continue
            chain.final_id, chain.t_ns = change.final_update_id, change.t_ns
            for side, px_ticks, qty_lots in change.changes:
                chain.sides[side][px_ticks] = qty_lots

    def _deliver_depth(
        self, name: str, chain: DepthChain, deliveries: list[Delivery[ConnT]], now_ns: int
    ) -> None:
        instrument = self._markets[name.partition("@")[0].upper()].instrument
        ids = (chain.prev_final_id + 1, chain.final_id, chain.prev_final_id)
        sides = (sorted(chain.sides[0].items()), sorted(chain.sides[1].items()))
        text = depth_json(instrument, ids, sides, chain.t_ns, now_ns)
        chain.sides = ({}, {})
        chain.prev_final_id = chain.final_id
        chain.due_ns = now_ns + chain.interval_ns
        self._deliver(name, text, deliveries)

    def _deliver_trade(self, trade: Trade, deliveries: list[Delivery[ConnT]], now_ns: int) -> None:
        name = f"{trade.symbol.lower()}@trade"
        if name in self._subscribers:
            instrument = self._markets[trade.symbol].instrument
            self._deliver(name, trade_json(instrument, trade, now_ns), deliveries)

    def _deliver_agg_trade(
        self, run: list[Trade], deliveries: list[Delivery[ConnT]], now_ns: int
    ) -> None:
        self._agg_trade_id += 1
        name = f"{run[0].symbol.lower()}@aggTrade"
        if name in self._subscribers:
            instrument = self._markets[run[0].symbol].instrument
            text = agg_trade_json(instrument, run, self._agg_trade_id, now_ns)
            self._deliver(name, text, deliveries)

    def _deliver_tape(self, frame: TapeFrame, deliveries: list[Delivery[ConnT]]) -> None:
        """The recorded bytes to the recorded stream's subscribers; a depth stream of another
        speed gets the same data under the name that it asked for."""
        if subscribers := self._subscribers.get(frame.stream):
            if subscribers.combined:
                deliveries.append((subscribers.combined, frame.text))
            if subscribers.raw:
                deliveries.append((subscribers.raw, frame.data))
        symbol, _, kind = frame.stream.partition("@")
        if kind in self._intervals_ms:
            for other in self._intervals_ms:
                name = f"{symbol}@{other}"
                if other != kind and name in self._subscribers:
                    self._deliver(name, frame.data, deliveries)

    def _deliver(self, name: str, data: str, deliveries: list[Delivery[ConnT]]) -> None:
        subscribers = self._subscribers.get(name)
        if subscribers is None:
            return
        if subscribers.combined:
            deliveries.append((subscribers.combined, f'{{"stream":"{name}","data":{data}}}'))
        if subscribers.raw:
            deliveries.append((subscribers.raw, data))


def _continues(last: Trade, output: Output) -> bool:
    """`output` is the next fill of the same taker at the same price."""
    return (
        isinstance(output, Trade)
        and output.taker is last.taker
        and output.px_ticks == last.px_ticks
        and output.symbol == last.symbol
    )
