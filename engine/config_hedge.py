"""The `[[hedge]]` tables of a live engine's file: which instruments they name, and what a table
may not ask for. What only the venues can tell (assets, lots) is engine/execution/hedge_rules.py's.
"""

from collections.abc import Sequence
from decimal import Decimal

from engine.config import HedgeConfig, InstrumentConfig
from engine.config_tables import FileTable, HedgeTable
from engine.config_text import Sought, nearest


def hedges(
    file: FileTable, instruments: Sequence[InstrumentConfig], sought: Sought
) -> tuple[HedgeConfig, ...]:
    """TickmakerError names line and key."""
    made: list[HedgeConfig] = []
    for index, table in enumerate(file.hedge):
        key = ("hedge", index)
        lists = {
            name: _named(getattr(table, name), instruments, (*key, name), sought)
            for name in ("of", "on")
        }
        _check_numbers(table, key, sought)
        made.append(HedgeConfig(
            name=table.name, of=tuple(one.key for one in lists["of"]),
            on=tuple(one.key for one in lists["on"]), target=Decimal(table.target),
            band=Decimal(table.band), to=Decimal(table.to), collar_ppm=table.collar_ppm,
            slice_max=Decimal(table.slice_max), pause_ms=table.pause_ms,
        ))  # fmt: skip
        _check_stops(lists["on"], (*key, "on"), sought)
        _check_once(made, index, sought)
    return tuple(made)


def _named(
    names: Sequence[str], instruments: Sequence[InstrumentConfig], key: tuple[str | int, ...],
    sought: Sought,
) -> list[InstrumentConfig]:  # fmt: skip
    found: list[InstrumentConfig] = []
    for name in names:
        fits = [
            one for one in instruments
            if name in (one.key, f"{one.account}.{one.core.symbol}", one.core.symbol)
        ]  # fmt: skip
        if len(fits) > 1:
            raise sought.error(
                key, f"{name!r} names {len(fits)} instruments",
                f"Write one of {', '.join(one.key for one in fits)}.",
            )  # fmt: skip
        if not fits:
            keys = [one.key for one in instruments]
            raise sought.error(
                key, f"there is no instrument {name!r}",
                nearest(name, keys) or f"Instruments here: {', '.join(keys[:10])}.",
            )  # fmt: skip
        if fits[0] in found:
            raise sought.error(key, f"{fits[0].key} is there twice", "Name each once.")
        found += fits
    return found


def _check_numbers(table: HedgeTable, key: tuple[str, int], sought: Sought) -> None:
    band, to = Decimal(table.band), Decimal(table.to)
    for name, value in (("band", band), ("slice_max", Decimal(table.slice_max))):
        if not value:
            raise sought.error((*key, name), f"{name} must be above 0", "Give it a size.")
    if to >= band:
        raise sought.error(
            (*key, "to"), f"to is {table.to}, and the band {table.band}: what is done must end "
            "inside the band", "Lower to: 0 is the target itself.",
        )  # fmt: skip


def _check_stops(
    places: Sequence[InstrumentConfig], key: tuple[str | int, ...], sought: Sought
) -> None:
    """A stop would undo the hedge, which would be taken again."""
    for one in places:
        for name in ("stop_ticks", "target_ticks", "hold_ms_max"):
            if getattr(one.core.stops, name):
                raise sought.error(
                    key, f"{one.key} has stops.{name}: it would undo the hedge, which would be "
                    "taken again", "Set it to 0 there.",
                )  # fmt: skip


def _check_once(made: Sequence[HedgeConfig], index: int, sought: Sought) -> None:
    last = made[-1]
    for before, other in enumerate(made[:-1]):
        if other.name == last.name:
            raise sought.error(
                ("hedge", index, "name"), f"hedge {last.name} is there twice",
                f"The first is at {sought.at(('hedge', before, 'name'))}.",
            )  # fmt: skip
        if both := sorted(set(other.keys) & set(last.keys)):
            raise sought.error(
                ("hedge", index, "on" if both[0] in last.on else "of"),
                f"{both[0]} is in hedge {other.name}, too: each would hedge the other's fills",
                "Make one hedge of the two, or give it an instrument of its own.",
            )  # fmt: skip
