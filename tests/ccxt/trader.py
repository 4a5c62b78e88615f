"""What a test does again and again with a ccxt client."""

import time
from contextlib import suppress
from typing import Any

import ccxt
from targets import Target
from venue import until

AMOUNT = 0.01


class Trader:
    """`api`: a synchronous client."""

    def __init__(self, target: Target, api: Any) -> None:
        self.target = target
        self.api = api
        self.symbol = target.symbol

    def far(self, side: str = "buy") -> float:
        """A price that nobody takes and no collar refuses."""
        bid, ask = self.touch()
        px = bid * 0.97 if side == "buy" else ask * 1.03
        return float(self.api.price_to_precision(self.symbol, px))

    def touch(self) -> tuple[float, float]:
        book = self.api.fetch_order_book(self.symbol, 5)
        return book["bids"][0][0], book["asks"][0][0]

    def rest(self, side: str = "buy", amount: float = AMOUNT, **params: Any) -> Any:
        """An order that stays in the book."""
        return self.place("limit", side, amount, self.far(side), **params)

    def place(
        self, kind: str, side: str, amount: float, px: float | None = None, **params: Any
    ) -> Any:
        time.sleep(self.target.pace_s)
        return self.api.create_order(self.symbol, kind, side, amount, px, params)

    def take(self, side: str = "buy", amount: float = AMOUNT, **params: Any) -> Any:
        """A market order, filled."""
        placed = self.place("market", side, amount, **params)
        return self.settled(placed["id"])

    def order(self, order_id: str) -> Any:
        return self.api.fetch_order(order_id, self.symbol, dict(self.target.fetch))

    def settled(self, order_id: str) -> Any:
        """The order, once it is no longer open."""

        def ended() -> Any:
            order = self.order(order_id)
            return order if order["status"] != "open" else None

        return until("the order's end", ended)

    def open_ids(self) -> list[str]:
        return [order["id"] for order in self.api.fetch_open_orders(self.symbol)]

    def position(self) -> float:
        """Signed contracts."""
        for row in self.api.fetch_positions([self.symbol]):
            if row["symbol"] == self.symbol and row["contracts"]:
                return row["contracts"] * (1 if row["side"] == "long" else -1)
        return 0.0

    def tidy(self) -> None:
        for order_id in self.open_ids():
            with suppress(ccxt.InvalidOrder):  # it was taken meanwhile
                self.api.cancel_order(order_id, self.symbol)
        until("the book without our orders", lambda: not self.open_ids())
        if self.target.is_derivative and (held := self.position()):
            self.take("sell" if held > 0 else "buy", abs(held), reduceOnly=True)
