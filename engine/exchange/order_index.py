"""Which orders there are: by venue id, by client id, open ones and the last closed ones."""

from collections import deque

from engine.exchange.terms import Order, Reason


class RefusalError(Exception):
    """Carries a Reason out of the checks; never leaves the core."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class OrderIndex:
    def __init__(self, closed_kept: int) -> None:
        self.closed_kept = closed_kept
        self.dated: dict[int, Order] = {}  # open, with a good-till date
        self._orders: dict[int, Order] = {}
        self._by_client_id: dict[tuple[int, str, str], Order] = {}
        self._open: dict[int, dict[str, dict[int, Order]]] = {}  # by account, symbol
        self._closed: dict[tuple[int, str], deque[Order]] = {}

    def register(self, order: Order) -> None:
        self._orders[order.order_id] = order
        self._by_client_id[order.account, order.symbol, order.client_order_id] = order
        opened = self._open.setdefault(order.account, {}).setdefault(order.symbol, {})
        opened[order.order_id] = order
        if order.gtd_ns:
            self.dated[order.order_id] = order

    def rename(self, order: Order, client_id: str) -> None:
        """RefusalError when another open order has that name."""
        named = self._by_client_id.get((order.account, order.symbol, client_id))
        if named is not None and named is not order and named.is_open:
            raise RefusalError(Reason.DUPLICATE_CLIENT_ID)
        old_name = order.account, order.symbol, order.client_order_id
        if self._by_client_id.get(old_name) is order:
            del self._by_client_id[old_name]
        order.client_order_id = client_id
        self._by_client_id[order.account, order.symbol, client_id] = order

    def retire(self, order: Order) -> None:
        """Out of the open ones; the oldest closed one is forgotten."""
        self._open[order.account][order.symbol].pop(order.order_id, None)
        self.dated.pop(order.order_id, None)
        closed = self._closed.setdefault((order.account, order.symbol), deque())
        closed.append(order)
        if len(closed) > self.closed_kept:
            old = closed.popleft()
            del self._orders[old.order_id]
            name = (old.account, old.symbol, old.client_order_id)
            if self._by_client_id.get(name) is old:
                del self._by_client_id[name]

    def rescale(self, symbol: str, factor: int) -> None:
        """The tick became `factor` times finer: every order is told in the new one from now on."""
        for order in self._orders.values():
            if order.symbol == symbol:
                order.px_ticks *= factor
                order.cum_cost *= factor

    def find(self, account: int, symbol: str, order_id: int, client_id: str) -> Order | None:
        """By venue id (not 0), else the last one placed under the client id."""
        if order_id:
            order = self._orders.get(order_id)
            return order if order and (order.account, order.symbol) == (account, symbol) else None
        return self._by_client_id.get((account, symbol, client_id))

    def open_orders(self, account: int, symbol: str) -> list[Order]:
        opened = self._open.get(account, {}).get(symbol)
        return list(opened.values()) if opened else []

    def symbols_of(self, account: int) -> list[str]:
        """Where the account has open orders."""
        return [symbol for symbol, opened in self._open.get(account, {}).items() if opened]

    def orders_of(self, account: int, symbol: str) -> list[Order]:
        """Open and closed, by venue id."""
        orders = [*self._closed.get((account, symbol), ()), *self.open_orders(account, symbol)]
        return sorted(orders, key=lambda order: order.order_id)
