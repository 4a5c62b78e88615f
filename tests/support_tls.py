"""A venue's end of a TLS connection whose every byte the test sees, and a session for ours."""

import socket
import ssl
from pathlib import Path

from support_gateway import Venue

from engine.exchange.tls import server_context
from engine.gateway.tls import TlsEnds, begin, client_context


class Trust:
    """The local exchange's throw-away authority: both sides' contexts."""

    def __init__(self, folder: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.server, self.ca_file = server_context(folder)
        self.server.minimum_version = self.server.maximum_version = version
        self.client = client_context(self.ca_file)


class TlsVenue(Venue):
    """Venue over TLS: `send` encrypts, `sealed` gives the bytes without sending them."""

    def __init__(self, sock: socket.socket, trust: Trust) -> None:
        super().__init__(sock)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = trust.server.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake_hands(self, trust: Trust) -> TlsEnds:
        """With a client session, in memory. What we say last (tickets) is left for the socket."""
        ends = begin(trust.client, "127.0.0.1")
        is_done = [False, False]
        while not all(is_done):
            for index, session in enumerate((ends.session, self.session)):
                try:
                    session.do_handshake()
                    is_done[index] = True
                except ssl.SSLWantReadError:
                    pass
            self.incoming.write(ends.outgoing.read())
            if not all(is_done):
                ends.incoming.write(self.outgoing.read())
        return ends

    def sealed(self, data: bytes) -> bytes:
        self.session.write(data)
        return self.outgoing.read()

    def send(self, data: bytes) -> None:
        self.sock.sendall(self.sealed(data))

    def recv(self) -> bytes:
        while True:
            try:
                return self.session.read(65536)
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                assert data, "the engine hung up"
                self.incoming.write(data)
