"""The tables of a live engine's TOML file: what keys it may have, and what each of them means.

docs/run.md is made from the descriptions (python -m bench.run_docs).
"""

from typing import Any, Literal

from pydantic import Field

from engine.config import (
    AccountLimits,
    Budgets,
    Exact,
    Fees,
    Halts,
    InstrumentLimits,
    ProcessBudget,
    Quoting,
    Stops,
)  # fmt: skip

WS_KINDS: dict[str, tuple[str, ...]] = {  # of the venues' adapters
    "binance_usdm": ("public", "private", "ws_api"),
    "binance_spot": ("market", "ws_api"),
    "bybit": ("linear", "spot", "private", "trade"),
}


# Whoever writes a key where its place was asked for gets an error; the forms are such that no key
# passes for a place, so the error that follows can name the place.
_VARIABLE = r"^[A-Z][A-Z0-9_]{0,39}$"


class KeySource(Exact):
    """Where the key is: one of the three."""

    key_file: str | None = Field(
        default=None, pattern=r"\.toml$",
        description="a TOML file with api_key and secret, readable by its owner only",
    )  # fmt: skip
    env_key: str | None = Field(
        default=None, pattern=_VARIABLE, description="variable that holds the key"
    )
    env_secret: str | None = Field(
        default=None, pattern=_VARIABLE, description="variable that holds the secret"
    )
    exchange_json: str | None = Field(
        default=None, pattern=r"\.json$", description="file with the local exchange's ready line"
    )
    account: int | None = Field(
        default=None, ge=0, description="which of the ready line's accounts, from 0"
    )


class WantedTable(Exact):
    """How the account is to be set up at the venue. What is absent is left as it is."""

    margin_mode: Literal["cross", "isolated"] | None = Field(
        default=None, description="of futures"
    )
    leverage: int | None = Field(default=None, ge=1, le=125, description="of futures")
    fee_discount: bool | None = Field(
        default=None, description="fees in the venue's own token (Binance: BNB)"
    )
    stp: Literal["none", "expire_taker", "expire_maker", "expire_both"] | None = Field(
        default=None, description="what the venue does when our orders meet each other"
    )


class AccountTable(Exact):
    """One account at one venue. One engine only may run on it at a time."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$", description="ours: in files, lines and reports"
    )
    venue: Literal["binance_usdm", "binance_spot", "bybit"] = Field(
        description="where it is"
    )
    rest_url: str = Field(default="", description="may be left to exchange_json")
    ws_url: dict[str, str] = Field(
        default={}, description="by kind, see above; may be left to exchange_json"
    )
    ca_file: str | None = Field(
        default=None, description="certificate that no public authority signed"
    )
    recv_window_ms: int = Field(gt=0, le=60_000, description="age at which the venue refuses")
    strangers: Literal["leave", "cancel", "halt"] = Field(
        description="orders and fills on the account that are not ours"
    )
    dead_man_s: int = Field(
        ge=0, le=600, description="the venue cancels all after so long without us; 0: not armed"
    )
    at_shutdown: Literal["keep", "flatten"] = Field(description="the positions")
    feeds: int = Field(ge=1, le=2, description="connections that carry the same market data")
    credential: KeySource = Field(description="where the key is; never the key")
    wanted: WantedTable = Field(description="how the account is to be set up")
    limits: AccountLimits = Field(description="of all its instruments together")


class InstrumentTable(Exact):
    """What is traded, and how."""

    account: str = Field(description="name of one above")
    category: Literal["linear", "spot"] | None = Field(
        default=None, description="of Bybit, required there; absent elsewhere"
    )
    symbol: str = Field(pattern=r"^[A-Z0-9_]{2,32}$", description="as the venue writes it")
    strategy: str = Field(description="a built-in one, or my_file.py:function")
    params: dict[str, float] = Field(description="of the strategy (docs/strategies.md)")
    signals: dict[str, Any] = Field(description="their settings (docs/signals.md)")
    fees: Fees = Field(description="what the strategy reckons with")
    quoting: Quoting = Field(description="when a quote is replaced")
    stops: Stops = Field(description="when a trade ends by itself")
    limits: InstrumentLimits = Field(description="pre-trade limits (docs/gate.md)")
    halts: Halts = Field(description="what pulls the quotes (docs/halts.md)")
    budgets: Budgets = Field(description="latency that is enforced")


UNITS = r"^\d{1,12}(\.\d{1,12})?$"
SIGNED_UNITS = r"^-?\d{1,12}(\.\d{1,12})?$"


class HedgeTable(Exact):
    """What fills leave open on some instruments is taken on others, wherever that costs least
    (docs/router.md). There may be none, or any number; no instrument is in two of them."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$", description="ours: in lines, the ledger and reports"
    )
    of: list[str] = Field(
        min_length=1,
        description="whose position is hedged: `account.venue.symbol`, or `account.symbol` or "
        "`symbol` where that names one; all of one base and one quote asset",
    )  # fmt: skip
    on: list[str] = Field(
        min_length=1, max_length=8,
        description="where it may be taken; what they hold counts, as it is the hedge",
    )  # fmt: skip
    target: str = Field(
        pattern=SIGNED_UNITS,
        description='what all of them shall hold together, in base units: "0", or what spot '
        "wallets hold on purpose",
    )  # fmt: skip
    band: str = Field(
        pattern=UNITS, description="so far from the target nothing is done, in base units"
    )
    to: str = Field(
        pattern=UNITS,
        description='how far from the target it is left, in base units: "0", or up to the band',
    )
    collar_ppm: int = Field(
        gt=0, lt=1_000_000,
        description="no price is farther from the median of the mids, in millionths",
    )  # fmt: skip
    slice_max: str = Field(pattern=UNITS, description="most of one order, in base units")
    pause_ms: int = Field(gt=0, le=60_000, description="least time between two actions")


class FileTable(Exact):
    """The file's own keys."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="of the run folders")
    poll: Literal["busy", "sleep"] = Field(
        description="busy: a whole core for the lowest latency; sleep: share it"
    )
    cpu: int | None = Field(default=None, ge=0, description="to pin the engine to; absent: none")
    state_dir: str = Field(description="locks, and which run was the last; outlives runs")
    runs_dir: str = Field(description="where run folders are made")
    journal_bytes_max: int = Field(
        default=0, ge=0,
        description="what the run's journals may take: the oldest parts go once the ledger has "
        "them; absent or 0: no limit",
    )  # fmt: skip
    budget: ProcessBudget = Field(description="of the whole process")
    account: list[AccountTable] = Field(min_length=1, description="")
    instrument: list[InstrumentTable] = Field(min_length=1, max_length=1_000, description="")
    hedge: list[HedgeTable] = Field(default=[], description="")
