"""Public topics of Bybit v5: who subscribes to what, and the messages they get. Sans-IO.

Topics of linear and spot share their names, so everything is kept by product line. A recorded
message (TapeFrame) goes out as it was; what the recording does not hold is made from its book.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.bybit.books import FIRST_U, INTERVAL_MS, BookChain
from engine.exchange.bybit.history import INTERVAL_MINUTES, History
from engine.exchange.bybit.klines import KlineTopic
from engine.exchange.bybit.tickers import changed_fields, topic_fields
from engine.exchange.bybit.venue import Venue
from engine.exchange.bybit.wire import dumps
from engine.exchange.events import (
    BestChange,
    DepthChange,
    InstrumentUpdate,
    Market,
    MarkUpdate,
    Output,
    TapeFrame,
    Trade,
)
from engine.exchange.instruments import Kind
from engine.exchange.terms import NEVER_NS

MS = 1_000_000
TICKER_INTERVAL_MS = {Kind.LINEAR: 100, Kind.SPOT: 50}
TRADES_A_MESSAGE = 1_024
DEEPEST = max(INTERVAL_MS)
SILENT = ("allLiquidation", "adlAlert", "insurance", "priceLimit")  # accepted; nothing happens

# What public topics are made from; users' own reports stand between them.
MARKET_EVENTS = (Trade, DepthChange, BestChange, MarkUpdate, InstrumentUpdate, TapeFrame)

Delivery = tuple[tuple[int, ...], str]
TopicKey = tuple[Kind, str]


@dataclass(slots=True)
class TickerTopic:
    """One ticker's subscribers' view."""

    key: str
    sent: dict[str, str] = field(default_factory=dict)
    due_ns: int = NEVER_NS


def parse_topic(kind: Kind, topic: str) -> tuple[str, str, str] | None:
    """(name, argument, symbol); None: there is no such topic."""
    name, _, rest = topic.partition(".")
    if name == "orderbook":
        depth, _, symbol = rest.partition(".")
        is_known = depth.isascii() and depth.isdigit() and int(depth or 0) in INTERVAL_MS
        return (name, depth, symbol) if is_known and symbol else None
    if name == "kline":
        interval, _, symbol = rest.partition(".")
        is_known = interval in INTERVAL_MINUTES or interval == "M"
        return (name, interval, symbol) if is_known and symbol else None
    if name in ("publicTrade", "tickers", *SILENT) and rest:
        return name, "", rest
    return None


def _is_recorded(market: Market, stream: str) -> bool:
    """The stream has frames of its own."""
    return stream in getattr(market, "recorded_streams", ())


def _begins(market: Market) -> bool:
    """Nothing was served yet."""
    return not getattr(market, "served", 1)


class PublicStreams:
    """Of all public connections of both product lines."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._conns: dict[TopicKey, dict[int, None]] = {}
        self._chains: dict[TopicKey, BookChain] = {}
        self._tickers: dict[TopicKey, TickerTopic] = {}
        self._klines: dict[TopicKey, KlineTopic] = {}
        self._us: dict[TopicKey, int] = {}
        self._due_ns = NEVER_NS  # of all of them; may be early
        self.histories = {key: History() for key in venue.core.markets}
        self._chains_of: dict[str, list[BookChain]] = {key: [] for key in venue.core.markets}
        self._markets = dict(venue.core.markets)
        self._steps = {key: venue.instrument(key).px.step for key in venue.core.markets}
        self._taped = {
            key: bool(getattr(market, "is_recorded", False))
            for key, market in venue.core.markets.items()
        }

    # -- SUBSCRIPTIONS ---

    def unknown(self, kind: Kind, topic: str) -> bool:
        parsed = parse_topic(kind, topic)
        return parsed is None or not self._venue.key(kind, parsed[2])

    def subscribe(self, conn: int, kind: Kind, topic: str, now_ns: int) -> str:
        """A topic that is known; the first message for this connection, if there is one."""
        parsed = parse_topic(kind, topic)
        assert parsed is not None
        name, argument, symbol = parsed
        key, topic_key = self._venue.key(kind, symbol), (kind, topic)
        market = self._venue.core.markets[key]
        market.on_public_subscriber(now_ns)
        self._conns.setdefault(topic_key, {})[conn] = None
        if name == "orderbook":
            chain = self._chains.get(topic_key)
            if chain is None:
                u = self._us.setdefault(topic_key, FIRST_U + int(argument))
                if self._taped[key]:
                    u = market.snapshot(0).update_id  # what the recording goes on from
                chain = BookChain.opened(topic, market, int(argument), u, now_ns)
                chain.market = self._markets[key]  # `market` may be a fault's, for a while
                self._chains[topic_key] = chain
                self._chains_of[key].append(chain)
            if _is_recorded(market, f"{kind.value}/{topic}"):
                chain.is_taped, chain.due_ns = True, NEVER_NS
                if _begins(market):
                    return ""  # the recording's own snapshot is about to come
            if chain.is_taped:
                chain = BookChain.opened(
                    topic, market, chain.depth, market.snapshot(0).update_id, now_ns
                )
            self._due_ns = min(self._due_ns, chain.due_ns)
            return chain.snapshot_text(now_ns, self._venue.skew_ns)
        if name == "tickers":
            return self._open_ticker(topic_key, key, now_ns)
        if name == "kline":
            self._klines.setdefault(topic_key, KlineTopic(key, argument, topic))
        return ""

    def _open_ticker(self, topic_key: TopicKey, key: str, now_ns: int) -> str:
        ticker = self._tickers.setdefault(topic_key, TickerTopic(key))
        if self._taped[key]:
            return ""  # the recording's own tickers, or none
        if not ticker.sent:
            ticker.sent = self._ticker_fields(key)
        return self._ticker_text(topic_key, "snapshot", ticker.sent, now_ns)

    def unsubscribe(self, conn: int, kind: Kind, topic: str) -> None:
        topic_key = (kind, topic)
        conns = self._conns.get(topic_key)
        if conns is None:
            return
        conns.pop(conn, None)
        if conns:
            return
        del self._conns[topic_key]
        self._tickers.pop(topic_key, None)
        self._klines.pop(topic_key, None)
        if chain := self._chains.pop(topic_key, None):
            self._us[topic_key] = chain.u
            self._chains_of[chain.market.instrument.key].remove(chain)

    def drop(self, conn: int) -> None:
        for kind, topic in [key for key, conns in self._conns.items() if conn in conns]:
            self.unsubscribe(conn, kind, topic)

    # -- MESSAGES ---

    def messages(self, outputs: Iterable[Output], now_ns: int) -> list[Delivery]:
        """For `outputs`, in their order; then what is due by now."""
        told: list[Delivery] = []
        run: list[Trade] = []
        for output in outputs:
            if not isinstance(output, MARKET_EVENTS):
                continue
            if run and not (isinstance(output, Trade) and output.symbol == run[0].symbol):
                self._tell_trades(run, told, now_ns)
                run = []
            if isinstance(output, Trade):
                if output.is_public:
                    run.append(output)
            elif isinstance(output, DepthChange):
                self._touch_books(output.symbol, output.t_ns)
            elif isinstance(output, BestChange):
                self._touch_ticker(output.symbol, now_ns)
            elif isinstance(output, MarkUpdate):
                self.histories[output.symbol].on_mark(output)
                self._touch_ticker(output.symbol, now_ns)
            elif isinstance(output, InstrumentUpdate):
                self._on_instrument(output.symbol, output.t_ns)
            elif isinstance(output, TapeFrame):
                self._tell_tape(output, told, now_ns)
        if run:
            self._tell_trades(run, told, now_ns)
        self._tell_due(told, now_ns)
        return told

    def next_due_ns(self) -> int:
        return self._due_ns

    def _earliest_ns(self) -> int:
        due = [chain.due_ns for chain in self._chains.values()]
        due += [ticker.due_ns for ticker in self._tickers.values()]
        due += [kline.due_ns for kline in self._klines.values()]
        return min(due, default=NEVER_NS)

    def _tell_due(self, told: list[Delivery], now_ns: int) -> None:
        if now_ns < self._due_ns:
            return
        skew_ns = self._venue.skew_ns
        for topic_key, chain in self._chains.items():
            if chain.due_ns <= now_ns and (text := chain.push(now_ns, skew_ns)):
                self._tell(topic_key, text, told)
        for topic_key, ticker in self._tickers.items():
            if ticker.due_ns <= now_ns:
                self._tell_ticker(topic_key, ticker, told, now_ns)
        for topic_key, kline in self._klines.items():
            if kline.due_ns <= now_ns:
                instrument = self._venue.instrument(kline.key)
                text = kline.push(self.histories[kline.key], instrument, now_ns, skew_ns)
                if text:
                    self._tell(topic_key, text, told)
        self._due_ns = self._earliest_ns()

    def _tell(self, topic_key: TopicKey, text: str, told: list[Delivery]) -> None:
        if conns := self._conns.get(topic_key):
            told.append((tuple(conns), text))

    # -- BOOKS AND TICKERS ---

    def _touch_books(self, key: str, t_ns: int) -> None:
        for chain in self._chains_of[key]:
            if not chain.is_taped:
                chain.touch(t_ns)
                self._due_ns = min(self._due_ns, chain.due_ns)

    def _on_instrument(self, key: str, t_ns: int) -> None:
        """Books are told whole; what was counted in another tick is forgotten."""
        step = self._venue.instrument(key).px.step
        if step != self._steps[key]:
            self._steps[key] = step
            self.histories[key] = History()
        for chain in self._chains_of[key]:
            chain.needs_snapshot = True
        self._touch_books(key, t_ns)

    def _touch_ticker(self, key: str, now_ns: int) -> None:
        if self._taped[key]:
            return
        instrument = self._venue.instrument(key)
        ticker = self._tickers.get((instrument.kind, f"tickers.{instrument.symbol}"))
        if ticker is not None and ticker.due_ns == NEVER_NS:
            interval_ns = TICKER_INTERVAL_MS[instrument.kind] * MS
            ticker.due_ns = (now_ns // interval_ns + 1) * interval_ns
            self._due_ns = min(self._due_ns, ticker.due_ns)

    def _ticker_fields(self, key: str) -> dict[str, str]:
        return topic_fields(self._venue, self._venue.core.markets[key], self.histories[key])

    def _tell_ticker(
        self, topic_key: TopicKey, ticker: TickerTopic, told: list[Delivery], now_ns: int
    ) -> None:
        """Linear: what changed; spot: all of it."""
        ticker.due_ns = NEVER_NS
        fields = self._ticker_fields(ticker.key)
        changes = changed_fields(ticker.sent, fields)
        ticker.sent = fields
        if changes:
            is_spot = topic_key[0] is Kind.SPOT
            kind, data = ("snapshot", fields) if is_spot else ("delta", changes)
            self._tell(topic_key, self._ticker_text(topic_key, kind, data, now_ns), told)

    def _ticker_text(
        self, topic_key: TopicKey, kind: str, data: dict[str, str], now_ns: int
    ) -> str:
        product, topic = topic_key
        ts = self._venue.ms(now_ns)
        key = self._venue.key(product, data["symbol"])
        cs = self._venue.core.markets[key].snapshot(0).update_id
        if product is Kind.SPOT:
            head = {"topic": topic, "ts": ts, "type": kind, "cs": cs}
            return dumps({**head, "data": data})
        return dumps({"topic": topic, "type": kind, "data": data, "cs": cs, "ts": ts})

    # -- TRADES ---

    def _tell_trades(self, run: list[Trade], told: list[Delivery], now_ns: int) -> None:
        key = run[0].symbol
        history, instrument = self.histories[key], self._venue.instrument(key)
        directions = [history.on_trade(trade) for trade in run]
        if self._taped[key]:
            return  # the recording's own messages tell of them
        self._touch_ticker(key, now_ns)
        for kline in self._klines.values():
            if kline.key == key:
                kline.touch(now_ns)
                self._due_ns = min(self._due_ns, kline.due_ns)
        topic = f"publicTrade.{instrument.symbol}"
        topic_key = (instrument.kind, topic)
        if topic_key not in self._conns:
            return
        rows = [
            self._trade_json(trade, direction)
            for trade, direction in zip(run, directions, strict=True)
        ]
        ts = self._venue.ms(now_ns)
        head = f'"type":"snapshot","ts":{ts}'
        if instrument.kind is Kind.SPOT:
            head = f'"ts":{ts},"type":"snapshot"'
        for start in range(0, len(rows), TRADES_A_MESSAGE):
            data = ",".join(rows[start : start + TRADES_A_MESSAGE])
            self._tell(topic_key, f'{{"topic":"{topic}",{head},"data":[{data}]}}', told)

    def _trade_json(self, trade: Trade, direction: str) -> str:
        instrument = self._venue.instrument(trade.symbol)
        stamp, symbol = self._venue.ms(trade.t_ns), instrument.symbol
        side = "Buy" if trade.aggressor is Side.BUY else "Sell"
        qty = texts.quantity(instrument, trade.qty_lots)
        px = texts.price(instrument, trade.px_ticks)
        exec_id = texts.exec_id(trade.symbol, instrument.kind, trade.trade_id)
        seq = trade.trade_id
        if instrument.kind is Kind.SPOT:
            return (
                f'{{"i":"{exec_id}","T":{stamp},"p":"{px}","v":"{qty}","S":"{side}","seq":{seq},'
                f'"s":"{symbol}","BT":false,"RPI":false}}'
            )
        return (
            f'{{"T":{stamp},"s":"{symbol}","S":"{side}","v":"{qty}","p":"{px}","L":"{direction}",'
            f'"i":"{exec_id}","BT":false,"RPI":false,"seq":{seq}}}'
        )

    # -- RECORDINGS ---

    def _tell_tape(self, frame: TapeFrame, told: list[Delivery], now_ns: int) -> None:
        """The recorded bytes; deeper or shallower books of the same symbol follow by our own."""
        prefix, slash, topic = frame.stream.rpartition("/")
        name, _, symbol = topic.rpartition(".")
        kind = Kind(prefix) if slash else self._kind_of_tape(frame.text, symbol)
        if kind is None:
            return
        key = self._venue.key(kind, symbol)
        self._taped[key] = True
        topic_key = (kind, topic)
        self._tell(topic_key, frame.text, told)
        if name.startswith("orderbook."):
            if taped := self._chains.get(topic_key):
                taped.is_taped, taped.due_ns = True, NEVER_NS
            self._touch_books(key, now_ns)
        elif name == "publicTrade":
            self.histories[key].taped.append(frame.text)

    def _kind_of_tape(self, text: str, symbol: str) -> Kind | None:
        """Which line's message it is, where both have the symbol: spot writes `ts` first."""
        kinds = self._venue.kinds_of(symbol)
        if len(kinds) < 2:
            return kinds[0] if kinds else None
        return Kind.SPOT if text.find('"ts":') < text.find('"type":') else Kind.LINEAR

    def deepest(self, kind: Kind, symbol: str) -> tuple[BookChain | None, int]:
        """The chain that REST's `u` belongs to, and its `u` when nobody listens to it."""
        topic_key = (kind, f"orderbook.{DEEPEST}.{symbol}")
        chain = self._chains.get(topic_key)
        if chain is not None and chain.is_taped:
            chain = None
        return chain, self._us.get(topic_key, FIRST_U + DEEPEST)

    def rolled(self, key: str, now_ns: int) -> History:
        """The history with its candles up to now."""
        history = self.histories[key]
        history.roll(now_ns)
        return history
