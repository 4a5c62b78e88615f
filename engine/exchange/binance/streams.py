"""Market streams of Binance's venues, sans-IO: who subscribes to what, and the frames they get.

A depth stream of each speed has its own chain: U is the first update id it covers, u the last,
pu the id before U. `@depth@0ms` is USD-M's undocumented real-time stream; it batches too (the
venue was seen at about 30 ms), so bookTicker runs ahead of it and clients must fuse by id.
A venue's JSON comes from its StreamFormat; frames are built only if somebody wants them.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.exchange.binance.formats import StreamFormat, StreamRules
from engine.exchange.binance.history import AggTrade, AggTrades, History
from engine.exchange.binance.timed import Timed, TimedStreams
from engine.exchange.events import (
    BestChange,
    DepthChange,
    Market,
    MarkUpdate,
    Output,
    TapeFrame,
    Trade,
)
from engine.exchange.face import Action, WsSend
from engine.exchange.instruments import Instrument
from engine.exchange.terms import NEVER_NS

MS = 1_000_000
TAPE_TRADES_MAX = 1_000


@dataclass(slots=True)
class Subscribers:
    raw: tuple[int, ...] = ()
    combined: tuple[int, ...] = ()

    def add(self, conn: int, is_combined: bool) -> None:
        self.remove(conn)
        if is_combined:
            self.combined += (conn,)
        else:
            self.raw += (conn,)

    def remove(self, conn: int) -> None:
        self.raw = tuple(other for other in self.raw if other != conn)
        self.combined = tuple(other for other in self.combined if other != conn)


@dataclass(slots=True)
class DepthChain:
    """What one depth stream has gathered since its last frame."""

    name: str
    instrument: Instrument
    interval_ns: int
    final_id: int
    first_id: int = 0
    due_ns: int = 0
    t_ns: int = 0
    is_pending: bool = False
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))

    def gather(self, change: DepthChange) -> None:
        """Ids that don't follow are a sequence that started anew: what was pending is lost."""
        if self.is_pending and change.first_update_id != self.final_id + 1:
            self.clear()
        if not self.is_pending:
            self.first_id, self.is_pending = change.first_update_id, True
        self.final_id, self.t_ns = change.final_update_id, change.t_ns
        for side, px_ticks, qty_lots in change.changes:
            self.sides[side][px_ticks] = qty_lots

    def rescale(self, factor: int, instrument: Instrument) -> None:
        """The same prices in finer ticks. What is pending stays so: its ids must be told."""
        self.instrument = instrument
        if factor > 1:
            bids, asks = [
                {px_ticks * factor: qty_lots for px_ticks, qty_lots in side.items()}
                for side in self.sides
            ]
            self.sides = (bids, asks)

    def clear(self) -> None:
        self.sides, self.is_pending = ({}, {}), False


@dataclass(slots=True)
class SymbolStreams:
    """Names and gathered things of one symbol."""

    best_name: str
    trade_name: str
    agg_name: str
    history: History
    agg_trades: AggTrades
    instrument: Instrument  # as the history counts
    rank: int  # among the venue's symbols
    chains: dict[str, DepthChain] = field(default_factory=dict)
    tape_trades: deque[str] = field(default_factory=lambda: deque(maxlen=TAPE_TRADES_MAX))

    def due_ns(self) -> int:
        """When something that was gathered leaves."""
        due_ns = self.agg_trades.due_ns()
        for chain in self.chains.values():
            if chain.is_pending and chain.due_ns < due_ns:
                due_ns = chain.due_ns
        return due_ns


class MarketStreams:
    """Connections are numbers; a name is `btcusdt@trade`."""

    def __init__(
        self, markets: Mapping[str, Market], rules: StreamRules, formats: StreamFormat
    ) -> None:
        self._markets = markets
        self._rules = rules
        self._format = formats
        self._keys = {key.lower(): key for key in markets}
        self._subscribers: dict[str, Subscribers] = {}
        self._timed: dict[str, Timed] = {}
        self._taped: dict[str, None] = dict.fromkeys(  # their frames come from a recording
            name for market in markets.values() for name in getattr(market, "recorded_streams", ())
        )
        agg_ns = rules.agg_trade_ms * MS
        self.symbols = {
            key: SymbolStreams(
                f"{key.lower()}@bookTicker",
                f"{key.lower()}@trade",
                f"{key.lower()}@aggTrade",
                History(),
                AggTrades(agg_ns),
                market.instrument,
                rank,
            )
            for rank, (key, market) in enumerate(markets.items())
        }
        self._busy: dict[int, SymbolStreams] = {}  # by rank: those that gathered something
        histories = {key: symbol.history for key, symbol in self.symbols.items()}
        self._timed_streams = TimedStreams(markets, histories, rules, formats)

    # -- SUBSCRIPTIONS ---

    def subscribe(self, conn: int, is_combined: bool, names: Iterable[str], t_ns: int) -> None:
        """Unknown names are accepted and stay silent, as at the venue."""
        for name in names:
            symbol, _, kind = name.partition("@")
            key = self._keys.get(symbol)
            if key is not None:
                self._markets[key].on_public_subscriber(t_ns)
            self._subscribers.setdefault(name, Subscribers()).add(conn, is_combined)
            if key is not None and kind in self._rules.depth_ms:
                self._start_chain(name, key, kind)
                continue
            if name in self._timed or name in self._taped:
                continue
            if timed := self._timed_streams.stream(name, key, kind, t_ns):
                self._timed[name] = timed

    def unsubscribe(self, conn: int, names: Iterable[str]) -> None:
        for name in names:
            subscribers = self._subscribers.get(name)
            if subscribers is None:
                continue
            subscribers.remove(conn)
            if not subscribers.raw and not subscribers.combined:
                del self._subscribers[name]
                self._timed.pop(name, None)
                if key := self._keys.get(name.partition("@")[0]):
                    self.symbols[key].chains.pop(name, None)

    def _start_chain(self, name: str, key: str, kind: str) -> None:
        chains, market = self.symbols[key].chains, self._markets[key]
        if name not in chains:
            interval_ns = self._rules.depth_ms[kind] * MS
            update_id = market.snapshot(0).update_id
            chains[name] = DepthChain(name, market.instrument, interval_ns, update_id)

    # -- FRAMES ---

    def publish(self, outputs: Iterable[Output], t_ns: int, actions: list[Action]) -> None:
        """Frames for `outputs` and for every stream that is due, in order. Outputs count in the
        ticks of now, even those from before a change of the tick that came with them."""
        for key, symbol in self.symbols.items():
            if symbol.instrument is not self._markets[key].instrument:
                self._rescale(key, t_ns, actions)
        marks: list[MarkUpdate] = []
        for output in outputs:
            kind = type(output)
            if kind is BestChange:
                self._publish_best(output, t_ns, actions)  # type: ignore[arg-type]
            elif kind is DepthChange:
                self._gather(output)  # type: ignore[arg-type]
            elif kind is Trade:
                self._publish_trade(output, t_ns, actions)  # type: ignore[arg-type]
            elif kind is TapeFrame:
                self._publish_tape(output, actions)  # type: ignore[arg-type]
            elif kind is MarkUpdate:
                marks.append(output)  # type: ignore[arg-type]
        if marks:
            self._publish_marks(marks, t_ns, actions)
        self._publish_due(t_ns, actions)

    def next_due_ns(self) -> int:
        due_ns = NEVER_NS
        for symbol in self._busy.values():
            due_ns = min(due_ns, symbol.due_ns())
        for timed in self._timed.values():
            due_ns = min(due_ns, timed.due_ns)
        return due_ns

    def _publish_due(self, t_ns: int, actions: list[Action]) -> None:
        for rank in sorted(self._busy):
            symbol = self._busy[rank]
            if t_ns >= symbol.agg_trades.due_ns():
                self._publish_agg_trades(symbol, symbol.agg_trades.take(t_ns), t_ns, actions)
            for chain in symbol.chains.values():
                if chain.is_pending and t_ns >= chain.due_ns:
                    self._publish_depth(chain, t_ns, actions)
            if symbol.due_ns() == NEVER_NS:
                del self._busy[rank]
        for name, timed in self._timed.items():
            if t_ns >= timed.due_ns:
                timed.due_ns = t_ns + timed.interval_ns
                for data in timed.make(t_ns):
                    self._send(name, data, actions)

    def _publish_best(self, best: BestChange, t_ns: int, actions: list[Action]) -> None:
        name = self.symbols[best.symbol].best_name
        if name in self._subscribers:
            instrument = self._markets[best.symbol].instrument
            data = self._format.best(instrument, best.touch, best.update_id, best.t_ns, t_ns)
            self._send(name, data, actions)

    def _publish_trade(self, trade: Trade, t_ns: int, actions: list[Action]) -> None:
        symbol = self.symbols[trade.symbol]
        symbol.history.add(trade)
        symbol.agg_trades.add(trade)
        self._busy[symbol.rank] = symbol
        if symbol.trade_name in self._subscribers and symbol.trade_name not in self._taped:
            instrument = self._markets[trade.symbol].instrument
            self._send(symbol.trade_name, self._format.trade(instrument, trade, t_ns), actions)

    def _publish_agg_trades(
        self, symbol: SymbolStreams, ready: list[AggTrade], t_ns: int, actions: list[Action]
    ) -> None:
        for agg_trade in ready:
            symbol.history.agg_trades.append(agg_trade)
            if symbol.agg_name in self._subscribers:
                data = self._format.agg_trade(symbol.instrument, agg_trade, t_ns)
                self._send(symbol.agg_name, data, actions)

    def _gather(self, change: DepthChange) -> None:
        symbol = self.symbols[change.symbol]
        if symbol.chains:
            self._busy[symbol.rank] = symbol
        for chain in symbol.chains.values():
            chain.gather(change)

    def _rescale(self, key: str, t_ns: int, actions: list[Action]) -> None:
        """What was counted in ticks, once they have become finer."""
        symbol, instrument = self.symbols[key], self._markets[key].instrument
        factor = int(symbol.instrument.px.step / instrument.px.step)
        if factor > 1:
            self._publish_agg_trades(symbol, symbol.agg_trades.take_all(), t_ns, actions)
            symbol.history.rescale(factor)
        for chain in symbol.chains.values():
            chain.rescale(factor, instrument)
        symbol.instrument = instrument

    def _publish_depth(self, chain: DepthChain, t_ns: int, actions: list[Action]) -> None:
        ids = (chain.first_id, chain.final_id, chain.first_id - 1)
        sides = (sorted(chain.sides[0].items()), sorted(chain.sides[1].items()))
        data = self._format.depth(chain.instrument, ids, sides, chain.t_ns, t_ns)
        chain.clear()
        chain.due_ns = t_ns + chain.interval_ns
        self._send(chain.name, data, actions)

    def _publish_marks(self, marks: list[MarkUpdate], t_ns: int, actions: list[Action]) -> None:
        """Every second and every third one; alone, and all in one frame."""
        kinds = ("@1s",) if marks[0].t_ns // 1_000_000_000 % 3 else ("@1s", "")
        for kind in kinds:
            every = f"!markPrice@arr{kind}"
            datas: list[str] = []
            for mark in marks:
                name = f"{mark.symbol.lower()}@markPrice{kind}"
                is_wanted = name in self._subscribers and name not in self._taped
                if is_wanted or every in self._subscribers:
                    instrument = self._markets[mark.symbol].instrument
                    datas.append(self._format.mark(instrument, mark, t_ns))
                    if is_wanted:
                        self._send(name, datas[-1], actions)
            if every in self._subscribers and every not in self._taped:
                self._send(every, f"[{','.join(datas)}]", actions)

    def _publish_tape(self, frame: TapeFrame, actions: list[Action]) -> None:
        """The recorded bytes to the recorded stream's subscribers; a depth stream of another
        speed gets the same data under the name that it asked for."""
        symbol, _, kind = frame.stream.partition("@")
        if frame.stream not in self._taped:
            self._taped[frame.stream] = None
            self._timed.pop(frame.stream, None)
        if subscribers := self._subscribers.get(frame.stream):
            if subscribers.combined:
                actions.append(WsSend(subscribers.combined, frame.text))
            if subscribers.raw:
                actions.append(WsSend(subscribers.raw, frame.data))
        if kind in self._rules.depth_ms:
            for other in self._rules.depth_ms:
                name = f"{symbol}@{other}"
                if other != kind and name not in self._taped and name in self._subscribers:
                    self._send(name, frame.data, actions)
        elif kind == "trade" and (key := self._keys.get(symbol)):
            self.symbols[key].tape_trades.append(frame.data)

    def _send(self, name: str, data: str, actions: list[Action]) -> None:
        subscribers = self._subscribers.get(name)
        if subscribers is None or name in self._taped:
            return
        if subscribers.combined:
            actions.append(WsSend(subscribers.combined, f'{{"stream":"{name}","data":{data}}}'))
        if subscribers.raw:
            actions.append(WsSend(subscribers.raw, data))
