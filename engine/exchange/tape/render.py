"""Frames of tape rows in each venue's form, since a tape keeps no bytes.

A tape has one venue time, so every time of a frame is that; Bybit's depth keeps no `seq` and its
trades no tick direction. Which depth stream the rows came from it doesn't tell either: they go
out as `@depth@0ms` (USD-M), `@depth@100ms` (spot) and `orderbook.200` (Bybit).
"""

from typing import Any

from engine.exchange.book import Quote, Side
from engine.exchange.events import TapeFrame
from engine.exchange.instruments import Instrument, Kind

MS = 1_000_000
BYBIT_DEPTH = 200


def levels_json(instrument: Instrument, levels: list[Quote]) -> str:
    px, qty = instrument.px.text, instrument.qty.text
    return "[" + ",".join([f'["{px(p)}","{qty(q)}"]' for p, q in levels]) + "]"


class BinanceRender:
    """Combined-stream frames of USD-M and of spot."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._symbol = instrument.symbol
        self._is_spot = instrument.kind is Kind.SPOT
        name = instrument.symbol.lower()
        depth = "depth@100ms" if self._is_spot else "depth@0ms"
        self.streams = {  # by what a tape calls them
            "depth": f"{name}@{depth}", "best": f"{name}@bookTicker", "trade": f"{name}@trade",
        }  # fmt: skip

    def best(self, row: dict[str, Any], touch: tuple[int, ...]) -> TapeFrame:
        px, qty = self._instrument.px.text, self._instrument.qty.text
        ms = row["exch_ts_ns"] // MS
        data = (
            f'"u":{row["update_id"]},"s":"{self._symbol}",'
            f'"b":"{px(touch[0])}","B":"{qty(touch[1])}",'
            f'"a":"{px(touch[2])}","A":"{qty(touch[3])}"'
        )
        if self._is_spot:
            return self._frame("best", f"{{{data}}}")
        return self._frame("best", f'{{"e":"bookTicker",{data},"T":{ms},"E":{ms}}}')

    def trade(self, row: dict[str, Any], px_ticks: int, qty_lots: int) -> TapeFrame:
        ms = row["exch_ts_ns"] // MS
        px, qty = self._instrument.px.text(px_ticks), self._instrument.qty.text(qty_lots)
        maker = "true" if row["aggressor"] == Side.SELL else "false"
        numbers = f'"t":{row["trade_id"]},"p":"{px}","q":"{qty}"'
        if self._is_spot:
            data = (
                f'{{"e":"trade","E":{ms},"s":"{self._symbol}",{numbers},'
                f'"T":{ms},"m":{maker},"M":true}}'
            )
        else:
            kind = "MARKET" if row["is_market"] else "NA"
            data = (
                f'{{"e":"trade","E":{ms},"T":{ms},"s":"{self._symbol}",{numbers},'
                f'"X":"{kind}","m":{maker}}}'
            )
        return self._frame("trade", data)

    def depth(
        self, row: dict[str, Any], bids: list[Quote], asks: list[Quote], is_snapshot: bool
    ) -> TapeFrame | None:
        if is_snapshot:
            return None  # came over REST
        ms = row["exch_ts_ns"] // MS
        times, chain = f'"E":{ms},"T":{ms}', f',"pu":{row["prev_final_update_id"]}'
        if self._is_spot:
            times, chain = f'"E":{ms}', ""
        data = (
            f'{{"e":"depthUpdate",{times},"s":"{self._symbol}",'
            f'"U":{row["first_update_id"]},"u":{row["final_update_id"]}{chain},'
            f'"b":{levels_json(self._instrument, bids)},'
            f'"a":{levels_json(self._instrument, asks)}}}'
        )
        return self._frame("depth", data)

    def _frame(self, kind: str, data: str) -> TapeFrame:
        stream = self.streams[kind]
        return TapeFrame(stream, f'{{"stream":"{stream}","data":{data}}}', data)


class BybitRender:
    """Public v5 messages."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._symbol = instrument.symbol
        self._product = instrument.key.removesuffix(instrument.symbol)
        self.streams = {
            "depth": f"{self._product}orderbook.{BYBIT_DEPTH}.{instrument.symbol}",
            "best": f"{self._product}orderbook.1.{instrument.symbol}",
            "trade": f"{self._product}publicTrade.{instrument.symbol}",
        }

    def best(self, row: dict[str, Any], touch: tuple[int, ...]) -> TapeFrame:
        bids = [(touch[0], touch[1])] if touch[0] else []
        asks = [(touch[2], touch[3])] if touch[2] else []
        ids = (row["update_id"], row["update_id"])
        return self._book(1, True, row["exch_ts_ns"], bids, asks, ids)

    def trade(self, row: dict[str, Any], px_ticks: int, qty_lots: int) -> TapeFrame:
        ms = row["exch_ts_ns"] // MS
        px, qty = self._instrument.px.text(px_ticks), self._instrument.qty.text(qty_lots)
        side = "Sell" if row["aggressor"] == Side.SELL else "Buy"
        block = "false" if row["is_market"] else "true"
        topic = f"publicTrade.{self._symbol}"
        text = (
            f'{{"topic":"{topic}","type":"snapshot","ts":{ms},"data":[{{"T":{ms},'
            f'"s":"{self._symbol}","S":"{side}","v":"{qty}","p":"{px}",'
            f'"i":"{row["trade_id"]}","BT":{block},"RPI":false}}]}}'
        )
        return TapeFrame(self._product + topic, text, text)

    def depth(
        self, row: dict[str, Any], bids: list[Quote], asks: list[Quote], is_snapshot: bool
    ) -> TapeFrame:
        ids = (row["final_update_id"], 0)  # a tape keeps no `seq` of depth: left out
        return self._book(BYBIT_DEPTH, is_snapshot, row["exch_ts_ns"], bids, asks, ids)

    def _book(
        self,
        depth: int,
        is_snapshot: bool,
        t_ns: int,
        bids: list[Quote],
        asks: list[Quote],
        ids: tuple[int, int],
    ) -> TapeFrame:
        update_id, seq = ids
        topic = f"orderbook.{depth}.{self._symbol}"
        kind = "snapshot" if is_snapshot else "delta"
        tail = f',"seq":{seq}' if seq else ""
        text = (
            f'{{"topic":"{topic}","type":"{kind}","ts":{t_ns // MS},"data":{{'
            f'"s":"{self._symbol}","b":{levels_json(self._instrument, bids)},'
            f'"a":{levels_json(self._instrument, asks)},"u":{update_id}{tail}}},'
            f'"cts":{t_ns // MS}}}'
        )
        return TapeFrame(self._product + topic, text, text)
