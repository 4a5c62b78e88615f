"""Binance USD-M: anything in any order; and the same again in another process, byte for byte."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from support_usdm import ORDER, START_NS, Usdm

from engine.exchange.core import Core
from engine.exchange.face import (
    HttpAnswer,
    HttpRequest,
    Log,
    Tick,
    WsAccept,
    WsClosed,
    WsOpen,
    WsPing,
    WsPong,
    WsRefuse,
    WsSend,
    WsText,
)
from engine.exchange.instruments import CATALOGUE
from engine.exchange.market import AgentMarket

TARGETS = [
    "/public/ws", "/public/stream?streams=btcusdt@depth/!bookTicker", "http://[::1",
    "/market/stream?streams=btcusdt@aggTrade/!ticker@arr/btcusdt@markPrice", "/ws-fapi/v1", "//",
    "/private/ws?listenKey={key}", "/private/stream?listenKey={key}&events=ACCOUNT_UPDATE&x=%ff",
    "/private/ws/{key}", "/public/ws/btcusdt@depth5@100ms/btcusdt@depth@0ms", "/public/ws?%zz=&&",
    "/market/ws/btcusdt@kline_1m", "/public/stream?streams=" + "a@trade/" * 300,
]  # fmt: skip
NAMES = ["btcusdt@trade", "btcusdt@depth20", "btcusdt@miniTicker", "!miniTicker@arr", "@", "", "x"]
WORDS = ["", "[]", "{", '"', "null", "7", "[" * 5_000, '{"method":7,"id":1}', "\x00", "\ud800"]


def run(seed: int, steps: int) -> str:
    """A digest of every action of a random session; asserts what must hold at each step."""
    rng, digest = random.Random(seed), hashlib.sha256()
    venue = Usdm(Core([AgentMarket(CATALOGUE["BTCUSDT"], seed, START_NS)], seed), limit_factor=50)
    conns: list[int] = []
    listen_key = "x"
    for number in range(1, steps + 1):
        venue.t_ns += rng.choice([0, 1, 1_000_000, 30_000_000])
        if rng.random() < 0.005:
            venue.t_ns += 60_000_000_000
        conn = rng.choice(conns or [0])
        account = rng.randint(0, 1)
        kind = rng.randint(0, 9)
        event: Any = Tick()
        if kind == 0:
            event = WsOpen(number, rng.choice(TARGETS).replace("{key}", listen_key), {})
        elif kind == 1:
            event = WsText(conn, rng.choice(WORDS))
        elif kind == 2:
            method = rng.choice(["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "FLY"])
            names = [rng.choice(NAMES) for _ in range(rng.randint(0, 3))]
            event = WsText(conn, json.dumps({"method": method, "params": names, "id": number}))
        elif kind == 3:
            event = rng.choice([WsPing, WsPong, WsClosed])(conn)
        elif kind == 4:
            key = venue.key(account)
            event = HttpRequest(
                number, rng.choice(["POST", "PUT", "DELETE"]), "/fapi/v1/listenKey", "", "",
                {"x-mbx-apikey": key.api_key},
            )  # fmt: skip
        elif kind < 8:
            event = order_event(venue, rng, number, account)
        actions = venue.step(event)
        digest.update(repr(actions).encode(errors="replace"))
        assert not [action for action in actions if isinstance(action, Log)], actions
        sent = {c for action in actions if isinstance(action, WsSend) for c in action.conns}
        assert sent <= {*conns, number}
        if isinstance(event, HttpRequest):
            answers = [action for action in actions if isinstance(action, HttpAnswer)]
            assert [answer.request for answer in answers] == [number]
            body = json.loads(answers[0].body)
            listen_key = body.get("listenKey", listen_key) if isinstance(body, dict) else "x"
        elif isinstance(event, WsOpen):
            opened = [a for a in actions if isinstance(a, WsAccept | WsRefuse)]
            assert [action.conn for action in opened] == [number]
            if isinstance(opened[0], WsAccept):
                conns.append(number)
        gone = {end.conn for end in venue.ended} | (
            {event.conn} if isinstance(event, WsClosed) else set()
        )
        conns = [other for other in conns if other not in gone]
    return digest.hexdigest()


def order_event(venue: Usdm, rng: random.Random, number: int, account: int) -> HttpRequest:
    """Mostly orders that are taken, at prices around the touch."""
    method = rng.choice(["POST", "POST", "POST", "PUT", "DELETE", "GET"])
    bid = venue.core.markets["BTCUSDT"].touch()[0]
    params = {
        **ORDER, "side": rng.choice(["BUY", "SELL"]),
        "price": f"{(bid + rng.randint(-5, 6)) / 10}",
        "timeInForce": rng.choice(["GTC", "IOC", "FOK", "GTX"]), "newClientOrderId": f"c{number}",
        "selfTradePreventionMode": rng.choice(["NONE", "EXPIRE_MAKER", "EXPIRE_TAKER"]),
    }  # fmt: skip
    if method != "POST":
        opened = venue.core.open_orders(account, "BTCUSDT")
        params["orderId"] = str(opened[0].order_id if opened else 1)
    key = venue.key(account)
    path = rng.choice(["order"] * 5 + ["openOrders", "allOpenOrders"])
    headers = {"x-mbx-apikey": key.api_key}
    return HttpRequest(number, method, f"/fapi/v1/{path}", venue.query(key, **params), "", headers)


def test_anything_in_any_order() -> None:
    for seed in range(2):
        run(seed, 800)


def test_same_seed_is_the_same_run_in_another_process() -> None:
    here = run(7, 300)
    code = "import test_usdm_fuzz; print(test_usdm_fuzz.run(7, 300))"
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests), str(tests.parent), *sys.path])
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=100,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == here
