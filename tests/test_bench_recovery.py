"""bench/recovery.py asks for what the engine would run; no time is asserted."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import live_table
from bench.recovery import VENUES, _config
from engine.config_file import load_config
from engine.exchange.keys import derive_keys
from engine.live.check import check_offline


@pytest.mark.parametrize("name", list(VENUES))
def test_its_configuration_is_one_that_can_be_kept(tmp_path: Path, name: str) -> None:
    venue = VENUES[name]
    key = derive_keys(7)[0].keys[0]
    ready = {
        "venue": venue.exchange, "rest_url": "http://127.0.0.1:4001", "ws_url": {"any": "ws://127.0.0.1:4002/path"},
        "accounts": [{"api_key": key.api_key, "secret": key.secret}],
    }  # fmt: skip
    (tmp_path / "exchange.json").write_text(json.dumps(ready))
    exchange: Any = SimpleNamespace(ready=ready)
    path = _config(venue, venue.symbols, exchange, tmp_path, strangers='"leave"')
    loaded = load_config(path, run_tag="0123abcd", mask_seed=1)
    assert [one.core.symbol for one in loaded.config.instruments] == list(venue.symbols)
    category = venue.prefix.rstrip("/")
    assert all(one.core.venue.endswith(category) for one in loaded.config.instruments)
    assert loaded.config.accounts[0].strangers == "leave"
    assert loaded.config.accounts[0].rest_url == ready["rest_url"]
    assert all(url.startswith("ws://127.0.0.1:4002") for url in
               loaded.config.accounts[0].ws_url.values())  # fmt: skip
    assert not check_offline(loaded)["problems"]


BENCHES = sorted(
    path.stem for path in Path(live_table.__file__).parent.glob("*.py")
    if "\nTARGETS" in path.read_text()
)


@pytest.mark.parametrize("name", BENCHES)
def test_every_target_is_one_that_a_figure_can_be_held_against(name: str) -> None:
    """`>= 200 at 20 messages/s each` ended the command that had measured for minutes."""
    targets = importlib.import_module(f"bench.{name}").TARGETS
    assert all(re.fullmatch(r"((>=|<=|>|<) )?[0-9.]+", limit) for limit in targets.values())


# -- THE README'S ROWS ---


def test_rows_of_the_readme_say_what_was_measured_and_what_bounds_it() -> None:
    times = {"p50_us": 150_000.0, "max_us": 400_000.0, "n": 6}
    slow = {"max_us": 13_500_000.0, "n": 3, "bound_s": 11.5}
    mixtures = {"own": {"max_us": 300_000.0, "n": 3, "bound_s": 0.0}, "among_strangers": slow}
    row = {
        "instruments": 200, "p50_us": 9.5, "p99_us": 80.0, "p999_us": 1_500.0, "max_us": 2_500.0,
        "n": 20_000, "busy_share": 0.25, "rss_mb": 1_361.0, "orders_per_s_each_by_venue": 0.1,
    }  # fmt: skip
    found = {
        "recovery": {
            "reconnect": {"cuts": 3, "bybit_linear": times},
            "reconcile": {"orders": 500, "bybit_linear": mixtures},
        },
        "capacity": {
            "rate_per_s": 20, "rows": [row], "doubles": {"few_p99_us": 40.0, "at": None},
            "recorder": {"order_events_per_s": [5_000, 6_000], "p99_ratio": 1.02},
        },
        "recorder": {
            "paced": {"order_events_per_s": 5_001, "lag_p50_ms": 9.0, "lag_p99_ms": 31.0,
                      "lag_max_ms": 40.0},
            "capacity": {"order_events_per_s": 20_000},
        },
    }  # fmt: skip
    told = "\n".join(live_table.lines(found))
    assert "150 ms / 400 ms (n = 6)" in told
    assert "Bybit linear 300 ms (n = 3)" in told
    assert "13.5 s, of which the venue's cancel limit is 11.5 s" in told
    assert "9.5 µs / 80.0 µs / 2 ms / 2 ms (n = 20,000), 25% of one processor, 1,361 MB" in told
    assert "0.1 a second" in told
    assert "more than 200 instruments" in told
    assert "9 / 31 / 40 ms; alone it writes 20,000 a second" in told
    assert "at 5,500 order events a second / without | 1.02×" in told
