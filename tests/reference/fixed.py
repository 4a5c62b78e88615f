"""Decimal text <-> units by decimal.Decimal: fastcore/fixed's rules, none of its speed."""

import re
from decimal import Decimal, localcontext

PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?\Z", re.ASCII)
DIGITS_MAX = 18
DECIMALS_MAX = 12


class NotDecimal(ValueError):
    """Text that is no plain decimal."""


class OffGrid(ValueError):
    """A decimal that is too large, or no multiple of the tick."""


def scale(tick: str) -> tuple[int, int]:
    """(decimals, step): the tick is step * 10^-decimals, with as few decimals as it takes."""
    if not PLAIN.match(tick) or tick.startswith("-"):
        raise NotDecimal(f"{tick!r} is not a plain decimal")
    whole, _, part = tick.partition(".")
    part = part.rstrip("0")
    if len(part) > DECIMALS_MAX or len(whole) + len(part) > DIGITS_MAX or int(whole + part) == 0:
        raise OffGrid(f"{tick!r} is zero, too fine or too large")
    return len(part), int(whole + part)


def parse(text: bytes, tick: str) -> int:
    decimals, step = scale(tick)
    decoded = text.decode("latin-1")
    if not PLAIN.match(decoded):
        raise NotDecimal(f"{text!r} is not a plain decimal")
    with localcontext() as context:
        context.prec = len(decoded) + 40
        scaled = Decimal(decoded).scaleb(decimals)
        if abs(scaled) >= 10**DIGITS_MAX or scaled % step != 0:
            raise OffGrid(f"{text!r} is too large, or not a multiple of {tick}")
        return int(scaled / step)


def format(units: int, tick: str) -> bytes:
    decimals, step = scale(tick)
    scaled = units * step
    if abs(scaled) >= 10**DIGITS_MAX:
        raise OffGrid(f"{units} ticks of {tick} have too many digits")
    with localcontext() as context:
        context.prec = 60
        return f"{Decimal(scaled).scaleb(-decimals):.{decimals}f}".encode()
