"""docs/faults.md's table, made from the entries of faults_schedule.py: words stand there once."""

from collections.abc import Iterator
from typing import get_args

from pydantic.fields import FieldInfo

from engine.exchange.faults_schedule import (
    CLASS_OF,
    EVERY_NS_MIN,
    KINDS,
    MEANING,
    UNITS_NS,
    Fault,
)

KINDS_NAMED_MAX = 8
COMMON = ("kind", "at", "every", "count")


def tables() -> str:
    """Markdown: the kinds, then the fields."""
    return "\n".join([*_kinds(), "", *_fields()]) + "\n"


def _kinds() -> Iterator[str]:
    yield "| kind | what happens | fields besides `at`, `every`, `count` |"
    yield "|---|---|---|"
    for kind, meaning in MEANING.items():
        own = [name for name, _ in _named(CLASS_OF[kind]) if name not in COMMON]
        yield f"| `{kind}` | {meaning} | {', '.join(f'`{name}`' for name in own) or '–'} |"


def _fields() -> Iterator[str]:
    """One row a field and meaning, with the kinds that have it so."""
    yield "| field | of | default | what it may be | meaning |"
    yield "|---|---|---|---|---|"
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for kind in KINDS:
        for name, field in _named(CLASS_OF[kind]):
            if name != "kind":
                row = (name, _default(name, field), _values(name, field), field.description or "")
                rows.setdefault(row, []).append(kind)
    for (name, default, values, meaning), kinds in rows.items():
        of = "all" if len(kinds) == len(KINDS) else ", ".join(f"`{kind}`" for kind in kinds)
        if len(kinds) > KINDS_NAMED_MAX and of != "all":
            of = "who has it above"
        yield f"| `{name}` | {of} | {default} | {values} | {meaning} |"


def _values(name: str, field: FieldInfo) -> str:
    if choices := get_args(field.annotation):
        return ", ".join(f"`{choice}`" for choice in choices)
    if field.annotation is bool:
        return "`true`, `false`"
    if field.annotation is str:
        return "text"
    limits: dict[str, float] = {}
    for each in field.metadata:
        for limit in ("gt", "ge", "le"):
            limits |= {limit: getattr(each, limit)} if hasattr(each, limit) else {}
    if limits:
        low = f"above {limits['gt']:.0f}" if "gt" in limits else f"{limits['ge']:.0f}"
        return f"{low} to {limits['le']:.0f}" if "le" in limits else f"{low} and more"
    if name == "every":
        return f'`"0s"`, or `"{EVERY_NS_MIN // UNITS_NS["ms"]}ms"` and longer'
    if name == "for":
        return "a time above 0"
    can_be_negative = "negative" in (field.description or "")
    return "a time, below 0 too" if can_be_negative else "a time"


def _named(fault: type[Fault]) -> list[tuple[str, FieldInfo]]:
    """Fields as a file names them."""
    return [(field.alias or name, field) for name, field in fault.model_fields.items()]


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if field.alias is None:
        return f"`{value}`" if value != "" else "–"
    for unit in ("s", "ms"):
        if value % UNITS_NS[unit] == 0:
            return f'`"{value // UNITS_NS[unit]}{unit}"`'
    return f"`{value}`"
