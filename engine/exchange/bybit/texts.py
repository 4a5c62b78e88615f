"""Numbers and ids as Bybit v5 writes them.

Derivatives show a price with all decimals of its tick, spot without trailing zeros (both as
recorded); money is trimmed everywhere. Ids lead back to the core's numbers without a table.
"""

import hashlib
import re
from functools import lru_cache

from engine.exchange.instruments import Grid, Instrument, Kind, e8_text
from engine.exchange.terms import Order

MS = 1_000_000
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
# Spot ids are decimal, as in the samples of create-batch and of public trades.
SPOT_ORDER_BASE = 1_523_347_540_000_000_000
SPOT_ORDERS = 1 << 50
SPOT_EXEC_BASE = 2_290_000_000_000_000_000
FIRST_EVENT = 0x5923240C6880AB


def trimmed(text: str) -> str:
    """Without the zeros that say nothing."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(amount_e8: int) -> str:
    return trimmed(e8_text(amount_e8))


def rate(ppm: int) -> str:
    """Parts per million as a plain fraction."""
    return money(ppm * 100)


def _number(instrument: Instrument, grid: Grid, units: int) -> str:
    if not units:
        return "0"
    text = grid.text(units)
    return trimmed(text) if instrument.kind is Kind.SPOT else text


def price(instrument: Instrument, ticks: int) -> str:
    return _number(instrument, instrument.px, ticks)


def quantity(instrument: Instrument, lots: int) -> str:
    return _number(instrument, instrument.qty, lots)


def mean_price(instrument: Instrument, cost: int, lots: int) -> str:
    """Empty when there is nothing to average."""
    return trimmed(instrument.px.mean_text(cost, lots)) if lots else ""


# -- IDS ---


def _digits(*label: object) -> str:
    return hashlib.sha256("/".join(map(str, label)).encode()).hexdigest()


@lru_cache(maxsize=65_536)
def _uuid_of(number: int) -> str:
    """A version 4 UUID to look at; its last 60 bits are `number`, masked by the first 60."""
    nonce = _digits("order", number)[:15]
    body = number ^ int(_digits("mask", nonce)[:15], 16)
    digits = f"{nonce}{body:015x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-{digits[18:]}"


def _number_of_uuid(text: str) -> int:
    """0: not one of ours."""
    if not UUID.fullmatch(text):
        return 0
    plain = text.replace("-", "")
    digits = plain[:12] + plain[13:16] + plain[17:]
    number = int(digits[15:], 16) ^ int(_digits("mask", digits[:15])[:15], 16)
    return number if _uuid_of(number) == text else 0


def order_id(kind: Kind, core_id: int, is_trigger: bool = False) -> str:
    """Of an order, or of a conditional one (which keeps its id when it becomes an order)."""
    number = core_id * 2 + is_trigger
    return str(SPOT_ORDER_BASE + number) if kind is Kind.SPOT else _uuid_of(number)


def id_of_order(kind: Kind, order: Order) -> str:
    return order_id(kind, order.trigger_id or order.order_id, bool(order.trigger_id))


def core_id(kind: Kind, text: str) -> tuple[int, bool]:
    """(core's id, is it a conditional order's); (0, False): no id of ours."""
    if kind is Kind.SPOT:
        is_decimal = len(text) == 19 and text.isascii() and text.isdigit()
        number = int(text) - SPOT_ORDER_BASE if is_decimal else 0
        number = number if 0 < number < SPOT_ORDERS else 0
    else:
        number = _number_of_uuid(text)
    return number // 2, bool(number % 2)


@lru_cache(maxsize=4_096)
def exec_id(instrument_key: str, kind: Kind, trade_id: int) -> str:
    """The same on the trade stream and in both owners' reports."""
    if kind is Kind.SPOT:
        return str(SPOT_EXEC_BASE + trade_id)
    digits = _digits("exec", instrument_key, trade_id)
    return f"{digits[:8]}-{digits[8:12]}-5{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"


def event_id(account: int, count: int) -> str:
    """Of a private message: unique, and nothing else."""
    return f"{FIRST_EVENT + account:014x}-{count >> 48:04x}-4000-8000-{count:012x}"


def conn_id(number: int) -> str:
    digits = _digits("connection", number)
    return f"c{digits[:19]}-{digits[19:24]}"


def trace_id(number: int) -> str:
    return f"{number:032x}"
