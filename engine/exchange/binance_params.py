"""Binance USD-M request parameters: decimal and enum parsing, and the checks of a signed call."""

import hmac
import re
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar
from urllib.parse import parse_qsl

from engine.exchange.accounts import Account, AccountKeys, sign
from engine.exchange.binance_errors import VenueError
from engine.exchange.book import Side
from engine.exchange.events import Cancel, Modify, OrderType, Place, Tif
from engine.exchange.instruments import Grid, Instrument, OffGridError, OffStepError

CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
API_KEY = re.compile(r"[A-Za-z0-9]{64}", re.ASCII)
SIGNATURE_PARAM = re.compile(r"(^|&)signature=[^&]*")
RECV_WINDOW_MS = 5_000
RECV_WINDOW_MS_MAX = 60_000
AHEAD_MS_MAX = 1_000  # a client clock may run this far ahead
PARAMS_MAX = 64

Params = Mapping[str, str]
EnumT = TypeVar("EnumT", bound=Enum)


def parse_query(text: str) -> dict[str, str]:
    """Query or form text to parameters; a repeated one keeps its last value."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMS_MAX))
    except ValueError:
        raise VenueError(-1130, "query") from None


# -- ONE PARAMETER ---


def mandatory(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise VenueError(-1102, name)
    return value


def integer(params: Params, name: str, default: int | None = None) -> int:
    """A plain unsigned integer; without `default` it is mandatory."""
    if default is not None and not params.get(name):
        return default
    text = mandatory(params, name)
    if not INTEGER.fullmatch(text):
        raise VenueError(-1102, name)
    return int(text)


def boolean(params: Params, name: str) -> bool:
    text = params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise VenueError(-1130, name)
    return text == "true"


def units(params: Params, name: str, grid: Grid, step_code: int) -> int:
    try:
        return grid.units(mandatory(params, name))
    except OffGridError:
        raise VenueError(-1111) from None
    except OffStepError:
        raise VenueError(step_code) from None
    except ValueError:
        raise VenueError(-1100, name) from None


def one_of(params: Params, name: str, kind: type[EnumT], code: int) -> EnumT:
    text = mandatory(params, name)
    for member in kind:
        if member.name == text:
            return member
    raise VenueError(code)


def client_id(params: Params, name: str) -> str:
    text = params.get(name, "")
    if text and not CLIENT_ID.fullmatch(text):
        raise VenueError(-4015)
    return text


# -- ORDERS ---


def place_of(params: Params, account: Account, instrument: Instrument) -> Place:
    """order.place / POST order."""
    type_text = mandatory(params, "type")
    if type_text.startswith(("STOP", "TAKE_PROFIT", "TRAILING")):
        raise VenueError(-4120)
    side = one_of(params, "side", Side, -1117)
    order_type = one_of(params, "type", OrderType, -1116)
    if params.get("positionSide", "BOTH") != "BOTH":
        raise VenueError(-4061)
    px_ticks, tif = 0, Tif.GTC
    if order_type is OrderType.LIMIT:
        tif = one_of(params, "timeInForce", Tif, -1115)
        px_ticks = units(params, "price", instrument.px, -4014)
        if px_ticks <= 0:
            raise VenueError(-4013)
    else:
        for name in ("timeInForce", "price"):
            if name in params:
                raise VenueError(-1106, name)
    return Place(
        account=account.index,
        symbol=instrument.symbol,
        side=side,
        order_type=order_type,
        tif=tif,
        qty_lots=units(params, "quantity", instrument.qty, -4023),
        px_ticks=px_ticks,
        client_order_id=client_id(params, "newClientOrderId"),
        reduce_only=boolean(params, "reduceOnly"),
    )


def order_ids_of(params: Params) -> tuple[int, str]:
    """orderId and origClientOrderId, one of which must be there."""
    order_id = integer(params, "orderId", 0)
    name = client_id(params, "origClientOrderId")
    if not order_id and not name:
        raise VenueError(-1102, "orderId")
    return order_id, name


def cancel_of(params: Params, account: Account, instrument: Instrument) -> Cancel:
    return Cancel(account.index, instrument.symbol, *order_ids_of(params))


def modify_of(params: Params, account: Account, instrument: Instrument) -> Modify:
    order_id, name = order_ids_of(params)
    return Modify(
        account=account.index,
        symbol=instrument.symbol,
        side=one_of(params, "side", Side, -1117),
        qty_lots=units(params, "quantity", instrument.qty, -4023),
        px_ticks=units(params, "price", instrument.px, -4014),
        order_id=order_id,
        client_order_id=name,
    )


# -- KEYS AND SIGNATURES ---


class Authenticator:
    """Who signed a request. Order of the checks is the venue's: key, time, signature."""

    def __init__(self, accounts: list[Account], keys: list[AccountKeys]) -> None:
        self._keys = {
            pair.api_key: (account, pair.secret)
            for account, of_account in zip(accounts, keys, strict=True)
            for pair in of_account.keys
        }

    def account(self, api_key: str) -> Account:
        """The account of a key alone, as listenKey calls want it."""
        return self._known(api_key)[0]

    def signed(self, api_key: str, params: Params, signed_text: str, now_ns: int) -> Account:
        """VenueError unless `signature` in `params` is that of `signed_text` and is in time."""
        account, secret = self._known(api_key)
        now_ms = now_ns // 1_000_000
        stamp_ms = integer(params, "timestamp")
        window_ms = integer(params, "recvWindow", RECV_WINDOW_MS)
        if window_ms > RECV_WINDOW_MS_MAX:
            raise VenueError(-1131)
        if stamp_ms >= now_ms + AHEAD_MS_MAX:
            text = "Timestamp for this request was 1000ms ahead of the server's time."
            raise VenueError(-1021, text=text)
        if now_ms - stamp_ms > window_ms:
            raise VenueError(-1021)
        signature = mandatory(params, "signature").lower().encode(errors="replace")
        if not hmac.compare_digest(sign(secret, signed_text).encode(), signature):
            raise VenueError(-1022)
        return account

    def _known(self, api_key: str) -> tuple[Account, str]:
        if not API_KEY.fullmatch(api_key):
            raise VenueError(-2014)
        if api_key not in self._keys:
            raise VenueError(-2015)
        return self._keys[api_key]


def without_signature(text: str) -> str:
    """Query text as it was signed."""
    return SIGNATURE_PARAM.sub("", text)
