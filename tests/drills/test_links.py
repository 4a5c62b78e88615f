"""Connections fail in every way the exchange knows: it stands aside, comes back, and is right."""

from collections.abc import Callable

import pytest
from field import Field

Judge = Callable[..., None]
ROLES = {"market": "MARKET", "user": "USER", "trade": "TRADE"}


def _skip_if_one(field: Field, conn: str) -> None:
    if conn == "user" and field.place.is_spot:
        pytest.skip("at the exchange, spot's user stream is a trade connection, and goes with it")


@pytest.mark.parametrize("conn", list(ROLES))
def test_a_connection_is_cut(field: Field, judged: Judge, conn: str) -> None:
    _skip_if_one(field, conn)
    engine = field.run()
    mark = engine.mark
    # A moment of silence, then the venue resets the connection.
    field.exchange.fault("half_open", conn=conn, for_="20ms")
    engine.wait("connection", mark, name=ROLES[conn], state="down")
    engine.wait("connection", mark, name=ROLES[conn], state="up")
    field.again(engine)
    field.fills(1, field.exchange.length - 1)
    engine.stop()
    judged()


def test_all_streams_are_dropped_again_and_again(field: Field, judged: Judge) -> None:
    engine = field.run()
    for _ in range(3):
        mark = engine.mark
        field.exchange.fault("drop_all")
        field.sweep()  # fills that no stream tells of
        for name in ROLES.values():
            engine.wait("connection", mark, name=name, state="up")
        field.again(engine)
    engine.stop()
    judged()


@pytest.mark.parametrize("conn", list(ROLES))
def test_half_open(field: Field, judged: Judge, conn: str) -> None:
    """TCP stands, nobody answers: the engine finds it out, or the market would."""
    _skip_if_one(field, conn)
    engine = field.run()
    mark = engine.mark
    field.exchange.fault("half_open", conn=conn, for_="12s")
    field.sweep()
    engine.wait("connection", mark, name=ROLES[conn], state="down", patience_s=20.0)
    field.again(engine, 60.0)
    engine.stop()
    judged()


@pytest.mark.parametrize("conn", ["market", "user"])
def test_subscribed_and_silent(field: Field, judged: Judge, conn: str) -> None:
    """The new connection's subscription is answered, and nothing ever comes of it."""
    _skip_if_one(field, conn)
    engine = field.run()
    mark = engine.mark
    field.exchange.fault("silent_subscribe", conn=conn, for_="6s")
    field.exchange.fault("half_open", conn=conn, for_="20ms")
    engine.wait("connection", mark, name=ROLES[conn], state="up")
    field.sweep()
    field.again(engine, 60.0)
    field.fills(1, field.exchange.length - 1)
    engine.stop()
    judged()


@pytest.mark.parametrize("conn", ["market", "user"])
def test_heartbeats_and_no_data(field: Field, judged: Judge, conn: str) -> None:
    engine = field.run()
    after = field.exchange.length
    if conn == "user" and field.place.is_spot:
        field.exchange.fault("drop", stream="executionReport", for_="10s")
    else:
        field.exchange.fault("heartbeat_only", conn=conn, for_="10s")
    field.sweep()
    field.fills(1, after)
    field.again(engine, 60.0)
    field.fills(1, field.exchange.length - 1)
    engine.stop()
    judged()


@pytest.mark.short("binance_spot")
def test_the_user_stream_is_lost(field: Field, judged: Judge) -> None:
    """USD-M: its listen key has expired. Elsewhere the connection's session ends."""
    engine = field.run()
    mark = engine.mark
    field.exchange.fault("listen_key_expiry")
    engine.wait("connection", mark, name="USER", state="down")
    field.sweep()
    engine.wait("connection", mark, name="USER", state="up")
    field.again(engine)
    engine.stop()
    judged()


def test_a_snapshot_older_than_the_stream(field: Field, judged: Judge) -> None:
    engine = field.run()
    mark = engine.mark
    field.exchange.fault("stale_snapshot", symbol=field.place.book, for_="3s")
    field.exchange.fault("half_open", conn="market", for_="20ms")
    engine.aside("BOOK", mark)
    field.again(engine)
    engine.stop()
    judged()


def test_update_ids_begin_anew(field: Field, judged: Judge) -> None:
    engine = field.run()
    mark = engine.mark
    field.exchange.fault("sequence_reset", symbol=field.place.book)
    if not field.place.is_bybit:  # which begins anew with a snapshot
        engine.aside("BOOK", mark)
    field.again(engine, 60.0)
    field.fills(1, field.exchange.length - 1)
    engine.stop()
    judged()
