"""engine.venues.bybit: every call answered by our local exchange and read, rows equal to its
core's truth and to what the decoder makes of its streams; greetings."""

import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from bybit_client import BTC, SPOT_BTC, Client
from support_bybit import LINEAR, SPOT
from support_bybit_adapter import PREFIX, URLS, Desk, RefusedError

from engine.errors import TickmakerError
from engine.exchange.book import Side as TheirSide
from engine.exchange.bybit import texts
from engine.exchange.bybit.limits import LimitRules, Limits
from engine.exchange.instruments import Kind
from engine.venues.base import FeeRates, Instrument, OrderRow, PositionRow, Said, TradeRow, Wanted
from engine.venues.bybit import Bybit
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.codec.bybit_id import id_number
from fastcore.types import EventKind, ExecType, FeeAsset, OrderState, Side

KEYS = {"linear": BTC, "spot": SPOT_BTC}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=["linear", "spot"])
def category(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def place(
    desk: Desk, instrument: Instrument, number: int, px_ticks: int, qty_lots: int = 0,
    side: Side = Side.BUY, is_ioc: bool = False,
) -> str:  # fmt: skip
    client_id = f"{PREFIX}{number:012x}"
    qty_lots = qty_lots or (1_000 if instrument.venue == "bybit_spot" else 10)
    desk.ask(
        desk.adapter.place(
            instrument, client_id, side, px_ticks, qty_lots, is_ioc=is_ioc, is_reduce_only=False
        )
    )
    return client_id


def trades(desk: Desk, instrument: Instrument, since_ns: int = 0) -> list[TradeRow]:
    found: list[TradeRow] = []
    cursor = ""
    for _ in range(1_000):
        page, cursor = desk.ask(
            desk.adapter.trades(instrument, since_ns or desk.client.now_ns - 10**12, cursor)
        )
        found += page
        if not cursor:
            return found
    raise AssertionError("no end of pages")


def orders(desk: Desk, instrument: Instrument) -> list[OrderRow]:
    found: list[OrderRow] = []
    cursor = ""
    while True:
        page, cursor = desk.ask(desk.adapter.open_orders(instrument, cursor))
        found += page
        if not cursor:
            return found


# -- FACTS ---


def test_time_and_instruments(desk: Desk, category: str) -> None:
    assert desk.ask(desk.adapter.time()) == desk.client.now_ns
    found = desk.instrument(category)
    own = desk.client.core.markets[KEYS[category]].instrument
    assert (found.venue, found.symbol, found.base, found.quote) == (
        f"bybit_{category}", "BTCUSDT", "BTC", "USDT",
    )  # fmt: skip
    assert (Decimal(found.tick), Decimal(found.lot)) == (own.px.step, own.qty.step)
    assert found.qty_min == own.qty.step * own.qty_lots_min
    assert found.notional_min == own.min_notional
    assert found.is_trading
    assert found.orders_per_s_max == (10 if category == "linear" else 20)


def test_several_instruments_in_one_call(desk: Desk) -> None:
    found = desk.ask(desk.adapter.instruments(["BTCUSDT", "NOPEUSDT"], "bybit_linear"))
    assert list(found) == ["BTCUSDT"]
    assert desk.ask(desk.adapter.instruments(["NOPEUSDT"], "spot")) == {}
    with pytest.raises(ValueError, match="category must be"):
        desk.adapter.instruments(["BTCUSDT"], "inverse")


def test_best_is_the_book_s(desk: Desk, category: str) -> None:
    best = desk.ask(desk.adapter.best(desk.instrument(category)))
    bid, bid_lots, ask, ask_lots = desk.client.core.markets[KEYS[category]].touch()
    assert (best.bid_px_ticks, best.bid_qty_lots) == (bid, bid_lots)
    assert (best.ask_px_ticks, best.ask_qty_lots) == (ask, ask_lots)


def test_key_account_and_fees(desk: Desk, category: str) -> None:
    facts = desk.ask(desk.adapter.key_facts())
    assert (facts.can_trade, facts.can_withdraw, facts.is_address_bound) == (True, False, False)
    account = desk.ask(desk.adapter.account_facts())
    assert (account.margin_mode, account.position_mode, account.can_trade) == ("cross", None, True)
    rates = desk.client.core.fees_of(KEYS[category])
    assert desk.ask(desk.adapter.fees(desk.instrument(category))) == FeeRates(
        rates.maker_ppm, rates.taker_ppm
    )


def test_read_only_and_bound_keys_show(desk: Desk) -> None:
    management = desk.client.core.keyring.management
    update = {"apikey": desk.client.key.api_key, "readOnly": 1, "ips": ["127.0.0.1"]}
    assert desk.client.post("/v5/user/update-sub-api", management, **update)["retCode"] == 0
    facts = desk.ask(desk.adapter.key_facts())
    assert (facts.can_trade, facts.is_address_bound) == (False, True)


def test_settings_are_brought_about_and_twice_is_done(desk: Desk) -> None:
    wanted = Wanted(margin_mode="cross", leverage=7, fee_discount=False, stp="none")
    linear = desk.instrument()
    mode, margin, leverage = desk.adapter.settings(wanted, linear)
    with pytest.raises(RefusedError) as refused:
        desk.ask(mode.call)
    assert mode.is_done(refused.value.failure)  # one-way is what the account has
    desk.ask(margin.call)
    desk.ask(leverage.call)
    assert desk.client.core.accounts[0].leverage(BTC) == 7
    with pytest.raises(RefusedError) as refused:
        desk.ask(leverage.call)
    assert leverage.is_done(refused.value.failure)
    assert desk.adapter.settings(wanted, desk.instrument("spot")) == ()


def test_setting_that_the_venue_refuses_is_not_done(desk: Desk) -> None:
    wanted = Wanted(margin_mode="isolated", leverage=125, fee_discount=None)
    _, margin, leverage = desk.adapter.settings(wanted, desk.instrument())
    for setting in (margin, leverage):
        with pytest.raises(RefusedError) as refused:
            desk.ask(setting.call)
        assert not setting.is_done(refused.value.failure)


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (Wanted(None, None, None, "expire_taker"), "wanted.stp"),
        (Wanted(None, None, True, None), "wanted.fee_discount"),
    ],
)
def test_what_no_call_sets_is_refused(desk: Desk, wanted: Wanted, word: str) -> None:
    with pytest.raises(TickmakerError, match=word):
        desk.adapter.settings(wanted, desk.instrument())


# -- ORDERS ---


def test_order_from_placing_to_its_end(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    kind = Kind.SPOT if category == "spot" else Kind.LINEAR
    client_id = place(desk, instrument, 1, 590_000)
    assert desk.ask(desk.adapter.order(instrument, f"{PREFIX}00000000000f")) is None
    row = desk.ask(desk.adapter.order(instrument, client_id))
    (order,) = desk.client.core.open_orders(0, KEYS[category])
    text = texts.id_of_order(kind, order)
    assert row == OrderRow(
        "BTCUSDT", client_id, id_number(text), Side.BUY, OrderState.NEW, order.px_ticks,
        order.qty_lots, 0, text,
    )  # fmt: skip
    assert desk.ask(desk.adapter.order_by_id(instrument, text)) == row
    assert orders(desk, instrument) == [row]
    desk.ask(desk.adapter.cancel(instrument, row))
    assert orders(desk, instrument) == []
    after = desk.ask(desk.adapter.order(instrument, client_id))
    assert after.state is OrderState.CANCELED
    assert desk.ask(desk.adapter.order_history(instrument, client_id)) == after
    assert desk.ask(desk.adapter.order_history_by_id(instrument, text)) == after
    with pytest.raises(RefusedError) as refused:
        desk.ask(desk.adapter.cancel(instrument, row))
    assert refused.value.failure.is_absent
    assert not refused.value.failure.is_unknown


def test_every_page_of_open_orders(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    placed = {place(desk, instrument, number, 590_000 - number) for number in range(120)}
    calls = desk.calls
    found = orders(desk, instrument)
    assert {row.client_id for row in found} == placed
    assert len(found) == 120
    assert desk.calls - calls == 3


def test_full_last_page_ends(desk: Desk) -> None:
    instrument = desk.instrument()
    for number in range(50):
        place(desk, instrument, number, 590_000 - number)
    assert len(orders(desk, instrument)) == 50


def test_conditional_order_is_among_them_and_can_be_canceled(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    fields: dict[str, Any] = {"triggerPrice": "65000", "price": "65000", "qty": "0.01"}
    fields["category"] = category
    if category == "linear":
        fields["triggerDirection"] = 1
    else:
        fields["orderFilter"] = "StopOrder"
    assert desk.client.order(**fields)["retCode"] == 0
    place(desk, instrument, 1, 590_000)
    assert desk.adapter.open_conditional(instrument) is None
    waiting = [row for row in orders(desk, instrument) if row.is_conditional]
    assert [row.state for row in waiting] == [OrderState.NEW]
    assert desk.adapter.cancel_many(instrument, waiting) is None
    desk.ask(desk.adapter.cancel(instrument, waiting[0]))
    assert [row.is_conditional for row in orders(desk, instrument)] == [False]


def test_cancel_many_counts_what_is_gone_as_done(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    for number in range(12):
        place(desk, instrument, number, 590_000 - number)
    rows = orders(desk, instrument)
    assert desk.adapter.cancel_many(instrument, rows) is None  # more than a batch takes
    assert desk.adapter.cancel_many(instrument, []) is None
    desk.ask(desk.adapter.cancel(instrument, rows[3]))
    call = desk.adapter.cancel_many(instrument, rows[: desk.adapter.cancel_batch_max])
    assert call is not None
    alone = desk.adapter.cancel(instrument, rows[0])
    assert call.weight == alone.weight == 1  # of the address: a request
    assert call.limit is not None
    assert alone.limit is not None
    assert (call.limit.count, alone.limit.count) == (10, 1)
    assert call.limit.per_s == alone.limit.per_s
    assert call.limit.name != alone.limit.name  # a batch has its own
    desk.ask(call)
    assert orders(desk, instrument) == rows[10:]


def test_cancel_many_tells_a_code_that_is_no_success(desk: Desk) -> None:
    instrument = desk.instrument()
    place(desk, instrument, 1, 590_000)
    call = desk.adapter.cancel_many(instrument, orders(desk, instrument))
    assert call is not None
    codes = [{"code": 0, "msg": "OK"}, {"code": 110003, "msg": "no such price"}]
    with pytest.raises(ValueError, match="110003 no such"):
        call.read({"retExtInfo": {"list": codes}})
    codes[1] = {"code": 10006, "msg": "Too many visits!"}  # the others are done
    call.read({"retExtInfo": {"list": codes}})
    with pytest.raises(ValueError, match="codes of the batch"):
        call.read({"retExtInfo": {}})


def test_cancel_all_ends_every_kind_of_the_symbol_only(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    other = "spot" if category == "linear" else "linear"
    place(desk, desk.instrument(other), 99, 590_000)
    for number in range(3):
        place(desk, instrument, number, 590_000 - number)
    fields: dict[str, Any] = {"triggerPrice": "65000", "price": "65000", "qty": "0.01"}
    fields |= {"triggerDirection": 1} if category == "linear" else {"orderFilter": "StopOrder"}
    assert desk.client.order(category=category, **fields)["retCode"] == 0
    assert len(orders(desk, instrument)) == 4
    for call in desk.adapter.cancel_all(instrument):
        desk.ask(call)
    assert orders(desk, instrument) == []
    assert len(orders(desk, desk.instrument(other))) == 1


def test_reduce_only_is_sent_and_refused_on_spot(desk: Desk) -> None:
    linear, spot = desk.instrument(), desk.instrument("spot")
    call = desk.adapter.place(
        linear, f"{PREFIX}000000000001", Side.SELL, 590_000, 10, is_ioc=True, is_reduce_only=True
    )
    assert not call.may_repeat
    assert json.loads(desk.adapter.sign(call, 1).body)["reduceOnly"] is True
    with pytest.raises(RefusedError) as refused:  # there is no position to reduce
        desk.ask(call)
    assert refused.value.failure.code == 110017
    with pytest.raises(ValueError, match="reduce-only"):
        desk.adapter.place(spot, "x", Side.SELL, 1, 1, is_ioc=True, is_reduce_only=True)


# -- WHAT WE HOLD ---


def test_position_and_balances_are_the_core_s(desk: Desk) -> None:
    linear, spot = desk.instrument(), desk.instrument("spot")
    assert desk.ask(desk.adapter.positions([linear])) == [PositionRow("BTCUSDT", 0)]
    place(desk, linear, 1, 605_000, 17, is_ioc=True)
    place(desk, spot, 2, 605_000, 123_456, is_ioc=True)
    account = desk.client.core.accounts[0]
    assert desk.ask(desk.adapter.positions([linear])) == [PositionRow("BTCUSDT", 17)]
    place(desk, linear, 3, 595_000, 40, side=Side.SELL, is_ioc=True)
    assert account.position(BTC).lots == -23
    assert desk.ask(desk.adapter.positions([linear])) == [PositionRow("BTCUSDT", -23)]
    balances = {row.asset: row.total_e8 for row in desk.ask(desk.adapter.balances())}
    for asset in ("BTC", "USDT"):
        assert balances[asset] == account.balance_e8(asset)
    held = account.balance_e8("BTC") // 100
    assert account.balance_e8("BTC") % 100 == 0 or held * 100 < account.balance_e8("BTC")
    assert desk.ask(desk.adapter.positions([spot])) == [PositionRow("BTCUSDT", held)]


def test_positions_of_several_are_asked_by_settlement_coin(desk: Desk) -> None:
    linear, spot = desk.instrument(), desk.instrument("spot")
    ether = Instrument(
        "bybit_linear", "ETHUSDT", "0.01", "0.01", Decimal(1), Decimal(1), Decimal(1), "ETH",
        "USDT",
    )  # fmt: skip
    place(desk, linear, 1, 605_000, 17, is_ioc=True)
    both = desk.ask(desk.adapter.positions([linear, ether]))
    assert both == [PositionRow("BTCUSDT", 17), PositionRow("ETHUSDT", 0)]
    with pytest.raises(ValueError, match="one category"):
        desk.adapter.positions([linear, spot])


def fills_of(desk: Desk, category: str) -> list[tuple[Any, ...]]:
    return [
        (f.t_ns // 1_000_000, f.px_ticks, f.qty_lots, f.fee_e8, f.is_maker, f.trade_id)
        for f in desk.client.core.fills_of(0, KEYS[category])
    ]


def test_trades_are_the_core_s_fills_oldest_first(desk: Desk, category: str) -> None:
    """More than a page, in clusters, several in one millisecond; ours as maker and taker."""
    instrument = desk.instrument(category)
    key = KEYS[category]
    lots = 1_000 if category == "spot" else 10
    start_ns = desk.client.now_ns
    number = 0
    for cluster in range(6):
        desk.client.wait(1 + 100 * cluster)
        for _ in range(45):
            number += 1
            if number % 9:
                place(desk, instrument, number, 602_000, lots, is_ioc=True)
            else:
                bid, bid_lots, ask, _ = desk.client.core.markets[key].touch()
                place(desk, instrument, number, ask - 1, lots)
                desk.client.cross(key, TheirSide.SELL, bid_lots + lots, bid)
            if number % 3:
                desk.client.wait(0.004)
    truth = fills_of(desk, category)
    assert len(truth) > 220
    found = trades(desk, instrument, start_ns)
    kind = Kind.SPOT if category == "spot" else Kind.LINEAR
    assert [
        (row.exch_ts_ns // 1_000_000, row.px_ticks, row.qty_lots, row.fee_e8, row.is_maker,
         row.trade_id)
        for row in found
    ] == [
        (*fill[:5], id_number(texts.exec_id(key, kind, fill[5]))) for fill in truth
    ]  # fmt: skip
    assert {row.is_maker for row in found} == {True, False}
    base = category == "spot"
    assert {row.fee_asset for row in found if row.side is Side.BUY} == {
        FeeAsset.BASE if base else FeeAsset.QUOTE
    }
    since = found[200].exch_ts_ns
    assert trades(desk, instrument, since) == [row for row in found if row.exch_ts_ns >= since]


def test_rows_mean_what_the_streams_say(desk: Desk, category: str) -> None:
    """The decoder's events of the private topics, and our rows of the same things."""
    instrument = desk.instrument(category)
    listener = desk.client.private("execution", "order")
    place(desk, instrument, 1, 590_000)
    place(desk, instrument, 2, 602_000, 3_333 if category == "spot" else 33, is_ioc=True)
    place(desk, instrument, 3, 580_000, is_ioc=True)  # finds nothing
    symbol, tick, lot = "BTCUSDT", instrument.tick, instrument.lot
    decoder = BybitDecoder(symbol, tick, lot, PREFIX, category, "BTC", "USDT")
    told: list[dict[str, Any]] = []
    for text in desk.client.inbox[listener]:
        if '"topic"' in text:
            told += [dict(event) for event in decoder.decode_all_bytes(text.encode())[1]]
    fills = {e["trade_id"]: e for e in told if e["exec_type"] == ExecType.TRADE}
    rows = trades(desk, instrument)
    assert len(rows) == len(fills) > 0
    for row in rows:
        event = fills[row.trade_id]
        for name in ("venue_order_id", "side", "fee_e8", "fee_asset", "exch_ts_ns", "is_maker"):
            assert event[name] == getattr(row, name), name
        assert (event["last_px_ticks"], event["last_qty_lots"]) == (row.px_ticks, row.qty_lots)
        assert row.client_id == f"{PREFIX}{event['intent_id']:012x}"
    last = {e["intent_id"]: e for e in told if e["exec_type"] != ExecType.TRADE}
    assert set(last) == {1, 2, 3}
    for intent, event in last.items():
        found = desk.ask(desk.adapter.order(instrument, f"{PREFIX}{intent:012x}"))
        assert event["status"] == found.state
        for name in ("venue_order_id", "side", "px_ticks", "qty_lots", "cum_qty_lots"):
            assert event[name] == getattr(found, name), name
    assert last[3]["status"] == OrderState.EXPIRED


# -- CONNECTIONS ---


def test_market_plan_brings_book_and_trades(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    plan = desk.adapter.market_plan([instrument])
    assert plan.url == URLS[category]
    _, frames = desk.greet(plan)
    sample = LINEAR if category == "linear" else SPOT
    decoder = BybitDecoder("BTCUSDT", instrument.tick, instrument.lot, *sample[3:])
    kinds = {decoder.decode_bytes(frame.encode())[0] for frame in frames}
    assert {EventKind.SNAPSHOT, EventKind.BEST} <= kinds


def test_spot_subscribes_ten_topics_a_request(desk: Desk) -> None:
    spot, linear = desk.instrument("spot"), desk.instrument()
    plan = desk.adapter.market_plan([spot] * 7)
    assert plan.answers == len(plan.texts) == 3
    assert [len(json.loads(text)["args"]) for text in plan.texts] == [10, 10, 1]
    assert desk.adapter.market_plan([linear] * 7).answers == 1
    with pytest.raises(ValueError, match="one category"):
        desk.adapter.market_plan([spot, linear])
    with pytest.raises(ValueError, match="characters of topics"):
        desk.adapter.market_plan([linear] * 201)


def test_trade_connection_takes_orders_after_its_plan(desk: Desk) -> None:
    conn, _ = desk.greet(desk.adapter.trade_plan(desk.client.now_ns // 1_000_000))
    order = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit"}
    order |= {"qty": "0.010", "price": "59000"}
    assert desk.client.trade(conn, "order.create", order)["retCode"] == 0


def test_user_connection_hears_of_orders_and_arms_the_switch() -> None:
    desk = Desk(dead_man_s=5)
    instrument = desk.instrument()
    both = [instrument, desk.instrument("spot")]
    assert desk.ask(desk.adapter.dead_man_is_set(both, 4_001)) is False
    for call in desk.adapter.dead_man(both, 4_001):
        desk.ask(call)
    assert desk.ask(desk.adapter.dead_man_is_set(both, 4_001)) is True
    assert desk.ask(desk.adapter.dead_man_is_set(both, 6_000)) is False
    windows = desk.client.get("/v5/account/query-dcp-info")["result"]["dcpInfos"]
    assert {(w["product"], w["timeWindow"]) for w in windows} == {
        ("DERIVATIVES", "5"), ("SPOT", "5"),
    }  # fmt: skip
    desk.client.wait(11)
    conn, _ = desk.greet(desk.adapter.user_plan("", desk.client.now_ns // 1_000_000))
    place(desk, instrument, 1, 590_000)
    assert any('"topic":"order"' in text for text in desk.client.inbox[conn])
    desk.client.lose(conn)
    desk.client.wait(4)
    conn, _ = desk.greet(desk.adapter.user_plan("", desk.client.now_ns // 1_000_000))
    desk.client.wait(10)  # back in time: the greeting's own ping stopped the switch
    assert len(orders(desk, instrument)) == 1
    desk.client.lose(conn)
    desk.client.wait(4)
    assert len(orders(desk, instrument)) == 1
    desk.client.wait(2)
    assert orders(desk, instrument) == []


def test_switch_that_is_not_wanted_is_not_subscribed(desk: Desk) -> None:
    assert not any("dcp" in text for text in desk.adapter.user_plan("", 1).texts)
    assert desk.adapter.dead_man([desk.instrument()], 0) == ()
    with pytest.raises(ValueError, match="3 to 300 s"):
        desk.adapter.dead_man([desk.instrument()], 2_000)
    with pytest.raises(ValueError, match="3 to 300 s"):
        Desk(dead_man_s=301)


def test_refused_greeting_says_why(desk: Desk) -> None:
    plan = desk.adapter.user_plan("", desk.client.now_ns // 1_000_000)
    conn = desk.client.open("/v5/private")
    (answer,) = desk.client.say_raw(conn, plan.texts[1])  # before the logon
    said, text = plan.read(json.dumps(answer).encode())
    assert (said, text) == (Said.BAD, "subscribe: Request not authorized")
    wrong = Bybit(desk.client.key.api_key, "wrong", ws_url=URLS, recv_window_ms=5_000)
    (answer,) = desk.client.say_raw(conn, wrong.trade_plan(desk.client.now_ns // 10**6).texts[0])
    said, text = plan.read(json.dumps(answer).encode())
    assert said is Said.BAD
    assert text.startswith("auth: ")
    trader = desk.client.open("/v5/trade")
    (answer,) = desk.client.say_raw(trader, wrong.trade_plan(desk.client.now_ns // 10**6).texts[0])
    assert plan.read(json.dumps(answer).encode())[0] is Said.BAD
    assert plan.read(b'{"op":"pong","args":["1"]}') == (Said.GOOD, "")
    assert plan.read(b'{"topic":"tickers.BTCUSDT","data":{}}') == (Said.NOTHING, "")
    assert plan.read(b'{"topic":"order","op":"auth","success":false}')[0] is Said.NOTHING
    assert plan.read(b'{"op"') == (Said.NOTHING, "")


def test_missing_url_is_named() -> None:
    bare = Bybit("k", "s", ws_url={}, recv_window_ms=1)
    with pytest.raises(TickmakerError, match=r"ws_url\.trade"):
        bare.trade_plan(1)
    with pytest.raises(ValueError, match="ws_url knows"):
        Bybit("k", "s", ws_url={"public": "x"}, recv_window_ms=1)


# -- REFUSALS OF OUR EXCHANGE ---


def test_clock_and_key_refusals_are_told_apart(desk: Desk) -> None:
    call = desk.adapter.balances()
    with pytest.raises(RefusedError) as refused:
        desk.ask(call, shift_ms=-60_000)
    assert refused.value.failure.is_clock
    assert not refused.value.failure.is_credential
    key = desk.client.key
    desk.adapter = Bybit(key.api_key, "wrong", ws_url=URLS, recv_window_ms=5_000)
    with pytest.raises(RefusedError) as refused:
        desk.ask(call)
    assert refused.value.failure.is_credential
    assert key.api_key not in refused.value.failure.text


def test_too_many_of_a_kind_is_told_when_to_come_again() -> None:
    desk = Desk(Client(LimitRules()))
    instrument = desk.instrument()
    for _ in range(5):
        desk.ask(desk.adapter.fees(instrument))
    with pytest.raises(RefusedError) as refused:
        desk.ask(desk.adapter.fees(instrument))
    failure = refused.value.failure
    assert (failure.code, failure.is_throttled) == (10006, True)
    assert 0 < failure.retry_after_s <= 1
    desk.client.wait(failure.retry_after_s)
    desk.ask(desk.adapter.fees(instrument))


def test_each_kind_has_the_limit_that_the_exchange_counts(desk: Desk, category: str) -> None:
    instrument = desk.instrument(category)
    place(desk, instrument, 1, 590_000)
    row = orders(desk, instrument)[0]
    limits = Limits(LimitRules())
    for call in (
        desk.adapter.fees(instrument), desk.adapter.open_orders(instrument),
        desk.adapter.cancel_all(instrument)[0], desk.adapter.trades(instrument, 1),
        desk.adapter.dead_man([instrument], 5_000)[0], desk.adapter.balances(),
        desk.adapter.positions([instrument]), desk.adapter.cancel(instrument, row),
        desk.adapter.cancel_many(instrument, [row]),
    ):  # fmt: skip
        assert call is not None
        assert call.weight == 1
        assert call.limit is not None
        assert call.limit.per_s == limits.rate_of(call.path, Kind(category)), call.path
    assert desk.adapter.time().limit is None
    assert desk.adapter.weight_per_min * 5 // 60 < 600


def test_credential_shows_nowhere(desk: Desk) -> None:
    key = desk.client.key
    signed = desk.adapter.sign(desk.adapter.balances(), 1)
    plan = desk.adapter.user_plan("", 1)
    for shown in (repr(desk.adapter), repr(signed), repr(plan), str(desk.adapter)):
        assert key.api_key not in shown
        assert key.secret not in shown
    with pytest.raises(TypeError, match="holds a key"):
        pickle.dumps(desk.adapter)
    assert desk.adapter.order_credential() == (key.api_key.encode(), key.secret.encode())
