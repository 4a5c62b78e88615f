"""Request fields, read the way Bybit v5 complains about them: 10001 with its own words on
derivatives, a code for each field on spot.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from engine.exchange.bybit.errors import VenueError
from engine.exchange.bybit.venue import kind_of
from engine.exchange.instruments import (
    DECIMAL_TEXT,
    Grid,
    Instrument,
    Kind,
    OffGridError,
    OffStepError,
)

FIELDS_MAX = 64
INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)


class Fields:
    """One request's fields; null is as good as absent. `kind` decides the words of complaints."""

    def __init__(self, values: Mapping[str, Any], kind: Kind | None = None) -> None:
        self._values = values
        self.kind = kind if kind is not None else kind_of(values.get("category"))

    def has(self, name: str) -> bool:
        return self.text(name) != ""

    def text(self, name: str, default: str = "") -> str:
        """Text, or a JSON number's own digits."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if not isinstance(value, str):
            raise self.invalid(name)
        return value

    def needed(self, name: str) -> str:
        value = self.text(name)
        if not value:
            if self.kind is Kind.SPOT:
                raise VenueError(170105, f"Parameter '{name}' was empty.")
            raise VenueError(10001, f"params error: {name} invalid")
        return value

    def invalid(self, name: str) -> VenueError:
        if self.kind is Kind.SPOT:
            return VenueError(170130, f"Data sent for paramter '{name}' is not valid.")
        return VenueError(10001, f"params error: {name} invalid")

    def flag(self, name: str) -> bool:
        text = self.text(name, "false").lower()
        if text not in ("true", "false"):
            raise self.invalid(name)
        return text == "true"

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if not INTEGER.fullmatch(text) or not least <= int(text) <= most:
            raise self.invalid(name)
        return int(text)

    def link_id(self) -> str:
        """Our own order id; empty when there is none."""
        text = self.text("orderLinkId")
        if text and not LINK_ID.fullmatch(text):
            raise self.invalid("orderLinkId")
        return text

    # -- AMOUNTS ---

    def price(self, instrument: Instrument, name: str = "price") -> int:
        """Ticks."""
        text = self.needed(name)
        try:
            return instrument.px.units(text)
        except (OffGridError, OffStepError):
            if self.kind is Kind.SPOT:
                raise VenueError(170134, "Order price decimal too long.") from None
            raise VenueError(10001, "Price invalid") from None  # unverified
        except ValueError:
            raise self.invalid(name) from None

    def quantity(self, instrument: Instrument, name: str = "qty") -> int:
        """Lots."""
        text = self.needed(name)
        try:
            return instrument.qty.units(text)
        except (OffGridError, OffStepError):
            if self.kind is Kind.SPOT:
                raise VenueError(170137, "Order volume decimal too long.") from None
            raise VenueError(10001, "Qty invalid") from None
        except ValueError:
            if self.kind is Kind.SPOT:
                raise self.invalid(name) from None
            raise VenueError(10001, "Qty invalid") from None

    def money_e8(self, name: str, grid: Grid) -> int:
        text = self.needed(name)
        try:
            return grid.units(text)
        except (OffGridError, OffStepError):
            raise VenueError(170148, "Market order amount decimal too long.") from None
        except ValueError:
            raise self.invalid(name) from None

    def whole_leverage(self, name: str) -> int:
        """The core has whole leverages only; the venue has hundredths."""
        text = self.needed(name)
        if not DECIMAL_TEXT.fullmatch(text) or float(text) != int(float(text)):
            raise VenueError(10001, "leverage invalid")
        return int(float(text))


# -- BODIES AND QUERIES ---


def parse_body(text: str) -> dict[str, Any]:
    """A JSON object; numbers with a point keep their digits as text."""
    if not text:
        return {}
    try:
        value = json.loads(text, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise VenueError(10001) from None
    if not isinstance(value, dict):
        raise VenueError(10001)
    return value


def parse_query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise VenueError(10001) from None


# -- PAGES ---


def cursor_of(text: str) -> tuple[int, int] | None:
    """Where the last page ended: (time, number). Clients escape a cursor anew, or don't."""
    if not text:
        return None
    match = re.fullmatch(r"page_args=(\d{1,20})\.(\d{1,20})&", unquote(unquote(text)), re.ASCII)
    if match is None:
        raise VenueError(10001, "params error: cursor invalid")  # unverified
    return int(match[1]), int(match[2])


def cursor_text(t_ns: int, number: int) -> str:
    return f"page_args%3D{t_ns}.{number}%26"
