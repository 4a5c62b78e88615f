"""What the parent of a paper run tells its exchanges, and what the engine is told instead.

The engine's configuration is the live one with other addresses: loopback, the keys that the paper
exchange made up. Its state is the run folder's own, so that no real run ever takes a paper
position for its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config import AccountConfig, EngineConfig, ws_url_of
from engine.exchange.instruments import E8
from engine.paper.venue import PURSE_E8_MIN

STATE = "paper_state"


def document_of(config: EngineConfig, account: AccountConfig, seed: int) -> dict[str, Any]:
    """For `python -m engine.paper`. Nothing of the credential is in it."""
    own = [one.core for one in config.instruments_of(account)]
    return {
        "venue": account.venue,
        "rest_url": account.rest_url,
        "ws_url": account.ws_url,
        "ca_file": None if account.ca_file is None else str(account.ca_file),
        "recv_window_ms": account.recv_window_ms,
        "exposure_e8_max": max(core.limits.account_exposure_e8_max for core in own),
        "seed": seed,
        "truth": str(config.run_dir / f"paper-{account.name}.jsonl"),
        "instruments": [
            {
                "venue": core.venue, "symbol": core.symbol, "maker_bp": core.fees.maker_bp,
                "taker_bp": core.fees.taker_bp,
                "position_lots_max": core.limits.position_lots_max,
            }
            for core in own
        ],
    }  # fmt: skip


def purse(config: EngineConfig, account: AccountConfig) -> int:
    """Of each quote asset, what the account begins with."""
    document = document_of(config, account, 0)
    return max(2 * int(document["exposure_e8_max"]), PURSE_E8_MIN) // E8


def on_paper(
    config: EngineConfig, ready: Mapping[str, Mapping[str, Any]], seeds: Mapping[str, int],
    run_dir: Path,
) -> EngineConfig:  # fmt: skip
    """The engine's: every account at its paper exchange (`ready` lines by account)."""
    accounts = tuple(
        account.model_copy(update={
            "rest_url": ready[account.name]["rest_url"],
            "ws_url": _urls(account, ready[account.name]["ws_url"]),
            "ca_file": None,
            "credential": {
                "kind": "local_exchange", "seed": seeds[account.name], "account": 0,
            },
        })
        for account in config.accounts
    )  # fmt: skip
    return config.model_copy(update={
        "kind": "paper", "accounts": accounts, "run_dir": run_dir, "state_dir": run_dir / STATE,
    })  # fmt: skip


def _urls(account: AccountConfig, told: Mapping[str, str]) -> dict[str, str]:
    named = ws_url_of(told)
    return {kind: named[kind] for kind in account.ws_url if kind in named}
