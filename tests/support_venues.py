"""Desks of the other venues: their books, their requests, their answers, in their own words."""

from typing import Any

from support_core import UTC_OFFSET_NS, Desk, unmask

from fastcore.types import Command, Conn, Side, Verb

TRADE_ID = "0ab1bdf7-4219-438b-b30a-{:012x}"
ORDER_ID = "5cf98598-39a7-459e-97bf-{:012x}"


class VenueDesk(Desk):
    """What the scenarios of test_core_venues ask of a venue.

    A sent message is a dictionary: verb, intent_id, side, px, qty and client_id in common words,
    `raw` as the venue gets it.
    """

    venue = ""
    has_client_snapshot = False  # fetched over REST; else the stream brings it

    def __init__(self, **overrides: Any) -> None:
        super().__init__(venue=self.venue, **overrides)

    def start(
        self, bid: str = "60000.00", ask: str = "60000.10", qty: str = "1.000",
        position_lots: int = 0,
    ) -> None:  # fmt: skip
        self.core.clock(UTC_OFFSET_NS, self.now_ns)
        for conn in Conn:
            self.core.conn(conn, True, self.now_ns)
        self.snapshot([[bid, qty]], [[ask, qty]])
        self.depth([], [])
        self.core.account(position_lots, 0, self.now_ns)
        self.collect(self.core.command(Command.START, self.now_ns))

    def collect(self, count: int) -> int:
        for out_seq, intent_id, conn, verb, data, _, _ in self.core.outgoing():
            assert conn == Conn.TRADE
            order = self.read(unmask(data)) | {"verb": Verb(verb), "intent_id": intent_id}
            self.sent.append(order)
            self.core.send(out_seq, 0, self.now_ns, self.now_ns + 1_000, self.now_ns)
        return count

    def read(self, raw: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def accept(self, order: dict[str, Any]) -> None:
        """The answer on the trade connection: done, or where that is all it says, accepted."""
        raise NotImplementedError

    def refuse(self, order: dict[str, Any], code: int, status: int = 400) -> None:
        raise NotImplementedError

    def push(self, order: dict[str, Any], what: str, **fields: Any) -> None:
        """`what` became of the order, on the user stream: New, Cancelled, Expired."""
        raise NotImplementedError

    def fill(  # type: ignore[override]
        self, order: dict[str, Any], qty: str, cum: str, fee: str = "0", asset: str = "USDT",
        trade_id: int | None = None,
    ) -> None:  # fmt: skip
        raise NotImplementedError

    def rest(self, order: dict[str, Any]) -> None:
        """Accepted, and in the book."""
        self.accept(order)
        self.push(order, "New")


class SpotDesk(VenueDesk):
    venue = "binance_spot"
    has_client_snapshot = True
    STATES = {"New": "NEW", "Cancelled": "CANCELED", "Expired": "EXPIRED"}  # noqa: RUF012
    TOO_FAST, CLOCK, REFUSED = (-1015, 429), (-1021, 400), (-1013, 400)
    best_id = 0

    def snapshot(self, bids: list[list[str]], asks: list[list[str]]) -> int:
        body = b'{"lastUpdateId":%d,"bids":%s,"asks":%s}'
        text = body % (self.update_id, _json(bids), _json(asks))
        return self.collect(self.core.snapshot(text, self.now_ns))

    def depth(self, bids: list[list[str]], asks: list[list[str]], skip: int = 0) -> int:
        """Reaches past every best price told meanwhile: their u counts the same updates."""
        first = self.update_id + 1 + skip
        self.update_id = max(first, self.best_id) + 1
        return self.frame(Conn.MARKET, {
            "e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": self.update_id,
            "b": bids, "a": asks,
        })  # fmt: skip

    def best(self, bid: str, bid_qty: str, ask: str, ask_qty: str) -> int:
        self.best_id = max(self.best_id, self.update_id) + 1
        return self.frame(Conn.MARKET, {
            "u": self.best_id, "s": "BTCUSDT", "b": bid, "B": bid_qty, "a": ask, "A": ask_qty,
        })  # fmt: skip

    def read(self, raw: dict[str, Any]) -> dict[str, Any]:
        params = raw["params"]
        return {
            "raw": raw, "side": Side[params["side"]] if "side" in params else None,
            "px": params.get("price"), "qty": params.get("quantity"),
            "client_id": params.get("newClientOrderId") or params["origClientOrderId"],
        }  # fmt: skip

    def accept(self, order: dict[str, Any]) -> None:
        result: dict[str, Any] = {"symbol": "BTCUSDT", "orderId": 900, "transactTime": 1}
        if order["verb"] == Verb.CANCEL:
            result |= {"status": "CANCELED", "origQty": "0.010", "executedQty": "0.000"}
        self.frame(Conn.TRADE, {"id": order["raw"]["id"], "status": 200, "result": result})

    def refuse(self, order: dict[str, Any], code: int, status: int = 400) -> None:
        self.frame(Conn.TRADE, {
            "id": order["raw"]["id"], "status": status, "error": {"code": code, "msg": "no"},
        })  # fmt: skip

    def report(self, order: dict[str, Any], **fields: Any) -> None:
        report = {
            "e": "executionReport", "E": 1, "s": "BTCUSDT", "c": order["client_id"],
            "S": order["side"].name, "o": "LIMIT_MAKER", "f": "GTC", "q": order["qty"],
            "p": order["px"], "P": "0.00", "F": "0", "g": -1, "C": "", "r": "NONE", "i": 900,
            "l": "0.000", "z": "0.000", "L": "0.00", "n": "0", "N": None, "T": 1, "t": -1,
            "m": True,
        } | fields  # fmt: skip
        self.frame(Conn.USER, {"subscriptionId": 0, "event": report})

    def push(self, order: dict[str, Any], what: str, **fields: Any) -> None:
        state = self.STATES[what]
        if what == "Cancelled":  # `c` is the cancel's own id there
            fields = {"c": "another", "C": order["client_id"]} | fields
        self.report(order, x=state, X=state, **fields)

    def fill(  # type: ignore[override]
        self, order: dict[str, Any], qty: str, cum: str, fee: str = "0", asset: str = "USDT",
        trade_id: int | None = None,
    ) -> None:  # fmt: skip
        self.trade_id += 1
        self.report(
            order, x="TRADE", X="FILLED" if cum == order["qty"] else "PARTIALLY_FILLED", l=qty,
            z=cum, L=order["px"], n=fee, N=asset, t=trade_id or self.trade_id,
        )  # fmt: skip


class LinearDesk(VenueDesk):
    venue = "bybit_linear"
    category = "linear"
    TOO_FAST, CLOCK, REFUSED = (10006, 200), (10002, 200), (110007, 200)

    def snapshot(self, bids: list[list[str]], asks: list[list[str]]) -> int:
        return self._book("snapshot", bids, asks)

    def depth(self, bids: list[list[str]], asks: list[list[str]], skip: int = 0) -> int:
        self.update_id += skip
        return self._book("delta", bids, asks)

    def _book(self, kind: str, bids: list[list[str]], asks: list[list[str]]) -> int:
        self.update_id += 1
        return self.frame(Conn.MARKET, {
            "topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1672304484978,
            "data": {"s": "BTCUSDT", "b": bids, "a": asks, "u": self.update_id, "seq": self.seq()},
            "cts": 1672304484976,
        })  # fmt: skip

    def seq(self) -> int:
        """Grows with all that happens, faster than u."""
        self.venue_order_id += 7
        return self.venue_order_id

    def best(self, bid: str, bid_qty: str, ask: str, ask_qty: str) -> int:
        return self.frame(Conn.MARKET, {
            "topic": "orderbook.1.BTCUSDT", "type": "snapshot", "ts": 1672304484978,
            "data": {"s": "BTCUSDT", "b": [[bid, bid_qty]], "a": [[ask, ask_qty]], "u": 3,
                     "seq": self.seq()},
            "cts": 1672304484976,
        })  # fmt: skip

    def read(self, raw: dict[str, Any]) -> dict[str, Any]:
        (order,) = raw["args"]
        return {
            "raw": raw, "side": Side[order["side"].upper()] if "side" in order else None,
            "px": order.get("price"), "qty": order.get("qty"), "client_id": order["orderLinkId"],
        }  # fmt: skip

    def accept(self, order: dict[str, Any]) -> None:
        raw = order["raw"]
        ids = {"orderId": ORDER_ID.format(900), "orderLinkId": order["client_id"]}
        self.frame(Conn.TRADE, {
            "reqId": raw["reqId"], "retCode": 0, "retMsg": "OK", "op": raw["op"], "data": ids,
            "retExtInfo": {}, "header": {"X-Bapi-Limit": "10"}, "connId": "cnt5leec0hvan15eukcg",
        })  # fmt: skip

    def refuse(self, order: dict[str, Any], code: int, status: int = 400) -> None:
        raw = order["raw"]
        self.frame(Conn.TRADE, {
            "reqId": raw["reqId"], "retCode": code, "retMsg": "no", "op": raw["op"], "data": {},
            "connId": "cnt5leec0hvan15eukcg",
        })  # fmt: skip

    def item(self, order: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """One order as the `order` topic shows it."""
        return {
            "category": self.category, "symbol": "BTCUSDT", "orderId": ORDER_ID.format(900),
            "orderLinkId": order["client_id"], "side": order["side"].name.capitalize(),
            "orderType": "Limit", "timeInForce": "PostOnly", "price": order["px"],
            "qty": order["qty"], "orderStatus": "New", "rejectReason": "EC_NoError",
            "leavesQty": order["qty"], "cumExecQty": "0", "updatedTime": "1672364262457",
        } | fields  # fmt: skip

    def orders(self, *items: dict[str, Any]) -> None:
        self.frame(Conn.USER, {
            "id": "5923240c", "topic": "order", "creationTime": 1672364262474, "data": items,
        })  # fmt: skip

    def push(self, order: dict[str, Any], what: str, **fields: Any) -> None:
        said = {
            "New": {},
            "Cancelled": {"orderStatus": "Cancelled", "rejectReason": "EC_PerCancelRequest"},
            "Expired": {
                "orderStatus": "Cancelled", "rejectReason": "EC_PostOnlyWillTakeLiquidity",
            },
        }[what]  # fmt: skip
        self.orders(self.item(order, **said, **fields))

    def trade(
        self, order: dict[str, Any], qty: str, leaves: str, fee: str, asset: str, trade_id: int
    ) -> dict[str, Any]:
        """One trade as the `execution` topic shows it."""
        return {
            "category": self.category, "symbol": "BTCUSDT", "execFee": fee, "feeCurrency": asset,
            "execId": TRADE_ID.format(trade_id), "execPrice": order["px"], "execQty": qty,
            "execType": "Trade", "leavesQty": leaves, "orderId": ORDER_ID.format(900),
            "orderLinkId": order["client_id"], "orderPrice": order["px"],
            "orderQty": order["qty"], "side": order["side"].name.capitalize(), "isMaker": True,
            "execTime": "1746270400353", "seq": 140612148849382,
        }  # fmt: skip

    def executions(self, *trades: dict[str, Any]) -> None:
        self.frame(Conn.USER, {
            "topic": "execution", "id": "386825804", "creationTime": 1746270400355,
            "data": trades,
        })  # fmt: skip

    def fill(  # type: ignore[override]
        self, order: dict[str, Any], qty: str, cum: str, fee: str = "0", asset: str = "USDT",
        trade_id: int | None = None,
    ) -> None:  # fmt: skip
        """Both topics tell of it; the trade first."""
        self.trade_id += 1
        leaves = f"{float(order['qty']) - float(cum):.3f}"
        self.executions(self.trade(order, qty, leaves, fee, asset, trade_id or self.trade_id))
        state = "Filled" if cum == order["qty"] else "PartiallyFilled"
        self.orders(self.item(order, orderStatus=state, cumExecQty=cum, leavesQty=leaves))


class BybitSpotDesk(LinearDesk):
    venue = "bybit_spot"
    category = "spot"
    REFUSED = (170131, 200)


def _json(levels: list[list[str]]) -> bytes:
    return repr(levels).replace("'", '"').encode()
