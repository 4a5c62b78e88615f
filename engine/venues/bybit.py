"""Bybit v5, linear and spot of one unified account, one-way positions: its calls and connections.

Budget. An address has 600 requests in 5 s, of which 500 are used (weight_per_min 6,000; each call
weighs 1). Besides, an account has its own limit a second of each kind of call (`Call.limit`). What
comes too fast all the same (several clients of one account) is refused with 10006 and told when it
may come again. A batch counts its orders, on a limit apart from the single call's: what exceeds it
fails, the rest is done. So twice the limit are cancelled by id a second, half of it in batches.
The headers' X-Bapi-Limit-Status is of a kind, not of the address: used_weight() is silent.

Dead-man switch. The window is set over REST; it is armed only while a connection that subscribed
to `dcp.*` lives, so user_plan subscribes where it is wanted. There is no disarming: it fires when
the last such connection is gone for the window and no new one has said a ping, and then ends all
orders of the account's product, strangers' too. The window takes about 10 s to take effect.
Source: bybit-exchange.github.io/docs/v5, pages by the paths of the calls.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from engine.errors import EXIT_USAGE, TickmakerError
from engine.venues import bybit_calls as calls
from engine.venues import bybit_rows as rows
from engine.venues import bybit_sign as wire
from engine.venues.base import (
    AccountFacts,
    BalanceRow,
    Best,
    Call,
    ConnPlan,
    Failure,
    FeeRates,
    Instrument,
    KeyFacts,
    OrderRow,
    PositionRow,
    Setting,
    Signed,
    TradeRow,
    Urgency,
    Wanted,
)
from engine.venues.bybit_trades import Window
from fastcore.sha256 import Hmac
from fastcore.types import Side

ORDERS_PAGE_MAX = 50
POSITIONS_PAGE_MAX = 200
INSTRUMENTS_PAGE_MAX = 1_000
BATCH_MAX = 10  # of spot; linear has 20
SPOT_FILTERS = ("Order", "StopOrder", "tpslOrder")  # kinds that cancel-all takes one at a time
DEAD_MAN_S = (3, 300)
TOPICS_MAX = {"linear": 1_000, "spot": 10}  # a request
TOPIC_CHARS_MAX = 21_000  # a connection
MARKET_TOPICS = ("orderbook.{depth}.{symbol}", "orderbook.1.{symbol}", "publicTrade.{symbol}")
DEPTHS = (50, 200, 1_000)
USER_TOPICS = ["order", "execution", "position", "wallet"]
DEAD_MAN_TOPICS = ["dcp.future", "dcp.spot"]
MARGIN_MODES = {"cross": "REGULAR_MARGIN", "isolated": "ISOLATED_MARGIN"}
URL_KINDS = ("linear", "spot", "private", "trade")


class Bybit:
    """The Adapter of one account; see engine.venues.base."""

    name = "bybit"
    weight_per_min = calls.WEIGHT_PER_MIN
    # None is documented ("may get disconnected at any time"): changed before it can matter.
    connection_age_s_max = 24 * 3600.0
    has_dead_man = True
    dead_man_delay_s = 10.0  # of a new window: "Set Disconnect Cancel All"
    keep_alive_every_s: float | None = None
    cancel_batch_max = BATCH_MAX
    has_cancels_apart = True
    market_instruments_max = 200

    def __init__(
        self,
        api_key: str,
        secret: str,
        *,
        rest_url: str = "",
        ws_url: Mapping[str, str],  # "linear", "spot" (public), "private", "trade"
        recv_window_ms: int,
        dead_man_s: int = 0,  # 0: not wanted
        depth: int = 50,
    ) -> None:
        if not api_key or not secret:
            raise ValueError("api_key and secret must not be empty")
        if dead_man_s and not DEAD_MAN_S[0] <= dead_man_s <= DEAD_MAN_S[1]:
            raise ValueError("the dead-man switch of Bybit takes 3 to 300 s")
        if depth not in DEPTHS:
            raise ValueError(f"depth must be one of {DEPTHS}, not {depth}")
        unknown = set(ws_url) - set(URL_KINDS)
        if unknown:
            raise ValueError(f"ws_url knows {', '.join(URL_KINDS)}, not {', '.join(unknown)}")
        self._api_key, self._secret = api_key, secret.encode()
        self._hmac = Hmac(self._secret)
        self._ws_url = dict(ws_url)
        self._window_ms = recv_window_ms
        self._wants_dead_man = dead_man_s > 0
        self._depth = depth

    # -- SIGNING, ERRORS ---

    def sign(self, call: Call[Any], utc_ms: int) -> Signed:
        return wire.sign(call, utc_ms, self._api_key, self._hmac, self._window_ms)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure | None:
        return wire.failure(status, headers, body)

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        return None

    def order_credential(self) -> tuple[bytes, bytes]:
        """For the core's encoder. Its trade connection is logged on, but the encoder wants a key
        that it could log on with."""
        return self._api_key.encode(), self._secret

    # -- FACTS ---

    def time(self) -> Call[int]:
        return replace(
            calls.public("/v5/market/time", {}, calls.time_ns), urgency=Urgency.UPKEEP
        )

    def instruments(self, symbols: Sequence[str], category: str) -> Call[dict[str, Instrument]]:
        """Those of `symbols` that the venue lists: it lists what trades, by default. `category`:
        linear or spot, or the codec's name of it."""
        category = category.removeprefix("bybit_")
        if category not in calls.PRODUCTS:
            raise ValueError(f"category must be linear or spot, not {category!r}")
        params = {"category": category}
        if len(symbols) == 1:
            params["symbol"] = symbols[0]
        elif category == "linear":  # spot has no pages
            params["limit"] = str(INSTRUMENTS_PAGE_MAX)

        def read(body: Any) -> dict[str, Instrument]:
            time_ms = rows.time_ms_of(body)
            return {
                str(row["symbol"]): rows.instrument_of(row, category, time_ms)
                for row in rows.rows_of(body)
                if row.get("symbol") in symbols
            }

        return calls.public("/v5/market/instruments-info", params, read)

    def snapshot(self, instrument: Instrument, among: int = 1) -> Call[bytes] | None:
        """In the stream: the first message of a subscription."""
        return None

    def best(self, instrument: Instrument) -> Call[Best]:
        params = {**calls.named(instrument), "limit": "1"}
        path = "/v5/market/orderbook"
        return calls.public(path, params, lambda body: rows.best_of(body, instrument))

    def key_facts(self) -> Call[KeyFacts] | None:
        return calls.signed("GET", "/v5/user/query-api", {}, rows.key_facts)

    def account_facts(self) -> Call[AccountFacts] | None:
        """Position mode None: it is a symbol's; settings() brings it about, positions() refuses
        another."""
        return calls.signed("GET", "/v5/account/info", {}, rows.account_facts)

    def fees(self, instrument: Instrument) -> Call[FeeRates]:
        return calls.signed(
            "GET", "/v5/account/fee-rate", calls.named(instrument),
            lambda body: rows.fee_rates(body, instrument),
        )  # fmt: skip

    def settings(self, wanted: Wanted, instrument: Instrument) -> tuple[Setting, ...]:
        """One-way positions always. The margin mode is the account's: not to be asked for where
        account_facts() tells that it is so, as the venue refuses while there are orders."""
        self._refuse(wanted)
        if calls.category_of(instrument) != "linear":
            return ()
        of = calls.named(instrument)
        path = "/v5/position/switch-mode"
        found = [calls.setting("one-way positions", path, {**of, "mode": "0"})]
        if wanted.margin_mode is not None:
            mode = {"setMarginMode": MARGIN_MODES[wanted.margin_mode]}
            what = f"{wanted.margin_mode} margin"
            found.append(calls.setting(what, "/v5/account/set-margin-mode", mode))
        if wanted.leverage is not None:
            leverage = str(wanted.leverage)
            both = {**of, "buyLeverage": leverage, "sellLeverage": leverage}
            found.append(calls.setting(f"leverage {leverage}", "/v5/position/set-leverage", both))
        return tuple(found)

    def _refuse(self, wanted: Wanted) -> None:
        """What our orders don't say and no call sets."""
        if wanted.stp not in (None, "none"):
            raise TickmakerError(
                f"wanted.stp is {wanted.stp!r}: orders to Bybit are sent without smpType",
                'set wanted.stp to "none"',
                EXIT_USAGE,
            )
        if wanted.fee_discount:
            raise TickmakerError(
                "wanted.fee_discount is true: Bybit has no call to pay fees in its own token",
                "set wanted.fee_discount to false",
                EXIT_USAGE,
            )

    # -- WHAT WE HOLD ---

    def positions(self, instruments: Sequence[Instrument]) -> Call[list[PositionRow]]:
        """Of one category and, of linear, one settlement coin; ValueError for a mixture."""
        category, quote = calls.one_category(instruments), instruments[0].quote
        if category == "spot":
            return calls.safety(
                "/v5/account/wallet-balance", {"accountType": "UNIFIED"},
                lambda body: rows.held_rows(body, instruments),
            )  # fmt: skip
        params = {"category": category, "limit": str(POSITIONS_PAGE_MAX)}
        if len(instruments) == 1:
            params["symbol"] = instruments[0].symbol
        elif all(instrument.quote == quote for instrument in instruments):
            params["settleCoin"] = quote
        else:
            raise ValueError("positions of several settlement coins are several calls")

        def read(body: Any) -> list[PositionRow]:
            if len(rows.rows_of(body)) >= POSITIONS_PAGE_MAX:
                raise ValueError(f"Expected fewer than {POSITIONS_PAGE_MAX} positions")
            return rows.position_rows(body, instruments)

        return calls.safety("/v5/position/list", params, read)

    def balances(self) -> Call[list[BalanceRow]]:
        params = {"accountType": "UNIFIED"}
        return calls.safety("/v5/account/wallet-balance", params, rows.balance_rows)

    def open_orders(
        self, instrument: Instrument, cursor: str = ""
    ) -> Call[tuple[list[OrderRow], str]]:
        """Of every kind, conditional ones too: no orderFilter means all. The venue gives a cursor
        even with the last page, so a page that isn't full is the last."""
        params = {**calls.named(instrument), "openOnly": "0", "limit": str(ORDERS_PAGE_MAX)}
        if cursor:
            params["cursor"] = cursor

        def read(body: Any) -> tuple[list[OrderRow], str]:
            found = calls.orders_of(body, instrument)
            following = str(rows.result_of(body).get("nextPageCursor") or "")
            return found, following if len(rows.rows_of(body)) >= ORDERS_PAGE_MAX else ""

        return calls.safety("/v5/order/realtime", params, read)

    def open_conditional(self, instrument: Instrument) -> Call[list[OrderRow]] | None:
        """Among open_orders() here."""
        return None

    def order(self, instrument: Instrument, client_id: str) -> Call[OrderRow | None]:
        """Open, or among the last 500 closed ones since the venue's restart: None is no proof
        before order_history() says so too."""
        return calls.one_order("/v5/order/realtime", instrument, "orderLinkId", client_id)

    def order_by_id(self, instrument: Instrument, order_text: str) -> Call[OrderRow | None]:
        return calls.one_order("/v5/order/realtime", instrument, "orderId", order_text)

    def order_history(
        self, instrument: Instrument, client_id: str
    ) -> Call[OrderRow | None] | None:
        """Closed orders of two years; the newest may be missing for a moment."""
        return calls.one_order("/v5/order/history", instrument, "orderLinkId", client_id)

    def order_history_by_id(
        self, instrument: Instrument, order_text: str
    ) -> Call[OrderRow | None] | None:
        return calls.one_order("/v5/order/history", instrument, "orderId", order_text)

    def trades(
        self, instrument: Instrument, since_ns: int, cursor: str = ""
    ) -> Call[tuple[list[TradeRow], str]]:
        """Oldest first; an empty page with a cursor is a window that was too wide
        (bybit_trades)."""
        window = Window.of(since_ns, cursor)
        params = window.params(calls.category_of(instrument), instrument.symbol)
        path = "/v5/execution/list"
        return calls.safety(path, params, lambda body: window.read(body, instrument))

    # -- ORDERS OVER REST ---

    def place(
        self,
        instrument: Instrument,
        client_id: str,
        side: Side,
        px_ticks: int,
        qty_lots: int,
        *,
        is_ioc: bool,
        is_reduce_only: bool,
    ) -> Call[None]:
        """A limit order. Accepted is not on the book yet: the order stream says that."""
        if px_ticks <= 0 or qty_lots <= 0 or not client_id:
            raise ValueError("client_id, px_ticks or qty_lots is out of range")
        params = {
            **calls.named(instrument),
            "side": "Buy" if side == Side.BUY else "Sell",
            "orderType": "Limit",
            "qty": instrument.qty_text(qty_lots),
            "price": instrument.price_text(px_ticks),
            "timeInForce": "IOC" if is_ioc else "GTC",
            "orderLinkId": client_id,
        }
        if is_reduce_only:
            if calls.category_of(instrument) == "spot":
                raise ValueError("spot knows no reduce-only order")
            params["reduceOnly"] = "true"
        return calls.order_call(
            "/v5/order/create", params, calls.placed, Urgency.NORMAL, may_repeat=False
        )

    def cancel(self, instrument: Instrument, row: OrderRow) -> Call[None]:
        params = {**calls.named(instrument), "orderId": row.venue_order_text}
        if row.is_conditional and calls.category_of(instrument) == "spot":
            params["orderFilter"] = "StopOrder"  # linear looks everywhere
        return calls.order_call("/v5/order/cancel", params, calls.nothing, Urgency.CANCEL)

    def cancel_many(self, instrument: Instrument, rows: Sequence[OrderRow]) -> Call[None] | None:
        """At most cancel_batch_max; None where a single cancel says it better."""
        if not 0 < len(rows) <= BATCH_MAX or any(row.is_conditional for row in rows):
            return None
        request = [
            {"symbol": instrument.symbol, "orderId": row.venue_order_text} for row in rows
        ]
        params = {"category": calls.category_of(instrument), "request": json.dumps(request)}
        return calls.order_call(
            "/v5/order/cancel-batch", params, calls.canceled_all, Urgency.CANCEL, count=len(rows)
        )

    def cancel_all(self, instrument: Instrument) -> tuple[Call[None], ...]:
        """Linear: of every kind, 500 a call, which is all that a symbol may have open."""
        path, of = "/v5/order/cancel-all", calls.named(instrument)
        if calls.category_of(instrument) == "linear":
            return (calls.order_call(path, of, calls.all_canceled, Urgency.CANCEL),)
        return tuple(
            calls.order_call(path, {**of, "orderFilter": kind}, calls.all_canceled, Urgency.CANCEL)
            for kind in SPOT_FILTERS
        )

    def dead_man(
        self, instruments: Sequence[Instrument], timeout_ms: int
    ) -> tuple[Call[None], ...]:
        """Whole seconds, rounded up. 0: nothing, as it can't be disarmed."""
        if timeout_ms == 0:
            return ()
        seconds = -(-timeout_ms // 1000)
        if not DEAD_MAN_S[0] <= seconds <= DEAD_MAN_S[1]:
            raise ValueError("the dead-man switch of Bybit takes 3 to 300 s")
        path = "/v5/order/disconnected-cancel-all"
        windows = (
            {"product": product, "timeWindow": str(seconds)}
            for product in calls.products(instruments)
        )
        return tuple(
            calls.order_call(path, window, calls.nothing, Urgency.UPKEEP) for window in windows
        )

    def dead_man_is_set(
        self, instruments: Sequence[Instrument], timeout_ms: int
    ) -> Call[bool] | None:
        """Of an earlier run; one set within its delay counts, as nothing tells since when."""
        wanted = {(product, -(-timeout_ms // 1000)) for product in calls.products(instruments)}
        path = "/v5/account/query-dcp-info"
        return calls.signed(
            "GET", path, {}, lambda body: wanted <= calls.dcp_windows(body), Urgency.UPKEEP
        )

    # -- CONNECTIONS ---

    def market_plan(self, instruments: Sequence[Instrument]) -> ConnPlan:
        category = calls.one_category(instruments)
        topics = [
            topic.format(depth=self._depth, symbol=instrument.symbol)
            for instrument in instruments
            for topic in MARKET_TOPICS
        ]
        if len(instruments) > self.market_instruments_max or (
            sum(map(len, topics)) > TOPIC_CHARS_MAX
        ):
            raise ValueError(f"a connection takes {TOPIC_CHARS_MAX} characters of topics")
        return wire.plan(self._url(category), wire.subscribe_texts(topics, TOPICS_MAX[category]))

    def trade_plan(self, utc_ms: int) -> ConnPlan:
        return wire.plan(self._url("trade"), [self._auth(utc_ms)])

    def user_token(self) -> Call[str] | None:
        return None

    def keep_alive(self, token: str) -> Call[bool] | None:
        return None

    def user_plan(self, token: str, utc_ms: int) -> ConnPlan:
        """The subscription is refused before the logon is answered: one after the other. The
        switch that a lost connection started stops at the new one's first ping only, which may
        not wait until it is due."""
        topics = USER_TOPICS + (DEAD_MAN_TOPICS if self._wants_dead_man else [])
        texts = [self._auth(utc_ms), *wire.subscribe_texts(topics, len(topics))]
        if self._wants_dead_man:
            texts.append(wire.PING_TEXT)
        return wire.plan(self._url("private"), texts)

    def _auth(self, utc_ms: int) -> str:
        return wire.auth_text(self._api_key, self._hmac, utc_ms)

    def _url(self, kind: str) -> str:
        url = self._ws_url.get(kind)
        if not url:
            raise TickmakerError(
                f"ws_url.{kind} is missing", "name it in the account's ws_url", EXIT_USAGE
            )
        return url

    def __repr__(self) -> str:
        return "<Bybit>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Bybit adapter holds a key: it cannot be pickled or copied")

