"""What an engine must be told before it may trade. Every limit is required; there are no defaults
for money. The `core` table is checked a second time, in full, by fastcore.core_config.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import EXIT_USAGE, TickmakerError


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WsUrls(_Table):
    """The three WebSocket ends of a USD-M style venue."""

    public: str
    private: str
    ws_api: str


class Signals(_Table):
    ofi_tau_ms: float = Field(gt=0)
    z_tau_ms: float = Field(gt=0)


class Quoting(_Table):
    """When a working quote is worth replacing."""

    requote_ticks: int = Field(ge=0)
    requote_ms: int = Field(ge=0)
    modify: bool
    messages_per_s_max: int = Field(ge=1, le=10_000)


class Limits(_Table):
    """Pre-trade limits of the gate. Counted at send, all open and in flight filled."""

    price_collar_ticks: int = Field(gt=0)
    qty_lots_max: int = Field(gt=0)
    position_lots_max: int = Field(gt=0)
    open_orders_max: int = Field(gt=0)
    orders_per_10s_max: int = Field(gt=0)
    orders_per_min_max: int = Field(gt=0)
    book_age_ms_max: int = Field(gt=0)


class Budgets(_Table):
    """Latency that is enforced: an order older than its budget is not sent."""

    tick_to_order_us_max: float = Field(gt=0)
    ack_ms_max: float = Field(gt=0)


class CoreConfig(_Table):
    """One instrument's core. tick and lot come from the venue, at start-up."""

    venue: Literal["binance_usdm"]
    symbol: str = Field(pattern=r"^[A-Z0-9_]{2,32}$")
    tick: str = ""
    lot: str = ""
    run_tag: str = Field(pattern=r"^[0-9a-f]{8}$")
    strategy: str
    strategy_id: int = Field(ge=0, le=255)
    params: dict[str, float]
    signals: Signals
    quoting: Quoting
    limits: Limits
    budgets: Budgets
    recv_window_ms: int = Field(gt=0, le=60_000)
    mask_seed: int = Field(gt=0, lt=1 << 63)


class EngineConfig(_Table):
    """One engine process."""

    run_dir: Path
    rest_url: str
    ws_url: WsUrls
    poll: Literal["busy", "sleep"]
    cpu: int | None
    core: CoreConfig
    # Where the key came from, never the key: lets `tickmaker verify` find it again.
    credential: dict[str, Any]


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


def demo_core(symbol: str, strategy: str, run_tag: str, seed: int) -> dict[str, Any]:
    """The demo's core table: small sizes, tight limits, a local exchange."""
    return {
        "venue": "binance_usdm",
        "symbol": symbol,
        "run_tag": run_tag,
        "strategy": strategy,
        "strategy_id": 1,
        "params": {
            "half_spread_ticks": 2.0,
            "qty_lots": 10.0,
            "inventory_skew_ticks": 1.0,
            "ofi_skew_ticks": 1.0,
            "position_lots_max": 60.0,
        },
        "signals": {"ofi_tau_ms": 500.0, "z_tau_ms": 5_000.0},
        "quoting": {
            "requote_ticks": 1,
            "requote_ms": 50,
            "modify": True,
            "messages_per_s_max": 200,
        },
        "limits": {
            "price_collar_ticks": 2_000,
            "qty_lots_max": 50,
            "position_lots_max": 100,
            "open_orders_max": 16,
            "orders_per_10s_max": 300,
            "orders_per_min_max": 1_200,
            "book_age_ms_max": 2_000,
        },
        "budgets": {"tick_to_order_us_max": 5_000.0, "ack_ms_max": 1_000.0},
        "recv_window_ms": 1_000,
        "mask_seed": seed + 1,
    }
