"""What a configuration says against itself: pure, and without asking anybody.

A strategy may want what the gate will deny: sizes over its limits, or quotes replaced faster than
its windows last. The first is a problem, nothing would ever be sent. The second is a warning: the
gate holds, but a quote that is denied stays where it was, and stands there too long.
"""

import math
from collections.abc import Iterator, Mapping

from engine.config import EngineConfig, InstrumentConfig, Limits

# Parameters of built-in strategies that are lots of one order, and of the position.
ORDER_LOTS = ("qty_lots",)
POSITION_LOTS = ("position_lots_max",)


def problems_of_params(limits: Limits, params: Mapping[str, float]) -> Iterator[str]:
    """Parameters under which the gate would deny every order."""
    for name in ORDER_LOTS:
        lots = params.get(name)
        if lots is None:
            continue
        for limit in ("qty_lots_max", "position_lots_max"):
            most = getattr(limits, limit)
            if lots > most:
                yield (
                    f"params.{name} is {lots:,.12g}, over limits.{limit} = {most:,}: the gate "
                    "would deny every order"
                )
        if lots and lots < limits.qty_lots_min:
            yield (
                f"params.{name} is {lots:,.12g}, under limits.qty_lots_min = "
                f"{limits.qty_lots_min:,}: the gate would deny every order"
            )


def warnings(config: EngineConfig) -> list[str]:
    """What will be denied again and again, by instrument and account."""
    told = []
    for one in config.instruments:
        told += [f"{one.key}: {text}" for text in _of_instrument(one)]
    for account in config.accounts:
        own = config.instruments_of(account)
        wanted = sum(_quotes_per_s(one) for one in own)
        left = min(_left_per_s(one, "account_") for one in own)
        if len(own) > 1 and wanted > left:
            told.append(
                f"{account.name}: its {len(own)} instruments may replace {wanted:.3g} quotes a "
                f"second, the account's limits leave {left:.3g}. Raise quoting.requote_ms, or "
                "lower quoting.messages_per_s_max."
            )
    for hedge in config.hedges:
        for one in config.instruments:
            most = one.core.quoting.messages_per_s_max
            if one.key in hedge.on and 1_000 / hedge.pause_ms > most:
                told.append(
                    f"hedge {hedge.name}: it may act {1_000 / hedge.pause_ms:.3g} times a second, "
                    f"but quoting.messages_per_s_max of {one.key} is {most}: what is over that "
                    "waits. Raise pause_ms, or that."
                )
    return told


def _of_instrument(one: InstrumentConfig) -> Iterator[str]:
    limits, params = one.core.limits, one.core.params
    for name in POSITION_LOTS:
        if (lots := params.get(name)) is not None and lots > limits.position_lots_max:
            yield (
                f"params.{name} is {lots:,.12g}, over limits.position_lots_max = "
                f"{limits.position_lots_max:,}: the gate denies before the strategy holds back"
            )
    wanted, left = _quotes_per_s(one), _left_per_s(one, "")
    if wanted > left:
        yield (
            f"may replace {wanted:.3g} quotes a second, its limits leave {left:.3g} beside the "
            "reserves: in a lively market quotes are denied, and stay where they were. Raise "
            "quoting.requote_ms, or lower quoting.messages_per_s_max."
        )


def _messages_each(one: InstrumentConfig) -> int:
    """Of a quote that is replaced: amended, or canceled and placed."""
    return 1 if one.core.quoting.modify else 2


def _quotes_per_s(one: InstrumentConfig) -> float:
    """Of a bid and an ask that are always behind."""
    quoting = one.core.quoting
    paced = math.inf if not quoting.requote_ms else 2_000.0 / quoting.requote_ms
    return min(paced, quoting.messages_per_s_max / _messages_each(one))


def _left_per_s(one: InstrumentConfig, prefix: str) -> float:
    """Quotes a second that last in every window, its reserve left alone."""
    limits, each = one.core.limits, _messages_each(one)

    def left(key: str, reserve: str, window_s: float) -> float:
        count: int = getattr(limits, prefix + key) - getattr(limits, prefix + reserve)
        return max(count, 0) / window_s

    return min(
        left("orders_per_10s_max", "exit_reserve", 10.0),
        left("orders_per_min_max", "exit_reserve", 60.0),
        left("messages_per_s_max", "cancel_reserve", 1.0) / each,
        left("messages_per_min_max", "cancel_reserve", 60.0) / each,
    )
