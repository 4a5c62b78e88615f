"""The client of `tickmaker bench exchange`: signed orders made beforehand, sent by plain sockets.

A process of its own. It reads one JSON document on standard input, does what it says, and writes
one on standard output. Nothing but bytes moves while the clock runs: every message is framed and
signed before, answers are counted and told apart by a substring.
"""

import base64
import hashlib
import hmac
import json
import os
import select
import socket
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np

from bench.result import figures_us
from engine import clock

# Then all are cancelled. The venue allows 200 a symbol; a market maker has a few.
ORDERS_OPEN_FLAT_OUT, ORDERS_OPEN_PACED = 150, 20
RECV_WINDOW_MS = 60_000
MASK = bytes(4)  # a mask of zeroes is a mask: RFC 6455 5.3 only wants the bit and the key
READ_BYTES = 1 << 18


@dataclass(frozen=True)
class Job:
    """`rate_per_s` 0: as fast as `window` orders in flight allow."""

    way: str  # ws or rest
    orders: int
    rate_per_s: int
    window: int
    rest_url: str
    ws_url: str
    api_key: str
    secret: str
    symbol: str
    price: str
    quantity: str


def main() -> None:
    document = json.load(sys.stdin)
    os.sched_setaffinity(0, {document.pop("cpu")})
    job = Job(**document)
    client = WsOrders(job) if job.way == "ws" else RestOrders(job)
    result = paced(client, job) if job.rate_per_s else flat_out(client, job)
    json.dump(result | {"accepted": client.accepted, "refused": client.refused}, sys.stdout)
    sys.stdout.write("\n")


# -- LOADS ---


def flat_out(client: "Orders", job: Job) -> dict[str, Any]:
    """Accepted orders a second, the cancels that make room included in the time."""
    start_ns = clock.monotonic_ns()
    sent = done = 0
    while done < job.orders:
        room = min(job.orders, (done // ORDERS_OPEN_FLAT_OUT + 1) * ORDERS_OPEN_FLAT_OUT)
        while sent < room and sent - done < job.window:
            client.send(sent)
            sent += 1
        done += client.receive(is_waiting=True)
        if done == sent and done % ORDERS_OPEN_FLAT_OUT == 0:
            client.cancel_all()
    seconds = (clock.monotonic_ns() - start_ns) / 1e9
    return {"orders_per_s": round(client.accepted / seconds, 1), "seconds": round(seconds, 3)}


def paced(client: "Orders", job: Job) -> dict[str, Any]:
    """From the moment an order is due to its answer's last byte; open loop within a batch."""
    samples = np.zeros(job.orders, np.int64)
    step_ns = 1_000_000_000 // job.rate_per_s
    now, done = clock.monotonic_ns, 0
    while done < job.orders:
        batch = min(ORDERS_OPEN_PACED, job.orders - done)
        start_ns, first, sent = now() + 2_000_000, done, done
        while done < first + batch:
            if sent < first + batch and now() >= start_ns + (sent - first) * step_ns:
                client.send(sent)
                sent += 1
            for _ in range(client.receive(is_waiting=False)):
                samples[done] = now() - (start_ns + (done - first) * step_ns)
                done += 1
        client.cancel_all()
    warm = samples[job.orders // 10 :]
    return {"rate_per_s": job.rate_per_s, **figures_us(warm)}


# -- WAYS ---


class Orders:
    """Requests made beforehand, and how their answers are counted."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.accepted = 0
        self.refused = 0
        rest = urlsplit(job.rest_url)
        self.rest_address = (rest.hostname or "", rest.port or 0)
        self._cancels = connected(self.rest_address)
        self._cancels.setblocking(True)

    def send(self, index: int) -> None:
        raise NotImplementedError

    def receive(self, is_waiting: bool) -> int:
        """Answers that arrived."""
        raise NotImplementedError

    def cancel_all(self) -> None:
        query = self.signed({"symbol": self.job.symbol})
        path = f"/fapi/v1/allOpenOrders?{query}"
        self._cancels.sendall(http_bytes("DELETE", path, self.rest_address, self.job.api_key))
        answer = b""
        while not answer.endswith(b"}"):
            answer += self._cancels.recv(READ_BYTES)
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            raise RuntimeError(f"cancel-all was refused: {answer!r}")

    def order(self, index: int) -> dict[str, Any]:
        return {
            "symbol": self.job.symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
            "quantity": self.job.quantity, "price": self.job.price,
            "newClientOrderId": f"b{index}", "recvWindow": RECV_WINDOW_MS,
            "timestamp": clock.wall_ns() // 1_000_000,
        }  # fmt: skip

    def signed(self, params: dict[str, Any]) -> str:
        query = urlencode({"timestamp": clock.wall_ns() // 1_000_000, **params})
        return f"{query}&signature={self.digest(query)}"

    def digest(self, text: str) -> str:
        return hmac.new(self.job.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def count(self, is_accepted: bool) -> None:
        self.accepted += is_accepted
        self.refused += not is_accepted


class WsOrders(Orders):
    """WebSocket API, one connection."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._frames = [self._frame(index) for index in range(job.orders)]
        url = urlsplit(job.ws_url)
        self._socket = connected((url.hostname or "", url.port or 0))
        self._socket.setblocking(True)
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(READ_BYTES)
        self._rest = answer.partition(b"\r\n\r\n")[2]
        self._socket.setblocking(False)

    def _frame(self, index: int) -> bytes:
        params = {"apiKey": self.job.api_key, **self.order(index)}
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = self.digest(text)
        body = json.dumps({"id": index, "method": "order.place", "params": params}).encode()
        assert 126 <= len(body) < 65_536
        return b"\x81\xfe" + len(body).to_bytes(2, "big") + MASK + body

    def send(self, index: int) -> None:
        send_all(self._socket, self._frames[index])

    def receive(self, is_waiting: bool) -> int:
        if is_waiting:
            select.select([self._socket], [], [])
        try:
            data = self._rest + self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return 0
        count = place = 0
        while len(data) - place >= 4:
            size, head = data[place + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[place + 2 : place + 4], "big"), 4
            end = place + head + size
            if end > len(data):
                break
            if data[place] == 0x81:
                self.count(b'"status":200' in data[place:end])
                count += 1
            place = end
        self._rest = data[place:]
        return count


class RestOrders(Orders):
    """REST, `window` connections with one request each at a time."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._requests = [
            http_bytes("POST", "/fapi/v1/order", self.rest_address, job.api_key,
                       self.signed(self.order(index)))
            for index in range(job.orders)
        ]  # fmt: skip
        self._idle = [connected(self.rest_address) for _ in range(job.window)]
        self._busy: dict[int, tuple[socket.socket, bytes]] = {}
        self._late = 0  # answers that came while a connection was waited for
        self._poll = select.epoll()
        for each in self._idle:
            self._poll.register(each.fileno(), select.EPOLLIN)

    def send(self, index: int) -> None:
        while not self._idle:  # paced, and the exchange is behind: the wait is charged
            self._late += self.receive(is_waiting=True)
        each = self._idle.pop()
        self._busy[each.fileno()] = (each, b"")
        send_all(each, self._requests[index])

    def receive(self, is_waiting: bool) -> int:
        count, self._late = self._late, 0
        for number, _ in self._poll.poll(-1 if is_waiting and not count else 0):
            each, data = self._busy[number]
            data += each.recv(READ_BYTES)
            if not data.endswith(b"}"):
                self._busy[number] = (each, data)
                continue
            del self._busy[number]
            self._idle.append(each)
            self.count(data.startswith(b"HTTP/1.1 200 "))
            count += 1
        return count


# -- BYTES ---


def connected(address: tuple[str, int]) -> socket.socket:
    made = socket.create_connection(address)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setblocking(False)
    return made


def http_bytes(
    method: str, path: str, address: tuple[str, int], api_key: str, body: str = ""
) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nX-MBX-APIKEY: {api_key}"
        f"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}"
        "\r\n\r\n"
    )
    return (head + body).encode()


def send_all(sock: socket.socket, data: bytes) -> None:
    """Of a non-blocking socket; what doesn't fit waits for room."""
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            select.select([], [sock], [])


if __name__ == "__main__":
    main()
