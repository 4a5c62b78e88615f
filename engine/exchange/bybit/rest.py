"""REST of Bybit v5: routes, signatures, limits, envelope. Sans-IO.

Everything that the venue has an opinion on comes with HTTP status 200 and its own retCode; other
statuses are for what never reached it: no such path (404), no key at all (401), too many requests
of an address (403).
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.auth import account_of, may, signer_of
from engine.exchange.bybit.dcp import DeadMan
from engine.exchange.bybit.errors import OK, OK_TEXT, VenueError
from engine.exchange.bybit.limits import Limits, Quota
from engine.exchange.bybit.orders import OrderEntry
from engine.exchange.bybit.params import parse_body, parse_query
from engine.exchange.bybit.public import PublicStreams
from engine.exchange.bybit.rest_account import AccountRest
from engine.exchange.bybit.rest_keys import KeyRest
from engine.exchange.bybit.rest_market import MarketRest, RawJson
from engine.exchange.bybit.venue import CATEGORIES, Venue
from engine.exchange.bybit.wire import dumps
from engine.exchange.face import HttpAnswer, HttpRequest
from engine.exchange.instruments import Kind
from engine.exchange.keys import Key

JSON_TYPE = ("Content-Type", "application/json; charset=utf-8")
SUCCESS_WORDS = {  # where it isn't "OK"
    "/v5/order/disconnected-cancel-all": "success",
    "/v5/account/query-dcp-info": "success",
    "/v5/account/set-margin-mode": "Request accepted",  # unverified
    "/v5/user/query-api": "",
    "/v5/user/delete-api": "",
    "/v5/user/delete-sub-api": "",
    "/v5/user/update-api": "",
    "/v5/user/update-sub-api": "",
    "/v5/asset/coin/query-info": "",
}
BATCHES = {f"/v5/order/{verb}-batch": verb for verb in ("create", "amend", "cancel")}
BANNED_TEXT = "access too frequent, please try again in 10 minutes"

Values = Mapping[str, Any]
Route = tuple[str, str]


class Rest:
    def __init__(
        self,
        venue: Venue,
        public: PublicStreams,
        orders: OrderEntry,
        dead_man: DeadMan,
        limits: Limits,
    ) -> None:
        self._venue = venue
        self._limits = limits
        self._orders = orders
        market, keys = MarketRest(venue, public), KeyRest(venue, dead_man)
        account = AccountRest(venue, orders, dead_man)
        self._public: dict[Route, Callable[[Mapping[str, str]], Any]] = {
            ("GET", "/v5/market/time"): market.time,
            ("GET", "/v5/market/instruments-info"): market.instruments,
            ("GET", "/v5/market/orderbook"): market.orderbook,
            ("GET", "/v5/market/tickers"): market.tickers,
            ("GET", "/v5/market/recent-trade"): market.trades,
            ("GET", "/v5/market/kline"): market.klines,
            ("GET", "/v5/market/funding/history"): market.funding_history,
        }
        self._reads: dict[Route, Callable[[int, Values], Any]] = {
            ("GET", "/v5/order/realtime"): account.realtime,
            ("GET", "/v5/order/history"): account.order_history,
            ("GET", "/v5/execution/list"): account.executions,
            ("GET", "/v5/position/list"): account.positions,
            ("GET", "/v5/account/wallet-balance"): account.wallet,
            ("GET", "/v5/account/info"): account.info,
            ("GET", "/v5/account/fee-rate"): account.fees,
            ("GET", "/v5/account/query-dcp-info"): account.dcp_info,
            ("GET", "/v5/asset/coin/query-info"): account.coins,
        }
        self._trades: dict[Route, Callable[[int, Values], Any]] = {
            ("POST", "/v5/order/create"): orders.create,
            ("POST", "/v5/order/amend"): orders.amend,
            ("POST", "/v5/order/cancel"): orders.cancel,
            ("POST", "/v5/order/cancel-all"): orders.cancel_all,
        }
        self._keyed: dict[Route, Callable[[Key, Values], Any]] = {
            ("POST", "/v5/position/set-leverage"): keys.set_leverage,
            ("POST", "/v5/position/switch-mode"): keys.switch_mode,
            ("POST", "/v5/account/set-margin-mode"): keys.set_margin_mode,
            ("POST", "/v5/order/disconnected-cancel-all"): keys.set_dcp,
            ("GET", "/v5/user/query-api"): keys.query_api,
            ("POST", "/v5/user/delete-api"): keys.delete_api,
            ("POST", "/v5/user/delete-sub-api"): keys.delete_sub_api,
            ("POST", "/v5/user/update-api"): keys.update_api,
            ("POST", "/v5/user/update-sub-api"): keys.update_sub_api,
        }
        self._known = {*self._reads, *self._trades, *self._keyed}
        self._count = 0

    def routes(self) -> list[Route]:
        """All that is answered, for the documents."""
        batches = [("POST", path) for path in BATCHES]
        return [*self._public, *self._reads, *self._trades, *self._keyed, *batches]

    def answer(self, request: HttpRequest) -> HttpAnswer:
        if self._limits.is_banned(request.ip, self._venue.now_ns):
            return self.banned(request.request)
        route = (request.method, request.path)
        quota: list[Quota] = []
        ext: Any = {}
        try:
            if route in self._public:
                result = self._public[route](parse_query(request.query))
            else:
                result, ext = self._signed(route, request, quota)
        except VenueError as error:
            return self.failure(request.request, error, quota)
        text = SUCCESS_WORDS.get(request.path, OK_TEXT)
        return self._envelope(request.request, OK, text, result, ext, quota)

    # -- SIGNED ---

    def _signed(self, route: Route, request: HttpRequest, quota: list[Quota]) -> tuple[Any, Any]:
        """(result, retExtInfo); the rate limit's state goes into `quota`."""
        path = request.path
        is_batch = request.method == "POST" and path in BATCHES
        if not is_batch and route not in self._known:
            raise VenueError(10017, "Route not found.", status=404)
        key = signer_of(self._venue, request)
        is_get = request.method == "GET"
        values = parse_query(request.query) if is_get else parse_body(request.body)
        category = values.get("category")
        kind = CATEGORIES.get(category) if isinstance(category, str) else None
        if is_batch:
            may(key, "trade")
            account = account_of(key)
            charge = self._charger(account, path, kind, quota)
            return self._orders.batch(BATCHES[path], account, values, charge)
        if not self._charger(key.account, path, kind, quota)():
            raise VenueError(10006)
        if route in self._keyed:
            return self._keyed[route](key, values), {}
        if route in self._trades:
            may(key, "trade")
            return self._trades[route](account_of(key), values), {}
        may(key, "read")
        return self._reads[route](account_of(key), values), {}

    def _charger(
        self, account: int, path: str, kind: Kind | None, quota: list[Quota]
    ) -> Callable[[], bool]:
        def charge() -> bool:
            now_ns, now_ms = self._venue.now_ns, self._venue.now_ms
            is_allowed, told = self._limits.charge(account, path, kind, now_ns, now_ms)
            if told is not None:
                quota[:] = [told]
            return is_allowed

        return charge

    # -- ANSWERS ---

    def failure(
        self, request: int, error: VenueError, quota: list[Quota] | None = None
    ) -> HttpAnswer:
        return self._envelope(request, error.code, error.text, {}, {}, quota or [], error.status)

    def banned(self, request: int) -> HttpAnswer:
        return HttpAnswer(request, 403, BANNED_TEXT, (("Content-Type", "text/plain"),))

    def _envelope(
        self,
        request: int,
        code: int,
        text: str,
        result: Any,
        ext: Any,
        quota: list[Quota],
        status: int = 200,
    ) -> HttpAnswer:
        self._count += 1
        now_ms = self._venue.now_ms
        if result is None:
            body = dumps({"retCode": code, "retMsg": text})  # of disconnected-cancel-all
        else:
            inner = result if isinstance(result, RawJson) else dumps(result)
            body = (
                f'{{"retCode":{code},"retMsg":{dumps(text)},"result":{inner},'
                f'"retExtInfo":{dumps(ext)},"time":{now_ms}}}'
            )
        headers = [JSON_TYPE, ("Traceid", texts.trace_id(self._count)), ("Timenow", str(now_ms))]
        for told in quota:
            headers += told.headers().items()
        return HttpAnswer(request, status, body, tuple(headers))
