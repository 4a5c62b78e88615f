"""Files into recordings, recordings into markets on one timeline.

Raw captures are served in the venue's own bytes, an imported tape re-rendered from its rows.
A capture of several symbols is read once for each; captures of one symbol follow each other in
the order given (a day roll).
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.tape.captures import capture_messages
from engine.exchange.tape.grids import exchange_of, survey
from engine.exchange.tape.market import TapeMarket, Timeline
from engine.exchange.tape.messages import Recording
from engine.tape.capture import ARROW_MAGIC, Source, first_bytes, is_session_log
from engine.tape.identity import Identity, identify_all
from fastcore.core_config import SYNC_RULES

BYBIT_PRODUCTS = ("linear", "spot")


def open_markets(
    paths: Sequence[Path], venue: str, symbols: Sequence[str], speed: float
) -> list[TapeMarket]:
    """A market for every symbol of the recordings, or for those named (`BTCUSDT`; on Bybit that
    is `linear/BTCUSDT` and `spot/BTCUSDT`). TickmakerError naming the file, and the line or row,
    for what can't be served."""
    recordings = open_recordings(paths, venue, symbols)
    timeline = Timeline(speed)
    markets = [TapeMarket(recording, timeline=timeline) for recording in recordings]
    for market in markets:
        market.align()
    return markets


def open_recordings(paths: Sequence[Path], venue: str, symbols: Sequence[str]) -> list[Recording]:
    """One a symbol, in the order of `symbols`, else of the files."""
    wanted = [_name(symbol) for symbol in symbols]
    found: dict[str, Recording] = {}
    captures: dict[str, list[tuple[Path, Identity]]] = {}
    others: list[str] = []
    for path in paths:
        if first_bytes(path).startswith(ARROW_MAGIC):
            # Its reader is compiled and heavy; raw captures don't need it.
            from engine.exchange.tape.rows import open_rows

            recording = open_rows(path, venue)
            key = recording.instrument.key
            if key in found or key in captures:
                raise _twice(path, key)
            found[key] = recording
            continue
        for identity in _held(path, venue, wanted):
            exchange, prefix = exchange_of(identity.venue)
            key = prefix + identity.symbol
            if exchange != venue:
                others.append(f"{key} on {exchange}")
            elif key in found:
                raise _twice(path, key)
            else:
                captures.setdefault(key, []).append((path, identity))
    chosen = _chosen(paths, venue, wanted, [*found, *captures], others)
    return [found[key] if key in found else _open_capture(captures[key], key) for key in chosen]


def _open_capture(parts: list[tuple[Path, Identity]], key: str) -> Recording:
    """One symbol of raw captures, in the order given."""
    source = Source([path for path, _ in parts], None, passes=1)
    source.product, _, symbol = key.rpartition("/")
    identity = parts[0][1]
    if len(parts) > 1:  # all of them tell
        identity = next(each for each in identify_all(source) if each.symbol == symbol)
    instrument = survey(source, identity)
    messages = capture_messages(source, identity, instrument)
    notices = []
    if identity.depth_stream:
        text = f"{key}: several depth streams; the book is kept from {identity.depth_stream}"
        notices.append(f"{text}, the others are passed on")
    prefix = key.removesuffix(symbol)
    streams = tuple(prefix + name for name in identity.streams)
    return Recording(instrument, SYNC_RULES[identity.venue], messages, streams, notices)


def _held(path: Path, venue: str, wanted: list[str]) -> list[Identity]:
    """Every symbol in a raw capture."""
    products = [""]
    if venue == "bybit":
        named = sorted({name.rpartition("/")[0] for name in wanted})
        products = named if len(named) == 1 else products
        products = [*BYBIT_PRODUCTS] if is_session_log(path) else products
    if len(products) == 1:
        return _held_of(path, products[0])
    held: list[Identity] = []
    for product in products:
        with suppress(TickmakerError):  # nothing of this product
            held += _held_of(path, product)
    return held or _held_of(path, "")


def _held_of(path: Path, product: str) -> list[Identity]:
    source = Source([path], None, passes=1)
    source.product = product
    return identify_all(source)


def _name(symbol: str) -> str:
    """What an operator named, in the core's spelling."""
    product, slash, name = symbol.rpartition("/")
    return product.lower() + slash + name.upper()


def _chosen(
    paths: Sequence[Path], venue: str, wanted: list[str], held: list[str], others: list[str]
) -> list[str]:
    """Keys to serve. TickmakerError where none is left, or something named is not there."""
    names = ", ".join(str(path) for path in paths)
    if others and not held:
        raise TickmakerError(
            f"{names}: holds {', '.join(others[:8])}; this exchange speaks {venue}",
            f"Give a recording of {venue}.",
            EXIT_USAGE,
        )
    chosen: list[str] = []
    for name in wanted:
        keys = [key for key in held if name in (key, key.rpartition("/")[2])]
        if not keys:
            raise TickmakerError(
                f"{names}: holds nothing of {name} on {venue}",
                f"It holds {', '.join([*held, *others][:8])}.",
                EXIT_USAGE,
            )
        chosen += keys
    return list(dict.fromkeys(chosen if wanted else held))


def _twice(path: Path, key: str) -> TickmakerError:
    return TickmakerError(
        f"{path}: {key} is in another tape given, too",
        "Captures of one symbol may follow each other, imported tapes may not: give one.",
        EXIT_USAGE,
    )
