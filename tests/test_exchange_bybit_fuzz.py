"""engine.exchange.bybit under nonsense: every request gets the venue's own answer, every message
is told, nothing of ours leaks out, and the money adds up."""

import json
import random
from typing import Any

import pytest
from bybit_client import BTC, MS, SPOT_BTC, Client

from engine.exchange.face import HttpAnswer, Log, WsSend, WsText

WORDS: list[Any] = [
    None, True, False, 0, -1, 1, 3, 1 << 70, 0.5, 1e308, "", " ", "0", "-0", "1", "00.1", "1e3",
    "NaN", "Infinity", "0.001", "0.010", "59000", "59000.00", "60000.1", "61000", "99999999999999",
    "9" * 400, "BTCUSDT", "ETHUSDT", "btcusdt", "linear", "spot", "inverse", "option",
    "Buy", "Sell",
    "Limit", "Market", "GTC", "IOC", "FOK", "PostOnly", "Order", "StopOrder", "tpslOrder",
    "MarkPrice",
    "CancelMaker", "CancelBoth", "quoteCoin", "baseCoin", "SPOT", "DERIVATIVES", "UNIFIED", "USDT",
    "\ud800", "\x00", "é", "'; --", "%00", "{}", "mine", "mine", "x" * 37, [], ["a"], {}, {"a": 1},
]  # fmt: skip
FIELDS = [
    "category", "symbol", "side", "orderType", "qty", "price", "timeInForce", "orderLinkId",
    "orderId", "reduceOnly", "closeOnTrigger", "triggerPrice", "triggerDirection", "triggerBy",
    "orderFilter", "smpType", "marketUnit", "positionIdx", "isLeverage", "takeProfit", "openOnly",
    "limit", "cursor", "settleCoin", "baseCoin", "buyLeverage", "sellLeverage", "mode", "product",
    "timeWindow", "execType", "startTime", "endTime", "interval", "start", "end", "accountType",
    "coin", "status", "apikey", "readOnly", "ips", "request",
]  # fmt: skip
GOOD = {
    "category": ["linear", "spot"], "symbol": ["BTCUSDT"], "side": ["Buy", "Sell"],
    "orderType": ["Limit", "Limit", "Market"], "qty": ["0.010", "0.001", "0.1"],
    "price": ["59990", "60000", "60001", "60010"], "orderLinkId": ["mine", "a", "b", "c"],
    "accountType": ["UNIFIED"], "interval": ["1", "D"],
}  # fmt: skip
GETS = [
    "/v5/market/time", "/v5/market/instruments-info", "/v5/market/orderbook", "/v5/market/tickers",
    "/v5/market/recent-trade", "/v5/market/kline", "/v5/market/funding/history",
    "/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/list",
    "/v5/account/wallet-balance", "/v5/account/info", "/v5/account/fee-rate",
    "/v5/account/query-dcp-info", "/v5/asset/coin/query-info", "/v5/user/query-api",
]  # fmt: skip
POSTS = [
    "/v5/order/create", "/v5/order/create", "/v5/order/create", "/v5/order/amend",
    "/v5/order/cancel", "/v5/order/cancel-all", "/v5/order/create-batch", "/v5/order/amend-batch",
    "/v5/order/cancel-batch", "/v5/position/set-leverage", "/v5/position/switch-mode",
    "/v5/order/disconnected-cancel-all", "/v5/user/update-sub-api", "/v5/user/delete-sub-api",
]  # fmt: skip
TOPICS: list[Any] = [
    "orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT", "orderbook.7.BTCUSDT", "orderbook.", "kline.1.",
    "kline.1.BTCUSDT", "tickers.BTCUSDT", "publicTrade.BTCUSDT", "order", "order.linear", "wallet",
    "execution", "position", "dcp.future", "greeks", "..", "", None, 7, {}, "\ud800",
]  # fmt: skip


class Dice:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def fields(self) -> dict[str, Any]:
        """Mostly a sensible order, with some of its fields gone, odd or surplus."""
        dice = self.random
        fields: dict[str, Any] = {}
        for name, values in GOOD.items():
            if dice.random() < 0.9:
                fields[name] = dice.choice(values)
        for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
            fields[dice.choice(FIELDS)] = dice.choice(WORDS)
        if dice.random() < 0.2:
            fields["request"] = [self.fields() for _ in range(dice.randrange(4))]
        return fields

    def text(self, value: Any) -> str:
        """JSON, sometimes broken."""
        text = json.dumps(value)
        if self.random.random() < 0.1:
            at = self.random.randrange(len(text) + 1)
            text = text[:at] + self.random.choice(("", "{", '"', "\x00", "]]]")) + text[at + 1 :]
        return text


def is_the_venues(answer: HttpAnswer) -> bool:
    found = json.loads(answer.body)
    return answer.status == 200 and isinstance(found["retCode"], int) and "retMsg" in found


@pytest.mark.parametrize("seed", range(4))
def test_rest(seed: int) -> None:
    client, dice = Client(), Dice(seed)
    keys = [client.key, client.core.keys[1].keys[0], client.core.keyring.management]
    client.private("order", "execution", "position", "wallet")
    for _ in range(400):
        client.now_ns += 5 * MS
        key = dice.random.choice(keys)
        if dice.random.random() < 0.4:
            fields = {k: v for k, v in dice.fields().items() if isinstance(v, str)}
            query = "&".join(f"{k}={v}" for k, v in fields.items()).encode(errors="replace")
            answer = client.signed("GET", dice.random.choice(GETS), query.decode(), key)
        else:
            path = dice.random.choice(POSTS)
            answer = client.signed("POST", path, dice.text(dice.fields()), key)
        assert is_the_venues(answer), answer
        assert json.loads(answer.body)["retCode"] not in (10016, 10000, 10004), answer
        assert not [action for action in client.actions if isinstance(action, Log)]
    check_money(client)


@pytest.mark.parametrize("seed", range(4))
def test_websockets(seed: int) -> None:
    client, dice = Client(), Dice(seed)
    conns = [client.open(f"/v5/{name}") for name in ("public/linear", "public/spot", "private")]
    trade = client.open("/v5/trade")
    for conn in (conns[2], trade):
        client.logon(conn)
    ops = ["subscribe", "unsubscribe", "ping", "auth", "order.create", "order.cancel",
           "order.amend", "order.create-batch", "order.none", None, 7]  # fmt: skip
    for turn in range(500):
        client.wait(0.02)
        conn = dice.random.choice([*conns, trade, trade])
        op = dice.random.choice(ops)
        args: Any = [dice.random.choice(TOPICS) for _ in range(dice.random.randrange(4))]
        if conn == trade:
            args = [dice.fields() for _ in range(dice.random.choice((1, 1, 1, 0, 2)))]
        message = {"op": op, "args": args, "req_id": dice.random.choice(WORDS)}
        message |= {"reqId": dice.random.choice((str(turn), *WORDS)),
                    "header": {"X-BAPI-TIMESTAMP": str(client.now_ns // MS)}}  # fmt: skip
        actions = client.step(WsText(conn, dice.text(message)))
        own = [a for a in actions if isinstance(a, WsSend) and a.conns == (conn,)]
        assert own, "no answer"
        assert not [action for action in actions if isinstance(action, Log)]
        for action in actions:
            if isinstance(action, WsSend):
                json.loads(action.text)
                action.text.encode()  # can be sent
    check_money(client)


def check_money(client: Client) -> None:
    """Nothing was made or lost: what spot orders lock is what is locked, and nobody owes."""
    core = client.core
    for account in core.accounts:
        locked: dict[str, int] = {}
        for key in (BTC, SPOT_BTC):
            for order in core.open_orders(account.index, key):
                asset = "USDT" if order.side == 0 else "BTC"
                locked[asset] = locked.get(asset, 0) + order.locked_e8
        assert {k: v for k, v in account.locked.items() if v} == {
            k: v for k, v in locked.items() if v
        }
        assert all(amount_e8 >= 0 for amount_e8 in account.balances.values())
