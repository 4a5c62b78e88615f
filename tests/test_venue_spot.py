"""engine.venues.binance_spot against the local exchange: every call is answered and read, and what
is read is the core's truth; wrong answers are refused by name; documented samples as goldens."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from support_adapter import Wire, secret_of
from support_exchange import quiet_core

from engine.errors import TickmakerError
from engine.exchange.accounts import FeeRates as CoreRates
from engine.exchange.binance.spot import BinanceSpot as Face
from engine.exchange.book import Side as CoreSide
from engine.exchange.commands import SetState
from engine.exchange.terms import MarketState
from engine.venues.base import Best, Call, FeeRates, KeyFacts, Said, TradeRow, Wanted
from engine.venues.binance_spot import BinanceSpot, whole_lots
from fastcore.types import FeeAsset, OrderState, Side

DAY_NS = 86_400_000_000_000
MINE, OTHER = 0, 1
E8 = 100_000_000


def adapter_of(wire, account=MINE, kind="hmac", rest_url="http://127.0.0.1:1"):
    keys = wire.core.keys[account]
    key = keys.ed25519 if kind == "ed25519" else keys.keys[0]
    urls = wire.face.urls(rest_url, "ws://127.0.0.1:1")
    return BinanceSpot(
        key.api_key, secret_of(key), rest_url=rest_url, ws_url=urls["ws_url"],
        recv_window_ms=5000,
    )  # fmt: skip


@pytest.fixture(params=["hmac", "ed25519"])
def kind(request):
    return request.param


def make_wire(limit_factor=1):
    fees = CoreRates(maker_ppm=750, taker_ppm=1_000)
    core = quiet_core(fees=fees, venue="binance_spot")
    return Wire(core, Face(core, limit_factor))


@pytest.fixture
def wire():
    return make_wire()


@pytest.fixture
def venue(wire):
    return adapter_of(wire)


@pytest.fixture
def btc(wire, venue):
    return wire.ask(venue, venue.instruments(["BTCUSDT"], "spot"))["BTCUSDT"]


def place(wire, venue, instrument, client_id, side=Side.BUY, px=None, qty=1_000, is_ioc=False):
    px = instrument.ticks("59000") if px is None else px
    call = venue.place(
        instrument, client_id, side, px, qty, is_ioc=is_ioc, is_reduce_only=False
    )
    wire.ask(venue, call)


# -- FACTS ---


def test_time_is_the_venues(wire, venue):
    assert wire.ask(venue, venue.time()) // 1_000_000 == wire.utc_ms


def test_instrument_has_its_filters_and_the_accounts_limits(wire, venue, btc):
    core = wire.core.markets["BTCUSDT"].instrument
    assert (btc.venue, btc.base, btc.quote, btc.is_trading) == (
        "binance_spot", "BTC", "USDT", True)  # fmt: skip
    assert (Decimal(btc.tick), Decimal(btc.lot)) == (core.px.step, core.qty.step)
    assert btc.qty_min == core.qty_lots_min * core.qty.step
    assert btc.notional_min == Decimal(core.min_notional)
    assert (btc.orders_per_10s_max, btc.orders_per_min_max) == (50, None)
    assert btc.open_orders_max == 200


def test_unknown_symbol_is_the_venues_to_refuse_and_a_halted_one_is_not_trading(wire, venue):
    assert wire.refused(venue, venue.instruments(["BTCUSDX"], "")).code == -1121
    wire.core.operate(SetState("BTCUSDT", MarketState.HALTED), wire.t_ns)
    assert not wire.ask(venue, venue.instruments(["BTCUSDT"], ""))["BTCUSDT"].is_trading
    with pytest.raises(TickmakerError, match="'ETHUSDT' is unknown"):
        venue.instruments(["ETHUSDT"], "").read({"rateLimits": [], "symbols": []})


def test_snapshot_is_the_body_as_it_came(wire, venue, btc):
    body = wire.ask(venue, venue.snapshot(btc), is_bytes=True)
    assert json.loads(body)["asks"]


def test_best_is_the_books(wire, venue, btc):
    book = json.loads(wire.ask(venue, venue.snapshot(btc), is_bytes=True))
    (bid_px, bid_qty), (ask_px, ask_qty) = book["bids"][0], book["asks"][0]
    assert wire.ask(venue, venue.best(btc)) == Best(
        btc.ticks(bid_px), btc.lots(bid_qty), btc.ticks(ask_px), btc.lots(ask_qty)
    )
    assert venue.order_history(btc, "x") is None
    assert venue.order_history_by_id(btc, "1") is None


def test_key_facts_are_the_keys_but_on_testnets(wire, venue):
    assert wire.ask(venue, venue.key_facts()) == KeyFacts(True, False, False)
    assert adapter_of(wire, rest_url="https://api.binance.com").key_facts() is not None
    for host in ("testnet.binance.vision", "demo-api.binance.com"):
        assert adapter_of(wire, rest_url=f"https://{host}").key_facts() is None


def test_account_facts_and_fees(wire, venue, btc):
    facts = wire.ask(venue, venue.account_facts())
    assert (facts.position_mode, facts.margin_mode, facts.can_trade) == (None, None, True)
    assert wire.ask(venue, venue.fees(btc)) == FeeRates(750, 1_000)


def test_fees_are_the_sum_of_what_an_order_is_charged(venue, btc):
    """Documented sample of account/commission, and finer rates rounded against us."""
    rates = {
        "symbol": "BTCUSDT",
        "standardCommission": {"maker": "0.00000010", "taker": "0.00000020",
                               "buyer": "0.00000030", "seller": "0.00000040"},
        "specialCommission": {"maker": "0.01000000", "taker": "0.02000000",
                              "buyer": "0.03000000", "seller": "0.04000000"},
        "taxCommission": {"maker": "0.00000112", "taker": "0.00000114",
                          "buyer": "0.00000118", "seller": "0.00000116"},
        "discount": {"enabledForAccount": True, "enabledForSymbol": True,
                     "discountAsset": "BNB", "discount": "0.75000000"},
    }  # fmt: skip
    # maker: 0.1 + 0.4, 10,000 + 40,000, 1.12 + 1.18 millionths
    assert venue.fees(btc).read(rates) == FeeRates(50_003, 60_003)


def test_settings_that_spot_lacks_are_refused(wire, venue, btc):
    for wanted in (Wanted("cross", None, None), Wanted(None, 3, None)):
        with pytest.raises(TickmakerError, match="spot has no margin"):
            venue.settings(wanted, btc)
    assert venue.settings(Wanted(None, None, None), btc) == ()
    assert venue.settings(Wanted(None, None, None, "expire_maker"), btc) == ()
    for stp in ("none", "expire_taker", "expire_both"):
        with pytest.raises(TickmakerError, match="default of BTCUSDT, expire_maker"):
            venue.settings(Wanted(None, None, None, stp), btc)
    with pytest.raises(TickmakerError, match="not known yet"):
        venue.settings(Wanted(None, None, None, "none"), replace(btc, symbol="ETHUSDT"))


def test_fee_discount_is_turned_off_and_refused_where_it_can_not_be(wire, venue, btc):
    (setting,) = venue.settings(Wanted(None, None, False), btc)
    wire.ask(venue, setting.call)
    with pytest.raises(ValueError, match="spotBNBBurn to be false"):
        setting.call.read({"spotBNBBurn": True, "interestBNBBurn": False})
    (setting,) = venue.settings(Wanted(None, None, True), btc)
    assert not setting.is_done(wire.refused(venue, setting.call))
    far = adapter_of(wire, rest_url="https://testnet.binance.vision")
    with pytest.raises(TickmakerError, match="no such setting"):
        far.settings(Wanted(None, None, True), btc)


# -- ORDERS ---


def test_an_order_is_placed_found_and_canceled(wire, kind, btc):
    venue = adapter_of(wire, kind=kind)
    place(wire, venue, btc, "tm-1")
    placed = wire.core.open_orders(MINE, "BTCUSDT")[0]
    rows, cursor = wire.ask(venue, venue.open_orders(btc))
    assert cursor == ""
    row = rows[0]
    assert (row.client_id, row.venue_order_id, row.side, row.state) == (
        "tm-1", placed.order_id, Side.BUY, OrderState.NEW)  # fmt: skip
    assert (row.px_ticks, row.qty_lots, row.cum_qty_lots) == (
        placed.px_ticks, placed.qty_lots, 0)  # fmt: skip
    assert wire.ask(venue, venue.order(btc, "tm-1")) == row
    assert wire.ask(venue, venue.order_by_id(btc, row.venue_order_text)) == row
    wire.ask(venue, venue.cancel(btc, row))
    assert wire.ask(venue, venue.open_orders(btc)) == ([], "")
    assert wire.ask(venue, venue.order(btc, "tm-1")).state is OrderState.CANCELED
    assert wire.refused(venue, venue.cancel(btc, row)).is_absent
    assert wire.refused(venue, venue.order(btc, "tm-never")).is_absent


def test_orders_that_wait_are_among_the_open_ones(wire, venue, btc):
    params = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS_LIMIT", "timeInForce": "GTC",
        "quantity": "0.01", "price": "50000", "stopPrice": "51000", "newClientOrderId": "stop",
    }  # fmt: skip
    wire.ask(venue, Call("POST", "/api/v3/order", lambda _: None, params, is_signed=True))
    rows, _ = wire.ask(venue, venue.open_orders(btc))
    assert [(row.client_id, row.state, row.is_conditional) for row in rows] == [
        ("stop", OrderState.NEW, False)]  # fmt: skip
    assert venue.open_conditional(btc) is None
    wire.ask(venue, venue.cancel(btc, rows[0]))
    assert wire.ask(venue, venue.open_orders(btc)) == ([], "")


def test_cancel_all_says_when_nothing_was_there(wire, venue, btc):
    for number in range(3):
        place(wire, venue, btc, f"tm-{number}")
    (call,) = venue.cancel_all(btc)
    wire.ask(venue, call)
    assert wire.ask(venue, venue.open_orders(btc)) == ([], "")
    assert wire.refused(venue, call).is_absent


def test_what_spot_has_not(venue, btc):
    with pytest.raises(ValueError, match="no reduce-only"):
        venue.place(btc, "x", Side.SELL, 1, 1, is_ioc=True, is_reduce_only=True)
    assert venue.dead_man([btc], 5000) == ()
    assert not venue.has_dead_man
    assert venue.cancel_many(btc, []) is None
    assert venue.user_token() is None
    assert venue.keep_alive("") is None


# -- WHAT WE HOLD ---


def truth(wire, account=MINE):
    assets = {"USDT": FeeAsset.QUOTE, "BTC": FeeAsset.BASE}
    return [
        TradeRow(
            "BTCUSDT", fill.trade_id, fill.order_id, "",
            Side.BUY if fill.side is CoreSide.BUY else Side.SELL,
            fill.px_ticks, fill.qty_lots, fill.fee_e8, assets[fill.fee_asset], fill.is_maker,
            fill.t_ns // 1_000_000 * 1_000_000, str(fill.order_id),
        )
        for fill in wire.core.fills_of(account, "BTCUSDT")
    ]


def all_trades(wire, venue, instrument, since_ns):
    rows, cursor, pages = [], "", 0
    while True:
        page, cursor = wire.ask(venue, venue.trades(instrument, since_ns, cursor))
        rows += page
        pages += 1
        if not cursor:
            return rows, pages


def inside(wire, venue, btc):
    body = wire.ask(venue, venue.snapshot(btc), is_bytes=True)
    return btc.ticks(json.loads(body)["bids"][0][0]) + 1


def trade(wire, venue, btc, count, start=0):
    """Fills of ours as the maker: our bids, somebody else's sales."""
    px, other = inside(wire, venue, btc), adapter_of(wire, OTHER)
    for number in range(start, start + count):
        place(wire, venue, btc, f"tm-{number}", px=px, qty=37)
        place(wire, other, btc, f"ot-{number}", Side.SELL, px, 37, is_ioc=True)


def test_trades_balances_and_position_are_the_cores(wire, venue, btc):
    since_ns = wire.t_ns
    before = wire.ask(venue, venue.positions([btc]))[0].position_lots
    place(wire, venue, btc, "tm-buy", px=btc.ticks("70000"), qty=1_234, is_ioc=True)
    place(wire, venue, btc, "tm-sell", Side.SELL, 0, 234, is_ioc=True)
    rows, _ = all_trades(wire, venue, btc, since_ns)
    assert rows == truth(wire)
    assert {(row.side, row.fee_asset) for row in rows} == {
        (Side.BUY, FeeAsset.BASE), (Side.SELL, FeeAsset.QUOTE)}  # fmt: skip
    account = wire.core.accounts[MINE]
    balances = {row.asset: row.total_e8 for row in wire.ask(venue, venue.balances())}
    assert balances == {asset: total for asset, total in account.balances.items() if total}
    (position,) = wire.ask(venue, venue.positions([btc]))
    lot_e8 = int(Decimal(btc.lot) * E8)
    held_lots, dust_e8 = divmod(account.balances["BTC"], lot_e8)
    assert position.position_lots == held_lots
    assert dust_e8 > 0  # the fee was paid in the base asset
    assert position.position_lots < before + 1_000  # so it bought less than it ordered


def test_what_is_locked_is_held(wire, venue, btc):
    before = wire.ask(venue, venue.positions([btc]))
    place(wire, venue, btc, "tm-1", Side.SELL, btc.ticks("65000"), 5_000)
    assert wire.core.accounts[MINE].locked["BTC"] > 0
    assert wire.ask(venue, venue.positions([btc])) == before


def test_dust_is_no_position(btc):
    lot_e8 = int(Decimal(btc.lot) * E8)
    for total_e8, lots in ((0, 0), (lot_e8 - 1, 0), (lot_e8, 1), (3 * lot_e8 + 1, 3), (-1, 0)):
        assert whole_lots(total_e8, btc) == lots
    finest = replace(btc, lot="0.00000001")
    assert whole_lots(10**20 + 1, finest) == 10**20 + 1


def test_a_base_asset_that_is_not_held_is_a_flat_position(venue, btc):
    answer = {"balances": [{"asset": "USDT", "free": "1.00000000", "locked": "0.00000000"}]}
    assert venue.positions([btc]).read(answer)[0].position_lots == 0


def test_trades_are_looked_for_by_days_until_now(wire, venue, btc):
    begin_ns = wire.t_ns
    trade(wire, venue, btc, 2)
    wire.t_ns += 5 * DAY_NS // 2
    trade(wire, venue, btc, 2, start=10)
    rows, pages = all_trades(wire, venue, btc, begin_ns)
    assert (rows, pages) == (truth(wire), 3)
    rows, pages = all_trades(wire, venue, btc, wire.t_ns)
    assert (rows, pages) == (truth(wire)[2:], 1)
    rows, pages = all_trades(wire, venue, btc, wire.t_ns - DAY_NS)  # where two windows meet
    assert (rows, pages) == (truth(wire)[2:], 2)


def test_trades_are_paged_by_time_and_through_a_crowded_millisecond():
    wire = make_wire(limit_factor=1_000)
    venue = adapter_of(wire)
    btc = wire.ask(venue, venue.instruments(["BTCUSDT"], "spot"))["BTCUSDT"]
    since_ns = wire.t_ns
    trade(wire, venue, btc, 600)
    wire.after(1)
    trade(wire, venue, btc, 1_500, start=1_000)
    wire.after(1)
    trade(wire, venue, btc, 3, start=4_000)
    rows, _ = all_trades(wire, venue, btc, since_ns)
    assert len(rows) == 2_103
    assert rows == truth(wire)


# -- CONNECTIONS ---


def test_user_stream_tells_of_orders_with_either_kind_of_key(wire, kind, btc):
    venue = adapter_of(wire, kind=kind)
    plan = venue.user_plan("", wire.utc_ms)
    assert plan.read(b'{"id":"user","status":200,"result":{}}')[0] is Said.BAD
    conn = wire.connect(plan)
    place(wire, venue, btc, "tm-1")
    events = [json.loads(frame)["event"] for frame in wire.take(conn)]
    assert [event["c"] for event in events if event["e"] == "executionReport"] == ["tm-1"]


def test_market_streams_come_on_one_connection(wire, venue, btc):
    conn = wire.connect(venue.market_plan([btc]))
    place(wire, adapter_of(wire, OTHER), btc, "ot-1", px=0, qty=5_000, is_ioc=True)
    wire.after(1)
    streams = {json.loads(frame)["stream"] for frame in wire.take(conn)}
    assert streams == {f"btcusdt@{kind}" for kind in ("depth@100ms", "bookTicker", "trade")}


def test_many_instruments_subscribe_by_message(wire, venue, btc):
    plan = venue.market_plan([btc] * 341)
    assert plan.answers == len(plan.texts) == 6
    assert plan.texts[0].count("btcusdt@") == 200
    with pytest.raises(ValueError, match="1 to 341"):
        venue.market_plan([btc] * 342)
    conn = wire.connect(venue.market_plan([btc] * 30))
    place(wire, adapter_of(wire, OTHER), btc, "ot-1", px=0, qty=5_000, is_ioc=True)
    assert wire.take(conn)


def test_ed25519_orders_go_unsigned_after_the_greeting(wire, btc):
    params = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "quantity": "0.01", "price": "59000", "timestamp": wire.utc_ms,
    }  # fmt: skip
    text = json.dumps({"id": "x", "method": "order.place", "params": params})
    conn = wire.connect(adapter_of(wire, kind="ed25519").trade_plan(wire.utc_ms))
    wire.say(conn, text)
    assert json.loads(wire.take(conn)[0])["status"] == 200
    bare = wire.connect(adapter_of(wire).trade_plan(wire.utc_ms))
    wire.say(bare, text)
    assert json.loads(wire.take(bare)[0])["status"] != 200


# -- WRONG ANSWERS ---

# The documents' own samples: rest-api.md (Query order, Account trade list).
ORDER = {
    "symbol": "BTCUSDT", "orderId": 1, "orderListId": -1, "clientOrderId": "myOrder1",
    "price": "0.10000000", "origQty": "1.00000000", "executedQty": "0.00000000",
    "cummulativeQuoteQty": "0.00000000", "status": "NEW", "timeInForce": "GTC", "type": "LIMIT",
    "side": "BUY", "stopPrice": "0.0", "icebergQty": "0.0", "time": 1499827319559,
    "updateTime": 1499827319559, "isWorking": True, "workingTime": 1499827319559,
    "origQuoteOrderQty": "0.000000", "selfTradePreventionMode": "NONE",
}  # fmt: skip
TRADE = {
    "symbol": "BTCUSDT", "id": 28457, "orderId": 100234, "orderListId": -1,
    "price": "4.00000000", "qty": "12.00000000", "quoteQty": "48.000012",
    "commission": "10.10000000", "commissionAsset": "BNB", "time": 1499865549590,
    "isBuyer": True, "isMaker": False, "isBestMatch": True,
}  # fmt: skip


def test_documented_rows_read_exactly(venue, btc):
    row = venue.open_orders(btc).read([ORDER])[0][0]
    assert (row.px_ticks, row.qty_lots, row.state) == (10, 100_000, OrderState.NEW)
    trade = venue.trades(btc, 0).read([TRADE])[0][0]
    assert trade == TradeRow(
        "BTCUSDT", 28457, 100234, "", Side.BUY, 400, 1_200_000, 1_010_000_000, FeeAsset.OTHER,
        False, 1499865549590_000_000, "100234",
    )  # fmt: skip
    prevented = {**ORDER, "preventedQuantity": "0.40000000", "status": "EXPIRED_IN_MATCH"}
    row = venue.open_orders(btc).read([prevented])[0][0]
    assert (row.qty_lots, row.state) == (60_000, OrderState.EXPIRED)


@pytest.mark.parametrize(("change", "named"), [
    ({"isBuyer": 1}, "isBuyer"), ({"isMaker": None}, "isMaker"), ({"price": "four"}, "price"),
    ({"qty": "0"}, "qty"), ({"qty": 12}, "qty"), ({"id": -1}, "id"), ({"time": 1.5}, "time"),
    ({"symbol": "ETHUSDT"}, "symbol"), ({"commission": "1E-8"}, "commission"),
    ({"commissionAsset": None}, "commissionAsset"),
])  # fmt: skip
def test_broken_trades_are_refused_by_name(venue, btc, change, named):
    with pytest.raises(ValueError, match=f"myTrades: Expected {named}"):
        venue.trades(btc, 0).read([{**TRADE, **change}])


@pytest.mark.parametrize("balances", [
    None, {}, [1], [{"asset": "BTC", "free": "1"}], [{"asset": "BTC", "free": "1", "locked": 0}],
    [{"asset": "BTC", "free": "1.123456789", "locked": "0"}], [{"free": "1", "locked": "0"}],
])  # fmt: skip
def test_broken_balances_are_refused(venue, btc, balances):
    for call in (venue.balances(), venue.positions([btc])):
        with pytest.raises(ValueError, match=r"account\.balances: Expected"):
            call.read({"balances": balances})


@pytest.mark.parametrize("document", [None, [], "", 1, {}, "<html></html>"])
def test_other_shapes_are_never_taken_for_nothing(venue, btc, document):
    calls = [venue.time(), venue.account_facts(), venue.fees(btc), venue.key_facts(),
             venue.order(btc, "x"), venue.balances(), venue.positions([btc]),
             venue.instruments(["BTCUSDT"], "")]  # fmt: skip
    if document != []:
        calls += [venue.open_orders(btc), venue.trades(btc, 0), *venue.cancel_all(btc)]
    for call in calls:
        with pytest.raises(ValueError, match="Expected"):
            call.read(document)
