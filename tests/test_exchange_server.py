"""The exchange over real sockets on loopback: streams against the book, keys, the process."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from exchange_client import (
    ALL_STREAMS,
    PlainBook,
    digest,
    events_until,
    serving,
    utc_ms,
)
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from engine import clock
from engine.exchange import process as exchange_process
from engine.exchange.__main__ import main
from engine.exchange.greeting import ready_document, ready_json, ready_text
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket
from engine.exchange.tls import FOLDER, own_folder

ROOT = Path(__file__).parents[1]
LIMIT = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC"}


# -- MARKET DATA ---


def test_depth_stream_on_a_snapshot_rebuilds_the_exchanges_book() -> None:
    """While it moves: the venue's sync rule holds for every diff, and each bookTicker is the
    touch of the book rebuilt to the same id."""

    async def body() -> None:
        market = AgentMarket(CATALOGUE["BTCUSDT"], 3, clock.wall_ns())
        async with serving([market]) as (_, client, _), await client.public() as stream:
            early = await events_until(stream, "depthUpdate", 3)
            _, snapshot = await client.rest("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            events = early + await events_until(stream, "depthUpdate", 60)
            book = PlainBook(snapshot)
            touches = {e["u"]: e for e in events if e["e"] == "bookTicker"}
            compared = 0
            for event in events:
                if event["e"] == "depthUpdate" and book.apply(event) and book.last_id in touches:
                    best = touches[book.last_id]
                    assert book.touch() == (best["b"], best["B"], best["a"], best["A"])
                    compared += 1
            assert compared > 10
            _, last = await client.rest("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            while book.last_id < last["lastUpdateId"]:
                for event in await events_until(stream, "depthUpdate"):
                    if event["e"] == "depthUpdate":
                        book.apply(event)
            assert book.last_id == last["lastUpdateId"]
            levels = tuple([list(level) for level in side] for side in book.sorted_levels())
            assert levels == (last["bids"], last["asks"])

    asyncio.run(body())


def test_quiet_book_rebuilt_from_the_stream_equals_the_next_snapshot() -> None:
    async def body() -> None:
        async with serving() as (_, client, _), await client.public() as stream:
            _, snapshot = await client.rest("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            book = PlainBook(snapshot)
            for px in ("60000.00", "59990.00", "59999.90"):
                await client.api("order.place", **LIMIT, side="BUY", quantity="1.5", price=px)
            await client.signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
            await client.api("order.place", **LIMIT, side="BUY", quantity="9", price="60010.00")
            sizes = []
            for event in await events_until(stream, "depthUpdate", 5):
                if event["e"] == "depthUpdate":
                    assert book.apply(event)
                    sizes.append(len(event["b"]))
            assert sizes == [1, 1, 1, 3, 0]  # only what changed; three cancels are one diff
            _, last = await client.rest("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            assert last["lastUpdateId"] == book.last_id > snapshot["lastUpdateId"]
            levels = tuple([list(level) for level in side] for side in book.sorted_levels())
            assert levels == (last["bids"], last["asks"])

    asyncio.run(body())


def test_slower_depth_streams_chain_by_previous_id() -> None:
    async def body() -> None:
        market = AgentMarket(CATALOGUE["BTCUSDT"], 3, clock.wall_ns())
        async with (
            serving([market]) as (_, client, _),
            await client.public("btcusdt@depth@100ms") as stream,
        ):
            events = await events_until(stream, "depthUpdate", 4)
            for last, event in pairwise(events):
                assert event["pu"] == last["u"]
                assert event["U"] <= event["u"]

    asyncio.run(body())


def test_subscriptions_by_request_raw_and_combined() -> None:
    async def body() -> None:
        async with serving() as (server, client, _):
            url = server.ws_url["public"]
            async with connect(f"{url}/ws") as raw, connect(f"{url}/ws/0") as other:
                await raw.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":7}')
                assert json.loads(await raw.recv()) == {"result": None, "id": 7}
                await raw.send('{"method":"LIST_SUBSCRIPTIONS","id":8}')
                assert json.loads(await raw.recv()) == {"result": ["btcusdt@trade"], "id": 8}
                await client.api(
                    "order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001"
                )
                event = json.loads(await raw.recv())
                assert (event["e"], event["q"], event["m"]) == ("trade", "0.001", False)
                await raw.send('{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":9}')
                assert json.loads(await raw.recv())["id"] == 9
                for text in ("{", "[]", "7", '{"method":"SUBSCRIBE","params":[1]}'):
                    await other.send(text)
                    assert json.loads(await other.recv())["error"]["code"] in (2, 3)
                await other.send('{"method":"FLY","id":1}')
                assert json.loads(await other.recv())["error"]["code"] == 2

    asyncio.run(body())


# -- ORDERS AND THE PRIVATE STREAM ---


def test_two_clients_trade_and_both_hear_of_it() -> None:
    async def body() -> None:
        async with (
            serving() as (_, alice, bob),
            await alice.private() as hers,
            await bob.private() as his,
        ):
            order = {**LIMIT, "timeInForce": "GTX", "side": "BUY", "quantity": "0.010"}
            reply = await alice.api("order.place", **order, price="60000.00")
            assert (reply["status"], reply["result"]["status"]) == (200, "NEW")
            taking = {**LIMIT, "timeInForce": "IOC", "side": "SELL", "newOrderRespType": "RESULT"}
            reply = await bob.api("order.place", **taking, quantity="0.004", price="60000.00")
            assert (reply["result"]["status"], reply["result"]["executedQty"]) == (
                "FILLED",
                "0.004",
            )
            mine = (await events_until(hers, "ORDER_TRADE_UPDATE", 2))[-1]["o"]
            got = [mine[key] for key in ("x", "X", "l", "z", "L", "m", "n")]
            assert got == [
                "TRADE",
                "PARTIALLY_FILLED",
                "0.004",
                "0.004",
                "60000.00",
                True,
                "0.04800000",
            ]
            yours = (await events_until(his, "ORDER_TRADE_UPDATE", 2))[-1]["o"]
            assert (yours["X"], yours["m"], yours["t"]) == ("FILLED", False, mine["t"])
            _, rows = await alice.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
            assert [row["executedQty"] for row in rows] == ["0.004"]
            status, done = await alice.signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
            assert (status, done["code"]) == (200, 200)
            last = (await events_until(hers, "ORDER_TRADE_UPDATE"))[-1]["o"]
            assert (last["x"], last["z"]) == ("CANCELED", "0.004")
            _, rows = await alice.signed("GET", "/fapi/v1/openOrders")
            assert rows == []

    asyncio.run(body())


def test_listen_key_flow() -> None:
    async def body() -> None:
        async with serving() as (server, client, other):
            path = "/fapi/v1/listenKey"
            _, first = await client.rest("POST", path)
            assert await client.rest("POST", path) == (200, first)
            assert await client.rest("PUT", path) == (200, first)
            assert (await other.rest("PUT", path))[1]["code"] == -1125
            url = f"{server.ws_url['private']}/ws?listenKey={first['listenKey']}"
            async with connect(f"{url}&events=ACCOUNT_UPDATE") as stream:
                await client.api(
                    "order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001"
                )
                assert json.loads(await stream.recv())["e"] == "ACCOUNT_UPDATE"
            assert await client.rest("DELETE", path) == (200, {})
            with pytest.raises(InvalidStatus) as refused:
                await connect(url)
            assert json.loads(refused.value.response.body)["code"] == -1125

    asyncio.run(body())


def test_http_face_answers_as_the_venue() -> None:
    async def body() -> None:
        async with serving() as (server, client, _):
            now_ms = utc_ms()
            assert await client.rest("GET", "/fapi/v1/ping") == (200, {})
            _, time = await client.rest("GET", "/fapi/v1/time")
            assert abs(time["serverTime"] - now_ms) < 5_000
            assert (await client.rest("GET", "/fapi/v9/fly"))[0] == 404
            assert (await client.rest("GET", "/fapi/v1/depth", symbol="X"))[1]["code"] == -1121
            bad_limit = await client.rest("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=7)
            assert bad_limit[1]["code"] == -4021
            status, body = await client.signed("GET", "/fapi/v3/account", timestamp=now_ms - 9_000)
            assert (status, body["code"]) == (400, -1021)
            target = f"/fapi/v3/account?timestamp={now_ms}&signature={'0' * 64}"
            assert (await client.raw("GET", target))[1]["code"] == -1022
            form = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.010"
            form += f"&price=59990.00&newClientOrderId=a%3Ab&timestamp={now_ms}"
            form += f"&signature={digest(client.key.secret, form)}"
            status, body = await client.raw("POST", "/fapi/v1/order", form)
            assert (status, body["clientOrderId"]) == (200, "a:b")
            for path in ("/nowhere", "/public/fly", "/private/ws?listenKey=x"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(server.ws_root + path)
                assert refused.value.response.status_code in (400, 404)

    asyncio.run(body())


# -- THE PROCESS ---


async def spawn(*args: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.exchange", *args,
        cwd=ROOT,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )  # fmt: skip


async def ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        document: dict[str, Any] = json.loads(await process.stdout.readline())
    return document


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_process_says_where_it_is_and_stops_cleanly(signum: int) -> None:
    """With a client connected; keys stay off stderr."""

    async def body() -> None:
        process = await spawn("--json", "--seed", "5", "--symbols", "BTCUSDT,ETHUSDT")
        try:
            document = await ready(process)
            assert document["venue"] == "binance_usdm"
            async with connect(
                f"{document['ws_url']['public']}/stream?streams={ALL_STREAMS}"
            ) as ws:
                await ws.recv()
                process.send_signal(signum)
                async with asyncio.timeout(10):
                    out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0
        assert out == b""
        text = err.decode()
        assert "Traceback" not in text
        for account in document["accounts"]:
            for key in account["keys"]:
                assert key["api_key"] not in text
                assert key["secret"] not in text

    asyncio.run(body())


def test_process_ends_with_its_standard_input_once_its_clients_have_left() -> None:
    async def body() -> None:
        process = await spawn("--json", "--until-stdin-closes", stdin=asyncio.subprocess.PIPE)
        try:
            document = await ready(process)
            async with connect(f"{document['ws_url']['ws_api']}") as ws:
                assert process.stdin is not None
                process.stdin.close()
                for _ in range(3):  # it still answers
                    await ws.send("{}")
                    await ws.recv()
                assert process.returncode is None
            async with asyncio.timeout(10):
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0
        assert b"Traceback" not in err

    asyncio.run(body())


def test_process_with_everything_tells_its_authority_and_writes_the_truth(
    tmp_path: Path,
) -> None:
    """TLS on both ports, faults from a file; no secret but the ready line's leaves it."""
    faults, truth = tmp_path / "faults.toml", tmp_path / "truth"
    faults.write_text('[[fault]]\nkind = "delay"\nfor = "1h"\nby = "1ms"\n')
    truth.write_text('{"number": 99}\n')

    async def body() -> None:
        process = await spawn("--json", "--tls", "--faults", str(faults), "--truth", str(truth))
        try:
            document = await ready(process)
            ca_file = Path(document["ca_file"])
            trusting = ssl.create_default_context(cafile=ca_file)
            async with connect(document["ws_url"]["ws_api"], ssl=trusting) as ws:
                await ws.send("{}")
                await ws.recv()
            async with (
                aiohttp.ClientSession() as http,
                http.get(document["admin_url"] + "/truth") as answer,
            ):
                rows = [json.loads(line) for line in (await answer.text()).splitlines()]
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0
        assert b"Traceback" not in err
        assert not ca_file.parent.exists()
        assert {"begin", "hit"} <= {row["phase"] for row in rows if row["kind"] == "fault"}
        old, head, *written = [json.loads(line) for line in truth.read_text().splitlines()]
        assert old == {"number": 99}, "what older runs wrote stays"
        assert (head["kind"], head["venue"], head["seed"]) == ("run", "binance_usdm", 1)
        assert (head["symbols"], head["first_number"]) == (["BTCUSDT"], 0)
        assert head["t_ns"] <= rows[-1]["t_ns"]
        assert written[: len(rows)] == rows
        assert b"records of what happened" in err

    asyncio.run(body())


@pytest.mark.parametrize(("bugs", "code"), [(0, 0), (3, 1)])
def test_process_that_had_a_bug_ends_with_a_1(
    bugs: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(*_: Any) -> int:
        return bugs

    monkeypatch.setattr(exchange_process, "serve", serve)
    assert main([]) == code


def test_ready_text_tells_people_what_the_line_tells_programs() -> None:
    async def body() -> None:
        async with serving() as (server, _, _):
            document = ready_document(server, Path("/x/ca.pem"))
            assert json.loads(ready_json(document)) == document
            assert [len(account["keys"]) for account in document["accounts"]] == [2, 2]
            text = ready_text(document)
            wanted = [document["rest_url"], "/x/ca.pem", *document["ws_url"].values()]
            for account in (*document["accounts"], document["management"]):
                wanted += [account["api_key"], account["secret"]]
            for fact in wanted:
                assert fact in text

    asyncio.run(body())


def test_unusable_arguments_exit_2_and_name_the_thing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[[fault]]\nkind = "delist"\nsymbol = "X"\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for args, needle in [
            (("--rest-port", port), f"127.0.0.1:{port}"),
            (("--ws-port", port), "--ws-port"),
            (("--admin-port", port), "--admin-port"),
            (("--symbols", "NOPEUSDT"), "NOPEUSDT"),
            (("--symbols", ""), "--symbols"),
            (("--tape", "/nowhere/x.gz"), "/nowhere/x.gz"),
            (("--tape", "x.gz", "--speed", "0"), "--speed"),
            (("--faults", "/nowhere/f.toml"), "/nowhere/f.toml"),
            (("--faults", str(bad)), "bad.toml:3"),
            (("--truth", "/nowhere/truth"), "--truth"),
            (("--rest-port", "99999"), "--rest-port"),
            (("--ws-port", "-1"), "--ws-port"),
            (("--admin-port", "65536"), "--admin-port"),
            (("--limit-factor", "0"), "--limit-factor"),
            (("--limit-factor", "-5"), "--limit-factor"),
            (("--maker-fee-bp", "nan"), "--maker-fee-bp"),
            (("--maker-fee-bp", "inf"), "--maker-fee-bp"),
            (("--taker-fee-bp", "1e9"), "--taker-fee-bp"),
            (("--speed", "2"), "--tape"),
        ]:
            assert main([*args]) == 2, args
            out, err = capsys.readouterr()
            assert needle in err
            assert (out, "Traceback" in err) == ("", False)


SIGNALLED = """
import os, sys
from importlib.abc import MetaPathFinder
from engine.exchange.__main__ import main
class Signal(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))
sys.meta_path.insert(0, Signal())
sys.exit(main(["--json", "--tls"]) or 7)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["engine.exchange.process", "uvloop", "engine.exchange.core"])
def test_signal_while_it_still_loads_ends_it_quietly(module: str, signum: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, module, str(int(signum))],
        cwd=ROOT, capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_folders_of_killed_exchanges_are_swept_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed, fresh, other = (tmp_path / f"{name}x" for name in (FOLDER, f"{FOLDER}new", "other-"))
    for folder in (killed, fresh, other):
        folder.mkdir()
        (folder / "ca.pem").touch()
    with own_folder() as living:
        for folder in (killed, other, living):
            os.utime(folder, (0, 0))
        with own_folder() as second:
            assert {*tmp_path.iterdir()} == {fresh, other, living, second}
            assert (fresh / "ca.pem").exists()
    assert {*tmp_path.iterdir()} == {fresh, other}
