"""A core on a desk: frames as the venue words them, answers as a test wants them."""

import json
from typing import Any

from engine.config import demo_core
from fastcore.account import Account
from fastcore.core import Core
from fastcore.journal import JournalOrder, JournalWriter, read_segment, unpack
from fastcore.types import Command, Conn, Verb

API_KEY = b"K" * 64
SECRET = b"S" * 64
MS = 1_000_000
UTC_OFFSET_NS = 1_700_000_000_000 * MS


def core_config(**overrides: Any) -> dict[str, Any]:
    """The demo's core table with tick and lot in; `limits__qty_lots_max=5` reaches into tables."""
    config = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    config |= {"tick": "0.10", "lot": "0.001", "assets": {"base": "BTC", "quote": "USDT"}}
    config["quoting"] |= {
        "requote_ticks": 0, "requote_ms": 0, "modify": False, "messages_per_s_max": 10_000,
    }  # fmt: skip
    config["limits"] |= {"exit_reserve": 0, "account_exit_reserve": 0}  # so that limits may be few
    config["params"]["ofi_skew_ticks"] = 0.0  # prices of a test must not depend on its past
    for key, value in overrides.items():
        table, _, name = key.partition("__")
        if name:
            config[table][name] = value
        else:
            config[key] = value
    return config


class Desk:
    """One core, its clock, and the venue's side of the conversation."""

    def __init__(
        self, journal: bool = True, user: Any = None, account: Account | None = None,
        segment_size: int = 4 << 20, order: JournalOrder | None = None, **overrides: Any,
    ) -> None:  # fmt: skip
        self.segment = bytearray(segment_size)
        self.journal = JournalWriter(self.segment, 0, order) if journal else None
        config = core_config(**overrides)
        self.symbol = config["symbol"]
        self.core = Core(config, API_KEY, SECRET, self.journal, user, account)
        self.now_ns = 1_000 * MS
        self.update_id = 100
        self.trade_id = 5_000
        self.venue_order_id = 900
        self.sent: list[dict[str, Any]] = []

    # -- INPUTS ---

    def start(
        self, bid: str = "60000.00", ask: str = "60000.10", qty: str = "1.000",
        position_lots: int = 0,
    ) -> None:  # fmt: skip
        """Everything up, book synced, started: quoting."""
        self.core.clock(UTC_OFFSET_NS, self.now_ns)
        for conn in Conn:
            self.core.conn(conn, True, self.now_ns)
        self.snapshot([[bid, qty]], [[ask, qty]])
        self.depth([], [])
        self.core.opening(position_lots, self.now_ns)
        self.core.account(position_lots, 0, self.now_ns)
        self.collect(self.core.command(Command.START, self.now_ns))

    def snapshot(self, bids: list[list[str]], asks: list[list[str]]) -> int:
        body = {"lastUpdateId": self.update_id, "E": 1, "T": 1, "bids": bids, "asks": asks}
        return self.collect(self.core.snapshot(json.dumps(body).encode(), self.now_ns))

    def depth(self, bids: list[list[str]], asks: list[list[str]], prev: int | None = None) -> int:
        first, self.update_id = self.update_id, self.update_id + 1
        return self.frame(
            Conn.MARKET,
            {
                "e": "depthUpdate", "E": 1, "T": 1, "s": self.symbol, "U": first,
                "u": self.update_id, "pu": first if prev is None else prev, "b": bids, "a": asks,
            },
        )  # fmt: skip

    def best(self, bid: str, bid_qty: str, ask: str, ask_qty: str) -> int:
        self.update_id += 1
        return self.frame(
            Conn.MARKET,
            {
                "e": "bookTicker", "u": self.update_id, "s": self.symbol, "b": bid, "B": bid_qty,
                "a": ask, "A": ask_qty, "T": 1, "E": 1,
            },
        )  # fmt: skip

    def frame(self, conn: Conn, message: dict[str, Any]) -> int:
        payload = json.dumps(message, separators=(",", ":")).encode()
        return self.collect(self.core.frame(conn, payload, self.now_ns, self.now_ns))

    def timer(self, after_ms: int = 10) -> int:
        self.now_ns += after_ms * MS
        return self.collect(self.core.timer(self.now_ns))

    def collect(self, count: int) -> int:
        """Send what the core put out, at once and in time."""
        for out_seq, _, _, verb, data, cause_ts_ns, deadline_ns in self.core.outgoing():
            message = unmask(data)
            params = message["params"]
            params["verb"] = Verb(verb)
            params["id"] = message["id"]
            params["cause_ts_ns"], params["deadline_ns"] = cause_ts_ns, deadline_ns
            params["out_seq"] = out_seq
            self.sent.append(params)
            self.core.send(out_seq, 0, self.now_ns, self.now_ns + 1_000, self.now_ns)
        return count

    # -- THE VENUE'S ANSWERS ---

    def take_sent(self) -> list[dict[str, Any]]:
        sent, self.sent = self.sent, []
        return sent

    def ack(self, params: dict[str, Any]) -> None:
        """order.place or order.cancel done."""
        self.reply(params, 200, {"orderId": self.venue_order_id, "status": "NEW"})

    def reply(
        self, params: dict[str, Any], status: int, result: dict[str, Any] | None = None,
        code: int = 0,
    ) -> None:  # fmt: skip
        message: dict[str, Any] = {"id": params["id"], "status": status}
        if result is not None:
            message["result"] = result
        else:
            message["error"] = {"code": code, "msg": "no"}
        self.frame(Conn.TRADE, message)

    def update(self, params: dict[str, Any], exec_type: str, status: str, **fields: Any) -> None:
        """ORDER_TRADE_UPDATE on an order of ours."""
        client_id = params.get("newClientOrderId") or params["origClientOrderId"]
        order = {
            "s": self.symbol, "c": client_id, "S": params.get("side", "BUY"), "o": "LIMIT",
            "f": "GTX", "q": params.get("quantity", "0.010"), "p": params.get("price", "1.00"),
            "ap": "0", "sp": "0", "x": exec_type, "X": status, "i": self.venue_order_id,
            "l": "0", "z": "0", "L": "0", "T": 1, "t": 0, "b": "0", "a": "0", "m": True,
            "R": False, "ps": "BOTH", "rp": "0",
        } | fields  # fmt: skip
        self.frame(Conn.USER, {"e": "ORDER_TRADE_UPDATE", "T": 1, "E": 1, "o": order})

    def fill(
        self, params: dict[str, Any], qty: str, cum: str, px: str | None = None,
        fee: str = "0", trade_id: int | None = None, status: str | None = None,
    ) -> None:  # fmt: skip
        self.trade_id += 1
        full = cum == params["quantity"]
        self.update(
            params, "TRADE", status or ("FILLED" if full else "PARTIALLY_FILLED"),
            l=qty, z=cum, L=px or params["price"], n=fee, N="USDT",
            t=self.trade_id if trade_id is None else trade_id,
        )  # fmt: skip

    # -- WHAT THE CORE SAYS ---

    @property
    def numbers(self) -> dict[str, Any]:
        return self.core.numbers()

    def records(self, kind: int) -> list[dict[str, int]]:
        """Every journaled record of a kind whose payload is a row of integers."""
        return [
            unpack(record[1], record[6])
            for record in read_segment(self.segment)
            if record[1] == kind
        ]


def unmask(frame: bytes) -> dict[str, Any]:
    """The JSON of a masked client text frame (RFC 6455 section 5.2)."""
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    size, at = frame[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(frame[2:4], "big"), 4
    key, body = frame[at : at + 4], frame[at + 4 :]
    assert len(body) == size
    return json.loads(bytes(byte ^ key[i % 4] for i, byte in enumerate(body)))
