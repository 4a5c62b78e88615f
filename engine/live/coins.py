"""Spot positions are coins of one wallet: no two instruments of an account may count the same."""

from collections.abc import Mapping
from itertools import combinations

from engine.venues.base import Instrument
from fastcore.core_config import VENUES

FEE_TOKEN = "BNB"  # of binance_spot, where fees are paid in the venue's own token


def is_spot(instrument: Instrument) -> bool:
    return not VENUES[instrument.venue].has_reduce_only


def shared_coins(traded: Mapping[str, Instrument], fee_discount: bool | None) -> list[str]:
    """What is wrong with the instruments (by key) of one account: coins that two of them would
    take for theirs, or that fees are paid with beside one."""
    spot = {key: one for key, one in traded.items() if is_spot(one)}
    problems = [
        f"{key} and {other_key} would count the same {coin}: the base asset of one is traded by "
        "the other, too"
        for (key, one), (other_key, other) in combinations(spot.items(), 2)
        for coin in sorted({one.base} & {other.base, other.quote} | {other.base} & {one.quote})
    ]
    problems += [
        f"{key}: fees are paid in {FEE_TOKEN} (wanted.fee_discount), which is its base asset: "
        "its position would shrink with every other fill"
        for key, one in spot.items()
        if fee_discount and one.venue == "binance_spot" and one.base == FEE_TOKEN
    ]
    return problems
