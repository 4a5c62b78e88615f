"""The exchange's bench on small loads: every order accepted and answered, no message lost."""

import json
from pathlib import Path

import pytest

from bench import exchange, machine
from engine.errors import TickmakerError


def two_processors() -> tuple[int, int]:
    try:
        first, second = machine.choose_cpus(2)
    except TickmakerError:
        pytest.skip("the bench needs two processors")
    return first, second


def test_small_run_has_every_figure(tmp_path: Path) -> None:
    two_processors()
    result = exchange.run(orders=450, rate=400, pump_s=0.1, out=tmp_path / "exchange.json")
    assert json.loads((tmp_path / "exchange.json").read_text()) == result
    for way, orders in (("ws", 450), ("rest", 150)):
        assert result["orders"][way]["accepted"] == orders
        assert result["orders"][way]["orders_per_s"] > 0
        row = result["order_to_ack"][way]
        assert row["n"] == 150 - 15
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["p999_us"] <= row["max_us"]
    assert result["exchange_counters"]["bugs"] == 0
    assert result["pump"]["messages"] > 0
    assert 100 < result["pump"]["mean_payload_bytes"] < 2_000


def test_refused_order_fails_the_run() -> None:
    _, cpu = two_processors()
    with exchange.exchange_on(cpu) as ready:
        job = exchange._job(ready) | exchange._load("ws", 20, 0, 4) | {"cpu": cpu}
        with pytest.raises(TickmakerError, match="20 of the bench's orders were refused"):
            exchange._client(job | {"quantity": "0.0001"})


@pytest.mark.parametrize("bad", [{"orders": 0}, {"rate": 0}, {"pump_s": 0.0}])
def test_loads_of_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(TickmakerError, match="more than 0"):
        exchange.run(**bad)  # type: ignore[arg-type]
