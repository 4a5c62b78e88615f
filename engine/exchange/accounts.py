"""Accounts: keys, HMAC check, balances and positions, exact in integers.

Keys come from the seed by SHA-256. They open nothing but a local exchange, so a run can be
verified later without anybody having stored a secret.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from engine.exchange.instruments import E8, Instrument

ACCOUNT_COUNT = 2
KEYS_PER_ACCOUNT = 2
WALLET_START_E8 = 100_000 * E8
LEVERAGE = 20
FEE_SCALE = 1_000_000  # rates are parts per million: 200 is 2 bp


@dataclass(frozen=True)
class KeyPair:
    api_key: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class AccountKeys:
    name: str
    keys: tuple[KeyPair, ...]


def derive_keys(seed: int) -> list[AccountKeys]:
    """The accounts of a local exchange started with `seed`: public, worthless constants."""

    def digits(account: int, key: int, what: str) -> str:
        label = f"tickmaker local exchange/{seed}/{account}/{key}/{what}"
        return hashlib.sha256(label.encode()).hexdigest()

    return [
        AccountKeys(
            f"account{account}",
            tuple(
                KeyPair(digits(account, key, "api_key"), digits(account, key, "secret"))
                for key in range(KEYS_PER_ACCOUNT)
            ),
        )
        for account in range(ACCOUNT_COUNT)
    ]


def sign(secret: str, text: str) -> str:
    """HMAC-SHA256 in lowercase hex, as the venue wants it."""
    return hmac.new(secret.encode(), text.encode(errors="replace"), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class FeeRates:
    """Parts per million of the notional; negative is a rebate."""

    maker_ppm: int = 200
    taker_ppm: int = 400

    def fee_e8(self, notional_e8: int, is_maker: bool) -> int:
        """Cost in 1e-8 quote units, rounded half up."""
        rate_ppm = self.maker_ppm if is_maker else self.taker_ppm
        return (notional_e8 * rate_ppm + FEE_SCALE // 2) // FEE_SCALE


@dataclass(slots=True)
class Position:
    """One-way position. `cost` is signed, in tick x lot: what the open lots were bought for.

    Part of the cost leaves with each lot that closes, rounded towards minus infinity in
    tick x lot; the rounding stays in the remaining cost, so nothing is lost when flat.
    """

    lots: int = 0
    cost: int = 0
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
    """One user's money and positions; wallet = start + realised P&L - fees, in 1e-8 USDT."""

    index: int
    name: str
    wallet_e8: int = WALLET_START_E8
    fees_e8: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    listen_key: str = ""
    listen_key_expiry_ns: int = 0

    def position(self, symbol: str) -> Position:
        return self.positions.setdefault(symbol, Position())

    def apply_fill(
        self, instrument: Instrument, signed_lots: int, px_ticks: int, fee_e8: int, t_ns: int
    ) -> int:
        """Book one fill; returns the realised P&L in 1e-8 quote units."""
        position = self.position(instrument.symbol)
        realized_e8 = position.apply_fill(signed_lots, px_ticks) * instrument.notional_e8
        position.update_ns = t_ns
        self.wallet_e8 += realized_e8 - fee_e8
        self.fees_e8 += fee_e8
        return realized_e8
