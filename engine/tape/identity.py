"""Which symbol and venue a raw capture speaks of: read from the heads of its frames.

Frames name their symbol (`"s"`), except a REST snapshot of spot and USD-M. In a capture of one
symbol that snapshot is its own; among several it is given to the symbol whose traded prices it
lies between, and refused when that is not exactly one: a wrong snapshot is a wrong book.
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
_EVENT = re.compile(rb'"e"\s*:\s*"')
_PX = re.compile(rb'"[pb]"\s*:\s*"([0-9.]+)"')
_TOUCH = re.compile(rb'"(?:bids|asks)"\s*:\s*\[\s*\[\s*"([0-9.]+)"')


@dataclass(slots=True)
class _Traits:
    """What was seen of one symbol."""

    has_previous_id: bool = False  # depthUpdate with `pu`: futures
    lacks_previous_id: bool = False  # depthUpdate without: spot
    is_futures_best: bool = False  # bookTicker with `e`: futures
    is_pair_named: bool = False  # `ps` other than `s`: COIN-M (USD-M of 2026 has ps == s)
    px_min: float = float("inf")
    px_max: float = 0.0


@dataclass(slots=True)
class Identity:
    """The chosen symbol, its venue, and how to tell its snapshots from others'."""

    symbol: str
    venue: str
    others: frozenset[str]
    _traits: dict[str, _Traits] = field(default_factory=dict)

    def is_ours(self, frame: bytes) -> bool:
        """False for a snapshot of another symbol. (Stream frames: the decoder tells.)"""
        if not self.others:
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
                f"a snapshot names no symbol and may be any of {names}",
                "capture these symbols into separate files",
            )
        return self.symbol in near


def identify(source: Source, symbol: str | None) -> Identity:
    """Choose the symbol and tell its venue. Raises TickmakerError when that can't be done."""
    source.restart(pass_index=0)
    counts: Counter[str] = Counter()
    seen: dict[str, _Traits] = {}
    for _, _, frame in source.lines():
        head = frame[:HEAD_BYTES]
        match = _SYMBOL.search(head)
        if match is not None:
            name = match[1].decode("ascii", "replace")
            counts[name] += 1
            _note(seen.setdefault(name, _Traits()), match[1], head)
    chosen = _choose(source, counts, symbol)
    others = frozenset(name for name in counts if name != chosen)
    return Identity(chosen, _venue(source, chosen, seen[chosen]), others, seen)


def _note(traits: _Traits, symbol: bytes, head: bytes) -> None:
    pair = _PAIR.search(head)
    if pair is not None and pair[1] != symbol:
        traits.is_pair_named = True
    if b'"depthUpdate"' in head:
        if _PREVIOUS_ID.search(head):
            traits.has_previous_id = True
        else:
            traits.lacks_previous_id = True
        return
    if b'"bookTicker"' in head and _EVENT.search(head):
        traits.is_futures_best = True
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
            "give a raw capture of Binance depth, bookTicker and trade streams",
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
