"""What a recording holds, message by message: raw captures as they are, tapes re-rendered.

`open_recording(path, symbol)` tells the instrument and gives the messages in file order, read
as they are asked for. From a raw capture a message carries the venue's own bytes, its recorded
E and T included; from a `.tape.arrow` the frames are rendered from the rows, in the venue's
form, since their bytes are not kept (E is then T, the tape has one venue time).
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.book import Quote, Side, Touch
from engine.exchange.events import TapeFrame
from engine.exchange.instruments import CATALOGUE, Grid, Instrument
from engine.tape.capture import ARROW_MAGIC, Source, first_bytes, garbled
from engine.tape.identity import Identity, identify

VENUE = "binance_usdm"
SURVEY_LINES = 5_000  # a snapshot must come within so many
QUOTE_ASSETS = ("USDT", "USDC", "BUSD", "USD")


@dataclass(slots=True)
class DepthMessage:
    """A diff, or a snapshot (first_id = prev_final_id = -1, `frame` None)."""

    recv_ts_ns: int
    frame: TapeFrame | None
    first_id: int
    final_id: int
    prev_final_id: int
    bids: list[Quote]
    asks: list[Quote]


@dataclass(slots=True)
class BestMessage:
    recv_ts_ns: int
    frame: TapeFrame
    update_id: int
    touch: Touch


@dataclass(slots=True)
class TradeMessage:
    recv_ts_ns: int
    frame: TapeFrame
    px_ticks: int
    qty_lots: int
    aggressor: Side
    is_market: bool


@dataclass(slots=True)
class OtherMessage:
    """Passed on, not understood."""

    recv_ts_ns: int
    frame: TapeFrame


Message = DepthMessage | BestMessage | TradeMessage | OtherMessage


@dataclass
class Recording:
    """Messages of one symbol; `messages` can be walked once."""

    instrument: Instrument
    messages: Iterator[Message]


def open_recording(path: Path, symbol: str | None) -> Recording:
    """TickmakerError naming the file, and the line or row, for one that can't be served."""
    if first_bytes(path).startswith(ARROW_MAGIC):
        # Its reader is compiled and heavy; agents and raw captures don't need it.
        from engine.exchange.tape_rows import open_rows

        return open_rows(path, symbol)
    source = Source([path], None, passes=1)
    identity = identify(source, symbol)
    if identity.venue != VENUE:
        raise TickmakerError(
            f"{path}: is a recording of {identity.venue}; this exchange speaks {VENUE}",
            f"Give a recording of {VENUE}.",
            EXIT_USAGE,
        )
    instrument = _survey(source, identity)
    return Recording(instrument, _messages(source, identity, instrument))


# -- RAW CAPTURES ---


def _messages(source: Source, identity: Identity, instrument: Instrument) -> Iterator[Message]:
    for line_number, recv_ts_ns, line in source.lines():
        try:
            message = _parse(line, recv_ts_ns, identity, instrument)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise garbled(source.path, line_number, line, why) from None
        if message is not None:
            yield message


def _parse(
    line: bytes, recv_ts_ns: int, identity: Identity, instrument: Instrument
) -> Message | None:
    """One recorded line; None for another symbol's."""
    document = json.loads(line)
    if "lastUpdateId" in document:
        if not identity.is_ours(line):
            return None
        bids, asks = _quotes(document["bids"], instrument), _quotes(document["asks"], instrument)
        final_id = int(document["lastUpdateId"])
        return DepthMessage(recv_ts_ns, None, -1, final_id, -1, bids, asks)
    if "stream" not in document:
        return None
    data = document["data"]
    if data.get("s", instrument.symbol) != instrument.symbol:
        return None
    text = line.decode().rstrip("\r\n")
    frame = TapeFrame(document["stream"], text, _data_text(text, data))
    event = data.get("e")
    px, qty = instrument.px.recorded_units, instrument.qty.recorded_units
    if event == "depthUpdate" and "pu" in data and _is_diff_stream(frame.stream):
        bids, asks = _quotes(data["b"], instrument), _quotes(data["a"], instrument)
        return DepthMessage(recv_ts_ns, frame, data["U"], data["u"], data["pu"], bids, asks)
    if event == "bookTicker":
        touch = (px(data["b"]), qty(data["B"]), px(data["a"]), qty(data["A"]))
        return BestMessage(recv_ts_ns, frame, data["u"], touch)
    if event == "trade":
        aggressor = Side.SELL if data["m"] else Side.BUY
        is_market = data.get("X", "MARKET") == "MARKET"
        return TradeMessage(recv_ts_ns, frame, px(data["p"]), qty(data["q"]), aggressor, is_market)
    return OtherMessage(recv_ts_ns, frame)


def _is_diff_stream(stream: str) -> bool:
    """`@depth`, `@depth@100ms`; not the partial books `@depth20`."""
    return stream.partition("@")[2].split("@")[0] == "depth"


def _data_text(text: str, data: object) -> str:
    """The `data` value in its own bytes; re-dumped only where it isn't last in the frame."""
    _, mark, tail = text.partition('"data":')
    tail = tail.rstrip()
    return tail[:-1].strip() if mark and tail.endswith("}}") else json.dumps(data)


def _quotes(levels: list[list[str]], instrument: Instrument) -> list[Quote]:
    px, qty = instrument.px.recorded_units, instrument.qty.recorded_units
    return [(px(level[0]), qty(level[1])) for level in levels]


# -- SURVEY ---


def _survey(source: Source, identity: Identity) -> Instrument:
    """Tick and lot as the greatest common divisors of what the head of the file shows."""
    px_texts: set[str] = set()
    qty_texts: set[str] = set()
    has_snapshot = False
    source.restart(pass_index=0)
    for line_number, _, line in source.lines():
        try:
            document = json.loads(line)
            data = document.get("data", document)
            if data.get("s", identity.symbol) == identity.symbol and identity.is_ours(line):
                has_snapshot = has_snapshot or "lastUpdateId" in data
                for key in ("b", "a", "bids", "asks"):
                    if isinstance(levels := data.get(key), list):
                        px_texts.update(level[0] for level in levels)
                        qty_texts.update(level[1] for level in levels)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise garbled(source.path, line_number, line, why) from None
        if line_number >= SURVEY_LINES and has_snapshot:
            break
        if line_number >= 10 * SURVEY_LINES:
            break
    if not has_snapshot:
        raise TickmakerError(
            f"{source.path}: holds no REST snapshot of {identity.symbol} near its start",
            "Its book can't be rebuilt: give a capture that holds one.",
            EXIT_USAGE,
        )
    return instrument_of(identity.symbol, _grid(px_texts), _grid(qty_texts))


def instrument_of(symbol: str, px: Grid, qty: Grid, has_text: bool = True) -> Instrument:
    """The catalogue's instrument where its grid is finer but fits, else one of what was seen.

    `has_text`: the decimals are those that the venue wrote, not the fewest that the step needs.
    """
    listing = CATALOGUE.get(symbol)
    if listing is not None:
        known = listing.instrument
        if _fits(known.px, px, has_text) and _fits(known.qty, qty, has_text):
            return known
    quote = next((asset for asset in QUOTE_ASSETS if symbol.endswith(asset)), "USDT")
    return Instrument(symbol, symbol.removesuffix(quote), quote, px, qty)


def _fits(known: Grid, seen: Grid, has_text: bool) -> bool:
    if has_text and known.decimals != seen.decimals:
        return False
    return known.decimals >= seen.decimals and seen.step % known.step == 0


def _grid(texts: set[str]) -> Grid:
    """Step and decimals of decimal texts as the venue wrote them."""
    decimals = max(len(text.partition(".")[2]) for text in texts)
    units = math.gcd(*(int(Decimal(text).scaleb(decimals)) for text in texts))
    return Grid(Decimal(units or 1).scaleb(-decimals), decimals)
