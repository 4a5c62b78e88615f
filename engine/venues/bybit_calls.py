"""Calls of Bybit v5's REST: their limits and urgencies, and answers that hold next to nothing.

How the venue's limits are kept: engine/venues/bybit.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from engine.venues import bybit_rows as rows
from engine.venues import bybit_sign as wire
from engine.venues.base import Call, Instrument, Limit, OrderRow, Setting, Urgency

T = TypeVar("T")

WEIGHT_PER_MIN = 6_000
# Of an account and category (rows.ORDERS_PER_S_MAX), each of them apart.
ORDER_PATHS = frozenset({
    "/v5/order/create", "/v5/order/cancel", "/v5/order/cancel-all", "/v5/order/cancel-batch",
})  # fmt: skip
RATES_PER_S = {  # of an account, lowest tier; paths that are missing have none
    "/v5/order/disconnected-cancel-all": 5,
    "/v5/order/realtime": 50, "/v5/order/history": 50, "/v5/execution/list": 50,
    "/v5/position/list": 50, "/v5/position/set-leverage": 10, "/v5/position/switch-mode": 10,
    "/v5/account/wallet-balance": 50, "/v5/account/info": 50, "/v5/account/fee-rate": 5,
    "/v5/account/set-margin-mode": 5,  # unverified
    "/v5/user/query-api": 10,
}  # fmt: skip
PRODUCTS = {"linear": "DERIVATIVES", "spot": "SPOT"}
CODES_UNCHANGED = frozenset({110025, 110026, 110043})  # mode, margin mode, leverage not modified


# -- INSTRUMENTS ---


def category_of(instrument: Instrument) -> str:
    category = instrument.venue.removeprefix("bybit_")
    if category not in PRODUCTS:
        raise ValueError(f"{instrument.symbol} is of {instrument.venue}, not of Bybit")
    return category


def one_category(instruments: Sequence[Instrument]) -> str:
    categories = {category_of(instrument) for instrument in instruments}
    if len(categories) != 1:
        raise ValueError("Expected instruments of one category: linear or spot")
    return categories.pop()


def named(instrument: Instrument) -> dict[str, str]:
    return {"category": category_of(instrument), "symbol": instrument.symbol}


# -- CALLS ---


def limit_of(path: str, params: Mapping[str, str], count: int = 1) -> Limit | None:
    """None: the account has none of this kind. Categories have theirs apart, of orders alone."""
    if path in ORDER_PATHS:
        category = params["category"]
        return Limit(f"{path} {category}", rows.ORDERS_PER_S_MAX[category], count)
    per_s = RATES_PER_S.get(path)
    return None if per_s is None else Limit(path, per_s, count)


def public(path: str, params: Mapping[str, str], read: Callable[[Any], T]) -> Call[T]:
    return Call("GET", path, read, params)


def signed(
    method: str,
    path: str,
    params: Mapping[str, str],
    read: Callable[[Any], T],
    urgency: Urgency = Urgency.NORMAL,
) -> Call[T]:
    return Call(
        method, path, read, params, is_signed=True, urgency=urgency,
        limit=limit_of(path, params),
    )  # fmt: skip


def safety(path: str, params: Mapping[str, str], read: Callable[[Any], T]) -> Call[T]:
    return signed("GET", path, params, read, Urgency.SAFETY)


def order_call(
    path: str,
    params: Mapping[str, str],
    read: Callable[[Any], None],
    urgency: Urgency,
    *,
    count: int = 1,
    may_repeat: bool = True,
) -> Call[None]:
    return Call(
        "POST", path, read, params, is_signed=True, urgency=urgency, may_repeat=may_repeat,
        limit=limit_of(path, params, count),
    )  # fmt: skip


def one_order(path: str, instrument: Instrument, name: str, value: str) -> Call[OrderRow | None]:
    """One order by an id."""
    if not value:
        raise ValueError(f"{name} must not be empty")

    def read(body: Any) -> OrderRow | None:
        found = _of_instrument(body, instrument)
        return rows.order_row(found[0], instrument) if found else None

    return safety(path, {**named(instrument), name: value}, read)


def orders_of(body: Any, instrument: Instrument) -> list[OrderRow]:
    """Of a list of open ones."""
    return [rows.open_row(row, instrument) for row in _of_instrument(body, instrument)]


def _of_instrument(body: Any, instrument: Instrument) -> list[Mapping[str, Any]]:
    """A row that names no symbol may be ours: it must not be passed over."""
    return [row for row in rows.rows_of(body) if rows.text_of(row, "symbol") == instrument.symbol]


def setting(what: str, path: str, params: Mapping[str, str]) -> Setting:
    call = signed("POST", path, params, nothing, Urgency.NORMAL)
    return Setting(what, call, lambda failure: failure.code in CODES_UNCHANGED)


# -- ANSWERS ---


def products(instruments: Iterable[Instrument]) -> list[str]:
    """The lines of products that they are of, by the names of disconnection protection."""
    return sorted({PRODUCTS[category_of(instrument)] for instrument in instruments})


def dcp_windows(body: Any) -> set[tuple[str, int]]:
    """(product, seconds) of what is set and on."""
    rows_told = rows.result_of(body).get("dcpInfos")
    if not isinstance(rows_told, list):
        raise ValueError("Expected result.dcpInfos to be a list")
    return {
        (rows.text_of(row, "product"), rows.whole_of(row, "timeWindow"))
        for row in rows_told if rows.text_of(row, "dcpStatus") == "ON"
    }  # fmt: skip


def nothing(body: Any) -> None:
    """That it was a success says it all (set DCP's has no result even)."""


def time_ns(body: Any) -> int:
    return rows.whole_of(rows.result_of(body), "timeNano")


def placed(body: Any) -> None:
    if not rows.text_of(rows.result_of(body), "orderId"):
        raise ValueError("Expected the id of the order placed")


def all_canceled(body: Any) -> None:
    if rows.result_of(body).get("success", "1") != "1":
        raise ValueError("cancel-all did not succeed")


def canceled_all(body: Any) -> None:
    """Each order of a batch has its own code; one that is gone needs no cancel, and one that was
    over the limit is asked for again by whoever sees it open: the others are done."""
    ext = body.get("retExtInfo") if isinstance(body, dict) else None
    told = ext.get("list") if isinstance(ext, dict) else None
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise ValueError("Expected the codes of the batch's orders")
    for one in told:
        if one.get("code") not in (0, *wire.CODES_ABSENT, *wire.CODES_THROTTLED):
            raise ValueError(f"cancel-batch: {one.get('code')} {one.get('msg')}")
