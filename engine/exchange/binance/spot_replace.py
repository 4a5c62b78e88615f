"""order.cancelReplace of Binance Spot: a cancel and a new order in one request.

What became of each half decides the answer: both 200; one -2021 with 409; none -2022 with 400,
whether the new order failed or was not attempted.
"""

from typing import NamedTuple

from engine.exchange.binance.calls import Call
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.params import mandatory
from engine.exchange.binance.spot_errors import REJECT_REASON, SpotError
from engine.exchange.binance.spot_orders import Desk, SpotOrders
from engine.exchange.binance.spot_params import NewOrder, client_id, order_ids
from engine.exchange.binance.spot_symbols import SpotSymbol
from engine.exchange.binance.spot_user import Rejection

SUCCESS, FAILURE, NOT_ATTEMPTED = "SUCCESS", "FAILURE", "NOT_ATTEMPTED"
PARTLY, NOTHING = -2021, -2022


class Wish(NamedTuple):
    """What is to be cancelled, and under which id."""

    symbol: SpotSymbol
    ids: tuple[int, str]
    cancel_id: str


class CancelReplace:
    def __init__(self, face: Desk, orders: SpotOrders) -> None:
        self._face = face
        self._orders = orders

    def handle(self, call: Call) -> str:
        """The venue looks at filters and order count before it cancels: a new order that breaks
        one fails the whole request, and nothing is cancelled."""
        params, limits = call.params, self._face.limits
        symbol = self._face.symbol(params)
        mode = mandatory(params, "cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise SpotError(-1130, "cancelReplaceMode")
        ids = order_ids(params, "cancelOrderId", "cancelOrigClientOrderId")
        wish = Wish(symbol, ids, client_id(params, "cancelNewClientOrderId"))
        new = self._orders.parsed(call, symbol)
        try:
            limits.charge_orders(call.account, 1, call.t_ns)
        except VenueError as error:
            raise self._over_limit(wish, call, error) from None
        cancelled, cancel_json = self._cancel(wish, call)
        if cancelled == FAILURE and mode == "STOP_ON_FAILURE":
            raise _partly(FAILURE, NOT_ATTEMPTED, cancel_json, "null")
        placed, new_json = self._place(new, call, is_told=cancelled == SUCCESS)
        if placed == FAILURE:
            limits.give_back(call.account, 1, call.t_ns)
        if cancelled == SUCCESS and placed == SUCCESS:
            return _both_json(SUCCESS, SUCCESS, cancel_json, new_json)
        raise _partly(cancelled, placed, cancel_json, new_json)

    def _over_limit(self, wish: Wish, call: Call, error: VenueError) -> VenueError:
        """Beyond the order count nothing is done, or only the cancellation if asked so."""
        mode = call.params.get("orderRateLimitExceededMode") or "DO_NOTHING"
        if mode not in ("DO_NOTHING", "CANCEL_ONLY"):
            return SpotError(-1130, "orderRateLimitExceededMode")
        if mode == "DO_NOTHING":
            return error
        cancelled, cancel_json = self._cancel(wish, call)
        if cancelled == SUCCESS:
            return _partly(SUCCESS, FAILURE, cancel_json, error.json())
        data = _both_json(FAILURE, FAILURE, cancel_json, error.json())
        return SpotError(NOTHING, status=429, data=data)

    def _cancel(self, wish: Wish, call: Call) -> tuple[str, str]:
        """Result and its JSON."""
        try:
            return SUCCESS, self._orders.cancel_one(*wish, call)
        except VenueError as error:
            return FAILURE, error.json()

    def _place(self, new: NewOrder, call: Call, is_told: bool) -> tuple[str, str]:
        """Result and its JSON; `is_told`: the user stream hears of a refusal as well."""
        try:
            return SUCCESS, self._orders.place_checked(new, call)
        except VenueError as error:
            reason = REJECT_REASON.get(error.text)
            if reason is not None and is_told:
                place = self._orders.named(new.place)
                self._face.users.rejections.append(Rejection(place, reason))
            return FAILURE, error.json()


def _partly(cancelled: str, placed: str, cancel_json: str, new_json: str) -> SpotError:
    is_half = SUCCESS in (cancelled, placed)
    data = _both_json(cancelled, placed, cancel_json, new_json)
    return SpotError(PARTLY if is_half else NOTHING, status=409 if is_half else 400, data=data)


def _both_json(cancelled: str, placed: str, cancel_json: str, new_json: str) -> str:
    return (
        f'{{"cancelResult":"{cancelled}","newOrderResult":"{placed}",'
        f'"cancelResponse":{cancel_json},"newOrderResponse":{new_json}}}'
    )
