"""A row of REST and an event of a stream name the same trade and the same order: what Binance's
adapters read equals, field by field, what fastcore's decoder makes of the user data stream."""

import random

import pytest
from support_adapter import Wire, secret_of
from support_exchange import quiet_core

from engine.exchange.accounts import FeeRates as CoreRates
from engine.exchange.stack import make_face
from engine.venues.binance_spot import BinanceSpot
from engine.venues.binance_usdm import BinanceUsdm
from fastcore.codec.binance_decode import Decoder
from fastcore.types import EventKind, ExecType, FeeAsset, OrderState, Side

KINDS = {"binance_usdm": BinanceUsdm, "binance_spot": BinanceSpot}
DONE = {OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED}


def start(venue):
    core = quiet_core(fees=CoreRates(maker_ppm=123, taker_ppm=457), venue=venue)
    wire = Wire(core, make_face(venue, core, limit_factor=100))
    ws_url = wire.face.urls("http://127.0.0.1:1", "ws://127.0.0.1:1")["ws_url"]
    made = [
        KINDS[venue](keys.keys[0].api_key, secret_of(keys.keys[0]),
                     rest_url="http://127.0.0.1:1", ws_url=ws_url, recv_window_ms=5_000)
        for keys in core.keys
    ]  # fmt: skip
    return wire, made


def play(wire, made, btc, rng):
    """Orders of two accounts into each other and the book, some canceled; client ids of ours."""
    best = wire.ask(made[0], made[0].best(btc))
    # Mostly between the book's best, where accounts meet each other, and themselves.
    pxs = [best.bid_px_ticks - 2, *[best.bid_px_ticks + 1] * 6, best.ask_px_ticks + 2]
    for number in range(60):
        venue = made[rng.randrange(2)]
        client_id = f"{'tm' if venue is made[0] else 'ot'}0123abcd-01-{number:012x}"
        side = rng.choice((Side.BUY, Side.SELL))
        wire.ask(venue, venue.place(
            btc, client_id, side, rng.choice(pxs),
            btc.lots("0.001") * rng.randrange(1, 60), is_ioc=rng.random() < 0.4,
            is_reduce_only=False,
        ))  # fmt: skip
        wire.after(rng.random() / 10)
        rows, _ = wire.ask(venue, venue.open_orders(btc))
        if rows and rng.random() < 0.3:
            wire.ask(venue, venue.cancel(btc, rng.choice(rows)))


@pytest.mark.parametrize("venue", KINDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rest_rows_are_the_streams_events(venue, seed):
    wire, made = start(venue)
    mine = made[0]
    btc = wire.ask(mine, mine.instruments(["BTCUSDT"], ""))["BTCUSDT"]
    token = mine.user_token()
    conn = wire.connect(mine.user_plan(wire.ask(mine, token) if token else "", wire.utc_ms))
    since_ns = wire.t_ns
    play(wire, made, btc, random.Random(seed))
    decoder = Decoder("BTCUSDT", btc.tick, btc.lot, "tm0123abcd-01-", "BTC", "USDT")
    decoded = [decoder.decode_bytes(frame) for frame in wire.take(conn)]
    orders = [event for kind, event in decoded if kind == EventKind.ORDER]
    fills = [event for event in orders if event["exec_type"] == ExecType.TRADE]
    assert len(fills) > 5
    rows, cursor = wire.ask(mine, mine.trades(btc, since_ns))
    assert cursor == ""
    names = ("trade_id", "venue_order_id", "side", "fee_e8", "fee_asset", "is_maker")
    told = [
        (*(event[name] for name in names), event["last_px_ticks"], event["last_qty_lots"],
         event["exch_ts_ns"])
        for event in fills
    ]  # fmt: skip
    read = [
        (*(getattr(row, name) for name in names), row.px_ticks, row.qty_lots, row.exch_ts_ns)
        for row in rows
    ]
    assert sorted(told) == sorted(read)
    assert {row.is_maker for row in rows} == {True, False}
    assert FeeAsset.OTHER not in {row.fee_asset for row in rows}
    last = {event["venue_order_id"]: event for event in orders}
    states = set()
    for event in last.values():
        row = wire.ask(mine, mine.order(btc, f"tm0123abcd-01-{event['intent_id']:012x}"))
        assert row.state == event["status"]
        for name in ("venue_order_id", "side", "px_ticks", "qty_lots", "cum_qty_lots"):
            assert getattr(row, name) == event[name], name
        states.add(row.state)
    assert states >= {OrderState.FILLED, OrderState.CANCELED}
    open_ids = {row.venue_order_id for row in wire.ask(mine, mine.open_orders(btc))[0]}
    assert open_ids == {number for number, event in last.items() if event["status"] not in DONE}
