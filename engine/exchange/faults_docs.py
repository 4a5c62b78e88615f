"""docs/faults.md's table, made from the entries of faults_schedule.py: words stand there once."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from engine.exchange.faults_schedule import CLASS_OF, CLASSES, MEANING, UNITS_NS, Fault

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
    yield "| field | default | meaning |"
    yield "|---|---|---|"
    told: set[tuple[str, str, str]] = set()
    shapes: list[type[Fault]] = [Fault, *CLASSES]
    for fault in shapes:
        for name, field in _named(fault):
            row = (name, _default(name, field), field.description or "")
            if name != "kind" and row not in told:
                told.add(row)
                yield f"| `{row[0]}` | {row[1]} | {row[2]} |"


def _named(fault: type[Fault]) -> list[tuple[str, FieldInfo]]:
    """Fields as a file names them."""
    return [(field.alias or name, field) for name, field in fault.model_fields.items()]


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if field.alias is None:
        return f"`{value}`" if value != "" else "–"
    for unit in ("s", "ms"):
        if value % UNITS_NS[unit] == 0:
            return f'`"{value // UNITS_NS[unit]}{unit}"`'
    return f"`{value}`"
