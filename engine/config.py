"""What an engine must be told before it may trade. Every limit is required; there are no defaults
for money. The `core` table is checked a second time, in full, by fastcore.core_config.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import EXIT_USAGE, TickmakerError


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Exact(_Table):
    """Of numbers and words: 5 is a number, "5" and true are none."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Assets(_Table):
    """In what the instrument trades; from the venue, at start-up."""

    base: str = ""
    quote: str = ""


class Fees(Exact):
    """Basis points of a trade's worth; a rebate is negative."""

    maker_bp: float = Field(ge=-1_000, le=1_000, description="what a resting order's fill costs")
    taker_bp: float = Field(ge=-1_000, le=1_000, description="what a taking order's fill costs")


class Stops(Exact):
    """When an open trade ends by itself. 0: that exit is off."""

    stop_ticks: int = Field(ge=0, description="loss that ends it")
    target_ticks: int = Field(ge=0, description="gain that ends it")
    hold_ms_max: int = Field(ge=0, description="age that ends it")
    slippage_ticks: int = Field(ge=0, description="how far past the touch an exit may go")


class Quoting(Exact):
    """When a working quote is worth replacing."""

    requote_ticks: int = Field(
        ge=0, le=1_000_000_000, description="off its wanted price by so much"
    )
    requote_ms: int = Field(ge=0, le=3_600_000, description="and after so long at the least")
    modify: bool = Field(description="amend in place, where the venue can")
    messages_per_s_max: int = Field(ge=1, le=10_000, description="what quoting may send")


class InstrumentLimits(Exact):
    """Pre-trade limits of the gate (docs/gate.md). Counted at send, all open and in flight
    filled. 0 where it may be: the venue has no such filter, or the check is off."""

    price_collar_ticks: int = Field(gt=0)
    qty_lots_min: int = Field(ge=0)
    qty_lots_max: int = Field(gt=0)
    notional_min: int = Field(ge=0)
    notional_max: int = Field(gt=0)
    position_lots_max: int = Field(gt=0)
    exposure_max: int = Field(gt=0)
    open_orders_max: int = Field(gt=0)
    orders_per_10s_max: int = Field(gt=0)
    orders_per_min_max: int = Field(gt=0)
    messages_per_s_max: int = Field(gt=0)
    messages_per_min_max: int = Field(gt=0)
    cancel_reserve: int = Field(ge=0)
    exit_reserve: int = Field(ge=0)
    duplicate_ms: int = Field(ge=0)
    book_age_ms_max: int = Field(gt=0)
    tick_age_ms_max: int = Field(gt=0)
    reference_age_ms_max: int = Field(ge=0)


class AccountLimits(Exact):
    """Pre-trade limits, counted over all instruments of an account together."""

    exposure_e8_max: int = Field(gt=0)
    orders_per_10s_max: int = Field(gt=0)
    orders_per_min_max: int = Field(gt=0)
    messages_per_s_max: int = Field(gt=0)
    messages_per_min_max: int = Field(gt=0)
    cancel_reserve: int = Field(ge=0)
    exit_reserve: int = Field(ge=0)


class Limits(InstrumentLimits):
    """As a core wants them: its own, and its account's."""

    account_exposure_e8_max: int = Field(gt=0)
    account_orders_per_10s_max: int = Field(gt=0)
    account_orders_per_min_max: int = Field(gt=0)
    account_messages_per_s_max: int = Field(gt=0)
    account_messages_per_min_max: int = Field(gt=0)
    account_cancel_reserve: int = Field(ge=0)
    account_exit_reserve: int = Field(ge=0)


class Halts(Exact):
    """What pulls the quotes by itself (docs/halts.md). 0: that reason is off."""

    spread_factor: float = Field(ge=0)
    spread_ticks_max: int = Field(ge=0)
    spread_updates_min: int = Field(ge=0)
    spread_ms_min: int = Field(ge=0)
    spread_clear_ms: int = Field(ge=0)
    spread_median_window: int = Field(ge=0)
    spread_sample_ms: int = Field(ge=0)
    vpin_max: float = Field(ge=0, le=1)
    vpin_clear: float = Field(ge=0, le=1)
    repeated_fills_max: int = Field(ge=0)
    repeated_ms: int = Field(ge=0)
    one_sided_fills_max: int = Field(ge=0)
    one_sided_ms: int = Field(ge=0)
    nonsense_max: int = Field(gt=0)


class Budgets(Exact):
    """Latency that is enforced: an order older than its budget is not sent."""

    tick_to_order_us_max: float = Field(
        gt=0, le=60_000_000, description="older than that it is not sent"
    )
    ack_ms_max: float = Field(
        gt=0, le=60_000, description="unanswered for longer, its fate is unknown"
    )


class CoreConfig(_Table):
    """One instrument's core. tick and lot come from the venue, at start-up."""

    venue: Literal["binance_usdm", "binance_spot", "bybit_linear", "bybit_spot"]
    symbol: str = Field(pattern=r"^[A-Z0-9_]{2,32}$")
    number: int = Field(default=0, ge=0, le=4_095)  # of this core in its run
    tick: str = ""
    lot: str = ""
    assets: Assets = Assets()
    fees: Fees
    run_tag: str = Field(pattern=r"^[0-9a-f]{8}$")
    strategy: str
    strategy_sha256: str | None = None  # of a user's own source; filled in at start-up
    strategy_id: int = Field(ge=0, le=255)
    params: dict[str, float]
    signals: dict[str, Any]  # docs/signals.md; checked by the core
    quoting: Quoting
    stops: Stops
    limits: Limits
    halts: Halts
    budgets: Budgets
    recv_window_ms: int = Field(gt=0, le=60_000)
    mask_seed: int = Field(gt=0, lt=1 << 63)


class WantedAccount(Exact):
    """How the account is to be set up at the venue. null: left as it is."""

    margin_mode: Literal["cross", "isolated"] | None
    leverage: int | None = Field(default=None, ge=1, le=125)
    fee_discount: bool | None  # fees in the venue's own token
    stp: Literal["none", "expire_taker", "expire_maker", "expire_both"] | None


class ProcessBudget(Exact):
    """What all accounts together may be exposed to."""

    exposure_e8_max: int = Field(
        gt=0, description="gross, 1e-8 of the quote asset; the accounts' sum is at most that"
    )


class AccountConfig(_Table):
    """One account at one venue, and how it is reached."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$")
    venue: Literal["binance_usdm", "binance_spot", "bybit"]
    rest_url: str
    ws_url: dict[str, str]  # by kind, as the venue's adapter wants them
    ca_file: Path | None = None  # of a certificate that no public authority signed
    recv_window_ms: int = Field(gt=0, le=60_000)
    wanted: WantedAccount
    strangers: Literal["leave", "cancel", "halt"]  # orders and fills that are not ours
    dead_man_s: int = Field(ge=0, le=600)  # 0: not armed
    at_shutdown: Literal["keep", "flatten"]  # the positions
    feeds: Literal[1, 2]  # market-data connections that carry the same streams
    # Where the key came from, never the key: lets `tickmaker verify` find it again.
    credential: dict[str, Any]


class InstrumentConfig(_Table):
    """One core: what it trades, where, and how. `core.run_tag` and `core.number` are the run's."""

    account: str
    strategy_file: Path | None = None  # where core.strategy is `user:<function>`
    core: CoreConfig

    @property
    def key(self) -> str:
        """Names the core's files: account, venue, symbol."""
        return f"{self.account}.{self.core.venue}.{self.core.symbol}"


class HedgeConfig(_Table):
    """A position over several instruments that is kept near a target by taking where it costs
    least (engine/execution/hedger.py). Base units, exact; instruments by InstrumentConfig.key."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$")
    of: tuple[str, ...] = Field(min_length=1)
    on: tuple[str, ...] = Field(min_length=1, max_length=8)
    target: Decimal
    band: Decimal = Field(gt=0)
    to: Decimal = Field(ge=0)
    collar_ppm: int = Field(gt=0, lt=1_000_000)
    slice_max: Decimal = Field(gt=0)
    pause_ms: int = Field(gt=0, le=60_000)

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*self.of, *self.on)))


class EngineConfig(_Table):
    """One engine process: accounts, and instruments on them."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    kind: Literal["live", "paper"] = "live"  # paper: at exchanges of our own over live feeds
    run_dir: Path
    state_dir: Path  # locks, and which run was the last: outlives runs
    poll: Literal["busy", "sleep"]
    cpu: int | None
    journal_bytes_max: int = Field(default=0, ge=0)  # of the run's journals; 0: no limit
    budget: ProcessBudget | None = None  # None: of one account, whose own limit is the budget
    accounts: tuple[AccountConfig, ...] = Field(min_length=1)
    instruments: tuple[InstrumentConfig, ...] = Field(min_length=1, max_length=1_000)
    hedges: tuple[HedgeConfig, ...] = ()


def load(document: dict[str, Any]) -> EngineConfig:
    """The configuration of `document`; TickmakerError names the first key that is wrong."""
    try:
        return EngineConfig.model_validate(document)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        raise TickmakerError(
            f"Configuration: {where}: {first['msg'].lower()}",
            "Correct that key; README.md lists them all.",
            EXIT_USAGE,
        ) from None


# Of a tape, which doesn't say in what its fees were paid: they are booked as quote.
NO_ASSETS = {"base": "", "quote": ""}


# What the demo changes of a built-in strategy's own defaults.
_DEMO_PARAMS: dict[str, dict[str, float]] = {
    "spread": {
        "half_spread_ticks": 2.0,
        "qty_lots": 10.0,
        "inventory_skew_ticks": 1.0,
        "ofi_skew_ticks": 1.0,
        "position_lots_max": 60.0,
    },
    "ofi_skew": {"half_spread_ticks": 2.0, "qty_lots": 10.0, "position_lots_max": 60.0},
    "avellaneda_stoikov": {"gamma": 0.001, "qty_lots": 10.0, "position_lots_max": 60.0},
    "glft": {"gamma": 0.001, "qty_lots": 10.0, "position_lots_max": 60.0},
    "mean_reversion": {"entry_z": 1.5, "qty_lots": 10.0, "passive": 1.0},
}


def demo_core(symbol: str, strategy: str, run_tag: str, seed: int) -> dict[str, Any]:
    """The demo's core table: small sizes, tight limits, a local exchange. A strategy that is not
    built in has its own defaults."""
    return {
        "venue": "binance_usdm",
        "symbol": symbol,
        "number": 0,
        "run_tag": run_tag,
        "strategy": strategy,
        "strategy_id": 1,
        "params": dict(_DEMO_PARAMS.get(strategy, {})),
        "fees": {"maker_bp": 2.0, "taker_bp": 5.0},
        "signals": {"ofi_tau_ms": 500.0, "z_tau_ms": 5_000.0},
        "quoting": {
            "requote_ticks": 1,
            "requote_ms": 50,
            "modify": True,
            "messages_per_s_max": 200,
        },
        "stops": {"stop_ticks": 0, "target_ticks": 0, "hold_ms_max": 0, "slippage_ticks": 0},
        "limits": {
            "price_collar_ticks": 2_000,
            "qty_lots_min": 1,
            "qty_lots_max": 50,
            "notional_min": 0,
            "notional_max": 100_000_000,
            "position_lots_max": 100,
            "exposure_max": 200_000_000,
            "open_orders_max": 16,
            "orders_per_10s_max": 300,
            "orders_per_min_max": 1_200,
            "messages_per_s_max": 200,
            "messages_per_min_max": 4_000,
            "cancel_reserve": 50,
            "exit_reserve": 20,
            "duplicate_ms": 1_000,
            "book_age_ms_max": 2_000,
            "tick_age_ms_max": 1_000,
            "reference_age_ms_max": 0,
            "account_exposure_e8_max": 2_000_000_000_000,
            "account_orders_per_10s_max": 300,
            "account_orders_per_min_max": 1_200,
            "account_messages_per_s_max": 200,
            "account_messages_per_min_max": 4_000,
            "account_cancel_reserve": 50,
            "account_exit_reserve": 20,
        },
        "halts": {
            "spread_factor": 20.0,
            "spread_ticks_max": 200,
            "spread_updates_min": 5,
            "spread_ms_min": 250,
            "spread_clear_ms": 1_000,
            "spread_median_window": 200,
            "spread_sample_ms": 100,
            "vpin_max": 0.0,
            "vpin_clear": 0.0,
            "repeated_fills_max": 500,
            "repeated_ms": 10_000,
            "one_sided_fills_max": 100,
            "one_sided_ms": 5_000,
            "nonsense_max": 10,
        },
        "budgets": {"tick_to_order_us_max": 5_000.0, "ack_ms_max": 1_000.0},
        "recv_window_ms": 1_000,
        "mask_seed": seed + 1,
    }
