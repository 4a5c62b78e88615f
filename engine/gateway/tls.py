"""TLS without a socket: the interpreter's ssl over memory buffers.

The handshake runs in Python (handshake.py); then the hot loop feeds what recv gives to `incoming`,
reads plaintext from `session`, and sends what gathers in `outgoing`. Which host is spoken to is
always verified, by name and certificate.
"""

import ssl
from pathlib import Path
from typing import NamedTuple

from engine.errors import EXIT_USAGE, TickmakerError


class TlsEnds(NamedTuple):
    """A TLS session past its handshake, and the two buffers of ciphertext around it."""

    session: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only the one in `ca_file`; at least TLS 1.2."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError):
        raise TickmakerError(
            "Configuration: ca_file holds no certificate that can be read",
            "name a PEM file, or leave it out",
            EXIT_USAGE,
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def begin(context: ssl.SSLContext, host: str) -> TlsEnds:
    """A session that has yet to shake hands."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_side=False, server_hostname=host)
    return TlsEnds(session, incoming, outgoing)
