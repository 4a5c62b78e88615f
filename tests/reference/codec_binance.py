"""Binance messages by json and Decimal: the same events as fastcore/codec, none of the speed.

Stricter than the fast decoder where it costs nothing: a name given twice is refused wherever it
stands, and so are bytes that are not UTF-8.
"""

import hashlib
import hmac
import json
import re
from decimal import Decimal
from typing import Any

from fastcore.types import Code, EventKind, ExecType, FeeAsset, OrderState, Side
from tests.reference import fixed

LEVELS_MAX = 16384
INT64_MAX = 2**63 - 1
NS_PER_MS = 1_000_000
WHOLE = re.compile(r"(0|[1-9][0-9]*)\Z", re.ASCII)
E8 = "0.00000001"
IGNORED = {
    "TRADE_LITE", "kline", "markPriceUpdate", "24hrTicker", "24hrMiniTicker", "forceOrder",
    "contractInfo", "assetIndexUpdate", "indexPriceUpdate", "continuous_kline",
    "indexPrice_kline", "markPrice_kline", "compositeIndex", "avgPrice", "ALGO_UPDATE",
    "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT", "listStatus", "externalLockUpdate",
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
} | {"REPLACED": ExecType.AMENDMENT, "TRADE_PREVENTION": None}
ORDER_NAMES = ("symbol", "orderId", "status", "executedQty", "price", "origQty")
RESULTS = {"SUCCESS": 200, "FAILURE": 400, "NOT_ATTEMPTED": 0}


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
    return message


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unwrap(message: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The message itself, and the stream that it came by if it was wrapped."""
    inner = [message[name] for name in ("data", "event") if isinstance(message.get(name), dict)]
    if len(inner) > 1:
        raise Refused(Code.MALFORMED)
    if not inner:
        return message, None
    stream = message.get("stream")
    is_text = isinstance(stream, str) and not isinstance(stream, Number)
    return inner[0], stream if is_text else None


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
    def __init__(
        self,
        symbol: str,
        tick: str,
        lot: str,
        client_prefix: str = "",
        base_asset: str = "",
        quote_asset: str = "",
    ) -> None:
        self.symbol, self.tick, self.lot, self.prefix = symbol, tick, lot, client_prefix
        self.base, self.quote = base_asset, quote_asset
        self.retry_after_ms, self.canceled_intent_id = 0, 0

    def decode_bytes(self, buf: bytes) -> tuple[int, dict[str, object]]:
        try:
            return self._decode(*_unwrap(_load(buf)))
        except Refused as refused:
            return refused.code, {}

    def _decode(
        self, message: dict[str, Any], stream: str | None
    ) -> tuple[int, dict[str, object]]:
        if "e" in message:
            return self._event(message, stream)
        if "lastUpdateId" in message:
            return self._snapshot(message, stream)
        if "id" in message and {"status", "error", "result"} & set(message):
            return self._reply(message)
        if {"code", "msg"} <= set(message):
            return self._reply(message)
        if {"u", "s", "b", "B", "a", "A"} <= set(message):
            return self._best(message)
        raise Refused(Code.UNKNOWN)

    def _event(self, message: dict[str, Any], stream: str | None) -> tuple[int, dict[str, object]]:
        event = _text(message["e"])
        if event == "bookTicker":
            return self._best(message)
        if event == "depthUpdate":
            is_whole = stream is not None and re.match(r"[^@]*@depth[0-9]", stream) is not None
            return self._depth(message, is_whole)
        if event in ("trade", "aggTrade"):
            return self._trade(message, event)
        if event == "ORDER_TRADE_UPDATE":
            return self._order(message, message.get("o"), is_spot=False)
        if event == "executionReport":
            return self._order(message, message, is_spot=True)
        if event == "ACCOUNT_UPDATE":
            return self._account(message, self._futures_account)
        if event == "outboundAccountPosition":
            return self._account(message, self._spot_account)
        if event == "balanceUpdate":
            return self._account(message, self._balance_change)
        if event in ("listenKeyExpired", "eventStreamTerminated"):
            return EventKind.LISTEN_KEY_EXPIRED, {}
        if event == "serverShutdown":
            return EventKind.VENUE_SHUTDOWN, {}
        if event in IGNORED:
            return EventKind.IGNORED, {}
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

    def _depth(self, m: dict[str, Any], is_whole: bool) -> tuple[int, dict[str, object]]:
        self._check_symbol(m)
        fields = _worst(
            {
                "first_update_id": lambda: _whole(m.get("U")),
                "final_update_id": lambda: _whole(m.get("u")),
                "prev_final_update_id": lambda: _whole(m["pu"]) if "pu" in m else -1,
                "cross_seq": lambda: 0,
                "exch_ts_ns": lambda: self._time(m),
                "bids": lambda: self._levels(m.get("b")),
                "asks": lambda: self._levels(m.get("a")),
            }
        )
        if fields["first_update_id"] > fields["final_update_id"]:
            raise Refused(Code.MALFORMED)
        if is_whole:
            first = {"first_update_id": fields["final_update_id"], "prev_final_update_id": -1}
            return EventKind.SNAPSHOT, fields | first
        return EventKind.DEPTH, fields

    def _snapshot(self, m: dict[str, Any], stream: str | None) -> tuple[int, dict[str, object]]:
        names = [name for name in ("s", "symbol") if name in m]
        if len(names) > 1:
            raise Refused(Code.MALFORMED)
        if names:
            self._check_symbol(m, names[0])
        elif stream is not None and not stream.startswith(self.symbol.lower() + "@"):
            raise Refused(Code.OTHER_SYMBOL)
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
            "cross_seq": 0,
            **fields,
        }

    def _trade(self, m: dict[str, Any], event: str) -> tuple[int, dict[str, object]]:
        def aggressor() -> Side:
            if not isinstance(m.get("m"), bool):
                raise Refused(Code.MALFORMED)
            return Side.SELL if m["m"] else Side.BUY

        self._check_symbol(m)
        is_trade = event == "trade"
        return EventKind.TRADE if is_trade else EventKind.AGG_TRADE, _worst(
            {
                "trade_id": lambda: _whole(m.get("t" if is_trade else "a")),
                "exch_ts_ns": lambda: self._time(m),
                "px_ticks": lambda: _units(m.get("p"), self.tick),
                "qty_lots": lambda: _units(m.get("q"), self.lot),
                "aggressor": aggressor,
                "is_market": lambda: int(
                    not is_trade or "X" not in m or _text(m["X"]) == "MARKET"
                ),
            }
        )

    def _intent(self, client_id: str) -> int:
        if self.prefix and re.fullmatch(re.escape(self.prefix) + "[0-9a-f]{12}", client_id):
            return int(client_id[-12:], 16)
        if self.prefix and re.fullmatch("tm[0-9a-f]{8}-[0-9a-f]{2}-[0-9a-f]{12}", client_id):
            return -2
        return -1

    def _order(self, m: dict[str, Any], o: object, is_spot: bool) -> tuple[int, dict[str, object]]:
        if not isinstance(o, dict) or not set("scSxXipqzLl") <= set(o):
            raise Refused(Code.MALFORMED)
        self._check_symbol(o)
        exch_ts_ns = self._time(m)
        client_id = _text(o["c"])
        if is_spot:
            client_id = _text(o.get("C", "")) or client_id
        side, execution, status = _text(o["S"]), _text(o["x"]), _text(o["X"])
        if side not in ("BUY", "SELL"):
            raise Refused(Code.MALFORMED)
        if execution not in EXECUTIONS or status not in STATES | {"PENDING_NEW": 0}:
            raise Refused(Code.UNKNOWN)
        state = STATES.get(status, OrderState.NEW)
        expired = ExecType.EXPIRED if state == OrderState.EXPIRED else ExecType.AMENDMENT
        prevented = "A" if is_spot and "A" in o else None
        numbers = _worst(
            {
                "venue_order_id": lambda: _whole(o["i"]),
                "trade_id": lambda: _whole(o.get("t")) if execution == "TRADE" else -1,
                "px_ticks": lambda: _units(o["p"], self.tick),
                "qty_lots": lambda: _units(o["q"], self.lot),
                "prevented_lots": lambda: _units(o["A"], self.lot) if prevented else 0,
                "cum_qty_lots": lambda: _units(o["z"], self.lot),
                "last_px_ticks": lambda: _units(o["L"], self.tick),
                "last_qty_lots": lambda: _units(o["l"], self.lot),
                "fee": lambda: self._fee(o),
            }
        )
        numbers["fee_e8"], numbers["fee_asset"] = numbers.pop("fee")
        numbers["qty_lots"] -= numbers.pop("prevented_lots")
        if numbers["qty_lots"] < 0:
            raise Refused(Code.RANGE)
        return EventKind.ORDER, {
            "intent_id": self._intent(client_id),
            "exch_ts_ns": exch_ts_ns,
            "exec_type": EXECUTIONS[execution] if EXECUTIONS[execution] is not None else expired,
            "status": state,
            "side": Side[side],
            "is_maker": int(o.get("m") is True),
            **numbers,
        }

    def _fee(self, o: dict[str, Any]) -> tuple[int, FeeAsset]:
        asset = "" if o.get("N") is None else _text(o["N"])
        fee_e8 = _units(o["n"], E8, True) if "n" in o else 0
        if fee_e8 == 0 or (asset and asset == self.quote):
            return fee_e8, FeeAsset.QUOTE
        return fee_e8, FeeAsset.BASE if asset and asset == self.base else FeeAsset.OTHER

    def _account(self, m: dict[str, Any], reader: Any) -> tuple[int, dict[str, object]]:
        said = _worst({"exch_ts_ns": lambda: self._time(m), "fields": lambda: reader(m)})
        fields = said.pop("fields")
        return EventKind.ACCOUNT, {
            **said,
            "has_position": int("position_lots" in fields),
            "has_balance": int("balance_e8" in fields),
            "position_lots": fields.get("position_lots", 0),
            "balance_e8": fields.get("balance_e8", 0),
        }

    def _entries(self, entries: object, name: str) -> list[tuple[str, dict[str, Any]]]:
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise Refused(Code.MALFORMED)
        return [(_text(entry.get(name)), entry) for entry in entries]

    def _futures_account(self, m: dict[str, Any]) -> dict[str, int]:
        if not isinstance(m.get("a"), dict):
            raise Refused(Code.MALFORMED)
        readers: dict[str, Any] = {}
        for asset, entry in self._entries(m["a"].get("B", []), "a"):
            if self.quote and asset == self.quote:
                if "balance_e8" in readers:
                    raise Refused(Code.MALFORMED)
                readers["balance_e8"] = lambda e=entry: _units(e.get("wb"), E8, True)
        sides = 0
        for symbol, entry in self._entries(m["a"].get("P", []), "s"):
            if symbol != self.symbol:
                continue
            name = "position_lots"
            if _text(entry.get("ps")) != "BOTH":
                name = f"side {(sides := sides + 1)}"
            if name in readers:
                raise Refused(Code.MALFORMED)
            readers[name] = lambda e=entry: _units(e.get("pa"), self.lot, True)
        fields = _worst(readers)
        if any(fields.pop(f"side {side + 1}") for side in range(sides)):
            raise Refused(Code.RANGE)
        return fields

    def _spot_account(self, m: dict[str, Any]) -> dict[str, int]:
        readers: dict[str, Any] = {}
        for asset, entry in self._entries(m.get("B"), "a"):
            for ours, name in ((self.quote, "balance_e8"), (self.base, "position_lots")):
                if ours and asset == ours:
                    if name in readers:
                        raise Refused(Code.MALFORMED)
                    readers[name] = lambda e=entry: sum(
                        _worst({n: (lambda n=n: _units(e.get(n), E8)) for n in "fl"}).values()
                    )
                    break
        fields = _worst(readers)
        if "position_lots" in fields:
            lot_e8 = Decimal(self.lot) * 10**8
            fields["position_lots"] = int(fields["position_lots"] // lot_e8)
        return fields

    def _balance_change(self, m: dict[str, Any]) -> dict[str, int]:
        _text(m.get("a"))
        _units(m.get("d"), E8, True)
        return {}

    def _reply(self, m: dict[str, Any]) -> tuple[int, dict[str, object]]:
        result, error = _dict(m.get("result")), m.get("error", {})
        data = _dict(_dict(error).get("data"))
        inner = [result.get("amendedOrder"), result.get("newOrderResponse")]
        inner.append(data.get("newOrderResponse"))
        order = _only_once([_one_qty(result), *(_one_qty(_dict(place)) for place in inner)])
        order = {n: order[n] for n in ORDER_NAMES if n in order}
        both = _only_once([{n: p[n] for n in p if n.endswith("Result")} for p in (result, data)])
        canceled = _only_once([_dict(place.get("cancelResponse")) for place in (result, data)])
        if "symbol" in order:
            self._check_symbol(order, "symbol")
        codes = [e["code"] for e in (m, _dict(error)) if "code" in e]
        if not isinstance(error, dict) or len(codes) > 1:
            raise Refused(Code.MALFORMED)

        def error_code(code: Any) -> int:
            if isinstance(code, Number) and code.startswith("-"):
                return -_whole(Number(code[1:]))
            return _whole(code)

        def retry_after() -> int:
            return _whole(data["retryAfter"]) if "retryAfter" in data else 0

        refused = "error" in m or "code" in m
        fields = _worst(
            {
                "status": lambda: (
                    _whole(m["status"]) if "status" in m else 400 if refused else 200
                ),
                "error_code": lambda: error_code(codes[0]) if codes else 0,
                "order_status": lambda: (
                    STATES.get(_text(order["status"]), OrderState.UNKNOWN)
                    if "status" in order
                    else OrderState.FREE
                ),
                "venue_order_id": lambda: _whole(order["orderId"]) if "orderId" in order else -1,
                "cum_qty_lots": lambda: (
                    _units(order["executedQty"], self.lot) if "executedQty" in order else -1
                ),
                "px_ticks": lambda: _units(order.get("price", "0"), self.tick),
                "qty_lots": lambda: _units(order.get("origQty", "0"), self.lot),
                "cancel_status": lambda: _text(both.get("cancelResult", "NOT_ATTEMPTED")),
                "new_status": lambda: _text(both.get("newOrderResult", "NOT_ATTEMPTED")),
                "retry": retry_after,
                "canceled": lambda: _text(canceled.get("origClientOrderId", "")),
            }
        )
        if fields["status"] > 999 or abs(fields["error_code"]) > 999_999:
            raise Refused(Code.RANGE)
        for name in ("cancel_status", "new_status"):
            if fields[name] not in RESULTS:
                raise Refused(Code.UNKNOWN)
            fields[name] = RESULTS[fields[name]]
        self.retry_after_ms = fields.pop("retry")
        self.canceled_intent_id = self._intent(fields.pop("canceled"))
        ours = re.fullmatch(r"([1-7])([0-9a-f]{12})", str(m.get("id")))
        if ours is None or isinstance(m["id"], Number):
            kind = EventKind.REPLY if "orderId" in order else EventKind.SESSION
            return kind, {"intent_id": -1, "verb": 0, **fields}
        return EventKind.REPLY, {"intent_id": int(ours[2], 16), "verb": int(ours[1]), **fields}


def _one_qty(order: dict[str, Any]) -> dict[str, Any]:
    """An amended order's `qty` under the name that it has elsewhere."""
    return _only_once([{"origQty" if name == "qty" else name: order[name]} for name in order])


def _only_once(places: list[dict[str, Any]]) -> dict[str, Any]:
    """Objects that speak of one thing, as one: a name of ours in two of them is malformed."""
    ours = {*ORDER_NAMES, "origClientOrderId", "cancelResult", "newOrderResult"}
    merged: dict[str, Any] = {}
    for place in places:
        if ours & set(merged) & set(place):
            raise Refused(Code.MALFORMED)
        merged |= place
    return merged


def sign(secret: bytes, params: dict[str, Any]) -> str:
    """Signature of a WebSocket-API request: its other parameters by name, as `k=v&...`."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    return sign_text(secret, text)


def sign_text(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
