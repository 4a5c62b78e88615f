"""`tickmaker bench exchange`: orders a second, order to answer, and the load pump.

The exchange on one processor, its client on another, real sockets between them. README.md has the
whole method.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench import machine
from bench.result import write
from engine.errors import EXIT_USAGE, TickmakerError

ROOT = Path(__file__).resolve().parent.parent
SYMBOL = "BTCUSDT"
DEPTH_PERCENT = 2  # bids rest so far below the touch: they are never hit while they are open
WINDOW_WS = 16
WINDOW_REST = 8
PATIENCE_S = 120
TARGETS = {
    "orders_per_s": ">= 5000",
    "order_to_ack_p50_us": "< 100",
    "pump_messages_per_s": ">= 500000",
}
METHOD = (
    "Loopback TCP, no TLS, the exchange with its agents' market on one processor, the client on "
    "another. Orders are LIMIT GTC bids, signed and framed beforehand, checked by the exchange in "
    "full (signature, time, filters, margin), rate limits told and counted but out of the way; it "
    "polls its sockets and never sleeps (--busy). "
    "orders_per_s: all are cancelled after every 150, the time of those cancels counts; accepted "
    "orders by whole time, with 16 (WebSocket API, one connection) or 8 (REST, one connection "
    "each) in flight. order_to_ack: all are cancelled after every 20, between the samples; open "
    "loop at a fixed rate, the first tenth left out, from the moment an order is due to "
    "the whole answer at the client, which polls its socket. pump: frames of a market, framed "
    "once, sent by the compiled pump as fast as one connection takes them; a compiled reader on "
    "the other processor takes each message apart and counts it."
)


def run(
    orders: int = 15_000, rate: int = 1_000, pump_s: float = 3.0, out: Path | None = None
) -> dict[str, Any]:
    """Measure; the result is JSON and is written to `out` too. Raises TickmakerError."""
    if min(orders, rate) < 1 or pump_s <= 0:
        raise TickmakerError("orders, rate and pump_s want more than 0", "", EXIT_USAGE)
    server_cpu, client_cpu = machine.choose_cpus(2)
    described = machine.describe([server_cpu, client_cpu])
    with exchange_on(server_cpu) as ready:
        job = _job(ready) | {"cpu": client_cpu}
        slow = orders // 3
        throughput = {
            "ws": _client(job | _load("ws", orders, 0, WINDOW_WS)),
            "rest": _client(job | _load("rest", slow, 0, WINDOW_REST)),
        }
        latency = {
            "ws": _client(job | _load("ws", slow, rate, WINDOW_WS)),
            "rest": _client(job | _load("rest", slow, rate, WINDOW_REST)),
        }
        counters = _admin(ready, "/health")["counters"]
    result = {
        "orders": throughput,
        "order_to_ack": latency,
        "pump": pump(server_cpu, client_cpu, pump_s),
        "exchange_counters": counters,
        "targets": TARGETS,
        "method": METHOD,
        "machine": described,
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


@contextmanager
def exchange_on(cpu: int) -> Iterator[dict[str, Any]]:
    """A running exchange; its ready line."""
    arguments = [
        "--json", "--symbols", SYMBOL, "--limit-factor", "100000", "--until-stdin-closes",
        "--busy",
    ]  # fmt: skip
    with _on_cpu(cpu):
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.exchange", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            _, err = process.communicate()
            raise TickmakerError(f"the exchange did not start: {err.decode()[-500:]}")
        yield json.loads(line)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def pump(pump_cpu: int, reader_cpu: int, seconds: float) -> dict[str, Any]:
    """Messages a second that arrived and were counted; TickmakerError if one was lost."""
    command = [sys.executable, "-m", "bench.exchange_pump"]
    with subprocess.Popen(
        [*command, "send", str(pump_cpu), str(seconds)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as sender:  # fmt: skip
        assert sender.stdout is not None
        port = sender.stdout.readline().strip()
        done = subprocess.run(
            [*command, "read", str(reader_cpu), port],
            capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=True,
        )  # fmt: skip
        sent, read = json.loads(sender.stdout.readline()), json.loads(done.stdout)
    if read["messages"] != sent["messages"] or read["others"]:
        raise TickmakerError(
            f"the pump sent {sent['messages']} messages, {read['messages']} arrived",
            "report this: it is a defect",
        )
    return {
        "messages_per_s": round(read["messages"] / read["seconds"]),
        "mb_per_s": round(read["payload_bytes"] / read["seconds"] / 1e6, 1),
        "messages": read["messages"],
        "mean_payload_bytes": round(read["payload_bytes"] / read["messages"], 1),
        "seconds": round(read["seconds"], 3),
    }


def _job(ready: dict[str, Any]) -> dict[str, Any]:
    """What every client is told: a bid that no agent will hit while it rests."""
    book = _admin(ready, f"/book?symbol={SYMBOL}&limit=1")
    bid = float(book["bids"][0][0])
    account = ready["accounts"][0]
    return {
        "rest_url": ready["rest_url"],
        "ws_url": ready["ws_url"]["ws_api"],
        "api_key": account["api_key"],
        "secret": account["secret"],
        "symbol": SYMBOL,
        "price": f"{bid * (100 - DEPTH_PERCENT) // 100:.2f}",
        "quantity": "0.010",
    }


def _load(way: str, orders: int, rate: int, window: int) -> dict[str, Any]:
    return {"way": way, "orders": orders, "rate_per_s": rate, "window": window}


def _client(job: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.exchange_client"],
        input=json.dumps(job), capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise TickmakerError(f"the bench's client failed: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    if result["refused"]:
        raise TickmakerError(
            f"{result['refused']} of the bench's orders were refused",
            "report this: it is a defect",
        )
    return result


def _admin(ready: dict[str, Any], target: str) -> Any:
    with urlopen(ready["admin_url"] + target, timeout=PATIENCE_S) as answer:
        return json.load(answer)


@contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    """Children started inside run on `cpu`."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
