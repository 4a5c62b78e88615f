"""Order requests of Binance Spot to the core's commands, checked as the venue checks them.

"New order": what is mandatory, and what may not be sent, depends on the type; then decimals, then
the filters that need no book. The core holds the rest: balances, notional, the book's collar.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from engine.exchange.binance.params import CLIENT_ID, Params, integer, mandatory, one_of
from engine.exchange.binance.spot_errors import SpotError, filter_failure
from engine.exchange.binance.spot_symbols import (
    NOTIONAL_MAX,
    STP_DEFAULT,
    STP_MODES,
    SpotSymbol,
)
from engine.exchange.book import Side
from engine.exchange.commands import Place, PlaceTrigger
from engine.exchange.instruments import E8, Grid, OffGridError, OffStepError
from engine.exchange.terms import NO_ECHO, OrderType, Stp, Tif

DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = r"^[a-zA-Z0-9-_.:/]{1,36}$"  # unverified
QUOTE_TEXT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,8})0*)?", re.ASCII)
STRATEGY_TYPE_MIN = 1_000_000

# Orders that no symbol of this exchange takes, by the parameter that asks for them.
UNSUPPORTED = {
    "icebergQty": "Iceberg orders are not supported for this symbol.",
    "trailingDelta": "Trailing stop orders are not supported for this symbol.",
    "pegPriceType": "Pegged orders are not supported for this symbol.",
}


class Response(Enum):
    """newOrderRespType."""

    ACK = "ACK"
    RESULT = "RESULT"
    FULL = "FULL"


class CancelOnly(Enum):
    """cancelRestrictions."""

    ONLY_NEW = "NEW"
    ONLY_PARTIALLY_FILLED = "PARTIALLY_FILLED"


class SpotType(Enum):
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


# Tuples, not sets: members are found by identity.
LIMIT_TYPES = (
    SpotType.LIMIT, SpotType.LIMIT_MAKER, SpotType.STOP_LOSS_LIMIT, SpotType.TAKE_PROFIT_LIMIT,
)  # fmt: skip
WAITING_TYPES = (
    SpotType.STOP_LOSS, SpotType.STOP_LOSS_LIMIT, SpotType.TAKE_PROFIT,
    SpotType.TAKE_PROFIT_LIMIT,
)  # fmt: skip
TIF_TYPES = (SpotType.LIMIT, SpotType.STOP_LOSS_LIMIT, SpotType.TAKE_PROFIT_LIMIT)


class TimeInForce(Enum):
    GTC = Tif.GTC
    IOC = Tif.IOC
    FOK = Tif.FOK


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A checked request: what the core must do, and how the answer must look."""

    command: Place | PlaceTrigger
    response: Response

    @property
    def place(self) -> Place:
        return self.command if isinstance(self.command, Place) else self.command.place


# -- ONE PARAMETER ---


def units(params: Params, name: str, grid: Grid, filter_name: str) -> int:
    try:
        return grid.units(mandatory(params, name))
    except OffGridError:
        raise SpotError(-1111, name) from None
    except OffStepError:
        raise filter_failure(filter_name) from None
    except ValueError:
        raise SpotError(-1100, name, DECIMAL_RANGE) from None


def price_of(params: Params, name: str, symbol: SpotSymbol) -> int:
    ticks = units(params, name, symbol.px, "PRICE_FILTER")
    if not ticks:
        raise SpotError(-1013, text="Invalid price.")
    if ticks > symbol.instrument.px_ticks_max:
        raise filter_failure("PRICE_FILTER")
    return ticks


def quantity_of(params: Params, name: str, symbol: SpotSymbol) -> int:
    lots = units(params, name, symbol.qty, "LOT_SIZE")
    if not lots:
        raise SpotError(-1013, text="Invalid quantity.")
    return lots


def quote_e8_of(params: Params) -> int:
    """quoteOrderQty: up to eight decimals."""
    text = params["quoteOrderQty"]
    match = QUOTE_TEXT.fullmatch(text)
    if match is None:
        if re.fullmatch(DECIMAL_RANGE, text, re.ASCII):
            raise SpotError(-1111, "quoteOrderQty")
        raise SpotError(-1100, "quoteOrderQty", DECIMAL_RANGE)
    whole, part = match.groups()
    amount_e8 = int(whole) * E8 + int((part or "").ljust(8, "0"))
    if not amount_e8:
        raise SpotError(-1013, text="Invalid quantity.")
    return amount_e8


def client_id(params: Params, name: str) -> str:
    text = params.get(name, "")
    if text and not CLIENT_ID.fullmatch(text):
        raise SpotError(-1100, name, CLIENT_ID_RANGE)
    return text


def choice(params: Params, name: str, kind: type[Any], default: Any, code: int = -1130) -> Any:
    """A member by its name, or `default` when nothing was sent."""
    text = params.get(name)
    if not text:
        return default
    member = kind.__members__.get(text)
    if member is None:
        raise SpotError(code, name)
    return member


def order_ids(params: Params, id_name: str, client_name: str) -> tuple[int, str]:
    """One of them must be there."""
    order_id, name = integer(params, id_name, 0), client_id(params, client_name)
    if not order_id and not name:
        text = f"Param '{client_name}' or '{id_name}' must be sent, but both were empty/null!"
        raise SpotError(-1102, text=text)
    return order_id, name


# -- NEW ORDERS ---


def new_order_of(params: Params, account: int, symbol: SpotSymbol) -> NewOrder:
    """order.place, POST order and their relatives."""
    side: Side = one_of(params, "side", Side, -1117)
    kind: SpotType = one_of(params, "type", SpotType, -1116)
    _refuse_strangers(params, kind)
    tif = Tif.GTX if kind is SpotType.LIMIT_MAKER else Tif.GTC
    if kind in TIF_TYPES:
        tif = one_of(params, "timeInForce", TimeInForce, -1115).value
    px_ticks = price_of(params, "price", symbol) if kind in LIMIT_TYPES else 0
    quote_e8 = 0
    if kind is SpotType.MARKET and params.get("quoteOrderQty"):
        qty_lots, quote_e8 = 0, quote_e8_of(params)
        if quote_e8 < symbol.instrument.min_notional * E8:
            raise filter_failure("NOTIONAL")
    else:
        qty_lots = quantity_of(params, "quantity", symbol)
        _check_filters(symbol, qty_lots, px_ticks)
    place = Place(
        account=account,
        symbol=symbol.instrument.key,
        side=side,
        order_type=OrderType.LIMIT if kind in LIMIT_TYPES else OrderType.MARKET,
        tif=tif,
        qty_lots=qty_lots,
        px_ticks=px_ticks,
        client_order_id=client_id(params, "newClientOrderId"),
        stp=_stp_of(params),
        quote_e8=quote_e8,
        echo=_echo_of(params, kind, symbol),
    )
    full = kind in (SpotType.LIMIT, SpotType.MARKET)
    default = Response.FULL if full else Response.ACK
    response: Response = choice(params, "newOrderRespType", Response, default)
    if kind not in WAITING_TYPES:
        return NewOrder(place, response)
    trigger_px_ticks = price_of(params, "stopPrice", symbol)
    is_stop = kind in (SpotType.STOP_LOSS, SpotType.STOP_LOSS_LIMIT)
    is_rising = (side is Side.BUY) == is_stop
    return NewOrder(PlaceTrigger(place, trigger_px_ticks, is_rising), response)


def _stp_of(params: Params) -> Stp:
    text = params.get("selfTradePreventionMode") or STP_DEFAULT
    if text not in STP_MODES:
        raise SpotError(-1130, "selfTradePreventionMode")  # unverified
    return Stp[text]


def _refuse_strangers(params: Params, kind: SpotType) -> None:
    """What may not be sent with this type, and what this exchange has not."""
    for name, text in UNSUPPORTED.items():
        if params.get(name):
            raise SpotError(-1013, text=text)
    if kind not in TIF_TYPES and params.get("timeInForce"):
        raise SpotError(-1106, "timeInForce")
    if kind not in LIMIT_TYPES and params.get("price"):
        raise SpotError(-1106, "price")
    if kind not in WAITING_TYPES and params.get("stopPrice"):
        raise SpotError(-1106, "stopPrice")
    if params.get("quoteOrderQty"):
        if kind is not SpotType.MARKET:
            raise SpotError(-1106, "quoteOrderQty")
        if params.get("quantity"):
            raise SpotError(-1106, "quantity")
    elif kind is SpotType.MARKET and not params.get("quantity"):
        text = "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
        raise SpotError(-1102, text=text)


def _check_filters(symbol: SpotSymbol, qty_lots: int, px_ticks: int) -> None:
    instrument = symbol.instrument
    if not instrument.qty_lots_min <= qty_lots <= instrument.qty_lots_max:
        raise filter_failure("LOT_SIZE")
    if px_ticks:
        notional_e8 = qty_lots * px_ticks * instrument.notional_e8
        if not instrument.min_notional * E8 <= notional_e8 <= NOTIONAL_MAX * E8:
            raise filter_failure("NOTIONAL")


def _echo_of(params: Params, kind: SpotType, symbol: SpotSymbol) -> Any:
    """What the venue repeats and the core doesn't keep; nearly always nothing."""
    echo: dict[str, str] = {}
    if kind in WAITING_TYPES:
        echo["type"] = kind.value
        echo["stopPrice"] = symbol.px.text(price_of(params, "stopPrice", symbol))
    if params.get("quoteOrderQty"):
        amount_e8 = quote_e8_of(params)
        echo["quoteOrderQty"] = f"{amount_e8 // E8}.{amount_e8 % E8:08d}"
    if params.get("strategyId"):
        echo["strategyId"] = str(integer(params, "strategyId"))
    if params.get("strategyType"):
        strategy_type = integer(params, "strategyType")
        if strategy_type < STRATEGY_TYPE_MIN:
            raise SpotError(-1134)
        echo["strategyType"] = str(strategy_type)
    return echo or NO_ECHO
