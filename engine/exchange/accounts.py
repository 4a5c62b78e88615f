"""Accounts: balances, locks, positions and fee rates, exact in integers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.exchange.instruments import E8

LEVERAGE = 20  # before anybody asks for another
LEVERAGE_MAX = 125
FEE_SCALE = 1_000_000  # rates are parts per million: 200 is 2 bp
# What every account of a venue starts with, 1e-8 of each asset.
USDT_ONLY = {"USDT": 100_000 * E8}
SPOT_PURSE = {"USDT": 100_000 * E8, "BTC": 10 * E8, "ETH": 100 * E8, "SOL": 5_000 * E8}


@dataclass(frozen=True)
class FeeRates:
    """Parts per million of the notional; negative is a rebate."""

    maker_ppm: int = 200
    taker_ppm: int = 400

    def fee_e8(self, amount_e8: int, is_maker: bool) -> int:
        """Cost in 1e-8 of the amount's asset, rounded half up."""
        rate_ppm = self.maker_ppm if is_maker else self.taker_ppm
        return (amount_e8 * rate_ppm + FEE_SCALE // 2) // FEE_SCALE


@dataclass(slots=True)
class Position:
    """One-way position. `cost` is signed, in tick x lot: what the open lots were bought for.

    Part of the cost leaves with each lot that closes, rounded towards minus infinity in
    tick x lot; the rounding stays in the remaining cost, so nothing is lost when flat.
    `realized_e8` accumulates, fees apart.
    """

    lots: int = 0
    cost: int = 0
    realized_e8: int = 0
    update_ns: int = 0

    def apply_fill(self, signed_lots: int, px_ticks: int) -> int:
        """Take a fill; returns the realised P&L in tick x lot (fees apart)."""
        realized = 0
        closing = 0
        if self.lots and (self.lots > 0) != (signed_lots > 0):
            closing = min(abs(self.lots), abs(signed_lots)) * (1 if signed_lots > 0 else -1)
            cost_out = self.cost * -closing // self.lots
            realized = -closing * px_ticks - cost_out
            self.cost -= cost_out
            self.lots += closing
        opening = signed_lots - closing
        self.lots += opening
        self.cost += opening * px_ticks
        return realized


@dataclass(slots=True)
class Account:
    """One user's money and positions. A derivative's wallet is the balance of its quote asset;
    `locked` is what open spot orders have set aside."""

    index: int
    name: str
    balances: dict[str, int] = field(default_factory=dict)
    locked: dict[str, int] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)
    fees_e8: dict[str, int] = field(default_factory=dict)  # paid so far, by asset

    @classmethod
    def opened(cls, index: int, name: str, purse: Mapping[str, int]) -> "Account":
        return cls(index, name, dict(purse))

    def position(self, symbol: str) -> Position:
        return self.positions.setdefault(symbol, Position())

    def leverage(self, symbol: str) -> int:
        return self.leverages.get(symbol, LEVERAGE)

    def balance_e8(self, asset: str) -> int:
        return self.balances.get(asset, 0)

    def free_e8(self, asset: str) -> int:
        return self.balances.get(asset, 0) - self.locked.get(asset, 0)

    def add(self, asset: str, change_e8: int) -> None:
        self.balances[asset] = self.balances.get(asset, 0) + change_e8

    def lock(self, asset: str, change_e8: int) -> None:
        """Set aside more of `asset`, or less."""
        self.locked[asset] = self.locked.get(asset, 0) + change_e8
