"""Which symbol and venue a raw capture speaks of: read from the heads of its frames.

Frames name their symbol (`"s"`), except a REST snapshot of spot and USD-M. In a capture of one
symbol that snapshot is its own; among several it is given to the symbol whose traded prices it
lies between, and refused when that is not exactly one: a wrong snapshot is a wrong book.

Bybit's frames don't say whether they are linear or spot: trades of linear have a tick direction
(`L`), its tickers an open interest; with neither they are taken for linear. `spot/BTCUSDT` says
it, and chooses the connections of a session log that holds both.

A book is kept from one depth stream. Where several were recorded (`@depth@0ms` and
`@depth@100ms`, `orderbook.50` and `.200`) it is Binance's most frequent, Bybit's deepest.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from engine.errors import EXIT_USAGE, TickmakerError
from engine.tape.capture import Source

HEAD_BYTES = 512  # venues write the fields below before the first level
PX_TOLERANCE = 0.02  # a snapshot may lie this far outside the prices that were seen

_SYMBOL = re.compile(rb'"s"\s*:\s*"([^"]{1,40})"')
_SNAPSHOT_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"]{1,40})"')
_PAIR = re.compile(rb'"ps"\s*:\s*"([^"]{1,40})"')
_PREVIOUS_ID = re.compile(rb'"pu"\s*:')
_TRADE = re.compile(rb'"e"\s*:\s*"trade"')
_EVENT = re.compile(rb'"e"\s*:\s*"')
_TOPIC = re.compile(rb'"topic"\s*:\s*"([^"]{1,60})\.([^".]{1,40})"')
_STREAM = re.compile(rb'"stream"\s*:\s*"([^"@]{1,40}@[^"]{1,40})"')
_PX = re.compile(rb'"[pb]"\s*:\s*"([0-9.]+)"')
_TOUCH = re.compile(rb'"(?:bids|asks)"\s*:\s*\[\s*\[\s*"([0-9.]+)"')


@dataclass(slots=True)
class _Traits:
    """What was seen of one symbol."""

    has_previous_id: bool = False  # depthUpdate with `pu`: futures
    lacks_previous_id: bool = False  # depthUpdate without: spot
    is_futures_best: bool = False  # bookTicker with `e`: futures
    is_pair_named: bool = False  # `ps` other than `s`: COIN-M (USD-M of 2026 has ps == s)
    has_trades: bool = False  # and not only aggregate ones
    is_bybit: bool = False
    is_linear: bool = False
    is_spot: bool = False
    streams: dict[str, None] = field(default_factory=dict)  # all, in the order of appearance
    depth_streams: Counter[str] = field(default_factory=Counter)
    px_min: float = float("inf")
    px_max: float = 0.0


@dataclass(slots=True)
class Identity:
    """The chosen symbol, its venue, and how to tell its snapshots from others'."""

    symbol: str
    venue: str
    others: frozenset[str]
    depth_stream: str = ""  # of several: the one that the book is kept from; "": any
    source_name: str = ""
    _traits: dict[str, _Traits] = field(default_factory=dict)

    @classmethod
    def live(cls, symbol: str, venue: str) -> "Identity":
        """Of one that is known: single trades, one depth stream."""
        return cls(symbol, venue, frozenset(), _traits={symbol: _Traits(has_trades=True)})

    @property
    def is_bybit(self) -> bool:
        return self.venue.startswith("bybit")

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of its streams or topics."""
        return tuple(self._traits[self.symbol].streams)

    @property
    def has_trades(self) -> bool:
        """Single trades; a capture may hold aggregate ones instead, or both."""
        return self._traits[self.symbol].has_trades

    def takes_depth(self, stream: str) -> bool:
        """Whether a stream is the diff stream that the book is kept from; not `@rpiDepth`."""
        if self.depth_stream:
            return stream == self.depth_stream
        return self.is_bybit or stream.split("@")[1:2] == ["depth"]

    def is_other_depth(self, frame: bytes) -> bool:
        """A frame of our symbol's depth, of a stream that the book is not kept from."""
        if not self.depth_stream:
            return False
        name = _depth_stream(frame[:HEAD_BYTES])
        return name != self.depth_stream and name in self._traits[self.symbol].depth_streams

    def is_ours(self, frame: bytes) -> bool:
        """False for a snapshot of another symbol. (Stream frames: the decoder tells.)"""
        if not self.others or self.is_bybit:
            return True
        head = frame[:HEAD_BYTES]
        if b'"lastUpdateId"' not in head or _SYMBOL.search(head):
            return True
        named = _SNAPSHOT_SYMBOL.search(head)
        if named is not None:
            return named[1].decode("ascii", "replace") == self.symbol
        touch = [float(px) for px in _TOUCH.findall(frame)]
        near = {
            symbol
            for symbol, traits in self._traits.items()
            if touch
            and min(touch) >= traits.px_min * (1 - PX_TOLERANCE)
            and max(touch) <= traits.px_max * (1 + PX_TOLERANCE)
        }
        if self.symbol in near and len(near) > 1:
            names = ", ".join(sorted(near))
            raise TickmakerError(
                f"{self.source_name}: a snapshot names no symbol and may be any of {names}",
                "capture these symbols into separate files",
            )
        return self.symbol in near


def identify(source: Source, symbol: str | None) -> Identity:
    """Choose the symbol and tell its venue. Raises TickmakerError when that can't be done."""
    source.product, _, name = (symbol or "").rpartition("/")
    counts, seen = _scan(source)
    chosen = _choose(source, counts, name or None)
    return _identity(source, chosen, counts, seen)


def identify_all(source: Source) -> list[Identity]:
    """Every symbol that the captures hold, those with most frames first."""
    counts, seen = _scan(source)
    if not counts:
        _choose(source, counts, None)
    return [_identity(source, name, counts, seen) for name, _ in counts.most_common()]


def _scan(source: Source) -> tuple[Counter[str], dict[str, _Traits]]:
    source.restart(pass_index=0)
    counts: Counter[str] = Counter()
    seen: dict[str, _Traits] = {}
    for _, _, frame in source.lines():
        head = frame[:HEAD_BYTES]
        topic = _TOPIC.search(head)
        match = topic or _SYMBOL.search(head)
        if match is not None:
            name = match[match.lastindex or 1].decode("ascii", "replace")
            counts[name] += 1
            traits = seen.setdefault(name, _Traits())
            if topic is not None:
                _note_topic(traits, topic, head)
            else:
                _note(traits, match[1], head)
    return counts, seen


def _identity(
    source: Source, chosen: str, counts: Counter[str], seen: dict[str, _Traits]
) -> Identity:
    others = frozenset(name for name in counts if name != chosen)
    traits = seen[chosen]
    venue = _venue(source, chosen, traits)
    return Identity(chosen, venue, others, _chosen_depth(traits), source.name, seen)


def _chosen_depth(traits: _Traits) -> str:
    streams = traits.depth_streams
    if len(streams) < 2:
        return ""
    if traits.is_bybit:
        return max(streams, key=lambda topic: int(topic.split(".")[1]))
    return streams.most_common(1)[0][0]


def _depth_stream(head: bytes) -> str:
    """Name of the diff stream that a frame came over; "" for others. Not `@depth20`, not
    `orderbook.1`: they hold no whole book."""
    topic = _TOPIC.search(head)
    if topic is not None:
        kind, _, levels = topic[1].partition(b".")
        is_book = kind == b"orderbook" and levels.isdigit() and int(levels) > 1
        return _topic_name(topic) if is_book else ""
    stream = _STREAM.search(head)
    if stream is not None and stream[1].split(b"@")[1] == b"depth":
        return stream[1].decode("ascii", "replace")
    return ""


def _topic_name(topic: re.Match[bytes]) -> str:
    return b".".join(topic.groups()).decode("ascii", "replace")


def _note_topic(traits: _Traits, topic: re.Match[bytes], head: bytes) -> None:
    traits.is_bybit = True
    traits.streams[_topic_name(topic)] = None
    if name := _depth_stream(head):
        traits.depth_streams[name] += 1
    elif topic[1] == b"publicTrade":
        if b'"L":"' in head:
            traits.is_linear = True
        else:
            traits.is_spot = True
    elif topic[1] == b"tickers":
        traits.is_linear = traits.is_linear or b'"openInterest"' in head
        traits.is_spot = traits.is_spot or b'"usdIndexPrice"' in head


def _note(traits: _Traits, symbol: bytes, head: bytes) -> None:
    stream = _STREAM.search(head)
    if stream is not None:
        traits.streams[stream[1].decode("ascii", "replace")] = None
    pair = _PAIR.search(head)
    if pair is not None and pair[1] != symbol:
        traits.is_pair_named = True
    if b'"depthUpdate"' in head:
        if name := _depth_stream(head):
            traits.depth_streams[name] += 1
        if _PREVIOUS_ID.search(head):
            traits.has_previous_id = True
        else:
            traits.lacks_previous_id = True
        return
    if b'"bookTicker"' in head and _EVENT.search(head):
        traits.is_futures_best = True
    traits.has_trades = traits.has_trades or _TRADE.search(head) is not None
    px_text = _PX.search(head)
    if px_text is not None:
        px = float(px_text[1])
        traits.px_min = min(traits.px_min, px)
        traits.px_max = max(traits.px_max, px)


def _choose(source: Source, counts: Counter[str], symbol: str | None) -> str:
    names = ", ".join(f"{name} ({count})" for name, count in counts.most_common(8))
    if not counts:
        raise TickmakerError(
            f"{source.name}: no frame in it names a symbol",
            "give a raw capture of depth, best-price and trade streams of Binance or Bybit",
        )
    if symbol is not None:
        if symbol.upper() not in counts:
            raise TickmakerError(
                f"{source.name}: holds nothing of {symbol}",
                f"it holds {names}; import one: tickmaker tape import FILE --symbol NAME -o OUT",
                EXIT_USAGE,
            )
        return symbol.upper()
    if len(counts) > 1:
        raise TickmakerError(
            f"{source.name}: holds several symbols: {names}",
            "import one of them: tickmaker tape import FILE --symbol NAME -o OUT",
            EXIT_USAGE,
        )
    return next(iter(counts))


def _venue(source: Source, symbol: str, traits: _Traits) -> str:
    if traits.is_bybit:
        product = source.product or ("spot" if traits.is_spot else "linear")
        if (traits.is_linear and product == "spot") or (traits.is_spot and product == "linear"):
            is_mixed = traits.is_linear and traits.is_spot
            what = "that are linear and spot" if is_mixed else f"that are not {product}"
            raise TickmakerError(
                f"{source.name}: holds streams of {symbol} {what}",
                f"name what it holds; of a session log linear/{symbol} or spot/{symbol}",
                EXIT_USAGE,
            )
        return f"bybit_{product}"
    if traits.lacks_previous_id and (traits.has_previous_id or traits.is_pair_named):
        raise TickmakerError(
            f"{source.name}: mixes spot and futures streams of {symbol}",
            "give the captures of one venue at a time",
            EXIT_USAGE,
        )
    if traits.is_pair_named:
        return "binance_coinm"
    if traits.has_previous_id or traits.is_futures_best:
        return "binance_usdm"
    return "binance_spot"
