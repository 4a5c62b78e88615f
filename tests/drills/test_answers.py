"""The venue's answers are lost, wrong, late, or no: nothing is ever sent twice or forgotten."""

import time
from collections import Counter
from collections.abc import Callable

import pytest
from field import Field, is_ours, until

Judge = Callable[..., None]


def _harm(field: Field, kind: str, seconds: float = 1.5, **fields: object) -> None:
    """While it quotes; the fault must have hit something."""
    before = field.exchange.hits().get(kind, 0)
    field.exchange.fault(kind, for_=f"{seconds:g}s", **fields)
    time.sleep(seconds)
    assert field.exchange.hits().get(kind, 0) > before, f"{kind} hit nothing"


@pytest.mark.short("bybit")
def test_answers_of_orders_are_lost(field: Field, judged: Judge) -> None:
    engine = field.run()
    _harm(field, "ack_lost", 2.0, via="ws")
    field.again(engine)
    engine.stop()
    judged()


@pytest.mark.parametrize("effect", [True, False])
def test_fate_unknown(field: Field, judged: Judge, effect: bool) -> None:
    engine = field.run()
    _harm(field, "unknown", 2.0, via="ws", effect=effect)
    field.again(engine)
    engine.stop()
    judged()


def test_answers_come_late(field: Field, judged: Judge) -> None:
    engine = field.run()
    _harm(field, "timeout", 2.0, via="ws", effect=True, late="2s")
    field.again(engine)
    engine.stop()
    judged()


@pytest.mark.parametrize("via", ["any", "ws"])
def test_throttled(field: Field, judged: Judge, via: str) -> None:
    engine = field.run()
    mark = engine.mark
    _harm(field, "throttled", 2.0, via=via, retry_after="2s")
    time.sleep(1.0)
    field.again(engine)
    assert not [line for line in engine.events("error", mark)]
    engine.stop()
    judged()


def test_banned(field: Field, judged: Judge) -> None:
    """418: nothing is asked before the told time is over, then it goes on. Bybit's words are "try
    again in 10 minutes": who reads them waits, and can't prove the end meanwhile."""
    engine = field.run()
    field.exchange.fault("drop_all")
    _harm(field, "banned", 3.0, via="any", retry_after="4s")
    if not field.place.is_bybit:
        field.again(engine, 60.0)
        engine.stop()
        judged()
        return
    time.sleep(10.0)
    is_told = any("10 minutes" in str(line) for line in engine.lines)
    before = field.exchange.admin("/health")["counters"]["requests"]
    time.sleep(5.0)
    if is_told:
        assert field.exchange.admin("/health")["counters"]["requests"] == before
        assert engine.state
    engine.stop(code=1 if is_told else 0)
    if not is_told:
        judged()


def test_the_venue_is_unavailable(field: Field, judged: Judge) -> None:
    engine = field.run()
    _harm(field, "unavailable", 2.0, via="any")
    field.again(engine)
    engine.stop()
    judged()


def test_errors_after_the_effect_at_shutdown(field: Field, judged: Judge) -> None:
    engine = field.run()
    field.exchange.fault("error_after_effect", for_="2s", via="rest")
    engine.stop()
    assert field.exchange.hits().get("error_after_effect", 0) > 0
    judged()


def test_a_cancel_all_that_leaves_orders(field: Field, judged: Judge) -> None:
    """TRADE is lost, so what rests is pulled over REST; of two quotes one stays, whatever the
    answer says. The query that follows tells, and the next call pulls it."""
    engine = field.run()
    until("two quotes", lambda: len(field.exchange.open_orders()) > 1)
    mark, after = engine.mark, field.exchange.length - 1
    field.exchange.fault("cancel_all_partial", for_="6s", max=1)
    field.exchange.fault("half_open", conn="trade", for_="20ms")
    engine.wait("connection", mark, name="TRADE", state="up")
    field.again(engine)
    together = Counter(
        row["t_ns"] for row in field.exchange.truth(after)
        if row["kind"] == "order" and row["status"] == "CANCELED"
        and is_ours(row["client_order_id"])
    )  # fmt: skip
    assert together
    assert max(together.values()) == 1, "one call pulled them all"
    engine.stop()
    judged()


@pytest.mark.parametrize("by", ["2s", "-2s"])
def test_the_venues_clock_jumps(field: Field, judged: Judge, by: str) -> None:
    engine = field.run()
    mark = engine.mark
    field.exchange.fault("clock_step", by=by)
    engine.aside("CLOCK", mark)
    field.again(engine)
    field.fills(1, field.exchange.length - 1)
    engine.stop()
    judged()


def test_the_instrument_is_halted(field: Field, judged: Judge) -> None:
    engine = field.run()
    field.exchange.fault("halt_instrument", symbol=field.place.book, for_="4s")
    time.sleep(4.5)
    field.again(engine, 60.0)
    engine.stop()
    judged()


def test_the_instrument_is_delisted(field: Field, judged: Judge) -> None:
    """Nothing is open there any more; the engine stands aside and ends in order."""
    engine = field.run()
    field.exchange.fault("delist", symbol=field.place.book)
    time.sleep(3.0)
    assert not field.exchange.open_orders()
    after = field.exchange.length
    time.sleep(2.0)
    sent = [row for row in field.exchange.truth(after) if row["kind"] == "order"]
    assert not sent
    engine.stop(code=None)
    judged()
