"""What Binance's venues share: signing, errors, paging of trades, orders over REST, greetings.

An adapter remembers one thing besides its account: when it signed last, which is as far as the
windows of a search for trades must go (it has no clock).

Sources: binance-spot-api-docs (rest-api.md, web-socket-api.md, errors.md); developers.binance.com,
USD-M futures (General Info, Account Trade List, WebSocket API General Info, Error Codes).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from engine.errors import EXIT_USAGE, TickmakerError
from engine.venues import hosts
from engine.venues.base import (
    Best,
    Call,
    ConnPlan,
    Failure,
    Instrument,
    KeyFacts,
    OrderRow,
    Signed,
    TradeRow,
    Urgency,
)
from engine.venues.binance_answers import (
    Told5xx,
    failure_of,
    header,
    is_clock_refused,
    reader,
    retry_utc_ms,
)
from engine.venues.binance_rows import MS_NS, Row, open_row, order_row, rows
from engine.venues.binance_sign import Credential, query_text
from fastcore.types import Side

DAY_MS = 86_400_000
TRADES_PER_PAGE = 1_000
TRADES_KEPT_MS = 180 * DAY_MS  # USD-M: six months; spot says nothing, and older is not ours
CLIENT_ID_MAX = 36
STREAMS_IN_URL_MAX = 60  # more are subscribed to by a message: URLs have their limits
STREAMS_PER_MESSAGE = 200
WEIGHT = re.compile(r"[0-9]{1,9}")
SNAPSHOTS_SHARE = 0.25  # of an address's weight a minute, for a snapshot of every instrument


class Binance:
    """One account; see the two venues beneath."""

    name: str
    weight_per_min: int
    connection_age_s_max: float = 24 * 3600.0
    has_dead_man: bool
    dead_man_delay_s: float = 0.0
    keep_alive_every_s: float | None = None
    cancel_batch_max: int = 1
    has_cancels_apart: bool = False  # none is limited but by the address's weight
    market_instruments_max: int  # of one connection

    # What the venues have different.
    root: str  # of its REST paths
    streams: tuple[str, ...]  # of an instrument
    trades_path: str
    trades_weight: int
    trades_window_ms: int  # the longest time that one request may span
    order_weight: int  # of a query
    place_weight: int
    told_5xx: Told5xx = Told5xx()

    def __init__(
        self,
        api_key: str,
        secret: str,
        *,
        rest_url: str,
        ws_url: Mapping[str, str],
        recv_window_ms: int,
    ) -> None:
        self._credential = Credential(api_key, secret)
        self._is_local = hosts.is_local(rest_url)
        self._is_test = hosts.is_test(rest_url)
        self._ws_url = dict(ws_url)
        self._recv_window_ms = recv_window_ms
        self._signed_ms = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an adapter holds a secret: it cannot be pickled or copied")

    def order_credential(self) -> tuple[bytes, bytes]:
        """(key, secret) for the core's encoder; both empty where the TRADE connection is logged
        on, and orders go unsigned."""
        return self._credential.of_orders()

    def _url(self, kind: str, root: str) -> str:
        """A configured WebSocket address, with or without `root` at its end."""
        base = self._ws_url.get(kind, "").rstrip("/")
        if not base:
            raise TickmakerError(
                f"no ws_url.{kind} for a {self.name} account",
                f"set ws_url.{kind} of the account",
                EXIT_USAGE,
            )
        return base if base.endswith(root) else base + root

    # -- SIGNING, ERRORS ---

    def sign(self, call: Call[Any], utc_ms: int) -> Signed:
        self._signed_ms = max(self._signed_ms, utc_ms)
        query = query_text(call.params)
        if call.is_signed:
            query = self._credential.query({
                **call.params,
                "recvWindow": str(self._recv_window_ms),
                "timestamp": str(utc_ms),
            })
        headers = self._credential.headers() if call.is_signed or call.needs_key else {}
        return Signed(call.method, f"{call.path}?{query}".rstrip("?"), headers)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure | None:
        return failure_of(status, headers, body, self.told_5xx)

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        text = header(headers, "x-mbx-used-weight-1m")
        return int(text) if WEIGHT.fullmatch(text) else None

    # -- FACTS ---

    def time(self) -> Call[int]:
        # Whole milliseconds, cut off: on average half of one is missing.
        return Call("GET", f"{self.root}/time", lambda document: (
            Row("time", document).whole("serverTime") * MS_NS + MS_NS // 2
        ), urgency=Urgency.UPKEEP)  # fmt: skip

    def _depth(
        self, instrument: Instrument, kinds: Sequence[tuple[int, int]], among: int
    ) -> Call[bytes]:
        """The deepest of `kinds` (levels, weight) of which a start can take one for each of
        `among` instruments at once, without waiting for the address's weight."""
        room = self.weight_per_min * SNAPSHOTS_SHARE
        fit = [kind for kind in kinds if kind[1] * among <= room]
        levels, weight = fit[0] if fit else kinds[-1]
        return Call(
            "GET", f"{self.root}/depth", _snapshot_bytes,
            {"symbol": instrument.symbol, "limit": str(levels)},
            weight=weight, urgency=Urgency.SNAPSHOT,
        )  # fmt: skip

    def best(self, instrument: Instrument) -> Call[Best]:
        """Source: "Symbol Order Book Ticker", weight 2 of one symbol at both venues."""

        def read(document: Any) -> Best:
            row = Row("bookTicker", document)
            row.of("symbol", instrument.symbol)
            return Best(
                row.ticks("bidPrice", instrument), row.lots("bidQty", instrument),
                row.ticks("askPrice", instrument), row.lots("askQty", instrument),
            )  # fmt: skip

        return Call("GET", f"{self.root}/ticker/bookTicker", read,
                    {"symbol": instrument.symbol}, weight=2)  # fmt: skip

    def _restrictions(self, trade_flag: str) -> Call[KeyFacts]:
        def read(document: Any) -> KeyFacts:
            row = Row("apiRestrictions", document)
            return KeyFacts(
                can_trade=row.flag(trade_flag),
                can_withdraw=row.flag("enableWithdrawals"),
                is_address_bound=row.flag("ipRestrict"),
            )

        return Call("GET", "/sapi/v1/account/apiRestrictions", read, is_signed=True)

    def _refuse(self, what: str, remedy: str) -> TickmakerError:
        return TickmakerError(f"{self.name} can't have {what}", remedy, EXIT_USAGE)

    # -- WHAT WE HOLD ---

    def _asked(
        self, path: str, read: Callable[[Any], Any], weight: int, **params: str
    ) -> Call[Any]:
        """A signed question on the way to safety."""
        return Call(
            "GET", path, read, params, is_signed=True, weight=weight, urgency=Urgency.SAFETY
        )

    def _open_orders(
        self, instrument: Instrument, weight: int
    ) -> Call[tuple[list[OrderRow], str]]:
        def read(document: Any) -> tuple[list[OrderRow], str]:
            return [open_row(row, instrument) for row in rows("openOrders", document)], ""

        return self._asked(f"{self.root}/openOrders", read, weight, symbol=instrument.symbol)

    def order(self, instrument: Instrument, client_id: str) -> Call[OrderRow | None]:
        """An order that isn't there is a failure that `is_absent`."""

        def read(document: Any) -> OrderRow:
            row = Row("order", document)
            row.of("clientOrderId", client_id)
            return order_row(row, instrument)

        return self._order(instrument, read, origClientOrderId=client_id)

    def order_by_id(self, instrument: Instrument, order_text: str) -> Call[OrderRow | None]:
        def read(document: Any) -> OrderRow:
            row = Row("order", document)
            if str(row.whole("orderId")) != order_text:
                raise row.wrong("orderId", order_text)
            return order_row(row, instrument)

        return self._order(instrument, read, orderId=order_text)

    def order_history(
        self, instrument: Instrument, client_id: str
    ) -> Call[OrderRow | None] | None:
        """`order` knows the closed ones, too."""
        return None

    def order_history_by_id(
        self, instrument: Instrument, order_text: str
    ) -> Call[OrderRow | None] | None:
        return None

    def _order(
        self, instrument: Instrument, read: Callable[[Any], OrderRow], **which: str
    ) -> Call[OrderRow | None]:
        path = f"{self.root}/order"
        return self._asked(path, read, self.order_weight, symbol=instrument.symbol, **which)

    def trades(
        self, instrument: Instrument, since_ns: int, cursor: str = ""
    ) -> Call[tuple[list[TradeRow], str]]:
        """By windows of time up to the last signature; by id where one millisecond fills a page.

        A cursor is `t:<start ms>:<least id>` or `i:<from id>`. Of a full page the last id stays
        for the next one: both sides of one trade may be ours, under the same id. Nothing is
        looked for before what the venue keeps.
        """
        oldest_ns = (self._signed_ms - TRADES_KEPT_MS) * MS_NS
        kind, at, least = _cursor(cursor, max(since_ns, oldest_ns, 0))
        if kind == "t":
            span = {"startTime": str(at), "endTime": str(at + self.trades_window_ms - 1)}
        else:
            span = {"fromId": str(at)}

        def read(document: Any) -> tuple[list[TradeRow], str]:
            found = [self._trade(row, instrument) for row in rows(self.trades_path, document)]
            found.sort(key=lambda row: row.trade_id)
            page = [row for row in found if row.trade_id >= least]
            if len(found) >= TRADES_PER_PAGE:
                return _full_page(page, kind, least)
            if kind == "i":
                return page, f"t:{_ms(page[-1])}:{page[-1].trade_id + 1}" if page else ""
            end_ms = at + self.trades_window_ms
            return page, f"t:{end_ms}:{least}" if end_ms <= self._signed_ms else ""

        path = f"{self.root}/{self.trades_path}"
        limit = str(TRADES_PER_PAGE)
        return self._asked(
            path, read, self.trades_weight, symbol=instrument.symbol, limit=limit, **span
        )

    def _trade(self, row: Row, instrument: Instrument) -> TradeRow:
        raise NotImplementedError

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
        """A limit order; a market order at price 0. Never to be repeated: its fate is asked for
        by `order`."""
        if px_ticks < 0 or qty_lots <= 0 or not 0 < len(client_id) <= CLIENT_ID_MAX:
            raise ValueError(f"no such order: {client_id!r}, {qty_lots} lots at {px_ticks}")
        params = {
            "symbol": instrument.symbol,
            "side": side.name,
            "type": "LIMIT" if px_ticks else "MARKET",
            "quantity": instrument.qty_text(qty_lots),
            "newClientOrderId": client_id,
            "newOrderRespType": "ACK",
        }
        if px_ticks:
            params["timeInForce"] = "IOC" if is_ioc else "GTC"
            params["price"] = instrument.price_text(px_ticks)
        if is_reduce_only:
            params["reduceOnly"] = "true"

        def read(document: Any) -> None:
            Row("order", document).of("clientOrderId", client_id)

        return Call(
            "POST", f"{self.root}/order", read, params, is_signed=True, weight=self.place_weight,
            urgency=Urgency.SAFETY, may_repeat=False,
        )  # fmt: skip

    def _cancel(self, path: str, read: Callable[[Any], None], **params: str) -> Call[None]:
        """Twice is the same as once: the second finds nothing."""
        return Call("DELETE", path, read, params, is_signed=True, urgency=Urgency.CANCEL)

    def cancel(self, instrument: Instrument, row: OrderRow) -> Call[None]:
        return self._cancel(
            f"{self.root}/order",
            lambda document: Row("order", document).of("symbol", instrument.symbol),
            symbol=instrument.symbol,
            orderId=row.venue_order_text,
        )

    def dead_man_is_set(
        self, instruments: Sequence[Instrument], timeout_ms: int
    ) -> Call[bool] | None:
        return None

    # -- CONNECTIONS ---

    def _market_plan(self, base: str, instruments: Sequence[Instrument]) -> ConnPlan:
        """Combined streams: in the URL where they fit, else by messages that are answered."""
        if not 0 < len(instruments) <= self.market_instruments_max:
            raise ValueError(
                f"{self.name}: 1 to {self.market_instruments_max} instruments on one connection, "
                f"not {len(instruments)}"
            )
        names = [f"{i.symbol.lower()}@{kind}" for i in instruments for kind in self.streams]
        if len(names) <= STREAMS_IN_URL_MAX:
            return ConnPlan(f"{base}/stream?streams={'/'.join(names)}")
        starts = range(0, len(names), STREAMS_PER_MESSAGE)
        texts = [
            _message(number, "SUBSCRIBE", names[start : start + STREAMS_PER_MESSAGE])
            for number, start in enumerate(starts, 1)
        ]
        ids = range(1, len(texts) + 1)
        return ConnPlan(f"{base}/stream", tuple(texts), len(texts), reader(*ids))

    def _trade_plan(self, url: str, utc_ms: int) -> ConnPlan:
        """Orders are signed one by one, unless the key can log a whole connection on."""
        if not self._credential.is_ed25519:
            return ConnPlan(url)
        text = self._signed_message("logon", "session.logon", utc_ms)
        return ConnPlan(url, (text,), 1, reader("logon"), retry_utc_ms=retry_utc_ms,
                        is_clock=is_clock_refused)  # fmt: skip

    def _signed_message(self, number: str, method: str, utc_ms: int) -> str:
        self._signed_ms = max(self._signed_ms, utc_ms)
        stamped = {"recvWindow": self._recv_window_ms, "timestamp": utc_ms}
        return _message(number, method, self._credential.ws_params(stamped))


# -- ANSWERS ---


def _snapshot_bytes(body: Any) -> bytes:
    """The core reads it itself, exactly; here only that it is one."""
    if not isinstance(body, bytes) or b'"lastUpdateId"' not in body[:200]:
        raise ValueError("depth: Expected lastUpdateId, was not there")
    return body


def _cursor(cursor: str, since_ns: int) -> tuple[str, int, int]:
    """(kind, start ms or id, least id)."""
    if not cursor:
        return "t", since_ns // MS_NS, 0
    kind, *numbers = cursor.split(":")
    if kind == "t":
        return "t", int(numbers[0]), int(numbers[1])
    return "i", int(numbers[0]), int(numbers[0])


def _ms(row: TradeRow) -> int:
    return row.exch_ts_ns // MS_NS


def _full_page(page: list[TradeRow], kind: str, least: int) -> tuple[list[TradeRow], str]:
    last_id = page[-1].trade_id if page else least
    kept = [row for row in page if row.trade_id < last_id]
    if kept and _ms(page[-1]) > _ms(page[0]):
        return kept, f"t:{_ms(page[-1])}:{last_id}"
    if not kept and kind == "i":
        raise ValueError("trades: Expected more than one trade id on a full page")
    return kept, f"i:{last_id}"


def _message(number: int | str, method: str, params: Any) -> str:
    wanted = {"id": number, "method": method, "params": params}
    return json.dumps(wanted, separators=(",", ":"))
