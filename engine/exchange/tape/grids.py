"""The instrument of a recording: tick and lot as its numbers show them, its names by the venue."""

import json
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.instruments import DECIMAL_TEXT, Grid, Instrument, Kind, catalogue
from engine.tape.capture import Source, garbled
from engine.tape.identity import Identity

SURVEY_LINES = 5_000  # a snapshot must come within so many
QUOTE_ASSETS = ("FDUSD", "USDT", "USDC", "BUSD", "USDE", "TUSD", "USD", "EUR", "BTC", "ETH", "BNB")
LOTS_MAX = 10**9
TICKS_MAX = 10**10


def survey(source: Source, identity: Identity) -> Instrument:
    """Greatest common divisors of what the head of the file shows."""
    px_texts: set[str] = set()
    qty_texts: set[str] = set()
    has_snapshot = False
    source.restart(pass_index=0)
    for line_number, _, line in source.lines():
        try:
            document = json.loads(line)
            data = document.get("data", document)
            if _is_of(document, data, identity) and identity.is_ours(line):
                has_snapshot = has_snapshot or _is_snapshot(document)
                for key in ("b", "a", "bids", "asks"):
                    if isinstance(levels := data.get(key), list):
                        _collect(px_texts, (level[0] for level in levels))
                        _collect(qty_texts, (level[1] for level in levels))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise garbled(source.path, line_number, line, why) from None
        if line_number >= SURVEY_LINES and (has_snapshot or line_number >= 10 * SURVEY_LINES):
            break
    if not has_snapshot:
        raise TickmakerError(
            f"{source.path}: holds no {_snapshot_name(identity)} of {identity.symbol} "
            "near its start",
            "Its book can't be rebuilt: give a capture that holds one.",
            EXIT_USAGE,
        )
    return instrument_of(identity.venue, identity.symbol, _grid(px_texts), _grid(qty_texts))


def _collect(known: set[str], texts: Iterable[str]) -> None:
    """ValueError for what is no number."""
    new = set(texts) - known
    for text in new:
        if not DECIMAL_TEXT.fullmatch(text):
            raise ValueError(f"{text!r} is not a decimal number")
    known |= new


def _is_of(document: dict[str, Any], data: object, identity: Identity) -> bool:
    if not isinstance(data, dict):
        return False  # Bybit's trades
    return bool(data.get("s", identity.symbol) == identity.symbol)


def _is_snapshot(document: dict[str, Any]) -> bool:
    if "lastUpdateId" in document:
        return True
    topic = str(document.get("topic", ""))
    return topic.startswith("orderbook.") and document.get("type") == "snapshot"


def _snapshot_name(identity: Identity) -> str:
    return "order book snapshot" if identity.is_bybit else "REST snapshot"


def _grid(texts: set[str]) -> Grid:
    """Step and decimals of decimal texts as the venue wrote them."""
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    units = math.gcd(*(int(Decimal(text).scaleb(decimals)) for text in texts))
    return Grid(Decimal(units or 1).scaleb(-decimals), decimals)


# -- NAMES ---


def exchange_of(venue: str) -> tuple[str, str]:
    """(venue as the exchange has it, prefix of keys): "bybit_spot" -> ("bybit", "spot/")."""
    if venue.startswith("bybit_"):
        return "bybit", venue.removeprefix("bybit_") + "/"
    return venue, ""


def instrument_of(
    venue: str, symbol: str, px: Grid, qty: Grid, has_text: bool = True
) -> Instrument:
    """The catalogue's instrument where its grid is finer but fits, else one of what was seen.

    `has_text`: the decimals are those that the venue wrote, not the fewest that the step needs.
    TickmakerError for a grid on which money is not exact in 1e-8.
    """
    exchange, prefix = exchange_of(venue)
    listing = catalogue(exchange).get(prefix + symbol)
    if listing is not None:
        known = listing.instrument
        if _fits(known.px, px, has_text) and _fits(known.qty, qty, has_text):
            return known
    base, quote = split_symbol(symbol)
    kind = Kind.SPOT if venue.endswith("spot") else Kind.LINEAR
    instrument = Instrument(
        symbol, base, quote, px, qty,
        qty_lots_max=LOTS_MAX, px_ticks_max=TICKS_MAX, kind=kind, key=prefix + symbol,
    )  # fmt: skip
    try:
        _ = instrument.notional_e8, instrument.lot_e8
    except ValueError as error:
        raise TickmakerError(
            f"{symbol} can't be traded here: {error}",
            "Give a recording of an instrument with coarser steps.",
            EXIT_USAGE,
        ) from None
    return instrument


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote asset; the symbol alone doesn't say where one ends."""
    for asset in QUOTE_ASSETS:
        if symbol.endswith(asset) and symbol != asset:
            return symbol.removesuffix(asset), asset
    return symbol, "USDT"


def _fits(known: Grid, seen: Grid, has_text: bool) -> bool:
    if has_text and known.decimals != seen.decimals:
        return False
    return known.decimals >= seen.decimals and seen.step % known.step == 0
