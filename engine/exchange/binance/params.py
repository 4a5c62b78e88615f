"""Request parameters of Binance's venues: decimal, integer and enum parsing."""

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from engine.exchange.binance.errors import VenueError
from engine.exchange.instruments import Grid, OffGridError, OffStepError

CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
SIGNATURE_PARAM = re.compile(r"(^|&)signature=[^&]*")
PLAIN_QUERY = re.compile(r"[A-Za-z0-9_=&.,:/-]*", re.ASCII)  # nothing to decode
PARAMS_MAX = 64

Params = Mapping[str, str]
EnumT = TypeVar("EnumT", bound=Enum)


# -- TEXT TO PARAMETERS ---


def parse_query(text: str) -> dict[str, str]:
    """Query or form text to parameters; a repeated one is an error."""
    if not text:
        return {}
    pairs: list[Any]
    try:
        if PLAIN_QUERY.fullmatch(text) and text.count("&") < PARAMS_MAX:
            # What clients send on the hot path: an order of magnitude faster than parse_qsl.
            pairs = [pair.split("=", 1) for pair in text.split("&") if "=" in pair]
        else:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMS_MAX)
    except ValueError:
        raise VenueError(-1130, "query") from None
    params: dict[str, str] = dict(pairs)
    if len(params) != len(pairs):
        names = [name for name, _ in pairs]
        raise VenueError(-1101, next(name for name in names if names.count(name) > 1))
    return params


def without_signature(text: str) -> str:
    """Query text as it was signed."""
    return SIGNATURE_PARAM.sub("", text) if "signature=" in text else text


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class Decimal(str):
    """A JSON number with a fraction or an exponent: its text, which is what was signed."""

    __slots__ = ()


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def json_object(text: str) -> dict[str, Any]:
    """A request of the WebSocket API; VenueError -1135 for anything but a JSON object."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise VenueError(-1135) from None
    if not isinstance(value, dict):
        raise VenueError(-1135)
    return value


def text_params(value: object) -> dict[str, str]:
    """JSON parameters as the text that was signed; nested values are refused."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise VenueError(-1135, text="Invalid 'params' in JSON request; expected an object.")
    params: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, str):
            params[name] = item
        elif isinstance(item, bool):
            params[name] = "true" if item else "false"
        elif isinstance(item, int):
            params[name] = str(item)
        elif isinstance(item, list) and all(isinstance(part, str) for part in item):
            params[name] = json.dumps(item, separators=(",", ":"))  # as REST writes a list
        elif item is not None:
            raise VenueError(-1102, name)
    return params


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


def units(
    params: Params, name: str, grid: Grid, off_grid: VenueError, off_step: VenueError
) -> int:
    """Ticks or lots; the venue's own errors for too many decimals and for no multiple."""
    try:
        return grid.units(mandatory(params, name))
    except OffGridError:
        raise off_grid from None
    except OffStepError:
        raise off_step from None
    except ValueError:
        raise VenueError(-1100, name) from None


def one_of(params: Params, name: str, kind: type[EnumT], code: int) -> EnumT:
    """The member of that name."""
    try:
        return kind[mandatory(params, name)]
    except KeyError:
        raise VenueError(code) from None


def limit_of(params: Params, default: int, limit_max: int) -> int:
    """`limit`, quietly cut to the venue's maximum."""
    return max(1, min(integer(params, "limit", default), limit_max))
