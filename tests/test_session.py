"""A whole engine against the local exchange: start, trade, lose connections, stop."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from exchange_client import Client, QuietMarket, serving

from engine import clock, session
from engine.config import demo_core, load
from engine.errors import EXIT_FAILED, EXIT_OK, EXIT_UNSAFE, EXIT_USAGE
from engine.exchange.accounts import derive_keys
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket
from engine.exchange.server import ExchangeServer
from engine.gateway.parent import Input, Output
from engine.session import Session
from fastcore.journal import KIND, read_segment
from fastcore.types import Command, Conn, Halt

ROOT = Path(__file__).parents[1]
PATIENCE_S = 15.0
KIND_OF_PATH = {"/public": Conn.MARKET, "/private": Conn.USER, "/ws-fapi": Conn.TRADE}


class Heard(Output):
    """Output that a test reads."""

    def __init__(self) -> None:
        super().__init__(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
        self.lines: list[dict[str, Any]] = []
        self.written = ""

    def emit(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})
        self.written += json.dumps(fields)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def close(self) -> None:
        os.close(self._fd)


class Proxy:
    """Between the engine and the exchange's WebSocket port: cuts connections when told to."""

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("ws://").split(":")
        self._target = (host, int(port))
        self._live: dict[asyncio.Task[None], tuple[Conn, list[asyncio.StreamWriter]]] = {}
        self.refused: set[Conn] = set()
        self.accepted: list[Conn] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for conn in Conn:
            self.cut(conn)
        await asyncio.gather(*self._live, return_exceptions=True)

    def cut(self, conn: Conn) -> None:
        for kind, writers in self._live.values():
            if kind is conn:
                for writer in writers:
                    writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n")
        path = head.split(b" ")[1].decode()
        conn = next(c for root, c in KIND_OF_PATH.items() if path.startswith(root))
        if conn in self.refused:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        up_writer.write(head)
        task = asyncio.current_task()
        assert task is not None
        self._live[task] = (conn, [writer, up_writer])
        self.accepted.append(conn)
        await asyncio.gather(_pipe(reader, up_writer), _pipe(up_reader, writer))
        del self._live[task]


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class Rig:
    """One engine in this process, one exchange, a proxy between them."""

    def __init__(self, run_dir: Path, server: ExchangeServer, mine: Client, other: Client) -> None:
        self.run_dir = run_dir
        self.server = server
        self.mine = mine  # somebody with the engine's key
        self.other = other
        self.heard = Heard()
        self.proxy = Proxy(server.ws_root)

    async def configure(self, **changes: Any) -> None:
        root = await self.proxy.start()
        core = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
        # A test machine may stall for longer than any budget that is worth having.
        core["budgets"] = {"tick_to_order_us_max": 30e6, "ack_ms_max": 2_000.0}
        core |= changes.pop("core", {})
        document = {
            "run_dir": str(self.run_dir),
            "rest_url": self.server.rest_url,
            "ws_url": {"public": root, "private": root, "ws_api": root},
            "poll": "sleep",
            "cpu": None,
            "core": core,
            "credential": {"kind": "local_exchange", "seed": 1, "account": 0},
        } | changes
        self.session = Session(load(document), self.key, self.secret, self.heard)

    @property
    def key(self) -> str:
        return self.mine.key.api_key

    @property
    def secret(self) -> str:
        return self.mine.key.secret

    def start(self) -> None:
        self.task = asyncio.create_task(self.session.run())

    async def until(self, is_done: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_done():
                if self.task.done():
                    raise AssertionError(f"the session ended: {self.heard.lines}")
                await asyncio.sleep(0.002)  # noqa: ASYNC110 - many things are waited for here

    async def quoting(self) -> None:
        self.start()
        await self.until(lambda: self.heard.of("quoting"))

    async def quoting_again(self) -> None:
        await self.until(lambda: not self.bits and self.working)

    async def stop(self) -> int:
        self.session.stop()
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.task

    @property
    def numbers(self) -> dict[str, Any]:
        assert self.session._hot is not None
        return self.session._hot.core.numbers()

    @property
    def bits(self) -> Halt:
        return Halt(self.numbers["halt_bits"])

    @property
    def working(self) -> int:
        return len(self.numbers["own"])

    async def open_orders(self) -> list[dict[str, Any]]:
        status, orders = await self.mine.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
        assert status == 200
        return orders

    async def take(self) -> None:
        """Somebody buys what we offer."""
        fills = self.numbers["fills"]
        while self.numbers["fills"] == fills:
            ask_px = max([own["px_ticks"] for own in self.numbers["own"] if own["side"] == 1],
                         default=0)  # fmt: skip
            if ask_px:
                await self.other.api(
                    "order.place", symbol="BTCUSDT", type="LIMIT", timeInForce="IOC", side="BUY",
                    price=f"{ask_px / 10:.2f}", quantity="30.000",
                )  # fmt: skip
            await self.until(lambda: True)
            await asyncio.sleep(0.01)

    def check_books(self) -> None:
        """The engine believes exactly what happened at the exchange."""
        fills = self.server.core.truth.fills_of(0, "BTCUSDT")
        numbers = self.numbers
        assert numbers["fills"] == len(fills)
        assert numbers["position_lots"] == sum(
            fill.qty_lots if fill.side == 0 else -fill.qty_lots for fill in fills
        )
        assert numbers["fees_e8"] == sum(fill.fee_e8 for fill in fills)
        assert numbers["strangers"] == 0
        assert numbers["malformed"] == 0

    def records(self, kind: str) -> list[tuple[int, bytes]]:
        """(arg, payload) of each journal record of a kind."""
        found = []
        for path in sorted((self.run_dir / "journal").glob("*.jnl")):
            for record in read_segment(path.read_bytes()):
                if record[1] == KIND[kind]:
                    found.append((record[2], bytes(record[6])))
        return found


@asynccontextmanager
async def rigged(tmp_path: Path, quiet: bool = False, **changes: Any) -> AsyncIterator[Rig]:
    kind = QuietMarket if quiet else AgentMarket
    async with serving([kind(CATALOGUE["BTCUSDT"], 1, clock.wall_ns())]) as (server, mine, other):
        rig = Rig(tmp_path, server, mine, other)
        await rig.configure(**changes)
        try:
            yield rig
        finally:
            if hasattr(rig, "task") and not rig.task.done():
                await rig.stop()
            await rig.proxy.stop()
            rig.heard.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


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
            assert names == [
                "clock in step with the venue", "instrument filters read",
                "core and journal ready", "leftover orders cancelled", "USER connection up",
                "TRADE connection up", "MARKET connection up", "book synced",
                "position agreed with the venue",
            ]  # fmt: skip
            assert all(step["ms"] > 0 for step in rig.heard.of("step"))
            (stopped,) = rig.heard.of("stopped")
            assert stopped["open_orders_at_venue"] == 0
            assert rig.heard.lines[-1] is stopped
            assert rig.records("COMMAND")[-1][0] == Command.SHUTDOWN
            check_no_secret(rig)

    run(work)


def check_no_secret(rig: Rig) -> None:
    listen_key = rig.server.core.accounts[0].listen_key
    files = [path for path in rig.run_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"config.json", "status.page", "000000.jnl"}
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
        assert (document["core"]["tick"], document["core"]["lot"]) == ("0.10", "0.001")
        assert document["wall_minus_monotonic_ns"] > 0
        assert json.loads(rig.records("CONFIG")[0][1]) == document["core"]

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
            _, first = rig.records("ACCOUNT")[0]
            assert int.from_bytes(first[:8], "little") == 7

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
        async with rigged(tmp_path) as rig:
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
        async with rigged(tmp_path) as rig:
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
        async with rigged(tmp_path) as rig:
            await rig.quoting()
            old = rig.server.core.accounts[0].listen_key
            rig.server.core.accounts[0].listen_key_expiry_ns = 0
            await rig.until(lambda: rig.bits & Halt.USER_STREAM)
            await rig.quoting_again()
            assert rig.server.core.accounts[0].listen_key not in ("", old)
            await rig.take()
            await rig.stop()
            rig.check_books()

    run(work)


def test_exchange_that_dies_ends_in_a_failure_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FLAT_DEADLINE_S", 0.1)
    monkeypatch.setattr(session, "PROOF_DEADLINE_S", 0.5)

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
    code, error = failing(tmp_path / "file" / "run")
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
    document = {"config": {"a": 1}, "api_key": "k", "secret": "s"}
    assert document_of(json.dumps(document).encode() + b"\nstop\n") == document
    assert document_of(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]\n", b'{"config":{}}\n', b'{"config":1,"api_key":"","secret":""}\n']
)
def test_bad_document_is_refused_without_being_shown(data: bytes) -> None:
    with pytest.raises(session.TickmakerError) as caught:
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
        exchange = [sys.executable, "-m", "engine.exchange", "--symbols", "BTCUSDT", "--seed", "1"]
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
        config = {
            "rest_url": self.ready["rest_url"], "ws_url": self.ready["ws_url"], "poll": poll,
            "cpu": None, "core": core, "credential": {"kind": "local_exchange", "seed": 1},
        }  # fmt: skip
        document = {"config": config, "api_key": key.api_key, "secret": key.secret}
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

            from engine.exchange.accounts import sign

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
    ("poll", "how"), [("busy", "SIGTERM"), ("sleep", "SIGINT"), ("sleep", "end of stdin")]
)
def test_engine_process_quotes_and_stops_in_order(tmp_path: Path, poll: str, how: str) -> None:
    with Processes(tmp_path) as processes:
        processes.configure(poll)
        processes.line("quoting")
        assert processes.open_orders()
        if how == "end of stdin":
            assert processes.engine.stdin is not None
            processes.engine.stdin.close()
        else:
            processes.engine.send_signal(getattr(signal, how))
            processes.engine.send_signal(getattr(signal, how))
        assert processes.line("stopped")["open_orders_at_venue"] == 0
        assert processes.engine.wait(timeout=PATIENCE_S) == EXIT_OK
        assert processes.open_orders() == []
        assert (tmp_path / "engine.log").read_text() == ""


def test_engine_process_without_a_config_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine.session", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, input="nonsense\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_USAGE
    assert json.loads(done.stdout)["event"] == "error"
    assert done.stderr == ""
