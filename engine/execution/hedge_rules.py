"""Whether a hedge can be kept: its instruments' assets, lots and limits, as the venues tell them.
Pure; asked by `tickmaker check` and again at the start, before anything is sent."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from engine.config import EngineConfig, HedgeConfig, InstrumentConfig
from engine.venues.base import Instrument
from fastcore.core_config import VENUES


def problems(config: EngineConfig, traded: Mapping[str, Instrument]) -> list[str]:
    """`traded` by InstrumentConfig.key; one whose assets nobody has told is no problem yet."""
    found = []
    for hedge in config.hedges:
        own = [one for one in config.instruments if one.key in hedge.keys]
        told = [one for one in own if one.key in traded and traded[one.key].quote]
        texts = [*_end_problems(config, own), *_asset_problems(told, traded)]
        if len(told) == len(own) and not texts:
            texts = [*_size_problems(hedge, own, traded), *_room_problems(hedge, own, traded)]
        found += [f"hedge {hedge.name}: {text}" for text in texts]
    return found


def _end_problems(config: EngineConfig, own: Sequence[InstrumentConfig]) -> Iterator[str]:
    """A shutdown that closes one side of a hedged position leaves the other naked."""
    names = {one.account for one in own}
    ends: dict[str, list[str]] = {}
    for account in config.accounts:
        if account.name in names:
            ends.setdefault(account.at_shutdown, []).append(account.name)
    if len(ends) > 1:
        shown = ", ".join(f"{' and '.join(names)} {end}" for end, names in ends.items())
        yield (
            f"at_shutdown differs: {shown}. Closing one side would leave the other open: use the "
            "same for all of its accounts."
        )


def _asset_problems(
    told: Sequence[InstrumentConfig], traded: Mapping[str, Instrument]
) -> Iterator[str]:
    for name in ("base", "quote"):
        assets: dict[str, list[str]] = {}
        for one in told:
            assets.setdefault(getattr(traded[one.key], name), []).append(one.key)
        if len(assets) > 1:
            shown = "; ".join(f"{asset}: {', '.join(keys)}" for asset, keys in assets.items())
            yield (
                f"one {name} asset is needed, but they have {shown}. Name instruments of one "
                "base and one quote asset."
            )


def _size_problems(
    hedge: HedgeConfig, own: Sequence[InstrumentConfig], traded: Mapping[str, Instrument]
) -> Iterator[str]:
    """What is over the band must be enough for an order somewhere, or it stays open for good; and
    a slice must hold one."""
    least = {one.key: _order_min(one, traded[one.key]) for one in own if one.key in hedge.on}
    smallest = min(least.values())
    if hedge.band - hedge.to < smallest:
        yield (
            f"between to and band are {hedge.band - hedge.to}, but the smallest order of any of "
            f"its places is {smallest}: what is open could stay so. Widen the band."
        )
    for key, qty in least.items():
        if hedge.slice_max < qty:
            yield (
                f"slice_max is {hedge.slice_max}, but the smallest order of {key} is {qty}: "
                "nothing could be taken there. Raise it."
            )


def _room_problems(
    hedge: HedgeConfig, own: Sequence[InstrumentConfig], traded: Mapping[str, Instrument]
) -> Iterator[str]:
    """What the makers may hold, the hedge must be able to hold against it: either way."""
    makers = [one for one in own if one.key not in hedge.on]
    places = [one for one in own if one.key in hedge.on]
    needed = _most(makers, traded) - hedge.band
    to_buy = _most(places, traded) - hedge.target
    to_sell = _most([one for one in places if can_be_short(traded[one.key])], traded)
    to_sell += hedge.target
    for word, room in (("bought", to_buy), ("sold", to_sell)):
        if room < needed:
            spot = [one.key for one in places if not can_be_short(traded[one.key])]
            more = ""
            if spot and word == "sold":
                more = f" Spot can't go short: of {', '.join(spot)} the target is sold, no more."
            yield (
                f"its makers' limits.position_lots_max leave up to {needed} to hedge, but "
                f"{max(room, Decimal(0))} can be {word} within those of its places.{more} Lower "
                "the makers', or raise the places'."
            )


def can_be_short(instrument: Instrument) -> bool:
    return VENUES[instrument.venue].has_reduce_only


def _most(own: Iterable[InstrumentConfig], traded: Mapping[str, Instrument]) -> Decimal:
    """What their limits let them hold, in base units."""
    return sum(
        (one.core.limits.position_lots_max * Decimal(traded[one.key].lot) for one in own),
        Decimal(0),
    )


def _order_min(one: InstrumentConfig, told: Instrument) -> Decimal:
    lot = Decimal(told.lot)
    return max(lot, told.qty_min, one.core.limits.qty_lots_min * lot)
