"""One client against the exchange end: processes, sockets, and the stamps that come out.

This process accepts the client's connections, answers their WebSocket upgrades, and hands the
sockets to exchange_end; from then on it sleeps until both are done.
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bench.hiccups import Samples
from bench.market import prologue
from bench.native import program
from engine.errors import TickmakerError

START_S = 30.0  # for a client to connect and say that it is ready
GRACE_S = 30.0  # over the time that the load takes
READ_BYTES = 65536
ROLES = {"/public": "market", "/ws-fapi": "trade", "/private": "user"}

Ns = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of the result."""

    client: str  # tickmaker, c_busy_poll, c_busy_poll_one_socket, websockets
    mode: str  # busy: never sleeps; sleep: waits in the kernel
    load: str
    is_answered: bool = False  # has a state machine that waits for the exchange's answers

    @property
    def label(self) -> str:
        return f"{self.client}, {self.mode}, {self.load}"

    @property
    def roles(self) -> set[str]:
        if self.client == "c_busy_poll_one_socket":
            return {"market"}
        return {"market", "trade", "user"} if self.client == "tickmaker" else {"market", "trade"}

    def command(self, port: int, cpu: int, folder: Path) -> list[str]:
        if self.client.startswith("c_busy_poll"):
            floor = [str(program("c_busy_poll")), str(port), str(cpu)]
            return floor if self.client == "c_busy_poll" else [*floor, "one"]
        command = [sys.executable, "-m", f"bench.{self.client}_client", str(port), str(cpu)]
        return [*command, self.mode, str(folder)] if self.client == "tickmaker" else command


@dataclass(frozen=True, slots=True)
class Fought:
    """What came out of one duel."""

    stamps_path: Path
    exchange: dict[str, Any]  # last line of exchange_end
    client: dict[str, Any]  # last line of the client


@dataclass(frozen=True, slots=True)
class Stamps:
    """exchange_end's stamps, as differences."""

    round_trip_ns: Ns
    late_send_ns: Ns  # sent after it was due: the exchange end's own stalls
    unanswered: int
    hiccup_ns: Samples


def read(path: Path) -> Stamps:
    """Parse exchange_end's file."""
    words = np.fromfile(path, np.int64)
    events, hiccups = int(words[0]), int(words[1])
    due, sent, received = words[2 : 2 + 3 * events].reshape(3, events)
    is_answered = received >= 0
    return Stamps(
        round_trip_ns=(received - sent)[is_answered],
        late_send_ns=sent - due,
        unanswered=int(events - np.count_nonzero(is_answered)),
        hiccup_ns=words[2 + 3 * events : 2 + 3 * events + hiccups],
    )


class Duel:
    """One contestant on `client_cpu`, exchange_end on `server_cpu`; scratch files in `folder`."""

    def __init__(
        self, contestant: Contestant, server_cpu: int, client_cpu: int, folder: Path
    ) -> None:
        self._contestant = contestant
        self._cpus = server_cpu, client_cpu
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._sockets: dict[str, socket.socket] = {}

    def fight(self, events: int, warmup: int, rate_per_s: int, frames: int) -> Fought:
        """Send `warmup` and then `events` events; TickmakerError if either side gives up."""
        stamps_path = self._folder / "stamps.bin"
        seconds = (events + warmup) / rate_per_s + GRACE_S
        with self._scratch() as run_dir:
            client = self._start_client(run_dir)
            exchange = self._start_exchange(events, warmup, rate_per_s, frames, stamps_path)
            exchange_line = self._finish("exchange_end", exchange, seconds)
            client_line = self._finish(self._contestant.label, client, START_S)
        return Fought(stamps_path, exchange_line, client_line)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A fresh folder for the client's run; at the end no process and no socket is left."""
        run_dir = self._folder / "run"
        run_dir.mkdir()
        try:
            yield run_dir
        finally:
            for sock in self._sockets.values():
                sock.close()
            for process in self._processes:
                process.kill()
                process.communicate()
            for path in sorted(run_dir.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            run_dir.rmdir()

    def _spawn(
        self, name: str, command: list[str], fds: tuple[int, ...] = ()
    ) -> "subprocess.Popen[bytes]":
        with (self._folder / f"{name}.err").open("wb") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                pass_fds=fds, cwd=Path(__file__).resolve().parent.parent,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def _start_client(self, run_dir: Path) -> "subprocess.Popen[bytes]":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(START_S)
            port = listener.getsockname()[1]
            command = self._contestant.command(port, self._cpus[1], run_dir)
            client = self._spawn("client", command)
            assert client.stdout is not None
            while self._sockets.keys() != self._contestant.roles:
                # A client that dies before it connects must not cost the whole timeout.
                fds = [listener.fileno(), client.stdout.fileno()]
                if listener.fileno() not in select.select(fds, [], [], START_S)[0]:
                    raise self._gave_up(self._contestant.label, client)
                self._accept(listener)
        if not select.select([client.stdout], [], [], START_S)[0]:
            raise self._gave_up(self._contestant.label, client)
        if client.stdout.readline() != b"ready\n":
            raise self._gave_up(self._contestant.label, client)
        return client

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        sock.settimeout(START_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path = _upgrade(sock)
        role = next((ROLES[start] for start in ROLES if path.startswith(start)), path)
        self._sockets[role] = sock
        if role == "market":
            sock.sendall(prologue())

    def _start_exchange(
        self, events: int, warmup: int, rate_per_s: int, frames: int, stamps_path: Path
    ) -> "subprocess.Popen[bytes]":
        market_fd = self._sockets["market"].fileno()
        trade = self._sockets.get("trade", self._sockets["market"])
        user = self._sockets.get("user")
        fds = [market_fd, trade.fileno(), user.fileno() if user is not None else -1]
        numbers = (*fds, self._cpus[0], events, warmup, rate_per_s, frames)
        command = [
            str(program("exchange_end")), *map(str, numbers),
            str(int(self._contestant.is_answered)), str(stamps_path),
        ]  # fmt: skip
        process = self._spawn("exchange", command, tuple(fd for fd in fds if fd >= 0))
        for sock in self._sockets.values():
            sock.close()  # exchange_end's alone now: its exit hangs up
        return process

    def _finish(
        self, name: str, process: "subprocess.Popen[bytes]", seconds: float
    ) -> dict[str, Any]:
        """Its last line, when it has ended well."""
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise self._gave_up(name, process) from None
        if process.returncode != 0 or not output.strip():
            raise self._gave_up(name, process)
        line: dict[str, Any] = json.loads(output.splitlines()[-1])
        return line

    def _gave_up(self, name: str, process: "subprocess.Popen[bytes]") -> TickmakerError:
        """What both sides last said on standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)  # its output may end a moment before it does
        code = process.returncode
        said = [
            line
            for side in ("client", "exchange")
            if (path := self._folder / f"{side}.err").exists()
            for line in path.read_text(errors="replace").strip().splitlines()[-1:]
        ]
        why = "took too long" if code is None else f"ended with code {code}"
        return TickmakerError(
            f"bench wire, {self._contestant.label}: {name} {why}: {'; '.join(said) or 'silent'}",
            "run it again on an idle machine; if it stays, report it",
        )


def _upgrade(sock: socket.socket) -> str:
    """Answer one WebSocket upgrade; the path that was asked for, without its query."""
    protocol = ServerProtocol()
    while True:
        data = sock.recv(READ_BYTES)
        if not data:
            raise TickmakerError("bench wire: a client hung up during its upgrade", "run it again")
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                sock.sendall(b"".join(protocol.data_to_send()))
                return event.path.partition("?")[0]

