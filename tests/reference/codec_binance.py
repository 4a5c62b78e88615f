"""Binance messages by json and Decimal: the same events as fastcore/codec, none of the speed.

Stricter than the fast decoder where it costs nothing: a name given twice is refused wherever it
stands, and so are bytes that are not UTF-8.
"""

import hashlib
import hmac
import json
import re
from typing import Any

from fastcore.types import Code, EventKind, ExecType, OrderState, Side
from tests.reference import fixed

LEVELS_MAX = 16384
INT64_MAX = 2**63 - 1
NS_PER_MS = 1_000_000
WHOLE = re.compile(r"(0|[1-9][0-9]*)\Z", re.ASCII)
IGNORED = {
    "aggTrade", "TRADE_LITE", "ACCOUNT_UPDATE", "kline", "markPriceUpdate", "24hrTicker",
    "24hrMiniTicker", "forceOrder", "contractInfo", "assetIndexUpdate", "indexPriceUpdate",
    "continuous_kline", "indexPrice_kline", "markPrice_kline", "compositeIndex", "avgPrice",
    "ALGO_UPDATE", "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT", "outboundAccountPosition", "balanceUpdate",
}  # fmt: skip
STATES = {
    "NEW": OrderState.NEW,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
    "REJECTED": OrderState.REJECTED,
    "PENDING_CANCEL": OrderState.PENDING_CANCEL,
}
EXECUTIONS = {
    name: ExecType[name]
    for name in ("NEW", "CANCELED", "TRADE", "EXPIRED", "AMENDMENT", "CALCULATED", "REJECTED")
}


class Refused(Exception):
    """Not decoded, with the code that says why."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Number(str):
    """A JSON number, as it is written."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is given twice")
    return names


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _load(buf: bytes) -> dict[str, Any]:
    try:
        message = json.loads(
            buf.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(Code.MALFORMED) from error
    if not isinstance(message, dict):
        raise Refused(Code.MALFORMED)
    inner = message.get("data")
    return inner if isinstance(inner, dict) else message


def _whole(value: object) -> int:
    if not isinstance(value, Number) or not WHOLE.match(value):
        raise Refused(Code.MALFORMED)
    if int(value) > INT64_MAX:
        raise Refused(Code.RANGE)
    return int(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise Refused(Code.MALFORMED)
    return value


def _units(value: object, tick: str, may_be_negative: bool = False) -> int:
    try:
        units = fixed.parse(_text(value).encode(), tick)
    except fixed.NotDecimal:
        raise Refused(Code.MALFORMED) from None
    except fixed.OffGrid:
        raise Refused(Code.RANGE) from None
    if units < 0 and not may_be_negative:
        raise Refused(Code.RANGE)
    return units


def _worst(readers: dict[str, Any]) -> dict[str, Any]:
    """Every field read; malformed before full before out of range, whichever came first."""
    values, codes = {}, []
    for name, reader in readers.items():
        try:
            values[name] = reader()
        except Refused as refused:
            codes.append(refused.code)
    for code in (Code.MALFORMED, Code.FULL, Code.RANGE):
        if code in codes:
            raise Refused(code)
    return values


class Decoder:
    def __init__(self, symbol: str, tick: str, lot: str, client_prefix: str = "") -> None:
        self.symbol, self.tick, self.lot, self.prefix = symbol, tick, lot, client_prefix

    def decode_bytes(self, buf: bytes) -> tuple[int, dict[str, object]]:
        try:
            return self._decode(_load(buf))
        except Refused as refused:
            return refused.code, {}

    def _decode(self, message: dict[str, Any]) -> tuple[int, dict[str, object]]:
        if "e" in message:
            event = _text(message["e"])
            if event == "bookTicker":
                return self._best(message)
            if event == "depthUpdate":
                return self._depth(message)
            if event == "trade":
                return self._trade(message)
            if event == "ORDER_TRADE_UPDATE":
                return self._order(message)
            if event == "listenKeyExpired":
                return EventKind.LISTEN_KEY_EXPIRED, {}
            if event in IGNORED:
                return EventKind.IGNORED, {}
            raise Refused(Code.UNKNOWN)
        if "lastUpdateId" in message:
            return self._snapshot(message)
        if "id" in message:
            if "status" in message or "error" in message:
                return self._reply(message)
            if "result" in message:
                return EventKind.IGNORED, {}
        if {"u", "s", "b", "B", "a", "A"} <= set(message):
            return self._best(message)
        raise Refused(Code.UNKNOWN)

    def _check_symbol(self, message: dict[str, Any], name: str = "s") -> None:
        if _text(message.get(name)) != self.symbol:
            raise Refused(Code.OTHER_SYMBOL)

    def _time(self, message: dict[str, Any]) -> int:
        times = _worst({n: (lambda n=n: _whole(message[n])) for n in "TE" if n in message})
        if any(ms > INT64_MAX // NS_PER_MS for ms in times.values()):
            raise Refused(Code.RANGE)
        return times.get("T", times.get("E", 0)) * NS_PER_MS

    def _levels(self, levels: object) -> list[tuple[int, int]]:
        if not isinstance(levels, list) or not all(
            isinstance(level, list) and len(level) >= 2 for level in levels
        ):
            raise Refused(Code.MALFORMED)
        codes, read = set(), []
        for px, qty, *_ in levels:
            sides = []
            for value, tick in ((px, self.tick), (qty, self.lot)):
                try:
                    sides.append(_units(value, tick))
                except Refused as refused:
                    codes.add(refused.code)
            read.append(tuple(sides))
        if Code.MALFORMED in codes:
            raise Refused(Code.MALFORMED)
        if len(levels) > LEVELS_MAX:
            raise Refused(Code.FULL)
        if codes:
            raise Refused(Code.RANGE)
        return read

    def _best(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        self._check_symbol(m)
        return EventKind.BEST, _worst(
            {
                "update_id": lambda: _whole(m.get("u")),
                "exch_ts_ns": lambda: self._time(m),
                "bid_px_ticks": lambda: _units(m.get("b"), self.tick),
                "bid_qty_lots": lambda: _units(m.get("B"), self.lot),
                "ask_px_ticks": lambda: _units(m.get("a"), self.tick),
                "ask_qty_lots": lambda: _units(m.get("A"), self.lot),
            }
        )

    def _depth(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        self._check_symbol(m)
        fields = _worst(
            {
                "first_update_id": lambda: _whole(m.get("U")),
                "final_update_id": lambda: _whole(m.get("u")),
                "prev_final_update_id": lambda: _whole(m["pu"]) if "pu" in m else -1,
                "exch_ts_ns": lambda: self._time(m),
                "bids": lambda: self._levels(m.get("b")),
                "asks": lambda: self._levels(m.get("a")),
            }
        )
        if fields["first_update_id"] > fields["final_update_id"]:
            raise Refused(Code.MALFORMED)
        return EventKind.DEPTH, fields

    def _snapshot(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        if "symbol" in m:
            self._check_symbol(m, "symbol")
        fields = _worst(
            {
                "final_update_id": lambda: _whole(m.get("lastUpdateId")),
                "exch_ts_ns": lambda: self._time(m),
                "bids": lambda: self._levels(m.get("bids")),
                "asks": lambda: self._levels(m.get("asks")),
            }
        )
        first = fields["final_update_id"]
        return EventKind.SNAPSHOT, {
            "first_update_id": first,
            "prev_final_update_id": -1,
            **fields,
        }

    def _trade(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        def aggressor() -> Side:
            if not isinstance(m.get("m"), bool):
                raise Refused(Code.MALFORMED)
            return Side.SELL if m["m"] else Side.BUY

        self._check_symbol(m)
        return EventKind.TRADE, _worst(
            {
                "trade_id": lambda: _whole(m.get("t")),
                "exch_ts_ns": lambda: self._time(m),
                "px_ticks": lambda: _units(m.get("p"), self.tick),
                "qty_lots": lambda: _units(m.get("q"), self.lot),
                "aggressor": aggressor,
                "is_market": lambda: int("X" not in m or _text(m["X"]) == "MARKET"),
            }
        )

    def _intent(self, client_id: str) -> int:
        if self.prefix and re.fullmatch(re.escape(self.prefix) + "[0-9a-f]{12}", client_id):
            return int(client_id[-12:], 16)
        return -1

    def _order(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        o = m.get("o")
        if not isinstance(o, dict) or not set("scSxXipqzLl") <= set(o):
            raise Refused(Code.MALFORMED)
        self._check_symbol(o)
        exch_ts_ns = self._time(m)
        intent_id = self._intent(_text(o["c"]))
        side, execution, status = _text(o["S"]), _text(o["x"]), _text(o["X"])
        if side not in ("BUY", "SELL"):
            raise Refused(Code.MALFORMED)
        if execution not in EXECUTIONS or status not in STATES:
            raise Refused(Code.UNKNOWN)
        numbers = _worst(
            {
                "venue_order_id": lambda: _whole(o["i"]),
                "trade_id": lambda: _whole(o.get("t")) if execution == "TRADE" else -1,
                "px_ticks": lambda: _units(o["p"], self.tick),
                "qty_lots": lambda: _units(o["q"], self.lot),
                "cum_qty_lots": lambda: _units(o["z"], self.lot),
                "last_px_ticks": lambda: _units(o["L"], self.tick),
                "last_qty_lots": lambda: _units(o["l"], self.lot),
                "fee_e8": lambda: _units(o["n"], "0.00000001", True) if "n" in o else 0,
            }
        )
        return EventKind.ORDER, {
            "intent_id": intent_id,
            "exch_ts_ns": exch_ts_ns,
            "exec_type": EXECUTIONS[execution],
            "status": STATES[status],
            "side": Side[side],
            "is_maker": int(o.get("m") is True),
            **numbers,
        }

    def _reply(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        result = m["result"] if isinstance(m.get("result"), dict) else {}
        error = m.get("error", {})
        if "symbol" in result:
            self._check_symbol(result, "symbol")
        if not isinstance(error, dict):
            raise Refused(Code.MALFORMED)

        def error_code() -> int:
            code = error["code"]
            if isinstance(code, Number) and code.startswith("-"):
                return -_whole(Number(code[1:]))
            return _whole(code)

        def order_state() -> OrderState:
            return STATES.get(_text(result["status"]), OrderState.UNKNOWN)

        fields = _worst(
            {
                "status": lambda: _whole(m["status"]) if "status" in m else 0,
                "error_code": lambda: error_code() if "code" in error else 0,
                "order_status": lambda: order_state() if "status" in result else OrderState.FREE,
                "venue_order_id": lambda: _whole(result["orderId"]) if "orderId" in result else -1,
                "cum_qty_lots": lambda: (
                    _units(result["executedQty"], self.lot) if "executedQty" in result else -1
                ),
            }
        )
        if fields["status"] > 999 or abs(fields["error_code"]) > 999_999:
            raise Refused(Code.RANGE)
        ours = re.fullmatch(r"([1-4])([0-9a-f]{12})", str(m["id"]))
        if ours is None or isinstance(m["id"], Number):
            return EventKind.REPLY, {"intent_id": -1, "verb": 0, **fields}
        return EventKind.REPLY, {"intent_id": int(ours[2], 16), "verb": int(ours[1]), **fields}


def sign(secret: bytes, params: dict[str, Any]) -> str:
    """Signature of a WebSocket-API request: its other parameters by name, as `k=v&...`."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
