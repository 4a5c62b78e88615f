"""A whole engine against the local exchange: start, trade, lose connections, stop."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support_session import PATIENCE_S, WIDE, Rig, rigged, run
from test_reports_connections import spied
from test_reports_fills import begin

from engine import clock
from engine.config import demo_core
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.exchange.face import HttpRequest
from engine.exchange.keys import derive_keys
from engine.gateway import clocksync
from engine.gateway.parent import LINE_BYTES_MAX, Input, Output
from engine.live import shutdown
from engine.live.local import ACCOUNT, local_engine
from fastcore.types import Command, Conn, Halt, OrderState

ROOT = Path(__file__).parents[1]


STEPS = [
    "account locked", "clock in step with the venue", "instrument filters read", "fees read",
    "key rights checked", "account set up", "core and journal ready", "opening position known",
    "USER connection up", "leftover orders cancelled", "account agreed with the venue",
    "balances read", "dead-man switch armed", "TRADE connection up", "MARKET connection up",
    "book synced",
]  # fmt: skip


# -- A GOOD DAY ----------------------------------------------------------------------------


def test_session_starts_step_by_step_trades_and_leaves_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path) as rig:
            await rig.quoting()
            assert len(await rig.open_orders()) >= 1
            await rig.take()
            assert await rig.stop() == EXIT_OK
            assert await rig.open_orders() == []
            rig.check_books()
            assert rig.numbers["fills"] > 0
            assert rig.working == 0
            names = [step["name"] for step in rig.heard.of("step")]
            assert names == STEPS
            assert all(step["ms"] > 0 for step in rig.heard.of("step"))
            (stopped,) = rig.heard.of("stopped")
            assert stopped["open_orders_at_venue"] == 0
            assert rig.heard.lines[-1] is stopped
            assert rig.records("COMMAND")[-1][0] == Command.SHUTDOWN
            check_no_secret(rig)

    run(work)


def check_no_secret(rig: Rig) -> None:
    listen_key = rig.listen_key
    files = [path for path in rig.run_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "config.json", "status.page", "000000.jnl", "events.jsonl", "local.lock", "local.json",
    }  # fmt: skip
    for secret in (rig.secret, rig.key, listen_key):
        assert len(secret) > 10
        assert secret not in rig.heard.written
        for path in files:
            assert secret.encode() not in path.read_bytes(), path


def test_config_json_holds_the_core_that_ran(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path) as rig:
            await rig.quoting()
            await rig.stop()
        document = json.loads((tmp_path / "config.json").read_text())
        core = document["instruments"][0]["core"]
        assert (core["tick"], core["lot"], core["number"]) == ("0.10", "0.001", 0)
        assert document["wall_minus_monotonic_ns"] > 0
        assert len(document["limits_sha256"]) == 64
        assert json.loads(rig.records("CONFIG")[0][1]) == core

    run(work)


def test_leftover_orders_are_cancelled_and_a_position_is_adopted(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path) as rig:
            order = {"symbol": "BTCUSDT", "type": "LIMIT", "side": "BUY", "quantity": "0.007"}
            await rig.mine.api("order.place", **order, timeInForce="GTC", price="59000.00")
            await rig.mine.api("order.place", **order, timeInForce="IOC", price="61000.00")
            await rig.quoting()
            assert all(row["price"] != "59000.00" for row in await rig.open_orders())
            assert rig.numbers["position_lots"] >= 7 - 10
            _, opening = rig.records("OPENING")[0]
            assert int.from_bytes(opening, "little") == 7
            (adopted,) = rig.heard.of("adopted")
            assert adopted["position_lots"] == 7
            rig.check_books(earlier=1, strangers=1)  # its cancel

    run(work)


@pytest.mark.parametrize("is_refused", [False, True])
def test_with_user_lost_what_rests_is_pulled_and_proved_over_rest(
    tmp_path: Path, is_refused: bool
) -> None:
    """TRADE is up, its cancels may be refused, and nobody tells what became of them."""

    async def work() -> None:
        core = WIDE | {"budgets": {"tick_to_order_us_max": 30e6, "ack_ms_max": 200.0}}
        async with rigged(tmp_path, core=core) as rig:
            await rig.quoting()
            asked = spied(rig)
            if is_refused:
                begin(rig, "unknown", via="ws", match="order.cancel", for_="60s")
            rig.proxy.refused.add(Conn.USER)
            rig.proxy.cut(Conn.USER)
            await rig.until(lambda: rig.bits & Halt.USER_STREAM)

            def reads() -> int:
                return sum(isinstance(event, HttpRequest) and "penOrders" in event.path
                           for event in asked)  # fmt: skip

            await rig.until(lambda: reads() > 0)
            await rig.until(lambda: not rig.server.face.core.open_orders(0, "BTCUSDT"))
            assert rig.account.is_trade_up
            assert rig.proxy.accepted.count(Conn.TRADE) == 1
            server: Any = rig.server
            server.act(server.face.end_all(server.now_ns()))
            rig.proxy.refused.clear()
            await rig.quoting_again()
            assert rig.heard.of("reconciled")
            await rig.stop()
            rig.check_books()

    run(work)


def test_stopping_twice_skips_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path) as rig:
            await rig.quoting()
            rig.session.stop()
            await asyncio.sleep(0)
            rig.session.stop()
            assert await rig.stop() == EXIT_OK
            assert await rig.open_orders() == []

    run(work)


def test_stop_during_start_up_ends_cleanly(tmp_path: Path) -> None:
    """The quiet market sends no diff, so the book never syncs."""

    async def work() -> None:
        async with rigged(tmp_path, quiet=True) as rig:
            rig.start()
            await rig.until(lambda: rig.heard.of("step")[-1:] and
                            rig.heard.of("step")[-1]["name"] == "MARKET connection up")
            assert await rig.stop() == EXIT_OK
            assert rig.heard.of("stopped")[0]["open_orders_at_venue"] == 0

    run(work)


# -- BAD DAYS ------------------------------------------------------------------------------


@pytest.mark.parametrize("conn", list(Conn))
def test_lost_connection_pulls_the_quotes_and_comes_back(tmp_path: Path, conn: Conn) -> None:
    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            rig.proxy.refused.add(conn)
            rig.proxy.cut(conn)
            await rig.until(lambda: rig.bits)
            async with asyncio.timeout(PATIENCE_S):
                while await rig.open_orders():
                    pass
            rig.proxy.refused.clear()
            await rig.quoting_again()
            assert rig.proxy.accepted.count(conn) == 2
            assert [line["state"] for line in rig.heard.of("connection")
                    if line["name"] == conn.name][-1] == "up"  # fmt: skip
            await rig.take()
            assert await rig.stop() == EXIT_OK
            assert await rig.open_orders() == []
            rig.check_books()

    run(work)


def test_all_connections_lost_at_once_come_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            for _ in range(2):
                for conn in Conn:
                    rig.proxy.cut(conn)
                await rig.until(lambda: rig.bits)
                await rig.quoting_again()
            assert await rig.stop() == EXIT_OK
            assert await rig.open_orders() == []
            rig.check_books()

    run(work)


def test_expired_listen_key_brings_a_new_user_connection(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            old = rig.listen_key
            rig.expire_listen_keys()
            await rig.until(lambda: rig.bits & Halt.USER_STREAM)
            await rig.quoting_again()
            assert rig.listen_key not in ("", old)
            await rig.take()
            await rig.stop()
            rig.check_books()

    run(work)


def test_refused_timestamp_brings_a_new_clock_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            wrong_ns = rig.account.clock.offset_ns - 20_000_000_000
            rig.session.stage.hot.clock(0, wrong_ns)
            await rig.until(lambda: rig.bits & Halt.CLOCK)
            async with asyncio.timeout(clocksync.EVERY_S / 3):
                await rig.quoting_again()
            assert await rig.stop() == EXIT_OK
            assert await rig.open_orders() == []

    run(work)


def test_wrong_clock_does_not_keep_the_shutdown_from_its_proof(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path) as rig:
            await rig.quoting()
            wrong_ns = rig.account.clock.offset_ns - 20_000_000_000
            rig.account.rest.utc_ns = lambda: clock.monotonic_ns() + wrong_ns
            assert await rig.stop() == EXIT_OK
            assert await rig.open_orders() == []

    run(work)


def test_exchange_that_dies_ends_in_a_failure_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "FLAT_DEADLINE_S", 0.1)
    monkeypatch.setattr(shutdown, "PROOF_DEADLINE_S", 0.5)

    async def work() -> None:
        async with rigged(tmp_path) as rig:
            await rig.quoting()
            await rig.server.stop()
            assert await rig.stop() == EXIT_FAILED
            (stopped,) = rig.heard.of("stopped")
            assert stopped["open_orders_at_venue"] is None
            (error,) = rig.heard.of("error")
            assert "could not prove" in error["what"]
            assert "BTCUSDT" in error["remedy"]

    run(work)


def test_place_that_arrives_during_the_shutdown_is_cancelled_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRADE is lost with a place on its way, which the exchange gets half a window later."""
    monkeypatch.setattr(shutdown, "FLAT_DEADLINE_S", 0.1)

    async def work() -> None:
        async with rigged(tmp_path, core={"recv_window_ms": 2_000}) as rig:
            rig.start()
            await rig.until(lambda: any(
                step["name"] == "TRADE connection up" for step in rig.heard.of("step")))
            rig.proxy.held.add(Conn.TRADE)
            await rig.until(lambda: rig.proxy.has_held)
            assert rig.numbers["own"][0]["state"] == OrderState.PENDING_NEW
            rig.proxy.refused.add(Conn.TRADE)
            rig.proxy.cut(Conn.TRADE, engine_side_only=True)
            rig.session.stop()
            asyncio.get_running_loop().call_later(1.0, rig.proxy.release)
            assert await rig.ended() == EXIT_OK
            assert rig.heard.of("stopped")[0]["open_orders_at_venue"] == 0
            await rig.proxy.delivered(Conn.TRADE)
            assert rig.server.face.core.orders_of(0, "BTCUSDT")
            assert await rig.open_orders() == []

    run(work)


def failing(tmp_path: Path, **changes: Any) -> tuple[int, dict[str, Any]]:
    """A start that must fail: (exit code, the error)."""
    result: list[Any] = []

    async def work() -> None:
        async with rigged(tmp_path, **changes) as rig:
            rig.start()
            result.append(await rig.ended())
            result.extend(rig.heard.of("error"))
            assert rig.heard.of("stopped")
            assert not rig.heard.of("quoting")

    run(work)
    code, error = result
    assert error["remedy"]
    return code, error


def test_unknown_symbol_is_named_with_its_neighbours(tmp_path: Path) -> None:
    core = demo_core("BTCUSD", "spread", "0a1b2c3d", seed=1)
    code, error = failing(tmp_path, core=core)
    assert code == EXIT_USAGE
    assert "'BTCUSD' is unknown" in error["what"]
    assert "BTCUSDT" in error["remedy"]


@pytest.mark.parametrize("name", ["rest_url", "public", "private", "ws_api"])
def test_any_host_but_this_one_is_refused_before_a_byte_is_sent(tmp_path: Path, name: str) -> None:
    urls = dict.fromkeys(("public", "private", "ws_api"), "ws://127.0.0.1:9")
    changes: dict[str, Any] = {"ws_url": urls, "rest_url": "http://127.0.0.1:9"}
    (urls if name in urls else changes)[name] = "https://fapi.binance.com"
    code, error = failing(tmp_path, **changes)
    assert code == EXIT_UNSAFE
    assert "fapi.binance.com" in error["what"]
    assert not (tmp_path / "journal").exists()
    assert not (tmp_path / "state").exists()


def test_exchange_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, error = failing(tmp_path, rest_url="http://127.0.0.1:9")
    assert code == EXIT_FAILED
    assert "cannot connect" in error["what"]


def test_limit_over_the_venues_is_refused(tmp_path: Path) -> None:
    core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    core["limits"]["orders_per_10s_max"] = 301
    code, error = failing(tmp_path, core=core)
    assert code == EXIT_USAGE
    assert "orders_per_10s_max is 301, over the venue's 300" in error["what"]


def test_wrong_strategy_parameter_is_refused(tmp_path: Path) -> None:
    core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    core["params"]["half_spred_ticks"] = core["params"].pop("half_spread_ticks")
    code, error = failing(tmp_path, core=core)
    assert code == EXIT_USAGE
    assert "half_spred_ticks" in error["what"]


def test_run_folder_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, error = failing(tmp_path / "file" / "run", state_dir=tmp_path)
    assert code == EXIT_FAILED
    assert "cannot write" in error["what"]


def test_refused_connection_ends_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with rigged(tmp_path) as rig:
            rig.proxy.refused.add(Conn.TRADE)
            rig.start()
            assert await rig.ended() == EXIT_FAILED
            assert "TRADE connection" in rig.heard.of("error")[0]["what"]
            assert await rig.open_orders() == []

    run(work)


# -- THE PARENT'S END ----------------------------------------------------------------------


def document_of(data: bytes) -> Any:
    async def work() -> Any:
        reading, writing = os.pipe()
        try:
            os.write(writing, data)
            os.close(writing)
            return await Input(reading).document()
        finally:
            os.close(reading)

    return asyncio.run(work())


def test_document_is_the_first_line() -> None:
    document = {"config": {"a": 1}, "credentials": {"main": ["k", "s"]}}
    assert document_of(json.dumps(document).encode() + b"\nstop\n") == document
    assert document_of(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]\n", b'{"config":{}}\n', b'{"config":1,"credentials":{}}\n',
        b'{"config":{},"credentials":{"main":["key"]}}\n',
    ],
)  # fmt: skip
def test_bad_document_is_refused_without_being_shown(data: bytes) -> None:
    with pytest.raises(TickmakerError) as caught:
        document_of(data)
    assert caught.value.exit_code == EXIT_USAGE
    assert "standard input" in caught.value.what


@pytest.mark.parametrize("data", [b"stop\n", b"noise\nstop\n", b""])
def test_stop_line_or_the_end_asks_for_a_stop(data: bytes) -> None:
    async def work() -> None:
        reading, writing = os.pipe()
        stopped = asyncio.Event()
        Input(reading).watch(stopped.set)
        os.write(writing, b"st")
        os.write(writing, b"range\n" + data)
        if not data:
            os.close(writing)
        async with asyncio.timeout(5):
            await stopped.wait()
        os.close(reading)
        if data:
            os.close(writing)

    asyncio.run(work())


@pytest.mark.parametrize("fields", [
    {"what": "x" * 9_000, "remedy": "stop"}, {"what": "\ud800\u3002" * 9_000, "remedy": "stop"},
    {"what": "x" * 3_000, "remedy": "stop", "why": "y" * 3_000},
    {"what": "x", "remedy": "stop", "plan": list(range(9_000))},
    {"what": "x" * 900, "remedy": "stop", "path": Path("x")},
])  # fmt: skip
def test_a_line_that_is_too_long_is_cut_and_stays_a_line(fields: dict[str, Any]) -> None:
    """The parent dropped it: no divergence of many strangers' fills was ever told."""
    reading, writing = os.pipe()
    output = Output(writing)
    output.emit("divergence", **fields)
    data = os.read(reading, 65536)
    told = json.loads(data)
    assert len(data) <= LINE_BYTES_MAX
    assert (told["event"], told["remedy"]) == ("divergence", "stop")
    assert told["what"][:30].rstrip(".") == fields["what"][:30]
    os.close(reading)
    os.close(writing)


def test_output_drops_what_a_full_pipe_does_not_take_and_notices_a_closed_one() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    for _ in range(100):
        output.emit("step", name="x" * 2_000)
    assert output.dropped > 0
    assert not output.is_broken
    os.close(reading)
    output.emit("step")
    assert output.is_broken
    os.close(writing)


# -- PROCESSES -----------------------------------------------------------------------------


class Processes:
    """The exchange and the engine as `tickmaker demo` starts them."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.log = (run_dir / "engine.log").open("wb")
        exchange = [sys.executable, "-m", "engine.exchange", "--json", "--seed", "1"]
        self.exchange = subprocess.Popen(
            exchange, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.engine = subprocess.Popen(
            [sys.executable, "-m", "engine.session", str(run_dir)], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        assert self.exchange.stdout is not None
        self.ready = json.loads(self.exchange.stdout.readline())

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.engine, self.exchange):
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self.log.close()

    def configure(self, poll: str) -> None:
        key = derive_keys(1)[0].keys[0]
        core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
        core["budgets"]["tick_to_order_us_max"] = 30e6
        config = local_engine(
            self.run_dir, [core], self.ready["rest_url"], self.ready["ws_url"], seed=1, poll=poll
        )
        document = {"config": config, "credentials": {ACCOUNT: [key.api_key, key.secret]}}
        assert self.engine.stdin is not None
        self.engine.stdin.write(json.dumps(document) + "\n")
        self.engine.stdin.flush()

    def line(self, event: str) -> dict[str, Any]:
        assert self.engine.stdout is not None
        for text in self.engine.stdout:
            line = json.loads(text)
            assert line["event"] != "error", line
            if line["event"] == event:
                return dict(line)
        raise AssertionError(f"the engine ended before {event!r}")

    def open_orders(self) -> list[Any]:
        async def work() -> list[Any]:
            import aiohttp

            from engine.exchange.keys import sign

            key = derive_keys(1)[0].keys[0]
            query = f"symbol=BTCUSDT&timestamp={clock.wall_ns() // 1_000_000}"
            url = f"{self.ready['rest_url']}/fapi/v1/openOrders?{query}"
            async with (
                aiohttp.ClientSession(headers={"X-MBX-APIKEY": key.api_key}) as http,
                http.get(f"{url}&signature={sign(key.secret, query)}") as answer,
            ):
                return list(await answer.json())

        return asyncio.run(work())


@pytest.mark.parametrize(
    ("poll", "how"), [("busy", "SIGTERM"), ("sleep", "SIGINT"), ("sleep", "end of stdin"),
                      ("sleep", "stop")],
)
def test_engine_process_quotes_and_stops_in_order(tmp_path: Path, poll: str, how: str) -> None:
    with Processes(tmp_path) as processes:
        processes.configure(poll)
        processes.line("quoting")
        assert processes.open_orders()
        stdin = processes.engine.stdin
        assert stdin is not None
        if how == "end of stdin":
            stdin.close()
        elif how == "stop":
            stdin.write("stop\n")
            stdin.close()
        else:
            processes.engine.send_signal(getattr(signal, how))
            processes.engine.send_signal(getattr(signal, how))
        assert processes.line("stopped")["open_orders_at_venue"] == 0
        assert processes.engine.wait(timeout=PATIENCE_S) == EXIT_OK
        assert processes.open_orders() == []
        assert (tmp_path / "engine.log").read_text() == ""
        told = (tmp_path / "events.jsonl").read_text()
        assert ("the engine's parent is gone" in told) is (how == "end of stdin")


def test_engine_process_without_a_config_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine.session", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, input="nonsense\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_USAGE
    assert json.loads(done.stdout)["event"] == "error"
    assert done.stderr == ""


def test_a_ban_told_over_order_entry_is_kept_over_rest(tmp_path: Path) -> None:
    """It was forgotten after ten seconds, and REST knocked on all the while."""

    async def work() -> None:
        async with rigged(tmp_path, core=WIDE) as rig:
            await rig.quoting()
            budget = rig.account.rest.budget
            begin(rig, "banned", via="ws", retry_after="60s", for_="60s")
            await rig.until(lambda: rig.bits & Halt.RATE_LIMIT)
            await rig.until(lambda: budget.banned_until_ns)
            left_s = (budget.banned_until_ns - clock.monotonic_ns()) / 1e9
            assert 55 < left_s < 61

    run(work)
