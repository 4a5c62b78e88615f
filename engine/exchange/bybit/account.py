"""Positions and the unified wallet as Bybit v5 shows them; sans-IO, read-only.

Field sets: samples of websocket/private/position and /wallet, position/list and
account/wallet-balance. The maintenance rate is a flat 0.5 % of the position's value.
"""

from collections.abc import Iterable
from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.rows import chosen
from engine.exchange.bybit.venue import Venue
from engine.exchange.instruments import E8, Kind

MAINTENANCE_PPM = 5_000
PPM = 1_000_000

POSITION_TOPIC = (
    "positionIdx", "tradeMode", "riskId", "riskLimitValue", "symbol", "side", "size",
    "entryPrice", "sessionAvgPrice", "leverage", "positionValue", "positionBalance", "markPrice",
    "positionIM", "positionMM", "positionIMByMp", "positionMMByMp", "takeProfit", "stopLoss",
    "trailingStop", "unrealisedPnl", "cumRealisedPnl", "curRealisedPnl", "createdTime",
    "updatedTime", "tpslMode", "liqPrice", "bustPrice", "category", "positionStatus",
    "adlRankIndicator", "autoAddMargin", "leverageSysUpdatedTime", "mmrSysUpdatedTime", "seq",
    "isReduceOnly",
)  # fmt: skip
POSITION_LIST = (
    "positionIdx", "riskId", "riskLimitValue", "symbol", "side", "size", "avgPrice",
    "positionValue", "tradeMode", "positionStatus", "autoAddMargin", "adlRankIndicator",
    "leverage", "positionBalance", "markPrice", "liqPrice", "bustPrice", "positionMM",
    "positionMMByMp", "positionIM", "positionIMByMp", "tpslMode", "takeProfit", "stopLoss",
    "trailingStop", "unrealisedPnl", "curRealisedPnl", "cumRealisedPnl", "breakEvenPrice", "seq",
    "isReduceOnly", "mmrSysUpdatedTime", "leverageSysUpdatedTime", "sessionAvgPrice",
    "createdTime", "updatedTime", "category",
)  # fmt: skip
FIXED = {
    "positionIdx": 0,
    "tradeMode": 0,
    "riskId": 1,
    "riskLimitValue": "2000000",
    "sessionAvgPrice": "",
    "positionBalance": "0",
    "takeProfit": "",
    "stopLoss": "",
    "trailingStop": "0",
    "tpslMode": "Full",
    "liqPrice": "",
    "bustPrice": "",
    "category": "linear",
    "positionStatus": "Normal",
    "autoAddMargin": 0,
    "leverageSysUpdatedTime": "",
    "mmrSysUpdatedTime": "",
    "isReduceOnly": False,
}


# -- POSITIONS ---


def position_fields(venue: Venue, account: int, key: str) -> dict[str, Any]:
    core = venue.core
    instrument = venue.instrument(key)
    owner = core.accounts[account]
    position = owner.positions.get(key)
    lots, cost = (position.lots, position.cost) if position else (0, 0)
    update_ns = position.update_ns if position else 0
    mark_ticks = core.mark_px_ticks(key)
    margin_e8 = core.margin_e8(account, key)
    value_e8 = abs(lots) * mark_ticks * instrument.notional_e8
    entry = texts.mean_price(instrument, cost, lots) or "0"
    realized = texts.money(position.realized_e8 if position else 0)
    stamp = str(venue.ms(update_ns)) if update_ns else ""
    return {
        **FIXED,
        "symbol": instrument.symbol,
        "side": "Buy" if lots > 0 else "Sell" if lots else "",
        "size": texts.quantity(instrument, abs(lots)),
        "entryPrice": entry,
        "avgPrice": entry,
        "breakEvenPrice": entry if lots else "",
        "leverage": str(owner.leverage(key)),
        "positionValue": texts.money(abs(cost) * instrument.notional_e8) if lots else "",
        "markPrice": texts.price(instrument, mark_ticks),
        "positionIM": texts.money(margin_e8),
        "positionIMByMp": texts.money(margin_e8),
        "positionMM": texts.money(value_e8 * MAINTENANCE_PPM // PPM),
        "positionMMByMp": texts.money(value_e8 * MAINTENANCE_PPM // PPM),
        "unrealisedPnl": texts.money(core.unrealized_e8(account, key)) if lots else "",
        "curRealisedPnl": realized,
        "cumRealisedPnl": realized,
        "adlRankIndicator": 2 if lots else 0,
        "createdTime": stamp,
        "updatedTime": stamp,
        "seq": core.markets[key].snapshot(0).update_id if update_ns else -1,
    }


def position_topic_row(venue: Venue, account: int, key: str) -> dict[str, Any]:
    return chosen(position_fields(venue, account, key), POSITION_TOPIC, Kind.LINEAR)


def position_list_row(venue: Venue, account: int, key: str) -> dict[str, Any]:
    return chosen(position_fields(venue, account, key), POSITION_LIST, Kind.LINEAR)


# -- MONEY ---


class Wallet:
    """Figures of one account now, in 1e-8; dollars are the quote asset's."""

    def __init__(self, venue: Venue, account: int) -> None:
        self.owner = venue.core.accounts[account]
        self._venue = venue
        self._account = account
        self._linear = venue.keys(Kind.LINEAR)
        self.unrealized_e8 = sum(venue.core.unrealized_e8(account, key) for key in self._linear)
        self.realized_e8 = sum(
            self.owner.positions[key].realized_e8
            for key in self._linear
            if key in self.owner.positions
        )
        self.position_margin_e8 = sum(venue.core.margin_e8(account, key) for key in self._linear)
        self.order_margin_e8 = sum(map(self._order_margin_e8, self._linear))
        self.maintenance_e8 = sum(map(self._maintenance_e8, self._linear))
        self.total_e8 = sum(
            self.dollars_e8(asset, amount_e8) for asset, amount_e8 in self.owner.balances.items()
        )
        self.locked_e8 = sum(
            self.dollars_e8(asset, amount_e8) for asset, amount_e8 in self.owner.locked.items()
        )

    def _order_margin_e8(self, key: str) -> int:
        core = self._venue.core
        notional_e8 = sum(
            order.leaves_lots * (order.px_ticks or core.mark_px_ticks(key))
            for order in core.open_orders(self._account, key)
            if not order.reduce_only
        )
        unit_e8 = self._venue.instrument(key).notional_e8
        return notional_e8 * unit_e8 // self.owner.leverage(key)

    def _maintenance_e8(self, key: str) -> int:
        position = self.owner.positions.get(key)
        if position is None:
            return 0
        mark_ticks = self._venue.core.mark_px_ticks(key)
        value_e8 = abs(position.lots) * mark_ticks * self._venue.instrument(key).notional_e8
        return value_e8 * MAINTENANCE_PPM // PPM

    def dollars_e8(self, asset: str, amount_e8: int) -> int:
        """At the middle of a market that trades it; nothing where none does."""
        if asset == "USDT":
            return amount_e8
        for key, market in self._venue.core.markets.items():
            if market.instrument.base == asset:
                ticks = self._venue.core.mark_px_ticks(key)
                px_e8 = int(market.instrument.px.step * ticks * E8)
                return amount_e8 * px_e8 // E8
        return 0

    def row(self, assets: Iterable[str] | None = None) -> dict[str, Any]:
        """One account of the topic and of GET /v5/account/wallet-balance."""
        money = texts.money
        equity_e8 = self.total_e8 + self.unrealized_e8
        margin_e8 = self.position_margin_e8 + self.order_margin_e8
        available_e8 = max(0, equity_e8 - margin_e8 - self.locked_e8)
        shown = list(assets) if assets is not None else self._held()
        return {
            "accountType": "UNIFIED",
            "accountIMRate": _ratio(margin_e8, equity_e8),
            "accountMMRate": _ratio(self.maintenance_e8, equity_e8),
            "totalEquity": money(equity_e8),
            "totalWalletBalance": money(self.total_e8),
            "totalMarginBalance": money(equity_e8),
            "totalAvailableBalance": money(available_e8),
            "totalPerpUPL": money(self.unrealized_e8),
            "totalInitialMargin": money(margin_e8),
            "totalMaintenanceMargin": money(self.maintenance_e8),
            "accountLTV": "0",
            "coin": [self._coin(asset) for asset in shown],
        }

    def _held(self) -> list[str]:
        return [asset for asset, amount_e8 in self.owner.balances.items() if amount_e8]

    def _coin(self, asset: str) -> dict[str, Any]:
        money = texts.money
        balance_e8, locked_e8 = self.owner.balance_e8(asset), self.owner.locked.get(asset, 0)
        is_settle = asset == "USDT"
        unrealized_e8 = self.unrealized_e8 if is_settle else 0
        margin_e8 = self.position_margin_e8 + self.order_margin_e8 if is_settle else 0
        equity_e8 = balance_e8 + unrealized_e8
        free_e8 = max(0, min(balance_e8, equity_e8) - margin_e8 - locked_e8)
        return {
            "coin": asset,
            "equity": money(equity_e8),
            "usdValue": money(self.dollars_e8(asset, equity_e8)),
            "walletBalance": money(balance_e8),
            "availableToWithdraw": money(free_e8),
            "availableToBorrow": "",
            "borrowAmount": "0",
            "accruedInterest": "0",
            "totalOrderIM": money(self.order_margin_e8 if is_settle else 0),
            "totalPositionIM": money(self.position_margin_e8 if is_settle else 0),
            "totalPositionMM": money(self.maintenance_e8 if is_settle else 0),
            "unrealisedPnl": money(unrealized_e8),
            "cumRealisedPnl": money(self.realized_e8 if is_settle else 0),
            "bonus": "0",
            "collateralSwitch": True,
            "marginCollateral": True,
            "locked": money(locked_e8),
            "spotHedgingQty": "0",
            "spotBorrow": "0",
        }


def _ratio(part_e8: int, whole_e8: int) -> str:
    """Four decimals, cut off."""
    if whole_e8 <= 0 or not part_e8:
        return "0"
    return texts.money(part_e8 * 10_000 // whole_e8 * (E8 // 10_000))
