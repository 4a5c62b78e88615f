"""The exchange's records under the numbers that its venue's clients know.

Binance tells the core's own ids. Bybit's are texts: a whole number stands for itself, any other
text for its hash (fastcore/codec/bybit_id.py), in the engine's ledger as here.
"""

from collections.abc import Mapping

from engine.exchange.bybit import texts
from engine.exchange.instruments import Instrument
from engine.exchange.truth import FillRecord, OrderRecord, Record
from fastcore.codec.bybit_id import id_number


def as_told(record: Record, venue: str, instruments: Mapping[str, Instrument]) -> Record:
    """The record, with the venue's ids where they are others than the core's."""
    if venue != "bybit" or not isinstance(record, OrderRecord | FillRecord):
        return record
    kind = instruments[record.symbol].kind
    order_id = id_number(texts.order_id(kind, record.order_id))
    if isinstance(record, OrderRecord):
        return record._replace(order_id=order_id)
    trade_id = id_number(texts.exec_id(record.symbol, kind, record.trade_id))
    return record._replace(order_id=order_id, trade_id=trade_id)
