"""Bybit messages by json and Decimal: the same events as fastcore/codec, none of the speed.

Stricter than the fast decoder where it costs nothing: a name given twice is refused wherever it
stands, and so are bytes that are not UTF-8.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from fastcore.types import Code, EventKind, ExecType, FeeAsset, OrderState, Side, Verb
from tests.reference import fixed
from tests.reference.codec_binance import Number, Refused
from tests.reference.hash import hash64

INT64_MAX = 2**63 - 1
NS_PER_MS = 1_000_000
LEVELS_MAX = 16384
ITEMS_MAX = 1024
REPLIES_MAX = 20
ACCOUNTS_MAX = 16
WHOLE = re.compile(r"(0|[1-9][0-9]*)\Z", re.ASCII)
IGNORED = ("tickers.", "kline.", "liquidation.", "allLiquidation.", "greeks", "dcp.")
LIVE = {
    "New": OrderState.NEW, "Untriggered": OrderState.NEW, "Triggered": OrderState.NEW,
    "PartiallyFilled": OrderState.PARTIALLY_FILLED, "Filled": OrderState.FILLED,
}  # fmt: skip
DEAD = {
    "Cancelled": OrderState.CANCELED, "PartiallyFilledCanceled": OrderState.CANCELED,
    "Deactivated": OrderState.CANCELED, "Rejected": OrderState.REJECTED,
}  # fmt: skip
EXPIRING = {"EC_PostOnlyWillTakeLiquidity", "EC_NoImmediateQtyToFill", "EC_CancelForNoFullFill"}
BY_THE_VENUE = {
    "AdlTrade", "BustTrade", "Settle", "Delivery", "BlockTrade", "MovePosition", "FutureSpread",
}  # fmt: skip
PENDING = {
    Verb.PLACE: OrderState.PENDING_NEW, Verb.MODIFY: OrderState.PENDING_REPLACE,
    Verb.CANCEL: OrderState.PENDING_CANCEL,
}  # fmt: skip
OPS = {"order.create": Verb.PLACE, "order.amend": Verb.MODIFY, "order.cancel": Verb.CANCEL}
EMPTY_REPLY = {
    "intent_id": -1, "verb": 0, "status": 200, "error_code": 0, "order_status": OrderState.FREE,
    "venue_order_id": -1, "cum_qty_lots": -1, "cancel_status": 0, "new_status": 0,
    "px_ticks": 0, "qty_lots": 0,
}  # fmt: skip
Fields = dict[str, Any]


class Useless(Exception):
    """An item of ours that tells nothing of use."""


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is given twice")
    return names


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def load(buf: bytes) -> Fields:
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


def whole(value: object) -> int:
    if not isinstance(value, Number) or not WHOLE.match(value):
        raise Refused(Code.MALFORMED)
    if int(value) > INT64_MAX:
        raise Refused(Code.RANGE)
    return int(value)


def text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise Refused(Code.MALFORMED)
    return value


def units(value: object, tick: str) -> int:
    try:
        found = fixed.parse(text(value).encode(), tick)
    except fixed.NotDecimal:
        raise Refused(Code.MALFORMED) from None
    except fixed.OffGrid:
        raise Refused(Code.RANGE) from None
    if found < 0:
        raise Refused(Code.RANGE)
    return found


def e8(value: object, rounding: str) -> int:
    """In 1e-8; what is finer is rounded."""
    decimal = text(value)
    if not fixed.PLAIN.match(decimal):
        raise Refused(Code.MALFORMED)
    # Only the first eight decimals count for the limit of 18 digits.
    sign, (whole_part, _, part) = decimal[:1] == "-", decimal.lstrip("-").partition(".")
    if int(whole_part + part[:8].ljust(8, "0")) >= 10**18:
        raise Refused(Code.RANGE)
    scaled = Decimal(int(whole_part + part)).scaleb(8 - len(part))
    signed = -scaled if sign else scaled
    return int(signed.to_integral_value(rounding=rounding))


def ms_to_ns(ms: int) -> int:
    if ms > INT64_MAX // NS_PER_MS:
        raise Refused(Code.RANGE)
    return ms * NS_PER_MS


def boolean(value: object) -> int:
    if not isinstance(value, bool):
        raise Refused(Code.MALFORMED)
    return int(value)


def id_number(name: str) -> int:
    if name == "":
        return -1
    if WHOLE.match(name) and int(name) < 2**62:
        return int(name)
    return hash64(name.encode()) >> 2


def status_of(code: int) -> int:
    if code == 0:
        return 200
    if code in (10006, 10018, 10403, 10429, 20003, 170222):
        return 429
    return 500 if code in (10000, 10016) else 400


def side(value: object) -> Side:
    if text(value) not in ("Buy", "Sell"):
        raise Refused(Code.MALFORMED)
    return Side.BUY if value == "Buy" else Side.SELL


def ident(value: object) -> int:
    found = id_number(text(value))
    if found < 0:
        raise Refused(Code.MALFORMED)
    return found


class BybitDecoder:
    def __init__(
        self, symbol: str, tick: str, lot: str, client_prefix: str = "",
        category: str = "linear", base_asset: str = "", quote_asset: str = "",
    ) -> None:  # fmt: skip
        self.symbol, self.tick, self.lot, self.prefix = symbol, tick, lot, client_prefix
        self.category, self.base, self.quote = category, base_asset, quote_asset

    def decode_all_bytes(self, buf: bytes) -> tuple[int, list[Fields]]:
        try:
            kind, events = self._decode(load(buf))
        except Refused as refused:
            return refused.code, []
        return kind, events if events else [{}]

    def decode_bytes(self, buf: bytes) -> tuple[int, Fields]:
        kind, events = self.decode_all_bytes(buf)
        return kind, events[0] if events else {}

    def _decode(self, m: Fields) -> tuple[int, list[Fields]]:
        if "topic" in m:
            return self._topic(m, text(m["topic"]))
        if "op" not in m:
            raise Refused(Code.UNKNOWN)
        op = text(m["op"])
        if op in OPS:
            return EventKind.REPLY, [self._reply(m, OPS[op])]
        if op.removesuffix("-batch") in OPS:
            return EventKind.REPLY, self._batch(m, OPS[op.removesuffix("-batch")])
        if op in ("auth", "subscribe", "unsubscribe"):
            return EventKind.SESSION, [self._session(m)]
        if op in ("ping", "pong"):
            return EventKind.IGNORED, []
        raise Refused(Code.UNKNOWN)

    def _topic(self, m: Fields, topic: str) -> tuple[int, list[Fields]]:
        word = topic.split(".")[0]
        depth = re.match(r"orderbook\.([0-9]+)\.", topic, re.ASCII)
        if depth:
            return self._book(m, depth[1] == "1")
        if word == "publicTrade":
            return self._items(m, EventKind.TRADE, self._trade)
        if word == "execution":
            return self._items(m, EventKind.ORDER, self._execution)
        if word == "order":
            return self._items(m, EventKind.ORDER, self._order)
        if word == "position":
            return self._items(m, EventKind.ACCOUNT, self._position, ACCOUNTS_MAX)
        if topic == "wallet":
            return self._wallet(m) if self.quote else (EventKind.IGNORED, [])
        if topic.startswith(IGNORED):
            return EventKind.IGNORED, []
        raise Refused(Code.UNKNOWN)

    # -- Books ---

    def _levels(self, levels: object) -> list[tuple[int, int]]:
        if not isinstance(levels, list) or not all(
            isinstance(level, list) and len(level) == 2 for level in levels
        ):
            raise Refused(Code.MALFORMED)
        codes, read = set(), []
        for level in levels:
            numbers = []
            for value, tick in zip(level, (self.tick, self.lot), strict=True):
                try:
                    numbers.append(units(value, tick))
                except Refused as refused:
                    codes.add(refused.code)
            read.append(tuple(numbers))
        if Code.MALFORMED in codes:
            raise Refused(Code.MALFORMED)
        if len(levels) > LEVELS_MAX:
            raise Refused(Code.FULL)
        if codes:
            raise Refused(Code.RANGE)
        return read

    def _book(self, m: Fields, is_best: bool) -> tuple[int, list[Fields]]:
        book = m["data"] if isinstance(m.get("data"), dict) else {}
        if text(book.get("s")) != self.symbol:
            raise Refused(Code.OTHER_SYMBOL)
        if text(m.get("type")) not in ("snapshot", "delta"):
            raise Refused(Code.MALFORMED)
        is_delta = m["type"] == "delta"
        u = whole(book.get("u"))
        seq = whole(book["seq"]) if "seq" in book else 0
        exch_ts_ns = ms_to_ns(whole(m["cts"] if "cts" in m else m.get("ts")))
        bids, asks = self._levels(book.get("b")), self._levels(book.get("a"))
        if is_best:
            if is_delta or len(bids) > 1 or len(asks) > 1:
                raise Refused(Code.MALFORMED)
            (bid_px, bid_qty), (ask_px, ask_qty) = (*bids, (0, 0))[0], (*asks, (0, 0))[0]
            return EventKind.BEST, [{
                "update_id": seq, "exch_ts_ns": exch_ts_ns, "bid_px_ticks": bid_px,
                "bid_qty_lots": bid_qty, "ask_px_ticks": ask_px, "ask_qty_lots": ask_qty,
            }]  # fmt: skip
        return EventKind.DEPTH if is_delta and u != 1 else EventKind.SNAPSHOT, [{
            "first_update_id": u, "final_update_id": u, "prev_final_update_id": -1,
            "cross_seq": seq, "exch_ts_ns": exch_ts_ns, "bids": bids, "asks": asks,
        }]  # fmt: skip

    # -- Arrays ---

    def _items(
        self, m: Fields, kind: EventKind, read: Callable[[Fields], Fields], room: int = ITEMS_MAX
    ) -> tuple[int, list[Fields]]:
        if not isinstance(m.get("data"), list):
            raise Refused(Code.MALFORMED)
        events, is_other, is_useless = [], False, False
        for item in m["data"]:
            if not isinstance(item, dict):
                raise Refused(Code.MALFORMED)
            if len(events) == room:
                raise Refused(Code.FULL)
            try:
                events.append(read(item))
            except Useless:
                is_useless = True
            except Refused as refused:
                if refused.code != Code.OTHER_SYMBOL:
                    raise
                is_other = True
        if events:
            return kind, events
        if is_other and not is_useless:
            raise Refused(Code.OTHER_SYMBOL)
        return EventKind.IGNORED, []

    def _check_ours(self, item: Fields) -> None:
        symbol, category = text(item.get("symbol")), text(item.get("category"))
        if (symbol, category) != (self.symbol, self.category):
            raise Refused(Code.OTHER_SYMBOL)

    def _ms(self, value: object) -> int:
        return ms_to_ns(whole(Number(text(value))))

    def _intent(self, item: Fields) -> int:
        link = text(item.get("orderLinkId"))
        if self.prefix and re.fullmatch(re.escape(self.prefix) + "[0-9a-f]{12}", link):
            return int(link[-12:], 16)
        if self.prefix and re.fullmatch("tm[0-9a-f]{8}-[0-9a-f]{2}-[0-9a-f]{12}", link):
            return -2
        return -1

    def _px_or_zero(self, item: Fields, name: str) -> int:
        return units(item[name], self.tick) if item.get(name, "") != "" else 0

    def _trade(self, item: Fields) -> Fields:
        if text(item.get("s")) != self.symbol:
            raise Refused(Code.OTHER_SYMBOL)
        return {
            "exch_ts_ns": ms_to_ns(whole(item.get("T"))),
            "aggressor": side(item.get("S")),
            "px_ticks": units(item.get("p"), self.tick),
            "qty_lots": units(item.get("v"), self.lot),
            "trade_id": ident(item.get("i")),
            "is_market": int(not boolean(item.get("BT", False))),
        }

    def _order(self, item: Fields) -> Fields:
        self._check_ours(item)
        fields = {
            "intent_id": self._intent(item), "venue_order_id": ident(item.get("orderId")),
            "side": side(item.get("side")), "trade_id": -1, "is_maker": 0, "last_px_ticks": 0,
            "last_qty_lots": 0, "fee_e8": 0, "fee_asset": FeeAsset.QUOTE,
        }  # fmt: skip
        status, reason = text(item.get("orderStatus")), text(item.get("rejectReason"))
        if status in LIVE:
            fields |= {"status": LIVE[status], "exec_type": ExecType.STATUS}
        elif status in ("Cancelled", "Rejected") and reason in EXPIRING:
            fields |= {"status": OrderState.EXPIRED, "exec_type": ExecType.EXPIRED}
        elif status in DEAD:
            fields |= {"status": DEAD[status], "exec_type": ExecType[DEAD[status].name]}
        else:
            raise Refused(Code.UNKNOWN)
        return fields | {
            "px_ticks": self._px_or_zero(item, "price"),
            "qty_lots": units(item.get("qty"), self.lot),
            "cum_qty_lots": units(item.get("cumExecQty"), self.lot),
            "exch_ts_ns": self._ms(item.get("updatedTime")),
        }

    def _executed(self, item: Fields) -> Fields:
        if not {"orderQty", "leavesQty"} & set(item):
            return {"qty_lots": 0, "cum_qty_lots": 0, "status": OrderState.PARTIALLY_FILLED}
        qty, leaves = (units(item.get(name), self.lot) for name in ("orderQty", "leavesQty"))
        if leaves > qty:
            raise Refused(Code.MALFORMED)
        status = OrderState.PARTIALLY_FILLED if leaves else OrderState.FILLED
        return {"qty_lots": qty, "cum_qty_lots": qty - leaves, "status": status}

    def _fee(self, item: Fields) -> Fields:
        if "execFee" not in item:
            return {"fee_e8": 0, "fee_asset": FeeAsset.QUOTE}
        asset = text(item.get("feeCurrency", ""))
        if asset == "":
            found = FeeAsset.QUOTE if self.category == "linear" else FeeAsset.OTHER
        elif asset == self.quote:
            found = FeeAsset.QUOTE
        else:
            found = FeeAsset.BASE if asset == self.base else FeeAsset.OTHER
        return {"fee_e8": e8(item["execFee"], ROUND_CEILING), "fee_asset": found}

    def _execution(self, item: Fields) -> Fields:
        self._check_ours(item)
        what = text(item.get("execType", "Trade"))
        if what == "Funding":
            raise Useless
        if what != "Trade" and what not in BY_THE_VENUE:
            raise Refused(Code.UNKNOWN)
        return {
            "exec_type": ExecType.TRADE if what == "Trade" else ExecType.CALCULATED,
            "intent_id": self._intent(item),
            "venue_order_id": ident(item.get("orderId")),
            "trade_id": ident(item.get("execId")),
            "side": side(item.get("side")),
            "is_maker": boolean(item.get("isMaker", False)),
            "px_ticks": self._px_or_zero(item, "orderPrice"),
            **self._executed(item),
            "last_px_ticks": units(item.get("execPrice"), self.tick),
            "last_qty_lots": units(item.get("execQty"), self.lot),
            **self._fee(item),
            "exch_ts_ns": self._ms(item.get("execTime")),
        }

    # -- Account ---

    def _position(self, item: Fields) -> Fields:
        self._check_ours(item)
        if whole(item.get("positionIdx")) != 0:
            raise Refused(Code.UNSUPPORTED)
        held = text(item.get("side"))
        size = units(item.get("size"), self.lot)
        exch_ts_ns = self._ms(item.get("updatedTime"))
        if held not in ("Buy", "Sell") and (held or size):
            raise Refused(Code.MALFORMED)
        return {
            "exch_ts_ns": exch_ts_ns, "has_position": 1, "has_balance": 0,
            "position_lots": -size if held == "Sell" else size, "balance_e8": 0,
        }  # fmt: skip

    def _wallet(self, m: Fields) -> tuple[int, list[Fields]]:
        if not isinstance(m.get("data"), list):
            raise Refused(Code.MALFORMED)
        events: list[Fields] = []
        for account in m["data"]:
            if not isinstance(account, dict):
                raise Refused(Code.MALFORMED)
            ms = whole(m.get("creationTime"))
            if not isinstance(account.get("coin"), list):
                raise Refused(Code.MALFORMED)
            for coin in account["coin"]:
                if not isinstance(coin, dict):
                    raise Refused(Code.MALFORMED)
                if len(events) == ACCOUNTS_MAX:
                    raise Refused(Code.FULL)
                if text(coin.get("coin")) == self.quote:
                    events.append({
                        "has_position": 0, "has_balance": 1, "position_lots": 0,
                        "balance_e8": e8(coin.get("walletBalance"), ROUND_FLOOR),
                        "exch_ts_ns": ms_to_ns(ms),
                    })  # fmt: skip
        if m["data"] and not events:
            raise Refused(Code.OTHER_SYMBOL)
        return (EventKind.ACCOUNT, events) if events else (EventKind.IGNORED, [])

    # -- Replies ---

    def _code(self, value: object) -> int:
        code = whole(value)
        if code > 999_999:
            raise Refused(Code.RANGE)
        return code

    def _session(self, m: Fields) -> Fields:
        if not {"success", "retCode"} & set(m):
            raise Refused(Code.MALFORMED)
        code = self._code(m["retCode"]) if "retCode" in m else 0
        status = status_of(code)
        if not boolean(m.get("success", True)) and status == 200:
            status = 400
        return EMPTY_REPLY | {"status": status, "error_code": code}

    def _reply(self, m: Fields, verb: Verb) -> Fields:
        reply = dict(EMPTY_REPLY)
        reply["error_code"] = self._code(m.get("retCode"))
        data = m["data"] if isinstance(m.get("data"), dict) else {}
        if "orderId" in data:
            reply["venue_order_id"] = id_number(text(data["orderId"]))
        reply["status"] = status_of(reply["error_code"])
        if reply["status"] == 200:
            reply["order_status"] = PENDING.get(verb, OrderState.FREE)
        request_id = m.get("reqId")
        if isinstance(request_id, str) and not isinstance(request_id, Number):
            ours = re.fullmatch(r"([1-7])([0-9a-f]{12})(-[0-9a-f]{12})?", request_id)
            if ours:
                reply |= {"verb": int(ours[1]), "intent_id": int(ours[2], 16)}
        return reply

    def _batch(self, m: Fields, verb: Verb) -> list[Fields]:
        whole_reply = self._reply(m, Verb.BATCH)
        data = m["data"] if isinstance(m.get("data"), dict) else {}
        ext = m["retExtInfo"] if isinstance(m.get("retExtInfo"), dict) else {}
        if "list" not in data and "list" not in ext:
            if whole_reply["error_code"] == 0:
                raise Refused(Code.MALFORMED)
            return [whole_reply]
        orders, codes = data.get("list"), ext.get("list")
        if not isinstance(orders, list) or not isinstance(codes, list):
            raise Refused(Code.MALFORMED)
        replies = []
        for index, order in enumerate(orders):
            if not isinstance(order, dict):
                raise Refused(Code.MALFORMED)
            if index == REPLIES_MAX:
                raise Refused(Code.FULL)
            intent_id = self._intent(order)
            venue_order_id = id_number(text(order.get("orderId")))
            if index >= len(codes) or not isinstance(codes[index], dict):
                raise Refused(Code.MALFORMED)
            code = self._code(codes[index].get("code"))
            replies.append(EMPTY_REPLY | {
                "intent_id": intent_id, "venue_order_id": venue_order_id, "verb": verb,
                "error_code": code, "status": status_of(code),
                "order_status": PENDING[verb] if code == 0 else OrderState.FREE,
            })  # fmt: skip
        if len(codes) != len(orders):
            raise Refused(Code.MALFORMED)
        return replies or [whole_reply]


def sign(secret: bytes, signed: bytes) -> str:
    """Signature of a REST request (time, key, window and query or body) or of an auth."""
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()
