"""The benches measure what they say: tiny runs, the protocol of the C programs, the arithmetic.

No test here asserts a time.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import core, duel, machine, market, native, wire
from bench.duel import Contestant, Duel
from bench.hiccups import Spinner
from bench.result import figures_us
from engine.errors import TickmakerError
from engine.tape.importer import import_files

FIGURES = {"p50_ns", "p99_ns", "p999_ns", "max_ns", "n"}
ROW = {"client", "tls", "mode", "load", "p50_us", "p99_us", "p999_us", "max_us", "n"}
STAGES = {"decode", "book", "signals", "strategy", "diff_gate", "encode"}
FIRST_NS = 1_723_161_255_000_000_000
two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")


# -- A VENUE'S SIDE AND A CLIENT'S SIDE, BY HAND -------------------------------------------------


def server_frames(data: bytes) -> Iterator[dict[str, Any]]:
    """JSON of unmasked text frames."""
    while data:
        assert data[0] == 0x81
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        assert size < 126 or at == 4
        yield json.loads(data[at : at + size])
        data = data[at + size :]


def masked(text: bytes, opcode: int = 1) -> bytes:
    key = b"\x11\x22\x33\x44"
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    body = bytes(byte ^ key[i % 4] for i, byte in enumerate(text))
    return bytes([0x80 | opcode]) + size + key + body


def order(intent: str, price: str) -> bytes:
    params = {"price": price}
    return json.dumps(
        {"id": f"1{intent}", "method": "order.place", "params": params}, separators=(",", ":")
    ).encode()


def unmasked(frame: bytes) -> dict[str, Any]:
    assert frame[0] == 0x81
    assert frame[1] == 0xFE
    key, body = frame[4:8], frame[8:]
    assert len(body) == int.from_bytes(frame[2:4], "big")
    return json.loads(bytes(byte ^ key[i % 4] for i, byte in enumerate(body)))


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout=20)
        theirs, _ = listener.accept()
    return ours, theirs


class Exchange:
    """exchange_end with this test as its client."""

    def __init__(self, tmp_path: Path, events: int, burst: int = 1, answers: int = 1) -> None:
        self.market, market_end = tcp_pair()
        self.trade, trade_end = tcp_pair()
        self.stamps_path = tmp_path / "stamps.bin"
        fds = (market_end.fileno(), trade_end.fileno())
        numbers = (*fds, -1, -1, events, 0, 1000, burst, answers)
        command = [str(native.program("exchange_end")), *map(str, numbers)]
        self.process = subprocess.Popen(
            [*command, str(self.stamps_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=fds,
        )  # fmt: skip
        market_end.close()
        trade_end.close()

    def frames(self, count: int) -> list[dict[str, Any]]:
        """The next `count` market messages' data; the exchange's end waits for no one."""
        data, found = b"", []
        while len(found) < count:
            data += self.market.recv(65536)
            whole, found = 0, []
            while whole + 4 <= len(data):
                size = int.from_bytes(data[whole + 2 : whole + 4], "big")
                if whole + 4 + size > len(data):
                    break
                found += server_frames(data[whole : whole + 4 + size])
                whole += 4 + size
        return [message["data"] for message in found]

    def end(self) -> tuple[dict[str, Any], str, int]:
        output, errors = self.process.communicate(timeout=20)
        self.market.close()
        self.trade.close()
        line = json.loads(output) if output else {}
        return line, errors.decode(), self.process.returncode


# -- THE EXCHANGE'S END ---------------------------------------------------------------------------


def test_exchange_end_sends_one_moving_frame_an_event(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, events=3)
    frames = exchange.frames(3)
    assert [frame["a"] for frame in frames] == ["61800.10", "61800.20", "61800.30"]
    assert [frame["b"] for frame in frames] == ["61800.00", "61800.10", "61800.20"]
    assert [frame["u"] for frame in frames] == sorted({frame["u"] for frame in frames})
    exchange.trade.sendall(masked(order("0" * 12, "61800.3")))
    line, _, code = exchange.end()
    assert code == 0
    assert (line["orders"], line["superseded"], line["unanswered"]) == (1, 2, 0)
    stamps = duel.read(exchange.stamps_path)
    assert len(stamps.round_trip_ns) == 3
    assert (stamps.round_trip_ns > 0).all()
    assert (np.diff(stamps.round_trip_ns) < 0).all()  # the older, the longer its wait
    assert (stamps.late_send_ns >= 0).all()


def test_exchange_end_burst_moves_the_touch_in_its_last_frame_only(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, events=2, burst=5)
    frames = exchange.frames(10)
    assert [frame["a"] for frame in frames[5:]] == ["61800.10"] * 4 + ["61800.20"]
    assert all(frame["A"] == frame["B"] for frame in frames)
    assert len({frame["A"] for frame in frames[:5]}) == 5
    exchange.trade.sendall(masked(order("0" * 12, "61800.20")))
    assert exchange.end()[2] == 0


def test_exchange_end_accepts_orders_and_cancels_by_their_ids(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, events=2)
    exchange.frames(2)
    cancel = b'{"id":"200000000002a","method":"order.cancel","params":{}}'
    exchange.trade.sendall(masked(cancel) + masked(order("00000000002b", "61800.20")))
    data = b""
    while data.count(b'"rateLimits"') < 2:
        data += exchange.trade.recv(65536)
    answers = list(server_frames(data))
    assert [answer["id"] for answer in answers] == ["200000000002a", "100000000002b"]
    assert [answer["result"]["status"] for answer in answers] == ["CANCELED", "NEW"]
    line, _, _ = exchange.end()
    assert (line["orders"], line["cancels"], line["answers"]) == (1, 1, 2)


def test_exchange_end_reports_events_that_nobody_answered(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, events=3, answers=0)
    exchange.frames(3)
    exchange.trade.sendall(masked(order("0" * 12, "61800.10")))
    line, _, code = exchange.end()
    assert (code, line["unanswered"]) == (0, 2)
    stamps = duel.read(exchange.stamps_path)
    assert (stamps.unanswered, len(stamps.round_trip_ns)) == (2, 1)


@pytest.mark.parametrize("price", ["99999.90", "6180", "61800", "a", "-1800.10"])
def test_exchange_end_stops_at_an_order_that_it_never_caused(tmp_path: Path, price: str) -> None:
    exchange = Exchange(tmp_path, events=1)
    exchange.frames(1)
    exchange.trade.sendall(masked(order("0" * 12, price)))
    _, errors, code = exchange.end()
    assert code == 1
    assert "price" in errors


def test_exchange_end_answers_pings(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, events=1)
    exchange.frames(1)
    exchange.trade.sendall(masked(b"are you there", opcode=9))
    assert exchange.trade.recv(100) == b"\x8a\x0dare you there"
    exchange.trade.sendall(masked(order("0" * 12, "61800.10")))
    assert exchange.end()[2] == 0


# -- THE FLOOR ------------------------------------------------------------------------------------


def test_floor_sends_one_order_for_each_new_price(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        client = subprocess.Popen(
            [str(native.program("c_busy_poll")), str(listener.getsockname()[1]), "-1"],
            stdout=subprocess.PIPE,
        )
        ends = []
        for path in ("/public/stream", "/ws-fapi/v1"):
            end, _ = listener.accept()
            end.settimeout(20)
            assert duel._upgrade(end) == path
            ends.append(end)
    market_end, trade_end = ends
    sent = b""
    for ask in ("61800.10", "61800.10", "61800.20"):
        text = json.dumps(
            {"data": {"e": "bookTicker", "a": ask, "A": "1.000", "pad": "x" * 126}},
            separators=(",", ":"),
        ).encode()
        sent += b"\x81\x7e" + len(text).to_bytes(2, "big") + text
    market_end.sendall(market.prologue() + sent)
    data = b""
    while len(data) < 2 * 450 and data.count(b"\x81\xfe") < 2:
        data += trade_end.recv(65536)
    market_end.close()
    output, _ = client.communicate(timeout=20)
    line = json.loads(output.splitlines()[-1])
    assert line["orders"] == 2
    size = line["order_bytes"]
    while len(data) < 2 * size:
        data += trade_end.recv(65536)
    trade_end.close()
    orders = [unmasked(data[:size]), unmasked(data[size:])]
    assert [one["params"]["price"] for one in orders] == ["61800.10", "61800.20"]


# -- WIRE -----------------------------------------------------------------------------------------


@two_cpus
def test_wire_small_run_has_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SPIN_MS", 2)
    out = tmp_path / "results" / "wire.json"
    result = wire.run(rounds=1, messages=40, rate=400, out=out)
    assert json.loads(out.read_text()) == result
    assert {"rows", "ratios", "hiccups", "machine", "commit", "rounds", "method"} <= result.keys()
    assert [set(row) for row in result["rows"]] == [ROW] * len(wire.CONTESTANTS)
    named = {(row["client"], row["mode"], row["load"]) for row in result["rows"]}
    assert ("tickmaker", "busy", "steady") in named
    assert ("c_busy_poll", "busy", "steady") in named
    assert ("websockets", "sleep", "steady") in named
    for row in result["rounds"]:
        events = 40 if row["load"] == "steady" else 2
        assert row["n"] + row["unanswered"] == events
        assert row["exchange"]["frame_bytes"] in range(200, 251)
        if row["client"] == "tickmaker":
            own = row["own"]
            assert (own["malformed"], own["gaps"], own["halted"], own["late"]) == (0, 0, "", 0)
            assert own["cancels_sent"] >= row["exchange"]["cancels"] > 0
            assert set(own["stages"]) == STAGES
        else:
            # A burst's first frames stand at a price of their own.
            extra = 0 if row["load"] == "steady" else 1
            assert row["exchange"]["orders"] == events + wire.WARMUP_EVENTS_MIN + extra
    assert os.uname().nodename not in json.dumps(result["machine"])


def test_wire_row_is_the_median_and_ratio_is_within_rounds() -> None:
    p50 = {"tickmaker": [10.0, 30.0, 12.0], "c_busy_poll": [8.0, 10.0, 8.0]}
    p50["websockets"] = [50.0, 90.0, 120.0]
    p50["c_busy_poll_one_socket"] = [5.0, 5.0, 6.0]
    rows = [
        {"round": index, "client": one.client, "mode": one.mode, "load": one.load, "n": 7}
        | {key: p50[one.client][index] for key in ("p50_us", "p99_us", "p999_us", "max_us")}
        | {"hiccups": {}}
        for index in range(3)
        for one in wire.CONTESTANTS
    ]
    result = wire._result(rows, [])
    assert result["rows"][0]["p50_us"] == 12.0
    assert result["rows"][0]["n"] == 21
    assert result["ratios"]["per_round"]["tickmaker_to_c_busy_poll"] == [1.25, 3.0, 1.5]
    assert result["ratios"]["tickmaker_to_c_busy_poll"] == 1.5
    assert result["ratios"]["websockets_to_tickmaker"] == 5.0
    assert result["ratios"]["tickmaker_to_c_busy_poll_one_socket"] == 2.0


@two_cpus
def test_wire_client_that_dies_is_named(tmp_path: Path) -> None:
    nobody = Contestant("nobody", "busy", "steady")
    with pytest.raises(TickmakerError, match=r"nobody, busy, steady ended with code 1: .*nobody"):
        Duel(nobody, 0, 0, tmp_path).fight(1, 0, 100, 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["rounds", "messages", "rate"])
def test_wire_refuses_numbers_below_one(name: str) -> None:
    with pytest.raises(TickmakerError, match=name):
        wire.run(**{name: 0})


def test_wire_needs_two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(TickmakerError, match="needs 2 processors"):
        wire.run()


# -- CORE -----------------------------------------------------------------------------------------


def capture(path: Path, events: int = 30) -> Path:
    """A raw capture: snapshot, its diff, then a touch that moves up by a tick each time."""
    frames = [market.SNAPSHOT, market.prologue()[4:]]
    for index in range(events):
        ask = 618_001 + index
        touch = {
            "e": "bookTicker", "u": market.LAST_UPDATE_ID + 100 + index, "s": "BTCUSDT",
            "b": f"{(ask - 1) / 10:.2f}", "B": "2.507", "a": f"{ask / 10:.2f}", "A": "2.507",
            "T": FIRST_NS // 10**6, "E": FIRST_NS // 10**6,
        }  # fmt: skip
        message = {"stream": "btcusdt@bookTicker", "data": touch}
        frames.append(json.dumps(message, separators=(",", ":")).encode())
    lines = [b"%d %b\n" % (FIRST_NS + 10**6 * i, frame) for i, frame in enumerate(frames)]
    path.write_bytes(b"".join(lines))
    return path


def check_core_result(result: dict[str, Any]) -> None:
    assert result.keys() >= FIGURES
    assert FIGURES | {"per_level_p50_ns"} <= result["depth"].keys()
    assert result["stages"].keys() == STAGES
    assert all(stage.keys() == {"p50_ns", "p99_ns"} for stage in result["stages"].values())
    assert {"hiccups", "machine", "commit", "method", "rounds"} <= result.keys()
    assert 0 < result["p50_ns"] <= result["p99_ns"] <= result["p999_ns"]
    assert result["p50_ns"] in [one["p50_ns"] for one in result["rounds"]]
    json.dumps(result, allow_nan=False)


def test_core_counts_every_order_causing_frame(tmp_path: Path) -> None:
    out = tmp_path / "core.json"
    result = core.run(capture(tmp_path / "up.txt"), rounds=2, out=out)
    check_core_result(result)
    assert json.loads(out.read_text()) == result
    assert [one["n"] for one in result["rounds"]] == [30, 30]
    assert result["n"] == 60
    assert 1 <= result["messages_per_frame"] <= 4
    assert result["frames"] == 32
    assert "on_frame" in result["method"]
    assert result["stages"]["encode"]["p50_ns"] > 0


def test_core_drives_the_rows_of_a_tape(tmp_path: Path) -> None:
    tape = tmp_path / "up.tape.arrow"
    import_files([capture(tmp_path / "up.txt")], tape)
    result = core.run(tape, rounds=1)
    check_core_result(result)
    assert result["n"] == 30
    assert "on_event" in result["method"]


def test_core_runs_a_recorded_capture(data_dir: Path) -> None:
    result = core.run(data_dir / "binance_usdm" / "btcusdt_20220811_7s.gz", rounds=1)
    check_core_result(result)
    assert result["headline"] == "depthUpdate"
    assert result["n"] == result["depth"]["n"] > 50
    assert result["depth"]["levels_per_frame"] > 1


def test_core_without_orders_says_so(tmp_path: Path) -> None:
    path = capture(tmp_path / "stale.txt")
    later = str(market.LAST_UPDATE_ID + 10**6).encode()  # the snapshot is ahead of every diff
    path.write_bytes(path.read_bytes().replace(str(market.LAST_UPDATE_ID).encode(), later))
    with pytest.raises(TickmakerError, match="no frame of it caused an order"):
        core.run(path, rounds=1)


@pytest.mark.parametrize("rounds", [0, -1])
def test_core_refuses_no_rounds(tmp_path: Path, rounds: int) -> None:
    with pytest.raises(TickmakerError, match="rounds"):
        core.run(tmp_path / "up.txt", rounds=rounds)


def test_core_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TickmakerError, match="nowhere"):
        core.run(tmp_path / "nowhere.gz")


@pytest.mark.parametrize("sizes", [[10] * 5000, [5 << 20, 10, 5 << 20], [1 << 20] * 9, [7]])
def test_core_chunks_cover_every_frame_once(sizes: list[int]) -> None:
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    frames = core.Frames(np.zeros(0, np.uint8), offsets, np.zeros(len(sizes), np.int64))
    chunks = list(frames.chunks())
    assert [i for first, last in chunks for i in range(first, last)] == list(range(len(sizes)))
    for first, last in chunks:
        assert last - first <= core.CHUNK_FRAMES
        assert last == first + 1 or offsets[last] - offsets[first] <= core.CHUNK_BYTES


# -- MACHINE, COMPILER, HICCUPS -------------------------------------------------------------------


def test_machine_is_described_without_a_host_name() -> None:
    described = machine.describe([0])
    assert described["cores"] >= 1
    assert described["build"] in ("release", "safe")
    assert described["python"] == ".".join(map(str, sys.version_info[:3]))
    assert os.uname().nodename not in json.dumps(described)


def test_compiler_missing_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(TickmakerError, match="gcc was not found") as caught:
        native.program("exchange_end")
    assert "install" in caught.value.remedy
    assert native.compiler_version() is None


def test_compiler_error_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SOURCE_DIR", tmp_path)
    monkeypatch.setattr(native, "CACHE_DIR", tmp_path / "cache")
    (tmp_path / "common.h").write_text("")
    (tmp_path / "broken.c").write_text('#include "no_such_header.h"\n')
    with pytest.raises(TickmakerError, match=r"broken\.c does not compile: .*no_such_header"):
        native.program("broken")
    assert list((tmp_path / "cache").iterdir()) == []


def test_compiled_program_is_kept_until_its_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "SOURCE_DIR", tmp_path)
    monkeypatch.setattr(native, "CACHE_DIR", tmp_path / "cache")
    (tmp_path / "common.h").write_text("")
    (tmp_path / "one.c").write_text("int main(void) { return 0; }\n")
    first = native.program("one")
    stamp = first.stat().st_mtime_ns
    assert native.program("one") == first
    assert first.stat().st_mtime_ns == stamp
    (tmp_path / "common.h").write_text("/* changed */")
    assert native.program("one") != first


def test_figures_of_known_samples() -> None:
    samples = np.arange(1000, 0, -1, dtype=np.int64) * 1000
    assert figures_us(samples) == {
        "p50_us": 500.0, "p99_us": 990.0, "p999_us": 999.0, "max_us": 1000.0, "n": 1000
    }  # fmt: skip
    assert figures_us(samples[:1])["p50_us"] == 1000.0
    assert figures_us(samples[:0]) == {
        "p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0
    }  # fmt: skip


def test_hiccups_spinner_gives_a_gap_a_millisecond() -> None:
    gaps = Spinner().spin(20)
    assert 1 <= len(gaps) <= 20
    assert (gaps > 0).all()
