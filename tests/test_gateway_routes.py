"""Which cores a frame of a shared connection goes to: a twin that parses JSON says the same."""

import json
import random
from typing import Any

import pytest

from engine.gateway.hotroute import Router
from fastcore.types import Conn

SYMBOLS = {0: "BTCUSDT", 1: "ETHUSDT", 2: "1000PEPEUSDT", 7: "BTCUSDT", 4095: "BTC-26DEC25"}
OTHERS = ["SOLUSDT", "BTCUSD", "BTCUSDTX", "X" * 60]
ROUTER = Router(list(SYMBOLS), list(SYMBOLS.values()))


def twin(conn: Conn, text: str) -> list[int] | None:
    """Core numbers, or None for all, by a parse of the whole frame."""
    names: list[str] = []
    pairs = list(walk(json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs))))
    if conn is Conn.TRADE:
        ids = [value for key, value in pairs if key in ("id", "reqId") and isinstance(value, str)]
        return by_id(ids[0]) if ids else None
    for key, value in pairs:
        if not isinstance(value, str):
            continue
        if conn is Conn.MARKET and names:
            break  # the first name decides
        if conn is Conn.MARKET and key == "stream":
            if "@" not in value:
                return None
            names += filter(None, [value.split("@")[0]])
        elif conn is Conn.MARKET and key == "topic":
            if "." not in value:
                return None
            names += filter(None, [value.rsplit(".", 1)[1]])
        elif key in ("s", "symbol"):
            names += filter(None, [value])
    if not names:
        return None
    found = []
    for name in map(str.upper, names):
        for number, symbol in SYMBOLS.items():
            if symbol == name and number not in found:
                found.append(number)
    return found


def walk(value: Any) -> Any:
    """(key, value) of every object at every depth, in the order of the text."""
    if isinstance(value, tuple) and value[0] == "object":
        for key, inner in value[1]:
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def by_id(text: str) -> list[int] | None:
    digits = text[1:13]
    is_ours = (len(text) == 13 or text[13:14] == "-") and len(digits) == 12
    if not is_ours or not text[0].isdigit() or set(digits) - set("0123456789abcdef"):
        return None
    number = int(digits[:3], 16)
    return [number] if number in SYMBOLS else None


def route(conn: Conn, text: str) -> list[int] | None:
    return ROUTER.targets(conn, text.encode())


@pytest.mark.parametrize(
    ("conn", "message", "wanted"),
    [
        (Conn.MARKET, {"stream": "ethusdt@depth@0ms", "data": {"s": "ETHUSDT"}}, [1]),
        (Conn.MARKET, {"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "1"}, [0, 7]),
        (Conn.MARKET, {"topic": "orderbook.50.BTC-26DEC25", "data": {"b": []}}, [4095]),
        (Conn.MARKET, {"topic": "publicTrade.SOLUSDT", "data": [{"s": "SOLUSDT"}]}, []),
        (Conn.MARKET, {"stream": "!ticker@arr", "data": []}, []),
        (Conn.MARKET, {"result": None, "id": 1}, None),
        (Conn.MARKET, {"success": True, "ret_msg": "pong", "op": "ping"}, None),
        (Conn.USER, {"e": "ORDER_TRADE_UPDATE", "o": {"s": "ETHUSDT", "S": "BUY"}}, [1]),
        (Conn.USER, {"e": "ACCOUNT_UPDATE", "a": {"B": [{"a": "USDT"}], "P": [
            {"s": "ETHUSDT", "pa": "1"}, {"s": "SOLUSDT"}, {"s": "BTCUSDT"}, {"s": "ETHUSDT"},
        ]}}, [1, 0, 7]),
        (Conn.USER, {"e": "ACCOUNT_UPDATE", "a": {"B": [{"a": "USDT"}], "P": []}}, None),
        (Conn.USER, {"topic": "order", "data": [{"symbol": "1000PEPEUSDT"}]}, [2]),
        (Conn.USER, {"topic": "order.linear", "data": [{"symbol": "SOLUSDT"}]}, []),
        (Conn.USER, {"topic": "wallet", "data": [{"coin": [{"coin": "USDT"}]}]}, None),
        (Conn.USER, {"topic": "dcp", "data": []}, None),
        (Conn.USER, {"e": "listenKeyExpired", "listenKey": "s"}, None),
        (Conn.TRADE, {"id": "1001000000042", "status": 200}, [1]),
        (Conn.TRADE, {"id": "3fff000000042", "status": 200}, [4095]),
        (Conn.TRADE, {"reqId": "2002000000001-0191346a2179", "retCode": 0}, [2]),
        (Conn.TRADE, {"id": "1003000000042", "status": 200}, None),  # nobody's number
        (Conn.TRADE, {"id": "greeting", "status": 200}, None),
        (Conn.TRADE, {"id": 7, "status": 200}, None),
        (Conn.TRADE, {"retCode": 0, "op": "auth", "connId": "x"}, None),
    ],
)  # fmt: skip
def test_messages_of_the_venues_go_to_whom_they_name(
    conn: Conn, message: dict[str, Any], wanted: list[int] | None
) -> None:
    if message.get("stream") == "!ticker@arr":
        wanted = []  # "!ticker" is no symbol of ours; all-market feeds are never subscribed to
    for separators in ((",", ":"), (", ", ": "), (" ,\n", "\t: \r")):
        text = json.dumps(message, separators=separators)
        assert route(conn, text) == wanted
        assert twin(conn, text) == wanted


def test_an_escaped_text_goes_to_all() -> None:
    assert route(Conn.USER, '{"s":"ETHUSDT","m":"a\\"b"}') is None
    assert route(Conn.USER, '{"\\u0073":"BTCUSDT","s":"ETHUSDT"}') is None
    assert route(Conn.MARKET, '{"s":"BTC\\u0055SDT"}') is None


def values(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 5)
    if kind < 2:
        return rng.choice([*SYMBOLS.values(), *OTHERS, "s", "id", "symbol", ""])
    if kind == 2:
        return rng.choice(["btcusdt@trade", "ethusdt@depth@0ms", "orderbook.50.BTCUSDT", "order",
                           "1001000000042", "2fff00000000a-1", "a001000000042", "10010000"])
    if kind == 3:
        return rng.choice([0, 1.5, None, True, -7])
    if kind == 4:
        return []
    if kind == 5:
        return [values(rng, depth - 1) for _ in range(rng.randrange(4))]
    keys = ["s", "symbol", "stream", "topic", "id", "reqId", "S", "e", "data", "o", "", "ss"]
    return {rng.choice(keys): values(rng, depth - 1) for _ in range(rng.randrange(5))}


def test_any_json_goes_where_the_twin_says() -> None:
    rng = random.Random(11)
    seen = set()
    for _ in range(30_000):
        text = json.dumps(values(rng, 4), separators=rng.choice([(",", ":"), (", ", ": ")]))
        conn = rng.choice(list(Conn))
        wanted = twin(conn, text)
        assert route(conn, text) == wanted, text
        seen.add((conn, wanted is None, bool(wanted)))
    assert len(seen) >= 8  # all, some and none were asked for, of every kind


def test_a_cut_or_mangled_frame_reads_nothing_behind_its_end() -> None:
    """The bytes behind the frame change; what is said of the frame does not."""
    rng = random.Random(5)
    tails = [b'"s":"BTCUSDT"}', b'":"ETHUSDT","s":"BTCUSDT"', b"\0" * 20, b"USDT@x.y\"" * 3]
    for _ in range(3_000):
        frame = bytearray(json.dumps(values(rng, 4)).encode())
        for _ in range(rng.randrange(3)):
            frame[rng.randrange(len(frame))] = rng.choice(b'"\\:{}[],s @.BTC\xff\0')
        size = rng.randrange(len(frame) + 1)
        conn = rng.choice(list(Conn))
        answers = {
            str(ROUTER.targets(conn, memoryview(bytes(frame[:size]) + tail)[:size]))
            for tail in tails
        }
        assert len(answers) == 1


def test_a_cut_frame_never_hides_from_a_core_that_the_whole_names() -> None:
    """What is cut inside a name goes to all: a name is never read shorter than it is."""
    text = '{"topic":"order","data":[{"symbol":"ETHUSDT"},{"symbol":"BTCUSDT"}]}'
    for size in range(len(text)):
        found = route(Conn.USER, text[:size])
        assert found is None or found in ([1], [1, 0, 7])


def test_router_refuses_what_it_could_not_route() -> None:
    with pytest.raises(ValueError, match="one symbol"):
        Router([0, 1], ["A"])
    with pytest.raises(ValueError, match="core numbers"):
        Router([4096], ["A"])
    with pytest.raises(ValueError, match="core numbers"):
        Router([-1], ["A"])
    with pytest.raises(ValueError, match="each core once"):
        Router([3, 3], ["A", "B"])
    with pytest.raises(ValueError, match="symbol of"):
        Router([3], ["A" * 41])


def test_two_hundred_symbols_are_all_found() -> None:
    names = [f"COIN{index}USDT" for index in range(200)]
    router = Router(list(range(200)), names)
    for number, name in enumerate(names):
        stream = f'{{"stream":"{name.lower()}@bookTicker"}}'.encode()
        assert router.targets(Conn.MARKET, stream) == [number]
        assert router.targets(Conn.USER, f'{{"s":"{name}"}}'.encode()) == [number]
    assert router.targets(Conn.USER, b'{"s":"COIN200USDT"}') == []
