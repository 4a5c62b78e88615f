"""Binance USD-M, the request side: REST and WebSocket API calls to core commands and answers.

Sans-IO. A request goes in as the client sent it, an Answer comes out with the venue's JSON and
with what the core did, for the streams. Public streams: streams.py; JSON: binance_frames.py.
Private frames follow the venue's order: TRADE_LITE, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from engine.exchange import binance_frames as frames
from engine.exchange.accounts import FEE_SCALE, Account
from engine.exchange.binance_errors import REFUSAL_CODE, VenueError
from engine.exchange.binance_params import (
    Authenticator,
    Params,
    cancel_of,
    integer,
    mandatory,
    modify_of,
    order_ids_of,
    parse_query,
    place_of,
    without_signature,
)
from engine.exchange.core import Core
from engine.exchange.events import (
    Accepted,
    AccountUpdate,
    CancelAll,
    Command,
    Exec,
    ListenKey,
    ListenKeyExpired,
    ListenKeyVerb,
    Order,
    OrderUpdate,
    Output,
    Refused,
)
from engine.exchange.instruments import Instrument

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
TRADES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RestRequest:
    """`query` and `body` raw, as they were signed."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    api_key: str = ""


@dataclass(slots=True)
class Answer:
    status: int
    body: str
    outputs: list[Output] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request on its way through a handler."""

    params: Params
    account: Account
    now_ns: int


Handler = Callable[[Call, list[Output]], str]


class BinanceUsdm:
    """Translates for one Core."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._auth = Authenticator(core.accounts, core.keys)
        self._nobody = core.accounts[0]  # stands in public calls, which never look at it
        v1, v3 = "/fapi/v1/", "/fapi/v3/"
        self._public: dict[tuple[str, str], Handler] = {
            ("GET", v1 + "ping"): lambda call, out: "{}",
            ("GET", v1 + "time"): self._time,
            ("GET", v1 + "exchangeInfo"): self._exchange_info,
            ("GET", v1 + "depth"): self._depth,
        }
        self._keyed: dict[tuple[str, str], Handler] = {
            ("POST", v1 + "listenKey"): self._listen_key_start,
            ("PUT", v1 + "listenKey"): self._listen_key_keep_alive,
            ("DELETE", v1 + "listenKey"): self._listen_key_close,
        }
        self._signed: dict[tuple[str, str], Handler] = {
            ("POST", v1 + "order"): self._place,
            ("PUT", v1 + "order"): self._modify,
            ("DELETE", v1 + "order"): self._cancel,
            ("GET", v1 + "order"): self._status,
            ("GET", v1 + "openOrders"): self._open_orders,
            ("DELETE", v1 + "allOpenOrders"): self._cancel_all,
            ("GET", v1 + "userTrades"): self._user_trades,
            ("GET", v1 + "commissionRate"): self._commission_rate,
            ("GET", v3 + "account"): self._account,
            ("GET", v3 + "positionRisk"): self._position_risk,
        }
        self._methods: dict[str, Handler] = {
            "order.place": self._place,
            "order.modify": self._modify,
            "order.cancel": self._cancel,
            "order.status": self._status,
            "account.status": self._account,
            "v2/account.status": self._account,
            "account.position": self._position_risk,
            "v2/account.position": self._position_risk,
        }

    # -- FACES ---

    def rest(self, request: RestRequest, now_ns: int) -> Answer:
        """Any request at all; the answer is always the venue's."""
        outputs: list[Output] = []
        try:
            return Answer(200, self._rest(request, outputs, now_ns), outputs)
        except VenueError as error:
            return Answer(error.status, error.json(), outputs)

    def _rest(self, request: RestRequest, outputs: list[Output], now_ns: int) -> str:
        route = (request.method, request.path)
        if handler := self._public.get(route):
            params = parse_query(request.query)
            return handler(Call(params, self._nobody, now_ns), outputs)
        if handler := self._keyed.get(route):
            account = self._auth.account(request.api_key)
            return handler(Call({}, account, now_ns), outputs)
        handler = self._signed.get(route)
        if handler is None:
            raise VenueError(-5000, request.path, request.method)
        params = {**parse_query(request.query), **parse_query(request.body)}
        text = without_signature(request.query) + without_signature(request.body)
        account = self._auth.signed(request.api_key, params, text, now_ns)
        return handler(Call(params, account, now_ns), outputs)

    def ws_api(self, text: str, now_ns: int) -> Answer:
        """One frame of the WebSocket API; `body` is the whole response envelope."""
        outputs: list[Output] = []
        request_id: object = None
        try:
            request = _json_object(text)
            if not isinstance(request.get("id"), str | int | None):
                raise VenueError(-1130, "id")
            request_id = request.get("id")
            status, face = 200, f'"result":{self._ws_api(request, outputs, now_ns)}'
        except VenueError as error:
            status, face = error.status, f'"error":{error.json()}'
        envelope = f'{{"id":{json.dumps(request_id)},"status":{status},{face},"rateLimits":[]}}'
        return Answer(status, envelope, outputs)

    def _ws_api(self, request: dict[str, object], outputs: list[Output], now_ns: int) -> str:
        method = request.get("method")
        if method in ("ping", "time"):
            return "{}" if method == "ping" else f'{{"serverTime":{now_ns // frames.MS}}}'
        if not isinstance(method, str) or method not in self._methods:
            raise VenueError(-1020)
        params = _text_params(request.get("params"))
        pairs = sorted((k, v) for k, v in params.items() if k != "signature")
        signed_text = "&".join(f"{key}={value}" for key, value in pairs)
        account = self._auth.signed(params.get("apiKey", ""), params, signed_text, now_ns)
        return self._methods[method](Call(params, account, now_ns), outputs)

    def private_frames(self, outputs: Iterable[Output], now_ns: int) -> list[tuple[int, str, str]]:
        """(account, event name, frame) of what happened to users, in order."""
        result: list[tuple[int, str, str]] = []
        held: AccountUpdate | None = None  # goes between TRADE_LITE and the order's report
        for output in outputs:
            if isinstance(output, AccountUpdate):
                held = output
            elif isinstance(output, OrderUpdate):
                account = output.order.account
                instrument = self.core.markets[output.order.symbol].instrument
                if output.exec_type is Exec.TRADE:
                    lite = frames.trade_lite_json(instrument, output, now_ns)
                    result.append((account, "TRADE_LITE", lite))
                if held is not None:
                    unrealized_e8 = self.core.unrealized_e8(held.account, held.symbol)
                    text = frames.account_update_json(instrument, held, unrealized_e8, now_ns)
                    result.append((account, "ACCOUNT_UPDATE", text))
                    held = None
                text = frames.order_update_json(instrument, output, now_ns)
                result.append((account, "ORDER_TRADE_UPDATE", text))
            elif isinstance(output, ListenKeyExpired):
                text = frames.listen_key_expired_json(output.listen_key, now_ns)
                result.append((output.account, "listenKeyExpired", text))
        return result

    def account_of_listen_key(self, listen_key: str) -> Account | None:
        for account in self.core.accounts:
            if listen_key and account.listen_key == listen_key:
                return account
        return None

    # -- PUBLIC ---

    def _time(self, call: Call, out: list[Output]) -> str:
        return f'{{"serverTime":{call.now_ns // frames.MS}}}'

    def _exchange_info(self, call: Call, out: list[Output]) -> str:
        instruments = [market.instrument for market in self.core.markets.values()]
        return frames.exchange_info_json(instruments, call.now_ns)

    def _depth(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        limit = integer(call.params, "limit", 500)
        if limit not in DEPTH_LIMITS:
            raise VenueError(-4021)
        snapshot = self.core.markets[instrument.symbol].snapshot(limit)
        return frames.depth_snapshot_json(instrument, snapshot, call.now_ns)

    # -- LISTEN KEYS ---

    def _listen_key_start(self, call: Call, out: list[Output]) -> str:
        return self._listen_key(call, ListenKeyVerb.START, out)

    def _listen_key_keep_alive(self, call: Call, out: list[Output]) -> str:
        return self._listen_key(call, ListenKeyVerb.KEEP_ALIVE, out)

    def _listen_key_close(self, call: Call, out: list[Output]) -> str:
        self._listen_key(call, ListenKeyVerb.CLOSE, out)
        return "{}"

    def _listen_key(self, call: Call, verb: ListenKeyVerb, out: list[Output]) -> str:
        accepted = self._step(ListenKey(call.account.index, verb), call, out)
        return f'{{"listenKey":"{accepted.listen_key}"}}'

    # -- ORDERS ---

    def _place(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        is_ack = call.params.get("newOrderRespType", "ACK") != "RESULT"
        accepted = self._step(place_of(call.params, call.account, instrument), call, out)
        assert accepted.order is not None
        return frames.order_json(instrument, accepted.order, is_ack=is_ack)

    def _modify(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        accepted = self._step(modify_of(call.params, call.account, instrument), call, out)
        assert accepted.order is not None
        return frames.order_json(instrument, accepted.order)

    def _cancel(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        accepted = self._step(cancel_of(call.params, call.account, instrument), call, out)
        assert accepted.order is not None
        return frames.order_json(instrument, accepted.order)

    def _cancel_all(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        self._step(CancelAll(call.account.index, instrument.symbol), call, out)
        return '{"code":200,"msg":"The operation of cancel all open order is done."}'

    def _status(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        ids = order_ids_of(call.params)
        order = self.core.find_order(call.account.index, instrument.symbol, *ids)
        if order is None:
            raise VenueError(-2013)
        return frames.order_json(instrument, order, is_query=True)

    def _open_orders(self, call: Call, out: list[Output]) -> str:
        orders: list[Order] = []
        for instrument in self._instruments(call.params):
            orders += self.core.open_orders(call.account.index, instrument.symbol)
        markets = self.core.markets
        texts = [frames.order_json(markets[o.symbol].instrument, o, is_query=True) for o in orders]
        return f"[{','.join(texts)}]"

    # -- ACCOUNT ---

    def _user_trades(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        limit = min(integer(call.params, "limit", 500), TRADES_MAX)
        order_id = integer(call.params, "orderId", 0)
        fills = [
            fill
            for fill in self.core.truth.fills_of(call.account.index, instrument.symbol)
            if order_id in (0, fill.order_id)
        ]
        texts = [frames.user_trade_json(instrument, fill) for fill in fills[-limit:] if limit]
        return f"[{','.join(texts)}]"

    def _commission_rate(self, call: Call, out: list[Output]) -> str:
        instrument = self._instrument(call.params)
        fees = self.core.fees
        return (
            f'{{"symbol":"{instrument.symbol}",'
            f'"makerCommissionRate":"{_rate_text(fees.maker_ppm)}",'
            f'"takerCommissionRate":"{_rate_text(fees.taker_ppm)}",'
            f'"rpiCommissionRate":"{_rate_text(fees.maker_ppm)}"}}'
        )

    def _account(self, call: Call, out: list[Output]) -> str:
        return frames.account_json(self.core, call.account)

    def _position_risk(self, call: Call, out: list[Output]) -> str:
        texts = [
            frames.position_risk_json(self.core, call.account, instrument.symbol)
            for instrument in self._instruments(call.params)
            if call.account.position(instrument.symbol).lots
            or self.core.open_orders(call.account.index, instrument.symbol)
        ]
        return f"[{','.join(texts)}]"

    # -- INTERNAL ---

    def _step(self, command: Command, call: Call, out: list[Output]) -> Accepted:
        answer, *effects = self.core.step(command, call.now_ns)
        if isinstance(answer, Refused):
            code = REFUSAL_CODE[answer.reason]
            raise VenueError(code, *self._words(code, call.params))
        assert isinstance(answer, Accepted)
        out += effects
        return answer

    def _words(self, code: int, params: Params) -> list[object]:
        return [self._instrument(params).min_notional] if code == -4164 else []

    def _instrument(self, params: Params) -> Instrument:
        market = self.core.markets.get(mandatory(params, "symbol"))
        if market is None:
            raise VenueError(-1121)
        return market.instrument

    def _instruments(self, params: Params) -> list[Instrument]:
        """The one named, or all."""
        if "symbol" in params:
            return [self._instrument(params)]
        return [market.instrument for market in self.core.markets.values()]


def _json_object(text: str) -> dict[str, object]:
    """The request; decimals keep their text, which is what was signed."""
    try:
        value = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        raise VenueError(-1135) from None
    if not isinstance(value, dict):
        raise VenueError(-1135)
    return value


def _text_params(value: object) -> dict[str, str]:
    """JSON parameters as the text that was signed; nested values are refused."""
    if not isinstance(value, dict | None):
        raise VenueError(-1130, "params")
    params: dict[str, str] = {}
    for key, item in (value or {}).items():
        if isinstance(item, bool):
            params[key] = "true" if item else "false"
        elif isinstance(item, str | int):
            params[key] = str(item)
        else:
            raise VenueError(-1102, key)
    return params


def _rate_text(rate_ppm: int) -> str:
    sign = "-" if rate_ppm < 0 else ""
    return f"{sign}{abs(rate_ppm) // FEE_SCALE}.{abs(rate_ppm) % FEE_SCALE:06d}"
