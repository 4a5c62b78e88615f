"""What people do: command lines, Ctrl-C at the wrong moment, keys, orders by hand."""

import signal
import time
from collections.abc import Callable

import pytest
from field import Field, is_ours, until
from judge import Ledger
from stranger import Stranger

Judge = Callable[..., None]
FAR_S = 2.0  # in which an engine that quotes would have


def _quiet(field: Field) -> None:
    """Nothing is placed any more."""
    time.sleep(0.3)
    after = field.exchange.length
    time.sleep(FAR_S)
    placed = [row for row in field.exchange.truth(after) if row.get("exec_type") == "NEW"]
    assert not placed, placed


def _lines(field: Field, query: str) -> list[dict[str, object]]:
    ledger = Ledger(field.engines[-1].run_dir)
    try:
        return ledger.rows(query)
    finally:
        ledger.close()


# -- COMMANDS ---


def test_halt_params_resume(field: Field, judged: Judge) -> None:
    engine = field.run()
    assert field.tell("halt", engine)[0] == 0
    until("no order of ours", lambda: not field.exchange.open_orders())
    _quiet(field)
    code, said = field.tell("params", engine, "half_spread_ticks=3")
    assert code == 0, said
    code, said = field.tell("params", engine, "half_spread_tick=3")
    assert code == 2, said
    assert "half_spread_ticks" in said
    code, said = field.tell("params", engine, "qty_lots_max=1000")
    assert code == 2, f"a limit was changed: {said}"
    assert field.tell("resume", engine)[0] == 0
    field.again(engine)
    engine.stop()
    judged()
    assert [row["params"] for row in _lines(field, "SELECT params FROM params")]
    assert any("OPERATOR" in str(row["reasons"])
               for row in _lines(field, "SELECT reasons FROM states"))  # fmt: skip
    told = Ledger(engine.run_dir)
    assert [row["command"] for row in told.events("operator")] == ["HALT", "PARAMS", "RESUME"]
    told.close()


def test_for_some_seconds(field: Field, judged: Judge) -> None:
    engine = field.start("--for", "5s")
    engine.wait("quoting")
    assert engine.ended() == 0
    judged()


@pytest.mark.parametrize("step", [
    "clock in step with the venue", "core and journal ready", "USER connection up",
    "TRADE connection up",
])  # fmt: skip
def test_ctrl_c_during_the_start(field: Field, step: str) -> None:
    engine = field.start()
    engine.wait("step", name=step)
    engine.stop()
    assert not field.exchange.open_orders()


def test_the_position_is_closed_at_the_end(field: Field, judged: Judge) -> None:
    """Spot goes back to what it held at the beginning; what is below an order's least stays."""
    engine = field.run(at_shutdown='"flatten"')
    engine.stop()
    judged()
    if not field.place.is_spot:
        held = field.exchange.account()["positions"].get(field.place.book, {"lots": 0})
        assert held["lots"] == 0


# -- KEYS, LOCKS ---


def test_a_second_engine_is_refused(field: Field, judged: Judge) -> None:
    first = field.run()
    second = field.start()
    assert second.ended() == 3
    assert "another engine" in second.said + str(second.lines)
    field.engines.remove(second)
    second.end()
    field.again(first)
    first.stop()
    judged()


def test_a_wrong_key(field: Field) -> None:
    path = field.folder / "wrong.toml"
    path.write_text('api_key = "nobody"\nsecret = "nothing"\n')
    path.chmod(0o600)
    engine = field.start(credential='{ key_file = "wrong.toml" }')
    assert engine.ended() == 1
    said = engine.said + str(engine.lines)
    assert "key" in said
    assert "nothing" not in said.replace("nothing was sent", "")
    assert not field.exchange.open_orders()


def test_a_key_that_may_withdraw(field: Field) -> None:
    field.exchange.command(
        "SetKey", account=0, which=0, permissions=["read", "trade", "withdraw"], ips=["127.0.0.1"]
    )
    engine = field.start()
    assert engine.ended() == 3
    assert "may withdraw" in engine.said + str(engine.lines)


def test_a_key_without_addresses_is_told_of(field: Field) -> None:
    """Worthless at a local exchange, so it is a warning here; bound to one, not even that."""
    engine = field.start("--for", "1s")
    told = engine.wait("warning")
    assert "not bound to an address" in told["what"]
    assert engine.ended() == 0
    field.exchange.command(
        "SetKey", account=0, which=0, permissions=["read", "trade"], ips=["127.0.0.1"]
    )
    bound = field.start("--for", "1s")
    assert bound.ended() == 0
    assert not bound.events("warning")


def test_the_key_is_deleted_while_it_trades(field: Field) -> None:
    """Whoever loses the key can't prove anything: the exit code says so."""
    engine = field.run()
    field.exchange.command("SetKey", account=0, which=0, permissions=["read"], ips=[])
    time.sleep(FAR_S)
    field.exchange.command("SetKey", account=0, which=0, permissions=["read", "trade"], ips=[])
    field.again(engine)
    engine.stop()


# -- STRANGERS ---


def test_strangers_are_left_alone(field: Field, judged: Judge) -> None:
    engine = field.run(strangers='"leave"')
    stranger = Stranger(field.exchange)
    name = stranger.rest()
    mine = stranger.rest("SELL", "tm-by-hand-too")
    stranger.take("BUY")
    field.exchange.fault("drop_all")  # and it reconciles with them there
    time.sleep(1.0)
    stranger.take("SELL")
    field.again(engine)
    stranger.take("BUY")
    field.again(engine)
    engine.stop()
    left = {row["client_order_id"] for row in field.exchange.open_orders()}
    assert left == {name, mine}
    judged(strangers_open=2)


def test_strangers_are_cancelled(field: Field, judged: Judge) -> None:
    stranger = Stranger(field.exchange)
    stranger.rest()
    engine = field.run(strangers='"cancel"')
    assert not [row for row in field.exchange.open_orders()
                if not is_ours(row["client_order_id"])]  # fmt: skip
    stranger.rest("SELL", "later")
    stranger.take("BUY")
    field.exchange.fault("drop_all")
    field.again(engine)
    until("the stranger's order gone", lambda: "later" not in {
        row["client_order_id"] for row in field.exchange.open_orders()})  # fmt: skip
    engine.stop()
    judged()


def test_strangers_halt_it(field: Field, judged: Judge) -> None:
    engine = field.run(strangers='"halt"')
    mark = engine.mark
    Stranger(field.exchange).take("BUY")
    engine.wait("divergence", mark)
    until("no order of ours", lambda: not field.exchange.open_orders())
    _quiet(field)
    assert engine.state
    assert field.tell("resume", engine)[0] == 0
    field.again(engine)
    engine.stop()
    judged()


# -- THE VENUE'S OWN SWITCH, AND ITS END ---


def test_the_dead_mans_switch_fires(field: Field, judged: Judge) -> None:
    """Binance counts down from the last renewal; Bybit from the connection's end."""
    if not field.place.has_dead_man:
        pytest.skip("spot has none")
    engine = field.start(dead_man_s="5", half_spread_ticks="50.0")
    engine.wait("started")
    field.quoting(engine)
    until("quotes that rest", field.exchange.open_orders)
    engine.send(signal.SIGKILL if field.place.is_bybit else signal.SIGSTOP)
    time.sleep(0.5)
    assert field.exchange.open_orders(), "pulled by somebody else"
    if field.place.is_bybit:
        until("the switch", lambda: not field.exchange.open_orders())
        assert engine.ended() == 4
        engine = field.run(dead_man_s="5")  # it is set already: quotes need not wait
    else:
        until("the switch", lambda: any(
            row["kind"] == "countdown" and row["phase"] == "fired"
            for row in field.exchange.truth()
        ))  # fmt: skip
        assert not field.exchange.open_orders()
        engine.send(signal.SIGCONT)
        field.again(engine)
    engine.stop()
    judged()


def test_the_exchange_dies_and_starts_anew(field: Field) -> None:
    """It has forgotten everything: who held something there differs from it, and does not quote;
    who is flat goes on."""
    engine = field.run()
    mark = engine.mark
    before = field.exchange.account()
    field.exchange.kill()
    engine.wait("connection", mark, name="USER", state="down")
    field.exchange.start()
    engine.wait("connection", mark, name="USER", state="up", patience_s=60.0)
    engine.wait("connection", mark, name="TRADE", state="up", patience_s=60.0)

    def is_told() -> bool:
        return bool(engine.events("divergence", mark)) or field.exchange.open_orders() != []

    until("a divergence, or quotes", is_told, 60.0)
    if engine.events("divergence", mark):
        _quiet(field)
        assert engine.state
    else:
        assert not before["positions"].get(field.place.book, {"lots": 0})["lots"]
    engine.stop(code=None)
    assert not field.exchange.open_orders()
