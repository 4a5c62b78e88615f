"""The configuration of an engine that trades at the local exchange: demo, simulator, tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ACCOUNT = "local"
DEAD_MAN_S = 30
_VENUES = {"bybit_linear": "bybit", "bybit_spot": "bybit"}


def local_engine(
    run_dir: Path, cores: Sequence[Mapping[str, Any]], rest_url: str, ws_url: Mapping[str, str], *,
    seed: int, poll: str = "sleep", cpu: int | None = None, strategy_file: Path | None = None,
    state_dir: Path | None = None, **account: Any,
) -> dict[str, Any]:  # fmt: skip
    """Document of an EngineConfig: one account, a core table an instrument. `account` changes the
    account's own settings."""
    venue = str(cores[0]["venue"])
    return {
        "name": ACCOUNT,
        "run_dir": str(run_dir),
        "state_dir": str(state_dir or run_dir / "state"),
        "poll": poll,
        "cpu": cpu,
        "accounts": [{
            "name": ACCOUNT,
            "venue": _VENUES.get(venue, venue),
            "rest_url": rest_url,
            "ws_url": dict(ws_url),
            "recv_window_ms": cores[0]["recv_window_ms"],
            "wanted": {
                "margin_mode": None, "leverage": None, "fee_discount": None, "stp": None,
            },
            "strangers": "cancel",
            "dead_man_s": DEAD_MAN_S if venue == "binance_usdm" else 0,
            "late_per_min_max": 0,  # the exchange has its share of the machine
            "at_shutdown": "keep",
            "feeds": 1,
            "credential": {"kind": "local_exchange", "seed": seed, "account": 0},
        } | account],
        "instruments": [
            {
                "account": ACCOUNT,
                "strategy_file": None if strategy_file is None else str(strategy_file.resolve()),
                "core": {**core, "number": number},
            }
            for number, core in enumerate(cores)
        ],
    }  # fmt: skip
