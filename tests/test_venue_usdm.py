"""engine.venues.binance_usdm against the local exchange: every call is answered and read, and what
is read is the core's truth; wrong answers are refused by name; documented samples as goldens."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from support_adapter import Wire, secret_of
from support_exchange import quiet_core

from engine.errors import TickmakerError
from engine.exchange.accounts import FeeRates as CoreRates
from engine.exchange.binance.usdm import BinanceUsdm as Face
from engine.exchange.book import Side as CoreSide
from engine.exchange.commands import SetState
from engine.exchange.terms import MarketState
from engine.venues.base import (
    AccountFacts,
    Best,
    Call,
    FeeRates,
    KeyFacts,
    PositionRow,
    TradeRow,
    Wanted,
)  # fmt: skip
from engine.venues.binance_usdm import BinanceUsdm
from fastcore.types import FeeAsset, OrderState, Side

DAY_NS = 86_400_000_000_000
MINE, OTHER = 0, 1
NOTHING = Wanted(None, None, None)


def adapter_of(wire, account=MINE, kind="hmac"):
    keys = wire.core.keys[account]
    key = keys.ed25519 if kind == "ed25519" else keys.keys[0]
    face_urls = wire.face.urls("http://127.0.0.1:1", "ws://127.0.0.1:1")
    return BinanceUsdm(
        key.api_key, secret_of(key), rest_url=face_urls["rest_url"],
        ws_url=face_urls["ws_url"], recv_window_ms=5000,
    )  # fmt: skip


@pytest.fixture(params=["hmac", "ed25519"])
def kind(request):
    return request.param


@pytest.fixture
def wire():
    core = quiet_core(fees=CoreRates(maker_ppm=-50, taker_ppm=450), keys=("BTCUSDT", "ETHUSDT"))
    return Wire(core, Face(core))


@pytest.fixture
def venue(wire):
    return adapter_of(wire)


@pytest.fixture
def btc(wire, venue):
    return wire.ask(venue, venue.instruments(["BTCUSDT"], "linear"))["BTCUSDT"]


def place(wire, venue, instrument, client_id, side=Side.BUY, px=599_000, qty=10, **options):
    given = {"is_ioc": False, "is_reduce_only": False, **options}
    wire.ask(venue, venue.place(instrument, client_id, side, px, qty, **given))


# -- FACTS ---


def test_time_is_the_venues(wire, venue):
    assert wire.ask(venue, venue.time()) // 1_000_000 == wire.utc_ms


def test_instruments_have_their_filters_and_the_accounts_limits(wire, venue):
    found = wire.ask(venue, venue.instruments(["BTCUSDT", "ETHUSDT"], "linear"))
    btc, core = found["BTCUSDT"], wire.core.markets["BTCUSDT"].instrument
    assert list(found) == ["BTCUSDT", "ETHUSDT"]
    assert (btc.venue, btc.base, btc.quote) == ("binance_usdm", "BTC", "USDT")
    assert (Decimal(btc.tick), Decimal(btc.lot)) == (core.px.step, core.qty.step)
    assert btc.qty_max == core.qty_lots_max * core.qty.step
    assert btc.notional_min == Decimal(core.min_notional)
    assert (btc.orders_per_10s_max, btc.orders_per_min_max, btc.orders_per_s_max) == (
        300, 1200, None)  # fmt: skip
    assert btc.open_orders_max == wire.core.rules.orders_max
    assert btc.is_trading


def test_unknown_symbol_is_told_with_near_names_and_a_closed_one_is_not_trading(wire, venue):
    with pytest.raises(TickmakerError, match="'BTCUSD' is unknown") as caught:
        wire.ask(venue, venue.instruments(["BTCUSD"], "linear"))
    assert "BTCUSDT" in caught.value.remedy
    wire.core.operate(SetState("ETHUSDT", MarketState.HALTED), wire.t_ns)
    found = wire.ask(venue, venue.instruments(["BTCUSDT", "ETHUSDT"], "linear"))
    assert [one.is_trading for one in found.values()] == [True, False]


def test_snapshot_is_the_body_as_it_came(wire, venue, btc):
    body = wire.ask(venue, venue.snapshot(btc), is_bytes=True)
    book = json.loads(body)
    assert book["lastUpdateId"] > 0
    assert book["bids"]
    with pytest.raises(ValueError, match="lastUpdateId"):
        venue.snapshot(btc).read(b'{"code":0}')


def test_best_is_the_books(wire, venue, btc):
    book = json.loads(wire.ask(venue, venue.snapshot(btc), is_bytes=True))
    (bid_px, bid_qty), (ask_px, ask_qty) = book["bids"][0], book["asks"][0]
    assert wire.ask(venue, venue.best(btc)) == Best(
        btc.ticks(bid_px), btc.lots(bid_qty), btc.ticks(ask_px), btc.lots(ask_qty)
    )
    assert venue.order_history(btc, "x") is None
    assert venue.order_history_by_id(btc, "1") is None


def test_key_facts_are_the_keys_where_sapi_is_served(wire, venue):
    assert wire.ask(venue, venue.key_facts()) == KeyFacts(True, False, False)
    for rest_url in ("https://testnet.binancefuture.com", "https://fapi.binance.com"):
        far = BinanceUsdm("k", "s", rest_url=rest_url, ws_url={}, recv_window_ms=5000)
        assert far.key_facts() is None


def test_account_facts_and_fees(wire, venue, btc):
    facts = wire.ask(venue, venue.account_facts())
    assert (facts.position_mode, facts.margin_mode, facts.can_trade) == ("one_way", None, True)
    assert wire.ask(venue, venue.fees(btc)) == FeeRates(-50, 450)
    finer = {"symbol": "BTCUSDT", "makerCommissionRate": "-0.0000129",
             "takerCommissionRate": "0.0000121"}  # fmt: skip
    assert venue.fees(btc).read(finer) == FeeRates(-12, 13)  # rounded against us
    assert not facts.is_multi_assets
    # The documentation's sample (USD-M, Futures Account Configuration), both modes set.
    told = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True,
            "dualSidePosition": True, "updateTime": 0, "multiAssetsMargin": True,
            "tradeGroupId": -1}  # fmt: skip
    assert venue.account_facts().read(told) == AccountFacts("hedge", None, True, True)
    single = told | {"dualSidePosition": False, "multiAssetsMargin": False}
    assert venue.account_facts().read(single) == AccountFacts("one_way", None, True, False)


def test_settings_are_brought_about_or_are_so_already(wire, venue, btc):
    settings = venue.settings(Wanted("cross", 7, False, "expire_maker"), btc)
    assert [one.what for one in settings] == [
        "margin mode cross of BTCUSDT", "leverage of BTCUSDT", "fees in BNB"]  # fmt: skip
    margin, leverage, fees = settings
    failure = wire.refused(venue, margin.call)
    assert margin.is_done(failure)
    assert failure.code == -4046
    assert not leverage.is_done(failure)
    wire.ask(venue, leverage.call)
    wire.ask(venue, fees.call)
    assert wire.core.accounts[MINE].leverage("BTCUSDT") == 7
    with pytest.raises(ValueError, match="leverage to be 7, was 5"):
        leverage.call.read({"symbol": "BTCUSDT", "leverage": 5, "maxNotionalValue": "1"})
    assert venue.settings(NOTHING, btc) == ()
    refused = wire.refused(venue, venue.settings(Wanted(None, None, True), btc)[0].call)
    assert not fees.is_done(refused)


@pytest.mark.parametrize("stp", ["none", "expire_taker", "expire_both"])
def test_self_trade_prevention_other_than_the_venues_default_is_refused(venue, btc, stp):
    with pytest.raises(TickmakerError, match=r"can't have wanted\.stp"):
        venue.settings(Wanted(None, None, None, stp), btc)


# -- ORDERS ---


def test_an_order_is_placed_found_and_canceled(wire, kind, btc):
    venue = adapter_of(wire, kind=kind)
    place(wire, venue, btc, "tm-1")
    placed = wire.core.open_orders(MINE, "BTCUSDT")[0]
    rows, cursor = wire.ask(venue, venue.open_orders(btc))
    assert cursor == ""
    assert rows == [wire.ask(venue, venue.order(btc, "tm-1"))]
    row = rows[0]
    assert (row.client_id, row.venue_order_id) == ("tm-1", placed.order_id)
    assert (row.side, row.state, row.px_ticks, row.qty_lots, row.cum_qty_lots) == (
        Side.BUY, OrderState.NEW, 599_000, 10, 0)  # fmt: skip
    assert wire.ask(venue, venue.order_by_id(btc, row.venue_order_text)) == row
    wire.ask(venue, venue.cancel(btc, row))
    assert wire.ask(venue, venue.open_orders(btc)) == ([], "")
    assert wire.ask(venue, venue.order(btc, "tm-1")).state is OrderState.CANCELED
    assert wire.refused(venue, venue.cancel(btc, row)).is_absent


def test_what_never_was_is_absent(wire, venue, btc):
    assert wire.refused(venue, venue.order(btc, "tm-never")).is_absent
    assert wire.refused(venue, venue.order_by_id(btc, "99")).is_absent


def test_orders_are_canceled_in_a_batch_which_has_its_bounds(wire, venue, btc):
    for number in range(11):
        place(wire, venue, btc, f"tm-{number}", px=590_000 + number)
    rows, _ = wire.ask(venue, venue.open_orders(btc))
    with pytest.raises(ValueError, match="at most 10"):
        venue.cancel_many(btc, rows)
    assert venue.cancel_many(btc, []) is None
    wire.ask(venue, venue.cancel_many(btc, rows[:10]))
    assert [row.client_id for row in wire.ask(venue, venue.open_orders(btc))[0]] == ["tm-10"]
    wire.ask(venue, venue.cancel_many(btc, rows[:10]))  # nothing is there: no harm


def conditional(wire, venue, **changes):
    params = {
        "symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP",
        "timeInForce": "GTC", "quantity": "0.010", "price": "58000.00", "triggerPrice": "58100",
        "clientAlgoId": "mine-1", **changes,
    }  # fmt: skip
    path = "/fapi/v1/algoOrder"
    wire.ask(venue, Call("POST", path, lambda _: None, params, is_signed=True, weight=0))


def test_conditional_orders_are_told_and_canceled_like_others(wire, venue, btc):
    conditional(wire, venue)
    conditional(wire, venue, clientAlgoId="mine-2")
    rows = wire.ask(venue, venue.open_conditional(btc))
    assert [(row.client_id, row.is_conditional, row.state) for row in rows] == [
        ("mine-1", True, OrderState.NEW), ("mine-2", True, OrderState.NEW)]  # fmt: skip
    assert (rows[0].px_ticks, rows[0].qty_lots, rows[0].side) == (580_000, 10, Side.SELL)
    assert venue.cancel_many(btc, rows) is None
    wire.ask(venue, venue.cancel(btc, rows[0]))
    assert len(wire.ask(venue, venue.open_conditional(btc))) == 1
    assert wire.refused(venue, venue.cancel(btc, rows[0])).is_absent


def test_cancel_all_takes_conditional_orders_too(wire, venue, btc):
    place(wire, venue, btc, "tm-1")
    conditional(wire, venue)
    for _ in range(2):  # twice is the same as once
        for call in venue.cancel_all(btc):
            wire.ask(venue, call)
        assert wire.ask(venue, venue.open_orders(btc)) == ([], "")
        assert wire.ask(venue, venue.open_conditional(btc)) == []


def test_dead_man_cancels_what_is_not_renewed(wire, venue, btc):
    place(wire, venue, btc, "tm-1")
    calls = venue.dead_man([btc], 5_000)
    assert len(calls) == 1
    wire.ask(venue, calls[0])
    wire.after(4)
    wire.ask(venue, venue.dead_man([btc], 5_000)[0])
    wire.after(4)
    assert len(wire.ask(venue, venue.open_orders(btc))[0]) == 1
    wire.ask(venue, venue.dead_man([btc], 0)[0])
    wire.after(10)
    assert len(wire.ask(venue, venue.open_orders(btc))[0]) == 1
    wire.ask(venue, venue.dead_man([btc], 5_000)[0])
    wire.after(6)
    assert wire.ask(venue, venue.open_orders(btc)) == ([], "")


def test_place_refuses_what_no_order_can_be(venue, btc):
    for client_id, px, qty in (("x", -1, 1), ("x", 1, 0), ("", 1, 1), ("x" * 37, 1, 1)):
        with pytest.raises(ValueError, match="no such order"):
            venue.place(btc, client_id, Side.BUY, px, qty, is_ioc=True, is_reduce_only=False)
    call = venue.place(btc, "x", Side.BUY, 1, 1, is_ioc=True, is_reduce_only=True)
    assert not call.may_repeat
    assert (call.params["timeInForce"], call.params["reduceOnly"]) == ("IOC", "true")
    market = venue.place(btc, "x", Side.SELL, 0, 1, is_ioc=True, is_reduce_only=True)
    assert market.params["type"] == "MARKET"
    assert "price" not in market.params


# -- WHAT WE HOLD ---


def trade(wire, venue, instrument, count, px, start=0):
    """`count` fills of ours as the maker: our bids, somebody else's market sales."""
    other = adapter_of(wire, OTHER)
    for number in range(start, start + count):
        place(wire, venue, instrument, f"tm-{number}", px=px, qty=3)
        place(wire, other, instrument, f"ot-{number}", Side.SELL, px, 3, is_ioc=True)


def all_trades(wire, venue, instrument, since_ns):
    rows, cursor, pages = [], "", 0
    while True:
        page, cursor = wire.ask(venue, venue.trades(instrument, since_ns, cursor))
        rows += page
        pages += 1
        if not cursor:
            return rows, pages


def truth(wire, account=MINE, symbol="BTCUSDT"):
    assets = {"USDT": FeeAsset.QUOTE, "BTC": FeeAsset.BASE}
    return [
        TradeRow(
            symbol, fill.trade_id, fill.order_id, "",
            Side.BUY if fill.side is CoreSide.BUY else Side.SELL,
            fill.px_ticks, fill.qty_lots, fill.fee_e8, assets[fill.fee_asset], fill.is_maker,
            fill.t_ns // 1_000_000 * 1_000_000, str(fill.order_id),
        )
        for fill in wire.core.fills_of(account, symbol)
    ]


def inside_px(wire):
    """A price between best bid and ask, so that users meet nobody but each other."""
    book = json.loads(wire.ask(v := adapter_of(wire), v.snapshot(
        wire.ask(v, v.instruments(["BTCUSDT"], ""))["BTCUSDT"]), is_bytes=True))  # fmt: skip
    return int(Decimal(book["bids"][0][0]) * 10), int(Decimal(book["asks"][0][0]) * 10)


def test_trades_position_and_balances_are_the_cores(wire, venue, btc):
    since_ns = wire.t_ns
    bid, _ = inside_px(wire)
    place(wire, venue, btc, "tm-taker", Side.BUY, bid + 5_000, 7, is_ioc=True)
    place(wire, venue, btc, "tm-close", Side.SELL, 0, 2, is_ioc=True, is_reduce_only=True)
    rows, _ = all_trades(wire, venue, btc, since_ns)
    assert rows == truth(wire)
    assert {row.side for row in rows} == set(Side)
    assert sum(row.qty_lots if row.side is Side.BUY else -row.qty_lots for row in rows) == 5
    assert wire.ask(venue, venue.positions([btc])) == [PositionRow("BTCUSDT", 5)]
    balances = {row.asset: row.total_e8 for row in wire.ask(venue, venue.balances())}
    assert balances == dict(wire.core.accounts[MINE].balances)
    assert wire.ask(venue, venue.order(btc, "tm-taker")).state is OrderState.FILLED


def test_fees_and_rebates_are_exact(wire, venue, btc):
    since_ns = wire.t_ns
    bid, ask = inside_px(wire)
    assert ask - bid > 1
    trade(wire, venue, btc, 3, px=bid + 1)
    rows, _ = all_trades(wire, venue, btc, since_ns)
    assert rows == truth(wire)
    assert all(row.is_maker and row.fee_e8 < 0 for row in rows)
    others = adapter_of(wire, OTHER)
    rows, _ = all_trades(wire, others, btc, since_ns)
    assert rows == truth(wire, OTHER)
    assert all(not row.is_maker and row.fee_e8 > 0 for row in rows)


def test_positions_of_all_instruments_come_in_one_answer_flat_ones_too(wire, venue):
    both = wire.ask(venue, venue.instruments(["BTCUSDT", "ETHUSDT"], ""))
    place(wire, venue, both["BTCUSDT"], "tm-1", Side.SELL, 0, 4)
    assert wire.ask(venue, venue.positions(list(both.values()))) == [
        PositionRow("BTCUSDT", -4), PositionRow("ETHUSDT", 0)]  # fmt: skip


def test_hedge_mode_is_refused(venue, btc):
    row = {"symbol": "BTCUSDT", "positionSide": "LONG", "positionAmt": "0.010"}
    with pytest.raises(TickmakerError, match="hedge mode"):
        venue.positions([btc]).read([row])


def test_trades_are_paged_through_a_crowded_millisecond(btc):
    """All in one instant: only the id tells where the next page starts."""
    core = quiet_core()
    wire = Wire(core, Face(core, limit_factor=1_000))
    venue = adapter_of(wire)
    bid, _ = inside_px(wire)
    trade(wire, venue, btc, 1_003, px=bid + 1)
    wire.after(1)
    trade(wire, venue, btc, 4, px=bid + 1, start=2_000)
    rows, pages = all_trades(wire, venue, btc, wire.t_ns - 2 * DAY_NS)
    assert rows == truth(wire)
    assert len(rows) == 1_007
    assert pages == 3


def test_trades_are_looked_for_in_windows_until_now(wire, venue, btc):
    bid, _ = inside_px(wire)
    begin_ns = wire.t_ns
    trade(wire, venue, btc, 2, px=bid + 1)
    wire.t_ns += 16 * DAY_NS
    trade(wire, venue, btc, 2, px=bid + 1, start=10)
    rows, pages = all_trades(wire, venue, btc, begin_ns)
    assert rows == truth(wire)
    assert pages == 3  # 16 days by 7
    rows, pages = all_trades(wire, venue, btc, wire.t_ns)
    assert (rows, pages) == (truth(wire)[2:], 1)
    assert all_trades(wire, venue, btc, wire.t_ns + 2_000_000) == ([], 1)
    rows, pages = all_trades(wire, venue, btc, 0)
    assert (rows, pages) == (truth(wire), 26)  # no further back than the venue keeps them


# -- CONNECTIONS ---


def test_listen_key_is_made_extended_and_told_gone(wire, venue):
    key = wire.ask(venue, venue.user_token())
    assert wire.ask(venue, venue.user_token()) == key
    assert wire.ask(venue, venue.keep_alive(key)) is True
    assert wire.ask(venue, venue.keep_alive("an older one")) is False
    wire.after(3_700)
    assert wire.refused(venue, venue.keep_alive(key)).is_absent


def test_user_stream_tells_of_orders(wire, venue, btc):
    conn = wire.connect(venue.user_plan(wire.ask(venue, venue.user_token()), wire.utc_ms))
    place(wire, venue, btc, "tm-1")
    events = [json.loads(frame) for frame in wire.take(conn)]
    assert [event["o"]["c"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"] == ["tm-1"]


def test_market_streams_of_several_instruments_come_on_one_connection(wire, venue):
    both = list(wire.ask(venue, venue.instruments(["BTCUSDT", "ETHUSDT"], "")).values())
    conn = wire.connect(venue.market_plan(both))
    other = adapter_of(wire, OTHER)
    for one in both:
        place(wire, other, one, f"ot-{one.symbol}", Side.BUY, 0, 20)
    wire.after(1)
    streams = {json.loads(frame)["stream"] for frame in wire.take(conn)}
    wanted = {f"{s}usdt@{k}" for s in ("btc", "eth") for k in ("depth@0ms", "bookTicker", "trade")}
    assert streams == wanted


def test_many_instruments_subscribe_by_message(wire, venue, btc):
    many = [replace(btc, symbol=name) for name in ["BTCUSDT", "ETHUSDT"] * 20]
    plan = venue.market_plan(many)
    assert (plan.answers, len(plan.texts)) == (1, 1)
    assert len(plan.url) < 100
    conn = wire.connect(plan)
    place(wire, adapter_of(wire, OTHER), btc, "ot-1", Side.BUY, 0, 20)
    assert wire.take(conn)
    for count in (0, 67):
        with pytest.raises(ValueError, match="1 to 66 instruments"):
            venue.market_plan([btc] * count)


def test_ed25519_orders_go_unsigned_after_the_greeting(wire):
    plan = adapter_of(wire, kind="ed25519").trade_plan(wire.utc_ms)
    conn = wire.connect(plan)
    params = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "quantity": "0.010", "price": "59000.0", "timestamp": wire.utc_ms,
    }  # fmt: skip
    wire.say(conn, json.dumps({"id": "x", "method": "order.place", "params": params}))
    assert json.loads(wire.take(conn)[0])["status"] == 200
    bare = wire.connect(adapter_of(wire).trade_plan(wire.utc_ms))
    wire.say(bare, json.dumps({"id": "x", "method": "order.place", "params": params}))
    assert json.loads(wire.take(bare)[0])["status"] != 200


# -- REFUSALS OF THE VENUE'S ---


def test_wrong_key_signature_and_clock_are_told_apart(wire, venue, btc):
    key = wire.core.keys[MINE].keys[0]
    made = {"rest_url": "http://127.0.0.1", "ws_url": {}, "recv_window_ms": 5000}
    wrong = BinanceUsdm("x" * 64, "s", **made)
    assert wire.refused(wrong, wrong.balances()).is_credential
    wrong = BinanceUsdm(key.api_key, "s", **made)
    assert wire.refused(wrong, wrong.balances()).is_credential
    call = venue.balances()
    wire.t_ns += DAY_NS
    signed = venue.sign(call, wire.utc_ms - 60_000)
    venue.sign = lambda *args: signed
    assert wire.refused(venue, call).is_clock


def test_too_much_weight_is_throttled_with_a_time_to_wait(wire, venue, btc):
    used = venue.used_weight(wire.headers)
    for _ in range((venue.weight_per_min - used) // 20):
        wire.ask(venue, venue.fees(btc))
    failure = wire.refused(venue, venue.fees(btc))
    assert failure.is_throttled
    assert 0 < failure.retry_after_s <= 60
