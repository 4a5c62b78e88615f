"""Raw captures as messages: each frame in the venue's own bytes, its numbers by the venue's codec.

A frame is decoded once, by the compiled decoder that the engine trades with. What that does not
know, but names our symbol's stream, is passed on as it is.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from engine.exchange.book import Side
from engine.exchange.events import TapeFrame
from engine.exchange.instruments import Instrument
from engine.exchange.tape.messages import (
    BestMessage,
    DepthMessage,
    Message,
    OtherMessage,
    Print,
    TradeMessage,
)
from engine.tape.capture import Source, garbled
from engine.tape.identity import Identity
from engine.tape.importer import new_decoder
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.types import Code, EventKind

Decoded = tuple[int, dict[str, Any]]
Decode = Callable[[bytes], Decoded]

NO_HEAD = ("", "\0")  # no frame starts so
STREAM_HEAD = '{"stream":"'
TOPIC_HEAD = '{"topic":"'
WHY = {
    Code.RANGE: "a price or size is not on the instrument's grid",
    Code.FULL: "more levels than a message may have",
}
# Frames of a connection that carries one stream don't tell its name.
BARE_STREAMS = {"depthUpdate": "depth", "bookTicker": "bookTicker", "trade": "trade"}


def capture_messages(
    source: Source, identity: Identity, instrument: Instrument
) -> Iterator[Message]:
    """TickmakerError naming the file and the line for what can't be used."""
    parser = BybitParser if identity.is_bybit else BinanceParser
    parse = parser(identity, instrument).parse
    source.restart(pass_index=0)
    for line_number, recv_ts_ns, line in source.lines():
        try:
            message = parse(line, recv_ts_ns)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise garbled(source.path, line_number, line, str(error)) from None
        if message is not None:
            yield message


class BinanceParser:
    """Combined-stream frames `{"stream":..,"data":..}`, bare ones, and REST snapshots."""

    def __init__(self, identity: Identity, instrument: Instrument) -> None:
        self._identity = identity
        self._prefix = instrument.symbol.lower() + "@"
        tick, lot = f"{instrument.px.step:f}", f"{instrument.qty.step:f}"
        self._decode: Decode = new_decoder(identity, tick, lot).decode_bytes
        self._heads: dict[int, tuple[str, str]] = {}

    def parse(self, line: bytes, recv_ts_ns: int) -> Message | None:
        """One recorded line; None for another symbol's. ValueError for a damaged one."""
        kind, fields = self._decode(line)
        if kind < 0 and kind != Code.UNKNOWN:
            if kind == Code.OTHER_SYMBOL:
                return None
            raise ValueError(WHY.get(Code(kind), "not a venue frame"))
        frame = self._frame(kind, line.decode().rstrip("\r\n"))
        if frame is None:
            if kind != EventKind.SNAPSHOT or not self._identity.is_ours(line):
                return None
            return _depth(recv_ts_ns, None, True, fields, fields["final_update_id"])
        if not frame.stream.startswith(self._prefix):
            return None
        return self._message(recv_ts_ns, frame, kind, fields)

    def _message(
        self, recv_ts_ns: int, frame: TapeFrame, kind: int, fields: dict[str, Any]
    ) -> Message:
        if kind == EventKind.BEST:
            return BestMessage(recv_ts_ns, frame, fields["update_id"], _touch(fields))
        if kind == EventKind.TRADE:
            return TradeMessage(recv_ts_ns, frame, [_print(fields)])
        if kind == EventKind.AGG_TRADE and not self._identity.has_trades:
            return TradeMessage(recv_ts_ns, frame, [_print(fields)])
        if kind == EventKind.DEPTH and self._identity.takes_depth(frame.stream):
            return _depth(recv_ts_ns, frame, False, fields, fields["final_update_id"])
        if kind == Code.UNKNOWN and frame.stream[len(self._prefix) :] in BARE_STREAMS.values():
            raise ValueError("not what its stream carries")
        return OtherMessage(recv_ts_ns, frame)

    def _frame(self, kind: int, text: str) -> TapeFrame | None:
        """None for what came over no stream. One head a kind is known by heart."""
        stream, head = self._heads.get(kind, NO_HEAD)
        if text.startswith(head) and text.endswith("}}"):
            return TapeFrame(stream, text, text[len(head) : -1])
        if text.startswith(STREAM_HEAD):
            stream = text[len(STREAM_HEAD) : text.index('"', len(STREAM_HEAD))]
            head = f'{STREAM_HEAD}{stream}","data":'
            if text.startswith(head) and text.endswith("}}"):
                self._heads[kind] = stream, head
                return TapeFrame(stream, text, text[len(head) : -1])
        return self._odd_frame(text)

    def _odd_frame(self, text: str) -> TapeFrame | None:
        """Spelt in another way than the venue's, or bare."""
        document = json.loads(text)
        if "stream" in document:
            return TapeFrame(str(document["stream"]), text, _data_of(text, document["data"]))
        if "lastUpdateId" in document:
            return None
        kind = "bookTicker" if "A" in document and "u" in document else document.get("e", "")
        if kind not in BARE_STREAMS:
            return None
        stream = self._prefix + BARE_STREAMS[kind]
        return TapeFrame(stream, f'{{"stream":"{stream}","data":{text}}}', text)


def _data_of(text: str, data: object) -> str:
    """The data's own bytes; where it isn't last in the frame they are lost."""
    tail = text.rstrip().partition('"data"')[2].lstrip().removeprefix(":")
    own = tail[:-1].strip()
    try:
        is_own = json.loads(own) == data
    except ValueError:
        is_own = False
    return own if is_own else json.dumps(data, separators=(",", ":"))


class BybitParser:
    """Public v5 messages; `text` and `data` are the whole message, the stream is its topic after
    its product: `linear/orderbook.50.BTCUSDT`."""

    def __init__(self, identity: Identity, instrument: Instrument) -> None:
        self._identity = identity
        self._symbol = instrument.symbol
        self._product = instrument.key.removesuffix(instrument.symbol)
        tick, lot = f"{instrument.px.step:f}", f"{instrument.qty.step:f}"
        decoder = new_decoder(identity, tick, lot)
        assert isinstance(decoder, BybitDecoder)
        self._decode: Decode = decoder.decode_bytes
        self._next: Callable[[], Decoded] = decoder.next_event_bytes

    def parse(self, line: bytes, recv_ts_ns: int) -> Message | None:
        """One recorded line; None for another symbol's. ValueError for a damaged one."""
        kind, fields = self._decode(line)
        if kind < 0 and kind != Code.UNKNOWN:
            if kind == Code.OTHER_SYMBOL:
                return None
            raise ValueError(WHY.get(Code(kind), "not a venue frame"))
        text = line.decode().rstrip("\r\n")
        topic = self._topic_of(text)
        if topic.rpartition(".")[2] != self._symbol:
            return None
        frame = TapeFrame(self._product + topic, text, text)
        if kind == EventKind.TRADE:
            prints = [_print(fields)]
            while (following := self._next())[0] == EventKind.TRADE:
                prints.append(_print(following[1]))
            return TradeMessage(recv_ts_ns, frame, prints)
        if kind == EventKind.BEST:
            if not fields["update_id"]:
                return OtherMessage(recv_ts_ns, frame)  # without `seq` it can't be placed in time
            return BestMessage(recv_ts_ns, frame, fields["update_id"], _touch(fields))
        if kind in (EventKind.DEPTH, EventKind.SNAPSHOT) and self._identity.takes_depth(topic):
            is_snapshot = kind == EventKind.SNAPSHOT
            return _depth(recv_ts_ns, frame, is_snapshot, fields, fields["cross_seq"])
        return OtherMessage(recv_ts_ns, frame)

    def _topic_of(self, text: str) -> str:
        if text.startswith(TOPIC_HEAD):
            return text[len(TOPIC_HEAD) : text.index('"', len(TOPIC_HEAD))]
        return str(json.loads(text).get("topic", ""))


def _depth(
    recv_ts_ns: int,
    frame: TapeFrame | None,
    is_snapshot: bool,
    fields: dict[str, Any],
    fuse_id: int,
) -> DepthMessage:
    return DepthMessage(
        recv_ts_ns,
        frame,
        is_snapshot,
        fields["first_update_id"],
        fields["final_update_id"],
        fields["prev_final_update_id"],
        fuse_id,
        fields["bids"],
        fields["asks"],
    )


def _touch(fields: dict[str, Any]) -> tuple[int, int, int, int]:
    return (
        fields["bid_px_ticks"],
        fields["bid_qty_lots"],
        fields["ask_px_ticks"],
        fields["ask_qty_lots"],
    )


def _print(fields: dict[str, Any]) -> Print:
    side = Side.SELL if fields["aggressor"] else Side.BUY
    is_market = bool(fields["is_market"])
    return Print(fields["px_ticks"], fields["qty_lots"], side, is_market, fields["trade_id"])
