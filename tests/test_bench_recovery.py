"""bench/recovery.py asks for what the engine would run; no time is asserted."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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
