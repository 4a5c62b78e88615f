"""Hedges while venues fail at random: what the engine reckons with always holds the truth, and at
the end all is hedged. The same dice for the same seed; what they hit is a matter of the moment."""

import asyncio
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from support_live import Exchange, desk, exchanges, written
from support_session import run

from engine.config import HedgeConfig
from engine.errors import EXIT_OK
from engine.exchange.faults_schedule import fault
from engine.execution.hedger import Decision, Leg, decide
from engine.live import hedging
from fastcore.types import Side

PURSE = {"spot.binance_spot.BTCUSDT": Decimal(10)}
FAULTS = 6
KINDS = ("ack_lost", "timeout", "drop", "half_open", "unknown", "drop_all", "delay",
         "error_after_effect")  # fmt: skip
# Own markets for the agents of each exchange: what is dear or wide is none of this test's matter.
LOOSE = {"book_age_ms_max": "5000", "spread_ticks_max": "0", "spread_factor": "0",
         "ack_ms_max": "300.0"}  # fmt: skip


def fail(exchange: Exchange, dice: Random) -> None:
    kind = dice.choice(KINDS)
    fields: dict[str, object] = {}
    if kind != "drop_all":
        fields["for"] = f"{dice.randint(300, 1_500)}ms"
    if kind in ("drop", "half_open", "delay"):
        fields["conn"] = dice.choice(["user", "trade"])
    if kind in ("timeout", "unknown"):
        fields["effect"] = dice.random() < 0.5
    if kind == "delay":
        fields["by"] = "200ms"
    server = exchange.server
    server.face.start(fault(kind, **fields), server.now_ns())


class Checked:
    """`decide`, with the exchanges' word beside the legs of each plan."""

    def __init__(self, traded: dict[str, tuple[Exchange, str]]) -> None:
        self.traded = traded
        self.wrong: list[tuple[str, Decimal, Decimal, Decimal]] = []
        self.plans = 0

    def __call__(self, config: HedgeConfig, legs: list[Leg], now_ns: int) -> Decision:
        decision = decide(config, legs, now_ns)
        if decision.plan is None or not decision.plan.slices:
            return decision
        self.plans += 1
        for leg in legs:
            exchange, symbol = self.traded[leg.key]
            truth = exchange.position_lots(symbol) * leg.lot + PURSE.get(leg.key, 0)
            booked = leg.position_lots * leg.lot
            low, high = booked - leg.on_its_way(Side.SELL), booked + leg.on_its_way(Side.BUY)
            if leg.key in config.on and not low <= truth <= high:
                self.wrong.append((leg.key, truth, low, high))
        return decision


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_reckoned_with_holds_the_truth_through_faults(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = Random(seed)

    async def work() -> None:
        usdm = Exchange("binance_usdm", ["BTCUSDT"], seed)
        bybit = Exchange("bybit", ["linear/BTCUSDT"], seed)
        spot = Exchange("binance_spot", ["BTCUSDT"], seed)
        checked = Checked({
            "usdm.binance_usdm.BTCUSDT": (usdm, "BTCUSDT"),
            "bybit.bybit_linear.BTCUSDT": (bybit, "linear/BTCUSDT"),
            "spot.binance_spot.BTCUSDT": (spot, "BTCUSDT"),
        })
        monkeypatch.setattr(hedging.Hedge.__init__, "__defaults__", (checked,))
        async with exchanges(tmp_path, usdm, bybit, spot):
            path = written(tmp_path, "local_hedge.toml", **LOOSE)
            async with desk(path, tmp_path / "run") as made:
                await made.until(lambda: made.heard.of("started"))
                for _ in range(FAULTS):
                    fail(dice.choice([usdm, bybit, bybit, spot, spot]), dice)
                    await asyncio.sleep(dice.uniform(0.3, 1.2))
                    assert not made.task.done(), made.heard.of("error")
                hedge = made.session._hedging.hedges[0]
                await made.until(lambda: not any(made.bits(i) for i in range(3)), 45)
                await made.until(lambda: hedge.told()["state"] == "HEDGED", 30)
                assert checked.plans > 3
                assert checked.wrong == []
                assert await made.stop() == EXIT_OK, made.heard.of("error")
                assert not made.heard.of("divergence")

    run(work)
